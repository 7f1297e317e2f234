//! Share sessions as a client meets them: epochs, what closes them, and how many there may be.

use std::time::{Duration, Instant};

use ratel_protocol::messages::share_fetch_request::ForgottenTopic;

use crate::{
    ACCEPT, INVALID_REQUEST, INVALID_SHARE_SESSION_EPOCH, Rig, SHARE_SESSION_LIMIT_REACHED,
    SHARE_SESSION_NOT_FOUND, SOON, batch, ranges, until,
};

#[tokio::test]
async fn a_session_has_its_epochs_and_gives_all_back_when_it_is_closed() {
    let mut rig = Rig::start(&[]).await;
    let jobs = rig.topic("jobs", 1).await;
    rig.group("g", &[]).await;
    rig.produce("jobs", 0, &[b"a", b"b", b"c"]).await;
    let mut member = rig.member("g", "m").await;
    for version in 1..=2 {
        member.version = version;
        member.epoch = 7;
        let request = member.request(&[(jobs, &[0])]);
        assert_eq!(
            member.send(&request).await.error_code,
            SHARE_SESSION_NOT_FOUND
        );
        // A session is opened by a fetch, which has nothing to acknowledge yet.
        member.epoch = 0;
        let request = member.acknowledgement(jobs, 0, &[(0, 0, ACCEPT)]);
        assert_eq!(
            member.post(&request).await.error_code,
            INVALID_SHARE_SESSION_EPOCH
        );
        let mut request = member.request(&[(jobs, &[0])]);
        request.topics[0].partitions[0].acknowledgement_batches = vec![batch(&(0, 0, ACCEPT))];
        assert_eq!(member.send(&request).await.error_code, INVALID_REQUEST);

        let count = version;
        assert_eq!(member.fetch(&[(jobs, &[0])]).await, [(0, 0, 2, count)]);
        member.epoch = 5;
        let request = member.request(&[]);
        assert_eq!(
            member.send(&request).await.error_code,
            INVALID_SHARE_SESSION_EPOCH
        );
        let request = member.acknowledgement(jobs, 0, &[(0, 0, ACCEPT)]);
        assert_eq!(
            member.post(&request).await.error_code,
            INVALID_SHARE_SESSION_EPOCH
        );
        // What did not hold changed nothing: the epoch that is due still is.
        member.epoch = 1;
        assert_eq!(member.fetch(&[]).await, []);
        member.epoch = -1;
        let request = member.acknowledgement(jobs, 0, &[]);
        assert_eq!(member.post(&request).await.error_code, 0);
        let queue = rig.queues("g").await.remove(0);
        assert_eq!((queue.ready, queue.in_flight), (3, 0));
    }
    // The acknowledgements of the last fetch count, all else is given back.
    member.epoch = 0;
    assert_eq!(member.fetch(&[(jobs, &[0])]).await, [(0, 0, 2, 3)]);
    member.epoch = -1;
    let mut request = member.request(&[(jobs, &[0])]);
    request.topics[0].partitions[0].acknowledgement_batches = vec![batch(&(0, 1, ACCEPT))];
    let answer = member.send(&request).await;
    assert_eq!((answer.error_code, ranges(&answer)), (0, vec![]));
    let queue = rig.queues("g").await.remove(0);
    assert_eq!(
        (queue.start_offset, queue.ready, queue.in_flight),
        (2, 1, 0)
    );
}

#[tokio::test]
async fn a_connection_that_ends_gives_back_at_once_what_it_leased() {
    let mut rig = Rig::start(&[]).await;
    let jobs = rig.topic("jobs", 1).await;
    rig.group("g", &[]).await;
    rig.produce("jobs", 0, &[b"a", b"b"]).await;
    let mut member = rig.member("g", "m").await;
    assert_eq!(member.fetch(&[(jobs, &[0])]).await, [(0, 0, 1, 1)]);
    let mut other = rig.member("g", "n").await;
    let began = Instant::now();
    let request = other.request(&[(jobs, &[0])]).with_max_wait_ms(25_000);
    let (answer, ()) = tokio::join!(other.send(&request), async {
        tokio::time::sleep(Duration::from_millis(200)).await;
        drop(member);
    });
    assert_eq!(ranges(&answer), [(0, 0, 1, 2)]);
    assert!(began.elapsed() < SOON, "long before the locks run out");
}

#[tokio::test]
async fn a_topic_that_is_forgotten_gives_nothing_more_and_keeps_its_leases() {
    let mut rig = Rig::start(&[]).await;
    let (one, two) = (rig.topic("one", 1).await, rig.topic("two", 1).await);
    rig.group("g", &[]).await;
    for topic in ["one", "two"] {
        rig.produce(topic, 0, &[b"a"]).await;
    }
    let mut member = rig.member("g", "m").await;
    assert_eq!(member.fetch(&[(one, &[0]), (two, &[0])]).await.len(), 2);
    let forgotten = ForgottenTopic::default()
        .with_topic_id(one)
        .with_partitions(vec![0]);
    let request = member
        .request(&[])
        .with_forgotten_topics_data(vec![forgotten]);
    assert_eq!(member.send(&request).await.error_code, 0);
    for topic in ["one", "two"] {
        rig.produce(topic, 0, &[b"b"]).await;
    }
    let answer = member.send(&member.request(&[])).await;
    assert_eq!(ranges(&answer), [(0, 1, 1, 1)]);
    assert_eq!(answer.responses[0].topic_id, two);
    // Its word on what it holds counts all the same.
    assert_eq!(member.say(one, 0, &[(0, 0, ACCEPT)]).await, 0);
    // What it had more of comes back with the session.
    assert_eq!(member.fetch(&[(one, &[0])]).await, [(0, 1, 1, 1)]);
}

#[tokio::test]
async fn without_a_place_a_session_is_refused_once_the_wait_is_over() {
    let mut rig = Rig::start(&[("group.share.max.share.sessions", "1")]).await;
    let jobs = rig.topic("jobs", 1).await;
    rig.group("g", &[]).await;
    let mut member = rig.member("g", "m").await;
    member.fetch(&[(jobs, &[0])]).await;
    let mut other = rig.member("g", "n").await;
    let began = Instant::now();
    let request = other.request(&[(jobs, &[0])]).with_max_wait_ms(400);
    let answer = other.send(&request).await;
    assert_eq!(answer.error_code, SHARE_SESSION_LIMIT_REACHED);
    assert!(began.elapsed() >= Duration::from_millis(400), "no hot loop");
    // The member that has a place may open its session anew.
    member.epoch = 0;
    assert_eq!(member.fetch(&[(jobs, &[0])]).await, []);
    drop(member);
    until!({
        let request = other.request(&[(jobs, &[0])]);
        other.send(&request).await.error_code == 0
    });
}
