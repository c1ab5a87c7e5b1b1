//! A tree from its top to its leaves, each directory before what is in it; what is open at a time is one directory a level.

use std::fs::{Metadata, ReadDir};
use std::io;
use std::path::{Path, PathBuf};

/// What is met on the way.
pub(crate) struct Met<'a> {
    /// Where it is.
    pub(crate) path: &'a Path,
    /// What it is called in the archive; empty for a directory whose content alone is meant.
    pub(crate) name: &'a Path,
    /// What it is, or why that is not known.
    pub(crate) what: io::Result<Metadata>,
}

/// Goes through the tree at `path`, which the archive calls `name`. No link is followed.
///
/// # Errors
/// What `visit` gives.
pub(crate) fn walk<E>(
    path: &Path,
    name: &Path,
    visit: &mut impl FnMut(Met<'_>) -> Result<(), E>,
) -> Result<(), E> {
    let mut open: Vec<(ReadDir, PathBuf, PathBuf)> = Vec::new();
    let mut next = Some((path.to_owned(), name.to_owned()));
    loop {
        let (path, name) = match next.take() {
            Some(next) => next,
            None => {
                let Some((entries, path, name)) = open.last_mut() else { return Ok(()) };
                match entries.next() {
                    Some(Ok(entry)) => (entry.path(), name.join(entry.file_name())),
                    Some(Err(error)) => {
                        visit(Met { path, name, what: Err(error) })?;
                        continue;
                    }
                    None => {
                        open.pop();
                        continue;
                    }
                }
            }
        };
        // The content of a directory that is reached by a link: the directory's.
        let what = if name.as_os_str().is_empty() { path.metadata() } else { path.symlink_metadata() };
        let is_directory = what.as_ref().is_ok_and(Metadata::is_dir);
        visit(Met { path: &path, name: &name, what })?;
        if is_directory {
            match path.read_dir() {
                Ok(entries) => open.push((entries, path, name)),
                Err(error) => visit(Met { path: &path, name: &name, what: Err(error) })?,
            }
        }
    }
}
