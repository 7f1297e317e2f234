use ratel_protocol::messages::describe_configs_request::DescribeConfigsResource;
use ratel_protocol::messages::describe_configs_response::DescribeConfigsResourceResult;
use ratel_protocol::messages::incremental_alter_configs_request::{
    AlterConfigsResource, AlterableConfig,
};
use ratel_protocol::messages::{
    DescribeConfigsRequest, IncrementalAlterConfigsRequest, ListConfigResourcesRequest,
};
use ratel_protocol::{ErrorCode, StrBytes};

use crate::api::testing::Bench;
use crate::config::Config;
use crate::config_resource::{BROKER, BROKER_LOGGER, CLIENT_METRICS, GROUP, TOPIC};

async fn set(bench: &Bench, group: &'static str, name: &'static str, value: &str) -> (i16, String) {
    alter(bench, (GROUP, group), name, Some(value)).await
}

/// Set a value or, with `None`, take it away.
async fn alter(
    bench: &Bench,
    (kind, of): (i8, &'static str),
    name: &'static str,
    value: Option<&str>,
) -> (i16, String) {
    let config = AlterableConfig::default()
        .with_name(StrBytes::from_static_str(name))
        .with_config_operation(i8::from(value.is_none()))
        .with_value(value.map(|value| StrBytes::from_string(value.into())));
    let resource = AlterConfigsResource::default()
        .with_resource_type(kind)
        .with_resource_name(StrBytes::from_static_str(of))
        .with_configs(vec![config]);
    let request = IncrementalAlterConfigsRequest::default().with_resources(vec![resource]);
    let response = bench.send(1, &request).await;
    let outcome = &response.responses[0];
    let why = outcome.error_message.as_ref().map(ToString::to_string);
    (outcome.error_code, why.unwrap_or_default())
}

async fn describe(bench: &Bench, group: &'static str) -> Vec<DescribeConfigsResourceResult> {
    describe_of(bench, GROUP, group).await
}

async fn describe_of(
    bench: &Bench,
    kind: i8,
    of: &'static str,
) -> Vec<DescribeConfigsResourceResult> {
    let resource = DescribeConfigsResource::default()
        .with_resource_type(kind)
        .with_resource_name(StrBytes::from_static_str(of))
        .with_configuration_keys(None);
    let request = DescribeConfigsRequest::default()
        .with_resources(vec![resource])
        .with_include_synonyms(true)
        .with_include_documentation(true);
    let mut response = bench.send(4, &request).await;
    let result = response.results.remove(0);
    assert_eq!(result.error_code, 0);
    result.configs
}

fn find<'a>(
    rows: &'a [DescribeConfigsResourceResult],
    name: &str,
) -> &'a DescribeConfigsResourceResult {
    let row = rows.iter().find(|row| *row.name == *name);
    row.expect("a row of this name")
}

/// Every way to name a key of any resource in vain is answered, however long the name.
#[tokio::test]
async fn long_names_of_keys_are_refused_in_few_words() {
    use ratel_protocol::messages::alter_configs_request as replace;
    use ratel_protocol::messages::create_topics_request::{CreatableTopic, CreatableTopicConfig};
    use ratel_protocol::messages::{AlterConfigsRequest, CreateTopicsRequest, TopicName};

    let bench = Bench::started(Config::default()).await;
    let long = StrBytes::from_string("a".repeat(i16::MAX as usize));
    let short = |text| StrBytes::from_static_str(text);
    for value in [None, Some(long.clone()), Some(short("1"))] {
        let topic = |name: &StrBytes, key: &StrBytes| {
            let config = CreatableTopicConfig::default()
                .with_name(key.clone())
                .with_value(value.clone());
            let topic = CreatableTopic::default()
                .with_name(TopicName(name.clone()))
                .with_num_partitions(1)
                .with_replication_factor(1)
                .with_configs(vec![config]);
            CreateTopicsRequest::default().with_topics(vec![topic])
        };
        for key in [&long, &short("retention.ms"), &short("cleanup.policy")] {
            let made = bench.send(2, &topic(&short("t"), key)).await;
            let refused = *key == long || value.as_deref() != Some("1");
            let policy = **key == *"cleanup.policy";
            assert_eq!(made.topics[0].error_code != 0, refused || policy);
            assert_ne!(
                bench.send(2, &topic(&long, key)).await.topics[0].error_code,
                0
            );
            for (kind, of) in [
                (TOPIC, "t"),
                (BROKER, ""),
                (BROKER, "1"),
                (BROKER_LOGGER, "1"),
                (CLIENT_METRICS, "m"),
                (GROUP, "g"),
                (7, "x"),
            ] {
                for of in [&short(of), &long] {
                    let of = of.clone();
                    for op in 0..5 {
                        let config = AlterableConfig::default()
                            .with_name(key.clone())
                            .with_config_operation(op)
                            .with_value(value.clone());
                        let resource = AlterConfigsResource::default()
                            .with_resource_type(kind)
                            .with_resource_name(of.clone())
                            .with_configs(vec![config]);
                        let request = IncrementalAlterConfigsRequest::default()
                            .with_resources(vec![resource]);
                        bench.send(0, &request).await;
                    }
                    let config = replace::AlterableConfig::default()
                        .with_name(key.clone())
                        .with_value(value.clone());
                    let twice = vec![config.clone(), config.clone()];
                    for configs in [vec![config], twice] {
                        let resource = replace::AlterConfigsResource::default()
                            .with_resource_type(kind)
                            .with_resource_name(of.clone())
                            .with_configs(configs);
                        let request = AlterConfigsRequest::default().with_resources(vec![resource]);
                        bench.send(0, &request).await;
                    }
                }
            }
        }
    }
}

#[tokio::test]
async fn a_group_has_a_configuration_before_it_exists() {
    let bench = Bench::started(Config::default()).await;
    let rows = describe(&bench, "workers").await;
    let lock = find(&rows, "share.record.lock.duration.ms");
    assert_eq!(lock.value.as_deref(), Some("30000"));
    assert_eq!(
        (lock.config_source, lock.config_type, lock.read_only),
        (5, 3, false)
    );
    assert_eq!(
        &*lock.synonyms[0].name,
        "group.share.record.lock.duration.ms"
    );
    let reset = find(&rows, "share.auto.offset.reset");
    let [default] = &reset.synonyms[..] else {
        panic!("the default alone: {reset:?}");
    };
    assert_eq!(
        (&*default.name, default.value.as_deref(), default.source),
        ("share.auto.offset.reset", Some("latest"), 5)
    );
    assert!(lock.documentation.is_some());
    let before = bench.broker.catalog.view.group_settings("workers");
    assert_eq!(before.queue.lock_duration_ms, 30_000);

    let done = set(&bench, "workers", "share.record.lock.duration.ms", "1000").await;
    assert_eq!(done, (0, String::new()));
    let rows = describe(&bench, "workers").await;
    let lock = find(&rows, "share.record.lock.duration.ms");
    assert_eq!(lock.value.as_deref(), Some("1000"));
    assert_eq!(lock.config_source, 8, "GROUP_CONFIG");
    let sources: Vec<_> = lock.synonyms.iter().map(|synonym| synonym.source).collect();
    assert_eq!(sources, [8, 5]);
    let after = bench.broker.catalog.view.group_settings("workers");
    assert_eq!(after.queue.lock_duration_ms, 1000);
    let other = bench.broker.catalog.view.group_settings("others");
    assert_eq!(other.queue.lock_duration_ms, 30_000);

    let request = ListConfigResourcesRequest::default().with_resource_types(vec![GROUP]);
    let listed = bench.send(1, &request).await.config_resources;
    assert_eq!(listed.len(), 1);
    assert_eq!(
        (listed[0].resource_type, &*listed[0].resource_name),
        (GROUP, "workers")
    );
}

#[tokio::test]
async fn bad_configurations_of_a_group_name_what_is_allowed() {
    let bench = Bench::started(Config::default()).await;
    let invalid = ErrorCode::InvalidConfig.code();
    let (code, why) = set(&bench, "g", "share.record.lock.duration.ms", "99").await;
    assert_eq!(code, invalid);
    assert!(
        why.contains("99") && why.contains("from 100 to 43200000"),
        "{why}"
    );
    let (code, why) = set(&bench, "g", "share.colour", "red").await;
    assert_eq!(code, invalid);
    assert!(why.contains("share.colour"), "{why}");
    let (code, _) = set(&bench, "", "queue.paused", "true").await;
    assert_eq!(code, ErrorCode::InvalidRequest.code());
    assert!(bench.broker.catalog.view.groups().is_empty());
}

#[tokio::test]
async fn kip_714_subscriptions_are_kept_and_listed_until_their_last_value_goes() {
    let bench = Bench::started(Config::default()).await;
    let slow = (CLIENT_METRICS, "slow");
    assert_eq!(alter(&bench, slow, "interval.ms", Some("5000")).await.0, 0);
    assert_eq!(alter(&bench, slow, "metrics", Some("*")).await.0, 0);
    let (code, _) = alter(&bench, slow, "interval.ms", Some("5")).await;
    assert_eq!(code, ErrorCode::InvalidConfig.code());
    let rows = describe_of(&bench, CLIENT_METRICS, "slow").await;
    let interval = find(&rows, "interval.ms");
    let shown = (interval.value.as_deref(), interval.config_source);
    assert_eq!((shown, interval.synonyms.len()), ((Some("5000"), 7), 1));
    let matching = find(&rows, "match");
    assert_eq!((matching.config_source, matching.synonyms.len()), (5, 0));

    let listed = async || {
        let all = bench.send(0, &ListConfigResourcesRequest::default()).await;
        let all = all.config_resources.into_iter();
        all.map(|resource| resource.resource_name.to_string())
            .collect::<Vec<_>>()
    };
    assert_eq!(listed().await, ["slow"]);
    for name in ["interval.ms", "metrics"] {
        assert_eq!(alter(&bench, slow, name, None).await.0, 0);
    }
    assert!(listed().await.is_empty());
}

#[tokio::test]
async fn a_5_the_brokers_keys_alter_as_in_kafka() {
    let bench = Bench::started(Config::default()).await;
    let (all, one) = ((BROKER, ""), (BROKER, "1"));
    let invalid = ErrorCode::InvalidRequest.code();
    for (of, name, value, code) in [
        (all, "max.connections", Some("70"), 0),
        (one, "max.connections", Some("7"), 0),
        (one, "max.connections", Some("0"), invalid),
        (all, "max.connections.per.ip", Some("5"), 0),
        (one, "compression.type", Some("zstd"), 0),
        (one, "compression.type", Some("rar"), invalid),
        (all, "num.io.threads", Some("16"), 0),
        (all, "num.io.threads", Some("0"), invalid),
        (one, "min.insync.replicas", Some("2"), 0),
        (all, "unclean.leader.election.enable", Some("true"), 0),
        (one, "leader.replication.throttled.rate", Some("1000"), 0),
        (one, "num.partitions", Some("2"), invalid),
        (one, "producer.id.expiration.ms", Some("2"), invalid),
        (one, "num.partitions", None, 0),
        (one, "no.such", None, 0),
    ] {
        let outcome = alter(&bench, of, name, value).await;
        assert_eq!(outcome.0, code, "{name}={value:?}: {}", outcome.1);
    }
    let brokers = bench.broker.catalog.brokers();
    let config = brokers.effective();
    let limits = (config.max_connections, config.max_connections_per_ip);
    assert_eq!(limits, (7, 5));
    assert_eq!(brokers.settings().compression, ratel_storage::Codec::Zstd);

    let rows = describe_of(&bench, BROKER, "1").await;
    let shown = |name| {
        let row = find(&rows, name);
        let synonyms = row.synonyms.iter().map(|synonym| synonym.source);
        let synonyms: Vec<_> = synonyms.collect();
        (row.read_only, row.config_source, synonyms)
    };
    assert_eq!(shown("max.connections"), (false, 2, vec![2, 3, 5]));
    assert_eq!(shown("num.io.threads"), (false, 3, vec![3, 5]));
    assert_eq!(shown("num.partitions"), (true, 5, vec![5]));
    assert_eq!(alter(&bench, one, "max.connections", None).await.0, 0);
    let brokers = bench.broker.catalog.brokers();
    assert_eq!(brokers.effective().max_connections, 70);
}

/// A small request must not cost gigabytes: any name is that of a group.
#[tokio::test]
async fn an_answer_ends_somewhere() {
    let bench = Bench::started(Config::default()).await;
    let all = DescribeConfigsResource::default().with_configuration_keys(None);
    let one = |key| DescribeConfigsResource::default().with_configuration_keys(Some(vec![key]));
    let one = one(StrBytes::from_static_str("root"));
    let rows = bench.broker.loggers.shown();
    let mut room = super::Room(2 * rows.len() + 3);
    // One that is named again counts as a whole, also if there is nothing.
    for (is_new, asked, found) in [(true, &all, rows.len()), (true, &one, 1), (false, &one, 1)] {
        let taken = room.take(is_new, asked, || Ok(rows.clone()));
        assert_eq!(taken.expect("there is room").len(), found);
    }
    assert!(room.take(true, &one, || Ok(Vec::new())).is_ok());
    assert!(room.take(false, &all, || Ok(Vec::new())).is_ok());
    assert!(room.take(true, &one, || Ok(rows.clone())).is_err());
    let unasked = || panic!("there is no room");
    assert!(room.take(true, &one, unasked).is_err());
}

#[tokio::test]
async fn a_4_a_resource_that_stands_there_twice_has_two_answers() {
    let bench = Bench::started(Config::default()).await;
    let heartbeat = "consumer.heartbeat.interval.ms";
    let session = "consumer.session.timeout.ms";
    let asked = [("g", heartbeat), ("h", session), ("g", session), ("g", "x")];
    let resources = asked.map(|(group, key)| {
        DescribeConfigsResource::default()
            .with_resource_type(GROUP)
            .with_resource_name(StrBytes::from_static_str(group))
            .with_configuration_keys(Some(vec![StrBytes::from_static_str(key)]))
    });
    let request = DescribeConfigsRequest::default().with_resources(resources.to_vec());
    let results = bench.send(4, &request).await.results;
    let names = results.iter().map(|result| {
        let rows = result.configs.iter();
        let rows: Vec<_> = rows.map(|row| row.name.as_str()).collect();
        (result.resource_name.as_str(), rows)
    });
    let names: Vec<_> = names.collect();
    assert_eq!(
        names,
        [
            ("g", vec![heartbeat]),
            ("h", vec![session]),
            ("g", vec![session]),
            ("g", vec![])
        ]
    );
}
