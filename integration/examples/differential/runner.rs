//! Runs scenarios on both servers at the same time, and judges what comes back.

use std::fmt;
use std::net::SocketAddr;
use std::sync::Arc;

use kafka_protocol::messages::ApiVersionsRequest;
use ratel_integration::differential::random::Versions;
use ratel_integration::differential::script::Script;
use ratel_integration::differential::{Difference, Expected, Twice, compare};
use tokio::sync::Semaphore;
use tokio::task::JoinHandle;

use crate::tables;
use crate::world::{self, Carrier, Scenario, Step, World};

/// The scenarios that run at once.
const AT_ONCE: usize = 12;

/// What runs: a function, or a table.
#[derive(Clone)]
pub enum Job {
    /// A function.
    Code(Scenario),
    /// Lines of a table.
    Table(Arc<Script>),
}

/// What is to run.
#[derive(Clone)]
pub struct Task {
    /// Its name.
    pub name: String,
    /// What runs.
    pub job: Job,
    /// The version of the scenario's API.
    pub version: i16,
    /// What brings acknowledgements.
    pub carrier: Carrier,
}

impl Task {
    /// One that stands in a table.
    pub fn of_table(name: String, script: Arc<Script>, version: i16) -> Self {
        Self {
            name,
            job: Job::Table(script),
            version,
            carrier: Carrier::Fetch,
        }
    }

    /// What a step of it asks, if it stands in a table.
    fn asks(&self, step: &str) -> Option<String> {
        match &self.job {
            Job::Code(_) => None,
            Job::Table(script) => script.asks(step),
        }
    }
}

/// The APIs that a server shows, and their versions.
pub async fn shown(addr: SocketAddr) -> Versions {
    let world = World::new(addr, "", 0, Carrier::Fetch);
    let mut client = world.connect().await;
    let answer = client.send(0, &ApiVersionsRequest::default()).await;
    let ranges = answer.api_keys.iter();
    ranges
        .map(|range| (range.api_key, (range.min_version, range.max_version)))
        .collect()
}

/// Begins tasks on both servers, so many at once.
pub struct Runner {
    kafka: SocketAddr,
    ratel: SocketAddr,
    room: Arc<Semaphore>,
    begun: usize,
}

/// One scenario on both servers.
pub struct Pair {
    /// What runs.
    pub task: Task,
    kafka: JoinHandle<Vec<Step>>,
    ratel: JoinHandle<Vec<Step>>,
}

impl Runner {
    /// Nothing has begun.
    pub fn new(kafka: SocketAddr, ratel: SocketAddr) -> Self {
        Self {
            kafka,
            ratel,
            room: Arc::new(Semaphore::new(AT_ONCE)),
            begun: 0,
        }
    }

    /// Begin one, once there is room.
    pub fn begin(&mut self, task: Task) -> Pair {
        // Names of topics and groups that no earlier run against the same servers had.
        let unique = format!("d{}-{}-", std::process::id(), self.begun);
        self.begun += 1;
        // Both wait for a place of their own kind, so that they run side by side.
        let place = Arc::new(tokio::sync::OnceCell::new());
        let run_on = |addr: SocketAddr| {
            let world = World::new(addr, &unique, task.version, task.carrier);
            let (room, place, job) = (self.room.clone(), place.clone(), task.job.clone());
            tokio::spawn(async move {
                let _place = place
                    .get_or_init(|| async { room.acquire_owned().await.ok() })
                    .await;
                run_job(job, world).await
            })
        };
        Pair {
            kafka: run_on(self.kafka),
            ratel: run_on(self.ratel),
            task,
        }
    }
}

/// What came of its steps; of one that cannot go on, those until then and why.
async fn run_job(job: Job, mut world: World) -> Vec<Step> {
    let steps = world.steps();
    let ran = tokio::spawn(async move {
        match job {
            Job::Code(scenario) => (scenario.run)(&mut world).await,
            Job::Table(script) => tables::run(&script, &mut world).await,
        }
    })
    .await;
    let mut steps = std::mem::take(&mut *world::lock(&steps));
    if let Err(error) = ran {
        steps.push(Step::broken(&error.to_string()));
    }
    steps
}

/// Step by step; a step that only one of them has come to is the last one.
fn differences(scenario: &str, kafka: &[Step], ratel: &[Step]) -> Vec<Difference> {
    let difference = |step: &str, path: &str, kafka: Option<String>, ratel: Option<String>| {
        let missing = || "-".to_owned();
        Difference {
            scenario: scenario.to_owned(),
            step: step.to_owned(),
            path: path.to_owned(),
            kafka: kafka.unwrap_or_else(missing),
            ratel: ratel.unwrap_or_else(missing),
        }
    };
    let mut found = Vec::new();
    for (theirs, ours) in kafka.iter().zip(ratel) {
        if theirs.name != ours.name {
            let names = (Some(theirs.shown()), Some(ours.shown()));
            found.push(difference("", "step", names.0, names.1));
            break;
        }
        for (path, kafka, ratel) in compare(&theirs.facts, &ours.facts) {
            found.push(difference(&ours.name, &path, kafka, ratel));
        }
    }
    if found.is_empty() && kafka.len() != ratel.len() {
        let last = |steps: &[Step]| steps.last().map(Step::shown);
        found.push(difference("", "last step", last(kafka), last(ratel)));
    }
    found
}

async fn outcome(pair: Pair) -> Result<(Vec<Difference>, Vec<Step>), String> {
    let kafka = pair.kafka.await.map_err(|error| error.to_string())?;
    let ratel = pair.ratel.await.map_err(|error| error.to_string())?;
    Ok((differences(&pair.task.name, &kafka, &ratel), ratel))
}

/// What has come of a run so far.
#[derive(Default)]
pub struct Counts {
    scenarios: usize,
    answers: usize,
    on_purpose: usize,
    /// Differences that nothing explains.
    pub unexplained: usize,
    unsteady: usize,
}

impl fmt::Display for Counts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            scenarios,
            answers,
            on_purpose,
            unexplained,
            unsteady,
        } = self;
        write!(
            f,
            "{scenarios} scenarios, {answers} answers: {unexplained} differences, {on_purpose} \
             more on purpose, {unsteady} unsteady"
        )
    }
}

/// Wait for a scenario's end. Gives what nothing explains.
#[allow(clippy::print_stdout, reason = "the result is this program's output")]
pub async fn judge(
    pair: Pair,
    shows_all: bool,
    expected: &mut Expected,
    counts: &mut Counts,
) -> Result<Vec<Difference>, String> {
    let name = pair.task.name.clone();
    let (differences, ours) = outcome(pair).await?;
    counts.scenarios += 1;
    counts.answers += ours.len();
    for step in ours.iter().filter(|_| shows_all) {
        println!("{name} {}", step.name);
        for (path, value) in &step.facts.0 {
            println!("    {path} = {value}");
        }
    }
    let mut unexplained = Vec::new();
    for difference in differences {
        if !expected.meets(&difference) {
            unexplained.push(difference);
            continue;
        }
        counts.on_purpose += 1;
        if shows_all {
            println!("ON PURPOSE {difference}");
        }
    }
    Ok(unexplained)
}

/// Run a scenario again, alone: what was different by chance is not a second time.
#[allow(clippy::print_stdout, reason = "the result is this program's output")]
pub async fn judge_again(
    runner: &mut Runner,
    task: Task,
    before: Vec<Difference>,
    expected: &mut Expected,
    counts: &mut Counts,
) -> Result<(), String> {
    let (mut now, _) = outcome(runner.begin(task.clone())).await?;
    now.retain(|difference| !expected.meets(difference));
    let twice = Twice::of(before, now);
    for difference in twice.unsteady {
        counts.unsteady += 1;
        println!("UNSTEADY {difference}");
    }
    for difference in twice.steady {
        counts.unexplained += 1;
        println!("DIFFERENT {difference}");
        if let Some(asked) = task.asks(&difference.step) {
            println!("    asked: {asked}");
        }
    }
    Ok(())
}
