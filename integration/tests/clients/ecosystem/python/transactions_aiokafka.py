"""Transactions through aiokafka: commit, abort, offsets of a group, fencing."""

import asyncio
import sys

import aiokafka
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition
from aiokafka.errors import ProducerFenced

bootstrap, name = sys.argv[1:]
source, target, group = f"{name}-source", f"{name}-target", f"{name}-group"


def expect(what, actual, expected):
    if actual != expected:
        sys.exit(f"{what}: expected {expected!r}, got {actual!r}")


async def producer(**settings):
    made = AIOKafkaProducer(bootstrap_servers=bootstrap, **settings)
    await made.start()
    return made


async def read(topic, isolation):
    consumer = AIOKafkaConsumer(bootstrap_servers=bootstrap, isolation_level=isolation)
    await consumer.start()
    consumer.assign([TopicPartition(topic, 0)])
    await consumer.seek_to_beginning()
    values = []
    while True:
        batches = await consumer.getmany(timeout_ms=2000)
        if not batches:
            break
        values += [record.value.decode() for records in batches.values() for record in records]
    await consumer.stop()
    return values


async def main():
    print(f"aiokafka {aiokafka.__version__}")
    plain = await producer()
    for number in range(50):
        await plain.send_and_wait(source, str(number).encode(), partition=0)
    await plain.stop()
    worker = await producer(transactional_id=name)
    async with worker.transaction():
        for number in range(10):
            await worker.send(target, b"kept %d" % number, partition=0)
    await worker.begin_transaction()
    for number in range(10):
        await worker.send_and_wait(target, b"dropped %d" % number, partition=0)
    await worker.abort_transaction()
    kept = [f"kept {number}" for number in range(10)]
    expect("committed", await read(target, "read_committed"), kept)
    expect("uncommitted", len(await read(target, "read_uncommitted")), 20)
    print("ok commit and abort")

    partition = TopicPartition(source, 0)
    consumer = AIOKafkaConsumer(source, bootstrap_servers=bootstrap, group_id=group,
                                enable_auto_commit=False, auto_offset_reset="earliest",
                                isolation_level="read_committed")
    await consumer.start()
    moved = 0
    while moved < 50:
        batches = await consumer.getmany(timeout_ms=1000, max_records=20)
        for records in batches.values():
            async with worker.transaction():
                for record in records:
                    await worker.send(target, b"moved " + record.value, partition=0)
                offset = records[-1].offset + 1
                await worker.send_offsets_to_transaction({partition: offset}, group)
            moved += len(records)
    await worker.begin_transaction()
    await worker.send_offsets_to_transaction({partition: 3}, group)
    await worker.abort_transaction()
    expect("the group's offset", await consumer.committed(partition), 50)
    await consumer.stop()
    expect("moved", await read(target, "read_committed"),
           kept + [f"moved {number}" for number in range(50)])
    print("ok consume, transform, produce, with the group's offsets in the transaction")

    second = await producer(transactional_id=name)
    try:
        async with worker.transaction():
            await worker.send_and_wait(target, b"fenced", partition=0)
        sys.exit("the older producer was not fenced")
    except ProducerFenced:
        pass
    async with second.transaction():
        await second.send(target, b"second", partition=0)
    expect("last", (await read(target, "read_committed"))[-1], "second")
    print("ok a younger producer of the same id fences the older")
    await second.stop()


asyncio.run(main())
