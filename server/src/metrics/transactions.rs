//! What is counted of transactions.

use std::sync::atomic::{AtomicU64, Ordering};

/// Counters of transactions since the server's start.
#[derive(Debug, Default)]
pub struct TransactionMetrics {
    committed: AtomicU64,
    aborted: AtomicU64,
    timed_out: AtomicU64,
    marker_failures: AtomicU64,
}

impl TransactionMetrics {
    /// All markers of a transaction are written.
    pub fn ended(&self, is_commit: bool) {
        let count = if is_commit {
            &self.committed
        } else {
            &self.aborted
        };
        count.fetch_add(1, Ordering::Relaxed);
    }

    /// A transaction took too long.
    pub fn timed_out(&self) {
        self.timed_out.fetch_add(1, Ordering::Relaxed);
    }

    /// A marker could not be written, and is tried again.
    pub fn marker_failed(&self) {
        self.marker_failures.fetch_add(1, Ordering::Relaxed);
    }

    /// Transactions that were committed, and aborted: those with markers.
    #[must_use]
    pub fn outcomes(&self) -> (u64, u64) {
        let load = |count: &AtomicU64| count.load(Ordering::Relaxed);
        (load(&self.committed), load(&self.aborted))
    }

    /// Transactions that took too long.
    #[must_use]
    pub fn timeouts(&self) -> u64 {
        self.timed_out.load(Ordering::Relaxed)
    }

    /// Attempts to write a marker that failed.
    #[must_use]
    pub fn marker_failures(&self) -> u64 {
        self.marker_failures.load(Ordering::Relaxed)
    }
}
