//! Compaction: the same batches on both servers, each cleaned to the end, and everything that is
//! left read back: batch headers, control batches, records, aborted transactions.
//!
//! While a round is written nothing is cleaned; then all of it is, in one go. So both servers
//! clean the same segments the same number of times, and what is left must be the same but for
//! the offsets of whole batches that went (see [`read`]).

mod input;
mod read;

use std::collections::BTreeMap;
use std::time::Duration;

use ratel_integration::Random;
use ratel_integration::differential::Facts;

use self::input::{HOUR_MS, Log, Mix};
use self::read::Left;
use crate::world::{Carrier, Family, World, pause, scenarios};

/// A resource of type topic.
const TOPIC: i8 = 2;
/// How long a server may take for a cleaning on a machine that has more to do.
const PATIENCE_MS: u64 = 180_000;
/// A log of ratel's is cleaned as far as a checkpoint knows it: the next must have come, and know
/// all of it.
const CHECKPOINT_MS: u64 = 12_000;
/// Nothing has changed for so long: it is done.
const CALM_MS: u64 = 10_000;
const LOOK_MS: u64 = 250;
/// What every log has; a segment holds about forty batches.
const CONFIGS: &[(&str, &str)] = &[
    ("cleanup.policy", "compact"),
    ("internal.segment.bytes", "12000"),
    ("min.cleanable.dirty.ratio", "1"),
    ("retention.ms", "-1"),
];

pub fn families() -> Vec<Family> {
    vec![Family {
        name: "compaction",
        versions: 12..=12,
        carrier: Carrier::Fetch,
        scenarios: scenarios![
            ;
            keys,
            codecs,
            tombstones_that_go,
            transactions,
            transactions_that_go,
            everything_1,
            everything_2,
            everything_3,
            everything_4,
            everything_that_goes_1,
            everything_that_goes_2,
            an_open_transaction,
            min_lag,
            max_lag,
            compact_and_delete,
            a_start_inside,
        ],
    }]
}

/// Write rounds of batches, and clean the log after each.
async fn rounds(world: &mut World, mix: Mix, seed: u64, configs: &[(&str, &str)]) {
    let mut log = begin(world, mix, seed, configs).await;
    for round in 1..=3 {
        log.write(160).await;
        log.end_all().await;
        log.close().await;
        clean(world, &mut log).await;
        read_back(world, &mut log, &format!("round {round}")).await;
    }
}

async fn begin(world: &mut World, mix: Mix, seed: u64, configs: &[(&str, &str)]) -> Log {
    let configs: BTreeMap<_, _> = CONFIGS.iter().chain(configs).copied().collect();
    let configs: Vec<_> = configs.into_iter().collect();
    world.make_table_topic("t", 1, &configs).await;
    Log::open(world, mix, Random(seed)).await
}

/// Let everything be cleaned, wait until nothing changes any more, and stop it again.
async fn clean(world: &World, log: &mut Log) {
    pause(CHECKPOINT_MS).await;
    // Read now: a cleaner may be done before the next look.
    let before = log.read_all().await;
    configure(world, "min.cleanable.dirty.ratio", "0").await;
    calm(log, |now| *now != before, CALM_MS).await;
    configure(world, "min.cleanable.dirty.ratio", "1").await;
    // A cleaner may just have looked at what was before.
    pause(1000).await;
}

/// Wait until the log is as it should be, and nothing has changed for so long.
async fn calm(log: &mut Log, is_good: impl Fn(&Left) -> bool, long_ms: u64) {
    let mut last = log.read_all().await;
    let (mut waited_ms, mut calm_ms) = (0, 0);
    loop {
        tokio::time::sleep(Duration::from_millis(LOOK_MS)).await;
        waited_ms += LOOK_MS;
        let now = log.read_all().await;
        calm_ms = if now == last { calm_ms + LOOK_MS } else { 0 };
        last = now;
        if calm_ms >= long_ms && is_good(&last) {
            return;
        }
        assert!(waited_ms < PATIENCE_MS, "nothing is cleaned");
    }
}

async fn configure(world: &World, name: &str, value: &str) {
    world.alter(TOPIC, "t", &[(name, value)]).await;
}

async fn read_back(world: &World, log: &mut Log, step: &str) {
    let left = log.read_all().await;
    let facts = Facts(read::facts(&left, log.names()));
    world.note(step, facts);
}

async fn keys(world: &mut World) {
    rounds(world, Mix::PLAIN, 1, &[]).await;
}

async fn codecs(world: &mut World) {
    rounds(world, Mix::PLAIN.all_codecs(), 2, &[]).await;
}

async fn tombstones_that_go(world: &mut World) {
    rounds(world, Mix::PLAIN, 3, &[("delete.retention.ms", "1")]).await;
}

async fn transactions(world: &mut World) {
    rounds(world, Mix::TRANSACTIONS, 4, &[]).await;
}

async fn transactions_that_go(world: &mut World) {
    rounds(world, Mix::TRANSACTIONS, 5, &[("delete.retention.ms", "1")]).await;
}

async fn everything_1(world: &mut World) {
    rounds(world, Mix::ALL, 11, &[]).await;
}

async fn everything_2(world: &mut World) {
    rounds(world, Mix::ALL, 12, &[]).await;
}

async fn everything_3(world: &mut World) {
    rounds(world, Mix::ALL, 13, &[]).await;
}

async fn everything_4(world: &mut World) {
    rounds(world, Mix::ALL, 14, &[]).await;
}

async fn everything_that_goes_1(world: &mut World) {
    rounds(world, Mix::ALL, 21, &[("delete.retention.ms", "1")]).await;
}

async fn everything_that_goes_2(world: &mut World) {
    rounds(world, Mix::ALL, 22, &[("delete.retention.ms", "1")]).await;
}

/// Nothing from the first record of an undecided transaction on is cleaned.
async fn an_open_transaction(world: &mut World) {
    let mut log = begin(world, Mix::ALL, 31, &[]).await;
    log.write(100).await;
    log.end_all().await;
    log.close().await;
    log.begin_one().await;
    log.write_plainly(60).await;
    clean(world, &mut log).await;
    read_back(world, &mut log, "open").await;
    log.end_all().await;
    log.close().await;
    clean(world, &mut log).await;
    read_back(world, &mut log, "ended").await;
}

/// What is younger than `min.compaction.lag.ms` is left alone, by the records' own times.
async fn min_lag(world: &mut World) {
    // No markers: they are of now.
    let mix = Mix::PLAIN.all_codecs();
    let mut log = begin(world, mix, 41, &[("min.compaction.lag.ms", "3600000")]).await;
    log.set_time(-10 * HOUR_MS);
    log.write(100).await;
    log.end_all().await;
    log.close().await;
    log.set_time(-HOUR_MS / 2);
    log.write(60).await;
    log.end_all().await;
    log.close().await;
    clean(world, &mut log).await;
    read_back(world, &mut log, "cleaned").await;
}

/// What is older than `max.compaction.lag.ms` is cleaned whatever its share of the log; and the
/// active segment is closed by then, so that it can be.
async fn max_lag(world: &mut World) {
    let mut log = begin(world, Mix::ALL, 51, &[("max.compaction.lag.ms", "7200000")]).await;
    for hours in [-20, -10, -5] {
        log.set_time(hours * HOUR_MS);
        // Fewer than what would close a segment.
        log.write(12).await;
        log.end_all().await;
    }
    log.set_time(-HOUR_MS);
    log.write(1).await;
    log.end_all().await;
    // It is cleaned while it is written.
    calm(&mut log, |_| true, CHECKPOINT_MS + CALM_MS).await;
    read_back(world, &mut log, "cleaned").await;
}

/// Retention by time takes the oldest segments, and a cleaning looks at what is left.
async fn compact_and_delete(world: &mut World) {
    let configs = [
        ("cleanup.policy", "compact,delete"),
        ("file.delete.delay.ms", "0"),
    ];
    let mut log = begin(world, Mix::PLAIN.all_codecs(), 61, &configs).await;
    log.set_time(-48 * HOUR_MS);
    log.write(100).await;
    log.end_all().await;
    log.close().await;
    log.set_time(-2 * HOUR_MS);
    log.write(120).await;
    log.end_all().await;
    log.close().await;
    configure(world, "retention.ms", "86400000").await;
    calm(&mut log, |left| left.start() > 0, CALM_MS).await;
    read_back(world, &mut log, "deleted").await;
    clean(world, &mut log).await;
    read_back(world, &mut log, "cleaned").await;
}

/// DeleteRecords has moved the log's start into a segment.
async fn a_start_inside(world: &mut World) {
    let configs = [("cleanup.policy", "compact,delete")];
    let mut log = begin(world, Mix::ALL, 71, &configs).await;
    log.write(120).await;
    log.end_all().await;
    log.close().await;
    log.delete_records(100).await;
    clean(world, &mut log).await;
    read_back(world, &mut log, "round 1").await;
    log.write(60).await;
    log.end_all().await;
    log.close().await;
    log.delete_records(150).await;
    clean(world, &mut log).await;
    read_back(world, &mut log, "round 2").await;
}
