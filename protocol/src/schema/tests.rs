use crate::ApiKey;
use crate::messages::{
    AddOffsetsToTxnRequest, AddPartitionsToTxnRequest, AlterClientQuotasRequest,
    AlterConfigsRequest, AlterPartitionReassignmentsRequest, AlterReplicaLogDirsRequest,
    AlterShareGroupOffsetsRequest, AlterUserScramCredentialsRequest, ApiVersionsRequest,
    ConsumerGroupDescribeRequest, ConsumerGroupHeartbeatRequest, CreateAclsRequest,
    CreateDelegationTokenRequest, CreatePartitionsRequest, CreateTopicsRequest, DeleteAclsRequest,
    DeleteGroupsRequest, DeleteRecordsRequest, DeleteShareGroupOffsetsRequest, DeleteTopicsRequest,
    DescribeAclsRequest, DescribeClientQuotasRequest, DescribeClusterRequest,
    DescribeConfigsRequest, DescribeDelegationTokenRequest, DescribeGroupsRequest,
    DescribeLogDirsRequest, DescribeProducersRequest, DescribeQuorumRequest,
    DescribeShareGroupOffsetsRequest, DescribeTopicPartitionsRequest, DescribeTransactionsRequest,
    DescribeUserScramCredentialsRequest, ElectLeadersRequest, EndTxnRequest,
    ExpireDelegationTokenRequest, FetchRequest, FindCoordinatorRequest,
    GetTelemetrySubscriptionsRequest, HeartbeatRequest, IncrementalAlterConfigsRequest,
    InitProducerIdRequest, JoinGroupRequest, LeaveGroupRequest, ListConfigResourcesRequest,
    ListGroupsRequest, ListOffsetsRequest, ListPartitionReassignmentsRequest,
    ListTransactionsRequest, MetadataRequest, OffsetCommitRequest, OffsetDeleteRequest,
    OffsetFetchRequest, OffsetForLeaderEpochRequest, ProduceRequest, PushTelemetryRequest,
    QueueAdminRequest, RenewDelegationTokenRequest, SaslAuthenticateRequest, SaslHandshakeRequest,
    ShareAcknowledgeRequest, ShareFetchRequest, ShareGroupDescribeRequest,
    ShareGroupHeartbeatRequest, SyncGroupRequest, TxnOffsetCommitRequest, UnregisterBrokerRequest,
    UpdateFeaturesRequest, WriteTxnMarkersRequest,
};
use bytes::Bytes;
use kafka_protocol::protocol::{Decodable, Encodable, Message, StrBytes, VersionRange};

use super::generate::{self, Random};
use super::{ELEMENTS_MAX, check, of};
use crate::WireError;
use crate::request::decode;

/// The codec of one request.
struct Codec {
    key: ApiKey,
    versions: VersionRange,
    /// Decodes and says how many bytes it took.
    decode: fn(&[u8], i16) -> Result<usize, String>,
}

fn raw<R: Decodable>(body: &[u8], version: i16) -> Result<usize, String> {
    let mut body_left = Bytes::copy_from_slice(body);
    R::decode(&mut body_left, version).map_err(|error| error.to_string())?;
    Ok(body.len() - body_left.len())
}

macro_rules! codecs {
    ($($api:ident $request:ident,)*) => {
        /// Every request that has a schema.
        const CODECS: &[Codec] = &[$(Codec {
            key: ApiKey::$api,
            versions: $request::VERSIONS,
            decode: raw::<$request>,
        }),*];
    };
}

codecs! {
    Produce ProduceRequest,
    Fetch FetchRequest,
    ListOffsets ListOffsetsRequest,
    Metadata MetadataRequest,
    OffsetCommit OffsetCommitRequest,
    OffsetFetch OffsetFetchRequest,
    FindCoordinator FindCoordinatorRequest,
    JoinGroup JoinGroupRequest,
    Heartbeat HeartbeatRequest,
    LeaveGroup LeaveGroupRequest,
    SyncGroup SyncGroupRequest,
    DescribeGroups DescribeGroupsRequest,
    ListGroups ListGroupsRequest,
    SaslHandshake SaslHandshakeRequest,
    ApiVersions ApiVersionsRequest,
    CreateTopics CreateTopicsRequest,
    DeleteTopics DeleteTopicsRequest,
    DeleteRecords DeleteRecordsRequest,
    InitProducerId InitProducerIdRequest,
    OffsetForLeaderEpoch OffsetForLeaderEpochRequest,
    AddPartitionsToTxn AddPartitionsToTxnRequest,
    AddOffsetsToTxn AddOffsetsToTxnRequest,
    EndTxn EndTxnRequest,
    WriteTxnMarkers WriteTxnMarkersRequest,
    TxnOffsetCommit TxnOffsetCommitRequest,
    DescribeAcls DescribeAclsRequest,
    CreateAcls CreateAclsRequest,
    DeleteAcls DeleteAclsRequest,
    DescribeConfigs DescribeConfigsRequest,
    AlterConfigs AlterConfigsRequest,
    AlterReplicaLogDirs AlterReplicaLogDirsRequest,
    DescribeLogDirs DescribeLogDirsRequest,
    SaslAuthenticate SaslAuthenticateRequest,
    CreatePartitions CreatePartitionsRequest,
    CreateDelegationToken CreateDelegationTokenRequest,
    RenewDelegationToken RenewDelegationTokenRequest,
    ExpireDelegationToken ExpireDelegationTokenRequest,
    DescribeDelegationToken DescribeDelegationTokenRequest,
    DeleteGroups DeleteGroupsRequest,
    ElectLeaders ElectLeadersRequest,
    IncrementalAlterConfigs IncrementalAlterConfigsRequest,
    AlterPartitionReassignments AlterPartitionReassignmentsRequest,
    ListPartitionReassignments ListPartitionReassignmentsRequest,
    OffsetDelete OffsetDeleteRequest,
    DescribeClientQuotas DescribeClientQuotasRequest,
    AlterClientQuotas AlterClientQuotasRequest,
    DescribeUserScramCredentials DescribeUserScramCredentialsRequest,
    AlterUserScramCredentials AlterUserScramCredentialsRequest,
    DescribeQuorum DescribeQuorumRequest,
    UpdateFeatures UpdateFeaturesRequest,
    DescribeCluster DescribeClusterRequest,
    DescribeProducers DescribeProducersRequest,
    UnregisterBroker UnregisterBrokerRequest,
    DescribeTransactions DescribeTransactionsRequest,
    ListTransactions ListTransactionsRequest,
    ConsumerGroupHeartbeat ConsumerGroupHeartbeatRequest,
    ConsumerGroupDescribe ConsumerGroupDescribeRequest,
    GetTelemetrySubscriptions GetTelemetrySubscriptionsRequest,
    PushTelemetry PushTelemetryRequest,
    ListConfigResources ListConfigResourcesRequest,
    DescribeTopicPartitions DescribeTopicPartitionsRequest,
    ShareGroupHeartbeat ShareGroupHeartbeatRequest,
    ShareGroupDescribe ShareGroupDescribeRequest,
    ShareFetch ShareFetchRequest,
    ShareAcknowledge ShareAcknowledgeRequest,
    DescribeShareGroupOffsets DescribeShareGroupOffsetsRequest,
    AlterShareGroupOffsets AlterShareGroupOffsetsRequest,
    DeleteShareGroupOffsets DeleteShareGroupOffsetsRequest,
    QueueAdmin QueueAdminRequest,
}

fn each_version() -> impl Iterator<Item = (&'static Codec, i16)> {
    CODECS.iter().flat_map(|codec| {
        (codec.versions.min..=codec.versions.max).map(move |version| (codec, version))
    })
}

/// How many frames the long test makes.
fn frames() -> u64 {
    std::env::var("RATEL_FRAMES")
        .ok()
        .and_then(|frames| frames.parse().ok())
        .unwrap_or(50_000)
}

#[test]
fn every_schema_says_what_the_codec_reads() {
    for (codec, version) in each_version() {
        for seed in 0..60 {
            let body = generate::body(codec.key, version, &mut Random::new(seed))
                .expect("it has a schema");
            let place = format!("{:?} v{version} seed {seed}: {body:02x?}", codec.key);
            assert_eq!(check(codec.key, version, &body), Ok(body.len()), "{place}");
            assert_eq!((codec.decode)(&body, version), Ok(body.len()), "{place}");
        }
    }
}

/// What the walk lets pass, the codec reads to the same byte or refuses; and nothing panics.
/// `RATEL_FRAMES=1000000` makes a million.
#[test]
fn no_damage_gets_past_the_walk() {
    let versions: Vec<_> = each_version().collect();
    let (mut passed, mut read) = (0, 0);
    for seed in 0..frames() {
        let mut random = Random::new(seed);
        let (codec, version) = versions[random.below(versions.len())];
        let mut body = if random.one_in(4) {
            let length = random.below(200);
            random.bytes(length)
        } else {
            generate::body(codec.key, version, &mut random).expect("it has a schema")
        };
        generate::damage(&mut body, &mut random);
        if let Ok(length) = check(codec.key, version, &body) {
            passed += 1;
            if let Ok(taken) = (codec.decode)(&body, version) {
                read += 1;
                let place = format!("{:?} v{version} seed {seed}: {body:02x?}", codec.key);
                assert_eq!(taken, length, "{place}");
            }
        }
    }
    // The damage is neither so weak that all passes nor so strong that nothing does.
    assert!(
        passed > frames() / 20 && passed < frames() / 10 * 9,
        "{passed}"
    );
    assert!(read > passed / 2, "{read} of {passed}");
}

fn refused(key: ApiKey, version: i16, body: &[u8]) -> String {
    match check(key, version, body) {
        Ok(length) => panic!("{key:?} v{version} {body:02x?} passed with {length} bytes"),
        Err(error) => error.to_string(),
    }
}

/// The rows of kafka-protocol's holes: each of these aborted or hung a process.
#[test]
fn claims_without_bytes_are_refused() {
    let claims: [(ApiKey, i16, &[u8]); 6] = [
        (ApiKey::Metadata, 1, &[0x7f, 0xff, 0xff, 0xff]),
        (ApiKey::Metadata, 1, &[0x02, 0xfa, 0xf0, 0x80]),
        (ApiKey::Metadata, 9, &[0xff, 0xff, 0xff, 0xff, 0x0f]),
        (
            ApiKey::Metadata,
            9,
            &[0xff, 0xff, 0xff, 0xff, 0x0f, 0, 0, 0],
        ),
        (ApiKey::Metadata, 1, &[0, 0, 0, 2, 0, 1, b'a']),
        (ApiKey::DescribeGroups, 0, &[0, 0, 0, 5, 0, 0, 0, 0]),
    ];
    for (key, version, body) in claims {
        let why = refused(key, version, body);
        assert!(why.contains("ends"), "{key:?} v{version}: {why}");
    }
}

#[test]
fn null_stands_only_where_the_protocol_has_it() {
    // Metadata's topics may be null, but in version 0; DescribeGroups' groups never.
    assert_eq!(check(ApiKey::Metadata, 1, &[0xff; 4]), Ok(4));
    let why = refused(ApiKey::DescribeGroups, 0, &[0xff; 4]);
    assert!(why.contains("null"), "{why}");
    let why = refused(ApiKey::DescribeGroups, 0, &[0xff, 0xff, 0xff, 0xfe]);
    assert!(why.contains("a length of -2"), "{why}");
    // A key that is null.
    let why = refused(ApiKey::FindCoordinator, 0, &[0xff, 0xff]);
    assert!(why.contains("null"), "{why}");
}

/// DescribeCluster v0: one flag, then the tags.
#[test]
fn tags_are_sorted_single_and_as_long_as_they_say() {
    let good: [&[u8]; 4] = [
        &[1, 0],
        &[1, 1, 5, 2, b'a', b'b'],
        &[1, 2, 5, 0, 9, 1, b'a'],
        &[1, 1, 0xff, 0xff, 0xff, 0xff, 0x0f, 0],
    ];
    for body in good {
        assert_eq!(check(ApiKey::DescribeCluster, 0, body), Ok(body.len()));
    }
    let bad: [(&[u8], &str); 5] = [
        (&[1, 2, 5, 0, 5, 0], "not above"),
        (&[1, 2, 5, 0, 4, 0], "not above"),
        (&[1, 1, 5, 3, b'a', b'b'], "ends"),
        (&[1, 0xff, 0xff, 0xff, 0xff, 0x0f, 1, 0], "ends"),
        (&[1], "ends"),
    ];
    for (body, expected) in bad {
        let why = refused(ApiKey::DescribeCluster, 0, body);
        assert!(why.contains(expected), "{body:02x?}: {why}");
    }
}

/// Fetch v12 with nothing in it but tag 0, the cluster's id.
#[test]
fn a_known_tag_ends_where_it_says() {
    let fetch = |version: i16, tags: &[u8]| {
        let mut body = vec![0; if version >= 15 { 0 } else { 4 }];
        body.extend([0; 12]); // max wait, min bytes, max bytes
        body.extend([0; 9]); // isolation, session, its epoch
        body.extend([1, 1, 1]); // topics, forgotten topics, rack
        body.extend(tags);
        check(ApiKey::Fetch, version, &body).map(|_| ())
    };
    assert_eq!(fetch(12, &[0]), Ok(()));
    assert_eq!(fetch(12, &[1, 0, 3, 3, b'a', b'b']), Ok(()));
    assert_eq!(fetch(12, &[1, 0, 1, 0]), Ok(()), "null");
    for size in [0, 1, 2, 4, 5] {
        let tags = [1, 0, size, 3, b'a', b'b', 0, 0, 0];
        assert!(fetch(12, &tags).is_err(), "size {size}");
    }
    // Tag 1 came with version 15.
    let state = [1, 1, 13, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0];
    assert!(fetch(14, &state).is_err());
    assert_eq!(fetch(15, &state), Ok(()));
}

#[test]
fn varints_have_at_most_32_bits() {
    let keys = |length: &[u8]| {
        let mut body = vec![0];
        body.extend(length);
        body.extend([0; 4]);
        check(ApiKey::FindCoordinator, 4, &body)
    };
    assert_eq!(keys(&[0x01]), Ok(3));
    assert_eq!(
        keys(&[0x81, 0x80, 0x80, 0x80, 0x00]),
        Ok(7),
        "zero groups are allowed"
    );
    for length in [
        &[0x81, 0x80, 0x80, 0x80, 0x10][..],
        &[0x81, 0x80, 0x80, 0x80, 0x80, 0x00],
    ] {
        let why = keys(length).expect_err("too long").to_string();
        assert!(why.contains("32 bits"), "{why}");
    }
}

#[test]
fn bytes_behind_the_body_are_let_be() {
    assert_eq!(check(ApiKey::ApiVersions, 0, b"more"), Ok(0));
    let mut body = Bytes::from_static(&[0xff, 0xff, 0xff, 0xff, 1, 2, 3]);
    let request: MetadataRequest =
        decode(ApiKey::Metadata, 1, &mut body).expect("what Kafka takes");
    assert_eq!(request.topics, None);
}

#[test]
fn unknown_tags_are_few() {
    // DescribeCluster: so many unknown tags of no length, in a body of three bytes each.
    let tagged = |count: u8| {
        let mut body = vec![1, count];
        body.extend((0..count).flat_map(|tag| [tag + 1, 0]));
        check(ApiKey::DescribeCluster, 0, &body)
    };
    assert!(tagged(8).is_ok());
    let why = tagged(20).expect_err("too many").to_string();
    assert!(why.contains("unknown tagged"), "{why}");
}

#[test]
fn elements_are_counted_over_all_arrays() {
    let keys = |count: usize| {
        let mut body = vec![0];
        let mut left = count + 1;
        while left >= 0x80 {
            body.push((left & 0x7f) as u8 | 0x80);
            left >>= 7;
        }
        body.push((left & 0x7f) as u8);
        body.resize(body.len() + count, 1);
        body.push(0);
        check(ApiKey::FindCoordinator, 4, &body).map(|_| ())
    };
    assert_eq!(keys(ELEMENTS_MAX), Ok(()));
    assert!(keys(ELEMENTS_MAX + 1).is_err());
}

#[test]
fn large_legal_requests_pass() {
    use kafka_protocol::messages::fetch_request::{FetchPartition, FetchTopic};
    use kafka_protocol::messages::metadata_request::MetadataRequestTopic;
    let name = |number: usize| StrBytes::from_string(format!("topic-{number}"));
    let topics = (0..10_000)
        .map(|number| MetadataRequestTopic::default().with_name(Some(name(number).into())))
        .collect();
    let request = MetadataRequest::default().with_topics(Some(topics));
    round_trip(ApiKey::Metadata, &request, 0..=13);

    let partition = |index| {
        FetchPartition::default()
            .with_partition(index)
            .with_fetch_offset(7)
    };
    let topic = FetchTopic::default().with_partitions((0..1000).map(partition).collect());
    let request = FetchRequest::default().with_topics(vec![topic]);
    round_trip(ApiKey::Fetch, &request, 4..=17);
}

fn round_trip<R>(key: ApiKey, request: &R, versions: std::ops::RangeInclusive<i16>)
where
    R: Encodable + Decodable + PartialEq + std::fmt::Debug,
{
    for version in versions {
        let mut body = bytes::BytesMut::new();
        request.encode(&mut body, version).expect("legal");
        let decoded: R = decode(key, version, &mut body.freeze()).expect("passes");
        let mut again = bytes::BytesMut::new();
        decoded.encode(&mut again, version).expect("legal");
        let mut body = bytes::BytesMut::new();
        request.encode(&mut body, version).expect("legal");
        assert!(again == body, "{key:?} v{version} changed on the way");
    }
}

#[test]
fn a_produce_request_is_sliced_and_not_copied() {
    use kafka_protocol::messages::produce_request::{PartitionProduceData, TopicProduceData};
    let records = Bytes::from(vec![7; 100_000]);
    let partition = PartitionProduceData::default().with_records(Some(records.clone()));
    let topic = TopicProduceData::default()
        .with_name(StrBytes::from_static_str("t").into())
        .with_partition_data(vec![partition]);
    let request = ProduceRequest::default().with_topic_data(vec![topic]);
    for version in 3..=12 {
        let mut body = bytes::BytesMut::new();
        request.encode(&mut body, version).expect("legal");
        let mut body = body.freeze();
        let place = body.as_ptr_range();
        let decoded: ProduceRequest = decode(ApiKey::Produce, version, &mut body).expect("passes");
        let found = decoded.topic_data[0].partition_data[0].records.as_ref();
        let found = found.expect("not null");
        assert_eq!(found, &records);
        assert!(
            place.contains(&found.as_ptr()),
            "v{version} copied the records"
        );
    }
}

#[test]
fn what_has_no_schema_is_refused() {
    assert!(of(ApiKey::Vote).is_none());
    assert_eq!(check(ApiKey::Vote, 0, &[]), Err(WireError::UnknownApi(52)));
}
