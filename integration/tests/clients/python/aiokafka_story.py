"""The story through aiokafka. Its administration is small and old: what it has is used."""

import asyncio
import time

import aiokafka
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient, NewPartitions, NewTopic, RecordsToDelete
from aiokafka.admin.config_resource import ConfigResource, ConfigResourceType
from aiokafka.structs import OffsetAndMetadata

from story import (PARTITIONS, Record, Story, bootstrap, check_log, expect, fail, make_records)

CODECS = [None, "gzip", "snappy", "lz4", "zstd"]

story = Story("aiokafka")
servers = {"bootstrap_servers": bootstrap()}
admin = None


async def create(topic, partitions=PARTITIONS, **configs):
    answer = await admin.create_topics([NewTopic(topic, partitions, 1, topic_configs=configs)])
    expect(f"creation of {topic}", [error[1] for error in answer.topic_errors], [0])


async def produce(topic, records, **settings):
    producer = AIOKafkaProducer(**servers, linger_ms=5, **settings)
    await producer.start()
    sent = [await producer.send(topic, key=key, value=value, headers=headers)
            for key, value, headers in records]
    await producer.stop()
    for delivered in sent:
        await delivered


async def consumer(group, *topics):
    reader = AIOKafkaConsumer(*topics, **servers, group_id=group, enable_auto_commit=False,
                              auto_offset_reset="earliest", session_timeout_ms=10000,
                              heartbeat_interval_ms=500)
    await reader.start()
    return reader


async def poll(reader, milliseconds=100, count=500):
    polled = await reader.getmany(timeout_ms=milliseconds, max_records=count)
    return [Record(r.partition, r.offset, r.key, r.value, r.headers)
            for records in polled.values() for r in records]


async def wait_until(what, seconds, condition):
    deadline = time.monotonic() + seconds
    while not await condition():
        if time.monotonic() > deadline:
            fail(f"{what}: not within {seconds} s")
        await asyncio.sleep(0.05)


async def read(reader, count, seconds=30):
    """`count` records, and then nothing for a moment."""
    seen = []
    deadline = time.monotonic() + seconds
    while len(seen) < count:
        if time.monotonic() > deadline:
            fail(f"{len(seen)} records of {count} within {seconds} s")
        seen += await poll(reader)
    return seen + await poll(reader, 300)


async def read_all(topic, count, partitions=PARTITIONS):
    reader = await consumer(None)
    reader.assign([TopicPartition(topic, p) for p in range(partitions)])
    await reader.seek_to_beginning()
    seen = await read(reader, count)
    await reader.stop()
    return seen


async def codecs():
    for codec in CODECS:
        name = codec or "none"
        topic = story.topic(name)
        await create(topic)
        sent = list(make_records(name))
        await produce(topic, sent, compression_type=codec)
        check_log(name, await read_all(topic, len(sent)), sent)
        story.ok(f"produce and consume, {name}")


async def idempotent():
    topic = story.topic("idempotent")
    await create(topic)
    sent = list(make_records("idempotent", 1000))
    await produce(topic, sent, enable_idempotence=True, max_batch_size=2000)
    check_log("idempotent", await read_all(topic, len(sent)), sent)
    story.ok("idempotent produce")


async def group_rebalance():
    topic, group = story.topic("group"), story.topic("members")
    await create(topic)
    members, seen = [], []

    async def shares(*expected):
        """Let every member poll; whether they hold so many partitions."""
        for member in members:
            seen.extend(await poll(member))
        return [len(member.assignment()) for member in members] == list(expected)

    async def read_so_far(count, *expected):
        return await shares(*expected) and len(seen) >= count

    sent = list(make_records("group"))
    await produce(topic, sent)
    members.append(await consumer(group, topic))
    await wait_until("one member reads all", 30, lambda: read_so_far(len(sent), PARTITIONS))
    await members[0].commit()
    members.append(await consumer(group, topic))
    await wait_until("two members share the partitions", 30, lambda: shares(2, 2))
    more = list(make_records("more"))
    await produce(topic, more)
    await wait_until("two members read what follows", 30,
                     lambda: read_so_far(len(sent) + len(more), 2, 2))
    check_log("both members together", sorted(seen, key=lambda r: (r.partition, r.offset)),
              sent + more)
    leaving = members.pop()
    await leaving.commit()
    await leaving.stop()
    await wait_until("the one that stays has all again", 30, lambda: shares(PARTITIONS))
    await members[0].stop()
    story.ok("a group of two rebalances")


async def commit_and_resume():
    topic, group = story.topic("resume"), story.topic("resumes")
    await create(topic, 1)
    sent = list(make_records("resume"))
    await produce(topic, sent)
    partition = TopicPartition(topic, 0)
    reader = await consumer(group, topic)
    seen = []
    while len(seen) < 120:
        seen += await poll(reader, 200, 120 - len(seen))
    await reader.commit({partition: OffsetAndMetadata(120, "half-way")})
    await reader.stop()
    reader = await consumer(group, topic)
    expect("committed", await reader.committed(partition), 120)
    check_log("before and after", seen + await read(reader, 80), sent)
    await reader.stop()
    held = (await admin.list_consumer_group_offsets(group))[partition]
    expect("committed with metadata", (held.offset, held.metadata), (120, "half-way"))
    story.ok("commit and resume")


async def offsets_by_time():
    topic = story.topic("time")
    await create(topic, 1)
    base = int(time.time() * 1000) - 3_600_000
    producer = AIOKafkaProducer(**servers)
    await producer.start()
    for number in range(100):
        await producer.send(topic, str(number).encode(), timestamp_ms=base + number * 1000)
    await producer.stop()
    partition = TopicPartition(topic, 0)
    reader = await consumer(None)
    for ask, offset in [(0, 0), (41_000, 41), (41_001, 42), (99_000, 99), (99_001, None)]:
        found = (await reader.offsets_for_times({partition: base + ask}))[partition]
        expect(f"the offset at {ask} ms", found and found.offset, offset)
    expect("beginning", await reader.beginning_offsets([partition]), {partition: 0})
    expect("end", await reader.end_offsets([partition]), {partition: 100})
    await reader.stop()
    story.ok("offsets by timestamp")


async def config_of(topic, name):
    resource = ConfigResource(ConfigResourceType.TOPIC, topic, {name: None})
    answer = (await admin.describe_configs([resource]))[0]
    return {entry[0]: entry[1] for entry in answer.resources[0][4]}[name]


async def administration():
    topic, group = story.topic("admin"), story.topic("admins")
    await create(topic, 2, **{"retention.ms": "123456789"})
    expect("nodes", len((await admin.describe_cluster())["brokers"]), 1)
    expect("retention.ms", await config_of(topic, "retention.ms"), "123456789")
    await admin.alter_configs([ConfigResource(ConfigResourceType.TOPIC, topic,
                                              {"retention.ms": "7200000"})])
    expect("retention.ms", await config_of(topic, "retention.ms"), "7200000")
    await admin.create_partitions({topic: NewPartitions(3)})

    async def has_grown():
        described = await admin.describe_topics([topic])
        return len(described[0]["partitions"]) == 3

    await wait_until("three partitions", 10, has_grown)
    await deletion(topic, group)
    story.ok("admin: describe, alter, grow, delete")


async def deletion(topic, group):
    await produce(topic, list(make_records("admin", 90)))
    reader = await consumer(group, topic)
    await read(reader, 90)
    await reader.commit()
    await reader.stop()
    offsets = await admin.list_consumer_group_offsets(group)
    expect("committed in all", sum(held.offset for held in offsets.values()), 90)
    listed = await admin.list_consumer_groups()
    expect("the group is listed", group in [entry[0] for entry in listed], True)
    partition = max(offsets, key=lambda p: offsets[p].offset)
    deleted = await admin.delete_records({partition: RecordsToDelete(5)})
    expect("low watermark", deleted, {partition: 5})
    await admin.delete_topics([topic])

    async def is_gone():
        return topic not in await admin.list_topics()

    await wait_until("the topic is gone", 10, is_gone)


async def main():
    global admin
    print(f"aiokafka {aiokafka.__version__}", flush=True)
    admin = AIOKafkaAdminClient(**servers)
    await admin.start()
    try:
        await codecs()
        await idempotent()
        await group_rebalance()
        await commit_and_resume()
        await offsets_by_time()
        await administration()
    finally:
        await admin.close()


asyncio.run(main())
