//! Reads whole batches out of a segment's file, without the log's lock.

use std::borrow::Cow;
use std::sync::Arc;

use bytes::Bytes;

use crate::batch::{BatchHeader, CRC_FROM, HEADER_BYTES};
use crate::disk::{File, read_exact_at};
use crate::engine::FileRange;
use crate::log::Located;
use crate::log::epochs::Epochs;
use crate::transaction::MARKER_BYTES_MAX;
use crate::{Batch, Marker, Offset, Position, ReadRequest, Slice, StorageError};

/// What is at most looked through at once for a batch's header.
const PROBE_BYTES: u64 = 16 << 10;

/// What is read at once where every byte is looked at.
const SCAN_BYTES: u64 = 256 << 10;

/// Answers up to this size are read into memory: cheaper than a sendfile of their own.
const SMALL_BYTES: u64 = 16 << 10;

/// A first read of a range checks no more than this at once (but one batch always).
const UNVERIFIED_BYTES_MAX: u64 = 1 << 20;

/// A batch found in a file.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Hop {
    /// Where the batch begins.
    pub position: Position,
    /// Its header.
    pub header: BatchHeader,
}

impl Hop {
    /// Where the next batch begins.
    pub fn next(&self) -> Position {
        self.position + self.header.bytes as u64
    }

    /// The batch's first offset.
    pub fn base(&self) -> Offset {
        Offset::new(self.header.base_offset)
    }

    /// One past the batch's last offset.
    pub fn end_offset(&self) -> Offset {
        self.base()
            .plus(i64::from(self.header.last_offset_delta) + 1)
    }
}

/// Part of a file, read in steps.
pub(crate) struct Window<'a> {
    file: Option<&'a dyn File>,
    end: Position,
    step: u64,
    buffer: Cow<'a, [u8]>,
    at: Position,
}

impl<'a> Window<'a> {
    /// For going from header to header up to `end`.
    pub fn hopping(file: &'a dyn File, end: Position) -> Self {
        Self::new(file, end, PROBE_BYTES)
    }

    /// For going over what is in memory already.
    pub fn holding(bytes: &'a [u8]) -> Self {
        Self {
            file: None,
            end: bytes.len() as u64,
            step: 0,
            buffer: Cow::Borrowed(bytes),
            at: 0,
        }
    }

    /// For looking at every byte up to `end`.
    pub fn scanning(file: &'a dyn File, end: Position) -> Self {
        Self::new(file, end, SCAN_BYTES)
    }

    fn new(file: &'a dyn File, end: Position, step: u64) -> Self {
        Self {
            file: Some(file),
            end,
            step,
            buffer: Cow::Owned(Vec::new()),
            at: 0,
        }
    }

    /// Bytes from `position` on: at least `least`, fewer only at the end.
    pub fn bytes(&mut self, position: Position, least: usize) -> Result<&[u8], StorageError> {
        let left = self.end.saturating_sub(position);
        let least = left.min(least as u64);
        let buffered = self.at + self.buffer.len() as u64;
        if let Some(file) = self.file
            && (position < self.at || position + least > buffered)
        {
            let len = left.min(self.step.max(least));
            let buffer = self.buffer.to_mut();
            buffer.resize(usize::try_from(len).unwrap_or(0), 0);
            self.at = position;
            if let Err(error) = read_exact_at(file, buffer, position) {
                buffer.clear();
                return Err(io(error));
            }
        }
        Ok(&self.buffer[usize::try_from(position - self.at).unwrap_or(0)..])
    }

    /// The header at `position`; `None` at the end.
    ///
    /// # Errors
    /// [`StorageError::Io`], or [`StorageError::CorruptBatch`] if no batch begins there or it
    /// reaches past the end.
    pub fn hop(&mut self, position: Position) -> Result<Option<Hop>, StorageError> {
        if position >= self.end {
            return Ok(None);
        }
        let header = BatchHeader::decode(self.bytes(position, HEADER_BYTES)?)
            .map_err(|_| StorageError::CorruptBatch("no batch begins here"))?;
        let hop = Hop { position, header };
        if hop.next() > self.end || header.last_offset_delta < 0 || header.base_offset < 0 {
            return Err(StorageError::CorruptBatch("reaches past the end"));
        }
        Ok(Some(hop))
    }

    /// The marker that a batch is, if it is one.
    ///
    /// # Errors
    /// [`StorageError::Io`].
    pub fn marker(&mut self, hop: &Hop) -> Result<Option<Marker>, StorageError> {
        if !hop.header.is_control() || hop.header.bytes > MARKER_BYTES_MAX {
            return Ok(None);
        }
        let bytes = self.bytes(hop.position, hop.header.bytes)?;
        let bytes = Bytes::copy_from_slice(&bytes[..hop.header.bytes.min(bytes.len())]);
        let batch = Batch::parse(bytes, MARKER_BYTES_MAX).ok();
        Ok(batch.as_ref().and_then(Marker::from_batch))
    }

    /// Whether the CRC of a batch fits, without holding all of it.
    pub fn crc_fits(&mut self, hop: &Hop) -> Result<bool, StorageError> {
        let (mut at, end) = (hop.position + CRC_FROM as u64, hop.next());
        let mut crc = 0;
        while at < end {
            let bytes = self.bytes(at, 1)?;
            let most = usize::try_from(end - at).unwrap_or(usize::MAX);
            let step = &bytes[..bytes.len().min(most)];
            crc = crc32c::crc32c_append(crc, step);
            at += step.len() as u64;
        }
        Ok(crc == hop.header.crc)
    }
}

fn io(error: std::io::Error) -> StorageError {
    StorageError::Io(Arc::new(error))
}

/// The limits of one read.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Wanted {
    /// The first offset.
    pub from: Offset,
    /// The most bytes.
    pub max_bytes: u64,
    /// Give the first batch whatever its length (F-1).
    pub at_least_one: bool,
}

impl Wanted {
    /// The limits of this request.
    pub fn of(request: &ReadRequest) -> Self {
        Self {
            from: request.from,
            max_bytes: request.max_bytes as u64,
            at_least_one: request.at_least_one,
        }
    }
}

/// The tail of a log in one read: `None` if there is more than that, or it is not verified;
/// `Some(None)` if no batch may be given.
///
/// # Errors
/// As [`Window::hop`].
pub(crate) fn small(
    file: &dyn File,
    located: &Located,
    wanted: &Wanted,
) -> Result<Option<Option<Bytes>>, StorageError> {
    let len = located.bound - located.from;
    if len > SMALL_BYTES || located.verified < located.bound {
        return Ok(None);
    }
    let mut buffer = vec![0; usize::try_from(len).unwrap_or(0)];
    read_exact_at(file, &mut buffer, located.from).map_err(io)?;
    let (mut first, mut end) = (None, 0);
    while end < buffer.len() {
        let header = BatchHeader::decode(&buffer[end..])?;
        let hop = Hop {
            position: end as u64,
            header,
        };
        let next = end.saturating_add(header.bytes);
        if next > buffer.len() {
            return Err(StorageError::CorruptBatch("reaches past the end"));
        }
        if first.is_some() || begins(&hop, located, wanted) {
            let begin = *first.get_or_insert(end);
            let is_first = begin == end;
            let is_over = (next - begin) as u64 > wanted.max_bytes;
            if is_over && !(is_first && wanted.at_least_one) {
                break;
            }
        }
        end = next;
    }
    let found = first.filter(|begin| *begin < end);
    Ok(Some(
        found.map(|begin| Bytes::from(buffer).slice(begin..end)),
    ))
}

/// Where the wanted batches lie.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Span {
    /// Here, to there.
    At(Position, Position),
    /// The first is longer than may be given.
    TooLong,
    /// Nothing up to the bound, where the last batch ends before this offset.
    Nothing(Offset),
}

/// Whether a read may begin with this batch. What only stands for a hole in the offsets is passed
/// over, unless nothing follows it (F-6).
fn begins(hop: &Hop, located: &Located, wanted: &Wanted) -> bool {
    hop.end_offset() > wanted.from && (located.is_last || !hop.header.is_filler())
}

/// Where the wanted batches lie.
///
/// # Errors
/// As [`Window::hop`].
pub(crate) fn span(
    file: &dyn File,
    located: &Located,
    wanted: &Wanted,
) -> Result<Span, StorageError> {
    let mut window = Window::hopping(file, located.bound);
    let (mut at, mut end) = (located.from, located.offset);
    let first = loop {
        match window.hop(at)? {
            None => return Ok(Span::Nothing(end)),
            Some(hop) if begins(&hop, located, wanted) => break hop,
            Some(hop) => (at, end) = (hop.next(), hop.end_offset()),
        }
    };
    let limit = first.position.saturating_add(wanted.max_bytes);
    if located.bound <= limit {
        return Ok(Span::At(first.position, located.bound));
    }
    if first.next() > limit {
        return Ok(match wanted.at_least_one {
            true => Span::At(first.position, first.next()),
            false => Span::TooLong,
        });
    }
    let mut end = first.next().max(located.stop);
    while let Some(hop) = window.hop(end)? {
        if hop.next() > limit {
            break;
        }
        end = hop.next();
    }
    Ok(Span::At(first.position, end))
}

/// The batches of a span that was verified.
///
/// # Errors
/// [`StorageError::Io`].
pub(crate) fn slice(
    file: &Arc<dyn File>,
    (from, end): (Position, Position),
) -> Result<Slice, StorageError> {
    let range = FileRange {
        file: Arc::clone(file),
        position: from,
        len: usize::try_from(end - from).unwrap_or(usize::MAX),
    };
    let slice = Slice::File(range);
    if end - from > SMALL_BYTES {
        return Ok(slice);
    }
    slice.to_bytes().map(Slice::Bytes)
}

/// How far a range is good.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Verified {
    /// One past the last good batch.
    pub end: Position,
    /// What is wrong with the batch there, if one is.
    pub damage: Option<&'static str>,
}

/// Check a range that was not looked at since start-up (DC6), from an indexed batch to the end of
/// what is wanted: CRCs, offsets without a gap, and the leader epoch that the log knows for each
/// offset (neither is under the CRC).
///
/// # Errors
/// [`StorageError::Io`].
pub(crate) fn verify(
    file: &dyn File,
    located: &Located,
    wanted: &Wanted,
    epochs: &Epochs,
) -> Result<Verified, StorageError> {
    let want = wanted.max_bytes.min(UNVERIFIED_BYTES_MAX) + 2 * PROBE_BYTES;
    let enough = located.from.saturating_add(want).min(located.bound);
    let mut window = Window::scanning(file, located.size);
    let (mut at, mut expected) = (located.from, located.offset);
    let mut begun = false;
    while at < enough || (at < located.bound && !begun) {
        let damage = match window.hop(at) {
            Ok(None) => break,
            Ok(Some(hop)) if hop.base() != expected => "an offset out of line",
            Ok(Some(hop)) if epochs.at(expected) != Some(hop.header.leader_epoch) => {
                "a leader epoch out of line"
            }
            Ok(Some(hop)) => {
                if window.crc_fits(&hop)? {
                    begun |= begins(&hop, located, wanted);
                    at = hop.next();
                    expected = hop.end_offset();
                    continue;
                }
                "CRC does not match"
            }
            Err(StorageError::CorruptBatch(why)) => why,
            Err(error) => return Err(error),
        };
        return Ok(Verified {
            end: at,
            damage: Some(damage),
        });
    }
    Ok(Verified {
        end: at,
        damage: None,
    })
}
