//! ShareGroupHeartbeat (key 76), version 1: members of share groups join, stay and leave (KIP-932).
//!
//! Epoch 0 joins, -1 leaves. The member's id is the client's own, 1 to 36 characters. What is null
//! is as it was. The assignment is in the answer if it changed, or if the request was a full one.

use std::ops::RangeInclusive;
use std::sync::Arc;

use ratel_protocol::messages::share_group_heartbeat_response::{Assignment, TopicPartitions};
use ratel_protocol::messages::{ShareGroupHeartbeatRequest, ShareGroupHeartbeatResponse};
use ratel_protocol::{ApiKey, ErrorCode, StrBytes};

use super::groups::{STRANGE, client_host, own, own_or_none, text};
use super::{Api, Context, Later};
use crate::coordinator::group::{Event, Reply, ShareBeat, ShareHeartbeat, ShareSettings};
use crate::groups::look_up;

pub struct ShareGroupHeartbeat;

/// The most characters that a member's id may have: those of a uuid.
const MEMBER_ID_MAX: usize = 36;

impl Api for ShareGroupHeartbeat {
    type Request = ShareGroupHeartbeatRequest;
    const KEY: ApiKey = ApiKey::ShareGroupHeartbeat;
    const VERSIONS: RangeInclusive<i16> = 1..=1;

    async fn handle(cx: Context, request: ShareGroupHeartbeatRequest) -> Later {
        let member = request.member_id.clone();
        if let Err(why) = check(&request) {
            return cx.ready(&refusal(ErrorCode::InvalidRequest, Some(why)));
        }
        let event = Event::ShareHeartbeat(event(&cx, &request));
        let reply = cx.broker.groups.send(&request.group_id, event);
        Later::wait(async move {
            let response = match reply.await {
                Ok(Reply::ShareBeat(beat)) => answer(member, &beat),
                Ok(_) => refusal(STRANGE, None),
                Err(error) => refusal(error, sentence(error)),
            };
            cx.answer(&response)
        })
    }
}

/// What can be said of a request without looking at the group.
fn check(request: &ShareGroupHeartbeatRequest) -> Result<(), &'static str> {
    let member = request.member_id.encode_utf16().take(MEMBER_ID_MAX + 1);
    let topics = request.subscribed_topic_names.as_deref();
    let is_blank = |text: &str| text.trim().is_empty();
    if is_blank(&request.member_id) || member.count() > MEMBER_ID_MAX {
        Err("A member's id is 1 to 36 characters, not blank.")
    } else if is_blank(&request.group_id) {
        Err("A group's id is not blank.")
    } else if request.rack_id.as_ref().is_some_and(|rack| is_blank(rack)) {
        Err("A rack's id is not blank.")
    } else if request.member_epoch < -1 {
        Err("A member's epoch is -1 or more.")
    } else if request.member_epoch == 0 && topics.is_none_or(<[_]>::is_empty) {
        Err("Who joins says which topics it reads.")
    } else {
        Ok(())
    }
}

fn event(cx: &Context, request: &ShareGroupHeartbeatRequest) -> ShareHeartbeat {
    let topics = request.subscribed_topic_names.as_ref();
    let topics: Option<Vec<Arc<str>>> =
        topics.map(|names| names.iter().map(|name| own(name)).collect());
    let view = &cx.broker.catalog.view;
    let found = topics.iter().flatten().map(|name| look_up(view, name));
    ShareHeartbeat {
        group: own(&request.group_id),
        member: own(&request.member_id),
        epoch: request.member_epoch,
        rack: own_or_none(request.rack_id.as_ref()),
        found: found.collect(),
        topics,
        client_id: own(cx.client_id.as_deref().unwrap_or_default()),
        client_host: client_host(cx),
        settings: settings(cx, &request.group_id),
    }
}

fn settings(cx: &Context, group: &str) -> ShareSettings {
    let catalog = &cx.broker.catalog;
    let settings = catalog.view.group_settings(group);
    ShareSettings {
        session_timeout_ms: i64::from(settings.session_timeout_ms),
        heartbeat_interval_ms: settings.heartbeat_interval_ms,
        members_max: catalog.brokers().effective().group_share_max_size,
    }
}

fn answer(member: StrBytes, beat: &ShareBeat) -> ShareGroupHeartbeatResponse {
    let assignment = beat.assignment.as_deref().map(|assignment| {
        let topics = assignment.iter().map(|(topic, partitions)| {
            TopicPartitions::default()
                .with_topic_id(*topic)
                .with_partitions(partitions.clone())
        });
        Assignment::default().with_topic_partitions(topics.collect())
    });
    ShareGroupHeartbeatResponse::default()
        .with_member_id(Some(member))
        .with_member_epoch(beat.epoch)
        .with_heartbeat_interval_ms(beat.heartbeat_interval_ms)
        .with_assignment(assignment)
}

fn refusal(error: ErrorCode, why: Option<&'static str>) -> ShareGroupHeartbeatResponse {
    ShareGroupHeartbeatResponse::default()
        .with_error_code(error.code())
        .with_error_message(why.map(text))
}

fn sentence(error: ErrorCode) -> Option<&'static str> {
    Some(match error {
        ErrorCode::GroupIdNotFound => "There is no share group of this name.",
        ErrorCode::UnknownMemberId => "The group does not know this member: it must join anew.",
        ErrorCode::FencedMemberEpoch => {
            "The member's epoch is not the group's: it must give up its partitions and join anew."
        }
        ErrorCode::GroupMaxSizeReached => "The group has as many members as it may have.",
        ErrorCode::InvalidRequest => "The member says more of itself than is allowed.",
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use ratel_protocol::messages::{GroupId, TopicName};

    use super::super::testing::Bench;
    use super::*;
    use crate::config::Config;

    fn join() -> ShareGroupHeartbeatRequest {
        ShareGroupHeartbeatRequest::default()
            .with_group_id(GroupId("g".into()))
            .with_member_id("m".into())
            .with_subscribed_topic_names(Some(vec![TopicName("t".into())]))
    }

    #[tokio::test]
    async fn a_member_joins_and_hears_of_its_partitions() {
        let bench = Bench::with_groups(Config::default()).await;
        let topic = bench.topic("t", 2);
        let joined = bench.send(1, &join()).await;
        assert_eq!((joined.error_code, joined.member_epoch), (0, 1));
        assert_eq!(joined.heartbeat_interval_ms, 5000);
        let assignment = joined.assignment.expect("an assignment");
        assert_eq!(assignment.topic_partitions[0].topic_id, topic.id);
        assert_eq!(assignment.topic_partitions[0].partitions, [0, 1]);
        let again = join()
            .with_member_epoch(1)
            .with_subscribed_topic_names(None);
        let stays = bench.send(1, &again).await;
        assert_eq!((stays.error_code, stays.member_epoch), (0, 1));
        assert_eq!(stays.assignment, None);
        let left = bench.send(1, &again.with_member_epoch(-1)).await;
        assert_eq!((left.error_code, left.member_epoch), (0, -1));
    }

    #[tokio::test]
    async fn a_request_that_makes_no_sense_is_invalid() {
        let bench = Bench::with_groups(Config::default()).await;
        let invalid = [
            join().with_member_id("".into()),
            join().with_member_id(" ".into()),
            join().with_member_id("m".repeat(37).into()),
            join().with_group_id(GroupId("".into())),
            join().with_group_id(GroupId(" ".into())),
            join().with_member_epoch(-2),
            join().with_rack_id(Some("".into())),
            join().with_rack_id(Some(" ".into())),
            join().with_subscribed_topic_names(None),
            join().with_subscribed_topic_names(Some(Vec::new())),
        ];
        for request in invalid {
            let response = bench.send(1, &request).await;
            assert_eq!(response.error_code, ErrorCode::InvalidRequest.code());
            assert!(response.error_message.is_some());
            assert_eq!(response.member_id, None);
        }
        let longest = join().with_member_id("m".repeat(36).into());
        assert_eq!(bench.send(1, &longest).await.error_code, 0);
    }
}
