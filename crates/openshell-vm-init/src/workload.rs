//! Starting the main process: who, with what, and how it is known that it runs.

use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::process::{Command, Stdio};

use openshell_vm_init::protocol::{MAX_FRAME, Spec, read, write};
use rustix::fs::{OFlags, fcntl_getfl, fcntl_setfl};
use rustix::pipe::{PipeFlags, pipe_with};
use rustix::process::Pid;
use rustix::pty::{OpenptFlags, ioctl_tiocgptpeer, openpt, unlockpt};
use rustix::termios::{Winsize, tcsetwinsize};

use crate::failure::{During, Failure};
use crate::limits::Limits;
use crate::root::working_dir;
use crate::second::{self, Plan, Refusal};
use crate::user::User;

const STEP: &str = "start the command";
/// What programs expect where neither image nor request says it.
const PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

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
        let (output, input) =
            if spec.tty { terminal() } else { pipe_with(PipeFlags::CLOEXEC) }.during(STEP, "its output")?;
        let flags = fcntl_getfl(&output).during(STEP, "its output")?;
        fcntl_setfl(&output, flags | OFlags::NONBLOCK).during(STEP, "its output")?;
        let (mut ours, theirs) = UnixStream::pair().during(STEP, "a socket")?;
        let errors = input.try_clone().during(STEP, "its output")?;
        let child = Command::new("/proc/self/exe")
            .arg(second::ARGUMENT)
            .stdin(Stdio::from(OwnedFd::from(theirs)))
            .stdout(Stdio::from(input))
            .stderr(Stdio::from(errors))
            .spawn()
            .during(STEP, "this program's second stage")?;
        let process = i32::try_from(child.id()).ok().and_then(Pid::from_raw);
        let process = process.ok_or_else(|| Failure::new(STEP, "the kernel gave a process no number"))?;
        // It waits for its plan, so that it is in the group before it can have children.
        limits.hold(process)?;
        write(&mut ours, &plan(spec, user)).during(STEP, "its plan")?;
        // The other end closes itself at `execve`: nothing to read means that the process runs.
        match read::<Refusal>(&mut ours, MAX_FRAME).during(STEP, "its second stage")? {
            None => Ok(Self { process, output, limits }),
            Some(Refusal { message }) => Err(Failure::new(STEP, message)),
        }
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

/// A terminal: our side, the process's side.
fn terminal() -> rustix::io::Result<(OwnedFd, OwnedFd)> {
    let flags = OpenptFlags::RDWR | OpenptFlags::NOCTTY | OpenptFlags::CLOEXEC;
    // Of the root disk's own `/dev/pts`, so that the process finds its terminal there.
    let ours = openpt(flags)?;
    unlockpt(&ours)?;
    let theirs = ioctl_tiocgptpeer(&ours, flags)?;
    tcsetwinsize(&ours, Winsize { ws_row: 24, ws_col: 80, ws_xpixel: 0, ws_ypixel: 0 })?;
    Ok((ours, theirs))
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
        stdin: spec.stdin,
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
}
