//! What a member reads.
//!
//! ```text
//! | version i16 | count i32 | topic: length i16, bytes | ... |
//! | user data: length i32 (-1 is null), bytes |
//! | owned partitions, as in an assignment (v1+) | generation i32 (v2+) | rack? (v3+) |
//! ```

use std::collections::BTreeSet;
use std::sync::Arc;

use super::{Named, VERSION_MAX, assignment};
use crate::coordinator::record::Reader;

/// All that a member's subscription says of it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Subscription<'a> {
    /// The topics that it reads.
    pub topics: Vec<&'a str>,
    /// What it holds.
    pub owned: Named<'a>,
    /// Its rack, if it says so.
    pub rack: Option<&'a str>,
}

/// All of a subscription.
///
/// # Errors
/// What is wrong with the bytes.
pub fn parse(metadata: &[u8]) -> Result<Subscription<'_>, String> {
    let mut reader = Reader::new(metadata);
    let version = reader.i16()?.min(VERSION_MAX);
    if version < 0 {
        return Err(format!("version {version}"));
    }
    let mut subscription = Subscription::default();
    for _ in 0..reader.count()? {
        subscription.topics.push(reader.string()?);
    }
    let own = reader.i32()?;
    reader.take(usize::try_from(own).unwrap_or(0))?;
    if version >= 1 {
        subscription.owned = assignment::topics(&mut reader)?;
    }
    if version >= 2 {
        reader.i32()?;
    }
    if version >= 3 {
        subscription.rack = reader.nullable_string()?.filter(|rack| !rack.is_empty());
    }
    Ok(subscription)
}

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
    use super::{Subscription, parse, topics, union};

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
    fn every_version_is_read_to_its_end_and_every_cut_is_refused() {
        let whole: &[&[u8]] = &[
            b"\0\0\0\0\0\x01\0\x01a\0\0\0\x01x",
            b"\0\0\0\x01\0\x01b\0\0\0\x01\0\0\0\x07",
            b"\0\0\0\x09",
            b"\0\x01r",
        ];
        for version in 0..5_u8 {
            let parts = usize::from(version.min(3)) + 1;
            let mut bytes = whole[..parts].concat();
            bytes[1] = version;
            let expected = Subscription {
                topics: vec!["a"],
                owned: [("b", vec![7])][..usize::from(version.min(1))].to_vec(),
                rack: (version >= 3).then_some("r"),
            };
            assert_eq!(parse(&bytes), Ok(expected), "v{version}");
            for cut in 0..bytes.len() {
                assert!(parse(&bytes[..cut]).is_err(), "v{version} cut at {cut}");
            }
        }
        assert!(parse(b"\xff\xff\0\0\0\0\xff\xff\xff\xff").is_err());
    }

    #[test]
    fn one_strange_member_makes_the_union_unknown() {
        assert_eq!(union([AB, b"?"].into_iter()), None);
        let all = union([AB, b"\x00\x00\x00\x00\x00\x01\x00\x01z"].into_iter());
        let all: Vec<_> = all.into_iter().flatten().collect();
        assert_eq!(all, ["a".into(), "bc".into(), "z".into()]);
    }
}
