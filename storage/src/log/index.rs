//! The sparse index of one segment: offset and time in one array.
//!
//! One entry each [`interval`] bytes, always at a batch's first byte. Sealed segments keep theirs
//! in a file (`FORMAT.md`) that is mapped and believed only if its length and CRC fit; the active
//! segment's is a `Vec`.

use bytes::Bytes;

use crate::{Offset, Position};

/// No timestamp at all: what Kafka writes for records without one.
pub(crate) const NO_TIMESTAMP: i64 = -1;

/// Entries are never closer than this: a look-up reads this much at most beyond one batch.
const INTERVAL_BYTES_MIN: u32 = 16 << 10;

/// Bytes between two entries for a configured `index.interval.bytes`.
pub(crate) fn interval(configured: u32) -> u64 {
    u64::from(configured.max(INTERVAL_BYTES_MIN))
}

/// A batch that the index points at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Entry {
    /// The batch's base offset minus the segment's.
    pub offset: u32,
    /// Where the batch begins.
    pub position: u32,
    /// The largest timestamp of the batches in front of it.
    pub max_timestamp: i64,
}

const MAGIC: &[u8; 8] = b"ratelidx";
const VERSION: u16 = 1;
const HEAD_BYTES: usize = 40;
const ENTRY_BYTES: usize = 16;
const FOOT_BYTES: usize = 4;

/// What an index file says of its segment besides the entries.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Covered {
    /// The segment's first offset.
    pub base: Offset,
    /// The bytes of the segment that the index describes.
    pub bytes: Position,
    /// The largest timestamp in them.
    pub max_timestamp: i64,
}

/// An index file's contents, checked.
#[derive(Debug, Clone)]
pub(crate) struct IndexFile {
    bytes: Bytes,
    /// What it covers.
    pub covered: Covered,
}

fn field<const N: usize>(bytes: &[u8], at: usize) -> [u8; N] {
    let mut field = [0; N];
    field.copy_from_slice(&bytes[at..at + N]);
    field
}

impl IndexFile {
    /// The bytes of an index file.
    pub fn encode(covered: &Covered, entries: &[Entry]) -> Vec<u8> {
        let mut out = Vec::with_capacity(HEAD_BYTES + entries.len() * ENTRY_BYTES + FOOT_BYTES);
        out.extend_from_slice(MAGIC);
        out.extend_from_slice(&VERSION.to_be_bytes());
        out.extend_from_slice(&[0; 2]);
        let count = u32::try_from(entries.len()).expect("a segment has fewer than 2^32 entries");
        out.extend_from_slice(&count.to_be_bytes());
        out.extend_from_slice(&covered.base.get().to_be_bytes());
        out.extend_from_slice(&covered.bytes.to_be_bytes());
        out.extend_from_slice(&covered.max_timestamp.to_be_bytes());
        for entry in entries {
            out.extend_from_slice(&entry.offset.to_be_bytes());
            out.extend_from_slice(&entry.position.to_be_bytes());
            out.extend_from_slice(&entry.max_timestamp.to_be_bytes());
        }
        let crc = crc32c::crc32c(&out);
        out.extend_from_slice(&crc.to_be_bytes());
        out
    }

    /// Check an index file. An error only costs a rebuild.
    pub fn decode(bytes: Bytes) -> Result<Self, &'static str> {
        if bytes.len() < HEAD_BYTES + FOOT_BYTES {
            return Err("too short");
        }
        if &bytes[..8] != MAGIC || u16::from_be_bytes(field(&bytes, 8)) != VERSION {
            return Err("not an index of this version");
        }
        let count = u32::from_be_bytes(field(&bytes, 12)) as usize;
        let foot = bytes.len() - FOOT_BYTES;
        if Some(foot) != count.checked_mul(ENTRY_BYTES).map(|len| len + HEAD_BYTES) {
            return Err("length does not fit the count");
        }
        if crc32c::crc32c(&bytes[..foot]) != u32::from_be_bytes(field(&bytes, foot)) {
            return Err("CRC does not match");
        }
        let covered = Covered {
            base: Offset::new(i64::from_be_bytes(field(&bytes, 16))),
            bytes: u64::from_be_bytes(field(&bytes, 24)),
            max_timestamp: i64::from_be_bytes(field(&bytes, 32)),
        };
        Ok(Self { bytes, covered })
    }

    /// All entries.
    pub fn entries(&self) -> Vec<Entry> {
        (0..self.len()).map(|at| self.entry(at)).collect()
    }

    fn len(&self) -> usize {
        (self.bytes.len() - HEAD_BYTES - FOOT_BYTES) / ENTRY_BYTES
    }

    fn entry(&self, at: usize) -> Entry {
        let from = HEAD_BYTES + at * ENTRY_BYTES;
        Entry {
            offset: u32::from_be_bytes(field(&self.bytes, from)),
            position: u32::from_be_bytes(field(&self.bytes, from + 4)),
            max_timestamp: i64::from_be_bytes(field(&self.bytes, from + 8)),
        }
    }
}

/// A segment's index, wherever it is.
#[derive(Debug, Clone)]
pub(crate) enum Index {
    /// In memory: it grows, or was not written yet.
    Memory(Vec<Entry>),
    /// Mapped from its file.
    Mapped(IndexFile),
    /// In its file, not looked at yet.
    Unloaded,
}

impl Index {
    /// How many entries.
    pub fn len(&self) -> usize {
        match self {
            Self::Memory(entries) => entries.len(),
            Self::Mapped(file) => file.len(),
            Self::Unloaded => 0,
        }
    }

    /// The entry at a place below [`Self::len`].
    pub fn entry(&self, at: usize) -> Entry {
        match self {
            Self::Memory(entries) => entries[at],
            Self::Mapped(file) => file.entry(at),
            Self::Unloaded => unreachable!("an unloaded index has no entries"),
        }
    }

    /// The last entry that `before` holds for; entries for which it holds come first.
    pub fn last_where(&self, before: impl Fn(&Entry) -> bool) -> Option<Entry> {
        let at = self.held_for(before).checked_sub(1);
        at.map(|at| self.entry(at))
    }

    /// The first entry that `before` does not hold for; entries for which it holds come first.
    pub fn first_after(&self, before: impl Fn(&Entry) -> bool) -> Option<Entry> {
        let at = self.held_for(before);
        (at < self.len()).then(|| self.entry(at))
    }

    /// How many entries `before` holds for.
    fn held_for(&self, before: impl Fn(&Entry) -> bool) -> usize {
        let (mut low, mut high) = (0, self.len());
        while low < high {
            let middle = low + (high - low) / 2;
            if before(&self.entry(middle)) {
                low = middle + 1;
            } else {
                high = middle;
            }
        }
        low
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sample() -> (Covered, Vec<Entry>) {
        let covered = Covered {
            base: Offset::new(7),
            bytes: 70_000,
            max_timestamp: 99,
        };
        let entries = (0..4)
            .map(|n| Entry {
                offset: n * 10,
                position: n * 17_000,
                max_timestamp: i64::from(n) * 30 - 1,
            })
            .collect();
        (covered, entries)
    }

    /// Version 1 is out in the world: its bytes never change.
    #[test]
    fn ft_14_version_1_is_byte_for_byte_what_it_was() {
        let (covered, entries) = sample();
        let bytes = IndexFile::encode(&covered, &entries[..2]);
        let expected = [
            &b"ratelidx\0\x01\0\0\0\0\0\x02"[..],
            &[0, 0, 0, 0, 0, 0, 0, 7],
            &[0, 0, 0, 0, 0, 1, 0x11, 0x70],
            &[0, 0, 0, 0, 0, 0, 0, 99],
            &[
                0, 0, 0, 0, 0, 0, 0, 0, 255, 255, 255, 255, 255, 255, 255, 255,
            ],
            &[0, 0, 0, 10, 0, 0, 0x42, 0x68, 0, 0, 0, 0, 0, 0, 0, 29],
        ]
        .concat();
        assert_eq!(bytes[..bytes.len() - 4], expected);
    }

    #[test]
    fn a_file_gives_back_what_was_written() {
        let (covered, entries) = sample();
        let file = IndexFile::decode(IndexFile::encode(&covered, &entries).into()).unwrap();
        assert_eq!(file.covered, covered);
        assert_eq!(file.entries(), entries);
    }

    #[test]
    fn ft_5_a_file_cut_or_flipped_anywhere_is_refused() {
        let (covered, entries) = sample();
        let bytes = IndexFile::encode(&covered, &entries);
        for len in 0..bytes.len() {
            assert!(IndexFile::decode(bytes[..len].to_vec().into()).is_err());
            let mut flipped = bytes.clone();
            flipped[len] ^= 1 << (len % 8);
            assert!(IndexFile::decode(flipped.into()).is_err(), "byte {len}");
        }
    }

    #[test]
    fn the_last_entry_at_or_before_is_found() {
        let (_, entries) = sample();
        let index = Index::Memory(entries.clone());
        let at = |offset| index.last_where(|entry| entry.offset <= offset);
        assert_eq!(at(0), Some(entries[0]));
        assert_eq!(at(19), Some(entries[1]));
        assert_eq!(at(1000), Some(entries[3]));
        assert_eq!(index.last_where(|_| false), None);
        let after = |offset| index.first_after(|entry| entry.offset < offset);
        assert_eq!(after(0), Some(entries[0]));
        assert_eq!(after(entries[1].offset), Some(entries[1]));
        assert_eq!(after(entries[1].offset + 1), Some(entries[2]));
        assert_eq!(after(1000), None);
    }
}
