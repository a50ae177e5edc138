"""Watches through kazoo: one event each, the right kind, before the new state is seen."""

import queue

from kazoo.protocol.states import EventType

from clients import area, client
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
