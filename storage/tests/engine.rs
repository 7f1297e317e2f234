//! One suite for every disk: what an engine answers, exactly.
#![allow(clippy::unwrap_used, clippy::panic, reason = "tests fail by panicking")]

mod support;

use std::sync::Arc;

use ratel_storage::{
    Appended, Bound, Durability, Engine, LogSettings, Offset, Offsets, Origin, Partition,
    ProducerSummary, ReadRequest, StorageError, TimeQuery, TimedOffset, TimestampType,
};
use support::{
    InMemory, NOW_MS, OnDisk, Place, append, batch, batch_at, numbered, open, partition_id,
    poll_once, produced, read_batches, read_values, settings, start, wait,
};
use tokio::sync::Notify;

/// Runs each test on the real disk and on the one in memory.
macro_rules! on_every_disk {
    ($($name:ident),* $(,)?) => {
        mod os_disk {
            $(#[test] fn $name() { super::$name(&<super::OnDisk as super::Place>::new()); })*
        }
        mod memory_disk {
            $(#[test] fn $name() { super::$name(&<super::InMemory as super::Place>::new()); })*
        }
    };
}

on_every_disk!(
    appends_get_offsets_without_a_gap,
    reads_give_whole_batches,
    reads_outside_the_log_are_refused,
    a_watch_wakes_once_and_only_for_what_it_waits_for,
    a_watch_wakes_when_the_partition_goes_or_its_start_moves,
    segments_roll_by_size_and_reads_cross_them,
    segments_roll_by_time,
    retention_by_size_drops_whole_segments,
    retention_by_time_drops_what_is_old,
    nothing_is_dropped_without_cleanup_by_deletion,
    d_1_r_4_the_start_moves_up_and_never_back,
    d_1_the_start_moves_to_the_end_and_the_log_goes_on,
    p_15_a_repeated_batch_gets_its_first_offset,
    p_16_a_gap_in_the_sequence_is_refused,
    p_17_an_old_epoch_is_fenced,
    p_18_five_batches_are_remembered_across_restarts,
    producers_are_listed_by_id,
    l_6_epochs_end_where_the_next_begins,
    dc_7_an_unclean_start_raises_the_leader_epoch,
    l_3_records_are_found_by_time,
    l_3_records_are_found_by_time_across_segments,
    p_12_the_log_gives_its_own_time,
    p_9_a_batch_longer_than_allowed_is_refused,
    p_11_a_timestamp_too_far_ahead_is_refused,
    a_deleted_partition_is_unknown_and_starts_anew,
    a_closed_engine_takes_no_appends_and_opens_with_everything,
    an_engine_that_was_dropped_without_close_opens_with_everything,
    settings_change_while_a_partition_is_open,
    many_threads_append_in_one_order,
);

fn appended(base: i64, end: i64) -> Appended {
    Appended {
        base_offset: Offset::new(base),
        end_offset: Offset::new(end),
        log_append_time_ms: -1,
        start_offset: Offset::ZERO,
        duplicate: false,
    }
}

fn with(change: impl FnOnce(&mut LogSettings)) -> Arc<LogSettings> {
    let mut settings = LogSettings::default();
    change(&mut settings);
    Arc::new(settings)
}

fn all(partition: &Arc<dyn Partition>) -> Vec<(i64, String)> {
    let start = partition.offsets().start;
    read_values(partition, start, Bound::HighWatermark).unwrap()
}

fn appends_get_offsets_without_a_gap(place: &impl Place) {
    let engine = start(place.disk()).unwrap();
    let log = open(&engine, 0);
    let empty = Offsets::default();
    assert_eq!(log.offsets(), empty);
    assert_eq!(
        (log.size(), log.segments() <= 1, log.id()),
        (0, true, partition_id(0))
    );
    let written = append(&log, &batch(&["a", "b"]), Durability::Written).unwrap();
    assert_eq!(written, appended(0, 2));
    let synced = append(&log, &batch(&["c"]), Durability::Synced).unwrap();
    assert_eq!(synced, appended(2, 3));
    let end = Offset::new(3);
    let expected = Offsets {
        start: Offset::ZERO,
        stable: end,
        high_watermark: end,
        end,
        leader_epoch: empty.leader_epoch,
    };
    assert_eq!(log.offsets(), expected);
    assert_eq!(all(&log), numbered(&["a", "b", "c"]));
    let bytes = batch(&["a", "b"]).bytes().len() + batch(&["c"]).bytes().len();
    assert_eq!((log.size(), log.segments()), (bytes as u64, 1));
    assert_eq!(log.damage(), None);
    assert_eq!(engine.complaints(), [""; 0]);
}

fn reads_give_whole_batches(place: &impl Place) {
    let engine = start(place.disk()).unwrap();
    let log = open(&engine, 0);
    let batches = [batch(&["a", "b", "c"]), batch(&["d"]), batch(&["e", "f"])];
    for batch in &batches {
        append(&log, batch, Durability::Written).unwrap();
    }
    let found = read_batches(&log, Offset::ZERO, Bound::End).unwrap();
    let bases: Vec<_> = found.iter().map(|(header, _)| header.base_offset).collect();
    assert_eq!(bases, [0, 3, 4]);
    for ((header, bytes), sent) in found.iter().zip(&batches) {
        assert_eq!(header.leader_epoch, log.offsets().leader_epoch);
        // All but base offset and epoch is as it was sent (P-13).
        assert_eq!(bytes[8..12], sent.bytes()[8..12]);
        assert_eq!(bytes[16..], sent.bytes()[16..]);
    }
    let one = batches[0].bytes().len();
    let read = |from: i64, max_bytes: usize, at_least_one: bool| {
        let request = ReadRequest {
            from: Offset::new(from),
            max_bytes,
            at_least_one,
            bound: Bound::HighWatermark,
        };
        let read = wait(log.read(request)).unwrap();
        assert!(!read.behind_active);
        read.records.map(|slice| slice.len())
    };
    assert_eq!(
        read(1, one, false),
        Some(one),
        "a batch that begins before the offset"
    );
    assert_eq!(read(0, one - 1, false), None);
    assert_eq!(
        read(0, 0, true),
        Some(one),
        "the first batch whatever its length"
    );
    assert_eq!(read(0, one + 1, false), Some(one), "no part of a batch");
    let two = batches[1].bytes().len();
    assert_eq!(read(0, one + two, false), Some(one + two));
    assert_eq!(read(3, two, false), Some(two));
    assert_eq!(read(6, 1000, true), None, "the end is empty");
}

fn reads_outside_the_log_are_refused(place: &impl Place) {
    let engine = start(place.disk()).unwrap();
    let log = open(&engine, 0);
    append(&log, &batch(&["a", "b"]), Durability::Written).unwrap();
    for from in [-1, 3, i64::MAX] {
        let request = ReadRequest {
            from: Offset::new(from),
            max_bytes: 100,
            at_least_one: true,
            bound: Bound::HighWatermark,
        };
        match wait(log.read(request)).unwrap_err() {
            StorageError::OffsetOutOfRange { offset, start, end } => {
                assert_eq!((offset.get(), start.get(), end.get()), (from, 0, 2));
            }
            other => panic!("{other}"),
        }
    }
}

fn notified(notify: &Notify) -> bool {
    let mut notified = std::pin::pin!(notify.notified());
    notified.as_mut().enable()
}

fn a_watch_wakes_once_and_only_for_what_it_waits_for(place: &impl Place) {
    let engine = start(place.disk()).unwrap();
    let log = open(&engine, 0);
    let (near, far, gone) = (Notify::new(), Notify::new(), Notify::new());
    let [near, far, gone] = [near, far, gone].map(Arc::new);
    let _near = log.watch(Offset::ZERO, Bound::HighWatermark, &near);
    let _far = log.watch(Offset::new(2), Bound::HighWatermark, &far);
    drop(log.watch(Offset::ZERO, Bound::HighWatermark, &gone));
    assert!(!notified(&near));
    append(&log, &batch(&["a", "b"]), Durability::Written).unwrap();
    assert_eq!(
        [&near, &far, &gone].map(|notify| notified(notify)),
        [true, false, false]
    );
    append(&log, &batch(&["c"]), Durability::Synced).unwrap();
    assert_eq!(
        [&near, &far, &gone].map(|notify| notified(notify)),
        [false, true, false]
    );
}

fn a_watch_wakes_when_the_partition_goes_or_its_start_moves(place: &impl Place) {
    let engine = start(place.disk()).unwrap();
    let log = open(&engine, 0);
    append(&log, &batch(&["a", "b"]), Durability::Written).unwrap();
    let notify = Arc::new(Notify::new());
    let first = log.watch(Offset::new(2), Bound::HighWatermark, &notify);
    wait(log.advance_start(Offset::new(1))).unwrap();
    assert!(notified(&notify));
    drop(first);
    let _second = log.watch(Offset::new(2), Bound::HighWatermark, &notify);
    assert!(!notified(&notify));
    engine.delete(partition_id(0)).unwrap();
    assert!(notified(&notify));
}

/// Settings under which two of `batch(&["....."])` fill a segment.
fn small_segments(batches: u64) -> Arc<LogSettings> {
    with(|settings| settings.segment_bytes = batches * batch(&["00"]).bytes().len() as u64)
}

fn number_batches(log: &Arc<dyn Partition>, from: u8, to: u8) {
    for number in from..to {
        append(log, &batch(&[&format!("{number:02}")]), Durability::Written).unwrap();
    }
}

fn numbers(from: u8, to: u8) -> Vec<(i64, String)> {
    (from..to)
        .map(|number| (i64::from(number), format!("{number:02}")))
        .collect()
}

fn segments_roll_by_size_and_reads_cross_them(place: &impl Place) {
    let engine = start(place.disk()).unwrap();
    let log = engine.open(partition_id(0), small_segments(2)).unwrap();
    number_batches(&log, 0, 9);
    assert_eq!(log.segments(), 5);
    assert_eq!(all(&log), numbers(0, 9));
    for from in 0..9 {
        let found = read_values(&log, Offset::new(from), Bound::End).unwrap();
        assert_eq!(found, numbers(u8::try_from(from).unwrap(), 9));
    }
    let behind = |from: i64| {
        let request = ReadRequest {
            from: Offset::new(from),
            max_bytes: 1000,
            at_least_one: true,
            bound: Bound::HighWatermark,
        };
        wait(log.read(request)).unwrap().behind_active
    };
    assert_eq!([0, 7, 8, 9].map(behind), [true, true, false, false]);
}

fn segments_roll_by_time(place: &impl Place) {
    let engine = start(place.disk()).unwrap();
    let log = engine
        .open(partition_id(0), with(|settings| settings.segment_ms = 1000))
        .unwrap();
    for (age_ms, segments) in [(0, 1), (1000, 1), (1001, 2), (1500, 2), (2002, 3)] {
        let batch = batch_at(NOW_MS + age_ms, &["x"]);
        let now_ms = NOW_MS + age_ms;
        wait(log.append(&batch, Origin::Client, Durability::Written, now_ms)).unwrap();
        assert_eq!(log.segments(), segments, "after {age_ms} ms");
    }
}

fn retention_by_size_drops_whole_segments(place: &impl Place) {
    let engine = start(place.disk()).unwrap();
    let one = batch(&["00"]).bytes().len() as u64;
    let settings = with(|settings| {
        settings.segment_bytes = 2 * one;
        settings.retention_bytes = Some(5 * one);
    });
    let log = engine.open(partition_id(0), settings).unwrap();
    number_batches(&log, 0, 10);
    engine.upkeep(NOW_MS);
    // Five segments of two; two of them can go while five batches are left.
    assert_eq!((log.offsets().start.get(), log.segments()), (4, 3));
    assert_eq!(log.size(), 6 * one);
    assert_eq!(all(&log), numbers(4, 10));
    drop((log, engine));
    let engine = start(place.disk()).unwrap();
    let log = open(&engine, 0);
    assert_eq!(all(&log), numbers(4, 10));
}

fn retention_by_time_drops_what_is_old(place: &impl Place) {
    let engine = start(place.disk()).unwrap();
    let one = batch(&["00"]).bytes().len() as u64;
    let settings = with(|settings| {
        settings.segment_bytes = one;
        settings.retention_ms = Some(1000);
    });
    let log = engine.open(partition_id(0), settings).unwrap();
    for (number, age) in [("00", 5000), ("01", 900), ("02", 4000)] {
        append(
            &log,
            &batch_at(NOW_MS - age, &[number]),
            Durability::Written,
        )
        .unwrap();
    }
    engine.upkeep(NOW_MS);
    // Only a prefix can go: the young one in the middle holds back what is behind it.
    assert_eq!((log.offsets().start.get(), log.segments()), (1, 2));
    engine.upkeep(NOW_MS + 200);
    assert_eq!(log.offsets().start.get(), 3);
    assert_eq!(log.offsets().end.get(), 3);
    let next = append(&log, &batch(&["03"]), Durability::Synced).unwrap();
    assert_eq!(next.base_offset.get(), 3);
}

fn nothing_is_dropped_without_cleanup_by_deletion(place: &impl Place) {
    let engine = start(place.disk()).unwrap();
    let one = batch(&["00"]).bytes().len() as u64;
    let settings = with(|settings| {
        settings.segment_bytes = one;
        settings.retention_ms = Some(1);
        settings.retention_bytes = Some(1);
        settings.delete = false;
    });
    let log = engine.open(partition_id(0), settings).unwrap();
    number_batches(&log, 0, 4);
    engine.upkeep(NOW_MS + 1_000_000);
    assert_eq!(all(&log), numbers(0, 4));
}

fn d_1_r_4_the_start_moves_up_and_never_back(place: &impl Place) {
    let engine = start(place.disk()).unwrap();
    let log = engine.open(partition_id(0), small_segments(2)).unwrap();
    number_batches(&log, 0, 7);
    assert_eq!(wait(log.advance_start(Offset::new(3))).unwrap().get(), 3);
    assert_eq!((log.segments(), log.offsets().start.get()), (3, 3));
    assert_eq!(wait(log.advance_start(Offset::new(1))).unwrap().get(), 3);
    assert_eq!(all(&log), numbers(3, 7));
    match wait(log.advance_start(Offset::new(8))).unwrap_err() {
        StorageError::OffsetOutOfRange { offset, start, end } => {
            assert_eq!((offset.get(), start.get(), end.get()), (8, 3, 7));
        }
        other => panic!("{other}"),
    }
    let refused = read_values(&log, Offset::new(2), Bound::End).unwrap_err();
    assert!(matches!(refused, StorageError::OffsetOutOfRange { .. }));
    drop((log, engine));
    let engine = start(place.disk()).unwrap();
    assert_eq!(all(&open(&engine, 0)), numbers(3, 7));
}

fn d_1_the_start_moves_to_the_end_and_the_log_goes_on(place: &impl Place) {
    let engine = start(place.disk()).unwrap();
    let log = open(&engine, 0);
    number_batches(&log, 0, 3);
    assert_eq!(wait(log.advance_start(Offset::new(3))).unwrap().get(), 3);
    assert_eq!(all(&log), []);
    drop((log, engine));
    let engine = start(place.disk()).unwrap();
    let log = open(&engine, 0);
    assert_eq!((log.offsets().start.get(), log.offsets().end.get()), (3, 3));
    number_batches(&log, 3, 5);
    assert_eq!(all(&log), numbers(3, 5));
}

fn p_15_a_repeated_batch_gets_its_first_offset(place: &impl Place) {
    let engine = start(place.disk()).unwrap();
    let log = open(&engine, 0);
    let first = produced(7, 0, 0, &["a", "b"]);
    let second = produced(7, 0, 2, &["c"]);
    for durability in [Durability::Written, Durability::Synced] {
        append(&log, &first, durability).unwrap();
        append(&log, &second, durability).unwrap();
    }
    let expected = Appended {
        duplicate: true,
        ..appended(0, 2)
    };
    assert_eq!(append(&log, &first, Durability::Synced).unwrap(), expected);
    assert_eq!(all(&log), numbered(&["a", "b", "c"]));
}

fn p_16_a_gap_in_the_sequence_is_refused(place: &impl Place) {
    let engine = start(place.disk()).unwrap();
    let log = open(&engine, 0);
    append(&log, &produced(7, 0, 0, &["a"]), Durability::Written).unwrap();
    match append(&log, &produced(7, 0, 2, &["c"]), Durability::Written).unwrap_err() {
        StorageError::OutOfOrderSequence {
            producer_id,
            expected,
            found,
        } => assert_eq!((producer_id, expected, found), (7, 1, 2)),
        other => panic!("{other}"),
    }
    let next = append(&log, &produced(7, 0, 1, &["b"]), Durability::Written).unwrap();
    assert_eq!(next, appended(1, 2));
}

fn p_17_an_old_epoch_is_fenced(place: &impl Place) {
    let engine = start(place.disk()).unwrap();
    let log = open(&engine, 0);
    append(&log, &produced(7, 3, 0, &["a"]), Durability::Written).unwrap();
    append(&log, &produced(7, 4, 0, &["b"]), Durability::Written).unwrap();
    match append(&log, &produced(7, 3, 1, &["c"]), Durability::Written).unwrap_err() {
        StorageError::ProducerFenced {
            producer_id,
            current,
            found,
        } => assert_eq!((producer_id, current, found), (7, 4, 3)),
        other => panic!("{other}"),
    }
    assert_eq!(all(&log), numbered(&["a", "b"]));
}

fn p_18_five_batches_are_remembered_across_restarts(place: &impl Place) {
    for clean in [false, true] {
        let index = i32::from(clean);
        let engine = start(place.disk()).unwrap();
        let log = engine.open(partition_id(index), small_segments(3)).unwrap();
        for sequence in 0..8 {
            append(&log, &produced(7, 0, sequence, &["x"]), Durability::Written).unwrap();
        }
        if clean {
            wait(engine.close()).unwrap();
        }
        drop((log, engine));
        let engine = start(place.disk()).unwrap();
        let log = open(&engine, index);
        for sequence in 3..8 {
            let again = append(&log, &produced(7, 0, sequence, &["x"]), Durability::Synced);
            let again = again.unwrap();
            assert_eq!(
                (again.base_offset.get(), again.duplicate),
                (i64::from(sequence), true)
            );
        }
        assert_eq!(log.offsets().end.get(), 8);
        let next = append(&log, &produced(7, 0, 8, &["x"]), Durability::Synced).unwrap();
        assert_eq!((next.base_offset.get(), next.duplicate), (8, false));
    }
}

fn producers_are_listed_by_id(place: &impl Place) {
    let engine = start(place.disk()).unwrap();
    let log = open(&engine, 0);
    append(&log, &produced(9, 2, 0, &["a", "b"]), Durability::Written).unwrap();
    append(&log, &produced(4, 0, 0, &["c"]), Durability::Written).unwrap();
    append(&log, &batch(&["of nobody"]), Durability::Written).unwrap();
    let summary = |producer_id, producer_epoch, last_sequence| ProducerSummary {
        producer_id,
        producer_epoch,
        last_sequence,
        last_timestamp_ms: NOW_MS,
        coordinator_epoch: -1,
        transaction_start: None,
    };
    assert_eq!(log.producers(), [summary(4, 0, 0), summary(9, 2, 1)]);
}

fn l_6_epochs_end_where_the_next_begins(place: &impl Place) {
    let mut epochs = Vec::new();
    for round in 0..3 {
        let engine = start(place.disk()).unwrap();
        let log = open(&engine, 0);
        epochs.push(log.offsets().leader_epoch);
        number_batches(&log, round * 2, round * 2 + 2);
    }
    let engine = start(place.disk()).unwrap();
    let log = open(&engine, 0);
    assert!(epochs.is_sorted_by(|a, b| a < b), "{epochs:?}");
    for (at, epoch) in epochs.iter().enumerate() {
        let end = Offset::new(2 * (i64::try_from(at).unwrap() + 1));
        assert_eq!(log.epoch_end(*epoch), Some((*epoch, end)));
    }
    assert_eq!(log.epoch_end(epochs[0] - 1), None);
    assert_eq!(all(&log), numbers(0, 6));
}

fn dc_7_an_unclean_start_raises_the_leader_epoch(place: &impl Place) {
    let epoch = |close: bool| {
        let engine = start(place.disk()).unwrap();
        let log = open(&engine, 0);
        append(&log, &batch(&["x"]), Durability::Written).unwrap();
        let epoch = log.offsets().leader_epoch;
        if close {
            wait(engine.close()).unwrap();
        }
        epoch
    };
    let first = epoch(true);
    assert_eq!(epoch(false), first, "after a clean end");
    let raised = epoch(true);
    assert!(raised > first, "after an unclean end");
    assert_eq!(epoch(true), raised);
}

fn time(log: &Arc<dyn Partition>, query: TimeQuery) -> Option<(i64, i64)> {
    let found = wait(log.offset_at(query, Bound::HighWatermark)).unwrap();
    found.map(
        |TimedOffset {
             offset,
             timestamp_ms,
             leader_epoch,
         }| {
            assert_eq!(leader_epoch, log.offsets().leader_epoch);
            (offset.get(), timestamp_ms)
        },
    )
}

fn l_3_records_are_found_by_time(place: &impl Place) {
    let engine = start(place.disk()).unwrap();
    let log = open(&engine, 0);
    assert_eq!(time(&log, TimeQuery::AtOrAfter(0)), None);
    assert_eq!(time(&log, TimeQuery::Largest), None);
    for at in [100, 300, 200] {
        append(&log, &batch_at(at, &["x", "y"]), Durability::Written).unwrap();
    }
    let at = |at| time(&log, TimeQuery::AtOrAfter(at));
    assert_eq!(at(0), Some((0, 100)));
    assert_eq!(at(100), Some((0, 100)));
    assert_eq!(at(101), Some((2, 300)));
    assert_eq!(at(300), Some((2, 300)));
    assert_eq!(at(301), None);
    assert_eq!(time(&log, TimeQuery::Largest), Some((2, 300)));
}

fn l_3_records_are_found_by_time_across_segments(place: &impl Place) {
    let engine = start(place.disk()).unwrap();
    let log = engine.open(partition_id(0), small_segments(2)).unwrap();
    for number in 0..20 {
        let value = format!("{number:02}");
        let sent = batch_at(1000 + 10 * number, &[&value]);
        append(&log, &sent, Durability::Written).unwrap();
    }
    for number in 0..20 {
        let time_ms = 1000 + 10 * number;
        for query in [time_ms, time_ms - 9] {
            let found = time(&log, TimeQuery::AtOrAfter(query));
            assert_eq!(found, Some((number, time_ms)));
        }
    }
    wait(log.advance_start(Offset::new(7))).unwrap();
    assert_eq!(time(&log, TimeQuery::AtOrAfter(0)), Some((7, 1070)));
    assert_eq!(time(&log, TimeQuery::Largest), Some((19, 1190)));
}

fn p_12_the_log_gives_its_own_time(place: &impl Place) {
    let engine = start(place.disk()).unwrap();
    let settings = with(|settings| settings.timestamp_type = TimestampType::LogAppendTime);
    let log = engine.open(partition_id(0), settings).unwrap();
    let written = append(&log, &batch_at(5, &["x"]), Durability::Written).unwrap();
    assert_eq!(written.log_append_time_ms, NOW_MS);
    let found = read_batches(&log, Offset::ZERO, Bound::End).unwrap();
    assert!(found[0].0.is_log_append_time());
    assert_eq!(found[0].0.max_timestamp, NOW_MS);
    assert_eq!(time(&log, TimeQuery::AtOrAfter(NOW_MS)), Some((0, NOW_MS)));
}

fn p_9_a_batch_longer_than_allowed_is_refused(place: &impl Place) {
    let engine = start(place.disk()).unwrap();
    let sent = batch(&["x"]);
    let bytes = sent.bytes().len();
    let check = |index: i32, settings: LogSettings| {
        let log = engine
            .open(partition_id(index), Arc::new(settings))
            .unwrap();
        append(&log, &sent, Durability::Written)
    };
    for (index, limit, fits) in [(0, bytes, true), (1, bytes - 1, false)] {
        let outcome = check(
            index,
            LogSettings {
                max_message_bytes: limit,
                ..LogSettings::default()
            },
        );
        match outcome {
            Ok(_) => assert!(fits),
            Err(StorageError::BatchTooLarge {
                bytes: found,
                limit: named,
            }) => {
                assert_eq!((fits, found, named), (false, bytes, limit));
            }
            Err(other) => panic!("{other}"),
        }
    }
    for (index, limit, fits) in [(2, bytes, true), (3, bytes - 1, false)] {
        let outcome = check(
            index,
            LogSettings {
                segment_bytes: limit as u64,
                ..LogSettings::default()
            },
        );
        match outcome {
            Ok(_) => assert!(fits),
            Err(StorageError::BatchAboveSegment {
                bytes: found,
                limit: named,
            }) => {
                assert_eq!((fits, found, named), (false, bytes, limit));
            }
            Err(other) => panic!("{other}"),
        }
    }
}

fn p_11_a_timestamp_too_far_ahead_is_refused(place: &impl Place) {
    let engine = start(place.disk()).unwrap();
    let log = engine
        .open(
            partition_id(0),
            with(|settings| {
                settings.timestamp_after_max_ms = 1000;
                settings.timestamp_before_max_ms = 2000;
            }),
        )
        .unwrap();
    for (time_ms, fits) in [(1000, true), (1001, false), (-2000, true), (-2001, false)] {
        let outcome = append(
            &log,
            &batch_at(NOW_MS + time_ms, &["x"]),
            Durability::Written,
        );
        match outcome {
            Ok(_) => assert!(fits, "{time_ms}"),
            Err(StorageError::InvalidTimestamp { .. }) => assert!(!fits, "{time_ms}"),
            Err(other) => panic!("{other}"),
        }
    }
}

fn a_deleted_partition_is_unknown_and_starts_anew(place: &impl Place) {
    let engine = start(place.disk()).unwrap();
    let (log, other) = (open(&engine, 0), open(&engine, 1));
    number_batches(&log, 0, 3);
    number_batches(&other, 0, 2);
    assert!(engine.partition(partition_id(0)).is_some());
    engine.delete(partition_id(0)).unwrap();
    assert!(engine.partition(partition_id(0)).is_none());
    for durability in [Durability::Written, Durability::Synced] {
        let refused = append(&log, &batch(&["x"]), durability).unwrap_err();
        assert!(matches!(refused, StorageError::UnknownPartition(id) if id == partition_id(0)));
    }
    let request = ReadRequest {
        from: Offset::ZERO,
        max_bytes: 100,
        at_least_one: true,
        bound: Bound::End,
    };
    let refused = wait(log.read(request)).unwrap_err();
    assert!(matches!(refused, StorageError::UnknownPartition(_)));
    let again = open(&engine, 0);
    assert_eq!(again.offsets().end, Offset::ZERO);
    append(&again, &batch(&["new"]), Durability::Synced).unwrap();
    drop((log, again, other, engine));
    let engine = start(place.disk()).unwrap();
    assert_eq!(all(&open(&engine, 0)), numbered(&["new"]));
    assert_eq!(all(&open(&engine, 1)), numbers(0, 2));
}

fn a_closed_engine_takes_no_appends_and_opens_with_everything(place: &impl Place) {
    let engine = start(place.disk()).unwrap();
    let logs: Vec<_> = (0..3).map(|index| open(&engine, index)).collect();
    for (index, log) in logs.iter().enumerate() {
        number_batches(log, 0, u8::try_from(index).unwrap() * 3);
    }
    let epoch = logs[0].offsets().leader_epoch;
    wait(engine.close()).unwrap();
    let refused = append(&logs[1], &batch(&["x"]), Durability::Written).unwrap_err();
    assert!(matches!(refused, StorageError::Closed));
    drop((logs, engine));
    let engine = start(place.disk()).unwrap();
    for index in 0..3 {
        let log = open(&engine, index);
        assert_eq!(all(&log), numbers(0, u8::try_from(index).unwrap() * 3));
        assert_eq!(log.offsets().leader_epoch, epoch);
    }
}

fn an_engine_that_was_dropped_without_close_opens_with_everything(place: &impl Place) {
    for round in 0..4 {
        let engine = start(place.disk()).unwrap();
        let log = engine.open(partition_id(0), small_segments(3)).unwrap();
        assert_eq!(all(&log), numbers(0, round * 5));
        number_batches(&log, round * 5, round * 5 + 5);
    }
}

fn settings_change_while_a_partition_is_open(place: &impl Place) {
    let engine = start(place.disk()).unwrap();
    let log = open(&engine, 0);
    number_batches(&log, 0, 4);
    assert_eq!(log.segments(), 1);
    let same = engine.open(partition_id(0), small_segments(1)).unwrap();
    number_batches(&log, 4, 6);
    assert_eq!((log.segments(), same.segments()), (3, 3));
    engine.open(partition_id(0), settings()).unwrap();
    number_batches(&log, 6, 8);
    assert_eq!(log.segments(), 3);
    assert_eq!(all(&log), numbers(0, 8));
}

fn many_threads_append_in_one_order(place: &impl Place) {
    const THREADS: usize = 8;
    const EACH: usize = 50;
    let engine = start(place.disk()).unwrap();
    let log = engine.open(partition_id(0), small_segments(40)).unwrap();
    let mut answers: Vec<(i64, String)> = std::thread::scope(|scope| {
        let threads: Vec<_> = (0..THREADS)
            .map(|thread| {
                let log = &log;
                scope.spawn(move || {
                    let mut pending = Vec::new();
                    for number in 0..EACH {
                        let value = format!("{thread}/{number}");
                        let durability = match number % 3 {
                            0 => Durability::Synced,
                            _ => Durability::Written,
                        };
                        let sent = batch(&[&value]);
                        let answer = log.append(&sent, Origin::Client, durability, NOW_MS);
                        pending.push((answer, value));
                    }
                    let answers = pending
                        .into_iter()
                        .map(|(answer, value)| (wait(answer).unwrap().base_offset.get(), value));
                    answers.collect::<Vec<_>>()
                })
            })
            .collect();
        threads
            .into_iter()
            .flat_map(|thread| thread.join().unwrap())
            .collect()
    });
    for thread in 0..THREADS {
        let prefix = format!("{thread}/");
        let offsets = answers
            .iter()
            .filter(|(_, value)| value.starts_with(&prefix));
        assert!(
            offsets.is_sorted_by(|a, b| a.0 < b.0),
            "each thread's order is kept"
        );
    }
    answers.sort();
    let offsets = answers.iter().map(|(offset, _)| *offset);
    assert!(offsets.eq(0..400), "offsets have no gap");
    assert_eq!(all(&log), answers);
}

/// Only the disk in memory can be stopped in the middle of a sync.
#[test]
fn dc_8_what_waits_for_a_sync_is_not_seen_and_holds_back_what_is_behind_it() {
    let place = InMemory::new();
    let engine = start(place.disk()).unwrap();
    let log = open(&engine, 0);
    append(&log, &batch(&["a"]), Durability::Synced).unwrap();
    place.0.hold_syncs();
    let written = append(&log, &batch(&["b"]), Durability::Written).unwrap();
    assert_eq!(written.base_offset.get(), 1);
    assert_eq!(log.offsets().high_watermark.get(), 2);
    let mut synced = log.append(&batch(&["c"]), Origin::Client, Durability::Synced, NOW_MS);
    append(&log, &batch(&["d"]), Durability::Written).unwrap();
    assert!(poll_once(&mut synced).is_none());
    assert_eq!(
        (log.offsets().high_watermark.get(), log.offsets().end.get()),
        (2, 4)
    );
    assert_eq!(all(&log), numbered(&["a", "b"]));
    let to_the_end = read_values(&log, Offset::ZERO, Bound::End).unwrap();
    assert_eq!(to_the_end, numbered(&["a", "b", "c", "d"]));
    place.0.release_syncs();
    assert_eq!(wait(synced).unwrap().base_offset.get(), 2);
    assert_eq!(all(&log), numbered(&["a", "b", "c", "d"]));
}

/// The answer to a repeat waits for the sync of the original (DC1).
#[test]
fn dc_1_a_repeat_waits_for_the_sync_of_the_first() {
    let place = InMemory::new();
    let engine = start(place.disk()).unwrap();
    let log = open(&engine, 0);
    append(&log, &batch(&["a"]), Durability::Synced).unwrap();
    place.0.hold_syncs();
    let sent = produced(3, 0, 0, &["b"]);
    append(&log, &sent, Durability::Written).unwrap();
    let mut again = log.append(&sent, Origin::Client, Durability::Synced, NOW_MS);
    assert!(poll_once(&mut again).is_none());
    std::thread::sleep(std::time::Duration::from_millis(5));
    assert!(poll_once(&mut again).is_none());
    place.0.release_syncs();
    let answer = wait(again).unwrap();
    assert_eq!((answer.base_offset.get(), answer.duplicate), (1, true));
}
