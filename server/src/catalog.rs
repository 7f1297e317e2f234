//! The catalog's handle: a [`View`] for readers, a mailbox for changes.
//!
//! One machine (`coordinator/catalog/`) over a log of its own decides. A change is in the view
//! when its answer goes out.

use std::collections::BTreeMap;
use std::future::Future;
use std::ops::Range;
use std::sync::{Arc, PoisonError};

use ratel_protocol::ErrorCode;
use ratel_storage::{Engine, LogSettings, TopicId};

use crate::clock::Clock;
use crate::config::Config;
use crate::coordinator::catalog::alter::Changes;
use crate::coordinator::catalog::broker_config::{BrokerConfigs, BrokerScope};
use crate::coordinator::catalog::client_quota::QuotaChange;
use crate::coordinator::catalog::machine::{CatalogMachine, Event, NewTopic, Reply};
use crate::coordinator::catalog::redrive_job::Job;
use crate::coordinator::catalog::{
    CATALOG_PARTITION, OFFSETS_TOPIC, SHARE_STATE_TOPIC, TRANSACTIONS_TOPIC, Topic, View,
};
use crate::coordinator::runtime::{CHECKPOINT_BYTES_MIN, Setup, Shard, State};
use crate::error::Refusal;

mod shell;

pub use shell::Change;

use shell::{CatalogShell, Surroundings};

/// The largest segment of the catalog's own log.
const SEGMENT_BYTES: u64 = 64 << 20;

/// The catalog's handle: a view for readers, a mailbox for changes.
#[derive(Clone)]
pub struct Catalog {
    /// What exists now. Reading it takes no message.
    pub view: Arc<View>,
    shard: Shard<CatalogMachine>,
    surroundings: Arc<Surroundings>,
}

impl Catalog {
    /// Replay the catalog's log and open every log that it names.
    ///
    /// # Errors
    /// A sentence: the catalog's log cannot be read, or another log does not open.
    pub async fn start(
        engine: Arc<dyn Engine>,
        config: Arc<Config>,
        clock: Arc<dyn Clock>,
    ) -> Result<Self, String> {
        let settings = LogSettings {
            segment_bytes: SEGMENT_BYTES,
            retention_ms: None,
            delete: false,
            ..LogSettings::default()
        };
        let partition = engine
            .open(CATALOG_PARTITION, Arc::new(settings))
            .map_err(|error| format!("the catalog's log does not open: {error}"))?;
        let brokers = BrokerConfigs::new(config);
        let surroundings = Arc::new(Surroundings::new(engine, brokers.clone()));
        let shard = Shard::spawn(Setup {
            name: "catalog".into(),
            machine: move || CatalogMachine::new(brokers.clone()),
            shell: CatalogShell(surroundings.clone()),
            partition,
            clock,
            checkpoint_bytes_min: CHECKPOINT_BYTES_MIN,
        });
        shard
            .loaded()
            .await
            .map_err(|why| format!("the catalog's log: {why}"))?;
        let begun = shard.send(Event::Barrier).await;
        begun.map_err(|code| format!("the catalog did not start: {code}"))?;
        let failure = surroundings
            .failure
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .take();
        match failure {
            Some(why) => Err(why),
            None => Ok(Self {
                view: surroundings.view.clone(),
                shard,
                surroundings,
            }),
        }
    }

    /// A catalog that shows what is put into its view and refuses every change.
    #[cfg(test)]
    pub(crate) fn detached(engine: Arc<dyn Engine>, config: Arc<Config>) -> Self {
        let surroundings = Arc::new(Surroundings::new(engine, BrokerConfigs::new(config)));
        Self {
            view: surroundings.view.clone(),
            shard: Shard::detached(),
            surroundings,
        }
    }

    /// Hear of every change of a topic, on the catalog's own task and before the change is
    /// answered: the listener must be quick and must not block.
    pub fn listen(&self, listener: impl Fn(&Change) + Send + Sync + 'static) {
        let listeners = &self.surroundings.listeners;
        let mut listeners = listeners.write().unwrap_or_else(PoisonError::into_inner);
        listeners.push(Box::new(listener));
    }

    /// The broker's configuration as it is now, alterations included.
    #[must_use]
    pub fn brokers(&self) -> Arc<BrokerConfigs> {
        self.surroundings.brokers.load_full()
    }

    /// Why the catalog takes no changes now, if it does not.
    #[must_use]
    pub fn complaint(&self) -> Option<String> {
        match self.shard.state() {
            State::Failed(why) => Some(format!("the catalog failed: {why}")),
            State::Stopped => Some("the catalog has stopped".into()),
            State::Loading | State::Running => None,
        }
    }

    /// Finish the changes that were sent and take no more.
    pub async fn stop(&self) {
        self.shard.stop().await;
    }

    /// Make a topic that a client asked for by name, with the broker's defaults; give the one
    /// that is there if somebody else was faster (M-2). One of the server's own is made as the
    /// server makes it.
    ///
    /// # Errors
    /// INVALID_TOPIC_EXCEPTION for a name that no topic can have, POLICY_VIOLATION above the
    /// limits of topics and partitions, COORDINATOR_NOT_AVAILABLE if it could not be written
    /// down.
    pub fn create_automatically(
        &self,
        name: &str,
    ) -> impl Future<Output = Result<Arc<Topic>, ErrorCode>> + Send + use<> {
        let brokers = self.brokers();
        let config = brokers.effective();
        let name: Arc<str> = name.into();
        let new = internal_topic(&name, config).unwrap_or_else(|| NewTopic {
            name: name.clone(),
            id: fresh_id(),
            partitions: config.num_partitions,
            configs: BTreeMap::new(),
            internal: false,
        });
        let created = self.create(vec![new], false);
        let view = self.view.clone();
        async move {
            match created.await.pop() {
                Some(Ok(topic)) => Ok(topic),
                // The other one is in the view: its creation was answered before ours.
                Some(Err(refusal)) if refusal.code == ErrorCode::TopicAlreadyExists => {
                    view.topic(&name).ok_or(ErrorCode::UnknownTopicOrPartition)
                }
                Some(Err(refusal)) => Err(refusal.code),
                None => Err(ErrorCode::UnknownServerError),
            }
        }
    }

    /// One of the server's own topics (`__consumer_offsets`), made if it is not there yet.
    ///
    /// # Errors
    /// As of [`Self::create_automatically`].
    pub async fn internal_topic(&self, name: &str) -> Result<Arc<Topic>, ErrorCode> {
        match self.view.topic(name) {
            Some(topic) => Ok(topic),
            None => self.create_automatically(name).await,
        }
    }

    /// Make topics, or with `validate_only` say what would come of it. The order of changes
    /// is that of the calls of this and the other methods, not of the futures they return.
    pub fn create(
        &self,
        topics: Vec<NewTopic>,
        validate_only: bool,
    ) -> impl Future<Output = Vec<Result<Arc<Topic>, Refusal>>> + Send + use<> {
        let count = topics.len();
        self.each(
            count,
            Event::Create {
                topics,
                validate_only,
            },
        )
    }

    /// Delete topics. Their files are gone when the answer is there.
    pub fn delete(
        &self,
        ids: Vec<TopicId>,
    ) -> impl Future<Output = Vec<Result<Arc<Topic>, Refusal>>> + Send + use<> {
        self.each(ids.len(), Event::Delete { ids })
    }

    /// Give topics more partitions: each id with the number it is to have.
    pub fn grow(
        &self,
        topics: Vec<(TopicId, i32)>,
        validate_only: bool,
    ) -> impl Future<Output = Vec<Result<Arc<Topic>, Refusal>>> + Send + use<> {
        let count = topics.len();
        self.each(
            count,
            Event::Grow {
                topics,
                validate_only,
            },
        )
    }

    /// Alter a topic's configuration.
    pub fn alter_topic(
        &self,
        id: TopicId,
        changes: Changes,
        validate_only: bool,
    ) -> impl Future<Output = Result<(), Refusal>> + Send + use<> {
        self.alter(Event::AlterTopic {
            id,
            changes,
            validate_only,
        })
    }

    /// Alter the broker's configuration.
    pub fn alter_broker(
        &self,
        scope: BrokerScope,
        changes: Changes,
        validate_only: bool,
    ) -> impl Future<Output = Result<(), Refusal>> + Send + use<> {
        self.alter(Event::AlterBroker {
            scope,
            changes,
            validate_only,
        })
    }

    /// Alter the configuration of a group, which need not exist.
    pub fn alter_group(
        &self,
        group: Arc<str>,
        changes: Changes,
        validate_only: bool,
    ) -> impl Future<Output = Result<(), Refusal>> + Send + use<> {
        self.alter(Event::AlterGroup {
            group,
            changes,
            validate_only,
        })
    }

    /// Alter a subscription to clients' metrics, which need not exist.
    pub fn alter_subscription(
        &self,
        name: Arc<str>,
        changes: Changes,
        validate_only: bool,
    ) -> impl Future<Output = Result<(), Refusal>> + Send + use<> {
        self.alter(Event::AlterSubscription {
            name,
            changes,
            validate_only,
        })
    }

    /// Change quotas of clients: an outcome for each change.
    pub fn alter_quotas(
        &self,
        changes: Vec<QuotaChange>,
        validate_only: bool,
    ) -> impl Future<Output = Vec<Result<(), Refusal>>> + Send + use<> {
        let count = changes.len();
        let reply = self.shard.send(Event::AlterQuotas {
            changes,
            validate_only,
        });
        async move {
            let code = match reply.await {
                Ok(Reply::Quotas(outcomes)) => return outcomes,
                Ok(_) => ErrorCode::UnknownServerError,
                Err(code) => code,
            };
            vec![Err(code.into()); count]
        }
    }

    /// Begin a redrive, or write down how far one has come.
    ///
    /// # Errors
    /// INVALID_REQUEST if another is at work on the same topic or there is none of this number,
    /// POLICY_VIOLATION if there are too many, COORDINATOR_NOT_AVAILABLE if it cannot be written
    /// down.
    pub fn put_redrive(
        &self,
        job: Job,
        is_new: bool,
    ) -> impl Future<Output = Result<Arc<Job>, Refusal>> + Send + use<> {
        let job = Box::new(job);
        let reply = self.shard.send(Event::PutRedrive { job, is_new });
        async move {
            match reply.await? {
                Reply::Redrive(outcome) => outcome,
                _ => Err(ErrorCode::UnknownServerError.into()),
            }
        }
    }

    /// Forget a redrive that has ended.
    pub fn forget_redrive(&self, id: i64) {
        self.shard.tell(Event::ForgetRedrive(id));
    }

    /// A block of producer ids that was never given out before and never will be again,
    /// whatever happens to the server.
    ///
    /// # Errors
    /// COORDINATOR_NOT_AVAILABLE if it cannot be written down.
    pub fn producer_id_block(
        &self,
    ) -> impl Future<Output = Result<Range<i64>, ErrorCode>> + Send + use<> {
        let reply = self.shard.send(Event::ProducerIds);
        async move {
            match reply.await? {
                Reply::ProducerIds(ids) => Ok(ids),
                _ => Err(ErrorCode::UnknownServerError),
            }
        }
    }

    fn each(
        &self,
        count: usize,
        event: Event,
    ) -> impl Future<Output = Vec<Result<Arc<Topic>, Refusal>>> + Send + use<> {
        let reply = self.shard.send(event);
        async move {
            let code = match reply.await {
                Ok(Reply::Topics(topics)) => return topics,
                Ok(_) => ErrorCode::UnknownServerError,
                Err(code) => code,
            };
            vec![Err(code.into()); count]
        }
    }

    fn alter(&self, event: Event) -> impl Future<Output = Result<(), Refusal>> + Send + use<> {
        let reply = self.shard.send(event);
        async move {
            match reply.await? {
                Reply::Altered(outcome) => outcome,
                _ => Err(ErrorCode::UnknownServerError.into()),
            }
        }
    }
}

/// One of the server's own topics, as the server makes it.
fn internal_topic(name: &str, config: &Config) -> Option<NewTopic> {
    let segment_bytes = |key| config.value(key).unwrap_or_else(|| "104857600".into());
    let (partitions, configs) = match name {
        OFFSETS_TOPIC => (
            config.offsets_topic_num_partitions,
            vec![
                ("cleanup.policy", "compact".into()),
                ("compression.type", "producer".into()),
                (
                    "segment.bytes",
                    segment_bytes("offsets.topic.segment.bytes"),
                ),
            ],
        ),
        TRANSACTIONS_TOPIC => (
            config.transaction_state_log_num_partitions,
            vec![
                ("cleanup.policy", "compact".into()),
                ("compression.type", "uncompressed".into()),
                (
                    "segment.bytes",
                    segment_bytes("transaction.state.log.segment.bytes"),
                ),
            ],
        ),
        // Its start is moved by who writes to it, never by time or size.
        SHARE_STATE_TOPIC => (
            config.share_coordinator_state_topic_num_partitions,
            vec![
                ("cleanup.policy", "delete".into()),
                ("compression.type", "producer".into()),
                ("retention.bytes", "-1".into()),
                ("retention.ms", "-1".into()),
                (
                    "segment.bytes",
                    segment_bytes("share.coordinator.state.topic.segment.bytes"),
                ),
            ],
        ),
        _ => return None,
    };
    let configs = configs.into_iter();
    Some(NewTopic {
        name: name.into(),
        id: fresh_id(),
        partitions,
        configs: configs.map(|(name, value)| (name.into(), value)).collect(),
        internal: true,
    })
}

/// A random id that no tool takes for an option: in base64 it does not begin with `-`.
#[must_use]
pub fn fresh_id() -> TopicId {
    loop {
        let id = TopicId::new_v4();
        if id.as_bytes()[0] >> 2 != 62 {
            return id;
        }
    }
}

#[cfg(test)]
mod tests;
