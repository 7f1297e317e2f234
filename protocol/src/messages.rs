//! Typed messages: the codec crate's; in their place our own where it stops short of Kafka 4.2
//! (KIP-1206, KIP-1222, KIP-1226); and those of our private API.
//!
//! A message of ours has the names, types and defaults of the codec's, and reads and writes the
//! same bytes in the versions that both speak. Unknown tagged fields are dropped, not kept.

mod coding;

pub mod describe_share_group_offsets_request;
pub mod describe_share_group_offsets_response;
pub mod queue_admin_request;
pub mod queue_admin_response;
pub mod share_acknowledge_request;
pub mod share_acknowledge_response;
pub mod share_fetch_request;
pub mod share_fetch_response;

pub use kafka_protocol::messages::*;

pub use crate::ApiKey;

pub use describe_share_group_offsets_request::DescribeShareGroupOffsetsRequest;
pub use describe_share_group_offsets_response::DescribeShareGroupOffsetsResponse;
pub use queue_admin_request::QueueAdminRequest;
pub use queue_admin_response::QueueAdminResponse;
pub use share_acknowledge_request::ShareAcknowledgeRequest;
pub use share_acknowledge_response::ShareAcknowledgeResponse;
pub use share_fetch_request::ShareFetchRequest;
pub use share_fetch_response::ShareFetchResponse;

coding::exchange!(78: ShareFetchRequest => ShareFetchResponse);
coding::exchange!(79: ShareAcknowledgeRequest => ShareAcknowledgeResponse);
coding::exchange!(90: DescribeShareGroupOffsetsRequest => DescribeShareGroupOffsetsResponse);
coding::exchange!(20_000: QueueAdminRequest => QueueAdminResponse);

#[cfg(test)]
mod tests;
