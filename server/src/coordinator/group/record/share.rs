//! A share group: its epochs, members, assignments and queues (KIP-932).
//!
//! ```text
//! key 10 | group | member |  rack? | client id | client host | topics [name] |
//! key 11 | group |           epoch i32 | metadata hash i64 |
//! key 12 | group |           assignment epoch i32 |
//! key 13 | group | member |  target [topic id, [partition i32]] |
//! key 14 | group | member |  epoch i32 | previous epoch i32 | state i8 |
//!                            assigned [topic id, [partition i32]] |
//! key 15 | group |           initializing [topic id, name, [partition i32]] |
//!                            initialized [the same] | deleting [topic id, name] |
//! ```
//!
//! Keys have int16 lengths; values are of version 0 and flexible: compact lengths, and tags behind
//! each element and at the end.

use std::collections::BTreeMap;
use std::sync::Arc;

use bytes::Bytes;
use ratel_storage::TopicId;

use super::modern::{
    Assignment, VERSION, assignment, close, decode_epoch, decode_target, encode_epoch,
    encode_target, open, partitions, put_assignment, put_partitions,
};
use super::{decode_value, flexible};
use crate::coordinator::record::{Reader, Writer};

const KEY_MEMBER: i16 = 10;
const KEY_GROUP: i16 = 11;
const KEY_TARGET_EPOCH: i16 = 12;
const KEY_TARGET: i16 = 13;
const KEY_CURRENT: i16 = 14;
const KEY_QUEUES: i16 = 15;
/// A member whose assignment is what it should be: a share group knows no other state.
const STATE_STABLE: i8 = 0;

/// A record of a share group. Without a value it takes its key away.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ShareRecord {
    /// Who a member is and what it reads.
    Member(Arc<str>, Option<Arc<ShareMemberMetadata>>),
    /// The group itself.
    Group(Option<ShareGroupMetadata>),
    /// The epoch for which the targets were made.
    TargetEpoch(Option<i32>),
    /// What a member is to hold.
    Target(Arc<str>, Option<Arc<Assignment>>),
    /// What a member was told to hold.
    Current(Arc<str>, Option<ShareCurrent>),
    /// The group's queues.
    Queues(Option<Arc<ShareQueues>>),
}

/// A share group as a whole.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ShareGroupMetadata {
    /// Goes up with every change of members, subscriptions or topics.
    pub epoch: i32,
    /// Stands for the topics that the group reads, as they were at this epoch.
    pub metadata_hash: i64,
}

/// Who a member of a share group is.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ShareMemberMetadata {
    /// Its rack, if it said so.
    pub rack: Option<Arc<str>>,
    /// The client's name for itself.
    pub client_id: Arc<str>,
    /// Where it connected from.
    pub client_host: Arc<str>,
    /// The names of the topics it reads, in order.
    pub topics: Vec<Arc<str>>,
}

/// What a member of a share group was told.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ShareCurrent {
    /// Its epoch.
    pub epoch: i32,
    /// The epoch before, which it may still have if the last answer was lost.
    pub previous_epoch: i32,
    /// Its partitions.
    pub assigned: Arc<Assignment>,
}

/// A topic's partitions that have queues.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct QueueTopic {
    /// The topic's name.
    pub name: Arc<str>,
    /// Indexes in ascending order.
    pub partitions: Vec<i32>,
}

/// The queues of a group.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ShareQueues {
    /// Asked for, and not known to be there.
    pub initializing: BTreeMap<TopicId, QueueTopic>,
    /// There.
    pub initialized: BTreeMap<TopicId, QueueTopic>,
    /// Asked to go, with the topic's name.
    pub deleting: BTreeMap<TopicId, Arc<str>>,
}

impl ShareQueues {
    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.initializing.is_empty() && self.initialized.is_empty() && self.deleting.is_empty()
    }
}

impl ShareRecord {
    fn kind(&self) -> (i16, Option<&Arc<str>>) {
        match self {
            Self::Member(member, _) => (KEY_MEMBER, Some(member)),
            Self::Group(_) => (KEY_GROUP, None),
            Self::TargetEpoch(_) => (KEY_TARGET_EPOCH, None),
            Self::Target(member, _) => (KEY_TARGET, Some(member)),
            Self::Current(member, _) => (KEY_CURRENT, Some(member)),
            Self::Queues(_) => (KEY_QUEUES, None),
        }
    }

    /// Key and value.
    pub fn encode(&self, group: &str) -> (Bytes, Option<Bytes>) {
        let (kind, member) = self.kind();
        let mut key = Writer::new(kind);
        key.string(group);
        if let Some(member) = member {
            key.string(member);
        }
        let value = match self {
            Self::Member(_, value) => value.as_deref().map(encode_member),
            Self::Group(value) => value.map(|value| {
                let mut writer = Writer::new(VERSION);
                writer.i32(value.epoch).i64(value.metadata_hash).varint(0);
                writer.finish()
            }),
            Self::TargetEpoch(value) => value.map(encode_epoch),
            Self::Target(_, value) => value.as_deref().map(encode_target),
            Self::Current(_, value) => value.as_ref().map(encode_current),
            Self::Queues(value) => value.as_deref().map(encode_queues),
        };
        (key.finish(), value)
    }

    /// The record of a key whose kind has been read, and its group; `None` for a kind or version
    /// that is not known here.
    ///
    /// # Errors
    /// What is wrong with the bytes.
    pub fn decode(
        kind: i16,
        key: &mut Reader<'_>,
        value: Option<&[u8]>,
    ) -> Result<Option<(Arc<str>, Self)>, String> {
        if !(KEY_MEMBER..=KEY_QUEUES).contains(&kind) {
            return Ok(None);
        }
        let group: Arc<str> = key.string()?.into();
        let mut member = || key.string().map(Arc::<str>::from);
        let record = match kind {
            KEY_MEMBER => {
                let member = member()?;
                decode_value(value, decode_member)?
                    .map(|value| Self::Member(member, value.map(Arc::new)))
            }
            KEY_GROUP => decode_value(value, decode_group)?.map(Self::Group),
            KEY_TARGET_EPOCH => decode_value(value, decode_epoch)?.map(Self::TargetEpoch),
            KEY_TARGET => {
                let member = member()?;
                decode_value(value, decode_target)?
                    .map(|value| Self::Target(member, value.map(Arc::new)))
            }
            KEY_CURRENT => {
                let member = member()?;
                decode_value(value, decode_current)?.map(|value| Self::Current(member, value))
            }
            _ => decode_value(value, decode_queues)?.map(|value| Self::Queues(value.map(Arc::new))),
        };
        Ok(record.map(|record| (group, record)))
    }
}

fn encode_member(value: &ShareMemberMetadata) -> Bytes {
    let mut writer = Writer::new(VERSION);
    flexible::put_string_or_null(&mut writer, value.rack.as_deref());
    flexible::put_string(&mut writer, &value.client_id);
    flexible::put_string(&mut writer, &value.client_host);
    flexible::put_count(&mut writer, value.topics.len());
    for topic in &value.topics {
        flexible::put_string(&mut writer, topic);
    }
    writer.varint(0);
    writer.finish()
}

fn decode_member(value: &[u8]) -> Result<Option<ShareMemberMetadata>, String> {
    let Some(mut reader) = open(value)? else {
        return Ok(None);
    };
    let mut member = ShareMemberMetadata {
        rack: flexible::string_or_null(&mut reader, true)?.map(Arc::from),
        client_id: flexible::string(&mut reader, true)?.into(),
        client_host: flexible::string(&mut reader, true)?.into(),
        topics: Vec::new(),
    };
    for _ in 0..flexible::count(&mut reader, true)? {
        let topic = flexible::string(&mut reader, true)?;
        member.topics.push(topic.into());
    }
    member.topics.sort_unstable();
    member.topics.dedup();
    close(reader, member)
}

fn decode_group(value: &[u8]) -> Result<Option<ShareGroupMetadata>, String> {
    let Some(mut reader) = open(value)? else {
        return Ok(None);
    };
    let group = ShareGroupMetadata {
        epoch: reader.i32()?,
        metadata_hash: reader.i64()?,
    };
    close(reader, group)
}

fn encode_current(value: &ShareCurrent) -> Bytes {
    let mut writer = Writer::new(VERSION);
    writer
        .i32(value.epoch)
        .i32(value.previous_epoch)
        .i8(STATE_STABLE);
    put_assignment(&mut writer, &value.assigned);
    writer.varint(0);
    writer.finish()
}

fn decode_current(value: &[u8]) -> Result<Option<ShareCurrent>, String> {
    let Some(mut reader) = open(value)? else {
        return Ok(None);
    };
    let (epoch, previous_epoch) = (reader.i32()?, reader.i32()?);
    reader.i8()?;
    let current = ShareCurrent {
        epoch,
        previous_epoch,
        assigned: Arc::new(assignment(&mut reader)?),
    };
    close(reader, current)
}

fn put_queue_topics(writer: &mut Writer, topics: &BTreeMap<TopicId, QueueTopic>) {
    flexible::put_count(writer, topics.len());
    for (id, topic) in topics {
        writer.uuid(*id);
        flexible::put_string(writer, &topic.name);
        put_partitions(writer, &topic.partitions);
        writer.varint(0);
    }
}

fn queue_topics(reader: &mut Reader<'_>) -> Result<BTreeMap<TopicId, QueueTopic>, String> {
    let mut topics = BTreeMap::new();
    for _ in 0..flexible::count(reader, true)? {
        let id = reader.uuid()?;
        let topic = QueueTopic {
            name: flexible::string(reader, true)?.into(),
            partitions: partitions(reader)?,
        };
        flexible::tags(reader, |_, _| Ok(()))?;
        topics.insert(id, topic);
    }
    Ok(topics)
}

fn encode_queues(value: &ShareQueues) -> Bytes {
    let mut writer = Writer::new(VERSION);
    put_queue_topics(&mut writer, &value.initializing);
    put_queue_topics(&mut writer, &value.initialized);
    flexible::put_count(&mut writer, value.deleting.len());
    for (id, name) in &value.deleting {
        writer.uuid(*id);
        flexible::put_string(&mut writer, name);
        writer.varint(0);
    }
    writer.varint(0);
    writer.finish()
}

fn decode_queues(value: &[u8]) -> Result<Option<ShareQueues>, String> {
    let Some(mut reader) = open(value)? else {
        return Ok(None);
    };
    let mut queues = ShareQueues {
        initializing: queue_topics(&mut reader)?,
        initialized: queue_topics(&mut reader)?,
        deleting: BTreeMap::new(),
    };
    for _ in 0..flexible::count(&mut reader, true)? {
        let id = reader.uuid()?;
        let name = flexible::string(&mut reader, true)?;
        queues.deleting.insert(id, name.into());
        flexible::tags(&mut reader, |_, _| Ok(()))?;
    }
    close(reader, queues)
}
