//! Bytes are spelled out from Kafka's schemas, not made by the code under test.

use std::collections::BTreeMap;
use std::sync::Arc;

use bytes::Bytes;
use ratel_storage::PartitionId;
use uuid::Uuid;

use super::consumer::{ClassicMember, MemberState};
use super::{
    ConsumerCurrent, ConsumerGroupMetadata, ConsumerMemberMetadata, ConsumerRecord, Record,
    Resolved,
};
use crate::coordinator::Record as _;
use crate::coordinator::group::event::Protocol;

const TOPIC: Uuid = Uuid::from_u128(0x0102_0304_0506_0708_090a_0b0c_0d0e_0f10);

fn partition(index: i32) -> PartitionId {
    PartitionId {
        topic: TOPIC,
        index,
    }
}

fn member() -> ConsumerMemberMetadata {
    ConsumerMemberMetadata {
        instance: Some("i".into()),
        rack: None,
        client_id: "c".into(),
        client_host: "/h".into(),
        topics: vec!["t".into(), "u".into()],
        regex: Some("x.*".into()),
        rebalance_timeout_ms: 256,
        assignor: Some("range".into()),
        classic: None,
    }
}

fn classic() -> ConsumerMemberMetadata {
    ConsumerMemberMetadata {
        instance: None,
        regex: None,
        assignor: None,
        topics: Vec::new(),
        classic: Some(ClassicMember {
            session_timeout_ms: 10,
            protocols: vec![Protocol {
                name: "p".into(),
                metadata: Bytes::from_static(b"ab"),
            }],
        }),
        ..member()
    }
}

/// Key and value of each record.
fn known() -> Vec<(&'static [u8], &'static [u8], ConsumerRecord)> {
    let assignment = Arc::new(BTreeMap::from([(TOPIC, vec![0, 5])]));
    let group = |metadata_hash| ConsumerGroupMetadata {
        epoch: 7,
        metadata_hash,
    };
    let current = ConsumerCurrent {
        epoch: 7,
        previous_epoch: 6,
        state: MemberState::Unrevoked,
        assigned: Arc::default(),
        revoking: assignment.clone(),
        since: Arc::new(BTreeMap::from([(partition(0), 3), (partition(5), 7)])),
    };
    let resolved = Resolved {
        topics: vec!["t".into()],
        version: 3,
        timestamp_ms: 9,
    };
    vec![
        (
            b"\x00\x03\x00\x01g",
            b"\x00\x00\x00\x00\x00\x07\x00",
            ConsumerRecord::Group(Some(group(0))),
        ),
        (
            b"\x00\x03\x00\x01g",
            b"\x00\x00\x00\x00\x00\x07\x01\x00\x08\xff\xff\xff\xff\xff\xff\xff\xfe",
            ConsumerRecord::Group(Some(group(-2))),
        ),
        (
            b"\x00\x05\x00\x01g\x00\x01m",
            b"\x00\x00\x02i\x00\x02c\x03/h\x03\x02t\x02u\x04x.*\x00\x00\x01\x00\x06range\x00",
            ConsumerRecord::Member("m".into(), Some(Arc::new(member()))),
        ),
        (
            b"\x00\x05\x00\x01g\x00\x01m",
            b"\x00\x00\x00\x00\x02c\x03/h\x01\x00\x00\x00\x01\x00\x00\
              \x01\x00\x0d\x01\x00\x00\x00\x0a\x02\x02p\x03ab\x00\x00",
            ConsumerRecord::Member("m".into(), Some(Arc::new(classic()))),
        ),
        (
            b"\x00\x06\x00\x01g",
            b"\x00\x00\x00\x00\x00\x07\x00",
            ConsumerRecord::TargetEpoch(Some(7)),
        ),
        (
            b"\x00\x07\x00\x01g\x00\x01m",
            b"\x00\x00\x02\x01\x02\x03\x04\x05\x06\x07\x08\x09\x0a\x0b\x0c\x0d\x0e\x0f\x10\
              \x03\x00\x00\x00\x00\x00\x00\x00\x05\x00\x00",
            ConsumerRecord::Target("m".into(), Some(assignment)),
        ),
        (
            b"\x00\x08\x00\x01g\x00\x01m",
            b"\x00\x00\x00\x00\x00\x07\x00\x00\x00\x06\x01\x01\
              \x02\x01\x02\x03\x04\x05\x06\x07\x08\x09\x0a\x0b\x0c\x0d\x0e\x0f\x10\
              \x03\x00\x00\x00\x00\x00\x00\x00\x05\
              \x01\x00\x09\x03\x00\x00\x00\x03\x00\x00\x00\x07\x00",
            ConsumerRecord::Current("m".into(), Some(Arc::new(current))),
        ),
        (
            b"\x00\x10\x00\x01g\x00\x03x.*",
            b"\x00\x00\x02\x02t\x00\x00\x00\x00\x00\x00\x00\x03\
              \x00\x00\x00\x00\x00\x00\x00\x09\x00",
            ConsumerRecord::Regex("x.*".into(), Some(Arc::new(resolved))),
        ),
    ]
}

#[test]
fn bytes_are_kafkas_and_are_read_again() {
    for (key, value, record) in known() {
        let group = "g".into();
        let record = Record::Consumer { group, record };
        let encoded = record.encode();
        assert_eq!(&*encoded.0, key, "{record:?}");
        assert_eq!(encoded.1.as_deref(), Some(value), "{record:?}");
        assert_eq!(Record::decode(key, Some(value)), Ok(Some(record.clone())));
        let tombstone = Record::decode(key, None).expect("a tombstone");
        let Some(Record::Consumer { record, .. }) = &tombstone else {
            panic!("of a consumer group: {tombstone:?}");
        };
        assert!(record.is_tombstone());
        let (key_again, value_again) = record.encode("g");
        assert_eq!((&*key_again, value_again), (key, None));
    }
}

#[test]
fn every_cut_is_an_error_and_other_versions_are_left_alone() {
    for (key, value, _) in known() {
        for cut in 2..value.len() {
            let decoded = Record::decode(key, Some(&value[..cut]));
            assert!(decoded.is_err(), "{key:?} cut at {cut}: {decoded:?}");
        }
        let mut later = value.to_vec();
        later[1] = 1;
        assert_eq!(Record::decode(key, Some(&later)), Ok(None));
    }
}

#[test]
fn the_topics_that_kafka_once_wrote_down_mean_nothing() {
    let decoded = Record::decode(b"\x00\x04\x00\x01g", Some(b"\x00\x00\x01\x00"));
    assert_eq!(decoded, Ok(None));
}

#[test]
fn h_8_partitions_without_epochs_are_as_old_as_the_members_own() {
    let key = b"\x00\x08\x00\x01g\x00\x01m";
    let value = b"\x00\x00\x00\x00\x00\x07\x00\x00\x00\x06\x00\
        \x02\x01\x02\x03\x04\x05\x06\x07\x08\x09\x0a\x0b\x0c\x0d\x0e\x0f\x10\
        \x03\x00\x00\x00\x05\x00\x00\x00\x00\x00\x01\x00";
    let record = Record::decode(key, Some(value)).expect("a record that can be read");
    let Some(Record::Consumer {
        record: ConsumerRecord::Current(_, Some(current)),
        ..
    }) = record
    else {
        panic!("{record:?}");
    };
    assert_eq!(*current.assigned, BTreeMap::from([(TOPIC, vec![0, 5])]));
    assert_eq!(current.since(partition(0)), Some(7));
    assert_eq!(current.since(partition(1)), None);
}
