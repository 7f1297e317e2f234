//! Requests: the header, then the typed body.

use bytes::{Buf, Bytes};
use kafka_protocol::messages::ApiKey;
use kafka_protocol::protocol::{Decodable, StrBytes};

use crate::{WireError, schema};

/// The fixed eight bytes at the front of every request: all that is needed to find its row.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Preamble {
    /// Which API.
    pub key: i16,
    /// Which version of it.
    pub version: i16,
    /// Echoed in the answer.
    pub correlation_id: i32,
}

impl Preamble {
    /// Take the preamble off the front of a frame.
    ///
    /// # Errors
    /// [`WireError::Incomplete`] if there are fewer than eight bytes.
    pub fn take(frame: &mut Bytes) -> Result<Self, WireError> {
        if frame.len() < crate::frame::REQUEST_BYTES_MIN {
            return Err(WireError::Incomplete);
        }
        Ok(Self {
            key: frame.get_i16(),
            version: frame.get_i16(),
            correlation_id: frame.get_i32(),
        })
    }
}

/// Take what follows the preamble in the header: the client id, and the tags of flexible versions.
///
/// `key` and `version` must be a row of the API table.
///
/// # Errors
/// [`WireError::Incomplete`] or [`WireError::Malformed`].
pub fn take_client_id(
    frame: &mut Bytes,
    key: ApiKey,
    version: i16,
) -> Result<Option<StrBytes>, WireError> {
    let length = frame.try_get_i16().map_err(|_| WireError::Incomplete)?;
    let client_id = match usize::try_from(length) {
        Err(_) if length == -1 => None,
        Err(_) => {
            return Err(WireError::Malformed(format!(
                "client id of length {length}"
            )));
        }
        Ok(length) if length > frame.len() => return Err(WireError::Incomplete),
        Ok(length) => Some(
            StrBytes::from_utf8(frame.split_to(length))
                .map_err(|_| WireError::Malformed("client id is not UTF-8".into()))?,
        ),
    };
    if key.request_header_version(version) >= 2 {
        let tags = schema::header_tags(frame)?;
        frame.advance(tags);
    }
    Ok(client_id)
}

/// Decode a typed body that came from the network: first a walk that allocates nothing
/// ([`schema::check`]), then the codec.
///
/// # Errors
/// [`WireError::Malformed`] if it does not parse.
pub fn decode<R: Decodable>(key: ApiKey, version: i16, body: &mut Bytes) -> Result<R, WireError> {
    schema::check(key, version, body)?;
    R::decode(body, version).map_err(|error| WireError::Malformed(error.to_string()))
}
