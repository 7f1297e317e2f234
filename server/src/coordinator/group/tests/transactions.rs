//! Offsets inside transactions (T-12, T-14, T-18, O-6).

use ratel_protocol::ErrorCode;
use ratel_storage::{Marker, Offset, Outcome as End, PartitionId, Producer, ProducerSummary};

use super::bench::{
    Bench, COMMITTED, Outcome, TOPIC, commit, commit_offset, commit_with, leave, sync_leader,
};
use crate::coordinator::When;
use crate::coordinator::group::{Commit, DeleteOffsets, Event, Fetch, Reply, TransactionCommit};

pub const ONE: Producer = Producer { id: 1, epoch: 0 };
pub const TWO: Producer = Producer { id: 2, epoch: 5 };

/// A commit inside a transaction that the coordinator just confirmed.
pub fn pending(bench: &mut Bench, producer: Producer, commit: Event) -> Outcome {
    let end = look(bench, producer).1;
    let event = transaction(producer, Some(end), commit);
    bench.ask(event)
}

fn transaction(producer: Producer, verified_at: Option<Offset>, commit: Event) -> Event {
    let Event::Commit(commit) = commit else {
        panic!("a commit is due");
    };
    Event::TransactionCommit(TransactionCommit {
        producer,
        verified_at,
        commit,
    })
}

fn look(bench: &mut Bench, producer: Producer) -> (bool, Offset) {
    match bench.ask(Event::LookAtTransaction(producer)) {
        Ok(Reply::Transaction { is_open, end }) => (is_open, end),
        other => panic!("no look: {other:?}"),
    }
}

pub fn marker(producer: Producer, outcome: End) -> Event {
    Event::Marker(Marker {
        producer,
        outcome,
        coordinator_epoch: 0,
        transaction_version: 1,
    })
}

fn stable(bench: &mut Bench) -> Result<Option<i64>, ErrorCode> {
    let fetch = Fetch {
        group: "g".into(),
        member: None,
        member_epoch: -1,
        topics: Some(vec![("t".into(), vec![0])]),
        require_stable: true,
    };
    match bench.ask(Event::Fetch(fetch)) {
        Ok(Reply::Fetched(topics)) => topics[0].partitions[0]
            .1
            .clone()
            .map(|found| found.map(|found| found.offset)),
        other => panic!("no offsets: {other:?}"),
    }
}

/// A bench on which partition 0 of `t` has records enough.
pub fn bench() -> Bench {
    let mut bench = Bench::new();
    for index in 0..2 {
        let partition = PartitionId {
            topic: TOPIC,
            index,
        };
        bench.ends.ends.insert(partition, Offset::new(1000));
    }
    bench
}

const UNSTABLE: Result<Option<i64>, ErrorCode> = Err(ErrorCode::UnstableOffsetCommit);
const OUTSIDE: fn(i64) -> Event = |offset| commit("", -1, offset);

#[test]
fn t_14_offsets_wait_for_the_marker() {
    for (end, after) in [(End::Commit, Some(9)), (End::Abort, Some(4))] {
        let mut bench = bench();
        bench.ask(OUTSIDE(4)).unwrap();
        assert_eq!(pending(&mut bench, ONE, OUTSIDE(9)), COMMITTED());
        assert_eq!(bench.committed(), Some(4), "O-6: without require_stable");
        assert_eq!(stable(&mut bench), UNSTABLE);
        bench.restart();
        assert_eq!((bench.committed(), stable(&mut bench)), (Some(4), UNSTABLE));
        let ticket = bench.send(marker(ONE, end));
        assert_eq!(bench.taken(ticket), (Ok(Reply::Done), When::Durable));
        assert_eq!((bench.committed(), stable(&mut bench)), (after, Ok(after)));
        bench.restart();
        assert_eq!((bench.committed(), stable(&mut bench)), (after, Ok(after)));
    }
}

#[test]
fn t_14_of_two_commits_the_later_one_in_the_log_counts() {
    let mut bench = bench();
    pending(&mut bench, ONE, OUTSIDE(1)).unwrap();
    pending(&mut bench, TWO, OUTSIDE(2)).unwrap();
    bench.ask(marker(TWO, End::Commit)).unwrap();
    assert_eq!(bench.committed(), Some(2));
    bench.ask(marker(ONE, End::Commit)).unwrap();
    assert_eq!(bench.committed(), Some(2), "the first one is older");
    pending(&mut bench, ONE, OUTSIDE(3)).unwrap();
    bench.ask(OUTSIDE(4)).unwrap();
    bench.ask(marker(ONE, End::Commit)).unwrap();
    assert_eq!(bench.committed(), Some(4), "a commit outside came later");
}

#[test]
fn t_14_a_snapshot_keeps_pending_offsets_and_their_order() {
    let mut bench = bench();
    pending(&mut bench, ONE, OUTSIDE(1)).unwrap();
    bench.ask(OUTSIDE(2)).unwrap();
    pending(&mut bench, TWO, OUTSIDE(3)).unwrap();
    bench.log = bench.snapshot();
    assert_eq!(bench.log.len(), 3);
    bench.restart();
    assert_eq!((bench.committed(), stable(&mut bench)), (Some(2), UNSTABLE));
    bench.ask(marker(ONE, End::Commit)).unwrap();
    assert_eq!(bench.committed(), Some(2), "older than what is committed");
    assert_eq!(stable(&mut bench), UNSTABLE);
    bench.ask(marker(TWO, End::Commit)).unwrap();
    assert_eq!(stable(&mut bench), Ok(Some(3)));
}

#[test]
fn t_14_the_rules_for_members() {
    let mut bench = bench();
    let (first, second) = (bench.join(""), bench.join_static("i", ""));
    bench.advance(6000);
    let (first, second) = (bench.joined(first).member, bench.joined(second).member);
    let mut ask = |event| pending(&mut bench, ONE, event);
    assert_eq!(ask(commit(&first, 1, 7)), COMMITTED(), "while completing");
    assert_eq!(ask(OUTSIDE(7)), COMMITTED(), "no member, no check");
    assert_eq!(ask(commit("m", 1, 7)), Err(ErrorCode::UnknownMemberId));
    assert_eq!(ask(commit("m", -1, 7)), Err(ErrorCode::UnknownMemberId));
    for generation in [-1, 0, 2] {
        let wrong = ask(commit(&first, generation, 7));
        assert_eq!(wrong, Err(ErrorCode::IllegalGeneration));
    }
    let named = |member: &str| commit_with(member, 1, 8, |it| it.instance = Some("i".into()));
    assert_eq!(ask(named(&first)), Err(ErrorCode::FencedInstanceId));
    assert_eq!(ask(named(&second)), COMMITTED());
    bench.send(sync_leader(&first, 1, &[]));
    bench.send(leave(&first));
    bench.send(leave(&second));
    let empty = pending(&mut bench, ONE, commit("m", -1, 9));
    assert_eq!(empty, COMMITTED(), "an empty group does not care who");
}

#[test]
fn t_14_a_group_that_is_not_there() {
    let mut bench = bench();
    let wrong = pending(&mut bench, ONE, commit("m", 3, 7));
    assert_eq!(wrong, Err(ErrorCode::IllegalGeneration));
    assert_eq!(bench.state(), "Dead");
    let long = |it: &mut Commit| it.offsets = vec![commit_offset("t", 1, &"x".repeat(4097))];
    let refused = pending(&mut bench, ONE, commit_with("", -1, 1, long));
    let too_large = Err(ErrorCode::OffsetMetadataTooLarge);
    assert_eq!(refused, Ok(Reply::Committed(vec![too_large])));
    assert_eq!((bench.state(), bench.log.len()), ("Dead", 0));
    assert_eq!(pending(&mut bench, ONE, OUTSIDE(7)), COMMITTED());
    assert_eq!(bench.state(), "Empty", "a pending offset makes a group");
    bench.ask(marker(ONE, End::Abort)).unwrap();
    assert_eq!(bench.state(), "Dead");
}

#[test]
fn t_14_pending_offsets_keep_offsets_and_group_alive() {
    let mut bench = bench();
    bench.ask(OUTSIDE(4)).unwrap();
    pending(&mut bench, ONE, OUTSIDE(9)).unwrap();
    let retention_ms = bench.limits.offsets_retention_ms;
    bench.advance(3 * retention_ms);
    assert_eq!(bench.committed(), Some(4));
    bench.ask(marker(ONE, End::Abort)).unwrap();
    bench.advance(bench.limits.offsets_check_interval_ms);
    assert_eq!(bench.state(), "Dead");
    pending(&mut bench, ONE, OUTSIDE(9)).unwrap();
    bench.advance(3 * retention_ms);
    assert_eq!(bench.state(), "Empty");
}

#[test]
fn o_7_tombstones_take_pending_offsets_along() {
    let delete = || {
        Event::DeleteOffsets(DeleteOffsets {
            group: "g".into(),
            offsets: vec![("t".into(), 0)],
        })
    };
    let deletions: [&dyn Fn() -> Event; 3] = [&delete, &|| Event::DeleteGroup("g".into()), &|| {
        Event::TopicDeleted(TOPIC)
    }];
    for deletion in deletions {
        for before in [None, Some(4)] {
            let mut bench = bench();
            if let Some(offset) = before {
                bench.ask(OUTSIDE(offset)).unwrap();
            }
            pending(&mut bench, ONE, OUTSIDE(9)).unwrap();
            bench.ask(deletion()).unwrap();
            assert_eq!((bench.state(), stable(&mut bench)), ("Dead", Ok(None)));
            bench.restart();
            assert_eq!(stable(&mut bench), Ok(None));
            bench.ask(marker(ONE, End::Commit)).unwrap();
            assert_eq!((bench.state(), bench.committed()), ("Dead", None));
        }
    }
}

#[test]
fn t_18_a_commit_behind_its_own_marker_is_refused() {
    let mut bench = bench();
    let (is_open, end) = look(&mut bench, ONE);
    assert!(!is_open);
    let unasked = bench.ask(transaction(ONE, None, OUTSIDE(1)));
    assert_eq!(unasked, Err(ErrorCode::InvalidTxnState));
    bench.ask(marker(TWO, End::Abort)).unwrap();
    let verified = transaction(ONE, Some(end), OUTSIDE(1));
    assert_eq!(
        bench.ask(verified),
        COMMITTED(),
        "others' ends do not matter"
    );
    assert!(look(&mut bench, ONE).0);
    assert_eq!(bench.ask(transaction(ONE, None, OUTSIDE(2))), COMMITTED());
    let end = look(&mut bench, ONE).1;
    bench.ask(marker(ONE, End::Abort)).unwrap();
    let late = transaction(ONE, Some(end), OUTSIDE(3));
    assert_eq!(bench.ask(late), Err(ErrorCode::InvalidTxnState));
    assert_eq!(bench.committed(), None);
}

#[test]
fn t_18_a_marker_that_raised_the_epoch_does_not_void_the_next_transactions_answer() {
    let next = Producer { id: 1, epoch: 1 };
    for (version, wanted) in [(2, COMMITTED()), (1, Err(ErrorCode::InvalidTxnState))] {
        let mut bench = bench();
        pending(&mut bench, ONE, OUTSIDE(1)).unwrap();
        let end = look(&mut bench, next).1;
        let marker = Marker {
            producer: next,
            outcome: End::Commit,
            coordinator_epoch: 0,
            transaction_version: version,
        };
        bench.ask(Event::Marker(marker)).unwrap();
        let verified = transaction(next, Some(end), OUTSIDE(2));
        assert_eq!(bench.ask(verified), wanted, "version {version}");
        assert_eq!(bench.committed(), Some(1));
    }
}

#[test]
fn t_18_an_answer_from_before_a_restart_is_void() {
    let mut bench = bench();
    let end = look(&mut bench, ONE).1;
    bench.ask(OUTSIDE(4)).unwrap();
    bench.restart();
    let old = transaction(ONE, Some(end), OUTSIDE(1));
    assert_eq!(bench.ask(old), Err(ErrorCode::CoordinatorLoadInProgress));
    assert_eq!(pending(&mut bench, ONE, OUTSIDE(1)), COMMITTED());
}

#[test]
fn t_12_what_the_log_would_refuse_is_refused_first() {
    let mut bench = bench();
    bench.ends.producers = vec![ProducerSummary {
        producer_id: 2,
        producer_epoch: 5,
        last_sequence: -1,
        last_timestamp_ms: 0,
        coordinator_epoch: 3,
        transaction_start: Some(Offset::new(0)),
    }];
    bench.restart();
    let fenced = Err(ErrorCode::InvalidProducerEpoch);
    let old = Producer { id: 2, epoch: 4 };
    assert_eq!(pending(&mut bench, old, OUTSIDE(1)), fenced);
    assert!(look(&mut bench, TWO).0, "the log says that it is open");
    let ended = |producer, coordinator_epoch, transaction_version| {
        Event::Marker(Marker {
            producer,
            outcome: End::Abort,
            coordinator_epoch,
            transaction_version,
        })
    };
    assert_eq!(bench.ask(ended(old, 3, 1)), fenced);
    assert_eq!(bench.ask(ended(TWO, 3, 2)), fenced, "of the one before");
    let coordinator = Err(ErrorCode::TransactionCoordinatorFenced);
    assert_eq!(bench.ask(ended(TWO, 2, 1)), coordinator);
    let next = Producer { id: 2, epoch: 6 };
    assert_eq!(bench.ask(ended(next, 3, 2)), Ok(Reply::Done));
    assert_eq!(bench.ask(ended(next, 3, 2)), Ok(Reply::Done), "again");
    assert_eq!(pending(&mut bench, TWO, OUTSIDE(1)), fenced);
}

#[test]
fn dc7_pending_offsets_are_cut_and_keep_their_order() {
    let mut bench = bench();
    pending(&mut bench, ONE, OUTSIDE(90)).unwrap();
    bench.ask(OUTSIDE(80)).unwrap();
    pending(&mut bench, TWO, OUTSIDE(3)).unwrap();
    let partition = PartitionId {
        topic: TOPIC,
        index: 0,
    };
    bench.ends.ends.insert(partition, Offset::new(10));
    bench.restart();
    assert_eq!(
        (bench.committed(), stable(&mut bench)),
        (Some(10), UNSTABLE)
    );
    bench.ask(marker(ONE, End::Commit)).unwrap();
    assert_eq!(bench.committed(), Some(10));
    bench.ask(marker(TWO, End::Commit)).unwrap();
    assert_eq!(bench.committed(), Some(3), "the newest still counts");
    pending(&mut bench, ONE, OUTSIDE(70)).unwrap();
    bench.restart();
    bench.ask(marker(ONE, End::Commit)).unwrap();
    assert_eq!(bench.committed(), Some(10));
}
