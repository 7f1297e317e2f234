//! Ranges of files that the page cache does not hold: sendfile would wait for the disk, and with
//! it every connection of its worker.

use std::io::IoSliceMut;

use ratel_storage::FileRange;
use rustix::fs::Advice;
use rustix::io::{Errno, ReadWriteFlags};

/// Up to this length, one look at the end of a range stands for all of it.
const ONE_LOOK_BYTES: usize = 256 << 10;
/// How far apart the bytes are that bring a range in.
const STRIDE_BYTES: usize = 64 << 10;

/// Whether reading the first `bytes` of a range (at least one) would wait for the disk.
pub fn is_cold(range: &FileRange, bytes: usize) -> bool {
    let last = range.position + (bytes - 1) as u64;
    let looks = [last, range.position];
    let looks = if bytes <= ONE_LOOK_BYTES {
        &looks[..1]
    } else {
        &looks[..]
    };
    looks.iter().any(|position| {
        let Some(file) = range.file.descriptor() else {
            return false;
        };
        let mut byte = [0];
        let mut buffers = [IoSliceMut::new(&mut byte)];
        let read = rustix::io::preadv2(file, &mut buffers, *position, ReadWriteFlags::NOWAIT);
        // A file system that cannot tell is taken to be warm.
        matches!(read, Err(Errno::AGAIN))
    })
}

/// Bring the first `bytes` of a range into the page cache, on a thread that may wait.
pub async fn warm(range: FileRange, bytes: usize) {
    let reading = tokio::task::spawn_blocking(move || {
        if let Some(file) = range.file.descriptor() {
            let length = std::num::NonZeroU64::new(bytes as u64);
            // Advice: without it the same bytes come in smaller pieces.
            let _ = rustix::fs::fadvise(file, range.position, length, Advice::WillNeed);
        }
        for step in (0..bytes).step_by(STRIDE_BYTES).chain([bytes - 1]) {
            // A failure is met again, and reported, by whoever sends the range.
            let _ = range.file.read_at(&mut [0], range.position + step as u64);
        }
    });
    // Fails only if the runtime is going down.
    let _ = reading.await;
}

#[cfg(test)]
mod tests {
    use std::io::IoSlice;
    use std::path::Path;

    use super::{is_cold, warm};
    use ratel_storage::FileRange;
    use ratel_storage::disk::{Disk, Open, OsDisk};

    #[tokio::test]
    async fn what_was_just_written_is_warm_and_what_was_dropped_can_be_warmed() {
        let directory = tempfile::tempdir().expect("a temporary directory");
        let disk = OsDisk::new(directory.path().to_owned());
        let file = disk
            .open(Path::new("file"), Open::Create)
            .expect("it can be made");
        let bytes = vec![7; 1 << 20];
        file.write_at(&[IoSlice::new(&bytes)], 0).expect("written");
        let range = FileRange {
            file,
            position: 0,
            len: bytes.len(),
        };
        assert!(!is_cold(&range, range.len));

        range.file.sync().expect("synced");
        let descriptor = range.file.descriptor().expect("a real file");
        let dropped = rustix::fs::fadvise(descriptor, 0, None, rustix::fs::Advice::DontNeed);
        dropped.expect("taken");
        // Whether the system follows the advice is its own affair; afterwards it is warm.
        warm(range.clone(), range.len).await;
        assert!(!is_cold(&range, range.len));
    }
}
