//! One figure: its samples, and what it is held to.

use std::time::{Duration, SystemTime};

use serde_json::{Value, json};
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

use crate::Result;

/// Samples of one thing in one unit, in order of size.
#[derive(Debug, Clone)]
pub(crate) struct Figure {
    name: String,
    unit: &'static str,
    samples: Vec<f64>,
    median: Option<f64>,
    p99: Option<f64>,
    at_least: bool,
}

impl Figure {
    /// A figure that nothing is held to yet.
    pub(crate) fn new(name: impl Into<String>, unit: &'static str, mut samples: Vec<f64>) -> Self {
        samples.sort_by(f64::total_cmp);
        Self { name: name.into(), unit, samples, median: None, p99: None, at_least: false }
    }

    /// Durations, in milliseconds.
    pub(crate) fn ms(name: impl Into<String>, samples: &[Duration]) -> Self {
        Self::new(name, "ms", samples.iter().map(|sample| sample.as_secs_f64() * 1000.0).collect())
    }

    /// The median may be this at most.
    pub(crate) fn median_at_most(self, bound: f64) -> Self {
        Self { median: Some(bound), ..self }
    }

    /// The 99th percentile may be this at most.
    pub(crate) fn p99_at_most(self, bound: f64) -> Self {
        Self { p99: Some(bound), ..self }
    }

    /// The median has to be this at least.
    pub(crate) fn median_at_least(self, bound: f64) -> Self {
        Self { median: Some(bound), at_least: true, ..self }
    }

    /// The smallest sample that at least so many of a hundred are not above: the nearest rank.
    fn percentile(&self, of: f64) -> f64 {
        let rank = (of / 100.0 * self.samples.len() as f64).ceil() as usize;
        self.samples.get(rank.saturating_sub(1)).copied().unwrap_or(f64::NAN)
    }

    /// Half of the samples are not above it.
    pub(crate) fn median(&self) -> f64 {
        self.percentile(50.0)
    }

    /// Whether every bound is kept. A figure without samples keeps none.
    pub(crate) fn holds(&self) -> bool {
        let keeps = |bound: Option<f64>, of| {
            let value = self.percentile(of);
            bound.is_none_or(|bound| if self.at_least { value >= bound } else { value <= bound })
        };
        keeps(self.median, 50.0) && keeps(self.p99, 99.0)
    }

    /// The line that is printed.
    pub(crate) fn json(&self) -> Value {
        let round = |value: f64| (value * 10_000.0).round() / 10_000.0;
        let bound = match (self.median, self.p99) {
            (None, None) => Value::Null,
            (median, p99) => json!({ "median": median, "p99": p99 }),
        };
        json!({
            "figure": self.name,
            "unit": self.unit,
            "runs": self.samples.len(),
            "min": round(self.percentile(0.0)),
            "median": round(self.percentile(50.0)),
            "p99": round(self.percentile(99.0)),
            "max": round(self.percentile(100.0)),
            "bound": bound,
            "at": if self.at_least { "least" } else { "most" },
            "holds": self.holds(),
        })
    }
}

/// A moment as backends and conditions write it.
pub(crate) fn moment(text: &str) -> Result<SystemTime> {
    let at = OffsetDateTime::parse(text, &Rfc3339).map_err(|error| format!("`{text}`: {error}"))?;
    Ok(SystemTime::from(at))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranks_and_bounds() {
        let figure = Figure::new("x", "ms", (1..=200).rev().map(f64::from).collect());
        let json = figure.json();
        assert_eq!((json["min"].as_f64(), json["median"].as_f64()), (Some(1.0), Some(100.0)));
        assert_eq!((json["p99"].as_f64(), json["max"].as_f64()), (Some(198.0), Some(200.0)));
        assert!(json["bound"].is_null());
        assert!(figure.clone().median_at_most(100.0).p99_at_most(198.0).holds());
        assert!(!figure.clone().median_at_most(99.0).holds());
        assert!(!figure.clone().median_at_most(100.0).p99_at_most(197.0).holds());
        assert!(figure.clone().median_at_least(100.0).holds());
        assert!(!figure.median_at_least(101.0).holds());
    }

    #[test]
    fn nothing_measured_holds_nothing() {
        assert!(!Figure::new("x", "ms", Vec::new()).median_at_most(1.0).holds());
    }
}
