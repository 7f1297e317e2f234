//! JoinGroup.

use std::sync::Arc;

use ratel_protocol::ErrorCode;

use super::{Classic, State};
use crate::coordinator::Ticket;
use crate::coordinator::group::event::{Join, Joined, JoinedMember, Reply};
use crate::coordinator::group::limits::{NEW_MEMBER_TIMEOUT_MS, PENDING_MAX};
use crate::coordinator::group::members::Member;
use crate::coordinator::group::turn::Turn;

/// The client's part of a new member id is cut here, in bytes.
const MEMBER_PREFIX_MAX: usize = 256;

impl Classic {
    /// Take a member in, now or when the rebalance is through.
    pub fn join(&mut self, turn: &mut Turn<'_>, ticket: Ticket, event: Join) {
        if !self.has_room(turn, &event) {
            let id = event.member;
            if self.pending.remove(&id) {
                turn.release_member(&id);
            } else if self.members.member(&id).is_some() {
                self.drop_member(turn, &id);
            }
            self.maybe_complete(turn);
            return turn.refuse(ticket, ErrorCode::GroupMaxSizeReached);
        }
        if !self.can_follow(&event) {
            return turn.refuse(ticket, ErrorCode::InconsistentGroupProtocol);
        }
        if event.member.is_empty() {
            self.join_new(turn, ticket, event);
        } else if self.pending.contains(&event.member) {
            match event.instance {
                Some(_) => turn.refuse(ticket, ErrorCode::UnknownMemberId),
                None => self.add(turn, ticket, event.member.clone(), event),
            }
        } else {
            self.join_again(turn, ticket, event);
        }
    }

    /// G-13. While members rejoin, those count that have: so a group that is too large shrinks.
    fn has_room(&self, turn: &Turn<'_>, event: &Join) -> bool {
        let max = turn.limits.members_max;
        let known = self.members.member(&event.member);
        let replaces = event.member.is_empty()
            && event
                .instance
                .as_deref()
                .is_some_and(|instance| self.members.of_instance(instance).is_some());
        match self.state {
            State::Empty => true,
            State::Preparing(_) => {
                known.is_some_and(|member| member.joining.is_some()) || self.members.joining() < max
            }
            State::Completing | State::Stable => {
                known.is_some() || replaces || self.members.len() < max
            }
        }
    }

    /// G-4: whether the member speaks the group's protocol type and one of its protocols.
    fn can_follow(&self, event: &Join) -> bool {
        if self.members.is_empty() {
            return !event.protocol_type.is_empty() && !event.protocols.is_empty();
        }
        self.protocol_type.as_ref() == Some(&event.protocol_type)
            && self.members.share_any(&event.protocols)
    }

    fn join_new(&mut self, turn: &mut Turn<'_>, ticket: Ticket, event: Join) {
        if let Some(instance) = &event.instance {
            let id = member_id(instance, &event);
            return match self.members.of_instance(instance).cloned() {
                Some(old) => self.replace_static(turn, ticket, &old, id, &event),
                None => self.add(turn, ticket, id, event),
            };
        }
        let id = member_id(&event.client_id, &event);
        if !event.requires_member_id {
            return self.add(turn, ticket, id, event);
        }
        if self.pending.len() >= PENDING_MAX {
            return turn.refuse(ticket, ErrorCode::GroupMaxSizeReached);
        }
        self.pending.insert(id.clone());
        turn.keep_member(&id, i64::from(event.session_timeout_ms));
        turn.reply_now(ticket, Reply::MemberIdRequired(id));
    }

    /// A member of the group joins once more: for the next generation, or because it missed the
    /// answer (G-7).
    fn join_again(&mut self, turn: &mut Turn<'_>, ticket: Ticket, event: Join) {
        let member = match self.check_member(&event.member, event.instance.as_deref()) {
            Ok(member) => member,
            Err(error) => return turn.refuse(ticket, error),
        };
        let same = member.protocols == event.protocols;
        let leads = self.leader.as_ref() == Some(&member.id);
        match self.state {
            State::Completing if same => {
                let joined = self.joined(&event.member, leads);
                turn.reply(ticket, Reply::Joined(joined));
            }
            State::Stable if same && !leads => {
                let joined = self.joined(&event.member, false);
                turn.reply(ticket, Reply::Joined(joined));
            }
            State::Empty => turn.refuse(ticket, ErrorCode::UnknownMemberId),
            State::Preparing(_) | State::Completing | State::Stable => {
                self.update(turn, ticket, &event.member, &event);
                self.rebalance(turn);
            }
        }
    }

    fn add(&mut self, turn: &mut Turn<'_>, ticket: Ticket, id: Arc<str>, event: Join) {
        if self.members.is_empty() {
            self.protocol_type = Some(event.protocol_type);
        }
        if let State::Preparing(Some(initial)) = &mut self.state {
            initial.grew = true;
        }
        self.leader.get_or_insert_with(|| id.clone());
        self.pending.remove(&id);
        turn.keep_member(&id, NEW_MEMBER_TIMEOUT_MS);
        self.members.insert(Member {
            id,
            instance: event.instance,
            client_id: event.client_id,
            client_host: event.client_host,
            session_timeout_ms: event.session_timeout_ms,
            rebalance_timeout_ms: event.rebalance_timeout_ms,
            protocols: event.protocols,
            assignment: bytes::Bytes::new(),
            joining: Some(ticket),
            syncing: None,
            new: true,
        });
        self.rebalance(turn);
    }

    /// Take up what a member says of itself now, and let it wait. An earlier request of the same
    /// member waits no longer.
    fn update(&mut self, turn: &mut Turn<'_>, ticket: Ticket, id: &Arc<str>, event: &Join) {
        let Some(mut member) = self.members.remove(id) else {
            return;
        };
        let earlier = member.joining.replace(ticket);
        turn.refuse_waiting(earlier, ErrorCode::RebalanceInProgress);
        member.protocols.clone_from(&event.protocols);
        member.session_timeout_ms = event.session_timeout_ms;
        member.rebalance_timeout_ms = event.rebalance_timeout_ms;
        self.members.insert(member);
    }

    /// G-8: a static member comes back without its id. A new id takes the old one's place, and
    /// whoever still uses the old one is fenced.
    fn replace_static(
        &mut self,
        turn: &mut Turn<'_>,
        ticket: Ticket,
        old: &Arc<str>,
        id: Arc<str>,
        event: &Join,
    ) {
        let Some(mut member) = self.members.remove(old) else {
            return;
        };
        let leader_before = self.leader.clone().unwrap_or_default();
        turn.refuse_waiting(member.joining.take(), ErrorCode::FencedInstanceId);
        turn.refuse_waiting(member.syncing.take(), ErrorCode::FencedInstanceId);
        turn.release_member(old);
        turn.keep_member(&id, i64::from(event.session_timeout_ms));
        if self.leader.as_ref() == Some(old) {
            self.leader = Some(id.clone());
        }
        if self.unsynced.remove(old) {
            self.unsynced.insert(id.clone());
        }
        member.id = id.clone();
        member.new = false;
        self.members.insert(member);
        self.update(turn, ticket, &id, event);
        match self.state {
            State::Stable if self.members.choose_protocol() == self.protocol => {
                self.members.take_joining(&id);
                self.note_subscriptions();
                turn.persist = true;
                let leads = self.leader.as_ref() == Some(&id);
                let mut joined = self.joined(&id, leads && event.can_skip_assignment);
                joined.skip_assignment = leads && event.can_skip_assignment;
                if !event.can_skip_assignment {
                    // Told that it leads, it would make a new assignment for a stable group.
                    joined.leader = leader_before;
                }
                turn.reply(ticket, Reply::Joined(joined));
            }
            State::Stable | State::Completing => self.prepare(turn),
            State::Preparing(_) | State::Empty => self.maybe_complete(turn),
        }
    }

    /// A member's place in this generation.
    pub(super) fn joined(&self, id: &Arc<str>, with_members: bool) -> Joined {
        let protocol = self.protocol.as_deref().unwrap_or_default();
        let members = self.members.iter().filter(|_| with_members);
        Joined {
            member: id.clone(),
            generation: self.generation,
            protocol_type: self.protocol_type(),
            protocol: self.protocol.clone(),
            leader: self.leader.clone().unwrap_or_default(),
            members: members
                .map(|member| JoinedMember {
                    id: member.id.clone(),
                    instance: member.instance.clone(),
                    metadata: member.metadata(protocol),
                })
                .collect(),
            skip_assignment: false,
        }
    }
}

/// A member id as Kafka makes them: who it is, and something fresh.
pub fn member_id(prefix: &str, event: &Join) -> Arc<str> {
    let mut end = prefix.len().min(MEMBER_PREFIX_MAX);
    while !prefix.is_char_boundary(end) {
        end -= 1;
    }
    format!("{}-{}", &prefix[..end], event.fresh.hyphenated()).into()
}
