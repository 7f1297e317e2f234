//! A machine on a bench: time moves by hand, every effect is seen.

use std::sync::Arc;

use bytes::Bytes;
use ratel_protocol::ErrorCode;

use crate::clock::Timestamp;
use crate::config::Config;
use crate::coordinator::txn::{
    Action, Add, End, Event, Init, Limits, Part, Partitions, ProducerId, Record, Reply, Status,
    Transaction, TransactionMachine, WriteMarkers,
};
use crate::coordinator::{Applied, Effects, LogEnds, Machine, Record as _, Ticket, When};

pub(super) type Outcome = Result<Reply, ErrorCode>;

pub(super) struct Bench {
    pub machine: TransactionMachine,
    pub now: Timestamp,
    pub log: Vec<(Bytes, Option<Bytes>)>,
    pub actions: Vec<Action>,
    /// Answers that came without being waited for.
    pub late: Vec<(Ticket, Outcome)>,
    /// The next producer id.
    pub fresh_id: i64,
    limits: Arc<Limits>,
    tickets: u64,
}

pub(super) fn producer(id: i64, epoch: i16) -> ProducerId {
    ProducerId { id, epoch }
}

pub(super) fn part(topic: &str, index: i32) -> Part {
    Part {
        topic: topic.into(),
        index,
    }
}

impl Bench {
    pub(super) fn new() -> Self {
        Self::with(|_| {})
    }

    pub(super) fn with(change: impl FnOnce(&mut Limits)) -> Self {
        let mut limits = Limits::from(&Config::default());
        change(&mut limits);
        let limits = Arc::new(limits);
        let mut bench = Self {
            machine: TransactionMachine::new(limits.clone()),
            now: Timestamp {
                monotonic_ms: 1000,
                wall_ms: 1_700_000_000_000,
            },
            log: Vec::new(),
            actions: Vec::new(),
            late: Vec::new(),
            fresh_id: 100,
            limits,
            tickets: 0,
        };
        bench.restart();
        bench
    }

    fn effects(&self) -> Effects<TransactionMachine> {
        Effects::new(Applied {
            offset: ratel_storage::Offset::new(self.log.len() as i64),
            timestamp_ms: self.now.wall_ms,
        })
    }

    fn settle(&mut self, out: Effects<TransactionMachine>) -> Vec<(Ticket, Outcome, When)> {
        self.log.extend(out.records.iter().map(Record::encode));
        self.actions.extend(out.actions);
        out.replies
    }

    /// Send an event; the answer, if it comes at once, and when it may go.
    pub(super) fn ask_when(&mut self, event: Event) -> Option<(Outcome, When)> {
        let ticket = Ticket(self.tickets);
        self.tickets += 1;
        let mut out = self.effects();
        self.machine.handle(self.now, ticket, event, &mut out);
        let mut answer = None;
        for (to, outcome, when) in self.settle(out) {
            if to == ticket {
                answer = Some((outcome, when));
            } else {
                self.late.push((to, outcome));
            }
        }
        answer
    }

    pub(super) fn ask(&mut self, event: Event) -> Outcome {
        self.ask_when(event).expect("an answer").0
    }

    /// Send an event that is sent again with a fresh producer id if it asks for one.
    fn ask_with_id(&mut self, event: impl Fn(Option<i64>) -> Event) -> Outcome {
        match self.ask(event(None)) {
            Ok(Reply::NeedsProducerId) => {
                self.fresh_id += 1;
                self.ask(event(Some(self.fresh_id - 1)))
            }
            other => other,
        }
    }

    pub(super) fn init(&mut self, id: &str) -> Result<ProducerId, ErrorCode> {
        self.init_as(id, None)
    }

    pub(super) fn init_as(
        &mut self,
        id: &str,
        expected: Option<ProducerId>,
    ) -> Result<ProducerId, ErrorCode> {
        self.init_for(id, expected, 60_000)
    }

    pub(super) fn init_for(
        &mut self,
        id: &str,
        expected: Option<ProducerId>,
        timeout_ms: i32,
    ) -> Result<ProducerId, ErrorCode> {
        let reply = self.ask_with_id(|fresh_id| {
            Event::Init(Init {
                id: id.into(),
                timeout_ms,
                expected,
                fresh_id,
            })
        });
        producer_of(reply)
    }

    pub(super) fn add_event(
        &self,
        id: &str,
        producer: ProducerId,
        partitions: &[Part],
        client_version: i16,
    ) -> Add {
        Add {
            id: id.into(),
            producer,
            partitions: partitions.to_vec(),
            client_version,
        }
    }

    pub(super) fn add(
        &mut self,
        id: &str,
        producer: ProducerId,
        partitions: &[Part],
        client_version: i16,
    ) -> Result<(), ErrorCode> {
        let event = self.add_event(id, producer, partitions, client_version);
        match self.ask(Event::Add(event))? {
            Reply::Added => Ok(()),
            other => panic!("{other:?}"),
        }
    }

    pub(super) fn end(
        &mut self,
        id: &str,
        producer: ProducerId,
        commit: bool,
        client_version: i16,
    ) -> Result<ProducerId, ErrorCode> {
        let reply = self.ask_with_id(|fresh_id| {
            Event::End(End {
                id: id.into(),
                producer,
                commit,
                client_version,
                fresh_id,
            })
        });
        producer_of(reply)
    }

    /// The markers that were asked for since the last call.
    pub(super) fn markers(&mut self) -> Vec<WriteMarkers> {
        let actions = std::mem::take(&mut self.actions).into_iter();
        let markers = actions.filter_map(|action| match action {
            Action::WriteMarkers(markers) => Some(markers),
            Action::TimedOut { .. } => None,
        });
        markers.collect()
    }

    /// Have all markers written.
    pub(super) fn write_markers(&mut self) -> Vec<WriteMarkers> {
        let markers = self.markers();
        for written in &markers {
            self.tell_markers(written, &[]);
        }
        markers
    }

    /// Tell what came of markers.
    pub(super) fn tell_markers(&mut self, asked: &WriteMarkers, left: &[Part]) {
        let mut partitions = Partitions::new();
        for part in left {
            let indexes = partitions.entry(part.topic.clone()).or_default();
            indexes.insert(part.index);
        }
        let event = Event::MarkersWritten {
            id: asked.id.clone(),
            prepared_at: asked.prepared_at,
            left: partitions,
        };
        assert!(self.ask_when(event).is_none());
    }

    pub(super) fn advance(&mut self, ms: i64) {
        self.now = self.now.plus_ms(ms);
        let is_due = |at: i64| at <= self.now.monotonic_ms;
        if self.machine.next_timeout().is_some_and(is_due) {
            let mut out = self.effects();
            self.machine.handle_timeout(self.now, &mut out);
            let replies = self.settle(out).into_iter();
            self.late
                .extend(replies.map(|(ticket, outcome, _)| (ticket, outcome)));
        }
    }

    /// Build the machine from its log's bytes, as a restart does.
    pub(super) fn restart(&mut self) {
        self.actions.clear();
        self.machine = replayed(&self.limits, &self.log);
        let mut out = self.effects();
        self.machine.start(self.now, &LogEnds::default(), &mut out);
        self.settle(out);
    }

    pub(super) fn known(&self, id: &str) -> &Transaction {
        &self.machine.transactions[id]
    }

    pub(super) fn status(&self, id: &str) -> Status {
        self.known(id).status
    }

    pub(super) fn status_of(&self, id: &str) -> Option<Status> {
        self.machine.transactions.get(id).map(|known| known.status)
    }

    pub(super) fn state(&self) -> Vec<Record> {
        snapshot_of(&self.machine)
    }

    /// What the log says.
    pub(super) fn logged(&self) -> Vec<Record> {
        snapshot_of(&replayed(&self.limits, &self.log))
    }
}

fn snapshot_of(machine: &TransactionMachine) -> Vec<Record> {
    let mut records = Vec::new();
    machine.snapshot(&mut records);
    records
}

fn replayed(limits: &Arc<Limits>, log: &[(Bytes, Option<Bytes>)]) -> TransactionMachine {
    let mut machine = TransactionMachine::new(limits.clone());
    for (offset, (key, value)) in log.iter().enumerate() {
        let record = Record::decode(key, value.as_deref());
        let at = Applied {
            offset: ratel_storage::Offset::new(offset as i64),
            timestamp_ms: 0,
        };
        machine.apply(at, &record.expect("a record").expect("of a kind"));
    }
    machine
}

fn producer_of(reply: Outcome) -> Result<ProducerId, ErrorCode> {
    match reply? {
        Reply::Producer(producer) => Ok(producer),
        other => panic!("{other:?}"),
    }
}
