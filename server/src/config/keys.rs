//! The keys that the server acts on: one row each gives the field, its type, its default, its
//! name, its range and what it means. Everything else about a key follows from its row.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::num::NonZeroU32;
use std::path::PathBuf;

use ratel_storage::{Codec, TimestampType, Validation};

use super::key::{Access, GzipLevel, Key, Meaning, PerAddress, Scope, Setting};
use super::{DurabilityMode, Listener, LogFormat, MigrationPolicy, Source};

macro_rules! keys {
    ($(
        $(#[doc = $doc:literal])+
        $field:ident: $type:ty = $default:expr, $name:literal $(, $mark:ident($($value:expr),*))*;
    )+) => {
        /// The configuration in force. Fields are named after Kafka's keys, with `_` for `.`.
        #[derive(Debug, Clone)]
        pub struct Config {
            $($(#[doc = $doc])+ pub $field: $type,)+
            /// Values of keys that are only shown, where they differ from Kafka's defaults.
            pub shown: BTreeMap<&'static str, String>,
            /// Where each value came from; what is missing here has its default.
            pub sources: BTreeMap<&'static str, Source>,
        }

        impl Default for Config {
            fn default() -> Self {
                Self {
                    $($field: $default,)+
                    shown: BTreeMap::new(),
                    sources: BTreeMap::new(),
                }
            }
        }

        /// The keys that the server acts on.
        pub const ACTED_ON: &[Key] = &[$(
            Key {
                name: $name,
                kind: <$type as Setting>::KIND,
                range: <$type as Setting>::RANGE,
                words: &[],
                any_case: false,
                scope: Scope::ReadOnly,
                meaning: Meaning::Acts,
                ours: false,
                synonyms: &[],
                aliases: &[],
                doc: concat!($($doc),+),
                access: Access::Field {
                    read: |config| Setting::text(&config.$field),
                    write: |config, text| {
                        config.$field = Setting::parse(text)?;
                        Ok(())
                    },
                },
            }$(.$mark($($value),*))*,
        )+];
    };
}

keys! {
    /// The server's number in its cluster.
    node_id: i32 = 1, "node.id", at_least(0), aliases(&["broker.id"]);
    /// Where to listen, as NAME://host:port with commas between them. An empty host or 0.0.0.0
    /// is every address; port 0 lets the system choose. Those named in controller.listener.names
    /// are not opened.
    listeners: Vec<Listener> = vec![Listener {
        name: "PLAINTEXT".into(),
        host: "127.0.0.1".into(),
        port: 9092,
        advertised: None,
    }], "listeners", list();
    /// What clients are told to connect to, as NAME://host:port for each listener. Without it
    /// they are told the bound address or, of a listener on every address, the one they came to.
    advertised_listeners: Option<String> = None, "advertised.listeners", list();
    /// Which protocol each listener speaks, as NAME:PROTOCOL with commas between them. Only
    /// PLAINTEXT is spoken so far.
    listener_security_protocol_map: String =
        "PLAINTEXT:PLAINTEXT,SSL:SSL,SASL_PLAINTEXT:SASL_PLAINTEXT,SASL_SSL:SASL_SSL".into(),
        "listener.security.protocol.map";
    /// Listeners of Kafka's controllers, which do not exist here: they are not opened.
    controller_listener_names: Option<String> = None, "controller.listener.names", list();
    /// The one data directory. It is made if it is missing, and belongs to one server at a time.
    log_dir: PathBuf = "ratel-data".into(), "log.dirs", list(), aliases(&["log.dir"]);
    /// Where metrics and health answer over HTTP; off turns them off.
    http_listen: Option<SocketAddr> = Some(([127, 0, 0, 1], 8080).into()), "http.listen", ours();
    /// What acks=all waits for: contract is a sync of the disk; relaxed is nothing, so that a
    /// power cut takes what was acknowledged (for development).
    durability: DurabilityMode = DurabilityMode::Contract, "durability",
        words(&["contract", "relaxed"]), ours();
    /// How much is logged: error, warn, info, debug or trace, or directives such as
    /// info,ratel_server::net=debug. RATEL_LOG is a short name of its environment variable.
    log_level: String = "info".into(), "log.level", ours();
    /// How log lines look: text, json, or auto, which is text on a terminal and json elsewhere.
    log_format: LogFormat = LogFormat::Auto, "log.format",
        words(&["auto", "text", "json"]), ours();

    /// Make a topic when somebody asks for one that does not exist.
    auto_create_topics_enable: bool = true, "auto.create.topics.enable";
    /// Whether topics may be deleted.
    delete_topic_enable: bool = true, "delete.topic.enable";
    /// Partitions of a topic that is made without a number.
    num_partitions: i32 = 1, "num.partitions", at_least(1);
    /// Replicas of a topic that is made without a number. One server keeps one.
    default_replication_factor: i16 = 1, "default.replication.factor", at_least(1);
    /// Take a replication factor above the number of servers as that number instead of refusing
    /// it.
    replication_factor_clamp: bool = false, "replication.factor.clamp", ours();
    /// Partitions in one answer to DescribeTopicPartitions at most.
    max_request_partition_size_limit: i32 = 2000, "max.request.partition.size.limit",
        at_least(1);
    /// Topics at most.
    topics_max: usize = 100_000, "topics.max", at_least(1), ours();
    /// Partitions of all topics together at most.
    partitions_max: usize = 200_000, "partitions.max", at_least(1), ours();

    /// The largest batch of records as sent, in bytes, of topics that do not say otherwise.
    message_max_bytes: usize = 1_048_588, "message.max.bytes", dynamic();
    /// The largest Produce request in bytes.
    socket_request_max_bytes: usize = 104_857_600, "socket.request.max.bytes", at_least(1);
    /// The largest request of any other kind in bytes.
    request_max_bytes: usize = 16 << 20, "request.max.bytes", at_least(1024), ours();
    /// The send buffer of a connection in bytes, at most what the system grants
    /// (net.core.wmem_max); -1 lets the system size it. Left alone it grows to megabytes, and
    /// large answers leave the processor's caches before their client reads them.
    socket_send_buffer_bytes: Option<NonZeroU32> = NonZeroU32::new(131_072),
        "socket.send.buffer.bytes";
    /// The receive buffer of a connection in bytes, at most what the system grants
    /// (net.core.rmem_max); -1 lets the system size it.
    socket_receive_buffer_bytes: Option<NonZeroU32> = None, "socket.receive.buffer.bytes";
    /// The largest answer to a fetch in bytes.
    fetch_max_bytes: usize = 57_671_680, "fetch.max.bytes", at_least(1024);
    /// Fetch sessions that are remembered at most.
    fetch_session_slots: usize = 1000, "max.incremental.fetch.session.cache.slots";
    /// Partitions of all fetch sessions together at most.
    fetch_session_partitions_max: usize = 200_000, "fetch.session.partitions.max", ours();
    /// Connections at most.
    max_connections: usize = 100_000, "max.connections", at_least(1), dynamic();
    /// Connections from one address at most.
    max_connections_per_ip: usize = 100_000, "max.connections.per.ip", at_least(1), dynamic();
    /// Connections from single addresses at most, as ADDRESS:NUMBER with commas between them; over
    /// max.connections.per.ip.
    max_connections_per_ip_overrides: PerAddress = PerAddress::default(),
        "max.connections.per.ip.overrides", dynamic();
    /// New connections a second at most, on average over a window of quotas; what comes faster
    /// waits to be accepted.
    max_connection_creation_rate: i32 = 2_147_483_647, "max.connection.creation.rate",
        at_least(1), dynamic();
    /// Samples in the window over which a client's rates are measured and held against its quotas.
    quota_window_num: usize = 11, "quota.window.num", at_least(1);
    /// How long each of these samples is, in seconds. No request's time and no connection is
    /// answered with a longer wait than one.
    quota_window_size_seconds: i32 = 1, "quota.window.size.seconds", at_least(1);
    /// Samples in the window of quotas of partitions made and deleted: a whole window's may be made
    /// at once.
    controller_quota_window_num: usize = 11, "controller.quota.window.num", at_least(1);
    /// How long each of these samples is, in seconds.
    controller_quota_window_size_seconds: i32 = 1, "controller.quota.window.size.seconds",
        at_least(1);
    /// A connection on which nothing came for this long is closed.
    connections_max_idle_ms: u64 = 600_000, "connections.max.idle.ms", at_least(1);
    /// A request that began to arrive must be whole within this time.
    frame_timeout_ms: u64 = 30_000, "frame.timeout.ms", at_least(1), ours();
    /// A client that reads nothing for this long is closed.
    write_timeout_ms: u64 = 30_000, "write.timeout.ms", at_least(1), ours();
    /// Bytes of all requests and answers in flight at most; connections wait beyond it.
    memory_request_bytes: usize = 512 << 20, "memory.request.bytes", long(), at_least(1 << 20),
        ours();
    /// How long a stop waits for clients before it closes their connections.
    shutdown_timeout_ms: u64 = 5000, "shutdown.timeout.ms", at_most(600_000), ours();

    /// Partitions of __consumer_offsets, when it is made.
    offsets_topic_num_partitions: i32 = 50, "offsets.topic.num.partitions", at_least(1);
    /// Partitions of `__share_group_state`, fixed when it is made.
    share_coordinator_state_topic_num_partitions: i32 = 50,
        "share.coordinator.state.topic.num.partitions", at_least(1);
    /// Committed offsets of a group without members go after this many minutes.
    offsets_retention_minutes: i64 = 10_080, "offsets.retention.minutes", int(), at_least(1);
    /// How often committed offsets are looked at for removal.
    offsets_retention_check_interval_ms: i64 = 600_000, "offsets.retention.check.interval.ms",
        at_least(1);
    /// The longest text that may go with a committed offset, in bytes.
    offset_metadata_max_bytes: usize = 4096, "offset.metadata.max.bytes";

    /// The shortest session timeout that a member of a group may ask for.
    group_min_session_timeout_ms: i32 = 6000, "group.min.session.timeout.ms", at_least(0);
    /// The longest session timeout that a member of a group may ask for.
    group_max_session_timeout_ms: i32 = 1_800_000, "group.max.session.timeout.ms", at_least(0);
    /// How long the first member of a new group waits for others.
    group_initial_rebalance_delay_ms: i64 = 3000, "group.initial.rebalance.delay.ms", int(),
        at_least(0);
    /// Members of one group at most.
    group_max_size: usize = 2_147_483_647, "group.max.size", at_least(1);
    /// Groups in one partition of __consumer_offsets at most.
    groups_max: usize = 100_000, "groups.max", at_least(1), ours();
    /// What one member of a group may say of itself, in bytes over all its protocols.
    group_member_max_bytes: usize = 1 << 20, "group.member.max.bytes", ours();
    /// The subscriptions and assignments of one group, in bytes.
    group_metadata_max_bytes: usize = 8 << 20, "group.metadata.max.bytes", ours();
    /// How often a member of a consumer group tells that it lives, in milliseconds, of groups that
    /// do not say otherwise.
    group_consumer_heartbeat_interval_ms: i32 = 5000, "group.consumer.heartbeat.interval.ms",
        at_least(1);
    /// The least that a group may say of it.
    group_consumer_min_heartbeat_interval_ms: i32 = 5000,
        "group.consumer.min.heartbeat.interval.ms", at_least(1);
    /// The most that a group may say of it.
    group_consumer_max_heartbeat_interval_ms: i32 = 15_000,
        "group.consumer.max.heartbeat.interval.ms", at_least(1);
    /// A member of a consumer group of which nothing was heard for this long is put out, in
    /// milliseconds, of groups that do not say otherwise.
    group_consumer_session_timeout_ms: i32 = 45_000, "group.consumer.session.timeout.ms",
        at_least(1);
    /// The least that a group may say of it.
    group_consumer_min_session_timeout_ms: i32 = 45_000, "group.consumer.min.session.timeout.ms",
        at_least(1);
    /// The most that a group may say of it.
    group_consumer_max_session_timeout_ms: i32 = 60_000, "group.consumer.max.session.timeout.ms",
        at_least(1);
    /// Members of one consumer group at most.
    group_consumer_max_size: usize = 2_147_483_647, "group.consumer.max.size", at_least(1);
    /// How the partitions of a consumer group may be shared out; the first is used if no member
    /// asks for one.
    group_consumer_assignors: String = "uniform,range".into(), "group.consumer.assignors", list(),
        words(&["uniform", "range"]);
    /// Which groups that have members change between the classic protocol and that of consumer
    /// groups as members of the other protocol come and go. Where this is disabled, nobody joins a
    /// group of the other protocol that has members.
    group_consumer_migration_policy: MigrationPolicy = MigrationPolicy::Bidirectional,
        "group.consumer.migration.policy",
        words(&["bidirectional", "upgrade", "downgrade", "disabled"]), any_case();
    /// How often all topics are held against the regular expressions of consumer groups, in
    /// milliseconds. Topics that come or go are noticed within a second.
    group_consumer_regex_refresh_interval_ms: i64 = 600_000,
        "group.consumer.regex.refresh.interval.ms", int(), at_least(10_000);
    /// How often a member of a share group tells that it lives, in milliseconds, of groups that do
    /// not say otherwise.
    group_share_heartbeat_interval_ms: i32 = 5000, "group.share.heartbeat.interval.ms",
        at_least(100), at_most(60_000);
    /// A member of a share group of which nothing was heard for this long is put out, in
    /// milliseconds, of groups that do not say otherwise.
    group_share_session_timeout_ms: i32 = 45_000, "group.share.session.timeout.ms",
        at_least(1000), at_most(3_600_000);
    /// How long a lease of a queue's record lasts, in milliseconds, of groups that do not say
    /// otherwise.
    group_share_record_lock_duration_ms: i32 = 30_000, "group.share.record.lock.duration.ms",
        at_least(100), at_most(43_200_000);
    /// How often a queue's record is delivered before it is given up, of groups that do not say
    /// otherwise.
    group_share_delivery_count_limit: i32 = 5, "group.share.delivery.count.limit", at_least(1),
        at_most(1000);
    /// Records of one queue that may be leased at once, of groups that do not say otherwise.
    group_share_partition_max_record_locks: i32 = 2000, "group.share.partition.max.record.locks",
        at_least(1), at_most(1_000_000);
    /// Members of one share group at most.
    group_share_max_size: usize = 200, "group.share.max.size", at_least(1), at_most(100_000);
    /// Sessions of members of share groups at most.
    group_share_max_share_sessions: usize = 2000, "group.share.max.share.sessions", at_least(1),
        at_most(1_000_000);
    /// Partitions of `__transaction_state`, fixed when it is made.
    transaction_state_log_num_partitions: i32 = 50, "transaction.state.log.num.partitions",
        at_least(1);
    /// The longest time that a producer may ask its transactions to be let open, in milliseconds.
    transaction_max_timeout_ms: i32 = 900_000, "transaction.max.timeout.ms", at_least(1);
    /// How often open transactions are looked at, to abort those that are open for longer than
    /// their producer asked for, in milliseconds.
    transaction_abort_timed_out_transaction_cleanup_interval_ms: i64 = 10_000,
        "transaction.abort.timed.out.transaction.cleanup.interval.ms", int(), at_least(1);
    /// A transactional id that nobody used for this long is forgotten, in milliseconds.
    transactional_id_expiration_ms: i64 = 604_800_000, "transactional.id.expiration.ms", int(),
        at_least(1);
    /// How often transactional ids are looked at for that, in milliseconds.
    transaction_remove_expired_transaction_cleanup_interval_ms: i64 = 3_600_000,
        "transaction.remove.expired.transaction.cleanup.interval.ms", int(), at_least(1);
    /// Whether the first batch of a transaction in a partition is held against its coordinator,
    /// where the client does not add partitions by writing to them.
    transaction_partition_verification_enable: bool = true,
        "transaction.partition.verification.enable", dynamic();
    /// Transactional ids in one partition of `__transaction_state` at most.
    transactional_ids_max: usize = 100_000, "transactional.ids.max", at_least(1), ours();
    /// Partitions of one transaction at most.
    transaction_partitions_max: usize = 10_000, "transaction.partitions.max", at_least(1), ours();
    /// A partition forgets an idempotent producer that wrote nothing for this long.
    producer_id_expiration_ms: i64 = 86_400_000, "producer.id.expiration.ms", int(), at_least(1);

    /// How often segments are looked at for removal.
    log_retention_check_interval_ms: u64 = 300_000, "log.retention.check.interval.ms",
        at_least(1);
    /// Records older than this go, in hours.
    log_retention_hours: i64 = 168, "log.retention.hours", int();
    /// Records older than this go, in minutes; over log.retention.hours.
    log_retention_minutes: Option<i64> = None, "log.retention.minutes", int(),
        synonyms(&["log.retention.hours"]);
    /// Records older than this go, in milliseconds, -1 never; over log.retention.minutes.
    log_retention_ms: Option<i64> = None, "log.retention.ms", at_least(-1), dynamic(),
        synonyms(&["log.retention.minutes", "log.retention.hours"]);
    /// The oldest records of a partition above this size go; -1 is no limit.
    log_retention_bytes: i64 = -1, "log.retention.bytes", dynamic();
    /// The largest segment in bytes.
    log_segment_bytes: u32 = 1 << 30, "log.segment.bytes", at_least(1 << 20), dynamic();
    /// A new segment begins after this time, in hours.
    log_roll_hours: i64 = 168, "log.roll.hours", int(), at_least(1);
    /// A new segment begins after this time, in milliseconds; over log.roll.hours.
    log_roll_ms: Option<i64> = None, "log.roll.ms", at_least(1), dynamic(),
        synonyms(&["log.roll.hours"]);
    /// Up to this much is taken off the time of a roll, in hours.
    log_roll_jitter_hours: i64 = 0, "log.roll.jitter.hours", int(), at_least(0);
    /// Up to this much is taken off the time of a roll, in milliseconds; over
    /// log.roll.jitter.hours.
    log_roll_jitter_ms: Option<i64> = None, "log.roll.jitter.ms", at_least(0), dynamic(),
        synonyms(&["log.roll.jitter.hours"]);
    /// The largest index of a segment in bytes.
    log_index_size_max_bytes: u32 = 10 << 20, "log.index.size.max.bytes", at_least(4), dynamic();
    /// One index entry each so many bytes of the log.
    log_index_interval_bytes: u32 = 4096, "log.index.interval.bytes", dynamic();
    /// The files of a segment that went stay for this long.
    log_segment_delete_delay_ms: i64 = 60_000, "log.segment.delete.delay.ms", at_least(0),
        dynamic();
    /// What happens to old segments: delete drops them by age and size, compact keeps the last
    /// record of each key; both may be given, and nothing keeps everything.
    log_cleanup_policy: String = "delete".into(), "log.cleanup.policy", list(),
        words(&["compact", "delete", ""]), dynamic();
    /// Whether compacted topics are cleaned at all.
    log_cleaner_enable: bool = true, "log.cleaner.enable";
    /// Threads that clean compacted topics.
    log_cleaner_threads: usize = 1, "log.cleaner.threads", at_least(0), at_most(64), dynamic();
    /// Memory for the keys of what is cleaned at once, of all threads together, in bytes: 18 for
    /// each key. A topic with more keys takes several cleanings.
    log_cleaner_dedupe_buffer_size: usize = 134_217_728, "log.cleaner.dedupe.buffer.size", long(),
        at_least(1 << 20), dynamic();
    /// What all threads together read and write at most, in bytes a second.
    log_cleaner_io_max_bytes_per_second: f64 = f64::MAX, "log.cleaner.io.max.bytes.per.second",
        at_least(1), dynamic();
    /// How long a thread waits when nothing is to be cleaned, in milliseconds.
    log_cleaner_backoff_ms: i64 = 15_000, "log.cleaner.backoff.ms", at_least(0), dynamic();
    /// Compacted topics keep tombstones so long after the first cleaning, in milliseconds.
    log_cleaner_delete_retention_ms: i64 = 86_400_000, "log.cleaner.delete.retention.ms",
        at_least(0), dynamic();
    /// A compacted topic is cleaned when more than this part of its log is new.
    log_cleaner_min_cleanable_ratio: f64 = 0.5, "log.cleaner.min.cleanable.ratio", at_least(0),
        at_most(1), dynamic();
    /// Compacted topics keep records untouched for so many milliseconds.
    log_cleaner_min_compaction_lag_ms: i64 = 0, "log.cleaner.min.compaction.lag.ms", at_least(0),
        dynamic();
    /// A compacted topic is cleaned at the latest so many milliseconds after a write.
    log_cleaner_max_compaction_lag_ms: i64 = i64::MAX, "log.cleaner.max.compaction.lag.ms",
        at_least(1), dynamic();
    /// Whose time records carry: the producer's or the server's.
    log_message_timestamp_type: TimestampType = TimestampType::CreateTime,
        "log.message.timestamp.type", words(&["CreateTime", "LogAppendTime"]), dynamic();
    /// How far a record's time may lie in the past, in milliseconds.
    log_message_timestamp_before_max_ms: i64 = i64::MAX, "log.message.timestamp.before.max.ms",
        at_least(0), dynamic();
    /// How far a record's time may lie in the future, in milliseconds.
    log_message_timestamp_after_max_ms: i64 = 3_600_000, "log.message.timestamp.after.max.ms",
        at_least(0), dynamic();
    /// How batches are stored: producer keeps them as they came, everything else packs them anew.
    compression_type: Codec = Codec::Producer, "compression.type",
        words(&["producer", "uncompressed", "gzip", "snappy", "lz4", "zstd"]), dynamic();
    /// The level at which gzip packs batches anew, from 1 to 9; -1 is the library's own.
    compression_gzip_level: GzipLevel = GzipLevel(-1), "compression.gzip.level", dynamic();
    /// The level at which zstd packs batches anew.
    compression_zstd_level: i32 = 3, "compression.zstd.level", at_least(-131_072), at_most(22),
        dynamic();
    /// Sync a partition after so many records, whatever their acks.
    log_flush_interval_messages: u64 = i64::MAX as u64, "log.flush.interval.messages",
        at_least(1), dynamic();
    /// Sync a partition so long after a write, whatever its acks, in milliseconds.
    log_flush_interval_ms: Option<i64> = None, "log.flush.interval.ms", dynamic(),
        synonyms(&["log.flush.scheduler.interval.ms"]);
    /// The value of log.flush.interval.ms when that is not set.
    log_flush_scheduler_interval_ms: i64 = i64::MAX, "log.flush.scheduler.interval.ms";
    /// How deep batches are looked into: header believes them once their CRC fits; records walks
    /// every record.
    batch_validation: Validation = Validation::Header, "batch.validation",
        words(&["header", "records"]), ours();
}
