"""Rebalances of large groups: one more member joins a steady group, on every server in turn."""

import statistics

# Members, then partitions.
SIZES = ((100, 200),)
ROUNDS = 5


def rebalance(bench, server, protocol, members, partitions):
    topic = f"rebalance-{protocol}-{members}"
    bench.load(server, "create", topic=topic, partitions=partitions)
    run = bench.load(server, f"rebalance-{protocol}", topic=topic, group=topic, members=members,
                     rounds=ROUNDS)
    return {"ms": run["ms"], "server_cpu_s": run["server_cpu_s"]}


def rebalances(bench):
    """The time until the group is steady again, in milliseconds, by protocol and server."""
    found = []
    for members, partitions in SIZES:
        for protocol in ("classic", "new"):
            try:
                times = {server.name: rebalance(bench, server, protocol, members, partitions)
                         for server in bench.both}
            except RuntimeError as failed:
                print(f"not measured: rebalance, {protocol}: {failed}", flush=True)
                continue
            found.append({"protocol": protocol, "members": members, "servers": times})
            shown = ", ".join(
                f"{name} {statistics.median(one['ms']):.0f} ms ({one['server_cpu_s']:.2f} s CPU)"
                for name, one in times.items())
            print(f"rebalance of {members} members, {protocol}: {shown}", flush=True)
    return found
