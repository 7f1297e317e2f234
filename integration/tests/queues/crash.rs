//! Kill -9: what was said stays said, what was held comes back.

use ratel_integration::RawClient;

use crate::{
    ACCEPT, INVALID_RECORD_STATE, REJECT, RELEASE, Rig, SHARE_SESSION_NOT_FOUND, UNKNOWN_MEMBER_ID,
    until,
};

#[tokio::test]
async fn after_a_kill_what_was_accepted_is_done_and_what_was_leased_comes_back() {
    let mut rig = Rig::start(&[]).await;
    let jobs = rig.topic("jobs", 1).await;
    rig.group("g", &[]).await;
    for value in [b"a", b"b", b"c", b"d", b"e"] {
        rig.produce("jobs", 0, &[value]).await;
    }
    let mut member = rig.member("g", "m").await;
    let epoch = member.join(&["jobs"]).await;
    assert_eq!(member.fetch(&[(jobs, &[0])]).await, [(0, 0, 4, 1)]);
    let said = [(0, 0, ACCEPT), (1, 1, RELEASE), (3, 3, ACCEPT)];
    assert_eq!(member.say(jobs, 0, &said).await, 0);
    assert_eq!(member.fetch(&[]).await, [(0, 1, 1, 2)]);
    for crashes in 1..=2 {
        rig.crash().await;
        member.client = RawClient::connect(rig.server.addr()).await;
        // The session is gone, the membership is not.
        let request = member.request(&[]);
        assert_eq!(
            member.send(&request).await.error_code,
            SHARE_SESSION_NOT_FOUND
        );
        let request = member.acknowledgement(jobs, 0, &[(2, 2, ACCEPT)]);
        assert_eq!(
            member.post(&request).await.error_code,
            SHARE_SESSION_NOT_FOUND
        );
        let answer = member.heartbeat(epoch, None).await;
        assert_eq!((answer.error_code, answer.member_epoch), (0, epoch));
        let mut stranger = rig.member("g", "x").await;
        let code = stranger.heartbeat(epoch, None).await.error_code;
        assert_eq!(code, UNKNOWN_MEMBER_ID, "never 69 where there is a group");
        // The release is on record, the leases never were: a crash is no delivery.
        member.epoch = 0;
        let leased = member.fetch(&[(jobs, &[0])]).await;
        assert_eq!(
            leased,
            [(0, 1, 1, 2), (0, 2, 2, 1), (0, 4, 4, 1)],
            "{crashes}"
        );
        let queue = rig.queues("g").await.remove(0);
        assert_eq!((queue.start_offset, queue.in_flight), (1, 3));
    }
    assert_eq!(
        member.say(jobs, 0, &[(1, 4, ACCEPT)]).await,
        INVALID_RECORD_STATE
    );
    let rest = [(1, 2, ACCEPT), (4, 4, ACCEPT)];
    assert_eq!(member.say(jobs, 0, &rest).await, 0);
    rig.crash().await;
    let mut other = rig.member("g", "n").await;
    assert_eq!(other.fetch(&[(jobs, &[0])]).await, []);
    let queue = rig.queues("g").await.remove(0);
    assert_eq!((queue.start_offset, queue.ready), (5, 0));
}

/// A record given up stands in the dead-letter topic, also if the server died in between.
#[tokio::test]
async fn what_was_rejected_before_a_kill_has_a_dead_letter() {
    let mut rig = Rig::start(&[]).await;
    let jobs = rig.topic("jobs", 1).await;
    rig.group("g", &[("errors.deadletterqueue.topic.name", "dead")])
        .await;
    for round in 0..5 {
        let offset = rig.produce("jobs", 0, &[b"a"]).await;
        let mut member = rig.member("g", "m").await;
        assert_eq!(
            member.fetch(&[(jobs, &[0])]).await,
            [(0, offset, offset, 1)]
        );
        assert_eq!(member.say(jobs, 0, &[(offset, offset, REJECT)]).await, 0);
        rig.crash().await;
        until!(rig.queues("g").await[0].start_offset == offset + 1);
        let letters = rig.records("dead").await;
        let of_this = letters.iter().filter(|letter| {
            let named = letter.headers.iter();
            let mut named = named.filter(|(key, _)| key == "__dlq.errors.offset");
            let (_, value) = named.next().expect("it says whence");
            value.as_deref() == Some(offset.to_string().as_bytes())
        });
        let letters = of_this.count();
        assert!((1..=2).contains(&letters), "{letters} in round {round}");
    }
}
