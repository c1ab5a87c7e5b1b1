//! `drivers.toml` text to an [`Assembly`], or every diagnostic with its span. Does no I/O.
//!
//! ```text
//! bytes ─syntax▶ TOML tree ─table, raw▶ RawManifest (mirrors the file) ─check▶ Assembly (cannot be wrong)
//!          │                   │                                          │        │
//!          └───────────────────┴────────▶ Sink of diagnostics ◀───────────┘        └─selection▶ Selection
//!                                              └─report, render▶ text or JSON
//! ```
//!
//! Every stage goes on after an error with what it has, and says nothing of what an earlier stage has reported: one
//! run shows everything that is wrong, once. Facts that are not in the text come in through [`Context`].

mod check;
mod context;
mod definitions;
mod diagnostic;
mod edit;
mod model;
mod nearest;
mod overlay;
mod platform;
mod raw;
mod render;
mod report;
pub mod schema;
mod selection;
mod syntax;
mod table;
mod words;

pub use context::{Context, DRIVER_API, PackageFacts, Role};
pub use diagnostic::{Code, Diagnostic, Label, Severity, Span};
pub use edit::{EditError, NewDriver, Place, Removed, add_driver, move_driver, remove_driver};
pub use model::*;
pub use nearest::nearest;
pub use overlay::{Misfit, With, with_crate};
pub use platform::platform_cfg;
pub use report::{Position, Report, Style};
pub use selection::{Request, SelectError, Selection};
pub use words::{NameError, check_driver_name};

use diagnostic::Sink;

/// What came of a text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Outcome {
    /// The assembly, unless there is an error.
    pub assembly: Option<Assembly>,
    /// What was found; warnings may be there beside an assembly.
    pub report: Report,
}

impl Outcome {
    /// The assembly, or the report that says why there is none. Warnings are lost.
    ///
    /// # Errors
    ///
    /// When the text has an error.
    pub fn into_result(self) -> Result<Assembly, Report> {
        self.assembly.ok_or(self.report)
    }
}

/// Reads a manifest: everything that is wrong with it is in the report, in the order of the text. `file_name` is only
/// printed.
#[must_use]
pub fn read(file_name: &str, bytes: &[u8], context: &Context) -> Outcome {
    let mut sink = Sink::default();
    let mut source = String::new();
    let mut assembly = None;
    if let Some(decoded) = syntax::decode(bytes, &mut sink) {
        let mended = syntax::mend(&decoded, &mut sink);
        let (tree, broken) = syntax::parse(&mended, &mut sink);
        if tree.is_empty() && !broken.any() {
            check::empty(&mut sink);
        } else {
            let raw = raw::read(&tree, &broken, &mut sink);
            assembly = Some(check::check(&raw, context, &mut sink));
        }
        source = decoded.text.into_owned();
    }
    Outcome {
        assembly: assembly.filter(|_| !sink.has_errors()),
        report: Report { file_name: file_name.to_owned(), source, diagnostics: sink.into_sorted() },
    }
}
