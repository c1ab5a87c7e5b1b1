//! The one engine that compares an [`ArtifactSet`](crate::ArtifactSet) with the tree, and writes what differs.
//!
//! ```text
//!            plan                 apply
//!   set ───────────▶ Plan ─┬─▶ stage new/ and old/ ─▶ journal ─▶ rename each ─▶ finish ─▶ drop the journal
//!   tree ──────────▶       │        └──── failure, Ctrl-C ────────────┴──────────┴─▶ roll back from old/
//!                          └─▶ report                     kill -9: the next run rolls back from the journal
//! ```
//!
//! Nothing of the tree changes before everything new and everything old lies on the same file system, and the
//! journal says what is about to be done. The journal's removal is the commit.

mod error;
mod journal;
mod plan;
mod swap;
mod tree;

pub use error::EngineError;
pub use journal::{Recovery, recover, was_interrupted};
pub use plan::{Change, Fault, Plan};
pub use swap::{Hooks, Step, apply};
pub use tree::Tree;
