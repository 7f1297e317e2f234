import java.time.Duration;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.Properties;
import java.util.Random;
import org.apache.kafka.clients.consumer.ConsumerRecord;
import org.apache.kafka.clients.consumer.KafkaConsumer;
import org.apache.kafka.clients.consumer.OffsetAndMetadata;
import org.apache.kafka.clients.producer.KafkaProducer;
import org.apache.kafka.clients.producer.ProducerRecord;
import org.apache.kafka.common.TopicPartition;
import org.apache.kafka.common.serialization.StringDeserializer;
import org.apache.kafka.common.serialization.StringSerializer;

/**
 * A worker that reads ids and writes each to two outputs, exactly once, with the Java client:
 * SERVER GROUP INPUT OUTPUT_A OUTPUT_B NAME SEED RECORDS, the last being how many ids one
 * transaction takes at most. It ends at the first thing that goes wrong, and is then started again
 * under the same name.
 */
public final class ExactlyOnceWorker {
    private static final int ABORTED_PERCENT = 10;

    public static void main(String[] words) {
        try {
            work(words);
        } catch (Throwable error) {
            System.err.println(words[5] + ": " + error);
            Runtime.getRuntime().halt(1);
        }
    }

    private static void work(String[] words) {
        String name = words[5];
        Random random = new Random(Long.parseLong(words[6]));
        KafkaProducer<String, String> producer = new KafkaProducer<>(producer(words[0], name));
        KafkaConsumer<String, String> consumer =
            new KafkaConsumer<>(consumer(words[0], words[1], name, words[7]));
        producer.initTransactions();
        consumer.subscribe(List.of(words[2]));
        String life = name + ":" + ProcessHandle.current().pid();
        for (long number = 0; ; number++) {
            var records = consumer.poll(Duration.ofMillis(200));
            if (records.isEmpty()) {
                continue;
            }
            boolean doomed = random.nextInt(100) < ABORTED_PERCENT;
            String fate = doomed ? "drop" : "keep";
            Map<TopicPartition, OffsetAndMetadata> next = new HashMap<>();
            Map<TopicPartition, Long> first = new HashMap<>();
            producer.beginTransaction();
            for (ConsumerRecord<String, String> record : records) {
                var partition = new TopicPartition(record.topic(), record.partition());
                first.putIfAbsent(partition, record.offset());
                next.put(partition, new OffsetAndMetadata(record.offset() + 1));
                String value = record.value() + " " + life + ":" + number + " " + fate;
                for (String output : List.of(words[3], words[4])) {
                    producer.send(new ProducerRecord<>(output, record.value(), value));
                }
            }
            producer.sendOffsetsToTransaction(next, consumer.groupMetadata());
            if (doomed) {
                producer.flush();
                producer.abortTransaction();
                first.forEach(consumer::seek);
            } else {
                producer.commitTransaction();
            }
        }
    }

    private static Properties producer(String server, String name) {
        Properties settings = new Properties();
        settings.put("bootstrap.servers", server);
        settings.put("transactional.id", name);
        settings.put("transaction.timeout.ms", "10000");
        settings.put("max.block.ms", "20000");
        settings.put("reconnect.backoff.max.ms", "500");
        settings.put("key.serializer", StringSerializer.class.getName());
        settings.put("value.serializer", StringSerializer.class.getName());
        return settings;
    }

    private static Properties consumer(String server, String group, String name, String records) {
        Properties settings = new Properties();
        settings.put("bootstrap.servers", server);
        settings.put("group.id", group);
        settings.put("group.instance.id", name);
        settings.put("session.timeout.ms", "6000");
        settings.put("heartbeat.interval.ms", "500");
        settings.put("enable.auto.commit", "false");
        settings.put("auto.offset.reset", "earliest");
        settings.put("isolation.level", "read_committed");
        settings.put("max.poll.records", records);
        settings.put("reconnect.backoff.max.ms", "500");
        settings.put("partition.assignment.strategy",
            "org.apache.kafka.clients.consumer.RangeAssignor");
        settings.put("key.deserializer", StringDeserializer.class.getName());
        settings.put("value.deserializer", StringDeserializer.class.getName());
        return settings;
    }
}
