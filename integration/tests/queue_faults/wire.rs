//! What the test itself asks of the server: topics, settings, sends, cuts, and how all stood in
//! the end.

use std::collections::BTreeMap;
use std::net::SocketAddr;

use kafka_protocol::messages::create_topics_request::CreatableTopic;
use kafka_protocol::messages::delete_records_request::{
    DeleteRecordsPartition, DeleteRecordsTopic,
};
use kafka_protocol::messages::fetch_request::{FetchPartition, FetchTopic};
use kafka_protocol::messages::incremental_alter_configs_request::{
    AlterConfigsResource, AlterableConfig,
};
use kafka_protocol::messages::metadata_request::MetadataRequestTopic;
use kafka_protocol::messages::produce_request::{PartitionProduceData, TopicProduceData};
use kafka_protocol::messages::{
    CreateTopicsRequest, DeleteRecordsRequest, FetchRequest, GroupId,
    IncrementalAlterConfigsRequest, MetadataRequest, ProduceRequest, TopicName,
};
use kafka_protocol::protocol::StrBytes;
use ratel_integration::RawClient;
use ratel_integration::history::Value;
use ratel_integration::queue_history::{Cause, Letter, Standing};
use ratel_integration::queue_worker::unpack;
use ratel_protocol::messages::QueueAdminRequest;
use ratel_protocol::messages::queue_admin_request::DescribeQueues;
use ratel_server::dead_letters::{DELIVERY_COUNT, GROUP, MESSAGE, OFFSET, PARTITION, TOPIC};
use ratel_storage::batch::BatchBuilder;
use uuid::Uuid;

/// Config resource type: a group.
const GROUP_RESOURCE: i8 = 32;

fn text(text: &str) -> StrBytes {
    StrBytes::from_string(text.to_owned())
}

fn topic_name(name: &str) -> TopicName {
    TopicName(text(name))
}

/// Make a topic, and give its id.
pub async fn create_topic(server: SocketAddr, name: &str, partitions: i32) -> Uuid {
    let mut client = RawClient::connect(server).await;
    let topic = CreatableTopic::default()
        .with_name(topic_name(name))
        .with_num_partitions(partitions)
        .with_replication_factor(1);
    let request = CreateTopicsRequest::default()
        .with_topics(vec![topic])
        .with_timeout_ms(10_000);
    let answer = client.send(7, &request).await;
    assert_eq!(answer.topics[0].error_code, 0);
    answer.topics[0].topic_id
}

/// Set what a group is to go by.
pub async fn configure_group(server: SocketAddr, group: &str, settings: &[(&str, &str)]) {
    let mut client = RawClient::connect(server).await;
    let configs = settings.iter().map(|(name, value)| {
        AlterableConfig::default()
            .with_name(text(name))
            .with_config_operation(0)
            .with_value(Some(text(value)))
    });
    let resource = AlterConfigsResource::default()
        .with_resource_type(GROUP_RESOURCE)
        .with_resource_name(text(group))
        .with_configs(configs.collect());
    let request = IncrementalAlterConfigsRequest::default().with_resources(vec![resource]);
    let answer = client.send(1, &request).await;
    let answer = &answer.responses[0];
    assert_eq!(answer.error_code, 0, "{:?}", answer.error_message);
}

/// Send records with acks=all. The first one's offset, or the error.
///
/// # Errors
/// A connection that broke: nobody knows what became of them.
pub async fn produce(
    client: &mut RawClient,
    topic: &str,
    partition: i32,
    values: &[Value],
) -> std::io::Result<Result<i64, i16>> {
    let mut batch = BatchBuilder::new(0);
    for value in values {
        batch.record(None, Some(&value.to_be_bytes()));
    }
    let batch = batch.build().map(|batch| batch.bytes().clone());
    let data = PartitionProduceData::default()
        .with_index(partition)
        .with_records(batch);
    let topic = TopicProduceData::default()
        .with_name(topic_name(topic))
        .with_partition_data(vec![data]);
    let request = ProduceRequest::default()
        .with_acks(-1)
        .with_timeout_ms(10_000)
        .with_topic_data(vec![topic]);
    let answer = client.try_send(9, &request).await?;
    let line = &answer.responses[0].partition_responses[0];
    Ok(match line.error_code {
        0 => Ok(line.base_offset),
        code => Err(code),
    })
}

/// Let the log begin at an offset. Whether that was done.
pub async fn cut(server: SocketAddr, topic: &str, partition: i32, offset: i64) -> bool {
    let Ok(mut client) = RawClient::try_connect(server).await else {
        return false;
    };
    let place = DeleteRecordsPartition::default()
        .with_partition_index(partition)
        .with_offset(offset);
    let topic = DeleteRecordsTopic::default()
        .with_name(topic_name(topic))
        .with_partitions(vec![place]);
    let request = DeleteRecordsRequest::default()
        .with_topics(vec![topic])
        .with_timeout_ms(10_000);
    let answer = client.try_send(2, &request).await;
    answer.is_ok_and(|answer| answer.topics[0].partitions[0].error_code == 0)
}

/// How the queues of a group stand.
pub async fn standings(server: SocketAddr, group: &str) -> BTreeMap<i32, Standing> {
    let mut client = RawClient::connect(server).await;
    let wanted = DescribeQueues::default().with_group_ids(Some(vec![GroupId(text(group))]));
    let request = QueueAdminRequest::default().with_describe_queues(Some(wanted));
    let answer = client.send(0, &request).await;
    assert_eq!(answer.error_code, 0, "{:?}", answer.error_message);
    let queues = answer.queues.iter().map(|queue| {
        let standing = Standing {
            start: queue.start_offset,
            end: queue.end_offset,
            left: queue.ready + queue.in_flight + queue.delayed + queue.archiving,
        };
        (queue.partition_index, standing)
    });
    queues.collect()
}

/// All dead letters of a topic's records in a group's queues.
pub async fn letters(server: SocketAddr, name: &str, source: &str, group: &str) -> Vec<Letter> {
    let mut client = RawClient::connect(server).await;
    let request = MetadataRequest::default()
        .with_topics(Some(vec![
            MetadataRequestTopic::default().with_name(Some(topic_name(name))),
        ]))
        .with_allow_auto_topic_creation(false);
    let answer = client.send(12, &request).await;
    let partitions = answer.topics[0].partitions.len();
    let mut letters = Vec::new();
    for index in 0..i32::try_from(partitions).unwrap() {
        for record in read(&mut client, name, index).await {
            let said = |wanted: &str| {
                let header = record
                    .headers
                    .iter()
                    .find(|(name, _)| **name == *wanted.as_bytes());
                let value = header.and_then(|(_, value)| value.as_deref());
                let value = value.unwrap_or_else(|| panic!("{wanted} is missing in {record:?}"));
                std::str::from_utf8(value).unwrap()
            };
            assert_eq!((said(TOPIC), said(GROUP)), (source, group));
            let value = record
                .value
                .as_deref()
                .map(|value| value.try_into().unwrap());
            letters.push(Letter {
                partition: said(PARTITION).parse().unwrap(),
                offset: said(OFFSET).parse().unwrap(),
                count: said(DELIVERY_COUNT).parse().unwrap(),
                cause: match said(MESSAGE) {
                    "Offset rejected by client." => Cause::Rejected,
                    "Offset delivery count exceeded the threshold." => Cause::Limit,
                    other => panic!("a dead letter says {other:?}"),
                },
                value: value.map(Value::from_be_bytes),
            });
        }
    }
    letters
}

/// A whole partition.
async fn read(client: &mut RawClient, topic: &str, index: i32) -> Vec<ratel_storage::Record> {
    let mut all: Vec<ratel_storage::Record> = Vec::new();
    loop {
        let next = all.last().map_or(0, |record| record.offset.get() + 1);
        let place = FetchPartition::default()
            .with_partition(index)
            .with_fetch_offset(next)
            .with_partition_max_bytes(1 << 20);
        let wanted = FetchTopic::default()
            .with_topic(topic_name(topic))
            .with_partitions(vec![place]);
        let request = FetchRequest::default()
            .with_max_bytes(1 << 20)
            .with_topics(vec![wanted]);
        let answer = client.send(11, &request).await;
        let line = &answer.responses[0].partitions[0];
        assert_eq!(line.error_code, 0);
        if line.high_watermark <= next {
            return all;
        }
        let batches = line.records.clone().unwrap_or_default();
        let records = unpack(&batches).unwrap().into_iter();
        let before = all.len();
        all.extend(records.filter(|record| record.offset.get() >= next));
        assert!(
            all.len() > before,
            "{topic}-{index} cannot be read at {next}"
        );
    }
}
