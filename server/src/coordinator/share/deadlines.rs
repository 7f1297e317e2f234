//! When leases run out and delays end: one entry for each stretch that was leased or held back
//! at once, however many records it has.
//!
//! An entry is never cancelled: when its time comes, or it stands at the front, the runs of its
//! stretch say whether it still means anything. Entries that mean nothing are swept out as often
//! as their number has doubled, so there are never many more of them than of runs.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::collections::binary_heap::PeekMut;
use std::marker::PhantomData;

use super::runs::{Run, Runs, State};

/// Entries below which no sweep is worth its time.
const SWEEP_MIN: usize = 64;

/// What an entry waits for: which runs of its stretch it stands for.
pub trait Wait: Copy + Ord {
    /// Whether this run is one of those, for an entry that is due at `at_ms`.
    fn is_for(self, at_ms: i64, run: &Run) -> bool;
}

/// The end of a lease.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct LeaseEnd(PhantomData<()>);

impl LeaseEnd {
    /// The end of a lease.
    pub const NEW: Self = Self(PhantomData);
}

impl Wait for LeaseEnd {
    fn is_for(self, at_ms: i64, run: &Run) -> bool {
        run.state == State::Leased && run.until_ms == at_ms
    }
}

/// The end of a delay, on the wall clock in ms: the run knows it by that, while the entry is due
/// by the monotonic clock, which does not jump.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct DelayEnd(pub i64);

impl Wait for DelayEnd {
    fn is_for(self, _at_ms: i64, run: &Run) -> bool {
        run.state == State::Delayed && run.until_ms == self.0
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Entry<W> {
    at_ms: i64,
    first: i64,
    last: i64,
    wait: W,
}

impl<W: Wait> Entry<W> {
    /// The first offset at which it still means something.
    fn stands_at(&self, runs: &Runs) -> Option<i64> {
        runs.overlapping(self.first, self.last)
            .find(|(_, run)| self.wait.is_for(self.at_ms, run))
            .map(|(first, _)| first.max(self.first))
    }
}

/// Entries by time.
#[derive(Debug)]
pub struct Deadlines<W: Wait> {
    heap: BinaryHeap<Reverse<Entry<W>>>,
    sweep_at: usize,
}

impl<W: Wait> Default for Deadlines<W> {
    fn default() -> Self {
        Self {
            heap: BinaryHeap::new(),
            sweep_at: SWEEP_MIN,
        }
    }
}

impl<W: Wait> Deadlines<W> {
    /// Remember that the stretch from `first` to `last` has something due at `at_ms`.
    pub fn push(&mut self, at_ms: i64, first: i64, last: i64, wait: W, runs: &Runs) {
        if self.heap.len() >= self.sweep_at {
            self.sweep(runs);
        }
        let entry = Entry {
            at_ms,
            first,
            last,
            wait,
        };
        self.heap.push(Reverse(entry));
    }

    fn sweep(&mut self, runs: &Runs) {
        let mut entries = std::mem::take(&mut self.heap).into_vec();
        entries.retain(|Reverse(entry)| entry.stands_at(runs).is_some());
        entries.sort_unstable();
        entries.dedup();
        self.sweep_at = (2 * entries.len()).max(SWEEP_MIN);
        self.heap = entries.into();
    }

    /// When the first entry is due, on the monotonic clock in ms. Drops those in front of it that
    /// mean nothing any more.
    pub fn next(&mut self, runs: &Runs) -> Option<i64> {
        while let Some(mut top) = self.heap.peek_mut() {
            match top.0.stands_at(runs) {
                // What lies before it need not be looked at again. The order is by time first:
                // a later start leaves it right among equals only, so it may sink.
                Some(first) if first != top.0.first => top.0.first = first,
                Some(_) => return Some(top.0.at_ms),
                None => drop(PeekMut::pop(top)),
            }
        }
        None
    }

    /// Take out an entry that is due, and find its runs, whole.
    pub fn pop_due(&mut self, now_ms: i64, runs: &Runs, found: &mut Vec<(i64, Run)>) -> bool {
        let Some(top) = self.heap.peek_mut() else {
            return false;
        };
        if top.0.at_ms > now_ms {
            return false;
        }
        let Reverse(entry) = PeekMut::pop(top);
        let runs = runs.overlapping(entry.first, entry.last);
        found.extend(runs.filter(|(_, run)| entry.wait.is_for(entry.at_ms, run)));
        true
    }

    /// How many entries there are.
    #[cfg(test)]
    pub fn len(&self) -> usize {
        self.heap.len()
    }
}
