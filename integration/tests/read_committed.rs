//! What readers of committed records get through a socket, before and after a crash, of
//! transactions in both of Kafka's flows.

use std::time::Duration;

use bytes::Bytes;
use kafka_protocol::messages::add_partitions_to_txn_request::AddPartitionsToTxnTopic;
use kafka_protocol::messages::create_topics_request::CreatableTopic;
use kafka_protocol::messages::describe_producers_request::TopicRequest;
use kafka_protocol::messages::fetch_request::{FetchPartition, FetchTopic};
use kafka_protocol::messages::fetch_response::PartitionData;
use kafka_protocol::messages::list_offsets_request::{ListOffsetsPartition, ListOffsetsTopic};
use kafka_protocol::messages::produce_request::{PartitionProduceData, TopicProduceData};
use kafka_protocol::messages::{
    AddPartitionsToTxnRequest, CreateTopicsRequest, DescribeProducersRequest, EndTxnRequest,
    FetchRequest, InitProducerIdRequest, ListOffsetsRequest, ProduceRequest, TopicName,
    TransactionalId,
};
use kafka_protocol::protocol::StrBytes;
use ratel_integration::{RawClient, TestBroker};
use ratel_storage::{Batch, BatchBuilder, BatchHeader, Marker, Outcome, records};

const TOPIC: &str = "t";

/// Records are of now, as markers are: the segment is not rolled by their age.
fn now_ms() -> i64 {
    let since = std::time::SystemTime::UNIX_EPOCH.elapsed();
    let since = since.expect("a clock after 1970").as_millis();
    i64::try_from(since).expect("a clock before the year 292278994")
}

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

/// Who writes, in transactions of one of both flows or in none.
struct Writer {
    client: RawClient,
    /// The transactional id; none for plain records.
    name: Option<&'static str>,
    /// Whether writing adds the partition, and each end raises the epoch (T-7, T-9).
    is_second_flow: bool,
    id: i64,
    epoch: i16,
    sequence: i32,
}

impl Writer {
    /// Become this transactional id.
    async fn new(broker: &TestBroker, name: &'static str, is_second_flow: bool) -> Self {
        let mut writer = Self::plain(broker).await;
        let request = InitProducerIdRequest::default()
            .with_transactional_id(Some(transactional_id(name)))
            .with_transaction_timeout_ms(60_000);
        let response = writer.client.send(4, &request).await;
        assert_eq!(response.error_code, 0);
        (writer.name, writer.is_second_flow) = (Some(name), is_second_flow);
        (writer.id, writer.epoch) = (response.producer_id.0, response.producer_epoch);
        writer
    }

    async fn plain(broker: &TestBroker) -> Self {
        Self {
            client: RawClient::connect(broker.addr()).await,
            name: None,
            is_second_flow: false,
            id: -1,
            epoch: -1,
            sequence: 0,
        }
    }

    /// Say that the partition is part of the transaction, as the first flow does.
    async fn add(&mut self) {
        let topic = AddPartitionsToTxnTopic::default()
            .with_name(name())
            .with_partitions(vec![0]);
        let request = AddPartitionsToTxnRequest::default()
            .with_v3_and_below_transactional_id(transactional_id(self.name.expect("a name")))
            .with_v3_and_below_producer_id(self.id.into())
            .with_v3_and_below_producer_epoch(self.epoch)
            .with_v3_and_below_topics(vec![topic]);
        let response = self.client.send(3, &request).await;
        let topics = response.results_by_topic_v3_and_below;
        let code = topics[0].results_by_partition[0].partition_error_code;
        assert_eq!(code, 0);
    }

    /// Write a record. The partition's error code.
    async fn try_write(&mut self, value: &str) -> i16 {
        let mut builder = BatchBuilder::new(now_ms());
        if self.name.is_some() {
            builder = builder
                .producer(self.id, self.epoch, self.sequence)
                .transactional();
        }
        builder.record(None, Some(value.as_bytes()));
        let records = builder.build().expect("a record").bytes().clone();
        let partition = PartitionProduceData::default().with_records(Some(records));
        let topic = TopicProduceData::default()
            .with_name(name())
            .with_partition_data(vec![partition]);
        let request = ProduceRequest::default()
            .with_transactional_id(self.name.map(transactional_id))
            .with_acks(-1)
            .with_timeout_ms(30_000)
            .with_topic_data(vec![topic]);
        let version = if self.is_second_flow { 12 } else { 11 };
        let response = self.client.send(version, &request).await;
        response.responses[0].partition_responses[0].error_code
    }

    async fn write(&mut self, value: &str) {
        if self.name.is_some() && !self.is_second_flow {
            self.add().await;
        }
        assert_eq!(self.try_write(value).await, 0);
        self.sequence += 1;
    }

    /// End the transaction, and wait until its marker is in the log.
    async fn end(&mut self, commits: bool) {
        let before = latest(&mut self.client, 0).await;
        let request = EndTxnRequest::default()
            .with_transactional_id(transactional_id(self.name.expect("a name")))
            .with_producer_id(self.id.into())
            .with_producer_epoch(self.epoch)
            .with_committed(commits);
        let version = if self.is_second_flow { 5 } else { 4 };
        let response = self.client.send(version, &request).await;
        assert_eq!(response.error_code, 0);
        if self.is_second_flow {
            (self.id, self.epoch) = (response.producer_id.0, response.producer_epoch);
            self.sequence = 0;
        }
        let mut tries = 0;
        while latest(&mut self.client, 0).await <= before {
            tries += 1;
            assert!(tries < 1000, "no marker in 10 s");
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }
}

fn transactional_id(name: &'static str) -> TransactionalId {
    TransactionalId(StrBytes::from_static_str(name))
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

async fn look(broker: &TestBroker, opened: i64, what: &str) {
    let mut client = RawClient::connect(broker.addr()).await;
    let uncommitted = fetch(&mut client, 0, 0).await;
    assert_eq!(uncommitted.aborted_transactions, None, "{what}");
    assert_eq!(uncommitted.last_stable_offset, 8, "{what}");
    let seen = fetch(&mut client, 0, 1).await;
    let all = ["plain", "kept", "kept too", "again"];
    assert_eq!(committed(&seen), all, "{what}");
    let late = fetch(&mut client, 4, 1).await;
    assert_eq!(committed(&late), all[2..], "{what}");
    assert_eq!(latest(&mut client, 0).await, 10, "{what}");
    assert_eq!(latest(&mut client, 1).await, 8, "{what}");
    assert_eq!(open(&mut client).await, [(opened, 8)], "{what}");
}

/// Two transactions that end and one that does not, each in one of both flows.
async fn committed_records_alone(is_second_flow: bool) {
    let mut broker = TestBroker::start().await;
    create(&mut RawClient::connect(broker.addr()).await).await;
    let mut plain = Writer::plain(&broker).await;
    let mut first = Writer::new(&broker, "first", is_second_flow).await;
    let mut second = Writer::new(&broker, "second", !is_second_flow).await;
    let mut third = Writer::new(&broker, "third", is_second_flow).await;
    plain.write("plain").await;
    first.write("dropped").await;
    second.write("kept").await;
    first.write("dropped too").await;
    second.write("kept too").await;
    first.end(false).await;
    second.end(true).await;
    plain.write("again").await;
    third.write("open").await;
    plain.write("behind").await;
    look(&broker, third.id, "live").await;
    broker.crash();
    broker.restart().await;
    look(&broker, third.id, "after a crash").await;
    broker.restart().await;
    look(&broker, third.id, "after a clean end").await;
    third.client = RawClient::connect(broker.addr()).await;
    third.end(true).await;
    let mut client = RawClient::connect(broker.addr()).await;
    assert_eq!(latest(&mut client, 1).await, 11);
    let seen = fetch(&mut client, 8, 1).await;
    assert_eq!(committed(&seen), ["open", "behind"]);
}

#[tokio::test]
async fn f_4_and_t_15_committed_records_alone_in_the_first_flow() {
    committed_records_alone(false).await;
}

#[tokio::test]
async fn f_4_and_t_15_committed_records_alone_in_the_second_flow() {
    committed_records_alone(true).await;
}

#[tokio::test]
async fn t_6_and_t_18_a_batch_outside_of_any_transaction_is_refused() {
    let broker = TestBroker::start().await;
    create(&mut RawClient::connect(broker.addr()).await).await;
    let mut writer = Writer::new(&broker, "first", false).await;
    // TRANSACTION_ABORTABLE: nobody added the partition.
    assert_eq!(writer.try_write("x").await, 120);
    writer.write("a").await;
    writer.end(true).await;
    assert_eq!(writer.try_write("x").await, 120);
    writer.write("b").await;
    writer.end(false).await;
    let mut client = RawClient::connect(broker.addr()).await;
    assert_eq!(committed(&fetch(&mut client, 0, 1).await), ["a"]);
    assert_eq!(latest(&mut client, 1).await, 4);
}
