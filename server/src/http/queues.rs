//! How queues stand: ready, leased, given up, by group and topic.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use super::exposition::{GROUP_BYTES_MAX, Page, Type};
use crate::batch_time::batch_time;
use crate::broker::Broker;
use crate::queue_stats::ready;

/// Batches looked at for one page, to know how old what waits is.
const LOOKS_MAX: usize = 2_000;
/// Queues, or groups on topics, that have series of their own. Any client can make more groups:
/// the rest, and those with names too long, are put together in series without labels.
const PLACES_MAX: usize = 10_000;

/// One queue, or all of a group on a topic.
#[derive(Default)]
struct Sums {
    ready: u64,
    in_flight: u64,
    scheduled: u64,
    dead: u64,
    redelivered: u64,
    lock_expired: u64,
    lost: u64,
    oldest_ms: Option<i64>,
}

impl Sums {
    fn add(&mut self, other: &Self) {
        self.ready += other.ready;
        self.in_flight += other.in_flight;
        self.scheduled += other.scheduled;
        self.dead += other.dead;
        self.redelivered += other.redelivered;
        self.lock_expired += other.lock_expired;
        self.lost += other.lost;
        self.oldest_ms = self.oldest_ms.max(other.oldest_ms);
    }
}

/// A group, a topic and, with the detail of partitions, a partition; none for all the rest.
type Place = Option<(Arc<str>, Arc<str>, Option<i32>)>;

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
        let group = Some(key.group).filter(|group| group.len() <= GROUP_BYTES_MAX);
        let place = group.map(|group| (group, topic.name.clone(), index));
        all.entry(place).or_default().add(&Sums {
            ready,
            in_flight: depth.in_flight,
            scheduled: depth.delayed,
            dead: depth.dead,
            redelivered: depth.redelivered,
            lock_expired: depth.lock_expired,
            lost: depth.lost,
            oldest_ms: age_ms,
        });
    }
    fold_rest(&mut all, PLACES_MAX);
    families(page, &all);
    dead_letters(page, broker);
}

/// Let no more than so many places stand for themselves: the last in order do not.
fn fold_rest(all: &mut BTreeMap<Place, Sums>, most: usize) {
    let mut rest = all.remove(&None);
    while all.len() > most {
        if let Some((_, sums)) = all.pop_last() {
            rest.get_or_insert_with(Sums::default).add(&sums);
        }
    }
    if let Some(rest) = rest {
        all.insert(None, rest);
    }
}

fn families(page: &mut Page, all: &BTreeMap<Place, Sums>) {
    type Value = fn(&Sums) -> u64;
    let families: [(&str, Type, &str, Value); 7] = [
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
            "ratel_queue_scheduled",
            Type::Gauge,
            "Records that are held back for a while.",
            |sums| sums.scheduled,
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
        (
            "ratel_queue_lost_total",
            Type::Counter,
            "Records that the log dropped before they were done.",
            |sums| sums.lost,
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
    let Some((group, topic, index)) = place else {
        return sample(&[]);
    };
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_beyond_the_limit_is_told_together() {
        let mut all = BTreeMap::new();
        for number in 0..5_u64 {
            let place = Some((format!("g{number}").into(), "t".into(), None));
            let sums = Sums {
                ready: number,
                oldest_ms: (number == 3).then_some(7000),
                ..Sums::default()
            };
            all.insert(place, sums);
        }
        fold_rest(&mut all, 5);
        assert_eq!(all.len(), 5);
        fold_rest(&mut all, 3);
        let mut page = Page::default();
        families(&mut page, &all);
        let page = page.into_text();
        let lines = page.lines();
        let ready: Vec<_> = lines
            .filter(|line| line.starts_with("ratel_queue_ready"))
            .collect();
        assert_eq!(
            ready,
            [
                "ratel_queue_ready 7",
                "ratel_queue_ready{group=\"g0\",topic=\"t\"} 0",
                "ratel_queue_ready{group=\"g1\",topic=\"t\"} 1",
                "ratel_queue_ready{group=\"g2\",topic=\"t\"} 2",
            ]
        );
        assert!(
            page.contains("\nratel_queue_oldest_ready_age_seconds 7\n"),
            "{page}"
        );
    }
}
