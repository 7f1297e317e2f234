//! What is particular to the topic-level keys: their table, what they say together, and what a log
//! acts on.

use std::collections::BTreeMap;

use ratel_storage::{Codec, LogSettings, TimestampType, Validation};

use super::broker_config::{BrokerConfigs, Source};
use super::config_key::KeyTable;
use crate::config::{millionths, split_list};

mod table;

pub use table::TOPIC_KEYS;

/// The configuration of topics.
pub const TOPICS: KeyTable = KeyTable {
    of: "topic",
    keys: TOPIC_KEYS,
    removed: &[
        "message.format.version",
        "message.downconversion.enable",
        "message.timestamp.difference.max.ms",
    ],
    source: Source::Topic,
    together: check_together,
};

/// Check what the values of a configuration say together.
///
/// # Errors
/// A sentence that names the values that contradict each other.
fn check_together(
    configs: &BTreeMap<String, String>,
    brokers: &BrokerConfigs,
) -> Result<(), String> {
    let lag = |name| TOPICS.number(configs, brokers, name);
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
        "cleanup.policy" => {
            settings.delete = split_list(value).any(|word| word == "delete");
            settings.compact = split_list(value).any(|word| word == "compact");
        }
        "min.cleanable.dirty.ratio" => {
            if let Ok(ratio) = value.parse() {
                settings.min_cleanable_millionths = millionths(ratio);
            }
        }
        "min.compaction.lag.ms" => number(value, &mut settings.min_compaction_lag_ms),
        "max.compaction.lag.ms" => number(value, &mut settings.max_compaction_lag_ms),
        "delete.retention.ms" => number(value, &mut settings.delete_retention_ms),
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
        "compression.type" => {
            settings.compression = match value {
                "uncompressed" => Codec::Uncompressed,
                "gzip" => Codec::Gzip,
                "snappy" => Codec::Snappy,
                "lz4" => Codec::Lz4,
                "zstd" => Codec::Zstd,
                _ => Codec::Producer,
            };
        }
        "compression.gzip.level" => number(value, &mut settings.gzip_level),
        "compression.zstd.level" => number(value, &mut settings.zstd_level),
        "batch.validation" => {
            settings.validation = match value {
                "records" => Validation::Records,
                _ => Validation::Header,
            };
        }
        _ => {}
    }
}

#[cfg(test)]
mod tests;
