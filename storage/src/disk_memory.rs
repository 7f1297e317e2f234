//! A file system in memory that knows what a power cut would take, and fails where it is told to.
//!
//! What is kept after a cut is only what was synced: bytes and lengths by [`File::sync`], entries
//! of directories (new files, renames, removals) by [`Disk::sync_dir`] on that directory. Of the
//! rest [`Keep`] chooses any part: pages of writes, lengths without their bytes, single entries.
//! [`MemoryDisk::power_cut`] and [`MemoryDisk::crash`] give the disk that the next start finds,
//! and from then on the old one refuses every call, as a machine without power would.

mod cut;
mod faults;
mod tree;

use std::io::{self, IoSlice};
use std::os::fd::BorrowedFd;
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError, RwLock, RwLockReadGuard};
use std::time::Duration;

use bytes::Bytes;
pub use rustix::io::Errno;

use crate::disk::{Disk, Entry, File, Open};
pub use cut::Keep;
use faults::Faults;
pub use faults::{Call, Counts, Fault};
use tree::Tree;

/// A file system in memory. Clones are the same disk.
#[derive(Debug, Clone)]
pub struct MemoryDisk(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    tree: Mutex<Tree>,
    faults: Faults,
    space: Arc<Space>,
    /// Whether the power is off. Every call holds it for reading, so that a cut is one moment.
    off: RwLock<bool>,
    held: Mutex<bool>,
    released: Condvar,
    sync_delay_us: AtomicU64,
    /// Calls that change something and are still let through.
    fuse: AtomicU64,
    boot: u64,
}

/// Bytes in files that have a name.
#[derive(Debug)]
struct Space {
    used: AtomicU64,
    capacity: AtomicU64,
}

/// A file's bytes, now and on stable storage.
#[derive(Debug)]
struct Inode {
    content: Mutex<Content>,
    named: AtomicBool,
}

#[derive(Debug, Default, Clone)]
struct Content {
    now: Vec<u8>,
    durable: Vec<u8>,
    unsynced: Vec<Change>,
}

/// Something done to a file since its last sync.
#[derive(Debug, Clone)]
enum Change {
    Write { position: usize, bytes: Vec<u8> },
    SetLen(usize),
}

impl Change {
    fn apply(&self, content: &mut Vec<u8>) {
        match self {
            Self::Write { position, bytes } => put(content, *position, bytes),
            Self::SetLen(len) => content.resize(*len, 0),
        }
    }
}

/// Write `bytes` at `position`, with zeros where nothing was.
fn put(content: &mut Vec<u8>, position: usize, bytes: &[u8]) {
    if position == content.len() {
        content.extend_from_slice(bytes);
        return;
    }
    let end = position + bytes.len();
    if content.len() < end {
        content.resize(end, 0);
    }
    content[position..end].copy_from_slice(bytes);
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

fn error(errno: Errno) -> io::Error {
    errno.into()
}

impl Default for MemoryDisk {
    fn default() -> Self {
        Self::new()
    }
}

impl MemoryDisk {
    /// An empty disk.
    #[must_use]
    pub fn new() -> Self {
        Self::with_tree(Tree::default(), 0)
    }

    fn with_tree(tree: Tree, boot: u64) -> Self {
        let space = Space {
            used: AtomicU64::new(tree.bytes()),
            capacity: AtomicU64::new(u64::MAX),
        };
        Self(Arc::new(Shared {
            tree: Mutex::new(tree),
            faults: Faults::default(),
            space: Arc::new(space),
            off: RwLock::new(false),
            held: Mutex::new(false),
            released: Condvar::new(),
            sync_delay_us: AtomicU64::new(0),
            fuse: AtomicU64::new(u64::MAX),
            boot,
        }))
    }

    /// The power fails now: every later call on this disk fails with EIO. Gives the disk as the
    /// next boot finds it. Called again it gives another outcome of the same cut.
    #[must_use]
    pub fn power_cut(&self, keep: Keep) -> Self {
        self.switch_off();
        Self::with_tree(lock(&self.0.tree).after_cut(keep), self.0.boot + 1)
    }

    /// The process dies now: every later call on this disk fails with EIO. Gives the disk as the
    /// next process finds it: all is there, and what was not synced can still be lost later.
    #[must_use]
    pub fn crash(&self) -> Self {
        self.switch_off();
        Self::with_tree(lock(&self.0.tree).fork(), self.0.boot)
    }

    /// How many single choices [`Keep::Mask`] has at this moment.
    #[must_use]
    pub fn choices(&self) -> usize {
        lock(&self.0.tree).choices()
    }

    /// The power fails, or the process dies, before the `nth` call from now that changes something
    /// (1 is the next). What it leaves is asked for as ever: [`MemoryDisk::power_cut`],
    /// [`MemoryDisk::crash`].
    pub fn stop_before(&self, nth: u64) {
        self.0.fuse.store(nth.saturating_sub(1), Ordering::SeqCst);
    }

    /// Whether the disk refuses every call.
    #[must_use]
    pub fn is_off(&self) -> bool {
        *self.0.off.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn switch_off(&self) {
        self.0.switch_off();
    }

    /// Arm a fault.
    pub fn fail(&self, fault: Fault) {
        self.0.faults.arm(fault);
    }

    /// Disarm all faults.
    pub fn mend(&self) {
        self.0.faults.disarm();
    }

    /// Whether an armed fault has struck.
    #[must_use]
    pub fn has_failed(&self) -> bool {
        self.0.faults.struck()
    }

    /// Let files hold at most `bytes` together. What does not fit fails with ENOSPC after the part
    /// that fits was written.
    pub fn set_capacity(&self, bytes: u64) {
        self.0.space.capacity.store(bytes, Ordering::Relaxed);
    }

    /// Bytes of all files that have a name.
    #[must_use]
    pub fn used(&self) -> u64 {
        self.0.space.used.load(Ordering::Relaxed)
    }

    /// Let syncs of files wait until [`MemoryDisk::release_syncs`].
    pub fn hold_syncs(&self) {
        *lock(&self.0.held) = true;
    }

    /// Let the syncs that wait go on.
    pub fn release_syncs(&self) {
        *lock(&self.0.held) = false;
        self.0.released.notify_all();
    }

    /// Let each sync of a file take so long.
    pub fn set_sync_delay(&self, delay: Duration) {
        let micros = u64::try_from(delay.as_micros()).unwrap_or(u64::MAX);
        self.0.sync_delay_us.store(micros, Ordering::Relaxed);
    }

    /// The calls so far.
    #[must_use]
    pub fn counts(&self) -> Counts {
        self.0.faults.counts()
    }
}

impl Shared {
    fn switch_off(&self) {
        *self.off.write().unwrap_or_else(PoisonError::into_inner) = true;
        *lock(&self.held) = false;
        self.released.notify_all();
    }

    /// Count down to the call that finds the power off.
    fn burn(&self, call: Call) {
        if !call.changes() || self.fuse.load(Ordering::Relaxed) == u64::MAX {
            return;
        }
        let left = |fuse: u64| fuse.checked_sub(1);
        if self
            .fuse
            .fetch_update(Ordering::SeqCst, Ordering::SeqCst, left)
            .is_err()
        {
            self.switch_off();
        }
    }

    /// Keeps the power from being cut in the middle of a call.
    fn power(&self) -> io::Result<RwLockReadGuard<'_, bool>> {
        let off = self.off.read().unwrap_or_else(PoisonError::into_inner);
        if *off { Err(error(Errno::IO)) } else { Ok(off) }
    }

    /// Count a call, and refuse it if the power is off or a fault says so.
    fn enter(&self, call: Call) -> io::Result<RwLockReadGuard<'_, bool>> {
        self.burn(call);
        let on = self.power()?;
        match self.faults.strike(call) {
            None => Ok(on),
            Some(fault) => Err(error(fault.errno)),
        }
    }

    fn sync(&self, inode: &Inode) -> io::Result<()> {
        let mut held = lock(&self.held);
        while *held {
            held = self
                .released
                .wait(held)
                .unwrap_or_else(PoisonError::into_inner);
        }
        drop(held);
        let delay_us = self.sync_delay_us.load(Ordering::Relaxed);
        if delay_us > 0 {
            std::thread::sleep(Duration::from_micros(delay_us));
        }
        self.burn(Call::Sync);
        let _on = self.power()?;
        let mut content = lock(&inode.content);
        if let Some(fault) = self.faults.strike(Call::Sync) {
            // As Linux does it: the pages count as clean from now on, so no later sync writes
            // them, and they are gone once the page cache is.
            content.unsynced.clear();
            return Err(error(fault.errno));
        }
        content.sync();
        Ok(())
    }

    /// Take `wanted` bytes of the space that is left; gives how many there were.
    fn take(&self, inode: &Inode, wanted: usize) -> usize {
        if wanted == 0 || !inode.named.load(Ordering::Relaxed) {
            return wanted;
        }
        let mut used = self.space.used.load(Ordering::Relaxed);
        loop {
            let free = self
                .space
                .capacity
                .load(Ordering::Relaxed)
                .saturating_sub(used);
            let taken = wanted.min(usize::try_from(free).unwrap_or(usize::MAX));
            match self.space.used.compare_exchange(
                used,
                used + taken as u64,
                Ordering::Relaxed,
                Ordering::Relaxed,
            ) {
                Ok(_) => return taken,
                Err(now) => used = now,
            }
        }
    }

    /// Give back what a file that lost its name took.
    fn unname(&self, inode: &Inode) {
        if inode.named.swap(false, Ordering::Relaxed) {
            let bytes = lock(&inode.content).now.len() as u64;
            self.space.used.fetch_sub(bytes, Ordering::Relaxed);
        }
    }
}

impl Inode {
    fn new(content: Content, named: bool) -> Arc<Self> {
        Arc::new(Self {
            content: Mutex::new(content),
            named: AtomicBool::new(named),
        })
    }
}

impl Content {
    fn write(&mut self, position: usize, bytes: &[u8]) {
        put(&mut self.now, position, bytes);
        // Appends of one file that follow each other stay apart: a cut may keep either.
        self.unsynced.push(Change::Write {
            position,
            bytes: bytes.to_vec(),
        });
    }

    fn set_len(&mut self, len: usize) {
        self.now.resize(len, 0);
        self.unsynced.push(Change::SetLen(len));
    }

    fn sync(&mut self) {
        for change in self.unsynced.drain(..) {
            change.apply(&mut self.durable);
        }
    }
}

impl Disk for MemoryDisk {
    fn open(&self, path: &Path, open: Open) -> io::Result<Arc<dyn File>> {
        let _on = self.0.enter(Call::Open)?;
        let inode = lock(&self.0.tree).open(path, open)?;
        let file = MemoryFile {
            inode,
            disk: Arc::clone(&self.0),
            writable: open != Open::Read,
        };
        if open == Open::Truncate {
            file.resize(0)?;
        }
        Ok(Arc::new(file))
    }

    fn list(&self, dir: &Path) -> io::Result<Vec<Entry>> {
        let _on = self.0.enter(Call::List)?;
        lock(&self.0.tree).list(dir)
    }

    fn create_dir(&self, dir: &Path) -> io::Result<()> {
        let _on = self.0.enter(Call::CreateDir)?;
        lock(&self.0.tree).create_dir(dir)
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        let _on = self.0.enter(Call::Rename)?;
        if let Some(replaced) = lock(&self.0.tree).rename(from, to)? {
            self.0.unname(&replaced);
        }
        Ok(())
    }

    fn remove_file(&self, path: &Path) -> io::Result<()> {
        let _on = self.0.enter(Call::RemoveFile)?;
        let removed = lock(&self.0.tree).remove_file(path)?;
        self.0.unname(&removed);
        Ok(())
    }

    fn remove_dir(&self, dir: &Path) -> io::Result<()> {
        let _on = self.0.enter(Call::RemoveDir)?;
        let removed = lock(&self.0.tree).remove_dir(dir)?;
        for inode in removed {
            self.0.unname(&inode);
        }
        Ok(())
    }

    fn sync_dir(&self, dir: &Path) -> io::Result<()> {
        let _on = self.0.enter(Call::SyncDir)?;
        lock(&self.0.tree).sync_dir(dir)
    }

    fn sync_all(&self, files: &[Arc<dyn File>]) -> io::Result<()> {
        if !files.is_empty() {
            self.0.faults.round(files.len());
        }
        let mut outcome = Ok(());
        for file in files {
            outcome = outcome.and(file.sync());
        }
        outcome
    }

    fn map(&self, path: &Path) -> io::Result<Bytes> {
        let _on = self.0.enter(Call::Map)?;
        let inode = lock(&self.0.tree).open(path, Open::Read)?;
        let content = lock(&inode.content);
        Ok(Bytes::copy_from_slice(&content.now))
    }

    fn free_bytes(&self, _: &Path) -> io::Result<u64> {
        let capacity = self.0.space.capacity.load(Ordering::Relaxed);
        Ok(capacity.saturating_sub(self.used()))
    }

    fn boot_id(&self) -> io::Result<String> {
        Ok(format!("memory-{}", self.0.boot))
    }
}

/// An open file of a [`MemoryDisk`].
#[derive(Debug)]
struct MemoryFile {
    inode: Arc<Inode>,
    disk: Arc<Shared>,
    writable: bool,
}

impl MemoryFile {
    fn resize(&self, len: usize) -> io::Result<()> {
        let mut content = lock(&self.inode.content);
        let before = content.now.len();
        if len > before {
            let taken = self.disk.take(&self.inode, len - before);
            if taken < len - before {
                self.disk
                    .space
                    .used
                    .fetch_sub(taken as u64, Ordering::Relaxed);
                return Err(error(Errno::NOSPC));
            }
        } else if self.inode.named.load(Ordering::Relaxed) {
            let freed = (before - len) as u64;
            self.disk.space.used.fetch_sub(freed, Ordering::Relaxed);
        }
        if len != before {
            content.set_len(len);
        }
        Ok(())
    }
}

fn place(position: u64) -> io::Result<usize> {
    // A test's file never comes near this; a wrong position must not eat the memory.
    usize::try_from(position)
        .ok()
        .filter(|at| *at <= 1 << 32)
        .ok_or_else(|| error(Errno::FBIG))
}

impl File for MemoryFile {
    fn write_at(&self, buffers: &[IoSlice<'_>], position: u64) -> io::Result<()> {
        self.disk.burn(Call::Write);
        let _on = self.disk.power()?;
        if !self.writable {
            return Err(error(Errno::BADF));
        }
        let position = place(position)?;
        let mut bytes = Vec::new();
        for buffer in buffers {
            bytes.extend_from_slice(buffer);
        }
        let mut outcome = Ok(());
        if let Some(fault) = self.disk.faults.strike(Call::Write) {
            bytes.truncate(fault.torn_bytes);
            outcome = Err(error(fault.errno));
        }
        let mut content = lock(&self.inode.content);
        let grown = (position + bytes.len()).saturating_sub(content.now.len());
        let taken = self.disk.take(&self.inode, grown);
        if taken < grown {
            bytes.truncate(bytes.len().saturating_sub(grown - taken));
            outcome = outcome.and(Err(error(Errno::NOSPC)));
        }
        if !bytes.is_empty() {
            content.write(position, &bytes);
        }
        outcome
    }

    fn read_at(&self, buffer: &mut [u8], position: u64) -> io::Result<usize> {
        let _on = self.disk.enter(Call::Read)?;
        let content = lock(&self.inode.content);
        let from = usize::try_from(position)
            .unwrap_or(usize::MAX)
            .min(content.now.len());
        let len = buffer.len().min(content.now.len() - from);
        buffer[..len].copy_from_slice(&content.now[from..from + len]);
        Ok(len)
    }

    fn sync(&self) -> io::Result<()> {
        self.disk.sync(&self.inode)
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        let _on = self.disk.enter(Call::SetLen)?;
        if !self.writable {
            return Err(error(Errno::INVAL));
        }
        self.resize(place(len)?)
    }

    fn size(&self) -> io::Result<u64> {
        let _on = self.disk.enter(Call::Size)?;
        Ok(lock(&self.inode.content).now.len() as u64)
    }

    fn descriptor(&self) -> Option<BorrowedFd<'_>> {
        None
    }
}

#[cfg(test)]
mod tests;
