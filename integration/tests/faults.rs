//! The real server, killed while librdkafka writes to it and reads from it (FT1). What the clients
//! saw is held against the rules of `ratel_integration::history`.
//!
//! `FT1_KILLS` sets how often it is killed (20), `FT1_SEED` the seed, which every run prints.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::print_stderr,
    reason = "a test that cannot go on says why, and prints its seed"
)]

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};

use ratel_integration::history::{History, Op, Outcome, Span, Value};
use ratel_integration::{Random, ServerProcess};
use rdkafka::admin::{AdminClient, AdminOptions, NewTopic, TopicReplication};
use rdkafka::client::{ClientContext, DefaultClientContext};
use rdkafka::config::ClientConfig;
use rdkafka::consumer::{BaseConsumer, CommitMode, Consumer};
use rdkafka::message::{DeliveryResult, Message};
use rdkafka::producer::{BaseProducer, BaseRecord, Producer, ProducerContext};
use rdkafka::topic_partition_list::{Offset, TopicPartitionList};

const TOPIC: &str = "faults";
const PARTITIONS: i32 = 4;
const PRODUCERS: u32 = 3;
const CONSUMERS: u32 = 2;

/// One clock for all threads.
#[derive(Clone, Copy)]
struct Stopwatch(Instant);

impl Stopwatch {
    fn now_us(self) -> u64 {
        u64::try_from(self.0.elapsed().as_micros()).expect("a test ends within an aeon")
    }

    fn since(self, begin_us: u64) -> Span {
        Span {
            begin_us,
            end_us: self.now_us(),
        }
    }
}

/// What all threads share.
#[derive(Clone)]
struct Run {
    servers: String,
    stopwatch: Stopwatch,
    /// Producers stop when it is set.
    sent: Arc<AtomicBool>,
    /// Consumers stop at the end of the log when it is set.
    over: Arc<AtomicBool>,
}

impl Run {
    fn client(&self) -> ClientConfig {
        let mut config = ClientConfig::new();
        config
            .set("bootstrap.servers", &self.servers)
            .set("reconnect.backoff.ms", "20")
            .set("reconnect.backoff.max.ms", "200");
        config
    }
}

/// Writes every delivery of one producer down.
struct Deliveries {
    producer: u32,
    stopwatch: Stopwatch,
    ops: Mutex<Vec<Op>>,
}

impl ClientContext for Deliveries {}

impl ProducerContext for Deliveries {
    type DeliveryOpaque = Box<(Value, i32, u64)>;

    fn delivery(&self, result: &DeliveryResult<'_>, sent: Self::DeliveryOpaque) {
        let (value, partition, begin_us) = *sent;
        let outcome = match result {
            Ok(message) => Outcome::Acked(message.offset()),
            Err(_) => Outcome::Unknown,
        };
        let span = self.stopwatch.since(begin_us);
        let op = Op::Send {
            producer: self.producer,
            partition,
            value,
            span,
            outcome,
        };
        self.ops.lock().unwrap().push(op);
    }
}

/// About 2,000 records a second until told to stop, then until each has its answer.
fn produce(run: &Run, number: u32) -> Vec<Op> {
    let context = Deliveries {
        producer: number,
        stopwatch: run.stopwatch,
        ops: Mutex::new(Vec::new()),
    };
    let producer: BaseProducer<Deliveries> = run
        .client()
        .set("enable.idempotence", "true")
        .set("acks", "all")
        .set("linger.ms", "2")
        .set("message.timeout.ms", "300000")
        .create_with_context(context)
        .unwrap();
    let mut sequence = 0u64;
    while !run.sent.load(Ordering::Relaxed) {
        for _ in 0..4 {
            let value = (u64::from(number) << 40) | sequence;
            let partition = i32::try_from(sequence % u64::try_from(PARTITIONS).unwrap()).unwrap();
            let payload = value.to_be_bytes();
            let record = BaseRecord::<(), [u8], _>::with_opaque_to(
                TOPIC,
                Box::new((value, partition, run.stopwatch.now_us())),
            )
            .partition(partition)
            .payload(&payload[..]);
            if producer.send(record).is_ok() {
                sequence += 1;
            }
        }
        producer.poll(Duration::from_millis(2));
        if let Some((code, why)) = producer.client().fatal_error() {
            panic!("producer {number}: {code}: {why}");
        }
    }
    producer.flush(Duration::from_secs(120)).unwrap();
    std::mem::take(&mut *producer.context().ops.lock().unwrap())
}

fn everything(offset: Offset) -> TopicPartitionList {
    let mut list = TopicPartitionList::new();
    for partition in 0..PARTITIONS {
        list.add_partition_offset(TOPIC, partition, offset).unwrap();
    }
    list
}

fn value_of(message: &impl Message) -> Value {
    let payload = message.payload().expect("every record has a value");
    u64::from_be_bytes(payload.try_into().expect("a value of eight bytes"))
}

/// Reads all partitions from the beginning to their end, whatever happens to the server; commits
/// for a group of its own and reads that back.
fn consume(run: &Run, number: u32) -> Vec<Op> {
    let consumer: BaseConsumer = run
        .client()
        .set("group.id", format!("faults-{number}"))
        .set("enable.auto.commit", "false")
        .set("auto.offset.reset", "error")
        .set("enable.partition.eof", "false")
        .create()
        .unwrap();
    consumer.assign(&everything(Offset::Beginning)).unwrap();
    let mut ops = Vec::new();
    let mut next: BTreeMap<i32, i64> = BTreeMap::new();
    let mut committed_us = 0;
    let mut quiet = Instant::now();
    while !run.over.load(Ordering::Relaxed) || quiet.elapsed() < Duration::from_secs(2) {
        let begin_us = run.stopwatch.now_us();
        if let Some(Ok(message)) = consumer.poll(Duration::from_millis(100)) {
            quiet = Instant::now();
            let (partition, offset) = (message.partition(), message.offset());
            next.insert(partition, offset + 1);
            note_poll(
                &mut ops,
                number,
                partition,
                (offset, value_of(&message)),
                run.stopwatch.since(begin_us),
            );
        }
        if run.stopwatch.now_us() - committed_us > 200_000 && !next.is_empty() {
            commit(run, &consumer, &next, &mut ops);
            committed_us = run.stopwatch.now_us();
        }
    }
    ops
}

/// Lengthen the last poll by a record of the same partition, or begin a new one.
fn note_poll(ops: &mut Vec<Op>, consumer: u32, partition: i32, record: (i64, Value), now: Span) {
    if let Some(Op::Poll {
        partition: last,
        records,
        span,
        ..
    }) = ops.last_mut()
        && *last == partition
    {
        records.push(record);
        span.end_us = now.end_us;
        return;
    }
    let records = vec![record];
    ops.push(Op::Poll {
        consumer,
        assignment: 0,
        partition,
        records,
        span: now,
    });
}

/// Commit where this consumer stands, and read back what a server that may have died since says.
/// Only the first consumer's commits are written down: a history knows one group.
fn commit(run: &Run, consumer: &BaseConsumer, next: &BTreeMap<i32, i64>, ops: &mut Vec<Op>) {
    let mut list = TopicPartitionList::new();
    for (&partition, &offset) in next {
        list.add_partition_offset(TOPIC, partition, Offset::Offset(offset))
            .unwrap();
    }
    let begin_us = run.stopwatch.now_us();
    let made = consumer.commit(&list, CommitMode::Sync);
    let span = run.stopwatch.since(begin_us);
    for (&partition, &offset) in next {
        // A commit whose answer was lost may hold or not; it counts as going on for ever.
        let span = if made.is_ok() {
            span
        } else {
            Span {
                end_us: u64::MAX,
                ..span
            }
        };
        ops.push(Op::Commit {
            partition,
            offset,
            span,
        });
    }
    let begin_us = run.stopwatch.now_us();
    if let Ok(found) =
        consumer.committed_offsets(everything(Offset::Invalid), Duration::from_secs(5))
    {
        let span = run.stopwatch.since(begin_us);
        for element in found.elements() {
            let offset = match element.offset() {
                Offset::Offset(offset) => offset,
                _ => -1,
            };
            ops.push(Op::Committed {
                partition: element.partition(),
                offset,
                span,
            });
        }
    }
}

/// Asks for the high watermarks, as often as they are answered.
fn watch(run: &Run) -> Vec<Op> {
    let consumer: BaseConsumer = run.client().create().unwrap();
    let mut ops = Vec::new();
    while !run.over.load(Ordering::Relaxed) {
        for partition in 0..PARTITIONS {
            let begin_us = run.stopwatch.now_us();
            let found = consumer.fetch_watermarks(TOPIC, partition, Duration::from_secs(1));
            if let Ok((_, offset)) = found {
                ops.push(Op::HighWatermark {
                    partition,
                    offset,
                    span: run.stopwatch.since(begin_us),
                });
            }
        }
        thread::sleep(Duration::from_millis(20));
    }
    ops
}

/// Every partition from its first to its last record.
fn read_back(run: &Run) -> BTreeMap<i32, Vec<(i64, Value)>> {
    let consumer: BaseConsumer = run.client().set("group.id", "read-back").create().unwrap();
    let mut all = BTreeMap::new();
    for partition in 0..PARTITIONS {
        let (low, high) = consumer
            .fetch_watermarks(TOPIC, partition, Duration::from_secs(30))
            .unwrap();
        assert_eq!(low, 0, "nothing deletes here");
        let mut list = TopicPartitionList::new();
        list.add_partition_offset(TOPIC, partition, Offset::Beginning)
            .unwrap();
        consumer.assign(&list).unwrap();
        let mut records = Vec::new();
        let began = Instant::now();
        while records.last().is_none_or(|&(offset, _)| offset + 1 < high) && high > 0 {
            assert!(
                began.elapsed() < Duration::from_secs(60),
                "partition {partition} is not read to its end at {high}: {:?}",
                records.last()
            );
            // A poll that brings nothing may have served an event of the client's own.
            if let Some(message) = consumer.poll(Duration::from_secs(1)) {
                let message = message.expect("the server stands again");
                records.push((message.offset(), value_of(&message)));
            }
        }
        all.insert(partition, records);
    }
    all
}

fn create_topic(run: &Run) {
    let admin: AdminClient<DefaultClientContext> = run.client().create().unwrap();
    let topic = NewTopic::new(TOPIC, PARTITIONS, TopicReplication::Fixed(1));
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let made = runtime
        .block_on(admin.create_topics([&topic], &AdminOptions::new()))
        .unwrap();
    assert_eq!(made, vec![Ok(TOPIC.to_owned())]);
}

fn setting(name: &str, default: u64) -> u64 {
    std::env::var(name).map_or(default, |value| value.parse().unwrap())
}

/// Kill and restart at moments that the seed decides; the times to ready, in ms.
fn kill_again_and_again(server: &mut ServerProcess, kills: u64, seed: u64) -> Vec<u128> {
    let mut random = Random(seed);
    let mut ready_ms = Vec::new();
    for _ in 0..kills {
        thread::sleep(Duration::from_millis(200 + random.below(3800)));
        server.kill();
        server.restart();
        ready_ms.push(server.ready.as_millis());
    }
    thread::sleep(Duration::from_secs(1));
    ready_ms
}

/// Run producers, consumers and a watcher while `disturb` does its worst; then read all back.
fn record(root: &Path, disturb: impl FnOnce(&mut ServerProcess)) -> History {
    let mut server = ServerProcess::start(root);
    let run = Run {
        servers: server.addr().to_string(),
        stopwatch: Stopwatch(Instant::now()),
        sent: Arc::default(),
        over: Arc::default(),
    };
    create_topic(&run);
    let mut ops = Vec::new();
    thread::scope(|scope| {
        let run = &run;
        let producers: Vec<_> = (0..PRODUCERS)
            .map(|number| scope.spawn(move || produce(run, number)))
            .collect();
        let consumers: Vec<_> = (0..CONSUMERS)
            .map(|number| scope.spawn(move || consume(run, number)))
            .collect();
        let watcher = scope.spawn(|| watch(run));
        disturb(&mut server);
        run.sent.store(true, Ordering::Relaxed);
        for producer in producers {
            ops.extend(producer.join().unwrap());
        }
        run.over.store(true, Ordering::Relaxed);
        for (number, consumer) in consumers.into_iter().enumerate() {
            let of_first_group =
                |op: &Op| number == 0 || !matches!(op, Op::Commit { .. } | Op::Committed { .. });
            ops.extend(consumer.join().unwrap().into_iter().filter(of_first_group));
        }
        ops.extend(watcher.join().unwrap());
    });
    History {
        ops,
        finally: read_back(&run),
    }
}

#[test]
fn ft_1_kill_9_under_load_loses_repeats_and_reorders_nothing() {
    let (kills, seed) = (setting("FT1_KILLS", 20), setting("FT1_SEED", 20_261_124));
    eprintln!(
        "FT1_SEED={seed} FT1_KILLS={kills} cargo test -p ratel-integration --test faults ft_1"
    );
    let root = tempfile::tempdir().unwrap();
    let mut ready_ms = Vec::new();
    let history = record(root.path(), |server| {
        ready_ms = kill_again_and_again(server, kills, seed)
    });
    ready_ms.sort_unstable();
    let acked = history.ops.iter().filter(|op| {
        matches!(
            op,
            Op::Send {
                outcome: Outcome::Acked(_),
                ..
            }
        )
    });
    let acked = acked.count();
    let kept: usize = history.finally.values().map(Vec::len).sum();
    eprintln!(
        "{kills} kills: {acked} acknowledged, {kept} kept, {} operations, ready again in {} ms \
         (median), {} ms (worst)",
        history.ops.len(),
        ready_ms
            .get(ready_ms.len() / 2)
            .copied()
            .unwrap_or_default(),
        ready_ms.last().copied().unwrap_or_default(),
    );
    assert!(
        acked > 1000,
        "only {acked} sends were acknowledged: the load never ran"
    );
    let anomalies = history.check();
    assert!(
        anomalies.is_empty(),
        "{} anomalies, the first of them: {:#?}",
        anomalies.len(),
        &anomalies[..anomalies.len().min(10)]
    );
}
