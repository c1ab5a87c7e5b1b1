//! What makes the bytes of a build the same wherever it is made: no path of this machine is kept. Cargo gives a crate the same
//! hash in any directory below a workspace's root; what is left are the places that panics, debug information and C's
//! `__FILE__` speak of, and those are cut where a directory begins that differs between machines.

use std::ffi::OsString;
use std::path::Path;
use std::process::{Command, Stdio};

use crate::error::{Error, Result};
use crate::workspace::{Workspace, cargo_home, rustc_program, spawn};

/// What stands for the workspace's root.
const ROOT: &str = "/openshell";
/// What stands for the directory that cargo builds in.
const TARGET: &str = "/openshell/target";
/// What stands for cargo's home, where the sources of a registry lie.
const CARGO_HOME: &str = "/cargo";
/// What stands for the compiler's own directory.
const SYSROOT: &str = "/rust";

/// The variables of cargo's calls for a workspace that is built into a directory.
pub(crate) fn environment(
    workspace: &Workspace,
    root: &Path,
    target_dir: &Path,
) -> Result<Vec<(String, OsString)>> {
    let sysroot = ask(workspace, &["--print", "sysroot"])?;
    let sysroot = Path::new(sysroot.trim());
    let version = ask(workspace, &["-vV"])?;
    let commit = version.lines().find_map(|line| line.strip_prefix("commit-hash: ")).unwrap_or("unknown");
    let std_sources = sysroot.join("lib/rustlib/src/rust");
    let mut cut = vec![(sysroot, SYSROOT.to_owned())];
    // Where the sources of the standard library are installed, the compiler names them instead of where they came from.
    cut.push((&std_sources, format!("/rustc/{commit}")));
    let home = cargo_home();
    cut.extend(home.as_deref().map(|home| (home, CARGO_HOME.to_owned())));
    // The last that fits is taken, so the inner one comes last.
    cut.extend([(root, ROOT.to_owned()), (target_dir, TARGET.to_owned())]);
    let cut = cut.into_iter().map(|(from, to)| {
        let from = from.to_str().ok_or_else(|| {
            let message = format!("`{}` is not UTF-8, so it cannot be kept out of a build", from.display());
            Error::refused(message, "build in a directory whose path is")
        })?;
        Ok((from.to_owned(), to))
    });
    let cut = cut.collect::<Result<Vec<(String, String)>>>()?;
    let rust: Vec<String> = cut.iter().map(|(from, to)| format!("--remap-path-prefix={from}={to}")).collect();
    let mut variables = vec![
        ("CARGO_ENCODED_RUSTFLAGS".to_owned(), rust.join("\x1f").into()),
        // What is left of an earlier build has no say in this one.
        ("CARGO_INCREMENTAL".to_owned(), "0".into()),
    ];
    if cfg!(unix) && cut.iter().all(|(from, _)| !from.contains(char::is_whitespace)) {
        let c: Vec<String> = cut.iter().map(|(from, to)| format!("-ffile-prefix-map={from}={to}")).collect();
        variables.extend(["CFLAGS", "CXXFLAGS"].map(|name| (name.to_owned(), c.join(" ").into())));
    }
    Ok(variables)
}

fn ask(workspace: &Workspace, args: &[&str]) -> Result<String> {
    let output = Command::new(rustc_program())
        .args(args)
        .current_dir(workspace.root())
        .stdin(Stdio::null())
        .output()
        .map_err(spawn("rustc"))?;
    if !output.status.success() {
        return Err(Error::output("rustc", String::from_utf8_lossy(&output.stderr).trim_end().to_owned()));
    }
    String::from_utf8(output.stdout).map_err(|error| Error::output("rustc", error))
}
