//! What may happen to transactions, what they answer and what they ask for.

use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::sync::Arc;

use ratel_storage::Offset;

use super::{Status, Transaction};
use crate::coordinator::pattern::Pattern;

/// Partitions by their topics' names.
pub type Partitions = BTreeMap<Arc<str>, BTreeSet<i32>>;

/// A producer: id and epoch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ProducerId {
    /// The id.
    pub id: i64,
    /// The epoch.
    pub epoch: i16,
}

/// A partition, by its topic's name, as records have it.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Part {
    /// The topic.
    pub topic: Arc<str>,
    /// The partition's index.
    pub index: i32,
}

/// A producer begins with a transactional id (T-2 to T-4).
#[derive(Debug, Clone)]
pub struct Init {
    /// The transactional id.
    pub id: Arc<str>,
    /// How long its transactions may be open, ms.
    pub timeout_ms: i32,
    /// The producer that it believes to be (KIP-360).
    pub expected: Option<ProducerId>,
    /// A producer id that was never used: given once [`Reply::NeedsProducerId`] asked for it.
    pub fresh_id: Option<i64>,
}

/// Partitions become part of a transaction, or are asked for (T-5, T-6).
#[derive(Debug, Clone)]
pub struct Add {
    /// The transactional id.
    pub id: Arc<str>,
    /// Who asks.
    pub producer: ProducerId,
    /// The partitions.
    pub partitions: Vec<Part>,
    /// The version of transactions that the client speaks.
    pub client_version: i16,
}

/// A transaction is to end (T-8, T-9).
#[derive(Debug, Clone)]
pub struct End {
    /// The transactional id.
    pub id: Arc<str>,
    /// Who asks.
    pub producer: ProducerId,
    /// Commit, else abort.
    pub commit: bool,
    /// The version of transactions that the client speaks.
    pub client_version: i16,
    /// As of [`Init::fresh_id`].
    pub fresh_id: Option<i64>,
}

/// Which transactional ids are to be listed (T-16).
#[derive(Debug, Clone, Default)]
pub struct Filter {
    /// In one of these states; empty is any.
    pub statuses: BTreeSet<Status>,
    /// Of one of these producers; empty is any.
    pub producer_ids: HashSet<i64>,
    /// Whose last transaction began longer ago than this, ms; negative is any.
    pub longer_than_ms: i64,
    /// Which this stands for; none is any.
    pub pattern: Option<Pattern>,
}

/// What may happen to a shard's transactions.
#[derive(Debug, Clone)]
pub enum Event {
    /// A producer begins.
    Init(Init),
    /// Partitions become part of a transaction.
    Add(Add),
    /// Whether partitions are part of a transaction.
    Verify(Add),
    /// A transaction is to end.
    End(End),
    /// What came of [`Action::WriteMarkers`].
    MarkersWritten {
        /// The transactional id.
        id: Arc<str>,
        /// [`WriteMarkers::prepared_at`].
        prepared_at: Offset,
        /// Where no marker is on stable storage yet, but has to be.
        left: Partitions,
    },
    /// Everything about a transactional id.
    Describe {
        /// The transactional id.
        id: Arc<str>,
    },
    /// Some transactional ids.
    List(Arc<Filter>),
}

/// A transactional id in a list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Listed {
    /// The transactional id.
    pub id: Arc<str>,
    /// Its producer's id.
    pub producer_id: i64,
    /// Where it stands.
    pub status: Status,
}

/// What transactions answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Reply {
    /// It cannot be decided without a new producer id: send the event again, with one.
    NeedsProducerId,
    /// The producer from now on.
    Producer(ProducerId),
    /// All partitions are part of the transaction.
    Added,
    /// Whether each partition is part of the transaction, in the order of the event.
    Verified(Vec<bool>),
    /// A transactional id.
    Described(Box<Transaction>),
    /// Transactional ids, in their order.
    Listed(Vec<Listed>),
}

/// The markers that end a transaction.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WriteMarkers {
    /// The transactional id.
    pub id: Arc<str>,
    /// Where it is written down how the transaction ends. The producer does not say which of the
    /// id's transactions it is: without epochs of their own they have one producer.
    pub prepared_at: Offset,
    /// The producer that the markers carry.
    pub producer: ProducerId,
    /// Commit, else abort.
    pub commit: bool,
    /// The version of transactions that decides which epochs are right (T-12).
    pub version: i16,
    /// Where they go.
    pub partitions: Partitions,
}

/// What transactions ask of the shell.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Action {
    /// Append markers, and tell [`Event::MarkersWritten`] once it is known what is on stable
    /// storage. Issued again for what is left, and after a restart.
    WriteMarkers(WriteMarkers),
    /// A transaction took too long and is aborted: to be told and counted.
    TimedOut {
        /// The transactional id.
        id: Arc<str>,
    },
}
