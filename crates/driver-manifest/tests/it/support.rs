//! What the tests share: the directory of fixtures, and the contexts that fixtures ask for.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use driver_manifest::{Assembly, Context, PackageFacts, Role};

/// The fixtures' directory.
pub(crate) fn fixtures() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures")
}

/// A file's bytes.
pub(crate) fn bytes(path: &Path) -> Vec<u8> {
    std::fs::read(path).unwrap_or_else(|error| panic!("{} cannot be read: {error}", path.display()))
}

/// The assembly of a good fixture.
pub(crate) fn assembly(name: &str) -> Assembly {
    let path = fixtures().join("good").join(name);
    let bytes = bytes(&path);
    driver_manifest::read(name, &bytes, &context(&bytes))
        .into_result()
        .unwrap_or_else(|report| panic!("{report}"))
}

/// The context that the first line of a fixture asks for: `# test: overlay`, `# test: overlay on whole.toml`,
/// `# test: facts`. Without such a line: the main manifest, and nothing known.
pub(crate) fn context(bytes: &[u8]) -> Context {
    let first = bytes.split(|byte| *byte == b'\n').next().unwrap_or_default();
    let words = String::from_utf8_lossy(first);
    let Some(words) = words.trim().strip_prefix("# test: ") else { return Context::default() };
    let role = match words.split_once(" on ") {
        Some((_, base)) => Role::OverlayOn(Box::new(assembly(base))),
        None if words.contains("overlay") => Role::Overlay,
        None => Role::Main,
    };
    if words.contains("facts") { Context { role, ..facts() } } else { Context { role, ..Context::default() } }
}

fn facts() -> Context {
    let package = |api: Option<&str>, features: &[&str]| PackageFacts {
        driver_api: api.map(str::to_owned),
        features: Some(features.iter().map(|feature| (*feature).to_owned()).collect()),
    };
    let names = |names: &[(&str, PackageFacts)]| -> BTreeMap<String, PackageFacts> {
        names.iter().map(|(name, facts)| ((*name).to_owned(), facts.clone())).collect()
    };
    Context {
        role: Role::Main,
        packages: Some(names(&[
            ("openshell-core", package(None, &["default", "telemetry"])),
            ("openshell-driver-docker", package(Some("1"), &[])),
            ("openshell-guest-init", package(None, &[])),
            ("openshell-driver-mute", package(None, &[])),
            ("openshell-driver-next", package(Some("2"), &[])),
        ])),
        foreign: names(&[("acme-driver", package(Some("0"), &[]))]),
        locked: Some(
            ["bollard", "bollard-stubs", "kube"].into_iter().map(str::to_owned).collect::<BTreeSet<_>>(),
        ),
    }
}
