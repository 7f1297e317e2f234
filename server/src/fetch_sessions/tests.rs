use ratel_storage::{Bound, Offset};

use super::*;

fn entry(index: i32) -> Entry {
    Entry::new(TopicKey::Name("t".into()), index, Offset::ZERO)
}

fn session(indexes: &[i32]) -> Box<Session> {
    Box::new(Session::new(
        indexes.iter().map(|index| entry(*index)).collect(),
    ))
}

fn order(session: &mut Session) -> Vec<i32> {
    session.entries().map(|(_, entry)| entry.index).collect()
}

fn key(index: i32) -> (TopicKey, i32) {
    (TopicKey::Name("t".into()), index)
}

#[track_caller]
fn refused(result: Result<Lease, ErrorCode>) -> i16 {
    result.map(|_| ()).expect_err("a refusal").code()
}

#[test]
fn f_9_a_session_is_resumed_with_the_epoch_that_follows() {
    let sessions = FetchSessions::new(10, 100);
    let id = sessions.open(session(&[0, 1]), false, 0);
    assert!(id > 0);
    for epoch in 1..4 {
        let mut lease = sessions.resume(id, epoch, false, 0).expect("a session");
        assert_eq!(lease.id(), id);
        assert_eq!(order(lease.session()), [0, 1]);
        lease.give_back().expect("still there");
    }
    assert_eq!(refused(sessions.resume(id, 3, false, 0)), 71);
    assert_eq!(refused(sessions.resume(id, 5, false, 0)), 71);
    assert_eq!(refused(sessions.resume(id ^ 1, 4, false, 0)), 70);
    assert_eq!(refused(sessions.resume(id, 4, true, 0)), 106);
    sessions.close(id);
    assert_eq!(refused(sessions.resume(id, 4, false, 0)), 70);
}

#[test]
fn f_4_another_isolation_level_looks_at_everything_again() {
    let mut session = session(&[0, 1]);
    session.read_to(Bound::Stable);
    session.dirty.clear();
    session.read_to(Bound::Stable);
    assert!(session.dirty.is_empty());
    session.read_to(Bound::HighWatermark);
    assert_eq!(
        (session.dirty.len(), session.bound()),
        (2, Bound::HighWatermark)
    );
}

#[test]
fn f_9_the_epoch_after_the_largest_is_one() {
    assert_eq!(next_epoch(1), 2);
    assert_eq!(next_epoch(i32::MAX), 1);
}

#[test]
fn a_session_serves_one_fetch_at_a_time() {
    let sessions = FetchSessions::new(10, 100);
    let id = sessions.open(session(&[0]), false, 0);
    let lease = sessions.resume(id, 1, false, 0).expect("a session");
    assert_eq!(refused(sessions.resume(id, 2, false, 0)), 71);
    lease.give_back().expect("still there");
    assert!(sessions.resume(id, 2, false, 0).is_ok());
}

#[test]
fn a_fetch_that_is_dropped_takes_its_session_along() {
    let sessions = FetchSessions::new(10, 100);
    let id = sessions.open(session(&[0]), false, 0);
    drop(sessions.resume(id, 1, false, 0));
    assert!(sessions.is_empty());
    assert_eq!(sessions.cache().partitions, 0);
}

#[test]
fn a_session_that_was_closed_meanwhile_does_not_come_back() {
    let sessions = FetchSessions::new(10, 100);
    let id = sessions.open(session(&[0]), false, 0);
    let lease = sessions.resume(id, 1, false, 0).expect("a session");
    sessions.close(id);
    assert_eq!(lease.give_back(), Err(ErrorCode::InvalidFetchSessionEpoch));
    assert!(sessions.is_empty());
}

#[test]
fn f_10_a_request_names_only_what_changed() {
    let sessions = FetchSessions::new(10, 100);
    let id = sessions.open(session(&[0, 1, 2]), false, 0);
    let mut lease = sessions.resume(id, 1, false, 0).expect("a session");
    let mut moved = entry(1);
    moved.from = Offset::new(9);
    lease
        .session()
        .update(vec![moved, entry(3)], &[key(0), key(7)]);
    assert_eq!(order(lease.session()), [1, 2, 3]);
    assert_eq!(
        lease.session().entry(1).map(|entry| entry.from.get()),
        Some(9)
    );
    assert_eq!(
        lease.session().entry(2).map(|entry| entry.from.get()),
        Some(0)
    );
    lease.give_back().expect("still there");
    assert_eq!(sessions.cache().partitions, 3);
}

#[test]
fn f_10_partitions_that_gave_records_move_to_the_back() {
    let mut session = session(&[0, 1, 2]);
    session.keep();
    session.dirty.clear();
    session.rotate(&[0, 1]);
    assert_eq!(order(&mut session), [2, 0, 1]);
    assert_eq!(session.dirty.len(), 2);
    // They can still be renewed and forgotten.
    session.update(vec![entry(0)], &[key(1)]);
    assert_eq!(order(&mut session), [2, 0]);
}

#[test]
fn a_partition_that_is_named_twice_is_kept_once_as_named_last() {
    let sessions = FetchSessions::new(10, 100);
    let mut last = entry(0);
    last.from = Offset::new(5);
    let session = Session::new(vec![entry(0), entry(1), last]);
    let id = sessions.open(Box::new(session), false, 0);
    let mut lease = sessions.resume(id, 1, false, 0).expect("a session");
    let kept: Vec<_> = lease
        .session()
        .entries()
        .map(|(_, e)| (e.index, e.from.get()))
        .collect();
    assert_eq!(kept, [(1, 0), (0, 5)]);
}

#[test]
fn f_11_a_full_cache_refuses_and_evicts_what_is_idle_for_two_minutes() {
    let sessions = FetchSessions::new(2, 100);
    let first = sessions.open(session(&[0]), false, 0);
    let second = sessions.open(session(&[0]), false, 1000);
    assert_eq!(sessions.open(session(&[0]), false, 120_000), 0);
    assert_ne!(sessions.open(session(&[0]), false, 120_001), 0);
    assert_eq!(refused(sessions.resume(first, 1, false, 0)), 70);
    assert!(sessions.resume(second, 1, false, 0).is_ok());
}

#[test]
fn f_11_an_old_session_gives_way_to_a_larger_one_only() {
    let sessions = FetchSessions::new(1, 100);
    let old = sessions.open(session(&[0, 1]), false, 0);
    let lease = sessions.resume(old, 1, false, 130_000).expect("a session");
    lease.give_back().expect("still there");
    assert_eq!(sessions.open(session(&[0, 1]), false, 130_000), 0);
    assert_ne!(sessions.open(session(&[0, 1, 2]), false, 130_000), 0);
    assert_eq!(refused(sessions.resume(old, 2, false, 130_000)), 70);
}

#[test]
fn all_sessions_together_hold_no_more_partitions_than_the_limit() {
    let sessions = FetchSessions::new(10, 4);
    assert_eq!(sessions.open(session(&[0, 1, 2, 3, 4]), false, 0), 0);
    let id = sessions.open(session(&[0, 1, 2]), false, 0);
    assert_ne!(id, 0);
    assert_eq!(sessions.open(session(&[0, 1]), false, 0), 0);
    assert_ne!(sessions.open(session(&[0]), false, 0), 0);
    // Nor does one grow past it by and by.
    let mut lease = sessions.resume(id, 1, false, 0).expect("a session");
    lease.session().update(vec![entry(3)], &[]);
    assert_eq!(lease.give_back(), Err(ErrorCode::FetchSessionIdNotFound));
    assert_eq!(sessions.cache().partitions, 1);
}

#[test]
fn without_slots_there_are_no_sessions() {
    assert_eq!(FetchSessions::new(0, 100).open(session(&[0]), false, 0), 0);
}
