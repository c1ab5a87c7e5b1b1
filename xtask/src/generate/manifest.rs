//! Reads `drivers.toml` with what the workspace knows of the packages that it names.

use std::collections::BTreeMap;
use std::fs;
use std::io::IsTerminal;

use driver_codegen::engine::Tree;
use driver_codegen::{MANIFEST, package_facts, package_manifests};
use driver_manifest::{Assembly, Context, DRIVER_API, PackageFacts, Style, read as read_manifest};

use super::inputs::input_digest;
use crate::error::{Error, Result};
use crate::overlay;
use crate::selection;
use crate::workspace::Workspace;

/// A manifest without a fault.
pub(crate) struct Manifest {
    /// What it says.
    pub(crate) assembly: Assembly,
    /// Digests of what was read, by path.
    pub(crate) inputs: BTreeMap<String, String>,
}

/// Reads the manifest; `None` when it has faults, which have been printed, all of them.
pub(crate) fn read(workspace: &Workspace, tree: &Tree) -> Result<Option<Manifest>> {
    let bytes = workspace.manifest()?;
    let Some(assembly) = checked(tree, &bytes, BTreeMap::new())? else { return Ok(None) };
    let mut inputs = BTreeMap::from([(MANIFEST.to_owned(), input_digest(MANIFEST, &bytes))]);
    for path in package_manifests(&assembly).into_values() {
        if let Ok(text) = fs::read(tree.root().join(&path)) {
            let digest = input_digest(&path, &text);
            inputs.insert(path, digest);
        }
    }
    Ok(Some(Manifest { assembly, inputs }))
}

/// What a text says that may not be on the disk yet, in a workspace to which packages are `planned`; `None` when it has
/// faults, which have been printed, all of them.
pub(crate) fn checked(
    tree: &Tree,
    bytes: &[u8],
    planned: BTreeMap<String, PackageFacts>,
) -> Result<Option<Assembly>> {
    let mut known = packages(tree);
    known.extend(planned);
    let mut context = Context { packages: Some(known), ..Context::default() };
    let mut outcome = read_manifest(MANIFEST, bytes, &context);
    // A crate outside of the workspace is known only once the manifest has said where it is.
    if let Some(assembly) = &outcome.assembly {
        context.foreign = foreign(tree, assembly, &context)?;
        if !context.foreign.is_empty() {
            outcome = read_manifest(MANIFEST, bytes, &context);
        }
    }
    if !outcome.report.is_empty() {
        eprint!("{}", outcome.report.render(style()));
        eprint!("{}", selection::summary(&outcome.report));
    }
    Ok(outcome.assembly)
}

/// Colours where a person reads standard error.
pub(crate) fn style() -> Style {
    let plain = std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
    if plain || !std::io::stderr().is_terminal() { Style::Plain } else { Style::Coloured }
}

/// The packages of the workspace: a directory below `crates` each.
pub(crate) fn packages(tree: &Tree) -> BTreeMap<String, PackageFacts> {
    let names = tree.names("crates").unwrap_or_default();
    let directories = names.into_iter().filter(|(_, is_directory)| *is_directory);
    directories.filter_map(|(name, _)| facts(tree, &format!("crates/{name}/Cargo.toml"))).collect()
}

/// The crates of drivers that lie outside of the workspace's packages.
fn foreign(tree: &Tree, assembly: &Assembly, context: &Context) -> Result<BTreeMap<String, PackageFacts>> {
    let mut found = BTreeMap::new();
    for (driver, path) in package_manifests(assembly) {
        let package = assembly.driver(&driver).and_then(|driver| driver.package()).unwrap_or_default();
        if context.packages.as_ref().is_some_and(|packages| packages.contains_key(package)) {
            continue;
        }
        let (name, facts) = facts(tree, &path).ok_or_else(|| {
            let message = format!("driver `{driver}`: there is no package at `{path}`");
            Error::refused(
                message,
                format!("`path` in {MANIFEST} names the directory of the crate's Cargo.toml"),
            )
        })?;
        if name != package {
            let message = format!("driver `{driver}`: `{path}` is the package `{name}`, not `{package}`");
            return Err(Error::refused(message, format!("package = \"{name}\"")));
        }
        if facts.driver_api.as_deref() == Some(DRIVER_API) {
            let mut files = overlay::Tree::new();
            let directory = tree.root().join(path.trim_end_matches("Cargo.toml"));
            overlay::read_into(&mut files, &directory, "")?;
            overlay::holds_registration(&name, &files)?;
        }
        found.insert(name, facts);
    }
    Ok(found)
}

fn facts(tree: &Tree, path: &str) -> Option<(String, PackageFacts)> {
    package_facts(&fs::read_to_string(tree.root().join(path)).ok()?)
}
