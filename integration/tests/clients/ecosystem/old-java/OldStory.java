import static java.nio.charset.StandardCharsets.UTF_8;

import java.time.Duration;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.Collections;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.Objects;
import java.util.TreeMap;
import java.util.concurrent.Future;
import org.apache.kafka.clients.admin.AdminClient;
import org.apache.kafka.clients.admin.Config;
import org.apache.kafka.clients.admin.ConfigEntry;
import org.apache.kafka.clients.admin.NewTopic;
import org.apache.kafka.clients.admin.RecordsToDelete;
import org.apache.kafka.clients.consumer.ConsumerRecord;
import org.apache.kafka.clients.consumer.KafkaConsumer;
import org.apache.kafka.clients.producer.KafkaProducer;
import org.apache.kafka.clients.producer.ProducerRecord;
import org.apache.kafka.clients.producer.RecordMetadata;
import org.apache.kafka.common.TopicPartition;
import org.apache.kafka.common.config.ConfigResource;
import org.apache.kafka.common.serialization.StringDeserializer;
import org.apache.kafka.common.serialization.StringSerializer;
import org.apache.kafka.common.utils.AppInfoParser;

/** The story through an old Java client, in the words that every one since 2.1 knows. */
public final class OldStory {
    private static final int PARTITIONS = 4;
    private static final int RECORDS = 200;
    private static String bootstrap;
    private static AdminClient admin;

    public static void main(String[] arguments) throws Exception {
        bootstrap = arguments[0];
        System.out.println("kafka-clients " + AppInfoParser.getVersion());
        Map<String, Object> settings = new HashMap<>();
        settings.put("bootstrap.servers", bootstrap);
        admin = AdminClient.create(settings);
        for (String codec : Arrays.asList("none", "gzip", "snappy", "lz4", "zstd")) {
            codec(codec, false);
        }
        codec("none", true);
        group();
        administration();
        admin.close();
    }

    private static void expect(String what, Object actual, Object expected) {
        if (!Objects.equals(actual, expected)) {
            System.err.println(what + ": expected " + expected + ", got " + actual);
            System.exit(1);
        }
    }

    private static String create(String purpose) throws Exception {
        String topic = "old-" + purpose + "-" + Long.toHexString(System.nanoTime());
        NewTopic wanted = new NewTopic(topic, PARTITIONS, (short) 1);
        admin.createTopics(Collections.singleton(wanted)).all().get();
        return topic;
    }

    private static List<ProducerRecord<String, String>> produce(
            String topic, String codec, boolean idempotent) throws Exception {
        Map<String, Object> settings = new HashMap<>();
        settings.put("bootstrap.servers", bootstrap);
        settings.put("compression.type", codec);
        settings.put("enable.idempotence", idempotent);
        // A retry must not overtake, which only idempotence promises for more in flight.
        settings.put("max.in.flight.requests.per.connection", idempotent ? 5 : 1);
        settings.put("acks", "all");
        settings.put("linger.ms", 5);
        List<ProducerRecord<String, String>> sent = new ArrayList<>();
        List<Future<RecordMetadata>> waiting = new ArrayList<>();
        try (KafkaProducer<String, String> producer = new KafkaProducer<>(
                settings, new StringSerializer(), new StringSerializer())) {
            for (int number = 0; number < RECORDS; number++) {
                ProducerRecord<String, String> record = new ProducerRecord<>(
                        topic, "key-" + number % 17, codec + " " + number);
                record.headers().add("n", Integer.toString(number).getBytes(UTF_8));
                sent.add(record);
                waiting.add(producer.send(record));
            }
        }
        for (Future<RecordMetadata> delivered : waiting) {
            delivered.get();
        }
        return sent;
    }

    private static KafkaConsumer<String, String> consumer(String group) {
        Map<String, Object> settings = new HashMap<>();
        settings.put("bootstrap.servers", bootstrap);
        settings.put("group.id", group);
        settings.put("auto.offset.reset", "earliest");
        settings.put("enable.auto.commit", false);
        settings.put("session.timeout.ms", 10000);
        settings.put("heartbeat.interval.ms", 300);
        return new KafkaConsumer<>(settings, new StringDeserializer(), new StringDeserializer());
    }

    private static List<ConsumerRecord<String, String>> read(
            KafkaConsumer<String, String> reader, int count) {
        List<ConsumerRecord<String, String>> seen = new ArrayList<>();
        long deadline = System.nanoTime() + Duration.ofSeconds(30).toNanos();
        while (seen.size() < count && System.nanoTime() < deadline) {
            reader.poll(Duration.ofMillis(100)).forEach(seen::add);
        }
        reader.poll(Duration.ofMillis(300)).forEach(seen::add);
        return seen;
    }

    private static void checkLog(
            String what,
            List<ConsumerRecord<String, String>> seen,
            List<ProducerRecord<String, String>> sent) {
        Map<Integer, Long> next = new HashMap<>();
        Map<String, List<String>> seenByKey = new TreeMap<>();
        Map<String, List<String>> sentByKey = new TreeMap<>();
        for (ConsumerRecord<String, String> record : seen) {
            long expected = next.getOrDefault(record.partition(), record.offset());
            expect(what + ": offset", record.offset(), expected);
            next.put(record.partition(), record.offset() + 1);
            String header = new String(record.headers().lastHeader("n").value(), UTF_8);
            expect(what + ": header", header, record.value().split(" ")[1]);
            seenByKey.computeIfAbsent(record.key(), k -> new ArrayList<>()).add(record.value());
        }
        for (ProducerRecord<String, String> record : sent) {
            sentByKey.computeIfAbsent(record.key(), k -> new ArrayList<>()).add(record.value());
        }
        expect(what + ": records by key", seenByKey, sentByKey);
    }

    private static void codec(String codec, boolean idempotent) throws Exception {
        String topic = create(codec);
        List<ProducerRecord<String, String>> sent = produce(topic, codec, idempotent);
        try (KafkaConsumer<String, String> reader = consumer("unused")) {
            List<TopicPartition> all = new ArrayList<>();
            for (int partition = 0; partition < PARTITIONS; partition++) {
                all.add(new TopicPartition(topic, partition));
            }
            reader.assign(all);
            reader.seekToBeginning(all);
            checkLog(codec, read(reader, RECORDS), sent);
        }
        System.out.println("ok produce and consume, " + codec + ", idempotent: " + idempotent);
    }

    private static void group() throws Exception {
        String topic = create("group");
        List<ProducerRecord<String, String>> sent = produce(topic, "none", true);
        KafkaConsumer<String, String> first = consumer(topic);
        KafkaConsumer<String, String> second = consumer(topic);
        first.subscribe(Collections.singleton(topic));
        checkLog("one member", read(first, RECORDS), sent);
        first.commitSync();
        second.subscribe(Collections.singleton(topic));
        long deadline = System.nanoTime() + Duration.ofSeconds(30).toNanos();
        while (first.assignment().size() != 2 || second.assignment().size() != 2) {
            expect("records read again", first.poll(Duration.ofMillis(50)).count(), 0);
            expect("records read again", second.poll(Duration.ofMillis(50)).count(), 0);
            expect("two members share in time", System.nanoTime() < deadline, true);
        }
        second.close();
        while (first.assignment().size() != PARTITIONS) {
            expect("records read again", first.poll(Duration.ofMillis(50)).count(), 0);
            expect("one member has all in time", System.nanoTime() < deadline, true);
        }
        first.close();
        System.out.println("ok a group of two rebalances, commits and resumes");
    }

    private static void administration() throws Exception {
        String topic = create("admin");
        produce(topic, "none", false);
        ConfigResource resource = new ConfigResource(ConfigResource.Type.TOPIC, topic);
        String retention = admin.describeConfigs(Collections.singleton(resource)).all().get()
                .get(resource).get("retention.ms").value();
        expect("retention.ms", retention, "604800000");
        expect("partitions", admin.describeTopics(Collections.singleton(topic)).all().get()
                .get(topic).partitions().size(), PARTITIONS);
        // The call of older consoles: what is not named goes back to its default.
        Config wanted = new Config(Collections.singleton(new ConfigEntry("segment.ms", "60000")));
        admin.alterConfigs(Collections.singletonMap(resource, wanted)).all().get();
        Config now = admin.describeConfigs(Collections.singleton(resource)).all().get()
                .get(resource);
        expect("segment.ms", now.get("segment.ms").value(), "60000");
        int node = admin.describeCluster().controller().get().id();
        expect("folders", admin.describeLogDirs(Collections.singleton(node)).all().get()
                .get(node).size(), 1);
        TopicPartition partition = new TopicPartition(topic, 0);
        long low = admin.deleteRecords(
                Collections.singletonMap(partition, RecordsToDelete.beforeOffset(5)))
                .lowWatermarks().get(partition).get().lowWatermark();
        expect("low watermark", low, 5L);
        expect("nodes", admin.describeCluster().nodes().get().size(), 1);
        admin.listConsumerGroups().all().get();
        admin.deleteTopics(Collections.singleton(topic)).all().get();
        System.out.println("ok admin: describe, alter the old way, folders, delete");
    }
}
