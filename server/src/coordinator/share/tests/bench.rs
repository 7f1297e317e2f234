use std::collections::BTreeMap;
use std::sync::Arc;

use ratel_protocol::ErrorCode;
use ratel_storage::{Offset, PartitionId, TopicId};
use uuid::Uuid;

use crate::clock::Timestamp;
use crate::coordinator::share::{
    AckType, Acknowledge, AcknowledgeBatch, Acquire, Action, Depth, Event, Mode, QueueConfig,
    QueueKey, Record, Reply, Shape, ShareMachine, Span,
};
use crate::coordinator::{Applied, Effects, LogEnds, Machine, Record as _, Ticket, When};

pub const TOPIC: TopicId = Uuid::from_u128(0x70);
pub type Outcome = Result<Reply, ErrorCode>;

/// The queue that most tests speak of.
pub fn key() -> QueueKey {
    key_of("g", 0)
}

pub fn key_of(group: &str, index: i32) -> QueueKey {
    QueueKey {
        group: group.into(),
        partition: PartitionId {
            topic: TOPIC,
            index,
        },
    }
}

/// A machine, its log, its source log's batches and its answers.
pub struct Bench {
    pub machine: ShareMachine,
    pub config: QueueConfig,
    pub now: Timestamp,
    pub log: Vec<Record>,
    pub actions: Vec<Action>,
    pub ends: LogEnds,
    /// The source log: where its batches are, its start and its end.
    pub batches: Vec<(i64, i64)>,
    pub log_start: i64,
    pub end: i64,
    pub mode: Mode,
    pub shapes: usize,
    answers: BTreeMap<Ticket, (Outcome, When)>,
    tickets: u64,
}

impl Bench {
    /// A queue from offset 0 of a log of 10,000 records in batches of ten.
    pub fn new() -> Self {
        let mut bench = Self::without_queue();
        bench
            .ask(Event::Initialize {
                key: key(),
                start: Offset::ZERO,
            })
            .unwrap();
        bench.actions.clear();
        bench
    }

    pub fn without_queue() -> Self {
        let mut ends = LogEnds::default();
        ends.ends.insert(key().partition, Offset::new(i64::MAX));
        Self {
            machine: ShareMachine::new(),
            config: QueueConfig::default(),
            now: Timestamp {
                monotonic_ms: 1000,
                wall_ms: 1_000_000,
            },
            log: Vec::new(),
            actions: Vec::new(),
            ends,
            batches: (0..1000).map(|i| (i * 10, i * 10 + 9)).collect(),
            log_start: 0,
            end: 10_000,
            mode: Mode::RecordLimit,
            shapes: 0,
            answers: BTreeMap::new(),
            tickets: 0,
        }
    }

    /// A queue under settings that are changed first.
    pub fn with(change: impl FnOnce(&mut QueueConfig)) -> Self {
        let mut bench = Self::new();
        change(&mut bench.config);
        bench
    }

    /// Where the next record of its log lies.
    fn next(&self) -> Applied {
        Applied {
            offset: Offset::new(self.log.len() as i64),
            timestamp_ms: self.now.wall_ms,
        }
    }

    fn effects(&self) -> Effects<ShareMachine> {
        Effects::new(self.next())
    }

    fn settle(&mut self, out: Effects<ShareMachine>) {
        self.log.extend(out.records);
        self.actions.extend(out.actions);
        for (ticket, outcome, when) in out.replies {
            let twice = self.answers.insert(ticket, (outcome, when));
            assert!(twice.is_none(), "{ticket:?} is answered twice");
        }
    }

    /// Send an event and have its answer, and when it may go.
    #[track_caller]
    pub fn ask_when(&mut self, event: Event) -> (Outcome, When) {
        self.tickets += 1;
        let ticket = Ticket(self.tickets);
        let mut out = self.effects();
        self.machine.handle(self.now, ticket, event, &mut out);
        self.settle(out);
        self.answers
            .remove(&ticket)
            .expect("an answer comes at once")
    }

    #[track_caller]
    pub fn ask(&mut self, event: Event) -> Outcome {
        self.ask_when(event).0
    }

    /// Move time, stopping at every deadline on the way.
    pub fn advance(&mut self, ms: i64) {
        let target = self.now.plus_ms(ms);
        while let Some(at_ms) = self.machine.next_timeout()
            && at_ms <= target.monotonic_ms
        {
            self.now = self.now.plus_ms((at_ms - self.now.monotonic_ms).max(0));
            let mut out = self.effects();
            self.machine.handle_timeout(self.now, &mut out);
            self.settle(out);
        }
        self.now = target;
    }

    /// Build the machine anew from the bytes of its log.
    pub fn restart(&mut self) {
        let (machine, out) = self.start(&self.log);
        self.machine = machine;
        self.settle(out);
    }

    /// A machine that a restart would make of these records.
    pub fn started(&self, records: &[Record]) -> ShareMachine {
        self.start(records).0
    }

    fn start(&self, records: &[Record]) -> (ShareMachine, Effects<ShareMachine>) {
        let mut machine = self.replayed(records);
        let mut out = self.effects();
        machine.start(self.now, &self.ends, &mut out);
        (machine, out)
    }

    /// Write the machine's snapshot into its log, as it does by itself now and then.
    pub fn write_snapshot(&mut self) {
        for record in self.snapshot() {
            self.machine.apply(self.next(), &record);
            self.log.push(record);
        }
    }

    /// A machine that has applied these records, through their bytes.
    pub fn replayed(&self, records: &[Record]) -> ShareMachine {
        let mut machine = ShareMachine::new();
        for (offset, record) in records.iter().enumerate() {
            let (key, value) = record.encode();
            let decoded = Record::decode(&key, value.as_deref()).unwrap().unwrap();
            assert_eq!(&decoded, record);
            let at = Applied {
                offset: Offset::new(offset as i64),
                timestamp_ms: self.now.wall_ms,
            };
            machine.apply(at, &decoded);
        }
        machine
    }

    /// The machine's hard state.
    pub fn snapshot(&self) -> Vec<Record> {
        snapshot_of(&self.machine)
    }

    /// The actions since the last call.
    pub fn acted(&mut self) -> Vec<Action> {
        std::mem::take(&mut self.actions)
    }

    pub fn acquire_event(&self, member: &str, max_records: usize) -> Acquire {
        Acquire {
            key: key(),
            member: member.into(),
            config: Arc::new(self.config.clone()),
            max_records,
            mode: self.mode,
            log_start: Offset::new(self.log_start),
            end: Offset::new(self.end),
            shape: None,
            waits_until_ms: 0,
        }
    }

    /// What the log looks like from an offset on, for a stretch of a thousand offsets.
    pub fn shape(&self, from: i64) -> Shape {
        let to = (from + 1000).min(self.end);
        let inside = |(first, last): &&(i64, i64)| *last >= from && *first < to;
        Shape {
            from: Offset::new(from),
            to: Offset::new(to),
            batches: self.batches.iter().filter(inside).map(span).collect(),
        }
    }

    /// Acquire as a handler does: with a shape if one is asked for.
    #[track_caller]
    pub fn try_acquire(
        &mut self,
        member: &str,
        max_records: usize,
    ) -> Option<Vec<(i64, i64, i16)>> {
        let mut event = self.acquire_event(member, max_records);
        for _ in 0..100 {
            match self.ask(Event::Acquire(event.clone())).unwrap() {
                Reply::Acquired { ranges, .. } => {
                    let plain = |range: &crate::coordinator::share::Acquired| {
                        (range.first.get(), range.last.get(), range.delivery_count)
                    };
                    return Some(ranges.iter().map(plain).collect());
                }
                Reply::Nothing => return None,
                Reply::NeedShape { from } => {
                    self.shapes += 1;
                    event.shape = Some(self.shape(from.get()));
                }
                other => panic!("{other:?}"),
            }
        }
        panic!("it asks for shapes for ever");
    }

    /// Acquire, and get something.
    #[track_caller]
    pub fn acquire(&mut self, member: &str, max_records: usize) -> Vec<(i64, i64, i16)> {
        self.try_acquire(member, max_records).unwrap_or_default()
    }

    /// Acknowledge batches, each with its types.
    #[track_caller]
    pub fn acknowledge(&mut self, member: &str, batches: &[(i64, i64, &[AckType])]) -> Outcome {
        let event = Acknowledge {
            key: key(),
            member: member.into(),
            config: Arc::new(self.config.clone()),
            batches: batches
                .iter()
                .map(|(first, last, types)| AcknowledgeBatch {
                    first: Offset::new(*first),
                    last: Offset::new(*last),
                    types: types.to_vec(),
                })
                .collect(),
        };
        let (outcome, when) = self.ask_when(Event::Acknowledge(event));
        let wanted = if outcome.is_ok() {
            When::Durable
        } else {
            When::Now
        };
        assert_eq!(when, wanted);
        outcome
    }

    /// Acknowledge one range as one, and have it hold.
    #[track_caller]
    pub fn say(&mut self, member: &str, first: i64, last: i64, kind: AckType) {
        let outcome = self.acknowledge(member, &[(first, last, &[kind])]);
        assert_eq!(outcome, Ok(Reply::Done));
    }

    #[track_caller]
    pub fn release(&mut self, member: &str) {
        let member = member.into();
        let event = Event::Release { key: key(), member };
        assert_eq!(self.ask_when(event), (Ok(Reply::Done), When::Durable));
    }

    #[track_caller]
    pub fn depth(&mut self) -> Depth {
        match self.ask(Event::Describe { key: key() }) {
            Ok(Reply::Described(depth)) => depth,
            other => panic!("no description: {other:?}"),
        }
    }
}

pub fn snapshot_of(machine: &ShareMachine) -> Vec<Record> {
    let mut records = Vec::new();
    machine.snapshot(&mut records);
    records
}

pub fn span(&(first, last): &(i64, i64)) -> Span {
    Span {
        first: Offset::new(first),
        last: Offset::new(last),
    }
}
