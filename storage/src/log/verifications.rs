//! Producers that asked to begin a transaction, until its first batch is there (T-18). Pure.
//!
//! Kept apart from the producers: whoever asks has shown nothing yet, and must not push out those
//! that did. A question that is forgotten costs its producer an abort.

use std::collections::HashMap;

use crate::StorageError;
use crate::transaction::{Beginning, Guard};

/// One producer's question.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Asked {
    guard: Guard,
    epoch: i16,
    /// The lowest sequence seen while it waits: a higher one written first would bar it for good.
    lowest_sequence: i32,
    bumps_epoch: bool,
    asked_ms: i64,
}

/// The questions of one log.
#[derive(Debug, Default)]
pub(crate) struct Verifications {
    by_producer: HashMap<i64, Asked>,
    given: u64,
}

impl Verifications {
    /// Somebody asks. The guard is the same until the question is settled.
    pub fn ask(&mut self, beginning: &Beginning, limit: usize, now_ms: i64) -> Guard {
        let producer = beginning.producer;
        if let Some(asked) = self.by_producer.get_mut(&producer.id) {
            let sequence = beginning.first_sequence;
            if producer.epoch > asked.epoch {
                (asked.epoch, asked.lowest_sequence) = (producer.epoch, sequence);
            } else if producer.epoch == asked.epoch {
                asked.lowest_sequence = asked.lowest_sequence.min(sequence);
            }
            return asked.guard;
        }
        if self.by_producer.len() >= limit.max(1) {
            let oldest = self.by_producer.iter().min_by_key(|(_, a)| a.asked_ms);
            if let Some(id) = oldest.map(|(id, _)| *id) {
                self.by_producer.remove(&id);
            }
        }
        self.given += 1;
        let guard = Guard(self.given);
        let asked = Asked {
            guard,
            epoch: producer.epoch,
            lowest_sequence: beginning.first_sequence,
            bumps_epoch: beginning.bumps_epoch,
            asked_ms: now_ms,
        };
        self.by_producer.insert(producer.id, asked);
        guard
    }

    /// Whether nobody asks: the only look of those who have nothing to do with transactions.
    pub fn is_empty(&self) -> bool {
        self.by_producer.is_empty()
    }

    /// Whether this is the guard that the producer holds.
    pub fn holds(&self, producer_id: i64, guard: Option<Guard>) -> bool {
        let asked = self.by_producer.get(&producer_id);
        asked.is_some_and(|asked| guard == Some(asked.guard))
    }

    /// Whether a batch may be written before the others of its producer. `known` says whether the
    /// log holds a batch of it.
    ///
    /// # Errors
    /// [`StorageError::OutOfOrderSequence`] (T-18, P-18).
    pub fn check_sequence(
        &self,
        producer_id: i64,
        sequence: i32,
        known: bool,
    ) -> Result<(), StorageError> {
        let Some(asked) = self.by_producer.get(&producer_id) else {
            return Ok(());
        };
        let expected = if asked.bumps_epoch && !known {
            0
        } else {
            asked.lowest_sequence
        };
        let refused =
            sequence > asked.lowest_sequence || (!known && asked.bumps_epoch && sequence != 0);
        if refused {
            return Err(StorageError::OutOfOrderSequence {
                producer_id,
                expected,
                found: sequence,
            });
        }
        Ok(())
    }

    /// A batch of a transaction was written: the question is settled.
    pub fn written(&mut self, producer_id: i64) {
        self.by_producer.remove(&producer_id);
    }

    /// A transaction ended at this epoch: who asked before must ask again. With an epoch for each
    /// transaction, one that asks with the marker's epoch begins the next.
    pub fn ended(&mut self, producer_id: i64, epoch: i16) {
        let is_next = |asked: &Asked| asked.bumps_epoch && asked.epoch == epoch;
        if !self.by_producer.get(&producer_id).is_some_and(is_next) {
            self.by_producer.remove(&producer_id);
        }
    }

    /// Forget questions from before `horizon_ms`.
    pub fn expire(&mut self, horizon_ms: i64) {
        self.by_producer
            .retain(|_, asked| asked.asked_ms >= horizon_ms);
        self.by_producer.shrink_to_fit();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Producer;

    fn ask(questions: &mut Verifications, id: i64, epoch: i16, sequence: i32) -> Guard {
        ask_at(questions, id, epoch, sequence, false, 1)
    }

    fn ask_at(
        questions: &mut Verifications,
        id: i64,
        epoch: i16,
        first_sequence: i32,
        bumps_epoch: bool,
        now_ms: i64,
    ) -> Guard {
        let beginning = Beginning {
            producer: Producer { id, epoch },
            first_sequence,
            bumps_epoch,
        };
        questions.ask(&beginning, 3, now_ms)
    }

    #[test]
    fn t_18_a_guard_holds_until_the_transaction_ends_and_no_other_does() {
        let mut questions = Verifications::default();
        let guard = ask(&mut questions, 1, 0, 0);
        assert_eq!(ask(&mut questions, 1, 0, 5), guard);
        assert!(questions.holds(1, Some(guard)));
        assert!(!questions.holds(1, None) && !questions.holds(2, Some(guard)));
        questions.ended(1, 0);
        assert!(!questions.holds(1, Some(guard)));
        let next = ask(&mut questions, 1, 0, 0);
        assert!(next != guard && !questions.holds(1, Some(guard)));
        questions.written(1);
        assert!(!questions.holds(1, Some(next)));
    }

    #[test]
    fn t_18_a_marker_leaves_who_asked_with_its_own_epoch_for_the_next_transaction() {
        let mut questions = Verifications::default();
        let guard = ask_at(&mut questions, 1, 4, 0, true, 1);
        questions.ended(1, 4);
        assert!(questions.holds(1, Some(guard)));
        questions.ended(1, 5);
        assert!(!questions.holds(1, Some(guard)));
    }

    #[test]
    fn t_18_what_comes_before_the_lowest_sequence_waits_for_it() {
        let mut questions = Verifications::default();
        ask(&mut questions, 1, 0, 7);
        assert!(questions.check_sequence(1, 7, true).is_ok());
        ask(&mut questions, 1, 0, 5);
        ask(&mut questions, 1, 0, 9);
        assert!(questions.check_sequence(1, 7, true).is_err());
        assert!(questions.check_sequence(1, 5, true).is_ok());
        assert!(questions.check_sequence(2, 7, true).is_ok());
        ask(&mut questions, 1, 1, 8);
        assert!(
            questions.check_sequence(1, 8, true).is_ok(),
            "another epoch"
        );
    }

    #[test]
    fn p_18_with_an_epoch_each_a_producer_without_state_begins_with_0() {
        let mut questions = Verifications::default();
        ask_at(&mut questions, 1, 0, 3, true, 1);
        assert!(questions.check_sequence(1, 3, false).is_err());
        assert!(questions.check_sequence(1, 3, true).is_ok());
        assert!(questions.check_sequence(1, 0, false).is_ok());
    }

    #[test]
    fn questions_are_bounded_and_expire() {
        let mut questions = Verifications::default();
        let guards: Vec<_> = (0..4)
            .map(|id| ask_at(&mut questions, id, 0, 0, false, id))
            .collect();
        let held =
            |questions: &Verifications, id: usize| questions.holds(id as i64, Some(guards[id]));
        assert!(!held(&questions, 0) && held(&questions, 1) && held(&questions, 3));
        questions.expire(2);
        assert!(!held(&questions, 1) && held(&questions, 2));
    }
}
