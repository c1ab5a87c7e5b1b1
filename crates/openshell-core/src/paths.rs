//! Where a gateway keeps things: the XDG base directories, made private.

use std::fs::{self, DirBuilder, Permissions};
use std::io;
use std::os::unix::fs::{DirBuilderExt as _, MetadataExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};

use crate::Environment;
use crate::shell::{FAILURE, Remedy};

/// The database's file name in the state directory.
pub const DATABASE: &str = "gateway.db";
/// The file name of the gateway's own token in the state directory.
pub const TOKEN: &str = "token";
/// The directory of the sandboxes' sockets in the state directory.
pub const SANDBOXES: &str = "sandboxes";
/// The key of the sandboxes' tokens in the state directory.
pub const SANDBOX_KEY: &str = "sandbox-key";
/// The gateway's socket's file name in the runtime directory.
pub const SOCKET: &str = "gateway.sock";
/// Where root's runtime files go, whatever its environment says.
const ROOT_RUNTIME: &str = "/run/openshell";

/// Why a directory of the gateway cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum PathError {
    /// The environment does not say where state goes.
    #[error("there is no state directory: neither `XDG_STATE_HOME` nor `HOME` is set to an absolute path")]
    NoState,
    /// The environment does not say where sockets go.
    #[error("there is no runtime directory: `XDG_RUNTIME_DIR` is not set to an absolute path")]
    NoRuntime,
    /// It cannot be made or looked at.
    #[error("cannot use the directory `{path}`", path = path.display())]
    Io {
        /// The directory.
        path: PathBuf,
        /// What the system said.
        #[source]
        source: io::Error,
    },
    /// Something else has its name.
    #[error("`{path}` is not a directory", path = path.display())]
    NotADirectory {
        /// The path.
        path: PathBuf,
    },
    /// Somebody else owns it.
    #[error("the directory `{path}` belongs to uid {owner}, not to uid {uid}", path = path.display())]
    Foreign {
        /// The directory.
        path: PathBuf,
        /// Whose it is.
        owner: u32,
        /// Who we are.
        uid: u32,
    },
}

impl Remedy for PathError {
    fn hints(&self) -> Vec<String> {
        match self {
            Self::NoState => vec!["export XDG_STATE_HOME=\"$HOME/.local/state\"".to_owned()],
            Self::NoRuntime => vec!["openshell-gateway --listen-socket /path/to/gateway.sock".to_owned()],
            Self::Foreign { path, uid, .. } => vec![format!("chown {uid} {}", path.display())],
            Self::Io { path, .. } => vec![format!(
                "see whether there is room and leave to write: df -h {0}; ls -ld {0}",
                path.ancestors().find(|folder| folder.is_dir()).unwrap_or(path).display()
            )],
            Self::NotADirectory { path } => vec![format!("see what it is: ls -ld {}", path.display())],
        }
    }

    fn exit_code(&self) -> u8 {
        FAILURE
    }
}

/// Where `gateway.toml` is when nobody says: `$XDG_CONFIG_HOME/openshell/gateway.toml`, else below `$HOME/.config`.
#[must_use]
pub fn default_config(env: &Environment) -> Option<PathBuf> {
    base(env, "XDG_CONFIG_HOME", ".config").map(|base| base.join("openshell/gateway.toml"))
}

/// The state directory: `$XDG_STATE_HOME/openshell/gateway`, else below `$HOME/.local/state`. Not made yet.
///
/// # Errors
/// When neither variable is an absolute path.
pub fn state_dir(env: &Environment) -> Result<PathBuf, PathError> {
    base(env, "XDG_STATE_HOME", ".local/state")
        .map(|base| base.join("openshell/gateway"))
        .ok_or(PathError::NoState)
}

/// The runtime directory: `$XDG_RUNTIME_DIR/openshell`, and root's `/run/openshell`. Not made yet.
///
/// # Errors
/// When the variable is not an absolute path.
pub fn runtime_dir(env: &Environment) -> Result<PathBuf, PathError> {
    if env.uid() == 0 {
        return Ok(PathBuf::from(ROOT_RUNTIME));
    }
    env.absolute_path("XDG_RUNTIME_DIR").map(|base| base.join("openshell")).ok_or(PathError::NoRuntime)
}

fn base(env: &Environment, variable: &str, below_home: &str) -> Option<PathBuf> {
    env.absolute_path(variable).or_else(|| env.absolute_path("HOME").map(|home| home.join(below_home)))
}

/// Makes `path` a directory that only `uid`, the caller, may enter: 0700, made if it is missing, with those above it, and
/// narrowed if it is wider.
///
/// # Errors
/// When it cannot be made, is something else, or belongs to somebody else.
pub fn ensure_private(path: &Path, uid: u32) -> Result<(), PathError> {
    let io = |source| PathError::Io { path: path.to_owned(), source };
    match fs::metadata(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            if let Some(parent) = path.parent() {
                DirBuilder::new().recursive(true).mode(0o700).create(parent).map_err(io)?;
            }
            match DirBuilder::new().mode(0o700).create(path) {
                // Another process was faster: look at what it made.
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
                made => made.map_err(io)?,
            }
        }
        Err(error) => return Err(io(error)),
        Ok(_) => {}
    }
    let metadata = fs::metadata(path).map_err(io)?;
    if !metadata.is_dir() {
        return Err(PathError::NotADirectory { path: path.to_owned() });
    }
    if metadata.uid() != uid {
        return Err(PathError::Foreign { path: path.to_owned(), owner: metadata.uid(), uid });
    }
    if metadata.mode() & 0o777 != 0o700 {
        fs::set_permissions(path, Permissions::from_mode(0o700)).map_err(io)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_environment_decides_where_things_are() {
        let env = Environment::new([("HOME", "/home/u"), ("XDG_RUNTIME_DIR", "/run/user/7")], 7);
        assert_eq!(default_config(&env), Some(PathBuf::from("/home/u/.config/openshell/gateway.toml")));
        assert_eq!(state_dir(&env).unwrap(), Path::new("/home/u/.local/state/openshell/gateway"));
        assert_eq!(runtime_dir(&env).unwrap(), Path::new("/run/user/7/openshell"));

        let env = Environment::new([("XDG_STATE_HOME", "/s"), ("XDG_CONFIG_HOME", "/c"), ("HOME", "/h")], 0);
        assert_eq!(default_config(&env), Some(PathBuf::from("/c/openshell/gateway.toml")));
        assert_eq!(state_dir(&env).unwrap(), Path::new("/s/openshell/gateway"));
        assert_eq!(runtime_dir(&env).unwrap(), Path::new("/run/openshell"));
    }

    #[test]
    fn an_environment_that_says_nothing_is_an_error_with_a_way_out() {
        let env = Environment::new([("XDG_STATE_HOME", "relative")], 7);
        assert_eq!(default_config(&env), None);
        assert!(matches!(state_dir(&env), Err(PathError::NoState)));
        assert_eq!(
            runtime_dir(&env).unwrap_err().render(),
            "error: there is no runtime directory: `XDG_RUNTIME_DIR` is not set to an absolute path\n\
             hint: openshell-gateway --listen-socket /path/to/gateway.sock\n"
        );
    }

    #[test]
    fn a_directory_is_made_private_and_kept_so() {
        let scratch = tempfile::tempdir().unwrap();
        let uid = rustix::process::geteuid().as_raw();
        let path = scratch.path().join("a/b/c");
        ensure_private(&path, uid).unwrap();
        fs::set_permissions(&path, Permissions::from_mode(0o755)).unwrap();
        ensure_private(&path, uid).unwrap();
        assert_eq!(fs::metadata(&path).unwrap().mode() & 0o777, 0o700);

        let file = scratch.path().join("file");
        fs::write(&file, "").unwrap();
        assert!(matches!(ensure_private(&file, uid), Err(PathError::NotADirectory { .. })));
        assert!(matches!(ensure_private(&file.join("below"), uid), Err(PathError::Io { .. })));
        assert!(matches!(ensure_private(&path, uid + 1), Err(PathError::Foreign { .. })));
    }
}
