"""Observers and hierarchical quorums: ensembles of Java's servers and ours, in either role."""

import re
import shutil

from clients import client
from harness import alone, check, equal, note, wait_until
from test_mixed import compare_trees, write_through_each


def roles(ensemble) -> list[str]:
    return [s.mode() for s in ensemble.servers]


def mntr(server, key: str) -> str:
    found = re.search(rf"^zk_{key}\s+(\S+)", server.word("mntr"), re.M)
    return found.group(1) if found else ""


def observes(context, voters: str, observers: tuple[str, str]) -> None:
    """Servers 2 to 4 vote; 1 and 5 observe: an id below every voter's, and one above."""
    kinds = [observers[0], voters, voters, voters, observers[1]]
    with context.ensemble(5, kinds, observers=(1, 5)) as ensemble:
        below, above = ensemble.number(1), ensemble.number(5)
        equal("two observe", [below.mode(), above.mode()], ["observer", "observer"])
        leader = ensemble.leader()
        equal(f"the voters are led by {leader}", sorted(roles(ensemble)),
              ["follower", "follower", "leader", "observer", "observer"])
        write_through_each(ensemble, "start")
        compare_trees(ensemble)
        equal(f"{leader} counts followers and observers",
              [mntr(leader, f"synced_{what}") for what in ("followers", "observers")], ["2", "2"])
        equal("an observer says whom it observes", mntr(above, "observer_master_id"), str(leader.number))

        for observer in (below, above):
            observer.kill()
            with client(leader.host) as zk:
                for i in range(30):
                    zk.create(f"/meanwhile{observer.number}-{i}", b"x" * 100)
            observer.start().wait_serving()
            check(f"{observer} is back with what it missed", True)
            observer.kill()
            shutil.rmtree(observer.data / "version-2")
            observer.start().wait_serving()
            check(f"{observer} is back from nothing", True)
            write_through_each(ensemble, f"after{observer.number}")
            compare_trees(ensemble)

        leader.kill()
        wait_until("the others go on", lambda: sorted(s.mode() for s in ensemble.servers if s is not leader)
                   == ["follower", "leader", "observer", "observer"], 60)
        write_through_each(ensemble, "next")
        leader.start().wait_serving()
        write_through_each(ensemble, "again")
        compare_trees(ensemble)


def sessions_move(context, voters: str, observer: str) -> None:
    with context.ensemble(4, [voters] * 3 + [observer], observers=(4,)) as ensemble:
        voter, watcher = ensemble.number(1), ensemble.number(4)
        with client(f"{watcher.host},{voter.host}") as zk, client(voter.host) as other:
            seen = []
            zk.create("/e", b"0", ephemeral=True)
            zk.get("/e", watch=lambda event: seen.append(event.type))
            session = zk.client_id[0]
            other.set("/e", b"1")
            wait_until("a watch fires at an observer", lambda: seen == ["CHANGED"])
            watcher.kill()
            zk.retry(zk.create, "/new", b"")
            equal("it went on to a voter in the same session", zk.client_id[0], session)
            equal("which keeps its ephemeral", other.exists("/e").ephemeralOwner, session)
        watcher.start().wait_serving()
        with client(watcher.host) as zk:
            zk.sync("/")
            equal("the closed session's ephemeral is gone at the observer", zk.exists("/e"), None)


@alone
def ours_observe_java(context):
    """Java leads: one of ours observes it, and one of Java's."""
    observes(context, "java", (context.kind, "java"))


@alone
def java_observes_ours(context):
    """Ours lead: one of Java's observes them, and one of ours."""
    observes(context, context.kind, ("java", context.kind))


@alone
def clients_of_our_observer_move(context):
    sessions_move(context, "java", context.kind)


@alone
def clients_of_javas_observer_move(context):
    sessions_move(context, context.kind, "java")


@alone
def ours_keeps_no_log(context):
    """syncEnabled=false: ours is a Java ensemble's observer, from nothing each time."""
    with context.ensemble(4, ["java"] * 3 + [context.kind], observers=(4,), syncEnabled="false") as ensemble:
        observer = ensemble.number(4)
        write_through_each(ensemble, "start")
        for turn in ("once", "twice"):
            observer.kill()
            with client(ensemble.leader().host) as zk:
                for i in range(30):
                    zk.create(f"/down-{turn}-{i}", b"x" * 100)
            observer.start().wait_serving()
            write_through_each(ensemble, turn)
            compare_trees(ensemble)
            kept = [f.name for f in (observer.data / "version-2").glob("*") if f.name.startswith(("log.", "snapshot."))]
            # Of an empty state, from its very first start.
            equal(f"what it has kept when it was started {turn}", kept, ["snapshot.0"])


def in_groups(context, kinds: list[str]) -> None:
    """Two groups, of which a quorum needs both: most of 1, 2 and 3, and 4; 5 weighs nothing."""
    groups = {"group.1": "1:2:3", "group.2": "4:5", "weight.5": "0"}
    with context.ensemble(5, kinds, **groups) as ensemble:
        note(f"roles: {roles(ensemble)}")
        equal("the greatest id that has a weight leads", ensemble.leader().number, 4)
        write_through_each(ensemble, "start")
        for victim in (ensemble.number(5), ensemble.number(1)):
            victim.kill()
            rest = [s for s in ensemble.servers if s.running()]
            wait_until(f"the others serve without {victim}", lambda: sum(s.mode() == "leader" for s in rest) == 1
                       and all(s.mode() for s in rest), 60)
            write_through_each(ensemble, f"without{victim.number}")
            victim.start().wait_serving()
        ensemble.number(4).kill()
        rest = [s for s in ensemble.servers if s.running()]
        wait_until("four of five without the one of group 2 serve nobody",
                   lambda: not any(s.mode() for s in rest), 60)
        ensemble.number(4).start()
        ensemble.wait_serving()
        write_through_each(ensemble, "again")
        compare_trees(ensemble)
        with client(ensemble.number(4).host) as zk:
            text = zk.get("/zookeeper/config")[0].decode()
        for line in ("group.1=1:2:3", "group.2=4:5", "weight.1=1", "weight.5=0"):
            check(f"the configuration node has {line}", line in text.split("\n"), text)


@alone
def groups_with_java_in_each(context):
    ours = context.kind
    in_groups(context, [ours, "java", ours, "java", ours])


@alone
def groups_where_java_weighs_nothing(context):
    ours = context.kind
    in_groups(context, ["java", ours, "java", ours, "java"])
