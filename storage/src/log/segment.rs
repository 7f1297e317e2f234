//! One segment: a file of nothing but v2 batches, and what is known of it.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::batch::BatchHeader;
use crate::disk::File;
use crate::log::index::{Entry, Index, NO_TIMESTAMP, interval};
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
    /// The bytes whose CRC was checked, or that were written, since start-up (DC6).
    pub verified: Ranges,
    /// The open file, if it is open.
    pub file: Option<Arc<dyn File>>,
    /// Whether the file was used since it was last considered for closing.
    pub used: bool,
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
            verified: Ranges::default(),
            file: None,
            used: false,
        }
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
