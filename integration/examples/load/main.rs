//! A load generator for any server that speaks Kafka's protocol, by librdkafka.
//!
//! `load MODE key=value ...` prints one line of JSON: what was sent or read, how fast, with which
//! latencies, and how much memory the server (`pid=`) holds. Modes:
//! - `create`: make the topic. Keys: topic, partitions.
//! - `produce`: as fast as it goes. Keys: bytes, records, acks, producers, linger, codec.
//! - `consume`: read `records` from the beginning. Keys: records, isolation.
//! - `latency`: an open loop at `rate` records a second for `seconds`, read back by a tailing
//!   consumer. Latencies count from the moment a record was due, so that a stall is seen in full.
//! - `transactions`: see `transactions`.
//! - `compaction-fill`, `compaction-begin`: see `compaction`.
//! - `rebalance-new`, `rebalance-classic`: see `rebalance`.
//! - `share-drain`, `share-latency`, `share-lease`: see `share`.

mod compaction;
mod rebalance;
mod share;
mod share_wire;
mod transactions;

use std::collections::BTreeMap;
use std::fs;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use hdrhistogram::Histogram;
use rdkafka::admin::{AdminClient, AdminOptions, NewTopic, TopicReplication};
use rdkafka::client::ClientContext;
use rdkafka::config::ClientConfig;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::message::{DeliveryResult, Message};
use rdkafka::producer::{BaseProducer, BaseRecord, Producer, ProducerContext};
use rdkafka::topic_partition_list::{Offset, TopicPartitionList};
use serde_json::{Value, json};

type Fault = Box<dyn std::error::Error>;

/// The `key=value` arguments.
#[derive(Clone)]
struct Arguments(BTreeMap<String, String>);

impl Arguments {
    fn text<'a>(&'a self, key: &str, default: &'a str) -> &'a str {
        self.0.get(key).map_or(default, String::as_str)
    }

    fn number(&self, key: &str, default: u64) -> Result<u64, Fault> {
        self.0.get(key).map_or(Ok(default), |value| {
            value
                .parse()
                .map_err(|_| format!("{key}={value} is not a whole number").into())
        })
    }

    fn client(&self) -> ClientConfig {
        let mut config = ClientConfig::new();
        config.set("bootstrap.servers", self.text("servers", "127.0.0.1:9092"));
        config
    }

    fn topic(&self) -> &str {
        self.text("topic", "bench")
    }
}

/// Memory of a process, from `/proc`.
struct Process(u64);

impl Process {
    /// This program.
    fn this() -> Self {
        Self(u64::from(std::process::id()))
    }

    /// CPU seconds so far, in steps of 10 ms.
    fn cpu_s(&self) -> f64 {
        let stat = fs::read_to_string(format!("/proc/{}/stat", self.0)).unwrap_or_default();
        // The name, in brackets, may hold spaces; user and system time are the 12th and 13th after.
        let after = stat.rsplit_once(") ").map_or("", |(_, after)| after);
        let ticks = after.split(' ').skip(11).take(2);
        let ticks = ticks.filter_map(|ticks| ticks.parse::<u64>().ok());
        ticks.sum::<u64>() as f64 / 100.0
    }

    fn status_kib(&self, field: &str) -> u64 {
        let status = fs::read_to_string(format!("/proc/{}/status", self.0)).unwrap_or_default();
        status
            .lines()
            .find_map(|line| line.strip_prefix(field))
            .and_then(|rest| {
                rest.split_whitespace()
                    .nth(1)
                    .or(rest.split_whitespace().next())
            })
            .and_then(|number| number.trim_start_matches(':').parse().ok())
            .unwrap_or(0)
    }
}

/// Counts deliveries; keeps the latency of each where it is wanted.
struct Deliveries {
    failed: AtomicU64,
    latencies: Option<std::sync::Mutex<Histogram<u64>>>,
}

impl ClientContext for Deliveries {}

impl ProducerContext for Deliveries {
    type DeliveryOpaque = Box<Instant>;

    fn delivery(&self, result: &DeliveryResult<'_>, due: Box<Instant>) {
        if result.is_err() {
            self.failed.fetch_add(1, Ordering::Relaxed);
        } else if let Some(latencies) = &self.latencies {
            let micros = u64::try_from(due.elapsed().as_micros()).unwrap_or(u64::MAX);
            latencies
                .lock()
                .expect("no panic under this lock")
                .saturating_record(micros);
        }
    }
}

fn histogram() -> Histogram<u64> {
    Histogram::new_with_bounds(1, 120_000_000, 3).expect("these bounds are legal")
}

fn quantiles(histogram: &Histogram<u64>) -> Value {
    json!({
        "p50_us": histogram.value_at_quantile(0.5),
        "p99_us": histogram.value_at_quantile(0.99),
        "p999_us": histogram.value_at_quantile(0.999),
        "max_us": histogram.max(),
        "count": histogram.len(),
    })
}

fn producer(arguments: &Arguments, latencies: bool) -> Result<BaseProducer<Deliveries>, Fault> {
    let context = Deliveries {
        failed: AtomicU64::new(0),
        latencies: latencies.then(|| std::sync::Mutex::new(histogram())),
    };
    Ok(arguments
        .client()
        .set("acks", arguments.text("acks", "1"))
        .set("enable.idempotence", arguments.text("idempotence", "false"))
        .set("linger.ms", arguments.text("linger", "5"))
        .set(
            "batch.num.messages",
            arguments.text("batch_records", "10000"),
        )
        .set("batch.size", arguments.text("batch", "1000000"))
        .set("compression.type", arguments.text("codec", "none"))
        .set(
            "sticky.partitioning.linger.ms",
            arguments.text("sticky", "10"),
        )
        .set("queue.buffering.max.messages", "1000000")
        .set("queue.buffering.max.kbytes", "262144")
        .set("message.timeout.ms", "120000")
        .create_with_context(context)?)
}

/// A record without a key.
fn keyless<'a>(
    topic: &'a str,
    payload: &'a [u8],
    due: Instant,
) -> BaseRecord<'a, str, [u8], Box<Instant>> {
    BaseRecord::with_opaque_to(topic, Box::new(due)).payload(payload)
}

/// Send, waiting for room where the queue is full.
fn send(
    producer: &BaseProducer<Deliveries>,
    mut record: BaseRecord<'_, str, [u8], Box<Instant>>,
) -> Result<(), Fault> {
    loop {
        match producer.send(record) {
            Ok(()) => return Ok(()),
            Err((KafkaError::MessageProduction(RDKafkaErrorCode::QueueFull), back)) => {
                record = back;
                producer.poll(Duration::from_millis(1));
            }
            Err((error, _)) => return Err(error.into()),
        }
    }
}

/// Wait until all is delivered.
fn finish(producer: &BaseProducer<Deliveries>, patience: Duration) -> Result<(), Fault> {
    producer.flush(patience)?;
    match producer.context().failed.load(Ordering::Relaxed) {
        0 => Ok(()),
        failed => Err(format!("{failed} records were not delivered").into()),
    }
}

fn create(arguments: &Arguments) -> Result<Value, Fault> {
    let partitions = i32::try_from(arguments.number("partitions", 1)?)?;
    let admin: AdminClient<_> = arguments.client().create()?;
    let topic = NewTopic::new(arguments.topic(), partitions, TopicReplication::Fixed(1));
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    for result in runtime.block_on(admin.create_topics([&topic], &AdminOptions::new()))? {
        result.map_err(|(topic, code)| format!("creating {topic}: {code}"))?;
    }
    Ok(json!({ "topic": arguments.topic(), "partitions": partitions }))
}

/// One producer's share of the records.
fn produce_part(arguments: &Arguments, records: u64, payload: &[u8]) -> Result<(), Fault> {
    let producer = producer(arguments, false)?;
    let began = Instant::now();
    for record in 0..records {
        send(&producer, keyless(arguments.topic(), payload, began))?;
        if record % 256 == 0 {
            producer.poll(Duration::ZERO);
        }
    }
    finish(&producer, Duration::from_secs(180))
}

fn produce(arguments: &Arguments) -> Result<Value, Fault> {
    let (records, bytes) = (
        arguments.number("records", 1_000_000)?,
        arguments.number("bytes", 1024)?,
    );
    let producers = arguments.number("producers", 1)?.max(1);
    let payload = payload(usize::try_from(bytes)?);
    let began = Instant::now();
    thread::scope(|scope| {
        let parts: Vec<_> = (0..producers)
            .map(|_| {
                scope.spawn(|| {
                    produce_part(arguments, records / producers, &payload)
                        .map_err(|e| e.to_string())
                })
            })
            .collect();
        parts
            .into_iter()
            .try_for_each(|part| part.join().expect("a producer does not panic"))
    })?;
    Ok(rate(
        records / producers * producers,
        bytes,
        began.elapsed(),
    ))
}

/// Bytes that compress about as well as JSON does.
fn payload(bytes: usize) -> Vec<u8> {
    const WORDS: &[u8] =
        b"{\"user\":48151,\"event\":\"page_view\",\"path\":\"/docs/start\",\"ms\":1623}";
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    (0..bytes)
        .map(|at| {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            if state.is_multiple_of(4) {
                (state >> 32) as u8
            } else {
                WORDS[at % WORDS.len()]
            }
        })
        .collect()
}

fn rate(records: u64, bytes: u64, took: Duration) -> Value {
    let seconds = took.as_secs_f64();
    json!({
        "records": records,
        "seconds": seconds,
        "records_per_second": records as f64 / seconds,
        "mb_per_second": (records * bytes) as f64 / 1e6 / seconds,
        "gb": (records * bytes) as f64 / 1e9,
    })
}

fn reader(arguments: &Arguments, offset: Offset) -> Result<BaseConsumer, Fault> {
    let consumer: BaseConsumer = arguments
        .client()
        .set("group.id", "load")
        .set("enable.auto.commit", "false")
        .set("check.crcs", "false")
        .set(
            "isolation.level",
            arguments.text("isolation", "read_committed"),
        )
        .set("fetch.wait.max.ms", "500")
        .set("queued.max.messages.kbytes", "262144")
        .set("queued.min.messages", "1000000")
        // By default a full queue stops the fetches for a second, longer than a fast reader of
        // small records takes to empty it: what would be measured then is the client's sleep.
        .set("fetch.queue.backoff.ms", "2")
        .set("fetch.message.max.bytes", "4194304")
        .create()?;
    let metadata = consumer.fetch_metadata(Some(arguments.topic()), Duration::from_secs(30))?;
    let mut list = TopicPartitionList::new();
    for topic in metadata.topics() {
        for partition in topic.partitions() {
            list.add_partition_offset(topic.name(), partition.id(), offset)?;
        }
    }
    consumer.assign(&list)?;
    Ok(consumer)
}

fn consume(arguments: &Arguments) -> Result<Value, Fault> {
    let records = arguments.number("records", 1_000_000)?;
    let consumer = reader(arguments, Offset::Beginning)?;
    let began = Instant::now();
    let (mut seen, mut bytes) = (0u64, 0u64);
    while seen < records {
        match consumer.poll(Duration::from_secs(30)) {
            Some(Ok(message)) => {
                seen += 1;
                bytes += message.payload_len() as u64;
            }
            Some(Err(error)) => return Err(error.into()),
            None => return Err(format!("nothing came for 30 s after {seen} records").into()),
        }
    }
    Ok(rate(seen, bytes / seen.max(1), began.elapsed()))
}

/// Sleep until a record is due, and say when that is.
fn wait_until_due(epoch: Instant, rate: u64, record: u64) -> Instant {
    let due = epoch + Duration::from_nanos(record * 1_000_000_000 / rate);
    while let Some(early) = due.checked_duration_since(Instant::now()) {
        thread::sleep(early.min(Duration::from_millis(1)));
    }
    due
}

/// Send each of `total` records at its time.
fn produce_at_rate(
    arguments: &Arguments,
    epoch: Instant,
    rate: u64,
    total: u64,
) -> Result<(), Fault> {
    let payload = payload(usize::try_from(arguments.number("bytes", 1024)?)?);
    let producer = producer(arguments, false)?;
    for record in 0..total {
        let due = wait_until_due(epoch, rate, record);
        send(&producer, keyless(arguments.topic(), &payload, due))?;
        producer.poll(Duration::ZERO);
    }
    finish(&producer, Duration::from_secs(60))
}

fn latency(arguments: &Arguments) -> Result<Value, Fault> {
    let (rate, seconds) = (
        arguments.number("rate", 1000)?,
        arguments.number("seconds", 5)?,
    );
    let warm = rate;
    let total = rate * seconds + warm;
    let mut payload = payload(usize::try_from(arguments.number("bytes", 1024)?.max(16))?);
    let consumer = reader(arguments, Offset::End)?;
    while consumer.poll(Duration::from_millis(1500)).is_some() {}
    let epoch = Instant::now();
    let done = Arc::new(AtomicBool::new(false));
    let producer = producer(arguments, true)?;
    let mut seen = histogram();
    thread::scope(|scope| -> Result<(), Fault> {
        let reading = scope.spawn(|| {
            let mut read = 0;
            let mut idle = 0;
            while read < total && idle < 100 {
                match consumer.poll(Duration::from_millis(100)) {
                    Some(Ok(message)) => {
                        read += 1;
                        let due = message.payload().and_then(|bytes| bytes.first_chunk::<8>());
                        let due = u64::from_be_bytes(*due.expect("16 bytes were sent"));
                        let now = epoch.elapsed().as_micros() as u64;
                        if read > warm {
                            seen.saturating_record(now.saturating_sub(due).max(1));
                        }
                    }
                    _ if done.load(Ordering::Relaxed) => idle += 1,
                    _ => {}
                }
            }
        });
        let polling = scope.spawn(|| {
            while !done.load(Ordering::Relaxed) {
                producer.poll(Duration::from_millis(10));
            }
        });
        for record in 0..total {
            let due = wait_until_due(epoch, rate, record);
            let due_us = due.duration_since(epoch).as_micros() as u64;
            payload[..8].copy_from_slice(&due_us.to_be_bytes());
            send(&producer, keyless(arguments.topic(), &payload, due))?;
        }
        producer.flush(Duration::from_secs(60))?;
        done.store(true, Ordering::Relaxed);
        polling.join().expect("polling does not panic");
        reading.join().expect("reading does not panic");
        Ok(())
    })?;
    let acked = producer
        .context()
        .latencies
        .as_ref()
        .expect("asked for above");
    Ok(json!({
        "rate": rate,
        "ack": quantiles(&acked.lock().expect("no panic under this lock")),
        "end_to_end": quantiles(&seen),
    }))
}

fn main() -> Result<(), Fault> {
    let mut words = std::env::args().skip(1);
    let mode = words.next().unwrap_or_default();
    let pairs = words.filter_map(|word| {
        word.split_once('=')
            .map(|(key, value)| (key.to_owned(), value.to_owned()))
    });
    let arguments = Arguments(pairs.collect());
    let server = Process(arguments.number("pid", 0)?);
    let mut result = match mode.as_str() {
        "create" => create(&arguments)?,
        "produce" => produce(&arguments)?,
        "consume" => consume(&arguments)?,
        "latency" => latency(&arguments)?,
        "transactions" => transactions::run(&arguments, &server)?,
        "compaction-fill" => compaction::fill(&arguments)?,
        "compaction-begin" => compaction::begin(&arguments)?,
        "rebalance-new" => rebalance::run(&arguments, &server, false)?,
        "rebalance-classic" => rebalance::run(&arguments, &server, true)?,
        "share-drain" => share::drain(&arguments, &server)?,
        "share-latency" => share::latency(&arguments, &server)?,
        "share-lease" => share::lease(&arguments, &server)?,
        other => return Err(format!("mode '{other}' is none of those in the source").into()),
    };
    result["server_rss_kib"] = json!(server.status_kib("VmRSS"));
    result["server_peak_kib"] = json!(server.status_kib("VmHWM"));
    #[allow(clippy::print_stdout, reason = "the result is this program's output")]
    {
        println!("{result}");
    }
    Ok(())
}
