//! The group-level keys, and what a group's queues and members act on: the group's own values over
//! the broker's defaults (queues.md 1.6, 2 and 3).
//!
//! A group has a configuration before anybody is in it, and keeps it when it is deleted.

use std::collections::BTreeMap;
use std::ops::RangeInclusive;
use std::sync::Arc;

use super::broker_config::{BrokerConfigs, Source};
use super::config_key::{KeyTable, parse_bool};
use crate::coordinator::group::ConsumerSettings;
use crate::coordinator::share::QueueConfig;

mod table;

pub use table::GROUP_KEYS;

/// The configuration of groups.
pub const GROUPS: KeyTable = KeyTable {
    of: "group",
    keys: GROUP_KEYS,
    removed: &[],
    source: Source::Group,
    together: check_together,
};

const HEARTBEAT_INTERVAL: &str = "consumer.heartbeat.interval.ms";
const SESSION_TIMEOUT: &str = "consumer.session.timeout.ms";

/// A member that is heard of once in a session would be put out by one lost heartbeat, and one
/// that is heard of less often by none.
fn check_together(
    configs: &BTreeMap<String, String>,
    brokers: &BrokerConfigs,
) -> Result<(), String> {
    let number = |name: &str| GROUPS.number(configs, brokers, name);
    for (name, range) in consumer_ranges(brokers) {
        let value = number(name);
        if !range.contains(&value) {
            let (min, max) = (range.start(), range.end());
            return Err(format!(
                "{name}={value} must be from {min} to {max}, as group.consumer.min.* and \
                 group.consumer.max.* say."
            ));
        }
    }
    for kind in ["consumer", "share"] {
        let heartbeat = number(&format!("{kind}.heartbeat.interval.ms"));
        let session = number(&format!("{kind}.session.timeout.ms"));
        if heartbeat >= session {
            return Err(format!(
                "{kind}.heartbeat.interval.ms={heartbeat} must be below \
                 {kind}.session.timeout.ms={session}."
            ));
        }
    }
    Ok(())
}

/// What groups may say of their consumers, each key with the least and the most.
fn consumer_ranges(brokers: &BrokerConfigs) -> [(&'static str, RangeInclusive<i64>); 2] {
    let broker = brokers.effective();
    let range = |min: i32, max: i32| i64::from(min)..=i64::from(max);
    [
        (
            HEARTBEAT_INTERVAL,
            range(
                broker.group_consumer_min_heartbeat_interval_ms,
                broker.group_consumer_max_heartbeat_interval_ms,
            ),
        ),
        (
            SESSION_TIMEOUT,
            range(
                broker.group_consumer_min_session_timeout_ms,
                broker.group_consumer_max_session_timeout_ms,
            ),
        ),
    ]
}

/// What a consumer group acts on: a value that was set when the range was wider is brought into it.
fn consumer_settings(
    configs: &BTreeMap<String, String>,
    brokers: &BrokerConfigs,
) -> ConsumerSettings {
    let within = consumer_ranges(brokers).map(|(name, range)| {
        let value = GROUPS.number(configs, brokers, name);
        value.max(*range.start()).min(*range.end())
    });
    let [heartbeat_interval_ms, session_timeout_ms] = within;
    ConsumerSettings {
        session_timeout_ms,
        heartbeat_interval_ms: i32::try_from(heartbeat_interval_ms).unwrap_or(i32::MAX),
    }
}

/// Where a queue begins that nobody read before (`share.auto.offset.reset`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OffsetReset {
    /// At the log's end.
    Latest,
    /// At the log's first record.
    Earliest,
    /// At the first record that is no older than this, ms.
    ByDuration(i64),
}

impl OffsetReset {
    /// The value of `share.auto.offset.reset`.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        match text {
            "latest" => Some(Self::Latest),
            "earliest" => Some(Self::Earliest),
            _ => duration_ms(text.strip_prefix("by_duration:")?).map(Self::ByDuration),
        }
    }
}

/// A duration in ISO 8601 in ms, as Java reads it: days, hours, minutes and seconds, the last with
/// a fraction. None below zero.
fn duration_ms(text: &str) -> Option<i64> {
    let text = text.to_ascii_uppercase();
    let text = text.strip_prefix('P')?;
    let (days, time) = match text.split_once('T') {
        Some((_, "")) => return None,
        Some((days, time)) => (days, time),
        None => (text, ""),
    };
    if text.is_empty() {
        return None;
    }
    let mut total = 0_i64;
    let mut rest = (days, time);
    let units = [
        (true, 'D', 86_400_000),
        (false, 'H', 3_600_000),
        (false, 'M', 60_000),
    ];
    for (of_days, unit, ms) in units {
        let part = if of_days { &mut rest.0 } else { &mut rest.1 };
        if let Some((number, behind)) = part.split_once(unit) {
            total = total.checked_add(whole(number)?.checked_mul(ms)?)?;
            *part = behind;
        }
    }
    if let Some(seconds) = rest.1.strip_suffix('S') {
        let (seconds, fraction) = seconds.split_once('.').unwrap_or((seconds, "0"));
        let thousandths: String = fraction.chars().chain("00".chars()).take(3).collect();
        whole(fraction)?;
        let ms = whole(seconds)?.checked_mul(1000)?;
        total = total.checked_add(ms)?.checked_add(whole(&thousandths)?)?;
        rest.1 = "";
    }
    (rest == ("", "")).then_some(total)
}

/// Digits and nothing else.
fn whole(text: &str) -> Option<i64> {
    let digits = text.bytes().all(|byte| byte.is_ascii_digit());
    text.parse().ok().filter(|_| digits)
}

/// What a group's queues and members act on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GroupSettings {
    /// What its queues act on.
    pub queue: Arc<QueueConfig>,
    /// How it treats its members if it is a consumer group.
    pub consumer: ConsumerSettings,
    /// A member of which nothing was heard for this long is put out, ms
    /// (`share.session.timeout.ms`).
    pub session_timeout_ms: i32,
    /// How often a member tells of itself, ms (`share.heartbeat.interval.ms`).
    pub heartbeat_interval_ms: i32,
    /// Where its queues begin (`share.auto.offset.reset`).
    pub offset_reset: OffsetReset,
    /// Whether records of transactions count only once these are committed
    /// (`share.isolation.level`).
    pub read_committed: bool,
    /// Where records go that are given up (`errors.deadletterqueue.topic.name`); nowhere if none.
    pub dead_letter_topic: Option<Arc<str>>,
    /// Whether key, headers and payload go with them
    /// (`errors.deadletterqueue.copy.record.enable`).
    pub copy_record: bool,
}

impl GroupSettings {
    /// What a group with these values acts on.
    #[must_use]
    pub fn new(configs: &BTreeMap<String, String>, brokers: &BrokerConfigs) -> Self {
        let value = |name: &str| {
            let own = configs.get(name).cloned();
            own.or_else(|| Some(GROUPS.key(name).ok()?.default_in(brokers)))
                .unwrap_or_default()
        };
        let number = |name: &str| GROUPS.number(configs, brokers, name);
        let is = |name: &str| parse_bool(&value(name)) == Some(true);
        let int = |name: &str| i32::try_from(number(name)).unwrap_or(i32::MAX);
        let topic = value("errors.deadletterqueue.topic.name");
        Self {
            queue: Arc::new(QueueConfig {
                lock_duration_ms: number("share.record.lock.duration.ms"),
                delivery_count_limit: i16::try_from(number("share.delivery.count.limit"))
                    .unwrap_or(i16::MAX),
                max_record_locks: usize::try_from(number("share.partition.max.record.locks"))
                    .unwrap_or(usize::MAX),
                renew: is("share.renew.acknowledge.enable"),
                release_backoff_ms: number("queue.release.backoff.ms"),
                release_backoff_max_ms: number("queue.release.backoff.max.ms"),
                dead_letters: !topic.is_empty(),
                paused: is("queue.paused"),
            }),
            consumer: consumer_settings(configs, brokers),
            session_timeout_ms: int("share.session.timeout.ms"),
            heartbeat_interval_ms: int("share.heartbeat.interval.ms"),
            offset_reset: OffsetReset::parse(&value("share.auto.offset.reset"))
                .unwrap_or(OffsetReset::Latest),
            read_committed: value("share.isolation.level") == "read_committed",
            dead_letter_topic: Some(topic)
                .filter(|topic| !topic.is_empty())
                .map(Into::into),
            copy_record: is("errors.deadletterqueue.copy.record.enable"),
        }
    }
}

impl Default for GroupSettings {
    /// Of a group that nobody configured, on a broker that nobody configured.
    fn default() -> Self {
        Self::new(&BTreeMap::new(), &BrokerConfigs::new(Arc::default()))
    }
}

/// A group's configuration as it is now. A change makes a new value; holders of the old one keep
/// it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GroupConfig {
    /// The group.
    pub group: Arc<str>,
    /// Configuration set on the group itself, as text.
    pub configs: BTreeMap<String, String>,
    /// What is acted on: `configs` over the broker's defaults.
    pub settings: Arc<GroupSettings>,
}

#[cfg(test)]
mod tests;
