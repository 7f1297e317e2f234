//! What transactions do, told as events that go in and effects that come out.

mod adding;
mod bench;
mod ending;
mod format;
mod initializing;
mod random;
mod restarts;
mod upkeep;
