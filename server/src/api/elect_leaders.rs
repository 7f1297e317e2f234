//! ElectLeaders (key 43), versions 0 to 2: there is one node, so nobody else can lead.
//!
//! A partition that is named gets ELECTION_NOT_NEEDED, or UNKNOWN_TOPIC_OR_PARTITION. When
//! all are asked for (null), those that need no election are left out, which is every one.
//! - v1: election type (0 preferred, 1 unclean), error code of the whole answer; v2: flexible

use std::ops::RangeInclusive;

use ratel_protocol::messages::elect_leaders_response::{PartitionResult, ReplicaElectionResult};
use ratel_protocol::messages::{ElectLeadersRequest, ElectLeadersResponse};
use ratel_protocol::{ApiKey, ErrorCode};

use super::{Api, Context, Later};
use crate::error::Refusal;

pub struct ElectLeaders;

impl Api for ElectLeaders {
    type Request = ElectLeadersRequest;
    const KEY: ApiKey = ApiKey::ElectLeaders;
    const VERSIONS: RangeInclusive<i16> = 0..=2;

    async fn handle(cx: Context, request: ElectLeadersRequest) -> Later {
        let response = ElectLeadersResponse::default();
        if !matches!(request.election_type, 0 | 1) {
            return cx.ready(&response.with_error_code(ErrorCode::InvalidRequest.code()));
        }
        let topics = request.topic_partitions.unwrap_or_default();
        let results = topics.into_iter().map(|topic| {
            let indexes = topic.partitions.iter();
            let results = indexes
                .map(|index| result(&cx, &topic.topic, *index))
                .collect();
            ReplicaElectionResult::default()
                .with_topic(topic.topic)
                .with_partition_result(results)
        });
        cx.ready(&response.with_replica_election_results(results.collect()))
    }
}

fn result(cx: &Context, topic: &str, index: i32) -> PartitionResult {
    let refusal = match cx.broker.partition_by_name(topic, index) {
        Ok(_) => Refusal::new(
            ErrorCode::ElectionNotNeeded,
            "the only replica leads already",
        ),
        Err(code) => Refusal::new(code, "no such topic or partition"),
    };
    PartitionResult::default()
        .with_partition_id(index)
        .with_error_code(refusal.code.code())
        .with_error_message(refusal.message)
}

#[cfg(test)]
mod tests {
    use ratel_protocol::messages::TopicName;
    use ratel_protocol::messages::elect_leaders_request::TopicPartitions;

    use super::*;
    use crate::api::testing::Bench;

    #[tokio::test]
    async fn a_9_nobody_else_can_lead() {
        let bench = Bench::new();
        bench.topic("t", 1);
        let asked = TopicPartitions::default()
            .with_topic(TopicName("t".to_owned().into()))
            .with_partitions(vec![0, 1]);
        let request = ElectLeadersRequest::default().with_topic_partitions(Some(vec![asked]));
        for version in 0..=2 {
            let response = bench.send(version, &request).await;
            let results = response.replica_election_results[0].partition_result.iter();
            let codes: Vec<_> = results.map(|r| (r.partition_id, r.error_code)).collect();
            assert_eq!(codes, [(0, 84), (1, 3)]);
            let all = ElectLeadersRequest::default().with_topic_partitions(None);
            assert!(
                bench
                    .send(version, &all)
                    .await
                    .replica_election_results
                    .is_empty()
            );
        }
        let odd = request.with_election_type(2);
        assert_eq!(bench.send(1, &odd).await.error_code, 42);
    }
}
