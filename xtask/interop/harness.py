"""Tests, checks and figures. A test is a function; it says what it checks by checking it."""

import threading
import time
import traceback
from dataclasses import dataclass
from typing import Callable

_checks = 0
_lock = threading.Lock()


@dataclass
class Test:
    name: str
    run: Callable
    # Sizes of ensemble that it shares with other tests; empty: it starts servers of its own.
    sizes: tuple[int, ...]
    # Its first half is run before all tests, its second half after them.
    aside: bool
    # What Zebu lacks for it. Such a test must fail; when it passes, the mark is out of date.
    not_yet: str


TESTS: list[Test] = []


def shared(*sizes: int, not_yet: str = ""):
    """A test of an ensemble that others use too: it keeps to its own subtree and kills nobody."""
    return lambda f: _register(f, sizes, not_yet)


def alone(f):
    """A test that starts the servers that it needs."""
    return _register(f, (), "")


def aside(f):
    """A test that mostly waits, for a program with servers of its own, and so beside the others: it
    starts the program, yields, and then looks at what came of it."""
    return _register(f, (), "", aside=True)


def _register(f, sizes, not_yet, aside=False):
    area = f.__module__.removeprefix("test_")
    TESTS.append(Test(f"{area}.{f.__name__}", f, sizes, aside, not_yet))
    return f


def note(text: str) -> None:
    with _lock:
        for line in text.splitlines():
            print(f"      {line}", flush=True)


def check(what: str, holds: bool, found: object = "") -> None:
    global _checks
    if not holds:
        raise AssertionError(f"{what}: found {found!r}" if found != "" else what)
    with _lock:
        _checks += 1
        print(f"    ok {what}", flush=True)


def equal(what: str, found: object, expected: object) -> None:
    if found != expected:
        raise AssertionError(f"{what}: found {found!r}, expected {expected!r}")
    check(what, True)


def raises(what: str, error: type, call: Callable, *args, **kwargs) -> None:
    try:
        found = call(*args, **kwargs)
    except error:
        check(what, True)
    else:
        raise AssertionError(f"{what}: no {error.__name__}, but {found!r}")


def wait_until(what: str, holds: Callable[[], bool], within: float = 20,
               on_failure: Callable[[], str] | None = None) -> float:
    """Waits for a condition with a deadline; the seconds that it took."""
    start = time.monotonic()
    while not holds():
        if time.monotonic() - start > within:
            more = "\n" + on_failure() if on_failure else ""
            raise AssertionError(f"not within {within:.0f} s: {what}{more}")
        time.sleep(0.05)
    return time.monotonic() - start


def perform(name: str, run: Callable, not_yet: str = "") -> bool | None:
    """Did it pass? None: it could not yet."""
    print(f"{name}", flush=True)
    start, before = time.monotonic(), _checks
    try:
        run()
        if not_yet:
            raise AssertionError(f"it passes: strike out its mark `{not_yet}`")
    except Exception as error:
        if not_yet and "strike out" not in str(error):
            print(f"  not yet: {not_yet}", flush=True)
            return None
        print(f"  FAILED {name}: {error}", flush=True)
        if not isinstance(error, AssertionError):
            note(traceback.format_exc())
        return False
    print(f"  passed, {_checks - before} checks, {time.monotonic() - start:.1f} s", flush=True)
    return True


def checks_made() -> int:
    return _checks
