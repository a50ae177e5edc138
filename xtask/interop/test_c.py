"""ZooKeeper's C client, of Debian's packages: c/client.c, compiled here, and the shell cli_mt."""

import queue
import re
import subprocess
import threading
import time

from clients import client
from harness import alone, check, shared
from program import ClientProgram

CLI = "/usr/lib/zookeeper/bin/cli_mt"


def compiled(context):
    source = context.here / "c/client.c"
    program = context.cache / "c-client"
    if not program.exists() or program.stat().st_mtime < source.stat().st_mtime:
        subprocess.run(["cc", "-std=gnu11", "-DTHREADED", "-Wall", "-Wextra", "-o", program, source,
                        "-lzookeeper_mt", "-lpthread"], check=True)
    return program


@alone
def operations(context):
    for size in (1, 3):
        with context.ensemble(size, extendedTypesEnabled="true") as ensemble, \
                ClientProgram([compiled(context), "operations", ensemble.hosts]) as c:
            c.until("done")


@alone
def reconnect(context):
    with context.ensemble(3) as ensemble, \
            ClientProgram([compiled(context), "reconnect", ensemble.hosts]) as c:
        c.until("armed")
        port = int(next(line for line in c.said if line.startswith("server ")).split()[1])
        connected = next(s for s in ensemble.servers if s.client_port == port)
        connected.kill()
        c.until("done")
        connected.start().wait_serving()


@shared(1, 3)
def shell(_, ensemble):
    """cli_mt, one command after the other, each awaited."""
    # It prints to both, and a pipe would hold back what it prints to one.
    cli = subprocess.Popen(["stdbuf", "-oL", CLI, ensemble.servers[-1].host], stdin=subprocess.PIPE,
                           stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    lines: queue.Queue[str] = queue.Queue()
    threading.Thread(target=lambda: [lines.put(line.rstrip("\n")) for line in cli.stdout], daemon=True).start()

    def says(command: str, *expected: str) -> None:
        cli.stdin.write(f"{command}\n")
        cli.stdin.flush()
        said, rest, deadline = [], list(expected), time.monotonic() + 30
        while rest:
            try:
                said.append(lines.get(timeout=max(0.0, deadline - time.monotonic())))
            except queue.Empty:
                raise AssertionError(f"cli_mt {command}: no {rest[0]!r} in {said}") from None
            if re.fullmatch(rest[0], said[-1]):
                rest.pop(0)
        check(f"cli_mt {command}", True)

    try:
        says("create /c-cli", r"\[/c-cli\]: rc = 0", "\tname = /c-cli")
        says("create +s /c-cli/s", "\tname = /c-cli/s0000000000")
        says("create +e /c-cli/e", "\tname = /c-cli/e")
        says("create2 /c-cli/two", "\tname = /c-cli/two", r"\tczxid=\w+")
        says("ls /c-cli", "/c-cli: rc = 0", "\te", "\ts0000000000", "\ttwo")
        says("ls2 /c-cli", "/c-cli: rc = 0", "\te", "\ts0000000000", "\ttwo")
        says("set /c-cli xx", "/c-cli: rc = 0 Stat:", "\tversion=1\taversion=0")
        says("get /c-cli", "/c-cli: rc = 0", " value_len = 2", "xx", "\tversion=1\taversion=0")
        cli.stdin.write("wexists /c-cli\n")
        says("set /c-cli y", "Watcher CHANGED_EVENT state = CONNECTED_STATE for path /c-cli")
        says("sync /c-cli", r"\[/c-cli\]: rc = 0")
        says("delete /c-cli", "/c-cli: rc = -111")
        says("delete /c-none", "/c-none: rc = -101")
        says("delete /c-cli/two", "/c-cli/two: rc = 0")
        says("quit", "Quitting...")
        check("cli_mt ends", cli.wait(15) == 0, cli.returncode)
    finally:
        cli.kill()
        cli.wait()
    with client(ensemble.hosts) as zk:
        zk.sync("/c-cli")
        check("and its ephemeral with it", zk.get_children("/c-cli") == ["s0000000000"])
        zk.delete("/c-cli", recursive=True)
