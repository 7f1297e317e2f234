//! The last offset of each key, in bounded memory.
//!
//! A key is known by 88 bits of a hash under secret keys of its own: who writes the records cannot
//! find two keys that are taken for one. Of as many as fit into 128 MiB, two are by chance once in
//! 10^13 cleanings; one of 10^9 that were cleaned before is taken for one of these once in 10^10.
//! So a key takes 16 bytes, of which four lie in one line of the processor's cache.

use std::collections::hash_map::RandomState;
use std::hash::BuildHasher;

use crate::Offset;

/// A key's hash.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Hash {
    /// Also where to look first.
    wide: u64,
    /// The rest, in the place that it has in a slot.
    tag: u64,
}

/// The hash, and in the low bits of the second half the offset's distance from the map's first,
/// plus one: 0 is a free place.
type Slot = [u64; 2];

/// Bits of that distance.
const DISTANCE_BITS: u32 = 40;
const DISTANCE_MASK: u64 = (1 << DISTANCE_BITS) - 1;

/// What one key takes.
pub(crate) const SLOT_BYTES: usize = size_of::<Slot>();

/// How many keys are looked for at once.
pub(crate) const FETCH_KEYS: usize = 64;

/// Kafka's `log.cleaner.io.buffer.load.factor` of 0.9: more makes searches long.
const LOAD_TENTHS: usize = 9;

/// Keys and their last offsets.
pub(crate) struct KeyMap {
    slots: Vec<Slot>,
    first: Offset,
    keys: usize,
    keys_max: usize,
    hashers: [RandomState; 2],
}

impl KeyMap {
    /// An empty map for offsets from `first` on of at most `bytes_max` bytes, and with room for no
    /// more than `records_max` keys. There is room for one key in any case.
    pub fn new(bytes_max: usize, records_max: u64, first: Offset) -> Self {
        let wanted = usize::try_from(records_max).unwrap_or(usize::MAX);
        let wanted = wanted.saturating_add(1).saturating_mul(10) / LOAD_TENTHS + 1;
        let slots = (bytes_max / SLOT_BYTES).min(wanted).max(2);
        Self {
            // Zeros come from the system as they are used.
            slots: vec![[0; 2]; slots],
            first,
            keys: 0,
            keys_max: (slots * LOAD_TENTHS / 10).max(1),
            hashers: [RandomState::new(), RandomState::new()],
        }
    }

    /// Bytes of memory.
    pub fn bytes(&self) -> usize {
        self.slots.len() * SLOT_BYTES
    }

    /// By what a key is known.
    pub fn hash(&self, key: &[u8]) -> Hash {
        Hash {
            wide: self.hashers[0].hash_one(key),
            tag: self.hashers[1].hash_one(key) & !DISTANCE_MASK,
        }
    }

    fn home(&self, hash: Hash) -> usize {
        let scaled = u128::from(hash.wide) * self.slots.len() as u128;
        (scaled >> 64) as usize
    }

    /// Have the memory at hand of keys that are looked for next: the processor waits for all of it
    /// once, and not for each key in turn.
    pub fn fetch(&self, hashes: impl Iterator<Item = Hash>) {
        let read = hashes.fold(0, |read, hash| read ^ self.slots[self.home(hash)][1]);
        std::hint::black_box(read);
    }

    fn find(&self, hash: Hash) -> usize {
        let mut at = self.home(hash);
        // One place is always free.
        loop {
            let [wide, rest] = self.slots[at];
            let is_it = wide == hash.wide && rest & !DISTANCE_MASK == hash.tag;
            if rest & DISTANCE_MASK == 0 || is_it {
                return at;
            }
            at = if at + 1 == self.slots.len() {
                0
            } else {
                at + 1
            };
        }
    }

    /// Note that a record with this key lies at `offset`, which no earlier one is above. False if
    /// the map is full, or the offset too far from its first.
    #[must_use]
    pub fn put(&mut self, hash: Hash, offset: Offset) -> bool {
        let distance = offset.get().wrapping_sub(self.first.get()).cast_unsigned();
        if distance >= DISTANCE_MASK {
            return false;
        }
        let at = self.find(hash);
        if self.slots[at][1] & DISTANCE_MASK == 0 {
            if self.keys == self.keys_max {
                return false;
            }
            self.keys += 1;
        }
        self.slots[at] = [hash.wide, hash.tag | (distance + 1)];
        true
    }

    /// The last offset that was noted of this key.
    pub fn get(&self, hash: Hash) -> Option<Offset> {
        let stored = self.slots[self.find(hash)][1] & DISTANCE_MASK;
        let distance = stored.checked_sub(1)?;
        Some(self.first.plus(distance.cast_signed()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn put(map: &mut KeyMap, key: &[u8], offset: i64) -> bool {
        map.put(map.hash(key), Offset::new(offset))
    }

    fn get(map: &KeyMap, key: &[u8]) -> Option<i64> {
        map.get(map.hash(key)).map(Offset::get)
    }

    #[test]
    fn c_2_the_last_offset_of_each_key_is_kept() {
        let first = i64::MAX - 2000;
        let mut map = KeyMap::new(1 << 20, 1000, Offset::new(first));
        for n in 0..1000_i64 {
            assert!(put(&mut map, &(n % 300).to_be_bytes(), first + n));
        }
        for key in 0..300_i64 {
            let last = (0..1000).rev().find(|n| n % 300 == key);
            let last = last.map(|n| first + n);
            assert_eq!(get(&map, &key.to_be_bytes()), last);
        }
        assert_eq!(get(&map, b"another"), None);
    }

    #[test]
    fn memory_is_bounded_whatever_the_number_of_keys() {
        let bytes = 16_000;
        let mut map = KeyMap::new(bytes, 10_000_000, Offset::ZERO);
        assert!(map.bytes() <= bytes);
        let taken = (0..10_000_000_i64)
            .take_while(|n| put(&mut map, &n.to_be_bytes(), *n))
            .count();
        assert_eq!(taken, 900, "nine tenths of a thousand places");
        assert!(put(&mut map, &5_i64.to_be_bytes(), 5000), "a known key");
        assert_eq!(get(&map, &5_i64.to_be_bytes()), Some(5000));
    }

    #[test]
    fn few_records_take_little_and_the_smallest_map_holds_a_key() {
        assert!(KeyMap::new(1 << 30, 10, Offset::ZERO).bytes() < 1000);
        let mut map = KeyMap::new(0, 10, Offset::ZERO);
        assert!(put(&mut map, b"a", 0));
        assert!(!put(&mut map, b"b", 0));
        assert_eq!(get(&map, b"a"), Some(0));
    }

    #[test]
    fn an_offset_too_far_from_the_first_is_for_another_map() {
        let mut map = KeyMap::new(1000, 10, Offset::new(7));
        let last = 7 + (1 << DISTANCE_BITS) - 2;
        assert!(put(&mut map, b"a", last));
        assert!(!put(&mut map, b"a", last + 1));
        assert!(!put(&mut map, b"a", 6), "nor one in front of it");
        assert_eq!(get(&map, b"a"), Some(last));
    }
}
