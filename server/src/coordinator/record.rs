//! Key and value bytes of the internal logs' records.
//!
//! Keys and values begin with an int16 as in Kafka (a key with its type, a value with its
//! version). All integers are big-endian; a string is an int16 length and UTF-8.

use bytes::{BufMut, Bytes, BytesMut};

/// Writes a key or value.
#[derive(Debug, Default)]
pub struct Writer(BytesMut);

impl Writer {
    /// Begin with the type of a key or the version of a value.
    #[must_use]
    pub fn new(first: i16) -> Self {
        let mut writer = Self(BytesMut::with_capacity(64));
        writer.0.put_i16(first);
        writer
    }

    /// One byte.
    pub fn i8(&mut self, value: i8) -> &mut Self {
        self.0.put_i8(value);
        self
    }

    /// Two bytes.
    pub fn i16(&mut self, value: i16) -> &mut Self {
        self.0.put_i16(value);
        self
    }

    /// Four bytes.
    pub fn i32(&mut self, value: i32) -> &mut Self {
        self.0.put_i32(value);
        self
    }

    /// Eight bytes.
    pub fn i64(&mut self, value: i64) -> &mut Self {
        self.0.put_i64(value);
        self
    }

    /// A topic's id: 16 bytes.
    pub fn uuid(&mut self, value: uuid::Uuid) -> &mut Self {
        self.0.put_slice(value.as_bytes());
        self
    }

    /// A string.
    ///
    /// # Panics
    /// If it is longer than 32767 bytes: requests are checked before they become records.
    pub fn string(&mut self, value: &str) -> &mut Self {
        let length = i16::try_from(value.len()).expect("strings of records are checked for length");
        self.0.put_i16(length);
        self.0.put_slice(value.as_bytes());
        self
    }

    /// A string or null (length -1).
    pub fn nullable_string(&mut self, value: Option<&str>) -> &mut Self {
        match value {
            Some(value) => self.string(value),
            None => self.i16(-1),
        }
    }

    /// Bytes behind an int32 length.
    ///
    /// # Panics
    /// If there are more than 2 GiB of them.
    pub fn bytes(&mut self, value: &[u8]) -> &mut Self {
        let length = i32::try_from(value.len()).expect("bytes of records are checked for length");
        self.0.put_i32(length);
        self.0.put_slice(value);
        self
    }

    /// The number of elements that follow.
    ///
    /// # Panics
    /// If there are more than an int32 can say.
    pub fn count(&mut self, count: usize) -> &mut Self {
        self.i32(i32::try_from(count).expect("a record has fewer elements than an int32 can say"))
    }

    /// An unsigned varint, as lengths and tags in flexible versions.
    pub fn varint(&mut self, mut value: u32) -> &mut Self {
        while value >= 0x80 {
            self.0.put_u8(value as u8 | 0x80);
            value >>= 7;
        }
        self.0.put_u8(value as u8);
        self
    }

    /// Bytes as they are, without a length.
    pub fn raw(&mut self, value: &[u8]) -> &mut Self {
        self.0.put_slice(value);
        self
    }

    /// What was written.
    #[must_use]
    pub fn finish(self) -> Bytes {
        self.0.freeze()
    }
}

/// Reads a key or value. Every method fails on bytes that end too soon or make no sense.
#[derive(Debug)]
pub struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    /// Read from the front of `bytes`.
    #[must_use]
    pub fn new(bytes: &'a [u8]) -> Self {
        Self(bytes)
    }

    /// The next `length` bytes.
    ///
    /// # Errors
    /// If there are fewer.
    pub fn take(&mut self, length: usize) -> Result<&'a [u8], String> {
        let (taken, rest) = self
            .0
            .split_at_checked(length)
            .ok_or_else(|| format!("{length} bytes are due where {} are left", self.0.len()))?;
        self.0 = rest;
        Ok(taken)
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N], String> {
        let mut array = [0; N];
        array.copy_from_slice(self.take(N)?);
        Ok(array)
    }

    /// One byte.
    ///
    /// # Errors
    /// If there is none.
    pub fn i8(&mut self) -> Result<i8, String> {
        self.array().map(i8::from_be_bytes)
    }

    /// Two bytes.
    ///
    /// # Errors
    /// If there are fewer.
    pub fn i16(&mut self) -> Result<i16, String> {
        self.array().map(i16::from_be_bytes)
    }

    /// Four bytes.
    ///
    /// # Errors
    /// If there are fewer.
    pub fn i32(&mut self) -> Result<i32, String> {
        self.array().map(i32::from_be_bytes)
    }

    /// Eight bytes.
    ///
    /// # Errors
    /// If there are fewer.
    pub fn i64(&mut self) -> Result<i64, String> {
        self.array().map(i64::from_be_bytes)
    }

    /// A topic's id.
    ///
    /// # Errors
    /// If there are fewer than 16 bytes.
    pub fn uuid(&mut self) -> Result<uuid::Uuid, String> {
        self.array().map(uuid::Uuid::from_bytes)
    }

    /// A string that may not be null.
    ///
    /// # Errors
    /// If it is null, too long for what is left, or not UTF-8.
    pub fn string(&mut self) -> Result<&'a str, String> {
        self.nullable_string()?
            .ok_or_else(|| "null where a string is due".into())
    }

    /// A string or null.
    ///
    /// # Errors
    /// If its length makes no sense or it is not UTF-8.
    pub fn nullable_string(&mut self) -> Result<Option<&'a str>, String> {
        let length = self.i16()?;
        if length == -1 {
            return Ok(None);
        }
        let length = usize::try_from(length).map_err(|_| format!("a string of {length} bytes"))?;
        std::str::from_utf8(self.take(length)?)
            .map(Some)
            .map_err(|_| "a string that is not UTF-8".into())
    }

    /// Bytes behind an int32 length.
    ///
    /// # Errors
    /// If the length makes no sense.
    pub fn bytes(&mut self) -> Result<&'a [u8], String> {
        let length = self.i32()?;
        self.take(usize::try_from(length).map_err(|_| format!("{length} bytes"))?)
    }

    /// A number of elements, each at least a byte long: no more than there are bytes left, so
    /// that a vector of this size may be reserved.
    ///
    /// # Errors
    /// If it is negative or larger than that.
    pub fn count(&mut self) -> Result<usize, String> {
        let count = self.i32()?;
        usize::try_from(count)
            .ok()
            .filter(|count| *count <= self.0.len())
            .ok_or_else(|| format!("{count} elements in {} bytes", self.0.len()))
    }

    /// An unsigned varint.
    ///
    /// # Errors
    /// If it ends too soon or is longer than five bytes.
    pub fn varint(&mut self) -> Result<u32, String> {
        let mut value = 0_u32;
        for shift in [0, 7, 14, 21, 28] {
            let [byte] = self.array()?;
            value |= u32::from(byte & 0x7f) << shift;
            if byte & 0x80 == 0 {
                return Ok(value);
            }
        }
        Err("a varint of more than five bytes".into())
    }

    /// How many bytes are left.
    #[must_use]
    pub fn left(&self) -> usize {
        self.0.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read_again() {
        let id = uuid::Uuid::from_u128(5);
        let mut writer = Writer::new(3);
        writer
            .i8(-1)
            .i16(2)
            .i32(-3)
            .i64(4)
            .uuid(id)
            .string("é")
            .nullable_string(None);
        writer.bytes(&[7, 8]).count(1).i8(9);
        let bytes = writer.finish();
        let mut reader = Reader::new(&bytes);
        assert_eq!(reader.i16(), Ok(3));
        assert_eq!((reader.i8(), reader.i16()), (Ok(-1), Ok(2)));
        assert_eq!((reader.i32(), reader.i64()), (Ok(-3), Ok(4)));
        assert_eq!((reader.uuid(), reader.string()), (Ok(id), Ok("é")));
        assert_eq!(
            (reader.nullable_string(), reader.bytes()),
            (Ok(None), Ok(&[7, 8][..]))
        );
        assert_eq!(
            (reader.count(), reader.i8(), reader.left()),
            (Ok(1), Ok(9), 0)
        );
        assert!(reader.i8().is_err());
    }

    #[test]
    fn lengths_that_make_no_sense_are_refused() {
        assert!(Reader::new(&[0xff, 0xff]).string().is_err(), "null");
        assert!(Reader::new(&[0xff, 0xfe]).nullable_string().is_err(), "-2");
        assert!(Reader::new(&[0, 2, b'a']).string().is_err(), "too long");
        assert!(Reader::new(&[0, 1, 0xff]).string().is_err(), "not UTF-8");
        assert!(
            Reader::new(&[0xff, 0xff, 0xff, 0xff]).bytes().is_err(),
            "-1 bytes"
        );
        assert!(
            Reader::new(&[0x7f, 0xff, 0xff, 0xff, 0]).count().is_err(),
            "2^31 elements"
        );
    }
}
