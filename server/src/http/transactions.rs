//! How transactions stand, for `/metrics`.

use super::exposition::{Page, Type};
use crate::broker::Broker;

pub(super) fn transactions(page: &mut Page, broker: &Broker) {
    let counted = &broker.metrics.transactions;
    let (committed, aborted) = counted.outcomes();
    let mut family = page.family(
        "ratel_transactions_total",
        Type::Counter,
        "Transactions whose markers are written.",
    );
    family.sample(&[("outcome", "commit")], committed);
    family.sample(&[("outcome", "abort")], aborted);
    let counters = [
        (
            "ratel_transactions_timed_out_total",
            "Transactions that were aborted since they took too long.",
            counted.timeouts(),
        ),
        (
            "ratel_transaction_marker_failures_total",
            "Attempts to write a marker that failed, which are made again.",
            counted.marker_failures(),
        ),
    ];
    for (name, help, count) in counters {
        page.single(name, Type::Counter, help, count);
    }
}
