//! What commands print: a table for people, JSON or YAML for programs.

use std::io::{self, Write};

use clap::ValueEnum;
use comfy_table::{Table, presets};
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

    /// Write it to stdout.
    pub(super) fn print(&self, output: Output) -> Result<(), Failure> {
        let text = match output {
            Output::Table => self.table(),
            Output::Json => format!("{:#}\n", Value::Array(self.objects())),
            Output::Yaml => self.yaml(),
        };
        print(&text)
    }

    fn table(&self) -> String {
        let mut table = Table::new();
        table.load_style(presets::NOTHING);
        table.set_header(self.columns.iter().map(|column| column.to_uppercase()));
        for row in &self.rows {
            table.add_row(row.iter().map(plain));
        }
        let lines = table.lines().map(|line| line.trim().to_owned() + "\n");
        lines.collect()
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

fn plain(value: &Value) -> String {
    match value {
        Value::Null => "-".to_owned(),
        Value::String(text) => super::logging::escaped(text).into_owned(),
        other => other.to_string(),
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
    use super::List;
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
            "KEY          VALUE\nnode.id      1\na\\u{1b}[31m  -\n"
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
}
