//! The wire: frames, headers and typed messages of Kafka's protocol, safe on hostile input.
//!
//! One request frame, byte by byte (all integers big-endian):
//!
//! ```text
//! 0        4     6     8            12
//! | length | key | ver | correlation | client_id (int16 length, -1 = null) | tags* | body |
//! ```
//!
//! `tags` (one varint, then tagged fields) stand only in flexible versions. A response frame is
//! `length | correlation | tags* | body`; ApiVersions answers never carry the tags (NET-2).
//!
//! No IO, no tokio and no storage types live here: bytes go in, typed messages come out.

mod api_key;
mod error;
pub mod frame;
pub mod messages;
pub mod request;
pub mod response;
pub mod schema;
pub mod throttle;

pub use api_key::ApiKey;
pub use error::WireError;
pub use kafka_protocol::ResponseError as ErrorCode;

pub use kafka_protocol::protocol::{Decodable, Encodable, Message, StrBytes};
#[cfg(feature = "client")]
pub use kafka_protocol::protocol::{HeaderVersion, Request};
