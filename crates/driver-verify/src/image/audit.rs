//! The section `.dep-v0` of `cargo auditable`: a list of packages as JSON, compressed with zlib.
//!
//! The format is <https://github.com/rust-secure-code/cargo-auditable/blob/master/PARSING.md>.

use serde::Deserialize;

/// The largest list that is unpacked; the limit of `auditable-info`.
const LARGEST: usize = 8 << 20;

/// A package of the list.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct AuditedPackage {
    /// Its name.
    pub name: String,
    /// Its version.
    pub version: String,
    /// `runtime`, which is the default, or `build`.
    #[serde(default = "runtime")]
    pub kind: String,
}

#[derive(Deserialize)]
struct List {
    packages: Vec<AuditedPackage>,
}

fn runtime() -> String {
    "runtime".to_owned()
}

pub(super) fn read(section: &[u8]) -> Result<Vec<AuditedPackage>, String> {
    let text = miniz_oxide::inflate::decompress_to_vec_zlib_with_limit(section, LARGEST)
        .map_err(|error| error.to_string())?;
    let list: List = serde_json::from_slice(&text).map_err(|error| error.to_string())?;
    Ok(list.packages)
}
