//! Who waits for records of which queue.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::Notify;

use crate::coordinator::share::QueueKey;

/// The fetches that wait, by queue. A wake-up reaches all that wait for the queue: what is there
/// is shared among them by the queue itself.
#[derive(Default)]
pub struct Waiters(Mutex<Waiting>);

#[derive(Default)]
struct Waiting {
    by_queue: HashMap<QueueKey, HashMap<u64, Arc<Notify>>>,
    next: u64,
}

/// A place among those who wait for a queue. Given up when dropped.
pub struct Waiter {
    waiters: Arc<Waiters>,
    key: QueueKey,
    number: u64,
}

impl Waiters {
    fn waiting(&self) -> MutexGuard<'_, Waiting> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Have `notify` woken whenever records of a queue become available. Ask the queue again
    /// before sleeping: it may have happened already.
    pub fn wait(self: &Arc<Self>, key: QueueKey, notify: Arc<Notify>) -> Waiter {
        let mut waiting = self.waiting();
        let number = waiting.next;
        waiting.next += 1;
        waiting
            .by_queue
            .entry(key.clone())
            .or_default()
            .insert(number, notify);
        drop(waiting);
        Waiter {
            waiters: self.clone(),
            key,
            number,
        }
    }

    /// Wake all who wait for a queue.
    pub fn wake(&self, key: &QueueKey) {
        if let Some(there) = self.waiting().by_queue.get(key) {
            there.values().for_each(|notify| notify.notify_one());
        }
    }

    /// How many wait, over all queues.
    #[must_use]
    pub fn len(&self) -> usize {
        self.waiting().by_queue.values().map(HashMap::len).sum()
    }

    /// Whether nobody waits.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.waiting().by_queue.is_empty()
    }
}

impl Drop for Waiter {
    fn drop(&mut self) {
        let mut waiting = self.waiters.waiting();
        if let Entry::Occupied(mut there) = waiting.by_queue.entry(self.key.clone()) {
            there.get_mut().remove(&self.number);
            if there.get().is_empty() {
                there.remove();
            }
        }
    }
}
