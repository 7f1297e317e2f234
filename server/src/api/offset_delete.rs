//! OffsetDelete (key 47), version 0: forget committed offsets (O-7).
//!
//! A topic that members read keeps its offsets (GROUP_SUBSCRIBED_TO_TOPIC). What is wrong with the
//! whole group is said at the top.

use std::ops::RangeInclusive;

use ratel_protocol::messages::offset_delete_response::{
    OffsetDeleteResponsePartition, OffsetDeleteResponseTopic,
};
use ratel_protocol::messages::{OffsetDeleteRequest, OffsetDeleteResponse};
use ratel_protocol::{ApiKey, ErrorCode};

use super::groups::{STRANGE, code, own};
use super::{Api, Context, Later};
use crate::coordinator::group::{DeleteOffsets, Event, Reply};

pub struct OffsetDelete;

impl Api for OffsetDelete {
    type Request = OffsetDeleteRequest;
    const KEY: ApiKey = ApiKey::OffsetDelete;
    const VERSIONS: RangeInclusive<i16> = 0..=0;

    async fn handle(cx: Context, request: OffsetDeleteRequest) -> Later {
        let mut offsets = Vec::new();
        for asked in &request.topics {
            if let Some(topic) = cx.broker.catalog.view.topic(&asked.name) {
                let partitions = asked.partitions.iter();
                let existing = partitions
                    .map(|partition| partition.partition_index)
                    .filter(|index| topic.partition(*index).is_some());
                offsets.extend(existing.map(|index| (topic.name.clone(), index)));
            }
        }
        let delete = DeleteOffsets {
            group: own(&request.group_id),
            offsets,
        };
        let groups = &cx.broker.groups;
        let reply = groups.send(&request.group_id, Event::DeleteOffsets(delete));
        Later::wait(async move {
            let response = match reply.await {
                Ok(Reply::DeletedOffsets(outcomes)) => outcome_response(&cx, &request, outcomes),
                Ok(_) => OffsetDeleteResponse::default().with_error_code(STRANGE.code()),
                Err(error) => OffsetDeleteResponse::default().with_error_code(error.code()),
            };
            cx.answer(&response)
        })
    }
}

fn outcome_response(
    cx: &Context,
    request: &OffsetDeleteRequest,
    outcomes: Vec<Result<(), ErrorCode>>,
) -> OffsetDeleteResponse {
    let mut outcomes = outcomes.into_iter();
    let topics = request.topics.iter().map(|asked| {
        let topic = cx.broker.catalog.view.topic(&asked.name);
        let partitions = asked.partitions.iter().map(|partition| {
            let index = partition.partition_index;
            let exists = topic.as_ref().and_then(|topic| topic.partition(index));
            let outcome = match exists {
                Some(_) => outcomes.next().unwrap_or(Err(STRANGE)),
                None => Err(ErrorCode::UnknownTopicOrPartition),
            };
            OffsetDeleteResponsePartition::default()
                .with_partition_index(index)
                .with_error_code(code(outcome))
        });
        OffsetDeleteResponseTopic::default()
            .with_name(asked.name.clone())
            .with_partitions(partitions.collect())
    });
    OffsetDeleteResponse::default().with_topics(topics.collect())
}
