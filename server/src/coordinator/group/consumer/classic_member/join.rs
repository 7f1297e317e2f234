//! JoinGroup into a consumer group.

use std::sync::Arc;

use ratel_protocol::ErrorCode;

use crate::clock::Timestamp;
use crate::config::MigrationPolicy;
use crate::coordinator::group::GroupMachine;
use crate::coordinator::group::classic::member_id;
use crate::coordinator::group::consumer::heartbeat::JOIN;
use crate::coordinator::group::consumer::known::{Known, Stop};
use crate::coordinator::group::consumer::upgrade::in_order;
use crate::coordinator::group::consumer::{
    Assignment, ClassicMember, Consumer, ConsumerHeartbeat, ConsumerSettings,
};
use crate::coordinator::group::embedded::CONSUMER;
use crate::coordinator::group::embedded::subscription::{self, Subscription};
use crate::coordinator::group::event::{Join, Joined, Protocol, Reply};
use crate::coordinator::group::topics::Topics;
use crate::coordinator::group::turn::Timer;
use crate::coordinator::{Effects, Ticket};

/// What a member reads and holds: its protocols tell the same of that.
///
/// # Errors
/// What is wrong with it.
pub(in crate::coordinator::group::consumer) fn subscription_of(
    event: &Join,
) -> Result<Subscription<'_>, String> {
    let first = event.protocols.first();
    subscription::parse(first.map_or(&[], |protocol| &protocol.metadata))
}

impl GroupMachine {
    /// JoinGroup: into the group, and to its newest epoch.
    pub(in crate::coordinator::group) fn classic_member_join(
        &mut self,
        now: Timestamp,
        ticket: Ticket,
        event: Join,
        out: &mut Effects<Self>,
    ) {
        match self.classic_member_enter(now, ticket, event, out) {
            Ok(Some(reply)) => out.reply(ticket, reply),
            Ok(None) => {}
            Err(Stop::Refused(error)) => out.refuse(ticket, error),
            Err(Stop::Wants(topics)) => out.reply_now(ticket, Reply::TopicsWanted(topics)),
        }
    }

    /// What is answered, unless the group has become a classic one and answers by itself.
    fn classic_member_enter(
        &mut self,
        now: Timestamp,
        ticket: Ticket,
        mut event: Join,
        out: &mut Effects<Self>,
    ) -> Result<Option<Reply>, Stop> {
        let consumer = self.consumer(&event.group)?;
        if self.limits.consumer.migration == MigrationPolicy::Disabled {
            return Err(ErrorCode::InconsistentGroupProtocol.into());
        }
        let is_full = consumer.len() >= self.limits.consumer.members_max;
        if is_full && !consumer.members.contains_key(&event.member) {
            return Err(ErrorCode::GroupMaxSizeReached.into());
        }
        if &*event.protocol_type != CONSUMER || !consumer.can_follow(&event.protocols) {
            return Err(ErrorCode::InconsistentGroupProtocol.into());
        }
        let is_new = event.member.is_empty();
        if is_new && event.instance.is_none() && event.requires_member_id {
            let id = member_id(&event.client_id, &event);
            return Ok(Some(Reply::MemberIdRequired(id)));
        }
        if !is_new && event.instance.is_some() {
            consumer.named(&event.member, event.instance.as_deref())?;
        }
        let topics = Places::of(&event, &self.topics)?;
        if !consumer.members.contains_key(&event.member) && !is_new && topics.holds {
            // It was put out, and what it had is given to others.
            return Err(ErrorCode::UnknownMemberId.into());
        }
        if self.consumer_return(now, ticket, &event, out)? {
            return Ok(None);
        }
        if is_new {
            let prefix = event.instance.as_ref().unwrap_or(&event.client_id);
            event.member = member_id(prefix, &event);
        }
        let settings = self.limits.consumer.settings;
        let (session_ms, sync_ms) = (event.session_timeout_ms, event.rebalance_timeout_ms);
        let protocol = event.protocols.first().map(|one| one.name.clone());
        let heartbeat = as_heartbeat(event, topics, settings);
        let change = self.consumer_check(&heartbeat, None)?;
        let current = self.consumer_advance(now, &heartbeat, change, out)?;
        let (id, member) = (&heartbeat.group, &heartbeat.member);
        self.consumer_release(id, member);
        self.classic_member_keep(now, id, member, session_ms);
        self.classic_member_awaits(Timer::MemberSync, now, id, member, sync_ms);
        Ok(Some(Reply::Joined(Joined {
            member: heartbeat.member,
            generation: current.epoch,
            protocol_type: CONSUMER.into(),
            protocol,
            leader: "".into(),
            members: Vec::new(),
            skip_assignment: false,
        })))
    }
}

/// A JoinGroup as the heartbeat that it counts as.
fn as_heartbeat(event: Join, topics: Places, settings: ConsumerSettings) -> ConsumerHeartbeat {
    ConsumerHeartbeat {
        group: event.group,
        member: event.member,
        epoch: JOIN,
        instance: event.instance,
        rack: topics.rack,
        rebalance_timeout_ms: Some(event.rebalance_timeout_ms),
        topics: Some(topics.reads),
        regex: Some("".into()),
        regex_valid: true,
        assignor: None,
        matches: None,
        owned: Some(topics.owned),
        found: event.found,
        classic: Some(ClassicMember {
            session_timeout_ms: event.session_timeout_ms,
            protocols: event.protocols,
        }),
        client_id: event.client_id,
        client_host: event.client_host,
        settings,
    }
}

impl Consumer {
    /// Whether one of these protocols is known to all members that speak the classic one.
    fn can_follow(&self, protocols: &[Protocol]) -> bool {
        let members = self.members.values();
        let classic: Vec<_> = members
            .filter_map(|one| one.metadata.classic.as_ref())
            .collect();
        protocols.iter().any(|protocol| {
            classic.iter().all(|one| {
                let mut known = one.protocols.iter();
                known.any(|known| known.name == protocol.name)
            })
        })
    }
}

/// What a member reads and holds, with topics by their ids.
struct Places {
    rack: Option<Arc<str>>,
    reads: Vec<Arc<str>>,
    owned: Assignment,
    /// It says that it holds something, known or not.
    holds: bool,
}

impl Places {
    fn of(event: &Join, topics: &Topics) -> Result<Self, Stop> {
        let subscription = subscription_of(event).map_err(|_| ErrorCode::UnknownServerError)?;
        let mut known = Known::new(topics, &event.found);
        for topic in &subscription.topics {
            known.topic(topic);
        }
        let mut owned = Assignment::new();
        let holds = !subscription.owned.is_empty();
        for (topic, partitions) in subscription.owned {
            if let Some((topic, _)) = known.topic(topic) {
                owned.entry(topic).or_default().extend(partitions);
            }
        }
        known.done()?;
        Ok(Self {
            rack: subscription.rack.map(Arc::from),
            reads: subscription.topics.into_iter().map(Arc::from).collect(),
            owned: in_order(owned),
            holds,
        })
    }
}
