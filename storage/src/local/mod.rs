//! The engine that keeps logs in the files of one directory.
//!
//! ```text
//! <root>/topics/<topic id>-<partition>/00000000000000000000.log    batches, and nothing else
//!                                      00000000000000000000.index  derivable
//!                                      start                       the log's first offset
//! ```
//! `FORMAT.md` draws each file.

mod aborted;
mod access;
mod append;
mod boot;
mod checkpoint;
mod compaction;
mod cut;
pub mod doctor;
mod fields;
mod files;
mod flusher;
mod handles;
mod health;
mod journal;
mod open;
mod partition;
mod read;
mod start;
mod state;
mod time;
mod upkeep;
mod workers;

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicI32, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use dashmap::DashMap;
use dashmap::mapref::entry::Entry;

use crate::disk::Disk;
use crate::engine::{Cleaning, CleaningRules, Pending, Standing};
use crate::local::checkpoint::Section;
use crate::local::flusher::Flusher;
use crate::local::handles::{CountedDisk, Handles};
use crate::local::health::Health;
use crate::local::journal::Journal;
use crate::local::partition::LocalPartition;
use crate::local::upkeep::Schedule;
use crate::local::workers::Workers;
use crate::{Engine, LogSettings, Partition, PartitionId, StorageError};

pub use flusher::{OnRound, RoundEvent};
pub use health::OnFatal;

/// How the local engine behaves. Units are in the names.
#[derive(Clone)]
pub struct LocalOptions {
    /// Names this boot of the machine (`/proc/sys/kernel/random/boot_id`): tells whether the
    /// process died or the machine did (DC6).
    pub boot_id: String,
    /// `producer.id.expiration.ms`: a silent producer is forgotten after this.
    pub producer_expiration_ms: i64,
    /// Producers remembered by one partition at most; the longest silent go first.
    pub producers_max: usize,
    /// Files kept open at most; well below the process's limit of descriptors.
    pub open_files_max: usize,
    /// How often a checkpoint is written: as much is scanned after a crash.
    pub checkpoint_interval_ms: i64,
    /// `log.retention.check.interval.ms`.
    pub retention_check_ms: i64,
    /// Called once, with one sentence, when a disk failure ends the engine: the process must exit
    /// non-zero within a second (DC5).
    pub on_fatal: OnFatal,
    /// Hears of every round of syncs, to count them.
    pub on_round: OnRound,
}

impl Default for LocalOptions {
    fn default() -> Self {
        Self {
            boot_id: String::new(),
            producer_expiration_ms: 86_400_000,
            producers_max: crate::OPEN_TRANSACTIONS_MAX,
            open_files_max: 4096,
            checkpoint_interval_ms: 60_000,
            retention_check_ms: 300_000,
            on_fatal: Arc::new(|_| {}),
            on_round: Arc::new(|_| {}),
        }
    }
}

/// What all partitions share.
pub(crate) struct Shared {
    pub disk: Arc<dyn Disk>,
    pub root: PathBuf,
    pub topics_dir: PathBuf,
    pub options: LocalOptions,
    pub health: Arc<Health>,
    pub flusher: Flusher,
    pub workers: Workers,
    /// Counts the open files.
    pub handles: Handles,
    partitions: DashMap<PartitionId, Arc<LocalPartition>>,
    /// The last checkpoint's sections of partitions that were not opened yet.
    sections: Mutex<HashMap<PartitionId, Bytes>>,
    schedule: Mutex<Schedule>,
    /// Length and CRC of the checkpoint on disk.
    last_checkpoint: Mutex<Option<(usize, u32)>>,
    /// The wall time at start, ms.
    pub opened_ms: i64,
    /// Whether only the process died since the last run (DC6).
    pub is_same_boot: bool,
    /// As [`boot::Boot::has_loose_entries`].
    pub has_loose_entries: bool,
    /// Whether unsynced bytes are to be written again before they are synced.
    pub must_write_again: bool,
    /// Whether all that the last run wrote is on stable storage.
    pub is_synced: bool,
    leader_epoch: AtomicI32,
    last_epoch: i32,
    /// Whether a segment was rolled since the last checkpoint.
    pub rolled: AtomicBool,
    /// Whether the disk was full since the last upkeep.
    pub is_full: AtomicBool,
    cuts: AtomicU64,
    cut_bytes: AtomicU64,
    /// How many checkpoints were begun, and which of them was written last.
    pub checkpoints_begun: AtomicU64,
    pub checkpoints_written: AtomicU64,
}

/// Logs in the files of one directory.
pub struct LocalEngine {
    shared: Arc<Shared>,
}

impl Drop for LocalEngine {
    fn drop(&mut self) {
        // Partitions hold what is shared, which holds them.
        self.shared.partitions.clear();
    }
}

/// Lock, whatever happened to the last holder: a panic leaves no half-made change in here.
pub(crate) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

fn io(error: std::io::Error) -> StorageError {
    StorageError::Io(Arc::new(error))
}

impl LocalEngine {
    /// Open the engine whose files lie below `root`, which is made if it is missing. `now_ms` is
    /// the wall time.
    ///
    /// # Errors
    /// Any failure to read or mend the engine's own files.
    pub fn open(
        disk: Arc<dyn Disk>,
        root: &Path,
        options: LocalOptions,
        now_ms: i64,
    ) -> Result<Arc<Self>, StorageError> {
        let handles = Handles::default();
        let disk: Arc<dyn Disk> = Arc::new(CountedDisk::new(disk, handles.clone()));
        let topics_dir = root.join("topics");
        disk.create_dir(&topics_dir).map_err(io)?;
        disk.sync_dir(root).map_err(io)?;
        if let Some(above) = root.parent() {
            disk.sync_dir(above).map_err(io)?;
        }
        let health = {
            let (on_fatal, disk) = (Arc::clone(&options.on_fatal), Arc::clone(&disk));
            let root = root.to_owned();
            Arc::new(Health::new(Arc::new(move |why: &str| {
                // If not even this can be written, nothing else can be either.
                let _ = boot::write_failed(&*disk, &root);
                on_fatal(why);
            })))
        };
        // Before anything looks at a segment: what was acknowledged may be in the journal alone.
        let journal = Journal::open(Arc::clone(&disk), root, &topics_dir).map_err(io)?;
        let boot = boot::start(&*disk, root, &options.boot_id)?;
        let flusher = Flusher::start(
            Arc::clone(&disk),
            Arc::clone(&health),
            journal,
            Arc::clone(&options.on_round),
        )?;
        Ok(Arc::new(Self {
            shared: Arc::new(Shared {
                disk,
                root: root.to_owned(),
                topics_dir,
                options,
                health,
                flusher,
                workers: Workers::default(),
                handles,
                partitions: DashMap::new(),
                sections: Mutex::new(boot.sections),
                schedule: Mutex::new(Schedule::new(now_ms)),
                last_checkpoint: Mutex::default(),
                opened_ms: now_ms,
                is_same_boot: boot.is_same_boot,
                has_loose_entries: boot.has_loose_entries,
                must_write_again: boot.must_write_again,
                is_synced: boot.is_synced,
                leader_epoch: AtomicI32::new(boot.leader_epoch),
                last_epoch: boot.last_epoch,
                rolled: AtomicBool::new(false),
                is_full: AtomicBool::new(false),
                cuts: AtomicU64::new(0),
                cut_bytes: AtomicU64::new(0),
                checkpoints_begun: AtomicU64::new(0),
                checkpoints_written: AtomicU64::new(0),
            }),
        }))
    }

    /// Bytes that recovery cut off the ends of logs since the start (DC6).
    #[must_use]
    pub fn cut_bytes(&self) -> u64 {
        self.shared.cut_bytes.load(Ordering::Relaxed)
    }
}

impl Shared {
    fn all(&self) -> Vec<Arc<LocalPartition>> {
        self.partitions
            .iter()
            .map(|entry| Arc::clone(entry.value()))
            .collect()
    }

    /// What the last checkpoint holds of a partition.
    fn section(&self, id: PartitionId) -> Option<Section> {
        let body = lock(&self.sections).get(&id).cloned()?;
        Section::decode(&body)
    }

    fn forget_section(&self, id: PartitionId) {
        lock(&self.sections).remove(&id);
    }

    /// The epoch of appends.
    fn leader_epoch(&self) -> i32 {
        self.leader_epoch.load(Ordering::Acquire)
    }

    /// The epoch that no batch of an earlier run is above.
    fn last_epoch(&self) -> i32 {
        self.last_epoch
    }

    /// A log holds this epoch: if ours is lower, the boot file was lost. Go above it, durably.
    fn raise_epoch(&self, seen: i32) -> Result<(), StorageError> {
        if seen <= self.leader_epoch() {
            return Ok(());
        }
        let _one = lock(&self.schedule);
        let raised = seen.saturating_add(1).max(self.leader_epoch());
        boot::write(&*self.disk, &self.root, raised, &self.options.boot_id).map_err(io)?;
        self.leader_epoch.store(raised, Ordering::Release);
        Ok(())
    }

    fn note_cut(&self, bytes: u64) {
        self.cuts.fetch_add(1, Ordering::Relaxed);
        self.cut_bytes.fetch_add(bytes, Ordering::Relaxed);
    }
}

impl Engine for LocalEngine {
    fn open(
        &self,
        id: PartitionId,
        settings: Arc<LogSettings>,
    ) -> Result<Arc<dyn Partition>, StorageError> {
        if let Some(known) = self.shared.partitions.get(&id) {
            known.set_settings(settings);
            return Ok(Arc::clone(known.value()) as Arc<dyn Partition>);
        }
        self.shared.health.check_open()?;
        // Recovered under the entry's lock, so that nobody opens the same files twice.
        match self.shared.partitions.entry(id) {
            Entry::Occupied(known) => {
                known.get().set_settings(settings);
                Ok(Arc::clone(known.get()) as Arc<dyn Partition>)
            }
            Entry::Vacant(free) => {
                let opened = open::partition(&self.shared, id, settings)?;
                free.insert(Arc::clone(&opened));
                Ok(opened)
            }
        }
    }

    fn partition(&self, id: PartitionId) -> Option<Arc<dyn Partition>> {
        let known = self.shared.partitions.get(&id)?;
        Some(Arc::clone(known.value()) as Arc<dyn Partition>)
    }

    fn delete(&self, id: PartitionId) -> Result<(), StorageError> {
        let dir = self.shared.topics_dir.join(id.to_string());
        if let Some((_, partition)) = self.shared.partitions.remove(&id) {
            partition.mark_deleted();
            // Who writes into the directory ends first: it is about to be removed. A cleaning
            // notices soon (`compaction::Meter`).
            let _no_cleaning = lock(&partition.cleaning);
            let _no_upkeep = lock(&partition.start_mover);
            // As does an append.
            partition.close_files();
        }
        self.shared.forget_section(id);
        self.shared.flusher.forget(id)?;
        match self.shared.disk.remove_dir(&dir) {
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(()),
            Err(error) => Err(io(error)),
            Ok(()) => {
                let synced = self.shared.disk.sync_dir(&self.shared.topics_dir);
                synced.map_err(|error| self.shared.refused("a deletion", error))
            }
        }
    }

    fn stored(&self) -> Result<Vec<PartitionId>, StorageError> {
        let entries = self.shared.disk.list(&self.shared.topics_dir).map_err(io)?;
        let dirs = entries.iter().filter(|entry| entry.is_dir);
        Ok(dirs.filter_map(|entry| entry.name.parse().ok()).collect())
    }

    fn upkeep(&self, now_ms: i64) {
        self.upkeep_now(now_ms);
    }

    fn clean(
        &self,
        rules: &CleaningRules<'_>,
        now_ms: i64,
    ) -> Result<Option<Cleaning>, StorageError> {
        self.clean_now(rules, now_ms)
    }

    fn cleaning(&self, now_ms: i64) -> Standing {
        self.standing_now(now_ms)
    }

    fn cuts(&self) -> u64 {
        self.shared.cuts.load(Ordering::Relaxed)
    }

    fn complaints(&self) -> Vec<String> {
        let mut complaints = Vec::new();
        if self.shared.health.is_poisoned() {
            complaints.push("a disk failure stopped the log".to_owned());
        }
        for partition in self.shared.all() {
            if let Some(detail) = partition.damage() {
                complaints.push(format!("partition {} is read-only: {detail}", partition.id));
            }
        }
        complaints
    }

    fn close(&self) -> Pending<()> {
        Pending::ready(self.close_now())
    }
}

#[cfg(test)]
mod tests;
