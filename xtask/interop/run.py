"""Interoperability: stock ZooKeeper clients and servers against ours.

    run.py --server zebu|java [--only PART_OF_A_NAME] --zebu BINARY --cache DIR --samples DIR

With `--server java` every test runs against Apache ZooKeeper itself, which shows that the tests
ask for nothing that it does not do.
"""

import argparse
import importlib
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Callable

from harness import TESTS, Test, checks_made, perform
from servers import Ensemble, bring_programs

HERE = Path(__file__).parent
AREAS = sorted(test.stem for test in HERE.glob("test_*.py"))


class Context:
    """What every test is given."""

    def __init__(self, options: argparse.Namespace, work: Path):
        self.kind: str = options.server
        self.zebu: Path = options.zebu.resolve()
        self.work = work
        self.samples: Path = options.samples
        self.programs = bring_programs(options.zebu, options.cache)
        self.here = HERE
        self.cache: Path = options.cache
        self.classes = options.cache / "classes"
        self._homes = 0

    def home(self) -> Path:
        self._homes += 1
        home = self.work / f"{self._homes:03}"
        home.mkdir()
        return home

    def ensemble(self, size: int, kinds: list[str] | None = None, **settings: str) -> Ensemble:
        return Ensemble(self.programs, kinds or [self.kind] * size, self.home(), **settings)


def compile_java(context: Context, sources: Path) -> None:
    compiled = context.classes / "compiled"
    newest = max(f.stat().st_mtime for f in sources.glob("*.java"))
    if compiled.exists() and compiled.stat().st_mtime >= newest:
        return
    context.classes.mkdir(parents=True, exist_ok=True)
    subprocess.run(["javac", "-nowarn", "-cp", context.programs.classpath, "-d", context.classes,
                    *sources.glob("*.java")], check=True)
    compiled.write_text("")


def begin(test: Test, context: Context) -> Callable[[], None]:
    """Runs the first half of a test; the second half."""
    halves = test.run(context)
    try:
        next(halves)
    except Exception as error:
        wrong = error

        def fail() -> None:
            raise wrong

        return fail
    return lambda: next(halves, None)


def main() -> int:
    parser = argparse.ArgumentParser()
    parser.add_argument("--server", choices=["zebu", "java"], default="zebu")
    parser.add_argument("--only", default="")
    parser.add_argument("--zebu", type=Path, required=True)
    parser.add_argument("--cache", type=Path, required=True)
    parser.add_argument("--samples", type=Path, required=True)
    options = parser.parse_args()

    options.cache = options.cache.resolve()
    for area in AREAS:
        importlib.import_module(area)

    work = Path(tempfile.mkdtemp(prefix="zebu-interop-"))
    context = Context(options, work)
    compile_java(context, HERE)
    passed, failed, lacking = 0, [], []

    def one(t: Test, label: str, run) -> None:
        nonlocal passed
        name = f"{t.name} [{label}]"
        done = perform(name, run, t.not_yet if options.server == "zebu" else "")
        if done:
            passed += 1
        elif done is None:
            lacking.append(t.not_yet)
        else:
            failed.append(name)

    chosen = [t for t in TESTS if options.only in t.name]
    begun = [(t, begin(t, context)) for t in chosen if t.aside]
    for size in sorted({size for t in chosen for size in t.sizes}):
        ensemble = context.ensemble(size)
        names = f"{size} x {options.server}"
        try:
            with ensemble:
                for t in chosen:
                    if size in t.sizes:
                        one(t, names, lambda t=t: t.run(context, ensemble))
        except AssertionError as error:
            failed.append(f"ensemble of {names}")
            print(f"  FAILED ensemble of {names}: {error}", flush=True)
    for t in chosen:
        if not t.sizes and not t.aside:
            one(t, options.server, lambda t=t: t.run(context))
    for t, finish in begun:
        one(t, options.server, finish)

    for what in lacking:
        print(f"not yet: {what}")
    for name in failed:
        print(f"failed: {name}")
    if failed:
        print(f"the servers' directories and logs are in {work}")
    else:
        shutil.rmtree(work, ignore_errors=True)
    print(f"{checks_made()} checks, server: {options.server}")
    print(f"{passed} passed, {len(failed)} failed", flush=True)
    return 1 if failed or passed + len(lacking) == 0 else 0


if __name__ == "__main__":
    code = main()
    sys.stdout.flush()
    # Client threads of a failed test must not keep the process alive.
    os._exit(code)
