//! The handle of all groups: one shard for each partition of `__consumer_offsets`, found by
//! Kafka's own rule.

use std::future::Future;
use std::sync::Arc;

use ratel_protocol::ErrorCode;
use ratel_storage::{Engine, Offset, PartitionId, TopicId};

use crate::catalog::{Catalog, Change};
use crate::clock::Clock;
use crate::config::Config;
use crate::coordinator::LogEnds;
use crate::coordinator::catalog::{OFFSETS_TOPIC, Topic, View};
use crate::coordinator::group::{Action, Event, GroupMachine, Limits, Listed, Reply, Survey};
use crate::coordinator::router::shard_of;
use crate::coordinator::runtime::{CHECKPOINT_BYTES_MIN, Setup, Shard, Shell, State};

/// All groups. Cheap to clone.
#[derive(Clone)]
pub struct Groups {
    shards: Arc<[Shard<GroupMachine>]>,
}

impl Groups {
    /// Take up the groups where the logs of `__consumer_offsets` say they stand; the topic is
    /// made if it is not there.
    ///
    /// # Errors
    /// A sentence: the topic cannot be made, or one of its logs is not open.
    pub async fn start(
        engine: Arc<dyn Engine>,
        catalog: &Catalog,
        config: &Config,
        clock: Arc<dyn Clock>,
    ) -> Result<Self, String> {
        let topic = catalog.internal_topic(OFFSETS_TOPIC).await;
        let topic = topic.map_err(|code| format!("{OFFSETS_TOPIC} cannot be made: {code}"))?;
        let groups = Self::open(engine, catalog.view.clone(), &topic, config, clock).await?;
        let deleted = groups.clone();
        catalog.listen(move |change| {
            if let Change::Deleted(topic) = change {
                deleted.topic_deleted(topic.id);
            }
        });
        Ok(groups)
    }

    /// Take up the groups that this topic keeps.
    pub(crate) async fn open(
        engine: Arc<dyn Engine>,
        view: Arc<View>,
        topic: &Topic,
        config: &Config,
        clock: Arc<dyn Clock>,
    ) -> Result<Self, String> {
        let limits = Arc::new(Limits::from(config));
        let mut shards = Vec::new();
        for index in 0..topic.partitions {
            let id = PartitionId {
                topic: topic.id,
                index,
            };
            let partition = engine
                .partition(id)
                .ok_or_else(|| format!("{OFFSETS_TOPIC}-{index} is not open"))?;
            let limits = limits.clone();
            shards.push(Shard::spawn(Setup {
                name: format!("{OFFSETS_TOPIC}-{index}"),
                machine: move || GroupMachine::new(limits.clone()),
                shell: GroupShell {
                    engine: engine.clone(),
                    view: view.clone(),
                },
                partition,
                clock: clock.clone(),
                checkpoint_bytes_min: CHECKPOINT_BYTES_MIN,
            }));
        }
        for shard in &shards {
            // A shard that cannot be read says so, goes on trying, and keeps none of the others
            // from serving ([`Self::complaints`]).
            let _ = shard.loaded().await;
        }
        Ok(Self {
            shards: shards.into(),
        })
    }

    /// Groups that answer COORDINATOR_NOT_AVAILABLE to everything.
    #[cfg(test)]
    pub(crate) fn detached() -> Self {
        Self {
            shards: Arc::default(),
        }
    }

    /// Send an event to a group's shard. Its order is fixed when this call returns; the future
    /// brings the reply.
    ///
    /// # Errors
    /// The machine's refusal, or COORDINATOR_NOT_AVAILABLE while the shard cannot serve.
    pub fn send(
        &self,
        group: &str,
        event: Event,
    ) -> impl Future<Output = Result<Reply, ErrorCode>> + Send + use<> {
        let sent = self.shard(group).map(|shard| shard.send(event));
        async move {
            match sent {
                Some(reply) => reply.await,
                None => Err(ErrorCode::CoordinatorNotAvailable),
            }
        }
    }

    /// The shard that a group belongs to.
    fn shard(&self, group: &str) -> Option<&Shard<GroupMachine>> {
        let count = i32::try_from(self.shards.len())
            .ok()
            .filter(|count| *count > 0)?;
        self.shards
            .get(usize::try_from(shard_of(group, count)).ok()?)
    }

    /// All groups, in the order of the shards and then of their names.
    ///
    /// # Errors
    /// COORDINATOR_NOT_AVAILABLE if one of the shards cannot serve.
    pub async fn list(&self) -> Result<Vec<Listed>, ErrorCode> {
        let mut all = Vec::new();
        for reply in self.ask_all(&Event::List) {
            if let Reply::Listed(groups) = reply.await? {
                all.extend(groups);
            }
        }
        Ok(all)
    }

    /// All groups with what they have committed, as far as the shards can serve: what lag is
    /// made of. Costs no more than there are groups and offsets.
    pub async fn survey(&self) -> Vec<Survey> {
        let mut all = Vec::new();
        for reply in self.ask_all(&Event::Survey) {
            if let Ok(Reply::Surveyed(groups)) = reply.await {
                all.extend(groups);
            }
        }
        all
    }

    /// Send every shard the same event, then yield the replies in order.
    fn ask_all(
        &self,
        event: &Event,
    ) -> Vec<impl Future<Output = Result<Reply, ErrorCode>> + Send + use<>> {
        let shards = self.shards.iter();
        shards.map(|shard| shard.send(event.clone())).collect()
    }

    /// A topic is gone: what was committed for it goes too (O-10).
    fn topic_deleted(&self, topic: TopicId) {
        for shard in &*self.shards {
            shard.tell(Event::TopicDeleted(topic));
        }
    }

    /// Why some groups cannot be served now, one sentence for each shard in trouble.
    #[must_use]
    pub fn complaints(&self) -> Vec<String> {
        let shards = self.shards.iter().enumerate();
        shards
            .filter_map(|(index, shard)| match shard.state() {
                State::Failed(why) => Some(format!("{OFFSETS_TOPIC}-{index} failed: {why}")),
                State::Stopped => Some(format!("{OFFSETS_TOPIC}-{index} has stopped")),
                State::Loading | State::Running => None,
            })
            .collect()
    }

    /// Finish what was sent and take no more.
    pub async fn stop(&self) {
        for shard in &*self.shards {
            shard.stop().await;
        }
    }
}

/// What a shard sees of the world: where the logs end that its offsets point into.
struct GroupShell {
    engine: Arc<dyn Engine>,
    view: Arc<View>,
}

impl Shell<GroupMachine> for GroupShell {
    async fn perform(&self, _shard: &Shard<GroupMachine>, action: Action) {
        match action {}
    }

    fn ends(&self, machine: &GroupMachine) -> LogEnds {
        let mut ends = LogEnds::default();
        machine.each_partition(|partition| {
            if self.view.topic_by_id(partition.topic).is_some() {
                // A log that is there but not open has an end nobody knows: nothing is cut.
                let end = self
                    .engine
                    .partition(partition)
                    .map_or(Offset::new(i64::MAX), |partition| partition.offsets().end);
                ends.ends.insert(partition, end);
            }
        });
        ends
    }
}
