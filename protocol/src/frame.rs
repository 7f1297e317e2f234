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

#[cfg(test)]
mod tests {
    use super::announced_length;
    use crate::WireError;

    #[test]
    fn net_1_a_length_is_a_header_at_least_and_the_limit_at_most() {
        for length in [8, 9, 1000] {
            let prefix = i32::to_be_bytes(length);
            assert_eq!(announced_length(prefix, 1000), Ok(length as usize));
        }
        for announced in [i32::MIN, -1, 0, 7, 1001, i32::MAX] {
            let refused = announced_length(announced.to_be_bytes(), 1000);
            let limit = 1000;
            assert_eq!(refused, Err(WireError::TooLarge { announced, limit }));
        }
    }
}
