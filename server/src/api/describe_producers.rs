//! DescribeProducers (key 61), version 0: the producers that a partition remembers (KIP-664).

use std::ops::RangeInclusive;

use ratel_protocol::ApiKey;
use ratel_protocol::messages::describe_producers_response::{
    PartitionResponse, ProducerState, TopicResponse,
};
use ratel_protocol::messages::{DescribeProducersRequest, DescribeProducersResponse};
use ratel_storage::ProducerSummary;

use super::{Api, Context, Later};
use crate::coordinator::catalog::check_legal_name;

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
    if let Err(refusal) = check_legal_name(topic) {
        return answer.with_error_code(refusal.code.code());
    }
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

#[cfg(test)]
mod tests {
    use ratel_protocol::messages::TopicName;
    use ratel_protocol::messages::describe_producers_request::TopicRequest;
    use ratel_storage::{BatchBuilder, Durability, Origin, Outcome};

    use super::*;
    use crate::api::testing::{Bench, NOW_MS, transactions};

    #[tokio::test]
    async fn a_partition_tells_its_producers() {
        let bench = Bench::new();
        let topic = bench.topic("t", 2);
        let partition = bench.broker.partition(&topic, 0).expect("a partition");
        for (id, epoch) in [(9, 2), (4, 0)] {
            let mut builder = BatchBuilder::new(NOW_MS).producer(id, epoch, 0);
            builder.record(None, Some(b"a"));
            builder.record(None, Some(b"b"));
            let batch = builder.build().expect("records");
            let appended = partition.append(&batch, Origin::Client, Durability::Synced, NOW_MS);
            appended.await.expect("appended");
        }
        let asked = TopicRequest::default()
            .with_name(TopicName("t".to_owned().into()))
            .with_partition_indexes(vec![0, 1, 2]);
        let illegal = TopicRequest::default()
            .with_name(TopicName("a/b".to_owned().into()))
            .with_partition_indexes(vec![0]);
        let request = DescribeProducersRequest::default().with_topics(vec![asked, illegal]);
        let response = bench.send(0, &request).await;
        assert_eq!(response.topics[1].partitions[0].error_code, 17);
        let [first, second, third] = &response.topics[0].partitions[..] else {
            panic!("three partitions");
        };
        let producers: Vec<_> = first
            .active_producers
            .iter()
            .map(|p| {
                (
                    p.producer_id.0,
                    p.producer_epoch,
                    p.last_sequence,
                    p.last_timestamp,
                )
            })
            .collect();
        assert_eq!(producers, [(4, 0, 1, NOW_MS), (9, 2, 1, NOW_MS)]);
        let of = &first.active_producers[0];
        assert_eq!(
            (of.current_txn_start_offset, of.coordinator_epoch),
            (-1, -1)
        );
        assert_eq!((second.error_code, second.active_producers.len()), (0, 0));
        assert_eq!((third.partition_index, third.error_code), (2, 3));
    }

    #[tokio::test]
    async fn a_partition_tells_where_a_transaction_began_and_who_ended_the_last() {
        let bench = Bench::new();
        let topic = bench.topic("t", 1);
        let partition = bench.broker.partition(&topic, 0).expect("a partition");
        transactions::write(&partition, 4, &["a"]).await;
        transactions::end(&partition, 4, Outcome::Commit).await;
        transactions::write(&partition, 4, &["b", "c"]).await;
        let asked = TopicRequest::default()
            .with_name(TopicName("t".to_owned().into()))
            .with_partition_indexes(vec![0]);
        let request = DescribeProducersRequest::default().with_topics(vec![asked]);
        let response = bench.send(0, &request).await;
        let of = &response.topics[0].partitions[0].active_producers[0];
        assert_eq!((of.current_txn_start_offset, of.coordinator_epoch), (2, 3));
    }
}
