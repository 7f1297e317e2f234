//! What the engine knows of its last run: the leader epoch, which boot of the machine it was,
//! and whether it ended cleanly.

use std::collections::HashMap;
use std::path::Path;

use bytes::Bytes;

use crate::disk::{Disk, Open};
use crate::local::fields::{Fields, NEWER, begin, seal, unseal};
use crate::local::{checkpoint, cut, files, io};
use crate::{PartitionId, StorageError};

const BOOT_MAGIC: &[u8; 8] = b"ratelbot";
const CLEAN_MAGIC: &[u8; 8] = b"ratelcln";
const VERSION: u16 = 1;

/// The file of leader epoch and boot id.
pub(crate) const BOOT: &str = "boot";
/// The clean-shutdown mark.
pub(crate) const CLEAN: &str = "clean";
/// The checkpoint.
pub(crate) const CHECKPOINT: &str = "checkpoint";

/// Left by a run that a disk failure ended.
pub(crate) const FAILED: &str = "failed";

/// More logs than this are synced together with the whole file system: others may have much in
/// it that is unsynced, so not for a few.
pub(crate) const SYNCED_ONE_BY_ONE_MAX: usize = 256;

/// What was found at start.
#[derive(Debug)]
pub(crate) struct Boot {
    /// The epoch of appends from now on.
    pub leader_epoch: i32,
    /// The epoch that no stored batch is above, as far as is known.
    pub last_epoch: i32,
    /// Whether only the process died since, not the machine.
    pub is_same_boot: bool,
    /// Whether a process died that may have left renames behind which are seen and not durable.
    pub has_loose_entries: bool,
    /// Whether what is in memory alone must be written again before a sync means anything: after
    /// a failed sync the system takes pages for clean that are not on the disk.
    pub must_write_again: bool,
    /// Whether all that the last run wrote is on stable storage.
    pub is_synced: bool,
    /// The checkpoint's sections.
    pub sections: HashMap<PartitionId, Bytes>,
}

/// Read the last run's files, take the clean mark away, and write down this run's epoch: all of
/// it durable before anything is appended (DC7).
pub(crate) fn start(disk: &dyn Disk, root: &Path, boot_id: &str) -> Result<Boot, StorageError> {
    let checkpoint = files::read(disk, &root.join(CHECKPOINT)).map_err(io)?;
    let clean_path = root.join(CLEAN);
    let clean = files::read(disk, &clean_path).map_err(io)?;
    let was_clean = is_clean(clean.as_ref(), checkpoint.as_ref());
    let last = files::read(disk, &root.join(BOOT)).map_err(io)?;
    let is_first = last.is_none()
        && checkpoint.is_none()
        && disk.list(&root.join("topics")).map_err(io)?.is_empty();
    let last = match last.as_ref().map(decode) {
        Some(Err(NEWER)) => return Err(newer(&root.join(BOOT))),
        Some(Err(why)) => {
            tracing::warn!("the boot file is unusable ({why}): treated as an unclean start");
            None
        }
        Some(Ok(last)) => Some(last),
        None => None,
    };
    let sections = match checkpoint.as_ref().map(checkpoint::sections) {
        Some(Err(NEWER)) => return Err(newer(&root.join(CHECKPOINT))),
        Some(Err(why)) => {
            tracing::warn!("the checkpoint is unusable ({why}): every log is scanned");
            HashMap::new()
        }
        Some(Ok(sections)) => sections,
        None => HashMap::new(),
    };
    if clean.is_some() {
        disk.remove_file(&clean_path).map_err(io)?;
        disk.sync_dir(root).map_err(io)?;
    }
    let last_epoch = match &last {
        Some((epoch, _)) => *epoch,
        None if is_first => 0,
        None => i32::MAX,
    };
    let known = last.as_ref().map_or(0, |(epoch, _)| *epoch);
    let is_known_clean = was_clean && last.is_some();
    let raise = !is_first && !is_known_clean;
    let leader_epoch = known.saturating_add(i32::from(raise));
    let is_same_boot = !boot_id.is_empty() && last.as_ref().is_some_and(|(_, id)| id == boot_id);
    if last
        .as_ref()
        .is_none_or(|(epoch, id)| *epoch != leader_epoch || id != boot_id)
    {
        write(disk, root, leader_epoch, boot_id).map_err(io)?;
    }
    if raise {
        tracing::info!(
            leader_epoch,
            is_same_boot,
            "the last run did not end cleanly"
        );
        // A directory that the last run made may not be durable yet.
        disk.sync_dir(&root.join("topics")).map_err(io)?;
    }
    let has_failed = files::read(disk, &root.join(FAILED)).map_err(io)?.is_some();
    let must_write_again = is_same_boot && has_failed;
    Ok(Boot {
        leader_epoch,
        last_epoch,
        is_same_boot,
        has_loose_entries: raise && is_same_boot,
        must_write_again,
        is_synced: raise && !must_write_again && sync_many(disk, root)?,
        sections,
    })
}

/// After a crash each log syncs what it finds. With many logs, one sync of the whole file system
/// takes a fraction of that.
fn sync_many(disk: &dyn Disk, root: &Path) -> Result<bool, StorageError> {
    let logs = disk.list(&root.join("topics")).map_err(io)?.len();
    if logs <= SYNCED_ONE_BY_ONE_MAX {
        return Ok(false);
    }
    disk.sync_everything().map_err(io)
}

fn newer(path: &Path) -> StorageError {
    let why = format!("{} was {NEWER}", path.display());
    io(std::io::Error::new(std::io::ErrorKind::InvalidData, why))
}

/// Write the boot file, durably.
pub(crate) fn write(
    disk: &dyn Disk,
    root: &Path,
    leader_epoch: i32,
    boot_id: &str,
) -> std::io::Result<()> {
    let mut out = begin(BOOT_MAGIC, VERSION);
    out.extend_from_slice(&leader_epoch.to_be_bytes());
    let id = &boot_id.as_bytes()[..boot_id.len().min(255)];
    out.push(id.len() as u8);
    out.extend_from_slice(id);
    files::replace(disk, &root.join(BOOT), &seal(out))
}

/// The leader epoch and the boot id in a boot file.
pub(crate) fn decode(bytes: &Bytes) -> Result<(i32, String), &'static str> {
    let body = unseal(bytes, BOOT_MAGIC, VERSION)?;
    let mut fields = Fields(&body);
    let mut read = || {
        let epoch = fields.i32()?;
        let len = usize::from(fields.u8()?);
        let id = String::from_utf8(fields.bytes(len)?.to_vec()).ok()?;
        Some((epoch, id))
    };
    read().ok_or("too short")
}

/// Write the clean-shutdown mark for this checkpoint, durably.
pub(crate) fn write_clean(disk: &dyn Disk, root: &Path, checkpoint: &[u8]) -> std::io::Result<()> {
    let mut out = begin(CLEAN_MAGIC, VERSION);
    out.extend_from_slice(&(checkpoint.len() as u64).to_be_bytes());
    out.extend_from_slice(&crc32c::crc32c(checkpoint).to_be_bytes());
    files::replace(disk, &root.join(CLEAN), &seal(out))
}

/// Note that a disk failure ended this run. It need not be durable: if the machine goes down too,
/// so does what the note is about.
pub(crate) fn write_failed(disk: &dyn Disk, root: &Path) -> std::io::Result<()> {
    disk.open(&root.join(FAILED), Open::Create).map(drop)
}

/// Take the note away: everything is on the disk.
pub(crate) fn remove_failed(disk: &dyn Disk, root: &Path) -> Result<(), StorageError> {
    cut::remove(disk, &root.join(FAILED))
}

/// Whether there is a clean mark that fits the checkpoint.
pub(crate) fn is_clean(clean: Option<&Bytes>, checkpoint: Option<&Bytes>) -> bool {
    let (Some(clean), Some(checkpoint)) = (clean, checkpoint) else {
        return false;
    };
    let Ok(body) = unseal(clean, CLEAN_MAGIC, VERSION) else {
        return false;
    };
    let mut fields = Fields(&body);
    fields.u64() == Some(checkpoint.len() as u64)
        && fields.u32() == Some(crc32c::crc32c(checkpoint))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::disk_memory::MemoryDisk;
    use crate::local::checkpoint;

    /// Version 1 is out in the world: its bytes never change.
    #[test]
    fn ft_14_version_1_is_byte_for_byte_what_it_was() {
        let disk = MemoryDisk::new();
        let root = Path::new("");
        write(&disk, root, 258, "ab").unwrap();
        write_clean(&disk, root, b"checkpoint").unwrap();
        let read = |name: &str| files::read(&disk, Path::new(name)).unwrap().unwrap();
        let (boot, clean) = (read(BOOT), read(CLEAN));
        assert_eq!(boot[..19], *b"ratelbot\0\x01\0\0\0\0\x01\x02\x02ab");
        assert_eq!(clean[..20], *b"ratelcln\0\x01\0\0\0\0\0\0\0\0\0\x0a");
        assert_eq!((boot.len(), clean.len()), (23, 28));
        assert_eq!(decode(&boot), Ok((258, "ab".to_owned())));
        assert!(is_clean(
            Some(&clean),
            Some(&Bytes::from_static(b"checkpoint"))
        ));
        assert!(!is_clean(
            Some(&clean),
            Some(&Bytes::from_static(b"another one"))
        ));
    }

    #[test]
    fn ft_14_a_file_of_a_newer_version_is_refused_and_not_taken_for_damage() {
        let disk = MemoryDisk::new();
        let root = Path::new("");
        disk.create_dir(Path::new("topics")).unwrap();
        for (name, magic, version) in [
            (BOOT, BOOT_MAGIC, VERSION),
            (CHECKPOINT, b"ratelckp", checkpoint::VERSION),
        ] {
            let newer = seal(begin(magic, version + 1));
            files::replace(&disk, Path::new(name), &newer).unwrap();
            let error = start(&disk, root, "boot").unwrap_err();
            assert!(error.to_string().contains("newer version"), "{error}");
            disk.remove_file(Path::new(name)).unwrap();
        }
    }
}
