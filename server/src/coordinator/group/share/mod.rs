//! Share groups (KIP-932): members join by heartbeat, the group assigns.
//!
//! Hard state, in Kafka's own records: members with their epochs and assignments, the group's
//! epoch, and which queues it has. Soft state: sessions. A restart keeps the first, so a member
//! goes on with its id and epoch, and begins the second anew.
//!
//! ```text
//! heartbeat, leave, silence, topic made, grown or gone
//!    -> group epoch + 1 -> target of all members (at the next heartbeat) -> each member hears
//!                                                                           of its own
//! ```
//!
//! No member waits for another: partitions may have several owners for a while, since records are
//! leased one by one.

mod assignor;
mod event;
mod heartbeat;
mod queues;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use ratel_storage::TopicId;

pub use event::{
    QueueEvent, QueueTopics, ShareBeat, ShareDescription, ShareHeartbeat, ShareMemberDescription,
    ShareQueueList, ShareSettings, TopicNow,
};
pub use queues::partitions_of;

use super::record::{
    Assignment, QueueTopic, Record, ShareCurrent, ShareGroupMetadata, ShareMemberMetadata,
    ShareQueues, ShareRecord,
};
use crate::coordinator::Ticket;

/// A member.
#[derive(Debug, Clone, Default)]
struct Member {
    metadata: Arc<ShareMemberMetadata>,
    target: Option<Arc<Assignment>>,
    current: Option<ShareCurrent>,
}

/// A share group.
#[derive(Debug, Clone, Default)]
pub struct Share {
    metadata: Option<ShareGroupMetadata>,
    assignment_epoch: Option<i32>,
    members: BTreeMap<Arc<str>, Member>,
    queues: Option<Arc<ShareQueues>>,
    /// Soft state: the topics that the shard watches for this group.
    watched: BTreeSet<Arc<str>>,
    /// Soft state: who waits for the group's end, which waits for the end of its queues.
    ending: Vec<Ticket>,
}

impl Share {
    /// Take in a record.
    pub fn apply(&mut self, record: &ShareRecord) {
        match record {
            ShareRecord::Member(id, None) => {
                self.members.remove(id);
            }
            ShareRecord::Member(id, Some(metadata)) => {
                self.member_mut(id).metadata = metadata.clone();
            }
            ShareRecord::Group(value) => self.metadata = *value,
            ShareRecord::TargetEpoch(value) => self.assignment_epoch = *value,
            ShareRecord::Target(id, None) => {
                if let Some(member) = self.members.get_mut(id) {
                    member.target = None;
                }
            }
            ShareRecord::Target(id, Some(target)) => {
                self.member_mut(id).target = Some(target.clone());
            }
            ShareRecord::Current(id, None) => {
                if let Some(member) = self.members.get_mut(id) {
                    member.current = None;
                }
            }
            ShareRecord::Current(id, Some(current)) => {
                self.member_mut(id).current = Some(current.clone());
            }
            ShareRecord::Queues(value) => self.queues.clone_from(value),
        }
    }

    fn member_mut(&mut self, id: &Arc<str>) -> &mut Member {
        if !self.members.contains_key(id) {
            self.members.insert(id.clone(), Member::default());
        }
        self.members.entry(id.clone()).or_default()
    }

    /// All hard state as records.
    pub fn snapshot(&self, group: &Arc<str>, out: &mut Vec<Record>) {
        let mut put = |record| {
            out.push(Record::Share {
                group: group.clone(),
                record,
            });
        };
        if self.metadata.is_some() {
            put(ShareRecord::Group(self.metadata));
        }
        for (id, member) in &self.members {
            put(ShareRecord::Member(
                id.clone(),
                Some(member.metadata.clone()),
            ));
            if member.target.is_some() {
                put(ShareRecord::Target(id.clone(), member.target.clone()));
            }
            if member.current.is_some() {
                put(ShareRecord::Current(id.clone(), member.current.clone()));
            }
        }
        if self.assignment_epoch.is_some() {
            put(ShareRecord::TargetEpoch(self.assignment_epoch));
        }
        if self.queues.is_some() {
            put(ShareRecord::Queues(self.queues.clone()));
        }
    }

    /// Whether there is nothing of it.
    pub fn is_gone(&self) -> bool {
        self.metadata.is_none()
            && self.assignment_epoch.is_none()
            && self.members.is_empty()
            && self.queues.is_none()
            && self.ending.is_empty()
    }

    /// Kafka's name of its state.
    pub fn state(&self) -> &'static str {
        match self.members.is_empty() {
            true => "Empty",
            false => "Stable",
        }
    }

    /// How many members it has.
    pub fn len(&self) -> usize {
        self.members.len()
    }

    /// What an administrator sees.
    pub fn describe(&self) -> ShareDescription {
        ShareDescription {
            state: self.state(),
            epoch: self.epoch(),
            assignment_epoch: self.assignment_epoch(),
            members: self
                .members
                .iter()
                .map(|(id, member)| ShareMemberDescription {
                    id: id.clone(),
                    rack: member.metadata.rack.clone(),
                    epoch: member.epoch(),
                    client_id: member.metadata.client_id.clone(),
                    client_host: member.metadata.client_host.clone(),
                    topics: member.metadata.topics.clone(),
                    assigned: member.assigned(),
                })
                .collect(),
        }
    }

    fn epoch(&self) -> i32 {
        self.metadata.map_or(0, |metadata| metadata.epoch)
    }

    fn assignment_epoch(&self) -> i32 {
        self.assignment_epoch.unwrap_or(0)
    }

    /// Take down which topics the shard watches for it: those that any member reads.
    pub fn watch(&mut self) -> BTreeSet<Arc<str>> {
        self.watched = self.subscribed();
        self.watched.clone()
    }

    /// The topics that any member reads.
    fn subscribed(&self) -> BTreeSet<Arc<str>> {
        let members = self.members.values();
        members
            .flat_map(|member| member.metadata.topics.iter().cloned())
            .collect()
    }

    /// The topics' names that its state speaks of: read by members, or with queues.
    pub fn topic_names(&self) -> impl Iterator<Item = Arc<str>> {
        let queues = self.queues.as_deref().into_iter().flat_map(|queues| {
            let topics = queues
                .initializing
                .values()
                .chain(queues.initialized.values());
            topics.map(|topic| topic.name.clone())
        });
        self.subscribed().into_iter().chain(queues)
    }
}

impl Member {
    fn epoch(&self) -> i32 {
        self.current.as_ref().map_or(0, |current| current.epoch)
    }

    fn previous_epoch(&self) -> i32 {
        let current = self.current.as_ref();
        current.map_or(-1, |current| current.previous_epoch)
    }

    fn assigned(&self) -> Arc<Assignment> {
        let current = self.current.as_ref();
        current.map_or_else(Arc::default, |current| current.assigned.clone())
    }

    fn target(&self) -> Arc<Assignment> {
        self.target.clone().unwrap_or_default()
    }
}

/// Add partitions to topics' lists.
fn merge(topics: &mut BTreeMap<TopicId, QueueTopic>, id: TopicId, topic: &QueueTopic) {
    let there = topics.entry(id).or_insert_with(|| QueueTopic {
        name: topic.name.clone(),
        partitions: Vec::new(),
    });
    there.partitions.extend(&topic.partitions);
    there.partitions.sort_unstable();
    there.partitions.dedup();
}

/// Take partitions out of topics' lists.
fn subtract(topics: &mut BTreeMap<TopicId, QueueTopic>, id: TopicId, partitions: &[i32]) {
    if let Some(topic) = topics.get_mut(&id) {
        topic.partitions.retain(|index| !partitions.contains(index));
        if topic.partitions.is_empty() {
            topics.remove(&id);
        }
    }
}
