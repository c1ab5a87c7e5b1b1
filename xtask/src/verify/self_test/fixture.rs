//! The workspace that leaks are planted in: `xtask/fixture`, copied, with the composition that the real generator writes
//! for its manifest, the markers and the catalog of the real crates, and fingerprints learned from real builds of it.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fs::{self, File};
use std::path::{Path, PathBuf};

use driver_manifest::{Assembly, Request, Selection};

use super::profile::Profile;
use crate::build::{CargoArgs, Job, Made, turn};
use crate::error::{Error, Result};
use crate::selection;
use crate::verify::learn;
use crate::verify::learned::{LEARNED, Learned};
use crate::workspace::{MANIFEST, Workspace};

/// Where it is committed.
const SOURCE: &str = "xtask/fixture";
/// Sources of real crates that its crates share, by their path here and in the real workspace alike.
const SHARED: [&str; 2] =
    ["crates/openshell-core/src/catalog.rs", "crates/openshell-driver-api/src/marker.rs"];
/// What cargo and the verification write into it.
const LEFT_ALONE: [&str; 2] = ["Cargo.lock", LEARNED];

/// A change of one file of the fixture.
pub(super) enum Edit {
    /// More lines at its end.
    Append(&'static str, &'static str),
    /// A text that is there once, and what it becomes.
    Replace(&'static str, &'static str, &'static str),
    /// A file that is not there otherwise, or its whole text.
    Write(&'static str, &'static str),
}

impl Edit {
    fn file(&self) -> &'static str {
        match self {
            Self::Append(file, _) | Self::Replace(file, ..) | Self::Write(file, _) => file,
        }
    }

    /// A change that finds nothing to change would plant nothing.
    fn apply(&self, files: &mut BTreeMap<String, String>) -> Result<()> {
        let text = files.entry(self.file().to_owned()).or_default();
        match self {
            Self::Append(_, lines) => text.push_str(lines),
            Self::Write(_, whole) => *text = (*whole).to_owned(),
            Self::Replace(file, from, to) if text.matches(from).count() == 1 => {
                *files.entry((*file).to_owned()).or_default() = text.replace(from, to);
            }
            Self::Replace(file, from, _) => {
                return Err(Error::refused(
                    format!("`{from}` is not in `{file}` of the fixture once, so nothing is planted"),
                    format!("the plants of the self-test have to fit `{SOURCE}`"),
                ));
            }
        }
        Ok(())
    }
}

/// The fixture on disk.
pub(super) struct Fixture {
    /// What is committed, by path.
    base: BTreeMap<String, String>,
    root: PathBuf,
    target_dir: PathBuf,
    /// What builds of the unchanged fixture have shown.
    learned: Learned,
    /// The manifest as it stands now.
    pub(super) assembly: Assembly,
    /// One self-test at a time.
    _turn: Option<File>,
}

impl Fixture {
    /// Copies it and learns its fingerprints, below the target directory of the real workspace.
    pub(super) fn new(workspace: &Workspace) -> Result<Self> {
        let place = workspace.target_dir().join("self-test");
        fs::create_dir_all(&place).map_err(Error::file("create", &place))?;
        let _turn = turn(&place);
        let mut base = BTreeMap::new();
        read_below(&workspace.path(SOURCE), "", &mut base)?;
        for path in SHARED {
            base.insert(path.to_owned(), workspace.read(path)?);
        }
        let assembly = selection::parse_manifest(base.get(MANIFEST).map_or(&[], |text| text.as_bytes()))?;
        let (root, target_dir) = (place.join("fixture"), place.join("target"));
        let learned = Learned::default();
        let mut fixture = Self { base, root, target_dir, learned, assembly, _turn };
        fixture.plant(&[])?;
        let plain = fixture.workspace(&Profile::RELEASE)?;
        fixture.learned = learn::lesson(&plain, &fixture.assembly, &cargo_args())?.learned;
        Ok(fixture)
    }

    /// Lays out the fixture with these changes, and with no other.
    pub(super) fn plant(&mut self, edits: &[Edit]) -> Result<()> {
        self.lay(edits, false)
    }

    /// Lays out the unchanged fixture with its sources as `cargo vendor` leaves them: no version in their directories.
    pub(super) fn vendor(&mut self) -> Result<()> {
        self.lay(&[], true)
    }

    fn lay(&mut self, edits: &[Edit], vendored: bool) -> Result<()> {
        let mut files = self.base.clone();
        // What is generated can be changed only once it is there.
        let (now, later): (Vec<&Edit>, Vec<&Edit>) =
            edits.iter().partition(|edit| !edit.file().contains("/generated/"));
        for edit in now {
            edit.apply(&mut files)?;
        }
        let manifest = files.get(MANIFEST).map_or(&[][..], |text| text.as_bytes());
        self.assembly = selection::parse_manifest(manifest)?;
        for (path, artifact) in driver_codegen::generate(&self.assembly, None).iter() {
            if path.starts_with("crates/") {
                let text = artifact.render(files.get(path).map(String::as_str));
                let text =
                    text.map_err(|error| Error::output("the generator", format!("{path}: {error}")))?;
                files.insert(path.to_owned(), text);
            }
        }
        for edit in later {
            edit.apply(&mut files)?;
        }
        if vendored {
            files = files.into_iter().map(|(path, text)| (path.replace("-1.0.0/", "/"), text)).collect();
        }
        write_all(&self.root, &files)?;
        // Made anew: what an earlier plant needed must not be known any more.
        let lock = self.root.join("Cargo.lock");
        if lock.exists() {
            fs::remove_file(&lock).map_err(Error::file("remove", &lock))?;
        }
        let plain = self.workspace(&Profile::RELEASE)?;
        plain.cargo_output(&["generate-lockfile", "--offline", "--quiet"])?;
        self.learn(|_| {})
    }

    /// Writes what was learned, changed.
    pub(super) fn learn(&self, change: impl FnOnce(&mut Learned)) -> Result<()> {
        let mut learned = self.learned.clone();
        change(&mut learned);
        let dir = self.root.join("generated");
        fs::create_dir_all(&dir).map_err(Error::file("create", &dir))?;
        learned.write(&self.workspace(&Profile::RELEASE)?)
    }

    /// The workspace that is built and judged, in a profile.
    pub(super) fn workspace(&self, profile: &Profile) -> Result<Workspace> {
        let sources = self.root.join("vendor");
        let mut env = profile.env(&[self.root.as_path(), &sources])?;
        env.push(("CARGO_TERM_QUIET".to_owned(), OsString::from("true")));
        Ok(Workspace::apart(&self.root, profile.target_dir(&self.target_dir), env))
    }

    /// A selection of its drivers, with these options.
    pub(super) fn selection(&self, drivers: &[&str], options: &[&str]) -> Result<Selection> {
        let owned = |names: &[&str]| names.iter().map(ToString::to_string).collect();
        let request = Request { drivers: owned(drivers), with_options: owned(options), ..Request::default() };
        selection::select(&self.assembly, &request)
    }

    /// Builds a gateway as `cargo xtask build` does.
    pub(super) fn build(&self, selection: &Selection, profile: &Profile) -> Result<(Workspace, Made)> {
        let workspace = self.workspace(profile)?;
        let made = Job::gateway(&self.assembly, selection.clone(), &cargo_args()).run(&workspace, None)?;
        Ok((workspace, made))
    }
}

/// How it is always built.
pub(super) fn cargo_args() -> CargoArgs {
    CargoArgs { profile: "release".to_owned(), target: None, locked: true, offline: true }
}

/// The texts of all files below a directory, by their paths from there.
fn read_below(dir: &Path, prefix: &str, files: &mut BTreeMap<String, String>) -> Result<()> {
    for entry in fs::read_dir(dir).map_err(Error::file("read", dir))? {
        let path = entry.map_err(Error::file("read", dir))?.path();
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        let shown = format!("{prefix}{name}");
        if path.is_dir() {
            read_below(&path, &format!("{shown}/"), files)?;
        } else {
            files.insert(shown, fs::read_to_string(&path).map_err(Error::file("read", &path))?);
        }
    }
    Ok(())
}

/// Brings a directory to these files. One that has its text already keeps its time, so that cargo does not build it again.
fn write_all(root: &Path, files: &BTreeMap<String, String>) -> Result<()> {
    let mut there = BTreeMap::new();
    if root.exists() {
        read_below(root, "", &mut there)?;
    }
    let is_ours = |path: &&String| !LEFT_ALONE.contains(&path.as_str());
    for path in there.keys().filter(is_ours).filter(|path| !files.contains_key(*path)) {
        let path = root.join(path);
        fs::remove_file(&path).map_err(Error::file("remove", &path))?;
        // A directory without files would still be a package, or a source without a manifest.
        let above = path.ancestors().skip(1).take_while(|dir| *dir != root);
        for dir in above {
            if fs::remove_dir(dir).is_err() {
                break;
            }
        }
    }
    for (path, text) in files.iter().filter(|(path, text)| there.get(*path) != Some(text)) {
        let path = root.join(path);
        let dir = path.parent().unwrap_or(root);
        fs::create_dir_all(dir).map_err(Error::file("create", dir))?;
        fs::write(&path, text).map_err(Error::file("write", &path))?;
    }
    Ok(())
}
