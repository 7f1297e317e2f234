//! What a connection remembers.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

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
    /// The monotonic time, in ms, until which the client has to be silent.
    pub muted_until_ms: AtomicI64,
}

impl Session {
    /// Read nothing more of the client for so many milliseconds (KIP-219).
    pub fn mute(&self, now_ms: i64, throttle_ms: i32) {
        let until_ms = now_ms.saturating_add(throttle_ms.into());
        self.muted_until_ms.fetch_max(until_ms, Ordering::Relaxed);
    }

    /// For how many more milliseconds nothing is read; 0 if the client may go on.
    #[must_use]
    pub fn muted_ms(&self, now_ms: i64) -> u64 {
        let until_ms = self.muted_until_ms.load(Ordering::Relaxed);
        let left_ms = until_ms.saturating_sub(now_ms);
        u64::try_from(left_ms).unwrap_or(0)
    }
}
