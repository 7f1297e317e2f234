//! What is given up goes to the dead-letter topic, once, and nothing else does.

use std::collections::BTreeMap;

use super::leases::{Record, Spoken, Told};
use super::{Cause, Kind, Letter, Place, Report, Word};

pub(super) fn check(told: &Told<'_>, report: &mut Report) {
    let mut letters: BTreeMap<Place, Vec<&Letter>> = BTreeMap::new();
    for letter in &told.history.letters {
        letters
            .entry(origin(told, letter))
            .or_default()
            .push(letter);
    }
    let none = Record::default();
    for (&place, copies) in &letters {
        let record = told.records.get(&place).unwrap_or(&none);
        for letter in copies {
            says_the_truth(told, place, record, letter, report);
        }
        repeated(told, place, record, copies.len(), report);
    }
    for (&place, record) in &told.records {
        let is_gone = place.1 < told.start_of(place.0) || told.is_torn(place);
        let is_dead = letters.contains_key(&place);
        for (spoken, lease) in record.spoken() {
            if !spoken.surely_ends(lease) {
                continue;
            }
            let detail = format!("member {}, {:?}", spoken.member, spoken.span);
            match spoken.word {
                Word::Accept if is_dead => report.add(Kind::DeadAfterAccept, place, detail),
                Word::Reject if !is_dead && !is_gone => {
                    report.add(Kind::LostLetter, place, detail);
                }
                _ => {}
            }
        }
    }
}

/// The record that a letter was written for: of those that lay at its offset, the one it copies.
fn origin(told: &Told<'_>, letter: &Letter) -> Place {
    let (partition, offset) = (letter.partition, letter.offset);
    let last = told.place(partition, offset, u64::MAX);
    let holds = |place: &Place| {
        let record = told.records.get(place);
        let lease = record.and_then(|record| record.leases.first());
        lease.is_some_and(|lease| Some(lease.value) == letter.value)
    };
    let mut places = (0..=last.2).map(|torn| (partition, offset, torn));
    places.find(holds).unwrap_or(last)
}

/// A letter has a reason, and is a copy.
fn says_the_truth(
    told: &Told<'_>,
    place: Place,
    record: &Record,
    letter: &Letter,
    report: &mut Report,
) {
    let rejects = |(spoken, of): &(&Spoken, &super::leases::Lease)| {
        spoken.word == Word::Reject && spoken.may_hold() && of.count == letter.count
    };
    let rejected = record.spoken().find(rejects);
    let last = told.history.terms.limit;
    let reason = match letter.cause {
        Cause::Rejected => rejected.is_some(),
        Cause::Limit if letter.count == last => {
            let seen = record.leases.iter().any(|lease| lease.count == last);
            seen || told.lost_between(0, u64::MAX) > 0
        }
        // A server that died before the letter was written does not know the reason any more.
        Cause::Limit => rejected.is_some_and(|(spoken, _)| {
            let mut downs = told.downs.iter();
            downs.any(|(_, gone_us)| *gone_us >= spoken.span.begin_us)
        }),
    };
    if !reason {
        report.add(Kind::PhantomLetter, place, format!("{letter:?}"));
    }
    let value = record.leases.first().map(|lease| lease.value);
    // What the log dropped before it was copied has a letter without a copy.
    let is_bare = letter.value.is_none() && place.1 < told.start_of(place.0);
    let is_copy = letter.value.is_some() && value.is_none_or(|value| letter.value == Some(value));
    if !is_copy && !is_bare {
        let detail = format!("{letter:?} is the copy of {value:?}");
        report.add(Kind::WrongLetter, place, detail);
    }
}

/// A letter is written again only if the server died before it knew that it was written.
fn repeated(told: &Told<'_>, place: Place, record: &Record, copies: usize, report: &mut Report) {
    let first_us = record.leases.first().map_or(0, |lease| lease.span.begin_us);
    let downs = told.downs.iter();
    let deaths = downs.filter(|(_, gone_us)| *gone_us >= first_us).count();
    if copies > 1 + deaths {
        let detail = format!("{copies} letters, {deaths} deaths of the server");
        report.add(Kind::RepeatedLetter, place, detail);
    }
}
