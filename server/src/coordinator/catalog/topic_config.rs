//! The topic-level keys: one row each gives the type, the broker keys that stand behind it, what
//! it takes, what it means and whether this server acts on it.

use std::collections::BTreeMap;

use ratel_storage::{LogSettings, TimestampType, Validation};

use super::broker_config::{BrokerConfigs, Shown, Source};
use crate::config::{Kind, split_list};

mod table;

pub use table::TOPIC_KEYS;

/// The longest value of a configuration, in bytes.
pub const VALUE_BYTES_MAX: usize = 16_384;

/// One topic-level key.
#[derive(Debug)]
pub struct TopicKey {
    /// Kafka's name, or ours.
    pub name: &'static str,
    /// Its type.
    pub kind: Kind,
    /// What a value must be.
    pub takes: Takes,
    /// The value when neither the topic nor a broker key gives one.
    pub default: &'static str,
    /// Broker keys that give the default, first one first, each with the factor from its unit
    /// to this key's.
    pub synonyms: &'static [(&'static str, i64)],
    /// What it means.
    pub doc: &'static str,
    /// Whether the server acts on it; the others are kept and shown.
    pub acts: bool,
}

/// What a value must be.
#[derive(Debug, Clone, Copy)]
pub enum Takes {
    /// A whole number in this range, both ends included.
    Number(i64, i64),
    /// A number with a fraction, from 0 to 1.
    Ratio,
    /// `true` or `false`.
    Bool,
    /// One of these.
    Word(&'static [&'static str]),
    /// Any number of these, with commas between them.
    Words(&'static [&'static str]),
    /// `*`, or pairs of numbers (`0:1,1:2`).
    Replicas,
}

impl Takes {
    /// For people: what is allowed.
    fn text(self) -> String {
        match self {
            Self::Number(min, i64::MAX) => format!("a whole number of at least {min}"),
            Self::Number(min, max) => format!("a whole number from {min} to {max}"),
            Self::Ratio => "a number from 0 to 1".into(),
            Self::Bool => "true or false".into(),
            Self::Word(words) => format!("one of {}", words.join(", ")),
            Self::Words(words) => format!("a list of {}", words.join(", ")),
            Self::Replicas => "* or a list of partition:broker".into(),
        }
    }

    fn admits(self, value: &str) -> bool {
        match self {
            Self::Number(min, max) => value
                .parse::<i64>()
                .is_ok_and(|number| (min..=max).contains(&number)),
            Self::Ratio => value
                .parse::<f64>()
                .is_ok_and(|ratio| (0.0..=1.0).contains(&ratio)),
            Self::Bool => parse_bool(value).is_some(),
            Self::Word(words) => words.contains(&value),
            Self::Words(words) => split_list(value).all(|word| words.contains(&word)),
            Self::Replicas => {
                value == "*"
                    || split_list(value).all(|pair| {
                        pair.split_once(':').is_some_and(|(partition, broker)| {
                            partition.parse::<u32>().is_ok() && broker.parse::<u32>().is_ok()
                        })
                    })
            }
        }
    }
}

fn parse_bool(value: &str) -> Option<bool> {
    [("true", true), ("false", false)]
        .iter()
        .find(|(word, _)| value.eq_ignore_ascii_case(word))
        .map(|(_, is)| *is)
}

/// Names that Kafka 4 has removed.
const REMOVED: &[&str] = &[
    "message.format.version",
    "message.downconversion.enable",
    "message.timestamp.difference.max.ms",
];

/// The key of this name.
///
/// # Errors
/// A sentence for a name that is unknown or gone (A-1, A-5: INVALID_CONFIG).
pub fn topic_key(name: &str) -> Result<&'static TopicKey, String> {
    if let Some(key) = TOPIC_KEYS.iter().find(|key| key.name == name) {
        return Ok(key);
    }
    Err(if REMOVED.contains(&name) {
        format!("The topic configuration {name} was removed in Kafka 4.0.")
    } else {
        format!("Unknown topic configuration {name}.")
    })
}

impl TopicKey {
    /// Check a value for this key.
    ///
    /// # Errors
    /// A sentence that names the value and what is allowed.
    pub fn check(&self, value: &str) -> Result<(), String> {
        let invalid = |why: &str| {
            let shown: String = value.chars().take(100).collect();
            Err(format!(
                "Invalid value {shown} for configuration {}: {why}.",
                self.name
            ))
        };
        if value.len() > VALUE_BYTES_MAX {
            return invalid(&format!("it is longer than {VALUE_BYTES_MAX} bytes"));
        }
        if !self.takes.admits(value) {
            return invalid(&format!("it must be {}", self.takes.text()));
        }
        match not_yet(self.name, value) {
            Some(why) => invalid(why),
            None => Ok(()),
        }
    }

    /// The default in force: from the first broker key that has a value.
    #[must_use]
    pub fn default_in(&self, brokers: &BrokerConfigs) -> String {
        self.synonyms
            .iter()
            .find_map(|(name, factor)| {
                let value = brokers.effective().value(name)?;
                Some(match value.parse::<i64>() {
                    Ok(number) if *factor != 1 && number >= 0 => {
                        number.saturating_mul(*factor).to_string()
                    }
                    _ => value,
                })
            })
            .unwrap_or_else(|| self.default.into())
    }
}

/// Why a value that Kafka knows is refused here, if it is.
fn not_yet(name: &str, value: &str) -> Option<&'static str> {
    match name {
        "cleanup.policy" if split_list(value).any(|word| word == "compact") => {
            Some("compaction is not supported yet; the allowed values are delete and nothing")
        }
        "compression.type" if value != "producer" => {
            Some("recompression is not supported yet; the allowed value is producer")
        }
        "remote.storage.enable" if parse_bool(value) == Some(true) => {
            Some("tiered storage is not supported; the allowed value is false")
        }
        _ => None,
    }
}

/// Check a topic's whole configuration.
///
/// # Errors
/// A sentence about the first thing that is wrong (INVALID_CONFIG).
pub fn check(configs: &BTreeMap<String, String>, brokers: &BrokerConfigs) -> Result<(), String> {
    for (name, value) in configs {
        topic_key(name)?.check(value)?;
    }
    check_together(configs, brokers)
}

/// Check what the values of a configuration say together.
///
/// # Errors
/// A sentence that names the values that contradict each other.
pub fn check_together(
    configs: &BTreeMap<String, String>,
    brokers: &BrokerConfigs,
) -> Result<(), String> {
    let lag = |name: &str| -> i64 {
        let value = configs.get(name).cloned();
        let value = value.or_else(|| Some(topic_key(name).ok()?.default_in(brokers)));
        value.and_then(|value| value.parse().ok()).unwrap_or(0)
    };
    let (min, max) = (lag("min.compaction.lag.ms"), lag("max.compaction.lag.ms"));
    if min > max {
        return Err(format!(
            "min.compaction.lag.ms={min} must not be above max.compaction.lag.ms={max}."
        ));
    }
    Ok(())
}

/// The smallest segment of an internal topic, whatever its configuration says: what a
/// coordinator decides about one request goes into one batch, which must fit.
const INTERNAL_SEGMENT_BYTES_MIN: u64 = 64 << 20;

/// What the log acts on: a topic's own values over the broker's defaults. An internal topic is
/// kept whole whatever its policy says: its coordinator keeps it short.
#[must_use]
pub fn settings(
    base: &LogSettings,
    configs: &BTreeMap<String, String>,
    internal: bool,
) -> LogSettings {
    let mut settings = base.clone();
    for (name, value) in configs {
        set(&mut settings, name, value);
    }
    if let Some(bytes) = configs.get("internal.segment.bytes") {
        set(&mut settings, "segment.bytes", bytes);
    }
    if internal {
        settings.delete = false;
        settings.segment_bytes = settings.segment_bytes.max(INTERNAL_SEGMENT_BYTES_MIN);
    }
    settings
}

fn set(settings: &mut LogSettings, name: &str, value: &str) {
    fn number<T: TryFrom<i64>>(value: &str, into: &mut T) {
        // Values were checked when they were set; one that does not fit leaves the default.
        if let Some(number) = value.parse::<i64>().ok().and_then(|n| T::try_from(n).ok()) {
            *into = number;
        }
    }
    match name {
        "cleanup.policy" => settings.delete = split_list(value).any(|word| word == "delete"),
        "retention.ms" => {
            settings.retention_ms = value.parse().ok().filter(|ms| *ms >= 0);
        }
        "retention.bytes" => settings.retention_bytes = value.parse().ok(),
        "segment.bytes" => number(value, &mut settings.segment_bytes),
        "segment.ms" => number(value, &mut settings.segment_ms),
        "segment.jitter.ms" => number(value, &mut settings.segment_jitter_ms),
        "segment.index.bytes" => number(value, &mut settings.segment_index_bytes),
        "index.interval.bytes" => number(value, &mut settings.index_interval_bytes),
        "file.delete.delay.ms" => number(value, &mut settings.file_delete_delay_ms),
        "max.message.bytes" => number(value, &mut settings.max_message_bytes),
        "message.timestamp.before.max.ms" => number(value, &mut settings.timestamp_before_max_ms),
        "message.timestamp.after.max.ms" => number(value, &mut settings.timestamp_after_max_ms),
        "flush.messages" => number(value, &mut settings.flush_messages),
        "flush.ms" => number(value, &mut settings.flush_ms),
        "message.timestamp.type" => {
            settings.timestamp_type = match value {
                "LogAppendTime" => TimestampType::LogAppendTime,
                _ => TimestampType::CreateTime,
            };
        }
        "batch.validation" => {
            settings.validation = match value {
                "records" => Validation::Records,
                _ => Validation::Header,
            };
        }
        _ => {}
    }
}

/// Every key as DescribeConfigs shows it for a topic without values of its own: worked out
/// once for all topics of a request.
#[derive(Debug)]
pub struct ShownDefaults(Vec<Shown>);

impl ShownDefaults {
    /// The defaults that the broker's keys give now.
    #[must_use]
    pub fn new(brokers: &BrokerConfigs) -> Self {
        let rows = TOPIC_KEYS.iter().map(|key| {
            let synonyms = brokers.synonyms(key.synonyms.iter().map(|(name, _)| *name));
            Shown {
                name: key.name,
                value: Some(key.default_in(brokers)),
                source: synonyms
                    .first()
                    .map_or(Source::Default, |(_, _, source)| *source),
                kind: key.kind,
                read_only: false,
                sensitive: false,
                synonyms,
                doc: key.doc,
            }
        });
        Self(rows.collect())
    }

    /// The rows of a topic with these values. A key that only tests use is left out unless it
    /// is set.
    #[must_use]
    pub fn with(&self, configs: &BTreeMap<String, String>) -> Vec<Shown> {
        let rows = self.0.iter().filter_map(|row| match configs.get(row.name) {
            None if row.name.starts_with("internal.") => None,
            None => Some(row.clone()),
            Some(own) => {
                let mut row = row.clone();
                row.value = Some(own.clone());
                row.source = Source::Topic;
                row.synonyms
                    .insert(0, (row.name, own.clone(), Source::Topic));
                Some(row)
            }
        });
        rows.collect()
    }
}

#[cfg(test)]
mod tests;
