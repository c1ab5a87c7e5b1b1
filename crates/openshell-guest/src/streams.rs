//! What a process's standard streams are connected to.

use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::thread;

use rustix::process::{Gid, Uid};
use rustix::pty::{OpenptFlags, ioctl_tiocgptpeer, openpt, unlockpt};
use rustix::termios::{Winsize, tcsetwinsize};
use rustix::thread::{set_thread_res_gid, set_thread_res_uid};

/// Makes a terminal of a size in characters: our side, the process's side.
///
/// # Errors
/// There is no `/dev/ptmx` in this root, or no terminal is left.
pub fn terminal(columns: u16, rows: u16) -> io::Result<(OwnedFd, OwnedFd)> {
    let flags = OpenptFlags::RDWR | OpenptFlags::NOCTTY | OpenptFlags::CLOEXEC;
    // Of this root's own `/dev/pts`, so that the process finds its terminal there.
    let ours = openpt(flags)?;
    unlockpt(&ours)?;
    let theirs = ioctl_tiocgptpeer(&ours, flags)?;
    resize(&ours, columns, rows)?;
    Ok((ours, theirs))
}

/// Gives a terminal another size, in characters; its foreground processes hear of it by WINCH.
///
/// # Errors
/// It is no terminal.
pub fn resize(terminal: impl AsFd, columns: u16, rows: u16) -> io::Result<()> {
    let size = Winsize { ws_row: rows, ws_col: columns, ws_xpixel: 0, ws_ypixel: 0 };
    Ok(tcsetwinsize(terminal, size)?)
}

/// Makes pipes and terminals that belong to a user from the start. Giving them away later takes a capability
/// (`CAP_CHOWN`) that a supervisor need not have; and a process that does not own its pipe cannot open `/dev/stdout`.
///
/// Linux keeps identities by the thread, so `make` runs on one of its own that is the user while it does.
///
/// # Errors
/// Those of `make`, or this process may not become the user.
pub fn made_by<T: Send>(uid: u32, gid: u32, make: impl FnOnce() -> io::Result<T> + Send) -> io::Result<T> {
    let (uid, gid) = (Uid::from_raw(uid), Gid::from_raw(gid));
    let as_user = move || {
        set_thread_res_gid(None, gid, None)?;
        set_thread_res_uid(None, uid, None)?;
        make()
    };
    thread::scope(|scope| {
        let thread = thread::Builder::new().stack_size(64 << 10).spawn_scoped(scope, as_user)?;
        thread.join().unwrap_or_else(|_| Err(io::Error::other("the thread that made it has failed")))
    })
}
