//! The marker section: which drivers' code was linked.

use crate::image::{Image, Markers, Unreadable};
use crate::question::{Question, Target, TargetKind};
use crate::verdict::{Expectation, Finding, Outcome};

#[derive(Debug)]
pub(crate) struct MarkerLayer {
    markers: Result<Markers, String>,
    /// No marker section is as good as one with nothing in it.
    may_lack: bool,
    /// Texts that nobody asked about.
    pub(crate) strays: Vec<Target>,
}

impl MarkerLayer {
    pub(crate) fn new(question: &Question, image: Result<&Image<'_>, &Unreadable>) -> Self {
        let markers = image.map(Image::markers).map_err(ToString::to_string);
        let mut strays: Vec<Target> = Vec::new();
        let asked = |text: &String| {
            let targets = question.forbidden.iter().chain(&question.expected).chain([&question.core]);
            targets.flat_map(|target| &target.markers).any(|marker| marker == text)
        };
        for text in markers.iter().flat_map(|markers| &markers.texts).filter(|text| !asked(text)) {
            let mut stray = Target::new(text.as_str(), TargetKind::Stray);
            stray.markers.push(text.clone());
            if strays.iter().all(|known| known.name != stray.name) {
                strays.push(stray);
            }
        }
        Self { markers, may_lack: question.is_guest, strays }
    }

    pub(crate) fn see(&self, target: &Target, expectation: Expectation) -> Outcome {
        let markers = match &self.markers {
            Ok(markers) => markers,
            Err(why) => return Outcome::Blind(format!("the file cannot be read: {why}")),
        };
        if target.markers.is_empty() {
            return Outcome::NotApplicable("it leaves no marker".to_owned());
        }
        let (there, missing): (Vec<_>, Vec<_>) =
            target.markers.iter().partition(|marker| markers.texts.contains(marker));
        let findings: Vec<Finding> = there
            .iter()
            .map(|marker| Finding::new(format!("`{marker}` in the marker section"), *marker))
            .collect();
        match expectation {
            Expectation::Absent if !findings.is_empty() => Outcome::Leak(findings),
            Expectation::Absent if !markers.section && self.may_lack => Outcome::Clean,
            _ if !markers.section => Outcome::Blind(
                "there is no marker section, and every build has one: packed, or not one of ours".to_owned(),
            ),
            _ if !markers.malformed.is_empty() => {
                Outcome::Blind(format!("the marker section holds something else: `{}`", markers.malformed[0]))
            }
            Expectation::Absent => Outcome::Clean,
            Expectation::Present if missing.is_empty() => Outcome::Found(findings),
            Expectation::Present => {
                let missing: Vec<_> = missing.iter().map(|marker| format!("`{marker}`")).collect();
                Outcome::Blind(format!("it was selected, and {} is missing", missing.join(", ")))
            }
        }
    }
}
