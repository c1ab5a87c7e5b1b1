//! Starting the main process, or the supervisor before it: who, with what, and how it is known that it runs.

use std::os::fd::OwnedFd;

use openshell_guest::second::{Plan, Stdin};
use openshell_guest::start::{PATH, StartError, Streams, start};
use openshell_guest::streams::terminal;
use openshell_guest::user::User;
use openshell_vm_init::protocol::{Spec, Supervisor};
use rustix::fs::{OFlags, fcntl_getfl, fcntl_setfl};
use rustix::pipe::{PipeFlags, pipe_with};
use rustix::process::Pid;

use crate::failure::{During, Failure};
use crate::limits::Limits;
use crate::root::working_dir;

const STEP: &str = "start the command";

impl From<StartError> for Failure {
    fn from(error: StartError) -> Self {
        Self::new(STEP, error.to_string())
    }
}

/// A main process that runs.
pub(crate) struct Workload {
    /// The main process.
    pub(crate) process: Pid,
    /// What it writes; its reads do not wait.
    pub(crate) output: OwnedFd,
    /// Its control group.
    pub(crate) limits: Limits,
}

impl Workload {
    /// Starts it, and comes back when its `execve` has succeeded.
    pub(crate) fn start(spec: &Spec, user: &User, mut limits: Limits) -> Result<Self, Failure> {
        let pipe = || pipe_with(PipeFlags::CLOEXEC).map_err(std::io::Error::from);
        let (output, input) = if spec.tty { terminal(80, 24) } else { pipe() }.during(STEP, "its output")?;
        let flags = fcntl_getfl(&output).during(STEP, "its output")?;
        fcntl_setfl(&output, flags | OFlags::NONBLOCK).during(STEP, "its output")?;
        let stderr = input.try_clone().during(STEP, "its output")?;
        let streams = Streams { stdin: None, stdout: input, stderr };
        let plan = match &spec.supervisor {
            Some(supervisor) => supervising(spec, supervisor),
            None => plan(spec, user),
        };
        let process = start(&plan, streams, |process| limits.hold(process))?;
        Ok(Self { process, output, limits })
    }

    /// Takes what there is of the output; nothing when it has ended.
    pub(crate) fn output(&mut self, buffer: &mut [u8]) -> Option<usize> {
        loop {
            return match rustix::io::read(&self.output, &mut *buffer) {
                Ok(0) => None,
                Ok(count) => Some(count),
                Err(rustix::io::Errno::INTR) => continue,
                Err(rustix::io::Errno::AGAIN) => Some(0),
                // A terminal that nobody has open any more.
                Err(_) => None,
            };
        }
    }
}

/// What a supervisor may do: become the workload's user (`SETUID`, `SETGID`), give up for good what that shall not have
/// (`SETPCAP`), and end what it has started (`KILL`). Source: `linux/capability.h`.
const OF_THE_SUPERVISOR: u64 = 1 << 5 | 1 << 6 | 1 << 7 | 1 << 8;

/// What the second stage is to do where a supervisor starts the main process: what is missing in its environment that adds.
fn supervising(spec: &Spec, supervisor: &Supervisor) -> Plan {
    let mut env = Vec::new();
    if !spec.hostname.is_empty() {
        env.push(("HOSTNAME".to_owned(), spec.hostname.clone()));
    }
    env.extend(spec.env.iter().cloned());
    Plan {
        argv: supervisor.command.clone(),
        env,
        uid: 0,
        gid: 0,
        groups: Vec::new(),
        working_dir: "/".to_owned(),
        tty: spec.tty,
        stdin: if spec.stdin { Stdin::Open } else { Stdin::Empty },
        capabilities: OF_THE_SUPERVISOR,
        limits: true,
    }
}

/// What the second stage is to do.
fn plan(spec: &Spec, user: &User) -> Plan {
    let mut env = Vec::new();
    let mut missing = |name: &str, value: &str| {
        if !value.is_empty() && !spec.env.iter().any(|(known, _)| known == name) {
            env.push((name.to_owned(), value.to_owned()));
        }
    };
    missing("PATH", PATH);
    missing("HOME", &user.home);
    missing("HOSTNAME", &spec.hostname);
    missing("TERM", if spec.tty { "xterm" } else { "" });
    env.extend(spec.env.iter().cloned());
    Plan {
        argv: if spec.argv.is_empty() { vec!["/bin/sh".to_owned()] } else { spec.argv.clone() },
        env,
        uid: user.uid,
        gid: user.gid,
        groups: user.groups.clone(),
        working_dir: working_dir(spec).to_owned(),
        tty: spec.tty,
        stdin: if spec.stdin { Stdin::Open } else { Stdin::Empty },
        capabilities: 0,
        limits: true,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_missing_is_added_and_what_is_there_stays() {
        let user = User { uid: 1, gid: 2, groups: vec![3], home: "/home/u".to_owned() };
        let env = |name: &str, value: &str| (name.to_owned(), value.to_owned());
        let given = Spec { env: vec![env("HOME", "/x")], hostname: "box".to_owned(), ..Spec::default() };
        let made = plan(&given, &user);
        assert_eq!(made.env, [env("PATH", PATH), env("HOSTNAME", "box"), env("HOME", "/x")]);
        assert_eq!(made.argv, ["/bin/sh"]);
        assert_eq!(made.working_dir, "/");
        let given = Spec { argv: vec!["a b".to_owned()], tty: true, working_dir: "/w".to_owned(), ..given };
        let made = plan(&given, &user);
        assert!(made.env.contains(&env("TERM", "xterm")));
        assert_eq!((made.argv, made.working_dir), (vec!["a b".to_owned()], "/w".to_owned()));
    }

    #[test]
    fn a_supervisor_is_root_and_has_the_request_s_environment_alone() {
        let supervisor = Supervisor {
            program: "/p".to_owned(),
            socket: "/s".to_owned(),
            command: vec!["/p".to_owned(), "run".to_owned()],
        };
        let env = |name: &str, value: &str| (name.to_owned(), value.to_owned());
        let spec = Spec { env: vec![env("A", "1")], working_dir: "/w".to_owned(), ..Spec::default() };
        let made = supervising(&spec, &supervisor);
        assert_eq!((made.argv, made.env), (supervisor.command, vec![env("A", "1")]));
        assert_eq!((made.uid, made.gid, made.capabilities, made.working_dir.as_str()), (0, 0, 0x1e0, "/"));
    }
}
