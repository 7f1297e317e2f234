//! The command line: one file per noun.
//!
//! Exit codes, everywhere: 0 all is well; 1 it failed, or something is wrong with what was looked
//! at; 2 the command or the configuration cannot be used as given.

mod client;
mod config;
mod doctor;
mod flags;
mod group;
mod logging;
mod output;
mod queue;
mod serve;
mod topic;

use std::fmt::Display;
use std::io::Write;
use std::process::ExitCode;

use clap::{Parser, Subcommand};

/// It failed, or something is wrong with what was looked at.
const FAILED: u8 = 1;
/// The command or the configuration cannot be used as given.
const UNUSABLE: u8 = 2;

/// A log server that speaks Kafka's protocol.
#[derive(Debug, Parser)]
#[command(name = "ratel", version, max_term_width = 100)]
#[command(after_help = "\
First steps:
  ratel serve                     start, with data in ./ratel-data
  kcat -b 127.0.0.1:9092 -L       look at it with any client of Kafka's

Exit codes: 0 all is well, 1 failed or something found, 2 cannot be used as given.")]
struct Arguments {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Debug, Subcommand)]
enum Verb {
    /// Start the server. Without any flag it is durable, keeps its data in ./ratel-data and
    /// listens on 127.0.0.1:9092
    Serve(flags::ConfigFlags),
    /// Start a server for development: data in a temporary directory that goes when it stops,
    /// groups that do not wait for more members, small segments
    Dev(flags::ConfigFlags),
    /// Look at the configuration
    #[command(subcommand)]
    Config(config::ConfigVerb),
    /// List, describe, make and remove topics
    #[command(subcommand)]
    Topic(topic::TopicVerb),
    /// List and describe groups, with how far behind they are
    #[command(subcommand)]
    Group(group::GroupVerb),
    /// List, describe, make, pause and empty queues (share groups), look into them, and bring their
    /// dead letters home
    #[command(subcommand)]
    Queue(queue::QueueVerb),
    /// Look over a stopped data directory, and cut what is damaged when asked
    Doctor(doctor::DoctorArguments),
}

/// Do what the command line says.
#[must_use]
pub fn run() -> ExitCode {
    let outcome = match Arguments::parse().verb {
        Verb::Serve(flags) => serve::serve(&flags),
        Verb::Dev(flags) => serve::dev(&flags),
        Verb::Config(verb) => config::run(&verb),
        Verb::Topic(verb) => topic::run(&verb),
        Verb::Group(verb) => group::run(&verb),
        Verb::Queue(verb) => queue::run(&verb),
        Verb::Doctor(arguments) => doctor::run(&arguments),
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            if let Some(sentence) = failure.sentence {
                complain(&sentence);
            }
            ExitCode::from(failure.code)
        }
    }
}

/// Why a command ends with an exit code other than 0.
#[derive(Debug)]
struct Failure {
    code: u8,
    /// What to tell; nothing if all was said already.
    sentence: Option<String>,
}

impl Failure {
    fn failed(why: impl Display) -> Self {
        Self {
            code: FAILED,
            sentence: Some(why.to_string()),
        }
    }

    fn unusable(why: impl Display) -> Self {
        Self {
            code: UNUSABLE,
            sentence: Some(why.to_string()),
        }
    }
}

/// One line on stderr. If nobody listens there, there is nobody to tell.
fn complain(sentence: &str) {
    let _ = writeln!(std::io::stderr(), "ratel: {}", logging::escaped(sentence));
}
