//! `ratel group`: list and describe groups.

use std::collections::BTreeMap;

use clap::Subcommand;
use ratel_protocol::ErrorCode;
use ratel_protocol::messages::list_groups_response::ListedGroup;
use ratel_protocol::messages::offset_fetch_request::OffsetFetchRequestGroup;
use ratel_protocol::messages::{
    ConsumerGroupDescribeRequest, DescribeGroupsRequest, GroupId, ListGroupsRequest,
    OffsetFetchRequest,
};
use serde_json::json;

use super::Failure;
use super::client::{Client, ServerFlags, check, text};
use super::output::{List, Output, print};
use super::topic::{LATEST, offsets};

/// The protocol of share groups, as ListGroups names it.
const SHARE: &str = "share";

#[derive(Debug, Subcommand)]
pub(super) enum GroupVerb {
    /// List groups
    Ls {
        #[command(flatten)]
        server: ServerFlags,
    },
    /// Show how far a group has come on each partition, and its members
    Describe {
        /// The group's id
        group: String,
        #[command(flatten)]
        server: ServerFlags,
    },
}

pub(super) fn run(verb: &GroupVerb) -> Result<(), Failure> {
    match verb {
        GroupVerb::Ls { server } => list(server),
        GroupVerb::Describe { group, server } => describe(group, server),
    }
}

fn list(flags: &ServerFlags) -> Result<(), Failure> {
    let mut client = Client::connect(flags)?;
    let groups = groups(&mut client)?;
    let mut list = List::new(&["group", "state", "protocol"]);
    for group in groups {
        list.row(vec![
            json!(group.group_id.0.as_str()),
            json!(group.group_state.as_str()),
            json!(group.protocol_type.as_str()),
        ]);
    }
    list.print(flags.output)
}

/// All groups, in the order of their ids.
fn groups(client: &mut Client) -> Result<Vec<ListedGroup>, Failure> {
    let answer = client.send(4, &ListGroupsRequest::default())?;
    check(answer.error_code, "groups", None)?;
    let mut groups = answer.groups;
    groups.sort_by(|a, b| a.group_id.cmp(&b.group_id));
    Ok(groups)
}

/// What to say of a group that is not one with members and commits.
fn absent(group: &str, groups: &[ListedGroup]) -> String {
    let there = groups.iter().find(|listed| **listed.group_id == *group);
    match there {
        Some(listed) if *listed.protocol_type == *SHARE => {
            format!("{group} is a share group: `ratel queue describe {group}` shows it")
        }
        _ => format!("there is no group {group}"),
    }
}

fn describe(group: &str, flags: &ServerFlags) -> Result<(), Failure> {
    let mut client = Client::connect(flags)?;
    let members = members(&mut client, group)?;
    let committed = committed(&mut client, group)?;
    if members.state == "Dead" && committed.is_empty() {
        let sentence = absent(group, &groups(&mut client)?);
        return Err(Failure::failed(sentence));
    }
    if flags.output == Output::Table {
        let sentence = format!(
            "{group}: {}, {} members\n",
            members.state,
            members.rows.len()
        );
        print(&sentence)?;
    }
    let mut list = List::new(&["topic", "partition", "committed", "end", "lag"]);
    for (topic, partitions) in &committed {
        let indexes: Vec<_> = partitions.keys().copied().collect();
        let ends = offsets(&mut client, topic, &indexes, LATEST)?;
        for (index, committed) in partitions {
            let end = ends.get(index);
            let lag = end.map(|end| (end - committed).max(0));
            list.row(vec![
                json!(topic),
                json!(index),
                json!(committed),
                json!(end),
                json!(lag),
            ]);
        }
    }
    list.print(flags.output)?;
    if flags.output == Output::Table && !members.rows.is_empty() {
        print("\n")?;
        let mut list = List::new(&["member", "client", "host"]);
        for [member, client, host] in members.rows {
            list.row(vec![json!(member), json!(client), json!(host)]);
        }
        list.print(Output::Table)?;
    }
    Ok(())
}

/// Who is in a group.
struct Members {
    state: String,
    /// Member id, client id and host of each.
    rows: Vec<[String; 3]>,
}

fn members(client: &mut Client, group: &str) -> Result<Members, Failure> {
    let request =
        ConsumerGroupDescribeRequest::default().with_group_ids(vec![GroupId(text(group))]);
    let described = client.send(0, &request)?.groups.pop();
    let described = described.filter(|one| one.error_code != ErrorCode::GroupIdNotFound.code());
    let Some(described) = described else {
        return classic_members(client, group);
    };
    check(described.error_code, group, None)?;
    let members = described.members.iter();
    Ok(Members {
        state: described.group_state.to_string(),
        rows: members
            .map(|member| [&member.member_id, &member.client_id, &member.client_host])
            .map(|texts| texts.map(ToString::to_string))
            .collect(),
    })
}

/// Who is in a group of the classic protocol.
fn classic_members(client: &mut Client, group: &str) -> Result<Members, Failure> {
    let request = DescribeGroupsRequest::default().with_groups(vec![GroupId(text(group))]);
    let described = client.send(5, &request)?.groups.pop();
    let described = described.ok_or_else(|| Failure::failed("the server describes no group"))?;
    check(described.error_code, group, None)?;
    let members = described.members.iter();
    Ok(Members {
        state: described.group_state.to_string(),
        rows: members
            .map(|member| [&member.member_id, &member.client_id, &member.client_host])
            .map(|texts| texts.map(ToString::to_string))
            .collect(),
    })
}

/// What a group has committed, by topic and partition.
fn committed(
    client: &mut Client,
    group: &str,
) -> Result<BTreeMap<String, BTreeMap<i32, i64>>, Failure> {
    let wanted = OffsetFetchRequestGroup::default()
        .with_group_id(GroupId(text(group)))
        .with_topics(None);
    let request = OffsetFetchRequest::default().with_groups(vec![wanted]);
    let mut committed: BTreeMap<String, BTreeMap<i32, i64>> = BTreeMap::new();
    for answer in client.send(8, &request)?.groups {
        check(answer.error_code, group, None)?;
        for topic in answer.topics {
            let partitions = committed.entry(topic.name.0.to_string()).or_default();
            for partition in topic.partitions {
                if partition.error_code == 0 && partition.committed_offset >= 0 {
                    partitions.insert(partition.partition_index, partition.committed_offset);
                }
            }
        }
    }
    Ok(committed)
}

#[cfg(test)]
mod tests {
    use super::{GroupId, ListedGroup, absent, text};

    #[test]
    fn a_queue_is_pointed_at() {
        let listed = |group: &str, protocol: &str| {
            ListedGroup::default()
                .with_group_id(GroupId(text(group)))
                .with_protocol_type(text(protocol))
        };
        let groups = [listed("readers", "consumer"), listed("workers", "share")];
        let said = absent("workers", &groups);
        assert!(said.contains("`ratel queue describe workers`"), "{said}");
        for group in ["readers", "nobody"] {
            assert_eq!(absent(group, &groups), format!("there is no group {group}"));
        }
    }
}
