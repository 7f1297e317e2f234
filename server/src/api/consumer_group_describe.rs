//! ConsumerGroupDescribe (key 69), versions 0 to 1: consumer groups and their members (KIP-848).
//!
//! A group that is named twice is described once. A classic group is GROUP_ID_NOT_FOUND, which
//! sends administrators to DescribeGroups (H-9).
//! - v1: which protocol a member speaks

use std::ops::RangeInclusive;

use ratel_protocol::messages::consumer_group_describe_response::{
    Assignment, DescribedGroup, Member, TopicPartitions,
};
use ratel_protocol::messages::{
    ConsumerGroupDescribeRequest, ConsumerGroupDescribeResponse, TopicName,
};
use ratel_protocol::{ApiKey, ErrorCode, StrBytes};

use super::describe_groups::GROUP_OPERATIONS;
use super::groups::{describe, distinct, send_each, text};
use super::metadata::NOT_ASKED;
use super::{Api, Context, Later};
use crate::coordinator::catalog::View;
use crate::coordinator::group::{
    self, ConsumerDescription, ConsumerMemberDescription, Event, Reply,
};

pub struct ConsumerGroupDescribe;

/// The protocols that a member may speak, as v1 numbers them.
const TYPE_CLASSIC: i8 = 0;
const TYPE_CONSUMER: i8 = 1;

impl Api for ConsumerGroupDescribe {
    type Request = ConsumerGroupDescribeRequest;
    const KEY: ApiKey = ApiKey::ConsumerGroupDescribe;
    const VERSIONS: RangeInclusive<i16> = 0..=1;

    async fn handle(cx: Context, request: ConsumerGroupDescribeRequest) -> Later {
        let operations = match request.include_authorized_operations {
            true => GROUP_OPERATIONS,
            false => NOT_ASKED,
        };
        let replies = send_each(distinct(request.group_ids), |id| {
            describe(&cx, id, Event::DescribeConsumer, |reply| match reply {
                Reply::ConsumerDescribed(description) => Some(description),
                _ => None,
            })
        })
        .await;
        Later::wait(async move {
            let view = &cx.broker.catalog.view;
            let groups = replies.all().await.into_iter();
            let groups = groups.map(|(id, described)| {
                let operations = match described {
                    Ok(_) => operations,
                    Err(_) => NOT_ASKED,
                };
                group(view, cx.version, &id, described)
                    .with_group_id(id)
                    .with_authorized_operations(operations)
            });
            cx.answer(&ConsumerGroupDescribeResponse::default().with_groups(groups.collect()))
        })
    }
}

type Described = Result<ConsumerDescription, ErrorCode>;

fn group(view: &View, version: i16, id: &str, described: Described) -> DescribedGroup {
    let answer = DescribedGroup::default();
    match described {
        Ok(description) => {
            let members = description.members.into_iter();
            answer
                .with_group_state(StrBytes::from_static_str(description.state))
                .with_group_epoch(description.epoch)
                .with_assignment_epoch(description.assignment_epoch)
                .with_assignor_name(StrBytes::from_static_str(description.assignor))
                .with_members(members.map(|one| member(view, version, &one)).collect())
        }
        Err(error) => answer.with_error_code(error.code()).with_error_message(
            (error == ErrorCode::GroupIdNotFound)
                .then(|| StrBytes::from_string(format!("There is no consumer group {id}."))),
        ),
    }
}

fn member(view: &View, version: i16, described: &ConsumerMemberDescription) -> Member {
    let metadata = &described.metadata;
    let names = metadata.topics.iter();
    let regex = metadata.regex.as_deref();
    let kind = match metadata.classic {
        Some(_) => TYPE_CLASSIC,
        None => TYPE_CONSUMER,
    };
    let answer = Member::default()
        .with_member_id(text(&described.id))
        .with_instance_id(metadata.instance.as_deref().map(text))
        .with_rack_id(metadata.rack.as_deref().map(text))
        .with_member_epoch(described.epoch)
        .with_client_id(text(&metadata.client_id))
        .with_client_host(text(&metadata.client_host))
        .with_subscribed_topic_names(names.map(|name| TopicName(text(name))).collect())
        .with_subscribed_topic_regex(regex.map(text))
        .with_assignment(assignment(view, &described.assigned))
        .with_target_assignment(assignment(view, &described.target));
    match version {
        ..1 => answer,
        1.. => answer.with_member_type(kind),
    }
}

/// Partitions of topics that are gone by now are left out: they have no name.
fn assignment(view: &View, assignment: &group::Assignment) -> Assignment {
    let topics = assignment.iter().filter_map(|(id, partitions)| {
        let topic = view.topic_by_id(*id)?;
        Some(
            TopicPartitions::default()
                .with_topic_id(*id)
                .with_topic_name(TopicName(text(&topic.name)))
                .with_partitions(partitions.clone()),
        )
    });
    Assignment::default().with_topic_partitions(topics.collect())
}

#[cfg(test)]
mod tests {
    use ratel_protocol::messages::{ConsumerGroupHeartbeatRequest, GroupId};

    use super::super::testing::Bench;
    use super::*;
    use crate::config::Config;

    #[tokio::test]
    async fn h_9_a_group_is_shown_with_its_members() {
        let bench = Bench::with_groups(Config::default()).await;
        let topic = bench.topic("t", 2);
        let join = ConsumerGroupHeartbeatRequest::default()
            .with_group_id(GroupId("g".into()))
            .with_member_id("m".into())
            .with_instance_id(Some("i".into()))
            .with_rack_id(Some("r".into()))
            .with_rebalance_timeout_ms(1000)
            .with_topic_partitions(Some(Vec::new()))
            .with_subscribed_topic_names(Some(vec![TopicName("t".into())]));
        bench.send(1, &join).await;
        for version in ConsumerGroupDescribe::VERSIONS {
            let request = ConsumerGroupDescribeRequest::default()
                .with_group_ids(["g", "h", ""].map(|id| GroupId(id.into())).to_vec())
                .with_include_authorized_operations(true);
            let response = bench.send(version, &request).await;
            let [there, missing, unnamed] = &response.groups[..] else {
                panic!("three groups were asked for: {response:?}");
            };
            assert_eq!(there.authorized_operations, GROUP_OPERATIONS);
            assert_eq!(missing.error_code, ErrorCode::GroupIdNotFound.code());
            assert_eq!(unnamed.error_code, ErrorCode::InvalidGroupId.code());
            assert_eq!((&*there.group_state, there.group_epoch), ("Stable", 2));
            assert_eq!(
                (there.assignment_epoch, &*there.assignor_name),
                (2, "uniform")
            );
            let member = &there.members[0];
            assert_eq!(member.member_type, if version == 0 { -1 } else { 1 });
            assert_eq!(member.instance_id.as_deref(), Some("i"));
            assert_eq!(member.subscribed_topic_regex, None);
            for assignment in [&member.assignment, &member.target_assignment] {
                let topics = &assignment.topic_partitions;
                assert_eq!(topics[0].topic_id, topic.id);
                assert_eq!(topics[0].topic_name.as_str(), "t");
                assert_eq!(topics[0].partitions, [0, 1]);
            }
        }
    }
}
