//! Typed messages: the codec crate's, and in their place our own where it stops short of Kafka
//! 4.2 (KIP-1206, KIP-1222, KIP-1226).
//!
//! A message of ours has the names, types and defaults of the codec's, and reads and writes the
//! same bytes in the versions that both speak. Unknown tagged fields are dropped, not kept.

mod coding;

pub mod describe_share_group_offsets_request;
pub mod describe_share_group_offsets_response;
pub mod share_acknowledge_request;
pub mod share_acknowledge_response;
pub mod share_fetch_request;
pub mod share_fetch_response;

pub use kafka_protocol::messages::*;

pub use describe_share_group_offsets_request::DescribeShareGroupOffsetsRequest;
pub use describe_share_group_offsets_response::DescribeShareGroupOffsetsResponse;
pub use share_acknowledge_request::ShareAcknowledgeRequest;
pub use share_acknowledge_response::ShareAcknowledgeResponse;
pub use share_fetch_request::ShareFetchRequest;
pub use share_fetch_response::ShareFetchResponse;

coding::exchange!(78: ShareFetchRequest => ShareFetchResponse);
coding::exchange!(79: ShareAcknowledgeRequest => ShareAcknowledgeResponse);
coding::exchange!(90: DescribeShareGroupOffsetsRequest => DescribeShareGroupOffsetsResponse);

#[cfg(test)]
mod tests;
