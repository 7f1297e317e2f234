//! What the cleaning of compacted logs did.

use std::sync::atomic::{AtomicU64, Ordering};

use ratel_storage::Cleaning;

/// Counters since the start.
#[derive(Debug, Default)]
pub struct CleanerMetrics {
    runs: AtomicU64,
    failures: AtomicU64,
    read_bytes: AtomicU64,
    written_bytes: AtomicU64,
    freed_bytes: AtomicU64,
    busy_us: AtomicU64,
    last_us: AtomicU64,
}

/// The counters at one moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CleanerCounts {
    /// Cleanings that ended well.
    pub runs: u64,
    /// Cleanings that failed.
    pub failures: u64,
    /// Bytes of segments read.
    pub read_bytes: u64,
    /// Bytes of segments written.
    pub written_bytes: u64,
    /// Bytes by which logs became shorter.
    pub freed_bytes: u64,
    /// Time of all cleanings, in microseconds.
    pub busy_us: u64,
    /// When the last one ended, on the monotonic clock, in microseconds.
    pub last_us: u64,
}

impl CleanerMetrics {
    /// A log was cleaned, from and to these moments of the monotonic clock, in microseconds.
    pub fn cleaned(&self, done: &Cleaning, began_us: u64, ended_us: u64) {
        let add = |counter: &AtomicU64, more| counter.fetch_add(more, Ordering::Relaxed);
        add(&self.runs, 1);
        add(&self.read_bytes, done.read_bytes);
        add(&self.written_bytes, done.written_bytes);
        add(&self.freed_bytes, done.freed_bytes);
        add(&self.busy_us, ended_us.saturating_sub(began_us));
        self.last_us.store(ended_us, Ordering::Relaxed);
    }

    /// A log could not be cleaned.
    pub fn failed(&self) {
        self.failures.fetch_add(1, Ordering::Relaxed);
    }

    /// The counters now.
    #[must_use]
    pub fn counts(&self) -> CleanerCounts {
        let read = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        CleanerCounts {
            runs: read(&self.runs),
            failures: read(&self.failures),
            read_bytes: read(&self.read_bytes),
            written_bytes: read(&self.written_bytes),
            freed_bytes: read(&self.freed_bytes),
            busy_us: read(&self.busy_us),
            last_us: read(&self.last_us),
        }
    }
}
