//! Which member holds which partitions (H-6). Both assignors give each partition of a topic that
//! somebody reads to exactly one of those who read it.

mod range;
mod uniform;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use ratel_storage::TopicId;

use crate::coordinator::group::record::Assignment;

/// How partitions are shared out.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Assignor {
    /// As many for each as can be, and as few moves as that allows.
    Uniform,
    /// Neighbouring partitions, the same of each topic, in the order of the members.
    Range,
}

impl Assignor {
    /// The assignor that Kafka gives this name.
    #[must_use]
    pub fn named(name: &str) -> Option<Self> {
        match name {
            "uniform" => Some(Self::Uniform),
            "range" => Some(Self::Range),
            _ => None,
        }
    }

    /// Kafka's name.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Uniform => "uniform",
            Self::Range => "range",
        }
    }

    /// What each subscriber holds from now on, in their order, of topics with so many partitions.
    #[must_use]
    pub fn assign(
        self,
        subscribers: &[Subscriber<'_>],
        topics: &BTreeMap<TopicId, i32>,
    ) -> Vec<Assignment> {
        match self {
            Self::Uniform => uniform::assign(subscribers, topics),
            Self::Range => range::assign(subscribers, topics),
        }
    }
}

/// A member as an assignor sees it.
#[derive(Debug, Clone)]
pub struct Subscriber<'a> {
    /// Its id.
    pub id: &'a str,
    /// The name of a static member.
    pub instance: Option<&'a str>,
    /// The topics it reads, of those that exist; shared by all that read the same.
    pub topics: Arc<BTreeSet<TopicId>>,
    /// What it was to hold so far.
    pub held: &'a Assignment,
}

/// Members by number, and topics with their partitions.
type Class = (Vec<usize>, Vec<(TopicId, i32)>);

/// The members that read each topic, by number, and the topics that each such set of members
/// reads: what is shared out among the same members is shared out together.
fn classes(subscribers: &[Subscriber<'_>], topics: &BTreeMap<TopicId, i32>) -> Vec<Class> {
    let mut readers: BTreeMap<TopicId, Vec<usize>> = BTreeMap::new();
    for (number, subscriber) in subscribers.iter().enumerate() {
        for topic in &*subscriber.topics {
            readers.entry(*topic).or_default().push(number);
        }
    }
    let mut classes: BTreeMap<Vec<usize>, Vec<(TopicId, i32)>> = BTreeMap::new();
    for (topic, readers) in readers {
        if let Some(count) = topics.get(&topic) {
            classes.entry(readers).or_default().push((topic, *count));
        }
    }
    classes.into_iter().collect()
}

#[cfg(test)]
mod tests;
