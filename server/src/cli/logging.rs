//! Log lines: to stderr, as text or JSON, without any control character from outside.

use std::borrow::Cow;
use std::io::{self, IsTerminal, Write};

use tracing_subscriber::fmt::MakeWriter;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;
use tracing_subscriber::{registry, reload};

use super::Failure;
use crate::config::{Config, LogFormat};
use crate::loggers::Loggers;

/// Send log lines to stderr as the configuration says. The loggers that are given back alter how
/// many there are.
pub(super) fn start(config: &Config) -> Result<Loggers, Failure> {
    let level = &config.log_level;
    let (loggers, targets) = Loggers::parse(level).ok_or_else(|| {
        Failure::unusable(format!(
            "log.level={level} is neither a level (off, error, warn, info, debug, trace) nor a \
             list such as info,ratel_server::net=debug"
        ))
    })?;
    let json = match config.log_format {
        LogFormat::Auto => !io::stderr().is_terminal(),
        LogFormat::Text => false,
        LogFormat::Json => true,
    };
    let (targets, handle) = reload::Layer::new(targets);
    let lines = tracing_subscriber::fmt::layer()
        .with_writer(Stderr)
        .with_ansi(false);
    let outcome = if json {
        let lines = lines.json().flatten_event(true);
        registry().with(targets).with(lines).try_init()
    } else {
        registry().with(targets).with(lines).try_init()
    };
    outcome.map_err(|error| Failure::failed(format!("cannot start logging: {error}")))?;
    // A panic is a line of the log like any other. Where it ends is decided by who caught it.
    std::panic::set_hook(Box::new(
        |panic| tracing::error!(%panic, "a bug: please report it"),
    ));
    // Fails only if the subscriber is gone, and then there is nothing to alter.
    Ok(loggers.with_changes(move |targets| drop(handle.reload(targets))))
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
    use super::{Line, escaped};
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
    fn harmless_text_stays_as_it_is() {
        assert_eq!(escaped("größe 🦡 \\n"), "größe 🦡 \\n");
    }
}
