"""A client program in another language, under way: each of its lines `ok WHAT` becomes a check."""

import queue
import subprocess
import threading
from pathlib import Path

from harness import check


class ClientProgram:
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
