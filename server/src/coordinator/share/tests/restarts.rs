use ratel_protocol::ErrorCode;
use ratel_storage::Offset;

use super::bench::{Bench, key, key_of, snapshot_of};
use crate::coordinator::Machine;
use crate::coordinator::share::AckType::{Accept, Release};
use crate::coordinator::share::{Action, Event, Record, Reply};

#[test]
fn a_restart_keeps_what_is_done_and_forgets_what_was_leased() {
    let mut bench = Bench::new();
    bench.acquire("a", 30);
    bench.say("a", 10, 19, Accept);
    bench.say("a", 22, 22, Release);
    bench.acquire("b", 1);
    assert_eq!(bench.depth().in_flight, 20);
    bench.restart();
    let depth = bench.depth();
    assert_eq!((depth.start.get(), depth.next.get()), (0, 23));
    assert_eq!((depth.in_flight, depth.ready, depth.complete), (0, 13, 10));
    assert_eq!((depth.oldest_ready.get(), depth.state_epoch), (0, 0));
    // The crash is no delivery; 22 keeps the count that was written down.
    let ranges = bench.acquire("c", 100);
    let wanted = [(0, 9, 1), (20, 21, 1), (22, 22, 2), (23, 109, 1)];
    assert_eq!(ranges, wanted);
}

#[test]
fn what_lies_beyond_the_log_is_cut() {
    let mut bench = Bench::new();
    bench.acquire("a", 30);
    bench.say("a", 10, 19, Accept);
    bench.ends.ends.insert(key().partition, Offset::new(15));
    bench.restart();
    let depth = bench.depth();
    assert_eq!((depth.start.get(), depth.next.get()), (0, 15));
    assert_eq!((depth.complete, depth.state_epoch), (5, 1));
    bench
        .ends
        .ends
        .insert(key().partition, Offset::new(i64::MAX));
    bench.restart();
    assert_eq!(bench.depth(), depth);
    assert_eq!(bench.acquire("a", 12), [(0, 9, 1), (15, 16, 1)]);

    bench.ends.ends.clear();
    bench.restart();
    assert_eq!(bench.log.last(), Some(&Record::Tombstone(key())));
    assert_eq!(bench.snapshot(), []);
}

#[test]
fn snapshots_bound_the_replay() {
    let mut bench = Bench::new();
    bench.end = 100_000;
    bench.batches = (0..10_000).map(|i| (i * 10, i * 10 + 9)).collect();
    // The first record stays leased, so that the window grows by a run and shrinks again.
    bench.acquire("slow", 1);
    let mut last = 0;
    for i in 0..5000 {
        let (first, last_acquired, _) = bench.acquire("a", 2)[0];
        bench.say("a", first, first, Accept);
        if i % 100 != 0 && last_acquired > first {
            bench.say("a", last_acquired, last_acquired, Accept);
        }
        if let Some(at) = bench.log[last + 1..]
            .iter()
            .position(|record| matches!(record, Record::Snapshot(..)))
        {
            assert!((500..2500).contains(&at), "a snapshot after {at} updates");
            last += at + 1;
        }
    }
    assert!(last > 1000);
    let Record::Snapshot(_, snapshot) = &bench.log[last] else {
        panic!("not a snapshot");
    };
    assert!(snapshot.snapshot_epoch >= 3);
    // Leases go on through a snapshot, and the log from there on tells the whole story.
    bench.say("slow", 0, 0, Accept);
    let whole = snapshot_of(&bench.replayed(&bench.log));
    assert_eq!(snapshot_of(&bench.replayed(&bench.log[last..])), whole);
    assert_eq!(bench.snapshot(), whole);
}

#[test]
fn a_large_snapshot_goes_on_in_updates() {
    let mut bench = Bench::with(|config| config.max_record_locks = 100_000);
    bench.batches = vec![(0, 99_999)];
    bench.end = 100_000;
    for first in (0..50_000).step_by(1000) {
        assert_eq!(bench.acquire("a", 1000), [(first, first + 999, 1)]);
    }
    let odd: Vec<i64> = (0..25_000).map(|i| 2 * i + 1).collect();
    for part in odd.chunks(5000) {
        let batches: Vec<_> = part.iter().map(|at| (*at, *at, &[Accept][..])).collect();
        assert_eq!(bench.acknowledge("a", &batches), Ok(Reply::Done));
    }
    let records = bench.snapshot();
    assert_eq!(records.len(), 3);
    assert_eq!(snapshot_of(&bench.replayed(&records)), records);
    // Written behind what it repeats, whole or torn, it changes nothing.
    for kept in 1..=3 {
        let log = [&bench.log[..], &records[..kept]].concat();
        assert_eq!(snapshot_of(&bench.replayed(&log)), records);
    }
    // Expiry of them all is more than one record can hold.
    let written = bench.log.len();
    bench.advance(30_000);
    assert_eq!(bench.log.len() - written, 3);
    assert_eq!(bench.depth().ready, 25_000);
    assert_eq!(snapshot_of(&bench.replayed(&bench.log)), bench.snapshot());
}

#[test]
fn the_logs_start_takes_with_it_what_lies_below() {
    let mut bench = Bench::new();
    bench.acquire("a", 30);
    bench.say("a", 10, 14, Accept);
    let (partition, start) = (key().partition, Offset::new(25));
    let event = Event::LogStart { partition, start };
    bench.ask(event).unwrap();
    let depth = bench.depth();
    assert_eq!((depth.start.get(), depth.in_flight), (25, 5));
    assert_eq!((depth.lost, depth.dead, depth.complete), (20, 0, 0));
    bench.say("a", 0, 24, Release);
    bench.say("a", 20, 29, Accept);
    assert_eq!(bench.depth().start.get(), 30);
    // An acquire that knows of a later start does the same, also beyond what was leased.
    bench.log_start = 100;
    assert_eq!(bench.acquire("a", 1), [(100, 100, 1)]);
    assert_eq!(bench.depth().lost, 90);
    bench.restart();
    assert_eq!(bench.depth().start.get(), 100);
}

#[test]
fn a_queue_that_is_reset_remembers_no_delivery() {
    let mut bench = Bench::new();
    bench.acquire("a", 30);
    bench.say("a", 5, 9, Accept);
    let start = Offset::new(3);
    let event = Event::Reset { key: key(), start };
    assert_eq!(bench.ask(event), Ok(Reply::Done));
    assert_eq!(bench.acted().last(), Some(&Action::Wake(key())));
    let depth = bench.depth();
    assert_eq!((depth.start.get(), depth.next.get()), (3, 3));
    assert_eq!((depth.state_epoch, depth.in_flight), (1, 0));
    bench.advance(60_000);
    bench.restart();
    assert_eq!(bench.depth().state_epoch, 1);
    assert_eq!(bench.acquire("a", 30), [(3, 32, 1)]);
    // To begin what has begun changes nothing.
    let event = Event::Initialize { key: key(), start };
    let written = bench.log.len();
    assert_eq!(bench.ask(event), Ok(Reply::Done));
    assert_eq!(bench.log.len(), written);
}

#[test]
fn a_purge_archives_all_but_what_is_leased() {
    let mut bench = Bench::new();
    bench.acquire("a", 10);
    bench.acquire("b", 10);
    bench.release("a");
    let end = Offset::new(50);
    let event = Event::Purge { key: key(), end };
    assert_eq!(bench.ask(event.clone()), Ok(Reply::Purged(40)));
    let depth = bench.depth();
    assert_eq!((depth.start.get(), depth.next.get()), (10, 50));
    assert_eq!((depth.in_flight, depth.ready), (10, 0));
    assert_eq!(bench.ask(event), Ok(Reply::Purged(0)));
    assert_eq!(bench.acquire("a", 5), [(50, 54, 1)]);
    bench.say("b", 10, 19, Accept);
    assert_eq!(bench.depth().start.get(), 50);
}

#[test]
fn queues_go_one_by_one_with_their_group_or_with_their_topic() {
    let mut bench = Bench::without_queue();
    let start = Offset::ZERO;
    let keys = [("g", 0), ("g", 1), ("h", 0), ("h", 1)];
    for (group, index) in keys {
        let key = key_of(group, index);
        bench.ask(Event::Initialize { key, start }).unwrap();
    }
    let surveyed = |bench: &mut Bench, group: Option<&str>| {
        let group = group.map(Into::into);
        match bench.ask(Event::Survey { group }) {
            Ok(Reply::Surveyed(queues)) => queues.len(),
            other => panic!("{other:?}"),
        }
    };
    assert_eq!(surveyed(&mut bench, None), 4);
    bench.ask(Event::Delete { key: key() }).unwrap();
    assert_eq!(surveyed(&mut bench, Some("g")), 1);
    let group = "h".into();
    bench.ask(Event::DeleteGroup { group }).unwrap();
    assert_eq!(surveyed(&mut bench, None), 1);
    let topic = key().partition.topic;
    bench.ask(Event::TopicDeleted(topic)).unwrap();
    assert_eq!(surveyed(&mut bench, None), 0);
    let written = bench.log.len();
    bench.ask(Event::Delete { key: key() }).unwrap();
    assert_eq!(bench.log.len(), written);
    assert_eq!(snapshot_of(&bench.replayed(&bench.log)), []);
    assert_eq!(bench.machine.next_timeout(), None);
}

#[test]
fn a_shard_has_only_so_many_queues() {
    let mut bench = Bench::without_queue();
    bench.machine = crate::coordinator::share::ShareMachine::with_limits(20, 2);
    let start = Offset::ZERO;
    let initialize = |index| Event::Initialize {
        key: key_of("g", index),
        start,
    };
    let reset = |index| Event::Reset {
        key: key_of("g", index),
        start,
    };
    let full = Err(ErrorCode::GroupMaxSizeReached);
    bench.ask(initialize(0)).unwrap();
    bench.ask(reset(1)).unwrap();
    let written = bench.log.len();
    assert_eq!(bench.ask(initialize(2)), full);
    assert_eq!(bench.ask(reset(2)), full);
    assert_eq!(bench.log.len(), written);
    // Those that are there stay, and may begin anew.
    assert_eq!(bench.ask(initialize(0)), Ok(Reply::Done));
    assert_eq!(bench.ask(reset(0)), Ok(Reply::Done));
    bench
        .ask(Event::Delete {
            key: key_of("g", 1),
        })
        .unwrap();
    assert_eq!(bench.ask(initialize(2)), Ok(Reply::Done));
}
