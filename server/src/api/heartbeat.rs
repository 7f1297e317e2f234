//! Heartbeat (key 12), versions 0 to 4: a member is alive, and hears of rebalances (G-10).
//!
//! - v1: throttle time; v3: static members; v4: flexible

use std::ops::RangeInclusive;

use ratel_protocol::ApiKey;
use ratel_protocol::messages::{HeartbeatRequest, HeartbeatResponse};

use super::groups::{code, own, own_or_none};
use super::{Api, Context, Later};
use crate::coordinator::group::{self, Event};

pub struct Heartbeat;

impl Api for Heartbeat {
    type Request = HeartbeatRequest;
    const KEY: ApiKey = ApiKey::Heartbeat;
    const VERSIONS: RangeInclusive<i16> = 0..=4;

    async fn handle(cx: Context, request: HeartbeatRequest) -> Later {
        let heartbeat = group::Heartbeat {
            group: own(&request.group_id),
            member: own(&request.member_id),
            instance: own_or_none(request.group_instance_id.as_ref()),
            generation: request.generation_id,
        };
        let groups = &cx.broker.groups;
        let reply = groups.send(&request.group_id, Event::Heartbeat(heartbeat));
        Later::wait(async move {
            let code = code(reply.await.map(|_| ()));
            cx.answer(&HeartbeatResponse::default().with_error_code(code))
        })
    }
}

#[cfg(test)]
mod tests {
    use ratel_protocol::ErrorCode;

    use super::super::testing::Bench;
    use super::*;
    use crate::config::Config;

    #[tokio::test]
    async fn every_version_is_answered() {
        let bench = Bench::with_groups(Config::default()).await;
        for version in Heartbeat::VERSIONS {
            let request = HeartbeatRequest::default()
                .with_group_id(ratel_protocol::messages::GroupId("g".into()))
                .with_member_id("m".into());
            let response = bench.send(version, &request).await;
            assert_eq!(response.error_code, ErrorCode::UnknownMemberId.code());
        }
    }
}
