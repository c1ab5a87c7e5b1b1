//! `new-driver`: a driver that compiles and keeps the contract from its first minute, with a backend in memory to be
//! replaced; in this workspace, or in a repository of its own that is built against it.
//!
//! ```text
//!   name ─ rules of driver-manifest ─▶ templates (templates.rs) ─▶ a directory beside ─ rename ─▶ drivers.toml ─▶ gen
//! ```
//!
//! Everything that can be wrong is found before anything is written.

mod place;
mod templates;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use driver_codegen::COMMAND;
use driver_manifest::{
    DRIVER_API, EXTERNAL, NewDriver, PackageFacts, Place, add_driver, check_driver_name, nearest,
};

use crate::error::{Error, Result};
use crate::workspace::{MANIFEST, Workspace, quote};
use crate::{edit, generate};
pub(crate) use place::way;
use templates::Words;

/// What fits into a line of the files, so that rustfmt leaves them as they are.
const LONGEST_SUMMARY: usize = 80;

/// Write a new driver, with its tests and a backend in memory
#[derive(Debug, Clone, clap::Args)]
pub(crate) struct Args {
    /// Its name: lower-case letters, digits and `-`
    name: String,
    /// Make a repository of its own there, instead of a crate of this workspace
    #[arg(long, value_name = "DIR")]
    out_of_tree: Option<PathBuf>,
    /// One line about it
    #[arg(long, value_name = "TEXT", default_value = "sandboxes in memory")]
    summary: String,
}

/// Runs it.
pub(crate) fn run(args: &Args) -> Result {
    let workspace = Workspace::find()?;
    check_driver_name(&args.name).map_err(|error| Error::refused(error.to_string(), error.hint()))?;
    // The summary becomes a text of Rust, TOML and Markdown, as it is.
    if let Some(bad) =
        args.summary.chars().find(|c| matches!(c, '"' | '\\' | '`' | '{' | '}') || c.is_control())
    {
        let message = format!("the summary has a {bad:?} in it, which not every file can hold as it is");
        return Err(Error::refused(message, "choose other words; the files can say more later"));
    }
    if args.summary.chars().count() > LONGEST_SUMMARY {
        let message = format!("the summary has more than {LONGEST_SUMMARY} characters");
        return Err(Error::refused(message, "say it shorter; the files can say more later"));
    }
    let package = format!("openshell-driver-{}", args.name);
    let assembly = workspace.assembly()?;
    if assembly.driver(&args.name).is_some() {
        let hint = format!(
            "choose another name; `cargo xtask list` shows those that are taken, `{MANIFEST}` lists them"
        );
        return Err(Error::refused(format!("a driver named `{}` is there already", args.name), hint));
    }
    let directory = format!("crates/{package}");
    if std::fs::symlink_metadata(workspace.path(&directory)).is_ok() {
        let hint = format!("choose another name, or remove it if nothing needs it: git rm -r {directory}");
        return Err(Error::refused(format!("`{directory}` is there already"), hint));
    }
    if let Some(near) = nearest(&args.name, assembly.drivers.iter().map(|driver| driver.name.as_str())) {
        eprintln!("warning: there is a driver named `{near}`, which `{}` may be taken for", args.name);
    }
    let words = Words { name: &args.name, package: &package, summary: &args.summary, workspace: "" };
    match &args.out_of_tree {
        Some(directory) => out_of_tree(&workspace, &words, directory),
        None => in_tree(&workspace, &words, &directory),
    }
}

/// A crate of this workspace, its entry, and what follows from that.
fn in_tree(workspace: &Workspace, words: &Words<'_>, directory: &str) -> Result {
    let text = edit::text(workspace)?;
    let entry = NewDriver {
        name: words.name,
        summary: words.summary,
        kind: "in-tree",
        package: Some(words.package),
        // Nobody's gateway is to have it before it does something.
        default: Some(false),
        ..NewDriver::default()
    };
    let place = Place::Before(EXTERNAL.to_owned());
    let manifest = add_driver(&text, &entry.text(), &place).map_err(|error| Error::edit(&error))?;
    let facts = PackageFacts { driver_api: Some(DRIVER_API.to_owned()), ..PackageFacts::default() };
    let planned = BTreeMap::from([(words.package.to_owned(), facts)]);
    if generate::checked(workspace, &manifest, planned)?.is_none() {
        eprintln!("error: nothing was written: `{MANIFEST}` would have the faults above");
        return Ok(ExitCode::from(2));
    }
    let target = workspace.path(directory);
    place::write(workspace.root(), &target, &templates::in_tree(words))?;
    if let Err(error) = edit::write(workspace, &manifest) {
        // Without its entry the crate would be a member that nobody knows.
        let _ = std::fs::remove_dir_all(&target);
        return Err(error);
    }
    println!("wrote {directory}\nwrote {MANIFEST}");
    let generated = generate::run(generate::Args::default())?;
    if generated != ExitCode::SUCCESS {
        eprintln!(
            "error: the driver is written, but what follows from its entry is not\nhint: mend what is said above, then {COMMAND}"
        );
        return Ok(generated);
    }
    println!(
        "next: cargo test -p {}\nnext: cargo xtask size golden --write\nnext: cargo xtask tidy",
        words.package
    );
    Ok(ExitCode::SUCCESS)
}

/// A repository of its own.
fn out_of_tree(workspace: &Workspace, words: &Words<'_>, directory: &Path) -> Result {
    let target = place::free_directory(workspace.root(), directory)?;
    let way = way(&target, workspace.root())?;
    let lock = workspace.read("Cargo.lock")?;
    let files = templates::out_of_tree(&Words { workspace: &way, ..*words }, &lock);
    let beside = target.parent().unwrap_or(Path::new("/"));
    std::fs::create_dir_all(beside).map_err(Error::file("create", beside))?;
    place::write(beside, &target, &files)?;
    let shown = directory.display().to_string();
    println!("wrote {shown}\nnext: cd {} && cargo test", quote(&shown));
    Ok(ExitCode::SUCCESS)
}
