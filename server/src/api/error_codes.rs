//! Where each answer carries its error codes, so that all of them are counted in one place.

use ratel_protocol::messages as m;

/// An answer whose error codes can be looked at.
pub trait ErrorCodes {
    /// Call `see` with every error code in the answer, 0 (no error) among them.
    fn each_error_code(&self, see: impl FnMut(i16));
}

/// Walks `a.b.error_code`: every `error_code` of every `b` of every `a`.
macro_rules! walk {
    ($from:expr, $see:ident, error_code) => {
        $see($from.error_code)
    };
    ($from:expr, $see:ident, partition_error_code) => {
        $see($from.partition_error_code)
    };
    ($from:expr, $see:ident, acknowledge_error_code) => {
        $see($from.acknowledge_error_code)
    };
    ($from:expr, $see:ident, $list:ident . $($rest:tt)+) => {
        for item in &$from.$list {
            walk!(item, $see, $($rest)+);
        }
    };
}

macro_rules! error_codes {
    ($($answer:ident: $($($step:ident).+),+;)+) => { $(
        impl ErrorCodes for m::$answer {
            fn each_error_code(&self, mut see: impl FnMut(i16)) {
                $(walk!(self, see, $($step).+);)+
            }
        }
    )+ };
}

error_codes! {
    ProduceResponse: responses.partition_responses.error_code;
    ListOffsetsResponse: topics.partitions.error_code;
    MetadataResponse: topics.error_code, topics.partitions.error_code;
    OffsetCommitResponse: topics.partitions.error_code;
    OffsetFetchResponse: error_code, topics.partitions.error_code, groups.error_code,
        groups.topics.partitions.error_code;
    FindCoordinatorResponse: error_code, coordinators.error_code;
    JoinGroupResponse: error_code;
    HeartbeatResponse: error_code;
    LeaveGroupResponse: error_code, members.error_code;
    SyncGroupResponse: error_code;
    DescribeGroupsResponse: groups.error_code;
    ListGroupsResponse: error_code;
    SaslHandshakeResponse: error_code;
    ApiVersionsResponse: error_code;
    CreateTopicsResponse: topics.error_code;
    DeleteTopicsResponse: responses.error_code;
    DeleteRecordsResponse: topics.partitions.error_code;
    InitProducerIdResponse: error_code;
    OffsetForLeaderEpochResponse: topics.partitions.error_code;
    AddPartitionsToTxnResponse: error_code,
        results_by_transaction.topic_results.results_by_partition.partition_error_code,
        results_by_topic_v3_and_below.results_by_partition.partition_error_code;
    AddOffsetsToTxnResponse: error_code;
    EndTxnResponse: error_code;
    WriteTxnMarkersResponse: markers.topics.partitions.error_code;
    DescribeAclsResponse: error_code;
    CreateAclsResponse: results.error_code;
    DeleteAclsResponse: filter_results.error_code;
    DescribeConfigsResponse: results.error_code;
    AlterConfigsResponse: responses.error_code;
    AlterReplicaLogDirsResponse: results.partitions.error_code;
    DescribeLogDirsResponse: error_code, results.error_code;
    SaslAuthenticateResponse: error_code;
    CreatePartitionsResponse: results.error_code;
    CreateDelegationTokenResponse: error_code;
    RenewDelegationTokenResponse: error_code;
    ExpireDelegationTokenResponse: error_code;
    DescribeDelegationTokenResponse: error_code;
    DeleteGroupsResponse: results.error_code;
    ElectLeadersResponse: error_code, replica_election_results.partition_result.error_code;
    IncrementalAlterConfigsResponse: responses.error_code;
    AlterPartitionReassignmentsResponse: error_code, responses.partitions.error_code;
    ListPartitionReassignmentsResponse: error_code;
    OffsetDeleteResponse: error_code, topics.partitions.error_code;
    DescribeClientQuotasResponse: error_code;
    AlterClientQuotasResponse: entries.error_code;
    DescribeUserScramCredentialsResponse: error_code, results.error_code;
    AlterUserScramCredentialsResponse: results.error_code;
    DescribeQuorumResponse: error_code, topics.partitions.error_code;
    UpdateFeaturesResponse: error_code, results.error_code;
    DescribeClusterResponse: error_code;
    DescribeProducersResponse: topics.partitions.error_code;
    UnregisterBrokerResponse: error_code;
    DescribeTransactionsResponse: transaction_states.error_code;
    TxnOffsetCommitResponse: topics.partitions.error_code;
    ListTransactionsResponse: error_code;
    ConsumerGroupHeartbeatResponse: error_code;
    ConsumerGroupDescribeResponse: groups.error_code;
    ListConfigResourcesResponse: error_code;
    DescribeTopicPartitionsResponse: topics.error_code, topics.partitions.error_code;
    ShareGroupHeartbeatResponse: error_code;
    ShareGroupDescribeResponse: groups.error_code;
    ShareFetchResponse: error_code, responses.partitions.error_code,
        responses.partitions.acknowledge_error_code;
    ShareAcknowledgeResponse: error_code, responses.partitions.error_code;
    DescribeShareGroupOffsetsResponse: groups.error_code, groups.topics.partitions.error_code;
    AlterShareGroupOffsetsResponse: error_code, responses.partitions.error_code;
    DeleteShareGroupOffsetsResponse: error_code, responses.error_code;
    QueueAdminResponse: error_code, purged.error_code;
}

#[cfg(test)]
mod tests {
    use super::{ErrorCodes, m};
    use m::produce_response::{PartitionProduceResponse, TopicProduceResponse};

    #[test]
    fn codes_at_every_depth_are_seen() {
        let partition = |code| PartitionProduceResponse::default().with_error_code(code);
        let topic = |codes: &[i16]| {
            let partitions = codes.iter().map(|code| partition(*code)).collect();
            TopicProduceResponse::default().with_partition_responses(partitions)
        };
        let produced = m::ProduceResponse::default().with_responses(vec![
            topic(&[0, 3]),
            topic(&[]),
            topic(&[87]),
        ]);
        let mut seen = Vec::new();
        produced.each_error_code(|code| seen.push(code));
        assert_eq!(seen, [0, 3, 87]);

        let fetched = m::OffsetFetchResponse::default().with_error_code(15);
        let mut seen = Vec::new();
        fetched.each_error_code(|code| seen.push(code));
        assert_eq!(seen, [15]);
    }
}
