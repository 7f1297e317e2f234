//! The rest of what Apache Kafka 4.3 shows of a broker and does not concern security: nothing here
//! depends on it, and a tool that compares brokers finds it.

use super::{CLUSTER, GROUPS, SHARES, STREAMS, TRANSACTIONS};
use super::{class, double, flag, int, list, long, text};
use crate::config::key::Key;

const TIERED: &str = "Of tiered storage, which is not supported.";
const PLUGINS: &str = "Of Java classes that Kafka loads; none are loaded here.";
const METRICS: &str = "Of Kafka's metrics; those of this server are told over HTTP.";
const WAITING: &str = "Of how Kafka keeps requests that wait; here each waits by itself.";
const MACHINERY: &str = "Of how Kafka is built inside.";

/// Keys that are shown with Kafka's defaults, for completeness.
pub const SILENT: &[Key] = &[
    int(
        "add.partitions.to.txn.retry.backoff.max.ms",
        "100",
        TRANSACTIONS,
    ),
    int("add.partitions.to.txn.retry.backoff.ms", "20", TRANSACTIONS),
    class("alter.config.policy.class.name", "", PLUGINS),
    int("alter.log.dirs.replication.quota.window.num", "11", CLUSTER),
    int(
        "alter.log.dirs.replication.quota.window.size.seconds",
        "1",
        CLUSTER,
    ),
    flag("auto.leader.rebalance.enable", "true", CLUSTER),
    int("broker.heartbeat.interval.ms", "2000", CLUSTER),
    int("broker.session.timeout.ms", "9000", CLUSTER),
    class("client.quota.callback.class", "", PLUGINS),
    list("config.providers", "", PLUGINS),
    flag("controlled.shutdown.enable", "true", CLUSTER),
    int("controller.quorum.append.linger.ms", "25", CLUSTER),
    flag("controller.quorum.auto.join.enable", "false", CLUSTER),
    int("controller.quorum.election.backoff.max.ms", "1000", CLUSTER),
    int("controller.quorum.election.timeout.ms", "1000", CLUSTER),
    int("controller.quorum.fetch.max.bytes", "1048576", CLUSTER),
    int(
        "controller.quorum.fetch.snapshot.max.bytes",
        "1048576",
        CLUSTER,
    ),
    int("controller.quorum.fetch.timeout.ms", "2000", CLUSTER),
    int("controller.quorum.request.timeout.ms", "2000", CLUSTER),
    int("controller.quorum.retry.backoff.ms", "20", CLUSTER),
    int("controller.socket.timeout.ms", "30000", CLUSTER),
    list("cordoned.log.dirs", "", MACHINERY),
    class("create.topic.policy.class.name", "", PLUGINS),
    int(
        "delete.records.purgatory.purge.interval.requests",
        "1",
        WAITING,
    ),
    list("early.start.listeners", "", CLUSTER),
    int("fetch.purgatory.purge.interval.requests", "1000", WAITING),
    flag("follower.fetch.last.tiered.offset.enable", "false", TIERED),
    int("group.consumer.assignment.interval.ms", "1000", GROUPS)
        .at_least(0)
        .at_most(15_000)
        .dynamic(),
    int("group.consumer.max.assignment.interval.ms", "15000", GROUPS),
    int("group.consumer.min.assignment.interval.ms", "0", GROUPS),
    int("group.coordinator.background.threads", "2", GROUPS),
    int(
        "group.coordinator.cached.buffer.max.bytes",
        "1048588",
        GROUPS,
    )
    .at_least(524_288)
    .dynamic(),
    list(
        "group.coordinator.rebalance.protocols",
        "classic,consumer,streams",
        GROUPS,
    ),
    int("group.share.assignment.interval.ms", "1000", SHARES)
        .at_least(0)
        .at_most(15_000)
        .dynamic(),
    list("group.share.assignors", "simple", SHARES),
    int("group.share.max.assignment.interval.ms", "15000", SHARES),
    int("group.share.max.delivery.count.limit", "10", SHARES),
    int("group.share.max.heartbeat.interval.ms", "15000", SHARES),
    int("group.share.max.partition.max.record.locks", "4000", SHARES),
    int("group.share.max.record.lock.duration.ms", "60000", SHARES),
    int("group.share.max.session.timeout.ms", "60000", SHARES),
    int("group.share.min.assignment.interval.ms", "0", SHARES),
    int("group.share.min.delivery.count.limit", "2", SHARES),
    int("group.share.min.heartbeat.interval.ms", "5000", SHARES),
    int("group.share.min.partition.max.record.locks", "100", SHARES),
    int("group.share.min.record.lock.duration.ms", "15000", SHARES),
    int("group.share.min.session.timeout.ms", "45000", SHARES),
    int("group.streams.assignment.interval.ms", "1000", STREAMS)
        .at_least(0)
        .at_most(15_000)
        .dynamic(),
    int("group.streams.max.assignment.interval.ms", "15000", STREAMS),
    int("group.streams.max.heartbeat.interval.ms", "15000", STREAMS),
    int("group.streams.max.session.timeout.ms", "60000", STREAMS),
    int("group.streams.max.size", "2147483647", STREAMS),
    int("group.streams.max.standby.replicas", "2", STREAMS),
    int("group.streams.min.assignment.interval.ms", "0", STREAMS),
    int("group.streams.min.heartbeat.interval.ms", "5000", STREAMS),
    int("group.streams.min.session.timeout.ms", "45000", STREAMS),
    int("initial.broker.registration.timeout.ms", "60000", CLUSTER),
    int("kafka.metrics.polling.interval.secs", "10", METRICS),
    list("kafka.metrics.reporters", "", METRICS),
    long("leader.imbalance.check.interval.seconds", "300", CLUSTER),
    double("log.cleaner.io.buffer.load.factor", "0.9", MACHINERY).dynamic(),
    int("log.cleaner.io.buffer.size", "524288", MACHINERY)
        .at_least(0)
        .dynamic(),
    long("log.dir.failure.timeout.ms", "30000", MACHINERY),
    int(
        "log.flush.offset.checkpoint.interval.ms",
        "60000",
        MACHINERY,
    ),
    int(
        "log.flush.start.offset.checkpoint.interval.ms",
        "60000",
        MACHINERY,
    ),
    long("log.local.retention.bytes", "-2", TIERED)
        .at_least(-2)
        .dynamic(),
    long("log.local.retention.ms", "-2", TIERED)
        .at_least(-2)
        .dynamic(),
    text("metadata.log.dir", "", CLUSTER),
    long(
        "metadata.log.max.record.bytes.between.snapshots",
        "20971520",
        CLUSTER,
    ),
    long("metadata.log.max.snapshot.interval.ms", "3600000", CLUSTER),
    int("metadata.log.segment.bytes", "1073741824", CLUSTER),
    long("metadata.log.segment.ms", "604800000", CLUSTER),
    int("metadata.max.idle.interval.ms", "500", CLUSTER),
    long("metadata.max.retention.bytes", "104857600", CLUSTER),
    long("metadata.max.retention.ms", "604800000", CLUSTER),
    list("metric.reporters", "", METRICS),
    int("metrics.num.samples", "2", METRICS),
    text("metrics.recording.level", "INFO", METRICS),
    long("metrics.sample.window.ms", "30000", METRICS),
    int("num.replica.alter.log.dirs.threads", "", CLUSTER),
    int("offsets.load.buffer.size", "5242880", MACHINERY),
    int("offsets.topic.compression.codec", "0", MACHINERY),
    int(
        "producer.purgatory.purge.interval.requests",
        "1000",
        WAITING,
    ),
    long("queued.max.request.bytes", "-1", MACHINERY),
    int("remote.fetch.max.wait.ms", "500", TIERED)
        .at_least(1)
        .dynamic(),
    long("remote.list.offsets.request.timeout.ms", "30000", TIERED)
        .at_least(1)
        .dynamic(),
    long(
        "remote.log.index.file.cache.total.size.bytes",
        "1073741824",
        TIERED,
    )
    .at_least(1)
    .dynamic(),
    int("remote.log.manager.copier.thread.pool.size", "10", TIERED)
        .at_least(1)
        .dynamic(),
    long(
        "remote.log.manager.copy.max.bytes.per.second",
        "9223372036854775807",
        TIERED,
    )
    .at_least(1)
    .dynamic(),
    int("remote.log.manager.copy.quota.window.num", "11", TIERED),
    int(
        "remote.log.manager.copy.quota.window.size.seconds",
        "1",
        TIERED,
    ),
    int(
        "remote.log.manager.expiration.thread.pool.size",
        "10",
        TIERED,
    )
    .at_least(1)
    .dynamic(),
    long(
        "remote.log.manager.fetch.max.bytes.per.second",
        "9223372036854775807",
        TIERED,
    )
    .at_least(1)
    .dynamic(),
    int("remote.log.manager.fetch.quota.window.num", "11", TIERED),
    int(
        "remote.log.manager.fetch.quota.window.size.seconds",
        "1",
        TIERED,
    ),
    int("remote.log.manager.follower.thread.pool.size", "2", TIERED)
        .at_least(1)
        .dynamic(),
    long("remote.log.manager.task.interval.ms", "30000", TIERED),
    int("remote.log.manager.thread.pool.size", "2", TIERED),
    int(
        "remote.log.metadata.custom.metadata.max.bytes",
        "128",
        TIERED,
    ),
    text(
        "remote.log.metadata.manager.class.name",
        "org.apache.kafka.server.log.remote.metadata.storage.TopicBasedRemoteLogMetadataManager",
        TIERED,
    ),
    text("remote.log.metadata.manager.class.path", "", TIERED),
    text(
        "remote.log.metadata.manager.impl.prefix",
        "rlmm.config.",
        TIERED,
    ),
    text("remote.log.metadata.manager.listener.name", "", TIERED),
    int("remote.log.reader.max.pending.tasks", "100", TIERED),
    int("remote.log.reader.threads", "10", TIERED)
        .at_least(1)
        .dynamic(),
    text("remote.log.storage.manager.class.name", "", TIERED),
    text("remote.log.storage.manager.class.path", "", TIERED),
    text(
        "remote.log.storage.manager.impl.prefix",
        "rsm.config.",
        TIERED,
    ),
    flag("remote.log.storage.system.enable", "false", TIERED),
    int("replica.fetch.backoff.ms", "1000", CLUSTER),
    int("replica.fetch.max.bytes", "1048576", CLUSTER),
    int("replica.fetch.min.bytes", "1", CLUSTER),
    int("replica.fetch.response.max.bytes", "10485760", CLUSTER),
    int("replica.fetch.wait.max.ms", "500", CLUSTER),
    long(
        "replica.high.watermark.checkpoint.interval.ms",
        "5000",
        CLUSTER,
    ),
    long("replica.lag.time.max.ms", "30000", CLUSTER),
    text("replica.selector.class", "", CLUSTER),
    int("replica.socket.receive.buffer.bytes", "65536", CLUSTER),
    int("replica.socket.timeout.ms", "30000", CLUSTER),
    int("replication.quota.window.num", "11", CLUSTER),
    int("replication.quota.window.size.seconds", "1", CLUSTER),
    int("share.coordinator.append.linger.ms", "-1", SHARES),
    int(
        "share.coordinator.cached.buffer.max.bytes",
        "1048588",
        SHARES,
    )
    .at_least(524_288)
    .dynamic(),
    int("share.coordinator.load.buffer.size", "5242880", SHARES),
    int(
        "share.coordinator.snapshot.update.records.per.snapshot",
        "500",
        SHARES,
    ),
    int(
        "share.coordinator.state.topic.compression.codec",
        "0",
        SHARES,
    ),
    int(
        "share.coordinator.state.topic.segment.bytes",
        "104857600",
        SHARES,
    ),
    int("share.coordinator.threads", "1", SHARES),
    int("share.coordinator.write.timeout.ms", "5000", SHARES),
    int(
        "share.fetch.purgatory.purge.interval.requests",
        "1000",
        SHARES,
    ),
    long("socket.connection.setup.timeout.max.ms", "30000", MACHINERY),
    long("socket.connection.setup.timeout.ms", "10000", MACHINERY),
    int("telemetry.max.bytes", "1048576", METRICS),
    int(
        "transaction.state.log.load.buffer.size",
        "5242880",
        TRANSACTIONS,
    ),
    int(
        "transaction.state.log.segment.bytes",
        "104857600",
        TRANSACTIONS,
    ),
];
