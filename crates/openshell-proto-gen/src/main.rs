//! `openshell-proto-gen PROTO_DIR OUT_DIR`: writes the bindings of the protos of one directory into another.
//!
//! `cargo xtask gen` runs it and compares; nobody else needs to.

use std::path::{Path, PathBuf};
use std::process::ExitCode;

fn main() -> ExitCode {
    let arguments: Vec<PathBuf> = std::env::args_os().skip(1).map(PathBuf::from).collect();
    let [protos, out] = arguments.as_slice() else {
        eprintln!("usage: openshell-proto-gen PROTO_DIR OUT_DIR");
        return ExitCode::from(2);
    };
    match run(protos, out) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprint!("error: {error}");
            let mut cause = error.source();
            while let Some(inner) = cause {
                eprint!(": {inner}");
                cause = inner.source();
            }
            eprintln!();
            ExitCode::FAILURE
        }
    }
}

fn run(protos: &Path, out: &Path) -> Result<(), Box<dyn std::error::Error>> {
    // All of it is computed before the first byte is written.
    for binding in openshell_proto_gen::bindings(&openshell_proto_gen::compile(protos)?)? {
        let path = out.join(&binding.path);
        let parent = path.parent().unwrap_or(out);
        std::fs::create_dir_all(parent)
            .map_err(|error| format!("cannot make `{}`: {error}", parent.display()))?;
        std::fs::write(&path, &binding.text)
            .map_err(|error| format!("cannot write `{}`: {error}", path.display()))?;
    }
    Ok(())
}
