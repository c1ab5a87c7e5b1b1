//! The verdict on a build before it is put into its place.

use std::path::Path;

use driver_verify::Answer;

use super::place::Staged;
use super::record::Record;
use crate::error::{Error, Result};
use crate::verify::{Verifier, colour};
use crate::workspace::Workspace;

/// Judges what was built, and lays the statements beside it.
pub(super) fn verify(
    workspace: &Workspace,
    verifier: &mut Verifier<'_>,
    record: &Record,
    staged: &Staged,
    folder: &Path,
) -> Result<()> {
    let verified = verifier.folder(record, staged.path(), folder)?;
    for one in &verified {
        if one.answer != Answer::Clean {
            eprint!(
                "{}",
                one.verdict
                    .as_ref()
                    .map(|verdict| verdict.table(colour(&std::io::stderr())))
                    .unwrap_or_default()
            );
            return Err(Error::Unverified {
                message: format!("`{}` was built and is not clean: {}", one.file, one.answer.word()),
                hint: format!(
                    "`{}` stays as it was; --no-verify builds without a verdict",
                    workspace.show(folder)
                ),
                code: one.answer.exit_code(),
            });
        }
        let (name, text) = &one.statement;
        staged.write(name, text.as_bytes())?;
        eprintln!("verified: `{}` is {}", one.file, one.answer.word());
    }
    Ok(())
}
