"""Four-letter words, as monitoring reads them."""

import re

from clients import area
from harness import check, equal, shared

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
