//! ConsumerGroupHeartbeat (key 68), versions 0 to 1: members of consumer groups join, stay and
//! leave (KIP-848; H-1 to H-7).
//!
//! Epoch 0 joins, -1 leaves, -2 leaves for a while, for static members. What is null is as it was.
//! The assignment is in the answer if it changed, to who joins, and to a full request.
//! - v0: who joins without an id is given one
//! - v1: the client makes the id; subscription by regular expression (H-7)

use std::ops::RangeInclusive;
use std::sync::Arc;

use ratel_protocol::messages::consumer_group_heartbeat_request::TopicPartitions as Owned;
use ratel_protocol::messages::consumer_group_heartbeat_response::{Assignment, TopicPartitions};
use ratel_protocol::messages::{ConsumerGroupHeartbeatRequest, ConsumerGroupHeartbeatResponse};
use ratel_protocol::{ApiKey, ErrorCode, StrBytes};
use uuid::Uuid;

use super::groups::{STRANGE, client_host, own, own_or_none, send_with_topics, text};
use super::{Api, Context, Later};
use crate::config::split_list;
use crate::coordinator::group::{self, ConsumerBeat, ConsumerHeartbeat, Event, Reply};
use crate::error::Refusal;
use crate::groups::{look_up, resolve};

pub struct ConsumerGroupHeartbeat;

impl Api for ConsumerGroupHeartbeat {
    type Request = ConsumerGroupHeartbeatRequest;
    const KEY: ApiKey = ApiKey::ConsumerGroupHeartbeat;
    const VERSIONS: RangeInclusive<i16> = 0..=1;

    async fn handle(cx: Context, request: ConsumerGroupHeartbeatRequest) -> Later {
        if let Err(refusal) = check(&cx, &request) {
            return cx.ready(&refused(refusal.code, refusal.message));
        }
        let event = Event::ConsumerHeartbeat(event(&cx, &request).await);
        let reply = send_with_topics(&cx, &request.group_id, event);
        Later::wait(async move {
            let response = match reply.await {
                Ok(Reply::ConsumerBeat(beat)) => answer(&beat),
                Ok(_) => refused(STRANGE, None),
                Err(error) => refused(error, sentence(error).map(text)),
            };
            cx.answer(&response)
        })
    }
}

/// What can be said of a request without looking at the group (H-1).
fn check(cx: &Context, request: &ConsumerGroupHeartbeatRequest) -> Result<(), Refusal> {
    let epoch = request.member_epoch;
    let is_blank = |text: &str| text.trim().is_empty();
    let is_empty_list = |owned: &Vec<Owned>| owned.is_empty();
    let none = |text: Option<&StrBytes>| text.is_some_and(|text| is_blank(text));
    let must_have_id = cx.version >= 1 || epoch > 0 || epoch == -1;
    let invalid = if must_have_id && is_blank(&request.member_id) {
        "A member's id is not empty."
    } else if is_blank(&request.group_id) {
        "A group's id is not empty."
    } else if none(request.instance_id.as_ref()) {
        "A static member's name is not empty."
    } else if none(request.rack_id.as_ref()) {
        "A rack's id is not empty."
    } else if epoch == 0 && request.rebalance_timeout_ms == -1 {
        "Who joins says how long it may take to give up partitions."
    } else if epoch == 0 && !request.topic_partitions.as_ref().is_some_and(is_empty_list) {
        "Who joins holds no partitions, and says so."
    } else if epoch == 0
        && request.subscribed_topic_names.is_none()
        && request.subscribed_topic_regex.is_none()
    {
        "Who joins says which topics it reads."
    } else if epoch == -2 && request.instance_id.is_none() {
        "Only a static member leaves for a while."
    } else if epoch < -2 {
        "A member's epoch is -2 or more."
    } else {
        return check_assignor(cx, request);
    };
    Err(Refusal::new(ErrorCode::InvalidRequest, invalid))
}

fn check_assignor(cx: &Context, request: &ConsumerGroupHeartbeatRequest) -> Result<(), Refusal> {
    let config = cx.broker.catalog.brokers().effective().clone();
    let there = &config.group_consumer_assignors;
    match &request.server_assignor {
        Some(name) if !split_list(there).any(|known| known == &**name) => Err(Refusal::new(
            ErrorCode::UnsupportedAssignor,
            format!("There is no such assignor, but there are: {there}."),
        )),
        _ => Ok(()),
    }
}

async fn event(cx: &Context, request: &ConsumerGroupHeartbeatRequest) -> ConsumerHeartbeat {
    let topics = request.subscribed_topic_names.as_ref();
    let topics: Option<Vec<Arc<str>>> =
        topics.map(|names| names.iter().map(|name| own(name)).collect());
    let view = &cx.broker.catalog.view;
    let regex = own_or_none(request.subscribed_topic_regex.as_ref());
    let matches = match &regex {
        Some(regex) => resolve(view.clone(), regex.clone()).await,
        None => None,
    };
    let regex_valid = matches.is_some() || regex.is_none();
    let matched = matches.iter().flat_map(|(_, names)| names);
    let found = topics.iter().flatten().chain(matched);
    let found = found.map(|name| look_up(view, name)).collect();
    let member = match request.member_id.is_empty() {
        true => Uuid::new_v4().to_string().into(),
        false => own(&request.member_id),
    };
    ConsumerHeartbeat {
        group: own(&request.group_id),
        member,
        epoch: request.member_epoch,
        instance: own_or_none(request.instance_id.as_ref()),
        rack: own_or_none(request.rack_id.as_ref()),
        rebalance_timeout_ms: Some(request.rebalance_timeout_ms).filter(|ms| *ms != -1),
        topics,
        regex,
        regex_valid,
        matches,
        assignor: own_or_none(request.server_assignor.as_ref()),
        owned: request.topic_partitions.as_deref().map(owned),
        found,
        classic: None,
        client_id: own(cx.client_id.as_deref().unwrap_or_default()),
        client_host: client_host(cx),
        settings: view.group_settings(&request.group_id).consumer,
    }
}

fn owned(topics: &[Owned]) -> group::Assignment {
    let mut owned = group::Assignment::new();
    for topic in topics {
        let there: &mut Vec<i32> = owned.entry(topic.topic_id).or_default();
        there.extend(&topic.partitions);
    }
    for indexes in owned.values_mut() {
        indexes.sort_unstable();
        indexes.dedup();
    }
    owned.retain(|_, indexes| !indexes.is_empty());
    owned
}

fn answer(beat: &ConsumerBeat) -> ConsumerGroupHeartbeatResponse {
    let assignment = beat.assignment.as_deref().map(|assignment| {
        let topics = assignment.iter().map(|(topic, partitions)| {
            TopicPartitions::default()
                .with_topic_id(*topic)
                .with_partitions(partitions.clone())
        });
        Assignment::default().with_topic_partitions(topics.collect())
    });
    ConsumerGroupHeartbeatResponse::default()
        .with_member_id(Some(text(&beat.member)))
        .with_member_epoch(beat.epoch)
        .with_heartbeat_interval_ms(beat.heartbeat_interval_ms)
        .with_assignment(assignment)
}

fn refused(error: ErrorCode, why: Option<StrBytes>) -> ConsumerGroupHeartbeatResponse {
    ConsumerGroupHeartbeatResponse::default()
        .with_error_code(error.code())
        .with_error_message(why)
}

fn sentence(error: ErrorCode) -> Option<&'static str> {
    Some(match error {
        ErrorCode::GroupIdNotFound => {
            "There is no consumer group of this name. A classic group becomes one when a member \
             joins, if group.consumer.migration.policy allows that, if its members are consumers \
             whose assignor adds no bytes of its own, and if they are no more than \
             group.consumer.max.size."
        }
        ErrorCode::UnknownMemberId => "The group does not know this member: it must join anew.",
        ErrorCode::FencedMemberEpoch => {
            "The member's epoch is not the group's: it must give up its partitions and join anew."
        }
        ErrorCode::UnreleasedInstanceId => {
            "Another member uses this static name, and has not left for a while."
        }
        ErrorCode::FencedInstanceId => "Another member has taken this static name.",
        ErrorCode::InvalidRegularExpression => {
            "The regular expression cannot be understood, takes too much memory, or is one more \
             than the 100 different ones that the members of a group may have."
        }
        ErrorCode::GroupMaxSizeReached => "The group has as many members as it may have.",
        ErrorCode::InvalidRequest => "The member says more of itself than is allowed.",
        _ => return None,
    })
}

#[cfg(test)]
mod tests;
