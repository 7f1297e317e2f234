//! A consumer group whose last member of the new protocol goes becomes a classic group (H-10).
//!
//! The members that stay speak the classic protocol already, and are written down with what they
//! hold. They share it out anew, unless the one that went is back under the same name, reads the
//! same, and everybody holds what it is to hold.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use bytes::Bytes;
use ratel_protocol::ErrorCode;
use ratel_storage::TopicId;

use super::{Consumer, Member, MemberState};
use crate::clock::Timestamp;
use crate::config::MigrationPolicy;
use crate::coordinator::group::classic::Classic;
use crate::coordinator::group::embedded::assignment;
use crate::coordinator::group::event::Join;
use crate::coordinator::group::members::{self, Members};
use crate::coordinator::group::record::{Assignment, Record};
use crate::coordinator::group::turn::Turn;
use crate::coordinator::group::{GroupMachine, Kind, send};
use crate::coordinator::{Effects, Ticket};

/// Who makes a consumer group a classic one.
pub(super) enum Farewell<'a> {
    /// These members go.
    Leave(&'a BTreeSet<&'a Arc<str>>),
    /// This static member comes back and speaks the classic protocol from now on.
    Return(&'a Arc<str>, &'a Join),
}

impl Farewell<'_> {
    /// Whether it is this member's.
    fn is_of(&self, id: &Arc<str>) -> bool {
        match self {
            Self::Leave(gone) => gone.contains(id),
            Self::Return(back, _) => *back == id,
        }
    }
}

impl GroupMachine {
    /// The members of the classic group that a consumer group becomes with a farewell; none if it
    /// stays what it is.
    pub(super) fn consumer_downgrade(
        &self,
        consumer: &Consumer,
        farewell: &Farewell<'_>,
    ) -> Option<Members> {
        match self.limits.consumer.migration {
            MigrationPolicy::Bidirectional | MigrationPolicy::Downgrade => {}
            MigrationPolicy::Upgrade | MigrationPolicy::Disabled => return None,
        }
        // One that speaks the new protocol and stays keeps the kind of the group. Groups of a
        // thousand lose their members one by one: none is copied before that is known.
        let mut staying = consumer
            .members
            .iter()
            .filter(|(id, _)| !farewell.is_of(id));
        if staying.any(|(_, member)| member.metadata.classic.is_none()) {
            return None;
        }
        let mut members = Members::default();
        for (id, member) in &consumer.members {
            match farewell {
                Farewell::Return(back, join) if *back == id => {
                    members.insert(returning(id, member, join));
                }
                Farewell::Leave(gone) if gone.contains(id) => {}
                Farewell::Leave(_) | Farewell::Return(..) => members.insert(carried(id, member)?),
            }
        }
        if members.is_empty() || members.len() > self.limits.members_max {
            return None;
        }
        let protocol = members.choose_protocol()?;
        let names = self.consumer_names(consumer);
        let assignments: Vec<_> = members
            .iter()
            .map(|member| {
                let held = consumer.members.get(&member.id).map(Member::held);
                let metadata = member.metadata(&protocol);
                let held = embed(&metadata, &held.unwrap_or_default(), &names);
                (member.id.clone(), held)
            })
            .collect();
        members.assign(&assignments);
        let bytes = members.iter().map(|one| one.record_bytes(&protocol));
        (bytes.sum::<usize>() <= self.limits.group_bytes_max).then_some(members)
    }

    /// Write down that a consumer group is a classic one from now on. If it `rebalances`, it is
    /// written without a leader, so that it does so after a restart, too.
    pub(super) fn consumer_become_classic(
        &mut self,
        now: Timestamp,
        id: &Arc<str>,
        members: Members,
        rebalances: bool,
        out: &mut Effects<Self>,
    ) {
        let Ok(consumer) = self.consumer(id) else {
            return;
        };
        let mut classic = Classic::take_over(members, consumer.epoch(), now.wall_ms);
        let before: Vec<_> = consumer.members.keys().cloned().collect();
        for member in &before {
            self.consumer_release(id, member);
        }
        self.consumer_end(id, out);
        let mut metadata = classic.metadata();
        metadata.leader = metadata.leader.filter(|_| !rebalances);
        let (group, value) = (id.clone(), Some(Arc::new(metadata)));
        out.record(self, Record::Group { group, value });
        let mut turn = Turn::new(now, id, &self.limits, &mut self.timers);
        classic.go_on(&mut turn, rebalances);
        send(turn.answers, out);
        if let Some(group) = self.groups.get_mut(id) {
            group.kind = Kind::Classic(classic);
        }
    }

    /// If the last member of the new protocol is back under its name and speaks the classic one,
    /// it has joined a classic group. Whether that is so.
    pub(super) fn consumer_return(
        &mut self,
        now: Timestamp,
        ticket: Ticket,
        event: &Join,
        out: &mut Effects<Self>,
    ) -> Result<bool, ErrorCode> {
        let id = &event.group;
        let consumer = self.consumer(id)?;
        let owner = event.instance.as_ref();
        let owner = owner.and_then(|instance| consumer.instances.get(instance));
        let Some((owner, member)) = owner.and_then(|id| consumer.members.get_key_value(id)) else {
            return Ok(false);
        };
        if member.metadata.classic.is_some() {
            return Ok(false);
        }
        let farewell = Farewell::Return(owner, event);
        let Some(members) = self.consumer_downgrade(consumer, &farewell) else {
            return Ok(false);
        };
        let rebalances = !consumer.is_settled_with(owner) || !reads_the_same(member, event);
        self.consumer_become_classic(now, id, members, rebalances, out);
        self.turn(now, id, out, |classic, turn| {
            classic.join(turn, ticket, event.clone());
        });
        Ok(true)
    }

    /// The names of the topics that a group reads.
    pub(super) fn consumer_names<'a>(
        &self,
        consumer: &'a Consumer,
    ) -> BTreeMap<TopicId, &'a Arc<str>> {
        let names = consumer.watched.iter();
        names
            .filter_map(|name| Some((self.topics.get(name)?.0, name)))
            .collect()
    }
}

impl Consumer {
    /// Whether everybody holds what it is to hold; one member may be away for a while.
    fn is_settled_with(&self, away: &Arc<str>) -> bool {
        let epoch = self.assignment_epoch();
        epoch == self.epoch()
            && self.members.iter().all(|(id, member)| {
                let current = member.current();
                let is_there = member.is_reconciled(epoch) || id == away;
                is_there
                    && current.state == MemberState::Stable
                    && current.assigned == member.target()
            })
    }
}

/// A member as it is in the classic group, if it speaks that protocol.
fn carried(id: &Arc<str>, member: &Member) -> Option<members::Member> {
    let metadata = &member.metadata;
    let classic = metadata.classic.as_ref()?;
    Some(members::Member {
        id: id.clone(),
        instance: metadata.instance.clone(),
        client_id: metadata.client_id.clone(),
        client_host: metadata.client_host.clone(),
        session_timeout_ms: classic.session_timeout_ms,
        rebalance_timeout_ms: metadata.rebalance_timeout_ms,
        protocols: classic.protocols.clone(),
        assignment: Bytes::new(),
        joining: None,
        syncing: None,
        new: false,
    })
}

/// A member of the new protocol as if it had spoken the classic one already.
fn returning(id: &Arc<str>, member: &Member, join: &Join) -> members::Member {
    members::Member {
        id: id.clone(),
        instance: member.metadata.instance.clone(),
        client_id: join.client_id.clone(),
        client_host: join.client_host.clone(),
        session_timeout_ms: join.session_timeout_ms,
        rebalance_timeout_ms: join.rebalance_timeout_ms,
        protocols: join.protocols.clone(),
        assignment: Bytes::new(),
        joining: None,
        syncing: None,
        new: false,
    }
}

/// Whether a JoinGroup reads what the member read so far.
fn reads_the_same(member: &Member, join: &Join) -> bool {
    let subscription = super::classic_member::subscription_of(join);
    let topics = subscription.map(|one| one.topics.into_iter().collect::<BTreeSet<_>>());
    let before = member.metadata.topics.iter().map(|topic| &**topic);
    super::pattern(&member.metadata).is_none()
        && topics.is_ok_and(|topics| topics.into_iter().eq(before))
}

/// An assignment in the bytes that a classic member understands. Topics that nobody reads or that
/// are gone have no name.
pub(super) fn embed(
    metadata: &[u8],
    assigned: &Assignment,
    names: &BTreeMap<TopicId, &Arc<str>>,
) -> Bytes {
    let topics = assigned.iter();
    let topics = topics.filter_map(|(id, partitions)| Some((&***names.get(id)?, &partitions[..])));
    let mut topics: Vec<_> = topics.collect();
    topics.sort_unstable();
    assignment::write(metadata, &topics)
}
