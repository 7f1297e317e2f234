use super::*;
use crate::batch::{BatchBuilder, CRC_FROM};

const NOW_MS: i64 = 1_000_000_000;

fn batch() -> Batch {
    let mut builder = BatchBuilder::new(NOW_MS).producer(5, 0, 0);
    builder.record(None, Some(b"a"));
    builder.record(None, Some(b"b"));
    builder.build().unwrap()
}

/// The batch with some bytes replaced and its CRC put right.
fn with(at: usize, bytes: &[u8]) -> Batch {
    let mut all = batch().bytes().to_vec();
    all[at..at + bytes.len()].copy_from_slice(bytes);
    let crc = crc32c::crc32c(&all[CRC_FROM..]);
    all[17..21].copy_from_slice(&crc.to_be_bytes());
    Batch::parse(all.into(), usize::MAX).unwrap()
}

fn check(batch: &Batch) -> Result<(), StorageError> {
    check_client(batch, &LogSettings::default(), NOW_MS).map(drop)
}

fn is_invalid(batch: &Batch) -> bool {
    matches!(check(batch), Err(StorageError::InvalidBatch(_)))
}

#[test]
fn a_right_batch_passes() {
    assert!(check(&batch()).is_ok());
}

#[test]
fn p_7_a_base_offset_or_a_control_bit_is_refused() {
    assert!(is_invalid(&with(0, &1_i64.to_be_bytes())));
    assert!(is_invalid(&with(21, &0x20_i16.to_be_bytes())));
}

#[test]
fn p_8_counts_sequences_and_epochs_must_fit() {
    assert!(is_invalid(&with(57, &0_i32.to_be_bytes())));
    assert!(is_invalid(&with(57, &(-1_i32).to_be_bytes())));
    assert!(is_invalid(&with(57, &3_i32.to_be_bytes())));
    assert!(is_invalid(&with(23, &0_i32.to_be_bytes())));
    assert!(is_invalid(&with(53, &(-1_i32).to_be_bytes())));
    assert!(is_invalid(&with(51, &(-1_i16).to_be_bytes())));
    assert!(is_invalid(&with(21, &5_i16.to_be_bytes())), "codec 5");
}

#[test]
fn p_9_size_comes_before_everything_else() {
    let settings = LogSettings {
        max_message_bytes: batch().bytes().len() - 1,
        ..LogSettings::default()
    };
    let wrong_too = with(0, &1_i64.to_be_bytes());
    assert!(matches!(
        check_client(&wrong_too, &settings, NOW_MS),
        Err(StorageError::BatchTooLarge { .. })
    ));
}

#[test]
fn p_11_timestamps_have_limits_on_both_sides_unless_there_is_none() {
    let settings = LogSettings {
        timestamp_after_max_ms: 10,
        timestamp_before_max_ms: 100,
        ..LogSettings::default()
    };
    let at = |base: i64, max: i64| {
        let times = [base.to_be_bytes(), max.to_be_bytes()].concat();
        check_client(&with(27, &times), &settings, NOW_MS).is_ok()
    };
    assert!(at(NOW_MS, NOW_MS + 10));
    assert!(!at(NOW_MS, NOW_MS + 11));
    assert!(at(NOW_MS - 100, NOW_MS));
    assert!(!at(NOW_MS - 101, NOW_MS));
    assert!(at(-1, -1));
    let blamed = |checked| match checked {
        Err(StorageError::InvalidTimestamp { records, .. }) => records,
        other => panic!("{other:?}"),
    };
    let all: Vec<i32> = (0..batch().header().count).collect();
    let by_log = with(21, &0x08_i16.to_be_bytes());
    assert_eq!(blamed(check(&by_log)), all);
    // Who sent it is told which records are late.
    let mut builder = BatchBuilder::new(NOW_MS);
    for late in [0, 11, 10, 12] {
        builder.record_at(NOW_MS + late, None, Some(b"v"), &[]);
    }
    let some = builder.build().unwrap();
    assert_eq!(
        blamed(check_client(&some, &settings, NOW_MS).map(drop)),
        [1, 3]
    );
}

#[test]
fn p_11_the_log_s_own_time_makes_the_producer_s_irrelevant() {
    let settings = LogSettings {
        timestamp_type: TimestampType::LogAppendTime,
        timestamp_after_max_ms: 0,
        ..LogSettings::default()
    };
    let late = (NOW_MS + 5).to_be_bytes();
    assert!(check_client(&with(35, &late), &settings, NOW_MS).is_ok());
}

#[test]
fn p_14_records_are_walked_only_when_asked() {
    let settings = LogSettings {
        validation: Validation::Records,
        ..LogSettings::default()
    };
    assert!(check_client(&batch(), &settings, NOW_MS).is_ok());
    // The first record's length.
    let broken = with(61, &[0x7e]);
    assert!(check(&broken).is_ok());
    assert!(matches!(
        check_client(&broken, &settings, NOW_MS),
        Err(StorageError::InvalidBatch(_))
    ));
    // The first record's offset, 0 where it should be.
    let doubled = with(64, &[2]);
    assert!(check(&doubled).is_ok());
    assert!(check_client(&doubled, &settings, NOW_MS).is_err());
}

#[test]
fn p_10_a_compacted_log_takes_no_record_without_a_key() {
    let compacted = LogSettings {
        compact: true,
        ..LogSettings::default()
    };
    let mut builder = BatchBuilder::new(NOW_MS);
    for key in [Some(&b"k"[..]), None, Some(b""), None] {
        builder.record(key, Some(b"value"));
    }
    let some = builder.build().unwrap();
    assert!(check_client(&some, &LogSettings::default(), NOW_MS).is_ok());
    let Err(StorageError::KeysMissing(missing)) = check_client(&some, &compacted, NOW_MS) else {
        panic!("taken");
    };
    assert_eq!(missing, [1, 3]);
    let mut builder = BatchBuilder::new(NOW_MS);
    builder.record(Some(b""), None);
    assert!(check_client(&builder.build().unwrap(), &compacted, NOW_MS).is_ok());
}

#[test]
fn p_14_a_walk_finds_the_largest_time_whatever_the_header_says() {
    let mut builder = BatchBuilder::new(NOW_MS);
    for ms in [NOW_MS - 5, NOW_MS + 7, NOW_MS] {
        builder.record_at(ms, Some(b"k"), None, &[]);
    }
    let right = builder.build().unwrap();
    let walked = LogSettings {
        validation: Validation::Records,
        ..LogSettings::default()
    };
    assert!(dated(&right, NOW_MS + 7, &walked).is_none(), "it is right");
    for claimed in [0, NOW_MS, NOW_MS + 1000] {
        let wrong = right.with_max_timestamp(claimed);
        let newest_ms = check_client(&wrong, &walked, NOW_MS).unwrap();
        assert_eq!(newest_ms, Some(NOW_MS + 7), "{claimed}");
        let stored = dated(&wrong, NOW_MS + 7, &walked).unwrap();
        let stored = Batch::parse(stored.bytes().clone(), 1 << 20).unwrap();
        assert_eq!(stored.bytes(), right.bytes(), "CRC and all");
        // The time of the append comes in its place.
        let of_append = LogSettings {
            timestamp_type: TimestampType::LogAppendTime,
            ..walked.clone()
        };
        assert!(dated(&wrong, NOW_MS + 7, &of_append).is_none());
    }
}
