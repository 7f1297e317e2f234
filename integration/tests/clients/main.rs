//! One story, told to one server by every client: librdkafka through rdkafka, and those of other
//! languages, each a program of its own beside this file.
//!
//! The story: create a topic, produce keyed records with headers under each codec the client has,
//! read all of them (exact count, order within a key, headers, no offset left out), produce
//! idempotently, rebalance a group of two, commit and resume, list offsets by time, describe and
//! alter and delete. Clients that know share groups tell of the queue too: each record to one
//! worker, accept and release and reject and renew, leases that run out, workers that close or
//! are killed. `scripts/clients.sh` installs each client at a pinned version and runs it; it
//! tells the same story to any server, Apache Kafka included, which is how the programs
//! themselves are known to be right. `java-share` tells another: a queue's, through the Java
//! client's share consumer, `java-transactions` one of transactions, `java-consumer` that of a
//! group in the protocol of KIP-848, and `java-migration` that of groups that are
//! rolled to it and back. `confluent-migration` tells the latter with librdkafka's members; it is
//! no part of this list, `scripts/clients.sh run confluent-migration HOST:PORT` runs it.
//!
//! `cargo test --test clients -- kcat java` runs only these two. A client whose language is not
//! on this machine fails in CI and is skipped elsewhere.

#![allow(
    clippy::print_stdout,
    reason = "this file is a test program of its own and prints its table"
)]

mod rdkafka_story;

use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode, Stdio};
use std::time::{Duration, Instant};

use ratel_integration::ServerProcess;

/// How long one client may take, its installation included.
const CLIENT_TIMEOUT: Duration = Duration::from_secs(420);
/// How `scripts/clients.sh` ends when a language is not on this machine.
const LACKS_MEANS: i32 = 77;

const PROGRAMS: &[&str] = &[
    "kcat",
    "confluent-kafka",
    "kafka-python",
    "aiokafka",
    "kafkajs",
    "franz-go",
    "java",
    "java-share",
    "java-transactions",
    "java-consumer",
    "java-migration",
    "tools-topics",
    "tools-groups",
    "tools-cluster",
    "tools-configs",
    "tools-local",
    "tools-transactions",
    "consoles",
];

enum Verdict {
    Passed,
    Failed(String),
    Skipped,
}

struct Row {
    client: String,
    checks: usize,
    seconds: f64,
    verdict: Verdict,
}

fn main() -> ExitCode {
    if let Ok(servers) = std::env::var(rdkafka_story::SERVERS) {
        rdkafka_story::tell(&servers);
        return ExitCode::SUCCESS;
    }
    let wanted: Vec<String> = std::env::args()
        .skip(1)
        .filter(|arg| !arg.starts_with('-'))
        .collect();
    let is_wanted = |name: &str| wanted.is_empty() || wanted.iter().any(|word| word == name);
    let folder = tempfile::tempdir().expect("a temporary directory can be made");
    let settings = [
        ("group.initial.rebalance.delay.ms", "0"),
        (
            "transaction.abort.timed.out.transaction.cleanup.interval.ms",
            "500",
        ),
    ];
    let mut server = ServerProcess::start_with(folder.path(), &settings);
    let mut rows = Vec::new();
    if is_wanted("rdkafka") {
        rows.push(tell("rdkafka", &server, own_program));
    }
    for name in PROGRAMS.iter().filter(|name| is_wanted(name)) {
        rows.push(tell(name, &server, script));
    }
    let verdict = match server.ended() {
        None => stops_in_order(&mut server),
        Some(status) => Verdict::Failed(format!("it ended by itself: {status}\n{}", server.log())),
    };
    rows.push(Row {
        client: "the server, at the end of the story".into(),
        checks: usize::from(matches!(verdict, Verdict::Passed)),
        seconds: server.ready.as_secs_f64(),
        verdict,
    });
    print_table(&rows)
}

/// Tell the story through one client.
fn tell(name: &str, server: &ServerProcess, command: fn(&str, &ServerProcess) -> Command) -> Row {
    let began = Instant::now();
    let (checks, client, verdict) = run(name, command(name, server));
    Row {
        client,
        checks,
        seconds: began.elapsed().as_secs_f64(),
        verdict,
    }
}

fn run(name: &str, mut command: Command) -> (usize, String, Verdict) {
    let output = match command.stdin(Stdio::null()).output() {
        Ok(output) => output,
        Err(error) => return (0, name.to_owned(), Verdict::Failed(error.to_string())),
    };
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    let checks = said.lines().filter(|line| line.starts_with("ok ")).count();
    let title = said
        .lines()
        .find(|line| !line.starts_with("ok "))
        .unwrap_or(name)
        .to_owned();
    let verdict = match output.status.code() {
        Some(0) if checks > 0 => Verdict::Passed,
        Some(LACKS_MEANS) if std::env::var_os("CI").is_none() => Verdict::Skipped,
        _ => Verdict::Failed(format!(
            "{}: {}\n{said}{}",
            name,
            output.status,
            String::from_utf8_lossy(&output.stderr)
        )),
    };
    (checks, title, verdict)
}

/// The story that is compiled into this program runs as a process of its own, as the others do.
fn own_program(_name: &str, server: &ServerProcess) -> Command {
    let this = std::env::current_exe().expect("a test knows its own path");
    let mut command = bounded(&this);
    command.env(rdkafka_story::SERVERS, server.addr().to_string());
    command
}

fn script(name: &str, server: &ServerProcess) -> Command {
    let script = root().join("scripts/clients.sh");
    let mut command = bounded(&script);
    command
        .args(["run", name, &server.addr().to_string()])
        .env("DATA_DIR", server.data_dir());
    command
}

fn bounded(program: &Path) -> Command {
    let mut command = Command::new("timeout");
    command
        .arg(CLIENT_TIMEOUT.as_secs().to_string())
        .arg(program);
    command
}

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

/// After all that, the server still stops when it is asked to, and comes back.
fn stops_in_order(server: &mut ServerProcess) -> Verdict {
    let status = server.stop();
    if !status.success() {
        return Verdict::Failed(format!("it stops with {status}\n{}", server.log()));
    }
    server.restart();
    Verdict::Passed
}

fn print_table(rows: &[Row]) -> ExitCode {
    let (mut passed, mut failed, mut skipped) = (0, 0, 0);
    println!("\n{:<46} {:>6} {:>8}", "client", "checks", "seconds");
    for row in rows {
        let word = match &row.verdict {
            Verdict::Passed => "ok",
            Verdict::Failed(_) => "FAILED",
            Verdict::Skipped => "SKIPPED",
        };
        println!(
            "{:<46} {:>6} {:>8.1} {word}",
            row.client, row.checks, row.seconds
        );
        passed += row.checks;
        failed += usize::from(matches!(row.verdict, Verdict::Failed(_)));
        skipped += usize::from(matches!(row.verdict, Verdict::Skipped));
    }
    for row in rows {
        if let Verdict::Failed(why) = &row.verdict {
            println!("\n{}: {why}", row.client);
        }
    }
    println!("\nclients: {passed} passed, {failed} failed, {skipped} skipped");
    if failed == 0 {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    }
}
