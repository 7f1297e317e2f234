use ratel_protocol::ErrorCode;

use super::bench::{Bench, part, producer};
use crate::coordinator::txn::{Event, Reply, Status};
use crate::coordinator::{Ticket, When};

#[test]
fn t_5_the_first_partition_opens_the_transaction() {
    let mut bench = Bench::new();
    let me = bench.init("t").unwrap();
    bench.advance(500);
    let event = bench.add_event("t", me, &[part("a", 0), part("b", 3)], 0);
    let answer = bench.ask_when(Event::Add(event.clone()));
    assert_eq!(answer, Some((Ok(Reply::Added), When::Durable)));
    let known = bench.known("t");
    assert_eq!(
        (known.status, known.started_ms),
        (Status::Ongoing, bench.now.wall_ms)
    );
    // Again: nothing is written, and it began when it began.
    let (written, began_ms) = (bench.log.len(), known.started_ms);
    bench.advance(500);
    assert_eq!(bench.ask(Event::Add(event)), Ok(Reply::Added));
    assert_eq!(bench.log.len(), written);
    bench.add("t", me, &[part("a", 1)], 0).unwrap();
    assert_eq!(bench.known("t").started_ms, began_ms);
    assert_eq!(bench.known("t").partition_count(), 3);
}

#[test]
fn t_5_others_are_refused() {
    let mut bench = Bench::new();
    let me = bench.init("t").unwrap();
    let parts = [part("a", 0)];
    let mapping = Err(ErrorCode::InvalidProducerIdMapping);
    assert_eq!(bench.add("other", me, &parts, 0), mapping);
    assert_eq!(bench.add("t", producer(99, 0), &parts, 0), mapping);
    let fenced = Err(ErrorCode::ProducerFenced);
    assert_eq!(bench.add("t", producer(me.id, 1), &parts, 0), fenced);
    assert_eq!(bench.log.len(), 1);
}

#[test]
fn partitions_of_a_transaction_are_limited() {
    let mut bench = Bench::with(|limits| limits.partitions_max = 2);
    let me = bench.init("t").unwrap();
    bench
        .add("t", me, &[part("a", 0), part("a", 1)], 0)
        .unwrap();
    let refused = bench.add("t", me, &[part("a", 2)], 0);
    assert_eq!(refused, Err(ErrorCode::PolicyViolation));
    assert_eq!(bench.known("t").partition_count(), 2);
    let next = bench.end("t", me, true, 2).unwrap();
    let parts = [part("a", 0), part("a", 0), part("a", 0)];
    let refused = bench.add("t", next, &parts, 2);
    assert_eq!(refused, Err(ErrorCode::PolicyViolation), "not even to wait");
}

#[test]
fn t_5_t_8_an_empty_id_makes_no_sense_and_an_unknown_one_is_not_mapped() {
    let mut bench = Bench::new();
    let me = bench.init("t").unwrap();
    for (id, code) in [
        ("", ErrorCode::InvalidRequest),
        ("u", ErrorCode::InvalidProducerIdMapping),
    ] {
        assert_eq!(bench.add(id, me, &[part("a", 0)], 0), Err(code));
        assert_eq!(bench.end(id, me, true, 0), Err(code));
    }
}

#[test]
fn t_6_what_was_added_is_verified() {
    let mut bench = Bench::new();
    let me = bench.init("t").unwrap();
    bench.add("t", me, &[part("a", 0)], 0).unwrap();
    let asked = [part("a", 1), part("a", 0), part("b", 0)];
    let verified = bench.ask(Event::Verify(bench.add_event("t", me, &asked, 0)));
    assert_eq!(verified, Ok(Reply::Verified(vec![false, true, false])));
    for (id, who, code) in [
        ("u", me, ErrorCode::InvalidProducerIdMapping),
        ("t", producer(1, 0), ErrorCode::InvalidProducerIdMapping),
        ("t", producer(me.id, 1), ErrorCode::ProducerFenced),
    ] {
        let event = bench.add_event(id, who, &asked, 0);
        assert_eq!(bench.ask(Event::Verify(event)), Err(code));
    }
    bench.end("t", me, true, 0).unwrap();
    let event = bench.add_event("t", me, &asked, 0);
    let busy = bench.ask(Event::Verify(event));
    assert_eq!(busy, Err(ErrorCode::ConcurrentTransactions));
}

#[test]
fn t_7_what_is_added_meanwhile_waits_for_the_markers() {
    let mut bench = Bench::new();
    let me = bench.init("t").unwrap();
    bench.add("t", me, &[part("a", 0)], 2).unwrap();
    let next = bench.end("t", me, true, 2).unwrap();
    let event = bench.add_event("t", next, &[part("b", 0)], 2);
    assert_eq!(bench.ask_when(Event::Add(event)), None);
    // Who could not add it afterwards either need not wait.
    let fenced = Err(ErrorCode::ProducerFenced);
    assert_eq!(bench.add("t", me, &[part("b", 0)], 2), fenced);
    let mapping = Err(ErrorCode::InvalidProducerIdMapping);
    assert_eq!(bench.add("t", producer(99, 1), &[part("b", 0)], 2), mapping);
    bench.advance(99);
    assert_eq!(bench.late, []);
    bench.write_markers();
    let answers: Vec<_> = bench.late.drain(..).map(|(_, outcome)| outcome).collect();
    assert_eq!(answers, [Ok(Reply::Added)]);
    assert!(bench.known("t").holds("b", 0) && !bench.known("t").holds("a", 0));
    bench.advance(100);
    assert_eq!(bench.late, []);
}

#[test]
fn t_7_who_waits_for_too_long_is_sent_back() {
    let mut bench = Bench::new();
    let me = bench.init("t").unwrap();
    bench.add("t", me, &[part("a", 0)], 2).unwrap();
    let next = bench.end("t", me, true, 2).unwrap();
    for index in 0..64 {
        let event = bench.add_event("t", next, &[part("b", index)], 2);
        assert_eq!(bench.ask_when(Event::Add(event)), None);
    }
    let concurrent = Err(ErrorCode::ConcurrentTransactions);
    let refused = bench.add("t", next, &[part("b", 64)], 2);
    assert_eq!(
        refused,
        Err(ErrorCode::ConcurrentTransactions),
        "one too many"
    );
    bench.advance(100);
    assert_eq!(bench.late.len(), 64);
    assert!(bench.late.iter().all(|(_, outcome)| *outcome == concurrent));
    assert_ne!(bench.late[0].0, Ticket(0));
    bench.late.clear();
    bench.write_markers();
    assert_eq!(bench.late, []);
    assert_eq!(bench.status("t"), Status::CompleteCommit);
}
