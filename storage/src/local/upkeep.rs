//! What happens every now and then: retention, checkpoints, index files, idle files closed.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use crate::local::boot::{self, CHECKPOINT};
use crate::local::checkpoint::{Checkpoint, Section};
use crate::local::flusher::Source;
use crate::local::partition::LocalPartition;
use crate::local::state::State;
use crate::local::{LocalEngine, Shared, files, lock};
use crate::log::index::{Index, IndexFile};
use crate::log::segment;
use crate::log::writer::Writer;
use crate::{Offset, Position, StorageError};

/// A roll brings the next checkpoint forward, but not closer to the last than this.
const CHECKPOINT_AFTER_ROLL_MS: i64 = 5_000;

/// The active segment's index is written again when it has grown by this many log bytes: as much
/// is gone over after a crash.
const INDEX_EVERY_BYTES: Position = 1 << 20;

/// When things were done last, wall time, ms.
#[derive(Debug, Default)]
pub(crate) struct Schedule {
    checkpoint_ms: i64,
    retention_ms: i64,
    expiry_ms: i64,
}

impl Schedule {
    pub fn new(now_ms: i64) -> Self {
        Self {
            checkpoint_ms: now_ms,
            retention_ms: now_ms,
            expiry_ms: now_ms,
        }
    }
}

/// Whether `interval_ms` have passed since `last_ms`, or the clock was set back.
fn is_due(last_ms: &mut i64, now_ms: i64, interval_ms: i64) -> bool {
    let is_due = now_ms < *last_ms || now_ms.saturating_sub(*last_ms) >= interval_ms;
    if is_due {
        *last_ms = now_ms;
    }
    is_due
}

impl LocalEngine {
    pub(super) fn upkeep_now(&self, now_ms: i64) {
        let shared = &self.shared;
        if shared.health.check_open().is_err() {
            return;
        }
        let mut schedule = lock(&shared.schedule);
        let options = &shared.options;
        let retains = is_due(
            &mut schedule.retention_ms,
            now_ms,
            options.retention_check_ms,
        );
        let expires = is_due(
            &mut schedule.expiry_ms,
            now_ms,
            options.checkpoint_interval_ms,
        );
        let is_full = shared.is_full.swap(false, Ordering::Relaxed);
        let horizon_ms = now_ms.saturating_sub(options.producer_expiration_ms);
        for partition in shared.all() {
            partition.flush_if_due(now_ms);
            if retains || is_full {
                partition.retain(now_ms);
            }
            if expires {
                let mut writer = lock(&partition.writer);
                writer.producers.expire(horizon_ms);
                writer.verifications.expire(horizon_ms);
            }
        }
        let rolled = shared.rolled.load(Ordering::Relaxed);
        let interval_ms = if rolled {
            CHECKPOINT_AFTER_ROLL_MS.min(options.checkpoint_interval_ms)
        } else {
            options.checkpoint_interval_ms
        };
        if is_due(&mut schedule.checkpoint_ms, now_ms, interval_ms) || is_full {
            shared.rolled.store(false, Ordering::Relaxed);
            match shared.checkpoint() {
                Ok(_) | Err(StorageError::Poisoned) => {}
                Err(error) => tracing::warn!("no checkpoint was written: {error}"),
            }
        }
        for partition in shared.all() {
            partition.remove_doomed(now_ms, is_full);
            partition.forget_swaps();
        }
        shared.flusher.upkeep(now_ms);
        shared.close_idle_files();
    }

    /// Sync everything, write the checkpoint and the clean mark. Nothing is appended meanwhile.
    pub(super) fn close_now(&self) -> Result<(), StorageError> {
        let shared = &self.shared;
        if !shared.health.close() {
            return shared.health.check_open();
        }
        // Rounds are faster than one log at a time, and nobody waits any more.
        let sources: Vec<Arc<dyn Source>> = shared
            .all()
            .into_iter()
            .map(|partition| partition as Arc<dyn Source>)
            .collect();
        shared.flusher.sync(&sources)?;
        let written = shared.checkpoint()?;
        shared.flusher.checkpoint()?;
        if lock(&shared.sections).is_empty() {
            boot::remove_failed(&*shared.disk, &shared.root)?;
        }
        boot::write_clean(&*shared.disk, &shared.root, &written)
            .map_err(|error| StorageError::Io(Arc::new(error)))?;
        shared.flusher.stop();
        for partition in shared.all() {
            partition.remove_doomed(i64::MAX, true);
        }
        Ok(())
    }
}

impl Shared {
    /// Sync every log to where it ends now, then write down that it was (DC10).
    pub(super) fn checkpoint(&self) -> Result<Vec<u8>, StorageError> {
        let number = self.checkpoints_begun.fetch_add(1, Ordering::SeqCst) + 1;
        self.checkpoint_of(number, &self.all())
    }

    /// The checkpoint of this number, of these logs. Any of them may be deleted meanwhile.
    pub(super) fn checkpoint_of(
        &self,
        number: u64,
        partitions: &[Arc<LocalPartition>],
    ) -> Result<Vec<u8>, StorageError> {
        for partition in partitions {
            partition.write_indexes();
        }
        let sections: Vec<Section> = partitions
            .iter()
            .filter_map(|partition| partition.section())
            .collect();
        // Behind the sections: the files have at least what these count.
        for partition in partitions {
            partition.write_aborted();
        }
        self.sync_behind(partitions)?;
        let mut checkpoint = Checkpoint::new();
        for section in &sections {
            checkpoint.add(section);
        }
        // A copy: who opens a partition holds its place among all, and then looks for its section.
        let unopened = lock(&self.sections).clone();
        for (id, body) in &unopened {
            // Not opened yet: what was known of it still holds.
            if !self.partitions.contains_key(id) {
                checkpoint.add_raw(body);
            }
        }
        let bytes = checkpoint.into_bytes();
        let mut last = lock(&self.last_checkpoint);
        let crc = crc32c::crc32c(&bytes);
        if *last != Some((bytes.len(), crc)) {
            files::replace(&*self.disk, &self.root.join(CHECKPOINT), &bytes)
                .map_err(|error| self.refused("the checkpoint", error))?;
            *last = Some((bytes.len(), crc));
        }
        for section in sections.iter().filter(|section| section.damage.is_none()) {
            if let Some(partition) = self.partitions.get(&section.id) {
                partition.state().checkpointed = section.cleanable();
            }
        }
        self.checkpoints_written.fetch_max(number, Ordering::SeqCst);
        Ok(bytes)
    }

    /// Sync all logs, at least to where they end now.
    fn sync_behind(&self, partitions: &[Arc<LocalPartition>]) -> Result<(), StorageError> {
        let ends: Vec<_> = partitions
            .iter()
            .filter_map(|partition| Some((partition, partition.state().log.unsynced_end()?)))
            .collect();
        if ends.len() > boot::SYNCED_ONE_BY_ONE_MAX {
            match self.disk.sync_everything() {
                Ok(false) => {}
                Ok(true) => {
                    self.health.check()?;
                    for (partition, end) in ends {
                        partition.synced(end);
                    }
                    return Ok(());
                }
                Err(error) => {
                    self.health
                        .fatal(&format!("the logs could not be synced: {error}"));
                    return Err(StorageError::Poisoned);
                }
            }
        }
        for (partition, _) in ends {
            self.sync_quietly(partition)?;
        }
        Ok(())
    }

    /// Sync one log by itself. One at a time, and in no round: those who wait for a round must
    /// not wait for this.
    fn sync_quietly(&self, partition: &LocalPartition) -> Result<(), StorageError> {
        let _one = lock(&partition.start_mover);
        let Some(dirty) = partition.take_dirty()? else {
            return Ok(());
        };
        for dir in &dirty.dirs {
            self.disk
                .sync_dir(dir)
                .map_err(|error| self.refused("a directory", error))?;
        }
        for dirty in &dirty.files {
            if let Err(error) = dirty.file.sync() {
                self.health
                    .fatal(&format!("{} could not be synced: {error}", partition.id));
                partition.failed();
                return Err(StorageError::Poisoned);
            }
        }
        self.health.check()?;
        partition.synced(dirty.through);
        Ok(())
    }

    /// Keep descriptors below the limit: files not used since the last time are closed.
    pub(super) fn close_idle_files(&self) {
        let max = self.options.open_files_max;
        if self.handles.open() >= max {
            self.close_idle_to(max - max / 4);
        }
    }

    /// Close whatever is idle: the process has no descriptor left.
    pub(super) fn close_all_idle(&self) {
        self.close_idle_to(0);
    }

    fn close_idle_to(&self, enough: usize) {
        // Twice: the first time over may only take the marks away.
        for _ in 0..2 {
            for entry in &self.partitions {
                entry.value().close_idle();
                if self.handles.open() <= enough {
                    return;
                }
            }
        }
    }
}

impl LocalPartition {
    /// What the next start may believe of this log, once it is synced to its end of now.
    fn section(&self) -> Option<Section> {
        let writer = lock(&self.writer);
        let state = self.state();
        if state.is_deleted {
            return None;
        }
        if let Some(kept) = &state.kept {
            return Some(kept.clone());
        }
        Some(section_of(self, &writer, &state))
    }

    /// Put the indexes of sealed segments into their files, and the active one's if it has grown.
    fn write_indexes(&self) {
        // None of a segment that is being replaced.
        let _one = lock(&self.start_mover);
        for (base, bytes, is_sealed, covered) in self.unwritten_indexes() {
            let path = segment::path(&self.dir, base, "index");
            if let Err(error) = self.write_index(&path, &bytes) {
                // It can be written at the next checkpoint, unless the disk fails (DC5).
                let refused = self.refused(error);
                tracing::debug!(partition = %self.id, segment = %base, "no index: {refused}");
                continue;
            }
            if let Some(segment) = self.state().log.segment_mut(base) {
                segment.index_written = covered;
            }
            if is_sealed {
                self.map_index(base, &path);
            }
        }
    }

    fn unwritten_indexes(&self) -> Vec<(Offset, Vec<u8>, bool, Position)> {
        let state = self.state();
        if state.is_deleted {
            return Vec::new();
        }
        let segments = state.log.segments();
        let last = segments.len().saturating_sub(1);
        segments
            .iter()
            .enumerate()
            .filter(|(at, segment)| {
                *at < last || segment.size - segment.index_written >= INDEX_EVERY_BYTES
            })
            .filter_map(|(at, segment)| {
                let bytes = segment.encode_index()?;
                Some((segment.base, bytes, at < last, segment.size))
            })
            .collect()
    }

    /// Let a sealed segment's index lie in its file only.
    fn map_index(&self, base: Offset, path: &Path) {
        let mapped = self.shared.disk.map(path).ok();
        let Some(file) = mapped.and_then(|bytes| IndexFile::decode(bytes).ok()) else {
            return;
        };
        if let Some(segment) = self.state().log.segment_mut(base)
            && file.covered.bytes == segment.size
        {
            segment.index = Index::Mapped(file);
        }
    }

    /// Close all files: what they take on the disk is free once nobody reads them any more.
    pub(super) fn close_files(&self) {
        let mut writer = lock(&self.writer);
        writer.active = None;
        for segment in self.state().log.segments_mut() {
            segment.file = None;
        }
    }

    /// Close files that were not used since this was called last.
    fn close_idle(&self) {
        // Busy is used.
        let Ok(mut writer) = self.writer.try_lock() else {
            return;
        };
        let mut state = self.state();
        if state.has_waiters() {
            return;
        }
        let active = writer.active.as_ref().map(|active| active.base);
        for segment in state.log.segments_mut() {
            if std::mem::take(&mut segment.used) || segment.is_unnamed {
                continue;
            }
            segment.file = None;
            if active == Some(segment.base) {
                writer.active = None;
            }
        }
    }
}

fn section_of(partition: &LocalPartition, writer: &Writer, state: &State) -> Section {
    let log = &state.log;
    Section {
        id: partition.id,
        start: log.offsets().start,
        end: log.end(),
        segments: log.segments().iter().map(segment::Segment::facts).collect(),
        epochs: log.epochs().clone(),
        producers: writer
            .producers
            .sorted()
            .into_iter()
            .map(|(id, producer)| (id, *producer))
            .collect(),
        transactions: log.transactions().open().collect(),
        aborted: log
            .segments()
            .iter()
            .filter(|segment| segment.aborted.len() > 0)
            .map(|segment| {
                let count = u32::try_from(segment.aborted.len());
                (segment.base, count.unwrap_or(u32::MAX))
            })
            .collect(),
        damage: log.damage.clone(),
    }
}
