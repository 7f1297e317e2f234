//! The machine against a plain map of offsets, through whatever may happen.

use std::collections::{BTreeMap, BTreeSet};

use proptest::prelude::*;
use ratel_protocol::ErrorCode;
use ratel_storage::Offset;

use super::bench::{Bench, key, snapshot_of};
use crate::coordinator::Machine;
use crate::coordinator::share::{AckType, Action, Event, Mode, Record, Reply};

const MEMBERS: [&str; 3] = ["a", "b", "c"];

#[derive(Debug, Clone)]
enum Step {
    Acquire {
        member: usize,
        records: usize,
        whole: bool,
    },
    /// A part of a batch, with one type or a pattern of types.
    Acknowledge {
        member: usize,
        batch: usize,
        from: i64,
        types: Vec<u8>,
    },
    Release(usize),
    /// What a member leases of a few batches never reached it.
    GiveBack(usize, usize),
    Advance(i64),
    Restart,
    /// A snapshot is written, as it is when enough has happened.
    Snapshot,
    LogStart(i64),
    Grow(i64),
    /// All below this part of the log is cleared away.
    Purge(i64),
    /// Begin anew at this part of the log.
    Reset(i64),
    /// The topic goes, and another of its name has the same offsets.
    Recreate,
    /// The dead letters of a few batches stand.
    DeadLettered(usize),
}

fn steps() -> impl Strategy<Value = Step> {
    prop_oneof![
        6 => (0..3_usize, 1..12_usize, any::<bool>()).prop_map(|(member, records, whole)| {
            Step::Acquire { member, records, whole }
        }),
        12 => (0..3_usize, 0..60_usize, 0..4_i64, prop::collection::vec(0..5_u8, 1..6)).prop_map(
            |(member, batch, from, types)| Step::Acknowledge { member, batch, from, types }
        ),
        1 => (0..3_usize).prop_map(Step::Release),
        2 => (0..3_usize, 0..60_usize).prop_map(|(member, batch)| Step::GiveBack(member, batch)),
        4 => (0..800_i64).prop_map(Step::Advance),
        1 => Just(Step::Restart),
        1 => Just(Step::Snapshot),
        1 => (0..30_i64).prop_map(Step::LogStart),
        3 => (1..40_i64).prop_map(Step::Grow),
        1 => (0..100_i64).prop_map(Step::Purge),
        1 => (0..100_i64).prop_map(Step::Reset),
        1 => Just(Step::Recreate),
        2 => (0..60_usize).prop_map(Step::DeadLettered),
    ]
}

#[derive(Debug, Clone, Copy, PartialEq)]
enum Naive {
    Available,
    Delayed(i64),
    Leased {
        member: usize,
        until_ms: i64,
    },
    /// Given up, and its letter does not stand yet.
    Dead,
    Done,
}

/// A record: what it is, how often it was delivered, and how often that is sure to be known.
#[derive(Debug, Clone, Copy)]
struct Known {
    state: Naive,
    count: i16,
    durable: i16,
}

/// Never delivered.
const FRESH: Known = Known {
    state: Naive::Available,
    count: 0,
    durable: 0,
};

struct Model {
    records: BTreeMap<i64, Known>,
    backoff_ms: i64,
    limit: i16,
    lock_ms: i64,
    dead_letters: bool,
}

impl Model {
    /// What a record is once it is given up.
    fn given_up(&self) -> Naive {
        match self.dead_letters {
            true => Naive::Dead,
            false => Naive::Done,
        }
    }

    /// All from an offset on is as if it had never been delivered, and all below it is done.
    fn begin_at(&mut self, start: i64) {
        for (offset, known) in &mut self.records {
            *known = FRESH;
            if *offset < start {
                known.state = Naive::Done;
            }
        }
    }

    fn come_back(&mut self, offset: i64, now_ms: i64, backoff: bool) {
        let (limit, backoff_ms, given_up) = (self.limit, self.backoff_ms, self.given_up());
        let known = self.records.get_mut(&offset).unwrap();
        known.durable = known.count;
        known.state = if known.count >= limit {
            given_up
        } else if backoff && backoff_ms > 0 {
            Naive::Delayed(now_ms + backoff_ms)
        } else {
            Naive::Available
        };
    }

    fn offsets(&self, wanted: impl Fn(&Naive) -> bool) -> Vec<i64> {
        let found = self
            .records
            .iter()
            .filter(|(_, known)| wanted(&known.state));
        found.map(|(offset, _)| *offset).collect()
    }

    /// Let time pass up to `now_ms`: a lease that ran out may be followed by a delay that did.
    fn pass(&mut self, now_ms: i64) {
        for offset in self.offsets(|state| *state != Naive::Done) {
            if let Naive::Leased { until_ms, .. } = self.records[&offset].state
                && until_ms <= now_ms
            {
                self.come_back(offset, until_ms, true);
            }
            let known = self.records.get_mut(&offset).unwrap();
            if matches!(known.state, Naive::Delayed(until_ms) if until_ms <= now_ms) {
                known.state = Naive::Available;
            }
        }
    }

    fn acknowledge(&mut self, member: usize, first: i64, types: &[AckType], now_ms: i64) -> bool {
        let (lock_ms, given_up) = (self.lock_ms, self.given_up());
        let offsets: Vec<(i64, AckType)> = (first..).zip(types.iter().copied()).collect();
        let is_theirs = |offset: &i64| match self.records[offset].state {
            Naive::Leased { member: owner, .. } => owner == member,
            _ => false,
        };
        if !offsets.iter().all(|(offset, _)| is_theirs(offset)) {
            return false;
        }
        for (offset, kind) in offsets {
            let known = self.records.get_mut(&offset).unwrap();
            match kind {
                AckType::Gap | AckType::Accept => known.state = Naive::Done,
                AckType::Reject => {
                    known.durable = known.count;
                    known.state = given_up;
                }
                AckType::Release => self.come_back(offset, now_ms, true),
                AckType::Renew => {
                    let until_ms = now_ms + lock_ms;
                    known.state = Naive::Leased { member, until_ms };
                }
            }
        }
        true
    }
}

/// A world of batches of one to seven records, with holes between some.
struct World {
    bench: Bench,
    model: Model,
    restarted: bool,
    /// Offsets whose dead letters the queue has asked for since its last start.
    buried: BTreeSet<i64>,
}

impl World {
    fn new(backoff_ms: i64, dead_letters: bool) -> Self {
        let mut bench = Bench::with(|config| {
            // Renewals are in whole seconds from the beginning: here time goes in those.
            config.lock_duration_ms = 4000;
            config.release_backoff_ms = backoff_ms;
            config.release_backoff_max_ms = backoff_ms;
            config.delivery_count_limit = 4;
            config.max_record_locks = 30;
            config.dead_letters = dead_letters;
        });
        let mut at = 0;
        bench.batches = (0..60)
            .map(|i| {
                let first = at + i64::from(i % 4 == 1) * (i % 3);
                at = first + 1 + i % 7;
                (first, at - 1)
            })
            .collect();
        bench.end = 20;
        let records = bench
            .batches
            .iter()
            .flat_map(|(first, last)| *first..=*last);
        let model = Model {
            records: records.map(|offset| (offset, FRESH)).collect(),
            backoff_ms,
            limit: 4,
            lock_ms: 4000,
            dead_letters,
        };
        Self {
            bench,
            model,
            restarted: false,
            buried: BTreeSet::new(),
        }
    }

    fn acquire(&mut self, member: usize, records: usize, whole: bool) {
        let now_ms = self.bench.now.monotonic_ms;
        self.bench.mode = if whole {
            Mode::BatchOptimized
        } else {
            Mode::RecordLimit
        };
        let leased = self.leased();
        let ranges = self.bench.try_acquire(MEMBERS[member], records);
        let mut taken = 0;
        for (first, last, count) in ranges.clone().unwrap_or_default() {
            for offset in first..=last {
                assert!((self.bench.log_start..self.bench.end).contains(&offset));
                let known = self.model.records.get_mut(&offset).expect("a record");
                assert_eq!(known.state, Naive::Available, "{offset}");
                known.count += 1;
                assert_eq!(known.count, count, "{offset}");
                let until_ms = now_ms + self.model.lock_ms;
                known.state = Naive::Leased { member, until_ms };
                taken += 1;
            }
        }
        assert!(leased + taken <= 30, "no more leases than are allowed");
        assert!(taken <= if whole { records + 6 } else { records });
        if ranges.is_none() && leased < 30 {
            let ready = self.model.offsets(|state| *state == Naive::Available);
            let end = self.bench.end;
            assert!(ready.iter().all(|offset| *offset >= end), "{ready:?} rest");
        }
    }

    fn acknowledge(&mut self, member: usize, batch: usize, from: i64, types: &[u8]) {
        let (first, last) = self.bench.batches[batch];
        let first = (first + from).min(last);
        let kinds = types.iter().map(|byte| match byte {
            0 => AckType::Gap,
            1 => AckType::Accept,
            2 => AckType::Release,
            3 => AckType::Reject,
            _ => AckType::Renew,
        });
        let all: Vec<AckType> = kinds.cycle().take((last - first + 1) as usize).collect();
        let types = if types.len() == 1 {
            &all[..1]
        } else {
            &all[..]
        };
        let below = self.bench.depth().start.get();
        let outcome = self
            .bench
            .acknowledge(MEMBERS[member], &[(first, last, types)]);
        if last < below {
            assert!(outcome.is_ok());
            return;
        }
        let skipped = (below - first).max(0);
        let now_ms = self.bench.now.monotonic_ms;
        let rest = &all[skipped as usize..];
        let wanted = self
            .model
            .acknowledge(member, first + skipped, rest, now_ms);
        assert_eq!(outcome.is_ok(), wanted, "{first} to {last}: {outcome:?}");
    }

    fn leased(&self) -> usize {
        let is_leased = |state: &Naive| matches!(state, Naive::Leased { .. });
        self.model.offsets(is_leased).len()
    }

    /// Have a member's leases of a few batches taken back as if they had not been.
    fn give_back(&mut self, member: usize, batch: usize) {
        let last = self.bench.batches[(batch + 2).min(self.bench.batches.len() - 1)].1;
        let first = self.bench.batches[batch].0;
        let ranges = vec![(Offset::new(first), Offset::new(last))];
        let member_name = MEMBERS[member].into();
        let event = Event::GiveBack {
            key: key(),
            member: member_name,
            ranges,
        };
        self.bench.ask(event).unwrap();
        for (_, known) in self.model.records.range_mut(first..=last) {
            if matches!(known.state, Naive::Leased { member: owner, .. } if owner == member) {
                known.count -= 1;
                known.state = Naive::Available;
            }
        }
    }

    fn release(&mut self, member: usize) {
        let now_ms = self.bench.now.monotonic_ms;
        self.bench.release(MEMBERS[member]);
        let theirs = |state: &Naive| match state {
            Naive::Leased { member: owner, .. } => *owner == member,
            _ => false,
        };
        for offset in self.model.offsets(theirs) {
            self.model.come_back(offset, now_ms, false);
        }
    }

    fn restart(&mut self) {
        self.buried.clear();
        self.bench.restart();
        self.restarted = true;
        for known in self.model.records.values_mut() {
            if matches!(known.state, Naive::Leased { .. }) {
                known.state = Naive::Available;
                known.count = known.durable;
            }
        }
    }

    fn log_start(&mut self, by: i64) {
        let start = (self.bench.log_start + by).min(self.bench.end);
        self.bench.log_start = start;
        let (partition, start) = (key().partition, Offset::new(start));
        self.bench
            .ask(Event::LogStart { partition, start })
            .unwrap();
        for (_, known) in self.model.records.range_mut(..start.get()) {
            known.state = Naive::Done;
        }
    }

    /// A part of the log, in hundredths.
    fn place(&self, part: i64) -> i64 {
        self.bench.log_start + (self.bench.end - self.bench.log_start) * part / 100
    }

    fn purge(&mut self, part: i64) {
        let end = Offset::new(self.place(part));
        let event = Event::Purge { key: key(), end };
        assert!(matches!(self.bench.ask(event), Ok(Reply::Purged(_))));
        for (_, known) in self.model.records.range_mut(..end.get()) {
            if matches!(known.state, Naive::Available | Naive::Delayed(_)) {
                known.state = Naive::Done;
            }
        }
    }

    fn begin(&mut self, event: impl FnOnce(Offset) -> Event, part: i64) {
        let start = self.place(part);
        self.bench.ask(event(Offset::new(start))).unwrap();
        self.model.begin_at(start);
        self.buried.clear();
    }

    fn recreate(&mut self) {
        let topic = key().partition.topic;
        self.bench.ask(Event::TopicDeleted(topic)).unwrap();
        let event = Event::Describe { key: key() };
        let unknown = Err(ErrorCode::UnknownTopicOrPartition);
        assert_eq!(self.bench.ask(event), unknown);
        assert_eq!(self.bench.machine.next_timeout(), None);
        self.begin(|start| Event::Initialize { key: key(), start }, 0);
    }

    fn dead_lettered(&mut self, batch: usize) {
        let (first, last) = (self.bench.batches[batch].0, self.bench.batches[batch].1 + 7);
        let ranges = vec![(Offset::new(first), Offset::new(last))];
        let event = Event::DeadLettered { key: key(), ranges };
        self.bench.ask(event).unwrap();
        for (_, known) in self.model.records.range_mut(first..=last) {
            if known.state == Naive::Dead {
                known.state = Naive::Done;
            }
        }
    }

    fn step(&mut self, step: Step) {
        match step {
            Step::Acquire {
                member,
                records,
                whole,
            } => self.acquire(member, records, whole),
            Step::Acknowledge {
                member,
                batch,
                from,
                types,
            } => self.acknowledge(member, batch, from, &types),
            Step::Release(member) => self.release(member),
            Step::GiveBack(member, batch) => self.give_back(member, batch),
            Step::Advance(quarters) => {
                // Up to 40 s, in whole seconds.
                self.bench.advance(quarters / 20 * 1000);
                self.model.pass(self.bench.now.monotonic_ms);
            }
            Step::Restart => self.restart(),
            Step::Snapshot => self.bench.write_snapshot(),
            Step::LogStart(by) => self.log_start(by),
            Step::Grow(by) => {
                let last = self.bench.batches.last().map_or(0, |(_, last)| *last);
                self.bench.end = (self.bench.end + by).min(last + 1);
            }
            Step::Purge(part) => self.purge(part),
            Step::Reset(part) => self.begin(|start| Event::Reset { key: key(), start }, part),
            Step::Recreate => self.recreate(),
            Step::DeadLettered(batch) => self.dead_lettered(batch),
        }
        for action in self.bench.acted() {
            if let Action::DeadLetter { ranges, .. } = action {
                let offsets = ranges.iter().map(|it| it.first.get()..=it.last.get());
                self.buried.extend(offsets.flatten());
            }
        }
        self.compare();
    }

    fn compare(&mut self) {
        let depth = self.bench.depth();
        assert_eq!(depth.in_flight, self.leased() as u64);
        let delayed = self
            .model
            .offsets(|state| matches!(state, Naive::Delayed(_)));
        assert_eq!(depth.delayed, delayed.len() as u64);
        let dead = self.model.offsets(|state| *state == Naive::Dead);
        assert_eq!(depth.archiving, dead.len() as u64);
        let asked = dead.iter().all(|offset| self.buried.contains(offset));
        assert!(asked, "of {dead:?} only {:?} were asked for", self.buried);
        let undone = self.model.offsets(|state| *state != Naive::Done);
        assert!(
            undone
                .first()
                .is_none_or(|first| depth.start.get() <= *first)
        );
        // Holes that a restart forgot hold the start until somebody asks for new records.
        if !self.restarted
            && let Some(first) = undone.first()
            && *first < depth.next.get()
        {
            let between = depth.start.get()..*first;
            let records = self.model.records.range(between).count();
            assert_eq!(records, 0, "the start lags behind {first}");
        }
        let log = &self.bench.log;
        assert_eq!(self.revived(log), plain(self.bench.snapshot()));
    }

    /// The hard state that a start from these records has.
    fn revived(&self, records: &[Record]) -> Vec<Record> {
        // A delay that is over is forgotten by the living and is still there in the log.
        plain(snapshot_of(&self.bench.started(records)))
    }

    /// A log whose front was replaced by a snapshot, anywhere, tells the same.
    fn check_cuts(&self, cuts: &[usize]) {
        let whole = self.revived(&self.bench.log);
        for cut in cuts {
            let (front, rest) = self.bench.log.split_at(cut % (self.bench.log.len() + 1));
            let mut log = snapshot_of(&self.bench.replayed(front));
            log.extend_from_slice(rest);
            assert_eq!(self.revived(&log), whole, "cut at {}", front.len());
        }
    }
}

/// Without what holes count for: they are found anew.
fn plain(mut records: Vec<Record>) -> Vec<Record> {
    for record in &mut records {
        match record {
            Record::Snapshot(_, snapshot) => snapshot.complete = 0,
            Record::Update(_, update) => update.complete = 0,
            Record::Tombstone(_) => {}
        }
    }
    records
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 256, ..ProptestConfig::default() })]

    #[test]
    fn the_machine_does_what_a_map_of_offsets_does(
        backoff_ms in prop_oneof![Just(0_i64), Just(3000)],
        dead_letters in any::<bool>(),
        steps in prop::collection::vec(steps(), 1..120),
        cuts in prop::collection::vec(any::<usize>(), 8),
    ) {
        let mut world = World::new(backoff_ms, dead_letters);
        for step in steps {
            world.step(step);
        }
        world.check_cuts(&cuts);
    }
}
