//! Requests made by chance from their schema, and ways to break them: for tests and fuzzing.

use crate::ApiKey;

use super::{Field, Kind, of};

/// Chance that can be repeated: the same seed gives the same numbers (SplitMix64).
#[derive(Debug, Clone)]
pub struct Random(u64);

impl Random {
    /// The numbers of this seed.
    #[must_use]
    pub const fn new(seed: u64) -> Self {
        Self(seed)
    }

    /// The next number.
    pub fn number(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// A number below `end`, which must not be 0.
    pub fn below(&mut self, end: usize) -> usize {
        let below = self.number() % end as u64;
        usize::try_from(below).expect("it is below a usize")
    }

    /// True once in so many times.
    pub fn one_in(&mut self, times: usize) -> bool {
        self.below(times) == 0
    }

    /// So many bytes.
    pub fn bytes(&mut self, count: usize) -> Vec<u8> {
        (0..count).map(|_| self.number().to_le_bytes()[0]).collect()
    }
}

/// A whole frame without its length: header and body. `None` if the schema of `key` is unknown.
pub fn frame(
    key: ApiKey,
    version: i16,
    correlation_id: i32,
    random: &mut Random,
) -> Option<Vec<u8>> {
    let mut frame = Vec::new();
    frame.extend((key as i16).to_be_bytes());
    frame.extend(version.to_be_bytes());
    frame.extend(correlation_id.to_be_bytes());
    if random.one_in(4) {
        frame.extend((-1i16).to_be_bytes());
    } else {
        frame.extend(4i16.to_be_bytes());
        frame.extend(b"test");
    }
    if key.request_header_version(version) >= 2 {
        frame.push(0);
    }
    frame.extend(body(key, version, random)?);
    Some(frame)
}

/// A body that is whole. `None` if the schema of `key` is unknown.
pub fn body(key: ApiKey, version: i16, random: &mut Random) -> Option<Vec<u8>> {
    made(key, version, random, 0)
}

/// A body that is whole, in which every third name is as long as a name can be.
pub fn long_body(key: ApiKey, version: i16, random: &mut Random) -> Option<Vec<u8>> {
    made(key, version, random, i16::MAX as usize)
}

fn made(key: ApiKey, version: i16, random: &mut Random, long: usize) -> Option<Vec<u8>> {
    let mut making = Making {
        out: Vec::new(),
        version,
        flexible: key.request_header_version(version) >= 2,
        random,
        long,
    };
    making.fields(of(key)?);
    Some(making.out)
}

/// Names that a test may have made, and some that mean something to a server.
pub const WORDS: [&str; 8] = [
    "t",
    "u",
    "g",
    "m",
    "",
    "consumer",
    "retention.ms",
    "__consumer_offsets",
];

/// Break a frame in one of many ways: flip, cut, repeat, put absurd lengths in.
pub fn damage(frame: &mut Vec<u8>, random: &mut Random) {
    const ABSURD: [&[u8]; 6] = [
        &[0x7f, 0xff, 0xff, 0xff],
        &[0xff, 0xff, 0xff, 0xff, 0x0f],
        &[0xff, 0xff, 0xff, 0xff, 0xff, 0x01],
        &[0x80, 0x00, 0x00, 0x00],
        &[0xff, 0xff, 0xff, 0xfe],
        &[0x00, 0x0f, 0xff, 0xff],
    ];
    for _ in 0..=random.below(3) {
        if frame.is_empty() {
            return;
        }
        let at = random.below(frame.len());
        match random.below(6) {
            0 => frame[at] ^= 1 << random.below(8),
            1 => frame[at] = random.number().to_le_bytes()[0],
            2 => frame.truncate(at),
            3 => {
                let piece = frame[at..].to_vec();
                frame.extend(piece);
            }
            4 => {
                let absurd = ABSURD[random.below(ABSURD.len())];
                for (byte, absurd) in frame[at..].iter_mut().zip(absurd) {
                    *byte = *absurd;
                }
            }
            _ => {
                let count = random.below(16);
                let bytes = random.bytes(count);
                frame.splice(at..at, bytes);
            }
        }
    }
}

struct Making<'a> {
    out: Vec<u8>,
    version: i16,
    flexible: bool,
    random: &'a mut Random,
    /// The length of every third name; 0 if all are short.
    long: usize,
}

impl Making<'_> {
    fn fields(&mut self, fields: &[Field]) {
        for field in fields {
            if field.tag.is_none() && field.is_in(self.version) {
                self.value(&field.kind);
            }
        }
        if self.flexible {
            self.tags(fields);
        }
    }

    fn tags(&mut self, fields: &[Field]) {
        let mut tags = Vec::new();
        for field in fields {
            if let Some(tag) = field.tag
                && field.is_in(self.version)
                && self.random.one_in(2)
            {
                let outside = std::mem::take(&mut self.out);
                self.value(&field.kind);
                tags.push((tag, std::mem::replace(&mut self.out, outside)));
            }
        }
        if self.random.one_in(16) {
            let count = self.random.below(4);
            tags.push((1000, self.random.bytes(count)));
        }
        self.varint(tags.len());
        for (tag, value) in tags {
            self.varint(tag as usize);
            self.varint(value.len());
            self.out.extend(value);
        }
    }

    fn value(&mut self, kind: &Kind) {
        match kind {
            Kind::Bool => self.out.push(u8::from(self.random.one_in(2))),
            Kind::Int8 => self.integer(1),
            Kind::Int16 => self.integer(2),
            Kind::Int32 => self.integer(4),
            Kind::Int64 | Kind::Float64 => self.integer(8),
            Kind::Uuid => {
                let id = self.random.bytes(16);
                self.out.extend(id);
            }
            Kind::NullStr | Kind::NullBytes | Kind::NullArray(_) | Kind::NullStruct(_)
                if self.random.one_in(4) =>
            {
                self.null(kind);
            }
            Kind::Str | Kind::NullStr if self.long > 0 && self.random.one_in(3) => {
                self.string_length(self.long);
                self.out.resize(self.out.len() + self.long, b'a');
            }
            Kind::Str | Kind::NullStr if self.random.one_in(2) => {
                let word = WORDS[self.random.below(WORDS.len())];
                self.string_length(word.len());
                self.out.extend(word.as_bytes());
            }
            Kind::Str | Kind::NullStr => {
                let length = self.random.below(12);
                self.string_length(length);
                let letters = self.random.bytes(length);
                self.out
                    .extend(letters.iter().map(|letter| b'a' + letter % 26));
            }
            Kind::Bytes | Kind::NullBytes => {
                let length = self.random.below(40);
                self.length(length);
                let bytes = self.random.bytes(length);
                self.out.extend(bytes);
            }
            Kind::Struct(fields) => self.fields(fields),
            Kind::NullStruct(fields) => {
                self.out.push(1);
                self.fields(fields);
            }
            Kind::Array(element) | Kind::NullArray(element) => {
                let count = self.random.below(4);
                self.length(count);
                for _ in 0..count {
                    self.value(element);
                }
            }
        }
    }

    fn null(&mut self, kind: &Kind) {
        match kind {
            Kind::NullStruct(_) => self.out.push(0xff),
            _ if self.flexible => self.out.push(0),
            Kind::NullStr => self.out.extend((-1i16).to_be_bytes()),
            _ => self.out.extend((-1i32).to_be_bytes()),
        }
    }

    /// The last bytes of a number that is often small, sometimes at a limit, sometimes any.
    fn integer(&mut self, bytes: usize) {
        let number = match self.random.below(8) {
            0 => u64::MAX,
            1 => u64::MAX >> (65 - 8 * bytes),
            2 => self.random.number(),
            _ => self.random.number() % 8,
        };
        self.out.extend(&number.to_be_bytes()[8 - bytes..]);
    }

    fn string_length(&mut self, length: usize) {
        if self.flexible {
            self.varint(length + 1);
        } else {
            let length = i16::try_from(length).expect("strings made here are short");
            self.out.extend(length.to_be_bytes());
        }
    }

    fn length(&mut self, length: usize) {
        if self.flexible {
            self.varint(length + 1);
        } else {
            let length = i32::try_from(length).expect("arrays made here are short");
            self.out.extend(length.to_be_bytes());
        }
    }

    fn varint(&mut self, mut value: usize) {
        while value >= 0x80 {
            self.out.push((value & 0x7f) as u8 | 0x80);
            value >>= 7;
        }
        self.out.push((value & 0x7f) as u8);
    }
}
