//! The records of a batch with their own bytes, so that some can be taken out and the others kept
//! as they are.

use bytes::{Buf, Bytes};

use super::{Fields, Input, Left, MALFORMED, read_record, unpack, varint};
use crate::batch::{HEADER_BYTES, put_varint};
use crate::{Batch, StorageError};

/// A record and where its bytes lie.
#[derive(Debug, Clone)]
pub(crate) struct Raw {
    /// All of it, its length in front.
    pub bytes: Bytes,
    /// Its offset minus the batch's base offset.
    pub offset_delta: i32,
    /// Its time minus the batch's base timestamp, ms.
    pub timestamp_delta: i64,
    /// Its key; `None` is null.
    pub key: Option<Bytes>,
    /// Whether its value is not null.
    pub has_value: bool,
}

/// The records of one batch. Made by [`records`].
#[derive(Debug)]
pub(crate) struct Raws {
    input: Bytes,
    left: i32,
    last_delta: i32,
}

/// The records of a batch, in order.
///
/// # Errors
/// As [`crate::records`]. Items are errors besides if an offset lies outside of the batch, or
/// bytes are left over.
pub(crate) fn records(batch: &Batch) -> Result<Raws, StorageError> {
    let header = batch.header();
    let input = match header.codec() {
        // A batch that a cleaning emptied holds nothing to unpack.
        _ if header.count == 0 => Bytes::new(),
        0 => batch.bytes().slice(HEADER_BYTES..),
        _ => unpack(batch)?,
    };
    Ok(Raws {
        input,
        left: header.count,
        last_delta: header.last_offset_delta,
    })
}

impl Raws {
    fn read(&mut self) -> Result<Raw, StorageError> {
        let mut bytes = self.input.clone();
        let mut fields = Keyed::default();
        let head = read_record(&mut self.input, &mut fields)?;
        bytes.truncate(bytes.len() - self.input.len());
        let is_outside = !(0..=self.last_delta).contains(&head.offset_delta);
        if is_outside || (self.left == 0 && !self.input.is_empty()) {
            return Err(MALFORMED);
        }
        Ok(Raw {
            bytes,
            offset_delta: head.offset_delta,
            timestamp_delta: head.timestamp_delta,
            key: fields.key,
            has_value: fields.has_value,
        })
    }
}

impl Iterator for Raws {
    type Item = Result<Raw, StorageError>;

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
struct Keyed {
    key: Option<Bytes>,
    has_value: bool,
}

impl Fields<Bytes> for Keyed {
    fn key(&mut self, input: &mut Bytes, len: Option<usize>) -> Result<(), StorageError> {
        self.key = super::keep(input, len)?;
        Ok(())
    }

    fn value(&mut self, input: &mut Bytes, len: Option<usize>) -> Result<(), StorageError> {
        self.has_value = len.is_some();
        input.skip(len.unwrap_or(0))
    }

    fn header(
        &mut self,
        input: &mut Bytes,
        left: &mut Left,
        key_len: usize,
    ) -> Result<(), StorageError> {
        super::Skipped.header(input, left, key_len)
    }
}

impl Raw {
    /// Write the record as one of a batch whose base timestamp is `shift_ms` lower.
    ///
    /// # Errors
    /// [`StorageError::InvalidBatch`] if its bytes are no record.
    pub fn put_shifted(&self, out: &mut Vec<u8>, shift_ms: i64) -> Result<(), StorageError> {
        let mut rest = self.bytes.clone();
        varint(&mut rest)?;
        let attributes = rest.byte()?;
        varint(&mut rest)?;
        let mut time = Vec::with_capacity(10);
        put_varint(&mut time, self.timestamp_delta.saturating_add(shift_ms));
        put_varint(out, (1 + time.len() + rest.remaining()) as i64);
        out.push(attributes);
        out.extend_from_slice(&time);
        out.extend_from_slice(&rest);
        Ok(())
    }
}
