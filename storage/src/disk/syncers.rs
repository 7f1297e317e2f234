//! Syncs many files at once on a few threads, so that the journal commits of the file system are
//! shared and the device sees more than one request.

use std::collections::VecDeque;
use std::io;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, OnceLock, PoisonError};

use super::File;

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
    rounds: VecDeque<Arc<Round>>,
    stopped: bool,
}

/// The files of one call, shared out one by one.
#[derive(Debug)]
struct Round {
    files: Vec<Arc<dyn File>>,
    next: AtomicUsize,
    outcome: Mutex<Outcome>,
    done: Condvar,
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
    pub(super) fn sync_all(&self, files: &[Arc<dyn File>]) -> io::Result<()> {
        match files {
            [] => return Ok(()),
            [file] => return file.sync(),
            _ => {}
        }
        let round = Arc::new(Round {
            files: files.to_vec(),
            next: AtomicUsize::new(0),
            outcome: Mutex::new(Outcome {
                left: files.len(),
                error: None,
            }),
            done: Condvar::new(),
        });
        let queue = self.queue.get_or_init(start);
        {
            let mut state = lock(&queue.state);
            for _ in 0..WORKERS.min(files.len() - 1) {
                state.rounds.push_back(Arc::clone(&round));
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

impl Round {
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
