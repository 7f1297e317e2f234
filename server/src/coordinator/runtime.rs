//! The shell that drives a [`Machine`]: a mailbox in front, a log behind, a clock beside.
//!
//! One task per shard. It takes what lies in the mailbox, calls the machine, appends all that it
//! wrote down as one batch (more where transactions are concerned: `parts`) and goes on with the
//! mailbox while the batch is being synced. Answers and actions that depend on the batch follow in
//! order once it is durable (`runner`). At the start, and after an append that failed, the machine
//! is built anew from the log (`replay`).
//! Nothing here knows any one machine.

use std::future::Future;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Weak};

use ratel_protocol::ErrorCode;
use ratel_storage::Partition;
use tokio::sync::{mpsc, oneshot, watch};

use super::{LogEnds, Machine};
use crate::clock::Clock;

mod parts;
mod replay;
mod runner;
#[cfg(test)]
mod tests;

/// Events that may wait in one shard's mailbox. One more is refused.
pub const MAILBOX_EVENTS_MAX: usize = 16_384;

/// A snapshot is not considered before a shard's log holds this many bytes since the last one.
pub const CHECKPOINT_BYTES_MIN: u64 = 16 << 20;

/// What a shard's machine needs done in the world outside it.
pub trait Shell<M: Machine>: Send + Sync + 'static {
    /// Do one action. Called in the order of the actions, each when the records before it are
    /// durable and before the answers that were given after it go out. What takes long belongs
    /// in a task of its own; an outcome comes back through [`Shard::tell`].
    fn perform(&self, shard: &Shard<M>, action: M::Action) -> impl Future<Output = ()> + Send;

    /// The ends of the logs that this machine's state points into (DC7).
    fn ends(&self, machine: &M) -> LogEnds {
        let _ = machine;
        LogEnds::default()
    }
}

/// What a shard is made of.
pub struct Setup<S, F> {
    /// What the shard is called in the server's own log.
    pub name: String,
    /// Makes an empty machine, for each replay.
    pub machine: F,
    /// Performs the machine's actions.
    pub shell: S,
    /// The shard's log. The shard must be its only writer.
    pub partition: Arc<dyn Partition>,
    /// The time.
    pub clock: Arc<dyn Clock>,
    /// Bytes of log since the last snapshot before another is considered: in the server,
    /// [`CHECKPOINT_BYTES_MIN`].
    pub checkpoint_bytes_min: u64,
}

/// Where a shard stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum State {
    /// Replaying its log for the first time; events wait in the mailbox.
    Loading,
    /// At work.
    Running,
    /// Failed, for this reason: events are refused until a new replay succeeds.
    Failed(String),
    /// Stopped.
    Stopped,
}

type Outcome<M> = Result<<M as Machine>::Reply, ErrorCode>;

enum Letter<M: Machine> {
    Event(M::Event, Option<oneshot::Sender<Outcome<M>>>),
    Stop,
}

struct Mailbox<M: Machine> {
    letters: mpsc::UnboundedSender<Letter<M>>,
    waiting: Arc<AtomicUsize>,
    state: watch::Receiver<State>,
}

/// The handle of one machine at work. Cheap to clone; when the last handle is dropped, the shard
/// finishes what was sent and ends.
pub struct Shard<M: Machine>(Arc<Mailbox<M>>);

impl<M: Machine> Clone for Shard<M> {
    fn clone(&self) -> Self {
        Self(self.0.clone())
    }
}

impl<M: Machine> Shard<M> {
    /// Start a shard: the replay goes on in its task, see [`Self::loaded`].
    pub fn spawn<S, F>(setup: Setup<S, F>) -> Self
    where
        S: Shell<M>,
        F: Fn() -> M + Send + Sync + 'static,
    {
        let (letters, mailbox) = mpsc::unbounded_channel();
        let (state_sender, state) = watch::channel(State::Loading);
        let waiting = Arc::new(AtomicUsize::new(0));
        let shard = Self(Arc::new(Mailbox {
            letters,
            waiting: waiting.clone(),
            state,
        }));
        let handle = WeakShard(Arc::downgrade(&shard.0));
        let incoming = runner::Incoming::new(mailbox, waiting);
        tokio::spawn(runner::run(setup, incoming, handle, state_sender));
        shard
    }

    /// A handle with nothing behind it: every event is refused.
    #[cfg(test)]
    pub(crate) fn detached() -> Self {
        Self(Arc::new(Mailbox {
            letters: mpsc::unbounded_channel().0,
            waiting: Arc::default(),
            state: watch::channel(State::Stopped).1,
        }))
    }

    /// Send an event. It is in the mailbox, and its order fixed, when this call returns; the
    /// future brings the machine's reply.
    ///
    /// # Errors
    /// The machine's refusal, or COORDINATOR_NOT_AVAILABLE if the mailbox is full, the shard has
    /// failed or stopped, or its log could not be appended to (the event's effect is unknown
    /// then).
    pub fn send(&self, event: M::Event) -> impl Future<Output = Outcome<M>> + Send + use<M> {
        let (sender, receiver) = oneshot::channel();
        if self.0.waiting.load(Ordering::Relaxed) < MAILBOX_EVENTS_MAX {
            self.post(event, Some(sender));
        }
        // A sender that was dropped, here or by the shard, is the refusal.
        async move {
            receiver
                .await
                .unwrap_or(Err(ErrorCode::CoordinatorNotAvailable))
        }
    }

    /// Send an event that nobody waits for: an action's outcome, another coordinator's news.
    /// Never refused, since what the server itself has to say is bounded by what it does.
    pub fn tell(&self, event: M::Event) {
        self.post(event, None);
    }

    fn post(&self, event: M::Event, sender: Option<oneshot::Sender<Outcome<M>>>) {
        self.0.waiting.fetch_add(1, Ordering::Relaxed);
        // A shard that is gone drops the letter, and with it the sender.
        let _ = self.0.letters.send(Letter::Event(event, sender));
    }

    /// Wait until the first replay is done.
    ///
    /// # Errors
    /// Why it failed. The shard goes on trying.
    pub async fn loaded(&self) -> Result<(), String> {
        let mut state = self.0.state.clone();
        let left = state.wait_for(|state| *state != State::Loading).await;
        match left.map(|state| state.clone()) {
            Ok(State::Failed(why)) => Err(why),
            Ok(_) => Ok(()),
            Err(_) => Err("the shard's task ended".into()),
        }
    }

    /// Where the shard stands now.
    #[must_use]
    pub fn state(&self) -> State {
        self.0.state.borrow().clone()
    }

    /// Have the shard take no more events, finish those it took, and end. Returns when it has.
    pub async fn stop(&self) {
        let _ = self.0.letters.send(Letter::Stop);
        let mut state = self.0.state.clone();
        let _ = state.wait_for(|state| *state == State::Stopped).await;
    }
}

/// Why some of the shards of an internal topic cannot serve now: one sentence for each in trouble.
#[must_use]
pub fn complaints<M: Machine>(topic: &str, shards: &[Shard<M>]) -> Vec<String> {
    let shards = shards.iter().enumerate();
    shards
        .filter_map(|(index, shard)| match shard.state() {
            State::Failed(why) => Some(format!("{topic}-{index} failed: {why}")),
            State::Stopped => Some(format!("{topic}-{index} has stopped")),
            State::Loading | State::Running => None,
        })
        .collect()
}

/// A handle that does not keep its shard alive.
struct WeakShard<M: Machine>(Weak<Mailbox<M>>);

impl<M: Machine> Clone for WeakShard<M> {
    fn clone(&self) -> Self {
        Self(self.0.clone())
    }
}

impl<M: Machine> WeakShard<M> {
    fn upgrade(&self) -> Option<Shard<M>> {
        self.0.upgrade().map(Shard)
    }
}
