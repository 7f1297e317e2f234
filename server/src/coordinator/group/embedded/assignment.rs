//! What a leader gives a member.
//!
//! ```text
//! | version i16 | count i32 | topic: length i16, bytes; count i32, partition i32 ... | ... |
//! | user data: length i32 (-1 is null), bytes |
//! ```

use bytes::Bytes;

use super::{Named, VERSION_MAX};
use crate::coordinator::record::{Reader, Writer};

/// The partitions of an assignment; no bytes at all are none.
///
/// # Errors
/// What is wrong with the bytes, or that an assignor has put something of its own into them.
pub fn parse(assignment: &[u8]) -> Result<Named<'_>, String> {
    if assignment.is_empty() {
        return Ok(Vec::new());
    }
    let mut reader = Reader::new(assignment);
    let version = reader.i16()?;
    if version < 0 {
        return Err(format!("version {version}"));
    }
    let topics = topics(&mut reader)?;
    match reader.i32()? {
        ..=0 => Ok(topics),
        bytes => Err(format!("{bytes} bytes of an assignor's own")),
    }
}

/// Topics with their partitions.
pub(super) fn topics<'a>(reader: &mut Reader<'a>) -> Result<Named<'a>, String> {
    let mut topics = Vec::new();
    for _ in 0..reader.count()? {
        let topic = reader.string()?;
        let mut partitions = Vec::new();
        for _ in 0..reader.count()? {
            partitions.push(reader.i32()?);
        }
        topics.push((topic, partitions));
    }
    Ok(topics)
}

/// The assignment of these partitions, in the version of the member's own bytes.
pub fn write(metadata: &[u8], topics: &[(&str, &[i32])]) -> Bytes {
    let version = Reader::new(metadata).i16().unwrap_or(0);
    let mut writer = Writer::new(version.clamp(0, VERSION_MAX));
    writer.count(topics.len());
    for (topic, partitions) in topics {
        writer.string(topic).count(partitions.len());
        for partition in *partitions {
            writer.i32(*partition);
        }
    }
    writer.i32(-1);
    writer.finish()
}

#[cfg(test)]
mod tests {
    use super::{parse, write};

    #[test]
    fn what_is_written_is_read_in_the_members_version() {
        for (metadata, version) in [(&[0, 1][..], 1), (&[0, 9], 3), (&[0xff, 0xff], 0), (&[], 0)] {
            let bytes = write(metadata, &[("a", &[0, 2]), ("b", &[])]);
            assert_eq!(bytes[..2], [0, version]);
            assert_eq!(
                parse(&bytes),
                Ok(vec![("a", vec![0, 2]), ("b", Vec::new())])
            );
            for cut in 1..bytes.len() {
                assert!(parse(&bytes[..cut]).is_err(), "cut at {cut}");
            }
        }
    }

    #[test]
    fn no_bytes_are_no_partitions_and_an_assignors_own_bytes_are_refused() {
        assert_eq!(parse(b""), Ok(Vec::new()));
        assert_eq!(
            parse(b"\x00\x01\x00\x00\x00\x00\x00\x00\x00\x00"),
            Ok(Vec::new())
        );
        assert!(parse(b"\x00\x01\x00\x00\x00\x00\x00\x00\x00\x01x").is_err());
        assert!(parse(b"\xff\xff\x00\x00\x00\x00\xff\xff\xff\xff").is_err());
    }
}
