use std::collections::BTreeSet;
use std::path::Path;

use super::{
    Config, ConfigError, Kind, Layer, Listener, Loaded, MigrationPolicy, Scope, Source, key, keys,
    load,
};
use ratel_storage::LogSettings;

fn file(text: &str) -> Layer {
    Layer::from_file(Path::new("/etc/server.properties"), text).expect("the file parses")
}

fn environment(variables: &[(&str, &str)]) -> Layer {
    Layer::from_environment(
        variables
            .iter()
            .map(|(name, value)| ((*name).to_owned(), (*value).to_owned())),
    )
}

fn flags(flags: &[&str]) -> Layer {
    let flags: Vec<_> = flags.iter().map(|flag| (*flag).to_owned()).collect();
    Layer::from_flags(&flags).expect("the flags parse")
}

#[track_caller]
fn loaded(layers: &[Layer]) -> Loaded {
    load(layers).expect("the configuration is good")
}

#[track_caller]
fn check_refused(text: &str, expected: &str) {
    let error = load(&[file(text)]).expect_err("the configuration is refused");
    assert_eq!(error.to_string(), expected);
}

#[test]
fn nothing_at_all_is_the_defaults() {
    let Loaded { config, warnings } = loaded(&[]);
    assert_eq!(warnings, [""; 0]);
    assert_eq!(config.listeners, Config::default().listeners);
    assert_eq!(
        config.value("listeners").as_deref(),
        Some("PLAINTEXT://127.0.0.1:9092")
    );
    assert_eq!(
        config.value("http.listen").as_deref(),
        Some("127.0.0.1:8080")
    );
    assert_eq!(config.value("log.dirs").as_deref(), Some("ratel-data"));
    assert_eq!(
        config.log_settings(),
        LogSettings {
            flush_messages: i64::MAX as u64,
            ..LogSettings::default()
        }
    );
}

#[test]
fn flags_count_over_environment_over_file_over_defaults() {
    let file = file("num.partitions=2\nnode.id=2\nfetch.max.bytes=2000\n");
    let environment = environment(&[("KAFKA_NUM_PARTITIONS", "3"), ("RATEL_NODE_ID", "3")]);
    let Loaded { config, .. } = loaded(&[file, environment, flags(&["node.id=4"])]);
    assert_eq!(
        (
            config.fetch_max_bytes,
            config.num_partitions,
            config.node_id
        ),
        (2000, 3, 4)
    );
    assert_eq!(config.source("topics.max"), Source::Default);
    assert_eq!(config.source("fetch.max.bytes"), Source::File);
    assert_eq!(config.source("num.partitions"), Source::Environment);
    assert_eq!(config.source("node.id"), Source::Flag);
}

#[test]
fn ratel_variables_count_over_kafka_ones() {
    let environment = environment(&[("RATEL_LOG_DIRS", "mine"), ("KAFKA_LOG_DIRS", "theirs")]);
    assert_eq!(loaded(&[environment]).config.log_dir, Path::new("mine"));
}

#[test]
fn the_short_variable_of_the_log_level_is_no_log_key() {
    let environment = environment(&[
        ("RATEL_LOG", "debug"),
        ("RATEL_CONFIG", "a.toml"),
        ("RATEL_SERVER", "a:1"),
    ]);
    let Loaded { config, warnings } = loaded(&[environment]);
    assert_eq!(config.log_level, "debug");
    assert_eq!(warnings, [""; 0]);
}

#[test]
fn an_unknown_variable_is_one_warning_with_all_of_them() {
    let environment = environment(&[
        ("RATEL_SERVICE_HOST", "10.0.0.1"),
        ("KAFKA_PORT", "tcp://10.0.0.1:9092"),
        ("HOME", "/root"),
        ("KAFKA_SSL_KEYSTORE_LOCATION", "/x"),
    ]);
    assert_eq!(
        loaded(&[environment]).warnings,
        [
            "these keys of Kafka change nothing here and were ignored: ssl.keystore.location",
            "these environment variables name no key and were ignored: KAFKA_PORT, \
             RATEL_SERVICE_HOST",
        ]
    );
}

#[test]
fn an_unknown_key_is_an_error_with_the_nearest_name() {
    check_refused(
        "a=1",
        "there is no key a (server.properties:1); `ratel config keys` lists all",
    );
    check_refused(
        "# first\nnum.partition=3",
        "there is no key num.partition (server.properties:2); did you mean num.partitions?",
    );
    let error = load(&[flags(&["log.retention.hour=1"])]).expect_err("it is refused");
    assert_eq!(
        error.to_string(),
        "there is no key log.retention.hour (--set); did you mean log.retention.hours?"
    );
}

#[test]
fn levels_and_lists_that_kafka_refuses_are_refused() {
    check_refused(
        "log.cleanup.policy=delete,",
        "log.cleanup.policy=delete, (server.properties:1) is not supported; give any of `compact` \
         or `delete` or nothing",
    );
    check_refused(
        "group.consumer.assignors=",
        "group.consumer.assignors= (server.properties:1) is not supported; give any of `uniform` \
         or `range`",
    );
    check_refused(
        "group.consumer.session.timeout.ms=30000",
        "group.consumer.min.session.timeout.ms=45000 (default) is above \
         group.consumer.session.timeout.ms=30000; lower it or raise that",
    );
    check_refused(
        "group.consumer.heartbeat.interval.ms=15001",
        "group.consumer.heartbeat.interval.ms=15001 (server.properties:1) is above \
         group.consumer.max.heartbeat.interval.ms=15000; lower it or raise that",
    );
    check_refused(
        "group.consumer.max.heartbeat.interval.ms=45000\n\
         group.consumer.heartbeat.interval.ms=45000",
        "group.consumer.heartbeat.interval.ms=45000 (server.properties:2) is not below \
         group.consumer.session.timeout.ms=45000; lower it or raise that",
    );
    check_refused(
        "compression.gzip.level=0",
        "compression.gzip.level=0 (server.properties:1) packs nothing; give 1 to 9, or -1 for the \
         library's own",
    );
}

#[test]
fn words_that_kafka_takes_in_capitals_are_taken_in_capitals() {
    let loaded = loaded(&[file("group.consumer.migration.policy=Upgrade")]);
    assert_eq!(
        loaded.config.group_consumer_migration_policy,
        MigrationPolicy::Upgrade
    );
    check_refused(
        "group.consumer.migration.policy=both",
        "group.consumer.migration.policy=both (server.properties:1) is not supported; give \
         `bidirectional` or `upgrade` or `downgrade` or `disabled`",
    );
    check_refused(
        "log.message.timestamp.type=createtime",
        "log.message.timestamp.type=createtime (server.properties:1) is not supported; give \
         `CreateTime` or `LogAppendTime`",
    );
}

#[test]
fn a_value_that_cannot_be_used_is_named_with_its_range_and_the_fix() {
    check_refused(
        "num.partitions=0",
        "num.partitions=0 (server.properties:1) is out of range; give a whole number from 1 to \
         2147483647",
    );
    check_refused(
        "num.partitions=many",
        "num.partitions=many (server.properties:1) is not a whole number, or too large for one; \
         give a whole number from 1 to 2147483647",
    );
    check_refused(
        "socket.send.buffer.bytes=-2",
        "socket.send.buffer.bytes=-2 (server.properties:1) is out of range; give a whole number \
         from -1 to 2147483647",
    );
    check_refused(
        "socket.receive.buffer.bytes=0",
        "socket.receive.buffer.bytes=0 (server.properties:1) is no size; give at least 1, or -1 \
         for the system's",
    );
    check_refused(
        "delete.topic.enable=yes",
        "delete.topic.enable=yes (server.properties:1) is neither true nor false; give `true` or \
         `false`",
    );
    check_refused(
        "durability=maybe",
        "durability=maybe (server.properties:1) is not supported; give `contract` or `relaxed`",
    );
    check_refused(
        "log.cleanup.policy=compact,shred",
        "log.cleanup.policy=compact,shred (server.properties:1) is not supported; give any of \
         `compact` or `delete` or nothing",
    );
    check_refused(
        "log.cleaner.min.cleanable.ratio=1.5",
        "log.cleaner.min.cleanable.ratio=1.5 (server.properties:1) is out of range; give a number \
         from 0 to 1",
    );
    check_refused(
        "http.listen=here",
        "http.listen=here (server.properties:1) is not an address; give one such as \
         127.0.0.1:8080, or off",
    );
    check_refused(
        "group.min.session.timeout.ms=10\ngroup.max.session.timeout.ms=9",
        "group.min.session.timeout.ms=10 (server.properties:1) is above \
         group.max.session.timeout.ms=9; lower it or raise that",
    );
    check_refused(
        "authorizer.class.name=org.apache.kafka.metadata.authorizer.StandardAuthorizer",
        "authorizer.class.name=org.apache.kafka.metadata.authorizer.StandardAuthorizer \
         (server.properties:1) there is no authorizer yet, so every client could do everything; \
         remove the key to accept that",
    );
}

#[test]
fn more_than_one_data_directory_is_refused_with_the_reason() {
    let error = load(&[file("log.dirs=/a,/b")]).expect_err("it is refused");
    assert_eq!(
        error.to_string(),
        "log.dirs=/a,/b (server.properties:1) names more than one directory; give one: a log \
         lies on one disk here, so that one failed disk is one failed server (join disks below \
         the file system instead)"
    );
}

#[test]
fn another_name_of_a_key_counts_below_its_own() {
    let config = loaded(&[file("log.dir=/b\nbroker.id=7")]).config;
    assert_eq!(
        (config.log_dir.as_path(), config.node_id),
        (Path::new("/b"), 7)
    );
    let config = loaded(&[file("log.dirs=/a\nlog.dir=/b")]).config;
    assert_eq!(config.log_dir, Path::new("/a"));
    let row = config.row("log.dir").expect("it has a row");
    assert_eq!((row.name, row.value.as_deref()), ("log.dirs", Some("/a")));
    assert!(config.rows().iter().any(|row| row.name == "broker.id"));
}

/// The keys of the file that Apache Kafka 4 brings along.
#[test]
fn the_server_properties_of_kafka_start_the_server() {
    let text = "process.roles=broker,controller\nnode.id=1\n\
        controller.quorum.bootstrap.servers=localhost:9093\n\
        listeners=PLAINTEXT://:9092,CONTROLLER://:9093\ninter.broker.listener.name=PLAINTEXT\n\
        advertised.listeners=PLAINTEXT://localhost:9092,CONTROLLER://localhost:9093\n\
        controller.listener.names=CONTROLLER\n\
        listener.security.protocol.map=CONTROLLER:PLAINTEXT,PLAINTEXT:PLAINTEXT,SSL:SSL\n\
        num.network.threads=3\nnum.io.threads=8\nsocket.send.buffer.bytes=102400\n\
        socket.receive.buffer.bytes=102400\nsocket.request.max.bytes=104857600\n\
        log.dirs=/tmp/kraft-combined-logs\nnum.partitions=1\n\
        num.recovery.threads.per.data.dir=1\noffsets.topic.replication.factor=1\n\
        share.coordinator.state.topic.replication.factor=1\n\
        share.coordinator.state.topic.min.isr=1\ntransaction.state.log.replication.factor=1\n\
        transaction.state.log.min.isr=1\nlog.retention.hours=168\n\
        log.segment.bytes=1073741824\nlog.retention.check.interval.ms=300000\n";
    let Loaded { config, warnings } = loaded(&[file(text)]);
    assert_eq!(
        config.listeners,
        [Listener {
            name: "PLAINTEXT".to_owned(),
            host: String::new(),
            port: 9092,
            advertised: Some(("localhost".to_owned(), 9092)),
        }]
    );
    assert_eq!(
        warnings,
        ["these keys of Kafka change nothing here and were ignored: \
         controller.quorum.bootstrap.servers, inter.broker.listener.name, num.io.threads, \
         num.network.threads, num.recovery.threads.per.data.dir, \
         offsets.topic.replication.factor, process.roles, \
         share.coordinator.state.topic.min.isr, \
         share.coordinator.state.topic.replication.factor, transaction.state.log.min.isr, \
         transaction.state.log.replication.factor"]
    );
    for key in ["socket.send.buffer.bytes", "socket.receive.buffer.bytes"] {
        assert_eq!(config.value(key).as_deref(), Some("102400"), "{key}");
    }
    assert_eq!(
        config.value("num.recovery.threads.per.data.dir").as_deref(),
        Some("1")
    );
}

#[test]
fn listeners_that_cannot_be_opened_are_refused() {
    check_refused(
        "listeners=9092",
        "listeners=9092 (server.properties:1) has \"9092\", which is not NAME://host:port; for \
         example PLAINTEXT://:9092",
    );
    check_refused(
        "listeners=PLAINTEXT://a:99999",
        "listeners=PLAINTEXT://a:99999 (server.properties:1) has \"PLAINTEXT://a:99999\", whose \
         port is not a whole number from 0 to 65535; give such a port",
    );
    check_refused(
        "listeners=SASL_SSL://:9092",
        "listeners=SASL_SSL://:9092 (server.properties:1) has SASL_SSL, which speaks SASL_SSL; \
         only PLAINTEXT is spoken so far: map SASL_SSL to PLAINTEXT in \
         listener.security.protocol.map or remove it",
    );
    check_refused(
        "listeners=INSIDE://:9092",
        "listeners=INSIDE://:9092 (server.properties:1) has INSIDE, whose protocol is not known; \
         add INSIDE:PLAINTEXT to listener.security.protocol.map",
    );
    check_refused(
        "listeners=CONTROLLER://:9093\ncontroller.listener.names=CONTROLLER",
        "listeners=CONTROLLER://:9093 (server.properties:1) has none but listeners of \
         controllers, which are not opened; add one such as PLAINTEXT://:9092",
    );
    check_refused(
        "listeners=PLAINTEXT://:9092,PLAINTEXT://:9093",
        "listeners=PLAINTEXT://:9092,PLAINTEXT://:9093 (server.properties:1) has PLAINTEXT and \
         PLAINTEXT on one name or one address; give each its own",
    );
    check_refused(
        "advertised.listeners=PLAINTEXT://0.0.0.0:9092",
        "advertised.listeners=PLAINTEXT://0.0.0.0:9092 (server.properties:1) advertises PLAINTEXT \
         on every address, which no client can connect to; give a host name or address, or leave \
         the listener out",
    );
    check_refused(
        "advertised.listeners=OUTSIDE://a:9092",
        "advertised.listeners=OUTSIDE://a:9092 (server.properties:1) advertises OUTSIDE, which is \
         not among listeners; add it there or remove it here",
    );
}

#[test]
fn listeners_may_be_many_and_of_ipv6() {
    let config = loaded(&[file(
        "listeners=inside://[::1]:9092, OUTSIDE://0.0.0.0:9093\n\
         listener.security.protocol.map=INSIDE:PLAINTEXT,OUTSIDE:PLAINTEXT\n\
         advertised.listeners=OUTSIDE://log.example.org:19093",
    )])
    .config;
    let [inside, outside] = &config.listeners[..] else {
        panic!("two listeners: {:?}", config.listeners)
    };
    assert_eq!(
        (
            inside.name.as_str(),
            inside.host.as_str(),
            inside.port,
            &inside.advertised
        ),
        ("INSIDE", "::1", 9092, &None)
    );
    assert_eq!(
        outside.advertised,
        Some(("log.example.org".to_owned(), 19093))
    );
    assert!(outside.is_wildcard());
}

#[test]
fn the_finest_unit_of_time_counts() {
    let retention = |text: &str| loaded(&[file(text)]).config.retention_ms();
    assert_eq!(retention(""), Some(604_800_000));
    assert_eq!(retention("log.retention.hours=2"), Some(7_200_000));
    assert_eq!(
        retention("log.retention.hours=2\nlog.retention.minutes=3"),
        Some(180_000)
    );
    assert_eq!(
        retention("log.retention.ms=5\nlog.retention.minutes=3"),
        Some(5)
    );
    assert_eq!(retention("log.retention.hours=-1"), None);
    assert_eq!(
        retention("log.retention.ms=-1\nlog.retention.hours=1"),
        None
    );

    let settings = loaded(&[file(
        "log.roll.hours=1\nlog.roll.jitter.ms=7\nlog.flush.interval.ms=9",
    )])
    .config
    .log_settings();
    assert_eq!(
        (
            settings.segment_ms,
            settings.segment_jitter_ms,
            settings.flush_ms
        ),
        (3_600_000, 7, 9)
    );
}

#[test]
fn synonyms_stand_in_the_order_of_precedence() {
    let config = loaded(&[
        file("log.retention.minutes=3"),
        flags(&["log.retention.ms=5"]),
    ])
    .config;
    let row = config.row("log.retention.ms").expect("it has a row");
    let synonyms: Vec<_> = row
        .synonyms
        .iter()
        .map(|synonym| (synonym.name, synonym.value.as_deref(), synonym.source))
        .collect();
    assert_eq!(
        synonyms,
        [
            ("log.retention.ms", Some("5"), Source::Flag),
            ("log.retention.minutes", Some("3"), Source::File),
            ("log.retention.hours", Some("168"), Source::Default),
        ]
    );
}

#[test]
fn toml_is_read_by_tables_or_whole_names() {
    let layer = |text| Layer::from_file(Path::new("ratel.toml"), text);
    let text = "num_partitions = 3\n\"fetch.max.bytes\" = 2048\n\
        listeners = [\"PLAINTEXT://:1\", \"B://:2\"]\n[log]\ndirs = \"/a\"\nretention.hours = 2\n\
        [listener.security.protocol]\nmap = \"PLAINTEXT:PLAINTEXT,B:PLAINTEXT\"\n\
        [auto.create.topics]\nenable = false\n";
    let config = loaded(&[layer(text).expect("it parses")]).config;
    assert_eq!(config.num_partitions, 3);
    assert_eq!(config.fetch_max_bytes, 2048);
    assert_eq!(config.listeners.len(), 2);
    assert_eq!(config.log_dir, Path::new("/a"));
    assert_eq!(config.retention_ms(), Some(7_200_000));
    assert!(!config.auto_create_topics_enable);

    let ConfigError(why) = layer("num_partitions = 1979-05-27").expect_err("a date is no value");
    assert_eq!(
        why,
        "num.partitions (ratel.toml) is a datetime; give text, a number, true or false, or a \
         list of them"
    );
    assert!(
        layer("= 3")
            .expect_err("no key")
            .0
            .starts_with("ratel.toml is not TOML: ")
    );
}

#[test]
fn ratel_dev_sets_less_than_anybody_else() {
    let config = loaded(&[Config::dev_layer(), file("log.segment.bytes=1048576")]).config;
    assert_eq!(config.group_initial_rebalance_delay_ms, 0);
    assert!(config.replication_factor_clamp);
    assert_eq!(config.log_segment_bytes, 1_048_576);
    assert_eq!(config.source("replication.factor.clamp"), Source::Dev);
}

#[test]
fn a_flag_without_a_value_is_refused() {
    let error = Layer::from_flags(&["node.id".to_owned()]).expect_err("it is refused");
    assert_eq!(
        error.to_string(),
        "--set node.id has no `=`; give it as --set key=value"
    );
}

#[test]
fn every_key_has_one_row_a_doc_and_takes_its_own_default() {
    let mut names = BTreeSet::new();
    for key in keys() {
        for name in [key.name].iter().chain(key.aliases) {
            assert!(names.insert(*name), "{name} stands twice");
        }
        assert!(
            key.doc().ends_with('.') && key.doc().len() > 10,
            "{}",
            key.name
        );
        assert!(!key.doc().contains("  "), "{}", key.name);
        let mut config = Config::default();
        if let Some(default) = key.default() {
            key.write(&mut config, &default)
                .unwrap_or_else(|why| panic!("{}={default} {why}", key.name));
            assert_eq!(key.read(&config), Some(default), "{}", key.name);
        }
        for synonym in key.synonyms {
            assert!(super::key(synonym).is_some(), "{synonym}");
        }
    }
}

#[test]
fn the_keys_that_tools_look_for_are_there_with_kafkas_types() {
    for (name, kind, default) in [
        ("message.max.bytes", Kind::Int, Some("1048588")),
        ("log.retention.ms", Kind::Long, None),
        ("log.retention.hours", Kind::Int, Some("168")),
        ("log.segment.bytes", Kind::Int, Some("1073741824")),
        ("default.replication.factor", Kind::Short, Some("1")),
        (
            "log.flush.interval.messages",
            Kind::Long,
            Some("9223372036854775807"),
        ),
        (
            "inter.broker.protocol.version",
            Kind::String,
            Some("4.1-IV1"),
        ),
        ("offsets.topic.replication.factor", Kind::Short, Some("3")),
        ("log.cleaner.min.cleanable.ratio", Kind::Double, Some("0.5")),
        ("socket.send.buffer.bytes", Kind::Int, Some("131072")),
        ("socket.receive.buffer.bytes", Kind::Int, Some("-1")),
        ("listeners", Kind::List, Some("PLAINTEXT://127.0.0.1:9092")),
    ] {
        let key = key(name).unwrap_or_else(|| panic!("{name} is missing"));
        assert_eq!(
            (key.kind, key.default().as_deref()),
            (kind, default),
            "{name}"
        );
    }
}

#[test]
fn the_reference_is_up_to_date() {
    let written = include_str!("../../../docs/configuration.md");
    assert!(
        written == super::markdown(),
        "docs/configuration.md is not what the table of keys says; make it anew: \
         cargo run -p ratel-server -- config keys --output markdown > docs/configuration.md"
    );
}

/// What Apache Kafka 4.3.1 shows as alterable, besides the keys of TLS and SASL: the same here, but
/// for what is listed.
#[test]
fn what_kafka_alters_at_run_time_is_altered_here() {
    const KAFKA: &str = "\
        background.threads compression.gzip.level compression.lz4.level \
        compression.type compression.zstd.level config.providers cordoned.log.dirs \
        follower.fetch.last.tiered.offset.enable group.consumer.assignment.interval.ms \
        group.coordinator.cached.buffer.max.bytes group.share.assignment.interval.ms \
        group.streams.assignment.interval.ms listener.security.protocol.map listeners \
        log.cleaner.backoff.ms log.cleaner.dedupe.buffer.size \
        log.cleaner.delete.retention.ms log.cleaner.io.buffer.load.factor \
        log.cleaner.io.buffer.size log.cleaner.io.max.bytes.per.second \
        log.cleaner.max.compaction.lag.ms log.cleaner.min.cleanable.ratio \
        log.cleaner.min.compaction.lag.ms log.cleaner.threads log.cleanup.policy \
        log.flush.interval.messages log.flush.interval.ms log.index.interval.bytes \
        log.index.size.max.bytes log.local.retention.bytes log.local.retention.ms \
        log.message.timestamp.after.max.ms log.message.timestamp.before.max.ms \
        log.message.timestamp.type log.preallocate log.retention.bytes \
        log.retention.ms log.roll.jitter.ms log.roll.ms log.segment.bytes \
        log.segment.delete.delay.ms max.connection.creation.rate max.connections \
        max.connections.per.ip max.connections.per.ip.overrides message.max.bytes \
        metric.reporters min.insync.replicas num.io.threads num.network.threads \
        num.recovery.threads.per.data.dir num.replica.fetchers principal.builder.class \
        producer.id.expiration.ms remote.fetch.max.wait.ms \
        remote.list.offsets.request.timeout.ms \
        remote.log.index.file.cache.total.size.bytes \
        remote.log.manager.copier.thread.pool.size \
        remote.log.manager.copy.max.bytes.per.second \
        remote.log.manager.expiration.thread.pool.size \
        remote.log.manager.fetch.max.bytes.per.second \
        remote.log.manager.follower.thread.pool.size remote.log.reader.threads \
        share.coordinator.cached.buffer.max.bytes \
        transaction.partition.verification.enable unclean.leader.election.enable";
    // Of one server without security, plug-ins and remote storage.
    const NOT_HERE: &[&str] = &[
        "config.providers",
        "cordoned.log.dirs",
        "follower.fetch.last.tiered.offset.enable",
        "listener.security.protocol.map",
        "listeners",
        "metric.reporters",
        "principal.builder.class",
        "producer.id.expiration.ms",
    ];
    for name in KAFKA.split_whitespace() {
        let is_altered = key(name).is_some_and(|key| key.scope == Scope::Cluster);
        assert_eq!(is_altered, !NOT_HERE.contains(&name), "{name}");
    }
}
