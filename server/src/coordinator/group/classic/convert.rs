//! A classic group becomes a consumer group, or comes from one (H-10).

use ratel_protocol::ErrorCode;

use super::{Classic, State};
use crate::coordinator::group::embedded::CONSUMER;
use crate::coordinator::group::members::{Member, Members};
use crate::coordinator::group::turn::{Timer, Turn};

impl Classic {
    /// The group is about to become a consumer group. Who waits in it must join that, and nothing
    /// is waited for any more.
    pub fn hand_over(&mut self, turn: &mut Turn<'_>) {
        for id in self.members.ids(|_| true) {
            for ticket in [
                self.members.take_joining(&id),
                self.members.take_syncing(&id),
            ] {
                turn.refuse_waiting(ticket, ErrorCode::RebalanceInProgress);
            }
            turn.release_member(&id);
        }
        self.forget_pending(turn);
        for timer in [Timer::Join, Timer::Sync] {
            turn.timers.cancel(&timer(turn.group.clone()));
        }
    }

    /// The group of these members, which were a consumer group's: stable at its epoch.
    pub fn take_over(members: Members, epoch: i32, wall_ms: i64) -> Self {
        let first = members.iter().next();
        let leader = first.map(|member| member.id.clone());
        let mut group = Self {
            protocol_type: Some(CONSUMER.into()),
            protocol: members.choose_protocol(),
            generation: epoch,
            leader,
            state: State::Stable,
            state_timestamp_ms: wall_ms,
            members,
            ..Self::default()
        };
        group.note_subscriptions();
        group
    }

    /// The sessions of all members begin anew; if `rebalances`, so does the sharing out of their
    /// work.
    pub fn go_on(&mut self, turn: &mut Turn<'_>, rebalances: bool) {
        self.begin_sessions(turn);
        if rebalances && self.state == State::Stable {
            self.prepare(turn);
        }
    }
}

impl Member {
    /// The bytes that its metadata and its assignment take in a record.
    pub fn record_bytes(&self, protocol: &str) -> usize {
        self.metadata(protocol).len() + self.assignment.len()
    }
}
