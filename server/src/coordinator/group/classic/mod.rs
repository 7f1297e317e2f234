//! The classic group protocol: members join, a leader assigns, everybody syncs.
//!
//! ```text
//!            join                  all joined, or time is up
//!   Empty ---------> Preparing --------------------------------> Completing
//!     ^               |  ^   ^                                     |   |
//!     |  no one left  |  |   |  a member joins, leaves, is silent  |   | leader syncs
//!     +---------------+  |   +-------------------------------------+   v
//!                        +------------------------------------------ Stable
//! ```
//!
//! All of this is soft state but what [`Classic::metadata`] says at the end of a generation's
//! sync (or when the group is empty): that is written down, and [`Classic::load`] takes it up
//! after a restart, so members and generation stand and nobody has to rebalance (G-14).

mod convert;
mod join;
mod rebalance;
mod sync;

use std::collections::BTreeSet;
use std::sync::Arc;

use bytes::Bytes;
use ratel_protocol::ErrorCode;

use super::embedded::{CONSUMER, subscription};
use super::event::{Commit, DescribedMember, Description, Heartbeat, Leave, Reply};
use super::members::{Member, Members};
use super::record::{GroupMetadata, MemberMetadata};
use super::turn::Turn;
use crate::coordinator::Ticket;

pub use join::member_id;

/// Where a group stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum State {
    /// No members.
    Empty,
    /// Waits for members to join. The first time, only time ends it.
    Preparing(Option<Initial>),
    /// Waits for the leader's assignment.
    Completing,
    /// Everybody knows what to do.
    Stable,
}

/// The wait of a group that was empty (G-5).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Initial {
    /// How long the wait that is under way lasts, ms.
    delay_ms: i64,
    /// How much longer it may become after that, ms.
    remaining_ms: i64,
    /// Someone joined since it began.
    grew: bool,
}

impl State {
    /// Kafka's name.
    pub fn name(self) -> &'static str {
        match self {
            Self::Empty => "Empty",
            Self::Preparing(_) => "PreparingRebalance",
            Self::Completing => "CompletingRebalance",
            Self::Stable => "Stable",
        }
    }
}

/// From when on an offset's retention counts (O-5).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Retention {
    /// The offset is kept.
    Keep,
    /// From its commit.
    SinceCommit,
    /// From this wall time, ms.
    Since(i64),
}

/// A classic group.
#[derive(Debug, Clone)]
pub struct Classic {
    protocol_type: Option<Arc<str>>,
    protocol: Option<Arc<str>>,
    generation: i32,
    leader: Option<Arc<str>>,
    state: State,
    state_timestamp_ms: i64,
    members: Members,
    /// Ids that were given out and not come back with yet (G-3).
    pending: BTreeSet<Arc<str>>,
    /// Members that have not synced this generation.
    unsynced: BTreeSet<Arc<str>>,
    /// What a `consumer` group reads, as far as it can be understood.
    subscribed: Option<BTreeSet<Arc<str>>>,
}

impl Default for Classic {
    fn default() -> Self {
        Self {
            protocol_type: None,
            protocol: None,
            generation: 0,
            leader: None,
            state: State::Empty,
            state_timestamp_ms: -1,
            members: Members::default(),
            pending: BTreeSet::new(),
            unsynced: BTreeSet::new(),
            subscribed: None,
        }
    }
}

impl Classic {
    /// The group that a record tells of: stable, or empty.
    pub fn load(metadata: &GroupMetadata) -> Self {
        let mut members = Members::default();
        let protocol = metadata.protocol.clone().unwrap_or_default();
        for member in &metadata.members {
            members.insert(Member::load(member, &protocol));
        }
        let first = || members.iter().next().map(|member| member.id.clone());
        let leader = metadata.leader.clone();
        let mut group = Self {
            protocol_type: Some(metadata.protocol_type.clone()).filter(|name| !name.is_empty()),
            protocol: metadata.protocol.clone(),
            generation: metadata.generation,
            leader: leader
                .filter(|id| members.member(id).is_some())
                .or_else(first),
            state: match members.is_empty() {
                true => State::Empty,
                false => State::Stable,
            },
            state_timestamp_ms: metadata.state_timestamp_ms,
            members,
            ..Self::default()
        };
        group.note_subscriptions();
        group
    }

    /// What must outlive a restart.
    pub fn metadata(&self) -> GroupMetadata {
        let protocol = self.protocol.as_deref().unwrap_or_default();
        GroupMetadata {
            protocol_type: self.protocol_type.clone().unwrap_or_default(),
            generation: self.generation,
            protocol: self.protocol.clone(),
            leader: self.leader.clone(),
            state_timestamp_ms: self.state_timestamp_ms,
            members: self
                .members
                .iter()
                .map(|member| MemberMetadata {
                    id: member.id.clone(),
                    instance: member.instance.clone(),
                    client_id: member.client_id.clone(),
                    client_host: member.client_host.clone(),
                    rebalance_timeout_ms: member.rebalance_timeout_ms,
                    session_timeout_ms: member.session_timeout_ms,
                    subscription: member.metadata(protocol),
                    assignment: member.assignment.clone(),
                })
                .collect(),
        }
    }

    /// After a restart every session begins anew (G-14). More members than are allowed now get a
    /// chance to commit and are then let in up to the limit.
    pub fn begin_sessions(&mut self, turn: &mut Turn<'_>) {
        for member in self.members.iter() {
            turn.keep_member(&member.id, i64::from(member.session_timeout_ms));
        }
        if self.members.len() > turn.limits.members_max {
            self.prepare(turn);
        }
    }

    /// Where the group stands.
    pub fn state(&self) -> State {
        self.state
    }

    /// The last generation.
    pub fn generation(&self) -> i32 {
        self.generation
    }

    /// The members.
    pub fn members(&self) -> &Members {
        &self.members
    }

    /// The protocol type; empty for a group that never had members.
    pub fn protocol_type(&self) -> Arc<str> {
        self.protocol_type.clone().unwrap_or_default()
    }

    /// Whether there is nothing in it that would be missed.
    pub fn is_vacant(&self) -> bool {
        self.state == State::Empty && self.pending.is_empty()
    }

    /// Forget the ids that were given out: the group is deleted.
    pub fn forget_pending(&mut self, turn: &mut Turn<'_>) {
        for id in std::mem::take(&mut self.pending) {
            turn.release_member(&id);
        }
    }

    /// Whether its members are consumers.
    pub fn uses_consumer_protocol(&self) -> bool {
        self.protocol_type.as_deref() == Some(CONSUMER)
    }

    /// Whether members read this topic, or may do so for all that can be understood.
    pub fn is_subscribed(&self, topic: &str) -> bool {
        match &self.subscribed {
            Some(topics) => topics.contains(topic),
            None => self.uses_consumer_protocol(),
        }
    }

    /// Whether offsets can be deleted here at all (O-7).
    pub fn check_delete_offsets(&self) -> Result<(), ErrorCode> {
        if self.state == State::Empty || self.uses_consumer_protocol() {
            Ok(())
        } else {
            Err(ErrorCode::NonEmptyGroup)
        }
    }

    /// From when on the retention of unread topics counts (O-5).
    pub fn retention(&self) -> Retention {
        match self.state {
            _ if self.protocol_type.is_none() => Retention::SinceCommit,
            State::Empty if self.state_timestamp_ms < 0 => Retention::SinceCommit,
            State::Empty => Retention::Since(self.state_timestamp_ms),
            State::Stable if self.uses_consumer_protocol() && self.subscribed.is_some() => {
                Retention::SinceCommit
            }
            _ => Retention::Keep,
        }
    }

    /// Whether this member id, and this static name, are who they say they are.
    fn check_member(&self, id: &str, instance: Option<&str>) -> Result<&Member, ErrorCode> {
        if let Some(instance) = instance {
            match self.members.of_instance(instance) {
                None => return Err(ErrorCode::UnknownMemberId),
                Some(owner) if **owner != *id => return Err(ErrorCode::FencedInstanceId),
                Some(_) => {}
            }
        }
        self.members.member(id).ok_or(ErrorCode::UnknownMemberId)
    }

    /// [`Self::check_member`], and whether it lives in this generation.
    fn check_generation(
        &self,
        id: &str,
        instance: Option<&str>,
        generation: i32,
    ) -> Result<&Member, ErrorCode> {
        let member = self.check_member(id, instance)?;
        if generation == self.generation {
            Ok(member)
        } else {
            Err(ErrorCode::IllegalGeneration)
        }
    }

    /// G-10.
    pub fn heartbeat(&mut self, turn: &mut Turn<'_>, ticket: Ticket, event: &Heartbeat) {
        let checked =
            self.check_generation(&event.member, event.instance.as_deref(), event.generation);
        match checked {
            Err(error) => turn.refuse(ticket, error),
            Ok(member) => {
                turn.keep_member(&member.id, i64::from(member.session_timeout_ms));
                match self.state {
                    State::Preparing(_) => turn.refuse(ticket, ErrorCode::RebalanceInProgress),
                    _ => turn.reply_now(ticket, Reply::Done),
                }
            }
        }
    }

    /// Whether a commit may be taken, and the session it keeps alive (O-1, O-2).
    pub fn check_commit(&self, turn: &mut Turn<'_>, event: &Commit) -> Result<(), ErrorCode> {
        let alone = event.member.is_empty() && event.instance.is_none();
        if event.generation < 0 && self.state == State::Empty {
            return Ok(());
        }
        if event.generation < 0 && alone {
            return Err(ErrorCode::UnknownMemberId);
        }
        let member =
            self.check_generation(&event.member, event.instance.as_deref(), event.generation)?;
        if self.state == State::Completing {
            return Err(ErrorCode::RebalanceInProgress);
        }
        turn.keep_member(&member.id, i64::from(member.session_timeout_ms));
        Ok(())
    }

    /// T-14. The state of the group does not matter here, and who names no member is not checked.
    pub fn check_transaction_commit(&self, event: &Commit) -> Result<(), ErrorCode> {
        let alone = event.member.is_empty() && event.instance.is_none();
        if event.generation < 0 && (alone || self.state == State::Empty) {
            return Ok(());
        }
        self.check_generation(&event.member, event.instance.as_deref(), event.generation)?;
        Ok(())
    }

    /// G-12. A member that goes is not waited for any more.
    pub fn leave(&mut self, turn: &mut Turn<'_>, ticket: Ticket, event: &Leave) {
        let mut results = Vec::with_capacity(event.members.len());
        for (id, instance) in &event.members {
            results.push(self.leave_one(turn, id, instance.as_deref()));
        }
        if results.iter().any(Result::is_ok) {
            self.after_removal(turn);
        }
        turn.reply(ticket, Reply::Left(results));
    }

    fn leave_one(
        &mut self,
        turn: &mut Turn<'_>,
        id: &Arc<str>,
        instance: Option<&str>,
    ) -> Result<(), ErrorCode> {
        if id.is_empty() {
            let owner = instance.and_then(|instance| self.members.of_instance(instance));
            let owner = owner.cloned().ok_or(ErrorCode::UnknownMemberId)?;
            self.drop_member(turn, &owner);
        } else if self.pending.remove(id) {
            turn.release_member(id);
        } else {
            self.check_member(id, instance)?;
            self.drop_member(turn, id);
        }
        Ok(())
    }

    /// What an administrator sees (O-8).
    pub fn describe(&self) -> Description {
        let stable = self.state == State::Stable;
        let protocol = self.protocol.clone().filter(|_| stable).unwrap_or_default();
        Description {
            state: self.state.name(),
            protocol_type: self.protocol_type(),
            members: self
                .members
                .iter()
                .map(|member| DescribedMember {
                    id: member.id.clone(),
                    instance: member.instance.clone(),
                    client_id: member.client_id.clone(),
                    client_host: member.client_host.clone(),
                    metadata: match stable {
                        true => member.metadata(&protocol),
                        false => Bytes::new(),
                    },
                    // While they join anew, what they have still is the last generation's.
                    assignment: member.assignment.clone(),
                })
                .collect(),
            protocol,
        }
    }

    /// Learn what the members read, from their metadata for the chosen protocol.
    fn note_subscriptions(&mut self) {
        if !self.uses_consumer_protocol() {
            self.subscribed = None;
            return;
        }
        let protocol = self.protocol.as_deref().unwrap_or_default();
        let metadata: Vec<_> = self
            .members
            .iter()
            .map(|member| member.metadata(protocol))
            .collect();
        self.subscribed = subscription::union(metadata.iter().map(|bytes| &bytes[..]));
    }
}
