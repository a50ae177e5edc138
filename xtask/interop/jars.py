"""Brings Apache ZooKeeper 3.9.3 and Curator 5.7.1 as jars, once.

The newest ZooKeeper that a Python package carries is inside the source package of pyspark. Its
archive is read as a stream and only the jars named here are kept; nothing in it is run. The
address comes from pip's own index, so a mirror configured for pip serves this too.
"""

import hashlib
import os
import re
import ssl
import subprocess
import sys
import tarfile
import urllib.request
from pathlib import Path

PACKAGE, VERSION = "pyspark", "4.0.1"

# What must have come, as published.
PINNED = {
    "zookeeper-3.9.3.jar":
        "ad6570105768d18382a762325b4460368b7089a5a77c053e682b17942e0e72b5",
    "zookeeper-jute-3.9.3.jar":
        "be72e2c9099413a9878ce830b65bb22e0be755dc2a22b290550ab9e03b5b4cfa",
    "curator-client-5.7.1.jar":
        "611f7553fe7ed06713edcaae0098914a557cbb9724690c98137d05f1011fd3e9",
    "curator-framework-5.7.1.jar":
        "4f6219d50789db25a78184beb664e11ec63583125692b99faab538f8dae74b87",
    "curator-recipes-5.7.1.jar":
        "8d0cb2638483fc1909e1f60cc66219598477ffcf0434bccfcd4ed65c25395ef7",
}

WANTED = re.compile(
    r"/jars/((zookeeper|curator|netty|slf4j-api|log4j-(api|core|slf4j2-impl)|metrics-core"
    r"|snappy-java|commons-(cli|io|lang)-|audience-annotations|guava|failureaccess)[^/]*\.jar)$"
)


def address() -> str:
    """Where pip's index says the source package is."""
    found = subprocess.run(
        [sys.executable, "-m", "pip", "index", "versions", PACKAGE, "-vv"],
        capture_output=True, text=True,
    ).stdout
    link = re.search(rf"Found link (\S+/{PACKAGE}-{re.escape(VERSION)}\.tar\.gz)", found)
    if not link:
        raise SystemExit(f"pip's index names no source package of {PACKAGE} {VERSION}")
    return link.group(1)


def bring(into: Path) -> None:
    done = into / "complete"
    if done.exists():
        return
    into.mkdir(parents=True, exist_ok=True)
    authorities = os.environ.get("PIP_CERT") or None
    trust = ssl.create_default_context(cafile=authorities)
    print(f"reading {PACKAGE} {VERSION} for its ZooKeeper jars (once, some 400 MB) ...", flush=True)
    with urllib.request.urlopen(address(), context=trust, timeout=180) as stream:
        with tarfile.open(fileobj=stream, mode="r|gz") as archive:
            for member in archive:
                wanted = WANTED.search(member.name)
                if wanted and member.isfile():
                    (into / wanted.group(1)).write_bytes(archive.extractfile(member).read())
    for name, digest in PINNED.items():
        jar = into / name
        if not jar.exists():
            raise SystemExit(f"{name} was not in {PACKAGE} {VERSION}")
        found = hashlib.sha256(jar.read_bytes()).hexdigest()
        if found != digest:
            raise SystemExit(f"{name}: sha256 {found}, expected {digest}")
    done.write_text("")


if __name__ == "__main__":
    bring(Path(sys.argv[1]))
