//! What the records of share and consumer groups have in common: values of version 0 in the
//! flexible format, epochs, and partitions by topic.

use std::collections::BTreeMap;

use bytes::Bytes;
use ratel_storage::TopicId;

use super::flexible;
use crate::coordinator::record::{Reader, Writer};

/// The version that is written, and the only one there is.
pub(super) const VERSION: i16 = 0;

/// Partitions by topic, each list in ascending order.
pub type Assignment = BTreeMap<TopicId, Vec<i32>>;

/// The value that is an epoch.
pub(super) fn encode_epoch(epoch: i32) -> Bytes {
    let mut writer = Writer::new(VERSION);
    writer.i32(epoch).varint(0);
    writer.finish()
}

/// The value that is what a member is to hold.
pub(super) fn encode_target(target: &Assignment) -> Bytes {
    let mut writer = Writer::new(VERSION);
    put_assignment(&mut writer, target);
    writer.varint(0);
    writer.finish()
}

pub(super) fn decode_epoch(value: &[u8]) -> Result<Option<i32>, String> {
    let Some(mut reader) = open(value)? else {
        return Ok(None);
    };
    let epoch = reader.i32()?;
    close(reader, epoch)
}

pub(super) fn decode_target(value: &[u8]) -> Result<Option<Assignment>, String> {
    let Some(mut reader) = open(value)? else {
        return Ok(None);
    };
    let target = assignment(&mut reader)?;
    close(reader, target)
}

/// The reader behind a version, if that is known.
pub(super) fn open(value: &[u8]) -> Result<Option<Reader<'_>>, String> {
    let mut reader = Reader::new(value);
    Ok((reader.i16()? == VERSION).then_some(reader))
}

/// Read past the tags at the end.
pub(super) fn close<T>(mut reader: Reader<'_>, value: T) -> Result<Option<T>, String> {
    flexible::tags(&mut reader, |_, _| Ok(()))?;
    Ok(Some(value))
}

pub(super) fn put_partitions(writer: &mut Writer, partitions: &[i32]) {
    flexible::put_count(writer, partitions.len());
    for partition in partitions {
        writer.i32(*partition);
    }
}

/// Numbers in the order in which they were written.
pub(super) fn numbers(reader: &mut Reader<'_>) -> Result<Vec<i32>, String> {
    let mut numbers = Vec::new();
    for _ in 0..flexible::count(reader, true)? {
        numbers.push(reader.i32()?);
    }
    Ok(numbers)
}

pub(super) fn partitions(reader: &mut Reader<'_>) -> Result<Vec<i32>, String> {
    let mut partitions = numbers(reader)?;
    partitions.sort_unstable();
    partitions.dedup();
    Ok(partitions)
}

pub(super) fn put_assignment(writer: &mut Writer, assignment: &Assignment) {
    flexible::put_count(writer, assignment.len());
    for (topic, partitions) in assignment {
        writer.uuid(*topic);
        put_partitions(writer, partitions);
        writer.varint(0);
    }
}

pub(super) fn assignment(reader: &mut Reader<'_>) -> Result<Assignment, String> {
    let mut assignment = Assignment::new();
    for _ in 0..flexible::count(reader, true)? {
        assignment.insert(reader.uuid()?, partitions(reader)?);
        flexible::tags(reader, |_, _| Ok(()))?;
    }
    Ok(assignment)
}
