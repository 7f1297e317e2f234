//! The queues of share groups: asked for as topics are read for the first time, forgotten with
//! their topics, deleted with their group. And the topics they hang on.

use std::collections::BTreeMap;
use std::sync::Arc;

use ratel_protocol::ErrorCode;
use ratel_storage::{PartitionId, TopicId};

use super::{
    QueueEvent, QueueTopic, QueueTopics, Share, ShareGroupMetadata, ShareQueueList, ShareQueues,
    ShareRecord, TopicNow, merge, subtract,
};
use crate::clock::Timestamp;
use crate::coordinator::group::limits::QUEUES_RETRY_MS;
use crate::coordinator::group::record::Record;
use crate::coordinator::group::turn::Timer;
use crate::coordinator::group::{Action, GroupMachine, Kind, Reply};
use crate::coordinator::{Effects, LogEnds, Ticket};

impl Share {
    /// Whether its queues are being deleted, and it with them.
    pub(super) fn is_ending(&self) -> bool {
        let queues = self.queues.as_deref();
        queues.is_some_and(|queues| !queues.deleting.is_empty())
    }

    fn queues(&self) -> ShareQueues {
        self.queues.as_deref().cloned().unwrap_or_default()
    }

    /// What is still to be done about its queues.
    fn unfinished(&self, group: &Arc<str>) -> Option<Action> {
        let queues = self.queues.as_deref()?;
        let group = group.clone();
        if self.is_ending() {
            return Some(Action::DeleteQueues { group });
        }
        let topics = queues.initializing.iter();
        let topics: QueueTopics = topics.map(|(id, topic)| (*id, topic.clone())).collect();
        (!topics.is_empty()).then_some(Action::InitializeQueues { group, topics })
    }
}

impl GroupMachine {
    /// The share group of this name, or GROUP_ID_NOT_FOUND.
    pub(super) fn share(&self, id: &str) -> Result<&Share, ErrorCode> {
        match self.groups.get(id).map(|group| &group.kind) {
            Some(Kind::Share(share)) => Ok(share),
            _ => Err(ErrorCode::GroupIdNotFound),
        }
    }

    pub(super) fn share_mut(&mut self, id: &str) -> Result<&mut Share, ErrorCode> {
        match self.groups.get_mut(id).map(|group| &mut group.kind) {
            Some(Kind::Share(share)) => Ok(share),
            _ => Err(ErrorCode::GroupIdNotFound),
        }
    }

    pub(super) fn share_record(
        &mut self,
        id: &Arc<str>,
        record: ShareRecord,
        out: &mut Effects<Self>,
    ) {
        let group = id.clone();
        out.record(self, Record::Share { group, record });
    }

    fn share_ids(&self) -> Vec<Arc<str>> {
        let groups = self.groups.iter();
        groups
            .filter(|(_, group)| matches!(group.kind, Kind::Share(_)))
            .map(|(id, _)| id.clone())
            .collect()
    }

    /// Watch what the group reads now, and no more. What was not watched before is looked up once
    /// more: what the handler found may be old, and nobody told of a change since.
    pub(super) fn share_watch(
        &mut self,
        id: &Arc<str>,
        found: &[TopicNow],
        out: &mut Effects<Self>,
    ) {
        let Ok(share) = self.share_mut(id) else {
            return;
        };
        let wanted = share.subscribed();
        let before = std::mem::replace(&mut share.watched, wanted.clone());
        let unknown = self.topics.rewatch(id, &before, &wanted);
        if !unknown.is_empty() {
            out.act(Action::FindTopics(unknown));
        }
        self.topics_news(found, Some(id), out);
    }

    /// A topic's queues go with it, each shard of queues hears of that itself.
    pub(in crate::coordinator::group) fn share_topic_deleted(
        &mut self,
        topic: TopicId,
        out: &mut Effects<Self>,
    ) {
        for id in self.share_ids() {
            self.share_forget_queues(&id, |id, _| *id == topic, out);
        }
    }

    fn share_forget_queues(
        &mut self,
        id: &Arc<str>,
        which: impl Fn(&TopicId, &QueueTopic) -> bool,
        out: &mut Effects<Self>,
    ) {
        let Ok(share) = self.share(id) else {
            return;
        };
        let mut queues = share.queues();
        queues.initializing.retain(|id, topic| !which(id, topic));
        queues.initialized.retain(|id, topic| !which(id, topic));
        self.share_put_queues(id, queues, out);
    }

    /// Write down which queues there are, if that is news.
    fn share_put_queues(&mut self, id: &Arc<str>, queues: ShareQueues, out: &mut Effects<Self>) {
        let queues = Some(Arc::new(queues)).filter(|queues| !queues.is_empty());
        if self.share(id).is_ok_and(|share| share.queues != queues) {
            self.share_record(id, ShareRecord::Queues(queues), out);
        }
    }

    /// Ask for the queues of what the group reads and has none for; forget those of topics that
    /// were made anew.
    pub(super) fn share_want_queues(&mut self, id: &Arc<str>, out: &mut Effects<Self>) {
        let Ok(share) = self.share(id) else {
            return;
        };
        let mut queues = share.queues();
        let mut wanted = QueueTopics::new();
        for name in &share.watched {
            let Some((topic, count)) = self.topics.get(name) else {
                continue;
            };
            let old = |id: &TopicId, there: &QueueTopic| *id != topic && there.name == *name;
            queues.initializing.retain(|id, there| !old(id, there));
            queues.initialized.retain(|id, there| !old(id, there));
            let has = |topics: &BTreeMap<TopicId, QueueTopic>, index| {
                let topic = topics.get(&topic);
                topic.is_some_and(|topic| topic.partitions.contains(&index))
            };
            let partitions: Vec<i32> = (0..count)
                .filter(|index| !has(&queues.initialized, *index))
                .filter(|index| !has(&queues.initializing, *index))
                .collect();
            if !partitions.is_empty() {
                let name = name.clone();
                wanted.push((topic, QueueTopic { name, partitions }));
            }
        }
        for (topic, queue) in &wanted {
            merge(&mut queues.initializing, *topic, queue);
        }
        self.share_put_queues(id, queues, out);
        if !wanted.is_empty() {
            out.act(Action::InitializeQueues {
                group: id.clone(),
                topics: wanted,
            });
        }
    }

    /// Something happens to a group's queues.
    pub(in crate::coordinator::group) fn share_queues(
        &mut self,
        now: Timestamp,
        ticket: Ticket,
        id: &Arc<str>,
        event: QueueEvent,
        out: &mut Effects<Self>,
    ) {
        match event {
            QueueEvent::Initialized(topics) => self.share_initialized(id, topics, out),
            QueueEvent::Failed => {
                let at_ms = now.monotonic_ms.saturating_add(QUEUES_RETRY_MS);
                self.timers.set(Timer::Queues(id.clone()), at_ms);
                if let Ok(share) = self.share_mut(id) {
                    let waiting = std::mem::take(&mut share.ending);
                    for ticket in waiting {
                        out.refuse(ticket, ErrorCode::CoordinatorNotAvailable);
                    }
                }
            }
            QueueEvent::Gone => self.share_end(id, out),
            QueueEvent::Alter(topics) => match self.share_alter(id, topics, out) {
                Ok(()) => out.reply(ticket, Reply::Done),
                Err(error) => out.refuse(ticket, error),
            },
            QueueEvent::Remove(topics) => match self.share_empty(id) {
                Ok(()) => {
                    self.share_forget_queues(id, |id, _| topics.contains(id), out);
                    out.reply(ticket, Reply::Done);
                }
                Err(error) => out.refuse(ticket, error),
            },
            QueueEvent::List => match self.share(id) {
                Ok(share) => out.reply(ticket, Reply::ShareQueues(share.queue_list())),
                Err(error) => out.refuse(ticket, error),
            },
        }
    }

    /// The group is there, and has no members.
    fn share_empty(&self, id: &str) -> Result<(), ErrorCode> {
        match self.share(id)?.members.is_empty() {
            true => Ok(()),
            false => Err(ErrorCode::NonEmptyGroup),
        }
    }

    fn share_initialized(&mut self, id: &Arc<str>, topics: QueueTopics, out: &mut Effects<Self>) {
        let Ok(share) = self.share(id) else {
            return;
        };
        let mut queues = share.queues();
        for (topic, queue) in topics {
            // What was forgotten since is not asked for any more.
            let mut known = queue.clone();
            let asked = queues.initializing.get(&topic);
            known
                .partitions
                .retain(|index| asked.is_some_and(|asked| asked.partitions.contains(index)));
            subtract(&mut queues.initializing, topic, &known.partitions);
            if !known.partitions.is_empty() {
                merge(&mut queues.initialized, topic, &known);
            }
        }
        self.share_put_queues(id, queues, out);
    }

    fn share_alter(
        &mut self,
        id: &Arc<str>,
        topics: QueueTopics,
        out: &mut Effects<Self>,
    ) -> Result<(), ErrorCode> {
        if !self.groups.contains_key(id) {
            if topics.is_empty() {
                return Ok(());
            }
            self.make(id)?;
            if let Some(group) = self.groups.get_mut(id) {
                group.kind = Kind::Share(Share::default());
            }
        }
        self.share_empty(id)?;
        let share = self.share(id)?;
        if share.is_ending() {
            return Err(ErrorCode::CoordinatorLoadInProgress);
        }
        let mut queues = share.queues();
        for (topic, queue) in topics {
            subtract(&mut queues.initialized, topic, &queue.partitions);
            merge(&mut queues.initializing, topic, &queue);
        }
        if share.metadata.is_none() {
            let metadata = ShareGroupMetadata {
                epoch: 0,
                metadata_hash: 0,
            };
            self.share_record(id, ShareRecord::Group(Some(metadata)), out);
        }
        self.share_put_queues(id, queues, out);
        Ok(())
    }

    /// DeleteGroups: first its queues go, then the group.
    pub(in crate::coordinator::group) fn share_delete(
        &mut self,
        ticket: Ticket,
        id: &Arc<str>,
        out: &mut Effects<Self>,
    ) {
        if let Err(error) = self.share_empty(id) {
            return out.refuse(ticket, error);
        }
        let Ok(share) = self.share_mut(id) else {
            return;
        };
        share.ending.push(ticket);
        let queues = share.queues();
        let topics = queues.initializing.into_iter().chain(queues.initialized);
        let mut deleting = queues.deleting;
        deleting.extend(topics.map(|(topic, queue)| (topic, queue.name)));
        if deleting.is_empty() {
            return self.share_end(id, out);
        }
        let queues = ShareQueues {
            deleting,
            ..ShareQueues::default()
        };
        self.share_put_queues(id, queues, out);
        out.act(Action::DeleteQueues { group: id.clone() });
    }

    /// The group is no more, if it is to be no more.
    fn share_end(&mut self, id: &Arc<str>, out: &mut Effects<Self>) {
        let Ok(share) = self.share_mut(id) else {
            return;
        };
        let waiting = std::mem::take(&mut share.ending);
        let is_asked_for = share.is_ending() || !waiting.is_empty();
        if !is_asked_for || !share.members.is_empty() {
            return;
        }
        self.timers.cancel(&Timer::Queues(id.clone()));
        let ends = [
            ShareRecord::Queues(None),
            ShareRecord::TargetEpoch(None),
            ShareRecord::Group(None),
        ];
        for record in ends {
            self.share_record(id, record, out);
        }
        self.forget_if_gone(id);
        for ticket in waiting {
            out.reply(ticket, Reply::Done);
        }
    }

    /// Have what is unfinished about a group's queues done.
    pub(in crate::coordinator::group) fn share_retry(
        &mut self,
        id: &Arc<str>,
        out: &mut Effects<Self>,
    ) {
        if let Ok(share) = self.share(id)
            && let Some(action) = share.unfinished(id)
        {
            out.act(action);
        }
    }

    /// Take up the share groups after a replay, with the topics as they are now.
    pub(in crate::coordinator::group) fn share_start(
        &mut self,
        now: Timestamp,
        ends: &LogEnds,
        out: &mut Effects<Self>,
    ) {
        self.share_begin_sessions(now, &ends.sessions);
        let ids = self.share_ids();
        let there: BTreeMap<TopicId, &Arc<str>> = ends
            .topics
            .iter()
            .filter_map(|now| Some((now.topic?.0, &now.name)))
            .collect();
        for id in &ids {
            self.share_forget_queues(id, |topic, _| !there.contains_key(topic), out);
            self.share_retry(id, out);
            self.share_refresh(id, false, out);
        }
    }
}

impl Share {
    fn queue_list(&self) -> ShareQueueList {
        let queues = self.queues();
        let mut topics = queues.initialized;
        for (id, topic) in &queues.initializing {
            merge(&mut topics, *id, topic);
        }
        ShareQueueList {
            members: self.members.len(),
            topics: topics.into_iter().collect(),
        }
    }
}

/// The partitions of these topics.
pub fn partitions_of(topics: &QueueTopics) -> impl Iterator<Item = PartitionId> + '_ {
    topics.iter().flat_map(|(topic, queue)| {
        let indexes = queue.partitions.iter();
        indexes.map(|index| PartitionId {
            topic: *topic,
            index: *index,
        })
    })
}
