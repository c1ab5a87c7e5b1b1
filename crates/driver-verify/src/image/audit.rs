//! The section `.dep-v0` of `cargo auditable`: a list of packages as JSON, compressed with zlib.
//!
//! The format is <https://github.com/rust-secure-code/cargo-auditable/blob/master/PARSING.md>.

use serde::{Deserialize, Serialize};

/// The largest list that is unpacked; the limit of `auditable-info`.
const LARGEST: usize = 8 << 20;
/// zlib's own default.
const LEVEL: u8 = 6;

/// A package of the list.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AuditedPackage {
    /// Its name.
    pub name: String,
    /// Its version.
    pub version: String,
    /// `crates.io`, `git`, `local` or `registry`; empty where a list does not say it.
    #[serde(default)]
    pub source: String,
    /// `runtime`, which is the default, or `build`.
    #[serde(default = "runtime", skip_serializing_if = "is_runtime")]
    pub kind: String,
    /// What it depends on, as places in the list.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub dependencies: Vec<usize>,
    /// The package that was built.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub root: bool,
}

#[derive(Serialize, Deserialize)]
struct List<P> {
    packages: P,
}

fn runtime() -> String {
    "runtime".to_owned()
}

fn is_runtime(kind: &str) -> bool {
    kind == "runtime"
}

/// The bytes of a section `.dep-v0`. Readers want one root, and no circle of dependencies.
#[must_use]
pub fn audit_section(packages: &[AuditedPackage]) -> Vec<u8> {
    // Strings and numbers have no way to fail.
    let text = serde_json::to_vec(&List { packages }).unwrap_or_default();
    miniz_oxide::deflate::compress_to_vec_zlib(&text, LEVEL)
}

pub(super) fn read(section: &[u8]) -> Result<Vec<AuditedPackage>, String> {
    let text = miniz_oxide::inflate::decompress_to_vec_zlib_with_limit(section, LARGEST)
        .map_err(|error| error.to_string())?;
    let list: List<Vec<AuditedPackage>> = serde_json::from_slice(&text).map_err(|error| error.to_string())?;
    Ok(list.packages)
}
