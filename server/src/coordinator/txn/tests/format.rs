use bytes::Bytes;

use crate::coordinator::Record as _;
use crate::coordinator::txn::{Record, Status, Transaction};

fn ongoing() -> Transaction {
    let mut transaction = Transaction::new(7, 60_000, 1000);
    transaction.epoch = 2;
    transaction.status = Status::Ongoing;
    transaction.started_ms = 900;
    transaction.partitions.insert("ab".into(), [1, 5].into());
    transaction
}

/// Kafka's bytes, put together by its `TransactionLogKey` and `TransactionLogValue`.
#[test]
fn records_are_kafkas() {
    let record = Record::Put("t".into(), Box::new(ongoing()));
    let (key, value) = record.encode();
    assert_eq!(key[..], [0, 0, 0, 1, b't']);
    let mut wanted = vec![0, 1];
    wanted.extend(7_i64.to_be_bytes());
    wanted.extend([0, 2]);
    wanted.extend(60_000_i32.to_be_bytes());
    wanted.extend([1, 2, 3, b'a', b'b', 3, 0, 0, 0, 1, 0, 0, 0, 5, 0]);
    wanted.extend(1000_i64.to_be_bytes());
    wanted.extend(900_i64.to_be_bytes());
    wanted.push(0);
    assert_eq!(value.unwrap()[..], wanted[..]);
}

#[test]
fn what_is_written_is_read_again() {
    let mut all = ongoing();
    all.status = Status::PrepareCommit;
    all.previous_producer_id = 5;
    all.next_producer_id = 9;
    all.client_version = 2;
    all.last_epoch = 1;
    let mut ended = ongoing();
    ended.status = Status::CompleteAbort;
    ended.partitions.clear();
    for value in [Transaction::new(1, 1, 1), ongoing(), all, ended] {
        let record = Record::Put("größe".into(), Box::new(value));
        let (key, bytes) = record.encode();
        assert_eq!(Record::decode(&key, bytes.as_deref()), Ok(Some(record)));
    }
    let gone = Record::Tombstone("t".into());
    let (key, value) = gone.encode();
    assert_eq!(Record::decode(&key, value.as_deref()), Ok(Some(gone)));
}

#[test]
fn version_0_is_read() {
    let mut value = vec![0, 0];
    value.extend(7_i64.to_be_bytes());
    value.extend([0, 2]);
    value.extend(60_000_i32.to_be_bytes());
    value.extend([
        1, 0, 0, 0, 1, 0, 2, b'a', b'b', 0, 0, 0, 2, 0, 0, 0, 1, 0, 0, 0, 5,
    ]);
    value.extend(1000_i64.to_be_bytes());
    value.extend(900_i64.to_be_bytes());
    let wanted = Record::Put("t".into(), Box::new(ongoing()));
    let key = [0, 0, 0, 1, b't'];
    assert_eq!(Record::decode(&key, Some(&value)), Ok(Some(wanted)));
}

#[test]
fn other_kinds_are_passed_over_and_nonsense_is_refused() {
    let (key, value) = Record::Put("t".into(), Box::new(ongoing())).encode();
    let value = value.unwrap();
    assert_eq!(Record::decode(&[0, 1, 0, 1, b't'], Some(&value)), Ok(None));
    assert_eq!(Record::decode(&key, Some(&[0, 2])), Ok(None));
    for length in 0..value.len() {
        let cut = Record::decode(&key, Some(&value[..length]));
        assert!(cut.is_err(), "cut at {length}");
    }
    let with = |at: usize, bytes: &[u8]| {
        let mut changed = value.to_vec();
        changed[at..at + bytes.len()].copy_from_slice(bytes);
        Record::decode(&key, Some(&Bytes::from(changed)))
    };
    assert!(with(16, &[9]).is_err(), "no such state");
    assert_eq!(
        with(16, &[6]),
        Ok(Some(Record::Tombstone("t".into()))),
        "dead"
    );
    assert!(
        with(17, &[0xff, 0xff, 0xff, 0xff, 0x0f]).is_err(),
        "2^32 topics"
    );
}
