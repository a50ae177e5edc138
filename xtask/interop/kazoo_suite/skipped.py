"""A plugin of pytest: skips what stands in skipped.txt, and fails when a line there means no test."""

import os
from pathlib import Path

import pytest

from skips import skips


def pytest_collection_modifyitems(items):
    listed = skips(Path(__file__).with_name("skipped.txt"), int(os.environ["ZOOKEEPER_CLUSTER_SIZE"]))
    unused = set(listed)
    for item in items:
        name = item.nodeid.split("kazoo/tests/")[-1]
        for beginning, reason in listed.items():
            if name == beginning or name.startswith(f"{beginning}::"):
                item.add_marker(pytest.mark.skip(reason=reason))
                unused.discard(beginning)
    if unused:
        raise pytest.UsageError(f"skipped.txt names no test: {', '.join(unused)}")
