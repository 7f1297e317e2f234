//! DescribeTopicPartitions (key 75), version 0: topics and their partitions, page by page (M-6).
//!
//! Topics come sorted by name, an empty list asks for all. A page holds at most as many
//! partitions as the client or `max.request.partition.size.limit` allows, whichever is less, and
//! ends in a cursor when there are more. A cursor that points nowhere is INVALID_REQUEST for every
//! topic named.

use std::collections::BTreeSet;
use std::ops::RangeInclusive;

use ratel_protocol::messages::describe_topic_partitions_response::{
    Cursor, DescribeTopicPartitionsResponsePartition, DescribeTopicPartitionsResponseTopic,
};
use ratel_protocol::messages::metadata_response::MetadataResponsePartition;
use ratel_protocol::messages::{
    DescribeTopicPartitionsRequest, DescribeTopicPartitionsResponse, TopicName,
};
use ratel_protocol::{ApiKey, ErrorCode, StrBytes};

use super::metadata::{TOPIC_OPERATIONS, partition};
use super::{Api, Context, Later};

pub struct DescribeTopicPartitions;

type Topic = DescribeTopicPartitionsResponseTopic;

impl Api for DescribeTopicPartitions {
    type Request = DescribeTopicPartitionsRequest;
    const KEY: ApiKey = ApiKey::DescribeTopicPartitions;
    const VERSIONS: RangeInclusive<i16> = 0..=0;

    async fn handle(cx: Context, request: DescribeTopicPartitionsRequest) -> Later {
        if !cursor_is_valid(&request) {
            let code = ErrorCode::InvalidRequest.code();
            let topics = request.topics.into_iter().map(|topic| {
                Topic::default()
                    .with_name(Some(topic.name))
                    .with_error_code(code)
            });
            return cx
                .ready(&DescribeTopicPartitionsResponse::default().with_topics(topics.collect()));
        }
        cx.ready(&page(&cx, &request))
    }
}

fn cursor_is_valid(request: &DescribeTopicPartitionsRequest) -> bool {
    request.cursor.as_ref().is_none_or(|cursor| {
        let mut topics = request.topics.iter();
        cursor.partition_index >= 0
            && (request.topics.is_empty() || topics.any(|topic| topic.name == cursor.topic_name))
    })
}

fn page(cx: &Context, request: &DescribeTopicPartitionsRequest) -> DescribeTopicPartitionsResponse {
    let all = cx.broker.catalog.view.topics();
    let names: BTreeSet<&str> = if request.topics.is_empty() {
        all.iter().map(|topic| &*topic.name).collect()
    } else {
        request
            .topics
            .iter()
            .map(|topic| topic.name.as_str())
            .collect()
    };
    let (first, first_index) = request.cursor.as_ref().map_or(("", 0), |cursor| {
        (cursor.topic_name.as_str(), cursor.partition_index)
    });
    let limit = cx.broker.config.max_request_partition_size_limit;
    let mut room = request.response_partition_limit.min(limit).max(1);
    let response = DescribeTopicPartitionsResponse::default();
    let mut topics = Vec::new();
    for name in names.range(first..) {
        let from = if *name == first { first_index } else { 0 };
        if room == 0 {
            return response
                .with_topics(topics)
                .with_next_cursor(cursor(name, from));
        }
        let (topic, next) = topic(cx, name, from, room);
        room -= i32::try_from(topic.partitions.len()).unwrap_or(room);
        topics.push(topic);
        if let Some(next) = next {
            return response
                .with_topics(topics)
                .with_next_cursor(cursor(name, next));
        }
    }
    response.with_topics(topics)
}

fn cursor(topic: &str, index: i32) -> Option<Cursor> {
    let cursor = Cursor::default().with_topic_name(name(topic));
    Some(cursor.with_partition_index(index))
}

fn name(topic: &str) -> TopicName {
    TopicName(StrBytes::from_string(topic.to_owned()))
}

/// Up to `room` partitions of a topic, and the index that comes next if there are more.
fn topic(cx: &Context, topic: &str, from: i32, room: i32) -> (Topic, Option<i32>) {
    let answer = Topic::default().with_name(Some(name(topic)));
    let Some(topic) = cx.broker.catalog.view.topic(topic) else {
        let code = ErrorCode::UnknownTopicOrPartition.code();
        return (answer.with_error_code(code), None);
    };
    let end = topic.partitions.min(from.saturating_add(room));
    let partitions = (from..end).map(|index| described(partition(cx, &topic, index)));
    let answer = answer
        .with_topic_id(topic.id)
        .with_is_internal(topic.internal)
        .with_topic_authorized_operations(TOPIC_OPERATIONS)
        .with_partitions(partitions.collect());
    (answer, (end < topic.partitions).then_some(end))
}

fn described(partition: MetadataResponsePartition) -> DescribeTopicPartitionsResponsePartition {
    DescribeTopicPartitionsResponsePartition::default()
        .with_error_code(partition.error_code)
        .with_partition_index(partition.partition_index)
        .with_leader_id(partition.leader_id)
        .with_leader_epoch(partition.leader_epoch)
        .with_replica_nodes(partition.replica_nodes)
        .with_isr_nodes(partition.isr_nodes)
        .with_eligible_leader_replicas(Some(Vec::new()))
        .with_last_known_elr(Some(Vec::new()))
        .with_offline_replicas(partition.offline_replicas)
}
