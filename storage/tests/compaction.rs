//! Cleaning compacted logs: what is left, what readers see meanwhile, and every way to die.

#![allow(clippy::unwrap_used, clippy::panic, reason = "tests fail by panicking")]

mod support;

use std::cell::Cell;
use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use ratel_storage::disk::{Disk, Open};
use ratel_storage::disk_memory::{Call, Errno, Fault, Keep, MemoryDisk};
use ratel_storage::local::doctor;
use ratel_storage::{
    Batch, BatchBuilder, Bound, Cleaning, CleaningRules, Durability, Engine, LocalEngine,
    LogSettings, Marker, Offset, Origin, Outcome, Pace, Partition, Producer, ReadRequest,
    StorageError, TimeQuery, records,
};
use support::{NOW_MS, Random, block_on, partition_id, start, wait};

const KEYS: u64 = 7;
const MINUTE_MS: i64 = 60_000;

fn settings() -> Arc<LogSettings> {
    Arc::new(LogSettings {
        compact: true,
        delete: false,
        segment_bytes: 600,
        min_cleanable_millionths: 0,
        delete_retention_ms: 10 * MINUTE_MS,
        ..LogSettings::default()
    })
}

fn shared(disk: &MemoryDisk) -> Arc<dyn Disk> {
    Arc::new(disk.clone())
}

fn open(engine: &LocalEngine) -> Arc<dyn Partition> {
    engine.open(partition_id(0), settings()).unwrap()
}

type Kept = BTreeMap<i64, (String, Option<String>)>;

/// What was written, by offset: key and value.
#[derive(Debug, Clone, Default)]
struct Written(Kept);

impl Written {
    /// A batch of one to three records by chance.
    fn append(
        &mut self,
        log: &Arc<dyn Partition>,
        random: &mut Random,
    ) -> Result<(), StorageError> {
        let mut builder = BatchBuilder::new(NOW_MS);
        let mut made = Vec::new();
        for _ in 0..=random.below(3) {
            let key = format!("k{}", random.below(KEYS));
            let value = (random.below(5) > 0).then(|| format!("v{}", random.below(1 << 40)));
            builder.record(Some(key.as_bytes()), value.as_ref().map(String::as_bytes));
            made.push((key, value));
        }
        let batch = builder.build().unwrap();
        let appended = wait(log.append(&batch, Origin::Client, Durability::Synced, NOW_MS))?;
        let base = appended.base_offset.get();
        self.0.extend((base..).zip(made));
        Ok(())
    }

    /// The last record of each key.
    fn last(&self) -> Kept {
        let mut last = BTreeMap::new();
        for (offset, (key, value)) in &self.0 {
            last.insert(key.clone(), (*offset, value.clone()));
        }
        let by_offset = last
            .into_iter()
            .map(|(key, (offset, value))| (offset, (key, value)));
        by_offset.collect()
    }

    /// Whether a log holds what it may: what was written, and all that must be left of it.
    fn check(&self, log: &Arc<dyn Partition>) {
        assert_eq!(log.damage(), None);
        let found = read(log);
        for (offset, record) in &found {
            assert_eq!(Some(record), self.0.get(offset), "offset {offset}");
        }
        for (offset, record) in self.last() {
            let is_there = found.get(&offset) == Some(&record);
            assert!(is_there, "offset {offset}: {record:?} is gone");
        }
        let end = self.0.last_key_value().map_or(0, |(last, _)| last + 1);
        assert_eq!(log.offsets().end.get(), end);
    }
}

/// All records of a log.
fn read(log: &Arc<dyn Partition>) -> Kept {
    read_from(log, log.offsets().start)
}

fn read_from(log: &Arc<dyn Partition>, from: Offset) -> Kept {
    let batches = support::read_batches(log, from, Bound::HighWatermark).unwrap();
    let text = |bytes: &bytes::Bytes| String::from_utf8(bytes.to_vec()).unwrap();
    let mut found = BTreeMap::new();
    for (_, bytes) in batches {
        let batch = Batch::parse(bytes.into(), usize::MAX).unwrap();
        for record in records(&batch).unwrap() {
            let record = record.unwrap();
            let key = text(&record.key.unwrap());
            found.insert(record.offset.get(), (key, record.value.as_ref().map(text)));
        }
    }
    found
}

fn clean(engine: &LocalEngine, now_ms: i64) -> Result<Option<Cleaning>, StorageError> {
    let rules = CleaningRules {
        map_bytes: 1 << 20,
        pace: &|_| Pace::On,
    };
    engine.clean(&rules, now_ms)
}

/// A log of many small segments that a checkpoint knows.
fn filled(disk: &MemoryDisk, seed: u64) -> (Arc<LocalEngine>, Arc<dyn Partition>, Written) {
    let engine = start(shared(disk)).unwrap();
    let log = open(&engine);
    let (mut written, mut random) = (Written::default(), Random(seed));
    for _ in 0..40 {
        written.append(&log, &mut random).unwrap();
    }
    engine.upkeep(NOW_MS + MINUTE_MS);
    assert!(log.segments() > 4);
    // From now on some segments fit into one.
    let larger = LogSettings {
        segment_bytes: 1500,
        ..(*settings()).clone()
    };
    engine.open(partition_id(0), Arc::new(larger)).unwrap();
    (engine, log, written)
}

#[test]
fn c_2_a_cleaned_log_holds_the_last_record_of_each_key_also_after_a_restart() {
    let disk = MemoryDisk::new();
    let (engine, log, written) = filled(&disk, 1);
    let (segments, size) = (log.segments(), log.size());
    let done = clean(&engine, NOW_MS).unwrap().unwrap();
    assert_eq!(done.freed_bytes, size - log.size());
    assert!(
        done.freed_bytes > 0 && log.segments() < segments,
        "small ones become one"
    );
    written.check(&log);
    // Of everything but the active segment only the last of each key is left.
    let left = read(&log);
    let keys_below = |end: i64| left.range(..end).map(|(_, (key, _))| key.clone());
    let mut keys: Vec<_> = keys_below(done.to.get()).collect();
    let all = keys.len();
    keys.sort();
    keys.dedup();
    assert_eq!(keys.len(), all);
    assert_eq!(clean(&engine, NOW_MS).unwrap(), None, "nothing is new");
    block_on(engine.close()).unwrap();
    let engine = start(shared(&disk)).unwrap();
    let log = open(&engine);
    assert_eq!(read(&log), left);
    assert_eq!(clean(&engine, NOW_MS).unwrap(), None, "nor after a restart");
}

#[test]
fn f_6_a_read_from_inside_a_hole_begins_at_the_next_record() {
    let disk = MemoryDisk::new();
    let (engine, log, written) = filled(&disk, 2);
    clean(&engine, NOW_MS).unwrap().unwrap();
    let left = read(&log);
    for from in 0..log.offsets().end.get() {
        let request = ReadRequest {
            from: Offset::new(from),
            max_bytes: 1,
            at_least_one: true,
            bound: Bound::HighWatermark,
        };
        let slice = wait(log.read(request)).unwrap().records.unwrap();
        let batch = Batch::parse(slice.to_bytes().unwrap(), usize::MAX).unwrap();
        assert!(!batch.header().is_filler(), "from {from}");
        let next = left.range(from..).next().unwrap().0;
        let found = records(&batch)
            .unwrap()
            .map(|record| record.unwrap().offset.get());
        let found = found.filter(|offset| *offset >= from).min();
        // A batch may end before its last record did: then the next one has it.
        assert!(found.is_none_or(|found| found == *next), "from {from}");
        assert_eq!(
            read_from(&log, Offset::new(from))
                .range(from..)
                .next()
                .unwrap()
                .0,
            next
        );
    }
    let _ = written;
}

/// Whoever reads to a log's end comes there, whatever was cleaned away in front of it: a segment
/// that was begun and has nothing yet changes nothing.
#[test]
fn f_6_a_hole_at_the_end_of_the_log_is_read_to_its_end() {
    let disk = MemoryDisk::new();
    let (engine, log, _) = filled(&disk, 2);
    let mut builder = BatchBuilder::new(NOW_MS);
    (0..1400).for_each(|_| builder.record(None, Some(b"")));
    let keyless = Arc::new(LogSettings {
        compact: false,
        segment_bytes: 1 << 20,
        ..(*settings()).clone()
    });
    engine.open(partition_id(0), keyless).unwrap();
    let batch = builder.build().unwrap();
    wait(log.append(&batch, Origin::Client, Durability::Synced, NOW_MS)).unwrap();
    engine.open(partition_id(0), settings()).unwrap();
    // The next segment is made, and nothing can be written into it.
    disk.fail(Fault::nth(Call::Write, 1, Errno::NOSPC));
    let mut builder = BatchBuilder::new(NOW_MS);
    builder.record(Some(b"k"), Some(b"v"));
    let small = builder.build().unwrap();
    let refused = wait(log.append(&small, Origin::Client, Durability::Synced, NOW_MS));
    assert!(matches!(refused, Err(StorageError::DiskFull)));
    engine.upkeep(NOW_MS + MINUTE_MS);
    while clean(&engine, NOW_MS).unwrap().is_some() {}
    let end = log.offsets().end;
    assert_eq!(read(&log).range(end.get() - 1400..).count(), 0);
    for bound in [Bound::HighWatermark, Bound::Stable, Bound::End] {
        let mut from = Offset::ZERO;
        while from < end {
            let read = wait(log.read(ReadRequest {
                from,
                max_bytes: 1,
                at_least_one: true,
                bound,
            }));
            let slice = read.unwrap().records.expect("something up to the end");
            let last = slice.batches().last().unwrap().unwrap().last();
            assert!(last >= from);
            from = last.plus(1);
        }
        assert_eq!(from, end);
    }
}

#[test]
fn l_3_look_ups_by_time_find_what_is_left() {
    let disk = MemoryDisk::new();
    let (engine, log, _) = filled(&disk, 3);
    clean(&engine, NOW_MS).unwrap().unwrap();
    let left = read(&log);
    let found = wait(log.offset_at(TimeQuery::AtOrAfter(0), Bound::HighWatermark));
    let first = *left.first_key_value().unwrap().0;
    assert_eq!(found.unwrap().unwrap().offset.get(), first);
    let largest = wait(log.offset_at(TimeQuery::Largest, Bound::HighWatermark));
    assert!(left.contains_key(&largest.unwrap().unwrap().offset.get()));
}

#[test]
fn c_3_tombstones_go_once_their_time_is_over() {
    let disk = MemoryDisk::new();
    let (engine, log, mut written) = filled(&disk, 4);
    let first = clean(&engine, NOW_MS).unwrap().unwrap();
    let tombstones = |end: Offset| {
        let left = read(&log);
        left.range(..end.get())
            .filter(|(_, (_, value))| value.is_none())
            .count()
    };
    assert!(tombstones(first.to) > 0, "the seed makes some");
    let mut random = Random(44);
    for _ in 0..40 {
        written.append(&log, &mut random).unwrap();
    }
    engine.upkeep(NOW_MS + 2 * MINUTE_MS);
    clean(&engine, NOW_MS + 11 * MINUTE_MS).unwrap().unwrap();
    assert_eq!(tombstones(first.to), 0);
}

#[test]
fn c_5_both_policies_act_on_one_log_and_without_any_nothing_goes() {
    let policy = |compact, delete| {
        Arc::new(LogSettings {
            compact,
            delete,
            retention_ms: Some(10 * MINUTE_MS),
            ..(*settings()).clone()
        })
    };
    let disk = MemoryDisk::new();
    let (engine, log, written) = filled(&disk, 6);
    let all = read(&log);

    engine.open(partition_id(0), policy(false, false)).unwrap();
    assert_eq!(clean(&engine, NOW_MS).unwrap(), None);
    engine.upkeep(NOW_MS + 100 * MINUTE_MS);
    assert_eq!(read(&log), all);

    engine.open(partition_id(0), policy(true, true)).unwrap();
    assert!(clean(&engine, NOW_MS).unwrap().is_some());
    written.check(&log);
    assert!(read(&log).len() < all.len(), "compacted");
    assert_eq!(log.offsets().start, Offset::ZERO);
    engine.upkeep(NOW_MS + 100 * MINUTE_MS);
    assert_eq!(log.offsets().start, log.offsets().end, "too old");
}

#[test]
fn c_1_what_no_checkpoint_covers_is_left_alone() {
    let disk = MemoryDisk::new();
    let engine = start(shared(&disk)).unwrap();
    let log = open(&engine);
    let (mut written, mut random) = (Written::default(), Random(5));
    for _ in 0..40 {
        written.append(&log, &mut random).unwrap();
    }
    assert_eq!(clean(&engine, NOW_MS).unwrap(), None);
    engine.upkeep(NOW_MS + MINUTE_MS);
    assert!(clean(&engine, NOW_MS).unwrap().is_some());
    written.check(&log);
}

/// Of two logs the one whose new part is the larger share, wherever it stands among them.
#[test]
fn c_1_the_filthiest_log_is_cleaned_first() {
    for [clean_one, filthy] in [[0, 1], [1, 0]] {
        let disk = MemoryDisk::new();
        let engine = start(shared(&disk)).unwrap();
        let mut random = Random(12);
        let mut fill = |partition: i32, batches: usize| {
            let id = partition_id(partition);
            let log = engine.open(id, settings()).unwrap();
            let mut written = Written::default();
            for _ in 0..batches {
                written.append(&log, &mut random).unwrap();
            }
            id
        };
        fill(clean_one, 40);
        engine.upkeep(NOW_MS + MINUTE_MS);
        assert!(clean(&engine, NOW_MS).unwrap().is_some());
        // More of it is new than of the other in bytes, but not by its share.
        let less = fill(clean_one, 30);
        let more = fill(filthy, 15);
        engine.upkeep(NOW_MS + 2 * MINUTE_MS);
        let order = [(); 2].map(|()| clean(&engine, NOW_MS).unwrap().unwrap().partition);
        assert_eq!(order, [more, less]);
        assert_eq!(clean(&engine, NOW_MS).unwrap(), None);
    }
}

#[test]
fn a_full_map_ends_a_cleaning_early_and_the_next_goes_on() {
    let disk = MemoryDisk::new();
    let (engine, log, written) = filled(&disk, 6);
    let rules = CleaningRules {
        map_bytes: 100,
        pace: &|_| Pace::On,
    };
    let mut rounds = 0;
    let mut to = Offset::ZERO;
    while let Some(done) = engine.clean(&rules, NOW_MS).unwrap() {
        assert!(done.to > to && done.map_bytes <= 100);
        (to, rounds) = (done.to, rounds + 1);
    }
    assert!(rounds > 2, "{rounds}");
    written.check(&log);
}

#[test]
fn records_that_cannot_be_read_make_a_log_uncleanable_and_nothing_else() {
    let disk = MemoryDisk::new();
    let engine = start(shared(&disk)).unwrap();
    let plain = Arc::new(LogSettings {
        compact: false,
        ..(*settings()).clone()
    });
    let log = engine.open(partition_id(0), plain).unwrap();
    let mut builder = BatchBuilder::new(NOW_MS);
    builder.record(Some(b"k"), Some(b"v"));
    let mut bytes = builder.build().unwrap().bytes().to_vec();
    // The record's length says more than there is.
    bytes[61] = 0x7e;
    let crc = crc32c::crc32c(&bytes[21..]);
    bytes[17..21].copy_from_slice(&crc.to_be_bytes());
    let hostile = Batch::parse(bytes.into(), usize::MAX).unwrap();
    wait(log.append(&hostile, Origin::Client, Durability::Synced, NOW_MS)).unwrap();
    let log = open(&engine);
    let mut random = Random(7);
    let mut written = Written::default();
    for _ in 0..40 {
        written.append(&log, &mut random).unwrap();
    }
    engine.upkeep(NOW_MS + MINUTE_MS);
    let error = clean(&engine, NOW_MS).unwrap_err();
    assert!(matches!(error, StorageError::InvalidBatch(_)), "{error}");
    assert_eq!(engine.cleaning(NOW_MS).uncleanable[0].0, partition_id(0));
    assert_eq!(clean(&engine, NOW_MS).unwrap(), None, "not tried again");
    assert_eq!(log.damage(), None);
    written.append(&log, &mut random).unwrap();
}

#[test]
fn a_log_that_the_disk_does_not_give_keeps_no_other_from_being_cleaned() {
    let disk = MemoryDisk::new();
    let (engine, _, _) = filled(&disk, 8);
    let other = engine.open(partition_id(1), settings()).unwrap();
    let mut random = Random(9);
    for _ in 0..40 {
        Written::default().append(&other, &mut random).unwrap();
    }
    engine.upkeep(NOW_MS + 2 * MINUTE_MS);
    disk.fail(Fault::nth(Call::Read, 1, Errno::IO));
    let error = clean(&engine, NOW_MS).unwrap_err();
    assert!(matches!(error, StorageError::Io(_)), "{error}");
    let (failed, why) = engine.cleaning(NOW_MS).uncleanable.remove(0);
    assert!(why.contains("Input/output"), "{why}");
    let done = clean(&engine, NOW_MS).unwrap().unwrap();
    assert!(done.partition != failed, "the other one");
    assert_eq!(clean(&engine, NOW_MS).unwrap(), None);
}

#[test]
fn a_log_that_finds_no_space_keeps_no_other_from_being_cleaned() {
    let disk = MemoryDisk::new();
    let (engine, first, written) = filled(&disk, 8);
    let second = engine.open(partition_id(1), settings()).unwrap();
    let mut random = Random(9);
    for _ in 0..40 {
        Written::default().append(&second, &mut random).unwrap();
    }
    engine.upkeep(NOW_MS + 2 * MINUTE_MS);
    disk.fail(Fault::nth(Call::Write, 1, Errno::NOSPC));
    let one = clean(&engine, NOW_MS).unwrap().unwrap();
    assert!(disk.has_failed());
    disk.mend();
    let other = clean(&engine, NOW_MS).unwrap().unwrap();
    assert_ne!(one.partition, other.partition, "there is space again");
    assert_eq!(engine.cleaning(NOW_MS).uncleanable, []);
    written.check(&first);
}

#[test]
fn reads_go_on_while_a_log_is_cleaned() {
    let disk = MemoryDisk::new();
    let (engine, log, written) = filled(&disk, 8);
    let before = read(&log);
    let request = ReadRequest {
        from: Offset::ZERO,
        max_bytes: 1 << 20,
        at_least_one: true,
        bound: Bound::HighWatermark,
    };
    let held = wait(log.read(request)).unwrap().records.unwrap();
    let held_bytes = held.to_bytes().unwrap();
    let done = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let reader = scope.spawn(|| {
            let mut reads = 0;
            while !done.load(Ordering::Relaxed) || reads == 0 {
                for (offset, record) in read(&log) {
                    assert_eq!(before.get(&offset), Some(&record));
                }
                reads += 1;
            }
        });
        for round in 0..20 {
            // Everything again, however often: the map is small.
            let rules = CleaningRules {
                map_bytes: 60,
                pace: &|_| Pace::On,
            };
            engine.clean(&rules, NOW_MS + round).unwrap();
            engine.upkeep(NOW_MS + (2 + round) * MINUTE_MS);
        }
        done.store(true, Ordering::Relaxed);
        reader.join().unwrap();
    });
    assert_eq!(
        held.to_bytes().unwrap(),
        held_bytes,
        "what was given stays readable"
    );
    written.check(&log);
}

#[test]
fn a_partition_that_is_deleted_while_it_is_cleaned_leaves_nothing() {
    let disk = MemoryDisk::new();
    let (engine, log, _) = filled(&disk, 9);
    let deleted = Cell::new(false);
    let rules = CleaningRules {
        map_bytes: 1 << 20,
        pace: &|bytes| {
            if bytes > 0 && !deleted.replace(true) {
                // From another thread: a deletion waits for the cleaning to notice.
                let engine = Arc::clone(&engine);
                std::thread::spawn(move || engine.delete(partition_id(0)).unwrap());
                while wait(log.read(ReadRequest {
                    from: Offset::ZERO,
                    max_bytes: 1,
                    at_least_one: true,
                    bound: Bound::HighWatermark,
                }))
                .is_ok()
                {}
            }
            // However slow it is to be: a deletion waits for no pace.
            if deleted.get() { Pace::Wait } else { Pace::On }
        },
    };
    assert_eq!(engine.clean(&rules, NOW_MS).unwrap(), None);
    while !engine.stored().unwrap().is_empty() {
        std::thread::yield_now();
    }
}

/// An aborted transaction whose marker lies behind everything that is cleaned takes nothing along.
#[test]
fn c_4_a_transaction_that_is_aborted_further_on_supersedes_nothing() {
    let disk = MemoryDisk::new();
    let (engine, log, written) = filled(&disk, 10);
    let producer = Producer { id: 7, epoch: 0 };
    let mut builder = BatchBuilder::new(NOW_MS)
        .producer(producer.id, producer.epoch, -1)
        .transactional();
    for key in 0..KEYS {
        builder.record(Some(format!("k{key}").as_bytes()), Some(b"aborted"));
    }
    let aborted = builder.build().unwrap();
    let append = |batch, origin| wait(log.append(batch, origin, Durability::Synced, NOW_MS));
    let begun = append(&aborted, Origin::Coordinator).unwrap();
    let mut builder = BatchBuilder::new(NOW_MS);
    builder.record(Some(b"another"), Some(&[0; 1400]));
    // The marker begins a segment.
    let large = append(&builder.build().unwrap(), Origin::Client).unwrap();
    let marker = Marker {
        producer,
        outcome: Outcome::Abort,
        coordinator_epoch: 0,
        transaction_version: 0,
    };
    let ended = wait(log.append_marker(&marker, Durability::Synced, NOW_MS)).unwrap();
    engine.upkeep(NOW_MS + 2 * MINUTE_MS);
    let done = clean(&engine, NOW_MS).unwrap().unwrap();
    assert_eq!(
        (done.to, ended.base_offset),
        (large.end_offset, large.end_offset)
    );
    let found = read(&log);
    for (offset, record) in written.last() {
        assert_eq!(found.get(&offset), Some(&record), "offset {offset}");
    }
    let all = begun.base_offset.get()..begun.end_offset.get();
    assert_eq!(found.range(all).count(), 0, "what was aborted goes");
    let named = wait(log.aborted(Offset::ZERO, ended.end_offset)).unwrap();
    assert_eq!(named.len(), 1, "its marker is still there");
}

/// A power cut can take a marker that readers saw already. Where its transaction begins must still
/// be where the checkpoint says, so nothing of it is cleaned before a checkpoint knows its end.
#[test]
fn c_4_a_transaction_is_cleaned_once_a_checkpoint_knows_that_it_ended() {
    let disk = MemoryDisk::new();
    let engine = start(shared(&disk)).unwrap();
    let log = open(&engine);
    let put = |builder: &mut BatchBuilder, key: &str| {
        builder.record(Some(key.as_bytes()), Some(b"a value"));
    };
    let append = |batch: &Batch, origin| {
        wait(log.append(batch, origin, Durability::Synced, NOW_MS)).unwrap()
    };
    let producer = Producer { id: 7, epoch: 0 };
    for n in 0..40 {
        let mut builder = BatchBuilder::new(NOW_MS);
        put(&mut builder, "the same");
        append(&builder.build().unwrap(), Origin::Client);
        if n == 3 {
            let builder = BatchBuilder::new(NOW_MS).producer(producer.id, producer.epoch, -1);
            let mut builder = builder.transactional();
            put(&mut builder, "within");
            append(&builder.build().unwrap(), Origin::Coordinator);
        }
    }
    engine.upkeep(NOW_MS + MINUTE_MS);
    let marker = Marker {
        producer,
        outcome: Outcome::Commit,
        coordinator_epoch: 0,
        transaction_version: 0,
    };
    wait(log.append_marker(&marker, Durability::Written, NOW_MS)).unwrap();
    assert_eq!(log.offsets().stable, log.offsets().end);
    let early = clean(&engine, NOW_MS).unwrap();
    let ended = disk.power_cut(Keep::Nothing);
    let again = start(shared(&ended)).unwrap();
    let log = open(&again);
    assert_eq!(log.offsets().stable, Offset::new(4));
    let stable = support::read_batches(&log, Offset::ZERO, Bound::Stable).unwrap();
    let last = stable.last().unwrap().0.base_offset;
    assert_eq!((last, log.damage()), (3, None));
    assert_eq!(early, None);

    // The coordinator writes it again.
    wait(log.append_marker(&marker, Durability::Written, NOW_MS)).unwrap();
    again.upkeep(NOW_MS + 2 * MINUTE_MS);
    assert!(clean(&again, NOW_MS).unwrap().is_some());
}

/// Every call of a cleaning may fail. Once the server has stopped nothing is lost.
#[test]
fn ft_2_a_failure_at_any_call_of_a_cleaning_loses_nothing() {
    for call in [
        Call::Open,
        Call::Write,
        Call::Sync,
        Call::SyncDir,
        Call::Rename,
        Call::RemoveFile,
    ] {
        for errno in [Errno::IO, Errno::NOSPC] {
            let mut failed = 0;
            for nth in 1.. {
                let disk = MemoryDisk::new();
                let (engine, log, mut written) = filled(&disk, nth);
                disk.fail(Fault::nth(call, nth, errno));
                let cleaned = clean(&engine, NOW_MS);
                if !disk.has_failed() {
                    break;
                }
                failed += 1;
                disk.mend();
                if !matches!(cleaned, Err(StorageError::Poisoned)) {
                    written.check(&log);
                    written.append(&log, &mut Random(nth)).unwrap();
                }
                drop((engine, log));
                for ended in [disk.crash(), disk.power_cut(Keep::Seed(nth))] {
                    check_after(&ended, written.clone());
                }
            }
            assert!(failed > 0, "{call:?} is never called");
        }
    }
}

/// FT2: the process or the machine dies before any one of the calls of a cleaning, and of the
/// recovery after it. Nothing is lost, and the next cleaning ends as if nothing had been.
#[test]
fn ft_2_a_crash_at_any_step_of_a_cleaning_loses_nothing() {
    for power in [false, true] {
        let mut steps = 0;
        for stop in 1.. {
            let disk = MemoryDisk::new();
            let (engine, _, written) = filled(&disk, stop);
            disk.stop_before(stop);
            let finished = clean(&engine, NOW_MS).is_ok();
            if finished {
                engine.upkeep(NOW_MS + 2 * MINUTE_MS);
            }
            let is_over = !disk.is_off();
            drop(engine);
            for again in (1 + stop % 4..40).step_by(4) {
                let crashed = match power {
                    true => disk.power_cut(Keep::Seed(stop * 100 + again)),
                    false => disk.crash(),
                };
                let report = doctor::check(&shared(&crashed), Path::new(""), false).unwrap();
                assert!(report.is_healthy(), "{:?}", report.findings);
                crashed.stop_before(again);
                let recovered = start(shared(&crashed))
                    .and_then(|engine| engine.open(partition_id(0), settings()).map(drop))
                    .is_ok();
                let twice = match power {
                    true => crashed.power_cut(Keep::Seed(again)),
                    false => crashed.crash(),
                };
                check_after(&twice, written.clone());
                if recovered {
                    break;
                }
            }
            steps = stop;
            if is_over {
                break;
            }
        }
        assert!(steps > 20, "a cleaning takes many calls, not {steps}");
    }
}

/// The doctor compares the checkpoint with the log, of which a cleaning has taken since what the
/// producer had written last.
#[test]
fn the_doctor_finds_no_fault_with_a_producer_whose_batches_were_cleaned_away() {
    let disk = MemoryDisk::new();
    let engine = start(shared(&disk)).unwrap();
    let log = open(&engine);
    let append = |builder: BatchBuilder, key: &str| {
        let mut builder = builder;
        builder.record(Some(key.as_bytes()), Some(b"a value"));
        let batch = builder.build().unwrap();
        wait(log.append(&batch, Origin::Client, Durability::Synced, NOW_MS)).unwrap();
    };
    let producer = |sequence| BatchBuilder::new(NOW_MS).producer(7, 0, sequence);
    append(producer(0), "stays");
    append(producer(1), "superseded");
    for _ in 0..20 {
        append(BatchBuilder::new(NOW_MS), "superseded");
    }
    engine.upkeep(NOW_MS + MINUTE_MS);
    append(producer(2), "later");
    clean(&engine, NOW_MS).unwrap().unwrap();
    assert!(!read(&log).contains_key(&1));
    let report = doctor::check(&shared(&disk.crash()), Path::new(""), false).unwrap();
    assert!(report.is_healthy(), "{:?}", report.findings);
}

/// A new segment that the disk lost, though it was synced, takes no old one along.
#[test]
fn a_new_segment_that_is_not_whole_counts_for_nothing() {
    let dir = format!("topics/{}", partition_id(0));
    let mut cut = 0;
    for stop in 1.. {
        let disk = MemoryDisk::new();
        let (engine, _, written) = filled(&disk, 3);
        disk.stop_before(stop);
        let finished = clean(&engine, NOW_MS).is_ok();
        drop(engine);
        let crashed = disk.crash();
        for entry in crashed.list(Path::new(&dir)).unwrap() {
            if entry.len > 0 && entry.name.ends_with(".log.cleaned") {
                let path = Path::new(&dir).join(entry.name);
                let file = crashed.open(&path, Open::Write).unwrap();
                file.set_len(entry.len - 1).unwrap();
                cut += 1;
            }
        }
        check_after(&crashed, written);
        if finished {
            break;
        }
    }
    assert!(cut > 3, "{cut}");
}

fn check_after(disk: &MemoryDisk, mut written: Written) {
    let engine = start(shared(disk)).unwrap();
    let log = open(&engine);
    written.check(&log);
    let mut random = Random(77);
    for _ in 0..10 {
        written.append(&log, &mut random).unwrap();
    }
    engine.upkeep(NOW_MS + MINUTE_MS);
    while clean(&engine, NOW_MS).unwrap().is_some() {}
    written.check(&log);
    let left = read(&log);
    drop(engine);
    let leftovers = disk.list(Path::new(&format!("topics/{}", partition_id(0))));
    let beside = leftovers
        .unwrap()
        .into_iter()
        .filter(|e| e.name.ends_with(".log.cleaned"));
    assert_eq!(beside.count(), 0);
    for end in [disk.crash(), disk.power_cut(Keep::Nothing)] {
        let engine = start(shared(&end)).unwrap();
        let log = open(&engine);
        written.check(&log);
        assert_eq!(read(&log), left);
    }
}
