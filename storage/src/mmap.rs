//! Maps sealed index files into memory, read-only. The crate's only `unsafe`.

use std::fs::File;
use std::io;

use bytes::Bytes;

/// The whole file as bytes that the kernel reads on demand.
///
/// # Errors
/// Any failure to ask for the file's length or to map it.
#[allow(unsafe_code)]
pub(crate) fn map(file: &File) -> io::Result<Bytes> {
    if file.metadata()?.len() == 0 {
        // An empty range cannot be mapped.
        return Ok(Bytes::new());
    }
    // SAFETY: the mapping is sound as long as nobody changes or cuts the file while it lives. Only
    // sealed index files are mapped: this process writes one whole, syncs and renames it into
    // place, and never opens it for writing again (a rebuilt index is a new file under the same
    // name; an unlinked one keeps its pages). Other processes are kept out by the data directory's
    // mode (0700) and its exclusive lock.
    let map = unsafe { memmap2::Mmap::map(file)? };
    Ok(Bytes::from_owner(map))
}
