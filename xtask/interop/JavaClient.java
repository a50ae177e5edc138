import java.nio.charset.StandardCharsets;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.concurrent.BlockingQueue;
import java.util.concurrent.CountDownLatch;
import java.util.concurrent.LinkedBlockingQueue;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.atomic.AtomicInteger;
import org.apache.curator.framework.CuratorFramework;
import org.apache.curator.framework.CuratorFrameworkFactory;
import org.apache.curator.framework.recipes.atomic.DistributedAtomicLong;
import org.apache.curator.framework.recipes.leader.LeaderLatch;
import org.apache.curator.framework.recipes.locks.InterProcessMutex;
import org.apache.curator.retry.RetryNTimes;
import org.apache.zookeeper.AddWatchMode;
import org.apache.zookeeper.CreateMode;
import org.apache.zookeeper.KeeperException;
import org.apache.zookeeper.Op;
import org.apache.zookeeper.OpResult;
import org.apache.zookeeper.WatchedEvent;
import org.apache.zookeeper.Watcher;
import org.apache.zookeeper.ZooDefs.Ids;
import org.apache.zookeeper.ZooKeeper;
import org.apache.zookeeper.data.Stat;

/** ZooKeeper's own client and Curator, driven from a command line; prints one line per check. */
public final class JavaClient {
    private static final BlockingQueue<WatchedEvent> CONNECTION = new LinkedBlockingQueue<>();

    public static void main(String[] args) throws Exception {
        switch (args[0]) {
            case "operations" -> operations(args[1]);
            case "extended" -> extended(args[1]);
            case "watches" -> watches(args[1]);
            case "reconnect" -> reconnect(args[1]);
            case "persistent-watches" -> persistentWatches(args[1]);
            case "curator" -> curator(args[1]);
            default -> throw new IllegalArgumentException(args[0]);
        }
        System.out.println("done");
        System.exit(0);
    }

    private static ZooKeeper open(String hosts) throws Exception {
        CountDownLatch connected = new CountDownLatch(1);
        ZooKeeper zk = new ZooKeeper(hosts, 6000, event -> {
            if (event.getType() == Watcher.Event.EventType.None) {
                CONNECTION.add(event);
                if (event.getState() == Watcher.Event.KeeperState.SyncConnected) {
                    connected.countDown();
                }
            }
        });
        check("connects", connected.await(30, TimeUnit.SECONDS));
        return zk;
    }

    private static void operations(String hosts) throws Exception {
        try (ZooKeeper zk = open(hosts)) {
            equal("create", zk.create("/j", b("1"), Ids.OPEN_ACL_UNSAFE, CreateMode.PERSISTENT), "/j");
            Stat stat = new Stat();
            zk.create("/j/e", null, Ids.OPEN_ACL_UNSAFE, CreateMode.EPHEMERAL, stat);
            equal("create2's owner", stat.getEphemeralOwner(), zk.getSessionId());
            equal("null data", zk.getData("/j/e", false, stat), null);
            zk.create("/j/empty", new byte[0], Ids.OPEN_ACL_UNSAFE, CreateMode.PERSISTENT);
            equal("empty data is not null", zk.getData("/j/empty", false, stat).length, 0);
            equal("sequential", zk.create("/j/s-", b(""), Ids.OPEN_ACL_UNSAFE, CreateMode.PERSISTENT_SEQUENTIAL),
                    "/j/s-0000000002");
            equal("ephemeral sequential",
                    zk.create("/j/s-", b(""), Ids.OPEN_ACL_UNSAFE, CreateMode.EPHEMERAL_SEQUENTIAL), "/j/s-0000000003");
            equal("setData", zk.setData("/j", b("2"), 0).getVersion(), 1);
            equal("getData", new String(zk.getData("/j", false, stat)), "2");
            equal("exists of nothing", zk.exists("/no", false), null);
            equal("getChildren2", zk.getChildren("/j", false, stat).size(), 4);
            equal("its stat", stat.getNumChildren(), 4);
            equal("getACL", zk.getACL("/j", stat), Ids.OPEN_ACL_UNSAFE);
            equal("setACL", zk.setACL("/j", Ids.OPEN_ACL_UNSAFE, -1).getAversion(), 1);
            code("delete of a parent", KeeperException.Code.NOTEMPTY, () -> zk.delete("/j", -1));
            code("bad version", KeeperException.Code.BADVERSION, () -> zk.setData("/j", b(""), 9));
            code("no node", KeeperException.Code.NONODE, () -> zk.getData("/no", false, null));
            code("node exists", KeeperException.Code.NODEEXISTS,
                    () -> zk.create("/j", b(""), Ids.OPEN_ACL_UNSAFE, CreateMode.PERSISTENT));
            List<OpResult> results = zk.multi(Arrays.asList(
                    Op.create("/j/m", b("m"), Ids.OPEN_ACL_UNSAFE, CreateMode.PERSISTENT),
                    Op.setData("/j/m", b("n"), 0), Op.check("/j/m", 1), Op.delete("/j/empty", -1)));
            equal("multi", results.size(), 4);
            try {
                zk.multi(Arrays.asList(Op.delete("/j/m", -1), Op.check("/j", 77)));
                throw new AssertionError("a failing multi did not fail");
            } catch (KeeperException error) {
                equal("a failing multi's error", error.code(), KeeperException.Code.BADVERSION);
                equal("its results", error.getResults().size(), 2);
            }
            check("and it undid the delete", zk.exists("/j/m", false) != null);
            CountDownLatch synced = new CountDownLatch(1);
            zk.sync("/j", (code, path, context) -> synced.countDown(), null);
            check("sync", synced.await(10, TimeUnit.SECONDS));
        }
        try (ZooKeeper zk = open(hosts)) {
            equal("ephemerals went with the session", zk.getChildren("/j", false).size(), 2);
            for (String child : zk.getChildren("/j", false)) {
                zk.delete("/j/" + child, -1);
            }
            zk.delete("/j", -1);
        }
    }

    /** Containers, TTL nodes, and what 3.5 and later added to ask. */
    private static void extended(String hosts) throws Exception {
        try (ZooKeeper zk = open(hosts)) {
            Stat stat = new Stat();
            zk.create("/x", b(""), Ids.OPEN_ACL_UNSAFE, CreateMode.PERSISTENT);
            equal("createContainer", zk.create("/x/c", b("c"), Ids.OPEN_ACL_UNSAFE, CreateMode.CONTAINER, stat), "/x/c");
            equal("a container's owner", stat.getEphemeralOwner(), 0L);
            equal("createTTL", zk.create("/x/t", b("t"), Ids.OPEN_ACL_UNSAFE,
                    CreateMode.PERSISTENT_WITH_TTL, stat, 500), "/x/t");
            equal("a TTL node's owner", stat.getEphemeralOwner(), 0L);
            equal("createTTL, sequential", zk.create("/x/t-", b("t"), Ids.OPEN_ACL_UNSAFE,
                    CreateMode.PERSISTENT_SEQUENTIAL_WITH_TTL, stat, (1L << 40) - 1), "/x/t-0000000002");
            List<OpResult> made = zk.multi(Arrays.asList(
                    Op.create("/x/c2", b(""), Ids.OPEN_ACL_UNSAFE, CreateMode.CONTAINER),
                    Op.create("/x/t2", b(""), Ids.OPEN_ACL_UNSAFE, CreateMode.PERSISTENT_WITH_TTL, 500)));
            check("both in a multi", made.stream().allMatch(r -> ((OpResult.CreateResult) r).getStat() != null));
            zk.create("/x/c/e", b(""), Ids.OPEN_ACL_UNSAFE, CreateMode.EPHEMERAL);
            zk.create("/x/e", b(""), Ids.OPEN_ACL_UNSAFE, CreateMode.EPHEMERAL);
            CountDownLatch synced = new CountDownLatch(1);
            zk.sync("/x", (code, path, context) -> synced.countDown(), null);
            check("sync", synced.await(10, TimeUnit.SECONDS));
            equal("getEphemerals", zk.getEphemerals().size(), 2);
            equal("getEphemerals of a prefix", zk.getEphemerals("/x/c"), List.of("/x/c/e"));
            equal("getAllChildrenNumber", zk.getAllChildrenNumber("/x/c"), 1);
            List<OpResult> read = zk.multi(Arrays.asList(
                    Op.getData("/x/c"), Op.getChildren("/x/c"), Op.getData("/no")));
            equal("multiRead's data", new String(((OpResult.GetDataResult) read.get(0)).getData()), "c");
            equal("multiRead's children", ((OpResult.GetChildrenResult) read.get(1)).getChildren(), List.of("e"));
            equal("multiRead's error", ((OpResult.ErrorResult) read.get(2)).getErr(),
                    KeeperException.Code.NONODE.intValue());
            zk.addAuthInfo("digest", b("me:secret"));
            equal("whoAmI", zk.whoAmI().stream().map(i -> i.getAuthScheme() + " " + i.getUser()).sorted().toList(),
                    List.of("digest me", "ip 127.0.0.1"));
            zk.delete("/x/c/e", -1);
            // One interval, and a little; ZooKeeper's is a minute.
            for (int tries = 0; zk.exists("/x/c", false) != null || zk.exists("/x/t", false) != null; tries++) {
                if (tries == 1000) {
                    throw new AssertionError("nobody removes them: " + zk.getChildren("/x", false));
                }
                Thread.sleep(100);
            }
            check("the container that ran empty and the TTL node went", true);
            zk.sync("/x", (code, path, context) -> { }, null);
            List<String> left = new ArrayList<>(zk.getChildren("/x", false));
            left.sort(null);
            left.remove("t2");
            equal("a container that had no child stays", left, List.of("c2", "e", "t-0000000002"));
        }
        try (ZooKeeper zk = open(hosts)) {
            for (String child : zk.getChildren("/x", false)) {
                try {
                    zk.delete("/x/" + child, -1);
                } catch (KeeperException.NoNodeException removedMeanwhile) {
                    continue;
                }
            }
            zk.delete("/x", -1);
        }
    }

    private static void watches(String hosts) throws Exception {
        try (ZooKeeper zk = open(hosts)) {
            BlockingQueue<String> seen = new LinkedBlockingQueue<>();
            Watcher watcher = event -> seen.add(event.getType() + " " + event.getPath());
            zk.exists("/jw", watcher);
            zk.create("/jw", b(""), Ids.OPEN_ACL_UNSAFE, CreateMode.PERSISTENT);
            equal("exists", seen.poll(10, TimeUnit.SECONDS), "NodeCreated /jw");
            zk.getData("/jw", watcher, null);
            zk.setData("/jw", b("x"), -1);
            equal("data", seen.poll(10, TimeUnit.SECONDS), "NodeDataChanged /jw");
            zk.getChildren("/jw", watcher);
            zk.create("/jw/c", b(""), Ids.OPEN_ACL_UNSAFE, CreateMode.PERSISTENT);
            equal("children", seen.poll(10, TimeUnit.SECONDS), "NodeChildrenChanged /jw");
            zk.delete("/jw/c", -1);
            zk.getData("/jw", watcher, null);
            zk.delete("/jw", -1);
            equal("delete", seen.poll(10, TimeUnit.SECONDS), "NodeDeleted /jw");
            check("nothing else", seen.poll(200, TimeUnit.MILLISECONDS) == null);
        }
    }

    /** Arms watches, asks its caller to cut the connection, and expects what happened meanwhile. */
    private static void reconnect(String hosts) throws Exception {
        try (ZooKeeper zk = open(hosts)) {
            BlockingQueue<String> seen = new LinkedBlockingQueue<>();
            Watcher watcher = event -> {
                if (event.getType() != Watcher.Event.EventType.None) {
                    seen.add(event.getType() + " " + event.getPath());
                }
            };
            for (String node : new String[] {"/r", "/r/data", "/r/gone", "/r/parent", "/r/later"}) {
                zk.create(node, b(""), Ids.OPEN_ACL_UNSAFE, CreateMode.PERSISTENT);
            }
            zk.getData("/r/data", watcher, null);
            zk.getData("/r/gone", watcher, null);
            zk.exists("/r/new", watcher);
            zk.exists("/r/never", watcher);
            zk.getChildren("/r/parent", watcher);
            zk.getData("/r/later", watcher, null);
            long session = zk.getSessionId();
            CONNECTION.clear();
            System.out.println("client " + zk);
            System.out.println("armed");
            WatchedEvent event = CONNECTION.poll(60, TimeUnit.SECONDS);
            equal("the connection is lost", event.getState(), Watcher.Event.KeeperState.Disconnected);
            do {
                event = CONNECTION.poll(60, TimeUnit.SECONDS);
            } while (event.getState() == Watcher.Event.KeeperState.Disconnected);
            equal("and made again", event.getState(), Watcher.Event.KeeperState.SyncConnected);
            equal("in the same session", zk.getSessionId(), session);
            List<String> events = new ArrayList<>();
            for (int i = 0; i < 4; i++) {
                events.add(seen.poll(20, TimeUnit.SECONDS));
            }
            events.sort(null);
            equal("what happened while it was away", events, Arrays.asList("NodeChildrenChanged /r/parent",
                    "NodeCreated /r/new", "NodeDataChanged /r/data", "NodeDeleted /r/gone"));
            check("and nothing else", seen.poll(200, TimeUnit.MILLISECONDS) == null);
            zk.setData("/r/later", b("x"), -1);
            equal("a watch that did not fire is armed again", seen.poll(10, TimeUnit.SECONDS),
                    "NodeDataChanged /r/later");
            zk.create("/r/never", b(""), Ids.OPEN_ACL_UNSAFE, CreateMode.PERSISTENT);
            equal("also on a node that is not there", seen.poll(10, TimeUnit.SECONDS), "NodeCreated /r/never");
        }
    }

    private static void persistentWatches(String hosts) throws Exception {
        try (ZooKeeper zk = open(hosts)) {
            BlockingQueue<String> seen = new LinkedBlockingQueue<>();
            Watcher watcher = event -> seen.add(event.getType() + " " + event.getPath());
            zk.create("/pw", b(""), Ids.OPEN_ACL_UNSAFE, CreateMode.PERSISTENT);
            zk.addWatch("/pw", watcher, AddWatchMode.PERSISTENT_RECURSIVE);
            zk.create("/pw/a", b(""), Ids.OPEN_ACL_UNSAFE, CreateMode.PERSISTENT);
            zk.create("/pw/a/b", b(""), Ids.OPEN_ACL_UNSAFE, CreateMode.PERSISTENT);
            zk.setData("/pw/a", b("x"), -1);
            zk.delete("/pw/a/b", -1);
            for (String expected : new String[] {"NodeCreated /pw/a", "NodeCreated /pw/a/b", "NodeDataChanged /pw/a",
                    "NodeDeleted /pw/a/b"}) {
                equal("recursive", seen.poll(10, TimeUnit.SECONDS), expected);
            }
            zk.removeWatches("/pw", watcher, Watcher.WatcherType.Any, false);
            equal("removal is told", seen.poll(10, TimeUnit.SECONDS), "PersistentWatchRemoved /pw");
            zk.delete("/pw/a", -1);
            check("and nothing after it", seen.poll(200, TimeUnit.MILLISECONDS) == null);
            zk.delete("/pw", -1);
        }
    }

    private static void curator(String hosts) throws Exception {
        try (CuratorFramework one = framework(hosts); CuratorFramework two = framework(hosts)) {
            InterProcessMutex first = new InterProcessMutex(one, "/curator/lock");
            InterProcessMutex second = new InterProcessMutex(two, "/curator/lock");
            check("lock", first.acquire(10, TimeUnit.SECONDS));
            check("taken", !second.acquire(300, TimeUnit.MILLISECONDS));
            first.release();
            check("free again", second.acquire(10, TimeUnit.SECONDS));
            second.release();

            LeaderLatch a = new LeaderLatch(one, "/curator/latch");
            LeaderLatch b = new LeaderLatch(two, "/curator/latch");
            a.start();
            check("the first latch leads", a.await(10, TimeUnit.SECONDS));
            b.start();
            check("the second one waits", !b.await(300, TimeUnit.MILLISECONDS));
            a.close();
            check("and leads after it", b.await(10, TimeUnit.SECONDS));
            b.close();

            AtomicInteger wins = new AtomicInteger();
            Thread[] threads = new Thread[2];
            for (int i = 0; i < threads.length; i++) {
                CuratorFramework mine = i == 0 ? one : two;
                threads[i] = new Thread(() -> {
                    try {
                        DistributedAtomicLong counter =
                                new DistributedAtomicLong(mine, "/curator/counter", new RetryNTimes(50, 5));
                        for (int k = 0; k < 20; k++) {
                            if (counter.increment().succeeded()) {
                                wins.incrementAndGet();
                            }
                        }
                    } catch (Exception error) {
                        throw new IllegalStateException(error);
                    }
                });
                threads[i].start();
            }
            for (Thread thread : threads) {
                thread.join();
            }
            long value = new DistributedAtomicLong(one, "/curator/counter", new RetryNTimes(1, 1)).get().postValue();
            equal("a counter counts every success", value, (long) wins.get());
            check("most of 40 succeed", wins.get() >= 20);
        }
    }

    private static CuratorFramework framework(String hosts) throws Exception {
        CuratorFramework framework = CuratorFrameworkFactory.newClient(hosts, 6000, 10000, new RetryNTimes(10, 200));
        framework.start();
        check("Curator connects", framework.blockUntilConnected(30, TimeUnit.SECONDS));
        return framework;
    }

    private interface Call {
        void run() throws Exception;
    }

    private static void code(String what, KeeperException.Code expected, Call call) throws Exception {
        try {
            call.run();
        } catch (KeeperException error) {
            equal(what, error.code(), expected);
            return;
        }
        throw new AssertionError(what + ": no error");
    }

    private static void equal(String what, Object found, Object expected) {
        if (found == null ? expected != null : !found.equals(expected)) {
            throw new AssertionError(what + ": found " + found + ", expected " + expected);
        }
        check(what, true);
    }

    private static void check(String what, boolean holds) {
        if (!holds) {
            throw new AssertionError(what);
        }
        System.out.println("ok " + what);
    }

    private static byte[] b(String text) {
        return text.getBytes(StandardCharsets.UTF_8);
    }
}
