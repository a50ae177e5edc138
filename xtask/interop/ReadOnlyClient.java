import java.nio.charset.StandardCharsets;
import java.util.concurrent.BlockingQueue;
import java.util.concurrent.LinkedBlockingQueue;
import java.util.concurrent.TimeUnit;
import org.apache.zookeeper.CreateMode;
import org.apache.zookeeper.KeeperException;
import org.apache.zookeeper.Watcher;
import org.apache.zookeeper.Watcher.Event.KeeperState;
import org.apache.zookeeper.ZooDefs.Ids;
import org.apache.zookeeper.ZooKeeper;
import org.apache.zookeeper.data.Stat;

/** ZooKeeper's own client with canBeReadOnly, against servers that lose their quorum; prints one line per check. */
public final class ReadOnlyClient {
    private static final BlockingQueue<KeeperState> STATES = new LinkedBlockingQueue<>();

    public static void main(String[] args) throws Exception {
        Watcher watcher = event -> {
            if (event.getType() == Watcher.Event.EventType.None) {
                STATES.add(event.getState());
            }
        };
        try (ZooKeeper zk = new ZooKeeper(args[1], 10000, watcher, true)) {
            switch (args[0]) {
                case "comes-without" -> comesWithout(zk);
                case "comes-with" -> comesWith(zk);
                default -> throw new IllegalArgumentException(args[0]);
            }
        }
        System.out.println("done");
        System.exit(0);
    }

    /** Its first server has no quorum; then there is one. */
    private static void comesWithout(ZooKeeper zk) throws Exception {
        until("served without a quorum", KeeperState.ConnectedReadOnly);
        equal("its state", zk.getState(), ZooKeeper.States.CONNECTEDREADONLY);
        Stat stat = new Stat();
        equal("reads", new String(zk.getData("/ro", true, stat), StandardCharsets.UTF_8), "before");
        code("no create", () -> zk.create("/x", null, Ids.OPEN_ACL_UNSAFE, CreateMode.PERSISTENT));
        code("no ephemeral", () -> zk.create("/x", null, Ids.OPEN_ACL_UNSAFE, CreateMode.EPHEMERAL));
        code("no setData", () -> zk.setData("/ro", null, -1));
        code("no delete", () -> zk.delete("/ro", -1));
        equal("and reads on", zk.getChildren("/", false).contains("x"), false);
        System.out.println("reads");
        until("finds a quorum", KeeperState.SyncConnected);
        zk.create("/java-ephemeral", null, Ids.OPEN_ACL_UNSAFE, CreateMode.EPHEMERAL);
        equal("writes", zk.exists("/java-ephemeral", false).getEphemeralOwner(), zk.getSessionId());
    }

    /** It has a session with a quorum, which goes and comes back. */
    private static void comesWith(ZooKeeper zk) throws Exception {
        until("connects", KeeperState.SyncConnected);
        zk.create("/java-ephemeral", null, Ids.OPEN_ACL_UNSAFE, CreateMode.EPHEMERAL);
        long session = zk.getSessionId();
        System.out.println("connected");
        until("loses its server", KeeperState.Disconnected);
        until("comes back", KeeperState.SyncConnected);
        equal("in the same session", zk.getSessionId(), session);
        equal("with its ephemeral", zk.exists("/java-ephemeral", false).getEphemeralOwner(), session);
    }

    /** Waits for a state; nothing but disconnections may come before it. */
    private static void until(String what, KeeperState state) throws Exception {
        KeeperState seen;
        do {
            seen = STATES.poll(60, TimeUnit.SECONDS);
        } while (seen == KeeperState.Disconnected && state != KeeperState.Disconnected);
        equal(what, seen, state);
    }

    private interface Call {
        void run() throws Exception;
    }

    private static void code(String what, Call call) throws Exception {
        try {
            call.run();
        } catch (KeeperException error) {
            equal(what, error.code(), KeeperException.Code.NOTREADONLY);
            return;
        }
        throw new AssertionError(what + ": no error");
    }

    private static void equal(String what, Object found, Object expected) {
        if (!java.util.Objects.equals(found, expected)) {
            throw new AssertionError(what + ": found " + found + ", expected " + expected);
        }
        System.out.println("ok " + what);
    }
}
