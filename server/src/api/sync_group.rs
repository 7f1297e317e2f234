//! SyncGroup (key 14), versions 0 to 5: the leader brings the assignment, all take theirs.
//!
//! The answer comes when the leader has spoken and what it said is durable (G-9).
//! - v1: throttle time; v3: static members; v4: flexible
//! - v5: protocol type and name, which the request must have, checked before all else, and told in
//!   the answer

use std::ops::RangeInclusive;

use bytes::Bytes;
use ratel_protocol::messages::{SyncGroupRequest, SyncGroupResponse};
use ratel_protocol::{ApiKey, ErrorCode};

use super::groups::{STRANGE, own, own_or_none, text};
use super::{Api, Context, Later};
use crate::coordinator::group::{Event, Reply, Sync, Synced};

pub struct SyncGroup;

impl Api for SyncGroup {
    type Request = SyncGroupRequest;
    const KEY: ApiKey = ApiKey::SyncGroup;
    const VERSIONS: RangeInclusive<i16> = 0..=5;

    async fn handle(cx: Context, request: SyncGroupRequest) -> Later {
        if lacks_protocol(&request, cx.version) {
            return cx.ready(&refused(ErrorCode::InconsistentGroupProtocol));
        }
        let sync = event(&request);
        let reply = cx.broker.groups.send(&request.group_id, Event::Sync(sync));
        drop(request);
        Later::wait(async move {
            let response = match reply.await {
                Ok(Reply::Synced(synced)) => synced_response(synced),
                Ok(_) => refused(STRANGE),
                Err(error) => refused(error),
            };
            cx.answer(&downgrade(response, cx.version))
        })
    }
}

fn event(request: &SyncGroupRequest) -> Sync {
    let assignments = request.assignments.iter().map(|assignment| {
        let bytes = Bytes::copy_from_slice(&assignment.assignment);
        (own(&assignment.member_id), bytes)
    });
    Sync {
        group: own(&request.group_id),
        member: own(&request.member_id),
        instance: own_or_none(request.group_instance_id.as_ref()),
        generation: request.generation_id,
        protocol_type: own_or_none(request.protocol_type.as_ref()),
        protocol: own_or_none(request.protocol_name.as_ref()),
        assignments: assignments.collect(),
    }
}

/// Whether a request of this version must name its protocol, and does not (KIP-559).
fn lacks_protocol(request: &SyncGroupRequest, version: i16) -> bool {
    version >= 5 && (request.protocol_type.is_none() || request.protocol_name.is_none())
}

fn synced_response(synced: Synced) -> SyncGroupResponse {
    SyncGroupResponse::default()
        .with_protocol_type(Some(text(&synced.protocol_type)))
        .with_protocol_name(synced.protocol.as_deref().map(text))
        .with_assignment(synced.assignment)
}

fn refused(error: ErrorCode) -> SyncGroupResponse {
    SyncGroupResponse::default().with_error_code(error.code())
}

/// Drop what `version` cannot carry.
fn downgrade(mut response: SyncGroupResponse, version: i16) -> SyncGroupResponse {
    if version < 5 {
        response.protocol_type = None;
        response.protocol_name = None;
    }
    response
}

#[cfg(test)]
mod tests {
    use super::super::testing::round_trip;
    use super::*;

    #[test]
    fn g_9_from_v5_on_a_request_names_its_protocol() {
        let name = || Some(text("range"));
        let none = SyncGroupRequest::default();
        let half = none.clone().with_protocol_name(name());
        let both = half.clone().with_protocol_type(name());
        let lacking = |request, version| lacks_protocol(request, version);
        assert!(lacking(&none, 5) && lacking(&half, 5));
        assert!(!lacking(&both, 5) && !lacking(&none, 4));
    }

    #[test]
    fn a_full_response_encodes_at_every_version() {
        for version in SyncGroup::VERSIONS {
            let synced = Synced {
                protocol_type: "consumer".into(),
                protocol: Some("range".into()),
                assignment: Bytes::from_static(b"x"),
            };
            let response = downgrade(synced_response(synced), version);
            let back = round_trip::<SyncGroupRequest>(version, &response);
            assert_eq!(back.assignment, "x");
            round_trip::<SyncGroupRequest>(version, &refused(ErrorCode::UnknownMemberId));
        }
    }
}
