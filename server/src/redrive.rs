//! Redrive: brings dead letters home to the topics that they come from.
//!
//! A job is a record of the catalog's log ([`Job`]) and, while it runs, a task. It reads the
//! dead-letter topic up to where that ended when the job began. Each letter that matches goes
//! home as the next copy of the job's own producer, so the sequence in a target's log counts the
//! job's copies there: after a crash the target itself says how many of a step that was not
//! written down yet are home, and each goes exactly once. A step that could be made in part is
//! written down in part. A later job passes by what an earlier one has read and matched, except
//! what could not go home then.

mod letter;
mod standing;

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use ratel_protocol::ErrorCode;
use ratel_storage::{
    Batch, BatchHeader, Bound, Durability, Engine, Offset, Origin, Partition, PartitionId,
    ReadRequest, Record, StorageError, TopicId, records,
};
use tokio::sync::watch;

use crate::catalog::Catalog;
use crate::clock::Clock;
use crate::coordinator::catalog::Topic;
use crate::coordinator::catalog::redrive_job::Stretch;
use crate::error::Refusal;
use crate::producer_ids::ProducerIds;
use standing::{Standing, standing};

pub use crate::coordinator::catalog::redrive_job::{Filter, Job, JobState};

/// Letters that one step moves at most.
const STEP_LETTERS: usize = 500;
/// Bytes that one step reads, unless the first batch is longer.
const STEP_BYTES: usize = 1 << 20;
/// Letters that a job may pass by before it fails.
const SKIPPED_MAX: usize = 1000;
/// Sequences of a producer that never wrap.
const COPIES_MAX: i64 = i32::MAX as i64;

const RETRY_FIRST: Duration = Duration::from_millis(100);
const RETRY_MAX: Duration = Duration::from_secs(30);

/// A topic and the index of a partition that letters go home to.
type Target = (TopicId, i32);

/// All redrives. Cheap to clone.
#[derive(Clone)]
pub struct Redrives(Arc<Inner>);

struct Inner {
    engine: Arc<dyn Engine>,
    catalog: Catalog,
    clock: Arc<dyn Clock>,
    /// Jobs at work, each with what tells it to stop.
    running: Mutex<HashMap<i64, watch::Sender<bool>>>,
}

/// Why a step was not made.
enum Trouble {
    /// It may be tried again.
    Passing(String),
    /// It would fail again.
    Lasting(String),
}

impl From<StorageError> for Trouble {
    fn from(error: StorageError) -> Self {
        let text = error.to_string();
        match error {
            StorageError::DiskFull | StorageError::TooManyFiles | StorageError::Io(_) => {
                Self::Passing(text)
            }
            _ => Self::Lasting(text),
        }
    }
}

impl Redrives {
    /// Take up the jobs that were at work when the server stopped.
    #[must_use]
    pub fn start(engine: Arc<dyn Engine>, catalog: Catalog, clock: Arc<dyn Clock>) -> Self {
        let jobs = catalog.view.redrives();
        let redrives = Self(Arc::new(Inner {
            engine,
            catalog,
            clock,
            running: Mutex::default(),
        }));
        for job in jobs {
            if job.state == JobState::Running {
                let mut job = (*job).clone();
                job.in_doubt = true;
                redrives.spawn(job);
            }
        }
        redrives
    }

    /// Begin to bring a group's dead letters home.
    ///
    /// # Errors
    /// INVALID_REQUEST if the group has no dead-letter topic, there is none yet, or a job is at
    /// work on it; what keeps the catalog from writing it down.
    pub async fn begin(
        &self,
        group: &str,
        filter: Filter,
        rate: i32,
        dry_run: bool,
    ) -> Result<Arc<Job>, Refusal> {
        let invalid = |message: String| Refusal::new(ErrorCode::InvalidRequest, message);
        let catalog = &self.0.catalog;
        let Some(name) = catalog.view.group_settings(group).dead_letter_topic.clone() else {
            return Err(invalid(format!(
                "The group {group} has no dead-letter topic: set \
                 errors.deadletterqueue.topic.name."
            )));
        };
        let topic = catalog.view.topic(&name);
        let topic = topic.ok_or_else(|| {
            invalid(format!(
                "The dead-letter topic {name} does not exist: nothing is dead."
            ))
        })?;
        if rate < 0 {
            return Err(invalid(format!(
                "{rate} records in a second: give 0 or more."
            )));
        }
        self.forget_what_is_gone();
        let stretches = self.stretches(&topic, &filter)?;
        let ids = ProducerIds::default();
        let producer_id = ids.next(|| catalog.producer_id_block()).await?;
        let job = Job {
            id: 0,
            group: group.into(),
            topic_name: name,
            topic: topic.id,
            filter,
            rate,
            dry_run,
            producer_id,
            started_ms: self.0.clock.now().wall_ms,
            ended_ms: -1,
            state: JobState::Running,
            message: None,
            matched: 0,
            moved: 0,
            stretches,
            sent: BTreeMap::new(),
            skipped: Vec::new(),
            ahead: Vec::new(),
            in_doubt: false,
        };
        let job = catalog.put_redrive(job, true).await?;
        self.spawn((*job).clone());
        Ok(job)
    }

    /// What there is to read of a dead-letter topic now.
    fn stretches(&self, topic: &Topic, filter: &Filter) -> Result<Vec<Stretch>, Refusal> {
        let mut stretches = Vec::new();
        for index in 0..topic.partitions {
            let log = topic
                .partition(index)
                .and_then(|id| self.0.engine.partition(id));
            let log = log.ok_or(ErrorCode::KafkaStorageError)?;
            if filter.dead_partition.is_some_and(|wanted| wanted != index) {
                continue;
            }
            let offsets = log.offsets();
            let (mut start, mut end) = (offsets.start, offsets.high_watermark);
            if let Some(offset) = filter.dead_offset {
                start = start.max(Offset::new(offset)).min(end);
                end = end.min(Offset::new(offset.saturating_add(1))).max(start);
            }
            stretches.push(Stretch {
                partition: index,
                start,
                next: start,
                end,
            });
        }
        Ok(stretches)
    }

    /// Jobs, the newest first: of one group, of one number, or all.
    #[must_use]
    pub fn list(&self, group: Option<&str>, id: Option<i64>) -> Vec<Arc<Job>> {
        let mut jobs = self.0.catalog.view.redrives();
        jobs.retain(|job| {
            group.is_none_or(|group| *job.group == *group) && id.is_none_or(|id| job.id == id)
        });
        jobs
    }

    /// Stop a job. What it brought home stays there. The job as it stands then.
    ///
    /// # Errors
    /// INVALID_REQUEST if there is no such job, or it has ended.
    pub async fn cancel(&self, id: i64) -> Result<Arc<Job>, Refusal> {
        let told = {
            let running = self.0.running.lock();
            let running = running.unwrap_or_else(PoisonError::into_inner);
            running.get(&id).cloned()
        };
        let Some(stop) = told else {
            self.known(id)?;
            let message = format!("Redrive {id} is not at work.");
            return Err(Refusal::new(ErrorCode::InvalidRequest, message));
        };
        stop.send_replace(true);
        // The job's task drops its end when it has written down where it stopped.
        stop.closed().await;
        self.known(id)
    }

    /// Go on with a job that was cancelled or failed, where it stopped.
    ///
    /// # Errors
    /// INVALID_REQUEST if there is no such job, it is at work or done, or another is at work on
    /// its topic.
    pub async fn resume(&self, id: i64) -> Result<Arc<Job>, Refusal> {
        let mut job = (*self.known(id)?).clone();
        if !matches!(job.state, JobState::Cancelled | JobState::Failed) {
            let message = format!("Redrive {id} neither was cancelled nor failed.");
            return Err(Refusal::new(ErrorCode::InvalidRequest, message));
        }
        job.state = JobState::Running;
        job.ended_ms = -1;
        job.message = None;
        let job = self.0.catalog.put_redrive(job, false).await?;
        self.spawn((*job).clone());
        Ok(job)
    }

    fn known(&self, id: i64) -> Result<Arc<Job>, Refusal> {
        self.0.catalog.view.redrive(id).ok_or_else(|| {
            Refusal::new(
                ErrorCode::InvalidRequest,
                format!("There is no redrive {id}."),
            )
        })
    }

    /// Jobs that ended, and of whose letters none is left, tell nobody anything.
    fn forget_what_is_gone(&self) {
        let catalog = &self.0.catalog;
        for job in catalog.view.redrives() {
            let is_left = |stretch: &Stretch| {
                let id = PartitionId {
                    topic: job.topic,
                    index: stretch.partition,
                };
                let log = self.0.engine.partition(id);
                log.is_some_and(|log| log.offsets().start < stretch.end)
            };
            if job.state != JobState::Running && !job.stretches.iter().any(is_left) {
                catalog.forget_redrive(job.id);
            }
        }
    }

    fn spawn(&self, job: Job) {
        let (stop, stopped) = watch::channel(false);
        let running = self.0.running.lock();
        running
            .unwrap_or_else(PoisonError::into_inner)
            .insert(job.id, stop);
        tokio::spawn(self.clone().run(job, stopped));
    }

    async fn run(self, mut job: Job, mut stopped: watch::Receiver<bool>) {
        let outcome = self.work(&mut job, &mut stopped).await;
        (job.state, job.message) = match outcome {
            Ok(true) => (JobState::Done, job.message.take()),
            Ok(false) => (JobState::Cancelled, job.message.take()),
            Err(why) => {
                tracing::warn!(
                    job = job.id,
                    group = &*job.group,
                    "the redrive failed: {why}"
                );
                (JobState::Failed, Some(why))
            }
        };
        job.ended_ms = self.0.clock.now().wall_ms;
        let id = job.id;
        if let Err(refusal) = self.0.catalog.put_redrive(job, false).await {
            // It is still at work as far as the log knows, and goes on with the next start.
            tracing::warn!(
                job = id,
                "the redrive's end is not written down: {refusal:?}"
            );
        }
        let running = self.0.running.lock();
        running.unwrap_or_else(PoisonError::into_inner).remove(&id);
    }

    /// Step by step to the end: true at the end, false if it was stopped before.
    async fn work(
        &self,
        job: &mut Job,
        stopped: &mut watch::Receiver<bool>,
    ) -> Result<bool, String> {
        let mut found = Found::new();
        let mut delay = RETRY_FIRST;
        while let Some(place) = job.stretches.iter().position(|it| it.next < it.end) {
            if *stopped.borrow() {
                return Ok(false);
            }
            self.check_doubt(job).await?;
            let pause = match self.step(job, place, &mut found).await {
                Ok(letters) => {
                    delay = RETRY_FIRST;
                    match u32::try_from(job.rate) {
                        Ok(rate) if rate > 0 => Duration::from_secs(letters) / rate,
                        _ => Duration::ZERO,
                    }
                }
                Err(Trouble::Lasting(why)) => return Err(why),
                Err(Trouble::Passing(why)) => {
                    tracing::warn!(job = job.id, "a redrive waits {delay:?}: {why}");
                    delay = (delay * 2).min(RETRY_MAX);
                    delay
                }
            };
            tokio::select! {
                () = tokio::time::sleep(pause) => {}
                _ = stopped.wait_for(|stop| *stop) => {}
            }
        }
        job.in_doubt = false;
        Ok(true)
    }

    /// Copies that stand in a target and were not written down are told from the others by
    /// reading the same letters again, which must be there then.
    async fn check_doubt(&self, job: &Job) -> Result<(), String> {
        let is_taken = |stretch: &Stretch| {
            let log = self.dead_log(job, stretch.partition);
            stretch.next < stretch.end && log.is_some_and(|log| log.offsets().start > stretch.next)
        };
        if !job.in_doubt || !job.stretches.iter().any(is_taken) {
            return Ok(());
        }
        for target in self.targets() {
            let written = job.sent.get(&target).copied().unwrap_or(0);
            let Some(log) = self.target(target) else {
                continue;
            };
            let stands = standing(&*log, job).await;
            if !matches!(stands, Ok(Standing::Copies(count)) if count <= written) {
                return Err(format!(
                    "the retention of {} took letters of which a crash left open whether they \
                     are home",
                    job.topic_name
                ));
            }
        }
        Ok(())
    }

    fn targets(&self) -> Vec<Target> {
        let topics = self.0.catalog.view.topics().into_iter();
        let targets = topics.filter(|topic| !topic.internal);
        targets
            .flat_map(|topic| (0..topic.partitions).map(move |index| (topic.id, index)))
            .collect()
    }

    fn dead_log(&self, job: &Job, index: i32) -> Option<Arc<dyn Partition>> {
        self.0.engine.partition(PartitionId {
            topic: job.topic,
            index,
        })
    }

    fn target(&self, (topic, index): Target) -> Option<Arc<dyn Partition>> {
        self.0.engine.partition(PartitionId { topic, index })
    }

    /// Move some letters of one stretch, and write down how far that is. Gives how many. What was
    /// moved is known to the job also if the rest could not be.
    async fn step(&self, job: &mut Job, place: usize, found: &mut Found) -> Result<u64, Trouble> {
        let stretch = job.stretches[place];
        let (letters, next) = self.letters(job, stretch).await?;
        let mut after = job.clone();
        let mut targets: BTreeMap<Target, Vec<Record>> = BTreeMap::new();
        for record in letters {
            after.matched += 1;
            match self.home(&record) {
                _ if job.dry_run => {}
                Ok(target) => targets.entry(target).or_default().push(record),
                Err(why) => {
                    after.skipped.push((stretch.partition, record.offset));
                    after.message = Some(why);
                }
            }
        }
        if after.skipped.len() > SKIPPED_MAX {
            let why = after.message.unwrap_or_default();
            return Err(Trouble::Lasting(format!(
                "more than {SKIPPED_MAX} letters cannot go home, the last because {why}"
            )));
        }
        let mut moved = 0;
        for (target, letters) in targets {
            let sent = self.send(job, target, &letters, found).await;
            let count = letters.len().min(sent.count);
            moved += count as u64;
            let copies = job.sent.entry(target).or_default();
            *copies = copies.saturating_add_unsigned(count as u64);
            job.moved = job.moved.saturating_add_unsigned(count as u64);
            job.matched = job.matched.saturating_add_unsigned(count as u64);
            let home = letters.iter().take(count).map(|letter| letter.offset);
            job.ahead
                .extend(home.map(|offset| (stretch.partition, offset)));
            sent.outcome?;
        }
        after.moved = job.moved;
        after.sent.clone_from(&job.sent);
        after.stretches[place].next = next;
        after
            .ahead
            .retain(|(partition, offset)| *partition != stretch.partition || *offset >= next);
        *job = after;
        let written = self.0.catalog.put_redrive(job.clone(), false).await;
        written.map_err(|refusal| Trouble::Passing(format!("{refusal:?}")))?;
        Ok(moved)
    }

    /// The letters that match in one read of a stretch, and where the next begins.
    async fn letters(&self, job: &Job, stretch: Stretch) -> Result<(Vec<Record>, Offset), Trouble> {
        let gone = || Trouble::Lasting(format!("{} is gone", job.topic_name));
        let log = self.dead_log(job, stretch.partition).ok_or_else(gone)?;
        let from = stretch.next.max(log.offsets().start);
        if from >= stretch.end {
            return Ok((Vec::new(), stretch.end));
        }
        let read = log.read(ReadRequest {
            from,
            max_bytes: STEP_BYTES,
            at_least_one: true,
            bound: Bound::HighWatermark,
        });
        let Some(slice) = read.await?.records else {
            return Err(Trouble::Lasting(format!("{} was cut", job.topic_name)));
        };
        let bytes = tokio::task::spawn_blocking(move || slice.to_bytes()).await;
        let mut rest = bytes.map_err(|failed| Trouble::Passing(failed.to_string()))??;
        let earlier = self.earlier(job);
        let most = match usize::try_from(job.rate) {
            Ok(rate) if rate > 0 => rate.min(STEP_LETTERS),
            _ => STEP_LETTERS,
        };
        let (mut letters, mut next) = (Vec::new(), from);
        while !rest.is_empty() && next < stretch.end {
            let header = BatchHeader::decode(&rest)?;
            let batch = Batch::parse(rest.split_to(header.bytes.min(rest.len())), usize::MAX)?;
            let behind = Offset::new(header.base_offset);
            let behind = behind.plus(i64::from(header.last_offset_delta) + 1);
            if !header.is_control() {
                for record in records(&batch)? {
                    let record = record?;
                    if record.offset < next || record.offset >= stretch.end {
                        continue;
                    }
                    if letters.len() >= most {
                        return Ok((letters, record.offset));
                    }
                    let is_home = job.ahead.contains(&(stretch.partition, record.offset))
                        || earlier
                            .iter()
                            .any(|other| letter::took(other, stretch.partition, &record));
                    if !is_home && letter::matches(job, &record) {
                        letters.push(record);
                    }
                }
            }
            next = next.max(behind.min(stretch.end));
        }
        Ok((letters, next))
    }

    /// Other jobs that may have brought letters of the same topic home.
    fn earlier(&self, job: &Job) -> Vec<Arc<Job>> {
        let mut jobs = self.0.catalog.view.redrives();
        jobs.retain(|other| other.id != job.id && other.topic == job.topic && !other.dry_run);
        jobs
    }

    /// Where a letter belongs, or why it cannot go there.
    fn home(&self, record: &Record) -> Result<Target, String> {
        let (name, index) = letter::origin(record)?;
        let topic = self.0.catalog.view.topic(&name);
        let topic = topic.ok_or_else(|| format!("the topic {name} does not exist"))?;
        match topic.partition(index) {
            Some(_) if !topic.internal => Ok((topic.id, index)),
            _ => Err(format!("the topic {name} has no partition {index}")),
        }
    }

    /// Have letters stand in their topic, except those that stand there already. Tells how many
    /// stand then, from the first on, also if not all do.
    async fn send(&self, job: &Job, target: Target, letters: &[Record], found: &mut Found) -> Sent {
        let Some(log) = self.target(target) else {
            return Sent::none(Trouble::Passing("a topic is not open".into()));
        };
        let first = job.sent.get(&target).copied().unwrap_or(0);
        let there = match self.doubtful(&*log, job, target, found).await {
            Ok(stands) => usize::try_from(stands - first).unwrap_or(0),
            Err(trouble) => return Sent::none(trouble),
        };
        let left = letters.get(there..).unwrap_or_default();
        let outcome = self.copy(&*log, job, first, there, left).await;
        if outcome.is_ok() {
            let count = letters.len();
            return Sent { count, outcome };
        }
        // Some may stand: the log knows, as they are its last.
        match standing(&*log, job).await {
            Ok(Standing::Copies(stands)) => Sent {
                count: usize::try_from(stands - first).unwrap_or(0),
                outcome,
            },
            _ => Sent {
                count: there,
                outcome,
            },
        }
    }

    /// How many copies stand in a target: what is written down, unless a crash left that open.
    async fn doubtful(
        &self,
        log: &dyn Partition,
        job: &Job,
        target: Target,
        found: &mut Found,
    ) -> Result<i64, Trouble> {
        if !job.in_doubt {
            return Ok(0);
        }
        if let Some(stands) = found.get(&target) {
            return Ok(*stands);
        }
        match standing(log, job).await? {
            Standing::Copies(stands) => {
                found.insert(target, stands);
                Ok(stands)
            }
            Standing::Unknown => Err(Trouble::Lasting(format!(
                "the server died while it was at work, and the retention of {} has taken since \
                 what tells which letters are home; begin another redrive for the rest",
                log.id()
            ))),
        }
    }

    /// Append letters behind the `there` that stand besides the `first` of earlier steps.
    async fn copy(
        &self,
        log: &dyn Partition,
        job: &Job,
        first: i64,
        there: usize,
        letters: &[Record],
    ) -> Result<(), Trouble> {
        let sequence = first.saturating_add_unsigned(there as u64);
        if sequence.saturating_add_unsigned(letters.len() as u64) > COPIES_MAX {
            let why = "it has moved 2^31 letters to one partition; begin another";
            return Err(Trouble::Lasting(why.into()));
        }
        let topic = self.0.catalog.view.topic_by_id(log.id().topic);
        let largest = topic.map_or(0, |topic| topic.settings.max_message_bytes);
        // A clock that went back must not hide copies from a search by time.
        let now_ms = self.0.clock.now().wall_ms.max(job.started_ms);
        let mut copies = letter::Copies::new(job.producer_id, sequence, now_ms);
        for record in letters {
            if let Some(batch) = copies.put(record, largest.min(STEP_BYTES)) {
                append(log, &batch, now_ms).await?;
            }
        }
        if let Some(batch) = copies.take() {
            append(log, &batch, now_ms).await?;
        }
        Ok(())
    }
}

/// How many copies stand in each target, of those that were looked at since the start.
type Found = HashMap<Target, i64>;

/// What came of sending letters to one target.
struct Sent {
    /// How many of them stand there, from the first on.
    count: usize,
    outcome: Result<(), Trouble>,
}

impl Sent {
    fn none(trouble: Trouble) -> Self {
        Self {
            count: 0,
            outcome: Err(trouble),
        }
    }
}

async fn append(log: &dyn Partition, batch: &Batch, now_ms: i64) -> Result<(), Trouble> {
    log.append(batch, Origin::Coordinator, Durability::Synced, now_ms)
        .await?;
    Ok(())
}

#[cfg(test)]
mod tests;
