//! A classic group with members becomes a consumer group, because somebody joins in the new
//! protocol (H-10).
//!
//! Its members are taken over with what they hold, at the generation as their epoch, and go on in
//! the protocol they speak (`classic_member/`). Who joins raises the epoch, so all of them join
//! anew and are given what the group decides.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

use ratel_protocol::ErrorCode;
use ratel_storage::TopicId;

use super::heartbeat::JOIN;
use super::known::{Known, Stop};
use super::{
    Assignment, Consumer, ConsumerCurrent, ConsumerGroupMetadata, ConsumerHeartbeat,
    ConsumerMemberMetadata, ConsumerRecord, MemberState, partitions_of,
};
use crate::clock::Timestamp;
use crate::config::MigrationPolicy;
use crate::coordinator::Effects;
use crate::coordinator::group::classic::{Classic, State};
use crate::coordinator::group::embedded::{assignment, subscription};
use crate::coordinator::group::members::Member;
use crate::coordinator::group::record::{ClassicMember, GroupMetadata, Record};
use crate::coordinator::group::turn::{Timer, Turn};
use crate::coordinator::group::{GroupMachine, Kind, send};

/// The consumer group that a classic group becomes.
pub(super) struct Upgrade {
    epoch: i32,
    /// What is read is not shared out as it is to be.
    pub(super) rebalances: bool,
    members: Vec<Carried>,
}

/// A member that is taken over.
struct Carried {
    id: Arc<str>,
    metadata: Arc<ConsumerMemberMetadata>,
    assigned: Arc<Assignment>,
    session_timeout_ms: i32,
}

impl Upgrade {
    /// The group, before anything is written down.
    pub(super) fn consumer(&self) -> Consumer {
        let mut consumer = Consumer::default();
        for record in self.members().chain(self.places(0)) {
            consumer.apply(&record);
        }
        consumer
    }

    /// Who the members are.
    fn members(&self) -> impl Iterator<Item = ConsumerRecord> {
        let members = self.members.iter();
        members.map(|one| ConsumerRecord::Member(one.id.clone(), Some(one.metadata.clone())))
    }

    /// The group's epochs, and what its members hold and are to hold.
    fn places(&self, metadata_hash: i64) -> impl Iterator<Item = ConsumerRecord> {
        let epoch = self.epoch;
        let targets = self.members.iter();
        let targets =
            targets.map(|one| ConsumerRecord::Target(one.id.clone(), Some(one.assigned.clone())));
        let currents = self.members.iter().map(move |one| {
            let since = partitions_of(&one.assigned).map(|partition| (partition, epoch));
            let current = ConsumerCurrent {
                epoch,
                previous_epoch: epoch,
                state: MemberState::Stable,
                assigned: one.assigned.clone(),
                revoking: Arc::default(),
                since: Arc::new(since.collect()),
            };
            ConsumerRecord::Current(one.id.clone(), Some(Arc::new(current)))
        });
        let group = ConsumerGroupMetadata {
            epoch,
            metadata_hash,
        };
        [ConsumerRecord::Group(Some(group))]
            .into_iter()
            .chain(targets)
            .chain([ConsumerRecord::TargetEpoch(Some(epoch))])
            .chain(currents)
    }
}

impl GroupMachine {
    /// What becomes of a classic group with members if this member may join; none if there is no
    /// such group.
    pub(super) fn consumer_upgrade(
        &self,
        event: &ConsumerHeartbeat,
    ) -> Result<Option<Upgrade>, Stop> {
        let Some(group) = self.groups.get(&event.group) else {
            return Ok(None);
        };
        let Kind::Classic(classic) = &group.kind else {
            return Ok(None);
        };
        if event.epoch != JOIN || classic.state() == State::Empty {
            return Ok(None);
        }
        let limits = &self.limits.consumer;
        let refused = Stop::Refused(ErrorCode::GroupIdNotFound);
        let allowed = match limits.migration {
            MigrationPolicy::Bidirectional | MigrationPolicy::Upgrade => true,
            MigrationPolicy::Downgrade | MigrationPolicy::Disabled => false,
        };
        if !allowed
            || !classic.uses_consumer_protocol()
            || classic.members().len() > limits.members_max
        {
            return Err(refused);
        }
        let mut known = Known::new(&self.topics, &event.found);
        let carried = carry(classic, group.metadata.as_deref(), &mut known);
        let upgrade = carried.map_err(|_| refused)?;
        known.done()?;
        Ok(Some(upgrade))
    }

    /// Make the group that is not there, or is of the classic kind: empty, or to be upgraded.
    pub(super) fn consumer_open(
        &mut self,
        now: Timestamp,
        event: &ConsumerHeartbeat,
        upgrade: Option<Upgrade>,
        out: &mut Effects<Self>,
    ) -> Result<(), ErrorCode> {
        let id = &event.group;
        if self.consumer(id).is_ok() {
            return Ok(());
        }
        self.make(id)?;
        let mut was_written = false;
        if let Some(group) = self.groups.get_mut(id)
            && let Kind::Classic(classic) = &mut group.kind
        {
            let mut turn = Turn::new(now, id, &self.limits, &mut self.timers);
            classic.hand_over(&mut turn);
            send(turn.answers, out);
            was_written = group.metadata.is_some();
        }
        if was_written {
            let (group, value) = (id.clone(), None);
            out.record(self, Record::Group { group, value });
        }
        self.make(id)?;
        if let Some(group) = self.groups.get_mut(id) {
            group.kind = Kind::Consumer(Consumer::default());
        }
        if let Some(upgrade) = upgrade {
            self.consumer_take_over(now, event, &upgrade, out);
        }
        Ok(())
    }

    /// Write down the members of a classic group as those of a consumer group.
    fn consumer_take_over(
        &mut self,
        now: Timestamp,
        event: &ConsumerHeartbeat,
        upgrade: &Upgrade,
        out: &mut Effects<Self>,
    ) {
        let id = &event.group;
        for record in upgrade.members() {
            self.consumer_record(id, record, out);
        }
        self.consumer_watch(id, &event.found, out);
        let watched = self.consumer(id).map(|consumer| &consumer.watched);
        let hash = watched.map_or(0, |watched| self.topics.hash(watched));
        for record in upgrade.places(hash) {
            self.consumer_record(id, record, out);
        }
        for member in &upgrade.members {
            let timer = Timer::Member(id.clone(), member.id.clone());
            let timeout_ms = i64::from(member.session_timeout_ms);
            let at_ms = now.monotonic_ms.saturating_add(timeout_ms);
            self.timers.set(timer, at_ms);
        }
    }
}

/// A classic group with its members as a consumer group.
///
/// While the group rebalances, they may still work on what they were given last: that is what was
/// written down, whatever this rebalance has done to it so far.
///
/// # Errors
/// A subscription or an assignment that cannot be understood.
fn carry(
    classic: &Classic,
    last: Option<&GroupMetadata>,
    known: &mut Known<'_>,
) -> Result<Upgrade, String> {
    let last = last.iter().flat_map(|metadata| &metadata.members);
    let last: Vec<_> = last.collect();
    let by_id: HashMap<_, _> = last.iter().map(|one| (&one.id, &one.assignment)).collect();
    let named = last
        .iter()
        .filter_map(|one| Some((one.instance.as_ref()?, &one.assignment)));
    let by_instance: HashMap<_, _> = named.collect();
    let mut given = BTreeSet::new();
    let mut reads = BTreeMap::new();
    let mut members = Vec::with_capacity(classic.members().len());
    for member in classic.members().iter() {
        let instance = member.instance.as_ref();
        let bytes = by_id.get(&member.id).copied();
        let bytes = bytes.or_else(|| by_instance.get(instance?).copied());
        let mut assigned = Assignment::new();
        for (topic, partitions) in assignment::parse(bytes.map_or(&[], |bytes| &bytes[..]))? {
            let Some((topic, _)) = known.topic(topic) else {
                continue;
            };
            // A leader that gave a partition to two members was wrong about one of them.
            let partitions = partitions.into_iter();
            let partitions = partitions.filter(|index| given.insert((topic, *index)));
            assigned.entry(topic).or_default().extend(partitions);
        }
        members.push(Carried {
            id: member.id.clone(),
            metadata: Arc::new(metadata(member, known, &mut reads)?),
            assigned: Arc::new(in_order(assigned)),
            session_timeout_ms: member.session_timeout_ms,
        });
    }
    let whole: BTreeSet<_> = reads
        .into_iter()
        .flat_map(|(topic, count)| (0..count).map(move |index| (topic, index)))
        .collect();
    Ok(Upgrade {
        epoch: classic.generation(),
        rebalances: classic.state() != State::Stable || given != whole,
        members,
    })
}

/// Who a classic member is, with what it reads of what exists. Its protocols tell the same of that.
fn metadata(
    member: &Member,
    known: &mut Known<'_>,
    reads: &mut BTreeMap<TopicId, i32>,
) -> Result<ConsumerMemberMetadata, String> {
    let bytes = member
        .protocols
        .first()
        .map(|protocol| &protocol.metadata[..]);
    let subscription = subscription::parse(bytes.unwrap_or_default())?;
    for topic in &subscription.topics {
        reads.extend(known.topic(topic));
    }
    let topics: BTreeSet<Arc<str>> = subscription.topics.into_iter().map(Arc::from).collect();
    Ok(ConsumerMemberMetadata {
        instance: member.instance.clone(),
        rack: subscription.rack.map(Arc::from),
        client_id: member.client_id.clone(),
        client_host: member.client_host.clone(),
        topics: topics.into_iter().collect(),
        regex: Some("".into()),
        rebalance_timeout_ms: member.rebalance_timeout_ms,
        assignor: None,
        classic: Some(ClassicMember {
            session_timeout_ms: member.session_timeout_ms,
            protocols: member.protocols.clone(),
        }),
    })
}

/// An assignment as it is kept: each list in ascending order, and none empty.
pub(super) fn in_order(mut assignment: Assignment) -> Assignment {
    for partitions in assignment.values_mut() {
        partitions.sort_unstable();
        partitions.dedup();
    }
    assignment.retain(|_, partitions| !partitions.is_empty());
    assignment
}
