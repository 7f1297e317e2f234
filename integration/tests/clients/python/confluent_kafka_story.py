"""The story through confluent-kafka (librdkafka)."""

import os
import subprocess
import sys
import time

from confluent_kafka import (AcknowledgeType, Consumer, ConsumerGroupTopicPartitions,
                             ConsumerGroupType, IllegalStateException, KafkaError,
                             OFFSET_BEGINNING, OFFSET_END, Producer, ShareConsumer,
                             TopicPartition, version)
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


def consumer(group, protocol="classic"):
    settings = {**servers, "group.id": group, "auto.offset.reset": "earliest",
                "enable.auto.commit": False, "check.crcs": True, "group.protocol": protocol}
    if protocol == "classic":
        settings["session.timeout.ms"] = 10000
    return Consumer(settings)


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


def group_rebalance(protocol):
    topic, group = story.topic("group-" + protocol), story.topic("members-" + protocol)
    create(topic)
    members, seen = [], []

    def join():
        members.append(consumer(group, protocol))
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
    listed = result(admin.list_consumer_groups(types={ConsumerGroupType[protocol.upper()]}))
    if group not in [listing.group_id for listing in listed.valid]:
        fail(f"{group} is not among the groups of the protocol {protocol}")
    leaving = members.pop()
    leaving.commit(asynchronous=False)
    leaving.close()
    wait_until("the one that stays has all again", 30, lambda: shares(PARTITIONS))
    members[0].close()
    story.ok(f"a group of two rebalances, {protocol} protocol")


def expression():
    """A subscription that the server holds against its topics."""
    before, after = story.topic("expression-1"), story.topic("expression-2")
    create(before, 1)
    reader = consumer(story.topic("expressions"), "consumer")
    reader.subscribe(["^" + story.topic("expression-[0-9]") + "$"])
    wait_until("the topic that is there", 30,
               lambda: not as_records(reader.consume(1, 0.1)) and len(reader.assignment()) == 1)
    create(after, 1)
    # Apache Kafka looks for new topics every ten seconds at most.
    wait_until("the topic that came later", 60,
               lambda: not as_records(reader.consume(1, 0.1)) and len(reader.assignment()) == 2)
    expect("topics", sorted(p.topic for p in reader.assignment()), [before, after])
    reader.close()
    story.ok("a subscription by expression, consumer protocol")


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


def create_queue(purpose, partitions=1, **config):
    """A topic, and a group that is configured before it is there."""
    topic, group = story.topic(purpose), story.topic(f"{purpose}-workers")
    create(topic, partitions)
    settings = {"share.auto.offset.reset": "earliest", **config}
    resource = ConfigResource(ResourceType.GROUP, group, incremental_configs=[
        ConfigEntry(name, value, incremental_operation=AlterConfigOpType.SET)
        for name, value in settings.items()])
    result(admin.incremental_alter_configs([resource])[resource])

    def is_shown():
        shown = result(admin.describe_configs([resource])[resource])
        return all(shown[name].value == value for name, value in settings.items())

    wait_until(f"the configuration of {group}", 10, is_shown)
    return topic, group


def share_worker(group, topic, **settings):
    worker = ShareConsumer({**servers, "group.id": group, **settings})
    worker.subscribe([topic])
    return worker


def queue():
    """Two workers in a share group: each record goes to one of them, and none is left over."""
    topic, group = create_queue("queue", 2)
    workers = [share_worker(group, topic) for _ in range(2)]
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


LONG_LOCK = {"share.record.lock.duration.ms": "60000"}
ACCEPT, RELEASE, REJECT = AcknowledgeType.ACCEPT, AcknowledgeType.RELEASE, AcknowledgeType.REJECT


def explicit_worker(group, topic, at_once=500):
    return share_worker(group, topic, **{"share.acknowledgement.mode": "explicit",
                                         "max.poll.records": at_once})


def take(worker, count):
    """So many records in one poll: none is asked for while there are some without a verdict."""
    messages = wait_until(f"{count} records", 30, lambda: list(worker.poll(timeout=0.3)))
    for message in messages:
        if message.error():
            fail(f"poll: {message.error()}")
    expect("records of one poll", len(messages), count)
    return messages


def counts(messages):
    return {message.offset(): message.delivery_count() for message in messages}


def commit(worker, topic):
    """Send the verdicts; the answer names the partition, and no error."""
    expect("the commit", worker.commit_sync(timeout=10), {TopicPartition(topic, 0): None})


def nothing(worker, seconds):
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        expect("records after the last verdict", counts(worker.poll(timeout=0.2)), {})


def refused(what, action):
    try:
        action()
    except IllegalStateException:
        return
    fail(f"{what} is not refused")


def explicit_verdicts():
    topic, group = create_queue("verdict", **LONG_LOCK)
    produce(topic, make_records("verdict", 12))
    worker = explicit_worker(group, topic)
    commits = []
    worker.set_acknowledgement_commit_callback(
        lambda offsets, error: commits.append((offsets, error)))
    messages = take(worker, 12)
    expect("first delivery counts", counts(messages), {offset: 1 for offset in range(12)})
    for message in messages:
        worker.acknowledge(message, [ACCEPT, RELEASE, REJECT][message.offset() % 3])
    commit(worker, topic)
    expect("a commit of nothing", worker.commit_sync(timeout=10), {})
    refused("a verdict on a record that is done with", lambda: worker.acknowledge(messages[0]))
    released = take(worker, 4)
    expect("released", counts(released), {1: 2, 4: 2, 7: 2, 10: 2})
    refused("a poll with records in hand", lambda: worker.poll(timeout=0.1))
    for offset in (1, 4, 7, 10):
        worker.acknowledge_offset(topic, 0, offset)
    commits.clear()
    worker.commit_async()
    wait_until("the outcome of the commit", 10, lambda: (worker.poll(timeout=0.1), commits)[1])
    expect("the outcome of the commit", commits,
           [({TopicPartition(topic, 0): {1, 4, 7, 10}}, None)])
    nothing(worker, 0.5)
    worker.close()
    story.ok("a queue, explicitly: accept, release, reject, and what the commits say")


def lost_lease():
    """A lease runs out; another worker has the record; the verdict of the first is refused."""
    topic, group = create_queue("lost", **{"share.record.lock.duration.ms": "1000"})
    produce(topic, make_records("lost", 1))
    slow, quick = explicit_worker(group, topic), explicit_worker(group, topic)
    held = take(slow, 1)
    again = take(quick, 1)
    expect("after the lease ran out", counts(again), {0: 2})
    slow.acknowledge(held[0])
    errors = slow.commit_sync(timeout=10)
    expect("the verdict that came too late", errors[TopicPartition(topic, 0)].args[0].code(),
           KafkaError.INVALID_RECORD_STATE)
    quick.acknowledge(again[0])
    commit(quick, topic)
    slow.close()
    quick.close()
    story.ok("a queue, explicitly: a verdict after the lease ran out is refused")


def hold(topic, group):
    """What a process does that is to be killed: of ten records it has accepted three."""
    worker = explicit_worker(group, topic, at_once=10)
    for message in take(worker, 10)[:3]:
        worker.acknowledge(message)
    commit(worker, topic)
    print("held", flush=True)
    time.sleep(60)


def killed_worker():
    topic, group = create_queue("kill", **LONG_LOCK)
    for half in ("held", "free"):
        # One batch: a worker takes whole ones.
        produce(topic, make_records(half, 10), {"linger.ms": 100})
    victim = subprocess.Popen([sys.executable, __file__, bootstrap()], stdout=subprocess.PIPE,
                              env={**os.environ, "HOLD": f"{topic} {group}"})
    expect("the worker process says", victim.stdout.readline(), b"held\n")
    victim.kill()
    victim.wait()
    other = explicit_worker(group, topic)
    rest = take(other, 17)
    expect("the rest", counts(rest), {offset: 2 if offset < 10 else 1 for offset in range(3, 20)})
    for message in rest:
        other.acknowledge(message)
    commit(other, topic)
    nothing(other, 0.5)
    other.close()
    story.ok("a queue, explicitly: records in hand come back when a worker is killed")


if "HOLD" in os.environ:
    hold(*os.environ["HOLD"].split())
    sys.exit()
print(f"confluent-kafka {version()}", flush=True)
codecs()
idempotent()
group_rebalance("classic")
group_rebalance("consumer")
expression()
commit_and_resume()
offsets_by_time()
administration()
queue()
explicit_verdicts()
lost_lease()
killed_worker()
