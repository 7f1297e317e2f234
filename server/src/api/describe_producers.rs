//! DescribeProducers (key 61), version 0: the producers that a partition remembers (KIP-664).

use std::ops::RangeInclusive;

use ratel_protocol::ApiKey;
use ratel_protocol::messages::describe_producers_response::{
    PartitionResponse, ProducerState, TopicResponse,
};
use ratel_protocol::messages::{DescribeProducersRequest, DescribeProducersResponse};
use ratel_storage::ProducerSummary;

use super::{Api, Context, Later};

pub struct DescribeProducers;

impl Api for DescribeProducers {
    type Request = DescribeProducersRequest;
    const KEY: ApiKey = ApiKey::DescribeProducers;
    const VERSIONS: RangeInclusive<i16> = 0..=0;

    async fn handle(cx: Context, request: DescribeProducersRequest) -> Later {
        let topics = request.topics.into_iter().map(|topic| {
            let indexes = topic.partition_indexes.iter();
            let partitions = indexes
                .map(|index| partition(&cx, &topic.name, *index))
                .collect();
            TopicResponse::default()
                .with_name(topic.name)
                .with_partitions(partitions)
        });
        cx.ready(&DescribeProducersResponse::default().with_topics(topics.collect()))
    }
}

fn partition(cx: &Context, topic: &str, index: i32) -> PartitionResponse {
    let answer = PartitionResponse::default().with_partition_index(index);
    match cx.broker.partition_by_name(topic, index) {
        Ok(partition) => {
            let producers = partition.producers();
            answer.with_active_producers(producers.into_iter().map(producer).collect())
        }
        Err(code) => answer.with_error_code(code.code()),
    }
}

fn producer(summary: ProducerSummary) -> ProducerState {
    ProducerState::default()
        .with_producer_id(summary.producer_id.into())
        .with_producer_epoch(summary.producer_epoch.into())
        .with_last_sequence(summary.last_sequence)
        .with_last_timestamp(summary.last_timestamp_ms)
        .with_coordinator_epoch(summary.coordinator_epoch)
        .with_current_txn_start_offset(summary.transaction_start.map_or(-1, |start| start.get()))
}
