//! Transactions in one log: what opens, what ends, how far it is stable, what was aborted.

use super::*;
use crate::transaction::Beginning;
use crate::{AbortedTransaction, Marker, Outcome, Producer, Verification};

fn producer(id: i64, epoch: i16) -> Producer {
    Producer { id, epoch }
}

fn of(producer: Producer, sequence: i32, transactional: bool) -> Batch {
    let mut builder = BatchBuilder::new(NOW_MS).producer(producer.id, producer.epoch, sequence);
    if transactional {
        builder = builder.transactional();
    }
    builder.record(None, Some(format!("{}/{sequence}", producer.id).as_bytes()));
    builder.build().unwrap()
}

fn ask(
    log: &Arc<dyn Partition>,
    producer: Producer,
    first_sequence: i32,
    bumps_epoch: bool,
) -> Result<Verification, StorageError> {
    let beginning = Beginning {
        producer,
        first_sequence,
        bumps_epoch,
    };
    log.verify(&beginning, NOW_MS)
}

/// Write in a transaction, verified first if that is needed.
fn write(log: &Arc<dyn Partition>, producer: Producer, sequence: i32) -> i64 {
    let origin = match ask(log, producer, sequence, false).unwrap() {
        Verification::Open => Origin::Client,
        Verification::Needed(guard) => Origin::Verified(guard),
    };
    let batch = of(producer, sequence, true);
    let appended = wait(log.append(&batch, origin, Durability::Written, NOW_MS));
    appended.unwrap().base_offset.get()
}

fn plain(log: &Arc<dyn Partition>) -> i64 {
    let appended = append(log, &batch(&["plain"]), Durability::Written);
    appended.unwrap().base_offset.get()
}

fn marker(producer: Producer, outcome: Outcome) -> Marker {
    Marker {
        producer,
        outcome,
        coordinator_epoch: 0,
        transaction_version: 0,
    }
}

fn end(log: &Arc<dyn Partition>, producer: Producer, outcome: Outcome) -> i64 {
    let marker = marker(producer, outcome);
    let appended = wait(log.append_marker(&marker, Durability::Synced, NOW_MS));
    appended.unwrap().base_offset.get()
}

fn stable(log: &Arc<dyn Partition>) -> i64 {
    log.offsets().stable.get()
}

fn aborted(log: &Arc<dyn Partition>, from: i64, to: i64) -> Vec<(i64, i64, i64)> {
    let found = wait(log.aborted(Offset::new(from), Offset::new(to))).unwrap();
    let short = |one: &AbortedTransaction| {
        (
            one.producer_id,
            one.first_offset.get(),
            one.last_offset.get(),
        )
    };
    found.iter().map(short).collect()
}

/// One past the last offset that a reader of committed records gets.
fn committed_end(log: &Arc<dyn Partition>, from: i64) -> i64 {
    let read = wait(log.read(ReadRequest {
        from: Offset::new(from),
        max_bytes: 1 << 20,
        at_least_one: true,
        bound: Bound::Stable,
    }));
    let last = batches(&read.unwrap());
    let last = last.last().map(|batch| *batch.header());
    last.map_or(from, |last| {
        last.base_offset + i64::from(last.last_offset_delta) + 1
    })
}

#[test]
fn t_15_the_last_stable_offset_stands_before_the_oldest_open_transaction() {
    let log = Rig::new().open(LogSettings::default());
    let (a, b) = (producer(1, 0), producer(2, 0));
    plain(&log);
    assert_eq!(stable(&log), 1);
    assert_eq!((write(&log, a, 0), write(&log, b, 0)), (1, 2));
    plain(&log);
    write(&log, a, 1);
    assert_eq!((stable(&log), committed_end(&log, 0)), (1, 1));
    assert_eq!(log.offsets().high_watermark.get(), 5);
    assert_eq!(end(&log, a, Outcome::Commit), 5);
    assert_eq!((stable(&log), committed_end(&log, 0)), (2, 2));
    assert_eq!(end(&log, b, Outcome::Abort), 6);
    assert_eq!((stable(&log), committed_end(&log, 0)), (7, 7));
    assert_eq!(aborted(&log, 0, 7), [(2, 2, 6)]);
    // Once more, and nothing is open: it is written and means nothing (T-12).
    end(&log, b, Outcome::Abort);
    assert_eq!((stable(&log), aborted(&log, 0, 8)), (8, vec![(2, 2, 6)]));
}

#[test]
fn t_15_what_was_decided_is_shown_once_the_marker_is_durable() {
    let rig = Rig::new();
    let log = rig.open(LogSettings::default());
    let a = producer(1, 0);
    write(&log, a, 0);
    rig.disk.hold_syncs();
    let marker = marker(a, Outcome::Commit);
    let pending = log.append_marker(&marker, Durability::Synced, NOW_MS);
    plain(&log);
    let offsets = log.offsets();
    assert_eq!((offsets.high_watermark.get(), offsets.stable.get()), (1, 0));
    rig.disk.release_syncs();
    wait(pending).unwrap();
    assert_eq!(stable(&log), 3);
}

#[test]
fn t_18_a_transaction_begins_with_its_guard_alone() {
    let log = Rig::new().open(LogSettings::default());
    let a = producer(1, 0);
    let put = |origin, sequence| {
        let batch = of(a, sequence, true);
        wait(log.append(&batch, origin, Durability::Written, NOW_MS))
    };
    let refused = |outcome| matches!(outcome, Err(StorageError::InvalidTransaction { .. }));
    assert!(refused(put(Origin::Client, 0)));
    let Verification::Needed(guard) = ask(&log, a, 0, false).unwrap() else {
        panic!("nothing is open");
    };
    assert!(refused(put(Origin::Client, 0)));
    // A marker comes in between: the answer of the coordinator is stale.
    end(&log, a, Outcome::Abort);
    assert!(refused(put(Origin::Verified(guard), 0)));
    let Verification::Needed(next) = ask(&log, a, 0, false).unwrap() else {
        panic!("nothing is open");
    };
    assert!(refused(put(Origin::Verified(guard), 0)));
    assert!(put(Origin::Verified(next), 0).is_ok());
    assert_eq!(ask(&log, a, 1, false).unwrap(), Verification::Open);
    assert!(put(Origin::Client, 1).is_ok());
    assert!(put(Origin::Client, 1).unwrap().duplicate, "P-15");
    end(&log, a, Outcome::Commit);
    assert!(put(Origin::Client, 1).unwrap().duplicate, "P-15");
    assert!(refused(put(Origin::Client, 2)));
    assert!(matches!(
        ask(&log, producer(1, -1), 0, false),
        Err(StorageError::ProducerFenced { .. })
    ));
}

#[test]
fn t_18_and_p_18_sequences_while_a_transaction_begins() {
    let log = Rig::new().open(LogSettings::default());
    let put = |producer, sequence, bumps| {
        let Verification::Needed(guard) = ask(&log, producer, sequence, bumps).unwrap() else {
            panic!("nothing is open");
        };
        let batch = of(producer, sequence, true);
        let origin = Origin::Verified(guard);
        wait(log.append(&batch, origin, Durability::Written, NOW_MS))
    };
    let out_of_order = |outcome| matches!(outcome, Err(StorageError::OutOfOrderSequence { .. }));
    assert!(out_of_order(put(producer(1, 0), 4, true)));
    ask(&log, producer(2, 0), 3, false).unwrap();
    assert!(out_of_order(put(producer(2, 0), 4, false)));
    assert!(put(producer(2, 0), 3, false).is_ok());
}

#[test]
fn p_20_nothing_outside_of_an_open_transaction() {
    let log = Rig::new().open(LogSettings::default());
    let a = producer(1, 0);
    write(&log, a, 0);
    let outside = || append(&log, &of(a, 1, false), Durability::Written);
    assert!(matches!(
        outside(),
        Err(StorageError::InvalidTransaction { producer_id: 1, .. })
    ));
    end(&log, a, Outcome::Commit);
    assert!(outside().is_ok());
}

#[test]
fn p_7_clients_write_no_markers() {
    let log = Rig::new().open(LogSettings::default());
    let batch = marker(producer(1, 0), Outcome::Commit).to_batch(NOW_MS);
    assert!(matches!(
        append(&log, &batch, Durability::Written),
        Err(StorageError::InvalidBatch(_))
    ));
}

#[test]
fn a_coordinator_writes_for_a_producer_without_guard_and_sequence() {
    let log = Rig::new().open(LogSettings::default());
    let a = producer(1, 2);
    for _ in 0..2 {
        let batch = of(a, -1, true);
        wait(log.append(&batch, Origin::Coordinator, Durability::Synced, NOW_MS)).unwrap();
    }
    assert_eq!(stable(&log), 0);
    assert_eq!(log.producers()[0].last_sequence, -1);
    let batch = marker(a, Outcome::Commit).to_batch(NOW_MS);
    wait(log.append(&batch, Origin::Coordinator, Durability::Synced, NOW_MS)).unwrap();
    assert_eq!(stable(&log), 3);
    let late = of(producer(1, 1), -1, true);
    assert!(matches!(
        wait(log.append(&late, Origin::Coordinator, Durability::Synced, NOW_MS)),
        Err(StorageError::ProducerFenced { .. })
    ));
}

/// Two aborted, one committed and one open transaction over some segments.
fn fill(log: &Arc<dyn Partition>) {
    let all: Vec<_> = (1..=4).map(|id| producer(id, 0)).collect();
    for sequence in 0..5 {
        for producer in &all {
            write(log, *producer, sequence);
        }
    }
    assert_eq!(end(log, all[0], Outcome::Abort), 20);
    plain(log);
    assert_eq!(end(log, all[1], Outcome::Commit), 22);
    for _ in 0..10 {
        plain(log);
    }
    assert_eq!(end(log, all[2], Outcome::Abort), 33);
    plain(log);
}

fn check(log: &Arc<dyn Partition>, what: &str) {
    assert_eq!(stable(log), 3, "{what}");
    let starts: Vec<_> = log
        .producers()
        .iter()
        .map(|p| p.transaction_start)
        .collect();
    let expected = [None, None, None, Some(Offset::new(3))];
    assert_eq!(starts, expected, "{what}");
    let all = [(1, 0, 20), (3, 2, 33)];
    assert_eq!(aborted(log, 0, 35), all, "{what}");
    assert_eq!(aborted(log, 20, 25), all, "{what}");
    assert_eq!(aborted(log, 21, 25), all[1..], "{what}");
    assert_eq!(aborted(log, 34, 35), [], "{what}");
    assert_eq!(committed_end(log, 0), 3, "{what}");
}

fn small_segments() -> LogSettings {
    LogSettings {
        segment_bytes: 600,
        ..LogSettings::default()
    }
}

#[test]
fn transactions_are_there_again_after_the_process_died() {
    let rig = Rig::new();
    let log = rig.open(small_segments());
    fill(&log);
    assert!(log.segments() > 3);
    check(&log, "live");
    let rig = rig.crash();
    let log = rig.open(small_segments());
    check(&log, "after a crash");
    end(&log, producer(4, 0), Outcome::Abort);
    assert_eq!(stable(&log), 36);
    assert_eq!(aborted(&log, 0, 36).len(), 3);
}

fn dir() -> std::path::PathBuf {
    Path::new("data/topics").join(id(0).to_string())
}

/// The files of aborted transactions.
fn files(disk: &MemoryDisk) -> Vec<std::path::PathBuf> {
    let names = disk
        .list(&dir())
        .unwrap()
        .into_iter()
        .map(|entry| entry.name);
    names
        .filter(|name| name.ends_with(".txnindex"))
        .map(|name| dir().join(name))
        .collect()
}

#[test]
fn transactions_are_there_again_after_a_clean_end_and_a_checkpoint() {
    let rig = Rig::new();
    let log = rig.open(small_segments());
    fill(&log);
    drop(log);
    let rig = rig.restart();
    check(&rig.open(small_segments()), "after a clean end");
    let rig = rig.restart();
    let log = rig.open(small_segments());
    check(&log, "after two");
    assert_eq!(files(&rig.disk).len(), 2);
    // More in the segment that the checkpoint knows, and only the process dies.
    write(&log, producer(5, 0), 0);
    assert_eq!(end(&log, producer(5, 0), Outcome::Abort), 36);
    let rig = rig.crash();
    let log = rig.open(small_segments());
    assert_eq!(stable(&log), 3);
    let all = [(1, 0, 20), (3, 2, 33), (5, 35, 36)];
    assert_eq!(aborted(&log, 0, 37), all);
}

#[test]
fn ft_5_lost_and_torn_files_of_aborted_transactions_are_made_again() {
    let rig = Rig::new();
    fill(&rig.open(small_segments()));
    let disk = rig.close();
    let paths = files(&disk);
    assert_eq!(paths.len(), 2);
    for lost in 0..4 {
        let disk = disk.crash();
        for (at, path) in paths.iter().enumerate() {
            match lost {
                0 => disk.remove_file(path).unwrap(),
                1 => disk
                    .open(path, crate::disk::Open::Write)
                    .unwrap()
                    .set_len(30)
                    .unwrap(),
                n if n == at + 2 => disk.remove_file(path).unwrap(),
                _ => {}
            }
        }
        let rig = Rig::on(disk, "boot 1");
        check(&rig.open(small_segments()), &format!("loss {lost}"));
        let rig = rig.restart();
        assert_eq!(files(&rig.disk).len(), 2);
        check(
            &rig.open(small_segments()),
            &format!("a start after loss {lost}"),
        );
    }
}

#[test]
fn f_4_a_read_of_committed_records_says_what_was_aborted_in_it() {
    let rig = Rig::new();
    let log = rig.open(LogSettings::default());
    let all: Vec<_> = (1..=3).map(|id| producer(id, 0)).collect();
    write(&log, all[0], 0);
    write(&log, all[1], 0);
    end(&log, all[0], Outcome::Abort);
    write(&log, all[2], 0);
    end(&log, all[1], Outcome::Commit);
    let read = |from, max_bytes, bound| {
        let read = wait(log.read(ReadRequest {
            from: Offset::new(from),
            max_bytes,
            at_least_one: true,
            bound,
        }));
        let aborted = read.unwrap().aborted;
        aborted
            .iter()
            .map(|one| one.producer_id)
            .collect::<Vec<_>>()
    };
    assert_eq!(read(0, 1 << 20, Bound::Stable), [1]);
    assert_eq!(read(2, 1, Bound::Stable), [1]);
    assert!(read(0, 1 << 20, Bound::HighWatermark).is_empty());
    end(&log, all[2], Outcome::Abort);
    assert_eq!(read(0, 1 << 20, Bound::Stable), [1, 3]);
    assert_eq!(read(3, 1 << 20, Bound::Stable), [3]);
    assert_eq!(read(1, 1, Bound::Stable), [1], "no record of it lies there");
}

/// What was aborted is forgotten with its segment: of records that were read before, nothing may
/// be said then, least of all that nothing in them was aborted.
#[test]
fn f_4_of_records_whose_segment_went_meanwhile_nothing_is_said() {
    let rig = Rig::new();
    let log = rig.open(small_segments());
    write(&log, producer(1, 0), 0);
    end(&log, producer(1, 0), Outcome::Abort);
    for _ in 0..40 {
        plain(&log);
    }
    let request = ReadRequest {
        from: Offset::ZERO,
        max_bytes: 1 << 20,
        at_least_one: true,
        bound: Bound::Stable,
    };
    let read = wait(log.read(request)).unwrap();
    let local = Arc::clone(rig.engine.shared.partitions.get(&id(0)).unwrap().value());
    let said = |version| local.aborted_in(&request, (Offset::ZERO, version), read.records.as_ref());
    assert_eq!(said(0), Some(read.aborted.clone()));
    assert_eq!(read.aborted.len(), 1);
    assert_eq!(said(1), None, "a cleaning put another into its place");
    wait(log.advance_start(Offset::new(30))).unwrap();
    assert_eq!(said(0), None);
}

/// Large answers lie in a file, and their end is looked up in the index.
#[test]
fn f_4_a_large_read_misses_no_aborted_transaction() {
    let rig = Rig::new();
    let settings = LogSettings {
        segment_bytes: 200_000,
        ..LogSettings::default()
    };
    let log = rig.open(settings);
    let filler = "x".repeat(700);
    for id in 0..500 {
        write(&log, producer(id, 0), 0);
        append(&log, &batch(&[&filler]), Durability::Written).unwrap();
        end(&log, producer(id, 0), Outcome::Abort);
    }
    let mut from = 0;
    while from < 1500 {
        let read = wait(log.read(ReadRequest {
            from: Offset::new(from),
            max_bytes: 40_000,
            at_least_one: true,
            bound: Bound::Stable,
        }));
        let read = read.unwrap();
        let last = batches(&read).last().unwrap().header().base_offset;
        let found: Vec<_> = read.aborted.iter().map(|one| one.producer_id).collect();
        let expected: Vec<_> = (from / 3..=last / 3).collect();
        assert!(found.starts_with(&expected), "{from}: {found:?}");
        assert!(found.len() <= expected.len() + 25, "{from}: {found:?}");
        from = last + 1;
    }
}

#[test]
fn d_1_a_start_that_passes_an_open_transaction_leaves_the_rest_of_it_undecided() {
    let rig = Rig::new();
    let log = rig.open(small_segments());
    fill(&log);
    assert_eq!(wait(log.advance_start(Offset::new(30))).unwrap().get(), 30);
    assert_eq!((stable(&log), committed_end(&log, 30)), (30, 30));
    let found = wait(log.offset_at(crate::TimeQuery::AtOrAfter(0), Bound::Stable));
    assert_eq!(found.unwrap(), None);
    drop(log);
    let rig = rig.restart();
    let log = rig.open(small_segments());
    assert_eq!((stable(&log), committed_end(&log, 30)), (30, 30));
    assert_eq!(aborted(&log, 30, 35), [(3, 2, 33)]);
    end(&log, producer(4, 0), Outcome::Abort);
    assert_eq!(stable(&log), 36);
    assert_eq!(aborted(&log, 30, 36), [(3, 2, 33), (4, 3, 35)]);
    rig.engine.upkeep(NOW_MS + 10_000_000);
    rig.engine.upkeep(NOW_MS + 20_000_000);
    assert_eq!(files(&rig.disk).len(), 1, "the first went with its segment");
}

#[test]
fn l_3_a_record_found_by_time_is_committed() {
    let log = Rig::new().open(LogSettings::default());
    plain(&log);
    write(&log, producer(1, 0), 0);
    let at = |time, bound| {
        let found = wait(log.offset_at(crate::TimeQuery::AtOrAfter(time), bound));
        found.unwrap().map(|found| found.offset.get())
    };
    append(&log, &batch_at(NOW_MS + 5, &["later"]), Durability::Written).unwrap();
    assert_eq!(at(NOW_MS + 1, Bound::HighWatermark), Some(2));
    assert_eq!(at(NOW_MS + 1, Bound::Stable), None);
    assert_eq!(at(0, Bound::Stable), Some(0));
    end(&log, producer(1, 0), Outcome::Commit);
    assert_eq!(at(NOW_MS + 1, Bound::Stable), Some(2));
}

#[test]
fn t_15_a_watch_up_to_the_last_stable_offset_wakes_when_that_moves() {
    let log = Rig::new().open(LogSettings::default());
    let a = producer(1, 0);
    write(&log, a, 0);
    let [all, committed] = [(); 2].map(|()| Arc::new(tokio::sync::Notify::new()));
    let is_woken = |notify: &tokio::sync::Notify| pin!(notify.notified()).as_mut().enable();
    let _all = log.watch(Offset::new(1), Bound::HighWatermark, &all);
    let committed_watch = log.watch(Offset::ZERO, Bound::Stable, &committed);
    plain(&log);
    assert_eq!([is_woken(&all), is_woken(&committed)], [true, false]);
    end(&log, a, Outcome::Commit);
    assert!(is_woken(&committed));
    drop(committed_watch);
    let _there = log.watch(Offset::new(2), Bound::Stable, &committed);
    assert!(is_woken(&committed), "there is more already");
}
