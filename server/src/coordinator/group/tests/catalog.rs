//! Topics that are made, grow and go in the random histories of groups.

use std::collections::BTreeMap;

use ratel_storage::TopicId;
use uuid::Uuid;

use super::bench::Bench;
use super::share::topic;
use crate::coordinator::group::{Event, TopicNow};

/// The names that topics may have.
pub const TOPICS: [&str; 3] = ["t", "u", "v"];

/// The topics there are, and the version of that.
#[derive(Debug, Default)]
pub struct Catalog {
    pub topics: BTreeMap<&'static str, (TopicId, i32)>,
    pub version: u64,
    ids: u128,
}

impl Catalog {
    pub fn now(&self, name: &str) -> TopicNow {
        topic(name, self.version, self.topics.get(name).copied())
    }

    pub fn all(&self) -> Vec<TopicNow> {
        TOPICS.iter().map(|name| self.now(name)).collect()
    }

    /// A topic is made, or has so many partitions more; whether groups hear of it.
    pub fn grow(&mut self, name: &'static str, by: i32, heard: bool, bench: &mut Bench) {
        self.version += 1;
        self.ids += 1;
        let fresh = (Uuid::from_u128(self.ids), 0);
        self.topics.entry(name).or_insert(fresh).1 += by;
        if heard {
            bench.send(Event::TopicChanged(self.now(name)));
        }
    }

    /// A topic goes, if it is there.
    pub fn delete(&mut self, name: &str, bench: &mut Bench) {
        self.version += 1;
        if let Some((id, _)) = self.topics.remove(name) {
            bench.send(Event::TopicChanged(self.now(name)));
            bench.send(Event::TopicDeleted(id));
        }
    }
}
