//! Dialling: never through a link, and never to a program of somebody whom the operator does not trust.

use std::io;
use std::path::{Path, PathBuf};

use rustix::fs::{Mode, OFlags};
use rustix::io::Errno;
use tokio::net::UnixStream;

use crate::bind::quoted;
use crate::{Found, MAX_PATH, PeerCredentials, PeerPolicy};

/// Why a socket could not be dialled.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ConnectError {
    /// Nothing lies at the path.
    #[error("there is nothing at `{}`", path.display())]
    Absent {
        /// The path.
        path: PathBuf,
    },
    /// A socket lies there and nobody listens.
    #[error("nobody listens at the socket `{}`", path.display())]
    Refused {
        /// The path.
        path: PathBuf,
    },
    /// Somebody listens and accepts nothing: its queue is full.
    #[error("the program at `{}` does not accept connections, its queue is full", path.display())]
    Busy {
        /// The path.
        path: PathBuf,
    },
    /// A link lies at the path.
    #[error("`{}` is a symbolic link, which is not followed", path.display())]
    Symlink {
        /// The path.
        path: PathBuf,
    },
    /// Something else than a socket lies at the path.
    #[error("`{}` is {found}, not a socket", path.display())]
    NotASocket {
        /// The path.
        path: PathBuf,
        /// What it is.
        found: Found,
    },
    /// Others may write to the socket, and the operator lists nobody.
    #[error("the socket `{}` is writable by others (mode {mode:04o})", path.display())]
    WritableByOthers {
        /// The path.
        path: PathBuf,
        /// Its permissions.
        mode: u32,
    },
    /// The program that listens is not one to trust.
    #[error("the program at `{}` runs as {peer}, which is neither this user, root nor allowed", path.display())]
    WrongOwner {
        /// The path.
        path: PathBuf,
        /// Who listens.
        peer: PeerCredentials,
    },
    /// Another process listens than the one that is meant.
    #[error("the program at `{}` is {peer}, and another process was to listen there", path.display())]
    WrongProcess {
        /// The path.
        path: PathBuf,
        /// Who listens.
        peer: PeerCredentials,
    },
    /// The system does not let this user get there.
    #[error("no permission for `{}`", path.display())]
    Permission {
        /// The path.
        path: PathBuf,
        /// What the system says.
        #[source]
        source: io::Error,
    },
    /// The path is too long to be an address.
    #[error("socket path `{}` has more than the {MAX_PATH} bytes that a socket's address holds", path.display())]
    TooLong {
        /// The path.
        path: PathBuf,
    },
    /// Anything else.
    #[error("cannot connect to `{}`", path.display())]
    Io {
        /// The path.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
}

impl ConnectError {
    /// Whether the program may only be late: then waiting can help, otherwise it cannot.
    #[must_use]
    pub fn is_transient(&self) -> bool {
        matches!(self, Self::Absent { .. } | Self::Refused { .. } | Self::Busy { .. })
    }

    /// What was found at the path, in a few words.
    #[must_use]
    pub fn found(&self) -> String {
        match self {
            Self::Absent { .. } => "nothing".to_owned(),
            Self::Refused { .. } => "a socket that nobody listens on".to_owned(),
            Self::Busy { .. } => "a program that accepts no connection".to_owned(),
            Self::Symlink { .. } => Found::Symlink.to_string(),
            Self::NotASocket { found, .. } => found.to_string(),
            Self::WritableByOthers { mode, .. } => format!("a socket of mode {mode:04o}"),
            Self::WrongOwner { peer, .. } | Self::WrongProcess { peer, .. } => format!("a program of {peer}"),
            Self::Permission { .. } => "something that this user may not reach".to_owned(),
            Self::TooLong { .. } => "a path that is too long".to_owned(),
            Self::Io { source, .. } => source.to_string(),
        }
    }

    /// What the operator can do, as a command or a rule; without the word `hint`.
    #[must_use]
    pub fn hint(&self) -> Option<String> {
        match self {
            Self::Absent { .. } | Self::Refused { .. } | Self::Busy { .. } => {
                Some("start the program that listens there, or look at its log".to_owned())
            }
            Self::Symlink { path } => {
                Some(format!("name the link's target instead: readlink -f {}", quoted(path)))
            }
            Self::NotASocket { path, .. } => Some(format!("check the path: ls -ld {}", quoted(path))),
            Self::WritableByOthers { path, .. } => Some(format!(
                "chmod 0600 {}, or list whom you trust in `allowed_uids` or `allowed_gids`",
                quoted(path)
            )),
            Self::WrongOwner { peer, .. } => {
                Some(format!("if that program is to be trusted: allowed_uids = [{}]", peer.uid))
            }
            Self::WrongProcess { peer, .. } => {
                let pid = peer.pid?;
                Some(format!("see what it is: ps -o pid,ppid,user,args -p {pid}"))
            }
            Self::Permission { path, .. } => Some(format!("namei -l {}", quoted(path))),
            Self::TooLong { .. } => Some("choose a shorter path".to_owned()),
            Self::Io { .. } => None,
        }
    }
}

/// Connects to the socket at `path` and checks who listens: this user, root, or whom `policy` lists.
///
/// # Errors
/// See [`ConnectError`]; [`ConnectError::is_transient`] says which of them waiting can mend.
pub async fn connect(path: &Path, policy: &PeerPolicy) -> Result<UnixStream, ConnectError> {
    let looked_at = look(path, policy)?;
    let stream = reach(path, &looked_at).await?;
    let peer =
        PeerCredentials::of(&stream).map_err(|source| ConnectError::Io { path: path.to_owned(), source })?;
    if policy.means_another(&peer) {
        return Err(ConnectError::WrongProcess { path: path.to_owned(), peer });
    }
    if !policy.admits(&peer) {
        return Err(ConnectError::WrongOwner { path: path.to_owned(), peer });
    }
    Ok(stream)
}

/// Takes hold of what lies at the path without following a link, and sees whether it is a socket to dial.
fn look(path: &Path, policy: &PeerPolicy) -> Result<Held, ConnectError> {
    let (held, stat) = hold(path).map_err(|errno| of_errno(path, errno))?;
    match Found::of_mode(stat.st_mode) {
        Found::Socket => {}
        Found::Symlink => return Err(ConnectError::Symlink { path: path.to_owned() }),
        found => return Err(ConnectError::NotASocket { path: path.to_owned(), found }),
    }
    let mode = stat.st_mode & 0o7777;
    let own_group = stat.st_gid == 0 || stat.st_gid == rustix::process::getegid().as_raw();
    let by_others = mode & 0o002 != 0 || (mode & 0o020 != 0 && !own_group);
    if by_others && policy.is_private() {
        return Err(ConnectError::WritableByOthers { path: path.to_owned(), mode });
    }
    Ok(held)
}

/// On Linux the very inode that was looked at is dialled, through `/proc`: nobody can swap it in between, and the
/// path may be longer than an address.
#[cfg(target_os = "linux")]
type Held = rustix::fd::OwnedFd;

#[cfg(target_os = "linux")]
fn hold(path: &Path) -> Result<(Held, rustix::fs::Stat), Errno> {
    let held = rustix::fs::open(path, OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC, Mode::empty())?;
    let stat = rustix::fs::fstat(&held)?;
    Ok((held, stat))
}

#[cfg(target_os = "linux")]
async fn reach(path: &Path, held: &Held) -> Result<UnixStream, ConnectError> {
    use std::os::fd::AsRawFd;

    let through_proc = PathBuf::from(format!("/proc/self/fd/{}", held.as_raw_fd()));
    match UnixStream::connect(&through_proc).await {
        // No `/proc` here: the peer's credentials decide all the same.
        Err(error) if error.kind() == io::ErrorKind::NotFound => UnixStream::connect(path).await,
        other => other,
    }
    .map_err(|source| of_io(path, source))
}

#[cfg(not(target_os = "linux"))]
type Held = ();

#[cfg(not(target_os = "linux"))]
fn hold(path: &Path) -> Result<(Held, rustix::fs::Stat), Errno> {
    Ok(((), rustix::fs::lstat(path)?))
}

#[cfg(not(target_os = "linux"))]
async fn reach(path: &Path, _held: &Held) -> Result<UnixStream, ConnectError> {
    UnixStream::connect(path).await.map_err(|source| of_io(path, source))
}

fn of_errno(path: &Path, errno: Errno) -> ConnectError {
    of_io(path, errno.into())
}

fn of_io(path: &Path, source: io::Error) -> ConnectError {
    let path = path.to_owned();
    match source.kind() {
        io::ErrorKind::NotFound => ConnectError::Absent { path },
        io::ErrorKind::ConnectionRefused => ConnectError::Refused { path },
        io::ErrorKind::WouldBlock => ConnectError::Busy { path },
        io::ErrorKind::PermissionDenied => ConnectError::Permission { path, source },
        // What `std` says of an address that does not fit, before it asks the system.
        io::ErrorKind::InvalidInput if path.as_os_str().len() > MAX_PATH => ConnectError::TooLong { path },
        _ => ConnectError::Io { path, source },
    }
}
