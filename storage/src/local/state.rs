//! What readers and the flusher look at, and who waits for it.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use tokio::sync::{Notify, oneshot};

use crate::local::Shared;
use crate::local::checkpoint::Section;
use crate::local::compaction::cleaned::Cleaned;
use crate::log::{Log, Place};
use crate::{Bound, Offset, StorageError};

/// Somebody who waits for a sync.
pub(super) struct Waiter {
    end: Offset,
    pub done: oneshot::Sender<Result<(), StorageError>>,
}

/// Somebody who waits for more to read.
struct Watcher {
    id: u64,
    after: Offset,
    bound: Bound,
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
    pub is_queued: bool,
    /// Whether the partition's directory has no durable entry in its own parent.
    pub is_dir_new: bool,
    pub is_deleted: bool,
    /// Segments that were dropped, whose files are to go.
    pub doomed: Vec<Doomed>,
    /// How far the log was cleaned, and what was swapped since the last checkpoint.
    pub cleaned: Cleaned,
    /// The checkpoint that tells of the last swap.
    pub swapped_at: u64,
    /// How far the last checkpoint on the disk lets the log be cleaned.
    pub checkpointed: Place,
    /// Why the log cannot be cleaned.
    pub uncleanable: Option<String>,
    /// What the checkpoint must go on saying of a partition that was found damaged.
    pub kept: Option<Section>,
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

impl State {
    /// Nobody waits yet.
    pub fn new(log: Log, is_dir_new: bool, doomed: Vec<Doomed>, kept: Option<Section>) -> Self {
        Self {
            log,
            waiters: VecDeque::new(),
            watchers: Vec::new(),
            watcher_id: 0,
            is_queued: false,
            is_dir_new,
            is_deleted: false,
            doomed,
            cleaned: Cleaned::default(),
            swapped_at: 0,
            checkpointed: Place::default(),
            uncleanable: None,
            kept,
        }
    }

    /// Whether somebody waits for a sync.
    pub fn has_waiters(&self) -> bool {
        !self.waiters.is_empty()
    }

    /// Whether the flusher must be asked: not if it was asked and has not come yet.
    pub(super) fn asks(&mut self) -> bool {
        !std::mem::replace(&mut self.is_queued, true)
    }

    /// Wait until everything before `end` is durable.
    pub(super) fn wait(&mut self, end: Offset) -> oneshot::Receiver<Result<(), StorageError>> {
        let (done, receiver) = oneshot::channel();
        let at = if self.waiters.back().is_none_or(|last| last.end <= end) {
            self.waiters.len()
        } else {
            self.waiters.partition_point(|waiter| waiter.end <= end)
        };
        self.waiters.insert(at, Waiter { end, done });
        receiver
    }

    /// Those for whom there is something. Called when the high watermark has moved, as the last
    /// stable offset does with it at most.
    pub(super) fn wake(&mut self) -> Vec<Arc<Notify>> {
        let offsets = self.log.offsets();
        let mut woken = Vec::new();
        self.watchers.retain(|watcher| {
            let passed = watcher.after < offsets.below(watcher.bound);
            if passed {
                woken.push(Arc::clone(&watcher.notify));
            }
            !passed
        });
        woken
    }

    /// Everybody who waits for more to read.
    pub(super) fn wake_all(&mut self) -> Vec<Arc<Notify>> {
        self.watchers
            .drain(..)
            .map(|watcher| watcher.notify)
            .collect()
    }

    /// Those whose records are durable now.
    pub(super) fn take_synced(&mut self) -> Vec<Waiter> {
        let durable = self.log.durable().offset;
        let done = self.waiters.partition_point(|waiter| waiter.end <= durable);
        self.waiters.drain(..done).collect()
    }

    /// Everybody who waits for a sync.
    pub(super) fn take_all(&mut self) -> VecDeque<Waiter> {
        std::mem::take(&mut self.waiters)
    }

    /// Wake `notify` once when `bound` passes `after`. Gives a number to take it back.
    pub(super) fn watch(&mut self, after: Offset, bound: Bound, notify: &Arc<Notify>) -> u64 {
        self.watcher_id += 1;
        self.watchers.push(Watcher {
            id: self.watcher_id,
            after,
            bound,
            notify: Arc::clone(notify),
        });
        self.watcher_id
    }

    /// Take a watch back.
    pub(super) fn unwatch(&mut self, id: u64) {
        if let Some(at) = self.watchers.iter().position(|watcher| watcher.id == id) {
            self.watchers.swap_remove(at);
        }
    }
}
