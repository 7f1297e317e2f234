//! What the fuzz targets run: bytes in, nothing out, and no panic. The same functions replay the
//! kept corpus as an ordinary test (`tests/corpus.rs`).

use std::path::Path;
use std::sync::Arc;

use bytes::Bytes;
use ratel_server::api;
use ratel_storage::disk::{Disk, Open};
use ratel_storage::disk_memory::MemoryDisk;
use ratel_storage::{
    Batch, BatchBuilder, Bound, Durability, Engine, LocalEngine, LocalOptions, LogSettings, Offset,
    Origin, Partition, PartitionId, Read, ReadRequest, TopicId, Validation, record,
};

/// A target: its name, which is also the name of its corpus, and what it runs.
pub type Target = (&'static str, fn(&[u8]));

/// All targets.
pub const TARGETS: [Target; 3] = [
    ("request_decode", request_decode),
    ("batch_parse", batch_parse),
    ("segment_recovery", segment_recovery),
];

/// Where a batch's length stands, and what is in front of the part that it counts.
const LENGTH: std::ops::Range<usize> = 8..12;
const LENGTH_FROM: usize = 12;
const CRC: std::ops::Range<usize> = 17..21;
const HEADER_BYTES: usize = 61;
const BATCH_BYTES_MAX: usize = 1 << 20;

/// A frame without its length, of any key and version.
pub fn request_decode(data: &[u8]) {
    let _ = api::check(Bytes::copy_from_slice(data));
}

/// The records of one partition in a Produce request, as they are and with a CRC that fits.
pub fn batch_parse(data: &[u8]) {
    let mut fitting = data.to_vec();
    fit(&mut fitting);
    for bytes in [data.to_vec(), fitting] {
        let Ok(batch) = Batch::parse(bytes.into(), BATCH_BYTES_MAX) else {
            continue;
        };
        let listed = record::records(&batch).map(|records| records.filter(Result::is_ok).count());
        let mut walked = 0;
        let walk = record::walk(&batch, |_| {
            walked += 1;
            Ok(())
        });
        if walk.is_ok() {
            assert_eq!(listed.ok(), Some(walked), "both ways see the same records");
        }
    }
}

/// A segment that a crash left behind: the first byte says whether the CRCs are made to fit and
/// whether records are looked into, the rest is the file. The log opens or says why not; what it
/// opens can be read and appended to.
pub fn segment_recovery(data: &[u8]) {
    let Some((&choice, rest)) = data.split_first() else {
        return;
    };
    let mut segment = rest.to_vec();
    if choice & 1 != 0 {
        fit_all(&mut segment);
    }
    let id = PartitionId {
        topic: TopicId::from_u128(1),
        index: 0,
    };
    let disk = MemoryDisk::new();
    let directory = Path::new("topics").join(id.to_string());
    let written = disk.create_dir(&directory).and_then(|()| {
        let path = directory.join(format!("{:020}.log", 0));
        let file = disk.open(&path, Open::Create)?;
        file.write_at(&[std::io::IoSlice::new(&segment)], 0)
    });
    written.expect("a disk in memory takes it");
    let engine = LocalEngine::open(
        Arc::new(disk),
        Path::new(""),
        LocalOptions::default(),
        1_700_000_000_000,
    )
    .expect("an empty engine opens");
    let settings = LogSettings {
        validation: if choice & 2 != 0 {
            Validation::Records
        } else {
            Validation::Header
        },
        ..LogSettings::default()
    };
    if let Ok(log) = engine.open(id, Arc::new(settings)) {
        let runtime = tokio::runtime::Builder::new_current_thread().build();
        let runtime = runtime.expect("a runtime without drivers");
        runtime.block_on(use_log(&*log));
    }
}

/// Read a log from end to end, then append to it.
async fn use_log(log: &dyn Partition) {
    let offsets = log.offsets();
    assert!(offsets.start <= offsets.end, "{offsets:?}");
    let mut from = offsets.start;
    while from < offsets.end {
        match read(log, from).await {
            Some(next) => {
                assert!(next > from, "a read moves on");
                from = next;
            }
            None => break,
        }
    }
    let mut builder = BatchBuilder::new(1_700_000_000_000);
    builder.record(None, Some(b"after"));
    let batch = builder.build().expect("a record");
    let appended = log.append(
        &batch,
        Origin::Client,
        Durability::Written,
        1_700_000_000_000,
    );
    match appended.await {
        Ok(appended) => assert_eq!(appended.base_offset, offsets.end),
        // A damaged log is read-only, and an offset at the end of the numbers is the last.
        Err(_) => {
            assert!(log.damage().is_some() || offsets.end.get() > i64::MAX - 2);
        }
    }
}

/// Read from here; one past what was read, or `None` if nothing was.
async fn read(log: &dyn Partition, from: Offset) -> Option<Offset> {
    let request = ReadRequest {
        from,
        max_bytes: 4096,
        at_least_one: true,
        bound: Bound::End,
    };
    let Ok(Read { records, .. }) = log.read(request).await else {
        return None;
    };
    let mut bytes = records?.to_bytes().ok()?;
    let mut next = None;
    while !bytes.is_empty() {
        let header = ratel_storage::BatchHeader::decode(&bytes).expect("whole batches");
        let batch = Batch::parse(bytes.split_to(header.bytes), usize::MAX);
        batch.expect("only what is whole is given out");
        let last = header
            .base_offset
            .checked_add(header.last_offset_delta.into());
        next = Some(Offset::new(last.expect("recovery refuses it")).plus(1));
    }
    next
}

/// Make length and CRC of the one batch in `bytes` fit.
fn fit(bytes: &mut [u8]) {
    if bytes.len() < HEADER_BYTES {
        return;
    }
    let length = i32::try_from(bytes.len() - LENGTH_FROM).unwrap_or(i32::MAX);
    bytes[LENGTH].copy_from_slice(&length.to_be_bytes());
    bytes[16] = 2;
    let crc = crc32c::crc32c(&bytes[CRC.end..]);
    bytes[CRC].copy_from_slice(&crc.to_be_bytes());
}

/// Make the CRC of each batch in a file fit, as far as the lengths lead.
fn fit_all(mut bytes: &mut [u8]) {
    while bytes.len() >= HEADER_BYTES {
        let mut length = [0; 4];
        length.copy_from_slice(&bytes[LENGTH]);
        let length = usize::try_from(i32::from_be_bytes(length)).unwrap_or(usize::MAX);
        let end = length.saturating_add(LENGTH_FROM);
        if end < HEADER_BYTES || end > bytes.len() {
            return;
        }
        let (batch, rest) = bytes.split_at_mut(end);
        batch[16] = 2;
        let crc = crc32c::crc32c(&batch[CRC.end..]);
        batch[CRC].copy_from_slice(&crc.to_be_bytes());
        bytes = rest;
    }
}
