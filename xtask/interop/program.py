"""Programs under way: clients in other languages, and other projects' suites of tests."""

import queue
import subprocess
import threading
import time
from pathlib import Path

from harness import check


class ClientProgram:
    """Each of its lines `ok WHAT` becomes a check."""

    def __init__(self, command: list, env: dict[str, str] | None = None):
        self.name = Path(command[0]).name
        self.process = subprocess.Popen(command, env=env, stdin=subprocess.DEVNULL,
                                        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
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
                raise AssertionError(self._report(f"said no {last!r} but")) from None
            if line is None:
                raise AssertionError(self._report(f"ended without {last!r}"))
            self.said.append(line)
            if line.startswith("ok "):
                check(line.removeprefix("ok "), True)
            if line == last:
                return

    def _report(self, what: str) -> str:
        return "\n".join([f"{self.name} {what}", *self.said[-20:]])

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.process.kill()
        self.process.wait()


class Suite:
    """Says what it has to say into a file."""

    LONGEST_S = 900

    def __init__(self, command: list, home: Path, environment: dict[str, str]):
        self.log = home / "log"
        with open(self.log, "wb") as out:
            self.process = subprocess.Popen(command, cwd=home, env=environment, stdin=subprocess.DEVNULL,
                                            stdout=out, stderr=subprocess.STDOUT)
        self.started = time.monotonic()

    def end(self) -> tuple[int, str]:
        """Its exit code, and what it said."""
        try:
            self.process.wait(max(1.0, self.LONGEST_S - (time.monotonic() - self.started)))
        finally:
            self.process.kill()
            self.process.wait()
        return self.process.returncode, self.log.read_text(errors="replace")
