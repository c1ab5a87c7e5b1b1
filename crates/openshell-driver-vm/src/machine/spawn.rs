//! The one thread that starts QEMUs.
//!
//! A QEMU is to die with its driver: `setpriv --pdeathsig` asks the kernel for it. That signal comes when the *thread* that
//! started a process ends, and threads of tokio's come and go; this one lives as long as anybody may start or has a machine.

use std::io;
use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::sync::mpsc::{Sender, channel};

use command_fds::{CommandFdExt as _, FdMapping};
use tokio::process::{Child, Command};
use tokio::runtime::Handle;
use tokio::sync::oneshot;

/// A program to start and the files that it inherits, by number.
#[derive(Debug)]
pub(super) struct Job {
    /// The program, its arguments and its standard streams.
    pub(super) command: Command,
    /// What else it gets, and as which descriptor. Of the files that the driver opened it gets no others: those close on exec; what the
    /// driver itself was started with and does not is passed on.
    pub(super) files: Vec<(i32, OwnedFd)>,
}

type Reply = oneshot::Sender<io::Result<Child>>;

/// Starts programs on its thread. The thread ends with the last copy, and what it has started then, too.
#[derive(Debug, Clone)]
pub(super) struct Spawner(Arc<Sender<(Job, Reply)>>);

impl Spawner {
    /// Begins the thread. Call it on a tokio runtime: what is started is waited for there.
    ///
    /// # Errors
    /// No thread can be had.
    pub(super) fn new() -> io::Result<Self> {
        let (jobs, queue) = channel::<(Job, Reply)>();
        let runtime = Handle::current();
        std::thread::Builder::new().name("qemu-parent".to_owned()).spawn(move || {
            let _entered = runtime.enter();
            for (job, reply) in queue {
                // A machine that nobody waits for any more dies with its `Child`.
                let _ = reply.send(start(job));
            }
        })?;
        Ok(Self(Arc::new(jobs)))
    }

    /// Starts a program; it is killed when what this gives is dropped.
    ///
    /// # Errors
    /// It cannot be started.
    pub(super) async fn start(&self, job: Job) -> io::Result<Child> {
        let (reply, answer) = oneshot::channel();
        let gone = || io::Error::other("the thread that starts machines is gone");
        self.0.send((job, reply)).map_err(|_| gone())?;
        answer.await.map_err(|_| gone())?
    }
}

fn start(job: Job) -> io::Result<Child> {
    let Job { mut command, files } = job;
    let mappings = files.into_iter().map(|(child_fd, parent_fd)| FdMapping { parent_fd, child_fd }).collect();
    command.as_std_mut().fd_mappings(mappings).map_err(io::Error::other)?;
    command.kill_on_drop(true).spawn()
}
