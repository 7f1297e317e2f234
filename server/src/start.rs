//! From a configuration to a server at work, and back.
//!
//! Nothing here belongs to the process as a whole (no logger, no signal, no panic hook), so many
//! servers can run in one.

mod broker;
mod cleaner;
mod directory;
mod error;
mod listen;
mod upkeep;

use std::net::SocketAddr;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use ratel_storage::StorageError;
use ratel_storage::disk::{Disk, OsDisk};
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio::task::JoinSet;

use self::broker::Outside;
use crate::broker::Broker;
use crate::clock::{Clock, SystemClock};
use crate::config::Config;
use crate::http::{self, Site};
use crate::loggers::Loggers;
use crate::net::{Buffers, Network};

pub use directory::{Directory, DirectoryError, IDENTITY, Identity, LOCK, Lock};
pub use error::StartError;

/// How long pages that are being sent may take once everything else has stopped.
const HTTP_DRAIN: Duration = Duration::from_millis(200);

/// A server at work. Dropping it ends it as a crash would: nothing is drained and no mark of a
/// clean stop is left; [`Server::shutdown`] is the orderly way.
pub struct Server {
    broker: Arc<Broker>,
    identity: Identity,
    addresses: Vec<(Arc<str>, SocketAddr)>,
    http_address: Option<SocketAddr>,
    ready_us: u64,
    stop: watch::Sender<bool>,
    stop_http: watch::Sender<bool>,
    failure: watch::Receiver<Option<String>>,
    /// Listeners and upkeep.
    tasks: JoinSet<()>,
    http_tasks: JoinSet<()>,
    /// The last to go, so that nobody else opens the files before all of the above is gone.
    _lock: Lock,
}

/// All that is opened before the first file of the log is touched.
struct Doors {
    listeners: Vec<(Arc<str>, TcpListener)>,
    http: Option<TcpListener>,
}

impl Server {
    /// Start on the operating system's disk and clocks. Must be called on a tokio runtime.
    ///
    /// # Errors
    /// Anything that keeps it from serving, as a sentence for whoever started it.
    pub async fn start(config: Config) -> Result<Self, StartError> {
        Self::start_with(config, Arc::new(SystemClock::new()), Loggers::default()).await
    }

    /// Start on the operating system's disk, and the caller's clock and loggers.
    ///
    /// # Errors
    /// As [`Self::start`].
    pub async fn start_with(
        config: Config,
        clock: Arc<dyn Clock>,
        loggers: Loggers,
    ) -> Result<Self, StartError> {
        let disk = OsDisk::new(config.log_dir.clone());
        directory::prepare(&disk)?;
        Self::start_on(config, Arc::new(disk), clock, loggers).await
    }

    /// Start on any disk and clock, and with the caller's loggers.
    ///
    /// # Errors
    /// As [`Self::start`].
    pub async fn start_on(
        mut config: Config,
        disk: Arc<dyn Disk>,
        clock: Arc<dyn Clock>,
        loggers: Loggers,
    ) -> Result<Self, StartError> {
        let began_us = clock.monotonic_us();
        let (lock, identity) = claim(&config, &*disk)?;
        let doors = Doors::open(&mut config).await?;
        let addresses = doors.addresses();
        let http_address = doors.http_address();
        let (stop, stopped) = watch::channel(false);
        let (stop_http, http_stopped) = watch::channel(false);
        let (fail, failure) = watch::channel(None);

        let site = Arc::new(Site {
            broker: OnceLock::new(),
            disk: disk.clone(),
            clock: clock.clone(),
            began_us,
            failure: failure.clone(),
            stopping: stopped.clone(),
        });
        let mut http_tasks = JoinSet::new();
        if let Some(listener) = doors.http {
            http_tasks.spawn(http::serve(listener, site.clone(), http_stopped));
        }

        let outside = Outside {
            disk,
            clock: clock.clone(),
            loggers,
        };
        let broker = broker::open(config, outside, &identity, fail).await?;
        let mut tasks = JoinSet::new();
        let network = Arc::new(Network::new(broker.clone(), stopped.clone()));
        for (name, listener) in doors.listeners {
            let network = network.clone();
            tasks.spawn(async move { network.serve(listener, name).await });
        }
        tasks.spawn(upkeep::run(broker.clone(), stopped.clone()));
        tasks.spawn(cleaner::run(broker.clone(), stopped));
        // A start happens once: nobody else sets it.
        let _ = site.broker.set(broker.clone());
        Ok(Self {
            ready_us: clock.monotonic_us().saturating_sub(began_us),
            broker,
            identity,
            addresses,
            http_address,
            stop,
            stop_http,
            failure,
            tasks,
            http_tasks,
            _lock: lock,
        })
    }

    /// What the handlers use.
    #[must_use]
    pub fn broker(&self) -> &Arc<Broker> {
        &self.broker
    }

    /// Whose directory it serves.
    #[must_use]
    pub fn identity(&self) -> &Identity {
        &self.identity
    }

    /// The listeners by name, and the addresses they are bound to.
    #[must_use]
    pub fn addresses(&self) -> &[(Arc<str>, SocketAddr)] {
        &self.addresses
    }

    /// The first listener's address.
    ///
    /// # Panics
    /// Never: a configuration without a listener cannot be made.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.addresses.first().expect("there is a listener").1
    }

    /// Where metrics and health answer.
    #[must_use]
    pub fn http_address(&self) -> Option<SocketAddr> {
        self.http_address
    }

    /// From the call of start to the moment it could serve, in microseconds.
    #[must_use]
    pub fn ready_us(&self) -> u64 {
        self.ready_us
    }

    /// Wait until a disk failure ends the server, and say which: the process must exit within a
    /// second then (DC5).
    pub async fn failed(&self) -> String {
        let mut failure = self.failure.clone();
        match failure.wait_for(Option::is_some).await {
            Ok(sentence) => sentence.clone().unwrap_or_default(),
            // The engine is gone, and cannot fail any more.
            Err(_) => std::future::pending().await,
        }
    }

    /// Stop: accept nothing more, let what is in work finish for at most `shutdown.timeout.ms`,
    /// sync everything and leave the mark of a clean stop.
    ///
    /// # Errors
    /// What kept the log from being closed; the next start recovers it.
    pub async fn shutdown(mut self) -> Result<(), StorageError> {
        self.stop.send_replace(true);
        while let Some(ended) = self.tasks.join_next().await {
            if let Err(error) = ended {
                tracing::error!(%error, "a task of the server panicked");
            }
        }
        self.broker.transactions.stop().await;
        self.broker.groups.stop().await;
        self.broker.shares.stop().await;
        self.broker.catalog.stop().await;
        let outcome = self.broker.engine.close().await;
        self.stop_http.send_replace(true);
        let drained = async { while self.http_tasks.join_next().await.is_some() {} };
        // Whoever dawdles over a page is cut off.
        let _ = tokio::time::timeout(HTTP_DRAIN, drained).await;
        outcome
    }
}

/// Make the directory ours: locked, and with an identity.
fn claim(config: &Config, disk: &dyn Disk) -> Result<(Lock, Identity), StartError> {
    let directory = Directory::new(disk, &config.log_dir);
    directory.create()?;
    directory.check_foreign()?;
    let lock = directory.lock()?;
    let identity = directory.identity(config.node_id)?;
    Ok((lock, identity))
}

impl Doors {
    /// Bind everything, and put the ports that the system chose into the configuration.
    async fn open(config: &mut Config) -> Result<Self, StartError> {
        let buffers = Buffers::of(config);
        let http = match config.http_listen {
            Some(address) => Some(listen::http(address, buffers)?),
            None => None,
        };
        let mut listeners = Vec::new();
        for listener in &mut config.listeners {
            let bound = listen::kafka(listener, buffers).await?;
            if let Ok(address) = bound.local_addr() {
                listener.port = address.port();
            }
            listeners.push((listener.name.as_str().into(), bound));
        }
        Ok(Self { listeners, http })
    }

    fn addresses(&self) -> Vec<(Arc<str>, SocketAddr)> {
        self.listeners
            .iter()
            .filter_map(|(name, listener)| Some((name.clone(), listener.local_addr().ok()?)))
            .collect()
    }

    fn http_address(&self) -> Option<SocketAddr> {
        self.http
            .as_ref()
            .and_then(|listener| listener.local_addr().ok())
    }
}

#[cfg(test)]
mod tests;
