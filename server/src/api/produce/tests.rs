use std::time::Duration;

use bytes::BytesMut;
use ratel_protocol::messages::produce_request::PartitionProduceData;
use ratel_storage::{BatchBuilder, LogSettings, Offset, ReadRequest, TimestampType, Validation};

use super::*;
use crate::api::testing::{Bench, NOW_MS, answer, batch, response};
use crate::config::Config;

/// A request for one topic: `(partition, records)`.
fn request(
    version: i16,
    acks: i16,
    topic: &Topic,
    data: &[(i32, Option<Bytes>)],
) -> ProduceRequest {
    let partitions = data.iter().map(|(index, records)| {
        PartitionProduceData::default()
            .with_index(*index)
            .with_records(records.clone())
    });
    let data = TopicProduceData::default().with_partition_data(partitions.collect());
    let data = if version >= 13 {
        data.with_topic_id(topic.id)
    } else {
        data.with_name(TopicName(StrBytes::from_string(topic.name.to_string())))
    };
    ProduceRequest::default()
        .with_acks(acks)
        .with_timeout_ms(30_000)
        .with_topic_data(vec![data])
}

fn records(values: &[&str]) -> Option<Bytes> {
    Some(batch(values).bytes().clone())
}

/// Send one batch to partition 0 at v9 and give the one partition's answer.
async fn produce(bench: &Bench, topic: &Topic, records: Option<Bytes>) -> PartitionProduceResponse {
    produce_at(bench, 9, topic, records).await
}

async fn produce_at(
    bench: &Bench,
    version: i16,
    topic: &Topic,
    records: Option<Bytes>,
) -> PartitionProduceResponse {
    let request = request(version, -1, topic, &[(0, records)]);
    let mut response = bench.send(version, &request).await;
    response.responses.remove(0).partition_responses.remove(0)
}

/// A batch with one field of its header changed and a CRC that fits.
fn patched(batch: &Batch, at: usize, bytes: &[u8]) -> Option<Bytes> {
    let mut patched = BytesMut::from(&batch.bytes()[..]);
    patched[at..at + bytes.len()].copy_from_slice(bytes);
    let crc = crc_of(&patched);
    patched[17..21].copy_from_slice(&crc.to_be_bytes());
    Some(patched.freeze())
}

fn crc_of(batch: &[u8]) -> u32 {
    // The polynomial of CRC-32C, bit by bit: tests need no table.
    let mut crc = u32::MAX;
    for byte in &batch[21..] {
        crc ^= u32::from(*byte);
        for _ in 0..8 {
            crc = (crc >> 1) ^ (0x82f6_3b78 & (crc & 1).wrapping_neg());
        }
    }
    !crc
}

fn from_producer(id: i64, epoch: i16, sequence: i32, values: &[&str]) -> Option<Bytes> {
    let mut builder = BatchBuilder::new(NOW_MS).producer(id, epoch, sequence);
    for value in values {
        builder.record(None, Some(value.as_bytes()));
    }
    Some(builder.build().expect("values").bytes().clone())
}

fn end(bench: &Bench, topic: &Topic, index: i32) -> i64 {
    let partition = bench.broker.partition(topic, index).expect("a partition");
    partition.offsets().end.get()
}

#[tokio::test]
async fn every_version_answers_success_and_failure() {
    let bench = Bench::new();
    let topic = bench.topic("t", 1);
    for (before, version) in (0..).zip(3..=13) {
        let request = request(
            version,
            -1,
            &topic,
            &[(0, records(&["v"])), (1, records(&["v"]))],
        );
        let response = bench.send(version, &request).await;
        let topic_response = &response.responses[0];
        if version >= 13 {
            assert_eq!(topic_response.topic_id, topic.id);
        } else {
            assert_eq!(topic_response.name.as_str(), "t");
        }
        let [first, second] = &topic_response.partition_responses[..] else {
            panic!("two partitions");
        };
        assert_eq!(
            (first.index, first.error_code, first.base_offset),
            (0, 0, before)
        );
        assert_eq!(first.log_append_time_ms, -1);
        assert_eq!(first.log_start_offset, if version >= 5 { 0 } else { -1 });
        assert_eq!(
            (second.index, second.error_code, second.base_offset),
            (1, 3, -1)
        );
    }
}

#[tokio::test]
async fn p_1_other_acks_are_refused_and_nothing_is_appended() {
    let bench = Bench::new();
    let topic = bench.topic("t", 2);
    for acks in [-2, 2, 7] {
        let request = request(
            9,
            acks,
            &topic,
            &[(0, records(&["v"])), (1, records(&["v"]))],
        );
        let response = bench.send(9, &request).await;
        for partition in &response.responses[0].partition_responses {
            assert_eq!(partition.error_code, 21);
        }
    }
    assert_eq!((end(&bench, &topic, 0), end(&bench, &topic, 1)), (0, 0));
}

#[tokio::test]
async fn p_2_acks_0_answers_nothing_and_a_failure_closes() {
    let bench = Bench::new();
    let topic = bench.topic("t", 1);
    let well = bench
        .post(9, &request(9, 0, &topic, &[(0, records(&["v"]))]))
        .await;
    assert!(matches!(answer(well).await, Answer::Nothing));
    let data = [(0, records(&["v"])), (5, records(&["v"]))];
    let ill = bench.post(9, &request(9, 0, &topic, &data)).await;
    assert!(matches!(answer(ill).await, Answer::Close));
    // The partition that could be served was.
    assert_eq!(end(&bench, &topic, 0), 2);
}

#[tokio::test]
async fn p_3_partitions_fail_one_by_one() {
    let bench = Bench::new();
    let topic = bench.topic("t", 3);
    let data = [(0, records(&["a"])), (1, None), (2, records(&["b", "c"]))];
    let response = bench.send(9, &request(9, 1, &topic, &data)).await;
    let partitions = &response.responses[0].partition_responses;
    let codes: Vec<_> = partitions
        .iter()
        .map(|p| (p.error_code, p.base_offset))
        .collect();
    assert_eq!(codes, [(0, 0), (87, -1), (0, 0)]);
    assert_eq!((end(&bench, &topic, 0), end(&bench, &topic, 2)), (1, 2));
}

#[tokio::test]
async fn p_4_what_is_unknown_has_a_code_of_its_own_by_id() {
    let bench = Bench::new();
    let topic = bench.topic("t", 1);
    let mut gone = (*topic).clone();
    gone.id = TopicId::from_u128(9);
    gone.name = "gone".into();
    assert_eq!(
        produce_at(&bench, 12, &gone, records(&["v"]))
            .await
            .error_code,
        3
    );
    assert_eq!(
        produce_at(&bench, 13, &gone, records(&["v"]))
            .await
            .error_code,
        100
    );
    for version in [12, 13] {
        let request = request(version, 1, &topic, &[(7, records(&["v"]))]);
        let response = bench.send(version, &request).await;
        assert_eq!(response.responses[0].partition_responses[0].error_code, 3);
    }
}

#[tokio::test]
async fn p_5_records_are_one_batch_of_magic_2() {
    let bench = Bench::new();
    let topic = bench.topic("t", 1);
    let good = batch(&["v"]);
    let two = [&good.bytes()[..], &good.bytes()[..]].concat();
    let mut old = good.bytes().to_vec();
    old[16] = 1;
    for bad in [None, Some(Bytes::new()), Some(two.into()), Some(old.into())] {
        let answer = produce(&bench, &topic, bad).await;
        assert_eq!(answer.error_code, 87);
        assert!(answer.error_message.is_some(), "a sentence from v8 on");
    }
    assert_eq!(end(&bench, &topic, 0), 0);
}

#[tokio::test]
async fn p_6_zstd_needs_version_7() {
    let bench = Bench::new();
    let topic = bench.topic("t", 1);
    let zstd = patched(&batch(&["v"]), 21, &4i16.to_be_bytes());
    for (version, code) in [(3, 76), (6, 76), (7, 0), (9, 0), (13, 0)] {
        let answer = produce_at(&bench, version, &topic, zstd.clone()).await;
        assert_eq!(answer.error_code, code, "v{version}");
    }
    // And there is no codec after it.
    let unknown = patched(&batch(&["v"]), 21, &5i16.to_be_bytes());
    assert_eq!(produce(&bench, &topic, unknown).await.error_code, 76);
}

#[tokio::test]
async fn p_7_a_client_sets_no_base_offset_and_no_control_bit() {
    let bench = Bench::new();
    let topic = bench.topic("t", 1);
    let based = patched(&batch(&["v"]), 0, &1i64.to_be_bytes());
    assert_eq!(produce(&bench, &topic, based).await.error_code, 87);
    let control = patched(&batch(&["v"]), 21, &0x20i16.to_be_bytes());
    assert_eq!(produce(&bench, &topic, control).await.error_code, 87);
    assert_eq!(end(&bench, &topic, 0), 0);
}

#[tokio::test]
async fn t_6_a_batch_of_a_transaction_needs_the_transactions_id() {
    let bench = Bench::new();
    let topic = bench.topic("t", 2);
    let within = patched(&batch(&["v"]), 21, &0x10i16.to_be_bytes());
    let request = request(9, -1, &topic, &[(0, records(&["v"])), (1, within)]);
    let response = bench.send(9, &request).await;
    let partitions = &response.responses[0].partition_responses;
    let codes: Vec<i16> = partitions.iter().map(|answer| answer.error_code).collect();
    assert_eq!(codes, [53, 53]);
    assert_eq!((end(&bench, &topic, 0), end(&bench, &topic, 1)), (0, 0));
}

#[tokio::test]
async fn p_8_counts_and_sequences_fit() {
    let bench = Bench::new();
    let topic = bench.topic("t", 1);
    let good = batch(&["a", "b"]);
    let no_records = patched(&good, 57, &0i32.to_be_bytes());
    let wrong_delta = patched(&good, 23, &5i32.to_be_bytes());
    for bad in [no_records, wrong_delta, from_producer(7, 0, -1, &["v"])] {
        assert_eq!(produce(&bench, &topic, bad).await.error_code, 87);
    }
    assert_eq!(end(&bench, &topic, 0), 0);
}

#[tokio::test]
async fn p_9_size_comes_before_the_crc() {
    let bench = Bench::new();
    let good = batch(&["some value"]);
    let settings = LogSettings {
        max_message_bytes: good.bytes().len(),
        ..LogSettings::default()
    };
    let topic = bench.topic_with("t", 1, false, settings);
    let mut broken = batch(&["some value"]).bytes().to_vec();
    broken[65] ^= 1;
    assert_eq!(
        produce(&bench, &topic, Some(broken.into()))
            .await
            .error_code,
        2
    );
    let mut broken = batch(&["some value!"]).bytes().to_vec();
    broken[65] ^= 1;
    assert_eq!(
        produce(&bench, &topic, Some(broken.into()))
            .await
            .error_code,
        10
    );
    assert_eq!(
        produce(&bench, &topic, Some(good.bytes().clone()))
            .await
            .error_code,
        0
    );
    let settings = LogSettings {
        segment_bytes: 70,
        ..LogSettings::default()
    };
    let topic = bench.topic_with("u", 1, false, settings);
    assert_eq!(
        produce(&bench, &topic, records(&["some value"]))
            .await
            .error_code,
        18
    );
}

#[tokio::test]
async fn p_11_a_time_far_ahead_is_refused() {
    let bench = Bench::new();
    let topic = bench.topic("t", 1);
    let at = |timestamp_ms: i64| {
        let mut builder = BatchBuilder::new(timestamp_ms);
        builder.record(None, Some(b"v"));
        Some(builder.build().expect("a record").bytes().clone())
    };
    let hour = 3_600_000;
    assert_eq!(
        produce(&bench, &topic, at(NOW_MS + hour)).await.error_code,
        0
    );
    assert_eq!(
        produce(&bench, &topic, at(NOW_MS + hour + 1))
            .await
            .error_code,
        32
    );
    assert_eq!(produce(&bench, &topic, at(0)).await.error_code, 0);
    let log_append = patched(&batch(&["v"]), 21, &0x08i16.to_be_bytes());
    assert_eq!(produce(&bench, &topic, log_append).await.error_code, 32);
}

#[tokio::test]
async fn p_12_log_append_time_is_answered_and_written() {
    let bench = Bench::new();
    let settings = LogSettings {
        timestamp_type: TimestampType::LogAppendTime,
        ..LogSettings::default()
    };
    let topic = bench.topic_with("t", 1, false, settings);
    bench.clock.advance_ms(5000);
    let answer = produce(&bench, &topic, records(&["v"])).await;
    assert_eq!(
        (answer.error_code, answer.log_append_time_ms),
        (0, NOW_MS + 5000)
    );
}

#[tokio::test]
async fn p_13_offset_and_epoch_are_set_in_place_and_the_rest_is_kept() {
    let bench = Bench::new();
    let topic = bench.topic("t", 1);
    let sent = batch(&["a", "b"]);
    produce(&bench, &topic, records(&["before"])).await;
    produce(&bench, &topic, Some(sent.bytes().clone())).await;
    let partition = bench.broker.partition(&topic, 0).expect("a partition");
    let read = partition.read(ReadRequest {
        from: Offset::new(1),
        max_bytes: 1 << 20,
        at_least_one: true,
        bound: ratel_storage::Bound::HighWatermark,
    });
    let read = read.await.expect("a read").records.expect("records");
    let read = read.to_bytes().expect("bytes");
    assert_eq!(read[..8], 1i64.to_be_bytes());
    assert_eq!(read[8..12], sent.bytes()[8..12]);
    assert_eq!(read[16..], sent.bytes()[16..]);
}

#[tokio::test]
async fn p_14_the_header_is_believed_unless_the_topic_wants_records_walked() {
    let bench = Bench::new();
    let settings = LogSettings {
        validation: Validation::Records,
        ..LogSettings::default()
    };
    let believing = bench.topic("t", 1);
    let walking = bench.topic_with("u", 1, false, settings);
    let good = batch(&["a", "b"]);
    // The first record claims to be longer than the batch; the CRC fits all the same.
    let broken = patched(&good, 61, &[0x7e]);
    // And here the header claims one record more than there are.
    let mut claims = BytesMut::from(&good.bytes()[..]);
    claims[57..61].copy_from_slice(&3i32.to_be_bytes());
    claims[23..27].copy_from_slice(&2i32.to_be_bytes());
    let crc = crc_of(&claims);
    claims[17..21].copy_from_slice(&crc.to_be_bytes());
    for bad in [broken, Some(claims.freeze())] {
        assert_eq!(produce(&bench, &believing, bad.clone()).await.error_code, 0);
        assert_eq!(produce(&bench, &walking, bad).await.error_code, 87);
    }
    assert_eq!(
        produce(&bench, &walking, Some(good.bytes().clone()))
            .await
            .error_code,
        0
    );
}

#[tokio::test]
async fn p_15_a_repeated_batch_gets_its_first_offset() {
    let bench = Bench::new();
    let topic = bench.topic("t", 1);
    for (sequence, value) in (0..).zip(["a", "b", "c", "d", "e", "f"]) {
        let answer = produce(&bench, &topic, from_producer(7, 0, sequence, &[value])).await;
        assert_eq!(
            (answer.error_code, answer.base_offset),
            (0, i64::from(sequence))
        );
    }
    // The last five are remembered, the one before them is not.
    for (sequence, value) in [(1, "b"), (5, "f"), (3, "d")] {
        let answer = produce(&bench, &topic, from_producer(7, 0, sequence, &[value])).await;
        assert_eq!(
            (answer.error_code, answer.base_offset),
            (0, i64::from(sequence))
        );
    }
    let forgotten = produce(&bench, &topic, from_producer(7, 0, 0, &["a"])).await;
    assert_eq!((forgotten.error_code, forgotten.base_offset), (45, -1));
    // An overlap is no repeat.
    let overlap = produce(&bench, &topic, from_producer(7, 0, 5, &["f", "g"])).await;
    assert_eq!(overlap.error_code, 45);
    assert_eq!(end(&bench, &topic, 0), 6);
}

#[tokio::test]
async fn p_15_the_answer_to_a_repeat_waits_for_the_first_ones_sync() {
    let bench = Bench::new();
    let topic = bench.topic("t", 1);
    bench.disk.hold_syncs();
    let send = || request(9, -1, &topic, &[(0, from_producer(7, 0, 0, &["a"]))]);
    let first = tokio::spawn(answer(bench.post(9, &send()).await));
    let repeat = tokio::spawn(answer(bench.post(9, &send()).await));
    tokio::time::sleep(Duration::from_millis(30)).await;
    assert!(!first.is_finished() && !repeat.is_finished());
    assert_eq!(end(&bench, &topic, 0), 1);
    bench.disk.release_syncs();
    for answered in [first, repeat] {
        let response = response::<ProduceRequest>(9, answered.await.expect("an answer"));
        let partition = &response.responses[0].partition_responses[0];
        assert_eq!((partition.error_code, partition.base_offset), (0, 0));
    }
}

#[tokio::test]
async fn p_16_the_next_sequence_follows_the_last_and_wraps() {
    let bench = Bench::new();
    let topic = bench.topic("t", 1);
    let last = i32::MAX;
    // P-18: the log knows nothing of the producer, so it may begin anywhere.
    let begin = produce(&bench, &topic, from_producer(7, 0, last - 1, &["a", "b"])).await;
    assert_eq!(begin.error_code, 0);
    let gap = produce(&bench, &topic, from_producer(7, 0, 1, &["c"])).await;
    assert_eq!(gap.error_code, 45);
    let wrapped = produce(&bench, &topic, from_producer(7, 0, 0, &["c"])).await;
    assert_eq!((wrapped.error_code, wrapped.base_offset), (0, 2));
}

#[tokio::test]
async fn p_17_a_new_epoch_begins_at_0_and_an_old_one_is_fenced() {
    let bench = Bench::new();
    let topic = bench.topic("t", 1);
    let send = |epoch, sequence| from_producer(7, epoch, sequence, &["v"]);
    assert_eq!(produce(&bench, &topic, send(0, 0)).await.error_code, 0);
    assert_eq!(produce(&bench, &topic, send(1, 1)).await.error_code, 45);
    assert_eq!(produce(&bench, &topic, send(1, 0)).await.error_code, 0);
    assert_eq!(produce(&bench, &topic, send(0, 1)).await.error_code, 47);
}

#[tokio::test]
async fn p_18_a_producer_that_the_log_does_not_know_may_begin_anywhere() {
    let bench = Bench::new();
    let topic = bench.topic("t", 1);
    let answer = produce(&bench, &topic, from_producer(7, 3, 41, &["v"])).await;
    assert_eq!((answer.error_code, answer.base_offset), (0, 0));
}

#[tokio::test]
async fn p_21_internal_topics_are_for_the_admin_client() {
    let mut bench = Bench::new();
    let topic = bench.topic_with("__consumer_offsets", 1, true, LogSettings::default());
    assert_eq!(
        produce(&bench, &topic, records(&["v"])).await.error_code,
        17
    );
    assert_eq!(end(&bench, &topic, 0), 0);
    bench.client_id = Some(StrBytes::from_static_str("__admin_client"));
    assert_eq!(produce(&bench, &topic, records(&["v"])).await.error_code, 0);
}

#[tokio::test]
async fn p_22_one_replica_is_enough_whatever_min_insync_replicas_says() {
    let bench = Bench::new();
    let topic = bench.topic("t", 1);
    let mut wants_two = (*topic).clone();
    wants_two
        .configs
        .insert("min.insync.replicas".into(), "2".into());
    bench.broker.catalog.view.insert(Arc::new(wants_two));
    assert_eq!(produce(&bench, &topic, records(&["v"])).await.error_code, 0);
}

#[tokio::test]
async fn p_23_a_failed_partition_has_no_offsets() {
    let bench = Bench::new();
    let topic = bench.topic("t", 1);
    let answer = produce(&bench, &topic, None).await;
    assert_eq!(answer.base_offset, -1);
    assert_eq!(answer.log_append_time_ms, -1);
    assert_eq!(answer.log_start_offset, -1);
}

#[tokio::test]
async fn t_18_a_transactional_batch_without_its_id_is_refused() {
    let bench = Bench::new();
    let topic = bench.topic("t", 1);
    let mut builder = BatchBuilder::new(NOW_MS).producer(1, 0, 0).transactional();
    builder.record(None, Some(b"v"));
    let batch = Some(builder.build().expect("a record").bytes().clone());
    for version in 3..=12 {
        let request = request(version, -1, &topic, &[(0, batch.clone())]);
        let response = bench.send(version, &request).await;
        assert_eq!(response.responses[0].partition_responses[0].error_code, 53);
    }
    assert_eq!(end(&bench, &topic, 0), 0);
}

#[tokio::test]
async fn acks_all_waits_for_the_sync_and_acks_1_does_not() {
    let bench = Bench::new();
    let topic = bench.topic("t", 1);
    bench.disk.hold_syncs();
    let all = tokio::spawn(answer(
        bench
            .post(9, &request(9, -1, &topic, &[(0, records(&["a"]))]))
            .await,
    ));
    let one = bench
        .send(9, &request(9, 1, &topic, &[(0, records(&["b"]))]))
        .await;
    assert_eq!(one.responses[0].partition_responses[0].base_offset, 1);
    assert!(!all.is_finished());
    bench.disk.release_syncs();
    let all = response::<ProduceRequest>(9, all.await.expect("an answer"));
    assert_eq!(all.responses[0].partition_responses[0].base_offset, 0);
}

#[tokio::test]
async fn relaxed_durability_answers_acks_all_without_a_sync() {
    let bench = Bench::with(Config {
        durability: DurabilityMode::Relaxed,
        ..Config::default()
    });
    let topic = bench.topic("t", 1);
    bench.disk.hold_syncs();
    assert_eq!(produce(&bench, &topic, records(&["v"])).await.error_code, 0);
    bench.disk.release_syncs();
}

#[tokio::test]
async fn a_sync_that_outlasts_the_timeout_is_answered_as_timed_out() {
    let bench = Bench::new();
    let topic = bench.topic("t", 1);
    bench.disk.hold_syncs();
    for timeout_ms in [20, 0, -1] {
        let request = request(9, -1, &topic, &[(0, records(&["v"]))]);
        let response = bench.send(9, &request.with_timeout_ms(timeout_ms)).await;
        let partition = &response.responses[0].partition_responses[0];
        assert_eq!((partition.error_code, partition.base_offset), (7, -1));
    }
    bench.disk.release_syncs();
    assert_eq!(end(&bench, &topic, 0), 3);
}

#[tokio::test]
async fn appends_are_made_before_the_connection_goes_on() {
    let bench = Bench::new();
    let topic = bench.topic("t", 1);
    let mut answers = Vec::new();
    for value in ["a", "b", "c"] {
        let request = request(9, -1, &topic, &[(0, records(&[value]))]);
        answers.push(bench.post(9, &request).await);
    }
    assert_eq!(end(&bench, &topic, 0), 3);
    for (expected, later) in (0..).zip(answers) {
        let response = response::<ProduceRequest>(9, answer(later).await);
        assert_eq!(
            response.responses[0].partition_responses[0].base_offset,
            expected
        );
    }
}

#[tokio::test]
async fn a_full_disk_is_a_storage_error_with_a_sentence() {
    let bench = Bench::new();
    let topic = bench.topic("t", 1);
    assert_eq!(produce(&bench, &topic, records(&["v"])).await.error_code, 0);
    bench.disk.set_capacity(bench.disk.used());
    let refused = produce(&bench, &topic, records(&["v"])).await;
    assert_eq!(refused.error_code, 56);
    assert_eq!(
        refused.error_message.as_deref(),
        Some("no space left on the disk")
    );
    bench.disk.set_capacity(u64::MAX);
    let answer = produce(&bench, &topic, records(&["v"])).await;
    assert_eq!((answer.error_code, answer.base_offset), (0, 1));
}

#[tokio::test]
async fn kip_219_a_producer_above_its_quota_is_told_to_be_silent() {
    use crate::coordinator::catalog::client_quota::{ClientQuotas, Limit, Part, Quota};
    let bench = Bench::new();
    let topic = bench.topic("t", 1);
    let ask = request(9, 1, &topic, &[(0, records(&["a record"]))]);
    assert_eq!(bench.send(9, &ask).await.throttle_time_ms, 0);

    let bytes = records(&["a record"]).expect("records").len();
    let mut quotas = ClientQuotas::default();
    let limit = Limit(bytes as f64 / 10.0);
    let owner = [(Part::ClientId, Some("test".into()))].into();
    quotas.put(&owner, &[(Quota::ProducerByteRate, limit)].into());
    bench.broker.catalog.view.put_quotas(Arc::new(quotas));
    assert_eq!(bench.send(9, &ask).await.throttle_time_ms, 0, "10 s of it");
    let muted_ms = || {
        let session = bench.context(ApiKey::Produce, 9).session;
        session.muted_ms(bench.broker.clock.now().monotonic_ms)
    };
    assert_eq!(muted_ms(), 0);
    let response = bench.send(9, &ask).await;
    assert_eq!(response.throttle_time_ms, 10_000);
    assert_eq!(response.responses[0].partition_responses[0].base_offset, 2);
    assert_eq!(muted_ms(), 10_000);
}

#[tokio::test]
async fn p_10_records_without_a_key_in_a_compacted_topic_are_named() {
    let bench = Bench::new();
    let settings = LogSettings {
        compact: true,
        ..LogSettings::default()
    };
    let topic = bench.topic_with("t", 1, false, settings);
    for (version, named) in [(7, 0), (8, 2), (13, 2)] {
        let answer = produce_at(&bench, version, &topic, records(&["a", "b"])).await;
        assert_eq!((answer.error_code, answer.base_offset), (87, -1));
        let places = answer.record_errors.iter().map(|error| error.batch_index);
        assert_eq!(places.collect::<Vec<_>>(), (0..named).collect::<Vec<_>>());
        assert_eq!(answer.error_message.is_some(), version >= 8);
    }
}
