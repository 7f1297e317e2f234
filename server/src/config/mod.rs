//! The configuration: one table of keys, from which come the fields of [`Config`], the parsing of
//! files, environment and flags, what DescribeConfigs shows, and `docs/configuration.md`.
//!
//! Names are Kafka's wherever Kafka has one; a key that is this server's own says so.

mod key;
mod keys;
mod layers;
mod listener;
mod properties;
mod reference;
mod shown;

use std::fmt;

use ratel_storage::LogSettings;

pub use key::{GzipLevel, Key, Kind, Meaning, PerAddress, Scope};
pub use keys::{ACTED_ON, Config};
pub use layers::{Assignment, ConfigError, Layer, Loaded, load};
pub use listener::Listener;
pub use reference::markdown;
pub use shown::{SHOWN, SILENT};

/// What `acks=all` waits for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DurabilityMode {
    /// A sync (DC1).
    Contract,
    /// Nothing: answered as acks=1. For development; the banner says so loudly.
    Relaxed,
}

/// Which groups with members change their protocol (KIP-848); those without members always do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MigrationPolicy {
    /// Classic groups and consumer groups.
    Bidirectional,
    /// Classic groups become consumer groups.
    Upgrade,
    /// Consumer groups become classic groups.
    Downgrade,
    /// None, and nobody joins a group of the other protocol that has members.
    Disabled,
}

/// How log lines look.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LogFormat {
    /// Text on a terminal, JSON elsewhere.
    Auto,
    /// Lines for people.
    Text,
    /// One JSON object a line.
    Json,
}

/// Where a value came from, weakest first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Source {
    /// Nobody set it.
    Default,
    /// `ratel dev` set it.
    Dev,
    /// A configuration file.
    File,
    /// An environment variable.
    Environment,
    /// A flag of the command line.
    Flag,
}

impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Default => "default",
            Self::Dev => "dev",
            Self::File => "file",
            Self::Environment => "environment",
            Self::Flag => "flag",
        })
    }
}

/// Another key that would give a value, with what it gives now (DescribeConfigs' synonyms).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Synonym {
    /// The key's name.
    pub name: &'static str,
    /// Its value; `None` is null.
    pub value: Option<String>,
    /// Where that came from.
    pub source: Source,
}

/// One key as DescribeConfigs shows it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Row {
    /// The name.
    pub name: &'static str,
    /// The value in force; `None` is null.
    pub value: Option<String>,
    /// Where it came from.
    pub source: Source,
    /// The type.
    pub kind: Kind,
    /// Whether it may not be altered at run time.
    pub read_only: bool,
    /// Whether its value must not leave the server.
    pub sensitive: bool,
    /// The key itself, if it has a value, and then the keys behind it in order of precedence.
    pub synonyms: Vec<Synonym>,
    /// What it means.
    pub doc: &'static str,
}

/// Every key: those that act, then those that are only shown.
pub fn keys() -> impl Iterator<Item = &'static Key> {
    ACTED_ON.iter().chain(SHOWN).chain(SILENT)
}

/// The key of this name, or that this is another name of.
#[must_use]
pub fn key(name: &str) -> Option<&'static Key> {
    keys().find(|key| key.name == name || key.aliases.contains(&name))
}

/// The parts of a list with commas between them, trimmed, without empty ones.
pub fn split_list(text: &str) -> impl Iterator<Item = &str> {
    text.split(',')
        .map(str::trim)
        .filter(|part| !part.is_empty())
}

impl Config {
    /// Every key as DescribeConfigs shows it, sorted by name. Another name of a key has a row of
    /// its own.
    #[must_use]
    pub fn rows(&self) -> Vec<Row> {
        let mut rows: Vec<_> = keys()
            .flat_map(|key| {
                let aliases = key.aliases.iter().map(move |alias| self.row_of(key, alias));
                [self.row_of(key, key.name)].into_iter().chain(aliases)
            })
            .collect();
        rows.sort_by_key(|row| row.name);
        rows
    }

    /// One key as DescribeConfigs shows it.
    #[must_use]
    pub fn row(&self, name: &str) -> Option<Row> {
        key(name).map(|key| self.row_of(key, key.name))
    }

    fn row_of(&self, key: &'static Key, name: &'static str) -> Row {
        let behind = key.synonyms.iter().filter_map(|name| self::key(name));
        let synonyms = [key]
            .into_iter()
            .chain(behind)
            .filter_map(|key| {
                let value = key.read(self)?;
                Some(Synonym {
                    name: key.name,
                    value: Some(value),
                    source: self.source(key.name),
                })
            })
            .collect();
        Row {
            name,
            value: key.read(self),
            source: self.source(key.name),
            kind: key.kind,
            read_only: key.scope == Scope::ReadOnly,
            sensitive: key.kind == Kind::Password,
            synonyms,
            doc: key.doc(),
        }
    }

    /// The value of a key as text; `None` when it is null or there is no such key.
    #[must_use]
    pub fn value(&self, name: &str) -> Option<String> {
        key(name).and_then(|key| key.read(self))
    }

    /// Where the value of a key came from.
    #[must_use]
    pub fn source(&self, name: &str) -> Source {
        self.sources.get(name).copied().unwrap_or(Source::Default)
    }

    /// How long records are kept, in ms; `None` is for ever. The finest unit that is set wins.
    #[must_use]
    pub fn retention_ms(&self) -> Option<i64> {
        let ms = self.log_retention_ms.unwrap_or_else(|| {
            self.log_retention_minutes.map_or_else(
                || scaled(self.log_retention_hours, 3_600_000),
                |minutes| scaled(minutes, 60_000),
            )
        });
        (ms >= 0).then_some(ms)
    }

    /// How a log behaves whose topic says nothing.
    #[must_use]
    pub fn log_settings(&self) -> LogSettings {
        LogSettings {
            segment_bytes: self.log_segment_bytes.into(),
            segment_ms: self
                .log_roll_ms
                .unwrap_or_else(|| scaled(self.log_roll_hours, 3_600_000)),
            segment_jitter_ms: self
                .log_roll_jitter_ms
                .unwrap_or_else(|| scaled(self.log_roll_jitter_hours, 3_600_000)),
            index_interval_bytes: self.log_index_interval_bytes,
            segment_index_bytes: self.log_index_size_max_bytes,
            retention_ms: self.retention_ms(),
            retention_bytes: u64::try_from(self.log_retention_bytes).ok(),
            file_delete_delay_ms: self.log_segment_delete_delay_ms,
            delete: split_list(&self.log_cleanup_policy).any(|policy| policy == "delete"),
            max_message_bytes: self.message_max_bytes,
            timestamp_type: self.log_message_timestamp_type,
            timestamp_before_max_ms: self.log_message_timestamp_before_max_ms,
            timestamp_after_max_ms: self.log_message_timestamp_after_max_ms,
            flush_messages: self.log_flush_interval_messages,
            flush_ms: self
                .log_flush_interval_ms
                .unwrap_or(self.log_flush_scheduler_interval_ms),
            validation: self.batch_validation,
            compression: self.compression_type,
            gzip_level: self.compression_gzip_level.0,
            zstd_level: self.compression_zstd_level,
            compact: split_list(&self.log_cleanup_policy).any(|policy| policy == "compact"),
            min_cleanable_millionths: millionths(self.log_cleaner_min_cleanable_ratio),
            min_compaction_lag_ms: self.log_cleaner_min_compaction_lag_ms,
            max_compaction_lag_ms: self.log_cleaner_max_compaction_lag_ms,
            delete_retention_ms: self.log_cleaner_delete_retention_ms,
        }
    }

    /// What `ratel dev` sets below file, environment and flags.
    #[must_use]
    pub fn dev_layer() -> Layer {
        let preset = [
            ("auto.create.topics.enable", "true"),
            ("group.initial.rebalance.delay.ms", "0"),
            ("log.segment.bytes", "16777216"),
            ("replication.factor.clamp", "true"),
        ];
        Layer {
            source: Source::Dev,
            assignments: preset
                .into_iter()
                .map(|(name, value)| Assignment {
                    name: name.to_owned(),
                    value: value.to_owned(),
                    place: "ratel dev".to_owned(),
                })
                .collect(),
        }
    }
}

/// A ratio from 0 to 1 in millionths.
pub(crate) fn millionths(ratio: f64) -> u32 {
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "it is between 0 and a million"
    )]
    let millionths = (ratio.clamp(0.0, 1.0) * 1e6).round() as u32;
    millionths
}

/// `count` units of `unit_ms`; a negative count stays -1, which is "no limit".
fn scaled(count: i64, unit_ms: i64) -> i64 {
    if count < 0 {
        -1
    } else {
        count.saturating_mul(unit_ms)
    }
}

#[cfg(test)]
mod tests;
