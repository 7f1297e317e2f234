use ratel_protocol::ErrorCode;

use super::bench::{Bench, part, producer};
use crate::coordinator::When;
use crate::coordinator::txn::{EPOCH_MAX, End, Event, Init, ProducerId, Reply, Status};

const CONCURRENT: ErrorCode = ErrorCode::ConcurrentTransactions;
const FENCED: ErrorCode = ErrorCode::ProducerFenced;
const INVALID: ErrorCode = ErrorCode::InvalidTxnState;

/// A bench whose `t` stands here, and its producer's epoch as the machine knows it.
fn standing(status: Status, version: i16) -> (Bench, ProducerId) {
    let mut bench = Bench::new();
    let mut me = bench.init("t").unwrap();
    if status == Status::Empty {
        return (bench, me);
    }
    bench.add("t", me, &[part("a", 0)], version).unwrap();
    if status == Status::Ongoing {
        return (bench, me);
    }
    let commit = matches!(status, Status::PrepareCommit | Status::CompleteCommit);
    me = bench.end("t", me, commit, version).unwrap();
    if status.ended().is_some() {
        bench.write_markers();
    }
    assert_eq!(bench.status("t"), status);
    (bench, me)
}

#[test]
fn t_8_the_table_without_epochs() {
    let table = [
        (Status::Empty, Err(INVALID), Err(INVALID)),
        (Status::Ongoing, Ok(()), Ok(())),
        (Status::PrepareCommit, Err(CONCURRENT), Err(CONCURRENT)),
        (Status::PrepareAbort, Err(CONCURRENT), Err(CONCURRENT)),
        (Status::CompleteCommit, Err(INVALID), Ok(())),
        (Status::CompleteAbort, Ok(()), Err(INVALID)),
    ];
    for (status, abort, commit) in table {
        for (commits, wanted) in [(false, abort), (true, commit)] {
            let (mut bench, me) = standing(status, 0);
            let outcome = bench.end("t", me, commits, 0);
            assert_eq!(outcome.map(|_| ()), wanted, "{status:?}, commit {commits}");
            for other in [me.epoch - 1, me.epoch + 1] {
                let (mut bench, me) = standing(status, 0);
                let outcome = bench.end("t", producer(me.id, other), commits, 0);
                assert_eq!(outcome, Err(FENCED), "{status:?}, epoch {other}");
            }
        }
    }
}

/// What a request leads to: nothing new, a raised epoch, or a refusal.
#[derive(Debug, PartialEq, Clone, Copy)]
enum Then {
    Same,
    Raised,
    No(ErrorCode),
}
use Then::{No, Raised, Same};

#[test]
fn t_9_the_table_with_epochs() {
    // Abort with the epoch before and the current one, then commit with these.
    let table = [
        (Status::Empty, [No(FENCED), Raised, No(FENCED), No(INVALID)]),
        (Status::Ongoing, [No(FENCED), Raised, No(FENCED), Raised]),
        (Status::PrepareCommit, [No(CONCURRENT); 4]),
        (Status::PrepareAbort, [No(CONCURRENT); 4]),
        (
            Status::CompleteCommit,
            [No(INVALID), Raised, Same, No(INVALID)],
        ),
        (
            Status::CompleteAbort,
            [Same, Raised, No(INVALID), No(INVALID)],
        ),
    ];
    for (status, row) in table {
        for (place, wanted) in row.into_iter().enumerate() {
            let (mut bench, me) = standing(status, 2);
            let (commit, is_current) = (place >= 2, place % 2 == 1);
            let epoch = me.epoch - i16::from(!is_current);
            let found = match bench.end("t", producer(me.id, epoch), commit, 2) {
                Ok(answer) if answer == me => Same,
                Ok(answer) if answer == producer(me.id, me.epoch + 1) => Raised,
                Ok(other) => panic!("{other:?}"),
                Err(code) => No(code),
            };
            assert_eq!(
                found, wanted,
                "{status:?}, commit {commit}, current {is_current}"
            );
        }
        let (mut bench, me) = standing(status, 2);
        let unless_preparing = |code| match status.preparing() {
            Some(_) => Err(CONCURRENT),
            None => Err(code),
        };
        let ahead = bench.end("t", producer(me.id, me.epoch + 1), false, 2);
        assert_eq!(ahead, unless_preparing(FENCED), "{status:?}");
        let other = bench.end("t", producer(99, me.epoch), false, 2);
        let unknown = ErrorCode::InvalidProducerIdMapping;
        assert_eq!(other, unless_preparing(unknown), "{status:?}");
    }
}

/// franz-go ends a transaction in which no batch was taken, and does so at once: it was told that
/// another producer had taken its place.
#[test]
fn t_9_the_next_transaction_may_end_before_the_markers_of_the_last_are_written() {
    let (mut bench, me) = standing(Status::PrepareCommit, 2);
    assert_eq!(bench.end("t", me, false, 2), Err(CONCURRENT));
    bench.write_markers();
    assert_eq!(
        bench.end("t", me, false, 2),
        Ok(producer(me.id, me.epoch + 1))
    );
}

#[test]
fn t_10_it_is_answered_once_prepare_is_durable_and_markers_follow() {
    for (version, marker) in [(0, 0), (2, 1)] {
        let mut bench = Bench::new();
        let me = bench.init("t").unwrap();
        bench
            .add("t", me, &[part("a", 0), part("b", 1)], version)
            .unwrap();
        let event = End {
            id: "t".into(),
            producer: me,
            commit: true,
            client_version: version,
            fresh_id: None,
        };
        let (outcome, when) = bench.ask_when(Event::End(event)).unwrap();
        assert_eq!(when, When::Durable);
        assert_eq!(outcome, Ok(Reply::Producer(producer(me.id, marker))));
        assert_eq!(bench.status("t"), Status::PrepareCommit);
        let markers = bench.write_markers();
        assert_eq!(markers.len(), 1);
        assert_eq!(markers[0].producer, producer(me.id, marker));
        assert_eq!((markers[0].commit, markers[0].version), (true, version));
        assert_eq!(markers[0].partitions.len(), 2);
        let known = bench.known("t");
        assert_eq!(
            (known.status, known.partition_count()),
            (Status::CompleteCommit, 0)
        );
    }
}

#[test]
fn t_9_an_abort_of_nothing_needs_no_marker() {
    let (mut bench, me) = standing(Status::Empty, 2);
    assert_eq!(bench.end("t", me, false, 2), Ok(producer(me.id, 1)));
    assert_eq!(bench.markers(), []);
    assert_eq!(bench.status("t"), Status::CompleteAbort);
    // Lost and asked again.
    assert_eq!(bench.end("t", me, false, 2), Ok(producer(me.id, 1)));
}

#[test]
fn t_9_a_producer_that_ran_out_of_epochs_gets_a_new_id() {
    let mut bench = Bench::new();
    for _ in 0..=EPOCH_MAX {
        bench.init("t").unwrap();
    }
    let last = producer(100, EPOCH_MAX);
    bench.add("t", last, &[part("a", 0)], 2).unwrap();
    let next = bench.end("t", last, true, 2);
    assert_eq!(next, Ok(producer(101, 0)));
    assert_eq!(bench.end("t", last, true, 2), Err(CONCURRENT));
    let next = next.unwrap();
    // The new one may be at work before the markers of the old are written.
    let event = bench.add_event("t", next, &[part("b", 0)], 2);
    assert_eq!(bench.ask_when(Event::Add(event)), None);
    bench.restart();
    let markers = bench.write_markers();
    assert_eq!(markers[0].producer, producer(100, i16::MAX));
    assert_eq!(bench.end("t", last, true, 2), Ok(next), "asked again");
    bench.add("t", next, &[part("b", 0)], 2).unwrap();
    assert_eq!(bench.end("t", next, true, 2), Ok(producer(101, 1)));
}

#[test]
fn t_9_no_transaction_begins_with_an_epoch_that_cannot_rise() {
    let mut bench = Bench::new();
    for _ in 0..=EPOCH_MAX {
        bench.init("t").unwrap();
    }
    let last = producer(100, EPOCH_MAX);
    bench.add("t", last, &[part("a", 0)], 2).unwrap();
    assert_eq!(bench.init("t"), Err(CONCURRENT));
    assert_eq!(bench.write_markers()[0].producer, producer(100, i16::MAX));
    // The one that was fenced does not come to an epoch without a successor.
    for epoch in [EPOCH_MAX, i16::MAX] {
        assert_eq!(bench.end("t", producer(100, epoch), false, 2), Err(FENCED));
        let added = bench.add("t", producer(100, epoch), &[part("a", 0)], 2);
        assert_eq!(added, Err(FENCED));
    }
    assert_eq!(bench.init("t"), Ok(producer(101, 0)));
}

#[test]
fn t_17_both_flows_share_an_id() {
    let mut bench = Bench::new();
    let mut me = bench.init("t").unwrap();
    for (version, epoch) in [(0, 0), (2, 1), (2, 2), (0, 2), (2, 3)] {
        bench.add("t", me, &[part("a", 0)], version).unwrap();
        let next = bench.end("t", me, true, version).unwrap();
        assert_eq!(next.epoch, epoch);
        let markers = bench.write_markers();
        assert_eq!((markers[0].producer, markers[0].version), (next, version));
        me = next;
    }
    let init = bench.ask(Event::Init(Init {
        id: "t".into(),
        timeout_ms: 1,
        expected: None,
        fresh_id: None,
    }));
    assert_eq!(init, Ok(Reply::Producer(producer(100, 4))));
}

#[test]
fn t_17_who_was_fenced_is_not_told_the_epoch_of_who_holds_the_id() {
    let mut bench = Bench::new();
    let fenced = bench.init("t").unwrap();
    let holder = bench.init("t").unwrap();
    bench.add("t", holder, &[part("a", 0)], 0).unwrap();
    bench.end("t", holder, false, 0).unwrap();
    assert_eq!(bench.end("t", fenced, false, 2), Err(CONCURRENT));
    bench.write_markers();
    assert_eq!(bench.end("t", fenced, false, 2), Err(FENCED));
}

#[test]
fn t_17_who_was_fenced_at_the_last_epoch_is_not_told_the_id_of_who_holds_it() {
    let mut bench = Bench::new();
    for _ in 0..=EPOCH_MAX {
        bench.init("t").unwrap();
    }
    let fenced = producer(100, EPOCH_MAX);
    let holder = bench.init("t").unwrap();
    assert_eq!(holder, producer(101, 0));
    bench.add("t", holder, &[part("a", 0)], 0).unwrap();
    bench.end("t", holder, false, 0).unwrap();
    bench.write_markers();
    assert_eq!(bench.end("t", fenced, false, 2), Err(FENCED));
}

#[test]
fn t_12_news_of_old_markers_changes_nothing() {
    for version in [0, 2] {
        let (mut bench, me) = standing(Status::PrepareCommit, version);
        let before = bench.markers();
        // The shard fails, begins anew and has the markers written again.
        bench.restart();
        bench.write_markers();
        bench.add("t", me, &[part("b", 0)], version).unwrap();
        bench.end("t", me, false, version).unwrap();
        for left in [&[][..], &[part("a", 0)]] {
            bench.tell_markers(&before[0], left);
            assert_eq!(bench.status("t"), Status::PrepareAbort);
        }
        assert_eq!(bench.write_markers().len(), 1);
        bench.advance(5000);
        assert_eq!(
            bench.markers(),
            [],
            "nothing of the old ones is tried again"
        );
        assert_eq!(bench.status("t"), Status::CompleteAbort);
    }
}
