"""A Rust client, the crate zookeeper-client: its own integration tests, whole, as it was published.
They start containers; rust/containers starts servers instead. What is skipped, and why, stands in
rust/skipped.txt."""

import json
import os
import re
import subprocess
from pathlib import Path

from harness import aside, check, equal, note
from program import Suite
from skips import skips

CRATE = "zookeeper-client"
# As many as the version in rust/Cargo.lock has, without TLS.
TESTS = 52


def cargo(home: Path, *args: str, **more) -> subprocess.CompletedProcess:
    return subprocess.run([os.environ.get("CARGO", "cargo"), *args], cwd=home, check=True, text=True, **more)


def build(context) -> Path:
    """Compiles the tests that the crate's package brings; the program."""
    home = context.here / "rust"
    cargo(home, "fetch", "--quiet", "--locked")
    metadata = json.loads(cargo(home, "metadata", "--format-version", "1", "--locked", "--offline",
                                stdout=subprocess.PIPE).stdout)
    manifest = next(p["manifest_path"] for p in metadata["packages"] if p["name"] == CRATE)
    environment = {**os.environ, "CARGO_TARGET_DIR": str(context.cache / "rust"),
                   "ZOOKEEPER_CLIENT_TESTS": str(Path(manifest).with_name("tests") / "zookeeper.rs")}
    built = cargo(home, "test", "--no-run", "--quiet", "--locked", "--message-format", "json", "--test", "suite",
                  "--features", "sasl-digest-md5",
                  env=environment, stdout=subprocess.PIPE)
    messages = (json.loads(line) for line in built.stdout.splitlines())
    return Path(next(m["executable"] for m in messages if m.get("executable")))


def suite(context, size: int):
    home, work = context.here / "rust", context.home()
    leave_out = skips(home / "skipped.txt", size)
    server = context.programs.starter(context.kind, {})
    environment = {**os.environ, "INTEROP_SERVER": " ".join(server), "INTEROP_SERVERS": str(size),
                   "TMPDIR": str(work), "RUST_TEST_THREADS": "4"}
    arguments = [argument for name in leave_out for argument in ("--skip", name)]
    tests = Suite([build(context), *arguments], work, environment)
    yield
    code, said = tests.end()
    for name, reason in leave_out.items():
        note(f"skipped: {name}: {reason}")
    result = re.search(r"^test result: \w+\. (\d+) passed; (\d+) failed; .* (\d+) filtered out", said, re.M)
    if result is None or code != 0:
        raise AssertionError(f"zookeeper-client's tests ended with {code}\n{said[-8000:]}")
    passed, failed, filtered = map(int, result.groups())
    equal("zookeeper-client's tests", passed + failed + filtered, TESTS)
    check(f"{passed} passed, {failed} failed, {filtered} skipped, of {size} servers", failed == 0)


@aside
def of_one(context):
    yield from suite(context, 1)


@aside
def of_three(context):
    yield from suite(context, 3)
