//! What cargo says while it builds: the file it made, and every crate that went into it. Crates for the host (build
//! scripts, macros and what they need) are told apart by the directory that their files lie in.

use std::collections::{BTreeMap, BTreeSet};
use std::io::BufReader;
use std::path::{Path, PathBuf};
use std::process::Stdio;

use cargo_metadata::{Artifact, Message};

use super::line::{CargoLine, Profile};
use crate::error::{Error, Result};
use crate::verify::colour;
use crate::workspace::{self, Workspace, spawn};

/// A package, in the order of its name.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Package {
    pub(crate) name: String,
    pub(crate) version: String,
    /// Whether it is a directory of ours rather than of a registry.
    pub(crate) ours: bool,
}

/// What was compiled of a package.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Unit {
    /// The features that it was compiled with.
    pub(crate) features: BTreeSet<String>,
    /// `lib`, `bin`, `proc-macro`, `custom-build` …
    pub(crate) kinds: BTreeSet<String>,
    /// The name of its library in paths of modules, where that is not the package's with `_` for `-`.
    pub(crate) lib: Option<String>,
    /// Its `Cargo.toml`.
    pub(crate) manifest: PathBuf,
}

/// What one cargo call compiled, or found compiled.
#[derive(Debug, Clone, Default)]
pub(crate) struct Compiled {
    /// The file that was asked for.
    pub(crate) executable: PathBuf,
    /// The crates in it.
    pub(crate) target: BTreeMap<Package, Unit>,
    /// The crates that only helped to build it.
    pub(crate) host: BTreeMap<Package, Unit>,
    /// The packages of which something was compiled in this call, not found compiled.
    pub(crate) anew: BTreeSet<Package>,
    /// The compiler's diagnostics, rendered; they are printed as they come.
    pub(crate) warnings: Vec<String>,
}

impl Compiled {
    /// Cargo's target directory and the triple, from where the executable lies: `<target>/<triple>/<profile>/`. Asking
    /// the path and not the host also holds for `CARGO_BUILD_TARGET` and for a target described by a file.
    pub(crate) fn place(&self, profile: &Profile) -> Result<(PathBuf, String)> {
        let mut above = self.executable.ancestors().skip(1);
        let (dir, triple, target) = (above.next(), above.next(), above.next());
        match (dir, triple.and_then(Path::file_name), target) {
            (Some(dir), Some(triple), Some(target)) if dir.ends_with(profile.dir()) => {
                Ok((target.to_owned(), triple.to_string_lossy().into_owned()))
            }
            _ => {
                let lies = format!("<target>/<triple>/{}", profile.dir());
                Err(Error::output("cargo build", format!("the program is not in `{lies}`")))
            }
        }
    }
}

/// Builds a line with its progress on standard error, and reads its messages.
pub(crate) fn run_cargo(workspace: &Workspace, line: &CargoLine) -> Result<Compiled> {
    read_messages(workspace, &line.args("build"), &line.shell(), line.bin())
}

/// Compiles a line without linking it.
pub(crate) fn check(workspace: &Workspace, line: &CargoLine) -> Result<Compiled> {
    let args = line.args("check");
    read_messages(workspace, &args, &workspace::line(&args), "")
}

/// Runs a cargo call and reads its messages; `bin` is the executable to look for, `""` for none. What the compiler has to
/// say goes to standard error at once, as cargo itself would print it.
pub(crate) fn read_messages(
    workspace: &Workspace,
    args: &[String],
    shown: &str,
    bin: &str,
) -> Result<Compiled> {
    let format = if colour(&std::io::stderr()) { "json-diagnostic-rendered-ansi" } else { "json" };
    // Ahead of the rest, at whose end flags for the compiler may stand.
    let (verb, rest) = args.split_at(args.len().min(1));
    let mut command = workspace.cargo(verb);
    command.arg(format!("--message-format={format}")).args(rest);
    let mut child = command.stdout(Stdio::piped()).spawn().map_err(spawn("cargo"))?;
    let stdout = child.stdout.take().ok_or_else(|| Error::output(shown, "no standard output"))?;
    let mut artifacts = Vec::new();
    let mut warnings = Vec::new();
    // Of somebody else's crate a page of the compiler's is no answer to whoever only builds it in.
    let mut kept = workspace.is_overlay().then(Vec::new);
    for message in Message::parse_stream(BufReader::new(stdout)) {
        match message.map_err(Error::file("read", Path::new("cargo's messages")))? {
            Message::CompilerArtifact(artifact) => artifacts.push(artifact),
            Message::CompilerMessage(message) => {
                let rendered = message.message.rendered.clone().unwrap_or_default();
                match &mut kept {
                    None => eprint!("{rendered}"),
                    Some(kept) => kept.push(message.clone()),
                }
                // `3 warnings emitted` is not a fourth one.
                warnings.extend((!message.message.spans.is_empty()).then_some(rendered));
            }
            _ => {}
        }
    }
    let status = child.wait().map_err(spawn("cargo"))?;
    if !status.success() {
        let code = workspace::code(status);
        return Err(match kept {
            None => Error::Cargo { line: shown.to_owned(), code },
            Some(kept) => crate::overlay::told(workspace, shown, code, &kept),
        });
    }
    let mut compiled = sort(&artifacts, bin);
    compiled.warnings = warnings;
    if !bin.is_empty() && compiled.executable.as_os_str().is_empty() {
        return Err(Error::output(shown, format!("it made no `{bin}`")));
    }
    Ok(compiled)
}

/// Sorts artifacts into what is in the executable and what helped to build it.
fn sort(artifacts: &[Artifact], bin: &str) -> Compiled {
    let mut compiled = Compiled::default();
    let executable = artifacts
        .iter()
        .rev()
        .find(|artifact| artifact.target.name == bin && artifact.target.is_bin())
        .and_then(|artifact| artifact.executable.clone());
    let beside = executable.as_ref().and_then(|path| path.parent()).map(ToOwned::to_owned);
    for artifact in artifacts {
        let Some(package) = package(&artifact.package_id.repr) else { continue };
        if !artifact.fresh {
            compiled.anew.insert(package.clone());
        }
        let in_target = beside
            .as_ref()
            .is_some_and(|dir| artifact.filenames.first().is_some_and(|file| file.starts_with(dir)));
        let side = if in_target { &mut compiled.target } else { &mut compiled.host };
        let usual = package.name.replace('-', "_");
        let unit = side.entry(package).or_default();
        unit.features.extend(artifact.features.iter().cloned());
        unit.kinds.extend(artifact.target.kind.iter().map(ToString::to_string));
        unit.manifest = artifact.manifest_path.clone().into();
        let lib = artifact.target.name.replace('-', "_");
        let is_lib = !artifact.target.is_bin() && !artifact.target.is_custom_build();
        if is_lib && lib != usual {
            unit.lib = Some(lib);
        }
    }
    compiled.executable = executable.map(PathBuf::from).unwrap_or_default();
    compiled
}

/// The package of an id: `registry+https://…#serde@1.0.228`, `path+file:///…/crates/openshell-core#0.1.0`,
/// `path+file:///…/x#name@0.1.0`.
pub(crate) fn package(id: &str) -> Option<Package> {
    let (source, fragment) = id.split_once('#')?;
    let (name, version) = match fragment.split_once('@') {
        Some(both) => both,
        None => (source.rsplit('/').next()?.split('?').next()?, fragment),
    };
    let ours = source.starts_with("path+");
    Some(Package { name: name.to_owned(), version: version.to_owned(), ours })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn package_ids_give_name_and_version() {
        let of = |id| package(id).map(|package| (package.name, package.version, package.ours)).unwrap();
        let expected = |name: &str, version: &str, ours| (name.to_owned(), version.to_owned(), ours);
        assert_eq!(of("registry+https://index#serde@1.0.228"), expected("serde", "1.0.228", false));
        assert_eq!(of("path+file:///somewhere/crates/core#0.1.0"), expected("core", "0.1.0", true));
        assert_eq!(of("path+file:///x/y#other@0.2.0"), expected("other", "0.2.0", true));
        assert_eq!(of("git+https://host/r/repo?rev=1#0.3.0"), expected("repo", "0.3.0", false));
        assert!(package("nothing").is_none());
    }

    #[test]
    fn the_place_of_the_program_says_the_triple() {
        let executable = PathBuf::from("/t/x86_64-y/debug/gateway");
        let compiled = Compiled { executable, ..Compiled::default() };
        let (dir, triple) = compiled.place(&Profile::new("dev")).unwrap();
        assert_eq!((dir.as_path(), triple.as_str()), (Path::new("/t"), "x86_64-y"));
        assert!(compiled.place(&Profile::new("release")).is_err());
    }
}
