//! What can be wrong with bytes from the network.

use std::fmt;

/// Why a frame was refused. Each of these closes the connection (NET-1, NET-4).
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum WireError {
    /// The frame ends before the header or body does.
    Incomplete,
    /// The announced length is negative or above the limit in bytes.
    TooLarge {
        /// The length that the prefix claims.
        announced: i32,
        /// The largest length that is accepted here.
        limit: usize,
    },
    /// No such API key.
    UnknownApi(i16),
    /// The API exists, this version of it is not spoken.
    UnsupportedVersion {
        /// The API key.
        key: i16,
        /// The version that was asked for.
        version: i16,
    },
    /// The body does not parse.
    Malformed(String),
}

impl fmt::Display for WireError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Incomplete => write!(f, "the frame ends before its content does"),
            Self::TooLarge { announced, limit } => {
                write!(f, "a frame of {announced} bytes is outside 8..={limit}")
            }
            Self::UnknownApi(key) => write!(f, "unknown API key {key}"),
            Self::UnsupportedVersion { key, version } => {
                write!(f, "API key {key} is not spoken in version {version}")
            }
            Self::Malformed(why) => write!(f, "malformed request: {why}"),
        }
    }
}

impl std::error::Error for WireError {}
