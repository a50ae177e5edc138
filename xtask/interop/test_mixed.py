"""One ensemble of both kinds: two Java servers and one of ours."""

from clients import client, tree
from harness import alone, check, equal, note, wait_until

# Its content names the ensemble's version, which each kind of server may word in its own way.
SKIP = ("/zookeeper/config",)


def lives_with_java(context, ours: int) -> None:
    """Elects, writes through each server, loses and regains each in turn, ends with equal trees."""
    kinds = ["java"] * 3
    kinds[ours - 1] = context.kind
    with context.ensemble(3, kinds) as ensemble:
        def roles() -> dict[str, str]:
            return {str(s): s.mode() for s in ensemble.servers}

        note(f"roles: {roles()}")
        equal("one leads", sorted(roles().values()), ["follower", "follower", "leader"])
        write_through_each(ensemble, "start")
        for victim in ensemble.servers:
            was = victim.mode()
            victim.kill()
            rest = [s for s in ensemble.servers if s is not victim]
            wait_until("the other two serve", lambda: sorted(s.mode() for s in rest) == ["follower", "leader"], 60)
            write_through_each(ensemble, f"without{victim.number}")
            victim.start().wait_serving()
            check(f"{victim}, killed as {was}, is back", True)
            note(f"roles: {roles()}")
            write_through_each(ensemble, f"after{victim.number}")
            compare_trees(ensemble)


def write_through_each(ensemble, label: str) -> None:
    for server in ensemble.servers:
        if not server.running():
            continue
        with client(server.host) as zk:
            root = f"/{label}-{server.number}"
            zk.create(root, label.encode())
            for i in range(20):
                zk.create(f"{root}/n-", b"%d" % i, sequence=True)
            zk.create(f"{root}/eph", ephemeral=True)
            t = zk.transaction()
            t.create(f"{root}/multi", b"m")
            t.set_data(root, b"set")
            t.delete(f"{root}/n-0000000003")
            t.commit()
            failing = zk.transaction()
            failing.create(f"{root}/never", b"")
            failing.check(root, 99)
            failing.commit()
            zk.set_acls(f"{root}/multi", zk.get_acls(root)[0])
    running = [s for s in ensemble.servers if s.running()]
    check(f"writes through each of {len(running)} servers ({label})", True)


def compare_trees(ensemble) -> None:
    trees = []
    for server in ensemble.servers:
        with client(server.host) as zk:
            zk.sync("/")
            trees.append(tree(zk, skip=SKIP))
    for server, other in zip(ensemble.servers[1:], trees[1:]):
        paths = sorted(trees[0].keys() | other.keys())
        differing = [(p, trees[0].get(p), other.get(p)) for p in paths if trees[0].get(p) != other.get(p)]
        equal(f"nodes of {len(paths)} that differ between {ensemble.servers[0]} and {server}", differing, [])


@alone
def as_the_greatest_id(context):
    """Ours wins the first election."""
    lives_with_java(context, ours=3)


@alone
def as_the_least_id(context):
    """Ours follows first."""
    lives_with_java(context, ours=1)


@alone
def replaced_one_by_one(context):
    """A Java ensemble becomes ours by a rolling replacement, on the same directories, and goes back."""
    with context.ensemble(3, ["java"] * 3) as ensemble, client(ensemble.hosts) as zk:
        zk.create("/e", b"", ephemeral=True)
        session = zk.client_id[0]
        for kind in (context.kind, "java"):
            for server in ensemble.servers:
                server.terminate()
                server.kind = kind
                server.start().wait_serving()
                zk.retry(zk.create, f"/{kind}-{server.number}-", b"x", sequence=True)
            equal(f"all three are {kind} now", sorted(s.mode() for s in ensemble.servers),
                  ["follower", "follower", "leader"])
            compare_trees(ensemble)
        equal("the client's session lived through it", zk.client_id[0], session)
        equal("with its ephemeral", zk.retry(zk.exists, "/e").ephemeralOwner, session)
