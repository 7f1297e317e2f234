//! Every record comes to an end, and stays there.

use std::collections::{HashMap, HashSet};

use super::leases::{Lease, Record, Told};
use super::{Kind, Op, Place, Report, Said, Word};
use crate::history::{Outcome, Value};

pub(super) fn check(told: &Told<'_>, report: &mut Report) {
    phantoms(told, report);
    for (&place, record) in &told.records {
        after_the_end(place, record, report);
        below_start(told, place, record, report);
    }
    unfinished(told, report);
    left_over(told, report);
}

/// A value lies where its send was told, once.
fn phantoms(told: &Told<'_>, report: &mut Report) {
    let mut sent: HashMap<Value, (i32, Option<i64>)> = HashMap::new();
    for op in &told.history.ops {
        if let Op::Send {
            partition,
            value,
            outcome,
            ..
        } = op
        {
            let offset = match outcome {
                Outcome::Acked(offset) => Some(*offset),
                Outcome::Unknown => None,
                Outcome::Failed => continue,
            };
            sent.insert(*value, (*partition, offset));
        }
    }
    for (&place, record) in &told.records {
        let (partition, offset, _) = place;
        for lease in &record.leases {
            let there = sent.get_mut(&lease.value);
            let is_there = there
                .is_some_and(|(of, at)| *of == partition && *at.get_or_insert(offset) == offset);
            if !is_there {
                let detail = format!("{} was delivered, which is not there", lease.value);
                report.add(Kind::Phantom, place, detail);
                break;
            }
        }
    }
}

/// Nothing is delivered after a confirmed word that ends the record.
fn after_the_end(place: Place, record: &Record, report: &mut Report) {
    for (spoken, theirs) in record.spoken() {
        if spoken.said != Said::Held || !matches!(spoken.word, Word::Accept | Word::Reject) {
            continue;
        }
        let stood = spoken.surely_ends(theirs);
        let is_later = |lease: &&Lease| {
            lease.span.begin_us > spoken.span.end_us
                || lease.life > theirs.life
                || (stood && lease.life == theirs.life && lease.count > theirs.count)
        };
        if let Some(later) = record.leases.iter().find(is_later) {
            let detail = format!(
                "member {} was given it ({:?}, delivery {}) after {:?} of member {} held ({:?})",
                later.member, later.span, later.count, spoken.word, spoken.member, spoken.span
            );
            return report.add(Kind::DeliveredAfterEnd, place, detail);
        }
    }
}

fn below_start(told: &Told<'_>, place: Place, record: &Record, report: &mut Report) {
    let (_, gone_us) = told.cut(place);
    if let Some(lease) = record
        .leases
        .iter()
        .find(|lease| lease.span.begin_us > gone_us)
    {
        let detail = format!("member {} was given it, {:?}", lease.member, lease.span);
        report.add(Kind::BelowStart, place, detail);
    }
}

/// Every acknowledged send is delivered, and in the end accepted or a dead letter.
fn unfinished(told: &Told<'_>, report: &mut Report) {
    let letters = told.history.letters.iter();
    let dead: HashSet<(i32, i64, Option<Value>)> = letters
        .map(|letter| (letter.partition, letter.offset, letter.value))
        .collect();
    for op in &told.history.ops {
        let Op::Send {
            partition,
            value,
            span,
            outcome: Outcome::Acked(offset),
        } = op
        else {
            continue;
        };
        let is_dead = dead.contains(&(*partition, *offset, Some(*value)));
        if *offset < told.start_of(*partition) || is_dead {
            continue;
        }
        let place = told.place(*partition, *offset, span.end_us);
        let Some(record) = told.records.get(&place) else {
            continue;
        };
        if record.leases.is_empty() {
            let detail = format!("{value} was delivered to nobody");
            report.add(Kind::Undelivered, place, detail);
            continue;
        }
        let accepts =
            |spoken: &&super::leases::Spoken| spoken.may_hold() && spoken.word == Word::Accept;
        if !record.words.iter().any(|spoken| accepts(&spoken)) {
            let last = record.leases.last().map_or(0, |lease| lease.count);
            let detail = format!("{value} ended with delivery {last}, neither done nor dead");
            report.add(Kind::Unfinished, place, detail);
        }
    }
}

fn left_over(told: &Told<'_>, report: &mut Report) {
    for (&partition, standing) in &told.history.finally {
        if standing.left != 0 || standing.start != standing.end {
            let detail = format!("{standing:?} when nobody was given more");
            report.add(Kind::LeftOver, (partition, standing.start, 0), detail);
        }
    }
}
