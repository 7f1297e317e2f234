//! Cleaning one partition, and choosing which (C-1): the shell around `log/compaction.rs`.
//!
//! Reads and appends go on meanwhile. Whoever calls has a thread to spare: nothing here waits for
//! a lock that an append needs for longer than a look takes.

pub(crate) mod cleaned;

use std::collections::HashMap;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use crate::disk::Open;
use crate::engine::{Cleaning, CleaningRules, Pace, Standing};
use crate::local::compaction::cleaned::{BESIDE, CLEANED, Swap};
use crate::local::partition::LocalPartition;
use crate::local::read::is_gone;
use crate::local::{LocalEngine, files, lock};
use crate::log::aborted::Aborted;
use crate::log::compaction::choose::{self, Dirty, Limits};
use crate::log::compaction::copy::{Copied, CopyError, copy};
use crate::log::compaction::ended::{Ended, find_aborted};
use crate::log::compaction::filter::{LastBatch, Rules};
use crate::log::compaction::map::KeyMap;
use crate::log::compaction::{Source, map_keys};
use crate::log::producers::Remembered;
use crate::log::segment;
use crate::{LogSettings, Offset, StorageError};

/// The last batch of each producer that a log remembers.
type Producers = HashMap<i64, LastBatch>;

/// A cleaning looks whether to go on after so many bytes or batches, not at each: others look at
/// the same log.
const LOOK_BYTES: u64 = 64 << 10;
const LOOK_BATCHES: u32 = 256;

/// What a cleaning did since it looked last.
#[derive(Default)]
struct Meter {
    bytes: u64,
    batches: u32,
}

/// One cleaning under way.
struct Run<'a> {
    partition: &'a LocalPartition,
    rules: &'a CleaningRules<'a>,
    settings: Arc<LogSettings>,
    now_ms: i64,
    meter: Meter,
    done: Cleaning,
}

impl LocalEngine {
    /// Clean the filthiest log that is due and that nobody cleans; `None` if there is none.
    pub(super) fn clean_now(
        &self,
        rules: &CleaningRules<'_>,
        now_ms: i64,
    ) -> Result<Option<Cleaning>, StorageError> {
        let mut due: Vec<_> = self
            .shared
            .all()
            .into_iter()
            .filter_map(|partition| Some((partition.dirty(now_ms)?, partition)))
            .filter(|(dirty, _)| dirty.is_due)
            .collect();
        due.sort_by_key(|(dirty, _)| std::cmp::Reverse(dirty.ratio));
        let mut full = None;
        for (_, partition) in due {
            self.shared.health.check_open()?;
            // One that is being cleaned, or deleted.
            let Ok(_one) = partition.cleaning.try_lock() else {
                continue;
            };
            match partition.clean(rules, now_ms) {
                Ok(None) => {}
                Ok(Some(cleaning)) => return Ok(Some(cleaning)),
                Err(StorageError::UnknownPartition(_)) => {}
                // Retention took what was to be read.
                Err(error) if is_gone(&error) => {}
                // There may be space for a smaller one, and then more.
                Err(error @ StorageError::DiskFull) => {
                    tracing::debug!(partition = %partition.id, "not cleaned: {error}");
                    full = Some(error);
                }
                Err(error) => return Err(partition.not_cleaned(error)),
            }
        }
        full.map_or(Ok(None), Err)
    }

    pub(super) fn standing_now(&self, now_ms: i64) -> Standing {
        let mut standing = Standing::default();
        for partition in self.shared.all() {
            standing.logs += usize::from(partition.settings().compact);
            if let Some(dirty) = partition.dirty(now_ms) {
                standing.dirtiest_millionths = standing.dirtiest_millionths.max(dirty.ratio);
            }
            if let Some(why) = &partition.state().uncleanable {
                standing.uncleanable.push((partition.id, why.clone()));
            }
        }
        standing
    }
}

impl LocalPartition {
    /// What of this log may be cleaned.
    fn dirty(&self, now_ms: i64) -> Option<Dirty> {
        let settings = self.settings();
        if !settings.compact {
            return None;
        }
        let state = self.state();
        if state.is_deleted || state.log.damage.is_some() || state.uncleanable.is_some() {
            return None;
        }
        let offsets = state.log.offsets();
        let end = offsets.stable.min(state.log.durable().offset);
        let limits = Limits {
            start: offsets.start,
            end: end.min(state.checkpointed.offset),
            segment: state.checkpointed.segment,
            cleaned: state.cleaned.to,
        };
        choose::dirty(state.log.segments(), &limits, &settings, now_ms)
    }

    /// What cannot be read is not tried again in this run of the server: it would come first
    /// each time, and no other log would be cleaned.
    fn not_cleaned(&self, error: StorageError) -> StorageError {
        let why = match &error {
            StorageError::InvalidBatch(why) | StorageError::CorruptBatch(why) => (*why).to_owned(),
            StorageError::Io(why) => why.to_string(),
            _ => return error,
        };
        tracing::error!(partition = %self.id, "cannot be cleaned: {why}");
        self.state().uncleanable = Some(why);
        error
    }

    /// Clean this log as far as one map of its keys reaches.
    fn clean(
        &self,
        rules: &CleaningRules<'_>,
        now_ms: i64,
    ) -> Result<Option<Cleaning>, StorageError> {
        let Some(dirty) = self.dirty(now_ms) else {
            return Ok(None);
        };
        // From here on no journal holds bytes of what is cleaned: it is durable, and gets no more.
        self.shared.flusher.checkpoint()?;
        let sources = self.sources(dirty.segments)?;
        let mut run = Run {
            partition: self,
            rules,
            settings: self.settings(),
            now_ms,
            meter: Meter::default(),
            done: Cleaning {
                partition: self.id,
                ..Cleaning::default()
            },
        };
        run.clean(&sources, &dirty)?;
        Ok(Some(run.done))
    }

    /// The first segments of the log, opened.
    fn sources(&self, count: usize) -> Result<Vec<Source>, StorageError> {
        let found: Vec<_> = {
            let state = self.state();
            let segments = state.log.segments();
            let pairs = segments.iter().zip(segments.iter().skip(1)).take(count);
            pairs
                .map(|(segment, next)| (segment.base, segment.version, segment.size, next.base))
                .collect()
        };
        let source = |(base, version, size, end)| {
            let file = self.open_segment(base, version)?;
            Ok(Source {
                base,
                end,
                size,
                file,
            })
        };
        found.into_iter().map(source).collect()
    }

    /// The producers whose last batch must stay.
    fn last_batches(&self) -> Producers {
        let writer = lock(&self.writer);
        let last = |(id, producer): (i64, &Remembered)| {
            let last = producer.sent().last().map(|sent| sent.end.plus(-1));
            let epoch = producer.epoch;
            (id, LastBatch { epoch, last })
        };
        writer.producers.sorted().into_iter().map(last).collect()
    }

    /// Put a new segment into the place of `old`. False if they are not there any more.
    fn swap(
        &self,
        copied: Copied,
        old: &[Source],
        file: Arc<dyn crate::disk::File>,
    ) -> Result<bool, StorageError> {
        // The start stays where it is, and no index is written.
        let _one = lock(&self.start_mover);
        let bases: Vec<Offset> = old.iter().map(|source| source.base).collect();
        let Some(end) = old.last().map(|last| last.end) else {
            return Ok(false);
        };
        let mut segment = copied.segment;
        segment.aborted = Aborted::Memory(copied.aborted);
        let mut cleaned = {
            let mut state = self.state();
            self.check_usable(&state)?;
            let known = |base: &Offset| state.log.segment_mut(*base).map(|known| known.facts());
            let facts: Option<Vec<_>> = bases.iter().map(known).collect();
            let Some(facts) = facts.filter(|facts| !facts.is_empty()) else {
                return Ok(false);
            };
            segment.created_ms = facts[0].created_ms;
            let appended = facts.iter().map(|facts| facts.appended_ms).max();
            segment.appended_ms = appended.unwrap_or(segment.created_ms);
            state.cleaned.clone()
        };
        let base = segment.base;
        cleaned.add(Swap {
            facts: segment.facts(),
            end,
        });
        self.write_cleaned(&cleaned)?;
        segment.file = Some(file);
        segment.is_unnamed = true;
        {
            let mut state = self.state();
            state.cleaned = cleaned;
            state.swapped_at = self.shared.checkpoints_begun.load(Ordering::SeqCst) + 1;
            // Nothing but a move of the start takes sealed segments away.
            assert!(state.log.replace(&bases, segment), "sealed segments stay");
        }
        cleaned::settle(&*self.shared.disk, &self.dir, base, &bases)
            .map_err(|error| self.refused_for_good(error))?;
        if let Some(segment) = self.state().log.segment_mut(base) {
            segment.is_unnamed = false;
        }
        self.shared.rolled.store(true, Ordering::Relaxed);
        Ok(true)
    }

    /// Once `cleaned` names a segment there is no way back.
    fn refused_for_good(&self, error: std::io::Error) -> StorageError {
        self.shared
            .health
            .fatal(&format!("{} could not be cleaned: {error}", self.id));
        StorageError::Poisoned
    }

    fn write_cleaned(&self, cleaned: &cleaned::Cleaned) -> Result<(), StorageError> {
        let (disk, path) = (&*self.shared.disk, self.dir.join(CLEANED));
        // Until the rename the old one counts, also if there is no space; then the new one may.
        let beside = files::write_beside(disk, &path, &cleaned.encode())
            .map_err(|error| self.refused(error))?;
        files::put_in_place(disk, &beside, &path).map_err(|error| self.refused_for_good(error))
    }

    /// Once a checkpoint tells of the new segments, `cleaned` need not (step 6).
    pub(super) fn forget_swaps(&self) {
        // Busy: the next time.
        let Ok(_one) = self.start_mover.try_lock() else {
            return;
        };
        let written = self.shared.checkpoints_written.load(Ordering::SeqCst);
        let cleaned = {
            let state = self.state();
            let is_done = state.swapped_at <= written && !state.is_deleted;
            if state.cleaned.swaps.is_empty() || !is_done {
                return;
            }
            cleaned::Cleaned {
                swaps: Vec::new(),
                ..state.cleaned
            }
        };
        match self.write_cleaned(&cleaned) {
            Ok(()) => self.state().cleaned = cleaned,
            Err(error) => tracing::debug!(partition = %self.id, "cleaned: {error}"),
        }
    }
}

impl Run<'_> {
    fn clean(&mut self, sources: &[Source], dirty: &Dirty) -> Result<(), StorageError> {
        let (partition, cleaning, meter) = (self.partition, self.rules, &mut self.meter);
        meter.begin();
        let mut aborted = find_aborted(sources, &mut |bytes| {
            meter.count(partition, cleaning, bytes)
        })?;
        if let Some(end) = sources.last().map(|last| last.end) {
            // What is decided may be so by a marker further on, which is not cleaned yet.
            aborted.extend(self.partition.state().log.aborted(end, end));
        }
        let records = dirty.end.get().saturating_sub(dirty.from.get());
        let mut map = KeyMap::new(
            self.rules.map_bytes,
            u64::try_from(records).unwrap_or(0),
            dirty.from,
        );
        self.done.map_bytes = map.bytes() as u64;
        let new = sources.partition_point(|source| source.end <= dirty.from);
        let (cleaned, new) = sources.split_at(new);
        let first = new.first().map_or(dirty.from, |first| first.base);
        let mut ended = Ended::new(aborted.clone(), first);
        let mapped = {
            let read = &mut self.done.read_bytes;
            meter.begin();
            map_keys(&mut map, new, dirty.from, &mut ended, &mut |bytes| {
                *read += bytes;
                meter.count(partition, cleaning, bytes)
            })?
        };
        let producers = self.partition.last_batches();
        let rules = Rules {
            map: &map,
            mapped,
            producers: &producers,
            now_ms: self.now_ms,
            delete_retention_ms: self.settings.delete_retention_ms,
        };
        let reached = new.iter().filter(|source| source.base <= mapped).count();
        let mut left = &sources[..cleaned.len() + reached];
        let start = left.first().map_or(Offset::ZERO, |first| first.base);
        let mut ended = Ended::new(aborted, start);
        while !left.is_empty() {
            let sizes: Vec<_> = left
                .iter()
                .map(|source| (source.base, source.end, source.size))
                .collect();
            let (group, rest) = left.split_at(choose::group(&sizes, self.settings.segment_bytes));
            if !self.clean_group(group, &rules, &mut ended)? {
                return Ok(());
            }
            left = rest;
        }
        self.cleaned_to(mapped.plus(1))
    }

    /// Write these segments anew as one. False if they are not there any more.
    fn clean_group(
        &mut self,
        group: &[Source],
        rules: &Rules<'_>,
        ended: &mut Ended,
    ) -> Result<bool, StorageError> {
        let path = segment::path(&self.partition.dir, group[0].base, BESIDE);
        let outcome = self.copy_and_swap(group, rules, ended, &path);
        // Once the server has stopped, `cleaned` may name the file, and then it is the log.
        if !matches!(outcome, Ok(Outcome::Swapped) | Err(StorageError::Poisoned)) {
            // What is left over is removed at a start, if not now.
            let _ = self.partition.shared.disk.remove_file(&path);
        }
        outcome.map(|outcome| outcome != Outcome::Gone)
    }

    fn copy_and_swap(
        &mut self,
        group: &[Source],
        rules: &Rules<'_>,
        ended: &mut Ended,
        path: &Path,
    ) -> Result<Outcome, StorageError> {
        let partition = self.partition;
        let file = partition
            .shared
            .open_segment_file(path, Open::Truncate)
            .map_err(|error| partition.refused(error))?;
        let before: u64 = group.iter().map(|source| source.size).sum();
        let interval = self.settings.index_interval_bytes;
        let (cleaning, meter) = (self.rules, &mut self.meter);
        meter.begin();
        let copied = copy(group, &*file, rules, ended, interval, &mut |bytes| {
            meter.count(partition, cleaning, bytes)
        });
        let copied = copied.map_err(|error| match error {
            CopyError::Read(error) => error,
            CopyError::Write(error) => partition.refused(error),
        })?;
        self.done.read_bytes += before;
        let size = copied.segment.size;
        if !copied.is_changed {
            return Ok(Outcome::Unchanged);
        }
        self.done.written_bytes += size;
        // Its entry, too: `cleaned` must never be durable without what it names.
        file.sync()
            .and_then(|()| partition.shared.disk.sync_dir(&partition.dir))
            .map_err(|error| partition.refused_for_good(error))?;
        if !partition.swap(copied, group, file)? {
            return Ok(Outcome::Gone);
        }
        self.done.replaced_segments += group.len() as u64;
        self.done.freed_bytes += before.saturating_sub(size);
        Ok(Outcome::Swapped)
    }

    fn cleaned_to(&mut self, to: Offset) -> Result<(), StorageError> {
        let partition = self.partition;
        let _one = lock(&partition.start_mover);
        let cleaned = cleaned::Cleaned {
            to,
            ..partition.state().cleaned.clone()
        };
        partition.write_cleaned(&cleaned)?;
        partition.state().cleaned = cleaned;
        self.done.to = to;
        Ok(())
    }
}

#[derive(PartialEq, Eq)]
enum Outcome {
    Swapped,
    Unchanged,
    /// Retention, or a deletion, took the segments meanwhile.
    Gone,
}

impl Meter {
    /// Look at the next batch.
    fn begin(&mut self) {
        self.batches = LOOK_BATCHES;
    }

    /// A batch, and so many bytes that were read or written: whether the cleaning goes on, and how
    /// fast.
    fn count(
        &mut self,
        partition: &LocalPartition,
        rules: &CleaningRules<'_>,
        bytes: u64,
    ) -> Result<(), StorageError> {
        self.bytes += bytes;
        self.batches += 1;
        if self.bytes < LOOK_BYTES && self.batches < LOOK_BATCHES {
            return Ok(());
        }
        self.batches = 0;
        let mut bytes = std::mem::take(&mut self.bytes);
        loop {
            let pace = (rules.pace)(bytes);
            partition.shared.health.check_open()?;
            partition.check_usable(&partition.state())?;
            match pace {
                Pace::On => return Ok(()),
                Pace::Wait => bytes = 0,
                Pace::End => return Err(StorageError::Closed),
            }
        }
    }
}
