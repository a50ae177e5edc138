"""Sessions: they last over connections and servers, and take their ephemerals with them."""

import time

from clients import Raw, area, client, doomed, string
from harness import alone, check, equal, note, shared, wait_until

CREATE, EXISTS, PING, CLOSE = 1, 3, 11, -11
EPHEMERAL = 1
OPEN_ACL = b"\0\0\0\1" + b"\0\0\0\x1f" + string("world") + string("anyone")


def create(path: str, flags: int = 0) -> bytes:
    return string(path) + string("") + OPEN_ACL + flags.to_bytes(4, "big")


@shared(1, 3)
def expiry_removes_ephemerals(_, ensemble):
    with area(ensemble, "expiry") as (zk, root):
        timeout, path = 3.0, f"{root}/e"
        process = doomed(ensemble.hosts, timeout, path)
        try:
            zk.sync(root)
            check("the ephemeral is there", zk.exists(path) is not None)
            process.kill()
            process.wait()
            took = wait_until("the ephemeral goes", lambda: zk.exists(path) is None, 30)
        finally:
            process.kill()
        # The client pings at least every third of the timeout, so that much may be used up.
        check("not before the session's time", took > timeout / 2, took)
        check("soon after it", took < timeout + 4, took)
        note(f"session timeout {timeout} s, expired after {took:.1f} s")


@shared(1, 3)
def pings_keep_a_session(_, ensemble):
    with area(ensemble, "pings") as (zk, root), client(ensemble.hosts, timeout=2) as quiet:
        quiet.create(f"{root}/e", ephemeral=True)
        time.sleep(5)
        check("an idle client of 2 s lives after 5 s", zk.exists(f"{root}/e") is not None)
        equal("in the same session", zk.exists(f"{root}/e").ephemeralOwner, quiet.client_id[0])


@shared(1, 3)
def session_is_resumed_elsewhere(_, ensemble):
    with area(ensemble, "resume") as (zk, root):
        first, last = ensemble.servers[0], ensemble.servers[-1]
        with Raw(first.client_port) as a:
            timeout, session, password = a.connect()
            equal("the timeout that was asked for", timeout, 6000)
            equal("a password of 16 bytes", len(password), 16)
            equal("create answers", a.request(1, CREATE, create(f"{root}/e", EPHEMERAL))[2], 0)
        with Raw(last.client_port) as b:
            equal("the same session on another connection",
                  b.connect(session, password), (timeout, session, password))
            equal("its ephemeral is there", b.request(2, EXISTS, string(f"{root}/e") + b"\0")[2], 0)
            equal("ping", b.request(-2, PING)[0], -2)
            equal("close answers", b.request(3, CLOSE)[2], 0)
            equal("and then the connection ends", b.receive(), None)
        zk.sync(root)
        equal("the ephemeral went with the session", zk.exists(f"{root}/e"), None)
        with Raw(last.client_port) as c:
            equal("a closed session is refused", c.connect(session, password), (0, 0, bytes(16)))
            equal("and then the connection ends", c.receive(), None)


@shared(1, 3)
def refusals(_, ensemble):
    port = ensemble.servers[0].client_port
    with Raw(port) as a, Raw(port) as b, Raw(port) as c, Raw(port) as d:
        _, session, password = a.connect()
        wrong = bytes([password[0] ^ 1]) + password[1:]
        equal("a wrong password", b.connect(session, wrong), (0, 0, bytes(16)))
        equal("a session that never was", c.connect(0x7F00000000000001, bytes(16)), (0, 0, bytes(16)))
        equal("a client that has seen the future", d.connect(last_zxid=2**62), None)
    with Raw(port) as e:
        equal("a timeout below the least (2 ticks)", e.connect(timeout_ms=1)[0], 1000)
    with Raw(port) as f:
        equal("a timeout above the most (20 ticks)", f.connect(timeout_ms=10**6)[0], 10000)


@shared(3)
def session_moves(_, ensemble):
    """A request over the old connection, after the session moved, must not be served."""
    with Raw(ensemble.servers[0].client_port) as a, Raw(ensemble.servers[1].client_port) as b:
        _, session, password = a.connect()
        equal("renewed on another server", b.connect(session, password)[1], session)
        equal("writes there", b.request(1, CREATE, create("/moved-there"))[2], 0)
        answer = a.request(2, CREATE, create("/moved-from"))
        check("the old connection is closed or told SESSIONMOVED", answer is None or answer[2] == -118, answer)
        equal("and did not write", b.request(3, EXISTS, string("/moved-from") + b"\0")[2], -101)


@alone
def ephemerals_survive_the_loss_of_a_server(context):
    with context.ensemble(3) as ensemble, client(ensemble.hosts) as zk:
        zk.create("/e", ephemeral=True)
        session = zk.client_id[0]
        port = zk._connection._socket.getpeername()[1]
        connected = next(s for s in ensemble.servers if s.client_port == port)
        connected.kill()
        equal(f"the ephemeral is there after {connected} was killed",
              zk.retry(zk.exists, "/e").ephemeralOwner, session)
        equal("in the same session", zk.client_id[0], session)
        connected.start().wait_serving()
