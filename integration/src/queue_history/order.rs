//! One lease at a time, counted, and words that are taken from its holder alone.

use std::collections::BTreeSet;

use super::leases::{Lease, Record, Told};
use super::{Kind, Op, Place, Report, Said, Word};

/// INVALID_RECORD_STATE: the member does not lease all that it speaks of.
const INVALID_RECORD_STATE: i16 = 121;

pub(super) fn check(told: &Told<'_>, report: &mut Report) {
    for (&place, record) in &told.records {
        limits(told, place, record, report);
        follow(told, place, record, report);
        foreign_words(told, place, record, report);
    }
    false_refusals(told, report);
}

fn limits(told: &Told<'_>, place: Place, record: &Record, report: &mut Report) {
    let limit = told.history.terms.limit;
    for lease in &record.leases {
        if !(1..=limit).contains(&lease.count) {
            let detail = format!("delivery {} of {limit}", lease.count);
            report.add(Kind::OverLimit, place, detail);
        }
    }
}

/// Each lease against the one before it.
fn follow(told: &Told<'_>, place: Place, record: &Record, report: &mut Report) {
    let mut before: Option<&Lease> = None;
    for lease in &record.leases {
        let (count, from_us) = match before {
            None => (0, 0),
            Some(before) => {
                pair(place, record, before, lease, report);
                (before.count, before.span.begin_us)
            }
        };
        let skipped = i64::from(lease.count) - i64::from(count) - 1;
        let lost = told.lost_between(from_us, lease.span.end_us);
        if usize::try_from(skipped).is_ok_and(|skipped| skipped > lost) {
            let detail = format!(
                "delivery {} follows {count}, and {lost} answers were lost between them",
                lease.count
            );
            report.add(Kind::CountSkipped, place, detail);
        }
        before = Some(lease);
    }
}

fn pair(place: Place, record: &Record, before: &Lease, lease: &Lease, report: &mut Report) {
    let told = |what: &str| {
        format!(
            "{what}: member {} had delivery {} ({:?}), member {} delivery {} ({:?})",
            before.member, before.count, before.span, lease.member, lease.count, lease.span
        )
    };
    if before.life == lease.life {
        // In the order of counts, so equal ones stand together.
        if lease.count == before.count {
            report.add(
                Kind::CountRepeated,
                place,
                told("in one life of the server"),
            );
        } else if lease.span.end_us < before.span.begin_us {
            report.add(
                Kind::CountRepeated,
                place,
                told("the higher count came first"),
            );
        }
        if lease.span.end_us < before.stands_us() {
            let detail = format!("the first stood until {} us", before.stands_us());
            report.add(Kind::DoubleLease, place, told(&detail));
        }
        return;
    }
    let is_known = |(spoken, of): (&super::leases::Spoken, &Lease)| {
        of == before && spoken.word == Word::Release && spoken.surely_ends(of)
    };
    let least = before.count + i16::from(record.spoken().any(is_known));
    if lease.count < least {
        let detail = format!("after the server's death at least {least} was due");
        report.add(Kind::CountRepeated, place, told(&detail));
    }
}

/// A word that was taken although another member surely had the lease.
fn foreign_words(told: &Told<'_>, place: Place, record: &Record, report: &mut Report) {
    let (cut_us, _) = told.cut(place);
    for (spoken, theirs) in record.spoken() {
        if spoken.said != Said::Held || cut_us < spoken.span.end_us {
            continue;
        }
        let had = record.leases.iter().find(|lease| {
            lease.life == theirs.life
                && lease.count > theirs.count
                && lease.member != spoken.member
                && lease.span.end_us < spoken.span.begin_us
                && spoken.span.end_us < lease.stands_us()
        });
        if let Some(had) = had {
            let detail = format!(
                "{:?} of member {} was taken while member {} had delivery {}",
                spoken.word, spoken.member, had.member, had.count
            );
            report.add(Kind::ForeignAck, place, detail);
        }
    }
}

/// Refused although all that the member spoke of was surely leased to it.
fn false_refusals(told: &Told<'_>, report: &mut Report) {
    for op in &told.history.ops {
        let Op::Ack {
            member,
            partition,
            words,
            span,
            said: Said::Refused(INVALID_RECORD_STATE),
        } = op
        else {
            continue;
        };
        let offsets: BTreeSet<i64> = words.iter().map(|(offset, _)| *offset).collect();
        let stands = |offset: &i64| {
            let place = told.place(*partition, *offset, span.begin_us);
            let leases = told.records.get(&place).map(|record| &record.leases);
            let theirs = leases
                .into_iter()
                .flatten()
                .rfind(|lease| lease.member == *member && lease.span.begin_us < span.begin_us);
            theirs.is_some_and(|lease| span.end_us < lease.stands_us())
                && told.cut(place).0 > span.end_us
        };
        if let Some(first) = offsets.first()
            && offsets.iter().all(stands)
        {
            let detail = format!("member {member} leased all of {offsets:?}, {span:?}");
            report.add(Kind::FalseRefusal, (*partition, *first, 0), detail);
        }
    }
}
