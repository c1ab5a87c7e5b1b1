//! The second stage: this program once more, in the process that becomes the workload. It gives up everything that the
//! workload shall not have, and then becomes exactly what was asked for.
//!
//! A program of its own, because what has to happen between `fork` and `execve` cannot be said in safe Rust. It has one
//! thread: Linux keeps identities and capabilities by the thread.

use std::fs::File;
use std::io;
use std::os::fd::AsRawFd;
use std::os::unix::fs::MetadataExt;
use std::os::unix::net::UnixStream;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::Command;

use openshell_vm_init::protocol::{MAX_FRAME, read, write};
use rustix::fs::fchown;
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

/// The argument that makes this program its second stage.
pub(crate) const ARGUMENT: &str = "second-stage";

/// What comes over the socket that is the standard input.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Plan {
    pub(crate) argv: Vec<String>,
    pub(crate) env: Vec<(String, String)>,
    pub(crate) uid: u32,
    pub(crate) gid: u32,
    pub(crate) groups: Vec<u32>,
    pub(crate) working_dir: String,
    pub(crate) tty: bool,
    pub(crate) stdin: bool,
}

/// What goes back if there is no workload to become.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Refusal {
    pub(crate) message: String,
}

/// Becomes the workload; comes back only if that fails, which the first stage has then been told.
pub(crate) fn run() {
    let Ok(socket) = fcntl_dupfd_cloexec(io::stdin(), 3) else { return };
    let mut socket = UnixStream::from(socket);
    let message = match read::<Plan>(&mut socket, MAX_FRAME) {
        Ok(Some(plan)) => become_workload(&plan),
        Ok(None) => return,
        Err(error) => error.to_string(),
    };
    let _ = write(&mut socket, &Refusal { message });
}

/// What went wrong.
fn become_workload(plan: &Plan) -> String {
    if let Err(error) = give_up(plan) {
        return format!("cannot give up what the command shall not have: {error}");
    }
    // As the user, who may not be allowed to go there.
    if let Err(error) = chdir(&plan.working_dir) {
        return format!("`{}`: {error}: it was to be the working directory", plan.working_dir);
    }
    let Some((program, arguments)) = plan.argv.split_first() else { return "there is no command".to_owned() };
    let error =
        Command::new(program).args(arguments).env_clear().envs(plan.env.iter().map(|(k, v)| (k, v))).exec();
    explain(plan, program, &error)
}

/// In this order: what needs a privilege goes before the privilege.
fn give_up(plan: &Plan) -> io::Result<()> {
    let (uid, gid) = (Uid::from_raw(plan.uid), Gid::from_raw(plan.gid));
    setsid()?;
    if plan.tty {
        dup2_stdin(io::stdout())?;
        ioctl_tiocsctty(io::stdout())?;
        // The device's group stays that of terminals.
        fchown(io::stdout(), Some(uid), None)?;
    } else {
        let input = if plan.stdin { open_pipe()? } else { File::open("/dev/null")? };
        if plan.stdin {
            fchown(&input, Some(uid), Some(gid))?;
        }
        dup2_stdin(input)?;
        // So that `/dev/stdout` can be opened.
        fchown(io::stdout(), Some(uid), Some(gid))?;
    }
    setrlimit(Resource::Core, Rlimit { current: Some(0), maximum: Some(0) })?;
    setrlimit(Resource::Nofile, Rlimit { current: Some(1024), maximum: Some(1 << 19) })?;
    for number in 0..64 {
        match remove_capability_from_bounding_set(CapabilitySet::from_bits_retain(1 << number)) {
            Ok(()) => {}
            // The first that this kernel does not know.
            Err(Errno::INVAL) => break,
            Err(error) => return Err(error.into()),
        }
    }
    let bits = CapabilitiesSecureBits::NO_ROOT
        | CapabilitiesSecureBits::NO_ROOT_LOCKED
        | CapabilitiesSecureBits::NO_CAP_AMBIENT_RAISE
        | CapabilitiesSecureBits::NO_CAP_AMBIENT_RAISE_LOCKED;
    set_capabilities_secure_bits(bits)?;
    clear_ambient_capability_set()?;
    set_thread_groups(&plan.groups.iter().copied().map(Gid::from_raw).collect::<Vec<_>>())?;
    set_thread_res_gid(gid, gid, gid)?;
    set_thread_res_uid(uid, uid, uid)?;
    // Root keeps them over a change of identity that changes nothing.
    let none = CapabilitySet::empty();
    set_capabilities(None, CapabilitySets { effective: none, permitted: none, inheritable: none })?;
    set_no_new_privs(true)?;
    Ok(())
}

/// A pipe that has itself for a writer, so that it never ends and nobody has to hold its other end.
fn open_pipe() -> io::Result<File> {
    let (read, _write) = pipe_with(PipeFlags::CLOEXEC)?;
    File::options().read(true).write(true).open(format!("/proc/self/fd/{}", read.as_raw_fd()))
}

/// An error of `execve` in words that help.
fn explain(plan: &Plan, program: &str, error: &io::Error) -> String {
    let path = || plan.env.iter().rev().find(|(name, _)| name == "PATH").map_or("", |(_, value)| value);
    match Errno::from_io_error(error) {
        Some(Errno::NOENT) if !program.contains('/') => {
            format!("`{program}`: the image has no such program in its PATH ({})", path())
        }
        Some(Errno::NOENT) if Path::new(program).exists() => {
            format!("`{program}`: the image has not the interpreter or loader that this program asks for")
        }
        Some(Errno::NOENT) => format!("`{program}`: the image has no such program"),
        Some(Errno::ACCESS) => {
            let mode =
                std::fs::metadata(program).map(|found| format!(", its mode is {:o}", found.mode() & 0o7777));
            format!("`{program}`: user {} may not execute it{}", plan.uid, mode.unwrap_or_default())
        }
        Some(Errno::NOEXEC) => format!("`{program}`: no program for this machine, and no script with `#!`"),
        _ => format!("`{program}`: {error}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn explained(program: &str, error: Errno) -> String {
        let plan = Plan {
            argv: vec![program.to_owned()],
            env: vec![("PATH".to_owned(), "/bin".to_owned())],
            uid: 1000,
            gid: 1000,
            groups: Vec::new(),
            working_dir: "/".to_owned(),
            tty: false,
            stdin: false,
        };
        explain(&plan, program, &error.into())
    }

    #[test]
    fn what_execve_says_is_explained() {
        assert_eq!(
            explained("none", Errno::NOENT),
            "`none`: the image has no such program in its PATH (/bin)"
        );
        assert_eq!(explained("/none", Errno::NOENT), "`/none`: the image has no such program");
        assert_eq!(
            explained("/proc/version", Errno::NOENT),
            "`/proc/version`: the image has not the interpreter or loader that this program asks for"
        );
        assert_eq!(
            explained("/proc/version", Errno::ACCESS),
            "`/proc/version`: user 1000 may not execute it, its mode is 444"
        );
        assert_eq!(
            explained("/x", Errno::NOEXEC),
            "`/x`: no program for this machine, and no script with `#!`"
        );
    }
}
