//! The handle of all transactional ids: one shard for each partition of `__transaction_state`,
//! found by Kafka's own rule.
//!
//! The topic is made, and its shards begin, with the first transactional id: a server without
//! transactions has neither. Where no shard is at work no transactional id is known.

mod markers;

use std::future::Future;
use std::sync::Arc;

use ratel_protocol::ErrorCode;
use ratel_storage::{Engine, Marker, Partition, PartitionId, Producer};
use tokio::sync::OnceCell;

use crate::catalog::Catalog;
use crate::clock::Clock;
use crate::config::Config;
use crate::coordinator::catalog::{TRANSACTIONS_TOPIC, Topic};
use crate::coordinator::router::shard_of;
use crate::coordinator::runtime::{CHECKPOINT_BYTES_MIN, Setup, Shard, Shell, complaints};
use crate::coordinator::txn::{
    Action, Add, End, Event, Filter, Init, Limits, Listed, Part, ProducerId, Reply, Transaction,
    TransactionMachine,
};
use crate::groups::Groups;
use crate::metrics::Metrics;
use crate::producer_ids::ProducerIds;

use markers::World;

/// All transactional ids. Cheap to clone.
#[derive(Clone)]
pub struct Transactions(Arc<Inner>);

struct Inner {
    catalog: Catalog,
    limits: Arc<Limits>,
    clock: Arc<dyn Clock>,
    world: Arc<World>,
    producer_ids: ProducerIds,
    shards: OnceCell<Vec<Shard<TransactionMachine>>>,
}

/// What is asked about partitions of a transaction.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mode {
    /// They become part of it (T-5, T-7). The client speaks this version of transactions.
    Add(i16),
    /// Whether they are part of it (T-6).
    Verify,
}

/// The reply is of another kind than the event that was sent: a fault of ours.
const STRANGE: ErrorCode = ErrorCode::UnknownServerError;

impl Transactions {
    /// Take up the transactional ids where the logs of `__transaction_state` say they stand, if
    /// there are such logs. Markers that were not written yet are written from here on.
    ///
    /// # Errors
    /// A sentence: one of the logs is not open.
    pub async fn start(
        engine: Arc<dyn Engine>,
        catalog: &Catalog,
        groups: &Groups,
        config: Arc<Config>,
        clock: Arc<dyn Clock>,
        metrics: Arc<Metrics>,
    ) -> Result<Self, String> {
        let transactions = Self::idle(engine, catalog, groups, config, clock, metrics);
        if let Some(topic) = catalog.view.topic(TRANSACTIONS_TOPIC) {
            let shards = transactions.open(&topic).await?;
            // Nobody else has the handle yet.
            let _ = transactions.0.shards.set(shards);
        }
        Ok(transactions)
    }

    /// Transactional ids that begin with the first of them.
    pub(crate) fn idle(
        engine: Arc<dyn Engine>,
        catalog: &Catalog,
        groups: &Groups,
        config: Arc<Config>,
        clock: Arc<dyn Clock>,
        metrics: Arc<Metrics>,
    ) -> Self {
        let world = World::new(
            engine,
            catalog.view.clone(),
            groups.clone(),
            &config,
            clock.clone(),
            metrics,
        );
        Self(Arc::new(Inner {
            catalog: catalog.clone(),
            limits: Arc::new(Limits::from(&*config)),
            clock,
            world: Arc::new(world),
            producer_ids: ProducerIds::default(),
            shards: OnceCell::new(),
        }))
    }

    async fn open(&self, topic: &Topic) -> Result<Vec<Shard<TransactionMachine>>, String> {
        let mut shards = Vec::new();
        for index in 0..topic.partitions {
            let id = PartitionId {
                topic: topic.id,
                index,
            };
            let partition = self.0.world.engine.partition(id);
            let partition =
                partition.ok_or_else(|| format!("{TRANSACTIONS_TOPIC}-{index} is not open"))?;
            let limits = self.0.limits.clone();
            shards.push(Shard::spawn(Setup {
                name: format!("{TRANSACTIONS_TOPIC}-{index}"),
                machine: move || TransactionMachine::new(limits.clone()),
                shell: TransactionShell {
                    world: self.0.world.clone(),
                    partition: partition.clone(),
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
    async fn begin(&self) -> Result<&[Shard<TransactionMachine>], ErrorCode> {
        let shards = self.0.shards.get_or_try_init(|| async {
            let topic = self.0.catalog.internal_topic(TRANSACTIONS_TOPIC).await?;
            let shards = self.open(&topic).await;
            shards.map_err(|why| {
                tracing::error!("transactions cannot begin: {why}");
                ErrorCode::CoordinatorNotAvailable
            })
        });
        shards.await.map(Vec::as_slice)
    }

    fn shards(&self) -> &[Shard<TransactionMachine>] {
        self.0.shards.get().map_or(&[], Vec::as_slice)
    }

    fn shard(&self, id: &str) -> Option<&Shard<TransactionMachine>> {
        let count = i32::try_from(self.shards().len()).ok();
        let count = count.filter(|count| *count > 0)?;
        let index = usize::try_from(shard_of(id, count)).ok()?;
        self.shards().get(index)
    }

    /// Send an event. Its order is fixed when this call returns; `unknown` is the answer while
    /// there is no transactional id at all.
    fn send(
        &self,
        id: &str,
        event: Event,
        unknown: ErrorCode,
    ) -> impl Future<Output = Result<Reply, ErrorCode>> + Send + use<> {
        let sent = self.shard(id).map(|shard| shard.send(event));
        async move {
            match sent {
                Some(reply) => reply.await,
                None => Err(unknown),
            }
        }
    }

    /// A producer id that was never used.
    async fn fresh_id(&self) -> Result<i64, ErrorCode> {
        let fetch = || self.0.catalog.producer_id_block();
        self.0.producer_ids.next(fetch).await
    }

    /// A producer begins with a transactional id (T-2 to T-4).
    ///
    /// # Errors
    /// INVALID_REQUEST for an id that is empty or too long, INVALID_TRANSACTION_TIMEOUT,
    /// PRODUCER_FENCED, CONCURRENT_TRANSACTIONS while a transaction ends, POLICY_VIOLATION above
    /// the limit of ids, COORDINATOR_NOT_AVAILABLE while the shard cannot serve.
    pub async fn init(&self, event: Init) -> Result<ProducerId, ErrorCode> {
        // What is refused makes no topic.
        event.check(&self.0.limits)?;
        self.begin().await?;
        let id = event.id.clone();
        let first = self.send(&id, Event::Init(event.clone()), STRANGE);
        self.with_fresh_id(&id, first, |fresh_id| {
            Event::Init(Init {
                fresh_id: Some(fresh_id),
                ..event
            })
        })
        .await
    }

    /// A transaction is to end (T-8, T-9): the producer from now on. The order is fixed when this
    /// call returns; the answer comes when the decision is durable (T-10).
    ///
    /// # Errors
    /// INVALID_PRODUCER_ID_MAPPING, PRODUCER_FENCED, CONCURRENT_TRANSACTIONS, INVALID_TXN_STATE,
    /// or COORDINATOR_NOT_AVAILABLE while the shard cannot serve.
    pub fn end(
        &self,
        event: End,
    ) -> impl Future<Output = Result<ProducerId, ErrorCode>> + Send + use<> {
        let transactions = self.clone();
        let id = event.id.clone();
        let unknown = ErrorCode::InvalidProducerIdMapping;
        let first = self.send(&id, Event::End(event.clone()), unknown);
        async move {
            let again = |fresh_id| {
                Event::End(End {
                    fresh_id: Some(fresh_id),
                    ..event
                })
            };
            transactions.with_fresh_id(&id, first, again).await
        }
    }

    /// The producer of a reply; if it asks for a new producer id, that of the event with one.
    async fn with_fresh_id(
        &self,
        id: &str,
        first: impl Future<Output = Result<Reply, ErrorCode>>,
        again: impl FnOnce(i64) -> Event,
    ) -> Result<ProducerId, ErrorCode> {
        let reply = match first.await? {
            Reply::NeedsProducerId => {
                let event = again(self.fresh_id().await?);
                self.send(id, event, STRANGE).await?
            }
            reply => reply,
        };
        match reply {
            Reply::Producer(producer) => Ok(producer),
            _ => Err(STRANGE),
        }
    }

    /// Add partitions to a transaction, or ask whether they are part of it: an outcome for each,
    /// in their order. The order is fixed when this call returns; what was added is durable when
    /// the answer is there. What comes while markers are on their way waits for them for up to
    /// 100 ms.
    ///
    /// # Errors
    /// Of each partition. Of all alike: INVALID_PRODUCER_ID_MAPPING, PRODUCER_FENCED,
    /// CONCURRENT_TRANSACTIONS, POLICY_VIOLATION above the limit of partitions,
    /// COORDINATOR_NOT_AVAILABLE while the shard cannot serve. Of some:
    /// TRANSACTION_ABORTABLE if it is not part of the transaction ([`Mode::Verify`]).
    pub fn add(
        &self,
        id: &str,
        producer: Producer,
        partitions: Vec<Part>,
        mode: Mode,
    ) -> impl Future<Output = Vec<Result<(), ErrorCode>>> + Send + use<> {
        let count = partitions.len();
        let add = |client_version| Add {
            id: id.into(),
            producer: ProducerId {
                id: producer.id,
                epoch: producer.epoch,
            },
            partitions,
            client_version,
        };
        let event = match mode {
            Mode::Add(client_version) => Event::Add(add(client_version)),
            Mode::Verify => Event::Verify(add(0)),
        };
        let reply = self.send(id, event, ErrorCode::InvalidProducerIdMapping);
        async move {
            let outcome = |is_part| match is_part {
                true => Ok(()),
                false => Err(ErrorCode::TransactionAbortable),
            };
            match reply.await {
                Ok(Reply::Added) => vec![Ok(()); count],
                Ok(Reply::Verified(parts)) => parts.into_iter().map(outcome).collect(),
                Ok(_) => vec![Err(STRANGE); count],
                Err(code) => vec![Err(code); count],
            }
        }
    }

    /// Everything about a transactional id (T-16).
    ///
    /// # Errors
    /// TRANSACTIONAL_ID_NOT_FOUND, or COORDINATOR_NOT_AVAILABLE while the shard cannot serve.
    pub fn describe(
        &self,
        id: &str,
    ) -> impl Future<Output = Result<Box<Transaction>, ErrorCode>> + Send + use<> {
        let event = Event::Describe { id: id.into() };
        let reply = self.send(id, event, ErrorCode::TransactionalIdNotFound);
        async move {
            match reply.await? {
                Reply::Described(transaction) => Ok(transaction),
                _ => Err(STRANGE),
            }
        }
    }

    /// The transactional ids that pass a filter, in the order of the shards and then of the ids
    /// (T-16).
    ///
    /// # Errors
    /// COORDINATOR_NOT_AVAILABLE if one of the shards cannot serve.
    pub async fn list(&self, filter: Filter) -> Result<Vec<Listed>, ErrorCode> {
        // A filter is as long as the client likes: there is one for all shards.
        let filter = Arc::new(filter);
        let shards = self.shards().iter();
        let replies: Vec<_> = shards
            .map(|shard| shard.send(Event::List(filter.clone())))
            .collect();
        let mut all = Vec::new();
        for reply in replies {
            if let Reply::Listed(listed) = reply.await? {
                all.extend(listed);
            }
        }
        Ok(all)
    }

    /// Write one marker, as an operator asks who aborts a transaction by hand. A coordinator's
    /// epoch above that of the coordinator is taken for that one.
    ///
    /// # Errors
    /// INVALID_REQUEST for a producer id or epoch below 0, UNKNOWN_TOPIC_OR_PARTITION,
    /// INVALID_PRODUCER_EPOCH, TRANSACTION_COORDINATOR_FENCED, or what kept the log from being
    /// written to.
    pub fn write_marker(
        &self,
        marker: &Marker,
        topic: &str,
        index: i32,
    ) -> impl Future<Output = Result<(), ErrorCode>> + Send + use<> {
        if marker.producer.id < 0 || marker.producer.epoch < 0 {
            return markers::refused(ErrorCode::InvalidRequest);
        }
        self.0.world.append_for_operator(marker, topic, index)
    }

    /// Why some transactional ids cannot be served now, one sentence for each shard in trouble.
    #[must_use]
    pub fn complaints(&self) -> Vec<String> {
        complaints(TRANSACTIONS_TOPIC, self.shards())
    }

    /// Finish what was sent and take no more. Markers that are not written yet are written after
    /// the next start.
    pub async fn stop(&self) {
        for shard in self.shards() {
            shard.stop().await;
        }
    }
}

/// What a shard sees of the world.
struct TransactionShell {
    world: Arc<World>,
    /// The shard's own log: its leader epoch is the coordinator's.
    partition: Arc<dyn Partition>,
}

impl Shell<TransactionMachine> for TransactionShell {
    /// Markers are in their logs when this returns, so that they lie before whatever the client
    /// writes once it has its answer. Their syncs are waited for apart, all at once.
    async fn perform(&self, shard: &Shard<TransactionMachine>, action: Action) {
        match action {
            Action::WriteMarkers(asked) => {
                let epoch = self.partition.offsets().leader_epoch;
                let writing = markers::write(&self.world, epoch, &asked);
                let shard = shard.clone();
                tokio::spawn(async move {
                    let left = writing.await;
                    shard.tell(Event::MarkersWritten {
                        id: asked.id,
                        prepared_at: asked.prepared_at,
                        left,
                    });
                });
            }
            Action::TimedOut { id } => {
                self.world.metrics.transactions.timed_out();
                tracing::info!(
                    transactional_id = &*id,
                    "a transaction took longer than its producer asked for: it is aborted"
                );
            }
        }
    }
}
