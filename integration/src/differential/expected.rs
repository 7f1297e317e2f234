//! Differences that are on purpose.
//!
//! A line names one: `scenario step path = Kafka's value => ours`, in each part `*` for whatever.
//! Above such lines stands in square brackets what they have in common: the first cell of a row in
//! `docs/compatibility.md`, where it is explained. `#` begins a comment.

use std::fmt;

/// Where two answers are not the same.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Difference {
    /// The scenario.
    pub scenario: String,
    /// The step in it.
    pub step: String,
    /// The field.
    pub path: String,
    /// Apache Kafka's value, `-` if it has no such field.
    pub kafka: String,
    /// Our value, `-` if there is none.
    pub ratel: String,
}

impl fmt::Display for Difference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            scenario,
            step,
            path,
            kafka,
            ratel,
        } = self;
        write!(f, "{scenario} {step} {path} = {kafka} => {ratel}")
    }
}

#[derive(Debug)]
struct Line {
    number: usize,
    pattern: String,
    met: usize,
}

/// The differences that are expected.
#[derive(Debug)]
pub struct Expected {
    lines: Vec<Line>,
}

impl Expected {
    /// Read them; `explained` is the page that explains them.
    ///
    /// # Errors
    /// A line that is not understood, or a reason that the page does not have.
    pub fn read(text: &str, explained: &str) -> Result<Self, String> {
        let mut lines = Vec::new();
        let mut has_reason = false;
        for (index, line) in text.lines().enumerate() {
            let (number, line) = (index + 1, line.trim());
            if line.is_empty() || line.starts_with('#') {
                continue;
            }
            if let Some(reason) = line
                .strip_prefix('[')
                .and_then(|rest| rest.strip_suffix(']'))
            {
                if !explained.contains(&format!("\n| {reason} |")) {
                    return Err(format!("line {number}: nothing explains {reason:?}"));
                }
                has_reason = true;
                continue;
            }
            if !has_reason {
                return Err(format!("line {number} has no reason above it"));
            }
            if !line.contains(" = ") || !line.contains(" => ") {
                return Err(format!("line {number} is no difference: {line}"));
            }
            lines.push(Line {
                number,
                pattern: line.to_owned(),
                met: 0,
            });
        }
        Ok(Self { lines })
    }

    /// Whether this difference is expected. Remembers that it was met.
    pub fn meets(&mut self, difference: &Difference) -> bool {
        let text = difference.to_string();
        let mut is_met = false;
        for line in &mut self.lines {
            if matches(&line.pattern, &text) {
                line.met += 1;
                is_met = true;
            }
        }
        is_met
    }

    /// Lines that differences have met, and how many.
    pub fn met(&self) -> impl Iterator<Item = (usize, &str)> {
        let met = self.lines.iter().filter(|line| line.met > 0);
        met.map(|line| (line.met, &*line.pattern))
    }

    /// Lines that no difference has met: what they say is no longer so.
    pub fn unmet(&self) -> impl Iterator<Item = String> + '_ {
        let unmet = self.lines.iter().filter(|line| line.met == 0);
        unmet.map(|line| format!("line {}: {}", line.number, line.pattern))
    }
}

/// Whether a text is the pattern's, in which each `*` stands for anything.
fn matches(pattern: &str, text: &str) -> bool {
    let Some((before, rest)) = pattern.split_once('*') else {
        return pattern == text;
    };
    let Some(text) = text.strip_prefix(before) else {
        return false;
    };
    let mut starts = text.char_indices().map(|(at, _)| at).chain([text.len()]);
    starts.any(|at| matches(rest, text.get(at..).unwrap_or_default()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn difference(step: &str) -> Difference {
        Difference {
            scenario: "a/v1/b".to_owned(),
            step: step.to_owned(),
            path: "error_code".to_owned(),
            kafka: "0".to_owned(),
            ratel: "42 InvalidRequest".to_owned(),
        }
    }

    #[test]
    fn what_is_expected_is_met_and_what_is_not_met_is_told() {
        let page = "\n| why | Kafka | here |\n";
        let text = "# so it is\n[why]\na/*/b open error_code = 0 => 42*\na/* close * = * => *\n";
        let mut expected = Expected::read(text, page).expect("good lines");
        assert!(expected.meets(&difference("open")));
        assert!(!expected.meets(&difference("opened")));
        let unmet: Vec<String> = expected.unmet().collect();
        assert_eq!(unmet, ["line 4: a/* close * = * => *"]);
        let met: Vec<(usize, &str)> = expected.met().collect();
        assert_eq!(met, [(1, "a/*/b open error_code = 0 => 42*")]);
        assert!(expected.meets(&difference("close")));
        assert_eq!(expected.unmet().count(), 0);
    }

    #[test]
    fn our_own_list_is_explained() {
        let list = include_str!("../../examples/differential/expected.txt");
        let page = include_str!("../../../docs/compatibility.md");
        assert!(
            Expected::read(list, page)
                .expect("a good list")
                .unmet()
                .count()
                > 0
        );
    }

    #[test]
    fn each_line_is_explained() {
        for text in ["[other]", "a b c = 1 => 2", "[why]\na b c"] {
            assert!(
                Expected::read(text, "\n| why | Kafka | here |").is_err(),
                "{text}"
            );
        }
    }
}
