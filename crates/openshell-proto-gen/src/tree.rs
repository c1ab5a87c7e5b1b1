//! The two trees: proto files as they lie on the disk, and the modules that mirror their packages; and names.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use crate::Error;

/// Every `.proto` file under `dir`, relative to it, sorted.
pub(crate) fn protos(dir: &Path) -> Result<Vec<PathBuf>, Error> {
    let mut found = Vec::new();
    let mut pending = vec![PathBuf::new()];
    while let Some(below) = pending.pop() {
        let here = dir.join(&below);
        let unreadable = |source| Error::Read { path: here.clone(), source };
        for entry in std::fs::read_dir(&here).map_err(unreadable)? {
            let entry = entry.map_err(unreadable)?;
            let path = below.join(entry.file_name());
            if entry.file_type().map_err(unreadable)?.is_dir() {
                pending.push(path);
            } else if path.extension().is_some_and(|extension| extension == "proto") {
                found.push(path);
            }
        }
    }
    found.sort();
    Ok(found)
}

/// A module: its children, and whether it is a file of its own.
#[derive(Default)]
struct Node<'a> {
    file: bool,
    children: BTreeMap<&'a str, Node<'a>>,
}

/// The text of `mod.rs` for files such as `openshell/compute/v1.rs`.
///
/// Packages become inline modules and their last parts files, which the compiler then finds where they lie.
pub(crate) fn modules(paths: &[&str]) -> String {
    let mut root = Node::default();
    for path in paths {
        let mut node = &mut root;
        for part in path.trim_end_matches(".rs").split('/') {
            node = node.children.entry(part).or_default();
        }
        node.file = true;
    }
    let mut out = String::new();
    write_modules(&root, 0, &mut out);
    out
}

fn write_modules(node: &Node<'_>, depth: usize, out: &mut String) {
    let indent = "    ".repeat(depth);
    for (name, child) in &node.children {
        // A package that is both a file and a prefix of another would need its children inside the generated file.
        debug_assert!(!child.file || child.children.is_empty(), "package `{name}` holds another package");
        if child.file {
            *out += &format!("{indent}pub mod {name};\n");
        } else {
            *out += &format!("{indent}pub mod {name} {{\n");
            write_modules(child, depth + 1, out);
            *out += &format!("{indent}}}\n");
        }
    }
}

/// `ComputeDriver` as the name of a constant.
pub(crate) fn upper_snake(camel: &str) -> String {
    let mut out = String::new();
    for letter in camel.chars() {
        if letter.is_ascii_uppercase() && !out.is_empty() {
            out.push('_');
        }
        out.push(letter.to_ascii_uppercase());
    }
    out
}

#[cfg(test)]
mod tests {
    use super::{modules, upper_snake};

    #[test]
    fn a_service_names_its_constant() {
        assert_eq!(upper_snake("ComputeDriver"), "COMPUTE_DRIVER");
    }

    #[test]
    fn modules_mirror_the_packages_in_order() {
        let text = modules(&["a/v1.rs", "a/b/v1.rs", "a/b/v2.rs"]);
        assert_eq!(
            text,
            "pub mod a {\n    pub mod b {\n        pub mod v1;\n        pub mod v2;\n    }\n    pub mod v1;\n}\n"
        );
    }
}
