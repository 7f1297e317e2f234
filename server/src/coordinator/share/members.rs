//! Who wants records of a queue: a number for each, and who is to have a share of the leases.

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;

use super::runs::Runs;

/// How long after an acquire a member still counts as one who waits, ms.
const LINGER_MS: i64 = 1000;
/// Of a batch that is longer than its share, a member gets what it works off in this time, ms.
const PACE_MS: u64 = 250;
/// Members below which no sweep is worth its time.
const SWEEP_MIN: usize = 64;

#[derive(Debug)]
struct Slot {
    name: Arc<str>,
    /// Until when it counts as one who waits.
    waits_until_ms: i64,
    /// It leases nothing below this offset.
    low: i64,
    /// When it was last given leases, and of how many records.
    given: (i64, u64),
}

/// Members that wait or lease. Soft state.
#[derive(Debug, Default)]
pub struct Members {
    numbers: HashMap<Arc<str>, u16>,
    slots: Vec<Option<Slot>>,
    free: Vec<u16>,
    waiting: BTreeSet<(i64, u16)>,
    sweep_at: usize,
}

impl Members {
    /// A member asks for records and waits until then. Its number; none if there are more members
    /// than there are numbers.
    pub fn touch(
        &mut self,
        name: &Arc<str>,
        now_ms: i64,
        waits_until_ms: i64,
        runs: &Runs,
    ) -> Option<u16> {
        while let Some(&(until_ms, number)) = self.waiting.first()
            && until_ms <= now_ms
        {
            self.waiting.pop_first();
            self.forget_if_idle(number, runs);
        }
        let number = match self.numbers.get(name) {
            Some(number) => *number,
            None => self.enter(name, runs)?,
        };
        let slot = self.slots.get_mut(usize::from(number))?.as_mut()?;
        self.waiting.remove(&(slot.waits_until_ms, number));
        slot.waits_until_ms = waits_until_ms.max(now_ms + LINGER_MS);
        self.waiting.insert((slot.waits_until_ms, number));
        Some(number)
    }

    fn enter(&mut self, name: &Arc<str>, runs: &Runs) -> Option<u16> {
        if self.free.is_empty() && self.slots.len() >= self.sweep_at {
            for number in 0..self.slots.len() {
                self.forget_if_idle(u16::try_from(number).ok()?, runs);
            }
            let used = self.slots.len() - self.free.len();
            self.sweep_at = (2 * used).clamp(SWEEP_MIN, usize::from(u16::MAX));
        }
        let number = match self.free.pop() {
            Some(number) => number,
            None if self.slots.len() >= usize::from(u16::MAX) => return None,
            None => {
                self.slots.push(None);
                u16::try_from(self.slots.len() - 1).ok()?
            }
        };
        self.slots[usize::from(number)] = Some(Slot {
            name: name.clone(),
            waits_until_ms: i64::MIN,
            low: 0,
            given: (0, 0),
        });
        self.numbers.insert(name.clone(), number);
        Some(number)
    }

    fn forget_if_idle(&mut self, number: u16, runs: &Runs) {
        let slot = &mut self.slots[usize::from(number)];
        let idle = slot.as_ref().is_some_and(|slot| {
            !self.waiting.contains(&(slot.waits_until_ms, number)) && runs.held(number) == 0
        });
        if idle && let Some(slot) = slot.take() {
            self.numbers.remove(&slot.name);
            self.free.push(number);
        }
    }

    /// A member's number, if it waits or leases.
    pub fn number(&self, name: &str) -> Option<u16> {
        self.numbers.get(name).copied()
    }

    /// How many members wait, as of the last [`Self::touch`].
    pub fn waiting(&self) -> usize {
        self.waiting.len()
    }

    /// How many members wait and lease nothing, this one among them in any case.
    pub fn idle(&self, number: u16, runs: &Runs) -> usize {
        let others = self.waiting.iter().map(|(_, other)| *other);
        let idle = others.filter(|other| *other != number && runs.held(*other) == 0);
        1 + idle.count()
    }

    /// A member is given leases of so many records.
    pub fn give(&mut self, number: u16, now_ms: i64, records: u64) {
        if let Some(Some(slot)) = self.slots.get_mut(usize::from(number)) {
            slot.given = (now_ms, records);
        }
    }

    /// How many records a member works off in [`PACE_MS`], by the time that its last ones took;
    /// 0 if it has not said a word of all of them.
    pub fn pace(&self, number: u16, now_ms: i64, runs: &Runs) -> u64 {
        let slot = self.slots.get(usize::from(number)).and_then(Option::as_ref);
        let Some((given_ms, records)) = slot.map(|slot| slot.given) else {
            return 0;
        };
        if runs.held(number) > 0 {
            return 0;
        }
        let took_ms = now_ms.saturating_sub(given_ms).max(1).unsigned_abs();
        records.saturating_mul(PACE_MS) / took_ms
    }

    /// A member begins to lease from this offset on.
    pub fn lease(&mut self, number: u16, first: i64, runs: &Runs) {
        if let Some(Some(slot)) = self.slots.get_mut(usize::from(number)) {
            slot.low = if runs.held(number) == 0 {
                first
            } else {
                slot.low.min(first)
            };
        }
    }

    /// An offset below which a member leases nothing.
    pub fn low(&self, number: u16) -> i64 {
        let slot = self.slots.get(usize::from(number));
        slot.and_then(Option::as_ref).map_or(0, |slot| slot.low)
    }

    /// A member is gone and waits no longer.
    pub fn leave(&mut self, number: u16, runs: &Runs) {
        if let Some(Some(slot)) = self.slots.get(usize::from(number)) {
            self.waiting.remove(&(slot.waits_until_ms, number));
            self.forget_if_idle(number, runs);
        }
    }
}
