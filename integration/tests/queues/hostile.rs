//! Frames that mean harm, to the APIs of queues: the server lives, and its queues stand as before.

use std::time::Duration;

use ratel_integration::RawClient;
use ratel_protocol::ApiKey;
use ratel_protocol::schema::generate::{self, Random};
use ratel_server::api::ROUTES;
use tokio::time::timeout;

use crate::{ACCEPT, RELEASE, Rig};

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
