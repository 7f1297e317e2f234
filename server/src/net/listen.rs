//! Listen and accept: one task per connection, counted, bounded, and drained at the end.

use std::collections::HashMap;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::num::NonZeroU32;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use rustix::net::sockopt;
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::sync::watch;
use tokio::task::{JoinError, JoinSet};
use tokio::time::{sleep, timeout};

use super::{Router, Session, connection, down};
use crate::api;
use crate::broker::Broker;
use crate::client_quotas::{Rate, Window};
use crate::config::Config;
use crate::metrics::{ConnectionGuard, Rejection};
use crate::quota::Budget;

/// Connections that may wait to be accepted. The system's default of 128 overflows in a burst,
/// and each overflow costs its client a second.
const BACKLOG: u32 = 4096;
/// How long to wait after a failed accept; doubled up to the maximum while it goes on.
const PAUSE_MIN: Duration = Duration::from_millis(5);
const PAUSE_MAX: Duration = Duration::from_secs(1);
/// A connection on which nothing moves is asked for a sign of life after so long, so often, and is
/// over if none comes: two minutes in all. Nothing else tells of a client that is gone without a
/// word while it is not read from.
const KEEP_ALIVE_IDLE: Duration = Duration::from_secs(60);
const KEEP_ALIVE_INTERVAL: Duration = Duration::from_secs(15);
const KEEP_ALIVE_PROBES: u32 = 4;

/// The sizes of a connection's buffers in bytes, which Linux doubles for its own use; one that is
/// `None` is sized by the system.
#[derive(Debug, Clone, Copy)]
pub struct Buffers {
    send: Option<NonZeroU32>,
    receive: Option<NonZeroU32>,
}

impl Buffers {
    /// What the configuration says of them.
    #[must_use]
    pub fn of(config: &Config) -> Self {
        Self {
            send: config.socket_send_buffer_bytes,
            receive: config.socket_receive_buffer_bytes,
        }
    }
}

/// Listen on `addr`; port 0 lets the system choose.
///
/// # Errors
/// Whatever the system says, an address in use above all.
pub fn bind(addr: SocketAddr, buffers: Buffers) -> io::Result<TcpListener> {
    let socket = if addr.is_ipv4() {
        TcpSocket::new_v4()?
    } else {
        TcpSocket::new_v6()?
    };
    socket.set_reuseaddr(true)?;
    // What is accepted inherits all this, and the window that a handshake offers fits it.
    if let Some(bytes) = buffers.send {
        socket.set_send_buffer_size(bytes.get())?;
    }
    if let Some(bytes) = buffers.receive {
        socket.set_recv_buffer_size(bytes.get())?;
    }
    sockopt::set_socket_keepalive(&socket, true)?;
    sockopt::set_tcp_keepidle(&socket, KEEP_ALIVE_IDLE)?;
    sockopt::set_tcp_keepintvl(&socket, KEEP_ALIVE_INTERVAL)?;
    sockopt::set_tcp_keepcnt(&socket, KEEP_ALIVE_PROBES)?;
    socket.bind(addr)?;
    socket.listen(BACKLOG)
}

/// What all listeners of one broker share.
pub struct Network {
    broker: Arc<Broker>,
    budget: Arc<Budget>,
    doors: Arc<Mutex<Doors>>,
    router: Router,
    shutdown: watch::Receiver<bool>,
    /// Connections until now: each gets its number from here.
    connections: AtomicU64,
    /// New connections, held against `max.connection.creation.rate`.
    accepted: Mutex<Rate>,
}

impl Network {
    /// The network of a broker, until `shutdown` turns true (or its sender goes).
    #[must_use]
    pub fn new(broker: Arc<Broker>, shutdown: watch::Receiver<bool>) -> Self {
        Self {
            budget: Arc::new(Budget::new(broker.config.memory_request_bytes)),
            doors: Arc::default(),
            broker,
            router: api::route,
            shutdown,
            connections: AtomicU64::new(0),
            accepted: Mutex::default(),
        }
    }

    /// The same network, with other rows than those of the API table.
    #[cfg(test)]
    pub(super) fn with_router(self, router: Router) -> Self {
        Self { router, ..self }
    }

    /// The memory of frames and answers in flight.
    #[must_use]
    pub fn budget(&self) -> &Arc<Budget> {
        &self.budget
    }

    /// Accept and serve connections of the listener called `name` until shutdown; then stop
    /// accepting, let what is in work finish for at most `shutdown.timeout.ms`, and close the
    /// rest. Run it in a task of its own.
    pub async fn serve(&self, listener: TcpListener, name: Arc<str>) {
        let mut connections = JoinSet::new();
        let mut shutdown = self.shutdown.clone();
        let mut pause = PAUSE_MIN;
        loop {
            tokio::select! {
                accepted = listener.accept() => match accepted {
                    Ok((stream, peer)) => {
                        pause = PAUSE_MIN;
                        // Those behind it wait, too: in the backlog.
                        self.pace().await;
                        self.open(&mut connections, stream, peer, &name);
                    }
                    Err(error) => pause = self.refused(&error, pause).await,
                },
                Some(ended) = connections.join_next() => self.ended(ended),
                () = down(&mut shutdown) => break,
            }
        }
        drop(listener);
        let drained = timeout(
            Duration::from_millis(self.broker.config.shutdown_timeout_ms),
            async {
                while let Some(ended) = connections.join_next().await {
                    self.ended(ended);
                }
            },
        );
        if drained.await.is_err() {
            tracing::warn!(
                listener = %name,
                connections = connections.len(),
                "closing connections that still had requests in work"
            );
        }
        connections.shutdown().await;
    }

    fn open(
        &self,
        connections: &mut JoinSet<()>,
        stream: TcpStream,
        peer: SocketAddr,
        name: &Arc<str>,
    ) {
        let permit = match Permit::take(&self.doors, &self.broker, peer.ip(), name) {
            Ok(permit) => permit,
            Err(reason) => {
                tracing::debug!(%peer, reason = reason.label(), "connection refused");
                self.broker.metrics.rejected(reason);
                return;
            }
        };
        let now_ms = self.broker.clock.now().monotonic_ms;
        let wait_ms = self.broker.client_quotas.connected(peer.ip(), now_ms);
        if wait_ms > 0 {
            self.turn_away(connections, stream, permit, wait_ms);
            return;
        }
        // Fails only if the client is gone again.
        let (Ok(local), Ok(())) = (stream.local_addr(), stream.set_nodelay(true)) else {
            return;
        };
        let connection = self.connections.fetch_add(1, Ordering::Relaxed);
        let session = Arc::new(Session {
            connection,
            peer,
            local,
            listener: name.clone(),
            muted_until_ms: std::sync::atomic::AtomicI64::default(),
        });
        let broker = self.broker.clone();
        let budget = self.budget.clone();
        let router = self.router;
        let shutdown = self.shutdown.clone();
        let end = End {
            broker: self.broker.clone(),
            connection,
        };
        connections.spawn(async move {
            // Dropped last: nothing of the connection is at work any more.
            let _end = end;
            connection::run(stream, session, broker, budget, router, shutdown).await;
            drop(permit);
        });
    }

    /// Have a connection that was just accepted wait for those before it, at most for a sample of
    /// the window (KIP-612).
    pub(super) async fn pace(&self) {
        let wait = self.wait();
        // Even a sleep of no time takes a tick of the timer, a millisecond.
        if !wait.is_zero() {
            sleep(wait).await;
        }
    }

    fn wait(&self) -> Duration {
        let brokers = self.broker.catalog.brokers();
        let limit = brokers.effective().max_connection_creation_rate;
        if limit == i32::MAX {
            return Duration::ZERO;
        }
        let window = Window::of(&self.broker.config);
        let now_ms = self.broker.clock.now().monotonic_ms;
        let wait_ms = self.accepted().record(window, 1.0, limit.into(), now_ms);
        Duration::from_millis(wait_ms.min(window.sample_ms as f64).round() as u64)
    }

    fn accepted(&self) -> std::sync::MutexGuard<'_, Rate> {
        self.accepted.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Close a connection from an address above its quota, but not at once: a client that is
    /// refused comes again. Until then it keeps its place among the connections (KIP-612).
    fn turn_away(
        &self,
        connections: &mut JoinSet<()>,
        stream: TcpStream,
        permit: Permit,
        wait_ms: u64,
    ) {
        self.broker.metrics.rejected(Rejection::ConnectionRate);
        self.accepted().take_back(1.0);
        let mut shutdown = self.shutdown.clone();
        connections.spawn(async move {
            tokio::select! {
                () = sleep(Duration::from_millis(wait_ms)) => {}
                () = down(&mut shutdown) => {}
            }
            drop((stream, permit));
        });
    }

    /// A failed accept: out of descriptors or memory most likely. Wait, and do not spin.
    async fn refused(&self, error: &io::Error, pause: Duration) -> Duration {
        if error.kind() == io::ErrorKind::ConnectionAborted {
            return pause;
        }
        self.broker.metrics.rejected(Rejection::NoDescriptors);
        if pause == PAUSE_MIN {
            tracing::error!(%error, "cannot accept connections, trying on");
        }
        sleep(pause).await;
        (pause * 2).min(PAUSE_MAX)
    }

    /// A panic costs its own connection and nothing else.
    fn ended(&self, ended: Result<(), JoinError>) {
        if let Err(error) = ended
            && error.is_panic()
        {
            self.broker.metrics.rejected(Rejection::Panic);
            tracing::error!(%error, "a handler panicked; its connection is closed");
        }
    }
}

/// Says that a connection is over, however it ended.
struct End {
    broker: Arc<Broker>,
    connection: u64,
}

impl Drop for End {
    fn drop(&mut self) {
        self.broker.disconnected(self.connection);
    }
}

/// Open connections, in all and by address.
#[derive(Debug, Default)]
struct Doors {
    open: usize,
    by_ip: HashMap<IpAddr, usize>,
}

/// The right to be connected. Given back when dropped.
struct Permit {
    doors: Arc<Mutex<Doors>>,
    ip: IpAddr,
    _counted: ConnectionGuard,
}

impl Permit {
    fn take(
        doors: &Arc<Mutex<Doors>>,
        broker: &Broker,
        ip: IpAddr,
        listener: &Arc<str>,
    ) -> Result<Self, Rejection> {
        let brokers = broker.catalog.brokers();
        let config = brokers.effective();
        let mut open = doors.lock().unwrap_or_else(PoisonError::into_inner);
        if open.open >= config.max_connections {
            return Err(Rejection::MaxConnections);
        }
        let from_ip = open.by_ip.get(&ip).copied().unwrap_or(0);
        let overrides = &config.max_connections_per_ip_overrides.0;
        let max_from_ip = match overrides.get(&ip.to_canonical()) {
            Some(max) => *max,
            None => config.max_connections_per_ip,
        };
        if from_ip >= max_from_ip {
            return Err(Rejection::MaxConnectionsPerIp);
        }
        open.open += 1;
        open.by_ip.insert(ip, from_ip + 1);
        Ok(Self {
            doors: doors.clone(),
            ip,
            _counted: broker.metrics.connection(listener),
        })
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        let mut open = self.doors.lock().unwrap_or_else(PoisonError::into_inner);
        open.open -= 1;
        if let Some(count) = open.by_ip.get_mut(&self.ip) {
            *count -= 1;
            if *count == 0 {
                open.by_ip.remove(&self.ip);
            }
        }
    }
}
