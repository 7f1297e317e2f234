//! How queues stand, put together from where it is known: the queues' own shards, the logs, the
//! groups and their configuration.

use std::collections::BTreeMap;
use std::sync::Arc;

use ratel_protocol::ErrorCode;
use ratel_storage::{Offset, PartitionId};

use crate::batch_time::batch_time;
use crate::broker::Broker;
use crate::coordinator::group::{Event, Reply};
use crate::coordinator::share::{Depth, QueueKey};

/// How one queue stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct QueueStats {
    /// The queue.
    pub key: QueueKey,
    /// Its topic's name.
    pub topic: Arc<str>,
    /// What its shard knows.
    pub depth: Depth,
    /// One past the last offset that may be leased.
    pub end: Offset,
    /// Records that can be leased now, those included that were never leased.
    pub ready: u64,
    /// How long ago the batch with the oldest ready record was written, ms. None if nothing is
    /// ready, or it cannot be read.
    pub oldest_ready_age_ms: Option<i64>,
    /// Members to whom the partition is assigned.
    pub consumers: usize,
    /// Whether nothing is leased for now.
    pub paused: bool,
}

/// How the queues of a group stand, or all of them, in the order of group, topic and partition.
/// A queue whose topic is gone, or whose log is not open, is left out.
///
/// # Errors
/// COORDINATOR_NOT_AVAILABLE if one of the shards cannot serve.
pub async fn gather(
    broker: &Broker,
    group: Option<Arc<str>>,
) -> Result<Vec<QueueStats>, ErrorCode> {
    let mut all = Vec::new();
    let mut consumers: BTreeMap<Arc<str>, Consumers> = BTreeMap::new();
    for (key, depth) in broker.shares.survey(group).await? {
        let topic = broker.catalog.view.topic_by_id(key.partition.topic);
        let log = broker.engine.partition(key.partition);
        let (Some(topic), Some(log)) = (topic, log) else {
            continue;
        };
        if !consumers.contains_key(&key.group) {
            let found = self::consumers(broker, &key.group).await?;
            consumers.insert(key.group.clone(), found);
        }
        let consumers = consumers.get(&key.group);
        let consumers = consumers.and_then(|counts| counts.get(&key.partition));
        let end = log.offsets().high_watermark;
        let ready = ready(&depth, end);
        let now_ms = broker.clock.now().wall_ms;
        let written_ms = match ready {
            0 => None,
            _ => batch_time(&*log, depth.oldest_ready).await,
        };
        all.push(QueueStats {
            topic: topic.name.clone(),
            end,
            ready,
            oldest_ready_age_ms: written_ms.map(|ms| now_ms.saturating_sub(ms).max(0)),
            consumers: consumers.copied().unwrap_or(0),
            paused: broker.shares.config(&key.group).paused,
            key,
            depth,
        });
    }
    all.sort_by(|a, b| place(a).cmp(&place(b)));
    Ok(all)
}

fn place(queue: &QueueStats) -> (&str, &str, i32) {
    (&queue.key.group, &queue.topic, queue.key.partition.index)
}

/// How many records of a queue can be leased now, if `end` is one past the last that may be: all
/// from `next` on are ready, as those below it that are available.
pub fn ready(depth: &Depth, end: Offset) -> u64 {
    let fresh = end.get().saturating_sub(depth.next.get());
    depth.ready + u64::try_from(fresh).unwrap_or(0)
}

/// How many members each partition has.
type Consumers = BTreeMap<PartitionId, usize>;

/// Who works on the queues of a group; nobody if the group is not there.
async fn consumers(broker: &Broker, group: &Arc<str>) -> Result<Consumers, ErrorCode> {
    let mut counts = Consumers::new();
    let event = Event::DescribeShare(group.clone());
    let described = match broker.groups.send(group, event).await {
        Ok(Reply::ShareDescribed(described)) => described,
        Ok(_) | Err(ErrorCode::GroupIdNotFound) => return Ok(counts),
        Err(error) => return Err(error),
    };
    for member in &described.members {
        for (topic, partitions) in member.assigned.iter() {
            for index in partitions {
                let partition = PartitionId {
                    topic: *topic,
                    index: *index,
                };
                *counts.entry(partition).or_default() += 1;
            }
        }
    }
    Ok(counts)
}

#[cfg(test)]
mod tests {
    use super::{Depth, Offset, ready};

    #[test]
    fn what_was_never_leased_is_ready_too() {
        let depth = Depth {
            next: Offset::new(10),
            ready: 3,
            ..Depth::default()
        };
        assert_eq!(ready(&depth, Offset::new(10)), 3);
        assert_eq!(ready(&depth, Offset::new(17)), 10);
        // A log that was cut may end below what was leased.
        assert_eq!(ready(&depth, Offset::new(9)), 3);
    }
}
