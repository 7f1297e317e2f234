//! What a cleaning leaves of one batch. Pure.

use std::collections::HashMap;

use bytes::Bytes;

use crate::batch::{BatchHeader, CRC_FROM, DELETE_HORIZON, HEADER_BYTES};
use crate::log::compaction::ended::Ended;
use crate::log::compaction::map::{FETCH_KEYS, Hash, KeyMap};
use crate::record::pack::Packer;
use crate::record::raw;
use crate::record::unpack::Unpacker;
use crate::{Batch, Offset, StorageError};

/// The memory of one batch's records that is kept for the next.
const BODY_BYTES_KEPT: usize = 4 << 20;

/// What is left.
#[derive(Debug, Clone)]
pub(crate) enum Left {
    /// All of it, byte for byte.
    Whole,
    /// Some records, or none: the batch is kept for its producer's sake.
    Part(Batch),
    /// Nothing.
    Nothing,
}

/// The last batch of a producer that the log remembers: it stays, if only empty, so that the
/// producer's sequence can be found again (C-2).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct LastBatch {
    /// The producer's epoch.
    pub epoch: i16,
    /// The last offset of its last data batch; `None` if only a marker is known of it.
    pub last: Option<Offset>,
}

/// What decides.
pub(crate) struct Rules<'a> {
    /// The last offset of each key of the part that was mapped.
    pub map: &'a KeyMap,
    /// Above this offset nothing was mapped, and everything stays.
    pub mapped: Offset,
    /// Producers that are remembered.
    pub producers: &'a HashMap<i64, LastBatch>,
    /// Wall time, ms.
    pub now_ms: i64,
    /// `delete.retention.ms`.
    pub delete_retention_ms: i64,
}

/// What one batch leaves for the next: memory, and what is dear to make.
#[derive(Default)]
pub(crate) struct Scratch {
    unpacker: Unpacker,
    packer: Packer,
    /// Never more than [`FETCH_KEYS`], however many records a batch has.
    hashes: Vec<Option<Hash>>,
    body: Vec<u8>,
}

/// Records that stay, and what they say together.
#[derive(Default)]
struct Kept<'a> {
    records: Vec<raw::Raw<'a>>,
    has_tombstone: bool,
}

impl Rules<'_> {
    /// What is left of the next batch.
    ///
    /// # Errors
    /// [`StorageError::InvalidBatch`] if its records cannot be read.
    pub fn apply(
        &self,
        batch: &Batch,
        ended: &mut Ended,
        scratch: &mut Scratch,
    ) -> Result<Left, StorageError> {
        let header = batch.header();
        let may_go = ended.see(batch);
        if header.base_offset > self.mapped.get() {
            return Ok(Left::Whole);
        }
        let is_past = header
            .delete_horizon_ms()
            .is_some_and(|horizon| horizon <= self.now_ms);
        // Markers wait for their horizon as tombstones do (C-4).
        let goes = may_go && (!header.is_control() || is_past);
        if goes || header.count == 0 {
            return self.emptied(header);
        }
        let Scratch {
            unpacker,
            packer,
            hashes,
            body,
        } = scratch;
        let has_horizon = header.delete_horizon_ms().is_some();
        if header.is_control() && (!may_go || has_horizon) {
            return Ok(Left::Whole);
        }
        let records = raw::records(header, unpacker.unpack(batch)?);
        if header.is_control() {
            let marker: Vec<_> = records.collect::<Result<_, _>>()?;
            return self.rewrite(header, &marker, true, packer, body);
        }
        let kept = self.keep(header, records, is_past, hashes)?;
        if kept.records.is_empty() {
            return self.emptied(header);
        }
        let needs_horizon = kept.has_tombstone && !has_horizon;
        if kept.records.len() == usize::try_from(header.count).unwrap_or(0) && !needs_horizon {
            return Ok(Left::Whole);
        }
        self.rewrite(header, &kept.records, needs_horizon, packer, body)
    }

    /// The records that stay: the last of each key, tombstones until their horizon (C-2, C-3).
    /// Those that go take no memory: a batch may unfold to millions.
    fn keep<'a>(
        &self,
        header: &BatchHeader,
        mut records: raw::Raws<'a>,
        is_past: bool,
        hashes: &mut Vec<Option<Hash>>,
    ) -> Result<Kept<'a>, StorageError> {
        let base = Offset::new(header.base_offset);
        let mut kept = Kept::default();
        let all = &mut kept.records;
        loop {
            let from = all.len();
            for record in records.by_ref().take(FETCH_KEYS) {
                all.push(record?);
            }
            if all.len() == from {
                return Ok(kept);
            }
            hashes.clear();
            let keys = all[from..].iter().map(|record| record.key);
            hashes.extend(keys.map(|key| key.map(|key| self.map.hash(key))));
            self.map.fetch(hashes.iter().flatten().copied());
            let mut end = from;
            for (at, hash) in (from..).zip(&*hashes) {
                let record = all[at];
                let offset = base.plus(i64::from(record.offset_delta));
                let stays = offset > self.mapped
                    || hash.is_some_and(|hash| {
                        self.map.get(hash).is_none_or(|last| offset >= last)
                            && (record.has_value || !is_past)
                    });
                if stays {
                    kept.has_tombstone |= !record.has_value;
                    all[end] = record;
                    end += 1;
                }
            }
            all.truncate(end);
        }
    }

    /// Nothing, or the bare header if the producer's sequence is known from it (C-2).
    fn emptied(&self, header: &BatchHeader) -> Result<Left, StorageError> {
        let known = self.producers.get(&header.producer_id);
        let last = header.base_offset + i64::from(header.last_offset_delta);
        let stays = header.producer_id >= 0
            && known.is_some_and(|known| match known.last {
                Some(offset) => offset.get() == last,
                None => header.is_control() && known.epoch == header.producer_epoch,
            });
        match stays {
            false => Ok(Left::Nothing),
            true if header.count == 0 => Ok(Left::Whole),
            true => {
                // No record is left to be packed, nor one that waits for a horizon.
                let empty = BatchHeader {
                    count: 0,
                    attributes: header.attributes & !(0x07 | DELETE_HORIZON),
                    base_timestamp: header.max_timestamp,
                    ..*header
                };
                finish(empty, &[]).map(Left::Part)
            }
        }
    }

    /// The batch with these records alone. Base offset, last offset, sequence and codec stay.
    fn rewrite(
        &self,
        header: &BatchHeader,
        records: &[raw::Raw<'_>],
        sets_horizon: bool,
        packer: &mut Packer,
        body: &mut Vec<u8>,
    ) -> Result<Left, StorageError> {
        let mut changed = *header;
        changed.count = i32::try_from(records.len()).unwrap_or(i32::MAX);
        let newest = records.iter().map(|record| record.timestamp_delta).max();
        if !header.is_log_append_time() {
            changed.max_timestamp = header.base_timestamp.saturating_add(newest.unwrap_or(0));
        }
        body.clear();
        body.shrink_to(BODY_BYTES_KEPT);
        if sets_horizon {
            changed.attributes |= DELETE_HORIZON;
            changed.base_timestamp = self.now_ms.saturating_add(self.delete_retention_ms);
            let shift_ms = header.base_timestamp.saturating_sub(changed.base_timestamp);
            for record in records {
                record.put_shifted(body, shift_ms)?;
            }
        } else {
            for record in records {
                body.extend_from_slice(record.bytes);
            }
        }
        finish(changed, packer.pack(header.codec(), body)?).map(Left::Part)
    }
}

/// A batch of this header and these records, compressed as the header says.
pub(super) fn finish(mut header: BatchHeader, body: &[u8]) -> Result<Batch, StorageError> {
    header.bytes = HEADER_BYTES + body.len();
    let mut bytes = Vec::with_capacity(header.bytes);
    bytes.extend_from_slice(&header.encode());
    bytes.extend_from_slice(body);
    let crc = crc32c::crc32c(&bytes[CRC_FROM..]);
    bytes[CRC_FROM - 4..CRC_FROM].copy_from_slice(&crc.to_be_bytes());
    Batch::parse(Bytes::from(bytes), usize::MAX)
}

/// A batch that stands for the offsets from `base` up to `end`, whose batches are gone: so that
/// the offsets of a log never have a gap, and a walk still tells what is lost from what was
/// cleaned.
///
/// # Errors
/// [`StorageError::InvalidBatch`] if that is more than a batch can say.
pub(crate) fn filler(base: Offset, end: Offset, leader_epoch: i32) -> Result<Batch, StorageError> {
    let delta = i32::try_from(end.get() - base.get() - 1)
        .map_err(|_| StorageError::InvalidBatch("a hole of more than 2^31 offsets"))?;
    let header = BatchHeader {
        base_offset: base.get(),
        bytes: HEADER_BYTES,
        leader_epoch,
        crc: 0,
        attributes: 0,
        last_offset_delta: delta,
        base_timestamp: -1,
        max_timestamp: -1,
        producer_id: -1,
        producer_epoch: -1,
        base_sequence: -1,
        count: 0,
    };
    finish(header, &[])
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use super::*;
    use crate::BatchBuilder;

    /// A compressed batch of a MiB may hold millions.
    #[test]
    fn records_that_go_take_no_memory() {
        let mut builder = BatchBuilder::new(0);
        (0..10_000).for_each(|_| builder.record(Some(b"k"), Some(b"v")));
        let batch = builder.build().unwrap();
        let last = batch.header().last_offset_delta;
        let mut map = KeyMap::new(1000, 10, Offset::ZERO);
        assert!(map.put(map.hash(b"k"), Offset::new(i64::from(last))));
        let rules = Rules {
            map: &map,
            mapped: Offset::new(i64::from(last)),
            producers: &HashMap::new(),
            now_ms: 0,
            delete_retention_ms: 0,
        };
        let (packed, mut hashes) = (batch.packed_records(), Vec::new());
        let records = raw::records(batch.header(), &packed);
        let kept = rules.keep(batch.header(), records, false, &mut hashes);
        let kept = kept.unwrap().records;
        assert_eq!((kept.len(), kept[0].offset_delta), (1, last));
        let memory = kept.capacity().max(hashes.capacity());
        assert!(memory <= 2 * FETCH_KEYS, "{memory}");
    }
}
