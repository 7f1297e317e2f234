//! `ratel config`: what the configuration is, and what it can be.

use clap::{Subcommand, ValueEnum};
use serde_json::json;

use super::flags::ConfigFlags;
use super::output::{List, Output, print};
use super::{Failure, complain};
use crate::config::{Source, keys, markdown};

#[derive(Debug, Subcommand)]
pub(super) enum ConfigVerb {
    /// Print the values that file, environment and flags give, each with where it came from
    Print {
        /// Print every key, also those that have their defaults
        #[arg(long)]
        effective: bool,
        /// How to print
        #[arg(long, value_enum, default_value = "table")]
        output: Output,
        #[command(flatten)]
        flags: Box<ConfigFlags>,
    },
    /// List every key with its type, default and meaning
    Keys {
        /// How to print
        #[arg(long, value_enum, default_value = "table")]
        output: KeysOutput,
    },
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(super) enum KeysOutput {
    /// Columns, for people
    Table,
    /// One JSON array
    Json,
    /// One YAML sequence
    Yaml,
    /// The reference, docs/configuration.md
    Markdown,
}

pub(super) fn run(verb: &ConfigVerb) -> Result<(), Failure> {
    match verb {
        ConfigVerb::Print {
            effective,
            output,
            flags,
        } => print_values(*effective, *output, flags),
        ConfigVerb::Keys { output } => print_keys(*output),
    }
}

fn print_values(effective: bool, output: Output, flags: &ConfigFlags) -> Result<(), Failure> {
    let loaded = flags.load(None)?;
    for warning in &loaded.warnings {
        complain(warning);
    }
    let mut list = List::new(&["key", "value", "source"]);
    for row in loaded.config.rows() {
        if effective || row.source != Source::Default {
            let value = row.value.filter(|_| !row.sensitive);
            list.row(vec![
                json!(row.name),
                json!(value),
                json!(row.source.to_string()),
            ]);
        }
    }
    list.print(output)
}

fn print_keys(output: KeysOutput) -> Result<(), Failure> {
    let output = match output {
        KeysOutput::Table => Output::Table,
        KeysOutput::Json => Output::Json,
        KeysOutput::Yaml => Output::Yaml,
        KeysOutput::Markdown => return print(&markdown()),
    };
    let mut list = List::new(&["key", "type", "default", "meaning"]);
    let mut keys: Vec<_> = keys().collect();
    keys.sort_by_key(|key| key.name);
    for key in keys {
        list.row(vec![
            json!(key.name),
            json!(key.kind.name()),
            json!(key.default()),
            json!(key.doc()),
        ]);
    }
    list.print(output)
}
