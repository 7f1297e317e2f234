//! One queue: its window, its hard state's records, and what of it lasts only while the server
//! runs.

use std::sync::Arc;

use ratel_storage::Offset;

use super::ahead::Ahead;
use super::deadlines::{Deadlines, DelayEnd, LeaseEnd};
use super::members::Members;
use super::record::{Durable, Snapshot, StateBatch, Update};
use super::runs::{Run, Runs, State, records_in};
use super::{Depth, QueueConfig};
use crate::clock::Timestamp;

/// Batches in one record; more are split.
pub const RECORD_BATCHES_MAX: usize = 10_000;
/// A snapshot is due when the updates since the last weigh this many times its size ...
const SNAPSHOT_WEIGHT: u64 = 4;
/// ... and there are at least this many of them.
const SNAPSHOT_UPDATES_MIN: u32 = 500;
/// The longest that a delay of before a restart may still last, ms: 12 h.
const DELAY_MAX_MS: i64 = 12 * 60 * 60 * 1000;

/// What was counted since the server's start.
#[derive(Debug, Default)]
pub struct Tally {
    pub dead: u64,
    pub redelivered: u64,
    pub lock_expired: u64,
    pub lost: u64,
}

/// One queue. The fields up to `updates_bytes` are hard state (of the runs, all but leases,
/// holes and what was never delivered), the others last until a restart.
#[derive(Debug)]
pub struct Queue {
    /// The first offset that is not done.
    pub start: i64,
    /// The first offset that was never leased. The runs cover all from `start` up to it.
    pub next: i64,
    pub runs: Runs,
    pub state_epoch: i32,
    snapshot_epoch: i32,
    created_ms: i64,
    /// The snapshot at the end of the log so far was installed: updates that continue it count.
    installing: bool,
    updates: u32,
    updates_bytes: u64,

    pub ahead: Ahead,
    pub members: Members,
    pub leases: Deadlines<LeaseEnd>,
    pub delays: Deadlines<DelayEnd>,
    pub config: Arc<QueueConfig>,
    /// Somebody was sent away because too much is leased.
    pub starved: bool,
    /// When the machine's timer for it is set, monotonic ms.
    pub armed: Option<i64>,
    pub tally: Tally,
}

impl Queue {
    /// What a snapshot says.
    pub fn install(snapshot: &Snapshot) -> Self {
        let mut queue = Self {
            start: snapshot.start,
            next: snapshot.start,
            runs: Runs::default(),
            state_epoch: snapshot.state_epoch,
            snapshot_epoch: snapshot.snapshot_epoch,
            created_ms: snapshot.created_ms,
            installing: true,
            updates: 0,
            updates_bytes: 0,
            ahead: Ahead::default(),
            members: Members::default(),
            leases: Deadlines::default(),
            delays: Deadlines::default(),
            config: Arc::default(),
            starved: false,
            armed: None,
            tally: Tally::default(),
        };
        queue.assign(&snapshot.batches);
        queue
    }

    /// A snapshot of what is known already.
    pub fn resnapshot(&mut self, snapshot: &Snapshot) {
        self.snapshot_epoch = snapshot.snapshot_epoch;
        self.installing = false;
        self.updates = 0;
        self.updates_bytes = 0;
    }

    /// Change hard state.
    pub fn update(&mut self, update: &Update) {
        if update.continues {
            if self.installing {
                self.assign(&update.batches);
            }
            return;
        }
        self.installing = false;
        self.updates = self.updates.saturating_add(1);
        self.updates_bytes += update.bytes();
        if let Some(start) = update.start {
            self.begin_at(start);
        }
        self.assign(&update.batches);
    }

    fn begin_at(&mut self, start: i64) {
        if start > self.start {
            self.runs.cut_below(start);
            self.start = start;
            self.next = self.next.max(start);
        }
    }

    fn assign(&mut self, batches: &[StateBatch]) {
        for batch in batches {
            let first = batch.first.max(self.start);
            if batch.last < first {
                continue;
            }
            if first > self.next {
                let gap = Run::plain(first - 1, State::Unknown, 0);
                self.runs.put(self.next, gap);
            }
            let (state, until_ms) = match batch.state {
                Durable::Available if batch.not_before_ms != 0 => {
                    (State::Delayed, batch.not_before_ms)
                }
                Durable::Available => (State::Available, 0),
                Durable::Acknowledged => (State::Acknowledged, 0),
                Durable::Archiving => (State::Archiving, 0),
                Durable::Archived => (State::Archived, 0),
            };
            let run = Run {
                until_ms,
                ..Run::plain(batch.last, state, batch.count)
            };
            self.put_back(first, run);
            self.next = self.next.max(batch.last + 1);
        }
        if let Some(start) = self.runs.trim() {
            self.start = start;
        }
    }

    /// Let a stretch be as the run says. What comes back stays as halved as it was.
    fn put_back(&mut self, first: i64, run: Run) {
        let comes_back = matches!(run.state, State::Available | State::Delayed);
        let halved: Vec<(i64, Run)> = self
            .runs
            .overlapping(first, run.last)
            .filter(|(_, was)| comes_back && was.halvings > 0)
            .collect();
        self.runs.put(first, run);
        for (begin, was) in halved {
            let piece = Run {
                halvings: was.halvings,
                ..run.to(was.last.min(run.last))
            };
            self.runs.put(begin.max(first), piece);
        }
    }

    /// What to write down for these batches (ascending, and none of an offset that is done) and a
    /// new start of the log.
    pub fn plan(&self, batches: Vec<StateBatch>, log_start: Option<i64>) -> Update {
        let from = log_start.map_or(self.start, |log_start| log_start.max(self.start));
        let mut done = i128::from(self.runs.terminal());
        for batch in batches.iter().filter(|batch| batch.state.is_terminal()) {
            done += i128::from(records_in(batch.first.max(from), batch.last));
        }
        let mut start = from;
        let mut changes = batches.iter().peekable();
        loop {
            while changes.next_if(|batch| batch.last < start).is_some() {}
            match changes.peek() {
                Some(batch) if batch.first <= start => {
                    if !batch.state.is_terminal() {
                        break;
                    }
                    start = batch.last + 1;
                }
                following => match self.runs.at(start) {
                    Some((_, run)) if run.state.is_terminal() => {
                        // A change within a run that is done does not happen, but would count.
                        let end = following.map_or(i64::MAX, |batch| batch.first);
                        start = end.min(run.last + 1);
                    }
                    _ => break,
                },
            }
        }
        for (first, run) in self.runs.overlapping(self.start, from - 1) {
            if run.state.is_terminal() && first < from {
                done -= i128::from(records_in(first, run.last.min(from - 1)));
            }
        }
        done -= i128::from(start - from);
        Update {
            snapshot_epoch: self.snapshot_epoch,
            start: (start > self.start).then_some(start),
            complete: i32::try_from(done.max(0)).unwrap_or(i32::MAX),
            batches,
            continues: false,
        }
    }

    /// Whether the updates since the last snapshot weigh so much that another pays.
    pub fn snapshot_is_due(&self) -> bool {
        let size = 64 + 20 * self.runs.len() as u64;
        self.updates >= SNAPSHOT_UPDATES_MIN && self.updates_bytes > SNAPSHOT_WEIGHT * size
    }

    /// The hard state below `end`, of this state epoch, as a snapshot and updates that go on.
    /// A lease is written as what a restart makes of it: available, this delivery not counted.
    pub fn snapshot(
        &self,
        now_ms: i64,
        snapshot_epoch: i32,
        state_epoch: i32,
        end: i64,
    ) -> (Snapshot, Vec<Update>) {
        let batches = self.batches(end);
        let complete = i32::try_from(self.runs.terminal()).unwrap_or(i32::MAX);
        let mut parts = batches.chunks(RECORD_BATCHES_MAX);
        let snapshot = Snapshot {
            snapshot_epoch,
            state_epoch,
            start: self.start.min(end),
            complete,
            created_ms: self.created_ms,
            written_ms: now_ms,
            batches: parts.next().unwrap_or_default().to_vec(),
        };
        let rest = parts
            .map(|part| Update {
                snapshot_epoch,
                start: None,
                complete,
                batches: part.to_vec(),
                continues: true,
            })
            .collect();
        (snapshot, rest)
    }

    /// The epoch of its last snapshot.
    pub fn snapshot_epoch(&self) -> i32 {
        self.snapshot_epoch
    }

    /// When it was made, wall clock ms.
    pub fn created_ms(&self) -> i64 {
        self.created_ms
    }

    fn batches(&self, end: i64) -> Vec<StateBatch> {
        let mut batches: Vec<StateBatch> = Vec::new();
        for (first, run) in self.runs.iter().take_while(|(first, _)| *first < end) {
            let (state, count) = match run.state {
                State::Unknown | State::Hole => continue,
                State::Leased => (Durable::Available, run.count - 1),
                State::Available | State::Delayed => (Durable::Available, run.count),
                State::Acknowledged => (Durable::Acknowledged, run.count),
                State::Archiving => (Durable::Archiving, run.count),
                State::Archived => (Durable::Archived, run.count),
            };
            if state == Durable::Available && count == 0 {
                continue;
            }
            let batch = StateBatch {
                first,
                last: run.last.min(end - 1),
                state,
                count,
                not_before_ms: if run.state == State::Delayed {
                    run.until_ms
                } else {
                    0
                },
            };
            match batches.last_mut() {
                Some(last) if last.joins(&batch) => last.last = batch.last,
                _ => batches.push(batch),
            }
        }
        batches
    }

    /// When something of it is due next, monotonic ms.
    pub fn next_due(&mut self) -> Option<i64> {
        let lease = self.leases.next(&self.runs);
        let delay = self.delays.next(&self.runs);
        lease.into_iter().chain(delay).min()
    }

    /// After a restart: let delays last as long as they still should, and those that are over
    /// end.
    pub fn begin_delays(&mut self, now: Timestamp, found: &mut Vec<(i64, Run)>) {
        let runs = self.runs.iter();
        for (first, run) in runs.filter(|(_, run)| run.state == State::Delayed) {
            let left_ms = run.until_ms.saturating_sub(now.wall_ms);
            let until_ms = now.monotonic_ms + left_ms.clamp(0, DELAY_MAX_MS);
            let end = DelayEnd(run.until_ms);
            self.delays.push(until_ms, first, run.last, end, &self.runs);
        }
        self.end_delays(now.monotonic_ms, found);
    }

    /// Let delays that are over end. Whether there were any.
    pub fn end_delays(&mut self, now_ms: i64, found: &mut Vec<(i64, Run)>) -> bool {
        found.clear();
        while self.delays.pop_due(now_ms, &self.runs, found) {}
        for (first, run) in found.iter() {
            let available = Run {
                halvings: run.halvings,
                ..Run::plain(run.last, State::Available, run.count)
            };
            self.runs.put(*first, available);
        }
        !found.is_empty()
    }

    /// How it stands.
    pub fn depth(&self) -> Depth {
        let available = self.runs.available_from(self.start).map(|(first, _)| first);
        let unknown = self.runs.first_unknown();
        let oldest_ready = available.into_iter().chain(unknown).min();
        let archiving = self.runs.records(State::Archiving);
        Depth {
            start: Offset::new(self.start),
            next: Offset::new(self.next),
            oldest_ready: Offset::new(oldest_ready.unwrap_or(self.next)),
            ready: self.runs.records(State::Available) + self.runs.records(State::Unknown),
            in_flight: self.runs.records(State::Leased),
            delayed: self.runs.records(State::Delayed),
            archiving,
            complete: self.runs.terminal(),
            dead: self.tally.dead.saturating_sub(archiving),
            redelivered: self.tally.redelivered,
            lock_expired: self.tally.lock_expired,
            lost: self.tally.lost,
            state_epoch: self.state_epoch,
        }
    }
}
