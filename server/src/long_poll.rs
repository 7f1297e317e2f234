//! Waiting: for partitions to have something new, or for a deadline.
//!
//! One `Notify` per fetch stands in each partition that it reads, and a partition wakes only those
//! whose offset its end has passed. The order that loses no wake-up: arm, look again, sleep.

use std::future::Future;
use std::pin::pin;
use std::sync::Arc;
use std::task::{Context, Waker};
use std::time::Duration;

use ratel_storage::{Bound, Offset, Partition, Watch};
use tokio::sync::Notify;
use tokio::time::{Instant, sleep, timeout_at};

/// A moment at which a wait ends, on the runtime's clock.
#[derive(Debug, Clone, Copy)]
pub struct Deadline(Instant);

impl Deadline {
    /// The moment that lies `wait` from now.
    #[must_use]
    pub fn after(wait: Duration) -> Self {
        Self(sleep(wait).deadline())
    }

    /// What a future yields, unless this moment comes first. A future that is ready is taken
    /// after it too, and costs no timer.
    pub async fn limit<T>(self, future: impl Future<Output = T>) -> Option<T> {
        timeout_at(self.0, future).await.ok()
    }
}

/// Waits for any of the partitions it is armed in.
#[derive(Default)]
pub struct LongPoll {
    notify: Arc<Notify>,
}

impl LongPoll {
    /// Have `partition` end the wait once more than `after` can be read of it up to `bound`. Look
    /// at the partition again before [`Self::wait`]: that may be so already.
    pub fn arm(&self, partition: &dyn Partition, after: Offset, bound: Bound) -> Watch {
        partition.watch(after, bound, &self.notify)
    }

    /// What ends the wait, for others than partitions to do so.
    #[must_use]
    pub fn notify(&self) -> &Arc<Notify> {
        &self.notify
    }

    /// Whether a partition has woken this since the last wait. Asking takes the wake-up away.
    pub fn take_wake_up(&self) -> bool {
        let notified = pin!(self.notify.notified());
        notified
            .poll(&mut Context::from_waker(Waker::noop()))
            .is_ready()
    }

    /// Sleep until a partition wakes this, or the deadline: false then.
    pub async fn wait(&self, deadline: Deadline) -> bool {
        deadline.limit(self.notify.notified()).await.is_some()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_wait_ends_at_its_deadline() {
        let began = tokio::time::Instant::now();
        let poll = LongPoll::default();
        assert!(!poll.wait(Deadline::after(Duration::from_millis(500))).await);
        assert_eq!(began.elapsed().as_millis(), 500);
    }

    #[tokio::test(start_paused = true)]
    async fn a_wake_up_before_the_wait_is_not_lost() {
        let poll = LongPoll::default();
        poll.notify.notify_one();
        assert!(poll.wait(Deadline::after(Duration::from_secs(60))).await);
    }

    #[test]
    fn a_wake_up_is_taken_once() {
        let poll = LongPoll::default();
        assert!(!poll.take_wake_up());
        poll.notify.notify_one();
        assert!(poll.take_wake_up());
        assert!(!poll.take_wake_up());
    }

    #[tokio::test(start_paused = true)]
    async fn what_is_ready_is_taken_after_the_deadline_too() {
        let past = Deadline::after(Duration::ZERO);
        assert_eq!(past.limit(std::future::ready(7)).await, Some(7));
        assert_eq!(past.limit(std::future::pending::<()>()).await, None);
    }
}
