//! The real server without room (FT8) and without descriptors (FT9). Both must refuse clearly,
//! keep what they acknowledged, and go on by themselves when there is room again.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::print_stderr,
    reason = "a test that cannot go on says why, and one that lacks its means says so"
)]

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use bytes::Bytes;
use kafka_protocol::messages::create_topics_request::{CreatableTopic, CreatableTopicConfig};
use kafka_protocol::messages::fetch_request::{FetchPartition, FetchTopic};
use kafka_protocol::messages::produce_request::{PartitionProduceData, TopicProduceData};
use kafka_protocol::messages::{
    BrokerId, CreateTopicsRequest, DeleteTopicsRequest, FetchRequest, MetadataRequest,
    ProduceRequest, TopicName,
};
use kafka_protocol::protocol::StrBytes;
use ratel_integration::{RawClient, ServerProcess};
use ratel_storage::batch::BatchBuilder;
use tokio::net::TcpStream;

const KAFKA_STORAGE_ERROR: i16 = 56;
const VALUE_BYTES: usize = 200_000;

fn topic_name(name: &str) -> TopicName {
    TopicName(StrBytes::from_string(name.to_owned()))
}

/// Without retention: the records are of years ago, and a full disk is a reason to look at once.
async fn create_topic(client: &mut RawClient, name: &str) {
    let forever = CreatableTopicConfig::default()
        .with_name("retention.ms".to_owned().into())
        .with_value(Some("-1".to_owned().into()));
    let topic = CreatableTopic::default()
        .with_name(topic_name(name))
        .with_num_partitions(1)
        .with_replication_factor(1)
        .with_configs(vec![forever]);
    let request = CreateTopicsRequest::default()
        .with_topics(vec![topic])
        .with_timeout_ms(10_000);
    let answer = client.send(5, &request).await;
    assert_eq!(answer.topics[0].error_code, 0, "creation of {name}");
}

async fn delete_topic(client: &mut RawClient, name: &str) {
    let request = DeleteTopicsRequest::default()
        .with_topic_names(vec![topic_name(name)])
        .with_timeout_ms(10_000);
    let answer = client.send(5, &request).await;
    assert_eq!(answer.responses[0].error_code, 0, "deletion of {name}");
}

/// One batch of one record whose value begins with its number.
fn batch(number: u32) -> Bytes {
    let mut value = vec![b'x'; VALUE_BYTES];
    value[..4].copy_from_slice(&number.to_be_bytes());
    let mut builder = BatchBuilder::new(1_700_000_000_000);
    builder.record(None, Some(&value));
    builder.build().unwrap().bytes().clone()
}

/// Produce with acks=all; the offset, or the error code.
async fn produce(client: &mut RawClient, topic: &str, number: u32) -> Result<i64, i16> {
    let partition = PartitionProduceData::default().with_records(Some(batch(number)));
    let request = ProduceRequest::default()
        .with_acks(-1)
        .with_timeout_ms(10_000)
        .with_topic_data(vec![
            TopicProduceData::default()
                .with_name(topic_name(topic))
                .with_partition_data(vec![partition]),
        ]);
    let answer = client.send(9, &request).await;
    let answer = &answer.responses[0].partition_responses[0];
    match answer.error_code {
        0 => Ok(answer.base_offset),
        code => Err(code),
    }
}

/// The numbers of all records that a reader gets, in order.
async fn read_all(client: &mut RawClient, topic: &str) -> Vec<u32> {
    let mut numbers = Vec::new();
    loop {
        let next = i64::try_from(numbers.len()).unwrap();
        let partition = FetchPartition::default()
            .with_fetch_offset(next)
            .with_partition_max_bytes(4 << 20);
        let request = FetchRequest::default()
            .with_replica_id(BrokerId(-1))
            .with_max_wait_ms(0)
            .with_max_bytes(4 << 20)
            .with_topics(vec![
                FetchTopic::default()
                    .with_topic(topic_name(topic))
                    .with_partitions(vec![partition]),
            ]);
        let answer = client.send(12, &request).await;
        let answer = &answer.responses[0].partitions[0];
        assert_eq!(answer.error_code, 0, "fetch from {next}");
        let records = answer.records.clone().unwrap_or_default();
        if records.is_empty() {
            return numbers;
        }
        append_numbers(&records, &mut numbers);
    }
}

/// Walk whole batches of one record each: 61 bytes of header, then the record, whose value
/// begins with the number behind six varints of known length.
fn append_numbers(mut records: &[u8], numbers: &mut Vec<u32>) {
    while records.len() >= 61 {
        let length = u32::from_be_bytes(records[8..12].try_into().unwrap()) as usize + 12;
        if length > records.len() {
            return;
        }
        let value = length - 1 - VALUE_BYTES;
        numbers.push(u32::from_be_bytes(
            records[value..value + 4].try_into().unwrap(),
        ));
        records = &records[length..];
    }
}

/// A file system of its own; taken away when dropped.
struct Tmpfs(PathBuf);

impl Tmpfs {
    /// `None` where this machine does not let us mount, which is a failure in CI.
    fn mount(path: &Path, size: &str) -> Option<Self> {
        std::fs::create_dir_all(path).unwrap();
        let mounted = Command::new("mount")
            .args([
                "-t",
                "tmpfs",
                "-o",
                &format!("size={size},mode=0700"),
                "tmpfs",
            ])
            .arg(path)
            .status();
        if mounted.is_ok_and(|status| status.success()) {
            return Some(Self(path.to_owned()));
        }
        assert!(
            std::env::var_os("CI").is_none(),
            "a tmpfs cannot be mounted here"
        );
        eprintln!("SKIPPED: a tmpfs cannot be mounted here");
        None
    }
}

impl Drop for Tmpfs {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("--lazy").arg(&self.0).status();
    }
}

async fn fill(client: &mut RawClient, topic: &str, count: u32) -> (u32, Option<i16>) {
    for number in 0..count {
        match produce(client, topic, number).await {
            Ok(offset) => assert_eq!(offset, i64::from(number), "offsets have no gap"),
            Err(code) => return (number, Some(code)),
        }
    }
    (count, None)
}

#[tokio::test]
async fn ft_8_a_full_disk_refuses_keeps_what_it_acknowledged_and_resumes() {
    let root = tempfile::tempdir().unwrap();
    let Some(_tmpfs) = Tmpfs::mount(&root.path().join("data"), "64m") else {
        return;
    };
    let mut server = ServerProcess::start(root.path());
    let mut client = RawClient::connect(server.addr()).await;
    create_topic(&mut client, "filler").await;
    create_topic(&mut client, "kept").await;
    let (filled, refused) = fill(&mut client, "filler", 100).await;
    assert_eq!((filled, refused), (100, None), "20 MB fit into 64 MiB");
    let (kept, refused) = fill(&mut client, "kept", 1000).await;
    assert_eq!(refused, Some(KAFKA_STORAGE_ERROR), "after {kept} batches");
    let acknowledged: Vec<u32> = (0..kept).collect();
    assert_eq!(
        read_all(&mut client, "kept").await,
        acknowledged,
        "reads go on"
    );
    assert!(
        server.ended().is_none(),
        "a full disk does not end the server"
    );

    server.kill();
    server.restart();
    let mut client = RawClient::connect(server.addr()).await;
    let found = read_all(&mut client, "kept").await;
    assert_eq!(found, acknowledged, "after kill -9 on a full disk");

    delete_topic(&mut client, "filler").await;
    let began = Instant::now();
    while let Err(code) = produce(&mut client, "kept", kept).await {
        assert_eq!(code, KAFKA_STORAGE_ERROR);
        assert!(
            began.elapsed() < Duration::from_secs(5),
            "writes resume within 5 s"
        );
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    server.kill();
    server.restart();
    let mut client = RawClient::connect(server.addr()).await;
    let acknowledged: Vec<u32> = (0..=kept).collect();
    assert_eq!(
        read_all(&mut client, "kept").await,
        acknowledged,
        "after kill -9"
    );
}

/// Descriptors that a process has open.
fn descriptors(id: u32) -> usize {
    std::fs::read_dir(format!("/proc/{id}/fd")).unwrap().count()
}

/// Processor time that a process has used, in hundredths of a second.
fn cpu_ticks(id: u32) -> u64 {
    let stat = std::fs::read_to_string(format!("/proc/{id}/stat")).unwrap();
    let fields: Vec<&str> = stat.rsplit(") ").next().unwrap().split(' ').collect();
    fields[11].parse::<u64>().unwrap() + fields[12].parse::<u64>().unwrap()
}

#[tokio::test]
async fn ft_9_without_descriptors_old_clients_are_served_and_new_ones_later() {
    let root = tempfile::tempdir().unwrap();
    let limit = ["prlimit", "--nofile=256:256"];
    let mut server = ServerProcess::start_under(root.path(), &[], &limit);
    let id = server.id().unwrap();
    let mut old = RawClient::connect(server.addr()).await;
    create_topic(&mut old, "old").await;
    assert_eq!(produce(&mut old, "old", 0).await, Ok(0));
    let before = descriptors(id);

    let mut crowd = Vec::new();
    for _ in 0..400 {
        crowd.push(TcpStream::connect(server.addr()).await.unwrap());
    }
    tokio::time::sleep(Duration::from_millis(300)).await;
    let (ticks, began) = (cpu_ticks(id), Instant::now());
    for number in 1..20 {
        assert_eq!(
            produce(&mut old, "old", number).await,
            Ok(i64::from(number))
        );
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    // A tenth of a core, and what the twenty batches themselves may cost.
    let allowed = u64::try_from(began.elapsed().as_millis() / 100).unwrap() + 10;
    let used = cpu_ticks(id) - ticks;
    assert!(
        used <= allowed,
        "{used} hundredths of a second of CPU, {allowed} at most"
    );
    assert!(
        server.ended().is_none(),
        "no descriptors left does not end the server"
    );

    drop(crowd);
    let began = Instant::now();
    let mut new = RawClient::connect(server.addr()).await;
    new.send(9, &MetadataRequest::default().with_topics(Some(Vec::new())))
        .await;
    assert!(
        began.elapsed() < Duration::from_secs(5),
        "new clients are served within 5 s"
    );
    create_topic(&mut new, "new").await;
    assert_eq!(produce(&mut new, "new", 0).await, Ok(0));
    drop(new);
    let began = Instant::now();
    // What the new topic's own files take stays open.
    while descriptors(id) > before + 8 {
        assert!(
            began.elapsed() < Duration::from_secs(5),
            "{} descriptors",
            descriptors(id)
        );
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}
