//! One partition of the local engine: the append, and what waits for it.
//!
//! Two locks. `writer` is held over check, assign, write and publish, by one appender at a time.
//! `state` is what readers and the flusher look at; it is never held over a system call. The
//! order is `writer`, then `state`.

use std::collections::VecDeque;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock, Weak};

use rustix::io::Errno;
use tokio::sync::{Notify, oneshot};

use crate::batch::BatchHeader;
use crate::disk::{File, Open};
use crate::engine::Pending;
use crate::local::checkpoint::Section;
use crate::local::flusher::{Dirty, DirtyFile, Source};
use crate::local::{Shared, lock};
use crate::log::index::Index;
use crate::log::segment;
use crate::log::writer::{Active, Head, Writer};
use crate::log::{Found, Log, Place, Written, checks};
use crate::{
    Appended, Batch, Durability, LogSettings, Offset, Offsets, Origin, Partition, PartitionId,
    ProducerSummary, Read, ReadRequest, StorageError, TimeQuery, TimedOffset, Watch,
};

/// Somebody who waits for a sync.
struct Waiter {
    end: Offset,
    done: oneshot::Sender<Result<(), StorageError>>,
}

/// Somebody who waits for the high watermark.
struct Watcher {
    id: u64,
    after: Offset,
    notify: Arc<Notify>,
}

/// What readers and the flusher look at.
pub(crate) struct State {
    /// The log.
    pub log: Log,
    /// By the offset they wait for.
    waiters: VecDeque<Waiter>,
    watchers: Vec<Watcher>,
    watcher_id: u64,
    /// Whether the flusher was asked and has not come yet.
    is_queued: bool,
    /// Whether the partition's directory has no durable entry in its own parent.
    is_dir_new: bool,
    is_deleted: bool,
    /// Segments that were dropped, whose files are to go.
    pub doomed: Vec<Doomed>,
    /// What the checkpoint must go on saying of a partition that was found damaged.
    pub kept: Option<Section>,
}

/// One partition.
pub(crate) struct LocalPartition {
    /// Its id.
    pub id: PartitionId,
    /// Its directory.
    pub dir: PathBuf,
    pub(super) shared: Arc<Shared>,
    this: Weak<Self>,
    settings: RwLock<Arc<LogSettings>>,
    pub(super) writer: Mutex<Writer>,
    state: Mutex<State>,
    /// Held while the start moves.
    pub(super) start_mover: Mutex<()>,
}

/// A segment that was dropped.
pub(crate) struct Doomed {
    pub base: Offset,
    /// When its files may go, wall time, ms; set by the first upkeep that sees it.
    pub due_ms: Option<i64>,
    /// The checkpoint that must be written first: producers may be known from here alone.
    pub checkpoint: u64,
}

impl Doomed {
    pub fn new(base: Offset, shared: &Shared) -> Self {
        Self {
            base,
            due_ms: None,
            checkpoint: shared.checkpoints_begun.load(Ordering::SeqCst) + 1,
        }
    }
}

/// What a partition is opened with.
pub(crate) struct Recovered {
    pub found: Found,
    pub writer: Writer,
    /// Whether its directory exists.
    pub has_dir: bool,
    /// What the checkpoint must go on saying of it, if it is damaged.
    pub kept: Option<Section>,
    /// Segments that lie before the start, whose files are to go.
    pub dropped: Vec<Offset>,
}

/// A batch in the file, and what its answer waits for.
enum Step {
    Done(Appended),
    Waits(Appended, oneshot::Receiver<Result<(), StorageError>>),
}

impl LocalPartition {
    pub fn new(
        id: PartitionId,
        dir: PathBuf,
        shared: Arc<Shared>,
        settings: Arc<LogSettings>,
        recovered: Recovered,
    ) -> Arc<Self> {
        let leader_epoch = shared.leader_epoch();
        let dropped = recovered.dropped.into_iter();
        let doomed = dropped.map(|base| Doomed::new(base, &shared)).collect();
        Arc::new_cyclic(|this| Self {
            id,
            dir,
            shared,
            this: Weak::clone(this),
            settings: RwLock::new(settings),
            writer: Mutex::new(recovered.writer),
            start_mover: Mutex::new(()),
            state: Mutex::new(State {
                log: Log::new(recovered.found, leader_epoch),
                waiters: VecDeque::new(),
                watchers: Vec::new(),
                watcher_id: 0,
                is_queued: false,
                is_dir_new: !recovered.has_dir,
                is_deleted: false,
                doomed,
                kept: recovered.kept,
            }),
        })
    }

    /// The settings in force.
    pub fn settings(&self) -> Arc<LogSettings> {
        Arc::clone(&self.settings.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// Take new settings.
    pub fn set_settings(&self, settings: Arc<LogSettings>) {
        *self
            .settings
            .write()
            .unwrap_or_else(PoisonError::into_inner) = settings;
    }

    /// A handle of this partition that may be kept.
    pub(super) fn this(&self) -> Arc<Self> {
        self.this
            .upgrade()
            .expect("whoever calls holds the partition")
    }

    /// What readers look at.
    pub fn state(&self) -> MutexGuard<'_, State> {
        lock(&self.state)
    }

    pub(super) fn check_usable(&self, state: &State) -> Result<(), StorageError> {
        if state.is_deleted {
            return Err(StorageError::UnknownPartition(self.id));
        }
        Ok(())
    }

    fn append_now(
        &self,
        batch: &Batch,
        origin: Origin,
        durability: Durability,
        now_ms: i64,
    ) -> Result<Step, StorageError> {
        let settings = self.settings();
        match origin {
            Origin::Client => checks::check_client(batch, &settings, now_ms)?,
            Origin::Coordinator => checks::check_segment(batch.header(), &settings)?,
        }
        let mut head = Head::new(batch, settings.timestamp_type, now_ms);
        let mut writer = lock(&self.writer);
        self.shared.health.check_open()?;
        let leader_epoch = self.check_writable()?;
        if let Some(sent) = writer.producers.check(batch.header())? {
            return Ok(self.duplicate(sent.base, sent.end, durability));
        }
        self.make_room(&mut writer, batch.header(), &settings, now_ms)?;
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
        self.remember(&mut writer, batch.header(), base, now_ms);
        Ok(self.publish(
            &writer,
            batch,
            &head,
            place,
            leader_epoch,
            durability,
            now_ms,
        ))
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

    fn remember(&self, writer: &mut Writer, header: &BatchHeader, base: Offset, now_ms: i64) {
        if header.producer_id < 0 {
            return;
        }
        if !writer.producers.contains(header.producer_id) {
            writer.producers.limit(self.shared.options.producers_max);
        }
        writer.producers.apply(header, base, now_ms);
    }

    #[allow(clippy::too_many_arguments)]
    fn publish(
        &self,
        writer: &Writer,
        batch: &Batch,
        head: &Head,
        place: Place,
        leader_epoch: i32,
        durability: Durability,
        now_ms: i64,
    ) -> Step {
        let settings = self.settings();
        let mut state = self.state();
        let moved = state.log.publish(&Written {
            place,
            header: batch.header(),
            max_timestamp: head.max_timestamp,
            leader_epoch,
            wait_for_sync: durability == Durability::Synced,
            index_interval_bytes: settings.index_interval_bytes,
            now_ms,
        });
        let appended = Appended {
            base_offset: place.offset,
            end_offset: writer.end,
            log_append_time_ms: head.log_append_time_ms,
            start_offset: state.log.offsets().start,
            duplicate: false,
        };
        // `flush.messages` has Kafka's meaning: the append that reaches it waits for the sync.
        let waits = durability == Durability::Synced
            || state.log.unsynced_records() >= settings.flush_messages;
        let overdue = state
            .log
            .unsynced_since_ms()
            .is_some_and(|since| now_ms.saturating_sub(since) >= settings.flush_ms);
        let step = if waits {
            Step::Waits(appended, state.wait(writer.end))
        } else {
            Step::Done(appended)
        };
        let asks = (waits || overdue) && state.asks();
        let woken = if moved { state.wake() } else { Vec::new() };
        drop(state);
        self.after(asks, woken);
        step
    }

    pub(super) fn after(&self, asks: bool, woken: Vec<Arc<Notify>>) {
        if asks && let Some(this) = self.this.upgrade() {
            self.shared.flusher.request(this);
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
        settings: &LogSettings,
        now_ms: i64,
    ) -> Result<(), StorageError> {
        if writer.active.is_none() {
            writer.active = self.reopen_active()?;
        }
        let due = match &writer.active {
            None => true,
            Some(active) => active.is_due(header, writer.end, settings, now_ms),
        };
        if due {
            writer.active = Some(self.roll(writer.end, now_ms)?);
        }
        Ok(())
    }

    /// Open the last segment for writing, if there is one.
    fn reopen_active(&self) -> Result<Option<Active>, StorageError> {
        let (base, size, first_timestamp, created_ms, unloaded) = {
            let state = self.state();
            let Some(last) = state.log.segments().last() else {
                return Ok(None);
            };
            let unloaded = !matches!(last.index, Index::Memory(_));
            (
                last.base,
                last.size,
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
            first_timestamp: -1,
            created_ms: now_ms,
        })
    }

    /// A write failed. Out of space: the file is cut back to its last whole batch first, and the
    /// log goes on (DC5). Anything else ends the engine.
    fn write_failed(&self, active: &Active, error: io::Error) -> StorageError {
        let refused = self.refused(error);
        if matches!(refused, StorageError::DiskFull | StorageError::TooManyFiles)
            && let Err(error) = active.file.set_len(active.size)
        {
            self.shared
                .health
                .fatal(&format!("{} could not be cut back: {error}", self.id));
            return StorageError::Poisoned;
        }
        refused
    }

    /// What a failed open, write or rename means (DC5).
    pub(super) fn refused(&self, error: io::Error) -> StorageError {
        self.shared.refused(&self.id.to_string(), error)
    }

    /// No more of this partition: waiters and watchers are let go.
    pub fn mark_deleted(&self) {
        let mut state = self.state();
        state.is_deleted = true;
        state.waiters.clear();
        let woken = state.wake_all();
        drop(state);
        self.after(false, woken);
    }

    /// Ask the flusher to sync what is unsynced, if anything is.
    pub fn request_sync(&self) {
        let mut state = self.state();
        let dirty = state.log.unsynced_since_ms().is_some();
        let asks = dirty && state.asks();
        drop(state);
        self.after(asks, Vec::new());
    }

    /// The open file of a segment.
    pub(super) fn file(
        &self,
        base: Offset,
        open: Option<Arc<dyn File>>,
    ) -> Result<Arc<dyn File>, StorageError> {
        if let Some(file) = open {
            return Ok(file);
        }
        let path = segment::path(&self.dir, base, "log");
        let file = self
            .shared
            .open_segment_file(&path, Open::Write)
            .map_err(read_failed)?;
        if let Some(segment) = self.state().log.segment_mut(base) {
            segment.file.get_or_insert_with(|| Arc::clone(&file));
            segment.used = true;
        }
        Ok(file)
    }
}

impl Shared {
    /// What a failed open, write or rename means (DC5).
    pub(super) fn refused(&self, what: &str, error: io::Error) -> StorageError {
        match Errno::from_io_error(&error) {
            Some(Errno::NOSPC | Errno::DQUOT) => {
                self.is_full.store(true, Ordering::Relaxed);
                StorageError::DiskFull
            }
            Some(Errno::MFILE | Errno::NFILE) => StorageError::TooManyFiles,
            _ => {
                self.health
                    .fatal(&format!("a write to {what} failed: {error}"));
                StorageError::Poisoned
            }
        }
    }

    /// Open a segment. Without a descriptor left, idle ones are closed first.
    pub(super) fn open_segment_file(&self, path: &Path, how: Open) -> io::Result<Arc<dyn File>> {
        if self.handles.open() >= self.options.open_files_max {
            self.close_idle_files();
        }
        match self.disk.open(path, how) {
            Err(error)
                if matches!(
                    Errno::from_io_error(&error),
                    Some(Errno::MFILE | Errno::NFILE)
                ) =>
            {
                self.close_all_idle();
                self.disk.open(path, how)
            }
            opened => opened,
        }
    }
}

/// A failed read harms nothing but the answer.
pub(crate) fn read_failed(error: io::Error) -> StorageError {
    match Errno::from_io_error(&error) {
        Some(Errno::MFILE | Errno::NFILE) => StorageError::TooManyFiles,
        _ => StorageError::Io(Arc::new(error)),
    }
}

impl State {
    /// Whether the partition was deleted.
    pub fn is_deleted(&self) -> bool {
        self.is_deleted
    }

    /// Whether somebody waits for a sync.
    pub fn has_waiters(&self) -> bool {
        !self.waiters.is_empty()
    }

    /// Whether the flusher must be asked: not if it was asked and has not come yet.
    fn asks(&mut self) -> bool {
        !std::mem::replace(&mut self.is_queued, true)
    }

    fn wait(&mut self, end: Offset) -> oneshot::Receiver<Result<(), StorageError>> {
        let (done, receiver) = oneshot::channel();
        let at = if self.waiters.back().is_none_or(|last| last.end <= end) {
            self.waiters.len()
        } else {
            self.waiters.partition_point(|waiter| waiter.end <= end)
        };
        self.waiters.insert(at, Waiter { end, done });
        receiver
    }

    /// Those that the high watermark has passed.
    fn wake(&mut self) -> Vec<Arc<Notify>> {
        let high = self.log.offsets().high_watermark;
        let mut woken = Vec::new();
        self.watchers.retain(|watcher| {
            let passed = watcher.after < high;
            if passed {
                woken.push(Arc::clone(&watcher.notify));
            }
            !passed
        });
        woken
    }

    pub(super) fn wake_all(&mut self) -> Vec<Arc<Notify>> {
        self.watchers
            .drain(..)
            .map(|watcher| watcher.notify)
            .collect()
    }

    fn take_synced(&mut self) -> Vec<Waiter> {
        let durable = self.log.durable().offset;
        let done = self.waiters.partition_point(|waiter| waiter.end <= durable);
        self.waiters.drain(..done).collect()
    }
}

impl Source for LocalPartition {
    fn take_dirty(&self) -> Result<Option<Dirty>, StorageError> {
        let (mut files, through, dirs) = {
            let mut state = self.state();
            state.is_queued = false;
            if state.is_deleted {
                return Ok(None);
            }
            let files: Vec<_> = state
                .log
                .unsynced()
                .map(|(segment, from)| (segment.base, segment.file.clone(), from, segment.size))
                .collect();
            if files.is_empty() {
                return Ok(None);
            }
            let mut dirs = Vec::new();
            if state.is_dir_new {
                dirs.push(self.shared.topics_dir.clone());
            }
            if state.log.has_unsynced_entry() {
                dirs.push(self.dir.clone());
            }
            (files, state.log.end(), dirs)
        };
        let files = files
            .drain(..)
            .map(|(base, open, from, to)| {
                let file = self.file(base, open)?;
                Ok(DirtyFile {
                    file,
                    base,
                    from,
                    to,
                })
            })
            .collect::<Result<_, StorageError>>()?;
        Ok(Some(Dirty {
            partition: self.id,
            dirs,
            files,
            through,
        }))
    }

    fn synced(&self, through: Place) -> u64 {
        let mut state = self.state();
        state.is_dir_new = false;
        let before = state.log.durable().offset.get();
        let moved = state.log.synced(through);
        let records = state.log.durable().offset.get() - before;
        let done = state.take_synced();
        let woken = if moved { state.wake() } else { Vec::new() };
        drop(state);
        // Readers first: who gets an answer finds what was answered visible and announced.
        self.after(false, woken);
        for waiter in done {
            // A receiver that is gone no longer wants to know.
            let _ = waiter.done.send(Ok(()));
        }
        // What is durable never shrinks.
        u64::try_from(records).unwrap_or(0)
    }

    fn failed(&self) {
        let waiters = std::mem::take(&mut self.state().waiters);
        for waiter in waiters {
            let _ = waiter.done.send(Err(StorageError::Poisoned));
        }
    }
}

impl Partition for LocalPartition {
    fn id(&self) -> PartitionId {
        self.id
    }

    fn append(
        &self,
        batch: &Batch,
        origin: Origin,
        durability: Durability,
        now_ms: i64,
    ) -> Pending<Appended> {
        match self.append_now(batch, origin, durability, now_ms) {
            Ok(Step::Done(appended)) => Pending::ready(Ok(appended)),
            Ok(Step::Waits(appended, done)) => {
                let id = self.id;
                Pending::later(async move {
                    match done.await {
                        Ok(outcome) => outcome.map(|()| appended),
                        Err(_) => Err(StorageError::UnknownPartition(id)),
                    }
                })
            }
            Err(error) => Pending::ready(Err(error)),
        }
    }

    fn read(&self, request: ReadRequest) -> Pending<Read> {
        match self.read_at_hand(&request) {
            Ok(Some(read)) => Pending::ready(Ok(read)),
            Ok(None) => {
                let this = self.this();
                self.shared.workers.run(move || this.read_now(&request))
            }
            Err(error) => Pending::ready(Err(error)),
        }
    }

    fn offsets(&self) -> Offsets {
        self.state().log.offsets()
    }

    fn watch(&self, after: Offset, notify: &Arc<Notify>) -> Watch {
        let mut state = self.state();
        if state.is_deleted || state.log.offsets().high_watermark > after {
            drop(state);
            notify.notify_one();
            return Watch::new(|| {});
        }
        state.watcher_id += 1;
        let id = state.watcher_id;
        state.watchers.push(Watcher {
            id,
            after,
            notify: Arc::clone(notify),
        });
        let this = Weak::clone(&self.this);
        Watch::new(move || {
            if let Some(this) = this.upgrade() {
                let mut state = this.state();
                if let Some(at) = state.watchers.iter().position(|watcher| watcher.id == id) {
                    state.watchers.swap_remove(at);
                }
            }
        })
    }

    fn offset_at(&self, query: TimeQuery, bound: crate::Bound) -> Pending<Option<TimedOffset>> {
        let this = self.this();
        self.shared
            .workers
            .run(move || this.offset_at_now(query, bound))
    }

    fn advance_start(&self, to: Offset) -> Pending<Offset> {
        let this = self.this();
        self.shared.workers.run(move || this.advance_start_now(to))
    }

    fn producers(&self) -> Vec<ProducerSummary> {
        lock(&self.writer).producers.summaries()
    }

    fn epoch_end(&self, epoch: i32) -> Option<(i32, Offset)> {
        let state = self.state();
        let end = state.log.end().offset;
        state
            .log
            .epochs()
            .end_of(epoch, state.log.leader_epoch, end)
    }

    fn size(&self) -> u64 {
        self.state().log.size()
    }

    fn segments(&self) -> usize {
        self.state().log.segments().len()
    }

    fn damage(&self) -> Option<String> {
        self.state().log.damage.clone()
    }
}
