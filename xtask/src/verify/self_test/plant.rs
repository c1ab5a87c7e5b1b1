//! A row of the first table: something is planted, and whoever has to see it is named exactly, so that a layer that goes
//! blind turns its rows red though another one still catches them.

use super::fixture::{Edit, Fixture};
use super::judging::build;
use super::seen::{End, Eye, Seen};
use crate::error::Result;

/// The one driver that is selected; `sun` is left out.
pub(super) const MOON: &[&str] = &["moon"];
pub(super) const BOTH: &[&str] = &["sun", "moon"];
/// What all gateways have.
pub(super) const CORE: &str = "crates/openshell-core/src/lib.rs";
pub(super) const CORE_MANIFEST: &str = "crates/openshell-core/Cargo.toml";
/// What runs inside the sandboxes of `sun`.
pub(super) const PROBE: &str = "openshell-probe";

/// One row.
pub(super) struct Plant {
    /// What was done.
    pub(super) planted: &'static str,
    /// How the judgement has to end.
    pub(super) end: End,
    /// Who has to see it, all of them and nobody else.
    pub(super) eyes: &'static [Eye],
    /// A word that has to be among what is said; empty where none has to.
    pub(super) named: &'static str,
    /// Plants and judges.
    pub(super) run: fn(&mut Fixture) -> Result<Seen>,
}

/// Plants, builds without the driver, judges what was built.
pub(super) fn planted(fixture: &mut Fixture, edits: &[Edit]) -> Result<Seen> {
    fixture.plant(edits)?;
    build(fixture, MOON)
}
