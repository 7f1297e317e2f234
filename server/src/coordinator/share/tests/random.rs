//! The machine against a plain map of offsets, through whatever may happen.

use std::collections::BTreeMap;

use proptest::prelude::*;
use ratel_storage::Offset;

use super::bench::{Bench, key, snapshot_of};
use crate::coordinator::share::{AckType, Event, Mode, Record};

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
    Advance(i64),
    Restart,
    LogStart(i64),
    Grow(i64),
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
        4 => (0..800_i64).prop_map(Step::Advance),
        1 => Just(Step::Restart),
        1 => (0..30_i64).prop_map(Step::LogStart),
        3 => (1..40_i64).prop_map(Step::Grow),
    ]
}

#[derive(Debug, Clone, Copy, PartialEq)]
enum Naive {
    Available,
    Delayed(i64),
    Leased { member: usize, until_ms: i64 },
    Done,
}

/// A record: what it is, how often it was delivered, and how often that is sure to be known.
#[derive(Debug, Clone, Copy)]
struct Known {
    state: Naive,
    count: i16,
    durable: i16,
}

struct Model {
    records: BTreeMap<i64, Known>,
    backoff_ms: i64,
    limit: i16,
    lock_ms: i64,
}

impl Model {
    fn come_back(&mut self, offset: i64, now_ms: i64, backoff: bool) {
        let (limit, backoff_ms) = (self.limit, self.backoff_ms);
        let known = self.records.get_mut(&offset).unwrap();
        known.durable = known.count;
        known.state = if known.count >= limit {
            Naive::Done
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
        let lock_ms = self.lock_ms;
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
                AckType::Gap | AckType::Accept | AckType::Reject => known.state = Naive::Done,
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
        let fresh = Known {
            state: Naive::Available,
            count: 0,
            durable: 0,
        };
        let model = Model {
            records: records.map(|offset| (offset, fresh)).collect(),
            backoff_ms,
            limit: 4,
            lock_ms: 4000,
        };
        let restarted = false;
        Self {
            bench,
            model,
            restarted,
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

    fn step(&mut self, step: Step) {
        let now_ms = self.bench.now.monotonic_ms;
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
            Step::Release(member) => {
                self.bench.release(MEMBERS[member]);
                let theirs = |state: &Naive| match state {
                    Naive::Leased { member: owner, .. } => *owner == member,
                    _ => false,
                };
                for offset in self.model.offsets(theirs) {
                    self.model.come_back(offset, now_ms, false);
                }
            }
            Step::Advance(quarters) => {
                // Up to 40 s, in whole seconds.
                self.bench.advance(quarters / 20 * 1000);
                self.model.pass(self.bench.now.monotonic_ms);
            }
            Step::Restart => {
                self.bench.restart();
                self.restarted = true;
                for known in self.model.records.values_mut() {
                    if matches!(known.state, Naive::Leased { .. }) {
                        known.state = Naive::Available;
                        known.count = known.durable;
                    }
                }
            }
            Step::LogStart(by) => {
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
            Step::Grow(by) => {
                let last = self.bench.batches.last().map_or(0, |(_, last)| *last);
                self.bench.end = (self.bench.end + by).min(last + 1);
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
        let undone = self.model.offsets(|state| *state != Naive::Done);
        // Dead letters that nobody answers for hold the start.
        assert!(
            undone
                .first()
                .is_none_or(|first| depth.start.get() <= *first)
        );
        // Dead letters that nobody answers for hold the start, and so do holes that a restart
        // forgot until somebody asks for new records.
        if depth.archiving == 0
            && !self.restarted
            && let Some(first) = undone.first()
            && *first < depth.next.get()
        {
            let between = depth.start.get()..*first;
            let records = self.model.records.range(between).count();
            assert_eq!(records, 0, "the start lags behind {first}");
        }
        // A delay that is over is forgotten here and still there in the log.
        if self.model.backoff_ms == 0 {
            let replayed = snapshot_of(&self.bench.replayed(&self.bench.log));
            assert_eq!(plain(replayed), plain(self.bench.snapshot()));
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
    ) {
        let mut world = World::new(backoff_ms, dead_letters);
        for step in steps {
            world.step(step);
        }
    }
}
