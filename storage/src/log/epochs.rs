//! Which leader epoch wrote which offsets (L-6, DC7).

use crate::Offset;

/// The first offset of each epoch, ascending in both.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Epochs {
    entries: Vec<(i32, Offset)>,
}

impl Epochs {
    /// The entries.
    pub fn entries(&self) -> &[(i32, Offset)] {
        &self.entries
    }

    /// Note that the batch at `base` was written in `epoch`. Says whether that began an epoch.
    pub fn note(&mut self, epoch: i32, base: Offset) -> bool {
        let begins = self.entries.last().is_none_or(|(last, _)| *last < epoch);
        if begins {
            self.entries.push((epoch, base));
        }
        begins
    }

    /// The epoch of the last batch, -1 if there is none.
    pub fn last(&self) -> i32 {
        self.entries.last().map_or(-1, |(epoch, _)| *epoch)
    }

    /// The epoch that wrote this offset.
    pub fn at(&self, offset: Offset) -> Option<i32> {
        let after = self.entries.partition_point(|(_, first)| *first <= offset);
        after.checked_sub(1).map(|at| self.entries[at].0)
    }

    /// The largest epoch at or below `epoch` and one past its last offset, in a log that ends at
    /// `end` and whose next append is of epoch `current`.
    pub fn end_of(&self, epoch: i32, current: i32, end: Offset) -> Option<(i32, Offset)> {
        if epoch == current {
            return Some((current, end));
        }
        if epoch < 0 || epoch > current {
            return None;
        }
        let after = self.entries.partition_point(|(known, _)| *known <= epoch);
        let (found, _) = self.entries[..after].last()?;
        let next = self.entries.get(after).map_or(end, |(_, first)| *first);
        Some((*found, next))
    }

    /// Forget epochs that wrote nothing at or behind `start`.
    pub fn trim(&mut self, start: Offset) {
        let after = self.entries.partition_point(|(_, first)| *first <= start);
        if after > 1 {
            self.entries.drain(..after - 1);
        }
    }

    /// Forget epochs that began at or behind `end`.
    pub fn cut(&mut self, end: Offset) {
        self.entries.retain(|(_, first)| *first < end);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sample() -> Epochs {
        let mut epochs = Epochs::default();
        for (epoch, base) in [(0, 0), (0, 5), (2, 10), (2, 11), (5, 30)] {
            epochs.note(epoch, Offset::new(base));
        }
        epochs
    }

    #[test]
    fn l_6_an_older_epoch_ends_where_the_next_begins() {
        let epochs = sample();
        let end = |epoch| {
            epochs
                .end_of(epoch, 6, Offset::new(40))
                .map(|(e, o)| (e, o.get()))
        };
        assert_eq!(end(0), Some((0, 10)));
        assert_eq!(end(1), Some((0, 10)));
        assert_eq!(end(2), Some((2, 30)));
        assert_eq!(end(4), Some((2, 30)));
        assert_eq!(end(5), Some((5, 40)));
        assert_eq!(end(6), Some((6, 40)));
        assert_eq!(end(7), None);
        assert_eq!(end(-1), None);
    }

    #[test]
    fn each_offset_has_the_epoch_that_wrote_it() {
        let epochs = sample();
        let at = |offset| epochs.at(Offset::new(offset));
        assert_eq!(
            (at(0), at(9), at(10), at(29), at(99)),
            (Some(0), Some(0), Some(2), Some(2), Some(5))
        );
        assert_eq!(Epochs::default().at(Offset::ZERO), None);
    }

    #[test]
    fn trimming_keeps_the_epoch_that_the_start_lies_in() {
        let mut epochs = sample();
        epochs.trim(Offset::new(15));
        assert_eq!(
            epochs.entries(),
            [(2, Offset::new(10)), (5, Offset::new(30))]
        );
        epochs.cut(Offset::new(30));
        assert_eq!(epochs.entries(), [(2, Offset::new(10))]);
    }
}
