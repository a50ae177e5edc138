"""Local sessions: one server knows them, until their first ephemeral makes them global."""

import re

from clients import Raw, client, string
from harness import alone, check, equal, wait_until
from test_java import run
from test_sessions import CLOSE, CREATE, EPHEMERAL, EXISTS, OPEN_ACL, create

SET_DATA, MULTI = 5, 14
LOCAL = {"localSessionsEnabled": "true", "localSessionsUpgradingEnabled": "true"}
NO_UPGRADE = {"localSessionsEnabled": "true"}
EPHEMERAL_ON_LOCAL_SESSION = -120
GONE = (0, 0, bytes(16))


def sessions(server) -> tuple[int, int]:
    """How many global and local sessions a server knows."""
    mntr = server.word("mntr")
    found = [re.search(rf"^zk_{kind}_sessions\s+(\d+)", mntr, re.M) for kind in ("global", "local")]
    return tuple(int(f.group(1)) for f in found)


def set_data(path: str) -> bytes:
    return string(path) + string("x") + (-1).to_bytes(4, "big", signed=True)


def multi(*creates: bytes) -> bytes:
    def header(opcode: int, done: bool) -> bytes:
        return opcode.to_bytes(4, "big", signed=True) + bytes([done]) + b"\xff\xff\xff\xff"
    return b"".join(header(CREATE, False) + c for c in creates) + header(-1, True)


def pipelined(raw: Raw, *requests: tuple[int, int, bytes]) -> list[tuple[int, int, int]]:
    """Sends all before it reads anything: (xid, zxid, error) of each answer."""
    for xid, opcode, body in requests:
        raw.send(xid.to_bytes(4, "big") + opcode.to_bytes(4, "big", signed=True) + body)
    answers = [raw.receive() for _ in requests]
    return [(int.from_bytes(a[:4], "big"), int.from_bytes(a[4:12], "big"),
             int.from_bytes(a[12:16], "big", signed=True)) for a in answers]


@alone
def come_and_go_without_a_transaction(context):
    with context.ensemble(3, **LOCAL) as ensemble:
        for server in ensemble.servers:
            other = next(s for s in ensemble.servers if s is not server)
            with Raw(server.client_port) as a, Raw(other.client_port) as b:
                _, session, password = a.connect()
                equal(f"an id of {server}", session >> 56, server.number)
                path = f"/n{server.number}"
                _, zxid, error, _ = a.request(1, CREATE, create(path))
                equal("it creates", error, 0)
                equal(f"one local session at {server}", sessions(server), (0, 1))
                equal("and none elsewhere", sessions(other), (0, 0))
                equal("not renewed elsewhere", b.connect(session, password), GONE)
                equal("its close takes no zxid", a.request(2, CLOSE)[1:3], (zxid, 0))
                equal("and ends the connection", a.receive(), None)
            with Raw(server.client_port) as c:
                equal("nor renewed at home then", c.connect(session, password), GONE)


@alone
def renewed_at_home(context):
    with context.ensemble(3, **LOCAL) as ensemble:
        for server in ensemble.servers:
            with Raw(server.client_port) as a:
                timeout, session, password = a.connect()
            with Raw(server.client_port) as b:
                equal(f"the same session at {server}", b.connect(session, password), (timeout, session, password))
                equal("it writes", b.request(1, CREATE, create(f"/n{server.number}"))[2], 0)
                equal("and is local", sessions(server), (0, 1))
                b.request(2, CLOSE)


@alone
def expire_where_they_live(context):
    with context.ensemble(3, **LOCAL) as ensemble:
        server = ensemble.servers[0]
        with Raw(server.client_port) as a:
            _, session, password = a.connect(timeout_ms=1000)
            equal("one local session", sessions(server), (0, 1))
            wait_until("it expires", lambda: sessions(server) == (0, 0), 10)
            equal("its connection is closed", a.receive(), None)
        with Raw(server.client_port) as b:
            equal("it is gone", b.connect(session, password), GONE)


@alone
def become_global_for_an_ephemeral(context):
    with context.ensemble(3, **LOCAL) as ensemble:
        for server in ensemble.servers:
            other = next(s for s in ensemble.servers if s is not server)
            n, e = f"/n{server.number}", f"/e{server.number}"
            with Raw(server.client_port) as a:
                _, session, password = a.connect()
                answers = pipelined(
                    a, (1, CREATE, create(n)), (2, SET_DATA, set_data(n)),
                    (3, CREATE, create(e, EPHEMERAL)), (4, CREATE, create(e + "-", 3)),
                    (5, SET_DATA, set_data(n)))
                equal(f"all is done at {server}, in order", [a[0::2] for a in answers],
                      [(xid, 0) for xid in range(1, 6)])
                first = answers[0][1]
                equal("the session's own transaction comes right before the ephemeral",
                      [zxid - first for _, zxid, _ in answers], [0, 1, 3, 4, 5])
            with Raw(other.client_port) as b:
                equal(f"{other} takes it over", b.connect(session, password)[1], session)
                check("its ephemeral is there", b.request(6, EXISTS, string(e) + b"\0")[2] == 0)
                zxid = b.request(7, SET_DATA, set_data(n))[1]
                equal("its close is a transaction", b.request(8, CLOSE)[1:3], (zxid + 1, 0))
            with client(server.host) as zk:
                zk.sync("/")
                equal("the ephemeral went with it", zk.exists(e), None)


@alone
def become_global_for_a_multi(context):
    with context.ensemble(3, **LOCAL) as ensemble:
        for server in ensemble.servers:
            n = server.number
            with Raw(server.client_port) as a:
                a.connect()
                plain = multi(create(f"/a{n}"), create(f"/b{n}"))
                mixed = multi(create(f"/c{n}"), create(f"/e{n}", EPHEMERAL))
                answers = pipelined(a, (1, MULTI, plain), (2, MULTI, mixed))
                equal("both are done", [error for _, _, error in answers], [0, 0])
                equal("one takes two zxids", answers[1][1] - answers[0][1], 2)
                a.request(3, CLOSE)


@alone
def refused_without_upgrading(context):
    with context.ensemble(3, **NO_UPGRADE) as ensemble:
        for server in ensemble.servers:
            n = server.number
            with Raw(server.client_port) as a:
                a.connect()
                _, zxid, error, _ = a.request(1, CREATE, create(f"/e{n}", EPHEMERAL))
                equal(f"no ephemeral at {server}", error, EPHEMERAL_ON_LOCAL_SESSION)
                answer = a.request(2, CREATE, create(f"/n{n}"))
                equal("the session goes on, the refusal took a zxid", answer[1:3], (zxid + 1, 0))
                _, zxid, error, body = a.request(3, MULTI, multi(create(f"/c{n}"), create(f"/e{n}", EPHEMERAL)))
                equal("nor in a multi", error, 0)
                code = int.from_bytes(body[-13:-9], "big", signed=True)
                # Java's followers say that the session expired, their leader what is true.
                expected = {EPHEMERAL_ON_LOCAL_SESSION} | ({-112} if context.kind == "java" else set())
                check("whose result says so", code in expected, (code, body))
                equal("it goes on", a.request(4, CREATE, create(f"/m{n}"))[2], 0)
                equal("and is local", sessions(server), (0, 1))
                a.request(5, CLOSE)


@alone
def clients_do_not_notice(context):
    """What kazoo and ZooKeeper's own client do with sessions that become global on the way."""
    with context.ensemble(3, **LOCAL) as ensemble:
        with client(ensemble.hosts) as one, client(ensemble.hosts) as two:
            with one.Lock("/lock"):
                check("a lock is taken", not two.Lock("/lock").acquire(blocking=False))
            check("and given back", two.Lock("/lock").acquire(timeout=10))
        run(context, ensemble, "operations")
        run(context, ensemble, "curator")


@alone
def a_server_alone_has_none(context):
    """Upstream's standalone server takes no notice of the settings."""
    with context.ensemble(1, **NO_UPGRADE) as ensemble, client(ensemble.hosts) as zk:
        zk.create("/e", ephemeral=True)
        equal("an ephemeral's owner", zk.exists("/e").ephemeralOwner, zk.client_id[0])


@alone
def an_ensemble_of_one_has_them(context):
    if context.kind == "java":
        return
    with context.ensemble(1, standaloneEnabled="false", **LOCAL) as ensemble:
        server = ensemble.servers[0]
        with Raw(server.client_port) as a:
            _, session, password = a.connect()
            equal("it creates", a.request(1, CREATE, create("/n"))[2], 0)
            equal("as a local session", sessions(server), (0, 1))
            equal("an ephemeral", a.request(2, CREATE, create("/e", EPHEMERAL))[2], 0)
            equal("as a global one", sessions(server), (1, 0))
        server.kill()
        server.start().wait_serving()
        with Raw(server.client_port) as b:
            equal("which survives the server", b.connect(session, password)[1], session)
            b.request(3, CLOSE)


@alone
def beside_java(context):
    """Local sessions of either kind of server under a leader of the other."""
    for kinds in (["java", "java", context.kind], [context.kind, "java", "java"]):
        with context.ensemble(3, kinds, **LOCAL) as ensemble:
            leader = ensemble.leader()
            for server in ensemble.servers:
                e = f"/e{server.number}"
                with Raw(server.client_port) as a:
                    _, session, password = a.connect()
                    equal(f"an id of {server}", session >> 56, server.number)
                    equal(f"{server} writes under {leader}", a.request(1, CREATE, create(f"/n{server.number}"))[2], 0)
                    equal("in a local session", sessions(server), (0, 1))
                    equal("then an ephemeral", a.request(2, CREATE, create(e, EPHEMERAL))[2], 0)
                    equal("in a global one", sessions(server), (1, 0))
                with client(leader.host) as zk:
                    equal("all know it", zk.exists(e).ephemeralOwner, session)
                other = next(s for s in ensemble.servers if s is not server)
                # A Java follower that lags drops what a session asks that it has not heard of.
                wait_until(f"{other} has heard of it", lambda: sessions(other) == (1, 0))
                with Raw(other.client_port) as b:
                    equal(f"{other} takes it over", b.connect(session, password)[1], session)
                    equal("and closes it", b.request(3, CLOSE)[2], 0)
                with client(leader.host) as zk:
                    equal("the ephemeral is gone", zk.exists(e), None)
