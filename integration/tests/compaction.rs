//! Compacted topics through librdkafka: what is left, and what the server says about it.

#![allow(clippy::unwrap_used, clippy::panic, reason = "tests fail by panicking")]

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use ratel_integration::TestBroker;
use rdkafka::ClientConfig;
use rdkafka::admin::{
    AdminClient, AdminOptions, AlterConfig, NewTopic, ResourceSpecifier, TopicReplication,
};
use rdkafka::client::DefaultClientContext;
use rdkafka::consumer::{Consumer, StreamConsumer};
use rdkafka::message::{Header, Headers, Message, OwnedHeaders};
use rdkafka::producer::{FutureProducer, FutureRecord, Producer};
use rdkafka::topic_partition_list::{Offset, TopicPartitionList};

const TOPIC: &str = "compacted";
const KEYS: usize = 40;
const WAIT: Duration = Duration::from_secs(30);

async fn broker() -> TestBroker {
    TestBroker::start_with(|config| config.log_cleaner_backoff_ms = 50).await
}

fn client(broker: &TestBroker) -> ClientConfig {
    let mut config = ClientConfig::new();
    config.set("bootstrap.servers", broker.addr().to_string());
    config
}

async fn create(broker: &TestBroker) {
    let admin: AdminClient<DefaultClientContext> = client(broker).create().unwrap();
    let topic = NewTopic::new(TOPIC, 1, TopicReplication::Fixed(1))
        .set("cleanup.policy", "compact")
        .set("internal.segment.bytes", "20000")
        .set("min.cleanable.dirty.ratio", "0.01");
    let made = admin.create_topics([&topic], &AdminOptions::new()).await;
    assert!(made.unwrap().iter().all(Result::is_ok));
}

type Left = BTreeMap<i64, (String, Option<String>, usize)>;

/// Write `count` records to some keys, each with two headers of one name; gives the last of each
/// key, by offset.
async fn write(broker: &TestBroker, codec: &str, count: usize, last: &mut Left) {
    let producer: FutureProducer = client(broker)
        .set("compression.type", codec)
        .set("linger.ms", "5")
        .set("batch.num.messages", "20")
        .create()
        .unwrap();
    let mut sent = Vec::new();
    for n in 0..count {
        let key = format!("k{}", n * 7 % KEYS);
        // Some keys end with a tombstone.
        let value = (n % 5 > 0).then(|| format!("{codec} {n}"));
        let header = |value: &'static str| Header {
            key: "h",
            value: Some(value),
        };
        let headers = OwnedHeaders::new().insert(header("1")).insert(header("2"));
        let mut record = FutureRecord::to(TOPIC).key(&key).headers(headers);
        if let Some(value) = &value {
            record = record.payload(value);
        }
        let delivery = producer.send_result(record).unwrap();
        sent.push((key, value, delivery));
    }
    producer.flush(WAIT).unwrap();
    for (key, value, delivery) in sent {
        let at = delivery.await.unwrap().unwrap().offset;
        last.retain(|_, (known, _, _)| *known != key);
        last.insert(at, (key, value, 2));
    }
}

/// Every record that a reader from the beginning sees, up to the end of now.
async fn read(broker: &TestBroker) -> Left {
    let consumer: StreamConsumer = client(broker)
        .set("group.id", "reader")
        .set("enable.auto.commit", "false")
        .create()
        .unwrap();
    let (_, end) = consumer.fetch_watermarks(TOPIC, 0, WAIT).unwrap();
    let mut from = TopicPartitionList::new();
    from.add_partition_offset(TOPIC, 0, Offset::Beginning)
        .unwrap();
    consumer.assign(&from).unwrap();
    let mut left = Left::new();
    // The last record of all is never cleaned away: it is in the active segment.
    while left
        .last_key_value()
        .is_none_or(|(last, _)| *last < end - 1)
    {
        let record = tokio::time::timeout(WAIT, consumer.recv())
            .await
            .unwrap()
            .unwrap();
        let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
        let headers = record.headers().map_or(0, Headers::count);
        let key = text(record.key().unwrap());
        left.insert(record.offset(), (key, record.payload().map(text), headers));
    }
    left
}

#[tokio::test(flavor = "multi_thread", worker_threads = 3)]
async fn c_2_a_compacted_topic_keeps_the_last_record_of_each_key_in_every_codec() {
    let broker = broker().await;
    create(&broker).await;
    let mut last = Left::new();
    let mut written = 0;
    for codec in ["none", "gzip", "snappy", "lz4", "zstd"] {
        write(&broker, codec, 600, &mut last).await;
        written += 600;
    }
    let began = Instant::now();
    let left = loop {
        let left = read(&broker).await;
        for (offset, record) in &last {
            assert_eq!(left.get(offset), Some(record), "offset {offset}");
        }
        // All but the active segment and what was closed last.
        if left.len() < written / 3 {
            break left;
        }
        assert!(
            began.elapsed() < WAIT,
            "{} of {written} are left",
            left.len()
        );
        tokio::time::sleep(Duration::from_millis(200)).await;
    };
    assert!(left.len() >= KEYS);
    let counts = broker.broker().metrics.cleaner.counts();
    assert!(counts.runs > 0 && counts.freed_bytes > 0, "{counts:?}");
    assert_eq!(counts.failures, 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 3)]
async fn c_1_a_shorter_rest_of_the_cleaner_does_not_wait_for_the_end_of_the_longer() {
    let broker = TestBroker::start_with(|config| config.log_cleaner_backoff_ms = 3_600_000).await;
    create(&broker).await;
    write(&broker, "none", 1200, &mut Left::new()).await;
    assert_eq!(broker.broker().metrics.cleaner.counts().runs, 0);
    let admin: AdminClient<DefaultClientContext> = client(&broker).create().unwrap();
    let shorter =
        AlterConfig::new(ResourceSpecifier::Broker(1)).set("log.cleaner.backoff.ms", "50");
    let altered = admin.alter_configs([&shorter], &AdminOptions::new()).await;
    assert!(altered.unwrap().iter().all(Result::is_ok));
    let began = Instant::now();
    while broker.broker().metrics.cleaner.counts().runs == 0 {
        assert!(began.elapsed() < WAIT, "nothing was cleaned");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 3)]
async fn p_10_a_record_without_a_key_is_refused_by_a_compacted_topic() {
    let broker = broker().await;
    create(&broker).await;
    let producer: FutureProducer = client(&broker).create().unwrap();
    let record: FutureRecord<'_, (), str> = FutureRecord::to(TOPIC).payload("v");
    let (error, _) = producer.send(record, WAIT).await.unwrap_err();
    let code = error.rdkafka_error_code().unwrap();
    assert_eq!(code, rdkafka::types::RDKafkaErrorCode::InvalidRecord);
}
