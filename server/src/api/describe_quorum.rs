//! DescribeQuorum (key 55), versions 0 to 2: who keeps the cluster's metadata: this server alone.
//!
//! It is the leader and the only voter of `__cluster_metadata`-0; its offsets count the changes
//! of the catalog since start-up. Any other partition is UNKNOWN_TOPIC_OR_PARTITION.
//! - v1: times of the last fetch and of being caught up; v2: nodes with their listeners

use std::ops::RangeInclusive;

use ratel_protocol::messages::describe_quorum_request;
use ratel_protocol::messages::describe_quorum_response::{
    Listener, Node, PartitionData, ReplicaState, TopicData,
};
use ratel_protocol::messages::{DescribeQuorumRequest, DescribeQuorumResponse};
use ratel_protocol::{ApiKey, ErrorCode, StrBytes};

use super::{Api, Context, Later};
use crate::advertised;

pub struct DescribeQuorum;

const METADATA_TOPIC: &str = "__cluster_metadata";

impl Api for DescribeQuorum {
    type Request = DescribeQuorumRequest;
    const KEY: ApiKey = ApiKey::DescribeQuorum;
    const VERSIONS: RangeInclusive<i16> = 0..=2;

    async fn handle(cx: Context, request: DescribeQuorumRequest) -> Later {
        let topics = request.topics.into_iter().map(|topic| {
            let partitions = topic.partitions.iter();
            let partitions = partitions.map(|asked| partition(&cx, &topic, asked.partition_index));
            TopicData::default()
                .with_partitions(partitions.collect())
                .with_topic_name(topic.topic_name)
        });
        let response = DescribeQuorumResponse::default().with_topics(topics.collect());
        cx.ready(&if cx.version >= 2 {
            response.with_nodes(vec![node(&cx)])
        } else {
            response
        })
    }
}

fn partition(
    cx: &Context,
    topic: &describe_quorum_request::TopicData,
    index: i32,
) -> PartitionData {
    let answer = PartitionData::default().with_partition_index(index);
    if &*topic.topic_name != METADATA_TOPIC || index != 0 {
        return answer
            .with_error_code(ErrorCode::UnknownTopicOrPartition.code())
            .with_leader_id((-1).into())
            .with_leader_epoch(-1)
            .with_high_watermark(-1);
    }
    let node_id = cx.broker.config.node_id.into();
    let end = i64::try_from(cx.broker.catalog.view.version()).unwrap_or(i64::MAX);
    let voter = ReplicaState::default()
        .with_replica_id(node_id)
        .with_log_end_offset(end)
        .with_last_fetch_timestamp(cx.received.wall_ms)
        .with_last_caught_up_timestamp(cx.received.wall_ms);
    answer
        .with_leader_id(node_id)
        .with_leader_epoch(1)
        .with_high_watermark(end)
        .with_current_voters(vec![voter])
}

fn node(cx: &Context) -> Node {
    let (host, port) = advertised::endpoint(&cx.broker.config, &cx.session);
    let listener = Listener::default()
        .with_name(StrBytes::from_string(cx.session.listener.to_string()))
        .with_host(host.into())
        .with_port(port);
    Node::default()
        .with_node_id(cx.broker.config.node_id.into())
        .with_listeners(vec![listener])
}

#[cfg(test)]
mod tests {
    use ratel_protocol::messages::TopicName;

    use super::*;
    use crate::api::testing::{Bench, NOW_MS};

    fn request(topic: &str, index: i32) -> DescribeQuorumRequest {
        let partition = describe_quorum_request::PartitionData::default();
        let topic = describe_quorum_request::TopicData::default()
            .with_topic_name(TopicName(topic.to_owned().into()))
            .with_partitions(vec![partition.with_partition_index(index)]);
        DescribeQuorumRequest::default().with_topics(vec![topic])
    }

    #[tokio::test]
    async fn this_server_leads_and_votes_alone_at_every_version() {
        let bench = Bench::new();
        for version in 0..=2 {
            let response = bench.send(version, &request(METADATA_TOPIC, 0)).await;
            assert_eq!(response.error_code, 0);
            let quorum = &response.topics[0].partitions[0];
            assert_eq!((quorum.error_code, quorum.leader_id), (0, 1.into()));
            let [voter] = &quorum.current_voters[..] else {
                panic!("one voter");
            };
            assert_eq!(voter.replica_id, 1);
            assert_eq!(voter.log_end_offset, quorum.high_watermark);
            let caught_up = if version >= 1 { NOW_MS } else { -1 };
            assert_eq!(voter.last_caught_up_timestamp, caught_up);
            assert!(quorum.observers.is_empty());
            let nodes: Vec<_> = response.nodes.iter().map(|node| node.node_id.0).collect();
            assert_eq!(nodes, if version >= 2 { vec![1] } else { vec![] });
        }
        let unknown = bench.send(2, &request("t", 0)).await;
        assert_eq!(unknown.topics[0].partitions[0].error_code, 3);
        let unknown = bench.send(2, &request(METADATA_TOPIC, 1)).await;
        assert_eq!(unknown.topics[0].partitions[0].error_code, 3);
    }
}
