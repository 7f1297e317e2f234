//! Very many records in flight.

use ratel_storage::Offset;

use super::bench::{Bench, key, span};
use crate::coordinator::Machine;
use crate::coordinator::share::AckType::{Accept, Release};
use crate::coordinator::share::runs::Run;
use crate::coordinator::share::{Event, Reply, Shape};

/// A queue of so many records in one batch, all of which may be leased at once.
fn world(records: i64) -> Bench {
    let mut bench = Bench::with(|config| {
        config.max_record_locks = usize::MAX;
        config.delivery_count_limit = 100;
    });
    bench.end = records;
    bench
}

/// Acquire with the whole log as shape, and get the first offset.
fn acquire(bench: &mut Bench, member: &str, records: usize) -> i64 {
    let mut event = bench.acquire_event(member, records);
    loop {
        match bench.ask(Event::Acquire(event.clone())) {
            Ok(Reply::Acquired { ranges, .. }) => return ranges[0].first.get(),
            Ok(Reply::NeedShape { from }) => {
                event.shape = Some(Shape {
                    from,
                    to: Offset::new(bench.end),
                    batches: vec![span(&(from.get(), bench.end - 1))],
                });
            }
            other => panic!("{other:?}"),
        }
    }
}

/// With 55 % of a map's nodes filled, and a deadline beside it, a run costs some 86 bytes.
#[test]
fn a_run_is_small() {
    assert_eq!(size_of::<Run>(), 24);
}

#[test]
fn a_million_records_are_leased_and_come_back() {
    const RECORDS: u64 = 1_000_000;
    let mut bench = world(RECORDS.cast_signed());
    for i in 0..1000 {
        let member = ["a", "b"][i % 2];
        assert_eq!(acquire(&mut bench, member, 1000), 1000 * i as i64);
    }
    let depth = bench.depth();
    assert_eq!((depth.in_flight, depth.ready), (RECORDS, 0));
    bench.say("a", 500_000, 500_999, Accept);
    bench.say("b", 999_999, 999_999, Release);
    bench.release("a");
    assert_eq!(bench.depth().in_flight, RECORDS / 2 - 1);
    bench.advance(30_000);
    let depth = bench.depth();
    assert_eq!((depth.in_flight, depth.ready), (0, RECORDS - 1000));
    assert_eq!(depth.lock_expired, RECORDS / 2 - 1);
    assert_eq!(acquire(&mut bench, "c", 1000), 0);
    bench.restart();
    assert_eq!(bench.depth().ready, RECORDS - 1000);
}

#[test]
fn as_many_leases_as_records_run_out_and_come_back() {
    const RECORDS: i64 = 60_000;
    let mut bench = world(RECORDS);
    for i in 0..RECORDS {
        let member = ["a", "b"][usize::from(i % 2 == 1)];
        assert_eq!(acquire(&mut bench, member, 1), i);
    }
    let queue = bench.machine.queue(&key()).unwrap();
    assert_eq!(queue.runs.len() as i64, RECORDS);
    assert_eq!(queue.leases.len() as i64, RECORDS);
    bench.now = bench.now.plus_ms(30_000);
    // What is too much for one turn is left to the next one, which is due at once.
    bench.advance(0);
    let depth = bench.depth();
    assert_eq!((depth.in_flight, depth.lock_expired), (0, RECORDS as u64));
    assert_eq!(bench.machine.next_timeout(), None);
    bench.restart();
    let queue = bench.machine.queue(&key()).unwrap();
    assert_eq!(queue.runs.len(), 1, "what is alike is one run again");
}

#[test]
fn half_a_thousand_records_are_one_run_and_one_record() {
    let mut bench = world(1_000_000);
    acquire(&mut bench, "slow", 1);
    for _ in 0..1900 {
        let first = acquire(&mut bench, "a", 500);
        bench.say("a", first, first + 499, Accept);
    }
    let queue = bench.machine.queue(&key()).unwrap();
    assert_eq!(queue.runs.len(), 2);
    // A record for each acknowledgement, each of one batch, and a few snapshots.
    assert!(bench.log.len() < 1920, "{}", bench.log.len());
}
