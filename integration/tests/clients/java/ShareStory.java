import java.time.Duration;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.HashSet;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.Set;
import java.util.TreeSet;
import java.util.concurrent.ExecutionException;
import java.util.concurrent.Future;
import java.util.concurrent.TimeUnit;
import java.util.stream.Collectors;
import org.apache.kafka.clients.admin.Admin;
import org.apache.kafka.clients.admin.AlterConfigOp;
import org.apache.kafka.clients.admin.ConfigEntry;
import org.apache.kafka.clients.admin.GroupListing;
import org.apache.kafka.clients.admin.ListGroupsOptions;
import org.apache.kafka.clients.admin.ListShareGroupOffsetsSpec;
import org.apache.kafka.clients.admin.NewPartitions;
import org.apache.kafka.clients.admin.NewTopic;
import org.apache.kafka.clients.admin.ShareGroupDescription;
import org.apache.kafka.clients.admin.SharePartitionOffsetInfo;
import org.apache.kafka.clients.consumer.AcknowledgeType;
import org.apache.kafka.clients.consumer.ConsumerRecord;
import org.apache.kafka.clients.consumer.KafkaShareConsumer;
import org.apache.kafka.clients.producer.KafkaProducer;
import org.apache.kafka.clients.producer.ProducerRecord;
import org.apache.kafka.common.KafkaFuture;
import org.apache.kafka.common.TopicPartition;
import org.apache.kafka.common.config.ConfigResource;
import org.apache.kafka.common.errors.GroupIdNotFoundException;
import org.apache.kafka.common.errors.GroupNotEmptyException;
import org.apache.kafka.common.errors.InvalidRecordStateException;
import org.apache.kafka.common.errors.WakeupException;
import org.apache.kafka.common.serialization.StringDeserializer;
import org.apache.kafka.common.serialization.StringSerializer;
import org.apache.kafka.common.utils.AppInfoParser;

/**
 * A queue's story through the Java client's share consumer.
 *
 * <p>The chapters wait for heartbeats and locks, not for work, so they are told side by side, each
 * with a topic and a group of its own. Apache Kafka lets a lock be this short only with
 * {@code group.share.min.record.lock.duration.ms=1000}.
 */
public final class ShareStory {
    private static final int LOCK_MS = 2000;
    private static final Map<String, Object> EXPLICIT =
            Map.of("share.acknowledgement.mode", "explicit");

    private static String bootstrap;
    private static String run;
    private static Admin admin;
    private static KafkaProducer<String, String> producer;

    public static void main(String[] arguments) throws Exception {
        if (arguments.length != 1) {
            Story.fail("usage: ShareStory HOST:PORT");
        }
        bootstrap = arguments[0];
        run = Long.toHexString(System.currentTimeMillis());
        System.out.println("kafka-clients " + AppInfoParser.getVersion() + ", share consumer");
        admin = Admin.create(Map.of("bootstrap.servers", bootstrap));
        producer = new KafkaProducer<>(Map.of("bootstrap.servers", bootstrap, "linger.ms", 5),
                new StringSerializer(), new StringSerializer());
        Story.tellSideBySide(List.of(
                ShareStory::eachToOneMember, ShareStory::explicitWords, ShareStory::renewedLock,
                ShareStory::expiredLock, ShareStory::deliveryLimit, ShareStory::closedInHand,
                ShareStory::recordLimit, ShareStory::wakeup, ShareStory::laterTopic,
                ShareStory::laterPartition, ShareStory::administration,
                ShareStory::startOffsets));
        producer.close();
        admin.close();
    }

    private static void expect(String what, Object actual, Object expected) {
        Story.expect(what, actual, expected);
    }

    private static String nameOf(String purpose) {
        return "java-share-" + purpose + "-" + run;
    }

    private static void create(String topic, int partitions) {
        NewTopic wanted = new NewTopic(topic, partitions, (short) 1);
        Story.result(admin.createTopics(List.of(wanted)).all());
    }

    /** Configure a group that does not exist yet: it begins where its topics begin. */
    private static void configure(String group, String... settings) {
        List<AlterConfigOp> changes = new ArrayList<>();
        changes.add(set("share.auto.offset.reset", "earliest"));
        for (int at = 0; at < settings.length; at += 2) {
            changes.add(set(settings[at], settings[at + 1]));
        }
        ConfigResource resource = new ConfigResource(ConfigResource.Type.GROUP, group);
        Story.result(admin.incrementalAlterConfigs(Map.of(resource, changes)).all());
    }

    private static AlterConfigOp set(String key, String value) {
        return new AlterConfigOp(new ConfigEntry(key, value), AlterConfigOp.OpType.SET);
    }

    private static void produce(String topic, int partition, int from, int to) throws Exception {
        List<Future<?>> sent = new ArrayList<>();
        for (int number = from; number < to; number++) {
            sent.add(producer.send(
                    new ProducerRecord<>(topic, partition, "key", "record " + number)));
        }
        for (Future<?> delivered : sent) {
            delivered.get(30, TimeUnit.SECONDS);
        }
    }

    private static Member member(String group, String topic, Map<String, Object> settings) {
        return new Member(group, topic, settings);
    }

    /** A share consumer, and what its acknowledgement callback was told. */
    private static final class Member implements AutoCloseable {
        final KafkaShareConsumer<String, String> reader;
        final Set<String> confirmed = new TreeSet<>();
        final List<Exception> refused = new ArrayList<>();

        Member(String group, String topic, Map<String, Object> settings) {
            Map<String, Object> all = new HashMap<>(settings);
            all.put("bootstrap.servers", bootstrap);
            all.put("group.id", group);
            all.put("client.id", "worker");
            all.put("allow.auto.create.topics", false);
            reader = new KafkaShareConsumer<>(
                    all, new StringDeserializer(), new StringDeserializer());
            reader.setAcknowledgementCommitCallback((offsets, error) -> {
                if (error != null) {
                    refused.add(error);
                    return;
                }
                offsets.forEach((partition, which) -> which.forEach(
                        offset -> confirmed.add(partition.partition() + "/" + offset)));
            });
            reader.subscribe(List.of(topic));
        }

        List<ConsumerRecord<String, String>> poll(int milliseconds) {
            List<ConsumerRecord<String, String>> seen = new ArrayList<>();
            reader.poll(Duration.ofMillis(milliseconds)).forEach(seen::add);
            return seen;
        }

        /**
         * What one long poll brings. Of several short ones, one could end while its records are on
         * their way: the client's own thread then goes on fetching, and leases more behind the
         * caller's back.
         */
        List<ConsumerRecord<String, String>> next() {
            List<ConsumerRecord<String, String>> seen = poll(30_000);
            expect("records within 30 s", !seen.isEmpty(), true);
            return seen;
        }

        /** Acknowledge these, and have the server say yes. */
        void settle(List<ConsumerRecord<String, String>> records, AcknowledgeType word) {
            records.forEach(record -> reader.acknowledge(record, word));
            commit();
        }

        void commit() {
            reader.commitSync().forEach((partition, error) ->
                    expect("an acknowledgement in " + partition, error, Optional.empty()));
        }

        @Override
        public void close() {
            reader.close(Duration.ofSeconds(10));
        }
    }

    /** As {@code first-last xdeliveries}: which records of one partition came, and how often. */
    private static String shape(List<ConsumerRecord<String, String>> records) {
        List<String> parts = new ArrayList<>();
        for (ConsumerRecord<String, String> record : records) {
            expect("the value at " + record.offset(), record.value(),
                    "record " + record.offset());
            parts.add(record.offset() + "x" + record.deliveryCount().orElse((short) -1));
        }
        return String.join(" ", parts);
    }

    private static String shape(int from, int to, int deliveries) {
        List<String> parts = new ArrayList<>();
        for (int offset = from; offset < to; offset++) {
            parts.add(offset + "x" + deliveries);
        }
        return String.join(" ", parts);
    }

    private static ShareGroupDescription described(String group) {
        return Story.result(admin.describeShareGroups(List.of(group)).all()).get(group);
    }

    private static Map<TopicPartition, SharePartitionOffsetInfo> offsets(String group) {
        var wanted = Map.of(group, new ListShareGroupOffsetsSpec());
        return Story.result(admin.listShareGroupOffsets(wanted).partitionsToOffsetInfo(group));
    }

    /** The class of the error that a call ends with. */
    private static Class<?> refusal(KafkaFuture<?> call) throws Exception {
        try {
            call.get(30, TimeUnit.SECONDS);
            return null;
        } catch (ExecutionException error) {
            return error.getCause().getClass();
        }
    }

    /** Two members share four partitions: each record goes to one of them, and once. */
    private static void eachToOneMember() throws Exception {
        int partitions = 4;
        int each = 100;
        String topic = nameOf("one");
        create(topic, partitions);
        configure(topic);
        try (Member first = member(topic, topic, Map.of());
                Member second = member(topic, topic, Map.of())) {
            Story.waitUntil("both members have partitions", () -> {
                expect("records of an empty topic",
                        first.poll(50).size() + second.poll(50).size(), 0);
                return described(topic).members().stream()
                        .filter(one -> one.assignment().topicPartitions().size() == 2)
                        .count() == 2;
            });
            for (int partition = 0; partition < partitions; partition++) {
                produce(topic, partition, 0, each);
            }
            List<Integer> counts = new ArrayList<>(List.of(0, 0));
            Set<String> seen = new TreeSet<>();
            Story.waitUntil("all records", () -> {
                take(first, seen, counts, 0);
                take(second, seen, counts, 1);
                return seen.size() >= partitions * each;
            });
            for (int quiet = 0; quiet < 3; quiet++) {
                take(first, seen, counts, 0);
                take(second, seen, counts, 1);
            }
            expect("both had work " + counts, counts.get(0) > 0 && counts.get(1) > 0, true);
            first.commit();
            second.commit();
            first.poll(50);
            second.poll(50);
            Set<String> confirmed = new TreeSet<>(first.confirmed);
            confirmed.addAll(second.confirmed);
            expect("refused", first.refused.size() + second.refused.size(), 0);
            expect("acknowledged by the callback", confirmed, seen);
        }
        Story.ok("two members of a share group, each record to one, implicitly acknowledged");
    }

    private static void take(Member who, Set<String> seen, List<Integer> counts, int at) {
        for (ConsumerRecord<String, String> record : who.poll(100)) {
            expect("a record comes once", seen.add(record.partition() + "/" + record.offset()),
                    true);
            expect("delivery count", record.deliveryCount(), Optional.of((short) 1));
            counts.set(at, counts.get(at) + 1);
        }
    }

    /** What is accepted or rejected is done with; what is released comes again. */
    private static void explicitWords() throws Exception {
        String topic = nameOf("words");
        create(topic, 1);
        configure(topic);
        produce(topic, 0, 0, 10);
        try (Member worker = member(topic, topic, EXPLICIT)) {
            var batch = worker.next();
            expect("the first poll", shape(batch), shape(0, 10, 1));
            for (ConsumerRecord<String, String> record : batch) {
                long offset = record.offset();
                worker.reader.acknowledge(record, offset < 4 ? AcknowledgeType.ACCEPT
                        : offset < 7 ? AcknowledgeType.RELEASE : AcknowledgeType.REJECT);
            }
            worker.commit();
            batch = worker.next();
            expect("what was released", shape(batch), shape(4, 7, 2));
            worker.settle(batch, AcknowledgeType.ACCEPT);
            produce(topic, 0, 10, 11);
            batch = worker.next();
            expect("what follows", shape(batch), shape(10, 11, 1));
            worker.reader.acknowledge(batch.get(0));
            worker.reader.commitAsync();
            Story.waitUntil("the callback knows of all", () -> {
                worker.poll(50);
                return worker.confirmed.size() == 11;
            });
            expect("refused", worker.refused, List.of());
        }
        Story.ok("accept, release and reject");
    }

    /** A lock that is renewed outlives its duration: nobody else gets the record. */
    private static void renewedLock() throws Exception {
        String topic = nameOf("renew");
        create(topic, 1);
        configure(topic, "share.record.lock.duration.ms", Integer.toString(LOCK_MS));
        produce(topic, 0, 0, 1);
        try (Member worker = member(topic, topic, EXPLICIT)) {
            var held = worker.next();
            expect("lock duration", worker.reader.acquisitionLockTimeoutMs(),
                    Optional.of(LOCK_MS));
            try (Member other = member(topic, topic, EXPLICIT)) {
                long began = System.nanoTime();
                while (System.nanoTime() - began < Duration.ofMillis(3 * LOCK_MS).toNanos()) {
                    worker.settle(held, AcknowledgeType.RENEW);
                    held = worker.next();
                    expect("what was renewed", shape(held), shape(0, 1, 1));
                    expect("what the other gets", shape(other.poll(LOCK_MS / 4)), "");
                }
                worker.settle(held, AcknowledgeType.ACCEPT);
                expect("what the other gets after", shape(other.poll(LOCK_MS / 4)), "");
            }
            worker.poll(50);
            expect("refused", worker.refused, List.of());
        }
        Story.ok("a renewed lock outlives its duration");
    }

    /** A word that comes after the lock ran out is refused, and the record comes again. */
    private static void expiredLock() throws Exception {
        String topic = nameOf("expired");
        create(topic, 1);
        configure(topic, "share.record.lock.duration.ms", Integer.toString(LOCK_MS));
        produce(topic, 0, 0, 1);
        try (Member worker = member(topic, topic, EXPLICIT)) {
            var batch = worker.next();
            expect("the first time", shape(batch), shape(0, 1, 1));
            Thread.sleep(LOCK_MS + 700);
            worker.reader.acknowledge(batch.get(0), AcknowledgeType.ACCEPT);
            var answers = worker.reader.commitSync();
            expect("partitions answered", answers.size(), 1);
            answers.forEach((partition, error) -> expect("a late word",
                    error.map(Object::getClass), Optional.of(InvalidRecordStateException.class)));
            batch = worker.next();
            expect("the second time", shape(batch), shape(0, 1, 2));
            expect("what the callback was told",
                    worker.refused.stream().map(Object::getClass).collect(Collectors.toList()),
                    List.of(InvalidRecordStateException.class));
            worker.settle(batch, AcknowledgeType.ACCEPT);
        }
        Story.ok("a word after the lock ran out is refused");
    }

    /** What was delivered as often as the group allows does not come again. */
    private static void deliveryLimit() throws Exception {
        String topic = nameOf("limit");
        create(topic, 1);
        configure(topic, "share.delivery.count.limit", "2");
        produce(topic, 0, 0, 3);
        try (Member worker = member(topic, topic, EXPLICIT)) {
            var batch = worker.next();
            expect("the first time", shape(batch), shape(0, 3, 1));
            worker.settle(batch, AcknowledgeType.RELEASE);
            // A server may deliver what is at its last attempt one by one.
            List<ConsumerRecord<String, String>> last = new ArrayList<>();
            while (last.size() < 3) {
                batch = worker.next();
                last.addAll(batch);
                worker.settle(batch, AcknowledgeType.RELEASE);
            }
            expect("the last time", shape(last), shape(0, 3, 2));
            produce(topic, 0, 3, 4);
            batch = worker.next();
            expect("what follows", shape(batch), shape(3, 4, 1));
            worker.settle(batch, AcknowledgeType.ACCEPT);
        }
        Story.ok("the delivery limit ends a record's way");
    }

    /** What a member has in hand when it closes goes to another at once. */
    private static void closedInHand() throws Exception {
        String topic = nameOf("closed");
        create(topic, 1);
        configure(topic);
        produce(topic, 0, 0, 5);
        try (Member worker = member(topic, topic, EXPLICIT)) {
            var batch = worker.next();
            expect("the first has", shape(batch), shape(0, 5, 1));
            worker.settle(batch.subList(0, 2), AcknowledgeType.ACCEPT);
        }
        try (Member worker = member(topic, topic, EXPLICIT)) {
            var batch = worker.next();
            expect("the second has", shape(batch), shape(2, 5, 2));
            worker.settle(batch, AcknowledgeType.ACCEPT);
        }
        Story.ok("what a closed member had goes to another");
    }

    /** With a record limit, a member leases no more than it asked for. */
    private static void recordLimit() throws Exception {
        String topic = nameOf("exact");
        create(topic, 1);
        configure(topic);
        produce(topic, 0, 0, 20);
        Map<String, Object> settings = new HashMap<>(EXPLICIT);
        settings.put("share.acquire.mode", "record_limit");
        settings.put("max.poll.records", 7);
        try (Member first = member(topic, topic, settings);
                Member second = member(topic, topic, settings)) {
            var held = first.next();
            expect("the first has", shape(held), shape(0, 7, 1));
            var other = second.next();
            expect("the second has", shape(other), shape(7, 14, 1));
            second.settle(other, AcknowledgeType.ACCEPT);
            other = second.next();
            expect("the second has then", shape(other), shape(14, 20, 1));
            second.settle(other, AcknowledgeType.ACCEPT);
            first.settle(held, AcknowledgeType.ACCEPT);
        }
        Story.ok("a record limit is exact");
    }

    /** A poll that waits is woken, and the member lives on. */
    private static void wakeup() throws Exception {
        String topic = nameOf("wakeup");
        create(topic, 1);
        configure(topic);
        try (Member worker = member(topic, topic, Map.of())) {
            worker.poll(50);
            long began = System.nanoTime();
            Thread waker = new Thread(() -> {
                try {
                    Thread.sleep(300);
                } catch (InterruptedException error) {
                    throw new IllegalStateException(error);
                }
                worker.reader.wakeup();
            });
            waker.start();
            boolean woken = false;
            try {
                worker.poll(20_000);
            } catch (WakeupException expected) {
                woken = true;
            }
            waker.join();
            expect("woken", woken, true);
            expect("woken in time",
                    System.nanoTime() - began < Duration.ofSeconds(10).toNanos(), true);
            produce(topic, 0, 0, 1);
            expect("the next poll", shape(worker.next()), shape(0, 1, 1));
        }
        Story.ok("wakeup");
    }

    /** A topic that is subscribed before it exists is read once it does. */
    private static void laterTopic() throws Exception {
        String topic = nameOf("later");
        configure(topic);
        try (Member worker = member(topic, topic, Map.of())) {
            Story.waitUntil("the group has its member", () -> {
                worker.poll(100);
                return groups().containsKey(topic);
            });
            create(topic, 2);
            produce(topic, 1, 0, 3);
            expect("the topic's records", shape(worker.next()), shape(0, 3, 1));
        }
        Story.ok("a topic that is created after it was subscribed");
    }

    /** A partition that a topic gets later is read, and the member stays who it is. */
    private static void laterPartition() throws Exception {
        String topic = nameOf("grown");
        create(topic, 1);
        configure(topic);
        produce(topic, 0, 0, 3);
        try (Member worker = member(topic, topic, Map.of())) {
            expect("the first partition", shape(worker.next()), shape(0, 3, 1));
            Set<String> before = memberIds(topic);
            Story.result(admin.createPartitions(
                    Map.of(topic, NewPartitions.increaseTo(3))).all());
            Story.waitUntil("three partitions", () -> Story.result(admin.describeTopics(
                    List.of(topic)).allTopicNames()).get(topic).partitions().size() == 3);
            produce(topic, 2, 0, 3);
            var batch = worker.next();
            expect("the new partition", batch.get(0).partition() + " " + shape(batch),
                    "2 " + shape(0, 3, 1));
            expect("the member", memberIds(topic), before);
        }
        Story.ok("a partition that is added later");
    }

    private static Set<String> memberIds(String group) {
        return described(group).members().stream()
                .map(one -> one.consumerId()).collect(Collectors.toSet());
    }

    private static Map<String, String> groups() {
        Map<String, String> all = new HashMap<>();
        for (GroupListing one : Story.result(
                admin.listGroups(ListGroupsOptions.forShareGroups()).all())) {
            all.put(one.groupId(), one.type().orElseThrow() + " " + one.groupState().orElseThrow());
        }
        return all;
    }

    /** A group is listed and described, and deleted once nobody is in it. */
    private static void administration() throws Exception {
        String topic = nameOf("admin");
        create(topic, 2);
        configure(topic);
        produce(topic, 0, 0, 10);
        expect("describing what is not there",
                refusal(admin.describeShareGroups(List.of(topic)).all()),
                GroupIdNotFoundException.class);
        try (Member worker = member(topic, topic, Map.of())) {
            expect("records", shape(worker.next()), shape(0, 10, 1));
            worker.commit();
            expect("listed", groups().get(topic), "Share Stable");
            var group = described(topic);
            expect("state", group.groupState().toString(), "Stable");
            expect("members", group.members().size(), 1);
            var one = group.members().iterator().next();
            expect("client id", one.clientId(), "worker");
            expect("assignment", new HashSet<>(one.assignment().topicPartitions()),
                    Set.of(new TopicPartition(topic, 0), new TopicPartition(topic, 1)));
            expect("deleting a group with a member",
                    refusal(admin.deleteShareGroups(List.of(topic)).all()),
                    GroupNotEmptyException.class);
        }
        expect("state after", described(topic).groupState().toString(), "Empty");
        expect("listed after", groups().get(topic), "Share Empty");
        Story.result(admin.deleteShareGroups(List.of(topic)).all());
        expect("listed after deletion", groups().get(topic), null);
        expect("deleting what is not there",
                refusal(admin.deleteShareGroups(List.of(topic)).all()),
                GroupIdNotFoundException.class);
        Story.ok("share groups are listed, described and deleted");
    }

    /** Where a group starts is listed, altered and deleted, the last two only without members. */
    private static void startOffsets() throws Exception {
        String topic = nameOf("offsets");
        create(topic, 1);
        configure(topic);
        produce(topic, 0, 0, 10);
        TopicPartition partition = new TopicPartition(topic, 0);
        try (Member worker = member(topic, topic, EXPLICIT)) {
            var batch = worker.next();
            worker.settle(batch.subList(0, 4), AcknowledgeType.ACCEPT);
            worker.settle(batch.subList(5, 7), AcknowledgeType.ACCEPT);
            worker.settle(batch.subList(4, 5), AcknowledgeType.RELEASE);
            worker.settle(batch.subList(7, 10), AcknowledgeType.RELEASE);
            var listed = offsets(topic).get(partition);
            expect("start and lag", listed.startOffset() + " " + listed.lag(), "4 Optional[4]");
            expect("altering under a member", refusal(
                    admin.alterShareGroupOffsets(topic, Map.of(partition, 0L)).all()),
                    GroupNotEmptyException.class);
            expect("deleting under a member", refusal(
                    admin.deleteShareGroupOffsets(topic, Set.of(topic)).all()),
                    GroupNotEmptyException.class);
        }
        Story.result(admin.alterShareGroupOffsets(topic, Map.of(partition, 6L)).all());
        var altered = offsets(topic).get(partition);
        expect("start after", altered.startOffset() + " " + altered.lag(), "6 Optional[4]");
        try (Member worker = member(topic, topic, EXPLICIT)) {
            var batch = worker.next();
            expect("from the altered start", shape(batch), shape(6, 10, 1));
            worker.settle(batch, AcknowledgeType.ACCEPT);
        }
        Story.result(admin.deleteShareGroupOffsets(topic, Set.of(topic)).all());
        expect("offsets after deletion", offsets(topic).get(partition), null);
        Story.ok("start offsets are listed, altered and deleted");
    }
}
