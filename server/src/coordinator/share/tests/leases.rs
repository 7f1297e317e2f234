use ratel_protocol::ErrorCode::InvalidRecordState;

use super::bench::{Bench, key};
use crate::coordinator::share::AckType::{Accept, Release, Renew};
use crate::coordinator::share::{Action, Durable, Record};

#[test]
fn a_lease_that_runs_out_is_written_down_and_wakes() {
    let mut bench = Bench::new();
    bench.acquire("a", 5);
    bench.advance(10_000);
    bench.acquire("a", 5);
    bench.advance(19_999);
    assert_eq!(bench.acted(), []);
    bench.advance(1);
    assert_eq!(bench.acted(), [Action::Wake(key())]);
    let Some(Record::Update(_, update)) = bench.log.last() else {
        panic!("nothing written");
    };
    let [batch] = update.batches[..] else {
        panic!("{update:?}");
    };
    assert_eq!((batch.first, batch.last, batch.count), (0, 4, 1));
    assert_eq!(batch.state, Durable::Available);
    let depth = bench.depth();
    assert_eq!(
        (depth.in_flight, depth.ready, depth.lock_expired),
        (5, 5, 5)
    );
    assert_eq!(bench.acquire("b", 1), [(0, 0, 2)]);
    assert_eq!(bench.depth().redelivered, 1);
}

#[test]
fn a_renewed_lease_lasts_from_now_on() {
    let mut bench = Bench::new();
    bench.acquire("a", 10);
    bench.advance(20_000);
    bench.say("a", 2, 3, Renew);
    bench.advance(10_000);
    let depth = bench.depth();
    assert_eq!((depth.in_flight, depth.ready), (2, 8));
    bench.advance(19_999);
    bench.say("a", 2, 2, Accept);
    bench.advance(1);
    assert_eq!(bench.depth().in_flight, 0);
}

#[test]
fn no_lease_lasts_longer_than_twelve_hours() {
    let mut bench = Bench::with(|config| config.lock_duration_ms = 3_600_000);
    bench.acquire("a", 1);
    for _ in 0..23 {
        bench.advance(1_800_000);
        bench.say("a", 0, 0, Renew);
    }
    // 11.5 h are over: half an hour is left, whatever is asked for.
    bench.advance(1_799_999);
    bench.say("a", 0, 0, Renew);
    bench.advance(1);
    let refused = bench.acknowledge("a", &[(0, 0, &[Renew])]);
    assert_eq!(refused, Err(InvalidRecordState));
    assert_eq!(bench.depth().lock_expired, 1);
}

#[test]
fn a_lease_of_any_length_ends_when_it_should() {
    let mut bench = Bench::with(|config| config.lock_duration_ms = 100);
    bench.acquire("a", 1);
    bench.advance(60);
    bench.say("a", 0, 0, Renew);
    bench.advance(99);
    assert_eq!(bench.depth().in_flight, 1, "at least what it says");
    bench.advance(1001);
    assert_eq!(bench.depth().in_flight, 0, "and no second more");
}

#[test]
fn what_is_released_is_held_back_twice_as_long_each_time() {
    let mut bench = Bench::with(|config| {
        config.release_backoff_ms = 100;
        config.release_backoff_max_ms = 300;
        config.delivery_count_limit = 10;
    });
    bench.end = 1;
    for (count, backoff_ms) in [(1, 100), (2, 200), (3, 300), (4, 300)] {
        assert_eq!(bench.acquire("a", 1), [(0, 0, count)]);
        bench.say("a", 0, 0, Release);
        let depth = bench.depth();
        assert_eq!((depth.delayed, depth.ready), (1, 0));
        assert_eq!(bench.acted(), []);
        bench.advance(backoff_ms - 1);
        assert_eq!(bench.try_acquire("a", 1), None);
        bench.advance(1);
        assert_eq!(bench.acted(), [Action::Wake(key())]);
    }
    // A lease that runs out is held back as well; the wall clock's jumps are nothing to it.
    assert_eq!(bench.acquire("a", 1), [(0, 0, 5)]);
    bench.now.wall_ms += 86_400_000;
    bench.advance(30_000);
    assert_eq!(bench.depth().delayed, 1);
    bench.now.wall_ms -= 172_800_000;
    bench.advance(300);
    assert_eq!(bench.acquire("a", 1), [(0, 0, 6)]);
    // Who is gone did not fail: its records are there at once.
    bench.release("a");
    assert_eq!(bench.acquire("b", 1), [(0, 0, 7)]);
}

#[test]
fn a_delay_outlives_a_restart() {
    let mut bench = Bench::with(|config| config.release_backoff_ms = 5000);
    bench.acquire("a", 10);
    bench.say("a", 3, 4, Release);
    bench.advance(2000);
    bench.restart();
    assert_eq!(bench.depth().delayed, 2);
    bench.acted();
    bench.advance(2999);
    assert_eq!(bench.depth().delayed, 2);
    bench.advance(1);
    assert_eq!(bench.depth().delayed, 0);
    assert_eq!(bench.acted(), [Action::Wake(key())]);
    assert_eq!(bench.acquire("b", 10), [(0, 2, 1), (3, 4, 2), (5, 9, 1)]);
}

#[test]
fn a_member_that_leaves_gives_back_all_and_only_what_it_leases() {
    let mut bench = Bench::new();
    for _ in 0..10 {
        bench.acquire("a", 3);
        bench.acquire("b", 2);
    }
    bench.say("a", 5, 6, Accept);
    bench.release("a");
    let depth = bench.depth();
    assert_eq!((depth.in_flight, depth.ready), (20, 28));
    let written = bench.log.len();
    bench.release("a");
    bench.release("nobody");
    assert_eq!(bench.log.len(), written);
    let refused = bench.acknowledge("a", &[(0, 0, &[Accept])]);
    assert_eq!(refused, Err(InvalidRecordState));
    bench.say("b", 3, 4, Accept);
}

/// Deadlines that nothing hangs on any more do not pile up.
#[test]
fn deadlines_stay_as_few_as_leases() {
    let mut bench = Bench::with(|config| config.lock_duration_ms = 43_200_000);
    bench.acquire("slow", 1);
    for i in 1..5000 {
        assert_eq!(bench.acquire("a", 1), [(i, i, 1)]);
        bench.say("a", i, i, Accept);
        bench.advance(1);
    }
    assert!(bench.machine.queue(&key()).unwrap().leases.len() <= 64);
}
