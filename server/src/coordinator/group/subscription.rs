//! The one look into a member's opaque metadata: which topics does a `consumer` group read?
//!
//! ```text
//! | version i16 | count i32 | topic: length i16, bytes | ... | what later versions add |
//! ```

use std::collections::BTreeSet;
use std::sync::Arc;

/// The protocol type whose metadata is understood.
pub const CONSUMER: &str = "consumer";

/// The topics of one member's subscription; `None` if the bytes are something else.
pub fn topics(metadata: &[u8]) -> Option<Vec<&str>> {
    let (_, rest) = metadata.split_at_checked(2)?;
    let (count, mut rest) = rest.split_first_chunk::<4>()?;
    let count = usize::try_from(i32::from_be_bytes(*count)).ok()?;
    let mut topics = Vec::new();
    for _ in 0..count {
        let (length, behind) = rest.split_first_chunk::<2>()?;
        let length = usize::try_from(i16::from_be_bytes(*length)).ok()?;
        let (topic, behind) = behind.split_at_checked(length)?;
        topics.push(std::str::from_utf8(topic).ok()?);
        rest = behind;
    }
    Some(topics)
}

/// The topics that any of the members reads; `None` if one of them cannot be understood.
pub fn union<'a>(members: impl Iterator<Item = &'a [u8]>) -> Option<BTreeSet<Arc<str>>> {
    let mut all = BTreeSet::new();
    for metadata in members {
        for topic in topics(metadata)? {
            if !all.contains(topic) {
                all.insert(Arc::from(topic));
            }
        }
    }
    Some(all)
}

#[cfg(test)]
mod tests {
    use super::{topics, union};

    const AB: &[u8] = b"\x00\x01\x00\x00\x00\x02\x00\x01a\x00\x02bc\xff\xff\xff\xff";

    #[test]
    fn topics_are_read_and_every_cut_is_survived() {
        assert_eq!(topics(AB), Some(vec!["a", "bc"]));
        for cut in 0..13 {
            assert_eq!(topics(&AB[..cut]), None, "cut at {cut}");
        }
        assert_eq!(topics(b"\x00\x01\x7f\xff\xff\xff\x00\x01a"), None);
        assert_eq!(topics(b"\x00\x01\xff\xff\xff\xff"), None);
    }

    #[test]
    fn one_strange_member_makes_the_union_unknown() {
        assert_eq!(union([AB, b"?"].into_iter()), None);
        let all = union([AB, b"\x00\x00\x00\x00\x00\x01\x00\x01z"].into_iter());
        let all: Vec<_> = all.into_iter().flatten().collect();
        assert_eq!(all, ["a".into(), "bc".into(), "z".into()]);
    }
}
