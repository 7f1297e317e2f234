//! The records inside a batch, read as hostile input.
//!
//! [`records`] gives them one by one with their bytes; [`walk`] looks at each without keeping
//! anything, however far a compressed batch unfolds. Both stop at [`UNPACKED_BYTES_MAX`].

use std::io::{self, BufRead, BufReader, Read};

use bytes::{Buf, Bytes};

use crate::batch::HEADER_BYTES;
use crate::{Batch, Offset, StorageError};

pub(crate) mod pack;
pub(crate) mod raw;
mod snappy;
pub(crate) mod unpack;

/// The most bytes that one batch may unfold to.
pub const UNPACKED_BYTES_MAX: usize = 128 << 20;

/// The most memory that a zstd frame may ask for as its window: 2^27 bytes, what the highest
/// level of the reference encoder uses.
const ZSTD_WINDOW_LOG_MAX: u32 = 27;

/// One record.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Record {
    /// Its place in the log.
    pub offset: Offset,
    /// Its time, ms; the batch's time for a LogAppendTime batch.
    pub timestamp_ms: i64,
    /// Its key; `None` is null.
    pub key: Option<Bytes>,
    /// Its value; `None` is null (a tombstone).
    pub value: Option<Bytes>,
    /// Its headers in order; keys may repeat (P-24).
    pub headers: Vec<(Bytes, Option<Bytes>)>,
}

/// A record without its bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RecordHead {
    /// Its offset minus the batch's base offset.
    pub offset_delta: i32,
    /// Its time minus the batch's base timestamp, ms.
    pub timestamp_delta: i64,
    /// Whether it has a key.
    pub has_key: bool,
}

/// The records of a batch, in order.
///
/// # Errors
/// [`StorageError::InvalidBatch`] if the batch is compressed and cannot be unpacked within
/// [`UNPACKED_BYTES_MAX`]. Each item is an error if the bytes are not a record; nothing follows.
pub fn records(batch: &Batch) -> Result<Records, StorageError> {
    let header = batch.header();
    let input = match header.codec() {
        0 => batch.bytes().slice(HEADER_BYTES..),
        _ => unpack(batch)?,
    };
    Ok(Records {
        input,
        left: header.count,
        base_offset: header.base_offset,
        base_timestamp: header.base_timestamp,
        append_time: header.is_log_append_time().then_some(header.max_timestamp),
    })
}

/// The records of one batch. Made by [`records`].
#[derive(Debug)]
pub struct Records {
    input: Bytes,
    left: i32,
    base_offset: i64,
    base_timestamp: i64,
    append_time: Option<i64>,
}

impl Iterator for Records {
    type Item = Result<Record, StorageError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.left <= 0 {
            return None;
        }
        self.left -= 1;
        let mut kept = Kept::default();
        match read_record(&mut self.input, &mut kept) {
            Ok(head) => {
                let created = self.base_timestamp.saturating_add(head.timestamp_delta);
                Some(Ok(Record {
                    offset: Offset::new(self.base_offset).plus(i64::from(head.offset_delta)),
                    timestamp_ms: self.append_time.unwrap_or(created),
                    key: kept.key,
                    value: kept.value,
                    headers: kept.headers,
                }))
            }
            Err(error) => {
                self.left = 0;
                Some(Err(error))
            }
        }
    }
}

/// Look at each record of a batch, keeping nothing: memory does not grow with what a compressed
/// batch unfolds to. `visit` may end the walk with an error, which is passed on.
///
/// # Errors
/// [`StorageError::InvalidBatch`] if the bytes are not the announced records, or bytes are left
/// over; what `visit` returns.
pub fn walk(
    batch: &Batch,
    mut visit: impl FnMut(RecordHead) -> Result<(), StorageError>,
) -> Result<(), StorageError> {
    let count = batch.header().count;
    let mut run = |input: &mut dyn Input| {
        for _ in 0..count {
            visit(read_record(input, &mut Skipped)?)?;
        }
        if input.is_at_end()? {
            Ok(())
        } else {
            Err(MALFORMED)
        }
    };
    if batch.header().codec() == 0 {
        return run(&mut batch.bytes().slice(HEADER_BYTES..));
    }
    let mut stream = Stream {
        reader: BufReader::new(unpacker(batch)?),
        budget: UNPACKED_BYTES_MAX,
    };
    run(&mut stream)
}

const MALFORMED: StorageError = StorageError::InvalidBatch("the records are malformed");
const TOO_LARGE: StorageError = StorageError::InvalidBatch("the records unfold to too much");

fn unpacker(batch: &Batch) -> Result<Box<dyn Read + '_>, StorageError> {
    let packed = &batch.bytes()[HEADER_BYTES..];
    Ok(match batch.header().codec() {
        1 => Box::new(flate2::read::MultiGzDecoder::new(packed)),
        2 => Box::new(snappy::Decoder::new(packed, UNPACKED_BYTES_MAX)),
        3 => Box::new(lz4_flex::frame::FrameDecoder::new(packed)),
        4 => {
            let mut decoder =
                zstd::stream::read::Decoder::with_buffer(packed).map_err(|_| MALFORMED)?;
            decoder
                .window_log_max(ZSTD_WINDOW_LOG_MAX)
                .map_err(|_| MALFORMED)?;
            Box::new(decoder)
        }
        _ => return Err(StorageError::InvalidBatch("an unknown compression codec")),
    })
}

fn unpack(batch: &Batch) -> Result<Bytes, StorageError> {
    Ok(unpacked(batch, UNPACKED_BYTES_MAX)?.into())
}

/// The records of a batch, uncompressed: at most so many bytes.
///
/// # Errors
/// [`StorageError::InvalidBatch`] if they do not unpack, or to more.
pub(crate) fn unpacked(batch: &Batch, bytes_max: usize) -> Result<Vec<u8>, StorageError> {
    if batch.header().codec() == 0 {
        return Ok(batch.packed_records().to_vec());
    }
    let mut unpacked = Vec::new();
    unpacker(batch)?
        .take(bytes_max as u64 + 1)
        .read_to_end(&mut unpacked)
        .map_err(|_| MALFORMED)?;
    if unpacked.len() > bytes_max {
        return Err(TOO_LARGE);
    }
    Ok(unpacked)
}

/// Where a record's bytes come from.
trait Input {
    fn byte(&mut self) -> Result<u8, StorageError>;
    fn skip(&mut self, len: usize) -> Result<(), StorageError>;
    fn is_at_end(&mut self) -> Result<bool, StorageError>;
}

impl Input for Bytes {
    fn byte(&mut self) -> Result<u8, StorageError> {
        let byte = *self.first().ok_or(MALFORMED)?;
        self.advance(1);
        Ok(byte)
    }

    fn skip(&mut self, len: usize) -> Result<(), StorageError> {
        split(self, len).map(drop)
    }

    fn is_at_end(&mut self) -> Result<bool, StorageError> {
        Ok(self.is_empty())
    }
}

fn split(bytes: &mut Bytes, len: usize) -> Result<Bytes, StorageError> {
    if len > bytes.len() {
        return Err(MALFORMED);
    }
    Ok(bytes.split_to(len))
}

impl Input for &[u8] {
    fn byte(&mut self) -> Result<u8, StorageError> {
        let Some((byte, rest)) = self.split_first() else {
            return Err(MALFORMED);
        };
        *self = rest;
        Ok(*byte)
    }

    fn skip(&mut self, len: usize) -> Result<(), StorageError> {
        cut(self, len).map(drop)
    }

    fn is_at_end(&mut self) -> Result<bool, StorageError> {
        Ok(self.is_empty())
    }
}

fn cut<'a>(bytes: &mut &'a [u8], len: usize) -> Result<&'a [u8], StorageError> {
    let Some((front, rest)) = bytes.split_at_checked(len) else {
        return Err(MALFORMED);
    };
    *bytes = rest;
    Ok(front)
}

/// A decompressor that may yield so many bytes and no more.
struct Stream<R> {
    reader: BufReader<R>,
    budget: usize,
}

impl<R: Read> Stream<R> {
    fn pay(&mut self, len: usize) -> Result<(), StorageError> {
        self.budget = self.budget.checked_sub(len).ok_or(TOO_LARGE)?;
        Ok(())
    }
}

impl<R: Read> Input for Stream<R> {
    fn byte(&mut self) -> Result<u8, StorageError> {
        self.pay(1)?;
        let byte = *fill(&mut self.reader)?.first().ok_or(MALFORMED)?;
        self.reader.consume(1);
        Ok(byte)
    }

    fn skip(&mut self, mut len: usize) -> Result<(), StorageError> {
        self.pay(len)?;
        while len > 0 {
            let step = fill(&mut self.reader)?.len().min(len);
            if step == 0 {
                return Err(MALFORMED);
            }
            self.reader.consume(step);
            len -= step;
        }
        Ok(())
    }

    fn is_at_end(&mut self) -> Result<bool, StorageError> {
        Ok(fill(&mut self.reader)?.is_empty())
    }
}

fn fill<R: Read>(reader: &mut BufReader<R>) -> Result<&[u8], StorageError> {
    loop {
        match reader.fill_buf() {
            // Asked again: the borrow of the first answer cannot leave the loop.
            Ok(_) => return reader.fill_buf().map_err(|_| MALFORMED),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(_) => return Err(MALFORMED),
        }
    }
}

/// What happens to the bytes of a record's fields.
trait Fields<I: ?Sized> {
    fn key(&mut self, input: &mut I, len: Option<usize>) -> Result<(), StorageError>;
    fn value(&mut self, input: &mut I, len: Option<usize>) -> Result<(), StorageError>;
    fn header(
        &mut self,
        input: &mut I,
        left: &mut Left,
        key_len: usize,
    ) -> Result<(), StorageError>;
}

#[derive(Default)]
struct Kept {
    key: Option<Bytes>,
    value: Option<Bytes>,
    headers: Vec<(Bytes, Option<Bytes>)>,
}

fn keep(input: &mut Bytes, len: Option<usize>) -> Result<Option<Bytes>, StorageError> {
    len.map(|len| split(input, len)).transpose()
}

impl Fields<Bytes> for Kept {
    fn key(&mut self, input: &mut Bytes, len: Option<usize>) -> Result<(), StorageError> {
        self.key = keep(input, len)?;
        Ok(())
    }

    fn value(&mut self, input: &mut Bytes, len: Option<usize>) -> Result<(), StorageError> {
        self.value = keep(input, len)?;
        Ok(())
    }

    fn header(
        &mut self,
        input: &mut Bytes,
        left: &mut Left,
        key_len: usize,
    ) -> Result<(), StorageError> {
        let key = split(input, key_len)?;
        let len = left.length(input)?;
        self.headers.push((key, keep(input, len)?));
        Ok(())
    }
}

struct Skipped;

impl<I: Input + ?Sized> Fields<I> for Skipped {
    fn key(&mut self, input: &mut I, len: Option<usize>) -> Result<(), StorageError> {
        input.skip(len.unwrap_or(0))
    }

    fn value(&mut self, input: &mut I, len: Option<usize>) -> Result<(), StorageError> {
        input.skip(len.unwrap_or(0))
    }

    fn header(
        &mut self,
        input: &mut I,
        left: &mut Left,
        key_len: usize,
    ) -> Result<(), StorageError> {
        input.skip(key_len)?;
        let len = left.length(input)?;
        input.skip(len.unwrap_or(0))
    }
}

/// How many of a record's announced bytes were not read yet.
struct Left(usize);

impl Left {
    fn pay(&mut self, len: usize) -> Result<(), StorageError> {
        // No error is made that has to be dropped: this is done for every field.
        let Some(left) = self.0.checked_sub(len) else {
            return Err(MALFORMED);
        };
        self.0 = left;
        Ok(())
    }

    fn varint<I: Input + ?Sized>(&mut self, input: &mut I) -> Result<i64, StorageError> {
        let (value, len) = varint(input)?;
        self.pay(len)?;
        Ok(value)
    }

    fn int<I: Input + ?Sized>(&mut self, input: &mut I) -> Result<i32, StorageError> {
        i32::try_from(self.varint(input)?).map_err(|_| MALFORMED)
    }

    /// The length of a field, already paid for: -1 is null, anything below is refused.
    fn length<I: Input + ?Sized>(&mut self, input: &mut I) -> Result<Option<usize>, StorageError> {
        match self.int(input)? {
            -1 => Ok(None),
            len => {
                let len = usize::try_from(len).map_err(|_| MALFORMED)?;
                self.pay(len)?;
                Ok(Some(len))
            }
        }
    }
}

fn read_record<I: Input + ?Sized>(
    input: &mut I,
    fields: &mut impl Fields<I>,
) -> Result<RecordHead, StorageError> {
    let (len, _) = varint(input)?;
    if !(0..=i64::from(i32::MAX)).contains(&len) {
        return Err(MALFORMED);
    }
    let mut left = Left(len as usize);
    left.pay(1)?;
    input.byte()?;
    let timestamp_delta = left.varint(input)?;
    let offset_delta = left.int(input)?;
    let key = left.length(input)?;
    fields.key(input, key)?;
    let value = left.length(input)?;
    fields.value(input, value)?;
    let headers = left.int(input)?;
    if headers < 0 {
        return Err(MALFORMED);
    }
    for _ in 0..headers {
        let key_len = left.length(input)?.ok_or(MALFORMED)?;
        fields.header(input, &mut left, key_len)?;
    }
    if left.0 != 0 {
        return Err(MALFORMED);
    }
    Ok(RecordHead {
        offset_delta,
        timestamp_delta,
        has_key: key.is_some(),
    })
}

/// A zigzag varint of up to ten bytes, and how many it took.
fn varint<I: Input + ?Sized>(input: &mut I) -> Result<(i64, usize), StorageError> {
    let mut raw = 0_u64;
    for len in 0..10 {
        let byte = input.byte()?;
        if len == 9 && byte > 1 {
            return Err(MALFORMED);
        }
        raw |= u64::from(byte & 0x7f) << (7 * len);
        if byte & 0x80 == 0 {
            let value = (raw >> 1).cast_signed() ^ -(raw & 1).cast_signed();
            return Ok((value, len + 1));
        }
    }
    Err(MALFORMED)
}

#[cfg(test)]
mod tests;
