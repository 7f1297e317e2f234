"""Transactions through kafka-python: commit, abort, offsets of a group, fencing."""

import sys

import kafka
from kafka import KafkaConsumer, KafkaProducer, TopicPartition
from kafka.errors import KafkaError
from kafka.structs import OffsetAndMetadata

bootstrap, name = sys.argv[1:]
source, target, group = f"{name}-source", f"{name}-target", f"{name}-group"


def expect(what, actual, expected):
    if actual != expected:
        sys.exit(f"{what}: expected {expected!r}, got {actual!r}")


def transactional():
    made = KafkaProducer(bootstrap_servers=bootstrap, transactional_id=name)
    made.init_transactions()
    return made


def read(topic, isolation):
    consumer = KafkaConsumer(bootstrap_servers=bootstrap, isolation_level=isolation,
                             consumer_timeout_ms=2000, enable_auto_commit=False)
    consumer.assign([TopicPartition(topic, 0)])
    consumer.seek_to_beginning()
    values = [record.value.decode() for record in consumer]
    consumer.close()
    return values


def main():
    print(f"kafka-python {kafka.__version__}")
    plain = KafkaProducer(bootstrap_servers=bootstrap)
    for number in range(50):
        plain.send(source, str(number).encode(), partition=0)
    plain.flush()
    plain.close()
    worker = transactional()
    worker.begin_transaction()
    for number in range(10):
        worker.send(target, b"kept %d" % number, partition=0)
    worker.commit_transaction()
    worker.begin_transaction()
    for number in range(10):
        worker.send(target, b"dropped %d" % number, partition=0).get(timeout=20)
    worker.abort_transaction()
    kept = [f"kept {number}" for number in range(10)]
    expect("committed", read(target, "read_committed"), kept)
    expect("uncommitted", len(read(target, "read_uncommitted")), 20)
    print("ok commit and abort")

    partition = TopicPartition(source, 0)
    consumer = KafkaConsumer(source, bootstrap_servers=bootstrap, group_id=group,
                             enable_auto_commit=False, auto_offset_reset="earliest",
                             isolation_level="read_committed", max_poll_records=20)
    moved = 0
    while moved < 50:
        for records in consumer.poll(timeout_ms=1000).values():
            worker.begin_transaction()
            for record in records:
                worker.send(target, b"moved " + record.value, partition=0)
            offset = OffsetAndMetadata(records[-1].offset + 1, "", -1)
            worker.send_offsets_to_transaction({partition: offset}, group)
            worker.commit_transaction()
            moved += len(records)
    expect("the group's offset", consumer.committed(partition), 50)
    consumer.close()
    expect("moved", read(target, "read_committed"),
           kept + [f"moved {number}" for number in range(50)])
    print("ok consume, transform, produce, with the group's offsets in the transaction")

    second = transactional()
    try:
        worker.begin_transaction()
        worker.send(target, b"fenced", partition=0).get(timeout=20)
        worker.commit_transaction()
        sys.exit("the older producer was not fenced")
    except KafkaError:
        pass
    second.begin_transaction()
    second.send(target, b"second", partition=0)
    second.commit_transaction()
    expect("last", read(target, "read_committed")[-1], "second")
    expect("fenced", "fenced" in read(target, "read_committed"), False)
    print("ok a younger producer of the same id fences the older")


main()
