//! The committed offsets of one group. Hard state: changed by records alone.

use std::collections::BTreeMap;
use std::sync::Arc;

use ratel_storage::Offset;

use super::record::{Committed, Record};

/// An offset and where it lies in the shard's log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Placed {
    /// What was committed.
    pub committed: Committed,
    /// Where: of two commits, the later one counts (T-14).
    pub at: Offset,
}

/// What is committed for the partitions of a topic. Boxed, since a map's node has room for eleven
/// and most groups read few.
pub type Partitions = BTreeMap<i32, Box<Placed>>;

impl Placed {
    /// This offset, at this place.
    pub fn new(committed: &Committed, at: Offset) -> Self {
        Self {
            committed: committed.clone(),
            at,
        }
    }
}

/// Committed offsets by topic name and partition.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Offsets {
    topics: BTreeMap<Arc<str>, Partitions>,
}

impl Offsets {
    /// Whether nothing is committed.
    pub fn is_empty(&self) -> bool {
        self.topics.is_empty()
    }

    /// What is committed for a partition.
    pub fn committed(&self, topic: &str, partition: i32) -> Option<&Committed> {
        Some(&self.topics.get(topic)?.get(&partition)?.committed)
    }

    /// Where what is committed for a partition lies in the log.
    pub fn at(&self, topic: &str, partition: i32) -> Option<Offset> {
        Some(self.topics.get(topic)?.get(&partition)?.at)
    }

    /// All topics with their partitions, in order.
    pub fn topics(&self) -> impl Iterator<Item = (&Arc<str>, &Partitions)> {
        self.topics.iter()
    }

    /// All offsets, in order.
    pub fn iter(&self) -> impl Iterator<Item = (&Arc<str>, i32, &Committed)> {
        self.topics.iter().flat_map(|(topic, partitions)| {
            partitions
                .iter()
                .map(move |(partition, placed)| (topic, *partition, &placed.committed))
        })
    }

    /// Put an offset in, or take it out.
    pub fn apply(&mut self, topic: &Arc<str>, partition: i32, value: Option<Placed>) {
        match value {
            Some(placed) => {
                let placed = Box::new(placed);
                if let Some(partitions) = self.topics.get_mut(topic) {
                    partitions.insert(partition, placed);
                } else {
                    let partitions = BTreeMap::from([(partition, placed)]);
                    self.topics.insert(topic.clone(), partitions);
                }
            }
            None => {
                if let Some(partitions) = self.topics.get_mut(topic) {
                    partitions.remove(&partition);
                    if partitions.is_empty() {
                        self.topics.remove(topic);
                    }
                }
            }
        }
    }

    /// Tombstones for at most `limit` of the offsets that `which` picks.
    pub fn tombstones(
        &self,
        group: &Arc<str>,
        limit: usize,
        mut which: impl FnMut(&Arc<str>, i32, &Committed) -> bool,
    ) -> Vec<Record> {
        self.iter()
            .filter(|(topic, partition, committed)| which(topic, *partition, committed))
            .take(limit)
            .map(|(topic, partition, _)| Record::Offset {
                group: group.clone(),
                topic: topic.clone(),
                partition,
                value: None,
            })
            .collect()
    }

    /// All offsets as records.
    pub fn snapshot(&self, group: &Arc<str>, out: &mut Vec<Record>) {
        out.extend(
            self.iter()
                .map(|(topic, partition, committed)| Record::Offset {
                    group: group.clone(),
                    topic: topic.clone(),
                    partition,
                    value: Some(committed.clone()),
                }),
        );
    }
}
