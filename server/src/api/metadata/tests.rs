use ratel_storage::{LogSettings, TopicId};

use super::*;
use crate::api::testing::Bench;
use crate::config::Config;

fn by_name(names: &[&str]) -> MetadataRequest {
    let topics = names.iter().map(|name| {
        let name = TopicName((*name).to_owned().into());
        MetadataRequestTopic::default().with_name(Some(name))
    });
    MetadataRequest::default().with_topics(Some(topics.collect()))
}

fn by_id(id: TopicId) -> MetadataRequest {
    let topic = MetadataRequestTopic::default()
        .with_topic_id(id)
        .with_name(None);
    MetadataRequest::default().with_topics(Some(vec![topic]))
}

/// `(name, code, partitions)` of each topic of an answer.
fn summary(response: &MetadataResponse) -> Vec<(String, i16, usize)> {
    let topics = response.topics.iter();
    topics
        .map(|topic| {
            let name = topic.name.as_ref().map_or("null", |name| name.as_str());
            (name.to_owned(), topic.error_code, topic.partitions.len())
        })
        .collect()
}

fn topics(expected: &[(&str, i16, usize)]) -> Vec<(String, i16, usize)> {
    let topics = expected.iter();
    topics
        .map(|(name, code, count)| ((*name).to_owned(), *code, *count))
        .collect()
}

#[tokio::test]
async fn every_version_shows_topics_and_refusals() {
    let bench = Bench::new();
    let topic = bench.topic("t", 2);
    for version in 0..=13 {
        let request = by_name(&["t", "not there"]);
        // Which versions can say what.
        let request = request
            .with_include_topic_authorized_operations(version >= 8)
            .with_include_cluster_authorized_operations((8..=10).contains(&version));
        let response = bench.send(version, &request).await;
        assert_eq!(
            summary(&response),
            topics(&[("t", 0, 2), ("not there", 17, 0)])
        );
        let found = &response.topics[0];
        let nil = TopicId::nil();
        assert_eq!(found.topic_id, if version >= 10 { topic.id } else { nil });
        let operations = if version >= 8 { 3576 } else { i32::MIN };
        assert_eq!(found.topic_authorized_operations, operations);
        let operations = if (8..=10).contains(&version) {
            8096
        } else {
            i32::MIN
        };
        assert_eq!(response.cluster_authorized_operations, operations);
        let partition = &found.partitions[1];
        assert_eq!((partition.partition_index, partition.error_code), (1, 0));
        assert_eq!(partition.leader_id, 1);
        assert_eq!(
            (&partition.replica_nodes[..], &partition.isr_nodes[..]),
            (&[1.into()][..], &[1.into()][..],)
        );
        assert!(partition.offline_replicas.is_empty());
    }
}

#[tokio::test]
async fn m_1_all_and_none_are_said_in_two_ways() {
    let bench = Bench::new();
    bench.topic("b", 1);
    bench.topic("a", 1);
    let all = topics(&[("a", 0, 1), ("b", 0, 1)]);
    let empty = MetadataRequest::default().with_topics(Some(vec![]));
    assert_eq!(summary(&bench.send(0, &empty).await), all);
    for version in 1..=13 {
        let null = MetadataRequest::default().with_topics(None);
        assert_eq!(summary(&bench.send(version, &null).await), all);
        assert_eq!(summary(&bench.send(version, &empty).await), []);
    }
}

#[tokio::test]
async fn m_2_a_topic_is_made_where_that_is_allowed() {
    let bench = Bench::started(Config {
        num_partitions: 3,
        ..Config::default()
    });
    let bench = bench.await;
    let forbid = by_name(&["new"]).with_allow_auto_topic_creation(false);
    assert_eq!(
        summary(&bench.send(4, &forbid).await),
        topics(&[("new", 3, 0)])
    );
    assert_eq!(
        summary(&bench.send(13, &forbid).await),
        topics(&[("new", 3, 0)])
    );
    let response = bench.send(1, &by_name(&["old", "old", "x/y", ""])).await;
    assert_eq!(
        summary(&response),
        topics(&[("old", 0, 3), ("x/y", 17, 0), ("", 17, 0)])
    );
    assert_eq!(response.topics[0].partitions[0].leader_id, 1);
    let response = bench.send(12, &by_name(&["new", "newer"])).await;
    assert_eq!(
        summary(&response),
        topics(&[("new", 0, 3), ("newer", 0, 3)])
    );
    assert!(!response.topics[0].topic_id.is_nil());
    // Nobody makes a topic that belongs to a feature which is not there.
    let response = bench.send(12, &by_name(&["__transaction_state"])).await;
    assert_eq!(summary(&response), topics(&[("__transaction_state", 3, 0)]));
}

#[tokio::test]
async fn m_2_nothing_is_made_when_the_server_forbids_it() {
    let bench = Bench::started(Config {
        auto_create_topics_enable: false,
        ..Config::default()
    });
    let bench = bench.await;
    for version in [0, 13] {
        let response = bench.send(version, &by_name(&["new"])).await;
        assert_eq!(summary(&response), topics(&[("new", 3, 0)]));
    }
}

#[tokio::test]
async fn m_3_topics_are_found_by_id_from_version_12_on() {
    let bench = Bench::new();
    let topic = bench.topic("t", 1);
    for version in [10, 11] {
        let response = bench.send(version, &by_id(topic.id)).await;
        assert_eq!(summary(&response), topics(&[("", 42, 0)]));
    }
    for version in [12, 13] {
        let response = bench.send(version, &by_id(topic.id)).await;
        assert_eq!(summary(&response), topics(&[("t", 0, 1)]));
        let unknown = TopicId::from_u128(9);
        let response = bench.send(version, &by_id(unknown)).await;
        assert_eq!(summary(&response), topics(&[("null", 100, 0)]));
        assert_eq!(response.topics[0].topic_id, unknown);
    }
}

#[tokio::test]
async fn m_4_the_broker_is_the_controller_and_the_cluster_has_an_id() {
    let bench = Bench::new();
    for version in 1..=13 {
        let response = bench.send(version, &by_name(&[])).await;
        let [broker] = &response.brokers[..] else {
            panic!("one broker");
        };
        assert_eq!(
            (broker.node_id, &*broker.host, broker.port),
            (1.into(), "127.0.0.1", 9092)
        );
        assert_eq!(response.controller_id, 1);
        if version >= 2 {
            assert_eq!(response.cluster_id.as_ref().map(|id| id.len()), Some(22));
        }
    }
}

#[tokio::test]
async fn m_5_internal_topics_are_listed_and_operations_are_not_unless_asked_for() {
    let bench = Bench::new();
    bench.topic_with("__consumer_offsets", 1, true, LogSettings::default());
    bench.topic("t", 1);
    let all = MetadataRequest::default().with_topics(None);
    let response = bench.send(9, &all).await;
    let internal: Vec<_> = response
        .topics
        .iter()
        .map(|topic| topic.is_internal)
        .collect();
    assert_eq!(internal, [true, false]);
    assert_eq!(response.topics[0].topic_authorized_operations, i32::MIN);
    assert_eq!(response.cluster_authorized_operations, i32::MIN);
    let partition = bench.broker.partition_by_name("t", 0).expect("a partition");
    let epoch = partition.offsets().leader_epoch;
    assert_eq!(response.topics[1].partitions[0].leader_epoch, epoch);
}

#[tokio::test]
async fn a_partition_that_is_not_open_has_no_leader() {
    let bench = Bench::new();
    let mut topic = (*bench.topic("t", 1)).clone();
    topic.partitions = 2;
    bench.broker.catalog.view.insert(Arc::new(topic));
    let response = bench.send(9, &by_name(&["t"])).await;
    let partition = &response.topics[0].partitions[1];
    assert_eq!(
        (partition.error_code, partition.leader_id),
        (5, (-1).into())
    );
    assert_eq!(
        (partition.isr_nodes.len(), partition.offline_replicas.len()),
        (0, 1)
    );
}
