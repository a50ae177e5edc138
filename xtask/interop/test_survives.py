"""What stops Java for good, or hangs it, from a client's socket: the service lives on, and every
server takes writes. The same as transactions in a log or a proposal is tested in core."""

import functools
import struct

from clients import Raw, client, string
from harness import alone, check, equal, note

CREATE, DELETE, SET_DATA, MULTI, CHECK = 1, 2, 5, 14, 13
DELETE_CONTAINER, CREATE_TTL, CREATE_SESSION, PING = 20, 21, -10, -2
OPEN_ACL = b"\0\0\0\1" + b"\0\0\0\x1f" + string("world") + string("anyone")
BAD_ARGUMENTS, MARSHALLING, UNIMPLEMENTED, QUOTA_EXCEEDED = -8, -5, -6, -125
QUOTA = "/zookeeper/quota"


def for_ours(f):
    """A test that Java is spared: it would not come back."""
    @functools.wraps(f)
    def run(context):
        if context.kind == "zebu":
            f(context)
        else:
            note("not asked of Java")
    return alone(run)


def create(path: str, data: str = "", flags: int = 0) -> bytes:
    return string(path) + string(data) + OPEN_ACL + struct.pack(">i", flags)


def delete(path: str) -> bytes:
    return string(path) + struct.pack(">i", -1)


def set_data(path: str, data: str) -> bytes:
    return string(path) + string(data) + struct.pack(">i", -1)


class Service:
    """Three servers, and a client of each that knows how to try them."""

    def __init__(self, ensemble):
        self.ensemble = ensemble
        self.writes = 0
        leader = ensemble.leader()
        self.follower = next(s for s in ensemble.servers if s is not leader)

    def goes_on(self, after: str) -> None:
        self.writes += 1
        for server in self.ensemble.servers:
            with client(server.host) as zk:
                path = f"/after-{self.writes}-{server.number}"
                equal(f"a write through {server} after {after}", zk.create(path), path)

    def raw(self) -> Raw:
        raw = Raw(self.follower.client_port)
        raw.connect()
        return raw

    def error(self, raw: Raw, opcode: int, body: bytes) -> int:
        self.writes += 1
        return raw.request(self.writes, opcode, body)[2]

    def succeed(self, raw: Raw, *requests: tuple[int, bytes]) -> None:
        for opcode, body in requests:
            equal(f"{opcode} {body[4:50]!r}", self.error(raw, opcode, body), 0)

    def is_unimplemented(self, what: str, opcode: int, body: bytes) -> None:
        with self.raw() as raw:
            equal(what, raw.request(9, opcode, body), (9, -1, UNIMPLEMENTED, b""))
            equal("and the connection is closed", raw.receive(), None)


@for_ours
def poison(context):
    """What Java's servers exit at, and again at every start."""
    settings = {"extendedTypesEnabled": "true", "enforceQuota": "true"}
    with context.ensemble(3, **settings) as ensemble:
        service = Service(ensemble)
        with service.raw() as raw:
            for flags in range(5):
                body = create("/ttl", flags=flags) + struct.pack(">q", -1)
                equal(f"createTTL with flags {flags}", service.error(raw, CREATE_TTL, body),
                      BAD_ARGUMENTS)
            for name in ("zookeeper_limits", "zookeeper_stats"):
                path = f"{QUOTA}/{name}"
                service.succeed(raw, (CREATE, create(path, "count=1")), (DELETE, delete(path)),
                                (CREATE, create(path)))
            service.succeed(raw, (CREATE, create("/zookeeper/zookeeper_limits")),
                            (DELETE, delete("/zookeeper/zookeeper_limits")))
            limits, stats = f"{QUOTA}/q/zookeeper_limits", f"{QUOTA}/q/zookeeper_stats"
            service.succeed(raw, (CREATE, create("/q")), (CREATE, create(f"{QUOTA}/q")),
                            (CREATE, create(limits, "garbage")), (CREATE, create(stats)))
            for opcode, body in [(CREATE, create("/q/a")), (SET_DATA, set_data("/q/a", "x")),
                                 (DELETE, delete("/q/a"))]:
                service.succeed(raw, (SET_DATA, set_data(stats, "garbage")), (opcode, body))
        service.goes_on("all of these")
        for server in ensemble.servers:
            server.kill()
        for server in ensemble.servers:
            server.start()
        ensemble.wait_serving()
        service.goes_on("a restart with all of these in the log")
        with client(ensemble.hosts) as zk:
            equal("what was counted", zk.get(stats)[0], b"count=1,bytes=0")


@for_ours
def cut_writes(context):
    """A write without its end is refused and leaves nothing behind that others wait for."""
    with context.ensemble(3) as ensemble:
        service = Service(ensemble)
        with service.raw() as raw:
            before = raw.request(1, CREATE, create("/before"))[1]
            for opcode in (CREATE, DELETE, SET_DATA, MULTI, CREATE_TTL):
                answer = raw.request(2, opcode, b"\0\0\0\x07/b")
                equal(f"{opcode} cut short", answer, (2, before, MARSHALLING, b""))
            equal("a ping behind them", raw.request(PING, 11)[2], 0)
        service.goes_on("writes cut short")


@for_ours
def opcodes_of_servers(context):
    """Only servers delete containers and open sessions; nobody asks for a check alone."""
    with context.ensemble(3) as ensemble:
        service = Service(ensemble)
        with client(ensemble.hosts) as zk:
            zk.create("/kept")
            service.is_unimplemented("deleteContainer", DELETE_CONTAINER, string("/kept"))
            service.is_unimplemented("createSession", CREATE_SESSION, struct.pack(">i", 10**9))
            service.is_unimplemented("check alone", CHECK, delete("/kept"))
            zk.sync("/kept")
            check("what deleteContainer named is there", zk.exists("/kept") is not None)
        service.goes_on("opcodes of servers")


@for_ours
def wrong_password(context):
    """It ends the connection that brought it, not the one that has the session."""
    with context.ensemble(3) as ensemble:
        service = Service(ensemble)
        with service.raw() as raw, Raw(service.follower.client_port) as owner:
            _, session, password = owner.connect()
            wrong = bytes([password[0] ^ 1]) + password[1:]
            for server in ensemble.servers:
                with Raw(server.client_port) as other:
                    equal(f"refused by {server}", other.connect(session, wrong), (0, 0, bytes(16)))
            equal("the owner's connection lives", owner.request(PING, 11)[2], 0)
            service.succeed(owner, (CREATE, create("/owned", flags=1)))
        service.goes_on("wrong passwords")


@for_ours
def ttl_nodes_kept(context):
    """Started without extended types on data that has TTL nodes."""
    with context.ensemble(1, extendedTypesEnabled="true") as ensemble:
        server = ensemble.servers[0]
        with Raw(server.client_port) as raw:
            raw.connect()
            body = create("/ttl", flags=5) + struct.pack(">q", 3_600_000)
            equal("a TTL node", raw.request(1, CREATE_TTL, body)[2], 0)
        server.kill()
        server.cfg.write_text(server.cfg.read_text().replace("extendedTypesEnabled=true\n", ""))
        server.start().wait_serving()
        with client(server.host) as zk:
            stat = zk.exists("/ttl")
            check("it is kept", stat is not None)
            equal("and is nobody's ephemeral", stat.ephemeralOwner, 0)
