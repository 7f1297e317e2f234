//! What is known of a transactional id.

use std::collections::{BTreeMap, BTreeSet};

use super::{EPOCH_MAX, NONE, Partitions, VERSION_WITH_EPOCHS};

/// Where a transactional id stands (T-1). The numbers and names are Kafka's.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Status {
    /// Its producer has begun no transaction yet.
    Empty = 0,
    /// A transaction is open.
    Ongoing = 1,
    /// It will be committed; markers are on their way.
    PrepareCommit = 2,
    /// It will be aborted; markers are on their way.
    PrepareAbort = 3,
    /// It is committed.
    CompleteCommit = 4,
    /// It is aborted.
    CompleteAbort = 5,
}

impl Status {
    /// All of them.
    pub const ALL: [Self; 6] = [
        Self::Empty,
        Self::Ongoing,
        Self::PrepareCommit,
        Self::PrepareAbort,
        Self::CompleteCommit,
        Self::CompleteAbort,
    ];

    /// Kafka's number of it.
    #[must_use]
    pub fn byte(self) -> i8 {
        self as i8
    }

    /// Kafka's name of it.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Empty => "Empty",
            Self::Ongoing => "Ongoing",
            Self::PrepareCommit => "PrepareCommit",
            Self::PrepareAbort => "PrepareAbort",
            Self::CompleteCommit => "CompleteCommit",
            Self::CompleteAbort => "CompleteAbort",
        }
    }

    /// The state in which markers are on their way.
    #[must_use]
    pub fn prepared(commit: bool) -> Self {
        if commit {
            Self::PrepareCommit
        } else {
            Self::PrepareAbort
        }
    }

    /// The state that follows once they are written.
    #[must_use]
    pub fn completed(commit: bool) -> Self {
        if commit {
            Self::CompleteCommit
        } else {
            Self::CompleteAbort
        }
    }

    /// Whether markers are on their way, and if so, whether they commit.
    #[must_use]
    pub fn preparing(self) -> Option<bool> {
        match self {
            Self::PrepareCommit => Some(true),
            Self::PrepareAbort => Some(false),
            _ => None,
        }
    }

    /// How the last transaction ended, if none was begun since.
    #[must_use]
    pub fn ended(self) -> Option<bool> {
        match self {
            Self::CompleteCommit => Some(true),
            Self::CompleteAbort => Some(false),
            _ => None,
        }
    }
}

/// What is known of a transactional id: the value of its record.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Transaction {
    /// The id of its producer.
    pub producer_id: i64,
    /// The id it had before this one, -1 if none or long ago.
    pub previous_producer_id: i64,
    /// The id that its producer has from the end of this transaction on, -1 if it stays.
    pub next_producer_id: i64,
    /// The producer's epoch.
    pub epoch: i16,
    /// The epoch before, if who held it may go on with the one it has now (T-4); else -1.
    pub last_epoch: i16,
    /// How long a transaction may be open, ms.
    pub timeout_ms: i32,
    /// Where it stands.
    pub status: Status,
    /// The partitions that it wrote to, by topic.
    pub partitions: Partitions,
    /// When the transaction began, on the wall clock in ms; -1 if none did.
    pub started_ms: i64,
    /// When this was written, on the wall clock in ms.
    pub updated_ms: i64,
    /// The version of transactions that the client of the last one spoke.
    pub client_version: i16,
}

impl Transaction {
    /// That of an id which nobody held before.
    #[must_use]
    pub fn new(producer_id: i64, timeout_ms: i32, now_ms: i64) -> Self {
        Self {
            producer_id,
            previous_producer_id: NONE,
            next_producer_id: NONE,
            epoch: 0,
            last_epoch: -1,
            timeout_ms,
            status: Status::Empty,
            partitions: BTreeMap::new(),
            started_ms: -1,
            updated_ms: now_ms,
            client_version: 0,
        }
    }

    /// Whether the epoch cannot rise any more.
    #[must_use]
    pub fn is_exhausted(&self) -> bool {
        self.epoch >= EPOCH_MAX
    }

    /// Whether a partition is part of it.
    #[must_use]
    pub fn holds(&self, topic: &str, index: i32) -> bool {
        let indexes = self.partitions.get(topic);
        indexes.is_some_and(|indexes| indexes.contains(&index))
    }

    /// How many partitions are part of it.
    #[must_use]
    pub fn partition_count(&self) -> usize {
        self.partitions.values().map(BTreeSet::len).sum()
    }

    /// Whether an open transaction is older than it may be. One that began further ahead than it
    /// may last is so too: the clock was put back, and would let it hold up readers until then.
    #[must_use]
    pub fn is_overdue(&self, now_ms: i64) -> bool {
        let timeout_ms = i64::from(self.timeout_ms);
        let is_old = self.started_ms.saturating_add(timeout_ms) < now_ms;
        let is_ahead = self.started_ms > now_ms.saturating_add(timeout_ms);
        self.status == Status::Ongoing && (is_old || is_ahead)
    }

    /// The producer that its client holds once the transaction has ended: id and epoch.
    #[must_use]
    pub fn successor(&self) -> (i64, i16) {
        if self.next_producer_id == NONE {
            (self.producer_id, self.epoch)
        } else {
            (self.next_producer_id, 0)
        }
    }

    /// It will end like this: what is written down before the markers.
    #[must_use]
    pub fn prepare(&self, commit: bool, client_version: i16, fresh_id: i64, now_ms: i64) -> Self {
        let mut next = self.clone();
        if client_version >= VERSION_WITH_EPOCHS {
            next.last_epoch = self.epoch;
            next.epoch = self.epoch.saturating_add(1);
            next.next_producer_id = fresh_id;
        }
        if self.status != Status::Ongoing {
            // A transaction without a partition may be aborted, and has begun with that.
            next.started_ms = now_ms;
        }
        next.status = Status::prepared(commit);
        next.client_version = client_version;
        next.updated_ms = now_ms;
        next
    }

    /// Its markers are written.
    #[must_use]
    pub fn complete(&self, commit: bool, now_ms: i64) -> Self {
        let mut next = self.clone();
        if self.next_producer_id != NONE {
            next.previous_producer_id = self.producer_id;
            next.producer_id = self.next_producer_id;
            next.next_producer_id = NONE;
            next.epoch = 0;
        }
        next.status = Status::completed(commit);
        next.partitions = BTreeMap::new();
        next.updated_ms = now_ms;
        next
    }
}
