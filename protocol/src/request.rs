//! Requests: the header, then the typed body.

use crate::ApiKey;
use bytes::{Buf, Bytes};
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

#[cfg(test)]
mod tests {
    use super::{Preamble, take_client_id};
    use crate::ApiKey;
    use crate::WireError;
    use bytes::Bytes;

    #[test]
    fn net_1_a_preamble_has_eight_bytes() {
        let mut frame = Bytes::from_static(&[0, 3, 0, 12, 0, 0, 0, 9, 0xff]);
        let preamble = Preamble {
            key: 3,
            version: 12,
            correlation_id: 9,
        };
        assert_eq!(Preamble::take(&mut frame), Ok(preamble));
        assert_eq!(frame.as_ref(), [0xff]);
        let mut short = Bytes::from_static(&[0, 3, 0, 12, 0, 0, 0]);
        assert_eq!(Preamble::take(&mut short), Err(WireError::Incomplete));
    }

    /// The client id of a Metadata header, and what is left of the frame.
    fn client_id(version: i16, header: &[u8]) -> Result<(Option<String>, Vec<u8>), WireError> {
        let mut frame = Bytes::copy_from_slice(header);
        let id = take_client_id(&mut frame, ApiKey::Metadata, version)?;
        Ok((id.map(|id| id.to_string()), frame.to_vec()))
    }

    #[test]
    fn net_2_the_client_id_is_a_plain_string_and_tags_stand_only_in_flexible_versions() {
        let id = |id: &str, rest: &[u8]| Ok((Some(id.to_owned()), rest.to_vec()));
        assert_eq!(client_id(8, &[0, 1, b'a', 7]), id("a", &[7]));
        assert_eq!(client_id(8, &[0xff, 0xff, 7]), Ok((None, vec![7])));
        assert_eq!(client_id(8, &[0, 0]), id("", &[]));
        assert_eq!(client_id(9, &[0, 1, b'a', 0, 7]), id("a", &[7]));
        assert_eq!(client_id(9, &[0, 0, 1, 5, 2, 1, 2, 7]), id("", &[7]));
    }

    #[test]
    fn headers_that_do_not_parse_are_refused() {
        let incomplete: [(i16, &[u8]); 5] = [
            (8, &[]),
            (8, &[0]),
            (8, &[0, 2, b'a']),
            (9, &[0, 0]),
            (9, &[0, 0, 1, 5, 9, 1]),
        ];
        for (version, header) in incomplete {
            let refused = client_id(version, header);
            assert_eq!(refused, Err(WireError::Incomplete), "{header:02x?}");
        }
        for header in [&[0xff, 0xfe][..], &[0x80, 0], &[0, 1, 0xff]] {
            let refused = client_id(8, header);
            assert!(
                matches!(refused, Err(WireError::Malformed(_))),
                "{header:02x?}"
            );
        }
        // Nine unknown tags are more than any header has.
        let mut tags = vec![0, 0, 9];
        tags.extend((1..=9).flat_map(|tag| [tag, 0]));
        let refused = client_id(9, &tags);
        assert!(matches!(refused, Err(WireError::Malformed(_))));
    }
}
