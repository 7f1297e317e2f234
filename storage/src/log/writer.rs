//! What only the one appender of a log needs: the open end of the active segment, the producers,
//! and when to roll.

use std::io::IoSlice;
use std::sync::Arc;

use crate::batch::{BatchHeader, CRC_FROM, HEADER_BYTES};
use crate::disk::File;
use crate::log::producers::{Producers, Sent, producer_of};
use crate::log::verifications::Verifications;
use crate::{Batch, Guard, LogSettings, Offset, Position, StorageError, TimestampType};

/// The largest segment: positions in an index are 32 bits.
const SEGMENT_BYTES_MAX: u64 = u32::MAX as u64;

/// Bytes of one index entry as Kafka counts them, for `segment.index.bytes`.
const INDEX_ENTRY_BYTES: u64 = 16;

/// The active segment as the appender sees it.
#[derive(Debug)]
pub(crate) struct Active {
    /// The open file.
    pub file: Arc<dyn File>,
    /// The segment's base offset.
    pub base: Offset,
    /// Where the next batch goes.
    pub size: Position,
    /// How many aborted transactions end in it.
    pub aborted: usize,
    /// The largest timestamp of the first batch, ms; -1 if it has none or there is none.
    pub first_timestamp: i64,
    /// When the segment was made, wall time, ms.
    pub created_ms: i64,
}

/// The appender's half of a log.
#[derive(Debug, Default)]
pub(crate) struct Writer {
    /// The producers.
    pub producers: Producers,
    /// Those of them that wait to begin a transaction.
    pub verifications: Verifications,
    /// The open end; `None` until the first append, and when the file was closed meanwhile.
    pub active: Option<Active>,
    /// One past the last record.
    pub end: Offset,
}

impl Writer {
    /// Whether a client's batch may be appended. `Some` when it is here already. `guard` is what
    /// the producer was given to begin a transaction with.
    ///
    /// # Errors
    /// Those of [`Producers::check`]; [`StorageError::InvalidTransaction`] (T-18).
    pub fn check_client(
        &self,
        header: &BatchHeader,
        guard: Option<Guard>,
    ) -> Result<Option<Sent>, StorageError> {
        let id = header.producer_id;
        let sent = self.producers.check(header);
        if let Ok(Some(_)) | Err(StorageError::ProducerFenced { .. }) = sent {
            return sent;
        }
        if header.is_transactional() {
            let is_open = self.producers.is_open(producer_of(header));
            if !is_open && !self.verifications.holds(id, guard) {
                return Err(StorageError::InvalidTransaction {
                    producer_id: id,
                    why: "no transaction of its is open here, and none was verified",
                });
            }
        }
        if !self.verifications.is_empty() {
            let known = self.producers.has_sent(id);
            let sequence = header.base_sequence;
            self.verifications.check_sequence(id, sequence, known)?;
        }
        sent
    }
}

impl Active {
    /// Whether a batch begins a new segment. `timestamp` is its largest, as it will be
    /// stored.
    pub fn is_due(
        &self,
        header: &BatchHeader,
        timestamp: i64,
        end: Offset,
        settings: &LogSettings,
        now_ms: i64,
    ) -> bool {
        if self.size == 0 {
            return false;
        }
        let bytes = header.bytes as u64;
        let size_max = settings.segment_bytes.min(SEGMENT_BYTES_MAX);
        if self.size > size_max.saturating_sub(bytes) {
            return true;
        }
        if self.aborted >= super::aborted::SEGMENT_MAX {
            return true;
        }
        let last = end
            .get()
            .saturating_add(i64::from(header.last_offset_delta));
        if last - self.base.get() > i64::from(i32::MAX) {
            return true;
        }
        let entries = self.size / super::index::interval(settings.index_interval_bytes);
        if entries * INDEX_ENTRY_BYTES >= u64::from(settings.segment_index_bytes) {
            return true;
        }
        self.age_ms(timestamp, now_ms) > settings.roll_ms() - self.jitter_ms(settings)
    }

    /// By record timestamps where there are any, else by the clock.
    fn age_ms(&self, timestamp: i64, now_ms: i64) -> i64 {
        if self.first_timestamp >= 0 && timestamp >= 0 {
            timestamp.saturating_sub(self.first_timestamp)
        } else {
            now_ms.saturating_sub(self.created_ms)
        }
    }

    /// A part of `segment.jitter.ms` that is the segment's own: spread, yet repeatable.
    fn jitter_ms(&self, settings: &LogSettings) -> i64 {
        let bound = settings.segment_jitter_ms.min(settings.roll_ms());
        if bound <= 0 {
            return 0;
        }
        let mixed = (self.base.get() ^ self.created_ms).cast_unsigned();
        let mixed = mixed.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 1;
        mixed.cast_signed() % bound
    }
}

/// The front of a batch as it is written: base offset and leader epoch are set in place (P-13);
/// for LogAppendTime also the attributes, the largest timestamp and the CRC (P-12). The rest are
/// the producer's own bytes.
#[derive(Debug)]
pub(crate) struct Head {
    bytes: [u8; HEADER_BYTES],
    len: usize,
    /// The largest timestamp, as stored.
    pub max_timestamp: i64,
    /// The time that the log gave, or -1.
    pub log_append_time_ms: i64,
}

/// Base offset, length, leader epoch: what lies in front of the magic.
const PATCHED_BYTES: usize = 16;

impl Head {
    /// The front of `batch`, the offset still to be set.
    pub fn new(batch: &Batch, timestamp_type: TimestampType, now_ms: i64) -> Self {
        let mut bytes = [0; HEADER_BYTES];
        bytes.copy_from_slice(&batch.bytes()[..HEADER_BYTES]);
        let mut head = Self {
            bytes,
            len: PATCHED_BYTES,
            max_timestamp: batch.header().max_timestamp,
            log_append_time_ms: -1,
        };
        if timestamp_type == TimestampType::LogAppendTime {
            head.stamp(batch, now_ms);
        }
        head
    }

    fn stamp(&mut self, batch: &Batch, now_ms: i64) {
        let attributes = batch.header().attributes | 0x08;
        self.bytes[21..23].copy_from_slice(&attributes.to_be_bytes());
        self.bytes[35..43].copy_from_slice(&now_ms.to_be_bytes());
        let crc = crc32c::crc32c(&self.bytes[CRC_FROM..]);
        let crc = crc32c::crc32c_append(crc, &batch.bytes()[HEADER_BYTES..]);
        self.bytes[17..21].copy_from_slice(&crc.to_be_bytes());
        self.len = HEADER_BYTES;
        self.max_timestamp = now_ms;
        self.log_append_time_ms = now_ms;
    }

    /// Set the base offset and the leader epoch.
    pub fn place(&mut self, base: Offset, leader_epoch: i32) {
        self.bytes[..8].copy_from_slice(&base.get().to_be_bytes());
        self.bytes[12..16].copy_from_slice(&leader_epoch.to_be_bytes());
    }

    /// The whole batch, in two pieces.
    pub fn pieces<'a>(&'a self, batch: &'a Batch) -> [IoSlice<'a>; 2] {
        [
            IoSlice::new(&self.bytes[..self.len]),
            IoSlice::new(&batch.bytes()[self.len..]),
        ]
    }
}

#[cfg(test)]
mod tests;
