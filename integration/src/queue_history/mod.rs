//! What the workers of a queue did and saw, and whether that is a history which a queue may have
//! (queues.md 5).
//!
//! Every worker writes down each [`Op`] twice: before it sends the request, with an end that is
//! open, and again when it has the answer. So one that is killed leaves behind what it asked for.
//! All is merged into one [`QueueHistory`], with what a last worker drained, the dead letters and
//! how the queues stood in the end; [`QueueHistory::check`] lists every [`QueueAnomaly`]. Times are
//! those of one monotonic clock for all processes of a machine, so that what lies between a
//! request and its answer is known and nothing more: a rule is broken only if it is broken
//! wherever in these spans the server did its part.
//!
//! A *member* here is one connection of one worker: what it leased goes when the connection does.

mod ends;
pub mod journal;
mod leases;
mod letters;
mod order;

use std::collections::BTreeMap;

use crate::history::{Outcome, Span, Value};

/// An end that is not known: the answer never came.
pub const OPEN: u64 = u64::MAX;

/// Which connection of which worker; no two are the same.
pub type MemberNumber = u32;

/// A record that was delivered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Delivery {
    /// Its partition.
    pub partition: i32,
    /// Its offset.
    pub offset: i64,
    /// How often it has been delivered, this time included, as the server says.
    pub count: i16,
    /// What it holds.
    pub value: Value,
}

/// What a worker says of a record, by Kafka's numbers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Word {
    /// Done.
    Accept = 1,
    /// For another to do.
    Release = 2,
    /// Never to be done.
    Reject = 3,
    /// Still in work.
    Renew = 4,
}

/// What the server said of an acknowledgement.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Said {
    /// It holds.
    Held,
    /// Refused, with this error: nothing changed.
    Refused(i16),
    /// Nobody can say.
    Unknown,
}

/// One thing that was done.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Op {
    /// A record was sent with acks=all.
    Send {
        /// The partition.
        partition: i32,
        /// The record.
        value: Value,
        /// From the request to the answer.
        span: Span,
        /// The answer.
        outcome: Outcome,
    },
    /// A member connected.
    Joined {
        /// The member.
        member: MemberNumber,
        /// The begin lies before the connection, the end behind it.
        span: Span,
    },
    /// A member asked for records.
    Fetch {
        /// The member.
        member: MemberNumber,
        /// From the request to the answer.
        span: Span,
        /// What it was given; `None` if it never heard.
        answer: Option<Vec<Delivery>>,
    },
    /// A member said something of records of one partition. All of it holds, or nothing.
    Ack {
        /// The member.
        member: MemberNumber,
        /// The partition.
        partition: i32,
        /// Of which offsets, and what. Ascending.
        words: Vec<(i64, Word)>,
        /// From the request to the answer.
        span: Span,
        /// What the server said.
        said: Said,
    },
    /// A member's session or connection ended, or its process was killed.
    Left {
        /// The member.
        member: MemberNumber,
        /// From when on the server may have known.
        at_us: u64,
    },
    /// The server went down and came back. Its lives are counted by these.
    Down {
        /// Just before it was told.
        begin_us: u64,
        /// Its process was gone.
        gone_us: u64,
    },
    /// The log was told to begin at an offset.
    Cut {
        /// The partition.
        partition: i32,
        /// The first offset that is kept.
        offset: i64,
        /// From the request to the answer.
        span: Span,
    },
    /// The power went, and with it the end of the log: records that nobody was promised. What
    /// comes to lie at their offsets is another record.
    Torn {
        /// The partition.
        partition: i32,
        /// The first offset that is gone.
        offset: i64,
        /// When.
        at_us: u64,
    },
}

/// Why a dead letter says it was written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Cause {
    /// A member rejected the record.
    Rejected,
    /// It was delivered as often as it may be.
    Limit,
}

/// A record of the dead-letter topic.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Letter {
    /// The partition that it names as its origin.
    pub partition: i32,
    /// The offset that it names.
    pub offset: i64,
    /// How often the record was delivered.
    pub count: i16,
    /// Why it was given up.
    pub cause: Cause,
    /// The copy of what it held.
    pub value: Option<Value>,
}

/// How a queue stood when all was drained.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Standing {
    /// Its first offset that is not done.
    pub start: i64,
    /// One past the last record of its log.
    pub end: i64,
    /// Records that are ready, leased, held back or on their way to the dead-letter topic.
    pub left: i64,
}

/// What the group promised.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Terms {
    /// How long a lease lasts, microseconds.
    pub lock_us: u64,
    /// Deliveries after which a record is given up.
    pub limit: i16,
}

/// Everything that was done, and what was left at the end.
#[derive(Debug, Clone)]
pub struct QueueHistory {
    /// What the group promised.
    pub terms: Terms,
    /// What was done, in any order.
    pub ops: Vec<Op>,
    /// The dead-letter topic, read after all was over.
    pub letters: Vec<Letter>,
    /// Each partition's queue, after all was over.
    pub finally: BTreeMap<i32, Standing>,
}

/// What no queue may do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Kind {
    /// A value that was never sent, or lies elsewhere.
    Phantom,
    /// An acknowledged send that was delivered to nobody.
    Undelivered,
    /// A record that was delivered, and in the end neither accepted nor a dead letter.
    Unfinished,
    /// The queue still holds something that nobody is given.
    LeftOver,
    /// A delivery after the record was accepted or rejected, and that was confirmed.
    DeliveredAfterEnd,
    /// Two leases of one record at the same time.
    DoubleLease,
    /// A delivery count that stood in an answer before, or a lower one.
    CountRepeated,
    /// A delivery count that leaves one out which no lost answer explains.
    CountSkipped,
    /// A delivery beyond the limit.
    OverLimit,
    /// An acknowledgement of what the member surely leased was refused.
    FalseRefusal,
    /// An acknowledgement of what another member surely leased was taken.
    ForeignAck,
    /// A rejected record that has no dead letter.
    LostLetter,
    /// A dead letter of a record that was neither rejected nor delivered too often.
    PhantomLetter,
    /// A dead letter that says something else than its record.
    WrongLetter,
    /// More dead letters of one record than deaths of the server explain.
    RepeatedLetter,
    /// A dead letter of a record that was accepted, and that was confirmed.
    DeadAfterAccept,
    /// A delivery of what the log had dropped.
    BelowStart,
}

/// One violation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct QueueAnomaly {
    /// Of which kind.
    pub kind: Kind,
    /// Where.
    pub partition: i32,
    /// Which record; -1 for none.
    pub offset: i64,
    /// The particulars, in one sentence.
    pub detail: String,
}

/// Partition, offset, and how many records at that offset were torn off before.
type Place = (i32, i64, usize);

/// Collects anomalies.
#[derive(Default)]
struct Report(Vec<QueueAnomaly>);

impl Report {
    fn add(&mut self, kind: Kind, (partition, offset, _): Place, detail: String) {
        self.0.push(QueueAnomaly {
            kind,
            partition,
            offset,
            detail,
        });
    }
}

impl QueueHistory {
    /// Every anomaly of this history, by partition and offset.
    #[must_use]
    pub fn check(&self) -> Vec<QueueAnomaly> {
        let told = leases::Told::of(self);
        let mut report = Report::default();
        order::check(&told, &mut report);
        ends::check(&told, &mut report);
        letters::check(&told, &mut report);
        let mut found = report.0;
        found.sort_by_key(|anomaly| (anomaly.partition, anomaly.offset, anomaly.kind));
        found
    }
}

#[cfg(test)]
mod tests;
