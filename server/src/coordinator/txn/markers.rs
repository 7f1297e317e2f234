//! The markers of transactions that are to end: asked for, tried again, written (T-15).
//!
//! News of markers comes late, also from before a failure of the shard. What names another
//! transaction of the id means nothing.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use ratel_storage::Offset;

use super::limits::MARKERS_BACKOFF_MS;
use super::{Action, Partitions, ProducerId, TransactionMachine, WriteMarkers};
use crate::clock::Timestamp;
use crate::coordinator::Effects;

/// The transactions of a shard whose markers are not all written.
#[derive(Debug, Default)]
pub(super) struct Markers {
    unfinished: BTreeMap<Arc<str>, Unfinished>,
    /// When some are tried again, monotonic ms.
    due: BTreeSet<(i64, Arc<str>)>,
}

#[derive(Debug)]
struct Unfinished {
    /// Where it is written down how the transaction ends.
    prepared_at: Offset,
    backoff_ms: i64,
    /// What is to be tried again, and when.
    retry: Option<(i64, Partitions)>,
}

impl Markers {
    /// It is written down, here, how the id's transaction ends.
    pub(super) fn prepared(&mut self, id: &Arc<str>, prepared_at: Offset) {
        let unfinished = Unfinished {
            prepared_at,
            backoff_ms: MARKERS_BACKOFF_MS.0,
            retry: None,
        };
        self.forget(id);
        self.unfinished.insert(id.clone(), unfinished);
    }

    /// The id has no transaction that is to end.
    pub(super) fn forget(&mut self, id: &Arc<str>) {
        let known = self.unfinished.remove(id);
        if let Some((at_ms, _)) = known.and_then(|known| known.retry) {
            self.due.remove(&(at_ms, id.clone()));
        }
    }

    /// When markers are tried again next, monotonic ms.
    pub(super) fn next_ms(&self) -> Option<i64> {
        self.due.first().map(|(at_ms, _)| *at_ms)
    }

    fn prepared_at(&self, id: &str) -> Option<Offset> {
        self.unfinished.get(id).map(|known| known.prepared_at)
    }

    /// Try these again after a while, longer each time.
    fn wait(&mut self, id: &Arc<str>, left: Partitions, now_ms: i64) {
        let Some(known) = self.unfinished.get_mut(id) else {
            return;
        };
        let at_ms = now_ms.saturating_add(known.backoff_ms);
        known.backoff_ms = (known.backoff_ms * 2).min(MARKERS_BACKOFF_MS.1);
        if let Some((before_ms, _)) = known.retry.replace((at_ms, left)) {
            self.due.remove(&(before_ms, id.clone()));
        }
        self.due.insert((at_ms, id.clone()));
    }

    /// One that is due, and what is left of it.
    fn take_due(&mut self, now_ms: i64) -> Option<(Arc<str>, Partitions)> {
        self.due.first().filter(|(at_ms, _)| *at_ms <= now_ms)?;
        let (_, id) = self.due.pop_first()?;
        let retry = self.unfinished.get_mut(&id)?.retry.take();
        retry.map(|(_, left)| (id, left))
    }
}

impl TransactionMachine {
    /// Ask for the markers of a transaction that is to end. Without a partition it has ended.
    pub(super) fn write_markers(&mut self, now: Timestamp, id: &Arc<str>, out: &mut Effects<Self>) {
        let known = self.transactions.get(id);
        let Some((known, commit)) =
            known.and_then(|known| Some((known, known.status.preparing()?)))
        else {
            return;
        };
        if known.partitions.is_empty() {
            return self.complete(now, id, commit, out);
        }
        let all = known.partitions.clone();
        self.ask_for_markers(id, all, out);
    }

    fn ask_for_markers(&self, id: &Arc<str>, partitions: Partitions, out: &mut Effects<Self>) {
        let known = self.transactions.get(id);
        let Some(known) = known.zip(self.markers.prepared_at(id)) else {
            return;
        };
        let (known, prepared_at) = known;
        out.act(Action::WriteMarkers(WriteMarkers {
            id: id.clone(),
            prepared_at,
            producer: ProducerId {
                id: known.producer_id,
                epoch: known.epoch,
            },
            commit: known.status.preparing() == Some(true),
            version: known.client_version,
            partitions,
        }));
    }

    pub(super) fn markers_written(
        &mut self,
        now: Timestamp,
        id: &Arc<str>,
        prepared_at: Offset,
        left: Partitions,
        out: &mut Effects<Self>,
    ) {
        if self.markers.prepared_at(id) != Some(prepared_at) {
            return;
        }
        if !left.is_empty() {
            return self.markers.wait(id, left, now.monotonic_ms);
        }
        let known = self.transactions.get(id);
        if let Some(commit) = known.and_then(|known| known.status.preparing()) {
            self.complete(now, id, commit, out);
        }
    }

    /// Try those again that have waited for long enough.
    pub(super) fn retry_markers(&mut self, now: Timestamp, out: &mut Effects<Self>) {
        while let Some((id, left)) = self.markers.take_due(now.monotonic_ms) {
            self.ask_for_markers(&id, left, out);
        }
    }

    fn complete(&mut self, now: Timestamp, id: &Arc<str>, commit: bool, out: &mut Effects<Self>) {
        if let Some(known) = self.transactions.get(id) {
            let next = known.complete(commit, now.wall_ms);
            self.put(id, next, out);
        }
        self.unpark(now, id, out);
    }
}
