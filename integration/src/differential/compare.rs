//! Where two answers differ.

use std::collections::BTreeSet;

use super::Facts;

/// Values that say nothing: what an element has that is only there.
const PLAIN: &[&str] = &["0", "-1", "[]", "\"\"", "None", "false"];

/// A field that two answers do not have in common: its path, and the value in each.
pub type Unlike = (String, Option<String>, Option<String>);

/// What the answers do not have in common. An element of a list that one of them lacks is a single
/// difference.
#[must_use]
pub fn compare(left: &Facts, right: &Facts) -> Vec<Unlike> {
    let paths: BTreeSet<&String> = left.0.keys().chain(right.0.keys()).collect();
    let mut found: Vec<Unlike> = Vec::new();
    for path in paths {
        let unlike = match (left.0.get(path), right.0.get(path)) {
            (Some(left), Some(right)) if left == right => continue,
            (Some(left), Some(right)) => (path.clone(), Some(left.clone()), Some(right.clone())),
            (Some(value), None) if !is_told_by_elements(path, value, right) => {
                let (path, value) = whole(path, left, right);
                (path, Some(value), None)
            }
            (None, Some(value)) if !is_told_by_elements(path, value, left) => {
                let (path, value) = whole(path, right, left);
                (path, None, Some(value))
            }
            _ => continue,
        };
        if found.last() != Some(&unlike) {
            found.push(unlike);
        }
    }
    found
}

/// Whether an empty list is opposite to elements, which are told by themselves.
fn is_told_by_elements(path: &str, value: &str, other: &Facts) -> bool {
    value == "[]" && has(other, &format!("{path}["))
}

fn has(facts: &Facts, prefix: &str) -> bool {
    facts.0.keys().any(|path| path.starts_with(prefix))
}

/// The largest element around a field of which the other answer has nothing, and what it is.
fn whole(path: &str, facts: &Facts, other: &Facts) -> (String, String) {
    let ends = path.match_indices(']').map(|(at, _)| &path[..=at]);
    let element = ends.into_iter().find(|element| !has(other, element));
    let Some(element) = element else {
        let value = facts.0.get(path).cloned().unwrap_or_default();
        return (path.to_owned(), value);
    };
    let fields = facts.0.iter().filter_map(|(path, value)| {
        let field = path.strip_prefix(element)?.trim_start_matches('.');
        let name = format!("[{value}]");
        let is_plain =
            PLAIN.contains(&&**value) || element.ends_with(&name) || path.contains(&name);
        (!is_plain).then(|| format!("{field}: {value}"))
    });
    let fields: Vec<String> = fields.collect();
    (element.to_owned(), format!("{{{}}}", fields.join("; ")))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn facts(lines: &[(&str, &str)]) -> Facts {
        let lines = lines.iter();
        Facts(
            lines
                .map(|(path, value)| ((*path).to_owned(), (*value).to_owned()))
                .collect(),
        )
    }

    fn shown(left: &[(&str, &str)], right: &[(&str, &str)]) -> Vec<String> {
        let side = |value: Option<String>| value.unwrap_or_else(|| "-".to_owned());
        let found = compare(&facts(left), &facts(right)).into_iter();
        found
            .map(|(path, left, right)| format!("{path} {} {}", side(left), side(right)))
            .collect()
    }

    #[test]
    fn only_what_differs_is_told_and_an_element_once() {
        let none: &[&str] = &[];
        assert_eq!(shown(&[("a", "1")], &[("a", "1")]), none);
        assert_eq!(shown(&[("a", "1")], &[("a", "2")]), ["a 1 2"]);
        assert_eq!(shown(&[("a", "1")], &[]), ["a 1 -"]);
        let topic = [
            ("all[t].id", "t"),
            ("all[t].parts[0].code", "6"),
            ("all[t].parts[0].index", "0"),
        ];
        assert_eq!(
            shown(&[("all", "[]")], &topic),
            ["all[t] - {parts[0].code: 6}"]
        );
        assert_eq!(
            shown(&topic, &[("all[t].id", "t"), ("all[t].parts", "[]")]),
            ["all[t].parts[0] {code: 6} -"]
        );
    }
}
