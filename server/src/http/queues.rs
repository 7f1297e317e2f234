//! How queues stand: ready, leased, given up, by group and topic.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use super::exposition::{Page, Type};
use crate::batch_time::batch_time;
use crate::broker::Broker;
use crate::queue_stats::ready;

/// Batches looked at for one page, to know how old what waits is.
const LOOKS_MAX: usize = 2_000;

/// One queue, or all of a group on a topic.
#[derive(Default)]
struct Sums {
    ready: u64,
    in_flight: u64,
    dead: u64,
    redelivered: u64,
    lock_expired: u64,
    oldest_ms: Option<i64>,
}

/// A group, a topic and, with the detail of partitions, a partition.
type Place = (Arc<str>, Arc<str>, Option<i32>);

/// Put in all queues that there are.
pub(super) async fn queues(page: &mut Page, broker: &Broker, by_partition: bool) {
    // While a shard cannot serve, how its queues stand is not known, and health says so.
    let queues = broker.shares.survey(None).await.unwrap_or_default();
    let mut all: BTreeMap<Place, Sums> = BTreeMap::new();
    let mut looks = 0;
    for (key, depth) in queues {
        let topic = broker.catalog.view.topic_by_id(key.partition.topic);
        let (Some(topic), Some(log)) = (topic, broker.engine.partition(key.partition)) else {
            continue;
        };
        let end = log.offsets().high_watermark;
        let ready = ready(&depth, end);
        let age_ms = if ready == 0 || looks >= LOOKS_MAX {
            None
        } else {
            looks += 1;
            let written = batch_time(&*log, depth.oldest_ready).await;
            let now_ms = broker.clock.now().wall_ms;
            written.map(|written_ms| now_ms.saturating_sub(written_ms).max(0))
        };
        let index = by_partition.then_some(key.partition.index);
        let place = (key.group, topic.name.clone(), index);
        let sums = all.entry(place).or_default();
        sums.ready += ready;
        sums.in_flight += depth.in_flight;
        sums.dead += depth.dead;
        sums.redelivered += depth.redelivered;
        sums.lock_expired += depth.lock_expired;
        sums.oldest_ms = sums.oldest_ms.max(age_ms);
    }
    families(page, &all);
    dead_letters(page, broker);
}

fn families(page: &mut Page, all: &BTreeMap<Place, Sums>) {
    type Value = fn(&Sums) -> u64;
    let families: [(&str, Type, &str, Value); 5] = [
        (
            "ratel_queue_ready",
            Type::Gauge,
            "Records that can be leased now.",
            |sums| sums.ready,
        ),
        (
            "ratel_queue_in_flight",
            Type::Gauge,
            "Records that are leased.",
            |sums| sums.in_flight,
        ),
        (
            "ratel_queue_dead",
            Type::Gauge,
            "Records given up since the server's start.",
            |sums| sums.dead,
        ),
        (
            "ratel_queue_redelivered_total",
            Type::Counter,
            "Deliveries but the first of each record.",
            |sums| sums.redelivered,
        ),
        (
            "ratel_queue_lock_expired_total",
            Type::Counter,
            "Leases that ran out.",
            |sums| sums.lock_expired,
        ),
    ];
    for (name, kind, help, value) in families {
        let mut family = page.family(name, kind, help);
        for (place, sums) in all {
            labelled(place, |labels| family.sample(labels, value(sums)));
        }
    }
    let mut family = page.family(
        "ratel_queue_oldest_ready_age_seconds",
        Type::Gauge,
        "Age of the batch of the oldest record that can be leased, in seconds; 0 if there is none.",
    );
    for (place, sums) in all {
        let known = sums.oldest_ms.or((sums.ready == 0).then_some(0));
        if let Some(age_ms) = known {
            #[expect(
                clippy::cast_precision_loss,
                reason = "the format's numbers are floats"
            )]
            let seconds = age_ms as f64 / 1000.0;
            labelled(place, |labels| family.sample(labels, seconds));
        }
    }
}

fn labelled(place: &Place, sample: impl FnOnce(&[(&'static str, &str)])) {
    let (group, topic, index) = place;
    let index = index.map(|index| index.to_string());
    let mut labels = vec![("group", &**group)];
    if let Some(index) = &index {
        labels.push(("partition", index));
    }
    labels.push(("topic", topic));
    sample(&labels);
}

fn dead_letters(page: &mut Page, broker: &Broker) {
    let counts = broker.shares.dead_letters().counts();
    let families = [
        (
            "ratel_dead_letters_total",
            "Dead letters written.",
            &counts.written,
        ),
        (
            "ratel_dead_letters_incomplete_total",
            "Dead letters written without the payload that was wanted.",
            &counts.incomplete,
        ),
        (
            "ratel_dead_letter_failures_total",
            "Attempts to write dead letters that failed; they are made again.",
            &counts.failures,
        ),
    ];
    for (name, help, count) in families {
        let count = count.load(Ordering::Relaxed);
        if count > 0 {
            page.single(name, Type::Counter, help, count);
        }
    }
}
