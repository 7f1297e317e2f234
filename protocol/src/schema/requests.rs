//! The table of requests: each field, in the order of the wire, with the versions that have it.
//!
//! One constant per API; what it says is held against the codec by a test that decodes requests
//! made from it, at every version. A new API needs its constant here and its line in [`ROWS`].

use kafka_protocol::messages::ApiKey;

use super::Kind::{
    Array, Bool, Bytes, Float64, Int8, Int16, Int32, Int64, NullArray, NullBytes, NullStr,
    NullStruct, Str, Struct, Uuid,
};
use super::{Field, f};

/// The fields of a request, if they are known here.
#[must_use]
pub const fn of(key: ApiKey) -> Option<&'static [Field]> {
    BY_KEY[key as usize]
}

type Row = (ApiKey, &'static [Field]);

/// One past the largest key.
const KEYS: usize = 128;
const BY_KEY: [Option<&'static [Field]>; KEYS] = by_key(ROWS);

const fn by_key(rows: &[Row]) -> [Option<&'static [Field]>; KEYS] {
    let mut by_key = [None; KEYS];
    let mut place = 0;
    while place < rows.len() {
        let (key, fields) = rows[place];
        by_key[key as usize] = Some(fields);
        place += 1;
    }
    by_key
}

const ROWS: &[Row] = &[
    (ApiKey::Produce, PRODUCE),
    (ApiKey::Fetch, FETCH),
    (ApiKey::ListOffsets, LIST_OFFSETS),
    (ApiKey::Metadata, METADATA),
    (ApiKey::OffsetCommit, OFFSET_COMMIT),
    (ApiKey::OffsetFetch, OFFSET_FETCH),
    (ApiKey::FindCoordinator, FIND_COORDINATOR),
    (ApiKey::JoinGroup, JOIN_GROUP),
    (ApiKey::Heartbeat, HEARTBEAT),
    (ApiKey::LeaveGroup, LEAVE_GROUP),
    (ApiKey::SyncGroup, SYNC_GROUP),
    (ApiKey::DescribeGroups, DESCRIBE_GROUPS),
    (ApiKey::ListGroups, LIST_GROUPS),
    (ApiKey::SaslHandshake, SASL_HANDSHAKE),
    (ApiKey::ApiVersions, API_VERSIONS),
    (ApiKey::CreateTopics, CREATE_TOPICS),
    (ApiKey::DeleteTopics, DELETE_TOPICS),
    (ApiKey::DeleteRecords, DELETE_RECORDS),
    (ApiKey::InitProducerId, INIT_PRODUCER_ID),
    (ApiKey::OffsetForLeaderEpoch, OFFSET_FOR_LEADER_EPOCH),
    (ApiKey::AddPartitionsToTxn, ADD_PARTITIONS_TO_TXN),
    (ApiKey::AddOffsetsToTxn, ADD_OFFSETS_TO_TXN),
    (ApiKey::EndTxn, END_TXN),
    (ApiKey::WriteTxnMarkers, WRITE_TXN_MARKERS),
    (ApiKey::TxnOffsetCommit, TXN_OFFSET_COMMIT),
    (ApiKey::DescribeAcls, DESCRIBE_ACLS),
    (ApiKey::CreateAcls, CREATE_ACLS),
    (ApiKey::DeleteAcls, DELETE_ACLS),
    (ApiKey::DescribeConfigs, DESCRIBE_CONFIGS),
    (ApiKey::AlterConfigs, ALTER_CONFIGS),
    (ApiKey::AlterReplicaLogDirs, ALTER_REPLICA_LOG_DIRS),
    (ApiKey::DescribeLogDirs, DESCRIBE_LOG_DIRS),
    (ApiKey::SaslAuthenticate, SASL_AUTHENTICATE),
    (ApiKey::CreatePartitions, CREATE_PARTITIONS),
    (ApiKey::CreateDelegationToken, CREATE_DELEGATION_TOKEN),
    (ApiKey::RenewDelegationToken, RENEW_DELEGATION_TOKEN),
    (ApiKey::ExpireDelegationToken, EXPIRE_DELEGATION_TOKEN),
    (ApiKey::DescribeDelegationToken, DESCRIBE_DELEGATION_TOKEN),
    (ApiKey::DeleteGroups, DELETE_GROUPS),
    (ApiKey::ElectLeaders, ELECT_LEADERS),
    (ApiKey::IncrementalAlterConfigs, INCREMENTAL_ALTER_CONFIGS),
    (ApiKey::AlterPartitionReassignments, ALTER_PARTITION_REASSIGNMENTS),
    (ApiKey::ListPartitionReassignments, LIST_PARTITION_REASSIGNMENTS),
    (ApiKey::OffsetDelete, OFFSET_DELETE),
    (ApiKey::DescribeClientQuotas, DESCRIBE_CLIENT_QUOTAS),
    (ApiKey::AlterClientQuotas, ALTER_CLIENT_QUOTAS),
    (ApiKey::DescribeUserScramCredentials, DESCRIBE_USER_SCRAM_CREDENTIALS),
    (ApiKey::AlterUserScramCredentials, ALTER_USER_SCRAM_CREDENTIALS),
    (ApiKey::DescribeQuorum, DESCRIBE_QUORUM),
    (ApiKey::UpdateFeatures, UPDATE_FEATURES),
    (ApiKey::DescribeCluster, DESCRIBE_CLUSTER),
    (ApiKey::DescribeProducers, DESCRIBE_PRODUCERS),
    (ApiKey::UnregisterBroker, UNREGISTER_BROKER),
    (ApiKey::DescribeTransactions, DESCRIBE_TRANSACTIONS),
    (ApiKey::ListTransactions, LIST_TRANSACTIONS),
    (ApiKey::ConsumerGroupHeartbeat, CONSUMER_GROUP_HEARTBEAT),
    (ApiKey::ConsumerGroupDescribe, CONSUMER_GROUP_DESCRIBE),
    (ApiKey::GetTelemetrySubscriptions, GET_TELEMETRY_SUBSCRIPTIONS),
    (ApiKey::PushTelemetry, PUSH_TELEMETRY),
    (ApiKey::ListConfigResources, LIST_CONFIG_RESOURCES),
    (ApiKey::DescribeTopicPartitions, DESCRIBE_TOPIC_PARTITIONS),
    (ApiKey::ShareGroupHeartbeat, SHARE_GROUP_HEARTBEAT),
    (ApiKey::ShareGroupDescribe, SHARE_GROUP_DESCRIBE),
    (ApiKey::ShareFetch, SHARE_FETCH),
    (ApiKey::ShareAcknowledge, SHARE_ACKNOWLEDGE),
    (ApiKey::DescribeShareGroupOffsets, DESCRIBE_SHARE_GROUP_OFFSETS),
    (ApiKey::AlterShareGroupOffsets, ALTER_SHARE_GROUP_OFFSETS),
    (ApiKey::DeleteShareGroupOffsets, DELETE_SHARE_GROUP_OFFSETS),
];

const PRODUCE: &[Field] = &[
    f("transactional_id", NullStr),
    f("acks", Int16),
    f("timeout_ms", Int32),
    f("topic_data", Array(&Struct(&[
        f("name", Str).until(12),
        f("topic_id", Uuid).since(13),
        f("partition_data", Array(&Struct(&[f("index", Int32), f("records", NullBytes)]))),
    ]))),
];

const FETCH: &[Field] = &[
    f("replica_id", Int32).until(14),
    f("max_wait_ms", Int32),
    f("min_bytes", Int32),
    f("max_bytes", Int32),
    f("isolation_level", Int8),
    f("session_id", Int32).since(7),
    f("session_epoch", Int32).since(7),
    f("topics", Array(&Struct(&[
        f("topic", Str).until(12),
        f("topic_id", Uuid).since(13),
        f("partitions", Array(&Struct(&[
            f("partition", Int32),
            f("current_leader_epoch", Int32).since(9),
            f("fetch_offset", Int64),
            f("last_fetched_epoch", Int32).since(12),
            f("log_start_offset", Int64).since(5),
            f("partition_max_bytes", Int32),
            f("replica_directory_id", Uuid).tag(0).since(17),
            f("high_watermark", Int64).tag(1).since(18),
        ]))),
    ]))),
    f("forgotten_topics_data", Array(&Struct(&[
        f("topic", Str).since(7).until(12),
        f("topic_id", Uuid).since(13),
        f("partitions", Array(&Int32)).since(7),
    ]))).since(7),
    f("rack_id", Str).since(11),
    f("cluster_id", NullStr).tag(0),
    f("replica_state", Struct(&[
        f("replica_id", Int32).since(15),
        f("replica_epoch", Int64).since(15),
    ])).tag(1).since(15),
];

const LIST_OFFSETS: &[Field] = &[
    f("replica_id", Int32),
    f("isolation_level", Int8).since(2),
    f("topics", Array(&Struct(&[
        f("name", Str),
        f("partitions", Array(&Struct(&[
            f("partition_index", Int32),
            f("current_leader_epoch", Int32).since(4),
            f("timestamp", Int64),
        ]))),
    ]))),
    f("timeout_ms", Int32).since(10),
];

const METADATA: &[Field] = &[
    f("topics", NullArray(&Struct(&[f("topic_id", Uuid).since(10), f("name", NullStr)]))),
    f("allow_auto_topic_creation", Bool).since(4),
    f("include_cluster_authorized_operations", Bool).since(8).until(10),
    f("include_topic_authorized_operations", Bool).since(8),
];

const OFFSET_COMMIT: &[Field] = &[
    f("group_id", Str),
    f("generation_id_or_member_epoch", Int32),
    f("member_id", Str),
    f("group_instance_id", NullStr).since(7),
    f("retention_time_ms", Int64).until(4),
    f("topics", Array(&Struct(&[
        f("name", Str),
        f("partitions", Array(&Struct(&[
            f("partition_index", Int32),
            f("committed_offset", Int64),
            f("committed_leader_epoch", Int32).since(6),
            f("committed_metadata", NullStr),
        ]))),
    ]))),
];

const OFFSET_FETCH: &[Field] = &[
    f("group_id", Str).until(7),
    f("topics", NullArray(&Struct(&[
        f("name", Str).until(7),
        f("partition_indexes", Array(&Int32)).until(7),
    ]))).until(7),
    f("groups", Array(&Struct(&[
        f("group_id", Str).since(8),
        f("member_id", NullStr).since(9),
        f("member_epoch", Int32).since(9),
        f("topics", NullArray(&Struct(&[
            f("name", Str).since(8),
            f("partition_indexes", Array(&Int32)).since(8),
        ]))).since(8),
    ]))).since(8),
    f("require_stable", Bool).since(7),
];

const FIND_COORDINATOR: &[Field] = &[
    f("key", Str).until(3),
    f("key_type", Int8).since(1),
    f("coordinator_keys", Array(&Str)).since(4),
];

const JOIN_GROUP: &[Field] = &[
    f("group_id", Str),
    f("session_timeout_ms", Int32),
    f("rebalance_timeout_ms", Int32).since(1),
    f("member_id", Str),
    f("group_instance_id", NullStr).since(5),
    f("protocol_type", Str),
    f("protocols", Array(&Struct(&[f("name", Str), f("metadata", Bytes)]))),
    f("reason", NullStr).since(8),
];

const HEARTBEAT: &[Field] = &[
    f("group_id", Str),
    f("generation_id", Int32),
    f("member_id", Str),
    f("group_instance_id", NullStr).since(3),
];

const LEAVE_GROUP: &[Field] = &[
    f("group_id", Str),
    f("member_id", Str).until(2),
    f("members", Array(&Struct(&[
        f("member_id", Str).since(3),
        f("group_instance_id", NullStr).since(3),
        f("reason", NullStr).since(5),
    ]))).since(3),
];

const SYNC_GROUP: &[Field] = &[
    f("group_id", Str),
    f("generation_id", Int32),
    f("member_id", Str),
    f("group_instance_id", NullStr).since(3),
    f("protocol_type", NullStr).since(5),
    f("protocol_name", NullStr).since(5),
    f("assignments", Array(&Struct(&[f("member_id", Str), f("assignment", Bytes)]))),
];

const DESCRIBE_GROUPS: &[Field] = &[
    f("groups", Array(&Str)),
    f("include_authorized_operations", Bool).since(3),
];

const LIST_GROUPS: &[Field] = &[
    f("states_filter", Array(&Str)).since(4),
    f("types_filter", Array(&Str)).since(5),
];

const SASL_HANDSHAKE: &[Field] = &[f("mechanism", Str)];

const API_VERSIONS: &[Field] = &[
    f("client_software_name", Str).since(3),
    f("client_software_version", Str).since(3),
];

const CREATE_TOPICS: &[Field] = &[
    f("topics", Array(&Struct(&[
        f("name", Str),
        f("num_partitions", Int32),
        f("replication_factor", Int16),
        f("assignments", Array(&Struct(&[
            f("partition_index", Int32),
            f("broker_ids", Array(&Int32)),
        ]))),
        f("configs", Array(&Struct(&[f("name", Str), f("value", NullStr)]))),
    ]))),
    f("timeout_ms", Int32),
    f("validate_only", Bool),
];

const DELETE_TOPICS: &[Field] = &[
    f("topics", Array(&Struct(&[
        f("name", NullStr).since(6),
        f("topic_id", Uuid).since(6),
    ]))).since(6),
    f("topic_names", Array(&Str)).until(5),
    f("timeout_ms", Int32),
];

const DELETE_RECORDS: &[Field] = &[
    f("topics", Array(&Struct(&[
        f("name", Str),
        f("partitions", Array(&Struct(&[f("partition_index", Int32), f("offset", Int64)]))),
    ]))),
    f("timeout_ms", Int32),
];

const INIT_PRODUCER_ID: &[Field] = &[
    f("transactional_id", NullStr),
    f("transaction_timeout_ms", Int32),
    f("producer_id", Int64).since(3),
    f("producer_epoch", Int16).since(3),
];

const OFFSET_FOR_LEADER_EPOCH: &[Field] = &[
    f("replica_id", Int32).since(3),
    f("topics", Array(&Struct(&[
        f("topic", Str),
        f("partitions", Array(&Struct(&[
            f("partition", Int32),
            f("current_leader_epoch", Int32),
            f("leader_epoch", Int32),
        ]))),
    ]))),
];

const ADD_PARTITIONS_TO_TXN: &[Field] = &[
    f("transactions", Array(&Struct(&[
        f("transactional_id", Str).since(4),
        f("producer_id", Int64).since(4),
        f("producer_epoch", Int16).since(4),
        f("verify_only", Bool).since(4),
        f("topics", Array(&Struct(&[f("name", Str), f("partitions", Array(&Int32))]))).since(4),
    ]))).since(4),
    f("v3_and_below_transactional_id", Str).until(3),
    f("v3_and_below_producer_id", Int64).until(3),
    f("v3_and_below_producer_epoch", Int16).until(3),
    f("v3_and_below_topics", Array(&Struct(&[
        f("name", Str),
        f("partitions", Array(&Int32)),
    ]))).until(3),
];

const ADD_OFFSETS_TO_TXN: &[Field] = &[
    f("transactional_id", Str),
    f("producer_id", Int64),
    f("producer_epoch", Int16),
    f("group_id", Str),
];

const END_TXN: &[Field] = &[
    f("transactional_id", Str),
    f("producer_id", Int64),
    f("producer_epoch", Int16),
    f("committed", Bool),
];

const WRITE_TXN_MARKERS: &[Field] = &[
    f("markers", Array(&Struct(&[
        f("producer_id", Int64),
        f("producer_epoch", Int16),
        f("transaction_result", Bool),
        f("topics", Array(&Struct(&[f("name", Str), f("partition_indexes", Array(&Int32))]))),
        f("coordinator_epoch", Int32),
    ]))),
];

const TXN_OFFSET_COMMIT: &[Field] = &[
    f("transactional_id", Str),
    f("group_id", Str),
    f("producer_id", Int64),
    f("producer_epoch", Int16),
    f("generation_id", Int32).since(3),
    f("member_id", Str).since(3),
    f("group_instance_id", NullStr).since(3),
    f("topics", Array(&Struct(&[
        f("name", Str),
        f("partitions", Array(&Struct(&[
            f("partition_index", Int32),
            f("committed_offset", Int64),
            f("committed_leader_epoch", Int32).since(2),
            f("committed_metadata", NullStr),
        ]))),
    ]))),
];

const DESCRIBE_ACLS: &[Field] = &[
    f("resource_type_filter", Int8),
    f("resource_name_filter", NullStr),
    f("pattern_type_filter", Int8),
    f("principal_filter", NullStr),
    f("host_filter", NullStr),
    f("operation", Int8),
    f("permission_type", Int8),
];

const CREATE_ACLS: &[Field] = &[
    f("creations", Array(&Struct(&[
        f("resource_type", Int8),
        f("resource_name", Str),
        f("resource_pattern_type", Int8),
        f("principal", Str),
        f("host", Str),
        f("operation", Int8),
        f("permission_type", Int8),
    ]))),
];

const DELETE_ACLS: &[Field] = &[
    f("filters", Array(&Struct(&[
        f("resource_type_filter", Int8),
        f("resource_name_filter", NullStr),
        f("pattern_type_filter", Int8),
        f("principal_filter", NullStr),
        f("host_filter", NullStr),
        f("operation", Int8),
        f("permission_type", Int8),
    ]))),
];

const DESCRIBE_CONFIGS: &[Field] = &[
    f("resources", Array(&Struct(&[
        f("resource_type", Int8),
        f("resource_name", Str),
        f("configuration_keys", NullArray(&Str)),
    ]))),
    f("include_synonyms", Bool),
    f("include_documentation", Bool).since(3),
];

const ALTER_CONFIGS: &[Field] = &[
    f("resources", Array(&Struct(&[
        f("resource_type", Int8),
        f("resource_name", Str),
        f("configs", Array(&Struct(&[f("name", Str), f("value", NullStr)]))),
    ]))),
    f("validate_only", Bool),
];

const ALTER_REPLICA_LOG_DIRS: &[Field] = &[
    f("dirs", Array(&Struct(&[
        f("path", Str),
        f("topics", Array(&Struct(&[f("name", Str), f("partitions", Array(&Int32))]))),
    ]))),
];

const DESCRIBE_LOG_DIRS: &[Field] = &[
    f("topics", NullArray(&Struct(&[f("topic", Str), f("partitions", Array(&Int32))]))),
];

const SASL_AUTHENTICATE: &[Field] = &[f("auth_bytes", Bytes)];

const CREATE_PARTITIONS: &[Field] = &[
    f("topics", Array(&Struct(&[
        f("name", Str),
        f("count", Int32),
        f("assignments", NullArray(&Struct(&[f("broker_ids", Array(&Int32))]))),
    ]))),
    f("timeout_ms", Int32),
    f("validate_only", Bool),
];

const CREATE_DELEGATION_TOKEN: &[Field] = &[
    f("owner_principal_type", NullStr).since(3),
    f("owner_principal_name", NullStr).since(3),
    f("renewers", Array(&Struct(&[f("principal_type", Str), f("principal_name", Str)]))),
    f("max_lifetime_ms", Int64),
];

const RENEW_DELEGATION_TOKEN: &[Field] = &[f("hmac", Bytes), f("renew_period_ms", Int64)];

const EXPIRE_DELEGATION_TOKEN: &[Field] = &[f("hmac", Bytes), f("expiry_time_period_ms", Int64)];

const DESCRIBE_DELEGATION_TOKEN: &[Field] = &[
    f("owners", NullArray(&Struct(&[f("principal_type", Str), f("principal_name", Str)]))),
];

const DELETE_GROUPS: &[Field] = &[f("groups_names", Array(&Str))];

const ELECT_LEADERS: &[Field] = &[
    f("election_type", Int8).since(1),
    f("topic_partitions", NullArray(&Struct(&[f("topic", Str), f("partitions", Array(&Int32))]))),
    f("timeout_ms", Int32),
];

const INCREMENTAL_ALTER_CONFIGS: &[Field] = &[
    f("resources", Array(&Struct(&[
        f("resource_type", Int8),
        f("resource_name", Str),
        f("configs", Array(&Struct(&[
            f("name", Str),
            f("config_operation", Int8),
            f("value", NullStr),
        ]))),
    ]))),
    f("validate_only", Bool),
];

const ALTER_PARTITION_REASSIGNMENTS: &[Field] = &[
    f("timeout_ms", Int32),
    f("allow_replication_factor_change", Bool).since(1),
    f("topics", Array(&Struct(&[
        f("name", Str),
        f("partitions", Array(&Struct(&[
            f("partition_index", Int32),
            f("replicas", NullArray(&Int32)),
        ]))),
    ]))),
];

const LIST_PARTITION_REASSIGNMENTS: &[Field] = &[
    f("timeout_ms", Int32),
    f("topics", NullArray(&Struct(&[f("name", Str), f("partition_indexes", Array(&Int32))]))),
];

const OFFSET_DELETE: &[Field] = &[
    f("group_id", Str),
    f("topics", Array(&Struct(&[
        f("name", Str),
        f("partitions", Array(&Struct(&[f("partition_index", Int32)]))),
    ]))),
];

const DESCRIBE_CLIENT_QUOTAS: &[Field] = &[
    f("components", Array(&Struct(&[
        f("entity_type", Str),
        f("match_type", Int8),
        f("_match", NullStr),
    ]))),
    f("strict", Bool),
];

const ALTER_CLIENT_QUOTAS: &[Field] = &[
    f("entries", Array(&Struct(&[
        f("entity", Array(&Struct(&[f("entity_type", Str), f("entity_name", NullStr)]))),
        f("ops", Array(&Struct(&[f("key", Str), f("value", Float64), f("remove", Bool)]))),
    ]))),
    f("validate_only", Bool),
];

const DESCRIBE_USER_SCRAM_CREDENTIALS: &[Field] = &[
    f("users", NullArray(&Struct(&[f("name", Str)]))),
];

const ALTER_USER_SCRAM_CREDENTIALS: &[Field] = &[
    f("deletions", Array(&Struct(&[f("name", Str), f("mechanism", Int8)]))),
    f("upsertions", Array(&Struct(&[
        f("name", Str),
        f("mechanism", Int8),
        f("iterations", Int32),
        f("salt", Bytes),
        f("salted_password", Bytes),
    ]))),
];

const DESCRIBE_QUORUM: &[Field] = &[
    f("topics", Array(&Struct(&[
        f("topic_name", Str),
        f("partitions", Array(&Struct(&[f("partition_index", Int32)]))),
    ]))),
];

const UPDATE_FEATURES: &[Field] = &[
    f("timeout_ms", Int32),
    f("feature_updates", Array(&Struct(&[
        f("feature", Str),
        f("max_version_level", Int16),
        f("allow_downgrade", Bool).until(0),
        f("upgrade_type", Int8).since(1),
    ]))),
    f("validate_only", Bool).since(1),
];

const DESCRIBE_CLUSTER: &[Field] = &[
    f("include_cluster_authorized_operations", Bool),
    f("endpoint_type", Int8).since(1),
    f("include_fenced_brokers", Bool).since(2),
];

const DESCRIBE_PRODUCERS: &[Field] = &[
    f("topics", Array(&Struct(&[f("name", Str), f("partition_indexes", Array(&Int32))]))),
];

const UNREGISTER_BROKER: &[Field] = &[f("broker_id", Int32)];

const DESCRIBE_TRANSACTIONS: &[Field] = &[f("transactional_ids", Array(&Str))];

const LIST_TRANSACTIONS: &[Field] = &[
    f("state_filters", Array(&Str)),
    f("producer_id_filters", Array(&Int64)),
    f("duration_filter", Int64).since(1),
    f("transactional_id_pattern", NullStr).since(2),
];

const CONSUMER_GROUP_HEARTBEAT: &[Field] = &[
    f("group_id", Str),
    f("member_id", Str),
    f("member_epoch", Int32),
    f("instance_id", NullStr),
    f("rack_id", NullStr),
    f("rebalance_timeout_ms", Int32),
    f("subscribed_topic_names", NullArray(&Str)),
    f("subscribed_topic_regex", NullStr).since(1),
    f("server_assignor", NullStr),
    f("topic_partitions", NullArray(&Struct(&[
        f("topic_id", Uuid),
        f("partitions", Array(&Int32)),
    ]))),
];

const CONSUMER_GROUP_DESCRIBE: &[Field] = &[
    f("group_ids", Array(&Str)),
    f("include_authorized_operations", Bool),
];

const GET_TELEMETRY_SUBSCRIPTIONS: &[Field] = &[f("client_instance_id", Uuid)];

const PUSH_TELEMETRY: &[Field] = &[
    f("client_instance_id", Uuid),
    f("subscription_id", Int32),
    f("terminating", Bool),
    f("compression_type", Int8),
    f("metrics", Bytes),
];

const LIST_CONFIG_RESOURCES: &[Field] = &[f("resource_types", Array(&Int8)).since(1)];

const DESCRIBE_TOPIC_PARTITIONS: &[Field] = &[
    f("topics", Array(&Struct(&[f("name", Str)]))),
    f("response_partition_limit", Int32),
    f("cursor", NullStruct(&[f("topic_name", Str), f("partition_index", Int32)])),
];

const SHARE_GROUP_HEARTBEAT: &[Field] = &[
    f("group_id", Str),
    f("member_id", Str),
    f("member_epoch", Int32),
    f("rack_id", NullStr),
    f("subscribed_topic_names", NullArray(&Str)),
];

const SHARE_GROUP_DESCRIBE: &[Field] = &[
    f("group_ids", Array(&Str)),
    f("include_authorized_operations", Bool),
];

const SHARE_FETCH: &[Field] = &[
    f("group_id", NullStr),
    f("member_id", NullStr),
    f("share_session_epoch", Int32),
    f("max_wait_ms", Int32),
    f("min_bytes", Int32),
    f("max_bytes", Int32),
    f("max_records", Int32),
    f("batch_size", Int32),
    f("topics", Array(&Struct(&[
        f("topic_id", Uuid),
        f("partitions", Array(&Struct(&[
            f("partition_index", Int32),
            f("acknowledgement_batches", Array(&Struct(&[
                f("first_offset", Int64),
                f("last_offset", Int64),
                f("acknowledge_types", Array(&Int8)),
            ]))),
        ]))),
    ]))),
    f("forgotten_topics_data", Array(&Struct(&[
        f("topic_id", Uuid),
        f("partitions", Array(&Int32)),
    ]))),
];

const SHARE_ACKNOWLEDGE: &[Field] = &[
    f("group_id", NullStr),
    f("member_id", NullStr),
    f("share_session_epoch", Int32),
    f("topics", Array(&Struct(&[
        f("topic_id", Uuid),
        f("partitions", Array(&Struct(&[
            f("partition_index", Int32),
            f("acknowledgement_batches", Array(&Struct(&[
                f("first_offset", Int64),
                f("last_offset", Int64),
                f("acknowledge_types", Array(&Int8)),
            ]))),
        ]))),
    ]))),
];

const DESCRIBE_SHARE_GROUP_OFFSETS: &[Field] = &[
    f("groups", Array(&Struct(&[
        f("group_id", Str),
        f("topics", NullArray(&Struct(&[f("topic_name", Str), f("partitions", Array(&Int32))]))),
    ]))),
];

const ALTER_SHARE_GROUP_OFFSETS: &[Field] = &[
    f("group_id", Str),
    f("topics", Array(&Struct(&[
        f("topic_name", Str),
        f("partitions", Array(&Struct(&[f("partition_index", Int32), f("start_offset", Int64)]))),
    ]))),
];

const DELETE_SHARE_GROUP_OFFSETS: &[Field] = &[
    f("group_id", Str),
    f("topics", Array(&Struct(&[f("topic_name", Str)]))),
];
