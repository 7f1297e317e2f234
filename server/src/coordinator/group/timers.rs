//! Deadlines, each with a name: set, moved and cancelled in the time of a look-up, however many
//! there are.

use std::collections::{BTreeSet, HashMap};
use std::hash::Hash;

/// Deadlines by name, on the monotonic clock in ms.
#[derive(Debug, Clone)]
pub struct Timers<K> {
    by_time: BTreeSet<(i64, K)>,
    times: HashMap<K, i64>,
}

impl<K> Default for Timers<K> {
    fn default() -> Self {
        Self {
            by_time: BTreeSet::new(),
            times: HashMap::new(),
        }
    }
}

impl<K: Clone + Ord + Hash> Timers<K> {
    /// Set a deadline, or move it.
    pub fn set(&mut self, key: K, at_ms: i64) {
        if let Some(old_ms) = self.times.insert(key.clone(), at_ms) {
            if old_ms == at_ms {
                return;
            }
            let old = (old_ms, key);
            self.by_time.remove(&old);
            self.by_time.insert((at_ms, old.1));
        } else {
            self.by_time.insert((at_ms, key));
        }
    }

    /// Forget a deadline.
    pub fn cancel(&mut self, key: &K) {
        if let Some(at_ms) = self.times.remove(key) {
            self.by_time.remove(&(at_ms, key.clone()));
        }
    }

    /// Take out the earliest deadline that has come at `now_ms`.
    pub fn pop_due(&mut self, now_ms: i64) -> Option<K> {
        if self.next()? > now_ms {
            return None;
        }
        let (_, key) = self.by_time.pop_first()?;
        self.times.remove(&key);
        Some(key)
    }

    /// The earliest deadline.
    pub fn next(&self) -> Option<i64> {
        self.by_time.first().map(|(at_ms, _)| *at_ms)
    }

    /// Whether there is a deadline of this name.
    pub fn contains(&self, key: &K) -> bool {
        self.times.contains_key(key)
    }
}

#[cfg(test)]
mod tests {
    use super::Timers;

    #[test]
    fn deadlines_come_in_order_and_move() {
        let mut timers = Timers::default();
        timers.set("a", 10);
        timers.set("b", 20);
        timers.set("a", 30);
        timers.set("c", 5);
        timers.cancel(&"c");
        assert_eq!(timers.next(), Some(20));
        assert_eq!(timers.pop_due(19), None);
        assert_eq!(timers.pop_due(30), Some("b"));
        assert_eq!(timers.pop_due(30), Some("a"));
        assert_eq!(timers.pop_due(30), None);
        assert_eq!((timers.next(), timers.contains(&"a")), (None, false));
    }
}
