//! The layers: kinds of evidence that can fail each alone. A layer is made once for a file and then asked about every
//! target.

mod audit;
mod bytes;
mod graph;
mod marker;
mod messages;
mod report;
mod symbols;

pub(crate) use audit::AuditLayer;
pub(crate) use bytes::{BytesLayer, Rejected};
pub(crate) use graph::{GraphLayer, Ways};
pub(crate) use marker::MarkerLayer;
pub(crate) use messages::MessagesLayer;
pub(crate) use report::ReportLayer;
pub(crate) use symbols::SymbolsLayer;

use crate::question::{CrateId, Target};
use crate::verdict::{Expectation, Finding, Outcome};

/// What a layer of names and versions says: a forbidden crate that is there leaks, an expected one has to be there.
fn of_crates(
    target: &Target,
    expectation: Expectation,
    mut find: impl FnMut(&CrateId) -> Vec<Finding>,
) -> Outcome {
    if target.crates.is_empty() {
        return Outcome::NotApplicable("no crate is its own".to_owned());
    }
    let findings: Vec<Finding> = target.crates.iter().flat_map(&mut find).collect();
    match (expectation, findings.is_empty()) {
        (Expectation::Absent, true) => Outcome::Clean,
        (Expectation::Absent, false) => Outcome::Leak(findings),
        (Expectation::Present, false) => Outcome::Found(findings),
        (Expectation::Present, true) => {
            Outcome::Blind("it was selected, and none of its crates is there".to_owned())
        }
    }
}

/// A layer that has nothing to look at: blind where its word is required.
fn nothing_to_see(required: bool, why: impl Into<String>) -> Outcome {
    if required { Outcome::Blind(why.into()) } else { Outcome::NotApplicable(why.into()) }
}
