//! Doing things to a backend that others do things to as well, and saying so.

use std::future::Future;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use openshell_driver_api::{DriverError, ErrorKind, PlatformEvent, SandboxId};

/// How long a removal that somebody else has begun is waited for.
const REMOVAL: Duration = Duration::from_secs(10);
const REMOVAL_STEP: Duration = Duration::from_millis(100);

/// Runs an operation to its end even when the caller goes away: half a create would leave half a sandbox.
///
/// # Errors
/// Its own; `Internal` when it panics.
pub async fn to_the_end<T, F>(operation: F) -> Result<T, DriverError>
where
    T: Send + 'static,
    F: Future<Output = Result<T, DriverError>> + Send + 'static,
{
    tokio::spawn(operation).await.unwrap_or_else(|error| {
        let message = "the operation did not come to its end";
        Err(DriverError::new(ErrorKind::Internal, "run operation", message).with_source(error))
    })
}

/// Repeats a removal while the backend answers 409 ("already in progress", "in use"), for ten seconds; a 404 is success.
/// `status` is the HTTP status of an error that is the backend's own answer.
///
/// # Errors
/// The last one.
pub async fn retry_conflicts<E, F>(
    mut remove: impl FnMut() -> F,
    status: impl Fn(&E) -> Option<u16>,
) -> Result<(), E>
where
    F: Future<Output = Result<(), E>>,
{
    let deadline = tokio::time::Instant::now() + REMOVAL;
    loop {
        match remove().await {
            Ok(()) => return Ok(()),
            Err(error) => match status(&error) {
                Some(404) => return Ok(()),
                Some(409) if tokio::time::Instant::now() < deadline => tokio::time::sleep(REMOVAL_STEP).await,
                _ => return Err(error),
            },
        }
    }
}

/// The answer to a create of what is there.
#[must_use]
pub fn exists(id: &SandboxId) -> DriverError {
    DriverError::new(ErrorKind::AlreadyExists, "create sandbox", format!("sandbox `{id}` exists already"))
}

/// Milliseconds since the Unix epoch.
#[must_use]
pub fn now_ms() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_millis()).unwrap_or(i64::MAX)
}

/// Something that a driver says of a sandbox now, with nothing but words; `source` is which part of the backend speaks.
#[must_use]
pub fn said(source: &str, kind: Kind, reason: &str, message: impl Into<String>) -> PlatformEvent {
    PlatformEvent {
        timestamp_ms: now_ms(),
        source: source.to_owned(),
        kind: kind.as_str().to_owned(),
        reason: reason.to_owned(),
        message: message.into(),
        ..PlatformEvent::default()
    }
}

/// How grave what is said is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// As it goes.
    Normal,
    /// Not as it should.
    Warning,
}

impl Kind {
    /// The word of the contract.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Normal => "Normal",
            Self::Warning => "Warning",
        }
    }
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use super::*;

    async fn answers(answers: &[Option<u16>]) -> Result<usize, u16> {
        let count = Cell::new(0);
        let next = || {
            let answer = answers[count.get().min(answers.len() - 1)];
            count.set(count.get() + 1);
            std::future::ready(answer.map_or(Ok(()), Err))
        };
        retry_conflicts(next, |status| Some(*status)).await.map(|()| count.get())
    }

    #[tokio::test(start_paused = true)]
    async fn a_conflict_is_a_retry_and_not_found_is_done() {
        assert_eq!(answers(&[None]).await, Ok(1));
        assert_eq!(answers(&[Some(404)]).await, Ok(1));
        assert_eq!(answers(&[Some(409), Some(409), Some(404)]).await, Ok(3));
        assert_eq!(answers(&[Some(409), Some(500)]).await, Err(500));
        assert_eq!(answers(&[Some(409)]).await, Err(409));
    }

    #[tokio::test]
    async fn an_operation_ends_although_nobody_waits() {
        let (done, wait) = tokio::sync::oneshot::channel();
        let operation = to_the_end(async move {
            tokio::time::sleep(Duration::from_millis(20)).await;
            let _ = done.send(());
            Ok(())
        });
        assert!(tokio::time::timeout(Duration::from_millis(1), operation).await.is_err());
        wait.await.expect("it went on");
        let panicked = to_the_end::<(), _>(async { panic!("for a test") }).await;
        assert_eq!(panicked.expect_err("an error").kind(), ErrorKind::Internal);
    }
}
