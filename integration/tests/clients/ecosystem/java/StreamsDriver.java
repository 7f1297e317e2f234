import java.time.Duration;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.Collections;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.TreeMap;
import org.apache.kafka.clients.admin.Admin;
import org.apache.kafka.clients.admin.NewTopic;
import org.apache.kafka.clients.consumer.ConsumerRecord;
import org.apache.kafka.clients.consumer.KafkaConsumer;
import org.apache.kafka.clients.producer.KafkaProducer;
import org.apache.kafka.clients.producer.ProducerRecord;
import org.apache.kafka.common.TopicPartition;
import org.apache.kafka.common.serialization.StringDeserializer;
import org.apache.kafka.common.serialization.StringSerializer;

/**
 * Gives the application its input and looks at its output, read committed.
 *
 * <p>usage: StreamsDriver HOST:PORT NAME create | produce FROM TO | check COUNT GUARANTEE
 */
public final class StreamsDriver {
    private static final int PARTITIONS = 2;
    private static final int WORDS = 7;
    private static String bootstrap;
    private static String name;

    public static void main(String[] arguments) throws Exception {
        bootstrap = arguments[0];
        name = arguments[1];
        switch (arguments[2]) {
            case "create":
                create();
                break;
            case "produce":
                produce(Integer.parseInt(arguments[3]), Integer.parseInt(arguments[4]));
                break;
            case "check":
                check(Integer.parseInt(arguments[3]), arguments[4].startsWith("exactly"));
                break;
            default:
                throw new IllegalArgumentException(arguments[2]);
        }
    }

    private static Map<String, Object> settings() {
        Map<String, Object> settings = new HashMap<>();
        settings.put("bootstrap.servers", bootstrap);
        return settings;
    }

    private static void create() throws Exception {
        try (Admin admin = Admin.create(settings())) {
            List<NewTopic> topics = new ArrayList<>();
            for (String purpose : Arrays.asList("words", "left", "right", "counts", "joined")) {
                topics.add(new NewTopic(name + "-" + purpose, PARTITIONS, (short) -1));
            }
            admin.createTopics(topics).all().get();
        }
    }

    private static void produce(int from, int to) {
        Map<String, Object> settings = settings();
        settings.put("linger.ms", 5);
        try (KafkaProducer<String, String> producer = new KafkaProducer<>(
                settings, new StringSerializer(), new StringSerializer())) {
            for (int number = from; number < to; number++) {
                String key = "key-" + number;
                String line = "word-" + number % WORDS + " every";
                producer.send(new ProducerRecord<>(name + "-words", key, line));
                producer.send(new ProducerRecord<>(name + "-left", key, "l" + number));
                producer.send(new ProducerRecord<>(name + "-right", key, "r" + number));
            }
        }
    }

    /** All values by key, in order; until there are `least` records, and none more comes. */
    private static Map<String, List<String>> read(String purpose, int least) {
        Map<String, Object> settings = settings();
        settings.put("isolation.level", "read_committed");
        settings.put("enable.auto.commit", false);
        Map<String, List<String>> seen = new TreeMap<>();
        int records = 0;
        try (KafkaConsumer<String, String> reader = new KafkaConsumer<>(
                settings, new StringDeserializer(), new StringDeserializer())) {
            List<TopicPartition> all = new ArrayList<>();
            for (int partition = 0; partition < PARTITIONS; partition++) {
                all.add(new TopicPartition(name + "-" + purpose, partition));
            }
            reader.assign(all);
            reader.seekToBeginning(all);
            long deadline = System.nanoTime() + Duration.ofSeconds(90).toNanos();
            long quiet = System.nanoTime();
            while (System.nanoTime() < deadline
                    && (records < least || System.nanoTime() - quiet < 3_000_000_000L)) {
                for (ConsumerRecord<String, String> record : reader.poll(Duration.ofMillis(200))) {
                    seen.computeIfAbsent(record.key(), k -> new ArrayList<>()).add(record.value());
                    records++;
                    quiet = System.nanoTime();
                }
            }
        }
        System.out.println(purpose + ": " + records + " records");
        return seen;
    }

    private static void check(int count, boolean exactly) {
        Map<String, List<String>> counts = read("counts", 2 * count);
        for (int word = 0; word < WORDS; word++) {
            int expected = count / WORDS + (word < count % WORDS ? 1 : 0);
            checkCounts("word-" + word, counts.get("word-" + word), expected, exactly);
        }
        checkCounts("every", counts.get("every"), count, exactly);
        Map<String, List<String>> joined = read("joined", count);
        for (int number = 0; number < count; number++) {
            List<String> pairs = joined.get("key-" + number);
            List<String> wanted = Collections.singletonList("l" + number + "+r" + number);
            boolean right = exactly ? wanted.equals(pairs)
                    : pairs != null && pairs.containsAll(wanted) && wanted.containsAll(pairs);
            expect(right, "key-" + number + " is joined to " + pairs);
        }
        expect(joined.size() == count, "joined keys: " + joined.size());
        System.out.println("right");
    }

    /** Exactly once: 1, 2, 3 and so on, each once. At least once: no step is left out. */
    private static void checkCounts(
            String word, List<String> seen, int expected, boolean exactly) {
        expect(seen != null, word + " was never counted");
        long highest = 0;
        for (int at = 0; at < seen.size(); at++) {
            long value = Long.parseLong(seen.get(at));
            expect(!exactly || value == at + 1, word + ": count " + at + " is " + value);
            highest = Math.max(highest, value);
        }
        expect(exactly ? highest == expected : highest >= expected,
                word + " was counted " + highest + " times of " + expected);
    }

    private static void expect(boolean right, String what) {
        if (!right) {
            System.err.println(what);
            System.exit(1);
        }
    }
}
