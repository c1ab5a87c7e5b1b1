//! The one place that waits for children.
//!
//! As the first process of its sandbox the supervisor is the parent of every orphan, whom nobody else would ever
//! take. It takes whoever has ended, and tells those who wait for a child of their own. Elsewhere it takes only
//! children that somebody waits for: another's are not its to take.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use openshell_guest::reap::{self, Ending};
use rustix::io::Errno;
use rustix::process::{Pid, WaitOptions, getpid, waitpid};
use tokio::signal::unix::Signal;
use tokio::sync::oneshot;

type Waiting = HashMap<Pid, oneshot::Sender<Ending>>;

/// Waits for all children, for everybody.
#[derive(Clone, Default)]
pub(crate) struct Reaper {
    waiting: Arc<Mutex<Waiting>>,
}

/// A child's end, as somebody waits for it.
pub(crate) struct Child {
    ended: oneshot::Receiver<Ending>,
}

impl Child {
    /// How it has ended. A child that somebody else has taken counts as killed.
    pub(crate) async fn ended(self) -> Ending {
        self.ended.await.unwrap_or(Ending { code: 137, signal: Some(9) })
    }
}

impl Reaper {
    /// Says that somebody waits for this child; to be said before the runtime comes back to [`Self::run`].
    pub(crate) fn expect(&self, child: Pid) -> Child {
        let (tell, ended) = oneshot::channel();
        self.waiting().insert(child, tell);
        Child { ended }
    }

    /// Takes children as they end, for as long as it is polled; `ended` is the signal that says so.
    pub(crate) async fn run(self, mut ended: Signal) {
        while ended.recv().await.is_some() {
            self.sweep();
        }
    }

    /// Takes everybody who has ended by now.
    fn sweep(&self) {
        if getpid().is_init() {
            while let Some((child, ending)) = reap::take() {
                self.tell(child, ending);
            }
            return;
        }
        let children: Vec<Pid> = self.waiting().keys().copied().collect();
        for child in children {
            match waitpid(Some(child), WaitOptions::NOHANG) {
                Ok(Some((_, status))) => {
                    if let Some(ending) = Ending::of(status) {
                        self.tell(child, ending);
                    }
                }
                // Taken by somebody else: who waits is told by the sender's drop.
                Err(Errno::CHILD) => drop(self.waiting().remove(&child)),
                Ok(None) | Err(_) => {}
            }
        }
    }

    fn tell(&self, child: Pid, ending: Ending) {
        if let Some(tell) = self.waiting().remove(&child) {
            // Whoever waited may have lost interest.
            let _ = tell.send(ending);
        }
    }

    fn waiting(&self) -> std::sync::MutexGuard<'_, Waiting> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
