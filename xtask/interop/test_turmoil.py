"""Five servers under load that are never left alone: they are killed, one or all, and stopped for a
while, and ours leave, come back with or without what they had, and change their role, often while
the leader dies. Afterwards every server has the same tree, with all that was acknowledged.

Each of it happens ZEBU_TURMOIL_ROUNDS times to an ensemble, as ZEBU_TURMOIL_SEED says.
"""

import os
import random
import shutil
import time

from clients import client
from harness import alone, check, note, wait_until
from kazoo.exceptions import ReconfigInProcessError
from load import SESSION_S, UNKNOWN, Load
from servers import TICK_MS, Server
from test_mixed_kill import SETTINGS, Course
from test_reconfig import line

ROUNDS = int(os.environ.get("ZEBU_TURMOIL_ROUNDS", "2"))
SEED = int(os.environ.get("ZEBU_TURMOIL_SEED", random.SystemRandom().randrange(1 << 32)))
# After so many seconds a server that is stopped is missed.
SYNC_S = 2
CHANGING = {**SETTINGS, "syncLimit": str(SYNC_S * 1000 // TICK_MS),
            "reconfigEnabled": "true", "skipACL": "yes"}
# How far a reconfiguration may have got when the leader dies.
STRIKE_S = 0.02


class Turmoil(Course):
    def wait_serving(self) -> None:
        for s in self.servers:
            if s.awake():
                s.wait_serving()

    def roles(self, server: Server) -> dict[int, str]:
        """Who is in the ensemble, as a client of that server is told."""
        with client(server.host, timeout=SESSION_S) as zk:
            zk.retry(zk.sync, "/")
            text = zk.retry(zk.get, "/zookeeper/config")[0].decode()
        entries = [entry.split("=", 1) for entry in text.splitlines() if entry.startswith("server.")]
        return {int(name.split(".")[1]): rest.split(";")[0].split(":")[-1] for name, rest in entries}

    def stop_one(self) -> None:
        """SIGSTOP, sometimes for longer than the others wait."""
        leader = self.leader()
        victim = leader if self.random.random() < 0.5 else self.random.choice(self.servers)
        victim.pause()
        if victim is leader:
            self.leader()
        self.load.wait_progress(f"while {victim} is stopped")
        time.sleep(self.random.uniform(0, 1.5 * SYNC_S))
        victim.resume()
        self.wait_serving()
        check(f"{victim} was stopped{' and led' * (victim is leader)}", True)

    def back_at_once(self) -> None:
        """The leader and others, or all, begin anew while those who are left elect."""
        leader = self.leader()
        others = [s for s in self.servers if s is not leader]
        victims = [leader, *self.random.sample(others, self.random.randint(1, len(others)))]
        for s in victims:
            s.kill()
        for s in victims:
            s.start()
        self.wait_serving()
        check(f"{len(victims)} began anew", True)

    def leave_and_return(self) -> None:
        """A leader that leaves hands over."""
        leader = self.leader()
        victim = leader if self.random.random() < 0.5 else self.random.choice(self.servers)
        self.change(victim, None)
        victim.kill()
        self.load.wait_progress(f"without {victim}")
        kept = self.random.random() < 0.5
        if not kept:
            shutil.rmtree(victim.data)
        victim.configure()
        victim.start().wait_serving()
        self.change(victim, "participant")
        check(f"{victim} came back with {'what it had' if kept else 'nothing'}", True)

    def observe_for_a_while(self) -> None:
        victim = self.random.choice(self.servers)
        self.change(victim, "observer")
        self.load.wait_progress(f"while {victim} observes")
        self.change(victim, "participant")
        check(f"{victim} observed for a while", True)

    def change(self, victim: Server, role: str | None) -> None:
        """`victim` has this role, or leaves; all the others know."""
        struck = self.random.random() < 0.5
        if struck:
            self.ask(victim, role, self.leader())
        others = [s for s in self.servers if s is not victim]

        def is_so() -> bool:
            if all(self.roles(s).get(victim.number) == role for s in others):
                return True
            self.ask(victim, role, None)
            return False

        wait_until(f"{victim} is {role or 'removed'}", is_so, 60)
        check(f"{victim} is {role or 'removed'}{', the leader having died' * struck}", True)

    def ask(self, victim: Server, role: str | None, dies: Server | None) -> None:
        """Nobody is told what came of it if the leader dies."""
        through = self.random.choice([s for s in self.servers if s is not victim])
        what = {"joining": line(self.ensemble, victim, role) if role else None,
                "leaving": None if role else str(victim.number)}
        with client(through.host, timeout=SESSION_S) as zk:
            answer = zk.reconfig_async(**what, new_members=None, from_config=-1)
            if dies:
                time.sleep(self.random.uniform(0, STRIKE_S))
                dies.kill()
            try:
                answer.get(timeout=60)
            except (*UNKNOWN, ReconfigInProcessError) as error:
                note(f"{what} through {through}: {error!r}")
        if dies:
            self.leader()
            if dies is not victim or role:
                dies.start()
            self.wait_serving()


def turmoil(context, kinds: list[str], *more: str) -> None:
    note(f"ZEBU_TURMOIL_SEED={SEED}")
    with context.ensemble(5, kinds, **CHANGING) as ensemble, Load(ensemble, SEED, roaming=0) as load:
        run = Turmoil(ensemble, load, SEED)
        acts = [getattr(run, name) for name in ("kill_leader", "stop_one", "back_at_once", *more)]
        load.wait_progress("at first")
        for act in [act for _ in range(ROUNDS) for act in run.random.sample(acts, len(acts))]:
            begun = time.monotonic()
            act()
            load.wait_progress("afterwards")
            note(f"{time.monotonic() - begun:.1f} s")
        everybody = {s.number: "participant" for s in ensemble.servers}
        wait_until("all are back", lambda: all(run.roles(s) == everybody for s in ensemble.servers))
        run.compare()
        note(load.summary())


@alone
def ours(context):
    turmoil(context, ["zebu"] * 5, "leave_and_return", "observe_for_a_while")


@alone
def beside_java(context):
    turmoil(context, ["java", "zebu", "java", "zebu", "zebu"])
