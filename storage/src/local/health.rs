//! Whether the engine may still acknowledge anything.

use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};

use crate::StorageError;

const WELL: u8 = 0;
const CLOSED: u8 = 1;
const POISONED: u8 = 2;

/// Called once with a sentence when the engine must not go on (DC5).
pub type OnFatal = Arc<dyn Fn(&str) + Send + Sync>;

/// One flag for the whole engine, and whom to tell.
pub(crate) struct Health {
    state: AtomicU8,
    on_fatal: OnFatal,
}

impl Health {
    pub fn new(on_fatal: OnFatal) -> Self {
        Self {
            state: AtomicU8::new(WELL),
            on_fatal,
        }
    }

    /// An error once a failure stopped the engine: what is synced may not be acknowledged.
    pub fn check(&self) -> Result<(), StorageError> {
        if self.is_poisoned() {
            return Err(StorageError::Poisoned);
        }
        Ok(())
    }

    /// An error unless something may be appended or changed.
    pub fn check_open(&self) -> Result<(), StorageError> {
        match self.state.load(Ordering::Acquire) {
            WELL => Ok(()),
            CLOSED => Err(StorageError::Closed),
            _ => Err(StorageError::Poisoned),
        }
    }

    /// No appends from here on. `false` if that was so already.
    pub fn close(&self) -> bool {
        self.state
            .compare_exchange(WELL, CLOSED, Ordering::AcqRel, Ordering::Acquire)
            .is_ok()
    }

    /// A write or sync failed: nothing is acknowledged any more, and the server must end.
    pub fn fatal(&self, why: &str) {
        if self.state.swap(POISONED, Ordering::AcqRel) != POISONED {
            tracing::error!("{why}: nothing is acknowledged from here on");
            (self.on_fatal)(why);
        }
    }

    /// Whether a failure stopped the engine.
    pub fn is_poisoned(&self) -> bool {
        self.state.load(Ordering::Acquire) == POISONED
    }
}
