use super::bench::{Bench, part, producer};
use crate::coordinator::txn::Status;

#[test]
fn t_15_markers_are_written_after_a_restart() {
    for (commit, version) in [(false, 0), (true, 0), (false, 2), (true, 2)] {
        let mut bench = Bench::new();
        let me = bench.init("t").unwrap();
        bench
            .add("t", me, &[part("a", 0), part("a", 1)], version)
            .unwrap();
        let next = bench.end("t", me, commit, version).unwrap();
        let asked = bench.markers();
        bench.restart();
        assert_eq!(bench.markers(), asked);
        bench.restart();
        assert_eq!(bench.write_markers(), asked);
        assert_eq!(bench.status("t"), Status::completed(commit));
        bench.restart();
        assert_eq!(bench.markers(), []);
        bench.add("t", next, &[part("a", 0)], version).unwrap();
    }
}

#[test]
fn an_open_transaction_outlives_a_restart_and_times_out() {
    let mut bench = Bench::new();
    let me = bench.init_for("t", None, 15_000).unwrap();
    bench.add("t", me, &[part("a", 0)], 2).unwrap();
    bench.advance(14_000);
    bench.restart();
    assert_eq!(bench.status("t"), Status::Ongoing);
    bench.advance(9999);
    assert_eq!(bench.status("t"), Status::Ongoing);
    bench.advance(1);
    assert_eq!(bench.write_markers()[0].producer, producer(100, 1));
    assert_eq!(bench.status("t"), Status::CompleteAbort);
}

#[test]
fn t_4_who_did_not_hear_the_answer_may_ask_after_a_restart() {
    let mut bench = Bench::new();
    let first = bench.init("t").unwrap();
    let second = bench.init_as("t", Some(first)).unwrap();
    bench.restart();
    assert_eq!(bench.init_as("t", Some(first)), Ok(second));
}

#[test]
fn t_15_markers_that_failed_are_tried_again_later_and_later() {
    let mut bench = Bench::new();
    let me = bench.init("t").unwrap();
    let parts = [part("a", 0), part("a", 1), part("b", 0)];
    bench.add("t", me, &parts, 0).unwrap();
    bench.end("t", me, true, 0).unwrap();
    let first = bench.markers();
    bench.tell_markers(&first[0], &parts[1..]);
    for (waits_ms, left) in [(20, &parts[1..]), (40, &parts[2..]), (80, &parts[2..])] {
        bench.advance(waits_ms - 1);
        assert_eq!(bench.markers(), []);
        bench.advance(1);
        let again = bench.markers();
        let asked: Vec<_> = again[0]
            .partitions
            .iter()
            .flat_map(|(topic, indexes)| indexes.iter().map(|index| part(topic, *index)))
            .collect();
        assert_eq!((again.len(), &asked[..]), (1, left));
        bench.tell_markers(&again[0], &parts[2..]);
        assert_eq!(bench.status("t"), Status::PrepareCommit);
    }
    // A restart asks for all of them: nobody wrote down which are written.
    bench.restart();
    assert_eq!(bench.markers(), first);
    bench.advance(1000);
    assert_eq!(bench.markers(), []);
    bench.tell_markers(&first[0], &[]);
    assert_eq!(bench.status("t"), Status::CompleteCommit);
}
