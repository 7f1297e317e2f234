//! Members join and stay.

use std::sync::Arc;

use ratel_protocol::ErrorCode;

use super::known::Stop;
use super::reconcile::Step;
use super::regex::PATTERNS_MAX;
use super::upgrade::Upgrade;
use super::{
    AWAY, Consumer, ConsumerBeat, ConsumerCurrent, ConsumerHeartbeat, ConsumerMemberMetadata,
    ConsumerRecord, Member, MemberState, partitions_of,
};
use crate::clock::Timestamp;
use crate::coordinator::group::classic::State;
use crate::coordinator::group::limits::STRING_BYTES_MAX;
use crate::coordinator::group::turn::Timer;
use crate::coordinator::group::{GroupMachine, Kind, Reply};
use crate::coordinator::{Effects, Ticket};

/// The epoch with which a member joins.
pub(super) const JOIN: i32 = 0;
/// The epoch with which a member leaves.
const LEAVE: i32 = -1;

/// What a heartbeat changes about who a member is.
pub(super) struct Change {
    /// The member as it was, with the new name if it takes another's place.
    before: Member,
    /// The static member whose place it takes.
    replaces: Option<Arc<str>>,
    /// What is read must be shared out anew, whatever this member reads: it was another member so
    /// far, whose partitions have to go to somebody, or the group has yet to share them out.
    rebalances: bool,
    metadata: ConsumerMemberMetadata,
}

impl GroupMachine {
    /// ConsumerGroupHeartbeat.
    pub(in crate::coordinator::group) fn consumer_heartbeat(
        &mut self,
        now: Timestamp,
        ticket: Ticket,
        event: ConsumerHeartbeat,
        out: &mut Effects<Self>,
    ) {
        let outcome = match event.epoch {
            LEAVE | AWAY => self.consumer_leave(now, &event, out).map_err(Stop::from),
            _ => self.consumer_stay(now, event, out),
        };
        match outcome {
            Ok((beat, true)) => out.reply(ticket, Reply::ConsumerBeat(beat)),
            Ok((beat, false)) => out.reply_now(ticket, Reply::ConsumerBeat(beat)),
            Err(Stop::Refused(error)) => out.refuse(ticket, error),
            Err(Stop::Wants(topics)) => out.reply_now(ticket, Reply::TopicsWanted(topics)),
        }
    }

    /// A member joins, or stays. With the answer comes whether it must wait for the disk.
    fn consumer_stay(
        &mut self,
        now: Timestamp,
        event: ConsumerHeartbeat,
        out: &mut Effects<Self>,
    ) -> Result<(ConsumerBeat, bool), Stop> {
        let id = event.group.clone();
        let written = out.records.len();
        let upgrade = self.consumer_upgrade(&event)?;
        let change = self.consumer_check(&event, upgrade.as_ref())?;
        self.consumer_open(now, &event, upgrade, out)?;
        let before = change.before.clone();
        let current = self.consumer_advance(now, &event, change, out)?;
        for timer in [Timer::MemberJoin, Timer::MemberSync] {
            self.timers.cancel(&timer(id.clone(), event.member.clone()));
        }
        let timer = Timer::Member(id.clone(), event.member.clone());
        let session_ms = event.settings.session_timeout_ms;
        self.timers
            .set(timer, now.monotonic_ms.saturating_add(session_ms));
        let says_all = event.rebalance_timeout_ms.is_some()
            && (event.topics.is_some() || event.regex.is_some())
            && event.owned.is_some();
        let changed = current.assigned != before.current().assigned;
        let full = event.epoch == JOIN || says_all;
        let beat = ConsumerBeat {
            member: event.member,
            epoch: current.epoch,
            heartbeat_interval_ms: event.settings.heartbeat_interval_ms,
            assignment: (full || changed).then(|| current.assigned.clone()),
        };
        Ok((beat, full || out.records.len() > written))
    }

    /// Write down what a heartbeat changes, and move its member on.
    pub(super) fn consumer_advance(
        &mut self,
        now: Timestamp,
        event: &ConsumerHeartbeat,
        change: Change,
        out: &mut Effects<Self>,
    ) -> Result<Arc<ConsumerCurrent>, ErrorCode> {
        let subscribes = self.consumer_change(now, event, change, out);
        self.consumer_assign(&event.group, out);
        self.consumer_reconcile(now, event, subscribes, out)
    }

    /// What a heartbeat would change, if it may (H-3, H-4), in a group that is there or becomes
    /// what it has to be. Nothing is changed yet.
    pub(super) fn consumer_check(
        &self,
        event: &ConsumerHeartbeat,
        upgrade: Option<&Upgrade>,
    ) -> Result<Change, ErrorCode> {
        let joins = event.epoch == JOIN;
        let new = upgrade.map(Upgrade::consumer).unwrap_or_default();
        let consumer = match self.groups.get(&event.group) {
            Some(group) => match &group.kind {
                Kind::Consumer(consumer) => consumer,
                Kind::Classic(_) if upgrade.is_some() => &new,
                Kind::Classic(classic) if joins && classic.state() == State::Empty => &new,
                Kind::Classic(_) | Kind::Share(_) => return Err(ErrorCode::GroupIdNotFound),
            },
            None if joins => &new,
            None => return Err(ErrorCode::GroupIdNotFound),
        };
        let there = consumer.members.get(&event.member);
        if there.is_none() && consumer.len() >= self.limits.consumer.members_max {
            return Err(ErrorCode::GroupMaxSizeReached);
        }
        let (before, replaces) = match &event.instance {
            None => {
                let before = match there {
                    Some(member) => member.clone(),
                    None if joins => Member::default(),
                    None => return Err(ErrorCode::UnknownMemberId),
                };
                (before, None)
            }
            Some(instance) => consumer.check_static(event, instance)?,
        };
        check_epoch(&before, event)?;
        let metadata = changed_metadata(&before, event, self.limits.member_bytes_max)?;
        if let Some(regex) = super::pattern(&metadata)
            && !consumer.patterns.contains_key(regex)
            && (!event.regex_valid || consumer.patterns.len() >= PATTERNS_MAX)
        {
            return Err(ErrorCode::InvalidRegularExpression);
        }
        let is_other = |old: &Arc<str>| there.is_some() && *old != event.member;
        Ok(Change {
            rebalances: replaces.as_ref().is_some_and(is_other)
                || upgrade.is_some_and(|upgrade| upgrade.rebalances),
            before,
            replaces,
            metadata,
        })
    }

    /// Write down who the member is now, and what that means for the group's topics. Whether it
    /// reads others than before.
    fn consumer_change(
        &mut self,
        now: Timestamp,
        event: &ConsumerHeartbeat,
        change: Change,
        out: &mut Effects<Self>,
    ) -> bool {
        let id = &event.group;
        let Change {
            before,
            replaces,
            rebalances,
            metadata,
        } = change;
        if let Some(old) = &replaces {
            self.consumer_replace(id, old, event, &before, out);
        }
        let names = metadata.topics != before.metadata.topics;
        let pattern = super::pattern(&metadata).cloned();
        let regex = pattern.as_ref() != super::pattern(&before.metadata);
        let is_new = |there: Result<&Consumer, ErrorCode>| {
            there.is_ok_and(|consumer| !consumer.members.contains_key(&event.member))
        };
        if metadata != *before.metadata || is_new(self.consumer(id)) {
            let record = ConsumerRecord::Member(event.member.clone(), Some(Arc::new(metadata)));
            self.consumer_record(id, record, out);
        }
        if regex {
            self.consumer_regex(now, event, pattern, out);
        }
        if names || regex {
            self.consumer_watch(id, &event.found, out);
        } else {
            self.topics_news(&event.found, None, out);
        }
        // News of topics refresh the groups that read them: a heartbeat that changes nothing need
        // not look at all topics again.
        let is_made = self.consumer(id).is_ok_and(|one| one.metadata.is_some());
        let changes = names || regex || rebalances;
        if changes || !is_made {
            self.consumer_refresh(id, changes, out);
        }
        names || regex
    }

    /// H-4: a static member has come back under another id, and keeps what the old one had.
    fn consumer_replace(
        &mut self,
        id: &Arc<str>,
        old: &Arc<str>,
        event: &ConsumerHeartbeat,
        before: &Member,
        out: &mut Effects<Self>,
    ) {
        self.consumer_drop(id, old, out);
        let member = &event.member;
        let metadata = Some(before.metadata.clone());
        self.consumer_record(id, ConsumerRecord::Member(member.clone(), metadata), out);
        if before.target.is_some() {
            let target = before.target.clone();
            self.consumer_record(id, ConsumerRecord::Target(member.clone(), target), out);
        }
        let current = before.current.clone();
        self.consumer_record(id, ConsumerRecord::Current(member.clone(), current), out);
    }

    /// Move a member on, and give it its time to let go of what it has to.
    fn consumer_reconcile(
        &mut self,
        now: Timestamp,
        event: &ConsumerHeartbeat,
        subscribes: bool,
        out: &mut Effects<Self>,
    ) -> Result<Arc<ConsumerCurrent>, ErrorCode> {
        let (id, name) = (&event.group, &event.member);
        let consumer = self.consumer(id)?;
        let member = consumer.members.get(name);
        let member = member.ok_or(ErrorCode::UnknownMemberId)?;
        let epoch = consumer.assignment_epoch();
        let current = member.current();
        if !subscribes && member.is_reconciled(epoch) {
            return Ok(current);
        }
        let target = member.target();
        let reads = self.consumer_reads(consumer, &member.metadata);
        let next = Step {
            current: &current,
            target: &target,
            target_epoch: epoch,
            reads: &reads,
            subscribes,
            owned: event.owned.as_ref(),
            is_free: &|partition| {
                let owner = consumer.owners.get(&partition);
                owner.is_none_or(|owner| owner == name)
            },
        }
        .take()?;
        let timeout_ms = i64::from(member.metadata.rebalance_timeout_ms.max(0));
        if next == current && member.current.is_some() {
            return Ok(current);
        }
        let timer = Timer::Rebalance(id.clone(), name.clone());
        if next.state == MemberState::Unrevoked && event.classic.is_none() {
            let at_ms = now.monotonic_ms.saturating_add(timeout_ms);
            self.timers.set(timer, at_ms);
        } else {
            self.timers.cancel(&timer);
        }
        let record = ConsumerRecord::Current(name.clone(), Some(next.clone()));
        self.consumer_record(id, record, out);
        Ok(next)
    }
}

impl Consumer {
    /// The static member that speaks, or whose place somebody takes (H-4).
    fn check_static(
        &self,
        event: &ConsumerHeartbeat,
        instance: &Arc<str>,
    ) -> Result<(Member, Option<Arc<str>>), ErrorCode> {
        let owner = self.instances.get(instance);
        let there = owner.and_then(|id| Some((id, self.members.get(id)?)));
        match there {
            None if event.epoch == JOIN => {
                let member = self.members.get(&event.member);
                Ok((member.cloned().unwrap_or_default(), None))
            }
            None => Err(ErrorCode::UnknownMemberId),
            Some((id, member)) if event.classic.is_some() && *id == event.member => {
                Ok((member.clone(), None))
            }
            Some((id, member)) if event.epoch == JOIN => {
                let is_classic = member.metadata.classic.is_some() || event.classic.is_some();
                if member.epoch() != AWAY && !is_classic {
                    return Err(ErrorCode::UnreleasedInstanceId);
                }
                let mut before = member.clone();
                let mut current = (*member.current()).clone();
                (current.epoch, current.previous_epoch) = (0, 0);
                before.current = Some(Arc::new(current));
                Ok((before, Some(id.clone())))
            }
            Some((id, _)) if *id != event.member => Err(ErrorCode::FencedInstanceId),
            Some((_, member)) => Ok((member.clone(), None)),
        }
    }
}

/// H-3: whether a member may speak at this epoch.
fn check_epoch(member: &Member, event: &ConsumerHeartbeat) -> Result<(), ErrorCode> {
    let current = member.current();
    if event.epoch == JOIN || event.epoch == current.epoch {
        return Ok(());
    }
    // The answer that told of the new epoch may be lost: whoever holds no more than it told is
    // taken for who did not hear it.
    let owned = event.owned.as_ref();
    let is_within = owned.is_some_and(|owned| {
        partitions_of(owned).all(|partition| {
            let there = current.assigned.get(&partition.topic);
            there.is_some_and(|there| there.binary_search(&partition.index).is_ok())
        })
    });
    match event.epoch < current.epoch && event.epoch == current.previous_epoch && is_within {
        true => Ok(()),
        false => Err(ErrorCode::FencedMemberEpoch),
    }
}

/// Who a member is once it has said this; INVALID_REQUEST if that is too much.
fn changed_metadata(
    member: &Member,
    event: &ConsumerHeartbeat,
    bytes_max: usize,
) -> Result<ConsumerMemberMetadata, ErrorCode> {
    let before = &member.metadata;
    let mut topics = event.topics.clone();
    if let Some(topics) = &mut topics {
        topics.sort_unstable();
        topics.dedup();
    }
    let or = |new: &Option<Arc<str>>, old: &Option<Arc<str>>| new.clone().or_else(|| old.clone());
    let metadata = ConsumerMemberMetadata {
        instance: or(&event.instance, &before.instance),
        rack: or(&event.rack, &before.rack),
        client_id: event.client_id.clone(),
        client_host: event.client_host.clone(),
        topics: topics.unwrap_or_else(|| before.topics.clone()),
        regex: or(&event.regex, &before.regex),
        rebalance_timeout_ms: event
            .rebalance_timeout_ms
            .unwrap_or(before.rebalance_timeout_ms),
        assignor: or(&event.assignor, &before.assignor),
        classic: event.classic.clone(),
    };
    let texts = [&metadata.client_id, &metadata.client_host, &event.member];
    let texts = metadata.topics.iter().chain(texts);
    let texts = texts.chain(&metadata.instance).chain(&metadata.rack);
    // A name has a length beside its text.
    let bytes: usize = texts.map(|text| text.len() + 2).sum();
    match bytes > bytes_max || event.member.len() > STRING_BYTES_MAX {
        true => Err(ErrorCode::InvalidRequest),
        false => Ok(metadata),
    }
}
