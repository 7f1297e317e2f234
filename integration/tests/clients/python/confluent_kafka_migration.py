"""Groups of librdkafka members that are rolled one by one from the classic protocol to that of
KIP-848 and back, while records flow: none is skipped or read twice, no partition has two owners.

With the assignor `range` alone: librdkafka's `cooperative-sticky` puts bytes of its own into the
assignments, and such a group is not converted, by Apache Kafka neither."""

import time

from confluent_kafka import Consumer, ConsumerGroupState, Producer, TopicPartition, version
from confluent_kafka.admin import AdminClient, NewTopic

from story import Story, bootstrap, fail

PARTITIONS = 6
MEMBERS = 3
WAIT_SECONDS = 90

story = Story("confluent-migration")
servers = {"bootstrap.servers": bootstrap()}
admin = AdminClient(servers)


class Member:
    def __init__(self, group, protocol):
        self.group = group
        self.held = set()
        settings = {**servers, "group.id": group.topic, "group.protocol": protocol,
                    "auto.offset.reset": "earliest", "enable.auto.commit": False}
        if protocol == "classic":
            settings |= {"partition.assignment.strategy": group.assignor,
                         "heartbeat.interval.ms": 500, "session.timeout.ms": 10000}
        self.consumer = Consumer(settings)
        self.consumer.subscribe([group.topic], on_assign=self.assigned, on_revoke=self.revoked,
                                on_lost=self.lost)

    def assigned(self, _consumer, partitions):
        for partition in partitions:
            if partition.partition in self.group.owners:
                raise ValueError(f"{partition} has two owners")
            self.group.owners[partition.partition] = self
            self.held.add(partition.partition)

    def revoked(self, consumer, partitions):
        # What was read, also if it was not committed yet.
        offsets = [TopicPartition(self.group.topic, one.partition, self.group.next[one.partition])
                   for one in partitions if one.partition in self.group.next]
        if offsets:
            consumer.commit(offsets=offsets, asynchronous=False)
        for partition in partitions:
            self.group.owners.pop(partition.partition, None)
            self.held.discard(partition.partition)

    def lost(self, _consumer, partitions):
        raise ValueError(f"lost {partitions}")

    def step(self):
        for message in self.consumer.consume(200, 0.02):
            if message.error():
                continue
            self.group.take(message)


class Group:
    """A topic, its readers, and who writes to it all the time."""

    def __init__(self, assignor):
        self.assignor = assignor
        self.topic = story.topic(assignor)
        self.owners = {}
        self.next = {}
        self.read = 0
        self.sent = 0
        self.producer = Producer(servers)
        self.members = []

    def take(self, message):
        partition, offset = message.partition(), message.offset()
        expected = self.next.get(partition, 0)
        if offset != expected:
            raise ValueError(f"{self.topic} {partition}: expected {expected}, read {offset}")
        self.next[partition] = offset + 1
        self.read += 1

    def step(self, writes=True):
        if writes:
            for _ in range(5):
                self.producer.produce(self.topic, f"v{self.sent}", f"k{self.sent}")
                self.sent += 1
        self.producer.poll(0)
        for member in self.members:
            member.step()

    def step_until(self, what, condition, writes=True):
        deadline = time.monotonic() + WAIT_SECONDS
        while not condition():
            if time.monotonic() > deadline:
                raise ValueError(f"{self.topic}: it never came: {what}; owners "
                                 f"{[sorted(member.held) for member in self.members]}")
            self.step(writes)

    def is_settled(self):
        # The members may hold the right number and still have to join anew. librdkafka that is
        # closed then leaves the group before `on_revoke` can commit (UNKNOWN_MEMBER_ID), or tells
        # of what was assigned and never that it is gone. So the server has to say, too, that
        # everybody has what it is to have, before a member is closed.
        share = PARTITIONS // len(self.members)
        return all(len(member.held) == share for member in self.members) \
            and self.kind()[1] == ConsumerGroupState.STABLE

    def settle(self, what):
        self.step_until(what, self.is_settled)
        before = self.read
        self.step_until("records in between", lambda: self.read > before + 20)

    def kind(self):
        described = admin.describe_consumer_groups([self.topic])[self.topic].result(30)
        return described.type.name, described.state

    def roll(self, protocol):
        for place in range(MEMBERS):
            self.members.pop(0).consumer.close()
            self.members.append(Member(self, protocol))
            self.settle(f"{place + 1} members of {protocol}")

    def tell(self):
        admin.create_topics([NewTopic(self.topic, PARTITIONS, 1)])[self.topic].result(30)
        for count in range(1, MEMBERS + 1):
            self.members.append(Member(self, "classic"))
            self.step_until(f"{count} classic members", self.is_settled)
        for protocol in ["consumer", "classic"]:
            self.roll(protocol)
            stable = (protocol.upper(), ConsumerGroupState.STABLE)
            self.step_until(f"a group of {protocol}", lambda: self.kind() == stable)
        self.producer.flush(30)
        self.step_until("the last records", lambda: self.read == self.sent, writes=False)
        while self.members:
            self.step_until("those that are left", self.is_settled, writes=False)
            self.members.pop(0).consumer.close()
        partitions = [TopicPartition(self.topic, index) for index in range(PARTITIONS)]
        reader = Consumer({**servers, "group.id": self.topic})
        committed = {one.partition: one.offset for one in reader.committed(partitions, 30)}
        reader.close()
        if committed != self.next:
            raise ValueError(f"{self.topic}: committed {committed}, read {self.next}")
        story.ok(f"{self.assignor}: there and back while {self.sent} records flow, "
                 "each read once")


def main():
    print(f"confluent-kafka {version()}, group.protocol changes", flush=True)
    try:
        Group("range").tell()
    except ValueError as error:
        fail(str(error))


main()
