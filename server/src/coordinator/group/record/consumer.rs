//! A consumer group: its epochs, members, assignments and regular expressions (KIP-848).
//!
//! ```text
//! key 3  | group |           epoch i32 | tag 0: metadata hash i64 |
//! key 5  | group | member |  instance? | rack? | client id | client host | topics [name] |
//!                            regex? | rebalance timeout i32 | assignor? |
//!                            tag 0: session timeout i32, protocols [name, metadata] |
//! key 6  | group |           assignment epoch i32 |
//! key 7  | group | member |  target [topic id, [partition i32]] |
//! key 8  | group | member |  epoch i32 | previous epoch i32 | state i8 |
//!                            assigned [topic id, [partition i32], tag 0: [epoch i32]] |
//!                            to be revoked [the same] |
//! key 16 | group | regex |   topics [name] | version i64 | time i64 |
//! ```
//!
//! Keys have int16 lengths; values are of version 0 and flexible: compact lengths, and tags behind
//! each element and at the end. Key 4, the topics as the group knows them, is Kafka's own past: it
//! is neither written nor read.

use std::collections::BTreeMap;
use std::sync::Arc;

use bytes::Bytes;
use ratel_storage::PartitionId;

use super::modern::{
    Assignment, VERSION, close, decode_epoch, decode_target, encode_epoch, encode_target, numbers,
    open, put_partitions,
};
use super::{decode_value, flexible};
use crate::coordinator::group::event::Protocol;
use crate::coordinator::record::{Reader, Writer};

const KEY_GROUP: i16 = 3;
const KEY_MEMBER: i16 = 5;
const KEY_TARGET_EPOCH: i16 = 6;
const KEY_TARGET: i16 = 7;
const KEY_CURRENT: i16 = 8;
const KEY_REGEX: i16 = 16;
/// The tag of what came later: the metadata's hash, what a classic member is.
const TAG: u32 = 0;

/// A record of a consumer group. Without a value it takes its key away.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ConsumerRecord {
    /// The group itself.
    Group(Option<ConsumerGroupMetadata>),
    /// Who a member is and what it reads.
    Member(Arc<str>, Option<Arc<ConsumerMemberMetadata>>),
    /// The epoch for which the targets were made.
    TargetEpoch(Option<i32>),
    /// What a member is to hold.
    Target(Arc<str>, Option<Arc<Assignment>>),
    /// What a member holds.
    Current(Arc<str>, Option<Arc<ConsumerCurrent>>),
    /// The topics that a regular expression stands for.
    Regex(Arc<str>, Option<Arc<Resolved>>),
}

/// A consumer group as a whole.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ConsumerGroupMetadata {
    /// Goes up with every change of members, subscriptions or topics.
    pub epoch: i32,
    /// Stands for the topics that the group reads, as they were at this epoch.
    pub metadata_hash: i64,
}

/// Who a member of a consumer group is.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ConsumerMemberMetadata {
    /// The name of a static member.
    pub instance: Option<Arc<str>>,
    /// Its rack, if it said so.
    pub rack: Option<Arc<str>>,
    /// The client's name for itself.
    pub client_id: Arc<str>,
    /// Where it connected from.
    pub client_host: Arc<str>,
    /// The names of the topics it reads, in order.
    pub topics: Vec<Arc<str>>,
    /// A regular expression for more of them; empty or none if there is none.
    pub regex: Option<Arc<str>>,
    /// How long it may take to give up partitions, ms.
    pub rebalance_timeout_ms: i32,
    /// The assignor it asks for.
    pub assignor: Option<Arc<str>>,
    /// What a member says of itself that speaks the classic protocol (H-10).
    pub classic: Option<ClassicMember>,
}

/// What is known of a member that speaks the classic protocol.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ClassicMember {
    /// How long it may be silent, ms.
    pub session_timeout_ms: i32,
    /// What it can do, best first.
    pub protocols: Vec<Protocol>,
}

/// How far a member is on its way to its target (H-5).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum MemberState {
    /// It is there.
    #[default]
    Stable,
    /// It has to give up partitions first.
    Unrevoked,
    /// Others have not given up yet what it is to get.
    Unreleased,
    /// A state that another version wrote.
    Unknown,
}

impl MemberState {
    fn code(self) -> i8 {
        match self {
            Self::Stable => 0,
            Self::Unrevoked => 1,
            Self::Unreleased => 2,
            Self::Unknown => 127,
        }
    }

    fn of(code: i8) -> Self {
        match code {
            0 => Self::Stable,
            1 => Self::Unrevoked,
            2 => Self::Unreleased,
            _ => Self::Unknown,
        }
    }
}

/// What a member of a consumer group holds.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ConsumerCurrent {
    /// Its epoch; -2 for a static member that is away for a while.
    pub epoch: i32,
    /// The epoch before, which it may still have if the last answer was lost.
    pub previous_epoch: i32,
    /// How far it is.
    pub state: MemberState,
    /// Its partitions.
    pub assigned: Arc<Assignment>,
    /// What it has to give up, and may still work on.
    pub revoking: Arc<Assignment>,
    /// The epoch at which it was given each of these partitions (KIP-1251).
    pub since: Arc<Since>,
}

/// An epoch for each partition.
pub type Since = BTreeMap<PartitionId, i32>;

impl ConsumerCurrent {
    /// The epoch since which it holds a partition, also one that it has to give up.
    pub fn since(&self, partition: PartitionId) -> Option<i32> {
        self.since_in(&self.assigned, partition)
            .or_else(|| self.since_in(&self.revoking, partition))
    }

    /// The epoch since which it holds a partition that it does not have to give up.
    pub fn assigned_since(&self, partition: PartitionId) -> Option<i32> {
        self.since_in(&self.assigned, partition)
    }

    /// Let go at once of all that it has to give up.
    pub fn let_go(&mut self) {
        self.revoking = Arc::default();
        let since = self
            .since
            .iter()
            .map(|(partition, epoch)| (*partition, *epoch));
        let since = since.filter(|(partition, _)| self.assigned_since(*partition).is_some());
        self.since = Arc::new(since.collect());
    }

    fn since_in(&self, held: &Assignment, partition: PartitionId) -> Option<i32> {
        let there = held.get(&partition.topic)?;
        there.binary_search(&partition.index).ok()?;
        let since = self.since.get(&partition).copied();
        Some(since.unwrap_or(self.epoch.max(0)))
    }
}

/// What a regular expression stands for.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Resolved {
    /// Names of topics, in order.
    pub topics: Vec<Arc<str>>,
    /// The version of the catalog's view that it was held against.
    pub version: i64,
    /// When that was (wall time, ms).
    pub timestamp_ms: i64,
}

impl ConsumerRecord {
    /// Whether a key of this kind belongs to a consumer group.
    pub fn is_kind(kind: i16) -> bool {
        matches!(
            kind,
            KEY_GROUP | KEY_MEMBER | KEY_TARGET_EPOCH | KEY_TARGET | KEY_CURRENT | KEY_REGEX
        )
    }

    fn kind(&self) -> (i16, Option<&Arc<str>>) {
        match self {
            Self::Group(_) => (KEY_GROUP, None),
            Self::Member(member, _) => (KEY_MEMBER, Some(member)),
            Self::TargetEpoch(_) => (KEY_TARGET_EPOCH, None),
            Self::Target(member, _) => (KEY_TARGET, Some(member)),
            Self::Current(member, _) => (KEY_CURRENT, Some(member)),
            Self::Regex(regex, _) => (KEY_REGEX, Some(regex)),
        }
    }

    /// Whether it takes its key away.
    pub fn is_tombstone(&self) -> bool {
        match self {
            Self::Group(value) => value.is_none(),
            Self::Member(_, value) => value.is_none(),
            Self::TargetEpoch(value) => value.is_none(),
            Self::Target(_, value) => value.is_none(),
            Self::Current(_, value) => value.is_none(),
            Self::Regex(_, value) => value.is_none(),
        }
    }

    /// Key and value.
    pub fn encode(&self, group: &str) -> (Bytes, Option<Bytes>) {
        let (kind, name) = self.kind();
        let mut key = Writer::new(kind);
        key.string(group);
        if let Some(name) = name {
            key.string(name);
        }
        let value = match self {
            Self::Group(value) => value.map(encode_group),
            Self::Member(_, value) => value.as_deref().map(encode_member),
            Self::TargetEpoch(value) => value.map(encode_epoch),
            Self::Target(_, value) => value.as_deref().map(encode_target),
            Self::Current(_, value) => value.as_deref().map(encode_current),
            Self::Regex(_, value) => value.as_deref().map(encode_regex),
        };
        (key.finish(), value)
    }

    /// The record of a key whose kind has been read ([`Self::is_kind`]), and its group; `None` for
    /// a version that is not known here.
    ///
    /// # Errors
    /// What is wrong with the bytes.
    pub fn decode(
        kind: i16,
        key: &mut Reader<'_>,
        value: Option<&[u8]>,
    ) -> Result<Option<(Arc<str>, Self)>, String> {
        let group: Arc<str> = key.string()?.into();
        let mut name = || key.string().map(Arc::<str>::from);
        let record = match kind {
            KEY_GROUP => decode_value(value, decode_group)?.map(Self::Group),
            KEY_TARGET_EPOCH => decode_value(value, decode_epoch)?.map(Self::TargetEpoch),
            KEY_MEMBER => {
                let member = name()?;
                decode_value(value, decode_member)?
                    .map(|value| Self::Member(member, value.map(Arc::new)))
            }
            KEY_TARGET => {
                let member = name()?;
                decode_value(value, decode_target)?
                    .map(|value| Self::Target(member, value.map(Arc::new)))
            }
            KEY_CURRENT => {
                let member = name()?;
                decode_value(value, decode_current)?
                    .map(|value| Self::Current(member, value.map(Arc::new)))
            }
            _ => {
                let regex = name()?;
                decode_value(value, decode_regex)?
                    .map(|value| Self::Regex(regex, value.map(Arc::new)))
            }
        };
        Ok(record.map(|record| (group, record)))
    }
}

/// Write the one tagged field, or that there is none.
fn put_tag(writer: &mut Writer, field: Option<&[u8]>) {
    match field {
        None => {
            writer.varint(0);
        }
        Some(bytes) => {
            let length = u32::try_from(bytes.len()).unwrap_or(u32::MAX);
            writer.varint(1).varint(TAG).varint(length).raw(bytes);
        }
    }
}

fn encode_group(value: ConsumerGroupMetadata) -> Bytes {
    let mut writer = Writer::new(VERSION);
    writer.i32(value.epoch);
    let hash = value.metadata_hash.to_be_bytes();
    put_tag(&mut writer, (value.metadata_hash != 0).then_some(&hash[..]));
    writer.finish()
}

fn decode_group(value: &[u8]) -> Result<Option<ConsumerGroupMetadata>, String> {
    let Some(mut reader) = open(value)? else {
        return Ok(None);
    };
    let mut group = ConsumerGroupMetadata {
        epoch: reader.i32()?,
        metadata_hash: 0,
    };
    flexible::tags(&mut reader, |tag, field| {
        if tag == TAG {
            group.metadata_hash = field.i64()?;
        }
        Ok(())
    })?;
    Ok(Some(group))
}

fn put_names(writer: &mut Writer, names: &[Arc<str>]) {
    flexible::put_count(writer, names.len());
    for name in names {
        flexible::put_string(writer, name);
    }
}

fn names(reader: &mut Reader<'_>) -> Result<Vec<Arc<str>>, String> {
    let mut names = Vec::new();
    for _ in 0..flexible::count(reader, true)? {
        names.push(flexible::string(reader, true)?.into());
    }
    names.sort_unstable();
    names.dedup();
    Ok(names)
}

fn put_bytes(writer: &mut Writer, bytes: &[u8]) {
    flexible::put_count(writer, bytes.len());
    writer.raw(bytes);
}

fn text_or_null(reader: &mut Reader<'_>) -> Result<Option<Arc<str>>, String> {
    Ok(flexible::string_or_null(reader, true)?.map(Arc::from))
}

fn encode_member(value: &ConsumerMemberMetadata) -> Bytes {
    let mut writer = Writer::new(VERSION);
    flexible::put_string_or_null(&mut writer, value.instance.as_deref());
    flexible::put_string_or_null(&mut writer, value.rack.as_deref());
    flexible::put_string(&mut writer, &value.client_id);
    flexible::put_string(&mut writer, &value.client_host);
    put_names(&mut writer, &value.topics);
    flexible::put_string_or_null(&mut writer, value.regex.as_deref());
    writer.i32(value.rebalance_timeout_ms);
    flexible::put_string_or_null(&mut writer, value.assignor.as_deref());
    let classic = value.classic.as_ref().map(encode_classic);
    put_tag(&mut writer, classic.as_deref());
    writer.finish()
}

/// A tagged struct that may be null is one byte of presence and the struct.
fn encode_classic(classic: &ClassicMember) -> Vec<u8> {
    // The writer's first two bytes are a version, which a field has not.
    let mut writer = Writer::new(VERSION);
    writer.i8(1).i32(classic.session_timeout_ms);
    flexible::put_count(&mut writer, classic.protocols.len());
    for protocol in &classic.protocols {
        flexible::put_string(&mut writer, &protocol.name);
        put_bytes(&mut writer, &protocol.metadata);
        writer.varint(0);
    }
    writer.varint(0);
    writer.finish()[2..].to_vec()
}

fn decode_classic(reader: &mut Reader<'_>) -> Result<Option<ClassicMember>, String> {
    if reader.i8()? < 0 {
        return Ok(None);
    }
    let mut classic = ClassicMember {
        session_timeout_ms: reader.i32()?,
        protocols: Vec::new(),
    };
    for _ in 0..flexible::count(reader, true)? {
        classic.protocols.push(Protocol {
            name: flexible::string(reader, true)?.into(),
            metadata: flexible::bytes(reader, true)?,
        });
        flexible::tags(reader, |_, _| Ok(()))?;
    }
    flexible::tags(reader, |_, _| Ok(()))?;
    Ok(Some(classic))
}

fn decode_member(value: &[u8]) -> Result<Option<ConsumerMemberMetadata>, String> {
    let Some(mut reader) = open(value)? else {
        return Ok(None);
    };
    let mut member = ConsumerMemberMetadata {
        instance: text_or_null(&mut reader)?,
        rack: text_or_null(&mut reader)?,
        client_id: flexible::string(&mut reader, true)?.into(),
        client_host: flexible::string(&mut reader, true)?.into(),
        topics: names(&mut reader)?,
        regex: text_or_null(&mut reader)?,
        rebalance_timeout_ms: reader.i32()?,
        assignor: text_or_null(&mut reader)?,
        classic: None,
    };
    flexible::tags(&mut reader, |tag, field| {
        if tag == TAG {
            member.classic = decode_classic(field)?;
        }
        Ok(())
    })?;
    Ok(Some(member))
}

fn encode_current(value: &ConsumerCurrent) -> Bytes {
    let mut writer = Writer::new(VERSION);
    writer
        .i32(value.epoch)
        .i32(value.previous_epoch)
        .i8(value.state.code());
    put_held(&mut writer, value, &value.assigned);
    put_held(&mut writer, value, &value.revoking);
    writer.varint(0);
    writer.finish()
}

fn put_held(writer: &mut Writer, current: &ConsumerCurrent, held: &Assignment) {
    flexible::put_count(writer, held.len());
    for (topic, indexes) in held {
        writer.uuid(*topic);
        put_partitions(writer, indexes);
        let since = indexes.iter().map(|index| {
            let (topic, index) = (*topic, *index);
            let since = current.since(PartitionId { topic, index });
            since.unwrap_or_default()
        });
        // The writer's first two bytes are a version, which a field has not.
        let mut field = Writer::new(VERSION);
        put_partitions(&mut field, &since.collect::<Vec<_>>());
        put_tag(writer, Some(&field.finish()[2..]));
    }
}

/// Partitions, and the epoch of each; where none are told they are as old as this one.
fn held(reader: &mut Reader<'_>, epoch: i32, since: &mut Since) -> Result<Assignment, String> {
    let mut held = Assignment::new();
    for _ in 0..flexible::count(reader, true)? {
        let topic = reader.uuid()?;
        let mut indexes = numbers(reader)?;
        let mut epochs = Vec::new();
        flexible::tags(reader, |tag, field| {
            if tag == TAG {
                epochs = numbers(field)?;
            }
            Ok(())
        })?;
        if epochs.len() != indexes.len() {
            epochs = vec![epoch.max(0); indexes.len()];
        }
        for (index, epoch) in indexes.iter().zip(epochs) {
            let index = *index;
            since.insert(PartitionId { topic, index }, epoch);
        }
        indexes.sort_unstable();
        indexes.dedup();
        held.insert(topic, indexes);
    }
    Ok(held)
}

fn decode_current(value: &[u8]) -> Result<Option<ConsumerCurrent>, String> {
    let Some(mut reader) = open(value)? else {
        return Ok(None);
    };
    let (epoch, previous_epoch) = (reader.i32()?, reader.i32()?);
    let state = MemberState::of(reader.i8()?);
    let mut since = Since::new();
    let current = ConsumerCurrent {
        epoch,
        previous_epoch,
        state,
        assigned: Arc::new(held(&mut reader, epoch, &mut since)?),
        revoking: Arc::new(held(&mut reader, epoch, &mut since)?),
        since: Arc::new(since),
    };
    close(reader, current)
}

fn encode_regex(value: &Resolved) -> Bytes {
    let mut writer = Writer::new(VERSION);
    put_names(&mut writer, &value.topics);
    writer.i64(value.version).i64(value.timestamp_ms).varint(0);
    writer.finish()
}

fn decode_regex(value: &[u8]) -> Result<Option<Resolved>, String> {
    let Some(mut reader) = open(value)? else {
        return Ok(None);
    };
    let resolved = Resolved {
        topics: names(&mut reader)?,
        version: reader.i64()?,
        timestamp_ms: reader.i64()?,
    };
    close(reader, resolved)
}
