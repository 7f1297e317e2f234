//! The writing half: answers, in the order of their requests -> socket.
//!
//! Small answers that are ready leave in one call. Ranges of files leave by sendfile, the bytes
//! in front of them with MSG_MORE; short ranges are read instead, which costs less.

use std::collections::VecDeque;
use std::future::poll_fn;
use std::io::{self, IoSlice};
use std::mem;
use std::sync::Arc;
use std::task::{Context as TaskContext, Poll};

use bytes::Buf;
use ratel_protocol::ApiKey;
use ratel_storage::{FileRange, Slice, StorageError};
use rustix::net::{SendAncillaryBuffer, SendFlags};
use tokio::io::Interest;
use tokio::net::TcpStream;
use tokio::net::tcp::WriteHalf;

use super::patience::Patience;
use super::{Closed, page_cache};
use crate::api::{Answer, Later};
use crate::broker::Broker;
use crate::clock::Clock;
use crate::metrics::{Metrics, Rejection};
use crate::quota::Charge;

/// Answers that one connection may be owed.
const QUEUE_ANSWERS: usize = 64;
/// Requests that one connection may have waiting besides Produce: what a decoded request holds
/// is a multiple of its frame, and no client keeps more than a handful of these in flight.
const QUEUE_WAITING: usize = 16;
/// Bytes of ready answers that may wait for one connection.
const QUEUE_BYTES: usize = 8 << 20;
/// Ready answers are put together up to about this many bytes.
const TOGETHER_BYTES: usize = 64 << 10;
/// Buffers in one system call.
const BUFFERS: usize = 64;
/// Ranges of files from this length on leave by sendfile.
const SENDFILE_BYTES: usize = 16 << 10;
/// The most that one sendfile moves, so that connections take turns.
const SENDFILE_STEP_BYTES: usize = 1 << 20;
/// What is read of a file at a time where sendfile cannot be used.
const READ_STEP_BYTES: usize = 256 << 10;
/// A client has to take this much within each `write.timeout.ms`.
const PROGRESS_BYTES: usize = 256 << 10;

/// An answer to come, in its place.
pub struct Queued {
    key: ApiKey,
    read_us: u64,
    charge: Charge,
    later: Later,
    memory_bytes: usize,
}

impl Queued {
    /// The answer to a request of this API that was read at `read_us`; `charge` is what its frame
    /// costs.
    pub fn new(key: ApiKey, read_us: u64, mut charge: Charge, later: Later) -> Self {
        if key == ApiKey::Produce {
            // Its batches are in the log by now, and what waits for the sync is small.
            drop(charge.split(usize::MAX));
        }
        Self {
            key,
            read_us,
            charge,
            later,
            memory_bytes: 0,
        }
    }

    /// Whether the answer may take as long as the client asked for: not worth waiting for at the
    /// end.
    fn is_parked(&self) -> bool {
        matches!(self.later, Later::Wait(_))
            && matches!(
                self.key,
                ApiKey::Fetch | ApiKey::JoinGroup | ApiKey::SyncGroup | ApiKey::ShareFetch
            )
    }

    /// Whether it counts towards [`QUEUE_WAITING`].
    fn is_waiting(&self) -> bool {
        matches!(self.later, Later::Wait(_)) && self.key != ApiKey::Produce
    }

    fn charge_answer(&mut self, answer: &Answer) {
        self.memory_bytes = answer.memory_bytes();
        self.charge.add(self.memory_bytes);
    }
}

/// The writing half of a connection.
pub struct Writer<'a> {
    socket: WriteHalf<'a>,
    clock: Arc<dyn Clock>,
    metrics: Arc<Metrics>,
    timeout_ms: u64,
    queue: VecDeque<Queued>,
    /// How many of them wait, besides Produce.
    waiting: usize,
    /// What leaves now, front first.
    sending: VecDeque<Slice>,
    /// What the requests and answers in `sending` cost.
    charges: Vec<Charge>,
    /// Bytes of the ready answers in `queue` and `sending`.
    memory_bytes: usize,
    /// The part of it that lies in `sending`.
    sending_bytes: usize,
    /// Nothing leaves after what is in `sending`.
    closing: bool,
    stall: Option<Stall>,
    /// Up to where the file range at the front was found in the page cache.
    warm_end: u64,
}

/// A client that does not take what it is owed.
struct Stall {
    patience: Patience,
    taken_bytes: usize,
}

impl<'a> Writer<'a> {
    /// The writing half of a connection.
    pub fn new(socket: WriteHalf<'a>, broker: &Broker) -> Self {
        Self {
            socket,
            clock: broker.clock.clone(),
            metrics: broker.metrics.clone(),
            timeout_ms: broker.config.write_timeout_ms,
            queue: VecDeque::new(),
            waiting: 0,
            sending: VecDeque::new(),
            charges: Vec::new(),
            memory_bytes: 0,
            sending_bytes: 0,
            closing: false,
            stall: None,
            warm_end: 0,
        }
    }

    /// Whether another request may be read.
    pub fn has_room(&self) -> bool {
        self.queue.len() < QUEUE_ANSWERS
            && self.waiting < QUEUE_WAITING
            && self.memory_bytes < QUEUE_BYTES
            && !self.closing
    }

    /// Whether anything is owed.
    pub fn has_work(&self) -> bool {
        !self.queue.is_empty() || !self.sending.is_empty() || self.closing
    }

    /// Put an answer behind those that are there.
    pub fn push(&mut self, mut queued: Queued) {
        if let Later::Ready(answer) = &mut queued.later {
            let answer = mem::replace(answer, Answer::Nothing);
            queued.charge_answer(&answer);
            queued.later = Later::Ready(answer);
            self.memory_bytes += queued.memory_bytes;
        }
        self.waiting += usize::from(queued.is_waiting());
        self.queue.push_back(queued);
    }

    /// Wait for the answer at the front and write it, and with it what else is ready. May be
    /// dropped at any time and called again.
    pub async fn advance(&mut self) -> Result<(), Closed> {
        if self.sending.is_empty() && !self.closing {
            poll_fn(|cx| self.poll_gather(cx)).await?;
        }
        self.flush().await
    }

    /// Write what is ready and can be written without waiting.
    pub async fn flush_ready(&mut self) -> Result<(), Closed> {
        loop {
            tokio::select! {
                biased;
                wrote = self.advance(), if self.has_work() => wrote?,
                () = std::future::ready(()) => return Ok(()),
            }
        }
    }

    /// Write everything that is owed and does not wait for something to happen elsewhere.
    pub async fn drain(&mut self) -> Result<(), Closed> {
        while !self.sending.is_empty() || !self.queue.iter().all(Queued::is_parked) {
            self.advance().await?;
        }
        Ok(())
    }

    fn poll_gather(&mut self, cx: &mut TaskContext<'_>) -> Poll<Result<(), Closed>> {
        let mut gathered = false;
        let mut together = 0;
        while together < TOGETHER_BYTES && self.sending.len() < BUFFERS && !self.closing {
            let Some(front) = self.queue.front_mut() else {
                break;
            };
            let answer = match &mut front.later {
                Later::Ready(answer) => mem::replace(answer, Answer::Nothing),
                Later::Wait(future) => match future.as_mut().poll(cx) {
                    Poll::Pending => break,
                    Poll::Ready(answer) => {
                        front.charge_answer(&answer);
                        self.memory_bytes += front.memory_bytes;
                        answer
                    }
                },
            };
            let queued = self.queue.pop_front().expect("it was at the front");
            self.waiting -= usize::from(queued.is_waiting());
            together += self.send(queued, answer)?;
            gathered = true;
        }
        if gathered {
            Poll::Ready(Ok(()))
        } else {
            Poll::Pending
        }
    }

    /// Put an answer among what leaves now. Gives its length in bytes.
    fn send(&mut self, queued: Queued, answer: Answer) -> Result<usize, Closed> {
        let elapsed_us = self.clock.monotonic_us().saturating_sub(queued.read_us);
        self.metrics.request(queued.key, elapsed_us);
        self.sending_bytes += queued.memory_bytes;
        self.charges.push(queued.charge);
        let before = self.sending.len();
        match answer {
            Answer::Body(bytes) => self.sending.push_back(Slice::Bytes(bytes)),
            Answer::Pieces(pieces) => {
                for piece in pieces {
                    self.sending.push_back(match piece {
                        Slice::File(range) if range.len < SENDFILE_BYTES => load(&range)?,
                        piece => piece,
                    });
                }
            }
            Answer::Nothing => {}
            Answer::Close => self.closing = true,
        }
        Ok(self.sending.range(before..).map(Slice::len).sum())
    }

    /// Write all of `sending`.
    async fn flush(&mut self) -> Result<(), Closed> {
        while let Some(front) = self.sending.front_mut() {
            match front {
                Slice::Bytes(_) => self.send_bytes().await?,
                Slice::File(range) if range.len == 0 => {
                    self.sending.pop_front();
                }
                Slice::File(range) if range.file.descriptor().is_some() => self.send_file().await?,
                Slice::File(range) => {
                    let step = take_front(range, READ_STEP_BYTES);
                    let step = load(&step)?;
                    self.sending.push_front(step);
                }
            }
        }
        self.stall = None;
        self.charges.clear();
        self.memory_bytes -= mem::take(&mut self.sending_bytes);
        if self.closing {
            return Err(Closed::Done);
        }
        Ok(())
    }

    /// Write the bytes at the front in one call.
    async fn send_bytes(&mut self) -> Result<(), Closed> {
        let Self {
            socket,
            sending,
            stall,
            clock,
            timeout_ms,
            ..
        } = self;
        let mut buffers = [IoSlice::new(&[]); BUFFERS];
        let mut count = 0;
        let mut flags = SendFlags::NOSIGNAL;
        for slice in sending.iter() {
            match slice {
                Slice::Bytes(bytes) if count < BUFFERS => {
                    buffers[count] = IoSlice::new(bytes);
                    count += 1;
                }
                _ => {
                    flags |= SendFlags::MORE;
                    break;
                }
            }
        }
        let waiting = Waiting {
            stream: socket.as_ref(),
            stall,
            clock,
            timeout_ms: *timeout_ms,
        };
        let mut sent = waiting
            .write(|| {
                let mut control = SendAncillaryBuffer::default();
                let stream: &TcpStream = socket.as_ref();
                Ok(rustix::net::sendmsg(
                    stream,
                    &buffers[..count],
                    &mut control,
                    flags,
                )?)
            })
            .await?;
        while let Some(Slice::Bytes(front)) = self.sending.front_mut() {
            if sent < front.len() {
                front.advance(sent);
                break;
            }
            sent -= front.len();
            self.sending.pop_front();
        }
        Ok(())
    }

    /// Send some of the file range at the front without copying it here.
    async fn send_file(&mut self) -> Result<(), Closed> {
        let Some(Slice::File(range)) = self.sending.front_mut() else {
            return Ok(());
        };
        // One look serves all the calls that a step takes: a socket has room for part of it.
        if self.warm_end <= range.position {
            let step = range.len.min(SENDFILE_STEP_BYTES);
            if page_cache::is_cold(range, step) {
                page_cache::warm(range.clone(), step).await;
            }
            self.warm_end = range.position + step as u64;
        }
        // No further than what was looked at.
        let step = usize::try_from(self.warm_end - range.position).unwrap_or(SENDFILE_STEP_BYTES);
        let step = range.len.min(step);
        let stream: &TcpStream = self.socket.as_ref();
        let waiting = Waiting {
            stream,
            stall: &mut self.stall,
            clock: &self.clock,
            timeout_ms: self.timeout_ms,
        };
        let sent = waiting
            .write(|| {
                let file = range.file.descriptor().ok_or(io::ErrorKind::Unsupported)?;
                let mut position = range.position;
                Ok(rustix::fs::sendfile(
                    stream,
                    file,
                    Some(&mut position),
                    step,
                )?)
            })
            .await?;
        if sent == 0 {
            return Err(Closed::Io(io::ErrorKind::UnexpectedEof.into()));
        }
        take_front(range, sent);
        if range.len == 0 {
            self.sending.pop_front();
            self.warm_end = 0;
        }
        tokio::task::consume_budget().await;
        Ok(())
    }
}

/// Take up to `bytes` off the front of a range.
fn take_front(range: &mut FileRange, bytes: usize) -> FileRange {
    let bytes = bytes.min(range.len);
    let front = FileRange {
        file: range.file.clone(),
        position: range.position,
        len: bytes,
    };
    range.position += bytes as u64;
    range.len -= bytes;
    front
}

/// Read a range of a file.
fn load(range: &FileRange) -> Result<Slice, Closed> {
    match Slice::File(range.clone()).to_bytes() {
        Ok(bytes) => Ok(Slice::Bytes(bytes)),
        Err(StorageError::Io(error)) => Err(Closed::Io(io::Error::new(error.kind(), error))),
        Err(error) => Err(Closed::Io(io::Error::other(error))),
    }
}

/// What it takes to wait for a client that is slow to read.
struct Waiting<'a> {
    stream: &'a TcpStream,
    stall: &'a mut Option<Stall>,
    clock: &'a Arc<dyn Clock>,
    timeout_ms: u64,
}

impl Waiting<'_> {
    /// Call `write` until it does not say that it would block. Gives the bytes that left.
    async fn write(self, mut write: impl FnMut() -> io::Result<usize>) -> Result<usize, Closed> {
        let sent = match self.stream.try_io(Interest::WRITABLE, &mut write) {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                let stall = self.stall.get_or_insert_with(|| Stall {
                    patience: Patience::new(self.clock.clone(), self.timeout_ms),
                    taken_bytes: 0,
                });
                tokio::select! {
                    biased;
                    sent = self.stream.async_io(Interest::WRITABLE, write) => sent?,
                    () = stall.patience.end() => {
                        return Err(Closed::Timeout(Rejection::WriteTimeout));
                    }
                }
            }
            sent => sent?,
        };
        if let Some(stall) = self.stall {
            stall.taken_bytes += sent;
            if stall.taken_bytes >= PROGRESS_BYTES {
                stall.taken_bytes = 0;
                stall
                    .patience
                    .set(self.clock.now().monotonic_ms, self.timeout_ms);
            }
        }
        Ok(sent)
    }
}
