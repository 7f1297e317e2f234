//! A bar that shows how far something has come: on stderr, and only for people.

use std::io::{self, IsTerminal, Write};

/// Characters of the bar itself.
const WIDTH: usize = 30;

/// A bar. Where stderr is no terminal it shows nothing.
pub(super) struct Progress {
    is_shown: bool,
}

impl Progress {
    /// A bar, below a line that says what it is of.
    pub(super) fn new(title: &str) -> Self {
        let is_shown = io::stderr().is_terminal();
        if is_shown {
            say(&format!("{title}\n"));
        }
        Self { is_shown }
    }

    /// Draw it anew.
    pub(super) fn show(&mut self, done: i64, total: i64, note: &str) {
        if self.is_shown {
            // To the line's start, and erase what a longer line left.
            say(&format!("\r{}\u{1b}[K", line(done, total, note)));
        }
    }

    /// Leave the line.
    pub(super) fn end(self) {
        if self.is_shown {
            say("\n");
        }
    }
}

fn line(done: i64, total: i64, note: &str) -> String {
    // Of nothing all is done.
    let (done, total) = if total > 0 { (done, total) } else { (1, 1) };
    let done_of_total = done.clamp(0, total);
    let filled = i128::from(done_of_total) * WIDTH as i128 / i128::from(total);
    let filled = usize::try_from(filled).unwrap_or(0);
    let percent = i128::from(done_of_total) * 100 / i128::from(total);
    let bar = "#".repeat(filled) + &".".repeat(WIDTH - filled);
    format!("[{bar}] {percent:3} %  {note}")
}

/// If nobody listens there, there is nobody to tell.
fn say(text: &str) {
    let mut stderr = io::stderr().lock();
    let _ = stderr
        .write_all(text.as_bytes())
        .and_then(|()| stderr.flush());
}

#[cfg(test)]
mod tests {
    use super::{WIDTH, line};

    #[test]
    fn a_bar_fills_from_nothing_to_all_and_never_leaves_its_frame() {
        let filled = |done, total| line(done, total, "").matches('#').count();
        assert_eq!((filled(0, 10), filled(5, 10), filled(10, 10)), (0, 15, 30));
        assert_eq!((filled(-1, 10), filled(11, 10)), (0, WIDTH));
        assert_eq!(filled(0, 0), WIDTH);
        assert_eq!(filled(i64::MAX, i64::MAX), WIDTH);
        assert!(line(1, 3, "7 home").ends_with("]  33 %  7 home"));
    }
}
