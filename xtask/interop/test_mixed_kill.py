"""Ensembles of both kinds whose leaders are killed again and again under load: both kinds lead, both
bring the other up by DIFF, TRUNC and SNAP, and afterwards every server has the same tree.

ZEBU_MIXED_KILLS leaders are killed in each ensemble, as ZEBU_MIXED_SEED says.
"""

import os
import random
import re
import struct
import time
from collections import Counter

from clients import Raw, client, string
from harness import alone, check, equal, note, wait_until
from load import SESSION_S, Load, whole_tree
from servers import Ensemble, Server, is_java

KILLS = int(os.environ.get("ZEBU_MIXED_KILLS", "3"))
SEED = int(os.environ.get("ZEBU_MIXED_SEED", random.SystemRandom().randrange(1 << 32)))
# Snapshots and new log files all the time, and small ones. Java keeps at least 500 transactions for a
# DIFF, and takes more from its log unless it is told not to.
SETTINGS = {"snapCount": "400", "preAllocSize": "256", "commitLogCount": "500", "snapshotSizeFactor": "-1",
            "maxSessionTimeout": "60000", "maxClientCnxns": "0"}
FEW, MANY = 5, 700
CREATE = 1
OPEN_ACL = b"\0\0\0\1" + b"\0\0\0\x1f" + string("world") + string("anyone")
# Its content names the ensemble's version, which each kind of server may word in its own way.
SKIP = ("/zookeeper/config",)
MISMATCH = re.compile("digest mismatch|Digests are not matching|tree differs from the leader", re.I)


class Course:
    """An ensemble, what is done to it, and who led."""

    def __init__(self, ensemble: Ensemble, load: Load, seed: int):
        self.ensemble, self.load, self.random = ensemble, load, random.Random(seed)
        self.led: Counter[str] = Counter()

    @property
    def servers(self) -> list[Server]:
        return self.ensemble.servers

    def one(self, kind: str, besides: tuple[Server, ...] = ()) -> Server:
        """A server of that kind if there is one."""
        rest = [s for s in self.servers if s not in besides]
        return self.random.choice([s for s in rest if s.kind == kind] or rest)

    def other_kind(self, kind: str) -> str:
        return next((s.kind for s in self.servers if s.kind != kind), kind)

    def leader(self) -> Server:
        leader = self.ensemble.leader()
        self.led[leader.kind] += 1
        return leader

    def kill_leader(self) -> None:
        """And sometimes another one, as long as a quorum is left."""
        leader = self.leader()
        victims = [leader]
        if len(self.servers) >= 5 and self.random.random() < 0.5:
            kinds = sorted({s.kind for s in self.servers})
            victims.append(self.one(self.random.choice(kinds), (leader,)))
        begun = time.monotonic()
        for victim in victims:
            victim.kill()
        following = self.leader()
        names = " and ".join(map(str, victims))
        check(f"{names} killed; {following} leads after {time.monotonic() - begun:.1f} s", True)
        self.load.wait_progress("without its leader", least=self.random.randrange(2, 40))
        for victim in victims:
            victim.start()
        self.ensemble.wait_serving()

    def parted(self, chosen: tuple[Server, ...], last: str) -> tuple[list[Server], list[Server]]:
        """Those who are no part of a least quorum with `chosen`, and those who are; of kind `last` the
        former if possible."""
        rest = [s for s in self.servers if s not in chosen]
        self.random.shuffle(rest)
        rest.sort(key=lambda s: s.kind != last)
        quorum = len(self.servers) // 2 + 1
        without = len(self.servers) - quorum
        return rest[:without], rest[without:]

    def lead_by(self, chosen: Server, writes: int) -> None:
        """`chosen` leads next, whatever the ids: it is in the last quorum that wrote, and whoever was
        in it with it is down when those come back who were not. They lack so many writes."""
        absent, present = self.parted((chosen,), self.other_kind(chosen.kind))
        for s in absent:
            s.kill()
        write(chosen, writes)
        for s in present:
            s.kill()
        for s in absent:
            s.start()
        equal("who leads, having more than those who were away", str(self.leader()), str(chosen))
        for s in absent:
            s.wait_serving()
        for s in present:
            s.start()
        self.ensemble.wait_serving()

    def truncate(self, deposed: Server, following: Server) -> None:
        """The leader `deposed` dies with proposals that nobody else has, and comes back to `following`.
        """
        absent, present = self.parted((deposed, following), deposed.kind)
        for s in absent:
            s.kill()
        write(following, FEW)
        doomed = [f"/doomed-{self.random.randrange(1 << 32):08x}-{i}" for i in range(8)]
        with Raw(deposed.client_port) as raw:
            answer = raw.connect(timeout_ms=int(SESSION_S * 1000))
            assert answer is not None and answer[0] > 0, f"no session at {deposed}"
            for s in [following, *present]:
                s.pause()
            for xid, path in enumerate(doomed, 1):
                raw.send(struct.pack(">ii", xid, CREATE) + string(path) + string("") + OPEN_ACL
                         + struct.pack(">i", 0))
            wait_until(f"{deposed} logs what nobody acknowledges",
                       lambda: doomed[-1].encode() in newest_log(deposed), 4, on_failure=deposed.tail)
        for s in [deposed, following, *present]:
            s.kill()
        # Java cuts nothing once its new epoch has a transaction: so nobody writes until `deposed` is back.
        for s in [following, *absent]:
            s.start()
        equal(f"who leads without {deposed}", str(self.leader()), str(following))
        deposed.start().wait_serving()
        for s in present:
            s.start()
        self.ensemble.wait_serving()
        for s in (deposed, following):
            with client(s.host) as zk:
                zk.sync("/")
                there = [path for path in doomed if zk.exists(path)]
                equal(f"what only {deposed} had, on {s}", there, [])

    def quietly(self, act, *args) -> None:
        self.load.pause()
        act(*args)
        self.load.go_on()
        self.load.wait_progress("again")

    def compare(self) -> None:
        """Every server has the same tree, with all that was acknowledged."""
        self.load.pause()
        self.ensemble.wait_serving()
        leader = self.ensemble.leader()
        before = zxid(leader)
        write(leader, 3 * 128)
        trees = []
        for server in self.servers:
            with client(server.host) as zk:
                zk.sync("/")
                trees.append(whole_tree(zk, SKIP))
        first, *others = self.servers
        for server, other in zip(others, trees[1:]):
            paths = sorted(trees[0].keys() | other.keys())
            differing = [(p, trees[0].get(p), other.get(p)) for p in paths
                         if trees[0].get(p) != other.get(p)]
            equal(f"nodes of {len(paths)} that differ between {first} and {server}", differing[:5], [])
        self.load.check_tree(trees[0], "on every server")
        digests = {str(s): {at: value for at, value in digests_of(s).items() if at > before}
                   for s in self.servers}
        common = set.intersection(*(set(found) for found in digests.values()))
        check("there are digests to compare", len(common) >= 2, digests)
        differing = {at for at in common if len({found[at] for found in digests.values()}) > 1}
        equal(f"digests of {len(common)} that differ between any two servers", sorted(differing), [])
        complaints = [f"{s}: {line}" for s in self.servers for line in s.log_lines() if MISMATCH.search(line)]
        equal("differences of digests that a server noticed by itself", complaints, [])
        self.load.go_on()


def write(server: Server, count: int) -> None:
    """So many transactions by way of that server, which has applied them all afterwards."""
    with client(server.host, timeout=SESSION_S) as zk:
        zk.retry(zk.ensure_path, "/written")
        for sent in [zk.set_async("/written", b"%d" % i) for i in range(count)]:
            sent.get(timeout=60)


def newest_log(server: Server) -> bytes:
    logs = (server.data / "version-2").glob("log.*")
    newest = max(logs, key=lambda log: int(log.suffix[1:], 16), default=None)
    return newest.read_bytes() if newest else b""


def zxid(server: Server) -> int:
    return int(re.search(r"Zxid: 0x([0-9a-f]+)", server.word("srvr")).group(1), 16)


def digests_of(server: Server) -> dict[int, int]:
    """The tree's digest at each 128th zxid."""
    lines = re.findall(r"^([0-9a-f]+): (-?\d+)$", server.word("hash"), re.M)
    return {int(at, 16): int(digest) for at, digest in lines}


def synchronizations(ensemble: Ensemble) -> Counter:
    """(kind of leader, kind of learner, how), as our servers' logs tell; from a leader of ours when it
    chose, from a learner when it was done. Between two Java servers: nobody tells."""
    found: Counter = Counter()
    for server in ensemble.servers:
        pending = None
        for line in server.log_lines():
            if match := re.search(r"synchronizing server (\d+) from \S+ to \S+ by (\w+)", line):
                learner, how = ensemble.number(int(match.group(1))), match.group(2).upper()
                if learner is server:
                    pending = how
                else:
                    found[server.kind, learner.kind, how] += 1
            elif match := re.search(r"up to date with server (\d+), the leader", line):
                leader = ensemble.number(int(match.group(1)))
                if pending and is_java(leader.kind):
                    found[leader.kind, server.kind, pending] += 1
                pending = None
    return found


def course(context, kinds: list[str], number: int, directed) -> None:
    """Kills leaders of an ensemble of these kinds, in an order of its own, then does what is asked."""
    seed = SEED + number
    draw = random.Random(seed)
    draw.shuffle(kinds)
    kinds = [kind if is_java(kind) else context.kind for kind in kinds]
    note(f"ZEBU_MIXED_SEED={SEED}: servers 1 to {len(kinds)} are {', '.join(kinds)}")
    with context.ensemble(len(kinds), kinds, **SETTINGS) as ensemble, Load(ensemble, seed) as load:
        run = Course(ensemble, load, seed)
        load.wait_progress("at first")
        for _ in range(KILLS):
            run.kill_leader()
        directed(run)
        for kind in sorted({*kinds} - {*run.led}):
            run.quietly(run.lead_by, run.one(kind), FEW)
        run.compare()
        note(load.summary())
        equal("kinds that led", sorted(run.led), sorted({*kinds}))
        found = synchronizations(ensemble)
        note("leader, learner, how: " + ", ".join(
            f"{leader} {learner} {how}: {n}" for (leader, learner, how), n in sorted(found.items())))
        return found


def check_brought_up(found: Counter, java: str, *hows: str) -> None:
    pairs = [(java, "zebu", how) for how in hows] + [("zebu", java, how) for how in hows]
    missing = [pair for pair in pairs if not found[pair]]
    equal("(leader, learner, how) that did not occur", missing, [])


def two_and_ours(context, java: str, number: int) -> None:
    """And each kind cuts what the other one logged as the last leader."""
    def directed(run: Course) -> None:
        theirs = run.one(java)
        ours = run.one(context.kind, (theirs,))
        run.quietly(run.lead_by, theirs, FEW)
        run.quietly(run.truncate, theirs, ours)
        # Which leads now.
        run.quietly(run.truncate, ours, theirs)

    found = course(context, [java, java, "zebu"], number, directed)
    if context.kind == "zebu":
        check_brought_up(found, java, "DIFF", "TRUNC")


def one_and_two_ours(context, java: str, number: int) -> None:
    """And each kind sends the other one a snapshot."""
    def directed(run: Course) -> None:
        run.quietly(run.lead_by, run.one(java), MANY)
        run.quietly(run.lead_by, run.one(context.kind), MANY)

    found = course(context, [java, "zebu", "zebu"], number, directed)
    if context.kind == "zebu":
        check_brought_up(found, java, "SNAP")


@alone
def two_java_and_ours(context):
    two_and_ours(context, "java", 1)


@alone
def java_and_two_ours(context):
    one_and_two_ours(context, "java", 2)


@alone
def three_java_and_two_ours(context):
    course(context, ["java"] * 3 + ["zebu"] * 2, 3, lambda run: None)
