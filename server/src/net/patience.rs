//! Deadlines that move with every request and cost no timer each.

use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use tokio::time::Sleep;

use crate::clock::Clock;

/// A deadline. Moving it back is a store: the timer, once armed, is left to fire early and then
/// armed again for what is left.
pub struct Patience {
    clock: Arc<dyn Clock>,
    sleep: Pin<Box<Sleep>>,
    armed_ms: i64,
    due_ms: i64,
}

impl Patience {
    /// A deadline so many milliseconds from now.
    pub fn new(clock: Arc<dyn Clock>, wait_ms: u64) -> Self {
        let due_ms = due(clock.now().monotonic_ms, wait_ms);
        Self {
            clock,
            sleep: Box::pin(tokio::time::sleep(Duration::from_millis(wait_ms))),
            armed_ms: due_ms,
            due_ms,
        }
    }

    /// Move the deadline to `wait_ms` after `now_ms` (monotonic).
    pub fn set(&mut self, now_ms: i64, wait_ms: u64) {
        self.due_ms = due(now_ms, wait_ms);
        if self.due_ms < self.armed_ms {
            self.arm(now_ms);
        }
    }

    /// Ends when the deadline is past. May be dropped and called again.
    pub async fn end(&mut self) {
        loop {
            self.sleep.as_mut().await;
            let now_ms = self.clock.now().monotonic_ms;
            if now_ms >= self.due_ms {
                return;
            }
            self.arm(now_ms);
        }
    }

    fn arm(&mut self, now_ms: i64) {
        let left = u64::try_from(self.due_ms - now_ms).unwrap_or(0).max(1);
        self.armed_ms = self.due_ms;
        self.sleep
            .set(tokio::time::sleep(Duration::from_millis(left)));
    }
}

fn due(now_ms: i64, wait_ms: u64) -> i64 {
    now_ms.saturating_add(i64::try_from(wait_ms).unwrap_or(i64::MAX))
}

#[cfg(test)]
mod tests {
    use super::Patience;
    use crate::clock::{Clock, ManualClock, Timestamp};
    use std::sync::Arc;
    use std::time::Duration;

    /// Let both the manual clock and tokio's paused one pass.
    async fn pass(clock: &ManualClock, ms: u64) {
        clock.advance_ms(i64::try_from(ms).expect("small"));
        tokio::time::advance(Duration::from_millis(ms)).await;
    }

    async fn is_over(patience: &mut Patience) -> bool {
        tokio::select! {
            biased;
            () = patience.end() => true,
            () = std::future::ready(()) => false,
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_deadline_ends_when_it_was_last_moved_to() {
        let clock = Arc::new(ManualClock::new(Timestamp::default()));
        let mut patience = Patience::new(clock.clone(), 1000);
        pass(&clock, 900).await;
        patience.set(clock.now().monotonic_ms, 1000);
        pass(&clock, 200).await;
        assert!(!is_over(&mut patience).await, "moved back to 1900");
        pass(&clock, 799).await;
        assert!(!is_over(&mut patience).await);
        pass(&clock, 2).await;
        assert!(is_over(&mut patience).await);

        patience.set(clock.now().monotonic_ms, 100_000);
        assert!(!is_over(&mut patience).await);
        patience.set(clock.now().monotonic_ms, 10);
        pass(&clock, 11).await;
        assert!(is_over(&mut patience).await, "moved forward");
    }
}
