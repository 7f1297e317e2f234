//! Going over what was read, on every disk.
#![allow(clippy::unwrap_used, clippy::panic, reason = "tests fail by panicking")]

mod support;

use ratel_storage::{Bound, Durability, Offset, ReadRequest};
use support::{InMemory, OnDisk, Place, append, batch, open, start, wait};

#[test]
fn a_read_is_gone_over_batch_by_batch_and_cut_between_them() {
    go_over(&OnDisk::new());
    go_over(&InMemory::new());
}

fn go_over(place: &impl Place) {
    let engine = start(place.disk()).unwrap();
    let log = open(&engine, 0);
    let large = "x".repeat(40_000);
    for values in [&["a", "b"][..], &[&large], &["c"]] {
        append(&log, &batch(values), Durability::Written).unwrap();
    }
    for max_bytes in [1 << 20, 200] {
        let request = ReadRequest {
            from: Offset::new(1),
            max_bytes,
            at_least_one: true,
            bound: Bound::HighWatermark,
        };
        let records = wait(log.read(request)).unwrap().records.unwrap();
        let found: Vec<_> = records.batches().map(|batch| batch.unwrap()).collect();
        let spans = found
            .iter()
            .map(|batch| (batch.first().get(), batch.last().get()));
        let expected = [(0, 1), (2, 2), (3, 3)];
        assert_eq!(spans.collect::<Vec<_>>(), expected[..found.len()]);
        assert_eq!(found.len(), if max_bytes == 200 { 1 } else { 3 });
        assert_eq!(found.last().unwrap().bytes.end, records.len());
        for at in found {
            let bytes = records.part(at.bytes.clone()).to_bytes().unwrap();
            assert_eq!(bytes, records.to_bytes().unwrap()[at.bytes]);
        }
    }
}
