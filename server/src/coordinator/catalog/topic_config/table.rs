//! The table of topic-level keys, sorted by name (kafka-semantics: KIP-1030 for the minimum of
//! `segment.bytes`; `batch.validation` is ours).

use super::{Takes, TopicKey};
use crate::config::Kind;

const I32_MAX: i64 = i32::MAX as i64;
const ANY: Takes = Takes::Number(0, i64::MAX);

const fn key(
    name: &'static str,
    kind: Kind,
    takes: Takes,
    default: &'static str,
    synonyms: &'static [(&'static str, i64)],
    doc: &'static str,
) -> TopicKey {
    TopicKey {
        name,
        kind,
        takes,
        default,
        synonyms,
        doc,
        acts: true,
    }
}

const fn shown(mut key: TopicKey) -> TopicKey {
    key.acts = false;
    key
}

/// Every topic-level key.
pub const TOPIC_KEYS: &[TopicKey] = &[
    key(
        "batch.validation",
        Kind::String,
        Takes::Word(&["header", "records"]),
        "header",
        &[("batch.validation", 1)],
        "How deep a batch is looked into before it is stored: header believes the batch's \
         header once its CRC fits, records walks every record. Not one of Kafka's keys.",
    ),
    key(
        "cleanup.policy",
        Kind::List,
        Takes::Words(&["compact", "delete"]),
        "delete",
        &[("log.cleanup.policy", 1)],
        "What becomes of old segments: delete drops them by age and size; an empty list keeps \
         everything. Compaction is not supported yet.",
    ),
    shown(key(
        "compression.gzip.level",
        Kind::Int,
        Takes::Number(-1, 9),
        "-1",
        &[],
        "The level at which gzip would compress, if batches were compressed here.",
    )),
    shown(key(
        "compression.lz4.level",
        Kind::Int,
        Takes::Number(1, 17),
        "9",
        &[],
        "The level at which lz4 would compress, if batches were compressed here.",
    )),
    key(
        "compression.type",
        Kind::String,
        Takes::Word(&["producer", "gzip", "snappy", "lz4", "zstd", "uncompressed"]),
        "producer",
        &[("compression.type", 1)],
        "How batches are stored: producer keeps them as they came. Recompression is not \
         supported yet.",
    ),
    shown(key(
        "compression.zstd.level",
        Kind::Int,
        Takes::Number(-131_072, 22),
        "3",
        &[],
        "The level at which zstd would compress, if batches were compressed here.",
    )),
    shown(key(
        "delete.retention.ms",
        Kind::Long,
        ANY,
        "86400000",
        &[("log.cleaner.delete.retention.ms", 1)],
        "How long a compacted topic keeps tombstones, in milliseconds.",
    )),
    key(
        "file.delete.delay.ms",
        Kind::Long,
        ANY,
        "60000",
        &[("log.segment.delete.delay.ms", 1)],
        "How long the files of a dropped segment stay, in milliseconds.",
    ),
    key(
        "flush.messages",
        Kind::Long,
        Takes::Number(1, i64::MAX),
        "9223372036854775807",
        &[("log.flush.interval.messages", 1)],
        "Sync a partition after so many records, whatever their acks.",
    ),
    key(
        "flush.ms",
        Kind::Long,
        ANY,
        "9223372036854775807",
        &[
            ("log.flush.interval.ms", 1),
            ("log.flush.scheduler.interval.ms", 1),
        ],
        "Sync a partition so many milliseconds after a write, whatever its acks.",
    ),
    shown(key(
        "follower.replication.throttled.replicas",
        Kind::List,
        Takes::Replicas,
        "",
        &[],
        "Replicas whose copying is slowed at the follower. One server copies nothing.",
    )),
    key(
        "index.interval.bytes",
        Kind::Int,
        Takes::Number(0, I32_MAX),
        "4096",
        &[("log.index.interval.bytes", 1)],
        "One index entry each so many bytes of the log.",
    ),
    key(
        "internal.segment.bytes",
        Kind::Int,
        Takes::Number(1, I32_MAX),
        "1073741824",
        &[],
        "For tests: the largest segment in bytes, below the minimum of segment.bytes.",
    ),
    shown(key(
        "leader.replication.throttled.replicas",
        Kind::List,
        Takes::Replicas,
        "",
        &[],
        "Replicas whose copying is slowed at the leader. One server copies nothing.",
    )),
    shown(key(
        "local.retention.bytes",
        Kind::Long,
        Takes::Number(-2, i64::MAX),
        "-2",
        &[],
        "Of tiered storage: what stays on the local disk, in bytes.",
    )),
    shown(key(
        "local.retention.ms",
        Kind::Long,
        Takes::Number(-2, i64::MAX),
        "-2",
        &[],
        "Of tiered storage: how long records stay on the local disk, in milliseconds.",
    )),
    shown(key(
        "max.compaction.lag.ms",
        Kind::Long,
        Takes::Number(1, i64::MAX),
        "9223372036854775807",
        &[("log.cleaner.max.compaction.lag.ms", 1)],
        "A compacted topic is cleaned at the latest so many milliseconds after a write.",
    )),
    key(
        "max.message.bytes",
        Kind::Int,
        Takes::Number(0, I32_MAX),
        "1048588",
        &[("message.max.bytes", 1)],
        "The largest batch of records as sent, in bytes.",
    ),
    key(
        "message.timestamp.after.max.ms",
        Kind::Long,
        ANY,
        "3600000",
        &[("log.message.timestamp.after.max.ms", 1)],
        "How far a record's time may lie in the future, in milliseconds.",
    ),
    key(
        "message.timestamp.before.max.ms",
        Kind::Long,
        ANY,
        "9223372036854775807",
        &[("log.message.timestamp.before.max.ms", 1)],
        "How far a record's time may lie in the past, in milliseconds.",
    ),
    key(
        "message.timestamp.type",
        Kind::String,
        Takes::Word(&["CreateTime", "LogAppendTime"]),
        "CreateTime",
        &[("log.message.timestamp.type", 1)],
        "Whose time records carry: the producer's or the server's.",
    ),
    shown(key(
        "min.cleanable.dirty.ratio",
        Kind::Double,
        Takes::Ratio,
        "0.5",
        &[("log.cleaner.min.cleanable.ratio", 1)],
        "A compacted topic is cleaned when this part of its log is new.",
    )),
    shown(key(
        "min.compaction.lag.ms",
        Kind::Long,
        ANY,
        "0",
        &[("log.cleaner.min.compaction.lag.ms", 1)],
        "A compacted topic keeps records untouched for so many milliseconds.",
    )),
    key(
        "min.insync.replicas",
        Kind::Int,
        Takes::Number(1, I32_MAX),
        "1",
        &[("min.insync.replicas", 1)],
        "Replicas that acks=all needs, at most as many as there are: one.",
    ),
    shown(key(
        "preallocate",
        Kind::Bool,
        Takes::Bool,
        "false",
        &[("log.preallocate", 1)],
        "Whether segments get their full size at once. They grow as they are written here.",
    )),
    shown(key(
        "remote.log.copy.disable",
        Kind::Bool,
        Takes::Bool,
        "false",
        &[],
        "Of tiered storage: stop copying segments away.",
    )),
    shown(key(
        "remote.log.delete.on.disable",
        Kind::Bool,
        Takes::Bool,
        "false",
        &[],
        "Of tiered storage: drop what was copied when it is turned off.",
    )),
    shown(key(
        "remote.storage.enable",
        Kind::Bool,
        Takes::Bool,
        "false",
        &[],
        "Whether segments are copied to a remote store. Not supported.",
    )),
    key(
        "retention.bytes",
        Kind::Long,
        Takes::Number(-1, i64::MAX),
        "-1",
        &[("log.retention.bytes", 1)],
        "The oldest segments of a partition go while it is larger than this, in bytes; -1 is \
         no limit.",
    ),
    key(
        "retention.ms",
        Kind::Long,
        Takes::Number(-1, i64::MAX),
        "604800000",
        &[
            ("log.retention.ms", 1),
            ("log.retention.minutes", 60_000),
            ("log.retention.hours", 3_600_000),
        ],
        "Segments whose newest record is older than this go, in milliseconds; -1 keeps for \
         ever.",
    ),
    key(
        "segment.bytes",
        Kind::Int,
        Takes::Number(1 << 20, I32_MAX),
        "1073741824",
        &[("log.segment.bytes", 1)],
        "The largest segment in bytes, at least 1 MiB.",
    ),
    key(
        "segment.index.bytes",
        Kind::Int,
        Takes::Number(4, I32_MAX),
        "10485760",
        &[("log.index.size.max.bytes", 1)],
        "The largest index of a segment in bytes.",
    ),
    key(
        "segment.jitter.ms",
        Kind::Long,
        ANY,
        "0",
        &[
            ("log.roll.jitter.ms", 1),
            ("log.roll.jitter.hours", 3_600_000),
        ],
        "Up to this much is taken off segment.ms, by segment.",
    ),
    key(
        "segment.ms",
        Kind::Long,
        Takes::Number(1, i64::MAX),
        "604800000",
        &[("log.roll.ms", 1), ("log.roll.hours", 3_600_000)],
        "A new segment begins when the first record is older than this, in milliseconds.",
    ),
    shown(key(
        "unclean.leader.election.enable",
        Kind::Bool,
        Takes::Bool,
        "false",
        &[("unclean.leader.election.enable", 1)],
        "Whether a replica that lags may lead. One server is the only replica.",
    )),
];
