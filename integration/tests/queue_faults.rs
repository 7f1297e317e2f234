//! A queue of the real server, whose workers are processes that accept, release, reject, renew,
//! hold leases too long, are stopped and killed, while the server is killed, stopped and started
//! again and its log is cut (QF1). What they saw is held against the rules of
//! `ratel_integration::queue_history`.
//!
//! `QF1_SECONDS` sets how long that goes on (15), `QF1_SEED` the seed, which every run prints.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::print_stderr,
    reason = "a test that cannot go on says why, and prints its seed"
)]

#[path = "queue_faults/run.rs"]
mod run;
#[path = "queue_faults/wire.rs"]
mod wire;

use ratel_integration::queue_history::{Op, QueueHistory, Said, Word};

fn setting(name: &str, default: u64) -> u64 {
    std::env::var(name).map_or(default, |value| value.parse().unwrap())
}

/// How much of everything there was: a run in which nothing happened proves nothing.
#[derive(Debug, Default)]
struct Tally {
    sent: usize,
    delivered: usize,
    again: usize,
    accepted: usize,
    released: usize,
    rejected: usize,
    renewed: usize,
    refused: usize,
    downs: usize,
    left: usize,
    letters: usize,
}

impl Tally {
    fn of(history: &QueueHistory) -> Self {
        let mut tally = Self {
            letters: history.letters.len(),
            ..Self::default()
        };
        for op in &history.ops {
            match op {
                Op::Send { .. } => tally.sent += 1,
                Op::Fetch { answer, .. } => {
                    let given = answer.iter().flatten();
                    tally.delivered += given.clone().count();
                    tally.again += given.filter(|given| given.count > 1).count();
                }
                Op::Ack {
                    words,
                    said: Said::Held,
                    ..
                } => words.iter().for_each(|(_, word)| match word {
                    Word::Accept => tally.accepted += 1,
                    Word::Release => tally.released += 1,
                    Word::Reject => tally.rejected += 1,
                    Word::Renew => tally.renewed += 1,
                }),
                Op::Ack {
                    said: Said::Refused(_),
                    ..
                } => tally.refused += 1,
                Op::Down { .. } => tally.downs += 1,
                Op::Left { .. } => tally.left += 1,
                _ => {}
            }
        }
        tally
    }

    fn is_worth_something(&self) -> bool {
        let all = [
            self.sent,
            self.delivered,
            self.again,
            self.accepted,
            self.released,
            self.rejected,
            self.renewed,
            self.refused,
            self.downs,
            self.left,
            self.letters,
        ];
        self.accepted > 300 && all.iter().all(|count| *count > 0)
    }
}

#[test]
fn qf_1_a_queue_under_kills_keeps_its_promises() {
    let (seconds, seed) = (setting("QF1_SECONDS", 15), setting("QF1_SEED", 20_261_124));
    eprintln!(
        "QF1_SEED={seed} QF1_SECONDS={seconds} cargo test -p ratel-integration --test queue_faults"
    );
    let root = tempfile::tempdir().unwrap();
    let history = run::record(root.path(), seconds, seed);
    let tally = Tally::of(&history);
    eprintln!("{tally:?}");
    let anomalies = history.check();
    if !anomalies.is_empty() {
        let kept = root.keep();
        panic!(
            "{} anomalies, the first of them: {:#?}; the journals are in {}",
            anomalies.len(),
            &anomalies[..anomalies.len().min(10)],
            kept.display()
        );
    }
    assert!(tally.is_worth_something(), "too little happened: {tally:?}");
}
