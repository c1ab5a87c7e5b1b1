//! What the generator has to know of the drivers' own crates. Whether it fits is the manifest reader's to say, who can
//! show the line.

use std::collections::{BTreeMap, BTreeSet};

use driver_manifest::{Assembly, CrateSource, Kind, PackageFacts};
use toml_edit::{DocumentMut, Item};

use crate::layout::CRATES;

/// The manifests of the drivers' crates that lie in the tree, by driver: path relative to the root.
#[must_use]
pub fn package_manifests(assembly: &Assembly) -> BTreeMap<String, String> {
    let mut paths = BTreeMap::new();
    for driver in &assembly.drivers {
        let directory = match &driver.kind {
            Kind::InTree { package } | Kind::Process { package, .. } => format!("{CRATES}/{package}"),
            Kind::Crate { source: CrateSource::Path(path), .. } => {
                path.strip_prefix("./").unwrap_or(path).trim_end_matches('/').to_owned()
            }
            Kind::Crate { .. } | Kind::Socket { .. } => continue,
        };
        paths.insert(driver.name.clone(), format!("{directory}/Cargo.toml"));
    }
    paths
}

/// The name of the package that a `Cargo.toml` is of, and what a driver's crate says there. `None` when the text is
/// no package's.
#[must_use]
pub fn package_facts(text: &str) -> Option<(String, PackageFacts)> {
    let document: DocumentMut = text.parse().ok()?;
    let package = document.get("package")?;
    let metadata = package.get("metadata").and_then(|metadata| metadata.get("openshell-driver"));
    let driver_api =
        metadata.and_then(|metadata| metadata.get("api")).and_then(Item::as_str).map(str::to_owned);
    Some((
        package.get("name")?.as_str()?.to_owned(),
        PackageFacts { driver_api, features: Some(features(&document)) },
    ))
}

/// The features of a package, with those that its optional dependencies make.
fn features(document: &DocumentMut) -> BTreeSet<String> {
    let keys = |key: &str| document.get(key).and_then(Item::as_table_like);
    let mut features: BTreeSet<String> = keys("features")
        .into_iter()
        .flat_map(|table| table.iter())
        .map(|(name, _)| name.to_owned())
        .collect();
    let dependencies = keys("dependencies").into_iter().flat_map(|table| table.iter());
    features.extend(dependencies.filter(|(_, item)| is_optional(item)).map(|(name, _)| name.to_owned()));
    features
}

fn is_optional(item: &Item) -> bool {
    item.get("optional").and_then(Item::as_bool) == Some(true)
}

/// The part of a driver's `Cargo.toml` that the generator reads, as a text to hash. Only lines are looked at, so
/// that it costs nothing; a manifest that writes its metadata in another way is taken whole.
#[must_use]
pub fn metadata_projection(text: &str) -> &str {
    const HEADER: &str = "[package.metadata.openshell-driver]";
    let Some(start) = text.find(HEADER).filter(|start| *start == 0 || text[..*start].ends_with('\n')) else {
        return text;
    };
    let rest = &text[start + HEADER.len()..];
    let end = rest.find("\n[").map_or(text.len(), |end| start + HEADER.len() + end);
    text[start..end].trim_end()
}

#[cfg(test)]
mod tests {
    use driver_manifest::DRIVER_API;

    use super::{metadata_projection, package_facts};

    #[test]
    fn the_driver_api_is_the_contract_crates() {
        let contract = include_str!("../../openshell-driver-api/src/lib.rs");
        assert!(contract.contains(&format!("pub const API_VERSION: &str = \"{DRIVER_API}\";")));
    }

    #[test]
    fn only_the_metadata_counts() {
        let text = "[package]\nname = \"x\"\n\n[package.metadata.openshell-driver]\napi = \"1\"\n\n[lints]\nworkspace = true\n";
        assert_eq!(metadata_projection(text), "[package.metadata.openshell-driver]\napi = \"1\"");
        let dotted = "[package]\nmetadata.openshell-driver.api = \"1\"\n";
        assert_eq!(metadata_projection(dotted), dotted);
        for text in [text, dotted.replace("[package]", "[package]\nname = \"x\"").as_str()] {
            let (name, facts) = package_facts(text).unwrap();
            assert_eq!((name.as_str(), facts.driver_api.as_deref()), ("x", Some("1")));
        }
    }
}
