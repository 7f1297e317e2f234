//! Members go: on their own, for a while, or because nothing was heard of them.

use std::collections::BTreeSet;
use std::sync::Arc;

use ratel_protocol::ErrorCode;

use super::downgrade::Farewell;
use super::{AWAY, Consumer, ConsumerBeat, ConsumerHeartbeat, ConsumerRecord, Member, MemberState};
use crate::clock::Timestamp;
use crate::coordinator::group::turn::Timer;
use crate::coordinator::group::{GroupMachine, Kind, Leave, Reply, SessionTimeouts};
use crate::coordinator::{Effects, Ticket};

impl GroupMachine {
    /// A member says farewell (H-1). With the answer comes whether it must wait for the disk.
    pub(super) fn consumer_leave(
        &mut self,
        now: Timestamp,
        event: &ConsumerHeartbeat,
        out: &mut Effects<Self>,
    ) -> Result<(ConsumerBeat, bool), ErrorCode> {
        let consumer = self.consumer(&event.group)?;
        consumer.named(&event.member, event.instance.as_deref())?;
        let member = consumer.members.get(&event.member);
        let current = member.ok_or(ErrorCode::UnknownMemberId)?.current();
        if event.instance.is_some() && event.epoch == AWAY {
            let timer = Timer::Rebalance(event.group.clone(), event.member.clone());
            self.timers.cancel(&timer);
            let mut away = (*current).clone();
            away.epoch = AWAY;
            away.let_go();
            let record = ConsumerRecord::Current(event.member.clone(), Some(Arc::new(away)));
            self.consumer_record(&event.group, record, out);
        } else {
            self.consumer_remove(now, &event.group, [&event.member], out);
        }
        let beat = ConsumerBeat {
            member: event.member.clone(),
            epoch: event.epoch,
            heartbeat_interval_ms: 0,
            assignment: None,
        };
        Ok((beat, true))
    }

    /// A member was silent for too long.
    pub(in crate::coordinator::group) fn consumer_member_timeout(
        &mut self,
        now: Timestamp,
        id: &Arc<str>,
        member: &Arc<str>,
        out: &mut Effects<Self>,
    ) {
        self.consumer_time_out(now, id, member, |_| true, out);
    }

    /// A member took too long to give up partitions (H-5).
    pub(in crate::coordinator::group) fn consumer_rebalance_timeout(
        &mut self,
        now: Timestamp,
        id: &Arc<str>,
        member: &Arc<str>,
        out: &mut Effects<Self>,
    ) {
        let lets_go = |there: &Member| there.current().state == MemberState::Unrevoked;
        self.consumer_time_out(now, id, member, lets_go, out);
    }

    /// A member's time is over: it is put out if it is there still, and `is_due`.
    pub(super) fn consumer_time_out(
        &mut self,
        now: Timestamp,
        id: &Arc<str>,
        member: &Arc<str>,
        is_due: impl FnOnce(&Member) -> bool,
        out: &mut Effects<Self>,
    ) {
        let there = self.consumer(id).ok();
        let there = there.and_then(|consumer| consumer.members.get(member));
        if there.is_some_and(is_due) {
            self.consumer_remove(now, id, [member], out);
        }
    }

    /// An administrator takes members out, each with an outcome of its own (G-12).
    pub(in crate::coordinator::group) fn consumer_leave_many(
        &mut self,
        now: Timestamp,
        ticket: Ticket,
        event: &Leave,
        out: &mut Effects<Self>,
    ) {
        let consumer = match self.consumer(&event.group) {
            Ok(consumer) => consumer,
            Err(error) => return out.refuse(ticket, error),
        };
        let members = event.members.iter();
        let found = members.map(|(member, instance)| consumer.named(member, instance.as_deref()));
        let found: Vec<_> = found.collect();
        let gone: BTreeSet<_> = found.iter().flatten().collect();
        if !gone.is_empty() {
            self.consumer_remove(now, &event.group, gone.iter().copied(), out);
        }
        let outcomes = found
            .iter()
            .map(|one| one.as_ref().map(drop).map_err(|error| *error));
        out.reply(ticket, Reply::Left(outcomes.collect()));
    }

    /// Take members out: the rest share out what they had, or become a classic group.
    pub(super) fn consumer_remove<'a>(
        &mut self,
        now: Timestamp,
        id: &Arc<str>,
        members: impl IntoIterator<Item = &'a Arc<str>>,
        out: &mut Effects<Self>,
    ) {
        let members: BTreeSet<_> = members.into_iter().collect();
        let consumer = self.consumer(id).ok();
        let stays = consumer
            .and_then(|consumer| self.consumer_downgrade(consumer, &Farewell::Leave(&members)));
        if let Some(stays) = stays {
            return self.consumer_become_classic(now, id, stays, true, out);
        }
        for member in members {
            self.consumer_drop(id, member, out);
        }
        self.consumer_forget_patterns(id, out);
        self.consumer_watch(id, &[], out);
        self.consumer_refresh(id, true, out);
    }

    /// Forget all there is of a member.
    pub(super) fn consumer_drop(
        &mut self,
        id: &Arc<str>,
        member: &Arc<str>,
        out: &mut Effects<Self>,
    ) {
        self.consumer_release(id, member);
        self.consumer_record(id, ConsumerRecord::Current(member.clone(), None), out);
        self.consumer_record(id, ConsumerRecord::Target(member.clone(), None), out);
        self.consumer_record(id, ConsumerRecord::Member(member.clone(), None), out);
    }

    /// Wait for nothing of a member any more.
    pub(super) fn consumer_release(&mut self, id: &Arc<str>, member: &Arc<str>) {
        for timer in [
            Timer::Member,
            Timer::Rebalance,
            Timer::MemberJoin,
            Timer::MemberSync,
        ] {
            self.timers.cancel(&timer(id.clone(), member.clone()));
        }
    }

    /// Write down that a consumer group is no more; of a group of another kind nothing is written.
    pub(in crate::coordinator::group) fn consumer_end(
        &mut self,
        id: &Arc<str>,
        out: &mut Effects<Self>,
    ) {
        self.timers.cancel(&Timer::Regex(id.clone()));
        self.consumer_unwatch(id);
        let tombstones = self.consumer(id).map(super::Consumer::tombstones);
        for record in tombstones.unwrap_or_default() {
            self.consumer_record(id, record, out);
        }
        self.forget_if_gone(id);
    }

    /// After a restart every session begins anew (G-14).
    fn consumer_begin_sessions(&mut self, now: Timestamp, sessions: &SessionTimeouts) {
        let default_ms = self.limits.consumer.settings.session_timeout_ms;
        for (id, group) in &mut self.groups {
            let Kind::Consumer(consumer) = &mut group.kind else {
                continue;
            };
            let session_ms = sessions.get(id).copied().unwrap_or(default_ms);
            for (name, member) in &consumer.members {
                let at = |ms: i64| now.monotonic_ms.saturating_add(ms);
                let timer = Timer::Member(id.clone(), name.clone());
                let classic = member.metadata.classic.as_ref();
                let session_ms =
                    classic.map_or(session_ms, |classic| i64::from(classic.session_timeout_ms));
                self.timers.set(timer, at(session_ms));
                let lets_go = member.current().state == MemberState::Unrevoked;
                // A classic member is told to join anew when it is heard of, and timed from then.
                if lets_go && member.epoch() != AWAY && classic.is_none() {
                    let timer = Timer::Rebalance(id.clone(), name.clone());
                    let timeout_ms = i64::from(member.metadata.rebalance_timeout_ms.max(0));
                    self.timers.set(timer, at(timeout_ms));
                }
            }
        }
    }

    /// Take up the consumer groups after a replay; what they read is watched already.
    pub(in crate::coordinator::group) fn consumer_start(
        &mut self,
        now: Timestamp,
        sessions: &SessionTimeouts,
        out: &mut Effects<Self>,
    ) {
        self.consumer_begin_sessions(now, sessions);
        let groups = self.groups.iter();
        let ids = groups.filter(|(_, group)| matches!(group.kind, Kind::Consumer(_)));
        let ids: Vec<_> = ids.map(|(id, _)| id.clone()).collect();
        for id in ids {
            self.consumer_resolve(now, &id, out);
            self.consumer_refresh(&id, false, out);
        }
    }
}

impl Consumer {
    /// The member that is to go: by id, by the name of a static member, or by both.
    pub(super) fn named(
        &self,
        member: &str,
        instance: Option<&str>,
    ) -> Result<Arc<str>, ErrorCode> {
        let Some(instance) = instance else {
            let there = self.members.get_key_value(member);
            return there
                .map(|(id, _)| id.clone())
                .ok_or(ErrorCode::UnknownMemberId);
        };
        match self.instances.get(instance) {
            None => Err(ErrorCode::UnknownMemberId),
            Some(owner) if member.is_empty() || **owner == *member => Ok(owner.clone()),
            Some(_) => Err(ErrorCode::FencedInstanceId),
        }
    }
}
