//! THE TABLE: one file and one line per API. Dispatch, the version check and ApiVersions all read
//! [`ROUTES`]; what is not in it is not spoken.

mod error_codes;

use std::future::Future;
use std::ops::RangeInclusive;
use std::pin::Pin;
use std::sync::Arc;

use bytes::Bytes;
use ratel_protocol::request::{Preamble, take_client_id};
use ratel_protocol::{ApiKey, Decodable, Encodable, Message, StrBytes, WireError};
use ratel_storage::Slice;

use crate::broker::Broker;
use crate::clock::Timestamp;
use crate::net::Session;

pub use error_codes::ErrorCodes;

/// One API of the protocol.
pub trait Api {
    /// The decoded request.
    type Request: Decodable + Message + Send + 'static;
    /// Which API.
    const KEY: ApiKey;
    /// The versions that are spoken.
    const VERSIONS: RangeInclusive<i16>;
    /// The lowest version that ApiVersions shows. Below `VERSIONS` only where clients look for an
    /// old version that they never send (Produce: KAFKA-18659); such a request is refused like any
    /// other that is not spoken.
    const ADVERTISED_MIN: i16 = *Self::VERSIONS.start();

    /// Handle a request in two stages. The future returned here ends when the request's order is
    /// fixed (appended, or in a mailbox): only then does the connection take its next request.
    /// The [`Later`] it yields brings the answer.
    fn handle(cx: Context, request: Self::Request) -> impl Future<Output = Later> + Send;
}

/// What a handler knows of the request besides its body.
#[derive(Clone)]
pub struct Context {
    /// The handles that a handler may use.
    pub broker: Arc<Broker>,
    /// What the connection remembers.
    pub session: Arc<Session>,
    /// Which API.
    pub key: ApiKey,
    /// Which version of it.
    pub version: i16,
    /// Echoed in the answer.
    pub correlation_id: i32,
    /// The client's own name for itself.
    pub client_id: Option<StrBytes>,
    /// When the request was read.
    pub received: Timestamp,
}

impl Context {
    /// The answer with this body. The errors in it are counted.
    pub fn answer<R: Encodable + ErrorCodes>(&self, body: &R) -> Answer {
        body.each_error_code(|code| self.count_error(code));
        Answer::Body(ratel_protocol::response::encode(
            self.key,
            self.version,
            self.correlation_id,
            body,
        ))
    }

    /// [`Self::answer`], ready now.
    pub fn ready<R: Encodable + ErrorCodes>(&self, body: &R) -> Later {
        Later::Ready(self.answer(body))
    }

    /// Read nothing more of the client for so many milliseconds, which it is told in the answer.
    pub fn mute(&self, throttle_ms: i32) -> i32 {
        if throttle_ms > 0 {
            let now_ms = self.broker.clock.now().monotonic_ms;
            self.session.mute(now_ms, throttle_ms);
        }
        throttle_ms
    }

    /// Count an error code of an answer; 0 is none.
    pub fn count_error(&self, code: i16) {
        if code != 0 {
            self.broker.metrics.request_error(self.key, code);
        }
    }
}

/// What goes back to the client.
#[derive(Debug)]
pub enum Answer {
    /// A whole frame.
    Body(Bytes),
    /// A frame in pieces, some of them still in files. The first holds the length of all.
    Pieces(Vec<Slice>),
    /// Nothing at all (Produce with acks=0).
    Nothing,
    /// Close the connection.
    Close,
}

/// An answer that is here, or comes later.
pub enum Later {
    /// Here.
    Ready(Answer),
    /// On its way.
    Wait(Pin<Box<dyn Future<Output = Answer> + Send>>),
}

impl Answer {
    /// The bytes of it that lie in memory.
    #[must_use]
    pub fn memory_bytes(&self) -> usize {
        match self {
            Self::Body(bytes) => bytes.len(),
            Self::Pieces(pieces) => pieces
                .iter()
                .map(|piece| match piece {
                    Slice::Bytes(bytes) => bytes.len(),
                    Slice::File(_) => 0,
                })
                .sum(),
            Self::Nothing | Self::Close => 0,
        }
    }
}

impl Later {
    /// An answer that a future brings.
    pub fn wait(future: impl Future<Output = Answer> + Send + 'static) -> Self {
        Self::Wait(Box::pin(future))
    }
}

/// A request in work: ends when its order is fixed. Fails if the body does not parse, which closes
/// the connection (NET-4).
pub type Handling = Pin<Box<dyn Future<Output = Result<Later, WireError>> + Send>>;

/// One row of the table.
pub struct Route {
    /// Which API.
    pub key: ApiKey,
    /// The lowest version that is spoken.
    pub version_min: i16,
    /// The highest version that is spoken.
    pub version_max: i16,
    /// The lowest version that ApiVersions shows.
    pub advertised_min: i16,
    handle: fn(Context, Bytes) -> Handling,
    check: fn(i16, Bytes) -> Result<(), WireError>,
}

impl Route {
    /// The row of an API. A range that the codec cannot speak does not compile.
    #[must_use]
    pub const fn of<A: Api>() -> Self {
        let (version_min, version_max) = (*A::VERSIONS.start(), *A::VERSIONS.end());
        assert!(version_min >= <A::Request as Message>::VERSIONS.min);
        assert!(version_max <= <A::Request as Message>::VERSIONS.max);
        assert!(A::ADVERTISED_MIN <= version_min);
        assert!(ratel_protocol::schema::of(A::KEY).is_some());
        Self {
            key: A::KEY,
            version_min,
            version_max,
            advertised_min: A::ADVERTISED_MIN,
            handle: Self::call::<A>,
            check: |version, mut body| {
                ratel_protocol::request::decode::<A::Request>(A::KEY, version, &mut body).map(drop)
            },
        }
    }

    fn call<A: Api>(cx: Context, mut body: Bytes) -> Handling {
        Box::pin(async move {
            let request =
                ratel_protocol::request::decode::<A::Request>(A::KEY, cx.version, &mut body)?;
            Ok(A::handle(cx, request).await)
        })
    }

    /// Decode the body and handle it.
    #[must_use]
    pub fn handle(&self, cx: Context, body: Bytes) -> Handling {
        (self.handle)(cx, body)
    }
}

/// Decode a whole frame (without its length) as a connection does, and drop what it says: what
/// tests of hostile input call.
///
/// # Errors
/// Any [`WireError`].
pub fn check(mut frame: Bytes) -> Result<(), WireError> {
    let preamble = Preamble::take(&mut frame)?;
    let route = route(preamble.key, preamble.version)?;
    take_client_id(&mut frame, route.key, preamble.version)?;
    (route.check)(preamble.version, frame)
}

/// The row for a key and version.
///
/// # Errors
/// [`WireError::UnknownApi`] or [`WireError::UnsupportedVersion`].
pub fn route(key: i16, version: i16) -> Result<&'static Route, WireError> {
    let route = ROUTES
        .iter()
        .find(|route| route.key as i16 == key)
        .ok_or(WireError::UnknownApi(key))?;
    if (route.version_min..=route.version_max).contains(&version) {
        Ok(route)
    } else {
        Err(WireError::UnsupportedVersion { key, version })
    }
}

mod add_offsets_to_txn;
mod add_partitions_to_txn;
mod alter_client_quotas;
mod alter_configs;
mod alter_partition_reassignments;
mod alter_replica_log_dirs;
mod alter_share_group_offsets;
mod alter_user_scram_credentials;
mod api_versions;
mod consumer_group_describe;
mod consumer_group_heartbeat;
mod create_acls;
mod create_delegation_token;
mod create_partitions;
mod create_topics;
mod delete_acls;
mod delete_groups;
mod delete_records;
mod delete_share_group_offsets;
mod delete_topics;
mod describe_acls;
mod describe_client_quotas;
mod describe_cluster;
mod describe_configs;
mod describe_delegation_token;
mod describe_groups;
mod describe_log_dirs;
mod describe_producers;
mod describe_quorum;
mod describe_share_group_offsets;
mod describe_topic_partitions;
mod describe_transactions;
mod describe_user_scram_credentials;
mod elect_leaders;
mod end_txn;
mod expire_delegation_token;
mod fetch;
mod find_coordinator;
mod groups;
mod heartbeat;
mod incremental_alter_configs;
mod init_producer_id;
mod join_group;
mod leave_group;
mod list_config_resources;
mod list_groups;
mod list_offsets;
mod list_partition_reassignments;
mod list_transactions;
mod metadata;
mod mutations;
mod offset_commit;
mod offset_delete;
mod offset_fetch;
mod offset_for_leader_epoch;
mod pieces;
mod produce;
mod queue_admin;
mod renew_delegation_token;
mod sasl_authenticate;
mod sasl_handshake;
mod share_acknowledge;
mod share_acks;
mod share_fetch;
mod share_group_describe;
mod share_group_heartbeat;
mod sync_group;
mod transactions;
mod txn_offset_commit;
mod unregister_broker;
mod update_features;
mod write_txn_markers;

#[cfg(test)]
pub(crate) mod testing;
#[cfg(test)]
mod tests;

pub use api_versions::unsupported as unsupported_api_versions;

/// Every API that is spoken, in the order of the keys.
pub const ROUTES: &[Route] = &[
    Route::of::<produce::Produce>(),                               // 0
    Route::of::<fetch::Fetch>(),                                   // 1
    Route::of::<list_offsets::ListOffsets>(),                      // 2
    Route::of::<metadata::Metadata>(),                             // 3
    Route::of::<offset_commit::OffsetCommit>(),                    // 8
    Route::of::<offset_fetch::OffsetFetch>(),                      // 9
    Route::of::<find_coordinator::FindCoordinator>(),              // 10
    Route::of::<join_group::JoinGroup>(),                          // 11
    Route::of::<heartbeat::Heartbeat>(),                           // 12
    Route::of::<leave_group::LeaveGroup>(),                        // 13
    Route::of::<sync_group::SyncGroup>(),                          // 14
    Route::of::<describe_groups::DescribeGroups>(),                // 15
    Route::of::<list_groups::ListGroups>(),                        // 16
    Route::of::<sasl_handshake::SaslHandshake>(),                  // 17
    Route::of::<api_versions::ApiVersions>(),                      // 18
    Route::of::<create_topics::CreateTopics>(),                    // 19
    Route::of::<delete_topics::DeleteTopics>(),                    // 20
    Route::of::<delete_records::DeleteRecords>(),                  // 21
    Route::of::<init_producer_id::InitProducerId>(),               // 22
    Route::of::<offset_for_leader_epoch::OffsetForLeaderEpoch>(),  // 23
    Route::of::<add_partitions_to_txn::AddPartitionsToTxn>(),      // 24
    Route::of::<add_offsets_to_txn::AddOffsetsToTxn>(),            // 25
    Route::of::<end_txn::EndTxn>(),                                // 26
    Route::of::<write_txn_markers::WriteTxnMarkers>(),             // 27
    Route::of::<txn_offset_commit::TxnOffsetCommit>(),             // 28
    Route::of::<describe_acls::DescribeAcls>(),                    // 29
    Route::of::<create_acls::CreateAcls>(),                        // 30
    Route::of::<delete_acls::DeleteAcls>(),                        // 31
    Route::of::<describe_configs::DescribeConfigs>(),              // 32
    Route::of::<alter_configs::AlterConfigs>(),                    // 33
    Route::of::<alter_replica_log_dirs::AlterReplicaLogDirs>(),    // 34
    Route::of::<describe_log_dirs::DescribeLogDirs>(),             // 35
    Route::of::<sasl_authenticate::SaslAuthenticate>(),            // 36
    Route::of::<create_partitions::CreatePartitions>(),            // 37
    Route::of::<create_delegation_token::CreateDelegationToken>(), // 38
    Route::of::<renew_delegation_token::RenewDelegationToken>(),   // 39
    Route::of::<expire_delegation_token::ExpireDelegationToken>(), // 40
    Route::of::<describe_delegation_token::DescribeDelegationToken>(), // 41
    Route::of::<delete_groups::DeleteGroups>(),                    // 42
    Route::of::<elect_leaders::ElectLeaders>(),                    // 43
    Route::of::<incremental_alter_configs::IncrementalAlterConfigs>(), // 44
    Route::of::<alter_partition_reassignments::AlterPartitionReassignments>(), // 45
    Route::of::<list_partition_reassignments::ListPartitionReassignments>(), // 46
    Route::of::<offset_delete::OffsetDelete>(),                    // 47
    Route::of::<describe_client_quotas::DescribeClientQuotas>(),   // 48
    Route::of::<alter_client_quotas::AlterClientQuotas>(),         // 49
    Route::of::<describe_user_scram_credentials::DescribeUserScramCredentials>(), // 50
    Route::of::<alter_user_scram_credentials::AlterUserScramCredentials>(), // 51
    Route::of::<describe_quorum::DescribeQuorum>(),                // 55
    Route::of::<update_features::UpdateFeatures>(),                // 57
    Route::of::<describe_cluster::DescribeCluster>(),              // 60
    Route::of::<describe_producers::DescribeProducers>(),          // 61
    Route::of::<unregister_broker::UnregisterBroker>(),            // 64
    Route::of::<describe_transactions::DescribeTransactions>(),    // 65
    Route::of::<list_transactions::ListTransactions>(),            // 66
    Route::of::<consumer_group_heartbeat::ConsumerGroupHeartbeat>(), // 68
    Route::of::<consumer_group_describe::ConsumerGroupDescribe>(), // 69
    Route::of::<list_config_resources::ListConfigResources>(),     // 74
    Route::of::<describe_topic_partitions::DescribeTopicPartitions>(), // 75
    Route::of::<share_group_heartbeat::ShareGroupHeartbeat>(),     // 76
    Route::of::<share_group_describe::ShareGroupDescribe>(),       // 77
    Route::of::<share_fetch::ShareFetch>(),                        // 78
    Route::of::<share_acknowledge::ShareAcknowledge>(),            // 79
    Route::of::<describe_share_group_offsets::DescribeShareGroupOffsets>(), // 90
    Route::of::<alter_share_group_offsets::AlterShareGroupOffsets>(), // 91
    Route::of::<delete_share_group_offsets::DeleteShareGroupOffsets>(), // 92
    Route::of::<queue_admin::QueueAdmin>(),                        // 20000
];
