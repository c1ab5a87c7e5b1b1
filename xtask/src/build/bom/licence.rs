//! The licence of a package, as its `Cargo.toml` says it. Cargo's messages name that file, so cargo is not asked again.

use std::path::Path;

use serde::Deserialize;

#[derive(Deserialize)]
struct Manifest {
    package: Option<Package>,
    workspace: Option<Workspace>,
}

#[derive(Deserialize)]
struct Workspace {
    package: Option<Package>,
}

#[derive(Deserialize)]
struct Package {
    license: Option<Licence>,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum Licence {
    Text(String),
    /// `license.workspace = true`
    #[expect(dead_code, reason = "its being there says all")]
    Inherited {
        workspace: bool,
    },
}

/// The SPDX expression of the package of this manifest; `None` where it has none, or names a file.
pub(super) fn of(manifest: &Path, workspace: &Path) -> Option<String> {
    let package = read(manifest, "package")?.package?;
    match package.license? {
        Licence::Text(text) => Some(expression(&text)),
        Licence::Inherited { .. } => {
            let text = std::fs::read_to_string(workspace).ok()?;
            match toml::from_str::<Manifest>(&text).ok()?.workspace?.package?.license? {
                Licence::Text(text) => Some(expression(&text)),
                Licence::Inherited { .. } => None,
            }
        }
    }
}

/// Reads the one table that is needed: the others are long, and nobody waits for them gladly. What is in it is read in
/// the whole file where the table alone makes no sense.
fn read(path: &Path, table: &str) -> Option<Manifest> {
    let text = std::fs::read_to_string(path).ok()?;
    let head = format!("[{table}]");
    let from = text.lines().position(|line| line.trim() == head);
    let lines = from.map(|from| {
        let rest = text.lines().skip(from + 1).take_while(|line| !line.starts_with('['));
        std::iter::once(head.as_str()).chain(rest).collect::<Vec<_>>().join("\n")
    });
    lines.and_then(|lines| toml::from_str(&lines).ok()).or_else(|| toml::from_str(&text).ok())
}

/// Crates of old write `MIT/Apache-2.0` for a choice.
fn expression(text: &str) -> String {
    text.split('/').map(str::trim).collect::<Vec<_>>().join(" OR ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_licence_is_the_packages_own_or_the_workspaces() {
        let dir = tempfile::tempdir().unwrap();
        let write = |name: &str, text: &str| {
            let path = dir.path().join(name);
            std::fs::write(&path, text).unwrap();
            path
        };
        let root =
            write("root", "[workspace]\nmembers = []\n[workspace.package]\nlicense = \"Apache-2.0\"\n");
        let cases = [
            ("[package]\nname = \"a\"\nlicense = \"MIT/Apache-2.0\"\n[lib]\n", Some("MIT OR Apache-2.0")),
            (
                "[package]\nname = \"a\"\nlicense.workspace = true\n[lints]\nworkspace = true\n",
                Some("Apache-2.0"),
            ),
            ("[package]\nkeywords = [\n[\n\"x\"]]\nlicense = \"ISC\"\n", Some("ISC")),
            ("# none\n[package]\nlicense-file = \"LICENSE\"\n", None),
            ("not a manifest", None),
        ];
        for (text, expected) in cases {
            assert_eq!(of(&write("Cargo.toml", text), &root).as_deref(), expected, "{text}");
        }
        assert_eq!(of(&dir.path().join("absent"), &root), None);
    }
}
