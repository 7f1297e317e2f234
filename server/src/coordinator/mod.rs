//! Coordinators: pure state machines and the one impure shell that drives them.
//!
//! The rules of this folder:
//! - A [`Machine`] decides in `handle*` and changes hard state only in `apply`; a replay uses the
//!   same `apply`. No clock, no randomness, no lock, no `async`, no request type inside one.
//! - The runtime drains a shard's mailbox, applies each record as it is decided (the shard is
//!   the log's only writer, so the offset is known), appends all of them as one batch, and lets a
//!   reply go when everything before it is synced; a reply marked [`When::Now`] does not wait.
//!   Records inside a producer's transaction, and the markers that end them ([`Place`]), have
//!   batches of their own, in the order of the decisions.
//! - There is no way back: if an append fails, the shard drops its machine, answers waiting
//!   tickets with COORDINATOR_NOT_AVAILABLE and replays the log.

use std::collections::HashMap;

use bytes::Bytes;
use ratel_protocol::ErrorCode;
use ratel_storage::{Marker, Offset, PartitionId, Producer, ProducerSummary};

use crate::clock::Timestamp;

pub mod catalog;
pub mod group;
pub mod pattern;
pub mod record;
pub mod router;
pub mod runtime;
pub mod share;
#[cfg(test)]
pub(crate) mod testing;
pub mod txn;

/// Names one waiting reply. Given out by the runtime, one per event.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Ticket(pub u64);

/// When a reply may go.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum When {
    /// At once: it promises nothing that a power cut could take back (a heartbeat).
    Now,
    /// When every record decided before it is synced.
    Durable,
}

/// Where a record lies in the shard's log.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Applied {
    /// Its offset.
    pub offset: Offset,
    /// The wall time it was written at, ms.
    pub timestamp_ms: i64,
}

/// What a machine's state may point to, as it is when the machine begins (DC7).
#[derive(Debug, Clone, Default)]
pub struct LogEnds {
    /// One past the last record of each partition that exists.
    pub ends: HashMap<PartitionId, Offset>,
    /// The topics that its state names, whether they exist or not.
    pub topics: Vec<group::TopicNow>,
    /// How long members of its groups may be silent, by the groups' configuration.
    pub sessions: group::SessionTimeouts,
    /// What the machine's own log knows of producers: whose markers and batches it would refuse.
    pub producers: Vec<ProducerSummary>,
}

/// Where in its log a record stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Place {
    /// In a batch of its own machine.
    Plain,
    /// Inside a transaction of this producer: in a batch that says so, as Kafka writes them, so
    /// that who reads the log read_committed sees it once the transaction is committed.
    Within(Producer),
    /// It is the end of a producer's transaction, in a control batch. Its key and value are not
    /// asked for.
    Marker(Marker),
}

/// A record of a machine's log: key and value bytes in the format that other tools read.
pub trait Record: Sized + Send + 'static {
    /// Key and value; a value of `None` is a tombstone.
    fn encode(&self) -> (Bytes, Option<Bytes>);

    /// The record of these bytes; `Ok(None)` for one that another version or feature wrote and
    /// that means nothing here.
    ///
    /// # Errors
    /// What is wrong with the bytes.
    fn decode(key: &[u8], value: Option<&[u8]>) -> Result<Option<Self>, String>;

    /// Where it stands. Machines that take no part in transactions write plain records only.
    fn place(&self) -> Place {
        Place::Plain
    }

    /// The record, which was decoded from a batch inside this producer's transaction; `None` if
    /// it means nothing there.
    fn within(self, producer: Producer) -> Option<Self> {
        let _ = producer;
        None
    }

    /// The end of a producer's transaction as a record, for machines that want to know.
    fn marker(marker: Marker) -> Option<Self> {
        let _ = marker;
        None
    }
}

/// A coordinator's logic.
pub trait Machine: Send + Sized + 'static {
    /// What may happen to it.
    type Event: Send + 'static;
    /// What it writes down.
    type Record: Record;
    /// What it answers.
    type Reply: Send + 'static;
    /// What it asks the shell to do once the records before it are durable. The outcome, where
    /// it matters, comes back as an event.
    type Action: Send + 'static;

    /// Decide what an event leads to. The ticket's reply may come now or from a later call.
    fn handle(
        &mut self,
        now: Timestamp,
        ticket: Ticket,
        event: Self::Event,
        out: &mut Effects<Self>,
    );

    /// Decide what the passing of time leads to.
    fn handle_timeout(&mut self, now: Timestamp, out: &mut Effects<Self>);

    /// When `handle_timeout` is wanted next, on the monotonic clock in ms.
    fn next_timeout(&self) -> Option<i64>;

    /// Change hard state. The only writer of it, live and in a replay.
    fn apply(&mut self, at: Applied, record: &Self::Record);

    /// After the replay: sessions and deadlines begin anew from `now`, what points past a log's
    /// end is cut, unfinished actions are issued again.
    fn start(&mut self, now: Timestamp, ends: &LogEnds, out: &mut Effects<Self>);

    /// All live hard state as ordinary records.
    fn snapshot(&self, out: &mut Vec<Self::Record>);
}

/// What a machine decided, in order. [`Effects::record`] applies the record at once.
pub struct Effects<M: Machine> {
    /// Records to append. Those that stand in the same [`Place`] one after another are one atomic
    /// batch.
    pub records: Vec<M::Record>,
    /// Replies: to whom, what, when.
    pub replies: Vec<(Ticket, Result<M::Reply, ErrorCode>, When)>,
    /// Actions for the shell, performed in order once the records are durable.
    pub actions: Vec<M::Action>,
    next: Applied,
}

impl<M: Machine> Effects<M> {
    /// No effects yet; the first record will lie at `next`.
    #[must_use]
    pub fn new(next: Applied) -> Self {
        Self {
            records: Vec::new(),
            replies: Vec::new(),
            actions: Vec::new(),
            next,
        }
    }

    /// Where the next record will lie.
    #[must_use]
    pub fn next_offset(&self) -> Offset {
        self.next.offset
    }

    /// Write a record down and apply it to the machine, so that what is decided next sees it.
    pub fn record(&mut self, machine: &mut M, record: M::Record) {
        machine.apply(self.next, &record);
        self.next.offset = self.next.offset.plus(1);
        self.records.push(record);
    }

    /// Reply when all records so far are durable.
    pub fn reply(&mut self, ticket: Ticket, reply: M::Reply) {
        self.replies.push((ticket, Ok(reply), When::Durable));
    }

    /// Reply at once.
    pub fn reply_now(&mut self, ticket: Ticket, reply: M::Reply) {
        self.replies.push((ticket, Ok(reply), When::Now));
    }

    /// Refuse at once.
    pub fn refuse(&mut self, ticket: Ticket, error: ErrorCode) {
        self.replies.push((ticket, Err(error), When::Now));
    }

    /// Have the shell do something once all records so far are durable.
    pub fn act(&mut self, action: M::Action) {
        self.actions.push(action);
    }
}
