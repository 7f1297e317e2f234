//! Compaction (C-1 to C-4): of each key the last record stays, and nothing changes its offset.
//!
//! 1. [`choose`] says how much of a log is new since the last cleaning, and whether that is
//!    enough. Only whole segments count that are sealed, decided, durable, and old enough.
//! 2. [`map_keys`] notes the last offset of each key of the new part ([`map::KeyMap`]). When the
//!    map is full it ends there; the rest is for the next cleaning. So memory is bounded whatever
//!    the number of keys.
//! 3. [`copy`] goes over all segments from the log's first to where the map ends. What
//!    [`filter::Rules`] leaves of each batch goes into a new file; batches of which everything is
//!    left are copied as they are. Small segments next to each other become one.
//! 4. Whoever called puts the new file into the place of the old ones (`local/compaction/`).
//!
//! Where batches went, a batch without records stands for their offsets ([`filter::filler`]). So
//! the offsets of a log have no gap, and recovery and reads go on telling damage from cleaning.
//!
//! Records are hostile input: what cannot be read ends the cleaning of that log with an error.

pub(crate) mod choose;
pub(crate) mod copy;
pub(crate) mod ended;
pub(crate) mod filter;
pub(crate) mod map;

use std::sync::Arc;

use crate::disk::File;
use crate::log::compaction::copy::BatchReader;
use crate::log::compaction::ended::Ended;
use crate::log::compaction::map::{Hash, KeyMap};
use crate::record::raw;
use crate::record::unpack::Unpacker;
use crate::{Batch, Offset, Position, StorageError};

/// A sealed segment to be cleaned.
#[derive(Debug, Clone)]
pub(crate) struct Source {
    /// Its base offset.
    pub base: Offset,
    /// One past its last offset.
    pub end: Offset,
    /// Its bytes.
    pub size: Position,
    /// Its file.
    pub file: Arc<dyn File>,
}

/// Hears of bytes that were read or written; an error ends the cleaning.
pub(crate) type Pace<'a> = &'a mut dyn FnMut(u64) -> Result<(), StorageError>;

/// Note the keys of everything from `from` on, in segments in order, and give the last offset up
/// to which that was done: the last of the segments, or where the map was full.
///
/// # Errors
/// [`StorageError::Io`]; [`StorageError::CorruptBatch`] and [`StorageError::InvalidBatch`] for
/// what is no batch or record; what `pace` gives.
pub(crate) fn map_keys(
    map: &mut KeyMap,
    sources: &[Source],
    from: Offset,
    ended: &mut Ended,
    pace: Pace<'_>,
) -> Result<Offset, StorageError> {
    let mut mapped = from.plus(-1);
    let mut scratch = Scratch::default();
    for source in sources {
        let mut reader = BatchReader::new(source);
        while let Some(batch) = reader.next()? {
            pace(batch.bytes().len() as u64)?;
            let is_aborted = ended.see(&batch) && !batch.header().is_control();
            let last = reader.expected().plus(-1);
            if last < from {
                continue;
            }
            if !is_aborted && !map_batch(map, &batch, from, &mut mapped, &mut scratch)? {
                return Ok(mapped);
            }
            mapped = mapped.max(last);
        }
    }
    Ok(mapped)
}

/// What the mapping of one batch leaves for the next.
#[derive(Default)]
struct Scratch {
    unpacker: Unpacker,
    /// Never more than [`map::FETCH_KEYS`], however many records a batch has.
    found: Vec<(Option<Hash>, Offset)>,
}

/// Note the keys of one batch. False if the map is full; `mapped` says how far it came.
fn map_batch(
    map: &mut KeyMap,
    batch: &Batch,
    from: Offset,
    mapped: &mut Offset,
    scratch: &mut Scratch,
) -> Result<bool, StorageError> {
    let header = batch.header();
    if header.is_control() {
        return Ok(true);
    }
    let Scratch { unpacker, found } = scratch;
    let mut records = raw::records(header, unpacker.unpack(batch)?);
    loop {
        found.clear();
        for record in records.by_ref().take(map::FETCH_KEYS) {
            let record = record?;
            let offset = Offset::new(header.base_offset).plus(i64::from(record.offset_delta));
            found.push((record.key.map(|key| map.hash(key)), offset));
        }
        if found.is_empty() {
            return Ok(true);
        }
        map.fetch(found.iter().filter_map(|(hash, _)| *hash));
        for (hash, offset) in found.iter().filter(|(_, offset)| *offset >= from) {
            if hash.is_some_and(|hash| !map.put(hash, *offset)) {
                return Ok(false);
            }
            *mapped = (*mapped).max(*offset);
        }
    }
}

#[cfg(test)]
mod tests;
