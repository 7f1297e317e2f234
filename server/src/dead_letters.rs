//! Dead letters (KIP-1191): records that a queue gives up are copied to the group's dead-letter
//! topic before the queue forgets them.
//!
//! A copy is durable when it is reported, so a crash between copy and report writes it again and
//! loses nothing. What cannot be written is tried again, ever more slowly, until it can, the
//! topic of the records is gone, or the group no longer wants dead letters. Memory is bounded by
//! a few stretches of one read each.

mod letter;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use bytes::Bytes;
use ratel_protocol::ErrorCode;
use ratel_storage::{
    Batch, BatchHeader, Bound, Durability, Engine, Offset, Offsets, Origin, ReadRequest,
    StorageError, records,
};
use tokio::sync::Semaphore;

use crate::catalog::{Catalog, fresh_id};
use crate::clock::Clock;
use crate::coordinator::catalog::Topic;
use crate::coordinator::catalog::group_config::GroupSettings;
use crate::coordinator::catalog::machine::NewTopic;
use crate::coordinator::share::{DeadRange, DeadReason, QueueKey};
use letter::Letters;

/// Why a record was given up, in the words of its header `__dlq.errors.message` (KIP-1191).
#[must_use]
pub fn sentence(reason: DeadReason) -> &'static str {
    match reason {
        DeadReason::Rejected => "Offset rejected by client.",
        DeadReason::DeliveryLimit => "Offset delivery count exceeded the threshold.",
    }
}

pub use letter::{
    DELIVERY_COUNT, GROUP, INCOMPLETE, MESSAGE, OFFSET, ORIGIN_PREFIX, PARTITION, TOPIC,
};

/// Stretches of records that are copied at the same time, over all queues.
const CONCURRENT: usize = 4;

/// Bytes of a source log that are read at once, unless its first batch is longer.
const READ_BYTES: usize = 1 << 20;

/// What the largest batch of a dead-letter topic has over that of the source, in bytes: room for
/// the headers that say where a record comes from.
const HEADERS_BYTES: usize = 64 << 10;

const RETRY_FIRST: Duration = Duration::from_millis(100);
const RETRY_MAX: Duration = Duration::from_secs(30);

/// What was counted since the start.
#[derive(Debug, Default)]
pub struct Counts {
    /// Dead letters written.
    pub written: AtomicU64,
    /// Of these, without the payload that was wanted.
    pub incomplete: AtomicU64,
    /// Attempts that failed.
    pub failures: AtomicU64,
}

/// Writes dead letters. Cheap to clone.
#[derive(Clone)]
pub struct DeadLetters(Arc<Inner>);

struct Inner {
    engine: Arc<dyn Engine>,
    catalog: Catalog,
    clock: Arc<dyn Clock>,
    permits: Semaphore,
    counts: Counts,
}

/// A stretch of a source log: the letters in it, and where the next begins.
struct Stretch {
    letters: Letters,
    next: Offset,
}

impl DeadLetters {
    /// Dead letters between logs of this engine.
    #[must_use]
    pub fn new(engine: Arc<dyn Engine>, catalog: Catalog, clock: Arc<dyn Clock>) -> Self {
        Self(Arc::new(Inner {
            engine,
            catalog,
            clock,
            permits: Semaphore::new(CONCURRENT),
            counts: Counts::default(),
        }))
    }

    /// What was counted since the start.
    #[must_use]
    pub fn counts(&self) -> &Counts {
        &self.0.counts
    }

    /// Copy what a queue gives up. `done` is told the first and last offset of each stretch once
    /// its dead letters are durable, or none are to be written; the future ends with the last.
    pub async fn bury(
        &self,
        key: &QueueKey,
        ranges: &[DeadRange],
        done: impl Fn(Offset, Offset) + Send,
    ) {
        for range in ranges {
            let mut from = range.first;
            let mut delay = RETRY_FIRST;
            while from <= range.last {
                match self.step(key, range, from).await {
                    Ok(next) => {
                        done(from, next.plus(-1));
                        from = next;
                        delay = RETRY_FIRST;
                    }
                    Err(why) => {
                        self.0.counts.failures.fetch_add(1, Ordering::Relaxed);
                        tracing::warn!(
                            group = &*key.group,
                            partition = %key.partition,
                            offset = from.get(),
                            "dead letters cannot be written, tried again in {delay:?}: {why}"
                        );
                        tokio::time::sleep(delay).await;
                        delay = (delay * 2).min(RETRY_MAX);
                    }
                }
            }
        }
    }

    /// Copy one stretch, and give the offset behind it.
    async fn step(
        &self,
        key: &QueueKey,
        range: &DeadRange,
        from: Offset,
    ) -> Result<Offset, String> {
        let permit = self.0.permits.acquire().await;
        let _permit = permit.map_err(|closed| closed.to_string())?;
        let view = &self.0.catalog.view;
        let end = range.last.plus(1);
        let settings = view.group_settings(&key.group);
        // Without a source its queues are gone too, and without a target nothing is wanted.
        let Some(source) = view.topic_by_id(key.partition.topic) else {
            return Ok(end);
        };
        let Some(name) = &settings.dead_letter_topic else {
            return Ok(end);
        };
        if **name == *source.name {
            tracing::warn!(
                group = &*key.group,
                "records of the dead-letter topic {name} are given up without dead letters: a \
                 topic is not its own"
            );
            return Ok(end);
        }
        let target = self.target(name, &source).await?;
        let stretch = self
            .stretch(key, range, from, &source, &target, &settings)
            .await?;
        self.append(&target, key.partition.index, stretch.letters)
            .await?;
        Ok(stretch.next)
    }

    async fn append(&self, target: &Topic, index: i32, letters: Letters) -> Result<(), String> {
        let (count, incomplete) = (letters.count(), letters.incomplete());
        let Some(batch) = letters.build() else {
            return Ok(());
        };
        let place = target.partition(index % target.partitions);
        let log = place.and_then(|place| self.0.engine.partition(place));
        let log = log.ok_or_else(|| format!("{} is not open", target.name))?;
        let now_ms = self.0.clock.now().wall_ms;
        log.append(&batch, Origin::Coordinator, Durability::Synced, now_ms)
            .await
            .map_err(|failed| failed.to_string())?;
        let counts = &self.0.counts;
        counts.written.fetch_add(count, Ordering::Relaxed);
        counts.incomplete.fetch_add(incomplete, Ordering::Relaxed);
        Ok(())
    }

    /// The dead-letter topic, made if it is not there.
    async fn target(&self, name: &Arc<str>, source: &Topic) -> Result<Arc<Topic>, String> {
        let catalog = &self.0.catalog;
        if let Some(topic) = catalog.view.topic(name) {
            return Ok(topic);
        }
        let largest = source.settings.max_message_bytes + HEADERS_BYTES;
        let largest = largest.min(i32::MAX as usize).to_string();
        let new = NewTopic {
            name: name.clone(),
            id: fresh_id(),
            partitions: catalog.brokers().effective().num_partitions,
            configs: BTreeMap::from([("max.message.bytes".into(), largest)]),
            internal: false,
        };
        match catalog.create(vec![new], false).await.pop() {
            Some(Ok(topic)) => Ok(topic),
            Some(Err(refusal)) if refusal.code == ErrorCode::TopicAlreadyExists => {
                let topic = catalog.view.topic(name);
                topic.ok_or_else(|| format!("{name} is being deleted"))
            }
            Some(Err(refusal)) => Err(format!("{name} cannot be made: {refusal:?}")),
            None => Err(format!("{name} cannot be made")),
        }
    }

    /// The letters of as many records as one read of the source and one batch of the target take.
    async fn stretch(
        &self,
        key: &QueueKey,
        range: &DeadRange,
        from: Offset,
        source: &Topic,
        target: &Topic,
        settings: &GroupSettings,
    ) -> Result<Stretch, String> {
        let log = self.0.engine.partition(key.partition);
        let log = log.ok_or_else(|| format!("{} is not open", key.partition))?;
        let now_ms = self.0.clock.now().wall_ms;
        let segment = usize::try_from(target.settings.segment_bytes).unwrap_or(usize::MAX);
        let largest = target.settings.max_message_bytes.min(segment);
        let letters = Letters::new(now_ms, key, &source.name, range, largest);
        let end = range.last.plus(1);
        if !settings.copy_record {
            return Ok(bare(letters, from, end, None));
        }
        let start = log.offsets().start;
        if from < start {
            let gone = "the log's retention had taken the record before it was copied";
            return Ok(bare(letters, from, end.min(start), Some(gone)));
        }
        let read = log.read(ReadRequest {
            from,
            max_bytes: READ_BYTES,
            at_least_one: true,
            bound: Bound::HighWatermark,
        });
        match read.await {
            Ok(read) => {
                let Some(slice) = read.records else {
                    return nothing_there(letters, from, end, read.offsets);
                };
                let bytes = tokio::task::spawn_blocking(move || slice.to_bytes()).await;
                let bytes = bytes.map_err(|failed| failed.to_string())?;
                let bytes = bytes.map_err(|failed| failed.to_string())?;
                copied(letters, from, end, &bytes)
            }
            Err(StorageError::Corrupt { .. } | StorageError::CorruptBatch(_)) => {
                let damaged = "the record lies in a damaged part of its log";
                Ok(bare(letters, from, end, Some(damaged)))
            }
            Err(failed) => Err(failed.to_string()),
        }
    }
}

/// Letters without key and payload, for each offset.
fn bare(mut letters: Letters, from: Offset, end: Offset, why: Option<&str>) -> Stretch {
    let mut next = from;
    while next < end && letters.put_bare(next, why) {
        next = next.plus(1);
    }
    Stretch { letters, next }
}

/// A read that gave nothing: the log ends here, and what was leased behind its end is no record.
fn nothing_there(
    letters: Letters,
    from: Offset,
    end: Offset,
    offsets: Offsets,
) -> Result<Stretch, String> {
    if from < offsets.high_watermark {
        return Err(format!("nothing can be read at offset {}", from.get()));
    }
    Ok(Stretch { letters, next: end })
}

/// Letters of the records that lie in these batches, from an offset on and below another.
fn copied(
    mut letters: Letters,
    from: Offset,
    end: Offset,
    bytes: &Bytes,
) -> Result<Stretch, String> {
    let mut next = from;
    let mut rest = bytes.clone();
    while !rest.is_empty() && next < end {
        let header = BatchHeader::decode(&rest).map_err(|failed| failed.to_string())?;
        let whole = rest.split_to(header.bytes.min(rest.len()));
        let behind = Offset::new(header.base_offset).plus(i64::from(header.last_offset_delta) + 1);
        if behind <= next {
            continue;
        }
        if !header.is_control() {
            let unreadable = "the record lies in a batch that cannot be unpacked";
            let unpacked = Batch::parse(whole, usize::MAX).and_then(|batch| records(&batch));
            let Ok(unpacked) = unpacked else {
                return Ok(bare(letters, next, end.min(behind), Some(unreadable)));
            };
            for record in unpacked {
                // What lies behind it in the batch cannot be found, and is given up all the same.
                let Ok(record) = record else {
                    return Ok(bare(letters, next, end.min(behind), Some(unreadable)));
                };
                if record.offset < next || record.offset >= end {
                    continue;
                }
                if !letters.put(&record) {
                    return Ok(Stretch {
                        letters,
                        next: record.offset,
                    });
                }
                next = record.offset.plus(1);
            }
        }
        next = behind.min(end);
    }
    if next == from {
        return Err(format!("nothing can be read at offset {}", from.get()));
    }
    Ok(Stretch { letters, next })
}

#[cfg(test)]
pub(crate) mod testing;
#[cfg(test)]
mod tests;
