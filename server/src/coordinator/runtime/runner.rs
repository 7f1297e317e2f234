//! A shard's task: mailbox, machine, append, answers.

use std::collections::{HashMap, VecDeque};
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use ratel_storage::{Appended, Durability, Offset, Origin, Pending, StorageError};
use tokio::sync::{mpsc, oneshot, watch};

use super::parts::{Part, Parts, ROUND_BYTES};
use super::{Letter, Outcome, Setup, Shell, State, WeakShard};
use crate::clock::Timestamp;
use crate::coordinator::{Applied, Effects, Machine, Ticket, When};

/// Events that one batch may hold the consequences of.
const ROUND_EVENTS_MAX: usize = 1024;
/// Batches on their way to the disk, beyond which the mailbox waits.
const IN_FLIGHT_MAX: usize = 64;
/// How long a marker is in the log, bytes.
const MARKER_BYTES: u64 = 78;
/// The first and the longest wait before a shard that failed replays its log, ms.
const BACKOFF_MS: (u64, u64) = (50, 2000);

/// Why a shard lost its machine.
pub(super) struct Failure {
    why: String,
    /// The engine will not recover: no use in another replay.
    fatal: bool,
}

impl Failure {
    pub(super) fn broken(why: String) -> Self {
        Self { why, fatal: false }
    }
}

impl From<StorageError> for Failure {
    fn from(error: StorageError) -> Self {
        Self {
            why: error.to_string(),
            fatal: matches!(
                error,
                StorageError::Closed | StorageError::Poisoned | StorageError::UnknownPartition(_)
            ),
        }
    }
}

/// The receiving end of a mailbox.
pub(super) struct Incoming<M: Machine> {
    letters: mpsc::UnboundedReceiver<Letter<M>>,
    waiting: Arc<AtomicUsize>,
}

impl<M: Machine> Incoming<M> {
    pub(super) fn new(
        letters: mpsc::UnboundedReceiver<Letter<M>>,
        waiting: Arc<AtomicUsize>,
    ) -> Self {
        Self { letters, waiting }
    }

    async fn next(&mut self) -> Letter<M> {
        let letter = self.letters.recv().await.unwrap_or(Letter::Stop);
        self.taken(letter)
    }

    fn next_now(&mut self) -> Option<Letter<M>> {
        let letter = self.letters.try_recv().ok()?;
        Some(self.taken(letter))
    }

    fn taken(&self, letter: Letter<M>) -> Letter<M> {
        if matches!(letter, Letter::Event(..)) {
            self.waiting.fetch_sub(1, Ordering::Relaxed);
        }
        letter
    }

    /// Refuse what comes in for this long. Says whether the shard was asked to stop.
    async fn refuse_for(&mut self, pause: Duration) -> bool {
        let end = tokio::time::sleep(pause);
        tokio::pin!(end);
        loop {
            tokio::select! {
                () = &mut end => return false,
                letter = self.next() => match letter {
                    Letter::Event(_, sender) => drop(sender),
                    Letter::Stop => return true,
                },
            }
        }
    }
}

/// The task of a shard: replay, work until something fails, and again.
pub(super) async fn run<M, S, F>(
    setup: Setup<S, F>,
    mut incoming: Incoming<M>,
    handle: WeakShard<M>,
    state: watch::Sender<State>,
) where
    M: Machine,
    S: Shell<M>,
    F: Fn() -> M + Send + Sync + 'static,
{
    let name = setup.name.clone();
    let mut runner = Runner {
        setup: Arc::new(setup),
        handle,
        backoff_ms: BACKOFF_MS.0,
    };
    loop {
        let failure = match runner.live(&mut incoming, &state).await {
            Ok(()) => break,
            Err(failure) => failure,
        };
        tracing::error!(shard = name, "{}; its state is dropped", failure.why);
        state.send_replace(State::Failed(failure.why));
        if failure.fatal {
            break;
        }
        if incoming
            .refuse_for(Duration::from_millis(runner.backoff_ms))
            .await
        {
            break;
        }
        runner.backoff_ms = (runner.backoff_ms * 2).min(BACKOFF_MS.1);
    }
    state.send_replace(State::Stopped);
}

/// An outcome and who waits for it.
type Answer<M> = (oneshot::Sender<Outcome<M>>, Outcome<M>);

/// A round on its way to the disk.
struct InFlight {
    /// Where each of its batches belongs, and what comes of it.
    written: VecDeque<(Offset, Pending<Appended>)>,
    /// What follows once all of them are durable: actions, then answers.
    then: Pin<Box<dyn Future<Output = ()> + Send>>,
}

impl InFlight {
    /// Wait for the batches, then see to what follows. Can be dropped and called again.
    async fn finish(&mut self) -> Result<(), Failure> {
        self.land().await?;
        self.then.as_mut().await;
        Ok(())
    }

    async fn land(&mut self) -> Result<(), Failure> {
        while let Some((expected, pending)) = self.written.front_mut() {
            let (expected, outcome) = (*expected, pending.await);
            self.written.pop_front();
            let found = outcome?.base_offset;
            if found != expected {
                return Err(Failure::broken(format!(
                    "somebody else writes to its log: offset {found} where {expected} was due"
                )));
            }
        }
        Ok(())
    }
}

struct Runner<M: Machine, S, F> {
    setup: Arc<Setup<S, F>>,
    handle: WeakShard<M>,
    backoff_ms: u64,
}

/// A machine and what hangs on it. Dropping it refuses everyone who waits.
struct Live<M: Machine> {
    machine: M,
    next: Offset,
    tickets: u64,
    waiting: HashMap<Ticket, oneshot::Sender<Outcome<M>>>,
    in_flight: VecDeque<InFlight>,
    log_bytes: u64,
    checkpoint_at: u64,
    stopping: bool,
}

/// The decisions of one round, and the batches that its records make.
struct Round<M: Machine> {
    out: Effects<M>,
    parts: Parts,
}

impl<M: Machine> Round<M> {
    fn new(next: Offset, now: Timestamp) -> Self {
        Self {
            out: Effects::new(Applied {
                offset: next,
                timestamp_ms: now.wall_ms,
            }),
            parts: Parts::new(now.wall_ms, usize::MAX),
        }
    }

    /// Put records that were decided since the last call into their batches.
    fn encode(&mut self) {
        let done = self.parts.records();
        self.parts.extend(&self.out.records[done..]);
    }
}

impl<M, S, F> Runner<M, S, F>
where
    M: Machine,
    S: Shell<M>,
    F: Fn() -> M + Send + Sync + 'static,
{
    /// Build the machine and let it work. Ends well only if the shard is to stop.
    async fn live(
        &mut self,
        incoming: &mut Incoming<M>,
        state: &watch::Sender<State>,
    ) -> Result<(), Failure> {
        let mut live = self.load().await?;
        state.send_replace(State::Running);
        let outcome = self.work(&mut live, incoming).await;
        let in_flight = std::mem::take(&mut live.in_flight);
        drop(live);
        // What is on its way must have landed or failed before the log is read again. Nothing
        // follows from it any more: the next machine starts its unfinished actions anew.
        for mut round in in_flight {
            while round.land().await.is_err() {}
        }
        outcome
    }

    async fn load(&self) -> Result<Live<M>, Failure> {
        let mut machine = (self.setup.machine)();
        let replayed = super::replay::replay(&mut machine, &*self.setup.partition).await?;
        let mut live = Live {
            machine,
            next: replayed.end,
            tickets: 0,
            waiting: HashMap::new(),
            in_flight: VecDeque::new(),
            log_bytes: replayed.bytes,
            checkpoint_at: self.setup.checkpoint_bytes_min,
            stopping: false,
        };
        let now = self.setup.clock.now();
        let mut ends = self.setup.shell.ends(&live.machine);
        ends.producers = self.setup.partition.producers();
        let mut round = Round::new(live.next, now);
        live.machine.start(now, &ends, &mut round.out);
        self.settle(&mut live, now, round)?;
        Ok(live)
    }

    async fn work(
        &mut self,
        live: &mut Live<M>,
        incoming: &mut Incoming<M>,
    ) -> Result<(), Failure> {
        while !(live.stopping && live.in_flight.is_empty()) {
            let taking = !live.stopping && live.in_flight.len() < IN_FLIGHT_MAX;
            let timeout = live.machine.next_timeout().filter(|_| taking);
            let first = tokio::select! {
                outcome = oldest(&mut live.in_flight), if !live.in_flight.is_empty() => {
                    outcome?;
                    live.in_flight.pop_front();
                    self.backoff_ms = BACKOFF_MS.0;
                    continue;
                }
                letter = incoming.next(), if taking => Some(letter),
                () = self.until(timeout), if timeout.is_some() => None,
            };
            if first.is_some() {
                // Who is about to send is in this round then, and needs no write of its own.
                tokio::task::yield_now().await;
            }
            self.round(live, incoming, first)?;
        }
        Ok(())
    }

    /// Sleep until a moment of the monotonic clock.
    async fn until(&self, timeout: Option<i64>) {
        let now = self.setup.clock.now().monotonic_ms;
        let left_ms = timeout.map_or(0, |timeout| timeout.saturating_sub(now).max(0));
        tokio::time::sleep(Duration::from_millis(left_ms.unsigned_abs())).await;
    }

    /// Let the machine decide about all that is in the mailbox, then write and send it.
    fn round(
        &self,
        live: &mut Live<M>,
        incoming: &mut Incoming<M>,
        first: Option<Letter<M>>,
    ) -> Result<(), Failure> {
        let now = self.setup.clock.now();
        let mut round = Round::new(live.next, now);
        let mut letter = first;
        let mut events = 0;
        while let Some(next) = letter {
            let Letter::Event(event, sender) = next else {
                live.stopping = true;
                break;
            };
            let ticket = Ticket(live.tickets);
            live.tickets += 1;
            if let Some(sender) = sender {
                live.waiting.insert(ticket, sender);
            }
            live.machine.handle(now, ticket, event, &mut round.out);
            round.encode();
            events += 1;
            if events >= ROUND_EVENTS_MAX || round.parts.bytes() >= ROUND_BYTES {
                break;
            }
            letter = incoming.next_now();
        }
        if live
            .machine
            .next_timeout()
            .is_some_and(|at| at <= now.monotonic_ms)
        {
            live.machine.handle_timeout(now, &mut round.out);
        }
        self.settle(live, now, round)?;
        self.checkpoint(live, now)
    }

    /// Append a round's records; answer now what may go now, and line the rest up.
    fn settle(
        &self,
        live: &mut Live<M>,
        now: Timestamp,
        mut round: Round<M>,
    ) -> Result<(), Failure> {
        round.encode();
        let written = self.append_all(live, now, round.parts)?;
        let mut durable = Vec::new();
        for (ticket, reply, when) in round.out.replies {
            let Some(sender) = live.waiting.remove(&ticket) else {
                continue;
            };
            match when {
                When::Now => drop(sender.send(reply)),
                When::Durable => durable.push((sender, reply)),
            }
        }
        let actions = round.out.actions;
        if written.is_empty() && actions.is_empty() && live.in_flight.is_empty() {
            answer::<M>(durable);
        } else if !(written.is_empty() && actions.is_empty() && durable.is_empty()) {
            let (setup, handle) = (self.setup.clone(), self.handle.clone());
            let then = Box::pin(async move {
                for action in actions {
                    if let Some(shard) = handle.upgrade() {
                        setup.shell.perform(&shard, action).await;
                        // Thousands of actions that never wait must not hold the thread.
                        tokio::task::consume_budget().await;
                    }
                }
                answer::<M>(durable);
            });
            live.in_flight.push_back(InFlight { written, then });
        }
        Ok(())
    }

    /// Append batches and markers in their order. What was appended before one that is refused
    /// is still waited for, as the replay will see it.
    fn append_all(
        &self,
        live: &mut Live<M>,
        now: Timestamp,
        parts: Parts,
    ) -> Result<VecDeque<(Offset, Pending<Appended>)>, Failure> {
        let mut written = VecDeque::new();
        for part in parts.into_parts() {
            match self.append(live, now, part) {
                Ok(pending) => written.push_back(pending),
                Err(failure) => {
                    let then = Box::pin(std::future::ready(()));
                    live.in_flight.push_back(InFlight { written, then });
                    return Err(failure);
                }
            }
        }
        Ok(written)
    }

    fn append(
        &self,
        live: &mut Live<M>,
        now: Timestamp,
        part: Part,
    ) -> Result<(Offset, Pending<Appended>), Failure> {
        let (durability, partition) = (Durability::Synced, &self.setup.partition);
        let expected = live.next;
        let pending = match part {
            Part::Batch(batch) => {
                let too_large = || Failure::broken("a batch of more than 2 GiB".into());
                let batch = batch.build().ok_or_else(too_large)?;
                live.next = live.next.plus(i64::from(batch.header().count));
                live.log_bytes += batch.bytes().len() as u64;
                partition.append(&batch, Origin::Coordinator, durability, now.wall_ms)
            }
            Part::Marker(marker) => {
                live.next = live.next.plus(1);
                live.log_bytes += MARKER_BYTES;
                partition.append_marker(&marker, durability, now.wall_ms)
            }
        };
        match pending {
            Pending::Ready(Some(Err(error))) => Err(error.into()),
            pending => Ok((expected, pending)),
        }
    }

    /// If the log has grown long for what it says, write all of it anew and cut the old part off.
    /// A crash in between leaves both, which replays to the same state.
    fn checkpoint(&self, live: &mut Live<M>, now: Timestamp) -> Result<(), Failure> {
        if live.log_bytes <= live.checkpoint_at {
            return Ok(());
        }
        let mut records = Vec::new();
        live.machine.snapshot(&mut records);
        let mut parts = Parts::new(now.wall_ms, ROUND_BYTES);
        parts.extend(&records);
        let live_bytes = parts.bytes() as u64;
        live.checkpoint_at = (4 * live_bytes).max(self.setup.checkpoint_bytes_min);
        if live.log_bytes <= live.checkpoint_at {
            return Ok(());
        }
        let start = live.next;
        live.log_bytes = 0;
        let written = self.append_all(live, now, parts)?;
        let setup = self.setup.clone();
        let then = Box::pin(async move {
            // The old part still replays to the same state: a cut that fails is no failure.
            if let Err(error) = setup.partition.advance_start(start).await {
                tracing::warn!(shard = setup.name, "old log is kept: {error}");
            }
        });
        live.in_flight.push_back(InFlight { written, then });
        Ok(())
    }
}

/// The oldest round's outcome.
async fn oldest(in_flight: &mut VecDeque<InFlight>) -> Result<(), Failure> {
    match in_flight.front_mut() {
        Some(round) => round.finish().await,
        None => Ok(()),
    }
}

fn answer<M: Machine>(replies: Vec<Answer<M>>) {
    for (sender, reply) in replies {
        drop(sender.send(reply));
    }
}
