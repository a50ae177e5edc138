"""Clients that write while servers come and go, and remember: what was acknowledged, and what may have
happened or not because nobody answered. Afterwards a tree is held against that.

Each writer has a subtree of its own, so what it remembers is exact.
"""

import random
import threading
import time
from dataclasses import dataclass, field
from typing import NamedTuple

from kazoo.exceptions import (BadVersionError, ConnectionClosedError, ConnectionLoss,
                              OperationTimeoutError, RolledBackError, SessionMovedError)
from kazoo.handlers.threading import KazooTimeoutError
from kazoo.protocol.states import KazooState, ZnodeStat
from kazoo.security import OPEN_ACL_UNSAFE, make_acl, make_digest_acl

from clients import client
from harness import check, equal, wait_until
from servers import Server

# Longer than any server is away.
SESSION_S = 40.0
# What a writer rests between two calls, about.
PACE_S = 0.012
# From so many nodes on, a writer rather deletes.
NODES = 120
# Its fate is unknown: sent, and not answered.
UNKNOWN = (ConnectionLoss, ConnectionClosedError, OperationTimeoutError, KazooTimeoutError)
# Whoever wrote may always go on writing and reading.
ACLS = [
    OPEN_ACL_UNSAFE,
    [make_acl("world", "anyone", read=True, admin=True)],
    [make_acl("world", "anyone", read=True, admin=True), make_digest_acl("ann", "sesame", all=True)],
]


class Node(NamedTuple):
    data: bytes
    stat: ZnodeStat
    acl: list
    children: list[str]


def shown(acl: list) -> list:
    return sorted((a.perms, a.id.scheme, a.id.id) for a in acl)


def whole_tree(zk, skip: tuple[str, ...] = ()) -> dict[str, Node]:
    """Everything that one server has: many requests in flight, a level of the tree at a time."""
    seen: dict[str, Node] = {}
    level = ["/"]
    while level:
        asked = [(path, zk.get_async(path), zk.get_children_async(path), zk.get_acls_async(path))
                 for path in level]
        level = []
        for path, got, children, acl in asked:
            data, stat = got.get(timeout=60)
            names = sorted(children.get(timeout=60))
            if path not in skip:
                seen[path] = Node(data, stat, shown(acl.get(timeout=60)[0]), names)
            level += [f"{path.rstrip('/')}/{name}" for name in names]
    return seen


@dataclass
class Register:
    """What one writer replaces again and again: the last number known to be in place, and those sent
    after it."""
    sent: int = 0
    acknowledged: int = 0
    later: list[int] = field(default_factory=list)
    changes: int = 0
    changes_unknown: int = 0

    def send(self) -> int:
        self.sent += 1
        self.later.append(self.sent)
        self.changes_unknown += 1
        return self.sent

    def confirm(self) -> None:
        self.acknowledged, self.later = self.sent, []
        self.changes, self.changes_unknown = self.changes + 1, self.changes_unknown - 1

    def allows(self, number: int, changes: int) -> bool:
        """It may have been changed as often, and last to this."""
        return ((number == self.acknowledged or number in self.later)
                and self.changes <= changes <= self.changes + self.changes_unknown)


class Writer(threading.Thread):
    def __init__(self, number: int, hosts: str, server: Server | None, load: "Load"):
        super().__init__(daemon=True)
        self.number, self.hosts, self.server, self.load = number, hosts, server, load
        self.random = random.Random(f"{load.seed}/{number}")
        self.root = f"/load/{number}"
        self.counter, self.guarded, self.alive = (
            f"{self.root}/{name}" for name in ("counter", "guarded", "alive"))
        # Held during a call.
        self.busy = threading.Lock()
        self.begun = threading.Event()
        self.names = 0
        # Acknowledged: path to data and owner.
        self.there: dict[str, tuple[bytes, int]] = {}
        # Deleted, acknowledged; or part of a multi that failed.
        self.gone: set[str] = set()
        self.unsure: set[str] = set()
        # Sequential creates whose name nobody told us, by their data.
        self.nameless: set[bytes] = set()
        # Creates of one multi: both or none.
        self.pairs: list[tuple[str, str]] = []
        self.values, self.acls = Register(), Register()
        self.last_in_sequence = -1
        self.acknowledged = self.unknown = self.moved = 0
        self.session = 0
        self.lost = False
        self.error: Exception | None = None

    def __str__(self) -> str:
        return f"writer {self.number} at {self.server or 'any server'}"

    def run(self) -> None:
        try:
            with client(self.hosts, timeout=SESSION_S) as zk:
                zk.add_listener(self.on_state)
                self.begin(zk)
                while not self.load.over.is_set():
                    with self.busy:
                        if self.load.going.is_set():
                            self.step(zk)
                    time.sleep(self.random.uniform(0, 2 * PACE_S))
        except Exception as error:
            self.error = error
        finally:
            self.begun.set()

    def on_state(self, state: str) -> None:
        if state == KazooState.LOST and not self.load.over.is_set():
            self.lost = True

    def begin(self, zk) -> None:
        self.session = zk.client_id[0]
        zk.create(self.root)
        for path in (self.counter, self.guarded):
            zk.create(path, b"0")
        zk.create(self.alive, b"alive", ephemeral=True)
        self.there[self.alive] = (b"alive", self.session)
        self.begun.set()

    def step(self, zk) -> None:
        acts = [(self.create, 4), (self.set, 4), (self.delete, 12 if len(self.there) > NODES else 2),
                (self.ephemeral, 1), (self.sequential, 2), (self.multi, 2), (self.failing, 1),
                (self.set_acl, 1)]
        [act] = self.random.choices([a for a, _ in acts], [weight for _, weight in acts])
        try:
            act(zk)
        except UNKNOWN:
            self.unknown += 1
        except SessionMovedError:
            # It did not happen; but what we remember may stay unsure of it.
            self.moved += 1
        else:
            self.acknowledged += 1

    def fresh(self, kind: str) -> tuple[str, bytes]:
        self.names += 1
        return f"{self.root}/{kind}{self.names}", b"%d/%d" % (self.number, self.names)

    def confirm(self, path: str, data: bytes, owner: int = 0) -> None:
        self.unsure.discard(path)
        self.there[path] = (data, owner)

    def create(self, zk) -> None:
        path, data = self.fresh("n")
        self.unsure.add(path)
        zk.create(path, data)
        self.confirm(path, data)

    def ephemeral(self, zk) -> None:
        path, data = self.fresh("e")
        self.unsure.add(path)
        zk.create(path, data, ephemeral=True)
        self.confirm(path, data, self.session)

    def sequential(self, zk) -> None:
        _, data = self.fresh("s")
        owner = self.random.choice([0, self.session])
        self.nameless.add(data)
        path = zk.create(f"{self.root}/s-", data, sequence=True, ephemeral=owner != 0)
        self.nameless.remove(data)
        number = int(path[-10:])
        assert number > self.last_in_sequence, f"{path} after number {self.last_in_sequence}"
        self.last_in_sequence = number
        self.confirm(path, data, owner)

    def set(self, zk) -> None:
        value = self.values.send()
        zk.set(self.counter, b"%d" % value)
        self.values.confirm()

    def delete(self, zk) -> None:
        path = self.random.choice(sorted(self.there))
        if path == self.alive:
            return
        del self.there[path]
        self.unsure.add(path)
        zk.delete(path)
        self.unsure.discard(path)
        self.gone.add(path)

    def multi(self, zk) -> None:
        (a, data), (b, _) = self.fresh("a"), self.fresh("b")
        value = self.values.send()
        self.unsure |= {a, b}
        self.pairs.append((a, b))
        t = zk.transaction()
        t.create(a, data)
        t.create(b, data)
        t.set_data(self.counter, b"%d" % value)
        results = t.commit()
        assert results[:2] == [a, b], f"a multi answered {results}"
        self.pairs.pop()
        self.values.confirm()
        for path in (a, b):
            self.confirm(path, data)

    def failing(self, zk) -> None:
        path, data = self.fresh("x")
        self.gone.add(path)
        t = zk.transaction()
        t.create(path, data)
        t.check(self.root, 99_999)
        results = [type(result) for result in t.commit()]
        assert results == [RolledBackError, BadVersionError], f"a failing multi answered {results}"

    def set_acl(self, zk) -> None:
        number = self.acls.send()
        zk.set_acls(self.guarded, ACLS[number % len(ACLS)])
        self.acls.confirm()

    def findings(self, tree: dict[str, Node]) -> list[str]:
        """What a tree has, and lacks, against what is known."""
        here = {path: node for path, node in tree.items() if path.startswith(f"{self.root}/")}
        found = []
        for path, (data, owner) in self.there.items():
            node = here.get(path)
            if node is None:
                found.append(f"{path} is lost")
            elif (node.data, node.stat.ephemeralOwner) != (data, owner):
                found.append(f"{path} is {node}, expected {data!r} of {owner:x}")
        found += [f"{path} is back" for path in sorted(self.gone) if path in here]
        found += [f"half of a multi: {a}, {b}" for a, b in self.pairs if (a in here) != (b in here)]
        counter, guarded = here[self.counter], here[self.guarded]
        if not self.values.allows(int(counter.data), counter.stat.version):
            found.append(f"{self.counter} is {counter}, expected {self.values}")
        allowed = {self.acls.acknowledged, *self.acls.later}
        if not any(guarded.acl == shown(ACLS[n % len(ACLS)]) and
                   self.acls.allows(n, guarded.stat.aversion) for n in allowed):
            found.append(f"{self.guarded} is {guarded}, expected {self.acls}")
        for path in here.keys() - self.there.keys() - self.unsure - {self.counter, self.guarded}:
            if here[path].data not in self.nameless and path not in self.gone:
                found.append(f"{path} was never written")
        return found


class Onlooker(threading.Thread):
    """Looks at ephemerals whose sessions live, at any server, and finds each every time."""

    def __init__(self, hosts: str, paths: list[str], load: "Load"):
        super().__init__(daemon=True)
        self.hosts, self.paths, self.load = hosts, paths, load
        self.looked = 0
        self.error: Exception | None = None

    def run(self) -> None:
        try:
            with client(self.hosts, timeout=SESSION_S) as zk:
                zk.sync("/load")
                while not self.load.over.is_set():
                    for path in self.paths:
                        try:
                            there = zk.exists(path)
                        except UNKNOWN:
                            continue
                        assert there is not None, f"{path} vanished while its session lived"
                        self.looked += 1
                    time.sleep(0.05)
        except Exception as error:
            self.error = error


class Load:
    """A writer at each server, `roaming` more that go where they are let in, and an onlooker."""

    def __init__(self, ensemble, seed: int, roaming: int = 1):
        self.ensemble, self.seed = ensemble, seed
        self.going, self.over = threading.Event(), threading.Event()
        seats = [(s.host, s) for s in ensemble.servers] + [(ensemble.hosts, None)] * roaming
        self.writers = [Writer(n, hosts, server, self) for n, (hosts, server) in enumerate(seats)]
        self.onlooker = Onlooker(ensemble.hosts, [w.alive for w in self.writers], self)

    def __enter__(self) -> "Load":
        with client(self.ensemble.hosts) as zk:
            zk.create("/load")
        self.going.set()
        try:
            for w in self.writers:
                w.start()
            for w in self.writers:
                check_begun = w.begun.wait(60)
                assert check_begun and w.error is None, f"{w} did not begin: {w.error!r}"
            self.onlooker.start()
        except BaseException:
            self.over.set()
            raise
        return self

    def __exit__(self, *_) -> None:
        self.over.set()
        for thread in [*self.writers, self.onlooker]:
            thread.join(20)

    def check_well(self) -> None:
        wrong = [f"{w}: {w.error!r}" for w in self.writers if w.error]
        wrong += [f"{w}: its session 0x{w.session:x} is lost" for w in self.writers if w.lost]
        if self.onlooker.error:
            wrong.append(f"onlooker: {self.onlooker.error!r}")
        if wrong:
            raise AssertionError("; ".join(wrong))

    def wait_progress(self, what: str, least: int = 5) -> float:
        """Every writer that has a server got on; the seconds that it took."""
        before = {w: w.acknowledged for w in self.writers if w.server is None or w.server.awake()}

        def got_on() -> bool:
            self.check_well()
            return all(w.acknowledged >= n + least for w, n in before.items())

        def behind() -> str:
            return "behind: " + ", ".join(
                str(w) for w, n in before.items() if w.acknowledged < n + least)

        return wait_until(f"every writer gets on {what}", got_on, 60, on_failure=behind)

    def pause(self) -> None:
        """No call is under way afterwards, and none begins."""
        self.going.clear()
        for w in self.writers:
            assert w.busy.acquire(timeout=60), f"{w} waits for an answer"
            w.busy.release()
        self.check_well()

    def go_on(self) -> None:
        self.going.set()

    def acknowledged(self) -> int:
        return sum(w.acknowledged for w in self.writers)

    def summary(self) -> str:
        unknown, moved = (sum(getattr(w, what) for w in self.writers) for what in ("unknown", "moved"))
        return (f"{self.acknowledged()} writes acknowledged, {unknown} of unknown fate, {moved} refused "
                f"because a session had moved; {self.onlooker.looked} looks at ephemerals")

    def check_tree(self, tree: dict[str, Node], where: str) -> None:
        self.check_well()
        findings = [finding for w in self.writers for finding in w.findings(tree)]
        equal(f"{where}: acknowledged writes that are lost, and others that are there", findings, [])
        ephemerals = sum(owner != 0 for w in self.writers for _, owner in w.there.values())
        check(f"{where}: {ephemerals} ephemerals of living sessions are there", ephemerals > 0)
