//! `ratel queue stats`: what is in queues, partition by partition.

use ratel_protocol::messages::queue_admin_response::QueueDescription;
use serde_json::{Value, json};

use super::super::Failure;
use super::super::client::{Client, ServerFlags};
use super::super::output::{List, Output, print};
use super::{NO_QUEUES, ask, described, no_queue};

pub(super) fn stats(queues: &[String], flags: &ServerFlags) -> Result<(), Failure> {
    let mut client = Client::connect(flags)?;
    let wanted = (!queues.is_empty()).then_some(queues);
    let found = ask(&mut client, "stats", &described(wanted))?.queues;
    let is_found = |queue: &&String| found.iter().any(|found| **found.group_id == ***queue);
    if let Some(missing) = queues.iter().find(|queue| !is_found(queue)) {
        return Err(no_queue(missing));
    }
    match flags.output {
        Output::Table => tables(&found),
        output => all(&found, output),
    }
}

/// Every number of every partition.
fn all(queues: &[QueueDescription], output: Output) -> Result<(), Failure> {
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
    for queue in queues {
        let mut row = vec![
            json!(queue.group_id.as_str()),
            json!(queue.topic_name.as_str()),
            json!(queue.partition_index),
        ];
        row.extend(numbers(queue));
        row.extend([json!(queue.consumers), json!(queue.paused)]);
        list.row(row);
    }
    list.print(output)
}

fn numbers(queue: &QueueDescription) -> [Value; 6] {
    let age = queue.oldest_ready_age_ms;
    [
        json!(queue.ready),
        json!(queue.in_flight),
        json!(queue.delayed),
        json!(queue.dead),
        json!(queue.redelivered),
        json!((age >= 0).then_some(age)),
    ]
}

/// A table of each queue, which fits a narrow screen.
fn tables(queues: &[QueueDescription]) -> Result<(), Failure> {
    if queues.is_empty() {
        return print(NO_QUEUES);
    }
    let of_queues = queues.chunk_by(|a, b| a.group_id == b.group_id);
    for (place, partitions) in of_queues.enumerate() {
        let gap = if place == 0 { "" } else { "\n" };
        let paused = if partitions.iter().any(|partition| partition.paused) {
            ", paused"
        } else {
            ""
        };
        let name = super::super::logging::escaped(partitions[0].group_id.as_str());
        print(&format!("{gap}{name}{paused}\n"))?;
        table(partitions)?;
    }
    Ok(())
}

fn table(partitions: &[QueueDescription]) -> Result<(), Failure> {
    let mut list = List::new(&[
        "partition",
        "ready",
        "in_flight",
        "delayed",
        "dead",
        "redelivered",
        "oldest_age_ms",
        "consumers",
    ]);
    let mut sum = QueueDescription::default().with_oldest_ready_age_ms(-1);
    for queue in partitions {
        let place = format!("{}-{}", queue.topic_name.as_str(), queue.partition_index);
        let mut row = vec![json!(place)];
        row.extend(numbers(queue));
        row.push(json!(queue.consumers));
        list.row(row);
        sum.ready += queue.ready;
        sum.in_flight += queue.in_flight;
        sum.delayed += queue.delayed;
        sum.dead += queue.dead;
        sum.redelivered += queue.redelivered;
        sum.oldest_ready_age_ms = sum.oldest_ready_age_ms.max(queue.oldest_ready_age_ms);
    }
    if partitions.len() > 1 {
        let mut row = vec![json!("together")];
        row.extend(numbers(&sum));
        // A member may read several partitions.
        row.push(Value::Null);
        list.row(row);
    }
    list.print(Output::Table)
}
