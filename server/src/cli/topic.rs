//! `ratel topic`: list, describe, make and remove topics.

use std::collections::BTreeMap;

use clap::{Args, Subcommand};
use ratel_protocol::messages::create_topics_request::{CreatableTopic, CreatableTopicConfig};
use ratel_protocol::messages::delete_topics_request::DeleteTopicState;
use ratel_protocol::messages::describe_configs_request::DescribeConfigsResource;
use ratel_protocol::messages::list_offsets_request::{ListOffsetsPartition, ListOffsetsTopic};
use ratel_protocol::messages::metadata_request::MetadataRequestTopic;
use ratel_protocol::messages::metadata_response::MetadataResponseTopic;
use ratel_protocol::messages::{
    BrokerId, CreateTopicsRequest, DeleteTopicsRequest, DescribeConfigsRequest, ListOffsetsRequest,
    MetadataRequest, TopicName,
};
use serde_json::json;

use super::Failure;
use super::client::{Client, ServerFlags, check, text};
use super::output::{List, Output, print};

/// The special timestamps of ListOffsets: the end of a log, and its start (L-2).
pub(super) const LATEST: i64 = -1;
pub(super) const EARLIEST: i64 = -2;
/// What has a configuration: its resource type, and the source of a value that is set on the thing
/// itself.
pub(super) struct Resource {
    pub(super) kind: i8,
    source: i8,
}

const TOPIC: Resource = Resource { kind: 2, source: 1 };
pub(super) const GROUP: Resource = Resource {
    kind: 32,
    source: 8,
};

#[derive(Debug, Subcommand)]
pub(super) enum TopicVerb {
    /// List topics
    Ls {
        /// Also those that the server made for itself
        #[arg(long)]
        all: bool,
        #[command(flatten)]
        server: ServerFlags,
    },
    /// Show a topic's partitions, and the configuration that is set on it
    Describe {
        /// The topic's name
        topic: String,
        #[command(flatten)]
        server: ServerFlags,
    },
    /// Make a topic
    Create(Create),
    /// Remove topics and everything in them
    Rm {
        /// The topics' names
        #[arg(required = true)]
        topics: Vec<String>,
        #[command(flatten)]
        server: ServerFlags,
    },
}

#[derive(Debug, Args)]
pub(super) struct Create {
    /// The topic's name
    topic: String,
    /// How many partitions; the server's default without it
    #[arg(long, short, default_value_t = -1, hide_default_value = true)]
    partitions: i32,
    /// How many replicas; the server's default without it
    #[arg(long, short, default_value_t = -1, hide_default_value = true)]
    replication_factor: i16,
    /// Configuration of the topic; may be given often
    #[arg(long = "set", short = 's', value_name = "KEY=VALUE")]
    configs: Vec<String>,
    #[command(flatten)]
    server: ServerFlags,
}

pub(super) fn run(verb: &TopicVerb) -> Result<(), Failure> {
    match verb {
        TopicVerb::Ls { all, server } => list(*all, server),
        TopicVerb::Describe { topic, server } => describe(topic, server),
        TopicVerb::Create(create) => make(create),
        TopicVerb::Rm { topics, server } => remove(topics, server),
    }
}

fn list(all: bool, flags: &ServerFlags) -> Result<(), Failure> {
    let mut client = Client::connect(flags)?;
    let mut topics = metadata(&mut client, None)?;
    topics.sort_by(|a, b| a.name.cmp(&b.name));
    let mut list = List::new(&["name", "partitions", "id"]);
    for topic in topics.iter().filter(|topic| all || !topic.is_internal) {
        list.row(vec![
            json!(name(topic)),
            json!(topic.partitions.len()),
            json!(topic.topic_id.to_string()),
        ]);
    }
    list.print(flags.output)
}

fn name(topic: &MetadataResponseTopic) -> &str {
    topic.name.as_ref().map_or("", |name| name.0.as_str())
}

/// The topics of these names, or all.
pub(super) fn metadata(
    client: &mut Client,
    names: Option<&[&str]>,
) -> Result<Vec<MetadataResponseTopic>, Failure> {
    let topics = names.map(|names| {
        let wanted = names
            .iter()
            .map(|name| MetadataRequestTopic::default().with_name(Some(TopicName(text(name)))));
        wanted.collect()
    });
    let request = MetadataRequest::default()
        .with_topics(topics)
        .with_allow_auto_topic_creation(false);
    Ok(client.send(12, &request)?.topics)
}

fn describe(topic: &str, flags: &ServerFlags) -> Result<(), Failure> {
    let mut client = Client::connect(flags)?;
    let found = metadata(&mut client, Some(&[topic]))?.pop();
    let found = found.ok_or_else(|| Failure::failed("the server names no topic"))?;
    check(found.error_code, topic, None)?;
    let mut partitions: Vec<_> = found.partitions.iter().collect();
    partitions.sort_by_key(|partition| partition.partition_index);
    let indexes: Vec<_> = partitions.iter().map(|p| p.partition_index).collect();
    let starts = offsets(&mut client, topic, &indexes, EARLIEST)?;
    let ends = offsets(&mut client, topic, &indexes, LATEST)?;
    let mut list = List::new(&["partition", "leader", "start", "end", "records"]);
    for partition in partitions {
        let index = partition.partition_index;
        let (start, end) = (starts.get(&index), ends.get(&index));
        let records = end.zip(start).map(|(end, start)| end - start);
        list.row(vec![
            json!(index),
            json!(partition.leader_id.0),
            json!(start),
            json!(end),
            json!(records),
        ]);
    }
    list.print(flags.output)?;
    if flags.output == Output::Table {
        print_configs(&mut client, &TOPIC, topic)?;
    }
    Ok(())
}

/// Print what is set on a thing itself, behind an empty line; nothing if there is nothing.
pub(super) fn print_configs(
    client: &mut Client,
    resource: &Resource,
    name: &str,
) -> Result<(), Failure> {
    let configs = configs(client, resource, name)?;
    if configs.is_empty() {
        return Ok(());
    }
    print("\n")?;
    let mut list = List::new(&["key", "value"]);
    for (key, value) in configs {
        list.row(vec![json!(key), json!(value)]);
    }
    list.print(Output::Table)
}

/// The offsets of partitions at a special timestamp, where the server knows them.
pub(super) fn offsets(
    client: &mut Client,
    topic: &str,
    partitions: &[i32],
    timestamp: i64,
) -> Result<BTreeMap<i32, i64>, Failure> {
    let partitions = partitions.iter().map(|index| {
        ListOffsetsPartition::default()
            .with_partition_index(*index)
            .with_current_leader_epoch(-1)
            .with_timestamp(timestamp)
    });
    let topic = ListOffsetsTopic::default()
        .with_name(TopicName(text(topic)))
        .with_partitions(partitions.collect());
    let request = ListOffsetsRequest::default()
        .with_replica_id(BrokerId(-1))
        .with_topics(vec![topic]);
    let answer = client.send(7, &request)?;
    let found = answer.topics.iter().flat_map(|topic| &topic.partitions);
    Ok(found
        .filter(|partition| partition.error_code == 0)
        .map(|partition| (partition.partition_index, partition.offset))
        .collect())
}

/// What is set on a thing itself.
fn configs(
    client: &mut Client,
    resource: &Resource,
    name: &str,
) -> Result<Vec<(String, Option<String>)>, Failure> {
    let wanted = DescribeConfigsResource::default()
        .with_resource_type(resource.kind)
        .with_resource_name(text(name))
        .with_configuration_keys(None);
    let request = DescribeConfigsRequest::default().with_resources(vec![wanted]);
    let mut configs = Vec::new();
    for result in client.send(4, &request)?.results {
        check(result.error_code, name, result.error_message.as_ref())?;
        for config in result.configs {
            if config.config_source == resource.source {
                let value = config.value.map(|value| value.to_string());
                configs.push((config.name.to_string(), value));
            }
        }
    }
    Ok(configs)
}

fn make(create: &Create) -> Result<(), Failure> {
    let configs = pairs(&create.configs)?.into_iter().map(|(key, value)| {
        CreatableTopicConfig::default()
            .with_name(text(key))
            .with_value(Some(text(value)))
    });
    let configs = configs.collect();
    let topic = CreatableTopic::default()
        .with_name(TopicName(text(&create.topic)))
        .with_num_partitions(create.partitions)
        .with_replication_factor(create.replication_factor)
        .with_configs(configs);
    let request = CreateTopicsRequest::default()
        .with_topics(vec![topic])
        .with_timeout_ms(30_000);
    let mut client = Client::connect(&create.server)?;
    let mut list = List::new(&["name", "partitions", "id"]);
    for topic in client.send(7, &request)?.topics {
        check(
            topic.error_code,
            topic.name.0.as_str(),
            topic.error_message.as_ref(),
        )?;
        list.row(vec![
            json!(topic.name.0.as_str()),
            json!(topic.num_partitions),
            json!(topic.topic_id.to_string()),
        ]);
    }
    list.print(create.server.output)
}

/// What `--set` gave.
pub(super) fn pairs(configs: &[String]) -> Result<Vec<(&str, &str)>, Failure> {
    let unusable = |config: &String| {
        Failure::unusable(format!(
            "--set {config} has no `=`; give it as --set key=value"
        ))
    };
    configs
        .iter()
        .map(|config| config.split_once('=').ok_or_else(|| unusable(config)))
        .collect()
}

fn remove(topics: &[String], flags: &ServerFlags) -> Result<(), Failure> {
    let wanted = topics
        .iter()
        .map(|topic| DeleteTopicState::default().with_name(Some(TopicName(text(topic)))));
    let request = DeleteTopicsRequest::default()
        .with_topics(wanted.collect())
        .with_timeout_ms(30_000);
    let mut client = Client::connect(flags)?;
    let mut list = List::new(&["name", "outcome"]);
    let mut outcome = Ok(());
    for topic in client.send(6, &request)?.responses {
        let name = topic
            .name
            .map(|name| name.0.to_string())
            .unwrap_or_default();
        match check(topic.error_code, &name, topic.error_message.as_ref()) {
            Ok(()) => list.row(vec![json!(name), json!("removed")]),
            Err(failure) => outcome = Err(failure),
        }
    }
    list.print(flags.output)?;
    outcome
}
