"""ZooKeeper's shell, zkCli of 3.9.3, as a process: every command it has, and what it prints."""

import queue
import re
import subprocess
import threading
import time

from harness import alone, check, equal

MAIN = "org.apache.zookeeper.ZooKeeperMain"
SETTINGS = {"extendedTypesEnabled": "true"}


class Shell:
    """zkCli with pipes for a terminal. It carries out one line after the other, so the answer to
    `version` says that the command before it is done; only events come when they like."""

    DONE = "ZooKeeper CLI version: 3.9.3"

    def __init__(self, context, hosts: str):
        self.process = subprocess.Popen(
            context.programs.java_client(MAIN, "-server", hosts), stdin=subprocess.PIPE,
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
        self.lines: queue.Queue[str] = queue.Queue()
        threading.Thread(target=self._read, daemon=True).start()
        self.commands: set[str] = set()

    def _read(self) -> None:
        for line in self.process.stdout:
            self.lines.put(line.rstrip())
        self.lines.put("(zkCli has ended)")

    def __enter__(self):
        self.until("type:None path:null")
        return self

    def __exit__(self, *_):
        self.process.kill()
        self.process.wait()

    def send(self, command: str) -> None:
        self.commands.add(command.split()[0])
        self.process.stdin.write(f"{command}\n")
        self.process.stdin.flush()

    def until(self, last: str, within: float = 30) -> list[str]:
        """The lines before the one that holds `last`."""
        said, deadline = [], time.monotonic() + within
        while True:
            try:
                line = self.lines.get(timeout=max(0.0, deadline - time.monotonic()))
            except queue.Empty:
                raise AssertionError(f"zkCli said no {last!r} but\n" + "\n".join(said)) from None
            if last in line:
                return said
            said.append(line)

    def says(self, command: str) -> list[str]:
        """What it prints for a command, events and empty lines apart."""
        self.send(command)
        self.send("version")
        said = self.until(self.DONE)
        return [line for line in said if line and not line.startswith(("WATCHER::", "WatchedEvent"))]

    def prints(self, command: str, *expected: str) -> None:
        equal(f"zkCli {command}", self.says(command), list(expected))

    def has(self, command: str, *expected: str) -> None:
        """The same for what varies: each line that is expected matches some line, in this order."""
        said = self.says(command)
        rest = iter(said)
        missing = [e for e in expected if not any(re.fullmatch(e, line) for line in rest)]
        check(f"zkCli {command}", not missing, (missing, said))

    def tells(self, command: str, kind: str, path: str) -> None:
        """An event comes of it, before it is done or soon after."""
        event = f"type:{kind} path:{path} "
        self.send(command)
        self.send("version")
        if not any(event in line for line in self.until(self.DONE)):
            self.until(event)
        check(f"zkCli {command}: {kind} {path}", True)


def stat(length: int, children: int = 0, version: int = 0, owner: str = "0x0") -> list[str]:
    return [r"cZxid = 0x\w+", "ctime = .*", r"mZxid = 0x\w+", "mtime = .*", r"pZxid = 0x\w+", r"cversion = \d+",
            f"dataVersion = {version}", r"aclVersion = \d+", f"ephemeralOwner = {owner}",
            f"dataLength = {length}", f"numChildren = {children}"]


@alone
def every_command(context):
    for size in (1, 3):
        with context.ensemble(size, **SETTINGS) as ensemble, Shell(context, ensemble.hosts) as zkcli:
            nodes(zkcli)
            conditions(zkcli)
            watches(zkcli)
            acls(zkcli)
            quotas(zkcli)
            deletes(zkcli)
            servers(zkcli, ensemble)
            zkcli.send("nonsense")
            usage = zkcli.until("Command not found")
            offered = {line.split()[0] for line in usage if line.startswith("\t")}
            connection(zkcli, ensemble)
            equal("zkCli's commands, all tried", offered - zkcli.commands, set())


def nodes(zkcli: Shell) -> None:
    zkcli.prints("create /cli hello", "Created /cli")
    zkcli.prints("create /cli again", "Node already exists: /cli")
    zkcli.prints("create /no/parent", "Node does not exist: /no/parent")
    zkcli.prints("create relative", "Path must start with / character")
    zkcli.prints("create -s /cli/s- a", "Created /cli/s-0000000000")
    zkcli.prints("create -e /cli/e a", "Created /cli/e")
    zkcli.prints("create /cli/e/child a", "Ephemerals cannot have children: /cli/e/child")
    zkcli.prints("create -s -e /cli/se- a", "Created /cli/se-0000000002")
    zkcli.prints("create -c /cli/c", "Created /cli/c")
    zkcli.prints("create -t 60000 /cli/t x", "Created /cli/t")
    zkcli.prints("ls /cli", "[c, e, s-0000000000, se-0000000002, t]")
    zkcli.prints("ls -R /cli", "/cli", "/cli/c", "/cli/e", "/cli/s-0000000000", "/cli/se-0000000002", "/cli/t")
    zkcli.has("ls -s /cli", *stat(5, 5))
    zkcli.prints("ls /none", "Node does not exist: /none")
    zkcli.prints("get /cli", "hello")
    zkcli.prints("get -b /cli", "aGVsbG8=")
    zkcli.has("get -x /cli", r".* 68 65 6c 6c 6f .*\|hello .*")
    zkcli.has("get -s /cli", "hello", *stat(5, 5))
    zkcli.prints("get /none", "Node does not exist: /none")
    zkcli.has("stat /cli", *stat(5, 5))
    zkcli.has("stat /cli/e", *stat(1, owner=r"0x\w{15,16}"))
    zkcli.prints("getEphemerals", "[/cli/e, /cli/se-0000000002]")
    zkcli.prints("getEphemerals /cli/s", "[/cli/se-0000000002]")
    zkcli.prints("getAllChildrenNumber /cli", "5")
    zkcli.prints("sync /cli", "Sync is OK")


def conditions(zkcli: Shell) -> None:
    zkcli.prints("set /cli world")
    zkcli.prints("set -v 0 /cli never", "version No is not valid : /cli")
    zkcli.prints("set -v 1 /cli third")
    zkcli.has("set -s /cli fourth", *stat(6, 5, 3))
    zkcli.prints("set /none x", "Node does not exist: /none")
    zkcli.prints("delete -v 7 /cli/s-0000000000", "version No is not valid : /cli/s-0000000000")
    zkcli.prints("get /cli", "fourth")


def watches(zkcli: Shell) -> None:
    zkcli.prints("get -w /cli", "fourth")
    zkcli.tells("set /cli fifth", "NodeDataChanged", "/cli")
    zkcli.says("ls -w /cli")
    zkcli.tells("create /cli/w", "NodeChildrenChanged", "/cli")
    zkcli.prints("stat -w /cli/none", "Node does not exist: /cli/none")
    zkcli.tells("create /cli/none", "NodeCreated", "/cli/none")
    zkcli.says("stat -w /cli/none")
    zkcli.tells("delete /cli/none", "NodeDeleted", "/cli/none")
    zkcli.prints("addWatch /cli")
    zkcli.tells("create /cli/w/deep", "NodeCreated", "/cli/w/deep")
    zkcli.tells("set /cli/w/deep x", "NodeDataChanged", "/cli/w/deep")
    zkcli.prints("addWatch -m PERSISTENT /cli/c")
    zkcli.tells("create /cli/c/x", "NodeChildrenChanged", "/cli/c")
    zkcli.tells("set /cli/c x", "NodeDataChanged", "/cli/c")
    zkcli.tells("removewatches /cli", "PersistentWatchRemoved", "/cli")
    zkcli.tells("removewatches /cli/c", "PersistentWatchRemoved", "/cli/c")
    zkcli.prints("removewatches /cli -d", "KeeperErrorCode = No such watcher for /cli")
    zkcli.says("get -w /cli")
    zkcli.tells("removewatches /cli -d", "DataWatchRemoved", "/cli")
    zkcli.says("ls -w /cli")
    zkcli.tells("removewatches /cli -c", "ChildWatchRemoved", "/cli")
    zkcli.prints("printwatches", "printwatches is on")
    zkcli.prints("printwatches off")
    zkcli.prints("printwatches", "printwatches is off")
    zkcli.prints("printwatches on")


def acls(zkcli: Shell) -> None:
    zkcli.prints("getAcl /cli", "'world,'anyone", ": cdrwa")
    zkcli.has("getAcl -s /cli", "'world,'anyone", ": cdrwa", *stat(5, 6, 4))
    zkcli.has("setAcl -s /cli world:anyone:cdrwa", *stat(5, 6, 4))
    zkcli.prints("setAcl -v 9 /cli world:anyone:r", "version No is not valid : /cli")
    zkcli.prints("setAcl /cli/c nonsense:x:r", "Acl is not valid : /cli/c")
    zkcli.prints("setAcl -R /cli/c world:anyone:crwd")
    zkcli.prints("getAcl /cli/c/x", "'world,'anyone", ": cdrw")
    zkcli.prints("setAcl /cli/c world:anyone:cdrwa", "Insufficient permission : /cli/c")
    zkcli.prints("create /cli/ip x ip:127.0.0.0/8:r", "Created /cli/ip")
    zkcli.prints("get /cli/ip", "x")
    zkcli.prints("set /cli/ip y", "Insufficient permission : /cli/ip")
    zkcli.prints("create /cli/theirs x digest:them:AAAAAAAAAAAAAAAAAAAAAAAAAAA=:cdrwa", "Created /cli/theirs")
    zkcli.prints("get /cli/theirs", "Insufficient permission : /cli/theirs")
    zkcli.prints("getAcl /cli/theirs", "Insufficient permission : /cli/theirs")
    zkcli.prints("addauth digest me:secret")
    zkcli.prints("create /cli/mine x auth::cdrwa", "Created /cli/mine")
    zkcli.prints("getAcl /cli/mine", "'digest,'me:016djjlksVQS5RgX3M7biBGyYwY=", ": cdrwa")
    # In no order that anybody promised.
    equal("zkCli whoami", sorted(zkcli.says("whoami")), ["Auth scheme: User", "digest: me", "ip: 127.0.0.1"])


def quotas(zkcli: Shell) -> None:
    zkcli.prints("create /q 12345", "Created /q")
    zkcli.prints("setquota -n 100 /q")
    zkcli.prints("create /q/child 678", "Created /q/child")
    zkcli.says("setquota -b 1000 /q")
    zkcli.says("setquota -N 200 /q")
    zkcli.says("setquota -B 2000 /q")
    zkcli.has("listquota /q", "Output quota for /q count=100,bytes=1000=;byteHardLimit=2000;countHardLimit=200",
              "Output stat for /q count=2,bytes=8")
    zkcli.says("delquota -n /q")
    zkcli.says("delquota -B /q")
    zkcli.has("listquota /q", "Output quota for /q count=-1,bytes=1000=;byteHardLimit=-1;countHardLimit=200", ".*")
    zkcli.says("delquota /q")
    zkcli.has("listquota /q", "quota for /q does not exist.*")


def deletes(zkcli: Shell) -> None:
    zkcli.prints("delete /cli", "Node not empty: /cli")
    zkcli.prints("delete /none", "Node does not exist: /none")
    zkcli.prints("delete -v 0 /cli/s-0000000000")
    zkcli.prints("deleteall /cli/w -b 10")
    zkcli.prints("ls -R /cli/c", "/cli/c", "/cli/c/x")
    zkcli.prints("deleteall /cli", "Insufficient permission : /cli/theirs")
    zkcli.prints("delete /cli/theirs")
    zkcli.prints("deleteall /cli")
    zkcli.prints("get /cli", "Node does not exist: /cli")
    zkcli.prints("deleteall /q")
    zkcli.prints("ls /", "[zookeeper]")


def servers(zkcli: Shell, ensemble) -> None:
    """What it says of the ensemble; and that it cannot be changed."""
    config = zkcli.says("config")
    members = [line.split("=")[0] for line in config if line.startswith("server.")]
    expected = [f"server.{s.number}" for s in ensemble.servers] if len(ensemble.servers) > 1 else []
    equal("zkCli config", members, expected)
    zkcli.says("config -c")
    zkcli.says("config -w")
    zkcli.prints("reconfig -remove 3", "KeeperErrorCode = Reconfig is disabled")
    zkcli.prints("create /cli hello", "Created /cli")
    zkcli.has("history", r"\d+ - config", r"\d+ - reconfig -remove 3")
    zkcli.prints("redo 0", "Node already exists: /cli")
    zkcli.prints("delete /cli")


def connection(zkcli: Shell, ensemble) -> None:
    last = ensemble.servers[-1].host
    zkcli.prints("create -e /ephemeral", "Created /ephemeral")
    zkcli.send("close")
    zkcli.until("state:Closed")
    zkcli.send("ls /")
    zkcli.until("Not connected")
    zkcli.send(f"connect {last}")
    zkcli.until("state:SyncConnected")
    zkcli.prints("ls /", "[zookeeper]")
    zkcli.send("quit")
    zkcli.until("(zkCli has ended)")
    equal("zkCli quit", zkcli.process.wait(10), 0)
