//! What runs guests here: found out by running one.
//!
//! `/dev/kvm` may be there and yet no guest runs under it: in a virtual machine whose host does not nest well, under an
//! emulator. So each candidate boots the kernel with the initramfs that sandboxes get, and has to say hello.
//!
//! An operator who says `accelerator = "tcg"` has left nothing to find out.
//!
//! A microvm is tried under KVM alone: its only clock is the processor's, which a guest under TCG cannot measure, so that
//! it hangs in most of its boots.

use std::fmt;
use std::pin::pin;
use std::time::Duration;

use futures_util::FutureExt as _;
use futures_util::future::{self, FusedFuture as _};
use openshell_driver_api::{DriverError, ErrorKind};
use openshell_vm_init::protocol::{Frames, FromGuest, MAX_FROM_GUEST};
use tokio::io::{AsyncRead, AsyncReadExt as _};
use tokio::time::timeout;

use super::Board;
use super::command::Plan;
use super::console::readable;
use super::host::Host;
use super::start::Running;
use crate::config::{Accelerator as Wish, MachineType};

/// How long a guest under KVM has to say hello: many times what it takes.
const KVM_PATIENCE: Duration = Duration::from_secs(10);

/// How long a QEMU that has ended, or is about to, may take to say why.
const LAST_WORDS: Duration = Duration::from_millis(500);

/// How much of what a guest or QEMU says is kept for a message.
const WORDS: usize = 2 << 10;

/// What runs guests on this host.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Accelerator {
    /// The board that was seen to work.
    pub(crate) board: Board,
    /// The host's processor, or else QEMU's translator.
    pub(crate) kvm: bool,
    /// Why KVM is not used, where it was wanted.
    pub(crate) why_not_kvm: Option<String>,
}

impl fmt::Display for Accelerator {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let board = name(self.board);
        match (&self.why_not_kvm, self.kvm) {
            (_, true) => write!(f, "KVM on {board}"),
            (None, false) => write!(f, "TCG on {board}"),
            (Some(why), false) => write!(f, "TCG on {board}; not KVM: {why}"),
        }
    }
}

fn name(board: Board) -> &'static str {
    match board {
        Board::Microvm => "microvm",
        Board::Q35 => "q35",
    }
}

impl Host {
    /// What runs guests here. The first call finds out, which takes seconds; others wait for it and have its answer.
    ///
    /// # Errors
    /// `FailedPrecondition`: nothing does, or not what the configuration insists on; the next call tries anew.
    pub(crate) async fn accelerator(&self) -> Result<&Accelerator, DriverError> {
        self.chosen.get_or_try_init(|| self.find_accelerator()).await
    }

    async fn find_accelerator(&self) -> Result<Accelerator, DriverError> {
        let (wish, machine) = (self.config.accelerator, self.config.machine);
        let mut why_not_kvm = None;
        if wish != Wish::Tcg {
            match self.find_kvm(machine).await {
                Ok(board) => return Ok(Accelerator { board, kvm: true, why_not_kvm: None }),
                Err(why) if wish == Wish::Kvm => {
                    let text = format!("`accelerator = \"kvm\"`, and no guest runs under KVM: {why}");
                    return Err(refused(text).with_hint("accelerator = \"auto\""));
                }
                Err(why) => why_not_kvm = Some(why),
            }
        }
        if machine == MachineType::Microvm {
            let why = why_not_kvm.map_or(String::new(), |why| format!(": {why}"));
            let text = format!("`machine = \"microvm\"` runs under KVM only, which is not used{why}");
            return Err(refused(text).with_hint("machine = \"auto\""));
        }
        if wish == Wish::Tcg {
            // Nothing to choose from, and nobody to wait for a guest that only shows it.
            return Ok(Accelerator { board: Board::Q35, kvm: false, why_not_kvm });
        }
        match self.attempt(Board::Q35, false, self.config.boot_timeout).await {
            Ok(()) => Ok(Accelerator { board: Board::Q35, kvm: false, why_not_kvm }),
            Err(why) => {
                let kvm = why_not_kvm.map_or(String::new(), |why| format!("; under KVM: {why}"));
                Err(refused(format!("no guest runs on this host; under TCG: {why}{kvm}"))
                    .with_hint("see \"When a guest does not come up\" in docs/vm.md"))
            }
        }
    }

    /// The first board on which a guest runs under KVM, or why none does.
    async fn find_kvm(&self, machine: MachineType) -> Result<Board, String> {
        self.kvm()?;
        let boards: &[Board] = match machine {
            MachineType::Auto => &[Board::Microvm, Board::Q35],
            MachineType::Microvm => &[Board::Microvm],
            MachineType::Q35 => &[Board::Q35],
        };
        let mut why = Vec::new();
        for board in boards {
            match self.attempt(*board, true, KVM_PATIENCE).await {
                Ok(()) => return Ok(*board),
                Err(reason) => why.push(format!("{}: {reason}", name(*board))),
            }
        }
        Err(why.join("; "))
    }

    /// Boots a guest that has no disk and waits for its hello, or says why none came.
    async fn attempt(&self, board: Board, kvm: bool, patience: Duration) -> Result<(), String> {
        // What a sandbox has by default: with much less than that there are kernels that do not even unpack themselves.
        let memory = self.config.memory >> 20;
        let plan = Plan {
            name: "probe",
            board,
            kvm,
            cpus: 1,
            memory,
            disk: false,
            network: false,
            supervisor: false,
        };
        let running = self.start(&plan, None).await.map_err(|error| match error.hint() {
            Some(hint) => format!("{} ({hint})", error.message()),
            None => error.message().to_owned(),
        })?;
        let answer = listen(running, patience).await;
        tracing::debug!(board = name(board), kvm, ?answer, "a guest was tried");
        answer
    }
}

fn refused(message: String) -> DriverError {
    DriverError::new(ErrorKind::FailedPrecondition, "find what runs guests", message)
}

/// Waits for a hello, then ends the machine, whatever came of it.
async fn listen(running: Running, patience: Duration) -> Result<(), String> {
    let Running { mut child, mut console, mut agent, .. } = running;
    let stderr = child.stderr.take();
    let (mut said, mut complained) = (Vec::new(), Vec::new());
    let came;
    let ended_by_itself;
    {
        let complaints = async {
            if let Some(mut stderr) = stderr {
                keep_end(&mut stderr, &mut complained).await;
            }
        };
        let mut words = pin!(future::join(keep_end(&mut console, &mut said), complaints).fuse());
        came = tokio::select! {
            came = timeout(patience, hello(&mut agent)) => came.ok(),
            _ = &mut words => None,
        };
        let wait = if matches!(came, Some(Ok(()))) { Duration::ZERO } else { LAST_WORDS };
        ended_by_itself = timeout(wait, child.wait()).await.ok().and_then(Result::ok);
        // Not left to `Drop`, which does not wait.
        let _ = child.kill().await;
        if !words.is_terminated() {
            let _ = timeout(LAST_WORDS, words).await;
        }
    }
    match came {
        Some(Ok(())) => return Ok(()),
        Some(Err(wrong)) if !wrong.is_empty() => return Err(wrong),
        _ => {}
    }
    let last = |bytes: &[u8]| bytes.split(|byte| *byte == b'\n').map(readable).rfind(|line| !line.is_empty());
    if let Some(words) = last(&complained) {
        return Err(words);
    }
    let words = last(&said)
        .map_or("nothing on its console".to_owned(), |words| format!("last on its console: {words}"));
    Err(match ended_by_itself {
        Some(status) => format!("QEMU ended ({status}); {words}"),
        None => format!("a guest was started and has not come up within {} s; {words}", patience.as_secs()),
    })
}

/// The guest's hello; an error without words when the machine ends before.
async fn hello(agent: &mut (impl AsyncRead + Unpin)) -> Result<(), String> {
    let mut frames = Frames::new(MAX_FROM_GUEST);
    let mut buffer = [0; 512];
    loop {
        match agent.read(&mut buffer).await {
            Ok(0) | Err(_) => return Err(String::new()),
            Ok(read) => frames.push(&buffer[..read]),
        }
        match frames.next_message() {
            Ok(Some(FromGuest::Hello { version })) => return super::task::check_version(version),
            Ok(Some(other)) => return Err(format!("the guest began with {other:?}")),
            Ok(None) => {}
            Err(error) => return Err(format!("the guest sent {error}")),
        }
    }
}

/// Reads to the end and keeps the last of it.
async fn keep_end(from: &mut (impl AsyncRead + Unpin), kept: &mut Vec<u8>) {
    let mut buffer = [0; 512];
    while let Ok(read @ 1..) = from.read(&mut buffer).await {
        kept.extend_from_slice(&buffer[..read]);
        let surplus = kept.len().saturating_sub(WORDS);
        kept.drain(..surplus);
    }
}
