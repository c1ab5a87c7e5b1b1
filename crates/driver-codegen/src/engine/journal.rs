//! The journal of a swap: what is about to be done to which file, so that it can be undone, by this run or the next.

use std::fs::{self, File, FileTimes, TryLockError};
use std::io::{self, ErrorKind, Write};
use std::path::{Path, PathBuf};

use serde_json::{Value, json};

use super::{EngineError, Tree};

/// The directory at the root that holds the new files, the old ones and the journal while a swap lasts.
pub(super) const DIRECTORY: &str = ".gen.tmp";

const JOURNAL: &str = "journal.json";

/// What happens to one file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Action {
    /// There was none.
    Create,
    /// There was one: the old bytes are kept.
    Replace,
    /// There was one, and there will be none.
    Remove,
    /// Somebody else may rewrite it in the meantime (Cargo.lock).
    Watch,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Entry {
    pub(super) path: String,
    pub(super) action: Action,
}

/// What has to be undone when a swap does not end.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Journal {
    pub(super) entries: Vec<Entry>,
    /// Directories that the swap makes, outermost first.
    pub(super) directories: Vec<String>,
}

/// What [`recover`] found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Recovery {
    /// No run was interrupted.
    Nothing,
    /// An earlier run was interrupted; its files are as they were before it.
    RolledBack,
}

impl Journal {
    pub(super) fn write(&self, tree: &Tree) -> io::Result<()> {
        let entries: Vec<Value> =
            self.entries.iter().map(|entry| json!([entry.action.word(), entry.path])).collect();
        let text = json!({ "entries": entries, "directories": self.directories }).to_string();
        let directory = directory(tree);
        let staged = directory.join("journal.new");
        let mut file = File::create(&staged)?;
        file.write_all(text.as_bytes())?;
        file.sync_all()?;
        fs::rename(staged, directory.join(JOURNAL))
    }

    fn read(tree: &Tree) -> Result<Option<Self>, EngineError> {
        let path = directory(tree).join(JOURNAL);
        let text = match fs::read(&path) {
            Ok(text) => text,
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(EngineError::io("read", path)(error)),
        };
        Self::parse(&text).map(Some).ok_or(EngineError::Journal(path))
    }

    fn parse(text: &[u8]) -> Option<Self> {
        let value: Value = serde_json::from_slice(text).ok()?;
        let entry = |value: &Value| {
            Some(Entry {
                action: Action::of(value.get(0)?.as_str()?)?,
                path: value.get(1)?.as_str()?.to_owned(),
            })
        };
        Some(Self {
            entries: value.get("entries")?.as_array()?.iter().map(entry).collect::<Option<_>>()?,
            directories: value
                .get("directories")?
                .as_array()?
                .iter()
                .map(|path| path.as_str().map(str::to_owned))
                .collect::<Option<_>>()?,
        })
    }

    /// Puts every file back. Doing it twice does no harm.
    pub(super) fn roll_back(&self, tree: &Tree) -> Result<(), EngineError> {
        for (number, entry) in self.entries.iter().enumerate().rev() {
            let place = tree.locate(&entry.path)?;
            let old = old_file(tree, number);
            match entry.action {
                Action::Create => remove_file(&place)?,
                Action::Replace | Action::Remove => {
                    if old.exists() {
                        fs::rename(&old, &place).map_err(EngineError::io("put back", &place))?;
                    }
                }
                Action::Watch => {
                    if old.exists() && fs::read(&old).ok() != fs::read(&place).ok() {
                        fs::rename(&old, &place).map_err(EngineError::io("put back", &place))?;
                    }
                }
            }
        }
        for path in self.directories.iter().rev() {
            // One that somebody has put something into stays.
            let _ = fs::remove_dir(tree.locate(path)?);
        }
        Ok(())
    }
}

impl Action {
    fn word(self) -> &'static str {
        match self {
            Self::Create => "create",
            Self::Replace => "replace",
            Self::Remove => "remove",
            Self::Watch => "watch",
        }
    }

    fn of(word: &str) -> Option<Self> {
        [Self::Create, Self::Replace, Self::Remove, Self::Watch]
            .into_iter()
            .find(|action| action.word() == word)
    }
}

/// Whether an earlier run was interrupted half-way, so that the tree is neither old nor new. Writes nothing.
#[must_use]
pub fn was_interrupted(tree: &Tree) -> bool {
    directory(tree).join(JOURNAL).exists()
}

/// Undoes a run that was interrupted half-way, and removes what it had staged.
///
/// # Errors
/// When the old files cannot be put back (they and the journal stay), or another run is at work.
pub fn recover(tree: &Tree) -> Result<Recovery, EngineError> {
    let _lock = lock(tree)?;
    undo(tree)
}

/// One run at a time; the lock goes with the process.
pub(super) fn lock(tree: &Tree) -> Result<File, EngineError> {
    let path = tree.root().join("Cargo.toml");
    let file = File::open(&path).map_err(EngineError::io("open", &path))?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(TryLockError::WouldBlock) => Err(EngineError::Busy),
        Err(TryLockError::Error(error)) => Err(EngineError::io("lock", path)(error)),
    }
}

/// [`recover`], under the lock.
pub(super) fn undo(tree: &Tree) -> Result<Recovery, EngineError> {
    let recovery = match Journal::read(tree)? {
        None => Recovery::Nothing,
        Some(journal) => {
            journal.roll_back(tree)?;
            commit(tree)?;
            Recovery::RolledBack
        }
    };
    clear(tree)?;
    Ok(recovery)
}

/// Drops the journal: what is in the tree now stays there.
pub(super) fn commit(tree: &Tree) -> Result<(), EngineError> {
    remove_file(&directory(tree).join(JOURNAL))
}

/// Removes what was staged.
pub(super) fn clear(tree: &Tree) -> Result<(), EngineError> {
    let directory = directory(tree);
    match fs::remove_dir_all(&directory) {
        Err(error) if error.kind() != ErrorKind::NotFound => Err(EngineError::io("remove", directory)(error)),
        _ => Ok(()),
    }
}

pub(super) fn directory(tree: &Tree) -> PathBuf {
    tree.root().join(DIRECTORY)
}

pub(super) fn new_file(tree: &Tree, number: usize) -> PathBuf {
    directory(tree).join(format!("new-{number}"))
}

pub(super) fn old_file(tree: &Tree, number: usize) -> PathBuf {
    directory(tree).join(format!("old-{number}"))
}

/// A second name for a file's bytes, or a copy with its times where the file system has no such thing.
pub(super) fn keep(place: &Path, old: &Path) -> io::Result<()> {
    fs::hard_link(place, old).or_else(|_| copy(place, old))
}

/// A copy with the times of the original, for a file that somebody else rewrites in place.
pub(super) fn copy(place: &Path, old: &Path) -> io::Result<()> {
    fs::copy(place, old)?;
    let modified = fs::metadata(place)?.modified()?;
    File::options().write(true).open(old)?.set_times(FileTimes::new().set_modified(modified))
}

fn remove_file(place: &Path) -> Result<(), EngineError> {
    match fs::remove_file(place) {
        Err(error) if error.kind() != ErrorKind::NotFound => Err(EngineError::io("remove", place)(error)),
        _ => Ok(()),
    }
}
