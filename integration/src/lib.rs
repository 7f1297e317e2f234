//! The whole, tested: a real broker, in this process or as a child, and a client that speaks any
//! request at any version or plain bytes.
//!
//! - [`TestBroker`]: a broker in this process on a port of the system's choice.
//! - [`ServerProcess`]: the real binary as a child, which can be killed with -9.
//! - [`RawClient`]: one connection; typed requests, frames or bytes, pipelined if you like.
//! - [`exactly_once`]: what came out of transactions, held against what went in.
//! - [`differential`]: what two servers answered, held against each other.

#![allow(
    clippy::panic,
    reason = "what stands here serves tests alone, and a test that cannot go on should say why"
)]

pub mod differential;
pub mod exactly_once;
pub mod fuzzing;
pub mod history;
pub mod queue_history;
pub mod queue_worker;
mod random;
mod raw_client;
mod server_process;
mod test_broker;

pub use random::Random;
pub use raw_client::RawClient;
pub use server_process::{ServerProcess, binary};
pub use test_broker::TestBroker;
