//! The kept corpus of the fuzz targets, replayed. `scripts/fuzz.sh` goes on from it; an input
//! that ever failed stays in it.

use std::fs;
use std::path::{Path, PathBuf};

use ratel_integration::fuzzing::TARGETS;
use ratel_protocol::schema::generate::{self, Random};
use ratel_server::api::ROUTES;
use ratel_storage::BatchBuilder;

fn corpus(target: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("fuzz/corpus")
        .join(target)
}

#[test]
fn every_kept_input_is_harmless() {
    for (target, run) in TARGETS {
        let mut replayed = 0;
        for entry in fs::read_dir(corpus(target)).expect("it is kept") {
            let path = entry.expect("a file").path();
            println!("{}", path.display());
            run(&fs::read(&path).expect("readable"));
            replayed += 1;
        }
        assert!(replayed >= 8, "{target} has {replayed} inputs");
    }
}

/// A fuzzer that starts without a request of some kind hardly ever comes by one.
#[test]
fn every_row_of_the_table_has_its_seeds() {
    for route in ROUTES {
        for version in [route.version_min, route.version_max] {
            let seed = corpus("request_decode").join(format!("{:?}-v{version}", route.key));
            assert!(
                seed.exists(),
                "no {}: run this test's write_seeds",
                seed.display()
            );
        }
    }
}

/// Seeds for every row of the table, and for batches and segments of each kind.
#[test]
#[ignore = "writes seeds into the corpus; run it by hand when an API or a format is new"]
fn write_seeds() {
    let write = |target: &str, name: &str, bytes: &[u8]| {
        let directory = corpus(target);
        fs::create_dir_all(&directory).expect("writable");
        fs::write(directory.join(name), bytes).expect("writable");
    };
    for route in ROUTES {
        for version in [route.version_min, route.version_max] {
            let seed = u64::from(route.key as u16);
            let frame = generate::frame(route.key, version, 1, &mut Random::new(seed));
            let name = format!("{:?}-v{version}", route.key);
            write("request_decode", &name, &frame.expect("it has a schema"));
        }
    }
    let builder = || BatchBuilder::new(1_700_000_000_000);
    let makers = [
        ("plain", builder()),
        ("idempotent", builder().producer(9, 0, 0)),
        ("transactional", builder().producer(9, 1, 0).transactional()),
        (
            "control",
            builder().producer(9, 1, -1).transactional().control(),
        ),
    ];
    for (name, mut builder) in makers {
        builder.record(Some(b"key"), Some(b"value"));
        builder.record(None, None);
        let batch = builder.build().expect("two records");
        write("batch_parse", name, batch.bytes());
        for codec in 1..=4u8 {
            let mut packed = batch.bytes().to_vec();
            packed[22] |= codec;
            write("batch_parse", &format!("{name}-codec-{codec}"), &packed);
        }
        let mut second = batch.bytes().to_vec();
        second[..8].copy_from_slice(&2i64.to_be_bytes());
        let whole = [&[1], &batch.bytes()[..], &second].concat();
        write("segment_recovery", name, &whole);
        write(
            "segment_recovery",
            &format!("{name}-torn"),
            &whole[..whole.len() - 5],
        );
        let deep = [&[3], &whole[1..]].concat();
        write("segment_recovery", &format!("{name}-deep"), &deep);
    }
}
