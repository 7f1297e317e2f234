//! What QueueAdmin says of redrives: requests to the jobs, and jobs to the answer.

use std::sync::Arc;

use ratel_protocol::messages::queue_admin_request::{ListRedrives, RedriveFilter, StartRedrive};
use ratel_protocol::messages::queue_admin_response::RedriveJob;
use ratel_protocol::messages::{GroupId, QueueAdminResponse, TopicName};
use ratel_protocol::{ErrorCode, StrBytes};

use super::super::groups::{own, text};
use crate::broker::Broker;
use crate::coordinator::share::DeadReason;
use crate::dead_letters::sentence;
use crate::error::Refusal;
use crate::redrive::{Filter, Job};

/// What is asked of redrives.
#[derive(Debug, PartialEq)]
pub(super) enum Task {
    Start(StartRedrive),
    List(ListRedrives),
    Cancel(i64),
    Resume(i64),
}

pub(super) async fn answer(broker: &Broker, task: Task) -> Result<QueueAdminResponse, Refusal> {
    let redrives = &broker.redrives;
    let jobs = match task {
        Task::Start(wanted) => {
            let filter = filter(wanted.filter)?;
            let group = own(&wanted.group_id);
            let begun = redrives.begin(&group, filter, wanted.rate, wanted.dry_run);
            vec![begun.await?]
        }
        Task::List(wanted) => {
            let id = (wanted.job_id >= 0).then_some(wanted.job_id);
            redrives.list(wanted.group_id.as_deref().map(|group| &**group), id)
        }
        Task::Cancel(id) => vec![redrives.cancel(id).await?],
        Task::Resume(id) => vec![redrives.resume(id).await?],
    };
    Ok(QueueAdminResponse::default().with_redrives(jobs.iter().map(row).collect()))
}

fn filter(wanted: RedriveFilter) -> Result<Filter, Refusal> {
    let reason = match wanted.reason {
        -1 => None,
        0 => Some(DeadReason::Rejected),
        1 => Some(DeadReason::DeliveryLimit),
        other => {
            let message = format!("{other} is no reason: give 0, 1 or -1.");
            return Err(Refusal::new(ErrorCode::InvalidRequest, message));
        }
    };
    Ok(Filter {
        dead_partition: (wanted.dead_partition >= 0).then_some(wanted.dead_partition),
        dead_offset: (wanted.dead_offset >= 0).then_some(wanted.dead_offset),
        topic: wanted.topic_name.map(|name| name.to_string()),
        partition: (wanted.partition >= 0).then_some(wanted.partition),
        first_offset: wanted.first_offset,
        last_offset: wanted.last_offset,
        message: reason.map(|reason| sentence(reason).to_owned()),
        from_ms: wanted.from_ms,
        to_ms: wanted.to_ms,
        key: wanted.key.map(|key| key.to_vec().into()),
        header: wanted.header_name.map(|name| name.to_string()),
        header_value: wanted.header_value.map(|value| value.to_vec().into()),
    })
}

fn row(job: &Arc<Job>) -> RedriveJob {
    RedriveJob::default()
        .with_job_id(job.id)
        .with_group_id(GroupId(text(&job.group)))
        .with_dead_letter_topic(TopicName(text(&job.topic_name)))
        .with_state(job.state as i8)
        .with_dry_run(job.dry_run)
        .with_rate(job.rate)
        .with_started_ms(job.started_ms)
        .with_ended_ms(job.ended_ms)
        .with_total(job.total())
        .with_scanned(job.scanned())
        .with_matched(job.matched)
        .with_moved(job.moved)
        .with_skipped(i64::try_from(job.skipped.len()).unwrap_or(i64::MAX))
        .with_error_message(job.message.clone().map(StrBytes::from_string))
}
