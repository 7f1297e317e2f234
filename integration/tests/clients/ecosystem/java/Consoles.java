import java.time.Duration;
import java.util.Collection;
import java.util.Collections;
import java.util.HashMap;
import java.util.HashSet;
import java.util.List;
import java.util.Map;
import java.util.Objects;
import java.util.Set;
import java.util.concurrent.Callable;
import java.util.concurrent.ExecutionException;
import org.apache.kafka.clients.admin.Admin;
import org.apache.kafka.clients.admin.AlterConfigOp;
import org.apache.kafka.clients.admin.Config;
import org.apache.kafka.clients.admin.ConfigEntry;
import org.apache.kafka.clients.admin.DescribeClusterOptions;
import org.apache.kafka.clients.admin.DescribeClusterResult;
import org.apache.kafka.clients.admin.DescribeConfigsOptions;
import org.apache.kafka.clients.admin.DescribeConsumerGroupsOptions;
import org.apache.kafka.clients.admin.DescribeTopicsOptions;
import org.apache.kafka.clients.admin.ListOffsetsResult.ListOffsetsResultInfo;
import org.apache.kafka.clients.admin.ListTopicsOptions;
import org.apache.kafka.clients.admin.LogDirDescription;
import org.apache.kafka.clients.admin.NewPartitions;
import org.apache.kafka.clients.admin.NewTopic;
import org.apache.kafka.clients.admin.OffsetSpec;
import org.apache.kafka.clients.admin.RecordsToDelete;
import org.apache.kafka.clients.admin.TopicDescription;
import org.apache.kafka.clients.consumer.KafkaConsumer;
import org.apache.kafka.clients.consumer.OffsetAndMetadata;
import org.apache.kafka.clients.producer.KafkaProducer;
import org.apache.kafka.clients.producer.ProducerRecord;
import org.apache.kafka.common.GroupState;
import org.apache.kafka.common.TopicPartition;
import org.apache.kafka.common.TopicPartitionReplica;
import org.apache.kafka.common.acl.AclBindingFilter;
import org.apache.kafka.common.acl.AclOperation;
import org.apache.kafka.common.config.ConfigResource;
import org.apache.kafka.common.errors.SecurityDisabledException;
import org.apache.kafka.common.errors.UnsupportedVersionException;
import org.apache.kafka.common.quota.ClientQuotaFilter;
import org.apache.kafka.common.serialization.StringDeserializer;
import org.apache.kafka.common.serialization.StringSerializer;

/**
 * The calls of the consoles (AKHQ, kafka-ui, Redpanda Console), page by page, where one that fails
 * takes the page with it. usage: Consoles HOST:PORT NAME
 */
public final class Consoles {
    private static String topic;
    private static String group;
    private static Map<String, Object> settings;
    private static Admin admin;
    private static int node;

    public static void main(String[] arguments) throws Exception {
        settings = new HashMap<>();
        settings.put("bootstrap.servers", arguments[0]);
        topic = arguments[1];
        group = topic + "-group";
        admin = Admin.create(settings);
        cluster();
        brokers();
        topics();
        records();
        groups();
        configurations();
        security();
        transactions();
        admin.deleteTopics(Collections.singleton(topic)).all().get();
        Thread.sleep(500);
        expect("topics left", admin.listTopics().names().get().contains(topic), false);
        ok("a topic deleted");
        System.exit(0);
    }

    private static void ok(String what) {
        System.out.println("ok " + what);
    }

    private static void expect(String what, Object actual, Object expected) {
        if (!Objects.equals(actual, expected)) {
            System.err.println(what + ": expected " + expected + ", got " + actual);
            System.exit(1);
        }
    }

    private static void cluster() throws Exception {
        DescribeClusterResult cluster = admin.describeCluster(
                new DescribeClusterOptions().includeAuthorizedOperations(true));
        node = cluster.controller().get().id();
        expect("nodes", cluster.nodes().get().size(), 1);
        expect("length of the cluster's id", cluster.clusterId().get().length(), 22);
        // Without access control everything is allowed: consoles draw their buttons from it.
        Set<AclOperation> operations = cluster.authorizedOperations().get();
        expect("may alter", operations == null || operations.contains(AclOperation.ALTER), true);
        expect("version of metadata", admin.describeFeatures().featureMetadata().get()
                .finalizedFeatures().containsKey("metadata.version"), true);
        expect("voters", admin.describeMetadataQuorum().quorumInfo().get().voters().size(), 1);
        expect("moves", admin.listPartitionReassignments().reassignments().get().size(), 0);
        ok("the cluster: operations, features, quorum, reassignments");
    }

    private static void brokers() throws Exception {
        ConfigResource broker =
                new ConfigResource(ConfigResource.Type.BROKER, Integer.toString(node));
        Config config = admin.describeConfigs(Collections.singleton(broker),
                new DescribeConfigsOptions().includeSynonyms(true).includeDocumentation(true))
                .all().get().get(broker);
        // What kafka-ui, AKHQ, Connect and Debezium look for.
        for (String key : List.of("inter.broker.protocol.version", "delete.topic.enable",
                "auto.create.topics.enable", "default.replication.factor", "log.retention.ms",
                "num.partitions", "offsets.retention.minutes", "log.dirs")) {
            ConfigEntry entry = config.get(key);
            expect(key + " is there", entry != null || key.startsWith("inter."), true);
        }
        Map<String, LogDirDescription> folders = admin.describeLogDirs(
                Collections.singleton(node)).allDescriptions().get().get(node);
        expect("folders", folders.size(), 1);
        expect("size of the disk", folders.values().iterator().next().totalBytes().isPresent(),
                true);
        ok("a broker: configuration and folders");
    }

    private static void topics() throws Exception {
        NewTopic wanted = new NewTopic(topic, 2, (short) 1)
                .configs(Collections.singletonMap("retention.ms", "3600000"));
        expect("partitions made", admin.createTopics(Collections.singleton(wanted))
                .numPartitions(topic).get(), 2);
        admin.createPartitions(Collections.singletonMap(topic, NewPartitions.increaseTo(3)))
                .all().get();
        // Apache Kafka's broker learns of it a moment later.
        Thread.sleep(500);
        Collection<String> all =
                admin.listTopics(new ListTopicsOptions().listInternal(true)).names().get();
        TopicDescription description = admin.describeTopics(all,
                new DescribeTopicsOptions().includeAuthorizedOperations(true))
                .allTopicNames().get().get(topic);
        expect("partitions", description.partitions().size(), 3);
        expect("in sync", description.partitions().get(2).isr().size(), 1);
        Set<ConfigResource> resources = new HashSet<>();
        for (String name : all) {
            resources.add(new ConfigResource(ConfigResource.Type.TOPIC, name));
        }
        Config config = admin.describeConfigs(resources).all().get()
                .get(new ConfigResource(ConfigResource.Type.TOPIC, topic));
        expect("retention", config.get("retention.ms").value(), "3600000");
        expect("its source", config.get("retention.ms").source(),
                ConfigEntry.ConfigSource.DYNAMIC_TOPIC_CONFIG);
        ok("all topics: descriptions, operations, configurations");
    }

    private static void records() throws Exception {
        try (KafkaProducer<String, String> producer = new KafkaProducer<>(
                settings, new StringSerializer(), new StringSerializer())) {
            for (int number = 0; number < 100; number++) {
                producer.send(new ProducerRecord<>(topic, 0, "key", "value " + number));
            }
        }
        TopicPartition partition = new TopicPartition(topic, 0);
        for (OffsetSpec spec : List.of(OffsetSpec.latest(), OffsetSpec.maxTimestamp(),
                OffsetSpec.forTimestamp(0), OffsetSpec.earliest())) {
            Map<TopicPartition, ListOffsetsResultInfo> offsets = admin.listOffsets(
                    Collections.singletonMap(partition, spec)).all().get();
            expect("offset " + spec, offsets.get(partition).offset() >= 0, true);
        }
        try (KafkaConsumer<String, String> reader = new KafkaConsumer<>(
                settings, new StringDeserializer(), new StringDeserializer())) {
            Set<TopicPartition> one = Collections.singleton(partition);
            expect("end", reader.endOffsets(one).get(partition), 100L);
            expect("beginning", reader.beginningOffsets(one).get(partition), 0L);
            reader.assign(one);
            reader.seek(partition, 90);
            int seen = 0;
            for (int turn = 0; turn < 50 && seen < 10; turn++) {
                seen += reader.poll(Duration.ofMillis(200)).count();
            }
            expect("the last records", seen, 10);
        }
        expect("low watermark", admin.deleteRecords(Collections.singletonMap(
                partition, RecordsToDelete.beforeOffset(40))).all().get() == null, true);
        long beginning = admin.listOffsets(Collections.singletonMap(
                partition, OffsetSpec.earliest())).all().get().get(partition).offset();
        expect("beginning after deletion", beginning, 40L);
        TopicPartitionReplica replica = new TopicPartitionReplica(topic, 0, node);
        expect("the replica's folder", admin.describeReplicaLogDirs(
                Collections.singleton(replica)).all().get().get(replica)
                .getCurrentReplicaLogDir() != null, true);
        ok("records: offsets by all means, the last ten, deletion, size");
    }

    private static void groups() throws Exception {
        TopicPartition partition = new TopicPartition(topic, 0);
        admin.alterConsumerGroupOffsets(group, Collections.singletonMap(
                partition, new OffsetAndMetadata(60))).all().get();
        expect("listed", admin.listGroups().all().get().stream()
                .anyMatch(listing -> listing.groupId().equals(group)), true);
        expect("state", admin.describeConsumerGroups(Collections.singleton(group),
                new DescribeConsumerGroupsOptions().includeAuthorizedOperations(true))
                .all().get().get(group).groupState(), GroupState.EMPTY);
        expect("committed", admin.listConsumerGroupOffsets(group)
                .partitionsToOffsetAndMetadata().get().get(partition).offset(), 60L);
        admin.deleteConsumerGroupOffsets(group, Collections.singleton(partition)).all().get();
        expect("committed after deletion", admin.listConsumerGroupOffsets(group)
                .partitionsToOffsetAndMetadata().get().get(partition), null);
        admin.alterConsumerGroupOffsets(group, Collections.singletonMap(
                partition, new OffsetAndMetadata(60))).all().get();
        admin.deleteConsumerGroups(Collections.singleton(group)).all().get();
        ok("groups: list, state, lag, reset, deletion");
    }

    private static void configurations() throws Exception {
        ConfigResource resource = new ConfigResource(ConfigResource.Type.TOPIC, topic);
        admin.incrementalAlterConfigs(Collections.singletonMap(resource, List.of(
                new AlterConfigOp(new ConfigEntry("max.message.bytes", "2000000"),
                        AlterConfigOp.OpType.SET),
                new AlterConfigOp(new ConfigEntry("retention.ms", ""),
                        AlterConfigOp.OpType.DELETE)))).all().get();
        Thread.sleep(500);
        Config config = admin.describeConfigs(Collections.singleton(resource)).all().get()
                .get(resource);
        expect("set", config.get("max.message.bytes").value(), "2000000");
        expect("deleted", config.get("retention.ms").value(), "604800000");
        admin.listConfigResources().all().get();
        admin.describeClientQuotas(ClientQuotaFilter.all()).entities().get();
        ok("configurations and quotas");
    }

    private static void security() throws Exception {
        refused("access rules", () -> admin.describeAcls(AclBindingFilter.ANY).values().get(),
                SecurityDisabledException.class);
        try {
            admin.describeUserScramCredentials().all().get();
        } catch (ExecutionException refusal) {
            expect("passwords: " + refusal.getCause(),
                    refusal.getCause() instanceof UnsupportedVersionException, true);
        }
        ok("security: off, and said so");
    }

    private static void transactions() throws Exception {
        admin.listTransactions().all().get();
        TopicPartition partition = new TopicPartition(topic, 0);
        expect("producers", admin.describeProducers(Collections.singleton(partition))
                .all().get().get(partition).activeProducers().size(), 1);
        ok("transactions and producers");
    }

    private static void refused(String what, Callable<?> call, Class<?> wanted)
            throws Exception {
        try {
            call.call();
        } catch (ExecutionException refusal) {
            expect(what, refusal.getCause().getClass(), wanted);
            return;
        }
        expect(what, "an answer", wanted);
    }
}
