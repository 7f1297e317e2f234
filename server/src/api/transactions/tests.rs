//! Whole transactions through the table, at every version.

use std::sync::Arc;

use bytes::Bytes;
use ratel_protocol::messages::add_partitions_to_txn_request::{
    AddPartitionsToTxnTopic, AddPartitionsToTxnTransaction,
};
use ratel_protocol::messages::produce_request::{PartitionProduceData, TopicProduceData};
use ratel_protocol::messages::write_txn_markers_request::{
    WritableTxnMarker, WritableTxnMarkerTopic,
};
use ratel_protocol::messages::{
    AddOffsetsToTxnRequest, AddPartitionsToTxnRequest, DescribeTransactionsRequest, EndTxnRequest,
    InitProducerIdRequest, ListTransactionsRequest, ProduceRequest, TopicName,
    WriteTxnMarkersRequest,
};
use ratel_protocol::{ErrorCode, StrBytes};
use ratel_storage::disk_memory::{Call, Errno, Fault};
use ratel_storage::{BatchBuilder, Durability, Offset, Offsets, Origin, Partition};

use super::transactional_id;
use crate::api::testing::{Bench, NOW_MS, answer, response};
use crate::config::Config;
use crate::coordinator::Record as _;
use crate::coordinator::catalog::{OFFSETS_TOPIC, TRANSACTIONS_TOPIC, Topic};
use crate::coordinator::router::shard_of;
use crate::coordinator::txn::{Init, Record, Status, Transaction};
use crate::transactions::Transactions;

/// A producer of the transactional id `t`, and a topic of three partitions.
struct World {
    bench: Bench,
    topic: Arc<Topic>,
}

type Who = (i64, i16);

impl World {
    async fn new() -> Self {
        let config = Config {
            num_partitions: 3,
            ..Config::default()
        };
        let bench = Bench::with_transactions(config).await;
        let topic = bench.broker.catalog.create_automatically("a").await;
        Self {
            bench,
            topic: topic.expect("a topic"),
        }
    }

    async fn init(&self, version: i16) -> (i16, Who) {
        let request = InitProducerIdRequest::default()
            .with_transactional_id(Some(transactional_id("t")))
            .with_transaction_timeout_ms(60_000);
        let answer = self.bench.send(version, &request).await;
        (
            answer.error_code,
            (answer.producer_id.0, answer.producer_epoch),
        )
    }

    /// A producer that nobody fences.
    async fn producer(&self) -> Who {
        let (code, who) = self.init(4).await;
        assert_eq!(code, 0);
        who
    }

    async fn add(&self, version: i16, who: Who, indexes: &[i32]) -> Vec<i16> {
        let topic = AddPartitionsToTxnTopic::default()
            .with_name(TopicName("a".to_owned().into()))
            .with_partitions(indexes.to_vec());
        self.add_topics(version, who, vec![topic], false).await
    }

    async fn add_topics(
        &self,
        version: i16,
        who: Who,
        topics: Vec<AddPartitionsToTxnTopic>,
        verify_only: bool,
    ) -> Vec<i16> {
        let request = AddPartitionsToTxnRequest::default();
        let request = if version < 4 {
            request
                .with_v3_and_below_transactional_id(transactional_id("t"))
                .with_v3_and_below_producer_id(who.0.into())
                .with_v3_and_below_producer_epoch(who.1)
                .with_v3_and_below_topics(topics)
        } else {
            request.with_transactions(vec![
                AddPartitionsToTxnTransaction::default()
                    .with_transactional_id(transactional_id("t"))
                    .with_producer_id(who.0.into())
                    .with_producer_epoch(who.1)
                    .with_verify_only(verify_only)
                    .with_topics(topics),
            ])
        };
        let mut answer = self.bench.send(version, &request).await;
        let topics = match version {
            ..4 => answer.results_by_topic_v3_and_below,
            _ => answer.results_by_transaction.remove(0).topic_results,
        };
        let partitions = topics.iter().flat_map(|topic| &topic.results_by_partition);
        partitions
            .map(|partition| partition.partition_error_code)
            .collect()
    }

    async fn add_offsets(&self, version: i16, who: Who) -> i16 {
        let request = AddOffsetsToTxnRequest::default()
            .with_transactional_id(transactional_id("t"))
            .with_producer_id(who.0.into())
            .with_producer_epoch(who.1)
            .with_group_id(StrBytes::from_static_str("g").into());
        self.bench.send(version, &request).await.error_code
    }

    fn end_request(who: Who, commit: bool) -> EndTxnRequest {
        EndTxnRequest::default()
            .with_transactional_id(transactional_id("t"))
            .with_producer_id(who.0.into())
            .with_producer_epoch(who.1)
            .with_committed(commit)
    }

    async fn end(&self, version: i16, who: Who, commit: bool) -> (i16, Who) {
        let answer = self
            .bench
            .send(version, &Self::end_request(who, commit))
            .await;
        (
            answer.error_code,
            (answer.producer_id.0, answer.producer_epoch),
        )
    }

    /// Write a record to partitions of the topic; the codes.
    async fn produce(&self, version: i16, batches: &[(i32, Who, i32)]) -> Vec<i16> {
        let batches = batches.iter().map(|(index, who, sequence)| {
            PartitionProduceData::default()
                .with_index(*index)
                .with_records(Some(batch(*who, *sequence)))
        });
        let mut topic = TopicProduceData::default().with_partition_data(batches.collect());
        if version >= 13 {
            topic.topic_id = self.topic.id;
        } else {
            topic.name = TopicName("a".to_owned().into());
        }
        let request = ProduceRequest::default()
            .with_transactional_id(Some(transactional_id("t")))
            .with_acks(-1)
            .with_timeout_ms(10_000)
            .with_topic_data(vec![topic]);
        let answer = self.bench.send(version, &request).await;
        let partitions = answer.responses[0].partition_responses.iter();
        partitions.map(|partition| partition.error_code).collect()
    }

    fn log(&self, index: i32) -> Arc<dyn Partition> {
        self.bench
            .broker
            .partition(&self.topic, index)
            .expect("a log")
    }

    fn offsets(&self, index: i32) -> Offsets {
        self.log(index).offsets()
    }

    /// The state of `t`, once its markers are written.
    async fn settled(&self) -> Transaction {
        for _ in 0..1000 {
            let found = self.bench.broker.transactions.describe("t").await;
            let found = found.expect("a transactional id");
            if found.status.preparing().is_none() {
                return *found;
            }
            tokio::time::sleep(std::time::Duration::from_millis(2)).await;
        }
        panic!("the markers of the transaction are not written");
    }
}

fn batch(who: Who, sequence: i32) -> Bytes {
    let builder = BatchBuilder::new(NOW_MS).producer(who.0, who.1, sequence);
    let mut builder = builder.transactional();
    builder.record(None, Some(b"v"));
    builder.build().expect("a record").bytes().clone()
}

#[tokio::test]
async fn t_8_the_old_flow_at_every_version() {
    for (init, add, produce, end) in [
        (0, 0, 3, 0),
        (1, 1, 7, 1),
        (2, 2, 9, 2),
        (3, 3, 10, 3),
        (4, 3, 11, 4),
    ] {
        for commit in [true, false] {
            let world = World::new().await;
            let (code, who) = world.init(init).await;
            assert_eq!((code, who.1), (0, 0));
            assert_eq!(world.add(add, who, &[0, 2]).await, [0, 0]);
            assert_eq!(
                world.produce(produce, &[(0, who, 0), (2, who, 0)]).await,
                [0, 0]
            );
            assert_eq!(world.offsets(0).stable.get(), 0);
            assert_eq!(world.produce(produce, &[(0, who, 1)]).await, [0]);
            assert_eq!(world.end(end, who, commit).await.0, 0);
            let after = world.settled().await;
            assert_eq!((after.status, after.epoch), (Status::completed(commit), 0));
            // Two records and a marker, all decided.
            let offsets = world.offsets(0);
            assert_eq!((offsets.stable.get(), offsets.end.get()), (3, 3));
            assert_eq!(world.offsets(1).end.get(), 0);
            assert_eq!(world.offsets(2).stable.get(), 2);
            let aborted = world.log(0).aborted(Offset::ZERO, offsets.end).await;
            assert_eq!(aborted.expect("ranges").len(), usize::from(!commit));
            // And the next one, of the same epoch.
            assert_eq!(world.add(add, who, &[0]).await, [0]);
            assert_eq!(world.produce(produce, &[(0, who, 2)]).await, [0]);
        }
    }
}

#[tokio::test]
async fn t_7_t_9_the_new_flow_adds_what_is_written_to() {
    for produce in [12, 13] {
        let world = World::new().await;
        let mut who = world.producer().await;
        for (round, commit) in [(0, true), (1, false), (2, true)] {
            assert_eq!(
                world.produce(produce, &[(0, who, 0), (1, who, 0)]).await,
                [0, 0]
            );
            assert_eq!(world.produce(produce, &[(0, who, 1)]).await, [0]);
            let (code, next) = world.end(5, who, commit).await;
            assert_eq!((code, next), (0, (who.0, round + 1)));
            // Asked again, as if the answer was lost: 51 until the markers are there.
            world.settled().await;
            assert_eq!(world.end(5, who, commit).await, (0, next));
            who = next;
        }
        assert_eq!(world.offsets(0).stable.get(), 9);
        assert_eq!(world.offsets(1).stable.get(), 6);
        assert_eq!(world.bench.broker.metrics.transactions.outcomes(), (2, 1));
    }
}

#[tokio::test]
async fn t_6_a_partition_that_was_not_added_is_refused() {
    for (version, wanted) in [(3, 48), (9, 48), (10, 48), (11, 120)] {
        let world = World::new().await;
        let who = world.producer().await;
        assert_eq!(world.produce(version, &[(0, who, 0)]).await, [wanted]);
        assert_eq!(world.add(3, who, &[1]).await, [0]);
        let mixed = world.produce(version, &[(0, who, 0), (1, who, 0)]).await;
        assert_eq!(mixed, [wanted, 0]);
        assert_eq!(world.offsets(0).end.get(), 0);
    }
}

#[tokio::test]
async fn t_6_verification_can_be_turned_off() {
    let config = Config {
        num_partitions: 3,
        transaction_partition_verification_enable: false,
        ..Config::default()
    };
    let bench = Bench::with_transactions(config).await;
    let topic = bench.broker.catalog.create_automatically("a").await;
    let world = World {
        bench,
        topic: topic.expect("a topic"),
    };
    let who = world.producer().await;
    assert_eq!(world.produce(9, &[(0, who, 0)]).await, [0]);
    // Who adds by writing is added all the same.
    let next = world.end(5, who, false).await.1;
    assert_eq!(world.produce(12, &[(1, next, 0)]).await, [0]);
    assert_eq!(world.settled().await.partition_count(), 1);
}

#[tokio::test]
async fn t_18_batches_of_two_producers_are_refused() {
    let world = World::new().await;
    let who = world.producer().await;
    let other = (who.0 + 1, 0);
    let codes = world.produce(12, &[(0, who, 0), (1, other, 0)]).await;
    assert_eq!(codes, [49, 49]);
    assert_eq!(world.offsets(0).end.get(), 0);
}

#[tokio::test]
async fn t_18_who_was_fenced_does_not_write_along_with_who_holds_the_id() {
    let world = World::new().await;
    let (old, who) = (world.producer().await, world.producer().await);
    for version in [11, 12] {
        assert_eq!(world.add(3, who, &[0, 1]).await, [0, 0]);
        let codes = world.produce(version, &[(0, old, 0), (1, who, 0)]).await;
        assert_eq!(codes, [49, 49], "0, {version}");
    }
    assert_eq!(world.offsets(0).end.get(), 0);
}

#[tokio::test]
async fn t_3_who_was_fenced_is_told_so_as_it_knows_it() {
    let world = World::new().await;
    let old = world.producer().await;
    let who = world.producer().await;
    assert_eq!(who, (old.0, 1));
    for (version, code) in [(0, 47), (1, 47), (2, 90), (3, 90), (4, 90), (5, 90)] {
        assert_eq!(world.add(version, old, &[0]).await, [code], "24, {version}");
        assert_eq!(world.end(version, old, true).await.0, code, "26, {version}");
    }
    for (version, code) in [(0, 47), (1, 47), (2, 90), (3, 90), (4, 90)] {
        assert_eq!(world.add_offsets(version, old).await, code, "25, {version}");
    }
    for version in [9, 11, 12] {
        assert_eq!(
            world.produce(version, &[(0, old, 0)]).await,
            [47],
            "0, {version}"
        );
    }
    for (version, code) in [(3, 47), (4, 90), (5, 90)] {
        let request = InitProducerIdRequest::default()
            .with_transactional_id(Some(transactional_id("t")))
            .with_transaction_timeout_ms(60_000)
            .with_producer_id(who.0.into())
            .with_producer_epoch(7);
        assert_eq!(world.bench.send(version, &request).await.error_code, code);
    }
}

#[tokio::test]
async fn t_2_what_is_wrong_with_an_init_is_said() {
    let world = World::new().await;
    let empty = InitProducerIdRequest::default()
        .with_transactional_id(Some(transactional_id("")))
        .with_transaction_timeout_ms(1);
    let hasty = InitProducerIdRequest::default()
        .with_transactional_id(Some(transactional_id("t")))
        .with_transaction_timeout_ms(0);
    for version in 0..=5 {
        assert_eq!(world.bench.send(version, &empty).await.error_code, 42);
        assert_eq!(world.bench.send(version, &hasty).await.error_code, 50);
    }
    let topic = world.bench.broker.catalog.view.topic(TRANSACTIONS_TOPIC);
    assert!(topic.is_none(), "nobody has a transactional id");
}

#[tokio::test]
async fn t_5_a_partition_that_is_not_there_fails_all() {
    for version in 0..=5 {
        let world = World::new().await;
        let who = world.producer().await;
        assert_eq!(world.add(version, who, &[0, 3]).await, [55, 3]);
        assert_eq!(world.settled().await.status, Status::Empty);
        if version < 4 {
            let topic = |name: &'static str| {
                AddPartitionsToTxnTopic::default()
                    .with_name(TopicName(name.to_owned().into()))
                    .with_partitions(vec![0])
            };
            let topics = vec![topic("a"), topic("__consumer_offsets")];
            assert_eq!(
                world.add_topics(version, who, topics, false).await,
                [55, 29]
            );
        }
        assert_eq!(world.add(version, (who.0 + 1, 0), &[0]).await, [49]);
    }
}

#[tokio::test]
async fn t_6_brokers_may_ask_what_is_part_of_a_transaction() {
    for (version, missing) in [(4, 48), (5, 120)] {
        let world = World::new().await;
        let who = world.producer().await;
        assert_eq!(world.add(version, who, &[1]).await, [0]);
        let topic = AddPartitionsToTxnTopic::default()
            .with_name(TopicName("a".to_owned().into()))
            .with_partitions(vec![0, 1]);
        let codes = world.add_topics(version, who, vec![topic], true).await;
        assert_eq!(codes, [missing, 0]);
    }
}

#[tokio::test]
async fn a_groups_offsets_become_part_of_a_transaction() {
    for version in 0..=4 {
        let world = World::new().await;
        let who = world.producer().await;
        assert_eq!(world.add_offsets(version, who).await, 0);
        let found = world.settled().await;
        let index = shard_of("g", 4);
        assert!(found.holds("__consumer_offsets", index));
        assert_eq!(world.end(1, who, true).await.0, 0);
        assert_eq!(world.settled().await.status, Status::CompleteCommit);
    }
}

#[tokio::test]
async fn t_10_an_end_is_answered_once_it_is_durable() {
    let world = World::new().await;
    let who = world.producer().await;
    assert_eq!(world.produce(12, &[(0, who, 0)]).await, [0]);
    world.bench.disk.hold_syncs();
    let later = world.bench.post(5, &World::end_request(who, true)).await;
    let waiting = tokio::spawn(answer(later));
    tokio::time::sleep(std::time::Duration::from_millis(30)).await;
    assert!(!waiting.is_finished());
    assert_eq!(world.offsets(0).end.get(), 1, "no marker before that");
    world.bench.disk.release_syncs();
    let answer = waiting.await.expect("an answer");
    assert_eq!(response::<EndTxnRequest>(5, answer).error_code, 0);
    assert_eq!(
        world.offsets(0).end.get(),
        2,
        "the marker lies before what comes next"
    );
}

#[tokio::test]
async fn t_15_markers_that_a_crash_kept_back_are_written_after_it() {
    for commit in [true, false] {
        let world = World::new().await;
        let who = world.producer().await;
        assert_eq!(world.produce(12, &[(0, who, 0), (1, who, 0)]).await, [0, 0]);
        // As a crash right after the decision leaves it: nothing but its record.
        let broker = &world.bench.broker;
        broker.transactions.stop().await;
        let known = Transaction::new(who.0, 60_000, NOW_MS);
        let mut known = known.prepare(commit, 2, -1, NOW_MS);
        known.partitions.insert("a".into(), [0, 1].into());
        let (key, value) = Record::Put("t".into(), Box::new(known)).encode();
        let mut builder = BatchBuilder::new(NOW_MS);
        builder.record(Some(&key), value.as_deref());
        let topic = broker
            .catalog
            .view
            .topic(TRANSACTIONS_TOPIC)
            .expect("a topic");
        let log = broker.partition(&topic, shard_of("t", 4)).expect("a log");
        let batch = builder.build().expect("a record");
        let written = log.append(&batch, Origin::Coordinator, Durability::Synced, NOW_MS);
        written.await.expect("appended");
        assert_eq!(world.offsets(0).stable.get(), 0);

        let started = Transactions::start(
            broker.engine.clone(),
            &broker.catalog,
            &broker.groups,
            broker.config.clone(),
            broker.clock.clone(),
            broker.metrics.clone(),
        );
        let started = started.await.expect("transactions");
        let mut status = Status::PrepareAbort;
        for _ in 0..1000 {
            status = started.describe("t").await.expect("known").status;
            if status.preparing().is_none() {
                break;
            }
            tokio::time::sleep(std::time::Duration::from_millis(2)).await;
        }
        assert_eq!(status, Status::completed(commit));
        assert_eq!(world.offsets(0).stable.get(), 2);
        assert_eq!(world.offsets(1).stable.get(), 2);
    }
}

#[tokio::test]
async fn t_15_markers_that_find_the_disk_full_end_one_transaction_and_not_the_next() {
    let world = World::new().await;
    let who = world.producer().await;
    assert_eq!(world.add(0, who, &[0, 1]).await, [0, 0]);
    assert_eq!(world.produce(9, &[(0, who, 0), (1, who, 0)]).await, [0, 0]);
    // The decision is written down, and the marker of one of the two partitions.
    let bench = &world.bench;
    let full = Fault::from_nth(Call::Write, 3, Errno::NOSPC);
    bench.disk.fail(full);
    assert_eq!(world.end(1, who, true).await.0, 0);
    // Whatever else its shard is to write makes it begin anew, and ask for all markers again.
    let of_the_shard = |id: &String| shard_of(id, 4) == shard_of("t", 4);
    let others = (0..).map(|n: i32| n.to_string()).filter(of_the_shard);
    for id in others.take(4) {
        let refused = bench.broker.transactions.init(Init {
            id: id.into(),
            timeout_ms: 1000,
            expected: None,
            fresh_id: None,
        });
        assert_eq!(refused.await, Err(ErrorCode::CoordinatorNotAvailable));
        pause(60).await;
    }
    let failures = bench.broker.metrics.transactions.marker_failures();
    assert!(failures > 1, "{failures} markers failed");
    bench.disk.mend();
    let mut status = Status::PrepareCommit;
    for _ in 0..1000 {
        bench.clock.advance_ms(20);
        pause(2).await;
        let found = bench.broker.transactions.describe("t").await;
        status = found.map_or(status, |found| found.status);
        if status.preparing().is_none() {
            break;
        }
    }
    assert_eq!(status, Status::CompleteCommit);
    assert_eq!(world.add(0, who, &[0, 1]).await, [0, 0]);
    assert_eq!(world.produce(9, &[(0, who, 1), (1, who, 1)]).await, [0, 0]);
    let ends = [world.offsets(0).end, world.offsets(1).end];
    bench.clock.advance_ms(10_000);
    pause(1000).await;
    assert_eq!([world.offsets(0).end, world.offsets(1).end], ends);
    assert!(world.offsets(0).stable < ends[0], "it is open");
}

async fn pause(ms: u64) {
    tokio::time::sleep(std::time::Duration::from_millis(ms)).await;
}

#[tokio::test]
async fn a_topic_that_was_deleted_needs_no_marker() {
    let world = World::new().await;
    let who = world.producer().await;
    assert_eq!(world.produce(12, &[(0, who, 0)]).await, [0]);
    let deleted = world
        .bench
        .broker
        .catalog
        .delete(vec![world.topic.id])
        .await;
    assert!(deleted[0].is_ok());
    assert_eq!(world.end(5, who, true).await.0, 0);
    assert_eq!(world.settled().await.status, Status::CompleteCommit);
}

#[tokio::test]
async fn an_operator_ends_a_transaction_that_hangs() {
    let world = World::new().await;
    let who = world.producer().await;
    assert_eq!(world.produce(12, &[(0, who, 0)]).await, [0]);
    let topic = |name: &'static str, indexes: &[i32]| {
        WritableTxnMarkerTopic::default()
            .with_name(TopicName(name.to_owned().into()))
            .with_partition_indexes(indexes.to_vec())
    };
    let marker = WritableTxnMarker::default()
        .with_producer_id(who.0.into())
        .with_producer_epoch(who.1)
        .with_transaction_result(false)
        .with_coordinator_epoch(0)
        .with_topics(vec![topic("a", &[0, 9]), topic(TRANSACTIONS_TOPIC, &[0])]);
    let request = WriteTxnMarkersRequest::default().with_markers(vec![marker]);
    let answer = world.bench.send(1, &request).await;
    let [first, second] = &answer.markers[0].topics[..] else {
        panic!("two topics");
    };
    let codes: Vec<_> = first
        .partitions
        .iter()
        .map(|result| result.error_code)
        .collect();
    assert_eq!(codes, [0, 3]);
    assert_eq!(
        second.partitions[0].error_code, 3,
        "the coordinator's own log"
    );
    assert_eq!(world.offsets(0).stable.get(), 2);
}

#[tokio::test]
async fn t_12_an_operator_cannot_fence_the_coordinator() {
    let world = World::new().await;
    let mut who = world.producer().await;
    let topic = |name: &'static str, indexes: &[i32]| {
        WritableTxnMarkerTopic::default()
            .with_name(TopicName(name.to_owned().into()))
            .with_partition_indexes(indexes.to_vec())
    };
    for coordinator_epoch in [-1, 0, 1, i32::MAX] {
        assert_eq!(world.produce(12, &[(0, who, 0)]).await, [0]);
        let end = world.offsets(0).end;
        let marker = WritableTxnMarker::default()
            .with_producer_id(who.0.into())
            .with_producer_epoch(who.1)
            .with_coordinator_epoch(coordinator_epoch)
            .with_topics(vec![topic("a", &[0, 0]), topic("a", &[0])]);
        let request = WriteTxnMarkersRequest::default().with_markers(vec![marker]);
        let answer = world.bench.send(1, &request).await;
        let [result] = &answer.markers[0].topics[..] else {
            panic!("a topic");
        };
        let [result] = &result.partitions[..] else {
            panic!("a partition that is named three times counts once");
        };
        // One below the epoch of the coordinator is fenced.
        if coordinator_epoch < 0 && result.error_code != 0 {
            assert_eq!(result.error_code, 52);
        } else {
            assert_eq!(result.error_code, 0, "epoch {coordinator_epoch}");
            assert_eq!(world.offsets(0).end, end.plus(1));
        }
        // The transaction goes on, and the coordinator's own marker ends it.
        assert_eq!(world.produce(12, &[(0, who, 1)]).await, [0]);
        let (code, next) = world.end(5, who, true).await;
        assert_eq!(code, 0);
        assert_eq!(world.settled().await.status, Status::CompleteCommit);
        let offsets = world.offsets(0);
        assert_eq!(offsets.stable, offsets.end, "epoch {coordinator_epoch}");
        who = next;
    }
}

#[tokio::test]
async fn t_11_nobodys_transaction_cannot_be_ended() {
    let world = World::new().await;
    for (id, epoch) in [(-1, 0), (-2, 0), (0, -1)] {
        let topic = WritableTxnMarkerTopic::default()
            .with_name(TopicName("a".to_owned().into()))
            .with_partition_indexes(vec![0]);
        let offsets = WritableTxnMarkerTopic::default()
            .with_name(TopicName(OFFSETS_TOPIC.to_owned().into()))
            .with_partition_indexes(vec![0]);
        let marker = WritableTxnMarker::default()
            .with_producer_id(id.into())
            .with_producer_epoch(epoch)
            .with_topics(vec![topic, offsets]);
        let request = WriteTxnMarkersRequest::default().with_markers(vec![marker]);
        let answer = world.bench.send(1, &request).await;
        let topics = answer.markers[0].topics.iter();
        let codes: Vec<_> = topics.map(|topic| topic.partitions[0].error_code).collect();
        assert_eq!(codes, [42, 42], "{id}, {epoch}");
    }
    assert_eq!(world.offsets(0).end.get(), 0);
}

#[tokio::test]
async fn t_16_ids_are_described_and_listed() {
    let world = World::new().await;
    let list = |version, states: &[&'static str]| {
        let states = states.iter().map(|state| (*state).to_owned().into());
        let request = ListTransactionsRequest::default()
            .with_state_filters(states.collect())
            .with_duration_filter(-1);
        let bench = &world.bench;
        async move { bench.send(version, &request).await }
    };
    assert_eq!(list(0, &[]).await.transaction_states, []);
    let who = world.producer().await;
    assert_eq!(world.add(3, who, &[0, 2]).await, [0, 0]);
    for version in 0..=2 {
        let listed = list(version, &["Ongoing"]).await.transaction_states;
        assert_eq!(listed.len(), 1);
        assert_eq!(
            (listed[0].producer_id.0, &*listed[0].transaction_state),
            (who.0, "Ongoing")
        );
        let none = list(version, &["Dead", "Gone"]).await;
        assert_eq!(none.transaction_states, []);
        assert_eq!(
            none.unknown_state_filters,
            [StrBytes::from_static_str("Gone")]
        );
    }
    let matching = |pattern: Option<&'static str>| {
        let request = ListTransactionsRequest::default()
            .with_duration_filter(-1)
            .with_transactional_id_pattern(pattern.map(StrBytes::from_static_str));
        let bench = &world.bench;
        async move {
            let answer = bench.send(2, &request).await;
            (answer.error_code, answer.transaction_states.len())
        }
    };
    for (pattern, found) in [(None, 1), (Some(""), 1), (Some("t|u"), 1), (Some("tt"), 0)] {
        assert_eq!(matching(pattern).await, (0, found), "{pattern:?}");
    }
    assert_eq!(matching(Some("(t")).await, (128, 0));
    let ids = ["t", "u", ""].map(transactional_id).to_vec();
    let request = DescribeTransactionsRequest::default().with_transactional_ids(ids);
    let states = world.bench.send(0, &request).await.transaction_states;
    assert_eq!(states[0].error_code, 0);
    assert_eq!(states[0].topics[0].partitions, [0, 2]);
    assert_eq!(
        (states[0].transaction_timeout_ms, states[0].producer_epoch),
        (60_000, 0)
    );
    assert_eq!((states[1].error_code, states[2].error_code), (105, 42));
}
