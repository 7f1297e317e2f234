use std::sync::Arc;

use ratel_protocol::StrBytes;
use ratel_protocol::messages::share_acknowledge_request::{AcknowledgePartition, AcknowledgeTopic};
use ratel_protocol::messages::share_fetch_request::{
    AcknowledgementBatch, FetchPartition, FetchTopic, ForgottenTopic,
};
use ratel_protocol::messages::share_fetch_response::PartitionData;
use ratel_protocol::messages::{
    GroupId, ShareAcknowledgeRequest, ShareAcknowledgeResponse, ShareFetchResponse,
};
use ratel_storage::{
    Durability, LogSettings, Offset, Origin, Outcome, Partition, TopicId, records,
};

use super::*;
use crate::api::testing::{Bench, NOW_MS, answer, batch, response, transactions};
use crate::coordinator::catalog::broker_config::BrokerConfigs;
use crate::coordinator::catalog::group_config::{GroupConfig, GroupSettings};
use crate::coordinator::catalog::{SHARE_STATE_TOPIC, Topic};
use crate::coordinator::share::{Event, QueueKey, Reply};

struct Rig {
    bench: Bench,
    topic: Arc<Topic>,
}

fn text(text: &str) -> StrBytes {
    StrBytes::from_string(text.to_owned())
}

impl Rig {
    /// A topic of so many partitions whose queues begin at its first record.
    async fn new(partitions: i32) -> Self {
        let bench = Bench::new();
        bench.topic_with(SHARE_STATE_TOPIC, 4, true, LogSettings::default());
        let rig = Self {
            topic: bench.topic("jobs", partitions),
            bench,
        };
        for index in 0..partitions {
            rig.begin(index).await;
        }
        rig
    }

    /// The group begins to read a partition, from where its log stands now.
    async fn begin(&self, index: i32) {
        let partition = self.topic.partition(index).unwrap();
        let group = "g".into();
        let made = self.bench.broker.shares.initialize(&group, partition);
        made.await.unwrap();
    }

    fn produce(&self, index: i32, values: &[&str]) {
        let partition = self.bench.broker.partition(&self.topic, index).unwrap();
        let appended =
            partition.append(&batch(values), Origin::Client, Durability::Written, NOW_MS);
        drop(appended);
    }

    /// A request of member `m`.
    fn fetch(&self, epoch: i32, partitions: &[i32]) -> ShareFetchRequest {
        let partitions = partitions
            .iter()
            .map(|index| FetchPartition::default().with_partition_index(*index));
        let topic = FetchTopic::default()
            .with_topic_id(self.topic.id)
            .with_partitions(partitions.collect());
        ShareFetchRequest::default()
            .with_group_id(Some(GroupId(text("g"))))
            .with_member_id(Some(text("m")))
            .with_share_session_epoch(epoch)
            .with_max_bytes(1 << 20)
            .with_max_records(500)
            .with_topics(vec![topic])
    }

    async fn send(&self, request: &ShareFetchRequest) -> ShareFetchResponse {
        self.bench.send(2, request).await
    }

    async fn acknowledge(
        &self,
        epoch: i32,
        acks: &[(i32, AcknowledgementBatch)],
    ) -> ShareAcknowledgeResponse {
        let partitions = acks.iter().map(|(index, ack)| {
            AcknowledgePartition::default()
                .with_partition_index(*index)
                .with_acknowledgement_batches(vec![ack.clone()])
        });
        let topic = AcknowledgeTopic::default()
            .with_topic_id(self.topic.id)
            .with_partitions(partitions.collect());
        let request = ShareAcknowledgeRequest::default()
            .with_group_id(Some(GroupId(text("g"))))
            .with_member_id(Some(text("m")))
            .with_share_session_epoch(epoch)
            .with_topics(vec![topic]);
        self.bench.send(2, &request).await
    }
}

fn of(mut request: ShareFetchRequest, member: &str) -> ShareFetchRequest {
    request.member_id = Some(text(member));
    request
}

fn ack(first: i64, last: i64, kind: i8) -> AcknowledgementBatch {
    AcknowledgementBatch::default()
        .with_first_offset(first)
        .with_last_offset(last)
        .with_acknowledge_types(vec![kind])
}

fn carrying(mut request: ShareFetchRequest, ack: AcknowledgementBatch) -> ShareFetchRequest {
    request.topics[0].partitions[0].acknowledgement_batches = vec![ack];
    request
}

fn lines(response: &ShareFetchResponse) -> Vec<&PartitionData> {
    let topics = response.responses.iter();
    topics.flat_map(|topic| &topic.partitions).collect()
}

/// First, last and count of a range.
type Range = (i64, i64, i16);

/// The leased ranges, by partition.
fn acquired(response: &ShareFetchResponse) -> Vec<(i32, Vec<Range>)> {
    assert_eq!(response.error_code, 0);
    let lines = lines(response).into_iter();
    lines
        .map(|line| {
            let ranges = line.acquired_records.iter();
            let ranges =
                ranges.map(|range| (range.first_offset, range.last_offset, range.delivery_count));
            (line.partition_index, ranges.collect())
        })
        .collect()
}

/// The offsets of the records in a line.
fn offsets(line: &PartitionData) -> Vec<i64> {
    let (mut bytes, mut all) = (line.records.clone(), Vec::new());
    while !bytes.is_empty() {
        let header = ratel_storage::BatchHeader::decode(&bytes).unwrap();
        let one = bytes.split_to(header.bytes);
        let batch = ratel_storage::Batch::parse(one, usize::MAX).unwrap();
        all.extend((0..i64::from(batch.header().count)).map(|n| batch.header().base_offset + n));
        assert!(records(&batch).is_ok());
    }
    all
}

fn codes(response: &ShareAcknowledgeResponse) -> Vec<i16> {
    assert_eq!(response.error_code, 0);
    let topics = response.responses.iter();
    let partitions = topics.flat_map(|topic| &topic.partitions);
    partitions.map(|partition| partition.error_code).collect()
}

#[tokio::test(start_paused = true)]
async fn records_are_leased_once_and_done_once_acknowledged() {
    let rig = Rig::new(1).await;
    rig.produce(0, &["a", "b", "c"]);
    let first = rig.send(&rig.fetch(0, &[0])).await;
    assert_eq!(acquired(&first), [(0, vec![(0, 2, 1)])]);
    assert_eq!(offsets(lines(&first)[0]), [0, 1, 2]);
    assert_eq!(first.acquisition_lock_timeout_ms, 30_000);
    let leader = &lines(&first)[0].current_leader;
    assert_eq!((leader.leader_id, leader.leader_epoch), (-1, -1));
    // Another member gets nothing of it.
    let other = rig.send(&of(rig.fetch(0, &[0]), "n")).await;
    assert_eq!(acquired(&other), []);
    let done = rig.acknowledge(1, &[(0, ack(0, 1, 1))]).await;
    assert_eq!(
        (codes(&done), done.acquisition_lock_timeout_ms),
        (vec![0], 30_000)
    );
    // The rest goes back with the session, and no more than the rest.
    let closed = rig.send(&rig.fetch(-1, &[])).await;
    assert_eq!(acquired(&closed), []);
    let other = rig.send(&of(rig.fetch(1, &[]), "n")).await;
    assert_eq!(acquired(&other), [(0, vec![(2, 2, 2)])]);
    // Whole batches: what is leased is less than what is there.
    assert_eq!(offsets(lines(&other)[0]), [0, 1, 2]);
}

impl Rig {
    /// Let the group read at this level.
    fn isolate(&self, level: &str) {
        let configs = [("share.isolation.level".to_owned(), level.to_owned())];
        let configs = std::collections::BTreeMap::from(configs);
        let brokers = BrokerConfigs::new(Arc::new(crate::config::Config::default()));
        let settings = Arc::new(GroupSettings::new(&configs, &brokers));
        let group = GroupConfig {
            group: "g".into(),
            configs,
            settings,
        };
        self.bench.broker.catalog.view.insert_group(Arc::new(group));
    }
}

/// What is leased of a log with a plain record, an aborted transaction of 1 and 2, and an open one.
async fn leased_of_transactions(level: &str) -> (Rig, Arc<dyn Partition>, Vec<Range>) {
    let rig = Rig::new(1).await;
    rig.isolate(level);
    let log = rig.bench.broker.partition(&rig.topic, 0).unwrap();
    rig.produce(0, &["plain"]);
    transactions::write(&log, 7, &["a", "b"]).await;
    rig.produce(0, &["plain"]);
    transactions::end(&log, 7, Outcome::Abort).await;
    transactions::write(&log, 8, &["c"]).await;
    let leased = rig.send(&rig.fetch(0, &[0])).await;
    let ranges = acquired(&leased).into_iter().flat_map(|(_, all)| all);
    let ranges = ranges.collect();
    (rig, log, ranges)
}

#[tokio::test(start_paused = true)]
async fn read_uncommitted_leases_all_but_markers() {
    let (_rig, _log, ranges) = leased_of_transactions("read_uncommitted").await;
    assert_eq!(ranges, [(0, 3, 1), (5, 5, 1)]);
}

#[tokio::test(start_paused = true)]
async fn read_committed_leases_what_is_stable_and_was_not_aborted() {
    let (rig, log, ranges) = leased_of_transactions("read_committed").await;
    assert_eq!(ranges, [(0, 0, 1), (3, 3, 1)]);
    let waits = rig.fetch(1, &[]).with_max_wait_ms(60_000);
    let waiting = rig.send(&waits);
    let ending = async {
        tokio::time::sleep(std::time::Duration::from_millis(20)).await;
        transactions::end(&log, 8, Outcome::Commit).await;
    };
    let (leased, ()) = tokio::join!(waiting, ending);
    assert_eq!(acquired(&leased), [(0, vec![(5, 5, 1)])]);
}

/// All that a member leases until there is nothing more.
async fn leased_by(rig: &Rig, member: &str) -> Vec<Range> {
    let mut all = Vec::new();
    for epoch in 0.. {
        let indexes: &[i32] = if epoch == 0 { &[0] } else { &[] };
        let request = of(rig.fetch(epoch, indexes), member).with_max_records(2000);
        let leased = acquired(&rig.send(&request).await);
        if leased.is_empty() {
            break;
        }
        all.extend(leased.into_iter().flat_map(|(_, ranges)| ranges));
    }
    all
}

#[tokio::test(start_paused = true)]
async fn of_many_small_transactions_each_lease_is_looked_at_again() {
    let rig = Rig::new(1).await;
    rig.isolate("read_uncommitted");
    let log = rig.bench.broker.partition(&rig.topic, 0).unwrap();
    // With their markers, more batches than a queue is told of at once.
    let pairs = 400;
    for _ in 0..pairs {
        for outcome in [Outcome::Commit, Outcome::Abort] {
            transactions::write(&log, 7, &["x"]).await;
            transactions::end(&log, 7, outcome).await;
        }
    }
    let single = |at: i64, count: i16| (at, at, count);
    let every: Vec<_> = (0..2 * pairs).map(|n| single(2 * n, 1)).collect();
    assert_eq!(leased_by(&rig, "m").await, every);
    rig.send(&rig.fetch(-1, &[])).await;
    rig.isolate("read_committed");
    let committed: Vec<_> = (0..pairs).map(|n| single(4 * n, 2)).collect();
    assert_eq!(leased_by(&rig, "n").await, committed);
}

#[tokio::test(start_paused = true)]
async fn what_a_group_holds_when_it_begins_to_read_committed_records_is_looked_at_again() {
    let (rig, log, ranges) = leased_of_transactions("read_uncommitted").await;
    assert_eq!(ranges, [(0, 3, 1), (5, 5, 1)]);
    rig.send(&rig.fetch(-1, &[])).await;
    rig.isolate("read_committed");
    let leased = rig.send(&of(rig.fetch(0, &[0]), "n")).await;
    assert_eq!(acquired(&leased), [(0, vec![(0, 0, 2), (3, 3, 2)])]);
    // It is not decided before the end, and done with when that is an abort.
    let waits = of(rig.fetch(1, &[]), "n").with_max_wait_ms(60_000);
    let waiting = rig.send(&waits);
    let ending = async {
        transactions::end(&log, 8, Outcome::Abort).await;
        tokio::time::sleep(std::time::Duration::from_millis(20)).await;
        rig.produce(0, &["plain"]);
    };
    let (leased, ()) = tokio::join!(waiting, ending);
    assert_eq!(acquired(&leased), [(0, vec![(7, 7, 1)])]);
    let acks = [(0, ack(0, 0, 1)), (0, ack(3, 3, 1)), (0, ack(7, 7, 1))];
    for (epoch, done) in (2..).zip(acks) {
        let (index, done) = done;
        let topic = FetchTopic::default()
            .with_topic_id(rig.topic.id)
            .with_partitions(vec![
                FetchPartition::default()
                    .with_partition_index(index)
                    .with_acknowledgement_batches(vec![done]),
            ]);
        let request = of(rig.fetch(epoch, &[]), "n").with_topics(vec![topic]);
        assert_eq!(acquired(&rig.send(&request).await), [(0, vec![])]);
    }
    let (group, partition) = ("g".into(), rig.topic.partition(0).unwrap());
    let key = QueueKey { group, partition };
    let event = Event::Describe { key: key.clone() };
    let Ok(Reply::Described(depth)) = rig.bench.broker.shares.send(&key, event).await else {
        panic!("no queue");
    };
    assert_eq!(depth.start, Offset::new(8), "all is done: {depth:?}");
}

#[tokio::test(start_paused = true)]
async fn the_session_keeps_its_epochs() {
    let rig = Rig::new(1).await;
    let code = |response: ShareFetchResponse| response.error_code;
    assert_eq!(code(rig.send(&rig.fetch(1, &[0])).await), 122);
    assert_eq!(code(rig.send(&rig.fetch(-1, &[0])).await), 122);
    let carries = carrying(rig.fetch(0, &[0]), ack(0, 0, 1));
    assert_eq!(code(rig.send(&carries).await), 42);
    assert_eq!(rig.acknowledge(0, &[]).await.error_code, 123);
    assert_eq!(rig.acknowledge(1, &[]).await.error_code, 122);
    assert_eq!(code(rig.send(&rig.fetch(0, &[0])).await), 0);
    assert_eq!(code(rig.send(&rig.fetch(2, &[0])).await), 123);
    // Fetch and acknowledge count on together.
    assert_eq!(rig.acknowledge(1, &[]).await.error_code, 0);
    assert_eq!(code(rig.send(&rig.fetch(2, &[])).await), 0);
    assert_eq!(rig.acknowledge(-1, &[]).await.error_code, 0);
    assert_eq!(rig.acknowledge(-1, &[]).await.error_code, 122);
    for member in ["", "1234567890123456789012345678901234567"] {
        assert_eq!(code(rig.send(&of(rig.fetch(0, &[0]), member)).await), 42);
    }
}

#[tokio::test(start_paused = true)]
async fn a_disconnect_releases() {
    let rig = Rig::new(1).await;
    rig.produce(0, &["a"]);
    rig.send(&rig.fetch(0, &[0])).await;
    // Also what left the session meanwhile.
    let forgotten = ForgottenTopic::default()
        .with_topic_id(rig.topic.id)
        .with_partitions(vec![0]);
    let mut forgets = rig.fetch(1, &[]);
    forgets.forgotten_topics_data = vec![forgotten];
    assert_eq!(acquired(&rig.send(&forgets).await), []);
    rig.bench.broker.disconnected(0);
    assert!(rig.bench.broker.share_sessions.is_empty());
    let again = rig.send(&of(rig.fetch(0, &[0]), "n")).await;
    assert_eq!(acquired(&again), [(0, vec![(0, 0, 2)])]);
}

#[tokio::test]
async fn partitions_take_turns_with_an_acknowledgement_after_each_fetch() {
    let rig = Rig::new(2).await;
    rig.produce(0, &["a", "b", "c"]);
    rig.produce(1, &["d", "e", "f"]);
    let mut served = Vec::new();
    for round in 0..4 {
        let mut request = rig.fetch(2 * round, &[0, 1]);
        request.max_records = 1;
        request.share_acquire_mode = 1;
        let leased = acquired(&rig.send(&request).await);
        let (index, ranges) = leased
            .iter()
            .find(|(_, ranges)| !ranges.is_empty())
            .unwrap();
        served.push(*index);
        let (first, last, _) = ranges[0];
        let acks = [(*index, ack(first, last, 1))];
        rig.acknowledge(2 * round + 1, &acks).await;
    }
    assert_eq!(served, [0, 1, 0, 1]);
}

#[tokio::test]
async fn a_fetch_waits_for_records_and_for_what_comes_back() {
    let rig = Rig::new(2).await;
    let began = tokio::time::Instant::now();
    let empty = rig.send(&rig.fetch(0, &[0, 1]).with_max_wait_ms(50)).await;
    assert_eq!(acquired(&empty), []);
    assert!(began.elapsed().as_millis() >= 50);
    let waiting = rig.fetch(1, &[]).with_max_wait_ms(60_000);
    let (found, ()) = tokio::join!(rig.send(&waiting), async {
        tokio::time::sleep(Duration::from_millis(5)).await;
        rig.produce(1, &["a"]);
    });
    assert_eq!(acquired(&found), [(1, vec![(0, 0, 1)])]);
    let waiting = of(rig.fetch(0, &[1]).with_max_wait_ms(60_000), "n");
    let (found, done) = tokio::join!(rig.send(&waiting), async {
        tokio::time::sleep(Duration::from_millis(5)).await;
        rig.acknowledge(2, &[(1, ack(0, 0, 2))]).await
    });
    assert_eq!(codes(&done), [0]);
    assert_eq!(acquired(&found), [(1, vec![(0, 0, 2)])]);
    assert!(rig.bench.broker.shares.waiters().is_empty());
    assert!(began.elapsed().as_millis() < 10_000);
}

#[tokio::test]
async fn a_fetch_waits_for_min_bytes() {
    let rig = Rig::new(1).await;
    rig.produce(0, &["a"]);
    let began = tokio::time::Instant::now();
    let request = rig.fetch(0, &[0]).with_max_wait_ms(50).with_min_bytes(200);
    let found = rig.send(&request).await;
    assert!(began.elapsed().as_millis() >= 50);
    assert_eq!(acquired(&found), [(0, vec![(0, 0, 1)])]);
    let request = rig
        .fetch(1, &[])
        .with_max_wait_ms(60_000)
        .with_min_bytes(100);
    let (found, ()) = tokio::join!(rig.send(&request), async {
        for _ in 0..2 {
            tokio::time::sleep(Duration::from_millis(5)).await;
            rig.produce(0, &["b"]);
        }
    });
    assert_eq!(acquired(&found), [(0, vec![(1, 2, 1)])]);
    assert!(began.elapsed().as_millis() < 10_000);
}

// Not on paused time, which jumps while the disk's thread is at work.
#[tokio::test]
async fn acknowledgements_that_came_along_are_answered_at_once() {
    let rig = Rig::new(2).await;
    rig.produce(0, &["a", "b"]);
    rig.send(&rig.fetch(0, &[0, 1])).await;
    let began = tokio::time::Instant::now();
    let request = rig.fetch(1, &[0]).with_max_wait_ms(60_000);
    let answered = rig.send(&carrying(request, ack(0, 0, 1))).await;
    assert!(began.elapsed().as_secs() < 30, "{:?}", began.elapsed());
    assert_eq!(
        acquired(&answered),
        [(0, vec![])],
        "a partition that carried one is named"
    );
    // What is not leased changes nothing, and says so.
    rig.send(&of(rig.fetch(0, &[0]), "n")).await;
    let request = of(rig.fetch(1, &[0]).with_max_wait_ms(60_000), "n");
    let answered = rig.send(&carrying(request, ack(1, 1, 1))).await;
    let line = lines(&answered)[0];
    assert_eq!((line.error_code, line.acknowledge_error_code), (0, 121));
    let request = rig.fetch(2, &[0]);
    let answered = rig.send(&carrying(request, ack(1, 1, 9))).await;
    assert_eq!(lines(&answered)[0].acknowledge_error_code, 42);
    assert_eq!(codes(&rig.acknowledge(3, &[(0, ack(1, 1, 1))]).await), [0]);
}

#[tokio::test(start_paused = true)]
async fn the_limits_are_for_all_partitions_together() {
    let rig = Rig::new(2).await;
    for index in [0, 1] {
        rig.produce(index, &["a", "b"]);
        rig.produce(index, &["c"]);
    }
    let request = rig.fetch(0, &[0, 1]).with_max_records(4);
    let exact = request.with_share_acquire_mode(1);
    let found = rig.send(&exact).await;
    assert_eq!(
        acquired(&found),
        [(0, vec![(0, 2, 1)]), (1, vec![(0, 0, 1)])]
    );
    // The other one is first now, and whole batches go beyond the limit.
    let found = rig.send(&rig.fetch(1, &[]).with_max_records(1)).await;
    assert_eq!(acquired(&found), [(1, vec![(1, 1, 1)])]);
    let none = rig.send(&rig.fetch(2, &[]).with_max_records(0)).await;
    assert_eq!(acquired(&none), []);
}

#[tokio::test(start_paused = true)]
async fn kip_74_a_record_longer_than_the_limit_is_delivered_and_the_next_not_counted() {
    let rig = Rig::new(1).await;
    let large = "x".repeat(40_000);
    rig.produce(0, &[&large]);
    rig.produce(0, &[&large]);
    let found = rig.send(&rig.fetch(0, &[0]).with_max_bytes(100)).await;
    assert_eq!(acquired(&found), [(0, vec![(0, 0, 1)])]);
    assert_eq!(offsets(lines(&found)[0]), [0]);
    // The second was leased and did not fit: it comes as if for the first time.
    let found = rig.send(&rig.fetch(1, &[]).with_max_bytes(100)).await;
    assert_eq!(acquired(&found), [(0, vec![(1, 1, 1)])]);
}

#[tokio::test(start_paused = true)]
async fn ranges_end_with_a_batch_near_the_batch_size() {
    let rig = Rig::new(1).await;
    for values in [&["a", "b"][..], &["c"], &["d", "e"], &["f"]] {
        rig.produce(0, values);
    }
    let found = rig.send(&rig.fetch(0, &[0]).with_batch_size(3)).await;
    assert_eq!(acquired(&found), [(0, vec![(0, 2, 1), (3, 5, 1)])]);
    assert_eq!(offsets(lines(&found)[0]), [0, 1, 2, 3, 4, 5]);
}

#[tokio::test(start_paused = true)]
async fn renewals_ask_for_no_records() {
    let rig = Rig::new(1).await;
    rig.produce(0, &["a"]);
    rig.send(&rig.fetch(0, &[0])).await;
    let request = carrying(rig.fetch(1, &[0]).with_is_renew_ack(true), ack(0, 0, 4));
    assert_eq!(
        rig.send(&request).await.error_code,
        42,
        "limits that are not 0"
    );
    let request = request.with_max_bytes(0).with_max_records(0);
    let renewed = rig.send(&request).await;
    assert_eq!(acquired(&renewed), [(0, vec![])]);
    assert_eq!(lines(&renewed)[0].acknowledge_error_code, 0);
    // Without the word, no renewal.
    let request = carrying(rig.fetch(2, &[0]), ack(0, 0, 4));
    assert_eq!(
        lines(&rig.send(&request).await)[0].acknowledge_error_code,
        42
    );
    let mode = rig.fetch(3, &[0]).with_share_acquire_mode(2);
    assert_eq!(rig.send(&mode).await.error_code, 42);
}

#[tokio::test(start_paused = true)]
async fn what_is_not_there_is_said_at_once_if_there_is_nothing_else() {
    let rig = Rig::new(1).await;
    let began = tokio::time::Instant::now();
    let mut request = rig.fetch(0, &[7]).with_max_wait_ms(60_000);
    let unknown = FetchTopic::default()
        .with_topic_id(TopicId::from_u128(99))
        .with_partitions(vec![FetchPartition::default()]);
    request.topics.push(unknown);
    let answered = rig.send(&request).await;
    let mut codes: Vec<_> = lines(&answered)
        .iter()
        .map(|line| line.error_code)
        .collect();
    codes.sort_unstable();
    assert_eq!((codes, began.elapsed().as_millis()), (vec![3, 100], 0));
    let done = rig.acknowledge(1, &[(7, ack(0, 0, 1))]).await;
    assert_eq!(self::codes(&done), [3]);
    // An unknown topic is told before a bad batch, an unknown partition behind it.
    let done = rig.acknowledge(2, &[(7, ack(1, 0, 1))]).await;
    assert_eq!(self::codes(&done), [42]);
    let mut of_none = rig.fetch(3, &[0]);
    of_none.topics[0].topic_id = TopicId::from_u128(99);
    let told = rig.send(&carrying(of_none, ack(1, 0, 1))).await;
    let told = lines(&told).into_iter();
    assert_eq!(
        told.map(|line| line.acknowledge_error_code).max(),
        Some(100)
    );
}

#[tokio::test(start_paused = true)]
async fn the_session_limit_is_said_after_the_wait() {
    let rig = Rig::new(1).await;
    for n in 0..10 {
        let opened = rig.send(&of(rig.fetch(0, &[0]), &format!("m{n}"))).await;
        assert_eq!(opened.error_code, 0);
    }
    let began = tokio::time::Instant::now();
    let request = of(rig.fetch(0, &[0]).with_max_wait_ms(500), "one too many");
    assert_eq!(rig.send(&request).await.error_code, 133);
    assert_eq!(began.elapsed().as_millis(), 500);
}

#[tokio::test(start_paused = true)]
async fn a_queue_begins_where_its_group_says_and_follows_the_logs_start() {
    let rig = Rig::new(1).await;
    rig.produce(0, &["a"]);
    rig.produce(0, &["b"]);
    // Nobody made this group's queue: it begins with what comes.
    let mut request = rig.fetch(0, &[0]);
    request.group_id = Some(GroupId(text("late")));
    assert_eq!(acquired(&rig.send(&request).await), []);
    rig.produce(0, &["c"]);
    request.share_session_epoch = 1;
    assert_eq!(acquired(&rig.send(&request).await), [(0, vec![(2, 2, 1)])]);
    let partition = rig.bench.broker.partition(&rig.topic, 0).unwrap();
    partition.advance_start(Offset::new(1)).await.unwrap();
    let found = rig.send(&rig.fetch(0, &[0])).await;
    assert_eq!(acquired(&found), [(0, vec![(1, 2, 1)])]);
}

#[tokio::test]
async fn acknowledgements_wait_for_the_disk_and_leases_do_not() {
    let rig = Rig::new(1).await;
    rig.produce(0, &["a"]);
    rig.send(&rig.fetch(0, &[0])).await;
    rig.produce(0, &["b"]);
    rig.bench.disk.hold_syncs();
    let request = carrying(rig.fetch(1, &[0]), ack(0, 0, 1));
    let later = rig.bench.post(2, &request).await;
    let answered = answer(later);
    tokio::pin!(answered);
    let early = tokio::time::timeout(Duration::from_millis(100), &mut answered).await;
    assert!(
        early.is_err(),
        "an acknowledgement that is not durable was answered"
    );
    rig.bench.disk.release_syncs();
    let answered = response::<ShareFetchRequest>(2, answered.await);
    assert_eq!(acquired(&answered), [(0, vec![(1, 1, 1)])]);
}
