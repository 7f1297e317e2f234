//! Records of the internal logs: key and value bytes, and the batches they travel in.
//!
//! Keys and values begin with an int16 as in Kafka (a key with its type, a value with its
//! version). All integers are big-endian; a string is an int16 length and UTF-8.

use bytes::{BufMut, Bytes, BytesMut};
use ratel_storage::batch::{CRC_FROM, HEADER_BYTES, LENGTH_FROM};
use ratel_storage::{Batch, BatchHeader, Offset, StorageError};

/// Writes a key or value.
#[derive(Debug, Default)]
pub struct Writer(BytesMut);

impl Writer {
    /// Begin with the type of a key or the version of a value.
    #[must_use]
    pub fn new(first: i16) -> Self {
        let mut writer = Self(BytesMut::with_capacity(64));
        writer.0.put_i16(first);
        writer
    }

    /// One byte.
    pub fn i8(&mut self, value: i8) -> &mut Self {
        self.0.put_i8(value);
        self
    }

    /// Two bytes.
    pub fn i16(&mut self, value: i16) -> &mut Self {
        self.0.put_i16(value);
        self
    }

    /// Four bytes.
    pub fn i32(&mut self, value: i32) -> &mut Self {
        self.0.put_i32(value);
        self
    }

    /// Eight bytes.
    pub fn i64(&mut self, value: i64) -> &mut Self {
        self.0.put_i64(value);
        self
    }

    /// A topic's id: 16 bytes.
    pub fn uuid(&mut self, value: uuid::Uuid) -> &mut Self {
        self.0.put_slice(value.as_bytes());
        self
    }

    /// A string.
    ///
    /// # Panics
    /// If it is longer than 32767 bytes: requests are checked before they become records.
    pub fn string(&mut self, value: &str) -> &mut Self {
        let length = i16::try_from(value.len()).expect("strings of records are checked for length");
        self.0.put_i16(length);
        self.0.put_slice(value.as_bytes());
        self
    }

    /// A string or null (length -1).
    pub fn nullable_string(&mut self, value: Option<&str>) -> &mut Self {
        match value {
            Some(value) => self.string(value),
            None => self.i16(-1),
        }
    }

    /// Bytes behind an int32 length.
    ///
    /// # Panics
    /// If there are more than 2 GiB of them.
    pub fn bytes(&mut self, value: &[u8]) -> &mut Self {
        let length = i32::try_from(value.len()).expect("bytes of records are checked for length");
        self.0.put_i32(length);
        self.0.put_slice(value);
        self
    }

    /// The number of elements that follow.
    ///
    /// # Panics
    /// If there are more than an int32 can say.
    pub fn count(&mut self, count: usize) -> &mut Self {
        self.i32(i32::try_from(count).expect("a record has fewer elements than an int32 can say"))
    }

    /// An unsigned varint, as lengths and tags in flexible versions.
    pub fn varint(&mut self, mut value: u32) -> &mut Self {
        while value >= 0x80 {
            self.0.put_u8(value as u8 | 0x80);
            value >>= 7;
        }
        self.0.put_u8(value as u8);
        self
    }

    /// Bytes as they are, without a length.
    pub fn raw(&mut self, value: &[u8]) -> &mut Self {
        self.0.put_slice(value);
        self
    }

    /// What was written.
    #[must_use]
    pub fn finish(self) -> Bytes {
        self.0.freeze()
    }
}

/// Reads a key or value. Every method fails on bytes that end too soon or make no sense.
#[derive(Debug)]
pub struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    /// Read from the front of `bytes`.
    #[must_use]
    pub fn new(bytes: &'a [u8]) -> Self {
        Self(bytes)
    }

    /// The next `length` bytes.
    ///
    /// # Errors
    /// If there are fewer.
    pub fn take(&mut self, length: usize) -> Result<&'a [u8], String> {
        let (taken, rest) = self
            .0
            .split_at_checked(length)
            .ok_or_else(|| format!("{length} bytes are due where {} are left", self.0.len()))?;
        self.0 = rest;
        Ok(taken)
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N], String> {
        let mut array = [0; N];
        array.copy_from_slice(self.take(N)?);
        Ok(array)
    }

    /// One byte.
    ///
    /// # Errors
    /// If there is none.
    pub fn i8(&mut self) -> Result<i8, String> {
        self.array().map(i8::from_be_bytes)
    }

    /// Two bytes.
    ///
    /// # Errors
    /// If there are fewer.
    pub fn i16(&mut self) -> Result<i16, String> {
        self.array().map(i16::from_be_bytes)
    }

    /// Four bytes.
    ///
    /// # Errors
    /// If there are fewer.
    pub fn i32(&mut self) -> Result<i32, String> {
        self.array().map(i32::from_be_bytes)
    }

    /// Eight bytes.
    ///
    /// # Errors
    /// If there are fewer.
    pub fn i64(&mut self) -> Result<i64, String> {
        self.array().map(i64::from_be_bytes)
    }

    /// A topic's id.
    ///
    /// # Errors
    /// If there are fewer than 16 bytes.
    pub fn uuid(&mut self) -> Result<uuid::Uuid, String> {
        self.array().map(uuid::Uuid::from_bytes)
    }

    /// A string that may not be null.
    ///
    /// # Errors
    /// If it is null, too long for what is left, or not UTF-8.
    pub fn string(&mut self) -> Result<&'a str, String> {
        self.nullable_string()?
            .ok_or_else(|| "null where a string is due".into())
    }

    /// A string or null.
    ///
    /// # Errors
    /// If its length makes no sense or it is not UTF-8.
    pub fn nullable_string(&mut self) -> Result<Option<&'a str>, String> {
        let length = self.i16()?;
        if length == -1 {
            return Ok(None);
        }
        let length = usize::try_from(length).map_err(|_| format!("a string of {length} bytes"))?;
        std::str::from_utf8(self.take(length)?)
            .map(Some)
            .map_err(|_| "a string that is not UTF-8".into())
    }

    /// Bytes behind an int32 length.
    ///
    /// # Errors
    /// If the length makes no sense.
    pub fn bytes(&mut self) -> Result<&'a [u8], String> {
        let length = self.i32()?;
        self.take(usize::try_from(length).map_err(|_| format!("{length} bytes"))?)
    }

    /// A number of elements, each at least a byte long: no more than there are bytes left, so
    /// that a vector of this size may be reserved.
    ///
    /// # Errors
    /// If it is negative or larger than that.
    pub fn count(&mut self) -> Result<usize, String> {
        let count = self.i32()?;
        usize::try_from(count)
            .ok()
            .filter(|count| *count <= self.0.len())
            .ok_or_else(|| format!("{count} elements in {} bytes", self.0.len()))
    }

    /// An unsigned varint.
    ///
    /// # Errors
    /// If it ends too soon or is longer than five bytes.
    pub fn varint(&mut self) -> Result<u32, String> {
        let mut value = 0_u32;
        for shift in [0, 7, 14, 21, 28] {
            let [byte] = self.array()?;
            value |= u32::from(byte & 0x7f) << shift;
            if byte & 0x80 == 0 {
                return Ok(value);
            }
        }
        Err("a varint of more than five bytes".into())
    }

    /// How many bytes are left.
    #[must_use]
    pub fn left(&self) -> usize {
        self.0.len()
    }
}

/// A record as it lies in an internal log.
pub(super) struct LogRecord {
    pub(super) offset: Offset,
    pub(super) timestamp_ms: i64,
    pub(super) key: Option<Bytes>,
    pub(super) value: Option<Bytes>,
}

/// One batch of these records, all written at `timestamp_ms`.
pub(super) fn batch_of(
    records: &[(Bytes, Option<Bytes>)],
    timestamp_ms: i64,
) -> Result<Batch, StorageError> {
    let mut batch = BytesMut::with_capacity(HEADER_BYTES + 64 * records.len());
    batch.put_bytes(0, HEADER_BYTES);
    for (delta, (key, value)) in records.iter().enumerate() {
        let mut record = Vec::with_capacity(32 + key.len());
        record.push(0);
        put_varint(&mut record, 0);
        put_varint(&mut record, delta as i64);
        put_varint(&mut record, key.len() as i64);
        record.extend_from_slice(key);
        match value {
            Some(value) => {
                put_varint(&mut record, value.len() as i64);
                record.extend_from_slice(value);
            }
            None => put_varint(&mut record, -1),
        }
        put_varint(&mut record, 0);
        let mut length = Vec::with_capacity(5);
        put_varint(&mut length, record.len() as i64);
        batch.put_slice(&length);
        batch.put_slice(&record);
    }
    let too_large = StorageError::InvalidBatch("a batch of more than 2 GiB");
    let length = i32::try_from(batch.len() - LENGTH_FROM).map_err(|_| too_large)?;
    let mut header = Vec::with_capacity(HEADER_BYTES);
    header.put_i64(0);
    header.put_i32(length);
    header.put_i32(-1);
    header.put_u8(2);
    header.put_u32(0);
    header.put_i16(0);
    header.put_i32(records.len() as i32 - 1);
    header.put_i64(timestamp_ms);
    header.put_i64(timestamp_ms);
    header.put_i64(-1);
    header.put_i16(-1);
    header.put_i32(-1);
    header.put_i32(records.len() as i32);
    batch[..HEADER_BYTES].copy_from_slice(&header);
    let crc = crc_of(&batch[CRC_FROM..]);
    batch[17..21].copy_from_slice(&crc.to_be_bytes());
    let limit = batch.len();
    Batch::parse(batch.freeze(), limit)
}

/// Hand on every record of these batches, control batches left out; gives one past the last.
pub(super) fn each_record(
    batches: &Bytes,
    mut visit: impl FnMut(LogRecord),
) -> Result<Offset, StorageError> {
    let mut rest = batches.clone();
    let mut end = Offset::ZERO;
    while !rest.is_empty() {
        let header = BatchHeader::decode(&rest)?;
        if header.bytes > rest.len() {
            return Err(StorageError::CorruptBatch("cut short"));
        }
        let batch = rest.split_to(header.bytes);
        end = Offset::new(header.base_offset).plus(i64::from(header.last_offset_delta) + 1);
        if header.is_control() {
            continue;
        }
        if header.codec() != 0 {
            return Err(StorageError::InvalidBatch("compressed by nobody we know"));
        }
        let mut records = batch.slice(HEADER_BYTES..);
        for _ in 0..header.count {
            visit(
                take_record(&header, &mut records)
                    .ok_or(StorageError::CorruptBatch("a record that does not parse"))?,
            );
        }
    }
    Ok(end)
}

fn take_record(header: &BatchHeader, rest: &mut Bytes) -> Option<LogRecord> {
    let length = usize::try_from(take_varint(rest)?).ok()?;
    if length > rest.len() || length == 0 {
        return None;
    }
    let mut record = rest.split_to(length);
    let _attributes = record.split_to(1);
    let timestamp_ms = header
        .base_timestamp
        .checked_add(take_varint(&mut record)?)?;
    let offset = Offset::new(header.base_offset).plus(take_varint(&mut record)?);
    let key = take_nullable(&mut record)?;
    let value = take_nullable(&mut record)?;
    Some(LogRecord {
        offset,
        timestamp_ms,
        key,
        value,
    })
}

fn take_nullable(rest: &mut Bytes) -> Option<Option<Bytes>> {
    let length = take_varint(rest)?;
    if length < 0 {
        return Some(None);
    }
    let length = usize::try_from(length)
        .ok()
        .filter(|length| *length <= rest.len())?;
    Some(Some(rest.split_to(length)))
}

fn put_varint(out: &mut Vec<u8>, value: i64) {
    let mut zigzag = ((value << 1) ^ (value >> 63)) as u64;
    while zigzag >= 0x80 {
        out.push(zigzag as u8 | 0x80);
        zigzag >>= 7;
    }
    out.push(zigzag as u8);
}

fn take_varint(rest: &mut Bytes) -> Option<i64> {
    let mut zigzag = 0_u64;
    for shift in (0..64).step_by(7) {
        let byte = *rest.first()?;
        *rest = rest.slice(1..);
        zigzag |= u64::from(byte & 0x7f) << shift;
        if byte & 0x80 == 0 {
            return Some((zigzag >> 1) as i64 ^ -((zigzag & 1) as i64));
        }
    }
    None
}

/// CRC-32C, bit by bit.
fn crc_of(bytes: &[u8]) -> u32 {
    !bytes.iter().fold(!0_u32, |crc, byte| {
        (0..8).fold(crc ^ u32::from(*byte), |crc, _| {
            (crc >> 1) ^ (0x82F6_3B78 & (crc & 1).wrapping_neg())
        })
    })
}
