//! Configurations of topics and of the broker.

use std::collections::BTreeMap;

use kafka_protocol::messages::alter_configs_request::{AlterConfigsResource, AlterableConfig};
use kafka_protocol::messages::describe_configs_request::DescribeConfigsResource;
use kafka_protocol::messages::describe_configs_response::DescribeConfigsResourceResult;
use kafka_protocol::messages::incremental_alter_configs_request::{
    AlterConfigsResource as IncrementalResource, AlterableConfig as IncrementalConfig,
};
use kafka_protocol::messages::{
    AlterConfigsRequest, DescribeConfigsRequest, IncrementalAlterConfigsRequest,
    ListConfigResourcesRequest,
};
use ratel_integration::{RawClient, TestBroker};

use crate::{
    INVALID_CONFIG, INVALID_REQUEST, INVALID_TOPIC, NONE, UNKNOWN_TOPIC, configured, create,
    produce, text, topic,
};

const MESSAGE_TOO_LARGE: i16 = 10;

const TOPIC: i8 = 2;
const BROKER: i8 = 4;
const LOGGERS: i8 = 8;

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
async fn a_4_topics_are_described_at_every_version() {
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
    }
}

#[tokio::test]
async fn a_4_this_broker_is_described_at_every_version() {
    let broker = TestBroker::start().await;
    let mut client = RawClient::connect(broker.addr()).await;
    for version in 1..=4 {
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
}

#[tokio::test]
async fn a_4_what_cannot_be_described_is_refused_by_its_code() {
    let broker = TestBroker::start().await;
    let mut client = RawClient::connect(broker.addr()).await;
    create(&mut client, 7, vec![topic("a", 1, 1)]).await;
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
        (32, "", INVALID_REQUEST),
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

/// Changes that are refused, each with the code that says why.
const REFUSED: &[(i8, &str, Changes<'_>, i16)] = &[
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
        TOPIC,
        "no-such",
        &[("retention.ms", 0, Some("5 days"))],
        INVALID_CONFIG,
    ),
    (
        TOPIC,
        "no-such",
        &[("retention.ms", 2, Some("5"))],
        INVALID_CONFIG,
    ),
    (TOPIC, "no-such", &[("no.such", 1, None)], UNKNOWN_TOPIC),
    (TOPIC, "no/pe", &[("no.such", 0, Some("5"))], INVALID_TOPIC),
    (
        TOPIC,
        "no/pe",
        &[("retention.ms", 3, Some("5"))],
        INVALID_CONFIG,
    ),
    (TOPIC, "", &[("no.such", 0, Some("5"))], INVALID_REQUEST),
    (TOPIC, "", &[("retention.ms", 2, Some("5"))], INVALID_CONFIG),
    (TOPIC, "", &[("no.such", 3, Some("5"))], INVALID_CONFIG),
    (32, "", &[("no.such", 3, Some("5"))], INVALID_CONFIG),
    (32, "", &[("no.such", 0, Some("5"))], INVALID_REQUEST),
    (
        BROKER,
        "7",
        &[("log.retention.ms", 0, Some("5"))],
        INVALID_REQUEST,
    ),
    (BROKER, "1", &[("node.id", 0, Some("5"))], INVALID_REQUEST),
    (LOGGERS, "1", &[("root", 0, Some("LOUD"))], INVALID_CONFIG),
    (
        LOGGERS,
        "1",
        &[("no.such", 0, Some("DEBUG"))],
        INVALID_CONFIG,
    ),
    (LOGGERS, "1", &[("root", 1, None)], INVALID_REQUEST),
    (16, "s", &[("interval.ms", 0, Some("5"))], INVALID_CONFIG),
    (
        32,
        "g",
        &[("consumer.no.such.ms", 0, Some("50000"))],
        INVALID_CONFIG,
    ),
];

#[tokio::test]
async fn a_5_changes_that_make_no_sense_are_refused() {
    let broker = TestBroker::start().await;
    let mut client = RawClient::connect(broker.addr()).await;
    create(&mut client, 7, vec![topic("a", 1, 1)]).await;
    for (kind, of, changes, expected) in REFUSED {
        let code = alter(&mut client, 1, (*kind, of), changes).await;
        assert_eq!(code, *expected, "{kind} {of} {changes:?}");
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
    let strange = request(&[("segment.ms", Some("0"))]);
    for (of, expected) in [("no-such", INVALID_CONFIG), ("no/pe", INVALID_TOPIC)] {
        let mut strange = strange.clone();
        strange.resources[0].resource_name = text(of);
        let answer = client.send(2, &strange).await;
        assert_eq!(answer.responses[0].error_code, expected, "{of}");
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
        let rows = rows.filter(|(_, name)| !name.starts_with("__"));
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
