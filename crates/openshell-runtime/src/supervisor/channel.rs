//! One channel, as whoever asked for it holds it.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Weak};
use std::time::Duration;

use openshell_proto::openshell::v1::RelayFrame;
use openshell_proto::openshell::v1::relay_frame::Payload;
use prost::bytes::Bytes;
use tokio::sync::{mpsc, watch};
use tokio::time::{Instant, sleep_until};
use tonic::{Status, Streaming};

use super::channels::Entry;
use super::counters::Counters;
use super::sessions::{Session, Sessions};
use super::stopping;
use super::streams::ended;
use crate::engine::Engine;

/// How long a supervisor may be silent once the time of a command is over, which it is to end by itself.
const OVERTIME: Duration = Duration::from_secs(10);
const NO_END: &str =
    "the time of the command is over, and the supervisor of the sandbox says nothing more of it";
/// The most bytes of data in a frame to a supervisor: what a pipe takes at once (pipe(7)), for each is a copy.
const PIECE: usize = 64 * 1024;

/// What is known of a channel, for those who do not read it.
pub(crate) struct Line {
    /// Its id.
    pub(super) id: String,
    /// Whether it is a process's, which takes signals.
    pub(super) is_process: bool,
    session: Arc<Session>,
    sessions: Arc<Sessions>,
    urgent: mpsc::Sender<Bytes>,
    over: watch::Sender<Option<Status>>,
    /// When the time of what it carries is over.
    time: watch::Sender<Option<Instant>>,
    /// Whether it came to its own end.
    done: AtomicBool,
}

impl Line {
    pub(super) fn new(
        id: String,
        session: Arc<Session>,
        sessions: Arc<Sessions>,
        is_process: bool,
        urgent: mpsc::Sender<Bytes>,
    ) -> Self {
        let (over, time) = (watch::Sender::new(None), watch::Sender::new(None));
        Self { id, is_process, session, sessions, urgent, over, time, done: AtomicBool::new(false) }
    }

    /// Whose it is.
    pub(super) fn sandbox(&self) -> &str {
        &self.session.sandbox
    }

    /// The session that it was asked for on.
    pub(super) fn session_id(&self) -> &str {
        &self.session.id
    }

    /// The run of the main process that it belongs to.
    pub(super) fn instance(&self) -> &str {
        &self.session.instance
    }

    /// Sends what overtakes data that waits. `false`: it has ended.
    pub(super) async fn send_urgent(&self, frame: Bytes) -> bool {
        let mut over = self.over();
        tokio::select! {
            sent = self.urgent.send(frame) => sent.is_ok(),
            _ = ended(&mut over) => false,
        }
    }

    /// When it is over.
    pub(super) fn over(&self) -> watch::Receiver<Option<Status>> {
        self.over.subscribe()
    }

    /// Ends it for both sides, as broken. The first end counts. The supervisor is told on its session, too, whichever that
    /// is by now: nothing gets through a stream that is full both ways, not even its end.
    pub(super) fn end(&self, status: Status) {
        let first = self.over.send_if_modified(|over| {
            let first = over.is_none();
            over.get_or_insert_with(|| status.clone());
            first
        });
        if first && let Some(session) = self.sessions.get(self.sandbox()) {
            session.say_closed(&self.id, status.message());
        }
    }

    /// It came to its end in order.
    pub(super) fn done(&self) {
        self.done.store(true, Ordering::Relaxed);
    }

    /// Nobody reads it any more: unless it came to its own end, what it carries ends, too.
    pub(super) fn let_go(&self) {
        if !self.done.load(Ordering::Relaxed) {
            self.end(Status::cancelled("the client has gone away"));
        }
    }
}

/// A channel that is joined.
pub(crate) struct Channel {
    line: Arc<Line>,
    stream: Streaming<RelayFrame>,
    over: watch::Receiver<Option<Status>>,
    time: watch::Receiver<Option<Instant>>,
    data: Option<mpsc::Sender<Bytes>>,
    counters: Arc<Counters>,
    /// Who knows what has become of the sandbox. A client that holds a channel does not hold up the gateway's end.
    engine: Weak<Engine>,
    _entry: Entry,
}

/// The way into a channel. The channel's half ends when every one of them is gone.
#[derive(Clone)]
pub(super) struct Input {
    line: Arc<Line>,
    data: mpsc::Sender<Bytes>,
}

impl Channel {
    pub(super) fn new(
        line: Arc<Line>,
        stream: Streaming<RelayFrame>,
        data: mpsc::Sender<Bytes>,
        entry: Entry,
        counters: Arc<Counters>,
        engine: Weak<Engine>,
    ) -> Self {
        let (over, time) = (line.over(), line.time.subscribe());
        Self { line, stream, over, time, data: Some(data), counters, engine, _entry: entry }
    }

    pub(super) fn id(&self) -> &str {
        &self.line.id
    }

    /// The way in; `None` once [`close_input`](Self::close_input) was called.
    pub(super) fn input(&self) -> Option<Input> {
        let data = self.data.clone()?;
        Some(Input { line: Arc::clone(&self.line), data })
    }

    /// Sends nothing more by itself: its half ends with the last [`Input`].
    pub(super) fn close_input(&mut self) {
        self.data = None;
    }

    /// It came to its end in order.
    pub(super) fn done(&self) {
        self.line.done();
    }

    /// Ends it for both sides, and gives the error, with what has become of the sandbox where that may be why.
    pub(super) async fn fail(&self, why: &str) -> Status {
        let status = match self.engine.upgrade() {
            Some(engine) => engine.broken(self.line.sandbox(), why).await,
            None => stopping(),
        };
        self.line.end(status.clone());
        status
    }

    /// The next bytes of the supervisor's, `None` at their end. Who is root in the sandbox may keep the supervisor from ending
    /// what has a time, and whoever reads is not to wait for ever: once it is over, silence is an end.
    ///
    /// # Errors
    /// Why there will be none.
    pub(super) async fn next(&mut self) -> Result<Option<Bytes>, Status> {
        let frame = tokio::select! {
            biased;
            status = ended(&mut self.over) => return Err(status),
            frame = self.stream.message() => frame,
            () = overtime(&mut self.time) => return Err(self.fail(NO_END).await),
        };
        match frame {
            Ok(None) => Ok(None),
            Ok(Some(RelayFrame { payload: Some(Payload::Data(data)) })) => {
                self.counters.received(data.len());
                Ok(Some(data))
            }
            Ok(Some(_)) => {
                let status = Status::internal("the supervisor of the sandbox sent a frame without data");
                self.line.end(status.clone());
                Err(status)
            }
            Err(status) => {
                let code = status.code();
                tracing::debug!(channel = self.line.id, ?code, message = status.message(), "it broke");
                Err(self.fail("the connection to the supervisor of the sandbox broke").await)
            }
        }
    }
}

/// Ready when the time of a command has been over for long enough, and nothing was heard meanwhile.
async fn overtime(time: &mut watch::Receiver<Option<Instant>>) {
    // Counted anew for each message: what was printed by then may take its time to be read.
    let began = Instant::now();
    let until = time.wait_for(Option::is_some).await.ok().and_then(|until| *until);
    match until {
        Some(until) => sleep_until(until.max(began) + OVERTIME).await,
        None => std::future::pending().await,
    }
}

impl Input {
    /// Notes that what runs behind the channel is to end within so many seconds, which is its supervisor's to see to.
    pub(super) fn ends_within(&self, seconds: u32) {
        let until = Instant::now() + Duration::from_secs(seconds.into());
        self.line.time.send_replace(Some(until));
    }

    /// Sends a frame once there is room. `false`: the channel has ended.
    pub(super) async fn send(&self, frame: Bytes) -> bool {
        let mut over = self.line.over();
        tokio::select! {
            biased;
            _ = ended(&mut over) => false,
            sent = self.data.send(frame) => sent.is_ok(),
        }
    }

    /// Sends bytes in frames of a bounded size, each as `frame` wraps it. `false`: the channel has ended.
    pub(super) async fn send_pieces(&self, mut bytes: Bytes, frame: impl Fn(Bytes) -> Bytes) -> bool {
        while !bytes.is_empty() {
            let piece = bytes.split_to(bytes.len().min(PIECE));
            if !self.send(frame(piece)).await {
                return false;
            }
        }
        true
    }

    /// Sends what overtakes it. `false`: the channel has ended.
    pub(super) async fn send_urgent(&self, frame: Bytes) -> bool {
        self.line.send_urgent(frame).await
    }

    /// Ends the channel for both sides.
    pub(super) fn end(&self, status: Status) {
        self.line.end(status);
    }
}
