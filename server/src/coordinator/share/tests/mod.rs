//! What queues do, told as events that go in and effects that come out.

mod acknowledging;
mod acquiring;
mod bench;
mod format;
mod leases;
mod random;
mod restarts;
mod whole;
