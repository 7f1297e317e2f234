//! Big-endian fields of the engine's own small files.

use bytes::Bytes;

/// Reads fields from the front; `None` when the bytes end.
pub(crate) struct Fields<'a>(pub &'a [u8]);

impl<'a> Fields<'a> {
    /// The next `len` bytes.
    pub fn bytes(&mut self, len: usize) -> Option<&'a [u8]> {
        let (field, rest) = self.0.split_at_checked(len)?;
        self.0 = rest;
        Some(field)
    }

    fn array<const N: usize>(&mut self) -> Option<[u8; N]> {
        let (field, rest) = self.0.split_first_chunk::<N>()?;
        self.0 = rest;
        Some(*field)
    }

    pub fn u8(&mut self) -> Option<u8> {
        self.array().map(u8::from_be_bytes)
    }

    pub fn u16(&mut self) -> Option<u16> {
        self.array().map(u16::from_be_bytes)
    }

    pub fn i16(&mut self) -> Option<i16> {
        self.array().map(i16::from_be_bytes)
    }

    pub fn u32(&mut self) -> Option<u32> {
        self.array().map(u32::from_be_bytes)
    }

    pub fn i32(&mut self) -> Option<i32> {
        self.array().map(i32::from_be_bytes)
    }

    pub fn u64(&mut self) -> Option<u64> {
        self.array().map(u64::from_be_bytes)
    }

    pub fn i64(&mut self) -> Option<i64> {
        self.array().map(i64::from_be_bytes)
    }

    pub fn u128(&mut self) -> Option<u128> {
        self.array().map(u128::from_be_bytes)
    }

    /// A count of items of `item_bytes` each at least: never more than there are bytes for.
    pub fn count(&mut self, item_bytes: usize) -> Option<usize> {
        let count = self.u32()? as usize;
        (count <= self.0.len() / item_bytes).then_some(count)
    }
}

/// What a small file begins with: eight bytes of name, a version, two bytes of nothing.
pub(crate) const HEAD_BYTES: usize = 12;

/// Begin a file.
pub(crate) fn begin(magic: &[u8; 8], version: u16) -> Vec<u8> {
    let mut out = magic.to_vec();
    out.extend_from_slice(&version.to_be_bytes());
    out.extend_from_slice(&[0; 2]);
    out
}

/// End a file with the CRC of all before it.
pub(crate) fn seal(mut out: Vec<u8>) -> Vec<u8> {
    let crc = crc32c::crc32c(&out);
    out.extend_from_slice(&crc.to_be_bytes());
    out
}

/// What lies between the head and the CRC of a small file, if both fit.
///
/// # Errors
/// What does not fit. [`NEWER`] means that a later version of the program wrote it.
pub(crate) fn unseal(bytes: &Bytes, magic: &[u8; 8], version: u16) -> Result<Bytes, &'static str> {
    check_head(bytes, magic, version)?;
    let Some(foot) = bytes
        .len()
        .checked_sub(4)
        .filter(|foot| *foot >= HEAD_BYTES)
    else {
        return Err("too short");
    };
    let crc = Fields(&bytes[foot..]).u32();
    if crc != Some(crc32c::crc32c(&bytes[..foot])) {
        return Err("CRC does not match");
    }
    Ok(bytes.slice(HEAD_BYTES..foot))
}

/// A file of a version that this program does not know.
pub(crate) const NEWER: &str = "written by a newer version";

/// Check the first bytes of a file.
pub(crate) fn check_head(bytes: &[u8], magic: &[u8; 8], version: u16) -> Result<(), &'static str> {
    let mut fields = Fields(bytes);
    if fields.bytes(8) != Some(magic) {
        return Err("not a file of this kind");
    }
    match fields.u16() {
        Some(found) if found == version => Ok(()),
        Some(found) if found > version => Err(NEWER),
        _ => Err("an unknown version"),
    }
}
