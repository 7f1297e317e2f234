//! Members of a consumer group that speak the classic protocol (H-10).
//!
//! To the group they are members like all others: their JoinGroup counts as a heartbeat that joins
//! and says all, what they hold included. A member's epoch is its generation; nobody leads, and
//! SyncGroup brings what the group gave. What a member of the new protocol learns from the answer
//! to any heartbeat, these learn by joining anew, which Heartbeat tells them to do:
//!
//! ```text
//!               JoinGroup                      SyncGroup
//!   joins anew ----------> has an epoch ------------------> knows its partitions
//!       ^      join timer      ^         sync timer                 |
//!       |                      +--- REBALANCE_IN_PROGRESS ---+      |
//!       +-------------------- REBALANCE_IN_PROGRESS -----------------+
//!          the group's epoch rose, it has to let go, or what it waited for is free
//! ```

mod join;

use std::sync::Arc;

use ratel_protocol::ErrorCode;

pub(super) use self::join::subscription_of;
use super::downgrade::embed;
use super::{ClassicMember, Consumer, Member, MemberState, partitions_of};
use crate::clock::Timestamp;
use crate::coordinator::group::GroupMachine;
use crate::coordinator::group::embedded::CONSUMER;
use crate::coordinator::group::event::{Heartbeat, Reply, Sync, Synced};
use crate::coordinator::group::turn::Timer;
use crate::coordinator::{Effects, Ticket};

impl GroupMachine {
    /// SyncGroup: a member takes what the group gave it.
    pub(in crate::coordinator::group) fn classic_member_sync(
        &mut self,
        now: Timestamp,
        ticket: Ticket,
        event: &Sync,
        out: &mut Effects<Self>,
    ) {
        match self.classic_member_take(now, event) {
            Ok(synced) => out.reply(ticket, Reply::Synced(synced)),
            Err(error) => out.refuse(ticket, error),
        }
    }

    fn classic_member_take(&mut self, now: Timestamp, event: &Sync) -> Result<Synced, ErrorCode> {
        let (id, name) = (&event.group, &event.member);
        let consumer = self.consumer(id).map_err(|_| ErrorCode::UnknownMemberId)?;
        let speaks = consumer.classic_member(name, event.instance.as_deref(), event.generation)?;
        let (member, classic) = speaks;
        let protocol = classic.protocols.first();
        let is_other =
            |said: &Option<Arc<str>>, is: Option<&str>| said.is_some() && said.as_deref() != is;
        if is_other(&event.protocol_type, Some(CONSUMER))
            || is_other(&event.protocol, protocol.map(|protocol| &*protocol.name))
        {
            return Err(ErrorCode::InconsistentGroupProtocol);
        }
        // Who has to let go must know what it keeps, and joins anew after that.
        if consumer.epoch() > member.epoch() && member.current().state != MemberState::Unrevoked {
            let timeout_ms = member.metadata.rebalance_timeout_ms;
            self.classic_member_awaits(Timer::MemberJoin, now, id, name, timeout_ms);
            return Err(ErrorCode::RebalanceInProgress);
        }
        let metadata = protocol.map_or(&[][..], |protocol| &protocol.metadata);
        let names = self.consumer_names(consumer);
        let synced = Synced {
            protocol_type: CONSUMER.into(),
            protocol: protocol.map(|protocol| protocol.name.clone()),
            assignment: embed(metadata, &member.current().assigned, &names),
        };
        let session_ms = classic.session_timeout_ms;
        let timer = Timer::MemberSync(id.clone(), name.clone());
        self.timers.cancel(&timer);
        self.classic_member_keep(now, id, name, session_ms);
        Ok(synced)
    }

    /// Heartbeat: a member is alive, and hears whether it must join anew.
    pub(in crate::coordinator::group) fn classic_member_heartbeat(
        &mut self,
        now: Timestamp,
        ticket: Ticket,
        event: &Heartbeat,
        out: &mut Effects<Self>,
    ) {
        let (id, name) = (&event.group, &event.member);
        let checked = self
            .consumer(id)
            .map_err(|_| ErrorCode::UnknownMemberId)
            .and_then(|consumer| {
                let instance = event.instance.as_deref();
                let (member, classic) =
                    consumer.classic_member(name, instance, event.generation)?;
                let session_ms = classic.session_timeout_ms;
                let join_ms = member.metadata.rebalance_timeout_ms;
                Ok((session_ms, join_ms, consumer.must_join(name, member)))
            });
        match checked {
            Err(error) => out.refuse(ticket, error),
            Ok((session_ms, join_ms, must_join)) => {
                self.classic_member_keep(now, id, name, session_ms);
                if must_join {
                    self.classic_member_awaits(Timer::MemberJoin, now, id, name, join_ms);
                    out.refuse(ticket, ErrorCode::RebalanceInProgress);
                } else {
                    out.reply_now(ticket, Reply::Done);
                }
            }
        }
    }

    /// A member's session begins anew.
    fn classic_member_keep(
        &mut self,
        now: Timestamp,
        id: &Arc<str>,
        member: &Arc<str>,
        timeout_ms: i32,
    ) {
        let at_ms = now.monotonic_ms.saturating_add(i64::from(timeout_ms));
        let timer = Timer::Member(id.clone(), member.clone());
        self.timers.set(timer, at_ms);
    }

    /// Wait for a member's JoinGroup or SyncGroup, if that is not waited for already.
    fn classic_member_awaits(
        &mut self,
        timer: fn(Arc<str>, Arc<str>) -> Timer,
        now: Timestamp,
        id: &Arc<str>,
        member: &Arc<str>,
        timeout_ms: i32,
    ) {
        let timer = timer(id.clone(), member.clone());
        if !self.timers.contains(&timer) {
            let timeout_ms = i64::from(timeout_ms.max(0));
            let at_ms = now.monotonic_ms.saturating_add(timeout_ms);
            self.timers.set(timer, at_ms);
        }
    }

    /// A member has not joined anew, or not synced, for too long.
    pub(in crate::coordinator::group) fn classic_member_timeout(
        &mut self,
        now: Timestamp,
        id: &Arc<str>,
        member: &Arc<str>,
        out: &mut Effects<Self>,
    ) {
        let is_classic = |there: &Member| there.metadata.classic.is_some();
        self.consumer_time_out(now, id, member, is_classic, out);
    }
}

impl Consumer {
    /// A member that speaks the classic protocol, at the generation that is its epoch.
    ///
    /// # Errors
    /// UNKNOWN_MEMBER_ID, also for one of the new protocol; FENCED_INSTANCE_ID;
    /// ILLEGAL_GENERATION.
    fn classic_member(
        &self,
        id: &str,
        instance: Option<&str>,
        generation: i32,
    ) -> Result<(&Member, &ClassicMember), ErrorCode> {
        // An instance alone names a member that is to go, but nobody who speaks.
        let known = match instance {
            Some(_) if id.is_empty() => self
                .named("", instance)
                .and(Err(ErrorCode::FencedInstanceId)),
            _ => self.named(id, instance),
        }?;
        let member = self.members.get(&known);
        let member = member.ok_or(ErrorCode::UnknownMemberId)?;
        let classic = member.metadata.classic.as_ref();
        let classic = classic.ok_or(ErrorCode::UnknownMemberId)?;
        match member.epoch() == generation {
            true => Ok((member, classic)),
            false => Err(ErrorCode::IllegalGeneration),
        }
    }

    /// Whether a member must join anew to come further: the group's epoch rose, it has to let go
    /// of something, or all that it waited for is free.
    fn must_join(&self, id: &Arc<str>, member: &Member) -> bool {
        let current = member.current();
        let waits = || {
            partitions_of(&member.target()).any(|partition| {
                let owner = self.owners.get(&partition);
                owner.is_some_and(|owner| owner != id)
            })
        };
        member.epoch() < self.epoch()
            || match current.state {
                MemberState::Unrevoked => true,
                MemberState::Unreleased => !waits(),
                MemberState::Stable | MemberState::Unknown => false,
            }
    }
}
