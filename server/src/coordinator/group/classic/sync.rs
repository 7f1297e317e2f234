//! SyncGroup.

use std::sync::Arc;

use ratel_protocol::ErrorCode;

use super::{Classic, State};
use crate::coordinator::Ticket;
use crate::coordinator::group::event::{Reply, Sync, Synced};
use crate::coordinator::group::turn::{Timer, Turn};

impl Classic {
    /// Give a member its assignment, now or when the leader has brought it (G-9).
    pub fn sync(&mut self, turn: &mut Turn<'_>, ticket: Ticket, event: Sync) {
        if let Err(error) = self.check_sync(&event) {
            return turn.refuse(ticket, error);
        }
        match self.state {
            State::Empty => turn.refuse(ticket, ErrorCode::UnknownMemberId),
            State::Preparing(_) => turn.refuse(ticket, ErrorCode::RebalanceInProgress),
            State::Stable => {
                self.note_synced(turn, &event.member);
                self.reply_synced(turn, ticket, &event.member);
            }
            State::Completing => {
                self.note_synced(turn, &event.member);
                let earlier = self.members.park_sync(&event.member, ticket);
                turn.refuse_waiting(earlier, ErrorCode::RebalanceInProgress);
                if self.leader.as_ref() == Some(&event.member) {
                    self.take_assignment(turn, &event);
                }
            }
        }
    }

    fn check_sync(&self, event: &Sync) -> Result<(), ErrorCode> {
        self.check_generation(&event.member, event.instance.as_deref(), event.generation)?;
        let other = |said: &Option<Arc<str>>, is: &Option<Arc<str>>| said.is_some() && said != is;
        if other(&event.protocol_type, &self.protocol_type)
            || other(&event.protocol, &self.protocol)
        {
            return Err(ErrorCode::InconsistentGroupProtocol);
        }
        Ok(())
    }

    fn note_synced(&mut self, turn: &mut Turn<'_>, id: &Arc<str>) {
        self.unsynced.remove(id);
        if self.unsynced.is_empty() {
            turn.timers.cancel(&Timer::Sync(turn.group.clone()));
        }
    }

    /// The leader has spoken: the generation stands, and everybody who waits hears of it.
    fn take_assignment(&mut self, turn: &mut Turn<'_>, event: &Sync) {
        let protocol = self.protocol.as_deref().unwrap_or_default();
        let subscriptions: usize = self
            .members
            .iter()
            .map(|member| member.metadata(protocol).len())
            .sum();
        let assignments: usize = event.assignments.iter().map(|(_, bytes)| bytes.len()).sum();
        if subscriptions + assignments > turn.limits.group_bytes_max {
            let ticket = self.members.take_syncing(&event.member);
            turn.refuse_waiting(ticket, ErrorCode::MessageTooLarge);
            return self.prepare(turn);
        }
        self.members.assign(&event.assignments);
        self.enter(turn, State::Stable);
        turn.persist = true;
        for id in self.members.ids(|member| member.syncing.is_some()) {
            if let Some(ticket) = self.members.take_syncing(&id) {
                self.reply_synced(turn, ticket, &id);
            }
        }
    }

    fn reply_synced(&self, turn: &mut Turn<'_>, ticket: Ticket, id: &Arc<str>) {
        let Some(member) = self.members.member(id) else {
            return turn.refuse(ticket, ErrorCode::UnknownMemberId);
        };
        turn.keep_member(id, i64::from(member.session_timeout_ms));
        let synced = Synced {
            protocol_type: self.protocol_type(),
            protocol: self.protocol.clone(),
            assignment: member.assignment.clone(),
        };
        turn.reply(ticket, Reply::Synced(synced));
    }
}
