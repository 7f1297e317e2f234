//! One step of one group: what it may look at, and what came of it.

use std::sync::Arc;

use ratel_protocol::ErrorCode;

use super::event::Reply;
use super::limits::Limits;
use super::timers::Timers;
use crate::clock::Timestamp;
use crate::coordinator::{Ticket, When};

/// The deadlines of a shard.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Timer {
    /// A group's rebalance waits no longer.
    Join(Arc<str>),
    /// A group waits no longer for who has not synced.
    Sync(Arc<str>),
    /// A member (group, id) has been silent for too long.
    Member(Arc<str>, Arc<str>),
    /// A member (group, id) of a consumer group takes too long to give up partitions.
    Rebalance(Arc<str>, Arc<str>),
    /// A member (group, id) of a consumer group that speaks the classic protocol takes too long to
    /// join anew.
    MemberJoin(Arc<str>, Arc<str>),
    /// Such a member takes too long to sync.
    MemberSync(Arc<str>, Arc<str>),
    /// A consumer group's regular expressions are held against all topics once more.
    Regex(Arc<str>),
    /// What a share group asked for its queues is asked again.
    Queues(Arc<str>),
    /// Offsets of deleted topics are still there.
    Gone,
    /// Expired offsets are looked for.
    Expire,
}

/// An answer, and when it may go.
pub type Answer = (Ticket, Result<Reply, ErrorCode>, When);

/// What a group works with during one event.
pub struct Turn<'a> {
    /// The time.
    pub now: Timestamp,
    /// The group's id.
    pub group: &'a Arc<str>,
    /// The limits in force.
    pub limits: &'a Limits,
    /// The shard's deadlines.
    pub timers: &'a mut Timers<Timer>,
    /// Answers so far.
    pub answers: Vec<Answer>,
    /// The group's state must be written down before the answers go.
    pub persist: bool,
}

impl<'a> Turn<'a> {
    /// A turn in which nothing has happened.
    pub fn new(
        now: Timestamp,
        group: &'a Arc<str>,
        limits: &'a Limits,
        timers: &'a mut Timers<Timer>,
    ) -> Self {
        Self {
            now,
            group,
            limits,
            timers,
            answers: Vec::new(),
            persist: false,
        }
    }

    /// Answer once everything decided so far is durable.
    pub fn reply(&mut self, ticket: Ticket, reply: Reply) {
        self.answers.push((ticket, Ok(reply), When::Durable));
    }

    /// Answer at once.
    pub fn reply_now(&mut self, ticket: Ticket, reply: Reply) {
        self.answers.push((ticket, Ok(reply), When::Now));
    }

    /// Refuse at once.
    pub fn refuse(&mut self, ticket: Ticket, error: ErrorCode) {
        self.answers.push((ticket, Err(error), When::Now));
    }

    /// Refuse whoever waits, if anyone does.
    pub fn refuse_waiting(&mut self, ticket: Option<Ticket>, error: ErrorCode) {
        if let Some(ticket) = ticket {
            self.refuse(ticket, error);
        }
    }

    /// Let a member be silent for another `timeout_ms`.
    pub fn keep_member(&mut self, member: &Arc<str>, timeout_ms: i64) {
        self.timers.set(
            Timer::Member(self.group.clone(), member.clone()),
            self.now.monotonic_ms.saturating_add(timeout_ms),
        );
    }

    /// Stop waiting for a member.
    pub fn release_member(&mut self, member: &Arc<str>) {
        self.timers
            .cancel(&Timer::Member(self.group.clone(), member.clone()));
    }

    /// End the wait for joins in `ms`.
    pub fn end_join_in(&mut self, ms: i64) {
        self.timers.set(
            Timer::Join(self.group.clone()),
            self.now.monotonic_ms.saturating_add(ms),
        );
    }

    /// End the wait for syncs in `ms`.
    pub fn end_sync_in(&mut self, ms: i64) {
        self.timers.set(
            Timer::Sync(self.group.clone()),
            self.now.monotonic_ms.saturating_add(ms),
        );
    }
}
