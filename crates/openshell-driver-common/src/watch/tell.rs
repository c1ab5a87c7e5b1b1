//! The telling half of a watch: the snapshot, then what every signal leads to.
//!
//! ```text
//!   Signal ─ a reason to look ─▶ one question a sandbox ─ at most so many at once ─▶ looks ─┬─▶ the reader
//!      └──── told as it is ────────────────── after the look that is under way ────────────┘
//! ```
//!
//! Looks at different sandboxes go side by side: one of them may wait for seconds for a lock of the backend's. Looks at one
//! sandbox go one after the other, so that what is told of it is told in the order in which it was so. Reasons that come
//! before a look has begun are one reason.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;

use openshell_driver_api::{DriverError, ErrorKind, ObservedSandbox, SandboxId, WatchEvent};
use tokio::sync::mpsc;
use tokio::task::JoinSet;

use super::{End, News, Observer, Signal, behind};

/// How many looks are under way at once.
const LOOKS: usize = 8;

/// What there is to find out of a sandbox. Each answers those before it, too.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Question {
    /// What one resource is. One that is gone by now has its own event to come.
    Resource(String),
    /// What the sandbox is. Where there is none, that is told if it was told of: else it may be on its way.
    Sandbox,
    /// Whether it is gone, which is told in any case. An event of an earlier resource may be about one that is there again.
    Gone,
}

impl Question {
    /// The one that answers both.
    fn and(self, other: Self) -> Self {
        match (self, other) {
            (Self::Gone, _) | (_, Self::Gone) => Self::Gone,
            (Self::Resource(one), Self::Resource(other)) if one == other => Self::Resource(one),
            _ => Self::Sandbox,
        }
    }

    async fn ask(
        &self,
        observer: &impl Observer,
        id: &SandboxId,
    ) -> Result<Option<ObservedSandbox>, DriverError> {
        match self {
            Self::Resource(resource) => observer.look(resource).await,
            Self::Sandbox | Self::Gone => observer.observe(id).await,
        }
    }
}

/// What a look was about, and what it found.
type Looked = (SandboxId, Question, Result<Option<ObservedSandbox>, DriverError>);

/// Tells the reader the snapshot and then what every signal leads to.
pub(super) async fn tell(
    observer: Arc<impl Observer>,
    mut signals: mpsc::Receiver<Signal>,
    tell_to: mpsc::Sender<WatchEvent>,
    end: End,
) {
    let mut told = HashMap::new();
    let snapshot = match observer.observe_all().await {
        Ok(snapshot) => snapshot,
        Err(error) => {
            let _ = end.set(error);
            return;
        }
    };
    for sandbox in snapshot {
        told.insert(sandbox.id.clone(), sandbox.clone());
        // The snapshot may be larger than the buffer, so it goes at the reader's pace; signals wait meanwhile.
        if tell_to.send(WatchEvent::Sandbox(sandbox)).await.is_err() {
            return;
        }
    }
    let mut teller = Teller {
        observer,
        tell_to: tell_to.clone(),
        told,
        wanted: HashMap::new(),
        queue: VecDeque::new(),
        under_way: HashMap::new(),
        looks: JoinSet::new(),
    };
    let mut open = true;
    // What was taken in before the end is still told.
    while open || !teller.looks.is_empty() {
        let done = tokio::select! {
            signal = signals.recv(), if open => match signal {
                Some(signal) => teller.take(signal),
                None => {
                    open = false;
                    Ok(())
                }
            },
            Some(looked) = teller.looks.join_next() => match looked {
                Ok(looked) => teller.finish(looked),
                Err(error) => {
                    let message = "a look did not come to its end";
                    Err(DriverError::new(ErrorKind::Internal, "watch", message).with_source(error))
                }
            },
            () = tell_to.closed() => return,
        };
        if let Err(error) = done {
            let _ = end.set(error);
            return;
        }
        teller.begin();
    }
}

/// What was told, and what is being found out. Dropping it ends the looks.
struct Teller<O> {
    observer: Arc<O>,
    tell_to: mpsc::Sender<WatchEvent>,
    told: HashMap<SandboxId, ObservedSandbox>,
    /// The questions that wait, one a sandbox.
    wanted: HashMap<SandboxId, Question>,
    /// The sandboxes that have one and are not being looked at, in the order in which that came to be.
    queue: VecDeque<SandboxId>,
    /// The sandboxes that are being looked at, and what is to be told of each after that.
    under_way: HashMap<SandboxId, Option<Box<ObservedSandbox>>>,
    looks: JoinSet<Looked>,
}

impl<O: Observer> Teller<O> {
    /// Takes a signal in.
    fn take(&mut self, signal: Signal) -> Result<(), DriverError> {
        match signal {
            Signal::News(News::Said { id, event }) => self.say(WatchEvent::Platform { id, event })?,
            Signal::News(News::Touched(id)) => self.want(id, Question::Sandbox),
            Signal::Look { id, resource } => self.want(id, Question::Resource(resource)),
            Signal::Gone(id) => self.want(id, Question::Gone),
            Signal::Seen(seen) => match self.under_way.get_mut(&seen.id) {
                // A look that has begun may find what was before this.
                Some(after) => *after = Some(seen),
                None => self.seen(*seen)?,
            },
        }
        Ok(())
    }

    fn want(&mut self, id: SandboxId, question: Question) {
        let question = match self.wanted.remove(&id) {
            Some(waiting) => waiting.and(question),
            None => {
                if !self.under_way.contains_key(&id) {
                    self.queue.push_back(id.clone());
                }
                question
            }
        };
        self.wanted.insert(id, question);
    }

    /// Begins as many looks as may be under way.
    fn begin(&mut self) {
        while self.looks.len() < LOOKS
            && let Some(id) = self.queue.pop_front()
        {
            let Some(question) = self.wanted.remove(&id) else { continue };
            self.under_way.insert(id.clone(), None);
            let observer = Arc::clone(&self.observer);
            self.looks.spawn(async move {
                let found = question.ask(&*observer, &id).await;
                (id, question, found)
            });
        }
    }

    /// Tells what a look has found, if that is new.
    fn finish(&mut self, (id, question, found): Looked) -> Result<(), DriverError> {
        match (found?, question) {
            (Some(sandbox), _) => self.state(sandbox)?,
            (None, Question::Resource(_)) => {}
            (None, question) => {
                let was_told = self.told.remove(&id).is_some();
                if was_told || question == Question::Gone {
                    self.say(WatchEvent::Deleted(id.clone()))?;
                }
            }
        }
        if let Some(seen) = self.under_way.remove(&id).flatten() {
            self.seen(*seen)?;
        }
        if self.wanted.contains_key(&id) {
            self.queue.push_back(id);
        }
        Ok(())
    }

    /// Tells of a state that no look is needed for. Of what was never told there is a look to come.
    fn seen(&mut self, seen: ObservedSandbox) -> Result<(), DriverError> {
        let same = |told: &ObservedSandbox| told.status.instance_id == seen.status.instance_id;
        if self.told.get(&seen.id).is_some_and(same) { self.state(seen) } else { Ok(()) }
    }

    fn state(&mut self, sandbox: ObservedSandbox) -> Result<(), DriverError> {
        if self.told.get(&sandbox.id) == Some(&sandbox) {
            return Ok(());
        }
        self.told.insert(sandbox.id.clone(), sandbox.clone());
        self.say(WatchEvent::Sandbox(sandbox))
    }

    fn say(&self, event: WatchEvent) -> Result<(), DriverError> {
        self.tell_to.try_send(event).map_err(|_| behind())
    }
}
