//! Real QEMUs with the testbed's kernel under TCG; without them a test says that it was skipped.

mod bench;
mod ends;
mod host;
mod hostile;
mod posture;

pub(super) use bench::Bench;
