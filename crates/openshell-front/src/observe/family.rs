//! Metrics as values, and as the text that Prometheus reads: "Exposition formats", text format 0.0.4.
//!
//! Written here rather than with one of the two libraries for it: what a request counts is an array of atomics by
//! method and code, without a map or a lock, and what the gateway's other parts count comes as finished values; both
//! libraries want to own the counters, and bring locks and maps of labels for that.

use std::borrow::Cow;
use std::fmt::Write as _;
use std::time::Duration;

/// The content type of what [`render`] gives.
pub(crate) const CONTENT_TYPE: &str = "text/plain; version=0.0.4; charset=utf-8";

/// Metrics of one name.
#[derive(Debug, Clone, PartialEq)]
pub struct Family {
    /// The name: `[a-zA-Z_:][a-zA-Z0-9_:]*`; a counter's ends in `_total`.
    pub name: &'static str,
    /// What it is, in a sentence.
    pub help: &'static str,
    /// How it moves.
    pub kind: Kind,
    /// Its values, each with other labels.
    pub samples: Vec<Sample>,
}

/// How a metric moves.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Up only.
    Counter,
    /// Up and down.
    Gauge,
    /// Durations in buckets.
    Histogram,
}

/// One value of a family.
#[derive(Debug, Clone, PartialEq)]
pub struct Sample {
    /// Names `[a-zA-Z_][a-zA-Z0-9_]*` and any values. They have to be few: each combination is a time series.
    pub labels: Vec<(&'static str, Cow<'static, str>)>,
    /// The value.
    pub value: Value,
}

/// A value.
#[derive(Debug, Clone, PartialEq)]
pub enum Value {
    /// A count.
    Integer(u64),
    /// Anything else; in seconds or bytes, where it has a unit.
    Number(f64),
    /// For [`Kind::Histogram`].
    Histogram {
        /// Upper bounds in order, each with how many were at most so long: cumulative, without the last one, `+Inf`.
        buckets: Vec<(Duration, u64)>,
        /// All of them together.
        sum: Duration,
        /// How many there were.
        count: u64,
    },
}

impl Family {
    /// An empty family of counters.
    #[must_use]
    pub fn counter(name: &'static str, help: &'static str) -> Self {
        Self { name, help, kind: Kind::Counter, samples: Vec::new() }
    }

    /// An empty family of gauges.
    #[must_use]
    pub fn gauge(name: &'static str, help: &'static str) -> Self {
        Self { name, help, kind: Kind::Gauge, samples: Vec::new() }
    }

    /// An empty family of histograms.
    #[must_use]
    pub fn histogram(name: &'static str, help: &'static str) -> Self {
        Self { name, help, kind: Kind::Histogram, samples: Vec::new() }
    }

    /// The family with one sample more.
    #[must_use]
    pub fn sample<L, V>(mut self, labels: L, value: Value) -> Self
    where
        L: IntoIterator<Item = (&'static str, V)>,
        V: Into<Cow<'static, str>>,
    {
        self.push(labels, value);
        self
    }

    /// The family with its one sample, which has no labels.
    #[must_use]
    pub fn value(mut self, value: Value) -> Self {
        self.samples.push(Sample { labels: Vec::new(), value });
        self
    }

    /// Adds a sample.
    pub fn push<L, V>(&mut self, labels: L, value: Value)
    where
        L: IntoIterator<Item = (&'static str, V)>,
        V: Into<Cow<'static, str>>,
    {
        let labels = labels.into_iter().map(|(name, value)| (name, value.into())).collect();
        self.samples.push(Sample { labels, value });
    }
}

/// The families as text. Of two with one name, which the format does not allow, the first is taken.
pub(crate) fn render(families: &[Family]) -> String {
    let mut text = String::with_capacity(16 * 1024);
    for (at, family) in families.iter().enumerate() {
        if families[..at].iter().any(|other| other.name == family.name) {
            tracing::error!(name = family.name, "two families of metrics have one name");
        } else if !family.samples.is_empty() {
            write_family(&mut text, family);
        }
    }
    text
}

fn write_family(text: &mut String, family: &Family) {
    let kind = match family.kind {
        Kind::Counter => "counter",
        Kind::Gauge => "gauge",
        Kind::Histogram => "histogram",
    };
    let name = family.name;
    let help = family.help.replace('\\', "\\\\").replace('\n', "\\n");
    // Writing to a `String` cannot fail, here and below.
    let _ = write!(text, "# HELP {name} {help}\n# TYPE {name} {kind}\n");
    for Sample { labels, value } in &family.samples {
        match value {
            Value::Integer(value) => write_line(text, name, "", labels, None, &value.to_string()),
            Value::Number(value) => write_line(text, name, "", labels, None, &number(*value)),
            Value::Histogram { buckets, sum, count } => {
                for (bound, below) in buckets {
                    let bound = number(bound.as_secs_f64());
                    write_line(text, name, "_bucket", labels, Some(&bound), &below.to_string());
                }
                write_line(text, name, "_bucket", labels, Some("+Inf"), &count.to_string());
                write_line(text, name, "_sum", labels, None, &number(sum.as_secs_f64()));
                write_line(text, name, "_count", labels, None, &count.to_string());
            }
        }
    }
}

fn write_line(
    text: &mut String,
    name: &str,
    suffix: &str,
    labels: &[(&'static str, Cow<'static, str>)],
    bound: Option<&str>,
    value: &str,
) {
    let _ = write!(text, "{name}{suffix}");
    let labels = labels.iter().map(|(name, value)| (*name, value.as_ref()));
    for (at, (label, value)) in labels.chain(bound.map(|bound| ("le", bound))).enumerate() {
        let _ = write!(text, "{}{label}=\"{}\"", if at == 0 { '{' } else { ',' }, escaped(value));
    }
    if text.ends_with('"') {
        text.push('}');
    }
    let _ = writeln!(text, " {value}");
}

fn escaped(value: &str) -> Cow<'_, str> {
    if value.contains(['\\', '"', '\n']) {
        Cow::Owned(value.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n"))
    } else {
        Cow::Borrowed(value)
    }
}

fn number(value: f64) -> String {
    if value.is_nan() {
        "NaN".to_owned()
    } else if value.is_infinite() {
        if value > 0.0 { "+Inf" } else { "-Inf" }.to_owned()
    } else {
        value.to_string()
    }
}
