//! Log lines: to stderr, as text or JSON, without any control character from outside.

use std::borrow::Cow;
use std::io::{self, IsTerminal, Write};

use tracing_subscriber::EnvFilter;
use tracing_subscriber::fmt::MakeWriter;

use super::Failure;
use crate::config::{Config, LogFormat};

/// Send log lines to stderr as the configuration says.
pub(super) fn start(config: &Config) -> Result<(), Failure> {
    let filter = filter(&config.log_level)?;
    let json = match config.log_format {
        LogFormat::Auto => !io::stderr().is_terminal(),
        LogFormat::Text => false,
        LogFormat::Json => true,
    };
    let builder = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(Stderr)
        .with_ansi(false);
    let outcome = if json {
        builder.json().flatten_event(true).try_init()
    } else {
        builder.try_init()
    };
    outcome.map_err(|error| Failure::failed(format!("cannot start logging: {error}")))?;
    // A panic is a line of the log like any other. Where it ends is decided by who caught it.
    std::panic::set_hook(Box::new(
        |panic| tracing::error!(%panic, "a bug: please report it"),
    ));
    Ok(())
}

/// A directive of one word is a level here. To the filter it could be a module too, so that a
/// misspelt level would silence everything.
fn filter(text: &str) -> Result<EnvFilter, Failure> {
    const LEVELS: [&str; 6] = ["off", "error", "warn", "info", "debug", "trace"];
    let is_level = |word: &str| LEVELS.iter().any(|level| level.eq_ignore_ascii_case(word));
    let mut directives = text.split(',').map(str::trim);
    let plausible = directives.all(|directive| directive.contains('=') || is_level(directive));
    let filter = EnvFilter::try_new(text).ok().filter(|_| plausible);
    filter.ok_or_else(|| {
        Failure::unusable(format!(
            "log.level={text} is neither a level ({}) nor a list such as \
             info,ratel_server::net=debug",
            LEVELS.join(", ")
        ))
    })
}

struct Stderr;

impl<'a> MakeWriter<'a> for Stderr {
    type Writer = Line<io::Stderr>;

    fn make_writer(&'a self) -> Self::Writer {
        Line(io::stderr())
    }
}

/// Takes one event per call, which ends in a line feed, and escapes every other control
/// character in it: what clients send must not move the cursor or begin a line of its own.
struct Line<W>(W);

impl<W: Write> Write for Line<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let text = String::from_utf8_lossy(bytes);
        let line = text.strip_suffix('\n').unwrap_or(&text);
        let mut line = escaped(line).into_owned();
        line.push('\n');
        // A log that cannot be written must not stop the server.
        let _ = self.0.write_all(line.as_bytes());
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.0.flush()
    }
}

/// The text with its control characters, and what turns the direction of writing, as `\u{..}`.
pub(super) fn escaped(text: &str) -> Cow<'_, str> {
    let harmful =
        |c: char| c.is_control() || matches!(c, '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}');
    if !text.contains(harmful) {
        return Cow::Borrowed(text);
    }
    let mut out = String::with_capacity(text.len() + 16);
    for c in text.chars() {
        match c {
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            c if harmful(c) => out.extend(c.escape_unicode()),
            c => out.push(c),
        }
    }
    Cow::Owned(out)
}

#[cfg(test)]
mod tests {
    use super::{Line, escaped, filter};
    use std::io::Write;

    #[test]
    fn an_event_is_one_line_whatever_it_holds() {
        let mut line = Line(Vec::new());
        line.write_all("client \"a\nINFO forged\x1b[2J\r\u{85}\u{202e}b\"\n".as_bytes())
            .expect("it is written");
        assert_eq!(
            String::from_utf8(line.0).expect("text"),
            "client \"a\\nINFO forged\\u{1b}[2J\\r\\u{85}\\u{202e}b\"\n"
        );
    }

    #[test]
    fn a_misspelt_level_is_refused() {
        for good in ["info", "WARN", "info,ratel_server::net=debug", "off"] {
            assert!(filter(good).is_ok(), "{good}");
        }
        for bad in ["warning", "", "info,debugg", "a=b=c", "ratel_server=loud"] {
            assert!(filter(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn harmless_text_stays_as_it_is() {
        assert_eq!(escaped("größe 🦡 \\n"), "größe 🦡 \\n");
    }
}
