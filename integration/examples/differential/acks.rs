//! What a member says of its records, by a fetch and by itself: which words a server takes.

use ratel_protocol::messages::ShareAcknowledgeRequest;
use ratel_protocol::messages::share_acknowledge_request::AcknowledgementBatch;

use crate::worker::{Worker, ack, acknowledged, wanted};
use crate::world::{Carrier, Family, Scenario, World, pause, scenarios};

pub fn families() -> Vec<Family> {
    let family = |name, carrier, scenarios| Family {
        name,
        versions: 1..=2,
        carrier,
        scenarios,
    };
    vec![
        family("acks_by_fetch", Carrier::Fetch, either()),
        family("acks_alone", Carrier::Acknowledge, either()),
        family("share_acknowledge", Carrier::Acknowledge, alone()),
    ]
}

/// With either carrier.
fn either() -> Vec<Scenario> {
    scenarios![
        since 2: renew,
        since 2: renew_of_what_is_done,
        since 2: renew_without_the_flag,
        since 2: flag_without_renew,
        since 2: renew_disabled,
        ;
        accepted,
        first_above_last,
        one_below_zero,
        overlapping,
        descending,
        types_of_wrong_length,
        unknown_types,
        one_bad_batch_of_two,
        never_acquired,
        partly_acquired,
        of_another_member,
        already_acknowledged,
        already_released,
        below_the_start,
        gaps,
        after_the_lock_ran_out,
        far_away,
        no_batches,
        many_types,
        rejected,
        nothing_acquired_yet,
    ]
}

fn alone() -> Vec<Scenario> {
    scenarios![
        ;
        epochs,
        no_session,
        strange_ids,
        unknown_topics_and_partitions,
        nothing_said,
        closing,
        named_twice,
    ]
}

/// One member with ten records, and its words in turn.
async fn say(world: &mut World, words: &[(&str, &[AcknowledgementBatch])]) -> Worker {
    let mut worker = Worker::with_records(world, &[10]).await;
    worker.open(world).await;
    for (step, acks) in words {
        worker.acknowledge(world, step, acks).await;
    }
    worker
}

/// Which records are still to be had: those that nothing was said of come when the session ends.
async fn what_is_left(world: &mut World, mut worker: Worker) {
    worker.close(world, "close").await;
    pause(200).await;
    let topics = vec![wanted(world, "t", &[0])];
    let change = |request: ratel_protocol::messages::ShareFetchRequest| {
        request.with_max_wait_ms(500).with_topics(topics)
    };
    worker.fetch(world, "what is left", change).await;
}

async fn accepted(world: &mut World) {
    let worker = say(
        world,
        &[
            ("first ones", &[ack(0, 2, &[1])]),
            ("last ones", &[ack(8, 9, &[1])]),
            (
                "one by one",
                &[ack(3, 3, &[1]), ack(4, 4, &[1]), ack(6, 6, &[1])],
            ),
        ],
    )
    .await;
    what_is_left(world, worker).await;
}

async fn first_above_last(world: &mut World) {
    let worker = say(
        world,
        &[
            ("five to four", &[ack(5, 4, &[1])]),
            ("all negative", &[ack(-5, -4, &[1])]),
            ("no types", &[ack(5, 4, &[])]),
        ],
    )
    .await;
    what_is_left(world, worker).await;
}

async fn one_below_zero(world: &mut World) {
    say(
        world,
        &[
            ("over it", &[ack(-1, 4, &[1])]),
            ("alone", &[ack(-1, -1, &[1])]),
        ],
    )
    .await;
}

async fn overlapping(world: &mut World) {
    let worker = say(
        world,
        &[
            ("by one", &[ack(0, 4, &[1]), ack(4, 6, &[1])]),
            ("the same", &[ack(0, 4, &[1]), ack(0, 4, &[1])]),
            ("inside", &[ack(0, 9, &[1]), ack(2, 3, &[2])]),
        ],
    )
    .await;
    what_is_left(world, worker).await;
}

async fn descending(world: &mut World) {
    let worker = say(
        world,
        &[("late first", &[ack(5, 9, &[1]), ack(0, 4, &[1])])],
    )
    .await;
    what_is_left(world, worker).await;
}

async fn types_of_wrong_length(world: &mut World) {
    let worker = say(
        world,
        &[
            ("none", &[ack(0, 4, &[])]),
            ("two of five", &[ack(0, 4, &[1, 1])]),
            ("six of five", &[ack(0, 4, &[1; 6])]),
            ("five of five", &[ack(0, 4, &[1; 5])]),
        ],
    )
    .await;
    what_is_left(world, worker).await;
}

async fn unknown_types(world: &mut World) {
    let worker = say(
        world,
        &[
            ("5", &[ack(0, 4, &[5])]),
            ("-1", &[ack(0, 4, &[-1])]),
            ("127", &[ack(0, 4, &[127])]),
            ("4", &[ack(0, 4, &[4])]),
            ("one of five", &[ack(0, 4, &[1, 1, 5, 1, 1])]),
        ],
    )
    .await;
    what_is_left(world, worker).await;
}

async fn one_bad_batch_of_two(world: &mut World) {
    let worker = say(
        world,
        &[
            ("bad type", &[ack(0, 1, &[1]), ack(2, 3, &[5])]),
            ("not acquired", &[ack(0, 1, &[1]), ack(20, 21, &[1])]),
            ("good", &[ack(4, 5, &[1]), ack(6, 7, &[2])]),
            ("done before", &[ack(2, 3, &[1]), ack(4, 5, &[1])]),
        ],
    )
    .await;
    what_is_left(world, worker).await;
}

async fn never_acquired(world: &mut World) {
    let worker = say(
        world,
        &[
            ("right behind", &[ack(10, 10, &[1])]),
            ("far behind", &[ack(1000, 1001, &[1])]),
        ],
    )
    .await;
    world.produce("t", 0, 5).await;
    let mut worker = worker;
    worker
        .acknowledge(world, "in the log", &[ack(10, 14, &[1])])
        .await;
    what_is_left(world, worker).await;
}

async fn partly_acquired(world: &mut World) {
    let worker = say(world, &[("over the end", &[ack(8, 12, &[1])])]).await;
    what_is_left(world, worker).await;
}

async fn of_another_member(world: &mut World) {
    let mut worker = Worker::with_records(world, &[10, 10]).await;
    let topics = vec![wanted(world, "t", &[0])];
    let ten = |request: ratel_protocol::messages::ShareFetchRequest| {
        request.with_max_records(10).with_topics(topics)
    };
    worker.fetch(world, "first", ten).await;
    let mut other = Worker::stranger(world, "other").await;
    other.open(world).await;
    other
        .acknowledge(world, "not mine", &[ack(0, 9, &[1])])
        .await;
    other
        .acknowledge(world, "partly mine", &[ack(8, 12, &[1])])
        .await;
    other
        .acknowledge(
            world,
            "not mine and mine",
            &[ack(8, 9, &[1]), ack(10, 12, &[1])],
        )
        .await;
    worker.acknowledge(world, "mine", &[ack(0, 9, &[1])]).await;
    other
        .acknowledge(world, "mine too", &[ack(10, 19, &[1])])
        .await;
    other.acknowledge(world, "all", &[ack(0, 19, &[1])]).await;
}

async fn already_acknowledged(world: &mut World) {
    let worker = say(
        world,
        &[
            ("accept", &[ack(5, 6, &[1])]),
            ("accept again", &[ack(5, 6, &[1])]),
            ("release", &[ack(5, 6, &[2])]),
            ("reject", &[ack(5, 5, &[3])]),
            ("partly", &[ack(4, 5, &[1])]),
            ("gap", &[ack(5, 5, &[0])]),
        ],
    )
    .await;
    what_is_left(world, worker).await;
}

async fn already_released(world: &mut World) {
    let worker = say(
        world,
        &[
            ("release", &[ack(5, 6, &[2])]),
            ("release again", &[ack(5, 6, &[2])]),
            ("accept", &[ack(5, 6, &[1])]),
            ("with others", &[ack(0, 9, &[1])]),
            ("with others by type", &[ack(0, 9, &[1; 10])]),
            ("release all", &[ack(0, 4, &[2]), ack(7, 9, &[2])]),
            ("accept the first", &[ack(0, 0, &[1])]),
        ],
    )
    .await;
    what_is_left(world, worker).await;
}

async fn below_the_start(world: &mut World) {
    let worker = say(
        world,
        &[
            ("first five", &[ack(0, 4, &[1])]),
            ("again", &[ack(0, 4, &[1])]),
            ("again otherwise", &[ack(0, 4, &[3])]),
            ("over the start", &[ack(3, 6, &[1])]),
            ("by type", &[ack(2, 7, &[1; 6])]),
            ("two batches", &[ack(0, 2, &[1]), ack(8, 8, &[1])]),
            ("the rest", &[ack(9, 9, &[1])]),
            ("all again", &[ack(0, 9, &[1])]),
        ],
    )
    .await;
    what_is_left(world, worker).await;
}

async fn gaps(world: &mut World) {
    let worker = say(
        world,
        &[
            ("records as gaps", &[ack(0, 3, &[0])]),
            ("one gap between", &[ack(4, 6, &[1, 0, 1])]),
            ("a gap again", &[ack(5, 5, &[0])]),
        ],
    )
    .await;
    what_is_left(world, worker).await;
}

async fn after_the_lock_ran_out(world: &mut World) {
    let short = [("share.record.lock.duration.ms", "1000")];
    let mut worker = Worker::configured(world, &[10], &short).await;
    worker.open(world).await;
    pause(2000).await;
    for (step, kind) in [("accept", 1), ("release", 2), ("reject", 3), ("gap", 0)] {
        worker.acknowledge(world, step, &[ack(0, 9, &[kind])]).await;
    }
    let mut other = Worker::stranger(world, "other").await;
    other.open(world).await;
    worker
        .acknowledge(world, "after another got them", &[ack(0, 9, &[1])])
        .await;
    other
        .acknowledge(world, "the other", &[ack(0, 9, &[1])])
        .await;
}

async fn far_away(world: &mut World) {
    let worker = say(
        world,
        &[
            ("the largest", &[ack(i64::MAX, i64::MAX, &[1])]),
            ("up to the largest", &[ack(0, i64::MAX, &[1])]),
            ("the smallest", &[ack(i64::MIN, i64::MIN, &[1])]),
            ("all there are", &[ack(i64::MIN, i64::MAX, &[1])]),
        ],
    )
    .await;
    what_is_left(world, worker).await;
}

async fn no_batches(world: &mut World) {
    say(world, &[("none", &[]), ("none again", &[])]).await;
}

async fn many_types(world: &mut World) {
    let worker = say(
        world,
        &[
            ("each its own", &[ack(0, 4, &[1, 2, 3, 0, 1])]),
            ("two batches", &[ack(5, 6, &[2, 1]), ack(8, 9, &[1, 2])]),
        ],
    )
    .await;
    what_is_left(world, worker).await;
}

async fn rejected(world: &mut World) {
    let worker = say(
        world,
        &[
            ("some", &[ack(2, 5, &[3])]),
            ("again", &[ack(2, 5, &[3])]),
            ("accepted now", &[ack(2, 5, &[1])]),
        ],
    )
    .await;
    what_is_left(world, worker).await;
}

/// A session whose partition has given nothing yet.
async fn nothing_acquired_yet(world: &mut World) {
    let mut worker = Worker::with_records(world, &[]).await;
    let topics = vec![wanted(world, "t", &[0])];
    let change = |request: ratel_protocol::messages::ShareFetchRequest| {
        request.with_max_wait_ms(300).with_topics(topics)
    };
    worker.fetch(world, "open", change).await;
    worker
        .acknowledge(world, "empty log", &[ack(0, 0, &[1])])
        .await;
    worker
        .acknowledge(world, "negative", &[ack(-2, -1, &[1])])
        .await;
}

async fn renew(world: &mut World) {
    let short = [("share.record.lock.duration.ms", "1500")];
    let mut worker = Worker::configured(world, &[10], &short).await;
    worker.open(world).await;
    for step in ["once", "twice", "three times"] {
        pause(1000).await;
        worker
            .acknowledge_as(world, step, &[ack(0, 9, &[4])], true)
            .await;
    }
    let mixed = [ack(0, 4, &[1]), ack(5, 9, &[4])];
    worker
        .acknowledge_as(world, "accept and renew", &mixed, true)
        .await;
    pause(1000).await;
    worker
        .acknowledge(world, "the rest", &[ack(5, 9, &[1])])
        .await;
    what_is_left(world, worker).await;
}

async fn renew_of_what_is_done(world: &mut World) {
    let mut worker = say(world, &[("accept", &[ack(5, 9, &[1])])]).await;
    worker
        .acknowledge_as(world, "renew it", &[ack(5, 9, &[4])], true)
        .await;
    worker
        .acknowledge_as(world, "renew all", &[ack(0, 9, &[4])], true)
        .await;
    worker
        .acknowledge_as(world, "never acquired", &[ack(10, 19, &[4])], true)
        .await;
    what_is_left(world, worker).await;
}

async fn renew_without_the_flag(world: &mut World) {
    let worker = say(
        world,
        &[
            ("all", &[ack(0, 9, &[4])]),
            ("one of two", &[ack(0, 4, &[1]), ack(5, 9, &[4])]),
        ],
    )
    .await;
    what_is_left(world, worker).await;
}

async fn flag_without_renew(world: &mut World) {
    let mut worker = say(world, &[]).await;
    worker
        .acknowledge_as(world, "accept", &[ack(0, 9, &[1])], true)
        .await;
    worker.acknowledge_as(world, "nothing", &[], true).await;
}

async fn renew_disabled(world: &mut World) {
    let off = [("share.renew.acknowledge.enable", "false")];
    let mut worker = Worker::configured(world, &[10], &off).await;
    worker.open(world).await;
    worker
        .acknowledge_as(world, "renew", &[ack(0, 9, &[4])], true)
        .await;
    let mixed = [ack(0, 4, &[1]), ack(5, 9, &[4])];
    worker
        .acknowledge_as(world, "accept and renew", &mixed, true)
        .await;
    what_is_left(world, worker).await;
}

fn of_t(world: &World) -> ShareAcknowledgeRequest {
    ShareAcknowledgeRequest::default().with_topics(vec![acknowledged(
        world,
        "t",
        0,
        &[ack(0, 0, &[1])],
    )])
}

async fn epochs(world: &mut World) {
    let mut worker = say(world, &[]).await;
    for epoch in [2, i32::MAX, -2, i32::MIN] {
        let request = of_t(world).with_share_session_epoch(epoch);
        worker
            .send_acknowledge(world, &format!("epoch {epoch}"), request)
            .await;
    }
    worker.epoch = 0;
    worker.send_acknowledge(world, "epoch 0", of_t(world)).await;
    worker.epoch = 1;
    worker.send_acknowledge(world, "right", of_t(world)).await;
    worker.epoch = 1;
    worker
        .send_acknowledge(world, "repeated", of_t(world))
        .await;
    worker.epoch = 2;
    worker.more(world, "a fetch goes on").await;
    worker
        .send_acknowledge(world, "and an ack", of_t(world))
        .await;
}

async fn no_session(world: &mut World) {
    let mut worker = Worker::with_records(world, &[10]).await;
    for epoch in [0, 1, -1, -2] {
        worker.epoch = 0;
        let request = of_t(world).with_share_session_epoch(epoch);
        worker
            .send_acknowledge(world, &format!("epoch {epoch}"), request)
            .await;
    }
}

async fn strange_ids(world: &mut World) {
    let mut worker = say(world, &[]).await;
    let version = world.version;
    let long = "m".repeat(37);
    for (name, member) in [
        ("empty", Some("")),
        ("null", None),
        ("long", Some(&*long)),
        ("other", Some("other")),
    ] {
        let request = of_t(world)
            .with_group_id(Some(world.group("g")))
            .with_member_id(member.map(|member| member.to_owned().into()))
            .with_share_session_epoch(1);
        world
            .send(
                &mut worker.client,
                &format!("{name} member"),
                version,
                &request,
            )
            .await;
    }
    let request = of_t(world)
        .with_group_id(Some(world.group("none")))
        .with_member_id(Some("m".into()))
        .with_share_session_epoch(1);
    world
        .send(&mut worker.client, "unknown group", version, &request)
        .await;
}

async fn unknown_topics_and_partitions(world: &mut World) {
    let mut worker = say(world, &[]).await;
    let one = [ack(0, 0, &[1])];
    for (step, topic, partition) in [
        ("partition 1", "t", 1),
        ("partition -1", "t", -1),
        ("unknown topic", "missing", 0),
    ] {
        let request = ShareAcknowledgeRequest::default()
            .with_topics(vec![acknowledged(world, topic, partition, &one)]);
        worker.send_acknowledge(world, step, request).await;
    }
    let request = ShareAcknowledgeRequest::default().with_topics(vec![
        acknowledged(world, "missing", 0, &one),
        acknowledged(world, "t", 0, &one),
        acknowledged(world, "t", 5, &one),
    ]);
    worker
        .send_acknowledge(world, "a known one among them", request)
        .await;
    let request = ShareAcknowledgeRequest::default().with_topics(vec![acknowledged(
        world,
        "missing",
        0,
        &[ack(1, 0, &[1])],
    )]);
    worker
        .send_acknowledge(world, "unknown topic and bad batch", request)
        .await;
}

async fn nothing_said(world: &mut World) {
    let mut worker = say(world, &[]).await;
    worker
        .send_acknowledge(world, "no topics", ShareAcknowledgeRequest::default())
        .await;
    let mut empty = acknowledged(world, "t", 0, &[]);
    empty.partitions.clear();
    let request = ShareAcknowledgeRequest::default().with_topics(vec![empty]);
    worker
        .send_acknowledge(world, "no partitions", request)
        .await;
    let request = ShareAcknowledgeRequest::default().with_topics(vec![
        acknowledged(world, "t", 0, &[]),
        acknowledged(world, "missing", 0, &[]),
    ]);
    worker.send_acknowledge(world, "no batches", request).await;
    worker
        .send_acknowledge(world, "the epoch has gone on", of_t(world))
        .await;
}

async fn closing(world: &mut World) {
    let mut worker = say(world, &[]).await;
    let close = |world: &World| of_t(world).with_share_session_epoch(-1);
    worker.send_acknowledge(world, "close", close(world)).await;
    worker
        .send_acknowledge(world, "close again", close(world))
        .await;
    pause(200).await;
    worker.open(world).await;
    let request = ShareAcknowledgeRequest::default().with_share_session_epoch(-1);
    worker
        .send_acknowledge(world, "close without a word", request)
        .await;
    pause(200).await;
    worker.open(world).await;
    let bad = ShareAcknowledgeRequest::default()
        .with_topics(vec![acknowledged(world, "t", 0, &[ack(1, 0, &[1])])])
        .with_share_session_epoch(-1);
    worker
        .send_acknowledge(world, "close with a bad batch", bad)
        .await;
    pause(200).await;
    worker.open(world).await;
}

async fn named_twice(world: &mut World) {
    let mut worker = say(world, &[]).await;
    let request = ShareAcknowledgeRequest::default().with_topics(vec![
        acknowledged(world, "t", 0, &[ack(0, 1, &[1])]),
        acknowledged(world, "t", 0, &[ack(2, 3, &[1])]),
    ]);
    worker.send_acknowledge(world, "the topic", request).await;
    let mut twice = acknowledged(world, "t", 0, &[ack(4, 5, &[1])]);
    twice
        .partitions
        .extend(acknowledged(world, "t", 0, &[ack(6, 7, &[1])]).partitions);
    let request = ShareAcknowledgeRequest::default().with_topics(vec![twice]);
    worker
        .send_acknowledge(world, "the partition", request)
        .await;
    what_is_left(world, worker).await;
}
