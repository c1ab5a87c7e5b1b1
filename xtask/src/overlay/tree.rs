//! The files of an overlay's workspace: ours as they are, what follows from the merged manifest, and the packages from
//! elsewhere. They are copied, since cargo gives a crate that lies outside of the root other bytes. What is there already and
//! right is left alone, so that cargo compiles what changed and no more.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use driver_codegen::generate;
use driver_manifest::{Assembly, CrateSource, Kind};
use toml_edit::{Array, DocumentMut, value};

use super::adopt::Adopted;
use crate::error::{Error, Result};
use crate::generate::cargo_lock::is_fetched;
use crate::workspace::{MANIFEST, Workspace};

/// Where the packages are.
pub(super) const CRATES: &str = "crates";
/// What is in the root of an overlay and no file of it: what cargo leaves there.
const CARGOS: [&str; 2] = ["target", "Cargo.lock"];
/// Files of the root that say how a build is made, where they are.
const OF_THE_ROOT: [&str; 4] =
    [".cargo/config.toml", "rust-toolchain.toml", "rust-toolchain", "generated/fingerprints.json"];

/// Every file of a workspace by its path, with `/` between the parts.
pub(crate) type Tree = BTreeMap<String, Vec<u8>>;

/// The files of an overlay on a workspace.
pub(super) fn files(
    main: &Workspace,
    merged: &Assembly,
    adopted: &[Adopted],
    manifest: &str,
) -> Result<Tree> {
    let mut tree = Tree::new();
    read_into(&mut tree, &main.path(CRATES), &format!("{CRATES}/"))?;
    for driver in &merged.drivers {
        // A foreign crate of the main manifest lies somewhere inside the workspace.
        if let Kind::Crate { source: CrateSource::Path(path), .. } = &driver.kind
            && !path.starts_with(CRATES)
        {
            let path = path.trim_start_matches("./");
            read_into(&mut tree, &main.path(path), &format!("{path}/"))?;
        }
    }
    for path in OF_THE_ROOT {
        if let Ok(bytes) = fs::read(main.path(path)) {
            tree.insert(path.to_owned(), bytes);
        }
    }
    for (name, files) in adopted.iter().flat_map(|adopted| &adopted.packages) {
        tree.extend(files.iter().map(|(path, bytes)| (format!("{CRATES}/{name}/{path}"), bytes.clone())));
    }
    let fetches = merged.drivers.iter().any(is_fetched);
    tree.insert("Cargo.toml".to_owned(), root_manifest(&main.read("Cargo.toml")?, fetches)?.into_bytes());
    tree.insert(MANIFEST.to_owned(), manifest.as_bytes().to_vec());
    generated(&mut tree, merged)?;
    Ok(tree)
}

/// What the generator makes of the merged manifest, of that what is compiled.
fn generated(tree: &mut Tree, merged: &Assembly) -> Result<()> {
    for (path, artifact) in generate(merged, None).iter().filter(|(path, _)| path.starts_with(CRATES)) {
        let current = tree.get(path).map(|bytes| String::from_utf8_lossy(bytes).into_owned());
        let text = artifact
            .render(current.as_deref())
            .map_err(|error| Error::refused(format!("`{path}` {error}"), driver_codegen::COMMAND))?;
        tree.insert(path.to_owned(), text.into_bytes());
    }
    Ok(())
}

/// The root's `Cargo.toml` without the menu, which builds overlays and is in none. What comes from a registry or a repository
/// gets our driver API instead of a published one, which would be another.
fn root_manifest(text: &str, fetches: bool) -> Result<String> {
    let mut document: DocumentMut = text.parse().map_err(|error| Error::output("Cargo.toml", error))?;
    document["workspace"]["members"] = value(Array::from_iter([format!("{CRATES}/*")]));
    if fetches {
        for package in ["openshell-driver-api", "openshell-driver-common"] {
            document["patch"]["crates-io"][package]["path"] = value(format!("{CRATES}/{package}"));
        }
    }
    Ok(document.to_string())
}

/// Every file of a directory but what is hidden and what is built, which lies beside a `Cargo.toml`.
pub(crate) fn read_into(tree: &mut Tree, directory: &Path, below: &str) -> Result<()> {
    for entry in fs::read_dir(directory).map_err(Error::file("read", directory))? {
        let entry = entry.map_err(Error::file("read", directory))?;
        let path = entry.path();
        let Some(name) = entry.file_name().to_str().map(str::to_owned) else { continue };
        if name.starts_with('.') || (name == "target" && directory.join("Cargo.toml").exists()) {
            continue;
        }
        if entry.file_type().map_err(Error::file("read", &path))?.is_dir() {
            read_into(tree, &path, &format!("{below}{name}/"))?;
        } else if path.is_file() {
            tree.insert(format!("{below}{name}"), fs::read(&path).map_err(Error::file("read", &path))?);
        }
    }
    Ok(())
}

/// Makes a directory hold these files and, but for what cargo leaves there, no other.
pub(super) fn write(root: &Path, tree: &Tree) -> Result<()> {
    // First, so that no file is where a directory is to be.
    prune(root, "", tree)?;
    for (path, bytes) in tree {
        let path = root.join(path);
        let is_right = fs::read(&path).is_ok_and(|there| there == *bytes);
        if !is_right {
            let directory = path.parent().unwrap_or(root);
            fs::create_dir_all(directory).map_err(Error::file("create", directory))?;
            fs::write(&path, bytes).map_err(Error::file("write", &path))?;
        }
    }
    Ok(())
}

fn prune(directory: &Path, below: &str, tree: &Tree) -> Result<()> {
    for entry in fs::read_dir(directory).map_err(Error::file("read", directory))? {
        let entry = entry.map_err(Error::file("read", directory))?;
        let (path, name) = (entry.path(), entry.file_name().to_string_lossy().into_owned());
        let relative = format!("{below}{name}");
        if CARGOS.contains(&relative.as_str()) {
            continue;
        }
        let is_directory = entry.file_type().map_err(Error::file("read", &path))?.is_dir();
        let inside = format!("{relative}/");
        let holds = tree.range(inside.clone()..).next().is_some_and(|(path, _)| path.starts_with(&inside));
        if is_directory && holds {
            prune(&path, &inside, tree)?;
        } else if is_directory {
            fs::remove_dir_all(&path).map_err(Error::file("remove", &path))?;
        } else if !tree.contains_key(&relative) {
            fs::remove_file(&path).map_err(Error::file("remove", &path))?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_directory_holds_what_it_is_to_hold_and_what_is_right_is_not_touched() {
        let home = tempfile::tempdir().expect("a directory");
        let root = home.path();
        let tree = |files: &[(&str, &str)]| -> Tree {
            files.iter().map(|(path, text)| ((*path).to_owned(), text.as_bytes().to_vec())).collect()
        };
        write(root, &tree(&[("a/b", "1"), ("a/c", "2"), ("d/e", "3")])).expect("written");
        for (path, text) in [("target/x", "built"), ("Cargo.lock", "locked")] {
            let path = root.join(path);
            fs::create_dir_all(path.parent().expect("a parent")).expect("made");
            fs::write(path, text).expect("written");
        }
        let changed =
            |path: &str| fs::metadata(root.join(path)).and_then(|meta| meta.modified()).expect("a time");
        let before = changed("a/b");
        std::thread::sleep(std::time::Duration::from_millis(20));
        write(root, &tree(&[("a/b", "1"), ("a/c", "other")])).expect("written");
        assert_eq!(changed("a/b"), before, "cargo finds it as it was");
        assert_eq!(fs::read(root.join("a/c")).expect("there"), b"other");
        assert!(!root.join("d").exists(), "what is gone there is gone here");
        write(root, &tree(&[("a", "a file now"), ("d/e/f", "3")])).expect("a directory became a file");
        write(root, &tree(&[("a/b", "1"), ("d/e", "3")])).expect("and each the other");
        assert_eq!(fs::read(root.join("d/e")).expect("there"), b"3");
        assert!(root.join("target/x").exists() && root.join("Cargo.lock").exists());
    }

    #[test]
    fn the_root_has_no_menu_and_one_driver_api() {
        let text = "[workspace]\nmembers = [\"crates/*\", \"xtask\"]\n\n[profile.release]\nlto = \"fat\"\n";
        let of = |fetches| root_manifest(text, fetches).expect("TOML").parse::<toml::Table>().expect("TOML");
        assert_eq!(of(false)["workspace"]["members"].as_array().map(Vec::len), Some(1));
        assert!(of(false).get("patch").is_none() && of(false).get("profile").is_some());
        let patched = &of(true)["patch"]["crates-io"]["openshell-driver-api"];
        assert_eq!(patched["path"].as_str(), Some("crates/openshell-driver-api"));
    }
}
