//! Between the supervisor's socket and the port to the driver: one connection at a time, the latest.
//!
//! ```text
//!   up     accepts, reads the connection, writes frames to the port
//!   down   reads frames from the port, writes to the connection
//! ```
//!
//! Two threads that each wait for one thing: a gateway that does not read holds up `up` alone, a supervisor that does not
//! read `down` alone, and neither the first program's own talk with the driver. Only the supervisor is let in, whoever
//! connects: so nobody in the guest takes its place, root either.

use std::convert::Infallible;
use std::fs::File;
use std::io::{self, Read, Write};
use std::net::Shutdown;
use std::os::unix::net::{UnixListener, UnixStream};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use openshell_vm_init::line::{HEADER, Header, Kind, MAX_DATA, frame};
use rustix::event::{PollFd, PollFlags, poll};
use rustix::io::Errno;
use rustix::net::sockopt::socket_peercred;
use rustix::process::Pid;

use crate::failure::{During, Failure};

/// Room for a frame, and some more.
const STACK: usize = 128 << 10;

/// A socket that listens, and the port.
pub(crate) struct Door {
    listener: UnixListener,
    port: File,
}

/// The connection that there is, with its number.
type Current = Option<(u32, Arc<UnixStream>)>;

/// What both threads have.
struct Shared {
    port: File,
    current: Mutex<Current>,
}

impl Door {
    pub(crate) fn new(listener: UnixListener, port: File) -> Self {
        Self { listener, port }
    }

    /// Lets the supervisor in from now on, and nobody else, until the machine ends.
    pub(crate) fn attend(self, supervisor: Pid) -> Result<(), Failure> {
        let Self { listener, port } = self;
        let shared = Arc::new(Shared { port, current: Mutex::default() });
        let below = Arc::clone(&shared);
        spawn("up", move || up(&shared, &listener, supervisor))?;
        spawn("down", move || down(&below))
    }
}

fn spawn(name: &str, work: impl FnOnce() -> io::Result<Infallible> + Send + 'static) -> Result<(), Failure> {
    let thread = std::thread::Builder::new().name(name.to_owned()).stack_size(STACK);
    let run = move || {
        // The driver has gone, and the machine goes with it; or nothing of this can be told to anybody.
        let Err(_) = work();
    };
    thread.spawn(run).map(|_| ()).during("listen for the supervisor", "a thread")
}

impl Shared {
    fn current(&self) -> MutexGuard<'_, Current> {
        // Nothing is done under the lock that could leave it half done.
        self.current.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The connection of that number, while there is one.
    fn connection(&self, number: u32) -> Option<Arc<UnixStream>> {
        self.current().as_ref().filter(|(known, _)| *known == number).map(|(_, stream)| Arc::clone(stream))
    }

    /// Ends the connection that there is, and has another in its place.
    fn replace(&self, with: Current) {
        let old = std::mem::replace(&mut *self.current(), with);
        if let Some((_, stream)) = old {
            // Whoever waits to write to it waits no longer.
            let _ = stream.shutdown(Shutdown::Both);
        }
    }
}

/// From the supervisor to the driver.
fn up(shared: &Shared, listener: &UnixListener, supervisor: Pid) -> io::Result<Infallible> {
    let mut port = &shared.port;
    let mut buffer = [0; HEADER + MAX_DATA];
    let mut number = 0_u32;
    loop {
        let open = shared.connection(number);
        let (knocks, speaks) = wait(listener, open.as_deref())?;
        if knocks {
            let (stream, _) = listener.accept()?;
            if socket_peercred(&stream).is_ok_and(|peer| peer.pid == supervisor) {
                number = number.checked_add(1).ok_or(io::ErrorKind::QuotaExceeded)?;
                shared.replace(Some((number, Arc::new(stream))));
                port.write_all(&Header::of(Kind::Open, number).encode())?;
                continue;
            }
        }
        // Also while somebody else knocks without end.
        let Some(open) = open.filter(|_| speaks) else { continue };
        match (&*open).read(&mut buffer[HEADER..]) {
            Ok(count @ 1..) => port.write_all(frame(&mut buffer, number, count))?,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Ok(_) | Err(_) => {
                shared.replace(None);
                port.write_all(&Header::of(Kind::Close, number).encode())?;
            }
        }
    }
}

/// Waits until somebody connects, or the connection that there is has something; whether each is so.
fn wait(listener: &UnixListener, open: Option<&UnixStream>) -> io::Result<(bool, bool)> {
    loop {
        let mut fds = vec![PollFd::new(listener, PollFlags::IN)];
        fds.extend(open.map(|stream| PollFd::new(stream, PollFlags::IN)));
        match poll(&mut fds, None) {
            Ok(_) => {
                let ready = |at: usize| fds.get(at).is_some_and(|fd| !fd.revents().is_empty());
                return Ok((ready(0), ready(1)));
            }
            Err(Errno::INTR) => {}
            Err(error) => return Err(error.into()),
        }
    }
}

/// From the driver to the supervisor.
fn down(shared: &Shared) -> io::Result<Infallible> {
    let mut port = &shared.port;
    let (mut header, mut data) = ([0; HEADER], [0; MAX_DATA]);
    loop {
        port.read_exact(&mut header)?;
        let Header { kind, connection, length } = Header::decode(header).map_err(io::Error::other)?;
        let data = &mut data[..usize::from(length)];
        port.read_exact(data)?;
        // What is for one that is gone is dropped.
        let Some(open) = shared.connection(connection) else { continue };
        let done = match kind {
            Kind::Data => (&*open).write_all(data).is_err(),
            Kind::Open | Kind::Close => true,
        };
        if done {
            // `up` sees the end, and says it.
            let _ = open.shutdown(Shutdown::Both);
        }
    }
}

#[cfg(test)]
mod tests;
