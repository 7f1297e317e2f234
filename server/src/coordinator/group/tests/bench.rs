use std::collections::BTreeMap;
use std::sync::Arc;

use bytes::Bytes;
use ratel_protocol::ErrorCode;
use ratel_storage::{Offset, TopicId};
use uuid::Uuid;

use crate::clock::Timestamp;
use crate::config::Config;
use crate::coordinator::group::{
    Action, Commit, CommitOffset, Event, Fetch, GroupMachine, Heartbeat, Join, Joined, Leave,
    Limits, Protocol, Record, Reply, Sync, Synced,
};
use crate::coordinator::{Applied, Effects, LogEnds, Machine, Place, Record as _, Ticket, When};

pub const TOPIC: TopicId = Uuid::from_u128(0x70);
pub type Outcome = Result<Reply, ErrorCode>;

/// A machine, its log and its answers.
pub struct Bench {
    pub machine: GroupMachine,
    pub limits: Limits,
    pub now: Timestamp,
    pub log: Vec<Record>,
    pub ends: LogEnds,
    pub actions: Vec<Action>,
    answers: BTreeMap<Ticket, (Outcome, When)>,
    tickets: u64,
    fresh: u128,
}

impl Bench {
    pub fn new() -> Self {
        Self::with(|_| {})
    }

    /// A bench whose limits are changed first.
    pub fn with(change: impl FnOnce(&mut Limits)) -> Self {
        let mut limits = Limits::from(&Config::default());
        change(&mut limits);
        Self {
            machine: GroupMachine::new(Arc::new(limits.clone())),
            limits,
            now: Timestamp {
                monotonic_ms: 1000,
                wall_ms: 1_000_000,
            },
            log: Vec::new(),
            ends: LogEnds::default(),
            actions: Vec::new(),
            answers: BTreeMap::new(),
            tickets: 0,
            fresh: 0,
        }
    }

    /// Nothing has happened yet.
    pub fn effects(&self) -> Effects<GroupMachine> {
        Effects::new(Applied {
            offset: Offset::new(self.log.len() as i64),
            timestamp_ms: self.now.wall_ms,
        })
    }

    fn settle(&mut self, out: Effects<GroupMachine>) {
        self.log.extend(out.records);
        self.actions.extend(out.actions);
        for (ticket, outcome, when) in out.replies {
            let twice = self.answers.insert(ticket, (outcome, when));
            assert!(twice.is_none(), "{ticket:?} is answered twice");
        }
    }

    /// Send an event; the ticket finds its answer.
    pub fn send(&mut self, event: Event) -> Ticket {
        self.tickets += 1;
        let ticket = Ticket(self.tickets);
        let mut out = self.effects();
        self.machine.handle(self.now, ticket, event, &mut out);
        self.settle(out);
        ticket
    }

    /// The answer, if it has come; then it is gone.
    pub fn take(&mut self, ticket: Ticket) -> Option<Outcome> {
        self.answers.remove(&ticket).map(|(outcome, _)| outcome)
    }

    /// Let an answer that was looked at be found again.
    pub fn put_back(&mut self, ticket: Ticket, outcome: Outcome) {
        self.answers.insert(ticket, (outcome, When::Now));
    }

    /// The answer, which has come, and when it may go.
    #[track_caller]
    pub fn taken(&mut self, ticket: Ticket) -> (Outcome, When) {
        let answer = self.answers.remove(&ticket);
        answer.expect("an answer should have come")
    }

    /// Send, and have the answer at once.
    #[track_caller]
    pub fn ask(&mut self, event: Event) -> Outcome {
        let ticket = self.send(event);
        self.take(ticket).expect("an answer should come at once")
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
        self.machine = self.replayed(&self.log);
        let mut out = self.effects();
        let ends = self.ends.clone();
        self.machine.start(self.now, &ends, &mut out);
        self.answers.clear();
        self.actions.clear();
        self.settle(out);
    }

    /// The state that these records leave, as records.
    pub fn state_after(&self, records: &[Record]) -> Vec<Record> {
        let mut state = Vec::new();
        self.replayed(records).snapshot(&mut state);
        state
    }

    /// The whole state, which the log tells, and which tells itself.
    #[track_caller]
    pub fn told_state(&self) -> Vec<Record> {
        let state = self.snapshot();
        assert_eq!(self.state_after(&self.log), state, "the log tells it all");
        assert_eq!(self.state_after(&state), state, "so does the snapshot");
        state
    }

    /// A machine that has applied these records, through their bytes.
    pub fn replayed(&self, records: &[Record]) -> GroupMachine {
        let mut machine = GroupMachine::new(Arc::new(self.limits.clone()));
        for (offset, record) in records.iter().enumerate() {
            let (key, value) = record.encode();
            let decode = || Record::decode(&key, value.as_deref()).unwrap().unwrap();
            let record = match record.place() {
                Place::Plain => decode(),
                Place::Within(producer) => decode().within(producer).unwrap(),
                Place::Marker(marker) => Record::marker(marker).unwrap(),
            };
            let at = Applied {
                offset: Offset::new(offset as i64),
                timestamp_ms: self.now.wall_ms,
            };
            machine.apply(at, &record);
        }
        machine
    }

    /// The machine's hard state.
    pub fn snapshot(&self) -> Vec<Record> {
        let mut records = Vec::new();
        self.machine.snapshot(&mut records);
        records
    }

    /// A JoinGroup (v5) into group `g`, with changes.
    pub fn join_event(&mut self, member: &str, change: impl FnOnce(&mut Join)) -> Event {
        self.fresh += 1;
        let mut join = Join {
            group: "g".into(),
            member: member.into(),
            instance: None,
            client_id: "c".into(),
            client_host: "/127.0.0.1".into(),
            session_timeout_ms: 10_000,
            rebalance_timeout_ms: 60_000,
            protocol_type: "consumer".into(),
            protocols: vec![protocol("range", subscription(&["t"]))],
            requires_member_id: false,
            can_skip_assignment: false,
            fresh: Uuid::from_u128(self.fresh),
            found: Vec::new(),
        };
        change(&mut join);
        Event::Join(join)
    }

    /// Send a JoinGroup (v3) into group `g`.
    pub fn join(&mut self, member: &str) -> Ticket {
        let event = self.join_event(member, |_| {});
        self.send(event)
    }

    /// Send a JoinGroup of a static member.
    pub fn join_static(&mut self, instance: &str, member: &str) -> Ticket {
        let event = self.join_event(member, |join| join.instance = Some(instance.into()));
        self.send(event)
    }

    #[track_caller]
    pub fn joined(&mut self, ticket: Ticket) -> Joined {
        match self.take(ticket) {
            Some(Ok(Reply::Joined(joined))) => joined,
            other => panic!("no one joined: {other:?}"),
        }
    }

    #[track_caller]
    pub fn synced(&mut self, ticket: Ticket) -> Synced {
        match self.take(ticket) {
            Some(Ok(Reply::Synced(synced))) => synced,
            other => panic!("no one synced: {other:?}"),
        }
    }

    /// Two members, stable at generation 1; the first leads. Assignments are `1` and `2`.
    pub fn stable(&mut self) -> (Arc<str>, Arc<str>) {
        let (first, second) = (self.join(""), self.join(""));
        self.settle_group(first, second)
    }

    /// End the first rebalance of two who join, and give out `1` and `2`.
    pub fn settle_group(&mut self, first: Ticket, second: Ticket) -> (Arc<str>, Arc<str>) {
        self.advance(self.limits.initial_rebalance_delay_ms * 2);
        let (first, second) = (self.joined(first), self.joined(second));
        assert_eq!(first.member, first.leader);
        let follower = self.send(sync(&second.member, second.generation));
        let leader = self.send(sync_leader(
            &first.member,
            first.generation,
            &[(&first.member, "1"), (&second.member, "2")],
        ));
        assert_eq!(self.synced(leader).assignment, "1");
        assert_eq!(self.synced(follower).assignment, "2");
        (first.member, second.member)
    }

    pub fn state(&mut self) -> &'static str {
        match self.ask(Event::Describe("g".into())) {
            Ok(Reply::Described(description)) => description.state,
            Err(ErrorCode::GroupIdNotFound) => "Dead",
            other => panic!("no description: {other:?}"),
        }
    }

    /// What is committed for partition 0 of `t`.
    pub fn committed(&mut self) -> Option<i64> {
        let fetch = Fetch {
            group: "g".into(),
            member: None,
            member_epoch: -1,
            topics: Some(vec![("t".into(), vec![0])]),
            require_stable: false,
        };
        match self.ask(Event::Fetch(fetch)) {
            Ok(Reply::Fetched(topics)) => topics[0].partitions[0]
                .1
                .as_ref()
                .expect("nothing is unstable where that does not matter")
                .as_ref()
                .map(|committed| committed.offset),
            other => panic!("no offsets: {other:?}"),
        }
    }
}

pub fn protocol(name: &str, metadata: impl Into<Bytes>) -> Protocol {
    Protocol {
        name: name.into(),
        metadata: metadata.into(),
    }
}

/// A consumer's subscription, version 1, that owns nothing.
pub fn subscription(topics: &[&str]) -> Vec<u8> {
    let mut bytes = vec![0, 1, 0, 0, 0, topics.len() as u8];
    for topic in topics {
        bytes.extend_from_slice(&(topic.len() as u16).to_be_bytes());
        bytes.extend_from_slice(topic.as_bytes());
    }
    bytes.extend_from_slice(&[0xff; 4]);
    bytes.extend_from_slice(&[0; 4]);
    bytes
}

pub fn sync(member: &str, generation: i32) -> Event {
    sync_leader(member, generation, &[])
}

pub fn sync_leader(member: &str, generation: i32, assignments: &[(&str, &'static str)]) -> Event {
    Event::Sync(Sync {
        group: "g".into(),
        member: member.into(),
        instance: None,
        generation,
        protocol_type: None,
        protocol: None,
        assignments: assignments
            .iter()
            .map(|(id, bytes)| (Arc::from(*id), Bytes::from_static(bytes.as_bytes())))
            .collect(),
    })
}

pub fn heartbeat(member: &str, generation: i32) -> Event {
    Event::Heartbeat(Heartbeat {
        group: "g".into(),
        member: member.into(),
        instance: None,
        generation,
    })
}

pub fn leave(member: &str) -> Event {
    Event::Leave(Leave {
        group: "g".into(),
        members: vec![(member.into(), None)],
    })
}

pub fn commit(member: &str, generation: i32, offset: i64) -> Event {
    commit_with(member, generation, offset, |_| {})
}

pub fn commit_with(
    member: &str,
    generation: i32,
    offset: i64,
    change: impl FnOnce(&mut Commit),
) -> Event {
    let mut commit = Commit {
        group: "g".into(),
        member: member.into(),
        instance: None,
        generation,
        retention_ms: None,
        knows_group_id_not_found: false,
        offsets: vec![commit_offset("t", offset, "")],
    };
    change(&mut commit);
    Event::Commit(commit)
}

pub fn commit_offset(topic: &str, offset: i64, metadata: &str) -> CommitOffset {
    CommitOffset {
        topic: topic.into(),
        topic_id: TOPIC,
        partition: 0,
        offset,
        leader_epoch: -1,
        metadata: metadata.into(),
    }
}

pub const COMMITTED: fn() -> Outcome = || Ok(Reply::Committed(vec![Ok(())]));
