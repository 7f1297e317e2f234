//! The window of a queue: every offset from its start to the next one to lease, as runs of equal
//! state. A run costs about 60 bytes, a record in it nothing.

use std::collections::{BTreeMap, BTreeSet};

/// What a record is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum State {
    /// Leased before a restart, perhaps: available, but its batches must be asked for anew.
    Unknown,
    /// Free to be leased.
    Available,
    /// Available from a moment on: `until_ms` is on the wall clock.
    Delayed,
    /// In a member's hands until `until_ms` on the monotonic clock.
    Leased,
    /// No record is there. Not written down: a restart finds out again.
    Hole,
    /// Done.
    Acknowledged,
    /// Given up, and on its way to the dead-letter topic.
    Archiving,
    /// Given up or gone from the log.
    Archived,
}

/// How many states there are.
const STATES: usize = 8;

impl State {
    /// Whether nothing more will come of it.
    pub fn is_terminal(self) -> bool {
        matches!(self, Self::Hole | Self::Acknowledged | Self::Archived)
    }
}

/// A stretch of records that are all the same. 24 bytes, which a test holds it to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Run {
    /// Its last offset.
    pub last: i64,
    /// A lease's end (monotonic) or the end of a delay (wall), ms; else 0.
    pub until_ms: i64,
    /// The member who leases it, by its number in the queue; else 0.
    pub owner: u16,
    /// How often it was delivered; 0 once nothing more will come of it.
    pub count: i16,
    /// How long before `until_ms` the lease began, s, rounded up; else 0. At most 12 h.
    pub held_s: u16,
    /// What it is.
    pub state: State,
    /// How often its stretch was halved for having failed. Not written down.
    pub halvings: u8,
}

impl Run {
    /// A run that nobody leases.
    pub fn plain(last: i64, state: State, count: i16) -> Self {
        Self {
            last,
            until_ms: 0,
            owner: 0,
            count: if state.is_terminal() { 0 } else { count },
            held_s: 0,
            state,
            halvings: 0,
        }
    }

    /// This run with another last offset.
    pub fn to(self, last: i64) -> Self {
        Self { last, ..self }
    }

    /// Whether the two differ in their place alone.
    fn is_like(&self, other: &Self) -> bool {
        self.to(0) == other.to(0)
    }
}

/// Runs by their first offset, without gaps and no two neighbours alike.
#[derive(Debug, Default)]
pub struct Runs {
    by_first: BTreeMap<i64, Run>,
    /// First offsets of the runs that are Available.
    available: BTreeSet<i64>,
    /// First offsets of the runs that are Unknown.
    unknown: BTreeSet<i64>,
    /// Records in each state.
    records: [u64; STATES],
    /// Records that each member leases.
    held: Vec<u64>,
}

impl Runs {
    /// How many runs there are.
    pub fn len(&self) -> usize {
        self.by_first.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.by_first.is_empty()
    }

    /// How many records are in this state.
    pub fn records(&self, state: State) -> u64 {
        self.records[state as usize]
    }

    /// How many records nothing more will come of.
    pub fn terminal(&self) -> u64 {
        self.records(State::Hole)
            + self.records(State::Acknowledged)
            + self.records(State::Archived)
    }

    /// How many records this member leases.
    pub fn held(&self, owner: u16) -> u64 {
        self.held.get(usize::from(owner)).copied().unwrap_or(0)
    }

    /// The first Available run at or above an offset.
    pub fn available_from(&self, offset: i64) -> Option<(i64, Run)> {
        let first = *self.available.range(offset..).next()?;
        Some((first, *self.by_first.get(&first)?))
    }

    /// The first offset of the first Unknown run.
    pub fn first_unknown(&self) -> Option<i64> {
        self.unknown.first().copied()
    }

    /// First and last offset of the Unknown runs that begin at or above `from`, or hold it.
    pub fn unknown_from(&self, from: i64) -> impl Iterator<Item = (i64, i64)> {
        let begin = self.at(from).map_or(from, |(first, _)| first);
        self.unknown
            .range(begin..)
            .filter_map(|first| Some((*first, self.by_first.get(first)?.last)))
    }

    /// The run that holds an offset, and its first one.
    pub fn at(&self, offset: i64) -> Option<(i64, Run)> {
        let (first, run) = self.by_first.range(..=offset).next_back()?;
        (run.last >= offset).then_some((*first, *run))
    }

    /// All runs that share an offset with the range, whole.
    pub fn overlapping(&self, first: i64, last: i64) -> impl Iterator<Item = (i64, Run)> {
        let begin = self.at(first).map_or(first, |(begin, _)| begin);
        // A range whose end lies before its start would panic.
        self.by_first
            .range(begin..=last.max(begin))
            .map(|(first, run)| (*first, *run))
    }

    /// All runs.
    pub fn iter(&self) -> impl Iterator<Item = (i64, Run)> {
        self.by_first.iter().map(|(first, run)| (*first, *run))
    }

    /// Let the offsets from `first` to the run's last be as the run says, whatever they were.
    pub fn put(&mut self, mut first: i64, mut run: Run) {
        self.clear(first, run.last);
        if let Some((left_first, left)) = self.at(first - 1)
            && left.is_like(&run)
        {
            self.take(left_first);
            first = left_first;
        }
        if let Some(right) = self.by_first.get(&(run.last + 1))
            && right.is_like(&run)
            && let Some(right) = self.take(run.last + 1)
        {
            run.last = right.last;
        }
        self.insert(first, run);
    }

    /// Forget all offsets below this one.
    pub fn cut_below(&mut self, offset: i64) {
        while let Some((&first, &run)) = self.by_first.first_key_value() {
            if first >= offset {
                return;
            }
            self.take(first);
            if run.last >= offset {
                self.insert(offset, run);
            }
        }
    }

    /// Forget terminal runs at the front; gives the first offset that is left, if any went.
    pub fn trim(&mut self) -> Option<i64> {
        let mut start = None;
        while let Some((&first, &run)) = self.by_first.first_key_value() {
            if !run.state.is_terminal() {
                break;
            }
            self.take(first);
            start = Some(run.last + 1);
        }
        start
    }

    fn clear(&mut self, first: i64, last: i64) {
        self.split(first);
        self.split(last + 1);
        while let Some((&begin, _)) = self.by_first.range(first..=last).next() {
            self.take(begin);
        }
    }

    /// Let no run reach over this offset from below it.
    fn split(&mut self, offset: i64) {
        if let Some((first, run)) = self.at(offset)
            && first < offset
        {
            self.take(first);
            self.insert(first, run.to(offset - 1));
            self.insert(offset, run);
        }
    }

    fn insert(&mut self, first: i64, run: Run) {
        let records = records_in(first, run.last);
        self.records[run.state as usize] += records;
        match run.state {
            State::Available => drop(self.available.insert(first)),
            State::Unknown => drop(self.unknown.insert(first)),
            State::Leased => {
                let owner = usize::from(run.owner);
                if self.held.len() <= owner {
                    self.held.resize(owner + 1, 0);
                }
                self.held[owner] += records;
            }
            _ => {}
        }
        self.by_first.insert(first, run);
    }

    fn take(&mut self, first: i64) -> Option<Run> {
        let run = self.by_first.remove(&first)?;
        let records = records_in(first, run.last);
        self.records[run.state as usize] -= records;
        match run.state {
            State::Available => drop(self.available.remove(&first)),
            State::Unknown => drop(self.unknown.remove(&first)),
            State::Leased => self.held[usize::from(run.owner)] -= records,
            _ => {}
        }
        Some(run)
    }
}

/// How many offsets lie from one to another, both included.
pub fn records_in(first: i64, last: i64) -> u64 {
    u64::try_from(last - first + 1).unwrap_or(0)
}
