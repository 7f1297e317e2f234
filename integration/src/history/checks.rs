//! One function per rule. Each looks at the whole history and is blind to the others.

use std::collections::{BTreeMap, HashMap, HashSet};

use super::{Anomaly, History, Kind, Op, Outcome, Span, Value};

type Check = fn(&History, &mut Vec<Anomaly>);
/// Begin of a send, the offset it was given, its value.
type Acked = (u64, i64, Value);
/// End of a poll and the records it gave.
type Given<'a> = (u64, &'a [(i64, Value)]);

const CHECKS: &[Check] = &[
    inconsistent_offsets,
    duplicates,
    phantoms,
    lost_writes,
    gaps,
    nonmonotonic_sends,
    realtime_order,
    polls,
    high_watermarks,
    commits,
    unseen,
];

pub(super) fn all(history: &History) -> Vec<Anomaly> {
    let mut found = Vec::new();
    for check in CHECKS {
        check(history, &mut found);
    }
    found
}

fn report(found: &mut Vec<Anomaly>, kind: Kind, partition: i32, detail: String) {
    found.push(Anomaly {
        kind,
        partition,
        detail,
    });
}

struct Send {
    producer: u32,
    partition: i32,
    value: Value,
    span: Span,
    outcome: Outcome,
}

fn sends(history: &History) -> impl Iterator<Item = Send> + '_ {
    history.ops.iter().filter_map(|op| match *op {
        Op::Send {
            producer,
            partition,
            value,
            span,
            outcome,
        } => Some(Send {
            producer,
            partition,
            value,
            span,
            outcome,
        }),
        _ => None,
    })
}

/// Everything that was ever seen at an offset, by whom it may be.
fn sightings(history: &History) -> impl Iterator<Item = (i32, i64, Value)> + '_ {
    let acked = sends(history).filter_map(|send| match send.outcome {
        Outcome::Acked(offset) if offset >= 0 => Some((send.partition, offset, send.value)),
        _ => None,
    });
    let polled = history.ops.iter().flat_map(|op| match op {
        Op::Poll {
            partition, records, ..
        } => records
            .iter()
            .map(|&(offset, value)| (*partition, offset, value))
            .collect::<Vec<_>>(),
        _ => Vec::new(),
    });
    let last = history.finally.iter().flat_map(|(&partition, records)| {
        records
            .iter()
            .map(move |&(offset, value)| (partition, offset, value))
    });
    acked.chain(polled).chain(last)
}

fn inconsistent_offsets(history: &History, found: &mut Vec<Anomaly>) {
    let mut first: HashMap<(i32, i64), Value> = HashMap::new();
    let mut told = HashSet::new();
    for (partition, offset, value) in sightings(history) {
        let there = *first.entry((partition, offset)).or_insert(value);
        if there != value && told.insert((partition, offset)) {
            let detail = format!("offset {offset} held {there} and {value}");
            report(found, Kind::InconsistentOffset, partition, detail);
        }
    }
}

fn duplicates(history: &History, found: &mut Vec<Anomaly>) {
    let mut first: HashMap<Value, (i32, i64)> = HashMap::new();
    let mut told = HashSet::new();
    for (partition, offset, value) in sightings(history) {
        let there = *first.entry(value).or_insert((partition, offset));
        if there != (partition, offset) && told.insert(value) {
            let detail = format!(
                "{value} lies at {}/{} and {partition}/{offset}",
                there.0, there.1
            );
            report(found, Kind::Duplicate, partition, detail);
        }
    }
}

fn phantoms(history: &History, found: &mut Vec<Anomaly>) {
    let possible: HashSet<Value> = sends(history)
        .filter(|send| send.outcome != Outcome::Failed)
        .map(|send| send.value)
        .collect();
    let mut told = HashSet::new();
    for (partition, offset, value) in sightings(history) {
        if !possible.contains(&value) && told.insert(value) {
            let detail = format!("{value} at offset {offset} was never sent, or refused");
            report(found, Kind::Phantom, partition, detail);
        }
    }
}

fn lost_writes(history: &History, found: &mut Vec<Anomaly>) {
    let kept: HashSet<(i32, Value)> = history
        .finally
        .iter()
        .flat_map(|(&partition, records)| records.iter().map(move |&(_, value)| (partition, value)))
        .collect();
    for send in sends(history) {
        if let Outcome::Acked(offset) = send.outcome
            && !kept.contains(&(send.partition, send.value))
        {
            let detail = format!(
                "{} was acknowledged at offset {offset} and is gone",
                send.value
            );
            report(found, Kind::LostWrite, send.partition, detail);
        }
    }
}

fn gaps(history: &History, found: &mut Vec<Anomaly>) {
    for (&partition, records) in &history.finally {
        for pair in records.windows(2) {
            if pair[1].0 != pair[0].0 + 1 {
                let detail = format!("offset {} is followed by {}", pair[0].0, pair[1].0);
                report(found, Kind::Gap, partition, detail);
            }
        }
    }
}

fn nonmonotonic_sends(history: &History, found: &mut Vec<Anomaly>) {
    let mut by_producer: BTreeMap<(u32, i32), Vec<Acked>> = BTreeMap::new();
    for send in sends(history) {
        if let Outcome::Acked(offset) = send.outcome
            && offset >= 0
        {
            let key = (send.producer, send.partition);
            by_producer
                .entry(key)
                .or_default()
                .push((send.span.begin_us, offset, send.value));
        }
    }
    for ((producer, partition), mut sent) in by_producer {
        sent.sort_by_key(|&(begin_us, ..)| begin_us);
        for pair in sent.windows(2) {
            if pair[0].0 < pair[1].0 && pair[1].1 <= pair[0].1 {
                let detail = format!(
                    "producer {producer} sent {} and then {}, which lie at {} and {}",
                    pair[0].2, pair[1].2, pair[0].1, pair[1].1
                );
                report(found, Kind::NonmonotonicSend, partition, detail);
            }
        }
    }
}

/// Sorted by begin, a send must lie above every send that was acknowledged before it began.
fn realtime_order(history: &History, found: &mut Vec<Anomaly>) {
    for (partition, acked) in acked_by_partition(history) {
        let mut by_begin: Vec<_> = acked.iter().collect();
        by_begin.sort_by_key(|(span, _)| span.begin_us);
        let mut by_end = by_begin.clone();
        by_end.sort_by_key(|(span, _)| span.end_us);
        let (mut ended, mut highest) = (0, -1);
        for (span, offset) in by_begin {
            while ended < by_end.len() && by_end[ended].0.end_us < span.begin_us {
                highest = highest.max(by_end[ended].1);
                ended += 1;
            }
            if *offset <= highest {
                let detail = format!(
                    "offset {offset} went to a send that began after {highest} was acknowledged"
                );
                report(found, Kind::RealtimeOrder, partition, detail);
            }
        }
    }
}

fn acked_by_partition(history: &History) -> BTreeMap<i32, Vec<(Span, i64)>> {
    let mut acked: BTreeMap<i32, Vec<(Span, i64)>> = BTreeMap::new();
    for send in sends(history) {
        if let Outcome::Acked(offset) = send.outcome
            && offset >= 0
        {
            acked
                .entry(send.partition)
                .or_default()
                .push((send.span, offset));
        }
    }
    acked
}

fn polls(history: &History, found: &mut Vec<Anomaly>) {
    let mut by_reader: BTreeMap<(u32, u32, i32), Vec<Given<'_>>> = BTreeMap::new();
    for op in &history.ops {
        if let Op::Poll {
            consumer,
            assignment,
            partition,
            records,
            span,
        } = op
        {
            let key = (*consumer, *assignment, *partition);
            by_reader
                .entry(key)
                .or_default()
                .push((span.end_us, records));
        }
    }
    for ((consumer, _, partition), mut given) in by_reader {
        given.sort_by_key(|&(end_us, _)| end_us);
        let offsets = given
            .iter()
            .flat_map(|(_, records)| records.iter().map(|&(at, _)| at));
        let mut last: Option<i64> = None;
        for offset in offsets {
            match last {
                Some(last) if offset <= last => {
                    let detail = format!("consumer {consumer} was given {last}, then {offset}");
                    report(found, Kind::NonmonotonicPoll, partition, detail);
                }
                Some(last) if offset > last + 1 => {
                    let detail = format!("consumer {consumer} was given {last}, then {offset}");
                    report(found, Kind::PollSkip, partition, detail);
                }
                _ => {}
            }
            last = Some(last.map_or(offset, |last| last.max(offset)));
        }
    }
}

fn high_watermarks(history: &History, found: &mut Vec<Anomaly>) {
    let acked = acked_by_partition(history);
    let mut asked: BTreeMap<i32, Vec<(Span, i64)>> = BTreeMap::new();
    for op in &history.ops {
        if let Op::HighWatermark {
            partition,
            offset,
            span,
        } = *op
        {
            asked.entry(partition).or_default().push((span, offset));
        }
    }
    for (partition, mut answers) in asked {
        answers.sort_by_key(|(span, _)| span.begin_us);
        for (index, (span, offset)) in answers.iter().enumerate() {
            let highest = acked.get(&partition).into_iter().flatten();
            let highest = highest
                .filter(|(sent, _)| sent.end_us < span.begin_us)
                .map(|&(_, at)| at);
            if let Some(highest) = highest.max()
                && *offset <= highest
            {
                let detail = format!("it was {offset} after {highest} was acknowledged");
                report(found, Kind::StaleHighWatermark, partition, detail);
            }
            let before = answers[..index]
                .iter()
                .filter(|(earlier, _)| earlier.end_us < span.begin_us);
            if let Some(before) = before.map(|&(_, at)| at).max()
                && *offset < before
            {
                let detail = format!("it was {before} and then {offset}");
                report(found, Kind::RegressedHighWatermark, partition, detail);
            }
        }
    }
}

/// A read of a committed offset must bring one that was committed, and not an older one than the
/// newest whose commit had ended before the read began.
fn commits(history: &History, found: &mut Vec<Anomaly>) {
    let mut made: BTreeMap<i32, Vec<(Span, i64)>> = BTreeMap::new();
    for op in &history.ops {
        if let Op::Commit {
            partition,
            offset,
            span,
        } = *op
        {
            made.entry(partition).or_default().push((span, offset));
        }
    }
    for op in &history.ops {
        let Op::Committed {
            partition,
            offset,
            span,
        } = *op
        else {
            continue;
        };
        let made = made.get(&partition).map_or(&[][..], Vec::as_slice);
        let newest = made
            .iter()
            .filter(|(commit, _)| commit.end_us < span.begin_us)
            .max_by_key(|(commit, _)| commit.begin_us);
        let explained = match newest {
            None => offset == -1 || made.iter().any(|&(_, at)| at == offset),
            Some((newest, _)) => made
                .iter()
                .any(|&(commit, at)| at == offset && commit.end_us >= newest.begin_us),
        };
        if !explained {
            let expected = newest.map_or(-1, |&(_, at)| at);
            let detail = format!("{offset} was read back where {expected} was committed");
            report(found, Kind::OffsetCommit, partition, detail);
        }
    }
}

/// Where anybody read a partition at all, its readers together must have seen all of it.
fn unseen(history: &History, found: &mut Vec<Anomaly>) {
    let mut seen: BTreeMap<i32, HashSet<i64>> = BTreeMap::new();
    for op in &history.ops {
        if let Op::Poll {
            partition, records, ..
        } = op
        {
            seen.entry(*partition)
                .or_default()
                .extend(records.iter().map(|&(offset, _)| offset));
        }
    }
    for (partition, seen) in seen {
        let left = history
            .finally
            .get(&partition)
            .map_or(&[][..], Vec::as_slice);
        let missed: Vec<i64> = left
            .iter()
            .map(|&(offset, _)| offset)
            .filter(|offset| !seen.contains(offset))
            .collect();
        if let Some(first) = missed.first() {
            let detail = format!(
                "{} records, from offset {first} on, came to nobody",
                missed.len()
            );
            report(found, Kind::Unseen, partition, detail);
        }
    }
}
