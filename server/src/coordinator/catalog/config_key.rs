//! What a row of the tables of topic-level and group-level keys is made of: the type, the broker
//! keys that stand behind it, what it takes and what it means.

use std::collections::BTreeMap;

use super::broker_config::{BrokerConfigs, Shown, Source};
use super::client_metrics::MATCHED;
use super::group_config::OffsetReset;
use super::{is_internal_name, is_legal_name};
use crate::config::{Kind, split_list};

/// The longest value of a configuration, in bytes.
pub const VALUE_BYTES_MAX: usize = 16_384;

/// One key of a topic's or group's configuration.
#[derive(Debug)]
pub struct ConfigKey {
    /// Kafka's name, or ours.
    pub name: &'static str,
    /// Its type.
    pub kind: Kind,
    /// What a value must be.
    pub takes: Takes,
    /// The value when neither the resource nor a broker key gives one.
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
    /// Nothing, or the name of a topic that is not the server's own.
    TopicName,
    /// Any text.
    Text,
    /// What a client must be like: names of what is known of it, each with a pattern behind `=`.
    ClientMatch,
    /// Where a new reader begins: `latest`, `earliest` or `by_duration:` and an ISO 8601 duration.
    OffsetReset,
}

impl Takes {
    /// For people: what is allowed.
    fn text(self) -> String {
        match self {
            Self::Number(i64::MIN, i64::MAX) => "a whole number".into(),
            Self::Number(min, i64::MAX) => format!("a whole number of at least {min}"),
            Self::Number(min, max) => format!("a whole number from {min} to {max}"),
            Self::Ratio => "a number from 0 to 1".into(),
            Self::Bool => "true or false".into(),
            Self::Word(words) => format!("one of {}", words.join(", ")),
            Self::Words(words) => format!("a list of {}", words.join(", ")),
            Self::Replicas => "* or a list of partition:broker".into(),
            Self::TopicName => "nothing, or the name of a topic that is not the server's own: 1 \
                                to 249 letters, digits, '.', '_' and '-'"
                .into(),
            Self::Text => "text".into(),
            Self::ClientMatch => format!("a list of NAME=PATTERN, of {}", MATCHED.join(", ")),
            Self::OffsetReset => "latest, earliest, or by_duration: and how far back as a \
                                  duration in ISO 8601 (by_duration:PT1H, by_duration:P7D)"
                .into(),
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
            Self::Words(words) => {
                let mut given = value.split(',').map(str::trim);
                value.is_empty() || given.all(|word| words.contains(&word))
            }
            Self::Replicas => {
                value == "*"
                    || split_list(value).all(|pair| {
                        pair.split_once(':').is_some_and(|(partition, broker)| {
                            partition.parse::<u32>().is_ok() && broker.parse::<u32>().is_ok()
                        })
                    })
            }
            Self::TopicName => value.is_empty() || is_legal_name(value) && !is_internal_name(value),
            Self::Text => true,
            Self::ClientMatch => split_list(value).all(|pair| {
                pair.split_once('=')
                    .is_some_and(|(name, _)| MATCHED.contains(&name.trim()))
            }),
            Self::OffsetReset => OffsetReset::parse(value).is_some(),
        }
    }
}

/// `true` or `false`, however it is written.
pub(super) fn parse_bool(value: &str) -> Option<bool> {
    [("true", true), ("false", false)]
        .iter()
        .find(|(word, _)| value.eq_ignore_ascii_case(word))
        .map(|(_, is)| *is)
}

/// All keys of one kind of resource.
#[derive(Debug)]
pub struct KeyTable {
    /// The kind of resource, for people.
    pub of: &'static str,
    /// The keys, sorted by name.
    pub keys: &'static [ConfigKey],
    /// Names that Kafka 4 has removed.
    pub removed: &'static [&'static str],
    /// Where a value of the resource itself comes from.
    pub source: Source,
    /// Checks what the values of a configuration say together.
    pub together: fn(&BTreeMap<String, String>, &BrokerConfigs) -> Result<(), String>,
}

impl KeyTable {
    /// The key of this name.
    ///
    /// # Errors
    /// A sentence for a name that is unknown or gone (A-1, A-5: INVALID_CONFIG).
    pub fn key(&self, name: &str) -> Result<&'static ConfigKey, String> {
        if let Some(key) = self.keys.iter().find(|key| key.name == name) {
            return Ok(key);
        }
        let (of, shown) = (self.of, name.chars().take(100).collect::<String>());
        Err(if self.removed.contains(&name) {
            format!("The {of} configuration {shown} was removed in Kafka 4.0.")
        } else {
            format!("Unknown {of} configuration {shown}.")
        })
    }

    /// Check a whole configuration.
    ///
    /// # Errors
    /// A sentence about the first thing that is wrong (INVALID_CONFIG).
    pub fn check(
        &self,
        configs: &BTreeMap<String, String>,
        brokers: &BrokerConfigs,
    ) -> Result<(), String> {
        for (name, value) in configs {
            self.key(name)?.check(value)?;
        }
        (self.together)(configs, brokers)
    }

    /// A number that a configuration gives, its default included; 0 if it is none.
    pub(super) fn number(
        &self,
        configs: &BTreeMap<String, String>,
        brokers: &BrokerConfigs,
        name: &str,
    ) -> i64 {
        let value = configs.get(name).cloned();
        let value = value.or_else(|| Some(self.key(name).ok()?.default_in(brokers)));
        value.and_then(|value| value.parse().ok()).unwrap_or(0)
    }
}

impl ConfigKey {
    /// A key that the server acts on.
    #[must_use]
    pub(super) const fn new(
        name: &'static str,
        kind: Kind,
        takes: Takes,
        default: &'static str,
        synonyms: &'static [(&'static str, i64)],
        doc: &'static str,
    ) -> Self {
        Self {
            name,
            kind,
            takes,
            default,
            synonyms,
            doc,
            acts: true,
        }
    }

    /// A key that is kept and shown, which no broker key stands behind.
    #[must_use]
    pub(super) const fn kept(
        name: &'static str,
        kind: Kind,
        takes: Takes,
        default: &'static str,
        doc: &'static str,
    ) -> Self {
        let mut key = Self::new(name, kind, takes, default, &[], doc);
        key.acts = false;
        key
    }

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
        "compression.gzip.level" if value == "0" => {
            Some("it must be a whole number from 1 to 9, or -1 for the library's own choice")
        }
        "remote.storage.enable" if parse_bool(value) == Some(true) => {
            Some("tiered storage is not supported; the allowed value is false")
        }
        _ => None,
    }
}

/// Every key as DescribeConfigs shows it for a resource without values of its own: worked
/// out once for all resources of a request.
#[derive(Debug)]
pub struct ShownDefaults {
    rows: Vec<Shown>,
    own: Source,
}

impl ShownDefaults {
    /// The defaults that the broker's keys give now.
    #[must_use]
    pub fn new(table: &KeyTable, brokers: &BrokerConfigs) -> Self {
        let rows = table.keys.iter().map(|key| {
            let default = key.default_in(brokers);
            let mut synonyms = brokers.synonyms(key.synonyms.iter().map(|(name, _)| *name));
            // Of a group's key that no key of the broker stands behind, Kafka names the default.
            if synonyms.is_empty() && table.source == Source::Group {
                synonyms.push((key.name, default.clone(), Source::Default));
            }
            Shown {
                name: key.name,
                value: Some(default),
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
        Self {
            rows: rows.collect(),
            own: table.source,
        }
    }

    /// The rows of a resource with these values. A key that only tests use is left out unless it
    /// is set.
    #[must_use]
    pub fn with(&self, configs: &BTreeMap<String, String>) -> Vec<Shown> {
        let rows = self
            .rows
            .iter()
            .filter_map(|row| match configs.get(row.name) {
                None if row.name.starts_with("internal.") => None,
                None => Some(row.clone()),
                Some(own) => {
                    let mut row = row.clone();
                    row.value = Some(own.clone());
                    row.source = self.own;
                    row.synonyms.insert(0, (row.name, own.clone(), self.own));
                    Some(row)
                }
            });
        rows.collect()
    }
}
