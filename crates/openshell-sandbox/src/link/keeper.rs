//! Keeps a session up: dials, shows the token, begins a session, and does it again whenever one ends.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

use super::backoff::Backoff;
use super::log::Level;
use super::wire::Wire;
use super::{LinkError, RETRY, Shared, session};

/// How often the same trouble is told again.
const REMINDER: Duration = Duration::from_secs(60);
/// The longest nap before the token is looked at again: a clock that jumps does not make it late.
const NAP: Duration = Duration::from_secs(30);

/// Keeps the link up for ever.
pub(super) async fn keep(shared: Arc<Shared>) {
    let mut backoff = Backoff::default();
    let mut trouble = Trouble::default();
    let mut wire = None;
    let mut hurry = shared.hurry.subscribe();
    loop {
        let mut began = None;
        let Err(error) = hold(&shared, &mut wire, &mut began).await;
        shared.up.send_replace(None);
        let held = began.map_or(Duration::ZERO, |began: Instant| began.elapsed());
        if began.is_some() {
            // Whatever comes now is told, as it follows something good.
            trouble = Trouble::default();
        }
        trouble.tell(&shared, &error);
        if !error.leaves_connection()
            && let Some(wire) = wire.take()
        {
            wire.cut();
        }
        // Once the main process has ended there is little time to tell.
        let pause = if *hurry.borrow_and_update() { RETRY } else { backoff.pause(held) };
        tokio::select! {
            () = tokio::time::sleep(pause) => {}
            _ = hurry.changed() => {}
        }
        // One that takes nothing new is not cut: its channels may go on to their end.
        wire.take_if(|wire| wire.is_closed());
    }
}

/// Brings a session up and holds it for as long as it lasts; `began` is when it was accepted.
async fn hold(
    shared: &Arc<Shared>,
    wire: &mut Option<Wire>,
    began: &mut Option<Instant>,
) -> Result<Infallible, LinkError> {
    let wire = match wire {
        Some(wire) => wire,
        None => wire
            .insert(Wire::dial(&shared.endpoint, shared.trust.as_ref(), Arc::clone(&shared.tokens)).await?),
    };
    shared.tokens.refresh(wire).await?;
    let session = session::begin(shared, wire).await?;
    *began = Some(Instant::now());
    shared.log.say(Level::Info, "connected to the gateway");
    shared.up.send_replace(Some(wire.clone()));
    tokio::select! {
        ended = session.hold(shared, wire) => ended,
        never = renew(shared, wire) => Ok(never),
    }
}

/// Replaces the session token whenever it is time.
async fn renew(shared: &Shared, wire: &Wire) -> Infallible {
    let mut backoff = Backoff::default();
    let mut trouble = Trouble::default();
    loop {
        tokio::time::sleep(shared.tokens.due().min(NAP)).await;
        match shared.tokens.refresh(wire).await {
            Ok(()) => (backoff, trouble) = Default::default(),
            Err(error) => {
                trouble.tell(shared, &error);
                tokio::time::sleep(backoff.pause(Duration::ZERO)).await;
            }
        }
    }
}

/// What was told last, so that the same is not told twice a second.
#[derive(Debug, Default)]
struct Trouble {
    told: Option<(String, Instant)>,
}

impl Trouble {
    fn tell(&mut self, shared: &Shared, error: &LinkError) {
        let text = error.to_string();
        if !self.told.as_ref().is_some_and(|(last, at)| *last == text && at.elapsed() < REMINDER) {
            shared.log.say(Level::Warn, &format!("{text}; trying again"));
            self.told = Some((text, Instant::now()));
        }
    }
}

impl LinkError {
    /// Whether the connection may be good all the same, with the channels that it carries.
    fn leaves_connection(&self) -> bool {
        match self {
            Self::Status { .. } | Self::Token(_) | Self::Rejected(_) | Self::Broken(_) | Self::Ended => true,
            Self::Unreachable { .. }
            | Self::Handshake(_)
            | Self::NoAnswer { .. }
            | Self::Silent(_)
            | Self::Deaf
            | Self::Protocol(_) => false,
        }
    }
}
