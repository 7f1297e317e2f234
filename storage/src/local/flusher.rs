//! Group commit: rounds without a timer. The next round begins when the last one ends and takes
//! everything that asked meanwhile.
//!
//! A partition that has bytes to sync asks once ([`Flusher::request`]); the round takes what is
//! unsynced from it ([`Source::take_dirty`]), makes new directory entries durable, then the bytes,
//! and tells it how far it is safe ([`Source::synced`]). Up to [`DIRECT_FILES`] segments are
//! synced themselves. In a wider round what is unsynced in them goes to the end of the journal
//! too, and that one file is synced in their place. A failed sync is the end: nothing is retried
//! (DC5).

use std::path::PathBuf;
use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use rustix::io::Errno;

use crate::disk::{Disk, File};
use crate::local::health::Health;
use crate::local::journal::{Journal, Range, Sealed};
use crate::local::lock;
use crate::log::Place;
use crate::{Offset, PartitionId, Position, StorageError};

/// The most segments that a round syncs one by one, on the disk's four threads. Measured on ext4
/// with 1 KiB in each: 16 files cost about as much as the journal, 64 four times, 1000 ten times.
const DIRECT_FILES: usize = 16;

/// A segment with more unsynced bytes than this is synced itself also in a wide round, as long as
/// it is among the [`DIRECT_FILES`] with the most: writing its bytes twice would cost more.
const JOURNALED_BYTES_MAX: u64 = 256 << 10;

/// A journal that has grown to this is sealed, and its segments are synced in the background.
const JOURNAL_BYTES: u64 = 64 << 20;

/// As above: so many segments are kept open by a journal at most.
const JOURNAL_SEGMENTS: usize = 4096;

/// While a sealed journal waits for its segments, the next grows no further than this; rounds
/// that do not fit sync their segments themselves.
const JOURNAL_BYTES_MAX: u64 = 2 * JOURNAL_BYTES;

/// How long a journal stands at most, as upkeep comes by.
const CHECKPOINT_INTERVAL_MS: i64 = 60_000;

/// How long the flusher waits for somebody to close a file or to free space.
const AGAIN_WAIT: Duration = Duration::from_millis(10);

/// What a partition has that a sync would make durable.
#[derive(Debug)]
pub(crate) struct Dirty {
    /// Whose.
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
    pub base: Offset,
    /// The first byte that was never synced.
    pub from: Position,
    /// One past the last byte to sync; what lies behind it belongs to a later round.
    pub to: Position,
}

/// What a round of syncs tells of itself; one at a time, in turn.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RoundEvent {
    /// It begins.
    Began,
    /// It ended well, and so many records are durable by it.
    Ended {
        /// How many records.
        records: u64,
    },
}

/// Hears of every round. Called on the flusher's thread, so it must be quick.
pub type OnRound = Arc<dyn Fn(RoundEvent) + Send + Sync>;

/// A partition as the flusher sees it.
pub(crate) trait Source: Send + Sync + 'static {
    /// What is unsynced now; `None` when nothing is. A later request starts a new round.
    fn take_dirty(&self) -> Result<Option<Dirty>, StorageError>;
    /// Everything below `through` survives a power cut: in the segments themselves, or in the
    /// journal, from which the next start puts it into them before it looks at them. Gives how
    /// many records that made durable.
    fn synced(&self, through: Place) -> u64;
    /// The sync failed: nobody who waits may be told otherwise.
    fn failed(&self);
}

#[derive(Default)]
struct Queue {
    sources: Vec<Arc<dyn Source>>,
    /// Whether the journal is to be sealed and removed.
    checkpoint: bool,
    stopped: bool,
}

struct Shared {
    disk: Arc<dyn Disk>,
    health: Arc<Health>,
    on_round: OnRound,
    queue: Mutex<Queue>,
    /// Wakes the thread that runs the rounds.
    wake: Condvar,
    /// Wakes the thread that removes journals.
    wake_checkpoint: Condvar,
    /// Held over a round: rounds do not overlap, so that what a later one made durable never
    /// stands behind a gap.
    journal: Mutex<Journal>,
    /// Sealed journals whose segments are not all synced. Held while they are.
    sealed: Mutex<Vec<Sealed>>,
}

/// What one round syncs.
#[derive(Default)]
struct Round<'s> {
    dirs: Vec<PathBuf>,
    ranges: Vec<Range>,
    done: Vec<(&'s Arc<dyn Source>, Place)>,
    again: Again,
}

/// Who takes part once more, because nothing was lost and it may go better soon (DC5).
#[derive(Default)]
struct Again {
    sources: Vec<Arc<dyn Source>>,
    why: Option<StorageError>,
}

impl Again {
    fn add(&mut self, source: &Arc<dyn Source>, why: StorageError) {
        self.sources.push(Arc::clone(source));
        self.why = Some(why);
    }
}

impl<'s> Round<'s> {
    fn add(&mut self, source: &'s Arc<dyn Source>, dirty: Dirty) {
        self.dirs.extend(dirty.dirs);
        self.ranges
            .extend(dirty.files.into_iter().map(|file| Range {
                partition: dirty.partition,
                base: file.base,
                file: file.file,
                from: file.from,
                to: file.to,
            }));
        self.done.push((source, dirty.through));
    }
}

/// The flusher and its threads.
pub(crate) struct Flusher {
    shared: Arc<Shared>,
    threads: Mutex<Vec<JoinHandle<()>>>,
    /// When upkeep removed the journal last, wall time, ms.
    checkpoint_ms: AtomicI64,
}

fn io(error: std::io::Error) -> StorageError {
    StorageError::Io(Arc::new(error))
}

fn sleep<'q>(wake: &Condvar, queue: MutexGuard<'q, Queue>) -> MutexGuard<'q, Queue> {
    wake.wait(queue).unwrap_or_else(PoisonError::into_inner)
}

impl Flusher {
    /// Start the threads.
    pub fn start(
        disk: Arc<dyn Disk>,
        health: Arc<Health>,
        journal: Journal,
        on_round: OnRound,
    ) -> Result<Self, StorageError> {
        let shared = Arc::new(Shared {
            disk,
            health,
            on_round,
            queue: Mutex::default(),
            wake: Condvar::new(),
            wake_checkpoint: Condvar::new(),
            journal: Mutex::new(journal),
            sealed: Mutex::default(),
        });
        let flusher = Self {
            shared: Arc::clone(&shared),
            threads: Mutex::default(),
            checkpoint_ms: AtomicI64::new(0),
        };
        flusher.spawn("ratel-flusher", Shared::run_rounds)?;
        flusher.spawn("ratel-journal", Shared::run_checkpoints)?;
        Ok(flusher)
    }

    fn spawn(&self, name: &str, run: fn(&Shared)) -> Result<(), StorageError> {
        let shared = Arc::clone(&self.shared);
        let thread = std::thread::Builder::new()
            .name(name.to_owned())
            .spawn(move || run(&shared))
            .map_err(io)?;
        lock(&self.threads).push(thread);
        Ok(())
    }

    /// Have the next round sync this partition. The caller keeps a mark so that it asks once.
    pub fn request(&self, source: Arc<dyn Source>) {
        let mut queue = lock(&self.shared.queue);
        queue.sources.push(source);
        // A round that is under way looks again when it ends.
        let first = queue.sources.len() == 1;
        drop(queue);
        if first {
            self.shared.wake.notify_one();
        }
    }

    /// Sync these partitions on the caller's thread (checkpoints, close).
    pub fn sync(&self, sources: &[Arc<dyn Source>]) -> Result<(), StorageError> {
        self.shared.round(sources)?.why.map_or(Ok(()), Err)
    }

    /// Remove a journal that has stood for long: a start after a crash then has less to copy.
    pub fn upkeep(&self, now_ms: i64) {
        let last_ms = self.checkpoint_ms.load(Ordering::Relaxed);
        if now_ms.saturating_sub(last_ms) >= CHECKPOINT_INTERVAL_MS {
            self.checkpoint_ms.store(now_ms, Ordering::Relaxed);
            // A failure was reported where it happened.
            let _ = self.shared.checkpoint();
        }
    }

    /// Sync the segments behind the journal, and remove it.
    pub fn checkpoint(&self) -> Result<(), StorageError> {
        self.shared.checkpoint()
    }

    /// A partition is being deleted and takes part in no round any more: what the journal holds
    /// of it must not come back.
    pub fn forget(&self, partition: PartitionId) -> Result<(), StorageError> {
        let forgotten = lock(&self.shared.journal).forget(partition);
        match forgotten {
            Ok(true) => Ok(()),
            // No room for the note: then the journal itself has to go, which needs none.
            Ok(false) => self.shared.checkpoint(),
            Err(error) => Err(self.shared.failed("the journal", error)),
        }
    }

    /// Finish what was asked for and end the threads.
    pub fn stop(&self) {
        lock(&self.shared.queue).stopped = true;
        self.shared.wake.notify_all();
        self.shared.wake_checkpoint.notify_all();
        for thread in std::mem::take(&mut *lock(&self.threads)) {
            // The last handle of an engine can be the one that a round holds.
            if thread.thread().id() != std::thread::current().id() {
                // It holds no state that could be lost; a panic in it was printed already.
                let _ = thread.join();
            }
        }
    }
}

impl Drop for Flusher {
    fn drop(&mut self) {
        self.stop();
    }
}

/// What a failure means that stops nothing (DC5): want of space or of descriptors.
fn soft(error: &std::io::Error) -> Option<StorageError> {
    match Errno::from_io_error(error)? {
        Errno::NOSPC | Errno::DQUOT => Some(StorageError::DiskFull),
        Errno::MFILE | Errno::NFILE => Some(StorageError::TooManyFiles),
        _ => None,
    }
}

impl Shared {
    fn run_rounds(&self) {
        loop {
            let sources = {
                let mut queue = lock(&self.queue);
                while queue.sources.is_empty() && !queue.stopped {
                    queue = sleep(&self.wake, queue);
                }
                if queue.sources.is_empty() {
                    return;
                }
                std::mem::take(&mut queue.sources)
            };
            // A failure was reported where it happened and the partitions were told.
            let again = self.round(&sources).unwrap_or_default();
            if again.why.is_some() {
                lock(&self.queue).sources.extend(again.sources);
                std::thread::sleep(AGAIN_WAIT);
            }
        }
    }

    fn run_checkpoints(&self) {
        loop {
            {
                let mut queue = lock(&self.queue);
                while !queue.checkpoint && !queue.stopped {
                    queue = sleep(&self.wake_checkpoint, queue);
                }
                if queue.stopped {
                    return;
                }
                queue.checkpoint = false;
            }
            // As above.
            let _ = self.checkpoint();
        }
    }

    fn request_checkpoint(&self) {
        lock(&self.queue).checkpoint = true;
        self.wake_checkpoint.notify_one();
    }

    fn failed(&self, what: &str, error: std::io::Error) -> StorageError {
        self.health
            .fatal(&format!("{what} could not be synced: {error}"));
        io(error)
    }

    /// One round. Gives the sources that could not take part for want of descriptors or space.
    fn round(&self, sources: &[Arc<dyn Source>]) -> Result<Again, StorageError> {
        let outcome = self.sync_round(sources);
        if outcome.is_err() {
            sources.iter().for_each(|source| source.failed());
        }
        outcome
    }

    fn sync_round(&self, sources: &[Arc<dyn Source>]) -> Result<Again, StorageError> {
        let mut journal = lock(&self.journal);
        self.health.check()?;
        (self.on_round)(RoundEvent::Began);
        let mut round = Round::default();
        for source in sources {
            match source.take_dirty() {
                Ok(None) => {}
                Ok(Some(dirty)) => round.add(source, dirty),
                Err(why @ StorageError::TooManyFiles) => round.again.add(source, why),
                Err(error) => {
                    self.health
                        .fatal(&format!("a segment could not be synced: {error}"));
                    return Err(error);
                }
            }
        }
        round.dirs.sort_unstable();
        round.dirs.dedup();
        if let Err(error) = self.disk.sync_dirs(&round.dirs) {
            let Some(why) = soft(&error) else {
                return Err(self.failed("a directory", error));
            };
            for (source, _) in &round.done {
                round.again.add(source, why.clone());
            }
            return Ok(round.again);
        }
        self.sync_ranges(&mut journal, round.ranges)?;
        // A write that failed meanwhile stops the acknowledgements of all.
        self.health.check()?;
        let records = round
            .done
            .into_iter()
            .map(|(source, through)| source.synced(through))
            .sum();
        (self.on_round)(RoundEvent::Ended { records });
        drop(journal);
        Ok(round.again)
    }

    /// Make the ranges durable, in their segments or in the journal.
    fn sync_ranges(
        &self,
        journal: &mut Journal,
        mut ranges: Vec<Range>,
    ) -> Result<(), StorageError> {
        let mut direct = ranges.len();
        if ranges.len() > DIRECT_FILES {
            ranges.sort_by_key(|range| std::cmp::Reverse(range.len()));
            let long = ranges[..DIRECT_FILES].partition_point(|r| r.len() > JOURNALED_BYTES_MAX);
            let bytes: u64 = ranges[long..].iter().map(Range::len).sum();
            if journal.bytes().saturating_add(bytes) <= JOURNAL_BYTES_MAX {
                direct = long;
            }
        }
        match journal.append(&ranges[direct..]) {
            Ok(true) => {}
            Ok(false) => direct = ranges.len(),
            Err(error) => return Err(self.failed("the journal", error)),
        }
        let files: Vec<_> = ranges[..direct]
            .iter()
            .map(|range| Arc::clone(&range.file))
            .collect();
        self.disk
            .sync_all(&files)
            .map_err(|error| self.failed("a segment", error))?;
        if journal.bytes() >= JOURNAL_BYTES || journal.segments() >= JOURNAL_SEGMENTS {
            self.request_checkpoint();
        }
        Ok(())
    }

    /// Sync the segments that the journal stands in for, and remove it. Rounds go on meanwhile,
    /// with a new one.
    fn checkpoint(&self) -> Result<(), StorageError> {
        let mut sealed = lock(&self.sealed);
        self.health.check()?;
        sealed.extend(lock(&self.journal).seal());
        while let Some(last) = sealed.last_mut() {
            self.sync_sealed(last)?;
            lock(&self.journal)
                .remove(last.number)
                .map_err(|error| self.failed("the journal's directory", error))?;
            sealed.pop();
        }
        Ok(())
    }

    fn sync_sealed(&self, sealed: &mut Sealed) -> Result<(), StorageError> {
        loop {
            let files = lock(&self.journal).next_unsynced(sealed);
            // After a soft one the journal stays, and the next checkpoint goes on here.
            let files = files
                .map_err(|error| soft(&error).unwrap_or_else(|| self.failed("a segment", error)))?;
            if files.is_empty() && sealed.is_done() {
                return Ok(());
            }
            self.disk
                .sync_all(&files)
                .map_err(|error| self.failed("a segment", error))?;
        }
    }
}

#[cfg(test)]
mod tests;
