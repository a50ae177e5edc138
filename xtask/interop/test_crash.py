"""kill -9 of the leader while clients write: what was acknowledged is there."""

import threading
import time

from kazoo.exceptions import KazooException, NodeExistsError
from kazoo.handlers.threading import KazooTimeoutError

from clients import client
from harness import alone, check, equal, note, wait_until

WRITERS = 4
ROUNDS = 3


class Writer(threading.Thread):
    """Creates one node after the other, never the same twice, and keeps what was acknowledged."""

    def __init__(self, number: int, hosts: str, stop: threading.Event):
        super().__init__()
        self.number, self.hosts, self.stop = number, hosts, stop
        self.acknowledged: dict[str, bytes] = {}
        self.unknown = 0
        self.longest_gap = 0.0
        self.last = time.monotonic()
        self.error: Exception | None = None

    def run(self) -> None:
        try:
            with client(self.hosts, timeout=8) as zk:
                self.session = zk.client_id[0]
                count = 0
                while not self.stop.is_set():
                    count += 1
                    path, data = f"/load/{self.number}-{count:07}", b"%d/%d" % (self.number, count)
                    try:
                        zk.create(path, data)
                    except NodeExistsError:
                        raise AssertionError(f"{path} was there before it was created")
                    except (KazooException, KazooTimeoutError):
                        # Lost connection: it may have happened or not. Wait for the next one.
                        self.unknown += 1
                        time.sleep(0.05)
                        continue
                    now = time.monotonic()
                    self.longest_gap = max(self.longest_gap, now - self.last)
                    self.last = now
                    self.acknowledged[path] = data
                self.same_session = zk.client_id is not None and zk.client_id[0] == self.session
        except Exception as error:
            self.error = error


@alone
def acknowledged_writes_outlive_the_leader(context):
    kill_leaders_under_load(context, [context.kind] * 3)


@alone
def acknowledged_writes_outlive_the_leader_of_a_mixed_ensemble(context):
    kill_leaders_under_load(context, ["java", context.kind, context.kind])


def kill_leaders_under_load(context, kinds: list[str]) -> None:
    with context.ensemble(3, kinds) as ensemble:
        with client(ensemble.hosts) as zk:
            zk.create("/load")
        stop = threading.Event()
        writers = [Writer(i, ensemble.hosts, stop) for i in range(WRITERS)]
        for w in writers:
            w.start()
        try:
            for round in range(1, ROUNDS + 1):
                def written() -> list[int]:
                    return [len(w.acknowledged) for w in writers]
                before = written()
                wait_until("every writer gets on", lambda: all(
                    n > b + 20 for n, b in zip(written(), before)) or any(w.error for w in writers), 60)
                for w in writers:
                    w.longest_gap = 0.0
                leader = ensemble.leader()
                leader.kill()
                killed = written()
                wait_until("every writer is back", lambda: all(
                    n > k + 20 for n, k in zip(written(), killed)) or any(w.error for w in writers), 60)
                equal("errors of writers", [w.error for w in writers if w.error], [])
                check(f"round {round}: {leader} killed, every client writes again", True)
                note(f"longest pause of a writer {max(w.longest_gap for w in writers):.1f} s")
                leader.start().wait_serving()
        finally:
            stop.set()
            for w in writers:
                w.join(60)
        equal("errors of writers", [w.error for w in writers if w.error], [])
        equal("every session lived through it", [w.same_session for w in writers], [True] * WRITERS)
        acknowledged = {p: d for w in writers for p, d in w.acknowledged.items()}
        note(f"{len(acknowledged)} writes acknowledged, {sum(w.unknown for w in writers)} of unknown fate")
        check("there was load", len(acknowledged) > 40 * ROUNDS * WRITERS, len(acknowledged))
        for server in ensemble.servers:
            with client(server.host) as zk:
                zk.sync("/load")
                there = set(zk.get_children("/load"))
                lost = [p for p in acknowledged if p.rsplit("/", 1)[1] not in there]
                equal(f"acknowledged writes missing on {server}", lost, [])
                pending = [(p, zk.get_async(p)) for p in acknowledged]
                wrong = [p for p, got in pending if got.get(timeout=60)[0] != acknowledged[p]]
                equal(f"acknowledged writes with other data on {server}", wrong, [])


@alone
def power_loss_of_all(context):
    """kill -9 of every server at once."""
    with context.ensemble(3) as ensemble:
        with client(ensemble.hosts) as zk:
            acknowledged = [zk.create("/n-", b"x", sequence=True) for _ in range(100)]
        for s in ensemble.servers:
            s.kill()
        for s in ensemble.servers:
            s.start()
        ensemble.wait_serving()
        for s in ensemble.servers:
            with client(s.host) as zk:
                zk.sync("/")
                there = {f"/{c}" for c in zk.get_children("/")}
                equal(f"acknowledged writes missing on {s}", [p for p in acknowledged if p not in there], [])


@alone
def no_quorum_no_service(context):
    """One of three left: it must neither write nor serve; with a second one it goes on."""
    with context.ensemble(3) as ensemble:
        with client(ensemble.hosts) as zk:
            zk.create("/before")
            left, *others = ensemble.servers
            for s in others:
                s.kill()
            wait_until("the last one stops serving", lambda: left.mode() == "", 30)
            check("one of three does not serve", True)
            equal("but answers ruok", left.word("ruok"), "imok")
            others[0].start()
            others[0].wait_serving()
            left.wait_serving()
            zk.retry(zk.create, "/after")
            check("two of three do", True)
            others[1].start().wait_serving()
        with client(others[1].host) as zk:
            zk.sync("/")
            check("the third one catches up", zk.exists("/after") is not None)
