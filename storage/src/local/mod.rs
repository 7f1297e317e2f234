//! The engine that keeps logs in the files of one directory.
//!
//! ```text
//! <root>/topics/<topic id>-<partition>/00000000000000000000.log    batches, and nothing else
//!                                      00000000000000000000.index  derivable
//!                                      start                       the log's first offset
//! ```
//! `FORMAT.md` draws each file.

mod flusher;
mod health;
mod journal;
mod open;
mod partition;
mod read;
mod start;
mod time;

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use dashmap::DashMap;
use dashmap::mapref::entry::Entry;

use crate::disk::Disk;
use crate::engine::Pending;
use crate::local::flusher::{Flusher, Source};
use crate::local::health::Health;
use crate::local::journal::Journal;
use crate::local::partition::LocalPartition;
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
            producers_max: 10_000,
            on_fatal: Arc::new(|_| {}),
            on_round: Arc::new(|_| {}),
        }
    }
}

/// What all partitions share.
pub(crate) struct Shared {
    pub disk: Arc<dyn Disk>,
    pub topics_dir: PathBuf,
    pub options: LocalOptions,
    pub health: Arc<Health>,
    pub flusher: Flusher,
}

/// Logs in the files of one directory.
pub struct LocalEngine {
    shared: Arc<Shared>,
    partitions: DashMap<PartitionId, Arc<LocalPartition>>,
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
        let _ = now_ms;
        let topics_dir = root.join("topics");
        disk.create_dir(&topics_dir).map_err(io)?;
        disk.sync_dir(root).map_err(io)?;
        let health = Arc::new(Health::new(Arc::clone(&options.on_fatal)));
        // Before anything looks at a segment: what was acknowledged may be in the journal alone.
        let journal = Journal::open(Arc::clone(&disk), root, &topics_dir).map_err(io)?;
        let flusher = Flusher::start(
            Arc::clone(&disk),
            Arc::clone(&health),
            journal,
            Arc::clone(&options.on_round),
        )?;
        Ok(Arc::new(Self {
            shared: Arc::new(Shared {
                disk,
                topics_dir,
                options,
                health,
                flusher,
            }),
            partitions: DashMap::new(),
        }))
    }

    fn all(&self) -> Vec<Arc<LocalPartition>> {
        self.partitions
            .iter()
            .map(|entry| Arc::clone(entry.value()))
            .collect()
    }
}

impl Engine for LocalEngine {
    fn open(
        &self,
        id: PartitionId,
        settings: Arc<LogSettings>,
    ) -> Result<Arc<dyn Partition>, StorageError> {
        if let Some(known) = self.partitions.get(&id) {
            known.set_settings(settings);
            return Ok(Arc::clone(known.value()) as Arc<dyn Partition>);
        }
        self.shared.health.check()?;
        // Recovered under the entry's lock, so that nobody opens the same files twice.
        match self.partitions.entry(id) {
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
        let known = self.partitions.get(&id)?;
        Some(Arc::clone(known.value()) as Arc<dyn Partition>)
    }

    fn delete(&self, id: PartitionId) -> Result<(), StorageError> {
        let dir = self.shared.topics_dir.join(id.to_string());
        if let Some((_, partition)) = self.partitions.remove(&id) {
            partition.mark_deleted();
            // An append that holds the lock ends first: it must not write into a removed
            // directory.
            drop(lock(&partition.writer));
        }
        self.shared.flusher.forget(id)?;
        match self.shared.disk.remove_dir(&dir) {
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(()),
            Err(error) => Err(io(error)),
            Ok(()) => self
                .shared
                .disk
                .sync_dir(&self.shared.topics_dir)
                .map_err(io),
        }
    }

    fn stored(&self) -> Result<Vec<PartitionId>, StorageError> {
        let entries = self.shared.disk.list(&self.shared.topics_dir).map_err(io)?;
        let dirs = entries.iter().filter(|entry| entry.is_dir);
        Ok(dirs.filter_map(|entry| entry.name.parse().ok()).collect())
    }

    fn upkeep(&self, now_ms: i64) {
        for partition in self.all() {
            partition.upkeep(now_ms);
        }
        self.shared.flusher.upkeep(now_ms);
    }

    fn complaints(&self) -> Vec<String> {
        let mut complaints = Vec::new();
        if self.shared.health.is_poisoned() {
            complaints.push("a disk failure stopped the log".to_owned());
        }
        for partition in self.all() {
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

impl LocalEngine {
    fn close_now(&self) -> Result<(), StorageError> {
        let sources: Vec<Arc<dyn Source>> = self
            .all()
            .into_iter()
            .map(|partition| partition as Arc<dyn Source>)
            .collect();
        self.shared.flusher.sync(&sources)?;
        self.shared.flusher.checkpoint()?;
        self.shared.health.close();
        self.shared.flusher.stop();
        Ok(())
    }
}

#[cfg(test)]
mod tests;
