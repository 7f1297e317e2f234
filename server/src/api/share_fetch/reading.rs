//! Leasing records of a session's partitions, and waiting until there are some.

use std::sync::Arc;

use ratel_protocol::ErrorCode;
use ratel_storage::{
    AbortedTransaction, BatchAt, Bound, Offset, Partition, ReadRequest, Slice, StorageError,
};

use super::super::share_acks::queue_key;
use super::super::{Context, pieces};
use super::response::Line;
use crate::coordinator::share::{
    AckType, Acknowledge, AcknowledgeBatch, Acquire, Acquired, Event, Mode, QueueKey, Reply, Shape,
    Span,
};
use crate::error;
use crate::long_poll::{Deadline, LongPoll};
use crate::share_sessions::{Names, SessionKey};
use crate::shares::Waiter;

/// Batches of a log that a queue is told of at once.
const SHAPE_BATCHES: usize = 1024;
/// Bytes of a log that a queue is told of at once.
const SHAPE_BYTES: usize = 4 << 20;
/// Questions to one queue in one round: a log of markers alone is gone through in steps.
const QUESTIONS_MAX: usize = 64;

/// What a fetch asks of all its partitions together.
pub(super) struct Terms {
    /// How exactly `max_records` is kept.
    pub mode: Mode,
    /// The most records.
    pub max_records: usize,
    /// The most bytes of records; the first batch may be longer.
    pub max_bytes: usize,
    /// Wait for so many bytes.
    pub min_bytes: usize,
    /// A range of leased records ends with the batch that brings it to this many; none does if
    /// it is not above 0.
    pub batch_size: i64,
    /// Wait no longer than to here.
    pub deadline: Deadline,
    /// The same on the monotonic clock, ms.
    pub waits_until_ms: i64,
}

struct Source {
    key: QueueKey,
    partition: Arc<dyn Partition>,
    /// How far the group reads: with `share.isolation.level=read_committed` to the last stable
    /// offset.
    bound: Bound,
}

impl Source {
    /// One past what the group reads.
    fn end(&self) -> Offset {
        self.partition.offsets().below(self.bound)
    }
}

/// One fetch at work.
pub(super) struct Reading<'a> {
    cx: &'a Context,
    key: &'a SessionKey,
    terms: &'a Terms,
    sources: Vec<Source>,
    /// Partitions that there are none of.
    errors: Vec<(ratel_storage::TopicId, i32, ErrorCode)>,
}

/// What a queue said.
enum Lease {
    Given(Vec<Acquired>),
    /// There is nothing for anybody.
    Nothing,
    /// The question did not come to its end.
    Unknown,
}

/// What is left of a fetch's limits.
struct Budget {
    records: usize,
    bytes: usize,
    /// Nothing was given yet: the first batch may be of any length (KIP-74).
    is_first: bool,
}

impl<'a> Reading<'a> {
    /// A fetch of these partitions, of which the one at `first` (modulo their number) is served
    /// first.
    pub(super) fn new(
        cx: &'a Context,
        key: &'a SessionKey,
        names: &Names,
        first: usize,
        terms: &'a Terms,
    ) -> Self {
        let (mut sources, mut errors) = (Vec::new(), Vec::new());
        let bound = if cx
            .broker
            .catalog
            .view
            .group_settings(&key.group)
            .read_committed
        {
            Bound::Stable
        } else {
            Bound::HighWatermark
        };
        let view = &cx.broker.catalog.view;
        let (front, back) = names.split_at(first % names.len().max(1));
        for (id, index) in back.iter().chain(front) {
            let found = view.topic_by_id(*id).ok_or(ErrorCode::UnknownTopicId);
            match found.and_then(|topic| cx.broker.partition(&topic, *index)) {
                Ok(partition) => sources.push(Source {
                    key: queue_key(key, partition.id()),
                    partition,
                    bound,
                }),
                Err(code) => errors.push((*id, *index, code)),
            }
        }
        Self {
            cx,
            key,
            terms,
            sources,
            errors,
        }
    }

    /// Lease what there is; if there is nothing and the fetch may wait, wait for it.
    pub(super) async fn read(&self, waits: bool) -> Vec<Line> {
        let errors = self.errors.iter().map(|(topic, index, code)| Line {
            code: code.code(),
            ..Line::new(*topic, *index)
        });
        let errors: Vec<Line> = errors.collect();
        if self.sources.is_empty() || self.terms.max_records == 0 || self.terms.max_bytes == 0 {
            return errors;
        }
        let mut lines = self.found(waits).await;
        lines.extend(errors);
        lines
    }

    async fn found(&self, waits: bool) -> Vec<Line> {
        let mut places = Vec::new();
        let lines = self.round_if_enough(waits, &mut places).await;
        if !lines.is_empty() || !waits {
            return lines;
        }
        let poll = LongPoll::default();
        loop {
            if places.is_empty() {
                places = self.line_up(&poll);
            }
            // Arm, look again, sleep.
            let watching = places.iter().zip(&self.sources).map(|(waiter, source)| {
                let arm = || poll.arm(&*source.partition, source.end(), source.bound);
                waiter.look().then(arm)
            });
            let _watching: Vec<_> = watching.collect();
            let lines = self.round_if_enough(true, &mut places).await;
            if !lines.is_empty() {
                return lines;
            }
            if places.is_empty() {
                // All that was leased was given back: the log was cut meanwhile.
                let others_first = tokio::task::yield_now();
                match self.terms.deadline.limit(others_first).await {
                    Some(()) => continue,
                    None => return Vec::new(),
                }
            }
            places.iter().for_each(Waiter::pass_on);
            if !poll.wait(self.terms.deadline).await {
                // Less than was asked for is better than nothing.
                return match self.terms.min_bytes {
                    0 | 1 => Vec::new(),
                    _ => self.round(&mut places).await,
                };
            }
        }
    }

    /// Take a place in the line of each queue.
    fn line_up(&self, poll: &LongPoll) -> Vec<Waiter> {
        let waiters = self.cx.broker.shares.waiters();
        let sources = self.sources.iter();
        sources
            .map(|source| waiters.wait(source.key.clone(), poll.notify().clone()))
            .collect()
    }

    async fn round_if_enough(&self, waits: bool, places: &mut Vec<Waiter>) -> Vec<Line> {
        if waits && self.terms.min_bytes > 1 && !self.is_enough().await {
            return Vec::new();
        }
        self.round(places).await
    }

    /// Whether there are `min_bytes`. Records that were handed out before are enough, however
    /// short.
    async fn is_enough(&self) -> bool {
        let mut bytes = 0;
        for source in &self.sources {
            let key = source.key.clone();
            let described = self
                .cx
                .broker
                .shares
                .send(&source.key, Event::Describe { key });
            let depth = match described.await {
                Ok(Reply::Described(depth)) => depth,
                // There is no queue yet, or it is in trouble: a round finds out.
                _ => return true,
            };
            if depth.ready > 0 {
                return true;
            }
            let from = depth.next.max(source.partition.offsets().start);
            let read = source.partition.read(ReadRequest {
                from,
                max_bytes: self.terms.max_bytes,
                at_least_one: true,
                bound: source.bound,
            });
            let Ok(read) = read.await else { return true };
            bytes += read.records.map_or(0, |records| records.len());
            if read.behind_active && bytes > 0 || bytes >= self.terms.min_bytes {
                return true;
            }
        }
        false
    }

    /// Ask every partition once. Who has found something gives up its `places`.
    async fn round(&self, places: &mut Vec<Waiter>) -> Vec<Line> {
        let mut budget = Budget {
            records: self.terms.max_records,
            bytes: self.terms.max_bytes,
            is_first: true,
        };
        let mut lines = Vec::new();
        for (number, source) in self.sources.iter().enumerate() {
            if budget.records == 0 || budget.bytes == 0 {
                break;
            }
            let id = source.key.partition;
            let mut line = Line::new(id.topic, id.index);
            match self.lease(source, &budget).await {
                Ok(Lease::Given(leased)) => {
                    // The next one need not wait until the records are read.
                    places.clear();
                    match self.committed(source, &leased).await {
                        Ok(kept) => {
                            let leased = kept.unwrap_or(leased);
                            self.deliver(source, leased, &mut budget, &mut line).await;
                        }
                        Err(code) => {
                            line.code = code.code();
                            let all = leased.iter().map(|range| (range.first, range.last));
                            self.give_back(source, all.collect());
                        }
                    }
                }
                Ok(Lease::Nothing) => {
                    places.get(number).inspect(|waiter| waiter.found_nothing());
                    continue;
                }
                Ok(Lease::Unknown) => continue,
                Err(code) => line.code = code.code(),
            }
            if line.code != 0 || !line.acquired.is_empty() {
                self.cx
                    .broker
                    .metrics
                    .topic(id.topic)
                    .fetched(line.bytes() as u64);
                lines.push(line);
            }
        }
        lines
    }

    /// Lease records of one partition.
    async fn lease(&self, source: &Source, budget: &Budget) -> Result<Lease, ErrorCode> {
        let shares = &self.cx.broker.shares;
        let (mut shape, mut is_made) = (None, false);
        for _ in 0..QUESTIONS_MAX {
            let offsets = source.partition.offsets();
            let end = offsets.below(source.bound);
            let acquire = Acquire {
                key: source.key.clone(),
                member: self.key.member.clone(),
                config: shares.config(&self.key.group),
                max_records: budget.records,
                mode: self.terms.mode,
                log_start: offsets.start,
                end,
                shape: shape.take(),
                waits_until_ms: self.terms.waits_until_ms,
            };
            match shares.send(&source.key, Event::Acquire(acquire)).await {
                Ok(Reply::Acquired { ranges, .. }) => return Ok(Lease::Given(ranges)),
                Ok(Reply::Nothing) => return Ok(Lease::Nothing),
                Ok(Reply::NeedShape { from }) if from < end => {
                    shape = self.shape(source, from, end).await?;
                }
                // The group reads it for the first time.
                Err(ErrorCode::UnknownTopicOrPartition) if !is_made => {
                    is_made = true;
                    let partition = source.key.partition;
                    shares.initialize(&source.key.group, partition).await?;
                }
                // It will be back: a client that heard of it would only ask again.
                Ok(_) | Err(ErrorCode::CoordinatorNotAvailable) => break,
                Err(code) => return Err(code),
            }
        }
        Ok(Lease::Unknown)
    }

    /// What lies in the log from an offset on; `None` if its start has passed it.
    async fn shape(
        &self,
        source: &Source,
        from: Offset,
        end: Offset,
    ) -> Result<Option<Shape>, ErrorCode> {
        let read = source.partition.read(ReadRequest {
            from,
            max_bytes: SHAPE_BYTES,
            at_least_one: true,
            bound: source.bound,
        });
        let read = match read.await {
            Ok(read) => read,
            Err(StorageError::OffsetOutOfRange { .. }) => return Ok(None),
            Err(refused) => return Err(error::code(&refused)),
        };
        let mut shape = Shape {
            from,
            to: end,
            batches: Vec::new(),
        };
        let Some(records) = read.records else {
            return Ok(Some(shape));
        };
        for batch in records.batches().take(SHAPE_BATCHES) {
            let batch = batch.map_err(|refused| error::code(&refused))?;
            if batch.first() >= end {
                shape.to = end;
                break;
            }
            shape.to = batch.last().plus(1);
            // Neither markers nor, for read_committed, what was aborted is for anybody.
            if !batch.header.is_control() && !is_aborted(&batch, &read.aborted) {
                shape.batches.push(Span {
                    first: batch.first().max(from),
                    last: batch.last(),
                });
            }
        }
        Ok(Some(shape))
    }

    /// For a group that reads committed records, leave out what was aborted, and have the queue
    /// know that no record is there: it was learnt of while the group read everything. `None` if
    /// all of it is to be delivered.
    async fn committed(
        &self,
        source: &Source,
        leased: &[Acquired],
    ) -> Result<Option<Vec<Acquired>>, ErrorCode> {
        let (Some(first), Some(last)) = (leased.first(), leased.last()) else {
            return Ok(None);
        };
        if source.bound != Bound::Stable {
            return Ok(None);
        }
        let aborted = source.partition.aborted(first.first, last.last.plus(1));
        let aborted = aborted.await.map_err(|refused| error::code(&refused))?;
        if aborted.is_empty() {
            return Ok(None);
        }
        let (kept, gaps) = self.sift(source, leased).await?;
        if !gaps.is_empty() {
            let gap = |(first, last)| AcknowledgeBatch {
                first,
                last,
                types: vec![AckType::Gap],
            };
            let event = Event::Acknowledge(Acknowledge {
                key: source.key.clone(),
                member: self.key.member.clone(),
                config: self.cx.broker.shares.config(&self.key.group),
                batches: gaps.into_iter().map(gap).collect(),
            });
            self.cx.broker.shares.tell(&source.key, event);
        }
        Ok(Some(kept))
    }

    /// What of some leases is in the log and was not aborted, and what else there is of them. One
    /// walk through the log, however many leases lie in it.
    async fn sift(
        &self,
        source: &Source,
        leased: &[Acquired],
    ) -> Result<(Vec<Acquired>, Vec<(Offset, Offset)>), ErrorCode> {
        let (mut kept, mut gaps) = (Vec::new(), Vec::new());
        let end = leased.last().map_or(Offset::ZERO, |last| last.last.plus(1));
        let mut shape = Shape {
            from: Offset::ZERO,
            to: Offset::ZERO,
            batches: Vec::new(),
        };
        for range in leased {
            let mut from = range.first;
            while from <= range.last {
                if from >= shape.to {
                    let Some(next) = self.shape(source, from, end).await? else {
                        // The log's start has passed it: delivering it finds that out.
                        kept.push(Acquired {
                            first: from,
                            ..*range
                        });
                        break;
                    };
                    shape = next;
                }
                let passed = shape.batches.partition_point(|span| span.last < from);
                for span in &shape.batches[passed..] {
                    let (first, last) = (span.first.max(from), span.last.min(range.last));
                    if first > range.last {
                        break;
                    }
                    if from < first {
                        gaps.push((from, first.plus(-1)));
                    }
                    kept.push(Acquired {
                        first,
                        last,
                        ..*range
                    });
                    from = last.plus(1);
                }
                let to = shape.to.min(range.last.plus(1));
                if from < to {
                    gaps.push((from, to.plus(-1)));
                    from = to;
                }
            }
        }
        Ok((kept, gaps))
    }

    /// Put the records of leases into a line, as far as the limits go; the rest is given back.
    async fn deliver(
        &self,
        source: &Source,
        leased: Vec<Acquired>,
        budget: &mut Budget,
        line: &mut Line,
    ) {
        let mut stretch = Stretch::new(&*source.partition);
        let mut back = Vec::new();
        for range in leased {
            if !back.is_empty() || line.code != 0 {
                back.push((range.first, range.last));
                continue;
            }
            match stretch.reach(range, budget).await {
                Ok(end) if end > range.last => stretch.split(range, self.terms, line),
                Ok(end) => {
                    if end > range.first {
                        let last = end.plus(-1);
                        stretch.split(Acquired { last, ..range }, self.terms, line);
                    }
                    back.push((end.max(range.first), range.last));
                }
                Err(code) => {
                    line.code = code.code();
                    back.push((range.first, range.last));
                }
            }
        }
        line.records = stretch.records;
        let counts = line
            .acquired
            .iter()
            .map(|range| range.last.get() - range.first.get() + 1);
        let count = usize::try_from(counts.sum::<i64>()).unwrap_or(usize::MAX);
        budget.records = budget.records.saturating_sub(count);
        self.give_back(source, back);
    }

    /// Leases that are not delivered.
    fn give_back(&self, source: &Source, ranges: Vec<(Offset, Offset)>) {
        if ranges.is_empty() {
            return;
        }
        let event = Event::GiveBack {
            key: source.key.clone(),
            member: self.key.member.clone(),
            ranges,
        };
        self.cx.broker.shares.tell(&source.key, event);
    }
}

/// Whether a batch belongs to one of these aborted transactions.
fn is_aborted(batch: &BatchAt, aborted: &[AbortedTransaction]) -> bool {
    let header = &batch.header;
    header.is_transactional()
        && aborted.iter().any(|one| {
            one.producer_id == header.producer_id
                && (one.first_offset..=one.last_offset).contains(&batch.first())
        })
}

/// The batches of one partition that an answer holds.
struct Stretch<'a> {
    partition: &'a dyn Partition,
    records: Vec<Slice>,
    /// The last offsets of the batches.
    ends: Vec<Offset>,
    /// One past the last offset of them.
    covered: Offset,
}

impl<'a> Stretch<'a> {
    fn new(partition: &'a dyn Partition) -> Self {
        Self {
            partition,
            records: Vec::new(),
            ends: Vec::new(),
            covered: Offset::ZERO,
        }
    }

    /// Read the batches of a range that are not here yet. Gives one past the last offset that is
    /// here, or would be if there were a record: not past the range only if the limits or the
    /// log's start are in the way.
    async fn reach(&mut self, range: Acquired, budget: &mut Budget) -> Result<Offset, ErrorCode> {
        while self.covered <= range.last {
            let from = self.covered.max(range.first);
            let mut records = self
                .read(from, budget, Bound::Below(range.last.plus(1)))
                .await?;
            if records.is_none() {
                records = self.read(from, budget, Bound::HighWatermark).await?;
            }
            let Some(records) = records else {
                return Ok(self.covered);
            };
            let mut end = 0;
            for batch in records.batches() {
                let batch = batch.map_err(|refused| error::code(&refused))?;
                if batch.first() > range.last {
                    // What is between holds no record.
                    self.covered = range.last.plus(1);
                    break;
                }
                end = batch.bytes.end;
                self.ends.push(batch.last());
                self.covered = batch.last().plus(1);
                if self.covered > range.last {
                    break;
                }
            }
            if end > 0 {
                self.records.push(pieces::at_hand(records.part(0..end))?);
                budget.bytes = budget.bytes.saturating_sub(end);
                budget.is_first = false;
            }
        }
        Ok(self.covered)
    }

    /// Read batches as far as the limits go; none if they, or the log's start, are in the way.
    async fn read(
        &self,
        from: Offset,
        budget: &Budget,
        bound: Bound,
    ) -> Result<Option<Slice>, ErrorCode> {
        let read = self.partition.read(ReadRequest {
            from,
            max_bytes: budget.bytes,
            at_least_one: budget.is_first,
            bound,
        });
        match read.await {
            Ok(read) => Ok(read.records),
            Err(StorageError::OffsetOutOfRange { .. }) => Ok(None),
            Err(refused) => Err(error::code(&refused)),
        }
    }

    /// Enter a range, in parts that end with the batch that brings them to the wanted size.
    fn split(&self, range: Acquired, terms: &Terms, line: &mut Line) {
        let mut first = range.first;
        let begin = self.ends.partition_point(|end| *end < first);
        for end in &self.ends[begin..] {
            if *end >= range.last {
                break;
            }
            if terms.batch_size > 0 && end.get() - first.get() + 1 >= terms.batch_size {
                line.acquired.push(Acquired {
                    first,
                    last: *end,
                    ..range
                });
                first = end.plus(1);
            }
        }
        line.acquired.push(Acquired { first, ..range });
    }
}
