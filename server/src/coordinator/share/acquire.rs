//! Leasing records: what came back first, then what was never delivered.

use ratel_storage::Offset;

use super::ahead::{Piece, spans};
use super::deadlines::LeaseEnd;
use super::queue::Queue;
use super::runs::{Run, State, records_in};
use super::{Acquire, Acquired, Mode, Reply, Shape};
use crate::clock::Timestamp;

/// How many times a member's even part of all leases a batch must have to be called long.
const LONG_BATCH: u64 = 4;

/// How much one acquire may take.
#[derive(Debug, Clone, Copy)]
struct Want {
    /// Enough: a batch that is begun may still be taken to its end.
    enough: u64,
    /// Never more.
    most: u64,
}

/// A part of what failed often, which is handed out by itself.
#[derive(Debug, Clone, Copy)]
struct Portion {
    records: u64,
    /// How often the whole was halved to get it.
    halvings: u8,
}

/// Leases being given to one member.
struct Grant {
    want: Want,
    lease: Run,
    taken: u64,
    ranges: Vec<Acquired>,
}

impl Grant {
    fn room(&self) -> u64 {
        self.want.enough.saturating_sub(self.taken)
    }
}

impl Queue {
    /// Lease records to a member, or say what is missing for that. Writes nothing down.
    pub fn acquire(&mut self, now: Timestamp, event: &Acquire, runs_max: usize) -> Reply {
        let now_ms = now.monotonic_ms;
        self.config = event.config.clone();
        let waits_until_ms = event.waits_until_ms;
        let owner = self
            .members
            .touch(&event.member, now_ms, waits_until_ms, &self.runs);
        let end = event.end.get();
        if let Some(shape) = &event.shape {
            self.learn(shape, end);
        }
        let Some(owner) = owner.filter(|_| !event.config.paused && event.max_records > 0) else {
            return Reply::Nothing;
        };
        let Some(want) = self.want(now_ms, owner, event) else {
            self.starved = true;
            return Reply::Nothing;
        };
        let is_full = self.runs.len() >= runs_max;
        let missing = self.missing(end, is_full);
        if event.shape.is_none()
            && let Some(from) = missing
            && self.runs.records(State::Available) < want.enough
            && self.isolated(self.start).is_none()
        {
            return need_shape(from);
        }
        let lock_ms = event.config.lock_duration_ms;
        let mut grant = Grant {
            want,
            lease: Run {
                until_ms: now_ms.saturating_add(lock_ms),
                owner,
                held_s: u16::try_from(lock_ms.saturating_add(999) / 1000).unwrap_or(u16::MAX),
                ..Run::plain(0, State::Leased, 0)
            },
            taken: 0,
            ranges: Vec::new(),
        };
        let alone = self.take_available(&mut grant, end);
        if !alone && !is_full {
            self.take_ahead(&mut grant, end, runs_max);
        }
        self.arm_leases(&grant);
        if grant.taken > 0 {
            self.members.give(owner, now_ms, grant.taken);
        }
        self.starved |= is_full;
        match (grant.ranges.is_empty(), self.missing(end, is_full)) {
            (true, Some(from)) => need_shape(from),
            (true, None) => Reply::Nothing,
            (false, _) => Reply::Acquired {
                ranges: grant.ranges,
                lock_duration_ms: lock_ms,
            },
        }
    }

    /// A fair share of the leases that are left, if there are any: one for each member that has
    /// nothing, and one for who comes next.
    ///
    /// A batch that is much longer would be read and sent over and over for a few records each
    /// time. A member that works fast gets more of it, beyond the limit of leases too, which it is
    /// soon back below.
    fn want(&self, now_ms: i64, owner: u16, event: &Acquire) -> Option<Want> {
        let locks = event.config.max_record_locks as u64;
        let free = locks.saturating_sub(self.runs.records(State::Leased));
        let waiting = self.members.waiting().max(1) as u64;
        let share = if waiting > 1 {
            (free / (self.members.idle(owner, &self.runs) as u64 + 1)).max(1)
        } else {
            free
        };
        let pace = self.members.pace(owner, now_ms, &self.runs);
        let is_long =
            self.ahead.batch_records(self.next) > LONG_BATCH.saturating_mul(locks / waiting);
        let enough = share.min(event.max_records as u64);
        let most = match event.mode {
            Mode::BatchOptimized if is_long => share.max(pace),
            Mode::BatchOptimized => share,
            Mode::RecordLimit => enough,
        };
        (free > 0).then_some(Want { enough, most })
    }

    /// From where on the log's shape is needed to go on.
    fn missing(&self, end: i64, is_full: bool) -> Option<i64> {
        let unknown = self.runs.first_unknown();
        let beyond = (!is_full && self.ahead.is_spent(self.next)).then_some(self.next);
        unknown.or(beyond).filter(|from| *from < end)
    }

    /// Remember what a shape tells, below `end`.
    fn learn(&mut self, shape: &Shape, end: i64) {
        let to = shape.to.get().min(end);
        let unknown: Vec<(i64, i64)> = self
            .runs
            .unknown_from(shape.from.get())
            .take_while(|(first, _)| *first < to)
            .map(|(first, last)| (first.max(shape.from.get()), last.min(to - 1)))
            .filter(|(first, last)| first <= last)
            .collect();
        for (first, last) in unknown {
            self.runs.put(first, Run::plain(last, State::Hole, 0));
            for (first, last) in spans(shape, first, last) {
                let available = Run::plain(last, State::Available, 0);
                self.runs.put(first, available);
            }
        }
        self.ahead.learn(shape, self.next, end);
    }

    /// If the first available run at or above an offset failed so often that it is handed out in
    /// small portions: how large the next one is.
    ///
    /// From max(2, half the limit) deliveries on a batch is halved with each further one, and the
    /// last attempt is for each record alone: one bad record takes few good ones with it. A run
    /// knows how often it was halved already, so that each further delivery halves it once.
    fn isolated(&self, from: i64) -> Option<Portion> {
        let (first, run) = self.runs.available_from(from)?;
        let limit = self.config.delivery_count_limit;
        let threshold = limit.saturating_add(1).div_euclid(2).max(2);
        if run.count < threshold {
            return None;
        }
        if run.count >= limit - 1 {
            return Some(Portion {
                records: 1,
                halvings: run.halvings,
            });
        }
        let halvings = u8::try_from(run.count - threshold + 1).unwrap_or(u8::MAX);
        let missing = u32::from(halvings.saturating_sub(run.halvings));
        let records = records_in(first, run.last).checked_shr(missing);
        Some(Portion {
            records: records.unwrap_or(0).max(1),
            halvings: halvings.max(run.halvings),
        })
    }

    /// Lease one portion of a run, and let the rest be halved as often if it is no larger.
    fn take_portion(&mut self, grant: &mut Grant, first: i64, run: Run, take: u64, of: Portion) {
        let last = first + take.cast_signed() - 1;
        if records_in(last + 1, run.last) <= of.records + 1 {
            self.runs.put(
                first,
                Run {
                    halvings: of.halvings,
                    ..run
                },
            );
        }
        let portion = Run {
            halvings: of.halvings,
            ..run.to(last)
        };
        self.lease(grant, first, portion);
    }

    /// Lease what is available below `next`. Whether that must be all.
    fn take_available(&mut self, grant: &mut Grant, end: i64) -> bool {
        let mut from = self.start;
        while grant.room() > 0
            && let Some((first, run)) = self.runs.available_from(from)
            && first < end
        {
            let portion = self.isolated(first);
            if portion.is_some() && grant.taken > 0 {
                return true;
            }
            let records = records_in(first, run.last.min(end - 1));
            // Where its batches end is forgotten, so a portion is exact.
            let most = (grant.want.most - grant.taken).min(grant.room());
            let take = records.min(most);
            if let Some(portion) = portion {
                self.take_portion(grant, first, run, take.min(portion.records), portion);
                return true;
            }
            from = first + take.cast_signed();
            self.lease(grant, first, run.to(from - 1));
        }
        false
    }

    /// Lease what was never delivered, as far as it is known.
    fn take_ahead(&mut self, grant: &mut Grant, end: i64, runs_max: usize) {
        // The stretch of batches that follow each other is one run.
        let mut first = self.next;
        let mut taken = 0;
        while taken < grant.room() && self.next < end && self.runs.len() < runs_max {
            match self.ahead.at(self.next) {
                Piece::Unknown => break,
                Piece::Hole(last) => {
                    let last = last.min(end - 1);
                    self.lease_ahead(grant, first, &mut taken);
                    let hole = Run::plain(last, State::Hole, 0);
                    self.runs.put(self.next, hole);
                    self.next = last + 1;
                    first = self.next;
                }
                Piece::Batch(last) => {
                    let records = records_in(self.next, last.min(end - 1));
                    let take = records.min(grant.want.most - grant.taken - taken);
                    taken += take;
                    self.next += take.cast_signed();
                }
            }
        }
        self.lease_ahead(grant, first, &mut taken);
    }

    fn lease_ahead(&mut self, grant: &mut Grant, first: i64, taken: &mut u64) {
        if std::mem::take(taken) > 0 {
            self.lease(grant, first, Run::plain(self.next - 1, State::Available, 0));
        }
    }

    /// Lease a stretch that is as `before` says.
    fn lease(&mut self, grant: &mut Grant, first: i64, before: Run) {
        let last = before.last;
        let run = Run {
            last,
            count: before.count.saturating_add(1),
            halvings: before.halvings,
            ..grant.lease
        };
        self.members.lease(run.owner, first, &self.runs);
        self.runs.put(first, run);
        grant.taken += records_in(first, last);
        if before.count > 0 {
            self.tally.redelivered += records_in(first, last);
        }
        let range = Acquired {
            first: Offset::new(first),
            last: Offset::new(last),
            delivery_count: run.count,
        };
        match grant.ranges.last_mut() {
            Some(before)
                if before.last.plus(1) == range.first
                    && before.delivery_count == range.delivery_count =>
            {
                before.last = range.last;
            }
            _ => grant.ranges.push(range),
        }
    }

    /// One deadline for each stretch without a gap.
    fn arm_leases(&mut self, grant: &Grant) {
        let follows = |left: &Acquired, right: &Acquired| left.last.plus(1) == right.first;
        for stretch in grant.ranges.chunk_by(follows) {
            let (first, last) = (stretch[0].first, stretch[stretch.len() - 1].last);
            self.leases.push(
                grant.lease.until_ms,
                first.get(),
                last.get(),
                LeaseEnd::NEW,
                &self.runs,
            );
        }
    }
}

fn need_shape(from: i64) -> Reply {
    Reply::NeedShape {
        from: Offset::new(from),
    }
}
