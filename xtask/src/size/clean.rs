//! A clean build, timed: every file of a selection, one cargo call each, into a target directory that is empty at the start
//! and gone afterwards. What is measured is the wall clock; crates are downloaded before.

use std::process::Stdio;
use std::time::Instant;

use crate::build::{CargoLine, read_messages};
use crate::error::{Error, Result};
use crate::workspace::{Workspace, code, line, spawn};

/// What a clean build came to.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Clean {
    /// Of all its files.
    pub(super) bytes: u64,
    /// From the first call of cargo to the end of the last.
    pub(super) seconds: f64,
}

/// Downloads whatever Cargo.lock names, so that no build waits for the network.
pub(super) fn fetch(workspace: &Workspace) -> Result<()> {
    let args = ["fetch", "--locked", "--quiet"];
    let status = workspace.cargo(args).stdout(Stdio::null()).status().map_err(spawn("cargo"))?;
    if status.success() { Ok(()) } else { Err(Error::Cargo { line: line(&args), code: code(status) }) }
}

/// Builds these files.
pub(super) fn build(workspace: &Workspace, lines: &[CargoLine]) -> Result<Clean> {
    let target = workspace.target_dir();
    std::fs::create_dir_all(&target).map_err(Error::file("create", &target))?;
    let dir = tempfile::Builder::new()
        .prefix("clean-")
        .tempdir_in(&target)
        .map_err(Error::file("create a directory in", &target))?;
    let started = Instant::now();
    let mut executables = Vec::new();
    for line in lines {
        let mut args = line.args("build");
        args.extend(["--target-dir".to_owned(), dir.path().to_string_lossy().into_owned()]);
        // A wrapper that keeps what was compiled would make nothing of the word clean.
        args.extend(["--config".to_owned(), "build.rustc-wrapper=''".to_owned()]);
        executables.push(read_messages(workspace, &args, &line.shell(), line.bin())?.executable);
    }
    let seconds = started.elapsed().as_secs_f64();
    let mut bytes = 0;
    for path in &executables {
        bytes += std::fs::metadata(path).map_err(Error::file("read", path))?.len();
    }
    Ok(Clean { bytes, seconds })
}
