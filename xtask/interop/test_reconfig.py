"""Ensembles that change while they run, of Java's servers and ours."""

import subprocess

from clients import client
from harness import alone, check, equal, note, raises, wait_until
from kazoo.exceptions import BadVersionError, ConnectionLoss, NewConfigNoQuorumError
from servers import Server, free_ports
from test_mixed import compare_trees, write_through_each

SETTINGS = {"reconfigEnabled": "true", "skipACL": "yes"}


def line(ensemble, server, role: str = "participant") -> str:
    q, e = ensemble.quorum[server.number], ensemble.election[server.number]
    return f"server.{server.number}=127.0.0.1:{q}:{e}:{role};127.0.0.1:{server.client_port}"


def joiner(context, ensemble, kind: str, number: int = 4) -> Server:
    """One more server, which knows where the others are and whom they do not know."""
    client_port, ensemble.quorum[number], ensemble.election[number] = free_ports(3)
    peers = "".join(
        f"server.{n}=127.0.0.1:{ensemble.quorum[n]}:{ensemble.election[n]}\n" for n in sorted(ensemble.quorum))
    server = Server(context.programs, kind, number, context.home() / f"joiner{number}", client_port, peers, SETTINGS)
    ensemble.servers.append(server)
    return server.start().wait_serving()


def voters(server) -> set[int]:
    """As a client of this server is told."""
    with client(server.host) as zk:
        text = zk.get("/zookeeper/config")[0].decode()
    return {int(entry.split("=")[0].split(".")[1]) for entry in text.splitlines()
            if entry.startswith("server.") and ":participant" in entry}


def agree(ensemble, expected: set[int]) -> None:
    for server in ensemble.servers:
        wait_until(f"{server} knows {sorted(expected)}", lambda: voters(server) == expected, 30)
    check(f"all know the voters {sorted(expected)}", True)


def reconfigure(through, joining=None, leaving=None, members=None) -> None:
    """What comes of it is seen afterwards: a Java server that changes its leader by it ends its clients'
    connections, sometimes before it has answered."""
    with client(through.host) as zk:
        try:
            zk.reconfig(joining=joining, leaving=leaving, new_members=members)
        except ConnectionLoss:
            if through.kind != "java":
                raise
            note(f"{through} closed the connection before it answered")


def changes(context, kinds: list[str], kind: str) -> None:
    with context.ensemble(3, kinds, **SETTINGS) as ensemble:
        agree(ensemble, {1, 2, 3})
        first = ensemble.number(1)
        write_through_each(ensemble, "start")
        with client(first.host) as zk:
            raises("a server that nobody follows cannot become one of two", NewConfigNoQuorumError, zk.reconfig,
                   joining="server.9=127.0.0.1:1:2:participant;127.0.0.1:3", leaving="2,3", new_members=None)
            raises("another version than this", BadVersionError, zk.reconfig,
                   joining=None, leaving="3", new_members=None, from_config=7)
        fourth = joiner(context, ensemble, kind)
        reconfigure(first, joining=line(ensemble, fourth))
        agree(ensemble, {1, 2, 3, 4})
        write_through_each(ensemble, "four")

        leader = ensemble.leader()
        through = next(s for s in ensemble.servers if s is not leader)
        reconfigure(through, leaving=str(leader.number))
        left = {1, 2, 3, 4} - {leader.number}
        leader.kill()
        wait_until("another one leads", lambda: any(
            s.running() and s.mode() == "leader" for s in ensemble.servers), 60)
        check(f"{leader} handed over", True)
        ensemble.servers.remove(leader)
        ensemble.wait_serving()
        agree(ensemble, left)
        write_through_each(ensemble, "three")

        # What was written down is found again: by a whole ensemble that starts anew.
        for server in ensemble.servers:
            server.kill()
        for server in ensemble.servers:
            server.start()
        ensemble.wait_serving()
        agree(ensemble, left)
        write_through_each(ensemble, "again")
        compare_trees(ensemble)


def whole_ones(context, kinds: list[str], kind: str) -> None:
    """A whole configuration at a time: a server leaves and comes back as another one, with nothing and
    with the smallest id; one becomes an observer; and one of each kind is served at another port."""
    with context.ensemble(3, kinds, **SETTINGS) as ensemble:
        def members(*observers: int) -> str:
            return ",".join(line(ensemble, s, "observer" if s.number in observers else "participant")
                            for s in ensemble.servers)

        first, third = ensemble.number(1), ensemble.number(3)
        ensemble.servers.remove(first)
        reconfigure(third, members=members())
        agree(ensemble, {2, 3})
        first.kill()
        write_through_each(ensemble, "two")

        first = joiner(context, ensemble, kind, 1)
        reconfigure(third, members=members())
        agree(ensemble, {1, 2, 3})
        write_through_each(ensemble, "three")

        reconfigure(first, members=members(1))
        agree(ensemble, {2, 3})
        reconfigure(first, members=members())
        agree(ensemble, {1, 2, 3})

        for server in (first, next(s for s in ensemble.servers if s.kind != kind)):
            with client(server.host) as stays:
                [port] = free_ports(1)
                server.client_port, server.host = port, f"127.0.0.1:{port}"
                reconfigure(ensemble.number(2), members=members())
                wait_until(f"{server} serves at its new port", lambda: server.mode() != "", 30)
                if server.kind == "zebu":
                    check("who is connected stays so", stays.exists("/") is not None)
        agree(ensemble, {1, 2, 3})
        for server in ensemble.servers:
            server.kill()
        for server in ensemble.servers:
            server.start()
        ensemble.wait_serving()
        agree(ensemble, {1, 2, 3})
        write_through_each(ensemble, "again")
        compare_trees(ensemble)


@alone
def ours_comes_back_to_java(context):
    whole_ones(context, ["java"] * 3, "zebu")


@alone
def java_comes_back_to_ours(context):
    whole_ones(context, ["zebu"] * 3, "java")


@alone
def ours_change(context):
    changes(context, [context.kind] * 3, context.kind)


@alone
def java_joins_ours(context):
    changes(context, ["zebu"] * 3, "java")


@alone
def ours_joins_java(context):
    changes(context, ["java"] * 3, "zebu")


@alone
def our_shell_changes(context):
    """One server comes and goes, by `zebu cli`."""
    with context.ensemble(3, [context.kind] * 3, **SETTINGS) as ensemble:
        first = ensemble.number(1)

        def cli(*words: str) -> tuple[bool, str]:
            ended = subprocess.run([context.programs.zebu, "cli", "-s", first.host, *words], timeout=60,
                                   capture_output=True, text=True)
            return ended.returncode == 0, ended.stdout + ended.stderr

        fourth = joiner(context, ensemble, context.kind)
        joins = line(ensemble, fourth)
        done, said = cli("reconfig", "-add", joins)
        check("reconfig -add", done and said.startswith("Committed new configuration:\n"), said)
        check("it shows who is in it", f"\n{joins}\n" in said, said)
        agree(ensemble, {1, 2, 3, 4})
        done, said = cli("config", "-c")
        check("config -c", done and f"127.0.0.1:{fourth.client_port}" in said, said)

        done, said = cli("reconfig", "-v", "7", "-remove", "4")
        check("another version than this", not done and "BAD_VERSION" in said, said)
        done, said = cli("reconfig", "-s", "-remove", "4")
        check("reconfig -s -remove", done and "dataVersion = " in said, said)
        ensemble.servers.remove(fourth)
        agree(ensemble, {1, 2, 3})
        fourth.kill()
        done, said = cli("config")
        check("config", done and f"server.{fourth.number}=" not in said, said)
        done, said = cli("reconfig", "-add", "server.9=127.0.0.1:1:2;3", "-remove", "2,3")
        check("a server that nobody follows", not done and "NEW_CONFIG_NO_QUORUM" in said, said)
        done, said = cli("reconfig")
        check("usage", not done and "reconfig [-s] [-v version]" in said, said)
