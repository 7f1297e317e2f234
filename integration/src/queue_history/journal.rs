//! Ops as lines of text: what a worker writes down as it goes, for whoever reads it after the
//! worker's death.
//!
//! `<number> <kind> <fields>`; a line with a number that was there before takes its place. One
//! that was cut short at the end of a file is left out.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::str::SplitAsciiWhitespace;

use super::{Delivery, OPEN, Op, Said, Word};
use crate::history::Span;

impl Word {
    /// By Kafka's number.
    #[must_use]
    pub fn of(number: i8) -> Option<Self> {
        [Self::Accept, Self::Release, Self::Reject, Self::Renew]
            .into_iter()
            .find(|word| *word as i8 == number)
    }
}

impl Op {
    /// The op as a line of a worker's journal, its end included.
    ///
    /// # Panics
    /// If it is none that a worker does.
    #[must_use]
    pub fn line(&self, number: u64) -> String {
        let mut line = format!("{number} ");
        let written = match self {
            Self::Joined { member, span } => {
                write!(line, "joined {member} {} {}", span.begin_us, span.end_us)
            }
            Self::Left { member, at_us } => write!(line, "left {member} {at_us}"),
            Self::Fetch {
                member,
                span,
                answer,
            } => {
                let began = write!(line, "fetch {member} {} {}", span.begin_us, span.end_us);
                let heard = if answer.is_some() { " heard" } else { " lost" };
                line.push_str(heard);
                began.and_then(|()| {
                    answer
                        .iter()
                        .flatten()
                        .try_for_each(|given| write!(line, " {}", delivery(given)))
                })
            }
            Self::Ack {
                member,
                partition,
                words,
                span,
                said,
            } => {
                let said = match said {
                    Said::Held => "held".to_owned(),
                    Said::Refused(code) => code.to_string(),
                    Said::Unknown => "unknown".to_owned(),
                };
                let (begin_us, end_us) = (span.begin_us, span.end_us);
                let began = write!(line, "ack {member} {partition} {begin_us} {end_us} {said}");
                began.and_then(|()| {
                    words
                        .iter()
                        .try_for_each(|(offset, word)| write!(line, " {offset}:{}", *word as i8))
                })
            }
            Self::Send { .. } | Self::Down { .. } | Self::Cut { .. } | Self::Torn { .. } => {
                panic!("no worker does {self:?}")
            }
        };
        written.expect("a string takes what is written to it");
        line.push('\n');
        line
    }
}

fn delivery(given: &Delivery) -> String {
    let Delivery {
        partition,
        offset,
        count,
        value,
    } = given;
    format!("{partition}:{offset}:{count}:{value}")
}

/// The ops of a journal, in the order in which they were begun.
///
/// # Errors
/// The line that is none, if it is not the last.
pub fn read(journal: &str) -> Result<Vec<Op>, String> {
    let mut ops = BTreeMap::new();
    // What lies behind the last line's end was being written when the worker died.
    let whole = journal.rsplit_once('\n').map_or("", |(whole, _)| whole);
    for line in whole.lines() {
        let parsed = parse(line).ok_or_else(|| format!("no line of a journal: {line}"))?;
        ops.insert(parsed.0, parsed.1);
    }
    Ok(ops.into_values().collect())
}

fn parse(line: &str) -> Option<(u64, Op)> {
    let mut words = line.split_ascii_whitespace();
    let number = words.next()?.parse().ok()?;
    let kind = words.next()?;
    let member = words.next()?.parse().ok()?;
    let op = match kind {
        "joined" => Op::Joined {
            member,
            span: span(&mut words)?,
        },
        "left" => Op::Left {
            member,
            at_us: words.next()?.parse().ok()?,
        },
        "fetch" => {
            let span = span(&mut words)?;
            let heard = words.next()? == "heard";
            let answer: Vec<Delivery> = words.map(given).collect::<Option<_>>()?;
            Op::Fetch {
                member,
                span,
                answer: heard.then_some(answer),
            }
        }
        "ack" => Op::Ack {
            member,
            partition: words.next()?.parse().ok()?,
            span: span(&mut words)?,
            said: match words.next()? {
                "held" => Said::Held,
                "unknown" => Said::Unknown,
                code => Said::Refused(code.parse().ok()?),
            },
            words: words.map(said_of).collect::<Option<_>>()?,
        },
        _ => return None,
    };
    Some((number, op))
}

fn span(words: &mut SplitAsciiWhitespace<'_>) -> Option<Span> {
    Some(Span {
        begin_us: words.next()?.parse().ok()?,
        end_us: words.next()?.parse().ok()?,
    })
}

fn given(word: &str) -> Option<Delivery> {
    let mut parts = word.split(':');
    Some(Delivery {
        partition: parts.next()?.parse().ok()?,
        offset: parts.next()?.parse().ok()?,
        count: parts.next()?.parse().ok()?,
        value: parts.next()?.parse().ok()?,
    })
}

fn said_of(word: &str) -> Option<(i64, Word)> {
    let (offset, number) = word.split_once(':')?;
    Some((offset.parse().ok()?, Word::of(number.parse().ok()?)?))
}

/// Let what was still open when a member's process was killed end then.
pub fn close(ops: &mut [Op], at_us: u64) {
    for op in ops {
        if let Op::Fetch { span, .. } | Op::Ack { span, .. } = op
            && span.end_us == OPEN
        {
            span.end_us = at_us.max(span.begin_us);
        }
    }
}
