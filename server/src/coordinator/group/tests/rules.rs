use ratel_protocol::ErrorCode;

use super::bench::{Bench, commit, commit_offset, commit_with, leave, protocol, subscription};
use crate::coordinator::group::{DeleteOffsets, Event, Listed, Record, Reply, Survey};

fn delete(topic: &str) -> Event {
    Event::DeleteOffsets(DeleteOffsets {
        group: "g".into(),
        offsets: vec![(topic.into(), 0), (topic.into(), 1)],
    })
}

#[test]
fn o_7_offsets_of_a_topic_that_is_read_stay() {
    let mut bench = Bench::new();
    assert_eq!(bench.ask(delete("t")), Err(ErrorCode::GroupIdNotFound));
    let (first, second) = bench.stable();
    let event = commit_with(&first, 1, 0, |commit| {
        commit.offsets = vec![commit_offset("t", 1, ""), commit_offset("old", 2, "")];
    });
    bench.ask(event).unwrap();
    let subscribed = Err(ErrorCode::GroupSubscribedToTopic);
    assert_eq!(
        bench.ask(delete("t")),
        Ok(Reply::DeletedOffsets(vec![subscribed; 2]))
    );
    let records = bench.log.len();
    assert_eq!(
        bench.ask(delete("old")),
        Ok(Reply::DeletedOffsets(vec![Ok(()); 2]))
    );
    assert_eq!(
        bench.log.len(),
        records + 1,
        "only what was there is taken away"
    );
    bench.send(leave(&first));
    bench.send(leave(&second));
    assert_eq!(
        bench.ask(delete("t")),
        Ok(Reply::DeletedOffsets(vec![Ok(()); 2]))
    );
    assert_eq!(bench.committed(), None);
}

#[test]
fn o_7_a_living_group_of_another_kind_keeps_all_offsets() {
    let mut bench = Bench::new();
    let event = bench.join_event("", |join| {
        join.protocol_type = "connect".into();
        join.protocols = vec![protocol("sessioned", "?")];
    });
    bench.send(event);
    assert_eq!(bench.ask(delete("t")), Err(ErrorCode::NonEmptyGroup));
}

#[test]
fn o_7_a_subscription_that_cannot_be_read_protects_all_topics() {
    let mut bench = Bench::with(|limits| limits.initial_rebalance_delay_ms = 0);
    let event = bench.join_event("", |join| join.protocols = vec![protocol("range", "?")]);
    bench.send(event);
    let subscribed = Err(ErrorCode::GroupSubscribedToTopic);
    assert_eq!(
        bench.ask(delete("t")),
        Ok(Reply::DeletedOffsets(vec![subscribed; 2]))
    );
}

#[test]
fn o_7_a_group_with_members_is_not_deleted() {
    let mut bench = Bench::new();
    let gone = Event::DeleteGroup("g".into());
    assert_eq!(bench.ask(gone.clone()), Err(ErrorCode::GroupIdNotFound));
    let (first, second) = bench.stable();
    assert_eq!(bench.ask(gone.clone()), Err(ErrorCode::NonEmptyGroup));
    bench.ask(commit(&first, 1, 7)).unwrap();
    bench.send(leave(&first));
    bench.send(leave(&second));
    assert_eq!(bench.ask(gone.clone()), Ok(Reply::Done));
    assert_eq!(bench.state(), "Dead");
    assert_eq!(bench.committed(), None);
    assert_eq!(bench.snapshot(), []);
    let tombstones = &bench.log[bench.log.len() - 2..];
    assert!(matches!(&tombstones[0], Record::Offset { value: None, .. }));
    assert!(matches!(&tombstones[1], Record::Group { value: None, .. }));
    bench.restart();
    assert_eq!(bench.ask(gone), Err(ErrorCode::GroupIdNotFound));
}

#[test]
fn o_7_a_deleted_group_forgets_the_ids_it_gave_out() {
    let mut bench = Bench::new();
    bench.ask(commit("", -1, 7)).unwrap();
    let event = bench.join_event("", |join| join.requires_member_id = true);
    let Ok(Reply::MemberIdRequired(id)) = bench.ask(event) else {
        panic!("an id should have come");
    };
    assert_eq!(bench.ask(Event::DeleteGroup("g".into())), Ok(Reply::Done));
    assert_eq!(bench.state(), "Dead");
    let ticket = bench.join(&id);
    assert_eq!(bench.take(ticket), Some(Err(ErrorCode::UnknownMemberId)));
}

#[test]
fn o_8_metadata_is_shown_in_stable_alone_and_assignments_until_there_are_new_ones() {
    let mut bench = Bench::new();
    let describe = Event::Describe("g".into());
    assert_eq!(bench.ask(describe.clone()), Err(ErrorCode::GroupIdNotFound));
    let (first, _) = bench.stable();
    let Ok(Reply::Described(group)) = bench.ask(describe.clone()) else {
        panic!("a description should have come");
    };
    assert_eq!(
        (group.state, &*group.protocol_type, &*group.protocol),
        ("Stable", "consumer", "range")
    );
    let member = &group.members[0];
    assert_eq!(
        (&member.id, &*member.client_id, &*member.client_host),
        (&first, "c", "/127.0.0.1")
    );
    assert_eq!(
        (&member.metadata[..], &member.assignment[..]),
        (&subscription(&["t"])[..], &b"1"[..])
    );
    bench.join(&first);
    let Ok(Reply::Described(group)) = bench.ask(describe) else {
        panic!("a description should have come");
    };
    assert_eq!((group.state, &*group.protocol), ("PreparingRebalance", ""));
    assert_eq!(
        (group.members.len(), group.members[0].metadata.len()),
        (2, 0)
    );
    assert_eq!(group.members[0].assignment, "1");
}

#[test]
fn o_9_all_groups_are_listed() {
    let mut bench = Bench::new();
    bench.stable();
    bench
        .ask(commit_with("", -1, 7, |commit| {
            commit.group = "simple".into()
        }))
        .unwrap();
    let listed = |group: &str, protocol_type: &str, state| Listed {
        group: group.into(),
        protocol_type: protocol_type.into(),
        state,
        kind: "classic",
    };
    let groups = vec![
        listed("g", "consumer", "Stable"),
        listed("simple", "", "Empty"),
    ];
    assert_eq!(bench.ask(Event::List), Ok(Reply::Listed(groups)));
}

#[test]
fn a_survey_tells_what_lag_is_made_of() {
    let mut bench = Bench::new();
    let (first, _) = bench.stable();
    bench.ask(commit(&first, 1, 7)).unwrap();
    let survey = Survey {
        kind: "classic",
        group: "g".into(),
        state: "Stable",
        members: 2,
        offsets: vec![("t".into(), super::bench::TOPIC, 0, 7)],
    };
    assert_eq!(bench.ask(Event::Survey), Ok(Reply::Surveyed(vec![survey])));
}
