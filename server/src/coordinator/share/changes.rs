//! What is to become of records: gathered, then written down as one.

use ratel_storage::Offset;

use super::record::{Durable, StateBatch};
use super::runs::records_in;
use super::{DeadRange, DeadReason, QueueConfig};
use crate::clock::Timestamp;

/// Records that are held back for a while.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Delay {
    pub first: i64,
    pub last: i64,
    /// Until when, on the monotonic clock.
    pub until_ms: i64,
    /// The same on the wall clock.
    pub wall_ms: i64,
}

/// Changes of one queue, in ascending order of offsets.
#[derive(Debug)]
pub struct Changes<'a> {
    config: &'a QueueConfig,
    now: Timestamp,
    /// What to write down.
    pub batches: Vec<StateBatch>,
    /// What goes to the dead-letter topic.
    pub dead_letters: Vec<DeadRange>,
    /// What is held back.
    pub delays: Vec<Delay>,
    /// Records given up.
    pub dead: u64,
    /// The first record that is archived because of its deliveries and goes nowhere.
    pub vanished: Option<i64>,
}

impl<'a> Changes<'a> {
    /// None yet.
    pub fn new(config: &'a QueueConfig, now: Timestamp) -> Self {
        Self {
            config,
            now,
            batches: Vec::new(),
            dead_letters: Vec::new(),
            delays: Vec::new(),
            dead: 0,
            vanished: None,
        }
    }

    /// Records are in this state now.
    pub fn set(&mut self, first: i64, last: i64, state: Durable, count: i16) {
        self.push(StateBatch {
            first,
            last,
            state,
            count,
            not_before_ms: 0,
        });
    }

    fn push(&mut self, batch: StateBatch) {
        match self.batches.last_mut() {
            Some(before) if before.joins(&batch) => before.last = batch.last,
            _ => self.batches.push(batch),
        }
    }

    /// A lease of records ended without a word of success: they may be leased again, perhaps only
    /// after a while, or were delivered often enough.
    pub fn come_back(&mut self, first: i64, last: i64, count: i16, backoff: bool) {
        if count >= self.config.delivery_count_limit {
            return self.give_up(first, last, count, DeadReason::DeliveryLimit);
        }
        let delay_ms = if backoff { self.backoff_ms(count) } else { 0 };
        if delay_ms == 0 {
            return self.set(first, last, Durable::Available, count);
        }
        let wall_ms = self.now.wall_ms.saturating_add(delay_ms).max(1);
        self.push(StateBatch {
            first,
            last,
            state: Durable::Available,
            count,
            not_before_ms: wall_ms,
        });
        let delay = Delay {
            first,
            last,
            until_ms: self.now.monotonic_ms.saturating_add(delay_ms),
            wall_ms,
        };
        match self.delays.last_mut() {
            Some(before)
                if before.last + 1 == first
                    && (before.until_ms, before.wall_ms) == (delay.until_ms, delay.wall_ms) =>
            {
                before.last = last;
            }
            _ => self.delays.push(delay),
        }
    }

    /// How long a record is held back after so many deliveries, ms.
    fn backoff_ms(&self, count: i16) -> i64 {
        let base = self.config.release_backoff_ms.max(0);
        let most = self.config.release_backoff_max_ms.max(base);
        let doublings = u32::from(count.max(1).unsigned_abs() - 1).min(40);
        base.saturating_mul(1 << doublings).min(most)
    }

    /// Records are never to be leased again, and not because they were done.
    pub fn give_up(&mut self, first: i64, last: i64, count: i16, reason: DeadReason) {
        self.dead += records_in(first, last);
        if !self.config.dead_letters {
            if reason == DeadReason::DeliveryLimit {
                self.vanished.get_or_insert(first);
            }
            return self.set(first, last, Durable::Archived, count);
        }
        self.set(first, last, Durable::Archiving, count);
        self.dead_letters.push(DeadRange {
            first: Offset::new(first),
            last: Offset::new(last),
            delivery_count: count,
            reason,
        });
    }
}
