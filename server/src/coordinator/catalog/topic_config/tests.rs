use std::sync::Arc;

use super::*;
use crate::config::{self, Assignment, Config, Layer};
use crate::coordinator::catalog::broker_config::{BrokerScope, Shown};
use crate::coordinator::catalog::config_key::ShownDefaults;

fn brokers() -> BrokerConfigs {
    BrokerConfigs::new(Arc::default())
}

fn configs(pairs: &[(&str, &str)]) -> BTreeMap<String, String> {
    let pairs = pairs.iter();
    pairs
        .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
        .collect()
}

fn check_one(name: &str, value: &str) -> Result<(), String> {
    TOPICS.check(&configs(&[(name, value)]), &brokers())
}

#[test]
fn the_table_is_sorted_and_its_defaults_are_those_of_the_broker_keys() {
    assert!(TOPIC_KEYS.is_sorted_by(|a, b| a.name < b.name));
    for key in TOPIC_KEYS {
        for (synonym, _) in key.synonyms {
            assert!(
                config::key(synonym).is_some(),
                "{}: no broker key {synonym}",
                key.name
            );
        }
        assert_eq!(key.default_in(&brokers()), key.default, "{}", key.name);
        assert_eq!(key.check(key.default), Ok(()), "{}", key.name);
        assert!(key.doc.ends_with('.'), "{}", key.name);
    }
}

#[test]
fn no_configuration_leaves_the_broker_defaults() {
    let base = Config::default().log_settings();
    assert_eq!(settings(&base, &BTreeMap::new(), false), base);
    let all: BTreeMap<String, String> = TOPIC_KEYS
        .iter()
        .map(|key| (key.name.to_owned(), key.default.to_owned()))
        .collect();
    assert_eq!(
        settings(&base, &all, false),
        base,
        "and so does setting each to its default"
    );
}

#[test]
fn an_internal_topic_keeps_everything_and_takes_any_batch_of_its_coordinator() {
    let own = configs(&[("cleanup.policy", "delete"), ("segment.bytes", "1048576")]);
    let internal = settings(&LogSettings::default(), &own, true);
    assert_eq!((internal.delete, internal.segment_bytes), (false, 64 << 20));
    let users = settings(&LogSettings::default(), &own, false);
    assert_eq!((users.delete, users.segment_bytes), (true, 1 << 20));
}

#[test]
fn every_key_that_the_log_acts_on_reaches_it() {
    let own = configs(&[
        ("batch.validation", "records"),
        ("cleanup.policy", "compact"),
        ("delete.retention.ms", "12"),
        ("compression.gzip.level", "9"),
        ("compression.type", "zstd"),
        ("compression.zstd.level", "-7"),
        ("file.delete.delay.ms", "1"),
        ("flush.messages", "2"),
        ("flush.ms", "3"),
        ("index.interval.bytes", "4"),
        ("max.message.bytes", "5"),
        ("max.compaction.lag.ms", "14"),
        ("message.timestamp.after.max.ms", "6"),
        ("message.timestamp.before.max.ms", "7"),
        ("message.timestamp.type", "LogAppendTime"),
        ("min.cleanable.dirty.ratio", "0.25"),
        ("min.compaction.lag.ms", "13"),
        ("retention.bytes", "8"),
        ("retention.ms", "-1"),
        ("segment.bytes", "1048577"),
        ("segment.index.bytes", "9"),
        ("segment.jitter.ms", "10"),
        ("segment.ms", "11"),
    ]);
    let expected = LogSettings {
        segment_bytes: 1_048_577,
        segment_ms: 11,
        segment_jitter_ms: 10,
        index_interval_bytes: 4,
        segment_index_bytes: 9,
        retention_ms: None,
        retention_bytes: Some(8),
        file_delete_delay_ms: 1,
        delete: false,
        max_message_bytes: 5,
        timestamp_type: TimestampType::LogAppendTime,
        timestamp_before_max_ms: 7,
        timestamp_after_max_ms: 6,
        flush_messages: 2,
        flush_ms: 3,
        validation: Validation::Records,
        compression: Codec::Zstd,
        gzip_level: 9,
        zstd_level: -7,
        compact: true,
        min_cleanable_millionths: 250_000,
        min_compaction_lag_ms: 13,
        max_compaction_lag_ms: 14,
        delete_retention_ms: 12,
    };
    assert_eq!(TOPICS.check(&own, &brokers()), Ok(()));
    assert_eq!(settings(&LogSettings::default(), &own, false), expected);
    let hook = configs(&[
        ("internal.segment.bytes", "100"),
        ("segment.bytes", "2000000"),
    ]);
    assert_eq!(
        settings(&LogSettings::default(), &hook, false).segment_bytes,
        100
    );
}

/// Values that are refused, and what is said about them.
const REFUSED: &[(&str, &str, &str)] = &[
    (
        "retention.ms",
        "-2",
        "Invalid value -2 for configuration retention.ms: it must be a whole number of at \
             least -1.",
    ),
    (
        "segment.bytes",
        "1048575",
        "Invalid value 1048575 for configuration segment.bytes: it must be a whole number \
             from 1048576 to 2147483647.",
    ),
    (
        "max.message.bytes",
        "2147483648",
        "Invalid value 2147483648 for configuration max.message.bytes: it must be a whole \
             number from 0 to 2147483647.",
    ),
    (
        "min.cleanable.dirty.ratio",
        "1.5",
        "Invalid value 1.5 for configuration min.cleanable.dirty.ratio: it must be a number \
             from 0 to 1.",
    ),
    (
        "preallocate",
        "yes",
        "Invalid value yes for configuration preallocate: it must be true or false.",
    ),
    (
        "message.timestamp.type",
        "createtime",
        "Invalid value createtime for configuration message.timestamp.type: it must be one \
             of CreateTime, LogAppendTime.",
    ),
    (
        "cleanup.policy",
        "delete,shred",
        "Invalid value delete,shred for configuration cleanup.policy: it must be a list of \
             compact, delete.",
    ),
    (
        "compression.type",
        "rar",
        "Invalid value rar for configuration compression.type: it must be one of producer, \
             gzip, snappy, lz4, zstd, uncompressed.",
    ),
    (
        "compression.gzip.level",
        "0",
        "Invalid value 0 for configuration compression.gzip.level: it must be a whole number \
             from 1 to 9, or -1 for the library's own choice.",
    ),
    (
        "remote.storage.enable",
        "true",
        "Invalid value true for configuration remote.storage.enable: tiered storage is not \
             supported; the allowed value is false.",
    ),
    (
        "leader.replication.throttled.replicas",
        "0:1,x",
        "Invalid value 0:1,x for configuration leader.replication.throttled.replicas: it \
             must be * or a list of partition:broker.",
    ),
    (
        "message.format.version",
        "3.0",
        "The topic configuration message.format.version was removed in Kafka 4.0.",
    ),
    ("retention", "1", "Unknown topic configuration retention."),
];

#[test]
fn a_1_a_bad_value_is_refused_with_the_value_and_what_is_allowed() {
    for (name, value, message) in REFUSED {
        assert_eq!(check_one(name, value), Err((*message).to_owned()));
    }
}

#[test]
fn limits_are_taken_and_one_past_them_is_not() {
    for (name, good, bad) in [
        ("segment.bytes", "1048576", "1048575"),
        ("segment.bytes", "2147483647", "2147483648"),
        ("segment.ms", "1", "0"),
        ("retention.bytes", "-2", "9223372036854775808"),
        ("flush.messages", "1", "0"),
        ("local.retention.ms", "-2", "-3"),
        ("max.compaction.lag.ms", "1", "0"),
        ("min.insync.replicas", "1", "0"),
        ("segment.index.bytes", "4", "3"),
        ("flush.ms", "9223372036854775807", "9223372036854775808"),
    ] {
        assert_eq!(check_one(name, good), Ok(()), "{name}={good}");
        assert!(check_one(name, bad).is_err(), "{name}={bad}");
    }
    assert_eq!(
        check_one("follower.replication.throttled.replicas", "*"),
        Ok(())
    );
    assert_eq!(check_one("preallocate", "TRUE"), Ok(()));
    let pairs = |count| vec!["10:20"; count].join(",");
    let name = "leader.replication.throttled.replicas";
    assert_eq!(check_one(name, &pairs(2730)), Ok(()));
    let long = check_one(name, &pairs(2731)).unwrap_err();
    assert!(long.ends_with("it is longer than 16384 bytes."), "{long}");
    assert!(long.len() < 300, "the value is cut short in the message");
}

#[test]
fn lags_that_contradict_each_other_are_refused() {
    let both = configs(&[
        ("min.compaction.lag.ms", "9"),
        ("max.compaction.lag.ms", "8"),
    ]);
    let message = "min.compaction.lag.ms=9 must not be above max.compaction.lag.ms=8.";
    assert_eq!(TOPICS.check(&both, &brokers()), Err(message.to_owned()));
}

fn row<'a>(shown: &'a [Shown], name: &str) -> &'a Shown {
    shown.iter().find(|shown| shown.name == name).unwrap()
}

#[test]
fn a_4_sources_and_synonyms_come_in_the_order_of_precedence() {
    let file = Layer {
        source: config::Source::File,
        assignments: vec![Assignment {
            name: "log.retention.minutes".into(),
            value: "3".into(),
            place: "server.properties:1".into(),
        }],
    };
    let loaded = config::load(&[file]).unwrap();
    let mut brokers = BrokerConfigs::new(Arc::new(loaded.config));
    let none = BTreeMap::new();
    let minutes = ("log.retention.minutes", "3".to_owned(), Source::Static);
    let hours = ("log.retention.hours", "168".to_owned(), Source::Default);

    let all = ShownDefaults::new(&TOPICS, &brokers).with(&none);
    let retention = row(&all, "retention.ms");
    assert_eq!(retention.value.as_deref(), Some("180000"));
    assert_eq!(retention.source, Source::Static);
    assert_eq!(retention.synonyms, [minutes.clone(), hours.clone()]);
    let preallocate = row(&all, "preallocate");
    assert_eq!(preallocate.source, Source::Default);
    assert_eq!(
        preallocate.synonyms,
        [("log.preallocate", "false".into(), Source::Default)]
    );
    assert!(
        all.iter()
            .all(|shown| shown.name != "internal.segment.bytes")
    );

    brokers.alter(BrokerScope::Cluster, "log.retention.ms", Some("7".into()));
    brokers.alter(BrokerScope::Node(1), "log.retention.ms", Some("8".into()));
    brokers.alter(BrokerScope::Node(2), "log.retention.ms", Some("9".into()));
    brokers.refresh();
    let all = ShownDefaults::new(&TOPICS, &brokers).with(&configs(&[("retention.ms", "5")]));
    let retention = row(&all, "retention.ms");
    assert_eq!(
        (retention.value.as_deref(), retention.source),
        (Some("5"), Source::Topic)
    );
    let expected = [
        ("retention.ms", "5".to_owned(), Source::Topic),
        ("log.retention.ms", "8".to_owned(), Source::DynamicBroker),
        ("log.retention.ms", "7".to_owned(), Source::DynamicDefault),
        minutes,
        hours,
    ];
    assert_eq!(retention.synonyms, expected);
    let all = ShownDefaults::new(&TOPICS, &brokers).with(&none);
    let retention = row(&all, "retention.ms");
    assert_eq!(
        (retention.value.as_deref(), retention.source),
        (Some("8"), Source::DynamicBroker)
    );
}
