//! Drivers that lie elsewhere, compiled in without a change of this tree: `--with NAME=SOURCE` and `--manifest FILE`.
//!
//! ```text
//!   drivers.toml ─▶ Assembly ─┐                         ┌─ crates/, as they are (tree.rs)
//!   my-drivers.toml, --with ──┴▶ merged Assembly ─gen─▶ ┼─ what is generated of the merged one
//!                      └─ packages (adopt.rs) ────────▶ └─ the packages from elsewhere ─▶ target/overlay/<hash>/
//! ```
//!
//! What is there is a workspace like any other, with a lock of its own (lock.rs), and is built, verified and listed by the
//! code that builds this one. Faults are said before anything is written; those that only a compiler can find, in a line
//! (faults.rs).

mod adopt;
mod dependency;
mod faults;
mod lock;
mod tree;

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

use driver_codegen::engine;
use driver_manifest::{Assembly, Budget, Context, CrateSource, Kind, Role, Selection, With, with_crate};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::build::{hex, reproducible, turn};
use crate::error::{Error, Result};
use crate::generate::{packages, style};
use crate::new_driver::way;
use crate::workspace::{MANIFEST, Workspace, read_named};
pub(crate) use adopt::holds_registration;
use adopt::{Adopted, adopt};
pub(crate) use faults::told;
pub(crate) use tree::{Tree, read_into};

/// The directory of all overlays, in the target directory.
const OVERLAYS: &str = "overlay";
/// So many characters of a hash name an overlay.
const NAME: usize = 16;

/// The flags that bring drivers from elsewhere.
#[derive(Debug, Clone, Default, clap::Args)]
pub(crate) struct OverlayArgs {
    /// Compile a crate from elsewhere in as the driver NAME: its directory, or CRATE@VERSION of the registry
    #[arg(long = "with", value_name = "NAME=SOURCE")]
    with: Vec<String>,
    /// A manifest whose drivers, options, presets and defaults join those of drivers.toml
    #[arg(long, value_name = "FILE")]
    manifest: Option<PathBuf>,
}

/// What an overlay is made of, as build.json has it: paths are seen from the workspace's root.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Origin {
    /// The manifest.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    manifest: Option<ManifestText>,
    /// What `--with` names, by driver.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub(crate) with: BTreeMap<String, String>,
}

/// A manifest as it was read.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct ManifestText {
    path: String,
    text: String,
}

impl OverlayArgs {
    /// Whether there is anything from elsewhere.
    pub(crate) fn is_asked(&self) -> bool {
        !self.with.is_empty() || self.manifest.is_some()
    }

    /// What is asked for, with every path seen from the root.
    pub(crate) fn origin(&self, root: &Path) -> Result<Origin> {
        let mut with = BTreeMap::new();
        for word in &self.with {
            let (name, source) = word
                .split_once('=')
                .filter(|(name, source)| !name.is_empty() && !source.is_empty())
                .ok_or_else(|| {
                    let hint = "--with NAME=DIRECTORY, or --with NAME=CRATE@VERSION";
                    Error::refused(
                        format!("`--with {word}` does not say which driver comes from where"),
                        hint,
                    )
                })?;
            let source = match registry(source) {
                Some(_) => source.to_owned(),
                None => directory(&way(&real(root)?, Path::new(source))?),
            };
            if with.insert(name.to_owned(), source).is_some() {
                let message = format!("two `--with` name the driver `{name}`");
                return Err(Error::refused(message, "give one of the two another name"));
            }
        }
        let manifest = self.manifest.as_deref().map(|path| {
            let shown = path.display().to_string();
            let bytes =
                read_named(path, &shown, "--manifest takes the path of a manifest like drivers.toml")?;
            let text = String::from_utf8(bytes).map_err(|error| {
                Error::refused(format!("`{shown}` is not UTF-8: {error}"), "save it as UTF-8")
            })?;
            Ok(ManifestText { path: way(&real(root)?, path)?, text })
        });
        Ok(Origin { manifest: manifest.transpose()?, with })
    }
}

/// A way that is no `CRATE@VERSION`, whatever the directory is called.
fn directory(way: &str) -> String {
    if way.contains('/') { way.to_owned() } else { format!("./{way}") }
}

/// The crate and the version of `CRATE@VERSION`; a directory that is there is a directory, whatever it is called.
fn registry(source: &str) -> Option<(&str, &str)> {
    let (package, version) = source.split_once('@')?;
    let is_path = source.contains(['/', '\\']) || Path::new(source).exists();
    (!is_path && !package.is_empty() && !version.is_empty()).then_some((package, version))
}

fn real(path: &Path) -> Result<PathBuf> {
    fs::canonicalize(path).map_err(Error::file("find", path))
}

/// An overlay that has no fault that can be told before it is compiled. Nothing is written yet.
pub(crate) struct Overlay {
    /// All drivers, options and presets.
    pub(crate) assembly: Assembly,
    /// What it is made of.
    pub(crate) origin: Origin,
    adopted: Vec<Adopted>,
    /// The hash of each driver's packages, and where they were, by driver.
    pub(crate) foreign: BTreeMap<String, Foreign>,
}

/// Where a driver from elsewhere was.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Foreign {
    /// Seen from the workspace's root.
    pub(crate) path: String,
    /// Of its files and those that it brings along by paths.
    pub(crate) sha256: String,
}

impl Overlay {
    /// Reads everything that an overlay on this workspace is made of.
    pub(crate) fn read(workspace: &Workspace, main: &Assembly, origin: Origin) -> Result<Self> {
        let known = packages(&engine::Tree::new(workspace.root()));
        let ours: BTreeSet<String> = known.keys().cloned().collect();
        let mut overlay =
            Self { assembly: main.clone(), origin, adopted: Vec::new(), foreign: BTreeMap::new() };
        if let Some(manifest) = overlay.origin.manifest.clone() {
            let context = Context { packages: Some(known), ..Context::overlay_on(main.clone()) };
            overlay.join(workspace, &manifest, context, &ours)?;
        }
        for (name, source) in overlay.origin.with.clone() {
            let shown = format!("--with {name}={source}");
            overlay.add(workspace, &name, &source, &ours).map_err(|error| error.about(&shown))?;
        }
        if overlay.assembly.budget == main.budget {
            // What the default gateway may cost is said of this tree's drivers.
            overlay.assembly.budget = Budget::default();
        }
        Ok(overlay)
    }

    /// The drivers of a manifest.
    fn join(
        &mut self,
        workspace: &Workspace,
        manifest: &ManifestText,
        mut context: Context,
        ours: &BTreeSet<String>,
    ) -> Result<()> {
        let read = |context: &Context| {
            let outcome = driver_manifest::read(&manifest.path, manifest.text.as_bytes(), context);
            let rendered = outcome.report.render(style());
            outcome
                .assembly
                .ok_or(Error::Manifest { rendered: rendered.clone() })
                .map(|assembly| (assembly, rendered))
        };
        let before = self.assembly.names();
        let (first, _) = read(&context)?;
        let beside = Path::new(&manifest.path).parent().unwrap_or(Path::new("")).to_owned();
        for driver in first.drivers.iter().filter(|driver| !before.contains(&driver.name)) {
            let Kind::Crate { package, source: CrateSource::Path(path) } = &driver.kind else { continue };
            let path = beside.join(path).to_string_lossy().into_owned();
            let place = format!("`{}`: the driver `{}`", manifest.path, driver.name);
            let adopted = adopt(&workspace.path(&path), &path, ours).map_err(|error| error.within(&place))?;
            if adopted.name != *package {
                let message = format!("`{path}` is the package `{}`, not `{package}`", adopted.name);
                return Err(Error::refused(message, format!("package = \"{}\"", adopted.name)).within(&place));
            }
            context.foreign.insert(adopted.name.clone(), adopted.facts.clone());
            self.take(&driver.name, path, adopted)?;
        }
        let (assembly, warnings) = read(&context)?;
        eprint!("{warnings}");
        self.assembly = assembly;
        self.placed();
        Ok(())
    }

    /// One driver of the command line.
    fn add(
        &mut self,
        workspace: &Workspace,
        name: &str,
        source: &str,
        ours: &BTreeSet<String>,
    ) -> Result<()> {
        let mut context = Context { role: Role::Overlay, ..Context::default() };
        let (package, description, source) = match registry(source) {
            Some((package, version)) => {
                (package.to_owned(), String::new(), CrateSource::Registry(version.to_owned()))
            }
            None => {
                let adopted = adopt(&workspace.path(source), source, ours)?;
                let (package, description) = (adopted.name.clone(), adopted.description.clone());
                context.foreign.insert(package.clone(), adopted.facts.clone());
                self.take(name, source.to_owned(), adopted)?;
                (package, description, CrateSource::Path(source.to_owned()))
            }
        };
        let summary = if description.is_empty() { format!("the crate {package}") } else { description };
        let with = With { name, summary: &summary, package: &package, source: &source };
        self.assembly = with_crate(&self.assembly, &with, &context).map_err(|misfits| {
            let messages: Vec<_> = misfits.iter().map(|misfit| misfit.message.clone()).collect();
            let hints: Vec<_> = misfits.into_iter().flat_map(|misfit| misfit.hints).collect();
            Error::refused(messages.join("\nerror: "), hints.join("\nhint: "))
        })?;
        self.placed();
        Ok(())
    }

    /// The packages of a driver. Two drivers may bring the same one along, and not two that are called the same.
    fn take(&mut self, name: &str, path: String, adopted: Adopted) -> Result<()> {
        for (package, files) in &adopted.packages {
            let mut others = self.adopted.iter().filter_map(|other| other.packages.get(package));
            if others.any(|other| other != files) {
                let message = format!("two packages that are not the same are called `{package}`");
                return Err(Error::refused(message, "give one of the two another name in its Cargo.toml"));
            }
        }
        self.foreign.insert(name.to_owned(), Foreign { path, sha256: adopted.sha256.clone() });
        self.adopted.push(adopted);
        Ok(())
    }

    /// In the overlay, the packages from elsewhere lie beside ours.
    fn placed(&mut self) {
        for driver in &mut self.assembly.drivers {
            if let Kind::Crate { package, source: CrateSource::Path(path) } = &mut driver.kind
                && self.foreign.contains_key(&driver.name)
            {
                *path = format!("{}/{package}", tree::CRATES);
            }
        }
    }

    /// The selection under the name that its folder has: an option counts as switched where it is not as in this tree.
    pub(crate) fn named(&self, main: &Assembly, mut selection: Selection) -> Selection {
        let is_on = |name: &String| selection.options.contains(name);
        let usual = |name: &str, own: bool| main.option(name).map_or(own, |option| option.default);
        let options = self.assembly.options.iter();
        selection.changed = options
            .map(|option| (option.name.clone(), is_on(&option.name), usual(&option.name, option.default)))
            .filter(|(_, on, usual)| on != usual)
            .map(|(name, on, _)| (name, on))
            .collect();
        selection
    }

    /// Where its workspace is, below a target directory.
    pub(crate) fn root(&self, target_dir: &Path) -> PathBuf {
        // Not what the manifest says: a change of it is no other place.
        let of = (self.origin.manifest.as_ref().map(|manifest| &manifest.path), &self.origin.with);
        let of = serde_json::to_vec(&of).unwrap_or_default();
        let mut name = hex(&Sha256::digest(&of));
        name.truncate(NAME);
        target_dir.join(OVERLAYS).join(name)
    }

    /// Writes its workspace, or brings it up to date. `seed` is the lock that it begins with; unless said, this tree's.
    pub(crate) fn write(
        &self,
        workspace: &Workspace,
        seed: Option<&str>,
        offline: bool,
    ) -> Result<Workspace> {
        let root = self.root(&workspace.target_dir());
        fs::create_dir_all(&root).map_err(Error::file("create", &root))?;
        // Paths are cut where cargo says them, and cargo knows no link.
        let root = real(&root)?;
        // Nobody builds there meanwhile.
        let _turn = turn(&root);
        let origin = serde_json::to_string(&self.origin).unwrap_or_default();
        let manifest = format!("{}\n# overlay: {origin}\n", workspace.read(MANIFEST)?);
        let tree = tree::files(workspace, &self.assembly, &self.adopted, &manifest)?;
        tree::write(&root, &tree)?;
        let made =
            Workspace::overlay(&root, reproducible::environment(workspace, &root, &root.join("target"))?);
        let seed = seed.map_or_else(|| workspace.read("Cargo.lock"), |seed| Ok(seed.to_owned()))?;
        lock::write(&made, &tree, &seed, &self.assembly, offline)?;
        Ok(made)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Runs git in a directory, without the settings of whoever tests; what it prints.
    fn git(directory: &Path, args: &[&str]) -> String {
        let mut command = std::process::Command::new("git");
        command.args(["-c", "user.name=nobody", "-c", "user.email=nobody@localhost"]).args(args);
        command.current_dir(directory).env("GIT_CONFIG_GLOBAL", "/dev/null").env("GIT_CONFIG_NOSYSTEM", "1");
        let output = command.output().expect("git");
        assert!(output.status.success(), "{args:?}: {}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8_lossy(&output.stdout).trim().to_owned()
    }

    #[test]
    fn a_crate_of_a_git_repository_is_fetched_judged_and_locked() {
        if std::process::Command::new("git").arg("--version").output().is_err() {
            println!("skipped: no git to make a repository with");
            return;
        }
        let home = tempfile::tempdir().expect("a directory");
        let repository = home.path().join("acme");
        fs::create_dir_all(repository.join("src")).expect("made");
        git(&repository, &["init", "--quiet"]);
        fs::write(repository.join("src/lib.rs"), "//! A driver.\n").expect("written");
        let commit = |api: &str| {
            let text = format!(
                "[package]\nname = \"acme-git-driver\"\nversion = \"1.0.0\"\nedition = \"2024\"\n\n\
                 [package.metadata.openshell-driver]\napi = \"{api}\"\n"
            );
            fs::write(repository.join("Cargo.toml"), text).expect("written");
            git(&repository, &["add", "--all"]);
            git(&repository, &["commit", "--quiet", "--message", api]);
            git(&repository, &["rev-parse", "HEAD"])
        };
        let (good, unfit) = (commit("1"), commit("2"));
        let workspace = Workspace::find().expect("this workspace");
        let main = workspace.assembly().expect("its drivers");
        let url = format!("file://{}", repository.display());
        let written = |rev: &str| {
            let manifest = home.path().join("my-drivers.toml");
            let text = format!(
                "[[driver]]\nname = \"acme\"\nsummary = \"x\"\nkind = \"crate\"\npackage = \"acme-git-driver\"\n\
                 git = \"{url}\"\nrev = \"{rev}\"\n"
            );
            fs::write(&manifest, text).expect("written");
            let args = OverlayArgs { manifest: Some(manifest), ..OverlayArgs::default() };
            let overlay = Overlay::read(&workspace, &main, args.origin(workspace.root())?)?;
            let root = overlay.root(&workspace.target_dir());
            let lock = overlay.write(&workspace, None, false).and_then(|made| made.read("Cargo.lock"));
            fs::remove_dir_all(root).expect("removed");
            lock
        };
        let lock = written(&good).expect("it fits");
        let source = format!("source = \"git+{url}?rev={good}#{good}\"");
        assert!(lock.contains(&source), "no {source}");
        let error = written(&unfit).map(drop).expect_err("another driver API").to_string();
        assert!(error.contains("`acme-git-driver` 1.0.0 is written for driver API `2`"), "{error}");
        let error = written(&"0".repeat(40)).map(drop).expect_err("no such commit").to_string();
        assert!(error.contains("do not fit this workspace"), "{error}");
    }

    #[test]
    fn a_crate_of_the_registry_and_a_directory_are_told_apart() {
        assert_eq!(registry("acme-driver@1.2"), Some(("acme-driver", "1.2")));
        for path in ["../acme", "acme", "./acme@1", "a/b@2", "acme@", "@1"] {
            assert_eq!(registry(path), None, "{path}");
        }
        assert_eq!(directory("acme@1"), "./acme@1");
        assert_eq!(directory("../acme"), "../acme");
    }
}
