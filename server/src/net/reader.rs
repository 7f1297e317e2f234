//! The reading half: socket -> frames -> handlers, in order.
//!
//! Memory: an idle connection holds no buffer. Each worker thread has one scratch buffer that the
//! sockets are read into; what was read is copied once, into an allocation of its own size, and
//! frames are slices of that. A frame that does not fit the scratch buffer gets a buffer of its
//! own, which grows in steps as its bytes arrive (never to the length it claims) and is read into
//! directly; a connection that sends one such frame after the other keeps it between them, at most
//! for a second and as long as memory is not tight.

use std::cell::RefCell;
use std::future::poll_fn;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Poll, ready};
use std::time::Duration;

use bytes::{Buf, BufMut, Bytes, BytesMut};
use ratel_protocol::frame::{PREFIX_BYTES, announced_length};
use ratel_protocol::request::{Preamble, take_client_id};
use ratel_protocol::{ApiKey, StrBytes, WireError};
use tokio::io::{AsyncRead, AsyncReadExt, Interest, ReadBuf};
use tokio::net::tcp::ReadHalf;
use tokio::time::sleep;

use super::patience::Patience;
use super::writer::Queued;
use super::{Closed, Router, Session, request_time};
use crate::api::{self, Answer, Context, Handling, Later};
use crate::broker::Broker;
use crate::clock::Timestamp;
use crate::metrics::Rejection;
use crate::quota::{Beyond, Budget, Charge, SMALL_BYTES};

/// Bytes of a worker's scratch buffer.
const SCRATCH_BYTES: usize = 64 << 10;
/// A large frame's buffer grows by at most this much ahead of what has arrived.
const STEP_BYTES: usize = 1 << 20;
/// A buffer up to this size is kept by an idle connection.
const KEPT_BYTES: usize = 4 << 10;
/// One up to this size is kept for a while, if memory is not tight.
const KEPT_BYTES_MAX: usize = 2 * STEP_BYTES;
/// How long an idle connection keeps a large buffer.
const KEPT_MS: u64 = 1000;
/// How often a connection that owes too much to read on is asked whether it is still there.
const HANG_UP_CHECK: Duration = Duration::from_secs(1);

thread_local! {
    static SCRATCH: RefCell<Box<[u8]>> = RefCell::new(vec![0; SCRATCH_BYTES].into());
}

/// A request whose handler has not fixed its order yet.
struct Work {
    key: ApiKey,
    read_us: u64,
    charge: Charge,
    handling: Handling,
}

/// The reading half of a connection.
pub struct Reader<'a> {
    socket: ReadHalf<'a>,
    session: Arc<Session>,
    broker: Arc<Broker>,
    budget: Arc<Budget>,
    router: Router,
    /// Bytes that were read and not taken yet.
    pending: BytesMut,
    /// What `pending` costs.
    charge: Charge,
    /// What the buffer costs while it waits for the next frame.
    kept: Charge,
    /// Held while the frame in `pending` goes beyond the budget.
    beyond: Option<Beyond>,
    /// The request in work.
    work: Option<Work>,
    /// The client id of the last request, in an allocation of its own.
    client_id: Option<StrBytes>,
    patience: Patience,
    /// When the last bytes came.
    last_read: Timestamp,
    last_read_us: u64,
    /// The largest buffer that `pending` may hold on to, in bytes.
    held_bytes: usize,
    /// The part of a frame that is being waited for.
    step: Option<Step>,
}

/// Part of a frame, with a deadline of its own: a large frame takes as long as it takes, if it
/// moves.
#[derive(Clone, Copy)]
struct Step {
    began_ms: i64,
    from_bytes: usize,
}

impl<'a> Reader<'a> {
    /// The reading half of a connection that was opened now.
    pub fn new(
        socket: ReadHalf<'a>,
        session: Arc<Session>,
        broker: Arc<Broker>,
        budget: Arc<Budget>,
        router: Router,
    ) -> Self {
        let idle_ms = broker.config.connections_max_idle_ms;
        Self {
            socket,
            session,
            pending: BytesMut::new(),
            charge: Charge::new(budget.clone()),
            kept: Charge::new(budget.clone()),
            beyond: None,
            work: None,
            client_id: None,
            patience: Patience::new(broker.clock.clone(), idle_ms),
            last_read: broker.clock.now(),
            last_read_us: 0,
            held_bytes: 0,
            step: None,
            broker,
            budget,
            router,
        }
    }

    /// Whether there is something to do without asking the socket.
    pub fn has_frame(&self) -> bool {
        self.work.is_some() || matches!(self.missing(), Ok(0) | Err(_))
    }

    /// The next request's answer to come, its order fixed; `None` when the client is gone. May be
    /// dropped at any time and called again.
    pub async fn next(&mut self) -> Result<Option<Queued>, Closed> {
        loop {
            if let Some(work) = &mut self.work {
                let handled = work.handling.as_mut().await;
                let work = self.work.take().expect("it was there a moment ago");
                let later = handled.map_err(|error| self.refused(work.key, error))?;
                return Ok(Some(Queued::new(
                    work.key,
                    work.read_us,
                    work.charge,
                    later,
                )));
            }
            if !self.await_unmuted().await? {
                return Ok(None);
            }
            if self.missing()? == 0 {
                if let Some(queued) = self.begin()? {
                    return Ok(Some(queued));
                }
            } else if !self.fill().await? {
                return Ok(None);
            }
        }
    }

    /// Wait while the client has to be silent; `false` if it is gone. What it sends meanwhile stays
    /// in the socket, and what is here counts as read after it: the time is not the client's.
    async fn await_unmuted(&mut self) -> Result<bool, Closed> {
        if self.session.muted_ms(self.last_read.monotonic_ms) == 0 {
            return Ok(true);
        }
        loop {
            let now = self.broker.clock.now();
            let left = Duration::from_millis(self.session.muted_ms(now.monotonic_ms));
            if left.is_zero() {
                self.last_read = now;
                self.last_read_us = self.broker.clock.monotonic_us();
                self.step = None;
                return Ok(true);
            }
            // There is one right to go beyond the budget, and others may be waiting for it.
            self.beyond = None;
            sleep(left.min(HANG_UP_CHECK)).await;
            if self.is_gone().await? {
                return Ok(false);
            }
        }
    }

    /// Whether the client has closed its end.
    async fn is_gone(&mut self) -> Result<bool, Closed> {
        tokio::select! {
            biased;
            ready = self.socket.ready(Interest::READABLE) => Ok(ready?.is_read_closed()),
            () = std::future::ready(()) => Ok(false),
        }
    }

    /// [`Self::next`]; or, if nothing is to be read now, wait until the client is gone.
    pub async fn next_or_hang_up(&mut self, reading: bool) -> Result<Option<Queued>, Closed> {
        if reading {
            return self.next().await;
        }
        loop {
            sleep(HANG_UP_CHECK).await;
            if self.is_gone().await? {
                return Ok(None);
            }
        }
    }

    fn refused(&self, key: ApiKey, error: WireError) -> Closed {
        tracing::debug!(peer = %self.session.peer, ?key, %error, "request refused");
        Closed::Wire(error)
    }

    /// How many bytes the frame at the front still lacks, as far as is known. Checks the length
    /// it claims against the cap of its API (NET-1).
    fn missing(&self) -> Result<usize, WireError> {
        let Some(prefix) = self.pending.first_chunk::<PREFIX_BYTES>() else {
            return Ok(PREFIX_BYTES + 2 - self.pending.len());
        };
        let config = &self.broker.config;
        let largest = config
            .socket_request_max_bytes
            .max(config.request_max_bytes);
        let mut length = announced_length(*prefix, largest)?;
        let Some(key) = self.pending[PREFIX_BYTES..].first_chunk::<2>() else {
            return Ok(PREFIX_BYTES + 2 - self.pending.len());
        };
        if i16::from_be_bytes(*key) == ApiKey::Produce as i16 {
            length = announced_length(*prefix, config.socket_request_max_bytes)?;
        } else {
            length = length.min(announced_length(*prefix, config.request_max_bytes)?);
        }
        Ok((PREFIX_BYTES + length).saturating_sub(self.pending.len()))
    }

    /// Take the whole frame at the front and start its handler. Gives the answer if there is
    /// nothing to handle.
    fn begin(&mut self) -> Result<Option<Queued>, Closed> {
        let mut frame = self.take_frame();
        let charge = self.charge.split(PREFIX_BYTES + frame.len());
        (self.beyond, self.step) = (None, None);
        let preamble = Preamble::take(&mut frame)?;
        let read_us = self.last_read_us;
        let route = match (self.router)(preamble.key, preamble.version) {
            Ok(route) => route,
            Err(WireError::UnsupportedVersion { key, .. }) if key == ApiKey::ApiVersions as i16 => {
                let answer = api::unsupported_api_versions(preamble.correlation_id);
                let later = Later::Ready(Answer::Body(answer));
                return Ok(Some(Queued::new(
                    ApiKey::ApiVersions,
                    read_us,
                    charge,
                    later,
                )));
            }
            Err(error) => return Err(error.into()),
        };
        let client_id = take_client_id(&mut frame, route.key, preamble.version)?;
        let context = Context {
            broker: self.broker.clone(),
            session: self.session.clone(),
            key: route.key,
            version: preamble.version,
            correlation_id: preamble.correlation_id,
            client_id: self.remember(client_id),
            received: self.last_read,
        };
        self.work = Some(Work {
            key: route.key,
            read_us,
            charge,
            handling: request_time::measured(context, |cx| route.handle(cx, frame)),
        });
        Ok(None)
    }

    /// The frame at the front, without its prefix.
    fn take_frame(&mut self) -> Bytes {
        let length = self.pending.get_i32();
        let length = usize::try_from(length).expect("checked by missing()");
        if length <= KEPT_BYTES && self.held_bytes > SMALL_BYTES {
            // A small request may be parked, and must not hold on to a large buffer.
            let frame = Bytes::copy_from_slice(&self.pending[..length]);
            self.pending.advance(length);
            return frame;
        }
        self.pending.split_to(length).freeze()
    }

    /// A client id that does not keep its frame alive. Clients send the same one every time.
    fn remember(&mut self, client_id: Option<StrBytes>) -> Option<StrBytes> {
        if self.client_id != client_id {
            self.client_id = client_id.map(|id| StrBytes::from_string(id.to_string()));
        }
        self.client_id.clone()
    }

    /// Read what is there; `false` at the end of the stream.
    async fn fill(&mut self) -> Result<bool, Closed> {
        let missing = self.missing()?;
        self.keep_or_give_back();
        self.await_room().await;
        self.be_patient();
        // A large frame, or a connection that just had one: read to where the bytes will stay.
        let direct = if self.pending.is_empty() {
            self.pending.try_reclaim(SMALL_BYTES)
        } else {
            self.pending.len() + missing > SMALL_BYTES
        };
        let read = loop {
            let (socket, pending) = (&mut self.socket, &mut self.pending);
            tokio::select! {
                biased;
                read = async {
                    if direct {
                        read_direct(socket, pending, missing).await
                    } else {
                        read_scratch(socket, pending).await
                    }
                } => break read?,
                () = self.patience.end() => self.overdue()?,
            }
        };
        self.charge.add(read);
        drop(self.kept.split(usize::MAX));
        self.held_bytes = self.held_bytes.max(self.pending.capacity());
        self.last_read = self.broker.clock.now();
        self.last_read_us = self.broker.clock.monotonic_us();
        Ok(read > 0)
    }

    /// Between two frames: keep a large buffer for the next one, or give it back.
    fn keep_or_give_back(&mut self) {
        if !self.pending.is_empty() || self.held_bytes <= KEPT_BYTES {
            return;
        }
        if self.held_bytes > KEPT_BYTES_MAX || self.budget.is_tight() {
            self.give_back();
        } else if self.kept.bytes() == 0 {
            self.kept.add(self.held_bytes);
        }
    }

    fn give_back(&mut self) {
        self.pending = BytesMut::new();
        self.held_bytes = 0;
        drop(self.kept.split(usize::MAX));
    }

    /// Ask for memory before reading on. The time that takes is not the client's.
    async fn await_room(&mut self) {
        if self.beyond.is_some() {
            return;
        }
        let held = self.pending.len();
        if !self.budget.has_room(held) {
            self.beyond = self.budget.room(held).await;
            self.last_read = self.broker.clock.now();
            self.step = None;
        }
    }

    /// Set the deadline for the next bytes.
    fn be_patient(&mut self) {
        let config = &self.broker.config;
        let last_ms = self.last_read.monotonic_ms;
        if self.pending.is_empty() {
            let keeps_buffer = self.held_bytes > KEPT_BYTES;
            let idle_ms = config.connections_max_idle_ms;
            let wait_ms = if keeps_buffer {
                KEPT_MS.min(idle_ms)
            } else {
                idle_ms
            };
            self.patience.set(last_ms, wait_ms);
            return;
        }
        let here = self.pending.len();
        let step = match self.step {
            Some(step) if here < step.from_bytes + STEP_BYTES => step,
            _ => Step {
                began_ms: last_ms,
                from_bytes: here,
            },
        };
        self.step = Some(step);
        self.patience.set(step.began_ms, config.frame_timeout_ms);
    }

    /// The deadline is past: give a large buffer back, or give the client up.
    fn overdue(&mut self) -> Result<(), Closed> {
        if !self.pending.is_empty() {
            return Err(Closed::Timeout(Rejection::FrameTimeout));
        }
        let idle_ms = self.broker.config.connections_max_idle_ms;
        let now_ms = self.broker.clock.now().monotonic_ms;
        let quiet_ms = u64::try_from(now_ms - self.last_read.monotonic_ms).unwrap_or(0);
        if quiet_ms >= idle_ms {
            return Err(Closed::Timeout(Rejection::Idle));
        }
        self.give_back();
        self.patience.set(now_ms, idle_ms - quiet_ms);
        Ok(())
    }
}

/// Read into `pending` itself, at most to the end of the frame if there is one under way.
async fn read_direct(
    socket: &mut ReadHalf<'_>,
    pending: &mut BytesMut,
    missing: usize,
) -> io::Result<usize> {
    if pending.is_empty() {
        return socket.read_buf(pending).await;
    }
    pending.reserve(missing.min(STEP_BYTES));
    socket.read_buf(&mut pending.limit(missing)).await
}

/// Read into the worker's scratch buffer, then copy what came into an allocation of its size.
async fn read_scratch(socket: &mut ReadHalf<'_>, pending: &mut BytesMut) -> io::Result<usize> {
    poll_fn(|cx| {
        SCRATCH.with_borrow_mut(|scratch| {
            let mut buffer = ReadBuf::new(scratch);
            ready!(Pin::new(&mut *socket).poll_read(cx, &mut buffer))?;
            let read = buffer.filled();
            if pending.is_empty() && !pending.try_reclaim(read.len()) {
                *pending = BytesMut::with_capacity(read.len());
            }
            pending.extend_from_slice(read);
            Poll::Ready(Ok(read.len()))
        })
    })
    .await
}
