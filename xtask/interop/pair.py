"""One Java server and one of ours, each alone, for `cargo xtask differential`.

    pair.py --zebu BINARY --cache DIR [--snapshot FILE] [--containers-ms INTERVAL]

Prints `JAVA_PORT ZEBU_PORT` when both serve, and ends them when its standard input ends. The
directories and logs stay only when a server ended by itself.
"""

import argparse
import shutil
import sys
import tempfile
from pathlib import Path

from servers import Ensemble, bring_programs

# No client stays away for long enough to lose its session, however slow the machine; and nothing
# is compared that survives a crash, so nobody needs to wait for a disk.
# No container goes by itself, unless it is told to. And Java answers from a cache that misses the
# changes of quotas' stats.
NEVER_MS = "2000000000"
SETTINGS = {"tickTime": "2000", "minSessionTimeout": "30000", "maxSessionTimeout": "60000",
            "maxClientCnxns": "0", "forceSync": "no", "extendedTypesEnabled": "true",
            "enforceQuota": "true", "maxResponseCacheSize": "0",
            "znode.container.maxPerMinute": "6000000"}
IN_MEMORY = Path("/dev/shm")


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--zebu", type=Path, required=True)
    parser.add_argument("--cache", type=Path, required=True)
    parser.add_argument("--snapshot", type=Path, help="what both start from")
    parser.add_argument("--containers-ms", default=NEVER_MS, help="from one round of removals to the next")
    options = parser.parse_args()
    programs = bring_programs(options.zebu, options.cache)
    settings = {**SETTINGS, "znode.container.checkIntervalMs": options.containers_ms}
    where = IN_MEMORY if IN_MEMORY.is_dir() else None
    work = Path(tempfile.mkdtemp(prefix="zebu-differential-", dir=where))
    pair = [Ensemble(programs, [kind], work / kind, **settings) for kind in ("java", "zebu")]
    if options.snapshot:
        for ensemble in pair:
            store = ensemble.number(1).data / "version-2"
            store.mkdir()
            shutil.copy(options.snapshot, store)
    with pair[0] as java, pair[1] as zebu:
        print(java.number(1).client_port, zebu.number(1).client_port, flush=True)
        sys.stdin.read()
        ended = [s for s in (java.number(1), zebu.number(1)) if not s.running()]
    for server in ended:
        print(f"{server} ended with code {server.process.returncode}\n{server.tail()}",
              file=sys.stderr, flush=True)
    if ended:
        sys.exit(f"the servers' directories and logs are in {work}")
    shutil.rmtree(work, ignore_errors=True)


if __name__ == "__main__":
    main()
