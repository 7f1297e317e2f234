//! What a history tells of each record: who leased it when, and what was said of it.

use std::collections::{BTreeMap, HashMap, HashSet};

use super::{Delivery, MemberNumber, Op, Place, QueueHistory, Said, Word};
use crate::history::{Outcome, Span, Value};

/// What clocks that are read in whole milliseconds may be off, microseconds.
const SLACK_US: u64 = 5_000;
/// How long after a worker lost a connection the server may still lease to it, microseconds.
const LOST_US: u64 = 3_000_000;

/// A lease that a member knows of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Lease {
    pub(super) member: MemberNumber,
    /// Which life of the server, from 0 on.
    pub(super) life: usize,
    pub(super) count: i16,
    pub(super) value: Value,
    /// Of the fetch that brought it: it began somewhere within.
    pub(super) span: Span,
    /// Until when the lock surely lasts, unless something else ends the lease.
    pub(super) locked_us: u64,
    /// When something may have ended it: an acknowledgement, the member's end, the server's.
    pub(super) ended_us: u64,
}

impl Lease {
    /// Until when it surely stands.
    pub(super) fn stands_us(&self) -> u64 {
        self.locked_us.min(self.ended_us)
    }
}

/// A word about one record.
#[derive(Debug, Clone, Copy)]
pub(super) struct Spoken {
    pub(super) member: MemberNumber,
    pub(super) word: Word,
    pub(super) span: Span,
    pub(super) said: Said,
}

impl Spoken {
    /// Whether it may hold.
    pub(super) fn may_hold(&self) -> bool {
        !matches!(self.said, Said::Refused(_))
    }

    /// Whether it holds, and is about this lease, which stood.
    pub(super) fn surely_ends(&self, lease: &Lease) -> bool {
        self.said == Said::Held
            && self.word != Word::Renew
            && self.member == lease.member
            && self.span.end_us < lease.locked_us
            && self.span.begin_us <= lease.ended_us
    }
}

/// All about one record.
#[derive(Debug, Default)]
pub(super) struct Record {
    /// In the order in which they must have been: by life, then count.
    pub(super) leases: Vec<Lease>,
    pub(super) words: Vec<Spoken>,
}

impl Record {
    /// What a member knew that it leased when it spoke.
    pub(super) fn lease_of(&self, spoken: &Spoken) -> Option<&Lease> {
        let theirs = |lease: &&Lease| {
            lease.member == spoken.member && lease.span.begin_us < spoken.span.begin_us
        };
        self.leases.iter().rfind(theirs)
    }

    /// Words with the leases that they are about.
    pub(super) fn spoken(&self) -> impl Iterator<Item = (&Spoken, &Lease)> + '_ {
        let words = self.words.iter();
        words.filter_map(|spoken| Some((spoken, self.lease_of(spoken)?)))
    }
}

/// A history, sorted.
pub(super) struct Told<'a> {
    pub(super) history: &'a QueueHistory,
    pub(super) records: BTreeMap<Place, Record>,
    /// Begin and end of each of the server's deaths, in order.
    pub(super) downs: Vec<(u64, u64)>,
    /// When records of which nobody heard may have been leased.
    lost: Vec<Span>,
    /// For each partition, the offsets that its log was told to begin at, and when.
    cuts: BTreeMap<i32, Vec<(i64, Span)>>,
    /// For each partition, the offsets at which its log's end was torn off, and when.
    torn: BTreeMap<i32, Vec<(i64, u64)>>,
}

impl<'a> Told<'a> {
    pub(super) fn of(history: &'a QueueHistory) -> Self {
        let mut told = Self {
            history,
            records: BTreeMap::new(),
            downs: Vec::new(),
            lost: Vec::new(),
            cuts: BTreeMap::new(),
            torn: BTreeMap::new(),
        };
        told.sort();
        told.sends();
        told.date();
        told
    }

    /// Bring in what stands for itself.
    fn sort(&mut self) {
        let ops = &self.history.ops;
        for op in ops {
            match op {
                Op::Down { begin_us, gone_us } => self.downs.push((*begin_us, *gone_us)),
                Op::Torn {
                    partition,
                    offset,
                    at_us,
                } => self
                    .torn
                    .entry(*partition)
                    .or_default()
                    .push((*offset, *at_us)),
                Op::Cut {
                    partition,
                    offset,
                    span,
                } => self
                    .cuts
                    .entry(*partition)
                    .or_default()
                    .push((*offset, *span)),
                Op::Fetch {
                    answer: None, span, ..
                } => self.lost.push(Span {
                    end_us: span.end_us.saturating_add(LOST_US),
                    ..*span
                }),
                _ => {}
            }
        }
        self.downs.sort_unstable();
    }

    /// Where a record lay that was there at a time.
    pub(super) fn place(&self, partition: i32, offset: i64, at_us: u64) -> Place {
        let torn = self.torn.get(&partition).into_iter().flatten();
        let before = torn.filter(|(from, torn_us)| *from <= offset && *torn_us <= at_us);
        (partition, offset, before.count())
    }

    /// Whether the record itself was torn off its log.
    pub(super) fn is_torn(&self, place: Place) -> bool {
        self.place(place.0, place.1, u64::MAX).2 > place.2
    }

    fn sends(&mut self) {
        for op in &self.history.ops {
            if let Op::Send {
                partition,
                span,
                outcome: Outcome::Acked(offset),
                ..
            } = op
            {
                let place = self.place(*partition, *offset, span.end_us);
                self.records.entry(place).or_default();
            }
        }
    }

    /// Bring in leases and words, and when each lease ended.
    fn date(&mut self) {
        let (lives, left) = (self.lives(), self.left());
        for op in &self.history.ops {
            match op {
                Op::Fetch {
                    member,
                    span,
                    answer: Some(given),
                } => {
                    let life = lives.get(member).copied().unwrap_or_default();
                    let down_us = self.downs.get(life).map_or(u64::MAX, |(begin, _)| *begin);
                    let ended_us = left
                        .get(member)
                        .map_or(down_us, |at_us| down_us.min(*at_us));
                    for delivery in given {
                        let lease = self.lease(*member, life, *span, ended_us, delivery);
                        let (partition, offset) = (delivery.partition, delivery.offset);
                        let place = self.place(partition, offset, span.begin_us);
                        self.records.entry(place).or_default().leases.push(lease);
                    }
                }
                Op::Ack {
                    member,
                    partition,
                    words,
                    span,
                    said,
                } => {
                    for (offset, word) in words {
                        let place = self.place(*partition, *offset, span.begin_us);
                        let record = self.records.entry(place).or_default();
                        record.words.push(Spoken {
                            member: *member,
                            word: *word,
                            span: *span,
                            said: *said,
                        });
                    }
                }
                _ => {}
            }
        }
        let lock_us = self.history.terms.lock_us;
        for record in self.records.values_mut() {
            let order = |lease: &Lease| (lease.life, lease.count, lease.span.end_us);
            record.leases.sort_by_key(order);
            for lease in &mut record.leases {
                settle(lease, &record.words, lock_us);
            }
        }
    }

    fn lease(
        &self,
        member: MemberNumber,
        life: usize,
        span: Span,
        ended_us: u64,
        delivery: &Delivery,
    ) -> Lease {
        let lock_us = self.history.terms.lock_us.saturating_sub(SLACK_US);
        Lease {
            member,
            life,
            count: delivery.count,
            value: delivery.value,
            span,
            locked_us: span.begin_us.saturating_add(lock_us),
            ended_us,
        }
    }

    /// Which life of the server each member's connection belongs to: one that was tried before a
    /// life's end cannot be of the next, for workers take none that was long in the making.
    fn lives(&self) -> HashMap<MemberNumber, usize> {
        let joined = self.history.ops.iter().filter_map(|op| match op {
            Op::Joined { member, span } => {
                let before = |(_, gone_us): &&(u64, u64)| *gone_us <= span.begin_us;
                Some((*member, self.downs.iter().filter(before).count()))
            }
            _ => None,
        });
        joined.collect()
    }

    fn left(&self) -> HashMap<MemberNumber, u64> {
        let mut left = HashMap::new();
        for op in &self.history.ops {
            if let Op::Left { member, at_us } = op {
                let first = left.entry(*member).or_insert(*at_us);
                *first = at_us.min(first).to_owned();
            }
        }
        left
    }

    /// How many leases of which nobody heard there may have been from one time to another.
    pub(super) fn lost_between(&self, from_us: u64, to_us: u64) -> usize {
        let lost = self.lost.iter();
        lost.filter(|span| span.begin_us <= to_us && from_us <= span.end_us)
            .count()
    }

    /// The first offset that its log may still hold.
    pub(super) fn start_of(&self, partition: i32) -> i64 {
        let cuts = self.cuts.get(&partition).into_iter().flatten();
        cuts.map(|(offset, _)| *offset).max().unwrap_or(0)
    }

    /// When a record may have been dropped from its log at the earliest, and when it surely was.
    pub(super) fn cut(&self, (partition, at, _): Place) -> (u64, u64) {
        let cuts = self.cuts.get(&partition).into_iter().flatten();
        let cuts: HashSet<Span> = cuts
            .filter(|(offset, _)| at < *offset)
            .map(|(_, span)| *span)
            .collect();
        let first = |time: fn(&Span) -> u64| cuts.iter().map(time).min().unwrap_or(u64::MAX);
        (first(|span| span.begin_us), first(|span| span.end_us))
    }
}

/// Let a lease end when its member spoke, and last as long as that renewed it.
fn settle(lease: &mut Lease, words: &[Spoken], lock_us: u64) {
    for spoken in words.iter().filter(|spoken| {
        // A fetch may carry a word on the lease before, whose begin it shares.
        spoken.member == lease.member && spoken.span.begin_us > lease.span.begin_us
    }) {
        match (spoken.word, spoken.said) {
            (_, Said::Refused(_)) | (Word::Renew, Said::Unknown) => {}
            // Below the queue's start every word holds and none means anything, so a renewal
            // counts only for a lease that surely stood.
            (Word::Renew, Said::Held) if spoken.span.end_us >= lease.locked_us => {}
            (Word::Renew, Said::Held) => {
                let locked_us = spoken.span.begin_us + lock_us.saturating_sub(SLACK_US);
                lease.locked_us = lease.locked_us.max(locked_us);
            }
            _ => lease.ended_us = lease.ended_us.min(spoken.span.begin_us),
        }
    }
}
