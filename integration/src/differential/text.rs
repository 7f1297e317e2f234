//! Reads what `{:?}` of derived `Debug` writes.

/// A value as `Debug` shows it. What wraps a single value (`Some`, newtypes) is left out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Shown {
    /// A number, a word, a text without its quotes, or an id.
    Atom(String),
    /// Bytes.
    Bytes(Vec<u8>),
    /// What stands in square brackets.
    List(Vec<Shown>),
    /// Fields with their names, or entries with their keys.
    Fields(Vec<(String, Shown)>),
}

/// Read all of a text.
///
/// # Errors
/// What is not understood: the text from there on.
pub fn read(text: &str) -> Result<Shown, String> {
    let mut reader = Reader { rest: text };
    let shown = reader.value()?;
    if reader.rest.trim().is_empty() {
        Ok(shown)
    } else {
        Err(reader.rest.to_owned())
    }
}

struct Reader<'a> {
    rest: &'a str,
}

impl Reader<'_> {
    fn takes(&mut self, token: &str) -> bool {
        self.rest = self.rest.trim_start();
        match self.rest.strip_prefix(token) {
            Some(rest) => {
                self.rest = rest;
                true
            }
            None => false,
        }
    }

    fn expect(&mut self, token: &str) -> Result<(), String> {
        if self.takes(token) {
            Ok(())
        } else {
            Err(self.rest.to_owned())
        }
    }

    fn value(&mut self) -> Result<Shown, String> {
        if self.takes("[") {
            return Ok(Shown::List(self.until("]", Self::value)?));
        }
        if self.takes("{") {
            return Ok(Shown::Fields(self.until("}", Self::entry)?));
        }
        if self.takes("b\"") {
            return Ok(Shown::Bytes(self.quoted()?));
        }
        if self.takes("\"") {
            let bytes = self.quoted()?;
            return Ok(Shown::Atom(String::from_utf8_lossy(&bytes).into_owned()));
        }
        let word = self.word();
        if word.is_empty() {
            return Err(self.rest.to_owned());
        }
        if self.takes("(") {
            let mut values = self.until(")", Self::value)?;
            return Ok(match values.pop() {
                Some(only) if values.is_empty() => only,
                Some(last) => {
                    values.push(last);
                    Shown::List(values)
                }
                None => Shown::List(values),
            });
        }
        if self.takes("{") {
            return Ok(Shown::Fields(self.until("}", Self::entry)?));
        }
        Ok(Shown::Atom(word))
    }

    fn entry(&mut self) -> Result<(String, Shown), String> {
        let Shown::Atom(name) = self.value()? else {
            return Err(self.rest.to_owned());
        };
        self.expect(":")?;
        Ok((name, self.value()?))
    }

    fn until<T>(
        &mut self,
        end: &str,
        one: fn(&mut Self) -> Result<T, String>,
    ) -> Result<Vec<T>, String> {
        let mut all = Vec::new();
        while !self.takes(end) {
            all.push(one(self)?);
            if !self.takes(",") {
                self.expect(end)?;
                break;
            }
        }
        Ok(all)
    }

    fn word(&mut self) -> String {
        let is_word = |letter: char| letter.is_alphanumeric() || "_-.+".contains(letter);
        let end = self.rest.find(|letter| !is_word(letter));
        let (word, rest) = self.rest.split_at(end.unwrap_or(self.rest.len()));
        self.rest = rest;
        word.to_owned()
    }

    /// Up to the closing quote, the escapes undone.
    fn quoted(&mut self) -> Result<Vec<u8>, String> {
        let mut bytes = Vec::new();
        let mut letters = self.rest.chars();
        loop {
            let letter = letters.next().ok_or("a quote is open")?;
            match letter {
                '"' => break,
                '\\' => escape(&mut letters, &mut bytes)?,
                other => bytes.extend(other.encode_utf8(&mut [0; 4]).as_bytes()),
            }
        }
        self.rest = letters.as_str();
        Ok(bytes)
    }
}

fn escape(letters: &mut std::str::Chars<'_>, bytes: &mut Vec<u8>) -> Result<(), String> {
    match letters.next().ok_or("a quote is open")? {
        'n' => bytes.push(b'\n'),
        'r' => bytes.push(b'\r'),
        't' => bytes.push(b'\t'),
        '0' => bytes.push(0),
        'x' => {
            let digits: String = letters.by_ref().take(2).collect();
            bytes.push(u8::from_str_radix(&digits, 16).map_err(|error| error.to_string())?);
        }
        'u' => {
            let digits: String = letters
                .by_ref()
                .skip(1)
                .take_while(|letter| *letter != '}')
                .collect();
            let number = u32::from_str_radix(&digits, 16).map_err(|error| error.to_string())?;
            let letter = char::from_u32(number).ok_or("no letter")?;
            bytes.extend(letter.encode_utf8(&mut [0; 4]).as_bytes());
        }
        other => bytes.extend(other.encode_utf8(&mut [0; 4]).as_bytes()),
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn atom(text: &str) -> Shown {
        Shown::Atom(text.to_owned())
    }

    #[test]
    fn what_debug_writes_is_read_back() {
        #[derive(Debug)]
        #[expect(dead_code, reason = "they are shown")]
        struct Inner(i32);
        #[derive(Debug)]
        #[expect(dead_code, reason = "they are shown")]
        struct Outer {
            one: Inner,
            none: Option<String>,
            many: Vec<Option<&'static str>>,
            bytes: bytes::Bytes,
        }
        let outer = Outer {
            one: Inner(-4),
            none: None,
            many: vec![Some("a \"b\"\n\u{1}"), None],
            bytes: bytes::Bytes::from_static(b"\x00\"\xff"),
        };
        let fields = vec![
            ("one".to_owned(), atom("-4")),
            ("none".to_owned(), atom("None")),
            (
                "many".to_owned(),
                Shown::List(vec![atom("a \"b\"\n\u{1}"), atom("None")]),
            ),
            ("bytes".to_owned(), Shown::Bytes(vec![0, b'"', 255])),
        ];
        assert_eq!(read(&format!("{outer:?}")), Ok(Shown::Fields(fields)));
        for broken in ["", "A {", "[1", "\"", "A { a 1 }", "1 2"] {
            assert!(read(broken).is_err(), "{broken}");
        }
    }
}
