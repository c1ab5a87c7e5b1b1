//! The folder of a build: filled beside its place, then renamed into it, so that it is the old one or the new one and
//! never half of either.

use std::fs::{self, File, TryLockError};
use std::io::Read;
use std::path::{Path, PathBuf};

use sha2::{Digest, Sha256};
use tempfile::TempDir;

use crate::error::{Error, Result};

/// What the name of a folder that is being filled begins with.
const PREFIX: &str = ".staging-";

/// A folder that is being filled. One at a time beside the same place: so that two builds of one selection do not swap
/// at the same moment, and what lies there from a build that was killed is known to be nobody's.
pub(crate) struct Staged {
    staging: TempDir,
    folder: PathBuf,
    _turn: Option<File>,
}

/// A file that was put into the folder.
pub(crate) struct Copied {
    /// Its name.
    pub(super) name: String,
    /// Its bytes' SHA-256, in hex.
    pub(super) sha256: String,
    /// Its length.
    pub(super) size: u64,
    /// The same of the file that it was made from.
    pub(super) original_sha256: String,
    pub(super) original_size: u64,
    /// [`WRITTEN`], or why it has no section with a list.
    pub(super) section: String,
}

/// The section was appended.
pub(super) const WRITTEN: &str = "written";

impl Staged {
    /// Begins to fill `folder`.
    pub(crate) fn new(folder: &Path) -> Result<Self> {
        let parent = folder.parent().unwrap_or(Path::new("."));
        fs::create_dir_all(parent).map_err(Error::file("create", parent))?;
        let turn = turn(parent);
        if turn.is_some() {
            clear(parent)?;
        }
        let staging = tempfile::Builder::new()
            .prefix(PREFIX)
            .tempdir_in(parent)
            .map_err(Error::file("create a folder in", parent))?;
        Ok(Self { staging, folder: folder.to_owned(), _turn: turn })
    }

    /// Copies a program, as soon as it was made: cargo gives that of every selection the same path. It gives the copy's name.
    pub(crate) fn take(&self, program: &Path) -> Result<String> {
        let name = program.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
        fs::copy(program, self.staging.path().join(&name)).map_err(Error::file("copy", program))?;
        Ok(name)
    }

    /// Makes a program that was taken what is shipped: given a list of what is in it, that is appended as a section, where
    /// the format has a way.
    pub(crate) fn finish(&self, name: String, list: Option<&[u8]>) -> Result<Copied> {
        let at = self.staging.path().join(&name);
        let original = fs::read(&at).map_err(Error::file("read", &at))?;
        let original_sha256 = hex(&Sha256::digest(&original));
        let original_size = original.len() as u64;
        let attach = |list| driver_verify::attach(&original, list).map_err(|why| why.to_string());
        let attached = list.map_or_else(|| Err("not written: it was left out by request".to_owned()), attach);
        let (sha256, size, section) = match attached {
            Ok(bytes) => {
                // Into the same file, which has the program's mode.
                fs::write(&at, &bytes).map_err(Error::file("write", &at))?;
                (hex(&Sha256::digest(&bytes)), bytes.len() as u64, WRITTEN.to_owned())
            }
            Err(why) => (original_sha256.clone(), original_size, why),
        };
        Ok(Copied { name, sha256, size, original_sha256, original_size, section })
    }

    /// Writes a file of text.
    pub(crate) fn write(&self, name: &str, bytes: &[u8]) -> Result<()> {
        let to = self.staging.path().join(name);
        fs::write(&to, bytes).map_err(Error::file("write", &to))
    }

    /// Where it is being filled.
    pub(crate) fn path(&self) -> &Path {
        self.staging.path()
    }

    /// Puts the folder into its place.
    pub(crate) fn swap_in(self) -> Result<()> {
        let folder = self.folder;
        let staged = self.staging.path().to_owned();
        readable(&staged)?;
        let old = staged.with_extension("old");
        let had_old = match fs::rename(&folder, &old) {
            Ok(()) => true,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => false,
            Err(error) => return Err(Error::file("replace", &folder)(error)),
        };
        if let Err(error) = fs::rename(&staged, &folder) {
            if had_old {
                fs::rename(&old, &folder).map_err(Error::file("restore", &folder))?;
            }
            return Err(Error::file("create", &folder)(error));
        }
        let _gone = self.staging.keep();
        if had_old {
            fs::remove_dir_all(&old).map_err(Error::file("remove", &old))?;
        }
        Ok(())
    }
}

/// Waits until nobody else has a turn at this directory; `None` where directories cannot be locked. The turn goes with
/// the process.
pub(crate) fn turn(dir: &Path) -> Option<File> {
    let lock = File::open(dir).ok()?;
    if matches!(lock.try_lock(), Err(TryLockError::WouldBlock)) {
        eprintln!("note: waiting for another `cargo xtask` that builds");
    }
    lock.lock().is_ok().then_some(lock)
}

/// Removes what builds that were killed have left.
fn clear(parent: &Path) -> Result<()> {
    for entry in fs::read_dir(parent).map_err(Error::file("read", parent))?.flatten() {
        if entry.file_name().to_string_lossy().starts_with(PREFIX) {
            fs::remove_dir_all(entry.path()).map_err(Error::file("remove", &entry.path()))?;
        }
    }
    Ok(())
}

/// A temporary directory is its owner's alone; a folder of build results is like any other in `target/`.
#[cfg(unix)]
fn readable(dir: &Path) -> Result<()> {
    use std::os::unix::fs::PermissionsExt;
    fs::set_permissions(dir, fs::Permissions::from_mode(0o755)).map_err(Error::file("write", dir))
}

#[cfg(not(unix))]
fn readable(_: &Path) -> Result<()> {
    Ok(())
}

/// The SHA-256 of a file, in hex; of any file, so it is never in memory as a whole.
pub(crate) fn sha256_of(path: &Path) -> Result<String> {
    let mut file = File::open(path).map_err(Error::file("read", path))?;
    let mut hasher = Sha256::new();
    let mut buffer = vec![0; 1 << 20];
    loop {
        match file.read(&mut buffer).map_err(Error::file("read", path))? {
            0 => return Ok(hex(&hasher.finalize())),
            read => hasher.update(&buffer[..read]),
        }
    }
}

/// Bytes in hex.
pub(crate) fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_folder_is_swapped_whole() {
        let dir = tempfile::tempdir().unwrap();
        let program = dir.path().join("program");
        fs::write(&program, b"abc").unwrap();
        let folder = dir.path().join("out/x");
        for round in ["one", "two"] {
            let staged = Staged::new(&folder).unwrap();
            let name = staged.take(&program).unwrap();
            fs::write(&program, b"another selection's").unwrap();
            let copied = staged.finish(name, Some(b"a list")).unwrap();
            fs::write(&program, b"abc").unwrap();
            assert_eq!((copied.size, copied.original_size), (3, 3));
            assert_eq!(copied.sha256, "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
            assert!(copied.section.starts_with("not written: "), "{}", copied.section);
            staged.write(round, b"").unwrap();
            staged.swap_in().unwrap();
            assert!(folder.join(round).exists());
        }
        assert!(!folder.join("one").exists(), "the old folder is gone");
        assert_eq!(fs::read_dir(dir.path().join("out")).unwrap().count(), 1, "nothing is left beside it");
    }

    #[test]
    #[cfg(unix)]
    fn what_a_killed_build_left_is_removed_and_what_another_fills_is_not() {
        let dir = tempfile::tempdir().unwrap();
        for left in [".staging-a", ".staging-a.old"] {
            fs::create_dir(dir.path().join(left)).unwrap();
            fs::write(dir.path().join(left).join("half"), b"").unwrap();
        }
        fs::create_dir(dir.path().join("triple")).unwrap();
        let staged = Staged::new(&dir.path().join("x")).unwrap();
        let mut names: Vec<_> =
            fs::read_dir(dir.path()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
        names.sort();
        assert_eq!(names, [staged.staging.path().file_name().unwrap(), "triple".as_ref()]);
        let parent = dir.path().to_owned();
        let other = std::thread::spawn(move || Staged::new(&parent.join("y")).unwrap().swap_in());
        std::thread::sleep(std::time::Duration::from_millis(50));
        assert!(!other.is_finished(), "it waits for its turn");
        staged.swap_in().unwrap();
        other.join().unwrap().unwrap();
        assert!(dir.path().join("x").exists() && dir.path().join("y").exists());
    }

    #[test]
    fn a_build_that_fails_leaves_the_old_folder() {
        let dir = tempfile::tempdir().unwrap();
        let folder = dir.path().join("out/x");
        fs::create_dir_all(&folder).unwrap();
        fs::write(folder.join("old"), b"").unwrap();
        let staged = Staged::new(&folder).unwrap();
        assert!(staged.take(&dir.path().join("absent")).is_err());
        drop(staged);
        assert!(folder.join("old").exists());
        assert_eq!(fs::read_dir(dir.path().join("out")).unwrap().count(), 1);
    }
}
