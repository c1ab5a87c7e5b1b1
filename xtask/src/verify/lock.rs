//! Cargo.lock: the crates that there are. The judge asks for them, because the absence of a crate whose name is misspelt
//! proves nothing.

use driver_verify::PackageName;
use serde::Deserialize;

use crate::error::{Error, Result};
use crate::workspace::Workspace;

/// The file, in the root.
pub(super) const LOCK: &str = "Cargo.lock";

#[derive(Deserialize)]
struct File {
    package: Vec<Package>,
}

#[derive(Deserialize)]
struct Package {
    name: String,
    version: String,
}

/// Reads it.
pub(crate) fn load(workspace: &Workspace) -> Result<Vec<PackageName>> {
    parse(&workspace.read(LOCK)?)
}

fn parse(text: &str) -> Result<Vec<PackageName>> {
    let file: File = toml::from_str(text).map_err(|error| Error::output(LOCK, error))?;
    Ok(file.package.into_iter().map(|Package { name, version }| PackageName { name, version }).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_version_of_a_crate_is_known() {
        let text = "version = 4\n[[package]]\nname = \"a\"\nversion = \"0.21.0\"\n\
                    [[package]]\nname = \"a\"\nversion = \"0.20.0\"\ndependencies = [\"b\"]\n";
        let known = parse(text).unwrap();
        let known: Vec<_> = known.iter().map(|package| (package.name.as_str(), &*package.version)).collect();
        assert_eq!(known, [("a", "0.21.0"), ("a", "0.20.0")]);
        assert!(parse("version = 4\n").is_err());
    }
}
