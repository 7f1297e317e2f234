//! What may happen to the queues of a shard, and what they answer. Plain values: no request type,
//! no version. Strings own their memory.

use std::sync::Arc;

use ratel_storage::{Offset, PartitionId, TopicId};

use super::QueueConfig;

/// One queue: a share group's view of one partition.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct QueueKey {
    /// The share group.
    pub group: Arc<str>,
    /// The partition of the source topic.
    pub partition: PartitionId,
}

/// Something that happens to a shard's queues.
#[derive(Debug, Clone)]
pub enum Event {
    /// A group begins to read a partition. A queue that is there already stays as it is.
    /// Replies [`Reply::Done`], durable; refuses GROUP_MAX_SIZE_REACHED if the shard has as many
    /// queues as it may have.
    Initialize {
        /// The queue.
        key: QueueKey,
        /// Its first record.
        start: Offset,
    },
    /// A member wants records. Replies [`Reply::Acquired`], [`Reply::NeedShape`] or
    /// [`Reply::Nothing`], at once; refuses UNKNOWN_TOPIC_OR_PARTITION if there is no such queue.
    Acquire(Acquire),
    /// A member says what became of records. Replies [`Reply::Done`] once durable. All or nothing:
    /// refuses INVALID_RECORD_STATE or INVALID_REQUEST and changes nothing.
    Acknowledge(Acknowledge),
    /// A member is gone from a queue (its session closed, its connection broke): what it leased
    /// is available again, its count as it is. Replies [`Reply::Done`], durable.
    Release {
        /// The queue.
        key: QueueKey,
        /// The member.
        member: Arc<str>,
    },
    /// Leases that never left the server (they went past the bytes that the member wanted, or
    /// could not be read): each is as if it had not been, its count one lower, and nothing is
    /// written down. Ranges in ascending order; what the member does not lease is passed over.
    /// Replies [`Reply::Done`], at once.
    GiveBack {
        /// The queue.
        key: QueueKey,
        /// The member.
        member: Arc<str>,
        /// First and last offset of each range.
        ranges: Vec<(Offset, Offset)>,
    },
    /// The log's start moved up to here: what lies below is archived in every queue of the
    /// partition in this shard.
    LogStart {
        /// The partition.
        partition: PartitionId,
        /// Its first offset.
        start: Offset,
    },
    /// Dead letters of a queue stand durably in their topic, or need none: these offsets leave
    /// Archiving.
    DeadLettered {
        /// The queue.
        key: QueueKey,
        /// First and last offset of each range.
        ranges: Vec<(Offset, Offset)>,
    },
    /// Begin anew from an offset, with no memory of deliveries (AlterShareGroupOffsets); makes
    /// the queue if it is not there, and refuses as [`Event::Initialize`] does. Replies
    /// [`Reply::Done`], durable. Whether the group is empty is for the caller to know.
    Reset {
        /// The queue.
        key: QueueKey,
        /// Its new first record.
        start: Offset,
    },
    /// Archive all that is available below an offset; what is leased stays leased. Replies
    /// [`Reply::Purged`], durable.
    Purge {
        /// The queue.
        key: QueueKey,
        /// One past the last offset to archive.
        end: Offset,
    },
    /// Forget a queue (DeleteShareGroupOffsets). Replies [`Reply::Done`], durable.
    Delete {
        /// The queue.
        key: QueueKey,
    },
    /// Forget all queues of a group in this shard. Replies [`Reply::Done`], durable.
    DeleteGroup {
        /// The share group.
        group: Arc<str>,
    },
    /// A topic is gone, and with it its queues.
    TopicDeleted(TopicId),
    /// Replies [`Reply::Described`]; refuses UNKNOWN_TOPIC_OR_PARTITION if there is no such queue.
    Describe {
        /// The queue.
        key: QueueKey,
    },
    /// Replies [`Reply::Surveyed`]: all queues of the shard, or those of one group.
    Survey {
        /// The group; all of them if none.
        group: Option<Arc<str>>,
    },
}

/// How exactly a limit of records is kept (KIP-1206).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mode {
    /// Up to the end of the batch in which the limit is reached.
    BatchOptimized,
    /// Never more than the limit.
    RecordLimit,
}

/// A member wants records of a queue.
#[derive(Debug, Clone)]
pub struct Acquire {
    /// The queue.
    pub key: QueueKey,
    /// The member.
    pub member: Arc<str>,
    /// The group's settings.
    pub config: Arc<QueueConfig>,
    /// The most records wanted.
    pub max_records: usize,
    /// How exactly that is kept.
    pub mode: Mode,
    /// The log's first offset.
    pub log_start: Offset,
    /// One past the last offset that may be leased: high watermark, or last stable offset.
    pub end: Offset,
    /// The batches from where a [`Reply::NeedShape`] asked for them.
    pub shape: Option<Shape>,
    /// Until when the member waits for an answer, on the monotonic clock, ms: while it does it
    /// counts as one to share free leases with.
    pub waits_until_ms: i64,
}

/// What lies in a stretch of a log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Shape {
    /// The first offset that it speaks of.
    pub from: Offset,
    /// One past the last.
    pub to: Offset,
    /// The batches of records, in order. Offsets in no span hold no record (control batches,
    /// aborted or cleaned away): they are archived on the way.
    pub batches: Vec<Span>,
}

/// A batch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Span {
    /// Its first offset.
    pub first: Offset,
    /// Its last offset.
    pub last: Offset,
}

/// What a member says of a record.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AckType {
    /// 0: no record is there.
    Gap,
    /// 1: done.
    Accept,
    /// 2: for another to do.
    Release,
    /// 3: never to be done.
    Reject,
    /// 4: still in work (KIP-1222).
    Renew,
}

/// What a member says of records of a queue.
#[derive(Debug, Clone)]
pub struct Acknowledge {
    /// The queue.
    pub key: QueueKey,
    /// The member.
    pub member: Arc<str>,
    /// The group's settings.
    pub config: Arc<QueueConfig>,
    /// Ranges in ascending order.
    pub batches: Vec<AcknowledgeBatch>,
}

/// What a member says of a range of records.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AcknowledgeBatch {
    /// Its first offset.
    pub first: Offset,
    /// Its last offset.
    pub last: Offset,
    /// One for all, or one for each offset.
    pub types: Vec<AckType>,
}

/// Records that a member now leases.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Acquired {
    /// The first offset.
    pub first: Offset,
    /// The last offset.
    pub last: Offset,
    /// How often each has been delivered, this time included.
    pub delivery_count: i16,
}

/// What queues answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Reply {
    /// It is so.
    Done,
    /// These are leased, in ascending order and no two mergeable.
    Acquired {
        /// The ranges.
        ranges: Vec<Acquired>,
        /// How long the leases last, ms.
        lock_duration_ms: i64,
    },
    /// Nothing known is available, and the log goes on: ask again with its shape from here.
    NeedShape {
        /// The first offset to tell of.
        from: Offset,
    },
    /// Nothing is available. [`Action::Wake`] tells when to ask again, or the log's growth.
    Nothing,
    /// So many records were archived.
    Purged(u64),
    /// A queue.
    Described(Depth),
    /// Queues, in the order of their keys.
    Surveyed(Vec<(QueueKey, Depth)>),
}

/// How a queue stands. Records from `next` on up to the log's end are ready too.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Depth {
    /// The first offset that is not done.
    pub start: Offset,
    /// The first offset that was never leased; all from there on are ready.
    pub next: Offset,
    /// The first offset that is available, `next` if there is none below it.
    pub oldest_ready: Offset,
    /// Records below `next` that are available now.
    pub ready: u64,
    /// Records that are leased.
    pub in_flight: u64,
    /// Records that are held back for a while after a release.
    pub delayed: u64,
    /// Records on their way to the dead-letter topic.
    pub archiving: u64,
    /// Records at or above `start` and below `next` that are done (KIP-1226).
    pub complete: u64,
    /// Records given up since the server's start. Where they go to a dead-letter topic, they are
    /// there.
    pub dead: u64,
    /// Deliveries but the first of each record, since the server's start.
    pub redelivered: u64,
    /// Leases that ran out, since the server's start.
    pub lock_expired: u64,
    /// Records that the log dropped before they were done, since the server's start.
    pub lost: u64,
    /// Goes up whenever the queue is reset.
    pub state_epoch: i32,
}

/// Why a record is given up (KIP-1191).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DeadReason {
    /// A member rejected it.
    Rejected,
    /// It was delivered as often as it may be.
    DeliveryLimit,
}

/// Records that are given up.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DeadRange {
    /// The first offset.
    pub first: Offset,
    /// The last offset.
    pub last: Offset,
    /// How often each was delivered.
    pub delivery_count: i16,
    /// Why.
    pub reason: DeadReason,
}

/// What queues ask of the shell.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Action {
    /// Records of this queue became available: wake who waits for them.
    Wake(QueueKey),
    /// Write dead letters, then tell [`Event::DeadLettered`]. Issued again after a restart for
    /// what is still Archiving (the reason is the limit then, if it is not known).
    DeadLetter {
        /// The queue.
        key: QueueKey,
        /// What is given up.
        ranges: Vec<DeadRange>,
    },
    /// Records were delivered as often as they may be and are archived without a dead-letter
    /// topic: to be warned of. Once for each group and shard.
    GaveUp {
        /// The queue.
        key: QueueKey,
        /// The first of them.
        first: Offset,
    },
}
