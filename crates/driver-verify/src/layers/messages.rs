//! The build messages: what this very build compiled for the target, whatever the graph says.

use super::{Ways, nothing_to_see, of_crates};
use crate::evidence::CompiledUnit;
use crate::question::{CrateId, Question, Target};
use crate::verdict::{Expectation, Finding, Outcome};

#[derive(Debug)]
pub(crate) struct MessagesLayer<'s> {
    units: Option<&'s [CompiledUnit]>,
    ways: &'s Ways<'s>,
    required: bool,
    /// None of core's crates is among them: these are the messages of something else.
    foreign: bool,
}

impl<'s> MessagesLayer<'s> {
    pub(crate) fn new(
        question: &Question,
        units: Option<&'s [CompiledUnit]>,
        ways: &'s Ways<'s>,
        required: bool,
    ) -> Self {
        let core = |unit: &CompiledUnit| {
            !unit.host && question.core.crates.iter().any(|id| id.is(&unit.name, &unit.version))
        };
        let foreign = !units.unwrap_or_default().iter().any(core);
        Self { units, ways, required, foreign }
    }

    pub(crate) fn see(&self, target: &Target, expectation: Expectation) -> Outcome {
        let Some(units) = self.units else {
            return nothing_to_see(self.required, "no build messages are at hand");
        };
        let outcome = of_crates(target, expectation, |id| self.compiled(units, id, false));
        match outcome {
            Outcome::Clean if self.foreign => {
                Outcome::Blind("the messages name none of the crates that every build has".to_owned())
            }
            outcome => outcome,
        }
    }

    /// Crates of a target that were compiled for the machine that builds: never in the file.
    pub(crate) fn on_host(&self, target: &Target) -> Vec<Finding> {
        let units = self.units.unwrap_or_default();
        target.crates.iter().flat_map(|id| self.compiled(units, id, true)).collect()
    }

    fn compiled(&self, units: &[CompiledUnit], id: &CrateId, host: bool) -> Vec<Finding> {
        let units = units.iter().filter(|unit| unit.host == host && id.is(&unit.name, &unit.version));
        let findings = units.map(|unit| {
            let label = format!("{}@{}", unit.name, unit.version);
            let features = match unit.features.as_slice() {
                [] => String::new(),
                features => format!(" with {}", features.join(", ")),
            };
            let what = format!("{label} compiled as {}{features}", unit.target_kind);
            Finding { path: self.ways.way_to(id), ..Finding::new(what, label) }
        });
        let mut findings: Vec<Finding> = findings.collect();
        findings.dedup();
        findings
    }
}
