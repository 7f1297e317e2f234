//! What follows from a change of the catalog once it is durable: logs are opened, readers see it,
//! other coordinators hear of it, files go.

use std::collections::{BTreeMap, HashSet};
use std::sync::{Arc, Mutex, PoisonError, RwLock};

use arc_swap::ArcSwap;
use ratel_storage::{Engine, PartitionId, StorageError, TopicId};

use crate::coordinator::catalog::broker_config::BrokerConfigs;
use crate::coordinator::catalog::group_config::GroupSettings;
use crate::coordinator::catalog::machine::{Action, CatalogMachine, Event};
use crate::coordinator::catalog::{CATALOG_PARTITION, Topic, View};
use crate::coordinator::runtime::{Shard, Shell};

/// Logs that are opened on the shell's own thread; more of them get threads of their own.
const OPENED_INLINE_MAX: usize = 64;

/// Threads that open logs at the start.
const OPENERS: usize = 4;

/// News of a topic, told once readers see it.
#[derive(Debug, Clone)]
pub enum Change {
    /// It was made, has more partitions or another configuration.
    Published(Arc<Topic>),
    /// It is gone: state that belongs to its id goes with it.
    Deleted(Arc<Topic>),
}

type Listener = Box<dyn Fn(&Change) + Send + Sync>;

/// What the catalog's shell and its handles share.
pub(super) struct Surroundings {
    pub(super) engine: Arc<dyn Engine>,
    pub(super) view: Arc<View>,
    pub(super) brokers: ArcSwap<BrokerConfigs>,
    pub(super) listeners: RwLock<Vec<Listener>>,
    /// The first failure to open logs at the start.
    pub(super) failure: Mutex<Option<String>>,
}

impl Surroundings {
    pub(super) fn new(engine: Arc<dyn Engine>, brokers: BrokerConfigs) -> Self {
        Self {
            engine,
            view: Arc::default(),
            brokers: ArcSwap::from_pointee(brokers),
            listeners: RwLock::default(),
            failure: Mutex::default(),
        }
    }

    fn tell(&self, change: &Change) {
        let listeners = self
            .listeners
            .read()
            .unwrap_or_else(PoisonError::into_inner);
        listeners.iter().for_each(|listener| listener(change));
    }

    fn open(&self, topic: &Topic) -> Result<(), StorageError> {
        for index in 0..topic.partitions {
            let id = PartitionId {
                topic: topic.id,
                index,
            };
            self.engine.open(id, topic.settings.clone())?;
        }
        Ok(())
    }

    /// Open all logs of these topics, on several threads. Readers see each when its logs are
    /// open.
    fn open_all(self: &Arc<Self>, topics: &[Arc<Topic>]) -> Result<(), StorageError> {
        let share = topics.len().div_ceil(OPENERS).max(1);
        std::thread::scope(|scope| {
            let openers: Vec<_> = topics
                .chunks(share)
                .map(|topics| {
                    scope.spawn(|| {
                        topics.iter().try_for_each(|topic| {
                            self.open(topic)?;
                            self.view.insert(topic.clone());
                            Ok(())
                        })
                    })
                })
                .collect();
            openers
                .into_iter()
                .try_for_each(|opener| opener.join().unwrap_or(Err(StorageError::Poisoned)))
        })
    }

    /// Say which directories belong to no topic. They stay: a lost catalog must not empty the
    /// disk.
    fn name_unknown(&self, known: impl Fn(PartitionId) -> bool) -> Result<(), StorageError> {
        let mut unknown = self.engine.stored()?;
        unknown.retain(|id| !known(*id));
        unknown.sort_unstable();
        if !unknown.is_empty() {
            let shown: Vec<_> = unknown.iter().take(10).map(ToString::to_string).collect();
            let (count, shown) = (unknown.len(), shown.join(" "));
            tracing::warn!(
                count,
                "partitions on disk that the catalog does not know stay: {shown}"
            );
        }
        Ok(())
    }

    fn remove(&self, id: TopicId, partitions: i32) -> Result<(), StorageError> {
        (0..partitions).try_for_each(|index| self.engine.delete(PartitionId { topic: id, index }))
    }
}

/// The topic of this id, among topics in the order of their ids.
fn find(topics: &[Arc<Topic>], id: TopicId) -> Option<&Arc<Topic>> {
    let place = topics.binary_search_by_key(&id, |topic| topic.id).ok()?;
    topics.get(place)
}

/// Performs the catalog's actions.
pub(super) struct CatalogShell(pub(super) Arc<Surroundings>);

impl CatalogShell {
    /// Run something that may block.
    async fn blocking<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Arc<Surroundings>) -> T + Send + 'static,
    ) -> Option<T> {
        let surroundings = self.0.clone();
        tokio::task::spawn_blocking(move || work(&surroundings))
            .await
            .ok()
    }

    async fn publish(&self, topic: Arc<Topic>) {
        let outcome = if topic.partitions as usize <= OPENED_INLINE_MAX {
            Some(self.0.open(&topic))
        } else {
            let topic = topic.clone();
            self.blocking(move |surroundings| surroundings.open(&topic))
                .await
        };
        if let Some(Err(error)) = outcome {
            tracing::error!(topic = &*topic.name, "its logs do not open: {error}");
        }
        self.0.view.insert(topic.clone());
        self.0.tell(&Change::Published(topic));
    }

    /// Make readers see these topics and no others, with their logs open. At the start that is
    /// all of them; after a failure, what became durable and was not acted upon any more.
    async fn begin(&self, topics: Vec<Arc<Topic>>, deleted: HashSet<TopicId>) {
        for topic in self.0.view.topics() {
            if find(&topics, topic.id).is_none() {
                self.0.view.remove(topic.id);
                self.0.tell(&Change::Deleted(topic));
            }
        }
        let begun = self.blocking(move |surroundings| {
            let seen = |topic: &Topic| {
                let seen = surroundings.view.topic_by_id(topic.id);
                seen.is_some_and(|seen| *seen == *topic)
            };
            let news = topics.iter().filter(|topic| !seen(topic)).cloned();
            let news: Vec<_> = news.collect();
            surroundings.open_all(&news)?;
            for topic in news {
                surroundings.tell(&Change::Published(topic));
            }
            surroundings.name_unknown(|id| {
                let topic = find(&topics, id.topic);
                topic.is_some_and(|topic| topic.partition(id.index).is_some())
                    || id == CATALOG_PARTITION
                    || deleted.contains(&id.topic)
            })
        });
        if let Some(Err(error)) = begun.await {
            *self
                .0
                .failure
                .lock()
                .unwrap_or_else(PoisonError::into_inner) =
                Some(format!("a log does not open: {error}"));
        }
    }

    async fn remove(&self, shard: &Shard<CatalogMachine>, id: TopicId, partitions: i32) {
        let removed = self
            .blocking(move |surroundings| surroundings.remove(id, partitions))
            .await;
        match removed {
            Some(Ok(())) => shard.tell(Event::FilesRemoved(id)),
            Some(Err(error)) => {
                tracing::warn!(topic = %id, "files of the deleted topic stay: {error}");
            }
            None => {}
        }
    }
}

impl Shell<CatalogMachine> for CatalogShell {
    async fn perform(&self, shard: &Shard<CatalogMachine>, action: Action) {
        match action {
            Action::Begin {
                brokers,
                topics,
                deleted,
                groups,
                redrives,
                quotas,
                subscriptions,
            } => {
                self.0.view.put_quotas(quotas);
                self.0.view.put_subscriptions(subscriptions);
                let defaults = GroupSettings::new(&BTreeMap::new(), &brokers);
                self.0.view.begin_groups(defaults, groups);
                for job in redrives {
                    self.0.view.put_redrive(job.id, Some(job));
                }
                self.0.brokers.store(brokers);
                self.begin(topics, deleted.iter().map(|(id, _)| *id).collect())
                    .await;
                for (id, partitions) in deleted {
                    self.remove(shard, id, partitions).await;
                }
            }
            Action::PublishSubscriptions(all) => self.0.view.put_subscriptions(all),
            Action::PublishQuotas(quotas) => self.0.view.put_quotas(quotas),
            Action::PublishRedrive(id, job) => self.0.view.put_redrive(id, job),
            Action::PublishGroup(config) => self.0.view.insert_group(config),
            Action::Publish(topic) => self.publish(topic).await,
            Action::Retire(topic) => {
                self.0.view.remove(topic.id);
                self.0.tell(&Change::Deleted(topic.clone()));
                self.remove(shard, topic.id, topic.partitions).await;
            }
            Action::Reconfigure(brokers, topics) => {
                self.0.brokers.store(brokers);
                for topic in topics {
                    self.publish(topic).await;
                }
            }
        }
    }
}
