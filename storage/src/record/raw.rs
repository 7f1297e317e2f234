//! The records of a batch with their own bytes, so that some can be taken out and the others kept
//! as they are. Nothing is copied and nothing counted: a cleaning looks at each record of a log.

use super::{Fields, Input, Left, MALFORMED, cut, read_record, varint};
use crate::batch::put_varint;
use crate::{BatchHeader, StorageError};

/// A record and where its bytes lie.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Raw<'a> {
    /// All of it, its length in front.
    pub bytes: &'a [u8],
    /// Its offset minus the batch's base offset.
    pub offset_delta: i32,
    /// Its time minus the batch's base timestamp, ms.
    pub timestamp_delta: i64,
    /// Its key; `None` is null.
    pub key: Option<&'a [u8]>,
    /// Whether its value is not null.
    pub has_value: bool,
}

/// The records of one batch. Made by [`records`].
#[derive(Debug)]
pub(crate) struct Raws<'a> {
    input: &'a [u8],
    left: i32,
    last_delta: i32,
}

/// The records of a batch, in order. `unpacked` are their bytes, as
/// [`Unpacker`](super::unpack::Unpacker) gives them.
///
/// Items are errors if the bytes are no record, an offset lies outside of the batch, or bytes are
/// left over; nothing follows.
pub(crate) fn records<'a>(header: &BatchHeader, unpacked: &'a [u8]) -> Raws<'a> {
    Raws {
        input: unpacked,
        left: header.count,
        last_delta: header.last_offset_delta,
    }
}

impl<'a> Raws<'a> {
    fn read(&mut self) -> Result<Raw<'a>, StorageError> {
        let bytes = self.input;
        let mut fields = Keyed::default();
        let head = read_record(&mut self.input, &mut fields)?;
        let is_outside = !(0..=self.last_delta).contains(&head.offset_delta);
        if is_outside || (self.left == 0 && !self.input.is_empty()) {
            return Err(MALFORMED);
        }
        Ok(Raw {
            bytes: &bytes[..bytes.len() - self.input.len()],
            offset_delta: head.offset_delta,
            timestamp_delta: head.timestamp_delta,
            key: fields.key,
            has_value: fields.has_value,
        })
    }
}

impl<'a> Iterator for Raws<'a> {
    type Item = Result<Raw<'a>, StorageError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.left <= 0 {
            return None;
        }
        self.left -= 1;
        let record = self.read();
        if record.is_err() {
            self.left = 0;
        }
        Some(record)
    }
}

#[derive(Default)]
struct Keyed<'a> {
    key: Option<&'a [u8]>,
    has_value: bool,
}

impl<'a> Fields<&'a [u8]> for Keyed<'a> {
    fn key(&mut self, input: &mut &'a [u8], len: Option<usize>) -> Result<(), StorageError> {
        self.key = len.map(|len| cut(input, len)).transpose()?;
        Ok(())
    }

    fn value(&mut self, input: &mut &'a [u8], len: Option<usize>) -> Result<(), StorageError> {
        self.has_value = len.is_some();
        input.skip(len.unwrap_or(0))
    }

    fn header(
        &mut self,
        input: &mut &'a [u8],
        left: &mut Left,
        key_len: usize,
    ) -> Result<(), StorageError> {
        super::Skipped.header(input, left, key_len)
    }
}

impl Raw<'_> {
    /// Write the record as one of a batch whose base timestamp is `shift_ms` lower.
    ///
    /// # Errors
    /// [`StorageError::InvalidBatch`] if its bytes are no record.
    pub fn put_shifted(&self, out: &mut Vec<u8>, shift_ms: i64) -> Result<(), StorageError> {
        let mut rest = self.bytes;
        varint(&mut rest)?;
        let attributes = rest.byte()?;
        varint(&mut rest)?;
        let mut time = Vec::with_capacity(10);
        put_varint(&mut time, self.timestamp_delta.saturating_add(shift_ms));
        put_varint(out, (1 + time.len() + rest.len()) as i64);
        out.push(attributes);
        out.extend_from_slice(&time);
        out.extend_from_slice(rest);
        Ok(())
    }
}
