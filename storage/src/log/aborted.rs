//! The aborted transactions of a segment: those whose markers lie in it, in the order of these.
//! Their file, and how they are found again without it. Pure.

use std::collections::HashMap;

use bytes::Bytes;

use crate::log::Place;
use crate::log::reader::Hop;
use crate::log::transactions::{Effect, Transactions};
use crate::{AbortedTransaction, Marker, Offset};

/// A segment with so many aborted transactions is followed by a new one: what one log keeps of
/// them in memory is no more than 8 MiB.
pub(crate) const SEGMENT_MAX: usize = 1 << 18;

const MAGIC: &[u8; 8] = b"ratelabt";
const VERSION: u16 = 1;
const HEAD_BYTES: usize = 24;
const ENTRY_BYTES: usize = 32;
const FOOT_BYTES: usize = 4;

/// The contents of a segment's file, checked.
#[derive(Debug, Clone)]
pub(crate) struct AbortedFile {
    bytes: Bytes,
}

fn field<const N: usize>(bytes: &[u8], at: usize) -> [u8; N] {
    let mut field = [0; N];
    field.copy_from_slice(&bytes[at..at + N]);
    field
}

fn offset(bytes: &[u8], at: usize) -> Offset {
    Offset::new(i64::from_be_bytes(field(bytes, at)))
}

impl AbortedFile {
    /// The bytes of a file for the segment that begins at `base`.
    pub fn encode(base: Offset, all: &[AbortedTransaction]) -> Vec<u8> {
        let mut out = Vec::with_capacity(HEAD_BYTES + all.len() * ENTRY_BYTES + FOOT_BYTES);
        out.extend_from_slice(MAGIC);
        out.extend_from_slice(&VERSION.to_be_bytes());
        out.extend_from_slice(&[0; 2]);
        let count = u32::try_from(all.len()).expect("a segment has far fewer");
        out.extend_from_slice(&count.to_be_bytes());
        out.extend_from_slice(&base.get().to_be_bytes());
        for one in all {
            out.extend_from_slice(&one.producer_id.to_be_bytes());
            out.extend_from_slice(&one.first_offset.get().to_be_bytes());
            out.extend_from_slice(&one.last_offset.get().to_be_bytes());
            out.extend_from_slice(&one.stable_at_marker.get().to_be_bytes());
        }
        let crc = crc32c::crc32c(&out);
        out.extend_from_slice(&crc.to_be_bytes());
        out
    }

    /// Check a file of the segment that begins at `base`. An error only costs a walk.
    pub fn decode(bytes: Bytes, base: Offset) -> Result<Self, &'static str> {
        if bytes.len() < HEAD_BYTES + FOOT_BYTES {
            return Err("too short");
        }
        if &bytes[..8] != MAGIC || u16::from_be_bytes(field(&bytes, 8)) != VERSION {
            return Err("not a file of this kind and version");
        }
        let count = u32::from_be_bytes(field(&bytes, 12)) as usize;
        let foot = bytes.len() - FOOT_BYTES;
        if Some(foot) != count.checked_mul(ENTRY_BYTES).map(|len| len + HEAD_BYTES) {
            return Err("length does not fit the count");
        }
        if crc32c::crc32c(&bytes[..foot]) != u32::from_be_bytes(field(&bytes, foot)) {
            return Err("CRC does not match");
        }
        if offset(&bytes, 16) != base {
            return Err("another segment's");
        }
        Ok(Self { bytes })
    }

    fn len(&self) -> usize {
        (self.bytes.len() - HEAD_BYTES - FOOT_BYTES) / ENTRY_BYTES
    }

    fn entry(&self, at: usize) -> AbortedTransaction {
        let from = HEAD_BYTES + at * ENTRY_BYTES;
        AbortedTransaction {
            producer_id: i64::from_be_bytes(field(&self.bytes, from)),
            first_offset: offset(&self.bytes, from + 8),
            last_offset: offset(&self.bytes, from + 16),
            stable_at_marker: offset(&self.bytes, from + 24),
        }
    }

    /// All of them.
    pub fn entries(&self) -> Vec<AbortedTransaction> {
        (0..self.len()).map(|at| self.entry(at)).collect()
    }
}

/// A segment's aborted transactions, wherever they are.
#[derive(Debug, Clone)]
pub(crate) enum Aborted {
    /// In memory: mostly none at all.
    Memory(Vec<AbortedTransaction>),
    /// Mapped from the file.
    Mapped(AbortedFile),
}

impl Default for Aborted {
    fn default() -> Self {
        Self::Memory(Vec::new())
    }
}

impl Aborted {
    /// How many.
    pub fn len(&self) -> usize {
        match self {
            Self::Memory(all) => all.len(),
            Self::Mapped(file) => file.len(),
        }
    }

    fn entry(&self, at: usize) -> AbortedTransaction {
        match self {
            Self::Memory(all) => all[at],
            Self::Mapped(file) => file.entry(at),
        }
    }

    /// One more, behind the others.
    pub fn push(&mut self, one: AbortedTransaction) {
        if let Self::Mapped(file) = self {
            *self = Self::Memory(file.entries());
        }
        if let Self::Memory(all) = self {
            all.push(one);
        }
    }

    /// More, in front of the others.
    pub fn put_in_front(&mut self, mut front: Vec<AbortedTransaction>) {
        front.extend((0..self.len()).map(|at| self.entry(at)));
        *self = Self::Memory(front);
    }

    /// Others in the place of those whose markers lie before `point`.
    pub fn replace_before(&mut self, point: Offset, mut front: Vec<AbortedTransaction>) {
        let all = (0..self.len()).map(|at| self.entry(at));
        front.extend(all.filter(|one| one.last_offset >= point));
        *self = Self::Memory(front);
    }

    /// Those of which something lies in `from..to` go to `found`. Says whether there can be none
    /// in later segments.
    pub fn find(&self, from: Offset, to: Offset, found: &mut Vec<AbortedTransaction>) -> bool {
        let (mut low, mut high) = (0, self.len());
        while low < high {
            let middle = low + (high - low) / 2;
            if self.entry(middle).last_offset < from {
                low = middle + 1;
            } else {
                high = middle;
            }
        }
        for one in (low..self.len()).map(|at| self.entry(at)) {
            if one.first_offset < to {
                found.push(one);
            }
            // Whatever ends later began further on.
            if one.stable_at_marker >= to {
                return true;
            }
        }
        false
    }
}

/// Finds the aborted transactions of a log by going over its batches from the first.
#[derive(Debug, Default)]
pub(crate) struct Finder {
    began: HashMap<i64, Offset>,
    transactions: Transactions,
}

impl Finder {
    /// The next batch, and the marker that it is. Gives the transaction that it aborts, if any of
    /// it was seen.
    pub fn see(&mut self, hop: &Hop, marker: Option<&Marker>) -> Option<AbortedTransaction> {
        let header = &hop.header;
        let place = Place {
            offset: hop.base(),
            ..Place::default()
        };
        let effect = match marker {
            Some(marker) => {
                let first = self.began.remove(&marker.producer.id)?;
                Effect::Ended {
                    producer_id: marker.producer.id,
                    first,
                    outcome: marker.outcome,
                }
            }
            None if header.is_transactional() && !header.is_control() => {
                if self.began.contains_key(&header.producer_id) {
                    return None;
                }
                self.began.insert(header.producer_id, hop.base());
                Effect::Began
            }
            None => return None,
        };
        let aborted = self.transactions.note(effect, place);
        self.transactions.shown(hop.end_offset());
        aborted
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::Outcome;

    fn one(producer_id: i64, first: i64, last: i64, stable: i64) -> AbortedTransaction {
        AbortedTransaction {
            producer_id,
            first_offset: Offset::new(first),
            last_offset: Offset::new(last),
            stable_at_marker: Offset::new(stable),
        }
    }

    fn sample() -> Vec<AbortedTransaction> {
        vec![one(5, 1, 8, 2), one(6, 2, 9, 10), one(5, 12, 14, 15)]
    }

    /// Version 1 is out in the world: its bytes never change.
    #[test]
    fn ft_14_version_1_is_byte_for_byte_what_it_was() {
        let bytes = AbortedFile::encode(Offset::new(7), &sample()[..1]);
        let expected = [
            &b"ratelabt\0\x01\0\0\0\0\0\x01"[..],
            &[0, 0, 0, 0, 0, 0, 0, 7],
            &[0, 0, 0, 0, 0, 0, 0, 5, 0, 0, 0, 0, 0, 0, 0, 1],
            &[0, 0, 0, 0, 0, 0, 0, 8, 0, 0, 0, 0, 0, 0, 0, 2],
        ]
        .concat();
        assert_eq!(bytes[..bytes.len() - 4], expected);
    }

    #[test]
    fn ft_5_a_file_cut_or_flipped_anywhere_is_refused() {
        let base = Offset::new(7);
        let bytes = AbortedFile::encode(base, &sample());
        let whole = AbortedFile::decode(bytes.clone().into(), base).unwrap();
        assert_eq!(whole.entries(), sample());
        assert!(AbortedFile::decode(bytes.clone().into(), Offset::ZERO).is_err());
        for len in 0..bytes.len() {
            assert!(AbortedFile::decode(bytes[..len].to_vec().into(), base).is_err());
            let mut flipped = bytes.clone();
            flipped[len] ^= 1 << (len % 8);
            assert!(
                AbortedFile::decode(flipped.into(), base).is_err(),
                "byte {len}"
            );
        }
    }

    proptest! {
        /// Transactions of a few producers, any two segments, memory or file: what is found is
        /// what overlaps, and where the search ends nothing is missed (F-4).
        #[test]
        fn f_4_what_is_found_is_what_overlaps(
            steps in prop::collection::vec((0_i64..4, 0_u8..4), 0..60),
            cut in 0_usize..20,
            range in (0_i64..70, 0_i64..70),
            mapped in any::<bool>(),
        ) {
            let mut transactions = Transactions::default();
            let mut open = HashMap::new();
            let mut all = Vec::new();
            for (at, (id, what)) in steps.iter().enumerate() {
                let offset = Offset::new(at as i64);
                let place = Place { offset, ..Place::default() };
                let outcome = if *what == 0 { Outcome::Commit } else { Outcome::Abort };
                let effect = match (what, open.contains_key(id)) {
                    (0 | 1, true) => Effect::Ended {
                        producer_id: *id,
                        first: open.remove(id).unwrap(),
                        outcome,
                    },
                    (_, false) => {
                        open.insert(*id, offset);
                        Effect::Began
                    }
                    _ => Effect::None,
                };
                all.extend(transactions.note(effect, place));
            }
            let (from, to) = (Offset::new(range.0), Offset::new(range.1));
            // What is asked for is decided.
            let decided = open.values().min().copied().unwrap_or(Offset::new(100));
            let to = to.min(decided);
            let (first, second) = all.split_at(cut.min(all.len()));
            let mut found = Vec::new();
            for part in [first, second] {
                let bytes = AbortedFile::encode(Offset::ZERO, part);
                let file = AbortedFile::decode(bytes.into(), Offset::ZERO).unwrap();
                let part = if mapped {
                    Aborted::Mapped(file)
                } else {
                    Aborted::Memory(part.to_vec())
                };
                if part.find(from, to, &mut found) {
                    break;
                }
            }
            let overlaps = |one: &AbortedTransaction| {
                one.last_offset >= from && one.first_offset < to
            };
            let expected: Vec<_> = all.iter().filter(|one| overlaps(one)).copied().collect();
            prop_assert_eq!(found, expected);
        }
    }
}
