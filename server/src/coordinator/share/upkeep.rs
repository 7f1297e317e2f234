//! What becomes of records without a member's word: leases that run out, members and logs that
//! go, what an operator clears away.

use std::sync::Arc;

use ratel_storage::Offset;

use super::changes::Changes;
use super::queue::Queue;
use super::record::Durable;
use super::runs::{Run, State, records_in};
use super::{DeadRange, DeadReason, QueueConfig};
use crate::clock::Timestamp;

/// Runs whose leases end in one turn; the rest follow in the next.
const EXPIRED_RUNS_MAX: usize = 50_000;

impl Queue {
    /// Leases that are over come back. Whether there were any.
    pub fn expire<'a>(
        &mut self,
        now: Timestamp,
        config: &'a QueueConfig,
        found: &mut Vec<(i64, Run)>,
    ) -> Option<Changes<'a>> {
        found.clear();
        while found.len() < EXPIRED_RUNS_MAX
            && self.leases.pop_due(now.monotonic_ms, &self.runs, found)
        {}
        // Leases that were given at once to one member may have become one run.
        found.sort_unstable_by_key(|(first, _)| *first);
        found.dedup_by_key(|(first, _)| *first);
        let mut changes = Changes::new(config, now);
        for (first, run) in found.iter() {
            changes.come_back(*first, run.last, run.count, true);
            self.tally.lock_expired += records_in(*first, run.last);
        }
        (!found.is_empty()).then_some(changes)
    }

    /// A member is gone: what it leases is available again at once.
    pub fn release<'a>(
        &mut self,
        now: Timestamp,
        member: &str,
        config: &'a QueueConfig,
    ) -> Changes<'a> {
        let mut changes = Changes::new(config, now);
        let Some(number) = self.members.number(member) else {
            return changes;
        };
        let mut left = self.runs.held(number);
        let from = self.members.low(number).max(self.start);
        if left > 0 {
            for (first, run) in self.runs.overlapping(from, i64::MAX - 1) {
                if run.state != State::Leased || run.owner != number {
                    continue;
                }
                changes.come_back(first, run.last, run.count, false);
                left = left.saturating_sub(records_in(first, run.last));
                if left == 0 {
                    break;
                }
            }
        }
        changes
    }

    /// Leases of a member that it never heard of are as if they had not been. Whether there were
    /// any in these ranges.
    pub fn give_back(&mut self, member: &str, ranges: &[(Offset, Offset)]) -> bool {
        let Some(number) = self.members.number(member) else {
            return false;
        };
        let mut found = Vec::new();
        for (from, to) in ranges {
            let (from, to) = (from.get().max(self.start), to.get());
            let runs = self.runs.overlapping(from, to);
            let leased = runs.filter(|(_, run)| run.state == State::Leased && run.owner == number);
            found.extend(leased.filter_map(|(first, run)| {
                let (first, last) = (first.max(from), run.last.min(to));
                let available = Run {
                    halvings: run.halvings,
                    ..Run::plain(last, State::Available, run.count - 1)
                };
                (first <= last).then_some((first, available))
            }));
        }
        for (first, run) in &found {
            self.runs.put(*first, *run);
        }
        !found.is_empty()
    }

    /// A member is gone, and what it leased too.
    pub fn forget(&mut self, member: &str) {
        if let Some(number) = self.members.number(member) {
            self.members.leave(number, &self.runs);
        }
    }

    /// How many records that are not done lie below the log's new start.
    pub fn undone_below(&self, log_start: i64) -> u64 {
        let known: u64 = self
            .runs
            .overlapping(self.start, log_start - 1)
            .filter(|(first, run)| *first < log_start && !run.state.is_terminal())
            .map(|(first, run)| records_in(first, run.last.min(log_start - 1)))
            .sum();
        known + records_in(self.next, log_start - 1)
    }

    /// Archive all below `end` that nobody leases. How many records that are.
    pub fn purge<'a>(
        &self,
        now: Timestamp,
        end: i64,
        config: &'a QueueConfig,
    ) -> (Changes<'a>, u64) {
        let mut changes = Changes::new(config, now);
        let mut purged = 0;
        if end <= self.start {
            return (changes, purged);
        }
        for (first, run) in self.runs.overlapping(self.start, end - 1) {
            let last = run.last.min(end - 1);
            if matches!(
                run.state,
                State::Unknown | State::Available | State::Delayed
            ) && first <= last
            {
                changes.set(first, last, Durable::Archived, run.count);
                purged += records_in(first, last);
            }
        }
        if self.next < end {
            changes.set(self.next, end - 1, Durable::Archived, 0);
            purged += records_in(self.next, end - 1);
        }
        (changes, purged)
    }

    /// Dead letters stand in their topic: they leave Archiving.
    pub fn dead_lettered<'a>(
        &self,
        now: Timestamp,
        ranges: &[(Offset, Offset)],
        config: &'a QueueConfig,
    ) -> Changes<'a> {
        let mut changes = Changes::new(config, now);
        let mut ranges: Vec<(i64, i64)> = ranges
            .iter()
            .map(|(first, last)| (first.get(), last.get()))
            .collect();
        ranges.sort_unstable();
        let mut from = self.start;
        for (first, last) in ranges {
            let (start, end) = (first.max(from), last.min(self.next - 1));
            if end < start {
                continue;
            }
            for (first, run) in self.runs.overlapping(start, end) {
                if run.state == State::Archiving {
                    let (first, last) = (first.max(start), run.last.min(end));
                    changes.set(first, last, Durable::Archived, run.count);
                }
            }
            from = end + 1;
        }
        changes
    }

    /// What is still to be put into the dead-letter topic.
    pub fn archiving(&self) -> Vec<DeadRange> {
        self.runs
            .iter()
            .filter(|(_, run)| run.state == State::Archiving)
            .map(|(first, run)| DeadRange {
                first: Offset::new(first),
                last: Offset::new(run.last),
                delivery_count: run.count,
                reason: DeadReason::DeliveryLimit,
            })
            .collect()
    }

    /// The settings it goes by, to hold on to while it changes.
    pub fn settings(&self) -> Arc<QueueConfig> {
        self.config.clone()
    }
}
