//! The judge: a question, the evidence, an answer. Says whether drivers and options that were left out are in a file.
//!
//! ```text
//!  Question ─ which must be there, which must not ─┐
//!                                                  ▼
//!  Evidence ─ graph, messages ────────────▶ layers ─┬▶ Verdict ▶ table, JSON, Markdown, in-toto statement
//!           └ file ─▶ Image ─▶ sections, scan ──────┘      └▶ exit code: 0 clean, 1 leak, 2 cannot certify
//! ```
//!
//! Does no I/O, spawns nothing, and does not know the crate that generates what it judges. The file is not trusted: it
//! is read and never run, every way of being wrong has its words ([`Unreadable`]), and what is read takes time and
//! memory in proportion to its size. The finding of nothing counts only where the same eyes have found what must be
//! there ([`Control`]).
//!
//! It finds what slipped into an honest build, not what somebody took care to hide.

mod bytes;
mod control;
mod evidence;
mod explain;
mod image;
mod judge;
mod layers;
mod learn;
mod question;
mod render;
mod verdict;

pub use evidence::{CompiledUnit, Evidence, Graph, Package, SelfReport};
pub use explain::explain;
pub use image::{
    AuditedPackage, FILE_LIMIT, Image, Markers, NotAttached, Section, Unreadable, attach, audit_section,
    detach, sniff,
};
pub use judge::judge;
pub use learn::{Learned, Rejected, found, learn, literals, seen};
pub use question::{CrateId, Fingerprint, How, PackageName, Question, Target, TargetKind};
pub use render::{Attested, PREDICATE_TYPE, StatementError, Subject, Tool, read_statement, statement};
pub use verdict::{
    Answer, Control, ControlState, Expectation, FileFacts, Finding, Layer, Outcome, Row, Verdict,
};
