//! Opens a log after a crash: walks what may be torn, batch by batch.
//!
//! What it finds decides what happens (DC6): an invalid batch with nothing valid behind it is a
//! torn tail; with something valid behind it, it is corruption if only the process died, and a
//! place to cut if the machine did (pages reach the disk in any order).

use crate::batch::{BatchHeader, HEADER_BYTES};
use crate::disk::File;
use crate::log::reader::{Hop, Window};
use crate::{Marker, Offset, Position, StorageError};

/// Where a walk begins and what may stand there.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Begin {
    /// The first byte.
    pub position: Position,
    /// The offset of the batch there.
    pub expected: Offset,
    /// The epoch of the batch in front: later ones are not lower.
    pub epoch: i32,
    /// The epoch that no batch is above.
    pub epoch_max: i32,
}

/// Where a walk ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Walked {
    /// One past the last good batch.
    pub position: Position,
    /// One past its last offset.
    pub end: Offset,
    /// The epoch of the last good batch.
    pub epoch: i32,
    /// What is wrong there; `None` at the end of the file.
    pub stop: Option<&'static str>,
}

/// Walk the batches of `file`, `len` bytes long, and check every one. Markers are given besides.
///
/// # Errors
/// [`StorageError::Io`] if it cannot be read.
pub(crate) fn walk(
    file: &dyn File,
    len: Position,
    begin: Begin,
    mut visit: impl FnMut(&Hop, Option<&Marker>),
) -> Result<Walked, StorageError> {
    let mut window = Window::scanning(file, len);
    let mut walked = Walked {
        position: begin.position,
        end: begin.expected,
        epoch: begin.epoch,
        stop: None,
    };
    loop {
        walked.stop = match window.hop(walked.position) {
            Ok(None) => return Ok(walked),
            Ok(Some(hop)) if hop.base() != walked.end => Some("an offset out of line"),
            Ok(Some(hop)) if !epoch_fits(&hop, walked.epoch, begin.epoch_max) => {
                Some("a leader epoch out of line")
            }
            Ok(Some(hop)) => {
                if window.crc_fits(&hop)? {
                    visit(&hop, window.marker(&hop)?.as_ref());
                    walked.position = hop.next();
                    walked.end = hop.end_offset();
                    walked.epoch = hop.header.leader_epoch;
                    continue;
                }
                Some("CRC does not match")
            }
            Err(StorageError::CorruptBatch(why)) => Some(why),
            Err(error) => return Err(error),
        };
        return Ok(walked);
    }
}

fn epoch_fits(hop: &Hop, least: i32, most: i32) -> bool {
    (least..=most).contains(&hop.header.leader_epoch)
}

/// Look for a valid batch from where a walk stopped, byte by byte: the length of the invalid one
/// may be what is broken. `base` names the segment.
///
/// A batch counts if its CRC fits and its offset and epoch could follow. One that a producer put
/// into a record's value can be taken for one of ours; that costs a refusal to open, never data.
///
/// # Errors
/// [`StorageError::Io`] if the file cannot be read.
pub(crate) fn resume(
    file: &dyn File,
    len: Position,
    base: Offset,
    walked: &Walked,
    epoch_max: i32,
) -> Result<Option<Hop>, StorageError> {
    let mut window = Window::scanning(file, len);
    // No byte is missing in front of the batch at the stop, so it cannot be the one that follows
    // a gap: unless it is the segment's first, whose offset is the file's name.
    let mut at = walked.position;
    if at > 0 || !begins_with(&mut window, base)? {
        at += 1;
    }
    while at + HEADER_BYTES as u64 <= len {
        let bytes = window.bytes(at, HEADER_BYTES)?;
        let candidates = bytes.len() - HEADER_BYTES + 1;
        let found = (0..candidates).find(|skip| could_follow(&bytes[*skip..], walked, epoch_max));
        let Some(skip) = found else {
            at += candidates as u64;
            continue;
        };
        at += skip as u64;
        if let Ok(Some(hop)) = window.hop(at)
            && window.crc_fits(&hop)?
        {
            return Ok(Some(hop));
        }
        at += 1;
    }
    Ok(None)
}

fn begins_with(window: &mut Window<'_>, base: Offset) -> Result<bool, StorageError> {
    match window.hop(0) {
        Ok(hop) => Ok(hop.is_some_and(|hop| hop.base() == base)),
        Err(StorageError::CorruptBatch(_)) => Ok(false),
        Err(error) => Err(error),
    }
}

/// The cheap questions, before a CRC is computed.
fn could_follow(bytes: &[u8], walked: &Walked, epoch_max: i32) -> bool {
    if bytes[16] != 2 {
        return false;
    }
    let Ok(header) = BatchHeader::decode(bytes) else {
        return false;
    };
    let ahead = header.base_offset.saturating_sub(walked.end.get());
    (1..=i64::from(i32::MAX)).contains(&ahead)
        && header.last_offset_delta >= 0
        && (0..=header.last_offset_delta.saturating_add(1)).contains(&header.count)
        && (walked.epoch..=epoch_max).contains(&header.leader_epoch)
}
