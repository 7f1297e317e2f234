//! What exactly once means, as a checker of what came out.
//!
//! Workers read ids from an input and write each to two outputs, in transactions that also commit
//! how far they read. Some transactions are aborted on purpose, after everything in them was
//! sent, and their ids are done again. Each output record says `ID ATTEMPT FATE`: the attempt
//! names one transaction of one life of one worker, the fate is `keep`, or `drop` where the abort
//! was intended.
//!
//! Three readings are held against the input and against each other: all committed records at the
//! end, all records at the end, and what a reader of committed records saw while it all went on.
//! The names of the anomalies are those of Jepsen's workload for Kafka, where it has one.

use std::collections::{BTreeMap, BTreeSet};

#[cfg(test)]
mod tests;

/// How many outputs each transaction writes to.
pub const OUTPUTS: usize = 2;

/// An output's record.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Seen {
    /// Which of the outputs, from 0.
    pub output: usize,
    /// Its partition.
    pub partition: i32,
    /// Its offset.
    pub offset: i64,
    /// The id, from 0.
    pub id: u64,
    /// The transaction that wrote it.
    pub attempt: String,
    /// Its transaction was to be aborted.
    pub doomed: bool,
}

impl Seen {
    /// The record of this value; `None` if it is not one of ours.
    #[must_use]
    pub fn parse(output: usize, partition: i32, offset: i64, value: &str) -> Option<Self> {
        let mut words = value.split(' ');
        let id = words.next()?.parse().ok()?;
        let attempt = words.next()?.to_owned();
        let doomed = match words.next()? {
            "keep" => false,
            "drop" => true,
            _ => return None,
        };
        Some(Self {
            output,
            partition,
            offset,
            id,
            attempt,
            doomed,
        })
    }

    /// The value of a record.
    #[must_use]
    pub fn value(id: u64, attempt: &str, doomed: bool) -> String {
        let fate = if doomed { "drop" } else { "keep" };
        format!("{id} {attempt} {fate}")
    }
}

/// All that was read of the outputs.
#[derive(Debug, Clone, Default)]
pub struct Readings {
    /// How many ids the input has: those from 0 up to this.
    pub ids: u64,
    /// All committed records, at the end.
    pub committed: Vec<Seen>,
    /// All records, at the end.
    pub everything: Vec<Seen>,
    /// What a reader of committed records saw on the way.
    pub live: Vec<Seen>,
}

/// What must not be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Anomaly {
    /// An id of the input is not in this output.
    Lost {
        /// The id.
        id: u64,
        /// The output.
        output: usize,
    },
    /// An id is in this output more than once.
    Doubled {
        /// The id.
        id: u64,
        /// The output.
        output: usize,
    },
    /// An id that nobody put in.
    Phantom(Seen),
    /// Some of a transaction's records are committed and some are not.
    Torn {
        /// The transaction.
        attempt: String,
    },
    /// A record of a transaction that its worker aborted is committed (G1a).
    AbortedButSeen(Seen),
    /// A reader of committed records saw one that is not committed at the end.
    Precommitted(Seen),
    /// A committed record is not among all: they were not read to their end, where torn
    /// transactions may be.
    Unread(Seen),
    /// No record was aborted: the run shows nothing.
    NothingAborted,
    /// The reader on the way saw nothing: the run does not show what it could have.
    NothingSeenOnTheWay,
}

/// What is wrong with what was read; empty if nothing is.
#[must_use]
pub fn check(readings: &Readings) -> Vec<Anomaly> {
    let mut found = Vec::new();
    counts(readings, &mut found);
    wholeness(readings, &mut found);
    let committed: BTreeSet<&Seen> = readings.committed.iter().collect();
    for seen in &readings.committed {
        if seen.id >= readings.ids {
            found.push(Anomaly::Phantom(seen.clone()));
        }
        if seen.doomed {
            found.push(Anomaly::AbortedButSeen(seen.clone()));
        }
    }
    let early = readings
        .live
        .iter()
        .filter(|seen| !committed.contains(seen));
    found.extend(early.cloned().map(Anomaly::Precommitted));
    let everything: BTreeSet<&Seen> = readings.everything.iter().collect();
    let unread = committed.difference(&everything).copied();
    found.extend(unread.cloned().map(Anomaly::Unread));
    if readings.everything.len() <= readings.committed.len() {
        found.push(Anomaly::NothingAborted);
    }
    if readings.live.is_empty() {
        found.push(Anomaly::NothingSeenOnTheWay);
    }
    found
}

fn counts(readings: &Readings, found: &mut Vec<Anomaly>) {
    let mut counts: BTreeMap<(u64, usize), usize> = BTreeMap::new();
    for seen in &readings.committed {
        *counts.entry((seen.id, seen.output)).or_default() += 1;
    }
    for id in 0..readings.ids {
        for output in 0..OUTPUTS {
            match counts.get(&(id, output)) {
                None => found.push(Anomaly::Lost { id, output }),
                Some(1) => {}
                Some(_) => found.push(Anomaly::Doubled { id, output }),
            }
        }
    }
}

/// A transaction is committed with all its records, in all outputs, or with none; and what is
/// committed has the same ids in each output.
fn wholeness(readings: &Readings, found: &mut Vec<Anomaly>) {
    let mut committed: BTreeMap<&str, [BTreeSet<u64>; OUTPUTS]> = BTreeMap::new();
    for seen in readings
        .committed
        .iter()
        .filter(|seen| seen.output < OUTPUTS)
    {
        let ids = committed.entry(&seen.attempt).or_default();
        ids[seen.output].insert(seen.id);
    }
    let all: BTreeSet<&Seen> = readings.committed.iter().collect();
    let mut torn: BTreeSet<&str> = BTreeSet::new();
    for seen in &readings.everything {
        if committed.contains_key(&*seen.attempt) && !all.contains(seen) {
            torn.insert(&seen.attempt);
        }
    }
    let uneven = committed.iter().filter(|(_, ids)| ids[0] != ids[1]);
    torn.extend(uneven.map(|(attempt, _)| *attempt));
    found.extend(torn.into_iter().map(|attempt| Anomaly::Torn {
        attempt: attempt.to_owned(),
    }));
}
