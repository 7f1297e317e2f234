//! Produce, Fetch and their neighbours through a socket, a catalog and files: what the handlers'
//! own tests (`server/src/api/*/tests.rs`, which hold the rest of the checklist) cannot see.

use std::time::Duration;

use bytes::{Bytes, BytesMut};
use kafka_protocol::messages::create_topics_request::{CreatableTopic, CreatableTopicConfig};
use kafka_protocol::messages::delete_records_request::{
    DeleteRecordsPartition, DeleteRecordsTopic,
};
use kafka_protocol::messages::fetch_request::{FetchPartition, FetchTopic};
use kafka_protocol::messages::list_offsets_request::{ListOffsetsPartition, ListOffsetsTopic};
use kafka_protocol::messages::metadata_request::MetadataRequestTopic;
use kafka_protocol::messages::offset_for_leader_epoch_request::{
    OffsetForLeaderPartition, OffsetForLeaderTopic,
};
use kafka_protocol::messages::produce_request::{PartitionProduceData, TopicProduceData};
use kafka_protocol::messages::{
    CreateTopicsRequest, DeleteRecordsRequest, DeleteTopicsRequest, DescribeLogDirsRequest,
    FetchRequest, FetchResponse, InitProducerIdRequest, ListOffsetsRequest, MetadataRequest,
    OffsetForLeaderEpochRequest, ProduceRequest, ProduceResponse, TopicName,
};
use kafka_protocol::protocol::StrBytes;
use ratel_integration::{RawClient, TestBroker};
use ratel_storage::{Batch, BatchBuilder, BatchHeader, records};

const TOPIC: &str = "t";
/// A time in the past, ms: the broker's clock is the machine's.
const PAST_MS: i64 = 1_700_000_000_000;

fn name(topic: &str) -> TopicName {
    TopicName(StrBytes::from_string(topic.to_owned()))
}

/// Make a topic with this configuration.
async fn create(client: &mut RawClient, partitions: i32, configs: &[(&str, &str)]) {
    let configs = configs.iter().map(|(key, value)| {
        CreatableTopicConfig::default()
            .with_name(StrBytes::from_string((*key).to_owned()))
            .with_value(Some(StrBytes::from_string((*value).to_owned())))
    });
    let topic = CreatableTopic::default()
        .with_name(name(TOPIC))
        .with_num_partitions(partitions)
        .with_replication_factor(1)
        .with_configs(configs.collect());
    let request = CreateTopicsRequest::default()
        .with_topics(vec![topic])
        .with_timeout_ms(10_000);
    let response = client.send(7, &request).await;
    assert_eq!(response.topics[0].error_code, 0, "{response:?}");
}

fn builder(values: &[&str]) -> BatchBuilder {
    filled(BatchBuilder::new(PAST_MS), values)
}

fn filled(mut builder: BatchBuilder, values: &[&str]) -> BatchBuilder {
    for value in values {
        builder.record(None, Some(value.as_bytes()));
    }
    builder
}

fn bytes(builder: BatchBuilder) -> Bytes {
    builder.build().expect("records").bytes().clone()
}

fn from_producer(id: i64, sequence: i32, value: &str) -> Bytes {
    let builder = BatchBuilder::new(PAST_MS).producer(id, 0, sequence);
    bytes(filled(builder, &[value]))
}

fn produce(acks: i16, data: &[(i32, Bytes)]) -> ProduceRequest {
    let partitions = data.iter().map(|(index, records)| {
        PartitionProduceData::default()
            .with_index(*index)
            .with_records(Some(records.clone()))
    });
    let topic = TopicProduceData::default()
        .with_name(name(TOPIC))
        .with_partition_data(partitions.collect());
    ProduceRequest::default()
        .with_acks(acks)
        .with_timeout_ms(30_000)
        .with_topic_data(vec![topic])
}

/// `(code, base offset)` of the one partition of an answer.
fn outcome(response: &ProduceResponse) -> (i16, i64) {
    let partition = &response.responses[0].partition_responses[0];
    (partition.error_code, partition.base_offset)
}

/// Produce one batch to partition 0 with acks=all.
async fn put(client: &mut RawClient, records: Bytes) -> (i16, i64) {
    outcome(&client.send(9, &produce(-1, &[(0, records)])).await)
}

fn fetch(partitions: &[(i32, i64)]) -> FetchRequest {
    let partitions = partitions.iter().map(|(index, offset)| {
        FetchPartition::default()
            .with_partition(*index)
            .with_fetch_offset(*offset)
            .with_partition_max_bytes(50 << 20)
    });
    let topic = FetchTopic::default()
        .with_topic(name(TOPIC))
        .with_partitions(partitions.collect());
    FetchRequest::default()
        .with_max_wait_ms(10_000)
        .with_min_bytes(1)
        .with_max_bytes(50 << 20)
        .with_topics(vec![topic])
}

/// `(index, code, values)` of each partition of an answer.
fn fetched(response: &FetchResponse) -> Vec<(i32, i16, Vec<String>)> {
    let partitions = response
        .responses
        .iter()
        .flat_map(|topic| &topic.partitions);
    partitions
        .map(|data| {
            let batches = batches(data.records.clone().expect("records").clone());
            let values = batches.iter().flat_map(values).collect();
            (data.partition_index, data.error_code, values)
        })
        .collect()
}

fn batches(mut rest: Bytes) -> Vec<Batch> {
    let mut batches = Vec::new();
    while !rest.is_empty() {
        let header = BatchHeader::decode(&rest).expect("whole batches only");
        let bytes = rest.split_to(header.bytes);
        batches.push(Batch::parse(bytes, usize::MAX).expect("a batch whose CRC fits"));
    }
    batches
}

fn values(batch: &Batch) -> Vec<String> {
    let text = |value: Bytes| String::from_utf8(value.to_vec()).expect("text");
    let records = records(batch).expect("records");
    records
        .map(|record| text(record.expect("a record").value.expect("a value")))
        .collect()
}

/// All values of partition 0 from an offset on, at least one.
async fn read(client: &mut RawClient, from: i64) -> Vec<String> {
    let response = client.send(12, &fetch(&[(0, from)])).await;
    let (index, code, values) = fetched(&response).remove(0);
    assert_eq!((index, code), (0, 0), "{response:?}");
    values
}

async fn started(partitions: i32, configs: &[(&str, &str)]) -> (TestBroker, RawClient) {
    let broker = TestBroker::start().await;
    let mut client = RawClient::connect(broker.addr()).await;
    create(&mut client, partitions, configs).await;
    (broker, client)
}

#[tokio::test]
async fn p_2_acks_0_sends_no_answer_and_a_failure_closes_the_connection() {
    let (broker, mut client) = started(1, &[]).await;
    let frame = client.encode(9, &produce(0, &[(0, bytes(builder(&["a"])))]));
    client.send_frame(&frame).await.expect("a connection");
    // The next answer on the connection is the next request's.
    assert_eq!(put(&mut client, bytes(builder(&["b"]))).await, (0, 1));
    let frame = client.encode(9, &produce(0, &[(7, bytes(builder(&["c"])))]));
    client.send_frame(&frame).await.expect("a connection");
    assert!(client.is_closed().await);
    let mut client = RawClient::connect(broker.addr()).await;
    assert_eq!(read(&mut client, 0).await, ["a", "b"]);
}

#[tokio::test]
async fn p_9_the_topics_own_limit_counts() {
    let (_broker, mut client) = started(1, &[("max.message.bytes", "200")]).await;
    assert_eq!(put(&mut client, bytes(builder(&["small"]))).await, (0, 0));
    let large = bytes(builder(&["x".repeat(200).as_str()]));
    assert_eq!(put(&mut client, large).await, (10, -1));
}

#[tokio::test]
async fn p_12_log_append_time_is_in_the_batch_and_its_crc_fits() {
    let (_broker, mut client) = started(1, &[("message.timestamp.type", "LogAppendTime")]).await;
    let request = produce(-1, &[(0, bytes(builder(&["a", "b"])))]);
    let response = client.send(9, &request).await;
    let appended = response.responses[0].partition_responses[0].log_append_time_ms;
    assert!(appended > PAST_MS);
    let response = client.send(12, &fetch(&[(0, 0)])).await;
    let records = response.responses[0].partitions[0].records.clone();
    let [batch] = &batches(records.expect("records"))[..] else {
        panic!("one batch");
    };
    assert!(batch.header().is_log_append_time());
    assert_eq!(batch.header().max_timestamp, appended);
    assert_eq!(values(batch), ["a", "b"]);
}

#[tokio::test]
async fn p_19_producers_are_remembered_across_a_restart_and_a_crash() {
    let (mut broker, mut client) = started(1, &[]).await;
    for (sequence, value) in (0..).zip(["a", "b", "c"]) {
        let answer = put(&mut client, from_producer(7, sequence, value)).await;
        assert_eq!(answer, (0, i64::from(sequence)));
    }
    for crash in [true, false] {
        if crash {
            broker.crash();
        }
        broker.restart().await;
        let mut client = RawClient::connect(broker.addr()).await;
        assert_eq!(put(&mut client, from_producer(7, 2, "c")).await, (0, 2));
        assert_eq!(put(&mut client, from_producer(7, 1, "b")).await, (0, 1));
        assert_eq!(put(&mut client, from_producer(7, 4, "e")).await, (45, -1));
    }
    let mut client = RawClient::connect(broker.addr()).await;
    assert_eq!(put(&mut client, from_producer(7, 3, "d")).await, (0, 3));
    assert_eq!(read(&mut client, 0).await, ["a", "b", "c", "d"]);
}

#[tokio::test]
async fn p_24_f_13_records_survive_byte_for_byte_also_in_files_that_were_read_again() {
    let (mut broker, mut client) = started(1, &[]).await;
    let mut builder = BatchBuilder::new(PAST_MS);
    let headers: [(&[u8], Option<&[u8]>); 4] = [
        (b"k", Some(b"1")),
        (b"k", Some(b"2")),
        (b"j", None),
        (b"k", Some(b"")),
    ];
    builder.record_at(PAST_MS, Some(b""), None, &headers);
    builder.record_at(PAST_MS - 5, None, Some(b""), &[]);
    let sent = bytes(builder);
    let large = bytes(self::builder(&["y".repeat(100_000).as_str()]));
    assert_eq!(put(&mut client, sent.clone()).await, (0, 0));
    assert_eq!(put(&mut client, large.clone()).await, (0, 2));
    for restart in [false, true] {
        if restart {
            broker.restart().await;
        }
        let mut client = RawClient::connect(broker.addr()).await;
        for version in [4, 12] {
            let response = client.send(version, &fetch(&[(0, 0)])).await;
            let records = response.responses[0].partitions[0].records.clone();
            let records = records.expect("records");
            // Offset and leader epoch are the server's (P-13); all else is as it was sent.
            let mut expected = BytesMut::from(&sent[..]);
            expected.extend_from_slice(&large);
            for at in [0, sent.len()] {
                expected[at..at + 8].copy_from_slice(&records[at..at + 8]);
                expected[at + 12..at + 16].copy_from_slice(&records[at + 12..at + 16]);
            }
            assert!(records == expected, "v{version}");
        }
    }
}

#[tokio::test]
async fn net_9_requests_are_done_and_answered_in_order_and_a_parked_fetch_stops_no_append() {
    let (_broker, mut client) = started(1, &[]).await;
    client.post(12, &fetch(&[(0, 0)])).await;
    for (sequence, value) in (0..).zip(["a", "b", "c", "d", "e"]) {
        let records = from_producer(7, sequence, value);
        client.post(9, &produce(-1, &[(0, records)])).await;
    }
    // The fetch stands before them, and their appends end its wait.
    let response = client.receive::<FetchRequest>(12).await;
    assert_eq!(fetched(&response)[0].2[0], "a");
    for expected in 0..5 {
        let response = client.receive::<ProduceRequest>(9).await;
        assert_eq!(outcome(&response), (0, expected));
    }
    assert_eq!(read(&mut client, 0).await, ["a", "b", "c", "d", "e"]);
}

#[tokio::test]
async fn f_3_a_consumer_is_woken_by_another_connections_records() {
    let (broker, mut client) = started(3, &[]).await;
    let mut consumer = RawClient::connect(broker.addr()).await;
    consumer.post(12, &fetch(&[(0, 0), (1, 0), (2, 0)])).await;
    tokio::time::sleep(Duration::from_millis(20)).await;
    let began = std::time::Instant::now();
    client
        .send(9, &produce(-1, &[(1, bytes(builder(&["a"])))]))
        .await;
    let response = consumer.receive::<FetchRequest>(12).await;
    assert!(began.elapsed() < Duration::from_secs(5));
    let expected = [(0, 0, vec![]), (1, 0, vec!["a".into()]), (2, 0, vec![])];
    assert_eq!(fetched(&response), expected);
}

#[tokio::test]
async fn f_3_a_fetch_ends_when_its_topic_is_deleted() {
    let (broker, mut client) = started(1, &[]).await;
    let mut consumer = RawClient::connect(broker.addr()).await;
    consumer.post(12, &fetch(&[(0, 0)])).await;
    tokio::time::sleep(Duration::from_millis(20)).await;
    let request = DeleteTopicsRequest::default()
        .with_topic_names(vec![name(TOPIC)])
        .with_timeout_ms(10_000);
    let deleted = client.send(1, &request).await;
    assert_eq!(deleted.responses[0].error_code, 0);
    let response = consumer.receive::<FetchRequest>(12).await;
    assert_eq!(fetched(&response), [(0, 3, vec![])]);
}

#[tokio::test]
async fn f_9_f_10_a_session_lives_on_its_own_whatever_connection_uses_it() {
    let (broker, mut client) = started(2, &[]).await;
    let open = fetch(&[(0, 0), (1, 0)])
        .with_session_epoch(0)
        .with_max_wait_ms(0);
    let id = client.send(12, &open).await.session_id;
    let next = |epoch| {
        let fetch = fetch(&[]).with_topics(vec![]);
        fetch.with_session_id(id).with_session_epoch(epoch)
    };
    let mut other = RawClient::connect(broker.addr()).await;
    other.post(12, &next(1)).await;
    client
        .send(9, &produce(-1, &[(1, bytes(builder(&["a"])))]))
        .await;
    let response = other.receive::<FetchRequest>(12).await;
    assert_eq!(fetched(&response), [(1, 0, vec!["a".into()])]);
    // A connection that dies while its fetch waits takes the session along.
    let moved = fetch(&[(1, 1)]).with_session_id(id).with_session_epoch(2);
    other.post(12, &moved).await;
    tokio::time::sleep(Duration::from_millis(20)).await;
    drop(other);
    let sessions = &broker.broker().fetch_sessions;
    for _ in 0..200 {
        if sessions.is_empty() {
            break;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    assert_eq!(client.send(12, &next(3)).await.error_code, 70);
}

#[tokio::test]
async fn many_megabytes_come_out_as_they_went_in() {
    let (mut broker, mut client) = started(2, &[("segment.bytes", "1048576")]).await;
    let value = |n: i32| format!("{n}-{}", "z".repeat(200_000));
    for n in 0..40 {
        let records = bytes(builder(&[value(n).as_str()]));
        client.send(9, &produce(1, &[(n % 2, records)])).await;
    }
    for restart in [false, true] {
        if restart {
            broker.restart().await;
        }
        let mut client = RawClient::connect(broker.addr()).await;
        for index in 0..2 {
            let mut next = 0;
            while next < 20 {
                let response = client.send(12, &fetch(&[(index, next)])).await;
                let (_, code, values) = fetched(&response).remove(0);
                assert_eq!(code, 0);
                for read in values {
                    assert!(read == value(i32::try_from(next).expect("few") * 2 + index));
                    next += 1;
                }
            }
        }
    }
}

async fn list(client: &mut RawClient, timestamp: i64) -> (i16, i64, i64) {
    let partition = ListOffsetsPartition::default().with_timestamp(timestamp);
    let topic = ListOffsetsTopic::default()
        .with_name(name(TOPIC))
        .with_partitions(vec![partition]);
    let request = ListOffsetsRequest::default()
        .with_replica_id((-1).into())
        .with_topics(vec![topic]);
    let response = client.send(9, &request).await;
    let found = &response.topics[0].partitions[0];
    (found.error_code, found.offset, found.timestamp)
}

#[tokio::test]
async fn l_3_l_4_times_are_found_before_and_after_a_restart() {
    let (mut broker, mut client) = started(1, &[("segment.bytes", "1048576")]).await;
    for n in 0..5 {
        let mut builder = BatchBuilder::new(PAST_MS + n * 1000);
        for m in [0, 700, 300] {
            builder.record_at(PAST_MS + n * 1000 + m, None, Some(&[b'x'; 100_000]), &[]);
        }
        assert_eq!(put(&mut client, bytes(builder)).await, (0, n * 3));
    }
    for restart in [false, true] {
        if restart {
            broker.restart().await;
        }
        let mut client = RawClient::connect(broker.addr()).await;
        assert_eq!(
            list(&mut client, PAST_MS + 3500).await,
            (0, 10, PAST_MS + 3700)
        );
        assert_eq!(list(&mut client, PAST_MS + 5000).await, (0, -1, -1));
        assert_eq!(list(&mut client, -3).await, (0, 13, PAST_MS + 4700));
        assert_eq!(list(&mut client, -1).await, (0, 15, -1));
        assert_eq!(list(&mut client, -2).await, (0, 0, -1));
    }
}

async fn leader_epoch(client: &mut RawClient) -> i32 {
    let topic = MetadataRequestTopic::default().with_name(Some(name(TOPIC)));
    let request = MetadataRequest::default().with_topics(Some(vec![topic]));
    client.send(12, &request).await.topics[0].partitions[0].leader_epoch
}

/// `(code, epoch, end)` for an epoch, asked by a client that knows `current`.
async fn epoch_end(client: &mut RawClient, current: i32, epoch: i32) -> (i16, i32, i64) {
    let partition = OffsetForLeaderPartition::default()
        .with_current_leader_epoch(current)
        .with_leader_epoch(epoch);
    let topic = OffsetForLeaderTopic::default()
        .with_topic(name(TOPIC))
        .with_partitions(vec![partition]);
    let request = OffsetForLeaderEpochRequest::default()
        .with_replica_id((-1).into())
        .with_topics(vec![topic]);
    let response = client.send(4, &request).await;
    let found = &response.topics[0].partitions[0];
    (found.error_code, found.leader_epoch, found.end_offset)
}

#[tokio::test]
async fn f_7_l_6_a_crash_raises_the_leader_epoch_and_the_old_one_is_fenced() {
    let (mut broker, mut client) = started(1, &[]).await;
    put(&mut client, bytes(builder(&["a", "b"]))).await;
    let old = leader_epoch(&mut client).await;
    broker.crash();
    broker.restart().await;
    let mut client = RawClient::connect(broker.addr()).await;
    let new = leader_epoch(&mut client).await;
    assert!(new > old, "{new} after {old}");
    put(&mut client, bytes(builder(&["c"]))).await;
    for (epoch, code) in [(old, 74), (new, 0), (new + 1, 75), (-1, 0)] {
        let mut request = fetch(&[(0, 0)]);
        request.topics[0].partitions[0].current_leader_epoch = epoch;
        let response = client.send(12, &request).await;
        assert_eq!(response.responses[0].partitions[0].error_code, code);
    }
    assert_eq!(epoch_end(&mut client, old, old).await, (74, -1, -1));
    assert_eq!(epoch_end(&mut client, new, old).await, (0, old, 2));
    assert_eq!(epoch_end(&mut client, -1, new).await, (0, new, 3));
    assert_eq!(epoch_end(&mut client, -1, new + 1).await, (0, -1, -1));
    // A clean stop keeps the epoch.
    broker.restart().await;
    let mut client = RawClient::connect(broker.addr()).await;
    assert_eq!(leader_epoch(&mut client).await, new);
}

#[tokio::test]
async fn d_1_deleted_records_stay_deleted_across_a_crash() {
    let (mut broker, mut client) = started(1, &[]).await;
    put(&mut client, bytes(builder(&["a", "b", "c"]))).await;
    let partition = DeleteRecordsPartition::default().with_offset(2);
    let topic = DeleteRecordsTopic::default()
        .with_name(name(TOPIC))
        .with_partitions(vec![partition]);
    let request = DeleteRecordsRequest::default()
        .with_topics(vec![topic])
        .with_timeout_ms(30_000);
    let response = client.send(2, &request).await;
    let result = &response.topics[0].partitions[0];
    assert_eq!((result.error_code, result.low_watermark), (0, 2));
    for crash in [false, true] {
        if crash {
            broker.crash();
            broker.restart().await;
        }
        let mut client = RawClient::connect(broker.addr()).await;
        assert_eq!(list(&mut client, -2).await, (0, 2, -1));
        let response = client.send(12, &fetch(&[(0, 1)])).await;
        assert_eq!(fetched(&response), [(0, 1, vec![])]);
        // The batch that holds the start is whole; the client drops what lies below.
        assert_eq!(read(&mut client, 2).await, ["a", "b", "c"]);
    }
}

#[tokio::test]
async fn producer_ids_are_never_given_twice_also_across_a_crash() {
    let mut broker = TestBroker::start().await;
    let mut given = Vec::new();
    for crash in [false, true, false, true] {
        let mut client = RawClient::connect(broker.addr()).await;
        for _ in 0..3 {
            let request = InitProducerIdRequest::default().with_transactional_id(None);
            let response = client.send(4, &request).await;
            assert_eq!((response.error_code, response.producer_epoch), (0, 0));
            given.push(response.producer_id.0);
        }
        if crash {
            broker.crash();
        }
        broker.restart().await;
    }
    assert_eq!(given.len(), 12);
    assert!(given.is_sorted_by(|a, b| a < b), "{given:?}");
}

#[tokio::test]
async fn m_2_a_topic_that_somebody_produces_to_is_made_when_metadata_is_asked_for() {
    let broker = TestBroker::start().await;
    let mut client = RawClient::connect(broker.addr()).await;
    assert_eq!(put(&mut client, bytes(builder(&["a"]))).await, (3, -1));
    let topic = MetadataRequestTopic::default();
    let topics = vec![topic.with_name(Some(name(TOPIC)))];
    let request = MetadataRequest::default().with_topics(Some(topics));
    let response = client.send(1, &request).await;
    let topic = &response.topics[0];
    assert_eq!((topic.error_code, topic.partitions.len()), (0, 1));
    let broker_port = response.brokers[0].port;
    assert_eq!(
        broker_port,
        i32::from(broker.addr().port()),
        "the bound port"
    );
    assert_eq!(put(&mut client, bytes(builder(&["a"]))).await, (0, 0));
}

#[tokio::test]
async fn a_7_the_size_of_a_partition_is_that_of_its_batches() {
    let (_broker, mut client) = started(1, &[]).await;
    let records = bytes(builder(&["some", "values"]));
    put(&mut client, records.clone()).await;
    let request = DescribeLogDirsRequest::default().with_topics(None);
    let response = client.send(4, &request).await;
    let topics = &response.results[0].topics;
    let topic = topics
        .iter()
        .find(|topic| topic.name == name(TOPIC))
        .expect("the topic");
    assert_eq!(topic.partitions[0].partition_size, records.len() as i64);
}
