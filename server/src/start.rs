//! From a configuration to a server at work, and back.

mod directory;

pub use directory::{Directory, DirectoryError, IDENTITY, Identity, LOCK, Lock};
