//! Who waits for records of which queue, and who of them is to look when there are some.
//!
//! Each queue has a line of fetches, the longest-waiting first. To wake all of them when a record
//! comes would have all but one look in vain. Instead a call goes to the first alone. Who is
//! called looks, and then
//! - has found records and leaves: there may be more, so two others behind it are called (two, so
//!   that many records are handed out in few steps);
//! - has found nothing: so nobody else need look. It sleeps on, and keeps its place;
//! - did not look to the end: it passes the call on as if it had found something.
//!
//! Who leaves for another reason while it is called, or before it could say what it found, passes
//! the call on too. A call that comes while somebody looks makes it look again. So there are never
//! records with nobody on the way to them, unless nobody waits.
//!
//! The log's growth is watched by the first of the line alone: when the first leaves, the next is
//! called, to look and to watch.
//!
//! A fetch of a client that takes none of the bytes it is owed is not run, and a call may rest
//! with it for a while: what is there is found by the next fetch that begins, which looks before
//! it lines up, and the others begin anew after their own waits.

use std::collections::hash_map::Entry;
use std::collections::{BTreeMap, HashMap};
use std::ops::Bound;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::Notify;

use crate::coordinator::share::QueueKey;

/// How many are called by one who found something.
const CALLS: usize = 2;
/// How many places behind one are looked at for such as are not called yet. If all are, each of
/// them will look and pass the call on.
const REACH: usize = 16;

/// The fetches that wait, by queue.
#[derive(Default)]
pub struct Waiters(Mutex<Waiting>);

#[derive(Default)]
struct Waiting {
    lines: HashMap<QueueKey, Line>,
    next: u64,
}

/// Those who wait for one queue, by the order of their coming.
#[derive(Default)]
struct Line(BTreeMap<u64, Place>);

struct Place {
    notify: Arc<Notify>,
    state: State,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    Asleep,
    /// It is to look, and has not begun to.
    Called,
    /// It has begun to look, and has not said what it found.
    Looking,
}

impl Place {
    fn call(&mut self) {
        self.state = State::Called;
        self.notify.notify_one();
    }
}

impl Line {
    /// Call some of those behind a place who are not called yet.
    fn call(&mut self, behind: Bound<u64>, calls: usize) {
        let places = self.0.range_mut((behind, Bound::Unbounded));
        let places = places.take(REACH).map(|(_, place)| place);
        let idle = places.filter(|place| place.state != State::Called);
        idle.take(calls).for_each(Place::call);
    }

    fn leave(&mut self, number: u64) {
        let was_first = self.is_first(number);
        let left = self.0.remove(&number);
        if left.is_some_and(|place| place.state != State::Asleep) {
            self.call(Bound::Excluded(number), CALLS);
        }
        if was_first && let Some(mut first) = self.0.first_entry() {
            // It has to watch the log now.
            first.get_mut().call();
        }
    }

    fn is_first(&self, number: u64) -> bool {
        self.0.first_key_value().map(|(first, _)| *first) == Some(number)
    }
}

/// A place in the line for a queue. Given up when dropped.
pub struct Waiter {
    waiters: Arc<Waiters>,
    key: QueueKey,
    number: u64,
}

impl Waiters {
    fn waiting(&self) -> MutexGuard<'_, Waiting> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Line up for a queue; `notify` is woken when it is time to look. Look before sleeping:
    /// [`Waiter::look`].
    pub fn wait(self: &Arc<Self>, key: QueueKey, notify: Arc<Notify>) -> Waiter {
        let mut waiting = self.waiting();
        let number = waiting.next;
        waiting.next += 1;
        let place = Place {
            notify,
            state: State::Asleep,
        };
        let line = waiting.lines.entry(key.clone()).or_default();
        line.0.insert(number, place);
        drop(waiting);
        Waiter {
            waiters: self.clone(),
            key,
            number,
        }
    }

    /// Records of a queue became available: call the first who waits for it.
    pub fn wake(&self, key: &QueueKey) {
        if let Some(line) = self.waiting().lines.get_mut(key) {
            line.call(Bound::Unbounded, 1);
        }
    }

    /// How many wait, over all queues.
    #[must_use]
    pub fn len(&self) -> usize {
        self.waiting().lines.values().map(|line| line.0.len()).sum()
    }

    /// Whether nobody waits.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.waiting().lines.is_empty()
    }
}

impl Waiter {
    fn with<T>(&self, act: impl FnOnce(&mut Line) -> T) -> Option<T> {
        self.waiters.waiting().lines.get_mut(&self.key).map(act)
    }

    /// Begin to look at the queue. Whether this one has to watch the log: arm that before looking.
    ///
    /// Say afterwards what came of it: [`Self::found_nothing`], [`Self::pass_on`], or leave.
    #[must_use]
    pub fn look(&self) -> bool {
        let begun = self.with(|line| {
            if let Some(place) = line.0.get_mut(&self.number) {
                place.state = State::Looking;
            }
            line.is_first(self.number)
        });
        begun.unwrap_or(false)
    }

    /// The queue was asked since [`Self::look`], and has nothing for anybody.
    pub fn found_nothing(&self) {
        self.with(|line| self.rest(line));
    }

    /// The look has ended, and the queue may have something for others.
    pub fn pass_on(&self) {
        self.with(|line| {
            if self.rest(line) {
                line.call(Bound::Excluded(self.number), CALLS);
            }
        });
    }

    /// Sleep on, unless another call came. Whether a look ended with that.
    fn rest(&self, line: &mut Line) -> bool {
        let place = line.0.get_mut(&self.number);
        let Some(place) = place.filter(|place| place.state == State::Looking) else {
            return false;
        };
        place.state = State::Asleep;
        true
    }
}

impl Drop for Waiter {
    fn drop(&mut self) {
        let mut waiting = self.waiters.waiting();
        if let Entry::Occupied(mut line) = waiting.lines.entry(self.key.clone()) {
            line.get_mut().leave(self.number);
            if line.get().0.is_empty() {
                line.remove();
            }
        }
    }
}

#[cfg(test)]
mod tests;
