//! Regular expressions that clients send. One stands for a name only as a whole.

mod re2j;

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
    /// Make an expression ready that is in the syntax of RE2/J, for names of topics; none if RE2/J
    /// does not take it, or if it would take too much memory.
    #[must_use]
    pub fn of_re2j(expression: &str) -> Option<Self> {
        if expression.len() > BYTES_MAX {
            return None;
        }
        let whole = re2j::translate(expression).ok()?;
        build(&whole, false).map(Self)
    }

    /// Make an expression of the `regex` crate ready, for names in any alphabet: a dot stands for
    /// one letter of it. One that is too large that way is taken as one for ASCII.
    #[must_use]
    pub fn of_text(expression: &str) -> Option<Self> {
        if expression.len() > BYTES_MAX {
            return None;
        }
        let whole = |unicode| {
            // On its own first: "a)(b" would become whole inside the brackets.
            build(expression, unicode)?;
            build(&format!("\\A(?:{expression})\\z"), unicode)
        };
        whole(true).or_else(|| whole(false)).map(Self)
    }

    /// Whether it stands for this name, among others.
    #[must_use]
    pub fn is_match(&self, name: &str) -> bool {
        self.0.is_match(name.as_bytes())
    }
}

fn build(expression: &str, unicode: bool) -> Option<Regex> {
    RegexBuilder::new(expression)
        .unicode(unicode)
        .size_limit(PROGRAM_BYTES_MAX)
        .dfa_size_limit(PROGRAM_BYTES_MAX)
        .build()
        .ok()
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
    fn h_7_expressions_stand_for_what_they_do_in_re2j() {
        let mut lines = include_str!("pattern/re2j.txt").lines();
        let names = lines.find(|line| !line.starts_with('#'));
        let names: Vec<&str> = names.into_iter().flat_map(|line| line.split(' ')).collect();
        assert!(names.len() > 10, "{names:?}");
        for line in lines {
            let (expression, expected) = line.split_once('\t').expect("an expression and a tab");
            let stands_for = Pattern::of_re2j(expression).map(|pattern| {
                let all = names.iter().copied();
                all.filter(|name| pattern.is_match(name))
                    .collect::<Vec<_>>()
            });
            let stands_for = match stands_for.as_deref() {
                None => "invalid".to_owned(),
                Some([]) => "nothing".to_owned(),
                Some(names) => names.join(" "),
            };
            assert_eq!(stands_for, expected, "{expression}");
        }
    }

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
