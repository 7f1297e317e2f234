//! The queue on the real binary, in raw frames: what clients of share groups lean on and what no
//! client of the others' tests does (KIP-932, queues.md).

use std::time::Duration;

use bytes::Bytes;
use kafka_protocol::messages::create_topics_request::CreatableTopic;
use kafka_protocol::messages::fetch_request::{FetchPartition, FetchTopic};
use kafka_protocol::messages::incremental_alter_configs_request::{
    AlterConfigsResource, AlterableConfig,
};
use kafka_protocol::messages::metadata_request::MetadataRequestTopic;
use kafka_protocol::messages::produce_request::{PartitionProduceData, TopicProduceData};
use kafka_protocol::messages::{
    CreateTopicsRequest, FetchRequest, GroupId, IncrementalAlterConfigsRequest, MetadataRequest,
    ProduceRequest, ShareGroupHeartbeatRequest, ShareGroupHeartbeatResponse, TopicName,
};
use kafka_protocol::protocol::StrBytes;
use ratel_integration::{RawClient, ServerProcess};
use ratel_protocol::messages::queue_admin_request::DescribeQueues;
use ratel_protocol::messages::queue_admin_response::QueueDescription;
use ratel_protocol::messages::share_acknowledge_request::{AcknowledgePartition, AcknowledgeTopic};
use ratel_protocol::messages::share_fetch_request::{
    AcknowledgementBatch, FetchPartition as ShareFetchPartition, FetchTopic as ShareFetchTopic,
};
use ratel_protocol::messages::{
    QueueAdminRequest, ShareAcknowledgeRequest, ShareAcknowledgeResponse, ShareFetchRequest,
    ShareFetchResponse,
};
use ratel_storage::{Batch, BatchBuilder, BatchHeader, Record, records};
use uuid::Uuid;

mod crash;
mod delivery;
mod groups;
mod hostile;
mod metrics;
mod sessions;

const UNKNOWN_TOPIC: i16 = 3;
const INVALID_CONFIG: i16 = 40;
const INVALID_REQUEST: i16 = 42;
const UNKNOWN_MEMBER_ID: i16 = 25;
const NON_EMPTY_GROUP: i16 = 68;
const GROUP_ID_NOT_FOUND: i16 = 69;
const UNKNOWN_TOPIC_ID: i16 = 100;
const INVALID_RECORD_STATE: i16 = 121;
const SHARE_SESSION_NOT_FOUND: i16 = 122;
const INVALID_SHARE_SESSION_EPOCH: i16 = 123;
const SHARE_SESSION_LIMIT_REACHED: i16 = 133;

const ACCEPT: i8 = 1;
const RELEASE: i8 = 2;
const REJECT: i8 = 3;
const RENEW: i8 = 4;

fn text(text: &str) -> StrBytes {
    StrBytes::from_string(text.to_owned())
}

fn name(name: &str) -> TopicName {
    TopicName(text(name))
}

/// A server, its directory, and a client of no group.
struct Rig {
    server: ServerProcess,
    client: RawClient,
    _root: tempfile::TempDir,
}

impl Rig {
    async fn start(settings: &[(&str, &str)]) -> Self {
        let root = tempfile::tempdir().expect("a temporary directory can be made");
        let server = ServerProcess::start_with(root.path(), settings);
        Self {
            client: RawClient::connect(server.addr()).await,
            server,
            _root: root,
        }
    }

    /// Kill it with -9 and start it again.
    async fn crash(&mut self) {
        self.server.kill();
        self.server.restart();
        self.client = RawClient::connect(self.server.addr()).await;
    }

    /// Make a topic; gives its id.
    async fn topic(&mut self, of: &str, partitions: i32) -> Uuid {
        let topic = CreatableTopic::default()
            .with_name(name(of))
            .with_num_partitions(partitions)
            .with_replication_factor(1);
        let request = CreateTopicsRequest::default()
            .with_topics(vec![topic])
            .with_timeout_ms(10_000);
        let made = self.client.send(7, &request).await.topics.remove(0);
        assert_eq!(made.error_code, 0, "{of}");
        made.topic_id
    }

    /// The id of a topic, if it is there.
    async fn topic_id(&mut self, of: &str) -> Option<Uuid> {
        let topic = MetadataRequestTopic::default().with_name(Some(name(of)));
        let request = MetadataRequest::default()
            .with_topics(Some(vec![topic]))
            .with_allow_auto_topic_creation(false);
        let topic = self.client.send(12, &request).await.topics.remove(0);
        (topic.error_code == 0).then_some(topic.topic_id)
    }

    /// Produce records to a partition in one batch; each has the key `k` and the header
    /// `colour: red`. Gives the first offset.
    async fn produce(&mut self, topic: &str, index: i32, values: &[&[u8]]) -> i64 {
        let mut batch = BatchBuilder::new(1_700_000_000_000);
        for value in values {
            let headers: [(&[u8], Option<&[u8]>); 1] = [(b"colour", Some(b"red"))];
            batch.record_at(1_700_000_000_000, Some(b"k"), Some(value), &headers);
        }
        let batch = batch.build().expect("records");
        let data = PartitionProduceData::default()
            .with_index(index)
            .with_records(Some(batch.bytes().clone()));
        let topic = TopicProduceData::default()
            .with_name(name(topic))
            .with_partition_data(vec![data]);
        let request = ProduceRequest::default()
            .with_acks(-1)
            .with_timeout_ms(10_000)
            .with_topic_data(vec![topic]);
        let answer = self.client.send(9, &request).await;
        let partition = &answer.responses[0].partition_responses[0];
        assert_eq!(partition.error_code, 0);
        partition.base_offset
    }

    /// All records of a partition; none if there is no such topic.
    async fn records(&mut self, topic: &str) -> Vec<Record> {
        if self.topic_id(topic).await.is_none() {
            return Vec::new();
        }
        let partition = FetchPartition::default().with_partition_max_bytes(1 << 24);
        let topic = FetchTopic::default()
            .with_topic(name(topic))
            .with_partitions(vec![partition]);
        let request = FetchRequest::default()
            .with_max_bytes(1 << 24)
            .with_session_epoch(-1)
            .with_topics(vec![topic]);
        let mut answer = self.client.send(11, &request).await;
        let partition = answer.responses.remove(0).partitions.remove(0);
        unpacked(partition.records.unwrap_or_default())
    }

    /// Set a group's configuration; gives code and message.
    async fn configure(&mut self, group: &str, key: &str, value: &str) -> (i16, String) {
        let config = AlterableConfig::default()
            .with_name(text(key))
            .with_value(Some(text(value)));
        let resource = AlterConfigsResource::default()
            .with_resource_type(32)
            .with_resource_name(text(group))
            .with_configs(vec![config]);
        let request = IncrementalAlterConfigsRequest::default().with_resources(vec![resource]);
        let answer = self.client.send(1, &request).await.responses.remove(0);
        let message = answer.error_message.unwrap_or_default();
        (answer.error_code, message.to_string())
    }

    /// A group whose queues begin at the first record, with these settings besides.
    async fn group(&mut self, group: &str, settings: &[(&str, &str)]) {
        let earliest = [("share.auto.offset.reset", "earliest")];
        for (key, value) in earliest.iter().chain(settings) {
            let (code, message) = self.configure(group, key, value).await;
            assert_eq!(code, 0, "{key}={value}: {message}");
        }
    }

    /// How a group's queues stand.
    async fn queues(&mut self, group: &str) -> Vec<QueueDescription> {
        let groups = DescribeQueues::default().with_group_ids(Some(vec![GroupId(text(group))]));
        let request = QueueAdminRequest::default().with_describe_queues(Some(groups));
        let answer = self.client.send(0, &request).await;
        assert_eq!(answer.error_code, 0, "{:?}", answer.error_message);
        answer.queues
    }

    async fn member(&self, group: &str, id: &str) -> Member {
        Member {
            client: RawClient::connect(self.server.addr()).await,
            version: 2,
            group: text(group),
            id: text(id),
            epoch: 0,
        }
    }
}

/// Records in batches, one after the other.
fn unpacked(mut bytes: Bytes) -> Vec<Record> {
    let mut all = Vec::new();
    while !bytes.is_empty() {
        let length = BatchHeader::decode(&bytes).expect("a header").bytes;
        let batch = Batch::parse(bytes.split_to(length), usize::MAX).expect("a whole batch");
        all.extend(
            records(&batch)
                .expect("records")
                .map(|record| record.expect("whole")),
        );
    }
    all
}

/// Try until it is so, for 20 s.
macro_rules! until {
    ($what:expr) => {{
        let began = std::time::Instant::now();
        while !$what {
            let waited = began.elapsed();
            assert!(
                waited < std::time::Duration::from_secs(20),
                "not so in time"
            );
            tokio::time::sleep(std::time::Duration::from_millis(10)).await;
        }
    }};
}
pub(crate) use until;

/// A member of a share group on a connection of its own.
struct Member {
    client: RawClient,
    version: i16,
    group: StrBytes,
    id: StrBytes,
    /// The session's next epoch.
    epoch: i32,
}

/// Partition, first and last offset, and count.
type Range = (i32, i64, i64, i16);

impl Member {
    /// A ShareFetch of these partitions, of up to 500 records, that does not wait.
    fn request(&self, topics: &[(Uuid, &[i32])]) -> ShareFetchRequest {
        let topics = topics.iter().map(|(id, partitions)| {
            let partitions = partitions
                .iter()
                .map(|index| ShareFetchPartition::default().with_partition_index(*index));
            ShareFetchTopic::default()
                .with_topic_id(*id)
                .with_partitions(partitions.collect())
        });
        ShareFetchRequest::default()
            .with_group_id(Some(GroupId(self.group.clone())))
            .with_member_id(Some(self.id.clone()))
            .with_share_session_epoch(self.epoch)
            .with_min_bytes(1)
            .with_max_bytes(1 << 20)
            .with_max_records(500)
            .with_batch_size(500)
            .with_topics(topics.collect())
    }

    async fn send(&mut self, request: &ShareFetchRequest) -> ShareFetchResponse {
        let answer = self.client.send(self.version, request).await;
        if answer.error_code == 0 {
            self.epoch = request.share_session_epoch + 1;
        }
        answer
    }

    /// What a fetch leases.
    async fn fetch(&mut self, topics: &[(Uuid, &[i32])]) -> Vec<Range> {
        let request = self.request(topics);
        let answer = self.send(&request).await;
        assert_eq!(answer.error_code, 0);
        ranges(&answer)
    }

    fn acknowledgement(
        &self,
        topic: Uuid,
        index: i32,
        batches: &[(i64, i64, i8)],
    ) -> ShareAcknowledgeRequest {
        let partition = AcknowledgePartition::default()
            .with_partition_index(index)
            .with_acknowledgement_batches(batches.iter().map(batch).collect());
        let topic = AcknowledgeTopic::default()
            .with_topic_id(topic)
            .with_partitions(vec![partition]);
        let renews = batches.iter().any(|(_, _, kind)| *kind == RENEW);
        ShareAcknowledgeRequest::default()
            .with_group_id(Some(GroupId(self.group.clone())))
            .with_member_id(Some(self.id.clone()))
            .with_share_session_epoch(self.epoch)
            .with_is_renew_ack(renews && self.version >= 2)
            .with_topics(vec![topic])
    }

    async fn post(&mut self, request: &ShareAcknowledgeRequest) -> ShareAcknowledgeResponse {
        let answer = self.client.send(self.version, request).await;
        if answer.error_code == 0 {
            self.epoch += 1;
        }
        answer
    }

    /// Say what became of records of one partition; gives the partition's code.
    async fn say(&mut self, topic: Uuid, index: i32, batches: &[(i64, i64, i8)]) -> i16 {
        let request = self.acknowledgement(topic, index, batches);
        let answer = self.post(&request).await;
        assert_eq!(answer.error_code, 0);
        answer.responses[0].partitions[0].error_code
    }

    async fn heartbeat(
        &mut self,
        epoch: i32,
        topics: Option<&[&str]>,
    ) -> ShareGroupHeartbeatResponse {
        let topics = topics.map(|names| names.iter().map(|of| name(of)).collect());
        let request = ShareGroupHeartbeatRequest::default()
            .with_group_id(GroupId(self.group.clone()))
            .with_member_id(self.id.clone())
            .with_member_epoch(epoch)
            .with_subscribed_topic_names(topics);
        self.client.send(1, &request).await
    }

    /// Join, and hear of so many partitions; gives the epoch.
    async fn join(&mut self, topics: &[&str]) -> i32 {
        let answer = self.heartbeat(0, Some(topics)).await;
        assert_eq!(answer.error_code, 0, "{:?}", answer.error_message);
        answer.member_epoch
    }
}

fn batch(&(first, last, kind): &(i64, i64, i8)) -> AcknowledgementBatch {
    AcknowledgementBatch::default()
        .with_first_offset(first)
        .with_last_offset(last)
        .with_acknowledge_types(vec![kind])
}

/// The leased ranges of an answer.
fn ranges(answer: &ShareFetchResponse) -> Vec<Range> {
    let partitions = answer.responses.iter().flat_map(|topic| &topic.partitions);
    partitions
        .flat_map(|line| {
            assert_eq!(line.error_code, 0, "of partition {}", line.partition_index);
            let index = line.partition_index;
            line.acquired_records.iter().map(move |range| {
                let (first, last) = (range.first_offset, range.last_offset);
                (index, first, last, range.delivery_count)
            })
        })
        .collect()
}

/// How many partitions a heartbeat's answer assigns; none if it says nothing of them.
fn assigned(answer: &ShareGroupHeartbeatResponse) -> Option<usize> {
    let assignment = answer.assignment.as_ref()?;
    let topics = assignment.topic_partitions.iter();
    Some(topics.map(|topic| topic.partitions.len()).sum())
}

const SOON: Duration = Duration::from_secs(10);
