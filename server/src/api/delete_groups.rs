//! DeleteGroups (key 42), versions 0 to 2: groups without members go, with their offsets (O-7).
//!
//! - v1: the same; v2: flexible

use std::future::Future;
use std::ops::RangeInclusive;

use ratel_protocol::messages::delete_groups_response::DeletableGroupResult;
use ratel_protocol::messages::{DeleteGroupsRequest, DeleteGroupsResponse, GroupId};
use ratel_protocol::{ApiKey, ErrorCode};

use super::groups::{code, distinct, own, send_each};
use super::{Api, Context, Later};
use crate::coordinator::group::Event;

pub struct DeleteGroups;

impl Api for DeleteGroups {
    type Request = DeleteGroupsRequest;
    const KEY: ApiKey = ApiKey::DeleteGroups;
    const VERSIONS: RangeInclusive<i16> = 0..=2;

    async fn handle(cx: Context, request: DeleteGroupsRequest) -> Later {
        let replies = send_each(distinct(request.groups_names), |id| send(&cx, id)).await;
        Later::wait(async move {
            let results = replies.all().await.into_iter().map(|(id, outcome)| {
                DeletableGroupResult::default()
                    .with_group_id(id)
                    .with_error_code(code(outcome))
            });
            cx.answer(&DeleteGroupsResponse::default().with_results(results.collect()))
        })
    }
}

type Outcome = (GroupId, Result<(), ErrorCode>);

fn send(cx: &Context, id: GroupId) -> impl Future<Output = Outcome> + Send + use<> {
    let reply = cx.broker.groups.send(&id, Event::DeleteGroup(own(&id)));
    async move { (id, reply.await.map(|_| ())) }
}

#[cfg(test)]
mod tests {
    use super::super::testing::Bench;
    use super::*;
    use crate::config::Config;

    #[tokio::test]
    async fn o_7_a_group_that_is_not_there_cannot_be_deleted() {
        let bench = Bench::with_groups(Config::default()).await;
        for version in DeleteGroups::VERSIONS {
            let names = vec![GroupId("g".into()), GroupId("".into())];
            let request = DeleteGroupsRequest::default().with_groups_names(names);
            let response = bench.send(version, &request).await;
            let codes: Vec<_> = response
                .results
                .iter()
                .map(|result| result.error_code)
                .collect();
            assert_eq!(codes, [69, 69]);
        }
    }
}
