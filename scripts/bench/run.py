"""The matrix: every cell on every server in turn, A B A B, so that drift hits both alike."""

import argparse
import json
import statistics
import subprocess
import sys
import time
from pathlib import Path

import queue_report
import report
from compaction_cells import compactions
from queue_cells import QUEUE_ROUNDS, QueueBench
from rebalance_cells import rebalances
from servers import Kafka, Ratel

ROUNDS = 3
# What to ask for to have the cells of share groups alone.
QUEUE = "queue"
REBALANCE = "rebalance"
COMPACTION = "compaction"
SIZES = {"1KiB": 1024, "10KiB": 10240, "100B": 100}
# Bytes of one run: enough to be past the client's start, little enough to stay in the page cache.
RUN_BYTES = {"100B": 200_000_000, "1KiB": 1_000_000_000, "10KiB": 1_500_000_000}


def cells():
    """(name, partitions, configs by server, steps). A step is (what, mode, arguments)."""
    for rate in (1000, 10000):
        for acks in ("1", "all"):
            yield (f"latency {rate}/s acks={acks}", 1, {}, [
                ("latency", "latency", dict(bytes=1024, rate=rate, seconds=5, acks=acks, linger=0)),
            ])
    records = RUN_BYTES["1KiB"] // 1024
    yield ("1KiB x 16 acks=all, flush.messages=1 on Kafka", 16, {"kafka": "flush.messages=1"}, [
        ("produce", "produce", dict(bytes=1024, records=records // 4, acks="all")),
    ])
    yield ("1KiB x 16 acks=all, 8 producers", 16, {}, [
        ("produce", "produce", dict(bytes=1024, records=records, acks="all", producers=8)),
    ])
    for size, size_bytes in SIZES.items():
        for partitions in (1, 16, 1000):
            for acks in ("all", "1"):
                records = RUN_BYTES[size] // size_bytes
                yield (f"{size} x {partitions} acks={acks}", partitions, {}, [
                    ("produce", "produce", dict(bytes=size_bytes, records=records, acks=acks)),
                    ("catch-up", "consume", dict(records=records)),
                ])
    for codec in ("lz4", "zstd"):
        yield (f"1KiB x 16 acks=all {codec}", 16, {}, [
            ("produce", "produce", dict(bytes=1024, records=250_000, acks="all", codec=codec)),
        ])
    for producers in (1, 16):
        for records in (1, 100):
            who = "1 producer" if producers == 1 else f"{producers} producers"
            yield (f"transactions of {records}, {who}", 16, {}, [
                ("transactions", "transactions",
                 dict(producers=producers, records=records, bytes=100, seconds=5)),
            ])
    # Every tenth transaction was aborted: 1,000,000 committed records are left.
    yield ("transactions, read_committed consumption", 16, {}, [
        ("write", "transactions",
         dict(producers=10, records=1000, bytes=100, count=111, abort_every=10)),
        ("read_committed", "consume", dict(records=1_000_000, isolation="read_committed")),
    ])


def touch_memory(arguments):
    """Have the system hold the pages that a run's files will need. On a virtual machine a page
    that nobody has touched costs its first user more than all a server does with it, and whoever
    comes second would look the better."""
    needed = 2 * arguments.get("bytes", 0) * arguments.get("records", 0)
    subprocess.run([sys.executable, "-c", f"b'x' * {needed}"], check=True)


class Bench:
    def __init__(self, options):
        self.options = options
        self.ratel = Ratel(options.ratel, options.work)
        self.kafka = Kafka(options.kafka, options.work)
        self.both = [self.ratel, self.kafka]
        self.results = []

    def load(self, server, mode, **arguments):
        words = [f"{key}={value}" for key, value in arguments.items()]
        cpu_before = server.cpu_s()
        done = subprocess.run(
            [self.options.load, mode, f"servers={server.servers}", f"pid={server.pid}", *words],
            capture_output=True, text=True, timeout=600)
        if done.returncode != 0:
            raise RuntimeError(f"{server.name}: load {mode} {words}: {done.stderr.strip()}")
        return json.loads(done.stdout) | {"server_cpu_s": server.cpu_s() - cpu_before}

    def warm(self, seconds):
        """A JVM is slow until it has compiled what is hot."""
        for server in self.both:
            self.load(server, "create", topic="warm", partitions=16)
            end = time.monotonic() + (seconds if server is self.kafka else 1)
            while time.monotonic() < end:
                self.load(server, "produce", topic="warm", bytes=1024, records=300_000, acks="all")
                self.load(server, "consume", topic="warm", records=300_000)
            self.delete(server, "warm")

    def delete(self, server, topic):
        self.admin(server, "org.apache.kafka.tools.TopicCommand", "--delete", "--topic", topic)

    def admin(self, server, main, *words):
        subprocess.run(
            ["java", "-cp", self.kafka.classes, main, "--bootstrap-server", server.servers, *words],
            check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)

    def run_cell(self, name, partitions, configs, steps):
        row = {"cell": name, "steps": {}}
        for turn in range(self.options.rounds):
            for server in self.both:
                topic = f"cell-{turn}"
                self.load(server, "create", topic=topic, partitions=partitions)
                if server.name in configs:
                    self.admin(server, "kafka.admin.ConfigCommand", "--alter",
                               "--entity-type", "topics", "--entity-name", topic,
                               "--add-config", configs[server.name])
                for what, mode, arguments in steps:
                    touch_memory(arguments)
                    server.reset_peak()
                    outcome = self.load(server, mode, topic=topic, **arguments)
                    row["steps"].setdefault(what, {}).setdefault(server.name, []).append(outcome)
                self.delete(server, topic)
        self.results.append(row)
        print(report.line(row), flush=True)

    def ready(self):
        """Seconds from start to the first answer, on an empty directory; idle memory."""
        for server in self.both:
            times, memory = [], []
            for _ in range(self.options.rounds):
                server.fresh()
                times.append(server.start())
                time.sleep(3)
                memory.append(server.rss_mib())
                server.stop()
            print(f"{server.name}: ready in {statistics.median(times) * 1000:.0f} ms, "
                  f"idle {statistics.median(memory):.1f} MiB", flush=True)
            yield server.name, {"ready_ms": [t * 1000 for t in times], "idle_mib": memory}

    def restart(self, gigabytes):
        """Start-up with a large log, after a clean stop and after kill -9."""
        for server in self.both:
            server.fresh()
            server.start()
            self.load(server, "create", topic="large", partitions=16)
            self.load(server, "produce", topic="large", bytes=10240,
                      records=gigabytes * 1_000_000_000 // 10240, acks="all")
            server.stop()
            clean = server.start()
            self.load(server, "produce", topic="large", bytes=10240, records=20_000, acks="1")
            server.stop(9)
            killed = server.start()
            server.stop()
            print(f"{server.name}: start with {gigabytes} GB: {clean * 1000:.0f} ms after a clean "
                  f"stop, {killed * 1000:.0f} ms after kill -9", flush=True)
            yield server.name, {"clean_ms": clean * 1000, "killed_ms": killed * 1000}
            server.fresh()

    def run(self):
        only = self.options.only
        wanted = [cell for cell in cells() if not only or any(word in cell[0] for word in only)]
        with_queue = not only or QUEUE in only
        with_rebalance = not only or REBALANCE in only
        with_compaction = not only or COMPACTION in only
        if self.options.quick:
            wanted = [cell for cell in wanted if cell[0] in
                      ("1KiB x 16 acks=all", "latency 1000/s acks=all")] or wanted[:2]
        start = dict(self.ready())
        end = time.monotonic() + 60 * self.options.minutes
        try:
            for server in self.both:
                server.fresh()
                server.start()
            if wanted:
                self.warm(5 if self.options.quick else 30)
            for name, partitions, configs, steps in wanted:
                if time.monotonic() > end:
                    print(f"not measured, the time is over: {name}", flush=True)
                    continue
                self.run_cell(name, partitions, configs, steps)
            found = rebalances(self) if with_rebalance else None
            queue = QueueBench(self).run(self.options.quick) if with_queue else None
        finally:
            for server in self.both:
                server.stop(9)
        if queue and not self.options.quick:
            queue["memory"] = dict(QueueBench(self).memory())
        compacted = compactions(self, end) if with_compaction else None
        large = {} if self.options.quick or only else dict(self.restart(self.options.gigabytes))
        limits = Path(self.options.work, "limits.txt")
        floor = limits.read_text() if limits.exists() else ""
        return {"start": start, "large": large, "cells": self.results, "floor": floor,
                "rebalance": found, "queue": queue, "compaction": compacted}


def main():
    parser = argparse.ArgumentParser()
    for name in ("ratel", "load", "kafka", "work"):
        parser.add_argument(f"--{name}", required=True)
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--only", action="append")
    parser.add_argument("--rounds", type=int,
                        help=f"of each cell: {ROUNDS}, and {QUEUE_ROUNDS} of the queue's")
    parser.add_argument("--gigabytes", type=int, default=10, help="of log, to start with")
    parser.add_argument("--minutes", type=float, default=90, help="begin no cell after these")
    options = parser.parse_args()
    if options.quick:
        options.rounds = 1
    options.queue_rounds = options.rounds or QUEUE_ROUNDS
    options.rounds = options.rounds or ROUNDS
    outcome = Bench(options).run()
    Path(options.work, "results.json").write_text(json.dumps(outcome, indent=1))
    if not options.quick and not options.only:
        report.write(outcome, Path("docs"))
        print("written: docs/performance.md")
    if not options.quick and outcome["queue"]:
        queue_report.write(outcome["queue"], Path("docs/performance.md"))
        print("written: the queue's part of docs/performance.md")


if __name__ == "__main__":
    main()
