//! What clients did to a server and what they saw, and whether that is a history which a log may
//! have.
//!
//! Every client thread writes [`Op`]s down for itself; when all is over they are merged into one
//! [`History`] together with what a last read of every partition brought, and [`History::check`]
//! lists every [`Anomaly`]. Names are those of the Kafka workload of Jepsen where it has one.
//!
//! Values are unique numbers, so a record seen anywhere can be told from every other. Only what
//! the server definitely refused counts as failed; a time-out or a cut connection is
//! [`Outcome::Unknown`]: the record may be there or not.

mod checks;

use std::collections::BTreeMap;

/// A value that no other record of the history carries.
pub type Value = u64;

/// When something was begun and ended, in microseconds of one monotonic clock.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Span {
    /// The begin.
    pub begin_us: u64,
    /// The end, at or after the begin.
    pub end_us: u64,
}

/// What became of a send.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// Acknowledged with this offset; -1 where the client was told that it is there, not where.
    Acked(i64),
    /// Refused: it must not be there.
    Failed,
    /// Nobody can say.
    Unknown,
}

/// One thing that a client did.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Op {
    /// A record was sent with acks=all.
    Send {
        /// Which producer: its sends to one partition are ordered.
        producer: u32,
        /// The partition.
        partition: i32,
        /// The record.
        value: Value,
        /// From the hand-over to the answer.
        span: Span,
        /// The answer.
        outcome: Outcome,
    },
    /// A consumer was given records of one partition, in this order.
    Poll {
        /// Which consumer.
        consumer: u32,
        /// Counts the assignments of this consumer: order holds within one.
        assignment: u32,
        /// The partition.
        partition: i32,
        /// Offsets and values.
        records: Vec<(i64, Value)>,
        /// The time of the poll.
        span: Span,
    },
    /// The high watermark was asked for.
    HighWatermark {
        /// The partition.
        partition: i32,
        /// The answer.
        offset: i64,
        /// The time of the question.
        span: Span,
    },
    /// A group's offset was committed, and acknowledged.
    Commit {
        /// The partition.
        partition: i32,
        /// The committed offset.
        offset: i64,
        /// The time of the commit.
        span: Span,
    },
    /// A group's committed offset was read back.
    Committed {
        /// The partition.
        partition: i32,
        /// What was read; -1 for none.
        offset: i64,
        /// The time of the question.
        span: Span,
    },
}

/// Everything that was done, and what was left at the end.
#[derive(Debug, Clone, Default)]
pub struct History {
    /// What the clients did, in any order.
    pub ops: Vec<Op>,
    /// Each partition from its first to its last offset, read after all was over.
    pub finally: BTreeMap<i32, Vec<(i64, Value)>>,
}

/// What no log may do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Kind {
    /// Two values at one offset.
    InconsistentOffset,
    /// One value at two offsets.
    Duplicate,
    /// A value that nobody sent, or whose send was refused.
    Phantom,
    /// An acknowledged value that is not there.
    LostWrite,
    /// An offset below the end that holds nothing.
    Gap,
    /// A producer's later send lies before its earlier one.
    NonmonotonicSend,
    /// A send that began after another was acknowledged lies before it.
    RealtimeOrder,
    /// A consumer was not given a record between two that it was given.
    PollSkip,
    /// A consumer was given an offset at or below one that it had.
    NonmonotonicPoll,
    /// The high watermark stood below a record that was acknowledged before it was asked for.
    StaleHighWatermark,
    /// The high watermark stood below an earlier answer.
    RegressedHighWatermark,
    /// A committed offset was lost or never committed.
    OffsetCommit,
    /// A record that consumers should have been given by the end was given to none.
    Unseen,
}

/// One violation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Anomaly {
    /// Of which kind.
    pub kind: Kind,
    /// Where.
    pub partition: i32,
    /// The particulars, in one sentence.
    pub detail: String,
}

impl History {
    /// Every anomaly of this history.
    #[must_use]
    pub fn check(&self) -> Vec<Anomaly> {
        checks::all(self)
    }
}

#[cfg(test)]
mod tests;
