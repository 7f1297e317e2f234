import java.time.Duration;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import org.apache.kafka.clients.admin.Admin;
import org.apache.kafka.clients.admin.NewTopic;
import org.apache.kafka.clients.admin.TransactionDescription;
import org.apache.kafka.clients.admin.TransactionState;
import org.apache.kafka.clients.consumer.ConsumerRecord;
import org.apache.kafka.clients.consumer.KafkaConsumer;
import org.apache.kafka.clients.consumer.OffsetAndMetadata;
import org.apache.kafka.clients.producer.KafkaProducer;
import org.apache.kafka.clients.producer.ProducerRecord;
import org.apache.kafka.common.KafkaException;
import org.apache.kafka.common.TopicPartition;
import org.apache.kafka.common.serialization.StringDeserializer;
import org.apache.kafka.common.serialization.StringSerializer;
import org.apache.kafka.common.utils.AppInfoParser;

/** A story of transactions through the Java client, which has an epoch for each (KIP-890). */
public final class TransactionStory {
    private static final int PARTITIONS = 3;

    private static String bootstrap;
    private static String run;
    private static Admin admin;

    public static void main(String[] arguments) throws Exception {
        if (arguments.length != 1) {
            Story.fail("usage: TransactionStory HOST:PORT");
        }
        bootstrap = arguments[0];
        run = Long.toHexString(System.currentTimeMillis());
        System.out.println("kafka-clients " + AppInfoParser.getVersion() + ", transactions");
        admin = Admin.create(Map.of("bootstrap.servers", bootstrap));
        commitsAndAborts();
        manyInARow();
        fences();
        timesOut();
        consumesAndProduces();
        admin.close();
    }

    private static void check(boolean holds, String sentence) {
        if (!holds) {
            Story.fail(sentence);
        }
    }

    private static String topic(String name) throws Exception {
        String topic = "txn-" + run + "-" + name;
        admin.createTopics(List.of(new NewTopic(topic, PARTITIONS, (short) 1))).all().get();
        return topic;
    }

    private static KafkaProducer<String, String> producer(String id, int timeoutMs) {
        Map<String, Object> settings = new HashMap<>();
        settings.put("bootstrap.servers", bootstrap);
        settings.put("transactional.id", id);
        settings.put("transaction.timeout.ms", timeoutMs);
        settings.put("max.block.ms", 30_000);
        KafkaProducer<String, String> producer =
                new KafkaProducer<>(settings, new StringSerializer(), new StringSerializer());
        producer.initTransactions();
        return producer;
    }

    private static void send(KafkaProducer<String, String> producer, String topic, int first,
            int count) {
        for (int i = first; i < first + count; i++) {
            producer.send(new ProducerRecord<>(topic, i % PARTITIONS, "k", Integer.toString(i)));
        }
    }

    /** The values that a reader from the beginning sees, in their order as numbers. */
    private static List<Integer> read(String topic, String isolation, int count) {
        Map<String, Object> settings = Map.of("bootstrap.servers", bootstrap,
                "isolation.level", isolation, "auto.offset.reset", "earliest");
        List<Integer> values = new ArrayList<>();
        try (KafkaConsumer<String, String> consumer = new KafkaConsumer<>(settings,
                new StringDeserializer(), new StringDeserializer())) {
            List<TopicPartition> all = new ArrayList<>();
            for (int index = 0; index < PARTITIONS; index++) {
                all.add(new TopicPartition(topic, index));
            }
            consumer.assign(all);
            Map<TopicPartition, Long> ends = consumer.endOffsets(all);
            long deadline = System.currentTimeMillis() + 20_000;
            boolean done = false;
            while (!done && System.currentTimeMillis() < deadline) {
                for (ConsumerRecord<String, String> record : consumer.poll(Duration.ofMillis(50))) {
                    values.add(Integer.parseInt(record.value()));
                }
                done = true;
                for (TopicPartition partition : all) {
                    done &= consumer.position(partition) >= ends.get(partition);
                }
            }
        }
        values.sort(null);
        check(values.size() == count,
                isolation + " shows " + values.size() + " instead of " + count);
        return values;
    }

    private static void commitsAndAborts() throws Exception {
        String topic = topic("ends");
        String id = "both-flows";
        try (KafkaProducer<String, String> producer = producer(id, 60_000)) {
            producer.beginTransaction();
            send(producer, topic, 0, 10);
            producer.flush();
            read(topic, "read_committed", 0);
            TransactionDescription open =
                    admin.describeTransactions(List.of(id)).description(id).get();
            check(open.state() == TransactionState.ONGOING, "it is " + open.state());
            check(open.topicPartitions().size() == PARTITIONS, "its partitions");
            producer.commitTransaction();
            producer.beginTransaction();
            send(producer, topic, 100, 7);
            producer.flush();
            producer.abortTransaction();
            producer.beginTransaction();
            producer.abortTransaction();
            producer.beginTransaction();
            send(producer, topic, 10, 5);
            producer.commitTransaction();
        }
        List<Integer> committed = read(topic, "read_committed", 15);
        for (int i = 0; i < 15; i++) {
            check(committed.get(i) == i, "record " + i);
        }
        read(topic, "read_uncommitted", 22);
        boolean listed = admin.listTransactions().all().get().stream()
                .anyMatch(listing -> listing.transactionalId().equals(id));
        check(listed, "the id is not listed");
        Story.ok("commit, abort, and what readers see of them");
    }

    private static void manyInARow() throws Exception {
        String topic = topic("row");
        try (KafkaProducer<String, String> producer = producer("row-" + run, 60_000)) {
            for (int i = 0; i < 100; i++) {
                producer.beginTransaction();
                send(producer, topic, i, 1);
                if (i % 10 == 9) {
                    producer.flush();
                    producer.abortTransaction();
                } else {
                    producer.commitTransaction();
                }
            }
        }
        read(topic, "read_committed", 90);
        Story.ok("a hundred transactions in a row");
    }

    private static void fences() throws Exception {
        String topic = topic("fence");
        String id = "fence-" + run;
        try (KafkaProducer<String, String> old = producer(id, 60_000)) {
            old.beginTransaction();
            send(old, topic, 0, 3);
            old.flush();
            try (KafkaProducer<String, String> next = producer(id, 60_000)) {
                next.beginTransaction();
                send(next, topic, 10, 4);
                boolean fenced = false;
                try {
                    old.commitTransaction();
                } catch (KafkaException refused) {
                    fenced = true;
                }
                check(fenced, "who was fenced commits");
                next.commitTransaction();
            }
            old.close(Duration.ZERO);
        }
        read(topic, "read_committed", 4);
        Story.ok("a producer that was replaced is fenced, and what it wrote is aborted");
    }

    private static void timesOut() throws Exception {
        String topic = topic("time");
        String id = "time-" + run;
        try (KafkaProducer<String, String> producer = producer(id, 1000)) {
            producer.beginTransaction();
            send(producer, topic, 0, 3);
            producer.flush();
            TransactionState state = TransactionState.ONGOING;
            long deadline = System.currentTimeMillis() + 30_000;
            while (state != TransactionState.COMPLETE_ABORT
                    && System.currentTimeMillis() < deadline) {
                Thread.sleep(100);
                state = admin.describeTransactions(List.of(id)).description(id).get().state();
            }
            check(state == TransactionState.COMPLETE_ABORT, "after its timeout: " + state);
            boolean refused = false;
            try {
                producer.commitTransaction();
            } catch (KafkaException late) {
                refused = true;
            }
            check(refused, "who took too long commits");
            producer.close(Duration.ZERO);
        }
        read(topic, "read_committed", 0);
        Story.ok("a transaction that takes too long is aborted");
    }

    private static void consumesAndProduces() throws Exception {
        String from = topic("from");
        String to = topic("to");
        try (KafkaProducer<String, String> producer = producer("from-" + run, 60_000)) {
            producer.beginTransaction();
            send(producer, from, 0, 30);
            producer.commitTransaction();
        }
        Map<String, Object> settings = new HashMap<>();
        settings.put("bootstrap.servers", bootstrap);
        settings.put("group.id", "txn-" + run);
        settings.put("isolation.level", "read_committed");
        settings.put("auto.offset.reset", "earliest");
        settings.put("enable.auto.commit", false);
        settings.put("max.poll.records", 7);
        try (KafkaConsumer<String, String> consumer = new KafkaConsumer<>(settings,
                        new StringDeserializer(), new StringDeserializer());
                KafkaProducer<String, String> producer = producer("copy-" + run, 60_000)) {
            consumer.subscribe(List.of(from));
            int copied = 0;
            boolean aborts = true;
            while (copied < 30) {
                Map<TopicPartition, OffsetAndMetadata> offsets = new HashMap<>();
                List<String> values = new ArrayList<>();
                var polled = consumer.poll(Duration.ofMillis(200));
                for (ConsumerRecord<String, String> record : polled) {
                    values.add(record.value());
                    offsets.put(new TopicPartition(record.topic(), record.partition()),
                            new OffsetAndMetadata(record.offset() + 1));
                }
                if (values.isEmpty()) {
                    continue;
                }
                producer.beginTransaction();
                for (String value : values) {
                    producer.send(new ProducerRecord<>(to, Integer.parseInt(value) % PARTITIONS,
                            "k", value));
                }
                producer.sendOffsetsToTransaction(offsets, consumer.groupMetadata());
                if (aborts) {
                    producer.abortTransaction();
                    for (TopicPartition partition : offsets.keySet()) {
                        OffsetAndMetadata committed =
                                consumer.committed(java.util.Set.of(partition)).get(partition);
                        consumer.seek(partition, committed == null ? 0 : committed.offset());
                    }
                } else {
                    producer.commitTransaction();
                    copied += values.size();
                }
                aborts = !aborts;
            }
        }
        read(to, "read_committed", 30);
        Story.ok("records and offsets in one transaction");
    }
}
