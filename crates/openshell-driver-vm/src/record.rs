//! What is kept of a sandbox: a directory of its own, which is the sandbox. Where there is none, there is no sandbox.
//!
//! ```text
//!   <state_dir>/<gateway id>/lock                     held by the one driver of the gateway
//!   <state_dir>/<gateway id>/sandboxes/<id>/          0700
//!       record.json  token                            0600; the token in no other file
//!       base.ext4  overlay.qcow2  console.log         the image's disk by a name of its own, what was written over it
//!   …/sandboxes/.new-<id>/                            being made: renamed once whole, cleared by the next start
//!   …/sandboxes/.gone-<id>/                           being removed: the same
//! ```

use std::collections::BTreeMap;
use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use openshell_driver_api::{DriverError, SandboxId, Secret};
use openshell_driver_common::names::plain;
use serde::{Deserialize, Serialize};

use crate::error::file;

const RECORD: &str = "record.json";
const TOKEN: &str = "token";
/// The image's disk in a sandbox's directory.
pub(crate) const BASE: &str = "base.ext4";
const NEW: &str = ".new-";
const GONE: &str = ".gone-";

/// A sandbox, but for its token and its disk.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(Debug))]
pub(crate) struct Record {
    /// Of this layout: [`Record::VERSION`].
    pub(crate) version: u32,
    /// The sandbox's key.
    pub(crate) id: String,
    /// Its name.
    pub(crate) name: String,
    /// Its workspace.
    pub(crate) workspace: String,
    /// The user's labels and ours.
    pub(crate) labels: BTreeMap<String, String>,
    /// When it was asked for, in milliseconds since 1970.
    pub(crate) created_ms: i64,
    /// The reference that it was made of.
    pub(crate) image: String,
    /// What the reference meant.
    pub(crate) digest: String,
    /// In bytes.
    pub(crate) disk_size: u64,
    /// How many.
    pub(crate) cpus: u32,
    /// In bytes.
    pub(crate) memory: u64,
    /// Whether it has QEMU's user-mode network.
    pub(crate) network: bool,
    /// Whether a supervisor starts what runs in it. Records from before there was one do not say.
    #[serde(default)]
    pub(crate) supervised: bool,
    /// What runs in it.
    pub(crate) run: Run,
    /// How its last run ended; `None` while it runs, and where nobody was there to see.
    pub(crate) ended: Option<Ended>,
}

/// What runs in a machine, the image's share filled in: an image that means something else later changes nothing.
#[derive(Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[cfg_attr(test, derive(Debug))]
pub(crate) struct Run {
    /// The exact command; empty is `/bin/sh`.
    pub(crate) argv: Vec<String>,
    /// Names and values.
    pub(crate) environment: Vec<(String, String)>,
    /// `user[:group]`; empty is root.
    pub(crate) user: String,
    /// Where it starts.
    pub(crate) working_dir: String,
    /// The machine's name; may be empty.
    pub(crate) hostname: String,
    /// Whether it has a terminal.
    pub(crate) tty: bool,
    /// Whether its standard input is held open.
    pub(crate) stdin: bool,
    /// How many processes and threads there may be.
    pub(crate) pids_limit: u64,
}

/// How a run ended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Ended {
    /// What it was.
    pub(crate) how: How,
    /// For people.
    pub(crate) message: String,
    /// Milliseconds since 1970.
    pub(crate) at_ms: i64,
}

/// The ways in which a run ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum How {
    /// Somebody asked for it, or its driver ended.
    Stopped,
    /// The main process ended by itself.
    Exited,
    /// The guest ran out of memory.
    OutOfMemory,
    /// It never came up.
    Failed,
    /// The guest's kernel panicked or hung, or its QEMU ended.
    Dead,
}

impl Record {
    /// The layout that this driver writes, and the only one that it reads.
    pub(crate) const VERSION: u32 = 1;
}

/// The directories of one gateway's sandboxes. While this value lives, no other driver has them.
#[derive(Debug)]
pub(crate) struct Records {
    root: PathBuf,
    _lock: File,
}

/// A sandbox's directory in the making; dropped before it is kept, it is removed.
#[derive(Debug)]
pub(crate) struct Staged<'a> {
    records: &'a Records,
    id: SandboxId,
    directory: Option<PathBuf>,
}

/// What [`Records::load`] found.
#[derive(Default)]
pub(crate) struct Loaded {
    /// The sandboxes.
    pub(crate) records: Vec<Record>,
    /// Directories whose record cannot be read, and why.
    pub(crate) broken: Vec<(PathBuf, String)>,
}

impl Records {
    /// Takes the directories of a gateway below `gateway_dir`, if nobody else has them.
    ///
    /// # Errors
    /// `None` for a driver that has them, else the disk's.
    pub(crate) fn open(gateway_dir: &Path) -> Result<Option<Self>, DriverError> {
        const OPERATION: &str = "open the state directory";
        let root = gateway_dir.join("sandboxes");
        DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(&root)
            .map_err(|error| file(OPERATION, &root, error))?;
        let path = gateway_dir.join("lock");
        let lock = OpenOptions::new()
            .write(true)
            .create(true)
            .truncate(false)
            .mode(0o600)
            .open(&path)
            .map_err(|error| file(OPERATION, &path, error))?;
        match lock.try_lock() {
            Ok(()) => Ok(Some(Self { root, _lock: lock })),
            Err(fs::TryLockError::WouldBlock) => Ok(None),
            Err(fs::TryLockError::Error(error)) => Err(file(OPERATION, &path, error)),
        }
    }

    /// The directory of a sandbox, whether it is there or not.
    pub(crate) fn directory(&self, id: &SandboxId) -> PathBuf {
        self.root.join(plain(id.as_str()))
    }

    /// Every directory of a sandbox, whole or not.
    ///
    /// # Errors
    /// The disk's.
    pub(crate) fn directories(&self) -> Result<Vec<PathBuf>, DriverError> {
        let list = || fs::read_dir(&self.root)?.map(|entry| entry.map(|entry| entry.path())).collect();
        let listed: io::Result<Vec<PathBuf>> = list();
        listed.map_err(|error| file("list sandboxes", &self.root, error))
    }

    /// Reads every record, once what was half-made or half-removed is cleared away.
    ///
    /// # Errors
    /// The disk's.
    pub(crate) fn load(&self) -> Result<Loaded, DriverError> {
        let mut loaded = Loaded::default();
        for directory in self.directories()? {
            let name = directory.file_name().unwrap_or_default().to_string_lossy().into_owned();
            if name.starts_with(NEW) || name.starts_with(GONE) {
                clear(&directory).map_err(|error| file("clear a sandbox away", &directory, error))?;
                continue;
            }
            match read(&directory) {
                Ok(record) if plain(&record.id) == name => loaded.records.push(record),
                Ok(record) => {
                    loaded.broken.push((directory, format!("it is of the sandbox `{}`", record.id)))
                }
                Err(problem) => loaded.broken.push((directory, problem)),
            }
        }
        Ok(loaded)
    }

    /// Begins a sandbox's directory, with its record and its token in it.
    ///
    /// # Errors
    /// The disk's; nothing is left.
    pub(crate) fn stage(
        &self,
        id: &SandboxId,
        record: &Record,
        token: &Secret,
    ) -> Result<Staged<'_>, DriverError> {
        let directory = self.root.join(format!("{NEW}{}", plain(id.as_str())));
        let make = || {
            clear(&directory)?;
            DirBuilder::new().mode(0o700).create(&directory)?;
            write(&directory.join(RECORD), &serde_json::to_vec(record)?)?;
            if token.is_empty() { Ok(()) } else { write(&directory.join(TOKEN), token.expose().as_bytes()) }
        };
        let made: io::Result<()> = make();
        let staged = Staged { records: self, id: id.clone(), directory: Some(directory.clone()) };
        made.map_err(|error| file("write the sandbox's record", &directory, error))?;
        Ok(staged)
    }

    /// Writes a record anew.
    ///
    /// # Errors
    /// The disk's; the record is then as it was.
    pub(crate) fn save(&self, id: &SandboxId, record: &Record) -> Result<(), DriverError> {
        let directory = self.directory(id);
        let (path, staged) = (directory.join(RECORD), directory.join(format!("{RECORD}.new")));
        let save = || {
            let written = clear(&staged).and_then(|()| write(&staged, &serde_json::to_vec(record)?));
            written.and_then(|()| fs::rename(&staged, &path)).inspect_err(|_| {
                // What is there of it may be what the disk has no room for.
                let _ = fs::remove_file(&staged);
            })
        };
        save().map_err(|error| file("write the sandbox's record", &path, error))
    }

    /// A sandbox's token; empty where it has none.
    ///
    /// # Errors
    /// The disk's.
    pub(crate) fn token(&self, id: &SandboxId) -> Result<Secret, DriverError> {
        let path = self.directory(id).join(TOKEN);
        match fs::read_to_string(&path) {
            Ok(token) => Ok(Secret::new(token)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Secret::default()),
            Err(error) => Err(file("read the sandbox's token", &path, error)),
        }
    }

    /// Removes a sandbox's directory; `false` where there was none. Once the name is gone, so is the sandbox: what a crash
    /// leaves of it the next start clears away.
    ///
    /// # Errors
    /// The disk's.
    pub(crate) fn remove(&self, id: &SandboxId) -> Result<bool, DriverError> {
        let directory = self.directory(id);
        let gone = self.root.join(format!("{GONE}{}", plain(id.as_str())));
        let remove = || {
            clear(&gone)?;
            match fs::rename(&directory, &gone) {
                Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(false),
                renamed => renamed?,
            }
            clear(&gone)?;
            Ok(true)
        };
        let removed: io::Result<bool> = remove();
        removed.map_err(|error| file("remove the sandbox's directory", &directory, error))
    }
}

impl Staged<'_> {
    /// Where it lies until it is kept.
    pub(crate) fn directory(&self) -> PathBuf {
        self.directory.clone().unwrap_or_default()
    }

    /// Makes it the sandbox's directory.
    ///
    /// # Errors
    /// The disk's; nothing is left.
    pub(crate) fn keep(mut self) -> Result<PathBuf, DriverError> {
        let (staged, kept) = (self.directory(), self.records.directory(&self.id));
        let keep = || {
            File::open(&staged)?.sync_all()?;
            fs::rename(&staged, &kept)?;
            File::open(&self.records.root)?.sync_all()
        };
        let renamed: io::Result<()> = keep();
        renamed.map_err(|error| file("keep the sandbox's directory", &kept, error))?;
        self.directory = None;
        Ok(kept)
    }
}

impl Drop for Staged<'_> {
    fn drop(&mut self) {
        if let Some(directory) = self.directory.take()
            && let Err(error) = clear(&directory)
        {
            let directory = directory.display();
            tracing::warn!(%directory, %error, "cannot remove what a failed create had made; the next start will");
        }
    }
}

fn read(directory: &Path) -> Result<Record, String> {
    let text = fs::read(directory.join(RECORD)).map_err(|error| format!("`{RECORD}`: {error}"))?;
    let record: Record = serde_json::from_slice(&text).map_err(|error| format!("`{RECORD}`: {error}"))?;
    match record.version {
        Record::VERSION => Ok(record),
        version => {
            Err(format!("`{RECORD}` has version {version}, and this driver reads {}", Record::VERSION))
        }
    }
}

/// Writes a file of 0600 that was not there, down to the disk.
fn write(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(path)?;
    file.write_all(bytes)?;
    file.sync_all()
}

/// Removes a file or a directory with all that is in it, if it is there. No link is followed.
fn clear(path: &Path) -> io::Result<()> {
    let removed = match fs::symlink_metadata(path) {
        Ok(found) if found.is_dir() => fs::remove_dir_all(path),
        Ok(_) => fs::remove_file(path),
        Err(error) => Err(error),
    };
    removed.or_else(|error| if error.kind() == io::ErrorKind::NotFound { Ok(()) } else { Err(error) })
}

#[cfg(test)]
mod tests;
