//! The length prefix in front of every request and response.

use crate::WireError;

/// Bytes of the length prefix.
pub const PREFIX_BYTES: usize = 4;
/// Every request holds at least key, version and correlation id.
pub const REQUEST_BYTES_MIN: usize = 8;

/// The body length that a prefix announces, checked against `limit` in bytes (NET-1).
///
/// # Errors
/// [`WireError::TooLarge`] if it is negative, too short for a header, or above `limit`.
pub fn announced_length(prefix: [u8; PREFIX_BYTES], limit: usize) -> Result<usize, WireError> {
    let announced = i32::from_be_bytes(prefix);
    match usize::try_from(announced) {
        Ok(length) if (REQUEST_BYTES_MIN..=limit).contains(&length) => Ok(length),
        _ => Err(WireError::TooLarge { announced, limit }),
    }
}
