//! Consumer groups of the protocol of KIP-848: H-1 to H-9.

use std::collections::BTreeMap;
use std::sync::Arc;

use ratel_protocol::ErrorCode;
use ratel_storage::{Offset, PartitionId, Producer, TopicId};
use uuid::Uuid;

use super::bench::{Bench, Outcome, TOPIC, commit, commit_with};
use super::share::topic;
use crate::coordinator::When;
use crate::coordinator::group::{
    Action, Assignor, CommitOffset, ConsumerBeat, ConsumerDescription, ConsumerHeartbeat,
    ConsumerSettings, DeleteOffsets, Event, Fetch, Leave, Matches, Reply, TransactionCommit,
    compile,
};

pub const T: TopicId = Uuid::from_u128(0x0a);
pub const U: TopicId = Uuid::from_u128(0x0b);

pub type Told = BTreeMap<TopicId, Vec<i32>>;

/// A heartbeat of group `g` that says nothing new.
pub fn beat(member: &str, epoch: i32) -> ConsumerHeartbeat {
    ConsumerHeartbeat {
        group: "g".into(),
        member: member.into(),
        epoch,
        instance: None,
        rack: None,
        rebalance_timeout_ms: None,
        topics: None,
        regex: None,
        regex_valid: true,
        matches: None,
        assignor: None,
        owned: None,
        found: Vec::new(),
        classic: None,
        client_id: "c".into(),
        client_host: "/127.0.0.1".into(),
        settings: ConsumerSettings::default(),
    }
}

/// A wish to read these topics; `t` has the id [`T`] and four partitions, `u` two.
pub fn join(member: &str, topics: &[&str]) -> ConsumerHeartbeat {
    let topics: Vec<Arc<str>> = topics.iter().map(|name| Arc::from(*name)).collect();
    let found = topics.iter().map(|name| match &**name {
        "t" => topic("t", 1, Some((T, 4))),
        "u" => topic("u", 1, Some((U, 2))),
        name => topic(name, 1, None),
    });
    ConsumerHeartbeat {
        rebalance_timeout_ms: Some(60_000),
        owned: Some(Told::new()),
        found: found.collect(),
        topics: Some(topics),
        ..beat(member, 0)
    }
}

pub fn owns(event: ConsumerHeartbeat, owned: &[(TopicId, &[i32])]) -> ConsumerHeartbeat {
    ConsumerHeartbeat {
        owned: Some(told(owned)),
        ..event
    }
}

pub fn told(topics: &[(TopicId, &[i32])]) -> Told {
    let topics = topics.iter();
    topics
        .map(|(id, indexes)| (*id, indexes.to_vec()))
        .collect()
}

pub fn static_join(member: &str, instance: &str) -> ConsumerHeartbeat {
    ConsumerHeartbeat {
        instance: Some(instance.into()),
        ..join(member, &["t"])
    }
}

pub fn static_beat(member: &str, instance: &str, epoch: i32) -> ConsumerHeartbeat {
    ConsumerHeartbeat {
        instance: Some(instance.into()),
        ..beat(member, epoch)
    }
}

impl Bench {
    pub fn consumer_beat(&mut self, event: ConsumerHeartbeat) -> Outcome {
        self.ask(Event::ConsumerHeartbeat(event))
    }

    #[track_caller]
    pub fn told(&mut self, event: ConsumerHeartbeat) -> ConsumerBeat {
        match self.consumer_beat(event) {
            Ok(Reply::ConsumerBeat(beat)) => beat,
            other => panic!("it was refused: {other:?}"),
        }
    }

    /// A member that is told this epoch, and this assignment if any.
    #[track_caller]
    pub fn hears(
        &mut self,
        event: ConsumerHeartbeat,
        epoch: i32,
        assignment: Option<&[(TopicId, &[i32])]>,
    ) {
        let beat = self.told(event);
        assert_eq!(beat.epoch, epoch);
        assert_eq!(beat.assignment.as_deref().cloned(), assignment.map(told));
    }

    pub fn consumer(&mut self) -> Option<ConsumerDescription> {
        match self.ask(Event::DescribeConsumer("g".into())) {
            Ok(Reply::ConsumerDescribed(description)) => Some(description),
            Err(ErrorCode::GroupIdNotFound) => None,
            other => panic!("no description: {other:?}"),
        }
    }

    pub fn consumer_state(&mut self) -> &'static str {
        self.consumer().map_or("Dead", |consumer| consumer.state)
    }

    /// Members `a` and `b` share `t` evenly, at epoch 3.
    fn two_members(&mut self) {
        self.hears(join("a", &["t"]), 2, Some(&[(T, &[0, 1, 2, 3])]));
        self.hears(join("b", &["t"]), 3, Some(&[]));
        self.hears(beat("a", 2), 2, Some(&[(T, &[0, 1])]));
        self.hears(owns(beat("a", 2), &[(T, &[0, 1])]), 3, None);
        self.hears(beat("b", 3), 3, Some(&[(T, &[2, 3])]));
        assert_eq!(self.consumer_state(), "Stable");
    }
}

#[test]
fn h_2_an_answer_tells_what_is_new_and_waits_for_the_disk_only_then() {
    let mut bench = Bench::new();
    let ticket = bench.send(Event::ConsumerHeartbeat(join("a", &["t"])));
    let (outcome, when) = bench.taken(ticket);
    assert!(outcome.is_ok());
    assert_eq!(when, When::Durable);
    let records = bench.log.len();
    let ticket = bench.send(Event::ConsumerHeartbeat(beat("a", 2)));
    let (outcome, when) = bench.taken(ticket);
    let quiet = ConsumerBeat {
        member: "a".into(),
        epoch: 2,
        heartbeat_interval_ms: 5000,
        assignment: None,
    };
    assert_eq!(outcome, Ok(Reply::ConsumerBeat(quiet)));
    assert_eq!((when, bench.log.len()), (When::Now, records));
    let full = ConsumerHeartbeat {
        epoch: 2,
        ..join("a", &["t"])
    };
    bench.hears(full, 2, Some(&[(T, &[0, 1, 2, 3])]));
}

#[test]
fn h_2_a_group_begins_at_epoch_1_and_its_first_subscription_is_2() {
    let mut bench = Bench::new();
    bench.hears(join("a", &[]), 1, Some(&[]));
    assert_eq!(bench.consumer_state(), "Stable");
    bench.restart();
    bench.hears(beat("a", 1), 1, None);
    let reads = ConsumerHeartbeat {
        epoch: 1,
        ..join("a", &["t"])
    };
    bench.hears(reads, 2, Some(&[(T, &[0, 1, 2, 3])]));
}

#[test]
fn h_3_epochs_that_are_not_the_members_are_fenced() {
    let mut bench = Bench::new();
    let refused = |outcome: Outcome| outcome.expect_err("refused");
    let unknown = refused(bench.consumer_beat(beat("a", 2)));
    assert_eq!(unknown, ErrorCode::GroupIdNotFound);
    bench.two_members();
    let stranger = refused(bench.consumer_beat(beat("z", 3)));
    assert_eq!(stranger, ErrorCode::UnknownMemberId);
    let ahead = refused(bench.consumer_beat(beat("a", 4)));
    assert_eq!(ahead, ErrorCode::FencedMemberEpoch);
    // The epoch before is good for who holds no more than it was told.
    let silent = refused(bench.consumer_beat(beat("a", 2)));
    assert_eq!(silent, ErrorCode::FencedMemberEpoch);
    let too_much = owns(beat("a", 2), &[(T, &[0, 1, 2])]);
    let fenced = refused(bench.consumer_beat(too_much));
    assert_eq!(fenced, ErrorCode::FencedMemberEpoch);
    bench.hears(owns(beat("a", 2), &[(T, &[0])]), 3, None);
    // Whoever is fenced joins anew, as itself.
    bench.hears(join("a", &["t"]), 3, Some(&[(T, &[0, 1])]));
}

#[test]
fn h_4_a_static_member_comes_back_to_what_it_had() {
    let mut bench = Bench::new();
    bench.hears(static_join("a", "i"), 2, Some(&[(T, &[0, 1, 2, 3])]));
    let refused = |outcome: Outcome| outcome.expect_err("refused");
    let taken = refused(bench.consumer_beat(static_join("b", "i")));
    assert_eq!(taken, ErrorCode::UnreleasedInstanceId);
    let other = refused(bench.consumer_beat(static_beat("b", "i", 2)));
    assert_eq!(other, ErrorCode::FencedInstanceId);
    let nobody = refused(bench.consumer_beat(static_beat("a", "j", 2)));
    assert_eq!(nobody, ErrorCode::UnknownMemberId);
    bench.hears(static_beat("a", "i", -2), -2, None);
    let epoch = bench.consumer().expect("a group").epoch;
    bench.hears(static_join("b", "i"), 2, Some(&[(T, &[0, 1, 2, 3])]));
    let consumer = bench.consumer().expect("a group");
    assert_eq!((consumer.epoch, consumer.members.len()), (epoch, 1));
    assert_eq!(&*consumer.members[0].id, "b");
    // The old id is nobody any more.
    let old = refused(bench.consumer_beat(static_beat("a", "i", 2)));
    assert_eq!(old, ErrorCode::FencedInstanceId);
    bench.hears(static_beat("b", "i", -1), -1, None);
    assert_eq!(bench.consumer_state(), "Empty");
}

#[test]
fn h_4_a_member_that_takes_another_place_leaves_its_own_to_the_others() {
    let mut bench = Bench::new();
    bench.hears(static_join("a", "i"), 2, Some(&[(T, &[0, 1, 2, 3])]));
    bench.hears(join("b", &["t"]), 3, Some(&[]));
    bench.hears(static_beat("a", "i", 2), 2, Some(&[(T, &[0, 1])]));
    let kept = owns(static_beat("a", "i", 2), &[(T, &[0, 1])]);
    bench.hears(kept, 3, None);
    bench.hears(beat("b", 3), 3, Some(&[(T, &[2, 3])]));
    bench.hears(static_beat("a", "i", -2), -2, None);
    bench.hears(static_join("b", "i"), 4, Some(&[(T, &[0, 1, 2, 3])]));
    assert_eq!(bench.consumer().expect("a group").members.len(), 1);
    assert_eq!(bench.consumer_state(), "Stable");
}

#[test]
fn h_4_who_stays_away_for_longer_than_its_session_is_out() {
    let mut bench = Bench::new();
    bench.told(static_join("a", "i"));
    bench.told(static_beat("a", "i", -2));
    bench.advance(44_999);
    assert_eq!(bench.consumer().expect("a group").members.len(), 1);
    bench.advance(1);
    assert_eq!(bench.consumer_state(), "Empty");
}

#[test]
fn h_5_a_partition_moves_once_its_owner_has_let_go() {
    let mut bench = Bench::new();
    bench.hears(join("a", &["t"]), 2, Some(&[(T, &[0, 1, 2, 3])]));
    bench.hears(join("b", &["t"]), 3, Some(&[]));
    assert_eq!(bench.consumer_state(), "Reconciling");
    bench.hears(beat("b", 3), 3, None);
    // What it must give up it hears at its old epoch, and keeps that until it has.
    bench.hears(beat("a", 2), 2, Some(&[(T, &[0, 1])]));
    bench.hears(owns(beat("a", 2), &[(T, &[0, 1, 2])]), 2, None);
    bench.hears(beat("b", 3), 3, None);
    bench.hears(owns(beat("a", 2), &[(T, &[0, 1])]), 3, None);
    bench.hears(beat("b", 3), 3, Some(&[(T, &[2, 3])]));
    assert_eq!(bench.consumer_state(), "Stable");
}

#[test]
fn h_5_who_does_not_let_go_in_time_is_out() {
    let mut bench = Bench::new();
    bench.told(join("a", &["t"]));
    bench.told(join("b", &["t"]));
    bench.told(beat("a", 2));
    for _ in 0..5 {
        bench.advance(10_000);
        bench.told(owns(beat("a", 2), &[(T, &[0, 1, 2, 3])]));
        bench.told(beat("b", 3));
    }
    bench.advance(10_000);
    let gone = bench.consumer_beat(beat("a", 2));
    assert_eq!(gone, Err(ErrorCode::UnknownMemberId));
    bench.hears(beat("b", 3), 4, Some(&[(T, &[0, 1, 2, 3])]));
}

#[test]
fn h_5_what_is_no_longer_read_is_given_up_at_once() {
    let mut bench = Bench::new();
    bench.hears(
        join("a", &["t", "u"]),
        2,
        Some(&[(T, &[0, 1, 2, 3]), (U, &[0, 1])]),
    );
    let fewer = ConsumerHeartbeat {
        epoch: 2,
        owned: None,
        ..join("a", &["u"])
    };
    bench.hears(fewer, 2, Some(&[(U, &[0, 1])]));
    bench.hears(owns(beat("a", 2), &[(U, &[0, 1])]), 3, None);
    assert_eq!(bench.consumer_state(), "Stable");
}

#[test]
fn h_6_the_assignor_that_most_ask_for_is_used() {
    let mut bench = Bench::new();
    assert_eq!(bench.limits.consumer.assignors[0], Assignor::Uniform);
    let range = |member| ConsumerHeartbeat {
        assignor: Some("range".into()),
        ..join(member, &["t"])
    };
    bench.told(join("a", &["t"]));
    assert_eq!(bench.consumer().expect("a group").assignor, "uniform");
    bench.told(range("b"));
    assert_eq!(bench.consumer().expect("a group").assignor, "range");
}

#[test]
fn a_member_that_is_silent_is_out_and_its_work_goes_to_the_others() {
    let mut bench = Bench::new();
    bench.two_members();
    bench.advance(30_000);
    bench.told(beat("b", 3));
    bench.advance(15_000);
    let gone = bench.consumer_beat(beat("a", 3));
    assert_eq!(gone, Err(ErrorCode::UnknownMemberId));
    bench.hears(beat("b", 3), 4, Some(&[(T, &[0, 1, 2, 3])]));
}

#[test]
fn g_12_an_administrator_takes_members_out() {
    let mut bench = Bench::new();
    bench.told(static_join("a", "i"));
    bench.told(join("b", &["t"]));
    bench.told(join("c", &["t"]));
    let leave = |members: &[(&str, Option<&str>)]| {
        let members = members.iter();
        Event::Leave(Leave {
            group: "g".into(),
            members: members
                .map(|(id, instance)| (Arc::from(*id), instance.map(Arc::from)))
                .collect(),
        })
    };
    let epoch = bench.consumer().expect("a group").epoch;
    let unknown = Err(ErrorCode::UnknownMemberId);
    let nobody = leave(&[("z", None), ("", None), ("", Some("j"))]);
    let none = Ok(Reply::Left(vec![unknown; 3]));
    assert_eq!(bench.ask(nobody), none);
    assert_eq!(bench.consumer().expect("a group").epoch, epoch);
    let two = leave(&[("", Some("i")), ("b", None), ("b", None), ("c", Some("i"))]);
    let fenced = Err(ErrorCode::FencedInstanceId);
    let outcomes = vec![Ok(()), Ok(()), Ok(()), fenced];
    assert_eq!(bench.ask(two), Ok(Reply::Left(outcomes)));
    let group = bench.consumer().expect("a group");
    assert_eq!((group.members.len(), group.epoch), (1, epoch + 1));
    let gone = bench.consumer_beat(static_beat("a", "i", 2));
    assert_eq!(gone, unknown.map(|()| Reply::Done));
    bench.hears(beat("c", 4), 5, Some(&[(T, &[0, 1, 2, 3])]));
}

#[test]
fn a_group_is_full_at_its_limit() {
    let mut bench = Bench::with(|limits| limits.consumer.members_max = 1);
    bench.told(join("a", &["t"]));
    let full = bench.consumer_beat(join("b", &["t"]));
    assert_eq!(full, Err(ErrorCode::GroupMaxSizeReached));
    bench.told(beat("a", 2));
}

#[test]
fn topics_that_are_made_grow_and_go_are_noticed() {
    let mut bench = Bench::new();
    bench.hears(join("a", &["t", "n"]), 2, Some(&[(T, &[0, 1, 2, 3])]));
    let n = Uuid::from_u128(0x0c);
    bench.send(Event::TopicChanged(topic("n", 2, Some((n, 1)))));
    assert_eq!(bench.consumer_state(), "Assigning");
    let all: &[(TopicId, &[i32])] = &[(T, &[0, 1, 2, 3]), (n, &[0])];
    bench.hears(beat("a", 2), 3, Some(all));
    bench.send(Event::TopicChanged(topic("n", 3, Some((n, 2)))));
    bench.hears(beat("a", 3), 4, Some(&[(T, &[0, 1, 2, 3]), (n, &[0, 1])]));
    bench.send(Event::TopicChanged(topic("n", 4, None)));
    bench.hears(beat("a", 4), 4, Some(&[(T, &[0, 1, 2, 3])]));
    bench.hears(owns(beat("a", 4), &[(T, &[0, 1, 2, 3])]), 5, None);
    bench.send(Event::TopicChanged(topic("x", 5, Some((n, 2)))));
    bench.hears(beat("a", 5), 5, None);
}

#[test]
fn what_a_heartbeat_brings_of_a_topic_is_news_for_its_own_group() {
    let mut bench = Bench::new();
    bench.hears(join("a", &["t"]), 2, Some(&[(T, &[0, 1, 2, 3])]));
    let grown = ConsumerHeartbeat {
        epoch: 2,
        found: vec![topic("t", 2, Some((T, 5)))],
        owned: None,
        ..join("a", &["t"])
    };
    bench.hears(grown, 3, Some(&[(T, &[0, 1, 2, 3, 4])]));
}

fn expression() -> ConsumerHeartbeat {
    ConsumerHeartbeat {
        topics: None,
        regex: Some("t|n.*".into()),
        matches: Some((1, vec!["t".into()])),
        ..join("a", &["t"])
    }
}

#[test]
fn h_7_what_is_no_expression_leaves_nothing_behind() {
    let mut bench = Bench::new();
    let refused = bench.consumer_beat(ConsumerHeartbeat {
        regex_valid: false,
        matches: None,
        ..expression()
    });
    assert_eq!(refused, Err(ErrorCode::InvalidRegularExpression));
    assert_eq!(bench.consumer(), None);
}

#[test]
fn h_7_an_expression_follows_topics_that_come_and_go() {
    let mut bench = Bench::new();
    let regex = expression();
    bench.hears(regex, 2, Some(&[(T, &[0, 1, 2, 3])]));
    let regexes = vec![("t|n.*".into(), compile("t|n.*").expect("an expression"))];
    let group: Arc<str> = "g".into();
    let look = |round| Action::MatchTopics {
        group: group.clone(),
        round,
        regexes: regexes.clone(),
    };
    assert!(bench.actions.contains(&look(1)));
    bench.actions.clear();
    // A topic came while the shard was looking: it looks again.
    let n = Uuid::from_u128(0x0c);
    bench.send(Event::TopicChanged(topic("no", 2, Some((n, 1)))));
    bench.hears(beat("a", 2), 3, Some(&[(T, &[0, 1, 2, 3]), (n, &[0])]));
    let matched = |round, names: &[&str]| {
        let names = names.iter().map(|name| Arc::from(*name)).collect();
        Event::Matched(Matches {
            group: "g".into(),
            round,
            version: 1,
            matches: vec![("t|n.*".into(), names)],
            found: Vec::new(),
        })
    };
    bench.send(matched(1, &["t"]));
    assert!(!bench.actions.contains(&look(2)), "it has just changed");
    bench.advance(1000);
    assert!(bench.actions.contains(&look(2)));
    bench.hears(beat("a", 3), 3, None);
    // What an earlier round saw is not what there is now.
    bench.send(matched(1, &["t"]));
    bench.hears(beat("a", 3), 3, None);
    bench.send(matched(2, &["no", "t"]));
    bench.hears(beat("a", 3), 3, None);
    bench.send(Event::TopicChanged(topic("no", 3, None)));
    bench.hears(beat("a", 3), 3, Some(&[(T, &[0, 1, 2, 3])]));
    bench.actions.clear();
    bench.hears(owns(beat("a", 3), &[(T, &[0, 1, 2, 3])]), 4, None);
    // All topics are looked at anew now and then.
    for _ in 0..20 {
        bench.advance(30_000);
        bench.told(beat("a", 4));
    }
    assert!(bench.actions.contains(&look(3)));
    // Without an expression nothing is left of it.
    let none = ConsumerHeartbeat {
        epoch: 4,
        regex: Some("".into()),
        topics: None,
        ..join("a", &[])
    };
    bench.hears(none, 5, Some(&[]));
    let ends = bench.log.iter().filter(|record| is_end_of_regex(record));
    assert_eq!(ends.count(), 1);
}

#[test]
fn h_7_a_group_has_so_many_expressions_at_most() {
    let mut bench = Bench::new();
    let reads = |number: usize, regex: usize| ConsumerHeartbeat {
        topics: None,
        regex: Some(format!("t{regex}").into()),
        matches: Some((1, Vec::new())),
        ..join(&format!("m{number}"), &[])
    };
    for number in 0..100 {
        bench.told(reads(number, number));
    }
    let refused = bench.consumer_beat(reads(100, 100));
    assert_eq!(refused, Err(ErrorCode::InvalidRegularExpression));
    bench.told(reads(100, 99));
}

#[test]
fn h_7_topics_that_come_one_by_one_are_looked_at_together() {
    let mut bench = Bench::new();
    bench.told(ConsumerHeartbeat {
        topics: None,
        regex: Some("t.*".into()),
        matches: Some((1, vec!["t".into()])),
        ..join("a", &["t"])
    });
    bench.actions.clear();
    let lists = |bench: &Bench| bench.log.iter().filter(|record| is_regex(record)).count();
    for number in 2..100_u64 {
        let id = Uuid::from_u128(u128::from(number));
        let name = format!("t{number}");
        bench.send(Event::TopicChanged(topic(&name, number, Some((id, 1)))));
    }
    assert_eq!(
        lists(&bench),
        2,
        "one as it joined, one for the first topic"
    );
    let looks = |action: &&Action| matches!(action, Action::MatchTopics { .. });
    assert_eq!(bench.actions.iter().filter(looks).count(), 0);
    bench.advance(1000);
    assert_eq!(bench.actions.iter().filter(looks).count(), 1);
    let names = (2..100).map(|number| Arc::from(format!("t{number}")));
    let mut names: Vec<Arc<str>> = names.chain(["t".into()]).collect();
    names.sort_unstable();
    bench.send(Event::Matched(Matches {
        group: "g".into(),
        round: 2,
        version: 99,
        matches: vec![("t.*".into(), names)],
        found: Vec::new(),
    }));
    assert_eq!(lists(&bench), 3);
    let asked = bench.actions.iter().filter_map(|action| match action {
        Action::FindTopics(names) => Some(names.len()),
        _ => None,
    });
    assert_eq!(asked.sum::<usize>(), 98, "each is looked up, to be read");
}

fn is_regex(record: &crate::coordinator::group::Record) -> bool {
    use crate::coordinator::group::Record;
    use crate::coordinator::group::record::ConsumerRecord;
    matches!(
        record,
        Record::Consumer {
            record: ConsumerRecord::Regex(_, Some(_)),
            ..
        }
    )
}

fn is_end_of_regex(record: &crate::coordinator::group::Record) -> bool {
    use crate::coordinator::group::Record;
    use crate::coordinator::group::record::ConsumerRecord;
    matches!(
        record,
        Record::Consumer {
            record: ConsumerRecord::Regex(_, None),
            ..
        }
    )
}

#[test]
fn h_8_offsets_are_for_members_at_their_epoch() {
    let mut bench = Bench::new();
    bench.two_members();
    let commit_v9 = |member: &str, epoch| {
        commit_with(member, epoch, 7, |commit| {
            commit.knows_group_id_not_found = true;
        })
    };
    let done = Ok(Reply::Committed(vec![Ok(())]));
    assert_eq!(bench.ask(commit_v9("a", 3)), done);
    let stale = Err(ErrorCode::StaleMemberEpoch);
    assert_eq!(bench.ask(commit_v9("a", 2)), stale);
    assert_eq!(bench.ask(commit_v9("a", 4)), stale);
    let stranger = Err(ErrorCode::UnknownMemberId);
    assert_eq!(bench.ask(commit_v9("z", 3)), stranger);
    assert_eq!(bench.ask(commit_v9("", -1)), stranger);
    let old = Err(ErrorCode::UnsupportedVersion);
    assert_eq!(bench.ask(commit("a", 3, 7)), old);
    let fetch = |member: Option<&str>, member_epoch| {
        Event::Fetch(Fetch {
            group: "g".into(),
            member: member.map(Arc::from),
            member_epoch,
            topics: None,
            require_stable: false,
        })
    };
    assert!(bench.ask(fetch(Some("a"), 3)).is_ok());
    assert!(bench.ask(fetch(None, -1)).is_ok(), "an administrator");
    assert_eq!(bench.ask(fetch(Some("a"), 2)), stale);
    assert_eq!(bench.ask(fetch(Some("z"), 2)), stranger);
    assert_eq!(bench.committed(), Some(7));
    // A transactional client knows ILLEGAL_GENERATION for that.
    let inside = |member: &str, epoch| {
        let Event::Commit(commit) = commit_v9(member, epoch) else {
            panic!("a commit");
        };
        Event::TransactionCommit(TransactionCommit {
            producer: Producer { id: 1, epoch: 0 },
            verified_at: Some(Offset::new(1000)),
            commit,
        })
    };
    let illegal = Err(ErrorCode::IllegalGeneration);
    assert_eq!(bench.ask(inside("a", 2)), illegal);
    assert_eq!(bench.ask(inside("z", 3)), stranger);
    assert_eq!(bench.ask(inside("a", 3)), done);
    assert_eq!(bench.ask(inside("", -1)), done, "it names no member");
}

#[test]
fn h_8_an_older_epoch_may_commit_what_has_been_held_since() {
    let mut bench = Bench::new();
    bench.two_members();
    let commit_to = |member: &str, epoch, partitions: &[i32]| {
        let mut event = commit_with(member, epoch, 7, |commit| {
            commit.knows_group_id_not_found = true;
        });
        if let Event::Commit(commit) = &mut event {
            let one = commit.offsets[0].clone();
            let offsets = partitions.iter().map(|partition| CommitOffset {
                partition: *partition,
                topic_id: T,
                ..one.clone()
            });
            commit.offsets = offsets.collect();
        }
        event
    };
    // Member a has 0 and 1 since epoch 2, b has 2 and 3 since epoch 3.
    let stale = Err(ErrorCode::StaleMemberEpoch);
    let done = |count| Ok(Reply::Committed(vec![Ok(()); count]));
    assert_eq!(bench.ask(commit_to("a", 2, &[0, 1])), done(2));
    assert_eq!(bench.ask(commit_to("a", 1, &[0])), stale);
    assert_eq!(
        bench.ask(commit_to("a", 2, &[0, 2])),
        stale,
        "it let go of 2"
    );
    assert_eq!(bench.ask(commit_to("b", 2, &[2])), stale, "not its own yet");
    assert_eq!(bench.ask(commit_to("b", 3, &[2])), done(1));
    bench.ends.topics = vec![topic("t", 1, Some((T, 4)))];
    bench.restart();
    assert_eq!(bench.ask(commit_to("a", 2, &[1])), done(1));
    assert_eq!(bench.ask(commit_to("a", 2, &[2])), stale);
    // What is being given up may be committed until it is.
    bench.told(join("c", &["t"]));
    bench.told(join("d", &["t"]));
    bench.hears(beat("a", 3), 3, Some(&[(T, &[0])]));
    assert_eq!(bench.ask(commit_to("a", 2, &[0, 1])), done(2));
}

#[test]
fn o_2_o_7_an_empty_group_takes_any_commit_and_may_be_deleted() {
    let mut bench = Bench::new();
    bench.told(join("a", &["t"]));
    let full = bench.ask(Event::DeleteGroup("g".into()));
    assert_eq!(full, Err(ErrorCode::NonEmptyGroup));
    let delete = Event::DeleteOffsets(DeleteOffsets {
        group: "g".into(),
        offsets: vec![("t".into(), 0), ("u".into(), 0)],
    });
    let subscribed = vec![Err(ErrorCode::GroupSubscribedToTopic), Ok(())];
    assert_eq!(bench.ask(delete), Ok(Reply::DeletedOffsets(subscribed)));
    bench.told(beat("a", -1));
    assert!(bench.ask(commit("", -1, 3)).is_ok());
    assert_eq!(bench.ask(Event::DeleteGroup("g".into())), Ok(Reply::Done));
    assert_eq!((bench.consumer(), bench.committed()), (None, None));
    assert!(bench.snapshot().is_empty());
}

#[test]
fn o_5_offsets_of_topics_that_are_read_stay_and_others_expire() {
    let mut bench = Bench::with(|limits| limits.offsets_retention_ms = 1_000_000);
    bench.told(join("a", &["t"]));
    let both = commit_with("a", 2, 7, |commit| {
        commit.knows_group_id_not_found = true;
        commit.offsets.push(super::bench::commit_offset("u", 9, ""));
    });
    bench.ask(both).expect("taken");
    for _ in 0..60 {
        bench.advance(30_000);
        bench.told(beat("a", 2));
    }
    assert_eq!(bench.committed(), Some(7));
    let fetch = Event::Fetch(Fetch {
        group: "g".into(),
        member: None,
        member_epoch: -1,
        topics: None,
        require_stable: false,
    });
    let Ok(Reply::Fetched(topics)) = bench.ask(fetch) else {
        panic!("offsets are due");
    };
    let names: Vec<_> = topics.iter().map(|topic| &*topic.topic).collect();
    assert_eq!(names, ["t"]);
    bench.told(beat("a", -1));
    bench.advance(2_000_000);
    assert_eq!(bench.consumer(), None, "nothing is left of it");
}

#[test]
fn g_14_a_restart_is_no_rebalance() {
    let mut bench = Bench::new();
    bench.two_members();
    let before = bench.consumer();
    let records = bench.log.len();
    bench.ends.topics = vec![topic("t", 1, Some((T, 4)))];
    bench.restart();
    assert_eq!(bench.consumer(), before);
    assert_eq!(bench.log.len(), records, "nothing new was decided");
    bench.hears(beat("a", 3), 3, None);
    bench.hears(beat("b", 3), 3, None);
    bench.advance(45_000);
    assert_eq!(bench.consumer_state(), "Empty", "sessions began anew");
}

#[test]
fn g_14_sessions_are_as_long_as_their_group_says_after_a_restart() {
    let mut bench = Bench::new();
    bench.two_members();
    bench.ends.topics = vec![topic("t", 1, Some((T, 4)))];
    bench.ends.sessions.insert("g".into(), 60_000);
    bench.restart();
    bench.advance(59_999);
    assert_eq!(bench.consumer_state(), "Stable");
    bench.advance(1);
    assert_eq!(bench.consumer_state(), "Empty");
}

#[test]
fn g_14_who_had_to_let_go_is_given_its_time_anew_after_a_restart() {
    let mut bench = Bench::new();
    bench.told(join("a", &["t"]));
    bench.told(join("b", &["t"]));
    bench.hears(beat("a", 2), 2, Some(&[(T, &[0, 1])]));
    bench.ends.topics = vec![topic("t", 1, Some((T, 4)))];
    bench.restart();
    bench.hears(owns(beat("a", 2), &[(T, &[0, 1, 3])]), 2, None);
    bench.hears(beat("b", 3), 3, None);
    bench.advance(30_000);
    bench.hears(owns(beat("a", 2), &[(T, &[0, 1, 3])]), 2, None);
    bench.advance(30_000);
    let gone = bench.consumer_beat(beat("a", 2));
    assert_eq!(gone, Err(ErrorCode::UnknownMemberId));
}

#[test]
fn h_10_a_group_without_members_changes_its_kind_and_keeps_its_offsets() {
    let mut bench = Bench::new();
    let partition = PartitionId {
        topic: TOPIC,
        index: 0,
    };
    bench.ends.ends.insert(partition, Offset::new(100));
    bench.ask(commit("", -1, 5)).expect("taken");
    bench.told(join("a", &["t"]));
    assert_eq!(bench.committed(), Some(5));
    bench.told(beat("a", -1));
    let (first, second) = bench.stable();
    assert_eq!(bench.committed(), Some(5));
    assert_eq!(bench.consumer(), None);
    assert_eq!(bench.state(), "Stable");
    bench.restart();
    assert_eq!(bench.state(), "Stable");
    for member in [first, second] {
        bench.ask(super::bench::leave(&member)).expect("left");
    }
    bench.hears(join("a", &["t"]), 2, Some(&[(T, &[0, 1, 2, 3])]));
    bench.ends.topics = vec![topic("t", 1, Some((T, 4)))];
    bench.restart();
    bench.hears(beat("a", 2), 2, None);
    assert_eq!(bench.committed(), Some(5));
}
