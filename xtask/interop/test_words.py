"""Four-letter words, as monitoring reads them."""

import itertools
import re

from clients import area, client
from harness import alone, check, equal, shared

FIELDS = ["Zookeeper version:", "Latency min/avg/max:", "Received:", "Sent:", "Connections:",
          "Outstanding:", "Zxid: 0x", "Mode:", "Node count:"]
KEYS = ["zk_version", "zk_server_state", "zk_znode_count", "zk_watch_count", "zk_ephemerals_count",
        "zk_num_alive_connections", "zk_outstanding_requests", "zk_approximate_data_size"]


@shared(1, 3)
def words(_, ensemble):
    with area(ensemble, "words") as (zk, root):
        modes = []
        for server in ensemble.servers:
            equal(f"ruok of {server}", server.word("ruok"), "imok")
            equal("isro", server.word("isro").strip(), "rw")
            for word in ("srvr", "stat"):
                answer = server.word(word)
                missing = [f for f in FIELDS if not re.search(f"^{f}", answer, re.M)]
                equal(f"fields that {word} lacks", missing, [])
            check("stat lists clients", re.search(r"^Clients:", server.word("stat"), re.M) is not None)
            values = dict(line.split("\t", 1) for line in server.word("mntr").splitlines() if "\t" in line)
            equal("keys that mntr lacks", [k for k in KEYS if k not in values], [])
            equal("mntr agrees with srvr", values["zk_server_state"], server.mode())
            check("it counts its znodes", int(values["zk_znode_count"]) >= 4, values["zk_znode_count"])
            modes.append(server.mode())
        expected = ["standalone"] if len(modes) == 1 else ["follower", "follower", "leader"]
        equal("modes", sorted(modes), expected)


# What differs between any two servers.
DIFFERS = [
    (r"0x[0-9a-f]+", "HEX"), (r"\w{3} \w{3} \d\d \d\d:\d\d:\d\d UTC \d{4}", "DATE"),
    (r"(?m)^(Zookeeper version|zookeeper.version)([:=]).*", r"\1\2 VERSION"),
    (r"(data(?:Log)?Dir)=.*", r"\1=DIR"), (r"-?\d+\.\d+(?:E-?\d+)?", "N"), (r"(?<!\w)-?\d+", "N"),
]


def shape(answer: str) -> list[str]:
    """The lines of an answer with what differs blanked, repetitions once, connections in order."""
    for what, name in DIFFERS:
        answer = re.sub(what, name, answer)
    lines = []
    for is_conn, run in itertools.groupby(answer.splitlines(), lambda line: line.startswith(" /")):
        lines += sorted(set(run)) if is_conn else [line for line, _ in itertools.groupby(run)]
    return lines


def keys(server) -> set[str]:
    """mntr's keys; which server is which learner is chance."""
    found = (line.split("\t")[0] for line in server.word("mntr").splitlines())
    return {re.sub(r"_\d+_learner_", "_N_learner_", key) for key in found}


@alone
def words_are_shaped_as_javas(context):
    """Each word of a Java server and of ours, alone and of three, with one client that has a session,
    an ephemeral and watches."""
    for size in (1, 3):
        found = {}
        for kind in ("java", "zebu"):
            with context.ensemble(size, [kind] * size) as ensemble:
                roles = {s.mode(): s for s in ensemble.servers}
                for mode, server in sorted(roles.items()):
                    with client(server.host) as zk:
                        zk.create("/words", b"", ephemeral=True)
                        zk.get("/words", watch=print)
                        zk.exists("/elsewhere", watch=print)
                        zk.get_children("/", watch=print)
                        found[kind, mode] = {
                            # When two things expire together is chance.
                            word: shape(server.word(word)) if word != "dump" else
                            sorted(set(shape(server.word(word))))
                            for word in ("conf", "cons", "crst", "dirs", "dump", "gtmk", "isro",
                                         "ruok", "srvr", "stat", "wchc", "wchp", "wchs", "srst")}
                        found[kind, mode]["stmk"] = shape(server.word("stmk\0\0\0\0\0\0\0\x05"))
                        found[kind, mode, "mntr"] = keys(server)
                        found[kind, mode, "envi"] = [
                            line.split("=")[0] for line in server.word("envi").splitlines()]
        for mode in (["standalone"] if size == 1 else ["follower", "leader"]):
            for word, expected in found["java", mode].items():
                equal(f"{word} of a {mode}", found["zebu", mode][word], expected)
            missing = found["java", mode, "mntr"] - found["zebu", mode, "mntr"]
            equal(f"keys of Java's mntr that a {mode} lacks", sorted(missing), [])
            equal(f"envi of a {mode}", found["zebu", mode, "envi"], found["java", mode, "envi"])
