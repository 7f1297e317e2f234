//! Topics, partitions and configurations, asked for in raw frames at every version (A-*).

use std::collections::BTreeMap;

use bytes::Bytes;
use kafka_protocol::messages::alter_configs_request::{AlterConfigsResource, AlterableConfig};
use kafka_protocol::messages::create_partitions_request::{
    CreatePartitionsAssignment, CreatePartitionsTopic,
};
use kafka_protocol::messages::create_topics_request::{
    CreatableReplicaAssignment, CreatableTopic, CreatableTopicConfig,
};
use kafka_protocol::messages::create_topics_response::CreatableTopicResult;
use kafka_protocol::messages::delete_topics_request::DeleteTopicState;
use kafka_protocol::messages::describe_configs_request::DescribeConfigsResource;
use kafka_protocol::messages::describe_configs_response::DescribeConfigsResourceResult;
use kafka_protocol::messages::incremental_alter_configs_request::{
    AlterConfigsResource as IncrementalResource, AlterableConfig as IncrementalConfig,
};
use kafka_protocol::messages::list_offsets_request::{ListOffsetsPartition, ListOffsetsTopic};
use kafka_protocol::messages::produce_request::{PartitionProduceData, TopicProduceData};
use kafka_protocol::messages::{
    AlterConfigsRequest, AlterPartitionReassignmentsRequest, BrokerId, CreatePartitionsRequest,
    CreateTopicsRequest, DeleteTopicsRequest, DescribeAclsRequest, DescribeClusterRequest,
    DescribeConfigsRequest, DescribeLogDirsRequest, ElectLeadersRequest,
    IncrementalAlterConfigsRequest, ListConfigResourcesRequest, ListOffsetsRequest,
    ListPartitionReassignmentsRequest, MetadataRequest, ProduceRequest, TopicName,
};
use kafka_protocol::protocol::StrBytes;
use ratel_integration::{RawClient, TestBroker};
use ratel_storage::BatchBuilder;
use uuid::Uuid;

const NONE: i16 = 0;
const UNKNOWN_TOPIC: i16 = 3;
const MESSAGE_TOO_LARGE: i16 = 10;
const INVALID_TOPIC: i16 = 17;
const TOPIC_EXISTS: i16 = 36;
const INVALID_PARTITIONS: i16 = 37;
const INVALID_REPLICATION_FACTOR: i16 = 38;
const INVALID_ASSIGNMENT: i16 = 39;
const INVALID_CONFIG: i16 = 40;
const INVALID_REQUEST: i16 = 42;
const DELETION_DISABLED: i16 = 73;
const UNKNOWN_TOPIC_ID: i16 = 100;

const TOPIC: i8 = 2;
const BROKER: i8 = 4;

fn text(text: &str) -> StrBytes {
    StrBytes::from_string(text.to_owned())
}

fn name(name: &str) -> TopicName {
    TopicName(text(name))
}

fn topic(of: &str, partitions: i32, replicas: i16) -> CreatableTopic {
    CreatableTopic::default()
        .with_name(name(of))
        .with_num_partitions(partitions)
        .with_replication_factor(replicas)
}

fn configured(of: &str, configs: &[(&str, Option<&str>)]) -> CreatableTopic {
    let configs = configs.iter().map(|(name, value)| {
        CreatableTopicConfig::default()
            .with_name(text(name))
            .with_value(value.map(text))
    });
    topic(of, 1, 1).with_configs(configs.collect())
}

fn assigned(of: &str, partitions: i32, to: &[(i32, &[i32])]) -> CreatableTopic {
    let to = to.iter().map(|(index, brokers)| {
        CreatableReplicaAssignment::default()
            .with_partition_index(*index)
            .with_broker_ids(brokers.iter().map(|id| BrokerId(*id)).collect())
    });
    topic(of, partitions, -1).with_assignments(to.collect())
}

async fn create(
    client: &mut RawClient,
    version: i16,
    topics: Vec<CreatableTopic>,
) -> Vec<CreatableTopicResult> {
    let request = CreateTopicsRequest::default()
        .with_topics(topics)
        .with_timeout_ms(5000);
    client.send(version, &request).await.topics
}

async fn code(client: &mut RawClient, topic: CreatableTopic) -> i16 {
    let results = create(client, 7, vec![topic]).await;
    assert_eq!(results.len(), 1);
    results[0].error_code
}

/// The topics that Metadata shows, with their numbers of partitions.
async fn topics(client: &mut RawClient) -> BTreeMap<String, usize> {
    let answer = client
        .send(12, &MetadataRequest::default().with_topics(None))
        .await;
    let topics = answer.topics.into_iter();
    topics
        .map(|topic| {
            (
                topic.name.expect("a name").to_string(),
                topic.partitions.len(),
            )
        })
        .collect()
}

async fn produce(client: &mut RawClient, topic: &str, bytes: usize) -> (i16, i64) {
    let mut batch = BatchBuilder::new(0);
    batch.record(None, Some(&vec![b'x'; bytes]));
    let records: Bytes = batch.build().expect("one record").bytes().clone();
    let data = PartitionProduceData::default()
        .with_index(0)
        .with_records(Some(records));
    let topic = TopicProduceData::default()
        .with_name(name(topic))
        .with_partition_data(vec![data]);
    let request = ProduceRequest::default()
        .with_acks(-1)
        .with_timeout_ms(5000)
        .with_topic_data(vec![topic]);
    let answer = client.send(9, &request).await;
    let partition = &answer.responses[0].partition_responses[0];
    (partition.error_code, partition.base_offset)
}

async fn end(client: &mut RawClient, topic: &str) -> (i16, i64) {
    let partition = ListOffsetsPartition::default()
        .with_partition_index(0)
        .with_timestamp(-1);
    let topic = ListOffsetsTopic::default()
        .with_name(name(topic))
        .with_partitions(vec![partition]);
    let request = ListOffsetsRequest::default()
        .with_replica_id(BrokerId(-1))
        .with_topics(vec![topic]);
    let answer = client.send(5, &request).await;
    let partition = &answer.topics[0].partitions[0];
    (partition.error_code, partition.offset)
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

#[tokio::test]
async fn a_1_what_cannot_be_made_is_refused_by_its_code() {
    let broker = TestBroker::start_with(|config| config.num_partitions = 4).await;
    let mut client = RawClient::connect(broker.addr()).await;
    let defaults = create(&mut client, 7, vec![topic("defaults", -1, -1)]).await;
    assert_eq!(
        (defaults[0].num_partitions, defaults[0].replication_factor),
        (4, 1)
    );
    let cases = [
        (topic("defaults", 1, 1), TOPIC_EXISTS),
        (topic("defaults", 0, 9), TOPIC_EXISTS),
        (topic("a b", 1, 1), INVALID_TOPIC),
        (topic("..", 1, 1), INVALID_TOPIC),
        (topic(&"n".repeat(250), 1, 1), INVALID_TOPIC),
        (topic("__consumer_offsets", 1, 1), INVALID_TOPIC),
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
            configured("a", &[("cleanup.policy", Some("compact"))]),
            INVALID_CONFIG,
        ),
        (
            configured("a", &[("compression.type", Some("gzip"))]),
            INVALID_CONFIG,
        ),
        (
            configured("a", &[("message.format.version", Some("2.8"))]),
            INVALID_CONFIG,
        ),
    ];
    for (wanted, expected) in cases {
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

/// What DescribeConfigs answers about one resource: its code, and its rows by name.
async fn describe(
    client: &mut RawClient,
    version: i16,
    (kind, of): (i8, &str),
    keys: Option<&[&str]>,
) -> (i16, BTreeMap<String, DescribeConfigsResourceResult>) {
    let resource = DescribeConfigsResource::default()
        .with_resource_type(kind)
        .with_resource_name(text(of))
        .with_configuration_keys(keys.map(|keys| keys.iter().map(|key| text(key)).collect()));
    let request = DescribeConfigsRequest::default()
        .with_resources(vec![resource])
        .with_include_synonyms(true)
        .with_include_documentation(version >= 3);
    let result = client.send(version, &request).await.results.remove(0);
    assert_eq!((result.resource_type, &*result.resource_name), (kind, of));
    assert_eq!(result.error_code == NONE, result.error_message.is_none());
    let rows = result.configs.into_iter();
    (
        result.error_code,
        rows.map(|row| (row.name.to_string(), row)).collect(),
    )
}

/// The value of one key, and where it comes from.
async fn value(client: &mut RawClient, resource: (i8, &str), key: &str) -> (String, i8) {
    let (code, rows) = describe(client, 4, resource, Some(&[key])).await;
    assert_eq!((code, rows.len()), (NONE, 1), "{key}");
    (
        rows[key].value.as_ref().expect("a value").to_string(),
        rows[key].config_source,
    )
}

#[tokio::test]
async fn a_4_topics_and_brokers_are_described_at_every_version() {
    let broker = TestBroker::start().await;
    let mut client = RawClient::connect(broker.addr()).await;
    create(
        &mut client,
        7,
        vec![configured("a", &[("retention.ms", Some("77"))])],
    )
    .await;
    for version in 1..=4 {
        let (code, all) = describe(&mut client, version, (TOPIC, "a"), None).await;
        assert_eq!(code, NONE);
        let (_, empty) = describe(&mut client, version, (TOPIC, "a"), Some(&[])).await;
        assert_eq!(empty.len(), all.len(), "no keys are all keys");
        let retention = &all["retention.ms"];
        assert_eq!(retention.value.as_deref(), Some("77"));
        let flags = (
            retention.config_source,
            retention.read_only,
            retention.is_sensitive,
        );
        assert_eq!(flags, (1, false, false));
        let synonyms: Vec<_> = retention
            .synonyms
            .iter()
            .map(|synonym| (&*synonym.name, synonym.value.as_deref(), synonym.source))
            .collect();
        let expected = [
            ("retention.ms", Some("77"), 1),
            ("log.retention.hours", Some("168"), 5),
        ];
        assert_eq!(synonyms, expected);
        let kinds = [
            "preallocate",
            "compression.type",
            "segment.bytes",
            "retention.ms",
            "min.cleanable.dirty.ratio",
            "cleanup.policy",
        ]
        .map(|key| all[key].config_type);
        let documentation = all["segment.ms"].documentation.as_deref();
        if version >= 3 {
            assert_eq!(kinds, [1, 2, 3, 5, 6, 7]);
            assert!(documentation.unwrap().starts_with("A new segment begins"));
        } else {
            assert_eq!(kinds, [0; 6]);
        }
        let (code, all) = describe(&mut client, version, (BROKER, "1"), None).await;
        assert_eq!(code, NONE);
        assert_eq!(all["delete.topic.enable"].value.as_deref(), Some("true"));
        assert_eq!(all["node.id"].value, all["broker.id"].value);
        assert!(all["node.id"].read_only && !all["log.retention.ms"].read_only);
        assert_eq!(
            all["inter.broker.protocol.version"].value.as_deref(),
            Some("4.1-IV1")
        );
    }
    let (_, some) = describe(
        &mut client,
        4,
        (TOPIC, "a"),
        Some(&["segment.ms", "no.such"]),
    )
    .await;
    assert_eq!(some.keys().collect::<Vec<_>>(), ["segment.ms"]);
    for (kind, of, expected) in [
        (TOPIC, "no-such", UNKNOWN_TOPIC),
        (TOPIC, "a b", INVALID_TOPIC),
        (BROKER, "2", INVALID_REQUEST),
        (BROKER, "x", INVALID_REQUEST),
        (8, "2", INVALID_REQUEST),
        (16, "", INVALID_REQUEST),
        (32, "group", INVALID_REQUEST),
        (3, "a", INVALID_REQUEST),
    ] {
        let (code, rows) = describe(&mut client, 4, (kind, of), None).await;
        assert_eq!((code, rows.len()), (expected, 0), "{kind} {of}");
    }
    let (code, loggers) = describe(&mut client, 4, (8, "1"), None).await;
    assert_eq!((code, loggers["root"].config_source), (NONE, 6));
    assert_eq!(
        describe(&mut client, 4, (16, "subscription"), None).await.0,
        NONE
    );
    assert_eq!(
        describe(&mut client, 4, (BROKER, ""), None).await,
        (NONE, BTreeMap::new())
    );
}

async fn alter(
    client: &mut RawClient,
    version: i16,
    (kind, of): (i8, &str),
    changes: &[(&str, i8, Option<&str>)],
) -> i16 {
    let answer = client
        .send(version, &incremental(&[(kind, of, changes)]))
        .await;
    let response = &answer.responses[0];
    assert_eq!(
        (response.resource_type, &*response.resource_name),
        (kind, of)
    );
    assert_eq!(
        response.error_code == NONE,
        response.error_message.is_none()
    );
    response.error_code
}

type Changes<'a> = &'a [(&'a str, i8, Option<&'a str>)];

fn incremental(resources: &[(i8, &str, Changes<'_>)]) -> IncrementalAlterConfigsRequest {
    let resources = resources.iter().map(|(kind, of, changes)| {
        let configs = changes.iter().map(|(name, op, value)| {
            IncrementalConfig::default()
                .with_name(text(name))
                .with_config_operation(*op)
                .with_value(value.map(text))
        });
        IncrementalResource::default()
            .with_resource_type(*kind)
            .with_resource_name(text(of))
            .with_configs(configs.collect())
    });
    IncrementalAlterConfigsRequest::default().with_resources(resources.collect())
}

#[tokio::test]
async fn a_5_single_keys_change_and_take_effect_at_once() {
    let mut broker = TestBroker::start().await;
    let mut client = RawClient::connect(broker.addr()).await;
    create(&mut client, 7, vec![topic("a", 1, 1), topic("b", 1, 1)]).await;
    let a = (TOPIC, "a");
    assert_eq!(produce(&mut client, "a", 1000).await, (NONE, 0));
    for version in 0..=1 {
        let small = [("max.message.bytes", 0, Some("500"))];
        assert_eq!(alter(&mut client, version, a, &small).await, NONE);
        assert_eq!(
            value(&mut client, a, "max.message.bytes").await,
            ("500".into(), 1)
        );
        assert_eq!(produce(&mut client, "a", 1000).await.0, MESSAGE_TOO_LARGE);
        assert_eq!(produce(&mut client, "b", 1000).await.0, NONE);
        assert_eq!(
            alter(&mut client, version, a, &[("max.message.bytes", 1, None)]).await,
            NONE
        );
        assert_eq!(
            value(&mut client, a, "max.message.bytes").await,
            ("1048588".into(), 5)
        );
        assert_eq!(produce(&mut client, "a", 1000).await.0, NONE);
    }
    let throttled = "leader.replication.throttled.replicas";
    for (op, words, after) in [
        (2, "0:1,1:1", "0:1,1:1"),
        (2, "0:1", "0:1,1:1"),
        (3, "0:1,7:7", "1:1"),
        (0, "*", "*"),
    ] {
        assert_eq!(
            alter(&mut client, 1, a, &[(throttled, op, Some(words))]).await,
            NONE
        );
        assert_eq!(value(&mut client, a, throttled).await, (after.into(), 1));
    }
    broker.restart().await;
    let mut client = RawClient::connect(broker.addr()).await;
    assert_eq!(value(&mut client, a, throttled).await, ("*".into(), 1));
}

#[tokio::test]
async fn a_5_changes_that_make_no_sense_are_refused() {
    let broker = TestBroker::start().await;
    let mut client = RawClient::connect(broker.addr()).await;
    create(&mut client, 7, vec![topic("a", 1, 1)]).await;
    let cases: [(i8, &str, Changes<'_>, i16); 13] = [
        (
            TOPIC,
            "a",
            &[("retention.ms", 2, Some("5"))],
            INVALID_CONFIG,
        ),
        (
            TOPIC,
            "a",
            &[("retention.ms", 3, Some("5"))],
            INVALID_CONFIG,
        ),
        (TOPIC, "a", &[("no.such", 0, Some("5"))], INVALID_CONFIG),
        (
            TOPIC,
            "a",
            &[("retention.ms", 0, Some("5 days"))],
            INVALID_CONFIG,
        ),
        (TOPIC, "a", &[("retention.ms", 0, None)], INVALID_REQUEST),
        (
            TOPIC,
            "a",
            &[("retention.ms", 4, Some("5"))],
            INVALID_REQUEST,
        ),
        (
            TOPIC,
            "a",
            &[("retention.ms", 0, Some("5")), ("retention.ms", 1, None)],
            INVALID_REQUEST,
        ),
        (
            TOPIC,
            "no-such",
            &[("retention.ms", 0, Some("5"))],
            UNKNOWN_TOPIC,
        ),
        (
            BROKER,
            "7",
            &[("log.retention.ms", 0, Some("5"))],
            INVALID_REQUEST,
        ),
        (BROKER, "1", &[("node.id", 0, Some("5"))], INVALID_REQUEST),
        (8, "1", &[("root", 0, Some("DEBUG"))], INVALID_REQUEST),
        (16, "s", &[("interval.ms", 0, Some("5"))], INVALID_REQUEST),
        (
            32,
            "g",
            &[("consumer.session.timeout.ms", 0, Some("50000"))],
            INVALID_REQUEST,
        ),
    ];
    for (kind, of, changes, expected) in cases {
        let code = alter(&mut client, 1, (kind, of), changes).await;
        assert_eq!(code, expected, "{kind} {of} {changes:?}");
    }
    let set: Changes<'_> = &[("retention.ms", 0, Some("5"))];
    let twice = incremental(&[(TOPIC, "a", set), (TOPIC, "a", set)]);
    let answer = client.send(1, &twice).await;
    assert!(
        answer
            .responses
            .iter()
            .all(|response| response.error_code == INVALID_REQUEST)
    );
    let dry = incremental(&[(TOPIC, "a", set)]).with_validate_only(true);
    assert_eq!(client.send(1, &dry).await.responses[0].error_code, NONE);
    assert_eq!(value(&mut client, (TOPIC, "a"), "retention.ms").await.1, 5);
}

#[tokio::test]
async fn a_5_broker_keys_change_for_one_broker_and_for_all() {
    let mut broker = TestBroker::start().await;
    let mut client = RawClient::connect(broker.addr()).await;
    create(&mut client, 7, vec![topic("a", 1, 1)]).await;
    let (all, one, a) = ((BROKER, ""), (BROKER, "1"), (TOPIC, "a"));
    let key = "message.max.bytes";
    assert_eq!(
        alter(&mut client, 1, all, &[(key, 0, Some("500"))]).await,
        NONE
    );
    assert_eq!(produce(&mut client, "a", 1000).await.0, MESSAGE_TOO_LARGE);
    assert_eq!(value(&mut client, all, key).await, ("500".into(), 3));
    assert_eq!(value(&mut client, one, key).await, ("500".into(), 3));
    assert_eq!(
        value(&mut client, a, "max.message.bytes").await,
        ("500".into(), 3)
    );
    assert_eq!(
        alter(&mut client, 1, one, &[(key, 0, Some("5000"))]).await,
        NONE
    );
    assert_eq!(produce(&mut client, "a", 1000).await.0, NONE);
    broker.restart().await;
    let mut client = RawClient::connect(broker.addr()).await;
    let (_, rows) = describe(&mut client, 4, one, Some(&[key])).await;
    let synonyms: Vec<_> = rows[key]
        .synonyms
        .iter()
        .map(|s| (s.value.as_deref().unwrap(), s.source))
        .collect();
    assert_eq!(synonyms, [("5000", 2), ("500", 3), ("1048588", 5)]);
    assert_eq!(produce(&mut client, "a", 6000).await.0, MESSAGE_TOO_LARGE);
    assert_eq!(alter(&mut client, 1, one, &[(key, 1, None)]).await, NONE);
    assert_eq!(alter(&mut client, 1, all, &[(key, 1, None)]).await, NONE);
    assert_eq!(produce(&mut client, "a", 6000).await.0, NONE);
}

#[tokio::test]
async fn a_6_the_old_way_replaces_the_whole_configuration() {
    let broker = TestBroker::start().await;
    let mut client = RawClient::connect(broker.addr()).await;
    create(
        &mut client,
        7,
        vec![configured("a", &[("retention.ms", Some("77"))])],
    )
    .await;
    let request = |configs: &[(&str, Option<&str>)]| {
        let configs = configs.iter().map(|(name, value)| {
            AlterableConfig::default()
                .with_name(text(name))
                .with_value(value.map(text))
        });
        let resource = AlterConfigsResource::default()
            .with_resource_type(TOPIC)
            .with_resource_name(text("a"))
            .with_configs(configs.collect());
        AlterConfigsRequest::default().with_resources(vec![resource])
    };
    let a = (TOPIC, "a");
    for version in 0..=2 {
        let segment_ms = format!("{}", 100 + version);
        let set = request(&[("segment.ms", Some(&segment_ms))]);
        assert_eq!(
            client.send(version, &set).await.responses[0].error_code,
            NONE
        );
        assert_eq!(value(&mut client, a, "segment.ms").await, (segment_ms, 1));
        assert_eq!(
            value(&mut client, a, "retention.ms").await,
            ("604800000".into(), 5)
        );
    }
    for (configs, expected) in [
        (&[("segment.ms", None)][..], INVALID_REQUEST),
        (
            &[("segment.ms", Some("1")), ("segment.ms", Some("1"))],
            INVALID_REQUEST,
        ),
        (&[("segment.ms", Some("0"))], INVALID_CONFIG),
        (&[("no.such", Some("0"))], INVALID_CONFIG),
    ] {
        let answer = client.send(2, &request(configs)).await;
        assert_eq!(answer.responses[0].error_code, expected, "{configs:?}");
    }
    let dry = request(&[]).with_validate_only(true);
    assert_eq!(client.send(2, &dry).await.responses[0].error_code, NONE);
    assert_eq!(value(&mut client, a, "segment.ms").await, ("102".into(), 1));
    assert_eq!(
        client.send(2, &request(&[])).await.responses[0].error_code,
        NONE
    );
    assert_eq!(
        value(&mut client, a, "segment.ms").await,
        ("604800000".into(), 5)
    );
}

#[tokio::test]
async fn what_has_a_configuration_is_listed() {
    let broker = TestBroker::start().await;
    let mut client = RawClient::connect(broker.addr()).await;
    create(&mut client, 7, vec![topic("b", 1, 1), topic("a", 1, 1)]).await;
    let none = client.send(0, &ListConfigResourcesRequest::default()).await;
    assert_eq!((none.error_code, none.config_resources.len()), (NONE, 0));
    let mut list = async |types: &[i8]| {
        let request = ListConfigResourcesRequest::default().with_resource_types(types.to_vec());
        let answer = client.send(1, &request).await;
        let resources = answer.config_resources.iter();
        let rows = resources.map(|r| (r.resource_type, r.resource_name.to_string()));
        (answer.error_code, rows.collect::<Vec<_>>())
    };
    let row = |kind: i8, of: &str| (kind, of.to_owned());
    let topics = vec![row(TOPIC, "a"), row(TOPIC, "b")];
    assert_eq!(list(&[TOPIC]).await, (NONE, topics.clone()));
    let brokers = vec![row(BROKER, "1"), row(8, "1")];
    assert_eq!(list(&[]).await, (NONE, [topics, brokers].concat()));
    assert_eq!(list(&[16, 32]).await, (NONE, vec![]));
    assert_eq!(list(&[TOPIC, 99]).await, (35, vec![]));
}

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
        let partitions =
            kafka_protocol::messages::elect_leaders_request::TopicPartitions::default()
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
