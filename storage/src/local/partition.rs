//! One partition of the local engine: the append, and what waits for it.
//!
//! Two locks. `writer` is held over check, assign, write and publish, by one appender at a time.
//! `state` is what readers and the flusher look at; it is never held over a system call. The
//! order is `writer`, then `state`.

use std::path::PathBuf;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock, Weak};

use tokio::sync::Notify;

use crate::engine::Pending;
use crate::local::append::Step;
use crate::local::checkpoint::Section;
use crate::local::compaction::cleaned::Cleaned;
use crate::local::flusher::{Dirty, DirtyFile, Source};
use crate::local::state::{Doomed, State};
use crate::local::{Shared, lock};
use crate::log::writer::Writer;
use crate::log::{Found, Log, Place};
use crate::transaction::{AbortedTransaction, Beginning, Marker, Verification};
use crate::{
    Appended, Batch, Bound, Durability, LogSettings, Offset, Offsets, Origin, Partition,
    PartitionId, ProducerSummary, Read, ReadRequest, StorageError, TimeQuery, TimedOffset, Watch,
};

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
    /// Held while the start moves, indexes are written, the log is synced outside of a round, or
    /// segments are replaced: whatever upkeep writes there, which a deletion waits for.
    pub(super) start_mover: Mutex<()>,
    /// Held while the log is cleaned.
    pub(super) cleaning: Mutex<()>,
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
    /// How far the log was cleaned.
    pub cleaned: Cleaned,
    /// As [`Section::cleanable`].
    pub checkpointed: Place,
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
        let log = Log::new(recovered.found, leader_epoch);
        let mut state = State::new(log, !recovered.has_dir, doomed, recovered.kept);
        state.cleaned = recovered.cleaned;
        state.swapped_at = shared.checkpoints_begun.load(Ordering::SeqCst) + 1;
        state.checkpointed = recovered.checkpointed;
        Arc::new_cyclic(|this| Self {
            id,
            dir,
            shared,
            this: Weak::clone(this),
            settings: RwLock::new(settings),
            writer: Mutex::new(recovered.writer),
            start_mover: Mutex::new(()),
            cleaning: Mutex::new(()),
            state: Mutex::new(state),
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

    /// No more of this partition: waiters and watchers are let go.
    pub fn mark_deleted(&self) {
        let mut state = self.state();
        state.is_deleted = true;
        let waiters = state.take_all();
        let woken = state.wake_all();
        drop(state);
        // Waiters hear of it by losing their senders.
        drop(waiters);
        self.after(false, woken);
    }

    fn answer(&self, step: Result<Step, StorageError>) -> Pending<Appended> {
        match step {
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

    /// Ask the flusher to sync what is unsynced, if anything is.
    pub fn request_sync(&self) {
        let mut state = self.state();
        let dirty = state.log.is_unsynced();
        let asks = dirty && state.asks();
        drop(state);
        self.after(asks, Vec::new());
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
                .map(|(segment, from)| {
                    let which = (segment.base, segment.version);
                    (which, segment.file.clone(), from, segment.size)
                })
                .collect();
            // A segment can be new and empty: its first write was refused.
            if files.is_empty() && !state.log.has_unsynced_entry() {
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
            .map(|((base, version), open, from, to)| {
                let file = self.file(base, version, open)?;
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
        let waiters = self.state().take_all();
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
        self.answer(self.append_now(batch, origin, durability, now_ms))
    }

    fn verify(&self, beginning: &Beginning, now_ms: i64) -> Result<Verification, StorageError> {
        let mut writer = lock(&self.writer);
        self.check_usable(&self.state())?;
        writer.producers.check_epoch(beginning.producer)?;
        if writer.producers.is_open(beginning.producer) {
            return Ok(Verification::Open);
        }
        let limit = self.shared.options.producers_max;
        let guard = writer.verifications.ask(beginning, limit, now_ms);
        Ok(Verification::Needed(guard))
    }

    fn append_marker(
        &self,
        marker: &Marker,
        durability: Durability,
        now_ms: i64,
    ) -> Pending<Appended> {
        self.answer(self.append_marker_now(marker, durability, now_ms))
    }

    fn aborted(&self, from: Offset, to: Offset) -> Pending<Vec<AbortedTransaction>> {
        let state = self.state();
        Pending::ready(
            self.check_usable(&state)
                .map(|()| state.log.aborted(from, to)),
        )
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

    fn watch(&self, after: Offset, bound: Bound, notify: &Arc<Notify>) -> Watch {
        let mut state = self.state();
        if state.is_deleted || state.log.offsets().below(bound) > after {
            drop(state);
            notify.notify_one();
            return Watch::new(|| {});
        }
        let id = state.watch(after, bound, notify);
        drop(state);
        let this = Weak::clone(&self.this);
        Watch::new(move || {
            if let Some(this) = this.upgrade() {
                this.state().unwatch(id);
            }
        })
    }

    fn offset_at(&self, query: TimeQuery, bound: Bound) -> Pending<Option<TimedOffset>> {
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

    fn producer(&self, id: i64) -> Option<ProducerSummary> {
        lock(&self.writer).producers.summary(id)
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
