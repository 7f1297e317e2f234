//! The seam between the server and whatever keeps its logs.
//!
//! Two traits: an [`Engine`] knows partitions, a [`Partition`] is one log. No Kafka request type
//! appears in them: an engine that speaks requests makes every backend write the broker again.
//! Nothing here takes a clock: `now_ms` (wall time, milliseconds since 1970) is an argument.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use bytes::Bytes;
use tokio::sync::Notify;

use crate::batch::Batch;
use crate::disk::File;
use crate::transaction::{AbortedTransaction, Beginning, Guard, Marker, Verification};
use crate::{LogSettings, Offset, PartitionId, Position, StorageError};

/// An answer that is here, or comes later. Order is fixed when the call returns; only the
/// outcome may have to be waited for.
pub enum Pending<T> {
    /// The outcome. `None` once it was taken by polling.
    Ready(Option<Result<T, StorageError>>),
    /// The outcome is on its way.
    Later(Pin<Box<dyn Future<Output = Result<T, StorageError>> + Send>>),
}

impl<T> Pending<T> {
    /// An outcome that is already known.
    pub fn ready(outcome: Result<T, StorageError>) -> Self {
        Self::Ready(Some(outcome))
    }

    /// An outcome that a future brings.
    pub fn later(future: impl Future<Output = Result<T, StorageError>> + Send + 'static) -> Self {
        Self::Later(Box::pin(future))
    }
}

impl<T: Unpin> Future for Pending<T> {
    type Output = Result<T, StorageError>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        match self.get_mut() {
            Self::Ready(outcome) => {
                Poll::Ready(outcome.take().expect("a Pending is polled to its end once"))
            }
            Self::Later(future) => future.as_mut().poll(cx),
        }
    }
}

/// What an acknowledgement promises (DC1 to DC3).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Durability {
    /// In the operating system's hands: survives the death of the process.
    Written,
    /// On stable storage: survives a power cut.
    Synced,
}

/// Who made a batch: clients are checked, the server's own coordinators are not.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Origin {
    /// A producer on the network: every rule applies.
    Client,
    /// A producer on the network whose transaction holds this partition: its coordinator said so
    /// after [`Partition::verify`] gave the guard (T-18).
    Verified(Guard),
    /// A coordinator: no size or timestamp rules, no guard; control batches allowed. What it
    /// writes for a producer has no sequence.
    Coordinator,
}

/// What an append did.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Appended {
    /// The offset of the batch's first record (of the original, for a duplicate: P-15).
    pub base_offset: Offset,
    /// One past the batch's last record.
    pub end_offset: Offset,
    /// The time the log gave the batch, ms; -1 unless the topic is LogAppendTime (P-12).
    pub log_append_time_ms: i64,
    /// The log's first offset.
    pub start_offset: Offset,
    /// Whether the batch was there already (P-15).
    pub duplicate: bool,
}

/// The offsets that describe a log at one moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Offsets {
    /// The first offset that can be read.
    pub start: Offset,
    /// The last stable offset: the first of the oldest open transaction, else `high_watermark`.
    pub stable: Offset,
    /// One past what readers see (DC8).
    pub high_watermark: Offset,
    /// One past the last appended record.
    pub end: Offset,
    /// The leader epoch of the next append.
    pub leader_epoch: i32,
}

impl Offsets {
    /// One past what is read up to this bound.
    #[must_use]
    pub fn below(&self, bound: Bound) -> Offset {
        match bound {
            Bound::HighWatermark | Bound::Below(_) => self.high_watermark,
            Bound::Stable => self.stable,
            Bound::End => self.end,
        }
    }
}

/// How far a read may go.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Bound {
    /// To the high watermark: what consumers see.
    HighWatermark,
    /// To the last stable offset: read_committed.
    Stable,
    /// To the high watermark, but the records wanted lie below this offset: what begins at or
    /// above it may be left out. Spares the search for where a long answer would end. An answer
    /// without records says nothing of what lies further on.
    Below(Offset),
    /// To the log's end: a coordinator's replay.
    End,
}

/// What to read.
#[derive(Debug, Clone, Copy)]
pub struct ReadRequest {
    /// The first offset wanted. The answer may begin with a batch that starts below it.
    pub from: Offset,
    /// The most bytes wanted; whole batches only.
    pub max_bytes: usize,
    /// Give the first batch even if it is longer than `max_bytes` (F-1).
    pub at_least_one: bool,
    /// How far to go.
    pub bound: Bound,
}

/// What was read: whole batches, possibly none.
#[derive(Debug)]
pub struct Read {
    /// The bytes, or where they lie. `None` when there is nothing to give.
    pub records: Option<Slice>,
    /// The log's offsets at the moment of the read.
    pub offsets: Offsets,
    /// For [`Bound::Stable`], the aborted transactions of which something lies in `records`, or
    /// a little further on (F-4), in the order of their markers.
    pub aborted: Vec<AbortedTransaction>,
    /// Whether `from` lies before the active segment (F-3: a fetch from there does not wait).
    pub behind_active: bool,
}

/// Bytes of whole batches.
#[derive(Debug, Clone)]
pub enum Slice {
    /// In memory.
    Bytes(Bytes),
    /// In a file, verified (DC6): can leave by sendfile.
    File(FileRange),
}

impl Slice {
    /// The length in bytes.
    #[must_use]
    pub fn len(&self) -> usize {
        match self {
            Self::Bytes(bytes) => bytes.len(),
            Self::File(range) => range.len,
        }
    }

    /// Whether it holds no byte.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The bytes, read from the file if they lie there.
    ///
    /// # Errors
    /// [`StorageError::Io`] if the file cannot be read.
    pub fn to_bytes(&self) -> Result<Bytes, StorageError> {
        match self {
            Self::Bytes(bytes) => Ok(bytes.clone()),
            Self::File(range) => {
                let mut buffer = vec![0; range.len];
                crate::disk::read_exact_at(&*range.file, &mut buffer, range.position)
                    .map_err(|error| StorageError::Io(Arc::new(error)))?;
                Ok(buffer.into())
            }
        }
    }
}

/// Part of a file. Holding it keeps the bytes readable, also once the segment is deleted.
#[derive(Debug, Clone)]
pub struct FileRange {
    /// The open file.
    pub file: Arc<dyn File>,
    /// The first byte.
    pub position: Position,
    /// How many bytes.
    pub len: usize,
}

/// Which record is looked for by time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TimeQuery {
    /// The first record whose timestamp is at or after this one, ms (L-3).
    AtOrAfter(i64),
    /// The record with the largest timestamp (L-4).
    Largest,
}

/// A record found by its time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TimedOffset {
    /// Its offset.
    pub offset: Offset,
    /// Its timestamp, ms.
    pub timestamp_ms: i64,
    /// The leader epoch of its batch.
    pub leader_epoch: i32,
}

/// What a partition remembers of a producer (KIP-664).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ProducerSummary {
    /// The producer's id.
    pub producer_id: i64,
    /// Its epoch.
    pub producer_epoch: i16,
    /// The last sequence it wrote, -1 if none.
    pub last_sequence: i32,
    /// When it wrote last (record time), ms.
    pub last_timestamp_ms: i64,
    /// The coordinator epoch of its last marker, -1 if none.
    pub coordinator_epoch: i32,
    /// The first offset of its open transaction.
    pub transaction_start: Option<Offset>,
}

/// How logs are cleaned (C-1).
pub struct CleaningRules<'a> {
    /// The most memory that the keys of one log take, in bytes.
    pub map_bytes: usize,
    /// Called with the bytes that were read or written since the last time, to hold a pace.
    pub pace: &'a dyn Fn(u64) -> Pace,
}

/// What a cleaning does after some bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Pace {
    /// It goes on.
    On,
    /// It has waited a little, and asks again (with no more bytes): if meanwhile the log is to be
    /// deleted, nobody waits for its pace.
    Wait,
    /// It ends.
    End,
}

/// What a cleaning did.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Cleaning {
    /// Of which partition.
    pub partition: PartitionId,
    /// Everything below is clean now.
    pub to: Offset,
    /// Bytes of segments that were read.
    pub read_bytes: u64,
    /// Bytes of segments that were written.
    pub written_bytes: u64,
    /// Bytes that the log is shorter now.
    pub freed_bytes: u64,
    /// Segments in whose place there are new ones.
    pub replaced_segments: u64,
    /// Bytes of memory that the map of keys took.
    pub map_bytes: u64,
}

impl Default for Cleaning {
    fn default() -> Self {
        Self {
            partition: PartitionId {
                topic: uuid::Uuid::nil(),
                index: 0,
            },
            to: Offset::ZERO,
            read_bytes: 0,
            written_bytes: 0,
            freed_bytes: 0,
            replaced_segments: 0,
            map_bytes: 0,
        }
    }
}

/// How logs stand that are to be cleaned.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Standing {
    /// How many logs are compacted.
    pub logs: usize,
    /// The largest part of any log that is new, in millionths.
    pub dirtiest_millionths: u64,
    /// Logs that cannot be cleaned, and why: their records cannot be read. They are tried again
    /// after a restart.
    pub uncleanable: Vec<(PartitionId, String)>,
}

/// Keeps logs.
pub trait Engine: Send + Sync + 'static {
    /// Make a partition known and give its handle; what the disk holds of it is recovered first.
    /// A partition that is known already gets the new settings.
    ///
    /// # Errors
    /// Any failure to read or mend its files. A damaged partition opens read-only instead.
    fn open(
        &self,
        id: PartitionId,
        settings: Arc<LogSettings>,
    ) -> Result<Arc<dyn Partition>, StorageError>;

    /// The handle of a known partition.
    fn partition(&self, id: PartitionId) -> Option<Arc<dyn Partition>>;

    /// Forget a partition and remove its files (later, if readers hold them), durably. Waiters
    /// are woken, and handles that are still about answer [`StorageError::UnknownPartition`]. A
    /// partition that was never opened, or is gone already, is deleted all the same.
    ///
    /// # Errors
    /// Any failure to remove the files.
    fn delete(&self, id: PartitionId) -> Result<(), StorageError>;

    /// The partitions that there are files of, opened or not, in no order.
    ///
    /// # Errors
    /// Any failure to look.
    fn stored(&self) -> Result<Vec<PartitionId>, StorageError>;

    /// Retention, rolling by time, producer expiry and checkpoints: called every now and then.
    /// Blocking: call it from a thread that may block.
    fn upkeep(&self, now_ms: i64);

    /// Clean the filthiest compacted log that is due and that nobody else cleans (C-1), as far as
    /// `rules.map_bytes` reaches. `None` if there is none. Blocking, and long: call it from a
    /// thread of its own.
    ///
    /// # Errors
    /// Why the log could not be cleaned. It is as it was; if its records cannot be read, it is
    /// left alone from now on ([`Standing::uncleanable`]).
    fn clean(
        &self,
        rules: &CleaningRules<'_>,
        now_ms: i64,
    ) -> Result<Option<Cleaning>, StorageError> {
        let _ = (rules, now_ms);
        Ok(None)
    }

    /// How the logs stand that are to be cleaned.
    fn cleaning(&self, now_ms: i64) -> Standing {
        let _ = now_ms;
        Standing::default()
    }

    /// How many logs lost a torn or unsynced tail to recovery since the engine was opened (DC6).
    fn cuts(&self) -> u64;

    /// Why the engine cannot be relied upon, one sentence each; empty when all is well.
    fn complaints(&self) -> Vec<String>;

    /// Sync everything, write checkpoints and the clean-shutdown mark. Appends fail from here on.
    fn close(&self) -> Pending<()>;
}

/// One log.
pub trait Partition: Send + Sync + 'static {
    /// Its id.
    fn id(&self) -> PartitionId;

    /// Append a batch. Order is fixed and the bytes are in the file when the call returns; the
    /// answer waits for what `durability` says.
    fn append(
        &self,
        batch: &Batch,
        origin: Origin,
        durability: Durability,
        now_ms: i64,
    ) -> Pending<Appended>;

    /// Ask to write the first batch of a transaction (T-18). What it gives holds until the log
    /// has seen an end of a transaction of the same producer.
    ///
    /// # Errors
    /// [`StorageError::ProducerFenced`] if the log has seen a higher epoch.
    fn verify(&self, beginning: &Beginning, now_ms: i64) -> Result<Verification, StorageError>;

    /// Append the end of a producer's transaction (T-11, T-12). One that is open in this log ends
    /// there; a marker that comes again is written again, and changes nothing.
    ///
    /// `ProducerFenced` when the epoch is too low for the transaction version,
    /// `CoordinatorFenced` when the coordinator was replaced.
    fn append_marker(
        &self,
        marker: &Marker,
        durability: Durability,
        now_ms: i64,
    ) -> Pending<Appended>;

    /// The aborted transactions of which something lies in `from..to`, in the order of their
    /// markers (F-4). All of them, if `to` is not above the last stable offset; some that lie
    /// further on may be among them.
    fn aborted(&self, from: Offset, to: Offset) -> Pending<Vec<AbortedTransaction>>;

    /// Read whole batches. `Ready` when they are at hand; `Later` when they must be verified or
    /// fetched first.
    fn read(&self, request: ReadRequest) -> Pending<Read>;

    /// The log's offsets now.
    fn offsets(&self) -> Offsets;

    /// Wake `notify` once when more than `after` can be read up to `bound` (the high watermark or
    /// the last stable offset has passed it), or when the partition is deleted or its start moves.
    /// Register, then look again, then sleep. Dropping the guard deregisters.
    fn watch(&self, after: Offset, bound: Bound, notify: &Arc<Notify>) -> Watch;

    /// Find a record by time, up to `bound`. `Later` when batches must be read.
    fn offset_at(&self, query: TimeQuery, bound: Bound) -> Pending<Option<TimedOffset>>;

    /// Move the start up to `to` (never back), durably, and give the new start. Segments wholly
    /// below it go.
    ///
    /// `OffsetOutOfRange` when `to` lies above the high watermark.
    fn advance_start(&self, to: Offset) -> Pending<Offset>;

    /// The producers that have state here, in the order of their ids.
    fn producers(&self) -> Vec<ProducerSummary>;

    /// What is known of one producer.
    fn producer(&self, id: i64) -> Option<ProducerSummary> {
        let mut all = self.producers().into_iter();
        all.find(|known| known.producer_id == id)
    }

    /// For an epoch, the largest epoch at or below it and one past its last offset (L-6).
    fn epoch_end(&self, epoch: i32) -> Option<(i32, Offset)>;

    /// Bytes of all segments.
    fn size(&self) -> u64;

    /// The number of segments.
    fn segments(&self) -> usize;

    /// Why this partition is read-only, if it is (DC6).
    fn damage(&self) -> Option<String>;
}

/// Deregisters a waiter when dropped.
#[must_use]
pub struct Watch(Option<Box<dyn FnOnce() + Send>>);

impl Watch {
    /// A guard that runs `deregister` when dropped.
    pub fn new(deregister: impl FnOnce() + Send + 'static) -> Self {
        Self(Some(Box::new(deregister)))
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        if let Some(deregister) = self.0.take() {
            deregister();
        }
    }
}
