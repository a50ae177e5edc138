"""Starting and stopping: clean ends, kept data, mistakes in the configuration."""

import re
import socket
import subprocess

from clients import client, tree
from harness import alone, check, equal, note, wait_until
from servers import free_ports


def fill(zk) -> None:
    zk.create("/kept", b"data")
    zk.create("/kept/ephemeral", b"", ephemeral=True)
    for i in range(50):
        zk.create("/kept/n-", b"%d" % i, sequence=True)
    zk.set("/kept", b"changed")
    zk.delete("/kept/n-0000000007")


@alone
def restart_keeps_data(context):
    """SIGTERM, start, kill -9, start."""
    with context.ensemble(1) as ensemble:
        server = ensemble.servers[0]
        with client(server.host) as zk:
            fill(zk)
            before = tree(zk)
        before.pop("/kept/ephemeral")
        code = server.terminate()
        # A JVM ends by the signal; we end.
        equal("exit code after SIGTERM", code, 0 if context.kind == "zebu" else 143)
        for how in ("SIGTERM", "kill -9"):
            server.start().wait_serving()
            with client(server.host) as zk:
                now = tree(zk)
                kept = {p for p in before if p != "/kept" and now.get(p) == before[p]}
                equal(f"nodes after {how}", len(kept), len(before) - 1)
                equal("data", now["/kept"][0], b"changed")
                equal("the closed session's ephemeral is gone", "/kept/ephemeral" in now, False)
            server.kill()
        server.start().wait_serving()


@alone
def ensemble_restart_keeps_data(context):
    with context.ensemble(3) as ensemble:
        with client(ensemble.hosts) as zk:
            fill(zk)
            session_time = zk.exists("/kept").czxid
        codes = [s.terminate() for s in ensemble.servers]
        equal("exit codes after SIGTERM", codes, [0 if context.kind == "zebu" else 143] * 3)
        for s in ensemble.servers:
            s.start()
        ensemble.wait_serving()
        for s in ensemble.servers:
            with client(s.host) as zk:
                zk.sync("/")
                data, stat = zk.get("/kept")
                equal(f"data on {s}", (data, stat.czxid, stat.numChildren), (b"changed", session_time, 49))
        epochs = [int(s.word("srvr").split("Zxid: ")[1].split()[0], 16) >> 32 for s in ensemble.servers]
        check("a later epoch than before", all(e > session_time >> 32 for e in epochs), epochs)


@alone
def mistakes_in_zoo_cfg(context):
    """The process ends with a message, and ours names the line."""
    good = [f"dataDir={context.home()}", "clientPort=0", "tickTime=500"]
    for what, line in [
        ("a number that is none", "initLimit=ten"),
        ("a server without an address", "server.1=nonsense"),
        ("a port that is none", "server.1=127.0.0.1:x:y"),
    ] + ([("an unknown key", "tickTimes=500"), ("no equals sign", "dataDir")] if context.kind == "zebu" else []):
        cfg = context.home() / "zoo.cfg"
        cfg.write_text("\n".join(["# a comment", *good, "", line]) + "\n")
        ended = subprocess.run(context.programs.server(context.kind, cfg), cwd=cfg.parent, timeout=30,
                               stdin=subprocess.DEVNULL, capture_output=True, text=True)
        said = ended.stdout + ended.stderr
        check(f"{what}: exit code {ended.returncode}", ended.returncode != 0)
        check("and a message", said.strip() != "")
        if context.kind == "zebu":
            check("that names line 6", re.search(r"(line |:)6\b", said) is not None, said)
            note(said.strip().splitlines()[-1])
    missing = context.home() / "nowhere.cfg"
    ended = subprocess.run(context.programs.server(context.kind, missing), timeout=30, capture_output=True)
    check("a file that is not there", ended.returncode != 0)
    no_id = context.home()
    (no_id / "zoo.cfg").write_text(f"dataDir={no_id}\ntickTime=500\ninitLimit=5\nsyncLimit=2\nclientPort=0\n"
                                   + "".join(f"server.{i}=127.0.0.1:{i}:{i + 3}\n" for i in (1, 2, 3)))
    ended = subprocess.run(context.programs.server(context.kind, no_id / "zoo.cfg"), timeout=30,
                           capture_output=True, text=True)
    check("an ensemble without myid", ended.returncode != 0 and "myid" in ended.stdout + ended.stderr,
          ended.stdout + ended.stderr)


@alone
def what_the_readme_says(context):
    """A server without a configuration, in an empty folder, and our own client."""
    if context.kind == "java":
        return note("nothing to show with Java")
    # Word for word, unless somebody else has the usual port: then on another, and we say so.
    address, serve, ask = "127.0.0.1:2181", [], []
    with socket.socket() as s:
        if s.connect_ex(("127.0.0.1", 2181)) == 0:
            [port] = free_ports(1)
            address = f"127.0.0.1:{port}"
            serve, ask = ["server", "--port", str(port)], ["--server", address]
            note(f"port 2181 is taken: tried on {port}")
    home = context.home()
    with open(home / "log", "wb") as log:
        process = subprocess.Popen([context.programs.zebu, *serve], cwd=home, stdout=log, stderr=log)

    def cli(*command: str) -> str:
        ended = subprocess.run([context.programs.zebu, "cli", *ask, *command], timeout=30,
                               capture_output=True, text=True)
        return ended.stdout + ended.stderr
    try:
        wait_until("it serves", lambda: "zookeeper" in cli("ls", "/"), 20)
        for command, expected in [
            (("create", "/hello", "world"), "/hello"),
            (("get", "/hello"), "world"),
            (("set", "/hello", "again"), ""),
            (("get", "/hello"), "again"),
            (("ls", "/"), "hello"),
            (("stat", "/hello"), "1"),
            (("get", "/nothing"), "/nothing"),
            (("getAcl", "/hello"), "'world,'anyone\n: cdrwa"),
            (("getAllChildrenNumber", "/zookeeper"), "2"),
            (("whoami",), "ip: 127.0.0.1"),
            (("setquota", "-n", "5", "/hello"), ""),
            (("setquota", "-B", "3", "/hello"), "[Warning]: the bytes quota you create is less than the existing bytes:5"),
            (("setquota", "-n", "5", "/"), "/ cannot have a quota"),
            (("create", "/hello/a"), "/hello/a"),
            (("setquota", "-n", "5", "/hello/a"), "/hello/a has a parent /hello which has a quota"),
            (("delete", "/hello/a"), ""),
            (("listquota", "/hello"), "Output quota for /hello count=5,bytes=-1=;byteHardLimit=3;countHardLimit=-1"),
            (("listquota", "/hello"), "Output stat for /hello count=1,bytes=5"),
            (("delquota", "-n", "/hello"), ""),
            (("listquota", "/hello"), "Output quota for /hello count=-1,"),
            (("delquota", "/hello"), ""),
            (("listquota", "/hello"), "quota for /hello does not exist"),
            (("getAllChildrenNumber", "/zookeeper"), "2"),
            (("delete", "/hello"), ""),
        ]:
            said = cli(*command)
            check("zebu cli " + " ".join(command), expected in said, said)
        with client(address) as zk:
            equal("and kazoo", zk.exists("/hello"), None)
        check("its data is beside it", (home / "zebu-data").is_dir())
        process.terminate()
        equal("exit code after SIGTERM", process.wait(15), 0)
    finally:
        process.kill()
        process.wait()
