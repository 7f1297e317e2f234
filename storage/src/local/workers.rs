//! A few threads for what must wait for the disk: the callers of a partition must not.

use std::sync::mpsc::{Receiver, SyncSender, TrySendError, sync_channel};
use std::sync::{Arc, Mutex, OnceLock};

use tokio::sync::oneshot;

use crate::StorageError;
use crate::engine::Pending;
use crate::local::lock;

type Job = Box<dyn FnOnce() + Send>;

/// Enough that one cold disk read does not keep a second waiting.
const THREADS: usize = 2;

/// Jobs that wait at most. More are done by whoever asks.
const QUEUE_MAX: usize = 1024;

/// The threads, started at the first job. They end when the last handle is gone.
#[derive(Default)]
pub(crate) struct Workers {
    queue: OnceLock<SyncSender<Job>>,
}

impl Workers {
    /// Have a thread do this.
    pub fn run<T: Send + 'static>(
        &self,
        job: impl FnOnce() -> Result<T, StorageError> + Send + 'static,
    ) -> Pending<T> {
        let (done, outcome) = oneshot::channel();
        let job: Job = Box::new(move || {
            // A receiver that is gone no longer wants to know.
            let _ = done.send(job());
        });
        let queue = self.queue.get_or_init(start);
        match queue.try_send(job) {
            Ok(()) => {}
            Err(TrySendError::Full(job) | TrySendError::Disconnected(job)) => job(),
        }
        Pending::later(async move { outcome.await.unwrap_or(Err(StorageError::Closed)) })
    }
}

fn start() -> SyncSender<Job> {
    let (queue, jobs) = sync_channel(QUEUE_MAX);
    let jobs = Arc::new(Mutex::new(jobs));
    for _ in 0..THREADS {
        let jobs = Arc::clone(&jobs);
        let thread = std::thread::Builder::new()
            .name("ratel-reader".to_owned())
            .spawn(move || work(&jobs));
        if let Err(error) = thread {
            // With no thread at all the queue is closed, and callers do their jobs themselves.
            tracing::warn!("no thread for reads: {error}");
        }
    }
    queue
}

fn work(jobs: &Mutex<Receiver<Job>>) {
    loop {
        let job = lock(jobs).recv();
        match job {
            Ok(job) => job(),
            Err(_) => return,
        }
    }
}
