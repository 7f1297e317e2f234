//! The append: check the sequence, assign offsets, write, publish; in one go under the writer's
//! lock, on the caller's thread. Order is fixed here.

use std::io;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use tokio::sync::{Notify, oneshot};

use crate::batch::BatchHeader;
use crate::disk::Open;
use crate::local::lock;
use crate::local::partition::LocalPartition;
use crate::log::index::Index;
use crate::log::producers::{Sent, producer_of};
use crate::log::segment;
use crate::log::transactions::Effect;
use crate::log::writer::{Active, Head, Writer};
use crate::log::{Place, Written, checks, recompress};
use crate::{
    Appended, Batch, Durability, LogSettings, Marker, Offset, Origin, Producer, StorageError,
};

/// A batch in the file, and what its answer waits for.
pub(super) enum Step {
    Done(Appended),
    Waits(Appended, oneshot::Receiver<Result<(), StorageError>>),
}

/// What a batch is to the producer's state.
enum Entry {
    /// Records of this origin.
    Data(Origin),
    /// The end of a transaction.
    Marker(Marker),
}

fn remember(
    writer: &mut Writer,
    header: &BatchHeader,
    entry: &Entry,
    base: Offset,
    now_ms: i64,
) -> Effect {
    match entry {
        Entry::Marker(marker) => {
            let Producer { id, epoch } = marker.producer;
            writer.verifications.ended(id, epoch);
            writer
                .producers
                .apply_marker(marker, header.max_timestamp, now_ms)
        }
        Entry::Data(_) => {
            if header.is_transactional() {
                writer.verifications.written(header.producer_id);
            }
            writer.producers.apply(header, base, now_ms)
        }
    }
}

impl LocalPartition {
    pub(super) fn append_now(
        &self,
        batch: &Batch,
        origin: Origin,
        durability: Durability,
        now_ms: i64,
    ) -> Result<Step, StorageError> {
        let settings = self.settings();
        let mut stored = None;
        let entry = match origin {
            Origin::Client | Origin::Verified(_) => {
                stored = match checks::check_client(batch, &settings, now_ms)? {
                    Some(newest_ms) => checks::dated(batch, newest_ms, &settings),
                    None => recompress::recompressed(batch, &settings, now_ms)?,
                };
                Entry::Data(origin)
            }
            Origin::Coordinator => {
                checks::check_segment(batch.header(), &settings)?;
                Marker::from_batch(batch).map_or(Entry::Data(origin), Entry::Marker)
            }
        };
        let stored = stored.as_ref().unwrap_or(batch);
        self.write(stored, &entry, durability, now_ms, &settings)
    }

    pub(super) fn append_marker_now(
        &self,
        marker: &Marker,
        durability: Durability,
        now_ms: i64,
    ) -> Result<Step, StorageError> {
        let settings = self.settings();
        let batch = marker.to_batch(now_ms);
        let entry = Entry::Marker(*marker);
        self.write(&batch, &entry, durability, now_ms, &settings)
    }

    fn write(
        &self,
        batch: &Batch,
        entry: &Entry,
        durability: Durability,
        now_ms: i64,
        settings: &LogSettings,
    ) -> Result<Step, StorageError> {
        let mut head = Head::new(batch, settings.timestamp_type, now_ms);
        let mut writer = lock(&self.writer);
        self.shared.health.check_open()?;
        let leader_epoch = self.check_writable()?;
        if let Some(sent) = self.check_producer(&mut writer, batch.header(), entry)? {
            return Ok(self.duplicate(sent.base, sent.end, durability));
        }
        let timestamp = head.max_timestamp;
        self.make_room(&mut writer, batch.header(), timestamp, settings, now_ms)?;
        let base = writer.end;
        head.place(base, leader_epoch);
        let active = writer
            .active
            .as_mut()
            .expect("make_room leaves an open segment");
        if let Err(error) = active.file.write_at(&head.pieces(batch), active.size) {
            return Err(self.write_failed(active, error));
        }
        let place = Place {
            offset: base,
            segment: active.base,
            position: active.size,
        };
        if active.size == 0 {
            active.first_timestamp = head.max_timestamp;
        }
        active.size += batch.header().bytes as u64;
        writer.end = base.plus(i64::from(batch.header().last_offset_delta) + 1);
        let effect = remember(&mut writer, batch.header(), entry, base, now_ms);
        if let (true, Some(active)) = (effect.is_abort(), writer.active.as_mut()) {
            active.aborted += 1;
        }
        let written = Written {
            place,
            header: batch.header(),
            max_timestamp: head.max_timestamp,
            leader_epoch,
            effect,
            wait_for_sync: durability == Durability::Synced,
            index_interval_bytes: settings.index_interval_bytes,
            now_ms,
        };
        let appended = Appended {
            base_offset: base,
            end_offset: writer.end,
            log_append_time_ms: head.log_append_time_ms,
            start_offset: Offset::ZERO,
            duplicate: false,
        };
        Ok(self.publish(&written, appended, settings))
    }

    /// Why nothing can be appended, or the epoch to append in.
    fn check_writable(&self) -> Result<i32, StorageError> {
        let state = self.state();
        self.check_usable(&state)?;
        match &state.log.damage {
            Some(detail) => Err(StorageError::Corrupt {
                partition: self.id,
                detail: detail.clone(),
            }),
            None => Ok(state.log.leader_epoch),
        }
    }

    /// Whether the producer may write this, and room for it. `Some` when it is here already.
    fn check_producer(
        &self,
        writer: &mut Writer,
        header: &BatchHeader,
        entry: &Entry,
    ) -> Result<Option<Sent>, StorageError> {
        if header.producer_id < 0 {
            return Ok(None);
        }
        match entry {
            Entry::Marker(marker) => writer.producers.check_marker(marker)?,
            Entry::Data(Origin::Coordinator) => {
                writer.producers.check_epoch(producer_of(header))?;
            }
            Entry::Data(origin) => {
                let guard = match origin {
                    Origin::Verified(guard) => Some(*guard),
                    _ => None,
                };
                if let Some(sent) = writer.check_client(header, guard)? {
                    return Ok(Some(sent));
                }
            }
        }
        let limit = self.shared.options.producers_max;
        let has_room = writer.producers.make_room(header.producer_id, limit);
        // An end of a transaction is never refused, whether or not it is remembered.
        if has_room || matches!(entry, Entry::Marker(_)) {
            Ok(None)
        } else {
            Err(StorageError::TooManyTransactions { limit })
        }
    }

    /// Show a batch that was written, to whom it may be shown (DC8).
    fn publish(
        &self,
        written: &Written<'_>,
        mut appended: Appended,
        settings: &LogSettings,
    ) -> Step {
        let mut state = self.state();
        let moved = state.log.publish(written);
        appended.start_offset = state.log.offsets().start;
        // `flush.messages` has Kafka's meaning: the append that reaches it waits for the sync.
        let waits =
            written.wait_for_sync || state.log.unsynced_records() >= settings.flush_messages;
        let unsynced_ms = state.log.unsynced_ms(written.now_ms);
        let step = if waits {
            Step::Waits(appended, state.wait(appended.end_offset))
        } else {
            Step::Done(appended)
        };
        let asks = (waits || unsynced_ms >= settings.flush_ms) && state.asks();
        let woken = if moved { state.wake() } else { Vec::new() };
        drop(state);
        self.after(asks, woken);
        step
    }

    pub(super) fn after(&self, asks: bool, woken: Vec<Arc<Notify>>) {
        if asks {
            self.shared.flusher.request(self.this());
        }
        for notify in woken {
            notify.notify_one();
        }
    }

    /// The answer to a batch that is here already waits for the sync of the original (P-15).
    fn duplicate(&self, base: Offset, end: Offset, durability: Durability) -> Step {
        let mut state = self.state();
        let appended = Appended {
            base_offset: base,
            end_offset: end,
            log_append_time_ms: -1,
            start_offset: state.log.offsets().start,
            duplicate: true,
        };
        if durability == Durability::Written || end <= state.log.durable().offset {
            return Step::Done(appended);
        }
        let receiver = state.wait(end);
        let asks = state.asks();
        drop(state);
        self.after(asks, Vec::new());
        Step::Waits(appended, receiver)
    }

    /// Leave an open segment with room for the batch.
    fn make_room(
        &self,
        writer: &mut Writer,
        header: &BatchHeader,
        timestamp: i64,
        settings: &LogSettings,
        now_ms: i64,
    ) -> Result<(), StorageError> {
        if writer.active.is_none() {
            writer.active = self.reopen_active()?;
        }
        let due = match &writer.active {
            None => true,
            Some(active) => active.is_due(header, timestamp, writer.end, settings, now_ms),
        };
        if due {
            writer.active = Some(self.roll(writer.end, now_ms)?);
        }
        Ok(())
    }

    /// Open the last segment for writing, if there is one.
    fn reopen_active(&self) -> Result<Option<Active>, StorageError> {
        let (base, size, aborted, first_timestamp, created_ms, unloaded) = {
            let state = self.state();
            let Some(last) = state.log.segments().last() else {
                return Ok(None);
            };
            let unloaded = !matches!(last.index, Index::Memory(_));
            (
                last.base,
                last.size,
                last.aborted.len(),
                last.first_timestamp,
                last.created_ms,
                unloaded,
            )
        };
        if unloaded {
            self.load_index(base)?;
        }
        let path = segment::path(&self.dir, base, "log");
        let file = self
            .shared
            .open_segment_file(&path, Open::Write)
            .map_err(|error| self.refused(error))?;
        if let Some(last) = self.state().log.segment_mut(base) {
            if let Index::Mapped(index) = &last.index {
                last.index = Index::Memory(index.entries());
            }
            last.file = Some(Arc::clone(&file));
        }
        Ok(Some(Active {
            file,
            base,
            size,
            aborted,
            first_timestamp,
            created_ms,
        }))
    }

    /// Begin a segment at the end of the log; the first one makes the directory.
    fn roll(&self, end: Offset, now_ms: i64) -> Result<Active, StorageError> {
        let disk = &self.shared.disk;
        if self.state().is_dir_new {
            disk.create_dir(&self.dir)
                .map_err(|error| self.refused(error))?;
        }
        let path = segment::path(&self.dir, end, "log");
        let file = self
            .shared
            .open_segment_file(&path, Open::Truncate)
            .map_err(|error| self.refused(error))?;
        self.state().log.roll(Arc::clone(&file), now_ms);
        self.shared.rolled.store(true, Ordering::Relaxed);
        Ok(Active {
            file,
            base: end,
            size: 0,
            aborted: 0,
            first_timestamp: -1,
            created_ms: now_ms,
        })
    }

    /// A write failed. Out of space: the file is cut back to its last whole batch first, and the
    /// log goes on (DC5). Anything else ends the engine.
    fn write_failed(&self, active: &Active, error: io::Error) -> StorageError {
        let refused = self.refused(error);
        if matches!(refused, StorageError::DiskFull | StorageError::TooManyFiles)
            // Durably: were the next batch to open a new segment, nothing would sync this one
            // again, and a power cut could leave the torn bytes in the middle of the log.
            && let Err(error) =
                active.file.set_len(active.size).and_then(|()| active.file.sync())
        {
            self.shared
                .health
                .fatal(&format!("{} could not be cut back: {error}", self.id));
            return StorageError::Poisoned;
        }
        refused
    }
}
