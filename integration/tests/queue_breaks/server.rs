//! A server around the real machine of queues, without disk, sockets or a clock of its own: what
//! the machine wrote down is kept, everything else dies with it. It can be told to break one rule.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use ratel_integration::history::Value;
use ratel_integration::queue_history::{Cause, Letter, Standing};
use ratel_protocol::ErrorCode;
use ratel_server::clock::Timestamp;
use ratel_server::coordinator::share::{
    AckType, Acknowledge, AcknowledgeBatch, Acquire, Acquired, Action, DeadRange, DeadReason,
    Event, Mode, QueueConfig, QueueKey, Record, Reply, Shape, ShareMachine, Span,
};
use ratel_server::coordinator::{Applied, Effects, LogEnds, Machine, Record as _, Ticket};
use ratel_storage::{Offset, PartitionId, TopicId};

/// How long a dead letter takes to be written, and then to be reported, microseconds.
const BURIAL_US: u64 = 200_000;
/// One time in so many the server does what it should not, where it could.
const SOMETIMES: u64 = 4;

/// A rule that is not kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Break {
    /// An acceptance is taken for a release.
    DeliverAfterAccept,
    /// An acceptance is answered, and not written down.
    AcceptWithoutPersisting,
    /// A release is answered, and the record goes nowhere.
    LoseRelease,
    /// A released record is as if it had never been delivered.
    ForgetCount,
    /// A delivery counts twice.
    CountTwice,
    /// A record is delivered once more than the limit says.
    IgnoreLimit,
    /// What one member leases is leased to another who asks.
    LeaseTwice,
    /// Locks never run out.
    NeverExpire,
    /// A word is taken from a member whose lock ran out, while another has the record.
    TakeLateWord,
    /// A word is refused although the member has the lease.
    RefuseHolder,
    /// A record is forgotten before its dead letter is written.
    ArchiveBeforeLetter,
    /// A dead letter is reported, and not written.
    DropLetter,
    /// A dead letter is written twice.
    LetterTwice,
    /// A dead letter names the record behind its own.
    WrongOrigin,
    /// The queue is not told that its log begins later.
    KeepBelowStart,
    /// State that points past the end of a log that was cut is kept.
    KeepBeyondEnd,
}

/// A stretch on its way to the dead-letter topic.
struct Burial {
    due_us: u64,
    range: DeadRange,
    is_written: bool,
}

pub struct Server {
    machine: ShareMachine,
    config: Arc<QueueConfig>,
    now_us: u64,
    records: Vec<Record>,
    /// The source log: the last offset of each batch, what lies where, where it begins.
    batches: Vec<(i64, i64)>,
    values: Vec<Value>,
    start: i64,
    burials: VecDeque<Burial>,
    letters: Vec<Letter>,
    holders: BTreeMap<i64, Arc<str>>,
    broken: Option<Break>,
    chances: u64,
    /// How often the rule was broken.
    pub broke: u64,
}

fn key() -> QueueKey {
    QueueKey {
        group: "workers".into(),
        partition: PartitionId {
            topic: TopicId::from_u128(0x70),
            index: 0,
        },
    }
}

impl Server {
    pub fn new(config: QueueConfig, broken: Option<Break>) -> Self {
        let mut server = Self {
            machine: ShareMachine::new(),
            config: Arc::new(config),
            now_us: 0,
            records: Vec::new(),
            batches: Vec::new(),
            values: Vec::new(),
            start: 0,
            burials: VecDeque::new(),
            letters: Vec::new(),
            holders: BTreeMap::new(),
            broken,
            chances: 0,
            broke: 0,
        };
        let start = Offset::ZERO;
        let made = server.ask(Event::Initialize { key: key(), start });
        assert_eq!(made, Ok(Reply::Done));
        server
    }

    /// Whether this rule is broken now.
    fn breaks(&mut self, rule: Break) -> bool {
        if self.broken != Some(rule) {
            return false;
        }
        self.chances += 1;
        let now = match rule {
            // There are few chances of these.
            Break::TakeLateWord
            | Break::ArchiveBeforeLetter
            | Break::DropLetter
            | Break::LetterTwice
            | Break::LoseRelease => true,
            _ => self.chances.is_multiple_of(SOMETIMES),
        };
        self.broke += u64::from(now);
        now
    }

    fn now(&self) -> Timestamp {
        let now_ms = i64::try_from(self.now_us / 1000).expect("a test ends within an aeon");
        Timestamp {
            monotonic_ms: now_ms,
            wall_ms: 1_000_000 + now_ms,
        }
    }

    fn effects(&self) -> Effects<ShareMachine> {
        Effects::new(Applied {
            offset: Offset::new(self.records.len() as i64),
            timestamp_ms: self.now().wall_ms,
        })
    }

    fn ask(&mut self, event: Event) -> Result<Reply, ErrorCode> {
        let (now, mut out) = (self.now(), self.effects());
        self.machine.handle(now, Ticket(1), event, &mut out);
        self.settle(out, true).expect("an answer comes at once")
    }

    /// Do what follows from an event.
    fn settle(
        &mut self,
        out: Effects<ShareMachine>,
        persists: bool,
    ) -> Option<Result<Reply, ErrorCode>> {
        if persists {
            self.records.extend(out.records);
        }
        for action in out.actions {
            if let Action::DeadLetter { ranges, .. } = action {
                ranges.into_iter().for_each(|range| self.give_up(range));
            }
        }
        out.replies.into_iter().next().map(|(_, reply, _)| reply)
    }

    fn give_up(&mut self, range: DeadRange) {
        let archives = self.breaks(Break::ArchiveBeforeLetter) || self.breaks(Break::DropLetter);
        if archives {
            self.archive(range);
        }
        if self.broken == Some(Break::DropLetter) && archives {
            return;
        }
        let copies = 1 + usize::from(self.breaks(Break::LetterTwice));
        for _ in 0..copies {
            self.burials.push_back(Burial {
                due_us: self.now_us + BURIAL_US,
                range,
                is_written: false,
            });
        }
    }

    fn archive(&mut self, range: DeadRange) {
        let ranges = vec![(range.first, range.last)];
        let told = self.ask(Event::DeadLettered { key: key(), ranges });
        assert_eq!(told, Ok(Reply::Done));
    }

    /// Let time pass.
    pub fn pass(&mut self, to_us: u64) {
        if self.broken == Some(Break::NeverExpire) && self.machine.next_timeout().is_some() {
            self.broke += 1;
        }
        loop {
            let timer_us = self
                .machine
                .next_timeout()
                .map(|ms| ms.unsigned_abs() * 1000);
            let timer_us = timer_us.filter(|_| self.broken != Some(Break::NeverExpire));
            let burial_us = self.burials.front().map(|burial| burial.due_us);
            let next = timer_us.into_iter().chain(burial_us).min();
            let Some(next_us) = next.filter(|next_us| *next_us <= to_us) else {
                break;
            };
            self.now_us = self.now_us.max(next_us);
            if burial_us == Some(next_us) {
                self.bury();
            } else {
                let (now, mut out) = (self.now(), self.effects());
                self.machine.handle_timeout(now, &mut out);
                self.settle(out, true);
            }
        }
        self.now_us = self.now_us.max(to_us);
    }

    /// The first burial goes a step further.
    fn bury(&mut self) {
        let Some(mut burial) = self.burials.pop_front() else {
            return;
        };
        if burial.is_written {
            return self.archive(burial.range);
        }
        let off = i64::from(self.breaks(Break::WrongOrigin));
        for offset in burial.range.first.get()..=burial.range.last.get() {
            self.letters.push(Letter {
                partition: 0,
                offset: offset + off,
                count: burial.range.delivery_count,
                cause: match burial.range.reason {
                    DeadReason::Rejected => Cause::Rejected,
                    DeadReason::DeliveryLimit => Cause::Limit,
                },
                value: self.values.get(offset as usize).copied(),
            });
        }
        burial.is_written = true;
        burial.due_us = self.now_us + BURIAL_US;
        self.burials.push_back(burial);
    }

    /// The process dies and comes back. `lost` records at the end of the log, of which nobody was
    /// told that they are safe, go with it.
    pub fn die(&mut self, lost: usize) {
        self.burials.clear();
        self.holders.clear();
        self.values.truncate(self.values.len() - lost);
        let end = self.values.len() as i64;
        self.batches.retain(|(first, _)| *first < end);
        if let Some((_, last)) = self.batches.last_mut() {
            *last = end - 1;
        }
        self.machine = ShareMachine::new();
        for (record, offset) in self.records.iter().zip(0..) {
            let (key, value) = record.encode();
            let decoded = Record::decode(&key, value.as_deref());
            let at = Applied {
                offset: Offset::new(offset),
                timestamp_ms: self.now().wall_ms,
            };
            let record = decoded.expect("what it wrote can be read");
            self.machine
                .apply(at, &record.expect("and means something"));
        }
        let mut ends = LogEnds::default();
        let keeps = lost > 0 && self.broken == Some(Break::KeepBeyondEnd);
        self.broke += u64::from(keeps);
        let end = if keeps { i64::MAX } else { end };
        ends.ends.insert(key().partition, Offset::new(end));
        let (now, mut out) = (self.now(), self.effects());
        self.machine.start(now, &ends, &mut out);
        self.settle(out, true);
    }

    /// Append one batch. The first record's offset.
    pub fn append(&mut self, values: &[Value]) -> i64 {
        let first = self.values.len() as i64;
        self.values.extend(values);
        self.batches.push((first, self.values.len() as i64 - 1));
        first
    }

    /// One past the last record.
    pub fn end(&self) -> i64 {
        self.values.len() as i64
    }

    /// What lies at an offset.
    pub fn value(&self, offset: i64) -> Value {
        self.values[offset as usize]
    }

    /// Let the log begin at an offset.
    pub fn cut(&mut self, offset: i64) {
        self.start = self.start.max(offset);
        if self.broken == Some(Break::KeepBelowStart) {
            self.broke += 1;
            return;
        }
        let partition = key().partition;
        let start = Offset::new(self.start);
        let told = self.ask(Event::LogStart { partition, start });
        assert_eq!(told, Ok(Reply::Done));
    }

    /// Lease records to a member.
    pub fn acquire(&mut self, member: &str, records: usize, mode: Mode) -> Vec<Acquired> {
        let other = self.holders.iter().find(|(_, holder)| ***holder != *member);
        let other = other.map(|(_, holder)| holder.clone());
        if let Some(other) = other
            && self.breaks(Break::LeaseTwice)
        {
            self.leave(&other);
        }
        let mut ranges = self.lease(member, records, mode);
        if !ranges.is_empty() && self.breaks(Break::CountTwice) {
            self.leave(member);
            ranges = self.lease(member, records, mode);
        }
        for range in &ranges {
            for offset in range.first.get()..=range.last.get() {
                self.holders.insert(offset, member.into());
            }
        }
        ranges
    }

    fn lease(&mut self, member: &str, records: usize, mode: Mode) -> Vec<Acquired> {
        let is_told = self.broken != Some(Break::KeepBelowStart);
        let mut config = self.config.clone();
        if self.broken == Some(Break::IgnoreLimit) {
            self.broke += 1;
            Arc::make_mut(&mut config).delivery_count_limit += 1;
        }
        let mut event = Acquire {
            key: key(),
            member: member.into(),
            config,
            max_records: records,
            mode,
            log_start: Offset::new(if is_told { self.start } else { 0 }),
            end: Offset::new(self.end()),
            shape: None,
            waits_until_ms: 0,
        };
        for _ in 0..10 {
            match self.ask(Event::Acquire(event.clone())) {
                Ok(Reply::Acquired { ranges, .. }) => return ranges,
                Ok(Reply::NeedShape { from }) => event.shape = Some(self.shape(from)),
                _ => break,
            }
        }
        Vec::new()
    }

    fn shape(&self, from: Offset) -> Shape {
        let inside = |(_, last): &&(i64, i64)| *last >= from.get();
        let span = |(first, last): &(i64, i64)| Span {
            first: Offset::new(*first),
            last: Offset::new(*last),
        };
        Shape {
            from,
            to: Offset::new(self.end()),
            batches: self.batches.iter().filter(inside).map(span).collect(),
        }
    }

    /// Take a member's word on records.
    pub fn acknowledge(&mut self, member: &str, words: &[(i64, AckType)]) -> Result<(), ErrorCode> {
        if self.breaks(Break::RefuseHolder) {
            return Err(ErrorCode::InvalidRecordState);
        }
        let is = |wanted: AckType| words.iter().any(|(_, word)| *word == wanted);
        if is(AckType::Release) && self.breaks(Break::ForgetCount) {
            let ranges = words.iter().map(|(offset, _)| Offset::new(*offset));
            let event = Event::GiveBack {
                key: key(),
                member: member.into(),
                ranges: ranges.map(|offset| (offset, offset)).collect(),
            };
            return self.ask(event).map(drop);
        }
        let instead = if is(AckType::Accept) && self.breaks(Break::DeliverAfterAccept) {
            Some((AckType::Accept, AckType::Release))
        } else if is(AckType::Release) && self.breaks(Break::LoseRelease) {
            Some((AckType::Release, AckType::Gap))
        } else {
            None
        };
        let said = |word: AckType| match instead {
            Some((from, to)) if from == word => to,
            _ => word,
        };
        let words: Vec<_> = words.iter().map(|(at, word)| (*at, said(*word))).collect();
        let persists = !(is(AckType::Accept) && self.breaks(Break::AcceptWithoutPersisting));
        let held = self.say(member, &words, persists);
        let holder = words
            .first()
            .and_then(|(offset, _)| self.holders.get(offset));
        match (held, holder.cloned()) {
            (Err(_), Some(holder)) if self.breaks(Break::TakeLateWord) => {
                self.say(&holder, &words, true)
            }
            (held, _) => held,
        }
    }

    fn say(
        &mut self,
        member: &str,
        words: &[(i64, AckType)],
        persists: bool,
    ) -> Result<(), ErrorCode> {
        let batches = words.iter().map(|(offset, word)| AcknowledgeBatch {
            first: Offset::new(*offset),
            last: Offset::new(*offset),
            types: vec![*word],
        });
        let mut config = self.config.clone();
        if self.broken == Some(Break::IgnoreLimit) {
            Arc::make_mut(&mut config).delivery_count_limit += 1;
        }
        let event = Event::Acknowledge(Acknowledge {
            key: key(),
            member: member.into(),
            config,
            batches: batches.collect(),
        });
        let (now, mut out) = (self.now(), self.effects());
        self.machine.handle(now, Ticket(1), event, &mut out);
        self.settle(out, persists)
            .expect("an answer comes at once")
            .map(drop)
    }

    /// A member's connection is gone.
    pub fn leave(&mut self, member: &str) {
        self.holders.retain(|_, holder| **holder != *member);
        let member = member.into();
        let told = self.ask(Event::Release { key: key(), member });
        assert_eq!(told, Ok(Reply::Done));
    }

    /// How the queue stands.
    pub fn standing(&mut self) -> Standing {
        match self.ask(Event::Describe { key: key() }) {
            Ok(Reply::Described(depth)) => {
                let known = depth.ready + depth.in_flight + depth.delayed + depth.archiving;
                Standing {
                    start: depth.start.get(),
                    end: self.end(),
                    left: known.cast_signed() + (self.end() - depth.next.get()).max(0),
                }
            }
            other => panic!("no description: {other:?}"),
        }
    }

    /// The dead-letter topic.
    pub fn letters(&self) -> Vec<Letter> {
        self.letters.clone()
    }
}
