//! Regular expressions that clients send. One stands for a name only as a whole.

use regex::bytes::{Regex, RegexBuilder};

/// Bytes of an expression.
pub const BYTES_MAX: usize = 10_000;
/// Memory that an expression's program, and its cache while it matches, may take, in bytes.
const PROGRAM_BYTES_MAX: usize = 1 << 20;

/// An expression that can be held against a name. The time that this takes is linear in the name
/// and in the expression's program.
#[derive(Debug, Clone)]
pub struct Pattern(Regex);

impl Pattern {
    /// Make an expression ready for names in ASCII; none if it cannot be understood, or would take
    /// too much memory. Its classes are ASCII as those of RE2: `\w` of all alphabets would take
    /// twenty times the memory. Only what speaks of other letters (`\p{L}`) is read as Unicode.
    #[must_use]
    pub fn of_ascii(expression: &str) -> Option<Self> {
        Self::first(expression, [false, true])
    }

    /// The same for names in any alphabet: a dot stands for one letter of it. An expression that
    /// is too large that way is taken as one for ASCII.
    #[must_use]
    pub fn of_text(expression: &str) -> Option<Self> {
        Self::first(expression, [true, false])
    }

    fn first(expression: &str, unicode: [bool; 2]) -> Option<Self> {
        if expression.len() > BYTES_MAX {
            return None;
        }
        unicode
            .into_iter()
            .find_map(|unicode| Self::whole(expression, unicode))
    }

    fn whole(expression: &str, unicode: bool) -> Option<Self> {
        let build = |expression: &str| {
            RegexBuilder::new(expression)
                .unicode(unicode)
                .size_limit(PROGRAM_BYTES_MAX)
                .dfa_size_limit(PROGRAM_BYTES_MAX)
                .build()
        };
        // On its own first: "a)(b" would become whole inside the brackets.
        build(expression).ok()?;
        build(&format!("\\A(?:{expression})\\z")).ok().map(Self)
    }

    /// Whether it stands for this name, among others.
    #[must_use]
    pub fn is_match(&self, name: &str) -> bool {
        self.0.is_match(name.as_bytes())
    }
}

impl PartialEq for Pattern {
    fn eq(&self, other: &Self) -> bool {
        self.0.as_str() == other.0.as_str()
    }
}

impl Eq for Pattern {}

#[cfg(test)]
mod tests {
    use super::Pattern;

    #[test]
    fn t_16_a_dot_is_a_letter_of_any_alphabet_in_text() {
        let is_match = |expression, name| {
            let pattern = Pattern::of_text(expression);
            pattern.is_some_and(|pattern| pattern.is_match(name))
        };
        assert!(is_match("a.b", "aéb") && !is_match("a.b", "aéb2"));
        assert!(is_match(r"\w{1,249}", "ab"), "too large in all alphabets");
        assert!(is_match("^t-\\d+$", "t-12") && !is_match("t", "t-12"));
        for bad in ["(", "a)(b", "*", r"\p{Nonsense}", r"(?:\w{1,249}){1,249}"] {
            assert_eq!(Pattern::of_text(bad), None, "{bad}");
        }
        assert_eq!(Pattern::of_text(&"a".repeat(10_001)), None);
    }
}
