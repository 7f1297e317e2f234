//! Random histories of groups whose members speak the classic protocol or the new one: they come,
//! restart in the other protocol, lose answers, fall silent and go, topics grow and go, the server
//! restarts anywhere. At no time do two members work on one partition, epochs only grow, the log
//! tells the whole state; whenever all speak for a while, all that is read is handed out, each
//! partition once, and everybody may commit.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use bytes::Bytes;
use proptest::prelude::{Just, Strategy, any, prop, prop_oneof, proptest};
use ratel_protocol::ErrorCode;
use ratel_storage::TopicId;

use super::bench::{Bench, Outcome, commit_with, heartbeat, leave, protocol};
use super::catalog::{Catalog, TOPICS};
use super::consumer::{Told, beat};
use super::mixed::{given, reads, sync_with};
use crate::config::MigrationPolicy;
use crate::coordinator::group::embedded::{assignment, subscription};
use crate::coordinator::group::{
    Action, ConsumerHeartbeat, Event, Join, Joined, JoinedMember, Record, Reply,
};
use crate::coordinator::{Record as _, Ticket};

/// How many clients there are at most; the first two are static members.
const CLIENTS: usize = 5;
const STATIC: usize = 2;

#[derive(Debug, Clone)]
enum Step {
    /// Come, if it is not there: who, whether it speaks the classic protocol, its topics as bits.
    Come(usize, bool, u8),
    /// Say what is due next; whether the answer is lost.
    Speak(usize, bool),
    /// A member of the new protocol lets go of what it was told to.
    LetGo(usize),
    Leave(usize),
    /// Restart, in the other protocol or the same; whether it says farewell first.
    Return(usize, bool, bool),
    Grow(usize, i32),
    Delete(usize),
    Look,
    Settle,
    Advance(i64),
    Restart,
}

fn step() -> impl Strategy<Value = Step> {
    let who = 0..CLIENTS;
    prop_oneof![
        6 => (who.clone(), any::<bool>(), 1..8_u8)
            .prop_map(|(who, classic, bits)| Step::Come(who, classic, bits)),
        12 => (who.clone(), prop::bool::weighted(0.2))
            .prop_map(|(who, lost)| Step::Speak(who, lost)),
        4 => who.clone().prop_map(Step::LetGo),
        2 => who.clone().prop_map(Step::Leave),
        5 => (who, prop::bool::weighted(0.7), any::<bool>())
            .prop_map(|(who, other, says)| Step::Return(who, other, says)),
        2 => (0..3_usize, 1..4_i32).prop_map(|(topic, by)| Step::Grow(topic, by)),
        1 => (0..3_usize).prop_map(Step::Delete),
        2 => Just(Step::Look),
        3 => Just(Step::Settle),
        4 => prop_oneof![Just(1_i64), Just(3000), Just(9000), Just(46_000), Just(61_000)]
            .prop_map(Step::Advance),
        2 => Just(Step::Restart),
    ]
}

type View = (Vec<Arc<str>>, BTreeMap<&'static str, (TopicId, i32)>);

/// What a client knows of its membership.
#[derive(Debug, Clone, Default)]
struct Client {
    classic: bool,
    lives: u32,
    /// Its id; empty until it was given one.
    id: String,
    /// Its epoch or generation; 0 if it is not in.
    epoch: i32,
    topics: Vec<Arc<str>>,
    /// What it works on.
    owned: Told,
    /// What it was told to work on, in the new protocol.
    told: Told,
    /// It must say all, for it cannot know what was heard.
    unsure: bool,
    /// Its JoinGroup that waits for an answer.
    joining: Option<Ticket>,
    /// Its place in a generation that it has not synced in, and its SyncGroup.
    joined: Option<Joined>,
    syncing: Option<Ticket>,
    /// It must join anew.
    rejoins: bool,
    /// What it read when it last wanted to join, and all topics as they were: a leader looks at
    /// those of all members.
    view: View,
}

impl Client {
    /// It is out, and works on nothing; its id may be as void.
    fn forget(&mut self, id: bool) {
        self.epoch = 0;
        self.owned.clear();
        self.told.clear();
        (self.joining, self.joined, self.syncing) = (None, None, None);
        self.rejoins = true;
        if id && self.classic {
            self.id.clear();
        }
    }
}

struct History {
    bench: Bench,
    catalog: Catalog,
    clients: BTreeMap<usize, Client>,
    /// Members give up all they have before they join anew, or only what they are told to.
    eager: bool,
    policy: MigrationPolicy,
    epoch: i32,
}

impl History {
    fn new(policy: MigrationPolicy, eager: bool) -> Self {
        let mut history = Self {
            bench: Bench::with(|limits| limits.consumer.migration = policy),
            catalog: Catalog::default(),
            clients: BTreeMap::new(),
            eager,
            policy,
            epoch: 0,
        };
        let bench = &mut history.bench;
        history.catalog.grow(TOPICS[0], 3, true, bench);
        history
    }

    fn look(&mut self) {
        for action in std::mem::take(&mut self.bench.actions) {
            let Action::FindTopics(names) = action else {
                panic!("nobody brings expressions: {action:?}");
            };
            let found = names.iter().map(|name| self.catalog.now(name)).collect();
            self.bench.send(Event::Topics(found));
        }
    }

    /// Send an event; topics that are wanted are found.
    fn send(&mut self, mut event: Event) -> Ticket {
        let mut ticket = self.bench.send(event.clone());
        while let Some(outcome) = self.bench.take(ticket) {
            let Ok(Reply::TopicsWanted(names)) = outcome else {
                self.bench.put_back(ticket, outcome);
                break;
            };
            let found = names.iter().map(|name| self.catalog.now(name));
            event.found().expect("they can be").extend(found);
            ticket = self.bench.send(event.clone());
        }
        ticket
    }

    fn ask(&mut self, event: Event) -> Outcome {
        let ticket = self.send(event);
        self.bench.take(ticket).expect("an answer at once")
    }

    /// Topics by their names, those that are there.
    fn named(&self, told: &Told) -> Vec<(&'static str, Vec<i32>)> {
        let there = self.catalog.topics.iter();
        there
            .filter_map(|(name, (id, _))| Some((*name, told.get(id)?.clone())))
            .collect()
    }

    fn come(&mut self, who: usize, classic: bool, bits: u8) {
        let names = TOPICS.iter().enumerate();
        let names = names.filter(|(place, _)| bits & (1 << place) != 0);
        let topics = names.map(|(_, name)| Arc::from(*name)).collect();
        let client = self.clients.entry(who).or_insert_with(|| {
            let mut client = Client {
                classic,
                ..Client::default()
            };
            if !classic {
                client.id = format!("m{who}.0");
            }
            client
        });
        client.topics = topics;
        client.unsure = true;
        client.rejoins = true;
        self.speak(who, false);
    }

    /// A client's process ends and begins anew.
    fn come_back(&mut self, who: usize, other: bool, says: bool) {
        let Some(client) = self.clients.get(&who).cloned() else {
            return;
        };
        // A static member that speaks the classic protocol goes without a word.
        let is_static = who < STATIC;
        if says && !(client.classic && is_static) {
            self.farewell(who, &client, is_static);
            self.check_epoch();
        }
        let lives = client.lives + 1;
        let classic = client.classic != other;
        let id = match classic {
            true => String::new(),
            false => format!("m{who}.{lives}"),
        };
        self.clients.insert(
            who,
            Client {
                classic,
                lives,
                id,
                topics: client.topics,
                rejoins: true,
                ..Client::default()
            },
        );
        self.speak(who, false);
    }

    fn farewell(&mut self, who: usize, client: &Client, comes_back: bool) {
        if client.classic {
            if !client.id.is_empty() {
                let ticket = self.bench.send(leave(&client.id));
                let _ = self.bench.take(ticket);
            }
        } else {
            let epoch = if comes_back { -2 } else { -1 };
            let event = Event::ConsumerHeartbeat(from(who, beat(&client.id, epoch)));
            let _ = self.ask(event);
        }
    }

    /// Say what is due next.
    fn speak(&mut self, who: usize, lost: bool) {
        let Some(mut client) = self.clients.remove(&who) else {
            return;
        };
        match client.classic {
            true => self.speak_classic(who, &mut client, lost),
            false => self.speak_new(who, &mut client, lost),
        }
        self.clients.insert(who, client);
    }

    fn speak_new(&mut self, who: usize, client: &mut Client, lost: bool) {
        let quiet = from(who, beat(&client.id, client.epoch));
        let owned = match client.epoch {
            0 => Told::new(),
            _ => client.owned.clone(),
        };
        let quiet = ConsumerHeartbeat {
            owned: Some(owned),
            ..quiet
        };
        let event = match client.epoch == 0 || client.unsure {
            false => quiet,
            true => ConsumerHeartbeat {
                rebalance_timeout_ms: Some(60_000),
                topics: Some(client.topics.clone()),
                found: client
                    .topics
                    .iter()
                    .map(|name| self.catalog.now(name))
                    .collect(),
                ..quiet
            },
        };
        match self.ask(Event::ConsumerHeartbeat(event)) {
            Ok(Reply::ConsumerBeat(_)) if lost => client.unsure = true,
            Ok(Reply::ConsumerBeat(beat)) => {
                assert!(client.epoch <= beat.epoch, "epochs of a member grow");
                client.epoch = beat.epoch;
                client.unsure = false;
                if let Some(assignment) = beat.assignment {
                    client.told = (*assignment).clone();
                    if is_within(&client.owned, &client.told) {
                        client.owned = client.told.clone();
                    }
                }
            }
            Err(
                ErrorCode::UnknownMemberId
                | ErrorCode::FencedMemberEpoch
                | ErrorCode::FencedInstanceId
                | ErrorCode::UnreleasedInstanceId
                | ErrorCode::GroupIdNotFound,
            ) => client.forget(true),
            other => panic!("{other:?}"),
        }
    }

    fn speak_classic(&mut self, who: usize, client: &mut Client, lost: bool) {
        if let Some(ticket) = client.joining {
            match self.bench.take(ticket) {
                None => {}
                Some(outcome) => self.hear_join(client, outcome, lost),
            }
        } else if let Some(ticket) = client.syncing {
            match self.bench.take(ticket) {
                None => {}
                Some(outcome) => self.hear_sync(client, outcome, lost),
            }
        } else if let Some(joined) = &client.joined {
            let assignments = match joined.member == joined.leader && !joined.skip_assignment {
                true => self.share_out(&joined.members),
                false => Vec::new(),
            };
            let named: Vec<_> = assignments
                .iter()
                .map(|(id, bytes)| (&**id, bytes.clone()))
                .collect();
            let event = sync_with(&client.id, joined.generation, &named);
            client.syncing = Some(self.bench.send(event));
        } else if client.rejoins || client.epoch == 0 || client.view != self.view(client) {
            self.join_classic(who, client);
        } else {
            match self.bench.ask(heartbeat(&client.id, client.epoch)) {
                Ok(Reply::Done) => {}
                Err(ErrorCode::RebalanceInProgress) => client.rejoins = true,
                Err(error) => refused_classic(client, error),
                other => panic!("{other:?}"),
            }
        }
    }

    /// What a client that speaks the classic protocol joins anew for.
    fn view(&self, client: &Client) -> View {
        (client.topics.clone(), self.catalog.topics.clone())
    }

    fn join_classic(&mut self, who: usize, client: &mut Client) {
        if self.eager {
            client.owned.clear();
        }
        let owned = self.named(&client.owned);
        let owned: Vec<_> = owned
            .iter()
            .map(|(name, list)| (*name, &list[..]))
            .collect();
        let topics: Vec<_> = client.topics.iter().map(|name| &**name).collect();
        let metadata = reads(&topics, &owned);
        let event = self.bench.join_event(&client.id, |join: &mut Join| {
            join.instance = (who < STATIC).then(|| format!("i{who}").into());
            join.protocols = vec![protocol("range", metadata)];
            join.requires_member_id = true;
            join.can_skip_assignment = true;
        });
        client.rejoins = false;
        // A static leader that restarts is told that the assignment stands, whatever has happened
        // to the topics meanwhile: it looks once more when it is in.
        if client.lives == 0 || client.epoch > 0 {
            client.view = self.view(client);
        }
        client.joining = Some(self.send(event));
    }

    fn hear_join(&self, client: &mut Client, outcome: Outcome, lost: bool) {
        client.joining = None;
        match outcome {
            _ if lost => client.rejoins = true,
            Ok(Reply::MemberIdRequired(id)) => {
                client.id = id.to_string();
                client.rejoins = true;
            }
            Ok(Reply::Joined(joined)) => {
                client.id = joined.member.to_string();
                client.epoch = joined.generation;
                client.joined = Some(joined);
            }
            Err(ErrorCode::RebalanceInProgress) => client.rejoins = true,
            Err(ErrorCode::InconsistentGroupProtocol)
                if self.policy == MigrationPolicy::Disabled =>
            {
                client.forget(true);
            }
            Err(error) => refused_classic(client, error),
            other => panic!("{other:?}"),
        }
    }

    fn hear_sync(&self, client: &mut Client, outcome: Outcome, lost: bool) {
        (client.syncing, client.joined) = (None, None);
        match outcome {
            _ if lost => client.rejoins = true,
            Ok(Reply::Synced(synced)) => {
                let topics = assignment::parse(&synced.assignment).expect("an assignment");
                let topics = topics.into_iter().filter_map(|(name, partitions)| {
                    let (id, _) = self.catalog.topics.get(name)?;
                    (!partitions.is_empty()).then_some((*id, partitions))
                });
                let assigned: Told = topics.collect();
                client.rejoins = !is_within(&client.owned, &assigned);
                client.owned = assigned;
            }
            Err(ErrorCode::RebalanceInProgress) => client.rejoins = true,
            Err(error) => refused_classic(client, error),
            other => panic!("{other:?}"),
        }
    }

    /// What a leader makes of it: turns among those who read a topic, but nothing that another
    /// one holds so far.
    fn share_out(&self, members: &[JoinedMember]) -> Vec<(Arc<str>, Bytes)> {
        let members: BTreeMap<_, _> = members
            .iter()
            .map(|one| {
                let said = subscription::parse(&one.metadata).expect("a subscription");
                (one.id.clone(), said)
            })
            .collect();
        let mut shares: BTreeMap<&str, Vec<(&str, i32)>> = BTreeMap::new();
        for (topic, (_, count)) in &self.catalog.topics {
            let readers: Vec<_> = members
                .iter()
                .filter(|(_, said)| said.topics.contains(topic))
                .map(|(id, _)| &**id)
                .collect();
            for index in 0..*count {
                let Some(reader) = readers.get(index as usize % readers.len().max(1)) else {
                    continue;
                };
                let is_held = members.iter().any(|(id, said)| {
                    let mut owned = said.owned.iter();
                    **id != **reader
                        && owned.any(|(name, list)| name == topic && list.contains(&index))
                });
                if !is_held {
                    shares.entry(reader).or_default().push((topic, index));
                }
            }
        }
        let shares = shares.iter().map(|(id, share)| {
            let mut topics: BTreeMap<&str, Vec<i32>> = BTreeMap::new();
            for (topic, index) in share {
                topics.entry(topic).or_default().push(*index);
            }
            let topics: Vec<_> = topics
                .iter()
                .map(|(name, list)| (*name, &list[..]))
                .collect();
            (Arc::from(*id), given(&topics))
        });
        shares.collect()
    }

    fn settle(&mut self) {
        for _ in 0..60 {
            self.bench.advance(1500);
            self.check_epoch();
            self.look();
            for who in 0..CLIENTS {
                for _ in 0..3 {
                    self.speak(who, false);
                    self.let_go(who);
                }
            }
            self.check_owners();
        }
        let is_in = |client: &Client| client.epoch > 0;
        if self.policy == MigrationPolicy::Bidirectional {
            let all_in = self.clients.values().all(is_in);
            assert!(all_in, "everybody is in: {:?}", self.clients);
        }
        if self.clients.values().all(is_in) && !self.clients.is_empty() {
            self.check_settled();
        }
    }

    fn let_go(&mut self, who: usize) {
        if let Some(client) = self.clients.get_mut(&who)
            && !client.classic
        {
            client.owned = client.told.clone();
        }
    }

    /// The group is stable, each partition that is read has one holder, who reads it, and all may
    /// commit.
    fn check_settled(&mut self) {
        let state = match self.bench.consumer() {
            Some(group) => group.state,
            None => self.bench.state(),
        };
        assert_eq!(state, "Stable", "{:?}", self.clients);
        let ids: BTreeSet<_> = self.clients.values().map(|one| one.id.clone()).collect();
        assert_eq!(self.members(), ids);
        let mut left: BTreeSet<(TopicId, i32)> = BTreeSet::new();
        for client in self.clients.values() {
            let there = client.topics.iter();
            let there = there.filter_map(|name| self.catalog.topics.get(&**name));
            left.extend(there.flat_map(|(id, count)| (0..*count).map(|index| (*id, index))));
        }
        for client in self.clients.values() {
            for (topic, indexes) in &client.owned {
                for index in indexes {
                    assert!(left.remove(&(*topic, *index)), "one holder, who reads it");
                }
            }
        }
        assert!(
            left.is_empty(),
            "{left:?} have no holder: {:?}",
            self.clients
        );
        for client in self.clients.clone().into_values() {
            let event = commit_with(&client.id, client.epoch, 1, |commit| {
                commit.knows_group_id_not_found = true;
            });
            assert_eq!(self.bench.ask(event), Ok(Reply::Committed(vec![Ok(())])));
        }
    }

    /// The ids of all members, whatever the kind of the group.
    fn members(&mut self) -> BTreeSet<String> {
        if let Some(group) = self.bench.consumer() {
            return group.members.iter().map(|one| one.id.to_string()).collect();
        }
        match self.bench.ask(Event::Describe("g".into())) {
            Ok(Reply::Described(group)) => {
                group.members.iter().map(|one| one.id.to_string()).collect()
            }
            _ => BTreeSet::new(),
        }
    }

    fn run(&mut self, step: &Step) {
        match *step {
            Step::Come(who, classic, bits) => self.come(who, classic, bits),
            Step::Speak(who, lost) => self.speak(who, lost),
            Step::LetGo(who) => self.let_go(who),
            Step::Leave(who) => {
                if let Some(client) = self.clients.remove(&who) {
                    self.farewell(who, &client, false);
                }
            }
            Step::Return(who, other, says) => self.come_back(who, other, says),
            Step::Grow(place, by) => {
                self.catalog.grow(TOPICS[place], by, true, &mut self.bench);
            }
            Step::Delete(place) => self.catalog.delete(TOPICS[place], &mut self.bench),
            Step::Look => self.look(),
            Step::Settle => self.settle(),
            Step::Advance(ms) => self.bench.advance(ms),
            Step::Restart => {
                self.bench.ends.topics = self.catalog.all();
                self.bench.restart();
                // Who waited for an answer asks again.
                for client in self.clients.values_mut() {
                    client.rejoins |= client.joining.take().is_some();
                    if client.syncing.take().is_some() {
                        client.joined = None;
                        client.rejoins = true;
                    }
                }
            }
        }
        self.check();
    }

    /// What must hold at any time.
    fn check(&mut self) {
        let snapshot = self.bench.told_state();
        for tombstones in [true, false] {
            let cleaned = cleaned(&self.bench.log, tombstones);
            let left = self.bench.state_after(&cleaned);
            assert_eq!(left, snapshot, "so does what a cleaning leaves");
        }
        let kinds: BTreeSet<_> = snapshot
            .iter()
            .filter_map(|record| match record {
                Record::Group { .. } => Some("classic"),
                Record::Consumer { .. } => Some("consumer"),
                _ => None,
            })
            .collect();
        assert!(kinds.len() <= 1, "a group is of one kind");
        self.check_epoch();
        self.check_owners();
    }

    /// Epochs grow as long as there are members, whatever the kind of the group.
    fn check_epoch(&mut self) {
        let epoch = self
            .bench
            .snapshot()
            .into_iter()
            .find_map(|record| match record {
                Record::Group {
                    value: Some(group), ..
                } => (!group.members.is_empty()).then_some(group.generation),
                _ => None,
            });
        let epoch = match self.bench.consumer() {
            Some(group) if !group.members.is_empty() => Some(group.epoch),
            _ => epoch,
        };
        // A group that nobody is in may begin anew.
        self.epoch = epoch.map_or(0, |epoch| {
            assert!(
                epoch >= self.epoch,
                "epochs grow, whatever the kind of the group"
            );
            epoch
        });
    }

    /// No partition is worked on by two members that are in the group.
    fn check_owners(&mut self) {
        let members = self.members();
        let mut worked_on = BTreeMap::new();
        for (who, client) in &self.clients {
            // Whom the group put out must let go by its own clock.
            if client.epoch == 0 || !members.contains(&client.id) {
                continue;
            }
            for (topic, indexes) in &client.owned {
                for index in indexes {
                    let first = worked_on.insert((*topic, *index), who);
                    assert_eq!(first, None, "{topic}-{index} has two owners");
                }
            }
        }
    }
}

/// What a cleaning leaves of a log: the last record of each key, with its tombstones or without.
fn cleaned(log: &[Record], tombstones: bool) -> Vec<Record> {
    let mut last = BTreeMap::new();
    for (place, record) in log.iter().enumerate() {
        let (key, value) = record.encode();
        last.insert(key, (place, value.is_some()));
    }
    let kept = last.into_values();
    let kept = kept.filter(|(_, has_value)| tombstones || *has_value);
    let kept: BTreeSet<_> = kept.map(|(place, _)| place).collect();
    kept.into_iter().map(|place| log[place].clone()).collect()
}

fn is_within(one: &Told, other: &Told) -> bool {
    one.iter().all(|(topic, indexes)| {
        let there = other.get(topic);
        let mut indexes = indexes.iter();
        indexes.all(|index| there.is_some_and(|there| there.contains(index)))
    })
}

fn refused_classic(client: &mut Client, error: ErrorCode) {
    match error {
        ErrorCode::UnknownMemberId | ErrorCode::FencedInstanceId => client.forget(true),
        ErrorCode::IllegalGeneration => client.forget(false),
        other => panic!("{other:?}"),
    }
}

/// The first clients are static members.
fn from(who: usize, event: ConsumerHeartbeat) -> ConsumerHeartbeat {
    let instance = (who < STATIC).then(|| format!("i{who}").into());
    ConsumerHeartbeat { instance, ..event }
}

fn policy() -> impl Strategy<Value = MigrationPolicy> {
    prop_oneof![
        6 => Just(MigrationPolicy::Bidirectional),
        1 => Just(MigrationPolicy::Upgrade),
        1 => Just(MigrationPolicy::Downgrade),
        1 => Just(MigrationPolicy::Disabled),
    ]
}

proptest! {
    #[test]
    fn h_10_random_mixed_groups_keep_what_must_hold(
        policy in policy(),
        eager in any::<bool>(),
        steps in prop::collection::vec(step(), 1..80),
    ) {
        let mut history = History::new(policy, eager);
        for step in &steps {
            history.run(step);
        }
        history.run(&Step::Settle);
    }
}
