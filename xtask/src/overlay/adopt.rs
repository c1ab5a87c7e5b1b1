//! A package from elsewhere, made fit to lie among this workspace's: its own files, and a `Cargo.toml` that says all that it
//! had from a workspace of its own. Where it names crates of ours, however it found them, it gets ours: two copies of the
//! driver API would be two APIs.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

use driver_codegen::package_facts;
use driver_manifest::{DRIVER_API, PackageFacts};
use sha2::{Digest, Sha256};
use toml_edit::{DocumentMut, Item, TableLike, value};

use super::dependency::{Home, dependencies};
use crate::build::hex;
use crate::error::{Error, Result};

/// The file that makes a directory a package.
const CARGO_TOML: &str = "Cargo.toml";
/// What a driver's crate exports.
pub(super) const REGISTRATION: &str = "REGISTRATION";
/// What writes it.
pub(super) const MACRO: &str = "openshell_driver_api::register!";
/// Directories of a package that nothing of its library is in.
const ASIDE: [&str; 4] = ["target", "tests", "benches", "examples"];
/// Keys of a `Cargo.toml` that are about other targets than the library, or that only a workspace's root has.
const OTHER_KEYS: [&str; 12] = [
    "bin",
    "test",
    "bench",
    "example",
    "dev-dependencies",
    "dev_dependencies",
    "lints",
    "workspace",
    "profile",
    "patch",
    "replace",
    "badges",
];
/// Keys of `[package]` that name files, which may lie elsewhere, or that say how a package is published.
const OTHER_PACKAGE_KEYS: [&str; 8] =
    ["readme", "license-file", "workspace", "default-run", "include", "exclude", "publish", "rust-version"];

/// A package with everything that it brings along.
#[derive(Debug, Clone, Default)]
pub(super) struct Adopted {
    /// Its name.
    pub(super) name: String,
    /// One line about it.
    pub(super) description: String,
    /// What it says of itself.
    pub(super) facts: PackageFacts,
    /// The packages, itself among them, each with its files by their paths below it.
    pub(super) packages: BTreeMap<String, Files>,
    /// The hash of all of these.
    pub(super) sha256: String,
}

/// The files of a package by their paths below it, with `/` between the parts.
pub(super) type Files = BTreeMap<String, Vec<u8>>;

/// Takes the package of a directory and what it reaches by paths. `ours` are the packages of this workspace; `shown` is how
/// the directory was named.
pub(super) fn adopt(directory: &Path, shown: &str, ours: &BTreeSet<String>) -> Result<Adopted> {
    let directory = package_directory(directory, shown)?;
    let mut adopted = Adopted::default();
    let mut open = vec![(directory, shown.to_owned())];
    while let Some((directory, shown)) = open.pop() {
        let one = Package::read(&directory, &shown, ours)?;
        if ours.contains(&one.name) {
            let message =
                format!("the package `{}` of `{shown}` has the name of one of this workspace", one.name);
            return Err(Error::refused(message, "give it another name in its Cargo.toml"));
        }
        if adopted.name.is_empty() {
            one.is_driver(&shown)?;
            adopted.name.clone_from(&one.name);
            adopted.description = one.description;
            adopted.facts = one.facts;
        }
        if let std::collections::btree_map::Entry::Vacant(free) = adopted.packages.entry(one.name) {
            free.insert(one.files);
            open.extend(one.beside.into_iter().map(|path| (path.clone(), path.display().to_string())));
        }
    }
    adopted.sha256 = hash(&adopted.packages);
    Ok(adopted)
}

fn hash(packages: &BTreeMap<String, Files>) -> String {
    let files = packages.iter().flat_map(|(name, files)| files.iter().map(move |file| (name, file)));
    let mut hasher = Sha256::new();
    for (name, (path, bytes)) in files {
        for part in [name.as_bytes(), path.as_bytes(), bytes.as_slice()] {
            hasher.update((part.len() as u64).to_le_bytes());
            hasher.update(part);
        }
    }
    hex(&hasher.finalize())
}

/// The directory of the package that is meant: of a repository, the one member that is a driver.
fn package_directory(directory: &Path, shown: &str) -> Result<PathBuf> {
    let hint = "name the directory of the driver's Cargo.toml";
    if !directory.is_dir() {
        let what = if directory.exists() { "is not a directory" } else { "is not there" };
        return Err(Error::refused(format!("`{shown}` {what}"), hint));
    }
    let directory = fs::canonicalize(directory).map_err(Error::file("find", directory))?;
    let document = read(&directory, shown)?;
    if document.contains_key("package") {
        return Ok(directory);
    }
    let members = document.get("workspace").and_then(|workspace| workspace.get("members"));
    let members = members.and_then(Item::as_array).into_iter().flatten().filter_map(|member| member.as_str());
    let is_driver = |path: &PathBuf| {
        let text = fs::read_to_string(path.join(CARGO_TOML)).ok();
        text.and_then(|text| package_facts(&text)).is_some_and(|(_, facts)| facts.driver_api.is_some())
    };
    let drivers: Vec<PathBuf> = members.map(|member| directory.join(member)).filter(is_driver).collect();
    match drivers.as_slice() {
        [one] => Ok(one.clone()),
        [] => Err(Error::refused(
            format!("`{shown}` is a workspace, and none of its packages is a driver"),
            hint,
        )),
        several => {
            let names =
                several.iter().map(|path| format!("`{}`", path.display())).collect::<Vec<_>>().join(", ");
            Err(Error::refused(format!("`{shown}` is a workspace with several drivers: {names}"), hint))
        }
    }
}

fn read(directory: &Path, shown: &str) -> Result<DocumentMut> {
    let text = fs::read_to_string(directory.join(CARGO_TOML)).map_err(|error| match error.kind() {
        std::io::ErrorKind::NotFound => Error::refused(
            format!("there is no Cargo.toml in `{shown}`"),
            "name the directory of the driver's crate",
        ),
        _ => Error::file("read", &directory.join(CARGO_TOML))(error),
    })?;
    text.parse().map_err(|error: toml_edit::TomlError| {
        let message = format!("the Cargo.toml of `{shown}` is not TOML\n{}", error.to_string().trim_end());
        Error::refused(message, "`cargo metadata` in that directory says the same")
    })
}

/// One package.
struct Package {
    name: String,
    description: String,
    facts: PackageFacts,
    files: Files,
    has_library: bool,
    /// The name of its library, where that is not the usual one.
    library: Option<String>,
    /// The directories of packages that it reaches by paths.
    beside: Vec<PathBuf>,
}

impl Package {
    fn read(directory: &Path, shown: &str, ours: &BTreeSet<String>) -> Result<Self> {
        let mut document = read(directory, shown)?;
        let home = home(directory, &document, shown)?;
        inherit(&mut document, home.as_ref(), shown)?;
        let no_package =
            || Error::refused(format!("`{shown}` is no package"), "name the directory of a crate");
        let text = document.to_string();
        let (name, facts) = package_facts(&text).ok_or_else(no_package)?;
        // It becomes a directory's.
        if name.is_empty() || name.contains(['/', '\\', '.']) {
            let message =
                format!("the Cargo.toml of `{shown}` has the name `{name}`, which no package can have");
            return Err(Error::refused(message, HINT_INHERIT));
        }
        let description = document["package"].get("description").and_then(Item::as_str).unwrap_or_default();
        let description = description.split_whitespace().collect::<Vec<_>>().join(" ");
        let library = document.get("lib");
        let path = library.and_then(|lib| lib.get("path")).and_then(Item::as_str).unwrap_or("src/lib.rs");
        let has_library = directory.join(path).is_file();
        let library = library.and_then(|lib| lib.get("name")).and_then(Item::as_str).map(str::to_owned);
        let library = library.filter(|library| *library != name.replace('-', "_"));
        let mut beside = Vec::new();
        dependencies(&mut document, directory, home.as_ref(), ours, &mut beside)
            .map_err(|fault| Error::refused(format!("the Cargo.toml of `{shown}`: {fault}"), HINT_INHERIT))?;
        for key in OTHER_KEYS {
            document.remove(key);
        }
        let mut files = Files::new();
        collect(directory, "", &mut Vec::new(), &mut files)?;
        files.insert(CARGO_TOML.to_owned(), document.to_string().into_bytes());
        Ok(Self { name, description, facts, files, has_library, library, beside })
    }

    /// Whether it can be compiled in; said before anything is compiled.
    fn is_driver(&self, shown: &str) -> Result<()> {
        let name = &self.name;
        if !self.has_library {
            let message = format!("the package `{name}` of `{shown}` has no library, which a driver is");
            return Err(Error::refused(message, "its `src/lib.rs` exports the driver"));
        }
        if let Some(library) = &self.library {
            let message = format!("the library of the package `{name}` is called `{library}`");
            let hint =
                format!("a driver's is called as its package: leave `name` out of `[lib]` in `{shown}`");
            return Err(Error::refused(message, hint));
        }
        if self.facts.driver_api.as_deref() == Some(DRIVER_API) {
            holds_registration(name, &self.files)
        } else {
            Ok(())
        }
    }
}

/// Whether something in a package's sources may register a driver; that it does is the compiler's to say.
pub(crate) fn holds_registration(package: &str, files: &Files) -> Result<()> {
    let registers = |bytes: &Vec<u8>| {
        let text = String::from_utf8_lossy(bytes);
        text.contains("register!") || text.contains(REGISTRATION)
    };
    let mut sources = files.iter().filter(|(path, _)| path.ends_with(".rs"));
    if sources.any(|(_, bytes)| registers(bytes)) { Ok(()) } else { Err(no_registration(package)) }
}

/// A crate that says it is a driver and exports none.
pub(super) fn no_registration(package: &str) -> Error {
    Error::refused(
        format!("the crate `{package}` exports no `{REGISTRATION}`: nothing in it is registered as a driver"),
        format!("write `{MACRO}(Factory);` in its `src/lib.rs`, where `Factory` implements `DriverFactory`"),
    )
}

const HINT_INHERIT: &str = "`cargo metadata` in that directory says what is wrong with it";

/// The workspace that a package has keys from, if it is in one.
fn home(directory: &Path, document: &DocumentMut, shown: &str) -> Result<Option<Home>> {
    if document.contains_key("workspace") {
        return Ok(Some(Home { root: directory.to_owned(), document: document.clone() }));
    }
    let named = document.get("package").and_then(|package| package.get("workspace")).and_then(Item::as_str);
    let candidates: Vec<PathBuf> = match named {
        Some(path) => vec![directory.join(path)],
        None => directory.ancestors().skip(1).map(Path::to_owned).collect(),
    };
    for root in candidates {
        if root.join(CARGO_TOML).is_file() {
            let document = read(&root, shown)?;
            if document.contains_key("workspace") {
                return Ok(Some(Home { root, document }));
            }
        }
    }
    Ok(None)
}

/// Writes out what `[package]` has from its workspace, and leaves out what an overlay has no use for.
fn inherit(document: &mut DocumentMut, home: Option<&Home>, shown: &str) -> Result<()> {
    let Some(package) = document.get_mut("package").and_then(Item::as_table_like_mut) else { return Ok(()) };
    for key in OTHER_PACKAGE_KEYS {
        package.remove(key);
    }
    let inherited: Vec<String> = package
        .iter()
        .filter(|(_, item)| item.as_table_like().is_some_and(is_inherited))
        .map(|(key, _)| key.to_owned())
        .collect();
    for key in inherited {
        let found = home.and_then(|home| home.document.get("workspace")?.get("package")?.get(&key)).cloned();
        let found = found.ok_or_else(|| {
            let message =
                format!("the Cargo.toml of `{shown}` has `{key}` from a workspace that does not say it");
            Error::refused(message, HINT_INHERIT)
        })?;
        package.insert(&key, found);
    }
    for key in ["autobins", "autotests", "autobenches", "autoexamples"] {
        package.insert(key, value(false));
    }
    Ok(())
}

/// Whether a key says `workspace = true`.
pub(super) fn is_inherited(table: &dyn TableLike) -> bool {
    table.get("workspace").and_then(Item::as_bool) == Some(true)
}

/// The files of a directory that are the package's: no other package, nothing hidden, nothing that is built. A link is what
/// it leads to; `within` are the directories that this one lies in.
fn collect(directory: &Path, below: &str, within: &mut Vec<PathBuf>, files: &mut Files) -> Result<()> {
    let real = fs::canonicalize(directory).map_err(Error::file("find", directory))?;
    if within.contains(&real) {
        let message = format!("`{}` is a link to a directory that it lies in", directory.display());
        return Err(Error::refused(message, "remove the link: what is in it has no end"));
    }
    within.push(real);
    let entries = fs::read_dir(directory).map_err(Error::file("read", directory))?;
    for entry in entries {
        let entry = entry.map_err(Error::file("read", directory))?;
        let path = entry.path();
        let Some(name) = entry.file_name().to_str().map(str::to_owned) else { continue };
        if name.starts_with('.') || (below.is_empty() && ASIDE.contains(&name.as_str())) {
            continue;
        }
        if path.is_dir() {
            if !path.join(CARGO_TOML).exists() {
                collect(&path, &format!("{below}{name}/"), within, files)?;
            }
        } else if path.is_file() && name != "Cargo.lock" {
            files.insert(format!("{below}{name}"), fs::read(&path).map_err(Error::file("read", &path))?);
        }
    }
    within.pop();
    Ok(())
}

#[cfg(all(test, unix))]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    const MANIFEST: &str =
        "[package]\nname = \"NAME\"\nversion = \"1.0.0\"\n[package.metadata.openshell-driver]\napi = \"1\"\n";

    fn package(home: &Path, name: &str) -> PathBuf {
        let directory = home.join("driver");
        fs::create_dir_all(directory.join("src")).expect("made");
        fs::write(directory.join(CARGO_TOML), MANIFEST.replace("NAME", name)).expect("written");
        fs::write(directory.join("src/lib.rs"), "openshell_driver_api::register!(Factory);\n")
            .expect("written");
        directory
    }

    #[test]
    fn a_link_is_what_it_leads_to_and_a_circle_of_links_is_refused() {
        let home = tempfile::tempdir().expect("a directory");
        let directory = package(home.path(), "acme-driver");
        fs::create_dir(home.path().join("proto")).expect("made");
        fs::write(home.path().join("proto/acme.proto"), "syntax").expect("written");
        symlink("../../proto", directory.join("src/proto")).expect("linked");
        let adopted = adopt(&directory, "driver", &BTreeSet::new()).expect("a driver");
        let files: Vec<&str> = adopted.packages["acme-driver"].keys().map(String::as_str).collect();
        assert_eq!(files, ["Cargo.toml", "src/lib.rs", "src/proto/acme.proto"]);
        symlink("../driver", home.path().join("proto/back")).expect("linked");
        let circle = adopt(&directory.join("src/.."), "driver", &BTreeSet::new());
        assert!(circle.is_ok(), "a package of its own is not this one's");
        symlink("../proto", home.path().join("proto/again")).expect("linked");
        let circle = adopt(&directory, "driver", &BTreeSet::new()).expect_err("without end").to_string();
        assert!(circle.contains("src/proto/again` is a link to a directory that it lies in"), "{circle}");
    }

    #[test]
    fn a_name_that_leads_out_of_the_overlay_is_none() {
        let home = tempfile::tempdir().expect("a directory");
        let directory = package(home.path(), "../../out");
        let refused = adopt(&directory, "driver", &BTreeSet::new()).expect_err("no name").to_string();
        assert_eq!(refused, "the Cargo.toml of `driver` has the name `../../out`, which no package can have");
    }
}
