use ratel_protocol::ErrorCode;

use super::bench::{Bench, commit, heartbeat, leave, protocol, subscription, sync, sync_leader};
use crate::coordinator::When;
use crate::coordinator::group::{Event, Record, Reply};

#[test]
fn g_2_group_id_and_session_timeout_are_checked() {
    let mut bench = Bench::new();
    let event = bench.join_event("", |join| join.group = "".into());
    assert_eq!(bench.ask(event), Err(ErrorCode::InvalidGroupId));
    for timeout_ms in [5999, 1_800_001, -1, i32::MIN] {
        let event = bench.join_event("", |join| join.session_timeout_ms = timeout_ms);
        assert_eq!(bench.ask(event), Err(ErrorCode::InvalidSessionTimeout));
    }
    for timeout_ms in [6000, 1_800_000] {
        let event = bench.join_event("", |join| join.session_timeout_ms = timeout_ms);
        let ticket = bench.send(event);
        assert_eq!(bench.take(ticket), None, "in, and waiting");
    }
}

#[test]
fn g_3_someone_new_must_come_back_with_the_id_it_is_given() {
    let mut bench = Bench::new();
    let event = bench.join_event("", |join| join.requires_member_id = true);
    let id = "c-00000000-0000-0000-0000-000000000001";
    let ticket = bench.send(event);
    assert_eq!(
        bench.taken(ticket),
        (Ok(Reply::MemberIdRequired(id.into())), When::Now)
    );
    assert_eq!(bench.state(), "Empty");
    assert_eq!(bench.log, [], "nothing is written for an id alone");
    let event = bench.join_event(id, |join| join.requires_member_id = true);
    let ticket = bench.send(event);
    bench.advance(3000);
    let joined = bench.joined(ticket);
    assert_eq!((&*joined.member, joined.generation), (id, 1));
}

#[test]
fn g_3_an_id_that_nobody_comes_back_with_is_forgotten_with_its_group() {
    let mut bench = Bench::new();
    let event = bench.join_event("", |join| join.requires_member_id = true);
    let Ok(Reply::MemberIdRequired(id)) = bench.ask(event) else {
        panic!("an id should have come");
    };
    bench.advance(9999);
    assert_eq!(bench.state(), "Empty");
    bench.advance(1);
    assert_eq!(bench.state(), "Dead");
    let ticket = bench.join(&id);
    assert_eq!(bench.take(ticket), Some(Err(ErrorCode::UnknownMemberId)));
}

#[test]
fn g_3_a_static_member_and_an_old_client_join_directly() {
    let mut bench = Bench::new();
    let event = bench.join_event("", |join| {
        join.requires_member_id = true;
        join.instance = Some("i".into());
    });
    let first = bench.send(event);
    let second = bench.join("");
    bench.advance(6000);
    let id = "i-00000000-0000-0000-0000-000000000001";
    assert_eq!(&*bench.joined(first).member, id);
    assert_eq!(bench.joined(second).generation, 1);
}

#[test]
fn g_3_a_rebalance_waits_for_an_id_that_was_given_out() {
    let mut bench = Bench::new();
    let (first, second) = bench.stable();
    let event = bench.join_event("", |join| join.requires_member_id = true);
    let Ok(Reply::MemberIdRequired(third)) = bench.ask(event) else {
        panic!("an id should have come");
    };
    let event = bench.join_event(&second, |join| {
        join.protocols = vec![protocol("range", subscription(&["t", "u"]))];
    });
    let second = bench.send(event);
    let first = bench.join(&first);
    assert_eq!(bench.take(first), None);
    let third = bench.join(&third);
    assert_eq!(bench.joined(first).members.len(), 3);
    assert_eq!(bench.joined(second).generation, 2);
    assert_eq!(bench.joined(third).generation, 2);
}

#[test]
fn g_4_another_protocol_type_or_no_common_protocol_is_refused() {
    let mut bench = Bench::new();
    let empty = bench.join_event("", |join| join.protocols.clear());
    assert_eq!(bench.ask(empty), Err(ErrorCode::InconsistentGroupProtocol));
    let untyped = bench.join_event("", |join| join.protocol_type = "".into());
    assert_eq!(
        bench.ask(untyped),
        Err(ErrorCode::InconsistentGroupProtocol)
    );
    assert_eq!(bench.state(), "Dead", "who is refused makes no group");
    bench.stable();
    let connect = bench.join_event("", |join| join.protocol_type = "connect".into());
    assert_eq!(
        bench.ask(connect),
        Err(ErrorCode::InconsistentGroupProtocol)
    );
    let sticky = bench.join_event("", |join| join.protocols = vec![protocol("sticky", "")]);
    assert_eq!(bench.ask(sticky), Err(ErrorCode::InconsistentGroupProtocol));
}

#[test]
fn g_4_the_protocol_with_most_first_votes_among_the_common_ones_wins() {
    let mut bench = Bench::new();
    let mut tickets = Vec::new();
    for names in [
        ["x", "a", "b"],
        ["b", "a", "y"],
        ["b", "z", "a"],
        ["a", "b", "q"],
    ] {
        let event = bench.join_event("", |join| {
            join.protocols = names.map(|name| protocol(name, name.to_owned())).to_vec();
        });
        tickets.push(bench.send(event));
    }
    bench.advance(60_000);
    // x votes for a, since x is not common; so it is 2 to 2, and the name decides.
    let joined = bench.joined(tickets[0]);
    assert_eq!(joined.protocol.as_deref(), Some("a"));
    assert_eq!(joined.members.len(), 4);
    assert!(joined.members.iter().all(|member| member.metadata == "a"));
    let event = bench.join_event("", |join| {
        join.protocols = ["b", "a"]
            .map(|name| protocol(name, name.to_owned()))
            .to_vec();
    });
    bench.send(event);
    for ticket in &tickets[1..] {
        let id = bench.joined(*ticket).member;
        bench.send(leave(&id));
    }
    assert_eq!(bench.state(), "PreparingRebalance");
}

#[test]
fn g_5_an_empty_group_waits_and_every_newcomer_extends_the_wait() {
    let mut bench = Bench::new();
    let join = |bench: &mut Bench| {
        let event = bench.join_event("", |join| join.rebalance_timeout_ms = 8000);
        bench.send(event)
    };
    let first = join(&mut bench);
    assert_eq!(bench.state(), "PreparingRebalance");
    bench.advance(2999);
    let second = join(&mut bench);
    bench.advance(1);
    assert_eq!(bench.take(first), None, "extended to 6000");
    bench.advance(2999);
    let third = join(&mut bench);
    bench.advance(1);
    assert_eq!(
        bench.take(first),
        None,
        "extended to 8000, the rebalance timeout"
    );
    let fourth = join(&mut bench);
    bench.advance(1999);
    assert_eq!(bench.take(first), None);
    bench.advance(1);
    for ticket in [first, second, third, fourth] {
        assert_eq!(bench.joined(ticket).generation, 1);
    }
}

#[test]
fn g_5_a_single_member_waits_once() {
    let mut bench = Bench::new();
    let only = bench.join("");
    bench.advance(2999);
    assert_eq!(bench.take(only), None);
    bench.advance(1);
    assert_eq!(bench.joined(only).generation, 1);
}

#[test]
fn g_5_without_a_delay_the_first_member_is_in_at_once() {
    let mut bench = Bench::with(|limits| limits.initial_rebalance_delay_ms = 0);
    let only = bench.join("");
    assert_eq!(bench.joined(only).generation, 1);
}

#[test]
fn g_5_a_rebalance_waits_for_all_known_members() {
    let mut bench = Bench::new();
    let (first, second) = bench.stable();
    let third = bench.join("");
    assert_eq!(bench.state(), "PreparingRebalance");
    let first = bench.join(&first);
    assert_eq!(bench.take(third), None);
    let second = bench.join(&second);
    let joined = bench.joined(first);
    assert_eq!((joined.generation, joined.members.len()), (2, 3));
    assert_eq!(bench.joined(second).members, []);
    assert_eq!(bench.joined(third).members, []);
}

#[test]
fn g_5_who_does_not_rejoin_in_time_is_dropped() {
    let mut bench = Bench::new();
    let (first, second) = bench.stable();
    let third = bench.join("");
    let first_again = bench.join(&first);
    for _ in 0..11 {
        bench.advance(5000);
        let beat = bench.ask(heartbeat(&second, 1));
        assert_eq!(beat, Err(ErrorCode::RebalanceInProgress));
    }
    bench.advance(4999);
    assert_eq!(bench.take(third), None);
    bench.advance(1);
    let joined = bench.joined(first_again);
    assert_eq!((joined.generation, joined.members.len()), (2, 2));
    assert_eq!(bench.joined(third).leader, first);
    assert_eq!(
        bench.ask(heartbeat(&second, 1)),
        Err(ErrorCode::UnknownMemberId)
    );
}

#[test]
fn g_5_a_silent_member_ends_the_wait_for_it() {
    let mut bench = Bench::new();
    let (first, _) = bench.stable();
    let third = bench.join("");
    let first = bench.join(&first);
    bench.advance(10_000);
    assert_eq!(bench.joined(first).members.len(), 2);
    assert_eq!(bench.joined(third).generation, 2);
}

#[test]
fn g_6_only_the_leader_hears_of_the_others() {
    let mut bench = Bench::new();
    let (first, second) = (bench.join(""), bench.join(""));
    bench.advance(6000);
    let (first, second) = (bench.joined(first), bench.joined(second));
    assert_eq!(first.leader, first.member);
    assert_eq!(second.leader, first.member);
    let members: Vec<_> = first.members.iter().map(|member| &member.id).collect();
    assert_eq!(members, [&first.member, &second.member]);
    assert_eq!(first.members[0].metadata, subscription(&["t"]));
    assert_eq!(second.members, []);
}

#[test]
fn g_6_a_leader_that_left_is_replaced_by_someone_who_joined() {
    let mut bench = Bench::new();
    let (first, second) = bench.stable();
    bench.send(leave(&first));
    let second_again = bench.join(&second);
    let joined = bench.joined(second_again);
    assert_eq!((joined.leader, joined.generation), (second, 2));
    assert_eq!(joined.members.len(), 1);
}

#[test]
fn g_7_a_stable_follower_that_changed_nothing_is_told_what_is() {
    let mut bench = Bench::new();
    let (first, second) = bench.stable();
    let ticket = bench.join(&second);
    let joined = bench.joined(ticket);
    assert_eq!((joined.generation, joined.leader), (1, first));
    assert_eq!(joined.members, []);
    assert_eq!(bench.state(), "Stable");
}

#[test]
fn g_7_a_leader_or_new_metadata_brings_a_rebalance() {
    let mut bench = Bench::new();
    let (first, second) = bench.stable();
    let leader = bench.join(&first);
    assert_eq!(bench.state(), "PreparingRebalance");
    let follower = bench.join(&second);
    assert_eq!(bench.joined(leader).generation, 2);
    assert_eq!(bench.joined(follower).generation, 2);

    let mut bench = Bench::new();
    let (_, second) = bench.stable();
    let event = bench.join_event(&second, |join| {
        join.protocols = vec![protocol("range", subscription(&["u"]))];
    });
    bench.send(event);
    assert_eq!(bench.state(), "PreparingRebalance");
}

#[test]
fn g_7_a_lost_join_response_is_given_again() {
    let mut bench = Bench::new();
    let (first, second) = (bench.join(""), bench.join(""));
    bench.advance(6000);
    let (first, second) = (bench.joined(first), bench.joined(second));
    let again = bench.join(&first.member);
    assert_eq!(bench.joined(again), first);
    let again = bench.join(&second.member);
    assert_eq!(bench.joined(again), second);
    assert_eq!(bench.state(), "CompletingRebalance");
}

#[test]
fn g_7_new_metadata_while_completing_begins_again() {
    let mut bench = Bench::new();
    let (first, second) = (bench.join(""), bench.join(""));
    bench.advance(6000);
    let (first, second) = (bench.joined(first), bench.joined(second));
    let waits = bench.send(sync(&second.member, 1));
    let event = bench.join_event(&first.member, |join| {
        join.protocols = vec![protocol("range", subscription(&["u"]))];
    });
    let again = bench.send(event);
    assert_eq!(bench.take(waits), Some(Err(ErrorCode::RebalanceInProgress)));
    let second = bench.join(&second.member);
    assert_eq!(bench.joined(again).generation, 2);
    assert_eq!(bench.joined(second).generation, 2);
}

#[test]
fn a_join_that_is_sent_again_takes_the_place_of_the_first() {
    let mut bench = Bench::new();
    let (first, second) = bench.stable();
    let once = bench.join(&first);
    let twice = bench.join(&first);
    assert_eq!(bench.take(once), Some(Err(ErrorCode::RebalanceInProgress)));
    bench.join(&second);
    assert_eq!(bench.joined(twice).generation, 2);
}

#[test]
fn a_member_nobody_knows_is_refused() {
    let mut bench = Bench::new();
    let ticket = bench.join("who");
    assert_eq!(bench.take(ticket), Some(Err(ErrorCode::UnknownMemberId)));
    assert_eq!(bench.state(), "Dead", "it made no group");
    bench.stable();
    let ticket = bench.join("who");
    assert_eq!(bench.take(ticket), Some(Err(ErrorCode::UnknownMemberId)));
}

#[test]
fn a_new_member_that_waits_for_too_long_must_ask_again() {
    let mut bench = Bench::new();
    let (first, second) = bench.stable();
    let event = bench.join_event(&first, |join| join.rebalance_timeout_ms = 900_000);
    bench.send(event);
    let third = bench.join("");
    for _ in 0..59 {
        bench.advance(5000);
        let _ = bench.ask(heartbeat(&second, 1));
    }
    assert_eq!(bench.take(third), None);
    bench.advance(5000);
    assert_eq!(bench.take(third), Some(Err(ErrorCode::UnknownMemberId)));
    assert_eq!(bench.state(), "PreparingRebalance");
}

#[test]
fn g_13_a_full_group_takes_no_one_more() {
    let mut bench = Bench::with(|limits| limits.members_max = 2);
    let (first, second) = bench.stable();
    let third = bench.join("");
    assert_eq!(bench.take(third), Some(Err(ErrorCode::GroupMaxSizeReached)));
    assert_eq!(bench.state(), "Stable");
    let first = bench.join(&first);
    let third = bench.join("");
    let second_again = bench.join(&second);
    assert_eq!(
        bench.take(second_again),
        Some(Err(ErrorCode::GroupMaxSizeReached)),
        "those count that have joined"
    );
    assert_eq!(bench.joined(first).members.len(), 2);
    assert_eq!(bench.joined(third).generation, 2);
}

#[test]
fn limits_on_groups_and_what_members_say() {
    let mut bench = Bench::with(|limits| {
        limits.groups_max = 1;
        limits.member_bytes_max = 10;
    });
    let say = |bench: &mut Bench, group: &str, bytes: usize| {
        let event = bench.join_event("", |join| {
            join.group = group.into();
            join.protocols = vec![protocol("x", vec![0; bytes])];
        });
        let ticket = bench.send(event);
        bench.take(ticket)
    };
    assert_eq!(
        say(&mut bench, "g", 10),
        Some(Err(ErrorCode::MessageTooLarge))
    );
    assert_eq!(say(&mut bench, "g", 9), None);
    assert_eq!(
        say(&mut bench, "h", 9),
        Some(Err(ErrorCode::GroupMaxSizeReached))
    );
    let long = "x".repeat(32_768);
    assert_eq!(
        say(&mut bench, &long, 9),
        Some(Err(ErrorCode::InvalidGroupId))
    );
    let event = bench.join_event("", |join| join.instance = Some(long.into()));
    assert_eq!(bench.ask(event), Err(ErrorCode::InvalidRequest));
}

#[test]
fn a_long_client_id_is_cut_in_the_member_id() {
    let mut bench = Bench::new();
    let event = bench.join_event("", |join| {
        join.client_id = "ä".repeat(1000).into();
        join.requires_member_id = true;
    });
    let Ok(Reply::MemberIdRequired(id)) = bench.ask(event) else {
        panic!("an id should have come");
    };
    assert_eq!(id.len(), 256 + 37);
}

#[test]
fn the_last_member_to_leave_empties_the_group_durably() {
    let mut bench = Bench::new();
    let (first, second) = bench.stable();
    bench.ask(commit(&first, 1, 5)).unwrap();
    bench.send(leave(&first));
    let ticket = bench.send(leave(&second));
    assert_eq!(
        bench.taken(ticket),
        (Ok(Reply::Left(vec![Ok(())])), When::Durable)
    );
    assert_eq!(bench.state(), "Empty");
    let Some(Record::Group {
        value: Some(metadata),
        ..
    }) = bench.log.last()
    else {
        panic!("the empty group should be written down");
    };
    assert_eq!((metadata.generation, metadata.members.len()), (2, 0));
    assert_eq!(
        (&*metadata.protocol_type, &metadata.leader),
        ("consumer", &None)
    );
    assert_eq!(bench.committed(), Some(5));
}

#[test]
fn an_emptied_group_takes_another_protocol_type() {
    let mut bench = Bench::new();
    let (first, second) = bench.stable();
    bench.send(leave(&first));
    bench.send(leave(&second));
    let event = bench.join_event("", |join| {
        join.protocol_type = "connect".into();
        join.protocols = vec![protocol("sessioned", "?")];
    });
    let ticket = bench.send(event);
    bench.advance(3000);
    let joined = bench.joined(ticket);
    assert_eq!((joined.generation, &*joined.protocol_type), (3, "connect"));
    let leads = joined.member.clone();
    bench.send(sync_leader(&leads, 3, &[(&leads, "x")]));
    let Ok(Reply::Listed(groups)) = bench.ask(Event::List) else {
        panic!("a list should have come");
    };
    assert_eq!(&*groups[0].protocol_type, "connect");
}
