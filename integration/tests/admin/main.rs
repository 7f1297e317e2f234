//! Topics, partitions and configurations, asked for in raw frames at every version (A-*).

use std::collections::BTreeMap;

use bytes::Bytes;
use kafka_protocol::messages::create_topics_request::{CreatableTopic, CreatableTopicConfig};
use kafka_protocol::messages::create_topics_response::CreatableTopicResult;
use kafka_protocol::messages::list_offsets_request::{ListOffsetsPartition, ListOffsetsTopic};
use kafka_protocol::messages::produce_request::{PartitionProduceData, TopicProduceData};
use kafka_protocol::messages::{
    BrokerId, CreateTopicsRequest, ListOffsetsRequest, MetadataRequest, ProduceRequest, TopicName,
};
use kafka_protocol::protocol::StrBytes;
use ratel_integration::RawClient;
use ratel_storage::BatchBuilder;

mod cluster;
mod configs;
mod topics;

const NONE: i16 = 0;
const UNKNOWN_TOPIC: i16 = 3;
const INVALID_TOPIC: i16 = 17;
const INVALID_CONFIG: i16 = 40;
const INVALID_REQUEST: i16 = 42;

fn text(text: &str) -> StrBytes {
    StrBytes::from_string(text.to_owned())
}

fn name(name: &str) -> TopicName {
    TopicName(text(name))
}

fn topic(of: &str, partitions: i32, replicas: i16) -> CreatableTopic {
    CreatableTopic::default()
        .with_name(name(of))
        .with_num_partitions(partitions)
        .with_replication_factor(replicas)
}

fn configured(of: &str, configs: &[(&str, Option<&str>)]) -> CreatableTopic {
    let configs = configs.iter().map(|(name, value)| {
        CreatableTopicConfig::default()
            .with_name(text(name))
            .with_value(value.map(text))
    });
    topic(of, 1, 1).with_configs(configs.collect())
}

async fn create(
    client: &mut RawClient,
    version: i16,
    topics: Vec<CreatableTopic>,
) -> Vec<CreatableTopicResult> {
    let request = CreateTopicsRequest::default()
        .with_topics(topics)
        .with_timeout_ms(5000);
    client.send(version, &request).await.topics
}

async fn code(client: &mut RawClient, topic: CreatableTopic) -> i16 {
    let results = create(client, 7, vec![topic]).await;
    assert_eq!(results.len(), 1);
    results[0].error_code
}

/// The topics of users that Metadata shows, with their numbers of partitions.
async fn topics(client: &mut RawClient) -> BTreeMap<String, usize> {
    let answer = client
        .send(12, &MetadataRequest::default().with_topics(None))
        .await;
    let topics = answer.topics.into_iter().filter(|topic| !topic.is_internal);
    topics
        .map(|topic| {
            (
                topic.name.expect("a name").to_string(),
                topic.partitions.len(),
            )
        })
        .collect()
}

async fn produce(client: &mut RawClient, topic: &str, bytes: usize) -> (i16, i64) {
    let mut batch = BatchBuilder::new(0);
    batch.record(None, Some(&vec![b'x'; bytes]));
    let records: Bytes = batch.build().expect("one record").bytes().clone();
    let data = PartitionProduceData::default()
        .with_index(0)
        .with_records(Some(records));
    let topic = TopicProduceData::default()
        .with_name(name(topic))
        .with_partition_data(vec![data]);
    let request = ProduceRequest::default()
        .with_acks(-1)
        .with_timeout_ms(5000)
        .with_topic_data(vec![topic]);
    let answer = client.send(9, &request).await;
    let partition = &answer.responses[0].partition_responses[0];
    (partition.error_code, partition.base_offset)
}

async fn end(client: &mut RawClient, topic: &str) -> (i16, i64) {
    let partition = ListOffsetsPartition::default()
        .with_partition_index(0)
        .with_timestamp(-1);
    let topic = ListOffsetsTopic::default()
        .with_name(name(topic))
        .with_partitions(vec![partition]);
    let request = ListOffsetsRequest::default()
        .with_replica_id(BrokerId(-1))
        .with_topics(vec![topic]);
    let answer = client.send(5, &request).await;
    let partition = &answer.topics[0].partitions[0];
    (partition.error_code, partition.offset)
}
