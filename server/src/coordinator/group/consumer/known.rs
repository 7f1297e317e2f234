//! The topics that an event speaks of: those that the shard watches, and those that were found for
//! the event. What is neither is asked for: the event comes back with it.

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;

use ratel_protocol::ErrorCode;
use ratel_storage::TopicId;

use crate::coordinator::group::share::TopicNow;
use crate::coordinator::group::topics::Topics;

/// Why an event comes to nothing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Stop {
    /// It is refused.
    Refused(ErrorCode),
    /// These topics must be looked up first.
    Wants(Vec<Arc<str>>),
}

impl From<ErrorCode> for Stop {
    fn from(error: ErrorCode) -> Self {
        Self::Refused(error)
    }
}

/// Topics by their names, and those that are not known.
pub(super) struct Known<'a> {
    topics: &'a Topics,
    found: HashMap<&'a str, &'a TopicNow>,
    missing: BTreeSet<Arc<str>>,
}

impl<'a> Known<'a> {
    /// What the shard watches, and what was found.
    pub(super) fn new(topics: &'a Topics, found: &'a [TopicNow]) -> Self {
        Self {
            topics,
            found: found.iter().map(|topic| (&*topic.name, topic)).collect(),
            missing: BTreeSet::new(),
        }
    }

    /// A topic's id and number of partitions; none if it does not exist, or must be looked up
    /// first.
    pub(super) fn topic(&mut self, name: &str) -> Option<(TopicId, i32)> {
        let watched = self.topics.seen(name);
        let found = self.found.get(name).copied();
        let found = found.filter(|found| watched.is_none_or(|(seen, _)| found.version >= seen));
        match (found, watched) {
            (Some(found), _) => found.topic,
            (None, Some((_, topic))) => topic,
            (None, None) => {
                self.missing.insert(name.into());
                None
            }
        }
    }

    /// Go on if all is known.
    pub(super) fn done(self) -> Result<(), Stop> {
        match self.missing.is_empty() {
            true => Ok(()),
            false => Err(Stop::Wants(self.missing.into_iter().collect())),
        }
    }
}
