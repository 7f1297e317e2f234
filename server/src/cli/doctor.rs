//! `ratel doctor`: look over a stopped data directory, and cut what is damaged when asked.
//!
//! Exit codes: 0 healthy (or all damage is repaired), 1 damage is left or the directory cannot be
//! read, 2 the directory is no data directory of this server, or a server uses it.

use std::io::IsTerminal;
use std::path::PathBuf;
use std::sync::Arc;

use clap::Args;
use ratel_storage::disk::{Disk, OsDisk};
use ratel_storage::local::doctor::{Finding, Report, Severity, check};
use serde_json::json;

use super::output::{List, Output, print};
use super::{FAILED, Failure};
use crate::start::{Directory, DirectoryError};

#[derive(Debug, Args)]
#[command(after_help = "\
Nothing is changed without --repair. What --repair cuts is kept beside the log, in files ending in
.cut.

Exit codes: 0 healthy, or all damage was repaired; 1 damage is left, or the directory cannot be
read; 2 it is no data directory of this server, or a server uses it.")]
pub(super) struct DoctorArguments {
    /// The data directory
    #[arg(default_value = "ratel-data")]
    dir: PathBuf,
    /// Cut what is damaged, so that the rest can be written to again
    #[arg(long)]
    repair: bool,
    /// How to print what is found
    #[arg(long, value_enum, default_value = "table")]
    output: Output,
}

pub(super) fn run(arguments: &DoctorArguments) -> Result<(), Failure> {
    let disk: Arc<dyn Disk> = Arc::new(OsDisk::new(arguments.dir.clone()));
    let directory = Directory::new(&*disk, &arguments.dir);
    if directory.existing_identity().map_err(refusal)?.is_none() {
        return Err(refusal(DirectoryError::NoIdentity {
            dir: arguments.dir.display().to_string(),
        }));
    }
    let _lock = directory.lock().map_err(refusal)?;
    let report = check(&disk, "".as_ref(), arguments.repair)
        .map_err(|error| Failure::failed(format!("the examination broke off: {error}")))?;
    show(&report, arguments)?;
    if report.is_healthy() {
        Ok(())
    } else {
        Err(Failure {
            code: FAILED,
            sentence: None,
        })
    }
}

/// A directory that cannot be read is a failure; one that is not to be looked at is a mistake.
fn refusal(error: DirectoryError) -> Failure {
    match error {
        DirectoryError::Io { .. } | DirectoryError::Damaged { .. } => Failure::failed(error),
        DirectoryError::Locked { dir, pid } => {
            let pid = pid.map_or_else(String::new, |pid| format!(" (process {pid})"));
            Failure::unusable(format!(
                "a server uses {dir}{pid}; stop it first, then look again"
            ))
        }
        other => Failure::unusable(other),
    }
}

fn show(report: &Report, arguments: &DoctorArguments) -> Result<(), Failure> {
    if arguments.output == Output::Table {
        print(&summary(report))?;
        if report.findings.is_empty() {
            return Ok(());
        }
    }
    let mut list = List::new(&["severity", "path", "what", "done"]);
    for finding in &report.findings {
        let severity = match finding.severity {
            Severity::Note => "note",
            Severity::Damage => "damage",
        };
        list.row(vec![
            json!(severity),
            json!(finding.path.display().to_string()),
            json!(finding.what),
            json!(finding.done),
        ]);
    }
    list.print(arguments.output)?;
    if arguments.output == Output::Table && !report.is_healthy() && std::io::stdout().is_terminal()
    {
        print("\n`ratel doctor --repair` cuts what is damaged and keeps it in .cut files.\n")?;
    }
    Ok(())
}

fn summary(report: &Report) -> String {
    let is_damage = |finding: &Finding| finding.severity == Severity::Damage;
    let verdict = if !report.is_healthy() {
        "DAMAGED"
    } else if report.findings.iter().any(is_damage) {
        "repaired"
    } else if report.findings.is_empty() {
        "healthy"
    } else {
        "healthy, with remarks"
    };
    let stop = if report.is_clean {
        "clean"
    } else {
        "not clean: the next start recovers"
    };
    format!(
        "{verdict}: {} logs, {} segments, {} batches, {} bytes; last stop {stop}\n",
        report.partitions, report.segments, report.batches, report.bytes
    )
}
