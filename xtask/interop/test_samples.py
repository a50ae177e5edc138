"""Data directories that Java wrote, served."""

import base64
import json
import shutil

from kazoo.exceptions import NoAuthError
from kazoo.security import make_acl

from clients import client, tree
from harness import alone, check, equal, note, wait_until
from servers import Ensemble

READ, ADMIN = 1, 16


@alone
def java_data_directories(context):
    samples = sorted(p.parent for p in context.samples.glob("*/expected.json"))
    check("there are samples", len(samples) > 0, context.samples)
    for sample in samples:
        ensemble = Ensemble(context.programs, [context.kind], context.home(), extendedTypesEnabled="true")
        server = ensemble.servers[0]
        shutil.copytree(sample / "data", server.data, dirs_exist_ok=True)
        expected = {n["path"]: n for n in json.loads((sample / "expected.json").read_text())}
        with ensemble, client(server.host) as zk:
            compare(sample.name, zk, expected)


@alone
def java_starts_from_our_directory(context):
    """The way back: what we wrote, logs and snapshots, served by Java; and by us again."""
    settings = {"extendedTypesEnabled": "true", "snapCount": "20"}
    ensemble = Ensemble(context.programs, [context.kind], context.home(), **settings)
    server = ensemble.servers[0]
    with ensemble:
        with client(server.host) as zk:
            zk.create("/a", b"1")
            zk.create("/a/empty", b"")
            zk.create("/a/\u00e9\u8def", b"x" * 3000)
            for i in range(60):
                zk.create("/a/n-", b"%d" % i, sequence=True)
            zk.set_acls("/a/empty", [make_acl("world", "anyone", read=True, admin=True)])
            t = zk.transaction()
            t.set_data("/a", b"2")
            t.delete("/a/n-0000000007")
            t.commit()
            t = zk.transaction()
            t.create("/never")
            t.check("/a", 99)
            t.commit()
            # Its session closes with it.
            zk.create("/gone", ephemeral=True)
        written = read(server)
        wait_until("a snapshot beside the log", lambda: snapshots(server), 20)
        for kind in ("java", context.kind):
            server.terminate()
            server.kind = kind
            server.start().wait_serving()
            equal(f"the tree as {kind} serves it", read(server), written)
            # The next one starts from this one's log and snapshots.
            with client(server.host) as zk:
                for i in range(30):
                    zk.create(f"/{kind}-", b"", sequence=True)
            written = read(server)


def read(server) -> dict:
    with client(server.host) as zk:
        return tree(zk)


def snapshots(server) -> list:
    return [p for p in (server.data / "version-2").glob("snapshot.*") if not p.name.endswith(".0")]


def compare(sample: str, zk, expected: dict) -> None:
    nodes = hidden = 0
    for path, node in expected.items():
        try:
            stat = zk.exists(path)
        except NoAuthError:
            # ZK: FinalRequestProcessor, exists (3.9): READ on the node.
            check_quiet(not open_to(node) & READ, f"{sample} {path}: not visible with ACL {node['acl']}")
            hidden += 1
            continue
        check_quiet(stat is not None, f"{sample} {path} is missing")
        want = dict(node["stat"])
        if path == "/zookeeper/config":
            # The sample's own note: dumped by a standalone server, which rewrites it.
            for field in ("mzxid", "mtime", "version", "dataLength"):
                want.pop(field)
        found = {field: getattr(stat, field) for field in want}
        check_quiet(found == want, f"{sample} {path}: stat {found}, expected {want}")
        acl = [(perms, scheme, who) for perms, scheme, who in node["acl"]]
        try:
            if path != "/zookeeper/config":
                data = zk.get(path)[0]
                # kazoo gives null as empty.
                want_data = base64.b64decode(node["data_b64"] or "")
                check_quiet((data or b"") == want_data, f"{sample} {path}: data {data!r}, expected {want_data!r}")
            children = sorted(zk.get_children(path))
            below = path.rstrip("/") + "/"
            want_children = sorted(p[len(below):] for p in expected
                                   if p != "/" and p.startswith(below) and "/" not in p[len(below):])
            check_quiet(children == want_children, f"{sample} {path}: children {children}, expected {want_children}")
        except NoAuthError:
            check_quiet(not open_to(node) & READ, f"{sample} {path}: not readable with ACL {acl}")
        try:
            found_acl = [(a.perms, a.id.scheme, a.id.id) for a in zk.get_acls(path)[0]]
            if open_to(node) & ADMIN:
                check_quiet(sorted(found_acl) == sorted(acl), f"{sample} {path}: ACL {found_acl}, expected {acl}")
        except NoAuthError:
            check_quiet(not open_to(node) & (READ | ADMIN), f"{sample} {path}: ACL {acl} cannot be read")
        nodes += 1
    equal(f"{sample}: nodes as expected, or hidden as expected", nodes + hidden, len(expected))
    note(f"{nodes} compared in stat, data, children and ACL, {hidden} hidden by their ACL")
    check("most could be compared", nodes > hidden)


def open_to(node: dict) -> int:
    """The permissions of a client from loopback without credentials."""
    perms = 0
    for allowed, scheme, who in node["acl"]:
        if (scheme, who) == ("world", "anyone") or scheme == "ip" and who.startswith("127.0.0.1"):
            perms |= allowed
    return perms


def check_quiet(holds: bool, otherwise: str) -> None:
    """One line for a whole sample is enough."""
    if not holds:
        raise AssertionError(otherwise)
