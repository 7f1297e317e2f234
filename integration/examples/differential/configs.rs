//! Configs of groups: IncrementalAlterConfigs and DescribeConfigs on resources of type GROUP.

use kafka_protocol::messages::describe_configs_request::DescribeConfigsResource;
use kafka_protocol::messages::incremental_alter_configs_request::{
    AlterConfigsResource, AlterableConfig,
};
use kafka_protocol::messages::{DescribeConfigsRequest, IncrementalAlterConfigsRequest};
use kafka_protocol::protocol::StrBytes;
use ratel_integration::RawClient;

use crate::world::{Carrier, Family, GROUP, World, scenarios};

pub fn families() -> Vec<Family> {
    let family = |name, versions, scenarios| Family {
        name,
        versions,
        carrier: Carrier::Fetch,
        scenarios,
    };
    vec![
        family(
            "group_configs",
            0..=1,
            scenarios![; values, keys, operations, names,],
        ),
        family(
            "describe_group_configs",
            1..=4,
            scenarios![; shown, shown_keys, shown_names,],
        ),
    ]
}

async fn alter(
    world: &World,
    client: &mut RawClient,
    step: &str,
    group: &str,
    entries: &[(&str, i8, Option<&str>)],
    only_validate: bool,
) {
    let entries = entries.iter().map(|(key, operation, value)| {
        AlterableConfig::default()
            .with_name((*key).to_owned().into())
            .with_config_operation(*operation)
            .with_value(value.map(|value| value.to_owned().into()))
    });
    let resource = AlterConfigsResource::default()
        .with_resource_type(GROUP)
        .with_resource_name(group.to_owned().into())
        .with_configs(entries.collect());
    let request = IncrementalAlterConfigsRequest::default()
        .with_validate_only(only_validate)
        .with_resources(vec![resource]);
    let version = world.version.min(1);
    world.send(client, step, version, &request).await;
}

/// Values at and beyond the bounds that both have.
const VALUES: &[(&str, &str)] = &[
    ("share.auto.offset.reset", "earliest"),
    ("share.auto.offset.reset", "latest"),
    ("share.auto.offset.reset", "EARLIEST"),
    ("share.auto.offset.reset", "none"),
    ("share.auto.offset.reset", ""),
    ("share.auto.offset.reset", "by_duration:PT1H"),
    ("share.auto.offset.reset", "by_duration:P1DT2H3M4.5S"),
    ("share.auto.offset.reset", "by_duration:-PT1H"),
    ("share.auto.offset.reset", "by_duration:1h"),
    ("share.auto.offset.reset", "by_duration:"),
    ("share.isolation.level", "read_committed"),
    ("share.isolation.level", "READ_UNCOMMITTED"),
    ("share.isolation.level", "serializable"),
    ("share.record.lock.duration.ms", "30000"),
    ("share.record.lock.duration.ms", "0"),
    ("share.record.lock.duration.ms", "-1"),
    ("share.record.lock.duration.ms", "a while"),
    ("share.record.lock.duration.ms", "99999999999"),
    ("share.delivery.count.limit", "5"),
    ("share.delivery.count.limit", "0"),
    ("share.delivery.count.limit", "-1"),
    ("share.partition.max.record.locks", "2000"),
    ("share.partition.max.record.locks", "0"),
    ("share.partition.max.record.locks", "1.5"),
    ("share.session.timeout.ms", "45000"),
    ("share.session.timeout.ms", "0"),
    ("share.heartbeat.interval.ms", "5000"),
    ("share.heartbeat.interval.ms", "0"),
    ("share.renew.acknowledge.enable", "true"),
    ("share.renew.acknowledge.enable", "FALSE"),
    ("share.renew.acknowledge.enable", "yes"),
];

async fn values(world: &mut World) {
    let mut client = world.connect().await;
    let group = world.name("g");
    for (key, value) in VALUES {
        let step = format!("{key}={value}");
        alter(
            world,
            &mut client,
            &step,
            &group,
            &[(key, 0, Some(value))],
            false,
        )
        .await;
    }
    alter(
        world,
        &mut client,
        "null",
        &group,
        &[("share.auto.offset.reset", 0, None)],
        false,
    )
    .await;
    let both = [
        ("share.heartbeat.interval.ms", 0, Some("10000")),
        ("share.session.timeout.ms", 0, Some("5000")),
    ];
    alter(
        world,
        &mut client,
        "an interval above the timeout",
        &group,
        &both,
        false,
    )
    .await;
}

async fn keys(world: &mut World) {
    let mut client = world.connect().await;
    let group = world.name("g");
    for key in [
        "nonsense",
        "",
        "retention.ms",
        "share.nonsense",
        "consumer.session.timeout.ms",
        "consumer.heartbeat.interval.ms",
        "group.share.record.lock.duration.ms",
    ] {
        alter(
            world,
            &mut client,
            &format!("key {key}"),
            &group,
            &[(key, 0, Some("45000"))],
            false,
        )
        .await;
    }
    let twice = [
        ("share.delivery.count.limit", 0, Some("3")),
        ("share.delivery.count.limit", 0, Some("4")),
    ];
    alter(world, &mut client, "a key twice", &group, &twice, false).await;
    let one_bad = [
        ("share.delivery.count.limit", 0, Some("3")),
        ("nonsense", 0, Some("4")),
    ];
    alter(
        world,
        &mut client,
        "a good one and a bad one",
        &group,
        &one_bad,
        false,
    )
    .await;
    alter(world, &mut client, "nothing", &group, &[], false).await;
}

/// Operations: 0 sets, 1 deletes, 2 appends, 3 subtracts.
async fn operations(world: &mut World) {
    let mut client = world.connect().await;
    let group = world.name("g");
    let key = "share.delivery.count.limit";
    let four = Some("4");
    for (step, key, operation, value, only_validate) in [
        ("set", key, 0, four, false),
        ("delete", key, 1, None, false),
        ("delete again", key, 1, None, false),
        ("append", key, 2, four, false),
        ("subtract", key, 3, four, false),
        ("unknown", key, 4, four, false),
        ("only validate", key, 0, four, true),
        ("only validate a bad one", key, 0, Some("0"), true),
        ("delete an unknown key", "nonsense", 1, None, false),
    ] {
        let entry = [(key, operation, value)];
        alter(world, &mut client, step, &group, &entry, only_validate).await;
    }
}

async fn names(world: &mut World) {
    let mut client = world.connect().await;
    let entry = [("share.delivery.count.limit", 0, Some("4"))];
    for name in ["", "a b", "with/slash", "ü"] {
        alter(
            world,
            &mut client,
            &format!("name {name}"),
            name,
            &entry,
            true,
        )
        .await;
    }
}

async fn show(
    world: &World,
    client: &mut RawClient,
    step: &str,
    group: StrBytes,
    keys: Option<&[&str]>,
) {
    let keys = keys.map(|keys| keys.iter().map(|key| (*key).to_owned().into()).collect());
    let resource = DescribeConfigsResource::default()
        .with_resource_type(GROUP)
        .with_resource_name(group)
        .with_configuration_keys(keys);
    let request = DescribeConfigsRequest::default()
        .with_include_synonyms(true)
        .with_resources(vec![resource]);
    let mut answer = client.send(world.version, &request).await;
    for result in &mut answer.results {
        // Keys of other kinds of groups, and our own ones, are told of elsewhere.
        result
            .configs
            .retain(|config| SHARED.contains(&&*config.name) || keys_are_named(&request));
    }
    world.record(step, &answer);
}

fn keys_are_named(request: &DescribeConfigsRequest) -> bool {
    let mut resources = request.resources.iter();
    resources.all(|resource| resource.configuration_keys.is_some())
}

/// What both know of share groups.
const SHARED: &[&str] = &[
    "share.auto.offset.reset",
    "share.delivery.count.limit",
    "share.heartbeat.interval.ms",
    "share.isolation.level",
    "share.partition.max.record.locks",
    "share.record.lock.duration.ms",
    "share.renew.acknowledge.enable",
    "share.session.timeout.ms",
];

async fn shown(world: &mut World) {
    let mut client = world.connect().await;
    let group: StrBytes = world.name("g").into();
    show(world, &mut client, "of no group", group.clone(), None).await;
    world
        .configure(
            "g",
            &[
                ("share.delivery.count.limit", "4"),
                ("share.auto.offset.reset", "earliest"),
            ],
        )
        .await;
    show(
        world,
        &mut client,
        "of one that was configured",
        group,
        None,
    )
    .await;
}

async fn shown_keys(world: &mut World) {
    let mut client = world.connect().await;
    let group: StrBytes = world.name("g").into();
    for (step, keys) in [
        ("one", &["share.delivery.count.limit"][..]),
        ("unknown", &["nonsense"]),
        ("twice", &["share.isolation.level", "share.isolation.level"]),
    ] {
        show(world, &mut client, step, group.clone(), Some(keys)).await;
    }
}

async fn shown_names(world: &mut World) {
    let mut client = world.connect().await;
    show(world, &mut client, "empty", "".into(), None).await;
}
