"""A Java ensemble becomes ours, one server at a time in the same directories, and Java's again, under
load all the way: every acknowledged write is there, no session ends, no ephemeral is missed by anybody,
and each watch fires once, for a change, before the change is seen."""

import os
import random
import re

from harness import alone, check, equal, note, wait_until
from load import SESSION_S, Load
from servers import OLDER, Server
from test_mixed_kill import Course
from watcher import Watcher

SEED = int(os.environ.get("ZEBU_ROLLING_SEED", random.SystemRandom().randrange(1 << 32)))
SETTINGS = {"snapCount": "2000", "preAllocSize": "1024", "maxSessionTimeout": "60000", "maxClientCnxns": "0"}


def replace(server: Server, kind: str, load: Load) -> None:
    """Everybody else goes on; the one that comes keeps myid, zoo.cfg and data."""
    was = f"{server}, {server.mode()},"
    server.terminate()
    load.wait_progress(f"without {server}")
    server.kind = kind
    server.start().wait_serving()
    load.wait_progress(f"with {server}")
    check(f"{was} is replaced by one of {kind}: {server.mode()}", True)


def replace_all(kind: str, ensemble, load: Load, watchers: list[Watcher], draw: random.Random) -> None:
    """In any order: sooner or later each one is the leader."""
    for server in draw.sample(ensemble.servers, len(ensemble.servers)):
        replace(server, kind, load)
        equal("watchers that went wrong", [w.error for w in watchers if w.error], [])
    equal(f"all are {kind}'s", sorted(s.mode() for s in ensemble.servers),
          ["follower"] * (len(ensemble.servers) - 1) + ["leader"])


def to_ours_and_back(context, java: str) -> None:
    note(f"ZEBU_ROLLING_SEED={SEED}")
    draw = random.Random(SEED)
    with (context.ensemble(3, [java] * 3, **SETTINGS) as ensemble,
          Load(ensemble, SEED, roaming=3) as load):
        ports = [s.client_port for s in ensemble.servers]
        watchers = [Watcher(draw.sample(ports, len(ports)), w.counter, SESSION_S) for w in load.writers]
        for w in watchers:
            w.start()
        try:
            load.wait_progress("at first")
            for kind in (context.kind, java):
                replace_all(kind, ensemble, load, watchers, draw)
                Course(ensemble, load, SEED).compare()
            load.pause()
            for w, writer in zip(watchers, load.writers):
                last = writer.values.acknowledged
                wait_until(f"the watcher of {w.path} has seen {last}",
                           lambda w=w, last=last: w.error is not None or w.value >= last and w.armed is not None)
        finally:
            for w in watchers:
                w.over.set()
            for w in watchers:
                w.join(20)
        equal("watchers that went wrong", [w.error for w in watchers if w.error], [])
        note(load.summary())
        for w in watchers:
            note(f"watch of {w.path}: over {w.connections} connections it fired {w.fired} times, while "
                 f"{w.value} numbers were written")
        check("every watch fired", all(w.fired > 0 for w in watchers))
        check("and was brought to another server", all(w.connections > 1 for w in watchers))
        expired = [line for s in ensemble.servers for line in s.log_lines()
                   if re.search("session 0x[0-9a-f]+ expired|Expiring session", line, re.I)]
        equal("sessions that a server ended", expired, [])


@alone
def to_ours_and_back_under_load(context):
    to_ours_and_back(context, "java")


@alone
def from_3_8_to_ours_and_back_under_load(context):
    with context.ensemble(1, [OLDER]) as one:
        version = one.number(1).word("srvr").splitlines()[0]
        check(f"{OLDER} is {version}", "version: 3.8." in version)
    to_ours_and_back(context, OLDER)
