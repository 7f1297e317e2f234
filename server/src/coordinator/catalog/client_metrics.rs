//! Subscriptions to clients' metrics (KIP-714), as they are kept: nobody receives metrics here, so
//! that no client is asked for any.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::broker_config::Source;
use super::config_key::{ConfigKey, KeyTable, Takes};
use crate::config::Kind;

/// Subscriptions at most.
pub const SUBSCRIPTIONS_MAX: usize = 1000;

/// What of a client a subscription can match.
pub(super) const MATCHED: &[&str] = &[
    "client_id",
    "client_instance_id",
    "client_software_name",
    "client_software_version",
    "client_source_address",
    "client_source_port",
];

/// The configuration of subscriptions.
pub const CLIENT_METRICS: KeyTable = KeyTable {
    of: "client metrics",
    keys: CLIENT_METRICS_KEYS,
    removed: &[],
    source: Source::ClientMetrics,
    together: |_, _| Ok(()),
};

/// Every key of a subscription, sorted by name.
const CLIENT_METRICS_KEYS: &[ConfigKey] = &[
    ConfigKey::kept(
        "interval.ms",
        Kind::Int,
        Takes::Number(100, 3_600_000),
        "300000",
        "How often a client would push, in milliseconds.",
    ),
    ConfigKey::kept(
        "match",
        Kind::List,
        Takes::ClientMatch,
        "",
        "Which clients it is for; none named are all.",
    ),
    ConfigKey::kept(
        "metrics",
        Kind::List,
        Takes::Text,
        "",
        "How the names of the metrics begin; * stands for all.",
    ),
];

/// All subscriptions, by name.
pub type Subscriptions = BTreeMap<Arc<str>, BTreeMap<String, String>>;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::coordinator::catalog::broker_config::BrokerConfigs;

    #[test]
    fn kip_714_values_are_those_that_kafka_takes() {
        let brokers = BrokerConfigs::new(Arc::default());
        let good = |name: &str, value: &str| {
            let configs = [(name.to_owned(), value.to_owned())].into();
            CLIENT_METRICS.check(&configs, &brokers).is_ok()
        };
        for (name, value, is_good) in [
            ("interval.ms", "100", true),
            ("interval.ms", "99", false),
            ("interval.ms", "3600001", false),
            ("metrics", "org.apache.kafka.producer.,*", true),
            ("metrics", "", true),
            ("match", "client_id=a.*,client_source_port=1", true),
            ("match", "colour=red", false),
            ("match", "client_id", false),
            ("nope", "1", false),
        ] {
            assert_eq!(good(name, value), is_good, "{name}={value}");
        }
    }
}
