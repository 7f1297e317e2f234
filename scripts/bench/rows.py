"""The loop over cells that every table of measurements has."""

import time


def rows(cells, runs, line, end):
    """A row for each cell that works, from what `runs` gives for its arguments. No cell begins
    after `end`."""
    found = []
    for name, *arguments in cells:
        if time.monotonic() > end:
            print(f"not measured, the time is over: {name}", flush=True)
            continue
        try:
            row = {"cell": name, "runs": runs(*arguments)}
        except RuntimeError as failed:
            print(f"not measured: {name}: {failed}", flush=True)
            continue
        found.append(row)
        print(line(row), flush=True)
    return found


def turns(rounds, servers, run):
    """What a run gives, by server: A B A B."""
    found = {}
    for _ in range(rounds):
        for server in servers:
            found.setdefault(server.name, []).append(run(server))
    return found
