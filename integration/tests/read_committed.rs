//! What readers of committed records get through a socket, before and after a crash. Who writes in
//! transactions is played by the log's own door for coordinators.

use std::sync::Arc;

use bytes::Bytes;
use kafka_protocol::messages::create_topics_request::CreatableTopic;
use kafka_protocol::messages::describe_producers_request::TopicRequest;
use kafka_protocol::messages::fetch_request::{FetchPartition, FetchTopic};
use kafka_protocol::messages::fetch_response::PartitionData;
use kafka_protocol::messages::list_offsets_request::{ListOffsetsPartition, ListOffsetsTopic};
use kafka_protocol::messages::{
    CreateTopicsRequest, DescribeProducersRequest, FetchRequest, ListOffsetsRequest, TopicName,
};
use kafka_protocol::protocol::StrBytes;
use ratel_integration::{RawClient, TestBroker};
use ratel_storage::{
    Batch, BatchBuilder, BatchHeader, Durability, Marker, Origin, Outcome, Partition, Producer,
    records,
};

const TOPIC: &str = "t";
const NOW_MS: i64 = 1_700_000_000_000;

fn name() -> TopicName {
    TopicName(StrBytes::from_static_str(TOPIC))
}

async fn create(client: &mut RawClient) {
    let topic = CreatableTopic::default()
        .with_name(name())
        .with_num_partitions(1)
        .with_replication_factor(1);
    let request = CreateTopicsRequest::default()
        .with_topics(vec![topic])
        .with_timeout_ms(10_000);
    let response = client.send(7, &request).await;
    assert_eq!(response.topics[0].error_code, 0, "{response:?}");
}

fn log(broker: &TestBroker) -> Arc<dyn Partition> {
    let broker = broker.broker();
    let found = broker.partition_by_name(TOPIC, 0);
    found.expect("the topic was made")
}

async fn append(log: &Arc<dyn Partition>, batch: &Batch) {
    let appended = log.append(batch, Origin::Coordinator, Durability::Synced, NOW_MS);
    appended.await.expect("appended");
}

/// A record of this producer's transaction; of none for -1.
async fn write(log: &Arc<dyn Partition>, id: i64, value: &str) {
    let mut builder = BatchBuilder::new(NOW_MS);
    if id >= 0 {
        builder = builder.producer(id, 0, -1).transactional();
    }
    builder.record(None, Some(value.as_bytes()));
    append(log, &builder.build().expect("a record")).await;
}

async fn end(log: &Arc<dyn Partition>, id: i64, outcome: Outcome) {
    let marker = Marker {
        producer: Producer { id, epoch: 0 },
        outcome,
        coordinator_epoch: 1,
        transaction_version: 0,
    };
    let appended = log.append_marker(&marker, Durability::Synced, NOW_MS);
    appended.await.expect("appended");
}

async fn fetch(client: &mut RawClient, from: i64, isolation_level: i8) -> PartitionData {
    let partition = FetchPartition::default()
        .with_partition(0)
        .with_fetch_offset(from)
        .with_partition_max_bytes(1 << 20);
    let topic = FetchTopic::default()
        .with_topic(name())
        .with_partitions(vec![partition]);
    let request = FetchRequest::default()
        .with_max_bytes(1 << 20)
        .with_isolation_level(isolation_level)
        .with_topics(vec![topic]);
    let mut response = client.send(12, &request).await;
    let data = response.responses.remove(0).partitions.remove(0);
    assert_eq!(data.error_code, 0);
    data
}

/// What a client delivers: as the protocol's guide has it, an aborted transaction's records are
/// left out from its first offset to its producer's next abort marker.
fn committed(data: &PartitionData) -> Vec<String> {
    let mut aborted = data.aborted_transactions.clone().expect("a list");
    aborted.sort_by_key(|one| one.first_offset);
    let mut rest: Bytes = data.records.clone().unwrap_or_default();
    let (mut left_out, mut values) = (std::collections::HashSet::new(), Vec::new());
    while !rest.is_empty() {
        let header = BatchHeader::decode(&rest).expect("whole batches");
        let bytes = rest.split_to(header.bytes);
        let batch = Batch::parse(bytes, usize::MAX).expect("a batch whose CRC fits");
        let last = header.base_offset + i64::from(header.last_offset_delta);
        while aborted.first().is_some_and(|one| one.first_offset <= last) {
            left_out.insert(aborted.remove(0).producer_id.0);
        }
        if let Some(marker) = Marker::from_batch(&batch) {
            if marker.outcome == Outcome::Abort {
                left_out.remove(&marker.producer.id);
            }
        } else if !left_out.contains(&header.producer_id) {
            for record in records(&batch).expect("records") {
                let value = record.expect("a record").value.expect("a value");
                values.push(String::from_utf8(value.to_vec()).expect("text"));
            }
        }
    }
    values
}

async fn latest(client: &mut RawClient, isolation_level: i8) -> i64 {
    let asked = ListOffsetsPartition::default().with_timestamp(-1);
    let topic = ListOffsetsTopic::default()
        .with_name(name())
        .with_partitions(vec![asked]);
    let request = ListOffsetsRequest::default()
        .with_isolation_level(isolation_level)
        .with_topics(vec![topic]);
    client.send(7, &request).await.topics[0].partitions[0].offset
}

/// Where open transactions begin, by producer.
async fn open(client: &mut RawClient) -> Vec<(i64, i64)> {
    let topic = TopicRequest::default()
        .with_name(name())
        .with_partition_indexes(vec![0]);
    let request = DescribeProducersRequest::default().with_topics(vec![topic]);
    let response = client.send(0, &request).await;
    let producers = response.topics[0].partitions[0].active_producers.iter();
    producers
        .filter(|one| one.current_txn_start_offset >= 0)
        .map(|one| (one.producer_id.0, one.current_txn_start_offset))
        .collect()
}

async fn look(broker: &TestBroker, what: &str) {
    let mut client = RawClient::connect(broker.addr()).await;
    let uncommitted = fetch(&mut client, 0, 0).await;
    assert_eq!(uncommitted.aborted_transactions, None, "{what}");
    assert_eq!(uncommitted.last_stable_offset, 8, "{what}");
    let seen = fetch(&mut client, 0, 1).await;
    assert_eq!(
        committed(&seen),
        ["plain", "kept", "kept too", "again"],
        "{what}"
    );
    let late = fetch(&mut client, 4, 1).await;
    assert_eq!(committed(&late), ["kept too", "again"], "{what}");
    assert_eq!(latest(&mut client, 0).await, 10, "{what}");
    assert_eq!(latest(&mut client, 1).await, 8, "{what}");
    assert_eq!(open(&mut client).await, [(3, 8)], "{what}");
}

#[tokio::test]
async fn f_4_and_t_15_committed_records_alone_before_and_after_a_crash() {
    let mut broker = TestBroker::start().await;
    create(&mut RawClient::connect(broker.addr()).await).await;
    let here = log(&broker);
    write(&here, -1, "plain").await;
    write(&here, 1, "dropped").await;
    write(&here, 2, "kept").await;
    write(&here, 1, "dropped too").await;
    write(&here, 2, "kept too").await;
    end(&here, 1, Outcome::Abort).await;
    end(&here, 2, Outcome::Commit).await;
    write(&here, -1, "again").await;
    write(&here, 3, "open").await;
    write(&here, -1, "behind").await;
    drop(here);
    look(&broker, "live").await;
    broker.crash();
    broker.restart().await;
    look(&broker, "after a crash").await;
    broker.restart().await;
    look(&broker, "after a clean end").await;
    let here = log(&broker);
    end(&here, 3, Outcome::Commit).await;
    let mut client = RawClient::connect(broker.addr()).await;
    assert_eq!(latest(&mut client, 1).await, 11);
    let seen = fetch(&mut client, 8, 1).await;
    assert_eq!(committed(&seen), ["open", "behind"]);
}
