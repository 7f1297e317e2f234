//! The network: accept, read frames, run handlers in order, write answers in order.

mod session;

pub use session::Session;
