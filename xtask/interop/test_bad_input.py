"""Bytes that no client and no peer would send: the connection suffers, the service does not."""

import os
import random
import socket
import struct

from clients import client
from harness import alone, check, equal, note, wait_until

HUGE, NEGATIVE = struct.pack(">i", 0x7FFFFFFF), struct.pack(">i", -5)


def closes(port: int, data: bytes, within: float = 25) -> bool:
    """Sends and waits for the other end to close."""
    with socket.create_connection(("127.0.0.1", port), timeout=within) as s:
        try:
            s.sendall(data)
            while s.recv(65536):
                pass
        except (ConnectionResetError, BrokenPipeError):
            return True
        except TimeoutError:
            return False
        return True


def throw(port: int, data: bytes) -> None:
    """Sends and goes away."""
    try:
        with socket.create_connection(("127.0.0.1", port), timeout=5) as s:
            s.sendall(data)
    except OSError:
        pass


@alone
def bad_frames(context):
    rng = random.Random(7)
    with context.ensemble(3) as ensemble, client(ensemble.hosts) as zk:
        zk.create("/before", b"x")
        leader = ensemble.leader()
        follower = next(s for s in ensemble.servers if s is not leader)
        ports = {
            "client": follower.client_port,
            "election": ensemble.election[follower.number],
            "quorum": ensemble.quorum[leader.number],
        }
        before = {s: s.resident_mb() for s in ensemble.servers}

        def alive(after: str) -> None:
            equal(f"everybody is well after {after}",
                  [s.word("ruok") for s in ensemble.servers], ["imok"] * 3)
            path = zk.retry(zk.create, "/n-", os.urandom(100), sequence=True)
            check("and a write works", zk.retry(zk.exists, path) is not None)

        for what, frame in [("an oversized frame", HUGE), ("a negative length", NEGATIVE)]:
            check(f"client port closes on {what}", closes(ports["client"], frame + b"x" * 64))
        connect = struct.pack(">iqiqi", 0, 0, 6000, 0, 16) + bytes(17)
        check("client port closes on a header cut short",
              closes(ports["client"], struct.pack(">i", len(connect)) + connect + struct.pack(">i", 3) + b"abc"))
        check("client port closes on a password of two gigabytes",
              closes(ports["client"], struct.pack(">iiqiqi", 45, 0, 0, 6000, 0, 0x7FFFFFFF) + bytes(17)))
        alive("bad frames at the client port")

        hello = struct.pack(">qq", -65536, 99)
        for what, data in [
            ("an unknown protocol version", struct.pack(">qqi", -7, 99, 4) + b"a:1\n"),
            ("an oversized address", hello + HUGE),
            ("a negative address length", hello + NEGATIVE),
        ]:
            check(f"election port closes on {what}", closes(ports["election"], data))
        address = b"127.0.0.1:1"
        check("election port closes on an oversized notification",
              closes(ports["election"], hello + struct.pack(">i", len(address)) + address + HUGE))
        alive("bad bytes at the election port")

        for what, data in [
            ("a packet that is no introduction", struct.pack(">iqii", 5, 0, -1, -1)),
            ("oversized packet data", struct.pack(">iqi", 11, 0, 0x7FFFFFFF)),
            ("an unknown packet type", struct.pack(">iqii", 77, 0, -1, -1)),
        ]:
            check(f"quorum port closes on {what}", closes(ports["quorum"], data))
        alive("bad bytes at the quorum port")

        idle = []
        for name, port in ports.items():
            for round in range(200):
                size = rng.choice([1, 3, 4, 7, 16, 45, 300, 5000])
                noise = rng.randbytes(size)
                if round % 2:
                    # A plausible length, so that the noise gets behind the framing.
                    noise = struct.pack(">i", size if round % 4 == 1 else size + 50) + noise
                throw(port, noise)
            for _ in range(20):
                s = socket.create_connection(("127.0.0.1", port), timeout=5)
                s.sendall(struct.pack(">i", 1_000_000) if name == "client" else b"\0")
                idle.append(s)
            note(f"{name} port: 200 noises thrown, 20 half-sent frames left hanging")
        # With servers that take nonsense for a peer an election may be due; the service comes back.
        wait_until("all serve", lambda: all(s.mode() for s in ensemble.servers), 60)
        alive("noise at all ports")
        for s in idle:
            s.close()
        for s in ensemble.servers:
            grown = s.resident_mb() - before[s]
            note(f"{s}: {s.resident_mb():.0f} MB resident, {grown:+.0f} MB")
            check(f"memory of {s} stays bounded", grown < 64, grown)
        equal("data from before", zk.retry(zk.get, "/before")[0], b"x")


@alone
def a_client_that_does_not_read(context):
    """It may lose its own connection; it must not hold others up or fill memory."""
    with context.ensemble(1) as ensemble, client(ensemble.hosts) as zk:
        server = ensemble.servers[0]
        zk.create("/big", bytes(500_000))
        before = server.resident_mb()
        request = struct.pack(">ii", 1, 4) + struct.pack(">i", 4) + b"/big" + b"\0"
        frame = struct.pack(">i", len(request)) + request
        connect = struct.pack(">iqiqi", 0, 0, 6000, 0, 16) + bytes(17)
        with socket.create_connection(("127.0.0.1", server.client_port), timeout=2) as s:
            try:
                s.sendall(struct.pack(">i", len(connect)) + connect + frame * 4000)
            except (TimeoutError, ConnectionError):
                pass
            for i in range(20):
                zk.set("/big", b"%d" % i)
            check("another client is served", True)
            grown = server.resident_mb() - before
            note(f"{grown:+.0f} MB for 4000 unread answers of 500 kB")
            check("memory stays bounded", grown < 256, grown)
