//! Random histories of a share group: members that come, fall silent, lose answers and go, topics
//! that are made, grow and go, queues that are made or cannot be, restarts anywhere. After every
//! step the log tells the whole state; whenever all have spoken, all that is read is handed out
//! evenly.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use proptest::prelude::{Just, Strategy, any, prop, prop_oneof, proptest};
use ratel_protocol::ErrorCode;
use ratel_storage::TopicId;

use super::bench::Bench;
use super::catalog::{Catalog, TOPICS};
use crate::coordinator::group::{
    Action, Event, GroupMachine, QueueEvent, QueueTopics, Reply, ShareBeat, ShareDescription,
    ShareHeartbeat, ShareSettings,
};
use crate::coordinator::{Machine, Ticket};

const MEMBERS_MAX: usize = 4;

#[derive(Debug, Clone)]
enum Step {
    /// Join, or say anew what is read: a member, its topics as bits, whether its answer is lost.
    Subscribe(usize, u8, bool),
    /// A heartbeat as a client sends it; whether its answer is lost.
    Beat(usize, bool),
    /// A heartbeat with an epoch of long ago.
    Old(usize),
    Leave(usize),
    /// All speak until nothing is new.
    Settle,
    /// A topic is made, grows by so many partitions, or goes; whether the group hears of it.
    Grow(usize, i32, bool),
    Delete(usize),
    /// What was asked for about queues is done, or fails.
    Queues(bool),
    Alter(usize),
    Remove(usize),
    DeleteGroup,
    Advance(i64),
    Restart,
}

fn step() -> impl Strategy<Value = Step> {
    let who = 0..6_usize;
    prop_oneof![
        6 => (who.clone(), 0..8_u8, any::<bool>())
            .prop_map(|(who, topics, lost)| Step::Subscribe(who, topics, lost)),
        6 => (who.clone(), any::<bool>()).prop_map(|(who, lost)| Step::Beat(who, lost)),
        1 => who.clone().prop_map(Step::Old),
        2 => who.prop_map(Step::Leave),
        4 => Just(Step::Settle),
        4 => (0..3_usize, 1..5_i32, any::<bool>())
            .prop_map(|(topic, by, heard)| Step::Grow(topic, by, heard)),
        1 => (0..3_usize).prop_map(Step::Delete),
        4 => any::<bool>().prop_map(Step::Queues),
        1 => (0..3_usize).prop_map(Step::Alter),
        1 => (0..3_usize).prop_map(Step::Remove),
        1 => Just(Step::DeleteGroup),
        4 => prop_oneof![Just(1_i64), Just(1000), Just(20_000), Just(46_000)]
            .prop_map(Step::Advance),
        2 => Just(Step::Restart),
    ]
}

/// Topic ids and partitions, as a member was told.
type Told = BTreeMap<TopicId, Vec<i32>>;

/// What a client knows of its membership.
#[derive(Debug, Clone, Default)]
struct Client {
    epoch: i32,
    assignment: Told,
    topics: Vec<Arc<str>>,
}

struct History {
    bench: Bench,
    catalog: Catalog,
    clients: BTreeMap<usize, Client>,
    /// The group's and the assignment's epoch, as last seen.
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
        history.catalog.grow(TOPICS[0], 2, false, bench);
        history
    }

    fn heartbeat(&self, who: usize, epoch: i32, topics: Option<Vec<Arc<str>>>) -> Event {
        let found = topics.iter().flatten().map(|name| self.catalog.now(name));
        Event::ShareHeartbeat(ShareHeartbeat {
            group: "g".into(),
            member: format!("m{who}").into(),
            epoch,
            rack: None,
            found: found.collect(),
            topics,
            client_id: "c".into(),
            client_host: "/127.0.0.1".into(),
            settings: ShareSettings {
                members_max: MEMBERS_MAX,
                ..ShareSettings::default()
            },
        })
    }

    /// Send what a client has to say, and let it learn from the answer unless that is lost.
    fn speak(&mut self, who: usize, event: Event, lost: bool) {
        let was_member = self.is_member(who);
        match self.bench.ask(event) {
            Ok(Reply::ShareBeat(_)) if lost => {}
            Ok(Reply::ShareBeat(beat)) => self.learn(who, beat),
            // A stranger joins anew; so does who lost two answers in a row.
            Err(ErrorCode::UnknownMemberId | ErrorCode::FencedMemberEpoch) => {
                assert!(
                    was_member || self.share().is_some(),
                    "69 for who was unknown"
                );
                self.clients.remove(&who);
            }
            Err(ErrorCode::GroupIdNotFound) => {
                assert!(!was_member, "never to a live member");
                self.clients.remove(&who);
            }
            Err(ErrorCode::GroupMaxSizeReached) => {
                assert!(!was_member, "it has its place");
                let members = self.share().map_or(0, |share| share.members.len());
                assert_eq!(members, MEMBERS_MAX);
                self.clients.remove(&who);
            }
            // The queues of the group before are being deleted.
            Err(ErrorCode::CoordinatorLoadInProgress) => assert!(!was_member),
            other => panic!("{other:?}"),
        }
    }

    fn learn(&mut self, who: usize, beat: ShareBeat) {
        let client = self.clients.entry(who).or_default();
        assert!(beat.epoch >= client.epoch, "epochs of a member grow");
        client.epoch = beat.epoch;
        if let Some(assignment) = beat.assignment {
            client.assignment = (*assignment).clone();
        }
        let id = format!("m{who}");
        let (epoch, assignment) = (client.epoch, client.assignment.clone());
        let share = self.share().expect("it has a member");
        let member = share.members.iter().find(|member| *member.id == *id);
        let member = member.expect("it is one");
        assert_eq!(epoch, member.epoch);
        assert_eq!(assignment, *member.assigned, "it knows what it has");
    }

    fn share(&mut self) -> Option<ShareDescription> {
        self.bench.share()
    }

    fn is_member(&mut self, who: usize) -> bool {
        let id = format!("m{who}");
        self.share()
            .is_some_and(|share| share.members.iter().any(|member| *member.id == *id))
    }

    fn subscribe(&mut self, who: usize, bits: u8, lost: bool) {
        let names = TOPICS.iter().enumerate();
        let names = names.filter(|(place, _)| bits & (1 << place) != 0);
        let topics: Vec<Arc<str>> = names.map(|(_, name)| Arc::from(*name)).collect();
        let epoch = self.clients.get(&who).map_or(0, |client| client.epoch);
        let event = self.heartbeat(who, epoch, Some(topics.clone()));
        self.speak(who, event, lost);
        if self.is_member(who) {
            self.clients.entry(who).or_default().topics = topics;
        }
    }

    fn beat(&mut self, who: usize, lost: bool) {
        if let Some(client) = self.clients.get(&who) {
            // Who knows no epoch yet says all again.
            let topics = (client.epoch == 0).then(|| client.topics.clone());
            let event = self.heartbeat(who, client.epoch, topics);
            self.speak(who, event, lost);
        }
    }

    /// An epoch below the one before, as the member was told them, is fenced.
    fn old(&mut self, who: usize) {
        let Some(client) = self.clients.get(&who).filter(|client| client.epoch > 2) else {
            return;
        };
        let before = self.bench.log.len();
        let event = self.heartbeat(who, client.epoch + 1000, None);
        if self.is_member(who) {
            let fenced = Err(ErrorCode::FencedMemberEpoch);
            assert_eq!(self.bench.ask(event), fenced);
        }
        assert_eq!(self.bench.log.len(), before, "it changed nothing");
    }

    fn leave(&mut self, who: usize) {
        let is_member = self.is_member(who);
        let event = self.heartbeat(who, -1, None);
        let outcome = self.bench.ask(event);
        assert_eq!(outcome.is_ok(), is_member, "{outcome:?}");
        self.clients.remove(&who);
    }

    fn settle(&mut self) {
        let catalog = self.catalog.all();
        self.bench.send(Event::Topics(catalog));
        for _ in 0..3 {
            for who in 0..6 {
                self.beat(who, false);
            }
        }
        // Whom no client stands for is silent for ever; its share is not checked then.
        let Some(share) = self.share() else { return };
        if !share.members.is_empty() && share.members.len() == self.clients.len() {
            self.check_assignment(&share);
        }
    }

    /// Complete, and balanced within one.
    fn check_assignment(&self, share: &ShareDescription) {
        assert_eq!(share.assignment_epoch, share.epoch);
        let existing = |names: &[Arc<str>]| -> BTreeSet<TopicId> {
            let ids = names
                .iter()
                .filter_map(|name| self.catalog.topics.get(&**name));
            ids.map(|(id, _)| *id).collect()
        };
        let reads: Vec<BTreeSet<TopicId>> = share
            .members
            .iter()
            .map(|member| existing(&member.topics))
            .collect();
        let size = |told: &Told| -> usize { told.values().map(Vec::len).sum() };
        for (member, reads) in share.members.iter().zip(&reads) {
            assert_eq!(member.epoch, share.epoch, "all have heard");
            assert!(member.assigned.keys().all(|id| reads.contains(id)));
        }
        let mut reading = reads.iter().filter(|reads| !reads.is_empty());
        let first = reading.next();
        let alike = reading.all(|reads| Some(reads) == first);
        for (id, count) in self.catalog.topics.values() {
            let readers = share.members.iter().zip(&reads);
            let readers = readers.filter(|(_, reads)| reads.contains(id));
            let has = |told: &Told| told.get(id).cloned().unwrap_or_default();
            let all: Vec<Vec<i32>> = readers.map(|(member, _)| has(&member.assigned)).collect();
            if all.is_empty() {
                continue;
            }
            let handed: BTreeSet<i32> = all.iter().flatten().copied().collect();
            assert!(
                handed.iter().copied().eq(0..*count),
                "{handed:?} of {count}"
            );
            if !alike {
                check_balance(all.iter().map(Vec::len));
            }
        }
        if alike {
            let members = share.members.iter().zip(&reads);
            let members = members.filter(|(_, reads)| !reads.is_empty());
            check_balance(members.map(|(member, _)| size(&member.assigned)));
        }
    }

    /// Answer what was asked for about queues.
    fn queues(&mut self, well: bool) {
        for action in std::mem::take(&mut self.bench.actions) {
            let event = match (action, well) {
                (Action::MatchTopics { .. }, _) => continue,
                (Action::FindTopics(names), _) => {
                    let found = names.iter().map(|name| self.catalog.now(name)).collect();
                    self.bench.send(Event::Topics(found));
                    continue;
                }
                (_, false) => QueueEvent::Failed,
                (Action::InitializeQueues { topics, .. }, true) => QueueEvent::Initialized(topics),
                (Action::DeleteQueues { .. }, true) => QueueEvent::Gone,
            };
            self.bench.send(Event::Queues("g".into(), event));
        }
    }

    /// Queues of one topic, of one partition.
    fn queue_of(&self, place: usize) -> Option<QueueTopics> {
        let (id, _) = self.catalog.topics.get(TOPICS[place])?;
        let queue = crate::coordinator::group::QueueTopic {
            name: TOPICS[place].into(),
            partitions: vec![0],
        };
        Some(vec![(*id, queue)])
    }

    fn run(&mut self, step: &Step) {
        match *step {
            Step::Subscribe(who, bits, lost) => self.subscribe(who, bits, lost),
            Step::Beat(who, lost) => self.beat(who, lost),
            Step::Old(who) => self.old(who),
            Step::Leave(who) => self.leave(who),
            Step::Settle => self.settle(),
            Step::Grow(place, by, heard) => {
                self.catalog.grow(TOPICS[place], by, heard, &mut self.bench);
            }
            Step::Delete(place) => self.catalog.delete(TOPICS[place], &mut self.bench),
            Step::Queues(well) => self.queues(well),
            Step::Alter(place) => {
                if let Some(topics) = self.queue_of(place) {
                    self.bench
                        .send(Event::Queues("g".into(), QueueEvent::Alter(topics)));
                }
            }
            Step::Remove(place) => {
                if let Some((id, _)) = self.catalog.topics.get(TOPICS[place]) {
                    let event = QueueEvent::Remove(vec![*id]);
                    self.bench.send(Event::Queues("g".into(), event));
                }
            }
            Step::DeleteGroup => {
                self.bench.send(Event::DeleteGroup("g".into()));
            }
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
        let share = self.share();
        for (records, description) in replayed {
            assert_eq!(
                records, snapshot,
                "the log tells it all, and so does the snapshot"
            );
            assert_eq!(description, share);
        }
        let Some(share) = share else {
            self.epochs = (0, 0);
            return;
        };
        let epochs = (share.epoch, share.assignment_epoch);
        assert!(epochs.0 >= self.epochs.0 && epochs.1 >= self.epochs.1);
        assert!(share.assignment_epoch <= share.epoch);
        assert!(share.members.len() <= MEMBERS_MAX);
        for member in &share.members {
            assert!(member.epoch <= share.assignment_epoch);
        }
        self.epochs = epochs;
    }
}

/// The group as an administrator sees it in a machine that is not the bench's own.
fn described(machine: &mut GroupMachine, bench: &Bench) -> Option<ShareDescription> {
    let mut out = bench.effects();
    let event = Event::DescribeShare("g".into());
    machine.handle(bench.now, Ticket(0), event, &mut out);
    match out.replies.pop() {
        Some((_, Ok(Reply::ShareDescribed(description)), _)) => Some(description),
        _ => None,
    }
}

fn check_balance(sizes: impl Iterator<Item = usize>) {
    let sizes: Vec<usize> = sizes.collect();
    let (least, most) = (sizes.iter().min(), sizes.iter().max());
    let apart = most.zip(least).map(|(most, least)| most - least);
    assert!(apart <= Some(1), "sizes {sizes:?}");
}

proptest! {
    #[test]
    fn random_share_groups_keep_what_must_hold(steps in prop::collection::vec(step(), 1..80)) {
        let mut history = History::new();
        for step in &steps {
            history.run(step);
        }
        history.run(&Step::Queues(true));
        history.run(&Step::Settle);
    }
}
