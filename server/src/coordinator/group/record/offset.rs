//! One committed offset.
//!
//! ```text
//! key    | 00 01 | group | topic | partition i32 |           (00 00: the same, very old)
//! value 4| 00 04 | offset i64 | epoch i32 | metadata+ | commit time i64 | tags |
//!          tag 0: topic id, 16 bytes
//!          tag 10000 (ours): explicit expiry time i64, of requests with a retention time
//! value 3| 00 03 | offset i64 | epoch i32 | metadata | commit time i64 |
//! value 2| 00 02 | offset i64 | metadata | commit time i64 |
//! value 1| 00 01 | offset i64 | metadata | commit time i64 | expiry time i64 |
//! value 0| 00 00 | offset i64 | metadata | commit time i64 |
//! ```
//!
//! Strings have an int16 length; `metadata+` a varint of its length plus one. Version 4 is what
//! is written. Kafka writes version 1 where a request sets an expiry, which has no room for the
//! topic's id and so would let a recreated topic inherit (O-10): hence a tag of ours, which
//! other readers skip.

use bytes::Bytes;
use ratel_storage::TopicId;

use super::flexible;
use crate::coordinator::record::{Reader, Writer};

/// The highest version that is understood, and the one that is written.
const VERSION: i16 = 4;
const TAG_TOPIC_ID: u32 = 0;
const TAG_EXPIRY: u32 = 10_000;

/// A committed offset.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Committed {
    /// The next offset to consume.
    pub offset: i64,
    /// The leader epoch of the last consumed record, or -1.
    pub leader_epoch: i32,
    /// The client's own note.
    pub metadata: Box<str>,
    /// When it was committed: wall time, ms.
    pub commit_timestamp_ms: i64,
    /// When it expires, if the client said so (O-5): wall time, ms.
    pub expire_timestamp_ms: Option<i64>,
    /// The topic; nil in records of older versions.
    pub topic: TopicId,
}

impl Committed {
    /// The value's bytes.
    pub fn encode(&self) -> Bytes {
        let mut writer = Writer::new(VERSION);
        writer.i64(self.offset).i32(self.leader_epoch);
        flexible::put_string(&mut writer, &self.metadata);
        writer.i64(self.commit_timestamp_ms);
        let has_topic = !self.topic.is_nil();
        writer.varint(u32::from(has_topic) + u32::from(self.expire_timestamp_ms.is_some()));
        if has_topic {
            writer.varint(TAG_TOPIC_ID).varint(16).uuid(self.topic);
        }
        if let Some(expire_timestamp_ms) = self.expire_timestamp_ms {
            writer.varint(TAG_EXPIRY).varint(8).i64(expire_timestamp_ms);
        }
        writer.finish()
    }

    /// The value of these bytes; `None` for a version of the future.
    ///
    /// # Errors
    /// What is wrong with them.
    pub fn decode(value: &[u8]) -> Result<Option<Self>, String> {
        let mut reader = Reader::new(value);
        let version = reader.i16()?;
        if !(0..=VERSION).contains(&version) {
            return Ok(None);
        }
        let compact = version >= 4;
        let mut committed = Self {
            offset: reader.i64()?,
            leader_epoch: if version >= 3 { reader.i32()? } else { -1 },
            metadata: flexible::string(&mut reader, compact)?.into(),
            commit_timestamp_ms: reader.i64()?,
            expire_timestamp_ms: None,
            topic: TopicId::nil(),
        };
        if version == 1 {
            committed.expire_timestamp_ms = Some(reader.i64()?).filter(|at_ms| *at_ms != -1);
        }
        if compact {
            flexible::tags(&mut reader, |tag, field| {
                match tag {
                    TAG_TOPIC_ID => committed.topic = field.uuid()?,
                    TAG_EXPIRY => committed.expire_timestamp_ms = Some(field.i64()?),
                    _ => {}
                }
                Ok(())
            })?;
        }
        Ok(Some(committed))
    }
}
