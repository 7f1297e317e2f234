//! Random histories of a consumer group: members that come, dawdle, fall silent, lose answers and
//! go, topics that are made, grow and go, restarts anywhere. At no time do two members work on one
//! partition; after every step the log tells the whole state; whenever all have spoken, all that
//! is read is handed out, each partition once.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use proptest::prelude::{Just, Strategy, any, prop, prop_oneof, proptest};
use ratel_protocol::ErrorCode;
use ratel_storage::TopicId;

use super::bench::Bench;
use super::catalog::{Catalog, TOPICS};
use super::consumer::{Told, beat};
use crate::coordinator::group::{
    Action, ConsumerBeat, ConsumerDescription, ConsumerHeartbeat, Event, GroupMachine, Matches,
    Reply, compile,
};
use crate::coordinator::{Machine, Ticket};

const REGEX: &str = "[uv]";

#[derive(Debug, Clone)]
enum Step {
    /// Join, or say anew what is read: a member, its topics as bits, whether by expression too,
    /// whether its answer is lost.
    Subscribe(usize, u8, bool, bool),
    /// A heartbeat as a client sends it; whether its answer is lost.
    Beat(usize, bool),
    /// A client lets go of what it was told to.
    LetGo(usize),
    Leave(usize),
    /// A member restarts under another id; a static one, if it said that it would, takes up what
    /// it had. Whether it said so.
    Return(usize, bool),
    /// All let go and speak until nothing is new.
    Settle,
    /// A topic is made, grows by so many partitions, or goes.
    Grow(usize, i32),
    Delete(usize),
    /// What was asked for is looked up.
    Look,
    Advance(i64),
    Restart,
}

fn step() -> impl Strategy<Value = Step> {
    let who = 0..5_usize;
    prop_oneof![
        6 => (who.clone(), 0..8_u8, any::<bool>(), any::<bool>())
            .prop_map(|(who, topics, regex, lost)| Step::Subscribe(who, topics, regex, lost)),
        8 => (who.clone(), any::<bool>()).prop_map(|(who, lost)| Step::Beat(who, lost)),
        6 => who.clone().prop_map(Step::LetGo),
        2 => who.clone().prop_map(Step::Leave),
        3 => (who, any::<bool>()).prop_map(|(who, said)| Step::Return(who, said)),
        3 => Just(Step::Settle),
        4 => (0..3_usize, 1..5_i32).prop_map(|(topic, by)| Step::Grow(topic, by)),
        1 => (0..3_usize).prop_map(Step::Delete),
        3 => Just(Step::Look),
        4 => prop_oneof![Just(1_i64), Just(1000), Just(20_000), Just(46_000), Just(61_000)]
            .prop_map(Step::Advance),
        2 => Just(Step::Restart),
    ]
}

/// What a client knows of its membership.
#[derive(Debug, Clone, Default)]
struct Client {
    /// How often it restarted.
    lives: u32,
    epoch: i32,
    /// What it works on.
    owned: Told,
    /// What it was told to work on.
    told: Told,
    topics: Vec<Arc<str>>,
    regex: bool,
    /// It must say all, for it cannot know what was heard.
    unsure: bool,
}

impl Client {
    /// Its id in this life.
    fn id(&self, who: usize) -> String {
        format!("m{who}.{}", self.lives)
    }

    /// Let go of what it was told to, and take up what it was given.
    fn take(&mut self) {
        self.owned = self.told.clone();
    }
}

struct History {
    bench: Bench,
    catalog: Catalog,
    clients: BTreeMap<usize, Client>,
    epochs: (i32, i32),
}

impl History {
    fn new() -> Self {
        let mut history = Self {
            bench: Bench::new(),
            catalog: Catalog::default(),
            clients: BTreeMap::new(),
            epochs: (0, 0),
        };
        let bench = &mut history.bench;
        history.catalog.grow(TOPICS[0], 3, true, bench);
        history
    }

    fn matching(&self) -> Vec<Arc<str>> {
        let names = self.catalog.topics.keys().filter(|name| **name != "t");
        names.map(|name| Arc::from(*name)).collect()
    }

    fn look(&mut self) {
        for action in std::mem::take(&mut self.bench.actions) {
            match action {
                Action::FindTopics(names) => {
                    let found = names.iter().map(|name| self.catalog.now(name)).collect();
                    self.bench.send(Event::Topics(found));
                }
                Action::MatchTopics {
                    group,
                    round,
                    regexes,
                } => {
                    assert_eq!(regexes.len(), 1);
                    let names = self.matching();
                    let found = names.iter().map(|name| self.catalog.now(name)).collect();
                    self.bench.send(Event::Matched(Matches {
                        group,
                        round,
                        version: self.catalog.version,
                        matches: vec![(REGEX.into(), names)],
                        found,
                    }));
                }
                other => panic!("of a share group: {other:?}"),
            }
        }
    }

    /// What a client says: all if it joins or is unsure, else what it holds.
    fn heartbeat(&self, who: usize, client: &Client) -> Event {
        let full = client.epoch == 0 || client.unsure;
        let names = client.topics.iter().map(|name| self.catalog.now(name));
        let matches = client
            .regex
            .then(|| (self.catalog.version, self.matching()));
        let matched = matches.iter().flat_map(|(_, names)| names);
        let found = names.chain(matched.map(|name| self.catalog.now(name)));
        let quiet = from(who, beat(&client.id(who), client.epoch));
        let regex: &str = if client.regex { REGEX } else { "" };
        let owned = match client.epoch {
            0 => Told::new(),
            _ => client.owned.clone(),
        };
        Event::ConsumerHeartbeat(match full {
            false => ConsumerHeartbeat {
                owned: Some(owned),
                ..quiet
            },
            true => ConsumerHeartbeat {
                rebalance_timeout_ms: Some(60_000),
                topics: Some(client.topics.clone()),
                regex: Some(regex.into()),
                owned: Some(owned),
                found: found.collect(),
                matches,
                ..quiet
            },
        })
    }

    fn speak(&mut self, who: usize, lost: bool) {
        let Some(mut client) = self.clients.remove(&who) else {
            return;
        };
        let event = self.heartbeat(who, &client);
        match self.bench.ask(event) {
            Ok(Reply::ConsumerBeat(_)) if lost => client.unsure = true,
            Ok(Reply::ConsumerBeat(beat)) => learn(&mut client, beat),
            // It lets go of everything, and joins anew.
            Err(
                ErrorCode::UnknownMemberId
                | ErrorCode::FencedMemberEpoch
                | ErrorCode::FencedInstanceId
                | ErrorCode::UnreleasedInstanceId,
            ) => {
                client.owned.clear();
                client.told.clear();
                client.epoch = 0;
            }
            Err(ErrorCode::GroupIdNotFound) => return,
            other => panic!("{other:?}"),
        }
        self.clients.insert(who, client);
    }

    fn subscribe(&mut self, who: usize, bits: u8, regex: bool, lost: bool) {
        let names = TOPICS.iter().enumerate();
        let names = names.filter(|(place, _)| bits & (1 << place) != 0);
        let client = self.clients.entry(who).or_default();
        client.topics = names.map(|(_, name)| Arc::from(*name)).collect();
        client.regex = regex;
        client.unsure = true;
        self.speak(who, lost);
    }

    fn leave(&mut self, who: usize) {
        if let Some(client) = self.clients.remove(&who) {
            let _ = self
                .bench
                .consumer_beat(from(who, beat(&client.id(who), -1)));
        }
    }

    fn come_back(&mut self, who: usize, said: bool) {
        let Some(mut client) = self.clients.remove(&who) else {
            return;
        };
        if said {
            let _ = self
                .bench
                .consumer_beat(from(who, beat(&client.id(who), -2)));
        }
        client = Client {
            lives: client.lives + 1,
            topics: client.topics,
            regex: client.regex,
            ..Client::default()
        };
        self.clients.insert(who, client);
        self.speak(who, false);
    }

    fn settle(&mut self) {
        for round in 0..12 {
            // What expressions stand for may change but once a second.
            if round < 2 {
                self.bench.advance(1000);
            }
            self.look();
            for who in 0..5 {
                self.speak(who, false);
                if let Some(client) = self.clients.get_mut(&who) {
                    client.take();
                }
                if let Some(group) = self.bench.consumer() {
                    self.check_owners(&group);
                }
            }
        }
        let Some(group) = self.bench.consumer() else {
            return;
        };
        // Whom no client stands for is silent until its session ends; so is a static member that
        // did not hear that it is in, or was fenced: its place is taken, by itself (H-4).
        if self.clients.values().any(|client| client.epoch == 0) {
            return;
        }
        let members: BTreeSet<_> = group.members.iter().map(|one| one.id.to_string()).collect();
        let clients = self.clients.iter().map(|(who, client)| client.id(*who));
        if !members.is_empty() && members == clients.collect() {
            self.check_assignment(&group);
        }
    }

    /// Each partition that is read has one holder, who reads it.
    fn check_assignment(&self, group: &ConsumerDescription) {
        assert_eq!(
            (group.state, group.assignment_epoch),
            ("Stable", group.epoch)
        );
        let mut left: BTreeSet<(TopicId, i32)> = BTreeSet::new();
        for client in self.clients.values() {
            let named = client.topics.iter().map(|name| &**name);
            let matched = TOPICS[1..].iter().filter(|_| client.regex).copied();
            let there = named
                .chain(matched)
                .filter_map(|name| self.catalog.topics.get(name));
            left.extend(there.flat_map(|(id, count)| (0..*count).map(|index| (*id, index))));
        }
        for (who, client) in &self.clients {
            let id = client.id(*who);
            let member = group.members.iter().find(|member| *member.id == *id);
            let member = member.expect("it is one");
            assert_eq!((member.epoch, client.epoch), (group.epoch, group.epoch));
            assert_eq!(client.owned, *member.assigned, "it knows what it has");
            assert_eq!(member.assigned, member.target);
            for (id, indexes) in &client.owned {
                for index in indexes {
                    assert!(left.remove(&(*id, *index)), "one holder, who reads it");
                }
            }
        }
        assert!(left.is_empty(), "{left:?} have no holder");
    }

    fn run(&mut self, step: &Step) {
        match *step {
            Step::Subscribe(who, bits, regex, lost) => self.subscribe(who, bits, regex, lost),
            Step::Beat(who, lost) => self.speak(who, lost),
            Step::LetGo(who) => {
                if let Some(client) = self.clients.get_mut(&who) {
                    client.take();
                }
            }
            Step::Leave(who) => self.leave(who),
            Step::Return(who, said) => self.come_back(who, said),
            Step::Settle => self.settle(),
            Step::Grow(place, by) => {
                self.catalog.grow(TOPICS[place], by, true, &mut self.bench);
            }
            Step::Delete(place) => self.catalog.delete(TOPICS[place], &mut self.bench),
            Step::Look => self.look(),
            Step::Advance(ms) => self.bench.advance(ms),
            Step::Restart => {
                self.bench.ends.topics = self.catalog.all();
                self.bench.restart();
            }
        }
        self.check();
    }

    /// What must hold at any time.
    fn check(&mut self) {
        let snapshot = self.bench.snapshot();
        let state = |records: &[_]| {
            let mut machine = self.bench.replayed(records);
            let mut records = Vec::new();
            machine.snapshot(&mut records);
            (records, described(&mut machine, &self.bench))
        };
        let replayed = [state(&self.bench.log), state(&snapshot)];
        let group = self.bench.consumer();
        for (records, description) in replayed {
            assert_eq!(records, snapshot, "log and snapshot tell it all");
            assert_eq!(description, group);
        }
        let Some(group) = group else {
            self.epochs = (0, 0);
            return;
        };
        let epochs = (group.epoch, group.assignment_epoch);
        assert!(epochs.0 >= self.epochs.0 && epochs.1 >= self.epochs.1);
        self.epochs = epochs;
        self.check_owners(&group);
    }

    /// No partition is worked on by two members that are in the group.
    fn check_owners(&self, group: &ConsumerDescription) {
        let mut given = BTreeSet::new();
        let mut instances = BTreeSet::new();
        for member in &group.members {
            if let Some(instance) = &member.metadata.instance {
                assert!(instances.insert(instance), "{instance} is there twice");
            }
            for (topic, indexes) in &*member.assigned {
                for index in indexes {
                    let first = given.insert((*topic, *index));
                    assert!(first, "{topic}-{index} is given to two");
                }
            }
        }
        let mut worked_on = BTreeSet::new();
        for (who, client) in &self.clients {
            let id = client.id(*who);
            let member = group.members.iter().find(|member| *member.id == *id);
            // Whom the group put out must let go by its own clock.
            let Some(member) = member.filter(|_| client.epoch > 0) else {
                continue;
            };
            assert!(member.epoch <= group.assignment_epoch);
            for (topic, indexes) in &client.owned {
                for index in indexes {
                    let first = worked_on.insert((*topic, *index));
                    assert!(first, "{topic}-{index} has two owners");
                }
            }
        }
    }
}

/// The first two clients are static members.
fn from(who: usize, event: ConsumerHeartbeat) -> ConsumerHeartbeat {
    let instance = (who < 2).then(|| format!("i{who}").into());
    ConsumerHeartbeat { instance, ..event }
}

/// Take in an answer: let go is for later, but nothing new is begun before.
fn learn(client: &mut Client, beat: ConsumerBeat) {
    assert!(client.epoch <= beat.epoch, "epochs of a member grow");
    client.epoch = beat.epoch;
    client.unsure = false;
    if let Some(assignment) = beat.assignment {
        client.told = (*assignment).clone();
        let gives_up = client.owned.iter().any(|(topic, indexes)| {
            let told = client.told.get(topic);
            let kept = |index: &i32| told.is_some_and(|told| told.contains(index));
            !indexes.iter().all(kept)
        });
        if !gives_up {
            client.take();
        }
    }
}

/// The group as an administrator sees it in a machine that is not the bench's own.
fn described(machine: &mut GroupMachine, bench: &Bench) -> Option<ConsumerDescription> {
    let mut out = bench.effects();
    let event = Event::DescribeConsumer("g".into());
    machine.handle(bench.now, Ticket(0), event, &mut out);
    match out.replies.pop() {
        Some((_, Ok(Reply::ConsumerDescribed(description)), _)) => Some(description),
        _ => None,
    }
}

#[test]
fn the_expression_of_the_histories_is_one() {
    let regex = compile(REGEX).expect("an expression");
    assert!(regex.is_match("u") && regex.is_match("v") && !regex.is_match("t"));
}

proptest! {
    #[test]
    fn h_5_random_consumer_groups_keep_what_must_hold(
        steps in prop::collection::vec(step(), 1..80),
    ) {
        let mut history = History::new();
        for step in &steps {
            history.run(step);
        }
        history.run(&Step::Settle);
    }
}
