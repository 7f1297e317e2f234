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
use crate::config_resource::GROUP;

async fn set(bench: &Bench, group: &'static str, name: &'static str, value: &str) -> (i16, String) {
    let config = AlterableConfig::default()
        .with_name(StrBytes::from_static_str(name))
        .with_value(Some(StrBytes::from_string(value.into())));
    let resource = AlterConfigsResource::default()
        .with_resource_type(GROUP)
        .with_resource_name(StrBytes::from_static_str(group))
        .with_configs(vec![config]);
    let request = IncrementalAlterConfigsRequest::default().with_resources(vec![resource]);
    let response = bench.send(1, &request).await;
    let outcome = &response.responses[0];
    let why = outcome.error_message.as_ref().map(ToString::to_string);
    (outcome.error_code, why.unwrap_or_default())
}

async fn describe(bench: &Bench, group: &'static str) -> Vec<DescribeConfigsResourceResult> {
    let resource = DescribeConfigsResource::default()
        .with_resource_type(GROUP)
        .with_resource_name(StrBytes::from_static_str(group))
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
