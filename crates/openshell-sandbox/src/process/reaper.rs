//! The one place that waits for children.
//!
//! As the first process of its sandbox the supervisor is the parent of every orphan, whom nobody else would ever
//! take. It takes whoever has ended, and tells those who wait for a child of their own. Elsewhere it takes only
//! children that somebody waits for: another's are not its to take.
//!
//! A keeper that is stopped would keep its channel, and hear no order to end its command. Only who is root in the sandbox can
//! have stopped it, so it is ended, which its channel takes for what it is.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use openshell_guest::reap::Ending;
use rustix::io::Errno;
use rustix::process::{Pid, Signal, WaitOptions, WaitStatus, getpid, kill_process, wait, waitpid};
use tokio::signal::unix::Signal as Signals;
use tokio::sync::oneshot;

/// Who waits for a child; nobody does for a keeper.
type Waiting = HashMap<Pid, Option<oneshot::Sender<Ending>>>;
/// What is looked for: who has ended or was stopped, without waiting for one.
const LOOK: WaitOptions = WaitOptions::NOHANG.union(WaitOptions::UNTRACED);
/// How many are looked at before others have their turn.
const AT_ONCE: usize = 64;

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
        self.waiting().insert(child, Some(tell));
        Child { ended }
    }

    /// Says that this child is a keeper, which is taken at its end and not waited for otherwise; to be said as early.
    pub(crate) fn expect_keeper(&self, child: Pid) {
        self.waiting().insert(child, None);
    }

    /// Takes children as they end, for as long as it is polled; `ended` is the signal that says so.
    pub(crate) async fn run(self, mut ended: Signals) {
        while ended.recv().await.is_some() {
            // Who ends, or is stopped, without a pause holds up nothing else.
            while self.sweep() {
                tokio::task::yield_now().await;
            }
        }
    }

    /// Takes who has ended by now, so many at most; whether there may be more.
    fn sweep(&self) -> bool {
        if getpid().is_init() {
            for _ in 0..AT_ONCE {
                let Ok(Some((child, status))) = wait(LOOK) else { return false };
                self.seen(child, status);
            }
            return true;
        }
        let children: Vec<Pid> = self.waiting().keys().copied().collect();
        for child in children {
            match waitpid(Some(child), LOOK) {
                Ok(Some((_, status))) => self.seen(child, status),
                // Taken by somebody else: who waits is told by the sender's drop.
                Err(Errno::CHILD) => drop(self.waiting().remove(&child)),
                Ok(None) | Err(_) => {}
            }
        }
        false
    }

    fn seen(&self, child: Pid, status: WaitStatus) {
        let mut waiting = self.waiting();
        if let Some(ending) = Ending::of(status) {
            if let Some(Some(tell)) = waiting.remove(&child) {
                // Whoever waited may have lost interest.
                let _ = tell.send(ending);
            }
        } else if status.stopped() && waiting.get(&child).is_some_and(Option::is_none) {
            // Not taken yet, so the number is still its own.
            let _ = kill_process(child, Signal::KILL);
        }
    }

    fn waiting(&self) -> std::sync::MutexGuard<'_, Waiting> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
