//! What may be asked, and with which values. A value that stands there twice comes twice as often.

use ratel_protocol::ApiKey;

/// The APIs that are asked.
pub const APIS: &[ApiKey] = &[
    ApiKey::Produce, ApiKey::Fetch, ApiKey::ListOffsets, ApiKey::Metadata, ApiKey::OffsetCommit,
    ApiKey::OffsetFetch, ApiKey::FindCoordinator, ApiKey::JoinGroup, ApiKey::Heartbeat,
    ApiKey::LeaveGroup, ApiKey::SyncGroup, ApiKey::DescribeGroups, ApiKey::ListGroups,
    ApiKey::CreateTopics, ApiKey::DeleteTopics, ApiKey::DeleteRecords, ApiKey::InitProducerId,
    ApiKey::OffsetForLeaderEpoch, ApiKey::AddPartitionsToTxn, ApiKey::AddOffsetsToTxn,
    ApiKey::EndTxn, ApiKey::TxnOffsetCommit, ApiKey::DescribeAcls, ApiKey::DescribeConfigs,
    ApiKey::AlterConfigs, ApiKey::DescribeLogDirs, ApiKey::CreatePartitions, ApiKey::DeleteGroups,
    ApiKey::ElectLeaders, ApiKey::IncrementalAlterConfigs, ApiKey::AlterPartitionReassignments,
    ApiKey::ListPartitionReassignments, ApiKey::OffsetDelete, ApiKey::DescribeClientQuotas,
    ApiKey::AlterClientQuotas, ApiKey::DescribeUserScramCredentials, ApiKey::DescribeCluster,
    ApiKey::DescribeProducers, ApiKey::DescribeTransactions, ApiKey::ListTransactions,
    ApiKey::ConsumerGroupHeartbeat, ApiKey::ConsumerGroupDescribe, ApiKey::ListConfigResources,
    ApiKey::DescribeTopicPartitions, ApiKey::ShareGroupDescribe, ApiKey::DescribeShareGroupOffsets,
];

/// The versions of an API to ask at, if not all: topics are not made on demand, and what only
/// brokers send is left out.
pub fn versions(key: ApiKey) -> (i16, i16) {
    match key {
        ApiKey::Metadata => (4, i16::MAX),
        ApiKey::DeleteTopics => (0, 5),
        ApiKey::AddPartitionsToTxn => (0, 3),
        _ => (0, i16::MAX),
    }
}

/// Whether a field keeps what the protocol takes for nothing.
pub fn is_left_out(key: ApiKey, field: &str) -> bool {
    LEFT_OUT.contains(&field) || (key, field) == (ApiKey::CreateTopics, "configs")
}

const LEFT_OUT: &[&str] = &[
    "timeout_ms", "replica_id", "replica_state", "session_id", "session_epoch",
    "forgotten_topics_data", "retention_time_ms", "last_fetched_epoch", "rack_id",
    "subscribed_topic_regex", "allow_auto_topic_creation", "transactional_id_pattern",
    "allow_replication_factor_change",
];

/// Whether an array may be null: not where that asks for everybody's.
pub fn may_be_null(key: ApiKey, field: &str) -> bool {
    use ApiKey as A;
    let of_all = matches!(key, A::Metadata | A::DescribeLogDirs | A::ElectLeaders
        | A::ListPartitionReassignments | A::DescribeUserScramCredentials);
    !of_all || field == "replicas"
}

/// The values of a field, `~` for the number of the request.
pub fn of(key: ApiKey, field: &str) -> &'static [&'static str] {
    let own = OF_API.iter().find(|(api, name, _)| (*api, *name) == (key, field));
    if let Some((_, _, pool)) = own {
        return pool;
    }
    let found = OF_ALL.iter().find(|(names, _)| names.contains(&field));
    found.map_or(&["0", "1", "-1", "2"], |(_, pool)| pool)
}

type Pool = &'static [&'static str];

const GROUPS: Pool = &["$g", "$g", "$h", "$h", "$c", "$none", "\"\""];
const CONFIGS: Pool = &[
    "retention.ms", "segment.ms", "cleanup.policy", "min.insync.replicas", "max.message.bytes",
    "compression.type", "min.compaction.lag.ms", "nonsense", "consumer.session.timeout.ms",
    "segment.bytes", "unclean.leader.election.enable", "message.timestamp.type",
];

const OF_API: &[(ApiKey, &str, Pool)] = &[
    (ApiKey::Produce, "transactional_id", &["null"]),
    (ApiKey::JoinGroup, "group_id", &["$j~", "$j~", "$j~", "\"\""]),
    (ApiKey::JoinGroup, "member_id", &["\"\"", "\"\"", "\"\"", "x"]),
    (ApiKey::JoinGroup, "name", &["range", "roundrobin", "\"\""]),
    (ApiKey::JoinGroup, "protocol_type", &["consumer", "consumer", "connect", "\"\""]),
    (ApiKey::JoinGroup, "rebalance_timeout_ms", &["30000"]),
    (ApiKey::CreateTopics, "name", &["$n~", "$n~", "$m~", "$t", "\"\"", "a/b"]),
    (ApiKey::DeleteTopics, "topic_names", &["$n1", "$n5", "$u", "$none", "\"\"", "a/b"]),
    (ApiKey::AddPartitionsToTxn, "name", &["$w", "$w", "$w", "$none"]),
    (ApiKey::AddPartitionsToTxn, "partitions", &["0", "0", "0", "9"]),
    (ApiKey::ConsumerGroupHeartbeat, "group_id", &["$c", "$c", "$c", "$none", "\"\"", "$h"]),
    (ApiKey::ConsumerGroupHeartbeat, "member_id", &["c1", "c1", "c2", "x"]),
    (ApiKey::ConsumerGroupHeartbeat, "member_epoch", &["0", "0", "1", "2", "5", "-1", "-2", "-3"]),
    (ApiKey::ConsumerGroupHeartbeat, "topic_id", &["#t", "#u", "#none"]),
    (ApiKey::ConsumerGroupHeartbeat, "rebalance_timeout_ms", &["30000", "30000", "-1", "0"]),
    (ApiKey::OffsetFetch, "member_id", &["null", "null", "\"\"", "%m", "x"]),
    (ApiKey::SyncGroup, "protocol_type", &["consumer", "consumer", "null", "connect"]),
    (ApiKey::SyncGroup, "group_id", &["$h", "$h", "$h", "$none", "\"\"", "$g", "$c"]),
    (ApiKey::DescribeUserScramCredentials, "name", &["$q", "$r", "\"\""]),
    (ApiKey::AlterClientQuotas, "key", &["producer_byte_rate", "consumer_byte_rate",
        "request_percentage", "nonsense"]),
    (ApiKey::AlterClientQuotas, "value", &["1000", "0", "-1", "1.5"]),
    (ApiKey::AlterClientQuotas, "entity_name", &["$q", "$r"]),
    (ApiKey::DescribeClientQuotas, "match_type", &["0", "0", "0", "3"]),
    (ApiKey::FindCoordinator, "key", &["$g", "$x", "\"\""]),
    (ApiKey::DescribeAcls, "operation", &["1", "2", "3", "4"]),
    (ApiKey::ListTransactions, "state_filters", &["Empty", "Ongoing", "nonsense"]),
    (ApiKey::IncrementalAlterConfigs, "name", CONFIGS),
    (ApiKey::AlterConfigs, "name", CONFIGS),
    (ApiKey::TxnOffsetCommit, "group_id", &["$g", "$g", "$none", "$h", "$c", "\"\""]),
];

const OF_ALL: &[(&[&str], Pool)] = &[
    (&["acks"], &["-1", "1", "-1", "1", "2"]),
    (&["isolation_level"], &["0", "1"]),
    (&["topic", "name", "topic_name"], &["$t", "$t", "$t", "$u", "$none", "\"\"", "a/b"]),
    (&["partition", "partitions", "partition_index", "partition_indexes", "index"], &["0", "0",
        "1", "7", "-1"]),
    (&["records"], &[
        "{n=1 key=k}", "{n=3 key=k}", "{n=3 key=k value=null}", "{n=1}", "{key=k crc=bad}", "null",
        "{n=2 key=k pid=8001 epoch=0 seq=0}", "{n=2 key=k pid=8001 epoch=0 seq=2}",
        "{n=1 key=k pid=8001 epoch=1 seq=0}", "{key=k base=5}", "{key=k attributes=32}",
        "{key=k time=now+90000000}", "{key=k n=2 last=5}", "[{key=k} {key=k}]",
    ]),
    (&["fetch_offset", "offset"], &["0", "0", "1", "2", "3", "5", "-1", "-2", "99", "max"]),
    (&["current_leader_epoch"], &["-1", "-1", "0", "1"]),
    (&["leader_epoch"], &["0", "0", "1", "-1"]),
    (&["log_start_offset"], &["-1", "0"]),
    (&["partition_max_bytes", "max_bytes"], &["1000000", "1000000", "1", "100", "0"]),
    (&["min_bytes"], &["0", "1", "100"]),
    (&["max_wait_ms"], &["0", "20"]),
    (&["timestamp"], &["-1", "-2", "-3", "-4", "-5", "-6", "0", "1700000000000",
        "1700000000001", "max"]),
    (&["response_partition_limit"], &["1", "2", "3", "2000"]),
    (&["group_id", "groups", "groups_names", "group_ids"], GROUPS),
    (&["generation_id", "generation_id_or_member_epoch", "member_epoch"], &["-1", "-1", "0",
        "1", "1", "2"]),
    (&["member_id"], &["\"\"", "%m", "%m", "x"]),
    (&["group_instance_id", "instance_id"], &["null", "null", "null", "i"]),
    (&["committed_offset"], &["0", "5", "7", "-1", "max"]),
    (&["committed_leader_epoch"], &["-1", "0", "5"]),
    (&["committed_metadata", "reason"], &["null", "\"\"", "hello"]),
    (&["key_type"], &["0", "0", "1", "2", "3", "-1"]),
    (&["coordinator_keys"], &["$g", "$x", "\"\""]),
    (&["session_timeout_ms"], &["30000", "30000", "5", "max"]),
    (&["protocol_name"], &["range", "range", "null", "other"]),
    (&["metadata", "assignment"], &["m1", "xyz"]),
    (&["states_filter"], &["Stable", "Empty", "empty", "CompletingRebalance", "nonsense"]),
    (&["types_filter"], &["classic", "consumer", "Consumer", "share", "nonsense"]),
    (&["subscribed_topic_names"], &["$t", "$t", "$u", "$none"]),
    (&["server_assignor"], &["null", "null", "uniform", "range", "x"]),
    (&["transactional_id", "transactional_ids", "v3_and_below_transactional_id"], &["$x", "$x",
        "$y", "$none", "\"\""]),
    (&["transaction_timeout_ms"], &["60000", "60000", "0", "-1", "max"]),
    (&["producer_id", "v3_and_below_producer_id"], &["%p", "%p", "%p", "-1", "99999"]),
    (&["producer_epoch", "v3_and_below_producer_epoch"], &["0", "0", "1", "-1"]),
    (&["producer_id_filters"], &["%p", "99999"]),
    (&["duration_filter"], &["-1", "0", "100000000"]),
    (&["config_operation"], &["0", "0", "1", "2", "3"]),
    (&["resource_type"], &["2", "2", "2", "32", "1", "0"]),
    (&["resource_name"], &["$t", "$u", "$g", "$none", "\"\""]),
    (&["configuration_keys"], CONFIGS),
    (&["value"], &["5000", "60000", "-1", "compact", "delete", "true", "x", "\"\"", "null",
        "1048576", "gzip"]),
    (&["num_partitions"], &["1", "2", "-1", "0", "-2"]),
    (&["replication_factor"], &["1", "1", "-1", "2", "0"]),
    (&["count"], &["3", "4", "2", "1", "0", "-1"]),
    (&["broker_ids", "replicas"], &["1", "1", "9"]),
    (&["election_type"], &["0", "1"]),
    (&["entity_type"], &["user", "client-id", "nonsense"]),
    (&["_match"], &["$q", "$r", "null"]),
    (&["endpoint_type"], &["1", "1", "2", "0", "3"]),
    (&["resource_types"], &["2", "16", "32", "8", "1"]),
    (&["resource_type_filter"], &["1", "2", "3"]),
    (&["pattern_type_filter"], &["1", "3", "4"]),
    (&["permission_type"], &["1", "2", "3"]),
    (&["resource_name_filter", "principal_filter", "host_filter"], &["null", "x"]),
];
