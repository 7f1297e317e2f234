//! The handles that a handler may use. No logic but the look-up of a partition.

use std::sync::Arc;

use ratel_protocol::ErrorCode;
use ratel_storage::{Engine, Partition};

use crate::catalog::Catalog;
use crate::client_quotas::ClientQuotas;
use crate::clock::Clock;
use crate::config::Config;
use crate::coordinator::catalog::Topic;
use crate::coordinator::share::{Event, QueueKey};
use crate::fetch_sessions::FetchSessions;
use crate::groups::Groups;
use crate::loggers::Loggers;
use crate::metrics::Metrics;
use crate::producer_ids::ProducerIds;
use crate::redrive::Redrives;
use crate::share_sessions::{Gone, ShareSessions};
use crate::shares::Shares;
use crate::transactions::Transactions;

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
    /// Groups and committed offsets.
    pub groups: Groups,
    /// Transactional ids.
    pub transactions: Transactions,
    /// Queues.
    pub shares: Shares,
    /// Dead letters on their way home.
    pub redrives: Redrives,
    /// What members of share groups read, from one request to the next.
    pub share_sessions: ShareSessions,
    /// The cluster's id: 22 characters, the same across restarts (M-4).
    pub cluster_id: Arc<str>,
    /// Ids for idempotent producers.
    pub producer_ids: ProducerIds,
    /// What consumers read, from one fetch to the next.
    pub fetch_sessions: Arc<FetchSessions>,
    /// What clients do to their quotas.
    pub client_quotas: ClientQuotas,
    /// How much the server logs.
    pub loggers: Loggers,
    /// What is counted.
    pub metrics: Arc<Metrics>,
}

impl Broker {
    /// A connection ended: what was tied to it goes too.
    pub fn disconnected(&self, connection: u64) {
        for gone in self.share_sessions.disconnected(connection) {
            self.release(&gone);
        }
    }

    /// Release what a member leased through a share session that is over.
    pub fn release(&self, gone: &Gone) {
        for partition in &gone.partitions {
            let key = QueueKey {
                group: gone.key.group.clone(),
                partition: *partition,
            };
            let member = gone.key.member.clone();
            self.shares
                .tell(&key.clone(), Event::Release { key, member });
        }
    }

    /// The log of a topic's partition.
    ///
    /// # Errors
    /// UNKNOWN_TOPIC_OR_PARTITION if the topic has no such partition, or it is not open.
    pub fn partition(&self, topic: &Topic, index: i32) -> Result<Arc<dyn Partition>, ErrorCode> {
        topic
            .partition(index)
            .and_then(|id| self.engine.partition(id))
            .ok_or(ErrorCode::UnknownTopicOrPartition)
    }

    /// The log of a partition, by its topic's name.
    ///
    /// # Errors
    /// UNKNOWN_TOPIC_OR_PARTITION if there is no such topic or partition.
    pub fn partition_by_name(
        &self,
        topic: &str,
        index: i32,
    ) -> Result<Arc<dyn Partition>, ErrorCode> {
        let topic = self.catalog.view.topic(topic);
        let topic = topic.ok_or(ErrorCode::UnknownTopicOrPartition)?;
        self.partition(&topic, index)
    }
}

#[cfg(test)]
pub mod testing {
    //! A broker without logs, for tests of what never reaches them.

    use std::sync::Arc;

    use ratel_storage::{Engine, LogSettings, Partition, PartitionId, Pending, StorageError};

    use super::Broker;
    use crate::catalog::Catalog;
    use crate::clock::{Clock, SystemClock};
    use crate::config::Config;
    use crate::groups::Groups;
    use crate::loggers::Loggers;
    use crate::metrics::Metrics;
    use crate::producer_ids::ProducerIds;
    use crate::redrive::Redrives;
    use crate::share_sessions::ShareSessions;
    use crate::shares::Shares;
    use crate::transactions::Transactions;

    struct NoEngine;

    impl Engine for NoEngine {
        fn open(
            &self,
            id: PartitionId,
            _: Arc<LogSettings>,
        ) -> Result<Arc<dyn Partition>, StorageError> {
            Err(StorageError::UnknownPartition(id))
        }

        fn partition(&self, _: PartitionId) -> Option<Arc<dyn Partition>> {
            None
        }

        fn delete(&self, id: PartitionId) -> Result<(), StorageError> {
            Err(StorageError::UnknownPartition(id))
        }

        fn stored(&self) -> Result<Vec<PartitionId>, StorageError> {
            Ok(Vec::new())
        }

        fn upkeep(&self, _: i64) {}

        fn cuts(&self) -> u64 {
            0
        }

        fn complaints(&self) -> Vec<String> {
            Vec::new()
        }

        fn close(&self) -> Pending<()> {
            Pending::ready(Ok(()))
        }
    }

    /// A broker of this configuration that keeps nothing.
    pub fn broker(config: Config) -> Arc<Broker> {
        broker_with(config, Arc::new(NoEngine), Arc::new(SystemClock::new()))
    }

    /// A broker of this configuration over these logs. Its catalog shows what is put into its
    /// view, and refuses every change.
    pub fn broker_with(
        config: Config,
        engine: Arc<dyn Engine>,
        clock: Arc<dyn Clock>,
    ) -> Arc<Broker> {
        let config = Arc::new(config);
        let catalog = Catalog::detached(engine.clone(), config.clone());
        with_catalog(config, engine, clock, catalog)
    }

    /// A broker of this configuration over these logs and this catalog.
    pub fn with_catalog(
        config: Arc<Config>,
        engine: Arc<dyn Engine>,
        clock: Arc<dyn Clock>,
        catalog: Catalog,
    ) -> Arc<Broker> {
        let groups = Groups::detached();
        let metrics = Arc::new(Metrics::default());
        let transactions = Transactions::idle(
            engine.clone(),
            &catalog,
            &groups,
            config.clone(),
            clock.clone(),
            metrics.clone(),
        );
        Arc::new(Broker {
            transactions,
            shares: Shares::idle(engine.clone(), &catalog, clock.clone()),
            client_quotas: crate::client_quotas::ClientQuotas::new(catalog.view.clone(), &config),
            redrives: Redrives::start(engine.clone(), catalog.clone(), clock.clone()),
            share_sessions: ShareSessions::new(10, 100),
            config,
            clock,
            engine,
            catalog,
            groups,
            cluster_id: "AAAAAAAAAAAAAAAAAAAAAA".into(),
            producer_ids: ProducerIds::default(),
            fetch_sessions: crate::fetch_sessions::FetchSessions::new(10, 100),
            loggers: Loggers::default(),
            metrics,
        })
    }
}
