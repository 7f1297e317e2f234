//! How a group gets from one generation to the next, and what time does to it.

use std::sync::Arc;

use ratel_protocol::ErrorCode;

use super::{Classic, Initial, State};
use crate::coordinator::group::event::Reply;
use crate::coordinator::group::turn::{Timer, Turn};

impl Classic {
    pub(super) fn enter(&mut self, turn: &Turn<'_>, state: State) {
        self.state = state;
        self.state_timestamp_ms = turn.now.wall_ms;
    }

    /// Begin a rebalance, or go on with the one under way.
    pub(super) fn rebalance(&mut self, turn: &mut Turn<'_>) {
        match self.state {
            State::Preparing(_) => self.maybe_complete(turn),
            State::Empty | State::Completing | State::Stable => self.prepare(turn),
        }
    }

    /// Members went: the rest must share out their work anew.
    pub(super) fn after_removal(&mut self, turn: &mut Turn<'_>) {
        match self.state {
            State::Stable | State::Completing => self.prepare(turn),
            State::Preparing(_) => self.maybe_complete(turn),
            State::Empty => {}
        }
    }

    /// Begin a rebalance: who waits for an assignment must join again.
    pub(super) fn prepare(&mut self, turn: &mut Turn<'_>) {
        if self.state == State::Completing {
            self.members.assign(&[]);
            for id in self.members.ids(|member| member.syncing.is_some()) {
                let ticket = self.members.take_syncing(&id);
                turn.refuse_waiting(ticket, ErrorCode::RebalanceInProgress);
                self.keep(turn, &id);
            }
        }
        self.unsynced.clear();
        turn.timers.cancel(&Timer::Sync(turn.group.clone()));
        if self.state == State::Empty {
            return self.prepare_first(turn);
        }
        self.enter(turn, State::Preparing(None));
        if self.all_joined() {
            self.complete_join(turn);
        } else {
            turn.end_join_in(self.members.rebalance_timeout_ms());
        }
    }

    /// The group is new: the others are likely on their way (G-5).
    fn prepare_first(&mut self, turn: &mut Turn<'_>) {
        let delay_ms = turn.limits.initial_rebalance_delay_ms;
        let remaining_ms = self.members.rebalance_timeout_ms() - delay_ms;
        self.enter(
            turn,
            State::Preparing(Some(Initial {
                delay_ms,
                remaining_ms: remaining_ms.max(0),
                grew: false,
            })),
        );
        if delay_ms == 0 {
            self.complete_join(turn);
        } else {
            turn.end_join_in(delay_ms);
        }
    }

    /// The wait for joins is over; a new group that has grown meanwhile waits on, up to the
    /// longest rebalance timeout.
    pub fn join_timeout(&mut self, turn: &mut Turn<'_>) {
        match self.state {
            State::Preparing(Some(initial)) if initial.grew && initial.remaining_ms > 0 => {
                let delay_ms = turn
                    .limits
                    .initial_rebalance_delay_ms
                    .min(initial.remaining_ms);
                self.state = State::Preparing(Some(Initial {
                    delay_ms,
                    remaining_ms: (initial.remaining_ms - initial.delay_ms).max(0),
                    grew: false,
                }));
                turn.end_join_in(delay_ms);
            }
            State::Preparing(_) => self.complete_join(turn),
            State::Empty | State::Completing | State::Stable => {}
        }
    }

    fn all_joined(&self) -> bool {
        self.members.joining() == self.members.len() && self.pending.is_empty()
    }

    /// End the rebalance if nobody is missing. The first one ends by time alone.
    pub(super) fn maybe_complete(&mut self, turn: &mut Turn<'_>) {
        if self.state == State::Preparing(None) && self.all_joined() {
            self.complete_join(turn);
        }
    }

    /// End the wait for joins: dynamic members that did not join are out, static ones stay.
    fn complete_join(&mut self, turn: &mut Turn<'_>) {
        turn.timers.cancel(&Timer::Join(turn.group.clone()));
        for id in self
            .members
            .ids(|member| member.joining.is_none() && member.instance.is_none())
        {
            self.drop_member(turn, &id);
        }
        if self.members.is_empty() {
            self.generation = self.generation.saturating_add(1);
            self.protocol = None;
            self.leader = None;
            self.note_subscriptions();
            self.enter(turn, State::Empty);
            turn.persist = true;
        } else if self.members.joining() == 0 {
            self.enter(turn, State::Preparing(None));
            turn.end_join_in(self.members.rebalance_timeout_ms().max(1));
        } else {
            self.begin_generation(turn);
        }
    }

    fn begin_generation(&mut self, turn: &mut Turn<'_>) {
        self.elect_leader();
        self.generation = self.generation.saturating_add(1);
        self.protocol = self.members.choose_protocol();
        self.note_subscriptions();
        self.enter(turn, State::Completing);
        for id in self.members.ids(|_| true) {
            if let Some(ticket) = self.members.take_joining(&id) {
                let leads = self.leader.as_ref() == Some(&id);
                let joined = self.joined(&id, leads);
                turn.reply(ticket, Reply::Joined(joined));
            }
            self.keep(turn, &id);
            self.unsynced.insert(id);
        }
        turn.end_sync_in(self.members.rebalance_timeout_ms());
    }

    /// The leader must be someone who has joined, to be told of the others.
    fn elect_leader(&mut self) {
        let leader = self.leader.as_deref();
        let leader = leader.and_then(|id| self.members.member(id));
        if leader.is_none_or(|member| member.joining.is_none()) {
            self.leader = self
                .members
                .iter()
                .find(|member| member.joining.is_some())
                .map(|member| member.id.clone());
        }
    }

    /// The wait for syncs is over: who has not synced is out.
    pub fn sync_timeout(&mut self, turn: &mut Turn<'_>) {
        let missing = std::mem::take(&mut self.unsynced);
        if missing.is_empty() || !matches!(self.state, State::Completing | State::Stable) {
            return;
        }
        for id in missing {
            self.drop_member(turn, &id);
        }
        self.prepare(turn);
    }

    /// A member was silent for too long. Who waits for an answer cannot speak, so is not silent;
    /// a new member, which has no id to speak with, must ask again after a while.
    pub fn member_timeout(&mut self, turn: &mut Turn<'_>, id: &Arc<str>) {
        if self.pending.remove(id) {
            return self.maybe_complete(turn);
        }
        let Some(member) = self.members.member(id) else {
            return;
        };
        let waits = member.joining.is_some() || member.syncing.is_some();
        if member.new || !waits {
            self.drop_member(turn, id);
            self.after_removal(turn);
        }
    }

    /// Take a member out. Its waiting requests end with UNKNOWN_MEMBER_ID: it may join anew.
    pub(super) fn drop_member(&mut self, turn: &mut Turn<'_>, id: &Arc<str>) {
        turn.release_member(id);
        self.unsynced.remove(id);
        let Some(member) = self.members.remove(id) else {
            return;
        };
        turn.refuse_waiting(member.joining, ErrorCode::UnknownMemberId);
        turn.refuse_waiting(member.syncing, ErrorCode::UnknownMemberId);
        if self.leader.as_ref() == Some(id) {
            self.leader = self.members.iter().next().map(|next| next.id.clone());
        }
    }

    /// A member's session begins anew.
    fn keep(&self, turn: &mut Turn<'_>, id: &Arc<str>) {
        if let Some(member) = self.members.member(id) {
            turn.keep_member(id, i64::from(member.session_timeout_ms));
        }
    }
}
