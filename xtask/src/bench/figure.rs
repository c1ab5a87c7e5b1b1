//! One measured figure: its samples, and what it is held to.

use std::time::Duration;

use serde_json::{Value, json};

/// Samples in milliseconds, in order of size.
#[derive(Debug, Clone)]
pub(crate) struct Figure {
    /// What was measured.
    pub(crate) name: String,
    samples: Vec<f64>,
    bound: Option<f64>,
}

impl Figure {
    /// A figure of at least one sample; the median is what is held to the bound.
    pub(crate) fn new(name: &str, samples: Vec<Duration>, bound: Option<f64>) -> Self {
        let mut samples: Vec<f64> = samples.iter().map(|sample| sample.as_secs_f64() * 1000.0).collect();
        samples.sort_by(f64::total_cmp);
        Self { name: name.to_owned(), samples, bound }
    }

    fn least(&self) -> f64 {
        self.samples.first().copied().unwrap_or_default()
    }

    fn median(&self) -> f64 {
        let middle = self.samples.len() / 2;
        let upper = self.samples.get(middle).copied().unwrap_or_default();
        if self.samples.len() % 2 == 1 || middle == 0 {
            return upper;
        }
        f64::midpoint(self.samples[middle - 1], upper)
    }

    fn most(&self) -> f64 {
        self.samples.last().copied().unwrap_or_default()
    }

    /// Whether the median keeps the bound.
    pub(crate) fn holds(&self) -> bool {
        self.bound.is_none_or(|bound| self.median() <= bound)
    }

    /// Runs, least, median, most and bound, as text.
    pub(crate) fn cells(&self) -> [String; 5] {
        let ms = |figure: f64| format!("{figure:.1}");
        let bound = self.bound.map_or_else(|| "-".to_owned(), |bound| format!("{bound:.0}"));
        [self.samples.len().to_string(), ms(self.least()), ms(self.median()), ms(self.most()), bound]
    }

    /// The figure for programs.
    pub(crate) fn json(&self) -> Value {
        json!({
            "name": self.name,
            "unit": "ms",
            "runs": self.samples.len(),
            "least": self.least(),
            "median": self.median(),
            "most": self.most(),
            "at_most": self.bound,
            "holds": self.holds(),
        })
    }
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
        assert_eq!(odd.cells(), ["3", "10.0", "20.0", "30.0", "20"]);
        assert!(odd.holds());
        assert!(!figure(&[10, 20, 30, 40], 24.0).holds(), "the median of four is between the middle two");
    }
}
