"""ZooKeeper's own Java client 3.9.3, its shell, and Curator 5.7.1."""

import re
import subprocess

from clients import client
from harness import alone, check, shared
from program import ClientProgram


class JavaClient(ClientProgram):
    def __init__(self, context, command: str, hosts: str, main: str = "JavaClient"):
        super().__init__(context.programs.java_client(main, command, hosts, classes=context.classes))


def run(context, ensemble, command: str) -> None:
    with JavaClient(context, command, ensemble.hosts) as java:
        java.until("done")


@shared(1, 3)
def operations(context, ensemble):
    run(context, ensemble, "operations")


@alone
def containers_and_ttl(context):
    """What 3.5 and later added."""
    settings = {"extendedTypesEnabled": "true", "znode.container.checkIntervalMs": "1000"}
    for size in (1, 3):
        with context.ensemble(size, **settings) as ensemble:
            run(context, ensemble, "extended")


@shared(1, 3)
def watches(context, ensemble):
    run(context, ensemble, "watches")


@shared(1, 3)
def persistent_watches(context, ensemble):
    run(context, ensemble, "persistent-watches")


@shared(1, 3)
def curator(context, ensemble):
    run(context, ensemble, "curator")


@shared(1)
def shell(context, ensemble):
    """zkCli, one command at a time."""
    def zkcli(*command: str) -> str:
        host = ensemble.servers[0].host
        main = "org.apache.zookeeper.ZooKeeperMain"
        ended = subprocess.run(context.programs.java_client(main, "-server", host, *command), timeout=60,
                               stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
        return ended.stdout

    for command, expected in [
        (("create", "/cli", "hello"), "Created /cli"),
        (("ls", "/"), "cli"),
        (("get", "/cli"), "hello"),
        (("stat", "/cli"), "dataLength = 5"),
        (("delete", "/cli"), ""),
        (("get", "/cli"), "does not exist"),
    ]:
        said = zkcli(*command)
        check("zkCli " + " ".join(command), expected in said, said)


@alone
def watches_survive_a_reconnect(context):
    """The client arms its watches again on another server (setWatches)."""
    with context.ensemble(3) as ensemble:
        with client(ensemble.hosts) as zk, JavaClient(context, "reconnect", ensemble.hosts) as java:
            java.until("armed")
            about = next(line for line in java.said if line.startswith("client "))
            port = int(re.search(r"remoteserver:\S+:(\d+)", about).group(1))
            connected = next(s for s in ensemble.servers if s.client_port == port)
            # Stopped, the server holds the connection but tells nothing: what now happens is only
            # found by arming again.
            connected.pause()
            zk.retry(zk.set, "/r/data", b"changed")
            zk.retry(zk.delete, "/r/gone")
            zk.retry(zk.create, "/r/new")
            zk.retry(zk.create, "/r/parent/child")
            connected.kill()
            java.until("done")
            connected.start().wait_serving()
