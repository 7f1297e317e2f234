//! Scenarios as a table: a line is a request, written by the names of its fields.
//!
//! ```text
//! == P-1_acks Produce 3 8 9 13
//! let one = topic_data=[{name=$t partition_data=[{index=0 records={n=1}}]}]
//! topic t 2
//! acks          | acks=(2|-2) @one => 21
//! what is there | ListOffsets topics=[{name=$t partitions=[{partition_index=0 timestamp=-1}]}]
//! ```
//!
//! A scenario begins with its name, its API and the versions to run it at. `let` names a text for
//! `@`, for all that follows in the file. `(a|b)` makes a line of each. In front of `|` stands the
//! step's name (`-` for one that is not compared). Behind it come
//! - a connection other than the first: `b:`; `b!` sends and does not wait, `b?` takes the oldest
//!   answer, `b.` expects none;
//! - `~27` repeats the request as long as error 27 is in the answer;
//! - the API, if it is not the scenario's, with its version if it is not the newest: `Fetch/4`;
//! - fields; a field that is left out is null, empty, or what the protocol takes for nothing;
//! - `-> name=field` keeps a field of the answer, to be used as `%name`;
//! - `=> 21,3` the error codes that both must answer, 0 for none.
//!
//! `$t` is a name of this run alone, `#t` the id of that topic.

/// What a field is given.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Value {
    /// A number, a word or a text.
    Text(String),
    /// In square brackets.
    List(Vec<Value>),
    /// In braces.
    Fields(Fields),
}

/// Values by the names of their fields. The last one of a name counts.
pub type Fields = Vec<(String, Value)>;

/// How a request is sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Way {
    /// And its answer waited for.
    Ask,
    /// And no more.
    Post,
    /// Not: the oldest answer is taken.
    Receive,
    /// And no answer is expected.
    Silent,
}

/// One step.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Line {
    /// Anything but a request: its words.
    Other(Vec<String>),
    /// A request.
    Request(Request),
}

/// A request and what is done with its answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Request {
    /// The step's name.
    pub step: String,
    /// Which connection.
    pub connection: String,
    /// How it is sent.
    pub way: Way,
    /// The errors to repeat it for.
    pub repeat: Vec<i16>,
    /// The API and version, if they are not the scenario's.
    pub api: Option<(String, Option<i16>)>,
    /// The body.
    pub fields: Fields,
    /// Fields of the answer to keep, by name.
    pub keep: Vec<(String, String)>,
    /// The codes that are expected.
    pub codes: Option<Vec<i16>>,
    /// All of this as it stands in the table.
    pub text: String,
}

/// A list of steps that runs at some versions of an API.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Script {
    /// Its name.
    pub name: String,
    /// The API.
    pub api: String,
    /// The versions.
    pub versions: Vec<i16>,
    /// The steps.
    pub lines: Vec<Line>,
}

impl Script {
    /// What a step asks, as it stands in the table; `step` as it is noted, without spaces.
    #[must_use]
    pub fn asks(&self, step: &str) -> Option<String> {
        self.lines.iter().find_map(|line| match line {
            Line::Request(request) if request.step.replace(' ', "-") == step => {
                Some(request.text.clone())
            }
            _ => None,
        })
    }
}

/// Read a table.
///
/// # Errors
/// The line that is not understood.
pub fn read(text: &str) -> Result<Vec<Script>, String> {
    let mut scripts: Vec<Script> = Vec::new();
    let mut texts: Vec<(String, String)> = Vec::new();
    for (index, line) in text.lines().enumerate() {
        let line = line.trim();
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        add(line, &mut scripts, &mut texts)
            .map_err(|why| format!("line {}: {why}: {line}", index + 1))?;
    }
    Ok(scripts)
}

fn add(
    line: &str,
    scripts: &mut Vec<Script>,
    texts: &mut Vec<(String, String)>,
) -> Result<(), String> {
    if let Some(head) = line.strip_prefix("== ") {
        scripts.push(head_of(head)?);
        return Ok(());
    }
    if let Some(rest) = line.strip_prefix("let ") {
        let (name, text) = rest.split_once('=').ok_or("`let` has no `=`")?;
        let text = with_texts(text.trim(), texts)?;
        texts.retain(|(other, _)| other != name.trim());
        texts.push((name.trim().to_owned(), text));
        return Ok(());
    }
    let script = scripts.last_mut().ok_or("no scenario has begun")?;
    let Some((step, rest)) = line.split_once('|') else {
        let words = line.split_whitespace().map(str::to_owned).collect();
        script.lines.push(Line::Other(words));
        return Ok(());
    };
    let text = with_texts(rest, texts)?;
    for (choice, text) in choices(&text)? {
        let step = format!("{} {choice}", step.trim());
        script
            .lines
            .push(Line::Request(request(step.trim(), &text)?));
    }
    Ok(())
}

fn head_of(head: &str) -> Result<Script, String> {
    let mut words = head.split_whitespace();
    let name = words.next().ok_or("a scenario has a name")?.to_owned();
    let api = words.next().ok_or("a scenario has an API")?.to_owned();
    let versions: Result<Vec<i16>, _> = words.map(str::parse).collect();
    let versions = versions.map_err(|error| error.to_string())?;
    Ok(Script {
        name,
        api,
        versions,
        lines: Vec::new(),
    })
}

/// With each `@name` replaced by its text.
fn with_texts(text: &str, texts: &[(String, String)]) -> Result<String, String> {
    let mut out = String::new();
    let mut parts = text.split('@');
    out.push_str(parts.next().unwrap_or_default());
    for part in parts {
        let end = part
            .find(|letter: char| !letter.is_alphanumeric() && letter != '_')
            .unwrap_or(part.len());
        let (name, rest) = part.split_at(end);
        let found = texts.iter().find(|(other, _)| other == name);
        let (_, text) = found.ok_or_else(|| format!("@{name} is not there"))?;
        out.push_str(text);
        out.push_str(rest);
    }
    Ok(out)
}

/// A line for each choice in it, with what was chosen.
fn choices(text: &str) -> Result<Vec<(String, String)>, String> {
    let Some((before, rest)) = text.split_once('(') else {
        return Ok(vec![(String::new(), text.to_owned())]);
    };
    let (inside, after) = rest.split_once(')').ok_or("a parenthesis is open")?;
    let later = choices(after)?;
    let mut all = Vec::new();
    for choice in inside.split('|') {
        for (name, after) in &later {
            let both = format!("{choice} {name}");
            all.push((both.trim().to_owned(), format!("{before}{choice}{after}")));
        }
    }
    Ok(all)
}

fn request(step: &str, all: &str) -> Result<Request, String> {
    let (text, codes) = match all.split_once(" => ") {
        Some((text, codes)) => (text, Some(numbers(codes)?)),
        None => (all, None),
    };
    let (text, kept) = match text.split_once(" -> ") {
        Some((text, kept)) => (text, kept),
        None => (text, ""),
    };
    let mut keep = Vec::new();
    for pair in kept.split_whitespace() {
        let (name, field) = pair.split_once('=').ok_or("`->` needs name=field")?;
        keep.push((name.to_owned(), field.to_owned()));
    }
    let mut request = Request {
        step: step.to_owned(),
        connection: "a".to_owned(),
        way: Way::Ask,
        repeat: Vec::new(),
        api: None,
        fields: Vec::new(),
        keep,
        codes,
        text: all.trim().to_owned(),
    };
    let mut rest = text.trim();
    loop {
        let end = rest.find(char::is_whitespace).unwrap_or(rest.len());
        let (word, after) = rest.split_at(end);
        if word.contains('=') || word.is_empty() {
            break;
        }
        heading(word, &mut request)?;
        rest = after.trim_start();
    }
    let mut reader = Reader { rest };
    request.fields = reader.fields("")?;
    Ok(request)
}

/// One of the words in front of the fields.
fn heading(word: &str, request: &mut Request) -> Result<(), String> {
    let ways = [
        (':', Way::Ask),
        ('!', Way::Post),
        ('?', Way::Receive),
        ('.', Way::Silent),
    ];
    if let Some(codes) = word.strip_prefix('~') {
        request.repeat = numbers(codes)?;
    } else if let Some((name, way)) = ways
        .iter()
        .find_map(|(end, way)| Some((word.strip_suffix(*end)?, *way)))
    {
        name.clone_into(&mut request.connection);
        request.way = way;
    } else {
        let (name, version) = match word.split_once('/') {
            Some((name, version)) => (name, Some(version)),
            None => (word, None),
        };
        let version = version.map(str::parse).transpose();
        request.api = Some((
            name.to_owned(),
            version.map_err(|_| format!("{word} is no version"))?,
        ));
    }
    Ok(())
}

fn numbers(text: &str) -> Result<Vec<i16>, String> {
    let all = text.trim().split(',').map(|number| {
        let number = number.trim();
        number
            .parse()
            .map_err(|_| format!("{number:?} is no error code"))
    });
    all.collect()
}

struct Reader<'a> {
    rest: &'a str,
}

impl Reader<'_> {
    fn takes(&mut self, token: char) -> bool {
        self.rest = self.rest.trim_start();
        match self.rest.strip_prefix(token) {
            Some(rest) => {
                self.rest = rest;
                true
            }
            None => false,
        }
    }

    /// Fields up to a closing sign, or to the end.
    fn fields(&mut self, end: &str) -> Result<Fields, String> {
        let mut fields = Vec::new();
        loop {
            if let Some(sign) = end.chars().next() {
                if self.takes(sign) {
                    return Ok(fields);
                }
            } else if self.rest.trim().is_empty() {
                return Ok(fields);
            }
            self.rest = self.rest.trim_start();
            let (name, rest) = self.rest.split_once('=').ok_or("a field has no `=`")?;
            self.rest = rest;
            fields.push((name.to_owned(), self.value()?));
        }
    }

    fn value(&mut self) -> Result<Value, String> {
        if self.takes('{') {
            return Ok(Value::Fields(self.fields("}")?));
        }
        if self.takes('[') {
            let mut all = Vec::new();
            while !self.takes(']') {
                if self.rest.is_empty() {
                    return Err("a bracket is open".to_owned());
                }
                all.push(self.value()?);
            }
            return Ok(Value::List(all));
        }
        if self.takes('"') {
            let (text, rest) = self.rest.split_once('"').ok_or("a quote is open")?;
            self.rest = rest;
            return Ok(Value::Text(text.to_owned()));
        }
        let ends = |letter: char| letter.is_whitespace() || "]}".contains(letter);
        let end = self.rest.find(ends).unwrap_or(self.rest.len());
        let (word, rest) = self.rest.split_at(end);
        self.rest = rest;
        if word.is_empty() {
            return Err("a value is missing".to_owned());
        }
        Ok(Value::Text(word.to_owned()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_table_is_read() {
        let table = "# note\n== P-1 Produce 3 9\nlet who = name=$t\ntopic t 2\n\
                     acks | b! ~27,3 acks=(2|-2) list=[{@who x=[1 2]} {}] -> id=member_id \
                     => 21,3\n";
        let scripts = read(table).expect("a good table");
        let script = &scripts[0];
        assert_eq!((&*script.name, &*script.api), ("P-1", "Produce"));
        assert_eq!(script.versions, [3, 9]);
        assert_eq!(script.lines.len(), 3);
        let Line::Request(second) = &script.lines[2] else {
            panic!("a request is no other line");
        };
        assert_eq!(
            (&*second.step, second.way, &*second.connection),
            ("acks -2", Way::Post, "b")
        );
        assert_eq!(second.repeat, [27, 3]);
        assert_eq!(second.codes, Some(vec![21, 3]));
        assert_eq!(second.keep, [("id".to_owned(), "member_id".to_owned())]);
        let text = |text: &str| Value::Text(text.to_owned());
        let first = vec![
            ("name".to_owned(), text("$t")),
            ("x".to_owned(), Value::List(vec![text("1"), text("2")])),
        ];
        let list = Value::List(vec![Value::Fields(first), Value::Fields(Vec::new())]);
        let fields = vec![("acks".to_owned(), text("-2")), ("list".to_owned(), list)];
        assert_eq!(second.fields, fields);
    }

    #[test]
    fn what_is_no_table_is_refused() {
        for text in [
            "a | b=1",
            "== name",
            "== n A 1\na | b=[",
            "== n A 1\na | b=(1",
            "== n A 1\na | b=@no",
            "== n A 1\na | b= ",
            "== n A 1\na | b=1 => x",
        ] {
            assert!(read(text).is_err(), "{text}");
        }
    }
}
