//! CycloneDX 1.6 as JSON (<https://cyclonedx.org/docs/1.6/json/>). Equal builds leave equal bytes: the serial number is made
//! from the file's hash, and there is no clock in it.

use serde::Serialize;

use super::{Bom, Component, Source};
use crate::error::{Error, Result};
use crate::verify::rfc3339;

/// The file that a bill is about.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Shipped<'a> {
    /// Its name.
    pub(crate) name: &'a str,
    /// Its SHA-256 as it is shipped, in hex.
    pub(crate) sha256: &'a str,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Document<'a> {
    #[serde(rename = "$schema")]
    schema: &'static str,
    bom_format: &'static str,
    spec_version: &'static str,
    serial_number: String,
    version: u32,
    metadata: Metadata<'a>,
    components: Vec<Part<'a>>,
    dependencies: Vec<Node>,
}

#[derive(Serialize)]
struct Metadata<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    timestamp: Option<String>,
    tools: Tools,
    component: Part<'a>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    properties: Vec<Property>,
}

#[derive(Serialize)]
struct Tools {
    components: [Tool; 1],
}

#[derive(Serialize)]
struct Tool {
    #[serde(rename = "type")]
    kind: &'static str,
    name: &'static str,
    version: &'static str,
}

#[derive(Serialize)]
struct Part<'a> {
    #[serde(rename = "type")]
    kind: &'static str,
    #[serde(rename = "bom-ref")]
    reference: String,
    name: &'a str,
    version: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    scope: Option<&'static str>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    hashes: Vec<Hash<'a>>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    licenses: Vec<Licence<'a>>,
    purl: String,
}

#[derive(Serialize)]
struct Hash<'a> {
    alg: &'static str,
    content: &'a str,
}

#[derive(Serialize)]
struct Licence<'a> {
    expression: &'a str,
}

#[derive(Serialize)]
struct Property {
    name: &'static str,
    value: &'static str,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Node {
    #[serde(rename = "ref")]
    reference: String,
    depends_on: Vec<String>,
}

impl Bom {
    /// The document about a file, ending with a line's end. `timestamp` is a moment that whoever builds has named.
    pub(crate) fn cyclonedx(&self, shipped: Shipped<'_>, timestamp: Option<String>) -> String {
        let root = &self.components[self.root];
        let parts = self.components.iter().enumerate().filter(|(place, _)| *place != self.root);
        let parts = parts.map(|(_, component)| component.part("required"));
        let tools = self.tools.iter().map(|component| component.part("excluded"));
        let nodes = self.components.iter().map(|component| Node {
            reference: component.purl(),
            depends_on: component.dependencies.iter().map(|at| self.components[*at].purl()).collect(),
        });
        let properties = match timestamp {
            Some(_) => Vec::new(),
            None => vec![Property {
                name: "openshell:timestamp",
                value: "left out, so that equal builds leave equal bytes; SOURCE_DATE_EPOCH sets one",
            }],
        };
        let document = Document {
            schema: "http://cyclonedx.org/schema/bom-1.6.schema.json",
            bom_format: "CycloneDX",
            spec_version: "1.6",
            serial_number: serial_number(shipped.sha256),
            version: 1,
            metadata: Metadata {
                timestamp,
                tools: Tools {
                    components: [Tool {
                        kind: "application",
                        name: "cargo xtask build",
                        version: env!("CARGO_PKG_VERSION"),
                    }],
                },
                component: Part {
                    kind: "application",
                    name: shipped.name,
                    hashes: vec![Hash { alg: "SHA-256", content: shipped.sha256 }],
                    scope: None,
                    ..root.part("required")
                },
                properties,
            },
            components: parts.chain(tools).collect(),
            dependencies: nodes.collect(),
        };
        // Strings and lists have no way to fail.
        let mut text = serde_json::to_string_pretty(&document).unwrap_or_default();
        text.push('\n');
        text
    }
}

impl Component {
    fn part(&self, scope: &'static str) -> Part<'_> {
        let checksum = self.checksum.as_deref();
        let licence = self.licence.as_deref();
        Part {
            kind: "library",
            reference: self.purl(),
            name: &self.name,
            version: &self.version,
            scope: Some(scope),
            hashes: checksum.map(|content| Hash { alg: "SHA-256", content }).into_iter().collect(),
            licenses: licence.map(|expression| Licence { expression }).into_iter().collect(),
            purl: self.purl(),
        }
    }

    /// `pkg:cargo/name@version`, and where it comes from unless that is crates.io or the workspace.
    fn purl(&self) -> String {
        let (name, version) = (&self.name, encoded(&self.version));
        match &self.source {
            Source::CratesIo | Source::Local => format!("pkg:cargo/{name}@{version}"),
            Source::Registry(url) => format!("pkg:cargo/{name}@{version}?repository_url={}", encoded(url)),
            Source::Git(url) => format!("pkg:cargo/{name}@{version}?vcs_url={}", encoded(url)),
        }
    }
}

/// Percent-encoded, as package URLs want it.
fn encoded(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for byte in text.bytes() {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'.' | b'-' | b'_' | b'~' | b':' | b'/' => {
                out.push(char::from(byte));
            }
            byte => out.push_str(&format!("%{byte:02X}")),
        }
    }
    out
}

/// A UUID of version 8, whose bits are for whoever makes it: the first of the file's hash.
fn serial_number(sha256: &str) -> String {
    let digit = |at: usize| sha256.get(at..=at).unwrap_or("0");
    let variant = match digit(16) {
        "0" | "4" | "8" | "c" => "8",
        "1" | "5" | "9" | "d" => "9",
        "2" | "6" | "a" | "e" => "a",
        _ => "b",
    };
    let part = |from: usize, to: usize| sha256.get(from..to).unwrap_or_default();
    format!(
        "urn:uuid:{}-{}-8{}-{variant}{}-{}",
        part(0, 8),
        part(8, 12),
        part(13, 16),
        part(17, 20),
        part(20, 32)
    )
}

/// The moment that `SOURCE_DATE_EPOCH` names (<https://reproducible-builds.org/specs/source-date-epoch/>), by RFC 3339.
pub(crate) fn source_date() -> Result<Option<String>> {
    let Some(value) = std::env::var_os("SOURCE_DATE_EPOCH").filter(|value| !value.is_empty()) else {
        return Ok(None);
    };
    moment(&value.to_string_lossy()).map(Some)
}

fn moment(value: &str) -> Result<String> {
    let seconds =
        value.parse().ok().and_then(|seconds| time::OffsetDateTime::from_unix_timestamp(seconds).ok());
    seconds.map(rfc3339).ok_or_else(|| {
        let message = format!("`SOURCE_DATE_EPOCH` is `{value}`, not a number of seconds since 1970");
        Error::refused(message, "SOURCE_DATE_EPOCH=$(git log -1 --format=%ct)")
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::build::bom::tests::bom;

    const SHA256: &str = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";

    #[test]
    fn a_document_has_what_is_in_the_file_and_its_tools_apart() {
        let shipped = Shipped { name: "gateway", sha256: SHA256 };
        let text = bom().cyclonedx(shipped, None);
        assert_eq!(text, bom().cyclonedx(shipped, None));
        assert!(text.starts_with("{\n  \"$schema\": "), "{text}");
        let document: serde_json::Value = serde_json::from_str(&text).unwrap();
        assert_eq!(document["serialNumber"], "urn:uuid:ba7816bf-8f01-8fea-8141-40de5dae2223");
        assert_eq!(document["metadata"]["component"]["purl"], "pkg:cargo/server@0.1.0");
        assert_eq!(document["metadata"]["component"]["hashes"][0]["content"], SHA256);
        assert!(document["metadata"]["timestamp"].is_null());
        let parts: Vec<_> = document["components"]
            .as_array()
            .unwrap()
            .iter()
            .map(|part| (part["purl"].as_str().unwrap(), part["scope"].as_str().unwrap()))
            .collect();
        let fork = "pkg:cargo/fork@1.0.0?vcs_url=git%2Bhttps://host/fork%40c0ffee";
        let sdk = "pkg:cargo/sdk@2.0.0%2Bmoby";
        assert_eq!(parts, [(fork, "required"), (sdk, "required"), ("pkg:cargo/macro@1.0.0", "excluded")]);
        let edges = document["dependencies"].as_array().unwrap();
        assert_eq!(edges.len(), 3, "of tools nobody says it");
        assert_eq!(edges[2], serde_json::json!({ "ref": "pkg:cargo/server@0.1.0", "dependsOn": [sdk] }));
    }

    #[test]
    fn a_moment_is_written_where_one_is_named() {
        let shipped = Shipped { name: "gateway", sha256: SHA256 };
        let document = bom().cyclonedx(shipped, Some(moment("0").unwrap()));
        assert!(document.contains("\"timestamp\": \"1970-01-01T00:00:00Z\""), "{document}");
        assert!(!document.contains("left out"));
        assert!(moment("yesterday").is_err());
    }
}
