//! Time, as an argument. The only file that reads the operating system's clocks.

use std::sync::Mutex;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

/// A moment on both clocks: timeouts use `monotonic_ms`, records use `wall_ms`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub struct Timestamp {
    /// Milliseconds since the process began. Never goes back.
    pub monotonic_ms: i64,
    /// Milliseconds since 1970. May jump.
    pub wall_ms: i64,
}

impl Timestamp {
    /// The moment `ms` later, if neither clock jumps.
    #[must_use]
    pub fn plus_ms(self, ms: i64) -> Self {
        Self {
            monotonic_ms: self.monotonic_ms.saturating_add(ms),
            wall_ms: self.wall_ms.saturating_add(ms),
        }
    }
}

/// Something that knows the time.
pub trait Clock: Send + Sync + 'static {
    /// The time now.
    fn now(&self) -> Timestamp;

    /// Microseconds on the monotonic side: for measuring how long something took.
    fn monotonic_us(&self) -> u64;
}

/// The machine's clocks.
#[derive(Debug)]
pub struct SystemClock {
    began: Instant,
}

impl SystemClock {
    /// A clock whose monotonic side begins now.
    #[must_use]
    pub fn new() -> Self {
        Self {
            began: Instant::now(),
        }
    }
}

impl Default for SystemClock {
    fn default() -> Self {
        Self::new()
    }
}

fn millis(duration: Duration) -> i64 {
    i64::try_from(duration.as_millis()).unwrap_or(i64::MAX)
}

impl Clock for SystemClock {
    fn now(&self) -> Timestamp {
        Timestamp {
            monotonic_ms: millis(self.began.elapsed()),
            wall_ms: SystemTime::now()
                .duration_since(UNIX_EPOCH)
                .map_or(0, millis),
        }
    }

    fn monotonic_us(&self) -> u64 {
        u64::try_from(self.began.elapsed().as_micros()).unwrap_or(u64::MAX)
    }
}

/// A clock that a test moves by hand.
#[derive(Debug, Default)]
pub struct ManualClock {
    now: Mutex<Timestamp>,
}

impl ManualClock {
    /// A clock that stands at `now`.
    #[must_use]
    pub fn new(now: Timestamp) -> Self {
        Self {
            now: Mutex::new(now),
        }
    }

    /// Move both sides forward.
    pub fn advance_ms(&self, ms: i64) {
        let mut now = self
            .now
            .lock()
            .unwrap_or_else(std::sync::PoisonError::into_inner);
        *now = now.plus_ms(ms);
    }

    /// Make the wall clock jump; the monotonic side stands still.
    pub fn set_wall_ms(&self, wall_ms: i64) {
        self.now
            .lock()
            .unwrap_or_else(std::sync::PoisonError::into_inner)
            .wall_ms = wall_ms;
    }
}

impl Clock for ManualClock {
    fn now(&self) -> Timestamp {
        *self
            .now
            .lock()
            .unwrap_or_else(std::sync::PoisonError::into_inner)
    }

    fn monotonic_us(&self) -> u64 {
        u64::try_from(self.now().monotonic_ms.saturating_mul(1000)).unwrap_or(0)
    }
}
