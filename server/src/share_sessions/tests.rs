use super::*;

const TOPIC: TopicId = TopicId::from_u128(7);

fn key(member: &str) -> SessionKey {
    SessionKey {
        group: "g".into(),
        member: member.into(),
    }
}

fn names(indexes: &[i32]) -> Vec<Named> {
    indexes.iter().map(|index| (TOPIC, *index)).collect()
}

fn partitions(gone: &[Gone]) -> Vec<i32> {
    let all = gone.iter().flat_map(|gone| &gone.partitions);
    let mut all: Vec<_> = all.map(|partition| partition.index).collect();
    all.sort_unstable();
    all
}

#[test]
fn a_session_adds_and_forgets_and_counts_its_epochs() {
    let sessions = ShareSessions::new(10, 100);
    let key = key("m");
    let epoch = |epoch| sessions.go_on(&key, epoch, Vec::new(), &[]);
    assert_eq!(epoch(1), Err(ErrorCode::ShareSessionNotFound));
    assert_eq!(
        *sessions.open(&key, 1, names(&[0, 1, 0])).unwrap(),
        names(&[0, 1])
    );
    assert_eq!(epoch(2), Err(ErrorCode::InvalidShareSessionEpoch));
    let added = sessions.go_on(&key, 1, names(&[1, 2]), &names(&[0]));
    assert_eq!(*added.unwrap(), names(&[1, 2]));
    assert_eq!(epoch(1), Err(ErrorCode::InvalidShareSessionEpoch));
    assert_eq!(*epoch(2).unwrap(), names(&[1, 2]));
    // What was forgotten may still be leased.
    assert_eq!(partitions(&[sessions.close(&key).unwrap()]), [0, 1, 2]);
    assert_eq!(sessions.close(&key), Err(ErrorCode::ShareSessionNotFound));
    assert!(sessions.is_empty());
}

#[test]
fn after_the_largest_epoch_comes_1() {
    let sessions = ShareSessions::new(10, 100);
    sessions.open(&key("m"), 1, names(&[0])).unwrap();
    sessions.cache().sessions.get_mut(&key("m")).unwrap().epoch = i32::MAX;
    assert!(sessions.go_on(&key("m"), i32::MAX, Vec::new(), &[]).is_ok());
    assert!(sessions.go_on(&key("m"), 1, Vec::new(), &[]).is_ok());
}

#[test]
fn a_connection_takes_its_sessions_with_it_and_no_others() {
    let sessions = ShareSessions::new(10, 100);
    for (member, connection, index) in [("a", 1, 0), ("b", 1, 1), ("c", 2, 2)] {
        let opened = sessions.open(&key(member), connection, names(&[index]));
        opened.unwrap();
    }
    // The member came back on another connection: the old one no longer speaks for it.
    sessions.open(&key("b"), 2, names(&[3])).unwrap();
    assert_eq!(partitions(&sessions.disconnected(1)), [0]);
    assert_eq!(sessions.len(), 2);
    assert_eq!(partitions(&sessions.disconnected(2)), [1, 2, 3]);
    assert!(sessions.is_empty());
    assert_eq!(sessions.cache().partitions, 0);
    assert!(sessions.cache().by_connection.is_empty());
}

#[test]
fn there_is_a_limit_of_sessions_and_of_partitions() {
    let sessions = ShareSessions::new(2, 3);
    sessions.open(&key("a"), 1, names(&[0])).unwrap();
    sessions.open(&key("b"), 1, names(&[0])).unwrap();
    let full = Err(ErrorCode::ShareSessionLimitReached);
    assert_eq!(sessions.open(&key("c"), 1, names(&[0])), full);
    // One that is there may begin anew.
    sessions.open(&key("b"), 1, names(&[0])).unwrap();
    assert_eq!(sessions.go_on(&key("b"), 1, names(&[1, 2]), &[]), full);
    sessions.go_on(&key("b"), 2, names(&[1]), &[]).unwrap();
    // Who asks for more than there is room for keeps what it had.
    assert_eq!(sessions.open(&key("b"), 2, names(&[0, 1, 2, 3])), full);
    let kept = sessions.go_on(&key("b"), 3, Vec::new(), &[]).unwrap();
    assert_eq!(*kept, names(&[0, 1]));
    assert_eq!(sessions.disconnected(2), []);
    assert_eq!(sessions.disconnected(1).len(), 2);
}
