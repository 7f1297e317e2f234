//! The timer that has the log look after itself.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;
use tokio::time::MissedTickBehavior;

use crate::broker::Broker;

/// The engine is asked at least this often, whatever the interval of retention: it knows itself
/// when a checkpoint is due, and `flush.ms` is no finer than this.
const INTERVAL_MAX: Duration = Duration::from_secs(1);

/// Call the engine's upkeep every now and then until `stopped` turns true. One call at a time, on
/// a thread that may block.
pub(super) async fn run(broker: Arc<Broker>, mut stopped: watch::Receiver<bool>) {
    let interval_ms = broker.config.log_retention_check_interval_ms.max(1);
    let interval = Duration::from_millis(interval_ms);
    let mut follow_at_ms = 0;
    let mut timer = tokio::time::interval(interval.min(INTERVAL_MAX));
    timer.set_missed_tick_behavior(MissedTickBehavior::Delay);
    // The first tick comes at once; a start has just looked at everything.
    timer.tick().await;
    loop {
        tokio::select! {
            _ = timer.tick() => {}
            _ = stopped.wait_for(|stopped| *stopped) => return,
        }
        let kept = broker.clone();
        let upkeep = tokio::task::spawn_blocking(move || {
            kept.engine.upkeep(kept.clock.now().wall_ms);
        });
        if let Err(error) = upkeep.await {
            tracing::error!(%error, "the log's upkeep panicked");
        }
        let now_ms = broker.clock.now().monotonic_ms;
        if now_ms >= follow_at_ms {
            follow_at_ms = now_ms.saturating_add_unsigned(interval_ms);
            broker.shares.follow_log_starts().await;
        }
    }
}
