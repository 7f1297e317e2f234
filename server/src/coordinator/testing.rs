//! An engine and a partition for tests, whose appends can be held back or made to fail.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::{Bytes, BytesMut};
use ratel_storage::transaction::Beginning;
use ratel_storage::{
    AbortedTransaction, Appended, Batch, Bound, Durability, Engine, LogSettings, Marker, Offset,
    Offsets, Origin, Partition, PartitionId, Pending, ProducerSummary, Read, ReadRequest, Slice,
    StorageError, TimeQuery, TimedOffset, TopicId, Verification, Watch,
};
use tokio::sync::{Notify, oneshot};

/// A log in memory under a test's thumb.
#[derive(Default)]
pub(crate) struct TestPartition {
    state: Mutex<TestLog>,
}

#[derive(Default)]
struct TestLog {
    batches: Vec<(Offset, Offset, Bytes)>,
    start: Offset,
    end: Offset,
    synced: Offset,
    /// Syncs wait for [`TestPartition::release`].
    held: Option<Vec<oneshot::Sender<Result<(), StorageError>>>>,
    /// What the next appends answer instead of writing, after so many that pass.
    refusals: Vec<(usize, StorageError)>,
}

impl TestPartition {
    fn state(&self) -> MutexGuard<'_, TestLog> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Hold back all syncs from here on.
    pub(crate) fn hold(&self) {
        self.state().held = Some(Vec::new());
    }

    /// Let the syncs that are held back end well, and later ones pass.
    pub(crate) fn release(&self) {
        let mut state = self.state();
        state.synced = state.end;
        for waiting in state.held.take().unwrap_or_default() {
            let _ = waiting.send(Ok(()));
        }
    }

    /// Let the syncs that are held back fail.
    pub(crate) fn fail_syncs(&self) {
        for waiting in self.state().held.take().unwrap_or_default() {
            let _ = waiting.send(Err(StorageError::DiskFull));
        }
    }

    /// How many syncs are held back.
    pub(crate) fn held(&self) -> usize {
        self.state().held.as_ref().map_or(0, Vec::len)
    }

    /// Have the next append fail.
    pub(crate) fn refuse_next(&self, error: StorageError) {
        self.refuse_after(0, error);
    }

    /// Have one append fail, after so many that pass.
    pub(crate) fn refuse_after(&self, passing: usize, error: StorageError) {
        self.state().refusals.push((passing, error));
    }

    /// The base offsets of all batches that are left.
    pub(crate) fn bases(&self) -> Vec<i64> {
        self.state()
            .batches
            .iter()
            .map(|(base, _, _)| base.get())
            .collect()
    }
}

impl Partition for TestPartition {
    fn id(&self) -> PartitionId {
        PartitionId {
            topic: TopicId::from_u128(7),
            index: 0,
        }
    }

    fn append(
        &self,
        batch: &Batch,
        origin: Origin,
        durability: Durability,
        _now_ms: i64,
    ) -> Pending<Appended> {
        assert_eq!(
            (origin, durability),
            (Origin::Coordinator, Durability::Synced)
        );
        let mut state = self.state();
        match state.refusals.last_mut() {
            Some((0, _)) => {
                let error = state.refusals.pop().expect("there is one").1;
                return Pending::ready(Err(error));
            }
            Some((passing, _)) => *passing -= 1,
            None => {}
        }
        let base_offset = state.end;
        let end_offset = base_offset.plus(i64::from(batch.header().count));
        let mut bytes = BytesMut::from(&batch.bytes()[..]);
        bytes[..8].copy_from_slice(&base_offset.get().to_be_bytes());
        state
            .batches
            .push((base_offset, end_offset, bytes.freeze()));
        state.end = end_offset;
        let appended = Appended {
            base_offset,
            end_offset,
            log_append_time_ms: -1,
            start_offset: state.start,
            duplicate: false,
        };
        match &mut state.held {
            Some(held) => {
                let (sender, receiver) = oneshot::channel();
                held.push(sender);
                Pending::later(async move {
                    receiver
                        .await
                        .unwrap_or(Err(StorageError::Closed))
                        .map(|()| appended)
                })
            }
            None => {
                state.synced = state.end;
                Pending::ready(Ok(appended))
            }
        }
    }

    fn verify(&self, _: &Beginning, _now_ms: i64) -> Result<Verification, StorageError> {
        Ok(Verification::Open)
    }

    fn append_marker(
        &self,
        marker: &Marker,
        durability: Durability,
        now_ms: i64,
    ) -> Pending<Appended> {
        let batch = marker.to_batch(now_ms);
        self.append(&batch, Origin::Coordinator, durability, now_ms)
    }

    fn aborted(&self, _from: Offset, _to: Offset) -> Pending<Vec<AbortedTransaction>> {
        Pending::ready(Ok(Vec::new()))
    }

    fn read(&self, request: ReadRequest) -> Pending<Read> {
        let state = self.state();
        let mut records = BytesMut::new();
        for (_, end, bytes) in &state.batches {
            let fits = records.len() + bytes.len() <= request.max_bytes || records.is_empty();
            if *end > request.from && fits {
                records.extend_from_slice(bytes);
            }
        }
        drop(state);
        Pending::ready(Ok(Read {
            records: (!records.is_empty()).then(|| Slice::Bytes(records.freeze())),
            offsets: self.offsets(),
            aborted: Vec::new(),
            behind_active: false,
        }))
    }

    fn offsets(&self) -> Offsets {
        let state = self.state();
        Offsets {
            start: state.start,
            stable: state.synced,
            high_watermark: state.synced,
            end: state.end,
            leader_epoch: 0,
        }
    }

    fn watch(&self, _after: Offset, _bound: Bound, _notify: &Arc<Notify>) -> Watch {
        Watch::new(|| {})
    }

    fn offset_at(&self, _: TimeQuery, _: Bound) -> Pending<Option<TimedOffset>> {
        Pending::ready(Ok(None))
    }

    fn advance_start(&self, to: Offset) -> Pending<Offset> {
        let mut state = self.state();
        assert!(
            to <= state.synced,
            "the start stays below the high watermark"
        );
        state.start = state.start.max(to);
        let start = state.start;
        state.batches.retain(|(_, end, _)| *end > start);
        Pending::ready(Ok(start))
    }

    fn producers(&self) -> Vec<ProducerSummary> {
        Vec::new()
    }

    fn epoch_end(&self, _epoch: i32) -> Option<(i32, Offset)> {
        None
    }

    fn size(&self) -> u64 {
        0
    }

    fn segments(&self) -> usize {
        1
    }

    fn damage(&self) -> Option<String> {
        None
    }
}

type Logs = BTreeMap<PartitionId, (Arc<TestPartition>, Arc<LogSettings>)>;

/// Logs in memory, which a test can look at.
#[derive(Default)]
pub(crate) struct TestEngine {
    logs: Mutex<Logs>,
}

impl TestEngine {
    fn logs(&self) -> MutexGuard<'_, Logs> {
        self.logs.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What is open, in the order of the ids.
    pub(crate) fn ids(&self) -> Vec<PartitionId> {
        self.logs().keys().copied().collect()
    }

    /// How a log was last told to behave.
    pub(crate) fn settings(&self, id: PartitionId) -> Option<Arc<LogSettings>> {
        self.logs().get(&id).map(|(_, settings)| settings.clone())
    }

    /// A log, to put under the test's thumb.
    pub(crate) fn log(&self, id: PartitionId) -> Option<Arc<TestPartition>> {
        self.logs().get(&id).map(|(log, _)| log.clone())
    }
}

impl Engine for TestEngine {
    fn open(
        &self,
        id: PartitionId,
        settings: Arc<LogSettings>,
    ) -> Result<Arc<dyn Partition>, StorageError> {
        let mut logs = self.logs();
        let (log, current) = logs
            .entry(id)
            .or_insert_with(|| (Arc::default(), settings.clone()));
        *current = settings;
        Ok(log.clone())
    }

    fn partition(&self, id: PartitionId) -> Option<Arc<dyn Partition>> {
        self.log(id).map(|log| log as Arc<dyn Partition>)
    }

    fn delete(&self, id: PartitionId) -> Result<(), StorageError> {
        self.logs().remove(&id);
        Ok(())
    }

    fn stored(&self) -> Result<Vec<PartitionId>, StorageError> {
        Ok(self.ids())
    }

    fn upkeep(&self, _now_ms: i64) {}

    fn cuts(&self) -> u64 {
        0
    }

    fn complaints(&self) -> Vec<String> {
        Vec::new()
    }

    fn close(&self) -> Pending<()> {
        Pending::ready(Ok(()))
    }
}
