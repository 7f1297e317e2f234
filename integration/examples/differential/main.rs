//! Asks two servers the same and prints where their answers differ.
//!
//! `differential kafka=HOST:PORT ratel=HOST:PORT [all] [NAME...]` runs the scenarios whose name
//! contains one of the names, or all of them, each against both servers at the same time. `all`
//! prints every step and not only differences. Ends with 1 if a difference is found that
//! `expected.txt` does not name, or if that file names one that is not there.
//!
//! A scenario is a script of named requests: a function, or lines of a file in `tables/`, whose
//! form `ratel_integration::differential::script` tells. One that asks for an API which ratel does
//! not show is told as `NOT THERE` and left out. A family of scenarios is one file. Every run of a
//! scenario has topics and groups of its own, so scenarios do not touch each other.

#![allow(
    clippy::panic,
    reason = "a scenario that cannot go on ends alone, and its last step says why"
)]

mod acks;
mod api_versions;
mod compaction;
mod configs;
mod groups;
mod heartbeats;
mod offsets;
mod share_fetch;
mod tables;
mod worker;
mod world;

use std::net::SocketAddr;
use std::process::ExitCode;
use std::sync::Arc;

use kafka_protocol::messages::ApiVersionsRequest;
use ratel_integration::differential::script::Script;
use ratel_integration::differential::{Difference, Expected, compare};
use tokio::sync::Semaphore;
use tokio::task::JoinHandle;

use crate::worker::Worker;
use crate::world::{Carrier, Family, Scenario, Step, World};

/// The scenarios that run at once.
const AT_ONCE: usize = 12;
const EXPECTED: &str = include_str!("expected.txt");
const EXPLAINED: &str = include_str!("../../../docs/compatibility.md");

fn families() -> Vec<Family> {
    [
        share_fetch::families(),
        acks::families(),
        heartbeats::families(),
        groups::families(),
        offsets::families(),
        configs::families(),
        api_versions::families(),
        compaction::families(),
    ]
    .concat()
}

struct Arguments {
    kafka: SocketAddr,
    ratel: SocketAddr,
    shows_all: bool,
    names: Vec<String>,
}

fn arguments() -> Result<Arguments, String> {
    let (mut kafka, mut ratel, mut shows_all, mut names) = (None, None, false, Vec::new());
    for argument in std::env::args().skip(1) {
        let address = |text: &str| {
            text.parse()
                .map_err(|_| format!("{argument}: an address is like 127.0.0.1:9092"))
        };
        if let Some(text) = argument.strip_prefix("kafka=") {
            kafka = Some(address(text)?);
        } else if let Some(text) = argument.strip_prefix("ratel=") {
            ratel = Some(address(text)?);
        } else if argument == "all" {
            shows_all = true;
        } else {
            names.push(argument);
        }
    }
    match (kafka, ratel) {
        (Some(kafka), Some(ratel)) => Ok(Arguments {
            kafka,
            ratel,
            shows_all,
            names,
        }),
        _ => Err("give kafka=HOST:PORT and ratel=HOST:PORT".to_owned()),
    }
}

/// One scenario on both servers.
struct Pair {
    name: String,
    kafka: JoinHandle<Vec<Step>>,
    ratel: JoinHandle<Vec<Step>>,
}

/// What runs: a function, or a table.
#[derive(Clone)]
enum Job {
    Code(Scenario),
    Table(Arc<Script>),
}

/// Each scenario at each version: its name, what runs, the version, what brings acknowledgements.
fn jobs() -> Result<Vec<(String, Job, i16, Carrier)>, String> {
    let mut jobs = Vec::new();
    for family in families() {
        for (scenario, version) in family.scenarios() {
            let name = format!("{}/v{version}/{}", family.name, scenario.name);
            jobs.push((name, Job::Code(scenario), version, family.carrier));
        }
    }
    for script in tables::scripts()? {
        for version in &script.versions {
            let name = format!("{}/v{version}/{}", script.api, script.name);
            jobs.push((name, Job::Table(script.clone()), *version, Carrier::Fetch));
        }
    }
    Ok(jobs)
}

/// The APIs that a server shows.
async fn shown(addr: SocketAddr) -> Vec<i16> {
    let world = World::new(addr, "", 0, Carrier::Fetch);
    let mut client = world.connect().await;
    let answer = client.send(0, &ApiVersionsRequest::default()).await;
    answer.api_keys.iter().map(|range| range.api_key).collect()
}

/// Whether all that a job asks for is there.
fn is_there(job: &Job, shown: &[i16]) -> bool {
    match job {
        Job::Code(_) => true,
        Job::Table(script) => {
            let mut asked = tables::apis(script).into_iter();
            asked.all(|key| shown.contains(&(key as i16)))
        }
    }
}

#[allow(clippy::print_stdout, reason = "the result is this program's output")]
async fn start(arguments: &Arguments) -> Result<Vec<Pair>, String> {
    let shown = shown(arguments.ratel).await;
    let room = Arc::new(Semaphore::new(AT_ONCE));
    // Names of topics and groups that no earlier run against the same servers had.
    let run = std::process::id();
    let mut pairs = Vec::new();
    for (name, job, version, carrier) in jobs()? {
        let names = &arguments.names;
        if !names.is_empty() && !names.iter().any(|wanted| name.contains(wanted)) {
            continue;
        }
        if !is_there(&job, &shown) {
            println!("NOT THERE {name}");
            continue;
        }
        let unique = format!("d{run}-{}-", pairs.len());
        let world = |addr| World::new(addr, &unique, version, carrier);
        // Both wait for a place of their own kind, so that they run side by side.
        let place = Arc::new(tokio::sync::OnceCell::new());
        let run_on = |world: World| {
            let (room, place, job) = (room.clone(), place.clone(), job.clone());
            tokio::spawn(async move {
                let _place = place
                    .get_or_init(|| async { room.acquire_owned().await.ok() })
                    .await;
                run_job(job, world).await
            })
        };
        pairs.push(Pair {
            name,
            kafka: run_on(world(arguments.kafka)),
            ratel: run_on(world(arguments.ratel)),
        });
    }
    Ok(pairs)
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
    Ok((differences(&pair.name, &kafka, &ratel), ratel))
}

#[allow(clippy::print_stdout, reason = "the result is this program's output")]
async fn run(arguments: Arguments) -> Result<bool, String> {
    let mut expected = Expected::read(EXPECTED, EXPLAINED)?;
    for addr in [arguments.kafka, arguments.ratel] {
        let unique = format!("d{}-", std::process::id());
        let mut world = World::new(addr, &unique, 1, Carrier::Fetch);
        world.wake().await;
        let mut worker = Worker::with_records(&mut world, &[1]).await;
        worker.open_for_records(&world).await;
    }
    let (mut scenarios, mut steps, mut on_purpose, mut unexplained) = (0, 0, 0, 0);
    for pair in start(&arguments).await? {
        let name = pair.name.clone();
        let (differences, ours) = outcome(pair).await?;
        scenarios += 1;
        steps += ours.len();
        if arguments.shows_all {
            for step in &ours {
                println!("{name} {}", step.name);
                for (path, value) in &step.facts.0 {
                    println!("    {path} = {value}");
                }
            }
        }
        for difference in differences {
            if expected.meets(&difference) {
                on_purpose += 1;
            } else {
                unexplained += 1;
                println!("DIFFERENT {difference}");
            }
        }
    }
    for (times, line) in expected.met() {
        println!("on purpose, {times} times: {line}");
    }
    let mut is_good = unexplained == 0;
    if arguments.names.is_empty() {
        for line in expected.unmet() {
            println!("NOT MET expected.txt {line}");
            is_good = false;
        }
    }
    println!(
        "{scenarios} scenarios, {steps} answers: {unexplained} differences, {on_purpose} more on \
         purpose"
    );
    Ok(is_good)
}

#[tokio::main]
#[allow(
    clippy::print_stderr,
    reason = "this is where a program says what is wrong"
)]
async fn main() -> ExitCode {
    // A scenario that cannot go on says so in its steps.
    std::panic::set_hook(Box::new(|_| ()));
    let result = match arguments() {
        Ok(arguments) => run(arguments).await,
        Err(error) => Err(error),
    };
    match result {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("differential: {error}");
            ExitCode::from(2)
        }
    }
}
