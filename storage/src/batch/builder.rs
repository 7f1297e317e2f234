//! Makes batches: for coordinators, markers and tests.

use bytes::Bytes;

use super::{Batch, BatchHeader, CRC_FROM, HEADER_BYTES, LENGTH_FROM};

const CONTROL: i16 = 0x20;
const TRANSACTIONAL: i16 = 0x10;

/// Collects records into one uncompressed batch.
///
/// Its base offset is 0 and its leader epoch -1: the log sets both.
#[derive(Debug)]
pub struct BatchBuilder {
    bytes: Vec<u8>,
    attributes: i16,
    base_timestamp: i64,
    max_timestamp: i64,
    count: i32,
    producer: (i64, i16, i32),
}

impl BatchBuilder {
    /// An empty batch whose records are of this time, ms, unless they say otherwise.
    #[must_use]
    pub fn new(timestamp_ms: i64) -> Self {
        Self {
            bytes: vec![0; HEADER_BYTES],
            attributes: 0,
            base_timestamp: timestamp_ms,
            max_timestamp: i64::MIN,
            count: 0,
            producer: (-1, -1, -1),
        }
    }

    /// Set the idempotent producer: its id, its epoch, the sequence of the first record.
    #[must_use]
    pub fn producer(mut self, id: i64, epoch: i16, base_sequence: i32) -> Self {
        self.producer = (id, epoch, base_sequence);
        self
    }

    /// Make it a batch of a transaction.
    #[must_use]
    pub fn transactional(mut self) -> Self {
        self.attributes |= TRANSACTIONAL;
        self
    }

    /// Make it a control batch: its one record is a marker.
    #[must_use]
    pub fn control(mut self) -> Self {
        self.attributes |= CONTROL;
        self
    }

    /// Add a record of the batch's time.
    pub fn record(&mut self, key: Option<&[u8]>, value: Option<&[u8]>) {
        self.record_at(self.base_timestamp, key, value, &[]);
    }

    /// Add a record with its own time, ms, and headers.
    pub fn record_at(
        &mut self,
        timestamp_ms: i64,
        key: Option<&[u8]>,
        value: Option<&[u8]>,
        headers: &[(&[u8], Option<&[u8]>)],
    ) {
        let mut body = vec![0];
        put_varint(&mut body, timestamp_ms.saturating_sub(self.base_timestamp));
        put_varint(&mut body, i64::from(self.count));
        put_field(&mut body, key);
        put_field(&mut body, value);
        put_varint(&mut body, headers.len() as i64);
        for (name, value) in headers {
            put_field(&mut body, Some(name));
            put_field(&mut body, *value);
        }
        put_varint(&mut self.bytes, body.len() as i64);
        self.bytes.extend_from_slice(&body);
        self.count += 1;
        self.max_timestamp = self.max_timestamp.max(timestamp_ms);
    }

    /// How many records it holds.
    #[must_use]
    pub fn count(&self) -> i32 {
        self.count
    }

    /// Whether it holds none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.count == 0
    }

    /// How long the batch is now, in bytes.
    #[must_use]
    pub fn size_bytes(&self) -> usize {
        self.bytes.len()
    }

    /// The batch; `None` if no record was added.
    #[must_use]
    pub fn build(mut self) -> Option<Batch> {
        if self.count == 0 {
            return None;
        }
        let length = i32::try_from(self.bytes.len() - LENGTH_FROM).ok()?;
        let (id, epoch, sequence) = self.producer;
        let mut head = Vec::with_capacity(HEADER_BYTES);
        head.extend_from_slice(&0_i64.to_be_bytes());
        head.extend_from_slice(&length.to_be_bytes());
        head.extend_from_slice(&(-1_i32).to_be_bytes());
        head.push(2);
        head.extend_from_slice(&[0; 4]);
        head.extend_from_slice(&self.attributes.to_be_bytes());
        head.extend_from_slice(&(self.count - 1).to_be_bytes());
        head.extend_from_slice(&self.base_timestamp.to_be_bytes());
        head.extend_from_slice(&self.max_timestamp.to_be_bytes());
        head.extend_from_slice(&id.to_be_bytes());
        head.extend_from_slice(&epoch.to_be_bytes());
        head.extend_from_slice(&sequence.to_be_bytes());
        head.extend_from_slice(&self.count.to_be_bytes());
        self.bytes[..HEADER_BYTES].copy_from_slice(&head);
        let crc = crc32c::crc32c(&self.bytes[CRC_FROM..]);
        self.bytes[CRC_FROM - 4..CRC_FROM].copy_from_slice(&crc.to_be_bytes());
        let header = BatchHeader::decode(&self.bytes).ok()?;
        Some(Batch {
            bytes: Bytes::from(self.bytes),
            header,
        })
    }
}

fn put_field(out: &mut Vec<u8>, field: Option<&[u8]>) {
    match field {
        None => put_varint(out, -1),
        Some(bytes) => {
            put_varint(out, bytes.len() as i64);
            out.extend_from_slice(bytes);
        }
    }
}

pub(crate) fn put_varint(out: &mut Vec<u8>, value: i64) {
    let mut raw = ((value << 1) ^ (value >> 63)).cast_unsigned();
    while raw >= 0x80 {
        out.push((raw & 0x7f) as u8 | 0x80);
        raw >>= 7;
    }
    out.push(raw as u8);
}
