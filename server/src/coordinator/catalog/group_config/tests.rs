use super::*;
use crate::config::{self, Assignment, Config, Layer};
use crate::coordinator::share::QueueConfig;

fn brokers() -> BrokerConfigs {
    BrokerConfigs::new(Arc::default())
}

fn configs(pairs: &[(&str, &str)]) -> BTreeMap<String, String> {
    let pairs = pairs.iter();
    pairs
        .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
        .collect()
}

#[test]
fn the_table_is_sorted_and_its_defaults_are_those_of_the_broker_keys() {
    assert!(GROUP_KEYS.is_sorted_by(|a, b| a.name < b.name));
    for key in GROUP_KEYS {
        for (synonym, _) in key.synonyms {
            assert!(config::key(synonym).is_some(), "no broker key {synonym}");
        }
        assert_eq!(key.default_in(&brokers()), key.default, "{}", key.name);
        assert_eq!(key.check(key.default), Ok(()), "{}", key.name);
        assert!(key.doc.ends_with('.'), "{}", key.name);
    }
}

#[test]
fn a_group_that_nobody_configured_acts_as_its_queue_does_without_one() {
    let settings = GroupSettings::default();
    let expected = QueueConfig {
        release_backoff_max_ms: 3_600_000,
        ..QueueConfig::default()
    };
    assert_eq!(*settings.queue, expected);
    assert_eq!(settings.offset_reset, OffsetReset::Latest);
    assert_eq!(
        (settings.session_timeout_ms, settings.heartbeat_interval_ms),
        (45_000, 5000)
    );
    assert_eq!(settings.dead_letter_topic, None);
    assert!(settings.copy_record && !settings.read_committed);
}

#[test]
fn the_groups_value_counts_before_the_brokers_and_that_before_the_default() {
    let layer = Layer {
        source: config::Source::File,
        assignments: [
            ("group.share.delivery.count.limit", "7"),
            ("group.share.record.lock.duration.ms", "1000"),
        ]
        .map(|(name, value)| Assignment {
            name: name.into(),
            value: value.into(),
            place: "a test".into(),
        })
        .into(),
    };
    let config: Config = config::load(&[layer]).unwrap().config;
    let brokers = BrokerConfigs::new(Arc::new(config));
    let own = configs(&[
        ("share.record.lock.duration.ms", "43200000"),
        ("errors.deadletterqueue.topic.name", "dead"),
        ("errors.deadletterqueue.copy.record.enable", "FALSE"),
        ("queue.paused", "true"),
        ("queue.release.backoff.ms", "250"),
        ("share.isolation.level", "read_committed"),
        ("share.auto.offset.reset", "by_duration:PT1H"),
    ]);
    let settings = GroupSettings::new(&own, &brokers);
    let queue = &settings.queue;
    assert_eq!(queue.delivery_count_limit, 7);
    assert_eq!(queue.lock_duration_ms, 43_200_000);
    assert!(queue.paused && queue.dead_letters && queue.renew);
    assert_eq!(queue.release_backoff_ms, 250);
    assert_eq!(settings.dead_letter_topic.as_deref(), Some("dead"));
    assert!(!settings.copy_record && settings.read_committed);
    assert_eq!(settings.offset_reset, OffsetReset::ByDuration(3_600_000));
}

#[test]
fn bad_values_are_refused_with_what_is_allowed() {
    let cases = [
        (
            "share.record.lock.duration.ms",
            "99",
            "from 100 to 43200000",
        ),
        ("share.record.lock.duration.ms", "43200001", "from 100 to"),
        ("share.delivery.count.limit", "0", "from 1 to 1000"),
        ("share.delivery.count.limit", "1001", "from 1 to 1000"),
        ("share.delivery.count.limit", "five", "a whole number"),
        ("share.isolation.level", "none", "read_committed, read_unc"),
        ("share.auto.offset.reset", "none", "latest, earliest, or"),
        ("queue.paused", "yes", "true or false"),
        (
            "errors.deadletterqueue.topic.name",
            "a b",
            "1 to 249 letters",
        ),
        (
            "errors.deadletterqueue.topic.name",
            "__consumer_offsets",
            "not the server's own",
        ),
    ];
    for (name, value, allowed) in cases {
        let why = GROUPS.check(&configs(&[(name, value)]), &brokers());
        let why = why.unwrap_err();
        let begin = format!("Invalid value {value} for configuration {name}: it must be ");
        assert!(why.starts_with(&begin) && why.contains(allowed), "{why}");
    }
    assert_eq!(
        GROUPS.check(&configs(&[("share.colour", "1")]), &brokers()),
        Err("Unknown group configuration share.colour.".into())
    );
    let both = configs(&[
        ("share.session.timeout.ms", "2000"),
        ("share.heartbeat.interval.ms", "2000"),
    ]);
    let why = GROUPS.check(&both, &brokers()).unwrap_err();
    assert!(why.contains("share.session.timeout.ms=2000"), "{why}");
}

#[test]
fn durations_are_read_as_java_reads_them() {
    let good = [
        ("PT0S", 0),
        ("PT1H", 3_600_000),
        ("P7D", 604_800_000),
        ("p1dt2h3m4.5s", 93_784_500),
        ("PT0.0019S", 1),
    ];
    for (text, ms) in good {
        let text = format!("by_duration:{text}");
        assert_eq!(
            OffsetReset::parse(&text),
            Some(OffsetReset::ByDuration(ms)),
            "{text}"
        );
    }
    let bad = [
        "",
        "P",
        "PT",
        "1H",
        "PT1",
        "P1H",
        "PT1M1H",
        "PT-1S",
        "PT1.S",
        "PT.5S",
        "P1DT",
        "PT1Sx",
        "P99999999999999999999D",
        "P9999999999999D",
        "PTS",
        "P+1D",
        "PTéS",
    ];
    for text in bad {
        assert_eq!(
            OffsetReset::parse(&format!("by_duration:{text}")),
            None,
            "{text:?}"
        );
    }
}

#[test]
fn h_9_what_a_group_says_of_its_consumers_keeps_to_the_brokers_range() {
    let brokers = |pairs: &[(&str, &str)]| {
        let assignments = pairs.iter().map(|(name, value)| Assignment {
            name: (*name).into(),
            value: (*value).into(),
            place: "a test".into(),
        });
        let layer = Layer {
            source: config::Source::File,
            assignments: assignments.collect(),
        };
        BrokerConfigs::new(Arc::new(config::load(&[layer]).unwrap().config))
    };
    let check = |pairs: &[(&str, &str)], brokers| GROUPS.check(&configs(pairs), brokers).is_ok();
    let default = brokers(&[]);
    for (value, taken) in [
        ("44999", false),
        ("45000", true),
        ("60000", true),
        ("60001", false),
    ] {
        assert_eq!(
            check(&[("consumer.session.timeout.ms", value)], &default),
            taken,
            "{value}"
        );
    }
    for (value, taken) in [
        ("4999", false),
        ("5000", true),
        ("15000", true),
        ("15001", false),
    ] {
        assert_eq!(
            check(&[("consumer.heartbeat.interval.ms", value)], &default),
            taken,
            "{value}"
        );
    }
    let wide = brokers(&[
        ("group.consumer.min.session.timeout.ms", "1000"),
        ("group.consumer.min.heartbeat.interval.ms", "1"),
    ]);
    assert!(check(&[("consumer.session.timeout.ms", "5001")], &wide));
    assert!(
        !check(&[("consumer.session.timeout.ms", "5000")], &wide),
        "as long as a heartbeat"
    );
    // What was taken when the range was wider is brought into it.
    let own = configs(&[
        ("consumer.session.timeout.ms", "1000"),
        ("consumer.heartbeat.interval.ms", "16000"),
    ]);
    let settings = GroupSettings::new(&own, &default).consumer;
    assert_eq!(settings.session_timeout_ms, 45_000);
    assert_eq!(settings.heartbeat_interval_ms, 15_000);
}
