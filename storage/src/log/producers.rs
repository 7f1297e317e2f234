//! What a log remembers of idempotent producers: the last five batches of each (P-15 to P-19).

use std::collections::HashMap;

use crate::batch::BatchHeader;
use crate::{Offset, ProducerSummary, StorageError};

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
pub(crate) struct Producer {
    /// Its epoch.
    pub epoch: i16,
    /// Largest timestamp of its last batch, ms.
    pub last_timestamp: i64,
    /// When it was heard of last, wall time, ms.
    pub used_ms: i64,
    sent: [Sent; REMEMBERED],
    count: u8,
}

impl Producer {
    /// A producer that sent nothing yet.
    pub fn new(epoch: i16, last_timestamp: i64, used_ms: i64) -> Self {
        Self {
            epoch,
            last_timestamp,
            used_ms,
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

    fn last_sequence(&self) -> i32 {
        self.sent().last().map_or(-1, |sent| sent.last)
    }
}

/// `sequence` and `delta` records on. Sequences wrap from 2147483647 to 0.
pub(crate) fn sequence_plus(sequence: i32, delta: i32) -> i32 {
    let sum = i64::from(sequence) + i64::from(delta);
    i32::try_from(sum & i64::from(i32::MAX)).expect("31 bits fit")
}

/// The producers of one log.
#[derive(Debug, Default)]
pub(crate) struct Producers {
    by_id: HashMap<i64, Producer>,
}

impl Producers {
    /// Whether a batch may be appended. `Some` when it is here already.
    ///
    /// # Errors
    /// [`StorageError::OutOfOrderSequence`] (P-16, P-17), [`StorageError::ProducerFenced`] (P-17).
    pub fn check(&self, header: &BatchHeader) -> Result<Option<Sent>, StorageError> {
        if header.producer_id < 0 {
            return Ok(None);
        }
        let Some(producer) = self.by_id.get(&header.producer_id) else {
            return Ok(None);
        };
        if header.producer_epoch < producer.epoch {
            return Err(StorageError::ProducerFenced {
                producer_id: header.producer_id,
                current: producer.epoch,
                found: header.producer_epoch,
            });
        }
        if header.is_control() {
            return Ok(None);
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
        Ok(None)
    }

    /// Remember an appended batch whose first record lies at `base`. Live and in a replay.
    pub fn apply(&mut self, header: &BatchHeader, base: Offset, now_ms: i64) {
        if header.producer_id < 0 {
            return;
        }
        let fresh = Producer::new(header.producer_epoch, header.max_timestamp, now_ms);
        let producer = self.by_id.entry(header.producer_id).or_insert(fresh);
        if producer.epoch != header.producer_epoch {
            *producer = fresh;
        }
        producer.last_timestamp = header.max_timestamp;
        producer.used_ms = now_ms;
        if header.is_control() {
            return;
        }
        producer.push(Sent {
            first: header.base_sequence,
            last: sequence_plus(header.base_sequence, header.last_offset_delta),
            base,
            end: base.plus(i64::from(header.last_offset_delta) + 1),
        });
    }

    /// Make room below `limit` producers: the eighth that was silent longest goes.
    pub fn limit(&mut self, limit: usize) {
        if self.by_id.len() < limit.max(1) {
            return;
        }
        let mut ages: Vec<(i64, i64)> = self
            .by_id
            .iter()
            .map(|(id, producer)| (producer.used_ms, *id))
            .collect();
        let drop = (ages.len() / 8).max(1);
        ages.select_nth_unstable(drop - 1);
        for (_, id) in &ages[..drop] {
            self.by_id.remove(id);
        }
    }

    /// Forget producers that were silent since before `horizon_ms` (P-18).
    pub fn expire(&mut self, horizon_ms: i64) {
        if self
            .by_id
            .values()
            .any(|producer| producer.used_ms < horizon_ms)
        {
            self.by_id
                .retain(|_, producer| producer.used_ms >= horizon_ms);
            self.by_id.shrink_to_fit();
        }
    }

    /// Whether this producer is known.
    pub fn contains(&self, id: i64) -> bool {
        self.by_id.contains_key(&id)
    }

    /// Put a producer in, as a snapshot had it.
    pub fn insert(&mut self, id: i64, producer: Producer) {
        self.by_id.insert(id, producer);
    }

    /// All of them, in the order of their ids.
    pub fn sorted(&self) -> Vec<(i64, &Producer)> {
        let mut all: Vec<_> = self.by_id.iter().map(|(id, p)| (*id, p)).collect();
        all.sort_unstable_by_key(|(id, _)| *id);
        all
    }

    /// What DescribeProducers shows.
    pub fn summaries(&self) -> Vec<ProducerSummary> {
        let summary = |(id, producer): (i64, &Producer)| ProducerSummary {
            producer_id: id,
            producer_epoch: producer.epoch,
            last_sequence: producer.last_sequence(),
            last_timestamp_ms: producer.last_timestamp,
            coordinator_epoch: -1,
            transaction_start: None,
        };
        self.sorted().into_iter().map(summary).collect()
    }
}

#[cfg(test)]
#[path = "producers/tests.rs"]
mod tests;
