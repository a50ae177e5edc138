"""kazoo clients as the tests use them, and a client of raw frames for what kazoo would not do."""

import logging
import os
import socket
import struct
import subprocess
import sys
from contextlib import contextmanager
from pathlib import Path

from kazoo.client import KazooClient
from kazoo.exceptions import NoAuthError, NoNodeError
from kazoo.retry import KazooRetry

# Tests kill servers; what kazoo remarks on that is no news.
logging.getLogger("kazoo").setLevel(logging.CRITICAL + 1)


@contextmanager
def client(hosts: str, timeout: float = 6.0, **more):
    """A connected kazoo client that is closed at the end."""
    retry = dict(max_tries=-1, delay=0.05, backoff=1.5, max_delay=0.5)
    zk = KazooClient(hosts, timeout=timeout, connection_retry=KazooRetry(**retry),
                     randomize_hosts=False, **more)
    zk.start(timeout=60)
    try:
        yield zk
    finally:
        zk.stop()
        zk.close()


@contextmanager
def area(ensemble, name: str):
    """A client and a subtree of its own."""
    with client(ensemble.hosts) as zk:
        root = f"/{name}"
        if zk.exists(root):
            zk.delete(root, recursive=True)
        zk.create(root)
        yield zk, root


def doomed(hosts: str, timeout: float, path: str) -> subprocess.Popen:
    """A client process that creates an ephemeral at `path`, says so, and waits to be killed."""
    script = (
        "import sys, time; from kazoo.client import KazooClient\n"
        f"zk = KazooClient({hosts!r}, timeout={timeout}); zk.start(60)\n"
        f"zk.create({path!r}, b'', ephemeral=True); print(zk.client_id[0], flush=True)\n"
        "time.sleep(600)\n")
    process = subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE, text=True,
                               cwd=os.fspath(Path(__file__).parent))
    process.stdout.readline()
    return process


class Raw:
    """A client connection, frame by frame."""

    def __init__(self, port: int, timeout: float = 10):
        self.socket = socket.create_connection(("127.0.0.1", port), timeout=timeout)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.socket.close()

    def send(self, body: bytes) -> None:
        self.socket.sendall(struct.pack(">i", len(body)) + body)

    def receive(self) -> bytes | None:
        """One frame, or None at the end of the stream."""
        head = self._exactly(4)
        return self._exactly(struct.unpack(">i", head)[0]) if head else None

    def _exactly(self, count: int) -> bytes | None:
        got = b""
        while len(got) < count:
            try:
                piece = self.socket.recv(count - len(got))
            except ConnectionResetError:
                return None
            if not piece:
                return None
            got += piece
        return got

    def connect(self, session: int = 0, password: bytes = bytes(16), timeout_ms: int = 6000,
                last_zxid: int = 0):
        """The handshake; (timeout, session, password), or None if the server just closes."""
        self.send(struct.pack(">iqiqi", 0, last_zxid, timeout_ms, session, 16) + password + b"\0")
        answer = self.receive()
        if answer is None:
            return None
        _, timeout, session, length = struct.unpack_from(">iiqi", answer)
        return timeout, session, answer[20:20 + length]

    def request(self, xid: int, opcode: int, body: bytes = b"") -> tuple[int, int, int, bytes] | None:
        """One request and the next frame: (xid, zxid, error, body)."""
        self.send(struct.pack(">ii", xid, opcode) + body)
        answer = self.receive()
        return None if answer is None else (*struct.unpack_from(">iqi", answer), answer[16:])


def string(text: str) -> bytes:
    return struct.pack(">i", len(text.encode())) + text.encode()


def tree(zk: KazooClient, path: str = "/", skip: tuple[str, ...] = ()) -> dict:
    """Everything a client can see from `path` down: {path: (data, stat, acl)}. What the ACL hides
    is None; a node that vanishes meanwhile is left out."""
    seen: dict = {}
    waiting = [path]
    while waiting:
        path = waiting.pop()
        stat = zk.exists(path)
        if stat is None:
            continue
        data, acl, children = None, None, []
        try:
            try:
                data = zk.get(path)[0]
                children = zk.get_children(path)
            except NoAuthError:
                pass
            try:
                acl = sorted((a.perms, a.id.scheme, a.id.id) for a in zk.get_acls(path)[0])
            except NoAuthError:
                pass
        except NoNodeError:
            continue
        if path not in skip:
            seen[path] = (data, tuple(stat), acl)
        waiting += [f"{path.rstrip('/')}/{c}" for c in children]
    return seen
