use std::sync::Arc;

use ratel_protocol::messages::create_partitions_request::CreatePartitionsTopic;
use ratel_protocol::messages::create_topics_request::CreatableTopic;
use ratel_protocol::messages::metadata_request::MetadataRequestTopic;
use ratel_protocol::messages::{
    CreatePartitionsRequest, CreateTopicsRequest, CreateTopicsResponse, DeleteTopicsRequest,
    MetadataRequest, TopicName,
};
use ratel_protocol::{ErrorCode, StrBytes};

use crate::api::testing::Bench;
use crate::config::Config;
use crate::coordinator::catalog::client_quota::{ClientQuotas, Limit, Owner, Part, Quota};

const NONE: i16 = 0;
const THROTTLED: i16 = 89;

/// A broker on which each client may make and delete 2 partitions a second, 22 at once.
async fn bench() -> Bench {
    let bench = Bench::started(Config::default()).await;
    let mut quotas = ClientQuotas::default();
    let owner = Owner::from([(Part::ClientId, None)]);
    quotas.put(
        &owner,
        &[(Quota::ControllerMutationRate, Limit(2.0))].into(),
    );
    bench.broker.catalog.view.put_quotas(Arc::new(quotas));
    bench
}

fn name(name: &str) -> TopicName {
    TopicName(StrBytes::from_string(name.to_owned()))
}

fn create(topics: &[(&str, i32)]) -> CreateTopicsRequest {
    let topics = topics.iter().map(|(topic, partitions)| {
        CreatableTopic::default()
            .with_name(name(topic))
            .with_num_partitions(*partitions)
            .with_replication_factor(1)
    });
    CreateTopicsRequest::default()
        .with_timeout_ms(1000)
        .with_topics(topics.collect())
}

fn codes(response: &CreateTopicsResponse) -> Vec<i16> {
    response
        .topics
        .iter()
        .map(|topic| topic.error_code)
        .collect()
}

#[tokio::test]
async fn kip_599_new_versions_are_refused_what_is_too_much() {
    let bench = bench().await;
    let made = bench
        .send(6, &create(&[("a", 20), ("b", 10), ("c", 1)]))
        .await;
    assert_eq!(codes(&made), [NONE, NONE, THROTTLED], "overdrawn once");
    assert_eq!(made.throttle_time_ms, 4000);
    assert!(bench.broker.catalog.view.topic("c").is_none());

    let grow = |count| {
        CreatePartitionsRequest::default()
            .with_timeout_ms(1000)
            .with_topics(vec![
                CreatePartitionsTopic::default()
                    .with_name(name("a"))
                    .with_count(count)
                    .with_assignments(None),
            ])
    };
    let grown = bench.send(3, &grow(21)).await;
    assert_eq!(grown.results[0].error_code, THROTTLED);
    assert_eq!(grown.throttle_time_ms, 4000);
    let grown = bench.send(3, &grow(20)).await;
    let refused = ErrorCode::InvalidPartitions.code();
    assert_eq!(
        (grown.results[0].error_code, grown.throttle_time_ms),
        (refused, 0)
    );
    let delete = DeleteTopicsRequest::default()
        .with_timeout_ms(1000)
        .with_topic_names(vec![name("b")]);
    let deleted = bench.send(5, &delete).await;
    assert_eq!(deleted.responses[0].error_code, THROTTLED);
    assert_eq!(deleted.throttle_time_ms, 4000);

    bench.clock.advance_ms(4000);
    let deleted = bench.send(5, &delete).await;
    assert_eq!(
        (deleted.responses[0].error_code, deleted.throttle_time_ms),
        (NONE, 0)
    );
    let grown = bench.send(3, &grow(21)).await;
    assert_eq!(grown.results[0].error_code, THROTTLED, "10 were deleted");
    assert_eq!(grown.throttle_time_ms, 5000);
}

#[tokio::test]
async fn kip_599_old_versions_are_told_to_be_silent() {
    let bench = bench().await;
    let made = bench
        .send(5, &create(&[("a", 20), ("b", 10), ("c", 1)]))
        .await;
    assert_eq!(codes(&made), [NONE, NONE, NONE]);
    assert_eq!(made.throttle_time_ms, 4500);
    let delete = DeleteTopicsRequest::default()
        .with_timeout_ms(1000)
        .with_topic_names(vec![name("c")]);
    let deleted = bench.send(4, &delete).await;
    assert_eq!(
        (deleted.responses[0].error_code, deleted.throttle_time_ms),
        (NONE, 5000)
    );
}

/// Numbers of partitions are the client's to say, and two of them may be more than one can be.
#[tokio::test]
async fn kip_599_any_number_of_refused_partitions_is_put_back() {
    let bench = bench().await;
    let made = bench.send(6, &create(&[("a", 1), ("b", 1)])).await;
    assert_eq!(codes(&made), [NONE, NONE]);
    let grow = ["a", "b"].map(|topic| {
        CreatePartitionsTopic::default()
            .with_name(name(topic))
            .with_count(i32::MAX)
            .with_assignments(None)
    });
    let grow = CreatePartitionsRequest::default().with_topics(grow.to_vec());
    let grown = bench.send(2, &grow).await;
    let refused = ErrorCode::PolicyViolation.code();
    let codes_of = grown.results.iter().map(|result| result.error_code);
    assert_eq!(codes_of.collect::<Vec<_>>(), [refused, refused]);
    let made = bench.send(6, &create(&[("c", 20)])).await;
    assert_eq!((codes(&made), made.throttle_time_ms), (vec![NONE], 0));
}

#[tokio::test]
async fn kip_599_what_the_catalog_refuses_is_not_counted() {
    let bench = bench().await;
    let made = bench.send(6, &create(&[("x.y", 1)])).await;
    assert_eq!(codes(&made), [NONE]);
    // The names collide, which only the catalog knows.
    for _ in 0..5 {
        let made = bench.send(6, &create(&[("x_y", 21)])).await;
        assert_eq!(codes(&made), [ErrorCode::InvalidTopicException.code()]);
        assert_eq!(made.throttle_time_ms, 0);
    }
    let made = bench.send(6, &create(&[("a", 21)])).await;
    assert_eq!(codes(&made), [NONE]);
    // As in Kafka, what is only validated counts.
    let asked = create(&[("d", 2)]).with_validate_only(true);
    assert_eq!(codes(&bench.send(6, &asked).await), [NONE]);
    assert_eq!(codes(&bench.send(6, &asked).await), [THROTTLED]);
}

#[tokio::test]
async fn kip_599_a_topic_that_is_made_on_demand_counts() {
    let bench = bench().await;
    let made = bench.send(6, &create(&[("a", 23)])).await;
    assert_eq!(codes(&made), [NONE]);
    let ask = MetadataRequest::default()
        .with_allow_auto_topic_creation(true)
        .with_topics(Some(vec![
            MetadataRequestTopic::default().with_name(Some(name("b"))),
        ]));
    let topics = bench.send(8, &ask).await.topics;
    assert_eq!(
        topics[0].error_code,
        ErrorCode::UnknownTopicOrPartition.code()
    );
    bench.clock.advance_ms(500);
    assert_eq!(bench.send(8, &ask).await.topics[0].error_code, NONE);
}
