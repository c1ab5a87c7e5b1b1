//! How a failure of the engine is shown: its own layer, the causes, a hint where there is one.

use std::error::Error as _;
use std::io::ErrorKind;
use std::process::ExitCode;

use driver_codegen::COMMAND;
use driver_codegen::engine::EngineError;

/// Prints a failure to standard error.
pub(crate) fn fail(error: &EngineError) -> ExitCode {
    eprintln!("error: {error}");
    let mut source = error.source();
    while let Some(cause) = source {
        eprintln!("  because: {cause}");
        source = cause.source();
    }
    if let Some(hint) = hint(error) {
        eprintln!("hint: {hint}");
    }
    ExitCode::FAILURE
}

fn hint(error: &EngineError) -> Option<String> {
    match error {
        EngineError::Busy => Some("wait for it to end".to_owned()),
        EngineError::Symlink(path) => Some(format!("rm {} && {COMMAND}", path.display())),
        EngineError::RolledBack { source, .. } => match source.downcast_ref::<std::io::Error>()?.kind() {
            ErrorKind::StorageFull | ErrorKind::QuotaExceeded => {
                Some(format!("free some space, then {COMMAND}"))
            }
            ErrorKind::ReadOnlyFilesystem | ErrorKind::PermissionDenied => {
                Some(format!("make the tree writable, then {COMMAND}; {COMMAND} --check writes nothing"))
            }
            _ => None,
        },
        _ => None,
    }
}
