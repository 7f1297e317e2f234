import static java.nio.charset.StandardCharsets.UTF_8;

import java.time.Duration;
import java.util.ArrayList;
import java.util.Collection;
import java.util.Comparator;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.Objects;
import java.util.Optional;
import java.util.Properties;
import java.util.Set;
import java.util.TreeMap;
import java.util.concurrent.ExecutionException;
import java.util.concurrent.ExecutorService;
import java.util.concurrent.Executors;
import java.util.concurrent.Future;
import java.util.function.BooleanSupplier;
import java.util.stream.Collectors;
import org.apache.kafka.clients.admin.Admin;
import org.apache.kafka.clients.admin.AlterConfigOp;
import org.apache.kafka.clients.admin.Config;
import org.apache.kafka.clients.admin.ConfigEntry;
import org.apache.kafka.clients.admin.NewPartitions;
import org.apache.kafka.clients.admin.NewTopic;
import org.apache.kafka.clients.admin.OffsetSpec;
import org.apache.kafka.clients.admin.RecordsToDelete;
import org.apache.kafka.clients.consumer.ConsumerRecord;
import org.apache.kafka.clients.consumer.KafkaConsumer;
import org.apache.kafka.clients.consumer.OffsetAndMetadata;
import org.apache.kafka.clients.producer.KafkaProducer;
import org.apache.kafka.clients.producer.ProducerRecord;
import org.apache.kafka.clients.producer.RecordMetadata;
import org.apache.kafka.common.KafkaFuture;
import org.apache.kafka.common.TopicPartition;
import org.apache.kafka.common.config.ConfigResource;
import org.apache.kafka.common.header.Header;
import org.apache.kafka.common.serialization.ByteArrayDeserializer;
import org.apache.kafka.common.serialization.ByteArraySerializer;
import org.apache.kafka.common.utils.AppInfoParser;

/** The story through the Java client. */
public final class Story {
    private static final int PARTITIONS = 4;
    private static final int RECORDS = 200;

    private static String bootstrap;
    private static String run;
    private static Admin admin;

    public static void main(String[] arguments) throws Exception {
        if (arguments.length != 1) {
            fail("usage: Story HOST:PORT");
        }
        bootstrap = arguments[0];
        run = Long.toHexString(System.currentTimeMillis());
        System.out.println("kafka-clients " + AppInfoParser.getVersion());
        admin = Admin.create(Map.of("bootstrap.servers", bootstrap));
        codecs();
        idempotent();
        groupRebalance("range", "org.apache.kafka.clients.consumer.RangeAssignor");
        groupRebalance("sticky", "org.apache.kafka.clients.consumer.CooperativeStickyAssignor");
        staticMember();
        commitAndResume();
        offsetsByTime();
        administration();
        admin.close();
    }

    /** A part of a story. */
    interface Chapter {
        void tell() throws Exception;
    }

    /** Tell chapters at the same time, and end with 1 if one of them fails. */
    static void tellSideBySide(List<Chapter> chapters) throws InterruptedException {
        ExecutorService threads = Executors.newFixedThreadPool(chapters.size());
        List<Future<?>> told = new ArrayList<>();
        for (Chapter chapter : chapters) {
            told.add(threads.submit(() -> {
                chapter.tell();
                return null;
            }));
        }
        try {
            for (Future<?> one : told) {
                one.get();
            }
        } catch (ExecutionException error) {
            error.getCause().printStackTrace();
            fail("a chapter ended early");
        }
        threads.shutdown();
    }

    static void fail(String sentence) {
        System.err.println(sentence);
        System.exit(1);
    }

    static void ok(String what) {
        System.out.println("ok " + what);
    }

    static void expect(String what, Object actual, Object expected) {
        if (!Objects.equals(actual, expected)) {
            fail(what + ": expected " + expected + ", got " + actual);
        }
    }

    static void waitUntil(String what, BooleanSupplier condition) {
        long deadline = System.nanoTime() + Duration.ofSeconds(30).toNanos();
        while (!condition.getAsBoolean()) {
            if (System.nanoTime() > deadline) {
                fail(what + ": not within 30 s");
            }
        }
    }

    static <T> T result(KafkaFuture<T> future) {
        try {
            return future.get(30, java.util.concurrent.TimeUnit.SECONDS);
        } catch (Exception error) {
            throw new IllegalStateException(error);
        }
    }

    private static String topicOf(String purpose) {
        return "java-" + purpose + "-" + run;
    }

    private static void create(String topic, int partitions, Map<String, String> configs) {
        NewTopic wanted = new NewTopic(topic, partitions, (short) 1).configs(configs);
        result(admin.createTopics(List.of(wanted)).all());
    }

    /** Keyed records with a header that is there twice, so that nothing may merge them. */
    private static List<ProducerRecord<byte[], byte[]>> makeRecords(
            String topic, String label, int count) {
        List<ProducerRecord<byte[], byte[]>> records = new ArrayList<>();
        for (int number = 0; number < count; number++) {
            String value = label + " " + number + " " + "x".repeat(number % 90);
            ProducerRecord<byte[], byte[]> record = new ProducerRecord<>(
                    topic, ("key-" + number % 17).getBytes(UTF_8), value.getBytes(UTF_8));
            record.headers().add("label", label.getBytes(UTF_8));
            record.headers().add("n", Integer.toString(number).getBytes(UTF_8));
            record.headers().add("n", "again".getBytes(UTF_8));
            records.add(record);
        }
        return records;
    }

    private static void produce(
            List<ProducerRecord<byte[], byte[]>> records, Map<String, Object> settings)
            throws Exception {
        Map<String, Object> all = new HashMap<>(settings);
        all.put("bootstrap.servers", bootstrap);
        all.put("linger.ms", 5);
        List<java.util.concurrent.Future<RecordMetadata>> sent = new ArrayList<>();
        try (KafkaProducer<byte[], byte[]> producer = new KafkaProducer<>(
                all, new ByteArraySerializer(), new ByteArraySerializer())) {
            for (ProducerRecord<byte[], byte[]> record : records) {
                sent.add(producer.send(record));
            }
        }
        for (java.util.concurrent.Future<RecordMetadata> delivered : sent) {
            delivered.get();
        }
    }

    private static KafkaConsumer<byte[], byte[]> consumer(
            String group, Map<String, String> settings) {
        Properties all = new Properties();
        all.put("bootstrap.servers", bootstrap);
        all.put("auto.offset.reset", "earliest");
        all.put("enable.auto.commit", "false");
        all.put("session.timeout.ms", "10000");
        all.put("heartbeat.interval.ms", "300");
        if (group != null) {
            all.put("group.id", group);
        }
        all.putAll(settings);
        return new KafkaConsumer<>(
                all, new ByteArrayDeserializer(), new ByteArrayDeserializer());
    }

    private static List<ConsumerRecord<byte[], byte[]>> poll(
            KafkaConsumer<byte[], byte[]> reader, int milliseconds) {
        List<ConsumerRecord<byte[], byte[]>> seen = new ArrayList<>();
        reader.poll(Duration.ofMillis(milliseconds)).forEach(seen::add);
        return seen;
    }

    /** So many records, and then nothing for a moment. */
    private static List<ConsumerRecord<byte[], byte[]>> read(
            KafkaConsumer<byte[], byte[]> reader, int count) {
        List<ConsumerRecord<byte[], byte[]>> seen = new ArrayList<>();
        waitUntil(count + " records", () -> {
            seen.addAll(poll(reader, 100));
            return seen.size() >= count;
        });
        seen.addAll(poll(reader, 300));
        return seen;
    }

    private static List<ConsumerRecord<byte[], byte[]>> readAll(
            String topic, int partitions, int count) {
        try (KafkaConsumer<byte[], byte[]> reader = consumer(null, Map.of())) {
            List<TopicPartition> all = new ArrayList<>();
            for (int partition = 0; partition < partitions; partition++) {
                all.add(new TopicPartition(topic, partition));
            }
            reader.assign(all);
            return read(reader, count);
        }
    }

    /** What was read is what was sent: each once, in order within a key, no offset left out. */
    private static void checkLog(
            String what,
            List<ConsumerRecord<byte[], byte[]>> seen,
            List<ProducerRecord<byte[], byte[]>> sent) {
        expect(what + ": records", seen.size(), sent.size());
        Map<Integer, Long> next = new HashMap<>();
        Map<String, List<String>> seenByKey = new TreeMap<>();
        Map<String, List<String>> sentByKey = new TreeMap<>();
        for (ConsumerRecord<byte[], byte[]> record : seen) {
            long expected = next.getOrDefault(record.partition(), record.offset());
            expect(what + ": the offset in " + record.partition(), record.offset(), expected);
            next.put(record.partition(), record.offset() + 1);
            collect(seenByKey, record.key(), record.value(), record.headers());
        }
        for (ProducerRecord<byte[], byte[]> record : sent) {
            collect(sentByKey, record.key(), record.value(), record.headers());
        }
        expect(what + ": records by key", seenByKey, sentByKey);
    }

    private static void collect(
            Map<String, List<String>> byKey, byte[] key, byte[] value, Iterable<Header> headers) {
        StringBuilder text = new StringBuilder(new String(value, UTF_8));
        for (Header header : headers) {
            text.append(' ').append(header.key()).append('=');
            text.append(new String(header.value(), UTF_8));
        }
        byKey.computeIfAbsent(new String(key, UTF_8), k -> new ArrayList<>())
                .add(text.toString());
    }

    private static void codecs() throws Exception {
        for (String codec : List.of("none", "gzip", "snappy", "lz4", "zstd")) {
            String topic = topicOf(codec);
            create(topic, PARTITIONS, Map.of());
            var sent = makeRecords(topic, codec, RECORDS);
            // A retry must not overtake, which only idempotence promises for more in flight.
            produce(sent, Map.of("compression.type", codec, "enable.idempotence", false,
                    "max.in.flight.requests.per.connection", 1));
            checkLog(codec, readAll(topic, PARTITIONS, RECORDS), sent);
            ok("produce and consume, " + codec);
        }
    }

    private static void idempotent() throws Exception {
        String topic = topicOf("idempotent");
        create(topic, PARTITIONS, Map.of());
        var sent = makeRecords(topic, "idempotent", 1000);
        produce(sent, Map.of("batch.size", 2000));
        checkLog("idempotent", readAll(topic, PARTITIONS, 1000), sent);
        ok("idempotent produce");
    }

    private static void groupRebalance(String name, String assignor) throws Exception {
        String topic = topicOf("group-" + name);
        Map<String, String> settings = Map.of("partition.assignment.strategy", assignor);
        create(topic, PARTITIONS, Map.of());
        List<ProducerRecord<byte[], byte[]>> sent =
                new ArrayList<>(makeRecords(topic, "group", RECORDS));
        produce(sent, Map.of());
        List<ConsumerRecord<byte[], byte[]>> seen = new ArrayList<>();
        var first = consumer(topic + "-members", settings);
        first.subscribe(List.of(topic));
        waitUntil("one member reads all", () -> {
            seen.addAll(poll(first, 100));
            return first.assignment().size() == PARTITIONS && seen.size() == RECORDS;
        });
        first.commitSync();
        var second = consumer(topic + "-members", settings);
        second.subscribe(List.of(topic));
        BooleanSupplier shared = () -> {
            seen.addAll(poll(first, 50));
            seen.addAll(poll(second, 50));
            return first.assignment().size() == 2 && second.assignment().size() == 2;
        };
        waitUntil("two members share the partitions", shared);
        List<ProducerRecord<byte[], byte[]>> more = makeRecords(topic, "more", RECORDS);
        produce(more, Map.of());
        sent.addAll(more);
        waitUntil("two members read what follows",
                () -> shared.getAsBoolean() && seen.size() >= sent.size());
        seen.sort(Comparator.comparing(ConsumerRecord<byte[], byte[]>::partition)
                .thenComparing(ConsumerRecord::offset));
        checkLog("both members together", seen, sent);
        second.commitSync();
        second.close();
        waitUntil("the one that stays has all again", () -> {
            poll(first, 50);
            return first.assignment().size() == PARTITIONS;
        });
        first.close();
        ok("a group of two rebalances, " + name);
    }

    /** A static member that comes back gets its partitions without a rebalance. */
    private static void staticMember() throws Exception {
        String topic = topicOf("static");
        String group = topicOf("statics");
        create(topic, PARTITIONS, Map.of());
        Map<String, String> settings = Map.of("group.instance.id", "one");
        String before = memberOf(topic, group, settings);
        String after = memberOf(topic, group, settings);
        expect("generation before and after the static member came back", after, before);
        ok("a static member comes back");
    }

    private static String memberOf(String topic, String group, Map<String, String> settings) {
        try (var member = consumer(group, settings)) {
            member.subscribe(List.of(topic));
            waitUntil("the static member has all", () -> {
                poll(member, 100);
                return member.assignment().size() == PARTITIONS;
            });
            return Integer.toString(member.groupMetadata().generationId());
        }
    }

    private static void commitAndResume() throws Exception {
        String topic = topicOf("resume");
        String group = topicOf("resumes");
        create(topic, 1, Map.of());
        var sent = makeRecords(topic, "resume", RECORDS);
        produce(sent, Map.of());
        TopicPartition partition = new TopicPartition(topic, 0);
        List<ConsumerRecord<byte[], byte[]>> seen = new ArrayList<>();
        try (var reader = consumer(group, Map.of("max.poll.records", "40"))) {
            reader.subscribe(List.of(topic));
            waitUntil("some records", () -> {
                seen.addAll(poll(reader, 100));
                return seen.size() >= 120;
            });
            reader.commitSync(Map.of(partition,
                    new OffsetAndMetadata(120, Optional.empty(), "half-way")));
        }
        try (var reader = consumer(group, Map.of())) {
            OffsetAndMetadata held = reader.committed(Set.of(partition)).get(partition);
            expect("committed", held.offset() + " " + held.metadata(), "120 half-way");
            reader.subscribe(List.of(topic));
            List<ConsumerRecord<byte[], byte[]>> all = new ArrayList<>(seen.subList(0, 120));
            all.addAll(read(reader, RECORDS - 120));
            checkLog("before and after", all, sent);
        }
        ok("commit and resume");
    }

    private static void offsetsByTime() throws Exception {
        String topic = topicOf("time");
        create(topic, 1, Map.of());
        long base = System.currentTimeMillis() - 3_600_000;
        List<ProducerRecord<byte[], byte[]>> records = new ArrayList<>();
        for (int number = 0; number < 100; number++) {
            records.add(new ProducerRecord<>(topic, 0, base + number * 1000L, null,
                    Integer.toString(number).getBytes(UTF_8)));
        }
        produce(records, Map.of());
        TopicPartition partition = new TopicPartition(topic, 0);
        try (var reader = consumer(null, Map.of())) {
            for (long[] pair : new long[][] {{0, 0}, {41_000, 41}, {41_001, 42}, {99_000, 99}}) {
                var found = reader.offsetsForTimes(Map.of(partition, base + pair[0]));
                expect("offset at " + pair[0], found.get(partition).offset(), pair[1]);
            }
            var none = reader.offsetsForTimes(Map.of(partition, base + 99_001));
            expect("offset behind the end", none.get(partition), null);
            expect("start", reader.beginningOffsets(List.of(partition)).get(partition), 0L);
            expect("end", reader.endOffsets(List.of(partition)).get(partition), 100L);
        }
        var found = result(admin.listOffsets(Map.of(partition, OffsetSpec.maxTimestamp())).all());
        expect("max timestamp", found.get(partition).offset(), 99L);
        ok("offsets by timestamp");
    }

    private static String configOf(String topic, String key) {
        ConfigResource resource = new ConfigResource(ConfigResource.Type.TOPIC, topic);
        Config config = result(admin.describeConfigs(List.of(resource)).all()).get(resource);
        return config.get(key).value();
    }

    private static void administration() throws Exception {
        String topic = topicOf("admin");
        create(topic, 2, Map.of("retention.ms", "123456789"));
        expect("nodes", result(admin.describeCluster().nodes()).size(), 1);
        expect("retention.ms", configOf(topic, "retention.ms"), "123456789");
        ConfigResource resource = new ConfigResource(ConfigResource.Type.TOPIC, topic);
        Collection<AlterConfigOp> changes = List.of(
                new AlterConfigOp(new ConfigEntry("retention.ms", "7200000"),
                        AlterConfigOp.OpType.SET),
                new AlterConfigOp(new ConfigEntry("segment.bytes", "2097152"),
                        AlterConfigOp.OpType.SET));
        result(admin.incrementalAlterConfigs(Map.of(resource, changes)).all());
        expect("retention.ms", configOf(topic, "retention.ms"), "7200000");
        expect("segment.bytes", configOf(topic, "segment.bytes"), "2097152");
        result(admin.createPartitions(Map.of(topic, NewPartitions.increaseTo(3))).all());
        waitUntil("three partitions", () -> result(admin.describeTopics(List.of(topic))
                .allTopicNames()).get(topic).partitions().size() == 3);
        deletion(topic, topicOf("admins"));
        ok("admin: describe, alter, grow, delete");
    }

    private static void deletion(String topic, String group) throws Exception {
        produce(makeRecords(topic, "admin", 90), Map.of());
        try (var reader = consumer(group, Map.of())) {
            reader.subscribe(List.of(topic));
            read(reader, 90);
            reader.commitSync();
            var described = result(admin.describeConsumerGroups(List.of(group)).all()).get(group);
            expect("group", described.groupState() + " " + described.members().size(), "Stable 1");
        }
        var held = result(
                admin.listConsumerGroupOffsets(group).partitionsToOffsetAndMetadata());
        long sum = held.values().stream().mapToLong(OffsetAndMetadata::offset).sum();
        expect("committed in all", sum, 90L);
        expect("the group is listed", groups().contains(group), true);
        TopicPartition cut = held.entrySet().stream()
                .filter(entry -> entry.getValue().offset() > 5)
                .findFirst().orElseThrow().getKey();
        var deleted = admin.deleteRecords(Map.of(cut, RecordsToDelete.beforeOffset(5)));
        expect("low watermark", result(deleted.lowWatermarks().get(cut)).lowWatermark(), 5L);
        result(admin.deleteConsumerGroups(List.of(group)).all());
        expect("the group is gone", groups().contains(group), false);
        result(admin.deleteTopics(List.of(topic)).all());
        waitUntil("the topic is gone",
                () -> !result(admin.listTopics().names()).contains(topic));
    }

    private static Set<String> groups() {
        return result(admin.listGroups().all()).stream()
                .map(listing -> listing.groupId()).collect(Collectors.toSet());
    }
}
