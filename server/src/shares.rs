//! The handle of all queues: one shard for each partition of `__share_group_state`, found by
//! Kafka's own rule.
//!
//! The topic is made, and its shards begin, with the first queue: a server without share groups
//! has neither. Where no shard is at work there is no queue either.

mod waiters;

use std::future::Future;
use std::sync::Arc;

use ratel_protocol::ErrorCode;
use ratel_storage::{Bound, Engine, Offset, PartitionId, TimeQuery, TopicId};
use tokio::sync::OnceCell;
use tokio::task::JoinSet;

use crate::catalog::{Catalog, Change};
use crate::clock::Clock;
use crate::coordinator::LogEnds;
use crate::coordinator::catalog::group_config::OffsetReset;
use crate::coordinator::catalog::{SHARE_STATE_TOPIC, Topic, View};
use crate::coordinator::group::QueueTopics;
use crate::coordinator::router::{java_hash, java_hash_on, shard_of_hash};
use crate::coordinator::runtime::{CHECKPOINT_BYTES_MIN, Setup, Shard, Shell, complaints};
use crate::coordinator::share::{Action, Depth, Event, QueueConfig, QueueKey, Reply, ShareMachine};
use crate::dead_letters::DeadLetters;
use crate::error;
use crate::groups::{Outcome, Queues};

pub use waiters::{Waiter, Waiters};

/// All queues. Cheap to clone.
#[derive(Clone)]
pub struct Shares(Arc<Inner>);

struct Inner {
    engine: Arc<dyn Engine>,
    catalog: Catalog,
    clock: Arc<dyn Clock>,
    shards: OnceCell<Vec<Shard<ShareMachine>>>,
    waiters: Arc<Waiters>,
    dead_letters: DeadLetters,
}

impl Shares {
    /// Take up the queues where the logs of `__share_group_state` say they stand, if there are
    /// such logs.
    ///
    /// # Errors
    /// A sentence: one of the logs is not open.
    pub async fn start(
        engine: Arc<dyn Engine>,
        catalog: &Catalog,
        clock: Arc<dyn Clock>,
    ) -> Result<Self, String> {
        let shares = Self(Arc::new(Inner {
            dead_letters: DeadLetters::new(engine.clone(), catalog.clone(), clock.clone()),
            engine,
            catalog: catalog.clone(),
            clock,
            shards: OnceCell::new(),
            waiters: Arc::default(),
        }));
        if let Some(topic) = catalog.view.topic(SHARE_STATE_TOPIC) {
            let shards = shares.open(&topic).await?;
            // Nobody else has the handle yet.
            let _ = shares.0.shards.set(shards);
        }
        let deleted = Arc::downgrade(&shares.0);
        catalog.listen(move |change| {
            if let (Change::Deleted(topic), Some(inner)) = (change, deleted.upgrade()) {
                Self(inner).tell_all(&Event::TopicDeleted(topic.id));
            }
        });
        Ok(shares)
    }

    /// Queues over a catalog that shows what a test puts into it. The state topic must be there
    /// for queues to be made.
    #[cfg(test)]
    pub(crate) fn idle(engine: Arc<dyn Engine>, catalog: &Catalog, clock: Arc<dyn Clock>) -> Self {
        Self(Arc::new(Inner {
            dead_letters: DeadLetters::new(engine.clone(), catalog.clone(), clock.clone()),
            engine,
            catalog: catalog.clone(),
            clock,
            shards: OnceCell::new(),
            waiters: Arc::default(),
        }))
    }

    async fn open(&self, topic: &Topic) -> Result<Vec<Shard<ShareMachine>>, String> {
        let mut shards = Vec::new();
        for index in 0..topic.partitions {
            let id = PartitionId {
                topic: topic.id,
                index,
            };
            let partition = self.0.engine.partition(id);
            let partition =
                partition.ok_or_else(|| format!("{SHARE_STATE_TOPIC}-{index} is not open"))?;
            shards.push(Shard::spawn(Setup {
                name: format!("{SHARE_STATE_TOPIC}-{index}"),
                machine: ShareMachine::new,
                shell: ShareShell {
                    engine: self.0.engine.clone(),
                    view: self.0.catalog.view.clone(),
                    waiters: self.0.waiters.clone(),
                    dead_letters: self.0.dead_letters.clone(),
                },
                partition,
                clock: self.0.clock.clone(),
                checkpoint_bytes_min: CHECKPOINT_BYTES_MIN,
            }));
        }
        for shard in &shards {
            // One that cannot be read goes on trying, and says so ([`Self::complaints`]).
            let _ = shard.loaded().await;
        }
        Ok(shards)
    }

    /// The shards, with their topic if it is not there yet.
    async fn begin(&self) -> Result<&[Shard<ShareMachine>], ErrorCode> {
        let shards = self.0.shards.get_or_try_init(|| async {
            let topic = self.0.catalog.internal_topic(SHARE_STATE_TOPIC).await?;
            let shards = self.open(&topic).await;
            shards.map_err(|why| {
                tracing::error!("queues cannot begin: {why}");
                ErrorCode::CoordinatorNotAvailable
            })
        });
        shards.await.map(Vec::as_slice)
    }

    fn shards(&self) -> &[Shard<ShareMachine>] {
        self.0.shards.get().map_or(&[], Vec::as_slice)
    }

    /// Send an event to a queue's shard. Its order is fixed when this call returns; the future
    /// brings the reply.
    ///
    /// # Errors
    /// The machine's refusal, UNKNOWN_TOPIC_OR_PARTITION if there is no queue at all, or
    /// COORDINATOR_NOT_AVAILABLE while the shard cannot serve.
    pub fn send(
        &self,
        key: &QueueKey,
        event: Event,
    ) -> impl Future<Output = Result<Reply, ErrorCode>> + Send + use<> {
        let sent = shard(self.shards(), key).map(|shard| shard.send(event));
        async move {
            match sent {
                Some(reply) => reply.await,
                None => Err(ErrorCode::UnknownTopicOrPartition),
            }
        }
    }

    /// Send an event that nobody waits for.
    pub fn tell(&self, key: &QueueKey, event: Event) {
        if let Some(shard) = shard(self.shards(), key) {
            shard.tell(event);
        }
    }

    fn tell_all(&self, event: &Event) {
        for shard in self.shards() {
            shard.tell(event.clone());
        }
    }

    /// Where the group's configuration has a queue of this partition begin.
    ///
    /// # Errors
    /// UNKNOWN_TOPIC_OR_PARTITION if the partition is not open, or what kept the log from being
    /// searched by time.
    pub async fn beginning(
        &self,
        group: &str,
        partition: PartitionId,
    ) -> Result<Offset, ErrorCode> {
        // A topic that is being deleted is out of the view before its queues are told.
        let topic = self.0.catalog.view.topic_by_id(partition.topic);
        let log = topic.and_then(|_| self.0.engine.partition(partition));
        let log = log.ok_or(ErrorCode::UnknownTopicOrPartition)?;
        let offsets = log.offsets();
        Ok(
            match self.0.catalog.view.group_settings(group).offset_reset {
                OffsetReset::Latest => offsets.high_watermark,
                OffsetReset::Earliest => offsets.start,
                OffsetReset::ByDuration(ms) => {
                    let since = self.0.clock.now().wall_ms.saturating_sub(ms);
                    let found = log.offset_at(TimeQuery::AtOrAfter(since), Bound::HighWatermark);
                    let found = found.await.map_err(|refused| error::code(&refused))?;
                    found.map_or(offsets.high_watermark, |found| found.offset)
                }
            },
        )
    }

    /// A group begins to read a partition: its queue begins where the group's configuration says,
    /// unless it is there already. Durable when this returns.
    ///
    /// # Errors
    /// Those of [`Self::beginning`], or COORDINATOR_NOT_AVAILABLE.
    pub async fn initialize(
        &self,
        group: &Arc<str>,
        partition: PartitionId,
    ) -> Result<(), ErrorCode> {
        let key = QueueKey {
            group: group.clone(),
            partition,
        };
        let start = self.beginning(group, partition).await?;
        self.make(key.clone(), Event::Initialize { key, start })
            .await
    }

    /// Have a queue begin anew at an offset; makes it if it is not there.
    ///
    /// # Errors
    /// The machine's refusal, or COORDINATOR_NOT_AVAILABLE.
    pub async fn reset(&self, key: QueueKey, start: Offset) -> Result<(), ErrorCode> {
        self.make(key.clone(), Event::Reset { key, start }).await
    }

    async fn make(&self, key: QueueKey, event: Event) -> Result<(), ErrorCode> {
        let shard = shard(self.begin().await?, &key);
        let shard = shard.ok_or(ErrorCode::CoordinatorNotAvailable)?;
        shard.send(event).await.map(drop)
    }

    /// All queues, or those of one group, in the order of their keys within each shard.
    ///
    /// # Errors
    /// COORDINATOR_NOT_AVAILABLE if one of the shards cannot serve.
    pub async fn survey(
        &self,
        group: Option<Arc<str>>,
    ) -> Result<Vec<(QueueKey, Depth)>, ErrorCode> {
        let mut all = Vec::new();
        for reply in self.ask_all(&Event::Survey { group }) {
            if let Reply::Surveyed(queues) = reply.await? {
                all.extend(queues);
            }
        }
        Ok(all)
    }

    /// Forget all queues of a group.
    ///
    /// # Errors
    /// COORDINATOR_NOT_AVAILABLE if one of the shards cannot serve; the others have forgotten
    /// theirs then.
    pub async fn delete_group(&self, group: Arc<str>) -> Result<(), ErrorCode> {
        for reply in self.ask_all(&Event::DeleteGroup { group }) {
            reply.await?;
        }
        Ok(())
    }

    fn ask_all(
        &self,
        event: &Event,
    ) -> Vec<impl Future<Output = Result<Reply, ErrorCode>> + Send + use<>> {
        let shards = self.shards().iter();
        shards.map(|shard| shard.send(event.clone())).collect()
    }

    /// A log's start moved up to here.
    pub fn log_start(&self, partition: PartitionId, start: Offset) {
        self.tell_all(&Event::LogStart { partition, start });
    }

    /// Logs' starts may have moved: queues that begin below them are told.
    pub async fn follow_log_starts(&self) {
        let Ok(queues) = self.survey(None).await else {
            return;
        };
        for (key, depth) in queues {
            let partition = key.partition;
            let start = self.0.engine.partition(partition);
            let start = start.map_or(Offset::ZERO, |log| log.offsets().start);
            if depth.start < start {
                self.tell(&key, Event::LogStart { partition, start });
            }
        }
    }

    /// How a group's queues behave.
    #[must_use]
    pub fn config(&self, group: &str) -> Arc<QueueConfig> {
        self.0.catalog.view.group_settings(group).queue.clone()
    }

    /// Where records go that are given up.
    #[must_use]
    pub fn dead_letters(&self) -> &DeadLetters {
        &self.0.dead_letters
    }

    /// Who waits for records.
    #[must_use]
    pub fn waiters(&self) -> &Arc<Waiters> {
        &self.0.waiters
    }

    /// Why some queues cannot be served now, one sentence for each shard in trouble.
    #[must_use]
    pub fn complaints(&self) -> Vec<String> {
        complaints(SHARE_STATE_TOPIC, self.shards())
    }

    /// Finish what was sent and take no more.
    pub async fn stop(&self) {
        for shard in self.shards() {
            shard.stop().await;
        }
    }
}

impl Queues for Shares {
    fn initialize(&self, group: Arc<str>, topics: QueueTopics) -> Outcome {
        let shares = self.clone();
        Box::pin(async move {
            // All at once, so that one sync of the disk may do for many.
            let mut made = JoinSet::new();
            for (topic, queues) in topics {
                for index in queues.partitions {
                    let (shares, group) = (shares.clone(), group.clone());
                    let partition = PartitionId { topic, index };
                    made.spawn(async move { shares.initialize(&group, partition).await });
                }
            }
            while let Some(outcome) = made.join_next().await {
                outcome.unwrap_or(Err(ErrorCode::UnknownServerError))?;
            }
            Ok(())
        })
    }

    fn delete_group(&self, group: Arc<str>) -> Outcome {
        let shares = self.clone();
        Box::pin(async move { shares.delete_group(group).await })
    }
}

/// The shard of a queue: by the hash of `group:topic id:partition`, the id as Kafka prints it.
fn shard<'a>(shards: &'a [Shard<ShareMachine>], key: &QueueKey) -> Option<&'a Shard<ShareMachine>> {
    let count = i32::try_from(shards.len())
        .ok()
        .filter(|count| *count > 0)?;
    let hash = shard_hash(&key.group, key.partition.topic, key.partition.index);
    shards.get(usize::try_from(shard_of_hash(hash, count)).ok()?)
}

/// The hash of a queue's name. Every event asks for it, so the name is not put together for it.
fn shard_hash(group: &str, topic: TopicId, index: i32) -> i32 {
    let hash = java_hash(group);
    let hash = java_hash_on(hash, [u16::from(b':')].into_iter());
    let hash = java_hash_on(hash, base64_of(topic).map(u16::from));
    let hash = java_hash_on(hash, [u16::from(b':')].into_iter());
    // A partition's index is not negative; its digits from the last to the first.
    let mut digits = [0; 10];
    let (mut rest, mut first) = (index.unsigned_abs(), digits.len());
    while first == digits.len() || rest > 0 {
        first -= 1;
        digits[first] = u16::from(b'0') + (rest % 10) as u16;
        rest /= 10;
    }
    java_hash_on(hash, digits[first..].iter().copied())
}

/// A topic's id as Kafka prints it: 22 characters of base64 for URLs.
fn base64_of(id: TopicId) -> impl Iterator<Item = u8> {
    const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    let bits = id.as_u128();
    // 128 bits and 4 zeros below them, 6 at a time.
    let digit = move |place: u32| {
        let six = match place {
            21 => bits << 4,
            _ => bits >> (122 - 6 * place),
        };
        ALPHABET[(six & 63) as usize]
    };
    (0..22).map(digit)
}

/// What a shard sees of the world, and who hears of its queues.
struct ShareShell {
    engine: Arc<dyn Engine>,
    view: Arc<View>,
    waiters: Arc<Waiters>,
    dead_letters: DeadLetters,
}

impl Shell<ShareMachine> for ShareShell {
    async fn perform(&self, shard: &Shard<ShareMachine>, action: Action) {
        match action {
            Action::Wake(key) => self.waiters.wake(&key),
            Action::DeadLetter { key, ranges } => {
                let (dead_letters, shard) = (self.dead_letters.clone(), shard.clone());
                tokio::spawn(async move {
                    let told = |first, last| {
                        let key = key.clone();
                        let ranges = vec![(first, last)];
                        shard.tell(Event::DeadLettered { key, ranges });
                    };
                    dead_letters.bury(&key, &ranges, told).await;
                });
            }
            Action::GaveUp { key, first } => tracing::warn!(
                group = &*key.group,
                partition = %key.partition,
                "records from offset {first} on were delivered as often as they may be, and there \
                 is no dead-letter topic: they are archived"
            ),
        }
    }

    fn ends(&self, machine: &ShareMachine) -> LogEnds {
        let mut ends = LogEnds::default();
        machine.each_partition(|partition| {
            if self.view.topic_by_id(partition.topic).is_some() {
                // A log that is there but not open has an end nobody knows: nothing is cut.
                let end = self.engine.partition(partition);
                let end = end.map_or(Offset::new(i64::MAX), |log| log.offsets().end);
                ends.ends.insert(partition, end);
            }
        });
        ends
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_queue_is_found_where_kafka_looks_for_it() {
        // From Java: Uuid.fromString("AAAAAAAAAAAAAAAAAAAAAQ") is 0...01.
        let (one, all) = (TopicId::from_u128(1), TopicId::from_u128(u128::MAX));
        let printed = |id| base64_of(id).map(char::from).collect::<String>();
        assert_eq!(printed(one), "AAAAAAAAAAAAAAAAAAAAAQ");
        assert_eq!(printed(all), "_____________________w");
        for (group, id, index) in [("g", one, 0), ("größe", all, 7), ("", one, 1_234_567_890)] {
            let name = format!("{group}:{}:{index}", printed(id));
            assert_eq!(shard_hash(group, id, index), java_hash(&name), "{name}");
        }
    }
}
