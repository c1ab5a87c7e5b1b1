//! The overlay's Cargo.lock: begun with the workspace's, so that a crate which both need has the version that is tested here,
//! and completed with what the drivers from elsewhere bring.

use std::fs;
use std::path::Path;

use driver_manifest::Assembly;
use sha2::{Digest, Sha256};

use super::tree::Tree;
use crate::build::hex;
use crate::error::{Error, Result};
use crate::generate::cargo_lock;
use crate::workspace::Workspace;

/// The file, in the root.
const LOCK: &str = "Cargo.lock";
/// What it was made of, beside cargo's results.
const MADE_OF: &str = "target/lock.sha256";

/// Writes it where it is not there or was made of something else. `seed` is what it begins with; cargo is asked with the
/// network only where that does not do, and may be.
pub(super) fn write(
    workspace: &Workspace,
    tree: &Tree,
    seed: &str,
    assembly: &Assembly,
    offline: bool,
) -> Result<()> {
    let root = workspace.root();
    let made_of = made_of(tree, seed);
    let mark = root.join(MADE_OF);
    let holds = root.join(LOCK).is_file() && fs::read_to_string(&mark).is_ok_and(|before| before == made_of);
    if holds {
        return Ok(());
    }
    let lock = root.join(LOCK);
    fs::write(&lock, seed).map_err(Error::file("write", &lock))?;
    let completed = cargo_lock::complete(workspace, true).or_else(|cause| match offline {
        true => Err(cause),
        // What this machine has not fetched yet.
        false => cargo_lock::complete(workspace, false),
    });
    let completed = completed.and_then(|()| cargo_lock::misfits(workspace, assembly, offline));
    if let Err(cause) = completed {
        let _gone = fs::remove_file(&lock);
        let message = format!(
            "the drivers from elsewhere do not fit this workspace: {}",
            first_lines(&cause.to_string())
        );
        return Err(Error::refused(
            message,
            format!("cargo tree --manifest-path {}", show(&root.join("Cargo.toml"))),
        ));
    }
    let directory = mark.parent().unwrap_or(root);
    fs::create_dir_all(directory).map_err(Error::file("create", directory))?;
    fs::write(&mark, made_of).map_err(Error::file("write", &mark))
}

/// The hash of what cargo resolves from.
fn made_of(tree: &Tree, seed: &str) -> String {
    let mut hasher = Sha256::new().chain_update(seed);
    for (path, bytes) in tree.iter().filter(|(path, _)| path.ends_with("Cargo.toml")) {
        hasher.update(path);
        hasher.update((bytes.len() as u64).to_le_bytes());
        hasher.update(bytes);
    }
    hex(&hasher.finalize())
}

/// What cargo says, as one line: what is wrong and what it was required by, without its advice.
fn first_lines(text: &str) -> String {
    let lines = text.lines().map(str::trim).filter(|line| !line.is_empty());
    let lines = lines.take_while(|line| !line.starts_with("As a reminder"));
    lines.take(4).collect::<Vec<_>>().join(" ").replace("cargo says: error: ", "cargo says: ")
}

fn show(path: &Path) -> String {
    path.display().to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_cargo_says_is_one_line() {
        let said = "cargo says: error: no matching package named `x` found\nlocation searched: crates.io index\n\
                    required by package `p v0.1.0`\nAs a reminder, you're using offline mode\n";
        assert_eq!(
            first_lines(said),
            "cargo says: no matching package named `x` found location searched: crates.io index required by package `p v0.1.0`"
        );
    }
}
