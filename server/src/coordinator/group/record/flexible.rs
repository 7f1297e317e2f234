//! Fields that look different in flexible versions: lengths and counts are a varint of the number
//! plus one (0 is null), and tagged fields may follow.

use bytes::Bytes;

use crate::coordinator::record::{Reader, Writer};

/// A string or null.
pub fn string_or_null<'a>(
    reader: &mut Reader<'a>,
    flexible: bool,
) -> Result<Option<&'a str>, String> {
    if !flexible {
        return reader.nullable_string();
    }
    let Some(length) = reader.varint()?.checked_sub(1) else {
        return Ok(None);
    };
    std::str::from_utf8(reader.take(length as usize)?)
        .map(Some)
        .map_err(|_| "a string that is not UTF-8".into())
}

/// A string.
pub fn string<'a>(reader: &mut Reader<'a>, flexible: bool) -> Result<&'a str, String> {
    string_or_null(reader, flexible)?.ok_or_else(|| "null where a string is due".into())
}

/// Bytes, in memory of their own.
pub fn bytes(reader: &mut Reader<'_>, flexible: bool) -> Result<Bytes, String> {
    let bytes = if flexible {
        let length = reader.varint()?.saturating_sub(1);
        reader.take(length as usize)?
    } else {
        reader.bytes()?
    };
    Ok(Bytes::copy_from_slice(bytes))
}

/// The number of elements that follow, as far as can be believed: each must still be read.
pub fn count(reader: &mut Reader<'_>, flexible: bool) -> Result<usize, String> {
    if flexible {
        Ok(reader.varint()?.saturating_sub(1) as usize)
    } else {
        reader.count()
    }
}

/// Visit the tagged fields.
pub fn tags<'a>(
    reader: &mut Reader<'a>,
    mut visit: impl FnMut(u32, &mut Reader<'a>) -> Result<(), String>,
) -> Result<(), String> {
    for _ in 0..reader.varint()? {
        let tag = reader.varint()?;
        let size = reader.varint()? as usize;
        visit(tag, &mut Reader::new(reader.take(size)?))?;
    }
    Ok(())
}

/// Write a string.
///
/// # Panics
/// If it is longer than 2 GiB: texts beside offsets are limited.
pub fn put_string(writer: &mut Writer, text: &str) {
    let length = u32::try_from(text.len() + 1).expect("texts beside offsets are limited");
    writer.varint(length).raw(text.as_bytes());
}

/// Write a string, or null.
///
/// # Panics
/// As [`put_string`].
pub fn put_string_or_null(writer: &mut Writer, text: Option<&str>) {
    match text {
        Some(text) => put_string(writer, text),
        None => {
            writer.varint(0);
        }
    }
}

/// Write the number of elements that follow.
///
/// # Panics
/// If there are more than a record can hold.
pub fn put_count(writer: &mut Writer, count: usize) {
    writer.varint(u32::try_from(count + 1).expect("a record has fewer than 2^32 elements"));
}
