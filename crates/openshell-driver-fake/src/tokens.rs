//! The tokens of sandboxes as files, as drivers keep them that mount them into their sandboxes.

use std::fs::{self, DirBuilder, File};
use std::io::{self, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

/// A directory with a file a sandbox.
pub(crate) struct Tokens {
    directory: PathBuf,
    mode: u32,
}

impl Tokens {
    /// Below a driver's state directory; `open`: readable by everybody.
    pub(crate) fn new(state: &Path, open: bool) -> Self {
        Self { directory: state.join("tokens"), mode: if open { 0o644 } else { 0o600 } }
    }

    /// Keeps a sandbox's token. What fails is logged: the sandboxes of this driver read none.
    pub(crate) fn keep(&self, id: &str, token: &str) {
        if let Err(error) = self.write(id, token) {
            tracing::error!(directory = %self.directory.display(), %error, "cannot keep a token");
        }
    }

    fn write(&self, id: &str, token: &str) -> io::Result<()> {
        DirBuilder::new().recursive(true).mode(0o700).create(&self.directory)?;
        let mut options = File::options();
        let mut file = options.write(true).create(true).truncate(true).mode(self.mode).open(self.path(id))?;
        file.write_all(token.as_bytes())
    }

    /// Removes a sandbox's token.
    pub(crate) fn forget(&self, id: &str) {
        // It may have none.
        let _ = fs::remove_file(self.path(id));
    }

    fn path(&self, id: &str) -> PathBuf {
        // An id is whatever somebody asked for, and a file's name is no path.
        self.directory.join(id.replace('/', "_"))
    }
}
