//! `ratel serve` and `ratel dev`: a server until a signal or a failure ends it.

mod banner;

use std::path::PathBuf;
use std::sync::Arc;

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use tokio::runtime::Runtime;
use tokio::signal::unix::{Signal, SignalKind, signal};

use super::flags::ConfigFlags;
use super::output::print;
use super::{FAILED, Failure, logging};
use crate::clock::{Clock, SystemClock};
use crate::config::{Config, Loaded, Source};
use crate::loggers::Loggers;
use crate::start::Server;

/// Threads for what may block: recovery, upkeep, host names. Everything else runs on the workers.
const BLOCKING_THREADS_MAX: usize = 8;

/// Serve until a signal.
pub(super) fn serve(flags: &ConfigFlags) -> Result<(), Failure> {
    let loaded = flags.load(None)?;
    run(loaded, false)
}

/// Serve from a temporary directory, unless one is given, with the settings of development.
pub(super) fn dev(flags: &ConfigFlags) -> Result<(), Failure> {
    let mut loaded = flags.load(Some(Config::dev_layer()))?;
    if loaded.config.source("log.dirs") != Source::Default {
        return run(loaded, false);
    }
    let dir = Temporary::new();
    loaded.config.log_dir = dir.0.clone();
    run(loaded, true)
}

/// A directory that goes when this does.
struct Temporary(PathBuf);

impl Temporary {
    fn new() -> Self {
        let name = format!("ratel-dev-{}", uuid::Uuid::new_v4().simple());
        Self(std::env::temp_dir().join(name))
    }
}

impl Drop for Temporary {
    fn drop(&mut self) {
        // What is left lies among temporary files, and the system clears those.
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

fn run(loaded: Loaded, is_temporary: bool) -> Result<(), Failure> {
    let clock: Arc<dyn Clock> = Arc::new(SystemClock::new());
    let loggers = logging::start(&loaded.config)?;
    for warning in &loaded.warnings {
        tracing::warn!("{warning}");
    }
    raise_descriptor_limit();
    let runtime = runtime().map_err(|error| {
        Failure::failed(format!("cannot start the threads of the server: {error}"))
    })?;
    let outcome = runtime.block_on(until_the_end(loaded.config, clock, loggers, is_temporary));
    // A thread that still blocks, in a look-up of a host name say, holds nothing of worth.
    runtime.shutdown_background();
    outcome
}

fn runtime() -> std::io::Result<Runtime> {
    tokio::runtime::Builder::new_multi_thread()
        .max_blocking_threads(BLOCKING_THREADS_MAX)
        .thread_name("ratel")
        .enable_all()
        .build()
}

/// Every connection and every segment that is open is a descriptor: take what the system grants.
fn raise_descriptor_limit() {
    let limit = getrlimit(Resource::Nofile);
    let raised = Rlimit {
        current: limit.maximum,
        maximum: limit.maximum,
    };
    if let Err(error) = setrlimit(Resource::Nofile, raised) {
        tracing::warn!(%error, current = limit.current, "cannot raise the limit of descriptors");
    }
}

/// Start, serve, and stop at the first signal. A second one ends the process at once.
async fn until_the_end(
    config: Config,
    clock: Arc<dyn Clock>,
    loggers: Loggers,
    is_temporary: bool,
) -> Result<(), Failure> {
    let mut signals = Signals::listen()
        .map_err(|error| Failure::failed(format!("cannot listen for signals: {error}")))?;
    let start = Server::start_with(config, clock.clone(), loggers);
    let server = tokio::select! {
        started = start => started.map_err(Failure::failed)?,
        name = signals.next() => {
            tracing::info!(signal = name, "stopped before the start was over");
            return Ok(());
        }
    };
    print(&banner::banner(&server, is_temporary, clock.monotonic_us()))?;
    let name = tokio::select! {
        name = signals.next() => name,
        _why = server.failed() => {
            // The engine has logged its one line. Nothing more is written: what is on the disk
            // is what the next start recovers.
            return Err(Failure { code: FAILED, sentence: None });
        }
    };
    tracing::info!(
        signal = name,
        "stopping; a second signal ends the server at once"
    );
    tokio::select! {
        stopped = server.shutdown() => match stopped {
            Ok(()) => tracing::info!("stopped; everything is synced"),
            Err(error) => {
                return Err(Failure::failed(format!(
                    "the log was not closed cleanly, the next start recovers it: {error}"
                )));
            }
        },
        name = signals.next() => {
            return Err(Failure::failed(format!(
                "ended at once by a second signal ({name}); the next start recovers the log"
            )));
        }
    }
    Ok(())
}

/// The signals that stop a server.
struct Signals {
    terminate: Signal,
    interrupt: Signal,
    hang_up: Signal,
}

impl Signals {
    fn listen() -> std::io::Result<Self> {
        Ok(Self {
            terminate: signal(SignalKind::terminate())?,
            interrupt: signal(SignalKind::interrupt())?,
            hang_up: signal(SignalKind::hangup())?,
        })
    }

    async fn next(&mut self) -> &'static str {
        tokio::select! {
            _ = self.terminate.recv() => "SIGTERM",
            _ = self.interrupt.recv() => "SIGINT",
            _ = self.hang_up.recv() => "SIGHUP",
        }
    }
}
