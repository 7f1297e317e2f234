import java.time.Duration;
import java.util.Arrays;
import java.util.Properties;
import org.apache.kafka.common.serialization.Serdes;
import org.apache.kafka.streams.KafkaStreams;
import org.apache.kafka.streams.StreamsBuilder;
import org.apache.kafka.streams.errors.StreamsUncaughtExceptionHandler;
import org.apache.kafka.streams.kstream.Grouped;
import org.apache.kafka.streams.kstream.JoinWindows;
import org.apache.kafka.streams.kstream.KStream;
import org.apache.kafka.streams.kstream.Produced;

/**
 * A word count, with a repartition topic and a store, and a windowed join of two streams.
 *
 * <p>usage: StreamsApp HOST:PORT NAME GUARANTEE FOLDER. Topics: NAME-words, -left and -right in,
 * NAME-counts and -joined out. Each count of a word is put out, so that a repeat shows.
 */
public final class StreamsApp {
    public static void main(String[] arguments) throws Exception {
        String name = arguments[1];
        Properties settings = new Properties();
        settings.put("bootstrap.servers", arguments[0]);
        settings.put("application.id", name);
        settings.put("processing.guarantee", arguments[2]);
        settings.put("state.dir", arguments[3]);
        settings.put("commit.interval.ms", 200);
        settings.put("statestore.cache.max.bytes", 0);
        settings.put("num.stream.threads", 1);
        settings.put("default.key.serde", Serdes.StringSerde.class);
        settings.put("default.value.serde", Serdes.StringSerde.class);
        settings.put("consumer.auto.offset.reset", "earliest");
        // A static member: one that was killed comes back into its place.
        settings.put("consumer.group.instance.id", name);
        settings.put("consumer.session.timeout.ms", 10_000);
        settings.put("producer.transaction.timeout.ms", 10_000);
        KafkaStreams streams = new KafkaStreams(topology(name).build(), settings);
        streams.setUncaughtExceptionHandler(failure -> {
            failure.printStackTrace();
            return StreamsUncaughtExceptionHandler.StreamThreadExceptionResponse.REPLACE_THREAD;
        });
        Runtime.getRuntime().addShutdownHook(
                new Thread(() -> streams.close(Duration.ofSeconds(20))));
        streams.setStateListener((now, before) -> System.out.println("state " + now));
        streams.start();
        Thread.currentThread().join();
    }

    private static StreamsBuilder topology(String name) {
        StreamsBuilder builder = new StreamsBuilder();
        builder.<String, String>stream(name + "-words")
                .flatMapValues(line -> Arrays.asList(line.split(" ")))
                .groupBy((key, word) -> word, Grouped.as("by-word"))
                .count()
                .toStream()
                .mapValues(count -> Long.toString(count))
                .to(name + "-counts", Produced.with(Serdes.String(), Serdes.String()));
        KStream<String, String> right = builder.stream(name + "-right");
        builder.<String, String>stream(name + "-left")
                .join(right, (a, b) -> a + "+" + b,
                        JoinWindows.ofTimeDifferenceWithNoGrace(Duration.ofMinutes(5)))
                .to(name + "-joined");
        return builder;
    }
}
