//! How one log behaves: the part of a topic's configuration that the log acts on.

/// What a log does with timestamps (`message.timestamp.type`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TimestampType {
    /// The producer's time is kept.
    CreateTime,
    /// The log puts its own time into each batch (P-12).
    LogAppendTime,
}

/// How deep batches are looked into (`batch.validation`, P-14).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Validation {
    /// The header is believed.
    Header,
    /// Every record is walked, compressed or not.
    Records,
}

/// How a log compresses what producers send (`compression.type`, P-25).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Codec {
    /// As it came.
    Producer,
    /// Not at all.
    Uncompressed,
    /// gzip.
    Gzip,
    /// Snappy, in the Java library's framing.
    Snappy,
    /// LZ4, in its frame format.
    Lz4,
    /// Zstandard.
    Zstd,
}

impl Codec {
    /// Bits 0 to 2 of a batch's attributes; `None` for the producer's own.
    #[must_use]
    pub const fn bits(self) -> Option<i16> {
        match self {
            Self::Producer => None,
            Self::Uncompressed => Some(0),
            Self::Gzip => Some(1),
            Self::Snappy => Some(2),
            Self::Lz4 => Some(3),
            Self::Zstd => Some(4),
        }
    }
}

/// The settings of one log. Units are in the names; Kafka's name stands with each.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LogSettings {
    /// `segment.bytes`: roll before a segment grows past this.
    pub segment_bytes: u64,
    /// `segment.ms`: roll when the first record is older than this.
    pub segment_ms: i64,
    /// `segment.jitter.ms`: up to this much is taken off `segment_ms`, by segment.
    pub segment_jitter_ms: i64,
    /// `index.interval.bytes`: one index entry each so many bytes.
    pub index_interval_bytes: u32,
    /// `segment.index.bytes`: the largest index file.
    pub segment_index_bytes: u32,
    /// `retention.ms`; `None` keeps for ever.
    pub retention_ms: Option<i64>,
    /// `retention.bytes`; `None` is no limit.
    pub retention_bytes: Option<u64>,
    /// `file.delete.delay.ms`: how long a dropped segment's files stay.
    pub file_delete_delay_ms: i64,
    /// Whether `cleanup.policy` contains delete: retention by time and size applies.
    pub delete: bool,
    /// Whether `cleanup.policy` contains compact: of each key the last record is kept (C-1).
    pub compact: bool,
    /// `min.cleanable.dirty.ratio` in millionths: clean when this part of the log is new.
    pub min_cleanable_millionths: u32,
    /// `min.compaction.lag.ms`: leave records alone that are younger.
    pub min_compaction_lag_ms: i64,
    /// `max.compaction.lag.ms`: clean at the latest so long after a write.
    pub max_compaction_lag_ms: i64,
    /// `delete.retention.ms`: tombstones stay this long after the first cleaning.
    pub delete_retention_ms: i64,
    /// `max.message.bytes`: the largest batch, as sent.
    pub max_message_bytes: usize,
    /// `message.timestamp.type`.
    pub timestamp_type: TimestampType,
    /// `message.timestamp.before.max.ms`.
    pub timestamp_before_max_ms: i64,
    /// `message.timestamp.after.max.ms`.
    pub timestamp_after_max_ms: i64,
    /// `flush.messages`: sync after so many records, whatever the acks.
    pub flush_messages: u64,
    /// `flush.ms`: sync so long after a write, whatever the acks.
    pub flush_ms: i64,
    /// `batch.validation`.
    pub validation: Validation,
    /// `compression.type`.
    pub compression: Codec,
    /// `compression.gzip.level`; below 0 is the library's own choice.
    pub gzip_level: i32,
    /// `compression.zstd.level`.
    pub zstd_level: i32,
}

impl LogSettings {
    /// When a segment is rolled: after `segment.ms`, and in a compacted log early enough for
    /// `max.compaction.lag.ms`, since nothing of the active segment is cleaned (C-1).
    #[must_use]
    pub fn roll_ms(&self) -> i64 {
        match self.compact {
            true => self.segment_ms.min(self.max_compaction_lag_ms),
            false => self.segment_ms,
        }
    }
}

impl Default for LogSettings {
    fn default() -> Self {
        Self {
            segment_bytes: 1 << 30,
            segment_ms: 604_800_000,
            segment_jitter_ms: 0,
            index_interval_bytes: 4096,
            segment_index_bytes: 10 << 20,
            retention_ms: Some(604_800_000),
            retention_bytes: None,
            file_delete_delay_ms: 60_000,
            delete: true,
            compact: false,
            min_cleanable_millionths: 500_000,
            min_compaction_lag_ms: 0,
            max_compaction_lag_ms: i64::MAX,
            delete_retention_ms: 86_400_000,
            max_message_bytes: 1_048_588,
            timestamp_type: TimestampType::CreateTime,
            timestamp_before_max_ms: i64::MAX,
            timestamp_after_max_ms: 3_600_000,
            flush_messages: u64::MAX,
            flush_ms: i64::MAX,
            validation: Validation::Header,
            compression: Codec::Producer,
            gzip_level: -1,
            zstd_level: 3,
        }
    }
}
