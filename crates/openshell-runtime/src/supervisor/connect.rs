//! `ConnectSupervisor`: a session from its hello to its end.
//!
//! ```text
//!   hello ──▶ the row says yes ──▶ accepted ──▶ (replaces the older) ──▶ beats and answers ──▶ over ──▶ grace
//! ```

use std::sync::Arc;
use std::time::Duration;

use openshell_driver_api::SandboxId;
use openshell_proto::openshell::v1 as proto;
use openshell_proto::openshell::v1::gateway_message::Payload as Said;
use openshell_proto::openshell::v1::supervisor_message::Payload as Heard;
use tokio::sync::{mpsc, watch};
use tokio::time::{Instant, MissedTickBehavior, interval_at};
use tonic::{Status, Streaming};

use super::sessions::Session;
use super::streams::{ended, until_over};
use super::{SessionFlow, stopping};
use crate::engine::{Changed, Engine, Fate};
use crate::names;
use crate::store::Record;

/// How many messages wait for a supervisor to take them: more than all of its channels can need at once. All are small; a
/// supervisor that takes none is not there.
const QUEUE: usize = 512;
/// How many heartbeats may be missing.
const MISSED: u32 = 3;
/// The most bytes of an instance id, and of a supervisor's words that reach a client.
const MAX_WORDS: usize = 1024;

/// Why a session is over.
enum Over {
    /// The supervisor ended it.
    Left,
    /// Its stream broke.
    Broke(Status),
    /// The gateway ended it.
    Ended(Status),
    /// The supervisor has said nothing for too long, or does not listen.
    Dead(&'static str),
}

impl Engine {
    /// Begins a session for the supervisor of `of`.
    ///
    /// # Errors
    /// `UNAVAILABLE` when the gateway stops; what else is wrong is said on the session.
    pub(crate) fn connect_supervisor(
        self: &Arc<Self>,
        of: SandboxId,
        heartbeat: Duration,
        messages: Streaming<proto::SupervisorMessage>,
    ) -> Result<SessionFlow, Status> {
        let (queue, queued) = mpsc::channel(QUEUE);
        let (none, urgent) = mpsc::channel(1);
        drop(none);
        let over = watch::Sender::new(None);
        let flow = until_over(urgent, queued, over.subscribe());
        let engine = Arc::clone(self);
        let task = async move { engine.attend(of, heartbeat, messages, queue, over).await };
        if self.supervisors.is_draining() || !self.spawn(task) {
            return Err(stopping());
        }
        Ok(flow)
    }

    async fn attend(
        self: Arc<Self>,
        of: SandboxId,
        heartbeat: Duration,
        mut messages: Streaming<proto::SupervisorMessage>,
        queue: mpsc::Sender<proto::GatewayMessage>,
        over: watch::Sender<Option<Status>>,
    ) {
        let greeted = tokio::select! {
            greeted = self.greet(&of, &mut messages) => greeted,
            () = self.stopped() => return,
        };
        let session = match greeted {
            Ok(instance) => match names::new_id() {
                Ok(id) => Session::new(id, of.as_str().to_owned(), instance, queue.clone(), over.clone()),
                Err(_) => return,
            },
            Err(reason) => {
                tracing::warn!(sandbox = %of, reason, "a supervisor is refused");
                let rejected = Said::SessionRejected(proto::SessionRejected { reason });
                let _gone = queue.try_send(proto::GatewayMessage { payload: Some(rejected) });
                return;
            }
        };
        let session = Arc::new(session);
        let secs = u32::try_from(heartbeat.as_secs()).unwrap_or(u32::MAX).max(1);
        // The first message of all, for nobody else knows the session yet.
        let accepted =
            proto::SessionAccepted { session_id: session.id.clone(), heartbeat_interval_secs: secs };
        session.try_say(Said::SessionAccepted(accepted));
        if let Some(older) = self.supervisors.sessions.enter(Arc::clone(&session)) {
            self.replaced(&older, &session);
        }
        tracing::info!(sandbox = %of, session = session.id, instance = session.instance, "supervisor connected");
        let came = if self.store_connected(&session).await {
            self.converse(&session, heartbeat, &mut messages, &queue, over.subscribe()).await
        } else {
            Over::Ended(Status::not_found("there is no such sandbox any more"))
        };
        self.part(&session, came).await;
    }

    /// Waits for the hello; gives the run of the main process that the supervisor speaks for.
    async fn greet(
        &self,
        of: &SandboxId,
        messages: &mut Streaming<proto::SupervisorMessage>,
    ) -> Result<String, String> {
        let hello = match super::first(messages).await {
            Ok(Some(proto::SupervisorMessage { payload: Some(Heard::Hello(hello)) })) => hello,
            Ok(_) => return Err("the first message is no hello".to_owned()),
            Err(status) => return Err(format!("there was no hello: {}", status.message())),
        };
        if hello.sandbox_id != of.as_str() {
            return Err("the hello names another sandbox than the token".to_owned());
        }
        if hello.instance_id.is_empty() || hello.instance_id.len() > MAX_WORDS {
            return Err(format!("`instance_id` is empty, or has more than {MAX_WORDS} bytes"));
        }
        // It is shown to clients as it is.
        if !hello.instance_id.bytes().all(|byte| byte.is_ascii_graphic()) {
            return Err("`instance_id` is to be visible ASCII without a space".to_owned());
        }
        match self.store.get(of.as_str()).await {
            Ok(Some(record)) if record.driver == self.settings.driver_name => Ok(hello.instance_id),
            Ok(_) => Err("there is no such sandbox".to_owned()),
            Err(error) => {
                let error = &error as &dyn std::error::Error;
                tracing::error!(sandbox = %of, error, "the store cannot say whose supervisor it is");
                Err("the gateway's store failed".to_owned())
            }
        }
    }

    /// An older session has made way for a newer one.
    fn replaced(&self, older: &Session, newer: &Session) {
        older.end(Status::aborted("a newer session of the same sandbox has taken its place"));
        if older.instance != newer.instance {
            // Another supervisor: what the one before ran is no more.
            let status = Status::unavailable("the supervisor of the sandbox was started anew");
            let gone = |line: &super::channel::Line| {
                line.sandbox() == newer.sandbox && line.instance() != newer.instance
            };
            self.supervisors.channels.end(gone, &status);
        }
    }

    /// Stores that the supervisor is there. `false`: the sandbox is not.
    async fn store_connected(self: &Arc<Self>, session: &Session) -> bool {
        let instance = session.instance.clone();
        let connected = move |record: &mut Record, now| {
            record.life.connected(&instance, now);
            (Fate::Stay, ())
        };
        match self.change(&session.sandbox, connected).await {
            Ok(Changed::Done(..)) => true,
            Ok(Changed::Absent | Changed::Foreign(_)) => false,
            Err(error) => {
                let error = &error as &dyn std::error::Error;
                tracing::error!(sandbox = session.sandbox, error, "that it is connected could not be stored");
                // The supervisor comes back, and with it another attempt.
                false
            }
        }
    }

    /// Beats and listens until it is over.
    async fn converse(
        &self,
        session: &Arc<Session>,
        heartbeat: Duration,
        messages: &mut Streaming<proto::SupervisorMessage>,
        queue: &mpsc::Sender<proto::GatewayMessage>,
        mut over: watch::Receiver<Option<Status>>,
    ) -> Over {
        let mut beat = interval_at(Instant::now() + heartbeat, heartbeat);
        beat.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut heard = Instant::now();
        loop {
            tokio::select! {
                message = messages.message() => match message {
                    Ok(Some(message)) => {
                        heard = Instant::now();
                        self.hear(session, message);
                    }
                    Ok(None) => return Over::Left,
                    Err(status) => return Over::Broke(status),
                },
                _ = beat.tick() => {
                    if heard.elapsed() > heartbeat * MISSED {
                        return Over::Dead("the supervisor has given no sign of life");
                    }
                    if !session.try_say(Said::Heartbeat(proto::GatewayHeartbeat {})) && !queue.is_closed() {
                        return Over::Dead("the supervisor does not listen");
                    }
                }
                () = queue.closed() => return Over::Left,
                status = ended(&mut over) => return Over::Ended(status),
            }
        }
    }

    fn hear(&self, session: &Session, message: proto::SupervisorMessage) {
        let channels = &self.supervisors.channels;
        match message.payload {
            Some(Heard::RelayOpenResult(result)) if !result.success => {
                channels.refused(&result.channel_id, session, words(&result.error));
            }
            // Only what ends early is told so: what comes to its end says it in its own stream, behind its last byte.
            Some(Heard::RelayClose(close)) => {
                channels.closed(&close.channel_id, session, &words(&close.reason));
            }
            // A heartbeat; a channel that is opened comes by itself; a second hello says nothing new.
            _ => {}
        }
    }

    /// The session is over: whatever waited for it is told, and the sandbox has some grace without it.
    async fn part(self: &Arc<Self>, session: &Arc<Session>, over: Over) {
        self.supervisors.sessions.leave(session);
        self.supervisors.channels.session_over(session);
        let why = match over {
            Over::Left => "the supervisor has gone".to_owned(),
            Over::Broke(status) => format!("the connection broke: {}", status.message()),
            Over::Ended(status) => {
                session.end(status.clone());
                status.message().to_owned()
            }
            Over::Dead(why) => {
                session.end(Status::deadline_exceeded(why));
                let status = Status::unavailable(why);
                self.supervisors.channels.end(|line| line.session_id() == session.id, &status);
                why.to_owned()
            }
        };
        tracing::info!(sandbox = session.sandbox, session = session.id, why, "supervisor disconnected");
        self.give_grace(&session.sandbox);
    }
}

/// A supervisor's words as one line of print, at most so long.
fn words(text: &str) -> String {
    let printable = text.chars().map(|c| if c.is_control() { ' ' } else { c });
    let mut left = MAX_WORDS;
    printable.take_while(|c| left.checked_sub(c.len_utf8()).map(|rest| left = rest).is_some()).collect()
}
