//! Keeps a driver's program up: waits for its end, starts it again after a pause, and ends it in order when it shall stop.

use std::os::unix::net::UnixStream;
use std::sync::Arc;
use std::time::Duration;

use openshell_driver_api::{DriverError, LaunchRequest};
use tokio::sync::watch;
use tokio::time::Instant;

use super::backoff::Backoff;
use super::child::Run;
use crate::RemoteDriver;

/// How long the program may take to end when nobody says.
const STOP: Duration = Duration::from_secs(15);

/// How the program is.
#[derive(Clone)]
pub(super) enum State {
    /// It answers.
    Up(Arc<RemoteDriver>),
    /// It ended, and is started again at some time.
    Waiting { ended: String, until: Instant },
    /// It ended, and is being started again.
    Starting { ended: String },
    /// It ends with the gateway.
    Stopping,
}

/// Whether the program shall end, and within which time; a sender that is gone says so, too.
pub(super) type Stop = watch::Receiver<Option<Duration>>;

/// Runs until the program shall stop. `run` is up.
pub(super) async fn keep(request: LaunchRequest, mut run: Run, states: watch::Sender<State>, mut stop: Stop) {
    let driver = request.context.name.clone();
    let mut backoff = Backoff::default();
    loop {
        let up_since = Instant::now();
        let ended = tokio::select! {
            biased;
            within = stopped(&mut stop) => {
                states.send_replace(State::Stopping);
                run.stop(&driver, within).await;
                leave(&request);
                return;
            }
            ended = run.wait() => ended,
        };
        let restarted = tokio::select! {
            biased;
            // What is being started is killed by being dropped; what was never up has nothing to end in order.
            _within = stopped(&mut stop) => None,
            restarted = restart(&request, ended, up_since.elapsed(), &mut backoff, &states) => Some(restarted),
        };
        let Some((again, remote)) = restarted else {
            states.send_replace(State::Stopping);
            leave(&request);
            return;
        };
        tracing::info!(driver, pid = again.pid(), "the driver's program is up again");
        run = again;
        states.send_replace(State::Up(remote));
    }
}

/// Removes the socket's directory, which was made for it alone, and a socket that a killed program has left.
pub(super) fn leave(request: &LaunchRequest) {
    // One that answers is another gateway's, of the same id, and the reason why ours was in vain.
    let dead = UnixStream::connect(&request.socket)
        .is_err_and(|error| error.kind() == std::io::ErrorKind::ConnectionRefused);
    if dead {
        let _gone = std::fs::remove_file(&request.socket);
    }
    // With anything else in it, it stays.
    let _kept = request.socket.parent().map(std::fs::remove_dir);
}

/// Starts it until it is up.
async fn restart(
    request: &LaunchRequest,
    mut ended: String,
    mut up: Duration,
    backoff: &mut Backoff,
    states: &watch::Sender<State>,
) -> (Run, Arc<RemoteDriver>) {
    let driver = &request.context.name;
    loop {
        let pause = backoff.pause(up);
        tracing::warn!(driver, ?pause, "the driver's program {ended}; it is started again");
        states.send_replace(State::Waiting { ended: ended.clone(), until: Instant::now() + pause });
        tokio::time::sleep(pause).await;
        states.send_replace(State::Starting { ended });
        match Run::start(request).await {
            Ok(started) => return started,
            Err(error) => {
                ended = format!("does not start again: {}", chain(&error));
                up = Duration::ZERO;
            }
        }
    }
}

/// An error with its causes on one line, for a log and for clients.
fn chain(error: &DriverError) -> String {
    let mut text = error.message().to_owned();
    let mut source = std::error::Error::source(error);
    while let Some(cause) = source {
        text.push_str(&format!(": {cause}"));
        source = cause.source();
    }
    text
}

/// Ready once the program shall stop.
async fn stopped(stop: &mut Stop) -> Duration {
    match stop.wait_for(Option::is_some).await {
        Ok(within) => within.unwrap_or(STOP),
        Err(_) => STOP,
    }
}
