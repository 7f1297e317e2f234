//! Reading a partition: the look-up under the short lock, everything else without it.

use std::sync::Arc;

use crate::disk::{File, Open};
use crate::local::access::read_failed;
use crate::local::partition::LocalPartition;
use crate::log::index::{Index, IndexFile};
use crate::log::reader::{self, Wanted, Window};
use crate::log::segment::{self, Segment};
use crate::log::{Located, Look};
use crate::{AbortedTransaction, Offset, Read, ReadRequest, Slice, StorageError};

/// How often a look-up starts over because retention took the segment away meanwhile.
const LOOKS_MAX: usize = 3;

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
                wants_aborted = located.wants_aborted.then_some(located.segment);
                let Some(file) = located.file.as_ref() else {
                    return Ok(None);
                };
                if located.verified <= located.from {
                    return Ok(None);
                }
                let wanted = Wanted::of(request);
                if let Ok(Some(bytes)) = reader::small(&**file, &located, &wanted) {
                    let records = bytes.map(Slice::Bytes);
                    return Ok(Some(Read {
                        aborted: self.aborted_for(request, wants_aborted, records.as_ref()),
                        records,
                        offsets,
                        behind_active,
                    }));
                }
                match reader::span(&**file, &located, &wanted) {
                    Ok(Some(span)) if span.1 <= located.verified => {
                        Some(reader::slice(file, span)?)
                    }
                    Ok(None) if located.bound <= located.verified => None,
                    Ok(_) | Err(StorageError::CorruptBatch(_)) => return Ok(None),
                    Err(error) => return Err(error),
                }
            }
        };
        Ok(Some(Read {
            aborted: self.aborted_for(request, wants_aborted, records.as_ref()),
            records,
            offsets,
            behind_active,
        }))
    }

    /// What [`Read::aborted`] says, if it is wanted; of records of this segment.
    fn aborted_for(
        &self,
        request: &ReadRequest,
        segment: Option<Offset>,
        records: Option<&Slice>,
    ) -> Vec<AbortedTransaction> {
        match segment {
            None => Vec::new(),
            Some(segment) => self.aborted_in(request, segment, records),
        }
    }

    /// Read whole batches; blocks for the disk.
    pub(super) fn read_now(&self, request: &ReadRequest) -> Result<Read, StorageError> {
        let mut looks = 0;
        loop {
            let (offsets, look, behind_active) = self.look(request)?;
            let mut wants_aborted = None;
            let records = match look {
                Look::Empty => Ok(None),
                Look::NeedsIndex(base) => {
                    self.load_index(base)?;
                    continue;
                }
                Look::Missing => Err(self.damaged_at(request.from, 0, "the file is missing")),
                Look::Found(located) => {
                    wants_aborted = located.wants_aborted.then_some(located.segment);
                    self.read_located(request, located)
                }
            };
            match records {
                Ok(records) => {
                    return Ok(Read {
                        aborted: self.aborted_for(request, wants_aborted, records.as_ref()),
                        records,
                        offsets,
                        behind_active,
                    });
                }
                // The segment was deleted between the look and the open: look again.
                Err(StorageError::Io(error))
                    if error.kind() == std::io::ErrorKind::NotFound && looks < LOOKS_MAX =>
                {
                    looks += 1;
                }
                Err(error) => return Err(error),
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
    ) -> Result<Option<Slice>, StorageError> {
        let file = self.file(located.segment, located.file.take())?;
        let wanted = Wanted::of(request);
        match reader::span(&*file, &located, &wanted) {
            Ok(None) if located.bound <= located.verified => {
                return self.nothing_here(request, &located);
            }
            Ok(Some(span)) if span.1 <= located.verified => {
                return reader::slice(&file, span).map(Some);
            }
            Ok(_) | Err(StorageError::CorruptBatch(_)) => {}
            Err(error) => return Err(error),
        }
        self.verify(&*file, &mut located, &wanted)?;
        match reader::span(&*file, &located, &wanted) {
            Ok(None) => self.nothing_here(request, &located),
            Ok(Some(span)) => reader::slice(&file, span).map(Some),
            Err(StorageError::CorruptBatch(why)) => Err(self.damaged(located.segment, why)),
            Err(error) => Err(error),
        }
    }

    /// Nothing is to be given: because of the limits, or because what should be here is lost.
    fn nothing_here(
        &self,
        request: &ReadRequest,
        located: &Located,
    ) -> Result<Option<Slice>, StorageError> {
        if !request.at_least_one {
            return Ok(None);
        }
        match &self.state().log.damage {
            Some(_) if located.bound == located.size => {}
            _ => return Ok(None),
        }
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
        if let Some(segment) = self.state().log.segment_mut(located.segment) {
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
            (Some(damage), None) => Err(damage),
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
        let size = match self.state().log.segment_mut(base) {
            Some(segment) => segment.size,
            None => return Ok(()),
        };
        let path = segment::path(&self.dir, base, "index");
        let found = self.shared.disk.map(&path).ok();
        let found = found.and_then(|bytes| IndexFile::decode(bytes).ok());
        let found = found.filter(|file| file.covered.base == base && file.covered.bytes <= size);
        if let Some(whole) = found.as_ref().filter(|file| file.covered.bytes == size) {
            self.state()
                .log
                .set_index(base, Index::Mapped(whole.clone()), size);
            return Ok(());
        }
        let rebuilt = self.rebuild_index(base, size, found)?;
        self.state().log.set_index(base, rebuilt.index, 0);
        Ok(())
    }

    /// Go over the headers that the index file does not describe.
    fn rebuild_index(
        &self,
        base: Offset,
        size: u64,
        found: Option<IndexFile>,
    ) -> Result<Segment, StorageError> {
        let file = self.open_segment(base)?;
        let interval = self.settings().index_interval_bytes;
        let mut segment = Segment::new(base, 0);
        let mut expected = found.map_or(base, |found| segment.take_up(found));
        let mut window = Window::hopping(&*file, size);
        while segment.size < size {
            match window.hop(segment.size) {
                Ok(Some(hop)) if hop.base() == expected => {
                    segment.push(expected, &hop.header, hop.header.max_timestamp, interval);
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

    /// An open file and the read errors of its partition, for walks that hold no lock.
    pub(super) fn open_segment(&self, base: Offset) -> Result<Arc<dyn File>, StorageError> {
        let open = self
            .state()
            .log
            .segment_mut(base)
            .and_then(|segment| segment.file.clone());
        self.file(base, open)
    }

    /// What a failure to open for reading means.
    pub(super) fn read_error(&self, error: std::io::Error) -> StorageError {
        read_failed(error)
    }
}
