use super::bench::{Bench, key};
use crate::coordinator::When;
use crate::coordinator::share::AckType::{Accept, Release};
use crate::coordinator::share::{Action, Event, Mode, Reply};
use ratel_protocol::ErrorCode;
use ratel_storage::Offset;

#[test]
fn an_acquire_writes_nothing_and_answers_at_once() {
    let mut bench = Bench::new();
    let written = bench.log.len();
    let mut event = bench.acquire_event("a", 5);
    event.shape = Some(bench.shape(0));
    let (outcome, when) = bench.ask_when(Event::Acquire(event));
    let Ok(Reply::Acquired {
        ranges,
        lock_duration_ms,
    }) = outcome
    else {
        panic!("{outcome:?}");
    };
    assert_eq!(
        (ranges.len(), lock_duration_ms, when),
        (1, 30_000, When::Now)
    );
    assert_eq!(bench.log.len(), written);
    assert_eq!(bench.acted(), []);
}

#[test]
fn a_queue_that_is_not_there_is_refused() {
    let mut bench = Bench::without_queue();
    let event = Event::Acquire(bench.acquire_event("a", 1));
    assert_eq!(bench.ask(event), Err(ErrorCode::UnknownTopicOrPartition));
    let refused = bench.acknowledge("a", &[(0, 0, &[Accept])]);
    assert_eq!(refused, Err(ErrorCode::UnknownTopicOrPartition));
    let event = Event::Describe { key: key() };
    assert_eq!(bench.ask(event), Err(ErrorCode::UnknownTopicOrPartition));
}

#[test]
fn what_is_given_back_was_never_delivered() {
    let mut bench = Bench::new();
    assert_eq!(bench.acquire("a", 10), [(0, 9, 1)]);
    let back = |member: &str| Event::GiveBack {
        key: key(),
        member: member.into(),
        ranges: vec![
            (Offset::new(4), Offset::new(5)),
            (Offset::new(8), Offset::new(50)),
        ],
    };
    let written = bench.log.len();
    assert_eq!(bench.ask(back("b")), Ok(Reply::Done));
    assert_eq!(bench.acted(), []);
    assert_eq!(bench.ask(back("a")), Ok(Reply::Done));
    assert_eq!(bench.acted(), [Action::Wake(key())]);
    assert_eq!(bench.log.len(), written);
    bench.mode = Mode::RecordLimit;
    assert_eq!(bench.acquire("b", 4), [(4, 5, 1), (8, 9, 1)]);
    bench.say("a", 0, 3, Accept);
}

#[test]
fn one_shape_serves_many_acquires() {
    let mut bench = Bench::new();
    for i in 0..100 {
        assert_eq!(bench.acquire("a", 10), [(i * 10, i * 10 + 9, 1)]);
        bench.say("a", i * 10, i * 10 + 9, Accept);
    }
    assert_eq!(bench.shapes, 1);
}

#[test]
fn batches_are_kept_whole_in_one_mode_and_cut_in_the_other() {
    let mut bench = Bench::new();
    bench.mode = Mode::BatchOptimized;
    assert_eq!(bench.acquire("a", 15), [(0, 19, 1)]);
    bench.mode = Mode::RecordLimit;
    assert_eq!(bench.acquire("a", 15), [(20, 34, 1)]);
    bench.mode = Mode::BatchOptimized;
    assert_eq!(bench.acquire("a", 1), [(35, 39, 1)]);
}

#[test]
fn what_came_back_goes_out_before_what_is_new() {
    let mut bench = Bench::new();
    bench.acquire("a", 30);
    bench.say("a", 10, 14, Release);
    assert_eq!(bench.acquire("b", 20), [(10, 14, 2), (30, 44, 1)]);
}

#[test]
fn offsets_without_records_are_skipped() {
    let mut bench = Bench::new();
    bench.batches = vec![(2, 4), (7, 9), (15, 15)];
    bench.end = 20;
    assert_eq!(bench.acquire("a", 100), [(2, 4, 1), (7, 9, 1), (15, 15, 1)]);
    // A member need not know where nothing is.
    bench.say("a", 2, 15, Accept);
    let depth = bench.depth();
    assert_eq!((depth.start.get(), depth.next.get()), (20, 20));
    assert_eq!(bench.try_acquire("a", 1), None);
}

#[test]
fn nothing_above_the_end_is_leased() {
    let mut bench = Bench::new();
    bench.end = 13;
    bench.mode = Mode::BatchOptimized;
    assert_eq!(bench.acquire("a", 100), [(0, 12, 1)]);
    assert_eq!(bench.try_acquire("a", 100), None);
    bench.end = 20;
    assert_eq!(bench.acquire("a", 100), [(13, 19, 1)]);
    // What is available above the end stays where it is, too.
    bench.release("a");
    bench.end = 5;
    assert_eq!(bench.acquire("a", 100), [(0, 4, 2)]);
}

#[test]
fn leases_are_counted_not_the_window_that_they_lie_in() {
    let mut bench = Bench::with(|config| config.max_record_locks = 20);
    // One slow record at the head stops nobody.
    assert_eq!(bench.acquire("slow", 1), [(0, 0, 1)]);
    for first in (1..9000).step_by(10) {
        assert_eq!(bench.acquire("a", 9)[0].0, first);
        bench.say("a", first, first + 8, Accept);
        assert_eq!(bench.acquire("a", 1), [(first + 9, first + 9, 1)]);
        bench.say("a", first + 9, first + 9, Accept);
    }
    assert_eq!(bench.machine.queue(&key()).unwrap().runs.len(), 2);
}

#[test]
fn at_the_limit_of_leases_who_waits_is_woken_by_an_acknowledgement() {
    let mut bench = Bench::with(|config| config.max_record_locks = 10);
    assert_eq!(bench.acquire("a", 50), [(0, 9, 1)]);
    bench.acted();
    bench.say("a", 9, 9, Accept);
    assert_eq!(bench.acted(), [], "nobody was sent away");
    assert_eq!(bench.acquire("a", 50), [(10, 10, 1)]);
    assert_eq!(bench.try_acquire("b", 50), None);
    bench.say("a", 0, 0, Accept);
    assert_eq!(bench.acted(), [Action::Wake(key())]);
    assert_eq!(bench.acquire("b", 50), [(11, 11, 1)]);
}

#[test]
fn each_member_that_waits_gets_a_fair_share_of_the_leases() {
    let mut bench = Bench::with(|config| config.max_record_locks = 64);
    bench.mode = Mode::BatchOptimized;
    let waits = |bench: &mut Bench, member: &str, for_ms: i64| {
        let mut event = bench.acquire_event(member, 500);
        event.waits_until_ms = bench.now.monotonic_ms + for_ms;
        event.shape = Some(bench.shape(event.log_start.get()));
        match bench.ask(Event::Acquire(event)).unwrap() {
            Reply::Acquired { ranges, .. } => ranges
                .iter()
                .map(|range| range.last.get() - range.first.get() + 1)
                .sum(),
            _ => 0,
        }
    };
    assert_eq!(waits(&mut bench, "a", 5000), 64, "alone");
    assert_eq!(waits(&mut bench, "b", 5000), 0);
    assert_eq!(waits(&mut bench, "c", 5000), 0);
    bench.release("a");
    assert_eq!(waits(&mut bench, "b", 5000), 21, "b, c and who comes next");
    assert_eq!(waits(&mut bench, "c", 5000), 21, "b has its part");
    assert_eq!(waits(&mut bench, "d", 0), 11);
    bench.advance(6000);
    assert_eq!(waits(&mut bench, "e", 0), 11, "the others wait no more");
    assert_eq!(waits(&mut bench, "f", 0), 0);
}

#[test]
fn who_works_fast_gets_the_rest_of_a_long_batch() {
    let mut bench = Bench::with(|config| config.max_record_locks = 100);
    bench.mode = Mode::BatchOptimized;
    (bench.batches, bench.end) = (vec![(0, 999), (1000, 1999), (2000, 2999)], 3000);
    assert_eq!(
        bench.acquire("a", 50),
        [(0, 99, 1)],
        "nothing is known of a"
    );
    bench.advance(1000);
    bench.say("a", 0, 99, Accept);
    assert_eq!(bench.acquire("a", 50), [(100, 199, 1)], "100 in a second");
    bench.advance(50);
    bench.say("a", 100, 199, Accept);
    assert_eq!(bench.acquire("a", 50), [(200, 699, 1)], "500 in 250 ms");
    assert_eq!(bench.try_acquire("b", 50), None, "too much is leased");
    bench.advance(1);
    bench.say("a", 200, 698, Accept);
    assert_eq!(
        bench.acquire("a", 50),
        [(700, 732, 1)],
        "one is still in work"
    );
    bench.say("a", 699, 732, Accept);
    bench.mode = Mode::RecordLimit;
    assert_eq!(bench.acquire("a", 50), [(733, 765, 1)]);
    bench.say("a", 733, 765, Accept);
    bench.mode = Mode::BatchOptimized;
    assert_eq!(
        bench.acquire("a", 50),
        [(766, 999, 1)],
        "not into the next one"
    );
}

#[test]
fn nothing_is_leased_from_a_paused_queue() {
    let mut bench = Bench::new();
    assert_eq!(bench.acquire("a", 5), [(0, 4, 1)]);
    bench.config.paused = true;
    assert_eq!(bench.try_acquire("a", 5), None);
    bench.say("a", 0, 4, Accept);
    bench.config.paused = false;
    assert_eq!(bench.acquire("a", 5), [(5, 9, 1)]);
}

/// KAFKA-19903: one bad record takes few good ones with it.
#[test]
fn what_fails_often_is_handed_out_in_halves_and_in_the_end_alone() {
    let mut bench = Bench::with(|config| config.delivery_count_limit = 6);
    bench.end = 64;
    let lengths = |ranges: &[(i64, i64, i16)]| -> Vec<(i64, i64)> {
        ranges.iter().map(|r| (r.0, r.1 - r.0 + 1)).collect()
    };
    for _ in 0..3 {
        let ranges = bench.acquire("a", 64);
        assert_eq!(lengths(&ranges), [(0, 64)]);
        bench.release("a");
    }
    let fourth = bench.acquire("a", 64);
    assert_eq!(fourth, [(0, 31, 4)]);
    bench.release("a");
    // What failed more is in a portion of its own.
    assert_eq!(bench.acquire("a", 64), [(0, 15, 5)]);
    bench.release("a");
    for offset in 0..16 {
        assert_eq!(bench.acquire("a", 64), [(offset, offset, 6)]);
    }
    // What was halved with it is not halved again before it failed again.
    assert_eq!(bench.acquire("a", 64), [(16, 31, 5)]);
    assert_eq!(bench.acquire("a", 64), [(32, 63, 4)]);
    bench.release("a");
    assert_eq!(bench.acquire("a", 64), [(16, 16, 6)]);
}

#[test]
fn what_is_held_back_stays_in_its_half() {
    let mut bench = Bench::with(|config| {
        config.delivery_count_limit = 8;
        config.release_backoff_ms = 10;
        config.release_backoff_max_ms = 10;
    });
    bench.end = 64;
    for (last, count) in [(63, 1), (63, 2), (63, 3), (63, 4), (31, 5), (15, 6), (7, 7)] {
        assert_eq!(bench.acquire("a", 64), [(0, last, count)]);
        bench.say("a", 0, last, Release);
        bench.advance(11);
    }
}

#[test]
fn a_limit_of_two_isolates_nothing() {
    let mut bench = Bench::with(|config| config.delivery_count_limit = 2);
    bench.end = 10;
    bench.acquire("a", 10);
    bench.release("a");
    assert_eq!(bench.acquire("a", 10), [(0, 9, 2)]);
}

#[test]
fn a_window_of_too_many_runs_takes_in_nothing_new() {
    let mut bench = Bench::without_queue();
    bench.machine = crate::coordinator::share::ShareMachine::with_limits(20, 1);
    let start = Offset::ZERO;
    bench.ask(Event::Initialize { key: key(), start }).unwrap();
    for i in 0..10 {
        assert_eq!(bench.acquire("a", 2), [(2 * i, 2 * i + 1, 1)]);
        bench.say("a", 2 * i + 1, 2 * i + 1, Accept);
    }
    assert_eq!(bench.try_acquire("b", 2), None);
    bench.acted();
    bench.say("a", 0, 0, Accept);
    assert_eq!(bench.acted(), [Action::Wake(key())]);
    assert_eq!(bench.acquire("b", 2), [(20, 21, 1)]);
}
