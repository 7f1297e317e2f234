//! Kafka's bytes, written out by hand from its message definitions.

use super::bench::{TOPIC, key};
use crate::coordinator::Record as _;
use crate::coordinator::share::{Durable, Record, Snapshot, StateBatch, Update};

fn hex(text: &str) -> Vec<u8> {
    let digits: Vec<u8> = text
        .chars()
        .filter(|digit| !digit.is_whitespace())
        .map(|digit| digit.to_digit(16).unwrap() as u8)
        .collect();
    digits
        .chunks(2)
        .map(|pair| pair[0] << 4 | pair[1])
        .collect()
}

#[track_caller]
fn assert_bytes(record: &Record, key: &str, value: Option<&str>) {
    let (found_key, found_value) = record.encode();
    assert_eq!(found_key, hex(key));
    assert_eq!(found_value.as_deref(), value.map(hex).as_deref());
    let decoded = Record::decode(&found_key, found_value.as_deref());
    assert_eq!(decoded, Ok(Some(record.clone())));
}

/// Type, group `g`, topic id, partition 0.
const SNAPSHOT_KEY: &str = "0000 0001 67 00000000000000000000000000000070 00000000";
const UPDATE_KEY: &str = "0001 0001 67 00000000000000000000000000000070 00000000";

fn batch(state: Durable, not_before_ms: i64) -> StateBatch {
    StateBatch {
        first: 16,
        last: 31,
        state,
        count: 2,
        not_before_ms,
    }
}

#[test]
fn a_snapshot_is_a_share_snapshot_value() {
    assert_eq!(TOPIC.as_u128(), 0x70);
    let snapshot = Snapshot {
        snapshot_epoch: 3,
        state_epoch: 4,
        start: 15,
        complete: 16,
        created_ms: 0x0102,
        written_ms: 0x0304,
        batches: vec![batch(Durable::Acknowledged, 0)],
    };
    let value = "0000 00000003 00000004 00000000 000000000000000f
        0000000000000102 0000000000000304
        02 0000000000000010 000000000000001f 02 0002 00
        01 00 04 00000010";
    let record = Record::Snapshot(key(), snapshot);
    assert_bytes(&record, SNAPSHOT_KEY, Some(value));
    assert_bytes(&Record::Tombstone(key()), SNAPSHOT_KEY, None);
}

#[test]
fn an_update_is_a_share_update_value_with_fields_of_our_own() {
    let mut update = Update {
        snapshot_epoch: 3,
        start: None,
        complete: 0,
        batches: vec![batch(Durable::Available, 0x0506)],
        continues: false,
    };
    // Tag 10000 is 90 4e, tag 10001 is 91 4e.
    let value = "0000 00000003 00000000 ffffffffffffffff
        02 0000000000000010 000000000000001f 00 0002 01 904e 08 0000000000000506
        01 00 04 00000000";
    let record = Record::Update(key(), update.clone());
    assert_bytes(&record, UPDATE_KEY, Some(value));
    update.continues = true;
    update.start = Some(1);
    update.batches = vec![batch(Durable::Archiving, 0), batch(Durable::Archived, 0)];
    update.batches[1].first = 32;
    update.batches[1].last = 32;
    let value = "0000 00000003 00000000 0000000000000001
        03 0000000000000010 000000000000001f 03 0002 00
           0000000000000020 0000000000000020 04 0002 00
        02 00 04 00000000 914e 00";
    let record = Record::Update(key(), update);
    assert_bytes(&record, UPDATE_KEY, Some(value));
}

#[test]
fn what_kafka_writes_otherwise_is_read_too() {
    // Without the count of KIP-1226, a start that is not known yet, a tag of later days.
    let value = hex("0000 00000000 00000000 00000007 ffffffffffffffff
        0000000000000000 0000000000000000 01 01 05 01 ff");
    let Ok(Some(Record::Snapshot(_, snapshot))) = Record::decode(&hex(SNAPSHOT_KEY), Some(&value))
    else {
        panic!("not read");
    };
    assert_eq!((snapshot.start, snapshot.complete), (0, -1));
    // Kinds, versions and tombstones that mean nothing here.
    let kind = hex("0002 0001 67 00000000000000000000000000000070 00000000");
    assert_eq!(Record::decode(&kind, None), Ok(None));
    assert_eq!(Record::decode(&hex(UPDATE_KEY), None), Ok(None));
    let later = Record::decode(&hex(SNAPSHOT_KEY), Some(&hex("0001")));
    assert_eq!(later, Ok(None));
}

#[test]
fn bytes_that_make_no_sense_are_refused() {
    let whole = "0000 00000003 00000000 0000000000000001
        02 0000000000000010 000000000000001f 03 0002 00 01 00 04 00000000";
    let bytes = hex(whole);
    for length in 2..bytes.len() {
        let cut = Record::decode(&hex(UPDATE_KEY), Some(&bytes[..length]));
        assert!(cut.is_err(), "{length} bytes");
    }
    for (good, bad) in [
        ("1f 03", "0f 03"),
        ("1f 03", "1f 05"),
        ("0000000000000001", "fffffffffffffffe"),
        ("000000000000001f", "7fffffffffffffff"),
        ("02 0000000000000010", "02 ffffffffffffffff"),
        // More batches than there are bytes.
        ("02 0000000000000010", "ffffffff0f 0000000000000010"),
    ] {
        let bytes = hex(&whole.replacen(good, bad, 1));
        let found = Record::decode(&hex(UPDATE_KEY), Some(&bytes));
        assert!(found.is_err(), "{bad}: {found:?}");
    }
}
