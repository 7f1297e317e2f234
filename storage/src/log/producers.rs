//! What a log remembers of idempotent producers: the last five batches of each (P-15 to P-19), and
//! where its open transaction began (T-12, P-20).

use std::collections::HashMap;

use crate::batch::BatchHeader;
use crate::log::reader::Hop;
use crate::log::transactions::Effect;
use crate::{Marker, Offset, Producer, ProducerSummary, StorageError};

/// How many batches of a producer are recognised when they come again: Kafka's clients keep five
/// in flight.
const REMEMBERED: usize = 5;

/// One batch of a producer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Sent {
    /// Sequence of its first record.
    pub first: i32,
    /// Sequence of its last record.
    pub last: i32,
    /// Offset of its first record.
    pub base: Offset,
    /// One past its last record.
    pub end: Offset,
}

/// One producer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Remembered {
    /// Its epoch.
    pub epoch: i16,
    /// Largest timestamp of its last batch, ms.
    pub last_timestamp: i64,
    /// When it was heard of last, wall time, ms.
    pub used_ms: i64,
    /// The coordinator epoch of its last marker, -1 if none.
    pub coordinator_epoch: i32,
    /// The first offset of its open transaction.
    pub transaction: Option<Offset>,
    sent: [Sent; REMEMBERED],
    count: u8,
}

impl Remembered {
    /// A producer that sent nothing yet.
    pub fn new(epoch: i16, last_timestamp: i64, used_ms: i64) -> Self {
        Self {
            epoch,
            last_timestamp,
            used_ms,
            coordinator_epoch: -1,
            transaction: None,
            sent: [Sent::default(); REMEMBERED],
            count: 0,
        }
    }

    /// The batches remembered, oldest first.
    pub fn sent(&self) -> &[Sent] {
        &self.sent[..usize::from(self.count)]
    }

    /// Remember one more batch, forgetting the oldest of five.
    pub fn push(&mut self, sent: Sent) {
        if usize::from(self.count) == REMEMBERED {
            self.sent.copy_within(1.., 0);
            self.count -= 1;
        }
        self.sent[usize::from(self.count)] = sent;
        self.count += 1;
    }

    /// Take up another epoch: sequences begin anew, an open transaction stays.
    fn begin_epoch(&mut self, epoch: i16) {
        if self.epoch != epoch {
            (self.epoch, self.count) = (epoch, 0);
        }
    }

    fn summary(&self, id: i64) -> ProducerSummary {
        ProducerSummary {
            producer_id: id,
            producer_epoch: self.epoch,
            last_sequence: self.last_sequence(),
            last_timestamp_ms: self.last_timestamp,
            coordinator_epoch: self.coordinator_epoch,
            transaction_start: self.transaction,
        }
    }

    fn last_sequence(&self) -> i32 {
        self.sent().last().map_or(-1, |sent| sent.last)
    }
}

/// `sequence` and `delta` records on. Sequences wrap from 2147483647 to 0.
pub(crate) fn sequence_plus(sequence: i32, delta: i32) -> i32 {
    let sum = i64::from(sequence) + i64::from(delta);
    i32::try_from(sum & i64::from(i32::MAX)).expect("31 bits fit")
}

fn fenced(producer: Producer, known: &Remembered) -> StorageError {
    StorageError::ProducerFenced {
        producer_id: producer.id,
        current: known.epoch,
        found: producer.epoch,
    }
}

/// The producer of a batch.
pub(crate) fn producer_of(header: &BatchHeader) -> Producer {
    Producer {
        id: header.producer_id,
        epoch: header.producer_epoch,
    }
}

/// The producers of one log.
#[derive(Debug, Default)]
pub(crate) struct Producers {
    by_id: HashMap<i64, Remembered>,
}

impl Producers {
    /// Whether a batch may be appended. `Some` when it is here already.
    ///
    /// # Errors
    /// [`StorageError::OutOfOrderSequence`] (P-16, P-17), [`StorageError::ProducerFenced`] (P-17),
    /// [`StorageError::InvalidTransaction`] (P-20).
    pub fn check(&self, header: &BatchHeader) -> Result<Option<Sent>, StorageError> {
        if header.producer_id < 0 {
            return Ok(None);
        }
        let Some(producer) = self.by_id.get(&header.producer_id) else {
            return Ok(None);
        };
        if header.producer_epoch < producer.epoch {
            return Err(fenced(producer_of(header), producer));
        }
        let expected = if header.producer_epoch > producer.epoch {
            0
        } else {
            let last = sequence_plus(header.base_sequence, header.last_offset_delta);
            let same = |sent: &&Sent| sent.first == header.base_sequence && sent.last == last;
            if let Some(sent) = producer.sent().iter().find(same) {
                return Ok(Some(*sent));
            }
            sequence_plus(producer.last_sequence(), 1)
        };
        if header.base_sequence != expected {
            return Err(StorageError::OutOfOrderSequence {
                producer_id: header.producer_id,
                expected,
                found: header.base_sequence,
            });
        }
        if producer.transaction.is_some() && !header.is_transactional() {
            return Err(StorageError::InvalidTransaction {
                producer_id: header.producer_id,
                why: "a batch outside of its open transaction",
            });
        }
        Ok(None)
    }

    /// Whether a batch that a coordinator writes for a producer may be appended.
    ///
    /// # Errors
    /// [`StorageError::ProducerFenced`].
    pub fn check_epoch(&self, producer: Producer) -> Result<(), StorageError> {
        match self.by_id.get(&producer.id) {
            Some(known) if producer.epoch < known.epoch => Err(fenced(producer, known)),
            _ => Ok(()),
        }
    }

    /// Whether a marker may be appended (T-12).
    ///
    /// # Errors
    /// [`StorageError::ProducerFenced`], [`StorageError::CoordinatorFenced`].
    pub fn check_marker(&self, marker: &Marker) -> Result<(), StorageError> {
        let Some(known) = self.by_id.get(&marker.producer.id) else {
            return Ok(());
        };
        let found = marker.producer.epoch;
        // With an epoch for each transaction, one that is open has a lower one than its marker: an
        // equal one is of the transaction before. With nothing open it only comes again.
        let is_late =
            marker.transaction_version >= 2 && found == known.epoch && known.transaction.is_some();
        if found < known.epoch || is_late {
            return Err(fenced(marker.producer, known));
        }
        if marker.coordinator_epoch < known.coordinator_epoch {
            return Err(StorageError::CoordinatorFenced {
                producer_id: marker.producer.id,
                current: known.coordinator_epoch,
                found: marker.coordinator_epoch,
            });
        }
        Ok(())
    }

    /// Whether a transaction of this producer, at this epoch, is open.
    pub fn is_open(&self, producer: Producer) -> bool {
        let known = self.by_id.get(&producer.id);
        known.is_some_and(|known| known.transaction.is_some() && known.epoch == producer.epoch)
    }

    /// Whether a batch of this producer is remembered.
    pub fn has_sent(&self, id: i64) -> bool {
        let known = self.by_id.get(&id);
        known.is_some_and(|known| !known.sent().is_empty())
    }

    /// Remember an appended marker, at `offset` and of this time, ms. Live and in a replay.
    pub fn apply_marker(&mut self, marker: &Marker, time_ms: i64, now_ms: i64) -> Effect {
        let Producer { id, epoch } = marker.producer;
        let fresh = Remembered::new(epoch, time_ms, now_ms);
        let known = self.by_id.entry(id).or_insert(fresh);
        known.begin_epoch(epoch);
        known.coordinator_epoch = marker.coordinator_epoch;
        (known.last_timestamp, known.used_ms) = (time_ms, now_ms);
        known
            .transaction
            .take()
            .map_or(Effect::None, |first| Effect::Ended {
                producer_id: id,
                first,
                outcome: marker.outcome,
            })
    }

    /// Remember an appended batch whose first record lies at `base`. Live and in a replay.
    pub fn apply(&mut self, header: &BatchHeader, base: Offset, now_ms: i64) -> Effect {
        if header.producer_id < 0 {
            return Effect::None;
        }
        let fresh = Remembered::new(header.producer_epoch, header.max_timestamp, now_ms);
        let producer = self.by_id.entry(header.producer_id).or_insert(fresh);
        producer.begin_epoch(header.producer_epoch);
        producer.last_timestamp = header.max_timestamp;
        producer.used_ms = now_ms;
        if header.is_control() {
            return Effect::None;
        }
        // What a coordinator writes for a producer has none.
        if header.base_sequence >= 0 {
            producer.push(Sent {
                first: header.base_sequence,
                last: sequence_plus(header.base_sequence, header.last_offset_delta),
                base,
                end: base.plus(i64::from(header.last_offset_delta) + 1),
            });
        }
        if header.is_transactional() && producer.transaction.is_none() {
            producer.transaction = Some(base);
            return Effect::Began;
        }
        Effect::None
    }

    /// Remember a batch that a log holds.
    pub fn replay(&mut self, hop: &Hop, marker: Option<&Marker>, now_ms: i64) -> Effect {
        match marker {
            Some(marker) => self.apply_marker(marker, hop.header.max_timestamp, now_ms),
            None => self.apply(&hop.header, hop.base(), now_ms),
        }
    }

    /// Make room for this producer below `limit`: of those without an open transaction, the
    /// eighth that was silent longest goes. False if there is none.
    pub fn make_room(&mut self, id: i64, limit: usize) -> bool {
        if self.by_id.len() < limit.max(1) || self.by_id.contains_key(&id) {
            return true;
        }
        let mut ages: Vec<(i64, i64)> = self
            .by_id
            .iter()
            .filter(|(_, producer)| producer.transaction.is_none())
            .map(|(id, producer)| (producer.used_ms, *id))
            .collect();
        if ages.is_empty() {
            return false;
        }
        let drop = (ages.len() / 8).max(1);
        ages.select_nth_unstable(drop - 1);
        for (_, id) in &ages[..drop] {
            self.by_id.remove(id);
        }
        true
    }

    /// Forget producers that were silent since before `horizon_ms` (P-18). One with an open
    /// transaction stays.
    pub fn expire(&mut self, horizon_ms: i64) {
        let stays = |producer: &Remembered| {
            producer.used_ms >= horizon_ms || producer.transaction.is_some()
        };
        if !self.by_id.values().all(stays) {
            self.by_id.retain(|_, producer| stays(producer));
            self.by_id.shrink_to_fit();
        }
    }

    /// Forget which transactions are open: the batches are gone over again.
    pub fn close_transactions(&mut self) {
        for known in self.by_id.values_mut() {
            known.transaction = None;
        }
    }

    /// Put a producer in, as a snapshot had it.
    pub fn insert(&mut self, id: i64, producer: Remembered) {
        self.by_id.insert(id, producer);
    }

    /// All of them, in the order of their ids.
    pub fn sorted(&self) -> Vec<(i64, &Remembered)> {
        let mut all: Vec<_> = self.by_id.iter().map(|(id, p)| (*id, p)).collect();
        all.sort_unstable_by_key(|(id, _)| *id);
        all
    }

    /// What DescribeProducers shows.
    pub fn summaries(&self) -> Vec<ProducerSummary> {
        let all = self.sorted().into_iter();
        all.map(|(id, producer)| producer.summary(id)).collect()
    }

    /// The same of one producer.
    pub fn summary(&self, id: i64) -> Option<ProducerSummary> {
        self.by_id.get(&id).map(|producer| producer.summary(id))
    }
}

#[cfg(test)]
#[path = "producers/tests.rs"]
mod tests;
