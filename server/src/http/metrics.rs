//! The page `/metrics`: the names that dashboards for Kafka know, and this server's own.
//!
//! By default a series is for a topic; with `?detail=partition` the families of partitions have
//! one for each partition, with the label that kafka_exporter gives them. Sums over a topic are
//! the same either way.

use std::path::Path;
use std::sync::Arc;

use ratel_protocol::{ApiKey, ErrorCode};
use ratel_storage::{Offsets, Partition};

use super::exposition::{Page, Type};
use super::{Site, cleaner, lag, queues, transactions};
use crate::api::ROUTES;
use crate::broker::Broker;
use crate::coordinator::catalog::Topic;
use crate::metrics::Rejection;

const MICROSECONDS: f64 = 1e6;

/// The whole page.
pub(super) async fn page(site: &Site, by_partition: bool) -> String {
    let mut page = Page::default();
    server(&mut page, site);
    if let Some(broker) = site.broker.get() {
        requests(&mut page, broker);
        connections(&mut page, broker);
        log(&mut page, broker);
        cleaner::cleaner(&mut page, broker);
        topics(&mut page, broker, by_partition);
        transactions::transactions(&mut page, broker);
        lag::groups(&mut page, broker, by_partition).await;
        queues::queues(&mut page, broker, by_partition).await;
    }
    page.into_text()
}

fn server(page: &mut Page, site: &Site) {
    let uptime_us = site.clock.monotonic_us().saturating_sub(site.began_us);
    page.single(
        "redpanda_application_uptime_seconds_total",
        Type::Gauge,
        "Seconds since the server began to start.",
        uptime_us / 1_000_000,
    );
    page.single(
        "kafka_brokers",
        Type::Gauge,
        "Servers of the cluster.",
        u8::from(site.broker.get().is_some()),
    );
    if let Ok(free) = site.disk.free_bytes(Path::new("")) {
        page.single(
            "ratel_disk_free_bytes",
            Type::Gauge,
            "Bytes that can still be written to the data directory's disk.",
            free,
        );
        page.single(
            "redpanda_storage_disk_free_space_alert",
            Type::Gauge,
            "0 enough space, 1 under 5 GiB, 2 under 1 GiB.",
            u8::from(free < 5 << 30) + u8::from(free < 1 << 30),
        );
    }
}

fn requests(page: &mut Page, broker: &Broker) {
    let metrics = &broker.metrics;
    let used = || {
        ROUTES.iter().filter_map(|route| {
            let times = metrics.request_times(route.key);
            (times.count() > 0).then_some((route.key, times))
        })
    };
    let help = "From a request read to its answer ready, in seconds.";
    let mut family = page.histograms("ratel_request_seconds", help);
    for (key, times) in used() {
        family.histogram(&[("api", &format!("{key:?}"))], times, MICROSECONDS);
    }
    let mut family = page.histograms("redpanda_kafka_request_latency_seconds", help);
    for (key, times) in used() {
        let name = match key {
            ApiKey::Produce => "produce",
            ApiKey::Fetch => "consume",
            _ => continue,
        };
        family.histogram(&[("redpanda_request", name)], times, MICROSECONDS);
    }
    let mut errors = metrics.request_errors();
    errors.sort_unstable();
    let mut family = page.family(
        "ratel_request_errors_total",
        Type::Counter,
        "Answers that carried an error.",
    );
    for ((key, code), count) in errors {
        let api = ApiKey::try_from(key).map_or_else(|()| key.to_string(), |key| format!("{key:?}"));
        let code = ErrorCode::try_from_code(code)
            .map_or_else(|| code.to_string(), |error| format!("{error:?}"));
        family.sample(&[("api", &api), ("code", &code)], count);
    }
}

fn connections(page: &mut Page, broker: &Broker) {
    let mut connections = broker.metrics.connections();
    connections.sort();
    let mut family = page.family("ratel_connections", Type::Gauge, "Open connections.");
    for (listener, count) in &connections {
        family.sample(&[("listener", listener)], count);
    }
    let total: i64 = connections.iter().map(|(_, count)| count).sum();
    page.family(
        "redpanda_rpc_active_connections",
        Type::Gauge,
        "Open connections.",
    )
    .sample(&[("redpanda_server", "kafka")], total);
    let mut family = page.family(
        "ratel_connections_rejected_total",
        Type::Counter,
        "Connections refused, or closed for what their clients did.",
    );
    for reason in Rejection::ALL {
        let count = broker.metrics.rejections(reason);
        if count > 0 {
            family.sample(&[("reason", reason.label())], count);
        }
    }
}

fn log(page: &mut Page, broker: &Broker) {
    let metrics = &broker.metrics;
    if metrics.sync_times().count() > 0 {
        page.histograms(
            "ratel_fsync_seconds",
            "Time of a round of syncs, in seconds.",
        )
        .histogram(&[], metrics.sync_times(), MICROSECONDS);
        let help = "Records made durable by one round of syncs.";
        page.histograms("ratel_fsync_batch_records", help)
            .histogram(&[], metrics.sync_records(), 1.0);
    }
    #[expect(
        clippy::cast_precision_loss,
        reason = "the format's numbers are floats"
    )]
    let recovery = metrics.recovery_us() as f64 / MICROSECONDS;
    page.single(
        "ratel_recovery_seconds",
        Type::Gauge,
        "How long opening the logs took at the start, in seconds.",
        recovery,
    );
}

/// A partition as the page shows it.
struct Shown {
    topic: Arc<Topic>,
    index: String,
    partition: Option<Arc<dyn Partition>>,
    offsets: Offsets,
}

fn topics(page: &mut Page, broker: &Broker, by_partition: bool) {
    let topics = broker.catalog.view.topics();
    broker
        .metrics
        .retain_topics(|id| broker.catalog.view.topic_by_id(id).is_some());
    let mut family = page.family(
        "kafka_topic_partitions",
        Type::Gauge,
        "Partitions of a topic.",
    );
    for topic in &topics {
        family.sample(&[("topic", &topic.name)], topic.partitions);
    }
    traffic(page, broker, &topics);
    let shown: Vec<_> = topics
        .iter()
        .flat_map(|topic| (0..topic.partitions).map(move |index| (topic, index)))
        .map(|(topic, index)| {
            let partition = topic
                .partition(index)
                .and_then(|id| broker.engine.partition(id));
            let offsets = partition.as_ref().map(|partition| partition.offsets());
            Shown {
                topic: topic.clone(),
                index: index.to_string(),
                partition,
                offsets: offsets.unwrap_or_default(),
            }
        })
        .collect();
    offsets(page, &shown, by_partition);
    damage(page, broker, &shown);
}

fn traffic(page: &mut Page, broker: &Broker, topics: &[Arc<Topic>]) {
    type Count = fn(&crate::metrics::TopicMetrics) -> u64;
    let counters: [(&str, &str, Count); 3] = [
        (
            "ratel_bytes_in_total",
            "Bytes of batches appended.",
            |topic| topic.bytes_in(),
        ),
        (
            "ratel_bytes_out_total",
            "Bytes of batches fetched.",
            |topic| topic.bytes_out(),
        ),
        ("ratel_records_in_total", "Records appended.", |topic| {
            topic.records_in()
        }),
    ];
    for (name, help, count) in counters {
        let mut family = page.family(name, Type::Counter, help);
        for topic in topics {
            let count = count(&broker.metrics.topic(topic.id));
            if count > 0 {
                family.sample(&[("topic", &topic.name)], count);
            }
        }
    }
}

fn offsets(page: &mut Page, shown: &[Shown], by_partition: bool) {
    type OneOffset = fn(&Offsets) -> i64;
    let families: [(&str, &str, OneOffset); 3] = [
        (
            "kafka_topic_partition_current_offset",
            "One past the last record that readers see.",
            |offsets| offsets.high_watermark.get(),
        ),
        (
            "kafka_topic_partition_oldest_offset",
            "The first record that is still there.",
            |offsets| offsets.start.get(),
        ),
        (
            "ratel_topic_partition_unstable_records",
            "Records that readers see but of which it is not decided whether they are committed.",
            |offsets| offsets.high_watermark.get() - offsets.stable.get(),
        ),
    ];
    for (name, help, offset) in families {
        let mut family = page.family(name, Type::Gauge, help);
        for topic in shown.chunk_by(|a, b| a.topic.id == b.topic.id) {
            let name = &*topic[0].topic.name;
            if by_partition {
                for shown in topic {
                    let labels = [("partition", &*shown.index), ("topic", name)];
                    family.sample(&labels, offset(&shown.offsets));
                }
            } else {
                let sum: i64 = topic.iter().map(|shown| offset(&shown.offsets)).sum();
                family.sample(&[("topic", name)], sum);
            }
        }
    }
    if by_partition {
        let mut family = page.family(
            "redpanda_kafka_max_offset",
            Type::Gauge,
            "One past the last record that readers see.",
        );
        for shown in shown {
            let labels = [
                ("redpanda_namespace", "kafka"),
                ("redpanda_partition", &*shown.index),
                ("redpanda_topic", &*shown.topic.name),
            ];
            family.sample(&labels, shown.offsets.high_watermark.get());
        }
    }
    let mut family = page.family(
        "ratel_log_bytes",
        Type::Gauge,
        "Bytes of a topic's segments.",
    );
    for topic in shown.chunk_by(|a, b| a.topic.id == b.topic.id) {
        let partitions = topic.iter().filter_map(|shown| shown.partition.as_ref());
        let bytes: u64 = partitions.map(|partition| partition.size()).sum();
        family.sample(&[("topic", &topic[0].topic.name)], bytes);
    }
}

fn damage(page: &mut Page, broker: &Broker, shown: &[Shown]) {
    let damaged = shown
        .iter()
        .filter_map(|shown| shown.partition.as_ref())
        .filter(|partition| partition.damage().is_some())
        .count();
    let mut family = page.family(
        "ratel_corruption_total",
        Type::Counter,
        "Damage found since the start: logs whose torn tail was cut, partitions made read-only.",
    );
    family.sample(&[("kind", "tail_cut")], broker.engine.cuts());
    family.sample(&[("kind", "partition_read_only")], damaged);
    let unavailable = shown.iter().filter(|shown| shown.partition.is_none());
    page.single(
        "redpanda_cluster_unavailable_partitions",
        Type::Gauge,
        "Partitions that no client can read or write.",
        unavailable.count() + damaged,
    );
}
