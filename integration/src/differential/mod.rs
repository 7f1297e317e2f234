//! What two servers answered, held against each other.
//!
//! An answer is turned into [`Facts`], one for each field, without what differs by chance (ids,
//! addresses) or does not matter (times, texts). [`Expected`] knows which differences are on
//! purpose.

mod batch;
mod compare;
mod expected;
mod facts;
pub mod random;
pub mod script;
mod text;
pub mod wire;

pub use compare::{Unlike, compare};
pub use expected::{Difference, Expected, Twice};
pub use facts::Facts;
