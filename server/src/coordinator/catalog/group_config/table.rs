//! The table of group-level keys, sorted by name. Those of consumer and share groups are Kafka's,
//! the ranges of the latter ours (queues.md 1.6); `queue.*` are ours alone.

use crate::config::Kind;
use crate::coordinator::catalog::config_key::{ConfigKey, Takes};

/// Every group-level key.
pub const GROUP_KEYS: &[ConfigKey] = &[
    ConfigKey::new(
        "consumer.heartbeat.interval.ms",
        Kind::Int,
        Takes::Number(1, 2_147_483_647),
        "5000",
        &[("group.consumer.heartbeat.interval.ms", 1)],
        "How often a member of a consumer group tells that it lives, in milliseconds.",
    ),
    ConfigKey::new(
        "consumer.session.timeout.ms",
        Kind::Int,
        Takes::Number(1, 2_147_483_647),
        "45000",
        &[("group.consumer.session.timeout.ms", 1)],
        "A member of a consumer group of which nothing was heard for this long is put out, in \
         milliseconds.",
    ),
    ConfigKey::new(
        "errors.deadletterqueue.copy.record.enable",
        Kind::Bool,
        Takes::Bool,
        "true",
        &[],
        "Whether a record's key, headers and payload go with it to the dead-letter topic; \
         without them it cannot be brought home.",
    ),
    ConfigKey::new(
        "errors.deadletterqueue.topic.name",
        Kind::String,
        Takes::TopicName,
        "",
        &[],
        "The topic that takes records which are rejected or were delivered as often as they may \
         be; it is made when the first comes. Empty: they are only archived.",
    ),
    ConfigKey::new(
        "queue.paused",
        Kind::Bool,
        Takes::Bool,
        "false",
        &[],
        "Whether nothing is handed out for now. What is leased stays so. Not one of Kafka's keys.",
    ),
    ConfigKey::new(
        "queue.release.backoff.max.ms",
        Kind::Long,
        Takes::Number(0, 43_200_000),
        "3600000",
        &[],
        "The longest that a record which came back is held, in milliseconds. Not one of Kafka's \
         keys.",
    ),
    ConfigKey::new(
        "queue.release.backoff.ms",
        Kind::Long,
        Takes::Number(0, 43_200_000),
        "0",
        &[],
        "How long a record that came back is held before it is handed out again, in \
         milliseconds; doubled by every further delivery. Not one of Kafka's keys.",
    ),
    ConfigKey::new(
        "share.auto.offset.reset",
        Kind::String,
        Takes::OffsetReset,
        "latest",
        &[],
        "Where a queue begins that nobody has read: latest, earliest, or by_duration: and a \
         duration in ISO 8601 before now.",
    ),
    ConfigKey::new(
        "share.delivery.count.limit",
        Kind::Int,
        Takes::Number(1, 1000),
        "5",
        &[("group.share.delivery.count.limit", 1)],
        "How often a record is delivered before it is given up.",
    ),
    ConfigKey::new(
        "share.heartbeat.interval.ms",
        Kind::Int,
        Takes::Number(100, 60_000),
        "5000",
        &[("group.share.heartbeat.interval.ms", 1)],
        "How often a member tells that it lives, in milliseconds.",
    ),
    ConfigKey::new(
        "share.isolation.level",
        Kind::String,
        Takes::Word(&["read_committed", "read_uncommitted"]),
        "read_uncommitted",
        &[],
        "Whether records of a transaction count only once it is committed. It takes effect with \
         transactions, which are not there yet.",
    ),
    ConfigKey::new(
        "share.partition.max.record.locks",
        Kind::Int,
        Takes::Number(1, 1_000_000),
        "2000",
        &[("group.share.partition.max.record.locks", 1)],
        "Records of one partition that may be leased at once.",
    ),
    ConfigKey::new(
        "share.record.lock.duration.ms",
        Kind::Int,
        Takes::Number(100, 43_200_000),
        "30000",
        &[("group.share.record.lock.duration.ms", 1)],
        "How long a lease lasts, in milliseconds, up to twelve hours.",
    ),
    ConfigKey::new(
        "share.renew.acknowledge.enable",
        Kind::Bool,
        Takes::Bool,
        "true",
        &[],
        "Whether a member may renew its leases.",
    ),
    ConfigKey::new(
        "share.session.timeout.ms",
        Kind::Int,
        Takes::Number(1000, 3_600_000),
        "45000",
        &[("group.share.session.timeout.ms", 1)],
        "A member of which nothing was heard for this long is put out, in milliseconds.",
    ),
];
