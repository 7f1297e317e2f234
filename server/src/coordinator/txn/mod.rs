//! Transactions: which producer holds a transactional id, what its transaction has written to,
//! how it ended (T-1 to T-17). One machine for each partition of `__transaction_state`.
//!
//! A transaction ends in two steps. First it is written down how (PrepareCommit, PrepareAbort):
//! from then on nothing can change it, and the client has its answer. Then the shell writes
//! markers into all partitions of it and tells, and the transaction is complete. A restart between
//! the two finds the first and has the markers written again. It is the machine that says when a
//! marker is tried again: one that came later than all others would end the next transaction.
//!
//! The epochs are those of KIP-890's second part where the client knows it (client version 2):
//! each end raises the epoch, and markers carry the raised one. Older clients keep their epoch.
//! Both may use the same transactional id, one after the other (T-17).
//!
//! A partition that is to be added while markers are still on their way waits here for a moment
//! instead of being sent back: most markers are written before a client asks again.

mod add;
mod end;
mod event;
mod init;
mod limits;
mod list;
mod machine;
mod markers;
mod record;
mod transaction;

pub use event::{
    Action, Add, End, Event, Filter, Init, Listed, Part, Partitions, ProducerId, Reply,
    WriteMarkers,
};
pub use limits::Limits;
pub use machine::TransactionMachine;
pub use record::Record;
pub use transaction::{Status, Transaction};

/// The highest epoch that a producer is given; a producer that reached it gets a new id (T-4).
pub const EPOCH_MAX: i16 = i16::MAX - 1;
/// No producer id, no epoch.
pub const NONE: i64 = -1;
/// From this version of transactions on each has an epoch of its own (KIP-890).
pub const VERSION_WITH_EPOCHS: i16 = 2;

#[cfg(test)]
mod tests;
