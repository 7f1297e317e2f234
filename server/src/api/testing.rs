//! Handlers without a network: requests go in as bytes, through the table, and answers come out
//! decoded. Logs lie on a disk in memory whose syncs a test can hold back.

pub(crate) mod queues;
pub(crate) mod transactions;

use std::sync::Arc;

use bytes::{Buf, Bytes, BytesMut};
use kafka_protocol::protocol::{HeaderVersion, Request};
use ratel_protocol::{ApiKey, Decodable, StrBytes};
use ratel_storage::disk_memory::MemoryDisk;
use ratel_storage::{Batch, BatchBuilder, Engine, LocalEngine, LocalOptions, LogSettings, TopicId};

use super::{Answer, Context, Later, route};
use crate::broker::{Broker, testing};
use crate::catalog::Catalog;
use crate::clock::{Clock, ManualClock, Timestamp};
use crate::config::Config;
use crate::coordinator::catalog::{OFFSETS_TOPIC, Topic};
use crate::groups::{Groups, NoQueues};
use crate::net::Session;
use crate::transactions::Transactions;

/// The wall time at which the tests' clocks begin, ms.
pub(crate) const NOW_MS: i64 = 1_700_000_000_000;

/// A broker whose topics are put into the catalog's view by hand.
pub(crate) struct Bench {
    pub broker: Arc<Broker>,
    pub disk: MemoryDisk,
    pub clock: Arc<ManualClock>,
    session: Arc<Session>,
    pub client_id: Option<StrBytes>,
}

struct Logs {
    disk: MemoryDisk,
    engine: Arc<dyn Engine>,
    clock: Arc<ManualClock>,
}

impl Logs {
    fn new() -> Self {
        let disk = MemoryDisk::new();
        let engine = LocalEngine::open(
            Arc::new(disk.clone()),
            std::path::Path::new(""),
            LocalOptions::default(),
            NOW_MS,
        );
        Self {
            disk,
            engine: engine.expect("an engine in memory"),
            clock: Arc::new(ManualClock::new(Timestamp {
                monotonic_ms: 0,
                wall_ms: NOW_MS,
            })),
        }
    }

    fn bench(self, broker: Arc<Broker>) -> Bench {
        Bench {
            broker,
            disk: self.disk,
            clock: self.clock,
            session: Arc::new(Session {
                connection: 0,
                peer: ([127, 0, 0, 1], 50_000).into(),
                local: ([127, 0, 0, 1], 9092).into(),
                listener: "PLAINTEXT".into(),
                muted_until_ms: std::sync::atomic::AtomicI64::default(),
            }),
            client_id: Some(StrBytes::from_static_str("test")),
        }
    }
}

impl Bench {
    pub(crate) fn new() -> Self {
        Self::with(Config::default())
    }

    pub(crate) fn with(config: Config) -> Self {
        let logs = Logs::new();
        let clock = logs.clock.clone();
        let broker = testing::broker_with(config, logs.engine.clone(), clock);
        logs.bench(broker)
    }

    /// A broker with a catalog at work.
    pub(crate) async fn started(config: Config) -> Self {
        let logs = Logs::new();
        let config = Arc::new(config);
        let clock: Arc<dyn Clock> = logs.clock.clone();
        let engine = logs.engine.clone();
        let catalog = Catalog::start(engine.clone(), config.clone(), clock.clone()).await;
        let catalog = catalog.expect("a catalog");
        logs.bench(testing::with_catalog(config, engine, clock, catalog))
    }

    /// A bench whose broker keeps groups, in four shards. Must be called on a tokio runtime.
    pub(crate) async fn with_groups(config: Config) -> Self {
        let mut bench = Self::with(config);
        let topic = bench.topic_with(OFFSETS_TOPIC, 4, true, LogSettings::default());
        let broker = &bench.broker;
        let groups = Groups::open(
            broker.engine.clone(),
            broker.catalog.view.clone(),
            &topic,
            &broker.config,
            broker.clock.clone(),
            Arc::new(NoQueues),
        );
        let groups = groups.await.expect("groups");
        let broker = Arc::get_mut(&mut bench.broker);
        broker.expect("a broker that nobody else holds").groups = groups;
        bench
    }

    /// A bench with a catalog, groups and transactions at work, in four shards each. Must be
    /// called on a tokio runtime.
    pub(crate) async fn with_transactions(mut config: Config) -> Self {
        config.offsets_topic_num_partitions = 4;
        config.transaction_state_log_num_partitions = 4;
        let mut bench = Self::started(config).await;
        let broker = &bench.broker;
        let (engine, clock) = (broker.engine.clone(), broker.clock.clone());
        let queues = Arc::new(NoQueues);
        let groups = Groups::start(engine, &broker.catalog, &broker.config, clock, queues);
        let groups = groups.await.expect("groups");
        let transactions = Transactions::start(
            broker.engine.clone(),
            &broker.catalog,
            &groups,
            broker.config.clone(),
            broker.clock.clone(),
            broker.metrics.clone(),
        );
        let transactions = transactions.await.expect("transactions");
        let broker = Arc::get_mut(&mut bench.broker).expect("a broker that nobody else holds");
        (broker.groups, broker.transactions) = (groups, transactions);
        bench
    }

    /// Make a topic of this many partitions.
    pub(crate) fn topic(&self, name: &str, partitions: i32) -> Arc<Topic> {
        self.topic_with(name, partitions, false, LogSettings::default())
    }

    pub(crate) fn topic_with(
        &self,
        name: &str,
        partitions: i32,
        internal: bool,
        settings: LogSettings,
    ) -> Arc<Topic> {
        let topic = Arc::new(Topic {
            id: TopicId::new_v4(),
            name: name.into(),
            partitions,
            internal,
            configs: std::collections::BTreeMap::new(),
            settings: Arc::new(settings),
        });
        for index in 0..partitions {
            let id = topic.partition(index).expect("an index of the topic");
            self.broker
                .engine
                .open(id, topic.settings.clone())
                .expect("an open log");
        }
        self.broker.catalog.view.insert(topic.clone());
        topic
    }

    /// Take a topic out of the catalog and its logs off the disk.
    pub(crate) fn delete(&self, topic: &Topic) {
        self.broker.catalog.view.remove(topic.id);
        for index in 0..topic.partitions {
            let id = topic.partition(index).expect("an index of the topic");
            self.broker.engine.delete(id).expect("a deleted log");
        }
    }

    /// Hand a request over, as its connection would: its order is fixed when this returns.
    pub(crate) async fn post<R: Request>(&self, version: i16, request: &R) -> Later {
        let mut body = BytesMut::new();
        request
            .encode(&mut body, version)
            .expect("a request that encodes");
        let route = route(R::KEY, version).expect("a version that is spoken");
        route
            .handle(self.context(route.key, version), body.freeze())
            .await
            .expect("a body that decodes")
    }

    /// What a handler knows of a request whose correlation id is 7.
    pub(crate) fn context(&self, key: ApiKey, version: i16) -> Context {
        Context {
            broker: self.broker.clone(),
            session: self.session.clone(),
            key,
            version,
            correlation_id: 7,
            client_id: self.client_id.clone(),
            received: self.clock.now(),
        }
    }

    /// Send a request and wait for its answer.
    pub(crate) async fn send<R: Request>(&self, version: i16, request: &R) -> R::Response {
        let later = self.post(version, request).await;
        response::<R>(version, answer(later).await)
    }
}

/// What a client reads of this response at this version.
pub(crate) fn round_trip<R: Request>(version: i16, body: &R::Response) -> R::Response {
    let key = ApiKey::try_from(R::KEY).expect("a known key");
    let frame = ratel_protocol::response::encode(key, version, 7, body);
    response::<R>(version, Answer::Body(frame))
}

/// The answer that a handler yields in the end.
pub(crate) async fn answer(later: Later) -> Answer {
    match later {
        Later::Ready(answer) => answer,
        Later::Wait(future) => future.await,
    }
}

/// Decode a whole answer: nothing may be left behind it.
pub(crate) fn response<R: Request>(version: i16, answer: Answer) -> R::Response {
    let mut frame = match answer {
        Answer::Body(bytes) => bytes,
        Answer::Pieces(pieces) => {
            let pieces = pieces
                .iter()
                .map(|piece| piece.to_bytes().expect("a readable piece"));
            pieces.collect::<Vec<Bytes>>().concat().into()
        }
        other => panic!("no answer: {other:?}"),
    };
    assert_eq!(frame.get_i32() as usize, frame.len(), "the length prefix");
    assert_eq!(frame.get_i32(), 7, "the correlation id");
    if R::Response::header_version(version) >= 1 {
        assert_eq!(frame.get_u8(), 0, "tags of the header");
    }
    let response = R::Response::decode(&mut frame, version).expect("an answer that decodes");
    assert_eq!(frame.len(), 0, "bytes behind the answer");
    response
}

/// A batch of these values, without keys, of the time the clocks begin.
pub(crate) fn batch(values: &[&str]) -> Batch {
    let mut builder = BatchBuilder::new(NOW_MS);
    for value in values {
        builder.record(None, Some(value.as_bytes()));
    }
    builder.build().expect("at least one value")
}
