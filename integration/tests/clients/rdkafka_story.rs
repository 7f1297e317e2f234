//! The story through rdkafka.

use std::collections::BTreeMap;
use std::fmt::Debug;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use rdkafka::admin::{
    AdminClient, AdminOptions, AlterConfig, NewPartitions, NewTopic, ResourceSpecifier,
    TopicReplication,
};
use rdkafka::client::DefaultClientContext;
use rdkafka::config::ClientConfig;
use rdkafka::consumer::{BaseConsumer, CommitMode, Consumer};
use rdkafka::message::{Header, Headers, Message, OwnedHeaders};
use rdkafka::producer::{FutureProducer, FutureRecord, Producer};
use rdkafka::topic_partition_list::{Offset, TopicPartitionList};

/// The variable that makes this program tell the story instead of running all of them.
pub const SERVERS: &str = "RDKAFKA_STORY_SERVERS";

const PARTITIONS: i32 = 4;
const RECORDS: usize = 200;
const WAIT: Duration = Duration::from_secs(30);

/// What a record says, wherever it came from.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Record {
    key: String,
    value: String,
    headers: Vec<(String, String)>,
}

/// A record and where it lies.
#[derive(Debug, Clone)]
struct Seen {
    partition: i32,
    offset: i64,
    record: Record,
}

struct Story {
    servers: String,
    run: String,
    admin: AdminClient<DefaultClientContext>,
    runtime: tokio::runtime::Runtime,
}

/// What makes a consumer speak the protocol of KIP-848.
const NEW_PROTOCOL: (&str, &str) = ("group.protocol", "consumer");

/// Tell the story to the servers named in [`SERVERS`].
pub fn tell(servers: &str) {
    let (_, version) = rdkafka::util::get_rdkafka_version();
    println!("rdkafka, librdkafka {version}");
    let run = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .expect("the clock is past 1970");
    let story = Story {
        servers: servers.to_owned(),
        run: format!("{:x}", run.as_millis()),
        admin: settings(servers).create().expect("an admin client"),
        runtime: tokio::runtime::Runtime::new().expect("a runtime"),
    };
    story.codecs();
    story.idempotent();
    for assignor in ["range", "cooperative-sticky"] {
        story.group_rebalance(assignor, ("partition.assignment.strategy", assignor));
    }
    story.group_rebalance("new-protocol", NEW_PROTOCOL);
    story.commit_and_resume();
    story.offsets_by_time();
    story.administration();
}

fn settings(servers: &str) -> ClientConfig {
    let mut settings = ClientConfig::new();
    settings.set("bootstrap.servers", servers);
    settings
}

fn ok(what: &str) {
    println!("ok {what}");
}

fn wait_until(what: &str, mut condition: impl FnMut() -> bool) {
    let began = Instant::now();
    while !condition() {
        assert!(began.elapsed() < WAIT, "{what}: not within {WAIT:?}");
    }
}

/// Keyed records with a header that is there twice, so that nothing may merge them.
fn make_records(label: &str, count: usize) -> Vec<Record> {
    let header = |name: &str, value: &str| (name.to_owned(), value.to_owned());
    (0..count)
        .map(|number| Record {
            key: format!("key-{}", number % 17),
            value: format!("{label} {number} {}", "x".repeat(number % 90)),
            headers: vec![
                header("label", label),
                header("n", &number.to_string()),
                header("n", "again"),
            ],
        })
        .collect()
}

/// What was read is what was sent: each once, in order within a key, no offset left out.
fn check_log(what: &str, seen: &[Seen], sent: &[Record]) {
    assert_eq!(seen.len(), sent.len(), "{what}: records");
    let mut next = BTreeMap::new();
    for Seen {
        partition, offset, ..
    } in seen
    {
        let expected = next.insert(*partition, offset + 1).unwrap_or(*offset);
        assert_eq!(*offset, expected, "{what}: the offset in {partition}");
    }
    let seen = by_key(seen.iter().map(|seen| &seen.record));
    assert_eq!(seen, by_key(sent), "{what}: records by key");
}

fn by_key<'a>(records: impl IntoIterator<Item = &'a Record>) -> BTreeMap<&'a str, Vec<&'a Record>> {
    let mut keys = BTreeMap::<&str, Vec<&Record>>::new();
    for record in records {
        keys.entry(&record.key).or_default().push(record);
    }
    keys
}

/// The records that come within this time, as many as `count` at most.
fn poll(consumer: &BaseConsumer, count: usize, time: Duration) -> Vec<Seen> {
    let mut seen = Vec::new();
    let began = Instant::now();
    while seen.len() < count && began.elapsed() < time {
        if let Some(message) = consumer.poll(time) {
            seen.push(as_seen(&message.expect("a record, not an error")));
        }
    }
    seen
}

fn as_seen(message: &impl Message) -> Seen {
    let text = |bytes: Option<&[u8]>| String::from_utf8_lossy(bytes.unwrap_or(b"")).into_owned();
    let headers = message.headers().map(|headers| {
        headers
            .iter()
            .map(|header| (header.key.to_owned(), text(header.value)))
            .collect()
    });
    Seen {
        partition: message.partition(),
        offset: message.offset(),
        record: Record {
            key: text(message.key()),
            value: text(message.payload()),
            headers: headers.unwrap_or_default(),
        },
    }
}

/// So many records, and then nothing for a moment.
fn read(consumer: &BaseConsumer, count: usize) -> Vec<Seen> {
    let mut seen = poll(consumer, count, WAIT);
    seen.extend(poll(consumer, 1, Duration::from_millis(300)));
    seen
}

fn holds(consumer: &BaseConsumer) -> usize {
    consumer.assignment().expect("an assignment").count()
}

fn committed(consumer: &BaseConsumer, topic: &str) -> (Offset, String) {
    let mut asked = TopicPartitionList::new();
    asked.add_partition(topic, 0);
    let held = consumer
        .committed_offsets(asked, WAIT)
        .expect("committed offsets");
    let held = held.elements_for_topic(topic);
    (held[0].offset(), held[0].metadata().to_owned())
}

impl Story {
    fn topic(&self, purpose: &str) -> String {
        format!("rdkafka-{purpose}-{}", self.run)
    }

    /// The results of an administrative call, each of which must be a success.
    fn succeed<T: Debug, E: Debug, F: Debug>(
        &self,
        what: &str,
        call: impl Future<Output = Result<Vec<Result<T, E>>, F>>,
    ) -> Vec<T> {
        let results = self
            .runtime
            .block_on(call)
            .unwrap_or_else(|error| fail(what, &error));
        results
            .into_iter()
            .map(|result| result.unwrap_or_else(|error| fail(what, &error)))
            .collect()
    }

    fn create(&self, topic: &str, partitions: i32, config: &[(&str, &str)]) {
        let mut wanted = NewTopic::new(topic, partitions, TopicReplication::Fixed(1));
        wanted.config = config.to_vec();
        let created = self.admin.create_topics([&wanted], &AdminOptions::new());
        assert_eq!(self.succeed("creation", created), [topic]);
    }

    fn produce(&self, topic: &str, records: &[Record], more: &[(&str, &str)]) {
        let mut settings = settings(&self.servers);
        settings.set(
            "enable.idempotence",
            if more.is_empty() { "true" } else { "false" },
        );
        for (key, value) in more {
            settings.set(*key, *value);
        }
        let producer: FutureProducer = settings.set("linger.ms", "5").create().expect("a producer");
        let sent: Vec<_> = records
            .iter()
            .map(|record| {
                let headers =
                    record
                        .headers
                        .iter()
                        .fold(OwnedHeaders::new(), |all, (key, value)| {
                            all.insert(Header {
                                key,
                                value: Some(value),
                            })
                        });
                let message = FutureRecord::to(topic)
                    .key(&record.key)
                    .payload(&record.value)
                    .headers(headers);
                producer.send_result(message).expect("room in the queue")
            })
            .collect();
        producer.flush(WAIT).expect("all is delivered");
        for delivered in sent {
            let delivered = self
                .runtime
                .block_on(delivered)
                .expect("the producer is there");
            assert!(delivered.is_ok(), "delivery: {:?}", delivered.err());
        }
    }

    fn consumer(&self, group: &str, more: &[(&str, &str)]) -> BaseConsumer {
        let mut settings = settings(&self.servers);
        settings
            .set("group.id", group)
            .set("auto.offset.reset", "earliest")
            .set("enable.auto.commit", "false")
            .set("check.crcs", "true");
        // In the new protocol the server says how long these are.
        if !more.contains(&NEW_PROTOCOL) {
            settings
                .set("session.timeout.ms", "10000")
                .set("heartbeat.interval.ms", "300");
        }
        for (key, value) in more {
            settings.set(*key, *value);
        }
        settings.create().expect("a consumer")
    }

    fn read_all(&self, topic: &str, partitions: i32, count: usize) -> Vec<Seen> {
        let consumer = self.consumer("unused", &[]);
        let mut all = TopicPartitionList::new();
        for partition in 0..partitions {
            all.add_partition_offset(topic, partition, Offset::Beginning)
                .expect("an offset");
        }
        consumer.assign(&all).expect("an assignment");
        read(&consumer, count)
    }

    fn codecs(&self) {
        for codec in ["none", "gzip", "snappy", "lz4", "zstd"] {
            let topic = self.topic(codec);
            self.create(&topic, PARTITIONS, &[]);
            let sent = make_records(codec, RECORDS);
            // A retry must not overtake, which only idempotence promises for more in flight.
            let settings = [("compression.type", codec), ("max.in.flight", "1")];
            self.produce(&topic, &sent, &settings);
            check_log(codec, &self.read_all(&topic, PARTITIONS, sent.len()), &sent);
            ok(&format!("produce and consume, {codec}"));
        }
    }

    fn idempotent(&self) {
        let topic = self.topic("idempotent");
        self.create(&topic, PARTITIONS, &[]);
        let sent = make_records("idempotent", 1000);
        let settings = [("enable.idempotence", "true"), ("batch.num.messages", "50")];
        self.produce(&topic, &sent, &settings);
        check_log(
            "idempotent",
            &self.read_all(&topic, PARTITIONS, sent.len()),
            &sent,
        );
        ok("idempotent produce");
    }

    fn group_rebalance(&self, name: &str, setting: (&str, &str)) {
        let moment = Duration::from_millis(50);
        let topic = self.topic(&format!("group-{name}"));
        self.create(&topic, PARTITIONS, &[]);
        let join = || {
            let member = self.consumer(&format!("{topic}-members"), &[setting]);
            member.subscribe(&[&topic]).expect("a subscription");
            member
        };
        let mut sent = make_records("group", RECORDS);
        self.produce(&topic, &sent, &[]);
        let mut seen = Vec::new();
        let first = join();
        wait_until("one member reads all", || {
            seen.extend(poll(&first, RECORDS, moment));
            holds(&first) == 4 && seen.len() == RECORDS
        });
        first
            .commit_consumer_state(CommitMode::Sync)
            .expect("a commit");
        let second = join();
        wait_until("two members share the partitions", || {
            seen.extend(poll(&first, RECORDS, moment));
            seen.extend(poll(&second, RECORDS, moment));
            holds(&first) == 2 && holds(&second) == 2
        });
        let more = make_records("more", RECORDS);
        self.produce(&topic, &more, &[]);
        sent.extend(more);
        wait_until("two members read what follows", || {
            seen.extend(poll(&first, RECORDS, moment));
            seen.extend(poll(&second, RECORDS, moment));
            seen.len() >= sent.len()
        });
        seen.sort_by_key(|seen| (seen.partition, seen.offset));
        check_log("both members together", &seen, &sent);
        second
            .commit_consumer_state(CommitMode::Sync)
            .expect("a commit");
        drop(second);
        wait_until("the one that stays has all again", || {
            poll(&first, 1, moment);
            holds(&first) == 4
        });
        ok(&format!("a group of two rebalances, {name}"));
    }

    fn commit_and_resume(&self) {
        let (topic, group) = (self.topic("resume"), self.topic("resumes"));
        self.create(&topic, 1, &[]);
        let sent = make_records("resume", RECORDS);
        self.produce(&topic, &sent, &[]);
        let first = self.consumer(&group, &[]);
        first.subscribe(&[&topic]).expect("a subscription");
        let mut seen = poll(&first, 120, WAIT);
        let mut offsets = TopicPartitionList::new();
        let mut half_way = offsets.add_partition(&topic, 0);
        half_way.set_offset(Offset::Offset(120)).expect("an offset");
        half_way.set_metadata("half-way");
        first.commit(&offsets, CommitMode::Sync).expect("a commit");
        drop(first);
        let second = self.consumer(&group, &[]);
        assert_eq!(
            committed(&second, &topic),
            (Offset::Offset(120), "half-way".into())
        );
        second.subscribe(&[&topic]).expect("a subscription");
        seen.extend(read(&second, RECORDS - 120));
        check_log("before and after", &seen, &sent);
        ok("commit and resume");
    }

    fn offsets_by_time(&self) {
        let topic = self.topic("time");
        self.create(&topic, 1, &[]);
        let now = SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .expect("the clock is past 1970");
        let base = i64::try_from(now.as_millis()).expect("a time of this age") - 3_600_000;
        let producer: FutureProducer = settings(&self.servers).create().expect("a producer");
        for number in 0..100 {
            let record = FutureRecord::<(), _>::to(&topic)
                .payload("tick")
                .timestamp(base + number * 1000);
            drop(producer.send_result(record).expect("room in the queue"));
        }
        producer.flush(WAIT).expect("all is delivered");
        let consumer = self.consumer("unused", &[]);
        let watermarks = consumer
            .fetch_watermarks(&topic, 0, WAIT)
            .expect("watermarks");
        assert_eq!(watermarks, (0, 100));
        for (ask, expected) in [
            (0, Offset::Offset(0)),
            (41_000, Offset::Offset(41)),
            (41_001, Offset::Offset(42)),
            (99_000, Offset::Offset(99)),
            (99_001, Offset::End),
        ] {
            let mut times = TopicPartitionList::new();
            times
                .add_partition_offset(&topic, 0, Offset::Offset(base + ask))
                .expect("a time");
            let found = consumer
                .offsets_for_times(times, WAIT)
                .expect("offsets by time");
            assert_eq!(
                found.elements()[0].offset(),
                expected,
                "the offset at {ask} ms"
            );
        }
        ok("offsets by timestamp");
    }

    fn config_of(&self, topic: &str, key: &str) -> String {
        let resource = ResourceSpecifier::Topic(topic);
        let described = self
            .admin
            .describe_configs([&resource], &AdminOptions::new());
        let described = self.succeed("configuration", described);
        let entry = described[0].get(key).expect("a key that every topic has");
        entry.value.clone().unwrap_or_default()
    }

    fn administration(&self) {
        let topic = self.topic("admin");
        let options = AdminOptions::new();
        self.create(&topic, 2, &[("retention.ms", "123456789")]);
        assert_eq!(self.config_of(&topic, "retention.ms"), "123456789");
        let change =
            AlterConfig::new(ResourceSpecifier::Topic(&topic)).set("retention.ms", "7200000");
        self.succeed("alteration", self.admin.alter_configs([&change], &options));
        assert_eq!(self.config_of(&topic, "retention.ms"), "7200000");
        let growth = NewPartitions::new(&topic, 3);
        self.succeed("growth", self.admin.create_partitions([&growth], &options));
        let consumer = self.consumer(&self.topic("admins"), &[]);
        let partitions = |topic: &str| {
            let metadata = consumer.fetch_metadata(None, WAIT).expect("metadata");
            let found = metadata.topics().iter().find(|found| found.name() == topic);
            found.map(|found| found.partitions().len())
        };
        wait_until("three partitions", || partitions(&topic) == Some(3));
        self.deletion(&topic, &consumer);
        wait_until("the topic is gone", || partitions(&topic).is_none());
        ok("admin: describe, alter, grow, delete");
    }

    fn deletion(&self, topic: &str, consumer: &BaseConsumer) {
        let group = self.topic("admins");
        self.produce(topic, &make_records("admin", 90), &[]);
        consumer.subscribe(&[topic]).expect("a subscription");
        read(consumer, 90);
        consumer
            .commit_consumer_state(CommitMode::Sync)
            .expect("a commit");
        let groups = consumer
            .fetch_group_list(Some(&group), WAIT)
            .expect("groups");
        let described = groups.groups().first().expect("the group is listed");
        assert_eq!(
            (described.state(), described.members().len()),
            ("Stable", 1)
        );
        consumer.unsubscribe();
        let mut cut = TopicPartitionList::new();
        cut.add_partition_offset(topic, 0, Offset::Offset(5))
            .expect("an offset");
        let deleted = self.admin.delete_records(&cut, &AdminOptions::new());
        self.runtime.block_on(deleted).expect("records are deleted");
        let (low, _) = consumer
            .fetch_watermarks(topic, 0, WAIT)
            .expect("watermarks");
        assert_eq!(low, 5);
        // The one member has left with `unsubscribe`; the group is empty as soon as it is told.
        wait_until("the group is deleted", || {
            let deleted = self.admin.delete_groups(&[&group], &AdminOptions::new());
            let results = self.runtime.block_on(deleted).expect("an answer");
            results.iter().all(Result::is_ok)
        });
        let deleted = self.admin.delete_topics(&[topic], &AdminOptions::new());
        assert_eq!(self.succeed("deletion", deleted), [topic]);
    }
}

#[expect(clippy::panic, reason = "a story that cannot go on says why")]
fn fail(what: &str, error: &dyn Debug) -> ! {
    panic!("{what}: {error:?}")
}
