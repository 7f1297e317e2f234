//! Every limit, timeout and place, with its unit in the name, its default and its meaning.
//!
//! Names are Kafka's wherever Kafka has one; a row that is ours alone says so.

use std::path::PathBuf;

/// The configuration in force. Fields are named after Kafka's keys, with `_` for `.`.
#[derive(Debug, Clone)]
pub struct Config {
    /// `node.id`.
    pub node_id: i32,
    /// `listeners`, resolved.
    pub listeners: Vec<Listener>,
    /// `log.dirs`: the one data directory.
    pub log_dir: PathBuf,
    /// `http.listen` (ours): where metrics and health answer; `None` turns them off.
    pub http_listen: Option<std::net::SocketAddr>,
    /// `durability` (ours): `contract`, or `relaxed` for development.
    pub durability: DurabilityMode,
    /// `auto.create.topics.enable`.
    pub auto_create_topics_enable: bool,
    /// `delete.topic.enable`.
    pub delete_topic_enable: bool,
    /// `num.partitions`: of a topic made without a number.
    pub num_partitions: i32,
    /// `default.replication.factor`.
    pub default_replication_factor: i16,
    /// `replication.factor.clamp` (ours): take what there is instead of refusing (dev mode).
    pub replication_factor_clamp: bool,
    /// `max.request.partition.size.limit`: partitions in one DescribeTopicPartitions answer.
    pub max_request_partition_size_limit: i32,
    /// `topics.max` (ours): topics at most.
    pub topics_max: usize,
    /// `partitions.max` (ours): partitions of all topics at most.
    pub partitions_max: usize,
    /// `message.max.bytes`: default of a topic's `max.message.bytes`.
    pub message_max_bytes: usize,
    /// `socket.request.max.bytes`: the largest Produce frame.
    pub socket_request_max_bytes: usize,
    /// `request.max.bytes` (ours): the largest frame of any other request.
    pub request_max_bytes: usize,
    /// `fetch.max.bytes`: the largest fetch answer.
    pub fetch_max_bytes: usize,
    /// `max.incremental.fetch.session.cache.slots`.
    pub fetch_session_slots: usize,
    /// `max.connections`.
    pub max_connections: usize,
    /// `max.connections.per.ip`.
    pub max_connections_per_ip: usize,
    /// `connections.max.idle.ms`.
    pub connections_max_idle_ms: u64,
    /// `frame.timeout.ms` (ours): a frame that began must end within this.
    pub frame_timeout_ms: u64,
    /// `write.timeout.ms` (ours): a client that does not read for this long is closed.
    pub write_timeout_ms: u64,
    /// `memory.request.bytes` (ours): bytes of all frames and answers in flight.
    pub memory_request_bytes: usize,
    /// `offsets.topic.num.partitions`.
    pub offsets_topic_num_partitions: i32,
    /// `offsets.retention.minutes`.
    pub offsets_retention_minutes: i64,
    /// `offsets.retention.check.interval.ms`.
    pub offsets_retention_check_interval_ms: i64,
    /// `offset.metadata.max.bytes`.
    pub offset_metadata_max_bytes: usize,
    /// `group.min.session.timeout.ms`.
    pub group_min_session_timeout_ms: i32,
    /// `group.max.session.timeout.ms`.
    pub group_max_session_timeout_ms: i32,
    /// `group.initial.rebalance.delay.ms`.
    pub group_initial_rebalance_delay_ms: i64,
    /// `group.max.size`: members of one group.
    pub group_max_size: usize,
    /// `groups.max` (ours): groups of one shard at most.
    pub groups_max: usize,
    /// `producer.id.expiration.ms`.
    pub producer_id_expiration_ms: i64,
    /// `log.retention.check.interval.ms`.
    pub log_retention_check_interval_ms: u64,
    /// `shutdown.timeout.ms` (ours): how long SIGTERM waits for clients.
    pub shutdown_timeout_ms: u64,
}

/// One place to listen on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Listener {
    /// Its name (`PLAINTEXT`).
    pub name: String,
    /// The host or address to bind; empty or `0.0.0.0` is every one.
    pub host: String,
    /// The port to bind; 0 lets the system choose (the bound one is advertised then).
    pub port: u16,
    /// `advertised.listeners`: what Metadata answers; `None` is the bound address, or for a
    /// wildcard the one that the client connected to.
    pub advertised: Option<(String, u16)>,
}

/// What `acks=all` waits for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DurabilityMode {
    /// A sync (DC1).
    Contract,
    /// Nothing: answered as acks=1. For development; the banner says so loudly.
    Relaxed,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            node_id: 1,
            listeners: vec![Listener {
                name: "PLAINTEXT".into(),
                host: "127.0.0.1".into(),
                port: 9092,
                advertised: None,
            }],
            log_dir: "ratel-data".into(),
            http_listen: Some(([127, 0, 0, 1], 8080).into()),
            durability: DurabilityMode::Contract,
            auto_create_topics_enable: true,
            delete_topic_enable: true,
            num_partitions: 1,
            default_replication_factor: 1,
            replication_factor_clamp: false,
            max_request_partition_size_limit: 2000,
            topics_max: 100_000,
            partitions_max: 200_000,
            message_max_bytes: 1_048_588,
            socket_request_max_bytes: 104_857_600,
            request_max_bytes: 16 << 20,
            fetch_max_bytes: 57_671_680,
            fetch_session_slots: 1000,
            max_connections: 100_000,
            max_connections_per_ip: 100_000,
            connections_max_idle_ms: 600_000,
            frame_timeout_ms: 30_000,
            write_timeout_ms: 30_000,
            memory_request_bytes: 512 << 20,
            offsets_topic_num_partitions: 50,
            offsets_retention_minutes: 10_080,
            offsets_retention_check_interval_ms: 600_000,
            offset_metadata_max_bytes: 4096,
            group_min_session_timeout_ms: 6000,
            group_max_session_timeout_ms: 1_800_000,
            group_initial_rebalance_delay_ms: 3000,
            group_max_size: 2_147_483_647,
            groups_max: 100_000,
            producer_id_expiration_ms: 86_400_000,
            log_retention_check_interval_ms: 300_000,
            shutdown_timeout_ms: 5000,
        }
    }
}
