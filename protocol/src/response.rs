//! Responses: header and body into one buffer.

use crate::ApiKey;
use bytes::{BufMut, Bytes, BytesMut};
use kafka_protocol::protocol::Encodable;

/// Encode a whole response frame, length prefix included.
///
/// # Panics
/// If the message holds a field that this version cannot carry: a bug of the handler, which must
/// fit its answer to the version first (every handler is tested at every version it advertises).
#[must_use]
pub fn encode<R: Encodable>(key: ApiKey, version: i16, correlation_id: i32, body: &R) -> Bytes {
    let mut buffer = BytesMut::with_capacity(256);
    buffer.put_i32(0);
    put_header(&mut buffer, key, version, correlation_id);
    if let Err(error) = body.encode(&mut buffer, version) {
        unreachable!("{key:?} v{version} answer does not encode: {error}");
    }
    close_frame(&mut buffer, 0);
    buffer.freeze()
}

/// Append the response header (NET-2).
pub fn put_header(buffer: &mut BytesMut, key: ApiKey, version: i16, correlation_id: i32) {
    buffer.put_i32(correlation_id);
    if key.response_header_version(version) >= 1 {
        buffer.put_u8(0);
    }
}

/// Write the length prefix of a frame that starts at the front of `buffer` and goes on for
/// `more` bytes behind it.
///
/// # Panics
/// If the frame is longer than an int32 can say.
pub fn close_frame(buffer: &mut BytesMut, more: usize) {
    let length = buffer.len() - crate::frame::PREFIX_BYTES + more;
    let length = i32::try_from(length).expect("limits keep answers below 2 GiB");
    buffer[..crate::frame::PREFIX_BYTES].copy_from_slice(&length.to_be_bytes());
}
