"""kazoo's own test suite, whole, as its package has it. Its harness starts and stops the servers, a
Java's where `java` is Java, ours where it is kazoo_suite/java. What is skipped, and why, stands in
kazoo_suite/skipped.txt."""

import os
import re
import sys
import xml.etree.ElementTree as ElementTree

from harness import aside, check, equal, note
from program import Suite
from skips import skips

# As many as kazoo 2.11.0 has: none may get lost.
TESTS = 493
# Below what free_ports() gives to other tests. Each server takes ten.
PORTS = {1: 10100, 3: 10200}


def suite(context, size: int):
    home = context.home()
    report = home / "report.xml"
    beside = context.here / "kazoo_suite"
    environment = {
        **os.environ, "ZEBU": str(context.zebu), "PYTHONPATH": f"{beside}{os.pathsep}{context.here}", "TMPDIR": str(home),
        # Of kazoo's harness; the server's version is asked for when CI is not set.
        "ZOOKEEPER_VERSION": "3.9.3", "ZOOKEEPER_CLASSPATH": context.programs.classpath,
        "ZOOKEEPER_CLUSTER_SIZE": str(size), "ZOOKEEPER_PORT_OFFSET": str(PORTS[size]),
    }
    environment.pop("CI", None)
    if context.kind == "zebu":
        environment["PATH"] = f"{beside}{os.pathsep}{os.environ['PATH']}"
    tests = Suite([sys.executable, "-m", "pytest", "-p", "skipped", "-p", "no:cacheprovider", "--timeout", "120",
                   "-q", "-rfE", "--tb=short", "--junitxml", report, "--pyargs", "kazoo.tests"], home, environment)
    yield
    code, said = tests.end()
    if not report.exists():
        raise AssertionError(f"no report of kazoo's tests\n{said[-3000:]}")
    cases = ElementTree.parse(report).getroot().findall(".//testcase")
    failed = [c for c in cases if c.find("failure") is not None or c.find("error") is not None]
    skipped = {(c.get("name"), c.find("skipped").get("message")) for c in cases if c.find("skipped") is not None}
    ours = set(skips(beside / "skipped.txt", size).values())
    for name, reason in sorted(skipped):
        note(f"skipped: {name}: {reason}")
    if failed:
        names = ", ".join(f"{c.get('classname')}.{c.get('name')}" for c in failed)
        tail = re.split(r"^=+ warnings summary", said, flags=re.M)[0]
        raise AssertionError(f"{len(failed)} of kazoo's tests failed: {names}\n{tail[-6000:]}")
    equal("kazoo's tests", len(cases), TESTS)
    equal("skipped for no reason of ours", {name for name, reason in skipped if reason not in ours}, set())
    check(f"{len(cases) - len(skipped)} passed, 0 failed, {len(skipped)} skipped, of {size} servers",
          code == 0, code)


@aside
def of_one(context):
    yield from suite(context, 1)


@aside
def of_three(context):
    yield from suite(context, 3)
