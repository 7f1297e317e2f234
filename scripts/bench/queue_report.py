"""Turns the results of share groups into one line a cell, and into their part of
docs/performance.md."""

import os
import platform
from datetime import date

from report import median, table

BEGIN, END = "<!-- queue measured: begin -->", "<!-- queue measured: end -->"


def drain(row):
    """What the medians of a cell are, by name of the server."""
    def of(runs):
        return {
            "rate": median(runs, "records_per_second"),
            "cores": median([{"cores": run["server_cpu_s"] / run["seconds"]} for run in runs],
                            "cores"),
            "client": median([{"cores": run["client_cpu_s"] / run["seconds"]} for run in runs],
                             "cores"),
            "cpu": median([{"cpu": run["server_cpu_s"] / max(run["records"], 1) * 1e6}
                           for run in runs], "cpu"),
            "p50": median(runs, "round_trip", "p50_us") / 1000,
            "p99": median(runs, "round_trip", "p99_us") / 1000,
            "stall": max(run["stall_ms"] for run in runs),
        }
    return {name: of(runs) for name, runs in row["runs"].items()}


def drain_line(row):
    found = drain(row)
    ratel, kafka = found["ratel"], found["kafka"]
    return (f"queue {row['cell']}: {ratel['rate']:.0f} : {kafka['rate']:.0f} records/s "
            f"= {ratel['rate'] / kafka['rate']:.2f}, cores {ratel['cores']:.2f} : "
            f"{kafka['cores']:.2f}, client {ratel['client']:.2f} : {kafka['client']:.2f}, "
            f"cpu/million {ratel['cpu']:.2f} : {kafka['cpu']:.2f} s, round trip "
            f"{ratel['p50']:.2f}/{ratel['p99']:.2f} : {kafka['p50']:.2f}/{kafka['p99']:.2f} ms, "
            f"longest silence {ratel['stall']:.0f} : {kafka['stall']:.0f} ms")


def drain_rows(rows):
    for row in rows:
        found = drain(row)
        ratel, kafka = found["ratel"], found["kafka"]
        yield [row["cell"], f"{ratel['rate']:,.0f}", f"{kafka['rate']:,.0f}",
               f"**{ratel['rate'] / kafka['rate']:.2f}**",
               *(f"{of[key]:.2f}" for key in ("cores", "cpu") for of in (ratel, kafka)),
               *(f"{of['p50']:.2f} / {of['p99']:.2f}" for of in (ratel, kafka)),
               *(f"{of['stall']:.0f}" for of in (ratel, kafka))]


def latency(row):
    return {name: [median(runs, kind, key) / 1000 for kind in ("delivery", "acknowledgement")
                   for key in ("p50_us", "p99_us")] for name, runs in row["runs"].items()}


def latency_line(row):
    words = [f"{name} delivery {found[0]:.2f}/{found[1]:.2f}, acknowledgement "
             f"{found[2]:.2f}/{found[3]:.2f} ms" for name, found in latency(row).items()]
    return f"queue {row['cell']}: " + "; ".join(words)


def latency_rows(rows):
    for row in rows:
        for name, found in latency(row).items():
            yield [row["cell"], name, *(f"{value:.2f}" for value in found)]


def memory_rows(memory):
    for name, kinds in memory.items():
        for kind in ("ranges", "scattered"):
            found = kinds[kind]
            grown = found["after_kib"] - found["before_kib"]
            yield [name, kind, f"{found['leased']:,}", f"{grown / 1024:.1f}",
                   f"{kinds['ready_ms']:.0f}"]


def write(outcome, page):
    lines = [
        BEGIN, "",
        f"Measured on {date.today()}: {os.cpu_count()} cores, Linux {platform.release()}, both "
        "servers and the client on the same machine; medians; ratios are what to read.", "",
        *table(["cell", "ratel records/s", "Kafka records/s", "ratio", "ratel cores",
                "Kafka cores", "ratel CPU s per million", "Kafka CPU s per million",
                "ratel round trip p50 / p99, ms", "Kafka round trip p50 / p99, ms",
                "ratel longest silence, ms", "Kafka longest silence, ms"],
               drain_rows(outcome["drains"])),
        "", "From the moment a record was due to its delivery, and from an acknowledgement to its "
        "answer, in ms:", "",
        *table(["cell", "server", "delivery p50", "p99", "acknowledgement p50", "p99"],
               latency_rows(outcome["latencies"])),
        "", "Memory of leases that one member keeps, and the start after kill -9 with both:", "",
        *table(["server", "leases", "records leased", "MiB more", "ready again, ms"],
               memory_rows(outcome["memory"])),
        "", END,
    ]
    text = page.read_text()
    head, tail = text.split(BEGIN)[0], text.split(END)[-1]
    page.write_text(head + "\n".join(lines) + tail)
