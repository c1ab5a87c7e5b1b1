//! The tree as the engine sees it: paths relative to a root, no link followed.

use std::fs::{self, File};
use std::io::{ErrorKind, Read};
use std::path::{Component, Path, PathBuf};

use super::EngineError;
use crate::layout::MARK;

/// The name of every directory that holds generated files.
const GENERATED: &str = "generated";

/// Directories of other people's files: build results, and fixtures that look like ours.
const FOREIGN: [&str; 2] = ["target", "tests"];

/// What marks a directory as one that anybody may empty.
const CACHE: &str = "CACHEDIR.TAG";

/// How much of a file is read to find its header.
const HEAD: u64 = 512;

/// A workspace on disk.
#[derive(Debug, Clone)]
pub struct Tree {
    root: PathBuf,
}

impl Tree {
    /// The tree under `root`.
    #[must_use]
    pub fn new(root: impl Into<PathBuf>) -> Self {
        Self { root: root.into() }
    }

    /// Its root.
    #[must_use]
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// Where a relative path is.
    ///
    /// # Errors
    /// When it leaves the tree, or it or a directory above it is a symbolic link.
    pub fn locate(&self, path: &str) -> Result<PathBuf, EngineError> {
        let mut place = self.root.clone();
        for component in Path::new(path).components() {
            let Component::Normal(part) = component else {
                return Err(EngineError::Outside(path.to_owned()));
            };
            place.push(part);
            if fs::symlink_metadata(&place).is_ok_and(|metadata| metadata.is_symlink()) {
                return Err(EngineError::Symlink(place));
            }
        }
        Ok(place)
    }

    /// The bytes of a file; `None` when it is not there.
    ///
    /// # Errors
    /// When it is there but cannot be read, or is no file.
    pub fn read(&self, path: &str) -> Result<Option<Vec<u8>>, EngineError> {
        let place = self.locate(path)?;
        match fs::read(&place) {
            Ok(bytes) => Ok(Some(bytes)),
            Err(error) if matches!(error.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory) => Ok(None),
            Err(error) if error.kind() == ErrorKind::IsADirectory => Err(EngineError::NoFile(place)),
            Err(error) => Err(EngineError::io("read", place)(error)),
        }
    }

    /// Every file in a directory named `generated`, at any depth, whose header says that this generator made it.
    ///
    /// # Errors
    /// When a directory or a file cannot be read.
    pub fn generated(&self) -> Result<Vec<String>, EngineError> {
        let mut directories = vec![(String::new(), false)];
        let mut found = Vec::new();
        while let Some((directory, is_ours)) = directories.pop() {
            let names = self.names(&directory)?;
            if names.iter().any(|(name, _)| name == CACHE) {
                continue;
            }
            for (name, is_directory) in names {
                let path = if directory.is_empty() { name.clone() } else { format!("{directory}/{name}") };
                if is_directory {
                    if !name.starts_with('.') && !FOREIGN.contains(&name.as_str()) {
                        directories.push((path, is_ours || name == GENERATED));
                    }
                } else if is_ours && self.has_mark(&path)? {
                    found.push(path);
                }
            }
        }
        found.sort();
        Ok(found)
    }

    /// The names in a directory and whether each is one itself; links count as neither file nor directory and are
    /// left out. Empty when the directory is not there.
    ///
    /// # Errors
    /// When the directory cannot be read.
    pub fn names(&self, directory: &str) -> Result<Vec<(String, bool)>, EngineError> {
        let place = self.root.join(directory);
        let entries = match fs::read_dir(&place) {
            Ok(entries) => entries,
            Err(error) if matches!(error.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory) => {
                return Ok(Vec::new());
            }
            Err(error) => return Err(EngineError::io("read the directory", place)(error)),
        };
        let mut names = Vec::new();
        for entry in entries {
            let entry = entry.map_err(EngineError::io("read the directory", &place))?;
            let kind = entry.file_type().map_err(EngineError::io("read", entry.path()))?;
            if let Ok(name) = entry.file_name().into_string()
                && (kind.is_dir() || kind.is_file())
            {
                names.push((name, kind.is_dir()));
            }
        }
        names.sort();
        Ok(names)
    }

    fn has_mark(&self, path: &str) -> Result<bool, EngineError> {
        let place = self.root.join(path);
        let mut head = Vec::new();
        let file = File::open(&place).map_err(EngineError::io("read", &place))?;
        file.take(HEAD).read_to_end(&mut head).map_err(EngineError::io("read", &place))?;
        Ok(String::from_utf8_lossy(&head).contains(MARK))
    }
}
