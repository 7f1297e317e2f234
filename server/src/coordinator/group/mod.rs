//! Groups and committed offsets: one machine for each partition of
//! `__consumer_offsets`.
//!
//! Hard state, changed by records alone: committed offsets, and each group's metadata at its last
//! complete generation. Soft state: who is joining, sessions, deadlines. A restart keeps the
//! first and begins the second anew.

mod classic;
mod commit;
mod consumer;
mod embedded;
mod event;
mod limits;
mod members;
mod offsets;
mod pending;
mod record;
mod share;
mod timers;
mod topics;
mod transaction;
mod turn;
mod upkeep;

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

use ratel_protocol::ErrorCode;
use ratel_storage::{PartitionId, TopicId};

use self::classic::Classic;
use self::consumer::Consumer;
use self::offsets::{Offsets, Placed};
use self::pending::{Pending, Producers};
use self::record::ConsumerRecord;
use self::share::Share;
use self::timers::Timers;
use self::topics::Topics;
use self::turn::{Answer, Timer, Turn};
use super::{Applied, Effects, LogEnds, Machine, Ticket};
use crate::clock::Timestamp;

pub use consumer::assignor::Assignor;
pub use consumer::{
    Compiled, ConsumerBeat, ConsumerDescription, ConsumerHeartbeat, ConsumerMemberDescription,
    ConsumerSettings, Matches, compile,
};
pub use event::{
    Commit, CommitOffset, DeleteOffsets, DescribedMember, Description, Event, Fetch, FetchedTopic,
    Heartbeat, Join, Joined, JoinedMember, Leave, Listed, Protocol, Reply, Survey, Sync, Synced,
    TransactionCommit,
};
pub use limits::Limits;
pub use record::{
    Assignment, Committed, ConsumerMemberMetadata, GroupMetadata, MemberMetadata, QueueTopic,
    Record, ShareRecord,
};
pub use share::{
    QueueEvent, QueueTopics, ShareBeat, ShareDescription, ShareHeartbeat, ShareMemberDescription,
    ShareQueueList, ShareSettings, TopicNow, partitions_of,
};

/// How long members of groups may be silent, ms, by the group's name.
pub type SessionTimeouts = HashMap<Arc<str>, i64>;

/// What a group asks of the shell.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Action {
    /// Look these topics up, then tell [`Event::Topics`].
    FindTopics(Vec<Arc<str>>),
    /// Hold regular expressions of a consumer group against all topics, then tell
    /// [`Event::Matched`].
    MatchTopics {
        /// The consumer group.
        group: Arc<str>,
        /// The number of this round: the group hears only of its latest.
        round: u64,
        /// Expressions, and what they were made into.
        regexes: Vec<(Arc<str>, Compiled)>,
    },
    /// Make the queues of these partitions, where they are not there, then tell
    /// [`QueueEvent::Initialized`] or [`QueueEvent::Failed`]. Issued again after a restart if the
    /// outcome is not known.
    InitializeQueues {
        /// The share group.
        group: Arc<str>,
        /// Topics and their partitions.
        topics: QueueTopics,
    },
    /// Delete all queues of a group, then tell [`QueueEvent::Gone`] or [`QueueEvent::Failed`].
    /// Issued again after a restart if the outcome is not known.
    DeleteQueues {
        /// The share group.
        group: Arc<str>,
    },
}

/// The protocols that a group can live by.
#[derive(Debug, Clone)]
enum Kind {
    /// Members join and sync; a leader among them assigns. Also a group without members that
    /// only stores offsets.
    Classic(Classic),
    /// Members send heartbeats; the group assigns, and each partition has one owner.
    Consumer(Consumer),
    /// Members send heartbeats; the group assigns, and members share partitions.
    Share(Share),
}

/// A group.
#[derive(Debug, Clone)]
struct Group {
    /// Soft state.
    kind: Kind,
    /// Hard state: the last complete generation.
    metadata: Option<Arc<GroupMetadata>>,
    /// Hard state: what is committed.
    offsets: Offsets,
    /// Hard state: what is committed in transactions that are open.
    pending: Pending,
}

impl Default for Group {
    fn default() -> Self {
        Self {
            kind: Kind::Classic(Classic::default()),
            metadata: None,
            offsets: Offsets::default(),
            pending: Pending::default(),
        }
    }
}

impl Group {
    fn classic(&self) -> Option<&Classic> {
        match &self.kind {
            Kind::Classic(classic) => Some(classic),
            Kind::Consumer(_) | Kind::Share(_) => None,
        }
    }

    fn classic_mut(&mut self) -> Option<&mut Classic> {
        match &mut self.kind {
            Kind::Classic(classic) => Some(classic),
            Kind::Consumer(_) | Kind::Share(_) => None,
        }
    }

    /// Nothing written down and nobody in it.
    fn is_gone(&self) -> bool {
        self.metadata.is_none()
            && self.offsets.is_empty()
            && self.pending.is_empty()
            && match &self.kind {
                Kind::Classic(classic) => classic.is_vacant(),
                Kind::Consumer(consumer) => consumer.is_gone(),
                Kind::Share(share) => share.is_gone(),
            }
    }

    /// Kafka's names of its state and kind.
    fn names(&self) -> (&'static str, &'static str) {
        match &self.kind {
            Kind::Classic(classic) => (classic.state().name(), "classic"),
            Kind::Consumer(consumer) => (consumer.state(), "consumer"),
            Kind::Share(share) => (share.state(), "share"),
        }
    }

    fn protocol_type(&self) -> Arc<str> {
        match &self.kind {
            Kind::Classic(classic) => classic.protocol_type(),
            Kind::Consumer(_) => "consumer".into(),
            Kind::Share(_) => "share".into(),
        }
    }

    fn len(&self) -> usize {
        match &self.kind {
            Kind::Classic(classic) => classic.members().len(),
            Kind::Consumer(consumer) => consumer.len(),
            Kind::Share(share) => share.len(),
        }
    }

    /// Whether members read this topic.
    fn is_subscribed(&self, topic: &str) -> bool {
        match &self.kind {
            Kind::Classic(classic) => classic.is_subscribed(topic),
            Kind::Consumer(consumer) => consumer.is_subscribed(topic),
            Kind::Share(_) => false,
        }
    }

    /// Take in a record of a consumer group. A group of another kind is overwritten if there is
    /// nobody in it, and comes back, empty, when the last record is taken away.
    fn apply_consumer(&mut self, record: &ConsumerRecord) {
        let is_vacant = match &self.kind {
            Kind::Classic(classic) => self.metadata.is_none() && classic.is_vacant(),
            Kind::Consumer(_) => false,
            Kind::Share(share) => share.is_gone(),
        };
        if is_vacant && !record.is_tombstone() {
            self.kind = Kind::Consumer(Consumer::default());
        }
        if let Kind::Consumer(consumer) = &mut self.kind {
            consumer.apply(record);
            if record.is_tombstone() && consumer.is_gone() {
                self.kind = Kind::Classic(Classic::default());
            }
        }
    }

    /// Take in a record of a share group. A classic group that is there is not overwritten.
    fn apply_share(&mut self, record: &ShareRecord) {
        if self.is_gone() {
            self.kind = Kind::Share(Share::default());
        }
        if let Kind::Share(share) = &mut self.kind {
            share.apply(record);
        }
    }
}

/// The groups of one shard.
pub struct GroupMachine {
    limits: Arc<Limits>,
    groups: BTreeMap<Arc<str>, Group>,
    timers: Timers<Timer>,
    /// Whose transactions are open, and who may write.
    producers: Producers,
    /// Topics that are deleted while offsets of theirs are still here.
    gone: BTreeSet<TopicId>,
    /// The group at which the next round of the search for expired offsets goes on.
    expire_from: Option<Arc<str>>,
    /// The topics that share and consumer groups read.
    topics: Topics,
}

impl GroupMachine {
    /// A shard without groups.
    pub fn new(limits: Arc<Limits>) -> Self {
        Self {
            limits,
            groups: BTreeMap::new(),
            timers: Timers::default(),
            producers: Producers::default(),
            gone: BTreeSet::new(),
            expire_from: None,
            topics: Topics::default(),
        }
    }

    /// Visit every partition that an offset is committed for, as often as there are offsets.
    pub fn each_partition(&self, mut visit: impl FnMut(PartitionId)) {
        for group in self.groups.values() {
            let pending = group.pending.iter();
            let pending = pending.map(|(_, _, index, placed)| (placed.committed.topic, index));
            let committed = group.offsets.iter();
            let committed = committed.map(|(_, index, committed)| (committed.topic, index));
            for (topic, index) in committed.chain(pending) {
                visit(PartitionId { topic, index });
            }
        }
    }

    /// The names of the topics that share and consumer groups speak of, some more than once.
    pub fn topic_names(&self) -> impl Iterator<Item = Arc<str>> {
        self.groups.values().flat_map(|group| {
            let (share, consumer) = match &group.kind {
                Kind::Share(share) => (Some(share.topic_names()), None),
                Kind::Consumer(consumer) => (None, Some(consumer.subscribed())),
                Kind::Classic(_) => (None, None),
            };
            let share = share.into_iter().flatten();
            share.chain(consumer.into_iter().flatten())
        })
    }

    /// The groups whose members' sessions are as long as the group says, and whether each is a
    /// share group.
    pub fn sessions(&self) -> impl Iterator<Item = (&Arc<str>, bool)> {
        self.groups
            .iter()
            .filter_map(|(id, group)| match group.kind {
                Kind::Classic(_) => None,
                Kind::Consumer(_) => Some((id, false)),
                Kind::Share(_) => Some((id, true)),
            })
    }

    /// Let one classic group do something, write down what it says must be, then send its answers.
    fn turn<T>(
        &mut self,
        now: Timestamp,
        id: &Arc<str>,
        out: &mut Effects<Self>,
        act: impl FnOnce(&mut Classic, &mut Turn<'_>) -> T,
    ) -> Option<T> {
        let group = self.groups.get_mut(id)?;
        let mut turn = Turn::new(now, id, &self.limits, &mut self.timers);
        let classic = group.classic_mut()?;
        let result = act(classic, &mut turn);
        let (answers, persist) = (turn.answers, turn.persist);
        if persist {
            let value = Some(Arc::new(classic.metadata()));
            let group = id.clone();
            out.record(self, Record::Group { group, value });
        }
        send(answers, out);
        self.forget_if_gone(id);
        Some(result)
    }

    /// [`Self::turn`]; a group that does not exist, or is not classic, is refused.
    fn turn_or_refuse(
        &mut self,
        now: Timestamp,
        ticket: Ticket,
        id: &Arc<str>,
        out: &mut Effects<Self>,
        act: impl FnOnce(&mut Classic, &mut Turn<'_>),
    ) {
        if id.is_empty() {
            out.refuse(ticket, ErrorCode::InvalidGroupId);
        } else if self.turn(now, id, out, act).is_none() {
            out.refuse(ticket, ErrorCode::UnknownMemberId);
        }
    }

    fn forget_if_gone(&mut self, id: &Arc<str>) {
        if self.groups.get(id).is_some_and(Group::is_gone) {
            self.groups.remove(id);
        }
    }

    /// Make room for a group that is not there yet.
    fn make(&mut self, id: &Arc<str>) -> Result<(), ErrorCode> {
        if self.groups.contains_key(id) {
            Ok(())
        } else if id.len() > limits::STRING_BYTES_MAX {
            Err(ErrorCode::InvalidGroupId)
        } else if self.groups.len() >= self.limits.groups_max {
            Err(ErrorCode::GroupMaxSizeReached)
        } else {
            self.groups.insert(id.clone(), Group::default());
            Ok(())
        }
    }

    /// A group of consumers that speak the new protocol, and maybe the classic one, too.
    fn is_mixed(&self, id: &str) -> bool {
        self.consumer(id).is_ok_and(|consumer| !consumer.is_empty())
    }

    fn join(&mut self, now: Timestamp, ticket: Ticket, event: Join, out: &mut Effects<Self>) {
        if let Err(error) = self.check_join(&event) {
            return out.refuse(ticket, error);
        }
        match self.groups.get(&event.group).map(|group| &group.kind) {
            // Nobody is in it: it becomes a classic group again, and keeps its offsets.
            Some(Kind::Consumer(consumer)) if consumer.is_empty() => {
                self.consumer_end(&event.group, out);
            }
            Some(Kind::Consumer(_)) => return self.classic_member_join(now, ticket, event, out),
            Some(Kind::Share(_)) => {
                return out.refuse(ticket, ErrorCode::InconsistentGroupProtocol);
            }
            Some(Kind::Classic(_)) | None => {}
        }
        // Only someone new makes a group (an id from elsewhere is unknown here).
        if event.member.is_empty()
            && let Err(error) = self.make(&event.group)
        {
            return out.refuse(ticket, error);
        }
        let id = event.group.clone();
        self.turn_or_refuse(now, ticket, &id, out, |group, turn| {
            group.join(turn, ticket, event);
        });
    }

    /// What can be said of a JoinGroup without looking at the group (G-2).
    fn check_join(&self, event: &Join) -> Result<(), ErrorCode> {
        let limits = &self.limits;
        let sessions = limits.session_timeout_min_ms..=limits.session_timeout_max_ms;
        if event.group.is_empty() {
            return Err(ErrorCode::InvalidGroupId);
        }
        if !sessions.contains(&event.session_timeout_ms) {
            return Err(ErrorCode::InvalidSessionTimeout);
        }
        let names = event.protocols.iter().map(|protocol| &protocol.name);
        let mut strings = names
            .chain(&event.instance)
            .chain([&event.protocol_type, &event.client_id]);
        // A member's id is its instance and a uuid.
        if strings.any(|text| text.len() > limits::STRING_BYTES_MAX - 64)
            || event.protocols.len() > limits::PROTOCOLS_MAX
        {
            return Err(ErrorCode::InvalidRequest);
        }
        let bytes: usize = event
            .protocols
            .iter()
            .map(|protocol| protocol.name.len() + protocol.metadata.len())
            .sum();
        if bytes > limits.member_bytes_max {
            return Err(ErrorCode::MessageTooLarge);
        }
        Ok(())
    }

    fn describe(&self, ticket: Ticket, id: &str, out: &mut Effects<Self>) {
        match self.groups.get(id).and_then(Group::classic) {
            Some(classic) => out.reply(ticket, Reply::Described(classic.describe())),
            None => out.refuse(ticket, ErrorCode::GroupIdNotFound),
        }
    }

    fn describe_share(&self, ticket: Ticket, id: &str, out: &mut Effects<Self>) {
        match self.groups.get(id).map(|group| &group.kind) {
            Some(Kind::Share(share)) => out.reply(ticket, Reply::ShareDescribed(share.describe())),
            _ => out.refuse(ticket, ErrorCode::GroupIdNotFound),
        }
    }

    fn list(&self) -> Vec<Listed> {
        self.groups
            .iter()
            .map(|(id, group)| {
                let (state, kind) = group.names();
                Listed {
                    group: id.clone(),
                    protocol_type: group.protocol_type(),
                    state,
                    kind,
                }
            })
            .collect()
    }

    fn survey(&self) -> Vec<Survey> {
        self.groups
            .iter()
            .map(|(id, group)| Survey {
                group: id.clone(),
                kind: group.names().1,
                state: group.names().0,
                members: group.len(),
                offsets: group
                    .offsets
                    .iter()
                    .map(|(topic, partition, committed)| {
                        (topic.clone(), committed.topic, partition, committed.offset)
                    })
                    .collect(),
            })
            .collect()
    }

    /// O-7: only a group without members goes, with all it has.
    fn delete_group(
        &mut self,
        now: Timestamp,
        ticket: Ticket,
        id: &Arc<str>,
        out: &mut Effects<Self>,
    ) {
        let Some(group) = self.groups.get_mut(id) else {
            return out.refuse(ticket, ErrorCode::GroupIdNotFound);
        };
        let mut turn = Turn::new(now, id, &self.limits, &mut self.timers);
        match &mut group.kind {
            Kind::Classic(classic) if classic.state() == classic::State::Empty => {
                classic.forget_pending(&mut turn);
            }
            Kind::Consumer(consumer) if consumer.is_empty() => {}
            Kind::Classic(_) | Kind::Consumer(_) => {
                return out.refuse(ticket, ErrorCode::NonEmptyGroup);
            }
            Kind::Share(_) => return self.share_delete(ticket, id, out),
        }
        let mut tombstones = group.offsets.tombstones(id, usize::MAX, |_, _, _| true);
        tombstones.extend(group.pending_tombstones(id, usize::MAX, |_| true));
        for record in tombstones {
            out.record(self, record);
        }
        self.consumer_end(id, out);
        self.end_group(id, out);
        out.reply(ticket, Reply::Done);
    }

    /// Write down that a group is no more, if it was ever written down.
    fn end_group(&mut self, id: &Arc<str>, out: &mut Effects<Self>) {
        if self
            .groups
            .get(id)
            .is_some_and(|group| group.metadata.is_some())
        {
            let (group, value) = (id.clone(), None);
            out.record(self, Record::Group { group, value });
        }
        self.forget_if_gone(id);
    }
}

fn send(answers: Vec<Answer>, out: &mut Effects<GroupMachine>) {
    out.replies.extend(answers);
}

impl Machine for GroupMachine {
    type Event = Event;
    type Record = Record;
    type Reply = Reply;
    type Action = Action;

    fn handle(&mut self, now: Timestamp, ticket: Ticket, event: Event, out: &mut Effects<Self>) {
        match event {
            Event::Join(event) => self.join(now, ticket, event, out),
            Event::Sync(event) if self.is_mixed(&event.group) => {
                self.classic_member_sync(now, ticket, &event, out);
            }
            Event::Sync(event) => {
                let id = event.group.clone();
                self.turn_or_refuse(now, ticket, &id, out, |group, turn| {
                    group.sync(turn, ticket, event);
                });
            }
            Event::Heartbeat(event) if self.is_mixed(&event.group) => {
                self.classic_member_heartbeat(now, ticket, &event, out);
            }
            Event::Heartbeat(event) => {
                self.turn_or_refuse(now, ticket, &event.group, out, |group, turn| {
                    group.heartbeat(turn, ticket, &event);
                });
            }
            Event::Leave(event) if self.consumer(&event.group).is_ok() => {
                self.consumer_leave_many(now, ticket, &event, out);
            }
            Event::Leave(event) => {
                self.turn_or_refuse(now, ticket, &event.group, out, |group, turn| {
                    group.leave(turn, ticket, &event);
                });
            }
            Event::Commit(event) => self.commit(now, ticket, event, out),
            Event::LookAtTransaction(producer) => self.look_at_transaction(ticket, producer, out),
            Event::TransactionCommit(event) => self.transaction_commit(now, ticket, event, out),
            Event::Marker(marker) => self.end_transaction(ticket, &marker, out),
            Event::Fetch(event) => match self.fetch(&event) {
                Ok(fetched) => out.reply(ticket, Reply::Fetched(fetched)),
                Err(error) => out.refuse(ticket, error),
            },
            Event::DeleteOffsets(event) => self.delete_offsets(ticket, &event, out),
            Event::Describe(id) => self.describe(ticket, &id, out),
            Event::DeleteGroup(id) => self.delete_group(now, ticket, &id, out),
            Event::List => out.reply(ticket, Reply::Listed(self.list())),
            Event::Survey => out.reply(ticket, Reply::Surveyed(self.survey())),
            Event::TopicDeleted(topic) => {
                self.gone.insert(topic);
                self.drop_gone(now, out);
                self.share_topic_deleted(topic, out);
                out.reply(ticket, Reply::Done);
            }
            Event::ShareHeartbeat(event) => self.share_heartbeat(now, ticket, event, out),
            Event::DescribeShare(id) => self.describe_share(ticket, &id, out),
            Event::Queues(id, event) => self.share_queues(now, ticket, &id, event, out),
            Event::ConsumerHeartbeat(event) => self.consumer_heartbeat(now, ticket, event, out),
            Event::DescribeConsumer(id) => match self.consumer_description(&id) {
                Ok(description) => out.reply(ticket, Reply::ConsumerDescribed(description)),
                Err(error) => out.refuse(ticket, error),
            },
            Event::Matched(event) => self.consumer_matched(now, event, out),
            Event::TopicChanged(topic) => {
                self.consumer_topic(now, &topic, out);
                self.topics_news(&[topic], None, out);
            }
            Event::Topics(topics) => self.topics_news(&topics, None, out),
        }
        self.arm_expiry(now);
    }

    fn handle_timeout(&mut self, now: Timestamp, out: &mut Effects<Self>) {
        while let Some(timer) = self.timers.pop_due(now.monotonic_ms) {
            match timer {
                Timer::Join(id) => {
                    self.turn(now, &id, out, |group, turn| group.join_timeout(turn));
                }
                Timer::Sync(id) => {
                    self.turn(now, &id, out, |group, turn| group.sync_timeout(turn));
                }
                Timer::Queues(id) => self.share_retry(&id, out),
                Timer::Member(id, member) => {
                    self.share_member_timeout(&id, &member, out);
                    self.consumer_member_timeout(now, &id, &member, out);
                    self.turn(now, &id, out, |group, turn| {
                        group.member_timeout(turn, &member);
                    });
                }
                Timer::Rebalance(id, member) => {
                    self.consumer_rebalance_timeout(now, &id, &member, out);
                }
                Timer::MemberJoin(id, member) | Timer::MemberSync(id, member) => {
                    self.classic_member_timeout(now, &id, &member, out);
                }
                Timer::Regex(id) => self.consumer_resolve(now, &id, out),
                Timer::Gone => self.drop_gone(now, out),
                Timer::Expire => self.expire(now, out),
            }
        }
        self.arm_expiry(now);
    }

    fn next_timeout(&self) -> Option<i64> {
        self.timers.next()
    }

    fn apply(&mut self, at: Applied, record: &Record) {
        match record {
            Record::Group { group, value } => {
                if let Some(metadata) = value {
                    let group = self.groups.entry(group.clone()).or_default();
                    group.metadata = Some(metadata.clone());
                } else if let Some(there) = self.groups.get_mut(group) {
                    there.metadata = None;
                    self.forget_if_gone(group);
                }
            }
            Record::Consumer { group, record } => {
                let there = self.groups.entry(group.clone()).or_default();
                there.apply_consumer(record);
                self.forget_if_gone(group);
            }
            Record::Share { group, record } => {
                let there = self.groups.entry(group.clone()).or_default();
                there.apply_share(record);
                self.forget_if_gone(group);
            }
            Record::Offset {
                group,
                topic,
                partition,
                value: Some(value),
            } => {
                let there = self.groups.entry(group.clone()).or_default();
                let placed = Placed::new(value, at.offset);
                there.offsets.apply(topic, *partition, Some(placed));
            }
            Record::Offset {
                group,
                topic,
                partition,
                value: None,
            } => {
                if let Some(there) = self.groups.get_mut(group) {
                    there.offsets.apply(topic, *partition, None);
                    there.pending.clear(topic, *partition);
                    self.forget_if_gone(group);
                }
            }
            Record::Pending {
                producer,
                group,
                topic,
                partition,
                value,
            } => {
                self.producers.opened(*producer, group);
                let there = self.groups.entry(group.clone()).or_default();
                let placed = Placed::new(value, at.offset);
                there.pending.put(*producer, topic, *partition, placed);
            }
            Record::Marker(marker) => self.apply_marker(at.offset, marker),
        }
    }

    fn start(&mut self, now: Timestamp, ends: &LogEnds, out: &mut Effects<Self>) {
        let limits = self.limits.clone();
        let mut answers = Vec::new();
        for (id, group) in &mut self.groups {
            let Kind::Classic(classic) = &mut group.kind else {
                continue;
            };
            let mut rebalances = false;
            if let Some(metadata) = &group.metadata {
                *classic = Classic::load(metadata);
                rebalances = metadata.leader.is_none();
            }
            let mut turn = Turn::new(now, id, &limits, &mut self.timers);
            classic.go_on(&mut turn, rebalances);
            answers.append(&mut turn.answers);
        }
        send(answers, out);
        self.producers.start(&ends.producers, out.next_offset());
        self.cut_offsets(ends, out);
        self.drop_gone(now, out);
        self.topics_start(&ends.topics);
        self.share_start(now, ends, out);
        self.consumer_start(now, &ends.sessions, out);
        self.arm_expiry(now);
    }

    fn snapshot(&self, out: &mut Vec<Record>) {
        for (id, group) in &self.groups {
            if let Some(metadata) = &group.metadata {
                out.push(Record::Group {
                    group: id.clone(),
                    value: Some(metadata.clone()),
                });
            }
            match &group.kind {
                Kind::Classic(_) => {}
                Kind::Consumer(consumer) => consumer.snapshot(id, out),
                Kind::Share(share) => share.snapshot(id, out),
            }
            group.snapshot_offsets(id, out);
        }
    }
}

#[cfg(test)]
mod tests;
