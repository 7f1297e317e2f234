//! Transactions through librdkafka, which has the old flow, and by requests of the new one; both
//! on the same transactional id (T-17); across `kill -9`.

use std::time::{Duration, Instant};

use kafka_protocol::messages::metadata_request::MetadataRequestTopic;
use kafka_protocol::messages::produce_request::{PartitionProduceData, TopicProduceData};
use kafka_protocol::messages::{
    DescribeTransactionsRequest, EndTxnRequest, InitProducerIdRequest, MetadataRequest,
    ProduceRequest, TopicName, TransactionalId,
};
use kafka_protocol::protocol::StrBytes;
use ratel_integration::{RawClient, ServerProcess};
use ratel_storage::BatchBuilder;
use rdkafka::config::ClientConfig;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::message::Message;
use rdkafka::producer::{BaseRecord, DefaultProducerContext, Producer, ThreadedProducer};
use rdkafka::topic_partition_list::{Offset, TopicPartitionList};

/// A producer of the old flow.
type Old = ThreadedProducer<DefaultProducerContext>;

const WAIT: Duration = Duration::from_secs(20);
const ID: &str = "t";
const TOPIC: &str = "a";

/// A server with the topic.
async fn server(folder: &std::path::Path) -> ServerProcess {
    let server = ServerProcess::start_with(
        folder,
        &[
            ("num.partitions", "2"),
            (
                "transaction.abort.timed.out.transaction.cleanup.interval.ms",
                "200",
            ),
        ],
    );
    let mut client = RawClient::connect(server.addr()).await;
    let topic = MetadataRequestTopic::default()
        .with_name(Some(TopicName(StrBytes::from_static_str(TOPIC))));
    let request = MetadataRequest::default()
        .with_topics(Some(vec![topic]))
        .with_allow_auto_topic_creation(true);
    let answer = client.send(9, &request).await;
    assert_eq!(answer.topics.len(), 1);
    server
}

fn producer(server: &ServerProcess, timeout_ms: u32) -> Old {
    let producer: Old = ClientConfig::new()
        .set("bootstrap.servers", server.addr().to_string())
        .set("transactional.id", ID)
        .set("transaction.timeout.ms", timeout_ms.to_string())
        .create()
        .expect("a producer");
    producer.init_transactions(WAIT).expect("transactions");
    producer
}

fn send(producer: &Old, partition: i32, value: &str) {
    let record = BaseRecord::<(), str>::to(TOPIC)
        .partition(partition)
        .payload(value);
    producer.send(record).expect("queued");
}

/// What a reader of committed records sees in both partitions.
fn committed(server: &ServerProcess) -> Vec<String> {
    let consumer: BaseConsumer = ClientConfig::new()
        .set("bootstrap.servers", server.addr().to_string())
        .set("group.id", "none")
        .set("isolation.level", "read_committed")
        .set("enable.partition.eof", "true")
        .create()
        .expect("a consumer");
    let mut all = TopicPartitionList::new();
    for partition in 0..2 {
        let mut place = all.add_partition(TOPIC, partition);
        place.set_offset(Offset::Beginning).expect("an offset");
    }
    consumer.assign(&all).expect("assigned");
    let (mut values, mut ends) = (Vec::new(), 0);
    let deadline = Instant::now() + WAIT;
    while ends < 2 {
        assert!(Instant::now() < deadline, "the partitions do not end");
        match consumer.poll(Duration::from_millis(100)) {
            Some(Ok(message)) => {
                let value = message.payload_view::<str>().expect("a value");
                values.push(value.expect("text").to_owned());
            }
            Some(Err(_)) => ends += 1,
            None => {}
        }
    }
    values.sort();
    values
}

/// A producer of the new flow, request by request.
struct Raw {
    client: RawClient,
    id: i64,
    epoch: i16,
}

impl Raw {
    async fn begin(server: &ServerProcess) -> Self {
        let mut client = RawClient::connect(server.addr()).await;
        let request = InitProducerIdRequest::default()
            .with_transactional_id(Some(transactional_id()))
            .with_transaction_timeout_ms(60_000);
        let deadline = Instant::now() + WAIT;
        loop {
            let answer = client.send(4, &request).await;
            if answer.error_code == 0 {
                return Self {
                    client,
                    id: answer.producer_id.0,
                    epoch: answer.producer_epoch,
                };
            }
            assert_eq!(answer.error_code, 51, "what was open is being aborted");
            assert!(Instant::now() < deadline, "the markers are not written");
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }

    /// Write one record to each partition, as the first of the transaction there.
    async fn produce(&mut self, value: &str) {
        let partitions = (0..2).map(|index| {
            let builder = BatchBuilder::new(1).producer(self.id, self.epoch, 0);
            let mut builder = builder.transactional();
            builder.record(None, Some(value.as_bytes()));
            let batch = builder.build().expect("a record");
            PartitionProduceData::default()
                .with_index(index)
                .with_records(Some(batch.bytes().clone()))
        });
        let topic = TopicProduceData::default()
            .with_name(TopicName(StrBytes::from_static_str(TOPIC)))
            .with_partition_data(partitions.collect());
        let request = ProduceRequest::default()
            .with_transactional_id(Some(transactional_id()))
            .with_acks(-1)
            .with_timeout_ms(10_000)
            .with_topic_data(vec![topic]);
        let answer = self.client.send(12, &request).await;
        for partition in &answer.responses[0].partition_responses {
            assert_eq!(partition.error_code, 0, "{:?}", partition.error_message);
        }
    }

    /// Asked again while the markers of the end before are on their way: nobody is told then who
    /// they are.
    async fn end(&mut self, commit: bool) -> i16 {
        let deadline = Instant::now() + WAIT;
        loop {
            match self.end_once(commit).await {
                51 => assert!(Instant::now() < deadline, "the markers are not written"),
                code => return code,
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }

    async fn end_once(&mut self, commit: bool) -> i16 {
        let request = EndTxnRequest::default()
            .with_transactional_id(transactional_id())
            .with_producer_id(self.id.into())
            .with_producer_epoch(self.epoch)
            .with_committed(commit);
        let answer = self.client.send(5, &request).await;
        if answer.error_code == 0 {
            (self.id, self.epoch) = (answer.producer_id.0, answer.producer_epoch);
        }
        answer.error_code
    }
}

fn transactional_id() -> TransactionalId {
    TransactionalId(StrBytes::from_static_str(ID))
}

/// What state the id is in.
async fn state(server: &ServerProcess) -> String {
    let mut client = RawClient::connect(server.addr()).await;
    let request =
        DescribeTransactionsRequest::default().with_transactional_ids(vec![transactional_id()]);
    let answer = client.send(0, &request).await;
    answer.transaction_states[0].transaction_state.to_string()
}

#[tokio::test(flavor = "multi_thread")]
async fn t_17_both_flows_share_a_transactional_id() {
    let folder = tempfile::tempdir().expect("a directory");
    let server = server(folder.path()).await;
    let old = producer(&server, 60_000);
    let rounds = [("one", true), ("two", false), ("three", true)];
    for (value, commit) in rounds {
        old.begin_transaction().expect("begun");
        send(&old, 0, value);
        send(&old, 1, value);
        match commit {
            true => old.commit_transaction(WAIT).expect("committed"),
            false => old.abort_transaction(WAIT).expect("aborted"),
        }
    }
    assert_eq!(committed(&server), ["one", "one", "three", "three"]);

    // The new flow takes over, and fences it in the middle of a transaction.
    old.begin_transaction().expect("begun");
    send(&old, 0, "four");
    old.flush(WAIT).expect("written");
    let mut new = Raw::begin(&server).await;
    for (value, commit) in [("five", true), ("six", false), ("seven", true)] {
        new.produce(value).await;
        assert_eq!(new.end(commit).await, 0);
    }
    assert!(old.commit_transaction(WAIT).is_err(), "it was fenced");
    let wanted = [
        "five", "five", "one", "one", "seven", "seven", "three", "three",
    ];
    assert_eq!(committed(&server), wanted);

    // And back.
    let old = producer(&server, 60_000);
    old.begin_transaction().expect("begun");
    send(&old, 0, "eight");
    old.commit_transaction(WAIT).expect("committed");
    assert_eq!(new.end(false).await, 90);
    assert_eq!(committed(&server).len(), 9);
}

#[tokio::test(flavor = "multi_thread")]
async fn t_13_a_transaction_that_takes_too_long_is_aborted() {
    let folder = tempfile::tempdir().expect("a directory");
    let server = server(folder.path()).await;
    let slow = producer(&server, 1000);
    slow.begin_transaction().expect("begun");
    send(&slow, 0, "late");
    slow.flush(WAIT).expect("written");
    let deadline = Instant::now() + WAIT;
    while state(&server).await != "CompleteAbort" {
        assert!(Instant::now() < deadline, "it is still open");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    assert!(slow.commit_transaction(WAIT).is_err(), "it is too late");
    assert_eq!(committed(&server), [""; 0]);
}

/// A server that dies whenever it may, also between a decision and its markers: what was told as
/// committed is there, what was told as aborted is not, and nothing hangs.
#[tokio::test(flavor = "multi_thread")]
async fn t_15_every_transaction_ends_whenever_the_server_dies() {
    let folder = tempfile::tempdir().expect("a directory");
    let mut server = server(folder.path()).await;
    let mut wanted = Vec::new();
    for round in 0..6_u64 {
        let mut new = Raw::begin(&server).await;
        for step in 0..4 {
            let value = format!("{round}-{step}");
            let commit = step % 2 == 0;
            new.produce(&value).await;
            assert_eq!(new.end(commit).await, 0);
            if commit {
                wanted.extend([value.clone(), value]);
            }
        }
        // It dies with one more open, or just after it was told to end.
        let value = format!("{round}-last");
        new.produce(&value).await;
        if round % 3 != 0 {
            assert_eq!(new.end(round % 3 == 1).await, 0);
        }
        if round % 3 == 1 {
            wanted.extend([value.clone(), value]);
        }
        server.kill();
        server.restart();
    }
    drop(Raw::begin(&server).await);
    wanted.sort();
    assert_eq!(committed(&server), wanted);
}
