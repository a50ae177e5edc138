"""A Node client, node-zookeeper-client: node/client.js, with packages as node/package-lock.json pins them."""

import os
import shutil
import subprocess

from harness import alone, shared
from program import ClientProgram


def client(context, *args: str) -> ClientProgram:
    """npm installs into the cache, once for each lock file."""
    home, installed = context.here / "node", context.cache / "node"
    lock = (home / "package-lock.json").read_text()
    done = installed / "installed"
    if not done.exists() or done.read_text() != lock:
        installed.mkdir(exist_ok=True)
        for name in ("package.json", "package-lock.json"):
            shutil.copy(home / name, installed)
        subprocess.run(["npm", "ci", "--no-audit", "--no-fund"], cwd=installed, check=True,
                       stdout=subprocess.DEVNULL)
        done.write_text(lock)
    return ClientProgram(["node", home / "client.js", *args],
                         env={**os.environ, "NODE_PATH": str(installed / "node_modules")})


@shared(1, 3)
def operations(context, ensemble):
    with client(context, "operations", ensemble.hosts) as node:
        node.until("done")


@alone
def reconnect(context):
    with context.ensemble(3) as ensemble, client(context, "reconnect", ensemble.hosts) as node:
        node.until("armed")
        port = int(next(line for line in node.said if line.startswith("server ")).split()[1])
        connected = next(s for s in ensemble.servers if s.client_port == port)
        connected.kill()
        node.until("done")
        connected.start().wait_serving()
