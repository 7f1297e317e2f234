//! How far groups are behind: what an exporter beside the server would have to ask for.

use std::collections::BTreeMap;
use std::sync::Arc;

use ratel_storage::{Offset, Partition, PartitionId, TopicId};

use super::exposition::{GROUP_BYTES_MAX, Page, Type};
use crate::batch_time::batch_time;
use crate::broker::Broker;
use crate::coordinator::group::Survey;

/// Batches looked at for one page, to know how old what waits is. Lag in records has no limit.
const LOOKS_MAX: usize = 2_000;
/// Groups that have series. Any client can make more.
const GROUPS_MAX: usize = 10_000;

/// One group on one partition.
struct Place {
    group: Arc<str>,
    topic: Arc<str>,
    index: i32,
    committed: i64,
    lag: i64,
    lag_ms: Option<i64>,
}

/// Put in the groups that there are: those with reasonable names, and the first of them.
pub(super) async fn groups(page: &mut Page, broker: &Broker, by_partition: bool) {
    let surveys = first(broker.groups.survey().await, GROUPS_MAX);
    let places = places(broker, &surveys).await;
    let mut family = page.family(
        "kafka_consumergroup_members",
        Type::Gauge,
        "Members of a group.",
    );
    for survey in &surveys {
        family.sample(&[("consumergroup", &survey.group)], survey.members);
    }
    type Value = fn(&Place) -> i64;
    let families: [(&str, &str, Value); 2] = [
        (
            "kafka_consumergroup_current_offset",
            "The offset that a group has committed.",
            |place| place.committed,
        ),
        (
            "kafka_consumergroup_lag",
            "Records that a group has not committed yet.",
            |place| place.lag,
        ),
    ];
    for (name, help, value) in families {
        let mut family = page.family(name, Type::Gauge, help);
        for (place, value) in folded(&places, by_partition, value, |a, b| a + b) {
            let index = place.index.to_string();
            family.sample(&place.labels(&index, by_partition, "consumergroup"), value);
        }
    }
    seconds(page, &places, by_partition);
    if by_partition {
        let mut family = page.family(
            "redpanda_kafka_consumer_group_committed_offset",
            Type::Gauge,
            "The offset that a group has committed.",
        );
        for place in &places {
            let labels = [
                ("redpanda_group", &*place.group),
                ("redpanda_partition", &place.index.to_string()),
                ("redpanda_topic", &*place.topic),
            ];
            family.sample(&labels, place.committed);
        }
    }
}

/// Those with reasonable names, and of them so many.
fn first(mut surveys: Vec<Survey>, most: usize) -> Vec<Survey> {
    surveys.retain(|survey| survey.group.len() <= GROUP_BYTES_MAX);
    if surveys.len() > most {
        // The same ones each time.
        surveys.sort_by(|a, b| a.group.cmp(&b.group));
        surveys.truncate(most);
    }
    surveys
}

#[expect(
    clippy::cast_precision_loss,
    reason = "the format's numbers are floats"
)]
fn seconds(page: &mut Page, places: &[Place], by_partition: bool) {
    let known: Vec<_> = places
        .iter()
        .filter(|place| place.lag_ms.is_some())
        .collect();
    let mut family = page.family(
        "kafka_consumergroup_group_lag_seconds",
        Type::Gauge,
        "Age of the oldest batch that a group has not committed, in seconds.",
    );
    let value = |place: &Place| place.lag_ms.unwrap_or(0);
    for (place, lag_ms) in folded(known, by_partition, value, i64::max) {
        let index = place.index.to_string();
        let labels = place.labels(&index, by_partition, "group");
        family.sample(&labels, lag_ms as f64 / 1000.0);
    }
}

impl Place {
    fn labels<'a>(
        &'a self,
        index: &'a str,
        by_partition: bool,
        group: &'static str,
    ) -> Vec<(&'static str, &'a str)> {
        let mut labels = vec![(group, &*self.group)];
        if by_partition {
            labels.push(("partition", index));
        }
        labels.push(("topic", &*self.topic));
        labels
    }
}

/// The places with their values: each, or one for each group and topic with the values of its
/// partitions folded into one.
fn folded<'a>(
    places: impl IntoIterator<Item = &'a Place>,
    by_partition: bool,
    value: impl Fn(&Place) -> i64,
    fold: impl Fn(i64, i64) -> i64,
) -> Vec<(&'a Place, i64)> {
    let mut all: BTreeMap<_, (&Place, i64)> = BTreeMap::new();
    for place in places {
        let index = by_partition.then_some(place.index);
        all.entry((&place.group, &place.topic, index))
            .and_modify(|(_, sum)| *sum = fold(*sum, value(place)))
            .or_insert_with(|| (place, value(place)));
    }
    all.into_values().collect()
}

async fn places(broker: &Broker, surveys: &[Survey]) -> Vec<Place> {
    let now_ms = broker.clock.now().wall_ms;
    let mut places = Vec::new();
    let mut looks = 0;
    for survey in surveys {
        for (topic, id, index, committed) in &survey.offsets {
            let Some(partition) = partition(broker, *id, *index) else {
                continue;
            };
            let offsets = partition.offsets();
            let lag = offsets
                .high_watermark
                .get()
                .saturating_sub(*committed)
                .max(0);
            let lag_ms = if lag == 0 {
                Some(0)
            } else if looks < LOOKS_MAX {
                looks += 1;
                let written = batch_time(&*partition, Offset::new(*committed)).await;
                written.map(|written_ms| now_ms.saturating_sub(written_ms).max(0))
            } else {
                None
            };
            places.push(Place {
                group: survey.group.clone(),
                topic: topic.clone(),
                index: *index,
                committed: *committed,
                lag,
                lag_ms,
            });
        }
    }
    places
}

fn partition(broker: &Broker, topic: TopicId, index: i32) -> Option<Arc<dyn Partition>> {
    broker.engine.partition(PartitionId { topic, index })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn groups_have_series_as_long_as_they_and_their_names_are_few() {
        let surveys = |names: &[&str]| {
            let surveys = names.iter().map(|name| Survey {
                group: (*name).into(),
                kind: "classic",
                state: "Empty",
                members: 0,
                offsets: Vec::new(),
            });
            surveys.collect::<Vec<_>>()
        };
        let long = "g".repeat(GROUP_BYTES_MAX + 1);
        let shown = first(surveys(&["c", &long, "a", &long[1..], "b"]), 3);
        let names: Vec<_> = shown.iter().map(|survey| &*survey.group).collect();
        assert_eq!(names, ["a", "b", "c"]);
        assert_eq!(first(surveys(&[&long[1..]]), 3).len(), 1);
    }
}
