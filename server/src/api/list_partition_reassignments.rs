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
