//! The handles that a handler may use. No logic.

use std::sync::Arc;

use ratel_storage::Engine;

use crate::clock::Clock;
use crate::config::Config;
use crate::coordinator::catalog::Catalog;
use crate::metrics::Metrics;

/// Everything a handler can reach.
pub struct Broker {
    /// The configuration in force.
    pub config: Arc<Config>,
    /// The time.
    pub clock: Arc<dyn Clock>,
    /// The logs.
    pub engine: Arc<dyn Engine>,
    /// Topics and configurations.
    pub catalog: Catalog,
    /// The cluster's id: 22 characters, the same across restarts (M-4).
    pub cluster_id: Arc<str>,
    /// What is counted.
    pub metrics: Arc<Metrics>,
}
