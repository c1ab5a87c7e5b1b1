//! A driver from elsewhere compiled in, and the same once more in another directory: the bytes have to be the same. What is
//! built lies in a directory of its own and goes with it; this tree is not touched.

use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};

use super::{Ci, Outcome};
use crate::error::{Error, Result};
use crate::workspace::spawn;

/// The driver, for as long as it takes.
const DRIVER: &str = "ci-again";
/// What a copy of the tree is without.
const LEFT_OUT: [&str; 2] = ["target", ".git"];

/// Builds twice.
pub(super) fn same_bytes(ci: &Ci) -> Result<Outcome> {
    let home = tempfile::tempdir().map_err(Error::file("create a folder in", &std::env::temp_dir()))?;
    let at = |name: &str| home.path().join(name);
    let (driver, tree, elsewhere) = (at("driver"), at("tree"), at("a/little/deeper"));
    copy(ci.workspace.root(), &tree)?;
    xtask(ci, &tree, &["new-driver", DRIVER, "--out-of-tree", &text(&driver)])?;
    let with = format!("{DRIVER}={}", text(&driver));
    let built = xtask(ci, &tree, &["build", "--drivers", "external", "--with", &with, "--profile", "dev"])?;
    let built = tree.join(built.trim());
    copy(&tree, &elsewhere)?;
    let moved = at("moved");
    fs::rename(&driver, &moved).map_err(Error::file("rename", &driver))?;
    let with = format!("{DRIVER}={}", text(&moved));
    // It compares the bytes itself, and fails where they are others.
    xtask(ci, &elsewhere, &["build", "--from", &text(&built), "--with", &with])?;
    Ok(Outcome::Noted("two directories, the same bytes".to_owned()))
}

fn text(path: &Path) -> String {
    path.display().to_string()
}

/// This program in another tree; what it prints.
fn xtask(ci: &Ci, tree: &Path, args: &[&str]) -> Result<String> {
    let line = format!("cargo xtask {}", args.join(" "));
    println!("{line}");
    let mut command = Command::new(&ci.xtask);
    command
        .args(args)
        .current_dir(tree)
        .env_remove("CARGO_TARGET_DIR")
        .stdin(Stdio::null())
        .stderr(Stdio::inherit());
    let output = command.output().map_err(spawn("xtask"))?;
    if output.status.success() {
        return Ok(String::from_utf8_lossy(&output.stdout).into_owned());
    }
    Err(Error::Cargo { line, code: crate::workspace::code(output.status) })
}

fn copy(from: &Path, to: &Path) -> Result<()> {
    fs::create_dir_all(to).map_err(Error::file("create", to))?;
    for entry in fs::read_dir(from).map_err(Error::file("read", from))? {
        let entry = entry.map_err(Error::file("read", from))?;
        let (path, name) = (entry.path(), entry.file_name());
        if LEFT_OUT.iter().any(|left_out| name == *left_out) {
            continue;
        }
        let kind = entry.file_type().map_err(Error::file("read", &path))?;
        if kind.is_dir() {
            copy(&path, &to.join(name))?;
        } else if kind.is_file() {
            fs::copy(&path, to.join(name)).map_err(Error::file("copy", &path))?;
        }
    }
    Ok(())
}
