"""Many requests at once, and whole trees read as the bytes that a server answers."""

import struct

from clients import Raw, string

CREATE, DELETE, EXISTS, GET_DATA, SET_DATA, GET_ACL, SET_ACL = 1, 2, 3, 4, 5, 6, 7
GET_CHILDREN, CHECK, MULTI, CREATE2, CREATE_CONTAINER, CREATE_TTL = 8, 13, 14, 15, 19, 21
AUTH, CLOSE_SESSION = 100, -11
PERSISTENT, EPHEMERAL, SEQUENTIAL, EPHEMERAL_SEQUENTIAL, CONTAINER, TTL, SEQUENTIAL_TTL = range(7)

NO_AUTH = -102
ALL = 31
OPEN = [(ALL, "world", "anyone")]

# So many are under way: a server may stop reading from a client that asks for more.
WINDOW = 200


def buffer(data: bytes | None) -> bytes:
    return struct.pack(">i", -1) if data is None else struct.pack(">i", len(data)) + data


def acl(entries) -> bytes:
    return struct.pack(">i", len(entries)) + b"".join(
        struct.pack(">i", perms) + string(scheme) + string(who) for perms, scheme, who in entries)


def create(path: str, data: bytes | None = b"", flags: int = PERSISTENT, entries=OPEN,
           ttl: int | None = None) -> tuple[int, bytes]:
    """A request that makes a node: opcode and body."""
    opcode = {CONTAINER: CREATE_CONTAINER, TTL: CREATE_TTL, SEQUENTIAL_TTL: CREATE_TTL}.get(flags, CREATE)
    body = string(path) + buffer(data) + acl(entries) + struct.pack(">i", flags)
    return opcode, body if ttl is None else body + struct.pack(">q", ttl)


def create2(path: str, data: bytes | None = b"") -> tuple[int, bytes]:
    return CREATE2, create(path, data)[1]


def set_data(path: str, data: bytes | None, version: int = -1) -> tuple[int, bytes]:
    return SET_DATA, string(path) + buffer(data) + struct.pack(">i", version)


def set_acl(path: str, entries) -> tuple[int, bytes]:
    return SET_ACL, string(path) + acl(entries) + struct.pack(">i", -1)


def delete(path: str) -> tuple[int, bytes]:
    return DELETE, string(path) + struct.pack(">i", -1)


def check_version(path: str, version: int) -> tuple[int, bytes]:
    return CHECK, string(path) + struct.pack(">i", version)


def multi(*parts: tuple[int, bytes]) -> tuple[int, bytes]:
    body = b"".join(struct.pack(">i?i", opcode, False, -1) + part for opcode, part in parts)
    return MULTI, body + struct.pack(">i?i", -1, True, -1)


class Bulk(Raw):
    """A session whose requests go out many at a time. Leaving it abandons the session."""

    def __init__(self, port: int, timeout_ms: int = 30_000, auth: tuple[str, ...] = ()):
        super().__init__(port, 60)
        self.answers = self.socket.makefile("rb")
        _, self.session, _ = self.connect(timeout_ms=timeout_ms)
        self.xid = 0
        for credentials in auth:
            body = struct.pack(">i", 0) + string("digest") + buffer(credentials.encode())
            assert self.request(-4, AUTH, body)[2] == 0

    def __exit__(self, *more):
        self.answers.close()
        super().__exit__(*more)

    def _exactly(self, count: int) -> bytes | None:
        got = self.answers.read(count)
        return got if len(got) == count else None

    def all(self, requests: list[tuple[int, bytes]]) -> list[tuple[int, bytes]]:
        """Error and body of each answer, in order."""
        answers = []
        for start in range(0, len(requests), WINDOW):
            window = requests[start:start + WINDOW]
            frames = []
            for opcode, body in window:
                self.xid += 1
                frames.append(struct.pack(">iii", len(body) + 8, self.xid, opcode) + body)
            self.socket.sendall(b"".join(frames))
            for xid in range(self.xid - len(window) + 1, self.xid + 1):
                answer = self.receive()
                assert answer is not None, "the server closed the connection"
                found, _, error = struct.unpack_from(">iqi", answer)
                assert found == xid, f"answer {found} where {xid} was due"
                answers.append((error, answer[16:]))
        return answers

    def done(self, requests: list[tuple[int, bytes]]) -> None:
        """All of them succeed."""
        for (error, _), (opcode, body) in zip(self.all(requests), requests):
            assert error == 0, f"error {error} for opcode {opcode}, {body[4:60]!r}"

    def end(self) -> None:
        """Closes the session."""
        self.request(self.xid + 1, CLOSE_SESSION)

    def tree(self) -> dict[str, tuple]:
        """Every node: the answers for data and ACL, each with its Stat, and the names of its
        children. Equal trees give equal answers."""
        seen, level = {}, ["/"]
        while level:
            data = self.all([(GET_DATA, string(path) + b"\0") for path in level])
            acls = self.all([(GET_ACL, string(path)) for path in level])
            # What hides the data hides the children.
            parents = [path for path, (error, body) in zip(level, data) if error == 0 and children_of(body)]
            lists = self.all([(GET_CHILDREN, string(path) + b"\0") for path in parents])
            children = {path: sorted(strings(body)) for path, (_, body) in zip(parents, lists)}
            for path, found, rights in zip(level, data, acls):
                seen[path] = (found, rights, children.get(path, []))
            level = [f"{path.rstrip('/')}/{name}" for path in parents for name in children[path]]
        return seen


def children_of(answer: bytes) -> int:
    """The count in the Stat at the end of an answer."""
    return struct.unpack_from(">i", answer, len(answer) - 12)[0]


def strings(answer: bytes) -> list[str]:
    count, at, found = struct.unpack_from(">i", answer)[0], 4, []
    for _ in range(count):
        length = struct.unpack_from(">i", answer, at)[0]
        found.append(answer[at + 4:at + 4 + length].decode())
        at += 4 + length
    return found
