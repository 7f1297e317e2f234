"""The story through kafka-python."""

import time

import kafka
from kafka import KafkaAdminClient, KafkaConsumer, KafkaProducer, TopicPartition
from kafka.admin import ConfigResource, OffsetSpec
from kafka.structs import OffsetAndMetadata

from story import (PARTITIONS, Record, Story, bootstrap, check_log, expect, fail, make_records,
                   wait_until)

CODECS = [None, "gzip", "snappy", "lz4", "zstd"]

story = Story("kafka-python")
servers = {"bootstrap_servers": bootstrap()}
admin = KafkaAdminClient(**servers)


def create(topic, partitions=PARTITIONS, **configs):
    admin.create_topics({topic: {"num_partitions": partitions, "replication_factor": 1,
                                 "configs": configs}})


def produce(topic, records, **settings):
    producer = KafkaProducer(**servers, linger_ms=5, **settings)
    sent = [producer.send(topic, key=key, value=value, headers=headers)
            for key, value, headers in records]
    producer.flush(30)
    for future in sent:
        future.get(timeout=30)
    producer.close()


def consumer(group, **settings):
    return KafkaConsumer(**servers, group_id=group, auto_offset_reset="earliest",
                         enable_auto_commit=False, session_timeout_ms=10000,
                         heartbeat_interval_ms=500, **settings)


def poll(reader, milliseconds=500, count=500):
    # kafka-python 3.0.12 now and then ends up without partitions when a poll's time runs out
    # within a join, so each has the time that a join takes.
    polled = reader.poll(timeout_ms=milliseconds, max_records=count)
    return [Record(r.partition, r.offset, r.key, r.value, r.headers)
            for records in polled.values() for r in records]


def read(reader, count, seconds=30):
    """`count` records, and then nothing for a moment."""
    seen = []
    deadline = time.monotonic() + seconds
    while len(seen) < count:
        if time.monotonic() > deadline:
            fail(f"{len(seen)} records of {count} within {seconds} s")
        seen += poll(reader)
    return seen + poll(reader, 300)


def read_all(topic, count, partitions=PARTITIONS):
    reader = consumer(None)
    reader.assign([TopicPartition(topic, p) for p in range(partitions)])
    seen = read(reader, count)
    reader.close()
    return seen


def codecs():
    for codec in CODECS:
        name = codec or "none"
        topic = story.topic(name)
        create(topic)
        sent = list(make_records(name))
        # A retry must not overtake, which only idempotence promises for more in flight.
        produce(topic, sent, compression_type=codec, enable_idempotence=False,
                max_in_flight_requests_per_connection=1)
        check_log(name, read_all(topic, len(sent)), sent)
        story.ok(f"produce and consume, {name}")


def idempotent():
    topic = story.topic("idempotent")
    create(topic)
    sent = list(make_records("idempotent", 1000))
    produce(topic, sent, enable_idempotence=True, batch_size=2000)
    check_log("idempotent", read_all(topic, len(sent)), sent)
    story.ok("idempotent produce")


def group_rebalance():
    topic, group = story.topic("group"), story.topic("members")
    create(topic)
    members, seen = [], []

    def join():
        members.append(consumer(group))
        members[-1].subscribe([topic])

    def shares(*expected):
        """Let every member poll; whether they hold so many partitions."""
        for member in members:
            seen.extend(poll(member))
        return [len(member.assignment()) for member in members] == list(expected)

    sent = list(make_records("group"))
    produce(topic, sent)
    join()
    wait_until("one member reads all", 30,
               lambda: shares(PARTITIONS) and len(seen) == len(sent))
    members[0].commit()
    join()
    wait_until("two members share the partitions", 30, lambda: shares(2, 2))
    more = list(make_records("more"))
    produce(topic, more)
    wait_until("two members read what follows", 30,
               lambda: shares(2, 2) and len(seen) >= len(sent) + len(more))
    check_log("both members together", sorted(seen, key=lambda r: (r.partition, r.offset)),
              sent + more)
    leaving = members.pop()
    leaving.commit()
    leaving.close()
    wait_until("the one that stays has all again", 30, lambda: shares(PARTITIONS))
    members[0].close()
    story.ok("a group of two rebalances")


def commit_and_resume():
    topic, group = story.topic("resume"), story.topic("resumes")
    create(topic, 1)
    sent = list(make_records("resume"))
    produce(topic, sent)
    partition = TopicPartition(topic, 0)
    reader = consumer(group)
    reader.subscribe([topic])
    seen = []
    while len(seen) < 120:
        seen += poll(reader, count=120 - len(seen))
    reader.commit({partition: OffsetAndMetadata(120, "half-way", -1)})
    reader.close()
    reader = consumer(group)
    held = reader.committed(partition, metadata=True)
    expect("committed", (held.offset, held.metadata), (120, "half-way"))
    reader.subscribe([topic])
    check_log("before and after", seen + read(reader, 80), sent)
    reader.close()
    story.ok("commit and resume")


def offsets_by_time():
    topic = story.topic("time")
    create(topic, 1)
    base = int(time.time() * 1000) - 3_600_000
    producer = KafkaProducer(**servers)
    for number in range(100):
        producer.send(topic, str(number).encode(), timestamp_ms=base + number * 1000)
    producer.flush(30)
    producer.close()
    partition = TopicPartition(topic, 0)
    reader = consumer(None)
    for ask, offset in [(0, 0), (41_000, 41), (41_001, 42), (99_000, 99), (99_001, None)]:
        found = reader.offsets_for_times({partition: base + ask})[partition]
        expect(f"the offset at {ask} ms", found and found.offset, offset)
    expect("beginning", reader.beginning_offsets([partition]), {partition: 0})
    expect("end", reader.end_offsets([partition]), {partition: 100})
    reader.close()
    found = admin.list_partition_offsets({partition: OffsetSpec.MAX_TIMESTAMP})[partition]
    expect("max timestamp", (found.offset, found.timestamp), (99, base + 99_000))
    story.ok("offsets by timestamp")


def config_of(topic, name):
    resource = ConfigResource("topic", topic, {name: None})
    return admin.describe_configs([resource], config_filter="all")["topic"][topic][name]["value"]


def administration():
    topic, group = story.topic("admin"), story.topic("admins")
    create(topic, 2, **{"retention.ms": "123456789"})
    expect("nodes", len(admin.describe_cluster()["brokers"]), 1)
    expect("retention.ms", config_of(topic, "retention.ms"), "123456789")
    admin.alter_configs([ConfigResource("topic", topic, {"retention.ms": "7200000",
                                                         "segment.bytes": "2097152"})])
    expect("retention.ms", config_of(topic, "retention.ms"), "7200000")
    expect("segment.bytes", config_of(topic, "segment.bytes"), "2097152")
    admin.create_partitions({topic: 3})
    wait_until("three partitions", 10, lambda: len(
        admin.describe_topics([topic])[0]["partitions"]) == 3)
    deletion(topic, group)
    story.ok("admin: describe, alter, grow, delete")


def deletion(topic, group):
    produce(topic, list(make_records("admin", 90)))
    reader = consumer(group)
    reader.subscribe([topic])
    read(reader, 90)
    reader.commit()
    described = admin.describe_groups([group])[group]
    expect("group state", (described["group_state"], len(described["members"])), ("Stable", 1))
    reader.close()
    offsets = admin.list_group_offsets([group])[group]
    expect("committed in all", sum(held.offset for held in offsets.values()), 90)
    expect("the group is listed", group in [g["group_id"] for g in admin.list_groups()], True)
    partition = max(offsets, key=lambda p: offsets[p].offset)
    deleted = admin.delete_records({partition: 5})[partition]
    expect("low watermark", deleted["low_watermark"], 5)
    admin.delete_groups([group])
    expect("the group is gone", group in [g["group_id"] for g in admin.list_groups()], False)
    admin.delete_topics([topic])
    wait_until("the topic is gone", 10, lambda: topic not in admin.list_topics())


print(f"kafka-python {kafka.__version__}", flush=True)
codecs()
idempotent()
group_rebalance()
commit_and_resume()
offsets_by_time()
administration()
admin.close()
