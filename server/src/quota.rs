//! One budget of memory for all frames and answers in flight (`memory.request.bytes`).
//!
//! Bytes are charged once they are here, and never waited for while they are held back by
//! somebody who waits himself: a connection asks for room *before* it reads on, and an answer is
//! charged without asking. So the budget is overrun by what is being read at one moment (one step
//! per worker) and by answers (bounded per connection), never by more.
//!
//! Nobody can starve: when every byte belongs to frames that are not whole, one of them at a time
//! may go beyond the budget and finish. A quarter is kept for small frames, so that a flood of
//! large ones does not stop heartbeats.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use tokio::sync::{Notify, OwnedSemaphorePermit, Semaphore};

/// Up to this many bytes, a frame counts as small.
pub const SMALL_BYTES: usize = 64 << 10;

/// Bytes that all frames and answers in flight share.
#[derive(Debug)]
pub struct Budget {
    limit: usize,
    used: AtomicUsize,
    room: Notify,
    beyond: Arc<Semaphore>,
}

/// The right to go beyond the budget until it is dropped. There is one.
#[derive(Debug)]
pub struct Beyond {
    _permit: OwnedSemaphorePermit,
}

impl Budget {
    /// A budget of so many bytes.
    #[must_use]
    pub fn new(limit: usize) -> Self {
        Self {
            limit,
            used: AtomicUsize::new(0),
            room: Notify::new(),
            beyond: Arc::new(Semaphore::new(1)),
        }
    }

    /// Bytes charged now.
    #[must_use]
    pub fn used(&self) -> usize {
        self.used.load(Ordering::Relaxed)
    }

    /// Whether buffers that only save an allocation should be given back.
    #[must_use]
    pub fn is_tight(&self) -> bool {
        self.used() > self.limit / 2
    }

    /// Charge bytes that are here.
    pub fn charge(&self, bytes: usize) {
        self.used.fetch_add(bytes, Ordering::Relaxed);
    }

    /// Give charged bytes back.
    pub fn release(&self, bytes: usize) {
        // Sequentially consistent, as is the load in `has_room`: whoever saw no room after it had
        // registered is woken.
        let before = self.used.fetch_sub(bytes, Ordering::SeqCst);
        if before >= self.limit_of(true) {
            self.room.notify_waiters();
        }
    }

    /// Wait until there is room to read on. `held` is what the frame being read holds already: if
    /// it holds anything and there is no room, the one right to go beyond the budget will do; the
    /// caller keeps it until the frame is whole.
    pub async fn room(&self, held: usize) -> Option<Beyond> {
        while !self.has_room(held) {
            let room = self.room.notified();
            tokio::pin!(room);
            room.as_mut().enable();
            if self.has_room(held) {
                break;
            }
            tokio::select! {
                () = room => {}
                permit = self.beyond.clone().acquire_owned(), if held > 0 => {
                    return permit.ok().map(|permit| Beyond { _permit: permit });
                }
            }
        }
        None
    }

    /// Whether a frame that holds `held` bytes may be read on.
    #[must_use]
    pub fn has_room(&self, held: usize) -> bool {
        self.used.load(Ordering::SeqCst) < self.limit_of(held >= SMALL_BYTES)
    }

    fn limit_of(&self, large: bool) -> usize {
        if large {
            self.limit / 4 * 3
        } else {
            self.limit
        }
    }
}

/// Charged bytes that are given back when this is dropped.
#[derive(Debug)]
pub struct Charge {
    budget: Arc<Budget>,
    bytes: usize,
}

impl Charge {
    /// A charge of nothing yet.
    #[must_use]
    pub fn new(budget: Arc<Budget>) -> Self {
        Self { budget, bytes: 0 }
    }

    /// The bytes of this charge.
    #[must_use]
    pub fn bytes(&self) -> usize {
        self.bytes
    }

    /// Charge more.
    pub fn add(&mut self, bytes: usize) {
        self.budget.charge(bytes);
        self.bytes += bytes;
    }

    /// Take a part of this charge, at most all of it, as a charge of its own.
    #[must_use]
    pub fn split(&mut self, bytes: usize) -> Self {
        let bytes = bytes.min(self.bytes);
        self.bytes -= bytes;
        Self {
            budget: self.budget.clone(),
            bytes,
        }
    }
}

impl Drop for Charge {
    fn drop(&mut self) {
        if self.bytes > 0 {
            self.budget.release(self.bytes);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{Budget, Charge, SMALL_BYTES};
    use std::sync::Arc;
    use std::time::Duration;

    const LIMIT: usize = 4 << 20;

    async fn waits(budget: &Budget, held: usize) -> bool {
        tokio::time::timeout(Duration::from_millis(1), budget.room(held))
            .await
            .is_err()
    }

    #[tokio::test(start_paused = true)]
    async fn room_is_given_back_when_a_charge_goes() {
        let budget = Arc::new(Budget::new(LIMIT));
        let mut all = Charge::new(budget.clone());
        all.add(LIMIT - 1);
        assert!(!waits(&budget, 0).await);
        all.add(1);
        assert!(waits(&budget, 0).await);

        let waiter = tokio::spawn({
            let budget = budget.clone();
            async move { budget.room(0).await.is_none() }
        });
        tokio::task::yield_now().await;
        drop(all.split(1));
        assert!(waiter.await.expect("no panic"));
        assert_eq!(budget.used(), LIMIT - 1);
        drop(all);
        assert_eq!(budget.used(), 0);
    }

    #[tokio::test(start_paused = true)]
    async fn a_quarter_is_kept_for_small_frames() {
        let budget = Arc::new(Budget::new(LIMIT));
        budget.charge(LIMIT / 4 * 3);
        // A large frame has to go beyond its part, of which there is one at a time.
        let beyond = budget.room(SMALL_BYTES).await;
        assert!(beyond.is_some());
        assert!(waits(&budget, SMALL_BYTES).await);
        assert!(budget.room(SMALL_BYTES - 1).await.is_none());
        assert!(budget.room(0).await.is_none());
    }

    #[tokio::test(start_paused = true)]
    async fn one_frame_at_a_time_may_finish_beyond_the_budget() {
        let budget = Arc::new(Budget::new(LIMIT));
        budget.charge(LIMIT);
        assert!(waits(&budget, 0).await, "nothing begins beyond the budget");
        let beyond = budget.room(1).await.expect("the first may go on");
        assert!(waits(&budget, 1).await, "the second waits for the first");
        drop(beyond);
        assert!(budget.room(1).await.is_some());
    }
}
