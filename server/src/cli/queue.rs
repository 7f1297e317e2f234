//! `ratel queue`: queues, which are share groups. By Kafka's own requests where it has them; for
//! the rest by QueueAdmin, which another server does not have.

mod create;
mod describe;
mod peek;
mod progress;
mod redrive;

use std::collections::BTreeMap;

use clap::{Args, Subcommand};
use ratel_protocol::messages::incremental_alter_configs_request::{
    AlterConfigsResource, AlterableConfig,
};
use ratel_protocol::messages::queue_admin_request::{DescribeQueues, PurgeQueues, QueueTopic};
use ratel_protocol::messages::queue_admin_response::QueueDescription;
use ratel_protocol::messages::{
    GroupId, IncrementalAlterConfigsRequest, ListGroupsRequest, QueueAdminRequest,
    QueueAdminResponse, TopicName,
};
use serde_json::json;

use super::Failure;
use super::client::{Client, ServerFlags, check, text};
use super::output::List;
use super::topic::GROUP;

/// A configuration is set (KIP-339).
const SET: i8 = 0;

#[derive(Debug, Subcommand)]
pub(super) enum QueueVerb {
    /// List queues, with what is in them
    Ls {
        #[command(flatten)]
        server: ServerFlags,
    },
    /// Show how far a queue has come on each partition, its members, and what is set on it
    Describe {
        /// The queue: the share group's id
        queue: String,
        #[command(flatten)]
        server: ServerFlags,
    },
    /// Count what is ready, in flight, delayed and dead, partition by partition
    Stats {
        /// The queues; all of them if none is named
        queues: Vec<String>,
        #[command(flatten)]
        server: ServerFlags,
    },
    /// Look at the first records of a queue. Nothing is leased, and what others lease or have done
    /// already may be among them
    Peek(peek::Peek),
    /// Throw away what is ready now. What is leased stays leased
    Purge(Purge),
    /// Lease nothing for now. What is leased stays leased
    Pause {
        /// The queue
        queue: String,
        #[command(flatten)]
        server: ServerFlags,
    },
    /// Lease again
    Resume {
        /// The queue
        queue: String,
        #[command(flatten)]
        server: ServerFlags,
    },
    /// Bring dead letters home to the topics that they come from, each exactly once
    Redrive(Box<redrive::Redrive>),
    /// Make a queue, so that it counts records before its first member comes
    Create(create::Create),
}

#[derive(Debug, Args)]
pub(super) struct Purge {
    /// The queue
    queue: String,
    /// Only this topic; may be given often
    #[arg(long = "topic", short, value_name = "TOPIC")]
    topics: Vec<String>,
    /// Only this partition of it; may be given often
    #[arg(long = "partition", short, value_name = "NUMBER", requires = "topics")]
    partitions: Vec<i32>,
    #[command(flatten)]
    server: ServerFlags,
}

pub(super) fn run(verb: &QueueVerb) -> Result<(), Failure> {
    match verb {
        QueueVerb::Ls { server } => list(server),
        QueueVerb::Describe { queue, server } => describe::describe(queue, server),
        QueueVerb::Stats { queues, server } => stats(queues, server),
        QueueVerb::Peek(peek) => peek::peek(peek),
        QueueVerb::Purge(purge) => self::purge(purge),
        QueueVerb::Pause { queue, server } => pause(queue, true, server),
        QueueVerb::Resume { queue, server } => pause(queue, false, server),
        QueueVerb::Redrive(redrive) => redrive::run(redrive),
        QueueVerb::Create(create) => create::create(create),
    }
}

/// The answer of QueueAdmin, if the server has it and could do what it was asked.
fn ask(
    client: &mut Client,
    what: &str,
    request: &QueueAdminRequest,
) -> Result<QueueAdminResponse, Failure> {
    let answer = client.try_send(0, request)?.ok_or_else(|| {
        Failure::failed(
            "the server closed the connection: it does not know QueueAdmin (key 20000), so it is \
             an older ratel or none",
        )
    })?;
    check(answer.error_code, what, answer.error_message.as_ref())?;
    Ok(answer)
}

/// How the queues of these groups stand, or of all.
fn described(groups: Option<&[String]>) -> QueueAdminRequest {
    let groups = groups.map(|groups| groups.iter().map(|group| GroupId(text(group))).collect());
    let wanted = DescribeQueues::default().with_group_ids(groups);
    QueueAdminRequest::default().with_describe_queues(Some(wanted))
}

/// What is in the queues of one group, taken together.
#[derive(Default)]
struct Total {
    ready: i64,
    in_flight: i64,
    delayed: i64,
    dead: i64,
}

impl Total {
    fn add(&mut self, queue: &QueueDescription) {
        self.ready += queue.ready;
        self.in_flight += queue.in_flight;
        self.delayed += queue.delayed;
        self.dead += queue.dead;
    }
}

fn list(flags: &ServerFlags) -> Result<(), Failure> {
    let mut client = Client::connect(flags)?;
    let request = ListGroupsRequest::default().with_types_filter(vec![text("share")]);
    let answer = client.send(5, &request)?;
    check(answer.error_code, "queues", None)?;
    let mut states = BTreeMap::new();
    for group in answer.groups {
        states.insert(group.group_id.0.to_string(), group.group_state.to_string());
    }
    // Another server lists its share groups all the same.
    let mut totals: BTreeMap<String, Total> = BTreeMap::new();
    let counts = client.try_send(0, &described(None))?;
    if let Some(answer) = &counts {
        check(answer.error_code, "queues", answer.error_message.as_ref())?;
        for queue in &answer.queues {
            let total = totals.entry(queue.group_id.0.to_string()).or_default();
            total.add(queue);
        }
    }
    let mut list = List::new(&["queue", "state", "ready", "in_flight", "delayed", "dead"]);
    for (queue, state) in &states {
        let total = totals.remove(queue).unwrap_or_default();
        let count = |count: i64| json!(counts.is_some().then_some(count));
        list.row(vec![
            json!(queue),
            json!(state),
            count(total.ready),
            count(total.in_flight),
            count(total.delayed),
            count(total.dead),
        ]);
    }
    list.print(flags.output)
}

fn stats(queues: &[String], flags: &ServerFlags) -> Result<(), Failure> {
    let mut client = Client::connect(flags)?;
    let wanted = (!queues.is_empty()).then_some(queues);
    let answer = ask(&mut client, "stats", &described(wanted))?;
    for queue in queues {
        if !answer
            .queues
            .iter()
            .any(|found| **found.group_id == **queue)
        {
            return Err(Failure::failed(format!("there is no queue {queue}")));
        }
    }
    let mut list = List::new(&[
        "queue",
        "topic",
        "partition",
        "ready",
        "in_flight",
        "delayed",
        "dead",
        "redelivered",
        "oldest_age_ms",
        "consumers",
        "paused",
    ]);
    for queue in &answer.queues {
        let age = queue.oldest_ready_age_ms;
        list.row(vec![
            json!(queue.group_id.as_str()),
            json!(queue.topic_name.as_str()),
            json!(queue.partition_index),
            json!(queue.ready),
            json!(queue.in_flight),
            json!(queue.delayed),
            json!(queue.dead),
            json!(queue.redelivered),
            json!((age >= 0).then_some(age)),
            json!(queue.consumers),
            json!(queue.paused),
        ]);
    }
    list.print(flags.output)
}

fn purge(purge: &Purge) -> Result<(), Failure> {
    let topic = |topic: &String| {
        let partitions = (!purge.partitions.is_empty()).then(|| purge.partitions.clone());
        QueueTopic::default()
            .with_topic_name(TopicName(text(topic)))
            .with_partitions(partitions)
    };
    let topics = (!purge.topics.is_empty()).then(|| purge.topics.iter().map(topic).collect());
    let wanted = PurgeQueues::default()
        .with_group_id(GroupId(text(&purge.queue)))
        .with_topics(topics);
    let request = QueueAdminRequest::default().with_purge_queues(Some(wanted));
    let mut client = Client::connect(&purge.server)?;
    let answer = ask(&mut client, &purge.queue, &request)?;
    let mut list = List::new(&["topic", "partition", "purged"]);
    let mut outcome = Ok(());
    for queue in &answer.purged {
        let place = format!("{}-{}", queue.topic_name.as_str(), queue.partition_index);
        match check(queue.error_code, &place, queue.error_message.as_ref()) {
            Ok(()) => list.row(vec![
                json!(queue.topic_name.as_str()),
                json!(queue.partition_index),
                json!(queue.records),
            ]),
            Err(failure) => outcome = Err(failure),
        }
    }
    list.print(purge.server.output)?;
    outcome
}

fn pause(queue: &str, paused: bool, flags: &ServerFlags) -> Result<(), Failure> {
    let value = if paused { "true" } else { "false" };
    let mut client = Client::connect(flags)?;
    configure(&mut client, queue, &[("queue.paused", value)])?;
    let mut list = List::new(&["queue", "paused"]);
    list.row(vec![json!(queue), json!(paused)]);
    list.print(flags.output)
}

/// Set configuration of a queue, which need not be there yet.
fn configure(client: &mut Client, queue: &str, pairs: &[(&str, &str)]) -> Result<(), Failure> {
    let configs = pairs.iter().map(|(key, value)| {
        AlterableConfig::default()
            .with_name(text(key))
            .with_config_operation(SET)
            .with_value(Some(text(value)))
    });
    let resource = AlterConfigsResource::default()
        .with_resource_type(GROUP.kind)
        .with_resource_name(text(queue))
        .with_configs(configs.collect());
    let request = IncrementalAlterConfigsRequest::default().with_resources(vec![resource]);
    for answer in client.send(1, &request)?.responses {
        check(answer.error_code, queue, answer.error_message.as_ref())?;
    }
    Ok(())
}
