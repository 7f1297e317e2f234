//! ShareGroupHeartbeat: who may join, stay and leave.

use kafka_protocol::messages::ShareGroupHeartbeatRequest as Request;
use kafka_protocol::messages::ShareGroupHeartbeatResponse as Response;
use kafka_protocol::messages::join_group_request::JoinGroupRequestProtocol;
use kafka_protocol::messages::{GroupId, JoinGroupRequest, TopicName};
use ratel_integration::RawClient;

use crate::world::{Carrier, Family, World, pause, scenarios};

pub fn families() -> Vec<Family> {
    vec![Family {
        name: "share_heartbeat",
        versions: 1..=1,
        carrier: Carrier::Fetch,
        scenarios: scenarios![
            ;
            strange_joins,
            strange_epochs,
            unknown_group,
            unknown_member,
            classic_group,
            wrong_epochs,
            the_previous_epoch,
            joins_again,
            leaves_twice,
            full_group,
            assignments,
            subscription_changes,
            missing_topic,
            topic_named_twice,
            session_runs_out,
            heartbeat_interval,
        ],
    }]
}

/// A topic `t` and a member `m` of group `g` that has its one partition: its epoch.
async fn joined(world: &mut World) -> (RawClient, i32) {
    world.make_topic("t", 1).await;
    let epoch = world.join("g", "m", &["t"], 1).await;
    (world.connect().await, epoch)
}

fn topics(world: &World, names: &[&str]) -> Option<Vec<TopicName>> {
    Some(names.iter().map(|name| world.topic_name(name)).collect())
}

async fn beat(world: &World, client: &mut RawClient, step: &str, request: Request) -> Response {
    world.send(client, step, world.version, &request).await
}

async fn strange_joins(world: &mut World) {
    world.make_topic("t", 1).await;
    let mut client = world.connect().await;
    let join = world
        .heartbeat("g", "m", 0)
        .with_subscribed_topic_names(topics(world, &["t"]));
    let long = "m".repeat(37);
    let odd = [
        ("empty member", join.clone().with_member_id("".into())),
        ("long member", join.clone().with_member_id(long.into())),
        (
            "empty group",
            join.clone().with_group_id(GroupId::default()),
        ),
        (
            "blank group",
            join.clone().with_group_id(GroupId("  ".into())),
        ),
        (
            "null topics",
            join.clone().with_subscribed_topic_names(None),
        ),
        (
            "no topics",
            join.clone().with_subscribed_topic_names(Some(Vec::new())),
        ),
        ("empty rack", join.clone().with_rack_id(Some("".into()))),
        ("blank rack", join.clone().with_rack_id(Some(" ".into()))),
        ("blank member", join.clone().with_member_id(" ".into())),
    ];
    for (step, request) in odd {
        beat(world, &mut client, step, request).await;
    }
    let longest = join
        .with_member_id("m".repeat(36).into())
        .with_group_id(world.group("long"));
    let answer = client.send(1, &longest).await;
    world.record("longest member", &answer.error_code);
}

async fn strange_epochs(world: &mut World) {
    let (mut client, _) = joined(world).await;
    for epoch in [-2, i32::MIN, i32::MAX] {
        let request = world.heartbeat("g", "m", epoch);
        beat(world, &mut client, &format!("epoch {epoch}"), request).await;
    }
}

async fn unknown_group(world: &mut World) {
    let mut client = world.connect().await;
    for epoch in [1, 7, -1] {
        let request = world.heartbeat("none", "m", epoch);
        beat(world, &mut client, &format!("epoch {epoch}"), request).await;
    }
}

async fn unknown_member(world: &mut World) {
    let (mut client, epoch) = joined(world).await;
    for epoch in [1, epoch, -1] {
        let request = world.heartbeat("g", "other", epoch);
        let step = if epoch == -1 { "leaves" } else { "stays" };
        beat(world, &mut client, step, request).await;
    }
}

/// A group of consumers is no share group.
async fn classic_group(world: &mut World) {
    world.make_topic("t", 1).await;
    let mut client = world.connect().await;
    let protocol = JoinGroupRequestProtocol::default().with_name("range".into());
    let join = JoinGroupRequest::default()
        .with_group_id(world.group("g"))
        .with_protocol_type("consumer".into())
        .with_session_timeout_ms(30_000)
        .with_rebalance_timeout_ms(30_000)
        .with_protocols(vec![protocol]);
    let mut other = world.connect().await;
    other.send(3, &join).await;
    let request = world
        .heartbeat("g", "m", 0)
        .with_subscribed_topic_names(topics(world, &["t"]));
    beat(world, &mut client, "joins", request).await;
    for epoch in [1, -1] {
        let request = world.heartbeat("g", "m", epoch);
        beat(world, &mut client, &format!("epoch {epoch}"), request).await;
    }
}

async fn wrong_epochs(world: &mut World) {
    let (mut client, epoch) = joined(world).await;
    // A few changes, so that there are old epochs.
    world.make_topic("u", 1).await;
    let mut epoch = epoch;
    for names in [&["t", "u"][..], &["t"], &["t", "u"]] {
        let request = world
            .heartbeat("g", "m", epoch)
            .with_subscribed_topic_names(topics(world, names));
        let answer = client.send(1, &request).await;
        epoch = answer.member_epoch;
        pause(300).await;
        epoch = client
            .send(1, &world.heartbeat("g", "m", epoch))
            .await
            .member_epoch;
    }
    for (step, epoch) in [
        ("one more", epoch + 1),
        ("far ahead", epoch + 100),
        ("the first", 1),
    ] {
        let request = world.heartbeat("g", "m", epoch);
        let answer = client.send(1, &request).await;
        world.record(step, &answer.with_member_epoch(0));
    }
}

/// The last epoch is taken once more, as an answer may have been lost.
async fn the_previous_epoch(world: &mut World) {
    let (mut client, epoch) = joined(world).await;
    world.make_topic("u", 1).await;
    let request = world
        .heartbeat("g", "m", epoch)
        .with_subscribed_topic_names(topics(world, &["t", "u"]));
    client.send(1, &request).await;
    let answer = client.send(1, &world.heartbeat("g", "m", epoch)).await;
    world.record("again", &answer.error_code);
}

async fn joins_again(world: &mut World) {
    let (mut client, epoch) = joined(world).await;
    let join = world
        .heartbeat("g", "m", 0)
        .with_subscribed_topic_names(topics(world, &["t"]));
    let answer = client.send(1, &join).await;
    world.record(
        "joins again",
        &answer
            .clone()
            .with_member_epoch(answer.member_epoch - epoch),
    );
    let stays = world.heartbeat("g", "m", answer.member_epoch);
    let answer = client.send(1, &stays).await;
    world.record(
        "stays",
        &answer
            .clone()
            .with_member_epoch(answer.member_epoch - epoch),
    );
}

async fn leaves_twice(world: &mut World) {
    let (mut client, _) = joined(world).await;
    for step in ["leaves", "leaves again"] {
        let request = world.heartbeat("g", "m", -1);
        beat(world, &mut client, step, request).await;
    }
    let request = world.heartbeat("g", "m", 5);
    beat(world, &mut client, "stays", request).await;
}

async fn full_group(world: &mut World) {
    let (mut client, _) = joined(world).await;
    for member in ["second", "third"] {
        let join = world
            .heartbeat("g", member, 0)
            .with_subscribed_topic_names(topics(world, &["t"]));
        let answer = client.send(1, &join).await;
        world.record(member, &answer.error_code);
    }
    let join = world
        .heartbeat("g", "fourth", 0)
        .with_subscribed_topic_names(topics(world, &["t"]));
    beat(world, &mut client, "fourth", join).await;
    let again = world
        .heartbeat("g", "m", 0)
        .with_subscribed_topic_names(topics(world, &["t"]));
    let answer = client.send(1, &again).await;
    world.record("who is in joins again", &answer.error_code);
}

/// What each member of three has in the end.
async fn assignments(world: &mut World) {
    world.make_topic("t", 4).await;
    world.make_topic("u", 1).await;
    let mut client = world.connect().await;
    let members = [("a", &["t", "u"][..]), ("b", &["t"]), ("c", &["u"])];
    for (member, names) in members {
        world.join("g", member, names, 1).await;
    }
    pause(500).await;
    for (member, names) in members {
        let join = world
            .heartbeat("g", member, 0)
            .with_subscribed_topic_names(topics(world, names));
        let answer = client.send(1, &join).await;
        let assignment = answer.assignment.unwrap_or_default();
        let count = |name: &str| {
            let mut topics = assignment.topic_partitions.iter();
            let found = topics.find(|topic| topic.topic_id == world.topic_id(name));
            found.map_or(0, |topic| topic.partitions.len())
        };
        world.record(member, &[count("t"), count("u")].to_vec());
    }
}

async fn subscription_changes(world: &mut World) {
    let (mut client, epoch) = joined(world).await;
    world.make_topic("u", 2).await;
    world.join("g", "m", &["u"], 2).await;
    let request = world
        .heartbeat("g", "m", 0)
        .with_subscribed_topic_names(topics(world, &["u"]));
    let answer = client.send(1, &request).await;
    world.record("the other topic", &answer.clone().with_member_epoch(0));
    let none = world
        .heartbeat("g", "m", answer.member_epoch)
        .with_subscribed_topic_names(Some(Vec::new()));
    let answer = client.send(1, &none).await;
    world.record("no topic any more", &answer.clone().with_member_epoch(0));
    let _ = epoch;
}

async fn missing_topic(world: &mut World) {
    let mut client = world.connect().await;
    let join = world
        .heartbeat("g", "m", 0)
        .with_subscribed_topic_names(topics(world, &["none"]));
    let answer = client.send(1, &join).await;
    world.record("joins", &answer.clone().with_member_epoch(0));
    let stays = world.heartbeat("g", "m", answer.member_epoch);
    let answer = client.send(1, &stays).await;
    world.record("stays", &answer.with_member_epoch(0));
}

async fn topic_named_twice(world: &mut World) {
    world.make_topic("t", 1).await;
    world.join("g", "m", &["t", "t"], 1).await;
    let mut client = world.connect().await;
    let join = world
        .heartbeat("g", "m", 0)
        .with_subscribed_topic_names(topics(world, &["t", "t"]));
    let answer = client.send(1, &join).await;
    world.record("joins again", &answer.with_member_epoch(0));
}

async fn session_runs_out(world: &mut World) {
    world
        .configure(
            "g",
            &[
                ("share.session.timeout.ms", "2000"),
                ("share.heartbeat.interval.ms", "500"),
            ],
        )
        .await;
    let (mut client, epoch) = joined(world).await;
    pause(4000).await;
    let stays = world.heartbeat("g", "m", epoch);
    beat(world, &mut client, "stays", stays).await;
}

async fn heartbeat_interval(world: &mut World) {
    world
        .configure("g", &[("share.heartbeat.interval.ms", "7000")])
        .await;
    let (mut client, epoch) = joined(world).await;
    let answer = client.send(1, &world.heartbeat("g", "m", epoch)).await;
    world.record("stays", &answer.with_member_epoch(0));
}
