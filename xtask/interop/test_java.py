"""ZooKeeper's own Java client 3.9.3, its shell, and Curator 5.7.1."""

import re
import subprocess

from clients import client
from harness import alone, check, shared
from program import ClientProgram


class JavaClient:
    """JavaClient.java under way, or another program like it; each of its `ok` lines becomes a check."""

    def __init__(self, context, command: str, hosts: str, main: str = "JavaClient"):
        self.process = subprocess.Popen(
            context.programs.java_client(main, command, hosts, classes=context.classes),
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
        self.lines: queue.Queue[str | None] = queue.Queue()
        self.said: list[str] = []
        threading.Thread(target=self._read, daemon=True).start()

    def _read(self) -> None:
        for line in self.process.stdout:
            self.lines.put(line.rstrip("\n"))
        self.lines.put(None)

    def until(self, last: str) -> None:
        while True:
            try:
                line = self.lines.get(timeout=90)
            except queue.Empty:
                self.process.kill()
                raise AssertionError(f"JavaClient said no {last!r} but\n" + "\n".join(self.said[-20:])) from None
            if line is None:
                raise AssertionError(f"JavaClient ended without {last!r}\n" + "\n".join(self.said[-20:]))
            self.said.append(line)
            if line.startswith("ok "):
                check(line.removeprefix("ok "), True)
            if line == last:
                return

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.process.kill()
        self.process.wait()


def run(context, ensemble, command: str) -> None:
    with java_client(context, command, ensemble.hosts) as java:
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
        with client(ensemble.hosts) as zk, java_client(context, "reconnect", ensemble.hosts) as java:
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
