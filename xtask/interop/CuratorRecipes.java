import java.nio.charset.StandardCharsets;
import java.time.Duration;
import java.util.ArrayList;
import java.util.Collections;
import java.util.List;
import java.util.Map;
import java.util.TreeMap;
import java.util.concurrent.BlockingQueue;
import java.util.concurrent.Callable;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.CountDownLatch;
import java.util.concurrent.LinkedBlockingQueue;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.atomic.AtomicInteger;
import org.apache.curator.framework.CuratorFramework;
import org.apache.curator.framework.CuratorFrameworkFactory;
import org.apache.curator.framework.api.transaction.CuratorTransactionResult;
import org.apache.curator.framework.recipes.atomic.AtomicValue;
import org.apache.curator.framework.recipes.atomic.CachedAtomicLong;
import org.apache.curator.framework.recipes.atomic.DistributedAtomicInteger;
import org.apache.curator.framework.recipes.atomic.DistributedAtomicLong;
import org.apache.curator.framework.recipes.atomic.PromotedToLock;
import org.apache.curator.framework.recipes.barriers.DistributedBarrier;
import org.apache.curator.framework.recipes.barriers.DistributedDoubleBarrier;
import org.apache.curator.framework.recipes.cache.ChildData;
import org.apache.curator.framework.recipes.cache.CuratorCache;
import org.apache.curator.framework.recipes.cache.CuratorCacheListener;
import org.apache.curator.framework.recipes.cache.NodeCache;
import org.apache.curator.framework.recipes.cache.PathChildrenCache;
import org.apache.curator.framework.recipes.cache.TreeCache;
import org.apache.curator.framework.recipes.leader.LeaderLatch;
import org.apache.curator.framework.recipes.leader.LeaderSelector;
import org.apache.curator.framework.recipes.leader.LeaderSelectorListenerAdapter;
import org.apache.curator.framework.recipes.leader.Participant;
import org.apache.curator.framework.recipes.locks.InterProcessMultiLock;
import org.apache.curator.framework.recipes.locks.InterProcessMutex;
import org.apache.curator.framework.recipes.locks.InterProcessReadWriteLock;
import org.apache.curator.framework.recipes.locks.InterProcessSemaphoreMutex;
import org.apache.curator.framework.recipes.locks.InterProcessSemaphoreV2;
import org.apache.curator.framework.recipes.locks.Lease;
import org.apache.curator.framework.recipes.locks.Revoker;
import org.apache.curator.framework.recipes.nodes.GroupMember;
import org.apache.curator.framework.recipes.nodes.PersistentNode;
import org.apache.curator.framework.recipes.nodes.PersistentTtlNode;
import org.apache.curator.framework.recipes.queue.DistributedDelayQueue;
import org.apache.curator.framework.recipes.queue.DistributedIdQueue;
import org.apache.curator.framework.recipes.queue.DistributedPriorityQueue;
import org.apache.curator.framework.recipes.queue.DistributedQueue;
import org.apache.curator.framework.recipes.queue.QueueBuilder;
import org.apache.curator.framework.recipes.queue.QueueConsumer;
import org.apache.curator.framework.recipes.queue.QueueSerializer;
import org.apache.curator.framework.recipes.queue.SimpleDistributedQueue;
import org.apache.curator.framework.recipes.shared.SharedCount;
import org.apache.curator.framework.recipes.shared.SharedCountListener;
import org.apache.curator.framework.recipes.shared.SharedCountReader;
import org.apache.curator.framework.recipes.shared.SharedValue;
import org.apache.curator.framework.recipes.watch.PersistentWatcher;
import org.apache.curator.framework.state.ConnectionState;
import org.apache.curator.retry.RetryNTimes;
import org.apache.zookeeper.CreateMode;
import org.apache.zookeeper.KeeperException;
import org.apache.zookeeper.data.Stat;

/**
 * Curator's recipes between two clients: `ok` and a recipe's name on a line for each that held. With
 * a word behind the hosts, only the recipes whose name contains it.
 */
public final class CuratorRecipes {
    private interface Recipe {
        /** The two clients are sessions of their own; `root` is nobody else's. */
        void run(CuratorFramework one, CuratorFramework two, String root) throws Exception;
    }

    private static final Map<String, Recipe> RECIPES = new TreeMap<>(Map.ofEntries(
            Map.entry("InterProcessMutex", CuratorRecipes::mutex),
            Map.entry("InterProcessMutex, revoked", CuratorRecipes::revoked),
            Map.entry("InterProcessReadWriteLock", CuratorRecipes::readWriteLock),
            Map.entry("InterProcessSemaphoreMutex", CuratorRecipes::semaphoreMutex),
            Map.entry("InterProcessSemaphoreV2", CuratorRecipes::semaphore),
            Map.entry("InterProcessSemaphoreV2 with SharedCount", CuratorRecipes::semaphoreOfSharedCount),
            Map.entry("InterProcessMultiLock", CuratorRecipes::multiLock),
            Map.entry("LeaderSelector", CuratorRecipes::leaderSelector),
            Map.entry("LeaderLatch", CuratorRecipes::leaderLatch),
            Map.entry("DistributedBarrier", CuratorRecipes::barrier),
            Map.entry("DistributedDoubleBarrier", CuratorRecipes::doubleBarrier),
            Map.entry("DistributedQueue", CuratorRecipes::queue),
            Map.entry("DistributedIdQueue", CuratorRecipes::idQueue),
            Map.entry("DistributedPriorityQueue", CuratorRecipes::priorityQueue),
            Map.entry("DistributedDelayQueue", CuratorRecipes::delayQueue),
            Map.entry("SimpleDistributedQueue", CuratorRecipes::simpleQueue),
            Map.entry("SharedCount", CuratorRecipes::sharedCount),
            Map.entry("SharedValue", CuratorRecipes::sharedValue),
            Map.entry("DistributedAtomicLong", CuratorRecipes::atomicLong),
            Map.entry("DistributedAtomicInteger", CuratorRecipes::atomicInteger),
            Map.entry("PathChildrenCache", CuratorRecipes::pathChildrenCache),
            Map.entry("NodeCache", CuratorRecipes::nodeCache),
            Map.entry("TreeCache", CuratorRecipes::treeCache),
            Map.entry("CuratorCache", CuratorRecipes::curatorCache),
            Map.entry("PersistentWatcher", CuratorRecipes::persistentWatcher),
            Map.entry("PersistentNode", CuratorRecipes::persistentNode),
            Map.entry("PersistentTtlNode", CuratorRecipes::persistentTtlNode),
            Map.entry("GroupMember", CuratorRecipes::groupMember),
            Map.entry("containers for parents", CuratorRecipes::containers),
            Map.entry("protected and idempotent creates", CuratorRecipes::protectedCreates),
            Map.entry("deletes with children, quietly", CuratorRecipes::deletes),
            Map.entry("reads in the background", CuratorRecipes::background),
            Map.entry("transaction", CuratorRecipes::transaction),
            Map.entry("namespace", CuratorRecipes::namespace)));

    public static void main(String[] args) throws Exception {
        String only = args.length > 1 ? args[1] : "";
        try (CuratorFramework one = framework(args[0]); CuratorFramework two = framework(args[0])) {
            int number = 0;
            for (Map.Entry<String, Recipe> recipe : RECIPES.entrySet()) {
                String root = "/curator-" + ++number;
                if (recipe.getKey().contains(only)) {
                    recipe.getValue().run(one, two, root);
                    System.out.println("ok Curator: " + recipe.getKey());
                }
            }
            if ("a lost session".contains(only)) {
                survivesALostSession(args[0], one);
            }
        }
        System.out.println("done");
        System.exit(0);
    }

    // Locks.

    private static void mutex(CuratorFramework one, CuratorFramework two, String root) throws Exception {
        InterProcessMutex first = new InterProcessMutex(one, root);
        InterProcessMutex second = new InterProcessMutex(two, root);
        check("free", first.acquire(10, TimeUnit.SECONDS));
        check("held again by its holder", first.acquire(10, TimeUnit.SECONDS));
        check("taken", !second.acquire(200, TimeUnit.MILLISECONDS));
        first.release();
        check("still taken", !second.acquire(200, TimeUnit.MILLISECONDS));
        CompletableFuture<Boolean> waiting = async(() -> {
            boolean got = second.acquire(10, TimeUnit.SECONDS);
            second.release();
            return got;
        });
        until("both in the queue", () -> first.getParticipantNodes().size() == 2);
        first.release();
        check("passed on to who waited", waiting.get(10, TimeUnit.SECONDS));
        until("nobody waits", () -> one.getChildren().forPath(root).isEmpty());

        AtomicInteger inside = new AtomicInteger();
        AtomicInteger worst = new AtomicInteger();
        List<CompletableFuture<Boolean>> workers = new ArrayList<>();
        for (int i = 0; i < 4; i++) {
            CuratorFramework mine = i % 2 == 0 ? one : two;
            workers.add(async(() -> {
                InterProcessMutex lock = new InterProcessMutex(mine, root);
                for (int k = 0; k < 5; k++) {
                    lock.acquire();
                    worst.accumulateAndGet(inside.incrementAndGet(), Math::max);
                    inside.decrementAndGet();
                    lock.release();
                }
                return true;
            }));
        }
        for (CompletableFuture<Boolean> worker : workers) {
            worker.get(60, TimeUnit.SECONDS);
        }
        equal("never two at once", worst.get(), 1);
    }

    private static void revoked(CuratorFramework one, CuratorFramework two, String root) throws Exception {
        InterProcessMutex lock = new InterProcessMutex(one, root);
        CountDownLatch asked = new CountDownLatch(1);
        lock.makeRevocable(who -> asked.countDown());
        lock.acquire();
        Revoker.attemptRevoke(two, lock.getParticipantNodes().iterator().next());
        check("its holder is asked to give it up", asked.await(10, TimeUnit.SECONDS));
        lock.release();
    }

    private static void readWriteLock(CuratorFramework one, CuratorFramework two, String root) throws Exception {
        InterProcessReadWriteLock first = new InterProcessReadWriteLock(one, root);
        InterProcessReadWriteLock second = new InterProcessReadWriteLock(two, root);
        first.readLock().acquire();
        check("two read", second.readLock().acquire(10, TimeUnit.SECONDS));
        second.readLock().release();
        check("nobody writes meanwhile", !second.writeLock().acquire(200, TimeUnit.MILLISECONDS));
        first.readLock().release();
        check("now one writes", second.writeLock().acquire(10, TimeUnit.SECONDS));
        check("who writes may read", second.readLock().acquire(10, TimeUnit.SECONDS));
        check("others may not", !first.readLock().acquire(200, TimeUnit.MILLISECONDS));
        second.writeLock().release();
        check("it went on as a reader", first.readLock().acquire(10, TimeUnit.SECONDS));
        first.readLock().release();
        second.readLock().release();
    }

    private static void semaphoreMutex(CuratorFramework one, CuratorFramework two, String root) throws Exception {
        InterProcessSemaphoreMutex first = new InterProcessSemaphoreMutex(one, root);
        InterProcessSemaphoreMutex second = new InterProcessSemaphoreMutex(two, root);
        first.acquire();
        check("its holder does not get it twice", !first.acquire(200, TimeUnit.MILLISECONDS));
        check("taken", !second.acquire(200, TimeUnit.MILLISECONDS));
        first.release();
        check("free", second.acquire(10, TimeUnit.SECONDS));
        second.release();
    }

    private static void semaphore(CuratorFramework one, CuratorFramework two, String root) throws Exception {
        InterProcessSemaphoreV2 first = new InterProcessSemaphoreV2(one, root, 3);
        InterProcessSemaphoreV2 second = new InterProcessSemaphoreV2(two, root, 3);
        List<Lease> leases = new ArrayList<>(first.acquire(2, 10, TimeUnit.SECONDS));
        leases.add(second.acquire(10, TimeUnit.SECONDS));
        equal("three leases", first.getParticipantNodes().size(), 3);
        check("and no fourth", second.acquire(200, TimeUnit.MILLISECONDS) == null);
        first.returnLease(leases.remove(0));
        leases.add(second.acquire(10, TimeUnit.SECONDS));
        check("one came back", leases.get(2) != null);
        first.returnAll(leases);
    }

    private static void semaphoreOfSharedCount(CuratorFramework one, CuratorFramework two, String root)
            throws Exception {
        try (SharedCount size = new SharedCount(one, root + "/size", 1);
                SharedCount its = new SharedCount(two, root + "/size", 1)) {
            size.start();
            its.start();
            InterProcessSemaphoreV2 first = new InterProcessSemaphoreV2(one, root + "/s", size);
            InterProcessSemaphoreV2 second = new InterProcessSemaphoreV2(two, root + "/s", its);
            Lease lease = first.acquire();
            check("one lease", second.acquire(200, TimeUnit.MILLISECONDS) == null);
            size.setCount(2);
            Lease another = second.acquire(10, TimeUnit.SECONDS);
            check("two of them", another != null);
            lease.close();
            another.close();
        }
    }

    private static void multiLock(CuratorFramework one, CuratorFramework two, String root) throws Exception {
        InterProcessMultiLock both = new InterProcessMultiLock(one, List.of(root + "/a", root + "/b"));
        InterProcessMutex b = new InterProcessMutex(two, root + "/b");
        b.acquire();
        check("not while one is taken", !both.acquire(300, TimeUnit.MILLISECONDS));
        check("nor does it keep the other", new InterProcessMutex(two, root + "/a").acquire(10, TimeUnit.SECONDS));
        b.release();
        InterProcessMultiLock free = new InterProcessMultiLock(one, List.of(root + "/c", root + "/b"));
        check("all at once", free.acquire(10, TimeUnit.SECONDS));
        check("taken", !b.acquire(200, TimeUnit.MILLISECONDS));
        free.release();
    }

    // Leaders.

    private static void leaderSelector(CuratorFramework one, CuratorFramework two, String root) throws Exception {
        BlockingQueue<String> led = new LinkedBlockingQueue<>();
        CountDownLatch enough = new CountDownLatch(1);
        List<LeaderSelector> selectors = new ArrayList<>();
        AtomicInteger inside = new AtomicInteger();
        for (CuratorFramework client : List.of(one, two)) {
            String id = client == one ? "one" : "two";
            LeaderSelector selector = new LeaderSelector(client, root, new LeaderSelectorListenerAdapter() {
                @Override
                public void takeLeadership(CuratorFramework ignored) throws Exception {
                    equal("nobody else leads", inside.incrementAndGet(), 1);
                    led.add(id);
                    enough.await(led.size() < 6 ? 20 : 10000, TimeUnit.MILLISECONDS);
                    inside.decrementAndGet();
                }
            });
            selector.setId(id);
            selector.autoRequeue();
            selector.start();
            selectors.add(selector);
        }
        until("six terms", () -> led.size() >= 6);
        check("each had its turn", led.contains("one") && led.contains("two"));
        equal("its participants", selectors.get(0).getParticipants().size(), 2);
        check("a leader is known", selectors.get(1).getLeader().isLeader());
        enough.countDown();
        selectors.forEach(LeaderSelector::close);
    }

    private static void leaderLatch(CuratorFramework one, CuratorFramework two, String root) throws Exception {
        LeaderLatch a = new LeaderLatch(one, root, "a");
        LeaderLatch b = new LeaderLatch(two, root, "b");
        a.start();
        check("the first leads", a.await(10, TimeUnit.SECONDS));
        b.start();
        until("two take part", () -> a.getParticipants().size() == 2);
        check("the second waits", !b.hasLeadership());
        equal("and knows the leader", b.getLeader(), new Participant("a", true));
        a.close();
        check("it leads after it", b.await(10, TimeUnit.SECONDS));
        b.close();
    }

    // Barriers.

    private static void barrier(CuratorFramework one, CuratorFramework two, String root) throws Exception {
        DistributedBarrier mine = new DistributedBarrier(one, root);
        DistributedBarrier its = new DistributedBarrier(two, root);
        mine.setBarrier();
        two.sync().forPath(root);
        check("it holds", !its.waitOnBarrier(200, TimeUnit.MILLISECONDS));
        CompletableFuture<Boolean> waiting = async(() -> its.waitOnBarrier(10, TimeUnit.SECONDS));
        mine.removeBarrier();
        check("and opens", waiting.get(10, TimeUnit.SECONDS));
    }

    private static void doubleBarrier(CuratorFramework one, CuratorFramework two, String root) throws Exception {
        AtomicInteger entered = new AtomicInteger();
        List<CompletableFuture<Boolean>> members = new ArrayList<>();
        for (CuratorFramework client : List.of(one, two, one)) {
            DistributedDoubleBarrier barrier = new DistributedDoubleBarrier(client, root, 3);
            members.add(async(() -> {
                entered.incrementAndGet();
                boolean in = barrier.enter(20, TimeUnit.SECONDS);
                equal("all came before one went in", entered.get(), 3);
                return in && barrier.leave(20, TimeUnit.SECONDS);
            }));
        }
        for (CompletableFuture<Boolean> member : members) {
            check("in and out together", member.get(40, TimeUnit.SECONDS));
        }
    }

    // Queues.

    private static final QueueSerializer<String> TEXT = new QueueSerializer<>() {
        @Override
        public byte[] serialize(String item) {
            return b(item);
        }

        @Override
        public String deserialize(byte[] bytes) {
            return new String(bytes, StandardCharsets.UTF_8);
        }
    };

    /** Keeps what it is handed, in order. */
    private static final class Taken implements QueueConsumer<String> {
        final BlockingQueue<String> items = new LinkedBlockingQueue<>();

        @Override
        public void consumeMessage(String message) {
            items.add(message);
        }

        @Override
        public void stateChanged(CuratorFramework client, ConnectionState state) {
        }

        List<String> next(int count) throws InterruptedException {
            List<String> got = new ArrayList<>();
            for (int i = 0; i < count; i++) {
                got.add(items.poll(15, TimeUnit.SECONDS));
            }
            return got;
        }
    }

    private static void queue(CuratorFramework one, CuratorFramework two, String root) throws Exception {
        Taken taken = new Taken();
        try (DistributedQueue<String> in = QueueBuilder.builder(one, null, TEXT, root).buildQueue();
                DistributedQueue<String> out =
                        QueueBuilder.builder(two, taken, TEXT, root).lockPath(root + "-locks").buildQueue()) {
            in.start();
            for (String item : List.of("a", "b", "c", "d")) {
                in.put(item);
            }
            check("all are put", in.flushPuts(10, TimeUnit.SECONDS));
            out.start();
            equal("in their order", taken.next(4), List.of("a", "b", "c", "d"));
            in.put("e");
            equal("and what comes later", taken.next(1), List.of("e"));
        }
    }

    private static void idQueue(CuratorFramework one, CuratorFramework two, String root) throws Exception {
        Taken taken = new Taken();
        try (DistributedIdQueue<String> in = QueueBuilder.builder(one, null, TEXT, root).buildIdQueue();
                DistributedIdQueue<String> out = QueueBuilder.builder(two, taken, TEXT, root).buildIdQueue()) {
            in.start();
            for (String item : List.of("a", "b", "c")) {
                in.put(item, "id-" + item);
            }
            in.flushPuts(10, TimeUnit.SECONDS);
            equal("one is withdrawn", in.remove("id-b"), 1);
            out.start();
            equal("the others come", taken.next(2), List.of("a", "c"));
        }
    }

    private static void priorityQueue(CuratorFramework one, CuratorFramework two, String root) throws Exception {
        Taken taken = new Taken();
        try (DistributedPriorityQueue<String> in = QueueBuilder.builder(one, null, TEXT, root).buildPriorityQueue(0);
                DistributedPriorityQueue<String> out =
                        QueueBuilder.builder(two, taken, TEXT, root).buildPriorityQueue(0)) {
            in.start();
            in.put("late", 9);
            in.put("soon", -5);
            in.put("next", 3);
            in.flushPuts(10, TimeUnit.SECONDS);
            out.start();
            equal("by priority", taken.next(3), List.of("soon", "next", "late"));
        }
    }

    private static void delayQueue(CuratorFramework one, CuratorFramework two, String root) throws Exception {
        Taken taken = new Taken();
        try (DistributedDelayQueue<String> in = QueueBuilder.builder(one, null, TEXT, root).buildDelayQueue();
                DistributedDelayQueue<String> out =
                        QueueBuilder.builder(two, taken, TEXT, root).buildDelayQueue()) {
            in.start();
            out.start();
            long now = System.currentTimeMillis();
            in.put("second", now + 900);
            in.put("first", now + 300);
            equal("by their time", taken.next(2), List.of("first", "second"));
            check("and not before it", System.currentTimeMillis() >= now + 900);
        }
    }

    private static void simpleQueue(CuratorFramework one, CuratorFramework two, String root) throws Exception {
        SimpleDistributedQueue in = new SimpleDistributedQueue(one, root);
        SimpleDistributedQueue out = new SimpleDistributedQueue(two, root);
        CompletableFuture<String> waiting = async(() -> new String(out.take()));
        in.offer(b("a"));
        equal("handed to who waited", waiting.get(10, TimeUnit.SECONDS), "a");
        in.offer(b("b"));
        in.offer(b("c"));
        two.sync().forPath(root);
        equal("a look", new String(out.element()), "b");
        equal("taken", new String(out.remove()) + new String(out.poll(10, TimeUnit.SECONDS)), "bc");
        check("empty", out.poll(100, TimeUnit.MILLISECONDS) == null);
    }

    // Shared values.

    private static void sharedCount(CuratorFramework one, CuratorFramework two, String root) throws Exception {
        try (SharedCount mine = new SharedCount(one, root, 7); SharedCount its = new SharedCount(two, root, 7)) {
            BlockingQueue<Integer> seen = new LinkedBlockingQueue<>();
            its.addListener(new SharedCountListener() {
                @Override
                public void countHasChanged(SharedCountReader reader, int count) {
                    seen.add(count);
                }

                @Override
                public void stateChanged(CuratorFramework client, ConnectionState state) {
                }
            });
            mine.start();
            its.start();
            equal("its start", its.getCount(), 7);
            check("set", mine.trySetCount(mine.getVersionedValue(), 8));
            equal("the other is told", seen.poll(10, TimeUnit.SECONDS), 8);
            check("set from there", its.trySetCount(its.getVersionedValue(), 9));
            until("and told back", () -> mine.getCount() == 9);
        }
    }

    private static void sharedValue(CuratorFramework one, CuratorFramework two, String root) throws Exception {
        try (SharedValue mine = new SharedValue(one, root, b("x")); SharedValue its = new SharedValue(two, root, b("x"))) {
            mine.start();
            its.start();
            var old = its.getVersionedValue();
            mine.setValue(b("y"));
            check("an old version does not win", !its.trySetValue(old, b("z")));
            until("the new value shows", () -> new String(its.getValue()).equals("y"));
        }
    }

    private static void atomicLong(CuratorFramework one, CuratorFramework two, String root) throws Exception {
        AtomicInteger wins = new AtomicInteger();
        List<CompletableFuture<Boolean>> workers = new ArrayList<>();
        for (CuratorFramework client : List.of(one, two)) {
            workers.add(async(() -> {
                DistributedAtomicLong counter = new DistributedAtomicLong(client, root, new RetryNTimes(50, 5),
                        PromotedToLock.builder().lockPath(root + "-lock").timeout(20, TimeUnit.SECONDS).build());
                for (int k = 0; k < 20; k++) {
                    if (counter.increment().succeeded()) {
                        wins.incrementAndGet();
                    }
                }
                return true;
            }));
        }
        for (CompletableFuture<Boolean> worker : workers) {
            worker.get(60, TimeUnit.SECONDS);
        }
        DistributedAtomicLong counter = new DistributedAtomicLong(one, root, new RetryNTimes(1, 1));
        one.sync().forPath(root);
        equal("what succeeded is counted", counter.get().postValue(), (long) wins.get());
        equal("with the lock, all succeed", wins.get(), 40);
        AtomicValue<Long> swapped = counter.compareAndSet(40L, 100L);
        check("compareAndSet", swapped.succeeded() && swapped.preValue() == 40 && swapped.postValue() == 100);
        check("of another value", !counter.compareAndSet(40L, 5L).succeeded());
        equal("ids taken in tens", new CachedAtomicLong(counter, 10).next().postValue(), 101L);
    }

    private static void atomicInteger(CuratorFramework one, CuratorFramework two, String root) throws Exception {
        DistributedAtomicInteger mine = new DistributedAtomicInteger(one, root, new RetryNTimes(5, 5));
        DistributedAtomicInteger its = new DistributedAtomicInteger(two, root, new RetryNTimes(5, 5));
        check("initialized", mine.initialize(3));
        two.sync().forPath(root);
        check("once", !its.initialize(9));
        equal("subtract", its.subtract(5).postValue(), -2);
    }

    // Caches.

    private static void pathChildrenCache(CuratorFramework one, CuratorFramework two, String root) throws Exception {
        two.create().forPath(root);
        two.create().forPath(root + "/a", b("1"));
        try (PathChildrenCache cache = new PathChildrenCache(one, root, true)) {
            BlockingQueue<String> seen = new LinkedBlockingQueue<>();
            cache.getListenable().addListener((client, event) ->
                    seen.add(event.getType() + (event.getData() == null ? "" : " " + event.getData().getPath())));
            one.sync().forPath(root);
            cache.start(PathChildrenCache.StartMode.BUILD_INITIAL_CACHE);
            equal("what was there", new String(cache.getCurrentData(root + "/a").getData()), "1");
            two.create().forPath(root + "/b");
            equal("a child comes", seen.poll(10, TimeUnit.SECONDS), "CHILD_ADDED " + root + "/b");
            two.setData().forPath(root + "/a", b("2"));
            equal("and changes", seen.poll(10, TimeUnit.SECONDS), "CHILD_UPDATED " + root + "/a");
            two.delete().forPath(root + "/b");
            equal("and goes", seen.poll(10, TimeUnit.SECONDS), "CHILD_REMOVED " + root + "/b");
            equal("the data is the newest", new String(cache.getCurrentData(root + "/a").getData()), "2");
        }
    }

    private static void nodeCache(CuratorFramework one, CuratorFramework two, String root) throws Exception {
        try (NodeCache cache = new NodeCache(one, root)) {
            cache.start(true);
            check("nothing yet", cache.getCurrentData() == null);
            two.create().forPath(root, b("1"));
            until("created", () -> cache.getCurrentData() != null && text(cache.getCurrentData()).equals("1"));
            two.setData().forPath(root, b("2"));
            until("changed", () -> text(cache.getCurrentData()).equals("2"));
            two.delete().forPath(root);
            until("deleted", () -> cache.getCurrentData() == null);
        }
    }

    private static void treeCache(CuratorFramework one, CuratorFramework two, String root) throws Exception {
        two.create().creatingParentsIfNeeded().forPath(root + "/a/b", b("1"));
        one.sync().forPath(root);
        try (TreeCache cache = new TreeCache(one, root)) {
            CountDownLatch ready = new CountDownLatch(1);
            cache.getListenable().addListener((client, event) -> {
                switch (event.getType()) {
                    case INITIALIZED -> ready.countDown();
                    default -> { }
                }
            });
            cache.start();
            check("it has read all", ready.await(10, TimeUnit.SECONDS));
            equal("deep down", text(cache.getCurrentData(root + "/a/b")), "1");
            two.create().forPath(root + "/a/b/c", b("2"));
            until("deeper", () -> cache.getCurrentData(root + "/a/b/c") != null);
            two.delete().deletingChildrenIfNeeded().forPath(root + "/a");
            until("all gone", () -> cache.getCurrentChildren(root).isEmpty());
        }
    }

    /** It watches with one persistent recursive watch. */
    private static void curatorCache(CuratorFramework one, CuratorFramework two, String root) throws Exception {
        two.create().creatingParentsIfNeeded().forPath(root + "/a", b("1"));
        one.sync().forPath(root);
        try (CuratorCache cache = CuratorCache.build(one, root)) {
            BlockingQueue<String> seen = new LinkedBlockingQueue<>();
            CountDownLatch ready = new CountDownLatch(1);
            cache.listenable().addListener(CuratorCacheListener.builder()
                    .forInitialized(ready::countDown)
                    .forCreates(node -> seen.add("+" + node.getPath()))
                    .forChanges((before, node) -> seen.add(text(before) + ">" + text(node)))
                    .forDeletes(node -> seen.add("-" + node.getPath())).build());
            cache.start();
            check("it has read all", ready.await(10, TimeUnit.SECONDS));
            equal("root and child", List.of(take(seen), take(seen)), List.of("+" + root, "+" + root + "/a"));
            two.setData().forPath(root + "/a", b("2"));
            equal("a change", take(seen), "1>2");
            two.create().forPath(root + "/a/x");
            equal("a grandchild", take(seen), "+" + root + "/a/x");
            two.delete().deletingChildrenIfNeeded().forPath(root);
            List<String> gone = new ArrayList<>(List.of(take(seen), take(seen), take(seen)));
            Collections.sort(gone);
            equal("all gone", gone, List.of("-" + root, "-" + root + "/a", "-" + root + "/a/x"));
            equal("an empty cache", cache.size(), 0);
        }
    }

    private static void persistentWatcher(CuratorFramework one, CuratorFramework two, String root) throws Exception {
        for (boolean recursive : new boolean[] {true, false}) {
            String top = root + "-" + recursive;
            two.create().forPath(top);
            one.sync().forPath(top);
            BlockingQueue<String> seen = new LinkedBlockingQueue<>();
            try (PersistentWatcher watcher = new PersistentWatcher(one, top, recursive)) {
                watcher.getListenable().addListener(event -> seen.add(event.getType() + " " + event.getPath()));
                CountDownLatch armed = new CountDownLatch(1);
                watcher.getResetListenable().addListener(armed::countDown);
                watcher.start();
                check("armed", armed.await(10, TimeUnit.SECONDS));
                for (int turn = 0; turn < 2; turn++) {
                    two.create().forPath(top + "/a");
                    two.setData().forPath(top + "/a", b("x"));
                    two.delete().forPath(top + "/a");
                    for (String expected : recursive
                            ? List.of("NodeCreated " + top + "/a", "NodeDataChanged " + top + "/a",
                                    "NodeDeleted " + top + "/a")
                            : List.of("NodeChildrenChanged " + top, "NodeChildrenChanged " + top)) {
                        equal("each change, each time", take(seen), expected);
                    }
                }
            }
            two.setData().forPath(top, b("unheard"));
            one.sync().forPath(top);
            one.getData().forPath(top);
            check("nothing after it is closed", seen.poll(100, TimeUnit.MILLISECONDS) == null);
        }
    }

    // Nodes.

    private static void persistentNode(CuratorFramework one, CuratorFramework two, String root) throws Exception {
        try (PersistentNode node = new PersistentNode(one, CreateMode.EPHEMERAL, true, root + "/n", b("1"))) {
            node.start();
            check("it is made", node.waitForInitialCreate(10, TimeUnit.SECONDS));
            String path = node.getActualPath();
            two.sync().forPath(path);
            equal("an ephemeral", two.checkExists().forPath(path).getEphemeralOwner(), session(one));
            two.delete().forPath(path);
            until("and made again", () -> node.getActualPath() != null
                    && two.checkExists().forPath(node.getActualPath()) != null);
            node.setData(b("2"));
            until("its data", () -> new String(two.getData().forPath(node.getActualPath())).equals("2"));
        }
        two.sync().forPath(root);
        until("gone with its owner", () -> two.getChildren().forPath(root).isEmpty());
    }

    private static void persistentTtlNode(CuratorFramework one, CuratorFramework two, String root) throws Exception {
        try (PersistentTtlNode node = new PersistentTtlNode(one, root, 1500, b("1"))) {
            node.start();
            check("it is made", node.waitForInitialCreate(10, TimeUnit.SECONDS));
            Thread.sleep(4000);
            two.sync().forPath(root);
            check("touched, it stays for longer than its time", two.checkExists().forPath(root) != null);
        }
        until("left alone, it goes", () -> two.checkExists().forPath(root) == null);
    }

    private static void groupMember(CuratorFramework one, CuratorFramework two, String root) throws Exception {
        try (GroupMember mine = new GroupMember(one, root, "one", b("1"))) {
            mine.start();
            try (GroupMember its = new GroupMember(two, root, "two", b("2"))) {
                its.start();
                until("two members", () -> mine.getCurrentMembers().keySet().containsAll(List.of("one", "two")));
                its.setThisData(b("changed"));
                until("its new data", () -> new String(mine.getCurrentMembers().get("two")).equals("changed"));
            }
            until("one of them", () -> mine.getCurrentMembers().size() == 1);
        }
    }

    // Plain operations in Curator's ways.

    private static void containers(CuratorFramework one, CuratorFramework two, String root) throws Exception {
        one.create().creatingParentContainersIfNeeded().forPath(root + "/c/node");
        one.createContainers(root + "/empty");
        one.delete().forPath(root + "/c/node");
        until("what ran empty is removed", () -> one.checkExists().forPath(root + "/c") == null);
        check("what never had a child is not", one.checkExists().forPath(root + "/empty") != null);
    }

    private static void protectedCreates(CuratorFramework one, CuratorFramework two, String root) throws Exception {
        String path = one.create().creatingParentsIfNeeded().withProtection()
                .withMode(CreateMode.EPHEMERAL_SEQUENTIAL).forPath(root + "/p-");
        check("a protected name", path.matches(root + "/_c_[0-9a-f-]{36}-p-0000000000"));
        Stat stat = new Stat();
        one.create().storingStatIn(stat).forPath(root + "/s", b("12"));
        equal("its stat", stat.getDataLength(), 2);
        one.create().orSetData().forPath(root + "/s", b("123"));
        equal("or set", new String(one.getData().forPath(root + "/s")), "123");
        for (int twice = 0; twice < 2; twice++) {
            one.create().idempotent().forPath(root + "/i", b("1"));
        }
        for (int twice = 0; twice < 2; twice++) {
            one.setData().idempotent().withVersion(0).forPath(root + "/i", b("2"));
        }
        equal("each once", one.checkExists().forPath(root + "/i").getVersion(), 1);
        equal("compressed", compressed(one, root + "/z"), "some text, some text, some text");
    }

    private static String compressed(CuratorFramework client, String path) throws Exception {
        client.create().compressed().forPath(path, b("some text, some text, some text"));
        return new String(client.getData().decompressed().forPath(path));
    }

    private static void deletes(CuratorFramework one, CuratorFramework two, String root) throws Exception {
        one.create().creatingParentsIfNeeded().forPath(root + "/a/b/c");
        try {
            one.delete().forPath(root + "/a");
            throw new AssertionError("a node with children was deleted");
        } catch (KeeperException.NotEmptyException expected) {
            one.delete().guaranteed().deletingChildrenIfNeeded().forPath(root + "/a");
        }
        one.delete().quietly().forPath(root + "/a");
        check("gone", one.checkExists().forPath(root + "/a") == null);
    }

    private static void background(CuratorFramework one, CuratorFramework two, String root) throws Exception {
        BlockingQueue<String> seen = new LinkedBlockingQueue<>();
        for (int i = 0; i < 50; i++) {
            one.create().orSetData().inBackground((client, event) -> seen.add("c" + event.getResultCode()))
                    .forPath(root, b("" + i));
        }
        one.getData().inBackground((client, event) -> seen.add(new String(event.getData()))).forPath(root);
        one.sync().inBackground((client, event) -> seen.add("synced")).forPath(root);
        List<String> got = new ArrayList<>();
        while (!got.contains("synced") || got.size() < 52) {
            got.add(take(seen));
        }
        equal("fifty creates or sets", Collections.frequency(got, "c0"), 50);
    }

    private static void transaction(CuratorFramework one, CuratorFramework two, String root) throws Exception {
        List<CuratorTransactionResult> results = one.transaction().forOperations(
                one.transactionOp().create().forPath(root, b("1")),
                one.transactionOp().create().withMode(CreateMode.EPHEMERAL_SEQUENTIAL).forPath(root + "-s-", b("")),
                one.transactionOp().check().withVersion(0).forPath(root),
                one.transactionOp().setData().withVersion(0).forPath(root, b("2")),
                one.transactionOp().create().forPath(root + "/child"),
                one.transactionOp().delete().forPath(root + "/child"));
        equal("a result for each", results.size(), 6);
        equal("the set's version", results.get(3).getResultStat().getVersion(), 1);
        try {
            two.sync().forPath(root);
            two.transaction().forOperations(two.transactionOp().setData().forPath(root, b("3")),
                    two.transactionOp().delete().forPath(root + "/none"));
            throw new AssertionError("a failing transaction did not fail");
        } catch (KeeperException.NoNodeException error) {
            equal("all or nothing", new String(two.getData().forPath(root)), "2");
        }
    }

    private static void namespace(CuratorFramework one, CuratorFramework two, String root) throws Exception {
        CuratorFramework inside = one.usingNamespace(root.substring(1));
        inside.create().creatingParentsIfNeeded().forPath("/a/b", b("x"));
        two.sync().forPath(root);
        equal("it is below the namespace", new String(two.getData().forPath(root + "/a/b")), "x");
        BlockingQueue<String> seen = new LinkedBlockingQueue<>();
        inside.getData().usingWatcher((org.apache.curator.framework.api.CuratorWatcher) event ->
                seen.add(event.getPath())).forPath("/a/b");
        two.setData().forPath(root + "/a/b", b("y"));
        equal("events name the short path", take(seen), "/a/b");
        equal("and children", inside.getChildren().forPath("/"), List.of("a"));
    }

    /** When a session is closed behind Curator's back, a new one makes its ephemerals again. */
    private static void survivesALostSession(String hosts, CuratorFramework other) throws Exception {
        other.create().forPath("/curator-cut");
        try (CuratorFramework doomed = framework(hosts)) {
            BlockingQueue<ConnectionState> states = new LinkedBlockingQueue<>();
            doomed.getConnectionStateListenable().addListener((client, state) -> states.add(state));
            PersistentNode node =
                    new PersistentNode(doomed, CreateMode.EPHEMERAL, false, "/curator-cut/ephemeral", b(""));
            node.start();
            check("it is made", node.waitForInitialCreate(10, TimeUnit.SECONDS));
            long before = session(doomed);
            org.apache.zookeeper.ZooKeeper twin = new org.apache.zookeeper.ZooKeeper(hosts, 6000, event -> { },
                    before, doomed.getZookeeperClient().getZooKeeper().getSessionPasswd());
            until("the twin took the session", () -> twin.getState().isConnected());
            twin.close();
            until("a new session", () -> states.contains(ConnectionState.LOST)
                    && states.contains(ConnectionState.RECONNECTED));
            check("another one", session(doomed) != before);
            until("its ephemeral is there again", () -> {
                Stat stat = other.checkExists().forPath("/curator-cut/ephemeral");
                return stat != null && stat.getEphemeralOwner() == session(doomed);
            });
            node.close();
        }
        System.out.println("ok Curator: a lost session");
    }

    private static CuratorFramework framework(String hosts) throws Exception {
        CuratorFramework framework = CuratorFrameworkFactory.builder().connectString(hosts).sessionTimeoutMs(6000)
                .connectionTimeoutMs(10000).retryPolicy(new RetryNTimes(10, 200)).build();
        framework.start();
        check("Curator connects", framework.blockUntilConnected(30, TimeUnit.SECONDS));
        return framework;
    }

    private static long session(CuratorFramework client) throws Exception {
        return client.getZookeeperClient().getZooKeeper().getSessionId();
    }

    private static <T> CompletableFuture<T> async(Callable<T> call) {
        CompletableFuture<T> future = new CompletableFuture<>();
        Thread thread = new Thread(() -> {
            try {
                future.complete(call.call());
            } catch (Throwable error) {
                future.completeExceptionally(error);
            }
        });
        thread.setDaemon(true);
        thread.start();
        return future;
    }

    private static void until(String what, Callable<Boolean> holds) throws Exception {
        long deadline = System.nanoTime() + Duration.ofSeconds(30).toNanos();
        while (!holds.call()) {
            check("in time: " + what, System.nanoTime() < deadline);
            Thread.sleep(20);
        }
    }

    private static String take(BlockingQueue<String> seen) throws InterruptedException {
        String got = seen.poll(15, TimeUnit.SECONDS);
        check("an event", got != null);
        return got;
    }

    private static void equal(String what, Object found, Object expected) {
        check(what + ": found " + found + ", expected " + expected, found == null ? expected == null : found.equals(expected));
    }

    private static void check(String what, boolean holds) {
        if (!holds) {
            throw new AssertionError(what);
        }
    }

    private static String text(ChildData data) {
        return data == null ? "" : new String(data.getData(), StandardCharsets.UTF_8);
    }

    private static byte[] b(String text) {
        return text.getBytes(StandardCharsets.UTF_8);
    }
}
