//! What goes by itself: expired offsets, offsets of deleted topics, offsets past a log's end.

use std::collections::{BTreeSet, HashSet};
use std::ops::Bound;
use std::sync::Arc;

use ratel_storage::{Offset, PartitionId, TopicId};

use super::classic::Retention;
use super::limits::{UPKEEP_PAUSE_MS, UPKEEP_RECORDS};
use super::offsets::Placed;
use super::record::{Committed, Record};
use super::turn::Timer;
use super::{Group, GroupMachine, Kind};
use crate::clock::Timestamp;
use crate::coordinator::{Effects, LogEnds};

impl GroupMachine {
    /// As long as there are groups, something may expire.
    pub(super) fn arm_expiry(&mut self, now: Timestamp) {
        if !self.groups.is_empty() && !self.timers.contains(&Timer::Expire) {
            let interval_ms = self.limits.offsets_check_interval_ms;
            let at_ms = now.monotonic_ms.saturating_add(interval_ms);
            self.timers.set(Timer::Expire, at_ms);
        }
    }

    /// DC7: before anything is served, offsets past a log's end come down to it, also those that
    /// wait in transactions. A topic that has no log at all is deleted, and its offsets go (O-10).
    pub(super) fn cut_offsets(&mut self, ends: &LogEnds, out: &mut Effects<Self>) {
        let mut cuts = Vec::new();
        for (id, group) in &self.groups {
            let mut cut = BTreeSet::new();
            for (topic, index, committed) in group.offsets.iter() {
                if let Some(value) = lowered(ends, committed, index) {
                    cut.insert((topic.clone(), index));
                    cuts.push(Record::Offset {
                        group: id.clone(),
                        topic: topic.clone(),
                        partition: index,
                        value: Some(value),
                    });
                }
            }
            cuts.extend(pending_cuts(group, id, ends, cut));
        }
        self.find_gone(ends);
        for record in cuts {
            out.record(self, record);
        }
    }

    fn find_gone(&mut self, ends: &LogEnds) {
        let known: HashSet<TopicId> = ends.ends.keys().map(|id| id.topic).collect();
        let mut gone = BTreeSet::new();
        self.each_partition(|partition| {
            if !partition.topic.is_nil() && !known.contains(&partition.topic) {
                gone.insert(partition.topic);
            }
        });
        self.gone.append(&mut gone);
    }

    /// Drop offsets of deleted topics; many take several rounds.
    pub(super) fn drop_gone(&mut self, now: Timestamp, out: &mut Effects<Self>) {
        let mut records = Vec::new();
        for (id, group) in &self.groups {
            let is_gone = |committed: &Committed| self.gone.contains(&committed.topic);
            let room = UPKEEP_RECORDS - records.len();
            let tombstones = group.offsets.tombstones(id, room, |_, _, it| is_gone(it));
            records.extend(tombstones);
            let room = UPKEEP_RECORDS - records.len();
            records.extend(group.pending_tombstones(id, room, is_gone));
        }
        if records.len() < UPKEEP_RECORDS {
            self.gone.clear();
            self.timers.cancel(&Timer::Gone);
        } else {
            let at_ms = now.monotonic_ms.saturating_add(UPKEEP_PAUSE_MS);
            self.timers.set(Timer::Gone, at_ms);
        }
        for record in records {
            out.record(self, record);
        }
    }

    /// O-5: drop what has expired, and groups that are empty and have nothing left.
    pub(super) fn expire(&mut self, now: Timestamp, out: &mut Effects<Self>) {
        let from = self
            .expire_from
            .take()
            .map_or(Bound::Unbounded, Bound::Included);
        let rest: Vec<Arc<str>> = self
            .groups
            .range::<Arc<str>, _>((from, Bound::Unbounded))
            .map(|(id, _)| id.clone())
            .collect();
        let retention_ms = self.limits.offsets_retention_ms;
        let mut room = UPKEEP_RECORDS;
        for id in rest {
            if room == 0 {
                self.expire_from = Some(id);
                let at_ms = now.monotonic_ms.saturating_add(UPKEEP_PAUSE_MS);
                return self.timers.set(Timer::Expire, at_ms);
            }
            let Some(group) = self.groups.get(&id) else {
                continue;
            };
            let records = expired(group, &id, now.wall_ms, retention_ms, room);
            room -= records.len();
            for record in records {
                out.record(self, record);
            }
            self.end_if_idle(&id, out);
        }
    }

    fn end_if_idle(&mut self, id: &Arc<str>, out: &mut Effects<Self>) {
        let idle = |group: &Group| {
            group.offsets.is_empty()
                && group.pending.is_empty()
                && match &group.kind {
                    Kind::Classic(classic) => classic.is_vacant(),
                    Kind::Consumer(consumer) => consumer.is_empty(),
                    Kind::Share(_) => false,
                }
        };
        if self.groups.get(id).is_some_and(idle) {
            self.consumer_end(id, out);
            self.end_group(id, out);
        }
    }
}

/// An offset that lies past its log's end, brought down to it.
fn lowered(ends: &LogEnds, committed: &Committed, index: i32) -> Option<Committed> {
    let topic = committed.topic;
    let end = ends.ends.get(&PartitionId { topic, index })?;
    (Offset::new(committed.offset) > *end).then(|| Committed {
        offset: end.get(),
        ..committed.clone()
    })
}

/// Pending offsets that must be written again: those past a log's end, and those that are newer
/// than one that is written again, as the newest counts (T-14).
fn pending_cuts(
    group: &Group,
    id: &Arc<str>,
    ends: &LogEnds,
    mut cut: BTreeSet<(Arc<str>, i32)>,
) -> Vec<Record> {
    let is_newer =
        |topic: &Arc<str>, index, placed: &Placed| group.offsets.at(topic, index) < Some(placed.at);
    let mut records = group.pending.records(id, is_newer);
    records.retain_mut(|record| {
        let Record::Pending {
            topic,
            partition,
            value,
            ..
        } = record
        else {
            return false;
        };
        let key = (topic.clone(), *partition);
        match lowered(ends, value, *partition) {
            Some(lower) => {
                *value = lower;
                cut.insert(key);
                true
            }
            None => cut.contains(&key),
        }
    });
    records
}

fn expired(
    group: &Group,
    id: &Arc<str>,
    wall_ms: i64,
    retention_ms: i64,
    room: usize,
) -> Vec<Record> {
    let retention = match &group.kind {
        Kind::Classic(classic) => classic.retention(),
        Kind::Consumer(_) => Retention::SinceCommit,
        Kind::Share(_) => return Vec::new(),
    };
    group
        .offsets
        .tombstones(id, room, |topic, partition, committed| {
            let since_ms = match retention {
                Retention::Keep => return false,
                Retention::SinceCommit => committed.commit_timestamp_ms,
                Retention::Since(at_ms) => at_ms,
            };
            let expired = match committed.expire_timestamp_ms {
                Some(expire_ms) => wall_ms >= expire_ms,
                None => wall_ms.saturating_sub(since_ms) >= retention_ms,
            };
            // T-14: what a transaction is about to replace stays until then.
            expired && !group.is_subscribed(topic) && !group.pending.contains(topic, partition)
        })
}
