//! The last offset of each key, in bounded memory.
//!
//! A key is known by a hash of 128 bits under secret keys of its own: who writes the records
//! cannot find two keys that are taken for one.

use std::collections::hash_map::RandomState;
use std::hash::BuildHasher;

use crate::Offset;

/// Both halves of the hash, and the offset plus one: 0 is a free place.
type Slot = [u64; 3];

/// What one key takes.
pub(crate) const SLOT_BYTES: usize = size_of::<Slot>();

/// Kafka's `log.cleaner.io.buffer.load.factor` of 0.9: more makes searches long.
const LOAD_TENTHS: usize = 9;

/// Keys and their last offsets.
pub(crate) struct KeyMap {
    slots: Vec<Slot>,
    keys: usize,
    keys_max: usize,
    hashers: [RandomState; 2],
}

impl KeyMap {
    /// An empty map of at most `bytes_max` bytes, and with room for no more than `records_max`
    /// keys. There is room for one key in any case.
    pub fn new(bytes_max: usize, records_max: u64) -> Self {
        let wanted = usize::try_from(records_max).unwrap_or(usize::MAX);
        let wanted = wanted.saturating_add(1).saturating_mul(10) / LOAD_TENTHS + 1;
        let slots = (bytes_max / SLOT_BYTES).min(wanted).max(2);
        Self {
            // Zeros come from the system as they are used.
            slots: vec![[0; 3]; slots],
            keys: 0,
            keys_max: (slots * LOAD_TENTHS / 10).max(1),
            hashers: [RandomState::new(), RandomState::new()],
        }
    }

    /// Bytes of memory.
    pub fn bytes(&self) -> usize {
        self.slots.len() * SLOT_BYTES
    }

    fn find(&self, key: &[u8]) -> (usize, [u64; 2]) {
        let hash = [self.hashers[0].hash_one(key), self.hashers[1].hash_one(key)];
        let wide = u128::from(hash[0]) * self.slots.len() as u128;
        let mut at = (wide >> 64) as usize;
        // One place is always free.
        while self.slots[at][2] != 0 && self.slots[at][..2] != hash {
            at = if at + 1 == self.slots.len() {
                0
            } else {
                at + 1
            };
        }
        (at, hash)
    }

    /// Note that a record with this key lies at `offset`, which no earlier one is above. False if
    /// the map is full.
    #[must_use]
    pub fn put(&mut self, key: &[u8], offset: Offset) -> bool {
        let (at, hash) = self.find(key);
        if self.slots[at][2] == 0 {
            if self.keys == self.keys_max {
                return false;
            }
            self.keys += 1;
        }
        self.slots[at] = [hash[0], hash[1], offset.get().cast_unsigned() + 1];
        true
    }

    /// The last offset that was noted of this key.
    pub fn get(&self, key: &[u8]) -> Option<Offset> {
        let (at, _) = self.find(key);
        let stored = self.slots[at][2];
        (stored != 0).then(|| Offset::new((stored - 1).cast_signed()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn c_2_the_last_offset_of_each_key_is_kept() {
        let mut map = KeyMap::new(1 << 20, 1000);
        for n in 0..1000_i64 {
            assert!(map.put(&(n % 300).to_be_bytes(), Offset::new(n)));
        }
        for key in 0..300_i64 {
            let last = (0..1000).rev().find(|n| n % 300 == key);
            assert_eq!(map.get(&key.to_be_bytes()), last.map(Offset::new));
        }
        assert_eq!(map.get(b"another"), None);
    }

    #[test]
    fn memory_is_bounded_whatever_the_number_of_keys() {
        let bytes = 24_000;
        let mut map = KeyMap::new(bytes, 10_000_000);
        assert!(map.bytes() <= bytes);
        let taken = (0..10_000_000_i64)
            .take_while(|n| map.put(&n.to_be_bytes(), Offset::new(*n)))
            .count();
        assert_eq!(taken, 900, "nine tenths of a thousand places");
        assert!(
            map.put(&5_i64.to_be_bytes(), Offset::new(5000)),
            "a known key"
        );
        assert_eq!(map.get(&5_i64.to_be_bytes()), Some(Offset::new(5000)));
    }

    #[test]
    fn few_records_take_little_and_the_smallest_map_holds_a_key() {
        assert!(KeyMap::new(1 << 30, 10).bytes() < 1000);
        let mut map = KeyMap::new(0, 10);
        assert!(map.put(b"a", Offset::ZERO));
        assert!(!map.put(b"b", Offset::ZERO));
        assert_eq!(map.get(b"a"), Some(Offset::ZERO));
    }
}
