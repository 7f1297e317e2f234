//! Record batch v2, the unit of the log.
//!
//! ```text
//! 0           8       12      16      17    21      23           27
//! | base off  | length| epoch | magic | crc | attrs | last delta |
//! 27          35          43          51       53         57      61
//! | base time | max time  | producer  | epoch  | base seq| count | records ...
//! ```
//!
//! The CRC covers everything from byte 21 on, so base offset and leader epoch are set in place
//! without touching the rest (P-13). Parse once; from then on nothing can fail.

use bytes::{Bytes, BytesMut};

use crate::StorageError;

mod builder;

pub use builder::BatchBuilder;
pub(crate) use builder::put_varint;

/// Bytes of a batch's header.
pub const HEADER_BYTES: usize = 61;
/// Where the CRC's cover begins.
pub const CRC_FROM: usize = 21;
/// Bytes in front of what the length field counts.
pub const LENGTH_FROM: usize = 12;

/// The attribute bit that makes the base timestamp a delete horizon.
pub(crate) const DELETE_HORIZON: i16 = 0x40;

/// The decoded header of a batch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BatchHeader {
    /// Offset of the first record.
    pub base_offset: i64,
    /// Bytes of the whole batch, header included.
    pub bytes: usize,
    /// The epoch of the leader that appended it.
    pub leader_epoch: i32,
    /// CRC-32C of all from byte 21 on.
    pub crc: u32,
    /// Bits 0-2 codec, 3 timestamp type, 4 transactional, 5 control, 6 delete horizon.
    pub attributes: i16,
    /// Last offset minus base offset.
    pub last_offset_delta: i32,
    /// Timestamp of the first record, ms.
    pub base_timestamp: i64,
    /// Largest timestamp, ms.
    pub max_timestamp: i64,
    /// The idempotent producer's id, or -1.
    pub producer_id: i64,
    /// Its epoch, or -1.
    pub producer_epoch: i16,
    /// The sequence of the first record, or -1.
    pub base_sequence: i32,
    /// How many records.
    pub count: i32,
}

/// A whole batch whose length, magic and CRC were checked.
#[derive(Debug, Clone)]
pub struct Batch {
    bytes: Bytes,
    header: BatchHeader,
}

fn take<const N: usize>(bytes: &[u8], at: usize) -> [u8; N] {
    let mut field = [0; N];
    field.copy_from_slice(&bytes[at..at + N]);
    field
}

impl BatchHeader {
    /// Decode the header at the front of `bytes`. Checks length and magic, not the CRC.
    ///
    /// # Errors
    /// [`StorageError::CorruptBatch`] if it is short or its length is impossible,
    /// [`StorageError::InvalidBatch`] for another magic (P-5).
    pub fn decode(bytes: &[u8]) -> Result<Self, StorageError> {
        if bytes.len() > 16 && bytes[16] != 2 {
            return Err(StorageError::InvalidBatch(
                "only record batches of magic 2 are stored",
            ));
        }
        if bytes.len() < HEADER_BYTES {
            return Err(StorageError::CorruptBatch("shorter than a batch header"));
        }
        let length = i32::from_be_bytes(take(bytes, 8));
        let length = usize::try_from(length)
            .ok()
            .map(|length| length + LENGTH_FROM)
            .filter(|length| *length >= HEADER_BYTES)
            .ok_or(StorageError::CorruptBatch("impossible length"))?;
        Ok(Self {
            base_offset: i64::from_be_bytes(take(bytes, 0)),
            bytes: length,
            leader_epoch: i32::from_be_bytes(take(bytes, 12)),
            crc: u32::from_be_bytes(take(bytes, 17)),
            attributes: i16::from_be_bytes(take(bytes, 21)),
            last_offset_delta: i32::from_be_bytes(take(bytes, 23)),
            base_timestamp: i64::from_be_bytes(take(bytes, 27)),
            max_timestamp: i64::from_be_bytes(take(bytes, 35)),
            producer_id: i64::from_be_bytes(take(bytes, 43)),
            producer_epoch: i16::from_be_bytes(take(bytes, 51)),
            base_sequence: i32::from_be_bytes(take(bytes, 53)),
            count: i32::from_be_bytes(take(bytes, 57)),
        })
    }

    /// Bits 0 to 2 of the attributes.
    #[must_use]
    pub fn codec(&self) -> i16 {
        self.attributes & 0x07
    }

    /// Whether the timestamps are the log's (bit 3).
    #[must_use]
    pub fn is_log_append_time(&self) -> bool {
        self.attributes & 0x08 != 0
    }

    /// Whether the batch belongs to a transaction (bit 4).
    #[must_use]
    pub fn is_transactional(&self) -> bool {
        self.attributes & 0x10 != 0
    }

    /// From when on tombstones and markers in it may go, ms (bit 6, KIP-534): the base timestamp
    /// then says this. `None` if no cleaning has said it yet.
    #[must_use]
    pub fn delete_horizon_ms(&self) -> Option<i64> {
        (self.attributes & DELETE_HORIZON != 0).then_some(self.base_timestamp)
    }

    /// Whether it only stands for offsets whose batches a cleaning took: no record, no producer.
    #[must_use]
    pub fn is_filler(&self) -> bool {
        self.count == 0 && self.producer_id < 0
    }

    /// The largest timestamp of its records, ms; -1 if it has none.
    pub(crate) fn newest(&self) -> i64 {
        if self.count == 0 {
            -1
        } else {
            self.max_timestamp
        }
    }

    /// The header as it is stored. The CRC is still to be set.
    pub(crate) fn encode(&self) -> [u8; HEADER_BYTES] {
        let mut out = [0; HEADER_BYTES];
        let length = u32::try_from(self.bytes - LENGTH_FROM).unwrap_or(u32::MAX);
        out[..8].copy_from_slice(&self.base_offset.to_be_bytes());
        out[8..12].copy_from_slice(&length.to_be_bytes());
        out[12..16].copy_from_slice(&self.leader_epoch.to_be_bytes());
        out[16] = 2;
        out[17..21].copy_from_slice(&self.crc.to_be_bytes());
        out[21..23].copy_from_slice(&self.attributes.to_be_bytes());
        out[23..27].copy_from_slice(&self.last_offset_delta.to_be_bytes());
        out[27..35].copy_from_slice(&self.base_timestamp.to_be_bytes());
        out[35..43].copy_from_slice(&self.max_timestamp.to_be_bytes());
        out[43..51].copy_from_slice(&self.producer_id.to_be_bytes());
        out[51..53].copy_from_slice(&self.producer_epoch.to_be_bytes());
        out[53..57].copy_from_slice(&self.base_sequence.to_be_bytes());
        out[57..].copy_from_slice(&self.count.to_be_bytes());
        out
    }

    /// Whether the batch is a marker (bit 5).
    #[must_use]
    pub fn is_control(&self) -> bool {
        self.attributes & 0x20 != 0
    }
}

impl Batch {
    /// Parse the one batch that `bytes` holds: length, then size limit, then CRC (P-9).
    ///
    /// # Errors
    /// [`StorageError::InvalidBatch`] for another magic or more than one batch (P-5),
    /// [`StorageError::BatchTooLarge`] above `max_bytes`, [`StorageError::CorruptBatch`] for a
    /// length or CRC that does not fit.
    pub fn parse(bytes: Bytes, max_bytes: usize) -> Result<Self, StorageError> {
        let header = BatchHeader::decode(&bytes)?;
        if header.bytes > max_bytes {
            return Err(StorageError::BatchTooLarge {
                bytes: header.bytes,
                limit: max_bytes,
            });
        }
        if header.bytes > bytes.len() {
            return Err(StorageError::CorruptBatch("cut short"));
        }
        if crc32c::crc32c(&bytes[CRC_FROM..header.bytes]) != header.crc {
            return Err(StorageError::CorruptBatch("CRC does not match"));
        }
        if header.bytes < bytes.len() {
            return Err(StorageError::InvalidBatch(
                "more than one batch for a partition",
            ));
        }
        Ok(Self { bytes, header })
    }

    /// The same batch with these records in this codec: length and CRC are made to fit.
    ///
    /// # Errors
    /// [`StorageError::InvalidBatch`] if it would be longer than a batch can be.
    pub(crate) fn repacked(&self, codec: i16, records: &[u8]) -> Result<Self, StorageError> {
        let mut bytes = Vec::with_capacity(HEADER_BYTES + records.len());
        bytes.extend_from_slice(&self.bytes[..HEADER_BYTES]);
        bytes.extend_from_slice(records);
        let length = i32::try_from(bytes.len() - LENGTH_FROM)
            .map_err(|_| StorageError::InvalidBatch("longer than a batch can be"))?;
        bytes[8..LENGTH_FROM].copy_from_slice(&length.to_be_bytes());
        let attributes = (self.header.attributes & !0x07) | codec;
        bytes[CRC_FROM..CRC_FROM + 2].copy_from_slice(&attributes.to_be_bytes());
        let crc = crc32c::crc32c(&bytes[CRC_FROM..]);
        bytes[CRC_FROM - 4..CRC_FROM].copy_from_slice(&crc.to_be_bytes());
        let header = BatchHeader::decode(&bytes)?;
        Ok(Self {
            bytes: bytes.into(),
            header,
        })
    }

    /// The same batch with this as the largest time of its records: the CRC is made to fit.
    pub(crate) fn with_max_timestamp(&self, timestamp_ms: i64) -> Self {
        let mut bytes = BytesMut::from(&self.bytes[..]);
        bytes[35..43].copy_from_slice(&timestamp_ms.to_be_bytes());
        let crc = crc32c::crc32c(&bytes[CRC_FROM..]);
        bytes[CRC_FROM - 4..CRC_FROM].copy_from_slice(&crc.to_be_bytes());
        Self {
            bytes: bytes.freeze(),
            header: BatchHeader {
                max_timestamp: timestamp_ms,
                crc,
                ..self.header
            },
        }
    }

    /// The batch's records as they are stored, compressed or not.
    pub(crate) fn packed_records(&self) -> Bytes {
        self.bytes.slice(HEADER_BYTES..)
    }

    /// The batch's bytes as they came.
    #[must_use]
    pub fn bytes(&self) -> &Bytes {
        &self.bytes
    }

    /// The decoded header.
    #[must_use]
    pub fn header(&self) -> &BatchHeader {
        &self.header
    }
}
