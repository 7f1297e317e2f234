//! Records on their way to workers and out of the queue.

use bytes::Bytes;
use kafka_protocol::messages::create_partitions_request::CreatePartitionsTopic;
use kafka_protocol::messages::delete_records_request::{
    DeleteRecordsPartition, DeleteRecordsTopic,
};
use kafka_protocol::messages::delete_topics_request::DeleteTopicState;
use kafka_protocol::messages::{
    CreatePartitionsRequest, DeleteRecordsRequest, DeleteTopicsRequest,
};
use ratel_storage::Record;

use crate::{
    ACCEPT, INVALID_RECORD_STATE, INVALID_REQUEST, REJECT, RELEASE, RENEW, Rig, UNKNOWN_TOPIC_ID,
    assigned, batch, name, ranges, unpacked, until,
};

#[tokio::test]
async fn both_versions_lease_accept_release_and_only_the_second_renews() {
    let mut rig = Rig::start(&[]).await;
    let jobs = rig.topic("jobs", 1).await;
    rig.produce("jobs", 0, &[b"a", b"b", b"c", b"d"]).await;
    for version in 1..=2 {
        let group = format!("g{version}");
        rig.group(&group, &[]).await;
        let mut member = rig.member(&group, "m").await;
        member.version = version;
        assert_eq!(member.fetch(&[(jobs, &[0])]).await, [(0, 0, 3, 1)]);
        assert_eq!(
            member
                .say(jobs, 0, &[(0, 1, ACCEPT), (2, 2, RELEASE)])
                .await,
            0
        );
        let renewed = member.say(jobs, 0, &[(3, 3, RENEW)]).await;
        assert_eq!(renewed, [INVALID_REQUEST, 0][usize::from(version == 2)]);
        assert_eq!(member.fetch(&[]).await, [(0, 2, 2, 2)]);
        // Somebody else's word, and one about what is done, change nothing.
        let mut other = rig.member(&group, "n").await;
        assert_eq!(other.fetch(&[(jobs, &[0])]).await, []);
        assert_eq!(
            other.say(jobs, 0, &[(2, 3, ACCEPT)]).await,
            INVALID_RECORD_STATE
        );
        // Acknowledgements that ride on a fetch are answered, with nothing else to say.
        let mut request = member.request(&[(jobs, &[0])]);
        request.topics[0].partitions[0].acknowledgement_batches = vec![batch(&(2, 3, ACCEPT))];
        request.max_wait_ms = 60_000;
        let answer = member.send(&request).await;
        let line = &answer.responses[0].partitions[0];
        assert_eq!((line.partition_index, line.acknowledge_error_code), (0, 0));
        assert_eq!(ranges(&answer), []);
        let queue = rig.queues(&group).await.remove(0);
        assert_eq!(
            (queue.start_offset, queue.ready, queue.in_flight),
            (4, 0, 0)
        );
    }
}

fn header(record: &Record, name: &str) -> String {
    let named = record
        .headers
        .iter()
        .find(|(key, _)| key == name.as_bytes());
    let value = named
        .and_then(|(_, value)| value.clone())
        .unwrap_or_default();
    String::from_utf8(value.to_vec()).expect("text")
}

fn check_letter(letter: &Record, value: &[u8], offset: &str, count: &str, message: &str) {
    assert_eq!(letter.key.as_deref(), Some(&b"k"[..]));
    assert_eq!(letter.value.as_deref(), Some(value));
    for (name, wanted) in [
        ("colour", "red"),
        ("__dlq.errors.topic", "jobs"),
        ("__dlq.errors.partition", "0"),
        ("__dlq.errors.offset", offset),
        ("__dlq.errors.group", "workers"),
        ("__dlq.errors.delivery.count", count),
        ("__dlq.errors.message", message),
    ] {
        assert_eq!(header(letter, name), wanted, "{name}");
    }
}

#[tokio::test]
async fn what_is_rejected_or_delivered_too_often_is_found_in_the_dead_letter_topic() {
    let mut rig = Rig::start(&[]).await;
    let jobs = rig.topic("jobs", 1).await;
    let settings = [
        ("errors.deadletterqueue.topic.name", "dead"),
        ("share.delivery.count.limit", "2"),
    ];
    rig.group("workers", &settings).await;
    rig.produce("jobs", 0, &[b"good", b"bad", b"ugly"]).await;
    let mut member = rig.member("workers", "m").await;
    assert_eq!(member.fetch(&[(jobs, &[0])]).await, [(0, 0, 2, 1)]);
    assert!(rig.records("dead").await.is_empty(), "nothing is dead yet");
    let said = [(0, 0, ACCEPT), (1, 1, REJECT), (2, 2, RELEASE)];
    assert_eq!(member.say(jobs, 0, &said).await, 0);
    until!(rig.records("dead").await.len() == 1);
    let letters = rig.records("dead").await;
    check_letter(&letters[0], b"bad", "1", "1", "Offset rejected by client.");

    assert_eq!(member.fetch(&[]).await, [(0, 2, 2, 2)]);
    assert_eq!(member.say(jobs, 0, &[(2, 2, RELEASE)]).await, 0);
    until!(rig.records("dead").await.len() == 2);
    let letters = rig.records("dead").await;
    let message = "Offset delivery count exceeded the threshold.";
    check_letter(&letters[1], b"ugly", "2", "2", message);
    assert_eq!(member.fetch(&[]).await, [], "it is handed out no more");
    until!(rig.queues("workers").await[0].start_offset == 3);
    assert_eq!(rig.queues("workers").await[0].dead, 2);
}

/// KIP-74, as queues keep it.
#[tokio::test]
async fn a_record_larger_than_a_fetch_allows_is_delivered() {
    let mut rig = Rig::start(&[]).await;
    let jobs = rig.topic("jobs", 1).await;
    rig.group("g", &[]).await;
    rig.produce("jobs", 0, &[&[7; 50_000]]).await;
    rig.produce("jobs", 0, &[b"small"]).await;
    let mut member = rig.member("g", "m").await;
    let request = member.request(&[(jobs, &[0])]).with_max_bytes(1000);
    let answer = member.send(&request).await;
    assert_eq!(ranges(&answer), [(0, 0, 0, 1)]);
    let records = answer.responses[0].partitions[0].records.clone();
    assert_eq!(
        unpacked(records)[0].value.as_ref().map(Bytes::len),
        Some(50_000)
    );
    let request = member.request(&[]).with_max_bytes(1000);
    assert_eq!(ranges(&member.send(&request).await), [(0, 1, 1, 1)]);
}

#[tokio::test]
async fn a_topic_made_anew_has_a_fresh_queue() {
    let mut rig = Rig::start(&[]).await;
    let old = rig.topic("jobs", 1).await;
    rig.group("g", &[]).await;
    rig.produce("jobs", 0, &[b"a", b"b", b"c"]).await;
    let mut member = rig.member("g", "m").await;
    let epoch = member.join(&["jobs"]).await;
    assert_eq!(member.fetch(&[(old, &[0])]).await, [(0, 0, 2, 1)]);
    assert_eq!(member.say(old, 0, &[(0, 0, ACCEPT)]).await, 0);

    let gone = DeleteTopicState::default().with_name(Some(name("jobs")));
    let request = DeleteTopicsRequest::default()
        .with_topics(vec![gone])
        .with_timeout_ms(10_000);
    assert_eq!(
        rig.client.send(6, &request).await.responses[0].error_code,
        0
    );
    until!(rig.queues("g").await.is_empty());
    let new = rig.topic("jobs", 1).await;
    assert_ne!(old, new);
    rig.produce("jobs", 0, &[b"x"]).await;

    let answer = member.heartbeat(epoch, None).await;
    let assignment = answer.assignment.expect("another topic");
    assert_eq!(assignment.topic_partitions[0].topic_id, new);
    let request = member.acknowledgement(old, 0, &[(1, 1, ACCEPT)]);
    let answer = member.post(&request).await;
    assert_eq!(
        answer.responses[0].partitions[0].error_code,
        UNKNOWN_TOPIC_ID
    );
    let answer = member.send(&member.request(&[(new, &[0])])).await;
    let lines = answer.responses.iter().flat_map(|topic| &topic.partitions);
    let codes: Vec<i16> = lines.map(|line| line.error_code).collect();
    let mut sorted = codes.clone();
    sorted.sort_unstable();
    assert_eq!(
        sorted,
        [0, UNKNOWN_TOPIC_ID],
        "the old one is in the session still"
    );
    let new_line = answer.responses.iter().find(|topic| topic.topic_id == new);
    let range = &new_line.expect("a record").partitions[0].acquired_records[0];
    assert_eq!((range.first_offset, range.delivery_count), (0, 1));
}

#[tokio::test]
async fn records_that_are_deleted_leave_the_queue_too() {
    let mut rig = Rig::start(&[]).await;
    let jobs = rig.topic("jobs", 1).await;
    rig.group("g", &[]).await;
    for _ in 0..10 {
        rig.produce("jobs", 0, &[b"a"]).await;
    }
    let mut member = rig.member("g", "m").await;
    let request = member.request(&[(jobs, &[0])]).with_max_records(6);
    assert_eq!(ranges(&member.send(&request).await), [(0, 0, 5, 1)]);
    assert_eq!(member.say(jobs, 0, &[(5, 5, RELEASE)]).await, 0);
    let partition = DeleteRecordsPartition::default().with_offset(4);
    let topic = DeleteRecordsTopic::default()
        .with_name(name("jobs"))
        .with_partitions(vec![partition]);
    let request = DeleteRecordsRequest::default()
        .with_topics(vec![topic])
        .with_timeout_ms(10_000);
    let answer = rig.client.send(2, &request).await;
    assert_eq!(answer.topics[0].partitions[0].error_code, 0);
    until!(rig.queues("g").await[0].start_offset == 4);
    // What is gone needs no word, and one about it does no harm.
    assert_eq!(member.say(jobs, 0, &[(0, 3, ACCEPT)]).await, 0);
    let queue = rig.queues("g").await.remove(0);
    assert_eq!((queue.in_flight, queue.ready), (1, 5));
    assert_eq!(member.fetch(&[]).await, [(0, 5, 5, 2), (0, 6, 9, 1)]);
    rig.crash().await;
    let mut other = rig.member("g", "n").await;
    let leased = other.fetch(&[(jobs, &[0])]).await;
    assert_eq!(leased, [(0, 4, 4, 1), (0, 5, 5, 2), (0, 6, 9, 1)]);
}

#[tokio::test]
async fn a_partition_that_is_added_is_read_without_a_new_join() {
    let mut rig = Rig::start(&[]).await;
    let jobs = rig.topic("jobs", 1).await;
    rig.group("g", &[]).await;
    let mut member = rig.member("g", "m").await;
    let epoch = member.join(&["jobs"]).await;
    assert_eq!(member.fetch(&[(jobs, &[0])]).await, []);
    let topic = CreatePartitionsTopic::default()
        .with_name(name("jobs"))
        .with_count(3)
        .with_assignments(None);
    let request = CreatePartitionsRequest::default()
        .with_topics(vec![topic])
        .with_timeout_ms(10_000);
    assert_eq!(rig.client.send(3, &request).await.results[0].error_code, 0);
    rig.produce("jobs", 2, &[b"a"]).await;
    let mut partitions = None;
    until!({
        let answer = member.heartbeat(epoch, None).await;
        assert_eq!(answer.error_code, 0);
        partitions = assigned(&answer).or(partitions);
        partitions == Some(3)
    });
    assert_eq!(member.fetch(&[(jobs, &[1, 2])]).await, [(2, 0, 0, 1)]);
    assert_eq!(rig.queues("g").await.len(), 3);
}
