//! Transactions in a bench's logs, written as coordinators write them.

use std::sync::Arc;

use ratel_storage::{
    BatchBuilder, Durability, Marker, Offset, Origin, Outcome, Partition, Producer,
};

use super::NOW_MS;

fn producer(id: i64) -> Producer {
    Producer { id, epoch: 0 }
}

/// A producer writes these values in its transaction. The first one's offset.
pub(crate) async fn write(log: &Arc<dyn Partition>, id: i64, values: &[&str]) -> Offset {
    let mut builder = BatchBuilder::new(NOW_MS)
        .producer(id, 0, -1)
        .transactional();
    for value in values {
        builder.record(None, Some(value.as_bytes()));
    }
    let batch = builder.build().expect("it has records");
    let written = log.append(&batch, Origin::Coordinator, Durability::Written, NOW_MS);
    written.await.expect("written").base_offset
}

/// A producer's transaction ends. Its marker's offset.
pub(crate) async fn end(log: &Arc<dyn Partition>, id: i64, outcome: Outcome) -> Offset {
    let marker = Marker {
        producer: producer(id),
        outcome,
        coordinator_epoch: 3,
        transaction_version: 0,
    };
    let written = log.append_marker(&marker, Durability::Written, NOW_MS);
    written.await.expect("written").base_offset
}
