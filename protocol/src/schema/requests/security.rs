//! Requests for authentication, ACLs, delegation tokens and SCRAM credentials.

use crate::ApiKey;

use crate::schema::Kind::{Array, Bytes, Int8, Int32, Int64, NullStr, Str, Struct};
use crate::schema::{Field, f};

use super::{Row, list, null_list};

/// Which ACLs are meant (KIP-140).
const ACL_FILTER: &[Field] = &[
    f("resource_type_filter", Int8),
    f("resource_name_filter", NullStr),
    f("pattern_type_filter", Int8),
    f("principal_filter", NullStr),
    f("host_filter", NullStr),
    f("operation", Int8),
    f("permission_type", Int8),
];

pub(super) const ROWS: &[Row] = &[
    (ApiKey::SaslHandshake, &[f("mechanism", Str)]),
    (ApiKey::DescribeAcls, ACL_FILTER),
    (ApiKey::CreateAcls, &[
        f("creations", list![
            f("resource_type", Int8),
            f("resource_name", Str),
            f("resource_pattern_type", Int8),
            f("principal", Str),
            f("host", Str),
            f("operation", Int8),
            f("permission_type", Int8),
        ]),
    ]),
    (ApiKey::DeleteAcls, &[f("filters", Array(&Struct(ACL_FILTER)))]),
    (ApiKey::SaslAuthenticate, &[f("auth_bytes", Bytes)]),
    (ApiKey::CreateDelegationToken, &[
        f("owner_principal_type", NullStr).since(3),
        f("owner_principal_name", NullStr).since(3),
        f("renewers", list![f("principal_type", Str), f("principal_name", Str)]),
        f("max_lifetime_ms", Int64),
    ]),
    (ApiKey::RenewDelegationToken, &[f("hmac", Bytes), f("renew_period_ms", Int64)]),
    (ApiKey::ExpireDelegationToken, &[f("hmac", Bytes), f("expiry_time_period_ms", Int64)]),
    (ApiKey::DescribeDelegationToken, &[
        f("owners", null_list![f("principal_type", Str), f("principal_name", Str)]),
    ]),
    (ApiKey::DescribeUserScramCredentials, &[f("users", null_list![f("name", Str)])]),
    (ApiKey::AlterUserScramCredentials, &[
        f("deletions", list![f("name", Str), f("mechanism", Int8)]),
        f("upsertions", list![
            f("name", Str),
            f("mechanism", Int8),
            f("iterations", Int32),
            f("salt", Bytes),
            f("salted_password", Bytes),
        ]),
    ]),
];
