//! ListPartitionReassignments (key 46), version 0: none is ever under way on one node.

use std::ops::RangeInclusive;

use ratel_protocol::ApiKey;
use ratel_protocol::messages::{
    ListPartitionReassignmentsRequest, ListPartitionReassignmentsResponse,
};

use super::{Api, Context, Later};

pub struct ListPartitionReassignments;

impl Api for ListPartitionReassignments {
    type Request = ListPartitionReassignmentsRequest;
    const KEY: ApiKey = ApiKey::ListPartitionReassignments;
    const VERSIONS: RangeInclusive<i16> = 0..=0;

    async fn handle(cx: Context, _request: ListPartitionReassignmentsRequest) -> Later {
        cx.ready(&ListPartitionReassignmentsResponse::default().with_error_message(None))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::api::testing::Bench;

    #[tokio::test]
    async fn a_9_nothing_is_being_reassigned() {
        let request = ListPartitionReassignmentsRequest::default().with_topics(None);
        let response = Bench::new().send(0, &request).await;
        assert_eq!((response.error_code, response.topics.len()), (0, 0));
    }
}
