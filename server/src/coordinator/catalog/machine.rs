//! The catalog's logic: what may exist under which name, with how many partitions and which
//! configuration.

use std::collections::{BTreeMap, HashMap};
use std::ops::Range;
use std::sync::Arc;

use ratel_protocol::ErrorCode;
use ratel_storage::TopicId;

use super::alter::{self, Changes};
use super::broker_config::{BrokerConfigs, BrokerScope};
use super::client_metrics::Subscriptions;
use super::client_quota::{ClientQuotas, QuotaChange};
use super::group_config::{self, GroupConfig, GroupSettings};
use super::record::{CatalogRecord, TopicRecord};
use super::redrive_job::Job;
use super::view::Topic;
use super::{check_growth, check_legal_name, topic_config};
use crate::clock::Timestamp;
use crate::coordinator::{Applied, Effects, LogEnds, Machine, Ticket};
use crate::error::Refusal;

/// Producer ids that one record gives out.
const PRODUCER_ID_BLOCK: i64 = 1000;

/// A topic that is to be made.
#[derive(Debug, Clone)]
pub struct NewTopic {
    /// Its name.
    pub name: Arc<str>,
    /// The id it gets: random, and never used before.
    pub id: TopicId,
    /// How many partitions.
    pub partitions: i32,
    /// Its own configuration.
    pub configs: BTreeMap<String, String>,
    /// Whether the server makes it for itself: its configuration is not checked then.
    pub internal: bool,
}

/// What may happen to the catalog.
#[derive(Debug)]
pub enum Event {
    /// Make topics, or only say what would come of it.
    Create {
        /// The topics.
        topics: Vec<NewTopic>,
        /// Make nothing.
        validate_only: bool,
    },
    /// Delete topics.
    Delete {
        /// Their ids.
        ids: Vec<TopicId>,
    },
    /// Give topics more partitions.
    Grow {
        /// Which topics, and how many partitions each is to have.
        topics: Vec<(TopicId, i32)>,
        /// Change nothing.
        validate_only: bool,
    },
    /// Alter the configuration of a topic.
    AlterTopic {
        /// Which.
        id: TopicId,
        /// How.
        changes: Changes,
        /// Change nothing.
        validate_only: bool,
    },
    /// Alter the broker's own configuration.
    AlterBroker {
        /// For whom.
        scope: BrokerScope,
        /// How.
        changes: Changes,
        /// Change nothing.
        validate_only: bool,
    },
    /// Alter the configuration of a group, which need not exist.
    AlterGroup {
        /// Which.
        group: Arc<str>,
        /// How.
        changes: Changes,
        /// Change nothing.
        validate_only: bool,
    },
    /// Alter a subscription to clients' metrics, which need not exist.
    AlterSubscription {
        /// Which.
        name: Arc<str>,
        /// How.
        changes: Changes,
        /// Change nothing.
        validate_only: bool,
    },
    /// Change quotas of clients.
    AlterQuotas {
        /// How.
        changes: Vec<QuotaChange>,
        /// Change nothing.
        validate_only: bool,
    },
    /// Begin a redrive, or write down how far one has come.
    PutRedrive {
        /// The job. A new one's number does not count.
        job: Box<Job>,
        /// Whether it begins.
        is_new: bool,
    },
    /// Forget a redrive that has ended.
    ForgetRedrive(i64),
    /// Give out a block of producer ids.
    ProducerIds,
    /// The files of a deleted topic are gone.
    FilesRemoved(TopicId),
    /// Answer when everything before this is done.
    Barrier,
}

/// What the catalog answers.
#[derive(Debug)]
pub enum Reply {
    /// To Create, Delete and Grow: for each topic, in the order of the request, as it is now (a
    /// deleted one as it was).
    Topics(Vec<Result<Arc<Topic>, Refusal>>),
    /// To AlterTopic, AlterBroker, AlterGroup and AlterSubscription.
    Altered(Result<(), Refusal>),
    /// To AlterQuotas: for each change, in the order of the request.
    Quotas(Vec<Result<(), Refusal>>),
    /// To PutRedrive: the job as it is written down.
    Redrive(Result<Arc<Job>, Refusal>),
    /// To ProducerIds: a block that nobody else gets.
    ProducerIds(Range<i64>),
    /// To Barrier and ForgetRedrive.
    Done,
}

/// What the catalog's shell does once a change is durable.
#[derive(Debug)]
pub enum Action {
    /// After a start: the broker's configuration, all topics, and what is left to be removed.
    Begin {
        /// The broker's configuration.
        brokers: Arc<BrokerConfigs>,
        /// Every topic.
        topics: Vec<Arc<Topic>>,
        /// Deleted topics whose files may still be there, with their numbers of partitions.
        deleted: Vec<(TopicId, i32)>,
        /// Every group that has a configuration.
        groups: Vec<Arc<GroupConfig>>,
        /// Every redrive.
        redrives: Vec<Arc<Job>>,
        /// The quotas of clients.
        quotas: Arc<ClientQuotas>,
        /// Subscriptions to clients' metrics.
        subscriptions: Arc<Subscriptions>,
    },
    /// Show readers these subscriptions to clients' metrics.
    PublishSubscriptions(Arc<Subscriptions>),
    /// Hold clients to these quotas.
    PublishQuotas(Arc<ClientQuotas>),
    /// Show readers a redrive, or that there is none of this number any more.
    PublishRedrive(i64, Option<Arc<Job>>),
    /// Show readers a group's configuration; one without values is none.
    PublishGroup(Arc<GroupConfig>),
    /// Open the logs of a topic that is new or has changed, and show it to readers.
    Publish(Arc<Topic>),
    /// Hide a topic from readers and remove its files.
    Retire(Arc<Topic>),
    /// The broker's configuration has changed, and with it how these topics' logs behave.
    Reconfigure(Arc<BrokerConfigs>, Vec<Arc<Topic>>),
}

/// The catalog.
pub struct CatalogMachine {
    brokers: Arc<BrokerConfigs>,
    /// Alterations of the broker's keys were applied that `brokers` does not reflect yet.
    stale: bool,
    topics: BTreeMap<TopicId, Arc<Topic>>,
    by_name: HashMap<Arc<str>, TopicId>,
    /// Names with `.` or `_` in them, all `.` made `_`: two of them must not be the same.
    by_folded_name: HashMap<String, TopicId>,
    partitions: usize,
    deleted: BTreeMap<TopicId, i32>,
    groups: BTreeMap<Arc<str>, Arc<GroupConfig>>,
    redrives: BTreeMap<i64, Arc<Job>>,
    quotas: Arc<ClientQuotas>,
    subscriptions: Arc<Subscriptions>,
    /// One past the last producer id that was given out.
    producer_ids_end: i64,
}

impl CatalogMachine {
    /// A catalog with no topics.
    #[must_use]
    pub fn new(brokers: BrokerConfigs) -> Self {
        Self {
            brokers: Arc::new(brokers),
            stale: false,
            topics: BTreeMap::new(),
            by_name: HashMap::new(),
            by_folded_name: HashMap::new(),
            partitions: 0,
            deleted: BTreeMap::new(),
            groups: BTreeMap::new(),
            redrives: BTreeMap::new(),
            quotas: Arc::default(),
            subscriptions: Arc::default(),
            producer_ids_end: 0,
        }
    }

    fn create(
        &mut self,
        new: NewTopic,
        validate_only: bool,
        out: &mut Effects<Self>,
    ) -> Result<Arc<Topic>, Refusal> {
        self.check_name(&new.name)?;
        self.check_partitions(new.partitions, 0)?;
        let config = self.brokers.effective();
        if self.topics.len() >= config.topics_max {
            return Err(above("topics.max", config.topics_max));
        }
        if !new.internal {
            topic_config::TOPICS
                .check(&new.configs, &self.brokers)
                .map_err(|why| Refusal::new(ErrorCode::InvalidConfig, why))?;
        }
        let record = TopicRecord {
            id: new.id,
            name: new.name,
            partitions: new.partitions,
            internal: new.internal,
            configs: new.configs,
        };
        if validate_only {
            return Ok(Arc::new(self.topic_of(&record)));
        }
        Ok(self.put(record, out))
    }

    /// Write a topic down as it is from now on, and have it published.
    fn put(&mut self, record: TopicRecord, out: &mut Effects<Self>) -> Arc<Topic> {
        let id = record.id;
        out.record(self, CatalogRecord::Topic(record));
        let topic = self.topics[&id].clone();
        out.act(Action::Publish(topic.clone()));
        topic
    }

    fn topic_of(&self, record: &TopicRecord) -> Topic {
        let base = self.brokers.settings();
        let settings = if record.configs.is_empty() && !record.internal {
            base.clone()
        } else {
            Arc::new(topic_config::settings(
                base,
                &record.configs,
                record.internal,
            ))
        };
        Topic {
            id: record.id,
            name: record.name.clone(),
            partitions: record.partitions,
            internal: record.internal,
            configs: record.configs.clone(),
            settings,
        }
    }

    fn check_name(&self, name: &str) -> Result<(), Refusal> {
        check_legal_name(name)?;
        if self.by_name.contains_key(name) {
            let message = format!("Topic '{name}' already exists.");
            return Err(Refusal::new(ErrorCode::TopicAlreadyExists, message));
        }
        let other = folded(name).and_then(|folded| self.by_folded_name.get(&folded));
        match other.and_then(|id| self.topics.get(id)) {
            Some(other) => Err(Refusal::new(
                ErrorCode::InvalidTopicException,
                format!(
                    "Topic '{name}' collides with '{}': names must differ by more than '.' and \
                     '_'.",
                    other.name
                ),
            )),
            None => Ok(()),
        }
    }

    /// Whether a topic of `had` partitions may have `wanted`.
    fn check_partitions(&self, wanted: i32, had: i32) -> Result<(), Refusal> {
        check_growth(had, wanted)?;
        let max = self.brokers.effective().partitions_max;
        let more = usize::try_from(wanted - had).unwrap_or(usize::MAX);
        match more <= max.saturating_sub(self.partitions) {
            true => Ok(()),
            false => Err(above("partitions.max", max)),
        }
    }

    fn delete(&mut self, id: TopicId, out: &mut Effects<Self>) -> Result<Arc<Topic>, Refusal> {
        let topic = self.known(id)?;
        if topic.internal {
            let message = format!("Topic '{}' belongs to the server itself.", topic.name);
            return Err(Refusal::new(ErrorCode::InvalidTopicException, message));
        }
        let partitions = topic.partitions;
        out.record(self, CatalogRecord::Deleted { id, partitions });
        out.act(Action::Retire(topic.clone()));
        Ok(topic)
    }

    fn grow(
        &mut self,
        id: TopicId,
        partitions: i32,
        validate_only: bool,
        out: &mut Effects<Self>,
    ) -> Result<Arc<Topic>, Refusal> {
        let topic = self.known(id)?;
        if topic.internal {
            let message = format!(
                "Topic '{}' belongs to the server itself, which finds groups by its number of \
                 partitions.",
                topic.name
            );
            return Err(Refusal::new(ErrorCode::InvalidTopicException, message));
        }
        self.check_partitions(partitions, topic.partitions)?;
        if validate_only {
            return Ok(topic);
        }
        let record = TopicRecord {
            partitions,
            ..record_of(&topic)
        };
        Ok(self.put(record, out))
    }

    fn alter_topic(
        &mut self,
        id: TopicId,
        changes: &Changes,
        validate_only: bool,
        out: &mut Effects<Self>,
    ) -> Result<(), Refusal> {
        let topic = self.known(id)?;
        let configs = alter::own(
            &topic_config::TOPICS,
            &topic.configs,
            changes,
            &self.brokers,
        )?;
        if !validate_only && configs != topic.configs {
            self.put(
                TopicRecord {
                    configs,
                    ..record_of(&topic)
                },
                out,
            );
        }
        Ok(())
    }

    fn alter_broker(
        &mut self,
        scope: BrokerScope,
        changes: &Changes,
        validate_only: bool,
        out: &mut Effects<Self>,
    ) -> Result<(), Refusal> {
        let altered = alter::broker(&self.brokers, scope, changes)?;
        if validate_only || altered.is_empty() {
            return Ok(());
        }
        for (name, value) in altered {
            out.record(self, CatalogRecord::BrokerConfig { scope, name, value });
        }
        let changed = self.refresh();
        out.act(Action::Reconfigure(self.brokers.clone(), changed));
        Ok(())
    }

    fn alter_group(
        &mut self,
        group: Arc<str>,
        changes: &Changes,
        validate_only: bool,
        out: &mut Effects<Self>,
    ) -> Result<(), Refusal> {
        let known = self.groups.get(&group);
        let before = known.map(|known| known.configs.clone()).unwrap_or_default();
        let max = self.brokers.effective().groups_max;
        if known.is_none() && self.groups.len() >= max {
            return Err(above("groups.max", max));
        }
        let configs = alter::own(&group_config::GROUPS, &before, changes, &self.brokers)?;
        if !validate_only && configs != before {
            let config = self.group_of(group.clone(), configs.clone());
            out.record(self, CatalogRecord::GroupConfig { group, configs });
            out.act(Action::PublishGroup(Arc::new(config)));
        }
        Ok(())
    }

    fn group_of(&self, group: Arc<str>, configs: BTreeMap<String, String>) -> GroupConfig {
        GroupConfig {
            group,
            settings: Arc::new(GroupSettings::new(&configs, &self.brokers)),
            configs,
        }
    }

    fn apply_group(&mut self, group: &Arc<str>, configs: &BTreeMap<String, String>) {
        if configs.is_empty() {
            self.groups.remove(group);
        } else {
            let config = self.group_of(group.clone(), configs.clone());
            self.groups.insert(group.clone(), Arc::new(config));
        }
    }

    /// Make alterations of the broker's keys count. Gives the topics whose logs behave
    /// differently now.
    fn refresh(&mut self) -> Vec<Arc<Topic>> {
        if !std::mem::take(&mut self.stale) {
            return Vec::new();
        }
        let before = self.brokers.settings().clone();
        Arc::make_mut(&mut self.brokers).refresh();
        if before == *self.brokers.settings() {
            return Vec::new();
        }
        let topics: Vec<_> = self.topics.values().cloned().collect();
        let mut changed = Vec::new();
        for topic in topics {
            let now = Arc::new(self.topic_of(&record_of(&topic)));
            self.topics.insert(now.id, now.clone());
            changed.push(now);
        }
        changed
    }

    fn known(&self, id: TopicId) -> Result<Arc<Topic>, Refusal> {
        self.topics
            .get(&id)
            .cloned()
            .ok_or_else(|| Refusal::unknown_topic_id(id))
    }

    fn take_producer_ids(&mut self, out: &mut Effects<Self>) -> Range<i64> {
        let first = self.producer_ids_end;
        let end = first + PRODUCER_ID_BLOCK;
        out.record(self, CatalogRecord::ProducerIds { end });
        first..end
    }

    fn apply_topic(&mut self, record: &TopicRecord) {
        let topic = Arc::new(self.topic_of(record));
        if let Some(folded) = folded(&topic.name) {
            self.by_folded_name.insert(folded, topic.id);
        }
        self.by_name.insert(topic.name.clone(), topic.id);
        self.partitions += partitions(topic.partitions);
        if let Some(before) = self.topics.insert(topic.id, topic) {
            self.partitions -= partitions(before.partitions);
        }
    }

    fn apply_deleted(&mut self, id: TopicId, count: i32) {
        self.deleted.insert(id, count);
        let Some(topic) = self.topics.remove(&id) else {
            return;
        };
        self.partitions -= partitions(topic.partitions);
        // A name can only be taken again once it is free, so these are still this topic's.
        self.by_name.remove(&topic.name);
        if let Some(folded) = folded(&topic.name) {
            self.by_folded_name.remove(&folded);
        }
    }
}

impl Machine for CatalogMachine {
    type Event = Event;
    type Record = CatalogRecord;
    type Reply = Reply;
    type Action = Action;

    fn handle(&mut self, _now: Timestamp, ticket: Ticket, event: Event, out: &mut Effects<Self>) {
        let reply = match event {
            Event::Create {
                topics,
                validate_only,
            } => Reply::Topics(
                topics
                    .into_iter()
                    .map(|new| self.create(new, validate_only, out))
                    .collect(),
            ),
            Event::Delete { ids } => {
                Reply::Topics(ids.into_iter().map(|id| self.delete(id, out)).collect())
            }
            Event::Grow {
                topics,
                validate_only,
            } => Reply::Topics(
                topics
                    .into_iter()
                    .map(|(id, partitions)| self.grow(id, partitions, validate_only, out))
                    .collect(),
            ),
            Event::AlterTopic {
                id,
                changes,
                validate_only,
            } => Reply::Altered(self.alter_topic(id, &changes, validate_only, out)),
            Event::AlterBroker {
                scope,
                changes,
                validate_only,
            } => Reply::Altered(self.alter_broker(scope, &changes, validate_only, out)),
            Event::AlterGroup {
                group,
                changes,
                validate_only,
            } => Reply::Altered(self.alter_group(group, &changes, validate_only, out)),
            Event::AlterSubscription {
                name,
                changes,
                validate_only,
            } => Reply::Altered(self.alter_subscription(name, &changes, validate_only, out)),
            Event::AlterQuotas {
                changes,
                validate_only,
            } => Reply::Quotas(self.alter_quotas(&changes, validate_only, out)),
            Event::PutRedrive { job, is_new } => {
                Reply::Redrive(self.put_redrive(*job, is_new, out))
            }
            Event::ForgetRedrive(id) => {
                self.forget_redrive(id, out);
                Reply::Done
            }
            Event::ProducerIds => Reply::ProducerIds(self.take_producer_ids(out)),
            Event::FilesRemoved(id) => {
                if self.deleted.contains_key(&id) {
                    out.record(self, CatalogRecord::Forgotten { id });
                }
                Reply::Done
            }
            Event::Barrier => Reply::Done,
        };
        out.reply(ticket, reply);
    }

    fn handle_timeout(&mut self, _now: Timestamp, _out: &mut Effects<Self>) {}

    fn next_timeout(&self) -> Option<i64> {
        None
    }

    fn apply(&mut self, _at: Applied, record: &CatalogRecord) {
        match record {
            CatalogRecord::Topic(topic) => self.apply_topic(topic),
            CatalogRecord::Deleted { id, partitions } => self.apply_deleted(*id, *partitions),
            CatalogRecord::Forgotten { id } => {
                self.deleted.remove(id);
            }
            CatalogRecord::BrokerConfig { scope, name, value } => {
                self.stale = true;
                Arc::make_mut(&mut self.brokers).alter(*scope, name, value.clone());
            }
            CatalogRecord::GroupConfig { group, configs } => self.apply_group(group, configs),
            CatalogRecord::Redrive { id, job } => self.apply_redrive(*id, job.as_ref()),
            CatalogRecord::ClientMetrics { name, configs } => {
                self.apply_subscription(name, configs);
            }
            CatalogRecord::Quotas { .. } => self.apply_quotas(record),
            CatalogRecord::ProducerIds { end } => {
                self.producer_ids_end = self.producer_ids_end.max(*end);
            }
        }
    }

    fn start(&mut self, _now: Timestamp, _ends: &LogEnds, out: &mut Effects<Self>) {
        self.refresh();
        out.act(Action::Begin {
            brokers: self.brokers.clone(),
            topics: self.topics.values().cloned().collect(),
            deleted: self
                .deleted
                .iter()
                .map(|(id, count)| (*id, *count))
                .collect(),
            groups: self.groups.values().cloned().collect(),
            redrives: self.redrives.values().cloned().collect(),
            quotas: self.quotas.clone(),
            subscriptions: self.subscriptions.clone(),
        });
    }

    fn snapshot(&self, out: &mut Vec<CatalogRecord>) {
        let topics = self.topics.values().map(|topic| record_of(topic));
        out.extend(topics.map(CatalogRecord::Topic));
        out.extend(
            self.deleted
                .iter()
                .map(|(id, partitions)| CatalogRecord::Deleted {
                    id: *id,
                    partitions: *partitions,
                }),
        );
        out.extend(self.brokers.altered().iter().map(|((scope, name), value)| {
            CatalogRecord::BrokerConfig {
                scope: *scope,
                name: name.clone(),
                value: Some(value.clone()),
            }
        }));
        let groups = self.groups.values();
        out.extend(groups.map(|config| CatalogRecord::GroupConfig {
            group: config.group.clone(),
            configs: config.configs.clone(),
        }));
        let redrives = self.redrives.iter();
        out.extend(redrives.map(|(id, job)| CatalogRecord::Redrive {
            id: *id,
            job: Some(job.clone()),
        }));
        out.extend(self.quota_records());
        out.extend(self.subscription_records());
        out.push(CatalogRecord::ProducerIds {
            end: self.producer_ids_end,
        });
    }
}

fn record_of(topic: &Topic) -> TopicRecord {
    TopicRecord {
        id: topic.id,
        name: topic.name.clone(),
        partitions: topic.partitions,
        internal: topic.internal,
        configs: topic.configs.clone(),
    }
}

fn partitions(count: i32) -> usize {
    usize::try_from(count).unwrap_or(0)
}

/// The name with every `.` made `_`; `None` for a name that has neither.
fn folded(name: &str) -> Option<String> {
    name.contains(['.', '_']).then(|| name.replace('.', "_"))
}

fn above(limit: &str, value: usize) -> Refusal {
    let message = format!("This would be more than {limit}={value} allows.");
    Refusal::new(ErrorCode::PolicyViolation, message)
}

mod quotas;
mod redrives;
mod subscriptions;

#[cfg(test)]
mod tests;
