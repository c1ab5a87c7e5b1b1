//! Where a build is made: in this workspace as it is, in this workspace with no path of it kept, or in an overlay with drivers
//! from elsewhere. The results go to one place.

use std::collections::BTreeMap;
use std::path::PathBuf;

use driver_manifest::{Assembly, Selection};

use super::again::Again;
use super::{Args, CargoArgs, Job, Record, reproducible};
use crate::error::{Error, Result};
use crate::overlay::{Foreign, Origin, Overlay};
use crate::selection;
use crate::workspace::Workspace;

/// The target directory of builds that keep no path, below the usual one: cargo takes what was compiled with paths for the
/// same, and would compile all of it at each change.
const REPRODUCIBLE: &str = "reproducible";

/// What a build is made of besides its selection.
pub(super) struct Site {
    main: Workspace,
    assembly: Assembly,
    overlay: Option<Overlay>,
    again: Option<Again>,
    reproducible: bool,
    /// What cargo is told.
    cargo: CargoArgs,
}

/// Of what `build.json` says where a build comes from.
#[derive(Debug, Clone, Default)]
pub(crate) struct Provenance {
    /// Whether paths were cut.
    pub(super) reproducible: bool,
    /// What it is made of from elsewhere.
    pub(super) origin: Option<Origin>,
    /// Where each driver from elsewhere was.
    pub(super) foreign: BTreeMap<String, Foreign>,
}

impl Site {
    /// What the flags come to. Nothing is written yet.
    pub(super) fn of(args: &Args) -> Result<Self> {
        let main = Workspace::find()?;
        let again = args.from.as_deref().map(Again::read).transpose()?;
        let assembly = main.assembly()?;
        let asked = args.overlay.origin(main.root())?;
        let origin = match &again {
            Some(again) => {
                again.hold_toolchain(&main, args)?;
                again.origin(asked)?
            }
            None => args.overlay.is_asked().then_some(asked),
        };
        let overlay = origin.map(|origin| Overlay::read(&main, &assembly, origin)).transpose()?;
        let mut cargo = args.cargo.clone();
        if let Some(again) = &again {
            if let Some(overlay) = &overlay {
                again.hold_sources(overlay)?;
            }
            cargo = again.cargo(&main, &cargo)?;
        }
        let reproducible =
            args.reproducible || overlay.is_some() || again.as_ref().is_some_and(Again::is_reproducible);
        // Its lock is complete, and a part of what makes the bytes the same.
        cargo.locked |= reproducible;
        Ok(Self { main, assembly, overlay, again, reproducible, cargo })
    }

    /// All drivers, options and presets that can be built here.
    pub(super) fn assembly(&self) -> &Assembly {
        self.overlay.as_ref().map_or(&self.assembly, |overlay| &overlay.assembly)
    }

    /// This workspace.
    pub(super) fn main(&self) -> &Workspace {
        &self.main
    }

    /// The folders to make.
    pub(super) fn jobs(&self, args: &Args) -> Result<Vec<Job>> {
        let jobs = match &self.again {
            Some(again) => {
                let selection = selection::select(self.assembly(), &again.request())?;
                vec![match again.program() {
                    Some(driver) => {
                        Job::program(self.assembly(), selection::alone(&selection, driver), &self.cargo)?
                    }
                    None => Job::gateway(self.assembly(), self.named(selection), &self.cargo),
                }]
            }
            None if args.programs.is_empty() => {
                let (selection, notes) = args.selection.resolve_with(self.assembly(), self.also())?;
                for note in notes {
                    eprintln!("note: {note}");
                }
                vec![Job::gateway(self.assembly(), self.named(selection), &self.cargo)]
            }
            None if args.selection.names_drivers() => {
                return Err(Error::refused(
                    "a gateway and programs are built by two calls",
                    "cargo xtask build --programs NAMES, and cargo xtask build --drivers NAMES",
                ));
            }
            None => {
                let selections = args.selection.resolve_programs(self.assembly(), &args.programs)?;
                let jobs = selections.into_iter().map(|one| Job::program(self.assembly(), one, &self.cargo));
                jobs.collect::<Result<Vec<_>>>()?
            }
        };
        let out = self.reproducible.then(|| self.main.target_dir());
        let provenance = Provenance {
            reproducible: self.reproducible,
            origin: self.overlay.as_ref().map(|overlay| overlay.origin.clone()),
            foreign: self.overlay.as_ref().map(|overlay| overlay.foreign.clone()).unwrap_or_default(),
        };
        let place = |job: Job| Job { out: out.clone(), provenance: provenance.clone(), ..job };
        Ok(jobs.into_iter().map(place).collect())
    }

    /// What comes into a gateway without being named once more: drivers of `--with`. With a manifest alone it is what that
    /// makes the default.
    fn also(&self) -> Option<Vec<String>> {
        let overlay = self.overlay.as_ref()?;
        Some(overlay.origin.with.keys().cloned().collect())
    }

    fn named(&self, selection: Selection) -> Selection {
        match &self.overlay {
            Some(overlay) => overlay.named(&self.assembly, selection),
            None => selection,
        }
    }

    /// The directory that cargo is to be called in, when it is not this workspace's.
    pub(super) fn elsewhere(&self) -> Option<PathBuf> {
        self.overlay.as_ref().map(|overlay| overlay.root(&self.main.target_dir()))
    }

    /// The workspace that is built, complete.
    pub(super) fn made(&self) -> Result<Workspace> {
        if let Some(overlay) = &self.overlay {
            let seed = self.again.as_ref().and_then(Again::lock);
            return overlay.write(&self.main, seed.as_deref(), self.cargo.offline);
        }
        if !self.reproducible {
            return Ok(self.main.clone());
        }
        let target_dir = self.main.target_dir().join(REPRODUCIBLE);
        let environment = reproducible::environment(&self.main, self.main.root(), &target_dir)?;
        Ok(Workspace::apart(self.main.root(), target_dir, environment))
    }

    /// Holds what was made to what it was to be once more.
    pub(super) fn compare(&self, made: &Record) -> Result<()> {
        self.again.as_ref().map_or(Ok(()), |again| again.compare(made))
    }
}
