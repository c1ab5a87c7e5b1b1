//! Dialling: waits for a socket that comes up late, gives up at once where waiting cannot help, and says which.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use openshell_driver_api::{ComputeDriver, DialRequest, Dialer, DriverError, ErrorKind, async_trait};
use openshell_uds::{ConnectError, PeerPolicy};
use tokio::time::Instant;

use crate::{Deadlines, RemoteDriver};

const OPERATION: &str = "connect to driver";
/// Between two tries, growing from the first to the second.
const RETRY: (Duration, Duration) = (Duration::from_millis(50), Duration::from_secs(1));
/// How often the log says what is waited for.
const REMINDER: Duration = Duration::from_secs(10);

/// Dials the sockets of external drivers.
#[derive(Debug, Clone, Copy, Default)]
pub struct SocketDialer;

/// The one dialer, for generated code.
pub static DIALER: SocketDialer = SocketDialer;

/// Why a driver's socket does not answer: the cause in an error of [`SocketDialer`].
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum DialError {
    /// It could not be connected to.
    #[error(transparent)]
    Connect(ConnectError),
    /// Somebody accepted the connection and said nothing, or nothing that makes sense.
    #[error("what listens at `{}` does not answer as a compute driver does", path.display())]
    NoAnswer {
        /// The socket.
        path: PathBuf,
        /// What came of the last question.
        #[source]
        source: DriverError,
    },
}

impl DialError {
    fn found(&self) -> String {
        match self {
            Self::Connect(error) => error.found(),
            Self::NoAnswer { source, .. } => format!("a program that does not answer ({})", source.message()),
        }
    }

    /// What the operator can do about it, as a command or a rule.
    fn hint(&self) -> Option<String> {
        match self {
            Self::Connect(error) => error.hint(),
            Self::NoAnswer { path, .. } => {
                Some(format!("see which program listens there: ss -xlp src {}", path.display()))
            }
        }
    }

    /// The driver's error with this as its cause.
    fn into_error(self, kind: ErrorKind, message: String) -> DriverError {
        let hint = self.hint();
        let error = DriverError::new(kind, OPERATION, message).with_source(self);
        match hint {
            Some(hint) => error.with_hint(hint),
            None => error,
        }
    }
}

#[async_trait]
impl Dialer for SocketDialer {
    async fn dial(&self, request: DialRequest) -> Result<Arc<dyn ComputeDriver>, DriverError> {
        let deadlines = Deadlines::covering(request.longest_call);
        Ok(Arc::new(RemoteDriver::dial(request, deadlines).await?))
    }
}

impl RemoteDriver {
    /// Connects and asks for the capabilities; see [`Dialer::dial`].
    ///
    /// # Errors
    /// See [`Dialer::dial`]; the cause is a [`DialError`] when the socket does not answer.
    pub async fn dial(request: DialRequest, deadlines: Deadlines) -> Result<Self, DriverError> {
        let policy = PeerPolicy {
            allowed_uids: request.policy.allowed_uids.clone(),
            allowed_gids: request.policy.allowed_gids.clone(),
            ..PeerPolicy::default()
        };
        Self::dial_peer(request, &policy, deadlines).await
    }

    /// The same, where `policy` says whom to accept.
    pub(crate) async fn dial_peer(
        request: DialRequest,
        policy: &PeerPolicy,
        deadlines: Deadlines,
    ) -> Result<Self, DriverError> {
        let began = Instant::now();
        let deadline = began + request.connect_timeout;
        let mut pause = RETRY.0;
        // One that was started for this has to come up first.
        let mut remind_at = if policy.pid.is_some() { began + RETRY.1 } else { began };
        loop {
            let failure = match attempt(&request, policy, deadlines, deadline).await? {
                Ok(driver) => return Ok(driver),
                Err(failure) => failure,
            };
            let now = Instant::now();
            if now + pause >= deadline {
                // The last moment counts: a socket that comes up right at the end is still found.
                tokio::time::sleep_until(deadline).await;
                return match attempt(&request, policy, deadlines, deadline + RETRY.1).await? {
                    Ok(driver) => Ok(driver),
                    Err(failure) => Err(gave_up(&request, began.elapsed(), failure)),
                };
            }
            if now >= remind_at {
                tracing::info!(
                    driver = %request.name,
                    path = %request.path.display(),
                    found = failure.found(),
                    remaining = ?(deadline - now),
                    "waiting for the driver's socket"
                );
                remind_at = now + REMINDER;
            }
            tokio::time::sleep(pause).await;
            pause = (pause * 2).min(RETRY.1);
        }
    }
}

/// One try. The outer error is final, the inner one may pass.
async fn attempt(
    request: &DialRequest,
    policy: &PeerPolicy,
    deadlines: Deadlines,
    until: Instant,
) -> Result<Result<RemoteDriver, DialError>, DriverError> {
    let stream = match openshell_uds::connect(&request.path, policy).await {
        Ok(stream) => stream,
        Err(error) if error.is_transient() => return Ok(Err(DialError::Connect(error))),
        Err(error) => return Err(hopeless(request, error)),
    };
    let driver = RemoteDriver::new(&request.name, &request.path, policy.clone(), Some(stream), deadlines);
    let patience = until.saturating_duration_since(Instant::now()).min(deadlines.query).max(RETRY.1);
    match greet(request, &driver, patience).await {
        Ok(()) => Ok(Ok(driver)),
        // It listens already and is not ready yet, or hangs: time may help.
        Err(source) if source.kind().is_retryable() => {
            Ok(Err(DialError::NoAnswer { path: request.path.clone(), source }))
        }
        Err(source) => Err(source),
    }
}

/// Asks who it is, and says so when that takes its time.
async fn greet(request: &DialRequest, driver: &RemoteDriver, patience: Duration) -> Result<(), DriverError> {
    let answer = driver.greet(patience);
    tokio::pin!(answer);
    let answer = tokio::select! {
        answer = &mut answer => answer,
        () = tokio::time::sleep(RETRY.1) => {
            let path = request.path.display();
            tracing::info!(driver = %request.name, %path, ?patience, "waiting for the driver's answer");
            answer.await
        }
    };
    answer.map(|_capabilities| ())
}

fn hopeless(request: &DialRequest, error: ConnectError) -> DriverError {
    let kind = match &error {
        ConnectError::WrongOwner { .. }
        | ConnectError::WrongProcess { .. }
        | ConnectError::WritableByOthers { .. }
        | ConnectError::Permission { .. } => ErrorKind::PermissionDenied,
        _ => ErrorKind::FailedPrecondition,
    };
    let message = format!("the socket of the driver `{}` cannot be used", request.name);
    DialError::Connect(error).into_error(kind, message)
}

fn gave_up(request: &DialRequest, waited: Duration, failure: DialError) -> DriverError {
    let message = format!(
        "the socket `{}` of the driver `{}` does not answer: found {}, waited {:.1} s (`connect_timeout`)",
        request.path.display(),
        request.name,
        failure.found(),
        waited.as_secs_f64(),
    );
    failure.into_error(ErrorKind::Unavailable, message)
}
