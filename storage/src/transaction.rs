//! Transactions as a log sees them: who writes, the markers that end them, what was aborted.
//!
//! A marker is a control batch of one record (T-11). What ended is decided elsewhere: a log only
//! keeps the order, and tells readers how far everything is decided (T-15).

use bytes::{Buf, BufMut};

use crate::{Batch, BatchBuilder, Offset, records};

/// A producer, and which of its incarnations.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Producer {
    /// Its id, from 0.
    pub id: i64,
    /// Its epoch, from 0: a higher one fences the lower ones.
    pub epoch: i16,
}

/// How a transaction ends. The numbers are Kafka's.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Outcome {
    /// None of it happened.
    Abort = 0,
    /// All of it happened.
    Commit = 1,
}

/// The end of a producer's transaction in one log.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Marker {
    /// Whose transaction. With transaction version 2 the epoch is one above the records'.
    pub producer: Producer,
    /// How it ends.
    pub outcome: Outcome,
    /// The epoch of the coordinator that decided; an older one is fenced (T-12).
    pub coordinator_epoch: i32,
    /// The `transaction.version` that the transaction was run by: which epochs are right (T-12).
    /// It is not written down: a marker read from a log has 0.
    pub transaction_version: u8,
}

/// Producers with an open transaction in one log: it takes no batch of one more. A log remembers as
/// many producers, of which those with an open transaction stay.
pub const OPEN_TRANSACTIONS_MAX: usize = 10_000;

/// The longest control batch that is looked into; markers are 78 bytes long.
pub(crate) const MARKER_BYTES_MAX: usize = 1 << 10;

const KEY_VERSION: i16 = 0;
const VALUE_VERSION: i16 = 0;

impl Marker {
    /// The control batch that says it (T-11), of this time, ms.
    #[must_use]
    pub fn to_batch(&self, now_ms: i64) -> Batch {
        let mut key = Vec::with_capacity(4);
        key.put_i16(KEY_VERSION);
        key.put_i16(self.outcome as i16);
        let mut value = Vec::with_capacity(6);
        value.put_i16(VALUE_VERSION);
        value.put_i32(self.coordinator_epoch);
        let mut builder = BatchBuilder::new(now_ms)
            .producer(self.producer.id, self.producer.epoch, -1)
            .transactional()
            .control();
        builder.record(Some(&key), Some(&value));
        builder.build().expect("it has a record")
    }

    /// What a control batch says; `None` if it ends no transaction. Its transaction version is 0.
    #[must_use]
    pub fn from_batch(batch: &Batch) -> Option<Self> {
        let header = batch.header();
        let is_marker = header.is_control() && header.producer_id >= 0 && header.count == 1;
        if !is_marker || header.codec() != 0 || header.bytes > MARKER_BYTES_MAX {
            return None;
        }
        let record = records(batch).ok()?.next()?.ok()?;
        let mut key = record.key?;
        let version = key.try_get_i16().ok()?;
        let outcome = match key.try_get_i16().ok()? {
            0 => Outcome::Abort,
            1 => Outcome::Commit,
            _ => return None,
        };
        let mut value = record.value?;
        if version < KEY_VERSION || value.try_get_i16().ok()? < VALUE_VERSION {
            return None;
        }
        Some(Self {
            producer: Producer {
                id: header.producer_id,
                epoch: header.producer_epoch,
            },
            outcome,
            coordinator_epoch: value.try_get_i32().ok()?,
            transaction_version: 0,
        })
    }
}

/// A transaction that was aborted: what its producer wrote from `first_offset` to the marker is
/// not for those who read committed records only.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct AbortedTransaction {
    /// Whose.
    pub producer_id: i64,
    /// Where it began.
    pub first_offset: Offset,
    /// Its marker.
    pub last_offset: Offset,
    /// Everything below was decided once the marker was there: what is aborted below it is found
    /// no further on.
    pub stable_at_marker: Offset,
}

/// A question to the coordinator is under way: what an append must show afterwards (T-18). It
/// holds for the log that gave it, until any end of a transaction of the same producer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Guard(pub(crate) u64);

/// What stands in the way of a transactional append (T-18).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verification {
    /// Nothing: the producer's transaction is open in this log.
    Open,
    /// The coordinator must say that this partition is part of the transaction; then append with
    /// [`crate::Origin::Verified`].
    Needed(Guard),
}

/// What asks to begin a transaction in a log.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Beginning {
    /// Who.
    pub producer: Producer,
    /// The sequence of the first record of the batch that waits.
    pub first_sequence: i32,
    /// Whether each transaction has an epoch of its own (transaction version 2, KIP-890): then a
    /// producer without state begins with sequence 0 (P-18).
    pub bumps_epoch: bool,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn marker(outcome: Outcome) -> Marker {
        Marker {
            producer: Producer { id: 7, epoch: 3 },
            outcome,
            coordinator_epoch: 5,
            transaction_version: 0,
        }
    }

    /// Kafka's bytes: a record of length 16, key version 0 and type, value version 0 and epoch.
    #[test]
    fn t_11_a_marker_is_a_control_batch_of_one_record() {
        let batch = marker(Outcome::Commit).to_batch(99);
        let header = batch.header();
        assert!(header.is_control() && header.is_transactional());
        assert_eq!((header.producer_id, header.producer_epoch), (7, 3));
        assert_eq!((header.base_sequence, header.count), (-1, 1));
        assert_eq!((header.base_timestamp, header.max_timestamp), (99, 99));
        let record = [32, 0, 0, 0, 8, 0, 0, 0, 1, 12, 0, 0, 0, 0, 0, 5, 0];
        assert_eq!(batch.bytes()[61..], record);
    }

    #[test]
    fn t_11_a_marker_comes_back_from_its_batch() {
        for outcome in [Outcome::Abort, Outcome::Commit] {
            let batch = marker(outcome).to_batch(1);
            assert_eq!(Marker::from_batch(&batch), Some(marker(outcome)));
        }
    }

    #[test]
    fn other_batches_are_no_markers() {
        let of = |key: &[u8], value: &[u8], control: bool| {
            let mut builder = BatchBuilder::new(1).producer(7, 3, -1).transactional();
            if control {
                builder = builder.control();
            }
            builder.record(Some(key), Some(value));
            Marker::from_batch(&builder.build().unwrap())
        };
        let (key, value) = ([0, 0, 0, 1], [0, 0, 0, 0, 0, 5]);
        assert!(of(&key, &value, true).is_some());
        assert_eq!(of(&key, &value, false), None);
        assert_eq!(of(&[0, 0, 0, 2], &value, true), None, "a leader change");
        assert_eq!(of(&key[..3], &value, true), None);
        assert_eq!(of(&key, &value[..5], true), None);
    }
}
