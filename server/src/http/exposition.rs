//! Prometheus' text format.

use std::fmt::{Display, Write};

use crate::metrics::Histogram;

/// The longest name of a group that has series of its own, in bytes. A client may call its group
/// anything of up to 32 KiB, and each series repeats that.
pub(super) const GROUP_BYTES_MAX: usize = 255;

/// What kind of number a family holds.
#[derive(Debug, Clone, Copy)]
pub(super) enum Type {
    /// Goes up only.
    Counter,
    /// Goes up and down.
    Gauge,
}

/// The page as it grows.
#[derive(Debug, Default)]
pub(super) struct Page {
    text: String,
}

/// The samples of one name. Its head is written with the first sample: what has no series is not
/// mentioned.
pub(super) struct Family<'a> {
    page: &'a mut Page,
    name: &'static str,
    kind: &'static str,
    help: &'static str,
    begun: bool,
}

type Labels<'a> = &'a [(&'static str, &'a str)];

impl Page {
    pub(super) fn family(
        &mut self,
        name: &'static str,
        kind: Type,
        help: &'static str,
    ) -> Family<'_> {
        let kind = match kind {
            Type::Counter => "counter",
            Type::Gauge => "gauge",
        };
        Family {
            page: self,
            name,
            kind,
            help,
            begun: false,
        }
    }

    pub(super) fn histograms(&mut self, name: &'static str, help: &'static str) -> Family<'_> {
        Family {
            page: self,
            name,
            kind: "histogram",
            help,
            begun: false,
        }
    }

    /// A family of one sample without labels.
    pub(super) fn single(
        &mut self,
        name: &'static str,
        kind: Type,
        help: &'static str,
        value: impl Display,
    ) {
        self.family(name, kind, help).sample(&[], value);
    }

    pub(super) fn into_text(self) -> String {
        self.text
    }
}

impl Family<'_> {
    /// One sample.
    pub(super) fn sample(&mut self, labels: Labels<'_>, value: impl Display) {
        self.begin();
        self.line("", labels, None, value);
    }

    /// One histogram. Its values are divided by `unit` (1e6 makes seconds of microseconds).
    #[expect(
        clippy::cast_precision_loss,
        reason = "the format's numbers are floats"
    )]
    pub(super) fn histogram(&mut self, labels: Labels<'_>, histogram: &Histogram, unit: f64) {
        self.begin();
        let mut count = 0;
        for (bound, below) in histogram.cumulative() {
            count = below;
            let bound = bound.map_or_else(
                || "+Inf".to_owned(),
                |bound| (bound as f64 / unit).to_string(),
            );
            self.line("_bucket", labels, Some(("le", &bound)), below);
        }
        self.line("_sum", labels, None, histogram.sum() as f64 / unit);
        self.line("_count", labels, None, count);
    }

    fn begin(&mut self) {
        if !self.begun {
            self.begun = true;
            let Self {
                name, kind, help, ..
            } = self;
            // Writing to a String does not fail, here and below.
            let _ = writeln!(self.page.text, "# HELP {name} {help}\n# TYPE {name} {kind}");
        }
    }

    fn line(
        &mut self,
        suffix: &str,
        labels: Labels<'_>,
        last: Option<(&'static str, &str)>,
        value: impl Display,
    ) {
        let text = &mut self.page.text;
        let _ = write!(text, "{}{suffix}", self.name);
        let mut mark = '{';
        for (label, content) in labels.iter().copied().chain(last) {
            let _ = write!(text, "{mark}{label}=\"");
            escape(text, content);
            text.push('"');
            mark = ',';
        }
        if mark == ',' {
            text.push('}');
        }
        let _ = writeln!(text, " {value}");
    }
}

fn escape(text: &mut String, content: &str) {
    for c in content.chars() {
        match c {
            '\\' => text.push_str("\\\\"),
            '"' => text.push_str("\\\""),
            '\n' => text.push_str("\\n"),
            c if c.is_control() => text.push('\u{fffd}'),
            c => text.push(c),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{Page, Type};
    use crate::metrics::Histogram;

    #[test]
    fn a_family_is_mentioned_with_its_first_sample_only() {
        let mut page = Page::default();
        let _ = page.family("nothing", Type::Gauge, "Not there.");
        let mut family = page.family("a_total", Type::Counter, "Some.");
        family.sample(&[("topic", "t\"\\\n\u{1b}")], 1);
        family.sample(&[("topic", "b"), ("partition", "0")], 2.5);
        page.single("c", Type::Gauge, "One.", -1);
        assert_eq!(
            page.into_text(),
            "# HELP a_total Some.\n# TYPE a_total counter\n\
             a_total{topic=\"t\\\"\\\\\\n\u{fffd}\"} 1\na_total{topic=\"b\",partition=\"0\"} 2.5\n\
             # HELP c One.\n# TYPE c gauge\nc -1\n"
        );
    }

    #[test]
    fn a_histogram_has_buckets_a_sum_and_a_count() {
        let histogram = Histogram::new(&[50, 1_000_000]);
        histogram.record(40);
        histogram.record(2_000_000);
        let mut page = Page::default();
        page.histograms("h_seconds", "Times.")
            .histogram(&[("api", "Fetch")], &histogram, 1e6);
        assert_eq!(
            page.into_text(),
            "# HELP h_seconds Times.\n# TYPE h_seconds histogram\n\
             h_seconds_bucket{api=\"Fetch\",le=\"0.00005\"} 1\n\
             h_seconds_bucket{api=\"Fetch\",le=\"1\"} 1\n\
             h_seconds_bucket{api=\"Fetch\",le=\"+Inf\"} 2\n\
             h_seconds_sum{api=\"Fetch\"} 2.00004\nh_seconds_count{api=\"Fetch\"} 2\n"
        );
    }
}
