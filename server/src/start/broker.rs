//! Opening the logs, and what stands on them.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use ratel_storage::Engine;
use ratel_storage::disk::Disk;
use ratel_storage::local::{LocalEngine, LocalOptions, OnRound, RoundEvent};
use rustix::process::{Resource, getrlimit};
use tokio::sync::watch;

use super::{Identity, StartError};
use crate::broker::Broker;
use crate::catalog::Catalog;
use crate::client_quotas::ClientQuotas;
use crate::clock::Clock;
use crate::config::Config;
use crate::fetch_sessions::FetchSessions;
use crate::groups::Groups;
use crate::loggers::Loggers;
use crate::metrics::Metrics;
use crate::producer_ids::ProducerIds;
use crate::redrive::Redrives;
use crate::share_sessions::ShareSessions;
use crate::shares::Shares;
use crate::transactions::Transactions;

/// Fewer open segments than this would be opened and closed all the time.
const OPEN_FILES_MIN: u64 = 64;
/// More are of no use: a file that was closed is open again within microseconds.
const OPEN_FILES_MAX: u64 = 16_384;

/// What a server gets from its process, or from a test.
pub(super) struct Outside {
    pub disk: Arc<dyn Disk>,
    pub clock: Arc<dyn Clock>,
    pub loggers: Loggers,
}

/// Recover the logs, replay the coordinators, and give the handles to all of it. `fail` gets the
/// sentence of a disk failure that ends the server (DC5).
pub(super) async fn open(
    config: Config,
    outside: Outside,
    identity: &Identity,
    fail: watch::Sender<Option<String>>,
) -> Result<Arc<Broker>, StartError> {
    let Outside {
        disk,
        clock,
        loggers,
    } = outside;
    let began_us = clock.monotonic_us();
    let metrics = Arc::new(Metrics::default());
    let engine = open_engine(&config, disk, &clock, &metrics, fail).await?;
    let config = Arc::new(config);
    let catalog = Catalog::start(engine.clone(), config.clone(), clock.clone())
        .await
        .map_err(StartError::Recovery)?;
    let shares = Shares::start(engine.clone(), &catalog, clock.clone())
        .await
        .map_err(StartError::Recovery)?;
    let queues = Arc::new(shares.clone());
    let groups = Groups::start(engine.clone(), &catalog, &config, clock.clone(), queues)
        .await
        .map_err(StartError::Recovery)?;
    let transactions = Transactions::start(
        engine.clone(),
        &catalog,
        &groups,
        config.clone(),
        clock.clone(),
        metrics.clone(),
    )
    .await
    .map_err(StartError::Recovery)?;
    metrics.recovered(clock.monotonic_us().saturating_sub(began_us));
    let fetch_sessions = FetchSessions::new(
        config.fetch_session_slots,
        config.fetch_session_partitions_max,
    );
    let share_sessions = ShareSessions::new(
        config.group_share_max_share_sessions,
        config.fetch_session_partitions_max,
    );
    let redrives = Redrives::start(engine.clone(), catalog.clone(), clock.clone());
    Ok(Arc::new(Broker {
        transactions,
        shares,
        client_quotas: ClientQuotas::new(catalog.view.clone(), &config),
        redrives,
        share_sessions,
        config,
        clock,
        engine,
        catalog,
        groups,
        cluster_id: identity.cluster_id.as_str().into(),
        producer_ids: ProducerIds::default(),
        fetch_sessions,
        loggers,
        metrics,
    }))
}

/// Open the engine on a thread that may block: a recovery reads.
async fn open_engine(
    config: &Config,
    disk: Arc<dyn Disk>,
    clock: &Arc<dyn Clock>,
    metrics: &Arc<Metrics>,
    fail: watch::Sender<Option<String>>,
) -> Result<Arc<dyn Engine>, StartError> {
    let options = LocalOptions {
        // Without one, every start counts as that of another boot, which is the safe side.
        boot_id: disk.boot_id().unwrap_or_default(),
        producer_expiration_ms: config.producer_id_expiration_ms,
        retention_check_ms: i64::try_from(config.log_retention_check_interval_ms)
            .unwrap_or(i64::MAX),
        open_files_max: open_files_max(),
        on_fatal: Arc::new(move |why| {
            fail.send_replace(Some(why.to_owned()));
        }),
        on_round: measured_rounds(clock.clone(), metrics.clone()),
        ..LocalOptions::default()
    };
    let now_ms = clock.now().wall_ms;
    let opening = tokio::task::spawn_blocking(move || {
        LocalEngine::open(disk, Path::new(""), options, now_ms)
    });
    match opening.await {
        Ok(Ok(engine)) => Ok(engine),
        Ok(Err(error)) => Err(StartError::Storage(error)),
        Err(error) => Err(StartError::Recovery(error.to_string())),
    }
}

/// How many segments may be open at once: half of the descriptors that there are. The rest is
/// for connections.
fn open_files_max() -> usize {
    let limit = getrlimit(Resource::Nofile).current.unwrap_or(u64::MAX);
    let half = (limit / 2).clamp(OPEN_FILES_MIN, OPEN_FILES_MAX);
    usize::try_from(half).unwrap_or(usize::MAX)
}

/// Times each round of syncs. Rounds come one after the other, so one moment is enough.
fn measured_rounds(clock: Arc<dyn Clock>, metrics: Arc<Metrics>) -> OnRound {
    let began_us = AtomicU64::new(0);
    Arc::new(move |event| match event {
        RoundEvent::Began => began_us.store(clock.monotonic_us(), Ordering::Relaxed),
        RoundEvent::Ended { records } => {
            let elapsed_us = clock
                .monotonic_us()
                .saturating_sub(began_us.load(Ordering::Relaxed));
            metrics.synced(elapsed_us, records);
        }
    })
}
