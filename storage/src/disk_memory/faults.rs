//! Counters of calls, and calls that fail where a test says so.

use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use super::{Errno, lock};

/// The kinds of calls.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Call {
    /// [`crate::disk::Disk::open`]
    Open,
    /// [`crate::disk::Disk::list`]
    List,
    /// [`crate::disk::Disk::create_dir`]
    CreateDir,
    /// [`crate::disk::Disk::rename`]
    Rename,
    /// [`crate::disk::Disk::remove_file`]
    RemoveFile,
    /// [`crate::disk::Disk::remove_dir`]
    RemoveDir,
    /// [`crate::disk::Disk::sync_dir`]
    SyncDir,
    /// [`crate::disk::Disk::map`]
    Map,
    /// [`crate::disk::File::write_at`]
    Write,
    /// [`crate::disk::File::read_at`]
    Read,
    /// [`crate::disk::File::sync`], also from `sync_all`
    Sync,
    /// [`crate::disk::File::set_len`]
    SetLen,
    /// [`crate::disk::File::size`]
    Size,
}

impl Call {
    /// Whether it can change what the disk holds, or what of that is durable.
    pub(super) fn changes(self) -> bool {
        !matches!(self, Self::List | Self::Map | Self::Read | Self::Size)
    }
}

const KINDS: usize = Call::Size as usize + 1;

/// A call that is to fail.
#[derive(Debug, Clone, Copy)]
pub struct Fault {
    call: Call,
    /// Calls that still go well.
    skip: u64,
    /// Calls that fail then.
    times: u64,
    pub(super) errno: Errno,
    pub(super) torn_bytes: usize,
}

impl Fault {
    /// The `nth` call of this kind from now on (1 is the next) fails with `errno`, once.
    #[must_use]
    pub fn nth(call: Call, nth: u64, errno: Errno) -> Self {
        Self {
            call,
            skip: nth.saturating_sub(1),
            times: 1,
            errno,
            torn_bytes: 0,
        }
    }

    /// All calls of this kind fail from the `nth` on.
    #[must_use]
    pub fn from_nth(call: Call, nth: u64, errno: Errno) -> Self {
        Self {
            times: u64::MAX,
            ..Self::nth(call, nth, errno)
        }
    }

    /// A write that fails leaves its first `bytes` in the file.
    #[must_use]
    pub fn torn_after(self, bytes: usize) -> Self {
        Self {
            torn_bytes: bytes,
            ..self
        }
    }
}

/// How many calls there were, those that failed included.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Counts {
    calls: [u64; KINDS],
    /// Calls of `sync_all`.
    pub rounds: u64,
    /// The most files of one `sync_all`.
    pub widest_round: u64,
}

impl Counts {
    /// The calls of one kind.
    #[must_use]
    pub fn of(&self, call: Call) -> u64 {
        self.calls[call as usize]
    }
}

#[derive(Debug, Default)]
pub(super) struct Faults {
    calls: [AtomicU64; KINDS],
    rounds: AtomicU64,
    widest_round: AtomicU64,
    any: AtomicBool,
    struck: AtomicBool,
    armed: Mutex<Vec<Fault>>,
}

impl Faults {
    pub(super) fn arm(&self, fault: Fault) {
        lock(&self.armed).push(fault);
        self.any.store(true, Ordering::SeqCst);
    }

    pub(super) fn disarm(&self) {
        lock(&self.armed).clear();
        self.any.store(false, Ordering::SeqCst);
    }

    pub(super) fn struck(&self) -> bool {
        self.struck.load(Ordering::SeqCst)
    }

    /// Count a call; the fault that hits it, if one does.
    pub(super) fn strike(&self, call: Call) -> Option<Fault> {
        self.calls[call as usize].fetch_add(1, Ordering::Relaxed);
        if !self.any.load(Ordering::SeqCst) {
            return None;
        }
        let mut armed = lock(&self.armed);
        let mut hit = None;
        for fault in armed.iter_mut().filter(|fault| fault.call == call) {
            if fault.skip > 0 {
                fault.skip -= 1;
            } else if fault.times > 0 && hit.is_none() {
                fault.times -= 1;
                hit = Some(*fault);
            }
        }
        if hit.is_some() {
            self.struck.store(true, Ordering::SeqCst);
        }
        hit
    }

    pub(super) fn round(&self, files: usize) {
        self.rounds.fetch_add(1, Ordering::Relaxed);
        self.widest_round.fetch_max(files as u64, Ordering::Relaxed);
    }

    pub(super) fn counts(&self) -> Counts {
        let mut counts = Counts {
            rounds: self.rounds.load(Ordering::Relaxed),
            widest_round: self.widest_round.load(Ordering::Relaxed),
            ..Counts::default()
        };
        for (count, calls) in counts.calls.iter_mut().zip(&self.calls) {
            *count = calls.load(Ordering::Relaxed);
        }
        counts
    }
}
