//! `build --from build.json`: the same build once more, and whether it came to the same bytes.

use std::path::{Path, PathBuf};

use driver_manifest::Request;
use sha2::{Digest, Sha256};

use super::place::hex;
use super::record::{BUILD_JSON, LOCK, Record};
use super::{Args, CargoArgs};
use crate::error::{Error, Result};
use crate::overlay::{Origin, Overlay};
use crate::workspace::{GATEWAY_PACKAGE, Rustc, Workspace, joined};

/// A build that is to be made once more.
pub(crate) struct Again {
    shown: String,
    folder: PathBuf,
    record: Record,
}

impl Again {
    /// Reads a `build.json`, or that of a folder.
    pub(super) fn read(path: &Path) -> Result<Self> {
        let folder = if path.is_dir() { path } else { path.parent().unwrap_or(Path::new("")) };
        let is_named = path.is_dir() || path.file_name().is_some_and(|name| name == BUILD_JSON);
        let record = Record::read(folder).filter(|_| is_named).ok_or_else(|| {
            let message = format!("`{}` is no {BUILD_JSON} that this version reads", path.display());
            Error::refused(message, format!("--from takes the {BUILD_JSON} that a build has left"))
        })?;
        Ok(Self { shown: path.display().to_string(), folder: folder.to_owned(), record })
    }

    /// Whether paths were cut.
    pub(super) fn is_reproducible(&self) -> bool {
        self.record.reproducible
    }

    /// Another compiler makes other bytes; refused unless that is wished.
    pub(super) fn hold_toolchain(&self, workspace: &Workspace, args: &Args) -> Result<()> {
        let here = joined(Rustc::ask(workspace))?.version;
        if here == self.record.rustc || args.allow_other_toolchain {
            return Ok(());
        }
        let message =
            format!("`{}` was built by rustc {}; here is rustc {here}", self.shown, self.record.rustc);
        Err(Error::refused(
            message,
            "install that toolchain, or say --allow-other-toolchain: the bytes will be others",
        ))
    }

    /// What it was made of from elsewhere; `moved` says where a driver of it lies now.
    pub(super) fn origin(&self, moved: Origin) -> Result<Option<Origin>> {
        let mut origin = self.record.overlay.clone();
        for (name, source) in moved.with {
            let place = origin.as_mut().and_then(|origin| origin.with.get_mut(&name));
            let Some(place) = place else {
                let message = format!("`{}` has no driver `{name}` that came from `--with`", self.shown);
                return Err(Error::refused(
                    message,
                    "beside --from, --with says where a driver of that build lies now",
                ));
            };
            *place = source;
        }
        Ok(origin)
    }

    /// Whether what comes from elsewhere is what was built.
    pub(super) fn hold_sources(&self, overlay: &Overlay) -> Result<()> {
        for (name, foreign) in &overlay.foreign {
            let built = self.record.sources.get(name).and_then(|source| source.sha256.as_ref());
            if built.is_some_and(|built| *built != foreign.sha256) {
                let message = format!("the driver `{name}` in `{}` is not what was built", foreign.path);
                let hint = format!("check out what was built, or name where it is: --with {name}=DIRECTORY");
                return Err(Error::refused(message, hint));
            }
        }
        Ok(())
    }

    /// The lock of a build with drivers from elsewhere, which lies beside its record.
    pub(super) fn lock(&self) -> Option<String> {
        let text = std::fs::read_to_string(self.folder.join(LOCK)).ok()?;
        (hex(&Sha256::digest(&text)) == self.record.lock_sha256).then_some(text)
    }

    /// The drivers and options.
    pub(super) fn request(&self) -> Request {
        let switched = |on: bool| {
            let options = self.record.options.iter().filter(move |(_, state)| **state == on);
            options.map(|(name, _)| name.clone()).collect()
        };
        Request {
            drivers: self.record.drivers.clone(),
            with_options: switched(true),
            without_options: switched(false),
            ..Request::default()
        }
    }

    /// The driver of a standalone program; `None`: a gateway.
    pub(super) fn program(&self) -> Option<&str> {
        let is_gateway = self.record.files.first().is_none_or(|file| file.package == GATEWAY_PACKAGE);
        self.record.drivers.first().filter(|_| !is_gateway).map(String::as_str)
    }

    /// What cargo is told.
    pub(super) fn cargo(&self, workspace: &Workspace, asked: &CargoArgs) -> Result<CargoArgs> {
        let host = joined(Rustc::ask(workspace))?.host;
        let target = (self.record.triple != host).then(|| self.record.triple.clone());
        Ok(CargoArgs { profile: self.record.profile.clone(), target, ..asked.clone() })
    }

    /// Whether the files are the same; if not, what is known of why.
    pub(super) fn compare(&self, made: &Record) -> Result<()> {
        let of = |record: &Record, name: &str| {
            let file = record.files.iter().find(|file| file.file == name);
            file.map(|file| file.artifact.sha256.clone())
        };
        let names = self.record.files.iter().map(|file| file.file.as_str());
        let others: Vec<&str> = names.filter(|name| of(&self.record, name) != of(made, name)).collect();
        if others.is_empty() {
            eprintln!("note: the same bytes as `{}`", self.shown);
            return Ok(());
        }
        Err(Error::Unagreed {
            message: format!("`{}` has not the bytes that `{}` says", others.join("`, `"), self.shown),
            hint: self.reasons(made).join("; "),
        })
    }

    fn reasons(&self, made: &Record) -> Vec<String> {
        let before = &self.record;
        let mut reasons = Vec::new();
        if !before.reproducible {
            reasons.push(
                "it was built without --reproducible, so it holds paths of where it was built".to_owned(),
            );
        }
        if before.rustc != made.rustc {
            reasons.push(format!("it was built by rustc {}", before.rustc));
        }
        if before.lock_sha256 != made.lock_sha256 {
            reasons.push("it was built with another Cargo.lock".to_owned());
        }
        let changed = before.sources.iter().filter(|(name, source)| made.sources.get(*name) != Some(*source));
        reasons.extend(changed.map(|(name, _)| format!("the driver `{name}` was another")));
        if reasons.is_empty() {
            reasons.push(
                "the rest of this workspace was another: check out the commit that was built".to_owned(),
            );
        }
        reasons
    }
}
