//! What a connection remembers.

use std::net::SocketAddr;
use std::sync::Arc;

/// What a connection remembers between requests.
#[derive(Debug)]
pub struct Session {
    /// Which connection it is: no other of this server has the number, before or after.
    pub connection: u64,
    /// The client's address.
    pub peer: SocketAddr,
    /// The address the client connected to: what Metadata answers for a wildcard listener.
    pub local: SocketAddr,
    /// The name of the listener it came in by (`PLAINTEXT`, ...).
    pub listener: Arc<str>,
}
