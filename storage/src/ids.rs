//! The integers of a log that must not mix.

use std::fmt;
use std::str::FromStr;

/// A topic's id: it outlives its name, and a topic made again under the same name has another.
pub type TopicId = uuid::Uuid;

/// One partition of one topic.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct PartitionId {
    /// The topic.
    pub topic: TopicId,
    /// The partition's index, from 0.
    pub index: i32,
}

impl fmt::Display for PartitionId {
    /// `<topic id>-<index>`, which is also the name of the partition's directory.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{}", self.topic, self.index)
    }
}

impl FromStr for PartitionId {
    type Err = ();

    /// From `<topic id>-<index>`, written as [`Display`](fmt::Display) writes it.
    fn from_str(text: &str) -> Result<Self, ()> {
        let (topic, index) = text.rsplit_once('-').ok_or(())?;
        let id = Self {
            topic: topic.parse().map_err(drop)?,
            index: index.parse().map_err(drop)?,
        };
        // Other spellings of the same numbers name nothing.
        (id.to_string() == text).then_some(id).ok_or(())
    }
}

/// A record's place in its partition, from 0. Never a place in a file: that is a [`Position`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Default)]
pub struct Offset(i64);

impl Offset {
    /// The first offset of every log.
    pub const ZERO: Self = Self(0);

    /// The offset of this number.
    #[must_use]
    pub const fn new(offset: i64) -> Self {
        Self(offset)
    }

    /// The number of this offset.
    #[must_use]
    pub const fn get(self) -> i64 {
        self.0
    }

    /// The offset `count` records on. Saturates at the end of the number line.
    #[must_use]
    pub const fn plus(self, count: i64) -> Self {
        Self(self.0.saturating_add(count))
    }
}

impl fmt::Display for Offset {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// A byte's place in a file, from 0.
pub type Position = u64;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_directory_names_one_partition() {
        let id = PartitionId {
            topic: TopicId::from_u128(0xabc),
            index: 12,
        };
        assert_eq!(id.to_string().parse(), Ok(id));
        let topic = "00000000-0000-0000-0000-000000000abc";
        let others = [
            topic.to_owned(),
            format!("{topic}-012"),
            format!("{topic}--1-"),
            format!("{topic}-x"),
            format!("{topic}-12.deleted").to_uppercase(),
            String::new(),
        ];
        for other in others {
            assert_eq!(other.parse::<PartitionId>(), Err(()), "{other:?}");
        }
    }
}
