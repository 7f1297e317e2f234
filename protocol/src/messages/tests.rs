//! Our own messages, held against the codec's where both speak, and against bytes written by hand
//! from Kafka 4.2's definitions where only ours do.

use std::fmt::Debug;

use bytes::{Bytes, BytesMut};
use kafka_protocol::messages::{BrokerId, GroupId, TopicName};
use kafka_protocol::protocol::{Decodable, Encodable, Message, StrBytes};
use uuid::Uuid;

use crate::messages as ours;

fn encoded<M: Encodable>(message: &M, version: i16) -> Bytes {
    let mut bytes = BytesMut::new();
    message.encode(&mut bytes, version).expect("it encodes");
    assert_eq!(message.compute_size(version).expect("it does"), bytes.len());
    bytes.freeze()
}

/// The message that these bytes are, to the last of them.
fn decoded<M: Decodable>(bytes: &Bytes, version: i16) -> M {
    let mut left = bytes.clone();
    let message = M::decode(&mut left, version).expect("it decodes");
    assert!(left.is_empty(), "{} bytes left", left.len());
    message
}

/// The two write the same bytes and read them back to themselves.
fn same<A, B>(ours: &A, theirs: &B, version: i16)
where
    A: Encodable + Decodable + PartialEq + Debug,
    B: Encodable + Decodable + PartialEq + Debug,
{
    let bytes = encoded(ours, version);
    assert_eq!(bytes, encoded(theirs, version), "v{version} {ours:?}");
    assert_eq!(&decoded::<A>(&bytes, version), ours, "v{version}");
    assert_eq!(&decoded::<B>(&bytes, version), theirs, "v{version}");
}

/// Says one expression in both crates, and that it gives the same bytes in a version, as do the
/// defaults.
macro_rules! same_in_both {
    ($version:literal, $message:ident, $module:ident::{$($name:ident),+}, $value:expr) => {
        let in_ours = {
            use ours::$module::{$($name),+};
            $value
        };
        let in_theirs = {
            use kafka_protocol::messages::$module::{$($name),+};
            $value
        };
        same(&in_ours, &in_theirs, $version);
        let in_theirs = kafka_protocol::messages::$message::default();
        same(&ours::$message::default(), &in_theirs, $version);
    };
}

fn text(text: &'static str) -> StrBytes {
    StrBytes::from_static_str(text)
}

fn id(byte: u8) -> Uuid {
    Uuid::from_bytes([byte; 16])
}

/// Records, in ours never null.
fn records<R: From<Bytes>>() -> R {
    Bytes::from(vec![7; 20_000]).into()
}

#[test]
fn share_fetch_v1_is_as_the_codec_has_it() {
    same_in_both!(
        1,
        ShareFetchRequest,
        share_fetch_request::{
            AcknowledgementBatch, FetchPartition, FetchTopic, ForgottenTopic, ShareFetchRequest
        },
        {
            let batch = |first| {
                AcknowledgementBatch::default()
                    .with_first_offset(first)
                    .with_last_offset(i64::MAX)
                    .with_acknowledge_types(vec![0, 1, 2, 3, -1])
            };
            let partition = FetchPartition::default()
                .with_partition_index(-7)
                .with_acknowledgement_batches(vec![batch(-1), batch(300)]);
            ShareFetchRequest::default()
                .with_group_id(Some(GroupId(text("g"))))
                .with_member_id(None)
                .with_share_session_epoch(-1)
                .with_max_wait_ms(500)
                .with_min_bytes(1)
                .with_max_bytes(0x7f00_0001)
                .with_max_records(500)
                .with_batch_size(501)
                .with_topics(vec![
                    FetchTopic::default()
                        .with_topic_id(id(1))
                        .with_partitions(vec![partition; 200]),
                ])
                .with_forgotten_topics_data(vec![
                    ForgottenTopic::default()
                        .with_topic_id(id(2))
                        .with_partitions(vec![1, 2, 3]),
                ])
        }
    );
}

#[test]
fn share_fetch_v1_answers_are_as_the_codec_has_them() {
    use kafka_protocol::messages::share_fetch_response as theirs;
    same_in_both!(
        1,
        ShareFetchResponse,
        share_fetch_response::{
            AcquiredRecords, LeaderIdAndEpoch, NodeEndpoint, PartitionData, ShareFetchResponse,
            ShareFetchableTopicResponse
        },
        {
            let leader = LeaderIdAndEpoch::default()
                .with_leader_id(4)
                .with_leader_epoch(5);
            let acquired = AcquiredRecords::default()
                .with_first_offset(1)
                .with_last_offset(1 << 40)
                .with_delivery_count(3);
            let partition = PartitionData::default()
                .with_partition_index(3)
                .with_error_code(6)
                .with_error_message(Some(text("why")))
                .with_acknowledge_error_code(121)
                .with_acknowledge_error_message(Some(text("")))
                .with_current_leader(leader)
                .with_records(records())
                .with_acquired_records(vec![acquired; 130]);
            let endpoint = NodeEndpoint::default()
                .with_node_id(BrokerId(2))
                .with_host(text("host"))
                .with_port(9092)
                .with_rack(Some(text("rack")));
            ShareFetchResponse::default()
                .with_throttle_time_ms(1)
                .with_error_code(123)
                .with_error_message(Some(text("whole")))
                .with_acquisition_lock_timeout_ms(30_000)
                .with_responses(vec![
                    ShareFetchableTopicResponse::default()
                        .with_topic_id(id(9))
                        .with_partitions(vec![partition]),
                ])
                .with_node_endpoints(vec![endpoint])
        }
    );
    // The one default of ours that is another: no leader is -1, as 0 would name a broker.
    let leader = theirs::LeaderIdAndEpoch::default()
        .with_leader_id(-1)
        .with_leader_epoch(-1);
    let partition = theirs::PartitionData::default().with_current_leader(leader);
    same(
        &ours::share_fetch_response::PartitionData::default(),
        &partition,
        1,
    );
}

#[test]
fn share_acknowledge_v1_is_as_the_codec_has_it() {
    same_in_both!(
        1,
        ShareAcknowledgeRequest,
        share_acknowledge_request::{
            AcknowledgePartition, AcknowledgeTopic, AcknowledgementBatch, ShareAcknowledgeRequest
        },
        {
            let batch = AcknowledgementBatch::default()
                .with_first_offset(8)
                .with_last_offset(9)
                .with_acknowledge_types(vec![1]);
            let partition = AcknowledgePartition::default()
                .with_partition_index(1)
                .with_acknowledgement_batches(vec![batch]);
            ShareAcknowledgeRequest::default()
                .with_group_id(None)
                .with_member_id(Some(text("m")))
                .with_share_session_epoch(77)
                .with_topics(vec![
                    AcknowledgeTopic::default()
                        .with_topic_id(id(3))
                        .with_partitions(vec![partition]),
                ])
        }
    );
    same_in_both!(
        1,
        ShareAcknowledgeResponse,
        share_acknowledge_response::{
            LeaderIdAndEpoch, NodeEndpoint, PartitionData, ShareAcknowledgeResponse,
            ShareAcknowledgeTopicResponse
        },
        {
            let leader = LeaderIdAndEpoch::default()
                .with_leader_id(-1)
                .with_leader_epoch(0);
            let partition = PartitionData::default()
                .with_partition_index(1)
                .with_error_code(121)
                .with_error_message(None)
                .with_current_leader(leader);
            ShareAcknowledgeResponse::default()
                .with_throttle_time_ms(2)
                .with_error_code(122)
                .with_error_message(Some(text("gone")))
                .with_responses(vec![
                    ShareAcknowledgeTopicResponse::default()
                        .with_topic_id(id(4))
                        .with_partitions(vec![partition]),
                ])
                .with_node_endpoints(vec![NodeEndpoint::default().with_port(1)])
        }
    );
}

#[test]
fn describe_share_group_offsets_v0_is_as_the_codec_has_it() {
    same_in_both!(
        0,
        DescribeShareGroupOffsetsRequest,
        describe_share_group_offsets_request::{
            DescribeShareGroupOffsetsRequest, DescribeShareGroupOffsetsRequestGroup,
            DescribeShareGroupOffsetsRequestTopic
        },
        {
            let topic = DescribeShareGroupOffsetsRequestTopic::default()
                .with_topic_name(TopicName(text("t")))
                .with_partitions(vec![0, 1]);
            let group = |topics| {
                DescribeShareGroupOffsetsRequestGroup::default()
                    .with_group_id(GroupId(text("g")))
                    .with_topics(topics)
            };
            DescribeShareGroupOffsetsRequest::default()
                .with_groups(vec![group(Some(vec![topic])), group(None)])
        }
    );
    same_in_both!(
        0,
        DescribeShareGroupOffsetsResponse,
        describe_share_group_offsets_response::{
            DescribeShareGroupOffsetsResponse, DescribeShareGroupOffsetsResponseGroup,
            DescribeShareGroupOffsetsResponsePartition, DescribeShareGroupOffsetsResponseTopic
        },
        {
            let partition = DescribeShareGroupOffsetsResponsePartition::default()
                .with_partition_index(6)
                .with_start_offset(-1)
                .with_leader_epoch(2)
                .with_error_code(3)
                .with_error_message(Some(text("no")));
            let topic = DescribeShareGroupOffsetsResponseTopic::default()
                .with_topic_name(TopicName(text("t")))
                .with_topic_id(id(5))
                .with_partitions(vec![partition]);
            let group = DescribeShareGroupOffsetsResponseGroup::default()
                .with_group_id(GroupId(text("g")))
                .with_topics(vec![topic])
                .with_error_code(69)
                .with_error_message(Some(text("none")));
            DescribeShareGroupOffsetsResponse::default()
                .with_throttle_time_ms(9)
                .with_groups(vec![group])
        }
    );
}

/// These bytes are this message, in both directions.
fn is<M: Encodable + Decodable + PartialEq + Debug>(message: &M, version: i16, bytes: &[&[u8]]) {
    let bytes = Bytes::from(bytes.concat());
    assert_eq!(encoded(message, version), bytes);
    assert_eq!(&decoded::<M>(&bytes, version), message);
}

#[test]
fn kip_1206_share_fetch_v2_has_mode_and_renewal_behind_the_batch_size() {
    let request = ours::ShareFetchRequest::default()
        .with_group_id(Some(GroupId(text("g"))))
        .with_member_id(Some(text("m")))
        .with_share_session_epoch(2)
        .with_max_bytes(3)
        .with_max_records(4)
        .with_batch_size(5)
        .with_share_acquire_mode(1)
        .with_is_renew_ack(true);
    is(
        &request,
        2,
        &[
            b"\x02g\x02m",
            &[0, 0, 0, 2],
            &[0; 8],
            &[0, 0, 0, 3, 0, 0, 0, 4, 0, 0, 0, 5],
            &[1, 1],
            &[1, 1, 0],
        ],
    );
}

#[test]
fn kip_1222_share_acknowledge_v2_has_renewal_and_the_locks_time() {
    let request = ours::ShareAcknowledgeRequest::default()
        .with_share_session_epoch(2)
        .with_is_renew_ack(true);
    is(&request, 2, &[&[0, 1, 0, 0, 0, 2, 1, 1, 0]]);
    let answer = ours::ShareAcknowledgeResponse::default().with_acquisition_lock_timeout_ms(258);
    is(&answer, 2, &[&[0; 7], &[0, 0, 1, 2], &[1, 1, 0]]);
}

#[test]
fn kip_1226_described_offsets_v1_have_the_lag_behind_the_epoch() {
    use ours::describe_share_group_offsets_response as m;
    let partition = m::DescribeShareGroupOffsetsResponsePartition::default()
        .with_start_offset(1)
        .with_leader_epoch(2)
        .with_lag(3);
    is(
        &partition,
        1,
        &[
            &[0, 0, 0, 0],
            &[0, 0, 0, 0, 0, 0, 0, 1],
            &[0, 0, 0, 2],
            &[0, 0, 0, 0, 0, 0, 0, 3],
            &[0, 0, 0, 0],
        ],
    );
    // Version 0 has none: it is not known.
    let old = decoded::<m::DescribeShareGroupOffsetsResponsePartition>(&encoded(&partition, 0), 0);
    assert_eq!(old, partition.with_lag(-1));
}

#[test]
fn a_struct_that_may_be_null_has_a_mark_in_front() {
    use ours::queue_admin_request as m;
    let cancel = ours::QueueAdminRequest::default()
        .with_cancel_redrive(Some(m::RedriveId::default().with_job_id(7)));
    is(
        &cancel,
        0,
        &[&[0xff; 4], &[1, 0, 0, 0, 0, 0, 0, 0, 7, 0], &[0xff, 0]],
    );
    let mut bytes = Bytes::from_static(&[0xff, 0xff, 0xff, 0xff, 2, 0xff, 0]);
    assert!(ours::QueueAdminRequest::decode(&mut bytes, 0).is_err());
}

/// All that a filter can say goes there and back.
#[test]
fn a_redrive_goes_both_ways() {
    use ours::queue_admin_request as m;
    let filter = m::RedriveFilter::default()
        .with_dead_partition(1)
        .with_dead_offset(2)
        .with_topic_name(Some(TopicName(text("jobs"))))
        .with_partition(3)
        .with_first_offset(4)
        .with_last_offset(5)
        .with_reason(1)
        .with_from_ms(6)
        .with_to_ms(7)
        .with_key(Some(Bytes::from_static(b"k")))
        .with_header_name(Some(text("h")))
        .with_header_value(Some(Bytes::new()));
    let start = m::StartRedrive::default()
        .with_group_id(GroupId(text("g")))
        .with_filter(filter)
        .with_rate(500)
        .with_dry_run(true);
    let request = ours::QueueAdminRequest::default().with_start_redrive(Some(start));
    assert_eq!(
        &decoded::<ours::QueueAdminRequest>(&encoded(&request, 0), 0),
        &request
    );
    let job = ours::queue_admin_response::RedriveJob::default()
        .with_job_id(9)
        .with_dead_letter_topic(TopicName(text("dlq.g")))
        .with_error_message(Some(text("why")));
    let answer = ours::QueueAdminResponse::default().with_redrives(vec![job]);
    assert_eq!(
        decoded::<ours::QueueAdminResponse>(&encoded(&answer, 0), 0),
        answer
    );
}

#[test]
fn what_a_version_cannot_say_is_dropped_or_refused_as_kafka_does() {
    let bytes = |request: ours::ShareFetchRequest, version| {
        let mut bytes = BytesMut::new();
        request.encode(&mut bytes, version).map(|()| bytes)
    };
    let plain = ours::ShareFetchRequest::default();
    let expected = bytes(plain.clone(), 1).expect("legal");
    let mode = plain.clone().with_share_acquire_mode(1);
    assert_eq!(bytes(mode, 1).expect("dropped"), expected);
    let why = bytes(plain.clone().with_is_renew_ack(true), 1).expect_err("refused");
    assert!(why.to_string().contains("is_renew_ack"), "{why}");
    for version in [-1, 0, 3] {
        assert!(bytes(plain.clone(), version).is_err(), "v{version}");
        let decoded = ours::ShareFetchRequest::decode(&mut Bytes::from(vec![0; 99]), version);
        assert!(decoded.is_err(), "v{version}");
    }
}

/// A client reads what a server says without a walk in front: each cut is refused, none panics,
/// and a claim of many elements reserves no memory.
#[test]
fn answers_that_do_not_parse_are_refused() {
    use ours::share_fetch_response as m;
    let topic = m::ShareFetchableTopicResponse::default().with_partitions(vec![
        m::PartitionData::default().with_records(Bytes::from_static(b"abc")),
    ]);
    let answer = ours::ShareFetchResponse::default().with_responses(vec![topic]);
    let whole = encoded(&answer, 2);
    for length in 0..whole.len() {
        let cut = ours::ShareFetchResponse::decode(&mut whole.slice(..length), 2);
        assert!(cut.is_err(), "{length} of {}", whole.len());
    }
    let mut claim = whole.slice(..11).to_vec();
    claim.extend([0xff, 0xff, 0xff, 0xff, 0x0f, 0, 0]);
    assert!(ours::ShareFetchResponse::decode(&mut Bytes::from(claim), 2).is_err());
    let mut null = whole.slice(..11).to_vec();
    null.extend([0, 1, 0]);
    let why = ours::ShareFetchResponse::decode(&mut Bytes::from(null), 2).expect_err("null");
    assert!(why.to_string().contains("null"), "{why}");
}

#[test]
fn unknown_tagged_fields_are_stepped_over() {
    let tagged = [&[1][..], &[2, 5, 2, 8, 8, 9, 0]].concat();
    let request = decoded::<ours::DescribeShareGroupOffsetsRequest>(&tagged.into(), 1);
    assert_eq!(request, ours::DescribeShareGroupOffsetsRequest::default());
}

#[test]
fn versions_are_kafkas() {
    let versions = |range: kafka_protocol::protocol::VersionRange| (range.min, range.max);
    assert_eq!(versions(ours::ShareFetchRequest::VERSIONS), (1, 2));
    assert_eq!(versions(ours::ShareAcknowledgeRequest::VERSIONS), (1, 2));
    let described = ours::DescribeShareGroupOffsetsRequest::VERSIONS;
    assert_eq!(versions(described), (0, 1));
}
