//! Writes a plan: everything is staged, then swapped, and put back when anything fails on the way.

use std::fs::{self, File};
use std::io::{self, ErrorKind, Write};
use std::path::Path;

use super::journal::{
    self, Action, Entry, Journal, clear, commit, directory, keep, lock, new_file, old_file, undo,
};
use super::{Change, EngineError, Plan, Recovery, Tree};

type Cause = Box<dyn std::error::Error + Send + Sync>;

/// What the engine is about to do; a hook may refuse any of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Step<'a> {
    /// Make the directory for the staged files.
    Prepare,
    /// Write the new bytes of a file beside the tree.
    Stage(&'a str),
    /// Keep the old bytes of a file.
    Keep(&'a str),
    /// Write the journal.
    Journal,
    /// Put a new file in place, or take an orphan away: from here on the tree changes.
    Swap(&'a str),
    /// Let the caller do what follows from the new files.
    Finish,
    /// Drop the journal.
    Commit,
}

/// What the caller has to say while files are swapped.
pub struct Hooks<'a> {
    /// Asked before every step; an error is that step's failure. The place to answer Ctrl-C.
    pub before: &'a mut dyn FnMut(Step<'_>) -> io::Result<()>,
    /// Run when all files are in place and one of them is a `Cargo.toml`; an error undoes everything.
    pub finish: &'a mut dyn FnMut() -> Result<(), Cause>,
    /// A file that `finish` may rewrite, to be put back with the others.
    pub watched: Option<&'a str>,
}

/// A failed step: what was tried with what, and why.
struct Failure {
    action: &'static str,
    path: String,
    source: Cause,
}

/// Brings the tree to what the plan says. Only files that differ are touched. Undoes an interrupted run first: then
/// nothing else is done, since the plan was made from the files of that run.
///
/// # Errors
/// With the tree as it was, unless the error says that the old files could not be put back.
pub fn apply(tree: &Tree, plan: &Plan, hooks: &mut Hooks<'_>) -> Result<Recovery, EngineError> {
    let _lock = lock(tree)?;
    if undo(tree)? == Recovery::RolledBack {
        return Ok(Recovery::RolledBack);
    }
    let mut changes: Vec<&Change> = plan.changes.iter().collect();
    changes.sort_by_key(|change| phase(change));
    let journal = journal_of(tree, &changes, hooks.watched)?;
    let outcome = swap(tree, &changes, &journal, hooks);
    let Err(failure) = outcome else {
        clear(tree)?;
        return Ok(Recovery::Nothing);
    };
    if let Err(source) = undo(tree) {
        return Err(EngineError::NotRolledBack { journal: directory(tree), source: Box::new(source) });
    }
    Err(EngineError::RolledBack { action: failure.action, path: failure.path, source: failure.source })
}

fn journal_of(tree: &Tree, changes: &[&Change], watched: Option<&str>) -> Result<Journal, EngineError> {
    let mut journal = Journal::default();
    for change in changes {
        let action = match (&change.old, &change.new) {
            (None, _) => Action::Create,
            (Some(_), Some(_)) => Action::Replace,
            (Some(_), None) => Action::Remove,
        };
        journal.entries.push(Entry { path: change.path.clone(), action });
        let mut parents: Vec<&str> =
            change.path.match_indices('/').map(|(end, _)| &change.path[..end]).collect();
        parents.retain(|parent| !journal.directories.iter().any(|known| known == parent));
        for parent in parents {
            if !tree.locate(parent)?.exists() {
                journal.directories.push(parent.to_owned());
            }
        }
    }
    if let Some(path) = watched {
        let action = if tree.locate(path)?.exists() { Action::Watch } else { Action::Create };
        journal.entries.push(Entry { path: path.to_owned(), action });
    }
    Ok(journal)
}

fn swap(tree: &Tree, changes: &[&Change], journal: &Journal, hooks: &mut Hooks<'_>) -> Result<(), Failure> {
    let mut run = |step: Step<'_>, action: &'static str, path: &str, work: &dyn Fn() -> io::Result<()>| {
        (hooks.before)(step).and_then(|()| work()).map_err(|error| Failure {
            action,
            path: path.to_owned(),
            source: error.into(),
        })
    };
    run(Step::Prepare, "make the directory", journal::DIRECTORY, &|| fs::create_dir(directory(tree)))?;
    for (number, change) in changes.iter().enumerate() {
        if let Some(new) = &change.new {
            run(Step::Stage(&change.path), "write", &change.path, &|| {
                stage(&tree.root().join(&change.path), &new_file(tree, number), new)
            })?;
        }
    }
    for (number, entry) in journal.entries.iter().enumerate() {
        let place = tree.root().join(&entry.path);
        let old = old_file(tree, number);
        run(Step::Keep(&entry.path), "keep the old bytes of", &entry.path, &|| {
            match entry.action {
                Action::Create => {}
                Action::Replace | Action::Remove => keep(&place, &old)?,
                Action::Watch => journal::copy(&place, &old)?,
            }
            changes.get(number).map_or(Ok(()), |change| unchanged(change, &place))
        })?;
    }
    run(Step::Journal, "write the journal in", journal::DIRECTORY, &|| journal.write(tree))?;
    for (number, change) in changes.iter().enumerate() {
        let place = tree.root().join(&change.path);
        run(Step::Swap(&change.path), "put in place", &change.path, &|| match &change.new {
            Some(_) => {
                if let Some(parent) = place.parent() {
                    fs::create_dir_all(parent)?;
                }
                fs::rename(new_file(tree, number), &place)
            }
            None => fs::remove_file(&place),
        })?;
    }
    run(Step::Finish, "finish", journal::DIRECTORY, &|| Ok(()))?;
    if changes.iter().any(|change| change.path.ends_with("Cargo.toml")) {
        let path = hooks.watched.unwrap_or_default().to_owned();
        (hooks.finish)().map_err(|source| Failure { action: "refresh", path, source })?;
    }
    (hooks.before)(Step::Commit)
        .map_err(Cause::from)
        .and_then(|()| commit(tree).map_err(Cause::from))
        .map_err(|source| Failure {
            action: "remove the journal in",
            path: journal::DIRECTORY.to_owned(),
            source,
        })
}

/// A file that somebody saved since it was compared is not overwritten.
fn unchanged(change: &Change, place: &Path) -> io::Result<()> {
    let now = match fs::read(place) {
        Err(error) if matches!(error.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory) => None,
        read => Some(read?),
    };
    if now == change.old { Ok(()) } else { Err(io::Error::other("somebody changed it at this moment")) }
}

/// Sources first, then the `Cargo.toml`s that name them, then what nothing names any more: cargo can load the
/// workspace at every moment, so that a run which was killed can be followed by one that undoes it.
fn phase(change: &Change) -> u8 {
    match &change.new {
        Some(_) if change.path.ends_with("Cargo.toml") => 1,
        Some(_) => 0,
        None => 2,
    }
}

/// Writes the new bytes, with the permissions of the old file, down to the disk.
fn stage(place: &Path, staged: &Path, text: &str) -> io::Result<()> {
    let mut file = File::create_new(staged)?;
    file.write_all(text.as_bytes())?;
    if let Ok(metadata) = fs::metadata(place) {
        file.set_permissions(metadata.permissions())?;
    }
    file.sync_all()
}
