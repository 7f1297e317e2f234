use bytes::Bytes;
use ratel_protocol::ErrorCode;

use super::bench::{Bench, heartbeat, leave, subscription, sync, sync_leader};
use crate::coordinator::When;
use crate::coordinator::group::{Event, Record, Reply, Sync};

#[test]
fn g_9_who_may_not_sync() {
    let mut bench = Bench::new();
    let unknown = Err(ErrorCode::UnknownMemberId);
    assert_eq!(bench.ask(sync("m", 1)), unknown, "no such group");
    let (first, second) = bench.stable();
    assert_eq!(bench.ask(sync("m", 1)), unknown);
    assert_eq!(
        bench.ask(sync(&first, 2)),
        Err(ErrorCode::IllegalGeneration)
    );
    assert_eq!(
        bench.ask(sync(&first, 0)),
        Err(ErrorCode::IllegalGeneration)
    );
    let other = |protocol_type: &str, protocol: &str| {
        Event::Sync(Sync {
            group: "g".into(),
            member: second.clone(),
            instance: None,
            generation: 1,
            protocol_type: Some(protocol_type.into()),
            protocol: Some(protocol.into()),
            assignments: Vec::new(),
        })
    };
    let inconsistent = Err(ErrorCode::InconsistentGroupProtocol);
    assert_eq!(bench.ask(other("connect", "range")), inconsistent);
    assert_eq!(bench.ask(other("consumer", "sticky")), inconsistent);
    let ticket = bench.send(other("consumer", "range"));
    let synced = bench.synced(ticket);
    assert_eq!(synced.assignment, "2");
    assert_eq!(
        (&*synced.protocol_type, synced.protocol.as_deref()),
        ("consumer", Some("range"))
    );
    bench.join(&first);
    assert_eq!(
        bench.ask(sync(&second, 1)),
        Err(ErrorCode::RebalanceInProgress)
    );
}

#[test]
fn g_9_the_assignment_is_durable_before_anybody_hears_of_it() {
    let mut bench = Bench::new();
    let (first, second) = (bench.join(""), bench.join(""));
    bench.advance(6000);
    let (first, second) = (bench.joined(first), bench.joined(second));
    let follower = bench.send(sync(&second.member, 1));
    assert_eq!(bench.log, []);
    let assignments = [(&*first.member, "one"), ("stranger", "three")];
    let leader = bench.send(sync_leader(&first.member, 1, &assignments));
    for (ticket, bytes) in [(leader, "one"), (follower, "")] {
        let (outcome, when) = bench.taken(ticket);
        let Ok(Reply::Synced(synced)) = outcome else {
            panic!("it should have synced: {outcome:?}");
        };
        assert_eq!(
            (synced.assignment, when),
            (Bytes::from(bytes), When::Durable)
        );
    }
    assert_eq!(bench.state(), "Stable");
    let [
        Record::Group {
            group,
            value: Some(metadata),
        },
    ] = &bench.log[..]
    else {
        panic!("one record should be written: {:?}", bench.log);
    };
    assert_eq!((&**group, metadata.generation), ("g", 1));
    assert_eq!(metadata.leader.as_ref(), Some(&first.member));
    assert_eq!(metadata.state_timestamp_ms, bench.now.wall_ms);
    assert_eq!(metadata.members.len(), 2);
    assert_eq!(metadata.members[0].assignment, "one");
    assert_eq!(metadata.members[0].subscription, subscription(&["t"]));
    assert_eq!(metadata.members[0].session_timeout_ms, 10_000);
    assert_eq!(metadata.members[0].rebalance_timeout_ms, 60_000);
}

#[test]
fn g_9_a_late_sync_gets_the_assignment_that_stands() {
    let mut bench = Bench::new();
    let (first, second) = (bench.join(""), bench.join(""));
    bench.advance(6000);
    let (first, second) = (bench.joined(first), bench.joined(second));
    bench.send(sync_leader(&first.member, 1, &[(&second.member, "x")]));
    let late = bench.send(sync(&second.member, 1));
    assert_eq!(bench.synced(late).assignment, "x");
    let again = bench.send(sync(&second.member, 1));
    assert_eq!(bench.synced(again).assignment, "x", "a lost response");
}

#[test]
fn g_9_who_never_syncs_is_dropped_after_the_rebalance_timeout() {
    let mut bench = Bench::new();
    let (first, second) = (bench.join(""), bench.join(""));
    bench.advance(6000);
    let (first, second) = (bench.joined(first), bench.joined(second));
    bench.send(sync_leader(&first.member, 1, &[]));
    for _ in 0..11 {
        bench.advance(5000);
        assert_eq!(bench.ask(heartbeat(&first.member, 1)), Ok(Reply::Done));
        assert_eq!(bench.ask(heartbeat(&second.member, 1)), Ok(Reply::Done));
    }
    bench.advance(4999);
    assert_eq!(bench.state(), "Stable");
    bench.advance(1);
    assert_eq!(bench.state(), "PreparingRebalance");
    let gone = bench.ask(heartbeat(&second.member, 1));
    assert_eq!(gone, Err(ErrorCode::UnknownMemberId));
    let again = bench.join(&first.member);
    assert_eq!(bench.joined(again).members.len(), 1);
}

#[test]
fn g_9_a_leader_that_never_syncs_frees_who_waits_for_it() {
    let mut bench = Bench::new();
    let (first, second) = (bench.join(""), bench.join(""));
    bench.advance(6000);
    let (first, second) = (bench.joined(first), bench.joined(second));
    let waits = bench.send(sync(&second.member, 1));
    for _ in 0..12 {
        bench.advance(4999);
        let _ = bench.ask(heartbeat(&first.member, 1));
    }
    assert_eq!(bench.take(waits), None);
    bench.advance(12);
    assert_eq!(bench.take(waits), Some(Err(ErrorCode::RebalanceInProgress)));
    let second = bench.join(&second.member);
    let joined = bench.joined(second);
    assert_eq!((joined.generation, joined.members.len()), (2, 1));
    assert_eq!(joined.leader, joined.member);
}

#[test]
fn a_sync_that_is_sent_again_takes_the_place_of_the_first() {
    let mut bench = Bench::new();
    let (first, second) = (bench.join(""), bench.join(""));
    bench.advance(6000);
    let (first, second) = (bench.joined(first), bench.joined(second));
    let once = bench.send(sync(&second.member, 1));
    let twice = bench.send(sync(&second.member, 1));
    assert_eq!(bench.take(once), Some(Err(ErrorCode::RebalanceInProgress)));
    bench.send(sync_leader(&first.member, 1, &[(&second.member, "x")]));
    assert_eq!(bench.synced(twice).assignment, "x");
}

#[test]
fn a_member_that_leaves_while_completing_frees_who_waits() {
    let mut bench = Bench::new();
    let (first, second) = (bench.join(""), bench.join(""));
    bench.advance(6000);
    let (first, second) = (bench.joined(first), bench.joined(second));
    let waits = bench.send(sync(&second.member, 1));
    bench.send(leave(&first.member));
    assert_eq!(bench.take(waits), Some(Err(ErrorCode::RebalanceInProgress)));
    assert_eq!(bench.state(), "PreparingRebalance");
}

#[test]
fn an_assignment_above_the_limit_is_refused_and_one_at_it_is_not() {
    let size = subscription(&["t"]).len() + 3;
    for (limit, fits) in [(size, true), (size - 1, false)] {
        let mut bench = Bench::with(|limits| limits.group_bytes_max = limit);
        let first = bench.join("");
        bench.advance(3000);
        let first = bench.joined(first).member;
        let ticket = bench.send(sync_leader(&first, 1, &[(&first, "123")]));
        if fits {
            assert_eq!(bench.synced(ticket).assignment, "123");
        } else {
            assert_eq!(bench.take(ticket), Some(Err(ErrorCode::MessageTooLarge)));
            assert_eq!(bench.state(), "PreparingRebalance");
        }
    }
}

#[test]
fn g_10_heartbeats_in_every_state() {
    let mut bench = Bench::new();
    let unknown = Err(ErrorCode::UnknownMemberId);
    assert_eq!(bench.ask(heartbeat("m", 1)), unknown, "no such group");
    let (first, second) = (bench.join(""), bench.join(""));
    bench.advance(6000);
    let (first, second) = (bench.joined(first), bench.joined(second));
    assert_eq!(
        bench.ask(heartbeat(&second.member, 1)),
        Ok(Reply::Done),
        "completing"
    );
    let ticket = bench.send(sync_leader(&first.member, 1, &[]));
    bench.synced(ticket);
    let ticket = bench.send(heartbeat(&second.member, 1));
    assert_eq!(bench.taken(ticket), (Ok(Reply::Done), When::Now), "stable");
    assert_eq!(
        bench.ask(heartbeat(&second.member, 2)),
        Err(ErrorCode::IllegalGeneration)
    );
    assert_eq!(bench.ask(heartbeat("m", 1)), unknown);
    bench.join(&first.member);
    let rebalance = Err(ErrorCode::RebalanceInProgress);
    for _ in 0..3 {
        bench.advance(9000);
        assert_eq!(
            bench.ask(heartbeat(&second.member, 1)),
            rebalance,
            "it stays alive"
        );
    }
    bench.send(leave(&first.member));
    bench.send(leave(&second.member));
    assert_eq!(bench.state(), "Empty");
    assert_eq!(bench.ask(heartbeat(&second.member, 1)), unknown, "empty");
}

#[test]
fn a_silent_member_is_dropped_when_its_session_ends() {
    let mut bench = Bench::new();
    let (first, second) = bench.stable();
    bench.advance(9999);
    assert_eq!(bench.ask(heartbeat(&first, 1)), Ok(Reply::Done));
    bench.advance(1);
    assert_eq!(bench.state(), "PreparingRebalance");
    assert_eq!(
        bench.ask(heartbeat(&second, 1)),
        Err(ErrorCode::UnknownMemberId)
    );
    assert_eq!(
        bench.ask(heartbeat(&first, 1)),
        Err(ErrorCode::RebalanceInProgress)
    );
}

#[test]
fn o_11_an_empty_group_id_is_refused_by_the_group_protocol() {
    let mut bench = Bench::new();
    let invalid = Err(ErrorCode::InvalidGroupId);
    let mut events = [heartbeat("m", 1), sync("m", 1), leave("m")];
    if let [
        Event::Heartbeat(heartbeat),
        Event::Sync(sync),
        Event::Leave(leave),
    ] = &mut events
    {
        heartbeat.group = "".into();
        sync.group = "".into();
        leave.group = "".into();
    }
    for event in events {
        assert_eq!(bench.ask(event), invalid);
    }
}
