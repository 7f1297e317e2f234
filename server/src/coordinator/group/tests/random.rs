//! Random histories: nothing panics, what must hold holds after every step, the log tells the
//! whole state, and nobody is left waiting for ever.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use proptest::prelude::{Just, Strategy, prop, prop_oneof, proptest};
use ratel_protocol::ErrorCode;
use ratel_storage::{Offset, PartitionId};

use super::bench::{
    Bench, TOPIC, commit, commit_with, heartbeat, leave, protocol, subscription, sync_leader,
};
use crate::coordinator::group::{DeleteOffsets, Event, Leave, Reply};
use crate::coordinator::{Machine, Ticket};

#[derive(Debug, Clone)]
enum Step {
    /// Who (an index into the ids seen so far, or someone new), instance, metadata.
    Join(usize, Option<u8>, u8),
    Sync(usize, i32),
    Heartbeat(usize, i32),
    Leave(usize),
    LeaveInstance(u8),
    Commit(usize, i32, i64),
    CommitAlone(i64),
    DeleteGroup,
    DeleteOffsets,
    TopicDeleted,
    Advance(i64),
    Restart(i64),
}

fn step() -> impl Strategy<Value = Step> {
    let who = 0..6_usize;
    let back = 0..2_i32;
    prop_oneof![
        8 => (who.clone(), proptest::option::weighted(0.3, 0..2_u8), 0..2_u8)
            .prop_map(|(who, instance, metadata)| Step::Join(who, instance, metadata)),
        6 => (who.clone(), back.clone()).prop_map(|(who, back)| Step::Sync(who, back)),
        3 => (who.clone(), back.clone()).prop_map(|(who, back)| Step::Heartbeat(who, back)),
        1 => who.clone().prop_map(Step::Leave),
        1 => (0..2_u8).prop_map(Step::LeaveInstance),
        2 => (who, back, 0..100_i64)
            .prop_map(|(who, back, offset)| Step::Commit(who, back, offset)),
        1 => (0..100_i64).prop_map(Step::CommitAlone),
        1 => Just(Step::DeleteGroup),
        1 => Just(Step::DeleteOffsets),
        1 => Just(Step::TopicDeleted),
        6 => prop_oneof![Just(1_i64), Just(3000), Just(9000), Just(61_000), Just(700_000)]
            .prop_map(Step::Advance),
        1 => (0..100_i64).prop_map(Step::Restart),
    ]
}

/// A history in the making, and what its clients know.
struct History {
    bench: Bench,
    ids: Vec<Arc<str>>,
    waiting: BTreeSet<Ticket>,
    generation: i32,
    /// Leaders by generation, since the last restart.
    leaders: BTreeMap<i32, Arc<str>>,
}

impl History {
    fn new() -> Self {
        Self {
            bench: Bench::with(|limits| limits.members_max = 4),
            ids: Vec::new(),
            waiting: BTreeSet::new(),
            generation: 0,
            leaders: BTreeMap::new(),
        }
    }

    fn who(&self, index: usize) -> Arc<str> {
        self.ids
            .iter()
            .rev()
            .nth(index)
            .cloned()
            .unwrap_or_default()
    }

    fn event(&mut self, step: &Step) -> Option<Event> {
        let generation = self.generation;
        Some(match *step {
            Step::Join(who, instance, metadata) => {
                let member = self.who(who);
                self.bench.join_event(&member, |join| {
                    join.instance = instance.map(|instance| format!("i{instance}").into());
                    let bytes = subscription(&[["t", "u"][usize::from(metadata)]]);
                    join.protocols = vec![protocol("range", bytes)];
                    join.requires_member_id = metadata == 1;
                    join.can_skip_assignment = metadata == 0;
                })
            }
            Step::Sync(who, back) => {
                sync_leader(&self.who(who), generation - back, &[(&self.who(0), "x")])
            }
            Step::Heartbeat(who, back) => heartbeat(&self.who(who), generation - back),
            Step::Leave(who) => leave(&self.who(who)),
            Step::LeaveInstance(instance) => Event::Leave(Leave {
                group: "g".into(),
                members: vec![("".into(), Some(format!("i{instance}").into()))],
            }),
            Step::Commit(who, back, offset) => commit(&self.who(who), generation - back, offset),
            Step::CommitAlone(offset) => commit_with("", -1, offset, |_| {}),
            Step::DeleteGroup => Event::DeleteGroup("g".into()),
            Step::DeleteOffsets => Event::DeleteOffsets(DeleteOffsets {
                group: "g".into(),
                offsets: vec![("t".into(), 0)],
            }),
            Step::TopicDeleted => Event::TopicDeleted(TOPIC),
            Step::Advance(_) | Step::Restart(_) => return None,
        })
    }

    fn run(&mut self, step: &Step) {
        if let Some(event) = self.event(step) {
            let ticket = self.bench.send(event);
            self.waiting.insert(ticket);
        }
        match *step {
            Step::Advance(ms) => self.bench.advance(ms),
            Step::Restart(end) => {
                let partition = PartitionId {
                    topic: TOPIC,
                    index: 0,
                };
                self.bench.ends.ends.insert(partition, Offset::new(end));
                self.bench.restart();
                self.waiting.clear();
                self.leaders.clear();
                self.generation = 0;
            }
            _ => {}
        }
        self.hear();
        self.check();
    }

    /// Take in the answers that have come.
    fn hear(&mut self) {
        for ticket in std::mem::take(&mut self.waiting) {
            match self.bench.take(ticket) {
                None => {
                    self.waiting.insert(ticket);
                }
                Some(Ok(Reply::Joined(joined))) => {
                    assert!(joined.generation >= self.generation, "generations grow");
                    self.generation = joined.generation;
                    if !joined.members.is_empty() {
                        assert_eq!(joined.member, joined.leader, "only the leader hears of all");
                        let leader = self.leaders.entry(joined.generation);
                        let leader = leader.or_insert_with(|| joined.leader.clone());
                        assert!(
                            *leader == joined.leader || joined.skip_assignment,
                            "one leader in a generation"
                        );
                    }
                    self.ids.push(joined.member);
                }
                Some(Ok(Reply::MemberIdRequired(id))) => self.ids.push(id),
                Some(_) => {}
            }
        }
        if self.bench.state() == "Dead" {
            self.generation = 0;
            self.leaders.clear();
        }
    }

    /// What must hold at any time.
    fn check(&mut self) {
        self.bench.told_state();
        if let Some(at_ms) = self.bench.machine.next_timeout() {
            assert!(at_ms > 0);
        }
    }

    /// Let time pass: members that say nothing are dropped, and with them whoever waits.
    fn end(&mut self) {
        for _ in 0..40 {
            self.bench.advance(100_000);
            self.hear();
        }
        assert!(self.waiting.is_empty(), "left waiting: {:?}", self.waiting);
        assert!(matches!(self.bench.state(), "Empty" | "Dead"));
        let ticket = self.bench.join("who");
        assert_eq!(
            self.bench.take(ticket),
            Some(Err(ErrorCode::UnknownMemberId))
        );
    }
}

proptest! {

    #[test]
    fn random_histories_keep_what_must_hold(steps in prop::collection::vec(step(), 1..60)) {
        let mut history = History::new();
        for step in &steps {
            history.run(step);
        }
        history.end();
    }
}
