//! Consumer groups of the protocol of KIP-848: members join by heartbeat, the group assigns.
//!
//! Hard state, in Kafka's own records: members with their epochs, what they are to hold and what
//! they hold, the group's epoch, and the topics of regular expressions. Soft state: sessions,
//! rebalance timeouts, settings. A restart keeps the first, so a member goes on with its id, epoch
//! and partitions, and begins the second anew.
//!
//! ```text
//! heartbeat, leave, silence, topic made, grown or gone
//!    -> group epoch + 1 -> target of all members (at the next heartbeat)
//!    -> each member on its own (reconcile.rs): gives up what it is not to hold, takes the new
//!       epoch, and gets what others have given up
//! ```
//!
//! A partition has one owner: it is given to the next only after the last one has said, by a
//! heartbeat without it, that it let go, or is out of the group.

pub mod assignor;
mod classic_member;
mod downgrade;
mod event;
mod heartbeat;
mod known;
mod leave;
mod reconcile;
mod regex;
mod target;
mod upgrade;

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

use ratel_protocol::ErrorCode;
use ratel_storage::PartitionId;

pub use event::{
    ConsumerBeat, ConsumerDescription, ConsumerHeartbeat, ConsumerLimits,
    ConsumerMemberDescription, ConsumerSettings, Matches,
};
pub use regex::{Compiled, compile};

use super::event::{Commit, CommitOffset};
use super::record::{
    Assignment, ClassicMember, ConsumerCurrent, ConsumerGroupMetadata, ConsumerMemberMetadata,
    ConsumerRecord, MemberState, Record, Resolved, Since,
};
use super::{GroupMachine, Kind};
use crate::coordinator::Effects;

/// The epoch of a static member that is away for a while.
const AWAY: i32 = -2;
/// The epoch of a group that reads nothing yet; its first subscription is the next (Kafka 4.3).
const EPOCH_NEW: i32 = 1;

/// A member.
#[derive(Debug, Clone, Default)]
struct Member {
    metadata: Arc<ConsumerMemberMetadata>,
    target: Option<Arc<Assignment>>,
    current: Option<Arc<ConsumerCurrent>>,
}

impl Member {
    fn current(&self) -> Arc<ConsumerCurrent> {
        self.current.clone().unwrap_or_default()
    }

    fn epoch(&self) -> i32 {
        self.current.as_ref().map_or(0, |current| current.epoch)
    }

    fn target(&self) -> Arc<Assignment> {
        self.target.clone().unwrap_or_default()
    }

    /// All that it may still work on.
    fn held(&self) -> Assignment {
        let current = self.current();
        let mut held = (*current.assigned).clone();
        for (topic, partitions) in &*current.revoking {
            held.entry(*topic).or_default().extend(partitions);
        }
        held
    }

    fn is_reconciled(&self, epoch: i32) -> bool {
        self.current
            .as_ref()
            .is_some_and(|current| current.state == MemberState::Stable && current.epoch == epoch)
    }
}

/// A consumer group.
#[derive(Debug, Clone, Default)]
pub struct Consumer {
    metadata: Option<ConsumerGroupMetadata>,
    assignment_epoch: Option<i32>,
    members: BTreeMap<Arc<str>, Member>,
    resolved: BTreeMap<Arc<str>, Arc<Resolved>>,
    /// The ids behind the names of static members.
    instances: HashMap<Arc<str>, Arc<str>>,
    /// Who holds a partition, or has yet to give it up.
    owners: HashMap<PartitionId, Arc<str>>,
    /// How many members ask for each name.
    names: BTreeMap<Arc<str>, usize>,
    /// How many members bring each regular expression.
    patterns: BTreeMap<Arc<str>, usize>,
    /// Soft state: the topics that the shard watches for this group.
    watched: BTreeSet<Arc<str>>,
    /// Soft state: expressions, ready to be held against a name.
    compiled: BTreeMap<Arc<str>, regex::Compiled>,
    /// Soft state: expressions are being held against all topics; whether a topic came or went
    /// since that began.
    resolving: Option<bool>,
    /// Soft state: how often they were.
    round: u64,
    /// Soft state: until then (monotonic, ms) changes of what expressions stand for are put off,
    /// to be looked at together.
    calm_until_ms: i64,
}

impl Consumer {
    /// Take in a record.
    pub fn apply(&mut self, record: &ConsumerRecord) {
        match record {
            ConsumerRecord::Group(value) => self.metadata = *value,
            ConsumerRecord::TargetEpoch(value) => self.assignment_epoch = *value,
            ConsumerRecord::Member(id, value) => self.apply_member(id, value.clone()),
            ConsumerRecord::Target(id, value) => {
                if let Some(member) = self.member_if(id, value.is_some()) {
                    member.target.clone_from(value);
                }
            }
            ConsumerRecord::Current(id, value) => self.apply_current(id, value.clone()),
            ConsumerRecord::Regex(regex, Some(resolved)) => {
                self.resolved.insert(regex.clone(), resolved.clone());
            }
            ConsumerRecord::Regex(regex, None) => {
                self.resolved.remove(regex);
            }
        }
    }

    /// The member of this id; made if it is not there and `make` says so.
    fn member_if(&mut self, id: &Arc<str>, make: bool) -> Option<&mut Member> {
        if make && !self.members.contains_key(id) {
            self.members.insert(id.clone(), Member::default());
        }
        self.members.get_mut(id)
    }

    fn apply_member(&mut self, id: &Arc<str>, value: Option<Arc<ConsumerMemberMetadata>>) {
        if value.is_none() {
            self.apply_current(id, None);
        }
        let old = match &value {
            Some(metadata) => self
                .member_if(id, true)
                .map(|member| std::mem::replace(&mut member.metadata, metadata.clone())),
            None => self.members.remove(id).map(|member| member.metadata),
        };
        if let Some(old) = old {
            for topic in &old.topics {
                count_down(&mut self.names, topic);
            }
            if let Some(regex) = pattern(&old) {
                count_down(&mut self.patterns, regex);
            }
            if let Some(instance) = &old.instance
                && self.instances.get(instance) == Some(id)
            {
                self.instances.remove(instance);
            }
        }
        let Some(metadata) = value else {
            return;
        };
        for topic in &metadata.topics {
            *self.names.entry(topic.clone()).or_default() += 1;
        }
        if let Some(regex) = pattern(&metadata) {
            *self.patterns.entry(regex.clone()).or_default() += 1;
        }
        if let Some(instance) = &metadata.instance {
            self.instances.insert(instance.clone(), id.clone());
        }
    }

    fn apply_current(&mut self, id: &Arc<str>, value: Option<Arc<ConsumerCurrent>>) {
        let Some(member) = self.member_if(id, value.is_some()) else {
            return;
        };
        let old = std::mem::replace(&mut member.current, value.clone());
        if let Some(old) = &old {
            for partition in partitions_of(&old.assigned).chain(partitions_of(&old.revoking)) {
                if self.owners.get(&partition) == Some(id) {
                    self.owners.remove(&partition);
                }
            }
        }
        if let Some(new) = &value {
            for partition in partitions_of(&new.assigned).chain(partitions_of(&new.revoking)) {
                self.owners.insert(partition, id.clone());
            }
        }
    }

    /// All hard state as records.
    pub fn snapshot(&self, group: &Arc<str>, out: &mut Vec<Record>) {
        let mut put = |record| {
            let group = group.clone();
            out.push(Record::Consumer { group, record });
        };
        if self.metadata.is_some() {
            put(ConsumerRecord::Group(self.metadata));
        }
        for (id, member) in &self.members {
            put(ConsumerRecord::Member(
                id.clone(),
                Some(member.metadata.clone()),
            ));
            if member.target.is_some() {
                put(ConsumerRecord::Target(id.clone(), member.target.clone()));
            }
            if member.current.is_some() {
                put(ConsumerRecord::Current(id.clone(), member.current.clone()));
            }
        }
        if self.assignment_epoch.is_some() {
            put(ConsumerRecord::TargetEpoch(self.assignment_epoch));
        }
        for (regex, resolved) in &self.resolved {
            put(ConsumerRecord::Regex(regex.clone(), Some(resolved.clone())));
        }
    }

    /// Whether there is nothing of it.
    pub fn is_gone(&self) -> bool {
        self.metadata.is_none()
            && self.assignment_epoch.is_none()
            && self.members.is_empty()
            && self.resolved.is_empty()
    }

    /// Kafka's name of its state (O-9).
    pub fn state(&self) -> &'static str {
        let epoch = self.assignment_epoch();
        if self.members.is_empty() {
            "Empty"
        } else if self.epoch() > epoch {
            "Assigning"
        } else if self.members.values().all(|one| one.is_reconciled(epoch)) {
            "Stable"
        } else {
            "Reconciling"
        }
    }

    /// How many members it has.
    pub fn len(&self) -> usize {
        self.members.len()
    }

    /// Whether it has no members.
    pub fn is_empty(&self) -> bool {
        self.members.is_empty()
    }

    /// Whether any member reads this topic.
    pub fn is_subscribed(&self, topic: &str) -> bool {
        let by_regex = |resolved: &Arc<Resolved>| {
            let found = resolved.topics.binary_search_by(|name| (**name).cmp(topic));
            found.is_ok()
        };
        self.names.contains_key(topic) || self.resolved.values().any(by_regex)
    }

    /// Take down which topics the shard watches for it: those that any member reads.
    pub fn watch(&mut self) -> BTreeSet<Arc<str>> {
        self.watched = self.subscribed();
        self.watched.clone()
    }

    /// The names of the topics that any member reads.
    pub fn subscribed(&self) -> BTreeSet<Arc<str>> {
        let by_regex = self.resolved.values().flat_map(|one| one.topics.iter());
        self.names.keys().chain(by_regex).cloned().collect()
    }

    /// H-8, O-2: whether a commit may be taken.
    pub fn check_commit(&self, event: &Commit) -> Result<(), ErrorCode> {
        if event.generation < 0 && self.members.is_empty() {
            return Ok(());
        }
        let member = self.members.get(&event.member);
        let member = member.ok_or(ErrorCode::UnknownMemberId)?;
        let is_classic = member.metadata.classic.is_some();
        if !event.knows_group_id_not_found && !is_classic {
            return Err(ErrorCode::UnsupportedVersion);
        }
        self.check_commit_epoch(event)
    }

    /// T-14, H-8: whether a commit inside a transaction may be taken. Who names no member is not
    /// checked; a wrong epoch is ILLEGAL_GENERATION, which transactional clients know.
    pub fn check_transaction_commit(&self, event: &Commit) -> Result<(), ErrorCode> {
        let alone = event.member.is_empty() && event.instance.is_none();
        if event.generation < 0 && (alone || self.members.is_empty()) {
            return Ok(());
        }
        self.check_commit_epoch(event).map_err(|error| match error {
            ErrorCode::StaleMemberEpoch => ErrorCode::IllegalGeneration,
            error => error,
        })
    }

    /// H-8: whether a member may ask for offsets at this epoch. Without id and epoch it is an
    /// administrator's question.
    pub fn check_fetch(&self, member: Option<&str>, epoch: i32) -> Result<(), ErrorCode> {
        match member {
            None if epoch < 0 => Ok(()),
            member => self.check_epoch(member.unwrap_or_default(), epoch),
        }
    }

    /// An older epoch than the member's will do if it has held each of these partitions since then
    /// (KIP-1251): it had not heard of the new one yet.
    fn check_commit_epoch(&self, event: &Commit) -> Result<(), ErrorCode> {
        let member = self.members.get(&event.member);
        let member = member.ok_or(ErrorCode::UnknownMemberId)?;
        if member.metadata.classic.is_some() {
            return self.check_epoch(&event.member, event.generation);
        }
        let current = member.current();
        let held = |offset: &CommitOffset| {
            let (topic, index) = (offset.topic_id, offset.partition);
            let since = current.since(PartitionId { topic, index });
            since.is_some_and(|since| since <= event.generation)
        };
        let is_older = event.generation < current.epoch;
        match event.generation == current.epoch || is_older && event.offsets.iter().all(held) {
            true => Ok(()),
            false => Err(ErrorCode::StaleMemberEpoch),
        }
    }

    fn check_epoch(&self, member: &str, epoch: i32) -> Result<(), ErrorCode> {
        let member = self.members.get(member);
        let member = member.ok_or(ErrorCode::UnknownMemberId)?;
        match &member.metadata.classic {
            _ if member.epoch() == epoch => Ok(()),
            Some(_) => Err(ErrorCode::IllegalGeneration),
            None => Err(ErrorCode::StaleMemberEpoch),
        }
    }

    fn epoch(&self) -> i32 {
        self.metadata.map_or(EPOCH_NEW, |metadata| metadata.epoch)
    }

    fn assignment_epoch(&self) -> i32 {
        self.assignment_epoch.unwrap_or(0)
    }

    /// Records that take away all there is of it.
    pub fn tombstones(&self) -> Vec<ConsumerRecord> {
        let mut records = Vec::new();
        for id in self.members.keys() {
            records.push(ConsumerRecord::Current(id.clone(), None));
            records.push(ConsumerRecord::Target(id.clone(), None));
            records.push(ConsumerRecord::Member(id.clone(), None));
        }
        let resolved = self.resolved.keys();
        records.extend(resolved.map(|regex| ConsumerRecord::Regex(regex.clone(), None)));
        if self.assignment_epoch.is_some() {
            records.push(ConsumerRecord::TargetEpoch(None));
        }
        if self.metadata.is_some() {
            records.push(ConsumerRecord::Group(None));
        }
        records
    }
}

/// The regular expression of a member, if it has one.
fn pattern(metadata: &ConsumerMemberMetadata) -> Option<&Arc<str>> {
    metadata.regex.as_ref().filter(|regex| !regex.is_empty())
}

fn count_down(counts: &mut BTreeMap<Arc<str>, usize>, name: &Arc<str>) {
    if let Some(count) = counts.get_mut(name) {
        *count -= 1;
        if *count == 0 {
            counts.remove(name);
        }
    }
}

/// All partitions of an assignment.
fn partitions_of(assignment: &Assignment) -> impl Iterator<Item = PartitionId> + '_ {
    assignment.iter().flat_map(|(topic, indexes)| {
        indexes.iter().map(|index| PartitionId {
            topic: *topic,
            index: *index,
        })
    })
}

impl GroupMachine {
    /// The consumer group of this name, or GROUP_ID_NOT_FOUND.
    pub(super) fn consumer(&self, id: &str) -> Result<&Consumer, ErrorCode> {
        match self.groups.get(id).map(|group| &group.kind) {
            Some(Kind::Consumer(consumer)) => Ok(consumer),
            _ => Err(ErrorCode::GroupIdNotFound),
        }
    }

    fn consumer_mut(&mut self, id: &str) -> Result<&mut Consumer, ErrorCode> {
        match self.groups.get_mut(id).map(|group| &mut group.kind) {
            Some(Kind::Consumer(consumer)) => Ok(consumer),
            _ => Err(ErrorCode::GroupIdNotFound),
        }
    }

    fn consumer_record(&mut self, id: &Arc<str>, record: ConsumerRecord, out: &mut Effects<Self>) {
        let group = id.clone();
        out.record(self, Record::Consumer { group, record });
    }

    /// What an administrator sees of a consumer group.
    ///
    /// # Errors
    /// GROUP_ID_NOT_FOUND if there is none of this name.
    pub(super) fn consumer_description(&self, id: &str) -> Result<ConsumerDescription, ErrorCode> {
        let consumer = self.consumer(id)?;
        let members = consumer.members.iter();
        Ok(ConsumerDescription {
            state: consumer.state(),
            epoch: consumer.epoch(),
            assignment_epoch: consumer.assignment_epoch(),
            assignor: self.consumer_assignor(consumer).name(),
            members: members
                .map(|(id, member)| ConsumerMemberDescription {
                    id: id.clone(),
                    metadata: member.metadata.clone(),
                    epoch: member.epoch(),
                    assigned: member.current().assigned.clone(),
                    target: member.target(),
                })
                .collect(),
        })
    }
}
