//! Where an answer says for how long its client is throttled (KIP-124), so that an answer that is
//! made already can say more.

use std::ops::Range;

use crate::ApiKey;
use crate::frame::PREFIX_BYTES;

/// Where a body holds `throttle_time_ms`.
enum Place {
    /// At its front, from this version on.
    First(i16),
    /// Behind the error code at its front.
    AfterError,
    /// Behind the error code at its front and the list of APIs, from this version on.
    AfterApis(i16),
    /// At its end, from this version on.
    Last(i16),
    /// Nowhere.
    Nowhere,
}

fn place(key: ApiKey) -> Place {
    match key {
        ApiKey::ApiVersions => Place::AfterApis(1),
        ApiKey::Produce => Place::Last(1),
        ApiKey::CreateDelegationToken
        | ApiKey::RenewDelegationToken
        | ApiKey::ExpireDelegationToken
        | ApiKey::DescribeDelegationToken => Place::Last(0),
        ApiKey::OffsetDelete => Place::AfterError,
        ApiKey::ListOffsets
        | ApiKey::OffsetForLeaderEpoch
        | ApiKey::JoinGroup
        | ApiKey::CreateTopics => Place::First(2),
        ApiKey::Metadata | ApiKey::OffsetCommit | ApiKey::OffsetFetch => Place::First(3),
        ApiKey::Fetch
        | ApiKey::FindCoordinator
        | ApiKey::Heartbeat
        | ApiKey::LeaveGroup
        | ApiKey::SyncGroup
        | ApiKey::DescribeGroups
        | ApiKey::ListGroups
        | ApiKey::DeleteTopics => Place::First(1),
        ApiKey::SaslHandshake
        | ApiKey::SaslAuthenticate
        | ApiKey::WriteTxnMarkers
        | ApiKey::DescribeQuorum => Place::Nowhere,
        _ => Place::First(0),
    }
}

/// Where an answer of this API and version, a whole frame, says it. `frame` may end behind that.
fn find(key: ApiKey, version: i16, frame: &[u8]) -> Option<Range<usize>> {
    let flexible = key.response_header_version(version) >= 1;
    let body = PREFIX_BYTES + size_of::<i32>() + usize::from(flexible);
    let at = match place(key) {
        Place::First(since) if version >= since => body,
        Place::AfterError => body + 2,
        // ApiVersions' own header is never flexible, its body is from version 3 on.
        Place::AfterApis(since) if version >= since => {
            let list = frame.get(body + 2..)?;
            let (count, head, row) = match version {
                ..3 => (u32::from_be_bytes(*list.first_chunk()?), 4, 6),
                3.. => {
                    let (count, head) = uvarint(list)?;
                    (count.checked_sub(1)?, head, 7)
                }
            };
            body + 2 + head + usize::try_from(count).ok()?.checked_mul(row)?
        }
        // Behind it stand the tags, of which there are none.
        Place::Last(since) if version >= since => {
            frame.len().checked_sub(4 + usize::from(flexible))?
        }
        _ => return None,
    };
    (at + 4 <= frame.len()).then_some(at..at + 4)
}

/// An unsigned varint and its length.
fn uvarint(bytes: &[u8]) -> Option<(u32, usize)> {
    let mut value = 0;
    for (at, byte) in bytes.iter().take(5).enumerate() {
        value |= u32::from(byte & 0x7f) << (7 * at);
        if byte & 0x80 == 0 {
            return Some((value, at + 1));
        }
    }
    None
}

/// Have an answer of this API and version, a whole frame or the front of one, say that its client
/// is throttled for so many milliseconds, if it does not say more already. Gives whether it says
/// anything of it at all.
pub fn raise(key: ApiKey, version: i16, frame: &mut [u8], throttle_ms: i32) -> bool {
    let Some(place) = find(key, version, frame) else {
        return false;
    };
    let Some(field) = frame[place].first_chunk_mut() else {
        return false;
    };
    let said = i32::from_be_bytes(*field);
    *field = said.max(throttle_ms).to_be_bytes();
    true
}
