import java.time.Duration;
import java.util.ArrayList;
import java.util.Collection;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.Set;
import java.util.TreeMap;
import java.util.concurrent.ConcurrentHashMap;
import java.util.concurrent.ExecutionException;
import java.util.concurrent.atomic.AtomicInteger;
import java.util.function.BooleanSupplier;
import java.util.stream.Collectors;
import org.apache.kafka.clients.admin.Admin;
import org.apache.kafka.clients.admin.ConsumerGroupDescription;
import org.apache.kafka.clients.admin.MemberDescription;
import org.apache.kafka.clients.admin.NewTopic;
import org.apache.kafka.clients.admin.OffsetSpec;
import org.apache.kafka.clients.consumer.ConsumerRebalanceListener;
import org.apache.kafka.clients.consumer.ConsumerRecord;
import org.apache.kafka.clients.consumer.ConsumerRecords;
import org.apache.kafka.clients.consumer.KafkaConsumer;
import org.apache.kafka.clients.producer.KafkaProducer;
import org.apache.kafka.clients.producer.ProducerRecord;
import org.apache.kafka.common.GroupState;
import org.apache.kafka.common.TopicPartition;
import org.apache.kafka.common.errors.GroupIdNotFoundException;
import org.apache.kafka.common.serialization.StringDeserializer;
import org.apache.kafka.common.serialization.StringSerializer;
import org.apache.kafka.common.utils.AppInfoParser;

/**
 * A group's members are rolled one by one from the classic protocol to that of KIP-848 and back,
 * while records flow: none is skipped, none is read twice, and no partition has two owners.
 *
 * <p>Told with an eager assignor, with a cooperative one, and with static members, side by side.
 */
public final class MigrationStory {
    private static final int PARTITIONS = 6;
    private static final int MEMBERS = 3;
    private static final long WAIT_MS = 90_000;

    private static String bootstrap;
    private static String run;
    private static Admin admin;

    public static void main(String[] arguments) throws Exception {
        if (arguments.length != 1) {
            Story.fail("usage: MigrationStory HOST:PORT");
        }
        bootstrap = arguments[0];
        run = Long.toHexString(System.currentTimeMillis());
        System.out.println(
                "kafka-clients " + AppInfoParser.getVersion() + ", group.protocol changes");
        admin = Admin.create(Map.of("bootstrap.servers", bootstrap));
        String assignors = "org.apache.kafka.clients.consumer.";
        Story.tellSideBySide(List.of(
                () -> new Group("eager", assignors + "RangeAssignor", false).tell(),
                () -> new Group("cooperative", assignors + "CooperativeStickyAssignor", false)
                        .tell(),
                () -> new Group("static", assignors + "CooperativeStickyAssignor", true).tell()));
        admin.close();
    }

    /** What was read of each partition, by whichever member. */
    private static final class Reading {
        final Map<TopicPartition, Long> next = new ConcurrentHashMap<>();
        final Map<TopicPartition, Member> owners = new ConcurrentHashMap<>();
        final AtomicInteger count = new AtomicInteger();

        void take(ConsumerRecord<String, String> record) {
            TopicPartition partition = new TopicPartition(record.topic(), record.partition());
            long expected = next.getOrDefault(partition, 0L);
            if (record.offset() != expected) {
                Story.fail(partition + ": expected offset " + expected + ", read "
                        + record.offset());
            }
            next.put(partition, expected + 1);
            count.incrementAndGet();
        }
    }

    private static final class Member extends Thread implements ConsumerRebalanceListener {
        private final KafkaConsumer<String, String> consumer;
        private final Reading reading;
        private final String topic;
        private volatile boolean stops;
        private volatile boolean ended;

        Member(Group group, String protocol, int place) {
            super(group.topic + "-" + place + "-" + protocol);
            reading = group.reading;
            topic = group.topic;
            Map<String, Object> config = new HashMap<>(Map.of("bootstrap.servers", bootstrap,
                    "group.id", topic, "group.protocol", protocol, "client.id", getName(),
                    "auto.offset.reset", "earliest", "enable.auto.commit", false));
            if (protocol.equals("classic")) {
                config.put("partition.assignment.strategy", group.assignor);
                config.put("heartbeat.interval.ms", 500);
            }
            if (group.isStatic) {
                config.put("group.instance.id", "i" + place);
            }
            consumer = new KafkaConsumer<>(config, new StringDeserializer(),
                    new StringDeserializer());
            start();
        }

        @Override
        public void run() {
            consumer.subscribe(List.of(topic), this);
            while (!stops) {
                ConsumerRecords<String, String> records = consumer.poll(Duration.ofMillis(50));
                records.forEach(reading::take);
                if (!records.isEmpty()) {
                    consumer.commitAsync();
                }
            }
            consumer.close();
            ended = true;
        }

        @Override
        public void onPartitionsAssigned(Collection<TopicPartition> partitions) {
            for (TopicPartition partition : partitions) {
                Member other = reading.owners.put(partition, this);
                if (other != null) {
                    Story.fail(partition + " has two owners: " + other.getName() + " and "
                            + getName());
                }
            }
        }

        @Override
        public void onPartitionsRevoked(Collection<TopicPartition> partitions) {
            if (!partitions.isEmpty()) {
                consumer.commitSync();
            }
            partitions.forEach(reading.owners::remove);
        }

        @Override
        public void onPartitionsLost(Collection<TopicPartition> partitions) {
            Story.fail(getName() + " lost " + partitions);
        }

        void end() throws InterruptedException {
            stops = true;
            join();
            if (!ended) {
                Story.fail(getName() + " ended early");
            }
        }
    }

    /** A topic, its readers, and who writes to it all the time. */
    private static final class Group {
        final String name;
        final String topic;
        final String assignor;
        final boolean isStatic;
        final Reading reading = new Reading();
        final List<Member> members = new ArrayList<>();
        private volatile boolean ends;
        private int sent;

        Group(String name, String assignor, boolean isStatic) {
            this.name = name;
            this.assignor = assignor;
            this.isStatic = isStatic;
            topic = "java-migration-" + name + "-" + run;
        }

        void tell() throws Exception {
            NewTopic wanted = new NewTopic(topic, PARTITIONS, (short) 1);
            Story.result(admin.createTopics(List.of(wanted)).all());
            Thread writer = new Thread(this::write);
            writer.start();
            for (int place = 0; place < MEMBERS; place++) {
                members.add(new Member(this, "classic", place));
            }
            settle("classic", 0);
            for (int place = 0; place < MEMBERS; place++) {
                replace(place, "consumer");
                settle("consumer", place + 1);
            }
            for (int place = 0; place < MEMBERS; place++) {
                replace(place, "classic");
                settle(place + 1 < MEMBERS ? "consumer" : "classic", MEMBERS - place - 1);
            }
            ends = true;
            writer.join();
            await("the last records", () -> reading.count.get() == sent);
            for (Member member : members) {
                member.end();
            }
            checkCommitted();
            Story.ok(name + ": there and back while " + sent + " records flow, each read once");
        }

        private void write() {
            try (KafkaProducer<String, String> producer = new KafkaProducer<>(
                    Map.of("bootstrap.servers", bootstrap), new StringSerializer(),
                    new StringSerializer())) {
                while (!ends) {
                    producer.send(new ProducerRecord<>(topic, "k" + sent, "v" + sent));
                    sent++;
                    Thread.sleep(5);
                }
            } catch (InterruptedException interrupted) {
                Story.fail("interrupted");
            }
        }

        private void replace(int place, String protocol) throws InterruptedException {
            members.get(place).end();
            members.set(place, new Member(this, protocol, place));
        }

        /** The group; none if it changed its kind between the client's two questions. */
        private Optional<ConsumerGroupDescription> describe() {
            try {
                return Optional.of(admin.describeConsumerGroups(List.of(topic)).all().get()
                        .get(topic));
            } catch (ExecutionException error) {
                if (!(error.getCause() instanceof GroupIdNotFoundException)) {
                    Story.fail(name + ": " + error.getCause());
                }
            } catch (InterruptedException interrupted) {
                Story.fail("interrupted");
            }
            return Optional.empty();
        }

        /** All members are in, and each has its part, as they and an administrator see it. */
        private void settle(String type, int upgraded) throws InterruptedException {
            await(type + " with " + upgraded + " members of the new protocol", () -> {
                Map<Member, Long> parts = reading.owners.values().stream()
                        .collect(Collectors.groupingBy(one -> one, Collectors.counting()));
                return describe().filter(group -> {
                    long news = group.members().stream().filter(this::isNew).count();
                    return group.members().size() == MEMBERS && news == upgraded
                            && group.type().toString().equalsIgnoreCase(type)
                            && group.groupState() == GroupState.STABLE;
                }).isPresent() && parts.keySet().equals(Set.copyOf(members))
                        && parts.values().stream().allMatch(part -> part == PARTITIONS / MEMBERS);
            });
            int before = reading.count.get();
            await("records in between", () -> reading.count.get() > before + 20);
        }

        private boolean isNew(MemberDescription member) {
            return member.upgraded().orElse(false);
        }

        private void await(String what, BooleanSupplier holds)
                throws InterruptedException {
            long deadline = System.nanoTime() + WAIT_MS * 1_000_000;
            while (!holds.getAsBoolean()) {
                if (System.nanoTime() > deadline) {
                    Story.fail(name + ": it never came: " + what + "; " + describe() + "; "
                            + reading.owners);
                }
                Thread.sleep(100);
            }
        }

        /** What is committed is what was written. */
        private void checkCommitted() {
            Map<TopicPartition, OffsetSpec> latest = new HashMap<>();
            for (int index = 0; index < PARTITIONS; index++) {
                latest.put(new TopicPartition(topic, index), OffsetSpec.latest());
            }
            Map<String, Long> written = new TreeMap<>();
            Story.result(admin.listOffsets(latest).all())
                    .forEach((partition, found) ->
                            written.put(partition.toString(), found.offset()));
            Map<String, Long> committed = new TreeMap<>();
            Story.result(admin.listConsumerGroupOffsets(topic).partitionsToOffsetAndMetadata())
                    .forEach((partition, found) ->
                            committed.put(partition.toString(), found.offset()));
            Story.expect(name + ": committed offsets", committed, written);
        }
    }
}
