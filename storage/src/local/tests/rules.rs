//! Rules of the checklist that need a whole log to show.

use super::*;
use crate::batch::{CRC_FROM, HEADER_BYTES};
use crate::disk_memory::{Call, Errno, Fault};
use crate::{TimeQuery, TimestampType};

fn produced(id: i64, sequence: i32, value: &str) -> Batch {
    let mut builder = BatchBuilder::new(NOW_MS).producer(id, 0, sequence);
    builder.record(None, Some(value.as_bytes()));
    builder.build().unwrap()
}

fn timed(log: &Arc<dyn Partition>, query: TimeQuery) -> Option<(i64, i64)> {
    wait(log.offset_at(query, Bound::HighWatermark))
        .unwrap()
        .map(|found| (found.offset.get(), found.timestamp_ms))
}

#[test]
fn f_3_a_read_before_the_active_segment_says_so() {
    let rig = Rig::new();
    let log = rig.open(LogSettings {
        segment_bytes: 100,
        ..LogSettings::default()
    });
    append(&log, &batch(&["a"]), Durability::Written).unwrap();
    append(&log, &batch(&["b"]), Durability::Written).unwrap();
    assert_eq!(log.segments(), 2);
    assert!(read_from(&log, 0, 1000).unwrap().behind_active);
    assert!(!read_from(&log, 1, 1000).unwrap().behind_active);
}

#[test]
fn p_12_the_stamped_batch_has_a_right_crc_and_the_rest_is_untouched() {
    let rig = Rig::new();
    let log = rig.open(LogSettings {
        timestamp_type: TimestampType::LogAppendTime,
        ..LogSettings::default()
    });
    let sent = batch_at(5, &["a", "b"]);
    let appended = append(&log, &sent, Durability::Written).unwrap();
    assert_eq!(appended.log_append_time_ms, NOW_MS);
    // `batches` checks the CRC.
    let stored = batches(&read_from(&log, 0, 1000).unwrap()).remove(0);
    assert!(stored.header().is_log_append_time());
    assert_eq!(stored.header().max_timestamp, NOW_MS);
    assert_eq!(stored.bytes()[HEADER_BYTES..], sent.bytes()[HEADER_BYTES..]);
    assert_eq!(timed(&log, TimeQuery::AtOrAfter(6)), Some((0, NOW_MS)));
}

/// The times that count are the log's own, whatever producers say.
#[test]
fn r_1_segments_with_the_logs_own_time_roll_by_it() {
    let rig = Rig::new();
    let log = rig.open(LogSettings {
        timestamp_type: TimestampType::LogAppendTime,
        segment_ms: 1000,
        ..LogSettings::default()
    });
    let ahead = NOW_MS + 2000;
    for (sent_ms, age_ms, segments) in [(5, 0, 1), (ahead, 1, 1), (5, 1001, 2)] {
        let batch = batch_at(sent_ms, &["x"]);
        let now_ms = NOW_MS + age_ms;
        wait(log.append(&batch, Origin::Client, Durability::Written, now_ms)).unwrap();
        assert_eq!(log.segments(), segments, "after {age_ms} ms");
    }
}

#[test]
fn p_13_offset_and_epoch_are_set_outside_the_crc() {
    let rig = Rig::new();
    let log = rig.open(LogSettings::default());
    append(&log, &batch(&["a"]), Durability::Written).unwrap();
    let sent = batch(&["b"]);
    append(&log, &sent, Durability::Written).unwrap();
    let stored = batches(&read_from(&log, 1, 1000).unwrap()).remove(0);
    assert_eq!(
        (stored.header().base_offset, stored.header().leader_epoch),
        (1, 0)
    );
    assert_eq!(stored.bytes()[CRC_FROM - 4..], sent.bytes()[CRC_FROM - 4..]);
}

#[test]
fn p_18_deleting_records_forgets_no_producer_not_even_over_a_crash() {
    let settings = LogSettings {
        segment_bytes: 200,
        file_delete_delay_ms: 0,
        ..LogSettings::default()
    };
    let rig = Rig::new();
    let log = rig.open(settings.clone());
    append(&log, &produced(7, 0, "first"), Durability::Synced).unwrap();
    for _ in 0..6 {
        append(&log, &batch(&["filler"]), Durability::Written).unwrap();
    }
    wait(log.advance_start(Offset::new(6))).unwrap();
    let mut rig = rig;
    for round in 0..3 {
        rig.engine.upkeep(NOW_MS + round * 61_000);
        rig = rig.crash();
        let log = rig.open(settings.clone());
        let again = append(&log, &produced(7, 0, "first"), Durability::Synced).unwrap();
        assert!(again.duplicate, "round {round}");
        assert_eq!(log.offsets().start.get(), 6);
    }
}

#[test]
fn p_18_a_silent_producer_is_forgotten_and_may_begin_anywhere() {
    let rig = Rig::new();
    let log = rig.open(LogSettings::default());
    append(&log, &produced(7, 0, "a"), Durability::Written).unwrap();
    rig.engine.upkeep(NOW_MS + 86_400_000);
    assert_eq!(log.producers().len(), 1);
    rig.engine.upkeep(NOW_MS + 86_400_000 + 61_000);
    assert_eq!(log.producers(), []);
    append(&log, &produced(7, 55, "b"), Durability::Written).unwrap();
}

#[test]
fn l_3_a_timestamp_that_goes_backwards_is_still_found() {
    let rig = Rig::new();
    let log = rig.open(LogSettings::default());
    for time in [50, 10, 70, 20] {
        append(&log, &batch_at(time, &["x"]), Durability::Written).unwrap();
    }
    let at = |time| timed(&log, TimeQuery::AtOrAfter(time));
    assert_eq!(at(5), Some((0, 50)));
    assert_eq!(at(51), Some((2, 70)));
    assert_eq!(at(71), None);
    wait(log.advance_start(Offset::new(1))).unwrap();
    assert_eq!(at(5), Some((1, 10)));
}

#[test]
fn l_4_the_largest_timestamp_is_found_up_to_the_watermark() {
    let rig = Rig::new();
    let log = rig.open(LogSettings::default());
    let largest = |log| timed(log, TimeQuery::Largest);
    assert_eq!(largest(&log), None);
    let mut builder = BatchBuilder::new(10);
    builder.record_at(10, None, Some(b"a"), &[]);
    builder.record_at(90, None, Some(b"b"), &[]);
    builder.record_at(30, None, Some(b"c"), &[]);
    append(&log, &builder.build().unwrap(), Durability::Written).unwrap();
    append(&log, &batch_at(40, &["d"]), Durability::Written).unwrap();
    assert_eq!(largest(&log), Some((1, 90)));
    rig.disk.hold_syncs();
    let late = log.append(
        &batch_at(99, &["e"]),
        Origin::Client,
        Durability::Synced,
        NOW_MS,
    );
    assert_eq!(largest(&log), Some((1, 90)), "not before it is synced");
    rig.disk.release_syncs();
    wait(late).unwrap();
    assert_eq!(largest(&log), Some((4, 99)));
}

#[test]
fn l_4_a_header_that_lies_about_its_records_still_answers() {
    let rig = Rig::new();
    let log = rig.open(LogSettings::default());
    let mut bytes = batch_at(10, &["a"]).bytes().to_vec();
    bytes[22] = 1;
    let crc = crc32c::crc32c(&bytes[CRC_FROM..]);
    bytes[17..21].copy_from_slice(&crc.to_be_bytes());
    let hostile = Batch::parse(bytes.into(), 1000).unwrap();
    append(&log, &hostile, Durability::Written).unwrap();
    assert_eq!(timed(&log, TimeQuery::Largest), Some((0, 10)));
    assert_eq!(timed(&log, TimeQuery::AtOrAfter(3)), Some((0, 10)));
}

#[test]
fn p_9_a_batch_longer_than_a_segment_is_refused() {
    let rig = Rig::new();
    let log = rig.open(LogSettings {
        segment_bytes: 80,
        ..LogSettings::default()
    });
    let long = batch(&["a value of some length"]);
    for origin in [Origin::Client, Origin::Coordinator] {
        let refused = wait(log.append(&long, origin, Durability::Written, NOW_MS));
        assert!(matches!(
            refused,
            Err(StorageError::BatchAboveSegment { limit: 80, .. })
        ));
    }
}

#[test]
fn dc_5_a_full_disk_cuts_the_file_back_and_the_log_goes_on() {
    let rig = Rig::new();
    let log = rig.open(LogSettings::default());
    append(&log, &batch(&["a"]), Durability::Written).unwrap();
    rig.disk
        .fail(Fault::nth(Call::Write, 1, Errno::NOSPC).torn_after(30));
    let refused = append(&log, &batch(&["b"]), Durability::Synced);
    assert!(
        matches!(refused, Err(StorageError::DiskFull)),
        "{refused:?}"
    );
    assert_eq!(log.offsets().end.get(), 1);
    let next = append(&log, &batch(&["c"]), Durability::Synced).unwrap();
    assert_eq!(next.base_offset.get(), 1);
    let log = rig.crash().open(LogSettings::default());
    assert_eq!(all_from(&log, 0), [(0, "a".into()), (1, "c".into())]);
}

#[test]
fn ft_9_few_descriptors_are_enough_for_many_partitions() {
    let disk = MemoryDisk::new();
    let options = LocalOptions {
        open_files_max: 16,
        ..LocalOptions::default()
    };
    let engine = LocalEngine::open(Arc::new(disk), Path::new("data"), options, NOW_MS).unwrap();
    let settings = Arc::new(LogSettings::default());
    let logs: Vec<_> = (0..100)
        .map(|index| engine.open(id(index), Arc::clone(&settings)).unwrap())
        .collect();
    for round in 0..3 {
        for log in &logs {
            append(log, &batch(&["x"]), Durability::Written).unwrap();
            let open = engine.shared.handles.open();
            assert!(open <= 17, "round {round}: {open} files are open");
        }
    }
    for log in &logs {
        assert_eq!(all_from(log, 0).len(), 3);
        assert!(engine.shared.handles.open() <= 17);
    }
}

#[test]
fn ft_6_flips_in_the_middle_never_shorten_the_log_silently() {
    let rig = Rig::new();
    let log = rig.open(LogSettings {
        segment_bytes: 40_000,
        ..LogSettings::default()
    });
    for n in 0..300 {
        let value = format!("{n} {}", "z".repeat(n * 31 % 400));
        append(&log, &batch(&[&value, "-"]), Durability::Written).unwrap();
    }
    let whole = all_from(&log, 0);
    let disk = rig.close();
    let dir = Path::new("data/topics").join(id(0).to_string());
    let logs: Vec<_> = disk
        .list(&dir)
        .unwrap()
        .into_iter()
        .filter(|entry| entry.name.ends_with(".log"))
        .collect();
    let mut seed = 42_u64;
    println!("2,000 flips, seed {seed}");
    for round in 0..2000 {
        seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        let entry = &logs[usize::try_from(seed >> 33).unwrap() % logs.len()];
        let at = (seed >> 17) % entry.len;
        let disk = disk.crash();
        let file = disk
            .open(&dir.join(&entry.name), crate::disk::Open::Write)
            .unwrap();
        let mut byte = [0];
        crate::disk::read_exact_at(&*file, &mut byte, at).unwrap();
        byte[0] ^= 1 << (seed % 8);
        file.write_at(&[std::io::IoSlice::new(&byte)], at).unwrap();
        let rig = Rig::on(disk, "boot 2");
        let log = rig.open(LogSettings::default());
        assert_eq!(log.offsets().end.get(), 600, "round {round}");
        // Everything that is given is right; something is refused; all around it is given.
        let (mut next, mut refused) = (0_usize, 0);
        while next < 600 {
            match read_from(&log, next as i64, 100_000) {
                Ok(read) => {
                    for record in batches(&read).iter().flat_map(|one| records(one).unwrap()) {
                        let record = record.unwrap();
                        let at = usize::try_from(record.offset.get()).unwrap();
                        let value = String::from_utf8(record.value.unwrap().to_vec()).unwrap();
                        assert_eq!(value, whole[at].1, "round {round}");
                        next = next.max(at + 1);
                    }
                }
                Err(StorageError::Corrupt { .. }) => {
                    refused += 1;
                    next += 1;
                }
                Err(error) => panic!("{error}"),
            }
        }
        assert!(refused > 0, "round {round}: {} byte {at}", entry.name);
        assert!(log.damage().is_some());
    }
}
