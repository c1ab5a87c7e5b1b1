//! Binding: a socket that nobody else can reach for even a moment, and never somebody else's file removed.
//!
//! The order is what makes it free of races, since the umask belongs to the whole process and is left alone: the
//! socket is bound, its mode is set, and only then does it listen. Until then every connect is refused by the kernel.
//! Two starts at once are kept apart by a lock on the directory.

use std::borrow::Cow;
use std::ffi::{OsStr, OsString};
use std::fs::DirBuilder;
use std::io;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::os::unix::fs::DirBuilderExt;
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use rustix::fs::{AtFlags, FlockOperation, Mode, OFlags, Stat};
use rustix::io::Errno;
use rustix::net::{AddressFamily, SocketAddrUnix, SocketFlags, SocketType};

use crate::{Found, MAX_PATH, PeerPolicy};

/// How many connections the kernel holds for us before we accept them.
const BACKLOG: i32 = 1024;
/// How long another start in the same directory may hold its lock; it needs milliseconds.
const LOCK_PATIENCE: Duration = Duration::from_secs(2);

/// A bound, listening socket, readable and writable by its owner alone. Dropping it removes its file, if what lies
/// there is still the same.
#[derive(Debug)]
pub struct Listener {
    // Dropped in this order: the open socket pins its inode, so its number cannot be reused while we compare it.
    entry: Entry,
    socket: UnixListener,
}

/// Why a socket could not be bound.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum BindError {
    /// The path is too long to be an address.
    #[error("socket path `{}` has {length} bytes, a socket's address holds {MAX_PATH}", path.display())]
    TooLong {
        /// The path.
        path: PathBuf,
        /// Its bytes.
        length: usize,
    },
    /// The path names no file: empty, `/`, or one that ends with `..`.
    #[error("socket path `{}` names no file", path.display())]
    NoFileName {
        /// The path.
        path: PathBuf,
    },
    /// The directory cannot be made or opened.
    #[error("cannot open the socket's directory `{}`", dir.display())]
    Directory {
        /// The directory.
        dir: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// The directory is another user's, who could put anything in the socket's place.
    #[error("the socket's directory `{}` belongs to uid {uid}, neither this user nor root", dir.display())]
    DirectoryWrongOwner {
        /// The directory.
        dir: PathBuf,
        /// Whose it is.
        uid: u32,
    },
    /// Others may write to the directory, and remove what is not theirs.
    #[error("the socket's directory `{}` is writable by others (mode {mode:04o})", dir.display())]
    DirectoryWritable {
        /// The directory.
        dir: PathBuf,
        /// Its permissions.
        mode: u32,
    },
    /// Another start held the directory's lock for too long.
    #[error("another program holds a lock on the socket's directory `{}`", dir.display())]
    DirectoryLocked {
        /// The directory.
        dir: PathBuf,
    },
    /// A link lies at the path.
    #[error("`{}` is a symbolic link, which a socket's path may not be", path.display())]
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
    /// Another user's socket lies at the path.
    #[error("the socket `{}` belongs to uid {uid}", path.display())]
    WrongOwner {
        /// The path.
        path: PathBuf,
        /// Whose it is.
        uid: u32,
    },
    /// A program listens there.
    #[error("a program already answers at `{}`", path.display())]
    AlreadyAnswers {
        /// The path.
        path: PathBuf,
    },
    /// The system refused a step.
    #[error("cannot {action} the socket `{}`", path.display())]
    Io {
        /// The path.
        path: PathBuf,
        /// The step, as a verb.
        action: &'static str,
        /// Why.
        #[source]
        source: io::Error,
    },
}

impl BindError {
    /// What the operator can do, as a command or a rule; without the word `hint`.
    #[must_use]
    pub fn hint(&self) -> Option<String> {
        match self {
            Self::TooLong { .. } => {
                Some("choose a shorter path, such as one in `$XDG_RUNTIME_DIR`".to_owned())
            }
            Self::NoFileName { .. } => {
                Some("name the socket itself, such as `/run/openshell/driver.sock`".to_owned())
            }
            Self::Directory { dir, source } if source.kind() == io::ErrorKind::PermissionDenied => {
                Some(format!("sudo install -d -m 0700 -o \"$(id -u)\" {}", quoted(dir)))
            }
            Self::Directory { .. } => None,
            Self::DirectoryWrongOwner { .. } => Some(
                "choose a path in a directory of your own, such as `$XDG_RUNTIME_DIR/openshell`".to_owned(),
            ),
            Self::DirectoryWritable { dir, .. } => Some(format!("chmod go-w {}", quoted(dir))),
            Self::DirectoryLocked { dir } => Some(format!("fuser -v {}", quoted(dir))),
            Self::Symlink { path } => {
                Some(format!("name the link's target instead: readlink -f {}", quoted(path)))
            }
            Self::NotASocket { path, .. } => {
                Some(format!("choose another path, or move it away: ls -ld {}", quoted(path)))
            }
            Self::WrongOwner { path, .. } => {
                Some(format!("choose another path, or ask its owner: ls -l {}", quoted(path)))
            }
            Self::AlreadyAnswers { path } => {
                Some(format!("stop that program, or choose another path: ss -xlp src {}", quoted(path)))
            }
            Self::Io { .. } => None,
        }
    }
}

/// Looks whether [`bind`] would be refused, and changes nothing: for a program that has other things to set to work
/// before it binds. A directory that is not there yet is fine; it would be made.
///
/// # Errors
/// As those of [`bind`].
pub fn check(path: &Path) -> Result<(), BindError> {
    let (dir_path, name) = short(path)?;
    match open_dir(dir_path) {
        Ok(dir) => is_free(&dir, name, path, path).map(|_stale| ()),
        Err(BindError::Directory { source, .. }) if source.kind() == io::ErrorKind::NotFound => Ok(()),
        Err(error) => Err(error),
    }
}

/// Binds a socket for this user and root alone; see [`bind_for`].
///
/// # Errors
/// See [`BindError`]; nothing is changed on disk then, but for a directory that was made.
pub fn bind(path: &Path) -> Result<Listener, BindError> {
    bind_for(path, &PeerPolicy::default())
}

/// Binds a socket that those whom `policy` admits can connect to.
///
/// The directory is made 0700 when there is none; the socket is 0600. Where the policy lists further users or groups,
/// a directory made here is 0711 and the socket 0666, since a mode cannot say who, and the credentials of each
/// connection decide. A stale socket of this user's is replaced; a live one, or anything else, never.
///
/// # Errors
/// See [`BindError`]; nothing is changed on disk then, but for a directory that was made.
pub fn bind_for(path: &Path, policy: &PeerPolicy) -> Result<Listener, BindError> {
    short(path).and_then(|place| bind_at(place, path, policy))
}

/// The same for a socket that nobody dials by this path, which may then be longer than a socket's address: those who dial
/// it have its directory mounted elsewhere.
///
/// # Errors
/// See [`BindError`]. Where there is no `/proc`, and on other systems than Linux, a long path is too long here, too.
pub fn bind_mounted(path: &Path, policy: &PeerPolicy) -> Result<Listener, BindError> {
    split(path).and_then(|place| bind_at(place, path, policy))
}

fn bind_at(
    (dir_path, name): (&Path, &OsStr),
    path: &Path,
    policy: &PeerPolicy,
) -> Result<Listener, BindError> {
    let (dir_mode, socket_mode) = if policy.is_private() { (0o700, 0o600) } else { (0o711, 0o666) };

    make_dir(dir_path, dir_mode)?;
    let dir = open_dir(dir_path)?;
    lock(&dir, dir_path)?;
    let address = address(&dir, name, path)?;
    remove_stale(&dir, name, path, &address)?;

    let failed = |action| move |source: Errno| io_error(path, action, source);
    let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
    let socket = rustix::net::socket_with(AddressFamily::UNIX, SocketType::STREAM, flags, None)
        .map_err(failed("make"))?;
    let address = SocketAddrUnix::new(&*address).map_err(failed("address"))?;
    rustix::net::bind(&socket, &address).map_err(failed("bind"))?;
    let made = rustix::fs::statat(&dir, name, AtFlags::SYMLINK_NOFOLLOW).map_err(failed("look at"))?;
    // From here on the file is removed again whatever fails.
    let entry = Entry { dir, name: name.to_owned(), path: path.to_owned(), identity: identity(&made) };
    rustix::fs::chmodat(&entry.dir, name, Mode::from_raw_mode(socket_mode), AtFlags::empty())
        .map_err(failed("set the mode of"))?;
    rustix::net::listen(&socket, BACKLOG).map_err(failed("listen on"))?;
    // The lock is of the open directory, which the entry keeps.
    let _ = rustix::fs::flock(&entry.dir, FlockOperation::Unlock);
    Ok(Listener { entry, socket: UnixListener::from(socket) })
}

impl Listener {
    /// Where it listens.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.entry.path
    }

    /// The socket for an accept loop, and what removes its file when dropped.
    pub(crate) fn into_parts(self) -> (Entry, UnixListener) {
        (self.entry, self.socket)
    }
}

/// A socket's name in its directory; removed on drop as long as it is still the same inode.
#[derive(Debug)]
pub(crate) struct Entry {
    dir: OwnedFd,
    name: OsString,
    path: PathBuf,
    identity: (u64, u64),
}

impl Drop for Entry {
    fn drop(&mut self) {
        let present = rustix::fs::statat(&self.dir, &self.name, AtFlags::SYMLINK_NOFOLLOW);
        if present.is_ok_and(|stat| identity(&stat) == self.identity)
            && let Err(source) = rustix::fs::unlinkat(&self.dir, &self.name, AtFlags::empty())
        {
            tracing::warn!(path = %self.path.display(), error = %source, "the socket's file could not be removed");
        }
    }
}

/// The directory and the name in it, of a path that can be an address.
fn short(path: &Path) -> Result<(&Path, &OsStr), BindError> {
    let length = path.as_os_str().len();
    let place = split(path)?;
    if length > MAX_PATH {
        return Err(BindError::TooLong { path: path.to_owned(), length });
    }
    Ok(place)
}

/// What to give to the kernel for a path: the path, or where that is too long, one through the open directory.
fn address<'a>(dir: &OwnedFd, name: &OsStr, path: &'a Path) -> Result<Cow<'a, Path>, BindError> {
    let length = path.as_os_str().len();
    if length <= MAX_PATH {
        return Ok(Cow::Borrowed(path));
    }
    let through = Path::new("/proc/self/fd").join(dir.as_raw_fd().to_string());
    let reaches = std::fs::metadata(&through).is_ok_and(|found| found.is_dir());
    let through = through.join(name);
    if !reaches || through.as_os_str().len() > MAX_PATH {
        return Err(BindError::TooLong { path: path.to_owned(), length });
    }
    Ok(Cow::Owned(through))
}

/// The directory and the name in it.
fn split(path: &Path) -> Result<(&Path, &OsStr), BindError> {
    let ends_with_slash = path.as_os_str().as_encoded_bytes().ends_with(b"/");
    let Some(name) = path.file_name().filter(|_| !ends_with_slash) else {
        return Err(BindError::NoFileName { path: path.to_owned() });
    };
    let dir = path.parent().filter(|dir| !dir.as_os_str().is_empty()).unwrap_or(Path::new("."));
    Ok((dir, name))
}

/// Makes the directory when it is absent.
fn make_dir(dir: &Path, mode: u32) -> Result<(), BindError> {
    let failed = |source: io::Error| BindError::Directory { dir: dir.to_owned(), source };
    DirBuilder::new().recursive(true).mode(mode).create(dir).map_err(failed)
}

/// Opens the directory, and refuses one in which others could replace the socket.
fn open_dir(dir: &Path) -> Result<OwnedFd, BindError> {
    let failed = |source: io::Error| BindError::Directory { dir: dir.to_owned(), source };
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let opened = rustix::fs::open(dir, flags, Mode::empty()).map_err(|errno| failed(errno.into()))?;
    let stat = rustix::fs::fstat(&opened).map_err(|errno| failed(errno.into()))?;
    if stat.st_uid != 0 && stat.st_uid != own_uid() {
        return Err(BindError::DirectoryWrongOwner { dir: dir.to_owned(), uid: stat.st_uid });
    }
    let permissions = stat.st_mode & 0o7777;
    // In a sticky directory such as `/tmp` nobody can remove or replace what is ours.
    if permissions & 0o022 != 0 && permissions & 0o1000 == 0 {
        return Err(BindError::DirectoryWritable { dir: dir.to_owned(), mode: permissions });
    }
    Ok(opened)
}

/// Keeps two starts in one directory apart, so that none takes the other's young socket for a stale one.
fn lock(dir: &OwnedFd, path: &Path) -> Result<(), BindError> {
    let deadline = Instant::now() + LOCK_PATIENCE;
    loop {
        match rustix::fs::flock(dir, FlockOperation::NonBlockingLockExclusive) {
            Err(Errno::WOULDBLOCK) if Instant::now() < deadline => {
                std::thread::sleep(Duration::from_millis(10))
            }
            Err(Errno::WOULDBLOCK) => return Err(BindError::DirectoryLocked { dir: path.to_owned() }),
            // Some network file systems have no locks; there the loser of a race fails to bind.
            Ok(()) | Err(_) => return Ok(()),
        }
    }
}

/// What may lie where a socket shall be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Free {
    /// Nothing.
    Empty,
    /// A socket of ours that nobody listens on any more.
    Stale,
}

/// Clears the way.
fn remove_stale(dir: &OwnedFd, name: &OsStr, path: &Path, address: &Path) -> Result<(), BindError> {
    if is_free(dir, name, path, address)? == Free::Empty {
        return Ok(());
    }
    tracing::info!(path = %path.display(), "a stale socket of an earlier run is replaced");
    rustix::fs::unlinkat(dir, name, AtFlags::empty())
        .map_err(|source| io_error(path, "remove the stale", source))
}

/// Refuses whatever is in the way.
fn is_free(dir: &OwnedFd, name: &OsStr, path: &Path, address: &Path) -> Result<Free, BindError> {
    let found = match rustix::fs::statat(dir, name, AtFlags::SYMLINK_NOFOLLOW) {
        Ok(stat) => stat,
        Err(Errno::NOENT) => return Ok(Free::Empty),
        Err(source) => return Err(io_error(path, "look at", source)),
    };
    match Found::of_mode(found.st_mode) {
        Found::Socket => {}
        Found::Symlink => return Err(BindError::Symlink { path: path.to_owned() }),
        other => return Err(BindError::NotASocket { path: path.to_owned(), found: other }),
    }
    if found.st_uid != own_uid() {
        return Err(BindError::WrongOwner { path: path.to_owned(), uid: found.st_uid });
    }
    match probe(address) {
        Err(Errno::CONNREFUSED) => Ok(Free::Stale),
        Err(Errno::NOENT) => Ok(Free::Empty),
        // A full backlog is a sign of life too, and so is a socket of another type.
        Ok(()) | Err(Errno::AGAIN | Errno::INPROGRESS | Errno::PROTOTYPE) => {
            Err(BindError::AlreadyAnswers { path: path.to_owned() })
        }
        Err(source) => Err(io_error(path, "try", source)),
    }
}

/// Connects without waiting, and hangs up.
fn probe(address: &Path) -> Result<(), Errno> {
    let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
    let socket = rustix::net::socket_with(AddressFamily::UNIX, SocketType::STREAM, flags, None)?;
    rustix::net::connect(socket.as_fd(), &SocketAddrUnix::new(address)?)
}

// The widths differ between platforms.
#[allow(clippy::unnecessary_cast)]
fn identity(stat: &Stat) -> (u64, u64) {
    (stat.st_dev as u64, stat.st_ino as u64)
}

fn own_uid() -> u32 {
    rustix::process::geteuid().as_raw()
}

fn io_error(path: &Path, action: &'static str, source: Errno) -> BindError {
    BindError::Io { path: path.to_owned(), action, source: source.into() }
}

/// A path as a shell reads it.
pub(crate) fn quoted(path: &Path) -> String {
    let text = path.display().to_string();
    if text.chars().all(|c| c.is_ascii_alphanumeric() || "/._-+:@%,=".contains(c)) {
        return text;
    }
    format!("'{}'", text.replace('\'', "'\\''"))
}
