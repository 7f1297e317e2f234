//! Bytes are spelled out from Kafka's schemas, not made by the code under test.

use std::sync::Arc;

use bytes::Bytes;
use uuid::Uuid;

use super::{Committed, GroupMetadata, MemberMetadata, Record};
use crate::coordinator::Record as _;

const TOPIC: Uuid = Uuid::from_u128(0x0102_0304_0506_0708_090a_0b0c_0d0e_0f10);

const OFFSET_KEY: &[u8] = b"\x00\x01\x00\x01g\x00\x02tp\x00\x00\x00\x07";
const OFFSET_V4: &[u8] = b"\x00\x04\x00\x00\x00\x00\x00\x00\x00\x2a\x00\x00\x00\x05\x03hi\
    \x00\x00\x00\x00\x00\x00\x03\xe8\
    \x01\x00\x10\x01\x02\x03\x04\x05\x06\x07\x08\x09\x0a\x0b\x0c\x0d\x0e\x0f\x10";
const OFFSET_V3: &[u8] = b"\x00\x03\x00\x00\x00\x00\x00\x00\x00\x2a\x00\x00\x00\x05\x00\x02hi\
    \x00\x00\x00\x00\x00\x00\x03\xe8";
const OFFSET_V2: &[u8] =
    b"\x00\x02\x00\x00\x00\x00\x00\x00\x00\x2a\x00\x02hi\x00\x00\x00\x00\x00\x00\x03\xe8";
const OFFSET_V1: &[u8] = b"\x00\x01\x00\x00\x00\x00\x00\x00\x00\x2a\x00\x02hi\
    \x00\x00\x00\x00\x00\x00\x03\xe8\x00\x00\x00\x00\x00\x00\x07\xd0";
const OFFSET_V0: &[u8] =
    b"\x00\x00\x00\x00\x00\x00\x00\x00\x00\x2a\x00\x02hi\x00\x00\x00\x00\x00\x00\x03\xe8";

const GROUP_KEY: &[u8] = b"\x00\x02\x00\x01g";
const GROUP_V3: &[u8] = b"\x00\x03\x00\x08consumer\x00\x00\x00\x09\x00\x05range\x00\x01m\
    \x00\x00\x00\x00\x00\x00\x03\xe8\x00\x00\x00\x01\
    \x00\x01m\x00\x01i\x00\x01c\x00\x02/h\x00\x00\x00\x0a\x00\x00\x00\x14\
    \x00\x00\x00\x01S\x00\x00\x00\x02AB";
const GROUP_V2: &[u8] = b"\x00\x02\x00\x08consumer\x00\x00\x00\x09\x00\x05range\x00\x01m\
    \x00\x00\x00\x00\x00\x00\x03\xe8\x00\x00\x00\x01\
    \x00\x01m\x00\x01c\x00\x02/h\x00\x00\x00\x0a\x00\x00\x00\x14\
    \x00\x00\x00\x01S\x00\x00\x00\x02AB";
const GROUP_V1: &[u8] = b"\x00\x01\x00\x08consumer\x00\x00\x00\x09\x00\x05range\x00\x01m\
    \x00\x00\x00\x01\x00\x01m\x00\x01c\x00\x02/h\x00\x00\x00\x0a\x00\x00\x00\x14\
    \x00\x00\x00\x01S\x00\x00\x00\x02AB";
const GROUP_V0: &[u8] = b"\x00\x00\x00\x08consumer\x00\x00\x00\x09\x00\x05range\x00\x01m\
    \x00\x00\x00\x01\x00\x01m\x00\x01c\x00\x02/h\x00\x00\x00\x14\
    \x00\x00\x00\x01S\x00\x00\x00\x02AB";
const GROUP_V4: &[u8] = b"\x00\x04\x09consumer\x00\x00\x00\x09\x06range\x02m\
    \x00\x00\x00\x00\x00\x00\x03\xe8\x02\
    \x02m\x02i\x02c\x03/h\x00\x00\x00\x0a\x00\x00\x00\x14\x02S\x03AB\x00\x00";

fn committed() -> Committed {
    Committed {
        offset: 42,
        leader_epoch: 5,
        metadata: "hi".into(),
        commit_timestamp_ms: 1000,
        expire_timestamp_ms: None,
        topic: TOPIC,
    }
}

fn offset_record(value: Option<Committed>) -> Record {
    Record::Offset {
        group: "g".into(),
        topic: "tp".into(),
        partition: 7,
        value,
    }
}

fn metadata() -> GroupMetadata {
    GroupMetadata {
        protocol_type: "consumer".into(),
        generation: 9,
        protocol: Some("range".into()),
        leader: Some("m".into()),
        state_timestamp_ms: 1000,
        members: vec![MemberMetadata {
            id: "m".into(),
            instance: Some("i".into()),
            client_id: "c".into(),
            client_host: "/h".into(),
            rebalance_timeout_ms: 10,
            session_timeout_ms: 20,
            subscription: Bytes::from_static(b"S"),
            assignment: Bytes::from_static(b"AB"),
        }],
    }
}

fn group_record(value: Option<GroupMetadata>) -> Record {
    Record::Group {
        group: "g".into(),
        value: value.map(Arc::new),
    }
}

fn check(record: &Record, key: &[u8], value: Option<&[u8]>) {
    let (encoded_key, encoded_value) = record.encode();
    assert_eq!(&encoded_key[..], key);
    assert_eq!(encoded_value.as_deref(), value);
    assert_eq!(Record::decode(key, value), Ok(Some(record.clone())));
}

#[test]
fn o_10_an_offset_is_written_as_version_4_with_the_topics_id() {
    check(
        &offset_record(Some(committed())),
        OFFSET_KEY,
        Some(OFFSET_V4),
    );
    check(&offset_record(None), OFFSET_KEY, None);
}

#[test]
fn o_5_an_explicit_expiry_travels_in_a_tag_of_ours() {
    let mut value = committed();
    value.expire_timestamp_ms = Some(2000);
    let mut bytes = OFFSET_V4.to_vec();
    bytes[25] = 2;
    bytes.extend_from_slice(b"\x90\x4e\x08\x00\x00\x00\x00\x00\x00\x07\xd0");
    check(&offset_record(Some(value)), OFFSET_KEY, Some(&bytes));
}

#[test]
fn offsets_of_older_versions_are_read() {
    let mut old = committed();
    old.topic = Uuid::nil();
    let read = |value| Record::decode(OFFSET_KEY, Some(value));
    assert_eq!(read(OFFSET_V3), Ok(Some(offset_record(Some(old.clone())))));
    old.leader_epoch = -1;
    assert_eq!(read(OFFSET_V2), Ok(Some(offset_record(Some(old.clone())))));
    assert_eq!(read(OFFSET_V0), Ok(Some(offset_record(Some(old.clone())))));
    let mut key = OFFSET_KEY.to_vec();
    key[1] = 0;
    assert_eq!(
        Record::decode(&key, Some(OFFSET_V0)),
        Ok(Some(offset_record(Some(old.clone()))))
    );
    old.expire_timestamp_ms = Some(2000);
    assert_eq!(read(OFFSET_V1), Ok(Some(offset_record(Some(old)))));
}

#[test]
fn a_group_is_written_as_version_3() {
    check(&group_record(Some(metadata())), GROUP_KEY, Some(GROUP_V3));
    check(&group_record(None), GROUP_KEY, None);
}

#[test]
fn groups_of_other_versions_are_read() {
    let read = |value| Record::decode(GROUP_KEY, Some(value));
    assert_eq!(read(GROUP_V4), Ok(Some(group_record(Some(metadata())))));
    let mut old = metadata();
    old.members[0].instance = None;
    assert_eq!(read(GROUP_V2), Ok(Some(group_record(Some(old.clone())))));
    old.state_timestamp_ms = -1;
    assert_eq!(read(GROUP_V1), Ok(Some(group_record(Some(old.clone())))));
    old.members[0].rebalance_timeout_ms = 20;
    assert_eq!(read(GROUP_V0), Ok(Some(group_record(Some(old)))));
}

#[test]
fn what_the_future_wrote_is_left_alone() {
    assert_eq!(
        Record::decode(b"\x00\x63\x00\x01g", Some(b"\x00\x00")),
        Ok(None)
    );
    assert_eq!(Record::decode(OFFSET_KEY, Some(b"\x00\x05")), Ok(None));
    assert_eq!(Record::decode(GROUP_KEY, Some(b"\x00\x05")), Ok(None));
}

#[test]
fn every_cut_is_an_error_and_none_a_panic() {
    for (key, values) in [
        (
            OFFSET_KEY,
            &[OFFSET_V0, OFFSET_V1, OFFSET_V2, OFFSET_V3, OFFSET_V4][..],
        ),
        (
            GROUP_KEY,
            &[GROUP_V0, GROUP_V1, GROUP_V2, GROUP_V3, GROUP_V4],
        ),
    ] {
        for cut in 0..key.len() {
            assert!(Record::decode(&key[..cut], None).is_err(), "key at {cut}");
        }
        for value in values {
            for cut in 0..value.len() {
                let decoded = Record::decode(key, Some(&value[..cut]));
                assert!(decoded.is_err(), "{value:?} cut at {cut}: {decoded:?}");
            }
            for at in 0..value.len() {
                for flip in 1..=255 {
                    let mut bytes = value.to_vec();
                    bytes[at] ^= flip;
                    let _ = Record::decode(key, Some(&bytes));
                }
            }
        }
    }
}
