"""Servers without a quorum, for clients that are content to read."""

import os
from contextlib import contextmanager

from kazoo.client import KeeperState
from kazoo.exceptions import NotReadOnlyCallError

from clients import Raw, client, string
from harness import alone, check, equal, raises, wait_until
from test_java import JavaClient
from test_sessions import CREATE, EXISTS, create

# ZooKeeper has no sessions to give without a quorum unless they can be local.
READ_ONLY = {"readonlymode.enabled": "true", "localSessionsEnabled": "true",
             "localSessionsUpgradingEnabled": "true"}


@contextmanager
def read_only_ensemble(context, **settings):
    """Three servers; ZooKeeper takes the setting as a system property only."""
    before = os.environ.get("JAVA_TOOL_OPTIONS")
    os.environ["JAVA_TOOL_OPTIONS"] = "-Dreadonlymode.enabled=true"
    try:
        with context.ensemble(3, **(settings or READ_ONLY)) as ensemble:
            yield ensemble
    finally:
        del os.environ["JAVA_TOOL_OPTIONS"]
        if before is not None:
            os.environ["JAVA_TOOL_OPTIONS"] = before


def lose_quorum(ensemble):
    """Kills two of three; the one that is left, read-only."""
    left, *others = ensemble.servers
    for s in others:
        s.kill()
    wait_until(f"{left} is read-only", lambda: left.mode() == "read-only", 30)
    return left


def settings_of(context) -> list[dict[str, str]]:
    """Zebu serves readers with and without local sessions."""
    return [READ_ONLY] + ([{"readonlymode.enabled": "true"}] if context.kind == "zebu" else [])


@alone
def words(context):
    with read_only_ensemble(context) as ensemble:
        equal("isro with a quorum", ensemble.servers[0].word("isro"), "rw")
        left = lose_quorum(ensemble)
        equal("isro without", left.word("isro"), "ro")
        for word in ("srvr", "stat"):
            second = left.word(word).splitlines()[1]
            equal(f"{word} says so", second, "READ-ONLY mode; serving only read-only clients")
        check("mntr says so", "zk_server_state\tread-only\n" in left.word("mntr"), left.word("mntr"))
        ensemble.servers[1].start()
        wait_until("there is a quorum again", lambda: left.mode() in ("leader", "follower"), 60)
        equal("isro", left.word("isro"), "rw")


@alone
def kazoo_reads_on(context):
    for settings in settings_of(context):
        with read_only_ensemble(context, **settings) as ensemble:
            with client(ensemble.hosts) as zk:
                zk.create("/ro", b"before")
            left = lose_quorum(ensemble)
            with client(ensemble.hosts, read_only=True) as zk:
                equal("served without a quorum", zk.client_state, KeeperState.CONNECTED_RO)
                events = []
                equal("reads", zk.get("/ro", watch=events.append)[0], b"before")
                equal("lists", "ro" in zk.get_children("/"), True)
                raises("creates nothing", NotReadOnlyCallError, zk.create, "/x")
                raises("nor ephemerals", NotReadOnlyCallError, zk.create, "/x", ephemeral=True)
                raises("changes nothing", NotReadOnlyCallError, zk.set, "/ro", b"after")
                raises("deletes nothing", NotReadOnlyCallError, zk.delete, "/ro")
                raises("does not sync", NotReadOnlyCallError, zk.sync, "/ro")
                transaction = zk.transaction()
                transaction.create("/x")
                raises("nor commits", NotReadOnlyCallError, transaction.commit)
                equal("and reads on", zk.exists("/x"), None)
                for s in ensemble.servers[1:]:
                    s.start()
                wait_until("a quorum is found", lambda: zk.client_state == KeeperState.CONNECTED, 60)
                zk.retry(zk.create, "/mine", ephemeral=True)
                equal("and it writes", zk.exists("/mine").ephemeralOwner, zk.client_id[0])
            check(f"{left} was read-only", left.mode() in ("leader", "follower"))


@alone
def who_writes_is_not_let_in(context):
    with read_only_ensemble(context) as ensemble:
        left = lose_quorum(ensemble)
        with Raw(left.client_port) as a:
            equal("closed", a.connect(), None)


@alone
def a_global_session_waits_for_its_quorum(context):
    """It is neither served nor told that it is over: who has a quorum may know better."""
    with read_only_ensemble(context) as ensemble, client(ensemble.hosts, timeout=10, read_only=True) as zk:
        zk.create("/e", ephemeral=True)
        session, password = zk.client_id
        states = []
        zk.add_listener(states.append)
        left = lose_quorum(ensemble)
        with Raw(left.client_port) as a:
            equal("closed", a.connect(session, password), None)
        for s in ensemble.servers[1:]:
            s.start()
        wait_until("it is served again", lambda: zk.client_state == KeeperState.CONNECTED, 60)
        equal("in the same session", zk.client_id[0], session)
        equal("with its ephemeral", zk.retry(zk.exists, "/e").ephemeralOwner, session)
        check("it was never lost", "LOST" not in states, states)


@alone
def java_reads_on(context):
    for settings in settings_of(context):
        with read_only_ensemble(context, **settings) as ensemble:
            with client(ensemble.hosts) as zk:
                zk.create("/ro", b"before")
            lose_quorum(ensemble)
            with JavaClient(context, "comes-without", ensemble.hosts, "ReadOnlyClient") as java:
                java.until("reads")
                for s in ensemble.servers[1:]:
                    s.start()
                java.until("done")


@alone
def java_keeps_its_session(context):
    with read_only_ensemble(context) as ensemble:
        with JavaClient(context, "comes-with", ensemble.hosts, "ReadOnlyClient") as java:
            java.until("connected")
            lose_quorum(ensemble)
            for s in ensemble.servers[1:]:
                s.start()
            java.until("done")


@alone
def java_looks_for_a_quorum(context):
    """One server is cut off and serves readers, the others have a quorum: the client finds it."""
    with read_only_ensemble(context) as ensemble:
        with client(ensemble.hosts) as zk:
            zk.create("/ro", b"before")
        left = lose_quorum(ensemble)
        with JavaClient(context, "comes-without", ensemble.hosts, "ReadOnlyClient") as java:
            java.until("reads")
            # It stands still, and so does its connection; the others elect one of them.
            left.pause()
            for s in ensemble.servers[1:]:
                s.start()
            java.until("done")
            left.kill()
