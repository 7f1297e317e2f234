//! JoinGroup (key 11), versions 0 to 9: into a group, and into its next generation.
//!
//! The answer comes when the rebalance is through: see `coordinator/group/classic/`.
//! - v0: the session timeout is the rebalance timeout too (G-5); v1: a rebalance timeout
//! - v2: throttle time; v4: someone new must come back with the id it is given (G-3)
//! - v5: static members; v6: flexible; v7: protocol type in the answer, null protocol (G-11)
//! - v8: a reason, for logs; v9: the leader may be told to skip the assignment (G-8)

use std::collections::HashSet;
use std::ops::RangeInclusive;

use bytes::Bytes;
use ratel_protocol::messages::join_group_response::JoinGroupResponseMember;
use ratel_protocol::messages::{JoinGroupRequest, JoinGroupResponse};
use ratel_protocol::{ApiKey, ErrorCode, StrBytes};
use uuid::Uuid;

use super::groups::{STRANGE, client_host, own, own_or_none, send_with_topics, text};
use super::{Api, Context, Later};
use crate::coordinator::group::{Event, Join, Joined, Protocol, Reply};

pub struct JoinGroup;

impl Api for JoinGroup {
    type Request = JoinGroupRequest;
    const KEY: ApiKey = ApiKey::JoinGroup;
    const VERSIONS: RangeInclusive<i16> = 0..=9;

    async fn handle(cx: Context, request: JoinGroupRequest) -> Later {
        let member = own(&request.member_id);
        let join = event(&cx, &request);
        let reply = send_with_topics(&cx, &request.group_id, Event::Join(join));
        drop(request);
        Later::wait(async move {
            let response = match reply.await {
                Ok(Reply::Joined(joined)) => joined_response(joined),
                Ok(Reply::MemberIdRequired(id)) => refused(&id, ErrorCode::MemberIdRequired),
                Ok(_) => refused(&member, STRANGE),
                Err(error) => refused(&member, error),
            };
            cx.answer(&downgrade(response, cx.version))
        })
    }
}

fn event(cx: &Context, request: &JoinGroupRequest) -> Join {
    let mut names = HashSet::new();
    // The first of two with the same name counts.
    let protocols = request.protocols.iter();
    let protocols = protocols.filter(|protocol| names.insert(&protocol.name));
    let protocols = protocols.map(|protocol| Protocol {
        name: own(&protocol.name),
        metadata: Bytes::copy_from_slice(&protocol.metadata),
    });
    let protocols = protocols.collect();
    Join {
        group: own(&request.group_id),
        member: own(&request.member_id),
        instance: own_or_none(request.group_instance_id.as_ref()),
        client_id: own(cx.client_id.as_deref().unwrap_or_default()),
        client_host: client_host(cx),
        session_timeout_ms: request.session_timeout_ms,
        rebalance_timeout_ms: match cx.version {
            0 => request.session_timeout_ms,
            _ => request.rebalance_timeout_ms,
        },
        protocol_type: own(&request.protocol_type),
        protocols,
        requires_member_id: cx.version >= 4,
        can_skip_assignment: cx.version >= 9,
        fresh: Uuid::new_v4(),
        found: Vec::new(),
    }
}

fn joined_response(joined: Joined) -> JoinGroupResponse {
    let members = joined.members.into_iter().map(|member| {
        JoinGroupResponseMember::default()
            .with_member_id(text(&member.id))
            .with_group_instance_id(member.instance.as_deref().map(text))
            .with_metadata(member.metadata)
    });
    JoinGroupResponse::default()
        .with_generation_id(joined.generation)
        .with_protocol_type(Some(text(&joined.protocol_type)))
        .with_protocol_name(joined.protocol.as_deref().map(text))
        .with_leader(text(&joined.leader))
        .with_skip_assignment(joined.skip_assignment)
        .with_member_id(text(&joined.member))
        .with_members(members.collect())
}

fn refused(member: &str, error: ErrorCode) -> JoinGroupResponse {
    JoinGroupResponse::default()
        .with_error_code(error.code())
        .with_member_id(text(member))
        .with_generation_id(-1)
}

/// Drop what `version` cannot carry. A protocol that was not chosen is "" before v7 (Java clients
/// fail on null there) and null from then on (G-11).
fn downgrade(mut response: JoinGroupResponse, version: i16) -> JoinGroupResponse {
    if version < 5 {
        for member in &mut response.members {
            member.group_instance_id = None;
        }
    }
    if version < 7 {
        response.protocol_type = None;
        response.protocol_name.get_or_insert(StrBytes::default());
    } else if response.protocol_name.as_deref() == Some("") {
        response.protocol_name = None;
    }
    if version < 9 {
        response.skip_assignment = false;
    }
    response
}

#[cfg(test)]
mod tests {
    use super::super::testing::round_trip;
    use super::*;
    use crate::coordinator::group::JoinedMember;

    fn joined() -> Joined {
        Joined {
            member: "m".into(),
            generation: 3,
            protocol_type: "consumer".into(),
            protocol: Some("range".into()),
            leader: "m".into(),
            members: vec![JoinedMember {
                id: "m".into(),
                instance: Some("i".into()),
                metadata: Bytes::from_static(b"?"),
            }],
            skip_assignment: true,
        }
    }

    #[test]
    fn a_full_response_encodes_at_every_version() {
        for version in JoinGroup::VERSIONS {
            let response = downgrade(joined_response(joined()), version);
            let back = round_trip::<JoinGroupRequest>(version, &response);
            assert_eq!((back.generation_id, &*back.leader), (3, "m"));
            assert_eq!(back.skip_assignment, version >= 9);
            let instance = back.members[0].group_instance_id.as_deref();
            assert_eq!(instance, (version >= 5).then_some("i"));
            assert_eq!(
                back.protocol_type.as_deref(),
                (version >= 7).then_some("consumer")
            );
        }
    }

    #[test]
    fn g_11_no_protocol_is_empty_before_version_7_and_null_from_then_on() {
        for version in JoinGroup::VERSIONS {
            let empty =
                refused("m", ErrorCode::UnknownMemberId).with_protocol_name(Some("".into()));
            for response in [refused("m", ErrorCode::UnknownMemberId), empty] {
                let response = downgrade(response, version);
                let back = round_trip::<JoinGroupRequest>(version, &response);
                let expected = (version < 7).then_some("");
                assert_eq!(back.protocol_name.as_deref(), expected, "v{version}");
                assert_eq!((back.generation_id, &*back.member_id), (-1, "m"));
            }
        }
    }
}
