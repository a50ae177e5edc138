"""A plugin of pytest: skips what stands in skipped.txt, and fails when a line there means no test."""

import os
from pathlib import Path

import pytest


def reasons() -> dict[str, str]:
    """By the beginning of a test's name, for as many servers as there are."""
    found, size = {}, os.environ["ZOOKEEPER_CLUSTER_SIZE"]
    for line in Path(__file__).with_name("skipped.txt").read_text().splitlines():
        if line.startswith("#"):
            continue
        if line[:3] in ("1: ", "3: "):
            if line[0] != size:
                continue
            line = line[3:]
        name, reason = line.split(": ", 1)
        found[name] = reason
    return found


def pytest_collection_modifyitems(items):
    unused = reasons()
    for item in items:
        name = item.nodeid.split("kazoo/tests/")[-1]
        for beginning, reason in reasons().items():
            if name == beginning or name.startswith((f"{beginning}::", f"{beginning}[")):
                item.add_marker(pytest.mark.skip(reason=reason))
                unused.pop(beginning, None)
    if unused:
        raise pytest.UsageError(f"skipped.txt names no test: {', '.join(unused)}")
