//! What a row of the table of keys is made of, and the types its values may have.

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};
use std::num::NonZeroU32;
use std::path::PathBuf;

use ratel_storage::{Codec, TimestampType, Validation};

use super::{Config, DurabilityMode, LogFormat, MigrationPolicy};

/// A key's type, as DescribeConfigs names it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// `true` or `false`.
    Bool,
    /// Text.
    String,
    /// A whole number of 32 bits.
    Int,
    /// A whole number of 16 bits.
    Short,
    /// A whole number of 64 bits.
    Long,
    /// A number with a fraction.
    Double,
    /// Texts with commas between them.
    List,
    /// The name of a class.
    Class,
    /// Text that is never shown.
    Password,
}

impl Kind {
    /// The number of this type in DescribeConfigs.
    #[must_use]
    pub const fn code(self) -> i8 {
        match self {
            Self::Bool => 1,
            Self::String => 2,
            Self::Int => 3,
            Self::Short => 4,
            Self::Long => 5,
            Self::Double => 6,
            Self::List => 7,
            Self::Class => 8,
            Self::Password => 9,
        }
    }

    /// The type's name in documentation.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Bool => "boolean",
            Self::String => "string",
            Self::Int => "int",
            Self::Short => "short",
            Self::Long => "long",
            Self::Double => "double",
            Self::List => "list",
            Self::Class => "class",
            Self::Password => "password",
        }
    }
}

/// Where a key may be altered while the server runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scope {
    /// Nowhere: the value of the start stays.
    ReadOnly,
    /// For one broker or, with an empty name, for all.
    Cluster,
}

/// What a key does here.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Meaning {
    /// The server acts on it.
    Acts,
    /// It is accepted and shown so that tools find it, and changes nothing.
    Shown,
}

/// Where a key's value lives.
pub(super) enum Access {
    /// In a field of [`Config`].
    Field {
        read: fn(&Config) -> Option<String>,
        write: fn(&mut Config, &str) -> Result<(), String>,
    },
    /// Among the texts that are only shown, with this default.
    Shown(Option<&'static str>),
}

/// One row of the table of keys.
pub struct Key {
    /// The name, Kafka's wherever Kafka has one.
    pub name: &'static str,
    /// The type.
    pub kind: Kind,
    /// The smallest and the largest number, inclusive.
    pub range: (i64, i64),
    /// The only words it takes; empty when any will do.
    pub words: &'static [&'static str],
    /// Whether these may be in capitals.
    pub any_case: bool,
    /// Where it may be altered at run time.
    pub scope: Scope,
    /// Whether the server acts on it.
    pub meaning: Meaning,
    /// Whether the key is this server's own and unknown to Kafka.
    pub ours: bool,
    /// Keys that give the value when this one is not set, first one first.
    pub synonyms: &'static [&'static str],
    /// Other names of this same key.
    pub aliases: &'static [&'static str],
    pub(super) doc: &'static str,
    pub(super) access: Access,
}

impl Key {
    /// What it means, in a sentence or two.
    #[must_use]
    pub fn doc(&self) -> &'static str {
        self.doc.trim()
    }

    /// The value it has when nobody sets it; `None` is Kafka's null.
    #[must_use]
    pub fn default(&self) -> Option<String> {
        self.read(&Config::default())
    }

    /// Its value in `config`; `None` is Kafka's null.
    #[must_use]
    pub fn read(&self, config: &Config) -> Option<String> {
        match &self.access {
            Access::Field { read, .. } => read(config),
            Access::Shown(default) => config
                .shown
                .get(self.name)
                .cloned()
                .or_else(|| default.map(str::to_owned)),
        }
    }

    /// Put a value into `config`.
    ///
    /// # Errors
    /// What is wrong with the value, as the end of a sentence that begins with `name=value`.
    pub fn write(&self, config: &mut Config, text: &str) -> Result<(), String> {
        let text = text.trim();
        let lower = self.any_case.then(|| text.to_ascii_lowercase());
        let text = lower.as_deref().unwrap_or(text);
        self.check(text)?;
        match &self.access {
            Access::Field { write, .. } => write(config, text),
            Access::Shown(_) => {
                config.shown.insert(self.name, text.to_owned());
                Ok(())
            }
        }
    }

    fn check(&self, text: &str) -> Result<(), String> {
        match self.kind {
            Kind::Int | Kind::Short | Kind::Long => {
                let nullable = text.is_empty() && self.default().is_none();
                let (min, max) = self.range;
                if nullable {
                    return Ok(());
                }
                let number = parse_number::<i64>(text).map_err(|why| self.refusal(&why))?;
                if !(min..=max).contains(&number) {
                    return Err(self.refusal("is out of range"));
                }
            }
            Kind::Double => {
                let number = f64::parse(text).map_err(|why| self.refusal(&why))?;
                let (min, max) = self.range;
                #[expect(clippy::cast_precision_loss, reason = "ranges are of small numbers")]
                if number < min as f64 || number > max as f64 && max < i64::MAX {
                    return Err(self.refusal("is out of range"));
                }
            }
            Kind::Bool => {
                bool::parse(text).map_err(|why| self.refusal(&why))?;
            }
            Kind::List if !self.words.is_empty() => {
                // The empty word among them allows an empty list, not one with empty words.
                let mut given = text.split(',').map(str::trim);
                let known = |word: &str| {
                    self.words.contains(&word) && (text.is_empty() || !word.is_empty())
                };
                if !given.all(known) {
                    return Err(self.refusal("is not supported"));
                }
            }
            Kind::List => {}
            _ if !self.words.is_empty() && !self.words.contains(&text) => {
                return Err(self.refusal("is not supported"));
            }
            _ => {}
        }
        Ok(())
    }

    fn refusal(&self, why: &str) -> String {
        format!("{why}; give {}", self.expects())
    }

    /// What the key takes, for people: `a whole number of at least 1`.
    #[must_use]
    pub fn expects(&self) -> String {
        if !self.words.is_empty() {
            let words = self.words.iter().map(|word| {
                if word.is_empty() {
                    "nothing".to_owned()
                } else {
                    format!("`{word}`")
                }
            });
            let several = if self.kind == Kind::List {
                "any of "
            } else {
                ""
            };
            return format!("{several}{}", words.collect::<Vec<_>>().join(" or "));
        }
        let (min, max) = self.range;
        match self.kind {
            Kind::Bool => "`true` or `false`".to_owned(),
            Kind::Int | Kind::Short | Kind::Long => match (min > i64::MIN, max < i64::MAX) {
                (true, true) => format!("a whole number from {min} to {max}"),
                (true, false) => format!("a whole number of at least {min}"),
                _ => "a whole number".to_owned(),
            },
            Kind::Double => match (min > i64::MIN, max < i64::MAX) {
                (true, true) => format!("a number from {min} to {max}"),
                (true, false) => format!("a number of at least {min}"),
                _ => "a number".to_owned(),
            },
            Kind::List => "values with commas between them".to_owned(),
            Kind::String | Kind::Class | Kind::Password => "text".to_owned(),
        }
    }

    pub(super) const fn at_least(mut self, min: i64) -> Self {
        self.range.0 = min;
        self
    }

    pub(super) const fn at_most(mut self, max: i64) -> Self {
        self.range.1 = max;
        self
    }

    pub(super) const fn words(mut self, words: &'static [&'static str]) -> Self {
        self.words = words;
        self
    }

    /// Its words, which are written in small letters here, may be in capitals.
    pub(super) const fn any_case(mut self) -> Self {
        self.any_case = true;
        self
    }

    /// A count of bytes that may be above 2 GiB.
    pub(super) const fn long(mut self) -> Self {
        self.kind = Kind::Long;
        self.range.1 = i64::MAX;
        self
    }

    pub(super) const fn int(mut self) -> Self {
        self.kind = Kind::Int;
        if self.range.1 > i32::MAX as i64 {
            self.range.1 = i32::MAX as i64;
        }
        self
    }

    pub(super) const fn list(mut self) -> Self {
        self.kind = Kind::List;
        self
    }

    pub(super) const fn ours(mut self) -> Self {
        self.ours = true;
        self
    }

    pub(super) const fn dynamic(mut self) -> Self {
        self.scope = Scope::Cluster;
        self
    }

    pub(super) const fn synonyms(mut self, names: &'static [&'static str]) -> Self {
        self.synonyms = names;
        self
    }

    pub(super) const fn aliases(mut self, names: &'static [&'static str]) -> Self {
        self.aliases = names;
        self
    }
}

/// A type that a field of [`Config`] may have.
pub(super) trait Setting: Sized {
    const KIND: Kind = Kind::String;
    const RANGE: (i64, i64) = (i64::MIN, i64::MAX);

    fn parse(text: &str) -> Result<Self, String>;
    fn text(&self) -> Option<String>;
}

fn parse_number<T: std::str::FromStr>(text: &str) -> Result<T, String> {
    text.parse()
        .map_err(|_| "is not a whole number, or too large for one".to_owned())
}

macro_rules! numbers {
    ($($type:ty, $kind:ident, $min:expr, $max:expr;)+) => { $(
        impl Setting for $type {
            const KIND: Kind = Kind::$kind;
            const RANGE: (i64, i64) = ($min, $max);

            fn parse(text: &str) -> Result<Self, String> {
                parse_number(text)
            }

            fn text(&self) -> Option<String> {
                Some(self.to_string())
            }
        }
    )+ };
}

numbers! {
    i16, Short, i16::MIN as i64, i16::MAX as i64;
    i32, Int, i32::MIN as i64, i32::MAX as i64;
    i64, Long, i64::MIN, i64::MAX;
    u32, Int, 0, i32::MAX as i64;
    u64, Long, 0, i64::MAX;
    usize, Int, 0, i32::MAX as i64;
}

impl Setting for Option<i64> {
    const KIND: Kind = Kind::Long;

    fn parse(text: &str) -> Result<Self, String> {
        (!text.is_empty()).then(|| parse_number(text)).transpose()
    }

    fn text(&self) -> Option<String> {
        self.map(|number| number.to_string())
    }
}

impl Setting for f64 {
    const KIND: Kind = Kind::Double;

    fn parse(text: &str) -> Result<Self, String> {
        let number = text
            .parse::<Self>()
            .ok()
            .filter(|number| number.is_finite());
        number.ok_or_else(|| "is not a number".to_owned())
    }

    /// As Java writes it.
    fn text(&self) -> Option<String> {
        Some(if self.abs() < 1e7 {
            format!("{self:?}")
        } else {
            format!("{self:E}")
        })
    }
}

/// From 1 to 9; -1 leaves it to the library.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct GzipLevel(pub i32);

impl Setting for GzipLevel {
    const KIND: Kind = Kind::Int;
    const RANGE: (i64, i64) = (-1, 9);

    fn parse(text: &str) -> Result<Self, String> {
        let level = parse_number(text)?;
        if level == 0 {
            return Err("packs nothing; give 1 to 9, or -1 for the library's own".into());
        }
        Ok(Self(level))
    }

    fn text(&self) -> Option<String> {
        Some(self.0.to_string())
    }
}

/// Numbers of single addresses. An address of version 6 has no brackets: the last colon counts.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct PerAddress(pub BTreeMap<IpAddr, usize>);

impl Setting for PerAddress {
    fn parse(text: &str) -> Result<Self, String> {
        let pairs = super::split_list(text).map(|pair| {
            let (ip, number) = pair.rsplit_once(':')?;
            let ip: IpAddr = ip.trim().parse().ok()?;
            Some((ip.to_canonical(), number.trim().parse().ok()?))
        });
        let pairs: Option<_> = pairs.collect();
        pairs
            .map(Self)
            .ok_or_else(|| "is no list such as 10.0.0.1:100,10.0.0.2:5".to_owned())
    }

    fn text(&self) -> Option<String> {
        let pairs = self.0.iter().map(|(ip, number)| format!("{ip}:{number}"));
        Some(pairs.collect::<Vec<_>>().join(","))
    }
}

/// A size that -1 leaves to the system.
impl Setting for Option<NonZeroU32> {
    const KIND: Kind = Kind::Int;
    const RANGE: (i64, i64) = (-1, i32::MAX as i64);

    fn parse(text: &str) -> Result<Self, String> {
        if text == "-1" {
            return Ok(None);
        }
        let size = NonZeroU32::new(parse_number(text)?);
        size.map(Some)
            .ok_or_else(|| "is no size; give at least 1, or -1 for the system's".to_owned())
    }

    fn text(&self) -> Option<String> {
        Some(self.map_or_else(|| "-1".to_owned(), |size| size.to_string()))
    }
}

impl Setting for bool {
    const KIND: Kind = Kind::Bool;

    fn parse(text: &str) -> Result<Self, String> {
        if text.eq_ignore_ascii_case("true") {
            Ok(true)
        } else if text.eq_ignore_ascii_case("false") {
            Ok(false)
        } else {
            Err("is neither true nor false".to_owned())
        }
    }

    fn text(&self) -> Option<String> {
        Some(self.to_string())
    }
}

impl Setting for String {
    fn parse(text: &str) -> Result<Self, String> {
        Ok(text.to_owned())
    }

    fn text(&self) -> Option<String> {
        Some(self.clone())
    }
}

impl Setting for Option<String> {
    fn parse(text: &str) -> Result<Self, String> {
        Ok((!text.is_empty()).then(|| text.to_owned()))
    }

    fn text(&self) -> Option<String> {
        self.clone()
    }
}

impl Setting for PathBuf {
    fn parse(text: &str) -> Result<Self, String> {
        let mut dirs = super::split_list(text);
        match (dirs.next(), dirs.next()) {
            (Some(dir), None) => Ok(dir.into()),
            (None, _) => Err("names no directory; give one".to_owned()),
            (Some(_), Some(_)) => Err(
                "names more than one directory; give one: a log lies on one disk here, so that \
                 one failed disk is one failed server (join disks below the file system instead)"
                    .to_owned(),
            ),
        }
    }

    fn text(&self) -> Option<String> {
        Some(self.display().to_string())
    }
}

impl Setting for Option<SocketAddr> {
    fn parse(text: &str) -> Result<Self, String> {
        if text.is_empty() || text == "off" {
            return Ok(None);
        }
        let text = text.replacen("localhost:", "127.0.0.1:", 1);
        text.parse()
            .map(Some)
            .map_err(|_| "is not an address; give one such as 127.0.0.1:8080, or off".to_owned())
    }

    fn text(&self) -> Option<String> {
        Some(self.map_or_else(|| "off".to_owned(), |addr| addr.to_string()))
    }
}

macro_rules! words {
    ($($type:ty { $($word:literal => $value:path),+ })+) => { $(
        impl Setting for $type {
            fn parse(text: &str) -> Result<Self, String> {
                match text {
                    $($word => Ok($value),)+
                    _ => Err("is not supported".to_owned()),
                }
            }

            fn text(&self) -> Option<String> {
                Some(match self {
                    $($value => $word,)+
                }.to_owned())
            }
        }
    )+ };
}

words! {
    DurabilityMode { "contract" => DurabilityMode::Contract, "relaxed" => DurabilityMode::Relaxed }
    MigrationPolicy {
        "bidirectional" => MigrationPolicy::Bidirectional,
        "upgrade" => MigrationPolicy::Upgrade,
        "downgrade" => MigrationPolicy::Downgrade,
        "disabled" => MigrationPolicy::Disabled
    }
    LogFormat { "auto" => LogFormat::Auto, "text" => LogFormat::Text, "json" => LogFormat::Json }
    TimestampType {
        "CreateTime" => TimestampType::CreateTime,
        "LogAppendTime" => TimestampType::LogAppendTime
    }
    Codec {
        "producer" => Codec::Producer,
        "uncompressed" => Codec::Uncompressed,
        "gzip" => Codec::Gzip,
        "snappy" => Codec::Snappy,
        "lz4" => Codec::Lz4,
        "zstd" => Codec::Zstd
    }
    Validation { "header" => Validation::Header, "records" => Validation::Records }
}
