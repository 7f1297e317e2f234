//! What readers see of the catalog: changed in one place (the catalog's shell, after the change
//! is durable), read by every handler without a message.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use dashmap::DashMap;
use ratel_storage::{LogSettings, PartitionId, TopicId};

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

/// All topics, by name and by id.
#[derive(Debug, Default)]
pub struct View {
    by_name: DashMap<Arc<str>, Arc<Topic>>,
    by_id: DashMap<TopicId, Arc<Topic>>,
    version: AtomicU64,
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
