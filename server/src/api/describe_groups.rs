//! DescribeGroups (key 15), versions 0 to 6: groups and their members (O-8).
//!
//! A group that is not there is "Dead". Members' metadata and assignments are shown in Stable.
//! - v1: throttle time; v3: authorized operations; v4: static members; v5: flexible
//! - v6: GROUP_ID_NOT_FOUND and a message for a group that is not there

use std::future::Future;
use std::ops::RangeInclusive;

use ratel_protocol::messages::describe_groups_response::{DescribedGroup, DescribedGroupMember};
use ratel_protocol::messages::{DescribeGroupsRequest, DescribeGroupsResponse, GroupId};
use ratel_protocol::{ApiKey, ErrorCode, StrBytes};

use super::groups::{STRANGE, distinct, own, send_each, text};
use super::metadata::NOT_ASKED;
use super::{Api, Context, Later};
use crate::coordinator::group::{Description, Event, Reply};

pub struct DescribeGroups;

/// What a client may do with a group where nothing is forbidden: bit n is operation n of KIP-430
/// (read, delete, describe, describe and alter configurations).
pub(super) const GROUP_OPERATIONS: i32 = 0b1101_0100_1000;

impl Api for DescribeGroups {
    type Request = DescribeGroupsRequest;
    const KEY: ApiKey = ApiKey::DescribeGroups;
    const VERSIONS: RangeInclusive<i16> = 0..=6;

    async fn handle(cx: Context, request: DescribeGroupsRequest) -> Later {
        let operations = if request.include_authorized_operations {
            GROUP_OPERATIONS
        } else {
            NOT_ASKED
        };
        let replies = send_each(distinct(request.groups), |id| send(&cx, id)).await;
        Later::wait(async move {
            let groups = replies.all().await.into_iter();
            let groups = groups.map(|(id, reply)| group(id, reply, operations));
            let response = DescribeGroupsResponse::default().with_groups(groups.collect());
            cx.answer(&downgrade(response, cx.version))
        })
    }
}

type Described = Result<Description, ErrorCode>;

fn send(cx: &Context, id: GroupId) -> impl Future<Output = (GroupId, Described)> + Send + use<> {
    let reply = cx.broker.groups.send(&id, Event::Describe(own(&id)));
    async move {
        let described = match reply.await {
            Ok(Reply::Described(description)) => Ok(description),
            Ok(_) => Err(STRANGE),
            Err(error) => Err(error),
        };
        (id, described)
    }
}

fn group(id: GroupId, described: Described, operations: i32) -> DescribedGroup {
    let answer = DescribedGroup::default();
    let answer = match described {
        Ok(description) => {
            let members = description.members.into_iter().map(|member| {
                DescribedGroupMember::default()
                    .with_member_id(text(&member.id))
                    .with_group_instance_id(member.instance.as_deref().map(text))
                    .with_client_id(text(&member.client_id))
                    .with_client_host(text(&member.client_host))
                    .with_member_metadata(member.metadata)
                    .with_member_assignment(member.assignment)
            });
            answer
                .with_group_state(StrBytes::from_static_str(description.state))
                .with_protocol_type(text(&description.protocol_type))
                .with_protocol_data(text(&description.protocol))
                .with_members(members.collect())
        }
        Err(ErrorCode::GroupIdNotFound) => answer
            .with_error_code(ErrorCode::GroupIdNotFound.code())
            .with_error_message(Some(StrBytes::from_string(format!(
                "Group {} not found.",
                *id
            ))))
            .with_group_state(StrBytes::from_static_str("Dead")),
        Err(error) => answer.with_error_code(error.code()),
    };
    answer
        .with_group_id(id)
        .with_authorized_operations(operations)
}

/// Drop what `version` cannot carry. Before v6 a group that is not there is no error.
fn downgrade(mut response: DescribeGroupsResponse, version: i16) -> DescribeGroupsResponse {
    for group in &mut response.groups {
        if version < 6 {
            group.error_message = None;
            if group.error_code == ErrorCode::GroupIdNotFound.code() {
                group.error_code = 0;
            }
        }
        if group.error_code != 0 {
            group.authorized_operations = NOT_ASKED;
        }
        if version < 3 {
            group.authorized_operations = NOT_ASKED;
        }
        if version < 4 {
            for member in &mut group.members {
                member.group_instance_id = None;
            }
        }
    }
    response
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::super::testing::{Bench, round_trip};
    use super::*;
    use crate::config::Config;
    use crate::coordinator::group::DescribedMember;

    #[test]
    fn a_full_response_encodes_at_every_version() {
        for version in DescribeGroups::VERSIONS {
            let described = Description {
                state: "Stable",
                protocol_type: "consumer".into(),
                protocol: "range".into(),
                members: vec![DescribedMember {
                    id: "m".into(),
                    instance: Some("i".into()),
                    client_id: "c".into(),
                    client_host: "/h".into(),
                    metadata: Bytes::from_static(b"?"),
                    assignment: Bytes::from_static(b"!"),
                }],
            };
            let groups = vec![
                group(GroupId("g".into()), Ok(described), GROUP_OPERATIONS),
                group(
                    GroupId("h".into()),
                    Err(ErrorCode::GroupIdNotFound),
                    NOT_ASKED,
                ),
                group(GroupId("i".into()), Err(STRANGE), NOT_ASKED),
            ];
            let response = DescribeGroupsResponse::default().with_groups(groups);
            let back = round_trip::<DescribeGroupsRequest>(version, &downgrade(response, version));
            let operations = back.groups[0].authorized_operations;
            assert_eq!(operations, if version >= 3 { 3400 } else { NOT_ASKED });
        }
    }

    #[tokio::test]
    async fn o_8_a_group_that_is_not_there_is_dead() {
        let bench = Bench::with_groups(Config::default()).await;
        for version in DescribeGroups::VERSIONS {
            let request = DescribeGroupsRequest::default().with_groups(vec![GroupId("g".into())]);
            let response = bench.send(version, &request).await;
            let group = &response.groups[0];
            assert_eq!((&*group.group_id.0, &*group.group_state), ("g", "Dead"));
            let (code, has_message) = (group.error_code, group.error_message.is_some());
            assert_eq!(
                (code, has_message),
                if version >= 6 { (69, true) } else { (0, false) }
            );
        }
    }
}
