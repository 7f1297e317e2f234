//! Requests that set up or describe the cluster, its topics, configuration and clients.

use crate::ApiKey;

use crate::schema::Kind::{
    Array, Bool, Bytes, Float64, Int8, Int16, Int32, NullArray, NullStr, Str, Uuid,
};
use crate::schema::f;

use super::{Row, list, null_list};

pub(super) const ROWS: &[Row] = &[
    (ApiKey::ApiVersions, &[
        f("client_software_name", Str).since(3),
        f("client_software_version", Str).since(3),
    ]),
    (ApiKey::CreateTopics, &[
        f("topics", list![
            f("name", Str),
            f("num_partitions", Int32),
            f("replication_factor", Int16),
            f("assignments", list![f("partition_index", Int32), f("broker_ids", Array(&Int32))]),
            f("configs", list![f("name", Str), f("value", NullStr)]),
        ]),
        f("timeout_ms", Int32),
        f("validate_only", Bool),
    ]),
    (ApiKey::DeleteTopics, &[
        f("topics", list![
            f("name", NullStr).since(6),
            f("topic_id", Uuid).since(6),
        ]).since(6),
        f("topic_names", Array(&Str)).until(5),
        f("timeout_ms", Int32),
    ]),
    (ApiKey::DescribeConfigs, &[
        f("resources", list![
            f("resource_type", Int8),
            f("resource_name", Str),
            f("configuration_keys", NullArray(&Str)),
        ]),
        f("include_synonyms", Bool),
        f("include_documentation", Bool).since(3),
    ]),
    (ApiKey::AlterConfigs, &[
        f("resources", list![
            f("resource_type", Int8),
            f("resource_name", Str),
            f("configs", list![f("name", Str), f("value", NullStr)]),
        ]),
        f("validate_only", Bool),
    ]),
    (ApiKey::AlterReplicaLogDirs, &[
        f("dirs", list![
            f("path", Str),
            f("topics", list![f("name", Str), f("partitions", Array(&Int32))]),
        ]),
    ]),
    (ApiKey::DescribeLogDirs, &[
        f("topics", null_list![f("topic", Str), f("partitions", Array(&Int32))]),
    ]),
    (ApiKey::CreatePartitions, &[
        f("topics", list![
            f("name", Str),
            f("count", Int32),
            f("assignments", null_list![f("broker_ids", Array(&Int32))]),
        ]),
        f("timeout_ms", Int32),
        f("validate_only", Bool),
    ]),
    (ApiKey::ElectLeaders, &[
        f("election_type", Int8).since(1),
        f("topic_partitions", null_list![f("topic", Str), f("partitions", Array(&Int32))]),
        f("timeout_ms", Int32),
    ]),
    (ApiKey::IncrementalAlterConfigs, &[
        f("resources", list![
            f("resource_type", Int8),
            f("resource_name", Str),
            f("configs", list![
                f("name", Str),
                f("config_operation", Int8),
                f("value", NullStr),
            ]),
        ]),
        f("validate_only", Bool),
    ]),
    (ApiKey::AlterPartitionReassignments, &[
        f("timeout_ms", Int32),
        f("allow_replication_factor_change", Bool).since(1),
        f("topics", list![
            f("name", Str),
            f("partitions", list![f("partition_index", Int32), f("replicas", NullArray(&Int32))]),
        ]),
    ]),
    (ApiKey::ListPartitionReassignments, &[
        f("timeout_ms", Int32),
        f("topics", null_list![f("name", Str), f("partition_indexes", Array(&Int32))]),
    ]),
    (ApiKey::DescribeClientQuotas, &[
        f("components", list![
            f("entity_type", Str),
            f("match_type", Int8),
            f("_match", NullStr),
        ]),
        f("strict", Bool),
    ]),
    (ApiKey::AlterClientQuotas, &[
        f("entries", list![
            f("entity", list![f("entity_type", Str), f("entity_name", NullStr)]),
            f("ops", list![f("key", Str), f("value", Float64), f("remove", Bool)]),
        ]),
        f("validate_only", Bool),
    ]),
    (ApiKey::DescribeQuorum, &[
        f("topics", list![
            f("topic_name", Str),
            f("partitions", list![f("partition_index", Int32)]),
        ]),
    ]),
    (ApiKey::UpdateFeatures, &[
        f("timeout_ms", Int32),
        f("feature_updates", list![
            f("feature", Str),
            f("max_version_level", Int16),
            f("allow_downgrade", Bool).until(0),
            f("upgrade_type", Int8).since(1),
        ]),
        f("validate_only", Bool).since(1),
    ]),
    (ApiKey::DescribeCluster, &[
        f("include_cluster_authorized_operations", Bool),
        f("endpoint_type", Int8).since(1),
        f("include_fenced_brokers", Bool).since(2),
    ]),
    (ApiKey::UnregisterBroker, &[f("broker_id", Int32)]),
    (ApiKey::GetTelemetrySubscriptions, &[f("client_instance_id", Uuid)]),
    (ApiKey::PushTelemetry, &[
        f("client_instance_id", Uuid),
        f("subscription_id", Int32),
        f("terminating", Bool),
        f("compression_type", Int8),
        f("metrics", Bytes),
    ]),
    (ApiKey::ListConfigResources, &[f("resource_types", Array(&Int8)).since(1)]),
];
