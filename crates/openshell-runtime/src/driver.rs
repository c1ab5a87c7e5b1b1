//! The driver as the rest of the runtime calls it: every call has a deadline, and one that hangs or panics is an
//! error like any other.

use std::any::Any;
use std::collections::BTreeSet;
use std::panic::AssertUnwindSafe;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;

use futures_util::{FutureExt, StreamExt};
use openshell_driver_api::{
    Capabilities, ComputeDriver, DriverError, ErrorKind, EventStream, ObservedSandbox, SandboxId,
    SandboxRequest, WatchEvent,
};
use tokio::task::{JoinError, JoinHandle};

use crate::settings::Deadlines;

/// The driver with its deadlines.
#[derive(Clone)]
pub(crate) struct Driver {
    inner: Arc<dyn ComputeDriver>,
    deadlines: Deadlines,
    /// The optional calls that this driver has been found not to have.
    lacks: Arc<Mutex<BTreeSet<&'static str>>>,
}

impl Driver {
    pub(crate) fn new(inner: Arc<dyn ComputeDriver>, deadlines: Deadlines) -> Self {
        Self { inner, deadlines, lacks: Arc::default() }
    }

    /// Notes, once for each call, that the driver does not have it: older ones lack some.
    fn note_lack(&self, operation: &'static str, error: &DriverError) {
        let new = || self.lacks.lock().unwrap_or_else(PoisonError::into_inner).insert(operation);
        if error.kind() == ErrorKind::Unimplemented && new() {
            tracing::info!(operation, "this driver does not have the call");
        }
    }

    pub(crate) fn deadlines(&self) -> &Deadlines {
        &self.deadlines
    }

    /// Who the driver is.
    ///
    /// # Errors
    /// `FailedPrecondition` for an empty answer: such a thing is no driver.
    pub(crate) async fn capabilities(&self) -> Result<Capabilities, DriverError> {
        let driver = Arc::clone(&self.inner);
        let call = async move { driver.capabilities().await };
        let capabilities = bounded("get capabilities", self.deadlines.capabilities, call).await?;
        if capabilities.driver_name.is_empty() {
            let message = "the driver's answer is empty: it gives no name";
            return Err(DriverError::new(ErrorKind::FailedPrecondition, "get capabilities", message));
        }
        Ok(capabilities)
    }

    pub(crate) async fn validate(&self, request: SandboxRequest) -> Result<(), DriverError> {
        let driver = Arc::clone(&self.inner);
        let call = async move { driver.validate_create(&request).await };
        bounded("validate sandbox", self.deadlines.validate, call).await
    }

    pub(crate) async fn create(&self, request: SandboxRequest) -> Result<(), DriverError> {
        let driver = Arc::clone(&self.inner);
        bounded("create sandbox", self.deadlines.create, async move { driver.create(&request).await }).await
    }

    /// Prepares a workspace; a driver that has no such thing has nothing to prepare.
    pub(crate) async fn ensure_workspace(&self, workspace: String) -> Result<(), DriverError> {
        let driver = Arc::clone(&self.inner);
        let call = async move { driver.ensure_workspace(&workspace).await };
        let operation = "ensure workspace";
        match bounded(operation, self.deadlines.create, call)
            .await
            .inspect_err(|error| self.note_lack(operation, error))
        {
            Err(error) if error.kind() == ErrorKind::Unimplemented => Ok(()),
            answer => answer,
        }
    }

    pub(crate) async fn start(&self, id: SandboxId) -> Result<(), DriverError> {
        let driver = Arc::clone(&self.inner);
        let (operation, call) = ("start sandbox", async move { driver.start(&id).await });
        bounded(operation, self.deadlines.start, call)
            .await
            .inspect_err(|error| self.note_lack(operation, error))
    }

    pub(crate) async fn stop(&self, id: SandboxId) -> Result<(), DriverError> {
        let driver = Arc::clone(&self.inner);
        let (operation, call) = ("stop sandbox", async move { driver.stop(&id).await });
        bounded(operation, self.deadlines.stop, call)
            .await
            .inspect_err(|error| self.note_lack(operation, error))
    }

    /// Removes a sandbox and looks whether it is gone: a driver may take a delete and need time for it.
    pub(crate) async fn delete(&self, id: SandboxId) -> Result<Removal, DriverError> {
        let driver = Arc::clone(&self.inner);
        let key = id.clone();
        let call = async move { driver.delete(&key).await };
        match bounded("delete sandbox", self.deadlines.delete, call).await {
            Ok(true) => {}
            Ok(false) => return Ok(Removal::Gone),
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(Removal::Gone),
            Err(error) => return Err(error),
        }
        Ok(if self.exists(id).await.unwrap_or(true) { Removal::Taken } else { Removal::Gone })
    }

    /// Whether the backend has it.
    pub(crate) async fn exists(&self, id: SandboxId) -> Result<bool, DriverError> {
        let driver = Arc::clone(&self.inner);
        match bounded("get sandbox", self.deadlines.get, async move { driver.get(&id).await }).await {
            Ok(_) => Ok(true),
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(false),
            Err(error) => Err(error),
        }
    }

    pub(crate) async fn list(&self) -> Result<Vec<ObservedSandbox>, DriverError> {
        let driver = Arc::clone(&self.inner);
        bounded("list sandboxes", self.deadlines.list, async move { driver.list().await }).await
    }

    pub(crate) async fn watch(&self) -> Result<Events, DriverError> {
        let driver = Arc::clone(&self.inner);
        bounded("watch sandboxes", self.deadlines.watch, async move { driver.watch().await })
            .await
            .map(Events)
    }
}

/// What came of a delete.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Removal {
    /// Nothing is there.
    Gone,
    /// The driver has taken it; it is still there.
    Taken,
}

/// A driver's stream of events, of which a panic is an error.
pub(crate) struct Events(EventStream);

impl Events {
    pub(crate) async fn next(&mut self) -> Option<Result<WatchEvent, DriverError>> {
        match AssertUnwindSafe(self.0.next()).catch_unwind().await {
            Ok(item) => item,
            Err(panic) => Some(Err(panicked("watch sandboxes", panic.as_ref()))),
        }
    }
}

/// Runs `call` in a task of its own for at most `deadline`, then drops it.
async fn bounded<T: Send + 'static>(
    operation: &'static str,
    deadline: Duration,
    call: impl Future<Output = Result<T, DriverError>> + Send + 'static,
) -> Result<T, DriverError> {
    let mut task = AbortOnDrop(tokio::spawn(call));
    match tokio::time::timeout(deadline, &mut task).await {
        Ok(Ok(answer)) => answer,
        Ok(Err(error)) => match error.try_into_panic() {
            Ok(panic) => Err(panicked(operation, panic.as_ref())),
            Err(_) => Err(DriverError::new(ErrorKind::Unavailable, operation, "the gateway is going away")),
        },
        Err(_) => {
            let message = format!("the driver did not answer within {deadline:?}");
            Err(DriverError::new(ErrorKind::DeadlineExceeded, operation, message))
        }
    }
}

/// The panic's own text goes to the log alone: it is for the driver's authors, not for clients.
fn panicked(operation: &'static str, panic: &(dyn Any + Send)) -> DriverError {
    let text = panic
        .downcast_ref::<&str>()
        .copied()
        .or_else(|| panic.downcast_ref::<String>().map(String::as_str))
        .unwrap_or("no text");
    tracing::error!(operation, panic = text, "the driver panicked");
    DriverError::new(ErrorKind::Internal, operation, "the driver panicked")
}

/// A task that ends when nobody waits for it any more.
struct AbortOnDrop<T>(JoinHandle<T>);

impl<T> Future for AbortOnDrop<T> {
    type Output = Result<T, JoinError>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        self.0.poll_unpin(context)
    }
}

impl<T> Drop for AbortOnDrop<T> {
    fn drop(&mut self) {
        self.0.abort();
    }
}
