//! What goes by itself: expired offsets, offsets of deleted topics, offsets past a log's end.

use std::collections::HashSet;
use std::ops::Bound;
use std::sync::Arc;

use ratel_storage::{Offset, PartitionId, TopicId};

use super::classic::{Classic, Retention};
use super::limits::{UPKEEP_PAUSE_MS, UPKEEP_RECORDS};
use super::record::Record;
use super::turn::Timer;
use super::{Group, GroupMachine};
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

    /// DC7: before anything is served, offsets past a log's end come down to it. A topic that
    /// has no log at all is deleted, and its offsets go (O-10).
    pub(super) fn cut_offsets(&mut self, ends: &LogEnds, out: &mut Effects<Self>) {
        let mut topics: Option<HashSet<TopicId>> = None;
        let mut cuts = Vec::new();
        for (id, group) in &self.groups {
            for (topic, index, committed) in group.offsets.iter() {
                let partition = PartitionId {
                    topic: committed.topic,
                    index,
                };
                match ends.ends.get(&partition) {
                    Some(end) if Offset::new(committed.offset) > *end => {
                        let mut cut = committed.clone();
                        cut.offset = end.get();
                        cuts.push(Record::Offset {
                            group: id.clone(),
                            topic: topic.clone(),
                            partition: index,
                            value: Some(cut),
                        });
                    }
                    None if !committed.topic.is_nil() => {
                        let known = topics
                            .get_or_insert_with(|| ends.ends.keys().map(|id| id.topic).collect());
                        if !known.contains(&committed.topic) {
                            self.gone.insert(committed.topic);
                        }
                    }
                    Some(_) | None => {}
                }
            }
        }
        for record in cuts {
            out.record(self, record);
        }
    }

    /// Drop offsets of deleted topics; many take several rounds.
    pub(super) fn drop_gone(&mut self, now: Timestamp, out: &mut Effects<Self>) {
        let mut records = Vec::new();
        for (id, group) in &self.groups {
            let room = UPKEEP_RECORDS - records.len();
            records.extend(group.offsets.tombstones(id, room, |_, committed| {
                self.gone.contains(&committed.topic)
            }));
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
            group.offsets.is_empty() && group.classic().is_some_and(Classic::is_vacant)
        };
        if self.groups.get(id).is_some_and(idle) {
            self.end_group(id, out);
        }
    }
}

fn expired(
    group: &Group,
    id: &Arc<str>,
    wall_ms: i64,
    retention_ms: i64,
    room: usize,
) -> Vec<Record> {
    let Some(classic) = group.classic() else {
        return Vec::new();
    };
    let retention = classic.retention();
    group.offsets.tombstones(id, room, |topic, committed| {
        let since_ms = match retention {
            Retention::Keep => return false,
            Retention::SinceCommit => committed.commit_timestamp_ms,
            Retention::Since(at_ms) => at_ms,
        };
        let expired = match committed.expire_timestamp_ms {
            Some(expire_ms) => wall_ms >= expire_ms,
            None => wall_ms.saturating_sub(since_ms) >= retention_ms,
        };
        expired && !classic.is_subscribed(topic)
    })
}
