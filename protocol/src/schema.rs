//! What every request looks like on the wire, and a walk over untrusted bytes by it.
//!
//! The codec reserves memory for whatever count a request claims, and keeps every unknown tagged
//! field; a body of four bytes can ask it for 150 GB. So no body reaches it before [`check`] has
//! walked it: nothing is allocated or copied, and the bytes of strings and records are stepped
//! over, not looked at. What passes claims no more than is there.
//!
//! Refused, beyond what does not fit: varints that do not fit 32 bits, null where the protocol
//! has none, tags that are repeated or not in ascending order (KIP-482), a known tag whose value
//! is not as long as it says, more than [`ELEMENTS_MAX`] array elements, and more unknown tagged
//! fields than one in 32 bytes. Accepted, because Kafka does: bytes behind the body, varints
//! with needless zero groups, and any byte but 0 as true.

#[rustfmt::skip]
mod requests;

#[cfg(any(test, feature = "generate"))]
pub mod answers;
#[cfg(any(test, feature = "generate"))]
pub mod generate;

use crate::ApiKey;

use crate::WireError;

pub use requests::of;

/// Elements of all arrays of one request, taken together.
pub const ELEMENTS_MAX: usize = 500_000;
/// Unknown tagged fields that every request may hold, and one more for so many bytes.
const UNKNOWN_TAGS_MIN: usize = 8;
const UNKNOWN_TAG_BYTES: usize = 32;

/// One field of a request.
#[derive(Debug)]
pub struct Field {
    /// Its name, for messages.
    pub name: &'static str,
    /// What it holds.
    pub kind: Kind,
    /// The first version that has it.
    pub since: i16,
    /// The last version that has it.
    pub until: i16,
    /// Its number, if it is a tagged field.
    pub tag: Option<u32>,
}

/// What a field holds. How lengths are written depends on whether the version is flexible.
#[derive(Debug)]
pub enum Kind {
    /// One byte.
    Bool,
    /// One byte.
    Int8,
    /// Two bytes.
    Int16,
    /// Four bytes.
    Int32,
    /// Eight bytes.
    Int64,
    /// Eight bytes.
    Float64,
    /// Sixteen bytes.
    Uuid,
    /// A length and that many bytes of UTF-8.
    Str,
    /// The same, or null.
    NullStr,
    /// A length and that many bytes.
    Bytes,
    /// The same, or null.
    NullBytes,
    /// Fields, one behind the other; then tagged fields.
    Struct(&'static [Field]),
    /// A byte that is 1, and the struct; or a byte that is -1.
    NullStruct(&'static [Field]),
    /// A count and that many elements.
    Array(&'static Kind),
    /// The same, or null.
    NullArray(&'static Kind),
}

impl Kind {
    /// The bytes of a value, if all values are as long.
    const fn fixed_bytes(&self) -> Option<usize> {
        match self {
            Self::Bool | Self::Int8 => Some(1),
            Self::Int16 => Some(2),
            Self::Int32 => Some(4),
            Self::Int64 | Self::Float64 => Some(8),
            Self::Uuid => Some(16),
            _ => None,
        }
    }
}

/// A field that every version has, until told otherwise.
const fn f(name: &'static str, kind: Kind) -> Field {
    Field {
        name,
        kind,
        since: 0,
        until: i16::MAX,
        tag: None,
    }
}

impl Field {
    const fn since(mut self, version: i16) -> Self {
        self.since = version;
        self
    }

    const fn until(mut self, version: i16) -> Self {
        self.until = version;
        self
    }

    const fn tag(mut self, tag: u32) -> Self {
        self.tag = Some(tag);
        self
    }

    /// Whether this version has it.
    #[must_use]
    pub const fn is_in(&self, version: i16) -> bool {
        self.since <= version && version <= self.until
    }
}

/// Walk a request's body. Gives the bytes that it takes up.
///
/// # Errors
/// [`WireError::UnknownApi`] if nothing is known of `key`, [`WireError::Incomplete`] or
/// [`WireError::Malformed`] for what the body is.
pub fn check(key: ApiKey, version: i16, body: &[u8]) -> Result<usize, WireError> {
    let fields = of(key).ok_or(WireError::UnknownApi(key as i16))?;
    let mut walk = Walk {
        rest: body,
        version,
        flexible: key.request_header_version(version) >= 2,
        elements: 0,
        unknown_tags: UNKNOWN_TAGS_MIN + body.len() / UNKNOWN_TAG_BYTES,
    };
    walk.fields(fields)?;
    Ok(body.len() - walk.rest.len())
}

/// Walk the tagged fields at the end of a request's header, of which none is known. Gives the
/// bytes that they take up.
///
/// # Errors
/// As [`check`].
pub fn header_tags(bytes: &[u8]) -> Result<usize, WireError> {
    let mut walk = Walk {
        rest: bytes,
        version: 0,
        flexible: true,
        elements: 0,
        unknown_tags: UNKNOWN_TAGS_MIN,
    };
    walk.tags(&[])?;
    Ok(bytes.len() - walk.rest.len())
}

/// A walk under way.
struct Walk<'a> {
    rest: &'a [u8],
    version: i16,
    flexible: bool,
    /// Array elements so far.
    elements: usize,
    /// Unknown tagged fields that may still come.
    unknown_tags: usize,
}

impl<'a> Walk<'a> {
    fn fields(&mut self, fields: &[Field]) -> Result<(), WireError> {
        for field in fields {
            if field.tag.is_none() && field.is_in(self.version) {
                self.value(&field.kind).map_err(|why| within(why, field))?;
            }
        }
        if self.flexible {
            self.tags(fields)?;
        }
        Ok(())
    }

    fn value(&mut self, kind: &Kind) -> Result<(), WireError> {
        if let Some(bytes) = kind.fixed_bytes() {
            return self.skip(bytes);
        }
        match kind {
            Kind::Str => self.string(false),
            Kind::NullStr => self.string(true),
            Kind::Bytes => self.bytes(false),
            Kind::NullBytes => self.bytes(true),
            Kind::Struct(fields) => self.fields(fields),
            Kind::NullStruct(fields) => match self.take()? {
                [1] => self.fields(fields),
                [0xff] => Ok(()),
                [other] => Err(malformed(format!("{other} where a struct begins"))),
            },
            Kind::Array(element) => self.array(element, false),
            Kind::NullArray(element) => self.array(element, true),
            _ => unreachable!("all others are of fixed length"),
        }
    }

    fn string(&mut self, nullable: bool) -> Result<(), WireError> {
        let length = if self.flexible {
            self.compact_length()?
        } else {
            plain_length(i16::from_be_bytes(self.take()?).into())?
        };
        self.skip_or_null(length, nullable)
    }

    fn bytes(&mut self, nullable: bool) -> Result<(), WireError> {
        let length = self.length()?;
        self.skip_or_null(length, nullable)
    }

    fn skip_or_null(&mut self, length: Option<usize>, nullable: bool) -> Result<(), WireError> {
        match length {
            Some(length) => self.skip(length),
            None if nullable => Ok(()),
            None => Err(malformed("null where there must be a value".into())),
        }
    }

    fn array(&mut self, element: &Kind, nullable: bool) -> Result<(), WireError> {
        let Some(count) = self.length()? else {
            return self.skip_or_null(None, nullable);
        };
        self.elements = self.elements.saturating_add(count);
        // No element is shorter than a byte.
        if count > self.rest.len() {
            return Err(WireError::Incomplete);
        }
        if self.elements > ELEMENTS_MAX {
            return Err(malformed(format!("more than {ELEMENTS_MAX} elements")));
        }
        if let Some(bytes) = element.fixed_bytes() {
            return self.skip(count * bytes);
        }
        for _ in 0..count {
            self.value(element)?;
        }
        Ok(())
    }

    fn tags(&mut self, fields: &[Field]) -> Result<(), WireError> {
        let mut last = None;
        for _ in 0..self.varint()? {
            let tag = self.varint()?;
            let size = self.varint()? as usize;
            if last.is_some_and(|last| tag <= last) {
                return Err(malformed(format!("tag {tag} is not above the one before")));
            }
            last = Some(tag);
            let (value, rest) = self
                .rest
                .split_at_checked(size)
                .ok_or(WireError::Incomplete)?;
            match fields.iter().find(|field| field.tag == Some(tag)) {
                Some(field) => self.tagged(field, value)?,
                None => {
                    self.unknown_tags = self
                        .unknown_tags
                        .checked_sub(1)
                        .ok_or_else(|| malformed("too many unknown tagged fields".into()))?;
                }
            }
            self.rest = rest;
        }
        Ok(())
    }

    fn tagged(&mut self, field: &Field, value: &'a [u8]) -> Result<(), WireError> {
        if !field.is_in(self.version) {
            return Err(malformed(format!("no tag {} in this version", field.name)));
        }
        self.rest = value;
        self.value(&field.kind).map_err(|why| within(why, field))?;
        if !self.rest.is_empty() {
            return Err(malformed(format!("tag {} is longer than it", field.name)));
        }
        Ok(())
    }

    /// A length or count in front of bytes or an array; `None` is null.
    fn length(&mut self) -> Result<Option<usize>, WireError> {
        if self.flexible {
            self.compact_length()
        } else {
            plain_length(i32::from_be_bytes(self.take()?))
        }
    }

    fn compact_length(&mut self) -> Result<Option<usize>, WireError> {
        Ok(self.varint()?.checked_sub(1).map(|length| length as usize))
    }

    fn varint(&mut self) -> Result<u32, WireError> {
        let mut value = 0;
        for shift in [0, 7, 14, 21, 28] {
            let [byte] = self.take()?;
            if shift == 28 && byte > 0x0f {
                break;
            }
            value |= u32::from(byte & 0x7f) << shift;
            if byte & 0x80 == 0 {
                return Ok(value);
            }
        }
        Err(malformed("a varint of more than 32 bits".into()))
    }

    fn take<const N: usize>(&mut self) -> Result<[u8; N], WireError> {
        let (taken, rest) = self.rest.split_first_chunk().ok_or(WireError::Incomplete)?;
        self.rest = rest;
        Ok(*taken)
    }

    fn skip(&mut self, bytes: usize) -> Result<(), WireError> {
        self.rest = self.rest.get(bytes..).ok_or(WireError::Incomplete)?;
        Ok(())
    }
}

fn plain_length(length: i32) -> Result<Option<usize>, WireError> {
    match usize::try_from(length) {
        Ok(length) => Ok(Some(length)),
        Err(_) if length == -1 => Ok(None),
        Err(_) => Err(malformed(format!("a length of {length}"))),
    }
}

fn malformed(why: String) -> WireError {
    WireError::Malformed(why)
}

/// Say where something is wrong; the innermost field has the say.
fn within(error: WireError, field: &Field) -> WireError {
    match error {
        WireError::Incomplete => malformed(format!("the frame ends inside {}", field.name)),
        other => other,
    }
}

#[cfg(test)]
mod tests;
