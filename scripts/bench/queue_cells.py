"""The cells of share groups: every one on every server in turn, A B A B.

Topics are filled once; every run is a new group that reads them from the beginning, so that there
are a million records and more behind what it leases."""

import time

import queue_report
from rows import rows, turns

# Topic: partitions, records of 100 bytes, records in a batch. A batch of 100 records is what
# Java's producer sends by default (16 KiB); one of 10,000 what librdkafka sends when it is in a
# hurry.
TOPICS = {
    "queue-1": (1, 4_000_000, 100),
    "queue-16": (16, 4_000_000, 100),
    "queue-large": (1, 8_000_000, 10_000),
}
QUEUE_ROUNDS = 2
# No cell begins after so many minutes.
QUEUE_MINUTES = 10
SECONDS = 3
WARM_SECONDS = 15


def counted(number, what):
    return f"{number} {what}" if number == 1 else f"{number} {what}s"


def drains():
    """(name, topic, arguments)"""
    for topic, partitions in (("queue-1", 1), ("queue-16", 16)):
        for members in (1, 8, 64):
            name = f"{counted(members, 'member')}, {counted(partitions, 'partition')}"
            yield name, topic, dict(members=members)
    for members in (1, 8, 64):
        yield (f"{counted(members, 'member')}, 1 partition, batches of 10,000", "queue-large",
               dict(members=members))
    # A head that nobody acknowledges, in every partition.
    yield "8 members, 1 partition, slow head", "queue-1", dict(members=8, hold=1, warm_ms=0)
    yield "64 members, 16 partitions, slow heads", "queue-16", dict(members=64, hold=16, warm_ms=0)


def latencies():
    for rate, members in ((1000, 1), (1000, 8), (10000, 8)):
        yield (f"{rate}/s, {counted(members, 'member')}",
               dict(rate=rate, members=members, seconds=4, bytes=100, linger=0))


class QueueBench:
    """Runs on a Bench whose servers are up."""

    def __init__(self, bench):
        self.bench = bench
        self.groups = 0
        self.end = time.monotonic() + 60 * QUEUE_MINUTES

    def group(self):
        self.groups += 1
        return f"group-{self.groups}"

    def fill(self):
        for server in self.bench.both:
            for topic, (partitions, records, batch) in TOPICS.items():
                self.bench.load(server, "create", topic=topic, partitions=partitions)
                self.bench.load(server, "produce", topic=topic, bytes=100, records=records,
                                acks="1", batch_records=batch)

    def warm(self, seconds):
        for server in self.bench.both:
            end = time.monotonic() + (seconds if server is self.bench.kafka else 1)
            while time.monotonic() < end:
                for topic in TOPICS:
                    self.drain(server, topic, dict(members=8))

    def drain(self, server, topic, arguments):
        wanted = dict(warm_ms=200, seconds=SECONDS, group=self.group()) | arguments
        records = TOPICS[topic][1] - wanted.get("hold", 0)
        return self.bench.load(server, "share-drain", topic=topic, records=records, **wanted)

    def latency(self, server, arguments):
        group = self.group()
        topic = f"tail-{group}"
        self.bench.load(server, "create", topic=topic, partitions=1)
        found = self.bench.load(server, "share-latency", topic=topic, group=group, **arguments)
        self.bench.delete(server, topic)
        return found

    def rows(self, cells, run, line):
        def runs(*arguments):
            return turns(self.bench.options.queue_rounds, self.bench.both,
                         lambda server: run(server, *arguments))
        return rows(cells, runs, line, self.end)

    def memory(self):
        """How much memory leases take: one member that keeps as many as the server lets it, in
        long ranges, and with every second record accepted."""
        for server, locks in ((self.bench.ratel, 1_000_000), (self.bench.kafka, 4000)):
            server.fresh()
            server.start()
            self.bench.load(server, "create", topic="leases", partitions=1)
            self.bench.load(server, "produce", topic="leases", bytes=10, records=1_100_000,
                            acks="1", batch_records=500)
            configs = f"share.partition.max.record.locks:{locks}"
            kinds = {}
            for kind, alternate, records in (("ranges", 0, locks), ("scattered", 1, locks // 2)):
                kinds[kind] = self.bench.load(
                    server, "share-lease", topic="leases", group=f"leases-{kind}", records=records,
                    alternate=alternate, configs=configs)
            began = time.monotonic()
            server.stop(9)
            server.start()
            kinds["ready_ms"] = (time.monotonic() - began) * 1000
            server.stop(9)
            print(f"queue leases {server.name}: {kinds}", flush=True)
            yield server.name, kinds

    def run(self, quick):
        self.fill()
        self.warm(2 if quick else WARM_SECONDS)
        some = (lambda cells: list(cells)[:1]) if quick else list
        return {
            "drains": self.rows(some(drains()), self.drain, queue_report.drain_line),
            "latencies": self.rows(some(latencies()), self.latency, queue_report.latency_line),
        }
