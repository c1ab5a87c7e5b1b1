//! Remembers which runs of a container were ended by a stop.
//!
//! An engine keeps no such thing: a container that was stopped and one that ended by itself look the same, and labels
//! cannot be changed. So a stop leaves a file in the driver's state directory, one a sandbox, that holds the time at
//! which the stopped run had started. The time makes a mark speak of that run alone: one that is left over from
//! before a later start says nothing. A mark that is lost costs a word only (`ContainerExited` for `Stopped`), and the
//! gateway, which knows what it asked for, reads both alike.

use std::fs;
use std::io;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::PathBuf;

use openshell_driver_api::SandboxId;

use crate::names;

/// The marks of one gateway's sandboxes.
#[derive(Debug)]
pub struct Marks {
    directory: PathBuf,
}

impl Marks {
    /// Marks below a driver's state directory, which is made at the first stop.
    pub fn new(state_dir: &std::path::Path) -> Self {
        Self { directory: state_dir.join("stopped") }
    }

    fn path(&self, id: &SandboxId) -> PathBuf {
        self.directory.join(names::plain(id.as_str()))
    }

    /// Notes that the run that started at `started_at` is being stopped. A failure is logged and no more: a stop does
    /// not fail for want of a note.
    pub fn set(&self, id: &SandboxId, started_at: &str) {
        if let Err(error) = self.write(id, started_at) {
            tracing::warn!(sandbox = %id, %error, "cannot note that the sandbox was stopped");
        }
    }

    fn write(&self, id: &SandboxId, started_at: &str) -> io::Result<()> {
        fs::DirBuilder::new().recursive(true).mode(0o700).create(&self.directory)?;
        let (path, staged) = (self.path(id), self.directory.join(format!(".{}", names::plain(id.as_str()))));
        let mut file =
            fs::OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&staged)?;
        io::Write::write_all(&mut file, started_at.as_bytes())?;
        fs::rename(staged, path)
    }

    /// Whether the run that started at `started_at` was ended by a stop.
    pub fn has(&self, id: &SandboxId, started_at: &str) -> bool {
        fs::read_to_string(self.path(id)).is_ok_and(|marked| marked == started_at)
    }

    /// Forgets a sandbox.
    pub fn clear(&self, id: &SandboxId) {
        match fs::remove_file(self.path(id)) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                tracing::warn!(sandbox = %id, %error, "cannot forget that the sandbox was stopped");
            }
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mark_speaks_of_one_run() {
        let state = tempfile::tempdir().expect("a directory");
        let marks = Marks::new(&state.path().join("driver"));
        let id = SandboxId::new("../../etc/x").expect("an id");
        marks.clear(&id);
        assert!(!marks.has(&id, "then"));
        marks.set(&id, "then");
        assert!(marks.has(&id, "then"));
        assert!(Marks::new(&state.path().join("driver")).has(&id, "then"));
        assert!(!marks.has(&id, "later"));
        marks.clear(&id);
        assert!(!marks.has(&id, "then"));
    }

    #[test]
    fn a_directory_that_cannot_be_made_is_no_failure() {
        let marks = Marks::new(std::path::Path::new("/dev/null"));
        let id = SandboxId::new("a").expect("an id");
        marks.set(&id, "then");
        assert!(!marks.has(&id, "then"));
    }
}
