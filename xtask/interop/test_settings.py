"""Settings that upstream takes as system properties, and what a client or the next server sees of them."""

from kazoo.exceptions import InvalidACLError, NoAuthError
from kazoo.handlers.threading import KazooTimeoutError
from kazoo.client import KazooClient
from kazoo.security import make_acl

from clients import client
from harness import alone, check, equal, note, raises, wait_until
from servers import Ensemble
from test_samples import read, snapshots

READ_ONLY = [make_acl("world", "anyone", read=True)]


@alone
def eager_lists(context):
    """With `enableEagerACLCheck` what a list denies costs no zxid; without, it does."""
    for eager, zxids in (("true", 1), ("false", 3)):
        with context.ensemble(3, enableEagerACLCheck=eager) as ensemble, client(ensemble.hosts) as zk:
            zk.create("/closed", acl=READ_ONLY)
            before = zk.exists(zk.create("/n-", sequence=True)).czxid
            raises(f"create is refused, eager {eager}", NoAuthError, zk.create, "/closed/a")
            raises(f"setData is refused, eager {eager}", NoAuthError, zk.set, "/closed", b"x")
            after = zk.exists(zk.create("/n-", sequence=True)).czxid
            equal(f"zxids in between, eager {eager}", after - before, zxids)
            raises(f"a list for nobody is refused, eager {eager}", InvalidACLError, zk.create, "/bad",
                   acl=[make_acl("nowhere", "nobody", all=True)])


@alone
def leader_serves_nobody(context):
    if context.kind == "java":
        return note("Java's leader then answers no four-letter word either, by which the tests know it")
    with context.ensemble(3, leaderServes="no") as ensemble:
        leader = ensemble.leader()
        followers = [s for s in ensemble.servers if s is not leader]
        with client(followers[0].host) as zk:
            zk.create("/a")
        alone_with_leader = KazooClient(leader.host)
        try:
            raises("the leader takes no client", KazooTimeoutError, alone_with_leader.start, 2)
        finally:
            alone_with_leader.stop()
            alone_with_leader.close()
        with client(followers[1].host) as zk:
            zk.sync("/a")
            check("followers serve", zk.exists("/a") is not None)


@alone
def files_end_at_their_limits(context):
    """`txnLogSizeLimitInKb` and `snapSizeLimitInKb`: there are more logs, and there are snapshots."""
    settings = {"preAllocSize": "16", "txnLogSizeLimitInKb": "64", "snapSizeLimitInKb": "256"}
    ensemble = Ensemble(context.programs, [context.kind], context.home(), **settings)
    server = ensemble.servers[0]
    with ensemble:
        with client(server.host) as zk:
            for i in range(80):
                zk.create(f"/n{i}", b"x" * 10_000)
        wait_until("snapshots of hundreds of kilobytes", lambda: len(snapshots(server)) >= 2, 20)
        logs = list((server.data / "version-2").glob("log.*"))
        check("logs of some tens of kilobytes", len(logs) >= 8, logs)
        written = read(server)
        for kind in ("java", "zebu"):
            server.terminate()
            server.kind = kind
            server.start().wait_serving()
            equal(f"all of it is there, as {kind} serves it", read(server), written)


@alone
def sections_of_snapshots(context):
    """Java's readers expect at the end of a snapshot what they are told to write there."""
    for sections in ({"digest.enabled": "false"},
                     {"serializeLastProcessedZxid.enabled": "false"},
                     {"digest.enabled": "false", "serializeLastProcessedZxid.enabled": "false"}):
        ensemble = Ensemble(context.programs, [context.kind], context.home(), snapCount="20", **sections)
        server = ensemble.servers[0]
        with ensemble:
            for kind in ("java", "zebu"):
                with client(server.host) as zk:
                    for _ in range(50):
                        zk.create(f"/{kind}-", b"x", sequence=True)
                written = read(server)
                wait_until("a snapshot", lambda: snapshots(server), 20)
                server.terminate()
                server.kind = kind
                server.start().wait_serving()
                equal(f"the tree as {kind} serves it, {', '.join(sections)}", read(server), written)
