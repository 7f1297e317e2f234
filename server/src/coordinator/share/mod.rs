//! Queues: which records of a partition a share group has yet to do, has leased to whom, has done
//! or has given up (KIP-932). One machine for each partition of `__share_group_state`.
//!
//! A queue is one group's view of one partition. Its data stays in the log: the machine knows
//! offsets alone. Hard state, changed by records: the start offset, what is done above it, how
//! often each record was delivered, from when on it may be leased again. Soft state: leases and
//! their deadlines, who waits. A restart keeps the first and forgets the second, so what was
//! leased is available again with its last durable count.
//!
//! Offsets without a record (holes: markers of transactions, what a cleaner took) are soft state
//! too. Kafka's record has no word for them, and a record for each would be paid for by every
//! queue, while a restart finds them again with the first acquire that comes to them. Until then
//! they count as ready and as not complete, and the start waits in front of them; it never goes
//! back, since an update that moves it past a hole says so. Nothing is leased of a hole, before
//! or after: an offset that has no record never gets one.

mod acknowledge;
mod acquire;
mod ahead;
mod changes;
mod config;
mod deadlines;
mod event;
mod machine;
mod members;
mod queue;
mod record;
mod runs;
mod upkeep;

pub use config::QueueConfig;
pub use event::{
    AckType, Acknowledge, AcknowledgeBatch, Acquire, Acquired, Action, DeadRange, DeadReason,
    Depth, Event, Mode, QueueKey, Reply, Shape, Span,
};
pub use machine::{RUNS_MAX, ShareMachine};
pub use record::{Durable, Record, Snapshot, StateBatch, Update};

#[cfg(test)]
mod tests;
