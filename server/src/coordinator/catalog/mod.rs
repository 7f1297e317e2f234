//! The catalog: topics, ids, partitions, configurations, producer id blocks.

mod view;

pub use view::{Topic, View};

use std::sync::Arc;

/// The catalog's handle: a view for readers, a mailbox for changes.
#[derive(Clone)]
pub struct Catalog {
    /// What exists now. Reading it takes no message.
    pub view: Arc<View>,
}
