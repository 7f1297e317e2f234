//! `ratel queue describe`: how far a queue has come, who works on it, and what is set on it.

use ratel_protocol::messages::describe_share_group_offsets_request as asked;
use ratel_protocol::messages::describe_share_group_offsets_response as told;
use ratel_protocol::messages::share_group_describe_response::{DescribedGroup, Member};
use ratel_protocol::messages::{
    DescribeShareGroupOffsetsRequest, GroupId, ShareGroupDescribeRequest,
};
use serde_json::json;

use super::super::Failure;
use super::super::client::{Client, ServerFlags, check, text};
use super::super::output::{List, Output, print};
use super::super::topic::{GROUP, print_configs};

pub(super) fn describe(queue: &str, flags: &ServerFlags) -> Result<(), Failure> {
    let mut client = Client::connect(flags)?;
    let group = group(&mut client, queue)?;
    let topics = topics(&mut client, queue)?;
    if flags.output == Output::Table {
        let members = match group.members.len() {
            1 => "1 member".to_owned(),
            count => format!("{count} members"),
        };
        print(&format!("{queue}: {}, {members}\n", group.group_state))?;
    }
    let mut list = List::new(&["topic", "partition", "start", "lag"]);
    for topic in &topics {
        for partition in &topic.partitions {
            let known = |number: i64| json!((number >= 0).then_some(number));
            list.row(vec![
                json!(topic.topic_name.as_str()),
                json!(partition.partition_index),
                known(partition.start_offset),
                known(partition.lag),
            ]);
        }
    }
    list.print(flags.output)?;
    if flags.output == Output::Table {
        print_members(&group.members)?;
        print_configs(&mut client, &GROUP, queue)?;
    }
    Ok(())
}

fn group(client: &mut Client, queue: &str) -> Result<DescribedGroup, Failure> {
    let request = ShareGroupDescribeRequest::default().with_group_ids(vec![GroupId(text(queue))]);
    let group = client.send(1, &request)?.groups.pop();
    let group = group.ok_or_else(|| Failure::failed("the server describes no group"))?;
    check(group.error_code, queue, group.error_message.as_ref())?;
    Ok(group)
}

/// How far a queue has come, in the order of topic and partition.
pub(super) fn topics(
    client: &mut Client,
    queue: &str,
) -> Result<Vec<told::DescribeShareGroupOffsetsResponseTopic>, Failure> {
    let wanted = asked::DescribeShareGroupOffsetsRequestGroup::default()
        .with_group_id(GroupId(text(queue)))
        .with_topics(None);
    let request = DescribeShareGroupOffsetsRequest::default().with_groups(vec![wanted]);
    let mut topics = Vec::new();
    for group in client.send(1, &request)?.groups {
        check(group.error_code, queue, group.error_message.as_ref())?;
        topics.extend(group.topics);
    }
    topics.sort_by(|a, b| a.topic_name.cmp(&b.topic_name));
    for topic in &mut topics {
        topic.partitions.retain(|found| found.error_code == 0);
        topic.partitions.sort_by_key(|found| found.partition_index);
    }
    Ok(topics)
}

fn print_members(members: &[Member]) -> Result<(), Failure> {
    if members.is_empty() {
        return Ok(());
    }
    print("\n")?;
    let mut list = List::new(&["member", "client", "host", "partitions"]);
    for member in members {
        let topics = member.assignment.topic_partitions.iter().map(|topic| {
            let partitions: Vec<_> = topic.partitions.iter().map(i32::to_string).collect();
            format!("{}-{}", topic.topic_name.as_str(), partitions.join(","))
        });
        let places: Vec<_> = topics.collect();
        list.row(vec![
            json!(member.member_id.as_str()),
            json!(member.client_id.as_str()),
            json!(member.client_host.as_str()),
            json!(places.join(" ")),
        ]);
    }
    list.print(Output::Table)
}
