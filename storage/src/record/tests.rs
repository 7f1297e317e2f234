use std::io::Write;

use super::*;
use crate::batch::{BatchBuilder, CRC_FROM, LENGTH_FROM};

fn sample() -> Batch {
    let mut builder = BatchBuilder::new(1000);
    builder.record(Some(b"a"), Some(b"one"));
    builder.record_at(
        1500,
        None,
        None,
        &[(b"k", Some(b"1")), (b"k", Some(b"2")), (b"", None)],
    );
    builder.record_at(900, Some(b""), Some(b""), &[]);
    builder.build().unwrap()
}

/// The same batch with other record bytes and another codec.
fn with_records(batch: &Batch, codec: u8, records: &[u8]) -> Batch {
    let mut bytes = batch.bytes()[..HEADER_BYTES].to_vec();
    bytes[22] = codec;
    bytes.extend_from_slice(records);
    let length = i32::try_from(bytes.len() - LENGTH_FROM).unwrap();
    bytes[8..12].copy_from_slice(&length.to_be_bytes());
    let crc = crc32c::crc32c(&bytes[CRC_FROM..]);
    bytes[17..21].copy_from_slice(&crc.to_be_bytes());
    Batch::parse(bytes.into(), usize::MAX).unwrap()
}

fn xerial(plain: &[u8]) -> Vec<u8> {
    let mut out = b"\x82SNAPPY\0\0\0\0\x01\0\0\0\x01".to_vec();
    for block in plain.chunks(10) {
        let packed = snap::raw::Encoder::new().compress_vec(block).unwrap();
        out.extend_from_slice(&u32::try_from(packed.len()).unwrap().to_be_bytes());
        out.extend_from_slice(&packed);
    }
    out
}

fn pack(codec: u8, plain: &[u8]) -> Vec<u8> {
    match codec {
        1 => {
            let mut encoder = flate2::write::GzEncoder::new(Vec::new(), Default::default());
            encoder.write_all(plain).unwrap();
            encoder.finish().unwrap()
        }
        2 => snap::raw::Encoder::new().compress_vec(plain).unwrap(),
        3 => {
            let mut encoder = lz4_flex::frame::FrameEncoder::new(Vec::new());
            encoder.write_all(plain).unwrap();
            encoder.finish().unwrap()
        }
        _ => zstd::encode_all(plain, 3).unwrap(),
    }
}

fn all(batch: &Batch) -> Vec<Record> {
    records(batch).unwrap().map(Result::unwrap).collect()
}

fn deltas(batch: &Batch) -> Vec<(i32, i64, bool)> {
    let mut seen = Vec::new();
    walk(batch, |head| {
        seen.push((head.offset_delta, head.timestamp_delta, head.has_key));
        Ok(())
    })
    .unwrap();
    seen
}

#[test]
fn p_24_repeated_header_keys_and_nulls_survive() {
    let found = all(&sample());
    assert_eq!(found.len(), 3);
    assert_eq!(found[0].key.as_deref(), Some(&b"a"[..]));
    assert_eq!(found[0].value.as_deref(), Some(&b"one"[..]));
    assert_eq!(
        (found[1].offset, found[1].timestamp_ms),
        (Offset::new(1), 1500)
    );
    assert_eq!((&found[1].key, &found[1].value), (&None, &None));
    let headers: Vec<_> = found[1]
        .headers
        .iter()
        .map(|(key, value)| (&key[..], value.as_deref()))
        .collect();
    assert_eq!(
        headers,
        [
            (&b"k"[..], Some(&b"1"[..])),
            (b"k", Some(b"2")),
            (b"", None)
        ]
    );
    assert_eq!(found[2].key.as_deref(), Some(&b""[..]));
    assert_eq!(found[2].timestamp_ms, 900);
}

#[test]
fn every_codec_gives_the_same_records() {
    let plain = sample();
    let raw = plain.bytes()[HEADER_BYTES..].to_vec();
    for codec in 1..=4 {
        let packed = with_records(&plain, codec, &pack(codec, &raw));
        assert_eq!(all(&packed), all(&plain), "codec {codec}");
        assert_eq!(
            deltas(&packed),
            [(0, 0, true), (1, 500, false), (2, -100, true)]
        );
    }
    assert_eq!(all(&with_records(&plain, 2, &xerial(&raw))), all(&plain));
    assert_eq!(
        deltas(&with_records(&plain, 2, &xerial(&raw))),
        deltas(&plain)
    );
}

#[test]
fn log_append_time_is_every_records_time() {
    let plain = sample();
    let raw = plain.bytes()[HEADER_BYTES..].to_vec();
    let stamped = with_records(&plain, 8, &raw);
    assert!(
        all(&stamped)
            .iter()
            .all(|record| record.timestamp_ms == 1500)
    );
}

#[test]
fn cut_or_extended_records_are_refused_and_nothing_panics() {
    let plain = sample();
    let raw = plain.bytes()[HEADER_BYTES..].to_vec();
    for codec in 0..=4 {
        let packed = if codec == 0 {
            raw.clone()
        } else {
            pack(codec, &raw)
        };
        for len in 0..packed.len() {
            let cut = with_records(&plain, codec, &packed[..len]);
            // An lz4 or zstd stream may lack its end mark and still hold every record.
            let walked = walk(&cut, |_| Ok(()));
            if codec == 0 {
                assert!(walked.is_err(), "{len} bytes");
            }
        }
        for at in 0..packed.len() {
            let mut flipped = packed.clone();
            flipped[at] ^= 0x40;
            let flipped = with_records(&plain, codec, &flipped);
            let _ = walk(&flipped, |_| Ok(()));
            if let Ok(found) = records(&flipped) {
                assert!(found.count() <= 3);
            }
        }
    }
    let mut longer = raw;
    longer.push(0);
    assert!(walk(&with_records(&plain, 0, &longer), |_| Ok(())).is_err());
}

#[test]
fn a_bomb_is_refused_at_the_limit() {
    let plain = sample();
    let zeros = vec![0_u8; 1 << 20];
    let mut bomb = zstd::Encoder::new(Vec::new(), 3).unwrap();
    // One record that announces 2 GiB - 1 and goes on and on.
    bomb.write_all(&[
        0xfe, 0xff, 0xff, 0xff, 0x0f, 0, 0, 0, 1, 0xe0, 0xff, 0xff, 0xff, 0x0f,
    ])
    .unwrap();
    for _ in 0..130 {
        bomb.write_all(&zeros).unwrap();
    }
    let bomb = with_records(&plain, 4, &bomb.finish().unwrap());
    assert!(bomb.bytes().len() < 100_000);
    for outcome in [walk(&bomb, |_| Ok(())), records(&bomb).map(drop)] {
        let Err(StorageError::InvalidBatch(why)) = outcome else {
            panic!("{outcome:?}");
        };
        assert!(why.contains("too much"), "{why}");
    }
}

#[test]
fn a_snappy_block_that_claims_gigabytes_allocates_nothing() {
    let claim = [0xff, 0xff, 0xff, 0xff, 0x0f, 0, 0];
    let batch = with_records(&sample(), 2, &claim);
    assert!(records(&batch).is_err());
    assert!(walk(&batch, |_| Ok(())).is_err());
}
