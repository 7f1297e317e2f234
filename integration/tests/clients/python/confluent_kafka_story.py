"""The story through confluent-kafka (librdkafka)."""

import time

from confluent_kafka import (Consumer, ConsumerGroupTopicPartitions, OFFSET_BEGINNING,
                             OFFSET_END, Producer, ShareConsumer, TopicPartition, version)
from confluent_kafka.admin import (AdminClient, AlterConfigOpType, ConfigEntry, ConfigResource,
                                   NewPartitions, NewTopic, OffsetSpec, ResourceType)

from story import (PARTITIONS, Record, Story, bootstrap, check_log, expect, fail, make_records,
                   wait_until)

CODECS = ["none", "gzip", "snappy", "lz4", "zstd"]

story = Story("confluent")
servers = {"bootstrap.servers": bootstrap()}
admin = AdminClient(servers)


def result(future):
    return future.result(timeout=30)


def create(topic, partitions=PARTITIONS, **config):
    result(admin.create_topics([NewTopic(topic, partitions, 1, config=config)])[topic])


def produce(topic, records, settings=None):
    settings = settings or {"enable.idempotence": True}
    producer = Producer({**servers, "linger.ms": 5, **settings})
    failures = []

    def delivered(error, _message):
        if error:
            failures.append(str(error))

    for key, value, headers in records:
        producer.produce(topic, value, key, headers=headers, on_delivery=delivered)
    expect("records still in the producer", producer.flush(30), 0)
    expect("failed deliveries", failures, [])


def consumer(group, **settings):
    return Consumer({**servers, "group.id": group, "auto.offset.reset": "earliest",
                     "enable.auto.commit": False, "session.timeout.ms": 10000,
                     "check.crcs": True, **settings})


def read(reader, count, seconds=30):
    """`count` records, and then nothing for a moment."""
    seen = []
    deadline = time.monotonic() + seconds
    while len(seen) < count:
        if time.monotonic() > deadline:
            fail(f"{len(seen)} records of {count} within {seconds} s")
        seen += as_records(reader.consume(500, 0.2))
    seen += as_records(reader.consume(1, 0.2))
    return seen


def as_records(messages):
    for message in messages:
        if message.error():
            fail(f"consume: {message.error()}")
    return [Record(m.partition(), m.offset(), m.key(), m.value(), m.headers() or [])
            for m in messages]


def read_all(topic, count, partitions=PARTITIONS):
    reader = consumer("unused")
    reader.assign([TopicPartition(topic, p, OFFSET_BEGINNING) for p in range(partitions)])
    seen = read(reader, count)
    reader.close()
    return seen


def codecs():
    for codec in CODECS:
        topic = story.topic(codec)
        create(topic)
        sent = list(make_records(codec))
        # A retry must not overtake, which only idempotence promises for more in flight.
        produce(topic, sent, {"compression.type": codec, "max.in.flight": 1})
        check_log(codec, read_all(topic, len(sent)), sent)
        story.ok(f"produce and consume, {codec}")


def idempotent():
    topic = story.topic("idempotent")
    create(topic)
    sent = list(make_records("idempotent", 1000))
    produce(topic, sent, {"enable.idempotence": True, "batch.num.messages": 50})
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
            seen.extend(as_records(member.consume(500, 0.05)))
        return [len(member.assignment()) for member in members] == list(expected)

    sent = list(make_records("group"))
    produce(topic, sent)
    join()
    wait_until("one member reads all", 30,
               lambda: shares(PARTITIONS) and len(seen) == len(sent))
    members[0].commit(asynchronous=False)
    join()
    wait_until("two members share the partitions", 30, lambda: shares(2, 2))
    more = list(make_records("more"))
    produce(topic, more)
    wait_until("two members read what follows", 30,
               lambda: shares(2, 2) and len(seen) >= len(sent) + len(more))
    check_log("both members together", sorted(seen, key=lambda r: (r.partition, r.offset)),
              sent + more)
    leaving = members.pop()
    leaving.commit(asynchronous=False)
    leaving.close()
    wait_until("the one that stays has all again", 30, lambda: shares(PARTITIONS))
    members[0].close()
    story.ok("a group of two rebalances")


def commit_and_resume():
    topic, group = story.topic("resume"), story.topic("resumes")
    create(topic, 1)
    sent = list(make_records("resume"))
    produce(topic, sent)
    reader = consumer(group)
    reader.subscribe([topic])
    seen = []
    while len(seen) < 120:
        seen += as_records(reader.consume(120 - len(seen), 0.2))
    committed = reader.commit(offsets=[TopicPartition(topic, 0, 120, "half-way")],
                              asynchronous=False)
    expect("the commit", (committed[0].error, committed[0].offset), (None, 120))
    reader.close()
    reader = consumer(group)
    held = reader.committed([TopicPartition(topic, 0)], timeout=10)[0]
    expect("committed", (held.offset, held.metadata), (120, "half-way"))
    reader.subscribe([topic])
    check_log("before and after", seen + read(reader, 80), sent)
    reader.close()
    story.ok("commit and resume")


def offsets_by_time():
    topic = story.topic("time")
    create(topic, 1)
    base = int(time.time() * 1000) - 3_600_000
    producer = Producer({**servers, "batch.num.messages": 7})
    for number in range(100):
        producer.produce(topic, str(number).encode(), timestamp=base + number * 1000)
    expect("records still in the producer", producer.flush(30), 0)
    reader = consumer("unused")
    expect("watermarks", reader.get_watermark_offsets(TopicPartition(topic, 0), timeout=10),
           (0, 100))
    for ask, offset in [(0, 0), (41_000, 41), (41_001, 42), (99_000, 99), (99_001, OFFSET_END)]:
        found = reader.offsets_for_times([TopicPartition(topic, 0, base + ask)], timeout=10)
        expect(f"the offset at {ask} ms", found[0].offset, offset)
    reader.close()
    partition = TopicPartition(topic, 0)
    for name, spec, offset in [("earliest", OffsetSpec.earliest(), 0),
                               ("latest", OffsetSpec.latest(), 100),
                               ("max timestamp", OffsetSpec.max_timestamp(), 99)]:
        found = result(admin.list_offsets({partition: spec})[partition])
        expect(name, found.offset, offset)
    story.ok("offsets by timestamp")


def config_of(topic, name):
    resource = ConfigResource(ResourceType.TOPIC, topic)
    return result(admin.describe_configs([resource])[resource])[name].value


def administration():
    topic, group = story.topic("admin"), story.topic("admins")
    create(topic, 2, **{"retention.ms": "123456789"})
    cluster = result(admin.describe_cluster())
    expect("nodes", len(cluster.nodes), 1)
    expect("retention.ms", config_of(topic, "retention.ms"), "123456789")
    resource = ConfigResource(ResourceType.TOPIC, topic, incremental_configs=[
        ConfigEntry("retention.ms", "7200000", incremental_operation=AlterConfigOpType.SET),
        ConfigEntry("segment.bytes", "2097152", incremental_operation=AlterConfigOpType.SET)])
    result(admin.incremental_alter_configs([resource])[resource])
    expect("retention.ms", config_of(topic, "retention.ms"), "7200000")
    expect("segment.bytes", config_of(topic, "segment.bytes"), "2097152")
    result(admin.create_partitions([NewPartitions(topic, 3)])[topic])
    wait_until("three partitions", 10, lambda: len(
        admin.list_topics(topic, timeout=10).topics[topic].partitions) == 3)
    deletion(topic, group)
    story.ok("admin: describe, alter, grow, delete")


def deletion(topic, group):
    sent = list(make_records("admin", 90))
    produce(topic, sent)
    reader = consumer(group)
    reader.subscribe([topic])
    read(reader, 90)
    reader.commit(asynchronous=False)
    described = result(admin.describe_consumer_groups([group])[group])
    expect("group state", (described.state.name, len(described.members)), ("STABLE", 1))
    reader.close()
    offsets = result(admin.list_consumer_group_offsets(
        [ConsumerGroupTopicPartitions(group)])[group]).topic_partitions
    expect("committed in all", sum(p.offset for p in offsets), 90)
    listed = result(admin.list_consumer_groups())
    expect("the group is listed", group in [g.group_id for g in listed.valid], True)
    ends = {p.partition: p.offset for p in offsets}
    partition = max(ends, key=ends.get)
    cut = TopicPartition(topic, partition, 5)
    low = result(admin.delete_records([cut])[cut]).low_watermark
    expect("low watermark", low, 5)
    result(admin.delete_consumer_groups([group])[group])
    listed = result(admin.list_consumer_groups())
    expect("the group is gone", group in [g.group_id for g in listed.valid], False)
    result(admin.delete_topics([topic])[topic])
    wait_until("the topic is gone", 10,
               lambda: topic not in admin.list_topics(timeout=10).topics)


def queue():
    """Two workers in a share group: each record goes to one of them, and none is left over."""
    topic, group = story.topic("queue"), story.topic("workers")
    create(topic, 2)
    resource = ConfigResource(ResourceType.GROUP, group, incremental_configs=[
        ConfigEntry("share.auto.offset.reset", "earliest",
                    incremental_operation=AlterConfigOpType.SET)])
    result(admin.incremental_alter_configs([resource])[resource])
    workers = [ShareConsumer({**servers, "group.id": group}) for _ in range(2)]
    for worker in workers:
        worker.subscribe([topic])
    taken = []

    def work():
        for worker in workers:
            taken.extend((m.partition(), m.offset()) for m in worker.poll(timeout=0.1))

    # Both have joined before there is work, so that there is somebody to share it with.
    deadline = time.monotonic() + 3
    while time.monotonic() < deadline:
        work()
    sent = list(make_records("queue", 1000))
    produce(topic, sent)
    wait_until("all records are handed out", 30, lambda: (work(), len(taken) >= len(sent))[1])
    # What was handed out last is accepted by the next poll; nothing comes again.
    work()
    work()
    expect("records handed out, and distinct ones", (len(taken), len(set(taken))), (1000, 1000))
    for worker in workers:
        worker.close()
    story.ok("a queue: each record to one of two workers")


print(f"confluent-kafka {version()}", flush=True)
codecs()
idempotent()
group_rebalance()
commit_and_resume()
offsets_by_time()
administration()
queue()
