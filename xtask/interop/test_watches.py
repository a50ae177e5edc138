"""Watches through kazoo: one event each, the right kind, before the new state is seen. Persistent
ones are not in kazoo 2.11, so they are asked for frame by frame (and by the Java client)."""

import queue
import struct

from kazoo.protocol.states import EventType

from clients import Raw, area, client, string
from harness import alone, check, equal, shared, wait_until


class Seen:
    """A watch that keeps what it is told."""

    def __init__(self):
        self.events = queue.Queue()

    def __call__(self, event):
        self.events.put((event.type, event.path))

    def next(self):
        return self.events.get(timeout=15)


@shared(1, 3)
def data_watch(_, ensemble):
    with area(ensemble, "wdata") as (zk, root), client(ensemble.hosts) as other:
        seen, path = Seen(), f"{root}/a"
        zk.create(path)
        zk.get(path, watch=seen)
        other.set(path, b"1")
        equal("a set tells", seen.next(), (EventType.CHANGED, path))
        other.set(path, b"2")
        zk.get(path, watch=seen)
        other.create(f"{path}/child")
        other.delete(f"{path}/child")
        other.delete(path)
        equal("once: not the second set, not a child, but the delete", seen.next(), (EventType.DELETED, path))
        check("nothing else", seen.events.empty())


@shared(1, 3)
def exists_watch(_, ensemble):
    with area(ensemble, "wexists") as (zk, root), client(ensemble.hosts) as other:
        seen, path = Seen(), f"{root}/a"
        zk.exists(path, watch=seen)
        other.create(path)
        equal("create tells", seen.next(), (EventType.CREATED, path))
        zk.exists(path, watch=seen)
        other.set(path, b"x")
        equal("set tells", seen.next(), (EventType.CHANGED, path))
        zk.exists(path, watch=seen)
        other.delete(path)
        equal("delete tells", seen.next(), (EventType.DELETED, path))


@shared(1, 3)
def child_watch(_, ensemble):
    with area(ensemble, "wchild") as (zk, root), client(ensemble.hosts) as other:
        seen = Seen()
        zk.get_children(root, watch=seen)
        other.create(f"{root}/a")
        equal("a child comes", seen.next(), (EventType.CHILD, root))
        zk.get_children(root, watch=seen)
        other.set(f"{root}/a", b"x")
        other.create(f"{root}/a/grandchild")
        other.delete(f"{root}/a/grandchild")
        other.delete(f"{root}/a")
        equal("a child goes; nothing before that tells", seen.next(), (EventType.CHILD, root))
        zk.get_children(root, watch=seen)
        other.delete(root)
        equal("the node itself goes", seen.next(), (EventType.DELETED, root))
        check("nothing else", seen.events.empty())


@shared(1, 3)
def transaction_fires_watches(_, ensemble):
    with area(ensemble, "wmulti") as (zk, root):
        zk.create(f"{root}/a")
        data, children = Seen(), Seen()
        zk.get(f"{root}/a", watch=data)
        zk.get_children(root, watch=children)
        failing = zk.transaction()
        failing.set_data(f"{root}/a", b"x")
        failing.check(f"{root}/a", 9)
        failing.commit()
        zk.sync(root)
        check("a failing transaction tells nothing", data.events.empty() and children.events.empty())
        t = zk.transaction()
        t.set_data(f"{root}/a", b"x")
        t.create(f"{root}/b")
        t.commit()
        equal("its set", data.next(), (EventType.CHANGED, f"{root}/a"))
        equal("its create", children.next(), (EventType.CHILD, root))


@shared(1, 3)
def event_comes_before_the_new_state(_, ensemble):
    with area(ensemble, "worder") as (zk, root), client(ensemble.hosts) as other:
        path, late = f"{root}/a", 0
        zk.create(path, b"0")
        for value in range(1, 101):
            told = []
            zk.get(path, watch=lambda event: told.append(event))
            write = other.set_async(path, b"%d" % value)
            # Reads until the new state shows; kazoo queues the event before this read's answer.
            while zk.get(path)[0] != b"%d" % value:
                pass
            write.get(timeout=15)
            wait_until("the event", lambda: told, 5)
            late += len(told) != 1
        equal("100 changes, one event each", late, 0)


CHECK, REMOVE, SET_WATCHES_2, ADD_WATCH = 17, 18, 105, 106
CREATED, DELETED, CHANGED, CHILDREN_CHANGED = 1, 2, 3, 4


def answer(raw, xid, opcode, path, number):
    """(xid, error, body) of a request about a path and a mode or a kind of watch."""
    got = raw.request(xid, opcode, string(path) + struct.pack(">i", number))
    return got[0], got[2], got[3]


def events(raw, count):
    """So many notifications: (header and state are right, kind, path)."""
    seen = []
    for _ in range(count):
        frame = raw.receive()
        xid, zxid, error, kind, state, _ = struct.unpack_from(">iqiiii", frame)
        seen.append(((xid, error, state) == (-1, 0, 3) and zxid > 0, kind, frame[28:].decode()))
    return seen


@shared(1, 3)
def persistent_watches(_, ensemble):
    persistent, recursive = 0, 1
    children, data, everything = 1, 2, 3
    with area(ensemble, "wpersist") as (zk, root), Raw(ensemble.servers[0].client_port) as raw:
        raw.connect()
        a = f"{root}/a"
        equal("addWatch has a body", answer(raw, 1, ADD_WATCH, root, recursive), (1, 0, bytes(4)))
        equal("another mode there", answer(raw, 2, ADD_WATCH, root, persistent), (2, 0, bytes(4)))
        equal("no third mode", answer(raw, 3, ADD_WATCH, root, 2), (3, -5, b""))
        for _ in range(2):
            zk.create(a)
            zk.create(f"{a}/b")
            zk.set(a, b"x")
            zk.delete(a, recursive=True)
            expected = [(True, CREATED, a), (True, CHILDREN_CHANGED, root), (True, CREATED, f"{a}/b"),
                        (True, CHANGED, a), (True, DELETED, f"{a}/b"), (True, DELETED, a),
                        (True, CHILDREN_CHANGED, root)]
            equal("every change, each once", events(raw, len(expected)), expected)
        equal("no one-time watch to check", answer(raw, 4, CHECK, root, data), (4, -121, b""))
        equal("nor to remove", answer(raw, 5, REMOVE, root, children), (5, -121, b""))
        equal("some watch to check", answer(raw, 6, CHECK, root, everything), (6, 0, b""))
        equal("no sixth kind", answer(raw, 7, CHECK, root, 6), (7, -5, b""))
        equal("removed", answer(raw, 8, REMOVE, root, everything), (8, 0, b""))
        equal("all of them", answer(raw, 9, REMOVE, root, everything), (9, -121, b""))
        zk.set(root, b"unheard")
        nothing = struct.pack(">i", 0)
        paths = struct.pack(">i", 1) + string(root)
        set_watches = struct.pack(">q", 0) + nothing * 3 + paths + paths
        got = raw.request(-8, SET_WATCHES_2, set_watches)
        equal("setWatches2 tells of nothing past", (got[0], got[2], got[3]), (-8, 0, b""))
        zk.create(a)
        equal("but sets both", events(raw, 2), [(True, CREATED, a), (True, CHILDREN_CHANGED, root)])


@alone
def recipes_watch_through_a_reconnect(context):
    with context.ensemble(3) as ensemble, client(ensemble.hosts) as zk, \
            client(ensemble.hosts) as other:
        zk.create("/w", b"0")
        values, names = [], []
        zk.DataWatch("/w", lambda data, stat: values.append(data))
        zk.ChildrenWatch("/w", lambda children: names.append(sorted(children)))
        session = zk.client_id[0]
        port = zk._connection._socket.getpeername()[1]
        connected = next(s for s in ensemble.servers if s.client_port == port)
        connected.kill()

        def through(call):
            other.retry(call)

        through(lambda: other.set("/w", b"1"))
        wait_until("DataWatch sees a change made while it was away", lambda: b"1" in values, 30)
        check(f"DataWatch goes on after {connected} was killed", True)
        through(lambda: other.ensure_path("/w/child"))
        wait_until("ChildrenWatch goes on", lambda: ["child"] in names, 30)
        check("ChildrenWatch goes on", True)
        equal("it is the same session", zk.client_id[0], session)
        connected.start().wait_serving()
