//! How much room the data directory's file system has.

use std::path::Path;

/// The size of the file system that holds `dir` and what of it can still be written, in bytes;
/// `None` if the system does not say.
#[must_use]
pub fn of(dir: &Path) -> Option<(u64, u64)> {
    let stat = rustix::fs::statvfs(dir).ok()?;
    let bytes = |blocks: u64| blocks.saturating_mul(stat.f_frsize);
    Some((bytes(stat.f_blocks), bytes(stat.f_bavail)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_directory_has_room_and_a_missing_one_is_unknown() {
        let dir = tempfile::tempdir().expect("a directory");
        let (total, usable) = of(dir.path()).expect("a file system");
        assert!(0 < usable && usable <= total);
        assert_eq!(of(&dir.path().join("missing")), None);
    }
}
