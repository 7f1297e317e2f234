//! A worker that reads ids and writes each to two outputs, exactly once, with librdkafka, as a
//! process of its own, so that a test can kill it:
//! `exactly-once-worker SERVER GROUP INPUT OUTPUT_A OUTPUT_B NAME SEED RECORDS`.
//!
//! It ends at the first thing that goes wrong, and is then started again under the same name: its
//! transactional id and group instance are that name.

use std::collections::BTreeMap;
use std::process::ExitCode;
use std::time::Duration;

use ratel_integration::Random;
use ratel_integration::exactly_once::Seen;
use rdkafka::config::ClientConfig;
use rdkafka::consumer::{BaseConsumer, CommitMode, Consumer};
use rdkafka::error::KafkaResult;
use rdkafka::message::Message;
use rdkafka::producer::{BaseProducer, BaseRecord, Producer};
use rdkafka::{Offset, TopicPartitionList};

/// Of a hundred transactions, so many are aborted on purpose.
const ABORTED_PERCENT: u64 = 10;
const TIMEOUT: Duration = Duration::from_secs(20);

struct Worker {
    consumer: BaseConsumer,
    producer: BaseProducer,
    life: String,
    task: Task,
}

struct Task {
    outputs: [String; 2],
    random: Random,
    /// How many ids one transaction takes at most.
    records: usize,
}

fn main() -> ExitCode {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let [server, group, input, first, second, name, seed, records] = &words[..] else {
        return ExitCode::from(2);
    };
    let (Ok(seed), Ok(records)) = (seed.parse(), records.parse()) else {
        return ExitCode::from(2);
    };
    let task = Task {
        outputs: [first.clone(), second.clone()],
        random: Random(seed),
        records,
    };
    match Worker::start(server, group, input, name, task).and_then(Worker::work) {
        Ok(()) => ExitCode::SUCCESS,
        Err(_) => ExitCode::FAILURE,
    }
}

impl Worker {
    fn start(server: &str, group: &str, input: &str, name: &str, task: Task) -> KafkaResult<Self> {
        let consumer: BaseConsumer = ClientConfig::new()
            .set("bootstrap.servers", server)
            .set("group.id", group)
            .set("group.instance.id", name)
            .set("session.timeout.ms", "6000")
            .set("heartbeat.interval.ms", "500")
            .set("enable.auto.commit", "false")
            .set("auto.offset.reset", "earliest")
            .set("isolation.level", "read_committed")
            .set("reconnect.backoff.max.ms", "500")
            .create()?;
        let producer: BaseProducer = ClientConfig::new()
            .set("bootstrap.servers", server)
            .set("transactional.id", name)
            .set("transaction.timeout.ms", "10000")
            .set("linger.ms", "1")
            .set("reconnect.backoff.max.ms", "500")
            .create()?;
        producer.init_transactions(TIMEOUT)?;
        consumer.subscribe(&[input])?;
        Ok(Self {
            consumer,
            producer,
            life: format!("{name}:{}", std::process::id()),
            task,
        })
    }

    /// Go on until something fails or the process is killed.
    fn work(mut self) -> KafkaResult<()> {
        for number in 0_u64.. {
            let (ids, first, next) = self.read()?;
            if ids.is_empty() {
                continue;
            }
            let attempt = format!("{}:{number}", self.life);
            let doomed = self.task.random.percent(ABORTED_PERCENT);
            self.producer.begin_transaction()?;
            for id in ids {
                self.write(id, &Seen::value(id, &attempt, doomed))?;
            }
            let group = self.consumer.group_metadata();
            let group = group.expect("a consumer with a group has its metadata");
            self.producer
                .send_offsets_to_transaction(&next, &group, TIMEOUT)?;
            if doomed {
                self.producer.flush(TIMEOUT)?;
                self.producer.abort_transaction(TIMEOUT)?;
                self.consumer.seek_partitions(first, TIMEOUT)?;
            } else {
                self.producer.commit_transaction(TIMEOUT)?;
            }
        }
        self.consumer.commit_consumer_state(CommitMode::Sync)
    }

    /// Some ids, where they begin and where to go on.
    fn read(&self) -> KafkaResult<(Vec<u64>, TopicPartitionList, TopicPartitionList)> {
        let mut ids = Vec::new();
        let mut spans: BTreeMap<(String, i32), (i64, i64)> = BTreeMap::new();
        while ids.len() < self.task.records {
            let wait_ms = if ids.is_empty() { 200 } else { 5 };
            let Some(record) = self.consumer.poll(Duration::from_millis(wait_ms)) else {
                break;
            };
            let record = match record {
                Ok(record) => record,
                // Connections come and go; what matters fails where the transaction ends.
                Err(_) if ids.is_empty() => break,
                Err(error) => return Err(error),
            };
            let id = record
                .payload()
                .and_then(|value| std::str::from_utf8(value).ok());
            ids.extend(id.and_then(|id| id.parse::<u64>().ok()));
            let key = (record.topic().to_owned(), record.partition());
            let span = spans.entry(key).or_insert((record.offset(), 0));
            span.1 = record.offset() + 1;
        }
        let (mut first, mut next) = (TopicPartitionList::new(), TopicPartitionList::new());
        for ((topic, partition), (begin, end)) in spans {
            first.add_partition_offset(&topic, partition, Offset::Offset(begin))?;
            next.add_partition_offset(&topic, partition, Offset::Offset(end))?;
        }
        Ok((ids, first, next))
    }

    fn write(&self, id: u64, value: &str) -> KafkaResult<()> {
        let key = id.to_string();
        for output in &self.task.outputs {
            let record = BaseRecord::to(output).key(&key).payload(value);
            self.producer.send(record).map_err(|(error, _)| error)?;
        }
        self.producer.poll(Duration::ZERO);
        Ok(())
    }
}
