"""Limits: each is run into by a client that goes too far, while a well-behaved one is served."""

import os
import resource
import socket
import struct
import threading
import time

from clients import Raw, client, string
from harness import alone, check, equal, note, wait_until

EXISTS, CREATE, GET_DATA, ADD_WATCH = 3, 1, 4, 106
OPEN_ACL = struct.pack(">ii", 1, 31) + string("world") + string("anyone")


def frame(body: bytes) -> bytes:
    return struct.pack(">i", len(body)) + body


def create(xid: int, path: str, data: bytes = b"x", flags: int = 0) -> bytes:
    record = string(path) + struct.pack(">i", len(data)) + data + OPEN_ACL + struct.pack(">i", flags)
    return frame(struct.pack(">ii", xid, CREATE) + record)


def served(zk, while_what: str) -> None:
    path = zk.create("/served-", os.urandom(50), sequence=True)
    data = os.urandom(50)
    zk.set(path, data)
    equal(f"a good client is served {while_what}", zk.get(path)[0], data)


def ended(raw: Raw) -> bool:
    """Does the server close without a word?"""
    try:
        return raw.receive() is None
    except TimeoutError:
        return False


@alone
def the_longest_frame(context):
    """jute.maxbuffer bytes are a frame, one more are not."""
    most = 0xfffff
    with context.ensemble(1) as ensemble, client(ensemble.hosts) as zk:
        port = ensemble.servers[0].client_port
        for length, goes in [(most, True), (most + 1, False), (-1, False)]:
            with Raw(port) as raw:
                raw.connect()
                body = struct.pack(">ii", 1, EXISTS) + string("/") + b"\0"
                raw.socket.sendall(struct.pack(">i", length))
                if goes:
                    raw.socket.sendall(body + bytes(length - len(body)))
                    answer = raw.receive()
                    equal(f"a frame of {length} bytes is answered", answer[:4], body[:4])
                else:
                    check(f"a frame of {length} bytes ends the connection", ended(raw))
        served(zk, "beside them")


@alone
def connections_of_an_address(context):
    with context.ensemble(1, maxClientCnxns="5") as ensemble, client(ensemble.hosts) as zk:
        port = ensemble.servers[0].client_port
        others = [Raw(port) for _ in range(4)]
        for raw in others:
            check("a connection within the limit has a session", raw.connect() is not None)
        with Raw(port) as raw:
            check("one too many is closed without a word", ended(raw))
        served(zk, "beside too many connections")
        others.pop().socket.close()

        def room() -> bool:
            with Raw(port) as raw:
                return connects(raw)

        wait_until("there is room again when one goes", room)
        for raw in others:
            raw.socket.close()


def connects(raw: Raw) -> bool:
    try:
        return raw.connect() is not None
    except ConnectionError:
        return False


@alone
def connections_in_all(context):
    settings = dict(maxCnxns="5", maxClientCnxns="0")
    with context.ensemble(1, **settings) as ensemble, client(ensemble.hosts) as zk:
        port = ensemble.servers[0].client_port
        others = [Raw(port) for _ in range(4)]
        for raw in others:
            check("a connection within the limit has a session", raw.connect() is not None)
        with Raw(port) as raw:
            check("one too many is closed without a word", ended(raw))
        served(zk, "beside too many connections")
        for raw in others:
            raw.socket.close()


def too_fast(context, **settings: str) -> None:
    with context.ensemble(1, **settings) as ensemble, client(ensemble.hosts) as zk:
        port = ensemble.servers[0].client_port
        came = []
        for _ in range(12):
            with Raw(port) as raw:
                came.append(connects(raw))
        equal("so many sessions get in, the good one's apart", came, [True] * 4 + [False] * 8)
        served(zk, "beside refused sessions")


@alone
def connections_come_too_fast(context):
    too_fast(context, connection_throttle_tokens="5", connection_throttle_fill_time="600000")
    if context.kind == "zebu":
        # Upstream's documentation has these names; its code ignores them.
        too_fast(context, connectionMaxTokens="5", connectionTokenFillTime="600000")


def many_at_once(context, requests: int, **settings: str) -> None:
    with context.ensemble(1, **settings) as ensemble, client(ensemble.hosts) as zk:
        port = ensemble.servers[0].client_port
        raws = [Raw(port, timeout=60) for _ in range(20)]
        for raw in raws:
            raw.connect()
        short = []

        def flood(number: int, raw: Raw) -> None:
            sends = threading.Thread(target=raw.socket.sendall, args=(b"".join(
                create(n, f"/c{number}n{n}") for n in range(1, requests + 1)),))
            sends.start()
            for n in range(1, requests + 1):
                answer = raw.receive()
                if answer is None or struct.unpack_from(">iqi", answer)[::2] != (n, 0):
                    short.append((number, n, answer))
                    break
            sends.join()

        threads = [threading.Thread(target=flood, args=pair) for pair in enumerate(raws)]
        for thread in threads:
            thread.start()
        for _ in range(5):
            served(zk, "beside a flood")
        for thread in threads:
            thread.join()
        equal("answers that are missing or out of order", short, [])
        for raw in raws:
            raw.socket.close()


@alone
def more_requests_than_may_be_outstanding(context):
    many_at_once(context, 200, globalOutstandingLimit="2")


@alone
def more_requests_than_may_be_carried_out(context):
    many_at_once(context, 200, request_throttle_max_requests="3")
    if context.kind == "zebu":
        many_at_once(context, 50, requestThrottleLimit="1", requestThrottleDropStale="true")


@alone
def large_requests(context):
    settings = dict(largeRequestThreshold="1000", largeRequestMaxBytes="200000")
    with context.ensemble(1, **settings) as ensemble, client(ensemble.hosts) as zk:
        port = ensemble.servers[0].client_port
        zk.create("/large", bytes(150_000))
        with Raw(port) as raw:
            raw.connect()
            raw.socket.sendall(struct.pack(">i", 200_001))
            check("a request larger than all may be is refused before it comes", ended(raw))
        for _ in range(3):
            zk.set("/large", bytes(150_000))
        served(zk, "and large requests one after the other too")


@alone
def a_hello_that_dribbles_in(context):
    if context.kind == "java":
        return note("ZooKeeper waits on as long as anything comes")
    with context.ensemble(1, **{"nio.sessionlessCnxnTimeout": "1000"}) as ensemble:
        with client(ensemble.hosts) as zk:
            port = ensemble.servers[0].client_port
            start = time.monotonic()
            with Raw(port, timeout=0.2) as raw:
                for byte in struct.pack(">i", 45) + bytes(45):
                    try:
                        raw.socket.sendall(bytes([byte]))
                        if raw.socket.recv(1) == b"":
                            break
                    except TimeoutError:
                        continue
                    except ConnectionError:
                        break
                else:
                    raise AssertionError("the whole hello was waited for")
            note(f"closed after {time.monotonic() - start:.1f} s")
            served(zk, "beside it")


@alone
def requests_that_dribble_in(context):
    """What is announced is not allocated."""
    with context.ensemble(1, maxClientCnxns="0") as ensemble, client(ensemble.hosts) as zk:
        server = ensemble.servers[0]
        before = server.resident_mb()
        raws = [Raw(server.client_port) for _ in range(300)]
        for raw in raws:
            raw.connect(timeout_ms=60000)
            raw.socket.sendall(struct.pack(">i", 1_000_000) + bytes(10))
        served(zk, "beside 300 unfinished requests of a megabyte")
        grown = server.resident_mb() - before
        note(f"{grown:+.0f} MB")
        if context.kind == "zebu":
            check("memory stays small", grown < 40, grown)
        for raw in raws:
            raw.socket.close()


@alone
def thousands_of_connections(context):
    # ZooKeeper loses some of them with a backlog of 50.
    count = 3000 if context.kind == "zebu" else 300
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    count = min(count, hard // 2)
    with context.ensemble(1, maxClientCnxns="0") as ensemble, client(ensemble.hosts) as zk:
        server = ensemble.servers[0]
        before = server.resident_mb()
        raws = [Raw(server.client_port, timeout=60) for _ in range(count)]
        for raw in raws:
            raw.send(struct.pack(">iqiqi", 0, 0, 60000, 0, 16) + bytes(17))
        served(zk, f"beside {count} that come at once")
        lost = sum(raw.receive() is None for raw in raws)
        equal("of which are refused", lost, 0)
        note(f"{(server.resident_mb() - before) * 1024 / count:.1f} kB for each")
        for raw in raws:
            raw.send(struct.pack(">ii", -2, 11))
        lost = sum(raw.receive() is None for raw in raws)
        equal("and do not answer a ping", lost, 0)
        for raw in raws:
            raw.socket.close()
        served(zk, "when all of them go")


@alone
def no_files_left(context):
    """The port stays open, and what is connected is served."""
    with context.ensemble(1, maxClientCnxns="0") as ensemble, client(ensemble.hosts) as zk:
        server = ensemble.servers[0]
        pid = server.process.pid
        used = len(os.listdir(f"/proc/{pid}/fd"))
        resource.prlimit(pid, resource.RLIMIT_NOFILE, (used + 10, used + 10))
        raws = []
        for _ in range(60):
            raws.append(socket.create_connection(("127.0.0.1", server.client_port), timeout=5))
        time.sleep(1)
        served(zk, "while no more connections can be accepted")
        for raw in raws:
            raw.close()
        with client(ensemble.hosts) as late:
            served(late, "that connects when there is room again")
        if context.kind == "zebu":
            check("the log says what was the matter", "cannot accept" in server.log.read_text(),
                  server.tail())


@alone
def events_that_nobody_reads(context):
    if context.kind == "java":
        return note("ZooKeeper keeps them as long as it has memory")
    # Without a long memory for learners, and with a session that outlives all of it.
    settings = dict(commitLogCount="10", maxSessionTimeout="60000")
    with context.ensemble(1, **settings) as ensemble, client(ensemble.hosts) as zk:
        server = ensemble.servers[0]
        path = "/" + 400_000 * "x"
        zk.create(path)
        with Raw(server.client_port, timeout=30) as raw:
            raw.connect(timeout_ms=60_000)
            equal("a watch is set", raw.request(1, ADD_WATCH, string("/") + struct.pack(">i", 1))[2], 0)
            before = server.resident_mb()
            # Some 100 MB of events, each as long as the path.
            for _ in range(250):
                zk.set(path, b"x")
            grown = server.resident_mb() - before
            served(zk, "beside who does not read its events")
            note(f"{grown:+.0f} MB")
            check("memory stays bounded", grown < 150, grown)
            got = 0
            while raw.receive() is not None:
                got += 1
            check("it is cut before it has read all", got < 250, got)
