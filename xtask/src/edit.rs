//! `edit`: changes `drivers.toml` as a person would, comments and all. The new text is read before it is written: what
//! would not be a manifest any more is shown with its faults, and the file stays as it was.

use std::collections::BTreeMap;
use std::fs;
use std::process::ExitCode;

use clap_complete::ArgValueCompleter;
use driver_codegen::COMMAND;
use driver_manifest::{NewDriver, Place, add_driver, move_driver, remove_driver};

use crate::completions;
use crate::error::{Error, Result};
use crate::generate;
use crate::workspace::{MANIFEST, Workspace};

/// Change drivers.toml and keep its comments
#[derive(Debug, Clone, clap::Args)]
pub(crate) struct Args {
    #[command(subcommand)]
    edit: Edit,
}

#[derive(Debug, Clone, clap::Subcommand)]
enum Edit {
    /// Add a driver
    Add(AddArgs),
    /// Remove a driver, also from the presets
    Remove {
        /// Its name
        #[arg(add = ArgValueCompleter::new(completions::drivers))]
        name: String,
    },
    /// Move a driver: the order of the entries is the auto-detect order
    Move {
        /// Its name
        #[arg(add = ArgValueCompleter::new(completions::drivers))]
        name: String,
        #[command(flatten)]
        place: PlaceArgs,
    },
}

#[derive(Debug, Clone, clap::Args)]
struct AddArgs {
    /// Its name
    name: String,
    /// How its code and the gateway meet: in-tree, process, socket or crate
    #[arg(long)]
    kind: String,
    /// One line about it
    #[arg(long)]
    summary: String,
    /// Its crate
    #[arg(long)]
    package: Option<String>,
    /// Where somebody else's crate is, seen from drivers.toml
    #[arg(long)]
    path: Option<String>,
    /// Which version of somebody else's crate
    #[arg(long)]
    version: Option<String>,
    /// Where somebody else's program listens
    #[arg(long)]
    socket: Option<String>,
    /// It has a probe and takes part in auto-detection
    #[arg(long)]
    detect: bool,
    /// Whether it is in the default features
    #[arg(long, value_name = "BOOL")]
    default: Option<bool>,
    #[command(flatten)]
    place: PlaceArgs,
}

#[derive(Debug, Clone, clap::Args)]
struct PlaceArgs {
    /// Put it before this driver
    #[arg(long, value_name = "NAME", conflicts_with = "after", add = ArgValueCompleter::new(completions::drivers))]
    before: Option<String>,
    /// Put it behind this driver
    #[arg(long, value_name = "NAME", add = ArgValueCompleter::new(completions::drivers))]
    after: Option<String>,
}

impl PlaceArgs {
    fn place(&self) -> Option<Place> {
        match (&self.before, &self.after) {
            (Some(before), _) => Some(Place::Before(before.clone())),
            (None, Some(after)) => Some(Place::After(after.clone())),
            (None, None) => None,
        }
    }
}

/// Runs it.
pub(crate) fn run(args: &Args) -> Result {
    let workspace = Workspace::find()?;
    let text = text(&workspace)?;
    let mut notes = Vec::new();
    let new = match &args.edit {
        Edit::Add(args) => {
            let entry = NewDriver {
                name: &args.name,
                summary: &args.summary,
                kind: &args.kind,
                package: args.package.as_deref(),
                path: args.path.as_deref(),
                version: args.version.as_deref(),
                socket: args.socket.as_deref(),
                detect: args.detect.then_some(true),
                default: args.default,
            };
            add_driver(&text, &entry.text(), &args.place.place().unwrap_or_default())
        }
        Edit::Remove { name } => remove_driver(&text, name).map(|removed| {
            let changed = removed.changed_presets.iter();
            notes.extend(changed.map(|preset| format!("the preset `{preset}` does not name it any more")));
            let gone = removed.removed_presets.iter();
            notes.extend(gone.map(|preset| format!("the preset `{preset}` named nothing else and is gone")));
            removed.text
        }),
        Edit::Move { name, place } => match place.place() {
            Some(place) => move_driver(&text, name, &place),
            None => {
                return Err(Error::refused("it is not said where to", "say --before NAME or --after NAME"));
            }
        },
    };
    let new = new.map_err(|error| Error::edit(&error))?;
    if new == text {
        println!("`{MANIFEST}` is so already");
        return Ok(ExitCode::SUCCESS);
    }
    if generate::checked(&workspace, &new, BTreeMap::new())?.is_none() {
        eprintln!("error: the change was not made: `{MANIFEST}` would have the faults above");
        return Ok(ExitCode::from(2));
    }
    write(&workspace, &new)?;
    println!("wrote {MANIFEST}");
    for note in notes {
        println!("note: {note}");
    }
    println!("next: {COMMAND}");
    Ok(ExitCode::SUCCESS)
}

/// The text of `drivers.toml`.
pub(crate) fn text(workspace: &Workspace) -> Result<String> {
    String::from_utf8(workspace.manifest()?)
        .map_err(|_| Error::refused(format!("`{MANIFEST}` is not UTF-8"), format!("git checkout {MANIFEST}")))
}

/// Replaces `drivers.toml`: whoever reads it meanwhile finds one text or the other, whole.
pub(crate) fn write(workspace: &Workspace, text: &str) -> Result<()> {
    // Where it really is: a link stays one.
    let manifest = workspace.path(MANIFEST);
    let path = fs::canonicalize(&manifest).map_err(Error::file("find", &manifest))?;
    let new = path.with_extension("toml.tmp");
    let written = fs::metadata(&path).and_then(|old| {
        fs::write(&new, text)?;
        fs::set_permissions(&new, old.permissions())?;
        fs::rename(&new, &path)
    });
    written.map_err(|source| {
        // What is left of it is nobody's; where it cannot be removed, git ignores it.
        let _ = fs::remove_file(&new);
        Error::file("write", &path)(source)
    })
}
