//! `ratel queue`: queues, which are share groups. By Kafka's own requests where it has them; for
//! the rest by QueueAdmin, which another server does not have.

mod create;
mod describe;
mod peek;
mod progress;
mod redrive;
mod set;
mod stats;

use std::collections::BTreeMap;

use clap::{Args, Subcommand};
use ratel_protocol::messages::queue_admin_request::{DescribeQueues, PurgeQueues, QueueTopic};
use ratel_protocol::messages::queue_admin_response::QueueDescription;
use ratel_protocol::messages::{
    GroupId, ListGroupsRequest, QueueAdminRequest, QueueAdminResponse, TopicName,
};
use serde_json::json;

use super::Failure;
use super::client::{Client, ServerFlags, check, text};
use super::output::List;

/// What is said where there is none.
const NO_QUEUES: &str = "\
there are no queues yet; a share group's first member makes its own, or make one now:
  ratel queue create jobs --topic TOPIC
";

/// A name that is there: an empty one is a variable of a script that is not set.
fn named(text: &str) -> Result<String, String> {
    match text {
        "" => Err("the name is empty".into()),
        name => Ok(name.to_owned()),
    }
}

#[derive(Debug, Subcommand)]
#[command(after_help = "\
Examples:
  ratel queue create jobs --topic orders   a queue of what is there and comes
  ratel queue stats jobs                   what is ready, leased, delayed, dead
  ratel queue peek jobs -n 3               its first records, which stay there
  ratel queue redrive jobs --all           dead letters go home

Workers are members of the share group of the same name, with any client that
has them: Kafka's Java client, confluent-kafka, franz-go.")]
pub(super) enum QueueVerb {
    /// List queues, with what is in them
    Ls {
        #[command(flatten)]
        server: ServerFlags,
    },
    /// Show how far a queue has come on each partition, its members, and what is set on it
    Describe {
        /// The queue: the share group's id
        #[arg(value_parser = named)]
        queue: String,
        #[command(flatten)]
        server: ServerFlags,
    },
    /// Count what is ready, in flight, delayed and dead, partition by partition
    Stats {
        /// The queues; all of them if none is named
        #[arg(value_parser = named)]
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
        #[arg(value_parser = named)]
        queue: String,
        #[command(flatten)]
        server: ServerFlags,
    },
    /// Lease again
    Resume {
        /// The queue
        #[arg(value_parser = named)]
        queue: String,
        #[command(flatten)]
        server: ServerFlags,
    },
    /// Bring dead letters home to the topics that they come from, each exactly once
    Redrive(Box<redrive::Redrive>),
    /// Set configuration of a queue, which it may have before it is there
    Set(set::Set),
    /// Make a queue, so that it counts records before its first member comes
    Create(create::Create),
}

#[derive(Debug, Args)]
pub(super) struct Purge {
    /// The queue
    #[arg(value_parser = named)]
    queue: String,
    /// Only this topic; may be given often
    #[arg(long = "topic", short, value_name = "TOPIC", value_parser = named)]
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
        QueueVerb::Stats { queues, server } => stats::stats(queues, server),
        QueueVerb::Peek(peek) => peek::peek(peek),
        QueueVerb::Purge(purge) => self::purge(purge),
        QueueVerb::Pause { queue, server } => set::pause(queue, true, server),
        QueueVerb::Resume { queue, server } => set::pause(queue, false, server),
        QueueVerb::Redrive(redrive) => redrive::run(redrive),
        QueueVerb::Set(set) => set::set(set),
        QueueVerb::Create(create) => create::create(create),
    }
}

fn no_queue(queue: &str) -> Failure {
    Failure::failed(format!(
        "there is no queue {queue}, or it has no partition yet; `ratel queue ls` lists them"
    ))
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
    is_paused: bool,
}

impl Total {
    fn add(&mut self, queue: &QueueDescription) {
        self.ready += queue.ready;
        self.in_flight += queue.in_flight;
        self.delayed += queue.delayed;
        self.dead += queue.dead;
        self.is_paused |= queue.paused;
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
    let mut list = List::new(&[
        "queue",
        "state",
        "ready",
        "in_flight",
        "delayed",
        "dead",
        "paused",
    ]);
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
            json!(counts.is_some().then_some(total.is_paused)),
        ]);
    }
    list.print_or(flags.output, NO_QUEUES)
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
    if !list.is_empty() || outcome.is_ok() {
        list.print(purge.server.output)?;
    }
    outcome
}
