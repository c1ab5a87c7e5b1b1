//! Crates that several selections share have the same features in each of them: otherwise a change of selection
//! compiles the crate, and all of ours above it, again. `openshell-runtime` pins the union.
//!
//! Selections of the gateway, that is. A standalone program is no selection: it does without the runtime, where the union
//! is pinned, and pinning the gateway's features in it as well would bring it crates that it has no use for. What it
//! costs is a compile of its own, once.

use std::collections::{BTreeMap, BTreeSet};

use driver_manifest::{Assembly, Selection};

use super::Violation;
use crate::error::Result;
use crate::selection;
use crate::workspace::{GATEWAY_PACKAGE, Workspace};

const FEATURES: &str = "one set of features for every selection";
/// Where the union is pinned.
const PIN: &str = "crates/openshell-runtime/Cargo.toml";

/// `(name, version)` to its sets of features: one for the target, perhaps another where it runs on the host.
pub(super) type Resolved = BTreeMap<(String, String), BTreeSet<Features>>;
type Features = BTreeSet<String>;

/// What `cargo tree` resolves for the gateway of a selection.
pub(super) fn resolved(workspace: &Workspace, selection: &Selection) -> Result<Resolved> {
    tree(workspace, selection, "normal,build")
}

fn tree(workspace: &Workspace, selection: &Selection, edges: &str) -> Result<Resolved> {
    let features = selection.features().join(",");
    let args = [
        "tree",
        "-p",
        GATEWAY_PACKAGE,
        "-e",
        edges,
        "--no-default-features",
        "--features",
        &features,
        "--prefix",
        "none",
        "--no-dedupe",
        "--format",
        "{p}|{f}",
        "--locked",
    ];
    Ok(parse(&workspace.cargo_output(&args)?))
}

/// Lines of `name vVERSION (path or macro)|features`.
fn parse(text: &str) -> Resolved {
    let mut resolved = Resolved::new();
    for line in text.lines() {
        let Some((package, features)) = line.split_once('|') else { continue };
        let mut words = package.split(' ');
        let (Some(name), Some(version)) = (words.next(), words.next()) else { continue };
        let features = features.trim_end_matches(" (*)").split(',').filter(|feature| !feature.is_empty());
        let package = (name.to_owned(), version.trim_start_matches('v').to_owned());
        resolved.entry(package).or_default().insert(features.map(ToOwned::to_owned).collect());
    }
    resolved
}

/// Compares every selection of drivers, options at their defaults: an option may cost a rebuild.
pub(super) fn check(workspace: &Workspace, assembly: &Assembly) -> Result<Vec<Violation>> {
    let mut resolved_by = Vec::new();
    for selection in selection::subsets(assembly)? {
        resolved_by.push((selection.slug(), resolved(workspace, &selection)?));
    }
    let found = differences(&resolved_by);
    if found.is_empty() {
        return Ok(Vec::new());
    }
    // What only macros and build scripts need is compiled for the host, and pinned by a build-dependency: that decides
    // the host's features even in a package that has no build script.
    let target = tree(workspace, &selection::everything(assembly)?, "normal,no-proc-macro")?;
    Ok(found
        .into_iter()
        .map(|Difference { name, version, missing, without, with }| {
            let (table, from) = if target.contains_key(&(name.clone(), version.clone())) {
                ("dependencies", "workspace = true".to_owned())
            } else {
                ("build-dependencies", format!("version = \"{version}\", default-features = false"))
            };
            let missing = missing.into_iter().collect::<Vec<_>>();
            Violation::new(
                FEATURES,
                PIN,
                1,
                format!(
                    "`{name}` {version} has `{}` in selection `{with}`, not in `{without}`",
                    missing.join("`, `")
                ),
                format!("pin it under [{table}]: {name} = {{ {from}, features = {missing:?} }}"),
            )
        })
        .collect())
}

/// A crate that differs, with one example.
#[derive(Debug, PartialEq, Eq)]
struct Difference {
    name: String,
    version: String,
    missing: BTreeSet<String>,
    without: String,
    with: String,
}

/// What differs by design: the composition, and the crate whose feature `process` a process driver brings.
const DIFFER: [&str; 2] = [GATEWAY_PACKAGE, REMOTE];
/// Both halves of a driver's socket.
const REMOTE: &str = "openshell-driver-remote";

/// Every shared crate of which neither of two selections can use what the other compiled.
fn differences(selections: &[(String, Resolved)]) -> Vec<Difference> {
    let mut worst: BTreeMap<&(String, String), Difference> = BTreeMap::new();
    for (with, resolved) in selections {
        for (package, sets) in resolved.iter().filter(|((name, _), _)| !DIFFER.contains(&name.as_str())) {
            for (without, other) in selections {
                let Some(others) = other.get(package) else { continue };
                if sets.is_subset(others) || others.is_subset(sets) {
                    continue;
                }
                let missing = &flat(sets) - &flat(others);
                let known = worst.get(package).map_or(0, |difference| difference.missing.len());
                if missing.len() > known {
                    let (name, version) = package.clone();
                    let (without, with) = (without.clone(), with.clone());
                    worst.insert(package, Difference { name, version, missing, without, with });
                }
            }
        }
    }
    worst.into_values().collect()
}

fn flat(sets: &BTreeSet<Features>) -> Features {
    sets.iter().flatten().cloned().collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_shared_crate_with_other_features_is_found() {
        let a = parse("gateway v0.1.0 (/x)|a\nhyper v1.0.0|http1\nonly-a v1.0.0|x\n");
        let b = parse("gateway v0.1.0 (/x)|b\nhyper v1.0.0|http1,http2\nserde v1.0.0 (*)|\n");
        let found = differences(&[("a".to_owned(), a.clone()), ("b".to_owned(), b)]);
        let hyper = found.iter().find(|difference| difference.name == "hyper").unwrap();
        assert_eq!(hyper.missing, BTreeSet::from(["http2".to_owned()]));
        assert_eq!((hyper.without.as_str(), hyper.with.as_str()), ("a", "b"));
        assert!(!found.iter().any(|difference| difference.name == "only-a"), "not shared");
        assert_eq!(differences(&[("a".to_owned(), a.clone()), ("b".to_owned(), a)]), []);
    }
}
