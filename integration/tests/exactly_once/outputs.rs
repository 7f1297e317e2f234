//! The topics of a run: filled, watched, read.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use ratel_integration::RawClient;
use ratel_integration::exactly_once::{Readings, Seen};
use ratel_protocol::messages::{ListTransactionsRequest, ListTransactionsResponse};
use rdkafka::admin::{AdminClient, AdminOptions, NewTopic, TopicReplication};
use rdkafka::client::DefaultClientContext;
use rdkafka::config::ClientConfig;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::message::Message;
use rdkafka::producer::{BaseRecord, Producer, ThreadedProducer};
use rdkafka::types::RDKafkaErrorCode;
use rdkafka::{Offset, TopicPartitionList};

/// Where the ids are.
pub const INPUT: &str = "eos-in";
/// Where they go.
pub const OUTPUTS: [&str; 2] = ["eos-out-a", "eos-out-b"];
/// The workers' group.
pub const GROUP: &str = "eos-workers";
const PARTITIONS: i32 = 4;
const TIMEOUT: Duration = Duration::from_secs(20);

fn client(server: SocketAddr, isolation: &str) -> BaseConsumer {
    ClientConfig::new()
        .set("bootstrap.servers", server.to_string())
        .set("group.id", GROUP)
        .set("enable.auto.commit", "false")
        .set("enable.partition.eof", "false")
        .set("reconnect.backoff.max.ms", "200")
        .set("isolation.level", isolation)
        .create()
        .unwrap()
}

/// Make the topics.
pub fn create(server: SocketAddr) {
    let admin: AdminClient<DefaultClientContext> = ClientConfig::new()
        .set("bootstrap.servers", server.to_string())
        .create()
        .unwrap();
    let names = [INPUT, OUTPUTS[0], OUTPUTS[1]];
    let topics = names.map(|name| NewTopic::new(name, PARTITIONS, TopicReplication::Fixed(1)));
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let made = runtime.block_on(admin.create_topics(&topics, &AdminOptions::new()));
    for made in made.unwrap() {
        made.unwrap();
    }
}

/// Put all ids into the input.
pub fn fill(server: SocketAddr, ids: u64) {
    let producer: ThreadedProducer<_> = ClientConfig::new()
        .set("bootstrap.servers", server.to_string())
        .set("enable.idempotence", "true")
        .set("linger.ms", "5")
        .create()
        .unwrap();
    for id in 0..ids {
        let value = id.to_string();
        let partition = i32::try_from(id % u64::from(PARTITIONS.unsigned_abs())).unwrap();
        loop {
            let record = BaseRecord::<(), _>::to(INPUT).payload(&value);
            match producer.send(record.partition(partition)) {
                Ok(()) => break,
                Err((error, _)) => {
                    let full = error.rdkafka_error_code() == Some(RDKafkaErrorCode::QueueFull);
                    assert!(full, "{error}");
                    std::thread::sleep(Duration::from_millis(5));
                }
            }
        }
    }
    producer.flush(TIMEOUT * 3).unwrap();
    assert_eq!(
        ends(&client(server, "read_uncommitted"), INPUT)
            .iter()
            .sum::<i64>(),
        ids.cast_signed()
    );
}

/// The ends of a topic's partitions, as far as this consumer may see.
fn ends(consumer: &BaseConsumer, topic: &str) -> Vec<i64> {
    let partitions = 0..PARTITIONS;
    partitions
        .map(|partition| again(|| consumer.fetch_watermarks(topic, partition, TIMEOUT)).1)
        .collect()
}

/// A server that is just starting is asked again.
fn again<T>(mut ask: impl FnMut() -> rdkafka::error::KafkaResult<T>) -> T {
    let deadline = Instant::now() + TIMEOUT * 3;
    loop {
        match ask() {
            Ok(answer) => return answer,
            Err(error) => assert!(Instant::now() < deadline, "{error}"),
        }
        std::thread::sleep(Duration::from_millis(50));
    }
}

/// How many ids the workers' group has committed.
pub fn progress(server: SocketAddr) -> u64 {
    let consumer = client(server, "read_uncommitted");
    let mut asked = TopicPartitionList::new();
    asked.add_partition_range(INPUT, 0, PARTITIONS - 1);
    let committed = again(|| consumer.committed_offsets(asked.clone(), TIMEOUT));
    let offsets = committed.elements();
    let offsets = offsets.iter().map(|element| match element.offset() {
        Offset::Offset(offset) => offset.unsigned_abs(),
        _ => 0,
    });
    offsets.sum()
}

/// Wait until every transaction has an end: the last stable offset is the end of each partition,
/// and none is listed as under way (T-15).
pub fn wait_until_decided(server: SocketAddr, patience: Duration) {
    let (stable, all) = (
        client(server, "read_committed"),
        client(server, "read_uncommitted"),
    );
    let deadline = Instant::now() + patience;
    loop {
        let hanging: Vec<_> = [INPUT, OUTPUTS[0], OUTPUTS[1]]
            .iter()
            .filter(|topic| ends(&stable, topic) != ends(&all, topic))
            .collect();
        let open = under_way(server);
        if hanging.is_empty() && open.is_empty() {
            return;
        }
        assert!(
            Instant::now() < deadline,
            "transactions hang: in {hanging:?}, and listed are {open:?}"
        );
        std::thread::sleep(Duration::from_millis(200));
    }
}

/// The transactions that have not ended, by id and state.
fn under_way(server: SocketAddr) -> Vec<(String, String)> {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let listed: ListTransactionsResponse = runtime.block_on(async {
        let mut client = RawClient::connect(server).await;
        client.send(0, &ListTransactionsRequest::default()).await
    });
    assert_eq!(listed.error_code, 0);
    let states = listed.transaction_states.iter();
    let states = states.map(|it| {
        (
            it.transactional_id.to_string(),
            it.transaction_state.to_string(),
        )
    });
    let all: Vec<_> = states.collect();
    assert!(!all.is_empty(), "the workers' transactional ids are listed");
    let done = ["Empty", "CompleteCommit", "CompleteAbort"];
    all.into_iter()
        .filter(|(_, state)| !done.contains(&state.as_str()))
        .collect()
}

fn assign_all(consumer: &BaseConsumer) {
    let mut all = TopicPartitionList::new();
    for output in OUTPUTS {
        for partition in 0..PARTITIONS {
            all.add_partition_offset(output, partition, Offset::Beginning)
                .unwrap();
        }
    }
    consumer.assign(&all).unwrap();
}

fn seen(record: &impl Message) -> Seen {
    let output = OUTPUTS.iter().position(|output| *output == record.topic());
    let value = record
        .payload()
        .and_then(|value| std::str::from_utf8(value).ok());
    let place = (record.partition(), record.offset());
    Seen::parse(output.unwrap(), place.0, place.1, value.unwrap())
        .unwrap_or_else(|| panic!("what is {value:?}?"))
}

/// Read the outputs to their ends, in one isolation level.
fn read(server: SocketAddr, isolation: &str) -> Vec<Seen> {
    let consumer = client(server, isolation);
    let ends = OUTPUTS.map(|output| ends(&consumer, output));
    assign_all(&consumer);
    let mut found = Vec::new();
    let all: i64 = ends.iter().flatten().sum();
    let deadline = Instant::now() + TIMEOUT * 6 + Duration::from_micros(200) * all as u32;
    // Markers at the end have no records: the position says how far the reading is.
    let is_done = |consumer: &BaseConsumer| {
        let positions = consumer.position().unwrap();
        let mut elements = positions.elements().into_iter();
        elements.all(|it| {
            let output = OUTPUTS.iter().position(|output| *output == it.topic());
            let end = ends[output.unwrap()][it.partition() as usize];
            end == 0 || matches!(it.offset(), Offset::Offset(at) if at >= end)
        })
    };
    let mut silent = 0;
    while silent < 20 {
        assert!(
            Instant::now() < deadline,
            "reading the outputs takes too long"
        );
        match consumer.poll(Duration::from_millis(100)) {
            Some(Ok(record)) => {
                silent = 0;
                found.push(seen(&record));
            }
            Some(Err(_)) => {}
            // Asked only now: to ask at each record takes longer than to read it.
            None if is_done(&consumer) => break,
            // The position does not count what is aborted.
            None => silent += 1,
        }
    }
    found
}

/// Read everything.
pub fn read_all(server: SocketAddr, ids: u64, live: Vec<Seen>) -> Readings {
    Readings {
        ids,
        committed: read(server, "read_committed"),
        everything: read(server, "read_uncommitted"),
        live,
    }
}

/// A reader of committed records while all goes on.
pub struct Live {
    thread: JoinHandle<Vec<Seen>>,
    ends: Arc<AtomicBool>,
}

impl Live {
    /// Begin to read.
    pub fn start(server: SocketAddr) -> Self {
        let ends = Arc::new(AtomicBool::new(false));
        let told = ends.clone();
        let thread = std::thread::spawn(move || {
            let consumer = client(server, "read_committed");
            assign_all(&consumer);
            let mut found = Vec::new();
            while !told.load(Ordering::Relaxed) {
                if let Some(Ok(record)) = consumer.poll(Duration::from_millis(50)) {
                    found.push(seen(&record));
                }
            }
            found
        });
        Self { thread, ends }
    }

    /// What it has seen.
    pub fn stop(self) -> Vec<Seen> {
        self.ends.store(true, Ordering::Relaxed);
        self.thread.join().unwrap()
    }
}
