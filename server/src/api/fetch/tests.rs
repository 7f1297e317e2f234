use std::time::Duration;

use bytes::Bytes;
use ratel_protocol::StrBytes;
use ratel_protocol::messages::fetch_request::{
    FetchPartition, FetchTopic, ForgottenTopic, ReplicaState,
};
use ratel_protocol::messages::fetch_response::{AbortedTransaction, PartitionData};
use ratel_protocol::messages::{FetchResponse, TopicName};
use ratel_storage::{
    Batch, BatchBuilder, BatchHeader, Durability, LogSettings, Origin, Outcome, TopicId, records,
};
use tokio::task::JoinHandle;

use super::*;
use crate::api::testing::{Bench, NOW_MS, answer, batch, response, transactions};
use crate::config::Config;
use crate::coordinator::catalog::Topic;

/// A sessionless request for partitions of one topic, `(index, offset)`, that does not wait.
fn request(version: i16, topic: &Topic, partitions: &[(i32, i64)]) -> FetchRequest {
    let partitions = partitions.iter().map(|(index, offset)| {
        FetchPartition::default()
            .with_partition(*index)
            .with_fetch_offset(*offset)
            .with_partition_max_bytes(1 << 20)
    });
    let topic = if version >= 13 {
        FetchTopic::default().with_topic_id(topic.id)
    } else {
        FetchTopic::default().with_topic(name(topic))
    };
    let topic = topic.with_partitions(partitions.collect());
    FetchRequest::default()
        .with_max_wait_ms(0)
        .with_min_bytes(1)
        .with_max_bytes(1 << 20)
        .with_topics(vec![topic])
}

fn name(topic: &Topic) -> TopicName {
    TopicName(StrBytes::from_string(topic.name.to_string()))
}

/// An incremental request: what changed, `(index, offset)`.
fn incremental(topic: &Topic, id: i32, epoch: i32, changed: &[(i32, i64)]) -> FetchRequest {
    let request = request(12, topic, changed)
        .with_session_id(id)
        .with_session_epoch(epoch);
    if changed.is_empty() {
        request.with_topics(Vec::new())
    } else {
        request
    }
}

async fn append(bench: &Bench, topic: &Topic, index: i32, batch: &Batch) {
    let partition = bench.broker.partition(topic, index).expect("a partition");
    let appended = partition.append(batch, Origin::Client, Durability::Synced, NOW_MS);
    appended.await.expect("appended");
}

fn partitions(response: &FetchResponse) -> Vec<&PartitionData> {
    let topics = response.responses.iter();
    topics.flat_map(|topic| &topic.partitions).collect()
}

/// `(index, code, values)` of each partition of an answer.
fn summary(response: &FetchResponse) -> Vec<(i32, i16, Vec<String>)> {
    let data = partitions(response).into_iter();
    data.map(|data| (data.partition_index, data.error_code, values(data)))
        .collect()
}

fn values(data: &PartitionData) -> Vec<String> {
    let mut rest = data.records.clone().expect("records, if only empty ones");
    let mut values = Vec::new();
    while !rest.is_empty() {
        let header = BatchHeader::decode(&rest).expect("whole batches only");
        let bytes = rest.split_to(header.bytes);
        let batch = Batch::parse(bytes, usize::MAX).expect("a batch whose CRC fits");
        for record in records(&batch).expect("records") {
            let value = record.expect("a record").value.expect("a value");
            values.push(String::from_utf8(value.to_vec()).expect("text"));
        }
    }
    values
}

/// Let a request wait on a task of its own.
async fn wait_for(bench: &Bench, version: i16, request: &FetchRequest) -> JoinHandle<Answer> {
    let later = bench.post(version, request).await;
    let waiting = tokio::spawn(answer(later));
    tokio::time::sleep(Duration::from_millis(10)).await;
    waiting
}

async fn finished(version: i16, waiting: JoinHandle<Answer>) -> FetchResponse {
    let answer = tokio::time::timeout(Duration::from_secs(10), waiting).await;
    response::<FetchRequest>(version, answer.expect("no wait").expect("an answer"))
}

#[tokio::test]
async fn every_version_answers_records_and_errors() {
    let bench = Bench::new();
    let topic = bench.topic("t", 2);
    append(&bench, &topic, 0, &batch(&["a", "b"])).await;
    for version in 4..=18 {
        let request = request(version, &topic, &[(0, 0), (1, 0), (2, 0)]);
        let response = bench.send(version, &request.with_isolation_level(1)).await;
        if version >= 13 {
            assert_eq!(response.responses[0].topic_id, topic.id);
        } else {
            assert_eq!(response.responses[0].topic, name(&topic));
        }
        let data = partitions(&response);
        assert_eq!(values(data[0]), ["a", "b"]);
        // F-5: offsets stand with records and without them, but not with an error.
        let start = |start| if version >= 5 { start } else { -1 };
        let offsets = |data: &PartitionData| {
            (
                data.high_watermark,
                data.last_stable_offset,
                data.log_start_offset,
            )
        };
        assert_eq!(offsets(data[0]), (2, 2, start(0)));
        assert_eq!(
            (data[1].error_code, offsets(data[1])),
            (0, (0, 0, start(0)))
        );
        assert_eq!((data[2].error_code, offsets(data[2])), (3, (-1, -1, -1)));
        // F-12.
        assert_eq!(data[0].preferred_read_replica, -1);
    }
}

#[tokio::test]
async fn f_4_aborted_transactions_are_listed_for_read_committed_only() {
    let bench = Bench::new();
    let topic = bench.topic("t", 1);
    append(&bench, &topic, 0, &batch(&["a"])).await;
    for version in 4..=18 {
        let request = request(version, &topic, &[(0, 0)]);
        let uncommitted = bench.send(version, &request).await;
        assert_eq!(partitions(&uncommitted)[0].aborted_transactions, None);
        let committed = bench.send(version, &request.with_isolation_level(1)).await;
        let data = partitions(&committed)[0];
        assert_eq!(data.aborted_transactions, Some(vec![]));
        assert_eq!(values(data), ["a"]);
    }
}

#[tokio::test]
async fn f_4_read_committed_ends_at_the_last_stable_offset_and_names_what_was_aborted() {
    let bench = Bench::new();
    let topic = bench.topic("t", 1);
    let log = bench.broker.partition(&topic, 0).expect("a partition");
    append(&bench, &topic, 0, &batch(&["plain"])).await;
    transactions::write(&log, 7, &["aborted"]).await;
    transactions::write(&log, 8, &["open"]).await;
    transactions::end(&log, 7, Outcome::Abort).await;
    transactions::write(&log, 9, &["more"]).await;
    let ask = async |version, level, from| {
        let request = request(version, &topic, &[(0, from)]).with_isolation_level(level);
        let response = bench.send(version, &request).await;
        let data = partitions(&response)[0].clone();
        let aborted = data.aborted_transactions.as_ref().map(|all| {
            let short = |one: &AbortedTransaction| (one.producer_id.0, one.first_offset);
            all.iter().map(short).collect::<Vec<_>>()
        });
        (data.last_stable_offset, aborted, batch_bases(&data))
    };
    for version in 4..=18 {
        assert_eq!(ask(version, 0, 0).await, (2, None, vec![0, 1, 2, 3, 4]));
        let committed = ask(version, 1, 0).await;
        assert_eq!(committed, (2, Some(vec![(7, 1)]), vec![0, 1]));
        assert_eq!(ask(version, 1, 2).await, (2, Some(vec![]), vec![]));
    }
    transactions::end(&log, 8, Outcome::Commit).await;
    transactions::end(&log, 9, Outcome::Abort).await;
    let committed = ask(18, 1, 1).await;
    let aborted = Some(vec![(7, 1), (9, 4)]);
    assert_eq!(committed, (7, aborted, vec![1, 2, 3, 4, 5, 6]));
    assert_eq!(ask(18, 1, 5).await.1, Some(vec![(9, 4)]));
}

#[tokio::test]
async fn t_15_a_read_committed_fetch_waits_for_the_last_stable_offset() {
    let bench = Bench::new();
    let topic = bench.topic("t", 1);
    let log = bench.broker.partition(&topic, 0).expect("a partition");
    transactions::write(&log, 7, &["a"]).await;
    let request = request(12, &topic, &[(0, 0)])
        .with_isolation_level(1)
        .with_max_wait_ms(60_000);
    let waiting = wait_for(&bench, 12, &request).await;
    append(&bench, &topic, 0, &batch(&["plain"])).await;
    tokio::time::sleep(Duration::from_millis(30)).await;
    assert!(!waiting.is_finished());
    transactions::end(&log, 7, Outcome::Commit).await;
    let response = finished(12, waiting).await;
    assert_eq!(batch_bases(partitions(&response)[0]), [0, 1, 2]);
}

fn batch_bases(data: &PartitionData) -> Vec<i64> {
    let mut rest = data.records.clone().expect("records, if only empty ones");
    let mut bases = Vec::new();
    while !rest.is_empty() {
        let header = BatchHeader::decode(&rest).expect("whole batches only");
        drop(rest.split_to(header.bytes));
        bases.push(header.base_offset);
    }
    bases
}

#[tokio::test]
async fn f_1_the_first_partition_with_records_gives_one_batch_over_any_limit() {
    let bench = Bench::new();
    let topic = bench.topic("t", 4);
    for index in 1..4 {
        append(&bench, &topic, index, &batch(&["a"])).await;
        append(&bench, &topic, index, &batch(&["b"])).await;
    }
    let size = i32::try_from(batch(&["a"]).bytes().len()).expect("a small batch");
    let ask = |max_bytes, partition_max_bytes| {
        let mut request = request(12, &topic, &[(0, 0), (1, 0), (2, 0), (3, 0)]);
        for partition in &mut request.topics[0].partitions {
            partition.partition_max_bytes = partition_max_bytes;
        }
        request.with_max_bytes(max_bytes)
    };
    let none: Vec<String> = vec![];
    let given = |response: FetchResponse| -> Vec<Vec<String>> {
        summary(&response)
            .into_iter()
            .map(|(_, _, values)| values)
            .collect()
    };
    for tiny in [ask(1, 1), ask(1 << 20, 1), ask(1, 1 << 20), ask(0, 0)] {
        let given = given(bench.send(12, &tiny).await);
        assert_eq!(
            given,
            [none.clone(), vec!["a".into()], none.clone(), none.clone()]
        );
    }
    // A batch that the limit would cut is left out whole.
    let given_1 = given(bench.send(12, &ask(1 << 20, 2 * size - 1)).await);
    assert_eq!(
        given_1,
        [
            none.clone(),
            vec!["a".into()],
            vec!["a".into()],
            vec!["a".into()]
        ]
    );
    let given_2 = given(bench.send(12, &ask(3 * size, 1 << 20)).await);
    assert_eq!(given_2[1..], [vec!["a", "b"], vec!["a"], vec![]]);
}

#[tokio::test]
async fn f_2_the_servers_limit_holds_and_caps_min_bytes() {
    let size = batch(&["a"]).bytes().len();
    let bench = Bench::with(Config {
        fetch_max_bytes: size,
        ..Config::default()
    });
    let topic = bench.topic("t", 2);
    for index in [1, 0] {
        append(&bench, &topic, index, &batch(&["a"])).await;
    }
    // In the order of the request; and min_bytes can be met with what the server gives at most.
    let request = request(12, &topic, &[(1, 0), (0, 0)]);
    let request = request.with_max_wait_ms(i32::MAX).with_min_bytes(1 << 20);
    let response = finished(12, wait_for(&bench, 12, &request).await).await;
    assert_eq!(
        summary(&response),
        [(1, 0, vec!["a".into()]), (0, 0, vec![])]
    );
}

#[tokio::test]
async fn f_3_a_fetch_waits_for_records_and_is_woken_by_them() {
    let bench = Bench::new();
    let topic = bench.topic("t", 2);
    let request = request(12, &topic, &[(0, 0), (1, 0)]).with_max_wait_ms(i32::MAX);
    let waiting = wait_for(&bench, 12, &request).await;
    assert!(!waiting.is_finished());
    append(&bench, &topic, 1, &batch(&["a"])).await;
    let response = finished(12, waiting).await;
    assert_eq!(
        summary(&response),
        [(0, 0, vec![]), (1, 0, vec!["a".into()])]
    );
}

#[tokio::test]
async fn f_3_min_bytes_are_waited_for_over_several_appends() {
    let bench = Bench::new();
    let topic = bench.topic("t", 2);
    let size = i32::try_from(batch(&["a"]).bytes().len()).expect("a small batch");
    let request = request(12, &topic, &[(0, 0), (1, 0)])
        .with_max_wait_ms(i32::MAX)
        .with_min_bytes(3 * size);
    let waiting = wait_for(&bench, 12, &request).await;
    for (index, value) in [(0, "a"), (1, "b")] {
        append(&bench, &topic, index, &batch(&[value])).await;
        tokio::time::sleep(Duration::from_millis(10)).await;
        assert!(!waiting.is_finished());
    }
    append(&bench, &topic, 0, &batch(&["c"])).await;
    let response = finished(12, waiting).await;
    let expected = [
        (0, 0, vec!["a".into(), "c".into()]),
        (1, 0, vec!["b".into()]),
    ];
    assert_eq!(summary(&response), expected);
}

#[tokio::test]
async fn f_3_at_the_deadline_the_answer_holds_what_there_is() {
    let bench = Bench::new();
    let topic = bench.topic("t", 2);
    append(&bench, &topic, 0, &batch(&["a"])).await;
    let request = request(12, &topic, &[(0, 0), (1, 0)])
        .with_max_wait_ms(30)
        .with_min_bytes(1 << 20);
    let began = std::time::Instant::now();
    let response = bench.send(12, &request).await;
    assert!(began.elapsed() >= Duration::from_millis(30));
    assert_eq!(
        summary(&response),
        [(0, 0, vec!["a".into()]), (1, 0, vec![])]
    );
}

#[tokio::test]
async fn f_3_an_error_or_min_bytes_0_is_answered_at_once() {
    let bench = Bench::new();
    let topic = bench.topic("t", 1);
    let failing = request(12, &topic, &[(0, 0), (9, 0)]).with_max_wait_ms(i32::MAX);
    let response = finished(12, wait_for(&bench, 12, &failing).await).await;
    assert_eq!(summary(&response), [(0, 0, vec![]), (9, 3, vec![])]);
    let patient = request(12, &topic, &[(0, 0)]).with_max_wait_ms(i32::MAX);
    for at_once in [
        patient.clone().with_min_bytes(0),
        patient.with_topics(vec![]),
    ] {
        finished(12, wait_for(&bench, 12, &at_once).await).await;
    }
}

#[tokio::test]
async fn f_3_an_offset_behind_the_active_segment_does_not_wait() {
    let bench = Bench::new();
    let settings = LogSettings {
        segment_bytes: 100,
        ..LogSettings::default()
    };
    let topic = bench.topic_with("t", 1, false, settings);
    for value in ["a", "b", "c"] {
        append(&bench, &topic, 0, &batch(&[value])).await;
    }
    let request = request(12, &topic, &[(0, 0)]).with_max_wait_ms(i32::MAX);
    let request = request.with_min_bytes(1 << 20);
    let response = finished(12, wait_for(&bench, 12, &request).await).await;
    assert_eq!(values(partitions(&response)[0])[0], "a");
}

#[tokio::test]
async fn f_3_a_topic_that_is_deleted_ends_the_wait() {
    let bench = Bench::new();
    let topic = bench.topic("t", 1);
    let by_name = request(12, &topic, &[(0, 0)]).with_max_wait_ms(i32::MAX);
    let by_id = request(13, &topic, &[(0, 0)]).with_max_wait_ms(i32::MAX);
    let by_name = wait_for(&bench, 12, &by_name).await;
    let by_id = wait_for(&bench, 13, &by_id).await;
    bench.delete(&topic);
    assert_eq!(summary(&finished(12, by_name).await), [(0, 3, vec![])]);
    assert_eq!(summary(&finished(13, by_id).await), [(0, 100, vec![])]);
}

#[tokio::test]
async fn f_3_what_is_not_synced_is_not_seen_and_wakes_nobody() {
    let bench = Bench::new();
    let topic = bench.topic("t", 1);
    bench.disk.hold_syncs();
    let partition = bench.broker.partition(&topic, 0).expect("a partition");
    let appended = partition.append(&batch(&["a"]), Origin::Client, Durability::Synced, NOW_MS);
    let request = request(12, &topic, &[(0, 0)]).with_max_wait_ms(i32::MAX);
    let waiting = wait_for(&bench, 12, &request).await;
    assert!(!waiting.is_finished());
    bench.disk.release_syncs();
    appended.await.expect("appended");
    assert_eq!(
        summary(&finished(12, waiting).await),
        [(0, 0, vec!["a".into()])]
    );
}

#[tokio::test]
async fn f_6_an_offset_outside_the_log_is_refused_and_the_end_waits() {
    let bench = Bench::new();
    let topic = bench.topic("t", 1);
    append(&bench, &topic, 0, &batch(&["a", "b", "c"])).await;
    append(&bench, &topic, 0, &batch(&["d"])).await;
    let partition = bench.broker.partition(&topic, 0).expect("a partition");
    partition
        .advance_start(Offset::new(2))
        .await
        .expect("a new start");
    for (from, code) in [(-1, 1), (0, 1), (1, 1), (2, 0), (3, 0), (4, 0), (5, 1)] {
        let response = bench.send(12, &request(12, &topic, &[(0, from)])).await;
        assert_eq!(partitions(&response)[0].error_code, code, "from {from}");
    }
    // A batch may begin below the offset that was asked for.
    let response = bench.send(12, &request(12, &topic, &[(0, 2)])).await;
    assert_eq!(values(partitions(&response)[0]), ["a", "b", "c", "d"]);
    assert_eq!(partitions(&response)[0].log_start_offset, 2);
}

#[tokio::test]
async fn f_6_a_start_that_moves_past_a_waiting_fetch_is_told() {
    let bench = Bench::new();
    let topic = bench.topic("t", 2);
    append(&bench, &topic, 0, &batch(&["a", "b"])).await;
    let request = request(12, &topic, &[(0, 1)])
        .with_max_wait_ms(i32::MAX)
        .with_min_bytes(1 << 20);
    let waiting = wait_for(&bench, 12, &request).await;
    let partition = bench.broker.partition(&topic, 0).expect("a partition");
    partition
        .advance_start(Offset::new(2))
        .await
        .expect("a new start");
    append(&bench, &topic, 0, &batch(&["c"])).await;
    assert_eq!(summary(&finished(12, waiting).await), [(0, 1, vec![])]);
}

#[tokio::test]
async fn f_7_the_clients_leader_epoch_must_be_the_logs() {
    let bench = Bench::new();
    let topic = bench.topic("t", 1);
    let partition = bench.broker.partition(&topic, 0).expect("a partition");
    let current = partition.offsets().leader_epoch;
    for (epoch, code) in [(-1, 0), (current, 0), (current + 1, 75), (current - 1, 74)] {
        if epoch == -1 && code == 74 {
            continue;
        }
        let mut request = request(12, &topic, &[(0, 0)]);
        request.topics[0].partitions[0].current_leader_epoch = epoch;
        let response = bench.send(12, &request).await;
        assert_eq!(partitions(&response)[0].error_code, code, "epoch {epoch}");
    }
}

#[tokio::test]
async fn f_8_an_unknown_id_is_told_and_a_session_notices_a_topic_made_anew() {
    let bench = Bench::new();
    let topic = bench.topic("t", 1);
    let mut unknown = (*topic).clone();
    unknown.id = TopicId::from_u128(5);
    let response = bench.send(13, &request(13, &unknown, &[(0, 0)])).await;
    assert_eq!(summary(&response), [(0, 100, vec![])]);
    let opened = request(13, &topic, &[(0, 0)]).with_session_epoch(0);
    let id = bench.send(13, &opened).await.session_id;
    bench.delete(&topic);
    bench.topic("t", 1);
    let next = incremental(&topic, id, 1, &[]);
    assert_eq!(summary(&bench.send(13, &next).await), [(0, 103, vec![])]);
}

#[tokio::test]
async fn f_9_sessions_are_opened_resumed_and_closed() {
    let bench = Bench::new();
    let topic = bench.topic("t", 1);
    let open = request(12, &topic, &[(0, 0)]).with_session_epoch(0);
    let opened = bench.send(12, &open).await;
    assert_eq!((opened.error_code, partitions(&opened).len()), (0, 1));
    let id = opened.session_id;
    assert_ne!(id, 0);
    let next = bench.send(12, &incremental(&topic, id, 1, &[])).await;
    assert_eq!(
        (next.error_code, next.session_id, partitions(&next).len()),
        (0, id, 0)
    );
    // The epochs of the past and of the future, another id, ids instead of names.
    for (version, id, epoch, code) in [(12, id, 1, 71), (12, id, 3, 71), (12, id ^ 1, 2, 70)] {
        let response = bench
            .send(version, &incremental(&topic, id, epoch, &[]))
            .await;
        assert_eq!((response.error_code, response.session_id), (code, 0));
    }
    let by_id = bench.send(13, &incremental(&topic, id, 2, &[])).await;
    assert_eq!(by_id.error_code, 106);
    // Opening anew closes the old one, as does a fetch without a session.
    let anew = bench
        .send(12, &open.clone().with_session_id(id))
        .await
        .session_id;
    assert_ne!(anew, id);
    assert_eq!(
        bench
            .send(12, &incremental(&topic, id, 2, &[]))
            .await
            .error_code,
        70
    );
    let closing = request(12, &topic, &[(0, 0)]).with_session_id(anew);
    let closed = bench.send(12, &closing).await;
    assert_eq!((closed.session_id, partitions(&closed).len()), (0, 1));
    assert!(bench.broker.fetch_sessions.is_empty());
}

#[tokio::test]
async fn f_10_an_incremental_answer_holds_only_what_is_new() {
    let bench = Bench::new();
    let topic = bench.topic("t", 3);
    append(&bench, &topic, 0, &batch(&["a"])).await;
    let open = request(12, &topic, &[(0, 0), (1, 0), (2, 0)]).with_session_epoch(0);
    let opened = bench.send(12, &open).await;
    let id = opened.session_id;
    let expected = [(0, 0, vec!["a".into()]), (1, 0, vec![]), (2, 0, vec![])];
    assert_eq!(summary(&opened), expected);
    // The client read on in 0; nothing is new.
    let quiet = bench.send(12, &incremental(&topic, id, 1, &[(0, 1)])).await;
    assert_eq!(summary(&quiet), []);
    append(&bench, &topic, 2, &batch(&["b"])).await;
    let woken = bench.send(12, &incremental(&topic, id, 2, &[])).await;
    assert_eq!(summary(&woken), [(2, 0, vec!["b".into()])]);
    // As long as the client does not read on, the same records come again.
    let again = bench.send(12, &incremental(&topic, id, 3, &[])).await;
    assert_eq!(summary(&again), [(2, 0, vec!["b".into()])]);

    // A start that moved is news, without records.
    let partition = bench.broker.partition(&topic, 0).expect("a partition");
    partition
        .advance_start(Offset::new(1))
        .await
        .expect("a new start");
    let moved = bench.send(12, &incremental(&topic, id, 4, &[(2, 1)])).await;
    assert_eq!(summary(&moved), [(0, 0, vec![])]);
    assert_eq!(partitions(&moved)[0].log_start_offset, 1);
}

#[tokio::test]
async fn f_10_partitions_with_records_take_turns() {
    let bench = Bench::new();
    let topic = bench.topic("t", 3);
    for index in 0..3 {
        for value in ["a", "b", "c"] {
            append(&bench, &topic, index, &batch(&[value])).await;
        }
    }
    let tiny = |request: FetchRequest| request.with_max_bytes(1);
    let open = request(12, &topic, &[(0, 0), (1, 0), (2, 0)]).with_session_epoch(0);
    let id = bench.send(12, &tiny(open)).await.session_id;
    let mut served = Vec::new();
    let mut changed = vec![(0, 1)];
    for epoch in 1..=6 {
        let response = bench
            .send(12, &tiny(incremental(&topic, id, epoch, &changed)))
            .await;
        let gave: Vec<_> = partitions(&response)
            .into_iter()
            .filter(|data| !values(data).is_empty())
            .map(|data| data.partition_index)
            .collect();
        let [index] = gave[..] else {
            panic!("one partition gives records");
        };
        let before = served.iter().filter(|served| **served == index).count();
        served.push(index);
        changed = vec![(
            index,
            i64::try_from(before).expect("few") + 1 + i64::from(index == 0),
        )];
    }
    assert_eq!(served, [0, 1, 2, 0, 1, 2]);
}

#[tokio::test]
async fn f_10_partitions_are_forgotten_and_the_last_one_ends_the_session() {
    let bench = Bench::new();
    let topic = bench.topic("t", 2);
    let open = request(12, &topic, &[(0, 0), (1, 0)]).with_session_epoch(0);
    let id = bench.send(12, &open).await.session_id;
    let forget = |epoch, index| {
        let forgotten = ForgottenTopic::default()
            .with_topic(name(&topic))
            .with_partitions(vec![index]);
        incremental(&topic, id, epoch, &[]).with_forgotten_topics_data(vec![forgotten])
    };
    assert_eq!(bench.send(12, &forget(1, 0)).await.session_id, id);
    append(&bench, &topic, 0, &batch(&["a"])).await;
    assert_eq!(
        summary(&bench.send(12, &incremental(&topic, id, 2, &[])).await),
        []
    );
    let last = bench.send(12, &forget(3, 1)).await;
    assert_eq!((last.error_code, last.session_id), (0, 0));
    assert!(bench.broker.fetch_sessions.is_empty());
}

#[tokio::test]
async fn f_10_an_error_is_told_until_it_ends() {
    let bench = Bench::new();
    let mut topic = (*bench.topic("t", 1)).clone();
    let open = request(12, &topic, &[(0, 0), (1, 0)]).with_session_epoch(0);
    let opened = bench.send(12, &open).await;
    let id = opened.session_id;
    assert_eq!(summary(&opened), [(0, 0, vec![]), (1, 3, vec![])]);
    let next = bench.send(12, &incremental(&topic, id, 1, &[])).await;
    assert_eq!(summary(&next), [(1, 3, vec![])]);
    // The topic grows; the session finds its new partition.
    topic.partitions = 2;
    let new = topic.partition(1).expect("an index of the topic");
    bench
        .broker
        .engine
        .open(new, topic.settings.clone())
        .expect("an open log");
    bench.broker.catalog.view.insert(Arc::new(topic.clone()));
    let next = bench.send(12, &incremental(&topic, id, 2, &[])).await;
    assert_eq!(summary(&next), [(1, 0, vec![])]);
    let next = bench.send(12, &incremental(&topic, id, 3, &[])).await;
    assert_eq!(summary(&next), []);
}

#[tokio::test]
async fn f_10_a_waiting_session_is_woken_by_what_was_armed_long_ago() {
    let bench = Bench::new();
    let topic = bench.topic("t", 3);
    let open = request(12, &topic, &[(0, 0), (1, 0), (2, 0)]).with_session_epoch(0);
    let id = bench.send(12, &open).await.session_id;
    let mut changed = Vec::new();
    for (epoch, index) in (1..).zip([2, 0, 1, 1, 2]) {
        let next = incremental(&topic, id, epoch, &changed).with_max_wait_ms(i32::MAX);
        let waiting = wait_for(&bench, 12, &next).await;
        assert!(!waiting.is_finished());
        let partition = bench.broker.partition(&topic, index).expect("a partition");
        let end = partition.offsets().end.get();
        append(&bench, &topic, index, &batch(&["a"])).await;
        let response = finished(12, waiting).await;
        assert_eq!(summary(&response), [(index, 0, vec!["a".into()])]);
        changed = vec![(index, end + 1)];
    }
}

#[tokio::test]
async fn f_11_without_room_for_a_session_a_full_fetch_is_answered_with_id_0() {
    let bench = Bench::new();
    let topic = bench.topic("t", 1);
    let open = request(12, &topic, &[(0, 0)]).with_session_epoch(0);
    let mut ids = Vec::new();
    for _ in 0..11 {
        ids.push(bench.send(12, &open).await.session_id);
    }
    // The test's broker has ten slots.
    assert!(ids[..10].iter().all(|id| *id != 0));
    assert_eq!(ids[10], 0);
}

#[tokio::test]
async fn f_12_nobody_fetches_as_a_replica() {
    let bench = Bench::new();
    let topic = bench.topic("t", 1);
    let old = request(12, &topic, &[(0, 0)]).with_replica_id(2.into());
    assert_eq!(summary(&bench.send(12, &old).await), [(0, 6, vec![])]);
    let state = ReplicaState::default().with_replica_id(2.into());
    let new = request(15, &topic, &[(0, 0)]).with_replica_state(state);
    assert_eq!(summary(&bench.send(15, &new).await), [(0, 6, vec![])]);
    let rack = request(12, &topic, &[(0, 0)]).with_rack_id(StrBytes::from_static_str("r"));
    assert_eq!(summary(&bench.send(12, &rack).await), [(0, 0, vec![])]);
}

#[tokio::test]
async fn f_13_every_version_gets_the_bytes_as_they_came() {
    let bench = Bench::new();
    let topic = bench.topic("t", 1);
    let mut builder = BatchBuilder::new(NOW_MS);
    // P-24: keys of headers may repeat, and empty is not null.
    let headers: [(&[u8], Option<&[u8]>); 3] =
        [(b"h", Some(b"1")), (b"h", None), (b"h", Some(b""))];
    builder.record_at(NOW_MS, Some(b""), None, &headers);
    builder.record_at(NOW_MS, None, Some(b""), &[]);
    let sent = builder.build().expect("records");
    append(&bench, &topic, 0, &sent).await;
    for version in 4..=18 {
        let response = bench
            .send(version, &request(version, &topic, &[(0, 0)]))
            .await;
        let records: Bytes = partitions(&response)[0].records.clone().expect("records");
        assert_eq!(records[16..], sent.bytes()[16..], "v{version}");
    }
}

#[tokio::test]
async fn a_large_fetch_leaves_in_pieces_that_join_to_the_log() {
    let bench = Bench::new();
    let topic = bench.topic("t", 2);
    let value = "x".repeat(40_000);
    for index in 0..2 {
        append(&bench, &topic, index, &batch(&[&value])).await;
    }
    let later = bench
        .post(12, &request(12, &topic, &[(0, 0), (1, 0)]))
        .await;
    let answered = answer(later).await;
    assert!(matches!(&answered, Answer::Pieces(pieces) if pieces.len() == 5));
    let response = response::<FetchRequest>(12, answered);
    let expected = [(0, 0, vec![value.clone()]), (1, 0, vec![value])];
    assert_eq!(summary(&response), expected);
}

#[tokio::test]
async fn kip_219_a_consumer_above_its_quota_is_told_to_be_silent() {
    use crate::coordinator::catalog::client_quota::{ClientQuotas, Limit, Part, Quota};
    let bench = Bench::new();
    let topic = bench.topic("t", 1);
    let record = batch(&["a record"]);
    append(&bench, &topic, 0, &record).await;
    append(&bench, &topic, 0, &record).await;
    let ask = request(12, &topic, &[(0, 0)]);
    let mut quotas = ClientQuotas::default();
    let limit = Limit(record.bytes().len() as f64 / 10.0);
    let owner = [(Part::User, None)].into();
    quotas.put(&owner, &[(Quota::ConsumerByteRate, limit)].into());
    bench.broker.catalog.view.put_quotas(Arc::new(quotas));

    let first = bench.send(12, &ask).await;
    let records = first.responses[0].partitions[0].records.as_ref();
    assert_eq!(
        records.expect("records").len(),
        record.bytes().len(),
        "10 s of it"
    );
    assert_eq!(first.throttle_time_ms, 0);
    assert_eq!(bench.send(12, &ask).await.throttle_time_ms, 10_000);
    let session = bench.context(ApiKey::Fetch, 12).session;
    assert_eq!(
        session.muted_ms(bench.broker.clock.now().monotonic_ms),
        10_000
    );
}
