"""kazoo's recipes: what people build from the operations."""

import threading

from clients import area, client
from harness import check, equal, shared, wait_until


@shared(1, 3)
def lock(_, ensemble):
    with area(ensemble, "lock") as (zk, root):
        inside, worst, entered = 0, 0, []

        def work(name: str) -> None:
            nonlocal inside, worst
            with client(ensemble.hosts) as mine:
                for _ in range(5):
                    with mine.Lock(f"{root}/l", name):
                        inside += 1
                        worst = max(worst, inside)
                        entered.append(name)
                        mine.set(root, name.encode())
                        inside -= 1

        threads = [threading.Thread(target=work, args=(f"c{i}",)) for i in range(4)]
        for t in threads:
            t.start()
        for t in threads:
            t.join(120)
        equal("all four clients got it five times each", len(entered), 20)
        equal("never two at once", worst, 1)
        equal("nobody waits any more", zk.Lock(f"{root}/l", "x").contenders(), [])


@shared(1, 3)
def lock_of_a_dead_client_is_freed(_, ensemble):
    with area(ensemble, "deadlock") as (zk, root):
        with client(ensemble.hosts) as holder:
            held = holder.Lock(f"{root}/l", "holder")
            held.acquire()
            waiting = zk.Lock(f"{root}/l", "waiting")
            check("it is taken", not waiting.acquire(blocking=False))
        check("it is free when the holder's session ends", waiting.acquire(timeout=15))
        waiting.release()


@shared(1, 3)
def election(_, ensemble):
    with area(ensemble, "election") as (zk, root):
        led, stop = [], threading.Event()

        def run(name: str) -> None:
            with client(ensemble.hosts) as mine:
                mine.Election(f"{root}/e", name).run(lambda: led.append(name))

        threads = [threading.Thread(target=run, args=(f"c{i}",)) for i in range(3)]
        for t in threads:
            t.start()
        for t in threads:
            t.join(60)
        stop.set()
        equal("each led once", sorted(led), ["c0", "c1", "c2"])


@shared(1, 3)
def queue_counter_barrier(_, ensemble):
    with area(ensemble, "others") as (zk, root):
        queue = zk.Queue(f"{root}/q")
        for item in (b"a", b"b", b"c"):
            queue.put(item)
        equal("a queue keeps its order", [queue.get() for _ in range(3)], [b"a", b"b", b"c"])
        counter = zk.Counter(f"{root}/c")
        with client(ensemble.hosts) as other:
            second = other.Counter(f"{root}/c")
            for _ in range(10):
                counter += 1
                second += 1
        equal("a counter of two clients", counter.value, 20)
        barrier = zk.Barrier(f"{root}/b")
        barrier.create()
        check("a barrier holds", not barrier.wait(timeout=0.3))
        barrier.remove()
        check("and opens", barrier.wait(timeout=5))


@shared(1, 3)
def party(_, ensemble):
    with area(ensemble, "party") as (zk, root):
        with client(ensemble.hosts) as other:
            zk.Party(f"{root}/p", "one").join()
            other.Party(f"{root}/p", "two").join()
            zk.sync(root)
            equal("both are members", sorted(zk.Party(f"{root}/p")), ["one", "two"])
        wait_until("the member that left is gone", lambda: list(zk.Party(f"{root}/p")) == ["one"], 10)
        check("the member that left is gone", True)
