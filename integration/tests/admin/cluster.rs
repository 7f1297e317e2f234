//! What one broker answers where Kafka has a cluster.

use kafka_protocol::messages::elect_leaders_request::TopicPartitions;
use kafka_protocol::messages::{
    AlterPartitionReassignmentsRequest, DescribeAclsRequest, DescribeClusterRequest,
    DescribeLogDirsRequest, ElectLeadersRequest, ListPartitionReassignmentsRequest,
};
use ratel_integration::{RawClient, TestBroker};

use crate::{NONE, create, name, produce, topic};

#[tokio::test]
async fn a_7_log_dirs_show_sizes_at_every_version() {
    let broker = TestBroker::start().await;
    let mut client = RawClient::connect(broker.addr()).await;
    create(&mut client, 7, vec![topic("a", 2, 1)]).await;
    produce(&mut client, "a", 1000).await;
    for version in 1..=4 {
        let request = DescribeLogDirsRequest::default().with_topics(None);
        let answer = client.send(version, &request).await;
        let dir = &answer.results[0];
        let topic = dir
            .topics
            .iter()
            .find(|topic| &*topic.name.0 == "a")
            .unwrap();
        let mut sizes: Vec<_> = topic
            .partitions
            .iter()
            .map(|p| (p.partition_index, p.partition_size > 1000, p.offset_lag))
            .collect();
        sizes.sort_unstable();
        assert_eq!(sizes, [(0, true, 0), (1, false, 0)]);
        assert_eq!(version >= 4, dir.total_bytes > 0 && dir.usable_bytes > 0);
    }
}

#[tokio::test]
async fn a_8_without_an_authorizer_acls_are_disabled() {
    let broker = TestBroker::start().await;
    let mut client = RawClient::connect(broker.addr()).await;
    for version in 1..=3 {
        let request = DescribeAclsRequest::default()
            .with_resource_type_filter(1)
            .with_pattern_type_filter(1)
            .with_operation(1)
            .with_permission_type(1);
        let answer = client.send(version, &request).await;
        assert_eq!((answer.error_code, answer.resources.len()), (54, 0));
    }
}

#[tokio::test]
async fn a_9_there_is_nothing_to_elect_and_nothing_to_reassign() {
    let broker = TestBroker::start().await;
    let mut client = RawClient::connect(broker.addr()).await;
    create(&mut client, 7, vec![topic("a", 2, 1)]).await;
    for version in 0..=2 {
        let partitions = TopicPartitions::default()
            .with_topic(name("a"))
            .with_partitions(vec![0, 1]);
        let request = ElectLeadersRequest::default().with_topic_partitions(Some(vec![partitions]));
        let answer = client.send(version, &request).await;
        let results = &answer.replica_election_results[0].partition_result;
        assert_eq!(
            results.iter().map(|p| p.error_code).collect::<Vec<_>>(),
            [84, 84]
        );
    }
    let answer = client
        .send(0, &ListPartitionReassignmentsRequest::default())
        .await;
    assert_eq!((answer.error_code, answer.topics.len()), (NONE, 0));
    let answer = client
        .send(0, &AlterPartitionReassignmentsRequest::default())
        .await;
    assert_eq!((answer.error_code, answer.responses.len()), (NONE, 0));
}

#[tokio::test]
async fn a_10_the_cluster_is_this_broker() {
    let broker = TestBroker::start().await;
    let mut client = RawClient::connect(broker.addr()).await;
    for version in 0..=2 {
        let answer = client
            .send(version, &DescribeClusterRequest::default())
            .await;
        assert_eq!((answer.error_code, answer.brokers.len()), (NONE, 1));
        assert_eq!(
            (answer.brokers[0].broker_id.0, answer.controller_id.0),
            (1, 1)
        );
        assert!(!answer.brokers[0].is_fenced);
    }
    for (kind, expected) in [(2, 114), (3, 115)] {
        let request = DescribeClusterRequest::default().with_endpoint_type(kind);
        assert_eq!(client.send(1, &request).await.error_code, expected);
    }
}
