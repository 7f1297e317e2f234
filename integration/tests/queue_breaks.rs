//! The checker of a queue's histories against servers that each break one rule on purpose: it
//! counts for nothing unless it catches every one of them, and nothing where no rule is broken.
//!
//! The machine is the real one, unchanged; what breaks the rule stands around it
//! (`queue_breaks/server.rs`).

#![allow(
    clippy::expect_used,
    clippy::panic,
    clippy::print_stderr,
    clippy::cast_possible_truncation,
    reason = "a test that cannot go on says why, and its numbers are small"
)]

#[path = "queue_breaks/server.rs"]
mod server;
#[path = "queue_breaks/world.rs"]
mod world;

use ratel_integration::queue_history::Kind;
use server::Break;

const SEEDS: u64 = 10;

#[test]
fn a_server_that_keeps_the_rules_has_a_clean_history() {
    for seed in 0..SEEDS {
        let (history, _) = world::run(seed, None);
        let found = history.check();
        let first = &found[..found.len().min(5)];
        assert!(found.is_empty(), "seed {seed}: {first:#?}");
        assert!(history.letters.len() > 20, "too little happened");
    }
}

/// In at least a quarter of the runs the server breaks the rule and is caught at it, by one of
/// these.
#[track_caller]
fn caught(broken: Break, by: &[Kind]) {
    let mut runs = 0;
    for seed in 0..SEEDS {
        let (history, broke) = world::run(seed, Some(broken));
        let found = history.check();
        let is_caught = found.iter().any(|anomaly| by.contains(&anomaly.kind));
        assert!(
            broke > 0 || found.is_empty(),
            "seed {seed}: {found:#?} although nothing was broken"
        );
        runs += u64::from(broke > 0 && is_caught);
    }
    eprintln!("{broken:?}: caught in {runs} of {SEEDS} runs");
    assert!(
        runs * 4 >= SEEDS,
        "{broken:?}: caught in {runs} of {SEEDS} runs"
    );
}

#[test]
fn what_is_accepted_is_not_delivered_again() {
    caught(Break::DeliverAfterAccept, &[Kind::DeliveredAfterEnd]);
}

#[test]
fn what_is_accepted_is_written_down() {
    caught(Break::AcceptWithoutPersisting, &[Kind::DeliveredAfterEnd]);
}

#[test]
fn what_is_released_comes_back() {
    caught(Break::LoseRelease, &[Kind::Unfinished]);
}

#[test]
fn a_delivery_counts() {
    caught(Break::ForgetCount, &[Kind::CountRepeated]);
}

#[test]
fn a_delivery_counts_once() {
    caught(Break::CountTwice, &[Kind::CountSkipped]);
}

#[test]
fn there_is_a_limit() {
    caught(Break::IgnoreLimit, &[Kind::OverLimit]);
}

#[test]
fn a_lease_is_for_one_alone() {
    caught(Break::LeaseTwice, &[Kind::DoubleLease]);
}

#[test]
fn a_lock_runs_out() {
    caught(Break::NeverExpire, &[Kind::LeftOver]);
}

#[test]
fn a_word_counts_as_long_as_the_lock_lasts() {
    caught(Break::TakeLateWord, &[Kind::ForeignAck]);
}

#[test]
fn a_holders_word_counts() {
    caught(Break::RefuseHolder, &[Kind::FalseRefusal]);
}

#[test]
fn a_letter_is_written_before_its_record_is_forgotten() {
    let by = [Kind::LostLetter, Kind::Unfinished];
    caught(Break::ArchiveBeforeLetter, &by);
}

#[test]
fn a_letter_is_written() {
    caught(Break::DropLetter, &[Kind::LostLetter]);
}

#[test]
fn a_letter_is_written_once() {
    caught(Break::LetterTwice, &[Kind::RepeatedLetter]);
}

#[test]
fn a_letter_names_its_record() {
    caught(
        Break::WrongOrigin,
        &[Kind::PhantomLetter, Kind::WrongLetter],
    );
}

#[test]
fn a_queue_begins_where_its_log_does() {
    caught(Break::KeepBelowStart, &[Kind::BelowStart]);
}

#[test]
fn a_queue_ends_where_its_log_does() {
    let by = [Kind::Undelivered, Kind::CountSkipped];
    caught(Break::KeepBeyondEnd, &by);
}
