"""Observers that followers serve in the leader's place (observerMasterPort), of Java's servers and ours."""

import shutil

from clients import client
from harness import alone, check, equal, wait_until
from servers import free_ports
from test_mixed import compare_trees, write_through_each
from test_observers import mntr


def masters(ensemble) -> list:
    """The servers that have a synchronized observer."""
    return [s for s in ensemble.servers if s.running() and mntr(s, "synced_observers") not in ("", "0")]


def served_by_a_follower(ensemble, observer) -> object:
    """Its master, once it has one that says so."""
    wait_until("one follower serves the observer", lambda: [s.mode() for s in masters(ensemble)] == ["follower"], 60)
    [master] = masters(ensemble)
    wait_until(f"{observer} is served by {master}", lambda: mntr(observer, "observer_master_id") == str(master.number))
    check(f"{observer} is served by {master}", True)
    return master


def is_served(context, voters: str, kind: str) -> None:
    """Server 4 observes, by a follower of the kind of the voters."""
    [port] = free_ports(1)
    with context.ensemble(4, [voters] * 3 + [kind], observers=(4,), observerMasterPort=str(port)) as ensemble:
        observer = ensemble.number(4)
        equal("it observes", observer.mode(), "observer")
        served_by_a_follower(ensemble, observer)
        write_through_each(ensemble, "start")
        compare_trees(ensemble)

        with client(observer.host) as zk, client(ensemble.leader().host) as other:
            seen = []
            zk.create("/e", b"0", ephemeral=True)
            zk.get("/e", watch=lambda event: seen.append(event.type))
            other.set("/e", b"1")
            wait_until("a watch fires at the observer", lambda: seen == ["CHANGED"])
            other.set("/e", b"2")
            zk.sync("/e")
            equal("a sync through two servers", zk.get("/e")[0], b"2")
        with client(f"{observer.host},{ensemble.number(1).host}") as zk:
            zk.create("/moves", b"", ephemeral=True)
            session = zk.client_id[0]
            observer.kill()
            zk.retry(zk.create, "/moved", b"")
            equal("its session went on to a voter", zk.client_id[0], session)
            for i in range(30):
                zk.create(f"/meanwhile-{i}", b"x" * 100)
            equal("with its ephemeral", zk.exists("/moves").ephemeralOwner, session)
        observer.start().wait_serving()
        check(f"{observer} is back with what it missed", True)
        compare_trees(ensemble)
        observer.kill()
        shutil.rmtree(observer.data / "version-2")
        observer.start().wait_serving()
        check(f"{observer} is back from nothing", True)
        compare_trees(ensemble)

        master = served_by_a_follower(ensemble, observer)
        master.kill()
        wait_until("the observer finds another way", lambda: observer.mode() == "observer" and bool(
            mntr(observer, "observer_master_id") not in ("", "-1", str(master.number))), 90)
        with client(observer.host) as zk:
            zk.create("/by-another", b"")
        master.start().wait_serving()
        write_through_each(ensemble, "again")

        leader = ensemble.leader()
        leader.kill()
        others = [s for s in ensemble.servers if s is not leader]
        wait_until("the others go on", lambda: sorted(s.mode() for s in others) == ["follower", "leader", "observer"],
                   90)
        with client(observer.host) as zk:
            zk.retry(zk.create, "/after-the-leader", b"")
        leader.start().wait_serving()
        write_through_each(ensemble, "last")
        compare_trees(ensemble)


@alone
def ours_by_ours(context):
    is_served(context, context.kind, context.kind)


@alone
def ours_by_java(context):
    is_served(context, "java", context.kind)


@alone
def java_by_ours(context):
    is_served(context, context.kind, "java")
