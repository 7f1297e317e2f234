//! What consumers of the classic protocol embed in bytes that are opaque to it: what a member
//! reads, and what its leader gave it (Kafka's consumer protocol, versions 0 to 3).
//!
//! A version of the future is read as the newest that is known, as Kafka does it.

pub mod assignment;
pub mod subscription;

/// The protocol type whose bytes are understood.
pub const CONSUMER: &str = "consumer";
/// The newest version that is understood.
const VERSION_MAX: i16 = 3;

/// Partitions of a topic by its name.
pub type Named<'a> = Vec<(&'a str, Vec<i32>)>;
