//! ListOffsets (key 2), versions 1 to 10: offsets by time.
//!
//! - v1: -1 latest, -2 earliest; a time >= 0 finds the first record at or after it (L-1 to L-3)
//! - v2: isolation level: read_committed sees up to the last stable offset; throttle time
//! - v4: leader epoch, fencing; v6: flexible
//! - v7: -3, the record of the largest timestamp (L-4)
//! - v8: -4, earliest on this disk; v9: -5, latest in tiered storage: none
//! - v10: a timeout, which only remote storage needs

use std::collections::HashSet;
use std::ops::RangeInclusive;
use std::sync::Arc;

use ratel_protocol::messages::ListOffsetsRequest;
use ratel_protocol::messages::ListOffsetsResponse;
use ratel_protocol::messages::list_offsets_request::ListOffsetsPartition;
use ratel_protocol::messages::list_offsets_response::{
    ListOffsetsPartitionResponse, ListOffsetsTopicResponse,
};
use ratel_protocol::{ApiKey, ErrorCode};
use ratel_storage::{Bound, Offset, Partition, TimeQuery, TimedOffset};

use super::offset_for_leader_epoch::epoch_at;
use super::{Answer, Api, Context, Later};
use crate::error;

pub struct ListOffsets;

/// What a negative timestamp asks for.
const LATEST: i64 = -1;
const EARLIEST: i64 = -2;
const LARGEST_TIME: i64 = -3;
const EARLIEST_LOCAL: i64 = -4;
const LATEST_TIERED: i64 = -5;

impl Api for ListOffsets {
    type Request = ListOffsetsRequest;
    const KEY: ApiKey = ApiKey::ListOffsets;
    const VERSIONS: RangeInclusive<i16> = 1..=10;

    async fn handle(cx: Context, request: ListOffsetsRequest) -> Later {
        Later::wait(answer(cx, request))
    }
}

async fn answer(cx: Context, request: ListOffsetsRequest) -> Answer {
    let bound = if request.isolation_level == 1 {
        Bound::Stable
    } else {
        Bound::HighWatermark
    };
    let repeated = repeated(&request);
    let mut topics = Vec::with_capacity(request.topics.len());
    for topic in &request.topics {
        let mut partitions = Vec::with_capacity(topic.partitions.len());
        for asked in &topic.partitions {
            let found = if repeated.contains(&(&topic.name, asked.partition_index)) {
                Err(ErrorCode::InvalidRequest)
            } else {
                list(&cx, &topic.name, asked, bound).await
            };
            partitions.push(partition_answer(cx.version, asked.partition_index, found));
        }
        topics.push(
            ListOffsetsTopicResponse::default()
                .with_name(topic.name.clone())
                .with_partitions(partitions),
        );
    }
    cx.answer(&ListOffsetsResponse::default().with_topics(topics))
}

/// The partitions that stand in the request more than once (L-5).
fn repeated(request: &ListOffsetsRequest) -> HashSet<(&str, i32)> {
    let mut seen = HashSet::new();
    request
        .topics
        .iter()
        .flat_map(|topic| {
            let name: &str = &topic.name;
            topic
                .partitions
                .iter()
                .map(move |asked| (name, asked.partition_index))
        })
        .filter(|partition| !seen.insert(*partition))
        .collect()
}

/// What a question about one partition finds: nothing, or an offset with the timestamp (-1 for
/// the special ones) and epoch that go with it.
async fn list(
    cx: &Context,
    topic: &str,
    asked: &ListOffsetsPartition,
    bound: Bound,
) -> Result<Option<TimedOffset>, ErrorCode> {
    if !is_known(asked.timestamp, cx.version) {
        return Err(ErrorCode::UnsupportedVersion);
    }
    let partition = cx.broker.partition_by_name(topic, asked.partition_index)?;
    let offsets = partition.offsets();
    error::check_leader_epoch(asked.current_leader_epoch, offsets.leader_epoch)?;
    let untimed = |offset: Offset, leader_epoch: i32| TimedOffset {
        offset,
        timestamp_ms: -1,
        leader_epoch,
    };
    match asked.timestamp {
        LATEST => Ok(Some(untimed(offsets.below(bound), offsets.leader_epoch))),
        // Without tiers, all of the log is local.
        EARLIEST | EARLIEST_LOCAL => Ok(Some(untimed(
            offsets.start,
            epoch_at(&*partition, offsets.start),
        ))),
        LATEST_TIERED => Ok(None),
        LARGEST_TIME => find(partition, TimeQuery::Largest, bound).await,
        time => find(partition, TimeQuery::AtOrAfter(time), bound).await,
    }
}

/// Whether a version of the request knows this timestamp. Kafka asks this before it looks for the
/// partition.
fn is_known(timestamp: i64, version: i16) -> bool {
    match timestamp {
        LATEST | EARLIEST => true,
        LARGEST_TIME => version >= 7,
        EARLIEST_LOCAL => version >= 8,
        LATEST_TIERED => version >= 9,
        time => time >= 0,
    }
}

async fn find(
    partition: Arc<dyn Partition>,
    query: TimeQuery,
    bound: Bound,
) -> Result<Option<TimedOffset>, ErrorCode> {
    let found = partition.offset_at(query, bound).await;
    found.map_err(|refused| error::code(&refused))
}

fn partition_answer(
    version: i16,
    index: i32,
    found: Result<Option<TimedOffset>, ErrorCode>,
) -> ListOffsetsPartitionResponse {
    let answer = ListOffsetsPartitionResponse::default().with_partition_index(index);
    match found {
        Err(code) => answer.with_error_code(code.code()),
        Ok(None) => answer,
        Ok(Some(found)) => answer
            .with_offset(found.offset.get())
            .with_timestamp(found.timestamp_ms)
            // A version below 4 cannot carry an epoch.
            .with_leader_epoch(if version >= 4 { found.leader_epoch } else { -1 }),
    }
}

#[cfg(test)]
mod tests;
