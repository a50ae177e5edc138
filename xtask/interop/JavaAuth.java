import java.util.Arrays;
import java.util.List;
import java.util.concurrent.BlockingQueue;
import java.util.concurrent.LinkedBlockingQueue;
import java.util.concurrent.TimeUnit;
import org.apache.zookeeper.CreateMode;
import org.apache.zookeeper.KeeperException;
import org.apache.zookeeper.WatchedEvent;
import org.apache.zookeeper.Watcher.Event.KeeperState;
import org.apache.zookeeper.ZooDefs.Ids;
import org.apache.zookeeper.ZooKeeper;
import org.apache.zookeeper.data.ACL;
import org.apache.zookeeper.data.Id;
import org.apache.zookeeper.data.Stat;

/** Java's client with a JAAS file: logs in, or is told that it cannot. */
public final class JavaAuth {
    public static void main(String[] args) throws Exception {
        BlockingQueue<WatchedEvent> events = new LinkedBlockingQueue<>();
        try (ZooKeeper zk = new ZooKeeper(args[0], 6000, events::add)) {
            KeeperState wanted = KeeperState.valueOf(args[1]);
            for (;;) {
                WatchedEvent event = events.poll(30, TimeUnit.SECONDS);
                if (event == null) {
                    throw new AssertionError("no " + wanted + ", but " + zk.getState());
                }
                System.out.println("state " + event.getState());
                if (event.getState() == wanted) {
                    break;
                }
            }
            if (wanted == KeeperState.SaslAuthenticated) {
                authenticated(zk, args[2]);
            }
        }
        System.out.println("done");
        System.exit(0);
    }

    private static void authenticated(ZooKeeper zk, String path) throws Exception {
        System.out.println("who " + zk.whoAmI().stream()
                .map(i -> i.getAuthScheme() + ":" + i.getUser()).sorted().toList());
        zk.create(path, new byte[0], Ids.CREATOR_ALL_ACL, CreateMode.PERSISTENT);
        List<ACL> acl = zk.getACL(path, new Stat());
        System.out.println("acl " + acl.get(0).getId().getScheme() + ":" + acl.get(0).getId().getId());
        zk.setACL(path, Ids.OPEN_ACL_UNSAFE, -1);
        try {
            zk.setACL(path, Arrays.asList(new ACL(31, new Id("sasl", "a@b@c"))), -1);
            System.out.println("no InvalidACL");
        } catch (KeeperException.InvalidACLException expected) {
            System.out.println("invalid a@b@c");
        }
        zk.delete(path, -1);
    }
}
