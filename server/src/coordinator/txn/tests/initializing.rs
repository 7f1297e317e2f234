use ratel_protocol::ErrorCode;

use super::bench::{Bench, part, producer};
use crate::coordinator::When;
use crate::coordinator::txn::{EPOCH_MAX, Event, Init, Reply, Status};

#[test]
fn t_2_ids_and_timeouts_are_checked() {
    let mut bench = Bench::new();
    let long = "x".repeat(32_768);
    assert_eq!(bench.init(""), Err(ErrorCode::InvalidRequest));
    assert_eq!(bench.init(&long), Err(ErrorCode::InvalidRequest));
    assert_eq!(bench.init(&long[1..]), Ok(producer(100, 0)));
    for (timeout_ms, fits) in [
        (0, false),
        (-1, false),
        (1, true),
        (900_000, true),
        (900_001, false),
    ] {
        let wanted = if fits {
            None
        } else {
            Some(ErrorCode::InvalidTransactionTimeout)
        };
        assert_eq!(
            bench.init_for("t", None, timeout_ms).err(),
            wanted,
            "{timeout_ms}"
        );
    }
}

#[test]
fn t_2_a_new_id_needs_a_producer_id_and_is_answered_once_durable() {
    let mut bench = Bench::new();
    let mut event = Init {
        id: "t".into(),
        timeout_ms: 1000,
        expected: None,
        fresh_id: None,
    };
    let asked = bench.ask_when(Event::Init(event.clone()));
    assert_eq!(asked, Some((Ok(Reply::NeedsProducerId), When::Now)));
    assert_eq!(bench.log.len(), 0);
    event.fresh_id = Some(7);
    let given = bench.ask_when(Event::Init(event));
    assert_eq!(
        given,
        Some((Ok(Reply::Producer(producer(7, 0))), When::Durable))
    );
    assert_eq!(bench.log.len(), 1);
}

#[test]
fn ids_are_limited() {
    let mut bench = Bench::with(|limits| limits.ids_max = 2);
    assert!(bench.init("a").is_ok() && bench.init("b").is_ok());
    assert_eq!(bench.init("c"), Err(ErrorCode::PolicyViolation));
    assert!(bench.init("a").is_ok());
}

#[test]
fn t_3_every_call_raises_the_epoch() {
    let mut bench = Bench::new();
    for epoch in 0..3 {
        assert_eq!(bench.init("t"), Ok(producer(100, epoch)));
    }
    let old = producer(100, 1);
    assert_eq!(
        bench.add("t", old, &[part("a", 0)], 0),
        Err(ErrorCode::ProducerFenced)
    );
    assert_eq!(bench.end("t", old, true, 0), Err(ErrorCode::ProducerFenced));
}

#[test]
fn t_3_an_open_transaction_is_aborted_and_its_producer_fenced() {
    let mut bench = Bench::new();
    let first = bench.init("t").unwrap();
    bench.add("t", first, &[part("a", 0)], 0).unwrap();
    assert_eq!(bench.init("t"), Err(ErrorCode::ConcurrentTransactions));
    assert_eq!(bench.init("t"), Err(ErrorCode::ConcurrentTransactions));
    let markers = bench.write_markers();
    assert_eq!(markers.len(), 1);
    assert_eq!(
        (markers[0].producer, markers[0].commit),
        (producer(100, 1), false)
    );
    assert_eq!(bench.init("t"), Ok(producer(100, 2)));
    assert_eq!(
        bench.end("t", first, true, 0),
        Err(ErrorCode::ProducerFenced)
    );
}

#[test]
fn t_3_while_markers_are_on_their_way_it_is_sent_back() {
    for commit in [false, true] {
        let mut bench = Bench::new();
        let first = bench.init("t").unwrap();
        bench.add("t", first, &[part("a", 0)], 2).unwrap();
        bench.end("t", first, commit, 2).unwrap();
        let written = bench.log.len();
        assert_eq!(bench.init("t"), Err(ErrorCode::ConcurrentTransactions));
        assert_eq!(bench.log.len(), written);
    }
}

#[test]
fn t_4_who_names_itself_goes_on() {
    let mut bench = Bench::new();
    let first = bench.init("t").unwrap();
    let second = bench.init_as("t", Some(first));
    assert_eq!(second, Ok(producer(100, 1)));
    // The answer was lost.
    assert_eq!(bench.init_as("t", Some(first)), second);
    assert_eq!(bench.init_as("t", second.ok()), Ok(producer(100, 2)));
    for fenced in [first, producer(100, 7), producer(99, 2)] {
        let refused = bench.init_as("t", Some(fenced));
        assert_eq!(refused, Err(ErrorCode::ProducerFenced), "{fenced:?}");
    }
    // Somebody else came.
    assert_eq!(bench.init("t"), Ok(producer(100, 3)));
    let fenced = bench.init_as("t", Some(producer(100, 2)));
    assert_eq!(fenced, Err(ErrorCode::ProducerFenced));
}

#[test]
fn t_4_a_producer_that_ran_out_of_epochs_gets_a_new_id() {
    let mut bench = Bench::new();
    for epoch in 0..=EPOCH_MAX {
        assert_eq!(bench.init("t"), Ok(producer(100, epoch)));
    }
    let last = producer(100, EPOCH_MAX);
    assert_eq!(bench.init_as("t", Some(last)), Ok(producer(101, 0)));
    assert_eq!(bench.known("t").previous_producer_id, 100);
    // Again, since the answer was lost; any other epoch of the old id is fenced.
    assert_eq!(bench.init_as("t", Some(last)), Ok(producer(101, 0)));
    let fenced = bench.init_as("t", Some(producer(100, EPOCH_MAX - 1)));
    assert_eq!(fenced, Err(ErrorCode::ProducerFenced));
    assert_eq!(bench.status("t"), Status::Empty);
}

#[test]
fn t_4_whose_transaction_timed_out_at_the_last_epoch_gets_a_new_id() {
    let mut bench = Bench::new();
    for _ in 0..=EPOCH_MAX {
        bench.init("t").unwrap();
    }
    let last = producer(100, EPOCH_MAX);
    bench.add("t", last, &[part("a", 0)], 2).unwrap();
    bench.advance(80_000);
    assert_eq!(bench.write_markers()[0].producer, producer(100, i16::MAX));
    let next = bench.init_as("t", Some(last));
    assert_eq!(next, Ok(producer(101, 0)));
    assert_eq!(bench.init_as("t", Some(last)), next, "asked again");
}
