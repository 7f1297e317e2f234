//! Making, deleting and growing topics.

use std::collections::BTreeMap;

use kafka_protocol::messages::create_partitions_request::{
    CreatePartitionsAssignment, CreatePartitionsTopic,
};
use kafka_protocol::messages::create_topics_request::{CreatableReplicaAssignment, CreatableTopic};
use kafka_protocol::messages::delete_topics_request::DeleteTopicState;
use kafka_protocol::messages::{
    BrokerId, CreatePartitionsRequest, CreateTopicsRequest, DeleteTopicsRequest,
};
use ratel_integration::{RawClient, TestBroker};
use uuid::Uuid;

use crate::{
    INVALID_CONFIG, INVALID_REQUEST, INVALID_TOPIC, NONE, UNKNOWN_TOPIC, code, configured, create,
    end, name, produce, topic, topics,
};

const TOPIC_EXISTS: i16 = 36;
const INVALID_PARTITIONS: i16 = 37;
const INVALID_REPLICATION_FACTOR: i16 = 38;
const INVALID_ASSIGNMENT: i16 = 39;
const DELETION_DISABLED: i16 = 73;
const UNKNOWN_TOPIC_ID: i16 = 100;

fn assigned(of: &str, partitions: i32, to: &[(i32, &[i32])]) -> CreatableTopic {
    let to = to.iter().map(|(index, brokers)| {
        CreatableReplicaAssignment::default()
            .with_partition_index(*index)
            .with_broker_ids(brokers.iter().map(|id| BrokerId(*id)).collect())
    });
    topic(of, partitions, -1).with_assignments(to.collect())
}

#[tokio::test]
async fn a_1_topics_are_made_at_every_version_and_survive_a_restart() {
    let mut broker = TestBroker::start().await;
    let mut client = RawClient::connect(broker.addr()).await;
    for version in 2..=7 {
        let of = format!("v{version}");
        let results = create(&mut client, version, vec![topic(&of, 3, 1)]).await;
        assert_eq!(results.len(), 1);
        let result = &results[0];
        assert_eq!((result.error_code, result.name.to_string()), (NONE, of));
        if version >= 5 {
            assert_eq!((result.num_partitions, result.replication_factor), (3, 1));
            let configs = result.configs.as_ref().unwrap();
            let retention = configs
                .iter()
                .find(|config| &*config.name == "retention.ms")
                .unwrap();
            assert_eq!(retention.value.as_deref(), Some("604800000"));
            assert_eq!((retention.config_source, retention.read_only), (5, false));
        }
        assert_eq!(version >= 7, !result.topic_id.is_nil());
    }
    let all: BTreeMap<_, _> = (2..=7).map(|version| (format!("v{version}"), 3)).collect();
    assert_eq!(topics(&mut client).await, all);
    assert_eq!(produce(&mut client, "v3", 10).await, (NONE, 0));
    broker.restart().await;
    let mut client = RawClient::connect(broker.addr()).await;
    assert_eq!(topics(&mut client).await, all);
    assert_eq!(end(&mut client, "v3").await, (NONE, 1));
    broker.crash();
    broker.restart().await;
    let mut client = RawClient::connect(broker.addr()).await;
    assert_eq!(topics(&mut client).await, all);
    assert_eq!(produce(&mut client, "v3", 10).await, (NONE, 1));
}

/// Topics that cannot be made, each with the code that says why, where `defaults` is there.
fn refused_topics() -> Vec<(CreatableTopic, i16)> {
    vec![
        (topic("__cluster_metadata", 1, 1), INVALID_REQUEST),
        (topic("defaults", 1, 1), TOPIC_EXISTS),
        (topic("defaults", 0, 9), TOPIC_EXISTS),
        (topic("a b", 1, 1), INVALID_TOPIC),
        (topic("..", 1, 1), INVALID_TOPIC),
        (topic(&"n".repeat(250), 1, 1), INVALID_TOPIC),
        (topic("__transaction_state", 1, 1), INVALID_TOPIC),
        (topic("a", 0, 1), INVALID_PARTITIONS),
        (topic("a", -2, 1), INVALID_PARTITIONS),
        (topic("a", 1, 2), INVALID_REPLICATION_FACTOR),
        (topic("a", 1, 0), INVALID_REPLICATION_FACTOR),
        (
            assigned("a", -1, &[(0, &[1]), (1, &[2])]),
            INVALID_ASSIGNMENT,
        ),
        (
            assigned("a", -1, &[(0, &[1]), (2, &[1])]),
            INVALID_ASSIGNMENT,
        ),
        (assigned("a", -1, &[(0, &[1, 1])]), INVALID_ASSIGNMENT),
        (assigned("a", -1, &[(0, &[])]), INVALID_ASSIGNMENT),
        (assigned("a", 1, &[(0, &[1])]), INVALID_REQUEST),
        (
            assigned("a", -1, &[(0, &[1])]).with_replication_factor(1),
            INVALID_REQUEST,
        ),
        (configured("a", &[("no.such", Some("1"))]), INVALID_CONFIG),
        (configured("a", &[("retention.ms", None)]), INVALID_CONFIG),
        (
            configured("a", &[("segment.bytes", Some("1000"))]),
            INVALID_CONFIG,
        ),
        (
            configured("a", &[("cleanup.policy", Some("shred"))]),
            INVALID_CONFIG,
        ),
        (
            configured("a", &[("compression.type", Some("rar"))]),
            INVALID_CONFIG,
        ),
        (
            configured("a", &[("message.format.version", Some("2.8"))]),
            INVALID_CONFIG,
        ),
    ]
}

#[tokio::test]
async fn a_1_what_cannot_be_made_is_refused_by_its_code() {
    let broker = TestBroker::start_with(|config| config.num_partitions = 4).await;
    let mut client = RawClient::connect(broker.addr()).await;
    let defaults = create(&mut client, 7, vec![topic("defaults", -1, -1)]).await;
    assert_eq!(
        (defaults[0].num_partitions, defaults[0].replication_factor),
        (4, 1)
    );
    for (wanted, expected) in refused_topics() {
        let shown = format!("{wanted:?}");
        assert_eq!(code(&mut client, wanted).await, expected, "{shown}");
    }
    let twice = vec![
        topic("twice", 1, 1),
        topic("once", 1, 1),
        topic("twice", 1, 1),
    ];
    let results = create(&mut client, 7, twice).await;
    let results: Vec<_> = results
        .iter()
        .map(|r| (r.name.to_string(), r.error_code))
        .collect();
    assert_eq!(
        results,
        [("twice".into(), INVALID_REQUEST), ("once".into(), NONE)]
    );
    assert_eq!(code(&mut client, topic("a.b", 1, 1)).await, NONE);
    assert_eq!(code(&mut client, topic("a_b", 1, 1)).await, INVALID_TOPIC);
    assert_eq!(
        code(&mut client, assigned("placed", -1, &[(1, &[1]), (0, &[1])])).await,
        NONE
    );
    let dry = CreateTopicsRequest::default()
        .with_topics(vec![configured("dry", &[("retention.ms", Some("7"))])])
        .with_validate_only(true);
    let dry = client.send(7, &dry).await.topics;
    assert_eq!((dry[0].error_code, dry[0].num_partitions), (NONE, 1));
    let made: Vec<_> = topics(&mut client).await.into_iter().collect();
    let expected = [("a.b", 1), ("defaults", 4), ("once", 1), ("placed", 2)];
    assert_eq!(made, expected.map(|(name, count)| (name.to_owned(), count)));
}

#[tokio::test]
async fn a_1_the_clamp_takes_any_replication_factor_as_one() {
    let broker = TestBroker::start_with(|config| config.replication_factor_clamp = true).await;
    let mut client = RawClient::connect(broker.addr()).await;
    let made = create(&mut client, 7, vec![topic("a", 1, 3)]).await;
    assert_eq!((made[0].error_code, made[0].replication_factor), (NONE, 1));
}

async fn delete(client: &mut RawClient, version: i16, names: &[&str]) -> Vec<i16> {
    let request = DeleteTopicsRequest::default().with_timeout_ms(5000);
    let names = names.iter().map(|of| name(of));
    let request = match version {
        6.. => request.with_topics(
            names
                .map(|name| DeleteTopicState::default().with_name(Some(name)))
                .collect(),
        ),
        _ => request.with_topic_names(names.collect()),
    };
    let answer = client.send(version, &request).await;
    answer
        .responses
        .iter()
        .map(|topic| topic.error_code)
        .collect()
}

#[tokio::test]
async fn a_2_topics_are_deleted_at_every_version() {
    let broker = TestBroker::start().await;
    let mut client = RawClient::connect(broker.addr()).await;
    for version in 1..=6 {
        create(&mut client, 7, vec![topic("a", 2, 1)]).await;
        assert_eq!(produce(&mut client, "a", 10).await, (NONE, 0));
        let outcome = delete(&mut client, version, &["a", "no-such"]).await;
        assert_eq!(outcome, [NONE, UNKNOWN_TOPIC], "version {version}");
        assert_eq!(topics(&mut client).await.len(), 0);
        assert_eq!(end(&mut client, "a").await.0, UNKNOWN_TOPIC);
        let left = std::fs::read_dir(broker.data_dir().join("topics"))
            .unwrap()
            .count();
        assert_eq!(left, 1, "the catalog's own log is all that is left");
    }
}

#[tokio::test]
async fn a_2_by_name_or_by_id_and_a_new_topic_is_another() {
    let mut broker = TestBroker::start().await;
    let mut client = RawClient::connect(broker.addr()).await;
    let first = create(&mut client, 7, vec![topic("a", 1, 1)]).await[0].topic_id;
    let by = |name: Option<&str>, id: Uuid| {
        DeleteTopicState::default()
            .with_name(name.map(self::name))
            .with_topic_id(id)
    };
    let asked = vec![
        by(Some("a"), first),
        by(None, Uuid::nil()),
        by(None, Uuid::from_u128(77)),
        by(None, first),
    ];
    let request = DeleteTopicsRequest::default().with_topics(asked);
    let answer = client.send(6, &request).await.responses;
    let rows: Vec<_> = answer
        .iter()
        .map(|row| {
            (
                row.error_code,
                row.name.as_ref().map(|name| name.to_string()),
                row.topic_id,
            )
        })
        .collect();
    let expected = [
        (INVALID_REQUEST, Some("a".to_owned()), first),
        (INVALID_REQUEST, None, Uuid::nil()),
        (UNKNOWN_TOPIC_ID, None, Uuid::from_u128(77)),
        (NONE, Some("a".to_owned()), first),
    ];
    assert_eq!(rows, expected);
    let second = create(&mut client, 7, vec![topic("a", 1, 1)]).await[0].topic_id;
    assert_ne!(first, second);
    assert_eq!(end(&mut client, "a").await, (NONE, 0));
    let twice = vec![by(Some("a"), Uuid::nil()), by(None, second)];
    let answer = client
        .send(6, &DeleteTopicsRequest::default().with_topics(twice))
        .await;
    assert!(
        answer
            .responses
            .iter()
            .all(|row| row.error_code == INVALID_REQUEST)
    );
    broker.restart().await;
    let mut client = RawClient::connect(broker.addr()).await;
    assert_eq!(topics(&mut client).await, [("a".to_owned(), 1)].into());
}

#[tokio::test]
async fn a_2_deletion_can_be_disabled() {
    let broker = TestBroker::start_with(|config| config.delete_topic_enable = false).await;
    let mut client = RawClient::connect(broker.addr()).await;
    create(&mut client, 7, vec![topic("a", 1, 1)]).await;
    for version in 1..=6 {
        let expected = if version < 3 {
            INVALID_REQUEST
        } else {
            DELETION_DISABLED
        };
        assert_eq!(delete(&mut client, version, &["a"]).await, [expected]);
    }
    assert_eq!(topics(&mut client).await.len(), 1);
}

#[tokio::test]
async fn a_3_partitions_are_added_at_every_version() {
    let broker = TestBroker::start().await;
    let mut client = RawClient::connect(broker.addr()).await;
    create(&mut client, 7, vec![topic("a", 1, 1)]).await;
    let grow = |of: &str, count, to: Option<&[&[i32]]>| {
        let to = to.map(|to| {
            let brokers = to
                .iter()
                .map(|ids| ids.iter().map(|id| BrokerId(*id)).collect());
            let assignment = |ids| CreatePartitionsAssignment::default().with_broker_ids(ids);
            brokers.map(assignment).collect()
        });
        CreatePartitionsTopic::default()
            .with_name(name(of))
            .with_count(count)
            .with_assignments(to)
    };
    let request = |topics| CreatePartitionsRequest::default().with_topics(topics);
    for version in 0..=3 {
        let count = i32::from(version) + 2;
        let answer = client
            .send(version, &request(vec![grow("a", count, None)]))
            .await;
        assert_eq!(answer.results[0].error_code, NONE, "version {version}");
        assert_eq!(topics(&mut client).await["a"], count as usize);
    }
    let cases = [
        (grow("no-such", 9, None), UNKNOWN_TOPIC),
        (grow("a", 5, None), INVALID_PARTITIONS),
        (grow("a", 4, None), INVALID_PARTITIONS),
        (grow("a", 0, None), INVALID_PARTITIONS),
        (grow("a", 5, Some(&[&[2]])), INVALID_PARTITIONS),
        (grow("a", 4, Some(&[])), INVALID_PARTITIONS),
        (grow("a", 7, Some(&[&[1]])), INVALID_ASSIGNMENT),
        (grow("a", 6, Some(&[&[2]])), INVALID_ASSIGNMENT),
        (grow("a", 6, Some(&[&[1]])), NONE),
    ];
    for (wanted, expected) in cases {
        let shown = format!("{wanted:?}");
        let answer = client.send(3, &request(vec![wanted])).await;
        assert_eq!(answer.results[0].error_code, expected, "{shown}");
    }
    let dry = request(vec![grow("a", 9, None)]).with_validate_only(true);
    assert_eq!(client.send(3, &dry).await.results[0].error_code, NONE);
    let twice = request(vec![grow("a", 8, None), grow("a", 9, None)]);
    let answer = client.send(3, &twice).await;
    assert_eq!(answer.results.len(), 1);
    assert_eq!(answer.results[0].error_code, INVALID_REQUEST);
    assert_eq!(topics(&mut client).await["a"], 6);
}

/// Creation does not slow down with the number of topics: the later half costs about what the
/// first did.
#[tokio::test]
async fn many_topics_are_made_one_by_one() {
    let mut broker = TestBroker::start().await;
    let mut client = RawClient::connect(broker.addr()).await;
    const COUNT: usize = 2000;
    let mut halves = [std::time::Duration::ZERO; 2];
    for (half, spent) in halves.iter_mut().enumerate() {
        let began = std::time::Instant::now();
        for n in half * COUNT / 2..(half + 1) * COUNT / 2 {
            assert_eq!(
                code(&mut client, topic(&format!("topic.{n}"), 1, 1)).await,
                NONE
            );
        }
        *spent = began.elapsed();
    }
    let [first, second] = halves;
    assert!(
        second < 3 * first + std::time::Duration::from_secs(1),
        "{first:?}, {second:?}"
    );
    broker.restart().await;
    let mut client = RawClient::connect(broker.addr()).await;
    assert_eq!(topics(&mut client).await.len(), COUNT);
}
