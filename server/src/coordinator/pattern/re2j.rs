//! The syntax of RE2/J, in which consumer groups of Kafka write regular expressions (H-7), read
//! over what names of topics are made of: ASCII, without line breaks.
//!
//! So a literal, a dot and a class are each a set of ASCII characters, and what comes out is an
//! expression of the `regex` crate that has nothing but such sets, groups, alternatives,
//! repetitions and anchors. It stands for the same names, which is all that is asked of it: what
//! groups capture and how greedy repetitions are is left out.
//!
//! ```text
//! alternatives = sequence ("|" sequence)*
//! sequence     = (atom | atom repetition | flags)*
//! repetition   = ("*" | "+" | "?" | "{n}" | "{n,}" | "{n,m}") "?"?
//! atom         = character | "." | "[" class "]" | "\" escape | "^" | "$" | "\Q" text "\E"
//!              | "(" alternatives ")" | "(?flags:" alternatives ")" | "(?P<name>" alternatives ")"
//! ```
//!
//! `re2j.txt` beside this file is what RE2/J itself makes of expressions of all kinds; a test holds
//! this reader against it, and `scripts/ecosystem.sh --only regex` holds it against RE2/J.

use std::collections::BTreeSet;
use std::fmt::Write as _;

/// Groups inside groups at most. RE2/J goes on until its stack is full.
const DEPTH_MAX: usize = 80;
/// What a repetition may count up to.
const REPEAT_MAX: u32 = 1000;

/// What RE2/J does not take, or what goes deeper than is read here.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Invalid;

type Read<T> = Result<T, Invalid>;

/// The expression of the `regex` crate, without Unicode, that stands for the same names of topics.
pub(super) fn translate(expression: &str) -> Read<String> {
    let mut reader = Reader {
        rest: expression,
        fold: false,
        names: BTreeSet::new(),
        depth: 0,
    };
    let whole = reader.alternatives()?;
    match reader.rest {
        "" => Ok(format!("\\A(?:{whole})\\z")),
        _ => Err(Invalid),
    }
}

/// A set of ASCII characters, one bit for each.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Set(u128);

impl Set {
    const NONE: Self = Self(0);
    const ALL: Self = Self(u128::MAX);
    const DIGITS: Self = Self::range('0', '9');
    const UPPER: Self = Self::range('A', 'Z');
    const LOWER: Self = Self::range('a', 'z');
    const LETTERS: Self = Self::UPPER.or(Self::LOWER);
    const CONTROLS: Self = Self::range('\0', '\x1f').or(Self::of("\x7f"));
    const GRAPHIC: Self = Self::range('!', '~');
    const WORD: Self = Self::LETTERS.or(Self::DIGITS).or(Self::of("_"));

    /// Those of these characters that are ASCII.
    const fn range(first: char, last: char) -> Self {
        let last = if last > '\x7f' { '\x7f' } else { last };
        if first > last {
            return Self::NONE;
        }
        Self((u128::MAX >> (127 - last as u32)) & (u128::MAX << first as u32))
    }

    const fn of(characters: &str) -> Self {
        let bytes = characters.as_bytes();
        let (mut bits, mut place) = (0, 0);
        while place < bytes.len() {
            bits |= 1 << bytes[place];
            place += 1;
        }
        Self(bits)
    }

    const fn or(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    const fn not(self) -> Self {
        Self(!self.0)
    }

    const fn without(self, other: Self) -> Self {
        Self(self.0 & !other.0)
    }

    /// With each letter the one that differs from it in case alone.
    const fn fold(self) -> Self {
        let shift = b'a' - b'A';
        let up = (self.0 & Self::LOWER.0) >> shift;
        let down = (self.0 & Self::UPPER.0) << shift;
        Self(self.0 | up | down)
    }

    fn or_not(self, negated: bool) -> Self {
        if negated { self.not() } else { self }
    }

    // To write to a string cannot fail.
    fn atom(self) -> String {
        let mut out = String::new();
        if self == Self::NONE {
            return r"[^\x00-\xff]".into();
        }
        if self.0.is_power_of_two() {
            let _ = write!(out, r"\x{:02x}", self.0.trailing_zeros());
            return out;
        }
        out.push('[');
        let mut left = self.0;
        while left != 0 {
            let first = left.trailing_zeros();
            let length = (left >> first).trailing_ones();
            let _ = write!(out, r"\x{first:02x}-\x{:02x}", first + length - 1);
            left &= u128::MAX.checked_shl(first + length).unwrap_or(0);
        }
        out.push(']');
        out
    }
}

/// What these characters stand for, of ASCII.
fn characters(first: char, last: char, fold: bool) -> Set {
    let set = Set::range(first, last);
    if !fold {
        return set;
    }
    // Two characters beyond ASCII differ in case alone from letters of it.
    let has = |one| (first..=last).contains(&one);
    let long_s = if has('\u{17f}') {
        Set::of("s")
    } else {
        Set::NONE
    };
    let kelvin = if has('\u{212a}') {
        Set::of("k")
    } else {
        Set::NONE
    };
    set.or(long_s).or(kelvin).fold()
}

struct Reader<'a> {
    rest: &'a str,
    /// The flag `i`: case does not matter.
    fold: bool,
    /// Of groups.
    names: BTreeSet<&'a str>,
    depth: usize,
}

impl<'a> Reader<'a> {
    fn peek(&self) -> Option<char> {
        self.rest.chars().next()
    }

    fn next(&mut self) -> Read<char> {
        let mut rest = self.rest.chars();
        let next = rest.next().ok_or(Invalid)?;
        self.rest = rest.as_str();
        Ok(next)
    }

    fn eat(&mut self, text: &str) -> bool {
        match self.rest.strip_prefix(text) {
            Some(rest) => {
                self.rest = rest;
                true
            }
            None => false,
        }
    }

    /// Up to the end, or the parenthesis that closes the group.
    fn alternatives(&mut self) -> Read<String> {
        let mut out = String::new();
        let mut sequence: Vec<String> = Vec::new();
        let mut repeated = false;
        while let Some(next) = self.peek().filter(|next| *next != ')') {
            if let Some(repetition) = self.repetition()? {
                let last = sequence.pop().filter(|_| !repeated).ok_or(Invalid)?;
                sequence.push(format!("(?:{last}{repetition})"));
                repeated = true;
                continue;
            }
            // RE2/J takes a brace that counts nothing for text, and yet for a repetition.
            repeated = next == '{';
            if next == '|' {
                self.next()?;
                out.extend(sequence.drain(..));
                out.push('|');
            } else {
                self.atom(&mut sequence)?;
            }
        }
        out.extend(sequence);
        Ok(out)
    }

    /// A repetition, if one comes next. Whether it is a lazy one does not matter.
    fn repetition(&mut self) -> Read<Option<String>> {
        let repetition = match self.peek() {
            Some(sign @ ('*' | '+' | '?')) => {
                self.next()?;
                sign.to_string()
            }
            Some('{') => match self.count()? {
                Some(count) => count,
                None => return Ok(None),
            },
            _ => return Ok(None),
        };
        self.eat("?");
        Ok(Some(repetition))
    }

    /// `{n}`, `{n,}` or `{n,m}`; anything else behind a brace is text.
    fn count(&mut self) -> Read<Option<String>> {
        let Some((inside, rest)) = self.rest.split_once('}') else {
            return Ok(None);
        };
        let inside = &inside[1..];
        let (least, most) = match inside.split_once(',') {
            Some((least, "")) => (number(least), Some(None)),
            Some((least, most)) => (number(least), number(most).map(Some)),
            None => (number(inside), Some(Some(0))),
        };
        let (Some(least), Some(most)) = (least, most) else {
            return Ok(None);
        };
        let is_exact = !inside.contains(',');
        if least > REPEAT_MAX || most.is_some_and(|most| most > REPEAT_MAX) {
            return Err(Invalid);
        }
        if !is_exact && most.is_some_and(|most| most < least) {
            return Err(Invalid);
        }
        self.rest = rest;
        Ok(Some(format!("{{{inside}}}")))
    }

    fn atom(&mut self, out: &mut Vec<String>) -> Read<()> {
        match self.next()? {
            '(' => out.extend(self.group()?),
            '[' => out.push(self.class()?.atom()),
            '.' => out.push(Set::ALL.atom()),
            '^' => out.push(r"\A".into()),
            '$' => out.push(r"\z".into()),
            '\\' => self.escape(out)?,
            one => out.push(self.literal(one)),
        }
        Ok(())
    }

    fn literal(&self, one: char) -> String {
        characters(one, one, self.fold).atom()
    }

    fn escape(&mut self, out: &mut Vec<String>) -> Read<()> {
        match self.peek().ok_or(Invalid)? {
            'A' => out.push(r"\A".into()),
            'z' => out.push(r"\z".into()),
            sign @ ('b' | 'B') => out.push(format!(r"(?:\{sign})")),
            'Q' => {
                let quoted = &self.rest[1..];
                let (quoted, rest) = quoted.split_once(r"\E").unwrap_or((quoted, ""));
                out.extend(quoted.chars().map(|one| self.literal(one)));
                self.rest = rest;
                return Ok(());
            }
            _ => {
                let atom = match self.escaped_class()? {
                    Some(set) => set.atom(),
                    None => {
                        let one = self.escaped_character()?;
                        self.literal(one)
                    }
                };
                out.push(atom);
                return Ok(());
            }
        }
        self.next().map(drop)
    }

    /// Behind an opening parenthesis; nothing comes of flags alone.
    fn group(&mut self) -> Read<Option<String>> {
        let fold = self.fold;
        if self.eat("?P<") || self.eat("?<") {
            let (name, rest) = self.rest.split_once('>').ok_or(Invalid)?;
            let is_word = |one: char| one.is_ascii_alphanumeric() || one == '_';
            if name.is_empty() || !name.chars().all(is_word) || !self.names.insert(name) {
                return Err(Invalid);
            }
            self.rest = rest;
        } else if self.eat("?") && !self.flags()? {
            return Ok(None);
        }
        self.depth += 1;
        if self.depth > DEPTH_MAX {
            return Err(Invalid);
        }
        let inside = self.alternatives()?;
        if !self.eat(")") {
            return Err(Invalid);
        }
        self.depth -= 1;
        self.fold = fold;
        Ok(Some(format!("(?:{inside})")))
    }

    /// Flags, behind a question mark. Whether they open a group; if not, they hold for the rest of
    /// the one around them. What `m`, `s` and `U` say makes no difference to names as a whole.
    fn flags(&mut self) -> Read<bool> {
        let (mut on, mut negative, mut said) = (true, false, false);
        loop {
            match self.next()? {
                'i' => {
                    self.fold = on;
                    said = true;
                }
                'm' | 's' | 'U' => said = true,
                '-' if !negative => (on, negative, said) = (false, true, false),
                end @ (':' | ')') if said || !negative => return Ok(end == ':'),
                _ => return Err(Invalid),
            }
        }
    }

    /// Behind an opening bracket.
    fn class(&mut self) -> Read<Set> {
        let negated = self.eat("^");
        let mut set = Set::NONE;
        let mut first = true;
        while first || !self.eat("]") {
            first = false;
            let more = match self.named_class()? {
                Some(named) => named,
                None if self.eat(r"\") => match self.escaped_class()? {
                    Some(escaped) => escaped,
                    None => {
                        let one = self.escaped_character()?;
                        self.range_from(one)?
                    }
                },
                None => {
                    let one = self.next()?;
                    self.range_from(one)?
                }
            };
            set = set.or(more);
        }
        Ok(set.or_not(negated))
    }

    /// A character of a class, or a range if a hyphen and an end of it follow.
    fn range_from(&mut self, first: char) -> Read<Set> {
        let mut behind = self.rest.chars();
        let is_range = behind.next() == Some('-') && behind.next().is_some_and(|end| end != ']');
        let mut last = first;
        if is_range {
            self.next()?;
            last = self.next()?;
            if last == '\\' {
                last = self.escaped_character()?;
            }
        }
        if last < first {
            return Err(Invalid);
        }
        Ok(characters(first, last, self.fold))
    }

    /// `[:name:]` in a class.
    fn named_class(&mut self) -> Read<Option<Set>> {
        let inside = self.rest.strip_prefix('[').filter(|it| it.starts_with(':'));
        let Some((name, rest)) = inside.and_then(|inside| inside.split_once(":]")) else {
            return Ok(None);
        };
        // To RE2/J `[:]` is a name, too, and one that it does not know.
        let name = name.strip_prefix(':').ok_or(Invalid)?;
        let (name, negated) = negation(name);
        let set = match name {
            "alnum" => Set::LETTERS.or(Set::DIGITS),
            "alpha" => Set::LETTERS,
            "ascii" => Set::ALL,
            "blank" => Set::of("\t "),
            "cntrl" => Set::CONTROLS,
            "digit" => Set::DIGITS,
            "graph" => Set::GRAPHIC,
            "lower" => Set::LOWER,
            "print" => Set::GRAPHIC.or(Set::of(" ")),
            "punct" => Set::GRAPHIC.without(Set::LETTERS.or(Set::DIGITS)),
            "space" => Set::of("\t\n\x0b\x0c\r "),
            "upper" => Set::UPPER,
            "word" => Set::WORD,
            "xdigit" => Set::DIGITS.or(Set::range('A', 'F').fold()),
            _ => return Err(Invalid),
        };
        self.rest = rest;
        let set = if self.fold { set.fold() } else { set };
        Ok(Some(set.or_not(negated)))
    }

    /// A class behind a backslash, if one is there.
    fn escaped_class(&mut self) -> Read<Option<Set>> {
        let Some(letter) = self.peek() else {
            return Err(Invalid);
        };
        let set = match letter.to_ascii_lowercase() {
            'd' => Set::DIGITS,
            's' => Set::of("\t\n\x0c\r "),
            'w' => Set::WORD,
            'p' => {
                self.next()?;
                return self.property().map(|set| Some(set.or_not(letter == 'P')));
            }
            _ => return Ok(None),
        };
        self.next()?;
        Ok(Some(set.or_not(letter.is_ascii_uppercase())))
    }

    /// A property of Unicode's, behind `\p`.
    fn property(&mut self) -> Read<Set> {
        let mut rest = self.rest.chars();
        let mut name = self.rest;
        match rest.next().ok_or(Invalid)? {
            '{' => (name, self.rest) = self.rest[1..].split_once('}').ok_or(Invalid)?,
            _ => {
                name = &name[..name.len() - rest.as_str().len()];
                self.rest = rest.as_str();
            }
        }
        let (name, negated) = negation(name);
        let set = property(name).ok_or(Invalid)?;
        let folded = match name {
            // What RE2/J adds to these where case does not matter.
            "Lu" => set.or(Set::LOWER),
            "Ll" => set.or(Set::of("KS")),
            _ => set,
        };
        Ok(if self.fold { folded } else { set }.or_not(negated))
    }

    /// One character behind a backslash.
    fn escaped_character(&mut self) -> Read<char> {
        let one = self.next()?;
        let of = |code| char::from_u32(code).ok_or(Invalid);
        match one {
            '1'..='7' if !self.peek().is_some_and(|next| next.is_digit(8)) => Err(Invalid),
            '0'..='7' => {
                let mut code = u32::from(one) - u32::from('0');
                for _ in 0..2 {
                    if let Some(digit) = self.peek().and_then(|next| next.to_digit(8)) {
                        code = code * 8 + digit;
                        self.next()?;
                    }
                }
                of(code)
            }
            'x' if self.eat("{") => {
                let (digits, rest) = self.rest.split_once('}').ok_or(Invalid)?;
                self.rest = rest;
                of(hexadecimal(digits).ok_or(Invalid)?)
            }
            'x' => {
                let (digits, rest) = self.rest.split_at_checked(2).ok_or(Invalid)?;
                self.rest = rest;
                of(hexadecimal(digits).ok_or(Invalid)?)
            }
            'a' => Ok('\x07'),
            'f' => Ok('\x0c'),
            'n' => Ok('\n'),
            'r' => Ok('\r'),
            't' => Ok('\t'),
            'v' => Ok('\x0b'),
            one if one.is_alphanumeric() && one.is_ascii() => Err(Invalid),
            one => Ok(one),
        }
    }
}

/// Digits without a zero in front, as a number; too many of them are a large one.
fn number(digits: &str) -> Option<u32> {
    let is_number = !digits.is_empty()
        && digits.bytes().all(|digit| digit.is_ascii_digit())
        && (digits.len() == 1 || !digits.starts_with('0'));
    is_number.then(|| digits.parse().unwrap_or(u32::MAX))
}

fn hexadecimal(digits: &str) -> Option<u32> {
    let is_number = digits.bytes().all(|digit| digit.is_ascii_hexdigit());
    u32::from_str_radix(digits, 16).ok().filter(|_| is_number)
}

fn negation(name: &str) -> (&str, bool) {
    match name.strip_prefix('^') {
        Some(name) => (name, true),
        None => (name, false),
    }
}

/// What a property of Unicode's has of ASCII; none if RE2/J knows no such property.
fn property(name: &str) -> Option<Set> {
    Some(match name {
        "Any" => Set::ALL,
        "C" | "Cc" => Set::CONTROLS,
        "L" | "Latin" => Set::LETTERS,
        "Ll" => Set::LOWER,
        "Lu" => Set::UPPER,
        "N" | "Nd" => Set::DIGITS,
        "P" => Set::of("!\"#%&'()*,-./:;?@[\\]_{}"),
        "Pc" => Set::of("_"),
        "Pd" => Set::of("-"),
        "Pe" => Set::of(")]}"),
        "Po" => Set::of("!\"#%&'*,./:;?@\\"),
        "Ps" => Set::of("([{"),
        "S" => Set::of("$+<=>^`|~"),
        "Sc" => Set::of("$"),
        "Sk" => Set::of("^`"),
        "Sm" => Set::of("+<=>|~"),
        "Z" | "Zs" => Set::of(" "),
        "Common" => Set::LETTERS.not(),
        _ => {
            let mut names = BEYOND_ASCII.split_ascii_whitespace();
            names.find(|known| *known == name).map(|_| Set::NONE)?
        }
    })
}

/// Properties that have nothing of ASCII: categories, then scripts.
const BEYOND_ASCII: &str = "
    Cf Co Cs Lm Lo Lt M Mc Me Mn Nl No Pf Pi So Zl Zp Arabic Armenian Avestan Balinese Bamum
    Batak Bengali Bopomofo Brahmi Braille Buginese Buhid Canadian_Aboriginal Carian Cham Cherokee
    Coptic Cuneiform Cypriot Cyrillic Deseret Devanagari Egyptian_Hieroglyphs Ethiopic Georgian
    Glagolitic Gothic Greek Gujarati Gurmukhi Han Hangul Hanunoo Hebrew Hiragana Imperial_Aramaic
    Inherited Inscriptional_Pahlavi Inscriptional_Parthian Javanese Kaithi Kannada Katakana
    Kayah_Li Kharoshthi Khmer Lao Lepcha Limbu Linear_B Lisu Lycian Lydian Malayalam Mandaic
    Meetei_Mayek Mongolian Myanmar New_Tai_Lue Nko Ogham Ol_Chiki Old_Italic Old_Persian
    Old_South_Arabian Old_Turkic Oriya Osmanya Phags_Pa Phoenician Rejang Runic Samaritan
    Saurashtra Shavian Sinhala Sundanese Syloti_Nagri Syriac Tagalog Tagbanwa Tai_Le Tai_Tham
    Tai_Viet Tamil Telugu Thaana Thai Tibetan Tifinagh Ugaritic Unknown Vai Yi
";
