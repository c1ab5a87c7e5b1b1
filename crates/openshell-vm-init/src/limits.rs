//! The workload's control group: how many processes it may have, and whether the kernel had to kill one for memory.

use std::fs::{self, File};
use std::io::{Read, Seek, Write};
use std::path::Path;

use rustix::process::Pid;

use crate::failure::{During, Failure};

const STEP: &str = "limit the processes";
/// Mounted in the initramfs and out of the workload's reach after the switch; what is opened here stays open.
const ROOT: &str = "/cgroup";

/// An open control group.
#[derive(Debug)]
pub(crate) struct Limits {
    members: File,
    /// Absent where the kernel counts no memory.
    events: Option<File>,
}

impl Limits {
    /// Makes the group. `pids` is the most processes and threads, 0 for no limit.
    pub(crate) fn new(pids: u64) -> Result<Self, Failure> {
        let group = Path::new(ROOT).join("workload");
        let control = Path::new(ROOT).join("cgroup.subtree_control");
        fs::create_dir(&group).during(STEP, group.display())?;
        if pids != 0 {
            fs::write(&control, "+pids").during(STEP, "the kernel's pids controller")?;
            fs::write(group.join("pids.max"), pids.to_string()).during(STEP, pids)?;
        }
        let events =
            fs::write(&control, "+memory").and_then(|()| File::open(group.join("memory.events"))).ok();
        let members = group.join("cgroup.procs");
        let members = File::options().write(true).open(&members).during(STEP, members.display())?;
        Ok(Self { members, events })
    }

    /// Puts a process, and all that it starts, into the group.
    pub(crate) fn hold(&mut self, process: Pid) -> Result<(), Failure> {
        let text = process.as_raw_nonzero().to_string();
        self.members.write_all(text.as_bytes()).during(STEP, format_args!("process {text}"))
    }

    /// Whether a process of the group was killed for want of memory.
    pub(crate) fn out_of_memory(&mut self) -> bool {
        let Some(events) = &mut self.events else { return false };
        let mut text = String::new();
        events.rewind().and_then(|()| events.read_to_string(&mut text)).is_ok() && killed(&text)
    }
}

/// Whether `memory.events` counts a kill.
fn killed(events: &str) -> bool {
    events.lines().any(|line| line.strip_prefix("oom_kill ").is_some_and(|count| count != "0"))
}

#[cfg(test)]
mod tests {
    use super::killed;

    #[test]
    fn a_kill_is_read_and_no_other_event() {
        assert!(!killed("low 0\nhigh 0\nmax 3\noom 2\noom_kill 0\noom_group_kill 1\n"));
        assert!(killed("oom 1\noom_kill 1\noom_group_kill 0\n"));
    }
}
