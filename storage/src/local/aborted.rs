//! The files of aborted transactions: written in front of a checkpoint that counts them, taken up
//! at a start, made again by a walk over the log if they are lost.

use std::path::Path;

use bytes::Bytes;

use crate::disk::{Disk, Open};
use crate::local::partition::LocalPartition;
use crate::local::{io, lock};
use crate::log::aborted::{Aborted, AbortedFile, Finder};
use crate::log::reader::Window;
use crate::log::segment::{self, Segment};
use crate::{AbortedTransaction, Offset, ReadRequest, Slice, StorageError};

/// What a segment's file is called behind its digits.
pub(crate) const ENDING: &str = "txnindex";

/// The file of one segment, if it is usable.
pub(crate) fn read(disk: &dyn Disk, dir: &Path, base: Offset) -> Result<AbortedFile, &'static str> {
    let bytes: Bytes = disk
        .map(&segment::path(dir, base, ENDING))
        .map_err(|_| "there is none")?;
    AbortedFile::decode(bytes, base)
}

/// Put in front of what was found behind the recovery point what lies before it: `counts` says
/// how many the segments up to `point` have. False if a file is of no use.
pub(crate) fn take_up(
    disk: &dyn Disk,
    dir: &Path,
    segments: &mut [Segment],
    counts: &[(Offset, u32)],
    point: Offset,
) -> bool {
    let mut all_usable = true;
    for (base, count) in counts {
        let Ok(at) = segments.binary_search_by_key(base, |segment| segment.base) else {
            continue;
        };
        let is_last = at + 1 == segments.len();
        let segment = &mut segments[at];
        let file = match read(disk, dir, *base) {
            Ok(file) => file,
            Err(why) => {
                tracing::warn!("{}, {base}: {why}: gone over again", dir.display());
                all_usable = false;
                continue;
            }
        };
        let mut known = file.entries();
        known.retain(|one| one.last_offset < point);
        if known.len() != *count as usize {
            all_usable = false;
        } else if is_last || segment.aborted.len() > 0 || known.len() != file.entries().len() {
            segment.aborted.put_in_front(known);
        } else {
            segment.aborted_written = known.len();
            segment.aborted = Aborted::Mapped(file);
        }
    }
    all_usable
}

/// Go over the headers of the whole log up to `point`, where what is known anew begins.
///
/// # Errors
/// [`StorageError::Io`], [`StorageError::CorruptBatch`].
pub(crate) fn find_again(
    disk: &dyn Disk,
    dir: &Path,
    segments: &mut [Segment],
    point: Offset,
) -> Result<(), StorageError> {
    let mut finder = Finder::default();
    for segment in segments {
        if segment.base >= point {
            break;
        }
        let path = segment::path(dir, segment.base, "log");
        let file = disk.open(&path, Open::Read).map_err(io)?;
        let mut window = Window::hopping(&*file, segment.size);
        let (mut at, mut found) = (0, Vec::new());
        while let Some(hop) = window.hop(at)? {
            if hop.base() >= point {
                break;
            }
            at = hop.next();
            let marker = window.marker(&hop)?;
            found.extend(finder.see(&hop, marker.as_ref()));
        }
        segment.aborted.replace_before(point, found);
        segment.aborted_written = 0;
    }
    Ok(())
}

impl LocalPartition {
    /// Put into files what is not there yet, and keep no more of sealed segments in memory.
    pub(super) fn write_aborted(&self) {
        // None of a segment that is being replaced.
        let _one = lock(&self.start_mover);
        for (base, all, is_sealed) in self.unwritten_aborted() {
            let path = segment::path(&self.dir, base, ENDING);
            let bytes = AbortedFile::encode(base, &all);
            if let Err(error) = self.write_index(&path, &bytes) {
                // The next start goes over the log, unless the disk fails (DC5).
                let refused = self.refused(error);
                tracing::debug!(partition = %self.id, segment = %base, "no file: {refused}");
                continue;
            }
            let mapped = read(&*self.shared.disk, &self.dir, base);
            if let Some(segment) = self.state().log.segment_mut(base) {
                segment.aborted_written = all.len();
                if let (true, Ok(file)) = (is_sealed, mapped) {
                    segment.aborted = Aborted::Mapped(file);
                }
            }
        }
    }

    fn unwritten_aborted(&self) -> Vec<(Offset, Vec<AbortedTransaction>, bool)> {
        let state = self.state();
        if state.is_deleted {
            return Vec::new();
        }
        let segments = state.log.segments();
        let last = segments.len().saturating_sub(1);
        let parts = segments.iter().enumerate();
        parts
            .filter_map(|(at, segment)| match &segment.aborted {
                Aborted::Memory(all) if !all.is_empty() => {
                    let is_sealed = at < last;
                    let is_news = is_sealed || all.len() != segment.aborted_written;
                    is_news.then(|| (segment.base, all.clone(), is_sealed))
                }
                _ => None,
            })
            .collect()
    }

    /// The aborted transactions that a reader of committed records must know of (F-4): of which
    /// something lies in what was read, or a little further on. `None` if the segment that was
    /// read is gone or was cleaned since: what is known now says nothing of what lay in it.
    pub(super) fn aborted_in(
        &self,
        request: &ReadRequest,
        (segment, version): (Offset, u64),
        records: Option<&Slice>,
    ) -> Option<Vec<AbortedTransaction>> {
        let Some(slice) = records else {
            return Some(Vec::new());
        };
        let last = match slice {
            Slice::Bytes(_) => slice.batches().filter_map(Result::ok).last(),
            Slice::File(_) => None,
        };
        let mut state = self.state();
        state.log.segment_of(segment, version)?;
        let end = match slice {
            Slice::Bytes(_) => last.map_or(request.from, |last| last.last().plus(1)),
            Slice::File(range) => {
                let position = range.position + range.len as u64;
                state.log.offset_after(segment, position)
            }
        };
        Some(state.log.aborted(request.from, end))
    }
}
