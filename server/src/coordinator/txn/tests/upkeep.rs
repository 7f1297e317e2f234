use ratel_protocol::ErrorCode;

use super::bench::{Bench, part, producer};
use crate::coordinator::txn::{Action, Event, Filter, Reply, Status};

const DAY_MS: i64 = 86_400_000;

#[test]
fn t_13_what_is_open_for_too_long_is_aborted_and_fenced() {
    for version in [0, 2] {
        let mut bench = Bench::new();
        let me = bench.init_for("t", None, 15_000).unwrap();
        bench.add("t", me, &[part("a", 0)], version).unwrap();
        bench.advance(10_000);
        assert_eq!(bench.status("t"), Status::Ongoing);
        bench.advance(10_000);
        assert_eq!(bench.status("t"), Status::PrepareAbort);
        assert_eq!(bench.actions[0], Action::TimedOut { id: "t".into() });
        let markers = bench.write_markers();
        assert_eq!(
            (markers[0].producer, markers[0].version),
            (producer(100, 1), 2)
        );
        let late = bench.end("t", me, true, version).unwrap_err();
        let wanted = if version == 0 {
            ErrorCode::ProducerFenced
        } else {
            ErrorCode::InvalidTxnState
        };
        assert_eq!(late, wanted);
        let late = bench.add("t", me, &[part("a", 0)], version);
        assert_eq!(late, Err(ErrorCode::ProducerFenced));
        assert_eq!(bench.init("t"), Ok(producer(100, 2)));
    }
}

#[test]
fn ft_12_a_clock_that_was_put_back_keeps_no_transaction_open() {
    let mut bench = Bench::new();
    let me = bench.init_for("t", None, 15_000).unwrap();
    bench.add("t", me, &[part("a", 0)], 2).unwrap();
    // A little is waited for.
    bench.now.wall_ms -= 14_000;
    bench.advance(10_000);
    assert_eq!(bench.status("t"), Status::Ongoing);
    bench.now.wall_ms -= 3_600_000;
    bench.advance(10_000);
    assert_eq!(bench.status("t"), Status::PrepareAbort);
}

#[test]
fn t_1_ids_that_nobody_uses_go() {
    let mut bench = Bench::new();
    bench.init("empty").unwrap();
    let ended = bench.init("ended").unwrap();
    bench.add("ended", ended, &[part("a", 0)], 0).unwrap();
    bench.end("ended", ended, true, 0).unwrap();
    bench.write_markers();
    let stuck = bench.init("stuck").unwrap();
    bench.add("stuck", stuck, &[part("a", 0)], 0).unwrap();
    bench.end("stuck", stuck, true, 0).unwrap();
    bench.advance(7 * DAY_MS - 3_600_000);
    bench.init("young").unwrap();
    assert_eq!(bench.state().len(), 4);
    bench.advance(3_600_000);
    bench.advance(3_600_000);
    let left: Vec<_> = ["empty", "ended", "stuck", "young"]
        .into_iter()
        .filter(|id| bench.machine.transactions.contains_key(*id))
        .collect();
    assert_eq!(left, ["stuck", "young"]);
    assert_eq!(bench.logged(), bench.state());
}

#[test]
fn t_16_ids_are_listed_and_described() {
    let mut bench = Bench::new();
    bench.init("a").unwrap();
    let b = bench.init("b").unwrap();
    bench.add("b", b, &[part("x", 1)], 0).unwrap();
    bench.advance(1000);
    let c = bench.init("c").unwrap();
    bench.add("c", c, &[part("x", 1)], 0).unwrap();
    bench.advance(500);
    let mut list = |filter: Filter| match bench.ask(Event::List(filter.into())) {
        Ok(Reply::Listed(listed)) => listed
            .iter()
            .map(|listed| listed.id.to_string())
            .collect::<Vec<_>>(),
        other => panic!("{other:?}"),
    };
    let any = || Filter {
        longer_than_ms: -1,
        ..Filter::default()
    };
    assert_eq!(list(any()), ["a", "b", "c"]);
    let statuses = [Status::Empty, Status::CompleteAbort].into();
    assert_eq!(list(Filter { statuses, ..any() }), ["a"]);
    assert_eq!(
        list(Filter {
            producer_ids: [c.id].into(),
            ..any()
        }),
        ["c"]
    );
    assert_eq!(
        list(Filter {
            longer_than_ms: 500,
            ..any()
        }),
        ["a", "b"]
    );
    assert_eq!(
        list(Filter {
            longer_than_ms: 499,
            ..any()
        }),
        ["a", "b", "c"]
    );
    let found = bench.ask(Event::Describe { id: "b".into() });
    assert_eq!(
        found,
        Ok(Reply::Described(Box::new(bench.known("b").clone())))
    );
    let unknown = bench.ask(Event::Describe { id: "d".into() });
    assert_eq!(unknown, Err(ErrorCode::TransactionalIdNotFound));
}
