//! How far everything in a log is decided: the open transactions and the last stable offset
//! (T-15). Pure.
//!
//! A transaction counts as undecided until its marker lies below the high watermark: what readers
//! of committed records saw must not become undecided again when a power cut takes the marker.

use std::collections::{BTreeMap, VecDeque};

use crate::log::Place;
use crate::{AbortedTransaction, Offset, Outcome};

/// What a batch did to the transaction of its producer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) enum Effect {
    /// Nothing.
    #[default]
    None,
    /// It is the first of one.
    Began,
    /// It ended the one that began at `first`.
    Ended {
        producer_id: i64,
        first: Offset,
        outcome: Outcome,
    },
}

impl Effect {
    /// Whether a transaction was aborted.
    pub fn is_abort(self) -> bool {
        matches!(self, Self::Ended { outcome, .. } if outcome == Outcome::Abort)
    }
}

/// The undecided transactions of a log, by their first offsets.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Transactions {
    open: BTreeMap<Offset, Place>,
    /// Those that ended, by their markers' offsets, until the high watermark is above these.
    ended: VecDeque<(Offset, Place)>,
    /// The first of all: what a read needs, without a search.
    first: Option<Place>,
}

impl Transactions {
    /// A batch at `place` had this effect. Gives the transaction if it was aborted.
    pub fn note(&mut self, effect: Effect, place: Place) -> Option<AbortedTransaction> {
        match effect {
            Effect::None => None,
            Effect::Began => {
                self.open.insert(place.offset, place);
                self.first.get_or_insert(place);
                None
            }
            Effect::Ended {
                producer_id,
                first,
                outcome,
            } => {
                if let Some(began) = self.open.remove(&first) {
                    self.ended.push_back((place.offset, began));
                }
                let stable_at_marker = self
                    .open
                    .first_key_value()
                    .map_or(place.offset.plus(1), |(first, _)| *first);
                (outcome == Outcome::Abort).then_some(AbortedTransaction {
                    producer_id,
                    first_offset: first,
                    last_offset: place.offset,
                    stable_at_marker,
                })
            }
        }
    }

    /// Everything below `high` is shown.
    pub fn shown(&mut self, high: Offset) {
        let before = self.ended.len();
        while self.ended.front().is_some_and(|(marker, _)| *marker < high) {
            self.ended.pop_front();
        }
        if self.ended.len() != before {
            self.find_first();
        }
    }

    /// Where the first undecided transaction begins. That may be before the log's start.
    pub fn first(&self) -> Option<Place> {
        self.first
    }

    /// Where those that did not end begin, in order.
    pub fn open(&self) -> impl Iterator<Item = Place> {
        self.open.values().copied()
    }

    fn find_first(&mut self) {
        let open = self.open.first_key_value().map(|(_, place)| *place);
        let ended = self.ended.iter().map(|(_, began)| *began);
        self.first = open
            .into_iter()
            .chain(ended)
            .min_by_key(|place| place.offset);
    }
}
