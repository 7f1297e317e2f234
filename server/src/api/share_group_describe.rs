//! ShareGroupDescribe (key 77), version 1: share groups and their members (KIP-932).
//!
//! A group that is named twice is described once. What one may do with a group is said of those
//! that are there.

use std::ops::RangeInclusive;

use ratel_protocol::messages::share_group_describe_response::{
    Assignment, DescribedGroup, Member, TopicPartitions,
};
use ratel_protocol::messages::{ShareGroupDescribeRequest, ShareGroupDescribeResponse, TopicName};
use ratel_protocol::{ApiKey, ErrorCode, StrBytes};

use super::describe_groups::GROUP_OPERATIONS;
use super::groups::{describe, distinct, send_each, text};
use super::metadata::NOT_ASKED;
use super::{Api, Context, Later};
use crate::coordinator::catalog::View;
use crate::coordinator::group::{Event, Reply, ShareDescription, ShareMemberDescription};

pub struct ShareGroupDescribe;

/// The only assignor.
const ASSIGNOR: StrBytes = StrBytes::from_static_str("simple");

impl Api for ShareGroupDescribe {
    type Request = ShareGroupDescribeRequest;
    const KEY: ApiKey = ApiKey::ShareGroupDescribe;
    const VERSIONS: RangeInclusive<i16> = 1..=1;

    async fn handle(cx: Context, request: ShareGroupDescribeRequest) -> Later {
        let operations = match request.include_authorized_operations {
            true => GROUP_OPERATIONS,
            false => NOT_ASKED,
        };
        let replies = send_each(distinct(request.group_ids), |id| {
            describe(&cx, id, Event::DescribeShare, |reply| match reply {
                Reply::ShareDescribed(description) => Some(description),
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
                group(view, described)
                    .with_group_id(id)
                    .with_authorized_operations(operations)
            });
            cx.answer(&ShareGroupDescribeResponse::default().with_groups(groups.collect()))
        })
    }
}

type Described = Result<ShareDescription, ErrorCode>;

fn group(view: &View, described: Described) -> DescribedGroup {
    let answer = DescribedGroup::default();
    match described {
        Ok(description) => {
            let members = description.members.into_iter();
            answer
                .with_group_state(StrBytes::from_static_str(description.state))
                .with_group_epoch(description.epoch)
                .with_assignment_epoch(description.assignment_epoch)
                .with_assignor_name(ASSIGNOR)
                .with_members(members.map(|described| member(view, &described)).collect())
        }
        Err(error) => answer.with_error_code(error.code()).with_error_message(
            (error == ErrorCode::GroupIdNotFound)
                .then(|| StrBytes::from_static_str("There is no share group of this name.")),
        ),
    }
}

/// Partitions of topics that are gone by now are left out: they have no name.
fn member(view: &View, described: &ShareMemberDescription) -> Member {
    let topics = described.assigned.iter().filter_map(|(id, partitions)| {
        let topic = view.topic_by_id(*id)?;
        Some(
            TopicPartitions::default()
                .with_topic_id(*id)
                .with_topic_name(TopicName(text(&topic.name)))
                .with_partitions(partitions.clone()),
        )
    });
    let names = described.topics.iter();
    Member::default()
        .with_member_id(text(&described.id))
        .with_rack_id(described.rack.as_deref().map(text))
        .with_member_epoch(described.epoch)
        .with_client_id(text(&described.client_id))
        .with_client_host(text(&described.client_host))
        .with_subscribed_topic_names(names.map(|name| TopicName(text(name))).collect())
        .with_assignment(Assignment::default().with_topic_partitions(topics.collect()))
}

#[cfg(test)]
mod tests {
    use ratel_protocol::messages::{GroupId, ShareGroupHeartbeatRequest};

    use super::super::testing::Bench;
    use super::*;
    use crate::config::Config;

    #[tokio::test]
    async fn a_group_is_shown_with_its_members() {
        let bench = Bench::with_groups(Config::default()).await;
        let topic = bench.topic("t", 1);
        let join = ShareGroupHeartbeatRequest::default()
            .with_group_id(GroupId("g".into()))
            .with_member_id("m".into())
            .with_rack_id(Some("r".into()))
            .with_subscribed_topic_names(Some(vec![TopicName("t".into())]));
        bench.send(1, &join).await;
        let request = ShareGroupDescribeRequest::default()
            .with_group_ids(["g", "h", ""].map(|id| GroupId(id.into())).to_vec())
            .with_include_authorized_operations(true);
        let response = bench.send(1, &request).await;
        let [there, missing, unnamed] = &response.groups[..] else {
            panic!("three groups were asked for: {response:?}");
        };
        assert_eq!(there.authorized_operations, GROUP_OPERATIONS);
        let told = |group: &DescribedGroup| (group.error_code, group.authorized_operations);
        assert_eq!(
            told(missing),
            (ErrorCode::GroupIdNotFound.code(), NOT_ASKED)
        );
        assert_eq!(told(unnamed), (ErrorCode::InvalidGroupId.code(), NOT_ASKED));
        assert_eq!((&*there.group_state, there.group_epoch), ("Stable", 1));
        assert_eq!(
            (there.assignment_epoch, &*there.assignor_name),
            (1, "simple")
        );
        let member = &there.members[0];
        assert_eq!((&*member.member_id, member.member_epoch), ("m", 1));
        assert_eq!(member.rack_id.as_deref(), Some("r"));
        assert_eq!(&*member.subscribed_topic_names[0].0, "t");
        let partitions = &member.assignment.topic_partitions[0];
        assert_eq!(
            (partitions.topic_id, &partitions.partitions[..]),
            (topic.id, &[0][..])
        );
    }
}
