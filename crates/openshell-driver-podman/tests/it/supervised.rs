//! Sandboxes with a supervisor: what holds on every engine.

#[path = "../../../openshell-driver-common/tests/supervised/mod.rs"]
pub(crate) mod everywhere;
