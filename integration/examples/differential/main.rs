//! Asks two servers the same and prints where their answers differ.
//!
//! `differential kafka=HOST:PORT ratel=HOST:PORT [all] [NAME...]` runs the scenarios whose name
//! contains one of the names, or all of them, each against both servers at the same time. `all`
//! prints every step and every difference, also those that are on purpose. Ends with 1 if a
//! difference is found that `expected.txt` does not name, or if that file names one that is not
//! there. A scenario with an unexplained difference is run a second time by itself: what comes in
//! one of the two runs only is told as `UNSTEADY`, and counted, but is no difference.
//!
//! `random=SEED,COUNT` runs so many random requests instead, in scenarios that follow from the
//! seed; what is different on purpose then is in `expected_random.txt`.
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
mod runner;
mod share_fetch;
mod tables;
mod worker;
mod world;

use std::net::SocketAddr;
use std::process::ExitCode;
use std::sync::Arc;

use ratel_integration::differential::random::Versions;
use ratel_integration::differential::{Expected, random};

use crate::runner::{Counts, Job, Runner, Task, judge, judge_again, shown};
use crate::worker::Worker;
use crate::world::{Carrier, Family, World};

const EXPECTED: &str = include_str!("expected.txt");
const EXPECTED_RANDOM: &str = include_str!("expected_random.txt");
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
    /// The seed and the number of random requests.
    random: Option<(u64, u64)>,
    names: Vec<String>,
}

impl Arguments {
    fn are_for(&self, name: &str) -> bool {
        self.names.is_empty() || self.names.iter().any(|wanted| name.contains(wanted))
    }
}

fn arguments() -> Result<Arguments, String> {
    let (mut kafka, mut ratel, mut names) = (None, None, Vec::new());
    let (mut shows_all, mut random) = (false, None);
    for argument in std::env::args().skip(1) {
        let address = |text: &str| {
            text.parse()
                .map_err(|_| format!("{argument}: an address is like 127.0.0.1:9092"))
        };
        if let Some(text) = argument.strip_prefix("kafka=") {
            kafka = Some(address(text)?);
        } else if let Some(text) = argument.strip_prefix("ratel=") {
            ratel = Some(address(text)?);
        } else if let Some(text) = argument.strip_prefix("random=") {
            let numbers = text
                .split_once(',')
                .and_then(|(seed, count)| Some((seed.parse().ok()?, count.parse().ok()?)));
            random = Some(numbers.ok_or_else(|| {
                format!("{argument}: give a seed and how many requests, like random=1,2000")
            })?);
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
            random,
            names,
        }),
        _ => Err("give kafka=HOST:PORT and ratel=HOST:PORT".to_owned()),
    }
}

/// Each scenario at each version.
fn written_tasks() -> Result<Vec<Task>, String> {
    let mut tasks = Vec::new();
    for family in families() {
        for (scenario, version) in family.scenarios() {
            tasks.push(Task {
                name: format!("{}/v{version}/{}", family.name, scenario.name),
                job: Job::Code(scenario),
                version,
                carrier: family.carrier,
            });
        }
    }
    for script in tables::scripts()? {
        for version in &script.versions {
            let name = format!("{}/v{version}/{}", script.api, script.name);
            tasks.push(Task::of_table(name, script.clone(), *version));
        }
    }
    Ok(tasks)
}

fn random_tasks((seed, count): (u64, u64), versions: &Versions) -> Vec<Task> {
    let scripts = random::scripts(seed, count, versions).into_iter();
    let tasks = scripts.map(|script| {
        let name = format!("random/v0/{}", script.name);
        Task::of_table(name, Arc::new(script), 0)
    });
    tasks.collect()
}

/// Whether all that a job asks for is there.
fn is_there(job: &Job, shown: &Versions) -> bool {
    match job {
        Job::Code(_) => true,
        Job::Table(script) => {
            let mut asked = tables::apis(script).into_iter();
            asked.all(|key| shown.contains_key(&(key as i16)))
        }
    }
}

/// A run that asks nothing proves nothing.
fn nothing_runs(arguments: &Arguments, left_out: &[String]) -> String {
    let names = arguments.names.join(" ");
    match left_out.iter().find(|name| arguments.are_for(name)) {
        Some(name) => format!("ratel shows no API that is asked for, such as that of {name}"),
        None if left_out.is_empty() => "random=SEED,COUNT: COUNT is above 0".to_owned(),
        None => format!(
            "no scenario has one of \"{names}\" in its name, which is like {}",
            left_out[0]
        ),
    }
}

/// Wait until both servers have what they make when they are first asked.
async fn wake(arguments: &Arguments) {
    for addr in [arguments.kafka, arguments.ratel] {
        let unique = format!("d{}-", std::process::id());
        let mut world = World::new(addr, &unique, 1, Carrier::Fetch);
        world.wake().await;
        let mut worker = Worker::with_records(&mut world, &[1]).await;
        worker.open_for_records(&world).await;
    }
}

#[allow(clippy::print_stdout, reason = "the result is this program's output")]
async fn run(arguments: Arguments) -> Result<bool, String> {
    wake(&arguments).await;
    let versions = shown(arguments.ratel).await;
    let (tasks, list) = match arguments.random {
        None => (written_tasks()?, EXPECTED),
        Some(random) => (random_tasks(random, &versions), EXPECTED_RANDOM),
    };
    let mut expected = Expected::read(list, EXPLAINED)?;
    let mut runner = Runner::new(arguments.kafka, arguments.ratel);
    let (mut counts, mut left_out, mut pairs) = (Counts::default(), Vec::new(), Vec::new());
    for task in tasks {
        if !arguments.are_for(&task.name) {
            left_out.push(task.name);
        } else if is_there(&task.job, &versions) {
            pairs.push(runner.begin(task));
        } else {
            println!("NOT THERE {}", task.name);
            left_out.push(task.name);
        }
    }
    if pairs.is_empty() {
        return Err(nothing_runs(&arguments, &left_out));
    }
    let mut again = Vec::new();
    for pair in pairs {
        let task = pair.task.clone();
        let found = judge(pair, arguments.shows_all, &mut expected, &mut counts).await?;
        if !found.is_empty() {
            again.push((task, found));
        }
    }
    for (task, found) in again {
        judge_again(&mut runner, task, found, &mut expected, &mut counts).await?;
    }
    for (times, line) in expected.met() {
        println!("on purpose, {times} times: {line}");
    }
    let mut is_good = counts.unexplained == 0;
    // Chance need not meet what is rare.
    if arguments.random.is_none() {
        for line in expected.stale(&left_out) {
            println!("NO LONGER SO: expected.txt, {line}");
            is_good = false;
        }
    }
    println!("{counts}");
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
