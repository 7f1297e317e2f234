//! Redrives as the catalog keeps them. The job's own task says how far it has come; whether there
//! may be one is decided here.

use std::sync::Arc;

use ratel_protocol::ErrorCode;

use super::{Action, CatalogMachine};
use crate::coordinator::Effects;
use crate::coordinator::catalog::record::CatalogRecord;
use crate::coordinator::catalog::redrive_job::{Job, JobState};
use crate::error::Refusal;

/// Jobs that are kept, ended ones included: they tell what is home already.
const JOBS_MAX: usize = 10_000;

impl CatalogMachine {
    /// A new job gets the next number; another takes the place of what it was.
    pub(super) fn put_redrive(
        &mut self,
        job: Job,
        is_new: bool,
        out: &mut Effects<Self>,
    ) -> Result<Arc<Job>, Refusal> {
        let mut job = job;
        if is_new {
            if self.redrives.len() >= JOBS_MAX {
                let message = format!(
                    "{JOBS_MAX} redrives are kept already, each until its letters are gone: \
                     shorten the retention of the dead-letter topics."
                );
                return Err(Refusal::new(ErrorCode::PolicyViolation, message));
            }
            job.id = self.redrives.keys().next_back().map_or(1, |last| last + 1);
        } else if !self.redrives.contains_key(&job.id) {
            let message = format!("There is no redrive {}.", job.id);
            return Err(Refusal::new(ErrorCode::InvalidRequest, message));
        }
        let rival = self.redrives.values().find(|other| {
            let both_run = other.state == JobState::Running && job.state == JobState::Running;
            other.id != job.id && other.topic == job.topic && both_run
        });
        if let Some(rival) = rival {
            let message = format!(
                "Redrive {} is at work on {} already; wait for its end, or cancel it.",
                rival.id, rival.topic_name
            );
            return Err(Refusal::new(ErrorCode::InvalidRequest, message));
        }
        let id = job.id;
        let job = Arc::new(job);
        let record = CatalogRecord::Redrive {
            id,
            job: Some(job.clone()),
        };
        out.record(self, record);
        out.act(Action::PublishRedrive(id, Some(job.clone())));
        Ok(job)
    }

    /// Forget a job that has ended.
    pub(super) fn forget_redrive(&mut self, id: i64, out: &mut Effects<Self>) {
        let known = self.redrives.get(&id);
        if known.is_some_and(|job| job.state != JobState::Running) {
            out.record(self, CatalogRecord::Redrive { id, job: None });
            out.act(Action::PublishRedrive(id, None));
        }
    }

    pub(super) fn apply_redrive(&mut self, id: i64, job: Option<&Arc<Job>>) {
        match job {
            Some(job) => self.redrives.insert(id, job.clone()),
            None => self.redrives.remove(&id),
        };
    }
}
