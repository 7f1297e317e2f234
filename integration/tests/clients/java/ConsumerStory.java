import java.time.Duration;
import java.util.ArrayList;
import java.util.Collection;
import java.util.HashMap;
import java.util.HashSet;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.TreeSet;
import java.util.concurrent.ExecutionException;
import java.util.function.BooleanSupplier;
import org.apache.kafka.clients.admin.Admin;
import org.apache.kafka.clients.admin.ConsumerGroupDescription;
import org.apache.kafka.clients.admin.NewPartitions;
import org.apache.kafka.clients.admin.NewTopic;
import org.apache.kafka.clients.consumer.ConsumerRebalanceListener;
import org.apache.kafka.clients.consumer.ConsumerRecord;
import org.apache.kafka.clients.consumer.KafkaConsumer;
import org.apache.kafka.clients.consumer.SubscriptionPattern;
import org.apache.kafka.clients.producer.KafkaProducer;
import org.apache.kafka.clients.producer.ProducerRecord;
import org.apache.kafka.common.GroupState;
import org.apache.kafka.common.TopicPartition;
import org.apache.kafka.common.errors.GroupNotEmptyException;
import org.apache.kafka.common.errors.InvalidRegularExpression;
import org.apache.kafka.common.errors.UnreleasedInstanceIdException;
import org.apache.kafka.common.serialization.StringDeserializer;
import org.apache.kafka.common.serialization.StringSerializer;
import org.apache.kafka.common.utils.AppInfoParser;

/**
 * A consumer group's story through the Java client, in the protocol of KIP-848.
 *
 * <p>The chapters wait for heartbeats, not for work, so they are told side by side, each with a
 * topic and a group of its own.
 */
public final class ConsumerStory {
    private static final Duration WAIT = Duration.ofSeconds(60);

    private static String bootstrap;
    private static String run;
    private static Admin admin;

    /** A consumer that keeps what it read and what it holds. */
    private static final class Member implements ConsumerRebalanceListener, AutoCloseable {
        final KafkaConsumer<String, String> consumer;
        final Set<TopicPartition> held = new HashSet<>();
        final List<String> read = new ArrayList<>();
        /** Who holds a partition, over all members of a group. */
        final Map<TopicPartition, Member> owners;

        Member(String group, Map<TopicPartition, Member> owners, Map<String, Object> more) {
            Map<String, Object> config = new HashMap<>(Map.of("bootstrap.servers", bootstrap,
                    "group.id", group, "group.protocol", "consumer",
                    "auto.offset.reset", "earliest", "enable.auto.commit", false));
            config.putAll(more);
            this.owners = owners;
            consumer = new KafkaConsumer<>(config, new StringDeserializer(),
                    new StringDeserializer());
        }

        @Override
        public void onPartitionsAssigned(Collection<TopicPartition> partitions) {
            for (TopicPartition partition : partitions) {
                if (owners.put(partition, this) != null) {
                    Story.fail(partition + " has two owners");
                }
                held.add(partition);
            }
        }

        @Override
        public void onPartitionsRevoked(Collection<TopicPartition> partitions) {
            consumer.commitSync();
            partitions.forEach(owners::remove);
            held.removeAll(partitions);
        }

        @Override
        public void onPartitionsLost(Collection<TopicPartition> partitions) {
            Story.fail("lost " + partitions);
        }

        void poll() {
            for (ConsumerRecord<String, String> record : consumer.poll(Duration.ofMillis(50))) {
                read.add(record.value());
            }
        }

        @Override
        public void close() {
            consumer.close();
        }
    }

    public static void main(String[] arguments) throws Exception {
        if (arguments.length != 1) {
            Story.fail("usage: ConsumerStory HOST:PORT");
        }
        bootstrap = arguments[0];
        run = Long.toHexString(System.currentTimeMillis());
        System.out.println(
                "kafka-clients " + AppInfoParser.getVersion() + ", group.protocol=consumer");
        admin = Admin.create(Map.of("bootstrap.servers", bootstrap));
        Story.tellSideBySide(List.of(
                ConsumerStory::sharedOut, ConsumerStory::expression, ConsumerStory::staticMember,
                ConsumerStory::growingTopic, ConsumerStory::administration,
                ConsumerStory::otherProtocol));
        admin.close();
    }

    private static void expect(String what, Object actual, Object expected) {
        Story.expect(what, actual, expected);
    }

    private static String nameOf(String purpose) {
        return "java-consumer-" + purpose + "-" + run;
    }

    private static void create(String topic, int partitions) {
        NewTopic wanted = new NewTopic(topic, partitions, (short) 1);
        Story.result(admin.createTopics(List.of(wanted)).all());
    }

    private static void produce(String topic, int from, int to) {
        try (KafkaProducer<String, String> producer = new KafkaProducer<>(
                Map.of("bootstrap.servers", bootstrap), new StringSerializer(),
                new StringSerializer())) {
            for (int number = from; number < to; number++) {
                producer.send(new ProducerRecord<>(topic, "k" + number, "v" + number));
            }
        }
    }

    /** Let members poll until something holds. */
    private static void pollUntil(String what, List<Member> members, BooleanSupplier holds) {
        long deadline = System.nanoTime() + WAIT.toNanos();
        while (!holds.getAsBoolean()) {
            if (System.nanoTime() > deadline) {
                Story.fail("it never came: " + what);
            }
            members.forEach(Member::poll);
        }
    }

    /** Each value once, by whichever member. */
    private static void expectOnce(String what, List<Member> members, int count) {
        List<String> all = new ArrayList<>();
        members.forEach(member -> all.addAll(member.read));
        expect(what + ": records", all.size(), count);
        expect(what + ": different records", new HashSet<>(all).size(), count);
    }

    private static ConsumerGroupDescription describe(String group) {
        return Story.result(admin.describeConsumerGroups(List.of(group)).all()).get(group);
    }

    /** Partitions move one owner at a time, and no record is lost or read twice. */
    private static void sharedOut() {
        String topic = nameOf("shared");
        create(topic, 6);
        Map<TopicPartition, Member> owners = new HashMap<>();
        Member first = new Member(topic, owners, Map.of());
        Member second = new Member(topic, owners, Map.of());
        List<Member> one = List.of(first);
        List<Member> both = List.of(first, second);
        first.consumer.subscribe(List.of(topic), first);
        pollUntil("all to one", one, () -> first.held.size() == 6);
        produce(topic, 0, 300);
        pollUntil("the first records", one, () -> first.read.size() == 300);
        second.consumer.subscribe(List.of(topic), second);
        pollUntil("half each", both, () -> first.held.size() == 3 && second.held.size() == 3);
        produce(topic, 300, 600);
        pollUntil("the next", both, () -> first.read.size() + second.read.size() >= 600);
        first.consumer.commitSync();
        first.close();
        List<Member> other = List.of(second);
        pollUntil("all to the other", other, () -> second.held.size() == 6);
        produce(topic, 600, 900);
        pollUntil("the last", other, () -> first.read.size() + second.read.size() >= 900);
        expectOnce("shared out", both, 900);
        second.close();
        Story.ok("each record to one member while partitions move");
    }

    /** Topics that match come in, those of today and those of tomorrow. */
    private static void expression() {
        String prefix = nameOf("regex");
        create(prefix + "-a", 2);
        try (Member member = new Member(prefix, new HashMap<>(), Map.of())) {
            member.consumer.subscribe(new SubscriptionPattern(prefix + "-[ab]"), member);
            pollUntil("what is there", List.of(member), () -> member.held.size() == 2);
            create(prefix + "-b", 3);
            create(prefix + "-c", 1);
            pollUntil("what came later", List.of(member), () -> member.held.size() == 5);
            Set<String> topics = new TreeSet<>();
            member.held.forEach(partition -> topics.add(partition.topic()));
            expect("topics of an expression", topics, Set.of(prefix + "-a", prefix + "-b"));
        }
        try (Member member = new Member(prefix, new HashMap<>(), Map.of())) {
            member.consumer.subscribe(new SubscriptionPattern("(" + prefix), member);
            pollUntil("a refusal", List.of(), () -> {
                try {
                    member.poll();
                    return false;
                } catch (InvalidRegularExpression refused) {
                    return true;
                }
            });
            expect("an expression that is none is refused", true, true);
        }
        Story.ok("topics of a regular expression, of today and tomorrow");
    }

    /** A static member that goes for a while comes back to what it had, and nothing moves. */
    private static void staticMember() {
        String topic = nameOf("static");
        create(topic, 4);
        Map<String, Object> named = Map.of("group.instance.id", "i");
        Member other = new Member(topic, new HashMap<>(), Map.of());
        Member first = new Member(topic, new HashMap<>(), named);
        other.consumer.subscribe(List.of(topic), other);
        first.consumer.subscribe(List.of(topic), first);
        pollUntil("two each", List.of(first, other),
                () -> first.held.size() == 2 && other.held.size() == 2);
        Set<TopicPartition> before = Set.copyOf(first.held);
        int epoch = describe(topic).groupEpoch().orElseThrow();
        try (Member rival = new Member(topic, new HashMap<>(), named)) {
            rival.consumer.subscribe(List.of(topic), rival);
            pollUntil("a refusal", List.of(first, other), () -> {
                try {
                    rival.poll();
                    return false;
                } catch (UnreleasedInstanceIdException refused) {
                    return true;
                }
            });
        }
        first.close();
        Member again = new Member(topic, new HashMap<>(), named);
        again.consumer.subscribe(List.of(topic), again);
        pollUntil("two again", List.of(again, other), () -> again.held.size() == 2);
        expect("what a static member comes back to", again.held, before);
        expect("its return is no rebalance", describe(topic).groupEpoch().orElseThrow(), epoch);
        again.close();
        other.close();
        Story.ok("a static member comes back to what it had");
    }

    private static void growingTopic() {
        String topic = nameOf("grows");
        try (Member member = new Member(topic, new HashMap<>(),
                Map.of("group.remote.assignor", "range"))) {
            create(topic, 1);
            member.consumer.subscribe(List.of(topic), member);
            pollUntil("one", List.of(member), () -> member.held.size() == 1);
            Story.result(admin.createPartitions(Map.of(topic, NewPartitions.increaseTo(4))).all());
            pollUntil("four", List.of(member), () -> member.held.size() == 4);
            expect("the assignor that was asked for", describe(topic).partitionAssignor(), "range");
        }
        Story.ok("partitions that are added, and the assignor range");
    }

    private static void administration() {
        String topic = nameOf("admin");
        create(topic, 2);
        Member member = new Member(topic, new HashMap<>(), Map.of("client.id", "c-" + run));
        member.consumer.subscribe(List.of(topic), member);
        produce(topic, 0, 10);
        pollUntil("ten", List.of(member), () -> member.read.size() == 10);
        member.consumer.commitSync();
        ConsumerGroupDescription group = describe(topic);
        expect("kind of the group", group.type().toString(), "Consumer");
        expect("state of the group", group.groupState(), GroupState.STABLE);
        expect("its members", group.members().size(), 1);
        expect("its client", group.members().iterator().next().clientId(), "c-" + run);
        expect("what it holds",
                group.members().iterator().next().assignment().topicPartitions(), member.held);
        try {
            admin.deleteConsumerGroups(List.of(topic)).all().get();
            Story.fail("a group with members was deleted");
        } catch (ExecutionException error) {
            expect("a group with members stays",
                    error.getCause() instanceof GroupNotEmptyException, true);
        } catch (InterruptedException interrupted) {
            Story.fail("interrupted");
        }
        member.close();
        expect("state of the empty group", describe(topic).groupState(), GroupState.EMPTY);
        Story.result(admin.deleteConsumerGroups(List.of(topic)).all());
        Story.ok("describe, refuse to delete, delete");
    }

    /** An empty group changes its protocol, there and back, and keeps its offsets. */
    private static void otherProtocol() {
        String topic = nameOf("other");
        create(topic, 2);
        List<Member> members = new ArrayList<>();
        for (String protocol : List.of("consumer", "classic", "consumer")) {
            int from = members.size() * 100;
            produce(topic, from, from + 100);
            Member member = new Member(topic, new HashMap<>(), Map.of("group.protocol", protocol));
            members.add(member);
            member.consumer.subscribe(List.of(topic), member);
            pollUntil("its records", List.of(member), () -> member.read.size() >= 100);
            member.consumer.commitSync();
            member.close();
        }
        expectOnce("through both protocols", members, 300);
        Story.ok("an empty group changes its protocol and keeps its offsets");
    }
}
