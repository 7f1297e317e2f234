//! The checkpoint: what is known of each partition up to its recovery point, in one file.
//!
//! One section for each partition, each with its own CRC: a bad one costs its partition a scan
//! and nobody else anything (DC10).

use std::collections::HashMap;

use bytes::Bytes;

use crate::local::fields::{Fields, HEAD_BYTES, begin, check_head};
use crate::log::Place;
use crate::log::epochs::Epochs;
use crate::log::producers::{Remembered, Sent};
use crate::log::segment::Facts;
use crate::{Offset, PartitionId};

const MAGIC: &[u8; 8] = b"ratelckp";
pub(crate) const VERSION: u16 = 2;
/// The version that knew no transactions: its sections end with the sentence.
const VERSION_BEFORE: u16 = 1;
/// Length and CRC in front of each section.
const FRAME_BYTES: usize = 8;
pub(crate) const SEGMENT_BYTES: usize = 48;
const EPOCH_BYTES: usize = 12;
const PRODUCER_BYTES: usize = 27;
const TRANSACTION_BYTES: usize = 36;
const ABORTED_BYTES: usize = 12;

/// What the checkpoint holds of one partition.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Section {
    /// Whose.
    pub id: PartitionId,
    /// The log's first offset.
    pub start: Offset,
    /// The recovery point: all before it was synced when this was written.
    pub end: Place,
    /// The segments up to there.
    pub segments: Vec<Facts>,
    /// The leader epochs up to there.
    pub epochs: Epochs,
    /// The producers as of there.
    pub producers: Vec<(i64, Remembered)>,
    /// Where the open transactions of these producers begin, in order.
    pub transactions: Vec<Place>,
    /// The segments up to there with aborted transactions, and how many each has.
    pub aborted: Vec<(Offset, u32)>,
    /// Why the partition is read-only.
    pub damage: Option<String>,
}

impl Section {
    /// A section of a partition of which nothing is known.
    pub fn empty(id: PartitionId) -> Self {
        Self {
            id,
            start: Offset::ZERO,
            end: Place::default(),
            segments: Vec::new(),
            epochs: Epochs::default(),
            producers: Vec::new(),
            transactions: Vec::new(),
            aborted: Vec::new(),
            damage: None,
        }
    }

    /// How far the log may be cleaned once this is on the disk: its recovery point, and not into
    /// a transaction that it says is open, since it says where that begins.
    pub fn cleanable(&self) -> Place {
        let open = self.transactions.first().map(|first| first.offset);
        Place {
            offset: open.map_or(self.end.offset, |open| open.min(self.end.offset)),
            ..self.end
        }
    }

    fn encode(&self, out: &mut Vec<u8>) {
        self.encode_before(out);
        let known: Vec<_> = self
            .producers
            .iter()
            .filter(|(_, p)| p.coordinator_epoch != -1 || p.transaction.is_some())
            .collect();
        put_count(out, known.len());
        for (id, producer) in known {
            let first = producer.transaction.unwrap_or(Offset::new(-1));
            let at = self.transactions.binary_search_by_key(&first, |p| p.offset);
            let place = at.map_or(
                Place {
                    offset: first,
                    ..Place::default()
                },
                |at| self.transactions[at],
            );
            put_i64(out, *id);
            out.extend_from_slice(&producer.coordinator_epoch.to_be_bytes());
            put_place(out, place);
        }
        put_count(out, self.aborted.len());
        for (base, count) in &self.aborted {
            put_i64(out, base.get());
            out.extend_from_slice(&count.to_be_bytes());
        }
    }

    /// What version 1 had.
    fn encode_before(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(&self.id.topic.as_u128().to_be_bytes());
        out.extend_from_slice(&self.id.index.to_be_bytes());
        put_i64(out, self.start.get());
        put_place(out, self.end);
        put_count(out, self.segments.len());
        for facts in &self.segments {
            put_facts(out, facts);
        }
        put_count(out, self.epochs.entries().len());
        for (epoch, first) in self.epochs.entries() {
            out.extend_from_slice(&epoch.to_be_bytes());
            put_i64(out, first.get());
        }
        put_count(out, self.producers.len());
        for (id, producer) in &self.producers {
            put_producer(out, *id, producer);
        }
        let damage = self.damage.as_deref().unwrap_or("").as_bytes();
        put_count(out, damage.len());
        out.extend_from_slice(damage);
    }

    /// The section in these bytes.
    pub fn decode(bytes: &[u8]) -> Option<Self> {
        let mut fields = Fields(bytes);
        let id = PartitionId {
            topic: uuid::Uuid::from_u128(fields.u128()?),
            index: fields.i32()?,
        };
        let start = offset(&mut fields)?;
        let end = place(&mut fields)?;
        let segments = (0..fields.count(SEGMENT_BYTES)?)
            .map(|_| facts(&mut fields))
            .collect::<Option<_>>()?;
        let mut epochs = Epochs::default();
        for _ in 0..fields.count(EPOCH_BYTES)? {
            let epoch = fields.i32()?;
            epochs.note(epoch, offset(&mut fields)?);
        }
        let producers = (0..fields.count(PRODUCER_BYTES)?)
            .map(|_| producer(&mut fields))
            .collect::<Option<_>>()?;
        let damage = fields.count(1)?;
        let damage = String::from_utf8_lossy(fields.bytes(damage)?).into_owned();
        let mut section = Self {
            id,
            start,
            end,
            segments,
            epochs,
            producers,
            transactions: Vec::new(),
            aborted: Vec::new(),
            damage: (!damage.is_empty()).then_some(damage),
        };
        if !fields.0.is_empty() {
            section.decode_transactions(&mut fields)?;
        }
        Some(section)
    }

    fn decode_transactions(&mut self, fields: &mut Fields<'_>) -> Option<()> {
        for _ in 0..fields.count(TRANSACTION_BYTES)? {
            let id = fields.i64()?;
            let coordinator_epoch = fields.i32()?;
            let first = place(fields)?;
            let at = self
                .producers
                .binary_search_by_key(&id, |(id, _)| *id)
                .ok()?;
            let (_, producer) = &mut self.producers[at];
            producer.coordinator_epoch = coordinator_epoch;
            if first.offset >= Offset::ZERO {
                producer.transaction = Some(first.offset);
                self.transactions.push(first);
            }
        }
        self.transactions.sort_unstable_by_key(|place| place.offset);
        for _ in 0..fields.count(ABORTED_BYTES)? {
            self.aborted.push((offset(fields)?, fields.u32()?));
        }
        Some(())
    }
}

fn put_i64(out: &mut Vec<u8>, value: i64) {
    out.extend_from_slice(&value.to_be_bytes());
}

fn put_place(out: &mut Vec<u8>, place: Place) {
    put_i64(out, place.offset.get());
    put_i64(out, place.segment.get());
    out.extend_from_slice(&place.position.to_be_bytes());
}

/// Write what is known of a segment.
pub(crate) fn put_facts(out: &mut Vec<u8>, facts: &Facts) {
    put_i64(out, facts.base.get());
    out.extend_from_slice(&facts.size.to_be_bytes());
    put_i64(out, facts.max_timestamp);
    put_i64(out, facts.first_timestamp);
    put_i64(out, facts.created_ms);
    put_i64(out, facts.appended_ms);
}

fn put_count(out: &mut Vec<u8>, count: usize) {
    let count = u32::try_from(count).expect("what is counted here has limits far below 2^32");
    out.extend_from_slice(&count.to_be_bytes());
}

fn put_producer(out: &mut Vec<u8>, id: i64, producer: &Remembered) {
    put_i64(out, id);
    out.extend_from_slice(&producer.epoch.to_be_bytes());
    put_i64(out, producer.last_timestamp);
    put_i64(out, producer.used_ms);
    out.push(producer.sent().len() as u8);
    for sent in producer.sent() {
        out.extend_from_slice(&sent.first.to_be_bytes());
        out.extend_from_slice(&sent.last.to_be_bytes());
        put_i64(out, sent.base.get());
        put_i64(out, sent.end.get());
    }
}

fn offset(fields: &mut Fields<'_>) -> Option<Offset> {
    fields.i64().map(Offset::new)
}

fn place(fields: &mut Fields<'_>) -> Option<Place> {
    Some(Place {
        offset: offset(fields)?,
        segment: offset(fields)?,
        position: fields.u64()?,
    })
}

/// Read what [`put_facts`] wrote.
pub(crate) fn facts(fields: &mut Fields<'_>) -> Option<Facts> {
    Some(Facts {
        base: offset(fields)?,
        size: fields.u64()?,
        max_timestamp: fields.i64()?,
        first_timestamp: fields.i64()?,
        created_ms: fields.i64()?,
        appended_ms: fields.i64()?,
    })
}

fn producer(fields: &mut Fields<'_>) -> Option<(i64, Remembered)> {
    let id = fields.i64()?;
    let mut producer = Remembered::new(fields.i16()?, fields.i64()?, fields.i64()?);
    for _ in 0..fields.u8()? {
        producer.push(Sent {
            first: fields.i32()?,
            last: fields.i32()?,
            base: offset(fields)?,
            end: offset(fields)?,
        });
    }
    Some((id, producer))
}

/// A checkpoint file being put together.
pub(crate) struct Checkpoint {
    bytes: Vec<u8>,
}

impl Checkpoint {
    pub fn new() -> Self {
        Self {
            bytes: begin(MAGIC, VERSION),
        }
    }

    /// Add a partition.
    pub fn add(&mut self, section: &Section) {
        let frame = self.frame();
        section.encode(&mut self.bytes);
        self.close(frame);
    }

    /// Add a section as an earlier checkpoint had it.
    pub fn add_raw(&mut self, body: &[u8]) {
        let frame = self.frame();
        self.bytes.extend_from_slice(body);
        self.close(frame);
    }

    fn frame(&mut self) -> usize {
        let frame = self.bytes.len();
        self.bytes.resize(frame + FRAME_BYTES, 0);
        frame
    }

    fn close(&mut self, frame: usize) {
        let body = frame + FRAME_BYTES;
        let len = u32::try_from(self.bytes.len() - body).expect("a section is below 4 GiB");
        let crc = crc32c::crc32c(&self.bytes[body..]);
        self.bytes[frame..frame + 4].copy_from_slice(&len.to_be_bytes());
        self.bytes[frame + 4..body].copy_from_slice(&crc.to_be_bytes());
    }

    /// The file.
    pub fn into_bytes(self) -> Vec<u8> {
        self.bytes
    }
}

/// The sections of a checkpoint file that are whole.
///
/// # Errors
/// Why nothing in the file can be used.
pub(crate) fn sections(bytes: &Bytes) -> Result<HashMap<PartitionId, Bytes>, &'static str> {
    if check_head(bytes, MAGIC, VERSION_BEFORE).is_err() {
        check_head(bytes, MAGIC, VERSION)?;
    }
    let mut rest = bytes.slice(HEAD_BYTES.min(bytes.len())..);
    let mut found = HashMap::new();
    while rest.len() >= FRAME_BYTES {
        let mut frame = Fields(&rest[..FRAME_BYTES]);
        let (Some(len), Some(crc)) = (frame.u32(), frame.u32()) else {
            break;
        };
        let body = rest.slice(FRAME_BYTES..);
        let len = len as usize;
        if len > body.len() {
            break;
        }
        rest = body.slice(len..);
        let body = body.slice(..len);
        if crc32c::crc32c(&body) == crc
            && let Some(id) = id_of(&body)
        {
            found.insert(id, body);
        }
    }
    Ok(found)
}

fn id_of(body: &[u8]) -> Option<PartitionId> {
    let mut fields = Fields(body);
    Some(PartitionId {
        topic: uuid::Uuid::from_u128(fields.u128()?),
        index: fields.i32()?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sample(index: i32) -> Section {
        let mut epochs = Epochs::default();
        epochs.note(0, Offset::ZERO);
        epochs.note(3, Offset::new(17));
        let mut producer = Remembered::new(2, 1000, 2000);
        for n in 0..7 {
            producer.push(Sent {
                first: n,
                last: n,
                base: Offset::new(i64::from(n)),
                end: Offset::new(i64::from(n) + 1),
            });
        }
        let mut open = Remembered::new(0, 1, 1);
        (open.coordinator_epoch, open.transaction) = (4, Some(Offset::new(30)));
        Section {
            id: PartitionId {
                topic: uuid::Uuid::from_u128(9),
                index,
            },
            start: Offset::new(4),
            end: Place {
                offset: Offset::new(40),
                segment: Offset::new(20),
                position: 4000,
            },
            segments: vec![Facts {
                base: Offset::ZERO,
                size: 77,
                max_timestamp: 5,
                first_timestamp: -1,
                created_ms: 6,
                appended_ms: 7,
            }],
            epochs,
            producers: vec![(5, producer), (6, open)],
            transactions: vec![Place {
                offset: Offset::new(30),
                segment: Offset::new(20),
                position: 2000,
            }],
            aborted: vec![(Offset::ZERO, 3)],
            damage: (index == 1).then(|| "a hole".to_owned()),
        }
    }

    fn file() -> Vec<u8> {
        let mut checkpoint = Checkpoint::new();
        (0..3).for_each(|index| checkpoint.add(&sample(index)));
        checkpoint.into_bytes()
    }

    fn decoded(bytes: Vec<u8>) -> Vec<Section> {
        let mut found: Vec<Section> = sections(&bytes.into())
            .unwrap_or_default()
            .values()
            .map(|body| Section::decode(body).unwrap())
            .collect();
        found.sort_by_key(|section| section.id);
        found
    }

    /// What version 1 was made of is out in the world: its bytes never change.
    #[test]
    fn ft_14_version_1_is_byte_for_byte_what_it_was_and_still_read() {
        let mut checkpoint = Checkpoint {
            bytes: begin(MAGIC, VERSION_BEFORE),
        };
        let frame = checkpoint.frame();
        sample(1).encode_before(&mut checkpoint.bytes);
        checkpoint.close(frame);
        let bytes = checkpoint.into_bytes();
        assert_eq!((bytes.len(), crc32c::crc32c(&bytes)), (340, 3_608_049_877));
        let mut before = sample(1);
        before.transactions.clear();
        before.aborted.clear();
        before.producers[1].1 = Remembered::new(0, 1, 1);
        assert_eq!(decoded(bytes), [before]);
    }

    #[test]
    fn ft_14_version_2_is_byte_for_byte_what_it_was() {
        let mut checkpoint = Checkpoint::new();
        checkpoint.add(&sample(1));
        let bytes = checkpoint.into_bytes();
        assert_eq!((bytes.len(), crc32c::crc32c(&bytes)), (396, 1_479_106_609));
    }

    #[test]
    fn sections_come_back_as_they_were() {
        assert_eq!(decoded(file()), [sample(0), sample(1), sample(2)]);
    }

    #[test]
    fn ft_5_a_cut_or_flipped_checkpoint_loses_sections_and_never_changes_one() {
        let bytes = file();
        for len in 0..bytes.len() {
            for section in decoded(bytes[..len].to_vec()) {
                assert_eq!(section, sample(section.id.index));
            }
            let mut flipped = bytes.clone();
            flipped[len] ^= 1 << (len % 8);
            for section in decoded(flipped) {
                assert_eq!(section, sample(section.id.index), "byte {len}");
            }
        }
    }
}
