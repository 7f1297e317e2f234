//! Records of `__consumer_offsets`, in Kafka's own bytes: what lag tools and Kafka's formatters
//! read. Each key begins with an int16 that names its kind, each value with the int16 of its
//! version; a null value takes the key away.

mod consumer;
mod flexible;
mod metadata;
mod modern;
mod offset;
mod share;

use std::sync::Arc;

use bytes::Bytes;
use ratel_storage::{Marker, Producer};

use crate::coordinator;
use crate::coordinator::Place;
use crate::coordinator::record::{Reader, Writer};

pub use consumer::{
    ClassicMember, ConsumerCurrent, ConsumerGroupMetadata, ConsumerMemberMetadata, ConsumerRecord,
    MemberState, Resolved, Since,
};
pub use metadata::{GroupMetadata, MemberMetadata};
pub use modern::Assignment;
pub use offset::Committed;
pub use share::{
    QueueTopic, ShareCurrent, ShareGroupMetadata, ShareMemberMetadata, ShareQueues, ShareRecord,
};

/// Kinds of key.
const KEY_OFFSET_OLD: i16 = 0;
const KEY_OFFSET: i16 = 1;
const KEY_GROUP: i16 = 2;

/// One record.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Record {
    /// A committed offset, or its end.
    Offset {
        /// The group.
        group: Arc<str>,
        /// The topic's name.
        topic: Arc<str>,
        /// The partition's index.
        partition: i32,
        /// The offset; none takes it away.
        value: Option<Committed>,
    },
    /// An offset committed inside a transaction: it waits for the end of that (T-14). The bytes
    /// are those of a committed offset.
    Pending {
        /// Whose transaction.
        producer: Producer,
        /// The group.
        group: Arc<str>,
        /// The topic's name.
        topic: Arc<str>,
        /// The partition's index.
        partition: i32,
        /// The offset.
        value: Committed,
    },
    /// The end of a producer's transaction.
    Marker(Marker),
    /// A group at a generation, or its end.
    Group {
        /// The group.
        group: Arc<str>,
        /// The group's state; none takes it away.
        value: Option<Arc<GroupMetadata>>,
    },
    /// Something of a share group.
    Share {
        /// The group.
        group: Arc<str>,
        /// What.
        record: ShareRecord,
    },
    /// Something of a consumer group.
    Consumer {
        /// The group.
        group: Arc<str>,
        /// What.
        record: ConsumerRecord,
    },
}

impl coordinator::Record for Record {
    fn encode(&self) -> (Bytes, Option<Bytes>) {
        match self {
            Self::Offset {
                group,
                topic,
                partition,
                value,
            } => {
                let key = offset_key(group, topic, *partition);
                (key, value.as_ref().map(Committed::encode))
            }
            Self::Pending {
                group,
                topic,
                partition,
                value,
                ..
            } => (offset_key(group, topic, *partition), Some(value.encode())),
            Self::Marker(_) => (Bytes::new(), None),
            Self::Group { group, value } => {
                let mut key = Writer::new(KEY_GROUP);
                key.string(group);
                (key.finish(), value.as_ref().map(|value| value.encode()))
            }
            Self::Share { group, record } => record.encode(group),
            Self::Consumer { group, record } => record.encode(group),
        }
    }

    fn decode(key: &[u8], value: Option<&[u8]>) -> Result<Option<Self>, String> {
        let mut reader = Reader::new(key);
        match reader.i16()? {
            KEY_OFFSET_OLD | KEY_OFFSET => {
                let group = reader.string()?.into();
                let topic = reader.string()?.into();
                let partition = reader.i32()?;
                let value = decode_value(value, Committed::decode)?;
                Ok(value.map(|value| Self::Offset {
                    group,
                    topic,
                    partition,
                    value,
                }))
            }
            KEY_GROUP => {
                let group = reader.string()?.into();
                let value = decode_value(value, GroupMetadata::decode)?;
                Ok(value.map(|value| Self::Group {
                    group,
                    value: value.map(Arc::new),
                }))
            }
            kind if ConsumerRecord::is_kind(kind) => {
                Ok(ConsumerRecord::decode(kind, &mut reader, value)?
                    .map(|(group, record)| Self::Consumer { group, record }))
            }
            kind => Ok(ShareRecord::decode(kind, &mut reader, value)?
                .map(|(group, record)| Self::Share { group, record })),
        }
    }

    fn place(&self) -> Place {
        match self {
            Self::Pending { producer, .. } => Place::Within(*producer),
            Self::Marker(marker) => Place::Marker(*marker),
            Self::Offset { .. }
            | Self::Group { .. }
            | Self::Share { .. }
            | Self::Consumer { .. } => Place::Plain,
        }
    }

    /// Offsets alone wait for the end of a transaction; a tombstone counts at once, as in Kafka.
    fn within(self, producer: Producer) -> Option<Self> {
        Some(match self {
            Self::Offset {
                group,
                topic,
                partition,
                value: Some(value),
            } => Self::Pending {
                producer,
                group,
                topic,
                partition,
                value,
            },
            other => other,
        })
    }

    fn marker(marker: Marker) -> Option<Self> {
        Some(Self::Marker(marker))
    }
}

fn offset_key(group: &str, topic: &str, partition: i32) -> Bytes {
    let mut key = Writer::new(KEY_OFFSET);
    key.string(group).string(topic).i32(partition);
    key.finish()
}

enum Decoded<T> {
    /// A version that another release wrote.
    Unknown,
    /// A value, or a tombstone.
    Value(Option<T>),
}

impl<T> Decoded<T> {
    /// What is made of a value or tombstone, if it is known.
    fn map<R>(self, of: impl FnOnce(Option<T>) -> R) -> Option<R> {
        match self {
            Self::Unknown => None,
            Self::Value(value) => Some(of(value)),
        }
    }
}

fn decode_value<T>(
    value: Option<&[u8]>,
    decode: fn(&[u8]) -> Result<Option<T>, String>,
) -> Result<Decoded<T>, String> {
    match value {
        None => Ok(Decoded::Value(None)),
        Some(bytes) => {
            Ok(decode(bytes)?.map_or(Decoded::Unknown, |value| Decoded::Value(Some(value))))
        }
    }
}

#[cfg(test)]
mod consumer_tests;
#[cfg(test)]
mod share_tests;
#[cfg(test)]
mod tests;
