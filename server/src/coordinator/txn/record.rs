//! Records of `__transaction_state`, in Kafka's own bytes (`TransactionLogKey` version 0,
//! `TransactionLogValue` versions 0 and 1; 1 is written). Kafka does not keep the epoch before
//! the last one: that is a tagged field, which its tools skip.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use bytes::Bytes;

use super::{NONE, Status, Transaction};
use crate::coordinator;
use crate::coordinator::record::{Reader, Writer};

/// The kind of the key.
const KEY: i16 = 0;
/// The first flexible version of the value.
const FLEXIBLE: i16 = 1;
/// Kafka's tagged fields.
const TAG_PREVIOUS_PRODUCER_ID: u32 = 0;
const TAG_NEXT_PRODUCER_ID: u32 = 1;
const TAG_CLIENT_VERSION: u32 = 2;
/// Ours: [`Transaction::last_epoch`], int16.
const TAG_LAST_EPOCH: u32 = 10_000;
/// Kafka's numbers of states that it never leaves in a log for long.
const DEAD: i8 = 6;

/// One record.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Record {
    /// A transactional id is like this.
    Put(Arc<str>, Box<Transaction>),
    /// It is no more.
    Tombstone(Arc<str>),
}

impl coordinator::Record for Record {
    fn encode(&self) -> (Bytes, Option<Bytes>) {
        let (id, value) = match self {
            Self::Put(id, value) => (id, Some(encode_value(value))),
            Self::Tombstone(id) => (id, None),
        };
        let mut key = Writer::new(KEY);
        key.string(id);
        (key.finish(), value)
    }

    fn decode(key: &[u8], value: Option<&[u8]>) -> Result<Option<Self>, String> {
        let mut reader = Reader::new(key);
        if reader.i16()? != KEY {
            return Ok(None);
        }
        let id: Arc<str> = reader.string()?.into();
        let Some(value) = value else {
            return Ok(Some(Self::Tombstone(id)));
        };
        let mut reader = Reader::new(value);
        let version = reader.i16()?;
        if !(0..=FLEXIBLE).contains(&version) {
            return Ok(None);
        }
        let value = decode_value(&mut reader, version >= FLEXIBLE)?;
        Ok(Some(match value {
            Some(value) => Self::Put(id, Box::new(value)),
            None => Self::Tombstone(id),
        }))
    }
}

fn encode_value(value: &Transaction) -> Bytes {
    let mut writer = Writer::new(FLEXIBLE);
    writer
        .i64(value.producer_id)
        .i16(value.epoch)
        .i32(value.timeout_ms)
        .i8(value.status.byte());
    // An id without a transaction has null instead of partitions.
    if value.status == Status::Empty {
        writer.varint(0);
    } else {
        writer.varint(length(value.partitions.len()));
        for (topic, indexes) in &value.partitions {
            writer.varint(length(topic.len())).raw(topic.as_bytes());
            writer.varint(length(indexes.len()));
            for index in indexes {
                writer.i32(*index);
            }
            writer.varint(0);
        }
    }
    writer.i64(value.updated_ms).i64(value.started_ms);
    encode_tags(&mut writer, value);
    writer.finish()
}

/// Lengths and counts of flexible versions are one too large.
fn length(length: usize) -> u32 {
    u32::try_from(length + 1).expect("what a transaction holds is limited")
}

fn encode_tags(writer: &mut Writer, value: &Transaction) {
    let producer_ids = [
        (TAG_PREVIOUS_PRODUCER_ID, value.previous_producer_id),
        (TAG_NEXT_PRODUCER_ID, value.next_producer_id),
    ];
    let producer_ids = producer_ids.iter().filter(|(_, id)| *id != NONE);
    let shorts = [
        (TAG_CLIENT_VERSION, value.client_version, 0),
        (TAG_LAST_EPOCH, value.last_epoch, -1),
    ];
    let shorts = shorts.iter().filter(|(_, value, default)| value != default);
    writer.varint((producer_ids.clone().count() + shorts.clone().count()) as u32);
    for (tag, id) in producer_ids {
        writer.varint(*tag).varint(8).i64(*id);
    }
    for (tag, value, _) in shorts {
        writer.varint(*tag).varint(2).i16(*value);
    }
}

/// The value; none if it says that the id is dead.
fn decode_value(reader: &mut Reader<'_>, flexible: bool) -> Result<Option<Transaction>, String> {
    let (producer_id, epoch, timeout_ms) = (reader.i64()?, reader.i16()?, reader.i32()?);
    let byte = reader.i8()?;
    let status = Status::ALL.into_iter().find(|status| status.byte() == byte);
    let partitions = decode_partitions(reader, flexible)?;
    let (updated_ms, started_ms) = (reader.i64()?, reader.i64()?);
    let mut value = Transaction {
        status: status.unwrap_or(Status::Empty),
        epoch,
        partitions,
        started_ms,
        ..Transaction::new(producer_id, timeout_ms, updated_ms)
    };
    if flexible {
        decode_tags(reader, &mut value)?;
    }
    match status {
        Some(_) => Ok(Some(value)),
        None if byte == DEAD => Ok(None),
        None => Err(format!("a transaction in state {byte}")),
    }
}

fn decode_partitions(
    reader: &mut Reader<'_>,
    flexible: bool,
) -> Result<BTreeMap<Arc<str>, BTreeSet<i32>>, String> {
    let mut partitions: BTreeMap<Arc<str>, BTreeSet<i32>> = BTreeMap::new();
    for _ in 0..count(reader, flexible)? {
        let topic: Arc<str> = if flexible {
            let length = count(reader, flexible)?;
            let text = std::str::from_utf8(reader.take(length)?);
            text.map_err(|_| "a topic that is not UTF-8")?.into()
        } else {
            reader.string()?.into()
        };
        let indexes = partitions.entry(topic).or_default();
        for _ in 0..count(reader, flexible)? {
            indexes.insert(reader.i32()?);
        }
        if flexible {
            skip_tags(reader)?;
        }
    }
    Ok(partitions)
}

/// A number of elements, 0 for null. Nothing is reserved by it.
fn count(reader: &mut Reader<'_>, flexible: bool) -> Result<usize, String> {
    if flexible {
        Ok(reader.varint()?.saturating_sub(1) as usize)
    } else {
        Ok(usize::try_from(reader.i32()?).unwrap_or(0))
    }
}

fn skip_tags(reader: &mut Reader<'_>) -> Result<(), String> {
    for _ in 0..reader.varint()? {
        reader.varint()?;
        let size = reader.varint()? as usize;
        reader.take(size)?;
    }
    Ok(())
}

fn decode_tags(reader: &mut Reader<'_>, value: &mut Transaction) -> Result<(), String> {
    for _ in 0..reader.varint()? {
        let tag = reader.varint()?;
        let size = reader.varint()? as usize;
        let mut field = Reader::new(reader.take(size)?);
        match tag {
            TAG_PREVIOUS_PRODUCER_ID => value.previous_producer_id = field.i64()?,
            TAG_NEXT_PRODUCER_ID => value.next_producer_id = field.i64()?,
            TAG_CLIENT_VERSION => value.client_version = field.i16()?,
            TAG_LAST_EPOCH => value.last_epoch = field.i16()?,
            _ => {}
        }
    }
    Ok(())
}
