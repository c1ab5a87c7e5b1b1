//! What follows from new dependencies: Cargo.lock, and whether a crate that only cargo can find is a driver that fits.

use std::process::Stdio;

use cargo_metadata::Metadata;
use driver_manifest::{Assembly, CrateSource, DRIVER_API, Driver, Kind};

use crate::workspace::{GATEWAY_PACKAGE, Workspace};

/// Where it is; a swap that fails puts it back with the generated files.
pub(crate) const PATH: &str = "Cargo.lock";

pub(crate) type Cause = Box<dyn std::error::Error + Send + Sync>;

/// Brings Cargo.lock to the dependencies that were just written, offline.
pub(crate) fn refresh(workspace: &Workspace, assembly: &Assembly) -> Result<(), Cause> {
    complete(workspace, true)?;
    misfits(workspace, assembly, true)
}

/// Adds to Cargo.lock what the members need and it does not have, and changes nothing else in it.
pub(crate) fn complete(workspace: &Workspace, offline: bool) -> Result<(), Cause> {
    // `update` is the one call that works offline whatever this machine has fetched.
    let args = ["update", "--workspace", "--quiet"];
    let args = args.into_iter().chain(offline.then_some("--offline"));
    cargo(workspace, &args.collect::<Vec<_>>()).map(drop)
}

/// Whether the crates that only cargo can find are drivers that fit.
pub(crate) fn misfits(workspace: &Workspace, assembly: &Assembly, offline: bool) -> Result<(), Cause> {
    let fetched: Vec<&Driver> = assembly.drivers.iter().filter(|driver| is_fetched(driver)).collect();
    if fetched.is_empty() {
        return Ok(());
    }
    // A driver that is not in the default features is in nobody's graph without its own.
    let features: Vec<String> =
        fetched.iter().map(|driver| format!("{GATEWAY_PACKAGE}/{}", driver.feature())).collect();
    let features = features.join(",");
    let args = ["metadata", "--format-version", "1", "--locked", "--features", &features];
    let args = args.into_iter().chain(offline.then_some("--offline"));
    let text = cargo(workspace, &args.collect::<Vec<_>>())?;
    let metadata: Metadata = serde_json::from_slice(&text)?;
    let misfits: Vec<String> = fetched.into_iter().filter_map(|driver| misfit(driver, &metadata)).collect();
    if misfits.is_empty() { Ok(()) } else { Err(misfits.join("; ").into()) }
}

fn cargo(workspace: &Workspace, args: &[&str]) -> Result<Vec<u8>, Cause> {
    let output = workspace.cargo(args).stdin(Stdio::null()).output()?;
    if output.status.success() {
        return Ok(output.stdout);
    }
    Err(format!("cargo says: {}", String::from_utf8_lossy(&output.stderr).trim_end()).into())
}

/// A crate that is in no directory of ours: its metadata is known once cargo has resolved it.
pub(crate) fn is_fetched(driver: &Driver) -> bool {
    matches!(&driver.kind, Kind::Crate { source: CrateSource::Registry(_) | CrateSource::Git { .. }, .. })
}

fn misfit(driver: &Driver, metadata: &Metadata) -> Option<String> {
    let name = driver.package()?;
    let package = metadata.packages.iter().find(|package| package.name.as_str() == name)?;
    let api = package.metadata["openshell-driver"]["api"].as_str();
    match api {
        Some(DRIVER_API) => None,
        Some(api) => Some(format!(
            "driver `{}`: `{name}` {} is written for driver API `{api}`, this workspace has `{DRIVER_API}`",
            driver.name, package.version
        )),
        None => Some(format!(
            "driver `{}`: `{name}` {} says nothing under `[package.metadata.openshell-driver]`: it is no driver",
            driver.name, package.version
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn driver() -> Driver {
        let manifest = "[[driver]]\nname = \"d\"\nsummary = \"s\"\nkind = \"crate\"\npackage = \"theirs\"\nversion = \"1\"\n\
                        [[driver]]\nname = \"external\"\nsummary = \"s\"\nkind = \"socket\"\n";
        let outcome =
            driver_manifest::read("drivers.toml", manifest.as_bytes(), &driver_manifest::Context::default());
        outcome.into_result().expect("a manifest without a fault").drivers.remove(0)
    }

    fn metadata(of_theirs: &str) -> Metadata {
        let text = format!(
            r#"{{"packages":[{{"name":"theirs","version":"1.2.3","id":"theirs","dependencies":[],"targets":[],"features":{{}},
            "manifest_path":"/x","metadata":{of_theirs}}}],"workspace_members":[],"resolve":null,"workspace_root":"/",
            "target_directory":"/t","version":1}}"#
        );
        serde_json::from_str(&text).expect("metadata")
    }

    #[test]
    fn a_fetched_crate_has_to_fit() {
        assert!(is_fetched(&driver()));
        let misfit = |text: &str| misfit(&driver(), &metadata(text));
        assert_eq!(misfit(r#"{"openshell-driver":{"api":"1"}}"#), None);
        assert!(
            misfit(r#"{"openshell-driver":{"api":"2"}}"#).is_some_and(|text| text.contains("driver API `2`"))
        );
        assert!(misfit("null").is_some_and(|text| text.contains("it is no driver")));
    }
}
