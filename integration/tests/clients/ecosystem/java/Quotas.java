import java.time.Duration;
import java.util.Collections;
import java.util.HashMap;
import java.util.Map;
import java.util.concurrent.ExecutionException;
import org.apache.kafka.clients.admin.Admin;
import org.apache.kafka.clients.admin.CreateTopicsOptions;
import org.apache.kafka.clients.admin.NewTopic;
import org.apache.kafka.clients.consumer.ConsumerRecords;
import org.apache.kafka.clients.consumer.KafkaConsumer;
import org.apache.kafka.clients.consumer.KafkaShareConsumer;
import org.apache.kafka.clients.producer.KafkaProducer;
import org.apache.kafka.clients.producer.ProducerRecord;
import org.apache.kafka.common.Metric;
import org.apache.kafka.common.MetricName;
import org.apache.kafka.common.errors.ThrottlingQuotaExceededException;
import org.apache.kafka.common.quota.ClientQuotaAlteration;
import org.apache.kafka.common.quota.ClientQuotaEntity;
import org.apache.kafka.common.serialization.ByteArrayDeserializer;
import org.apache.kafka.common.serialization.ByteArraySerializer;

/**
 * Each quota as a client sees it: in its metrics of throttle times, in how long it takes, and in
 * the error that says it took too much. usage: Quotas HOST:PORT NAME
 */
public final class Quotas {
    private static final byte[] KILOBYTE = new byte[1000];
    private static String name;
    private static Map<String, Object> settings;
    private static Admin admin;

    public static void main(String[] arguments) throws Exception {
        name = arguments[1];
        settings = new HashMap<>();
        settings.put("bootstrap.servers", arguments[0]);
        settings.put("client.id", name);
        admin = Admin.create(settings);
        admin.createTopics(Collections.singleton(new NewTopic(name, 1, (short) 1))).all().get();
        produced();
        fetched();
        shared();
        requests();
        mutations();
        admin.deleteTopics(Collections.singleton(name)).all().get();
        System.exit(0);
    }

    private static void ok(String what) {
        System.out.println("ok " + what);
    }

    private static void expect(String what, boolean holds) {
        if (!holds) {
            System.err.println("not so: " + what);
            System.exit(1);
        }
    }

    /** Give this client a quota, or with null take it away, and wait until it counts. */
    private static void quota(String quota, Double limit) throws Exception {
        ClientQuotaEntity client =
                new ClientQuotaEntity(Collections.singletonMap("client-id", name));
        ClientQuotaAlteration alteration = new ClientQuotaAlteration(client,
                Collections.singleton(new ClientQuotaAlteration.Op(quota, limit)));
        admin.alterClientQuotas(Collections.singleton(alteration)).all().get();
        Thread.sleep(500);
    }

    private static double metric(Map<MetricName, ? extends Metric> metrics, String metric) {
        double most = 0;
        for (Map.Entry<MetricName, ? extends Metric> entry : metrics.entrySet()) {
            if (entry.getKey().name().equals(metric)) {
                double value = (Double) entry.getValue().metricValue();
                most = Double.isNaN(value) ? most : Math.max(most, value);
            }
        }
        return most;
    }

    private static KafkaProducer<byte[], byte[]> producer() {
        Map<String, Object> own = new HashMap<>(settings);
        own.put("batch.size", 4000);
        return new KafkaProducer<>(own, new ByteArraySerializer(), new ByteArraySerializer());
    }

    private static void produce(KafkaProducer<byte[], byte[]> producer, int records)
            throws Exception {
        for (int sent = 0; sent < records; sent++) {
            producer.send(new ProducerRecord<>(name, KILOBYTE)).get();
        }
    }

    private static void produced() throws Exception {
        try (KafkaProducer<byte[], byte[]> producer = producer()) {
            produce(producer, 50);
            expect("without a quota nobody waits",
                    metric(producer.metrics(), "produce-throttle-time-max") == 0);
            quota("producer_byte_rate", 5000.0);
            produce(producer, 70);
            expect("a producer is throttled",
                    metric(producer.metrics(), "produce-throttle-time-max") > 100);
            quota("producer_byte_rate", null);
        }
        ok("producer_byte_rate");
    }

    private static void fetched() throws Exception {
        Map<String, Object> own = new HashMap<>(settings);
        own.put("group.id", name);
        own.put("auto.offset.reset", "earliest");
        own.put("max.partition.fetch.bytes", 10_000);
        quota("consumer_byte_rate", 5000.0);
        try (KafkaConsumer<byte[], byte[]> consumer = new KafkaConsumer<>(own,
                new ByteArrayDeserializer(), new ByteArrayDeserializer())) {
            consumer.subscribe(Collections.singleton(name));
            int read = 0;
            long deadline = System.nanoTime() + 60_000_000_000L;
            while (read < 110 && System.nanoTime() < deadline) {
                ConsumerRecords<byte[], byte[]> records = consumer.poll(Duration.ofSeconds(1));
                read += records.count();
            }
            expect("all records come", read >= 110);
            expect("a consumer is throttled",
                    metric(consumer.metrics(), "fetch-throttle-time-max") > 100);
        }
        quota("consumer_byte_rate", null);
        ok("consumer_byte_rate");
    }

    private static void shared() throws Exception {
        String group = name + "-share";
        Map<String, Object> own = new HashMap<>(settings);
        own.put("group.id", group);
        quota("consumer_byte_rate", 5000.0);
        try (KafkaShareConsumer<byte[], byte[]> consumer = new KafkaShareConsumer<>(own,
                new ByteArrayDeserializer(), new ByteArrayDeserializer());
                KafkaProducer<byte[], byte[]> producer = producer()) {
            consumer.subscribe(Collections.singleton(name));
            int read = 0;
            long deadline = System.nanoTime() + 60_000_000_000L;
            while (read < 80 && System.nanoTime() < deadline) {
                produce(producer, 10);
                read += consumer.poll(Duration.ofMillis(200)).count();
            }
            expect("records come to a share group", read >= 80);
            expect("a share consumer is throttled",
                    metric(consumer.metrics(), "fetch-throttle-time-max") > 100);
        }
        quota("consumer_byte_rate", null);
        ok("consumer_byte_rate of a share group");
    }

    private static void requests() throws Exception {
        quota("request_percentage", 0.001);
        try (KafkaProducer<byte[], byte[]> producer = producer()) {
            produce(producer, 10);
            double most = metric(producer.metrics(), "produce-throttle-time-max");
            expect("a client whose requests take too long is throttled", most > 0);
            expect("for a second at most", most <= 1000);
        }
        quota("request_percentage", null);
        ok("request_percentage");
    }

    private static void make(String topic, int partitions, boolean retries) throws Exception {
        NewTopic made = new NewTopic(topic, partitions, (short) 1);
        admin.createTopics(Collections.singleton(made),
                new CreateTopicsOptions().retryOnQuotaViolation(retries)).all().get();
    }

    private static void mutations() throws Exception {
        quota("controller_mutation_rate", 2.0);
        make(name + "-first", 24, false);
        long told = 0;
        try {
            make(name + "-second", 1, false);
            expect("what is too much is refused", false);
        } catch (ExecutionException refused) {
            ThrottlingQuotaExceededException why =
                    (ThrottlingQuotaExceededException) refused.getCause();
            told = why.throttleTimeMs();
            expect("a time is told", told > 0 && told <= 1000);
        }
        long began = System.nanoTime();
        make(name + "-second", 1, true);
        long waitedMs = (System.nanoTime() - began) / 1_000_000;
        expect("a client that asks again waits, for most of the time that it was told",
                waitedMs >= told / 2);
        quota("controller_mutation_rate", null);
        admin.deleteTopics(java.util.Arrays.asList(name + "-first", name + "-second")).all().get();
        ok("controller_mutation_rate");
    }
}
