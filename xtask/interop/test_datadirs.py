"""Data directories both ways: Java and ours take turns on one directory, and neither loses or changes
anything; and the tools of either read what the other wrote."""

import base64
import hashlib
import json
import re
import shutil
import subprocess

from bulk import (ALL, CONTAINER, EPHEMERAL, EPHEMERAL_SEQUENTIAL, NO_AUTH, SEQUENTIAL, SEQUENTIAL_TTL,
                  TTL, Bulk, check_version, create, create2, delete, multi, set_acl, set_data)
from harness import alone, check, equal, note, wait_until
from servers import Ensemble

DIRECTORIES, FILES = 40, 510
SNAP_COUNT = 3000
# What the session that is left open lives through: every server of the test.
SESSION_MS = 200_000
HOUR_MS = 3_600_000
ANN = "ann:secret"


def digest_id(credentials: str) -> str:
    user = credentials.split(":")[0]
    return f"{user}:{base64.b64encode(hashlib.sha1(credentials.encode()).digest()).decode()}"


@alone
def java_and_ours_take_turns(context):
    ours = context.kind
    ensemble = Ensemble(
        context.programs, ["java"], context.home(), extendedTypesEnabled="true", snapCount=str(SNAP_COUNT),
        # Java's cache misses the changes of quotas' stats.
        maxResponseCacheSize="0", preAllocSize="512", maxSessionTimeout=str(2 * SESSION_MS), **{"snapshot.compression.method": ""})
    server = ensemble.servers[0]
    turns = [("java", "", "clean"), (ours, "", "kill"), ("java", "gz", "kill"), (ours, "", "clean"),
             ("java", "snappy", "clean"), (ours, "", "clean")]
    expected, by_ours = None, set()
    try:
        for turn, (kind, packing, end) in enumerate(turns):
            pack_snapshots(server, packing)
            server.kind = kind
            before = files(server)
            if turn > 0:
                copy = context.work / f"datadir-{turn}"
                shutil.copytree(server.data, copy)
            server.start().wait_serving()
            with Bulk(server.client_port, auth=(ANN,)) as reader:
                if expected is not None:
                    same(f"turn {turn}, {kind}", reader.tree(), expected)
                # Its session stays open, and so do its ephemerals.
                with Bulk(server.client_port, SESSION_MS, auth=(ANN,)) as writer:
                    if turn == 0:
                        every_kind_of_node(writer)
                        ephemerals(writer)
                    write_on(writer, turn)
                expected = reader.tree()
                reader.end()
            wait_until(f"turn {turn}: {kind} has taken a snapshot",
                       lambda: snapshots(server) - before, 20, on_failure=server.tail)
            stop(server, end)
            if kind == "zebu":
                by_ours |= files(server) - before
            if ours == "zebu":
                tools_of_ours(context, server, f"after turn {turn}, {kind}")
                if turn > 0:
                    grown(context, copy, server)
            check_tree(expected)
        packings = {name.rsplit(".", 1)[-1] for name in files(server)}
        check("Java has written snapshots of every packing", {"gz", "snappy"} <= packings, packings)
        if ours == "zebu":
            code, lines = zebu(context, "snapshot", "check", server.data)
            equal("`snapshot check`, findings", (code, [s for s in lines if "finding" in s]), (0, []))
            equal("snapshots that it checked", len(lines), len(snapshots(server)))
            reading_changes_nothing(context, server)
            tools_of_java(context, server, by_ours)
    finally:
        ensemble.end()
    equal("panics", server.panics(), [])


def pack_snapshots(server, method: str) -> None:
    key = "snapshot.compression.method="
    server.cfg.write_text(re.sub(f"(?m)^{re.escape(key)}.*$", key + method, server.cfg.read_text()))


def stop(server, how: str) -> None:
    if how == "kill":
        server.kill()
    else:
        server.terminate()


def files(server) -> set[str]:
    return {p.name for p in (server.data / "version-2").glob("*.*") if not p.name.startswith("tmp.")}


def snapshots(server) -> set[str]:
    return {name for name in files(server) if name.startswith("snapshot.")}


def every_kind_of_node(zk: Bulk) -> None:
    """20,000 plain ones and a few of each kind."""
    zk.done([create("/bulk")] + [create(f"/bulk/d{d:02}", b"%d" % d) for d in range(DIRECTORIES)])
    zk.done([create(f"/bulk/d{d:02}/n{n:04}", b"%d/%d" % (d, n)) for n in range(FILES) for d in range(DIRECTORIES)])
    anyone_reads, anns = (1, "world", "anyone"), (ALL, "digest", digest_id(ANN))
    bobs = (ALL, "digest", digest_id("bob:hidden"))
    zk.done([
        create("/null", None), create("/empty", b""), create2("/two", b"x" * 100),
        create("/large", bytes(range(256)) * 2000),
        create("/caf\u00e9", b"\xff\x00"), create("/caf\u00e9/\u8def\u5f84", "\u8def".encode()),
        create("/acl"), create("/acl/ann", b"a", entries=[anns, anyone_reads]),
        create("/acl/auth", b"a", entries=[(ALL, "auth", "")]),
        create("/acl/bob", b"b", entries=[bobs]), create("/acl/set"),
        create("/acl/ip", b"i", entries=[(ALL, "ip", "127.0.0.1"), (1, "ip", "10.0.0.0/8")]),
        set_acl("/acl/set", [anyone_reads, anns, (16, "world", "anyone")]),
        create("/container", b"c", CONTAINER), create("/container/child"),
        create("/ttl", b"t", TTL, ttl=HOUR_MS), create("/ttl-", b"t", SEQUENTIAL_TTL, ttl=2 * HOUR_MS),
        create("/seq"), *[create("/seq/n-", b"%d" % n, SEQUENTIAL) for n in range(20)],
        delete("/seq/n-0000000007"),
        create("/quota"), create("/quota/x", b"12345"), create("/zookeeper/quota/quota"),
        create("/zookeeper/quota/quota/zookeeper_limits", b"count=9,bytes=99"),
        create("/zookeeper/quota/quota/zookeeper_stats", b"count=0,bytes=0"),
        create("/quota/y", b"678"),
    ])


def ephemerals(zk: Bulk) -> None:
    zk.done([create("/eph"), create("/eph/one", b"1", EPHEMERAL),
             *[create("/eph/s-", None, EPHEMERAL_SEQUENTIAL) for _ in range(5)]])


def write_on(zk: Bulk, turn: int) -> None:
    """A little of everything, and enough for a snapshot beside it."""
    root = f"/turn{turn}"
    zk.done([
        create(root), create(f"{root}/null", None), create(f"{root}/\u00fc"), create2(f"{root}/two"),
        create(f"{root}/c", b"", CONTAINER), create(f"{root}/c/k"),
        create(f"{root}/t", b"", TTL, ttl=HOUR_MS), create("/seq/n-", b"", SEQUENTIAL),
        create("/quota/z-", b"1", SEQUENTIAL), set_data("/large", b"small"), set_data("/null", b"no"),
        set_data("/null", None), set_acl("/acl/set", [(1 + turn, "world", "anyone"), (ALL, "digest", digest_id(ANN))]),
        multi(create(f"{root}/m", b"m"), set_data(f"{root}/m", b"m2"), check_version(f"{root}/m", 1),
              create(f"{root}/m/e", b"", EPHEMERAL), delete(f"{root}/two")),
    ])
    # A multi that fails takes a zxid and does nothing.
    zk.all([multi(create(f"{root}/never"), check_version(root, 99))])
    many = [set_data(f"/bulk/d{d:02}/n{n:04}", b"turn %d" % turn)
            for n in range(0, FILES, 6) for d in range(DIRECTORIES)]
    zk.done(many)
    zk.done([create(f"{root}/n{n}", b"", entries=[(ALL, "world", "anyone"), (1, "ip", f"10.0.0.{n % 7}")])
             for n in range(300)])
    zk.done([delete(f"{root}/n{n}") for n in range(0, 300, 2)])


def check_tree(tree: dict) -> None:
    check("with 20,000 nodes at least", len(tree) >= 20_000, len(tree))
    equal("made by multis that failed", [path for path in tree if path.endswith("/never")], [])
    hidden = [path for path, (data, _, _) in tree.items() if data[0] == NO_AUTH]
    equal("hidden from this client", hidden, ["/acl/bob"])
    check("ephemerals of a session that stays", len(tree["/eph"][2]) == 6, tree["/eph"][2])


def same(what: str, found: dict, expected: dict) -> None:
    wrong = [path for path in expected.keys() | found.keys() if expected.get(path) != found.get(path)]
    for path in sorted(wrong)[:5]:
        note(f"{path}: expected {expected.get(path)}\n{' ' * len(path)}  found    {found.get(path)}")
    equal(f"{what}: nodes that are not as the one before served them", len(wrong), 0)


def zebu(context, *words: object) -> tuple[int, list[dict]]:
    """Exit code and lines of one of our tools."""
    words = [str(word) for word in words]
    done = subprocess.run([context.zebu, *words, "--json"], capture_output=True, text=True, timeout=60)
    if done.returncode > 1:
        raise AssertionError(f"{' '.join(words)}: {done.stderr}")
    return done.returncode, [json.loads(line) for line in done.stdout.splitlines()]


def tools_of_ours(context, server, when: str) -> None:
    code, lines = zebu(context, "log", "check", server.data)
    *findings, done = lines
    equal(f"{when}: `log check`, findings", (code, [f for f in findings if f["finding"] != "torn"]), (0, []))
    check("every digest is that of the tree", done["digests"] > 20_000, done)


def grown(context, before, server) -> None:
    """What a turn wrote is what `snapshot compare` names."""
    code, lines = zebu(context, "snapshot", "compare", before, server.data)
    *differences, done = lines
    equal("`snapshot compare` finds what was written", (code, done["differences"] > 1000), (1, True))
    paths = {d["what"] for d in differences if d["what"].startswith("/")}
    strange = [p for p in paths if not re.match(r"/(turn|bulk/d../n|seq|quota|null|large|acl/set|zookeeper/quota|$)", p)]
    equal("and nothing else", strange, [])


def reading_changes_nothing(context, server) -> None:
    """A start and a stop of either kind with a client that only reads: only zxids go on."""
    before = context.work / "datadir-last"
    shutil.copytree(server.data, before)
    for kind in ("java", "zebu"):
        server.kind = kind
        server.start().wait_serving()
        with Bulk(server.client_port) as zk:
            zk.end()
        server.terminate()
        code, lines = zebu(context, "snapshot", "compare", before, server.data)
        equal(f"differences after {kind} has served a reader", [d.get("what") for d in lines[:-1]], ["zxid"])


def tools_of_java(context, server, by_ours: set[str]) -> None:
    """Upstream's own tools read what ours wrote, as ours do."""
    version_2 = server.data / "version-2"
    logs = sorted(name for name in by_ours if name.startswith("log."))
    ours = sorted(name for name in by_ours if name.startswith("snapshot."))
    check("ours has written several logs and snapshots", len(logs) > 1 and len(ours) > 1, by_ours)

    def java(main: str, *words: object) -> str:
        utf_8 = {name: "UTF-8" for name in ("file.encoding", "stdout.encoding", "sun.stdout.encoding")}
        command = context.programs.java_client(
            f"org.apache.zookeeper.server.{main}", *map(str, words), properties=utf_8)
        done = subprocess.run(command, capture_output=True, text=True, timeout=60)
        equal(f"{main} ends well", (done.returncode, done.stderr.strip()), (0, ""))
        return done.stdout

    log = version_2 / logs[0]
    dumped = java("persistence.TxnLogToolkit", "-d", log)
    theirs = re.findall(r" session (0x\S+) cxid (0x\S+) zxid (0x\S+) (\S+)", dumped)
    _, lines = zebu(context, "log", "print", log)
    *txns, end = lines
    equal("TxnLogToolkit and `log print`: transactions",
          [(t["session"], hex(t["cxid"]), t["zxid"], t["type"]) for t in txns], theirs)
    check("TxnLogToolkit reaches the end", f"EOF reached after {end['transactions']} txns." in dumped)
    snapshot = version_2 / ours[-1]
    formatted = java("SnapshotFormatter", snapshot)
    theirs = dict(re.findall(r"(?m)^----\n(/.*)\n  cZxid = (0x\S+)$", formatted))
    _, lines = zebu(context, "snapshot", "print", snapshot)
    znodes = {z["path"]: z["czxid"] for z in lines if "path" in z}
    equal("SnapshotFormatter and `snapshot print`: znodes and their zxids",
          {p: int(z, 16) for p, z in theirs.items()}, {p: int(z, 16) for p, z in znodes.items()})
    compared = java("SnapshotComparer", "-l", version_2 / ours[0], "-r", snapshot, "-b", 0, "-n", 0)
    check("SnapshotComparer compares two of ours", "All layers compared." in compared, compared[-500:])
    _, lines = zebu(context, "snapshot", "compare", version_2 / ours[0], snapshot, "--nodes", 0, "--bytes", 0)
    theirs = {path or "/" for path in re.findall(r"(?m)^Node (\S*) found", compared)}
    equal("SnapshotComparer and `snapshot compare`: what grew", {g["path"] for g in lines[:-1]}, theirs)
