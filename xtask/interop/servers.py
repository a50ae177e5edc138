"""Servers under test, Zebu's and Java's, as processes on loopback.

Both kinds are started from the same zoo.cfg and myid, so a test never asks which one it has.
Everything started here is ended here, by its own process id.
"""

import random
import re
import signal
import socket
import subprocess
import time
from pathlib import Path

import jars
from harness import check, note, wait_until

# Small, so that elections, pings and session expiry take moments.
TICK_MS = 500


# Java's 3.8, as Debian has it; "java" is the newest.
OLDER = "java-3.8"


def is_java(kind: str) -> bool:
    return kind in ("java", OLDER)


def free_ports(count: int) -> list[int]:
    """Ports below the range from which the kernel takes the near end of connections: one of those
    could be taken by a client while its server is down."""
    held, ports = [], []
    while len(ports) < count:
        port = random.randrange(11000, 32000)
        s = socket.socket()
        s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            s.bind(("127.0.0.1", port))
        except OSError:
            s.close()
            continue
        held.append(s)
        if port not in ports:
            ports.append(port)
    for s in held:
        s.close()
    return ports


class Programs:
    """How to start each kind of server, and Java's client."""

    def __init__(self, zebu: Path, jars: Path, older: Path, logging: Path):
        self.zebu = zebu
        self.classpath = f"{logging}:{jars}/*"
        # The first of two classes with one name counts.
        self.older = f"{logging}:{older}/*:{jars}/*"
        self.java = ["java", "-Xmx256m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1", "-cp"]

    def starter(self, kind: str, properties: dict[str, str]) -> list[str]:
        """What starts a server, but for its zoo.cfg. `properties` are those that Java takes on the
        command line only."""
        if kind == "zebu":
            return [str(self.zebu), "server"]
        main = "org.apache.zookeeper.server.quorum.QuorumPeerMain"
        classpath = self.older if kind == OLDER else self.classpath
        return [*self.java, classpath, *self.defined(properties), main]

    def server(self, kind: str, cfg: Path, properties: dict[str, str] = {}) -> list[str]:
        return [*self.starter(kind, properties), str(cfg)]

    def java_client(self, main: str, *args: str, classes: Path | None = None,
                    properties: dict[str, str] = {}) -> list[str]:
        path = f"{classes}:{self.classpath}" if classes else self.classpath
        return [*self.java, path, *self.defined(properties), main, *args]

    @staticmethod
    def defined(properties: dict[str, str]) -> list[str]:
        return [f"-D{name}={value}" for name, value in properties.items()]


def state(task: Path) -> str:
    """Of a thread: R, S, T and so on; empty when it is gone."""
    try:
        return (task / "stat").read_text().rsplit(")", 1)[1].split()[0]
    except FileNotFoundError:
        return ""


LOGGING = """\
<Configuration status="error">
  <Appenders><Console name="out"><PatternLayout pattern="%d{HH:mm:ss,SSS} %-5p %c{1}: %m%n"/></Console></Appenders>
  <Loggers><Root level="warn"><AppenderRef ref="out"/></Root></Loggers>
</Configuration>
"""


def bring_programs(zebu: Path, cache: Path) -> Programs:
    """Both kinds, ready to start: Java's comes into `cache`, once. What `OLDER` needs is there already
    if `cargo xtask interop` began this."""
    cache = cache.resolve()
    jars.bring(cache / "jars")
    (cache / "log4j2.xml").write_text(LOGGING)
    return Programs(zebu.resolve(), cache / "jars", cache / "older/usr/share/java", cache)


class Server:
    def __init__(self, programs: Programs, kind: str, number: int, home: Path, client_port: int,
                 peers: str, settings: dict[str, str], data: Path | None = None):
        self.programs, self.kind, self.number, self.home = programs, kind, number, home
        self.client_port = client_port
        self.host = f"127.0.0.1:{client_port}"
        self.data = data or home / "data"
        self.log = home / "log"
        self.process: subprocess.Popen | None = None
        self.paused = False
        # The names of Java itself, and what ZooKeeper reads in no zoo.cfg.
        names = ("java.", "znode.container.")
        self.properties = {k: v for k, v in settings.items() if k.startswith(names)}
        keys = {
            "tickTime": TICK_MS, "initLimit": 20, "syncLimit": 10, "dataDir": self.data,
            "clientPort": client_port, "clientPortAddress": "127.0.0.1",
            "4lw.commands.whitelist": "*", "admin.enableServer": "false", **settings,
        }
        self.cfg = home / "zoo.cfg"
        self.keys, self.peers = "".join(f"{k}={v}\n" for k, v in keys.items()), peers
        self.configure()

    def __str__(self) -> str:
        return f"server {self.number} ({self.kind})"

    def configure(self) -> None:
        """As it was made, whatever a reconfiguration wrote since."""
        self.data.mkdir(parents=True, exist_ok=True)
        self.cfg.write_text(self.keys + self.peers)
        if self.peers:
            (self.data / "myid").write_text(f"{self.number}\n")

    def start(self) -> "Server":
        assert not self.running(), f"{self} runs already"
        with open(self.log, "ab") as log:
            self.process = subprocess.Popen(
                self.programs.server(self.kind, self.cfg, self.properties), cwd=self.home, stdin=subprocess.DEVNULL,
                stdout=log, stderr=subprocess.STDOUT)
        return self

    def running(self) -> bool:
        return self.process is not None and self.process.poll() is None

    def awake(self) -> bool:
        return self.running() and not self.paused

    def kill(self) -> None:
        """kill -9."""
        if self.running():
            self.process.kill()
            self.process.wait()
        self.paused = False

    def pause(self) -> None:
        """SIGSTOP: its connections stand, but nothing comes. `kill` ends it as ever."""
        self.process.send_signal(signal.SIGSTOP)
        tasks = Path(f"/proc/{self.process.pid}/task")
        # Some threads go on for a moment.
        while any(state(task) not in "TZX" for task in tasks.iterdir()):
            time.sleep(0.001)
        self.paused = True

    def resume(self) -> None:
        self.process.send_signal(signal.SIGCONT)
        self.paused = False

    def terminate(self, within: float = 15) -> int:
        """SIGTERM; the exit code."""
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(within)

    def word(self, word: str) -> str:
        """The answer to a four-letter word, empty when there is none."""
        try:
            with socket.create_connection(("127.0.0.1", self.client_port), timeout=5) as s:
                s.sendall(word.encode())
                answer = b""
                while piece := s.recv(65536):
                    answer += piece
                return answer.decode(errors="replace")
        except OSError:
            return ""

    def mode(self) -> str:
        """leader, follower, standalone, observer; empty while it does not serve."""
        found = re.search(r"^Mode: (\S+)", self.word("srvr"), re.M)
        return found.group(1) if found else ""

    def serves(self) -> bool:
        if not self.running():
            raise AssertionError(f"{self} ended with code {self.process.returncode}\n{self.tail()}")
        return self.mode() != ""

    def wait_serving(self, within: float = 60) -> "Server":
        wait_until(f"{self} serves", self.serves, within, on_failure=self.tail)
        return self

    def resident_mb(self) -> float:
        status = Path(f"/proc/{self.process.pid}/status").read_text()
        return int(re.search(r"VmRSS:\s+(\d+)", status).group(1)) / 1024

    def tail(self, lines: int = 25) -> str:
        return f"--- {self}, end of its log\n" + "\n".join(self.log_lines()[-lines:])

    def log_lines(self) -> list[str]:
        return self.log.read_text(errors="replace").splitlines() if self.log.exists() else []

    def panics(self) -> list[str]:
        return [line for line in self.log_lines() if "panicked at" in line]


class Ensemble:
    """Some servers that form one service; one alone is standalone for Java. Those whose numbers are
    in `observers` do not vote."""

    def __init__(self, programs: Programs, kinds: list[str], home: Path,
                 observers: tuple[int, ...] = (), **settings: str):
        ports = free_ports(3 * len(kinds))
        self.election, self.quorum = {}, {}
        peers = ""
        for number in range(1, len(kinds) + 1):
            q, e = ports[3 * number - 2], ports[3 * number - 1]
            self.quorum[number], self.election[number] = q, e
            if len(kinds) > 1:
                role = ":observer" if number in observers else ""
                # One port for all servers: each needs an address of its own.
                own = number if "observerMasterPort" in settings else 1
                peers += f"server.{number}=127.0.0.{own}:{q}:{e}{role}\n"
        self.servers = [
            Server(programs, kind, number, home / f"s{number}", ports[3 * number - 3], peers, settings)
            for number, kind in enumerate(kinds, 1)]

    def __enter__(self) -> "Ensemble":
        for s in self.servers:
            s.start()
        try:
            self.wait_serving()
        except BaseException:
            self.end()
            raise
        return self

    def __exit__(self, kind, *_) -> None:
        panics = [f"{s}: {line}" for s in self.servers for line in s.panics()]
        if kind is not None:
            for s in self.servers:
                note(s.tail())
        self.end()
        if kind is None:
            check("no server panicked", not panics, "; ".join(panics))

    def end(self) -> None:
        for s in self.servers:
            s.kill()

    def wait_serving(self) -> None:
        for s in self.servers:
            s.wait_serving()

    @property
    def hosts(self) -> str:
        return ",".join(s.host for s in self.servers)

    def number(self, number: int) -> Server:
        return self.servers[number - 1]

    def leader(self) -> Server:
        """The server that leads (or stands alone)."""
        found: list[Server] = []

        def look() -> bool:
            found[:] = [s for s in self.servers
                        if s.awake() and s.mode() in ("leader", "standalone")]
            return len(found) == 1

        wait_until("one server leads", look, 60)
        return found[0]
