//! The programs of the host that the driver starts.

use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use openshell_driver_api::{DriverError, ErrorKind};

/// Where distributions keep the tools of administrators, which a user's `PATH` may leave out.
const MORE: [&str; 2] = ["/usr/sbin", "/sbin"];

/// A program that the driver needs.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Needed {
    /// Its file's name.
    pub(crate) name: &'static str,
    /// The key that says where it is.
    pub(crate) key: &'static str,
    /// Where it comes from: `apt install …`, in words.
    pub(crate) package: &'static str,
}

impl Needed {
    /// The program's path: what the key says, else the first on `PATH`.
    ///
    /// # Errors
    /// `FailedPrecondition` with the places looked at, and what to do in the hint.
    pub(crate) fn find(&self, configured: Option<&Path>) -> Result<PathBuf, DriverError> {
        let path = std::env::var_os("PATH").unwrap_or_default();
        let dirs = std::env::split_paths(&path).chain(MORE.map(PathBuf::from));
        match configured {
            Some(path) if runs(path) => Ok(path.to_owned()),
            Some(path) => Err(self.missing(&format!("`{}` is no program", path.display()))),
            None => dirs
                .filter(|dir| dir.is_absolute())
                .map(|dir| dir.join(self.name))
                .find(|file| runs(file))
                .ok_or_else(|| self.missing(&format!("no `{}` on the path", self.name))),
        }
    }

    fn missing(&self, what: &str) -> DriverError {
        DriverError::new(ErrorKind::FailedPrecondition, "look for programs", what).with_hint(self.hint())
    }

    /// What to do where it is away.
    pub(crate) fn hint(&self) -> String {
        let Self { name, key, package } = self;
        format!("install {package}, or set `{key} = \"/path/to/{name}\"`")
    }
}

fn runs(file: &Path) -> bool {
    std::fs::metadata(file).is_ok_and(|meta| meta.is_file() && meta.permissions().mode() & 0o111 != 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_program_that_is_not_there_comes_with_what_to_do() {
        let needed = Needed { name: "no-such-tool", key: "tool_path", package: "the package `tools`" };
        let error = needed.find(None).expect_err("not there");
        assert_eq!(
            (error.kind(), error.message()),
            (ErrorKind::FailedPrecondition, "no `no-such-tool` on the path")
        );
        assert_eq!(
            error.hint(),
            Some("install the package `tools`, or set `tool_path = \"/path/to/no-such-tool\"`")
        );
        let error = needed.find(Some(Path::new("/etc/passwd"))).expect_err("no program");
        assert_eq!(error.message(), "`/etc/passwd` is no program");
    }

    #[test]
    fn the_path_is_searched() {
        let needed = Needed { name: "sh", key: "sh_path", package: "a shell" };
        assert!(needed.find(None).expect("every host has one").ends_with("sh"));
    }
}
