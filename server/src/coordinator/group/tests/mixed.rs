//! Groups of members that speak the classic protocol and members that speak the new one, and how
//! groups change their kind: H-10.

use std::sync::Arc;

use bytes::Bytes;
use ratel_protocol::ErrorCode;

use super::bench::{Bench, Outcome, commit, commit_with, heartbeat, leave, protocol, sync};
use super::consumer::{T, Told, U, beat, join, owns, static_beat, static_join};
use super::share::topic;
use crate::config::MigrationPolicy;
use crate::coordinator::Ticket;
use crate::coordinator::group::{
    ConsumerHeartbeat, Event, Fetch, Heartbeat, Join, Joined, Leave, Record, Reply, Sync,
};

type Named<'a> = &'a [(&'a str, &'a [i32])];

fn put_topics(bytes: &mut Vec<u8>, topics: Named<'_>) {
    bytes.extend((topics.len() as u32).to_be_bytes());
    for (topic, partitions) in topics {
        put_text(bytes, topic);
        bytes.extend((partitions.len() as u32).to_be_bytes());
        bytes.extend(partitions.iter().flat_map(|index| index.to_be_bytes()));
    }
}

fn put_text(bytes: &mut Vec<u8>, text: &str) {
    bytes.extend((text.len() as u16).to_be_bytes());
    bytes.extend(text.as_bytes());
}

/// A consumer's subscription, version 3.
pub fn reads(topics: &[&str], owned: Named<'_>) -> Bytes {
    let mut bytes = vec![0, 3];
    bytes.extend((topics.len() as u32).to_be_bytes());
    for topic in topics {
        put_text(&mut bytes, topic);
    }
    bytes.extend([0xff; 4]);
    put_topics(&mut bytes, owned);
    bytes.extend([0, 0, 0, 1]);
    put_text(&mut bytes, "r");
    bytes.into()
}

/// What a leader gives a member, version 3.
pub fn given(topics: Named<'_>) -> Bytes {
    let mut bytes = vec![0, 3];
    put_topics(&mut bytes, topics);
    bytes.extend([0xff; 4]);
    bytes.into()
}

/// A SyncGroup that names its protocol, and brings assignments.
pub fn sync_with(member: &str, generation: i32, assignments: &[(&str, Bytes)]) -> Event {
    let assignments = assignments.iter();
    Event::Sync(Sync {
        group: "g".into(),
        member: member.into(),
        instance: None,
        generation,
        protocol_type: Some("consumer".into()),
        protocol: Some("range".into()),
        assignments: assignments
            .map(|(id, bytes)| (Arc::from(*id), bytes.clone()))
            .collect(),
    })
}

fn refused(error: ErrorCode) -> Outcome {
    Err(error)
}

impl Bench {
    /// A JoinGroup of a member that reads these topics and holds these partitions; `t` and `u` are
    /// found.
    fn wants_in(
        &mut self,
        member: &str,
        topics: &[&str],
        owned: Named<'_>,
        change: impl FnOnce(&mut Join),
    ) -> Ticket {
        let bytes = reads(topics, owned);
        let event = self.join_event(member, |join| {
            join.protocols = vec![protocol("range", bytes)];
            join.found = vec![topic("t", 1, Some((T, 4))), topic("u", 1, Some((U, 2)))];
            change(join);
        });
        self.send(event)
    }

    /// A member that is in the group at once.
    #[track_caller]
    fn joins(&mut self, member: &str, owned: Named<'_>) -> Joined {
        let ticket = self.wants_in(member, &["t"], owned, |_| {});
        self.joined(ticket)
    }

    #[track_caller]
    fn is_given(&mut self, member: &str, generation: i32, partitions: Named<'_>) {
        let ticket = self.send(sync_with(member, generation, &[]));
        assert_eq!(self.synced(ticket).assignment, given(partitions));
    }

    /// Two classic members, stable at generation 1: the first has `t` 0 and 1, the other the rest.
    fn two_classic(&mut self) -> (Arc<str>, Arc<str>) {
        let first = self.wants_in("", &["t"], &[], |_| {});
        let second = self.wants_in("", &["t"], &[], |_| {});
        self.settle_classic(first, second)
    }

    fn settle_classic(&mut self, first: Ticket, second: Ticket) -> (Arc<str>, Arc<str>) {
        self.advance(self.limits.initial_rebalance_delay_ms * 2);
        let (first, second) = (self.joined(first), self.joined(second));
        let follows = self.send(sync_with(&second.member, 1, &[]));
        let assignments = [
            (&*first.member, given(&[("t", &[0, 1])])),
            (&*second.member, given(&[("t", &[2, 3])])),
        ];
        let leads = self.send(sync_with(&first.member, 1, &assignments));
        self.synced(leads);
        self.synced(follows);
        (first.member, second.member)
    }

    /// Two classic members and `c`, which joined in the new protocol and has nothing yet.
    fn upgraded(&mut self) -> (Arc<str>, Arc<str>) {
        let (a, b) = self.two_classic();
        self.hears(join("c", &["t"]), 2, Some(&[]));
        (a, b)
    }

    /// All three know what they have, at epoch 2.
    fn settled(&mut self) -> (Arc<str>, Arc<str>) {
        let (a, b) = self.upgraded();
        for member in [&a, &b] {
            assert_eq!(self.joins(member, &[]).generation, 2);
        }
        self.told(beat("c", 2));
        for member in [&a, &b] {
            self.is_given_something(member, 2);
        }
        assert_eq!(self.consumer_state(), "Stable");
        (a, b)
    }

    fn is_given_something(&mut self, member: &str, generation: i32) {
        let ticket = self.send(sync_with(member, generation, &[]));
        assert!(self.synced(ticket).assignment.len() > 10);
    }

    /// What a member of the consumer group holds.
    fn holds(&mut self, member: &str) -> Told {
        let group = self.consumer().expect("a group");
        let member = group.members.iter().find(|one| &*one.id == member);
        (*member.expect("a member").assigned).clone()
    }

    fn migrates(policy: MigrationPolicy) -> Self {
        Self::with(|limits| limits.consumer.migration = policy)
    }
}

fn of_t(partitions: &[i32]) -> Told {
    Told::from([(T, partitions.to_vec())])
}

#[test]
fn h_10_a_classic_group_becomes_a_consumer_group_with_its_members() {
    let mut bench = Bench::new();
    let (a, b) = bench.two_classic();
    bench.ask(commit(&a, 1, 7)).expect("it is taken");
    let records = bench.log.len();
    bench.hears(join("c", &["t"]), 2, Some(&[]));
    let Record::Group { value: None, .. } = &bench.log[records] else {
        panic!("the classic group ends first: {:?}", bench.log[records]);
    };
    let group = bench.consumer().expect("a consumer group");
    assert_eq!(
        (group.state, group.epoch, group.assignment_epoch),
        ("Reconciling", 2, 2)
    );
    let epochs: Vec<_> = group.members.iter().map(|one| one.epoch).collect();
    assert_eq!((group.members.len(), epochs.iter().sum::<i32>()), (3, 4));
    for member in [&a, &b] {
        let there = group.members.iter().find(|one| one.id == *member);
        let metadata = &there.expect("it is taken over").metadata;
        let classic = metadata
            .classic
            .as_ref()
            .expect("it speaks the classic protocol");
        assert_eq!(classic.session_timeout_ms, 10_000);
        assert_eq!(classic.protocols.len(), 1);
        assert_eq!(metadata.rack.as_deref(), Some("r"));
        assert_eq!(metadata.topics, ["t".into()]);
    }
    assert_eq!(bench.holds(&a), of_t(&[0, 1]));
    assert_eq!(bench.holds(&b), of_t(&[2, 3]));
    // They go on at their generation until they join anew.
    bench.ask(commit(&a, 1, 8)).expect("it is taken");
    assert_eq!(bench.committed(), Some(8));
    let again = refused(ErrorCode::RebalanceInProgress);
    assert_eq!(bench.ask(heartbeat(&a, 1)), again);
    assert_eq!(bench.ask(sync(&a, 1)), again);
    assert_eq!(
        bench.state(),
        "Dead",
        "DescribeGroups knows classic groups alone"
    );
}

#[test]
fn h_10_members_of_both_protocols_share_out_what_they_read() {
    let mut bench = Bench::new();
    let (a, b) = bench.upgraded();
    let joined = bench.joins(&a, &[]);
    assert_eq!((&joined.member, joined.generation), (&a, 2));
    assert_eq!((&*joined.leader, joined.members.len()), ("", 0));
    assert_eq!(joined.protocol.as_deref(), Some("range"));
    bench.is_given(&a, 2, &[("t", &[0, 1])]);
    assert_eq!(bench.ask(heartbeat(&a, 2)), Ok(Reply::Done));
    // One that holds on to what it has is told what it keeps, and to come back without the rest.
    let joined = bench.joins(&b, &[("t", &[2, 3])]);
    assert_eq!(joined.generation, 1);
    bench.is_given(&b, 1, &[("t", &[2])]);
    bench.hears(beat("c", 2), 2, None);
    let again = refused(ErrorCode::RebalanceInProgress);
    assert_eq!(bench.ask(heartbeat(&b, 1)), again);
    assert_eq!(bench.joins(&b, &[("t", &[2])]).generation, 2);
    bench.is_given(&b, 2, &[("t", &[2])]);
    bench.hears(beat("c", 2), 2, Some(&[(T, &[3])]));
    assert_eq!(bench.consumer_state(), "Stable");
    for member in [&a, &b] {
        assert_eq!(bench.ask(heartbeat(member, 2)), Ok(Reply::Done));
    }
}

#[test]
fn h_10_who_waits_in_the_classic_group_joins_the_other() {
    let mut bench = Bench::new();
    let (a, b) = bench.two_classic();
    let pending = bench.wants_in("", &["t"], &[], |join| join.requires_member_id = true);
    let Some(Ok(Reply::MemberIdRequired(d))) = bench.take(pending) else {
        panic!("an id is given out");
    };
    let waits = bench.wants_in(&a, &["t"], &[], |_| {});
    bench.hears(join("c", &["t"]), 2, Some(&[]));
    let again = refused(ErrorCode::RebalanceInProgress);
    assert_eq!(bench.take(waits), Some(again));
    assert_eq!(bench.holds(&a), of_t(&[0, 1]), "what it was given last");
    assert_eq!(bench.joins(&a, &[]).generation, 2);
    assert_eq!(bench.joins(&d, &[]).generation, 3);
    assert_eq!(
        bench.ask(heartbeat(&b, 1)),
        refused(ErrorCode::RebalanceInProgress)
    );
}

#[test]
fn h_10_what_members_hold_is_kept_through_a_rebalance_that_did_not_end() {
    let mut bench = Bench::new();
    let (a, b) = bench.two_classic();
    // The leader wants a rebalance, and another one before its assignment is there.
    for _ in 0..2 {
        let first = bench.wants_in(&a, &["t"], &[], |_| {});
        let second = bench.wants_in(&b, &["t"], &[], |_| {});
        bench.joined(first);
        bench.joined(second);
        let syncs = bench.send(sync_with(&b, 2, &[]));
        let left = bench.ask(leave("nobody"));
        assert_eq!(left, Ok(Reply::Left(vec![Err(ErrorCode::UnknownMemberId)])));
        let _ = bench.take(syncs);
        let joins = bench.wants_in(&a, &["t", "u"], &[], |_| {});
        let _ = bench.take(joins);
        let joins = bench.wants_in(&b, &["t", "u"], &[], |_| {});
        let _ = bench.take(joins);
    }
    let epoch = bench.told(join("c", &["t", "u"])).epoch;
    assert!(epoch > 2);
    assert_eq!(bench.holds(&a), of_t(&[0, 1]));
    assert_eq!(bench.holds(&b), of_t(&[2, 3]));
}

#[test]
fn h_10_topics_that_are_not_known_are_asked_for() {
    let mut bench = Bench::new();
    let first = bench.wants_in("", &["t", "u"], &[], |_| {});
    let second = bench.wants_in("", &["t"], &[], |_| {});
    let (a, _) = bench.settle_classic(first, second);
    let mut event = join("c", &["t"]);
    event.found.clear();
    let wanted = |names: &[&str]| {
        let names = names.iter().map(|name| Arc::from(*name));
        Ok(Reply::TopicsWanted(names.collect()))
    };
    assert_eq!(bench.consumer_beat(event.clone()), wanted(&["t", "u"]));
    assert_eq!(bench.state(), "Stable", "nothing has happened yet");
    event.found = vec![topic("t", 1, Some((T, 4))), topic("u", 1, None)];
    bench.hears(event, 2, Some(&[]));
    // `t` is watched by now.
    let ticket = bench.wants_in(&a, &["t", "v"], &[("w", &[0])], |join| join.found.clear());
    assert_eq!(bench.take(ticket), Some(wanted(&["v", "w"])));
}

#[test]
fn h_10_what_cannot_be_upgraded_is_refused() {
    let not_found = refused(ErrorCode::GroupIdNotFound);
    for policy in [MigrationPolicy::Disabled, MigrationPolicy::Downgrade] {
        let mut bench = Bench::migrates(policy);
        bench.two_classic();
        assert_eq!(bench.consumer_beat(join("c", &["t"])), not_found);
        assert_eq!(bench.state(), "Stable");
    }
    // More members than a consumer group may have, or as many.
    for (max, error) in [
        (1, ErrorCode::GroupIdNotFound),
        (2, ErrorCode::GroupMaxSizeReached),
    ] {
        let mut bench = Bench::with(|limits| limits.consumer.members_max = max);
        bench.two_classic();
        assert_eq!(bench.consumer_beat(join("c", &["t"])), refused(error));
        assert_eq!(bench.state(), "Stable");
    }
    // Not of consumers; what cannot be read; bytes of an assignor's own.
    let whole = given(&[("t", &[0])]);
    let own = [&whole[..whole.len() - 4], b"\0\0\0\x01x"].concat();
    let cases = [
        ("connect", reads(&["t"], &[]), whole.clone()),
        ("consumer", "?".into(), whole.clone()),
        ("consumer", reads(&["t"], &[]), "?".into()),
        ("consumer", reads(&["t"], &[]), own.into()),
    ];
    for (kind, metadata, assignment) in cases {
        let mut bench = Bench::new();
        let ticket = bench.wants_in("", &[], &[], |join| {
            join.protocol_type = kind.into();
            join.protocols = vec![protocol("range", metadata.clone())];
        });
        bench.advance(bench.limits.initial_rebalance_delay_ms * 2);
        let member = bench.joined(ticket).member;
        let event = sync(&member, 1);
        let Event::Sync(mut event) = event else {
            unreachable!("it is one");
        };
        event.assignments = vec![(member.clone(), assignment)];
        let ticket = bench.send(Event::Sync(event));
        bench.synced(ticket);
        assert_eq!(bench.consumer_beat(join("c", &["t"])), not_found);
        assert_eq!(bench.ask(heartbeat(&member, 1)), Ok(Reply::Done));
    }
    let mut bench = Bench::new();
    bench.two_classic();
    assert_eq!(
        bench.consumer_beat(beat("c", 1)),
        not_found,
        "only who joins"
    );
}

#[test]
fn h_10_a_classic_member_joins_a_consumer_group() {
    let mut bench = Bench::with(|limits| limits.consumer.members_max = 3);
    bench.hears(join("c", &["t"]), 2, Some(&[(T, &[0, 1, 2, 3])]));
    let ticket = bench.wants_in("", &["t"], &[], |join| join.requires_member_id = true);
    let Some(Ok(Reply::MemberIdRequired(a))) = bench.take(ticket) else {
        panic!("it must come back with an id");
    };
    assert_eq!(bench.joins(&a, &[]).generation, 3);
    bench.is_given(&a, 3, &[]);
    let strange = bench.wants_in("", &["t"], &[], |join| {
        join.protocol_type = "connect".into()
    });
    let other = bench.wants_in("", &["t"], &[], |join| {
        join.protocols = vec![protocol("mine", reads(&["t"], &[]))];
    });
    let none = bench.wants_in("", &["t"], &[], |join| join.protocols.clear());
    for ticket in [strange, other, none] {
        let error = refused(ErrorCode::InconsistentGroupProtocol);
        assert_eq!(bench.take(ticket), Some(error));
    }
    let unread = bench.wants_in("", &["t"], &[], |join| {
        join.protocols = vec![protocol("range", "?")];
    });
    assert_eq!(
        bench.take(unread),
        Some(refused(ErrorCode::UnknownServerError))
    );
    bench.joins("", &[]);
    let full = bench.wants_in("", &["t"], &[], |_| {});
    assert_eq!(
        bench.take(full),
        Some(refused(ErrorCode::GroupMaxSizeReached))
    );
    assert_eq!(bench.joins(&a, &[]).generation, 4, "who is in stays in");
}

#[test]
fn h_4_who_is_away_holds_no_more_than_the_log_tells() {
    let mut bench = Bench::new();
    let named = |event: ConsumerHeartbeat| ConsumerHeartbeat {
        instance: Some("i".into()),
        ..event
    };
    bench.hears(named(join("a", &["t"])), 2, Some(&[(T, &[0, 1, 2, 3])]));
    bench.hears(join("b", &["t"]), 3, Some(&[]));
    for epoch in [2, -2] {
        let beat = bench.consumer_beat(named(beat("a", epoch)));
        assert!(
            beat.is_ok(),
            "it is to let go of two, and is away before it has: {beat:?}"
        );
    }
    bench.told_state();
}

#[test]
fn h_10_where_nothing_migrates_no_classic_member_joins_a_consumer_group() {
    for (policy, error) in [
        (
            MigrationPolicy::Disabled,
            Some(ErrorCode::InconsistentGroupProtocol),
        ),
        (MigrationPolicy::Upgrade, None),
        (MigrationPolicy::Downgrade, None),
    ] {
        let mut bench = Bench::migrates(policy);
        bench.hears(join("c", &["t"]), 2, Some(&[(T, &[0, 1, 2, 3])]));
        let ticket = bench.wants_in("", &["t"], &[], |_| {});
        let outcome = bench.take(ticket).expect("an answer");
        assert_eq!(outcome.err(), error, "{policy:?}");
    }
}

#[test]
fn h_10_a_classic_member_speaks_at_its_own_generation() {
    let mut bench = Bench::new();
    let (a, _) = bench.settled();
    let unknown = refused(ErrorCode::UnknownMemberId);
    for (member, generation, error) in [
        ("nobody", 2, ErrorCode::UnknownMemberId),
        ("c", 2, ErrorCode::UnknownMemberId),
        (&a, 1, ErrorCode::IllegalGeneration),
    ] {
        assert_eq!(bench.ask(heartbeat(member, generation)), refused(error));
        assert_eq!(bench.ask(sync(member, generation)), refused(error));
    }
    let mut beat_of = |instance: &str| {
        bench.ask(Event::Heartbeat(Heartbeat {
            group: "g".into(),
            member: a.clone(),
            instance: Some(instance.into()),
            generation: 2,
        }))
    };
    assert_eq!(beat_of("i"), unknown);
    for (kind, name) in [("connect", "range"), ("consumer", "mine")] {
        let Event::Sync(event) = sync_with(&a, 2, &[]) else {
            unreachable!("it is one");
        };
        let event = Sync {
            protocol_type: Some(kind.into()),
            protocol: Some(name.into()),
            ..event
        };
        let error = refused(ErrorCode::InconsistentGroupProtocol);
        assert_eq!(bench.ask(Event::Sync(event)), error);
    }
    // Old versions do, of a classic member.
    bench.ask(commit(&a, 2, 9)).expect("it is taken");
    let illegal = refused(ErrorCode::IllegalGeneration);
    assert_eq!(bench.ask(commit(&a, 1, 9)), illegal);
    let mut fetch = |member: &str, epoch| {
        bench.ask(Event::Fetch(Fetch {
            group: "g".into(),
            member: Some(member.into()),
            member_epoch: epoch,
            topics: None,
            require_stable: false,
        }))
    };
    assert_eq!(fetch(&a, 1), illegal);
    assert!(fetch(&a, 2).is_ok());
    assert_eq!(fetch("c", 1), refused(ErrorCode::StaleMemberEpoch));
}

#[test]
fn h_10_a_silent_or_slow_classic_member_is_out() {
    // It is silent.
    let mut bench = Bench::new();
    let (a, b) = bench.settled();
    bench.advance(9999);
    bench.ask(heartbeat(&b, 2)).expect("it is alive");
    bench.advance(1);
    let unknown = refused(ErrorCode::UnknownMemberId);
    assert_eq!(bench.ask(heartbeat(&a, 2)), unknown);
    // It hears that it must join anew, and does not.
    let mut epoch = 2;
    let mut speaks = |bench: &mut Bench| {
        epoch = bench.told(owns(beat("c", epoch), &[])).epoch;
        bench.advance(9000);
    };
    for _ in 0..7 {
        let again = refused(ErrorCode::RebalanceInProgress);
        assert_eq!(bench.ask(heartbeat(&b, 2)), again);
        speaks(&mut bench);
    }
    assert_eq!(bench.ask(heartbeat(&b, 2)), unknown);
    assert_eq!(bench.consumer().expect("a group").members.len(), 1);
    // It joins, and does not sync.
    let joined = bench.joins("", &[]);
    let beats = || heartbeat(&joined.member, joined.generation);
    for _ in 0..7 {
        assert_eq!(bench.ask(beats()), Ok(Reply::Done));
        speaks(&mut bench);
    }
    assert_eq!(bench.ask(beats()), unknown);
}

#[test]
fn h_10_who_was_put_out_must_let_go_before_it_joins_anew() {
    let mut bench = Bench::new();
    let (a, _) = bench.settled();
    bench.advance(10_000);
    let unknown = refused(ErrorCode::UnknownMemberId);
    let ticket = bench.wants_in(&a, &["t"], &[("t", &[0])], |_| {});
    assert_eq!(bench.take(ticket), Some(unknown));
    assert_eq!(
        bench.joins(&a, &[]).member,
        a,
        "an id that nobody has is as good as any"
    );
}

#[test]
fn h_10_sessions_of_classic_members_begin_anew_after_a_restart() {
    let mut bench = Bench::new();
    bench.ends.topics = vec![topic("t", 1, Some((T, 4)))];
    let (a, b) = bench.settled();
    bench.advance(9000);
    bench.restart();
    bench.advance(9000);
    assert_eq!(bench.ask(heartbeat(&a, 2)), Ok(Reply::Done));
    bench.is_given_something(&a, 2);
    bench.advance(1000);
    assert_eq!(
        bench.ask(heartbeat(&b, 2)),
        refused(ErrorCode::UnknownMemberId)
    );
}

#[test]
fn h_10_the_last_member_of_the_new_protocol_leaves_a_classic_group_behind() {
    for restarts in [false, true] {
        let mut bench = Bench::new();
        bench.ends.topics = vec![topic("t", 1, Some((T, 4)))];
        let (a, b) = bench.settled();
        let mut left = beat("c", -1);
        left.found.clear();
        bench.hears(left, -1, None);
        if restarts {
            bench.restart();
        }
        assert_eq!(bench.consumer(), None);
        assert_eq!(bench.state(), "PreparingRebalance");
        bench.ask(commit(&a, 2, 5)).expect("it is taken");
        let again = refused(ErrorCode::RebalanceInProgress);
        assert_eq!(bench.ask(heartbeat(&a, 2)), again);
        let first = bench.wants_in(&a, &["t"], &[], |_| {});
        let second = bench.wants_in(&b, &["t"], &[], |_| {});
        let (first, second) = (bench.joined(first), bench.joined(second));
        assert_eq!((first.generation, second.generation), (3, 3));
        assert_eq!(first.members.len() + second.members.len(), 2);
        let leads = first.leader.clone();
        let ticket = bench.send(sync_with(&leads, 3, &[(&leads, given(&[("t", &[0])]))]));
        bench.synced(ticket);
        assert_eq!(bench.state(), "Stable");
        assert_eq!(bench.committed(), Some(5));
        if restarts {
            bench.restart();
            assert_eq!(bench.state(), "Stable", "it rebalances once");
        }
        assert_eq!(bench.ask(heartbeat(&a, 3)), Ok(Reply::Done));
    }
}

#[test]
fn h_10_a_group_becomes_classic_however_the_last_one_goes() {
    // Its session ends.
    let mut bench = Bench::new();
    let (a, b) = bench.settled();
    for _ in 0..5 {
        for member in [&a, &b] {
            assert_eq!(bench.ask(heartbeat(member, 2)), Ok(Reply::Done));
        }
        bench.advance(9000);
    }
    assert_eq!(bench.state(), "PreparingRebalance");
    // An administrator takes it out.
    let mut bench = Bench::new();
    bench.settled();
    let left = bench.ask(leave("c"));
    assert_eq!(left, Ok(Reply::Left(vec![Ok(())])));
    assert_eq!(bench.state(), "PreparingRebalance");
    // It takes too long to let go.
    let mut bench = Bench::new();
    bench.hears(join("c", &["t"]), 2, Some(&[(T, &[0, 1, 2, 3])]));
    let a = bench.joins("", &[]);
    bench.hears(beat("c", 2), 2, Some(&[(T, &[0, 1])]));
    for _ in 0..7 {
        let _ = bench.ask(heartbeat(&a.member, a.generation));
        bench.is_given(&a.member, a.generation, &[]);
        bench.advance(9000);
        if bench.consumer().is_some() {
            let holds_on = owns(beat("c", 2), &[(T, &[0, 1, 2, 3])]);
            let _ = bench.consumer_beat(holds_on);
        }
    }
    assert_eq!(bench.state(), "PreparingRebalance");
    // Members of both kinds go together.
    let mut bench = Bench::new();
    let (a, _) = bench.settled();
    let members = vec![(a, None), ("c".into(), None)];
    let group = "g".into();
    bench
        .ask(Event::Leave(Leave { group, members }))
        .expect("they go");
    assert_eq!(bench.state(), "PreparingRebalance");
}

#[test]
fn h_10_what_cannot_be_downgraded_stays_a_consumer_group() {
    let benches = [
        Bench::migrates(MigrationPolicy::Upgrade),
        Bench::with(|limits| limits.members_max = 1),
        Bench::with(|limits| limits.group_bytes_max = 60),
    ];
    for mut bench in benches {
        bench.hears(join("c", &["t"]), 2, Some(&[(T, &[0, 1, 2, 3])]));
        let (a, b) = (bench.joins("", &[]), bench.joins("", &[]));
        bench.hears(beat("c", -1), -1, None);
        let group = bench.consumer().expect("it is one still");
        assert_eq!(group.members.len(), 2);
        let mut generations = Vec::new();
        for member in [&a, &b] {
            let joined = bench.joins(&member.member, &[]);
            generations.push(joined.generation);
            bench.is_given_something(&member.member, joined.generation);
        }
        assert_eq!(generations, [5, 5]);
        assert_eq!(bench.consumer_state(), "Stable");
    }
}

#[test]
fn h_10_static_members_change_their_protocol_and_keep_what_they_have() {
    let mut bench = Bench::new();
    let first = bench.wants_in("", &["t"], &[], |join| join.instance = Some("i".into()));
    let second = bench.wants_in("", &["t"], &[], |join| join.instance = Some("j".into()));
    let (a, b) = bench.settle_classic(first, second);
    // There: the old id is out, the new one has its partitions. It reads the same: nothing moves.
    bench.hears(static_join("new", "i"), 1, Some(&[(T, &[0, 1])]));
    let fenced = refused(ErrorCode::FencedInstanceId);
    let as_i = |member: &Arc<str>, generation| {
        Event::Heartbeat(Heartbeat {
            group: "g".into(),
            member: member.clone(),
            instance: Some("i".into()),
            generation,
        })
    };
    assert_eq!(bench.ask(as_i(&a, 1)), fenced);
    let rival = bench.consumer_beat(static_join("rival", "i"));
    assert_eq!(rival, refused(ErrorCode::UnreleasedInstanceId));
    let wrong = bench.wants_in("wrong", &["t"], &[], |join| {
        join.instance = Some("i".into())
    });
    assert_eq!(bench.take(wrong), Some(fenced));
    let nobody = bench.wants_in("wrong", &["t"], &[], |join| {
        join.instance = Some("k".into())
    });
    assert_eq!(
        bench.take(nobody),
        Some(refused(ErrorCode::UnknownMemberId))
    );
    let epoch = bench.consumer().expect("a group").epoch;
    let ticket = bench.wants_in(&b, &["t"], &[], |join| join.instance = Some("j".into()));
    assert_eq!(bench.joined(ticket).generation, epoch);
    // And back, without a rebalance: everybody has what it is to have.
    bench.hears(static_beat("new", "i", -2), -2, None);
    let ticket = bench.wants_in("", &["t"], &[], |join| join.instance = Some("i".into()));
    let back = bench.joined(ticket);
    assert_eq!(bench.state(), "Stable");
    assert_eq!(back.generation, epoch);
    bench.is_given(&back.member, epoch, &[("t", &[0, 1])]);
    assert_eq!(bench.ask(as_i(&back.member, epoch)), Ok(Reply::Done));
    bench.restart();
    assert_eq!(bench.state(), "Stable");
    assert_eq!(bench.ask(heartbeat(&b, epoch)), Ok(Reply::Done));
    let gone = bench.consumer_beat(static_beat("new", "i", epoch));
    assert_eq!(gone, refused(ErrorCode::GroupIdNotFound));
}

#[test]
fn h_10_a_static_member_that_comes_back_to_other_topics_makes_them_rebalance() {
    let mut bench = Bench::new();
    bench.hears(static_join("c", "i"), 2, Some(&[(T, &[0, 1, 2, 3])]));
    let a = bench.joins("", &[]);
    let ticket = bench.wants_in("", &["t", "u"], &[], |join| {
        join.instance = Some("i".into())
    });
    assert_eq!(bench.take(ticket), None, "it waits for the other");
    assert_eq!(bench.state(), "PreparingRebalance");
    let other = bench.wants_in(&a.member, &["t"], &[], |_| {});
    let (back, other) = (bench.joined(ticket), bench.joined(other));
    assert_eq!((back.generation, other.generation), (4, 4));
    // Alone, it is a group of its own.
    let mut bench = Bench::new();
    bench.hears(static_join("c", "i"), 2, Some(&[(T, &[0, 1, 2, 3])]));
    let ticket = bench.wants_in("", &["t"], &[], |join| join.instance = Some("i".into()));
    let back = bench.joined(ticket);
    assert_eq!((back.generation, bench.state()), (2, "Stable"));
    bench.is_given(&back.member, 2, &[("t", &[0, 1, 2, 3])]);
}

#[test]
fn h_10_an_empty_group_becomes_what_its_next_member_speaks() {
    let mut bench = Bench::migrates(MigrationPolicy::Disabled);
    let ticket = bench.wants_in("", &["t"], &[], |join| join.requires_member_id = true);
    let Some(Ok(Reply::MemberIdRequired(id))) = bench.take(ticket) else {
        panic!("an id is given out");
    };
    // Who was given an id but did not come back with it is not in the group yet.
    bench.hears(join("c", &["t"]), 2, Some(&[(T, &[0, 1, 2, 3])]));
    let ticket = bench.wants_in(&id, &["t"], &[], |_| {});
    let inconsistent = refused(ErrorCode::InconsistentGroupProtocol);
    assert_eq!(bench.take(ticket), Some(inconsistent));
    bench.ask(leave("c")).expect("it goes");
    let ticket = bench.wants_in("", &["t"], &[], |_| {});
    bench.advance(bench.limits.initial_rebalance_delay_ms * 2);
    assert_eq!(bench.joined(ticket).generation, 1);
}

#[test]
fn h_10_a_commit_without_a_member_is_refused_while_there_are_members() {
    let mut bench = Bench::new();
    bench.settled();
    let unknown = refused(ErrorCode::UnknownMemberId);
    assert_eq!(bench.ask(commit_with("", -1, 3, |_| {})), unknown);
}
