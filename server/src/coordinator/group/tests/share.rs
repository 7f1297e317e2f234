//! Share groups: queues.md 1.2 and 1.9.

use std::collections::BTreeMap;
use std::sync::Arc;

use ratel_protocol::ErrorCode;
use ratel_storage::TopicId;
use uuid::Uuid;

use super::bench::{Bench, Outcome, commit, commit_with, heartbeat, leave, sync};
use crate::coordinator::When;
use crate::coordinator::group::{
    Action, DeleteOffsets, Event, QueueEvent, QueueTopic, QueueTopics, Record, Reply, ShareBeat,
    ShareDescription, ShareHeartbeat, ShareQueueList, ShareRecord, ShareSettings, TopicNow,
};

pub const T: TopicId = Uuid::from_u128(0x0a);
pub const U: TopicId = Uuid::from_u128(0x0b);

pub fn topic(name: &str, version: u64, topic: Option<(TopicId, i32)>) -> TopicNow {
    TopicNow {
        name: name.into(),
        version,
        topic,
    }
}

/// A heartbeat of group `g`; topic `t` has the id [`T`] and two partitions, `u` one.
pub fn beat(member: &str, epoch: i32, topics: Option<&[&str]>) -> ShareHeartbeat {
    let topics: Option<Vec<Arc<str>>> =
        topics.map(|names| names.iter().map(|name| Arc::from(*name)).collect());
    let found = topics.iter().flatten().map(|name| match &**name {
        "t" => topic("t", 1, Some((T, 2))),
        "u" => topic("u", 1, Some((U, 1))),
        name => topic(name, 1, None),
    });
    ShareHeartbeat {
        group: "g".into(),
        member: member.into(),
        epoch,
        rack: None,
        found: found.collect(),
        topics,
        client_id: "c".into(),
        client_host: "/127.0.0.1".into(),
        settings: ShareSettings::default(),
    }
}

fn joined(epoch: i32, assignment: &[(TopicId, &[i32])]) -> Outcome {
    told(epoch, Some(assignment))
}

fn told(epoch: i32, assignment: Option<&[(TopicId, &[i32])]>) -> Outcome {
    let assignment = assignment.map(|topics| {
        let topics = topics.iter().map(|(id, indexes)| (*id, indexes.to_vec()));
        Arc::new(topics.collect::<BTreeMap<_, _>>())
    });
    Ok(Reply::ShareBeat(ShareBeat {
        epoch,
        heartbeat_interval_ms: 5000,
        assignment,
    }))
}

fn queues(topics: &[(TopicId, &str, &[i32])]) -> QueueTopics {
    let topics = topics.iter().map(|(id, name, partitions)| {
        let topic = QueueTopic {
            name: (*name).into(),
            partitions: partitions.to_vec(),
        };
        (*id, topic)
    });
    topics.collect()
}

fn initialize(topics: &[(TopicId, &str, &[i32])]) -> Action {
    Action::InitializeQueues {
        group: "g".into(),
        topics: queues(topics),
    }
}

impl Bench {
    fn beat(&mut self, member: &str, epoch: i32) -> Outcome {
        self.ask(Event::ShareHeartbeat(beat(member, epoch, None)))
    }

    fn join_share(&mut self, member: &str, topics: &[&str]) -> Outcome {
        self.ask(Event::ShareHeartbeat(beat(member, 0, Some(topics))))
    }

    pub fn share(&mut self) -> Option<ShareDescription> {
        match self.ask(Event::DescribeShare("g".into())) {
            Ok(Reply::ShareDescribed(description)) => Some(description),
            Err(ErrorCode::GroupIdNotFound) => None,
            other => panic!("no description: {other:?}"),
        }
    }

    fn queue_event(&mut self, event: QueueEvent) {
        self.send(Event::Queues("g".into(), event));
    }

    fn queue_list(&mut self) -> QueueTopics {
        match self.ask(Event::Queues("g".into(), QueueEvent::List)) {
            Ok(Reply::ShareQueues(ShareQueueList { topics, .. })) => topics,
            other => panic!("no queues: {other:?}"),
        }
    }

    fn topics(&mut self, topics: Vec<TopicNow>) {
        self.send(Event::Topics(topics));
    }

    fn count(&self, which: impl Fn(&ShareRecord) -> bool) -> usize {
        let share = self.log.iter().filter(|record| match record {
            Record::Share { record, .. } => which(record),
            _ => false,
        });
        share.count()
    }
}

#[test]
fn who_joins_is_told_its_epoch_and_partitions_once() {
    let mut bench = Bench::new();
    let ticket = bench.send(Event::ShareHeartbeat(beat("m", 0, Some(&["t"]))));
    assert_eq!(
        bench.taken(ticket),
        (joined(1, &[(T, &[0, 1])]), When::Durable)
    );
    let ticket = bench.send(Event::ShareHeartbeat(beat("m", 1, None)));
    assert_eq!(bench.taken(ticket), (told(1, None), When::Now));
    assert_eq!(
        bench.actions,
        [
            Action::FindTopics(vec!["t".into()]),
            initialize(&[(T, "t", &[0, 1])]),
        ]
    );
    let full = Event::ShareHeartbeat(beat("m", 1, Some(&["t"])));
    assert_eq!(
        bench.ask(full),
        joined(1, &[(T, &[0, 1])]),
        "a full request"
    );
    assert_eq!(bench.join_share("m", &["t"]), joined(1, &[(T, &[0, 1])]));
    let written = bench.log.len();
    bench.beat("m", 1).unwrap();
    assert_eq!(bench.log.len(), written, "a heartbeat writes nothing");
}

#[test]
fn a_second_member_takes_its_half_and_the_first_hears_of_it() {
    let mut bench = Bench::new();
    bench.join_share("a", &["t"]).unwrap();
    assert_eq!(bench.join_share("b", &["t"]), joined(2, &[(T, &[1])]));
    assert_eq!(bench.beat("a", 1), told(2, Some(&[(T, &[0])])));
    assert_eq!(bench.beat("a", 2), told(2, None));
    assert_eq!(
        bench.ask(Event::ShareHeartbeat(beat("b", -1, None))),
        Ok(Reply::ShareBeat(ShareBeat {
            epoch: -1,
            heartbeat_interval_ms: 0,
            assignment: None
        }))
    );
    assert_eq!(bench.beat("a", 2), told(3, Some(&[(T, &[0, 1])])));
}

#[test]
fn an_epoch_that_is_neither_the_last_nor_the_one_before_is_fenced() {
    let mut bench = Bench::new();
    bench.join_share("a", &["t"]).unwrap();
    bench.join_share("b", &["t"]).unwrap();
    bench.join_share("c", &["t"]).unwrap();
    let fenced = Err(ErrorCode::FencedMemberEpoch);
    assert_eq!(bench.beat("a", 2), fenced, "not told yet");
    bench.beat("a", 1).unwrap();
    assert_eq!(bench.beat("a", 4), fenced);
    assert_eq!(bench.beat("a", 2), fenced);
    let Ok(Reply::ShareBeat(again)) = bench.beat("a", 1) else {
        panic!("the epoch before is good: its answer may be lost");
    };
    assert_eq!(again.epoch, 3);
    assert!(again.assignment.is_some(), "so may be the assignment in it");
}

#[test]
fn who_is_unknown_must_join() {
    let mut bench = Bench::new();
    let not_found = Err(ErrorCode::GroupIdNotFound);
    assert_eq!(bench.beat("m", 1), not_found);
    assert_eq!(bench.beat("m", -1), not_found);
    assert_eq!(bench.share(), None, "nothing was made");
    bench.join_share("a", &["t"]).unwrap();
    let unknown = Err(ErrorCode::UnknownMemberId);
    assert_eq!(bench.beat("m", 1), unknown);
    assert_eq!(bench.beat("m", -1), unknown);
}

#[test]
fn a_full_group_takes_no_more() {
    let mut bench = Bench::new();
    let join = |member: &str, members_max| {
        let mut beat = beat(member, 0, Some(&["t"]));
        beat.settings.members_max = members_max;
        Event::ShareHeartbeat(beat)
    };
    let full = Err(ErrorCode::GroupMaxSizeReached);
    assert_eq!(bench.ask(join("a", 0)), full);
    assert_eq!(bench.share(), None);
    bench.ask(join("a", 1)).unwrap();
    assert_eq!(bench.ask(join("b", 1)), full);
    bench.ask(join("a", 1)).unwrap();
    // Nor does it tell a stranger to join.
    let stranger = |epoch, members_max| {
        let mut beat = beat("x", epoch, None);
        beat.settings.members_max = members_max;
        Event::ShareHeartbeat(beat)
    };
    assert_eq!(bench.ask(stranger(1, 1)), full);
    let unknown = Err(ErrorCode::UnknownMemberId);
    assert_eq!(bench.ask(stranger(1, 2)), unknown);
    assert_eq!(
        bench.ask(stranger(-1, 1)),
        unknown,
        "who leaves takes no room"
    );
}

#[test]
fn a_member_that_says_too_much_is_invalid() {
    let mut bench = Bench::with(|limits| limits.member_bytes_max = 20);
    let invalid = Err(ErrorCode::InvalidRequest);
    assert_eq!(bench.join_share("m", &["t", "u"]), invalid);
    assert_eq!(bench.share(), None);
    assert_eq!(bench.log.len(), 0);
}

#[test]
fn silence_ends_a_membership_after_the_groups_own_timeout() {
    let mut bench = Bench::new();
    let mut settings = beat("a", 0, Some(&["t"]));
    settings.settings.session_timeout_ms = 50_000;
    bench.ask(Event::ShareHeartbeat(settings)).unwrap();
    bench.join_share("b", &["t"]).unwrap();
    bench.advance(44_999);
    assert_eq!(bench.share().unwrap().members.len(), 2);
    bench.advance(1);
    assert_eq!(bench.share().unwrap().members.len(), 1);
    assert_eq!(bench.beat("b", 2), Err(ErrorCode::UnknownMemberId));
    bench.advance(5000);
    let empty = bench.share().unwrap();
    assert_eq!((empty.state, empty.epoch), ("Empty", 4));
    assert_eq!(bench.beat("a", 1), Err(ErrorCode::UnknownMemberId));
}

#[test]
fn a_topic_is_assigned_once_it_exists() {
    let mut bench = Bench::new();
    assert_eq!(bench.join_share("m", &["later"]), joined(1, &[]));
    assert_eq!(bench.actions, [Action::FindTopics(vec!["later".into()])]);
    bench.topics(vec![topic("later", 2, Some((U, 1)))]);
    assert_eq!(bench.actions[1], initialize(&[(U, "later", &[0])]));
    assert_eq!(bench.beat("m", 1), told(2, Some(&[(U, &[0])])));
}

#[test]
fn partitions_that_are_added_are_assigned_without_a_new_join() {
    let mut bench = Bench::new();
    bench.join_share("m", &["t"]).unwrap();
    bench.topics(vec![topic("t", 2, Some((T, 3)))]);
    assert_eq!(bench.actions[2], initialize(&[(T, "t", &[2])]));
    assert_eq!(bench.beat("m", 1), told(2, Some(&[(T, &[0, 1, 2])])));
    bench.topics(vec![topic("t", 1, Some((T, 2)))]);
    assert_eq!(bench.beat("m", 2), told(2, None), "old news is none");
    assert_eq!(bench.queue_list(), queues(&[(T, "t", &[0, 1, 2])]));
}

#[test]
fn a_topic_that_was_made_anew_is_another_topic() {
    let mut bench = Bench::new();
    bench.join_share("m", &["t"]).unwrap();
    bench.queue_event(QueueEvent::Initialized(queues(&[(T, "t", &[0, 1])])));
    bench.topics(vec![topic("t", 2, None)]);
    bench.send(Event::TopicDeleted(T));
    assert_eq!(bench.queue_list(), QueueTopics::new());
    assert_eq!(bench.beat("m", 1), told(2, Some(&[])));
    bench.topics(vec![topic("t", 3, Some((U, 1)))]);
    assert_eq!(bench.actions[2], initialize(&[(U, "t", &[0])]));
    assert_eq!(bench.beat("m", 2), told(3, Some(&[(U, &[0])])));
}

#[test]
fn a_changed_subscription_changes_assignment_and_epoch() {
    let mut bench = Bench::new();
    bench.join_share("m", &["t"]).unwrap();
    let changed = Event::ShareHeartbeat(beat("m", 1, Some(&["u", "u"])));
    assert_eq!(bench.ask(changed), joined(2, &[(U, &[0])]));
    let none = Event::ShareHeartbeat(beat("m", 2, Some(&[])));
    assert_eq!(bench.ask(none), joined(3, &[]));
    assert_eq!(
        bench.queue_list(),
        queues(&[(T, "t", &[0, 1]), (U, "u", &[0])])
    );
}

#[test]
fn a_member_goes_on_with_id_and_epoch_after_a_restart() {
    let mut bench = Bench::new();
    bench.join_share("a", &["t"]).unwrap();
    bench.join_share("b", &["t"]).unwrap();
    bench.ends.topics = vec![topic("t", 1, Some((T, 2)))];
    let before = bench.snapshot();
    bench.restart();
    assert_eq!(bench.snapshot(), before);
    assert_eq!(bench.beat("a", 1), told(2, Some(&[(T, &[0])])));
    assert_eq!(bench.beat("b", 2), told(2, None));
    assert_eq!(bench.beat("x", 2), Err(ErrorCode::UnknownMemberId));
    assert_eq!(
        bench.actions,
        [initialize(&[(T, "t", &[0, 1])])],
        "it was not known to be done"
    );
    bench.queue_event(QueueEvent::Initialized(queues(&[(T, "t", &[0, 1])])));
    bench.restart();
    assert_eq!(bench.actions, []);
    bench.advance(45_000);
    assert_eq!(bench.share().unwrap().state, "Empty", "sessions began anew");
    bench.restart();
    assert_eq!(
        bench.beat("a", 2),
        Err(ErrorCode::UnknownMemberId),
        "never 69"
    );
}

#[test]
fn a_topic_that_grew_or_went_while_nobody_looked_is_found_after_the_restart() {
    let mut bench = Bench::new();
    bench.join_share("m", &["t", "u"]).unwrap();
    bench.queue_event(QueueEvent::Initialized(queues(&[
        (T, "t", &[0, 1]),
        (U, "u", &[0]),
    ])));
    bench.ends.topics = vec![topic("t", 9, Some((T, 3))), topic("u", 9, None)];
    bench.restart();
    assert_eq!(bench.actions, [initialize(&[(T, "t", &[2])])]);
    assert_eq!(bench.queue_list(), queues(&[(T, "t", &[0, 1, 2])]));
    assert_eq!(bench.beat("m", 1), told(2, Some(&[(T, &[0, 1, 2])])));
}

#[test]
fn queues_that_could_not_be_made_are_asked_for_again() {
    let mut bench = Bench::new();
    bench.join_share("m", &["u"]).unwrap();
    bench.queue_event(QueueEvent::Failed);
    bench.advance(999);
    assert_eq!(bench.actions.len(), 2);
    bench.advance(1);
    assert_eq!(bench.actions[2], initialize(&[(U, "u", &[0])]));
    bench.queue_event(QueueEvent::Initialized(queues(&[(U, "u", &[0])])));
    bench.advance(10_000);
    assert_eq!(bench.actions.len(), 3);
}

#[test]
fn only_an_empty_group_is_deleted_and_its_queues_go_first() {
    let mut bench = Bench::new();
    bench.join_share("m", &["u"]).unwrap();
    let delete = || Event::DeleteGroup("g".into());
    assert_eq!(bench.ask(delete()), Err(ErrorCode::NonEmptyGroup));
    bench.beat("m", -1).unwrap();
    let deleted = bench.send(delete());
    assert_eq!(bench.take(deleted), None, "it waits for the queues");
    let action = Action::DeleteQueues { group: "g".into() };
    assert_eq!(bench.actions.last(), Some(&action));
    let early = bench.join_share("m", &["u"]);
    assert_eq!(early, Err(ErrorCode::CoordinatorLoadInProgress));
    bench.restart();
    assert_eq!(bench.actions, [action], "a crash does not stop it");
    let deleted = bench.send(delete());
    bench.queue_event(QueueEvent::Gone);
    assert_eq!(bench.taken(deleted), (Ok(Reply::Done), When::Durable));
    assert_eq!((bench.share(), bench.snapshot().len()), (None, 0));
    bench.restart();
    assert_eq!(bench.share(), None);
    assert_eq!(bench.ask(delete()), Err(ErrorCode::GroupIdNotFound));
}

#[test]
fn queues_are_altered_and_removed_only_while_nobody_is_there() {
    let mut bench = Bench::new();
    let alter = || Event::Queues("g".into(), QueueEvent::Alter(queues(&[(U, "u", &[0])])));
    let remove = || Event::Queues("g".into(), QueueEvent::Remove(vec![U]));
    assert_eq!(bench.ask(remove()), Err(ErrorCode::GroupIdNotFound));
    assert_eq!(bench.ask(alter()), Ok(Reply::Done));
    assert_eq!(bench.share().unwrap().state, "Empty");
    bench.queue_event(QueueEvent::Initialized(queues(&[(U, "u", &[0])])));
    bench.join_share("m", &["u"]).unwrap();
    assert_eq!(
        bench.actions,
        [Action::FindTopics(vec!["u".into()])],
        "it has its queue"
    );
    assert_eq!(bench.ask(alter()), Err(ErrorCode::NonEmptyGroup));
    assert_eq!(bench.ask(remove()), Err(ErrorCode::NonEmptyGroup));
    bench.beat("m", -1).unwrap();
    assert_eq!(bench.ask(remove()), Ok(Reply::Done));
    assert_eq!(bench.queue_list(), QueueTopics::new());
    bench.join_share("m", &["u"]).unwrap();
    assert_eq!(bench.actions.last(), Some(&initialize(&[(U, "u", &[0])])));
}

#[test]
fn a_share_group_is_no_classic_group() {
    let mut bench = Bench::new();
    bench.join_share("m", &["t"]).unwrap();
    let ticket = bench.join("");
    assert_eq!(
        bench.take(ticket),
        Some(Err(ErrorCode::InconsistentGroupProtocol))
    );
    let (unknown, not_found) = (ErrorCode::UnknownMemberId, ErrorCode::GroupIdNotFound);
    assert_eq!(bench.ask(sync("m", 1)), Err(unknown));
    assert_eq!(bench.ask(heartbeat("m", 1)), Err(unknown));
    assert_eq!(bench.ask(leave("m")), Err(unknown));
    assert_eq!(bench.ask(commit("m", 1, 5)), Err(not_found));
    assert_eq!(bench.ask(commit_with("", -1, 5, |_| {})), Err(not_found));
    let delete = DeleteOffsets {
        group: "g".into(),
        offsets: vec![("t".into(), 0)],
    };
    assert_eq!(bench.ask(Event::DeleteOffsets(delete)), Err(not_found));
    assert_eq!(bench.committed(), None);
    assert_eq!(bench.state(), "Dead", "DescribeGroups knows it not");
    let Ok(Reply::Listed(listed)) = bench.ask(Event::List) else {
        panic!("no list");
    };
    let listed = &listed[0];
    assert_eq!(
        (listed.kind, listed.state, &*listed.protocol_type),
        ("share", "Stable", "share")
    );
}

#[test]
fn a_classic_group_is_no_share_group() {
    let mut bench = Bench::new();
    bench.ask(commit("", -1, 5)).unwrap();
    let not_found = Err(ErrorCode::GroupIdNotFound);
    assert_eq!(bench.join_share("m", &["t"]), not_found);
    assert_eq!(bench.beat("m", 1), not_found);
    assert_eq!(bench.share(), None);
    assert_eq!(
        bench.ask(Event::Queues("g".into(), QueueEvent::List)),
        not_found
    );
    assert_eq!(bench.committed(), Some(5));
}

#[test]
fn an_empty_share_group_stays() {
    let mut bench = Bench::new();
    bench.join_share("m", &["t"]).unwrap();
    bench.beat("m", -1).unwrap();
    bench.advance(30 * 24 * 3_600_000);
    assert_eq!(bench.share().unwrap().state, "Empty");
    assert_eq!(
        bench.count(|record| matches!(record, ShareRecord::Group(None))),
        0
    );
}
