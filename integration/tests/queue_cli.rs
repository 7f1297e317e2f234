//! `ratel queue` as a user meets it: on a real server, with a worker that leases records. What the
//! commands print is held against what was done.

use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use kafka_protocol::messages::{GroupId, ShareGroupHeartbeatRequest, TopicName};
use kafka_protocol::protocol::StrBytes;
use ratel_integration::{RawClient, ServerProcess, binary};
use ratel_protocol::messages::share_acknowledge_request::{AcknowledgePartition, AcknowledgeTopic};
use ratel_protocol::messages::share_fetch_request::{
    AcknowledgementBatch, FetchPartition, FetchTopic,
};
use ratel_protocol::messages::{ShareAcknowledgeRequest, ShareFetchRequest};
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::producer::{BaseProducer, BaseRecord, Producer};
use rdkafka::{ClientConfig, Message, Offset, TopicPartitionList};
use serde_json::{Value, json};
use tempfile::TempDir;
use uuid::Uuid;

const PATIENCE: Duration = Duration::from_secs(20);
const ACCEPT: i8 = 1;
const RELEASE: i8 = 2;
const REJECT: i8 = 3;

fn text(text: &str) -> StrBytes {
    StrBytes::from_string(text.to_owned())
}

fn words(text: &str) -> Vec<Vec<&str>> {
    text.lines()
        .map(|line| line.split_whitespace().collect())
        .collect()
}

/// A server and what is asked of it at the command line.
struct Place {
    server: ServerProcess,
    _directory: TempDir,
}

impl Place {
    fn new() -> Self {
        let directory = tempfile::tempdir().expect("a directory");
        Self {
            server: ServerProcess::start(directory.path()),
            _directory: directory,
        }
    }

    /// One with the topic `jobs` and settings of its queue `crew`, which begins at the first
    /// record.
    fn with_queue(partitions: i32, settings: &[&str]) -> Self {
        let place = Self::new();
        let partitions = partitions.to_string();
        place.ratel(&["topic", "create", "jobs", "-p", &partitions]);
        let mut set = vec!["queue", "set", "crew", "share.auto.offset.reset=earliest"];
        set.extend(settings);
        place.ratel(&set);
        place
    }

    /// The exit code, and what is on stdout and stderr.
    fn run(&self, arguments: &[&str]) -> (Option<i32>, String, String) {
        let done = Command::new(binary())
            .args(arguments)
            .env_clear()
            .env("RATEL_SERVER", self.server.addr().to_string())
            .stdin(Stdio::null())
            .output()
            .expect("the binary runs");
        let text = |bytes| String::from_utf8(bytes).expect("text");
        (done.status.code(), text(done.stdout), text(done.stderr))
    }

    /// What a command that goes well prints.
    #[track_caller]
    fn ratel(&self, arguments: &[&str]) -> String {
        let (code, said, complained) = self.run(arguments);
        assert_eq!(
            (code, complained.as_str()),
            (Some(0), ""),
            "{arguments:?} said {said}"
        );
        said
    }

    #[track_caller]
    fn queue(&self, arguments: &[&str]) -> String {
        self.ratel(&[&["queue"], arguments].concat())
    }

    /// [`Self::queue`] with JSON.
    #[track_caller]
    fn told(&self, arguments: &[&str]) -> Value {
        let said = self.queue(&[arguments, &["--output", "json"]].concat());
        serde_json::from_str(&said).expect("JSON")
    }

    /// A command that cannot be done, and why.
    #[track_caller]
    fn refuses(&self, arguments: &[&str], code: i32, sentence: &str) {
        let (ended, said, complained) = self.run(&[&["queue"], arguments].concat());
        assert_eq!((ended, said.as_str()), (Some(code), ""), "{complained}");
        assert!(
            complained.contains(sentence),
            "{arguments:?} complained: {complained}"
        );
    }

    /// Wait until `queue stats` says this of the queue's first partition.
    fn until(&self, key: &str, value: i64) {
        let began = Instant::now();
        loop {
            let stats = self.told(&["stats", "crew"]);
            if stats[0][key] == json!(value) {
                return;
            }
            assert!(began.elapsed() < PATIENCE, "{key} is not {value}: {stats}");
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    /// Records with the keys `k0`, `k1` ... and the values `v0`, `v1` ...
    fn produce(&self, partition: i32, count: usize) {
        let producer: BaseProducer = ClientConfig::new()
            .set("bootstrap.servers", self.server.addr().to_string())
            .create()
            .expect("a producer");
        for number in 0..count {
            let (key, value) = (format!("k{number}"), format!("v{number}"));
            let record = BaseRecord::to("jobs").key(&key).payload(&value);
            let record = record.partition(partition);
            producer.send(record).expect("it is taken");
        }
        producer.flush(PATIENCE).expect("all are there");
    }

    /// So many values of `jobs-0` from an offset on, in order.
    fn values(&self, from: i64, count: usize) -> Vec<String> {
        let consumer: BaseConsumer = ClientConfig::new()
            .set("bootstrap.servers", self.server.addr().to_string())
            .set("group.id", "looks-on")
            .create()
            .expect("a consumer");
        let mut list = TopicPartitionList::new();
        let added = list.add_partition_offset("jobs", 0, Offset::Offset(from));
        added.expect("a place");
        consumer.assign(&list).expect("assigned");
        let mut values = Vec::new();
        let began = Instant::now();
        while values.len() < count {
            assert!(began.elapsed() < PATIENCE, "only {values:?} came");
            if let Some(message) = consumer.poll(Duration::from_millis(100)) {
                let message = message.expect("a record");
                let value = message.payload().expect("a value");
                values.push(String::from_utf8_lossy(value).into_owned());
            }
        }
        values
    }

    /// How many records there are in `jobs-0`.
    fn end(&self) -> i64 {
        let described = self.ratel(&["topic", "describe", "jobs", "--output", "json"]);
        let described: Value = serde_json::from_str(&described).expect("JSON");
        described[0]["end"].as_i64().expect("an offset")
    }
}

/// A member of the share group `crew` with a share session on partitions of `jobs`.
struct Worker {
    client: RawClient,
    topic: Uuid,
    epoch: i32,
    partitions: Vec<i32>,
}

impl Worker {
    /// Join, and open a session on these partitions.
    async fn new(place: &Place, partitions: &[i32]) -> Self {
        let mut client = RawClient::connect(place.server.addr()).await;
        let mut beat = ShareGroupHeartbeatRequest::default()
            .with_group_id(GroupId(text("crew")))
            .with_member_id(text("worker"))
            .with_subscribed_topic_names(Some(vec![TopicName(text("jobs"))]));
        let began = Instant::now();
        let topic = loop {
            let answer = client.send(1, &beat).await;
            assert_eq!(answer.error_code, 0, "{:?}", answer.error_message);
            let assigned = answer.assignment.unwrap_or_default().topic_partitions;
            if let Some(topic) = assigned.first() {
                break topic.topic_id;
            }
            assert!(began.elapsed() < PATIENCE, "nothing is assigned");
            beat.member_epoch = answer.member_epoch;
            tokio::time::sleep(Duration::from_millis(50)).await;
        };
        Self {
            client,
            topic,
            epoch: 0,
            partitions: partitions.to_vec(),
        }
    }

    /// Lease up to so many records: the offset and the delivery count of each.
    async fn take(&mut self, records: i32) -> Vec<(i64, i16)> {
        let partitions = self
            .partitions
            .drain(..)
            .map(|index| FetchPartition::default().with_partition_index(index));
        let partitions: Vec<_> = partitions.collect();
        let mut request = ShareFetchRequest::default()
            .with_group_id(Some(GroupId(text("crew"))))
            .with_member_id(Some(text("worker")))
            .with_share_session_epoch(self.epoch)
            .with_max_wait_ms(300)
            .with_min_bytes(1)
            .with_max_bytes(1 << 20)
            .with_max_records(records)
            .with_share_acquire_mode(1);
        if !partitions.is_empty() {
            let topic = FetchTopic::default().with_topic_id(self.topic);
            request.topics = vec![topic.with_partitions(partitions)];
        }
        let answer = self.client.send(2, &request).await;
        assert_eq!(answer.error_code, 0, "{:?}", answer.error_message);
        self.epoch += 1;
        let lines = answer.responses.iter().flat_map(|topic| &topic.partitions);
        let ranges = lines.flat_map(|line| &line.acquired_records);
        let leased = ranges.flat_map(|range| {
            (range.first_offset..=range.last_offset).map(|offset| (offset, range.delivery_count))
        });
        leased.collect()
    }

    /// Say what became of records of partition 0.
    async fn settle(&mut self, offsets: impl IntoIterator<Item = i64>, kind: i8) {
        let batches = offsets.into_iter().map(|offset| {
            AcknowledgementBatch::default()
                .with_first_offset(offset)
                .with_last_offset(offset)
                .with_acknowledge_types(vec![kind])
        });
        let partition =
            AcknowledgePartition::default().with_acknowledgement_batches(batches.collect());
        let topic = AcknowledgeTopic::default()
            .with_topic_id(self.topic)
            .with_partitions(vec![partition]);
        let request = ShareAcknowledgeRequest::default()
            .with_group_id(Some(GroupId(text("crew"))))
            .with_member_id(Some(text("worker")))
            .with_share_session_epoch(self.epoch)
            .with_topics(vec![topic]);
        let answer = self.client.send(2, &request).await;
        assert_eq!(answer.error_code, 0, "{:?}", answer.error_message);
        for line in answer.responses.iter().flat_map(|topic| &topic.partitions) {
            assert_eq!(line.error_code, 0, "{:?}", line.error_message);
        }
        self.epoch += 1;
    }
}

#[test]
fn a_server_without_queues_says_so_and_how_to_make_one() {
    let place = Place::new();
    let none = "there are no queues yet; a share group's first member makes its own, or make one \
        now:\n  ratel queue create jobs --topic TOPIC\n";
    for command in ["ls", "stats"] {
        assert_eq!(place.queue(&[command]), none);
        assert_eq!(place.told(&[command]), json!([]));
        assert_eq!(place.queue(&[command, "--output=yaml"]), "[]\n");
    }
    assert_eq!(
        place.queue(&["redrive", "--jobs"]),
        "there are no redrives\n"
    );
    assert_eq!(place.told(&["redrive", "--jobs"]), json!([]));
}

#[tokio::test]
async fn what_is_ready_leased_delayed_and_dead_is_counted() {
    let settings = [
        "queue.release.backoff.ms=60000",
        "errors.deadletterqueue.topic.name=jobs.dead",
    ];
    let place = Place::with_queue(1, &settings);
    place.produce(0, 10);
    let mut worker = Worker::new(&place, &[0]).await;
    let leased = worker.take(5).await;
    assert_eq!(leased, [(0, 1), (1, 1), (2, 1), (3, 1), (4, 1)]);
    worker.settle([0], ACCEPT).await;
    worker.settle([1], RELEASE).await;
    worker.settle([2], REJECT).await;
    place.until("dead", 1);

    let mut stats = place.told(&["stats", "crew"]);
    let age = stats[0]["oldest_age_ms"].take();
    assert!(
        age.as_i64().is_some_and(|ms| (0..600_000).contains(&ms)),
        "{age}"
    );
    let expected = json!([{
        "queue": "crew", "topic": "jobs", "partition": 0, "ready": 5, "in_flight": 2,
        "delayed": 1, "dead": 1, "redelivered": 0, "oldest_age_ms": null, "consumers": 1,
        "paused": false,
    }]);
    assert_eq!(stats, expected);
    let yaml = place.queue(&["stats", "--output", "yaml"]);
    let lines: Vec<_> = yaml.lines().collect();
    assert_eq!(
        lines[..4],
        [
            "- queue: \"crew\"",
            "  topic: \"jobs\"",
            "  partition: 0",
            "  ready: 5"
        ]
    );
    assert_eq!(lines.len(), 11);

    let table = place.queue(&["stats"]);
    assert!(table.lines().all(|line| line.len() <= 80), "{table}");
    let table = words(&table);
    assert_eq!(table[0], ["crew"]);
    assert_eq!(
        table[1].join(" "),
        "PARTITION READY IN FLIGHT DELAYED DEAD REDELIVERED OLDEST CONSUMERS"
    );
    assert_eq!(table[2][..6], ["jobs-0", "5", "2", "1", "1", "0"]);
    assert_eq!((table[2][7], table.len()), ("1", 3));
    assert_eq!(
        place.queue(&["ls"]),
        "QUEUE  STATE   READY  IN FLIGHT  DELAYED  DEAD  PAUSED\n\
         crew   Stable      5          2        1     1  no\n"
    );
    let listed = json!([{
        "queue": "crew", "state": "Stable", "ready": 5, "in_flight": 2, "delayed": 1, "dead": 1,
        "paused": false,
    }]);
    assert_eq!(place.told(&["ls"]), listed);
}

#[tokio::test]
async fn a_paused_queue_leases_nothing_until_it_is_resumed() {
    let place = Place::with_queue(1, &[]);
    place.produce(0, 4);
    let mut worker = Worker::new(&place, &[0]).await;
    assert_eq!(worker.take(1).await, [(0, 1)]);
    assert_eq!(
        place.queue(&["pause", "crew"]),
        "QUEUE  PAUSED\ncrew   yes\n"
    );
    assert_eq!(worker.take(9).await, [], "nothing while it is paused");
    assert_eq!(words(&place.queue(&["stats"]))[0], ["crew,", "paused"]);
    let stats = &place.told(&["stats"])[0];
    assert_eq!(
        (&stats["in_flight"], &stats["paused"]),
        (&json!(1), &json!(true))
    );
    assert_eq!(place.told(&["ls"])[0]["paused"], json!(true));
    worker.settle([0], ACCEPT).await;

    let resumed = place.told(&["resume", "crew"]);
    assert_eq!(resumed, json!([{"queue": "crew", "paused": false}]));
    assert_eq!(worker.take(9).await, [(1, 1), (2, 1), (3, 1)]);
}

#[tokio::test]
async fn a_purge_throws_away_what_is_ready_and_leaves_what_is_leased() {
    let place = Place::with_queue(2, &[]);
    place.produce(0, 4);
    place.produce(1, 4);
    let mut worker = Worker::new(&place, &[0]).await;
    assert_eq!(worker.take(1).await, [(0, 1)]);
    place.refuses(&["purge", "crew", "-t", "jobs", "-p", "7"], 1, "jobs-7");
    let purged = place.told(&["purge", "crew", "--topic=jobs", "--partition=1"]);
    assert_eq!(
        purged,
        json!([{"topic": "jobs", "partition": 1, "purged": 4}])
    );
    let stats = place.told(&["stats"]);
    assert_eq!(
        (&stats[0]["ready"], &stats[1]["ready"]),
        (&json!(3), &json!(0))
    );
    let table = place.queue(&["stats"]);
    assert_eq!(words(&table)[4][..3], ["together", "3", "1"]);

    assert_eq!(
        place.queue(&["purge", "crew"]),
        "TOPIC  PARTITION  PURGED\njobs           0       3\njobs           1       0\n"
    );
    assert_eq!(worker.take(9).await, [], "all that was ready is gone");
    worker.settle([0], ACCEPT).await;
    let stats = place.told(&["stats"]);
    assert_eq!(
        (&stats[0]["ready"], &stats[0]["in_flight"]),
        (&json!(0), &json!(0))
    );
}

/// A queue whose six records were rejected, and its worker.
async fn six_dead() -> (Place, Worker) {
    let place = Place::with_queue(1, &["errors.deadletterqueue.topic.name=jobs.dead"]);
    place.produce(0, 6);
    let mut worker = Worker::new(&place, &[0]).await;
    assert_eq!(worker.take(6).await.len(), 6);
    worker.settle(0..6, REJECT).await;
    place.until("dead", 6);
    (place, worker)
}

#[tokio::test]
async fn a_dry_run_counts_what_matches_and_moves_nothing() {
    let (place, _worker) = six_dead().await;
    let cases: [(&[&str], i64); 11] = [
        (&["--all"], 6),
        (&["--key", "k3"], 1),
        (&["--key", "k"], 0),
        (&["--at", "0:5"], 1),
        (
            &["--topic", "jobs", "--partition", "0", "--offsets", "2..4"],
            3,
        ),
        (&["--topic", "elsewhere"], 0),
        (&["--reason", "rejected"], 6),
        (&["--reason", "limit"], 0),
        (&["--since", "1h"], 6),
        (&["--until", "1h"], 0),
        (&["--header", "__dlq.errors.offset=4", "--key", "k4"], 1),
    ];
    for (filter, matched) in cases {
        let job = place.told(&[&["redrive", "crew", "--dry-run"], filter].concat());
        let job = &job[0];
        assert_eq!(
            (&job["state"], &job["home"]),
            (&json!("dry run"), &json!(0))
        );
        assert_eq!(job["matched"], json!(matched), "{filter:?}");
    }
    assert_eq!(place.end(), 6, "nothing was moved");
    let jobs = place.told(&["redrive", "--jobs"]);
    assert_eq!(jobs.as_array().map(Vec::len), Some(cases.len()));
}

#[tokio::test]
async fn dead_letters_come_home_once_some_and_then_the_rest() {
    let (place, mut worker) = six_dead().await;
    let said = place.queue(&["redrive", "crew", "--key", "k3"]);
    assert_eq!(
        words(&said),
        words(
            "JOB QUEUE FROM STATE READ OF MATCHED HOME SKIPPED\n\
             1 crew jobs.dead done 6 6 1 1 0"
        )
    );
    assert_eq!(place.values(6, 1), ["v3"]);
    place.queue(&["redrive", "crew", "--at", "0:5"]);
    assert_eq!(place.values(7, 1), ["v5"]);

    // At one record a second the job is there to be stopped, and goes on where it was.
    let job = place.told(&["redrive", "crew", "--all", "--rate=1", "--detach"]);
    assert_eq!(
        (&job[0]["job"], &job[0]["state"]),
        (&json!(3), &json!("running"))
    );
    let stopped = &place.told(&["redrive", "--cancel", "3"])[0];
    assert_eq!(stopped["state"], json!("cancelled"));
    let home = stopped["home"].as_i64().expect("a count");
    assert!(home < 4, "it was stopped too late: {stopped}");
    assert_eq!(place.end(), 8 + home);
    place.refuses(&["redrive", "--cancel", "3"], 1, "Redrive 3 ");
    let done = &place.told(&["redrive", "--resume", "3"])[0];
    assert_eq!((&done["state"], &done["home"]), (&json!("done"), &json!(4)));
    assert_eq!(place.values(6, 6), ["v3", "v5", "v0", "v1", "v2", "v4"]);

    let again = &place.told(&["redrive", "crew", "--all"])[0];
    assert_eq!(again["home"], json!(0), "all are home already");
    assert_eq!(place.end(), 12);
    let leased = worker.take(20).await;
    let expected: Vec<_> = (6..12).map(|offset| (offset, 1)).collect();
    assert_eq!(leased, expected, "they are work again");
}

#[test]
fn settings_are_set_and_unset() {
    let place = Place::new();
    let said = place.queue(&[
        "set",
        "crew",
        "queue.paused=true",
        "share.delivery.count.limit=7",
    ]);
    assert_eq!(
        words(&said),
        words("QUEUE KEY VALUE\ncrew queue.paused true\ncrew share.delivery.count.limit 7")
    );
    let said = place.told(&["set", "crew", "--unset", "queue.paused"]);
    assert_eq!(
        said,
        json!([{"queue": "crew", "key": "queue.paused", "value": null}])
    );
}

#[test]
fn what_cannot_be_done_is_said_with_the_way_out() {
    let place = Place::with_queue(1, &[]);
    let failed: [(&[&str], &str); 8] = [
        (&["stats", "crow"], "there is no queue crow"),
        (&["purge", "crow"], "crow: The group has no queues."),
        (
            &["redrive", "crew", "--all"],
            "set errors.deadletterqueue.topic.name",
        ),
        (&["redrive", "--cancel", "9"], "There is no redrive 9."),
        (&["redrive", "--resume", "9"], "There is no redrive 9."),
        (&["redrive", "--watch", "9"], "job 9"),
        (
            &["set", "crew", "share.record.lock.duration.ms=1"],
            "share.record.lock.duration.ms: it must be a whole number from 100 to 43200000.",
        ),
        (
            &["set", "crew", "share.nope=1"],
            "Unknown group configuration share.nope.",
        ),
    ];
    for (arguments, sentence) in failed {
        place.refuses(arguments, 1, sentence);
    }
    let unusable: [(&[&str], &str); 11] = [
        (
            &["redrive", "crew"],
            "say which dead letters come home: --all",
        ),
        (&["redrive", "crew", "--all", "--key=k"], "--all"),
        (&["redrive", "crew", "--all", "--rate=0"], "0 is not in 1.."),
        (
            &["redrive", "crew", "--at=7"],
            "give it as PARTITION:OFFSET",
        ),
        (
            &["redrive", "crew", "--since=2w"],
            "give an age like 90s, 15m, 2h or 7d",
        ),
        (&["purge", "crew", "-p", "1"], "--topic <TOPIC>"),
        (
            &["set", "crew"],
            "nothing to change of crew: give KEY=VALUE, or --unset KEY",
        ),
        (&["set", "", "share.nope=1"], "the name is empty"),
        (&["create", "", "--topic=jobs"], "the name is empty"),
        (&["create", "crew", "--topic="], "the name is empty"),
        (&["set", "crew", "share.nope"], "give it as KEY=VALUE"),
    ];
    for (arguments, sentence) in unusable {
        place.refuses(arguments, 2, sentence);
    }
}

#[tokio::test]
async fn a_queue_is_made_with_its_records_and_settings_before_anybody_comes() {
    let place = Place::new();
    place.ratel(&["topic", "create", "jobs", "-p", "2"]);
    place.produce(0, 5);
    assert_eq!(
        place.queue(&[
            "create",
            "crew",
            "-t",
            "jobs",
            "-s",
            "share.delivery.count.limit=7"
        ]),
        "QUEUE  TOPIC  PARTITION  START\ncrew   jobs           0      0\n\
         crew   jobs           1      0\n"
    );
    let stats = place.told(&["stats", "crew"]);
    assert_eq!(
        (&stats[0]["ready"], &stats[1]["ready"]),
        (&json!(5), &json!(0))
    );
    place.produce(1, 2);
    assert_eq!(
        place.told(&["stats", "crew"])[1]["ready"],
        json!(2),
        "what comes counts too"
    );

    let made = place.told(&["create", "late", "--topic=jobs", "--from=latest"]);
    assert_eq!(
        (&made[0]["start"], &made[1]["start"]),
        (&json!(5), &json!(2))
    );
    place.queue(&["create", "third", "--topic=jobs", "--from=2"]);
    let starts = place.told(&["describe", "third"]);
    assert_eq!(
        (&starts[0]["start"], &starts[0]["lag"]),
        (&json!(2), &json!(3))
    );

    let mut worker = Worker::new(&place, &[0]).await;
    assert_eq!(worker.take(2).await, [(0, 1), (1, 1)]);
    let described = place.queue(&["describe", "crew"]);
    let lines = words(&described);
    assert_eq!(lines[0].join(" "), "crew: Stable, 1 member");
    assert_eq!(lines[1], ["TOPIC", "PARTITION", "START", "LAG"]);
    assert_eq!(
        lines[2..4],
        [["jobs", "0", "0", "5"], ["jobs", "1", "0", "2"]]
    );
    assert_eq!(lines[5], ["MEMBER", "CLIENT", "HOST", "PARTITIONS"]);
    assert_eq!(lines[6][..2], ["worker", "raw"]);
    assert_eq!(lines[6][3..], ["jobs-0,1"]);
    assert_eq!(lines[8], ["KEY", "VALUE"]);
    assert_eq!(lines[9], ["share.delivery.count.limit", "7"]);
    let again = ["create", "crew", "-t", "jobs", "--reset"];
    place.refuses(&again, 1, "crew: The group is not empty");
    place.refuses(
        &["create", "more", "-t", "elsewhere"],
        1,
        "there is no topic elsewhere",
    );
    place.refuses(
        &["create", "more", "-t", "jobs", "--from=-1"],
        2,
        "give earliest, latest",
    );
    place.refuses(&["describe", "crow"], 1, "crow: ");
}

#[test]
fn a_queue_that_is_there_begins_anew_only_if_asked() {
    let place = Place::with_queue(1, &[]);
    place.produce(0, 3);
    place.queue(&["create", "crew", "--topic=jobs", "--from=1"]);
    let again = ["create", "crew", "--topic=jobs", "--from=2"];
    place.refuses(&again, 1, "crew is a queue of jobs already; --reset");
    assert_eq!(place.told(&["describe", "crew"])[0]["start"], json!(1));
    place.queue(&[&again[..], &["--reset"]].concat());
    assert_eq!(place.told(&["describe", "crew"])[0]["start"], json!(2));
}

#[test]
fn a_peek_shows_first_records_and_leases_nothing() {
    let place = Place::with_queue(2, &[]);
    place.queue(&["create", "crew", "--topic", "jobs"]);
    assert_eq!(
        place.queue(&["peek", "crew"]),
        "there is nothing in it to look at\n"
    );
    place.produce(0, 5);
    place.produce(1, 1);
    let seen = place.queue(&["peek", "crew", "-n", "2"]);
    let lines = words(&seen);
    assert_eq!(lines[0], ["PARTITION", "OFFSET", "AGE", "KEY", "VALUE"]);
    assert_eq!(lines[1][..2], ["jobs-0", "0"]);
    assert_eq!(lines[2][..2], ["jobs-0", "1"]);
    assert_eq!(lines[2][3..], ["k1", "v1"]);
    assert_eq!(lines[3][..2], ["jobs-1", "0"]);
    assert_eq!(lines.len(), 4);
    let mut seen = place.told(&["peek", "crew", "--topic=jobs", "--partition=0", "-n4"]);
    let seen = seen.as_array_mut().expect("a list");
    assert_eq!(seen.len(), 4);
    assert!(seen[3]["time_ms"].take().is_i64());
    let last = json!({
        "topic": "jobs", "partition": 0, "offset": 3, "time_ms": null, "key": "k3",
        "value": "v3", "headers": [],
    });
    assert_eq!(seen[3], last);
    let stats = &place.told(&["stats", "crew"])[0];
    assert_eq!(
        (&stats["ready"], &stats["in_flight"]),
        (&json!(5), &json!(0))
    );
    place.refuses(&["peek", "crew", "-n", "0"], 2, "0 is not in 1..");
    place.refuses(&["peek", "crow"], 1, "there is no queue crow");
}
