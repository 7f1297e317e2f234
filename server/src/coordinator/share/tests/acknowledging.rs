use ratel_protocol::ErrorCode::{InvalidRecordState, InvalidRequest};
use ratel_storage::Offset;

use super::bench::{Bench, key};
use crate::coordinator::share::AckType::{Accept, Gap, Reject, Release, Renew};
use crate::coordinator::share::{
    Action, DeadRange, DeadReason, Durable, Event, Record, Reply, StateBatch, Update,
};

fn batch(first: i64, last: i64, state: Durable, count: i16) -> StateBatch {
    StateBatch {
        first,
        last,
        state,
        count,
        not_before_ms: 0,
    }
}

#[test]
fn what_is_accepted_is_written_down_and_moves_the_start() {
    let mut bench = Bench::new();
    bench.acquire("a", 10);
    bench.say("a", 0, 4, Accept);
    let update = Update {
        snapshot_epoch: 0,
        start: Some(5),
        complete: 0,
        batches: vec![batch(0, 4, Durable::Acknowledged, 1)],
        continues: false,
    };
    assert_eq!(bench.log.last(), Some(&Record::Update(key(), update)));
    bench.say("a", 7, 8, Accept);
    let update = Update {
        snapshot_epoch: 0,
        start: None,
        complete: 2,
        batches: vec![batch(7, 8, Durable::Acknowledged, 1)],
        continues: false,
    };
    assert_eq!(bench.log.last(), Some(&Record::Update(key(), update)));
    bench.say("a", 5, 6, Accept);
    let depth = bench.depth();
    assert_eq!((depth.start.get(), depth.complete), (9, 0));
    assert_eq!((depth.next.get(), depth.in_flight), (10, 1));
}

#[test]
fn each_type_does_its_own() {
    let mut bench = Bench::new();
    bench.acquire("a", 6);
    let types = [Renew, Gap, Accept, Release, Reject, Accept];
    let outcome = bench.acknowledge("a", &[(0, 5, &types)]);
    assert_eq!(outcome, Ok(Reply::Done));
    let Some(Record::Update(_, update)) = bench.log.last() else {
        panic!("nothing written");
    };
    assert_eq!(
        update.batches,
        [
            batch(1, 1, Durable::Archived, 1),
            batch(2, 2, Durable::Acknowledged, 1),
            batch(3, 3, Durable::Available, 1),
            batch(4, 4, Durable::Archived, 1),
            batch(5, 5, Durable::Acknowledged, 1),
        ]
    );
    assert_eq!(bench.acted(), [Action::Wake(key())]);
    let depth = bench.depth();
    assert_eq!((depth.in_flight, depth.ready, depth.dead), (1, 1, 1));
    assert_eq!(depth.complete, 4);
}

#[test]
fn a_request_holds_as_a_whole_or_not_at_all() {
    let mut bench = Bench::new();
    bench.acquire("a", 10);
    let (written, before) = (bench.log.len(), bench.depth());
    let refused = bench.acknowledge(
        "a",
        &[(0, 4, &[Accept]), (5, 6, &[Renew]), (8, 10, &[Accept])],
    );
    assert_eq!(refused, Err(InvalidRequest));
    assert_eq!((bench.log.len(), bench.depth()), (written, before));
    bench.advance(29_999);
    assert_eq!(bench.depth().lock_expired, 0);
    bench.advance(1);
    assert_eq!(bench.depth().lock_expired, 10, "nothing was renewed");
}

/// queues.md 1.4, row by row.
#[test]
fn acknowledgements_that_do_not_hold_say_why() {
    let mut bench = Bench::new();
    bench.acquire("a", 10);
    bench.acquire("b", 10);
    bench.say("a", 0, 1, Accept);
    bench.say("a", 3, 3, Accept);
    let mut refused = |member: &str, batches: &[_], error| {
        assert_eq!(
            bench.acknowledge(member, batches),
            Err(error),
            "{batches:?}"
        );
    };
    refused("a", &[(5, 4, &[Accept])], InvalidRequest);
    refused("a", &[(5, 7, &[Accept]), (6, 7, &[Accept])], InvalidRequest);
    refused(
        "a",
        &[(5, 6, &[Accept]), (6, 7, &[Accept])],
        InvalidRecordState,
    );
    refused("a", &[(8, 9, &[Accept]), (5, 6, &[Accept])], InvalidRequest);
    refused("a", &[(5, 7, &[Accept, Accept])], InvalidRequest);
    refused("a", &[(5, 7, &[])], InvalidRequest);
    refused("a", &[(5, 7, &[Accept; 4])], InvalidRequest);
    refused("a", &[(-1, 2, &[Accept])], InvalidRequest);
    // Past what was acquired.
    refused("b", &[(19, 20, &[Accept])], InvalidRequest);
    refused("b", &[(20, 20, &[Accept])], InvalidRequest);
    refused("b", &[(100, 200, &[Accept])], InvalidRequest);
    refused("b", &[(5, i64::MAX, &[Accept])], InvalidRequest);
    // Somebody else's, nobody's, done already.
    refused("b", &[(5, 5, &[Accept])], InvalidRecordState);
    refused("a", &[(9, 10, &[Accept])], InvalidRecordState);
    refused("c", &[(5, 5, &[Accept])], InvalidRecordState);
    refused("a", &[(3, 3, &[Accept])], InvalidRecordState);
    refused("a", &[(2, 4, &[Release])], InvalidRecordState);
    // Wholly or partly below the start is fine, as far as that goes.
    bench.say("a", 0, 1, Accept);
    bench.say("c", 0, 1, Reject);
    bench.say("a", 0, 2, Accept);
    assert_eq!(bench.depth().start.get(), 4);
}

#[test]
fn an_acknowledgement_after_the_lock_ran_out_is_refused() {
    let mut bench = Bench::new();
    bench.acquire("a", 10);
    bench.now = bench.now.plus_ms(30_000);
    // Even before anybody noticed.
    let refused = bench.acknowledge("a", &[(0, 9, &[Accept])]);
    assert_eq!(refused, Err(InvalidRecordState));
    bench.advance(0);
    let refused = bench.acknowledge("a", &[(0, 9, &[Accept])]);
    assert_eq!(refused, Err(InvalidRecordState));
    assert_eq!(bench.acquire("b", 10), [(0, 9, 2)]);
    let refused = bench.acknowledge("a", &[(0, 9, &[Accept])]);
    assert_eq!(refused, Err(InvalidRecordState));
    bench.say("b", 0, 9, Accept);
}

#[test]
fn an_empty_window_knows_no_record() {
    let mut bench = Bench::new();
    let refused = bench.acknowledge("a", &[(0, 0, &[Accept])]);
    assert_eq!(refused, Err(InvalidRecordState));
}

#[test]
fn renewing_can_be_forbidden() {
    let mut bench = Bench::with(|config| config.renew = false);
    bench.acquire("a", 2);
    let refused = bench.acknowledge("a", &[(0, 1, &[Accept, Renew])]);
    assert_eq!(refused, Err(InvalidRecordState), "as Kafka 4.3 answers");
    assert_eq!(bench.depth().in_flight, 2);
    bench.say("a", 0, 0, Accept);
    // What lies below the start is fine whatever is said of it.
    let outcome = bench.acknowledge("a", &[(0, 1, &[Renew, Accept])]);
    assert_eq!(outcome, Ok(Reply::Done));
    bench.say("a", 0, 1, Renew);
}

#[test]
fn at_the_delivery_limit_a_record_is_archived_and_said_once() {
    let mut bench = Bench::with(|config| config.delivery_count_limit = 1);
    bench.acquire("a", 2);
    bench.say("a", 0, 0, Release);
    let first = Offset::ZERO;
    assert_eq!(bench.acted(), [Action::GaveUp { key: key(), first }]);
    bench.say("a", 1, 1, Release);
    assert_eq!(bench.acted(), []);
    let depth = bench.depth();
    assert_eq!((depth.start.get(), depth.dead), (2, 2));
}

#[test]
fn with_dead_letters_a_record_is_archived_only_once_it_stands_there() {
    let mut bench = Bench::with(|config| {
        config.delivery_count_limit = 1;
        config.dead_letters = true;
    });
    bench.acquire("a", 6);
    let outcome = bench.acknowledge("a", &[(0, 1, &[Release]), (2, 3, &[Reject])]);
    assert_eq!(outcome, Ok(Reply::Done));
    let dead = |first, last, reason| DeadRange {
        first: Offset::new(first),
        last: Offset::new(last),
        delivery_count: 1,
        reason,
    };
    let ranges = vec![
        dead(0, 1, DeadReason::DeliveryLimit),
        dead(2, 3, DeadReason::Rejected),
    ];
    assert_eq!(bench.acted(), [Action::DeadLetter { key: key(), ranges }]);
    let depth = bench.depth();
    assert_eq!((depth.start.get(), depth.archiving, depth.dead), (0, 4, 0));
    let again = bench.acknowledge("a", &[(0, 0, &[Accept])]);
    assert_eq!(again, Err(InvalidRecordState));

    // Issued again after a restart, the reason being the limit then.
    bench.restart();
    let ranges = vec![dead(0, 3, DeadReason::DeliveryLimit)];
    let again = Action::DeadLetter { key: key(), ranges };
    assert_eq!(bench.acted(), [again, Action::Wake(key())]);

    let ranges = vec![
        (Offset::new(2), Offset::new(50)),
        (Offset::ZERO, Offset::ZERO),
    ];
    bench
        .ask(Event::DeadLettered { key: key(), ranges })
        .unwrap();
    let depth = bench.depth();
    assert_eq!(
        (depth.start.get(), depth.archiving, depth.complete),
        (1, 1, 2)
    );
    let ranges = vec![(Offset::ZERO, Offset::new(9))];
    bench
        .ask(Event::DeadLettered { key: key(), ranges })
        .unwrap();
    assert_eq!(bench.depth().start.get(), 4);
}

/// What is written as complete is what the runs say once it is applied.
#[test]
fn complete_counts_are_right_in_every_update() {
    let mut bench = Bench::new();
    bench.batches.retain(|(first, _)| first % 30 != 0);
    bench.acquire("a", 100);
    for (first, last) in [(15, 18), (40, 55), (10, 14), (80, 80), (19, 29)] {
        bench.say("a", first, last, Accept);
        let Some(Record::Update(_, update)) = bench.log.last() else {
            panic!("nothing written");
        };
        let (complete, start) = (update.complete, update.start);
        let depth = bench.depth();
        assert_eq!(u64::try_from(complete), Ok(depth.complete));
        assert!(start.is_none_or(|start| start == depth.start.get()));
    }
    let (partition, start) = (key().partition, Offset::new(50));
    let event = Event::LogStart { partition, start };
    assert_eq!(bench.ask(event), Ok(Reply::Done));
    let Some(Record::Update(_, update)) = bench.log.last() else {
        panic!("nothing written");
    };
    let complete = update.complete;
    assert_eq!(u64::try_from(complete), Ok(bench.depth().complete));
    assert_eq!(bench.depth().start.get(), 56);
}
