//! Looks over a stopped data directory: every batch, index, checkpoint and small file; and, if
//! asked, cuts what is damaged, which the server itself never does (DC6).
//!
//! What is cut goes to `.cut` files beside the log. Whoever calls holds the directory's lock.

mod log;

use std::collections::HashMap;
use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use bytes::Bytes;

use crate::disk::Disk;
use crate::local::boot::{self, BOOT, CHECKPOINT, CLEAN, FAILED};
use crate::local::checkpoint::{self, Checkpoint, Section};
use crate::local::journal::Journal;
use crate::local::{cut, files, io};
use crate::{PartitionId, StorageError};

/// How bad a finding is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Severity {
    /// The next start deals with it by itself, and loses nothing that was promised.
    Note,
    /// Something that was stored is not what it was.
    Damage,
}

/// Something that is not as it should be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    /// The file or directory.
    pub path: PathBuf,
    /// How bad.
    pub severity: Severity,
    /// What is wrong.
    pub what: String,
    /// What was done about it.
    pub done: Option<String>,
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.path.display(), self.what)?;
        if let Some(done) = &self.done {
            write!(f, " ({done})")?;
        }
        Ok(())
    }
}

/// What was looked at, and what was found.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Report {
    /// Logs.
    pub partitions: u64,
    /// Segments of all logs.
    pub segments: u64,
    /// Batches whose CRC fits.
    pub batches: u64,
    /// Their bytes.
    pub bytes: u64,
    /// Whether the last run ended as it should.
    pub is_clean: bool,
    /// What is not as it should be.
    pub findings: Vec<Finding>,
}

impl Report {
    /// Whether nothing is damaged, or everything that was has been repaired.
    #[must_use]
    pub fn is_healthy(&self) -> bool {
        self.findings
            .iter()
            .all(|finding| finding.severity == Severity::Note || finding.done.is_some())
    }

    fn add(&mut self, path: &Path, severity: Severity, what: impl Into<String>) {
        self.findings.push(Finding {
            path: path.to_owned(),
            severity,
            what: what.into(),
            done: None,
        });
    }

    /// Say what was done about the last finding.
    fn done(&mut self, done: impl Into<String>) {
        if let Some(last) = self.findings.last_mut() {
            last.done = Some(done.into());
        }
    }
}

/// Look over the data directory at `root`; with `repair`, cut what is damaged.
///
/// # Errors
/// Any failure to read, or with `repair` to write. What is damaged is no error but a finding.
pub fn check(disk: &Arc<dyn Disk>, root: &Path, repair: bool) -> Result<Report, StorageError> {
    let mut doctor = Doctor {
        disk: &**disk,
        root,
        repair,
        report: Report::default(),
        sections: HashMap::new(),
        is_changed: false,
    };
    doctor.check_journal(disk)?;
    doctor.check_engine_files()?;
    let topics = root.join("topics");
    let mut dirs = match disk.list(&topics) {
        Ok(entries) => entries,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Vec::new(),
        Err(error) => return Err(io(error)),
    };
    dirs.sort_by(|a, b| a.name.cmp(&b.name));
    for entry in dirs {
        let dir = topics.join(&entry.name);
        match entry.name.parse::<PartitionId>() {
            Ok(id) if entry.is_dir => doctor.check_log(id, &dir)?,
            _ => doctor
                .report
                .add(&dir, Severity::Note, "not a log's directory: left alone"),
        }
    }
    doctor.check_missing(&topics)?;
    doctor.finish()?;
    Ok(doctor.report)
}

struct Doctor<'a> {
    disk: &'a dyn Disk,
    root: &'a Path,
    repair: bool,
    report: Report,
    /// The checkpoint's sections that are believed.
    sections: HashMap<PartitionId, Section>,
    /// Whether the checkpoint must be written again.
    is_changed: bool,
}

impl Doctor<'_> {
    /// A journal holds bytes that segments may lack: they are put there first.
    fn check_journal(&mut self, disk: &Arc<dyn Disk>) -> Result<(), StorageError> {
        let dir = self.root.join("journal");
        let is_empty = match self.disk.list(&dir) {
            Ok(entries) => entries.is_empty(),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => true,
            Err(error) => return Err(io(error)),
        };
        if is_empty {
            return Ok(());
        }
        self.report.add(
            &dir,
            Severity::Note,
            "bytes that were synced here alone; segments may seem torn until they are copied",
        );
        if self.repair {
            Journal::open(Arc::clone(disk), self.root, &self.root.join("topics")).map_err(io)?;
            self.report.done("copied into the segments");
        }
        Ok(())
    }

    fn check_engine_files(&mut self) -> Result<(), StorageError> {
        let read = |name: &str| files::read(self.disk, &self.root.join(name)).map_err(io);
        let (boot, clean) = (read(BOOT)?, read(CLEAN)?);
        let (checkpoint, failed) = (read(CHECKPOINT)?, read(FAILED)?);
        self.report.is_clean = boot::is_clean(clean.as_ref(), checkpoint.as_ref());
        if clean.is_some() && !self.report.is_clean {
            self.note_unusable(CLEAN, "does not fit the checkpoint")?;
        }
        if let Some(Err(why)) = boot.as_ref().map(boot::decode) {
            self.note_unusable(BOOT, why)?;
        }
        if failed.is_some() {
            let path = self.root.join(FAILED);
            self.report
                .add(&path, Severity::Note, "a disk failure ended a run");
        }
        match checkpoint.as_ref().map(checkpoint::sections) {
            None => {}
            Some(Err(why)) => self.note_unusable(CHECKPOINT, why)?,
            Some(Ok(found)) => self.take_sections(&found, checkpoint.as_ref()),
        }
        Ok(())
    }

    fn take_sections(&mut self, found: &HashMap<PartitionId, Bytes>, file: Option<&Bytes>) {
        for (id, body) in found {
            if let Some(section) = Section::decode(body) {
                self.sections.insert(*id, section);
            }
        }
        let mut again = Checkpoint::new();
        for body in found.values() {
            again.add_raw(body);
        }
        let is_whole = file.is_some_and(|file| file.len() == again.into_bytes().len());
        if !is_whole || self.sections.len() != found.len() {
            let path = self.root.join(CHECKPOINT);
            let what = "some sections are damaged: their logs are scanned at the next start";
            self.report.add(&path, Severity::Note, what);
            if self.repair {
                self.is_changed = true;
                self.report.done("left out");
            }
        }
    }

    fn note_unusable(&mut self, name: &str, why: &str) -> Result<(), StorageError> {
        let path = self.root.join(name);
        self.report
            .add(&path, Severity::Note, format!("unusable: {why}"));
        if self.repair {
            cut::remove(self.disk, &path)?;
            self.report.done("removed");
        }
        Ok(())
    }

    /// Logs that the checkpoint knows and the disk does not have.
    fn check_missing(&mut self, topics: &Path) -> Result<(), StorageError> {
        let mut missing = Vec::new();
        for (id, section) in &self.sections {
            let dir = topics.join(id.to_string());
            let was_there = section.end.offset > section.start;
            match self.disk.list(&dir) {
                Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
                    if was_there {
                        missing.push((*id, dir));
                    }
                }
                Err(error) => return Err(io(error)),
                Ok(_) => {}
            }
        }
        missing.sort();
        for (id, dir) in missing {
            let what = "the log's directory is missing (its topic may have been deleted)";
            self.report.add(&dir, Severity::Damage, what);
            if self.repair {
                self.distrust(id);
                self.report.done("the checkpoint no longer tells of it");
            }
        }
        Ok(())
    }

    /// The log changed: what the checkpoint tells of it no longer holds.
    fn distrust(&mut self, id: PartitionId) {
        self.sections.remove(&id);
        self.is_changed = true;
    }

    /// Write the checkpoint again if it changed. The next start counts as one after a crash.
    fn finish(&mut self) -> Result<(), StorageError> {
        if !self.repair || !self.is_changed {
            return Ok(());
        }
        cut::remove(self.disk, &self.root.join(CLEAN))?;
        let mut checkpoint = Checkpoint::new();
        for section in self.sections.values() {
            checkpoint.add(section);
        }
        let path = self.root.join(CHECKPOINT);
        files::replace(self.disk, &path, &checkpoint.into_bytes()).map_err(io)
    }
}

#[cfg(test)]
mod tests;
