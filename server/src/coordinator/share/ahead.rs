//! What is known of the log beyond what was leased: the batches of a stretch, so that most
//! acquires need not ask for them.

use std::collections::VecDeque;

use super::runs::records_in;
use super::{Shape, Span};

/// Batches that are remembered; the rest of a shape is forgotten and asked for again.
const SPANS_MAX: usize = 65_536;

/// Batches beyond a queue's `next`. Soft state.
#[derive(Debug, Default)]
pub struct Ahead {
    /// First and last offset of each, ascending.
    spans: VecDeque<(i64, i64)>,
    /// One past the last offset that is known of.
    to: i64,
}

/// What lies next in a log.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Piece {
    /// No records, up to this offset.
    Hole(i64),
    /// A batch, from here to its last offset.
    Batch(i64),
    /// It is not known.
    Unknown,
}

impl Ahead {
    /// Remember what a shape tells of the log from `next` up to `end`.
    pub fn learn(&mut self, shape: &Shape, next: i64, end: i64) {
        if self.to < next {
            self.spans.clear();
            self.to = next;
        }
        let to = shape.to.get().min(end);
        if shape.from.get() > self.to || to <= self.to {
            return;
        }
        for (first, last) in spans(shape, self.to, to - 1) {
            if self.spans.len() >= SPANS_MAX {
                self.to = first;
                return;
            }
            let known_to = self.spans.back().map_or(i64::MIN, |(_, last)| *last);
            if first > known_to {
                self.spans.push_back((first, last));
            }
        }
        self.to = to;
    }

    /// What lies at `next`.
    pub fn at(&mut self, next: i64) -> Piece {
        while let Some(&(first, last)) = self.spans.front() {
            if last < next {
                self.spans.pop_front();
            } else if first > next {
                return Piece::Hole(first - 1);
            } else {
                return Piece::Batch(last);
            }
        }
        if self.to > next {
            Piece::Hole(self.to - 1)
        } else {
            Piece::Unknown
        }
    }

    /// How many records the batch that holds `next` has, or the first one after it; 0 if it is not
    /// known.
    pub fn batch_records(&self, next: i64) -> u64 {
        let mut spans = self.spans.iter();
        let found = spans.find(|(_, last)| *last >= next);
        found.map_or(0, |(first, last)| records_in(*first, *last))
    }

    /// Whether nothing is known of what lies at `next`.
    pub fn is_spent(&self, next: i64) -> bool {
        self.to <= next
    }
}

/// The batches of a shape that reach into a range, cut to it; those that make no sense left out.
pub fn spans(shape: &Shape, first: i64, last: i64) -> impl Iterator<Item = (i64, i64)> + '_ {
    let begin = shape
        .batches
        .partition_point(|span| span.last.get() < first);
    let cut = move |span: &Span| (span.first.get().max(first), span.last.get().min(last));
    shape
        .batches
        .get(begin..)
        .unwrap_or_default()
        .iter()
        .take_while(move |span| span.first.get() <= last)
        .map(cut)
        .filter(|(first, last)| records_in(*first, *last) > 0)
}
