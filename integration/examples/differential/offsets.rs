//! Offsets of share groups: DescribeShareGroupOffsets, AlterShareGroupOffsets and
//! DeleteShareGroupOffsets.

use kafka_protocol::messages::alter_share_group_offsets_request::{
    AlterShareGroupOffsetsRequestPartition, AlterShareGroupOffsetsRequestTopic,
};
use kafka_protocol::messages::delete_share_group_offsets_request as delete_request_parts;
use kafka_protocol::messages::{
    AlterShareGroupOffsetsRequest, DeleteShareGroupOffsetsRequest, GroupId, TopicName,
};
use ratel_integration::RawClient;
use ratel_protocol::messages::DescribeShareGroupOffsetsRequest;
use ratel_protocol::messages::describe_share_group_offsets_request::{
    DescribeShareGroupOffsetsRequestGroup, DescribeShareGroupOffsetsRequestTopic,
};

use crate::worker::{Worker, ack, acknowledged, wanted};
use crate::world::{Carrier, Family, World, pause, scenarios};

pub fn families() -> Vec<Family> {
    let family = |name, versions, scenarios| Family {
        name,
        versions,
        carrier: Carrier::Acknowledge,
        scenarios,
    };
    vec![
        family(
            "describe_share_offsets",
            0..=1,
            scenarios![; describe, describe_what_is_not_there,],
        ),
        family(
            "alter_share_offsets",
            0..=0,
            scenarios![; alter, alter_what_is_not_there, alter_strangely, alter_of_a_new_group,],
        ),
        family(
            "delete_share_offsets",
            0..=0,
            scenarios![; delete, delete_what_is_not_there,],
        ),
    ]
}

type Topics<'a> = &'a [(&'a str, &'a [i32])];

/// Describe; partitions without a group's word have the leader epoch of their server.
async fn show(
    world: &World,
    client: &mut RawClient,
    step: &str,
    group: GroupId,
    topics: Option<Topics<'_>>,
) {
    let topics = topics.map(|topics| {
        let topics = topics.iter().map(|(name, partitions)| {
            DescribeShareGroupOffsetsRequestTopic::default()
                .with_topic_name(world.topic_name(name))
                .with_partitions(partitions.to_vec())
        });
        topics.collect()
    });
    let group = DescribeShareGroupOffsetsRequestGroup::default()
        .with_group_id(group)
        .with_topics(topics);
    let request = DescribeShareGroupOffsetsRequest::default().with_groups(vec![group]);
    let version = if world.version == 0 { 0 } else { 1 };
    world.send(client, step, version, &request).await;
}

/// Group `g` has done the first four of ten records of topic `t`, and leases the others. It reads
/// `u` too, which has two partitions.
async fn some_done(world: &mut World) -> (Worker, RawClient) {
    let mut worker = Worker::with_records(world, &[10]).await;
    world.make_topic("u", 2).await;
    world.join("g", "m", &["t", "u"], 3).await;
    worker.open_for_records(world).await;
    let done = ratel_protocol::messages::ShareAcknowledgeRequest::default()
        .with_group_id(Some(world.group("g")))
        .with_member_id(Some("m".into()))
        .with_share_session_epoch(1)
        .with_topics(vec![acknowledged(world, "t", 0, &[ack(0, 3, &[1])])]);
    worker.client.send(1, &done).await;
    (worker, world.connect().await)
}

/// The member is gone, and all is released.
async fn leave(world: &World, worker: Worker) {
    let mut client = worker.client;
    client.send(1, &world.heartbeat("g", "m", -1)).await;
    drop(client);
    pause(300).await;
}

async fn describe(world: &mut World) {
    let (mut worker, mut client) = some_done(world).await;
    let group = world.group("g");
    show(
        world,
        &mut client,
        "one",
        group.clone(),
        Some(&[("t", &[0])]),
    )
    .await;
    let done = ratel_protocol::messages::ShareAcknowledgeRequest::default()
        .with_group_id(Some(group.clone()))
        .with_member_id(Some("m".into()))
        .with_share_session_epoch(2)
        .with_topics(vec![acknowledged(world, "t", 0, &[ack(6, 7, &[1])])]);
    worker.client.send(1, &done).await;
    show(
        world,
        &mut client,
        "done behind",
        group.clone(),
        Some(&[("t", &[0])]),
    )
    .await;
    show(
        world,
        &mut client,
        "partitions that are not there",
        group.clone(),
        Some(&[("t", &[0, 1, -1])]),
    )
    .await;
    show(
        world,
        &mut client,
        "not yet read",
        group.clone(),
        Some(&[("u", &[0, 1])]),
    )
    .await;
    show(world, &mut client, "all", group.clone(), None).await;
    show(world, &mut client, "no topics", group.clone(), Some(&[])).await;
    show(
        world,
        &mut client,
        "no partitions",
        group.clone(),
        Some(&[("t", &[])]),
    )
    .await;
    show(
        world,
        &mut client,
        "a missing topic",
        group.clone(),
        Some(&[("t", &[0]), ("none", &[0])]),
    )
    .await;
    leave(world, worker).await;
    show(
        world,
        &mut client,
        "without a member",
        group,
        Some(&[("t", &[0])]),
    )
    .await;
}

async fn describe_what_is_not_there(world: &mut World) {
    world.make_topic("t", 1).await;
    world.join("g", "m", &["t"], 1).await;
    let mut client = world.connect().await;
    show(
        world,
        &mut client,
        "no group",
        world.group("none"),
        Some(&[("t", &[0])]),
    )
    .await;
    show(
        world,
        &mut client,
        "all of no group",
        world.group("none"),
        None,
    )
    .await;
    show(world, &mut client, "empty name", GroupId::default(), None).await;
    let request = DescribeShareGroupOffsetsRequest::default();
    world
        .send(&mut client, "nothing", world.version, &request)
        .await;
}

fn alter_request(
    world: &World,
    group: GroupId,
    topics: &[(&str, &[(i32, i64)])],
) -> AlterShareGroupOffsetsRequest {
    let topics = topics.iter().map(|(name, partitions)| {
        let partitions = partitions.iter().map(|(index, offset)| {
            AlterShareGroupOffsetsRequestPartition::default()
                .with_partition_index(*index)
                .with_start_offset(*offset)
        });
        AlterShareGroupOffsetsRequestTopic::default()
            .with_topic_name(world.topic_name(name))
            .with_partitions(partitions.collect())
    });
    AlterShareGroupOffsetsRequest::default()
        .with_group_id(group)
        .with_topics(topics.collect())
}

async fn alter(world: &mut World) {
    world.version = 1;
    let (worker, mut client) = some_done(world).await;
    let group = world.group("g");
    let back = alter_request(world, group.clone(), &[("t", &[(0, 2)])]);
    world.send(&mut client, "with a member", 0, &back).await;
    leave(world, worker).await;
    world.send(&mut client, "back", 0, &back).await;
    let mut worker = Worker::stranger(world, "m").await;
    world.join("g", "m", &["t"], 1).await;
    worker.open(world).await;
    leave(world, worker).await;
    let ahead = alter_request(world, group.clone(), &[("t", &[(0, 7)]), ("u", &[(1, 0)])]);
    world.send(&mut client, "ahead", 0, &ahead).await;
    let mut worker = Worker::stranger(world, "m").await;
    world.join("g", "m", &["t"], 1).await;
    worker.open(world).await;
    leave(world, worker).await;
    let to_the_end = alter_request(world, group, &[("t", &[(0, 10)])]);
    world.send(&mut client, "to the end", 0, &to_the_end).await;
    show(world, &mut client, "where it is", world.group("g"), None).await;
}

async fn alter_what_is_not_there(world: &mut World) {
    let (worker, mut client) = some_done(world).await;
    leave(world, worker).await;
    let group = world.group("g");
    for (step, group, topics) in [
        ("no group", world.group("none"), &[("t", &[(0, 2)][..])][..]),
        ("empty name", GroupId::default(), &[("t", &[(0, 2)])]),
        ("missing topic", group.clone(), &[("none", &[(0, 2)])]),
        (
            "missing partitions",
            group.clone(),
            &[("t", &[(1, 2), (-1, 2)])],
        ),
        (
            "a good one too",
            group.clone(),
            &[("t", &[(0, 2), (7, 2)]), ("none", &[(0, 0)])],
        ),
        ("nothing", group.clone(), &[]),
        ("no partitions", group.clone(), &[("t", &[])]),
    ] {
        let request = alter_request(world, group, topics);
        world.send(&mut client, step, 0, &request).await;
    }
}

async fn alter_strangely(world: &mut World) {
    let (worker, mut client) = some_done(world).await;
    leave(world, worker).await;
    let group = world.group("g");
    for (step, offset) in [
        ("negative", -1),
        ("very negative", i64::MIN),
        ("past the end", 11),
        ("the largest", i64::MAX),
    ] {
        let request = alter_request(world, group.clone(), &[("t", &[(0, offset)])]);
        world.send(&mut client, step, 0, &request).await;
    }
    let request = alter_request(world, group, &[("t", &[(0, 3), (0, 5)])]);
    world
        .send(&mut client, "a partition twice", 0, &request)
        .await;
}

/// A group may be given offsets before it has read a topic.
async fn alter_of_a_new_group(world: &mut World) {
    let (worker, mut client) = some_done(world).await;
    leave(world, worker).await;
    world.make_topic("v", 1).await;
    world.produce("v", 0, 5).await;
    let request = alter_request(world, world.group("g"), &[("v", &[(0, 3)])]);
    world
        .send(&mut client, "a topic it has not read", 0, &request)
        .await;
    world.join("g", "m", &["v"], 1).await;
    let mut worker = Worker::stranger(world, "m").await;
    let topics = vec![wanted(world, "v", &[0])];
    let change = |request: ratel_protocol::messages::ShareFetchRequest| request.with_topics(topics);
    world.version = 1;
    worker.fetch(world, "from there", change).await;
}

fn delete_request(names: Vec<TopicName>, group: GroupId) -> DeleteShareGroupOffsetsRequest {
    let topics = names.into_iter().map(|name| {
        delete_request_parts::DeleteShareGroupOffsetsRequestTopic::default().with_topic_name(name)
    });
    DeleteShareGroupOffsetsRequest::default()
        .with_group_id(group)
        .with_topics(topics.collect())
}

async fn delete(world: &mut World) {
    let (worker, mut client) = some_done(world).await;
    let group = world.group("g");
    let of_t = delete_request(vec![world.topic_name("t")], group.clone());
    world.send(&mut client, "with a member", 0, &of_t).await;
    leave(world, worker).await;
    world.send(&mut client, "done", 0, &of_t).await;
    world.send(&mut client, "again", 0, &of_t).await;
    show(world, &mut client, "what is left", group.clone(), None).await;
    show(world, &mut client, "of it", group, Some(&[("t", &[0])])).await;
    world.join("g", "m", &["t"], 1).await;
    let mut worker = Worker::stranger(world, "m").await;
    world.version = 1;
    worker.open(world).await;
}

async fn delete_what_is_not_there(world: &mut World) {
    let (worker, mut client) = some_done(world).await;
    leave(world, worker).await;
    let group = world.group("g");
    let (known, missing) = (world.topic_name("t"), world.topic_name("none"));
    world.make_topic("v", 1).await;
    for (step, group, names) in [
        ("no group", world.group("none"), vec![known.clone()]),
        ("empty name", GroupId::default(), vec![known.clone()]),
        ("missing topic", group.clone(), vec![missing.clone()]),
        ("never read", group.clone(), vec![world.topic_name("v")]),
        ("nothing", group.clone(), vec![]),
        (
            "a good one too",
            group.clone(),
            vec![missing, known.clone()],
        ),
        ("twice", group, vec![known.clone(), known]),
    ] {
        let request = delete_request(names, group);
        world.send(&mut client, step, 0, &request).await;
    }
}
