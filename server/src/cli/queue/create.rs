//! `ratel queue create`: a queue with its configuration and its first records, before anybody
//! reads it.

use std::collections::BTreeMap;

use clap::Args;
use ratel_protocol::ErrorCode;
use ratel_protocol::messages::alter_share_group_offsets_request::{
    AlterShareGroupOffsetsRequestPartition, AlterShareGroupOffsetsRequestTopic,
};
use ratel_protocol::messages::{AlterShareGroupOffsetsRequest, GroupId, TopicName};
use serde_json::json;

use super::super::Failure;
use super::super::client::{Client, ServerFlags, check, text};
use super::super::output::List;
use super::super::topic::{EARLIEST, LATEST, metadata, offsets, pairs};
use super::describe::topics;
use super::set::configure;

#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  ratel queue create jobs --topic orders     of all that is there and comes
  ratel queue create jobs --topic orders --from latest
  ratel queue create jobs --topic orders \\
      --set share.record.lock.duration.ms=60000 \\
      --set errors.deadletterqueue.topic.name=orders.dead")]
pub(in crate::cli) struct Create {
    /// The queue: the share group's id
    #[arg(value_parser = super::named)]
    queue: String,
    /// A topic that it reads; may be given often
    #[arg(long = "topic", short, value_name = "TOPIC", required = true)]
    #[arg(value_parser = super::named)]
    topics: Vec<String>,
    /// Where it begins: earliest, latest, or an offset
    #[arg(long, value_name = "WHERE", default_value = "earliest", value_parser = parse_start)]
    from: Start,
    /// Have a queue that is there already begin anew: what was done may be done again, or what was
    /// not done be passed over
    #[arg(long)]
    reset: bool,
    /// Configuration of the queue; may be given often
    #[arg(long = "set", short = 's', value_name = "KEY=VALUE")]
    configs: Vec<String>,
    #[command(flatten)]
    server: ServerFlags,
}

/// Where a queue begins.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Start {
    /// At a special timestamp of ListOffsets.
    Special(i64),
    Offset(i64),
}

fn parse_start(text: &str) -> Result<Start, String> {
    match text {
        "earliest" => Ok(Start::Special(EARLIEST)),
        "latest" => Ok(Start::Special(LATEST)),
        _ => match text.parse() {
            Ok(offset) if offset >= 0 => Ok(Start::Offset(offset)),
            _ => Err("give earliest, latest, or an offset".to_owned()),
        },
    }
}

/// Topics, and the first offset of each of their partitions.
type Starts = BTreeMap<String, BTreeMap<i32, i64>>;

pub(super) fn create(create: &Create) -> Result<(), Failure> {
    let configs = pairs(&create.configs)?;
    let mut client = Client::connect(&create.server)?;
    let starts = starts(&mut client, create)?;
    if !create.reset {
        let there = topics(&mut client, &create.queue)?;
        let mut there = there.iter().map(|topic| topic.topic_name.as_str());
        if let Some(topic) = there.find(|topic| starts.contains_key(*topic)) {
            let queue = &create.queue;
            return Err(Failure::failed(format!(
                "{queue} is a queue of {topic} already; --reset has it begin anew"
            )));
        }
    }
    if !configs.is_empty() {
        let configs: Vec<_> = configs
            .iter()
            .map(|(key, value)| (*key, Some(*value)))
            .collect();
        configure(&mut client, &create.queue, &configs)?;
    }
    alter(&mut client, &create.queue, &starts)?;
    let mut list = List::new(&["queue", "topic", "partition", "start"]);
    for (topic, partitions) in &starts {
        for (index, start) in partitions {
            list.row(vec![
                json!(create.queue),
                json!(topic),
                json!(index),
                json!(start),
            ]);
        }
    }
    list.print(create.server.output)
}

fn starts(client: &mut Client, create: &Create) -> Result<Starts, Failure> {
    let names: Vec<&str> = create.topics.iter().map(String::as_str).collect();
    let mut starts = Starts::new();
    for topic in metadata(client, Some(&names))? {
        let name = topic
            .name
            .map(|name| name.0.to_string())
            .unwrap_or_default();
        if topic.error_code == ErrorCode::UnknownTopicOrPartition.code() {
            return Err(Failure::failed(format!(
                "there is no topic {name}; make it first: ratel topic create {name}"
            )));
        }
        check(topic.error_code, &name, None)?;
        let indexes: Vec<i32> = topic
            .partitions
            .iter()
            .map(|partition| partition.partition_index)
            .collect();
        let found = match create.from {
            Start::Offset(offset) => indexes.iter().map(|index| (*index, offset)).collect(),
            Start::Special(timestamp) => offsets(client, &name, &indexes, timestamp)?,
        };
        if let Some(index) = indexes.iter().find(|index| !found.contains_key(index)) {
            let sentence = format!("the server does not say where {name}-{index} begins or ends");
            return Err(Failure::failed(sentence));
        }
        starts.insert(name, found);
    }
    Ok(starts)
}

fn alter(client: &mut Client, queue: &str, starts: &Starts) -> Result<(), Failure> {
    let topics = starts.iter().map(|(topic, partitions)| {
        let partitions = partitions.iter().map(|(index, start)| {
            AlterShareGroupOffsetsRequestPartition::default()
                .with_partition_index(*index)
                .with_start_offset(*start)
        });
        AlterShareGroupOffsetsRequestTopic::default()
            .with_topic_name(TopicName(text(topic)))
            .with_partitions(partitions.collect())
    });
    let request = AlterShareGroupOffsetsRequest::default()
        .with_group_id(GroupId(text(queue)))
        .with_topics(topics.collect());
    let answer = client.send(0, &request)?;
    check(answer.error_code, queue, answer.error_message.as_ref())?;
    for topic in &answer.responses {
        for partition in &topic.partitions {
            let place = format!(
                "{}-{}",
                topic.topic_name.as_str(),
                partition.partition_index
            );
            let message = partition.error_message.as_ref();
            check(partition.error_code, &place, message)?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::{Start, parse_start};

    #[test]
    fn a_queue_begins_at_an_end_or_an_offset() {
        assert_eq!(parse_start("earliest"), Ok(Start::Special(-2)));
        assert_eq!(parse_start("latest"), Ok(Start::Special(-1)));
        assert_eq!(parse_start("17"), Ok(Start::Offset(17)));
        for wrong in ["", "-1", "Earliest", "1.5", "9223372036854775808"] {
            assert!(parse_start(wrong).is_err(), "{wrong}");
        }
    }
}
