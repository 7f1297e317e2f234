//! The journal of wide rounds: one file that is synced in the place of many.
//!
//! A round over more than a few segments copies what is unsynced in them to the end of one file
//! and syncs that alone. The segments hold the same bytes already, only not durably; after a
//! power cut [`Journal::open`] copies from the journal what a segment lacks, before anything
//! else looks at the segments. A journal that has grown is sealed, its segments are synced in the
//! background, and then it is removed. `FORMAT.md` draws the file.

mod recovery;

use std::collections::{HashMap, HashSet};
use std::io::{self, IoSlice};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Weak};

use crate::disk::{Disk, File, Open, read_exact_at};
use crate::log::segment;
use crate::{Offset, PartitionId, Position};

/// The first bytes of every journal.
const MAGIC: [u8; 8] = *b"ratel-jl";
const VERSION: u32 = 1;
const FILE_HEADER_BYTES: usize = 16;
const ENTRY_HEADER_BYTES: usize = 52;
/// The most data of one entry; longer ranges become several entries.
const ENTRY_DATA_MAX: usize = 1 << 20;
/// Segments that are opened at once to be synced.
const OPEN_AT_ONCE: usize = 64;
/// Entries are gathered up to here before they are written.
const WRITE_BYTES: usize = 1 << 20;

const KIND_DATA: u8 = 1;
const KIND_FORGET: u8 = 2;

/// A range of one segment that is to be copied.
#[derive(Debug, Clone)]
pub(crate) struct Range {
    pub partition: PartitionId,
    /// The segment's first offset, which names it.
    pub base: Offset,
    pub file: Arc<dyn File>,
    pub from: Position,
    pub to: Position,
}

impl Range {
    pub fn len(&self) -> u64 {
        self.to.saturating_sub(self.from)
    }
}

type Segment = (PartitionId, Offset);

impl Sealed {
    /// Whether [`Journal::next_unsynced`] gave all of its segments.
    pub fn is_done(&self) -> bool {
        self.segments.is_empty()
    }
}

/// The journal that rounds append to.
#[derive(Debug)]
pub(crate) struct Journal {
    disk: Arc<dyn Disk>,
    dir: PathBuf,
    topics_dir: PathBuf,
    open: Option<OpenJournal>,
    next_number: u32,
    /// Partitions with entries in sealed journals that are not removed yet.
    sealed: HashMap<u32, HashSet<PartitionId>>,
    buffer: Vec<u8>,
}

#[derive(Debug)]
struct OpenJournal {
    number: u32,
    file: Arc<dyn File>,
    end: Position,
    segments: HashMap<Segment, Weak<dyn File>>,
}

/// A journal that gets no more entries. Once its segments are synced it can go.
#[derive(Debug)]
pub(crate) struct Sealed {
    pub number: u32,
    /// The segments that it holds bytes of and that are not synced yet.
    segments: Vec<(Segment, Weak<dyn File>)>,
}

impl Journal {
    /// Bring home what the journals below `root` hold, and start with none. The
    /// partitions' directories lie in `topics_dir`.
    ///
    /// # Errors
    /// Any failure to read the journals or to write the segments.
    pub fn open(disk: Arc<dyn Disk>, root: &Path, topics_dir: &Path) -> io::Result<Self> {
        let dir = root.join("journal");
        disk.create_dir(&dir)?;
        disk.sync_dir(root)?;
        recovery::recover(&*disk, &dir, topics_dir)?;
        Ok(Self {
            disk,
            dir,
            topics_dir: topics_dir.to_owned(),
            open: None,
            next_number: 1,
            sealed: HashMap::new(),
            buffer: Vec::new(),
        })
    }

    /// Copy the ranges and sync the journal: when it returns, they survive a power cut.
    ///
    /// Gives `false` if there was no space: the journal is as it was, and the segments are to be
    /// synced themselves.
    ///
    /// # Errors
    /// Any other failure, and every failure of the sync.
    pub fn append(&mut self, ranges: &[Range]) -> io::Result<bool> {
        if ranges.is_empty() {
            return Ok(true);
        }
        let journal = match self.open.take().map_or_else(|| self.create(), Ok) {
            Ok(journal) => journal,
            Err(error) if is_full(&error) => return Ok(false),
            Err(error) => return Err(error),
        };
        let mut buffer = std::mem::take(&mut self.buffer);
        let written = journal.write(ranges, &mut buffer);
        buffer.clear();
        // One unusual round must not keep its memory for ever.
        buffer.shrink_to(2 * WRITE_BYTES);
        self.buffer = buffer;
        let journal = self.open.insert(journal);
        match written {
            Ok(end) => {
                journal.sync()?;
                journal.end = end;
                for range in ranges {
                    let segment = (range.partition, range.base);
                    journal
                        .segments
                        .insert(segment, Arc::downgrade(&range.file));
                }
                Ok(true)
            }
            Err(error) if is_full(&error) => {
                // What half of a round left must not stand behind the next one. If it stays, it
                // is still nothing but bytes that the segments hold.
                let _ = journal.file.set_len(journal.end);
                Ok(false)
            }
            Err(error) => Err(error),
        }
    }

    fn create(&mut self) -> io::Result<OpenJournal> {
        let number = self.next_number;
        let file = self
            .disk
            .open(&journal_path(&self.dir, number), Open::Truncate)?;
        self.next_number += 1;
        let mut header = [0; FILE_HEADER_BYTES];
        header[..8].copy_from_slice(&MAGIC);
        header[8..12].copy_from_slice(&VERSION.to_be_bytes());
        header[12..].copy_from_slice(&number.to_be_bytes());
        file.write_at(&[IoSlice::new(&header)], 0)?;
        self.disk.sync_dir(&self.dir)?;
        Ok(OpenJournal {
            number,
            file,
            end: FILE_HEADER_BYTES as Position,
            segments: HashMap::new(),
        })
    }

    /// Bytes in the open journal.
    pub fn bytes(&self) -> u64 {
        self.open.as_ref().map_or(0, |journal| journal.end)
    }

    /// Segments with bytes in the open journal.
    pub fn segments(&self) -> usize {
        self.open
            .as_ref()
            .map_or(0, |journal| journal.segments.len())
    }

    /// Close the open journal; the next round begins another. `None` if there is none.
    pub fn seal(&mut self) -> Option<Sealed> {
        let journal = self.open.take()?;
        let partitions = journal
            .segments
            .keys()
            .map(|(partition, _)| *partition)
            .collect();
        self.sealed.insert(journal.number, partitions);
        Some(Sealed {
            number: journal.number,
            segments: journal.segments.into_iter().collect(),
        })
    }

    /// Some of the segments of a sealed journal that are not synced yet; none when all are. A
    /// journal holds no descriptors: a segment that was closed meanwhile is opened again, and one
    /// that was deleted needs no sync. If there is no descriptor left, the same ones come again.
    ///
    /// # Errors
    /// Any failure to open a segment.
    pub fn next_unsynced(&self, sealed: &mut Sealed) -> io::Result<Vec<Arc<dyn File>>> {
        let from = sealed.segments.len().saturating_sub(OPEN_AT_ONCE);
        let mut files = Vec::new();
        for (segment, file) in &sealed.segments[from..] {
            if let Some(file) = file.upgrade() {
                files.push(file);
                continue;
            }
            match self
                .disk
                .open(&segment_path(&self.topics_dir, *segment), Open::Write)
            {
                Ok(file) => files.push(file),
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                Err(error) => return Err(error),
            }
        }
        sealed.segments.truncate(from);
        Ok(files)
    }

    /// Remove a sealed journal whose segments are synced.
    pub fn remove(&mut self, number: u32) -> io::Result<()> {
        self.disk.remove_file(&journal_path(&self.dir, number))?;
        // Durably: entries that come back must not meet what was written since.
        self.disk.sync_dir(&self.dir)?;
        self.sealed.remove(&number);
        Ok(())
    }

    /// A partition is being deleted: nothing that was copied of it counts any more, also if one
    /// of the same id is made again. Gives `false` if there is no space for the note.
    ///
    /// # Errors
    /// As [`Journal::append`].
    pub fn forget(&mut self, partition: PartitionId) -> io::Result<bool> {
        let sealed = self
            .sealed
            .values()
            .any(|partitions| partitions.contains(&partition));
        let open = self.open.as_ref().is_some_and(|journal| {
            journal
                .segments
                .keys()
                .any(|(journaled, _)| *journaled == partition)
        });
        if !sealed && !open {
            return Ok(true);
        }
        match self.note_forgotten(partition) {
            Ok(()) => Ok(true),
            Err(error) if is_full(&error) => Ok(false),
            Err(error) => Err(error),
        }
    }

    fn note_forgotten(&mut self, partition: PartitionId) -> io::Result<()> {
        let created = match self.open.take() {
            Some(journal) => journal,
            None => self.create()?,
        };
        let journal = self.open.insert(created);
        let mut entry = Vec::new();
        journal.begin(&mut entry, KIND_FORGET, (partition, Offset::ZERO), 0, 0);
        seal_entry(&mut entry);
        journal
            .file
            .write_at(&[IoSlice::new(&entry)], journal.end)?;
        journal.sync()?;
        journal.end += entry.len() as Position;
        journal
            .segments
            .retain(|(journaled, _), _| *journaled != partition);
        Ok(())
    }
}

impl OpenJournal {
    /// Write; gives the new end.
    fn write(&self, ranges: &[Range], buffer: &mut Vec<u8>) -> io::Result<Position> {
        let mut end = self.end;
        buffer.clear();
        for range in ranges {
            let mut at = range.from;
            while at < range.to {
                let len = (range.to - at).min(ENTRY_DATA_MAX as u64);
                let start = buffer.len();
                let data = usize::try_from(len).unwrap_or(ENTRY_DATA_MAX);
                self.begin(buffer, KIND_DATA, (range.partition, range.base), at, data);
                let data_from = buffer.len();
                buffer.resize(data_from + data, 0);
                read_exact_at(&*range.file, &mut buffer[data_from..], at)?;
                seal_entry(&mut buffer[start..]);
                at += len;
                if buffer.len() >= WRITE_BYTES {
                    self.file.write_at(&[IoSlice::new(buffer)], end)?;
                    end += buffer.len() as Position;
                    buffer.clear();
                }
            }
        }
        if !buffer.is_empty() {
            self.file.write_at(&[IoSlice::new(buffer)], end)?;
            end += buffer.len() as Position;
        }
        Ok(end)
    }

    /// Sync. Its error is never that of a full disk: a failed sync is the end (DC5).
    fn sync(&self) -> io::Result<()> {
        self.file.sync().map_err(io::Error::other)
    }

    /// Append an entry's header, its CRC still open.
    fn begin(
        &self,
        buffer: &mut Vec<u8>,
        kind: u8,
        (partition, base): Segment,
        position: Position,
        len: usize,
    ) {
        let len = u32::try_from(len).expect("entries are at most ENTRY_DATA_MAX long");
        buffer.extend_from_slice(&[0; 4]);
        buffer.extend_from_slice(&len.to_be_bytes());
        buffer.extend_from_slice(&self.number.to_be_bytes());
        buffer.extend_from_slice(&[kind, 0, 0, 0]);
        buffer.extend_from_slice(partition.topic.as_bytes());
        buffer.extend_from_slice(&partition.index.to_be_bytes());
        buffer.extend_from_slice(&base.get().to_be_bytes());
        buffer.extend_from_slice(&position.to_be_bytes());
    }
}

/// Whether there was no space, which is no failure of the disk (DC5).
pub(super) fn is_full(error: &io::Error) -> bool {
    use rustix::io::Errno;
    matches!(
        Errno::from_io_error(error),
        Some(Errno::NOSPC | Errno::DQUOT)
    )
}

fn seal_entry(entry: &mut [u8]) {
    let crc = crc32c::crc32c(&entry[4..]);
    entry[..4].copy_from_slice(&crc.to_be_bytes());
}

fn segment_path(topics_dir: &Path, (partition, base): Segment) -> PathBuf {
    segment::path(&topics_dir.join(partition.to_string()), base, "log")
}

fn journal_path(dir: &Path, number: u32) -> PathBuf {
    dir.join(format!("{number:010}.journal"))
}

#[cfg(test)]
mod tests;
