"""Starts Apache Kafka and ratel, lets the scenarios loose on both, and stops them."""

import argparse
import subprocess
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "bench"))
from servers import Kafka, Ratel  # noqa: E402

# What both get: small limits, so that scenarios reach them.
BOTH = [
    "group.share.max.size=3",
    "group.initial.rebalance.delay.ms=0",
    # Logs are cleaned as soon as a scenario says so.
    "log.cleaner.backoff.ms=100",
    "log.cleaner.threads=4",
]
# Kafka's bounds are wider apart here than a scenario has time for, and one node must do.
KAFKA = [
    "log.retention.ms=-1",
    "share.coordinator.state.topic.replication.factor=1",
    "share.coordinator.state.topic.min.isr=1",
    "share.coordinator.state.topic.num.partitions=4",
    "offsets.topic.num.partitions=4",
    "group.share.min.record.lock.duration.ms=1000",
    "group.share.min.session.timeout.ms=1000",
    "group.share.min.heartbeat.interval.ms=500",
    "group.consumer.min.assignment.interval.ms=0",
    "group.consumer.assignment.interval.ms=0",
    "group.consumer.assignor.offload.enable=false",
    "group.share.min.assignment.interval.ms=0",
    "group.share.assignment.interval.ms=0",
    "group.share.assignor.offload.enable=false",
]
# Kafka's retention of a compacted topic is its cleaner's business, and as frequent. What the other
# scenarios write is old, and stays.
RATEL = [
    "log.retention.check.interval.ms=1000",
    "log.retention.ms=-1",
]


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--ratel", required=True)
    parser.add_argument("--differential", required=True)
    parser.add_argument("--kafka", required=True)
    parser.add_argument("--work", required=True)
    parser.add_argument("names", nargs="*")
    options = parser.parse_args()
    servers = [
        Kafka(options.kafka, options.work, BOTH + KAFKA),
        Ratel(options.ratel, options.work, BOTH + RATEL),
    ]
    try:
        for server in servers:
            server.fresh()
            server.start()
        addresses = [f"{server.name}={server.servers}" for server in servers]
        return subprocess.call([options.differential, *addresses, *options.names])
    finally:
        for server in servers:
            if server.process is not None:
                server.stop()


sys.exit(main())
