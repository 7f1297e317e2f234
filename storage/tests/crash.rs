//! Every way to die: power cuts, killed processes, calls that fail, disks that fill up. After
//! each, what was acknowledged is there and nothing else is.
//!
//! `CRASH_SEED=<n>` plays one seed of the test that is named; `CRASH_RUNS=<n>` sets how many seeds
//! or states each test plays.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::print_stderr,
    reason = "tests fail by panicking, and print their seed"
)]

mod support;

use std::panic::AssertUnwindSafe;
use std::sync::Arc;

use ratel_storage::disk::Disk;
use ratel_storage::disk_memory::{Call, Errno, Fault, Keep, MemoryDisk};
use ratel_storage::{
    Bound, Durability, Engine, LogSettings, Offset, Origin, Partition, StorageError,
};
use support::model::{End, Mix, Model};
use support::{
    NOW_MS, Random, append, batch, open, partition_id, poll_once, produced, read_values, settings,
    start, wait,
};

fn env(name: &str) -> Option<u64> {
    std::env::var(name).ok()?.parse().ok()
}

/// Play `runs` seeds of a test; one that fails is named with the command to play it again.
fn seeds(test: &str, runs: u64, play: impl Fn(u64)) {
    let runs = env("CRASH_RUNS").unwrap_or(runs);
    let seeds = env("CRASH_SEED").map_or(0..runs, |seed| seed..seed + 1);
    for seed in seeds {
        if let Err(panic) = std::panic::catch_unwind(AssertUnwindSafe(|| play(seed))) {
            eprintln!(
                "seed {seed} fails; again by: CRASH_SEED={seed} cargo test -p ratel-storage \
                       --test crash {test}"
            );
            std::panic::resume_unwind(panic);
        }
    }
}

fn shared(disk: &MemoryDisk) -> Arc<dyn Disk> {
    Arc::new(disk.clone())
}

/// Crash `crashes` times, each at a random call, in the way that `end` chooses.
fn crash_again_and_again(seed: u64, mix: Mix, crashes: u64, end: impl Fn(&mut Random) -> End) {
    crash_with(seed, mix, crashes, end, |_, _| {});
}

/// As above; `prepare` is given each disk before it is used.
fn crash_with(
    seed: u64,
    mix: Mix,
    crashes: u64,
    end: impl Fn(&mut Random) -> End,
    prepare: impl Fn(&MemoryDisk, &mut Random),
) {
    let mut random = Random(seed);
    let mut model = Model::new(mix);
    let mut disk = MemoryDisk::new();
    let mut running = model.start(shared(&disk)).unwrap();
    for _ in 0..crashes {
        prepare(&disk, &mut random);
        disk.stop_before(1 + random.below(250));
        for _ in 0..1000 {
            if disk.is_off() {
                break;
            }
            // What fails because the disk is gone was not acknowledged.
            let _ = model.step(&mut running, &mut random);
        }
        model.settle(&mut running);
        let end = end(&mut random);
        disk = match end {
            End::Process => disk.crash(),
            End::Power => disk.power_cut(Keep::Seed(random.next())),
        };
        running = model.check(shared(&disk), end);
    }
    // What recovery and the repeats promised holds as well.
    model.append_everywhere(&mut running);
    model.check(shared(&disk.power_cut(Keep::Nothing)), End::Power);
}

#[test]
fn ft_3_power_cuts_take_nothing_that_was_synced() {
    let mix = Mix {
        written: 0,
        ..Mix::default()
    };
    seeds("ft_3", 60, |seed| {
        crash_again_and_again(seed, mix, 4, |_| End::Power)
    });
}

#[test]
fn ft_4_power_cuts_leave_a_prefix_of_what_was_written() {
    let mix = Mix {
        written: 80,
        synced: 4,
        pipelined: 4,
        ..Mix::default()
    };
    seeds("ft_4", 60, |seed| {
        crash_again_and_again(seed, mix, 4, |_| End::Power)
    });
}

#[test]
fn ft_1_killed_processes_lose_nothing_that_was_written() {
    seeds("ft_1", 60, |seed| {
        crash_again_and_again(seed, Mix::default(), 4, |_| End::Process)
    });
}

#[test]
fn kills_and_power_cuts_in_any_order() {
    seeds("kills_and_power_cuts_in_any_order", 100, |seed| {
        crash_again_and_again(seed, Mix::default(), 6, |random| match random.below(2) {
            0 => End::Process,
            _ => End::Power,
        });
    });
}

#[test]
fn want_of_space_and_descriptors_between_crashes() {
    seeds("want_of_space", 60, |seed| {
        crash_with(
            seed,
            Mix::default(),
            5,
            |random| match random.below(3) {
                0 => End::Process,
                _ => End::Power,
            },
            |disk, random| {
                for _ in 0..3 {
                    let calls = [Call::Write, Call::Open, Call::Rename, Call::SyncDir];
                    let call = calls[usize::try_from(random.below(4)).unwrap()];
                    let errno = match call {
                        Call::Open => Errno::MFILE,
                        _ => Errno::NOSPC,
                    };
                    let torn = usize::try_from(random.below(200)).unwrap();
                    let fault = Fault::nth(call, 1 + random.below(60), errno);
                    disk.fail(fault.torn_after(torn));
                }
            },
        );
    });
}

#[test]
fn power_cuts_while_rounds_are_wide() {
    let mix = Mix {
        partitions: 40,
        pipelined: 100,
        restart: 0,
        ..Mix::default()
    };
    seeds("power_cuts_while_rounds_are_wide", 20, |seed| {
        crash_again_and_again(seed, mix, 3, |random| match random.below(3) {
            0 => End::Process,
            _ => End::Power,
        });
    });
}

/// One producer per thread, all in the same partitions, until the power goes. Gives what was
/// acknowledged: partition, offset, value.
fn produce_until_the_end(
    logs: &[Arc<dyn Partition>],
    producer: i64,
    disk: &MemoryDisk,
) -> Vec<(usize, i64, String)> {
    let mut acknowledged = Vec::new();
    let mut sequences = vec![0; logs.len()];
    for number in 0.. {
        let at = number % logs.len();
        let value = format!("{producer}/{number}");
        let sent = produced(producer, 0, sequences[at], &[&value]);
        sequences[at] += 1;
        match append(&logs[at], &sent, Durability::Synced) {
            Ok(appended) => acknowledged.push((at, appended.base_offset.get(), value)),
            Err(_) if disk.is_off() => break,
            Err(error) => panic!("{error}"),
        }
    }
    acknowledged
}

#[test]
fn ft_3_power_cuts_under_many_threads_take_nothing_that_was_synced() {
    seeds("ft_3_power_cuts_under_many_threads", 40, |seed| {
        let mut random = Random(seed);
        let disk = MemoryDisk::new();
        let engine = start(shared(&disk)).unwrap();
        let small = Arc::new(LogSettings {
            segment_bytes: 2000,
            ..LogSettings::default()
        });
        let partitions = [1, 3, 20][usize::try_from(seed % 3).unwrap()];
        let logs: Vec<_> = (0..partitions)
            .map(|index| {
                engine
                    .open(partition_id(index), Arc::clone(&small))
                    .unwrap()
            })
            .collect();
        disk.stop_before(1 + random.below(2000));
        let acknowledged: Vec<_> = std::thread::scope(|scope| {
            let threads: Vec<_> = (0..4)
                .map(|producer| {
                    let (logs, disk) = (&logs, &disk);
                    scope.spawn(move || produce_until_the_end(logs, producer, disk))
                })
                .collect();
            threads
                .into_iter()
                .flat_map(|thread| thread.join().unwrap())
                .collect()
        });
        let cut = disk.power_cut(Keep::Seed(random.next()));
        let engine = start(shared(&cut)).unwrap();
        let stored: Vec<Vec<(i64, String)>> = (0..partitions)
            .map(|index| {
                let log = open(&engine, index);
                read_values(&log, Offset::ZERO, Bound::HighWatermark).unwrap()
            })
            .collect();
        for (at, offset, value) in acknowledged {
            let found = stored[at].get(usize::try_from(offset).unwrap());
            assert_eq!(found, Some(&(offset, value)), "partition {at}");
        }
        for values in stored {
            let mut distinct: Vec<_> = values.iter().map(|(_, value)| value).collect();
            distinct.sort_unstable();
            distinct.dedup();
            assert_eq!(distinct.len(), values.len(), "nothing is there twice");
        }
    });
}

/// Each call of a trace is a place to cut the power, and each cut has many outcomes.
#[test]
fn ft_11_every_crash_state_recovers_to_what_was_promised() {
    const OUTCOMES: u64 = 10;
    seeds("ft_11", 100, |seed| {
        let mut random = Random(seed);
        let mut model = Model::new(Mix {
            partitions: 2,
            segment_bytes: 500,
            ..Mix::default()
        });
        let disk = MemoryDisk::new();
        let mut running = model.start(shared(&disk)).unwrap();
        disk.stop_before(1 + seed * 5 % 400);
        for _ in 0..200 {
            let _ = model.step(&mut running, &mut random);
            if disk.is_off() {
                break;
            }
        }
        model.settle(&mut running);
        let keeps = [Keep::Nothing, Keep::Everything]
            .into_iter()
            .chain((2..OUTCOMES).map(|outcome| Keep::Seed(seed * OUTCOMES + outcome)));
        for keep in keeps {
            model
                .clone()
                .check(shared(&disk.power_cut(keep)), End::Power);
        }
        model.check(shared(&disk.crash()), End::Process);
    });
}

/// Recovery itself is cut off, at every one of its calls, and started again.
#[test]
fn ft_2_a_crash_during_recovery_changes_nothing() {
    seeds("ft_2_a_crash_during_recovery", 12, |seed| {
        let mut random = Random(seed);
        let mut model = Model::new(Mix::default());
        let disk = MemoryDisk::new();
        let mut running = model.start(shared(&disk)).unwrap();
        for _ in 0..60 {
            model.step(&mut running, &mut random).unwrap_or_default();
        }
        model.settle(&mut running);
        for end in [End::Process, End::Power] {
            for stop in 1..200 {
                let first = match end {
                    End::Process => disk.crash(),
                    End::Power => disk.power_cut(Keep::Seed(stop)),
                };
                first.stop_before(stop);
                let started = model.start(shared(&first));
                let finished = started.is_ok();
                drop(started);
                let second = first.power_cut(Keep::Seed(stop));
                model.clone().check(shared(&second), End::Power);
                if end == End::Process {
                    model.clone().check(shared(&first.crash()), End::Process);
                }
                if finished {
                    break;
                }
            }
        }
    });
}

const CALLS: [Call; 6] = [
    Call::Write,
    Call::Sync,
    Call::SyncDir,
    Call::Rename,
    Call::SetLen,
    Call::RemoveFile,
];

/// The n-th call fails with EIO.
fn fail_nth(call: Call, nth: u64, errno: Errno) {
    let mut random = Random(nth * 31 + call as u64);
    let mut model = Model::new(Mix {
        segment_bytes: 500,
        ..Mix::default()
    });
    let disk = MemoryDisk::new();
    let mut running = model.start(shared(&disk)).unwrap();
    disk.fail(Fault::nth(call, nth, errno).torn_after(40));
    for _ in 0..150 {
        let _ = model.step(&mut running, &mut random);
    }
    model.settle(&mut running);
    let fatal = model.fatal();
    if !running.engine().complaints().is_empty() {
        assert_eq!(fatal, 1, "an engine that stops says so, once");
        for at in 0..3 {
            let Some(log) = running.engine().partition(model.id(at)) else {
                // The failure came between the deletion of one log and the next.
                continue;
            };
            for durability in [Durability::Written, Durability::Synced] {
                let refused = append(&log, &batch(&["late"]), durability).unwrap_err();
                let is_end = matches!(refused, StorageError::Poisoned | StorageError::Closed);
                assert!(is_end, "{call:?} {nth}: {refused}");
            }
        }
    }
    // (One that failed to start again was not there to say so: the start itself failed.)
    if disk.has_failed()
        && matches!(call, Call::Write | Call::Sync)
        && errno == Errno::IO
        && !running.is_closed()
    {
        assert_eq!(
            fatal, 1,
            "{call:?} {nth}: a failed write or sync ends the engine"
        );
    }
    // The process ends and a new one starts: on the same page cache, and after a power cut.
    model
        .clone()
        .check(shared(&disk.power_cut(Keep::Seed(nth))), End::Power);
    let disk = disk.crash();
    let mut running = model.check(shared(&disk), End::Process);
    // What was in memory alone after the failed sync is acknowledged only once it is durable.
    model.append_everywhere(&mut running);
    model.check(shared(&disk.power_cut(Keep::Nothing)), End::Power);
}

#[test]
fn ft_10_the_nth_call_fails_and_what_was_acknowledged_is_there() {
    for call in CALLS {
        for nth in 1..=env("CRASH_RUNS").unwrap_or(40) {
            fail_nth(call, nth, Errno::IO);
        }
    }
}

#[test]
fn dc_5_no_space_or_descriptors_at_the_nth_call_stops_nothing() {
    let soft = [
        Call::Write,
        Call::Open,
        Call::Rename,
        Call::SyncDir,
        Call::CreateDir,
    ];
    for call in soft {
        for nth in 1..=env("CRASH_RUNS").unwrap_or(60) {
            let errno = match call {
                Call::Open => Errno::MFILE,
                _ => Errno::NOSPC,
            };
            let mut random = Random(nth);
            let mut model = Model::new(Mix {
                segment_bytes: 500,
                restart: 0,
                ..Mix::default()
            });
            let disk = MemoryDisk::new();
            let mut running = model.start(shared(&disk)).unwrap();
            disk.fail(Fault::nth(call, nth, errno).torn_after(40));
            for _ in 0..150 {
                match model.step(&mut running, &mut random) {
                    Ok(()) | Err(StorageError::DiskFull | StorageError::TooManyFiles) => {}
                    Err(other) => panic!("{call:?} {nth}: {other}"),
                }
            }
            model.settle(&mut running);
            assert_eq!((model.fatal(), running.engine().complaints().len()), (0, 0));
            model
                .clone()
                .check(shared(&disk.power_cut(Keep::Seed(nth))), End::Power);
            model.check(shared(&disk.crash()), End::Process);
        }
    }
}

#[test]
fn ft_8_a_full_disk_refuses_writes_serves_reads_and_recovers_by_itself() {
    let disk = MemoryDisk::new();
    let engine = start(shared(&disk)).unwrap();
    let (log, other) = (open(&engine, 0), open(&engine, 1));
    let value = "v".repeat(1000);
    for _ in 0..20 {
        append(&other, &batch(&[&value]), Durability::Synced).unwrap();
    }
    disk.set_capacity(disk.used() + 50_000);
    let mut acknowledged = 0;
    let refused = loop {
        let durability = match acknowledged % 2 {
            0 => Durability::Synced,
            _ => Durability::Written,
        };
        match append(&log, &batch(&[&value]), durability) {
            Ok(appended) => {
                acknowledged += 1;
                assert_eq!(appended.end_offset.get(), acknowledged);
            }
            Err(error) => break error,
        }
    };
    assert!(matches!(refused, StorageError::DiskFull), "{refused}");
    assert!(acknowledged > 30, "{acknowledged}");
    for _ in 0..3 {
        for log in [&log, &other] {
            let refused = append(log, &batch(&[&value]), Durability::Synced).unwrap_err();
            assert!(matches!(refused, StorageError::DiskFull));
        }
    }
    assert_eq!(engine.complaints(), [""; 0]);
    let dir = std::path::PathBuf::from(format!("topics/{}", log.id()));
    let entries = disk.list(&dir).unwrap();
    let stored = entries
        .iter()
        .find(|entry| entry.name.ends_with(".log"))
        .unwrap();
    assert_eq!(
        stored.len,
        log.size(),
        "the file is cut back to its last whole batch"
    );
    let read = || {
        read_values(&log, Offset::ZERO, Bound::HighWatermark)
            .unwrap()
            .len()
    };
    assert_eq!(i64::try_from(read()).unwrap(), acknowledged);
    engine.delete(partition_id(1)).unwrap();
    engine.upkeep(NOW_MS + 1_000_000);
    let appended = append(&log, &batch(&[&value]), Durability::Synced).unwrap();
    assert_eq!(appended.base_offset.get(), acknowledged);
    let cut = disk.power_cut(Keep::Nothing);
    let engine = start(shared(&cut)).unwrap();
    let log = open(&engine, 0);
    assert_eq!(log.offsets().end.get(), acknowledged + 1);
    let values = read_values(&log, Offset::ZERO, Bound::End).unwrap();
    assert!(values.iter().all(|(_, found)| *found == value));
}

#[test]
fn ft_13_a_round_over_a_thousand_partitions_syncs_few_files() {
    let disk = MemoryDisk::new();
    let engine = start(shared(&disk)).unwrap();
    let logs: Vec<_> = (0..=1000).map(|index| open(&engine, index)).collect();
    for round in 0..3 {
        disk.hold_syncs();
        // The first round is held up, so that all the others meet in the second.
        let first = logs[1000].append(&batch(&["x"]), Origin::Client, Durability::Synced, NOW_MS);
        std::thread::sleep(std::time::Duration::from_millis(20));
        let before = disk.counts().of(Call::Sync);
        let mut waiting: Vec<_> = logs[..1000]
            .iter()
            .map(|log| log.append(&batch(&["y"]), Origin::Client, Durability::Synced, NOW_MS))
            .collect();
        assert!(waiting.iter_mut().all(|answer| poll_once(answer).is_none()));
        disk.release_syncs();
        wait(first).unwrap();
        for answer in waiting {
            assert_eq!(wait(answer).unwrap().base_offset.get(), round);
        }
        let synced = disk.counts().of(Call::Sync) - before;
        assert!(synced <= 1 + 17, "{synced} files in two rounds");
    }
    let cut = disk.power_cut(Keep::Nothing);
    let engine = start(shared(&cut)).unwrap();
    for index in 0..1000 {
        assert_eq!(open(&engine, index).offsets().end.get(), 3);
    }
}

/// What a refused write left in a segment must not come back once the log went on in the next.
#[test]
fn dc_5_what_a_full_disk_left_behind_is_cut_durably() {
    let disk = MemoryDisk::new();
    let engine = start(shared(&disk)).unwrap();
    let (short, long) = (
        batch(&["short"]),
        batch(&["longer than the segment has room for"]),
    );
    let small = LogSettings {
        segment_bytes: 2 * short.bytes().len() as u64,
        ..LogSettings::default()
    };
    let log = engine.open(partition_id(0), Arc::new(small)).unwrap();
    append(&log, &short, Durability::Synced).unwrap();
    disk.fail(Fault::nth(Call::Write, 1, Errno::NOSPC).torn_after(40));
    let refused = append(&log, &short, Durability::Synced).unwrap_err();
    assert!(matches!(refused, StorageError::DiskFull), "{refused}");
    append(&log, &long, Durability::Synced).unwrap();
    assert_eq!(log.segments(), 2);
    for mask in 0..64 {
        let engine = start(shared(&disk.power_cut(Keep::Mask(mask)))).unwrap();
        let offsets = open(&engine, 0).offsets();
        assert_eq!(offsets.end.get(), 2, "what is kept: {mask:b}");
    }
}

/// A segment whose first write was refused is there, empty. Its entry must be durable before the
/// log goes on in it, also across a clean restart.
#[test]
fn dc_5_a_new_segment_that_a_full_disk_left_empty_is_durable_before_it_is_used() {
    for is_restarted in [false, true] {
        let disk = MemoryDisk::new();
        let mut engine = start(shared(&disk)).unwrap();
        let one = batch(&["one"]);
        let small = Arc::new(LogSettings {
            segment_bytes: one.bytes().len() as u64,
            ..LogSettings::default()
        });
        let mut log = engine.open(partition_id(0), Arc::clone(&small)).unwrap();
        append(&log, &one, Durability::Synced).unwrap();
        disk.fail(Fault::nth(Call::Write, 1, Errno::NOSPC));
        let refused = append(&log, &one, Durability::Synced).unwrap_err();
        assert!(matches!(refused, StorageError::DiskFull), "{refused}");
        if is_restarted {
            wait(engine.close()).unwrap();
            engine = start(shared(&disk)).unwrap();
            log = engine.open(partition_id(0), small).unwrap();
        }
        append(&log, &one, Durability::Synced).unwrap();
        let engine = start(shared(&disk.power_cut(Keep::Nothing))).unwrap();
        let log = open(&engine, 0);
        assert_eq!((log.damage(), log.offsets().end.get()), (None, 2));
    }
}

/// A process that died between the rename and the sync of its directory leaves a start that the
/// next one sees; a power cut after that must not take it back.
#[test]
fn dc_7_a_start_that_was_seen_never_moves_back() {
    for stop in 1..12 {
        let disk = MemoryDisk::new();
        let engine = start(shared(&disk)).unwrap();
        let log = open(&engine, 0);
        append(&log, &batch(&["a", "b", "c"]), Durability::Synced).unwrap();
        // A checkpoint, so that recovery has no other reason to touch the directory.
        engine.upkeep(NOW_MS + 100_000);
        disk.stop_before(stop);
        let _ = wait(log.advance_start(Offset::new(2)));
        let disk = disk.crash();
        let engine = start(shared(&disk)).unwrap();
        let seen = open(&engine, 0).offsets().start;
        let engine = start(shared(&disk.power_cut(Keep::Nothing))).unwrap();
        assert_eq!(
            open(&engine, 0).offsets().start,
            seen,
            "stopped before call {stop}"
        );
    }
}

#[test]
fn flush_messages_bounds_what_a_power_cut_takes() {
    let disk = MemoryDisk::new();
    let engine = start(shared(&disk)).unwrap();
    let bounded = Arc::new(LogSettings {
        flush_messages: 3,
        ..LogSettings::default()
    });
    let log = engine.open(partition_id(0), bounded).unwrap();
    for number in 0..10 {
        append(&log, &batch(&[&number.to_string()]), Durability::Written).unwrap();
    }
    // Kafka's meaning: the append that makes it three is answered after the sync.
    let engine = start(shared(&disk.power_cut(Keep::Nothing))).unwrap();
    let log = engine.open(partition_id(0), settings()).unwrap();
    assert_eq!(log.offsets().end.get(), 9);
}

#[test]
fn flush_ms_bounds_what_a_power_cut_takes() {
    let disk = MemoryDisk::new();
    let engine = start(shared(&disk)).unwrap();
    let bounded = Arc::new(LogSettings {
        flush_ms: 500,
        ..LogSettings::default()
    });
    let log = engine.open(partition_id(0), bounded).unwrap();
    append(&log, &batch(&["old"]), Durability::Written).unwrap();
    let before = disk.counts().of(Call::Sync);
    engine.upkeep(NOW_MS + 499);
    assert_eq!(disk.counts().of(Call::Sync), before);
    engine.upkeep(NOW_MS + 500);
    for _ in 0..10_000 {
        if disk.counts().of(Call::Sync) > before {
            break;
        }
        std::thread::sleep(std::time::Duration::from_micros(500));
    }
    let engine = start(shared(&disk.power_cut(Keep::Nothing))).unwrap();
    assert_eq!(open(&engine, 0).offsets().end.get(), 1);
}
