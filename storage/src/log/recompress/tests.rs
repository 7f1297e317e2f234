use super::*;
use crate::BatchBuilder;
use crate::batch::CRC_FROM;

const NOW_MS: i64 = 1_700_000_000_000;
const CODECS: [Codec; 5] = [
    Codec::Uncompressed,
    Codec::Gzip,
    Codec::Snappy,
    Codec::Lz4,
    Codec::Zstd,
];

fn settings(compression: Codec) -> LogSettings {
    LogSettings {
        compression,
        ..LogSettings::default()
    }
}

/// A batch of a transaction with everything that could get lost.
fn rich() -> Batch {
    let mut builder = BatchBuilder::new(NOW_MS).producer(7, 3, 11).transactional();
    let headers: &[(&[u8], Option<&[u8]>)] = &[
        (b"a", Some(b"1")),
        (b"a", Some(b"2")),
        (b"", None),
        (b"empty", Some(b"")),
    ];
    builder.record_at(NOW_MS, None, None, headers);
    builder.record_at(NOW_MS - 5, Some(b""), Some(b""), &[]);
    builder.record_at(NOW_MS + 9, Some(b"key"), Some(&[b'x'; 5000]), headers);
    builder.build().expect("records")
}

#[test]
fn p_25_records_and_fields_survive_every_way_from_codec_to_codec() {
    let plain = rich();
    for from in CODECS {
        let sent = recompressed(&plain, &settings(from), NOW_MS).expect("well-formed");
        let sent = sent.unwrap_or_else(|| plain.clone());
        for to in CODECS {
            let stored = recompressed(&sent, &settings(to), NOW_MS).expect("well-formed");
            assert_eq!(stored.is_none(), from == to, "kept whole, or not");
            let stored = stored.unwrap_or_else(|| sent.clone());
            // As whoever reads it from the file would.
            let stored = Batch::parse(stored.bytes().clone(), 1 << 20).expect("CRC and length fit");
            assert_eq!(Some(stored.header().codec()), to.bits());
            let unpacked = record::unpacked(&stored, 1 << 20).expect("unpacks");
            assert!(unpacked == plain.packed_records(), "{from:?} to {to:?}");
            let fields = |batch: &Batch| {
                let mut header = *batch.header();
                (header.bytes, header.crc) = (0, 0);
                header.attributes &= !7;
                header
            };
            assert_eq!(fields(&stored), fields(&plain));
        }
        assert!(
            recompressed(&sent, &settings(Codec::Producer), NOW_MS)
                .expect("ok")
                .is_none()
        );
    }
}

#[test]
fn levels_are_those_of_the_settings() {
    let text: String = (0..20_000_u64)
        .map(|n| format!("{} of {} is {};", n * n % 977, n % 13, n * 7 % 1009))
        .collect();
    let mut builder = BatchBuilder::new(NOW_MS);
    builder.record(None, Some(text.as_bytes()));
    let batch = builder.build().expect("a record");
    let size = |settings: &LogSettings| {
        let stored = recompressed(&batch, settings, NOW_MS).expect("well-formed");
        stored.expect("compressed").header().bytes
    };
    for codec in [Codec::Gzip, Codec::Zstd] {
        let at = |level| {
            let mut settings = settings(codec);
            (settings.gzip_level, settings.zstd_level) = (level, level);
            size(&settings)
        };
        assert!(at(9) < at(1), "{codec:?}");
        assert!(codec != Codec::Gzip || at(-1) == at(6));
    }
}

/// The only walk of such a batch is here.
#[test]
fn p_10_records_without_a_key_are_found_whatever_the_codec() {
    for codec in [Codec::Uncompressed, Codec::Zstd] {
        let mut settings = settings(codec);
        settings.compact = true;
        checks::check_client(&rich(), &settings, NOW_MS).expect("not walked yet");
        let refused = recompressed(&rich(), &settings, NOW_MS);
        assert!(matches!(refused, Err(StorageError::KeysMissing(at)) if at == [0]));
    }
}

#[test]
fn p_14_what_is_not_well_formed_is_refused() {
    let plain = rich();
    let gzip = settings(Codec::Gzip);
    // Records that end early, in a batch whose CRC fits.
    let short = plain.packed_records();
    let short = plain
        .repacked(0, &short[..short.len() - 1])
        .expect("a batch");
    assert!(matches!(
        recompressed(&short, &gzip, NOW_MS),
        Err(StorageError::InvalidBatch(_))
    ));
    // Not gzip at all.
    let lie = plain.repacked(1, b"no gzip").expect("a batch");
    for codec in [Codec::Gzip, Codec::Zstd] {
        let refused = recompressed(&lie, &settings(codec), NOW_MS);
        assert!(
            matches!(refused, Err(StorageError::InvalidBatch(_))),
            "{codec:?}"
        );
    }
    // A time that the header does not tell of.
    let mut late = plain.bytes().to_vec();
    late[35..43].copy_from_slice(&NOW_MS.to_be_bytes());
    let mut strict = settings(Codec::Zstd);
    strict.timestamp_after_max_ms = 0;
    let crc = crc32c::crc32c(&late[CRC_FROM..]);
    late[17..21].copy_from_slice(&crc.to_be_bytes());
    let late = Batch::parse(late.into(), 1 << 20).expect("a batch");
    assert!(matches!(
        recompressed(&late, &strict, NOW_MS),
        Err(StorageError::InvalidTimestamp { .. })
    ));
}

#[test]
fn what_unfolds_to_too_much_or_is_too_large_in_the_end_is_refused() {
    let zeros = |bytes: usize| {
        let mut builder = BatchBuilder::new(NOW_MS);
        builder.record(None, Some(&vec![0; bytes]));
        let plain = builder.build().expect("a record");
        let packed = pack::pack(4, plain.packed_records().to_vec(), None).expect("compresses");
        plain.repacked(4, &packed).expect("a batch")
    };
    let gzip = settings(Codec::Gzip);
    let taken = recompressed(&zeros(3 << 20), &gzip, NOW_MS).expect("below what is free");
    assert!(taken.is_some());
    let refused = recompressed(&zeros(5 << 20), &gzip, NOW_MS);
    assert!(matches!(refused, Err(StorageError::InvalidBatch(_))));
    // 1 MiB is less than max.message.bytes only as long as it is compressed.
    let refused = recompressed(&zeros(2 << 20), &settings(Codec::Uncompressed), NOW_MS);
    assert!(matches!(refused, Err(StorageError::BatchTooLarge { .. })));
}

#[test]
fn p_25_the_largest_time_is_that_of_the_records() {
    let right = rich();
    let wrong = right.with_max_timestamp(5);
    for from in CODECS {
        let sent = recompressed(&wrong, &settings(from), NOW_MS).expect("well-formed");
        let sent = sent.expect("it is stored otherwise").with_max_timestamp(5);
        for to in CODECS {
            let stored = recompressed(&sent, &settings(to), NOW_MS).expect("well-formed");
            let stored = stored.expect("it is stored otherwise");
            let stored = Batch::parse(stored.bytes().clone(), 1 << 20).expect("CRC fits");
            assert_eq!(
                stored.header().max_timestamp,
                NOW_MS + 9,
                "{from:?} to {to:?}"
            );
        }
    }
}
