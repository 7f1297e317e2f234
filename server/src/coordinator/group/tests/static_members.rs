use std::sync::Arc;

use ratel_protocol::ErrorCode;

use super::bench::{Bench, heartbeat, protocol, subscription, sync, sync_leader};
use crate::coordinator::When;
use crate::coordinator::group::{Event, Heartbeat, Leave, Record, Reply};

/// Two static members `a` (leads) and `b`, stable at generation 1.
fn stable(bench: &mut Bench) -> (Arc<str>, Arc<str>) {
    let (first, second) = (bench.join_static("a", ""), bench.join_static("b", ""));
    bench.settle_group(first, second)
}

fn beat(instance: &str, member: &str, generation: i32) -> Event {
    Event::Heartbeat(Heartbeat {
        group: "g".into(),
        member: member.into(),
        instance: Some(instance.into()),
        generation,
    })
}

#[test]
fn g_8_a_static_member_comes_back_under_a_new_id() {
    let mut bench = Bench::new();
    let (first, second) = stable(&mut bench);
    let records = bench.log.len();
    let ticket = bench.join_static("b", "");
    let (outcome, when) = bench.taken(ticket);
    let Ok(Reply::Joined(joined)) = outcome else {
        panic!("it should be in: {outcome:?}");
    };
    assert_eq!(when, When::Durable);
    assert_eq!((joined.generation, &joined.leader), (1, &first));
    assert_eq!((joined.members.len(), joined.skip_assignment), (0, false));
    assert_ne!(joined.member, second);
    assert_eq!(bench.state(), "Stable", "no rebalance");
    let Some(Record::Group {
        value: Some(metadata),
        ..
    }) = bench.log.get(records)
    else {
        panic!("the new id should be written down");
    };
    assert!(
        metadata
            .members
            .iter()
            .any(|member| member.id == joined.member)
    );
    let ticket = bench.send(sync(&joined.member, 1));
    assert_eq!(
        bench.synced(ticket).assignment,
        "2",
        "the assignment stands"
    );
    let fenced = Err(ErrorCode::FencedInstanceId);
    assert_eq!(bench.ask(beat("b", &second, 1)), fenced);
    assert_eq!(bench.ask(beat("b", &joined.member, 1)), Ok(Reply::Done));
    let old = bench.join_static("b", &second);
    assert_eq!(bench.take(old), Some(fenced));
    assert_eq!(
        bench.ask(heartbeat(&second, 1)),
        Err(ErrorCode::UnknownMemberId)
    );
}

#[test]
fn g_8_a_leader_that_comes_back_skips_the_assignment_if_it_can() {
    let mut bench = Bench::new();
    stable(&mut bench);
    let event = bench.join_event("", |join| {
        join.instance = Some("a".into());
        join.can_skip_assignment = true;
    });
    let ticket = bench.send(event);
    let joined = bench.joined(ticket);
    assert_eq!(joined.leader, joined.member);
    assert_eq!((joined.members.len(), joined.skip_assignment), (2, true));
    assert_eq!(joined.generation, 1);
}

#[test]
fn g_8_an_older_leader_that_comes_back_is_not_told_that_it_leads() {
    let mut bench = Bench::new();
    let (first, _) = stable(&mut bench);
    let ticket = bench.join_static("a", "");
    let joined = bench.joined(ticket);
    assert_eq!(joined.leader, first, "its old id");
    assert_eq!((joined.members.len(), joined.skip_assignment), (0, false));
    let ticket = bench.send(sync(&joined.member, 1));
    assert_eq!(bench.synced(ticket).assignment, "1");
}

#[test]
fn g_8_a_change_of_the_chosen_protocol_brings_a_rebalance() {
    let mut bench = Bench::new();
    let join = |bench: &mut Bench, instance: &str, names: [&str; 2]| {
        let event = bench.join_event("", |join| {
            join.instance = Some(instance.into());
            join.protocols = names
                .map(|name| protocol(name, subscription(&["t"])))
                .to_vec();
        });
        bench.send(event)
    };
    let (first, second) = (
        join(&mut bench, "a", ["x", "y"]),
        join(&mut bench, "b", ["x", "y"]),
    );
    bench.settle_group(first, second);
    let event = bench.join_event("", |join| {
        join.instance = Some("b".into());
        join.protocols = vec![protocol("y", subscription(&["t"]))];
    });
    let ticket = bench.send(event);
    assert_eq!(bench.take(ticket), None);
    assert_eq!(bench.state(), "PreparingRebalance");
}

#[test]
fn g_8_coming_back_while_completing_begins_again() {
    let mut bench = Bench::new();
    let (first, second) = (bench.join_static("a", ""), bench.join_static("b", ""));
    bench.advance(6000);
    let (first, second) = (bench.joined(first), bench.joined(second));
    let waits = bench.send(sync(&second.member, 1));
    let again = bench.join_static("b", "");
    assert_eq!(bench.take(waits), Some(Err(ErrorCode::FencedInstanceId)));
    assert_eq!(bench.take(again), None);
    let first = bench.join_static("a", &first.member);
    let leader = bench.joined(first);
    assert_eq!(leader.generation, 2);
    let again = bench.joined(again).member;
    assert!(leader.members.iter().any(|member| member.id == again));
    assert_eq!(leader.members.len(), 2);
}

#[test]
fn g_8_a_second_one_of_the_same_name_fences_the_first_in_join() {
    let mut bench = Bench::new();
    let first = bench.join_static("a", "");
    let second = bench.join_static("a", "");
    assert_eq!(bench.take(first), Some(Err(ErrorCode::FencedInstanceId)));
    bench.advance(6000);
    assert_eq!(bench.joined(second).members.len(), 1);
}

#[test]
fn g_8_an_unknown_name_is_an_unknown_member() {
    let mut bench = Bench::new();
    let (first, _) = stable(&mut bench);
    let ticket = bench.join_static("c", &first);
    assert_eq!(bench.take(ticket), Some(Err(ErrorCode::UnknownMemberId)));
    assert_eq!(
        bench.ask(beat("c", &first, 1)),
        Err(ErrorCode::UnknownMemberId)
    );
}

#[test]
fn a_static_member_that_does_not_rejoin_keeps_its_place_until_its_session_ends() {
    let mut bench = Bench::new();
    let event = |bench: &mut Bench, instance: &str, member: &str| {
        bench.join_event(member, |join| {
            join.instance = Some(instance.into());
            join.session_timeout_ms = 100_000;
        })
    };
    let first = event(&mut bench, "a", "");
    let first = bench.send(first);
    let second = event(&mut bench, "b", "");
    let second = bench.send(second);
    let (first, second) = bench.settle_group(first, second);
    let again = event(&mut bench, "a", &first);
    let again = bench.send(again);
    bench.advance(60_000);
    let joined = bench.joined(again);
    assert_eq!((joined.generation, joined.members.len()), (2, 2));
    let ticket = bench.send(sync_leader(&first, 2, &[(&first, "1"), (&second, "2")]));
    assert_eq!(bench.synced(ticket).assignment, "1");
}

#[test]
fn a_rebalance_that_nobody_joins_waits_on_for_static_members() {
    let mut bench = Bench::new();
    let (first, second) = (bench.join_static("a", ""), bench.join(""));
    let (first, second) = bench.settle_group(first, second);
    bench.send(super::bench::leave(&second));
    for _ in 0..15 {
        bench.advance(5000);
        let beat = bench.ask(beat("a", &first, 1));
        assert_eq!(beat, Err(ErrorCode::RebalanceInProgress));
    }
    assert_eq!(bench.state(), "PreparingRebalance");
    let again = bench.join_static("a", &first);
    assert_eq!(bench.joined(again).generation, 2);
}

#[test]
fn g_12_an_administrator_removes_by_name() {
    let mut bench = Bench::new();
    let (first, second) = stable(&mut bench);
    let members = vec![
        ("".into(), Some("b".into())),
        ("".into(), Some("nobody".into())),
        ("".into(), None),
        (second, Some("a".into())),
        ("who".into(), None),
    ];
    let unknown = Err(ErrorCode::UnknownMemberId);
    let reply = bench.ask(Event::Leave(Leave {
        group: "g".into(),
        members,
    }));
    let fenced = Err(ErrorCode::FencedInstanceId);
    assert_eq!(
        reply,
        Ok(Reply::Left(vec![Ok(()), unknown, unknown, fenced, unknown]))
    );
    assert_eq!(bench.state(), "PreparingRebalance");
    let first = bench.join_static("a", &first);
    assert_eq!(bench.joined(first).members.len(), 1);
}
