//! Reading journals back: what was synced in them alone goes into the segments.

use std::collections::{BTreeMap, HashMap};
use std::io::{self, IoSlice};
use std::path::Path;
use std::sync::Arc;

use uuid::Uuid;

use super::{
    ENTRY_DATA_MAX, ENTRY_HEADER_BYTES, FILE_HEADER_BYTES, KIND_DATA, KIND_FORGET, MAGIC,
    OPEN_AT_ONCE, Segment, VERSION, journal_path, segment_path,
};
use crate::disk::{Disk, File, Open, read_exact_at};
use crate::{Offset, PartitionId, Position};

/// What a recovery did.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Recovered {
    /// Whole entries whose segment exists.
    pub entries: u64,
    /// Bytes copied into segments.
    pub bytes: u64,
}

/// Copy from the journals in `dir` into the segments what they may lack, sync them, and remove
/// the journals. The partitions' directories lie in `topics_dir`.
///
/// A segment that does not exist was deleted: its entry was durable before its first bytes were
/// copied here. It is not made again.
pub(super) fn recover(disk: &dyn Disk, dir: &Path, topics_dir: &Path) -> io::Result<Recovered> {
    let mut numbers = list(disk, dir)?;
    numbers.sort_unstable();
    let mut found = Vec::new();
    for number in &numbers {
        let file = disk.open(&journal_path(dir, *number), Open::Read)?;
        scan(*number, &file, &mut found)?;
    }
    let mut recovered = Recovered::default();
    let segments: Vec<_> = by_segment(&found).into_iter().collect();
    for some in segments.chunks(OPEN_AT_ONCE) {
        let mut files = Vec::new();
        for (segment, entries) in some {
            match disk.open(&segment_path(topics_dir, *segment), Open::Write) {
                Ok(file) => {
                    for entry in entries {
                        recovered.bytes += entry.copy_to(&*file)?;
                    }
                    recovered.entries += entries.len() as u64;
                    files.push(file);
                }
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                Err(error) => return Err(error),
            }
        }
        disk.sync_all(&files)?;
    }
    if recovered.entries > 0 {
        let Recovered { entries, bytes } = recovered;
        tracing::info!(
            entries,
            bytes,
            "copied what was synced in the journal alone"
        );
    }
    // In order: a partition forgotten by a later journal must not come back from an earlier.
    for number in &numbers {
        disk.remove_file(&journal_path(dir, *number))?;
        disk.sync_dir(dir)?;
    }
    Ok(recovered)
}

/// The entries that count, in order, for each segment.
fn by_segment(found: &[Found]) -> BTreeMap<Segment, Vec<&Found>> {
    let mut forgotten = HashMap::new();
    for (at, found) in found.iter().enumerate() {
        if found.entry.kind == KIND_FORGET {
            forgotten.insert(found.entry.segment.0, at);
        }
    }
    let mut segments = BTreeMap::<_, Vec<_>>::new();
    for (at, found) in found.iter().enumerate() {
        let last_forgotten = forgotten.get(&found.entry.segment.0);
        if found.entry.kind == KIND_DATA && last_forgotten.is_none_or(|last| *last < at) {
            segments.entry(found.entry.segment).or_default().push(found);
        }
    }
    segments
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

impl Found {
    /// Write the data into its segment, also where that seems to hold it: after a sync that
    /// failed, what is read may be in memory alone, and only a page that is written again is ever
    /// synced again.
    fn copy_to(&self, segment: &dyn File) -> io::Result<u64> {
        let mut data = vec![0; self.entry.len];
        read_exact_at(&*self.journal, &mut data, self.data_at)?;
        segment.write_at(&[IoSlice::new(&data)], self.entry.position)?;
        Ok(data.len() as u64)
    }
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
