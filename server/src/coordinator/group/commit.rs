//! OffsetCommit, OffsetFetch, OffsetDelete.

use std::sync::Arc;

use ratel_protocol::ErrorCode;

use super::classic::Classic;
use super::event::{Commit, CommitOffset, DeleteOffsets, Fetch, FetchedTopic, Reply};
use super::record::{Committed, Record};
use super::{GroupMachine, Kind, Timestamp};
use crate::coordinator::{Effects, Ticket};

/// Topic, partition, and what is committed for it.
type Accepted = (Arc<str>, i32, Committed);

impl GroupMachine {
    /// O-1 to O-5. All accepted offsets of a request become durable together.
    pub(super) fn commit(
        &mut self,
        now: Timestamp,
        ticket: Ticket,
        event: Commit,
        out: &mut Effects<Self>,
    ) {
        if let Err(error) = self.check_commit(now, &event, out) {
            self.forget_if_gone(&event.group);
            return out.refuse(ticket, error);
        }
        let expire_timestamp_ms = event
            .retention_ms
            .map(|retention_ms| now.wall_ms.saturating_add(retention_ms));
        let (results, accepted) = self.accept(now, event.offsets, expire_timestamp_ms);
        for (topic, partition, committed) in accepted {
            let record = Record::Offset {
                group: event.group.clone(),
                topic,
                partition,
                value: Some(committed),
            };
            out.record(self, record);
        }
        self.forget_if_gone(&event.group);
        out.reply(ticket, Reply::Committed(results));
    }

    /// What becomes of each offset, and those that are accepted (O-4).
    pub(super) fn accept(
        &self,
        now: Timestamp,
        offsets: Vec<CommitOffset>,
        expire_timestamp_ms: Option<i64>,
    ) -> (Vec<Result<(), ErrorCode>>, Vec<Accepted>) {
        let mut results = Vec::with_capacity(offsets.len());
        let mut accepted = Vec::with_capacity(offsets.len());
        for offset in offsets {
            if is_longer(&offset.metadata, self.limits.offset_metadata_max) {
                results.push(Err(ErrorCode::OffsetMetadataTooLarge));
                continue;
            }
            results.push(Ok(()));
            let committed = Committed {
                offset: offset.offset,
                leader_epoch: offset.leader_epoch,
                metadata: offset.metadata,
                commit_timestamp_ms: now.wall_ms,
                expire_timestamp_ms,
                topic: offset.topic_id,
            };
            accepted.push((offset.topic, offset.partition, committed));
        }
        (results, accepted)
    }

    fn check_commit(
        &mut self,
        now: Timestamp,
        event: &Commit,
        out: &mut Effects<Self>,
    ) -> Result<(), ErrorCode> {
        if let Ok(consumer) = self.consumer(&event.group) {
            return consumer.check_commit(event);
        }
        if self.groups.contains_key(&event.group) {
            return self
                .turn(now, &event.group, out, |group, turn| {
                    group.check_commit(turn, event)
                })
                .unwrap_or(Err(ErrorCode::GroupIdNotFound));
        }
        if event.generation < 0 {
            self.make(&event.group)
        } else if event.knows_group_id_not_found {
            Err(ErrorCode::GroupIdNotFound)
        } else {
            Err(ErrorCode::IllegalGeneration)
        }
    }

    /// O-6. A group that does not exist has committed nothing.
    pub(super) fn fetch(&self, event: &Fetch) -> Result<Vec<FetchedTopic>, ErrorCode> {
        if let Ok(consumer) = self.consumer(&event.group) {
            consumer.check_fetch(event.member.as_deref(), event.member_epoch)?;
        }
        let group = self.groups.get(&event.group);
        let find = |topic: &Arc<str>, partition| {
            let committed = match group {
                None => Ok(None),
                Some(group) if event.require_stable && group.pending.contains(topic, partition) => {
                    Err(ErrorCode::UnstableOffsetCommit)
                }
                Some(group) => Ok(group.offsets.committed(topic, partition).cloned()),
            };
            (partition, committed)
        };
        let of_topic = |topic: &Arc<str>, partitions: &mut dyn Iterator<Item = i32>| FetchedTopic {
            topic: topic.clone(),
            partitions: partitions.map(|partition| find(topic, partition)).collect(),
        };
        let fetched = match &event.topics {
            None => group
                .into_iter()
                .flat_map(|group| group.offsets.topics())
                .map(|(topic, partitions)| of_topic(topic, &mut partitions.keys().copied()))
                .collect(),
            Some(topics) => topics
                .iter()
                .map(|(topic, partitions)| of_topic(topic, &mut partitions.iter().copied()))
                .collect(),
        };
        Ok(fetched)
    }

    /// O-7: what members read stays.
    pub(super) fn delete_offsets(
        &mut self,
        ticket: Ticket,
        event: &DeleteOffsets,
        out: &mut Effects<Self>,
    ) {
        let found = self.groups.get(&event.group);
        let group = match found {
            Some(group) if !matches!(group.kind, Kind::Share(_)) => group,
            _ => return out.refuse(ticket, ErrorCode::GroupIdNotFound),
        };
        let checked = group.classic().map(Classic::check_delete_offsets);
        if let Some(Err(error)) = checked {
            return out.refuse(ticket, error);
        }
        let mut results = Vec::with_capacity(event.offsets.len());
        let mut records = Vec::new();
        for (topic, partition) in &event.offsets {
            if group.is_subscribed(topic) {
                results.push(Err(ErrorCode::GroupSubscribedToTopic));
                continue;
            }
            results.push(Ok(()));
            let is_there = group.offsets.committed(topic, *partition).is_some();
            if is_there || group.pending.contains(topic, *partition) {
                records.push(Record::Offset {
                    group: event.group.clone(),
                    topic: topic.clone(),
                    partition: *partition,
                    value: None,
                });
            }
        }
        for record in records {
            out.record(self, record);
        }
        out.reply(ticket, Reply::DeletedOffsets(results));
    }
}

/// Whether a text has more than `max` characters as Kafka counts them: UTF-16 units.
fn is_longer(text: &str, max: usize) -> bool {
    text.len() > max && text.encode_utf16().count() > max
}
