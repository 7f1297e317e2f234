//! Java's properties format: what `server.properties` is written in.

/// One `key=value` of a file.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Property {
    pub key: String,
    pub value: String,
    /// The number of the line it begins on, from 1.
    pub line: usize,
}

/// The properties of a text, in its order.
///
/// `#` and `!` begin comments; a backslash at a line's end continues it; `=`, `:` or white space
/// ends a key; `\t`, `\n`, `\r`, `\f`, `\u` with four hex digits and a backslash before any other
/// character mean what they mean in Java.
///
/// Gives the line and what is wrong with it.
pub(super) fn parse(text: &str) -> Result<Vec<Property>, (usize, String)> {
    let mut properties = Vec::new();
    let mut lines = text.lines().enumerate();
    while let Some((number, first)) = lines.next() {
        let first = first.trim_start_matches([' ', '\t', '\x0c']);
        if first.is_empty() || first.starts_with(['#', '!']) {
            continue;
        }
        let mut whole = first.to_owned();
        while ends_in_continuation(&whole) {
            whole.pop();
            let Some((_, next)) = lines.next() else { break };
            whole.push_str(next.trim_start_matches([' ', '\t', '\x0c']));
        }
        let (key, value) = split(&whole);
        let line = number + 1;
        properties.push(Property {
            key: unescape(key).map_err(|why| (line, why))?,
            value: unescape(value).map_err(|why| (line, why))?,
            line,
        });
    }
    Ok(properties)
}

/// An odd number of backslashes at the end: the last one is not escaped itself.
fn ends_in_continuation(line: &str) -> bool {
    line.bytes().rev().take_while(|byte| *byte == b'\\').count() % 2 == 1
}

/// The key and the value, both still escaped.
fn split(line: &str) -> (&str, &str) {
    let mut escaped = false;
    let end = line
        .char_indices()
        .find(|(_, c)| {
            let ends = !escaped && matches!(c, '=' | ':' | ' ' | '\t' | '\x0c');
            escaped = *c == '\\' && !escaped;
            ends
        })
        .map_or(line.len(), |(at, _)| at);
    let (key, rest) = line.split_at(end);
    let rest = rest.trim_start_matches([' ', '\t', '\x0c']);
    let rest = rest.strip_prefix(['=', ':']).unwrap_or(rest);
    (key, rest.trim_start_matches([' ', '\t', '\x0c']))
}

fn unescape(text: &str) -> Result<String, String> {
    if !text.contains('\\') {
        return Ok(text.to_owned());
    }
    let mut units: Vec<u16> = Vec::with_capacity(text.len());
    let mut chars = text.chars();
    let mut buffer = [0; 2];
    while let Some(c) = chars.next() {
        let c = match c {
            '\\' => match chars.next() {
                Some('u') => {
                    let digits: String = chars.by_ref().take(4).collect();
                    let unit = (digits.len() == 4
                        && digits.bytes().all(|digit| digit.is_ascii_hexdigit()))
                    .then(|| u16::from_str_radix(&digits, 16).ok())
                    .flatten()
                    .ok_or_else(|| format!("\\u{digits} is not \\u and four hex digits"))?;
                    units.push(unit);
                    continue;
                }
                Some('t') => '\t',
                Some('n') => '\n',
                Some('r') => '\r',
                Some('f') => '\x0c',
                Some(other) => other,
                None => break,
            },
            c => c,
        };
        units.extend_from_slice(c.encode_utf16(&mut buffer));
    }
    String::from_utf16(&units).map_err(|_| "half of a surrogate pair in \\u escapes".to_owned())
}

#[cfg(test)]
mod tests {
    use super::parse;

    fn pairs(text: &str) -> Vec<(String, String)> {
        parse(text)
            .expect("it parses")
            .into_iter()
            .map(|property| (property.key, property.value))
            .collect()
    }

    #[track_caller]
    fn check(text: &str, key: &str, value: &str) {
        assert_eq!(pairs(text), [(key.to_owned(), value.to_owned())], "{text}");
    }

    #[test]
    fn separators_are_equals_colon_and_space() {
        check("a=1", "a", "1");
        check("a:1", "a", "1");
        check("a 1", "a", "1");
        check("  a \t=  1", "a", "1");
        check("a = = 1", "a", "= 1");
        check("a", "a", "");
        check("a=", "a", "");
        check(
            "listeners=PLAINTEXT://:9092",
            "listeners",
            "PLAINTEXT://:9092",
        );
        check("a=1  ", "a", "1  ");
    }

    #[test]
    fn comments_and_empty_lines_are_nothing() {
        assert_eq!(pairs("# a=1\n\n  ! b=2\n \t\n"), []);
        check("a=1 # no comment", "a", "1 # no comment");
    }

    #[test]
    fn a_backslash_at_the_end_continues_a_line() {
        check("a=one,\\\n   two", "a", "one,two");
        assert_eq!(
            pairs("a=one\\\\\nb=2").len(),
            2,
            "an escaped backslash ends no line"
        );
        check("a=end\\", "a", "end");
        check("a=1,\\\r\n  2", "a", "1,2");
    }

    #[test]
    fn escapes_mean_what_they_mean_in_java() {
        check("a\\=b=c\\td", "a=b", "c\td");
        check("a\\ b=\\u0041\\u00e9", "a b", "A\u{e9}");
        check("a=\\ud83e\\udda1", "a", "\u{1f9a1}");
        check("a=c:\\\\data\\q", "a", "c:\\dataq");
    }

    #[test]
    fn a_broken_escape_is_named_with_its_line() {
        let (line, why) = parse("a=1\nb=\\u12").expect_err("it does not parse");
        assert_eq!(
            (line, why.as_str()),
            (2, "\\u12 is not \\u and four hex digits")
        );
        assert!(parse("a=\\ud83e").is_err());
    }
}
