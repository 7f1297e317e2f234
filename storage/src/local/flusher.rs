//! Group commit: rounds without a timer. The next round begins when the last one ends and takes
//! everything that asked meanwhile.
//!
//! A partition that has bytes to sync asks once ([`Flusher::request`]); the round takes what is
//! unsynced from it ([`Source::take_dirty`]), syncs directories before files, and tells it how
//! far it is safe ([`Source::synced`]). A failed sync is the end: nothing is retried (DC5).

use std::path::PathBuf;
use std::sync::{Arc, Condvar, Mutex};
use std::thread::JoinHandle;

use crate::disk::{Disk, File};
use crate::local::health::Health;
use crate::local::lock;
use crate::log::Place;
use crate::{Offset, PartitionId, Position, StorageError};

/// What a partition has that a sync would make durable.
#[derive(Debug)]
pub(crate) struct Dirty {
    /// Whose.
    #[allow(dead_code)]
    pub partition: PartitionId,
    /// Directories with entries that are not durable, outermost first.
    pub dirs: Vec<PathBuf>,
    /// Segments with bytes that are not durable, oldest first.
    pub files: Vec<DirtyFile>,
    /// Where the log ended when this was taken: durable to here once all of these are synced.
    pub through: Place,
}

/// One segment with unsynced bytes.
#[derive(Debug)]
pub(crate) struct DirtyFile {
    /// The open segment.
    pub file: Arc<dyn File>,
    /// The segment's first offset, which names it.
    #[allow(dead_code)]
    pub base: Offset,
    /// The first byte that was never synced.
    #[allow(dead_code)]
    pub from: Position,
    /// One past the last byte to sync; what lies behind it belongs to a later round.
    #[allow(dead_code)]
    pub to: Position,
}

/// A partition as the flusher sees it.
pub(crate) trait Source: Send + Sync + 'static {
    /// What is unsynced now; `None` when nothing is. A later request starts a new round.
    fn take_dirty(&self) -> Result<Option<Dirty>, StorageError>;
    /// Everything below `through` is on stable storage, in the segments themselves.
    fn synced(&self, through: Place);
    /// The sync failed: nobody who waits may be told otherwise.
    fn failed(&self);
}

#[derive(Default)]
struct Queue {
    sources: Vec<Arc<dyn Source>>,
    stopped: bool,
}

struct Shared {
    disk: Arc<dyn Disk>,
    health: Arc<Health>,
    queue: Mutex<Queue>,
    wake: Condvar,
}

/// The flusher and its thread.
pub(crate) struct Flusher {
    shared: Arc<Shared>,
    thread: Mutex<Option<JoinHandle<()>>>,
}

impl Flusher {
    /// Start the thread.
    pub fn start(disk: Arc<dyn Disk>, health: Arc<Health>) -> Result<Self, StorageError> {
        let shared = Arc::new(Shared {
            disk,
            health,
            queue: Mutex::default(),
            wake: Condvar::new(),
        });
        let run = Arc::clone(&shared);
        let thread = std::thread::Builder::new()
            .name("flusher".into())
            .spawn(move || run.run())
            .map_err(|error| StorageError::Io(Arc::new(error)))?;
        Ok(Self {
            shared,
            thread: Mutex::new(Some(thread)),
        })
    }

    /// Have the next round sync this partition. The caller keeps a mark so that it asks once.
    pub fn request(&self, source: Arc<dyn Source>) {
        lock(&self.shared.queue).sources.push(source);
        self.shared.wake.notify_one();
    }

    /// Sync these partitions on the caller's thread (checkpoints, close).
    pub fn sync(&self, sources: &[Arc<dyn Source>]) -> Result<(), StorageError> {
        self.shared.round(sources)
    }

    /// Finish what was asked for and end the thread.
    pub fn stop(&self) {
        lock(&self.shared.queue).stopped = true;
        self.shared.wake.notify_all();
        if let Some(thread) = lock(&self.thread).take() {
            // The thread holds no state that could be lost; a panic in it was logged already.
            let _ = thread.join();
        }
    }
}

impl Drop for Flusher {
    fn drop(&mut self) {
        self.stop();
    }
}

impl Shared {
    fn run(&self) {
        loop {
            let sources = {
                let mut queue = lock(&self.queue);
                while queue.sources.is_empty() && !queue.stopped {
                    queue = self
                        .wake
                        .wait(queue)
                        .unwrap_or_else(std::sync::PoisonError::into_inner);
                }
                if queue.sources.is_empty() {
                    return;
                }
                std::mem::take(&mut queue.sources)
            };
            // The failure was reported where it happened and the partitions were told.
            let _ = self.round(&sources);
        }
    }

    fn round(&self, sources: &[Arc<dyn Source>]) -> Result<(), StorageError> {
        let outcome = self.sync_round(sources);
        if let Err(error) = &outcome {
            self.health.fatal(&format!("a sync failed: {error}"));
            sources.iter().for_each(|source| source.failed());
        }
        outcome
    }

    fn sync_round(&self, sources: &[Arc<dyn Source>]) -> Result<(), StorageError> {
        let mut done = Vec::with_capacity(sources.len());
        let (mut dirs, mut files) = (Vec::new(), Vec::new());
        for source in sources {
            if let Some(dirty) = source.take_dirty()? {
                dirs.extend(dirty.dirs);
                files.extend(dirty.files.into_iter().map(|dirty| dirty.file));
                done.push((source, dirty.through));
            }
        }
        dirs.sort();
        dirs.dedup();
        let io = |error| StorageError::Io(Arc::new(error));
        for dir in &dirs {
            self.disk.sync_dir(dir).map_err(io)?;
        }
        if !files.is_empty() {
            self.disk.sync_all(&files).map_err(io)?;
        }
        self.health.check()?;
        for (source, through) in done {
            source.synced(through);
        }
        Ok(())
    }
}
