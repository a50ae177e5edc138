"""kazoo's recipes between clients, each against one server and against three. Lock, Election, Queue,
Counter, Barrier and Party also stand in test_recipes, as the shortest examples of their kind."""

import datetime
import threading
import time
import uuid
from contextlib import suppress

from kazoo.client import KazooClient
from kazoo.exceptions import CancelledError, ConnectionClosedError, LockTimeout, NoNodeError, RolledBackError
from kazoo.recipe.cache import TreeCache, TreeEvent
from kazoo.recipe.watchers import ChildrenWatch, DataWatch, PatientChildrenWatch
from kazoo.retry import ForceRetryError, KazooRetry, RetryFailedError

from clients import area, client
from harness import check, equal, raises, shared, wait_until


def together(*calls) -> None:
    """Runs each call on a thread of its own, to their ends."""
    wrong = []

    def run(call) -> None:
        try:
            call()
        except BaseException as error:
            wrong.append(error)

    threads = [threading.Thread(target=run, args=(call,), daemon=True) for call in calls]
    for t in threads:
        t.start()
    for t in threads:
        t.join(60)
    if wrong:
        raise wrong[0]
    if any(t.is_alive() for t in threads):
        raise AssertionError("a client still waits after a minute")


@shared(1, 3)
def lock_in_detail(_, ensemble):
    with area(ensemble, "klock") as (zk, root), client(ensemble.hosts) as other:
        first, second = zk.Lock(f"{root}/l", "first"), other.Lock(f"{root}/l", "second")
        check("acquired", first.acquire() and first.is_acquired)
        raises("a second client's patience ends", LockTimeout, second.acquire, timeout=0.3)
        order = []
        waiting = [other.Lock(f"{root}/l", f"w{i}") for i in range(3)]

        def wait(lock) -> None:
            with lock:
                order.append(lock.data)

        threads = []
        for n, lock in enumerate(waiting):
            threads.append(threading.Thread(target=wait, args=(lock,)))
            threads[-1].start()
            wait_until(f"{n + 2} contend", lambda: len(first.contenders()) == n + 2)
        equal("the contenders, in their order", first.contenders(), ["first", "w0", "w1", "w2"])
        first.release()
        for t in threads:
            t.join(30)
        equal("and so they get it", order, [b"w0", b"w1", b"w2"])
        held = zk.Lock(f"{root}/l", "held")
        held.acquire()
        cancelled = other.Lock(f"{root}/l", "cancelled")
        errors = []

        def patient() -> None:
            try:
                cancelled.acquire()
            except CancelledError as error:
                errors.append(error)

        waiter = threading.Thread(target=patient)
        waiter.start()
        wait_until("it waits", lambda: len(held.contenders()) == 2)
        cancelled.cancel()
        waiter.join(30)
        equal("one who waits is called off", len(errors), 1)
        held.release()
        equal("nobody is left", held.contenders(), [])


@shared(1, 3)
def read_and_write_locks(_, ensemble):
    with area(ensemble, "krw") as (zk, root), client(ensemble.hosts) as other:
        path = f"{root}/l"
        read, its_read = zk.ReadLock(path, "r1"), other.ReadLock(path, "r2")
        write, its_write = zk.WriteLock(path, "w1"), other.WriteLock(path, "w2")
        check("two read at once", read.acquire(timeout=10) and its_read.acquire(timeout=10))
        check("nobody writes meanwhile", not its_write.acquire(blocking=False))
        read.release()
        raises("nor while one still reads", LockTimeout, its_write.acquire, timeout=0.3)
        its_read.release()
        check("then one writes", its_write.acquire(timeout=10))
        check("alone", not write.acquire(blocking=False))
        check("and nobody reads", not zk.ReadLock(path, "r3").acquire(blocking=False))
        its_write.release()
        check("until it is done", read.acquire(timeout=10))
        read.release()


@shared(1, 3)
def semaphore(_, ensemble):
    with area(ensemble, "ksemaphore") as (zk, root), client(ensemble.hosts) as other:
        clients, inside, worst, lock = [zk, other], 0, 0, threading.Lock()

        def work(n: int) -> None:
            nonlocal inside, worst
            for _ in range(3):
                with clients[n % 2].Semaphore(f"{root}/s", f"holder-{n}", max_leases=2):
                    with lock:
                        inside += 1
                        worst = max(worst, inside)
                    time.sleep(0.01)
                    with lock:
                        inside -= 1

        together(*(lambda n=n: work(n) for n in range(5)))
        check("never more than its leases", worst <= 2, worst)
        one = zk.Semaphore(f"{root}/s", "one", max_leases=2)
        one.acquire()
        other.sync(root)
        equal("its holders", other.Semaphore(f"{root}/s", max_leases=2).lease_holders(), ["one"])
        raises("another number of leases", ValueError, other.Semaphore(f"{root}/s", max_leases=3).acquire)
        two = other.Semaphore(f"{root}/s", "two", max_leases=2)
        two.acquire()
        third = other.Semaphore(f"{root}/s", "three", max_leases=2)
        check("no third", not third.acquire(blocking=False))
        one.release()
        check("but when one came back", third.acquire(timeout=10))


@shared(1, 3)
def election_of_a_dead_leader(_, ensemble):
    with area(ensemble, "kelection") as (zk, root), client(ensemble.hosts) as doomed:
        led, stay = [], threading.Event()

        def lead(name: str) -> None:
            led.append(name)
            stay.wait(30)

        def be_cut_off() -> None:
            with suppress(ConnectionClosedError):
                doomed.Election(f"{root}/e", "doomed").run(lead, "doomed")

        first = threading.Thread(target=be_cut_off, daemon=True)
        first.start()
        wait_until("the first leads", lambda: led == ["doomed"])
        heir = zk.Election(f"{root}/e", "heir")
        second = threading.Thread(target=lambda: heir.run(lead, "heir"), daemon=True)
        second.start()
        wait_until("both contend", lambda: heir.contenders() == ["doomed", "heir"])
        check("one leads", led == ["doomed"])
        doomed.stop()
        wait_until("the heir leads when the leader's session ends", lambda: led == ["doomed", "heir"])
        check("the heir leads", True)
        stay.set()
        for t in (first, second):
            t.join(30)


@shared(1, 3)
def barriers(_, ensemble):
    with area(ensemble, "kbarrier") as (zk, root), client(ensemble.hosts) as other, client(ensemble.hosts) as third:
        barrier = zk.Barrier(f"{root}/b")
        barrier.create()
        other.sync(root)
        passed = []
        waiter = threading.Thread(target=lambda: passed.append(other.Barrier(f"{root}/b").wait(30)))
        waiter.start()
        time.sleep(0.2)
        equal("it holds", passed, [])
        check("and is removed", barrier.remove())
        waiter.join(30)
        equal("then opens for who waited", passed, [True])
        check("once", not barrier.remove())

        entered, left = [], []

        def member(zk) -> None:
            double = zk.DoubleBarrier(f"{root}/d", 3)
            entered.append(1)
            double.enter()
            equal("nobody is in before all are there", len(entered), 3)
            left.append(1)
            double.leave()
            equal("nobody is out before all leave", len(left), 3)

        together(*(lambda zk=zk: member(zk) for zk in (zk, other, third)))
        zk.sync(root)
        equal("it is empty behind them", [c for c in zk.get_children(f"{root}/d") if c != "ready"], [])


@shared(1, 3)
def queues(_, ensemble):
    with area(ensemble, "kqueue") as (zk, root), client(ensemble.hosts) as other:
        queue = zk.Queue(f"{root}/q")
        for item, priority in ((b"late", 200), (b"normal", 100), (b"early", 1), (b"second", 100)):
            queue.put(item, priority=priority)
        equal("its length", len(queue), 4)
        other.sync(root)
        there = other.Queue(f"{root}/q")
        equal("by priority, then by age", [there.get() for _ in range(4)], [b"early", b"normal", b"second", b"late"])
        equal("nothing more", there.get(), None)

        locking = zk.LockingQueue(f"{root}/lq")
        locking.put_all([b"a", b"b"], priority=5)
        locking.put(b"first", priority=1)
        other.sync(root)
        its = other.LockingQueue(f"{root}/lq")
        equal("one is taken and held", its.get(timeout=10), b"first")
        check("by its client", its.holds_lock())
        equal("the next goes to another", locking.get(timeout=10), b"a")
        check("consumed", its.consume() and locking.consume())
        equal("the last", its.get(timeout=10), b"b")
        check("given back", its.release())
        equal("comes again", locking.get(timeout=10), b"b")
        check("and is consumed", locking.consume())
        equal("none left", its.get(timeout=0.3), None)
        got, waiting = [], threading.Thread(target=lambda: got.append(its.get(timeout=30)))
        waiting.start()
        time.sleep(0.2)
        locking.put(b"awaited")
        waiting.join(30)
        equal("handed to who waits", got, [b"awaited"])
        its.consume()
        held = locking
        held.put(b"held")
        with client(ensemble.hosts) as doomed:
            equal("one is held", doomed.LockingQueue(f"{root}/lq").get(timeout=10), b"held")
        equal("and free again without its client", its.get(timeout=15), b"held")
        its.consume()


@shared(1, 3)
def counters(_, ensemble):
    with area(ensemble, "kcounter") as (zk, root), client(ensemble.hosts) as other:
        mine, its = zk.Counter(f"{root}/c", default=5), other.Counter(f"{root}/c", default=5)

        def count(counter, step: int) -> None:
            for _ in range(25):
                counter += step

        together(lambda: count(mine, 2), lambda: count(its, -1))
        equal("every step of two clients", mine.value, 5 + 25)
        mine += 3
        equal("what it was before and after", (mine.pre_value, mine.post_value), (30, 33))
        ratio = zk.Counter(f"{root}/f", default=1.5)
        ratio -= 0.25
        equal("of floats", ratio.value, 1.25)
        curators = zk.Counter(f"{root}/i", support_curator=True)
        curators += 7
        equal("in Curator's form", zk.get(f"{root}/i")[0], (7).to_bytes(4, "big"))


@shared(1, 3)
def parties(_, ensemble):
    with area(ensemble, "kparty") as (zk, root), client(ensemble.hosts) as other:
        for kind, named in (("Party", "whole"), ("ShallowParty", "shallow")):
            path = f"{root}/{named}"
            mine, its = getattr(zk, kind)(path, "one"), getattr(other, kind)(path, "two")
            mine.join()
            its.join()
            zk.sync(path)
            equal(f"members of a {kind}", (sorted(mine), len(mine)), (["one", "two"], 2))
            its.leave()
            wait_until("one has left", lambda: list(mine) == ["one"])
            its.join()
        other.stop()
        wait_until("a client's memberships end with it",
                   lambda: list(zk.Party(f"{root}/whole")) == list(zk.ShallowParty(f"{root}/shallow")) == ["one"])
        check("a client's memberships end with it", True)


@shared(1, 3)
def leases(_, ensemble):
    with area(ensemble, "klease") as (zk, root), client(ensemble.hosts) as other:
        hour, moment = datetime.timedelta(hours=1), datetime.timedelta(seconds=1)
        check("a lease", zk.NonBlockingLease(f"{root}/l", hour, identifier="one").obtained)
        other.sync(root)
        check("is nobody else's", not other.NonBlockingLease(f"{root}/l", hour, identifier="two").obtained)
        check("but renewed by its holder", zk.NonBlockingLease(f"{root}/l", hour, identifier="one").obtained)
        check("a short one", zk.NonBlockingLease(f"{root}/s", moment, identifier="one").obtained)
        wait_until("is free when it runs out",
                   lambda: other.NonBlockingLease(f"{root}/s", hour, identifier="two").obtained, 10)
        many = [c.MultiNonBlockingLease(2, f"{root}/m", hour, identifier=name).obtained
                for c, name in ((zk, "one"), (other, "two"), (zk, "three"), (other, "two"))]
        equal("two of many, and one again", many, [True, True, False, True])


@shared(1, 3)
def watchers(_, ensemble):
    with area(ensemble, "kwatch") as (zk, root), client(ensemble.hosts) as other:
        values, events, children, ends = [], [], [], []
        node = f"{root}/n"

        @zk.DataWatch(node)
        def data(value, stat, event):
            values.append(value)
            events.append(event.type if event else None)

        other.create(node, b"1")
        wait_until("a node that comes", lambda: values == [None, b"1"])
        other.set(node, b"2")
        wait_until("and changes", lambda: values == [None, b"1", b"2"])
        other.delete(node)
        wait_until("and goes", lambda: values == [None, b"1", b"2", None])
        equal("by events", events, [None, "CREATED", "CHANGED", "DELETED"])

        @zk.ChildrenWatch(root, send_event=True)
        def names(now, event):
            children.append(sorted(now))
            return "stop" not in now

        other.create(f"{root}/a")
        wait_until("children", lambda: children == [[], ["a"]])
        other.create(f"{root}/stop")
        wait_until("until it has had enough", lambda: children[-1] == ["a", "stop"])
        other.create(f"{root}/late")
        zk.sync(root)
        equal("then nothing more", children[-1], ["a", "stop"])

        ChildrenWatch(zk, f"{root}/late", lambda now: ends.append(now))
        DataWatch(zk, f"{root}/late", lambda value, stat: ends.append(value))
        equal("the classes behind them", ends, [[], b""])
        watch = PatientChildrenWatch(zk, root, time_boundary=0.3)
        settled = watch.start()
        found, changed = settled.get(timeout=20)
        equal("when all is quiet", sorted(found), ["a", "late", "stop"])
        other.create(f"{root}/more")
        changed.wait(20)
        check("then it tells of the next change", changed.ready())


@shared(1, 3)
def tree_cache(_, ensemble):
    with area(ensemble, "kcache") as (zk, root), client(ensemble.hosts) as other:
        other.ensure_path(f"{root}/t/a/b")
        zk.sync(root)
        cache, seen = TreeCache(zk, f"{root}/t"), []
        cache.listen(lambda event: seen.append(event.event_type))
        cache.start()
        wait_until("it has read all", lambda: TreeEvent.INITIALIZED in seen)
        equal("three nodes", seen.count(TreeEvent.NODE_ADDED), 3)
        equal("children", sorted(cache.get_children(f"{root}/t")), ["a"])
        other.set(f"{root}/t/a/b", b"new")
        wait_until("new data", lambda: cache.get_data(f"{root}/t/a/b").data == b"new")
        other.create(f"{root}/t/a/b/c")
        wait_until("a new leaf", lambda: cache.get_data(f"{root}/t/a/b/c") is not None)
        other.delete(f"{root}/t/a", recursive=True)
        wait_until("all gone", lambda: cache.get_children(f"{root}/t") == frozenset())
        wait_until("each is told", lambda: seen.count(TreeEvent.NODE_REMOVED) >= 3)
        equal("once", (seen.count(TreeEvent.NODE_ADDED), seen.count(TreeEvent.NODE_REMOVED)), (4, 3))
        cache.close()


@shared(1, 3)
def set_partitioner(_, ensemble):
    with area(ensemble, "kpartition") as (zk, root), client(ensemble.hosts) as other:
        parts, whole = [], tuple(range(7))

        def acquired(partitioner, deadline) -> None:
            while not partitioner.acquired:
                check("in time", time.monotonic() < deadline and not partitioner.failed)
                if partitioner.release:
                    partitioner.release_set()
                elif partitioner.allocating:
                    partitioner.wait_for_acquire(1)

        def join(zk, name: str) -> None:
            partitioner = zk.SetPartitioner(f"{root}/p", set=whole, identifier=name, time_boundary=0.5)
            parts.append(partitioner)
            acquired(partitioner, time.monotonic() + 40)

        together(lambda: join(zk, "one"), lambda: join(other, "two"))
        first, second = (set(p) for p in parts)
        equal("two share all", first | second, set(whole))
        equal("and nothing twice", first & second, set())
        equal("about evenly", sorted((len(first), len(second))), [3, 4])
        parts[1].finish()
        wait_until("the other is told", lambda: parts[0].release, 30)
        acquired(parts[0], time.monotonic() + 40)
        equal("one has it all", set(parts[0]), set(whole))
        parts[0].finish()


@shared(1, 3)
def transactions_and_retries(_, ensemble):
    with area(ensemble, "kretry") as (zk, root), client(ensemble.hosts) as other:
        with zk.transaction() as t:
            t.create(f"{root}/a", b"1")
            t.set_data(f"{root}/a", b"2")
            t.check(f"{root}/a", 1)
        other.sync(root)
        equal("a transaction as a context", other.get(f"{root}/a")[0], b"2")
        t = zk.transaction()
        t.delete(f"{root}/a")
        t.delete(f"{root}/none")
        equal("undone", [type(r) for r in t.commit()], [RolledBackError, NoNodeError])
        pending = zk.transaction()
        pending.create(f"{root}/b")
        equal("asynchronously", pending.commit_async().get(timeout=20), [f"{root}/b"])

        calls = []

        def sometimes() -> str:
            calls.append(1)
            if len(calls) < 4:
                raise ForceRetryError
            return "done"

        retry = KazooRetry(max_tries=5, delay=0.01, max_delay=0.05)
        equal("tried until it works", (retry(sometimes), len(calls)), ("done", 4))
        calls.clear()
        raises("but not for ever", RetryFailedError, KazooRetry(max_tries=1, delay=0.01), sometimes)
        equal("with the client's own patience", zk.retry(zk.get, f"{root}/a")[0], b"2")


@shared(1, 3)
def chroot(_, ensemble):
    with area(ensemble, "kchroot") as (zk, root):
        name = uuid.uuid4().hex
        zk.create(f"{root}/{name}")
        inner = KazooClient(f"{ensemble.hosts}{root}/{name}", randomize_hosts=False)
        inner.start(30)
        try:
            inner.sync("/")
            seen = []
            inner.exists("/x/y", watch=lambda event: seen.append(event.path))
            equal("created below it", inner.create("/x/y", b"1", makepath=True), "/x/y")
            wait_until("events name the short path", lambda: seen == ["/x/y"])
            zk.sync(root)
            equal("and it is there", zk.get(f"{root}/{name}/x/y")[0], b"1")
            equal("children of its root", inner.get_children("/"), ["x"])
            with inner.Lock("/lock", "me"):
                equal("recipes too", len(zk.get_children(f"{root}/{name}/lock")), 1)
            equal("a transaction answers short paths", inner.transaction().commit(), [])
            with inner.transaction() as t:
                t.create("/t")
            zk.sync(root)
            check("in a transaction too", zk.exists(f"{root}/{name}/t") is not None)
        finally:
            inner.stop()
            inner.close()
