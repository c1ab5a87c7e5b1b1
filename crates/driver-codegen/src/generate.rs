//! The manifest's model to everything that is made of it.

use driver_manifest::{Assembly, CrateSource, Driver, EXTERNAL, Kind};

use crate::artifact::ArtifactSet;
use crate::cargo_toml::{CargoEdit, Dependency, Enables, Feature, Program, Source};
use crate::layout::{PROGRAMS, REMOTE, SERVER, program};
use crate::lock::Lock;
use crate::{matrix, platform, rust, schema, tables};

/// Everything that follows from the manifest. `previous` is the committed lock, for the features of options that
/// are gone. The proto bindings come from elsewhere; the caller adds them.
#[must_use]
pub fn generate(assembly: &Assembly, previous: Option<&Lock>) -> ArtifactSet {
    let mut set = ArtifactSet::default();
    set.keys(format!("{SERVER}/Cargo.toml"), server_keys(assembly, previous));
    set.keys(format!("{PROGRAMS}/Cargo.toml"), program_keys(assembly, previous));
    set.whole(format!("{SERVER}/src/generated/mod.rs"), rust::server_catalog(assembly));
    set.whole(format!("{SERVER}/src/generated/arms.rs"), rust::server_arms(assembly));
    set.whole(format!("{PROGRAMS}/src/generated/mod.rs"), rust::program_catalog(assembly));
    for driver in programs(assembly) {
        set.whole(format!("{PROGRAMS}/{}", program_source(driver)), rust::program_main(assembly, driver));
    }
    set.region("README.md", "drivers", tables::readme_drivers(assembly));
    let docs = "docs/compute-runtimes.md";
    set.region(docs, "drivers", tables::drivers(assembly));
    set.region(docs, "detection", tables::detection(assembly));
    set.region(docs, "options", tables::options(assembly));
    set.region(docs, "presets", tables::presets(assembly));
    set.whole("ci/generated/matrix.json", matrix::file(assembly));
    set.whole("generated/drivers.schema.json", schema::schema());
    set
}

/// The drivers that have a program of their own.
pub(crate) fn programs(assembly: &Assembly) -> impl Iterator<Item = &Driver> {
    assembly.drivers.iter().filter(|driver| driver.package().is_some())
}

fn program_source(driver: &Driver) -> String {
    format!("src/generated/{}.rs", program(&driver.name))
}

fn server_keys(assembly: &Assembly, previous: Option<&Lock>) -> CargoEdit {
    let defaults = assembly.drivers.iter().filter(|driver| driver.default).map(Driver::feature);
    let options = assembly.options.iter().filter(|option| option.default).map(|option| option.name.clone());
    let mut features = vec![feature("default", defaults.chain(options))];
    features.extend(assembly.drivers.iter().map(|driver| feature(&driver.feature(), server_enables(driver))));
    features.extend(option_features(assembly));
    let remote = Dependency { package: REMOTE.to_owned(), platform: None, source: Source::Workspace };
    let linked = assembly.drivers.iter().filter(|driver| !matches!(driver.kind, Kind::Process { .. }));
    let dependencies = linked.filter_map(dependency).chain([remote]).collect();
    CargoEdit { features, dependencies, programs: Vec::new(), gone_options: gone_options(assembly, previous) }
}

fn server_enables(driver: &Driver) -> Vec<String> {
    match &driver.kind {
        Kind::InTree { package } | Kind::Crate { package, .. } => vec![format!("dep:{package}")],
        Kind::Process { .. } => vec![format!("dep:{REMOTE}"), format!("{REMOTE}/process")],
        Kind::Socket { .. } if driver.name == EXTERNAL => vec![format!("dep:{REMOTE}")],
        Kind::Socket { .. } => vec![format!("driver-{EXTERNAL}")],
    }
}

fn program_keys(assembly: &Assembly, previous: Option<&Lock>) -> CargoEdit {
    let mut features = vec![feature("default", [])];
    for driver in programs(assembly) {
        features.push(feature(&driver.feature(), driver.package().map(|package| format!("dep:{package}"))));
    }
    features.extend(option_features(assembly));
    let programs_of = |driver: &Driver| Program {
        name: program(&driver.name),
        path: program_source(driver),
        feature: driver.feature(),
    };
    CargoEdit {
        features,
        dependencies: programs(assembly).filter_map(dependency).collect(),
        programs: programs(assembly).map(programs_of).collect(),
        gone_options: gone_options(assembly, previous),
    }
}

fn feature(name: &str, enables: impl IntoIterator<Item = String>) -> Feature {
    Feature { name: name.to_owned(), enables: enables.into_iter().map(Enables::Always).collect() }
}

fn option_features(assembly: &Assembly) -> impl Iterator<Item = Feature> {
    assembly.options.iter().map(|option| {
        let enables = option.features.iter().map(|text| match text.split_once('/') {
            Some((package, feature)) => {
                Enables::IfDirect { package: package.to_owned(), feature: feature.to_owned() }
            }
            None => Enables::Always(text.clone()),
        });
        Feature { name: option.name.clone(), enables: enables.collect() }
    })
}

fn gone_options(assembly: &Assembly, previous: Option<&Lock>) -> Vec<String> {
    let written = previous.map(|lock| lock.options.as_slice()).unwrap_or_default();
    written.iter().filter(|name| assembly.option(name).is_none()).cloned().collect()
}

/// The driver's crate as a dependency of a package at `crates/<name>`.
fn dependency(driver: &Driver) -> Option<Dependency> {
    let package = driver.package()?.to_owned();
    let source = match &driver.kind {
        Kind::Crate { source: CrateSource::Path(path), .. } => {
            Source::Path { path: from_member(path), default_features: true }
        }
        Kind::Crate { source: CrateSource::Registry(version), .. } => Source::Version(version.clone()),
        Kind::Crate { source: CrateSource::Git { url, rev }, .. } => {
            Source::Git { url: url.clone(), rev: rev.clone() }
        }
        _ => Source::Path { path: format!("../{package}"), default_features: false },
    };
    Some(Dependency { package, platform: platform::any(&driver.platforms), source })
}

/// A path relative to the root, as seen from a member two levels below it.
fn from_member(path: &str) -> String {
    let path = path.strip_prefix("./").unwrap_or(path).trim_end_matches('/');
    if path.starts_with('/') { path.to_owned() } else { format!("../../{path}") }
}
