//! The network: accept, read frames, run handlers in order, write answers in order.
//!
//! ```text
//! listen.rs      accept -> one task per connection, counted and bounded
//! connection.rs  the task: two halves that take turns
//! reader.rs        socket -> frames -> handlers, in order; yields what will be the answer
//! request_time.rs    the time that handlers take, where somebody has a quota of it
//! writer.rs        answers, in the order of their requests -> socket
//! ```
//!
//! Both halves live in one task, so that nothing between them needs a lock or a wake-up across
//! threads, and a connection that ends drops all that waits for it, parked fetches included.

mod connection;
mod listen;
mod page_cache;
mod patience;
mod reader;
mod request_time;
mod session;
mod writer;

pub use listen::{Buffers, Network, bind};
pub use session::Session;

use std::fmt;
use std::io;

use ratel_protocol::WireError;
use tokio::sync::watch;

use crate::api::Route;
use crate::metrics::Rejection;

/// Finds the row of a key and version; [`crate::api::route`], but in tests.
type Router = fn(i16, i16) -> Result<&'static Route, WireError>;

/// Ends at shutdown.
async fn down(shutdown: &mut watch::Receiver<bool>) {
    // An error is the end of whoever could have said so.
    let _ = shutdown.wait_for(|down| *down).await;
}

/// Why a connection ends.
#[derive(Debug)]
enum Closed {
    /// The client is gone, or a handler asked for the end: nothing to tell.
    Done,
    /// What came is not Kafka's protocol (NET-1, NET-4).
    Wire(WireError),
    /// The client did or left undone something for too long.
    Timeout(Rejection),
    /// The socket or a file failed.
    Io(io::Error),
}

impl Closed {
    fn rejection(&self) -> Option<Rejection> {
        match self {
            Self::Done | Self::Io(_) => None,
            Self::Wire(WireError::TooLarge { .. }) => Some(Rejection::FrameTooLarge),
            Self::Wire(_) => Some(Rejection::Malformed),
            Self::Timeout(reason) => Some(*reason),
        }
    }
}

impl From<WireError> for Closed {
    fn from(error: WireError) -> Self {
        Self::Wire(error)
    }
}

impl From<io::Error> for Closed {
    fn from(error: io::Error) -> Self {
        Self::Io(error)
    }
}

impl fmt::Display for Closed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Done => write!(f, "done"),
            Self::Wire(error) => error.fmt(f),
            Self::Timeout(reason) => write!(f, "{}", reason.label()),
            Self::Io(error) => error.fmt(f),
        }
    }
}

#[cfg(test)]
mod tests;
