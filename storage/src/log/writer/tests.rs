use std::path::Path;

use super::*;
use crate::batch::BatchBuilder;
use crate::disk::{Disk, Open};
use crate::disk_memory::MemoryDisk;

fn active(size: Position, first_timestamp: i64) -> Active {
    let disk = MemoryDisk::new();
    Active {
        file: disk.open(Path::new("x"), Open::Create).unwrap(),
        base: Offset::new(100),
        size,
        aborted: 0,
        first_timestamp,
        created_ms: 1000,
    }
}

fn header(timestamp: i64) -> BatchHeader {
    let mut builder = BatchBuilder::new(timestamp);
    builder.record(None, Some(b"x"));
    *builder.build().unwrap().header()
}

fn settings() -> LogSettings {
    LogSettings {
        segment_bytes: 1000,
        segment_ms: 500,
        ..LogSettings::default()
    }
}

fn is_due(active: &Active, header: &BatchHeader, settings: &LogSettings, now_ms: i64) -> bool {
    let time = header.max_timestamp;
    active.is_due(header, time, Offset::new(200), settings, now_ms)
}

#[test]
fn r_1_a_segment_rolls_before_it_grows_past_its_size() {
    let header = header(1000);
    let room = 1000 - header.bytes as u64;
    assert!(!is_due(&active(room, 1000), &header, &settings(), 1000));
    assert!(is_due(&active(room + 1, 1000), &header, &settings(), 1000));
    assert!(
        !is_due(&active(0, 1000), &header, &settings(), 9000),
        "an empty one never"
    );
}

#[test]
fn r_1_the_age_goes_by_record_timestamps_where_there_are_any() {
    assert!(!is_due(
        &active(10, 1000),
        &header(1500),
        &settings(),
        99_000
    ));
    assert!(is_due(&active(10, 1000), &header(1501), &settings(), 1000));
    assert!(!is_due(&active(10, -1), &header(1501), &settings(), 1500));
    assert!(is_due(&active(10, -1), &header(1501), &settings(), 1501));
}

#[test]
fn r_1_offsets_stay_within_32_bits_of_the_base() {
    let end = Offset::new(100 + i64::from(i32::MAX));
    let active = active(10, 1000);
    let header = header(1000);
    assert!(!active.is_due(&header, 1000, end, &settings(), 1000));
    assert!(active.is_due(&header, 1000, end.plus(1), &settings(), 1000));
}

#[test]
fn r_1_a_full_index_rolls() {
    let settings = LogSettings {
        segment_bytes: 1 << 30,
        segment_index_bytes: 32,
        ..settings()
    };
    assert!(!is_due(
        &active(2 * 16_384 - 1, 1000),
        &header(1000),
        &settings,
        1000
    ));
    assert!(is_due(
        &active(2 * 16_384, 1000),
        &header(1000),
        &settings,
        1000
    ));
}

#[test]
fn jitter_only_ever_brings_a_roll_forward() {
    let settings = LogSettings {
        segment_jitter_ms: 400,
        ..settings()
    };
    for base in 0..50 {
        let active = Active {
            base: Offset::new(base),
            ..active(10, 1000)
        };
        let due = (1000..=1501)
            .find(|time| is_due(&active, &header(*time), &settings, 1000))
            .unwrap();
        assert!((1101..=1501).contains(&due), "{due}");
    }
}

#[test]
fn a_segment_with_very_many_aborted_transactions_is_followed_by_another() {
    let full = Active {
        aborted: crate::log::aborted::SEGMENT_MAX,
        ..active(10, 5)
    };
    assert!(is_due(&full, &header(5), &settings(), 1000));
    assert!(!is_due(&active(10, 5), &header(5), &settings(), 1000));
}

/// Of the active segment nothing is cleaned: a record that is to be cleaned so long after it was
/// written must not lie there any longer.
#[test]
fn c_1_a_compacted_log_rolls_in_time_for_its_largest_lag() {
    let mut settings = LogSettings {
        max_compaction_lag_ms: 200,
        segment_jitter_ms: 150,
        ..settings()
    };
    let due = |settings: &LogSettings| {
        let active = active(10, 1000);
        (1000..=1501)
            .find(|time| is_due(&active, &header(*time), settings, 1000))
            .unwrap()
    };
    assert!(due(&settings) > 1201, "one that is not compacted");
    settings.compact = true;
    assert!((1051..=1201).contains(&due(&settings)));
    settings.segment_jitter_ms = 0;
    assert_eq!(due(&settings), 1201);
    settings.max_compaction_lag_ms = i64::MAX;
    assert_eq!(due(&settings), 1501);
}
