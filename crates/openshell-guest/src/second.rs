//! The second stage: this program once more, in the process that becomes the command. It gives up everything that the
//! command shall not have, and then becomes exactly what was asked for.
//!
//! A program of its own, because what has to happen between `fork` and `execve` cannot be said in safe Rust. It has
//! one thread: Linux keeps identities and capabilities by the thread.

use std::fs::File;
use std::io;
use std::os::fd::{AsFd, AsRawFd};
use std::os::unix::fs::MetadataExt;
use std::os::unix::net::UnixStream;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::Command;

use rustix::fs::{fchown, fstat};
use rustix::io::{Errno, fcntl_dupfd_cloexec};
use rustix::pipe::{PipeFlags, pipe_with};
use rustix::process::{Gid, Resource, Rlimit, Uid, chdir, ioctl_tiocsctty, setrlimit, setsid};
use rustix::stdio::dup2_stdin;
use rustix::thread::{
    CapabilitiesSecureBits, CapabilitySet, CapabilitySets, clear_ambient_capability_set,
    remove_capability_from_bounding_set, set_capabilities, set_capabilities_secure_bits, set_no_new_privs,
    set_thread_groups, set_thread_res_gid, set_thread_res_uid,
};
use serde::{Deserialize, Serialize};

use crate::fds;
use crate::frames::{MAX_FRAME, read, write};

/// The argument that makes a program its second stage.
pub(crate) const ARGUMENT: &str = "second-stage";

/// What to become, and as whom: what comes over the socket that is the standard input.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Plan {
    /// The program, looked for in the `PATH` of `env` where it has no slash, and its arguments. No shell reads them.
    pub argv: Vec<String>,
    /// All of the environment; a later one of a name wins.
    pub env: Vec<(String, String)>,
    /// The user.
    pub uid: u32,
    /// The main group.
    pub gid: u32,
    /// The supplementary groups.
    pub groups: Vec<u32>,
    /// Where it starts: an absolute path that is there.
    pub working_dir: String,
    /// Whether its standard output is a terminal, which becomes its controlling terminal and its other two streams.
    pub tty: bool,
    /// Its standard input, if that is no terminal.
    pub stdin: Stdin,
    /// What root keeps of its capabilities, as bits; everybody else has none. A kernel refuses what this program
    /// lacks.
    pub capabilities: u64,
    /// Whether to set the limits (getrlimit(2)) that a container engine would have set.
    pub limits: bool,
}

/// A standard input.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Stdin {
    /// Ends at once.
    Empty,
    /// Nothing comes, and no end.
    Open,
    /// What [`crate::start::Streams::stdin`] is.
    Passed,
}

/// Why there is no command.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Refusal {
    /// In words.
    pub message: String,
    /// The code of a shell that fails in the same way: 127 when there is no such program, otherwise 126.
    pub code: i32,
}

impl Refusal {
    fn new(message: impl Into<String>) -> Self {
        Self { message: message.into(), code: 126 }
    }
}

/// Whether this process is a second stage; if it is, it has tried to become its command, and ends now.
#[must_use]
pub fn taken() -> bool {
    let is = std::env::args_os().nth(1).is_some_and(|argument| argument == ARGUMENT);
    if is {
        run();
    }
    is
}

/// Becomes the command; comes back only if that fails, which the first stage has then been told.
fn run() {
    let Ok(socket) = fcntl_dupfd_cloexec(io::stdin(), 3) else { return };
    let mut socket = UnixStream::from(socket);
    let refusal = match read::<Plan>(&mut socket, MAX_FRAME) {
        Ok(Some(plan)) => become_command(&plan, &socket),
        Ok(None) => return,
        Err(error) => Refusal::new(error.to_string()),
    };
    let _ = write(&mut socket, &refusal);
}

/// What went wrong.
fn become_command(plan: &Plan, socket: &UnixStream) -> Refusal {
    if let Err(error) = give_up(plan, socket) {
        return Refusal::new(format!("cannot give up what the command shall not have: {error}"));
    }
    // As the user, who may not be allowed to go there.
    if let Err(error) = chdir(&plan.working_dir) {
        return Refusal::new(format!("`{}`: {error}: it was to be the working directory", plan.working_dir));
    }
    let Some((program, arguments)) = plan.argv.split_first() else {
        return Refusal::new("there is no command");
    };
    let error =
        Command::new(program).args(arguments).env_clear().envs(plan.env.iter().map(|(k, v)| (k, v))).exec();
    explain(plan, program, &error)
}

/// In this order: what needs a privilege goes before the privilege.
fn give_up(plan: &Plan, socket: &UnixStream) -> io::Result<()> {
    let (uid, gid) = (Uid::from_raw(plan.uid), Gid::from_raw(plan.gid));
    setsid()?;
    if plan.tty {
        dup2_stdin(io::stdout())?;
        ioctl_tiocsctty(io::stdout())?;
        // The device's group stays that of terminals.
        own(io::stdout(), uid, None)?;
    } else {
        match plan.stdin {
            Stdin::Empty => dup2_stdin(File::open("/dev/null")?)?,
            Stdin::Open => {
                let input = open_pipe()?;
                own(&input, uid, Some(gid))?;
                dup2_stdin(input)?;
            }
            Stdin::Passed => dup2_stdin(fds::receive(socket)?)?,
        }
        // So that `/dev/stdout` can be opened.
        own(io::stdout(), uid, Some(gid))?;
    }
    if plan.limits {
        setrlimit(Resource::Core, Rlimit { current: Some(0), maximum: Some(0) })?;
        setrlimit(Resource::Nofile, Rlimit { current: Some(1024), maximum: Some(1 << 19) })?;
    }
    // First, so that nothing below is all that stands between the command and a privilege.
    set_no_new_privs(true)?;
    forgo(plan.capabilities)?;
    clear_ambient_capability_set()?;
    set_thread_groups(&plan.groups.iter().copied().map(Gid::from_raw).collect::<Vec<_>>())?;
    set_thread_res_gid(gid, gid, gid)?;
    set_thread_res_uid(uid, uid, uid)?;
    // Root keeps them over a change of identity that changes nothing.
    let kept = CapabilitySet::from_bits_retain(if plan.uid == 0 { plan.capabilities } else { 0 });
    set_capabilities(
        None,
        CapabilitySets { effective: kept, permitted: kept, inheritable: CapabilitySet::empty() },
    )?;
    Ok(())
}

/// Takes every capability but these out of reach of whatever is executed from here on.
///
/// That takes a capability itself (`CAP_SETPCAP`), which a supervisor in a container need not have: without it, what
/// is left is that a process with `no_new_privs` and without capabilities gets none by `execve` either
/// (capabilities(7)).
fn forgo(kept: u64) -> io::Result<()> {
    for number in (0..64).filter(|number| kept & (1 << number) == 0) {
        match remove_capability_from_bounding_set(CapabilitySet::from_bits_retain(1 << number)) {
            Ok(()) => {}
            // The first that this kernel does not know.
            Err(Errno::INVAL) => break,
            Err(Errno::PERM) => return Ok(()),
            Err(error) => return Err(error.into()),
        }
    }
    if kept == 0 {
        let bits = CapabilitiesSecureBits::NO_ROOT
            | CapabilitiesSecureBits::NO_ROOT_LOCKED
            | CapabilitiesSecureBits::NO_CAP_AMBIENT_RAISE
            | CapabilitiesSecureBits::NO_CAP_AMBIENT_RAISE_LOCKED;
        set_capabilities_secure_bits(bits)?;
    }
    Ok(())
}

/// Makes a stream the user's, unless it was made so: that takes no capability then.
fn own(stream: impl AsFd, uid: Uid, gid: Option<Gid>) -> io::Result<()> {
    let found = fstat(&stream)?;
    if found.st_uid != uid.as_raw() || gid.is_some_and(|gid| found.st_gid != gid.as_raw()) {
        fchown(stream, Some(uid), gid)?;
    }
    Ok(())
}

/// A pipe that has itself for a writer, so that it never ends and nobody has to hold its other end.
fn open_pipe() -> io::Result<File> {
    let (read, _write) = pipe_with(PipeFlags::CLOEXEC)?;
    File::options().read(true).write(true).open(format!("/proc/self/fd/{}", read.as_raw_fd()))
}

/// An error of `execve` in words that help.
fn explain(plan: &Plan, program: &str, error: &io::Error) -> Refusal {
    let path = || plan.env.iter().rev().find(|(name, _)| name == "PATH").map_or("", |(_, value)| value);
    let (message, code) = match Errno::from_io_error(error) {
        Some(Errno::NOENT) if !program.contains('/') => {
            (format!("`{program}`: the image has no such program in its PATH ({})", path()), 127)
        }
        Some(Errno::NOENT) if Path::new(program).exists() => (
            format!("`{program}`: the image has not the interpreter or loader that this program asks for"),
            126,
        ),
        Some(Errno::NOENT) => (format!("`{program}`: the image has no such program"), 127),
        Some(Errno::ACCESS) => {
            let mode =
                std::fs::metadata(program).map(|found| format!(", its mode is {:o}", found.mode() & 0o7777));
            (format!("`{program}`: user {} may not execute it{}", plan.uid, mode.unwrap_or_default()), 126)
        }
        Some(Errno::NOEXEC) => {
            (format!("`{program}`: no program for this machine, and no script with `#!`"), 126)
        }
        _ => (format!("`{program}`: {error}"), 126),
    };
    Refusal { message, code }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn explained(program: &str, error: Errno) -> (i32, String) {
        let plan = Plan {
            argv: vec![program.to_owned()],
            env: vec![("PATH".to_owned(), "/bin".to_owned())],
            uid: 1000,
            gid: 1000,
            groups: Vec::new(),
            working_dir: "/".to_owned(),
            tty: false,
            stdin: Stdin::Empty,
            capabilities: 0,
            limits: false,
        };
        let refusal = explain(&plan, program, &error.into());
        (refusal.code, refusal.message)
    }

    #[test]
    fn what_execve_says_is_explained() {
        for (program, error, code, message) in [
            ("none", Errno::NOENT, 127, "`none`: the image has no such program in its PATH (/bin)"),
            ("/none", Errno::NOENT, 127, "`/none`: the image has no such program"),
            (
                "/proc/version",
                Errno::NOENT,
                126,
                "`/proc/version`: the image has not the interpreter or loader that this program asks for",
            ),
            (
                "/proc/version",
                Errno::ACCESS,
                126,
                "`/proc/version`: user 1000 may not execute it, its mode is 444",
            ),
            ("/x", Errno::NOEXEC, 126, "`/x`: no program for this machine, and no script with `#!`"),
        ] {
            assert_eq!(explained(program, error), (code, message.to_owned()));
        }
    }
}
