use ratel_protocol::ErrorCode;
use ratel_storage::{Offset, PartitionId, TopicId};
use uuid::Uuid;

use super::bench::{
    Bench, COMMITTED, TOPIC, commit, commit_offset, commit_with, heartbeat, leave, sync,
    sync_leader,
};
use crate::coordinator::group::{Record, Reply};

fn ends(bench: &mut Bench, topic: TopicId, end: i64) {
    let partition = PartitionId { topic, index: 0 };
    bench.ends.ends.insert(partition, Offset::new(end));
}

#[test]
fn g_14_a_restart_is_no_rebalance() {
    let mut bench = Bench::new();
    ends(&mut bench, TOPIC, 100);
    let (first, second) = bench.stable();
    bench.ask(commit(&first, 1, 7)).unwrap();
    let before = bench.snapshot();
    bench.advance(9000);
    bench.restart();
    assert_eq!(bench.snapshot(), before);
    assert_eq!(bench.state(), "Stable");
    assert_eq!(bench.ask(heartbeat(&first, 1)), Ok(Reply::Done));
    assert_eq!(bench.ask(heartbeat(&second, 1)), Ok(Reply::Done));
    assert_eq!(bench.ask(commit(&second, 1, 8)), COMMITTED());
    let ticket = bench.send(sync(&second, 1));
    assert_eq!(bench.synced(ticket).assignment, "2");
    let ticket = bench.join(&second);
    let joined = bench.joined(ticket);
    assert_eq!((joined.generation, joined.leader), (1, first));
    assert_eq!(bench.state(), "Stable");
}

#[test]
fn g_14_sessions_begin_anew() {
    let mut bench = Bench::new();
    let (first, _) = bench.stable();
    bench.advance(9000);
    bench.restart();
    bench.advance(9999);
    assert_eq!(bench.ask(heartbeat(&first, 1)), Ok(Reply::Done));
    assert_eq!(bench.state(), "Stable");
    bench.advance(1);
    assert_eq!(
        bench.state(),
        "PreparingRebalance",
        "the other one was silent"
    );
}

#[test]
fn g_14_a_group_caught_while_joining_comes_back_at_its_last_generation() {
    let mut bench = Bench::new();
    let (first, second) = bench.stable();
    bench.join("");
    bench.join(&first);
    assert_eq!(bench.state(), "PreparingRebalance");
    bench.restart();
    assert_eq!(bench.state(), "Stable");
    assert_eq!(bench.ask(heartbeat(&second, 1)), Ok(Reply::Done));
    let again = bench.join(&first);
    assert_eq!(
        bench.state(),
        "PreparingRebalance",
        "the leader still wants one"
    );
    bench.join(&second);
    assert_eq!(bench.joined(again).generation, 2);
}

#[test]
fn g_14_a_group_caught_while_completing_comes_back_at_its_last_generation() {
    let mut bench = Bench::new();
    let (first, second) = bench.stable();
    let (leader, follower) = (bench.join(&first), bench.join(&second));
    assert_eq!(bench.joined(leader).generation, 2);
    assert_eq!(bench.joined(follower).generation, 2);
    bench.restart();
    assert_eq!(bench.state(), "Stable");
    let illegal = Err(ErrorCode::IllegalGeneration);
    assert_eq!(bench.ask(heartbeat(&first, 2)), illegal);
    assert_eq!(bench.ask(sync_leader(&first, 2, &[])), illegal);
    assert_eq!(bench.ask(heartbeat(&first, 1)), Ok(Reply::Done));
}

#[test]
fn g_14_a_new_group_caught_while_joining_was_never_there() {
    let mut bench = Bench::new();
    let ticket = bench.join("");
    bench.advance(3000);
    let first = bench.joined(ticket).member;
    bench.restart();
    assert_eq!(bench.state(), "Dead");
    let again = bench.join(&first);
    assert_eq!(bench.take(again), Some(Err(ErrorCode::UnknownMemberId)));
}

#[test]
fn g_14_an_empty_group_comes_back_empty() {
    let mut bench = Bench::new();
    let (first, second) = bench.stable();
    bench.send(leave(&first));
    bench.send(leave(&second));
    bench.restart();
    assert_eq!(bench.state(), "Empty");
    let ticket = bench.join("");
    bench.advance(3000);
    assert_eq!(bench.joined(ticket).generation, 3, "generations go on");
}

#[test]
fn g_14_a_static_member_comes_back_after_a_restart_without_a_rebalance() {
    let mut bench = Bench::new();
    let (first, second) = (bench.join_static("a", ""), bench.join_static("b", ""));
    let (_, second) = bench.settle_group(first, second);
    bench.restart();
    let ticket = bench.join_static("b", "");
    let joined = bench.joined(ticket);
    assert_eq!(joined.generation, 1);
    assert_ne!(joined.member, second);
    assert_eq!(bench.state(), "Stable");
    bench.restart();
    let ticket = bench.send(sync(&joined.member, 1));
    assert_eq!(
        bench.synced(ticket).assignment,
        "2",
        "the new id was durable"
    );
    assert_eq!(
        bench.ask(heartbeat(&second, 1)),
        Err(ErrorCode::UnknownMemberId)
    );
}

#[test]
fn g_13_a_group_that_is_too_large_after_a_restart_rebalances() {
    let mut bench = Bench::new();
    let (first, second) = bench.stable();
    bench.limits.members_max = 1;
    bench.restart();
    assert_eq!(bench.state(), "PreparingRebalance");
    assert_eq!(
        bench.ask(commit(&second, 1, 5)),
        COMMITTED(),
        "a chance to commit"
    );
    let stays = bench.join(&first);
    let goes = bench.join(&second);
    assert_eq!(bench.take(goes), Some(Err(ErrorCode::GroupMaxSizeReached)));
    assert_eq!(bench.joined(stays).members.len(), 1);
}

#[test]
fn dc7_an_offset_past_the_end_of_its_log_is_cut_to_it_durably() {
    let mut bench = Bench::new();
    bench
        .ask(commit_with("", -1, 10, |commit| {
            commit.offsets[0].metadata = "note".into();
            commit.offsets.push(commit_offset("u", 10, ""));
        }))
        .unwrap();
    ends(&mut bench, TOPIC, 9);
    bench.restart();
    assert_eq!(bench.committed(), Some(9));
    let Some(Record::Offset {
        value: Some(cut), ..
    }) = bench.log.get(2)
    else {
        panic!("the cut should be written down");
    };
    assert_eq!((cut.offset, &*cut.metadata), (9, "note"));
    assert_eq!(bench.log.len(), 4);
    ends(&mut bench, TOPIC, 50);
    bench.restart();
    assert_eq!(
        bench.committed(),
        Some(9),
        "also after the log has grown again"
    );
    assert_eq!(bench.log.len(), 4);
}

#[test]
fn dc7_an_offset_at_the_end_of_its_log_stays() {
    let mut bench = Bench::new();
    bench.ask(commit("", -1, 9)).unwrap();
    ends(&mut bench, TOPIC, 9);
    bench.restart();
    assert_eq!((bench.committed(), bench.log.len()), (Some(9), 1));
}

#[test]
fn o_10_offsets_of_a_topic_that_is_gone_are_dropped_at_load() {
    let mut bench = Bench::new();
    let recreated = Uuid::from_u128(0x71);
    bench.ask(commit("", -1, 5)).unwrap();
    bench
        .ask(commit_with("", -1, 0, |commit| {
            commit.offsets = vec![commit_offset("other", 6, "")];
            commit.offsets[0].topic_id = Uuid::from_u128(0x72);
        }))
        .unwrap();
    ends(&mut bench, recreated, 100);
    ends(&mut bench, Uuid::from_u128(0x72), 100);
    bench.restart();
    bench.advance(0);
    assert_eq!(bench.committed(), None, "a recreated name does not inherit");
    assert_eq!(bench.snapshot().len(), 1, "the other topic's offset stays");
    assert_eq!(bench.log.len(), 3);
}

#[test]
fn o_10_a_partition_that_is_not_known_is_no_deleted_topic() {
    let mut bench = Bench::new();
    bench.ask(commit("", -1, 5)).unwrap();
    let other = PartitionId {
        topic: TOPIC,
        index: 1,
    };
    bench.ends.ends.insert(other, Offset::new(3));
    bench.restart();
    bench.advance(0);
    assert_eq!(bench.committed(), Some(5));
}
