//! What a shard knows of the topics that its share and consumer groups read. Soft state: told by
//! the handlers and by the catalog's listener, and asked for anew after a restart.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

use ratel_storage::TopicId;

use super::share::TopicNow;
use super::{GroupMachine, Kind};
use crate::coordinator::Effects;

#[derive(Debug, Default)]
struct Watched {
    /// What is told of an older view than this is not news.
    version: u64,
    topic: Option<(TopicId, i32)>,
    groups: BTreeSet<Arc<str>>,
}

/// The topics that groups of a shard read, whether they exist or not.
#[derive(Debug, Default)]
pub struct Topics(HashMap<Arc<str>, Watched>);

impl Topics {
    /// Watch a topic for a group. Whether nobody did before.
    pub fn watch(&mut self, name: &Arc<str>, group: &Arc<str>) -> bool {
        let new = !self.0.contains_key(name);
        let watched = self.0.entry(name.clone()).or_default();
        watched.groups.insert(group.clone());
        new
    }

    /// Watch it no longer.
    pub fn unwatch(&mut self, name: &Arc<str>, group: &Arc<str>) {
        if let Some(watched) = self.0.get_mut(name) {
            watched.groups.remove(group);
            if watched.groups.is_empty() {
                self.0.remove(name);
            }
        }
    }

    /// Watch other topics for a group than before. Those that nobody watched before.
    pub fn rewatch(
        &mut self,
        group: &Arc<str>,
        before: &BTreeSet<Arc<str>>,
        wanted: &BTreeSet<Arc<str>>,
    ) -> Vec<Arc<str>> {
        let new = wanted.difference(before);
        let unknown: Vec<_> = new.filter(|name| self.watch(name, group)).collect();
        for name in before.difference(wanted) {
            self.unwatch(name, group);
        }
        unknown.into_iter().cloned().collect()
    }

    /// Take in how a topic is now. The groups that this is news for.
    pub fn learn(&mut self, now: &TopicNow) -> Vec<Arc<str>> {
        let Some(watched) = self.0.get_mut(&now.name) else {
            return Vec::new();
        };
        if now.version < watched.version {
            return Vec::new();
        }
        watched.version = now.version;
        if watched.topic == now.topic {
            return Vec::new();
        }
        watched.topic = now.topic;
        watched.groups.iter().cloned().collect()
    }

    /// How a watched topic was last heard to be, and the version of the view that told it.
    pub fn seen(&self, name: &str) -> Option<(u64, Option<(TopicId, i32)>)> {
        let watched = self.0.get(name)?;
        (watched.version > 0).then_some((watched.version, watched.topic))
    }

    /// A topic's id and number of partitions, if it is watched and exists.
    pub fn get(&self, name: &str) -> Option<(TopicId, i32)> {
        self.0.get(name)?.topic
    }

    /// Those of these topics that exist, by id.
    pub fn existing<'a>(
        &self,
        names: impl IntoIterator<Item = &'a Arc<str>>,
    ) -> BTreeMap<TopicId, i32> {
        let names = names.into_iter();
        names.filter_map(|name| self.get(name)).collect()
    }

    /// Stands for these topics as they are now: their names, ids and partitions (FNV-1a, 64 bits);
    /// 0 if none of them exists.
    pub fn hash<'a>(&self, names: impl IntoIterator<Item = &'a Arc<str>>) -> i64 {
        let mut hash = None;
        for name in names {
            let Some((id, partitions)) = self.get(name) else {
                continue;
            };
            let bytes = id.as_bytes().iter().copied();
            let bytes = bytes.chain(partitions.to_be_bytes()).chain(name.bytes());
            let sum = hash.get_or_insert(0xcbf2_9ce4_8422_2325_u64);
            for byte in bytes.chain([0]) {
                *sum = (*sum ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3);
            }
        }
        hash.unwrap_or(0).cast_signed()
    }
}

impl GroupMachine {
    /// Topics are as they are now; one group is seen to by the caller.
    pub(super) fn topics_news(
        &mut self,
        topics: &[TopicNow],
        besides: Option<&Arc<str>>,
        out: &mut Effects<Self>,
    ) {
        for topic in topics {
            for id in self.topics.learn(topic) {
                if besides != Some(&id) {
                    self.share_refresh(&id, false, out);
                    self.consumer_refresh(&id, false, out);
                }
            }
        }
    }

    /// After a replay, watch what groups read, with the topics as they are now.
    pub(super) fn topics_start(&mut self, topics: &[TopicNow]) {
        for (id, group) in &mut self.groups {
            let names = match &mut group.kind {
                Kind::Classic(_) => continue,
                Kind::Consumer(consumer) => consumer.watch(),
                Kind::Share(share) => share.watch(),
            };
            self.topics.rewatch(id, &BTreeSet::new(), &names);
        }
        for topic in topics {
            self.topics.learn(topic);
        }
    }
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::*;

    fn now(version: u64, partitions: i32) -> TopicNow {
        TopicNow {
            name: "t".into(),
            version,
            topic: Some((Uuid::from_u128(1), partitions)),
        }
    }

    #[test]
    fn what_is_older_is_no_news() {
        let mut topics = Topics::default();
        assert!(topics.learn(&now(9, 1)).is_empty(), "nobody watches it");
        assert!(topics.watch(&"t".into(), &"g".into()));
        assert!(!topics.watch(&"t".into(), &"h".into()));
        assert_eq!(topics.learn(&now(5, 2)), ["g".into(), "h".into()]);
        assert!(topics.learn(&now(4, 1)).is_empty());
        assert_eq!(topics.get("t"), Some((Uuid::from_u128(1), 2)));
        assert!(topics.learn(&now(6, 2)).is_empty(), "it is known");
        topics.unwatch(&"t".into(), &"g".into());
        assert_eq!(topics.learn(&now(7, 3)), ["h".into()]);
        topics.unwatch(&"t".into(), &"h".into());
        assert_eq!(topics.get("t"), None);
    }

    #[test]
    fn every_part_of_a_topic_counts_for_the_hash() {
        let names: [Arc<str>; 2] = ["t".into(), "u".into()];
        let mut topics = Topics::default();
        assert_eq!(topics.hash(&names), 0);
        topics.watch(&names[0], &"g".into());
        topics.learn(&now(1, 1));
        let one = topics.hash(&names);
        topics.learn(&now(2, 2));
        let two = topics.hash(&names);
        assert!(one != 0 && two != 0 && one != two);
    }
}
