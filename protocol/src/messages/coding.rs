//! How our own messages are read and written, and the declaration that makes one.
//!
//! All of them are flexible in every version (KIP-482): lengths are varints one above the length,
//! 0 is null, and tagged fields end each struct.

use bytes::{BufMut, Bytes};
use kafka_protocol::messages::{BrokerId, GroupId, TopicName};
use kafka_protocol::protocol::buf::ByteBuf;
use kafka_protocol::protocol::{Message, StrBytes};
use uuid::Uuid;

use crate::WireError;

/// Elements for which memory is reserved on a count's word alone.
const RESERVE_MAX: usize = 1024;

/// A value of a field.
pub trait Value: Sized {
    /// Append it.
    fn put<B: BufMut>(&self, buf: &mut B, version: i16) -> Result<(), WireError>;
    /// Take it off the front.
    fn take<B: ByteBuf>(buf: &mut B, version: i16) -> Result<Self, WireError>;
}

/// A value that has a length in front of it, and so may be null.
pub trait Sequence: Sized {
    /// Bytes, or elements.
    fn length(&self) -> usize;
    /// Append what comes behind the length.
    fn put_content<B: BufMut>(&self, buf: &mut B, version: i16) -> Result<(), WireError>;
    /// Take what comes behind the length.
    fn take_content<B: ByteBuf>(
        buf: &mut B,
        length: usize,
        version: i16,
    ) -> Result<Self, WireError>;
}

macro_rules! numbers {
    ($($type:ty: $put:ident, $take:ident;)+) => { $(
        impl Value for $type {
            fn put<B: BufMut>(&self, buf: &mut B, _: i16) -> Result<(), WireError> {
                buf.$put(*self);
                Ok(())
            }

            fn take<B: ByteBuf>(buf: &mut B, _: i16) -> Result<Self, WireError> {
                buf.$take().map_err(|_| WireError::Incomplete)
            }
        }
    )+ };
}

numbers! {
    i8: put_i8, try_get_i8;
    i16: put_i16, try_get_i16;
    i32: put_i32, try_get_i32;
    i64: put_i64, try_get_i64;
}

impl Value for bool {
    fn put<B: BufMut>(&self, buf: &mut B, _: i16) -> Result<(), WireError> {
        buf.put_u8((*self).into());
        Ok(())
    }

    fn take<B: ByteBuf>(buf: &mut B, version: i16) -> Result<Self, WireError> {
        Ok(i8::take(buf, version)? != 0)
    }
}

impl Value for Uuid {
    fn put<B: BufMut>(&self, buf: &mut B, _: i16) -> Result<(), WireError> {
        buf.put_slice(self.as_bytes());
        Ok(())
    }

    fn take<B: ByteBuf>(buf: &mut B, _: i16) -> Result<Self, WireError> {
        let mut bytes = [0; 16];
        buf.try_copy_to_slice(&mut bytes)
            .map_err(|_| WireError::Incomplete)?;
        Ok(Self::from_bytes(bytes))
    }
}

impl Value for BrokerId {
    fn put<B: BufMut>(&self, buf: &mut B, version: i16) -> Result<(), WireError> {
        self.0.put(buf, version)
    }

    fn take<B: ByteBuf>(buf: &mut B, version: i16) -> Result<Self, WireError> {
        i32::take(buf, version).map(Self)
    }
}

impl<T: Sequence> Value for T {
    fn put<B: BufMut>(&self, buf: &mut B, version: i16) -> Result<(), WireError> {
        put_length(buf, Some(self.length()))?;
        self.put_content(buf, version)
    }

    fn take<B: ByteBuf>(buf: &mut B, version: i16) -> Result<Self, WireError> {
        let length = take_length(buf)?.ok_or_else(|| malformed("null where a value must be"))?;
        T::take_content(buf, length, version)
    }
}

impl<T: Sequence> Value for Option<T> {
    fn put<B: BufMut>(&self, buf: &mut B, version: i16) -> Result<(), WireError> {
        match self {
            None => put_length(buf, None),
            Some(value) => value.put(buf, version),
        }
    }

    fn take<B: ByteBuf>(buf: &mut B, version: i16) -> Result<Self, WireError> {
        take_length(buf)?
            .map(|length| T::take_content(buf, length, version))
            .transpose()
    }
}

impl Sequence for Bytes {
    fn length(&self) -> usize {
        self.len()
    }

    fn put_content<B: BufMut>(&self, buf: &mut B, _: i16) -> Result<(), WireError> {
        buf.put_slice(self);
        Ok(())
    }

    fn take_content<B: ByteBuf>(buf: &mut B, length: usize, _: i16) -> Result<Self, WireError> {
        buf.try_get_bytes(length).map_err(|_| WireError::Incomplete)
    }
}

impl Sequence for StrBytes {
    fn length(&self) -> usize {
        self.len()
    }

    fn put_content<B: BufMut>(&self, buf: &mut B, _: i16) -> Result<(), WireError> {
        buf.put_slice(self.as_bytes());
        Ok(())
    }

    fn take_content<B: ByteBuf>(
        buf: &mut B,
        length: usize,
        version: i16,
    ) -> Result<Self, WireError> {
        let bytes = Bytes::take_content(buf, length, version)?;
        Self::from_utf8(bytes).map_err(|_| malformed("a string that is not UTF-8"))
    }
}

macro_rules! names {
    ($($type:ident)+) => { $(
        impl Sequence for $type {
            fn length(&self) -> usize {
                self.0.length()
            }

            fn put_content<B: BufMut>(&self, buf: &mut B, version: i16) -> Result<(), WireError> {
                self.0.put_content(buf, version)
            }

            fn take_content<B: ByteBuf>(
                buf: &mut B,
                length: usize,
                version: i16,
            ) -> Result<Self, WireError> {
                StrBytes::take_content(buf, length, version).map(Self)
            }
        }
    )+ };
}

names! { GroupId TopicName }

impl<T: Value> Sequence for Vec<T> {
    fn length(&self) -> usize {
        self.len()
    }

    fn put_content<B: BufMut>(&self, buf: &mut B, version: i16) -> Result<(), WireError> {
        self.iter().try_for_each(|value| value.put(buf, version))
    }

    fn take_content<B: ByteBuf>(
        buf: &mut B,
        length: usize,
        version: i16,
    ) -> Result<Self, WireError> {
        // No element is shorter than a byte.
        if length > buf.remaining() {
            return Err(WireError::Incomplete);
        }
        let mut values = Self::with_capacity(length.min(RESERVE_MAX));
        for _ in 0..length {
            values.push(T::take(buf, version)?);
        }
        Ok(values)
    }
}

/// Append the tagged fields of a struct that has none.
pub fn put_no_tags<B: BufMut>(buf: &mut B) {
    buf.put_u8(0);
}

/// Step over the tagged fields at the end of a struct that knows none.
pub fn skip_tags<B: ByteBuf>(buf: &mut B) -> Result<(), WireError> {
    for _ in 0..take_varint(buf)? {
        take_varint(buf)?;
        let bytes = take_varint(buf)? as usize;
        if bytes > buf.remaining() {
            return Err(WireError::Incomplete);
        }
        buf.advance(bytes);
    }
    Ok(())
}

fn put_length<B: BufMut>(buf: &mut B, length: Option<usize>) -> Result<(), WireError> {
    let mut left = match length {
        None => 0,
        Some(length) => u32::try_from(length)
            .ok()
            .and_then(|length| length.checked_add(1))
            .ok_or_else(|| malformed("longer than a length can say"))?,
    };
    while left >= 0x80 {
        buf.put_u8((left & 0x7f) as u8 | 0x80);
        left >>= 7;
    }
    buf.put_u8(left as u8);
    Ok(())
}

fn take_length<B: ByteBuf>(buf: &mut B) -> Result<Option<usize>, WireError> {
    Ok(take_varint(buf)?
        .checked_sub(1)
        .map(|length| length as usize))
}

fn take_varint<B: ByteBuf>(buf: &mut B) -> Result<u32, WireError> {
    let mut value = 0;
    for shift in [0, 7, 14, 21, 28] {
        let byte = buf.try_get_u8().map_err(|_| WireError::Incomplete)?;
        if shift == 28 && byte > 0x0f {
            break;
        }
        value |= u32::from(byte & 0x7f) << shift;
        if byte & 0x80 == 0 {
            return Ok(value);
        }
    }
    Err(malformed("a varint of more than 32 bits"))
}

/// The refusal with this reason.
pub fn malformed(why: &str) -> WireError {
    WireError::Malformed(why.to_owned())
}

/// Declares the structs of a message as Kafka's JSON has them, and how they are read and written:
///
/// ```text
/// message! { 1..=2;
///     /// What it is.
///     Name {
///         /// What it means.
///         field with_field: Type = default, since 2 or dropped;
///     }
/// }
/// ```
///
/// `= default` stands where it is not the type's own. `since` names the first version that has the
/// field; in an older one a value that is not the default is `dropped` or `refused`.
macro_rules! message {
    ($min:literal..=$max:literal; $(
        $(#[$about:meta])+
        $name:ident {
            $(
                $(#[$meaning:meta])+
                $field:ident $with:ident: $type:ty
                    $(= $default:expr)? $(, since $since:literal or $older:ident)?;
            )+
        }
    )+) => { $(
        $(#[$about])+
        #[derive(Debug, Clone, PartialEq)]
        pub struct $name {
            $($(#[$meaning])+ pub $field: $type,)+
        }

        impl Default for $name {
            fn default() -> Self {
                Self { $($field: message!(@default $($default)?),)+ }
            }
        }

        impl $name {
            $(
                $(#[$meaning])+
                #[must_use]
                pub fn $with(mut self, value: $type) -> Self {
                    self.$field = value;
                    self
                }
            )+
        }

        impl $crate::messages::coding::Value for $name {
            fn put<B: bytes::BufMut>(
                &self,
                buf: &mut B,
                version: i16,
            ) -> Result<(), $crate::WireError> {
                $(message!(@put self, $field, buf, version, ($($default)?), $($since $older)?);)+
                $crate::messages::coding::put_no_tags(buf);
                Ok(())
            }

            fn take<B: kafka_protocol::protocol::buf::ByteBuf>(
                buf: &mut B,
                version: i16,
            ) -> Result<Self, $crate::WireError> {
                let value = Self {
                    $($field: message!(@take buf, version, ($($default)?), $($since)?),)+
                };
                $crate::messages::coding::skip_tags(buf)?;
                Ok(value)
            }
        }

        impl $crate::messages::coding::Value for Option<$name> {
            fn put<B: bytes::BufMut>(
                &self,
                buf: &mut B,
                version: i16,
            ) -> Result<(), $crate::WireError> {
                match self {
                    None => buf.put_i8(-1),
                    Some(value) => {
                        buf.put_i8(1);
                        value.put(buf, version)?;
                    }
                }
                Ok(())
            }

            fn take<B: kafka_protocol::protocol::buf::ByteBuf>(
                buf: &mut B,
                version: i16,
            ) -> Result<Self, $crate::WireError> {
                match <i8 as $crate::messages::coding::Value>::take(buf, version)? {
                    -1 => Ok(None),
                    1 => $crate::messages::coding::Value::take(buf, version).map(Some),
                    _ => Err($crate::messages::coding::malformed("no mark where a struct begins")),
                }
            }
        }

        impl kafka_protocol::protocol::Message for $name {
            const VERSIONS: kafka_protocol::protocol::VersionRange =
                kafka_protocol::protocol::VersionRange { min: $min, max: $max };
            const DEPRECATED_VERSIONS: Option<kafka_protocol::protocol::VersionRange> = None;
        }

        impl kafka_protocol::protocol::Encodable for $name {
            fn encode<B: kafka_protocol::protocol::buf::ByteBufMut>(
                &self,
                buf: &mut B,
                version: i16,
            ) -> anyhow::Result<()> {
                $crate::messages::coding::spoken::<Self>(version)?;
                Ok($crate::messages::coding::Value::put(self, buf, version)?)
            }

            fn compute_size(&self, version: i16) -> anyhow::Result<usize> {
                let mut encoded = Vec::new();
                self.encode(&mut encoded, version)?;
                Ok(encoded.len())
            }
        }

        impl kafka_protocol::protocol::Decodable for $name {
            fn decode<B: kafka_protocol::protocol::buf::ByteBuf>(
                buf: &mut B,
                version: i16,
            ) -> anyhow::Result<Self> {
                $crate::messages::coding::spoken::<Self>(version)?;
                Ok($crate::messages::coding::Value::take(buf, version)?)
            }
        }
    )+ };
    (@default) => { Default::default() };
    (@default $default:expr) => { $default };
    (@put $self:ident, $field:ident, $buf:ident, $version:ident, $default:tt,) => {
        $crate::messages::coding::Value::put(&$self.$field, $buf, $version)?
    };
    (@put $self:ident, $field:ident, $buf:ident, $version:ident, $default:tt,
        $since:literal dropped) => {
        if $version >= $since {
            $crate::messages::coding::Value::put(&$self.$field, $buf, $version)?;
        }
    };
    (@put $self:ident, $field:ident, $buf:ident, $version:ident, ($($default:expr)?),
        $since:literal refused) => {
        if $version >= $since {
            $crate::messages::coding::Value::put(&$self.$field, $buf, $version)?;
        } else if $self.$field != message!(@default $($default)?) {
            return Err($crate::messages::coding::malformed(concat!(
                "no version below ", $since, " has ", stringify!($field)
            )));
        }
    };
    (@take $buf:ident, $version:ident, $default:tt,) => {
        $crate::messages::coding::Value::take($buf, $version)?
    };
    (@take $buf:ident, $version:ident, ($($default:expr)?), $since:literal) => {
        if $version >= $since {
            $crate::messages::coding::Value::take($buf, $version)?
        } else {
            message!(@default $($default)?)
        }
    };
}

/// Declares which request and response belong together, and that their headers have tags.
macro_rules! exchange {
    ($key:literal: $request:ty => $response:ty) => {
        impl kafka_protocol::protocol::HeaderVersion for $request {
            fn header_version(_: i16) -> i16 {
                2
            }
        }

        impl kafka_protocol::protocol::HeaderVersion for $response {
            fn header_version(_: i16) -> i16 {
                1
            }
        }

        impl kafka_protocol::protocol::Request for $request {
            const KEY: i16 = $key;
            type Response = $response;
        }
    };
}

pub(super) use {exchange, message};

/// Refuse a version that a message does not have.
pub fn spoken<M: Message>(version: i16) -> Result<(), WireError> {
    if (M::VERSIONS.min..=M::VERSIONS.max).contains(&version) {
        Ok(())
    } else {
        Err(malformed("a version that the message does not have"))
    }
}
