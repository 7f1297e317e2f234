//! Share groups among groups: finding, listing, describing and deleting them.

use kafka_protocol::messages::join_group_request::JoinGroupRequestProtocol;
use kafka_protocol::messages::{
    DeleteGroupsRequest, DescribeGroupsRequest, FindCoordinatorRequest, GroupId, JoinGroupRequest,
    ListGroupsRequest, OffsetCommitRequest, OffsetFetchRequest, ShareGroupDescribeRequest,
};
use kafka_protocol::protocol::StrBytes;

use crate::world::{Carrier, Family, World, pause, scenarios};

pub fn families() -> Vec<Family> {
    let family = |name, versions, scenarios| Family {
        name,
        versions,
        carrier: Carrier::Fetch,
        scenarios,
    };
    vec![
        family("share_describe", 1..=1, scenarios![; describe,]),
        family(
            "find_coordinator",
            3..=6,
            scenarios![since 4: several_keys, ; strange_types, share_key,],
        ),
        family(
            "list_groups",
            3..=5,
            scenarios![since 5: by_type, since 4: by_state, ; all_groups,],
        ),
        family("delete_groups", 0..=2, scenarios![; delete,]),
        family("classic_apis", 0..=0, scenarios![; classic_apis,]),
    ]
}

/// A share group `full` with a member, one `left` without, and a group `classic` of consumers.
async fn three_groups(world: &mut World) {
    world.make_topic("t", 2).await;
    world.join("full", "m", &["t"], 2).await;
    world.join("left", "m", &["t"], 2).await;
    let mut client = world.connect().await;
    client.send(1, &world.heartbeat("left", "m", -1)).await;
    let protocol = JoinGroupRequestProtocol::default().with_name("range".into());
    let join = JoinGroupRequest::default()
        .with_group_id(world.group("classic"))
        .with_protocol_type("consumer".into())
        .with_session_timeout_ms(30_000)
        .with_rebalance_timeout_ms(30_000)
        .with_protocols(vec![protocol]);
    client.send(3, &join).await;
    pause(200).await;
}

async fn describe(world: &mut World) {
    three_groups(world).await;
    let mut client = world.connect().await;
    let version = world.version;
    for name in ["full", "left", "classic", "none"] {
        for operations in [false, true] {
            let request = ShareGroupDescribeRequest::default()
                .with_group_ids(vec![world.group(name)])
                .with_include_authorized_operations(operations);
            let mut answer = client.send(version, &request).await;
            for group in &mut answer.groups {
                // How far they have come by now is up to each server.
                (group.group_epoch, group.assignment_epoch) = (0, 0);
                for member in &mut group.members {
                    member.member_epoch = 0;
                }
            }
            let step = format!("{name} {}", if operations { "with operations" } else { "" });
            world.record(step.trim(), &answer);
        }
    }
    let several = vec![
        world.group("left"),
        world.group("none"),
        world.group("left"),
        GroupId::default(),
    ];
    let request = ShareGroupDescribeRequest::default().with_group_ids(several);
    let mut answer = client.send(version, &request).await;
    for group in &mut answer.groups {
        (group.group_epoch, group.assignment_epoch) = (0, 0);
    }
    answer.groups.sort_by(|a, b| a.group_id.cmp(&b.group_id));
    world.record("several", &answer);
    world
        .send(
            &mut client,
            "no group",
            version,
            &ShareGroupDescribeRequest::default(),
        )
        .await;
}

async fn strange_types(world: &mut World) {
    let mut client = world.connect().await;
    for kind in [0, 2, 3, -1] {
        let key: StrBytes = world.name("g").into();
        let request = FindCoordinatorRequest::default().with_key_type(kind);
        let request = match world.version {
            ..4 => request.with_key(key),
            _ => request.with_coordinator_keys(vec![key]),
        };
        world
            .send(
                &mut client,
                &format!("type {kind}"),
                world.version,
                &request,
            )
            .await;
    }
}

/// The coordinator of a queue: `group:topic id:partition`.
async fn share_key(world: &mut World) {
    world.make_topic("t", 1).await;
    let mut client = world.connect().await;
    let id = world.topic_id("t");
    let group = world.name("g");
    // Java's way to write an id, as Kafka has it in this key.
    let java = "AAAAAAAAAAAAAAAAAAAAAA";
    for (step, key) in [
        ("with an id", format!("{group}:{java}:0")),
        ("with another form of id", format!("{group}:{id}:0")),
        ("without a partition", format!("{group}:{java}")),
        ("nothing", String::new()),
    ] {
        let request = FindCoordinatorRequest::default().with_key_type(2);
        let request = match world.version {
            ..4 => request.with_key(key.into()),
            _ => request.with_coordinator_keys(vec![key.into()]),
        };
        world.send(&mut client, step, world.version, &request).await;
    }
}

async fn several_keys(world: &mut World) {
    let mut client = world.connect().await;
    let keys: [StrBytes; 3] = [world.name("g").into(), world.name("h").into(), "".into()];
    let request = FindCoordinatorRequest::default().with_coordinator_keys(keys.to_vec());
    world
        .send(&mut client, "three", world.version, &request)
        .await;
    let request = FindCoordinatorRequest::default();
    world
        .send(&mut client, "none", world.version, &request)
        .await;
}

/// List, and leave out what other scenarios have made.
async fn list(world: &World, step: &str, request: &ListGroupsRequest) {
    let mut client = world.connect().await;
    let mut answer = client.send(world.version, request).await;
    let ours = world.name("");
    answer
        .groups
        .retain(|group| group.group_id.starts_with(&ours));
    world.record(step, &answer);
}

async fn all_groups(world: &mut World) {
    three_groups(world).await;
    list(world, "all", &ListGroupsRequest::default()).await;
}

async fn by_state(world: &mut World) {
    three_groups(world).await;
    for states in [
        &["Stable"][..],
        &["empty"],
        &["EMPTY", "Stable"],
        &["Dead"],
        &["Nonsense"],
        &[""],
    ] {
        let filter = states.iter().map(|state| (*state).into()).collect();
        let request = ListGroupsRequest::default().with_states_filter(filter);
        list(world, &states.join("+"), &request).await;
    }
}

async fn by_type(world: &mut World) {
    three_groups(world).await;
    for kinds in [
        &["share"][..],
        &["Share"],
        &["classic"],
        &["share", "classic"],
        &["consumer"],
        &["nonsense"],
        &[""],
    ] {
        let filter = kinds.iter().map(|kind| (*kind).into()).collect();
        let request = ListGroupsRequest::default().with_types_filter(filter);
        list(world, &kinds.join("+"), &request).await;
    }
    let both = ListGroupsRequest::default()
        .with_types_filter(vec!["share".into()])
        .with_states_filter(vec!["Empty".into()]);
    list(world, "empty share groups", &both).await;
}

async fn delete(world: &mut World) {
    three_groups(world).await;
    let mut client = world.connect().await;
    for (step, names) in [
        ("with a member", &["full"][..]),
        ("missing", &["none"]),
        ("empty", &["left"]),
        ("again", &["left"]),
        ("some", &["full", "none", "classic"]),
    ] {
        let groups = names.iter().map(|name| world.group(name)).collect();
        let request = DeleteGroupsRequest::default().with_groups_names(groups);
        world.send(&mut client, step, world.version, &request).await;
    }
    let request = DeleteGroupsRequest::default().with_groups_names(vec![GroupId::default()]);
    world
        .send(&mut client, "no name", world.version, &request)
        .await;
    let request = ShareGroupDescribeRequest::default().with_group_ids(vec![world.group("left")]);
    world.send(&mut client, "is it gone", 1, &request).await;
    // A name that is free again may be any group's.
    let join = JoinGroupRequest::default()
        .with_group_id(world.group("left"))
        .with_protocol_type("consumer".into())
        .with_session_timeout_ms(30_000)
        .with_protocols(vec![
            JoinGroupRequestProtocol::default().with_name("range".into()),
        ]);
    let answer = client.send(3, &join).await;
    world.record("a consumer takes the name", &answer.error_code);
}

/// What APIs of classic groups say of a share group.
async fn classic_apis(world: &mut World) {
    three_groups(world).await;
    let mut client = world.connect().await;
    for name in ["full", "left"] {
        let request = DescribeGroupsRequest::default().with_groups(vec![world.group(name)]);
        world
            .send(&mut client, &format!("describe {name}"), 6, &request)
            .await;
        let request = OffsetFetchRequest::default()
            .with_group_id(world.group(name))
            .with_topics(None);
        world
            .send(&mut client, &format!("offsets of {name}"), 7, &request)
            .await;
        let join = JoinGroupRequest::default()
            .with_group_id(world.group(name))
            .with_protocol_type("consumer".into())
            .with_session_timeout_ms(30_000)
            .with_protocols(vec![
                JoinGroupRequestProtocol::default().with_name("range".into()),
            ]);
        let answer = client.send(3, &join).await;
        world.record(&format!("join {name}"), &answer.error_code);
        let partition =
            kafka_protocol::messages::offset_commit_request::OffsetCommitRequestPartition::default(
            )
            .with_committed_offset(1);
        let topic =
            kafka_protocol::messages::offset_commit_request::OffsetCommitRequestTopic::default()
                .with_name(world.topic_name("t"))
                .with_partitions(vec![partition]);
        let commit = OffsetCommitRequest::default()
            .with_group_id(world.group(name))
            .with_topics(vec![topic]);
        world
            .send(&mut client, &format!("commit to {name}"), 8, &commit)
            .await;
    }
}
