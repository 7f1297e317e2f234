use ratel_protocol::ErrorCode;

use super::bench::{
    Bench, COMMITTED, TOPIC, commit, commit_offset, commit_with, leave, sync_leader,
};
use crate::coordinator::When;
use crate::coordinator::group::{Committed, Event, Fetch, FetchedTopic, Record, Reply};

fn all(group: &str) -> Event {
    Event::Fetch(Fetch {
        group: group.into(),
        member: None,
        member_epoch: -1,
        topics: None,
        require_stable: false,
    })
}

#[test]
fn o_1_a_commit_from_outside_makes_a_simple_group() {
    let mut bench = Bench::new();
    let ticket = bench.send(commit("", -1, 7));
    assert_eq!(bench.taken(ticket), (COMMITTED(), When::Durable));
    assert_eq!(bench.committed(), Some(7));
    assert_eq!(bench.state(), "Empty");
    assert_eq!(bench.ask(commit("", -1, 9)), COMMITTED());
    assert_eq!(bench.committed(), Some(9));
    assert_eq!(bench.log.len(), 2);
    assert_eq!(
        bench.log[1],
        Record::Offset {
            group: "g".into(),
            topic: "t".into(),
            partition: 0,
            value: Some(Committed {
                offset: 9,
                leader_epoch: -1,
                metadata: "".into(),
                commit_timestamp_ms: bench.now.wall_ms,
                expire_timestamp_ms: None,
                topic: TOPIC,
            }),
        }
    );
}

#[test]
fn o_1_a_commit_from_outside_a_living_group_is_refused() {
    let mut bench = Bench::new();
    let (first, second) = bench.stable();
    assert_eq!(
        bench.ask(commit("", -1, 7)),
        Err(ErrorCode::UnknownMemberId)
    );
    bench.send(leave(&first));
    bench.send(leave(&second));
    assert_eq!(bench.ask(commit("", -1, 7)), COMMITTED());
}

#[test]
fn o_2_the_rules_for_members() {
    let mut bench = Bench::new();
    let (first, second) = (bench.join(""), bench.join_static("i", ""));
    bench.advance(6000);
    let (first, second) = (bench.joined(first).member, bench.joined(second).member);
    let rebalance = Err(ErrorCode::RebalanceInProgress);
    assert_eq!(bench.ask(commit(&first, 1, 7)), rebalance, "completing");
    bench.send(sync_leader(&first, 1, &[]));
    assert_eq!(bench.ask(commit(&first, 1, 7)), COMMITTED());
    assert_eq!(
        bench.ask(commit("m", 1, 7)),
        Err(ErrorCode::UnknownMemberId)
    );
    assert_eq!(
        bench.ask(commit(&first, 2, 7)),
        Err(ErrorCode::IllegalGeneration)
    );
    assert_eq!(
        bench.ask(commit(&first, -1, 7)),
        Err(ErrorCode::IllegalGeneration)
    );
    let named =
        |member: &str| commit_with(member, 1, 8, |commit| commit.instance = Some("i".into()));
    assert_eq!(bench.ask(named(&first)), Err(ErrorCode::FencedInstanceId));
    assert_eq!(bench.ask(named(&second)), COMMITTED());
    bench.join(&first);
    assert_eq!(bench.state(), "PreparingRebalance");
    assert_eq!(
        bench.ask(commit(&second, 1, 9)),
        COMMITTED(),
        "before it rejoins"
    );
    assert_eq!(bench.committed(), Some(9));
}

#[test]
fn o_2_a_commit_keeps_the_session_alive() {
    let mut bench = Bench::new();
    let (first, second) = bench.stable();
    for _ in 0..3 {
        bench.advance(9999);
        assert_eq!(bench.ask(commit(&first, 1, 7)), COMMITTED());
        assert_eq!(bench.ask(commit(&second, 1, 7)), COMMITTED());
    }
    assert_eq!(bench.state(), "Stable");
}

#[test]
fn o_3_a_generation_of_a_group_that_is_not_there() {
    let mut bench = Bench::new();
    assert_eq!(
        bench.ask(commit("m", 3, 7)),
        Err(ErrorCode::IllegalGeneration)
    );
    let newer = commit_with("m", 3, 7, |commit| commit.knows_group_id_not_found = true);
    assert_eq!(bench.ask(newer), Err(ErrorCode::GroupIdNotFound));
    assert_eq!(bench.state(), "Dead");
}

#[test]
fn o_4_long_metadata_is_refused_for_its_partition_alone() {
    let mut bench = Bench::new();
    let event = commit_with("", -1, 1, |commit| {
        commit.offsets = vec![
            commit_offset("a", 1, &"x".repeat(4096)),
            commit_offset("b", 2, &"x".repeat(4097)),
            commit_offset("c", 3, &"ä".repeat(4096)),
            commit_offset("d", 4, ""),
        ];
    });
    let too_large = Err(ErrorCode::OffsetMetadataTooLarge);
    assert_eq!(
        bench.ask(event),
        Ok(Reply::Committed(vec![Ok(()), too_large, Ok(()), Ok(())]))
    );
    let Ok(Reply::Fetched(topics)) = bench.ask(all("g")) else {
        panic!("offsets should have come");
    };
    let names: Vec<_> = topics.iter().map(|topic| &*topic.topic).collect();
    assert_eq!(names, ["a", "c", "d"]);
}

#[test]
fn o_4_a_commit_that_is_refused_whole_leaves_no_group() {
    let mut bench = Bench::with(|limits| limits.offset_metadata_max = 1);
    let event = commit_with("", -1, 1, |commit| {
        commit.offsets = vec![commit_offset("a", 1, "xx")];
    });
    let too_large = Err(ErrorCode::OffsetMetadataTooLarge);
    assert_eq!(bench.ask(event), Ok(Reply::Committed(vec![too_large])));
    assert_eq!(bench.state(), "Dead");
    assert_eq!(bench.log, []);
}

#[test]
fn o_6_what_is_not_committed_is_none_and_no_error() {
    let mut bench = Bench::new();
    assert_eq!(
        bench.ask(all("g")),
        Ok(Reply::Fetched(vec![])),
        "no such group"
    );
    bench.ask(commit("", -1, 7)).unwrap();
    let event = Event::Fetch(Fetch {
        group: "g".into(),
        member: None,
        member_epoch: -1,
        topics: Some(vec![("t".into(), vec![1, 0]), ("u".into(), vec![0])]),
        require_stable: false,
    });
    let ticket = bench.send(event);
    let (outcome, when) = bench.taken(ticket);
    assert_eq!(when, When::Durable, "what is seen is never taken back");
    let Ok(Reply::Fetched(topics)) = outcome else {
        panic!("offsets should have come: {outcome:?}");
    };
    assert_eq!(topics[0].partitions[0], (1, Ok(None)));
    let (partition, committed) = &topics[0].partitions[1];
    assert_eq!(
        (
            *partition,
            committed
                .clone()
                .map(|found| found.map(|found| found.offset))
        ),
        (0, Ok(Some(7)))
    );
    assert_eq!(
        topics[1],
        FetchedTopic {
            topic: "u".into(),
            partitions: vec![(0, Ok(None))]
        }
    );
    let Ok(Reply::Fetched(topics)) = bench.ask(all("g")) else {
        panic!("offsets should have come");
    };
    assert_eq!((topics.len(), topics[0].partitions.len()), (1, 1));
}

#[test]
fn o_11_offsets_may_live_under_the_empty_group_id() {
    let mut bench = Bench::new();
    let event = commit_with("", -1, 7, |commit| commit.group = "".into());
    assert_eq!(bench.ask(event), COMMITTED());
    let Ok(Reply::Fetched(topics)) = bench.ask(all("")) else {
        panic!("offsets should have come");
    };
    assert_eq!(topics.len(), 1);
    assert_eq!(bench.ask(Event::DeleteGroup("".into())), Ok(Reply::Done));
}

#[test]
fn limits_hold_for_groups_made_by_commits() {
    let mut bench = Bench::with(|limits| limits.groups_max = 1);
    assert_eq!(bench.ask(commit("", -1, 7)), COMMITTED());
    let other = commit_with("", -1, 7, |commit| commit.group = "h".into());
    assert_eq!(bench.ask(other), Err(ErrorCode::GroupMaxSizeReached));
    let long = commit_with("", -1, 7, |commit| commit.group = "x".repeat(32_768).into());
    assert_eq!(bench.ask(long), Err(ErrorCode::InvalidGroupId));
}
