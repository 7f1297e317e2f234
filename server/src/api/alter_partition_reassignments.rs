//! AlterPartitionReassignments (key 45), versions 0 to 1: there is one node to be assigned to.
//!
//! A partition that is to lie on this node alone lies there already: success. Any other target
//! is INVALID_REPLICA_ASSIGNMENT. There is nothing to cancel (null replicas):
//! NO_REASSIGNMENT_IN_PROGRESS.
//! - v1: whether the replication factor may change, echoed

use std::ops::RangeInclusive;

use ratel_protocol::messages::alter_partition_reassignments_request::ReassignablePartition;
use ratel_protocol::messages::alter_partition_reassignments_response::{
    ReassignablePartitionResponse, ReassignableTopicResponse,
};
use ratel_protocol::messages::{
    AlterPartitionReassignmentsRequest, AlterPartitionReassignmentsResponse,
};
use ratel_protocol::{ApiKey, ErrorCode};

use super::{Api, Context, Later};
use crate::error::Refusal;

pub struct AlterPartitionReassignments;

impl Api for AlterPartitionReassignments {
    type Request = AlterPartitionReassignmentsRequest;
    const KEY: ApiKey = ApiKey::AlterPartitionReassignments;
    const VERSIONS: RangeInclusive<i16> = 0..=1;

    async fn handle(cx: Context, request: AlterPartitionReassignmentsRequest) -> Later {
        let topics = request.topics.into_iter().map(|topic| {
            let partitions = topic.partitions.iter();
            let partitions = partitions
                .map(|asked| partition(&cx, &topic.name, asked))
                .collect();
            ReassignableTopicResponse::default()
                .with_name(topic.name)
                .with_partitions(partitions)
        });
        cx.ready(
            &AlterPartitionReassignmentsResponse::default()
                .with_allow_replication_factor_change(request.allow_replication_factor_change)
                .with_error_message(None)
                .with_responses(topics.collect()),
        )
    }
}

fn partition(
    cx: &Context,
    topic: &str,
    asked: &ReassignablePartition,
) -> ReassignablePartitionResponse {
    let answer = ReassignablePartitionResponse::default()
        .with_partition_index(asked.partition_index)
        .with_error_message(None);
    match check(cx, topic, asked) {
        Ok(()) => answer,
        Err(refusal) => answer
            .with_error_code(refusal.code.code())
            .with_error_message(refusal.message),
    }
}

fn check(cx: &Context, topic: &str, asked: &ReassignablePartition) -> Result<(), Refusal> {
    cx.broker.partition_by_name(topic, asked.partition_index)?;
    match asked.replicas.as_deref() {
        None => Err(Refusal::new(
            ErrorCode::NoReassignmentInProgress,
            "nothing is being reassigned",
        )),
        Some([only]) if *only == cx.broker.config.node_id => Ok(()),
        Some(_) => Err(Refusal::new(
            ErrorCode::InvalidReplicaAssignment,
            "this node is the only one that can hold a replica",
        )),
    }
}

#[cfg(test)]
mod tests {
    use ratel_protocol::messages::TopicName;
    use ratel_protocol::messages::alter_partition_reassignments_request::ReassignableTopic;

    use super::*;
    use crate::api::testing::Bench;

    #[tokio::test]
    async fn a_partition_can_only_stay_where_it_is() {
        let bench = Bench::new();
        bench.topic("t", 1);
        let partition = |index, replicas: Option<&[i32]>| {
            let replicas = replicas.map(|ids| ids.iter().map(|id| (*id).into()).collect());
            ReassignablePartition::default()
                .with_partition_index(index)
                .with_replicas(replicas)
        };
        let asked = ReassignableTopic::default()
            .with_name(TopicName("t".to_owned().into()))
            .with_partitions(vec![
                partition(0, Some(&[1])),
                partition(0, Some(&[2])),
                partition(0, Some(&[1, 2])),
                partition(0, Some(&[])),
                partition(0, None),
                partition(1, Some(&[1])),
            ]);
        let request = AlterPartitionReassignmentsRequest::default().with_topics(vec![asked]);
        for version in 0..=1 {
            let response = bench.send(version, &request).await;
            assert_eq!(response.error_code, 0);
            let results = response.responses[0].partitions.iter();
            let codes: Vec<_> = results.map(|result| result.error_code).collect();
            assert_eq!(codes, [0, 39, 39, 39, 85, 3]);
        }
    }
}
