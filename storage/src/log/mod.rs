//! One log: ordered segments, their indexes, and the offsets that readers and writers go by.
//!
//! Synchronous, without locks, threads or a clock: `local/` wraps it. [`Log`] is what readers
//! look at, under a lock that is never held over a write; [`writer::Writer`] is what only the one
//! appender needs.

pub(crate) mod aborted;
pub(crate) mod checks;
pub(crate) mod compaction;
pub(crate) mod epochs;
pub(crate) mod index;
pub(crate) mod producers;
pub(crate) mod ranges;
pub(crate) mod reader;
pub(crate) mod recompress;
pub(crate) mod recovery;
pub(crate) mod retention;
pub(crate) mod segment;
pub(crate) mod transactions;
pub(crate) mod verifications;
pub(crate) mod writer;

use std::collections::VecDeque;
use std::sync::Arc;

use crate::batch::BatchHeader;
use crate::disk::File;
use crate::log::epochs::Epochs;
use crate::log::index::{Entry, Index};
use crate::log::segment::Segment;
use crate::log::transactions::{Effect, Transactions};
use crate::{AbortedTransaction, Bound, Offset, Offsets, Position, ReadRequest, StorageError};

/// A batch boundary: an offset and where it lies.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Place {
    /// The offset of the batch that begins here.
    pub offset: Offset,
    /// The base offset of the segment.
    pub segment: Offset,
    /// The byte in the segment.
    pub position: Position,
}

/// A batch that was written and is to be shown.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Written<'a> {
    /// Where it begins.
    pub place: Place,
    /// Its header, as it came.
    pub header: &'a BatchHeader,
    /// Its largest timestamp, as stored.
    pub max_timestamp: i64,
    /// Its leader epoch.
    pub leader_epoch: i32,
    /// What it did to its producer's transaction.
    pub effect: Effect,
    /// Whether it is shown only once it is synced (acks=all).
    pub wait_for_sync: bool,
    /// The configured index interval.
    pub index_interval_bytes: u32,
    /// Wall time, ms.
    pub now_ms: i64,
}

/// What a read needs of a segment, taken in one look.
#[derive(Debug)]
pub(crate) struct Located {
    /// The segment's base offset.
    pub segment: Offset,
    /// As [`Segment::version`].
    pub version: u64,
    /// Whether no segment follows, or none of which anything may be given.
    pub is_last: bool,
    /// Its file, if open.
    pub file: Option<Arc<dyn File>>,
    /// The offset of the batch at `from`.
    pub offset: Offset,
    /// Where to begin looking.
    pub from: Position,
    /// An indexed batch not past `from + max_bytes`, to look for the end from.
    pub stop: Position,
    /// No byte from here on may be given.
    pub bound: Position,
    /// Bytes of whole batches in the segment.
    pub size: Position,
    /// `from..verified` has been checked (DC6).
    pub verified: Position,
    /// Whether aborted transactions are asked for, and there are any.
    pub wants_aborted: bool,
}

/// The answer to "where does this read begin".
#[derive(Debug)]
pub(crate) enum Look {
    /// Nothing to give.
    Empty,
    /// Here.
    Found(Located),
    /// The segment's index must be loaded first.
    NeedsIndex(Offset),
    /// No segment holds it, though it should be here.
    Missing,
}

/// What recovery found of a log.
#[derive(Debug, Default)]
pub(crate) struct Found {
    /// The segments, oldest first.
    pub segments: Vec<Segment>,
    /// The first offset.
    pub start: Offset,
    /// One past the last offset.
    pub end: Offset,
    /// The leader epochs.
    pub epochs: Epochs,
    /// The transactions that did not end.
    pub transactions: Transactions,
    /// Why the log is read-only.
    pub damage: Option<String>,
}

/// One log, as readers see it.
#[derive(Debug)]
pub(crate) struct Log {
    segments: Vec<Segment>,
    start: Offset,
    end: Place,
    high: Place,
    /// Everything before it is on stable storage.
    durable: Place,
    /// Batches sent with acks=all that are not synced yet, in order.
    pending: VecDeque<Place>,
    epochs: Epochs,
    transactions: Transactions,
    /// Whether any transaction was aborted: spares all others the search.
    has_aborted: bool,
    /// The epoch of the next append.
    pub leader_epoch: i32,
    /// Since when something is unsynced, wall time, ms.
    unsynced_since_ms: Option<i64>,
    /// The newest segment whose directory entry is not durable.
    entry_unsynced: Option<Offset>,
    /// Segments that were put into the place of others since the log was opened.
    cleanings: u64,
    /// Why the log is read-only.
    pub damage: Option<String>,
}

impl Log {
    /// A log as it was found, all of it synced. The start may lie inside the first segment.
    pub fn new(mut found: Found, leader_epoch: i32) -> Self {
        found.transactions.shown(found.end);
        let has_aborted = found.segments.iter().any(|s| s.aborted.len() > 0);
        let last = found.segments.last();
        let place = Place {
            offset: found.end,
            segment: last.map_or(found.end, |segment| segment.base),
            position: last.map_or(0, |segment| segment.size),
        };
        Self {
            segments: found.segments,
            start: found.start.min(found.end),
            end: place,
            high: place,
            durable: place,
            pending: VecDeque::new(),
            epochs: found.epochs,
            transactions: found.transactions,
            has_aborted,
            leader_epoch,
            unsynced_since_ms: None,
            entry_unsynced: None,
            cleanings: 0,
            damage: found.damage,
        }
    }

    /// The offsets now.
    pub fn offsets(&self) -> Offsets {
        Offsets {
            start: self.start,
            stable: self.stable().offset,
            high_watermark: self.high.offset,
            end: self.end.offset,
            leader_epoch: self.leader_epoch,
        }
    }

    /// The last stable offset: between the start and the high watermark (T-15).
    fn stable(&self) -> Place {
        match self.transactions.first() {
            Some(first) if first.offset < self.start => Place {
                offset: self.start,
                segment: self.segments.first().map_or(self.start, |first| first.base),
                position: 0,
            },
            Some(first) if first.offset < self.high.offset => first,
            _ => self.high,
        }
    }

    /// The undecided transactions.
    pub fn transactions(&self) -> &Transactions {
        &self.transactions
    }

    /// One past the last record, and where it lies.
    pub fn end(&self) -> Place {
        self.end
    }

    /// Everything before it is on stable storage.
    pub fn durable(&self) -> Place {
        self.durable
    }

    /// The segments, oldest first.
    pub fn segments(&self) -> &[Segment] {
        &self.segments
    }

    /// The segments, for filling in files and indexes.
    pub fn segments_mut(&mut self) -> &mut [Segment] {
        &mut self.segments
    }

    /// The segment with this base offset.
    pub fn segment_mut(&mut self, base: Offset) -> Option<&mut Segment> {
        let at = self
            .segments
            .binary_search_by_key(&base, |segment| segment.base)
            .ok()?;
        Some(&mut self.segments[at])
    }

    /// The leader epochs.
    pub fn epochs(&self) -> &Epochs {
        &self.epochs
    }

    /// Bytes of all segments.
    pub fn size(&self) -> u64 {
        self.segments.iter().map(|segment| segment.size).sum()
    }

    /// A segment begins at the end of the log.
    pub fn roll(&mut self, file: Arc<dyn File>, now_ms: i64) {
        let base = self.end.offset;
        let mut segment = Segment::new(base, now_ms);
        segment.file = Some(file);
        self.segments.push(segment);
        let begin = Place {
            offset: base,
            segment: base,
            position: 0,
        };
        if self.high.offset == base {
            self.high = begin;
        }
        self.end = begin;
        self.entry_unsynced = Some(base);
    }

    /// Show a batch that was written at the end. Says whether the high watermark moved.
    pub fn publish(&mut self, written: &Written<'_>) -> bool {
        let Written { place, header, .. } = *written;
        let bytes = header.bytes as u64;
        let interval = written.index_interval_bytes;
        if let Some(segment) = self.segments.last_mut() {
            segment.push(place.offset, header, written.max_timestamp, interval);
            segment.verified.add(place.position, place.position + bytes);
            segment.appended_ms = written.now_ms;
            segment.used = true;
        }
        self.epochs.note(written.leader_epoch, place.offset);
        self.end = Place {
            offset: place.offset.plus(i64::from(header.last_offset_delta) + 1),
            segment: place.segment,
            position: place.position + bytes,
        };
        if written.effect != Effect::None {
            let aborted = self.transactions.note(written.effect, place);
            if let (Some(aborted), Some(segment)) = (aborted, self.segments.last_mut()) {
                segment.aborted.push(aborted);
                self.has_aborted = true;
            }
        }
        self.unsynced_since_ms.get_or_insert(written.now_ms);
        if written.wait_for_sync {
            self.pending.push_back(place);
        }
        self.raise_high()
    }

    /// Everything before `through` is on stable storage. Says whether the high watermark moved.
    pub fn synced(&mut self, through: Place) -> bool {
        if through.offset <= self.durable.offset && self.entry_unsynced.is_none() {
            return false;
        }
        if through.offset > self.durable.offset {
            self.durable = through;
        }
        if self
            .entry_unsynced
            .is_some_and(|base| base <= through.segment)
        {
            self.entry_unsynced = None;
        }
        if self.durable.offset >= self.end.offset {
            self.unsynced_since_ms = None;
        }
        while self
            .pending
            .front()
            .is_some_and(|place| place.offset < through.offset)
        {
            self.pending.pop_front();
        }
        self.raise_high()
    }

    fn raise_high(&mut self) -> bool {
        let to = self.pending.front().copied().unwrap_or(self.end);
        let moved = to.offset > self.high.offset;
        if moved {
            self.high = to;
            self.transactions.shown(to.offset);
        }
        moved
    }

    /// The segments with unsynced bytes, oldest first, with the first such byte of each.
    pub fn unsynced(&self) -> impl Iterator<Item = (&Segment, Position)> {
        let durable = self.durable;
        self.segments.iter().filter_map(move |segment| {
            let from = match segment.base.cmp(&durable.segment) {
                std::cmp::Ordering::Less => return None,
                std::cmp::Ordering::Equal => durable.position,
                std::cmp::Ordering::Greater => 0,
            };
            (from < segment.size).then_some((segment, from))
        })
    }

    /// Whether the partition's directory has entries that are not durable.
    pub fn has_unsynced_entry(&self) -> bool {
        self.entry_unsynced.is_some()
    }

    /// How many records are unsynced.
    pub fn unsynced_records(&self) -> u64 {
        let count = self.end.offset.get() - self.durable.offset.get();
        u64::try_from(count).unwrap_or(0)
    }

    /// Whether anything is unsynced.
    pub fn is_unsynced(&self) -> bool {
        self.unsynced_since_ms.is_some()
    }

    /// Where the log ends, if not all of it is synced.
    pub fn unsynced_end(&self) -> Option<Place> {
        (self.is_unsynced() || self.has_unsynced_entry()).then_some(self.end)
    }

    /// For how long something has been unsynced, ms; 0 if nothing is.
    pub fn unsynced_ms(&self, now_ms: i64) -> i64 {
        self.unsynced_since_ms
            .map_or(0, |since| now_ms.saturating_sub(since))
    }

    /// How far this bound lets a reader see.
    pub fn bound(&self, bound: Bound) -> Place {
        match bound {
            Bound::HighWatermark | Bound::Below(_) => self.high,
            Bound::Stable => self.stable(),
            Bound::End => self.end,
        }
    }

    /// The aborted transactions of which something lies in `from..to`; of an empty range those
    /// that go on over it.
    pub fn aborted(&self, from: Offset, to: Offset) -> Vec<AbortedTransaction> {
        let first = self
            .segments
            .partition_point(|segment| segment.base <= from)
            .saturating_sub(1);
        let mut found = Vec::new();
        for segment in &self.segments[first..] {
            if segment.aborted.find(from, to, &mut found) {
                break;
            }
        }
        found
    }

    /// Nothing that lies before `position` of this segment has this offset or a higher one.
    pub fn offset_after(&self, segment: Offset, position: Position) -> Offset {
        let at = self.segments.partition_point(|s| s.base <= segment);
        let next = self
            .segments
            .get(at)
            .map_or(self.end.offset, |next| next.base);
        let this = at.checked_sub(1).map(|at| &self.segments[at]);
        this.and_then(|this| this.offset_after(position))
            .unwrap_or(next)
    }

    /// Whether `from` lies before the active segment (F-3).
    pub fn is_behind_active(&self, from: Offset) -> bool {
        self.segments
            .last()
            .is_some_and(|active| from < active.base)
    }

    /// Where a read begins (F-6).
    ///
    /// # Errors
    /// [`StorageError::OffsetOutOfRange`].
    pub fn look(&mut self, request: &ReadRequest) -> Result<Look, StorageError> {
        let (from, bound) = (request.from, self.bound(request.bound));
        if from < self.start || from > self.end.offset {
            return Err(StorageError::OffsetOutOfRange {
                offset: from,
                start: self.start,
                end: self.end.offset,
            });
        }
        if from >= bound.offset {
            return Ok(Look::Empty);
        }
        let after = self
            .segments
            .partition_point(|segment| segment.base <= from);
        let Some(at) = after.checked_sub(1) else {
            return Ok(Look::Missing);
        };
        // Nor is a segment of which nothing may be seen behind this one.
        let next = self.segments.get(after);
        let is_last = next.is_none_or(|next| next.base >= bound.offset);
        let segment = &mut self.segments[at];
        if matches!(segment.index, Index::Unloaded) {
            return Ok(Look::NeedsIndex(segment.base));
        }
        segment.used = true;
        let first = segment.before(from);
        let mut located = located(segment, first, bound, request.max_bytes);
        located.wants_aborted = self.has_aborted && request.bound == Bound::Stable;
        located.is_last = is_last;
        if let Bound::Below(offset) = request.bound {
            let end = segment.after(offset.max(from.plus(1)));
            // What was not checked since the start is checked in long stretches, not in bits.
            if end <= located.verified {
                located.bound = located.bound.min(end);
            }
        }
        Ok(Look::Found(located))
    }

    /// Drop the segments that lie wholly before `start`, and give them.
    pub fn advance_start(&mut self, start: Offset) -> Vec<Segment> {
        self.start = self.start.max(start);
        let mut gone = 0;
        while let Some(next) = self.segments.get(gone + 1)
            && next.base <= self.start
        {
            gone += 1;
        }
        // The active segment goes too once nothing of it is left and readers see its end.
        if self.start == self.end.offset
            && self.segments.last().is_some_and(|active| active.size > 0)
        {
            gone = self.segments.len();
        }
        let gone: Vec<Segment> = self.segments.drain(..gone).collect();
        if self.segments.is_empty() && !gone.is_empty() {
            let place = Place {
                offset: self.end.offset,
                segment: self.end.offset,
                position: 0,
            };
            (self.end, self.high, self.durable) = (place, place, place);
            self.entry_unsynced = None;
            self.unsynced_since_ms = None;
            self.pending.clear();
        }
        // Reads begin at whole batches, so what the first segment holds is still looked at.
        let first = self.segments.first().map_or(self.start, |first| first.base);
        self.epochs.trim(first);
        gone
    }

    /// The segment with this base offset, if its file is still the same.
    pub fn segment_of(&mut self, base: Offset, version: u64) -> Option<&mut Segment> {
        self.segment_mut(base)
            .filter(|segment| segment.version == version)
    }

    /// The base offset of the segment behind this one.
    pub fn after_segment(&self, base: Offset) -> Option<Offset> {
        let after = self
            .segments
            .partition_point(|segment| segment.base <= base);
        self.segments.get(after).map(|segment| segment.base)
    }

    /// Put a cleaned segment, which covers the same offsets, into the place of the sealed ones
    /// with these base offsets. False, and nothing is changed, if they are not all here any more.
    pub fn replace(&mut self, bases: &[Offset], mut cleaned: Segment) -> bool {
        let known = self.segments.iter().map(|segment| segment.base);
        let from = known.clone().position(|base| Some(&base) == bases.first());
        let Some(from) = from else {
            return false;
        };
        let is_here = known.skip(from).take(bases.len()).eq(bases.iter().copied());
        let end = from + bases.len();
        if !is_here || end >= self.segments.len() {
            return false;
        }
        self.cleanings += 1;
        cleaned.version = self.cleanings;
        // All of it is durable and shown: a place in it is its end.
        for place in [&mut self.high, &mut self.durable] {
            if bases.contains(&place.segment) {
                place.segment = cleaned.base;
                place.position = cleaned.size;
            }
        }
        self.segments.splice(from..end, [cleaned]);
        true
    }

    /// Give a segment the index read from its file, or made again. `written` bytes of the
    /// segment are described by the file.
    pub fn set_index(&mut self, base: Offset, version: u64, index: Index, written: Position) {
        if let Some(segment) = self.segment_of(base, version)
            && matches!(segment.index, Index::Unloaded)
        {
            segment.index = index;
            segment.index_written = written;
        }
    }
}

fn located(segment: &Segment, first: Entry, bound: Place, max_bytes: usize) -> Located {
    let from = u64::from(first.position);
    let bound = if segment.base < bound.segment {
        segment.size
    } else {
        bound.position
    };
    let most = from.saturating_add(max_bytes as u64).min(bound);
    Located {
        segment: segment.base,
        version: segment.version,
        is_last: true,
        file: segment.file.clone(),
        offset: segment.base.plus(i64::from(first.offset)),
        from,
        stop: u64::from(segment.before_position(most).position),
        bound,
        size: segment.size,
        verified: segment.verified.reach(from),
        wants_aborted: false,
    }
}
