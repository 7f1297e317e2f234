//! Frames that mean harm, to the APIs of queues: the server lives, and its queues stand as before.

use std::time::Duration;

use ratel_integration::RawClient;
use ratel_protocol::ApiKey;
use ratel_protocol::messages::queue_admin_request::{
    ListRedrives, PurgeQueues, QueueTopic, RedriveId, StartRedrive,
};
use ratel_protocol::messages::{GroupId, QueueAdminRequest};
use ratel_protocol::schema::generate::{self, Random};
use ratel_server::api::ROUTES;
use tokio::time::timeout;

use crate::{
    ACCEPT, GROUP_ID_NOT_FOUND, INVALID_REQUEST, RELEASE, Rig, UNKNOWN_TOPIC, name, text, until,
};

const KEYS: [ApiKey; 8] = [
    ApiKey::ShareGroupHeartbeat,
    ApiKey::ShareGroupDescribe,
    ApiKey::ShareFetch,
    ApiKey::ShareAcknowledge,
    ApiKey::DescribeShareGroupOffsets,
    ApiKey::AlterShareGroupOffsets,
    ApiKey::DeleteShareGroupOffsets,
    ApiKey::QueueAdmin,
];

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_frame_to_a_queue_hurts_it() {
    let mut rig = Rig::start(&[("partitions.max", "2000")]).await;
    let jobs = rig.topic("jobs", 1).await;
    rig.group("the group of this test", &[]).await;
    let values = [&b"a"[..]; 20];
    rig.produce("jobs", 0, &values).await;
    let mut member = rig.member("the group of this test", "m").await;
    assert_eq!(member.fetch(&[(jobs, &[0])]).await, [(0, 0, 19, 1)]);
    assert_eq!(
        member
            .say(jobs, 0, &[(0, 4, ACCEPT), (7, 7, RELEASE)])
            .await,
        0
    );
    let before = rig.queues("the group of this test").await;
    let routes = ROUTES.iter().filter(|route| KEYS.contains(&route.key));
    let mut sent = 0;
    for route in routes {
        for version in route.version_min..=route.version_max {
            let mut client = RawClient::connect(rig.server.addr()).await;
            for seed in 0..200 {
                let mut random = Random::new(seed);
                let frame = generate::frame(route.key, version, 7, &mut random);
                let mut frame = frame.expect("it has a schema");
                if seed % 4 != 0 {
                    generate::damage(&mut frame, &mut random);
                }
                sent += 1;
                // A closed connection is an answer too; what parks is left alone.
                let whole = client.send_frame(&frame).await;
                let answer = timeout(Duration::from_millis(20), client.receive_frame()).await;
                if whole.is_err() || !matches!(answer, Ok(Ok(Some(_)))) {
                    client = RawClient::connect(rig.server.addr()).await;
                }
            }
        }
    }
    assert!(sent >= 7 * 200, "all rows were there: {sent}");
    assert!(rig.server.ended().is_none(), "it still runs");
    assert!(!rig.server.log().contains("panic"), "{}", rig.server.log());
    let mut after = rig.queues("the group of this test").await;
    after[0].oldest_ready_age_ms = before[0].oldest_ready_age_ms;
    assert_eq!(after, before);
    assert_eq!(member.say(jobs, 0, &[(5, 6, ACCEPT)]).await, 0);
}

/// What is well formed and makes no sense, one thing at a time: a code each, and nothing changes.
#[tokio::test]
async fn queue_admin_answers_nonsense_with_a_code() {
    let mut rig = Rig::start(&[]).await;
    rig.topic("jobs", 1).await;
    rig.group("g", &[]).await;
    rig.produce("jobs", 0, &[b"a", b"b"]).await;
    let mut member = rig.member("g", "m").await;
    member.join(&["jobs"]).await;
    until!(rig.queues("g").await.len() == 1);
    let before = rig.queues("g").await;
    let request = QueueAdminRequest::default;
    let purge = |group: &str, topics| {
        let purge = PurgeQueues::default()
            .with_group_id(GroupId(text(group)))
            .with_topics(topics);
        request().with_purge_queues(Some(purge))
    };
    let redrive = |rate| {
        let start = StartRedrive::default()
            .with_group_id(GroupId(text("g")))
            .with_rate(rate);
        request().with_start_redrive(Some(start))
    };
    let job = |id| Some(RedriveId::default().with_job_id(id));
    let list = ListRedrives::default().with_job_id(i64::MIN);
    let long = "x".repeat(30_000);
    let nonsense = [
        (request(), INVALID_REQUEST),
        (
            purge("g", None).with_resume_redrive(job(1)),
            INVALID_REQUEST,
        ),
        (purge("", None), GROUP_ID_NOT_FOUND),
        (purge(&long, None), GROUP_ID_NOT_FOUND),
        (redrive(i32::MIN), INVALID_REQUEST),
        (redrive(0), INVALID_REQUEST),
        (
            request().with_cancel_redrive(job(i64::MAX)),
            INVALID_REQUEST,
        ),
        (request().with_resume_redrive(job(-1)), INVALID_REQUEST),
        (request().with_list_redrives(Some(list)), 0),
    ];
    for (request, code) in nonsense {
        let answer = rig.client.send(0, &request).await;
        assert_eq!(answer.error_code, code, "{request:?}");
        assert!(code == 0 || answer.error_message.is_some(), "{request:?}");
    }
    // Partitions that are none are told one by one.
    let topics = [("jobs", i32::MIN), ("jobs", i32::MAX), ("", 0)].map(|(topic, index)| {
        QueueTopic::default()
            .with_topic_name(name(topic))
            .with_partitions(Some(vec![index]))
    });
    let answer = rig.client.send(0, &purge("g", Some(topics.into()))).await;
    let codes: Vec<i16> = answer.purged.iter().map(|row| row.error_code).collect();
    assert_eq!(codes, [UNKNOWN_TOPIC; 3]);
    let mut after = rig.queues("g").await;
    after[0].oldest_ready_age_ms = before[0].oldest_ready_age_ms;
    assert_eq!(after, before);
}
