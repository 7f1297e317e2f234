//! Everything that can go wrong in the log.

use std::fmt;
use std::io;
use std::sync::Arc;

use crate::{Offset, PartitionId};

/// Records of a batch that an error names at most.
pub const BLAMED_MAX: usize = 1000;

/// Why the log refused or failed. The server's `error.rs` holds the only map to Kafka's codes.
#[derive(Debug, Clone)]
pub enum StorageError {
    /// The engine knows no such partition.
    UnknownPartition(PartitionId),
    /// The batch is longer than `max.message.bytes` (P-9).
    BatchTooLarge {
        /// The batch's length in bytes.
        bytes: usize,
        /// The limit in bytes.
        limit: usize,
    },
    /// The batch is longer than a segment may be (P-9).
    BatchAboveSegment {
        /// The batch's length in bytes.
        bytes: usize,
        /// The limit in bytes.
        limit: usize,
    },
    /// The batch fails its CRC or is cut short (P-9).
    CorruptBatch(&'static str),
    /// The batch is whole but breaks a rule (P-5, P-7, P-8).
    InvalidBatch(&'static str),
    /// Records without a key, which a compacted log does not take (P-10): their places in the
    /// batch, the first [`BLAMED_MAX`] of them.
    KeysMissing(Vec<i32>),
    /// A timestamp outside what the topic allows, or of the wrong type (P-11).
    InvalidTimestamp {
        /// What is wrong.
        why: String,
        /// The records that are to blame, as far as the batch tells without unpacking it, by their
        /// places in the batch, the first [`BLAMED_MAX`] of them.
        records: Vec<i32>,
    },
    /// The producer's sequence does not follow (P-16).
    OutOfOrderSequence {
        /// The producer.
        producer_id: i64,
        /// What the log expects next.
        expected: i32,
        /// What the batch begins with.
        found: i32,
    },
    /// The producer's epoch is below the log's (P-17).
    ProducerFenced {
        /// The producer.
        producer_id: i64,
        /// The log's epoch.
        current: i16,
        /// The batch's epoch.
        found: i16,
    },
    /// A batch that fits no transaction, or misses the one it belongs to (P-20, T-18).
    InvalidTransaction {
        /// The producer.
        producer_id: i64,
        /// What is wrong.
        why: &'static str,
    },
    /// A marker of a coordinator that was replaced (T-12).
    CoordinatorFenced {
        /// The producer.
        producer_id: i64,
        /// The coordinator epoch that the log has seen.
        current: i32,
        /// The marker's.
        found: i32,
    },
    /// So many producers have open transactions in this log that it takes no other producer.
    TooManyTransactions {
        /// How many it remembers at most.
        limit: usize,
    },
    /// An offset below the log's start or above its end (F-6, D-1).
    OffsetOutOfRange {
        /// What was asked for.
        offset: Offset,
        /// The log's first offset.
        start: Offset,
        /// The bound at the upper end.
        end: Offset,
    },
    /// The partition is read-only because its data is damaged (DC6).
    Corrupt {
        /// The partition.
        partition: PartitionId,
        /// Where the damage is.
        detail: String,
    },
    /// No space left: nothing was written, and writes resume by themselves (DC5).
    DiskFull,
    /// No descriptors left: nothing was written.
    TooManyFiles,
    /// An earlier failure stopped the engine: it acknowledges nothing any more (DC5).
    Poisoned,
    /// The engine is closed.
    Closed,
    /// Another failure of the operating system.
    Io(Arc<io::Error>),
}

impl fmt::Display for StorageError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::UnknownPartition(id) => write!(f, "unknown partition {id}"),
            Self::BatchTooLarge { bytes, limit } => {
                write!(
                    f,
                    "a batch of {bytes} bytes is above max.message.bytes={limit}"
                )
            }
            Self::BatchAboveSegment { bytes, limit } => {
                write!(f, "a batch of {bytes} bytes is above segment.bytes={limit}")
            }
            Self::CorruptBatch(why) => write!(f, "corrupt batch: {why}"),
            Self::InvalidBatch(why) => write!(f, "invalid batch: {why}"),
            Self::KeysMissing(_) => write!(f, "a compacted topic takes no record without a key"),
            Self::InvalidTimestamp { why, .. } => write!(f, "invalid timestamp: {why}"),
            Self::OutOfOrderSequence {
                producer_id,
                expected,
                found,
            } => write!(
                f,
                "producer {producer_id} sent sequence {found} where {expected} was expected"
            ),
            Self::ProducerFenced {
                producer_id,
                current,
                found,
            } => write!(
                f,
                "producer {producer_id} sent epoch {found}, the log has seen {current}"
            ),
            Self::InvalidTransaction { producer_id, why } => {
                write!(f, "producer {producer_id}: {why}")
            }
            Self::CoordinatorFenced {
                producer_id,
                current,
                found,
            } => write!(
                f,
                "a marker for producer {producer_id} has coordinator epoch {found}, \
                 the log has seen {current}"
            ),
            Self::TooManyTransactions { limit } => write!(
                f,
                "the log remembers {limit} producers, and all have open transactions"
            ),
            Self::OffsetOutOfRange { offset, start, end } => {
                write!(f, "offset {offset} is outside {start}..={end}")
            }
            Self::Corrupt { partition, detail } => {
                write!(
                    f,
                    "partition {partition} is damaged and read-only: {detail}"
                )
            }
            Self::DiskFull => write!(f, "no space left on the disk"),
            Self::TooManyFiles => write!(f, "no file descriptors left"),
            Self::Poisoned => write!(f, "an earlier disk failure stopped the log"),
            Self::Closed => write!(f, "the log is closed"),
            Self::Io(error) => write!(f, "disk failure: {error}"),
        }
    }
}

impl std::error::Error for StorageError {}
