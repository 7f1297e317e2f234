//! Share groups among other groups, and their configuration.

use bytes::Bytes;
use kafka_protocol::messages::GroupId;
use kafka_protocol::messages::describe_configs_request::DescribeConfigsResource;
use kafka_protocol::messages::join_group_request::JoinGroupRequestProtocol;
use kafka_protocol::messages::{
    DeleteGroupsRequest, DescribeConfigsRequest, JoinGroupRequest, ListGroupsRequest,
};

use crate::{GROUP_ID_NOT_FOUND, INVALID_CONFIG, NON_EMPTY_GROUP, Rig, text};

/// Names and types of the groups that are listed for these types.
async fn listed(rig: &mut Rig, types: &[&str]) -> Vec<(String, String)> {
    let types = types.iter().map(|kind| text(kind));
    let request = ListGroupsRequest::default().with_types_filter(types.collect());
    let answer = rig.client.send(5, &request).await;
    assert_eq!(answer.error_code, 0);
    let groups = answer.groups.iter();
    let mut all: Vec<_> = groups
        .map(|group| (group.group_id.to_string(), group.group_type.to_string()))
        .collect();
    all.sort();
    all
}

async fn deleted(rig: &mut Rig, group: &str) -> i16 {
    let request = DeleteGroupsRequest::default().with_groups_names(vec![GroupId(text(group))]);
    rig.client.send(2, &request).await.results[0].error_code
}

#[tokio::test]
async fn share_groups_are_listed_by_type_and_deleted_when_empty() {
    let mut rig = Rig::start(&[("group.initial.rebalance.delay.ms", "0")]).await;
    let jobs = rig.topic("jobs", 2).await;
    rig.group("workers", &[]).await;
    rig.produce("jobs", 0, &[b"a"]).await;
    let mut member = rig.member("workers", "m").await;
    let epoch = member.join(&["jobs"]).await;
    assert_eq!(member.fetch(&[(jobs, &[0, 1])]).await, [(0, 0, 0, 1)]);
    let protocol = JoinGroupRequestProtocol::default()
        .with_name(text("range"))
        .with_metadata(Bytes::from_static(b"\0\0\0\0\0\0\0\0\0\0"));
    let request = JoinGroupRequest::default()
        .with_group_id(GroupId(text("readers")))
        .with_session_timeout_ms(30_000)
        .with_rebalance_timeout_ms(30_000)
        .with_protocol_type(text("consumer"))
        .with_protocols(vec![protocol]);
    assert_eq!(rig.client.send(3, &request).await.error_code, 0);

    let share = ("workers".to_owned(), "share".to_owned());
    let classic = ("readers".to_owned(), "classic".to_owned());
    let both = [classic.clone(), share.clone()];
    assert_eq!(listed(&mut rig, &[]).await, both);
    assert_eq!(listed(&mut rig, &["share"]).await, [share]);
    assert_eq!(listed(&mut rig, &["classic"]).await, [classic]);
    assert_eq!(listed(&mut rig, &["consumer"]).await, []);
    assert_eq!(listed(&mut rig, &["share", "classic"]).await, both);

    assert_eq!(deleted(&mut rig, "workers").await, NON_EMPTY_GROUP);
    assert_eq!(
        member.heartbeat(epoch, None).await.error_code,
        0,
        "nothing changed"
    );
    assert_eq!(member.heartbeat(-1, None).await.error_code, 0);
    assert_eq!(deleted(&mut rig, "workers").await, 0);
    assert_eq!(listed(&mut rig, &["share"]).await, []);
    assert!(rig.queues("workers").await.is_empty());
    assert_eq!(deleted(&mut rig, "workers").await, GROUP_ID_NOT_FOUND);
    // It stays deleted, and one of the same name begins anew.
    rig.crash().await;
    assert_eq!(listed(&mut rig, &["share"]).await, []);
    let mut member = rig.member("workers", "m").await;
    assert_eq!(member.join(&["jobs"]).await, 1);
    assert_eq!(member.fetch(&[(jobs, &[0])]).await, [(0, 0, 0, 1)]);
}

#[tokio::test]
async fn a_bad_configuration_is_refused_with_what_is_allowed() {
    let mut rig = Rig::start(&[]).await;
    let cases = [
        ("share.record.lock.duration.ms", "99", "100 to 43200000"),
        (
            "share.record.lock.duration.ms",
            "43200001",
            "100 to 43200000",
        ),
        ("share.delivery.count.limit", "0", "1 to 1000"),
        ("share.delivery.count.limit", "many", "1 to 1000"),
        ("share.partition.max.record.locks", "0", "1 to 1000000"),
        ("share.session.timeout.ms", "10", "1000 to 3600000"),
        ("share.heartbeat.interval.ms", "60001", "100 to 60000"),
        ("queue.release.backoff.ms", "-1", "0 to 43200000"),
        ("share.isolation.level", "serializable", "read_committed"),
        ("share.auto.offset.reset", "middle", "by_duration"),
        ("share.renew.acknowledge.enable", "perhaps", "false"),
        ("errors.deadletterqueue.topic.name", "no/slash", "topic"),
        ("share.colour", "red", "share.colour"),
    ];
    for (key, value, phrase) in cases {
        let (code, message) = rig.configure("g", key, value).await;
        assert_eq!(code, INVALID_CONFIG, "{key}={value}: {message}");
        assert!(message.contains(phrase), "{key}={value}: {message}");
        assert!(message.contains(key), "{key}={value}: {message}");
    }
}

/// It has no effect before there are transactions; until then it is taken, kept and shown.
#[tokio::test]
async fn the_isolation_level_is_kept_and_shown() {
    let mut rig = Rig::start(&[]).await;
    let jobs = rig.topic("jobs", 1).await;
    rig.group("g", &[("share.isolation.level", "read_committed")])
        .await;
    rig.crash().await;
    let resource = DescribeConfigsResource::default()
        .with_resource_type(32)
        .with_resource_name(text("g"))
        .with_configuration_keys(Some(vec![text("share.isolation.level")]));
    let request = DescribeConfigsRequest::default().with_resources(vec![resource]);
    let answer = rig.client.send(4, &request).await.results.remove(0);
    let config = &answer.configs[0];
    assert_eq!(config.value.as_deref(), Some("read_committed"));
    rig.produce("jobs", 0, &[b"a"]).await;
    let mut member = rig.member("g", "m").await;
    assert_eq!(member.fetch(&[(jobs, &[0])]).await, [(0, 0, 0, 1)]);
}
