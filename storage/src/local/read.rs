//! Reading a partition: the look-up under the short lock, everything else without it.

use std::sync::Arc;

use crate::disk::{File, Open};
use crate::local::access::read_failed;
use crate::local::partition::LocalPartition;
use crate::log::index::{Index, IndexFile};
use crate::log::reader::{self, Span, Wanted, Window};
use crate::log::segment::{self, Segment};
use crate::log::{Located, Look};
use crate::{AbortedTransaction, Offset, Read, ReadRequest, Slice, StorageError};

/// What a read finds in one segment.
enum Here {
    Records(Slice),
    Nothing,
    /// Nothing is left up to the segment's end, which is here.
    Hole(Offset),
}

/// How often a look-up starts over because retention took the segment away meanwhile, or a
/// cleaning put another into its place.
pub(super) const LOOKS_MAX: usize = 3;

impl LocalPartition {
    /// Read whole batches if that takes no more than a look-up and a small read from the page
    /// cache; `None` if something must be opened, rebuilt or verified first.
    pub(super) fn read_at_hand(&self, request: &ReadRequest) -> Result<Option<Read>, StorageError> {
        let (offsets, look, behind_active) = self.look(request)?;
        let mut wants_aborted = None;
        let records = match look {
            Look::Empty => None,
            Look::NeedsIndex(_) | Look::Missing => return Ok(None),
            Look::Found(located) => {
                wants_aborted = located
                    .wants_aborted
                    .then_some((located.segment, located.version));
                let Some(file) = located.file.as_ref() else {
                    return Ok(None);
                };
                if located.verified <= located.from {
                    return Ok(None);
                }
                let wanted = Wanted::of(request);
                // Where nothing is found, what follows may lie in the next segment.
                if let Ok(Some(bytes)) = reader::small(&**file, &located, &wanted)
                    && (bytes.is_some() || located.is_last)
                {
                    let records = bytes.map(Slice::Bytes);
                    let aborted = self.aborted_for(request, wants_aborted, records.as_ref());
                    return Ok(aborted.map(|aborted| Read {
                        records,
                        offsets,
                        aborted,
                        behind_active,
                    }));
                }
                match reader::span(&**file, &located, &wanted) {
                    Ok(Span::At(from, end)) if end <= located.verified => {
                        Some(reader::slice(file, (from, end))?)
                    }
                    Ok(Span::Nothing(_))
                        if located.is_last && located.bound <= located.verified =>
                    {
                        None
                    }
                    Ok(_) | Err(StorageError::CorruptBatch(_)) => return Ok(None),
                    Err(error) => return Err(error),
                }
            }
        };
        let aborted = self.aborted_for(request, wants_aborted, records.as_ref());
        Ok(aborted.map(|aborted| Read {
            records,
            offsets,
            aborted,
            behind_active,
        }))
    }

    /// What [`Read::aborted`] says, if it is wanted; of records of this segment. `None` if the
    /// read must begin anew.
    fn aborted_for(
        &self,
        request: &ReadRequest,
        segment: Option<(Offset, u64)>,
        records: Option<&Slice>,
    ) -> Option<Vec<AbortedTransaction>> {
        match segment {
            None => Some(Vec::new()),
            Some(segment) => self.aborted_in(request, segment, records),
        }
    }

    /// Read whole batches; blocks for the disk.
    pub(super) fn read_now(&self, request: &ReadRequest) -> Result<Read, StorageError> {
        let mut looks = 0;
        let mut request = *request;
        loop {
            let (offsets, look, behind_active) = self.look(&request)?;
            let mut wants_aborted = None;
            let records = match look {
                Look::Empty => Ok(None),
                Look::NeedsIndex(base) => {
                    self.load_index(base)?;
                    continue;
                }
                Look::Missing => Err(self.damaged_at(request.from, 0, "the file is missing")),
                Look::Found(located) => {
                    wants_aborted = located
                        .wants_aborted
                        .then_some((located.segment, located.version));
                    match self.read_located(&request, located) {
                        Ok(Here::Hole(end)) => {
                            request.from = end;
                            continue;
                        }
                        Ok(Here::Records(records)) => Ok(Some(records)),
                        Ok(Here::Nothing) => Ok(None),
                        Err(error) => Err(error),
                    }
                }
            };
            let read = records.and_then(|records| {
                let aborted = self.aborted_for(&request, wants_aborted, records.as_ref());
                let gone = || read_failed(std::io::ErrorKind::NotFound.into());
                Ok(Read {
                    aborted: aborted.ok_or_else(gone)?,
                    records,
                    offsets,
                    behind_active,
                })
            });
            match read {
                // The segment was deleted between the look and the open: look again.
                Err(error) if is_gone(&error) && looks < LOOKS_MAX => looks += 1,
                read => return read,
            }
        }
    }

    fn look(&self, request: &ReadRequest) -> Result<(crate::Offsets, Look, bool), StorageError> {
        let mut state = self.state();
        self.check_usable(&state)?;
        let look = state.log.look(request)?;
        let behind = state.log.is_behind_active(request.from);
        Ok((state.log.offsets(), look, behind))
    }

    fn read_located(
        &self,
        request: &ReadRequest,
        mut located: Located,
    ) -> Result<Here, StorageError> {
        let file = self.file(located.segment, located.version, located.file.take())?;
        let wanted = Wanted::of(request);
        match reader::span(&*file, &located, &wanted) {
            Ok(Span::Nothing(end)) if located.bound <= located.verified => {
                return self.nothing_here(request, &located, end);
            }
            Ok(Span::At(from, end)) if end <= located.verified => {
                return reader::slice(&file, (from, end)).map(Here::Records);
            }
            Ok(_) | Err(StorageError::CorruptBatch(_)) => {}
            Err(error) => return Err(error),
        }
        self.verify(&*file, &mut located, &wanted)?;
        match reader::span(&*file, &located, &wanted) {
            Ok(Span::Nothing(end)) => self.nothing_here(request, &located, end),
            Ok(Span::TooLong) => Ok(Here::Nothing),
            Ok(Span::At(from, end)) => reader::slice(&file, (from, end)).map(Here::Records),
            Err(StorageError::CorruptBatch(why)) => Err(self.damaged(located.segment, why)),
            Err(error) => Err(error),
        }
    }

    /// Nothing is to be given: because of the limits, or because it was cleaned away up to the
    /// segment's end (F-6), or because what should be here is lost.
    fn nothing_here(
        &self,
        request: &ReadRequest,
        located: &Located,
        end: Offset,
    ) -> Result<Here, StorageError> {
        let state = self.state();
        if state.log.after_segment(located.segment) == Some(end) && end > request.from {
            return Ok(Here::Hole(end));
        }
        if !request.at_least_one {
            return Ok(Here::Nothing);
        }
        match &state.log.damage {
            Some(_) if located.bound == located.size => {}
            _ => return Ok(Here::Nothing),
        }
        drop(state);
        Err(self.damaged_at(located.segment, located.size, "nothing where records were"))
    }

    /// Check what was not looked at since start-up, and bound the read to what is good (DC6).
    fn verify(
        &self,
        file: &dyn File,
        located: &mut Located,
        wanted: &Wanted,
    ) -> Result<(), StorageError> {
        let epochs = self.state().log.epochs().clone();
        let verified = reader::verify(file, located, wanted, &epochs)?;
        if let Some(segment) = self
            .state()
            .log
            .segment_of(located.segment, located.version)
        {
            segment.verified.add(located.from, verified.end);
        }
        let damage = verified
            .damage
            .map(|why| self.damaged_at(located.segment, verified.end, why));
        located.bound = located.bound.min(verified.end);
        if located.stop > located.bound {
            located.stop = located.from;
        }
        match (damage, reader::span(file, located, wanted)?) {
            (Some(damage), Span::Nothing(_)) => Err(damage),
            _ => Ok(()),
        }
    }

    fn damaged(&self, segment: Offset, why: &'static str) -> StorageError {
        self.damaged_at(segment, 0, why)
    }

    /// A batch that is not what was written: from now on the partition is read-only (DC6).
    pub(super) fn damaged_at(&self, base: Offset, position: u64, why: &str) -> StorageError {
        let detail = format!(
            "{}, byte {position}: {why}",
            segment::path(&self.dir, base, "log").display()
        );
        let mut state = self.state();
        if state.log.damage.is_none() {
            tracing::error!(partition = %self.id, "{detail}: read-only from here on");
            state.log.damage = Some(detail.clone());
        }
        StorageError::Corrupt {
            partition: self.id,
            detail,
        }
    }

    /// Bring a segment's index in from its file, or make it again if the file is unusable.
    pub(super) fn load_index(&self, base: Offset) -> Result<(), StorageError> {
        let (size, version) = match self.state().log.segment_mut(base) {
            Some(segment) => (segment.size, segment.version),
            None => return Ok(()),
        };
        let path = segment::path(&self.dir, base, "index");
        let found = self.shared.disk.map(&path).ok();
        let found = found.and_then(|bytes| IndexFile::decode(bytes).ok());
        let found = found.filter(|file| file.covered.base == base && file.covered.bytes <= size);
        if let Some(whole) = found.as_ref().filter(|file| file.covered.bytes == size) {
            let index = Index::Mapped(whole.clone());
            self.state().log.set_index(base, version, index, size);
            return Ok(());
        }
        match self.rebuild_index(base, version, size, found) {
            // Whoever asked looks again.
            Err(error) if is_gone(&error) => Ok(()),
            Err(error) => Err(error),
            Ok(rebuilt) => {
                let mut state = self.state();
                state.log.set_index(base, version, rebuilt.index, 0);
                Ok(())
            }
        }
    }

    /// Go over the headers that the index file does not describe.
    fn rebuild_index(
        &self,
        base: Offset,
        version: u64,
        size: u64,
        found: Option<IndexFile>,
    ) -> Result<Segment, StorageError> {
        let file = self.open_segment(base, version)?;
        let interval = self.settings().index_interval_bytes;
        let mut segment = Segment::new(base, 0);
        let mut expected = found.map_or(base, |found| segment.take_up(found));
        let mut window = Window::hopping(&*file, size);
        while segment.size < size {
            match window.hop(segment.size) {
                Ok(Some(hop)) if hop.base() == expected => {
                    segment.push(expected, &hop.header, hop.header.newest(), interval);
                    expected = hop.end_offset();
                }
                Ok(_) | Err(StorageError::CorruptBatch(_)) => {
                    let _ = self.damaged_at(base, segment.size, "no batch where one was expected");
                    break;
                }
                Err(error) => return Err(error),
            }
        }
        Ok(segment)
    }

    /// Write an index beside its place and move it there: half of one is never seen.
    pub(super) fn write_index(&self, path: &std::path::Path, bytes: &[u8]) -> std::io::Result<()> {
        let beside = path.with_extension("index.new");
        let file = self.shared.disk.open(&beside, Open::Truncate)?;
        file.write_at(&[std::io::IoSlice::new(bytes)], 0)?;
        self.shared.disk.rename(&beside, path)
    }

    /// The open file of a segment, for walks that hold no lock. What is known of the segment must
    /// have been looked up at this version.
    pub(super) fn open_segment(
        &self,
        base: Offset,
        version: u64,
    ) -> Result<Arc<dyn File>, StorageError> {
        let open = self
            .state()
            .log
            .segment_of(base, version)
            .and_then(|segment| segment.file.clone());
        self.file(base, version, open)
    }

    /// What a failure to open for reading means.
    pub(super) fn read_error(&self, error: std::io::Error) -> StorageError {
        read_failed(error)
    }
}

/// Whether an error says that a segment is no longer what it was when it was looked up.
pub(super) fn is_gone(error: &StorageError) -> bool {
    matches!(error, StorageError::Io(error) if error.kind() == std::io::ErrorKind::NotFound)
}
