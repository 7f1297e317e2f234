//! Kafka's keys that change nothing here: those that tools look for are shown with Kafka's
//! values, the others are taken and named in one warning.

use super::key::{Access, Key, Kind, Meaning, Scope};

mod silent;

pub use silent::SILENT;

const fn shown(name: &'static str, kind: Kind, default: &'static str, doc: &'static str) -> Key {
    let default = if default.is_empty() {
        None
    } else {
        Some(default)
    };
    Key {
        name,
        kind,
        range: (i64::MIN, i64::MAX),
        words: &[],
        any_case: false,
        scope: Scope::ReadOnly,
        meaning: Meaning::Shown,
        ours: false,
        synonyms: &[],
        aliases: &[],
        doc,
        access: Access::Shown(default),
    }
}

const fn int(name: &'static str, default: &'static str, doc: &'static str) -> Key {
    shown(name, Kind::Int, default, doc)
        .at_least(i32::MIN as i64)
        .at_most(i32::MAX as i64)
}

const fn short(name: &'static str, default: &'static str, doc: &'static str) -> Key {
    shown(name, Kind::Short, default, doc)
        .at_least(i16::MIN as i64)
        .at_most(i16::MAX as i64)
}

const fn double(name: &'static str, default: &'static str, doc: &'static str) -> Key {
    shown(name, Kind::Double, default, doc)
}

const fn list(name: &'static str, default: &'static str, doc: &'static str) -> Key {
    shown(name, Kind::List, default, doc)
}

const fn class(name: &'static str, default: &'static str, doc: &'static str) -> Key {
    shown(name, Kind::Class, default, doc)
}

const fn long(name: &'static str, default: &'static str, doc: &'static str) -> Key {
    shown(name, Kind::Long, default, doc)
}

const fn text(name: &'static str, default: &'static str, doc: &'static str) -> Key {
    shown(name, Kind::String, default, doc)
}

const fn flag(name: &'static str, default: &'static str, doc: &'static str) -> Key {
    shown(name, Kind::Bool, default, doc)
}

const THREADS: &str = "Kafka sizes a pool of threads by it; here the machine's cores decide.";
const CLUSTER: &str = "Of Kafka's controllers and replicas; one server has neither.";
const TRANSACTIONS: &str =
    "Of transactions: one server keeps one replica, and has no two-phase commit.";
const GROUPS: &str = "Of consumer groups; nothing here depends on it.";
const SHARES: &str = "Of share groups; nothing here depends on it.";
const STREAMS: &str = "Of streams groups, which are not there yet.";

/// Keys that are shown with Kafka's defaults and change nothing.
pub const SHOWN: &[Key] = &[
    list("process.roles", "broker,controller", CLUSTER),
    list("controller.quorum.voters", "", CLUSTER),
    list("controller.quorum.bootstrap.servers", "", CLUSTER),
    text(
        "inter.broker.protocol.version",
        "4.1-IV1",
        "The level of Kafka's protocol between brokers that old tools look for.",
    ),
    text("inter.broker.listener.name", "", CLUSTER),
    text("security.inter.broker.protocol", "PLAINTEXT", CLUSTER),
    text("broker.rack", "", CLUSTER),
    int(
        "queued.max.requests",
        "500",
        "Here memory.request.bytes limits what is in flight.",
    ),
    int(
        "request.timeout.ms",
        "30000",
        "How long Kafka's broker waits for another.",
    ),
    int(
        "socket.listen.backlog.size",
        "50",
        "Connections that wait to be accepted; 4096 here.",
    ),
    int("num.network.threads", "3", THREADS)
        .at_least(1)
        .dynamic(),
    int("num.io.threads", "8", THREADS).at_least(1).dynamic(),
    int("num.replica.fetchers", "1", THREADS)
        .at_least(1)
        .dynamic(),
    int("background.threads", "10", THREADS)
        .at_least(1)
        .dynamic(),
    int("num.recovery.threads.per.data.dir", "2", THREADS)
        .at_least(1)
        .dynamic(),
    int(
        "compression.lz4.level",
        "9",
        "Here lz4 has one level, which is its fast one.",
    )
    .at_least(1)
    .at_most(17)
    .dynamic(),
    long("leader.replication.throttled.rate", "", CLUSTER)
        .at_least(0)
        .dynamic(),
    long("follower.replication.throttled.rate", "", CLUSTER)
        .at_least(0)
        .dynamic(),
    long(
        "replica.alter.log.dirs.io.max.bytes.per.second",
        "",
        CLUSTER,
    )
    .at_least(0)
    .dynamic(),
    int(
        "min.insync.replicas",
        "1",
        "One server is the only replica.",
    )
    .at_least(1)
    .dynamic(),
    flag("unclean.leader.election.enable", "false", CLUSTER).dynamic(),
    flag(
        "log.preallocate",
        "false",
        "Segments grow as they are written.",
    )
    .dynamic(),
    short(
        "offsets.topic.replication.factor",
        "3",
        "One server keeps one replica.",
    ),
    int(
        "offsets.topic.segment.bytes",
        "104857600",
        "The coordinator keeps its log short by itself.",
    ),
    int(
        "offsets.commit.timeout.ms",
        "5000",
        "A commit is answered when it is synced.",
    ),
    int("group.coordinator.threads", "4", THREADS),
    int(
        "group.coordinator.append.linger.ms",
        "-1",
        "What arrives together is written together.",
    ),
    short(
        "share.coordinator.state.topic.replication.factor",
        "3",
        SHARES,
    ),
    short("share.coordinator.state.topic.min.isr", "2", SHARES),
    int("group.streams.session.timeout.ms", "45000", STREAMS),
    int("group.streams.heartbeat.interval.ms", "5000", STREAMS),
    int("group.streams.num.standby.replicas", "0", STREAMS),
    int("group.streams.initial.rebalance.delay.ms", "3000", STREAMS),
    short(
        "transaction.state.log.replication.factor",
        "3",
        TRANSACTIONS,
    ),
    int("transaction.state.log.min.isr", "2", TRANSACTIONS),
    flag("transaction.two.phase.commit.enable", "false", TRANSACTIONS),
];

/// Keys that must not be taken and ignored, each with the reason.
const REFUSED: &[(&str, &str)] = &[(
    "authorizer.class.name",
    "there is no authorizer yet, so every client could do everything; remove the key to accept \
     that",
)];

/// Other keys of Kafka that are taken and ignored.
const IGNORED: &[&str] = &[
    "advertised.host.name",
    "advertised.port",
    "allow.everyone.if.no.acl.found",
    "auto.include.jmx.reporter",
    "connection.failed.authentication.delay.ms",
    "delegation.token.expiry.time.ms",
    "leader.imbalance.per.broker.percentage",
    "log.initial.task.delay.ms",
    "principal.builder.class",
    "producer.id.expiration.check.interval.ms",
    "reserved.broker.max.id",
    "security.providers",
    "server.max.startup.time.ms",
    "super.users",
    "unstable.api.versions.enable",
    "unstable.feature.versions.enable",
];

/// Families of keys of Kafka that are taken and ignored.
const IGNORED_FAMILIES: &[&str] = &[
    "broker.heartbeat.",
    "broker.session.",
    "confluent.",
    "controller.",
    "delegation.token.",
    "group.consumer.",
    "group.coordinator.",
    "group.share.",
    "group.streams.",
    "listener.name.",
    "log.cleaner.",
    "log.local.",
    "metadata.",
    "metric.reporters",
    "metrics.",
    "quota.",
    "quorum.",
    "remote.",
    "replica.",
    "replication.quota.",
    "sasl.",
    "share.coordinator.",
    "ssl.",
    "telemetry.",
    "transaction.",
    "zookeeper.",
];

/// Whether Kafka knows this key and it means nothing here.
pub(super) fn is_ignored(name: &str) -> bool {
    IGNORED.contains(&name)
        || IGNORED_FAMILIES
            .iter()
            .any(|family| name.starts_with(family))
}

/// Why this key is refused, if it is.
pub(super) fn refusal(name: &str) -> Option<&'static str> {
    REFUSED
        .iter()
        .find(|(refused, _)| *refused == name)
        .map(|(_, why)| *why)
}
