//! One measured figure: what came of its runs, and what it is held to.

use std::time::Duration;

use serde::Deserialize;
use serde_json::{Value, json};

/// What came of several runs, in the figure's unit.
#[derive(Debug, Clone, PartialEq, Deserialize)]
pub(crate) struct Figure {
    /// What was measured.
    #[serde(rename = "figure")]
    pub(crate) name: String,
    /// `ms`, `MB`, `1/s`, …
    pub(crate) unit: String,
    runs: usize,
    #[serde(rename = "min")]
    least: f64,
    median: f64,
    /// Of figures with enough runs to have one.
    #[serde(default)]
    p99: Option<f64>,
    #[serde(rename = "max")]
    most: f64,
    #[serde(default)]
    bound: Option<Bound>,
    #[serde(default)]
    at: At,
}

/// What a figure is held to.
#[derive(Debug, Clone, Copy, Default, PartialEq, Deserialize)]
pub(crate) struct Bound {
    median: Option<f64>,
    p99: Option<f64>,
}

/// On which side of its bound it has to be.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum At {
    /// Not above.
    #[default]
    Most,
    /// Not below.
    Least,
}

impl Figure {
    /// A figure of at least one duration, in milliseconds; the median is what is held to the bound.
    pub(crate) fn new(name: &str, samples: Vec<Duration>, at_most: Option<f64>) -> Self {
        let ms = samples.iter().map(|sample| sample.as_secs_f64() * 1000.0).collect();
        let bound = at_most.map(|limit| Bound { median: Some(limit), p99: None });
        Self::of(name, "ms", ms, bound)
    }

    /// A figure of one reading that is the same in every run, such as a file's size.
    pub(crate) fn one(name: &str, unit: &str, value: f64, at_most: Option<f64>) -> Self {
        let bound = at_most.map(|limit| Bound { median: Some(limit), p99: None });
        Self::of(name, unit, vec![value], bound)
    }

    /// A figure whose median may not be below the bound.
    pub(crate) fn at_least(name: &str, unit: &str, samples: Vec<f64>, bound: f64) -> Self {
        let bound = Some(Bound { median: Some(bound), p99: None });
        Self { at: At::Least, ..Self::of(name, unit, samples, bound) }
    }

    fn of(name: &str, unit: &str, mut samples: Vec<f64>, bound: Option<Bound>) -> Self {
        samples.sort_by(f64::total_cmp);
        Self {
            name: name.to_owned(),
            unit: unit.to_owned(),
            runs: samples.len(),
            least: samples.first().copied().unwrap_or_default(),
            median: median(&samples),
            p99: None,
            most: samples.last().copied().unwrap_or_default(),
            bound,
            at: At::Most,
        }
    }

    /// Reads a line that a bench program printed.
    pub(crate) fn read(line: &str) -> serde_json::Result<Self> {
        serde_json::from_str(line)
    }

    /// Whether it keeps its bound.
    pub(crate) fn holds(&self) -> bool {
        let Bound { median, p99 } = self.bound.unwrap_or_default();
        let keeps = |bound: Option<f64>, value: f64| {
            bound.is_none_or(|bound| match self.at {
                At::Most => value <= bound,
                At::Least => value >= bound,
            })
        };
        keeps(median, self.median) && keeps(p99, self.p99.unwrap_or(self.most))
    }

    /// Runs, least, median, p99, most and bound, as text.
    pub(crate) fn cells(&self) -> [String; 6] {
        let bound = self.bound_text().unwrap_or_else(|| "-".to_owned());
        let p99 = self.p99.map_or_else(|| "-".to_owned(), number);
        [self.runs.to_string(), number(self.least), number(self.median), p99, number(self.most), bound]
    }

    /// The median with its unit.
    pub(crate) fn brief(&self) -> String {
        format!("{}: {} {}", self.name, number(self.median), self.unit)
    }

    fn bound_text(&self) -> Option<String> {
        let Bound { median, p99 } = self.bound?;
        let sign = if self.at == At::Most { "≤" } else { "≥" };
        let median = median.map(|limit| format!("{sign} {limit}"));
        let p99 = p99.map(|limit| format!("p99 {sign} {limit}"));
        Some(median.into_iter().chain(p99).collect::<Vec<_>>().join(", "))
    }

    /// The figure for programs.
    pub(crate) fn json(&self) -> Value {
        json!({
            "name": self.name,
            "unit": self.unit,
            "runs": self.runs,
            "least": self.least,
            "median": self.median,
            "p99": self.p99,
            "most": self.most,
            "bound": self.bound_text(),
            "holds": self.holds(),
        })
    }
}

/// As many digits as tell something: three behind the point for what is below ten, none for thousands.
fn number(value: f64) -> String {
    match value.abs() {
        ..10.0 => format!("{value:.3}"),
        ..1000.0 => format!("{value:.1}"),
        _ => format!("{value:.0}"),
    }
}

/// Of samples in order of size; the mean of the middle two when there are two.
fn median(samples: &[f64]) -> f64 {
    let middle = samples.len() / 2;
    let upper = samples.get(middle).copied().unwrap_or_default();
    if samples.len() % 2 == 1 || middle == 0 {
        return upper;
    }
    f64::midpoint(samples[middle - 1], upper)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn figure(ms: &[u64], bound: f64) -> Figure {
        Figure::new("x", ms.iter().map(|ms| Duration::from_millis(*ms)).collect(), Some(bound))
    }

    #[test]
    fn the_median_is_held_to_the_bound() {
        let odd = figure(&[30, 10, 20], 20.0);
        assert_eq!(odd.cells(), ["3", "10.0", "20.0", "-", "30.0", "≤ 20"]);
        assert!(odd.holds());
        assert!(!figure(&[10, 20, 30, 40], 24.0).holds(), "the median of four is between the middle two");
    }

    #[test]
    fn a_bound_from_below_is_held_to_as_well() {
        assert!(Figure::at_least("x", "×", vec![2.0, 3.5, 4.0], 3.0).holds());
        assert!(!Figure::at_least("x", "×", vec![2.0, 2.5, 4.0], 3.0).holds());
    }

    #[test]
    fn a_programs_line_says_what_is_held_to_what() {
        let read = |bound: &str| {
            let line = format!(
                r#"{{"figure":"x","unit":"1/s","runs":3,"min":1,"median":2,"p99":4,"max":9,{bound},"holds":true}}"#
            );
            Figure::read(&line).expect("a figure")
        };
        assert!(read(r#""bound":null,"at":"most""#).holds());
        let both = read(r#""bound":{"median":2.5,"p99":4},"at":"most""#);
        assert_eq!((both.holds(), both.cells()[5].as_str()), (true, "≤ 2.5, p99 ≤ 4"));
        assert!(!read(r#""bound":{"median":null,"p99":3.5},"at":"most""#).holds());
        assert!(!read(r#""bound":{"median":2.5,"p99":null},"at":"least""#).holds());
    }
}
