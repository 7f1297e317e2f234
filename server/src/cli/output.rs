//! What commands print: a table for people, JSON or YAML for programs.

use std::io::{self, Write};

use clap::ValueEnum;
use comfy_table::{CellAlignment, Table, presets};
use serde_json::{Map, Value};

use super::Failure;

/// How a list is printed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(super) enum Output {
    /// Columns, for people
    Table,
    /// One JSON array
    Json,
    /// One YAML sequence
    Yaml,
}

/// A list of things that have the same properties.
#[derive(Debug)]
pub(super) struct List {
    columns: &'static [&'static str],
    rows: Vec<Vec<Value>>,
}

impl List {
    pub(super) fn new(columns: &'static [&'static str]) -> Self {
        Self {
            columns,
            rows: Vec::new(),
        }
    }

    /// Add a row, which has a value for each column.
    pub(super) fn row(&mut self, values: Vec<Value>) {
        debug_assert_eq!(values.len(), self.columns.len());
        self.rows.push(values);
    }

    pub(super) fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }

    /// Write it to stdout.
    pub(super) fn print(&self, output: Output) -> Result<(), Failure> {
        let text = match output {
            Output::Table => self.table(),
            Output::Json => format!("{:#}\n", Value::Array(self.objects())),
            Output::Yaml => self.yaml(),
        };
        print(&text)
    }

    /// [`Self::print`]; for people, of an empty list, these lines instead.
    pub(super) fn print_or(&self, output: Output, empty: &str) -> Result<(), Failure> {
        match output {
            Output::Table if self.is_empty() => print(empty),
            output => self.print(output),
        }
    }

    /// Columns: numbers to the right, ages in words.
    fn table(&self) -> String {
        let mut table = Table::new();
        table.load_style(presets::NOTHING);
        table.set_header(self.columns.iter().map(|column| heading(column)));
        for row in &self.rows {
            table.add_row(
                self.columns
                    .iter()
                    .zip(row)
                    .map(|(column, value)| cell(column, value)),
            );
        }
        for place in 0..self.columns.len() {
            if let Some(column) = table.column_mut(place)
                && self.is_of_numbers(place)
            {
                column.set_cell_alignment(CellAlignment::Right);
            }
        }
        let lines = table.lines().map(|line| {
            let line = line.strip_prefix(' ').unwrap_or(&line);
            line.trim_end().to_owned() + "\n"
        });
        lines.collect()
    }

    fn is_of_numbers(&self, place: usize) -> bool {
        let mut values = self.rows.iter().filter_map(|row| row.get(place));
        values.all(|value| value.is_number() || value.is_null())
    }

    fn objects(&self) -> Vec<Value> {
        self.rows
            .iter()
            .map(|row| {
                let pairs = self.columns.iter().zip(row);
                Value::Object(Map::from_iter(
                    pairs.map(|(column, value)| ((*column).to_owned(), value.clone())),
                ))
            })
            .collect()
    }

    /// YAML takes JSON's way to write a value.
    fn yaml(&self) -> String {
        if self.rows.is_empty() {
            return "[]\n".to_owned();
        }
        let mut text = String::new();
        for row in &self.rows {
            for (place, (column, value)) in self.columns.iter().zip(row).enumerate() {
                let mark = if place == 0 { "- " } else { "  " };
                text.push_str(&format!("{mark}{column}: {value}\n"));
            }
        }
        text
    }
}

/// What a table's column is called: the units of an age are in its cells.
fn heading(column: &str) -> String {
    let name = match column.strip_suffix("_ms") {
        Some(age) => age.strip_suffix("_age").unwrap_or(age),
        None => column,
    };
    name.replace('_', " ").to_uppercase()
}

/// A value for people. A column whose name ends with `age_ms` holds ages.
fn cell(column: &str, value: &Value) -> String {
    match value {
        Value::Null => "-".to_owned(),
        Value::String(text) => super::logging::escaped(text).into_owned(),
        Value::Bool(is_so) => (if *is_so { "yes" } else { "no" }).to_owned(),
        Value::Number(number) => match number.as_i64() {
            Some(ms) if column.ends_with("age_ms") => age(ms),
            _ => number.to_string(),
        },
        other => super::logging::escaped(&other.to_string()).into_owned(),
    }
}

/// A length of time in its two largest units.
fn age(ms: i64) -> String {
    let units = [(86_400, "d"), (3600, "h"), (60, "m"), (1, "s")];
    let seconds = ms / 1000;
    let Some(first) = units.iter().position(|(unit, _)| seconds >= *unit) else {
        return format!("{ms}ms");
    };
    let (unit, name) = units[first];
    let rest = units
        .get(first + 1)
        .map(|(small, name)| (seconds % unit / small, name));
    match rest {
        Some((count, small)) if count > 0 => format!("{}{name}{count}{small}", seconds / unit),
        _ => format!("{}{name}", seconds / unit),
    }
}

/// Write text to stdout. A reader that went away (`| head`) is no failure.
pub(super) fn print(text: &str) -> Result<(), Failure> {
    let mut stdout = io::stdout().lock();
    match stdout
        .write_all(text.as_bytes())
        .and_then(|()| stdout.flush())
    {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => {
            Err(Failure::failed(format!("cannot write to stdout: {error}")))
        }
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::{List, age};
    use serde_json::{Value, json};

    fn list() -> List {
        let mut list = List::new(&["key", "value"]);
        list.row(vec![json!("node.id"), json!(1)]);
        list.row(vec![json!("a\u{1b}[31m"), Value::Null]);
        list
    }

    #[test]
    fn a_table_has_columns_and_no_control_characters() {
        assert_eq!(
            list().table(),
            "KEY          VALUE\nnode.id          1\na\\u{1b}[31m      -\n"
        );
    }

    #[test]
    fn yaml_and_json_say_the_same() {
        assert_eq!(
            list().yaml(),
            "- key: \"node.id\"\n  value: 1\n- key: \"a\\u001b[31m\"\n  value: null\n"
        );
        assert_eq!(List::new(&["key"]).yaml(), "[]\n");
        assert_eq!(list().objects()[0], json!({"key": "node.id", "value": 1}));
    }

    #[test]
    fn numbers_stand_to_the_right_and_headings_without_units() {
        let mut list = List::new(&["job", "oldest_age_ms", "is_done"]);
        list.row(vec![json!(7), json!(61_000), json!(true)]);
        list.row(vec![json!(123), Value::Null, json!(false)]);
        assert_eq!(
            list.table(),
            "JOB  OLDEST  IS DONE\n  7    1m1s  yes\n123       -  no\n"
        );
    }

    #[test]
    fn ages_are_told_in_their_two_largest_units() {
        let ages = [0, 999, 59_999, 60_000, 3_720_000, 90_000_000_000].map(age);
        assert_eq!(ages, ["0ms", "999ms", "59s", "1m", "1h2m", "1041d16h"]);
    }
}
