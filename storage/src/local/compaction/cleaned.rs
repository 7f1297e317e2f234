//! The file `cleaned` in a log's directory: how far the log was cleaned, and which new segments
//! are in the place of old ones that the checkpoint may still tell of.
//!
//! The order of a swap, and why a crash at any step loses nothing:
//!
//! 1. The new segment is written beside the old ones as `<base>.log.cleaned`; it and
//!    its entry in the directory are synced. A start that finds one which `cleaned` does not name
//!    removes it.
//! 2. `cleaned` is replaced, durably, by one that names it: from here on the new one counts. A
//!    start does steps 4 and 5 itself, and takes what `cleaned` says of the segment for what the
//!    checkpoint says of the old ones.
//! 3. Readers are given the new one. Those that hold an old file go on reading it.
//! 4. `<base>.log.cleaned` gets the name `<base>.log`.
//! 5. The other old segments, and all that was derived from old ones, are removed, and the
//!    directory is synced.
//! 6. Once a checkpoint tells of the new one, `cleaned` names it no longer.
//!
//! Only segments in front of the checkpoint's recovery point are cleaned, and only when no journal
//! holds bytes of them: nothing that a start brings home is of an old one.

use std::io::ErrorKind;
use std::path::Path;

use crate::disk::{Disk, Entry};
use crate::local::checkpoint::{self, Section};
use crate::local::fields::{Fields, begin, seal, unseal};
use crate::local::{aborted, cut, files, io};
use crate::log::segment::{self, Facts};
use crate::{Offset, StorageError};

const MAGIC: &[u8; 8] = b"ratelcmp";
const VERSION: u16 = 1;

/// The file's name.
pub(crate) const CLEANED: &str = "cleaned";
/// What a new segment's file ends in until it is in its place.
pub(crate) const BESIDE: &str = "log.cleaned";

/// A new segment that took the place of others.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Swap {
    /// The new segment.
    pub facts: Facts,
    /// One past the last offset of those that it replaced.
    pub end: Offset,
}

/// What the file says.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Cleaned {
    /// Everything below was cleaned.
    pub to: Offset,
    /// New segments of which no checkpoint tells yet.
    pub swaps: Vec<Swap>,
}

impl Cleaned {
    /// The bytes of the file.
    pub fn encode(&self) -> Vec<u8> {
        let mut out = begin(MAGIC, VERSION);
        out.extend_from_slice(&self.to.get().to_be_bytes());
        let count = u32::try_from(self.swaps.len()).unwrap_or(0);
        out.extend_from_slice(&count.to_be_bytes());
        for swap in &self.swaps {
            out.extend_from_slice(&swap.end.get().to_be_bytes());
            checkpoint::put_facts(&mut out, &swap.facts);
        }
        seal(out)
    }

    fn decode(body: &[u8]) -> Option<Self> {
        let mut fields = Fields(body);
        let to = Offset::new(fields.i64()?);
        let swap = |fields: &mut Fields<'_>| {
            let end = Offset::new(fields.i64()?);
            Some(Swap {
                end,
                facts: checkpoint::facts(fields)?,
            })
        };
        let swaps = (0..fields.count(checkpoint::SEGMENT_BYTES + 8)?)
            .map(|_| swap(&mut fields))
            .collect::<Option<_>>()?;
        Some(Self { to, swaps })
    }

    /// Nothing at or above this was cleaned.
    pub fn reached(&self) -> Offset {
        let swapped = self.swaps.iter().map(|swap| swap.end);
        swapped.fold(self.to, Offset::max)
    }

    /// Note a new segment. Those that it replaced in turn are no longer named.
    pub fn add(&mut self, swap: Swap) {
        self.swaps
            .retain(|old| old.facts.base < swap.facts.base || old.facts.base >= swap.end);
        self.swaps.push(swap);
    }

    /// Whether this file that has not got its name yet is a new segment.
    pub fn names(&self, entry: &Entry) -> bool {
        self.swaps.iter().any(|swap| swap.is(entry))
    }

    /// What the checkpoint should say of the segments.
    pub fn correct(&self, section: &mut Section) {
        for swap in &self.swaps {
            let is_replaced = |facts: &Facts| swap.covers(facts.base);
            let first = section.segments.iter().position(is_replaced);
            let Some(first) = first else {
                continue;
            };
            section.segments.retain(|facts| !is_replaced(facts));
            section.segments.insert(first, swap.facts);
            let before = section.aborted.len();
            section.aborted.retain(|(base, _)| !swap.covers(*base));
            if section.aborted.len() != before {
                // There is no file of so many: they are found again in the log.
                section.aborted.push((swap.facts.base, u32::MAX));
            }
        }
    }
}

impl Swap {
    /// Whether a segment of this base offset is the new one or one that it replaced.
    pub fn covers(&self, base: Offset) -> bool {
        (self.facts.base..self.end).contains(&base)
    }

    /// Whether this is the new segment's file, with or without its name.
    fn is(&self, entry: &Entry) -> bool {
        let named = segment::base_of(&entry.name, "log");
        let base = named.or_else(|| segment::base_of(&entry.name, BESIDE));
        base == Some(self.facts.base) && entry.len == self.facts.size
    }
}

/// What the file in a log's directory says; `None` if it is there and cannot be used. `entries` are
/// the directory's: a swap whose new segment is not among them counts for nothing. Retention took
/// it, or it is lost; then whatever there is of the old ones is all that there is.
///
/// # Errors
/// Any failure to read.
pub(crate) fn read(
    disk: &dyn Disk,
    dir: &Path,
    entries: &[Entry],
) -> Result<Option<Cleaned>, StorageError> {
    let path = dir.join(CLEANED);
    let Some(bytes) = files::read(disk, &path).map_err(io)? else {
        return Ok(Some(Cleaned::default()));
    };
    let cleaned =
        unseal(&bytes, MAGIC, VERSION).and_then(|body| Cleaned::decode(&body).ok_or("cut short"));
    match cleaned {
        Ok(mut cleaned) => {
            cleaned
                .swaps
                .retain(|swap| entries.iter().any(|entry| swap.is(entry)));
            Ok(Some(cleaned))
        }
        Err(why) => {
            tracing::warn!("{}: {why}", path.display());
            Ok(None)
        }
    }
}

/// Finish what a crash left half done, and remove what it left over. `entries` are the
/// directory's. Says whether anything was changed; then it is durable.
///
/// # Errors
/// Any failure to rename, remove or sync.
pub(crate) fn mend(
    disk: &dyn Disk,
    dir: &Path,
    entries: &[Entry],
    cleaned: &Cleaned,
) -> Result<bool, StorageError> {
    let mut is_changed = false;
    if !cleaned.swaps.is_empty() {
        // The file itself may be seen without being durable yet: nothing goes before it is.
        disk.sync_dir(dir).map_err(io)?;
    }
    let beside = entries
        .iter()
        .filter_map(|entry| Some((entry, segment::base_of(&entry.name, BESIDE)?)));
    for (entry, base) in beside {
        let from = segment::path(dir, base, BESIDE);
        if cleaned.names(entry) {
            disk.rename(&from, &segment::path(dir, base, "log"))
                .map_err(io)?;
        } else {
            cut::remove(disk, &from)?;
        }
        is_changed = true;
    }
    for swap in &cleaned.swaps {
        is_changed |= remove_replaced(disk, dir, entries, swap)?;
    }
    if is_changed {
        disk.sync_dir(dir).map_err(io)?;
    }
    Ok(is_changed)
}

/// Whether [`mend`] would find something to do, apart from indexes.
pub(crate) fn is_unfinished(entries: &[Entry], cleaned: &Cleaned) -> bool {
    entries.iter().any(|entry| {
        let replaced = |swap: &Swap| {
            let base = segment::base_of(&entry.name, "log");
            base.is_some_and(|base| base != swap.facts.base && swap.covers(base))
        };
        segment::base_of(&entry.name, BESIDE).is_some() || cleaned.swaps.iter().any(replaced)
    })
}

/// Remove the files of replaced segments: all but the one that has the new segment's name, and
/// everything derived.
fn remove_replaced(
    disk: &dyn Disk,
    dir: &Path,
    entries: &[Entry],
    swap: &Swap,
) -> Result<bool, StorageError> {
    let mut is_changed = false;
    for entry in entries {
        let log = segment::base_of(&entry.name, "log").filter(|base| *base != swap.facts.base);
        let derived = || {
            let mut endings = ["index", aborted::ENDING].iter();
            endings.find_map(|ending| segment::base_of(&entry.name, ending))
        };
        let base = log.or_else(derived);
        if base.is_some_and(|base| swap.covers(base)) {
            cut::remove(disk, &dir.join(&entry.name))?;
            is_changed = true;
        }
    }
    Ok(is_changed)
}

/// Steps 4 and 5: the new segment gets its name, the old ones go.
///
/// # Errors
/// Any failure of the disk.
pub(crate) fn settle(
    disk: &dyn Disk,
    dir: &Path,
    base: Offset,
    old: &[Offset],
) -> std::io::Result<()> {
    let remove = |base, ending| match disk.remove_file(&segment::path(dir, base, ending)) {
        Err(error) if error.kind() != ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    };
    // Nothing derived from the old one may be taken for something of the new.
    remove(base, "index")?;
    remove(base, aborted::ENDING)?;
    disk.rename(
        &segment::path(dir, base, BESIDE),
        &segment::path(dir, base, "log"),
    )?;
    for old in old.iter().filter(|old| **old != base) {
        remove(*old, "index")?;
        remove(*old, aborted::ENDING)?;
        remove(*old, "log")?;
    }
    disk.sync_dir(dir)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn swap(base: i64, end: i64) -> Swap {
        Swap {
            facts: Facts {
                base: Offset::new(base),
                size: 77,
                max_timestamp: 1,
                first_timestamp: 2,
                created_ms: 3,
                appended_ms: 4,
            },
            end: Offset::new(end),
        }
    }

    /// Version 1 is out in the world: its bytes never change.
    #[test]
    fn ft_14_version_1_is_byte_for_byte_what_it_was() {
        let cleaned = Cleaned {
            to: Offset::new(258),
            swaps: vec![swap(5, 9)],
        };
        let bytes = cleaned.encode();
        assert_eq!(
            bytes[..24],
            *b"ratelcmp\0\x01\0\0\0\0\0\0\0\0\x01\x02\0\0\0\x01"
        );
        assert_eq!((bytes.len(), bytes[31]), (84, 9));
        assert_eq!(Cleaned::decode(&bytes[12..80]), Some(cleaned));
    }

    #[test]
    fn a_new_segment_is_named_instead_of_those_that_it_replaced() {
        let mut cleaned = Cleaned::default();
        for (base, end) in [(0, 5), (5, 9), (9, 12), (0, 9)] {
            cleaned.add(swap(base, end));
        }
        assert_eq!(cleaned.swaps, [swap(9, 12), swap(0, 9)]);
    }
}
