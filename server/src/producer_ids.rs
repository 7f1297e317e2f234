//! Ids for idempotent producers, each given once for all time.
//!
//! The catalog hands out blocks and has written down that it did before it answers. What is left
//! of a block when the server stops is lost, and nobody misses it.

use std::future::Future;
use std::ops::Range;
use std::sync::{Mutex, PoisonError};

use ratel_protocol::ErrorCode;

/// The ids that were fetched and not given yet.
#[derive(Debug, Default)]
pub struct ProducerIds {
    blocks: Mutex<Vec<Range<i64>>>,
}

impl ProducerIds {
    /// The next id. `fetch_block` is called when none is left; two callers at that moment fetch
    /// two blocks, and both are used up.
    ///
    /// # Errors
    /// Whatever keeps the catalog from handing out a block.
    pub async fn next<F>(&self, fetch_block: impl FnOnce() -> F) -> Result<i64, ErrorCode>
    where
        F: Future<Output = Result<Range<i64>, ErrorCode>>,
    {
        if let Some(id) = self.take() {
            return Ok(id);
        }
        let mut block = fetch_block().await?;
        let id = block.next().ok_or(ErrorCode::CoordinatorNotAvailable)?;
        self.blocks().push(block);
        Ok(id)
    }

    fn take(&self) -> Option<i64> {
        let mut blocks = self.blocks();
        while let Some(block) = blocks.last_mut() {
            if let Some(id) = block.next() {
                return Some(id);
            }
            blocks.pop();
        }
        None
    }

    fn blocks(&self) -> std::sync::MutexGuard<'_, Vec<Range<i64>>> {
        self.blocks.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn ids_follow_one_another_and_a_block_is_fetched_when_none_is_left() {
        let ids = ProducerIds::default();
        let mut given = Vec::new();
        for _ in 0..2 {
            given.push(ids.next(|| async { Ok(1000..1002) }).await);
        }
        given.push(ids.next(|| async { Ok(5000..5001) }).await);
        assert_eq!(given, [Ok(1000), Ok(1001), Ok(5000)]);
    }

    #[tokio::test]
    async fn two_blocks_that_were_fetched_at_once_are_both_used_up() {
        let ids = ProducerIds::default();
        // The second caller comes while the first waits for its block.
        let first = ids.next(|| async {
            assert_eq!(ids.next(|| async { Ok(10..12) }).await, Ok(10));
            Ok(20..22)
        });
        assert_eq!(first.await, Ok(20));
        let no_block = || async { Err(ErrorCode::CoordinatorNotAvailable) };
        let mut rest = Vec::new();
        while let Ok(id) = ids.next(no_block).await {
            rest.push(id);
        }
        assert_eq!(rest, [21, 11]);
    }

    #[tokio::test]
    async fn without_a_block_there_is_no_id() {
        let ids = ProducerIds::default();
        let refused = ids.next(|| async { Err(ErrorCode::CoordinatorLoadInProgress) });
        assert_eq!(refused.await, Err(ErrorCode::CoordinatorLoadInProgress));
    }
}
