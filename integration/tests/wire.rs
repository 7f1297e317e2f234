//! The rules of the wire (NET-*) as a client meets them, on a broker in this process.

use std::time::Duration;

use bytes::{Buf, BufMut, Bytes, BytesMut};
use kafka_protocol::messages::api_versions_request::ApiVersionsRequest;
use kafka_protocol::messages::fetch_request::{FetchPartition, FetchTopic};
use kafka_protocol::messages::list_offsets_request::{ListOffsetsPartition, ListOffsetsTopic};
use kafka_protocol::messages::metadata_request::MetadataRequestTopic;
use kafka_protocol::messages::produce_request::{PartitionProduceData, TopicProduceData};
use kafka_protocol::messages::{
    ApiVersionsResponse, FetchRequest, ListOffsetsRequest, MetadataRequest, ProduceRequest,
    TopicName,
};
use kafka_protocol::protocol::{Decodable, StrBytes};
use ratel_integration::{RawClient, TestBroker};
use ratel_protocol::ApiKey;
use ratel_protocol::schema::answers::check_answer;
use ratel_protocol::schema::generate::{self, Random};
use ratel_server::api::ROUTES;
use ratel_server::metrics::Rejection;
use ratel_storage::BatchBuilder;
use tokio::time::timeout;

fn text(text: &'static str) -> StrBytes {
    StrBytes::from_static_str(text)
}

fn topic(name: &'static str) -> TopicName {
    text(name).into()
}

/// Make a topic by asking for it.
async fn create(client: &mut RawClient, name: &'static str) {
    let request = MetadataRequest::default()
        .with_topics(Some(vec![
            MetadataRequestTopic::default().with_name(Some(topic(name))),
        ]))
        .with_allow_auto_topic_creation(true);
    let made = async {
        while client.send(8, &request).await.topics[0].error_code != 0 {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    timeout(Duration::from_secs(5), made)
        .await
        .expect("a topic");
}

fn produce(name: &'static str, value: &[u8], acks: i16) -> ProduceRequest {
    let mut batch = BatchBuilder::new(1_700_000_000_000);
    batch.record(None, Some(value));
    let batch = batch.build().expect("a record");
    let partition = PartitionProduceData::default().with_records(Some(batch.bytes().clone()));
    let data = TopicProduceData::default()
        .with_name(topic(name))
        .with_partition_data(vec![partition]);
    ProduceRequest::default()
        .with_acks(acks)
        .with_timeout_ms(10_000)
        .with_topic_data(vec![data])
}

fn fetch(name: &'static str, from: i64, max_wait_ms: i32) -> FetchRequest {
    let partition = FetchPartition::default()
        .with_fetch_offset(from)
        .with_partition_max_bytes(1 << 20);
    FetchRequest::default()
        .with_max_wait_ms(max_wait_ms)
        .with_min_bytes(1)
        .with_max_bytes(1 << 20)
        .with_session_epoch(-1)
        .with_topics(vec![
            FetchTopic::default()
                .with_topic(topic(name))
                .with_partitions(vec![partition]),
        ])
}

async fn end_offset(client: &mut RawClient, name: &'static str) -> i64 {
    let partition = ListOffsetsPartition::default().with_timestamp(-1);
    let request = ListOffsetsRequest::default().with_topics(vec![
        ListOffsetsTopic::default()
            .with_name(topic(name))
            .with_partitions(vec![partition]),
    ]);
    client.send(1, &request).await.topics[0].partitions[0].offset
}

/// A frame without its length: header v1 and this body.
fn frame(key: i16, version: i16, correlation_id: i32, body: &[u8]) -> Bytes {
    let mut frame = BytesMut::new();
    frame.put_i16(key);
    frame.put_i16(version);
    frame.put_i32(correlation_id);
    frame.put_i16(-1);
    frame.put_slice(body);
    frame.freeze()
}

#[tokio::test]
async fn net_1_lengths_that_no_request_has_close_the_connection() {
    let broker = TestBroker::start().await;
    for length in [i32::MAX, -1, i32::MIN, 0, 1, 7, 104_857_601] {
        let mut client = RawClient::connect(broker.addr()).await;
        let sent = client.send_bytes(&length.to_be_bytes()).await;
        sent.expect("it is read before it is judged");
        assert!(client.is_closed().await, "{length}");
    }
}

#[tokio::test]
async fn net_2_the_answer_to_api_versions_has_the_oldest_header() {
    let broker = TestBroker::start().await;
    let mut client = RawClient::connect(broker.addr()).await;
    let mut body = vec![0]; // no tags in the header
    body.extend(b"\x02a\x022\x00"); // software "a", version "2", no tags
    let request = frame(18, 3, 99, &body);
    client.send_frame(&request).await.expect("open");
    let mut answer = client.receive_frame().await.expect("open").expect("one");
    assert_eq!(answer.get_i32(), 99);
    // No byte for tags: the error code follows at once.
    assert_eq!(answer.get_i16(), 0);
}

#[tokio::test]
async fn net_3_net_8_net_10_a_version_from_the_future_is_told_what_to_use() {
    let broker = TestBroker::start().await;
    let mut client = RawClient::connect(broker.addr()).await;
    for version in [5, 99, i16::MAX, -1] {
        // A body that nothing here could parse.
        let request = frame(18, version, 5, &[0xff; 30]);
        client.send_frame(&request).await.expect("open");
        let mut answer = client.receive_frame().await.expect("open").expect("one");
        assert_eq!(answer.get_i32(), 5);
        let response = ApiVersionsResponse::decode(&mut answer, 0).expect("v0");
        assert_eq!((response.error_code, answer.len()), (35, 0));
        let keys: Vec<_> = response
            .api_keys
            .iter()
            .map(|range| range.api_key)
            .collect();
        assert_eq!(keys, [18]);
    }
    // The same connection goes on, and may ask as often as it likes.
    for version in [4, 0, 3] {
        let request = ApiVersionsRequest::default()
            .with_client_software_name(text("raw"))
            .with_client_software_version(text("1.0"));
        let request = if version < 3 {
            ApiVersionsRequest::default()
        } else {
            request
        };
        let response = client.send(version, &request).await;
        assert_eq!(response.error_code, 0);
        let shown = ROUTES.iter().filter(|route| !route.key.is_private());
        assert_eq!(response.api_keys.len(), shown.count());
    }
}

#[tokio::test]
async fn net_4_what_is_not_spoken_closes_the_connection() {
    let broker = TestBroker::start().await;
    let requests = [
        frame(1000, 0, 1, &[]),
        frame(-1, 0, 1, &[]),
        frame(ApiKey::Produce as i16, 2, 1, &[0; 40]),
        frame(ApiKey::Produce as i16, 14, 1, &[0; 40]),
        frame(ApiKey::Vote as i16, 0, 1, &[0; 40]),
        frame(ApiKey::Metadata as i16, 1, 1, &[0x7f, 0xff, 0xff, 0xff]),
        frame(
            ApiKey::Metadata as i16,
            9,
            1,
            &[0, 0xff, 0xff, 0xff, 0xff, 0x0f],
        ),
    ];
    for request in requests {
        let mut client = RawClient::connect(broker.addr()).await;
        client.send_frame(&request).await.expect("open");
        assert!(client.is_closed().await, "{request:02x?}");
    }
}

#[tokio::test]
async fn net_5_a_client_has_a_proper_name() {
    let broker = TestBroker::start().await;
    let mut client = RawClient::connect(broker.addr()).await;
    for (name, version, code) in [("raw", "1.0", 0), ("", "1.0", 42), ("raw", "1 0", 42)] {
        let request = ApiVersionsRequest::default()
            .with_client_software_name(text(name))
            .with_client_software_version(text(version));
        assert_eq!(
            client.send(3, &request).await.error_code,
            code,
            "{name:?} {version:?}"
        );
    }
}

#[tokio::test]
async fn net_9_a_parked_fetch_does_not_keep_later_batches_out_of_the_log() {
    let broker = TestBroker::start().await;
    let mut client = RawClient::connect(broker.addr()).await;
    create(&mut client, "parked").await;
    create(&mut client, "other").await;
    client.post(11, &fetch("parked", 0, 20_000)).await;
    client.post(7, &produce("other", b"one", -1)).await;
    client.post(7, &produce("other", b"two", 1)).await;
    // This one asks for no answer.
    let silent = client.encode(7, &produce("other", b"three", 0));
    client.send_frame(&silent).await.expect("open");

    let mut witness = RawClient::connect(broker.addr()).await;
    timeout(Duration::from_secs(10), async {
        while end_offset(&mut witness, "other").await < 3 {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    })
    .await
    .expect("they are in the log while the fetch waits");

    witness.send(7, &produce("parked", b"wake up", 1)).await;
    let fetched = client.receive::<FetchRequest>(11).await;
    assert_eq!(fetched.responses[0].partitions[0].high_watermark, 1);
    for offset in [0, 1] {
        let answer = client.receive::<ProduceRequest>(7).await;
        let partition = &answer.responses[0].partition_responses[0];
        assert_eq!((partition.error_code, partition.base_offset), (0, offset));
    }
    client.post(7, &produce("other", b"four", 1)).await;
    let answer = client.receive::<ProduceRequest>(7).await;
    assert_eq!(answer.responses[0].partition_responses[0].base_offset, 3);
}

/// Every row and version, over the network, with requests made by chance: each is answered in a
/// way that its client can read, or what parks is left alone.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_row_answers_whatever_is_well_formed() {
    let broker = TestBroker::start_with(|config| config.partitions_max = 500).await;
    let mut client = RawClient::connect(broker.addr()).await;
    create(&mut client, "t").await;
    for route in ROUTES {
        for version in route.version_min..=route.version_max {
            for seed in 0..4 {
                let mut random = Random::new(seed);
                let request = generate::frame(route.key, version, 7, &mut random);
                let mut client = RawClient::connect(broker.addr()).await;
                let request = request.expect("it has a schema");
                client.send_frame(&request).await.expect("open");
                let place = format!("{:?} v{version} seed {seed}", route.key);
                let read = timeout(Duration::from_millis(150), client.receive_frame()).await;
                let Ok(answer) = read else {
                    continue;
                };
                // Produce may ask to be closed (acks=0 and a refused batch, P-3).
                if let Some(answer) = answer.expect("whole") {
                    let checked = check_answer(route.key, version, 7, answer);
                    assert_eq!(checked, Ok(()), "{place}");
                } else {
                    assert_eq!(route.key, ApiKey::Produce, "{place} was closed");
                }
            }
        }
    }
    assert_eq!(broker.broker().metrics.rejections(Rejection::Panic), 0);
    assert_eq!(broker.broker().metrics.rejections(Rejection::Malformed), 0);
}
