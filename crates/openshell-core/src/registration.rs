//! Which gateways run on this host: each leaves a file beside its socket for as long as it listens, so that a client
//! finds it with no configuration at all.
//!
//! ```text
//!   $XDG_RUNTIME_DIR/openshell/gateways/<gateway id>.json      (root: /run/openshell/gateways/…), 0600 in 0700
//! ```
//!
//! A file says where the token is, never the token. What a crash leaves behind is told by its process, and skipped.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read as _, Write as _};
use std::os::unix::fs::{FileTypeExt as _, MetadataExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use rustix::process::{Pid, test_kill_process};
use serde_json::{Value, json};

use crate::Environment;
use crate::identity::GatewayId;
use crate::paths::{self, PathError};

/// The directory's name in the runtime directory.
const DIRECTORY: &str = "gateways";
/// The largest file that is taken for one of these.
const MAX_BYTES: u64 = 64 << 10;

/// A gateway that runs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Registration {
    /// Its id.
    pub gateway_id: String,
    /// Its process.
    pub pid: u32,
    /// Its version.
    pub version: String,
    /// The driver that it runs.
    pub driver: String,
    /// Its Unix socket.
    pub socket: PathBuf,
    /// Its TCP listener, `http://127.0.0.1:17670` or `https://…`; `None` without one.
    pub endpoint: Option<String>,
    /// The file with its token, where one is asked for.
    pub token_path: Option<PathBuf>,
    /// What its certificate is to be checked against, where that is known.
    pub ca_path: Option<PathBuf>,
}

/// A registration on disk; dropping it removes the file, unless another gateway has taken its place.
#[derive(Debug)]
pub struct Registered {
    path: PathBuf,
    pid: u32,
}

/// Why a gateway cannot be registered. It serves all the same.
#[derive(Debug, thiserror::Error)]
pub enum RegistrationError {
    /// There is no directory for it.
    #[error(transparent)]
    Directory(#[from] PathError),
    /// The file cannot be written.
    #[error("cannot write `{path}`", path = path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// What the system said.
        #[source]
        source: io::Error,
    },
}

impl Registration {
    /// Writes the file, whole or not at all; to be called once the gateway listens.
    ///
    /// # Errors
    /// When there is no runtime directory, or it cannot be written.
    pub fn write(&self, env: &Environment) -> Result<Registered, RegistrationError> {
        self.write_in(&directory(env)?, env.uid())
    }

    fn write_in(&self, dir: &Path, uid: u32) -> Result<Registered, RegistrationError> {
        paths::ensure_private(dir, uid)?;
        // Those of crashed gateways would pile up else.
        for (stale, _) in files(dir).filter(|(_, written)| !written.is_live()) {
            let _ = fs::remove_file(stale);
        }
        let path = dir.join(format!("{}.json", self.gateway_id));
        let aside = dir.join(format!(".{}.{}", self.gateway_id, self.pid));
        write_private(&aside, format!("{:#}\n", self.to_json()).as_bytes())
            .and_then(|()| fs::rename(&aside, &path))
            .map_err(|source| {
                let _ = fs::remove_file(&aside);
                RegistrationError::Io { path: path.clone(), source }
            })?;
        Ok(Registered { path, pid: self.pid })
    }

    fn to_json(&self) -> Value {
        json!({
            "gateway_id": self.gateway_id,
            "pid": self.pid,
            "version": self.version,
            "driver": self.driver,
            "socket": text(&self.socket),
            "endpoint": self.endpoint,
            "token_path": self.token_path.as_deref().map(text),
            "ca_path": self.ca_path.as_deref().map(text),
        })
    }

    fn from_json(value: &Value) -> Option<Self> {
        let text = |key: &str| value.get(key).and_then(Value::as_str);
        let gateway_id: GatewayId = text("gateway_id")?.parse().ok()?;
        Some(Self {
            gateway_id: gateway_id.as_str().to_owned(),
            pid: u32::try_from(value.get("pid")?.as_u64()?).ok()?,
            version: text("version")?.to_owned(),
            driver: text("driver")?.to_owned(),
            socket: absolute(text("socket")?)?,
            endpoint: text("endpoint").map(str::to_owned),
            token_path: text("token_path").and_then(absolute),
            ca_path: text("ca_path").and_then(absolute),
        })
    }

    /// Whether its process is there and its socket, too.
    fn is_live(&self) -> bool {
        let process = i32::try_from(self.pid).ok().and_then(Pid::from_raw);
        // Somebody else's process answers with a refusal, and is there.
        let there = process.is_some_and(|pid| test_kill_process(pid) != Err(rustix::io::Errno::SRCH));
        there && fs::symlink_metadata(&self.socket).is_ok_and(|found| found.file_type().is_socket())
    }
}

impl Drop for Registered {
    fn drop(&mut self) {
        if read(&self.path).is_some_and(|written| written.pid == self.pid) {
            // Left behind it names a process that is gone, and is skipped.
            let _ = fs::remove_file(&self.path);
        }
    }
}

/// The gateways of this user that run, by their ids. What is stale, broken or somebody else's is skipped: it may only
/// say where not to look.
#[must_use]
pub fn live(env: &Environment) -> Vec<Registration> {
    directory(env).map(|dir| live_in(&dir, env.uid())).unwrap_or_default()
}

fn live_in(dir: &Path, uid: u32) -> Vec<Registration> {
    // Whoever may write here could send a client's token anywhere.
    let trusted = fs::symlink_metadata(dir)
        .is_ok_and(|found| found.is_dir() && found.uid() == uid && found.mode() & 0o022 == 0);
    if !trusted {
        return Vec::new();
    }
    let mut found: Vec<Registration> =
        files(dir).map(|(_, written)| written).filter(Registration::is_live).collect();
    found.sort_by(|one, other| one.gateway_id.cmp(&other.gateway_id));
    found
}

/// What lies in the directory and can be read.
fn files(dir: &Path) -> impl Iterator<Item = (PathBuf, Registration)> {
    let entries = fs::read_dir(dir).into_iter().flatten();
    entries
        .filter_map(|entry| Some(entry.ok()?.path()))
        .filter(|path| path.extension().is_some_and(|extension| extension == "json"))
        .filter_map(|path| read(&path).map(|written| (path, written)))
}

fn directory(env: &Environment) -> Result<PathBuf, PathError> {
    paths::runtime_dir(env).map(|dir| dir.join(DIRECTORY))
}

fn read(path: &Path) -> Option<Registration> {
    let mut bytes = Vec::new();
    File::open(path).ok()?.take(MAX_BYTES).read_to_end(&mut bytes).ok()?;
    Registration::from_json(&serde_json::from_slice(&bytes).ok()?)
}

fn write_private(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let mut file = OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(path)?;
    file.write_all(bytes)
}

/// A path as JSON holds it; `None` for one that it cannot.
fn text(path: &Path) -> Option<&str> {
    path.to_str()
}

fn absolute(text: &str) -> Option<PathBuf> {
    Some(PathBuf::from(text)).filter(|path| path.is_absolute())
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;
    use std::os::unix::net::UnixListener;

    use super::*;

    /// One of this process, and its socket, in `dir`.
    fn registration(dir: &Path, id: &str) -> (Registration, UnixListener) {
        let socket = dir.join(format!("{id}.sock"));
        let listener = UnixListener::bind(&socket).expect("a socket");
        let registration = Registration {
            gateway_id: id.to_owned(),
            pid: std::process::id(),
            version: "0.1.0".to_owned(),
            driver: "external:/run/d.sock".to_owned(),
            socket,
            endpoint: Some("http://127.0.0.1:1".to_owned()),
            token_path: Some(dir.join("token")),
            ca_path: None,
        };
        (registration, listener)
    }

    fn uid() -> u32 {
        rustix::process::geteuid().as_raw()
    }

    fn ids(dir: &Path) -> Vec<String> {
        live_in(dir, uid()).into_iter().map(|found| found.gateway_id).collect()
    }

    #[test]
    fn it_is_there_as_long_as_its_gateway() {
        let scratch = tempfile::tempdir().unwrap();
        let dir = scratch.path().join("a/gateways");
        assert!(live_in(&dir, uid()).is_empty(), "no directory at all");
        let (first, _listens) = registration(scratch.path(), "first");
        let (second, _listens_too) = registration(scratch.path(), "second");
        let second_written = second.write_in(&dir, uid()).unwrap();
        let first_written = first.write_in(&dir, uid()).unwrap();
        assert_eq!(
            live_in(&dir, uid()),
            [first.clone(), second],
            "in the order of their ids, as they were written"
        );
        let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
        assert_eq!((mode(&dir), mode(&dir.join("first.json"))), (0o700, 0o600));
        drop(second_written);
        assert_eq!(ids(&dir), ["first"]);
        drop(first_written);
        assert_eq!(fs::read_dir(&dir).unwrap().count(), 0, "nothing is left");
    }

    #[test]
    fn what_is_stale_is_skipped_and_cleared_by_the_next() {
        let scratch = tempfile::tempdir().unwrap();
        let dir = scratch.path().join("gateways");
        let mut child = std::process::Command::new("true").spawn().unwrap();
        child.wait().unwrap();
        let (crashed, _listens) = registration(scratch.path(), "crashed");
        let crashed = Registration { pid: child.id(), ..crashed };
        std::mem::forget(crashed.write_in(&dir, uid()).unwrap());
        let (silent, listener) = registration(scratch.path(), "silent");
        std::mem::forget(silent.write_in(&dir, uid()).unwrap());
        drop(listener);
        fs::remove_file(&silent.socket).unwrap();
        assert!(ids(&dir).is_empty());
        let (live, _listens_too) = registration(scratch.path(), "live");
        let _written = live.write_in(&dir, uid()).unwrap();
        assert_eq!(ids(&dir), ["live"]);
        assert_eq!(fs::read_dir(&dir).unwrap().count(), 1);
    }

    #[test]
    fn one_that_took_its_place_stays() {
        let scratch = tempfile::tempdir().unwrap();
        let dir = scratch.path().join("gateways");
        let (mine, _listens) = registration(scratch.path(), "same");
        let written = mine.write_in(&dir, uid()).unwrap();
        let other = Registration { pid: 1, ..mine };
        std::mem::forget(other.write_in(&dir, uid()).unwrap());
        drop(written);
        assert_eq!(live_in(&dir, uid()), [other]);
    }

    #[test]
    fn what_is_broken_or_anybodys_to_write_is_not_trusted() {
        let scratch = tempfile::tempdir().unwrap();
        let dir = scratch.path().join("gateways");
        let (mine, _listens) = registration(scratch.path(), "mine");
        let _written = mine.write_in(&dir, uid()).unwrap();
        for (name, text) in [
            ("garbage.json", "{"),
            ("list.json", "[]"),
            ("relative.json", r#"{"gateway_id":"r","pid":1,"version":"","driver":"","socket":"x"}"#),
            ("name.json", r#"{"gateway_id":"../r","pid":1,"version":"","driver":"","socket":"/x"}"#),
            ("other.txt", "{}"),
        ] {
            fs::write(dir.join(name), text).unwrap();
        }
        assert_eq!(ids(&dir), ["mine"]);
        assert!(live_in(&dir, uid() + 1).is_empty(), "somebody else's directory");
        fs::set_permissions(&dir, fs::Permissions::from_mode(0o777)).unwrap();
        assert!(ids(&dir).is_empty(), "anybody may write there");
    }

    #[test]
    fn every_user_has_a_directory() {
        let env = Environment::new([("XDG_RUNTIME_DIR", "/run/user/7")], 7);
        assert_eq!(directory(&env).unwrap(), Path::new("/run/user/7/openshell/gateways"));
        assert_eq!(directory(&Environment::default()).unwrap(), Path::new("/run/openshell/gateways"));
        assert!(live(&Environment::new([("A", "b")], 7)).is_empty(), "no directory to look in");
    }
}
