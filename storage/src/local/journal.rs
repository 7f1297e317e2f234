//! The journal of wide rounds: one file that is synced in the place of many.
//!
//! A round over more than a few segments copies what is unsynced in them to the end of one file
//! and syncs that alone. The segments hold the same bytes already, only not durably; after a
//! power cut [`Journal::recover`] copies from the journal what a segment lacks, before anything
//! else looks at the segments. A journal that has grown is sealed, its segments are synced in the
//! background, and then it is removed. `FORMAT.md` draws the file.

use std::collections::{HashMap, HashSet};
use std::io::{self, IoSlice};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use uuid::Uuid;

use crate::disk::{Disk, File, Open, read_exact_at};
use crate::{Offset, PartitionId, Position};

/// The first bytes of every journal.
const MAGIC: [u8; 8] = *b"ratel-jl";
const VERSION: u32 = 1;
const FILE_HEADER_BYTES: usize = 16;
const ENTRY_HEADER_BYTES: usize = 52;
/// The most data of one entry; longer ranges become several entries.
const ENTRY_DATA_MAX: usize = 1 << 20;
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

/// The journal that rounds append to.
#[derive(Debug)]
pub(crate) struct Journal {
    disk: Arc<dyn Disk>,
    dir: PathBuf,
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
    segments: HashMap<Segment, Arc<dyn File>>,
}

/// A journal that gets no more entries. Once its segments are synced it can go.
#[derive(Debug)]
pub(crate) struct Sealed {
    pub number: u32,
    /// The segments that it holds bytes of.
    pub files: Vec<Arc<dyn File>>,
}

/// What [`Journal::recover`] did.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Recovered {
    /// Whole entries found.
    pub entries: u64,
    /// Bytes copied into segments.
    pub bytes: u64,
}

impl Journal {
    /// Bring home what the journals below `root` hold, and start with none. `segment_path` names
    /// a segment's file.
    ///
    /// # Errors
    /// Any failure to read the journals or to write the segments.
    pub fn open(
        disk: Arc<dyn Disk>,
        root: &Path,
        segment_path: impl Fn(PartitionId, Offset) -> PathBuf,
    ) -> io::Result<Self> {
        let dir = root.join("journal");
        disk.create_dir(&dir)?;
        disk.sync_dir(root)?;
        let recovered = Self::recover(&*disk, &dir, segment_path)?;
        if recovered.entries > 0 {
            let Recovered { entries, bytes } = recovered;
            tracing::info!(
                entries,
                bytes,
                "copied what was synced in the journal alone"
            );
        }
        Ok(Self::new(disk, dir))
    }

    /// A journal in `dir`, which exists and is empty (see [`Journal::recover`]).
    fn new(disk: Arc<dyn Disk>, dir: PathBuf) -> Self {
        Self {
            disk,
            dir,
            open: None,
            next_number: 1,
            sealed: HashMap::new(),
            buffer: Vec::new(),
        }
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
                        .entry(segment)
                        .or_insert_with(|| Arc::clone(&range.file));
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
            files: journal.segments.into_values().collect(),
        })
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

    /// Copy from the journals in `dir` what the segments lack, sync them, and remove the
    /// journals. `segment_path` names a segment's file.
    ///
    /// A segment that does not exist was deleted: its entry was durable before its first bytes
    /// were copied here. It is not made again.
    fn recover(
        disk: &dyn Disk,
        dir: &Path,
        segment_path: impl Fn(PartitionId, Offset) -> PathBuf,
    ) -> io::Result<Recovered> {
        let mut numbers = list(disk, dir)?;
        numbers.sort_unstable();
        let mut found = Vec::new();
        for number in &numbers {
            let file = disk.open(&journal_path(dir, *number), Open::Read)?;
            scan(*number, &file, &mut found)?;
        }
        let mut forgotten = HashMap::new();
        for (at, found) in found.iter().enumerate() {
            if found.entry.kind == KIND_FORGET {
                forgotten.insert(found.entry.segment.0, at);
            }
        }
        let mut replay = Replay {
            disk,
            segment_path,
            segments: HashMap::new(),
            recovered: Recovered::default(),
        };
        for (at, found) in found.iter().enumerate() {
            let last_forgotten = forgotten.get(&found.entry.segment.0);
            if found.entry.kind == KIND_DATA && last_forgotten.is_none_or(|last| *last < at) {
                replay.apply(found)?;
            }
        }
        let files: Vec<_> = replay.segments.into_values().flatten().collect();
        disk.sync_all(&files)?;
        // In order: a partition forgotten by a later journal must not come back from an earlier.
        for number in &numbers {
            disk.remove_file(&journal_path(dir, *number))?;
            disk.sync_dir(dir)?;
        }
        Ok(replay.recovered)
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

fn journal_path(dir: &Path, number: u32) -> PathBuf {
    dir.join(format!("{number:010}.journal"))
}

/// The numbers of the journals in `dir`.
fn list(disk: &dyn Disk, dir: &Path) -> io::Result<Vec<u32>> {
    let entries = disk.list(dir)?;
    let numbers = entries
        .iter()
        .filter_map(|entry| entry.name.strip_suffix(".journal"));
    Ok(numbers.filter_map(|number| number.parse().ok()).collect())
}

/// An entry's header as read back.
struct Entry {
    kind: u8,
    segment: Segment,
    position: Position,
    len: usize,
}

/// A whole entry, and where its data lies.
struct Found {
    entry: Entry,
    journal: Arc<dyn File>,
    data_at: Position,
}

fn take<const N: usize>(bytes: &[u8], at: usize) -> [u8; N] {
    let mut field = [0; N];
    field.copy_from_slice(&bytes[at..at + N]);
    field
}

impl Entry {
    /// The entry that `header` begins; `None` if nothing of ours looks like this.
    fn decode(header: &[u8; ENTRY_HEADER_BYTES], number: u32) -> Option<Self> {
        let len = usize::try_from(u32::from_be_bytes(take(header, 4))).ok()?;
        let entry = Self {
            kind: header[12],
            segment: (
                PartitionId {
                    topic: Uuid::from_bytes(take(header, 16)),
                    index: i32::from_be_bytes(take(header, 32)),
                },
                Offset::new(i64::from_be_bytes(take(header, 36))),
            ),
            position: u64::from_be_bytes(take(header, 44)),
            len,
        };
        let ours = u32::from_be_bytes(take(header, 8)) == number;
        (ours && len <= ENTRY_DATA_MAX).then_some(entry)
    }
}

/// Find the entries of one journal up to the first that is not whole: nothing behind it was ever
/// acknowledged, as each round's sync ends before the next begins.
fn scan(number: u32, file: &Arc<dyn File>, found: &mut Vec<Found>) -> io::Result<()> {
    let size = file.size()?;
    let mut at = FILE_HEADER_BYTES as Position;
    if size < at || !is_ours(&**file, number)? {
        return Ok(());
    }
    let mut data = Vec::new();
    while size - at >= ENTRY_HEADER_BYTES as u64 {
        let mut header = [0; ENTRY_HEADER_BYTES];
        read_exact_at(&**file, &mut header, at)?;
        at += ENTRY_HEADER_BYTES as u64;
        let Some(entry) = Entry::decode(&header, number) else {
            break;
        };
        if size - at < entry.len as u64 {
            break;
        }
        data.resize(entry.len, 0);
        read_exact_at(&**file, &mut data, at)?;
        let crc = crc32c::crc32c_append(crc32c::crc32c(&header[4..]), &data);
        if crc != u32::from_be_bytes(take(&header, 0)) {
            break;
        }
        let data_at = at;
        at += entry.len as u64;
        found.push(Found {
            entry,
            journal: Arc::clone(file),
            data_at,
        });
    }
    Ok(())
}

struct Replay<'d, P> {
    disk: &'d dyn Disk,
    segment_path: P,
    /// Segments that entries named; `None` for those that do not exist.
    segments: HashMap<Segment, Option<Arc<dyn File>>>,
    recovered: Recovered,
}

impl<P: Fn(PartitionId, Offset) -> PathBuf> Replay<'_, P> {
    fn apply(&mut self, found: &Found) -> io::Result<()> {
        self.recovered.entries += 1;
        let Some(segment) = self.segment(found.entry.segment)? else {
            return Ok(());
        };
        let mut data = vec![0; found.entry.len];
        read_exact_at(&*found.journal, &mut data, found.data_at)?;
        // Also where the segment seems to hold them: after a sync that failed, what is read may
        // be in memory alone, and only a page that is written again is ever synced again.
        segment.write_at(&[IoSlice::new(&data)], found.entry.position)?;
        self.recovered.bytes += data.len() as u64;
        Ok(())
    }

    fn segment(&mut self, segment: Segment) -> io::Result<Option<Arc<dyn File>>> {
        if let Some(known) = self.segments.get(&segment) {
            return Ok(known.clone());
        }
        let path = (self.segment_path)(segment.0, segment.1);
        let file = match self.disk.open(&path, Open::Write) {
            Ok(file) => Some(file),
            Err(error) if error.kind() == io::ErrorKind::NotFound => None,
            Err(error) => return Err(error),
        };
        self.segments.insert(segment, file.clone());
        Ok(file)
    }
}

fn is_ours(file: &dyn File, number: u32) -> io::Result<bool> {
    let mut header = [0; FILE_HEADER_BYTES];
    read_exact_at(file, &mut header, 0)?;
    if header[..8] != MAGIC || header[12..] != number.to_be_bytes() {
        // The power went before the header reached the disk: no round was acknowledged from it.
        return Ok(false);
    }
    let version = u32::from_be_bytes(take(&header, 8));
    if version == VERSION {
        return Ok(true);
    }
    Err(io::Error::new(
        io::ErrorKind::Unsupported,
        format!("a journal of version {version} was written by another release"),
    ))
}

#[cfg(test)]
mod tests;
