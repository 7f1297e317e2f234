//! Clients that mean harm or know no better, against the real binary: it stays up, its memory
//! stays bounded, and a healthy client hardly notices.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use kafka_protocol::messages::fetch_request::{FetchPartition, FetchTopic};
use kafka_protocol::messages::metadata_request::MetadataRequestTopic;
use kafka_protocol::messages::produce_request::{PartitionProduceData, TopicProduceData};
use kafka_protocol::messages::{ApiVersionsRequest, FetchRequest, MetadataRequest, ProduceRequest};
use kafka_protocol::protocol::StrBytes;
use ratel_integration::{RawClient, ServerProcess};
use ratel_protocol::schema::generate::{self, Random};
use ratel_server::api::ROUTES;
use ratel_storage::BatchBuilder;
use tokio::io::Interest;
use tokio::task::{JoinHandle, JoinSet};
use tokio::time::{sleep, timeout};

const MIB: usize = 1 << 20;

/// A server and the directory it lives in.
struct Server {
    process: ServerProcess,
    _root: tempfile::TempDir,
}

impl Server {
    fn start(settings: &[(&str, &str)]) -> Self {
        let root = tempfile::tempdir().expect("a temporary directory can be made");
        let process = ServerProcess::start_with(root.path(), settings);
        Self {
            process,
            _root: root,
        }
    }

    fn addr(&self) -> SocketAddr {
        self.process.addr()
    }

    fn proc_file(&self, name: &str) -> String {
        let id = self.process.id().expect("it runs");
        std::fs::read_to_string(format!("/proc/{id}/{name}")).expect("it runs")
    }

    /// Bytes of memory that are resident.
    fn memory(&self) -> usize {
        let status = self.proc_file("status");
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
        let kib = line.and_then(|line| line.trim().strip_suffix(" kB"));
        let kib = kib.and_then(|kib| kib.parse::<usize>().ok());
        kib.expect("a number of KiB") << 10
    }

    fn descriptors(&self) -> usize {
        let id = self.process.id().expect("it runs");
        std::fs::read_dir(format!("/proc/{id}/fd"))
            .expect("it runs")
            .count()
    }

    /// The server answers, and no handler panicked.
    async fn check_healthy(&mut self) {
        assert!(self.process.ended().is_none(), "it still runs");
        let mut client = RawClient::connect(self.addr()).await;
        let answer = client.send(0, &ApiVersionsRequest::default()).await;
        assert_eq!(answer.error_code, 0);
        let log = self.process.log();
        assert!(!log.contains("panic"), "{log}");
    }
}

/// A client that asks for one thing after the other and keeps how long each took.
struct Healthy {
    stop: Arc<AtomicBool>,
    asking: JoinHandle<Vec<Duration>>,
}

impl Healthy {
    fn start(addr: SocketAddr) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let asking = tokio::spawn({
            let stop = stop.clone();
            async move {
                let mut client = RawClient::connect(addr).await;
                let mut times = Vec::new();
                while !stop.load(Ordering::Relaxed) {
                    let began = Instant::now();
                    client.send(1, &metadata(&[])).await;
                    times.push(began.elapsed());
                    sleep(Duration::from_millis(2)).await;
                }
                times
            }
        });
        Self { stop, asking }
    }

    /// The slowest answer but one in a hundred.
    async fn p99(self) -> Duration {
        self.stop.store(true, Ordering::Relaxed);
        let mut times = self.asking.await.expect("every request was answered");
        times.sort_unstable();
        assert!(times.len() >= 10, "only {} answers", times.len());
        times[times.len() * 99 / 100]
    }
}

fn metadata(topics: &[&'static str]) -> MetadataRequest {
    let topics = topics.iter().map(|name| {
        MetadataRequestTopic::default().with_name(Some(StrBytes::from_static_str(name).into()))
    });
    MetadataRequest::default()
        .with_topics(Some(topics.collect()))
        .with_allow_auto_topic_creation(true)
}

/// Make a topic by asking for it.
async fn create(client: &mut RawClient, topic: &'static str) {
    let made = async {
        while client.send(8, &metadata(&[topic])).await.topics[0].error_code != 0 {
            sleep(Duration::from_millis(20)).await;
        }
    };
    timeout(Duration::from_secs(5), made)
        .await
        .expect("a topic");
}

/// One record of so many bytes.
fn produce(topic: &'static str, bytes: usize) -> ProduceRequest {
    let mut batch = BatchBuilder::new(1_700_000_000_000);
    batch.record(None, Some(&vec![b'x'; bytes]));
    let records = batch.build().expect("a record").bytes().clone();
    let partition = PartitionProduceData::default().with_records(Some(records));
    let data = TopicProduceData::default()
        .with_name(StrBytes::from_static_str(topic).into())
        .with_partition_data(vec![partition]);
    ProduceRequest::default()
        .with_acks(1)
        .with_timeout_ms(60_000)
        .with_topic_data(vec![data])
}

/// Everything from the beginning, at most 1 MiB.
fn fetch(topic: &'static str) -> FetchRequest {
    let partition = FetchPartition::default().with_partition_max_bytes(1 << 20);
    let topic = FetchTopic::default()
        .with_topic(StrBytes::from_static_str(topic).into())
        .with_partitions(vec![partition]);
    FetchRequest::default()
        .with_min_bytes(1)
        .with_max_bytes(1 << 20)
        .with_topics(vec![topic])
}

/// From `RATEL_HOSTILE`: how many times the everyday size. A release runs with 10.
fn scale() -> usize {
    std::env::var("RATEL_HOSTILE")
        .ok()
        .and_then(|scale| scale.parse().ok())
        .unwrap_or(1)
}

fn frames() -> u64 {
    std::env::var("RATEL_FRAMES")
        .ok()
        .and_then(|frames| frames.parse().ok())
        .unwrap_or(4000)
}

/// A frame to send: of any key and version, whole, broken or noise.
fn hostile_frame(random: &mut Random) -> Vec<u8> {
    if random.one_in(8) {
        let length = 8 + random.below(400);
        let mut frame = random.bytes(length);
        let key = i16::try_from(random.below(110)).expect("small") - 5;
        frame[..2].copy_from_slice(&key.to_be_bytes());
        frame[2] = 0;
        frame[3] %= 20;
        return frame;
    }
    let route = &ROUTES[random.below(ROUTES.len())];
    let span = usize::try_from(route.version_max - route.version_min).expect("a range") + 1;
    let version = route.version_min + i16::try_from(random.below(span)).expect("small");
    let mut frame = generate::frame(route.key, version, 7, random).expect("it has a schema");
    if !random.one_in(4) {
        generate::damage(&mut frame, random);
    }
    frame
}

/// `RATEL_FRAMES=1000000` sends a million.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_frame_hurts_the_server_or_its_other_clients() {
    let mut server = Server::start(&[("partitions.max", "2000")]);
    let before = server.memory();
    let healthy = Healthy::start(server.addr());
    let mut senders = JoinSet::new();
    for sender in 0..8 {
        let addr = server.addr();
        senders.spawn(async move {
            let mut client = RawClient::connect(addr).await;
            for seed in (sender..frames()).step_by(8) {
                let frame = hostile_frame(&mut Random::new(seed));
                // A closed connection is an answer too; what parks is left alone.
                let sent = client.send_frame(&frame).await;
                let answer = timeout(Duration::from_millis(20), client.receive_frame()).await;
                if sent.is_err() || !matches!(answer, Ok(Ok(Some(_)))) {
                    client = RawClient::connect(addr).await;
                }
            }
        });
    }
    while let Some(sent) = senders.join_next().await {
        sent.expect("the server accepts connections throughout");
    }
    let p99 = healthy.p99().await;
    assert!(p99 < Duration::from_millis(500), "{p99:?}");
    server.check_healthy().await;
    let grown = server.memory().saturating_sub(before);
    assert!(grown <= 64 * MIB, "{} MiB more", grown / MIB);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn absurd_lengths_cost_nothing_and_are_closed() {
    let mut server = Server::start(&[("frame.timeout.ms", "1000")]);
    server.check_healthy().await;
    let before = server.memory();
    let mut clients = Vec::new();
    for number in 0..1000 * scale() {
        let length = [i32::MAX, -1, 104_857_600, 16 << 20][number % 4];
        let mut client = RawClient::connect(server.addr()).await;
        let mut bytes = length.to_be_bytes().to_vec();
        bytes.push(0);
        client.send_bytes(&bytes).await.expect("open");
        clients.push(client);
    }
    let grown = server.memory().saturating_sub(before);
    assert!(grown <= 32 * MIB * scale(), "{} MiB more", grown / MIB);
    for mut client in clients {
        assert!(client.is_closed().await);
    }
    server.check_healthy().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn slow_senders_and_clients_that_do_not_read_hold_nobody_up() {
    let mut server = Server::start(&[("frame.timeout.ms", "3000"), ("write.timeout.ms", "3000")]);
    let mut client = RawClient::connect(server.addr()).await;
    create(&mut client, "large").await;
    let stored = client.send(7, &produce("large", 1_000_000)).await;
    assert_eq!(stored.responses[0].partition_responses[0].error_code, 0);
    let before = server.memory();
    let healthy = Healthy::start(server.addr());
    let addr = server.addr();
    let mut clients = JoinSet::new();
    for _ in 0..200 * scale() {
        clients.spawn(async move {
            let mut client = RawClient::connect(addr).await;
            for byte in [0, 0, 1, 0, 0, 3, 0, 1, 0, 0, 0, 7] {
                if client.send_bytes(&[byte]).await.is_err() {
                    return;
                }
                sleep(Duration::from_millis(100)).await;
            }
            assert!(client.is_closed().await, "its frame is never whole");
        });
    }
    for _ in 0..50 * scale() {
        clients.spawn(async move {
            let mut client = RawClient::connect(addr).await;
            // Ask for much more than sockets hold, and read nothing until it is closed.
            let frame = client.encode(4, &fetch("large"));
            for _ in 0..100 {
                if client.send_frame(&frame).await.is_err() {
                    break;
                }
            }
            let stream = client.into_stream();
            let closed = timeout(Duration::from_secs(30), stream.ready(Interest::ERROR)).await;
            assert!(closed.is_ok(), "a client that does not read is closed");
        });
    }
    sleep(Duration::from_secs(2)).await;
    let grown = server.memory().saturating_sub(before);
    assert!(grown <= 64 * MIB, "{} MiB more", grown / MIB);
    while let Some(client) = clients.join_next().await {
        client.expect("each is closed");
    }
    let p99 = healthy.p99().await;
    assert!(p99 < Duration::from_millis(500), "{p99:?}");
    server.check_healthy().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_flood_of_connections_leaves_nothing_behind() {
    let mut server = Server::start(&[("max.connections.per.ip", "300")]);
    server.check_healthy().await;
    let before = server.descriptors();
    let addr = server.addr();
    let mut clients = JoinSet::new();
    for _ in 0..4 {
        clients.spawn(async move {
            for _ in 0..500 * scale() {
                drop(RawClient::try_connect(addr).await);
            }
        });
    }
    while let Some(client) = clients.join_next().await {
        client.expect("no panic");
    }
    // And more at once than may be, once the server has seen that the others are gone.
    settle(&server, before).await;
    let mut held = Vec::new();
    for _ in 0..400 {
        held.push(RawClient::connect(addr).await);
    }
    let mut refused = 0;
    for client in held.iter_mut().skip(300) {
        refused += usize::from(client.is_closed().await);
    }
    assert_eq!(refused, 100);
    drop(held);
    settle(&server, before).await;
    server.check_healthy().await;
}

/// Wait until no more descriptors are open than before, but for one.
async fn settle(server: &Server, before: usize) {
    for _ in 0..500 {
        if server.descriptors() <= before + 1 {
            break;
        }
        sleep(Duration::from_millis(10)).await;
    }
    assert!(
        server.descriptors() <= before + 1,
        "{} descriptors, {before} before",
        server.descriptors()
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn idle_connections_are_small() {
    let mut server = Server::start(&[]);
    server.check_healthy().await;
    let count = 1000 * scale();
    let mut clients = Vec::new();
    // The first ones grow what is shared.
    for _ in 0..50 {
        clients.push(RawClient::connect(server.addr()).await);
    }
    let before = server.memory();
    for _ in 0..count {
        let mut client = RawClient::connect(server.addr()).await;
        client.send(1, &metadata(&[])).await;
        clients.push(client);
    }
    let each = server.memory().saturating_sub(before) / count;
    assert!(each <= 10 << 10, "{each} bytes for each idle connection");
    server.check_healthy().await;
}

/// More frames at once than the budget holds: all get through, one after the other.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn frames_in_flight_share_one_budget() {
    let mut server = Server::start(&[
        ("memory.request.bytes", "33554432"),
        ("message.max.bytes", "20000000"),
    ]);
    let addr = server.addr();
    let mut client = RawClient::connect(addr).await;
    create(&mut client, "large").await;
    let before = server.memory();
    let request = Arc::new(produce("large", 10 * MIB));
    let mut producers = JoinSet::new();
    for _ in 0..20 * scale() {
        let request = request.clone();
        producers.spawn(async move {
            let mut client = RawClient::connect(addr).await;
            let answer = client.send(7, &*request).await;
            answer.responses[0].partition_responses[0].error_code
        });
    }
    let mut most = 0;
    while let Some(code) = producers.join_next().await {
        assert_eq!(code.expect("an answer"), 0);
        most = most.max(server.memory().saturating_sub(before));
    }
    // The budget, the one frame that may go beyond it, buffers that grow by doubling, and what the
    // allocator keeps of those that are gone.
    assert!(most <= 192 * MIB, "{} MiB more", most / MIB);
    server.check_healthy().await;
}
