use ratel_protocol::messages::TopicName;
use ratel_protocol::messages::list_offsets_request::ListOffsetsTopic;
use ratel_storage::{BatchBuilder, Durability, LogSettings, Origin, Outcome};

use super::*;
use crate::api::testing::{Bench, NOW_MS, batch, transactions};
use crate::coordinator::catalog::Topic;

fn request(topic: &str, asked: &[(i32, i64)]) -> ListOffsetsRequest {
    let partitions = asked.iter().map(|(index, timestamp)| {
        ListOffsetsPartition::default()
            .with_partition_index(*index)
            .with_timestamp(*timestamp)
    });
    let topic = ListOffsetsTopic::default()
        .with_name(TopicName(topic.to_owned().into()))
        .with_partitions(partitions.collect());
    ListOffsetsRequest::default()
        .with_replica_id((-1).into())
        .with_topics(vec![topic])
}

/// Ask for one timestamp: `(code, offset, timestamp, epoch)`.
async fn list(bench: &Bench, version: i16, timestamp: i64) -> (i16, i64, i64, i32) {
    let response = bench.send(version, &request("t", &[(0, timestamp)])).await;
    let found = &response.topics[0].partitions[0];
    (
        found.error_code,
        found.offset,
        found.timestamp,
        found.leader_epoch,
    )
}

async fn append_at(bench: &Bench, topic: &Topic, times: &[i64]) {
    let mut builder = BatchBuilder::new(times[0]);
    for time in times {
        builder.record_at(*time, None, Some(b"v"), &[]);
    }
    let batch = builder.build().expect("records");
    let partition = bench.broker.partition(topic, 0).expect("a partition");
    let appended = partition.append(&batch, Origin::Client, Durability::Synced, NOW_MS);
    appended.await.expect("appended");
}

#[tokio::test]
async fn every_version_answers() {
    let bench = Bench::new();
    let topic = bench.topic("t", 1);
    append_at(&bench, &topic, &[100, 200]).await;
    let partition = bench.broker.partition(&topic, 0).expect("a partition");
    let epoch = partition.offsets().leader_epoch;
    for version in 1..=10 {
        let epoch = if version >= 4 { epoch } else { -1 };
        assert_eq!(list(&bench, version, -1).await, (0, 2, -1, epoch));
        assert_eq!(list(&bench, version, -2).await, (0, 0, -1, epoch));
        assert_eq!(list(&bench, version, 150).await, (0, 1, 200, epoch));
        let unknown = bench.send(version, &request("nope", &[(0, -1)])).await;
        let unknown = &unknown.topics[0].partitions[0];
        assert_eq!(
            (unknown.error_code, unknown.offset, unknown.timestamp),
            (3, -1, -1)
        );
    }
}

#[tokio::test]
async fn l_1_each_special_timestamp_has_its_first_version() {
    let bench = Bench::new();
    bench.topic("t", 1);
    for (timestamp, first) in [
        (-1, 1),
        (-2, 1),
        (-3, 7),
        (-4, 8),
        (-5, 9),
        (-6, 11),
        (-7, 11),
    ] {
        for version in 1..=10 {
            let (code, offset, time, _) = list(&bench, version, timestamp).await;
            let expected = if version >= first { 0 } else { 35 };
            assert_eq!(code, expected, "{timestamp} at v{version}");
            if code == 35 {
                assert_eq!((offset, time), (-1, -1));
            }
        }
    }
}

#[tokio::test]
async fn l_1_a_timestamp_that_a_version_does_not_know_is_refused_wherever_it_is_asked() {
    let bench = Bench::new();
    for (version, timestamp, expected) in [(2, -3, 35), (10, -7, 35), (7, -3, 3)] {
        let response = bench
            .send(version, &request("nope", &[(0, timestamp)]))
            .await;
        let code = response.topics[0].partitions[0].error_code;
        assert_eq!(code, expected, "{timestamp} at v{version}");
    }
}

#[tokio::test]
async fn l_2_latest_is_what_readers_see_and_earliest_is_the_start() {
    let bench = Bench::new();
    let topic = bench.topic("t", 1);
    append_at(&bench, &topic, &[100, 200, 300]).await;
    let partition = bench.broker.partition(&topic, 0).expect("a partition");
    let epoch = partition.offsets().leader_epoch;
    partition
        .advance_start(Offset::new(1))
        .await
        .expect("a new start");
    bench.disk.hold_syncs();
    let unseen = partition.append(&batch(&["v"]), Origin::Client, Durability::Synced, NOW_MS);
    assert_eq!(list(&bench, 10, -1).await, (0, 3, -1, epoch));
    bench.disk.release_syncs();
    unseen.await.expect("appended");
    assert_eq!(list(&bench, 10, -1).await, (0, 4, -1, epoch));
    assert_eq!(list(&bench, 10, -2).await, (0, 1, -1, epoch));
    assert_eq!(list(&bench, 10, -4).await, (0, 1, -1, epoch));
    // No tier: nothing is in it.
    assert_eq!(list(&bench, 10, -5).await, (0, -1, -1, -1));
    let committed = request("t", &[(0, -1)]).with_isolation_level(1);
    let committed = bench.send(10, &committed).await;
    assert_eq!(committed.topics[0].partitions[0].offset, 4);
}

#[tokio::test]
async fn l_3_the_first_record_at_or_after_a_time_across_segments() {
    let bench = Bench::new();
    let settings = LogSettings {
        segment_bytes: 100,
        ..LogSettings::default()
    };
    let topic = bench.topic_with("t", 1, false, settings);
    // Times go back; each batch has a segment of its own.
    for times in [[300], [100], [500], [200]] {
        append_at(&bench, &topic, &times).await;
    }
    let epoch = list(&bench, 10, -1).await.3;
    assert_eq!(list(&bench, 10, 0).await, (0, 0, 300, epoch));
    assert_eq!(list(&bench, 10, 300).await, (0, 0, 300, epoch));
    assert_eq!(list(&bench, 10, 301).await, (0, 2, 500, epoch));
    assert_eq!(list(&bench, 10, 501).await, (0, -1, -1, -1));
}

#[tokio::test]
async fn l_3_a_time_does_not_find_what_readers_cannot_see() {
    let bench = Bench::new();
    let topic = bench.topic("t", 1);
    bench.disk.hold_syncs();
    let partition = bench.broker.partition(&topic, 0).expect("a partition");
    let unseen = partition.append(&batch(&["v"]), Origin::Client, Durability::Synced, NOW_MS);
    assert_eq!(list(&bench, 10, 0).await, (0, -1, -1, -1));
    bench.disk.release_syncs();
    unseen.await.expect("appended");
    assert_eq!(list(&bench, 10, 0).await.1, 0);
}

#[tokio::test]
async fn l_4_the_record_of_the_largest_time() {
    let bench = Bench::new();
    let topic = bench.topic("t", 1);
    assert_eq!(list(&bench, 7, -3).await, (0, -1, -1, -1));
    append_at(&bench, &topic, &[100, 700, 200]).await;
    append_at(&bench, &topic, &[300]).await;
    let (code, offset, time, _) = list(&bench, 7, -3).await;
    assert_eq!((code, offset, time), (0, 1, 700));
}

#[tokio::test]
async fn l_5_a_partition_that_stands_twice_is_refused() {
    let bench = Bench::new();
    bench.topic("t", 2);
    let response = bench
        .send(6, &request("t", &[(0, -1), (1, -1), (0, -2)]))
        .await;
    let codes: Vec<_> = response.topics[0]
        .partitions
        .iter()
        .map(|found| (found.partition_index, found.error_code))
        .collect();
    assert_eq!(codes, [(0, 42), (1, 0), (0, 42)]);
}

#[tokio::test]
async fn f_7_the_clients_epoch_is_checked_here_too() {
    let bench = Bench::new();
    let topic = bench.topic("t", 1);
    let partition = bench.broker.partition(&topic, 0).expect("a partition");
    let current = partition.offsets().leader_epoch;
    for (epoch, code) in [(-1, 0), (current, 0), (current + 1, 75)] {
        let mut request = request("t", &[(0, -1)]);
        request.topics[0].partitions[0].current_leader_epoch = epoch;
        let response = bench.send(10, &request).await;
        assert_eq!(response.topics[0].partitions[0].error_code, code);
    }
}

#[tokio::test]
async fn l_2_and_l_3_read_committed_ends_at_the_last_stable_offset() {
    let bench = Bench::new();
    let topic = bench.topic("t", 1);
    let log = bench.broker.partition(&topic, 0).expect("a partition");
    append_at(&bench, &topic, &[100]).await;
    transactions::write(&log, 7, &["a"]).await;
    append_at(&bench, &topic, &[NOW_MS + 5]).await;
    let ask = async |time, level| {
        let request = request("t", &[(0, time)]).with_isolation_level(level);
        let answer = bench.send(10, &request).await;
        answer.topics[0].partitions[0].offset
    };
    assert_eq!((ask(-1, 0).await, ask(-1, 1).await), (3, 1));
    assert_eq!((ask(NOW_MS, 0).await, ask(NOW_MS, 1).await), (1, -1));
    assert_eq!((ask(-3, 0).await, ask(-3, 1).await), (2, 0));
    transactions::end(&log, 7, Outcome::Abort).await;
    assert_eq!((ask(-1, 1).await, ask(NOW_MS, 1).await), (4, 1));
    assert_eq!(ask(-3, 1).await, 2);
}
