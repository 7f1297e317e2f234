//! A set of byte ranges, kept merged.

use crate::Position;

/// Half-open ranges in ascending order that neither overlap nor touch.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub(crate) struct Ranges {
    ranges: Vec<(Position, Position)>,
}

impl Ranges {
    /// Add `from..end`.
    pub fn add(&mut self, from: Position, end: Position) {
        if from >= end {
            return;
        }
        // The common case: right behind the last.
        if let Some(last) = self.ranges.last_mut()
            && last.0 <= from
            && from <= last.1
        {
            last.1 = last.1.max(end);
            return;
        }
        let first = self.ranges.partition_point(|range| range.1 < from);
        let after = self.ranges.partition_point(|range| range.0 <= end);
        let merged = self.ranges[first..after]
            .iter()
            .fold((from, end), |(from, end), range| {
                (from.min(range.0), end.max(range.1))
            });
        self.ranges.splice(first..after, [merged]);
    }

    /// The largest `end` such that all of `from..end` is in; `from` if nothing is.
    pub fn reach(&self, from: Position) -> Position {
        let after = self.ranges.partition_point(|range| range.0 <= from);
        after
            .checked_sub(1)
            .map_or(from, |at| self.ranges[at].1.max(from))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn it_behaves_like_a_bitmap(adds in prop::collection::vec((0_u64..40, 0_u64..12), 0..20)) {
            let mut ranges = Ranges::default();
            let mut bits = [false; 64];
            for (from, len) in adds {
                ranges.add(from, from + len);
                (from..from + len).for_each(|at| bits[usize::try_from(at).unwrap()] = true);
            }
            for from in 0..52_u64 {
                for end in from..52 {
                    let all = (from..end).all(|at| bits[usize::try_from(at).unwrap()]);
                    prop_assert_eq!(ranges.reach(from) >= end, all);
                }
            }
            for pair in ranges.ranges.windows(2) {
                prop_assert!(pair[0].1 < pair[1].0);
            }
        }
    }
}
