//! LeaveGroup (key 13), versions 0 to 5: members go, or are removed (G-12).
//! Administrators remove members of consumer groups (KIP-848) with it too.
//!
//! - v0: one member; v1: throttle time; v3: many members, by id or by instance, each with its
//!   own outcome; v4: flexible; v5: a reason, for logs

use std::ops::RangeInclusive;
use std::sync::Arc;

use ratel_protocol::messages::leave_group_response::MemberResponse;
use ratel_protocol::messages::{LeaveGroupRequest, LeaveGroupResponse};
use ratel_protocol::{ApiKey, ErrorCode};

use super::groups::{STRANGE, code, own, own_or_none, text};
use super::{Api, Context, Later};
use crate::coordinator::group::{Event, Leave, Reply};

pub struct LeaveGroup;

type Members = Vec<(Arc<str>, Option<Arc<str>>)>;

impl Api for LeaveGroup {
    type Request = LeaveGroupRequest;
    const KEY: ApiKey = ApiKey::LeaveGroup;
    const VERSIONS: RangeInclusive<i16> = 0..=5;

    async fn handle(cx: Context, request: LeaveGroupRequest) -> Later {
        let members: Members = if cx.version < 3 {
            vec![(own(&request.member_id), None)]
        } else {
            let members = request.members.iter();
            let named = members.map(|member| {
                let instance = own_or_none(member.group_instance_id.as_ref());
                (own(&member.member_id), instance)
            });
            named.collect()
        };
        let leave = Leave {
            group: own(&request.group_id),
            members: members.clone(),
        };
        let reply = cx
            .broker
            .groups
            .send(&request.group_id, Event::Leave(leave));
        Later::wait(async move {
            let outcomes = match reply.await {
                Ok(Reply::Left(outcomes)) => Ok(outcomes),
                // A group that is not there has none of these members.
                Err(ErrorCode::UnknownMemberId) => {
                    Ok(vec![Err(ErrorCode::UnknownMemberId); members.len()])
                }
                Ok(_) => Err(STRANGE),
                Err(error) => Err(error),
            };
            cx.answer(&downgrade(response(&members, outcomes), cx.version))
        })
    }
}

fn response(
    members: &Members,
    outcomes: Result<Vec<Result<(), ErrorCode>>, ErrorCode>,
) -> LeaveGroupResponse {
    let response = LeaveGroupResponse::default();
    match outcomes {
        Err(error) => response.with_error_code(error.code()),
        Ok(outcomes) => {
            let members = members.iter().zip(outcomes);
            let answers = members.map(|((id, instance), outcome)| {
                MemberResponse::default()
                    .with_member_id(text(id))
                    .with_group_instance_id(instance.as_deref().map(text))
                    .with_error_code(code(outcome))
            });
            response.with_members(answers.collect())
        }
    }
}

/// Before v3 the one member's outcome is the answer's.
fn downgrade(mut response: LeaveGroupResponse, version: i16) -> LeaveGroupResponse {
    if version < 3
        && let Some(only) = response.members.pop()
    {
        response.members.clear();
        response.error_code = only.error_code;
    }
    response
}

#[cfg(test)]
mod tests {
    use ratel_protocol::messages::GroupId;
    use ratel_protocol::messages::leave_group_request::MemberIdentity;

    use super::super::testing::{Bench, round_trip};
    use super::*;
    use crate::config::Config;

    #[tokio::test]
    async fn g_12_each_member_has_its_outcome_from_version_3_on() {
        let bench = Bench::with_groups(Config::default()).await;
        for version in LeaveGroup::VERSIONS {
            let request = LeaveGroupRequest::default().with_group_id(GroupId("g".into()));
            let request = if version < 3 {
                request.with_member_id("m".into())
            } else {
                let member = MemberIdentity::default().with_member_id("m".into());
                let named = MemberIdentity::default().with_group_instance_id(Some("i".into()));
                request.with_members(vec![member, named])
            };
            let unknown = ErrorCode::UnknownMemberId.code();
            let response = bench.send(version, &request).await;
            if version < 3 {
                assert_eq!((response.error_code, response.members.len()), (unknown, 0));
            } else {
                assert_eq!((response.error_code, response.members.len()), (0, 2));
                assert_eq!(response.members[0].error_code, unknown);
                assert_eq!(response.members[1].group_instance_id.as_deref(), Some("i"));
            }
        }
    }

    #[test]
    fn a_full_response_encodes_at_every_version() {
        for version in LeaveGroup::VERSIONS {
            let members = vec![("m".into(), Some("i".into()))];
            let left = response(&members, Ok(vec![Err(ErrorCode::FencedInstanceId)]));
            round_trip::<LeaveGroupRequest>(version, &downgrade(left, version));
            let failed = response(&members, Err(ErrorCode::CoordinatorNotAvailable));
            round_trip::<LeaveGroupRequest>(version, &downgrade(failed, version));
        }
    }
}
