use super::*;
use crate::Outcome;

fn header(id: i64, epoch: i16, sequence: i32, count: i32) -> BatchHeader {
    BatchHeader {
        base_offset: 0,
        bytes: 100,
        leader_epoch: 0,
        crc: 0,
        attributes: 0,
        last_offset_delta: count - 1,
        base_timestamp: 5,
        max_timestamp: 5,
        producer_id: id,
        producer_epoch: epoch,
        base_sequence: sequence,
        count,
    }
}

fn send(producers: &mut Producers, header: &BatchHeader, base: i64) {
    assert_eq!(producers.check(header).unwrap(), None);
    producers.apply(header, Offset::new(base), 1);
}

fn refused(producers: &Producers, header: &BatchHeader) -> (i32, i32) {
    match producers.check(header) {
        Err(StorageError::OutOfOrderSequence {
            expected, found, ..
        }) => (expected, found),
        other => panic!("{other:?}"),
    }
}

#[test]
fn p_15_each_of_the_last_five_batches_is_recognised_and_no_older_one() {
    let mut producers = Producers::default();
    for n in 0..6 {
        send(&mut producers, &header(1, 0, n * 2, 2), i64::from(n) * 10);
    }
    for n in 1..6 {
        let sent = producers.check(&header(1, 0, n * 2, 2)).unwrap().unwrap();
        assert_eq!(sent.base, Offset::new(i64::from(n) * 10));
        assert_eq!(sent.end, Offset::new(i64::from(n) * 10 + 2));
    }
    assert_eq!(refused(&producers, &header(1, 0, 0, 2)), (12, 0));
}

#[test]
fn p_15_a_partial_overlap_is_no_duplicate() {
    let mut producers = Producers::default();
    send(&mut producers, &header(1, 0, 0, 4), 0);
    assert_eq!(refused(&producers, &header(1, 0, 0, 3)), (4, 0));
    assert_eq!(refused(&producers, &header(1, 0, 2, 2)), (4, 2));
}

#[test]
fn p_16_the_next_sequence_is_one_on_and_wraps() {
    let mut producers = Producers::default();
    send(&mut producers, &header(1, 0, i32::MAX - 1, 2), 0);
    assert_eq!(refused(&producers, &header(1, 0, 1, 1)), (0, 1));
    send(&mut producers, &header(1, 0, 0, 1), 2);
    assert_eq!(refused(&producers, &header(1, 0, 3, 1)), (1, 3));
}

#[test]
fn p_16_a_batch_may_cross_the_wrap() {
    let mut producers = Producers::default();
    send(&mut producers, &header(1, 0, i32::MAX, 3), 0);
    assert_eq!(producers.summaries()[0].last_sequence, 1);
    send(&mut producers, &header(1, 0, 2, 1), 3);
}

#[test]
fn p_17_a_higher_epoch_begins_at_zero_and_fences_the_lower() {
    let mut producers = Producers::default();
    send(&mut producers, &header(1, 0, 0, 3), 0);
    assert_eq!(refused(&producers, &header(1, 1, 3, 1)), (0, 3));
    send(&mut producers, &header(1, 1, 0, 1), 3);
    assert!(matches!(
        producers.check(&header(1, 0, 3, 1)),
        Err(StorageError::ProducerFenced {
            producer_id: 1,
            current: 1,
            found: 0
        })
    ));
}

#[test]
fn p_18_an_expired_producer_may_send_any_sequence() {
    let mut producers = Producers::default();
    send(&mut producers, &header(1, 0, 0, 3), 0);
    producers.expire(1);
    assert_eq!(producers.by_id.len(), 1);
    producers.expire(2);
    assert_eq!(producers.by_id.len(), 0);
    send(&mut producers, &header(1, 0, 77, 1), 3);
}

#[test]
fn the_longest_silent_go_first_when_there_are_too_many() {
    let mut producers = Producers::default();
    for id in 0..16 {
        producers.apply(&header(id, 0, 0, 1), Offset::ZERO, 100 - id);
    }
    assert!(producers.make_room(99, 17) && producers.make_room(3, 16));
    assert_eq!(producers.by_id.len(), 16);
    assert!(producers.make_room(99, 16));
    assert_eq!(producers.by_id.len(), 14);
    let known = |id| producers.by_id.contains_key(&id);
    assert!(!known(15) && !known(14) && known(13));
}

fn transactional(id: i64, epoch: i16, sequence: i32) -> BatchHeader {
    BatchHeader {
        attributes: 0x10,
        ..header(id, epoch, sequence, 1)
    }
}

fn marker(id: i64, epoch: i16, coordinator_epoch: i32, transaction_version: u8) -> Marker {
    Marker {
        producer: Producer { id, epoch },
        outcome: Outcome::Abort,
        coordinator_epoch,
        transaction_version,
    }
}

#[test]
fn p_18_one_with_an_open_transaction_is_neither_expired_nor_pushed_out() {
    let mut producers = Producers::default();
    producers.apply(&transactional(1, 0, 0), Offset::new(5), 1);
    producers.expire(100);
    assert_eq!(producers.by_id.len(), 1);
    assert!(!producers.make_room(2, 1));
    producers.apply_marker(&marker(1, 0, 0, 0), 1, 1);
    assert!(producers.make_room(2, 1));
    assert_eq!(producers.by_id.len(), 0);
}

#[test]
fn t_15_the_first_transactional_batch_begins_and_the_marker_ends() {
    let mut producers = Producers::default();
    let began = producers.apply(&transactional(1, 0, 0), Offset::new(5), 1);
    assert_eq!(began, Effect::Began);
    let more = producers.apply(&transactional(1, 0, 1), Offset::new(6), 1);
    assert_eq!(more, Effect::None);
    assert_eq!(
        producers.summaries()[0].transaction_start,
        Some(Offset::new(5))
    );
    let ended = Effect::Ended {
        producer_id: 1,
        first: Offset::new(5),
        outcome: Outcome::Abort,
    };
    assert_eq!(producers.apply_marker(&marker(1, 0, 4, 0), 7, 1), ended);
    assert_eq!(producers.summaries()[0].coordinator_epoch, 4);
    let again = producers.apply_marker(&marker(1, 0, 4, 0), 7, 1);
    assert_eq!(again, Effect::None);
    // The same epoch: sequences go on.
    assert_eq!(producers.check(&transactional(1, 0, 2)).unwrap(), None);
}

#[test]
fn t_12_an_older_marker_and_an_older_coordinator_are_fenced() {
    let mut producers = Producers::default();
    assert!(producers.check_marker(&marker(1, 3, 0, 0)).is_ok());
    producers.apply(&transactional(1, 3, 0), Offset::new(5), 1);
    let fenced = |producers: &Producers, marker| {
        let refused = producers.check_marker(&marker);
        matches!(refused, Err(StorageError::ProducerFenced { .. }))
    };
    assert!(fenced(&producers, marker(1, 2, 0, 1)));
    assert!(!fenced(&producers, marker(1, 3, 0, 1)));
    assert!(
        fenced(&producers, marker(1, 3, 0, 2)),
        "one of the transaction before"
    );
    assert!(!fenced(&producers, marker(1, 4, 0, 2)));
    producers.apply_marker(&marker(1, 4, 6, 2), 7, 1);
    assert!(!fenced(&producers, marker(1, 4, 6, 2)), "it comes again");
    let refused = producers.check_marker(&marker(1, 5, 5, 2));
    assert!(matches!(
        refused,
        Err(StorageError::CoordinatorFenced {
            producer_id: 1,
            current: 6,
            found: 5
        })
    ));
    // Another epoch: sequences begin anew.
    assert_eq!(refused_sequence(&producers, 1), (0, 1));
    assert_eq!(producers.check(&transactional(1, 4, 0)).unwrap(), None);
}

fn refused_sequence(producers: &Producers, sequence: i32) -> (i32, i32) {
    refused(producers, &transactional(1, 4, sequence))
}
