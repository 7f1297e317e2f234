//! The log: record batches, segments, indexes, recovery and group commit.
//!
//! The server sees [`Engine`] and [`Partition`]; every file is drawn in `FORMAT.md`. The crate
//! knows bytes, batches and offsets, never a Kafka request.

pub mod batch;
pub mod disk;
pub mod disk_memory;
pub mod engine;
mod error;
mod ids;
pub mod local;
mod log;
mod mmap;
pub mod record;
mod settings;
pub mod transaction;
mod walk;

pub use batch::{Batch, BatchBuilder, BatchHeader};
pub use engine::{
    Appended, Bound, Cleaning, CleaningRules, Durability, Engine, FileRange, Offsets, Origin, Pace,
    Partition, Pending, ProducerSummary, Read, ReadRequest, Slice, Standing, TimeQuery,
    TimedOffset, Watch,
};
pub use error::{BLAMED_MAX, StorageError};
pub use ids::{Offset, PartitionId, Position, TopicId};
pub use local::{LocalEngine, LocalOptions};
pub use record::{Record, records};
pub use settings::{Codec, LogSettings, TimestampType, Validation};
pub use transaction::{
    AbortedTransaction, Guard, Marker, OPEN_TRANSACTIONS_MAX, Outcome, Producer, Verification,
};
pub use walk::{BatchAt, Batches};
