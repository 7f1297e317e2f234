//! Syncs many files at once on a few threads, so that the journal commits of the file system are
//! shared and the device sees more than one request.

use std::collections::VecDeque;
use std::fmt::Debug;
use std::io;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, OnceLock, PoisonError};

/// A file or a directory.
pub(super) trait Durable: Debug + Send + Sync + 'static {
    /// Make it durable.
    fn sync(&self) -> io::Result<()>;
}

/// Threads beside the caller, so that four syncs run at once.
const WORKERS: usize = 3;

/// The threads; they are started by the first call that has more than one file.
#[derive(Debug, Default)]
pub(super) struct Syncers {
    queue: OnceLock<Arc<Queue>>,
}

#[derive(Debug, Default)]
struct Queue {
    state: Mutex<State>,
    wake: Condvar,
}

#[derive(Debug, Default)]
struct State {
    rounds: VecDeque<Arc<dyn Work>>,
    stopped: bool,
}

/// The files of one call, shared out one by one.
#[derive(Debug)]
struct Round<T> {
    files: Vec<T>,
    next: AtomicUsize,
    outcome: Mutex<Outcome>,
    done: Condvar,
}

/// What a thread does for a call.
trait Work: Debug + Send + Sync {
    fn work(&self);
}

#[derive(Debug)]
struct Outcome {
    left: usize,
    error: Option<io::Error>,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Syncers {
    /// Sync all. Every one is tried; the first error is given.
    pub(super) fn sync_all<T: Durable>(&self, files: Vec<T>) -> io::Result<()> {
        let left = files.len();
        let round = Arc::new(Round {
            files,
            next: AtomicUsize::new(0),
            outcome: Mutex::new(Outcome { left, error: None }),
            done: Condvar::new(),
        });
        let queue = self.queue.get_or_init(start);
        {
            let mut state = lock(&queue.state);
            for _ in 0..WORKERS.min(left.saturating_sub(1)) {
                state.rounds.push_back(Arc::clone(&round) as Arc<dyn Work>);
            }
        }
        queue.wake.notify_all();
        round.work();
        let mut outcome = lock(&round.outcome);
        while outcome.left > 0 {
            outcome = round
                .done
                .wait(outcome)
                .unwrap_or_else(PoisonError::into_inner);
        }
        outcome.error.take().map_or(Ok(()), Err)
    }
}

impl Drop for Syncers {
    fn drop(&mut self) {
        if let Some(queue) = self.queue.get() {
            lock(&queue.state).stopped = true;
            queue.wake.notify_all();
        }
    }
}

fn start() -> Arc<Queue> {
    let queue = Arc::<Queue>::default();
    for _ in 0..WORKERS {
        let queue = Arc::clone(&queue);
        // Without a thread the caller does the work alone.
        let _ = std::thread::Builder::new()
            .name("ratel-sync".to_owned())
            .spawn(move || queue.work());
    }
    queue
}

impl Queue {
    fn work(&self) {
        let mut state = lock(&self.state);
        while !state.stopped {
            if let Some(round) = state.rounds.pop_front() {
                drop(state);
                round.work();
                state = lock(&self.state);
            } else {
                state = self
                    .wake
                    .wait(state)
                    .unwrap_or_else(PoisonError::into_inner);
            }
        }
    }
}

impl<T: Durable> Work for Round<T> {
    /// Sync files until none is left to take. Every file is tried, whatever became of another.
    fn work(&self) {
        while let Some(file) = self.files.get(self.next.fetch_add(1, Ordering::Relaxed)) {
            let synced = file.sync();
            let mut outcome = lock(&self.outcome);
            outcome.left -= 1;
            if let Err(error) = synced {
                outcome.error.get_or_insert(error);
            }
            if outcome.left == 0 {
                self.done.notify_one();
            }
        }
    }
}
