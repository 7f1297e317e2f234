use ratel_storage::{Offset, PartitionId};
use uuid::Uuid;

use super::bench::{Bench, TOPIC, commit, commit_offset, commit_with, heartbeat, leave};
use crate::coordinator::group::{Event, Reply};
use crate::coordinator::{Machine, When};

const DAY_MS: i64 = 86_400_000;
const CHECK_MS: i64 = 600_000;

#[test]
fn a_shard_without_groups_needs_no_time() {
    let mut bench = Bench::new();
    bench.restart();
    assert_eq!(bench.machine.next_timeout(), None);
    bench.ask(commit("", -1, 5)).unwrap();
    let at_ms = bench.now.monotonic_ms + CHECK_MS;
    assert_eq!(bench.machine.next_timeout(), Some(at_ms));
}

#[test]
fn o_5_offsets_of_a_simple_group_expire_after_their_commit() {
    let mut bench = Bench::new();
    bench.ask(commit("", -1, 5)).unwrap();
    bench.advance(3 * DAY_MS);
    bench
        .ask(commit_with("", -1, 6, |commit| {
            commit.offsets = vec![commit_offset("u", 6, "")];
        }))
        .unwrap();
    bench.advance(4 * DAY_MS - CHECK_MS);
    assert_eq!(bench.committed(), Some(5));
    bench.advance(CHECK_MS);
    assert_eq!(bench.committed(), None);
    assert_eq!(bench.state(), "Empty", "u is still there");
    bench.advance(3 * DAY_MS);
    assert_eq!(bench.state(), "Dead");
    assert_eq!(bench.snapshot(), []);
}

#[test]
fn o_5_offsets_of_a_group_that_was_left_expire_after_it_became_empty() {
    let mut bench = Bench::new();
    let (first, second) = bench.stable();
    bench.ask(commit(&first, 1, 5)).unwrap();
    for _ in 0..9 * 24 {
        // An hour of life, as its heartbeats would make it.
        for _ in 0..360 {
            bench.advance(10_000 - 1);
            bench.ask(heartbeat(&first, 1)).unwrap();
            bench.ask(heartbeat(&second, 1)).unwrap();
        }
    }
    assert_eq!(bench.committed(), Some(5), "never while it is read");
    bench.send(leave(&first));
    bench.send(leave(&second));
    bench.advance(7 * DAY_MS - 1);
    assert_eq!(bench.committed(), Some(5));
    bench.advance(CHECK_MS);
    assert_eq!(bench.committed(), None);
    assert_eq!(bench.state(), "Dead", "and the group with its last offset");
}

#[test]
fn o_5_in_a_stable_group_offsets_of_unread_topics_expire() {
    let mut bench = Bench::new();
    let (first, second) = bench.stable();
    bench
        .ask(commit_with(&first, 1, 5, |commit| {
            commit.offsets.push(commit_offset("unread", 6, ""));
        }))
        .unwrap();
    let end = bench.now.wall_ms + 7 * DAY_MS + CHECK_MS;
    while bench.now.wall_ms < end {
        bench.advance(9999);
        bench.ask(heartbeat(&first, 1)).unwrap();
        bench.ask(heartbeat(&second, 1)).unwrap();
    }
    let Ok(Reply::Surveyed(groups)) = bench.ask(Event::Survey) else {
        panic!("a survey should have come");
    };
    assert_eq!(groups[0].offsets, [("t".into(), TOPIC, 0, 5)]);
}

#[test]
fn o_5_an_explicit_retention_is_kept() {
    let mut bench = Bench::new();
    bench
        .ask(commit_with("", -1, 5, |commit| {
            commit.retention_ms = Some(2 * CHECK_MS);
            commit.offsets.push(commit_offset("u", 6, ""));
        }))
        .unwrap();
    let partition = PartitionId {
        topic: TOPIC,
        index: 0,
    };
    bench.ends.ends.insert(partition, Offset::new(100));
    bench.restart();
    bench.advance(2 * CHECK_MS - 1);
    assert_eq!(bench.committed(), Some(5));
    bench.advance(1);
    assert_eq!(bench.state(), "Dead");
}

#[test]
fn o_5_an_empty_group_without_offsets_goes_at_the_next_look() {
    let mut bench = Bench::new();
    let (first, second) = bench.stable();
    bench.send(leave(&first));
    bench.send(leave(&second));
    assert_eq!(bench.state(), "Empty");
    bench.advance(CHECK_MS);
    assert_eq!(bench.state(), "Dead");
    assert_eq!(bench.snapshot(), []);
}

#[test]
fn o_10_offsets_of_a_deleted_topic_go_at_once() {
    let mut bench = Bench::new();
    let (first, _) = bench.stable();
    let other = Uuid::from_u128(0x71);
    bench
        .ask(commit_with(&first, 1, 5, |commit| {
            commit.offsets.push(commit_offset("u", 6, ""));
            commit.offsets[1].topic_id = other;
        }))
        .unwrap();
    let ticket = bench.send(Event::TopicDeleted(TOPIC));
    assert_eq!(bench.taken(ticket), (Ok(Reply::Done), When::Durable));
    assert_eq!(bench.committed(), None);
    let Ok(Reply::Surveyed(groups)) = bench.ask(Event::Survey) else {
        panic!("a survey should have come");
    };
    assert_eq!(groups[0].offsets, [("u".into(), other, 0, 6)]);
    assert_eq!(bench.state(), "Stable");
}

#[test]
fn many_offsets_go_in_rounds() {
    let mut bench = Bench::new();
    bench
        .ask(commit_with("", -1, 0, |commit| {
            commit.offsets = (0..12_000)
                .map(|partition| {
                    let mut offset = commit_offset("t", 1, "");
                    offset.partition = partition;
                    offset
                })
                .collect();
        }))
        .unwrap();
    let before = bench.log.len();
    bench.send(Event::TopicDeleted(TOPIC));
    assert_eq!(bench.log.len() - before, 5000);
    bench.advance(99);
    assert_eq!(bench.log.len() - before, 5000);
    bench.advance(1);
    assert_eq!(bench.log.len() - before, 10_000);
    bench.advance(100);
    assert_eq!(bench.log.len() - before, 12_000);
    assert_eq!(bench.state(), "Dead");
    assert_eq!(bench.snapshot(), []);
}

#[test]
fn many_expired_offsets_go_in_rounds() {
    let mut bench = Bench::new();
    for group in 0..9 {
        bench
            .ask(commit_with("", -1, 0, |commit| {
                commit.group = format!("g{group}").into();
                commit.offsets = (0..1000)
                    .map(|partition| {
                        let mut offset = commit_offset("t", 1, "");
                        offset.partition = partition;
                        offset
                    })
                    .collect();
            }))
            .unwrap();
    }
    bench.advance(7 * DAY_MS - 1);
    let before = bench.log.len();
    bench.advance(1);
    assert_eq!(bench.log.len() - before, 5000);
    bench.advance(100);
    assert_eq!(bench.log.len() - before, 9000);
    assert_eq!(bench.snapshot(), []);
}
