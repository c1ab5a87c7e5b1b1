//! A watch as a case reads it: with a bound on every wait, and with the end told apart from silence.

use std::time::Duration;

use openshell_proto::compute::v1::{
    DriverSandbox, WatchSandboxesEvent, WatchSandboxesRequest, watch_sandboxes_event::Payload,
};
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tokio::time::Instant;
use tonic::Status;

use crate::case::{Checked, failed};
use crate::context::{Ctx, name, said};

/// What a watch gave.
#[derive(Debug)]
pub(crate) enum Next {
    Event(Box<WatchSandboxesEvent>),
    /// It ended; with the status, if with one.
    End(Option<Status>),
    /// Nothing in the time.
    Silence,
}

/// A watch that is read by a task, so that its reader never falls behind.
pub(crate) struct Watch {
    events: mpsc::UnboundedReceiver<Option<Result<WatchSandboxesEvent, Status>>>,
    timeout: Duration,
    task: JoinHandle<()>,
    /// Whether its header came before the case went on.
    pub(crate) opened: bool,
}

impl Drop for Watch {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Ctx {
    /// Opens a watch. Some servers send no header before their first event, so that is waited for only for a moment.
    pub(crate) async fn watch(&self) -> Checked<Watch> {
        self.needs(&["handshake.side-by-side"])?;
        let (tell, events) = mpsc::unbounded_channel();
        let (open, opened) = tokio::sync::oneshot::channel();
        let mut client = self.client();
        let task = tokio::spawn(async move {
            let answer = client.watch_sandboxes(WatchSandboxesRequest {}).await;
            let mut stream = match answer {
                Ok(answer) => answer.into_inner(),
                Err(status) => {
                    // Nobody waits for it if the case is over.
                    let _ = open.send(Err(status));
                    return;
                }
            };
            let _ = open.send(Ok(()));
            loop {
                let item = stream.message().await.transpose();
                let over = !matches!(item, Some(Ok(_)));
                if tell.send(item).is_err() || over {
                    return;
                }
            }
        });
        let opened = match tokio::time::timeout(self.session.options.prompt, opened).await {
            Ok(Ok(Ok(()))) => true,
            Ok(Ok(Err(status))) => return failed(said("WatchSandboxes", &status)),
            _ => false,
        };
        Ok(Watch { events, timeout: self.timeout(), task, opened })
    }
}

impl Ctx {
    /// Opens a watch for what is there.
    pub(crate) async fn watch_snapshot(&self) -> Checked<Watch> {
        self.needs(&["watch.snapshot", "identity.watch-id", "watch.status-in-events"])?;
        self.watch().await
    }

    /// Opens a watch for what changes.
    pub(crate) async fn watch_changes(&self) -> Checked<Watch> {
        self.needs(&[
            "watch.stays-open",
            "identity.watch-id",
            "watch.status-in-events",
            "watch.create-seen",
        ])?;
        self.watch().await
    }
}

impl Watch {
    /// Whatever comes within a time, which may be without end; also what has come by then and was not looked at, for want
    /// of a processor.
    pub(crate) async fn drain(&mut self, within: Duration) -> Vec<WatchSandboxesEvent> {
        let deadline = Instant::now() + within;
        let mut events = Vec::new();
        while Instant::now() < deadline {
            match self.next(deadline.saturating_duration_since(Instant::now())).await {
                Next::Event(event) => events.push(*event),
                Next::End(_) | Next::Silence => return events,
            }
        }
        for _ in 0..self.events.len() {
            match self.events.try_recv() {
                Ok(Some(Ok(event))) => events.push(event),
                _ => break,
            }
        }
        events
    }

    /// The next item, if there is one in time.
    pub(crate) async fn next(&mut self, patience: Duration) -> Next {
        match tokio::time::timeout(patience, self.events.recv()).await {
            Ok(Some(Some(Ok(event)))) => Next::Event(Box::new(event)),
            Ok(Some(Some(Err(status)))) => Next::End(Some(status)),
            Ok(Some(None) | None) => Next::End(None),
            Err(_) => Next::Silence,
        }
    }

    /// Reads until `wanted` gives something; `what` says what that is.
    pub(crate) async fn until<T>(
        &mut self,
        what: &str,
        mut wanted: impl FnMut(&WatchSandboxesEvent) -> Option<T>,
    ) -> Checked<T> {
        let deadline = Instant::now() + self.timeout;
        loop {
            match self.next(deadline.saturating_duration_since(Instant::now())).await {
                Next::Event(event) => {
                    if let Some(found) = wanted(&event) {
                        return Ok(found);
                    }
                }
                Next::End(end) => {
                    return failed(format!("the watch ended ({}) before {what}", ended(end.as_ref())));
                }
                Next::Silence => {
                    return failed(format!("the watch did not say within {:?}: {what}", self.timeout));
                }
            }
        }
    }

    /// Reads until an event shows the sandbox as `wanted` says.
    pub(crate) async fn until_shown(
        &mut self,
        id: &str,
        what: &str,
        wanted: impl Fn(&DriverSandbox) -> bool,
    ) -> Checked<DriverSandbox> {
        self.until(what, |event| shown(event, id).filter(|sandbox| wanted(sandbox)).cloned()).await
    }

    /// Reads until the sandbox's end.
    pub(crate) async fn until_deleted(&mut self, id: &str) -> Checked {
        self.until("that the sandbox is gone", |event| is_deleted(event, id).then_some(())).await
    }
}

/// The sandbox of an event, if the event shows this one.
pub(crate) fn shown<'a>(event: &'a WatchSandboxesEvent, id: &str) -> Option<&'a DriverSandbox> {
    match &event.payload {
        Some(Payload::Sandbox(event)) => event.sandbox.as_ref().filter(|sandbox| sandbox.id == id),
        _ => None,
    }
}

/// Whether an event is the end of this sandbox.
pub(crate) fn is_deleted(event: &WatchSandboxesEvent, id: &str) -> bool {
    matches!(&event.payload, Some(Payload::Deleted(gone)) if gone.sandbox_id == id)
}

/// The end of a watch in words.
pub(crate) fn ended(end: Option<&Status>) -> String {
    match end {
        Some(status) => format!("{}, `{}`", name(status.code()), status.message()),
        None => "without an error".to_owned(),
    }
}
