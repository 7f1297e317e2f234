//! What readers see of the catalog: changed in one place (the catalog's shell, after the change
//! is durable), read by every handler without a message.

use std::collections::{BTreeMap, HashSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use arc_swap::ArcSwap;
use dashmap::DashMap;
use ratel_storage::{LogSettings, PartitionId, TopicId};

use super::client_metrics::Subscriptions;
use super::client_quota::{ClientQuotas, Quota};
use super::group_config::{GroupConfig, GroupSettings};
use super::redrive_job::Job;

/// A topic as it is now. A change makes a new value; holders of the old one keep it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Topic {
    /// Its id.
    pub id: TopicId,
    /// Its name.
    pub name: Arc<str>,
    /// How many partitions: indexes 0 up to this.
    pub partitions: i32,
    /// Whether the server itself made it (`__consumer_offsets`).
    pub internal: bool,
    /// Configuration set on the topic itself, by Kafka's names, as text.
    pub configs: BTreeMap<String, String>,
    /// What the log acts on: `configs` over the broker's defaults.
    pub settings: Arc<LogSettings>,
}

impl Topic {
    /// The id of one of its partitions, if the topic has that many.
    #[must_use]
    pub fn partition(&self, index: i32) -> Option<PartitionId> {
        (0..self.partitions)
            .contains(&index)
            .then_some(PartitionId {
                topic: self.id,
                index,
            })
    }
}

/// All topics, by name and by id, and the configurations of groups.
#[derive(Debug, Default)]
pub struct View {
    by_name: DashMap<Arc<str>, Arc<Topic>>,
    by_id: DashMap<TopicId, Arc<Topic>>,
    version: AtomicU64,
    groups: DashMap<Arc<str>, Arc<GroupConfig>>,
    group_defaults: ArcSwap<GroupSettings>,
    redrives: DashMap<i64, Arc<Job>>,
    quotas: ArcSwap<ClientQuotas>,
    subscriptions: ArcSwap<Subscriptions>,
    /// Whether anybody has a quota, by [`Quota`].
    has_quotas: [AtomicBool; Quota::ALL.len()],
}

impl View {
    /// The topic of this name.
    #[must_use]
    pub fn topic(&self, name: &str) -> Option<Arc<Topic>> {
        self.by_name.get(name).map(|topic| topic.clone())
    }

    /// The topic of this id.
    #[must_use]
    pub fn topic_by_id(&self, id: TopicId) -> Option<Arc<Topic>> {
        self.by_id.get(&id).map(|topic| topic.clone())
    }

    /// All topics, sorted by name.
    #[must_use]
    pub fn topics(&self) -> Vec<Arc<Topic>> {
        let mut topics: Vec<_> = self
            .by_name
            .iter()
            .map(|entry| entry.value().clone())
            .collect();
        topics.sort_by(|a, b| a.name.cmp(&b.name));
        topics
    }

    /// The configuration of a group, if it was given one.
    #[must_use]
    pub fn group(&self, name: &str) -> Option<Arc<GroupConfig>> {
        self.groups.get(name).map(|group| group.clone())
    }

    /// What a group acts on, whether or not it was given a configuration. The value is shared and
    /// is replaced when the configuration changes.
    #[must_use]
    pub fn group_settings(&self, name: &str) -> Arc<GroupSettings> {
        match self.groups.get(name) {
            Some(group) => group.settings.clone(),
            None => self.group_defaults.load_full(),
        }
    }

    /// All groups that were given a configuration, sorted by name.
    #[must_use]
    pub fn groups(&self) -> Vec<Arc<GroupConfig>> {
        let groups = self.groups.iter();
        let mut groups: Vec<_> = groups.map(|entry| entry.value().clone()).collect();
        groups.sort_by(|a, b| a.group.cmp(&b.group));
        groups
    }

    /// Put a group's configuration in; one without values is taken out. Only the catalog's shell
    /// calls this.
    pub fn insert_group(&self, config: Arc<GroupConfig>) {
        if config.configs.is_empty() {
            self.groups.remove(&config.group);
        } else {
            self.groups.insert(config.group.clone(), config);
        }
    }

    /// Show these groups' configurations and no others, over these defaults. Only the catalog's
    /// shell calls this.
    pub fn begin_groups(&self, defaults: GroupSettings, groups: Vec<Arc<GroupConfig>>) {
        self.group_defaults.store(Arc::new(defaults));
        let names: HashSet<_> = groups.iter().map(|config| config.group.clone()).collect();
        self.groups.retain(|name, _| names.contains(name));
        groups
            .into_iter()
            .for_each(|config| self.insert_group(config));
    }

    /// A redrive.
    #[must_use]
    pub fn redrive(&self, id: i64) -> Option<Arc<Job>> {
        self.redrives.get(&id).map(|job| job.clone())
    }

    /// All redrives, the newest first.
    #[must_use]
    pub fn redrives(&self) -> Vec<Arc<Job>> {
        let jobs = self.redrives.iter();
        let mut jobs: Vec<_> = jobs.map(|entry| entry.value().clone()).collect();
        jobs.sort_by_key(|job| std::cmp::Reverse(job.id));
        jobs
    }

    /// Put a redrive in, or take it out. Only the catalog's shell calls this.
    pub fn put_redrive(&self, id: i64, job: Option<Arc<Job>>) {
        match job {
            Some(job) => self.redrives.insert(id, job),
            None => self.redrives.remove(&id).map(|(_, job)| job),
        };
    }

    /// The quotas of clients.
    #[must_use]
    pub fn quotas(&self) -> Arc<ClientQuotas> {
        self.quotas.load_full()
    }

    /// The subscriptions to clients' metrics.
    #[must_use]
    pub fn subscriptions(&self) -> Arc<Subscriptions> {
        self.subscriptions.load_full()
    }

    /// Show these subscriptions to clients' metrics. Only the catalog's shell calls this.
    pub fn put_subscriptions(&self, subscriptions: Arc<Subscriptions>) {
        self.subscriptions.store(subscriptions);
    }

    /// Whether anybody has a quota of this. One load: asked for every request.
    #[must_use]
    pub fn has_quota(&self, quota: Quota) -> bool {
        self.has_quotas[quota as usize].load(Ordering::Relaxed)
    }

    /// Hold clients to these quotas. Only the catalog's shell calls this.
    pub fn put_quotas(&self, quotas: Arc<ClientQuotas>) {
        // The flags last: who sees one finds the quota.
        self.quotas.store(quotas.clone());
        for quota in Quota::ALL {
            self.has_quotas[quota as usize].store(quotas.has(quota), Ordering::Relaxed);
        }
    }

    /// How many topics there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.by_name.len()
    }

    /// Whether there is no topic.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.by_name.is_empty()
    }

    /// Goes up with every change.
    #[must_use]
    pub fn version(&self) -> u64 {
        self.version.load(Ordering::Acquire)
    }

    /// Put a topic in, or its new value. Only the catalog's shell calls this.
    pub fn insert(&self, topic: Arc<Topic>) {
        self.by_id.insert(topic.id, topic.clone());
        self.by_name.insert(topic.name.clone(), topic);
        self.version.fetch_add(1, Ordering::AcqRel);
    }

    /// Take a topic out. Only the catalog's shell calls this.
    pub fn remove(&self, id: TopicId) -> Option<Arc<Topic>> {
        let (_, topic) = self.by_id.remove(&id)?;
        self.by_name
            .remove_if(&topic.name, |_, there| there.id == id);
        self.version.fetch_add(1, Ordering::AcqRel);
        Some(topic)
    }
}
