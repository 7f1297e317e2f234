//! Bytes are spelled out from Kafka's schemas, not made by the code under test.

use std::collections::BTreeMap;
use std::sync::Arc;

use uuid::Uuid;

use super::{
    QueueTopic, Record, ShareCurrent, ShareGroupMetadata, ShareMemberMetadata, ShareQueues,
    ShareRecord,
};
use crate::coordinator::Record as _;

const TOPIC: Uuid = Uuid::from_u128(0x0102_0304_0506_0708_090a_0b0c_0d0e_0f10);

/// Key and value of each record.
fn known() -> Vec<(&'static [u8], &'static [u8], ShareRecord)> {
    let assignment = Arc::new(BTreeMap::from([(TOPIC, vec![0, 5])]));
    let member = ShareMemberMetadata {
        rack: Some("r".into()),
        client_id: "c".into(),
        client_host: "/h".into(),
        topics: vec!["t".into(), "u".into()],
    };
    let group = ShareGroupMetadata {
        epoch: 7,
        metadata_hash: -2,
    };
    let current = ShareCurrent {
        epoch: 7,
        previous_epoch: 6,
        assigned: assignment.clone(),
    };
    let topic = |partitions: &[i32]| QueueTopic {
        name: "t".into(),
        partitions: partitions.to_vec(),
    };
    let queues = ShareQueues {
        initializing: BTreeMap::from([(TOPIC, topic(&[1]))]),
        initialized: BTreeMap::from([(TOPIC, topic(&[0]))]),
        deleting: BTreeMap::from([(TOPIC, "t".into())]),
    };
    vec![
        (
            b"\x00\x0a\x00\x01g\x00\x01m",
            b"\x00\x00\x02r\x02c\x03/h\x03\x02t\x02u\x00",
            ShareRecord::Member("m".into(), Some(Arc::new(member))),
        ),
        (
            b"\x00\x0b\x00\x01g",
            b"\x00\x00\x00\x00\x00\x07\xff\xff\xff\xff\xff\xff\xff\xfe\x00",
            ShareRecord::Group(Some(group)),
        ),
        (
            b"\x00\x0c\x00\x01g",
            b"\x00\x00\x00\x00\x00\x07\x00",
            ShareRecord::TargetEpoch(Some(7)),
        ),
        (
            b"\x00\x0d\x00\x01g\x00\x01m",
            b"\x00\x00\x02\x01\x02\x03\x04\x05\x06\x07\x08\x09\x0a\x0b\x0c\x0d\x0e\x0f\x10\
              \x03\x00\x00\x00\x00\x00\x00\x00\x05\x00\x00",
            ShareRecord::Target("m".into(), Some(assignment)),
        ),
        (
            b"\x00\x0e\x00\x01g\x00\x01m",
            b"\x00\x00\x00\x00\x00\x07\x00\x00\x00\x06\x00\
              \x02\x01\x02\x03\x04\x05\x06\x07\x08\x09\x0a\x0b\x0c\x0d\x0e\x0f\x10\
              \x03\x00\x00\x00\x00\x00\x00\x00\x05\x00\x00",
            ShareRecord::Current("m".into(), Some(current)),
        ),
        (
            b"\x00\x0f\x00\x01g",
            b"\x00\x00\
              \x02\x01\x02\x03\x04\x05\x06\x07\x08\x09\x0a\x0b\x0c\x0d\x0e\x0f\x10\x02t\
              \x02\x00\x00\x00\x01\x00\
              \x02\x01\x02\x03\x04\x05\x06\x07\x08\x09\x0a\x0b\x0c\x0d\x0e\x0f\x10\x02t\
              \x02\x00\x00\x00\x00\x00\
              \x02\x01\x02\x03\x04\x05\x06\x07\x08\x09\x0a\x0b\x0c\x0d\x0e\x0f\x10\x02t\x00\x00",
            ShareRecord::Queues(Some(Arc::new(queues))),
        ),
    ]
}

/// The same record without a value.
fn tombstone(record: &ShareRecord) -> ShareRecord {
    match record {
        ShareRecord::Member(member, _) => ShareRecord::Member(member.clone(), None),
        ShareRecord::Group(_) => ShareRecord::Group(None),
        ShareRecord::TargetEpoch(_) => ShareRecord::TargetEpoch(None),
        ShareRecord::Target(member, _) => ShareRecord::Target(member.clone(), None),
        ShareRecord::Current(member, _) => ShareRecord::Current(member.clone(), None),
        ShareRecord::Queues(_) => ShareRecord::Queues(None),
    }
}

#[test]
fn records_of_share_groups_are_kafkas_bytes() {
    for (key, value, record) in known() {
        for (value, record) in [(None, tombstone(&record)), (Some(value), record)] {
            let record = Record::Share {
                group: "g".into(),
                record,
            };
            let (written_key, written) = record.encode();
            assert_eq!((&written_key[..], written.as_deref()), (key, value));
            assert_eq!(Record::decode(key, value), Ok(Some(record)));
        }
    }
}

#[test]
fn every_cut_of_a_share_record_is_refused_and_no_version_of_the_future_is_guessed_at() {
    for (key, value, _) in known() {
        for cut in 0..value.len() {
            assert!(
                Record::decode(key, Some(&value[..cut])).is_err(),
                "cut at {cut}"
            );
        }
        for cut in 0..key.len() {
            assert!(Record::decode(&key[..cut], Some(value)).is_err());
        }
        let mut future = value.to_vec();
        future[1] = 1;
        assert_eq!(Record::decode(key, Some(&future)), Ok(None));
    }
}

#[test]
fn tags_that_are_not_known_are_skipped() {
    let value = b"\x00\x00\x00\x00\x00\x07\x01\x63\x02hi";
    let record = Record::Share {
        group: "g".into(),
        record: ShareRecord::TargetEpoch(Some(7)),
    };
    assert_eq!(
        Record::decode(b"\x00\x0c\x00\x01g", Some(value)),
        Ok(Some(record))
    );
}
