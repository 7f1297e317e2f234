//! A group with a topic and a dead-letter topic, for tests of what dies and of what comes home.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use bytes::Bytes;
use ratel_storage::{
    Batch, BatchBuilder, BatchHeader, Bound, Durability, Engine, Offset, Origin, PartitionId,
    ReadRequest, Record, records,
};

use super::DeadLetters;
use crate::api::testing::{Bench, NOW_MS};
use crate::catalog::fresh_id;
use crate::config::Config;
use crate::coordinator::catalog::Topic;
use crate::coordinator::catalog::alter::{Changes, Op};
use crate::coordinator::catalog::machine::NewTopic;
use crate::coordinator::share::{DeadRange, DeadReason, QueueKey};

/// Name and value of a configuration.
pub(crate) type Setting<'a> = (&'a str, &'a str);

/// A broker, topic `jobs` of two partitions, and group `workers` whose letters go to `dead`.
pub(crate) struct Site {
    pub bench: Bench,
    pub letters: DeadLetters,
    pub source: Arc<Topic>,
}

impl Site {
    /// The topic and the group have these settings.
    pub async fn new(source: &[Setting<'_>], group: &[Setting<'_>]) -> Self {
        let bench = Bench::started(Config::default()).await;
        let broker = &bench.broker;
        let site = Self {
            letters: DeadLetters::new(
                broker.engine.clone(),
                broker.catalog.clone(),
                broker.clock.clone(),
            ),
            source: topic(&bench, "jobs", source).await,
            bench,
        };
        site.set("errors.deadletterqueue.topic.name", "dead").await;
        for (name, value) in group {
            site.set(name, value).await;
        }
        site
    }

    /// Make a topic of two partitions.
    pub async fn topic(&self, name: &str, configs: &[Setting<'_>]) -> Arc<Topic> {
        topic(&self.bench, name, configs).await
    }

    /// Change a topic's configuration.
    pub async fn alter(&self, topic: &str, name: &str, value: &str) {
        let catalog = &self.bench.broker.catalog;
        let id = catalog.view.topic(topic).unwrap().id;
        let altered = catalog.alter_topic(id, change(name, value), false).await;
        altered.unwrap();
    }

    /// Change the group's configuration.
    pub async fn set(&self, name: &str, value: &str) {
        let catalog = &self.bench.broker.catalog;
        let altered = catalog.alter_group("workers".into(), change(name, value), false);
        altered.await.unwrap();
    }

    /// Partition 1 of a topic that is there.
    pub fn place(&self, topic: &str) -> PartitionId {
        let topic = self.bench.broker.catalog.view.topic(topic).unwrap();
        topic.partition(1).unwrap()
    }

    /// The group's queue of partition 1 of `jobs` as it was first made.
    pub fn key(&self) -> QueueKey {
        self.key_of(self.source.partition(1).unwrap())
    }

    pub fn key_of(&self, partition: PartitionId) -> QueueKey {
        QueueKey {
            group: "workers".into(),
            partition,
        }
    }

    /// Append what was built to a partition. Gives the first offset.
    pub async fn append(&self, place: PartitionId, builder: BatchBuilder) -> Offset {
        let log = self.bench.broker.engine.partition(place).unwrap();
        let batch = builder.build().unwrap();
        let appended = log.append(&batch, Origin::Client, Durability::Synced, NOW_MS);
        appended.await.unwrap().base_offset
    }

    /// Bury these offsets of a queue; gives what was reported.
    pub async fn bury(
        &self,
        key: &QueueKey,
        (first, last): (i64, i64),
        reason: DeadReason,
    ) -> Vec<(i64, i64)> {
        let range = DeadRange {
            first: Offset::new(first),
            last: Offset::new(last),
            delivery_count: 5,
            reason,
        };
        let done = Mutex::new(Vec::new());
        let told = |first: Offset, last: Offset| {
            done.lock().unwrap().push((first.get(), last.get()));
        };
        self.letters.bury(key, &[range], told).await;
        done.into_inner().unwrap()
    }

    /// Partition 0 of the dead-letter topic.
    pub fn dead_partition(&self) -> PartitionId {
        let topic = self.bench.broker.catalog.view.topic("dead").unwrap();
        topic.partition(0).unwrap()
    }

    /// The letters there.
    pub async fn dead(&self) -> Vec<Record> {
        read(&*self.bench.broker.engine, self.dead_partition()).await
    }
}

fn change(name: &str, value: &str) -> Changes {
    Changes::Each(vec![(name.into(), Op::Set, Some(value.into()))])
}

async fn topic(bench: &Bench, name: &str, configs: &[Setting<'_>]) -> Arc<Topic> {
    let configs = configs.iter();
    let configs = configs.map(|(name, value)| ((*name).into(), (*value).into()));
    let new = NewTopic {
        name: name.into(),
        id: fresh_id(),
        partitions: 2,
        configs: configs.collect::<BTreeMap<_, _>>(),
        internal: false,
    };
    let made = bench.broker.catalog.create(vec![new], false).await;
    made.into_iter().next().unwrap().unwrap()
}

/// All records of a partition.
pub(crate) async fn read(engine: &dyn Engine, id: PartitionId) -> Vec<Record> {
    let log = engine.partition(id).unwrap();
    let request = ReadRequest {
        from: log.offsets().start,
        max_bytes: 64 << 20,
        at_least_one: true,
        bound: Bound::HighWatermark,
    };
    let slice = log.read(request).await.unwrap().records;
    let mut rest = slice.map_or_else(Bytes::new, |slice| slice.to_bytes().unwrap());
    let mut all = Vec::new();
    while !rest.is_empty() {
        let length = BatchHeader::decode(&rest).unwrap().bytes;
        let batch = Batch::parse(rest.split_to(length), usize::MAX).unwrap();
        all.extend(records(&batch).unwrap().map(Result::unwrap));
    }
    all
}
