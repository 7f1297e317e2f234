//! The story through an old librdkafka, told in the words that every rdkafka crate since 0.29
//! knows. Built outside the workspace, once for each version.

use std::collections::BTreeMap;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use rdkafka::admin::{AdminClient, AdminOptions, NewTopic, TopicReplication};
use rdkafka::client::DefaultClientContext;
use rdkafka::config::ClientConfig;
use rdkafka::consumer::{BaseConsumer, CommitMode, Consumer};
use rdkafka::message::{Header, Headers, Message, OwnedHeaders};
use rdkafka::producer::{FutureProducer, FutureRecord, Producer};
use rdkafka::topic_partition_list::{Offset, TopicPartitionList};

const PARTITIONS: i32 = 4;
const RECORDS: usize = 200;
const WAIT: Duration = Duration::from_secs(30);

type Seen = (i32, i64, String, String);

fn settings() -> ClientConfig {
    let servers = std::env::args().nth(1).expect("usage: story HOST:PORT");
    let mut settings = ClientConfig::new();
    settings.set("bootstrap.servers", servers);
    settings
}

fn topic(purpose: &str) -> String {
    let run = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_millis();
    format!("old-{purpose}-{run:x}")
}

fn create(topic: &str) {
    let admin: AdminClient<DefaultClientContext> = settings().create().unwrap();
    let wanted = NewTopic::new(topic, PARTITIONS, TopicReplication::Fixed(1));
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let options = AdminOptions::new();
    let created = runtime.block_on(admin.create_topics([&wanted], &options)).unwrap();
    assert_eq!(created, [Ok(topic.to_owned())]);
}

fn values(label: &str) -> Vec<(String, String)> {
    let value = |n: usize| format!("{label} {n} {}", "x".repeat(n % 90));
    (0..RECORDS).map(|n| (format!("key-{}", n % 17), value(n))).collect()
}

fn produce(topic: &str, sent: &[(String, String)], more: &[(&str, &str)]) {
    let mut settings = settings();
    for (key, value) in more {
        settings.set(*key, *value);
    }
    let producer: FutureProducer = settings.set("linger.ms", "5").create().unwrap();
    let mut waiting = Vec::new();
    for (key, value) in sent {
        let length = value.len().to_string();
        let header = Header { key: "length", value: Some(length.as_str()) };
        let headers = OwnedHeaders::new().insert(header);
        let record = FutureRecord::to(topic).key(key).payload(value).headers(headers);
        waiting.push(producer.send_result(record).expect("room in the queue"));
    }
    let _ = producer.flush(WAIT);
    let runtime = tokio::runtime::Runtime::new().unwrap();
    for delivered in waiting {
        let delivered = runtime.block_on(delivered).unwrap();
        assert!(delivered.is_ok(), "delivery: {:?}", delivered.err());
    }
}

fn consumer(group: &str) -> BaseConsumer {
    settings()
        .set("group.id", group)
        .set("auto.offset.reset", "earliest")
        .set("enable.auto.commit", "false")
        .set("session.timeout.ms", "10000")
        .set("heartbeat.interval.ms", "300")
        .set("check.crcs", "true")
        .create()
        .unwrap()
}

fn poll(consumer: &BaseConsumer, count: usize, time: Duration) -> Vec<Seen> {
    let (mut seen, began) = (Vec::new(), Instant::now());
    while seen.len() < count && began.elapsed() < time {
        let Some(message) = consumer.poll(time) else { continue };
        let message = message.expect("a record, not an error");
        let text = |bytes: Option<&[u8]>| String::from_utf8_lossy(bytes.unwrap()).into_owned();
        let value = text(message.payload());
        let header = message.headers().expect("a header").get(0);
        assert_eq!(header.value, Some(value.len().to_string().as_bytes()));
        seen.push((message.partition(), message.offset(), text(message.key()), value));
    }
    seen
}

fn check_log(what: &str, mut seen: Vec<Seen>, sent: &[(String, String)]) {
    assert_eq!(seen.len(), sent.len(), "{what}: records");
    seen.sort();
    let mut next = BTreeMap::new();
    let (mut seen_by_key, mut sent_by_key) = (BTreeMap::new(), BTreeMap::new());
    for (partition, offset, key, value) in seen {
        let expected = next.insert(partition, offset + 1).unwrap_or(offset);
        assert_eq!(offset, expected, "{what}: the offset in {partition}");
        seen_by_key.entry(key).or_insert_with(Vec::new).push(value);
    }
    for (key, value) in sent.iter().cloned() {
        sent_by_key.entry(key).or_insert_with(Vec::new).push(value);
    }
    assert_eq!(seen_by_key, sent_by_key, "{what}: records by key");
}

fn codecs() {
    let all = [("none", "false"), ("gzip", "false"), ("snappy", "false"), ("lz4", "false"),
        ("zstd", "false"), ("none", "true")];
    for (codec, idempotent) in all {
        let topic = topic(codec);
        create(&topic);
        let sent = values(codec);
        produce(&topic, &sent, &[
            ("compression.type", codec), ("enable.idempotence", idempotent), ("max.in.flight", "1"),
        ]);
        let reader = consumer("unused");
        let mut all = TopicPartitionList::new();
        for partition in 0..PARTITIONS {
            all.add_partition_offset(&topic, partition, Offset::Beginning).unwrap();
        }
        reader.assign(&all).unwrap();
        check_log(codec, poll(&reader, RECORDS, WAIT), &sent);
        println!("ok produce and consume, {codec}, idempotent: {idempotent}");
    }
}

fn group() {
    let (topic, moment) = (topic("group"), Duration::from_millis(50));
    create(&topic);
    let sent = values("group");
    produce(&topic, &sent, &[]);
    let holds = |member: &BaseConsumer| member.assignment().unwrap().count();
    let join = || {
        let member = consumer(&topic);
        member.subscribe(&[&topic]).unwrap();
        member
    };
    let (first, began) = (join(), Instant::now());
    let mut seen = Vec::new();
    while seen.len() < RECORDS {
        seen.extend(poll(&first, RECORDS, moment));
        assert!(began.elapsed() < WAIT, "one member reads all");
    }
    check_log("one member", seen, &sent);
    first.commit_consumer_state(CommitMode::Sync).unwrap();
    let second = join();
    while (holds(&first), holds(&second)) != (2, 2) {
        let repeated = poll(&first, 1, moment).len() + poll(&second, 1, moment).len();
        assert_eq!(repeated, 0, "what was committed is not read again");
        assert!(began.elapsed() < WAIT * 2, "two members share the partitions");
    }
    drop(second);
    while holds(&first) != 4 {
        assert!(poll(&first, 1, moment).is_empty(), "what was committed is not read again");
        assert!(began.elapsed() < WAIT * 3, "the one that stays has all again");
    }
    println!("ok a group of two rebalances, commits and resumes");
}

fn main() {
    println!("librdkafka {}", rdkafka::util::get_rdkafka_version().1);
    codecs();
    group();
}
