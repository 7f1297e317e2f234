//! Reading segments batch by batch, and writing what is left of them.

use std::io::IoSlice;
use std::sync::Arc;

use bytes::Bytes;

use crate::batch::{BatchHeader, HEADER_BYTES};
use crate::disk::{File, read_exact_at};
use crate::log::compaction::ended::Ended;
use crate::log::compaction::filter::{Left, Rules, Scratch, filler};
use crate::log::compaction::{Pace, Source};
use crate::log::segment::Segment;
use crate::{AbortedTransaction, Batch, Offset, Position, StorageError};

/// What is read and written at once.
const STEP_BYTES: u64 = 1 << 20;

/// The batches of one segment, each checked: CRC, and offsets without a gap.
pub(crate) struct BatchReader<'a> {
    source: &'a Source,
    at: Position,
    expected: Offset,
    buffer: Bytes,
}

impl<'a> BatchReader<'a> {
    /// From the segment's first batch on.
    pub fn new(source: &'a Source) -> Self {
        Self {
            source,
            at: 0,
            expected: source.base,
            buffer: Bytes::new(),
        }
    }

    /// One past the last offset of the batch that was given last.
    pub fn expected(&self) -> Offset {
        self.expected
    }

    /// The next batch.
    ///
    /// # Errors
    /// [`StorageError::Io`], [`StorageError::CorruptBatch`].
    pub fn next(&mut self) -> Result<Option<Batch>, StorageError> {
        let left = self.source.size - self.at;
        if left == 0 {
            return Ok(None);
        }
        self.fill(left.min(HEADER_BYTES as u64))?;
        let header = BatchHeader::decode(&self.buffer)
            .map_err(|_| StorageError::CorruptBatch("no batch begins here"))?;
        let len = header.bytes as u64;
        if len > left || header.base_offset != self.expected.get() || header.last_offset_delta < 0 {
            return Err(StorageError::CorruptBatch("a batch out of line"));
        }
        self.fill(len)?;
        let batch = Batch::parse(self.buffer.split_to(header.bytes), usize::MAX)?;
        self.at += len;
        self.expected = self.expected.plus(i64::from(header.last_offset_delta) + 1);
        Ok(Some(batch))
    }

    /// Have at least so many bytes in the buffer, which the segment has.
    fn fill(&mut self, least: u64) -> Result<(), StorageError> {
        if self.buffer.len() as u64 >= least {
            return Ok(());
        }
        let len = (self.source.size - self.at).min(least.max(STEP_BYTES));
        let mut buffer = vec![0; usize::try_from(len).unwrap_or(usize::MAX)];
        read_exact_at(&*self.source.file, &mut buffer, self.at)
            .map_err(|error| StorageError::Io(Arc::new(error)))?;
        self.buffer = buffer.into();
        Ok(())
    }
}

/// Offsets whose batches are gone.
struct Hole {
    base: Offset,
    end: Offset,
    leader_epoch: i32,
}

/// A segment being written.
struct Output<'a> {
    file: &'a dyn File,
    segment: Segment,
    interval_bytes: u32,
    written: Position,
    buffer: Vec<u8>,
    hole: Option<Hole>,
}

/// What came of a copy.
#[derive(Debug)]
pub(crate) struct Copied {
    /// The new segment.
    pub segment: Segment,
    /// Whether anything was left out or changed.
    pub is_changed: bool,
    /// The aborted transactions whose markers lie in it, and of which readers must know.
    pub aborted: Vec<AbortedTransaction>,
}

/// Write what is left of `sources`, which follow each other, into `file`.
///
/// # Errors
/// As [`super::map_keys`], and any failure to write: [`StorageError::Io`].
pub(crate) fn copy(
    sources: &[Source],
    file: &dyn File,
    rules: &Rules<'_>,
    ended: &mut Ended,
    interval_bytes: u32,
    pace: Pace<'_>,
) -> Result<Copied, CopyError> {
    let base = sources.first().map_or(Offset::ZERO, |source| source.base);
    let mut output = Output {
        file,
        segment: Segment::new(base, rules.now_ms),
        interval_bytes,
        written: 0,
        buffer: Vec::new(),
        hole: None,
    };
    let mut is_changed = sources.len() > 1;
    let mut scratch = Scratch::default();
    for source in sources {
        let mut reader = BatchReader::new(source);
        while let Some(batch) = reader.next()? {
            let before = output.segment.size;
            match rules.apply(&batch, ended, &mut scratch)? {
                Left::Whole => output.put(&batch)?,
                Left::Part(part) => {
                    is_changed = true;
                    output.put(&part)?;
                }
                Left::Nothing => {
                    is_changed |= !batch.header().is_filler();
                    output.leave_out(batch.header())?;
                }
            }
            pace(batch.bytes().len() as u64 + output.segment.size - before)?;
        }
    }
    output.close_hole()?;
    output.flush()?;
    let mut segment = output.segment;
    segment.verified.add(0, segment.size);
    Ok(Copied {
        segment,
        is_changed,
        aborted: ended.take_kept(),
    })
}

/// Why a copy failed.
#[derive(Debug)]
pub(crate) enum CopyError {
    /// Reading, or what was read.
    Read(StorageError),
    /// Writing.
    Write(std::io::Error),
}

impl From<StorageError> for CopyError {
    fn from(error: StorageError) -> Self {
        Self::Read(error)
    }
}

impl Output<'_> {
    fn put(&mut self, batch: &Batch) -> Result<(), CopyError> {
        self.close_hole()?;
        self.push(batch)
    }

    fn push(&mut self, batch: &Batch) -> Result<(), CopyError> {
        let header = batch.header();
        let base = Offset::new(header.base_offset);
        self.segment
            .push(base, header, header.newest(), self.interval_bytes);
        self.buffer.extend_from_slice(batch.bytes());
        if self.buffer.len() as u64 >= STEP_BYTES {
            self.flush()?;
        }
        Ok(())
    }

    /// A batch goes. Of those next to each other one filler is left; not across leader epochs,
    /// since recovery finds in the batches where each began.
    fn leave_out(&mut self, header: &BatchHeader) -> Result<(), CopyError> {
        let base = Offset::new(header.base_offset);
        let end = base.plus(i64::from(header.last_offset_delta) + 1);
        if let Some(hole) = &mut self.hole
            && hole.leader_epoch == header.leader_epoch
            && end.get() - hole.base.get() <= i64::from(i32::MAX)
        {
            hole.end = end;
            return Ok(());
        }
        self.close_hole()?;
        self.hole = Some(Hole {
            base,
            end,
            leader_epoch: header.leader_epoch,
        });
        Ok(())
    }

    fn close_hole(&mut self) -> Result<(), CopyError> {
        match self.hole.take() {
            Some(hole) => self.push(&filler(hole.base, hole.end, hole.leader_epoch)?),
            None => Ok(()),
        }
    }

    fn flush(&mut self) -> Result<(), CopyError> {
        self.file
            .write_at(&[IoSlice::new(&self.buffer)], self.written)
            .map_err(CopyError::Write)?;
        self.written += self.buffer.len() as u64;
        self.buffer.clear();
        Ok(())
    }
}
