//! The broker of channels: which are open, whose they are, and how the two ends of one find each other.
//!
//! A channel begins with the gateway's wish for it. Its supervisor says on the session whether it opens it, and brings its
//! bytes by a stream of their own; either may come first. From then on the stream is read by whoever asked for the channel,
//! with no task and no queue in between, so that HTTP/2's flow control reaches from one end to the other.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use openshell_proto::openshell::v1::RelayFrame;
use openshell_proto::openshell::v1::relay_frame::Payload;
use prost::bytes::Bytes;
use tokio::sync::{mpsc, oneshot};
use tonic::{Status, Streaming};

use super::channel::{Channel, Line};
use super::counters::Counters;
use super::sessions::{Session, Sessions};
use super::streams::{Flow, until_over};
use crate::engine::Engine;

/// Channels of one sandbox at a time: what one connection of HTTP/2 carries usually, with some room for the session.
const PER_SANDBOX: usize = 200;
/// Channels at a time.
const ALL: usize = 4096;
/// How many frames of a channel's data wait for a supervisor to take them: one that is taken, and one to take next. What
/// nobody takes is held for as long as the channel is open.
const QUEUE: usize = 2;
/// The same of what overtakes it, which is small.
const URGENT: usize = 4;

/// Why a channel was not joined.
pub(super) enum Unjoined {
    /// The supervisor does not open it, in its words.
    Refused(String),
    /// The session ended before.
    SessionOver,
}

/// What becomes of a channel that was asked for.
pub(super) type Joining = oneshot::Receiver<Result<Streaming<RelayFrame>, Unjoined>>;

/// Every channel.
pub(crate) struct Channels {
    open: Mutex<Open>,
    sessions: Arc<Sessions>,
    counters: Arc<Counters>,
}

#[derive(Default)]
struct Open {
    slots: HashMap<String, Slot>,
    by_sandbox: HashMap<String, usize>,
}

struct Slot {
    line: Arc<Line>,
    /// Until it is joined.
    awaited: Option<Awaited>,
}

/// What a supervisor gets when it joins.
struct Awaited {
    joined: oneshot::Sender<Result<Streaming<RelayFrame>, Unjoined>>,
    urgent: mpsc::Receiver<Bytes>,
    rest: mpsc::Receiver<Bytes>,
}

/// A channel that is not joined yet. Dropped, it is given up.
pub(super) struct Opening {
    pub(super) line: Arc<Line>,
    pub(super) joining: Joining,
    data: mpsc::Sender<Bytes>,
    entry: Entry,
}

/// A channel's place among the channels. It goes with whoever has it.
pub(super) struct Entry {
    channels: Arc<Channels>,
    line: Arc<Line>,
}

impl Channels {
    pub(super) fn new(sessions: Arc<Sessions>, counters: Arc<Counters>) -> Arc<Self> {
        Arc::new(Self { open: Mutex::default(), sessions, counters })
    }

    /// Makes a place for a channel of that session's sandbox.
    ///
    /// # Errors
    /// `RESOURCE_EXHAUSTED` beyond the bounds, `INTERNAL` without randomness.
    pub(super) fn begin(
        self: &Arc<Self>,
        session: &Arc<Session>,
        is_process: bool,
    ) -> Result<Opening, Status> {
        let id = random_id().map_err(|_| Status::internal("the system gives no randomness"))?;
        let (urgent, urgent_queue) = mpsc::channel(URGENT);
        let (data, rest) = mpsc::channel(QUEUE);
        let (joined, joining) = oneshot::channel();
        let line = Line::new(id, Arc::clone(session), Arc::clone(&self.sessions), is_process, urgent);
        let line = Arc::new(line);
        let mut open = self.open();
        if open.slots.len() >= ALL {
            return Err(Status::resource_exhausted(format!(
                "this gateway has {ALL} channels into sandboxes, and takes no more at a time"
            )));
        }
        let count = open.by_sandbox.entry(session.sandbox.clone()).or_default();
        if *count >= PER_SANDBOX {
            return Err(Status::resource_exhausted(format!(
                "this sandbox has {PER_SANDBOX} channels, and may have no more at a time; hint: end some of the \
                 commands that run in it"
            )));
        }
        *count += 1;
        let awaited = Awaited { joined, urgent: urgent_queue, rest };
        open.slots.insert(line.id.clone(), Slot { line: Arc::clone(&line), awaited: Some(awaited) });
        drop(open);
        self.counters.opened();
        let entry = Entry { channels: Arc::clone(self), line: Arc::clone(&line) };
        Ok(Opening { line, joining, data, entry })
    }

    /// A supervisor brings the stream of a channel; gives what there is to send to it.
    ///
    /// # Errors
    /// `NOT_FOUND` where no channel of that id waits for this sandbox: whether it is another's is nobody's to know.
    pub(super) fn join(
        &self,
        id: &str,
        sandbox: &str,
        stream: Streaming<RelayFrame>,
    ) -> Result<Flow<RelayFrame>, Status> {
        let no_such = || Status::not_found("no channel of this id waits for this sandbox");
        let (line, awaited) = {
            let mut open = self.open();
            let slot = open.slots.get_mut(id).filter(|slot| slot.line.sandbox() == sandbox);
            let slot = slot.ok_or_else(no_such)?;
            (Arc::clone(&slot.line), slot.awaited.take().ok_or_else(no_such)?)
        };
        let Awaited { joined, urgent, rest } = awaited;
        joined.send(Ok(stream)).map_err(|_| no_such())?;
        let counters = Arc::clone(&self.counters);
        let frames = until_over(urgent, rest, line.over());
        Ok(Box::pin(futures_util::StreamExt::map(frames, move |frame| {
            let data = frame?;
            counters.sent(data.len());
            Ok(RelayFrame { payload: Some(Payload::Data(data)) })
        })))
    }

    /// The supervisor of that session does not open a channel.
    pub(super) fn refused(&self, id: &str, session: &Session, why: String) {
        let mut open = self.open();
        let slot = open.slots.get_mut(id).filter(|slot| slot.line.sandbox() == session.sandbox);
        if let Some(awaited) = slot.and_then(|slot| slot.awaited.take()) {
            let _gone = awaited.joined.send(Err(Unjoined::Refused(why)));
        }
    }

    /// The supervisor of that session has ended a channel, or gives it up.
    pub(super) fn closed(&self, id: &str, session: &Session, why: &str) {
        self.refused(id, session, why.to_owned());
        if let Some(line) = self.find(id, &session.sandbox) {
            line.end(Status::unavailable(format!("the supervisor of the sandbox ended it: {why}")));
        }
    }

    /// A channel by its id, if it is that sandbox's.
    pub(super) fn find(&self, id: &str, sandbox: &str) -> Option<Arc<Line>> {
        let open = self.open();
        open.slots.get(id).map(|slot| &slot.line).filter(|line| line.sandbox() == sandbox).map(Arc::clone)
    }

    /// A session has ended: what was asked for on it and is not joined will not be.
    pub(super) fn session_over(&self, session: &Session) {
        for slot in self.open().slots.values_mut().filter(|slot| slot.line.session_id() == session.id) {
            if let Some(awaited) = slot.awaited.take() {
                let _gone = awaited.joined.send(Err(Unjoined::SessionOver));
            }
        }
    }

    /// Ends every channel that `which` is true of.
    pub(super) fn end(&self, which: impl Fn(&Line) -> bool, status: &Status) {
        // The ends are told without the lock: whoever is told may let go of its channel at once.
        let lines: Vec<Arc<Line>> = {
            let open = self.open();
            open.slots.values().map(|slot| &slot.line).filter(|line| which(line)).map(Arc::clone).collect()
        };
        lines.iter().for_each(|line| line.end(status.clone()));
    }

    /// How many there are.
    pub(crate) fn count(&self) -> usize {
        self.open().slots.len()
    }

    fn open(&self) -> MutexGuard<'_, Open> {
        // No code that may panic runs under this lock.
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Opening {
    /// It is joined: a channel.
    pub(super) fn joined(self, stream: Streaming<RelayFrame>, engine: &Arc<Engine>) -> Channel {
        let counters = Arc::clone(&self.entry.channels.counters);
        Channel::new(self.line, stream, self.data, self.entry, counters, Arc::downgrade(engine))
    }
}

impl Drop for Entry {
    fn drop(&mut self) {
        let slot = {
            let mut open = self.channels.open();
            let slot = open.slots.remove(&self.line.id);
            if let Some(count) = open.by_sandbox.get_mut(self.line.sandbox()) {
                *count -= 1;
                if *count == 0 {
                    open.by_sandbox.remove(self.line.sandbox());
                }
            }
            slot
        };
        drop(slot);
        self.line.let_go();
    }
}

/// 16 random bytes as text: whoever knows one has been told.
fn random_id() -> Result<String, getrandom::Error> {
    let mut bytes = [0_u8; 16];
    getrandom::fill(&mut bytes)?;
    Ok(format!("{:032x}", u128::from_be_bytes(bytes)))
}
