"""An ensemble that a program steers line by line, for `cargo xtask failover`.

    steered.py --kind zebu|java --size N --tick MS --zebu BINARY --cache DIR

Prints `ports P1 P2 ...` when all serve. Then each line on standard input is carried out and answered
with one line:

    leader      `ok N`: the number of the one that leads, when all serve
    kill N      kill -9
    stop N      SIGSTOP
    start N     ended first if it still runs; `ok` when all serve

Everything ends when standard input does.
"""

import argparse
import os
import shutil
import sys
import tempfile
from pathlib import Path

from servers import Ensemble, bring_programs


def settings(tick_ms: int) -> dict[str, str]:
    """Those of upstream's zoo_sample.cfg."""
    return {"tickTime": str(tick_ms), "initLimit": "10", "syncLimit": "5", "maxClientCnxns": "0"}


def carry_out(ensemble: Ensemble, line: str) -> str:
    command, *numbers = line.split()
    if command == "leader":
        ensemble.wait_serving()
        return f"ok {ensemble.leader().number}"
    server = ensemble.number(int(numbers[0]))
    if command == "kill":
        server.kill()
    elif command == "stop":
        server.pause()
    elif command == "start":
        server.kill()
        server.start()
        ensemble.wait_serving()
    else:
        return f"no such command: {line}"
    return "ok"


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--kind", choices=["zebu", "java"], required=True)
    parser.add_argument("--size", type=int, default=3)
    parser.add_argument("--tick", type=int, default=2000)
    parser.add_argument("--zebu", type=Path, required=True)
    parser.add_argument("--cache", type=Path, required=True)
    options = parser.parse_args()
    programs = bring_programs(options.zebu, options.cache)
    work = Path(tempfile.mkdtemp(prefix=f"zebu-failover-{options.kind}-"))
    kinds = [options.kind] * options.size
    try:
        with Ensemble(programs, kinds, work, **settings(options.tick)) as ensemble:
            print("ports", *(s.client_port for s in ensemble.servers), flush=True)
            for line in sys.stdin:
                try:
                    answer = carry_out(ensemble, line.strip())
                except AssertionError as error:
                    answer = "failed: " + str(error).replace("\n", " | ")
                print(answer, flush=True)
            # That all is well at the end is no answer.
            sys.stdout = open(os.devnull, "w")
    finally:
        shutil.rmtree(work, ignore_errors=True)


if __name__ == "__main__":
    main()
