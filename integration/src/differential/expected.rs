//! Differences that are on purpose.
//!
//! A line names one: `scenario step path = Kafka's value => ours`, in each part `*` for whatever
//! is inside that part. It says which API (a scenario begins with one) and which field it is
//! about, and both values. One that begins with `~` is about what is so only at times, such as an
//! order. Above such lines stands in square brackets what they have in common:
//! the first cell of a row in `docs/compatibility.md`, where it is explained. `#` begins a
//! comment.

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

/// What came of running a scenario a second time.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Twice {
    /// Differences that came both times.
    pub steady: Vec<Difference>,
    /// Differences that came in one of the runs only, whichever.
    pub unsteady: Vec<Difference>,
}

impl Twice {
    /// Hold the two runs against each other.
    #[must_use]
    pub fn of(first: Vec<Difference>, mut second: Vec<Difference>) -> Self {
        let is_same = |one: &Difference, other: &Difference| {
            (&one.step, &one.path) == (&other.step, &other.path)
        };
        let came_again = |one: &Difference| second.iter().any(|other| is_same(one, other));
        let (steady, mut unsteady): (Vec<_>, Vec<_>) = first.into_iter().partition(came_again);
        second.retain(|other| !steady.iter().any(|one| is_same(one, other)));
        unsteady.append(&mut second);
        Self { steady, unsteady }
    }
}

/// One line, by its parts.
#[derive(Debug)]
struct Line {
    number: usize,
    text: String,
    pattern: Difference,
    is_at_times: bool,
    met: usize,
}

impl Line {
    fn read(number: usize, text: &str) -> Result<Self, String> {
        let at_times = text.strip_prefix("~ ");
        let pattern = parts(at_times.unwrap_or(text))
            .ok_or_else(|| format!("line {number} is no difference: {text}"))?;
        if let Some(wide) = wide(&pattern) {
            return Err(format!("line {number} does not say which {wide}: {text}"));
        }
        Ok(Self {
            number,
            text: text.to_owned(),
            pattern,
            is_at_times: at_times.is_some(),
            met: 0,
        })
    }

    fn meets(&self, difference: &Difference) -> bool {
        let (pattern, text) = (&self.pattern, difference);
        matches(&pattern.scenario, &text.scenario)
            && matches(&pattern.step, &text.step)
            && matches(&pattern.path, &text.path)
            && matches(&pattern.kafka, &text.kafka)
            && matches(&pattern.ratel, &text.ratel)
    }
}

fn parts(text: &str) -> Option<Difference> {
    let (scenario, rest) = text.split_once(' ')?;
    let (step, rest) = rest.split_once(' ')?;
    let (path, values) = rest.split_once(" = ")?;
    let (kafka, ratel) = values.split_once(" => ")?;
    Some(Difference {
        scenario: scenario.to_owned(),
        step: step.to_owned(),
        path: path.to_owned(),
        kafka: kafka.to_owned(),
        ratel: ratel.to_owned(),
    })
}

/// What a line leaves open that it must say.
fn wide(pattern: &Difference) -> Option<&'static str> {
    let is_open = |text: &str| text.chars().all(|letter| letter == '*');
    let field = pattern.path.rsplit('.').next().unwrap_or_default();
    match pattern {
        line if line.scenario.starts_with('*') => Some("API"),
        _ if is_open(field) => Some("field"),
        line if is_open(&line.kafka) => Some("value of Kafka's"),
        line if is_open(&line.ratel) => Some("value of ours"),
        _ => None,
    }
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
    /// A line that is not understood or too wide, or a reason that the page does not have.
    pub fn read(text: &str, explained: &str) -> Result<Self, String> {
        let mut lines: Vec<Line> = Vec::new();
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
            let read = Line::read(number, line)?;
            if lines.iter().any(|other| other.text == read.text) {
                return Err(format!("line {number} stands there twice: {line}"));
            }
            lines.push(read);
        }
        Ok(Self { lines })
    }

    /// Whether this difference is expected. Remembers that it was met.
    pub fn meets(&mut self, difference: &Difference) -> bool {
        let mut is_met = false;
        for line in &mut self.lines {
            if line.meets(difference) {
                line.met += 1;
                is_met = true;
            }
        }
        is_met
    }

    /// Lines that differences have met, and how many.
    pub fn met(&self) -> impl Iterator<Item = (usize, &str)> {
        let met = self.lines.iter().filter(|line| line.met > 0);
        met.map(|line| (line.met, &*line.text))
    }

    /// Lines that no difference has met though all that they are about was asked: what they say
    /// is no longer so. `left_out` are the scenarios that did not run.
    pub fn stale(&self, left_out: &[String]) -> impl Iterator<Item = String> {
        let is_open = |line: &&Line| {
            let mut others = left_out.iter();
            line.met == 0
                && !line.is_at_times
                && !others.any(|other| matches(&line.pattern.scenario, other))
        };
        let stale = self.lines.iter().filter(is_open);
        let shown = stale.map(|line| format!("line {}: {}", line.number, line.text));
        shown.collect::<Vec<_>>().into_iter()
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
        let text = "# so it is\n[why]\na/*/b open error_code = 0 => 42*\n\
                    a/* close error_code = 0 => 42*\n";
        let mut expected = Expected::read(text, page).expect("good lines");
        assert!(expected.meets(&difference("open")));
        assert!(!expected.meets(&difference("opened")));
        let stale = |expected: &Expected, left_out: &[&str]| {
            let left_out: Vec<_> = left_out.iter().map(|name| (*name).to_owned()).collect();
            expected.stale(&left_out).collect::<Vec<String>>()
        };
        let second = "line 4: a/* close error_code = 0 => 42*";
        assert_eq!(stale(&expected, &[]), [second]);
        assert_eq!(stale(&expected, &["c/v1/b"]), [second]);
        // What a run leaves out, it cannot judge.
        assert_eq!(stale(&expected, &["a/v2/b"]).len(), 0);
        let met: Vec<(usize, &str)> = expected.met().collect();
        assert_eq!(met, [(1, "a/*/b open error_code = 0 => 42*")]);
        assert!(expected.meets(&difference("close")));
        assert_eq!(stale(&expected, &[]).len(), 0);
        let text = "[why]\n~ a/* open error_code = 0 => 42*\n";
        let mut at_times = Expected::read(text, page).expect("a good line");
        assert_eq!(stale(&at_times, &[]).len(), 0);
        assert!(at_times.meets(&difference("open")));
    }

    #[test]
    fn what_only_the_second_run_shows_is_told_too() {
        let [steady, first, second] = ["steady", "first", "second"].map(difference);
        let other_value = Difference {
            ratel: "7".to_owned(),
            ..steady.clone()
        };
        let twice = Twice::of(
            vec![steady.clone(), first.clone()],
            vec![second.clone(), other_value],
        );
        assert_eq!(twice.steady, [steady]);
        assert_eq!(twice.unsteady, [first, second]);
    }

    #[test]
    fn our_own_lists_are_explained_and_narrow() {
        let page = include_str!("../../../docs/compatibility.md");
        for list in [
            include_str!("../../examples/differential/expected.txt"),
            include_str!("../../examples/differential/expected_random.txt"),
        ] {
            let expected = Expected::read(list, page).expect("a good list");
            assert!(expected.stale(&[]).count() > 0);
        }
    }

    #[test]
    fn a_line_is_explained_and_says_what_it_is_about() {
        for text in [
            "[other]",
            "a b c = 1 => 2",
            "[why]\na b c",
            "[why]\n*/v1/b b c = 1 => 2",
            "[why]\na b c.* = 1 => 2",
            "[why]\na b * = 1 => 2",
            "[why]\na b c = * => 2",
            "[why]\na b c = 1 => *",
            "[why]\na b c = 1 => 2\na b c = 1 => 2",
        ] {
            assert!(
                Expected::read(text, "\n| why | Kafka | here |").is_err(),
                "{text}"
            );
        }
        let good = "[why]\na/*/b * c[*].d = - => {*}";
        assert!(Expected::read(good, "\n| why | Kafka | here |").is_ok());
    }
}
