//! The configuration reference, `docs/configuration.md`, from the table of keys.

use std::fmt::Write;

use super::{ACTED_ON, Key, SHOWN, SILENT, Scope};

const HEAD: &str = "\
# Configuration

<!-- Made by `ratel config keys --output markdown`; a test keeps it up to date. -->

Names are Kafka's wherever Kafka has one, so an existing `server.properties` starts the server:
`ratel serve --config server.properties`. A file whose name ends in `.toml` is read as TOML, where
`[log]` and `dirs = \"...\"` make `log.dirs`.

A value is taken from the first of these that has one:

1. flags: `--set key=value`, or a flag of its own such as `--log-dir`
2. environment: `RATEL_LOG_DIRS` for `log.dirs`, then `KAFKA_LOG_DIRS`
3. the file of `--config`, or of `RATEL_CONFIG`
4. the default

A key that nobody knows is an error in a file or flag and a warning in the environment. Keys of
Kafka that change nothing here are taken and named in one warning.
`ratel config print --effective` shows every value in force and where it came from.

";

/// The reference as Markdown.
#[must_use]
pub fn markdown() -> String {
    let mut out = HEAD.to_owned();
    out.push_str("## Keys that the server acts on\n\n");
    table(&mut out, ACTED_ON);
    out.push_str(
        "\n(ours): not a key of Kafka. (dynamic): may be altered at run time where Kafka allows \
         it.\n\n## Keys that are only shown\n\nTools find them with Kafka's values; setting them \
         changes nothing.\n\n",
    );
    table(&mut out, SHOWN);
    out.push_str("\n## Keys of Kafka's insides\n\nThey are shown, too, and mean nothing here.\n\n");
    table(&mut out, SILENT);
    out
}

fn table(out: &mut String, keys: &[Key]) {
    out.push_str("| key | type | default | takes | meaning |\n|---|---|---|---|---|\n");
    for key in keys {
        let mut marks = String::new();
        if key.ours {
            marks.push_str(" (ours)");
        }
        if key.scope == Scope::Cluster {
            marks.push_str(" (dynamic)");
        }
        let aliases = match key.aliases {
            [] => String::new(),
            aliases => format!(" Also called {}.", aliases.join(", ")),
        };
        let default = match key.default() {
            Some(default) if default.is_empty() => "(empty)".to_owned(),
            Some(default) => format!("`{default}`"),
            None => "(none)".to_owned(),
        };
        // Writing to a String does not fail.
        let _ = writeln!(
            out,
            "| `{}`{marks} | {} | {default} | {} | {}{aliases} |",
            key.name,
            key.kind.name(),
            key.expects(),
            key.doc(),
        );
    }
}
