//! One pull of an image by this engine; who waits for it is the common crate's affair.

use std::collections::BTreeSet;

use openshell_driver_api::ErrorKind;
use openshell_driver_common::container::credentials::Accounts;
use openshell_driver_common::container::image::place;
use openshell_driver_common::container::pull::{Fault, Program, Refusal, Tell};

use super::auth;
use crate::engine::{Engine, STALL};
use crate::error::Failure;

const PROGRAM: Program = Program { name: "podman", certificates: "/etc/containers/certs.d" };

/// How far a pull is. A service says which parts it has begun, and neither how large they are nor how far they have come.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct Progress {
    /// How many layers have been begun.
    pub(crate) layers: usize,
    /// What the service said last.
    pub(crate) step: String,
}

/// The lines of a pull, added up.
#[derive(Debug, Default)]
struct Lines {
    /// The layers by their digests: the same one may be spoken of several times.
    layers: BTreeSet<String>,
}

impl Lines {
    /// Takes a line in; `None` when it is empty.
    ///
    /// Source of the words: `copy/` of `containers/image`.
    fn take(&mut self, line: &str) -> Option<Progress> {
        let step = line.trim();
        if let Some(digest) = step.strip_prefix("Copying blob ").and_then(|rest| rest.split(' ').next()) {
            self.layers.insert(digest.to_owned());
        }
        (!step.is_empty()).then(|| Progress { layers: self.layers.len(), step: step.to_owned() })
    }
}

/// Pulls an image and tells how far it is.
pub(super) async fn pull(
    engine: Engine,
    accounts: Accounts,
    reference: String,
    check_tls: bool,
    tell: Tell<Progress>,
) -> Result<(), Fault> {
    let reference = reference.as_str();
    let (registry, _) = place(reference);
    let access = accounts.of(reference).await.map_err(|problem| {
        let message = format!("cannot pull `{reference}`: {}", problem.message);
        Fault { kind: ErrorKind::FailedPrecondition, message, hint: problem.hint }
    })?;
    let refusal = |words: &str, status, engine| {
        Fault::of(PROGRAM, reference, registry, &access.told(), Refusal { status, words, engine })
    };
    let failed = |failure: Failure| match (failure.status(), failure.kind()) {
        (None, ErrorKind::DeadlineExceeded) => Fault::stalled(reference, registry, STALL),
        (None, kind) => refusal(&failure.message(), None, Some(kind)),
        (status, _) => refusal(&failure.message(), status, None),
    };
    let credentials = auth::header(reference, &access)?;
    let mut pull = engine.pull(reference, credentials, check_tls).await.map_err(failed)?;
    let (mut lines, mut done) = (Lines::default(), false);
    while let Some(line) = pull.next().await.map_err(failed)? {
        if !line.error.is_empty() {
            return Err(refusal(&format!("the engine says: {}", line.error.trim()), None, None));
        }
        done |= !line.id.is_empty();
        if let Some(progress) = lines.take(&line.stream) {
            tell.progress(progress);
        }
    }
    // A service that ends in the middle closes its answer as one that is done.
    if done {
        Ok(())
    } else {
        Err(refusal("the engine broke the pull off", None, Some(ErrorKind::Unavailable)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_add_up() {
        let mut lines = Lines::default();
        for (line, layers, step) in [
            ("Trying to pull 127.0.0.1:5/a:1...\n", 0, "Trying to pull 127.0.0.1:5/a:1..."),
            ("Copying blob sha256:aa\n", 1, "Copying blob sha256:aa"),
            ("Copying blob sha256:bb\n", 2, "Copying blob sha256:bb"),
            (
                "Copying blob sha256:aa skipped: already exists \n",
                2,
                "Copying blob sha256:aa skipped: already exists",
            ),
            ("Storing signatures\n", 2, "Storing signatures"),
        ] {
            assert_eq!(lines.take(line), Some(Progress { layers, step: step.to_owned() }));
        }
        assert_eq!(lines.take("\n"), None);
    }
}
