//! Somebody else at the driver's socket: another user, whom no file's mode keeps out, so that the driver's own look at the
//! peer's credentials is what decides.

use std::io::{self, Read as _, Write as _};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::time::Duration;

use rustix::thread::{
    CapabilitySet, CapabilitySets, Gid, Uid, set_capabilities, set_keep_capabilities, set_thread_groups,
    set_thread_res_gid, set_thread_res_uid,
};

/// What an HTTP/2 client says first, and its empty settings: a server answers with its own.
const GREETING: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0";

/// What came of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Foreign {
    /// It was spoken to.
    Served,
    /// It was not.
    Refused,
}

/// Dials as the user `uid`, on a thread of its own, and waits for a first byte for `patience`.
///
/// # Errors
/// When this process may not become another user.
pub(crate) fn dial(path: &Path, uid: u32, patience: Duration) -> io::Result<Foreign> {
    let path: PathBuf = path.to_owned();
    // On Linux a thread has an identity of its own when it is set by the system call itself; it ends with the thread.
    let stranger = std::thread::Builder::new().name("stranger".to_owned());
    let stranger = stranger.spawn(move || {
        become_user(uid)?;
        Ok(ask(&path, patience).unwrap_or(Foreign::Refused))
    })?;
    stranger.join().unwrap_or_else(|_| Err(io::Error::other("the thread panicked")))
}

fn become_user(uid: u32) -> io::Result<()> {
    let (uid, gid) = (Uid::from_raw(uid), Gid::from_raw(uid));
    set_keep_capabilities(true)?;
    set_thread_groups(&[])?;
    set_thread_res_gid(gid, gid, gid)?;
    set_thread_res_uid(uid, uid, uid)?;
    let effective = CapabilitySet::DAC_OVERRIDE | CapabilitySet::DAC_READ_SEARCH;
    let sets = CapabilitySets { effective, permitted: effective, inheritable: CapabilitySet::empty() };
    Ok(set_capabilities(None, sets)?)
}

fn ask(path: &Path, patience: Duration) -> io::Result<Foreign> {
    let mut stream = UnixStream::connect(path)?;
    stream.set_read_timeout(Some(patience))?;
    stream.write_all(GREETING)?;
    let read = stream.read(&mut [0; 1])?;
    Ok(if read == 0 { Foreign::Refused } else { Foreign::Served })
}
