"""Every basic operation through kazoo, with its results and its errors."""

import struct
import time

from kazoo.exceptions import (AuthFailedError, BadArgumentsError, BadVersionError, NoAuthError,
                              NoChildrenForEphemeralsError, NodeExistsError, NoNodeError,
                              NotEmptyError, RolledBackError, RuntimeInconsistency)
from kazoo.security import CREATOR_ALL_ACL, OPEN_ACL_UNSAFE, make_acl, make_digest_acl

from clients import Raw, area, client, string
from harness import check, equal, raises, shared


@shared(1, 3)
def create(_, ensemble):
    with area(ensemble, "create") as (zk, root):
        equal("create answers the path", zk.create(f"{root}/a", b"one"), f"{root}/a")
        raises("a second create", NodeExistsError, zk.create, f"{root}/a")
        raises("create without a parent", NoNodeError, zk.create, f"{root}/no/child")
        data, stat = zk.get(f"{root}/a")
        equal("data", data, b"one")
        equal("a new node's versions", (stat.version, stat.cversion, stat.aversion), (0, 0, 0))
        check("czxid = mzxid = pzxid", stat.czxid == stat.mzxid == stat.pzxid, stat)
        check("ctime = mtime, about now",
              stat.ctime == stat.mtime and abs(stat.ctime / 1000 - time.time()) < 10, stat)
        zk.create(f"{root}/empty", b"")
        equal("empty data", zk.get(f"{root}/empty")[0], b"")
        big = bytes(range(256)) * 2048
        zk.create(f"{root}/big", big)
        check("half a megabyte of data comes back", zk.get(f"{root}/big")[0] == big)
        zk.create(f"{root}/ünïcödé-路", b"x")
        check("a name beyond ASCII", "ünïcödé-路" in zk.get_children(root))


@shared(1, 3)
def create_ephemeral(_, ensemble):
    with area(ensemble, "ephemeral") as (zk, root):
        with client(ensemble.hosts) as owner:
            owner.create(f"{root}/e", b"x", ephemeral=True)
            zk.sync(root)
            equal("ephemeralOwner is the session",
                  zk.exists(f"{root}/e").ephemeralOwner, owner.client_id[0])
            raises("no children below an ephemeral", NoChildrenForEphemeralsError,
                   zk.create, f"{root}/e/child")
            owner.create(f"{root}/f", ephemeral=True)
            zk.delete(f"{root}/f")
            equal("another session may delete one", zk.exists(f"{root}/f"), None)
        zk.sync(root)
        equal("closing the session removes it", zk.exists(f"{root}/e"), None)


@shared(1, 3)
def create_sequential(_, ensemble):
    with area(ensemble, "sequential") as (zk, root):
        names = [zk.create(f"{root}/n-", sequence=True) for _ in range(3)]
        equal("ten digits, counting up", names, [f"{root}/n-{i:010}" for i in range(3)])
        zk.delete(names[2])
        equal("a number is never used twice",
              zk.create(f"{root}/n-", sequence=True), f"{root}/n-0000000003")
        name = zk.create(f"{root}/e-", sequence=True, ephemeral=True)
        equal("ephemeral sequential counts on", name, f"{root}/e-0000000004")
        equal("and belongs to the session", zk.exists(name).ephemeralOwner, zk.client_id[0])
        equal("a bare number", zk.create(f"{root}/", sequence=True), f"{root}/0000000005")


@shared(1, 3)
def create2(_, ensemble):
    with area(ensemble, "create2") as (zk, root):
        path, stat = zk.create(f"{root}/a", b"abc", include_data=True)
        equal("create2's path", path, f"{root}/a")
        equal("create2's stat is the node's", stat, zk.exists(f"{root}/a"))
        equal("dataLength", stat.dataLength, 3)
        path, stat = zk.create(f"{root}/s", b"", sequence=True, ephemeral=True, include_data=True)
        equal("with both flags", (path, stat.ephemeralOwner), (f"{root}/s0000000001", zk.client_id[0]))


@shared(1, 3)
def delete(_, ensemble):
    with area(ensemble, "delete") as (zk, root):
        raises("a missing node", NoNodeError, zk.delete, f"{root}/a")
        zk.create(f"{root}/a")
        zk.create(f"{root}/a/b")
        raises("a node with children", NotEmptyError, zk.delete, f"{root}/a")
        raises("a wrong version", BadVersionError, zk.delete, f"{root}/a/b", version=7)
        zk.delete(f"{root}/a/b", version=0)
        before = zk.exists(root)
        zk.delete(f"{root}/a")
        after = zk.exists(root)
        equal("the parent's cversion and numChildren",
              (after.cversion - before.cversion, after.numChildren), (1, 0))
        check("the parent's pzxid", after.pzxid > before.pzxid, (before.pzxid, after.pzxid))
        raises("/zookeeper stays", BadArgumentsError, zk.delete, "/zookeeper")


@shared(1, 3)
def exists_get_set(_, ensemble):
    with area(ensemble, "data") as (zk, root):
        equal("exists of nothing", zk.exists(f"{root}/a"), None)
        raises("get of nothing", NoNodeError, zk.get, f"{root}/a")
        raises("set of nothing", NoNodeError, zk.set, f"{root}/a", b"")
        zk.create(f"{root}/a", b"0")
        first = zk.exists(f"{root}/a")
        stat = zk.set(f"{root}/a", b"first")
        equal("set raises the version", stat.version, 1)
        equal("and keeps czxid", stat.czxid, first.czxid)
        check("and moves mzxid", stat.mzxid > first.mzxid)
        equal("exists gives the same stat", zk.exists(f"{root}/a"), stat)
        raises("set with a stale version", BadVersionError, zk.set, f"{root}/a", b"", version=0)
        equal("set with the right version", zk.set(f"{root}/a", b"second", version=1).version, 2)
        equal("get", zk.get(f"{root}/a")[0], b"second")
        pending = [zk.set_async(f"{root}/a", b"%d" % i) for i in range(200)]
        versions = [p.get(timeout=30).version for p in pending]
        equal("200 pipelined sets answer in order", versions, list(range(3, 203)))


@shared(1, 3)
def get_children(_, ensemble):
    with area(ensemble, "children") as (zk, root):
        raises("of nothing", NoNodeError, zk.get_children, f"{root}/no")
        equal("of a leaf", zk.get_children(root), [])
        for name in "cab":
            zk.create(f"{root}/{name}")
        equal("names without their parents", sorted(zk.get_children(root)), ["a", "b", "c"])
        names, stat = zk.get_children(root, include_data=True)
        equal("getChildren2's names", sorted(names), ["a", "b", "c"])
        equal("getChildren2's stat", (stat.numChildren, stat.cversion), (3, 3))
        equal("and it is the node's", stat, zk.exists(root))


@shared(1, 3)
def transaction(_, ensemble):
    with area(ensemble, "multi") as (zk, root):
        zk.create(f"{root}/old", b"")
        t = zk.transaction()
        t.create(f"{root}/a", b"1")
        t.create(f"{root}/a/b", b"2")
        t.set_data(f"{root}/a", b"3")
        t.check(f"{root}/a", 1)
        t.create(f"{root}/a/s-", sequence=True)
        t.delete(f"{root}/old")
        result = t.commit()
        equal("creates answer paths", result[0:2], [f"{root}/a", f"{root}/a/b"])
        equal("set answers a stat", result[2].version, 1)
        equal("check and delete", (result[3], result[5]), (True, True))
        equal("a sequential name", result[4], f"{root}/a/s-0000000001")
        equal("data after it", zk.get(f"{root}/a")[0], b"3")
        equal("deleted", zk.exists(f"{root}/old"), None)
        zxids = {zk.exists(f"{root}/a").czxid, zk.exists(f"{root}/a").mzxid,
                 zk.exists(f"{root}/a/b").czxid}
        equal("one zxid for all", len(zxids), 1)


@shared(1, 3)
def failing_transaction(_, ensemble):
    with area(ensemble, "multifail") as (zk, root):
        zk.create(f"{root}/a", b"")
        before = zk.exists(root)
        t = zk.transaction()
        t.create(f"{root}/new", b"")
        t.set_data(f"{root}/a", b"changed")
        t.check(f"{root}/a", 9)
        t.delete(f"{root}/a")
        result = t.commit()
        equal("error of each operation", [type(r) for r in result],
              [RolledBackError, RolledBackError, BadVersionError, RuntimeInconsistency])
        equal("nothing created", zk.exists(f"{root}/new"), None)
        equal("nothing set", zk.get(f"{root}/a")[0], b"")
        equal("the parent is as before", zk.exists(root), before)
        for what, fill, error in [
            ("delete of nothing", lambda t: t.delete(f"{root}/no"), NoNodeError),
            ("create of what is there", lambda t: t.create(f"{root}/a"), NodeExistsError),
            ("delete of a parent", lambda t: (t.create(f"{root}/a/b"), t.delete(f"{root}/a")), NotEmptyError),
        ]:
            t = zk.transaction()
            fill(t)
            equal(f"a transaction with {what}", type(t.commit()[-1]), error)
        equal("sequence numbers are given back",
              zk.create(f"{root}/s-", sequence=True), f"{root}/s-0000000001")
        equal("an empty transaction", zk.transaction().commit(), [])


@shared(1, 3)
def sync(_, ensemble):
    with area(ensemble, "sync") as (zk, root):
        equal("sync answers its path", zk.sync(root), root)
        zk.create(f"{root}/a", b"0")
        for server in ensemble.servers:
            with client(server.host) as reader:
                zk.set(f"{root}/a", str(server.number).encode())
                reader.sync(f"{root}/a")
                equal(f"a read after sync on {server} is fresh",
                      reader.get(f"{root}/a")[0], str(server.number).encode())


@shared(1, 3)
def acls(_, ensemble):
    with area(ensemble, "acl") as (zk, root):
        zk.create(f"{root}/a", b"x")
        found, stat = zk.get_acls(f"{root}/a")
        equal("the open ACL", found, OPEN_ACL_UNSAFE)
        equal("and the node's stat", stat, zk.exists(f"{root}/a"))
        read_only = make_acl("world", "anyone", read=True, admin=True)
        stat = zk.set_acls(f"{root}/a", [read_only])
        equal("set_acls raises aversion alone", (stat.aversion, stat.version), (1, 0))
        equal("the new ACL", zk.get_acls(f"{root}/a")[0], [read_only])
        raises("a write without permission", NoAuthError, zk.set, f"{root}/a", b"y")
        raises("a create without permission", NoAuthError, zk.create, f"{root}/a/b")
        equal("a read", zk.get(f"{root}/a")[0], b"x")
        raises("set_acls with a stale aversion", BadVersionError,
               zk.set_acls, f"{root}/a", OPEN_ACL_UNSAFE, version=0)
        zk.set_acls(f"{root}/a", OPEN_ACL_UNSAFE, version=1)
        equal("open again", zk.set(f"{root}/a", b"y").version, 1)
        raises("get_acls of nothing", NoNodeError, zk.get_acls, f"{root}/no")


@shared(1, 3)
def digest_acls(_, ensemble):
    with area(ensemble, "digest") as (zk, root), client(ensemble.hosts) as owner:
        owner.add_auth("digest", "me:secret")
        mine = make_digest_acl("me", "secret", all=True)
        owner.create(f"{root}/a", b"x", acl=[mine])
        owner.create(f"{root}/b", b"y", acl=CREATOR_ALL_ACL)
        zk.sync(root)
        for path in (f"{root}/a", f"{root}/b"):
            raises("a stranger does not read", NoAuthError, zk.get, path)
            raises("nor write", NoAuthError, zk.set, path, b"")
            raises("nor see the ACL", NoAuthError, zk.get_acls, path)
            equal("the owner writes", owner.set(path, b"mine").version, 1)
            equal("`auth` became the owner", owner.get_acls(path)[0], [mine])
        t = zk.transaction()
        t.create(f"{root}/c")
        t.set_data(f"{root}/a", b"")
        equal("a stranger's transaction", [type(r) for r in t.commit()], [RolledBackError, NoAuthError])
        with client(ensemble.hosts, auth_data=[("digest", "me:wrong")]) as other:
            raises("a wrong password", NoAuthError, other.get, f"{root}/a")
        with client(ensemble.servers[-1].host, auth_data=[("digest", "me:secret")]) as other:
            other.sync(root)
            equal("the owner on another server", other.get(f"{root}/a")[0], b"mine")
            other.delete(f"{root}/a")
        raises("a scheme that is none", AuthFailedError, owner.add_auth, "nonsense", "x")


@shared(1, 3)
def opcodes_for_nobody(_, ensemble):
    """What is refused without a look at the tree, and how the connection fares."""
    reconfig, check_alone, unknown = 16, 13, 10
    port = ensemble.servers[-1].client_port
    with Raw(port) as raw:
        raw.connect()
        body = string("") * 3 + struct.pack(">q", -1)
        xid, zxid, error, rest = raw.request(7, reconfig, body)
        equal("reconfig is off", (xid, error, rest), (7, -123, b""))
        check("and took its place in the order", zxid > 0, zxid)
        equal("the connection lives on", raw.request(-2, 11)[2], 0)
        equal("a multiRead of writes", raw.request(8, 22, struct.pack(">ibi", 2, 0, -1) + string("/no")
              + struct.pack(">iibi", -1, -1, 1, -1))[2], -5)
        equal("and lives on", raw.request(-2, 11)[2], 0)
    for what, opcode in [("check alone", check_alone), ("an unknown opcode", unknown)]:
        with Raw(port) as raw:
            raw.connect()
            answer = raw.request(9, opcode, string("/") + struct.pack(">i", -1))
            equal(f"{what} is unimplemented", answer, (9, -1, -6, b""))
            equal("and the connection is closed", raw.receive(), None)
