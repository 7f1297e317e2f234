//! The handle of all groups: one shard for each partition of `__consumer_offsets`, found by
//! Kafka's own rule.

use std::collections::BTreeSet;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use ratel_protocol::ErrorCode;
use ratel_storage::{Engine, Marker, Offset, PartitionId};

use crate::catalog::{Catalog, Change};
use crate::clock::Clock;
use crate::config::Config;
use crate::coordinator::LogEnds;
use crate::coordinator::catalog::{OFFSETS_TOPIC, Topic, View};
use crate::coordinator::group::{
    Action, Compiled, Event, GroupMachine, Limits, Listed, Matches, QueueEvent, QueueTopics, Reply,
    Survey, TopicNow, compile,
};
use crate::coordinator::router::shard_of;
use crate::coordinator::runtime::{CHECKPOINT_BYTES_MIN, Setup, Shard, Shell, complaints};

/// Where the queues of share groups are, as far as groups need them.
pub trait Queues: Send + Sync + 'static {
    /// Make the queues of a group on these partitions where they are not there yet, each from the
    /// offset that the group's configuration says. Ends when they are durable.
    fn initialize(&self, group: Arc<str>, topics: QueueTopics) -> Outcome;

    /// Delete all queues of a group. Ends when that is durable.
    fn delete_group(&self, group: Arc<str>) -> Outcome;
}

/// What becomes of something that was asked of the queues.
pub type Outcome = Pin<Box<dyn Future<Output = Result<(), ErrorCode>> + Send>>;

/// A server without queues: share groups go on asking for theirs.
pub struct NoQueues;

impl Queues for NoQueues {
    fn initialize(&self, _: Arc<str>, _: QueueTopics) -> Outcome {
        Box::pin(std::future::ready(Err(ErrorCode::CoordinatorNotAvailable)))
    }

    fn delete_group(&self, _: Arc<str>) -> Outcome {
        Box::pin(std::future::ready(Err(ErrorCode::CoordinatorNotAvailable)))
    }
}

/// All groups. Cheap to clone.
#[derive(Clone)]
pub struct Groups {
    shards: Arc<[Shard<GroupMachine>]>,
    /// Whether any share group has asked for a topic: nobody else cares for news of topics.
    curious: Arc<AtomicBool>,
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
        queues: Arc<dyn Queues>,
    ) -> Result<Self, String> {
        let topic = catalog.internal_topic(OFFSETS_TOPIC).await;
        let topic = topic.map_err(|code| format!("{OFFSETS_TOPIC} cannot be made: {code}"))?;
        let view = catalog.view.clone();
        let groups = Self::open(engine, view.clone(), &topic, config, clock, queues).await?;
        let told = groups.clone();
        catalog.listen(move |change| {
            let (Change::Published(topic) | Change::Deleted(topic)) = change;
            if matches!(change, Change::Deleted(_)) {
                told.tell_all(&Event::TopicDeleted(topic.id));
            }
            if told.curious.load(Ordering::SeqCst) {
                told.tell_all(&Event::TopicChanged(look_up(&view, &topic.name)));
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
        queues: Arc<dyn Queues>,
    ) -> Result<Self, String> {
        let curious = Arc::new(AtomicBool::new(false));
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
                    queues: queues.clone(),
                    curious: curious.clone(),
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
            curious,
        })
    }

    /// Groups that answer COORDINATOR_NOT_AVAILABLE to everything.
    #[cfg(test)]
    pub(crate) fn detached() -> Self {
        Self {
            shards: Arc::default(),
            curious: Arc::default(),
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

    /// Send an event that has no reply.
    pub fn tell(&self, group: &str, event: Event) {
        if let Some(shard) = self.shard(group) {
            shard.tell(event);
        }
    }

    /// Which partition of `__consumer_offsets` a group's records lie in.
    #[must_use]
    pub fn partition_of(&self, group: &str) -> Option<i32> {
        let count = i32::try_from(self.shards.len()).ok();
        let count = count.filter(|count| *count > 0)?;
        Some(shard_of(group, count))
    }

    /// A producer's transaction has ended, and partition `index` of `__consumer_offsets` is part
    /// of it: what it committed there counts, or goes. Ends when that is durable. A marker that
    /// comes again does no harm.
    ///
    /// # Errors
    /// UNKNOWN_TOPIC_OR_PARTITION, INVALID_PRODUCER_EPOCH, TRANSACTION_COORDINATOR_FENCED, or
    /// COORDINATOR_NOT_AVAILABLE while the shard cannot serve.
    pub fn marker(
        &self,
        index: i32,
        marker: Marker,
    ) -> impl Future<Output = Result<(), ErrorCode>> + Send + use<> {
        let shard = usize::try_from(index).ok();
        let shard = shard.and_then(|index| self.shards.get(index));
        let sent = shard.map(|shard| shard.send(Event::Marker(marker)));
        async move {
            let reply = sent.ok_or(ErrorCode::UnknownTopicOrPartition)?;
            reply.await.map(drop)
        }
    }

    /// The shard that a group belongs to.
    fn shard(&self, group: &str) -> Option<&Shard<GroupMachine>> {
        let index = usize::try_from(self.partition_of(group)?).ok()?;
        self.shards.get(index)
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

    fn tell_all(&self, event: &Event) {
        for shard in &*self.shards {
            shard.tell(event.clone());
        }
    }

    /// Why some groups cannot be served now, one sentence for each shard in trouble.
    #[must_use]
    pub fn complaints(&self) -> Vec<String> {
        complaints(OFFSETS_TOPIC, &self.shards)
    }

    /// Finish what was sent and take no more.
    pub async fn stop(&self) {
        for shard in &*self.shards {
            shard.stop().await;
        }
    }
}

/// A topic as the view shows it, with a version that is not newer than what was seen.
pub fn look_up(view: &View, name: &Arc<str>) -> TopicNow {
    let version = view.version();
    let topic = view.topic(name);
    TopicNow {
        name: name.clone(),
        version,
        topic: topic.map(|topic| (topic.id, topic.partitions)),
    }
}

fn find(view: &View, names: impl IntoIterator<Item = Arc<str>>) -> Vec<TopicNow> {
    let names = names.into_iter();
    names.map(|name| look_up(view, &name)).collect()
}

/// What a shard sees of the world: the logs that its offsets point into, the topics that its share
/// groups read, and their queues.
struct GroupShell {
    engine: Arc<dyn Engine>,
    view: Arc<View>,
    queues: Arc<dyn Queues>,
    curious: Arc<AtomicBool>,
}

impl GroupShell {
    /// From here on the listener tells of every change; what is seen here is not older than the
    /// last change that it did not tell.
    fn find(&self, names: impl IntoIterator<Item = Arc<str>>) -> Vec<TopicNow> {
        self.curious.store(true, Ordering::SeqCst);
        find(&self.view, names)
    }

    /// Many expressions and many topics take their time: nothing else waits for it.
    fn match_topics(
        &self,
        shard: &Shard<GroupMachine>,
        (group, round): (Arc<str>, u64),
        regexes: Vec<(Arc<str>, Compiled)>,
    ) {
        self.curious.store(true, Ordering::SeqCst);
        let (view, shard) = (self.view.clone(), shard.clone());
        tokio::task::spawn_blocking(move || {
            let version = view.version();
            let regexes = regexes.into_iter();
            let matches: Vec<_> = regexes
                .map(|(regex, compiled)| (regex, matching(&view, &compiled)))
                .collect();
            let names: BTreeSet<_> = matches
                .iter()
                .flat_map(|(_, names)| names.clone())
                .collect();
            shard.tell(Event::Matched(Matches {
                found: find(&view, names),
                group,
                round,
                version,
                matches,
            }));
        });
    }
}

/// The names of the topics that an expression stands for, in order, and the version of the view
/// that this is not older than; none if the expression cannot be understood. Takes its time beside
/// the other requests.
pub async fn resolve(view: Arc<View>, expression: Arc<str>) -> Option<(u64, Vec<Arc<str>>)> {
    let resolving = tokio::task::spawn_blocking(move || {
        let compiled = compile(&expression)?;
        let version = view.version();
        Some((version, matching(&view, &compiled)))
    });
    resolving.await.ok().flatten()
}

/// The names of the topics that an expression stands for, in order.
fn matching(view: &View, regex: &Compiled) -> Vec<Arc<str>> {
    let topics = view.topics().into_iter();
    let mut names: Vec<Arc<str>> = topics
        .filter(|topic| regex.is_match(&topic.name))
        .map(|topic| topic.name.clone())
        .collect();
    names.sort_unstable();
    names
}

impl Shell<GroupMachine> for GroupShell {
    /// Queues are made before the answer goes that gives them to a member: what is produced after
    /// it will be in them.
    async fn perform(&self, shard: &Shard<GroupMachine>, action: Action) {
        let (group, event) = match action {
            Action::MatchTopics {
                group,
                round,
                regexes,
            } => {
                return self.match_topics(shard, (group, round), regexes);
            }
            Action::FindTopics(names) => {
                return shard.tell(Event::Topics(self.find(names)));
            }
            Action::InitializeQueues { group, topics } => {
                let made = self.queues.initialize(group.clone(), topics.clone()).await;
                let event = failed(&group, made).unwrap_or(QueueEvent::Initialized(topics));
                (group, event)
            }
            Action::DeleteQueues { group } => {
                let gone = self.queues.delete_group(group.clone()).await;
                let event = failed(&group, gone).unwrap_or(QueueEvent::Gone);
                (group, event)
            }
        };
        shard.tell(Event::Queues(group, event));
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
        let sessions = machine.sessions().map(|(id, is_share)| {
            let settings = self.view.group_settings(id);
            let session_ms = match is_share {
                true => i64::from(settings.session_timeout_ms),
                false => settings.consumer.session_timeout_ms,
            };
            (id.clone(), session_ms)
        });
        ends.sessions = sessions.collect();
        let names: BTreeSet<_> = machine.topic_names().collect();
        if !names.is_empty() {
            ends.topics = self.find(names);
        }
        ends
    }
}

fn failed(group: &str, outcome: Result<(), ErrorCode>) -> Option<QueueEvent> {
    let code = outcome.err()?;
    tracing::warn!(group, "its queues are not as they should be yet: {code}");
    Some(QueueEvent::Failed)
}
