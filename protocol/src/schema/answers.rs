//! Whether an answer is what a client expects: for tests and fuzzing.

use std::fmt::Debug;

use crate::ApiKey;
use crate::messages::{
    AddOffsetsToTxnResponse, AddPartitionsToTxnResponse, AlterClientQuotasResponse,
    AlterConfigsResponse, AlterPartitionReassignmentsResponse, AlterReplicaLogDirsResponse,
    AlterShareGroupOffsetsResponse, AlterUserScramCredentialsResponse, ApiVersionsResponse,
    ConsumerGroupDescribeResponse, ConsumerGroupHeartbeatResponse, CreateAclsResponse,
    CreateDelegationTokenResponse, CreatePartitionsResponse, CreateTopicsResponse,
    DeleteAclsResponse, DeleteGroupsResponse, DeleteRecordsResponse,
    DeleteShareGroupOffsetsResponse, DeleteTopicsResponse, DescribeAclsResponse,
    DescribeClientQuotasResponse, DescribeClusterResponse, DescribeConfigsResponse,
    DescribeDelegationTokenResponse, DescribeGroupsResponse, DescribeLogDirsResponse,
    DescribeProducersResponse, DescribeQuorumResponse, DescribeShareGroupOffsetsResponse,
    DescribeTopicPartitionsResponse, DescribeTransactionsResponse,
    DescribeUserScramCredentialsResponse, ElectLeadersResponse, EndTxnResponse,
    ExpireDelegationTokenResponse, FetchResponse, FindCoordinatorResponse,
    GetTelemetrySubscriptionsResponse, HeartbeatResponse, IncrementalAlterConfigsResponse,
    InitProducerIdResponse, JoinGroupResponse, LeaveGroupResponse, ListConfigResourcesResponse,
    ListGroupsResponse, ListOffsetsResponse, ListPartitionReassignmentsResponse,
    ListTransactionsResponse, MetadataResponse, OffsetCommitResponse, OffsetDeleteResponse,
    OffsetFetchResponse, OffsetForLeaderEpochResponse, ProduceResponse, PushTelemetryResponse,
    QueueAdminResponse, RenewDelegationTokenResponse, SaslAuthenticateResponse,
    SaslHandshakeResponse, ShareAcknowledgeResponse, ShareFetchResponse,
    ShareGroupDescribeResponse, ShareGroupHeartbeatResponse, SyncGroupResponse,
    TxnOffsetCommitResponse, UnregisterBrokerResponse, UpdateFeaturesResponse,
    WriteTxnMarkersResponse,
};
use bytes::{Buf, Bytes};
use kafka_protocol::protocol::Decodable;

/// Decode an answer, given without its length, as a client would.
///
/// # Errors
/// What is wrong with it: another correlation id, a header of the wrong version, a body that does
/// not decode, or bytes behind it.
pub fn check_answer(
    key: ApiKey,
    version: i16,
    correlation_id: i32,
    answer: Bytes,
) -> Result<(), String> {
    read_answer(key, version, correlation_id, answer).map(drop)
}

/// What an answer says, given without its length: a message that shows itself.
///
/// # Errors
/// As [`check_answer`].
pub fn read_answer(
    key: ApiKey,
    version: i16,
    correlation_id: i32,
    mut answer: Bytes,
) -> Result<Box<dyn Debug + Send>, String> {
    let found = answer.try_get_i32().map_err(|error| error.to_string())?;
    if found != correlation_id {
        return Err(format!("correlation id {found} and not {correlation_id}"));
    }
    if key.response_header_version(version) >= 1
        && answer.try_get_u8().map_err(|error| error.to_string())? != 0
    {
        return Err("tags in the header".into());
    }
    let message = decode(key, version, &mut answer)?;
    match answer.len() {
        0 => Ok(message),
        left => Err(format!("{left} bytes behind the answer")),
    }
}

fn body<R: Decodable + Debug + Send + 'static>(
    answer: &mut Bytes,
    version: i16,
) -> Result<Box<dyn Debug + Send>, String> {
    match R::decode(answer, version) {
        Ok(message) => Ok(Box::new(message)),
        Err(error) => Err(error.to_string()),
    }
}

macro_rules! decoders {
    ($($api:ident $response:ident,)*) => {
        fn decode(
            key: ApiKey,
            version: i16,
            answer: &mut Bytes,
        ) -> Result<Box<dyn Debug + Send>, String> {
            match key {
                $(ApiKey::$api => body::<$response>(answer, version),)*
                other => Err(format!("no answer of {other:?} is known here")),
            }
        }
    };
}

decoders! {
    Produce ProduceResponse,
    Fetch FetchResponse,
    ListOffsets ListOffsetsResponse,
    Metadata MetadataResponse,
    OffsetCommit OffsetCommitResponse,
    OffsetFetch OffsetFetchResponse,
    FindCoordinator FindCoordinatorResponse,
    JoinGroup JoinGroupResponse,
    Heartbeat HeartbeatResponse,
    LeaveGroup LeaveGroupResponse,
    SyncGroup SyncGroupResponse,
    DescribeGroups DescribeGroupsResponse,
    ListGroups ListGroupsResponse,
    SaslHandshake SaslHandshakeResponse,
    ApiVersions ApiVersionsResponse,
    CreateTopics CreateTopicsResponse,
    DeleteTopics DeleteTopicsResponse,
    DeleteRecords DeleteRecordsResponse,
    InitProducerId InitProducerIdResponse,
    OffsetForLeaderEpoch OffsetForLeaderEpochResponse,
    AddPartitionsToTxn AddPartitionsToTxnResponse,
    AddOffsetsToTxn AddOffsetsToTxnResponse,
    EndTxn EndTxnResponse,
    WriteTxnMarkers WriteTxnMarkersResponse,
    TxnOffsetCommit TxnOffsetCommitResponse,
    DescribeAcls DescribeAclsResponse,
    CreateAcls CreateAclsResponse,
    DeleteAcls DeleteAclsResponse,
    DescribeConfigs DescribeConfigsResponse,
    AlterConfigs AlterConfigsResponse,
    AlterReplicaLogDirs AlterReplicaLogDirsResponse,
    DescribeLogDirs DescribeLogDirsResponse,
    SaslAuthenticate SaslAuthenticateResponse,
    CreatePartitions CreatePartitionsResponse,
    CreateDelegationToken CreateDelegationTokenResponse,
    RenewDelegationToken RenewDelegationTokenResponse,
    ExpireDelegationToken ExpireDelegationTokenResponse,
    DescribeDelegationToken DescribeDelegationTokenResponse,
    DeleteGroups DeleteGroupsResponse,
    ElectLeaders ElectLeadersResponse,
    IncrementalAlterConfigs IncrementalAlterConfigsResponse,
    AlterPartitionReassignments AlterPartitionReassignmentsResponse,
    ListPartitionReassignments ListPartitionReassignmentsResponse,
    OffsetDelete OffsetDeleteResponse,
    DescribeClientQuotas DescribeClientQuotasResponse,
    AlterClientQuotas AlterClientQuotasResponse,
    DescribeUserScramCredentials DescribeUserScramCredentialsResponse,
    AlterUserScramCredentials AlterUserScramCredentialsResponse,
    DescribeQuorum DescribeQuorumResponse,
    UpdateFeatures UpdateFeaturesResponse,
    DescribeCluster DescribeClusterResponse,
    DescribeProducers DescribeProducersResponse,
    UnregisterBroker UnregisterBrokerResponse,
    DescribeTransactions DescribeTransactionsResponse,
    ListTransactions ListTransactionsResponse,
    ConsumerGroupHeartbeat ConsumerGroupHeartbeatResponse,
    ConsumerGroupDescribe ConsumerGroupDescribeResponse,
    GetTelemetrySubscriptions GetTelemetrySubscriptionsResponse,
    PushTelemetry PushTelemetryResponse,
    ListConfigResources ListConfigResourcesResponse,
    DescribeTopicPartitions DescribeTopicPartitionsResponse,
    ShareGroupHeartbeat ShareGroupHeartbeatResponse,
    ShareGroupDescribe ShareGroupDescribeResponse,
    ShareFetch ShareFetchResponse,
    ShareAcknowledge ShareAcknowledgeResponse,
    DescribeShareGroupOffsets DescribeShareGroupOffsetsResponse,
    AlterShareGroupOffsets AlterShareGroupOffsetsResponse,
    DeleteShareGroupOffsets DeleteShareGroupOffsetsResponse,
    QueueAdmin QueueAdminResponse,
}
