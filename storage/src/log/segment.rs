//! One segment: a file of nothing but v2 batches, and what is known of it.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::batch::BatchHeader;
use crate::disk::File;
use crate::log::aborted::Aborted;
use crate::log::index::{Covered, Entry, Index, IndexFile, NO_TIMESTAMP, interval};
use crate::log::ranges::Ranges;
use crate::{Offset, Position};

/// The path of a segment's file with the given ending: `<20 digits>.log`.
pub(crate) fn path(dir: &Path, base: Offset, ending: &str) -> PathBuf {
    dir.join(format!("{:020}.{ending}", base.get()))
}

/// The base offset in a file name with the given ending.
pub(crate) fn base_of(name: &str, ending: &str) -> Option<Offset> {
    let digits = name.strip_suffix(ending)?.strip_suffix('.')?;
    if digits.len() != 20 || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    digits.parse().ok().map(Offset::new)
}

/// What a checkpoint holds of one segment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Facts {
    /// As [`Segment::base`].
    pub base: Offset,
    /// As [`Segment::size`].
    pub size: Position,
    /// As [`Segment::max_timestamp`].
    pub max_timestamp: i64,
    /// As [`Segment::first_timestamp`].
    pub first_timestamp: i64,
    /// As [`Segment::created_ms`].
    pub created_ms: i64,
    /// As [`Segment::appended_ms`].
    pub appended_ms: i64,
}

/// What a log knows of one segment.
#[derive(Debug)]
pub(crate) struct Segment {
    /// The offset that names it: that of its first record.
    pub base: Offset,
    /// Bytes of whole batches.
    pub size: Position,
    /// The largest timestamp of any record, ms; -1 if none has one.
    pub max_timestamp: i64,
    /// The largest timestamp of the first batch, ms; -1 if it has none.
    pub first_timestamp: i64,
    /// When it was made, wall time, ms (R-1 for records without timestamps).
    pub created_ms: i64,
    /// When a batch was appended last, wall time, ms (R-2 for records without timestamps).
    pub appended_ms: i64,
    /// The sparse index.
    pub index: Index,
    /// Where the last index entry points.
    indexed: Position,
    /// How many bytes the index file describes.
    pub index_written: Position,
    /// The aborted transactions whose markers lie here.
    pub aborted: Aborted,
    /// How many of them the file has.
    pub aborted_written: usize,
    /// The bytes whose CRC was checked, or that were written, since start-up (DC6).
    pub verified: Ranges,
    /// The open file, if it is open.
    pub file: Option<Arc<dyn File>>,
    /// Whether the file was used since it was last considered for closing.
    pub used: bool,
    /// Which of the files that had this segment's name one after the other it is: positions in
    /// one mean nothing in another. Counts cleanings of the log since it was opened.
    pub version: u64,
    /// Whether the open file has its name yet: until then it must stay open.
    pub is_unnamed: bool,
}

impl Segment {
    /// An empty segment.
    pub fn new(base: Offset, now_ms: i64) -> Self {
        Self {
            base,
            size: 0,
            max_timestamp: NO_TIMESTAMP,
            first_timestamp: NO_TIMESTAMP,
            created_ms: now_ms,
            appended_ms: now_ms,
            index: Index::Memory(Vec::new()),
            indexed: 0,
            index_written: 0,
            aborted: Aborted::default(),
            aborted_written: 0,
            verified: Ranges::default(),
            file: None,
            used: false,
            version: 0,
            is_unnamed: false,
        }
    }

    /// A segment that a checkpoint knows. Its index is still in its file.
    pub fn from_facts(facts: &Facts) -> Self {
        Self {
            size: facts.size,
            max_timestamp: facts.max_timestamp,
            first_timestamp: facts.first_timestamp,
            appended_ms: facts.appended_ms,
            index: Index::Unloaded,
            ..Self::new(facts.base, facts.created_ms)
        }
    }

    /// What a checkpoint holds of it.
    pub fn facts(&self) -> Facts {
        Facts {
            base: self.base,
            size: self.size,
            max_timestamp: self.max_timestamp,
            first_timestamp: self.first_timestamp,
            created_ms: self.created_ms,
            appended_ms: self.appended_ms,
        }
    }

    /// The index file's contents; `None` unless the index is in memory.
    pub fn encode_index(&self) -> Option<Vec<u8>> {
        let Index::Memory(entries) = &self.index else {
            return None;
        };
        let covered = Covered {
            base: self.base,
            bytes: self.size,
            max_timestamp: self.max_timestamp,
        };
        Some(IndexFile::encode(&covered, entries))
    }

    /// Take up an index that describes only the front: what is behind its last entry is to be
    /// pushed again, from the offset that is returned.
    pub fn take_up(&mut self, file: IndexFile) -> Offset {
        let mut entries = file.entries();
        let Some(last) = entries.pop() else {
            return self.base;
        };
        self.size = u64::from(last.position);
        self.max_timestamp = last.max_timestamp;
        self.indexed = entries.last().map_or(0, |entry| u64::from(entry.position));
        self.index = Index::Memory(entries);
        self.base.plus(i64::from(last.offset))
    }

    /// Note a batch behind the last one. `interval_bytes` is the configured index interval.
    pub fn push(&mut self, base: Offset, header: &BatchHeader, time: i64, interval_bytes: u32) {
        let due = self.size == 0 || self.size - self.indexed >= interval(interval_bytes);
        if due && let Index::Memory(entries) = &mut self.index {
            let offset = u32::try_from(base.get() - self.base.get());
            if let (Ok(offset), Ok(position)) = (offset, u32::try_from(self.size)) {
                entries.push(Entry {
                    offset,
                    position,
                    max_timestamp: self.max_timestamp,
                });
                self.indexed = self.size;
            }
        }
        if self.size == 0 {
            self.first_timestamp = time;
        }
        self.max_timestamp = self.max_timestamp.max(time);
        self.size += header.bytes as u64;
    }

    /// The batch to begin at when looking for `offset`: at it or before it.
    pub fn before(&self, offset: Offset) -> Entry {
        let relative = offset.get() - self.base.get();
        self.index
            .last_where(|entry| i64::from(entry.offset) <= relative)
            .unwrap_or(FIRST)
    }

    /// Where the first indexed batch begins whose offset is not below `offset`; the segment's end
    /// if there is none.
    pub fn after(&self, offset: Offset) -> Position {
        let relative = offset.get() - self.base.get();
        let entry = self
            .index
            .first_after(|entry| i64::from(entry.offset) < relative);
        entry.map_or(self.size, |entry| u64::from(entry.position))
    }

    /// The first offset of an indexed batch that begins at or behind `position`, if there is one.
    pub fn offset_after(&self, position: Position) -> Option<Offset> {
        let entry = self
            .index
            .first_after(|entry| u64::from(entry.position) < position)?;
        Some(self.base.plus(i64::from(entry.offset)))
    }

    /// The last indexed batch that begins at or before `position`.
    pub fn before_position(&self, position: Position) -> Entry {
        self.index
            .last_where(|entry| u64::from(entry.position) <= position)
            .unwrap_or(FIRST)
    }

    /// The batch to begin at when looking for a record at or after `time`.
    pub fn before_time(&self, time: i64) -> Entry {
        self.index
            .last_where(|entry| entry.max_timestamp < time)
            .unwrap_or(FIRST)
    }

    /// What retention by time goes by.
    pub fn retained_by(&self) -> i64 {
        if self.max_timestamp == NO_TIMESTAMP {
            self.appended_ms
        } else {
            self.max_timestamp
        }
    }
}

/// Every segment's first batch.
const FIRST: Entry = Entry {
    offset: 0,
    position: 0,
    max_timestamp: NO_TIMESTAMP,
};

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_twenty_digits() {
        let path = path(Path::new("d"), Offset::new(42), "log");
        assert_eq!(path, Path::new("d/00000000000000000042.log"));
        assert_eq!(
            base_of("00000000000000000042.log", "log"),
            Some(Offset::new(42))
        );
        for name in [
            "42.log",
            "0000000000000000004x.log",
            "00000000000000000042.index",
            ".log",
        ] {
            assert_eq!(base_of(name, "log"), None, "{name}");
        }
        // Twenty digits can be more than an offset.
        assert_eq!(base_of("99999999999999999999.log", "log"), None);
    }
}
