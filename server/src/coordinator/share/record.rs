//! Records of `__share_group_state`, in Kafka's own bytes (KIP-932, `ShareSnapshotValue` and
//! `ShareUpdateValue` version 0). Kafka has no field for when a record may be leased again, nor
//! for a snapshot that goes on in updates: those are tagged fields, which its tools skip.

use bytes::Bytes;
use ratel_storage::PartitionId;

use super::QueueKey;
use crate::coordinator;
use crate::coordinator::record::{Reader, Writer};

/// Kinds of key. A tombstone is always of the first.
const KEY_SNAPSHOT: i16 = 0;
const KEY_UPDATE: i16 = 1;
/// The only version of both values.
const VERSION: i16 = 0;
/// Kafka's: how many offsets from the start on are done (KIP-1226).
const TAG_COMPLETE: u32 = 0;
/// Of a batch: from when on it may be leased, on the wall clock, int64 ms.
const TAG_NOT_BEFORE: u32 = 10_000;
/// Of an update: it holds batches of the snapshot before it. No bytes.
const TAG_CONTINUES: u32 = 10_001;
/// Bytes of a batch but for its tagged fields.
const BATCH_BYTES: usize = 8 + 8 + 1 + 2 + 1;

/// What may be written down of a record.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Durable {
    /// 0
    Available,
    /// 2
    Acknowledged,
    /// 3: given up, not yet in the dead-letter topic (KIP-1191).
    Archiving,
    /// 4
    Archived,
}

impl Durable {
    /// Whether nothing more will come of it.
    pub fn is_terminal(self) -> bool {
        matches!(self, Self::Acknowledged | Self::Archived)
    }

    fn decode(byte: i8) -> Result<Self, String> {
        match byte {
            // Nobody writes 1 (leased); it would be available again.
            0 | 1 => Ok(Self::Available),
            2 => Ok(Self::Acknowledged),
            3 => Ok(Self::Archiving),
            4 => Ok(Self::Archived),
            _ => Err(format!("state {byte}")),
        }
    }

    fn byte(self) -> i8 {
        match self {
            Self::Available => 0,
            Self::Acknowledged => 2,
            Self::Archiving => 3,
            Self::Archived => 4,
        }
    }
}

/// A stretch of records.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct StateBatch {
    /// Its first offset, from 0.
    pub first: i64,
    /// Its last offset.
    pub last: i64,
    /// What it is.
    pub state: Durable,
    /// How often it was delivered, from 0.
    pub count: i16,
    /// From when on it may be leased, on the wall clock in ms; 0 is at once.
    pub not_before_ms: i64,
}

impl StateBatch {
    /// Whether `next` goes on where this one ends, and is like it.
    pub fn joins(&self, next: &Self) -> bool {
        self.last + 1 == next.first
            && (self.state, self.count, self.not_before_ms)
                == (next.state, next.count, next.not_before_ms)
    }

    fn encode(&self, writer: &mut Writer) {
        writer
            .i64(self.first)
            .i64(self.last)
            .i8(self.state.byte())
            .i16(self.count);
        if self.not_before_ms == 0 {
            writer.varint(0);
        } else {
            writer
                .varint(1)
                .varint(TAG_NOT_BEFORE)
                .varint(8)
                .i64(self.not_before_ms);
        }
    }

    fn decode(reader: &mut Reader<'_>) -> Result<Self, String> {
        let (first, last) = (reader.i64()?, reader.i64()?);
        if first < 0 || last < first || last == i64::MAX {
            return Err(format!("a batch from {first} to {last}"));
        }
        let state = Durable::decode(reader.i8()?)?;
        let count = reader.i16()?.max(0);
        let mut not_before_ms = 0;
        tags(reader, |tag, field| {
            if tag == TAG_NOT_BEFORE {
                not_before_ms = field.i64()?;
            }
            Ok(())
        })?;
        Ok(Self {
            first,
            last,
            state,
            count,
            not_before_ms,
        })
    }
}

/// All of a queue, or its first part: [`Update::continues`] brings the rest.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Snapshot {
    /// Goes up with every snapshot.
    pub snapshot_epoch: i32,
    /// Goes up whenever the queue begins anew. A snapshot that does not raise it says nothing
    /// that the records before it did not.
    pub state_epoch: i32,
    /// The first offset that is not done.
    pub start: i64,
    /// Records from there on that are done.
    pub complete: i32,
    /// When the queue was made, wall clock ms.
    pub created_ms: i64,
    /// When this was written, wall clock ms.
    pub written_ms: i64,
    /// Ascending; what is in none of them was never delivered.
    pub batches: Vec<StateBatch>,
}

/// What changed in a queue.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Update {
    /// That of the last snapshot.
    pub snapshot_epoch: i32,
    /// The new start; none if it is as it was.
    pub start: Option<i64>,
    /// Records from the start on that are done.
    pub complete: i32,
    /// Ascending; each replaces what was known of its offsets.
    pub batches: Vec<StateBatch>,
    /// Whether these batches belong to the snapshot before.
    pub continues: bool,
}

impl Update {
    /// About how many bytes its value has.
    pub fn bytes(&self) -> u64 {
        (32 + self.batches.len() * BATCH_BYTES) as u64
    }
}

/// One record.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Record {
    /// All of a queue.
    Snapshot(QueueKey, Snapshot),
    /// What changed in it.
    Update(QueueKey, Update),
    /// It is no more.
    Tombstone(QueueKey),
}

impl coordinator::Record for Record {
    fn encode(&self) -> (Bytes, Option<Bytes>) {
        match self {
            Self::Snapshot(key, value) => {
                (encode_key(KEY_SNAPSHOT, key), Some(encode_snapshot(value)))
            }
            Self::Update(key, value) => (encode_key(KEY_UPDATE, key), Some(encode_update(value))),
            Self::Tombstone(key) => (encode_key(KEY_SNAPSHOT, key), None),
        }
    }

    fn decode(key: &[u8], value: Option<&[u8]>) -> Result<Option<Self>, String> {
        let mut reader = Reader::new(key);
        let kind = reader.i16()?;
        if !matches!(kind, KEY_SNAPSHOT | KEY_UPDATE) {
            return Ok(None);
        }
        let key = QueueKey {
            group: reader.string()?.into(),
            partition: PartitionId {
                topic: reader.uuid()?,
                index: reader.i32()?,
            },
        };
        let Some(value) = value else {
            return Ok((kind == KEY_SNAPSHOT).then_some(Self::Tombstone(key)));
        };
        let mut reader = Reader::new(value);
        if reader.i16()? != VERSION {
            return Ok(None);
        }
        Ok(Some(if kind == KEY_SNAPSHOT {
            Self::Snapshot(key, decode_snapshot(&mut reader)?)
        } else {
            Self::Update(key, decode_update(&mut reader)?)
        }))
    }
}

fn encode_key(kind: i16, key: &QueueKey) -> Bytes {
    let mut writer = Writer::new(kind);
    writer
        .string(&key.group)
        .uuid(key.partition.topic)
        .i32(key.partition.index);
    writer.finish()
}

/// There is one leader and it never changes: its epoch is 0.
const LEADER_EPOCH: i32 = 0;

fn encode_snapshot(value: &Snapshot) -> Bytes {
    let mut writer = Writer::new(VERSION);
    writer
        .i32(value.snapshot_epoch)
        .i32(value.state_epoch)
        .i32(LEADER_EPOCH)
        .i64(value.start)
        .i64(value.created_ms)
        .i64(value.written_ms);
    encode_batches(&mut writer, &value.batches);
    encode_tags(&mut writer, value.complete, false);
    writer.finish()
}

fn encode_update(value: &Update) -> Bytes {
    let mut writer = Writer::new(VERSION);
    writer
        .i32(value.snapshot_epoch)
        .i32(LEADER_EPOCH)
        .i64(value.start.unwrap_or(-1));
    encode_batches(&mut writer, &value.batches);
    encode_tags(&mut writer, value.complete, value.continues);
    writer.finish()
}

fn encode_batches(writer: &mut Writer, batches: &[StateBatch]) {
    writer.varint(u32::try_from(batches.len() + 1).expect("records are split long before"));
    for batch in batches {
        batch.encode(writer);
    }
}

fn encode_tags(writer: &mut Writer, complete: i32, continues: bool) {
    writer.varint(1 + u32::from(continues));
    writer.varint(TAG_COMPLETE).varint(4).i32(complete);
    if continues {
        writer.varint(TAG_CONTINUES).varint(0);
    }
}

fn decode_snapshot(reader: &mut Reader<'_>) -> Result<Snapshot, String> {
    let (snapshot_epoch, state_epoch, _leader) = (reader.i32()?, reader.i32()?, reader.i32()?);
    let start = reader.i64()?;
    // Kafka begins a queue whose start it does not know yet at -1.
    let start = if start == -1 { 0 } else { offset(start)? };
    let (created_ms, written_ms) = (reader.i64()?, reader.i64()?);
    let batches = decode_batches(reader)?;
    let (complete, _) = decode_tags(reader)?;
    Ok(Snapshot {
        snapshot_epoch,
        state_epoch,
        start,
        complete,
        created_ms,
        written_ms,
        batches,
    })
}

fn decode_update(reader: &mut Reader<'_>) -> Result<Update, String> {
    let (snapshot_epoch, _leader, start) = (reader.i32()?, reader.i32()?, reader.i64()?);
    let start = if start == -1 {
        None
    } else {
        Some(offset(start)?)
    };
    let batches = decode_batches(reader)?;
    let (complete, continues) = decode_tags(reader)?;
    Ok(Update {
        snapshot_epoch,
        start,
        complete,
        batches,
        continues,
    })
}

fn offset(offset: i64) -> Result<i64, String> {
    if (0..i64::MAX).contains(&offset) {
        Ok(offset)
    } else {
        Err(format!("offset {offset}"))
    }
}

fn decode_batches(reader: &mut Reader<'_>) -> Result<Vec<StateBatch>, String> {
    let count = reader.varint()?.saturating_sub(1) as usize;
    // No more memory than the bytes that are there can fill.
    let mut batches = Vec::with_capacity(count.min(reader.left() / BATCH_BYTES));
    for _ in 0..count {
        batches.push(StateBatch::decode(reader)?);
    }
    Ok(batches)
}

fn decode_tags(reader: &mut Reader<'_>) -> Result<(i32, bool), String> {
    let (mut complete, mut continues) = (-1, false);
    tags(reader, |tag, field| {
        match tag {
            TAG_COMPLETE => complete = field.i32()?,
            TAG_CONTINUES => continues = true,
            _ => {}
        }
        Ok(())
    })?;
    Ok((complete, continues))
}

/// Visit the tagged fields.
fn tags(
    reader: &mut Reader<'_>,
    mut visit: impl FnMut(u32, &mut Reader<'_>) -> Result<(), String>,
) -> Result<(), String> {
    for _ in 0..reader.varint()? {
        let tag = reader.varint()?;
        let size = reader.varint()? as usize;
        visit(tag, &mut Reader::new(reader.take(size)?))?;
    }
    Ok(())
}
