//! DescribeTopicPartitions (key 75), version 0: topics and their partitions, page by page (M-6).
//!
//! Topics come sorted by name, an empty list asks for all. A page holds at most as many
//! partitions as the client or `max.request.partition.size.limit` allows, whichever is less, and
//! ends in a cursor when there are more. A cursor that points nowhere is INVALID_REQUEST for every
//! topic named, a name that no topic can have INVALID_TOPIC_EXCEPTION.

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
use crate::coordinator::catalog::is_legal_name;

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
    let answer = Topic::default()
        .with_name(Some(name(topic)))
        .with_topic_authorized_operations(TOPIC_OPERATIONS);
    let Some(topic) = cx.broker.catalog.view.topic(topic) else {
        let code = match is_legal_name(topic) {
            true => ErrorCode::UnknownTopicOrPartition,
            false => ErrorCode::InvalidTopicException,
        };
        return (answer.with_error_code(code.code()), None);
    };
    let end = topic.partitions.min(from.saturating_add(room));
    let partitions = (from..end).map(|index| described(partition(cx, &topic, index)));
    let answer = answer
        .with_topic_id(topic.id)
        .with_is_internal(topic.internal)
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

#[cfg(test)]
mod tests {
    use ratel_protocol::messages::describe_topic_partitions_request::{self, TopicRequest};

    use super::*;
    use crate::api::testing::Bench;
    use crate::config::Config;

    fn request(topics: &[&str], limit: i32) -> DescribeTopicPartitionsRequest {
        let topics = topics
            .iter()
            .map(|topic| TopicRequest::default().with_name(name(topic)));
        DescribeTopicPartitionsRequest::default()
            .with_topics(topics.collect())
            .with_response_partition_limit(limit)
    }

    fn from(
        request: DescribeTopicPartitionsRequest,
        topic: &str,
        index: i32,
    ) -> DescribeTopicPartitionsRequest {
        let cursor = describe_topic_partitions_request::Cursor::default()
            .with_topic_name(name(topic))
            .with_partition_index(index);
        request.with_cursor(Some(cursor))
    }

    /// The partitions on a page, as `topic-index`, errors as `topic!code`, and the cursor.
    async fn page(
        bench: &Bench,
        request: &DescribeTopicPartitionsRequest,
    ) -> (String, Option<String>) {
        let response = bench.send(0, request).await;
        let mut seen = Vec::new();
        for topic in &response.topics {
            let name = topic.name.as_ref().map_or("", |name| name.as_str());
            if topic.error_code != 0 {
                seen.push(format!("{name}!{}", topic.error_code));
            }
            let partitions = topic.partitions.iter();
            seen.extend(partitions.map(|p| format!("{name}-{}", p.partition_index)));
        }
        let next = response.next_cursor;
        let next =
            next.map(|next| format!("{}-{}", next.topic_name.as_str(), next.partition_index));
        (seen.join(" "), next)
    }

    #[tokio::test]
    async fn m_6_pages_follow_one_another_over_sorted_topics() {
        let bench = Bench::new();
        for (name, partitions) in [("b", 3), ("a", 2), ("c", 1)] {
            bench.topic(name, partitions);
        }
        let all = request(&[], 2000);
        assert_eq!(
            page(&bench, &all).await,
            ("a-0 a-1 b-0 b-1 b-2 c-0".into(), None)
        );
        let named = request(&["c", "a", "nope", "no/pe", ""], 2000);
        assert_eq!(
            page(&bench, &named).await,
            ("!17 a-0 a-1 c-0 no/pe!17 nope!3".into(), None)
        );
        let small = || request(&[], 2);
        assert_eq!(
            page(&bench, &small()).await,
            ("a-0 a-1".into(), Some("b-0".into()))
        );
        let next = from(small(), "b", 0);
        assert_eq!(
            page(&bench, &next).await,
            ("b-0 b-1".into(), Some("b-2".into()))
        );
        let next = from(small(), "b", 2);
        assert_eq!(page(&bench, &next).await, ("b-2 c-0".into(), None));
        // The topic of the cursor is gone.
        let next = from(small(), "aa", 1);
        assert_eq!(
            page(&bench, &next).await,
            ("b-0 b-1".into(), Some("b-2".into()))
        );
        // At least one partition, whatever is asked for.
        assert_eq!(
            page(&bench, &request(&[], 0)).await,
            ("a-0".into(), Some("a-1".into()))
        );
    }

    #[tokio::test]
    async fn m_6_the_servers_limit_counts_too() {
        let bench = Bench::with(Config {
            max_request_partition_size_limit: 3,
            ..Config::default()
        });
        bench.topic("a", 5);
        let all = request(&[], 2000);
        assert_eq!(
            page(&bench, &all).await,
            ("a-0 a-1 a-2".into(), Some("a-3".into()))
        );
    }

    #[tokio::test]
    async fn m_6_a_cursor_that_points_nowhere_is_refused() {
        let bench = Bench::new();
        bench.topic("a", 1);
        let elsewhere = from(request(&["a"], 10), "b", 0);
        assert_eq!(page(&bench, &elsewhere).await, ("a!42".into(), None));
        let negative = from(request(&["a"], 10), "a", -1);
        assert_eq!(page(&bench, &negative).await, ("a!42".into(), None));
    }

    #[tokio::test]
    async fn a_topic_is_described_as_in_metadata() {
        let bench = Bench::new();
        let topic = bench.topic("a", 1);
        let response = bench.send(0, &request(&["a"], 10)).await;
        let described = &response.topics[0];
        assert_eq!(
            (described.topic_id, described.is_internal),
            (topic.id, false)
        );
        assert_eq!(described.topic_authorized_operations, TOPIC_OPERATIONS);
        let response = bench.send(0, &request(&["b"], 10)).await;
        let operations = response.topics[0].topic_authorized_operations;
        assert_eq!(operations, TOPIC_OPERATIONS, "even if it is not there");
        let partition = &described.partitions[0];
        assert_eq!((partition.leader_id, partition.error_code), (1.into(), 0));
        assert_eq!(partition.replica_nodes, [1]);
        assert_eq!(partition.isr_nodes, [1]);
        assert_eq!(partition.eligible_leader_replicas, Some(vec![]));
    }
}
